"""The crawler over a site of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import crawler
from docs_site import Connection
from fingerprint import server

ROOT = Path(__file__).resolve().parents[2]
PAGES = 40


class Pages(server.Server):
    """Pages that name their neighbours, one that is missing, another origin, and things that are no pages."""

    connection_class = Connection

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[str] = []

    def respond(self, connection: Any, request: server.Request) -> server.Response:
        self.asked.append(request.path)
        if request.path == "/start":
            return server.Response(302, [("location", "/page/0")])
        if request.path == "/image":
            return server.Response(200, [("content-type", "image/png")], b'<a href="/never">')
        name, _, number = request.path.strip("/").partition("/")
        if name != "page" or not number.isdecimal() or int(number) >= PAGES:
            return server.Response(404, [("content-type", "text/html")], b'<a href="/never">')
        here = int(number)
        links = [f"/page/{(here * 2 + 1) % PAGES}", f"../page/{(here * 2 + 2) % PAGES}#part", "/image", "mailto:a@b.c"]
        links += ["/missing"] if here == 7 else []
        links += ["https://127.0.0.1:1/", "http://[broken"] if here == 8 else []
        body = "".join(f'<p><A HREF="{link}">x</a></p>' for link in links)
        return server.Response(200, [("content-type", "text/html; charset=utf-8")], body.encode())


@pytest.fixture(scope="module")
def pages(authority: Any) -> Iterator[Pages]:
    site = Pages("127.0.0.1", 0, str(authority.issue("pages").both))
    site.start()
    try:
        yield site
    finally:
        site.stop()


def run(url: str, ca_file: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "crawler.py"), url, *arguments],
        env={**os.environ, "SSL_CERT_FILE": ca_file, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_each_page_once(pages: Pages, ca_file: str) -> None:
    base = f"https://localhost:{pages.port}"
    done = run(f"{base}/start", ca_file)
    # /start, the pages, /image and /missing
    assert done.stdout == f"{PAGES + 3} pages, 1 broken links\n  {base}/page/7 -> {base}/missing: 404\n"
    assert done.returncode == 1
    assert f"{PAGES + 3}/{PAGES + 3}" in done.stderr  # the bar
    # /page/0 twice: as the redirect's target, and by its own name. One connection carries them all.
    assert sorted(pages.asked) == sorted(
        ["/start", "/image", "/missing", "/page/0", *(f"/page/{n}" for n in range(PAGES))]
    )
    assert len([each for each in pages.connections if each.record["client_hellos"]]) == 1


def test_limit(pages: Pages, ca_file: str) -> None:
    done = run(f"https://localhost:{pages.port}/page/0", ca_file, "--pages", "5", "--at-once", "2")
    assert done.stdout.startswith("5 pages, ")


def test_a_host_that_is_not_there(ca_file: str) -> None:
    done = run("https://127.0.0.1:1/", ca_file)
    assert done.returncode == 1
    assert done.stdout.endswith("the command line -> https://127.0.0.1:1/: ConnectError\n")


def test_an_error_of_the_program_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, *_: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(crawler.Crawl, "visit", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(asyncio.wait_for(crawler.crawl("https://127.0.0.1:1/"), 20))
