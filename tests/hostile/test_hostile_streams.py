"""What must hold while an answer is read in pieces, or a body is written: floods end the connection, a reader that does not read costs no memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import Lab, Session
from peers.fake import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    OK,
    PING,
    RST_STREAM,
    H2Link,
    Link,
    block,
    frame,
    rst_stream,
    settings,
    window_update,
)
from tls_requests import _core
from tls_requests.exceptions import HTTPError

HEAD = frame(HEADERS, END_HEADERS, 1, OK)
FLOODS: dict[str, bytes] = {
    "settings": settings((4, 65535)),
    "settings-acks": frame(4, ACK),
    "ping": frame(PING, 0, 0, b"12345678"),
    "window-update": window_update(0, 1),
    "window-update-of-the-stream": window_update(1, 1),
    "empty-data": frame(DATA, 0, 1),
    "resets-of-a-stream-long-over": rst_stream(1, CANCEL),
}


def read(session: Session, url: str, pause: float = 0, **arguments: Any) -> tuple[bytes, HTTPError | None]:
    """Stream a GET: what came, and what it ended with. `pause`: after the first piece, seconds."""
    if session.loop is None:
        got = b""
        try:
            with session.client.stream("GET", url, **arguments) as response:
                if response.status_code == 0:
                    return got, response.error
                for piece in response.iter_bytes():
                    got += piece
                    time.sleep(pause)
                    pause = 0
        except HTTPError as error:
            return got, error
        return got, None

    async def run() -> tuple[bytes, HTTPError | None]:
        import asyncio

        rest = pause
        got = b""
        try:
            async with session.client.stream("GET", url, **arguments) as response:
                if response.status_code == 0:
                    return got, response.error
                async for piece in response.aiter_bytes():
                    got += piece
                    await asyncio.sleep(rest)
                    rest = 0
        except HTTPError as error:
            return got, error
        return got, None

    return session.loop.run_until_complete(run())


@pytest.mark.parametrize("pause", [0, 0.5], ids=["reading", "not-reading"])
@pytest.mark.parametrize("name", FLOODS)
def test_floods_while_an_answer_is_read(lab: Lab, name: str, pause: float) -> None:
    """What came before is handed out, then the failure; also to a reader that was away meanwhile."""

    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.send(HEAD + frame(DATA, 0, 1, b"x" * 1000))
        link.flood(FLOODS[name], 60000)

    session = lab.open()
    start = time.monotonic()
    got, error = read(session, lab.serve_h2(behave).url(), pause)
    assert time.monotonic() - start < 6
    if name == "resets-of-a-stream-long-over":  # the first is the stream's end, the others meet none
        assert error is not None and error.code in ("H2_RESET", "H2_PROTOCOL"), error
    else:
        assert error is not None and error.code == "H2_PROTOCOL", error
    assert got == b"x" * 1000


@pytest.mark.parametrize("name", FLOODS)
def test_floods_while_a_body_is_sent(lab: Lab, name: str) -> None:
    """The server takes a window's worth and floods; the source is not read for ever, nor left open."""
    closed: list[int] = []

    def source() -> Iterator[bytes]:
        try:
            for _ in range(10_000):
                yield b"y" * 10_000
        finally:
            closed.append(1)

    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()
        if name == "empty-data":
            link.send(HEAD)
        link.flood(FLOODS[name], 60000)

    session = lab.open()
    start = time.monotonic()
    response = session.request("POST", lab.serve_h2(behave).url(), content=source())
    assert time.monotonic() - start < 6
    assert response.status_code == 0 and response.error.code in ("H2_PROTOCOL", "H2_RESET"), response.text
    assert closed == [1]


