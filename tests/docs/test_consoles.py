"""Types the console sessions of README.md, docs/ and examples/ into real consoles on a terminal, and compares what they answer.

A block of ```pycon is a session of Python, ```pycon asyncio one of `python -m asyncio`, ```ipython one of IPython, which goes on in the
page's next block if that does not begin with `In [1]`. As in doctest, an answer of `Traceback (most recent call last):` is compared by its
last line.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from blocks import ALL_BLOCKS, Block, environment
from docs_site import Site

SECONDS = 40
# What IPython writes when it asks for nothing: no colours, no line editing, no history on disk.
IPYTHON = ["-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit", "--colors=NoColor"]
PROMPT = {"pycon": r"(?:>>>|\.\.\.) ", "ipython": r"(?:In \[\d+\]: | +\.\.\.: )"}
LINE = {
    "pycon": re.compile(r"(?:>>>|\.\.\.)(?: (.*))?"),
    "ipython": re.compile(r"(?:In \[\d+\]:| +\.\.\.:)(?: (.*))?"),
}


def sessions() -> list[Block]:
    found: list[Block] = []
    for block in ALL_BLOCKS:
        goes_on = block.language == "ipython" and not block.code.startswith("In [1]")
        if goes_on:
            assert found and found[-1].page == block.page, f"{block.id} goes on with nothing"
            found[-1] = replace(found[-1], code=f"{found[-1].code}\n{block.code}")
        elif block.language in ("pycon", "ipython"):
            found.append(block)
    return found


SESSIONS = sessions()


def steps(block: Block) -> Iterator[tuple[str, list[str]]]:
    """What is typed, line by line, with the lines that are shown behind it."""
    typed: str | None = None
    shown: list[str] = []
    for line in block.code.splitlines():
        found = LINE[block.language].fullmatch(line)
        if found:
            if typed is not None:
                yield typed, shown
            typed, shown = found.group(1) or "", []
        elif line.strip() or shown:
            assert typed is not None, f"{block.id} begins with an answer"
            shown.append(line)
    if typed is not None:
        yield typed, shown


def start(block: Block, folder: Path) -> pexpect.spawn[str]:
    arguments = IPYTHON if block.language == "ipython" else ["-q"]
    if block.words == ("asyncio",):
        arguments = ["-m", "asyncio"]
    return pexpect.spawn(
        sys.executable,
        arguments,
        cwd=str(folder),
        env={
            **environment(folder),
            "TERM": "dumb",
            "PYTHON_BASIC_REPL": "1",
            "NO_COLOR": "1",
            "IPYTHONDIR": str(folder),
        },
        encoding="utf-8",
        echo=False,
        timeout=SECONDS,
        dimensions=(50, 300),
    )


def answer(console: pexpect.spawn[str], block: Block) -> list[str]:
    """The lines up to the next prompt."""
    console.expect(PROMPT[block.language])
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.before or "").replace("\r", "")
    return [line for line in text.split("\n") if line.strip()]


def is_same(shown: list[str], got: list[str]) -> bool:
    shown = [line.rstrip() for line in shown if line.strip()]
    got = [line.rstrip() for line in got]
    if shown and "Traceback (most recent call last)" in shown[0]:
        return any("Traceback (most recent call last)" in line for line in got) and shown[-1] == got[-1]
    return shown == got


@pytest.mark.parametrize("block", SESSIONS, ids=lambda block: block.id)
def test_session(block: Block, docs_site: Site, folder: Path) -> None:
    console = start(block, folder)
    try:
        if block.words == ("asyncio",):
            console.expect("import asyncio")  # which that console types for its user
        answer(console, block)
        for typed, shown in steps(block):
            console.sendline(docs_site.localize(typed))
            got = docs_site.globalize("\n".join(answer(console, block))).splitlines()
            assert is_same(shown, got), f"after {typed!r}: {got}"
        console.sendeof()
        console.expect(pexpect.EOF)
    finally:
        console.close(force=True)
    assert console.exitstatus == 0


def test_there_are_sessions() -> None:
    assert {(block.language, *block.words) for block in SESSIONS} == {("ipython",), ("pycon",), ("pycon", "asyncio")}
    assert {block.page.name for block in SESSIONS} >= {"async.md", "ipython_walkthrough.md"}


def test_a_wrong_answer_is_noticed(docs_site: Site, folder: Path) -> None:
    block = Block(folder, 1, "pycon", (), ">>> 1 + 1\n3\n", "", None)
    with pytest.raises(AssertionError, match="after '1 \\+ 1'"):
        test_session(block, docs_site, folder)
