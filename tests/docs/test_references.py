"""What README.md and docs/ refer to exists: links, files, targets of the Makefile, limits, error classes, files of each layer."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "profiles" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
# A layer, and the page that must name each of its files.
LAYERS = {
    "src/client": "client",
    "src/crypto": "crypto",
    "src/http": "http",
    "src/http1": "http",
    "src/http2": "http2",
    "src/net": "net",
    "src/profile": "profiles",
    "src/python": "python",
    "src/tls": "tls",
}


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.M):
        text = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(text.replace(" ", "-"))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_links(name: str) -> None:
    page = ROOT / name
    for target in LINK.findall(prose(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (page.parent / path).resolve() if path else page
        assert other.is_file(), f"{name}: {target}"
        if anchor:
            assert anchor in anchors(other), f"{name}: {target}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "profiles/README.md"])
def test_files(name: str) -> None:
    for text in re.findall(r"`([^`\n]+)`", prose(ROOT / name)):
        for path in re.findall(r"(?:^|\s)((?:src|tests|tools|docs|profiles|examples|benchmarks)/[\w./*-]+)", text):
            path = path.rstrip(".,:")
            assert any(ROOT.glob(path.rstrip("/"))), f"{name}: {path}"


@pytest.mark.parametrize("name", NAMES)
def test_make_targets(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    wanted = set(re.findall(r"(?:`|^)make (?:[A-Z]+=\S+ )*([a-z][a-z0-9-]*)", text, re.M))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.M))
    assert wanted <= targets


@pytest.mark.parametrize(("layer", "page"), sorted(LAYERS.items()))
def test_each_file_of_a_layer_is_described(layer: str, page: str) -> None:
    text = (ROOT / "docs" / "internals" / f"{page}.md").read_text(encoding="utf-8")
    named = set()
    for word in re.findall(r"`([^`\n]+)`", text):
        several = re.fullmatch(r"([\w]+)\.\{(\w+(?:,\w+)*)\}", word)
        named.update([f"{several.group(1)}.{kind}" for kind in several.group(2).split(",")] if several else [word])
    files = {path.name for path in (ROOT / layer).iterdir() if path.suffix in (".c", ".h", ".inc")}
    assert files - named == set()
    every = {path.name for other, its in LAYERS.items() if its == page for path in (ROOT / other).iterdir()}
    gone = {word for word in named if re.fullmatch(r"[a-z]\w*\.(c|h|inc)", word)} - every
    assert gone == set(), "described, but there is no such file"


# ------------------------------------------------------------------------------------------------------------------ limits


def value_of(expression: str) -> int:
    """A constant of limits.h: digits, *, +, << and parentheses."""
    expression = re.sub(r"\((uint64_t|size_t)\)", "", expression)
    assert re.fullmatch(r"[0-9*+<() ]+", expression), expression
    return int(eval(expression))


def shown(text: str) -> int:
    number, _, unit = text.partition(" ")
    return int(number) * {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]


def test_limits() -> None:
    header = (ROOT / "src" / "core" / "limits.h").read_text(encoding="utf-8")
    actual = {name: value_of(text) for name, text in re.findall(r"^#define (TR_\w+) (.+)$", header, re.M)}
    rows = re.findall(
        r"^\| [^|]+ \| ([^|]+) \| [^|]*\| `(TR_\w+)` \|$",
        (ROOT / "docs" / "security.md").read_text(encoding="utf-8"),
        re.M,
    )
    assert {name: shown(text.strip()) for text, name in rows} == actual


# ------------------------------------------------------------------------------------------------------------ fingerprints


def test_fingerprints() -> None:
    text = (ROOT / "docs" / "fingerprints.md").read_text(encoding="utf-8")
    aliases = json.loads((ROOT / "profiles" / "aliases.json").read_text(encoding="utf-8"))["aliases"]
    rows = re.findall(r"^\| `(\w+)` \| `(t13\w+)` \| `([^`]+)` \|$", text, re.M)
    assert len(rows) == 3
    for name, ja4, akamai in rows:
        profile = json.loads((ROOT / "profiles" / f"{aliases[name]}.json").read_text(encoding="utf-8"))
        assert profile["fingerprints"]["ja4"] == ja4
        assert profile["fingerprints"]["akamai_text"] == akamai.replace("\\|", "|")
    page = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    for alias in aliases:
        assert f"`{alias}`" in page, alias


# ---------------------------------------------------------------------------------------------------------------- programs


def test_options_of_check_fingerprint(root: Path) -> None:
    """Each option of check_fingerprint.py that the page shows is one that it has."""
    text = (ROOT / "docs" / "fingerprints.md").read_text(encoding="utf-8")
    for command in ("cert", "diff", "serve", "decode"):
        help_text = subprocess.run(
            [sys.executable, str(root / "tools" / "check_fingerprint.py"), command, "--help"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
        for line in re.findall(rf"check_fingerprint\.py {command} (.*)", text):
            for option in re.findall(r"--[a-z-]+", line):
                assert option in help_text, f"{command} {option}"