@pytest.mark.parametrize("piece", [b"", block(("x-a", "b" * 8000))], ids=["empty", "large"])
def test_a_header_section_without_end(lab: Lab, piece: bytes) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        link.send(frame(HEADERS, 0, stream, OK))
        link.flood(frame(CONTINUATION, 0, stream, piece), 20000)

    got, error = read(lab.open(), lab.serve_h2(behave).url())
    assert got == b"" and error is not None
    assert error.code in ("H2_PROTOCOL", "HEADER_LIMIT", "H2_STREAM_PROTOCOL"), error.code


@pytest.mark.parametrize("trailers", [False, True])
def test_a_header_section_without_end_over_http_1(lab: Lab, trailers: bool) -> None:
    """Before the body, and behind it."""

    def behave(link: Link) -> None:
        link.request()
        head = b"HTTP/1.1 200 OK\r\n" + (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" if trailers else b"")
        link.send(head)
        for number in range(20_000):
            link.send(b"x-%d: %s\r\n" % (number, b"v" * 100))
        link.hold()

    got, error = read(lab.open(), lab.serve(behave).url())
    assert got == (b"abc" if trailers else b"")
    assert error is not None and error.code == "HEADER_LIMIT", error


@pytest.mark.parametrize("h2", [False, True], ids=["h1", "h2"])
def test_an_answer_that_drips_ends_with_its_limit(lab: Lab, h2: bool) -> None:
    """A byte a tenth of a second is progress, so the limit on silence does not end it; that on the whole does."""

    def behave(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        link.trickle(b"z" * 500, 0.1)

    def behave_h2(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.send(HEAD)
        while not link.wait(0.1):
            link.send(frame(DATA, 0, 1, b"z"))

    url = lab.serve_h2(behave_h2).url() if h2 else lab.serve(behave).url()
    start = time.monotonic()
    got, error = read(lab.open(), url, timeout={"total": 1, "read": 0.5})
    assert 0.9 < time.monotonic() - start < 4
    assert error is not None and error.code == "TIMEOUT_TOTAL", error
    assert set(got) <= {ord("z")}


@pytest.mark.parametrize("h2", [False, True], ids=["h1", "h2"])
def test_a_reader_that_does_not_read_holds_the_server_back(lab: Lab, h2: bool) -> None:
    """The server may send 64 MiB; what waits here is bounded, and leaving ends it."""
    sent: list[int] = []

    def behave(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
        link.sock.settimeout(1)
        for number in range(1024):
            sent.append(number)
            try:
                link.send(b"w" * 65536)
            except OSError:
                return

    def behave_h2(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.send(HEAD)
        for number in range(100):  # more than the client's windows allow is its breach to punish
            sent.append(number)
            link.send(frame(DATA, 0, 1, b"w" * 16384))
        link.wait(2)

    session = lab.open()
    before = _core.stats()["blocks"]
    got, error = read(session, (lab.serve_h2(behave_h2) if h2 else lab.serve(behave)).url(), 1.5, timeout={"total": 6})
    assert error is not None and len(got) < 64 << 20, error
    assert h2 or len(sent) * 65536 < 32 << 20, len(sent)
    session.close()
    deadline = time.monotonic() + 3
    while _core.stats()["blocks"] > before + 64 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _core.stats()["blocks"] <= before + 64


def test_what_the_client_says_when_a_reader_leaves(lab: Lab) -> None:
    """RST_STREAM with CANCEL, even when the stream is full."""
    codes: list[bytes] = []

    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.send(HEAD + frame(DATA, 0, 1, b"x" * 16000) * 3)
        codes.append(link.until(RST_STREAM).payload)
        link.respond(link.stream())
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    if session.loop is None:
        with session.client.stream("GET", server.url()) as response:
            assert next(response.iter_bytes(10)) == b"x" * 10
    else:

        async def leave() -> None:
            async with session.client.stream("GET", server.url()) as response:
                assert await response.aiter_bytes(10).__anext__() == b"x" * 10

        session.loop.run_until_complete(leave())
    assert session.get(server.url()).content == b"ok"
    assert codes == [CANCEL.to_bytes(4, "big")] and server.connections == 1
