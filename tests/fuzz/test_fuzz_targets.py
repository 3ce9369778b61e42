"""The fuzz targets that are Python: their corpora replayed, a few seconds of fuzzing, and that the engine finds what is there to be found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import engine  # noqa: E402

TARGETS = sorted(path.stem[len("fuzz_") :] for path in HERE.glob("fuzz_*.py"))


def run(root: Path, name: str, *arguments: str) -> str:
    command = [sys.executable, str(HERE / f"fuzz_{name}.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", TARGETS)
def test_corpus(root: Path, name: str) -> None:
    corpus = root / "tests" / "corpus" / name
    assert run(root, name, "--replay", str(corpus)) == f"{len(list(corpus.iterdir()))} inputs\n"


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run(root: Path, tmp_path: Path, name: str) -> None:
    out = run(root, name, "--seconds", "3", "--seed", "1", str(tmp_path / name), str(root / "tests" / "corpus" / name))
    assert "seed 1\nruns " in out
    assert list((tmp_path / name).iterdir()), "it found nothing that the corpus does not reach"


def of_three_letters(data: bytes) -> None:
    if data[:1] == b"B":
        if data[1:2] == b"U":
            if data[2:3] == b"G":
                raise ValueError("here it is")


def test_the_engine_finds_and_shortens(tmp_path: Path) -> None:
    """Three bytes in a row that must be right: found because each of them reaches a line that none reached before."""
    report = engine.fuzz(
        "letters", of_three_letters, of_three_letters, [__file__], [b"x"], [str(tmp_path / "letters")], 60, 7
    )
    assert report["failure"] is not None and "here it is" in report["failure"]
    [crash] = tmp_path.glob("letters-crash-*")
    assert crash.read_bytes() == b"BUG"
    assert engine.fails(of_three_letters, b"BUG") is not None and engine.fails(of_three_letters, b"BUT") is None


def test_an_input_that_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def loop(data: bytes) -> None:
        while data:
            pass

    monkeypatch.setattr(engine, "INPUT_SECONDS", 1)
    assert "TimeoutError" in (engine.fails(loop, b"x") or "")
