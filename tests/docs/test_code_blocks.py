"""Runs every Python example of README.md and docs/ as a program of its own, and compares what it prints with the output shown behind it.

A block begins with ```python. Words behind that: a version (`3.11`) below which it is skipped, or `no-run`, with the reason in an HTML
comment on the line before. A block of ```text behind it is its output. The examples' hosts are served on this machine: docs_site.py.
Console sessions are typed into consoles by test_consoles.py.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from blocks import ALL_BLOCKS, Block, environment
from docs_site import Site

SECONDS = 60
BLOCKS = [block for block in ALL_BLOCKS if block.language == "python"]


def run(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(path)],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def imports(code: str) -> set[str]:
    """Top-level modules that the code imports."""
    found = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found


def skip_unless_possible(block: Block) -> None:
    for word in block.words:
        version = tuple(map(int, word.split(".")))
        if sys.version_info < version:
            pytest.skip(f"needs Python {word}")
    for module in sorted(imports(block.code)):
        if importlib.util.find_spec(module) is None:
            pytest.fail(f"{module} is not installed: it belongs into tests/requirements.txt")


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if "no-run" not in block.words], ids=lambda block: block.id
)
def test_block(block: Block, docs_site: Site, folder: Path) -> None:
    skip_unless_possible(block)
    path = folder / "example.py"
    path.write_text(docs_site.localize(block.code), encoding="utf-8")
    done = run(path, folder)
    printed = docs_site.globalize(done.stdout)
    assert done.returncode == 0, f"{printed}\n{done.stderr}"
    assert done.stderr == ""
    if block.output is not None:
        assert printed == block.output
    else:
        assert printed == "", "its output is not shown"


def test_blocks_that_are_not_run() -> None:
    for block in BLOCKS:
        if "no-run" in block.words:
            ast.parse(block.code)
            assert re.fullmatch(r"<!-- .{10,} -->", block.before), f"{block.id}: the reason must stand before it"


# ------------------------------------------------------------------------------------------- the web application example


async def visit(app: Any, path: str, query: bytes = b"") -> tuple[int, bytes]:
    """One GET of an ASGI application, within its lifespan."""
    to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    state: dict[str, Any] = {}
    life = asyncio.ensure_future(
        app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}, to_app.get, from_app.put)
    )
    await to_app.put({"type": "lifespan.startup"})
    assert (await from_app.get())["type"] == "lifespan.startup.complete"
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"app")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": state,
    }
    await app(scope, receive, send)
    await to_app.put({"type": "lifespan.shutdown"})
    assert (await from_app.get())["type"] == "lifespan.shutdown.complete"
    await life
    status = next(message["status"] for message in sent if message["type"] == "http.response.start")
    return status, b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")


APPLICATIONS = [block for block in BLOCKS if re.search(r"^app = ", block.code, re.M)]


@pytest.mark.parametrize("block", APPLICATIONS, ids=lambda block: block.id)
def test_application(block: Block, docs_site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's application answers a visitor with what it fetched."""
    skip_unless_possible(block)
    code = docs_site.localize(block.code).replace("AsyncClient(", "AsyncClient(verify='ca.pem', ")
    path = folder / "application.py"
    path.write_text(code, encoding="utf-8")
    monkeypatch.chdir(folder)
    app = runpy.run_path(str(path))["app"]
    assert asyncio.run(asyncio.wait_for(visit(app, "/", b"name=value"), SECONDS)) == (200, b'{"name":"value"}')


# -------------------------------------------------------------------------------------------------------- the test itself


def test_there_are_examples() -> None:
    assert len(BLOCKS) > 15
    assert {block.page.name for block in BLOCKS} >= {
        "README.md",
        "async.md",
        "requests.md",
        "fingerprints.md",
        "security.md",
    }
    assert len(APPLICATIONS) == 2


def test_other_hosts_are_refused(docs_site: Site) -> None:
    localize = docs_site.localize
    assert localize('"https://example.com/a"') == f'"https://example.com.localhost:{docs_site.port}/a"'
    assert localize('"https://u:p@httpbin.org/"') == f'"https://u:p@httpbin.org.localhost:{docs_site.port}/"'
    assert localize('"https://localhost:1/"') == '"https://localhost:1/"'
    for url in ("https://example.net/", "http://example.com/", "https://example.com:8443/", "https://localhost/"):
        with pytest.raises(ValueError, match="do not serve"):
            localize(f'"{url}"')
