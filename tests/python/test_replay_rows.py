"""docs/replays.md row by row, and every row of it: each is a test here, against a server that does just that."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from peers.fake import (
    ENHANCE_YOUR_CALM,
    HTTP_1_1_REQUIRED,
    INTERNAL_ERROR,
    NO_ERROR,
    REFUSED_STREAM,
    Fake,
    H2Link,
    Link,
    goaway,
    rst_stream,
    tls_context,
)

METHODS = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "POST", "PATCH", "PURGE"]
IDEMPOTENT = METHODS[:6]


@contextlib.contextmanager
def h2(
    pair: Any,
    act: Callable[[H2Link, int], bool | None],
    alpn: tuple[str, ...] = ("h2",),
    settings: tuple[tuple[int, int], ...] = (),
) -> Iterator[Fake]:
    """An HTTP/2 server: act answers a stream; True ends the connection."""

    def behave(link: Any) -> None:
        if link.alpn != "h2":
            while True:
                link.request()
                link.answer()
        link.begin(*settings)
        while True:
            if act(link, link.stream()):
                link.close()
                return

    server = Fake(behave, tls=tls_context(pair, alpn), h2=True)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def h1(behave: Callable[[Link], None]) -> Iterator[Fake]:
    server = Fake(behave)
    try:
        yield server
    finally:
        server.close()


def ask(client: Any, method: str, url: str) -> Any:
    return client.request(method, url, **({"content": b"body"} if method in ("PUT", "POST", "PATCH") else {}))


@pytest.mark.parametrize("method", METHODS)
def test_refused_stream(twin, server_pair, ca_file, method):
    def act(link: H2Link, stream: int) -> None:
        if link.number == 0:
            link.send(rst_stream(stream, REFUSED_STREAM))
        else:
            link.respond(stream, b"" if method == "HEAD" else b"ok")

    with h2(server_pair, act) as server, twin.client(verify=ca_file) as client:
        response = ask(client, method, server.url())
        assert response.status_code == 200 and response.timing.replays == 1 and client.stats().replays == 1
        assert [number for number, _ in server.streams] == [0, 1]


@pytest.mark.parametrize("method", METHODS)
def test_refused_twice(twin, server_pair, ca_file, method):
    with h2(server_pair, lambda link, stream: link.send(rst_stream(stream, REFUSED_STREAM))) as server:
        with twin.client(verify=ca_file) as client:
            response = ask(client, method, server.url())
            assert response.error.code == "H2_REFUSED" and response.error.safe_to_retry
        assert len(server.streams) == 2


def test_refused_because_of_the_limit(server_pair, ca_file):
    """Twelve requests leave with the connection's first bytes; the server takes two at a time, and says so."""
    seen: list[int] = []

    def act(link: H2Link, stream: int) -> None:
        seen.append(stream)
        if len(seen) > 12:
            link.respond(stream, b"ok")
        elif len(seen) > 2:
            link.send(rst_stream(stream, REFUSED_STREAM))
        if len(seen) == 12:
            for each in seen[:2]:
                link.respond(each, b"ok")

    async def main(url: str) -> None:
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            responses = await asyncio.gather(*[client.get(url) for _ in range(12)])
            assert [response.status_code for response in responses] == [200] * 12
            assert client.stats().replays == 10 and client.stats().connections_opened == 1

    with h2(server_pair, act, settings=((3, 2),)) as server:
        asyncio.run(main(server.url()))
        assert len(server.streams) == 22


@pytest.mark.parametrize("method", METHODS)
def test_goaway_below(twin, server_pair, ca_file, method):
    def act(link: H2Link, stream: int) -> bool:
        if link.number == 0:
            link.send(goaway(0, NO_ERROR))
            return True
        link.respond(stream, b"" if method == "HEAD" else b"ok")
        return False

    with h2(server_pair, act) as server, twin.client(verify=ca_file) as client:
        assert ask(client, method, server.url()).status_code == 200
        assert [number for number, _ in server.streams] == [0, 1]


@pytest.mark.parametrize("method", METHODS)
def test_goaway_that_covers(twin, server_pair, ca_file, method):
    def act(link: H2Link, stream: int) -> bool:
        link.send(goaway(stream, INTERNAL_ERROR))
        return True

    with h2(server_pair, act) as server, twin.client(verify=ca_file) as client:
        response = ask(client, method, server.url())
        assert response.error.code in ("H2_GOAWAY", "CLOSED_EARLY")
        assert response.error.request_sent and not response.error.safe_to_retry
        assert len(server.streams) == 1


def test_goaway_drains(server_pair, ca_file):
    """What is under way ends on the old connection; what is above the last stream, and what is new, goes to the next."""
    got: dict[int, list[int]] = {}

    def act(link: H2Link, stream: int) -> None:
        got.setdefault(link.number, []).append(stream)
        if link.number > 0:
            link.respond(stream, b"new")
        elif len(got[0]) == 3:
            first, second, _ = got[0]
            link.send(goaway(second, NO_ERROR))
            time.sleep(0.1)
            link.respond(first, b"old")
            link.respond(second, b"old")

    async def main(server: Fake) -> None:
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            answers = await asyncio.gather(*(client.post(server.url(), content=b"x") for _ in range(3)))
            assert [answer.text for answer in answers] == ["old", "old", "new"]
            assert (await client.get(server.url())).text == "new"
            stats = client.stats()
            assert (stats.connections_opened, stats.replays, stats.open) == (2, 1, 1)

    with h2(server_pair, act) as server:
        asyncio.run(asyncio.wait_for(main(server), 30))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("version", ["h1", "h2"])
