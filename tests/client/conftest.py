"""trget, the C command-line client, as a function."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest


class Trget:
    def __init__(self, program: Path, ca_file: str) -> None:
        self.program = program
        self.ca_file = ca_file

    def run(
        self, *args: str, env: dict[str, str] | None = None, trust: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        command = [str(self.program), *(["--cacert", self.ca_file] if trust else []), *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, env=env)

    def ops(self, *args: str, **kwargs: Any) -> list[dict[str, Any]]:
        """One object for each URL."""
        done = self.run("--json", *args, **kwargs)
        assert done.returncode in (0, 1), done.stderr
        return json.loads(done.stdout)

    def op(self, *args: str, **kwargs: Any) -> dict[str, Any]:
        return self.ops(*args, **kwargs)[0]

    def load(self, *args: str, **kwargs: Any) -> dict[str, Any]:
        """The report of many requests."""
        done = self.run(*args, **kwargs)
        assert done.stdout, done.stderr
        report = json.loads(done.stdout.splitlines()[-1])
        report["returncode"] = done.returncode
        report["stderr"] = done.stderr
        return report


@pytest.fixture(scope="session")
def trget(built: Path, ca_file: str) -> Trget:
    program = built / "trget"
    if not program.exists():
        pytest.fail("trget is not built: make tools")
    return Trget(program, ca_file)
