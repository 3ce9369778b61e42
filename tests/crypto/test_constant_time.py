"""Runs the C tests of /crypto/constant_time under valgrind, which reports branches and indices that depend on a secret."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def test_secrets_steer_nothing(built: Path) -> None:
    valgrind = shutil.which("valgrind")
    program = built / "tr_tests"
    if valgrind is None or not Path("/usr/include/valgrind/memcheck.h").exists():
        pytest.fail("valgrind and its headers are not installed: apt-get install valgrind")
    if not program.exists():
        pytest.fail(f"{program} is not built: make check-c")
    run = subprocess.run(
        [valgrind, "--quiet", "--error-exitcode=9", str(program), "/crypto/constant_time"],
        env={**os.environ, "TR_TEST_VECTORS": ""},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "2 passed, 0 failed" in run.stdout