def test_a_kept_connection_that_dies_behind_the_request(twin, server_pair, ca_file, method, version):
    def act(link: H2Link, stream: int) -> bool:
        if link.number == 0 and stream > 1:
            return True
        link.respond(stream, b"" if method == "HEAD" and stream > 0 and link.number > 0 else b"ok")
        return False

    def behave(link: Link) -> None:
        link.request()
        link.answer(b"ok" if link.server.requests[-1].method != "HEAD" else b"")
        link.request()
        if link.number > 0:
            link.answer()

    with h2(server_pair, act) if version == "h2" else h1(behave) as server, twin.client(verify=ca_file) as client:
        assert client.get(server.url()).status_code == 200
        response = ask(client, method, server.url())
        sent = len(server.streams) if version == "h2" else len(server.requests)
        if method in IDEMPOTENT:
            assert response.status_code == 200 and sent == 3
        else:
            assert response.error.code in ("CLOSED_EARLY", "CONNECT_RESET")
            assert response.error.request_sent and not response.error.safe_to_retry
            assert sent == 2


@pytest.mark.parametrize("method", METHODS)
def test_a_kept_connection_that_is_dead_before(twin, method):
    """The close is seen before anything is written: every method goes to a new connection."""

    def behave(link: Link) -> None:
        link.request()
        link.answer(b"" if link.server.requests[-1].method == "HEAD" else b"ok")

    with h1(behave) as server, twin.client() as client:
        assert client.get(server.url()).status_code == 200
        end = time.monotonic() + 10
        while server._socks and time.monotonic() < end:
            time.sleep(0.01)
        assert ask(client, method, server.url()).status_code == 200
        assert len(server.requests) == 2 and server.connections == 2


@pytest.mark.parametrize("method", METHODS)
def test_http11_required(twin, server_pair, ca_file, method):
    def act(link: H2Link, stream: int) -> None:
        link.send(rst_stream(stream, HTTP_1_1_REQUIRED))

    with h2(server_pair, act, ("h2", "http/1.1")) as server, twin.client(verify=ca_file) as client:
        for _ in range(2):
            response = client.get(server.url()) if method == "HEAD" else ask(client, method, server.url())
            assert response.status_code == 200 and response.http_version == "HTTP/1.1"
        assert len(server.streams) == 1 and len(server.requests) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("how", ["stream", "connection"])
def test_calm(twin, server_pair, ca_file, method, how):
    def act(link: H2Link, stream: int) -> bool:
        if link.number > 0 or stream > 1:
            link.respond(stream)
            return False
        link.send(rst_stream(stream, ENHANCE_YOUR_CALM) if how == "stream" else goaway(stream, ENHANCE_YOUR_CALM))
        return how == "connection"

    with h2(server_pair, act) as server, twin.client(verify=ca_file) as client:
        response = ask(client, method, server.url())
        assert type(response.error).__name__ == "TooManyRequests" and len(server.streams) == 1
        start = time.monotonic()
        assert client.get(server.url()).status_code == 200
        assert time.monotonic() - start > 0.7, "the origin is left alone for a second"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_new_connection_that_dies(twin, server_pair, ca_file, method):
    with h2(server_pair, lambda link, stream: True) as server, twin.client(verify=ca_file) as client:
        response = ask(client, method, server.url())
        assert response.error.code in ("CLOSED_EARLY", "CONNECT_RESET") and response.error.request_sent
        assert len(server.streams) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_connection_that_cannot_be_opened(twin, method):
    with twin.client() as client:
        response = ask(client, method, "http://127.0.0.1:1/")
        assert response.error.code == "CONNECT_REFUSED"
        assert response.error.safe_to_retry and not response.error.request_sent
        assert client.stats().connections_opened == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_other_resets(twin, server_pair, ca_file, method):
    with h2(server_pair, lambda link, stream: link.send(rst_stream(stream, INTERNAL_ERROR))) as server:
        with twin.client(verify=ca_file) as client:
            response = ask(client, method, server.url())
            assert response.error.code == "H2_RESET" and not response.error.safe_to_retry
        assert len(server.streams) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_that_is_cut(twin, method):
    def behave(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    with h1(behave) as server, twin.client() as client:
        assert type(ask(client, method, server.url()).error).__name__ == "IncompleteBody"
        assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_time_out(twin, method):
    with h1(lambda link: (link.request(), link.hold())) as server, twin.client(timeout=0.2) as client:
        response = ask(client, method, server.url())
        assert response.error.code == "TIMEOUT_TOTAL" and response.error.request_sent
        assert len(server.requests) == 1


def test_each_row_of_the_page_has_its_test():
    """The page names its tests; here are the ones that it must name, and no others."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "replays.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    here = {name for name in globals() if name.startswith("test_")} - {"test_each_row_of_the_page_has_its_test"}
    tests = Path(__file__).resolve().parents[1]
    elsewhere = set()
    for other, number in (("client/test_early_data.py", 2), ("python/test_coalescing.py", 1)):
        names = set(re.findall(r"^def (test_\w+)", (tests / other).read_text(encoding="utf-8"), re.M)) & named
        assert len(names) == number
        elsewhere |= names
    assert named - elsewhere == here
