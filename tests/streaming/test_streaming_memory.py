"""Memory stays flat however large a body is. `make soak-stream` moves 2 GiB each (SOAK_MIB=10240 for ten), the suite 200 MiB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MIB = os.environ.get("SOAK_MIB", "200")
PROGRAM = Path(__file__).resolve().parent / "memory.py"


@pytest.mark.timeout(60 + int(MIB))
@pytest.mark.parametrize("http", ["h1", "h2"])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("what", ["down", "up", "download", "output"])
def test_memory_is_flat(root, go, ca_file, what, kind, http):
    command = [
        sys.executable,
        str(PROGRAM),
        what,
        kind,
        http,
        MIB,
        go.url("")[: -len("/")] if go.url("").endswith("/") else go.url(""),
    ]
    done = subprocess.run(
        [*command, ca_file],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=60 + int(MIB),
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stdout + done.stderr
