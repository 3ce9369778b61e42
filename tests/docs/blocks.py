"""The blocks of code in README.md, docs/ and examples/."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    words: tuple[str, ...]  # behind the language
    code: str
    before: str  # the last line before it
    output: str | None  # of the block of text behind it

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    fences = list(FENCE.finditer(text))
    for number, fence in enumerate(fences):
        language, *words = fence.group(1).split() or [""]
        output = None
        if number + 1 < len(fences):
            following = fences[number + 1]
            if following.group(1) == "text" and not text[fence.end() : following.start()].strip():
                output = following.group(2)
        before = text[: fence.start()].rstrip("\n").rpartition("\n")[2]
        line = text.count("\n", 0, fence.start()) + 1
        yield Block(page, line, language, tuple(words), fence.group(2), before, output)


ALL_BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def environment(folder: Path) -> dict[str, str]:
    """That of a program in `folder`, which trusts the tests' authority and finds this package."""
    kept = {name: value for name, value in os.environ.items() if name not in ("SSL_CERT_DIR", "SSLKEYLOGFILE")}
    return {
        **kept,
        "SSL_CERT_FILE": str(folder / "ca.pem"),
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "PYTHONIOENCODING": "utf-8",
    }
