"""`make chaos`, `make paces` and `make soak` in short: they are programs of their own, as what they count is a process's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def run(root: Path, program: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(HERE / program), *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(HERE.parent)])},
    )
    assert done.stdout, done.stderr[-3000:]
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert report["left"] == [] and report["faults"] == [], report
    assert done.returncode == 0 and done.stderr == "", done.stderr[-3000:]
    return report


@pytest.mark.timeout(240)
def test_chaos_for_fifteen_seconds(root: Path) -> None:
    report = run(root, "chaos.py", "--seconds", "15", "--seed", "1")
    results = report["results"]
    # It was chaos: answers and failures of several kinds came.
    assert results.get("ok", 0) > 20 and len(results) >= 4 and report["requests"] > 100, report
    assert sum(report["moods"].values()) > 20, report


@pytest.mark.timeout(240)
def test_paces_for_twenty_seconds(root: Path) -> None:
    report = run(root, "paces.py", "--seconds", "20", "--seed", "1")
    # Fewer where the machine is slow; none stood still.
    assert report["sessions"] > 30 and report["mib"] > 10 and len(report["kinds"]) >= 5, report


@pytest.mark.timeout(240)
def test_soak_of_six_thousand_requests(root: Path) -> None:
    report = run(root, "soak.py", "--requests", "6000")
    assert report["requests"] == 6000 and len(report["results"]) >= 12, report
