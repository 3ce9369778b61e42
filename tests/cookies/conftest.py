"""A server that sets what it is told to, and a client of each kind behind one face."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import tls_requests


class Handler(BaseHTTPRequestHandler):
    """?set=VALUE&set=VALUE: those Set-Cookie fields. ?to=URL: a redirect there."""

    protocol_version = "HTTP/1.1"
    server: Site

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query, encoding="latin-1")
        host = self.headers["Host"].rpartition(":")[0]
        self.server.seen.append((f"{host}{urlsplit(self.path).path}", self.headers.get_all("Cookie") or []))
        self.send_response(302 if "to" in query else 200)
        for value in query.get("set", []):
            self.send_header("Set-Cookie", value)
        for value in query.get("to", []):
            self.send_header("Location", value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


class Site(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[tuple[str, list[str]]] = []
        self.port = self.server_address[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.other = f"http://localhost:{self.port}"  # another host, as cookies see it

    def cookies(self) -> list[str]:
        """The Cookie field of each request so far ("" for none; never two)."""
        assert all(len(values) <= 1 for _, values in self.seen)
        return ["".join(values) for _, values in self.seen]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        thread = Thread(target=site.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield site
        site.shutdown()
        thread.join(10)


class Opener:
    """Makes clients; what they return is awaited where that is needed."""

    def __init__(self, kind: str) -> None:
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        self.made: list[Any] = []

    def __call__(self, **options: Any) -> Any:
        client = (tls_requests.Client if self.loop is None else tls_requests.AsyncClient)(timeout=20, **options)
        self.made.append(client)
        return client

    def run(self, result: Any) -> Any:
        if not inspect.isawaitable(result):
            return result

        async def wait() -> Any:
            return await result

        assert self.loop is not None
        return self.loop.run_until_complete(wait())

    def get(self, client: Any, url: str, **arguments: Any) -> tls_requests.Response:
        response: tls_requests.Response = self.run(client.get(url, **arguments))
        assert response.status_code, response.text
        return response

    def close(self) -> None:
        for client in self.made:
            client.close() if self.loop is None else self.run(client.aclose())
        if self.loop is not None:
            self.loop.close()


@pytest.fixture(params=["sync", "async"])
def opener(request: pytest.FixtureRequest) -> Iterator[Opener]:
    opener = Opener(request.param)
    yield opener
    opener.close()
