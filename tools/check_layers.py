#!/usr/bin/env python3
"""Check the architecture's rules by reading the source: who includes whom, and what is never called.

    tools/check_layers.py [ROOT]        exit code 0: all hold; 1: each violation on a line of its own

The layers and the places of third-party headers are those of docs/internals/index.md. Standard library only.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

# layer -> the layers whose headers it may include
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "crypto": {"core"},
    "profile": {"core"},
    "tls": {"core", "crypto", "profile"},
    "http": {"core"},
    "http1": {"core", "http"},
    "http2": {"core", "http", "profile"},
    "net": {"core", "crypto", "profile", "tls", "http1"},
    "client": {"core", "crypto", "profile", "tls", "http", "http1", "http2", "net"},
    "python": {"core", "crypto", "profile", "tls", "http", "http1", "http2", "net", "client"},
}

# third-party header prefix -> places that may include it (a layer, or one file)
THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "openssl/": ("crypto/", "tls/x509"),
    "event2/": ("net/",),
    "nghttp2/": ("http2/",),
    "brotli/": ("http/coding", "tls/cert"),
    "zlib.h": ("http/coding", "tls/cert"),
    "zstd.h": ("http/coding", "tls/cert"),
    "libpsl.h": ("client/psl",),
    "Python.h": ("python/",),
    "structmember.h": ("python/",),
    "pythread.h": ("python/",),
}

BANNED = re.compile(
    r"(?<![\w>.])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|gets|alloca|gethostbyname|abort|exit|_exit)\s*\("
)
RAW_ALLOCATION = re.compile(r"(?<![\w>.])(malloc|calloc|realloc|free|strdup|strndup)\s*\(")
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^">]+)[">]')


def without_comments(text: str) -> str:
    """The text with comments and string contents blanked, line numbers kept."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match.group(0))

    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_file(path: Path, layer: str, relative: str) -> list[str]:
    found: list[str] = []
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, header = match.groups()
        if kind == '"':
            other = header.split("/")[0]
            if "/" in header and other != layer and other not in ALLOWED[layer]:
                found.append(f"src/{relative}:{number}: {layer}/ must not include {header}")
        for prefix, places in THIRD_PARTY.items():
            if header.startswith(prefix) and not relative.startswith(places):
                found.append(f"src/{relative}:{number}: {header} belongs to {' or '.join(places)} only")
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        match = BANNED.search(line)
        if match:
            found.append(f"src/{relative}:{number}: {match.group(1)} is banned")
        if relative != "core/mem.c" and layer != "python" and not path.name.startswith("fuzz_"):
            match = RAW_ALLOCATION.search(line)
            if match:
                found.append(f"src/{relative}:{number}: {match.group(1)} instead of tr_{match.group(1)}")
    return found


def check(root: Path) -> list[str]:
    found: list[str] = []
    source = root / "src"
    for path in sorted(source.rglob("*.[ch]")):
        relative = path.relative_to(source).as_posix()
        layer = relative.split("/")[0]
        if layer not in ALLOWED:
            found.append(f"src/{relative}: {layer}/ is no layer")
            continue
        found += check_file(path, layer, relative)
    return found


def main(argv: list[str]) -> int:
    root = Path(argv[1]) if len(argv) > 1 else Path(__file__).resolve().parent.parent
    found = check(root)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
