"""Crawls a site from one page on, and shows how far it is.

    python examples/crawler.py https://example.com/ [--pages 200] [--at-once 16]

Pages of the same origin are fetched side by side, each once; a bar shows the progress (with tqdm installed: `pip install tqdm`). At the end
the broken links are listed with the page that names them. Exit code 0: there were none.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Protocol
from urllib.parse import urldefrag, urljoin, urlsplit

import tls_requests


class Links(HTMLParser):
    """The targets of a page's links, as absolute URLs without fragments."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target:
            with contextlib.suppress(ValueError):  # a target that is no URL
                self.found.append(urldefrag(urljoin(self.base, target)).url)


class Bar(Protocol):
    """What the crawler asks of a progress bar; tqdm's has it."""

    total: float | None

    def update(self, n: float | None = 1) -> bool | None: ...
    def refresh(self) -> object: ...


class NoBar:
    total: float | None = None

    def update(self, n: float | None = 1) -> bool | None:
        return None

    def refresh(self) -> object:
        return None


@contextlib.contextmanager
def progress() -> Iterator[Bar]:
    try:
        from tqdm import tqdm
    except ImportError:
        yield NoBar()
        return
    with tqdm(unit="page") as bar:
        yield bar


@dataclass
class Crawl:
    """A crawl of one origin: the queue of what is to be fetched, and what was seen."""

    client: tls_requests.AsyncClient
    start: str
    limit: int
    bar: Bar
    queue: asyncio.Queue[tuple[str, str]] = field(default_factory=asyncio.Queue)
    known: set[str] = field(default_factory=set)
    pages: dict[str, int] = field(default_factory=dict)
    broken: list[tuple[str, str, str]] = field(default_factory=list)  # page, link, reason

    def add(self, url: str, named_by: str) -> None:
        if url in self.known or len(self.known) >= self.limit or origin(url) != origin(self.start):
            return
        self.known.add(url)
        self.bar.total = len(self.known)
        self.queue.put_nowait((url, named_by))

    async def visit(self, url: str, named_by: str) -> None:
        response = await self.client.get(url)
        self.pages[url] = response.status_code
        if not response.ok:
            reason = type(response.error).__name__ if response.error is not None else str(response.status_code)
            self.broken.append((named_by, url, reason))
        elif response.headers.get("content-type", "").startswith("text/html"):
            links = Links(str(response.url))
            links.feed(response.text)
            for link in links.found:
                self.add(link, url)

    async def work(self) -> None:
        """Take pages from the queue until the crawl is over."""
        while True:
            url, named_by = await self.queue.get()
            try:
                await self.visit(url, named_by)
            finally:
                self.bar.update()
                self.queue.task_done()

    async def run(self, at_once: int) -> None:
        self.add(self.start, "the command line")
        workers = [asyncio.ensure_future(self.work()) for _ in range(at_once)]
        finished = asyncio.ensure_future(self.queue.join())
        try:
            # A worker ends only by an error of this program: it must not be waited for in vain.
            await asyncio.wait({finished, *workers}, return_when=asyncio.FIRST_COMPLETED)
            for worker in workers:
                if worker.done():
                    worker.result()
        finally:
            for task in (finished, *workers):
                task.cancel()
            await asyncio.gather(finished, *workers, return_exceptions=True)


def origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


async def crawl(start: str, limit: int = 200, at_once: int = 16) -> Crawl:
    with progress() as bar:
        async with tls_requests.AsyncClient(timeout=20) as client:
            crawled = Crawl(client, start, limit, bar)
            await crawled.run(at_once)
            return crawled


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--pages", type=int, default=200, help="stop after so many (default: 200)")
    parser.add_argument("--at-once", type=int, default=16, help="pages under way at once (default: 16)")
    chosen = parser.parse_args(arguments)
    crawled = asyncio.run(crawl(chosen.url, chosen.pages, chosen.at_once))
    print(f"{len(crawled.pages)} pages, {len(crawled.broken)} broken links")
    for page, link, reason in sorted(crawled.broken):
        print(f"  {page} -> {link}: {reason}")
    return 1 if crawled.broken else 0


if __name__ == "__main__":
    sys.exit(main())
