"""HTTP/2 servers that break rules, flood, or end streams and connections in each way the protocol has; and what must be
accepted although no server of today sends it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import tls_requests
from lab import SECONDS, Lab
from peers.certs import Pair
from peers.fake import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    GOAWAY,
    HEADERS,
    HTTP_1_1_REQUIRED,
    INTERNAL_ERROR,
    NO_ERROR,
    OK,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Fake,
    H2Link,
    block,
    frame,
    goaway,
    rst_stream,
    settings,
    tls_context,
    window_update,
)
from tls_requests.exceptions import (
    ConnectionReset,
    IncompleteBody,
    ReadTimeout,
    RemoteProtocolError,
    TooManyRequests,
    TotalTimeout,
    WriteTimeout,
)

FRAME_SIZE_ERROR = 6
Reply = Callable[[int], bytes]  # what is sent to a request on that stream

HEAD = frame(HEADERS, END_HEADERS, 1, OK)  # on the first stream


def whole(stream: int) -> bytes:
    return frame(HEADERS, END_HEADERS, stream, OK) + frame(DATA, END_STREAM, stream, b"ok")


def bad_connection(lab: Lab, data: bytes, *codes: int) -> Fake:
    """A server that sends this to the first request; the client must end the connection with GOAWAY and one of these codes. Later
    connections are good."""

    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        if link.number > 0:
            link.respond(stream)
            link.hold()
            return
        link.send(data)
        got = link.goaway()
        assert got in codes, f"GOAWAY with code {got}"
        link.hold()

    return lab.serve_h2(behave)


def connection_fails(lab: Lab, data: bytes, *codes: int) -> None:
    server = bad_connection(lab, data, *(codes or (PROTOCOL_ERROR,)))
    session = lab.open()
    response = session.get(server.url())
    assert response.status_code == 0
    error = response.error
    assert type(error) is RemoteProtocolError, repr(error)
    assert error.code == "H2_PROTOCOL", error.code
    assert error.request_sent
    assert "HTTP/2" in str(error)
    assert server.connections == 1
    assert session.get(server.url()).content == b"ok"  # over a new connection
    assert server.connections == 2


def stream_fails(lab: Lab, data: bytes, *codes: str) -> None:
    """One stream fails; the connection carries the next."""

    def behave(link: H2Link) -> None:
        link.begin()
        assert link.stream() == 1
        link.send(data)
        link.respond(link.stream())
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    response = session.get(server.url())
    assert response.status_code == 0
    assert isinstance(response.error, RemoteProtocolError), repr(response.error)
    assert response.error.code in (codes or ("H2_STREAM_PROTOCOL",)), response.error
    assert session.get(server.url()).content == b"ok"
    assert server.streams == [(0, 1), (0, 3)]


# ------------------------------------------------------------------------------------------------------- the opening


@pytest.mark.parametrize(
    "opening",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x00" * 100,
        frame(PING, 0, 0, b"12345678"),
        frame(SETTINGS, ACK),
        frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
        b"hello, this is no HTTP/2\r\n",
    ],
)
def test_openings_without_settings(lab: Lab, opening: bytes) -> None:
    def behave(link: H2Link) -> None:
        link.send(opening)
        link.hold()

    server = lab.serve_h2(behave)
    lab.failed(server.url(), RemoteProtocolError, code="H2_PROTOCOL", raises=False)


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ([(2, 2)], PROTOCOL_ERROR),
        ([(2, 1)], PROTOCOL_ERROR),  # RFC 9113 6.5.2: a server must not send ENABLE_PUSH 1
        ([(4, 1 << 31)], FLOW_CONTROL_ERROR),
        ([(5, 100)], PROTOCOL_ERROR),
        ([(5, 1 << 24)], PROTOCOL_ERROR),
        ([(99, index) for index in range(40)], ENHANCE_YOUR_CALM),
    ],
)
def test_settings_with_forbidden_values(lab: Lab, pairs: list[tuple[int, int]], code: int) -> None:
    connection_fails(lab, settings(*pairs), code, PROTOCOL_ERROR)


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("when", ["before-settings", "after-settings", "after-request", "after-head", "mid-body"])
def test_ends_of_the_connection(lab: Lab, when: str, how: str) -> None:
    def behave(link: H2Link) -> None:
        if when == "before-settings":
            link.receive()
        else:
            link.begin()
        if when in ("after-request", "after-head", "mid-body"):
            stream = link.stream()
        if when in ("after-head", "mid-body"):
            link.send(frame(HEADERS, END_HEADERS, stream, OK))
        if when == "mid-body":
            link.send(frame(DATA, 0, stream, b"half"))
        link.wait(0.03)
        getattr(link, how)()

    server = lab.serve_h2(behave)
    response = lab.get(server.url())
    assert response.status_code == 0
    if how == "reset":
        assert isinstance(response.error, (ConnectionReset, IncompleteBody)), repr(response.error)
    elif when in ("after-head", "mid-body"):
        assert isinstance(response.error, IncompleteBody), repr(response.error)
    else:
        assert response.error.code == "CLOSED_EARLY", response.error
    assert server.connections == 1


# ------------------------------------------------------------------------------------------------------- floods

FLOODS: dict[str, bytes] = {
    "settings": settings(),
    "settings-with-values": settings((3, 100), (4, 65535)),
    "settings-acks": frame(SETTINGS, ACK),
    "ping": frame(PING, 0, 0, b"12345678"),
    "ping-acks": frame(PING, ACK, 0, b"12345678"),
    "priority": frame(PRIORITY, 0, 1, b"\0\0\0\0\x10"),
    "window-update": window_update(0, 1),
    "window-update-of-the-stream": window_update(1, 1),
    "unknown-frames": frame(0xEE, 0, 0, b"x" * 8),
    "unknown-frames-of-the-stream": frame(0xEE, 0, 1, b""),
    "empty-data": HEAD + frame(DATA, 0, 1),
    "empty-data-with-padding": HEAD + frame(DATA, PADDED, 1, b"\x05" + bytes(5)),
    "altsvc": frame(10, 0, 0, b"\0\x03abch2"),
    "origin": frame(12, 0, 0, b""),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(lab: Lab, name: str) -> None:
    """Ended by us long before the server gives up, whether anything is outstanding or not."""
    data = FLOODS[name]
    start, piece = (HEAD, data[len(HEAD) :]) if data.startswith(HEAD) else (b"", data)

    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.send(start)
        link.flood(piece, 60000)

    server = lab.serve_h2(behave)
    words = () if name == "settings-acks" else ("flood",)  # the first that nobody waits for is an error
    lab.failed(server.url(), RemoteProtocolError, *words, code="H2_PROTOCOL", raises=False, within=5)
    assert server.connections == 1


@pytest.mark.parametrize(
    "piece",
    [
        rst_stream(1, CANCEL),
        window_update(1, 1),
        frame(DATA, 0, 1, b"x" * 1000),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, OK),
        frame(PRIORITY, 0, 1, bytes(5)),
    ],
)
def test_floods_on_a_closed_stream(lab: Lab, piece: bytes) -> None:
    """Some are legal for a while, none brings anything."""

    def behave(link: H2Link) -> None:
        link.begin()
        link.respond(link.stream())
        link.stream()
        link.flood(piece, 60000)

    server = lab.serve_h2(behave)
    session = lab.open()
    assert session.get(server.url()).content == b"ok"
    response = session.get(server.url(), timeout=5)
    assert response.status_code == 0
    assert response.error.code in ("H2_PROTOCOL", "CONNECT_RESET"), response.error


def test_a_flood_on_an_idle_connection(lab: Lab) -> None:
    """Nobody waits for anything: it still must not go on for ever, nor hurt the next request."""
    ended: list[float] = []

    def behave(link: H2Link) -> None:
        link.begin()
        link.respond(link.stream())
        if link.number > 0:
            link.hold()
            return
        start = time.monotonic()
        try:
            link.flood(frame(PING, 0, 0, b"12345678"), 60000)
        finally:
            ended.append(time.monotonic() - start)

    server = lab.serve_h2(behave)
    session = lab.open()
    assert session.get(server.url()).content == b"ok"
    deadline = time.monotonic() + 5
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended
    assert session.get(server.url()).content == b"ok"
    assert server.connections == 2


@pytest.mark.parametrize("kind", ["empty", "small", "large"])
def test_continuation_floods(lab: Lab, kind: str) -> None:
    piece = {"empty": b"", "small": block(("x-a", "b")), "large": block(("x-a", "b" * 16000))}[kind]

    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        link.send(frame(HEADERS, 0, stream, OK))
        link.flood(frame(CONTINUATION, 0, stream, piece), 4000 if kind == "large" else 60000)

    server = lab.serve_h2(behave)
    error = lab.failed(server.url(), RemoteProtocolError, raises=False, within=5)
    assert error.code in ("H2_PROTOCOL", "HEADER_LIMIT", "H2_STREAM_PROTOCOL"), error.code


def test_a_header_list_bomb(lab: Lab) -> None:
    """HPACK: one large field into the dynamic table, then a byte for each time it is meant again."""
    value = b"v" * 4000
    entry = b"\x40\x03x-a\x7f" + bytes([(len(value) - 127) & 127 | 128, (len(value) - 127) >> 7]) + value
    bomb = OK + entry + b"\xbe" * 10000
    stream_fails(lab, frame(HEADERS, END_HEADERS, 1, bomb), "HEADER_LIMIT")


@pytest.mark.parametrize("fields", [[("x-a", "b")] * 1500, [("x-" + "a" * 200, "b")] * 1100])
def test_too_many_fields(lab: Lab, fields: list[tuple[str, str]]) -> None:
    data, rest = b"", OK + block(*fields)
    kind, flags = HEADERS, 0
    while rest:
        part, rest = rest[:16000], rest[16000:]
        data += frame(kind, flags | (0 if rest else END_HEADERS), 1, part)
        kind = CONTINUATION

    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.send(data)
        link.hold()

    error = lab.failed(lab.serve_h2(behave).url(), RemoteProtocolError, raises=False)
    assert error.code in ("HEADER_LIMIT", "H2_PROTOCOL", "H2_STREAM_PROTOCOL"), error.code


def test_interim_answers_without_end(lab: Lab) -> None:
    early = frame(HEADERS, END_HEADERS, 1, block((":status", "103"), ("link", "</a>")))

    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.flood(early, 5000)

    error = lab.failed(lab.serve_h2(behave).url(), RemoteProtocolError, raises=False)
    assert error.code in ("H2_STREAM_PROTOCOL", "H2_PROTOCOL")


# ------------------------------------------------------------------------------------------------------- broken rules

CONNECTION_ERRORS: dict[str, tuple[bytes, tuple[int, ...]]] = {
    "data-on-stream-0": (frame(DATA, 0, 0, b"x"), (PROTOCOL_ERROR,)),
    "headers-on-stream-0": (frame(HEADERS, END_HEADERS, 0, OK), (PROTOCOL_ERROR,)),
    "rst-on-stream-0": (rst_stream(0, CANCEL), (PROTOCOL_ERROR,)),
    "priority-on-stream-0": (frame(PRIORITY, 0, 0, bytes(5)), (PROTOCOL_ERROR,)),
    "continuation-on-stream-0": (frame(CONTINUATION, END_HEADERS, 0, OK), (PROTOCOL_ERROR,)),
    "settings-on-a-stream": (frame(SETTINGS, 0, 1), (PROTOCOL_ERROR,)),
    "ping-on-a-stream": (frame(PING, 0, 1, bytes(8)), (PROTOCOL_ERROR,)),
    "goaway-on-a-stream": (frame(GOAWAY, 0, 1, bytes(8)), (PROTOCOL_ERROR,)),
    "headers-on-an-idle-stream": (frame(HEADERS, END_HEADERS, 77, OK), (PROTOCOL_ERROR,)),
    "headers-on-an-even-stream": (frame(HEADERS, END_HEADERS, 2, OK), (PROTOCOL_ERROR,)),
    "data-on-an-idle-stream": (frame(DATA, 0, 77, b"x"), (PROTOCOL_ERROR,)),
    "rst-on-an-idle-stream": (rst_stream(77, CANCEL), (PROTOCOL_ERROR,)),
    "window-update-on-an-idle-stream": (window_update(77, 1), (PROTOCOL_ERROR,)),
    "push-promise": (frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block((":method", "GET"))), (PROTOCOL_ERROR,)),
    "push-promise-on-stream-0": (frame(PUSH_PROMISE, END_HEADERS, 0, b"\0\0\0\2"), (PROTOCOL_ERROR,)),
    "continuation-alone": (frame(CONTINUATION, END_HEADERS, 1, OK), (PROTOCOL_ERROR,)),
    "other-frame-within-headers": (frame(HEADERS, 0, 1, OK) + frame(PING, 0, 0, bytes(8)), (PROTOCOL_ERROR,)),
    "unknown-frame-within-headers": (frame(HEADERS, 0, 1, OK) + frame(0xEE, 0, 1, b"x"), (PROTOCOL_ERROR,)),
    "ping-of-seven": (frame(PING, 0, 0, bytes(7)), (FRAME_SIZE_ERROR,)),
    "settings-of-five": (frame(SETTINGS, 0, 0, bytes(5)), (FRAME_SIZE_ERROR,)),
    "settings-ack-with-payload": (frame(SETTINGS, ACK, 0, bytes(6)), (FRAME_SIZE_ERROR,)),
    "rst-of-three": (frame(RST_STREAM, 0, 1, bytes(3)), (FRAME_SIZE_ERROR,)),
    "window-update-of-five": (frame(WINDOW_UPDATE, 0, 0, bytes(5)), (FRAME_SIZE_ERROR,)),
    "goaway-of-four": (frame(GOAWAY, 0, 0, bytes(4)), (FRAME_SIZE_ERROR,)),
    "frame-of-16-mib": (frame(DATA, 0, 1, b"x" * 1000, length=0xFFFFFF), (FRAME_SIZE_ERROR,)),
    "frame-of-16385": (HEAD + frame(DATA, 0, 1, b"x" * 16385), (FRAME_SIZE_ERROR,)),
    "padding-longer-than-frame": (HEAD + frame(DATA, PADDED, 1, b"\xff" + b"x" * 10), (PROTOCOL_ERROR,)),
    "headers-padding-longer": (frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + OK), (PROTOCOL_ERROR,)),
    "window-update-of-zero": (window_update(0, 0), (PROTOCOL_ERROR,)),
    "window-overflow": (window_update(0, 0x7FFFFFFF), (FLOW_CONTROL_ERROR,)),
    "hpack-index-zero": (frame(HEADERS, END_HEADERS, 1, b"\x80"), (COMPRESSION_ERROR,)),
    "hpack-index-beyond": (frame(HEADERS, END_HEADERS, 1, b"\x88\xfe"), (COMPRESSION_ERROR,)),
    "hpack-integer-overflow": (frame(HEADERS, END_HEADERS, 1, b"\xff" + b"\xff" * 10), (COMPRESSION_ERROR,)),
    "hpack-cut": (frame(HEADERS, END_HEADERS, 1, b"\x88\x00\x0aabc"), (COMPRESSION_ERROR,)),
    "hpack-bad-huffman": (frame(HEADERS, END_HEADERS, 1, b"\x88\x00\x01a\x84\xff\xff\xff\xff"), (COMPRESSION_ERROR,)),
    "hpack-table-too-large": (frame(HEADERS, END_HEADERS, 1, b"\x3f\xff\xff\xff\x7f\x88"), (COMPRESSION_ERROR,)),
    "hpack-table-size-late": (frame(HEADERS, END_HEADERS, 1, b"\x88\x20"), (COMPRESSION_ERROR,)),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
def test_connection_errors(lab: Lab, name: str) -> None:
    data, codes = CONNECTION_ERRORS[name]
    connection_fails(lab, data, *codes, PROTOCOL_ERROR)


def head(*fields: tuple[str, str], end: bool = False) -> bytes:
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), 1, block(*fields))


DONE = frame(DATA, END_STREAM, 1, b"ok")
STREAM_ERRORS: dict[str, bytes] = {
    "data-before-headers": frame(DATA, END_STREAM, 1, b"ok"),
    "no-status": head(("server", "x")) + DONE,
    "status-twice": head((":status", "200"), (":status", "200")) + DONE,
    "status-behind-fields": head(("server", "x"), (":status", "200")) + DONE,
    "status-abc": head((":status", "abc")) + DONE,
    "status-20": head((":status", "20")) + DONE,
    "status-2000": head((":status", "2000")) + DONE,
    "status-empty": head((":status", "")) + DONE,
    "status-101": head((":status", "101")) + DONE,
    "unknown-pseudo-field": head((":status", "200"), (":evil", "1")) + DONE,
    "pseudo-field-of-requests": head((":status", "200"), (":path", "/")) + DONE,
    "upper-case-name": head((":status", "200"), ("X-Test", "1")) + DONE,
    "empty-name": head((":status", "200"), ("", "1")) + DONE,
    "blank-in-name": head((":status", "200"), ("x test", "1")) + DONE,
    "cr-in-value": head((":status", "200"), ("x-test", "1\r\nx-evil: 1")) + DONE,
    "nul-in-value": head((":status", "200"), ("x-test", "1\0")) + DONE,
    "lf-in-value": head((":status", "200"), ("x-test", "1\n2")) + DONE,
    "connection-field": head((":status", "200"), ("connection", "keep-alive")) + DONE,
    "transfer-encoding": head((":status", "200"), ("transfer-encoding", "chunked")) + DONE,
    "length-longer": head((":status", "200"), ("content-length", "5")) + DONE,
    "length-shorter": head((":status", "200"), ("content-length", "1")) + DONE,
    "length-zero": head((":status", "200"), ("content-length", "0")) + DONE,
    "length-no-number": head((":status", "200"), ("content-length", "abc")) + DONE,
    "length-negative": head((":status", "200"), ("content-length", "-1")) + DONE,
    "two-lengths": head((":status", "200"), ("content-length", "2"), ("content-length", "3")) + DONE,
    # Allowed by RFC 9110 8.6, but not required to be taken; nghttp2 does not.
    "two-equal-lengths": head((":status", "200"), ("content-length", "2"), ("content-length", "2")) + DONE,
    "a-list-of-equal-lengths": head((":status", "200"), ("content-length", "2, 2")) + DONE,
    "interim-that-ends": head((":status", "103"), end=True),
    "trailers-with-status": HEAD + head((":status", "200"), end=True),
    "trailers-without-end": HEAD + head(("x-sum", "1")) + DONE,
    "window-update-of-zero": window_update(1, 0),
    "window-overflow": window_update(1, 0x7FFFFFFF),
    "window-overflow-by-settings": window_update(1, 0x7FFF0000) + settings((4, 0x7FFFFFFF)),
}


@pytest.mark.parametrize("name", STREAM_ERRORS)
def test_stream_errors(lab: Lab, name: str) -> None:
    """What a stream's error is may be taken for the connection's (RFC 9113 5.4.1); the next request is answered either way."""

    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        if link.number > 0 or stream > 1:
            link.respond(stream)
            link.hold()
            return
        link.send(STREAM_ERRORS[name])
        link.respond(link.stream())
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    response = session.get(server.url())
    assert response.status_code == 0, response.headers
    assert isinstance(response.error, RemoteProtocolError), repr(response.error)
    assert response.error.code in ("H2_STREAM_PROTOCOL", "H2_PROTOCOL"), response.error
    assert session.get(server.url()).content == b"ok"
    assert len(server.streams) == 2


# ------------------------------------------------------------------------------------------------------- RST_STREAM


@pytest.mark.parametrize("code", [NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL, 0x99, 0xFFFFFFFF])
@pytest.mark.parametrize("when", ["at-once", "mid-body"])
def test_resets(lab: Lab, when: str, code: int) -> None:
    data = rst_stream(1, code) if when == "at-once" else HEAD + frame(DATA, 0, 1, b"half") + rst_stream(1, code)
    stream_fails(lab, data, "H2_RESET")


def test_a_reset_that_asks_for_calm(lab: Lab) -> None:
    """Not repeated; the origin's next request is held back for a while."""
    start = time.monotonic()
    stream_fails(lab, rst_stream(1, ENHANCE_YOUR_CALM), "H2_CALM", "H2_RESET")
    assert time.monotonic() - start < 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_streams_are_tried_again_once(lab: Lab, method: str) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            stream = link.stream()
            if len(server.streams) == 1:
                link.send(rst_stream(stream, REFUSED_STREAM))
            else:
                link.respond(stream)

    server = lab.serve_h2(behave)
    response = lab.open().request(method, server.url(), **({"data": b"body"} if method == "POST" else {}))
    assert response.content == b"ok"
    assert len(server.streams) == 2


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_streams_are_not_tried_for_ever(lab: Lab, method: str) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            link.send(rst_stream(link.stream(), REFUSED_STREAM))

    server = lab.serve_h2(behave)
    error = lab.failed(server.url(), RemoteProtocolError, "REFUSED", code="H2_REFUSED", method=method, raises=False)
    assert error.safe_to_retry
    assert len(server.streams) == 2


def test_a_refusal_after_the_answer_began(lab: Lab) -> None:
    """A lie: what was answered was processed."""

    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        link.send(frame(HEADERS, END_HEADERS, stream, OK) + rst_stream(stream, REFUSED_STREAM))
        link.hold()

    server = lab.serve_h2(behave)
    error = lab.failed(server.url(), RemoteProtocolError, code="H2_REFUSED", raises=False)
    assert not error.safe_to_retry
    assert len(server.streams) == 1


@pytest.mark.parametrize("by", ["rst", "goaway"])
def test_http_1_1_required(lab: Lab, by: str) -> None:
    """Once more over HTTP/1.1, and from then on for that origin."""

    def behave(link: H2Link) -> None:
        if link.alpn != "h2":
            while True:
                link.request()
                link.answer(b"over 1.1")
        link.begin()
        stream = link.stream()
        link.send(rst_stream(stream, HTTP_1_1_REQUIRED) if by == "rst" else goaway(0, HTTP_1_1_REQUIRED))
        link.hold()

    server = lab.serve_h2(behave, alpn=("h2", "http/1.1"))
    session = lab.open()
    response = session.request("POST", server.url(), data=b"body")
    assert response.status_code == 200, response.text
    assert response.content == b"over 1.1"
    assert response.http_version == "HTTP/1.1"
    assert server.requests[0].body == b"body"
    assert session.get(server.url()).content == b"over 1.1"
    assert len(server.streams) == 1
    assert len(server.requests) == 2


def test_http_1_1_required_by_a_server_that_has_only_http_2(lab: Lab) -> None:
    def behave(link: H2Link) -> None:
        if link.alpn == "h2":
            link.begin()
            link.send(rst_stream(link.stream(), HTTP_1_1_REQUIRED))
        link.hold()

    server = lab.serve_h2(behave)
    response = lab.get(server.url(), timeout=0.4)
    assert response.status_code == 0
    assert server.connections <= 4


def test_a_reset_without_error_after_the_whole_answer(lab: Lab) -> None:
    """RFC 9113 8.1: the server has all it needs of a body; the answer counts."""

    def behave(link: H2Link) -> None:
        link.begin((4, 100))
        stream = link.stream()
        link.send(whole(stream) + rst_stream(stream, NO_ERROR))
        link.respond(link.stream())
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    assert session.request("POST", server.url(), data=b"x" * 100000).content == b"ok"
    assert session.get(server.url()).content == b"ok"
    assert server.connections == 1


# ------------------------------------------------------------------------------------------------------- GOAWAY


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("when", ["at-once", "after-request"])
def test_goaway_before_the_request_was_seen(lab: Lab, when: str, method: str) -> None:
    """Last stream 0: it was not processed. Once more, on a new connection."""

    def behave(link: H2Link) -> None:
        link.begin()
        if link.number == 0:
            if when == "after-request":
                link.stream()
            link.send(goaway(0, NO_ERROR))
            link.hold()
        else:
            link.respond(link.stream())
            link.hold()

    server = lab.serve_h2(behave)
    response = lab.open().request(method, server.url(), **({"data": b"body"} if method == "POST" else {}))
    assert response.status_code == 200, response.text
    assert server.connections == 2


def test_goaway_every_time(lab: Lab) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.send(goaway(0, NO_ERROR, b"maintenance"))
        link.hold()

    server = lab.serve_h2(behave)
    error = lab.failed(server.url(), RemoteProtocolError, "GOAWAY", code="H2_GOAWAY", raises=False)
    assert error.safe_to_retry
    assert server.connections == 2


@pytest.mark.parametrize("when", ["at-once", "after-request", "with-last-stream"])
def test_goaway_that_asks_for_calm(lab: Lab, when: str) -> None:
    """Nothing is repeated."""

    def behave(link: H2Link) -> None:
        link.begin()
        if when != "at-once":
            link.stream()
        link.send(goaway(1 if when == "with-last-stream" else 0, ENHANCE_YOUR_CALM))
        link.wait(0.05)
        link.close()

    server = lab.serve_h2(behave)
    lab.failed(server.url(), TooManyRequests, "calm", code="H2_CALM", raises=False)
    assert server.connections == 1


@pytest.mark.parametrize("code", [NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR])
def test_goaway_with_the_stream_allowed_to_finish(lab: Lab, code: int) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        link.send(goaway(stream, code) + whole(stream))
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    assert session.get(server.url()).content == b"ok"
    assert session.get(server.url()).content == b"ok"
    assert server.connections == 2  # a connection that is leaving carries nothing new


def test_goaway_then_silence(lab: Lab) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        link.send(goaway(stream, NO_ERROR) + frame(HEADERS, END_HEADERS, stream, OK))
        link.wait(0.05)
        link.close()

    server = lab.serve_h2(behave)
    error = lab.failed(server.url(), IncompleteBody, raises=False)
    assert not error.safe_to_retry


def test_goaway_that_takes_back(lab: Lab) -> None:
    """First all streams may finish, then none above 0: the second counts."""

    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        if link.number == 0:
            link.send(goaway(0x7FFFFFFF, NO_ERROR))
            link.send(goaway(0, NO_ERROR))
        else:
            link.respond(stream)
        link.hold()

    server = lab.serve_h2(behave)
    assert lab.good(server.url()).content == b"ok"
    assert server.connections == 2


# ------------------------------------------------------------------------------------------------------- limits of the server


def test_one_stream_at_a_time(lab: Lab) -> None:
    """MAX_CONCURRENT_STREAMS 1: requests queue; the limit is never passed once it is known."""
    most = 0

    def behave(link: H2Link) -> None:
        nonlocal most
        link.begin((3, 1))
        link.respond(link.stream())
        while True:
            streams = [link.stream()]
            link.sock.settimeout(0.02)
            try:
                while True:
                    streams.append(link.stream())
            except socket.timeout:
                pass
            link.sock.settimeout(10)
            if link.number == 0:  # on others, requests may be on their way before the limit is known
                most = max(most, len(streams))
            for stream in streams:
                link.respond(stream)

    server = lab.serve_h2(behave)
    session = lab.open()
    assert session.get(server.url()).content == b"ok"
    responses = session.gather(*[server.url(f"/{index}") for index in range(5)])
    assert [response.status_code for response in responses] == [200] * 5
    assert most == 1


def test_no_stream_at_all(lab: Lab) -> None:
    """MAX_CONCURRENT_STREAMS 0: what was on its way is refused; nobody asks for ever, and nobody waits beyond the time limit."""

    def behave(link: H2Link) -> None:
        link.begin((3, 0))
        while True:
            link.send(rst_stream(link.stream(), REFUSED_STREAM))

    server = lab.serve_h2(behave)
    session = lab.open(timeout=0.4)
    for _ in range(2):
        start = time.monotonic()
        response = session.get(server.url())
        assert response.status_code == 0
        assert response.error.code in ("H2_REFUSED", "TIMEOUT_TOTAL", "TIMEOUT_POOL"), response.error
        assert response.error.safe_to_retry
        assert time.monotonic() - start < 2
    assert len(server.streams) <= 4
    assert server.connections <= 4


def test_streams_that_are_allowed_later(lab: Lab) -> None:
    def behave(link: H2Link) -> None:
        link.begin((3, 0))
        link.server.closing.wait(0.15)
        link.send(settings((3, 10)))
        while True:
            link.respond(link.stream())

    server = lab.serve_h2(behave)
    session = lab.open(timeout=5)
    assert session.get(server.url("/1")).status_code == 200
    assert session.get(server.url("/2")).status_code == 200


def test_a_window_of_zero(lab: Lab) -> None:
    """A body that may never be sent; the connection and other streams are well."""

    def behave(link: H2Link) -> None:
        link.begin((4, 0))
        link.stream()
        link.until(RST_STREAM)
        link.respond(link.stream())
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    # The window's size is known only after the first round trip: a POST may leave before.
    response = session.request("POST", server.url(), data=b"x" * 200000, timeout=0.4)
    assert isinstance(response.error, TotalTimeout), repr(response.error)
    assert session.get(server.url()).content == b"ok"


def test_a_window_byte_by_byte(lab: Lab) -> None:
    def behave(link: H2Link) -> None:
        link.begin((4, 1))
        stream = link.stream()
        body = b""
        while True:
            got = link.until(DATA)
            body += got.payload
            if got.flags & END_STREAM:
                break
            link.send(window_update(stream, 1))
        assert body == b"body byte by byte"
        link.respond(stream)
        link.hold()

    server = lab.serve_h2(behave)
    assert lab.open().request("POST", server.url(), data=b"body byte by byte").content == b"ok"


# ------------------------------------------------------------------------------------------------------- strange but right

STRANGE: dict[str, Reply] = {
    "unknown-settings": lambda stream: settings((0x1234, 5), (0xFFFF, 0xFFFFFFFF), (0, 0)) + whole(stream),
    "unknown-frames": lambda stream: frame(0xEE, 0xFF, 0, b"x" * 100) + frame(0xEF, 0, stream, b"") + whole(stream),
    "frames-around": lambda stream: frame(PING, 0, 0, b"12345678") + whole(stream) + frame(PING, 0, 0, b"87654321"),
    "reserved-bit": lambda stream: (
        frame(HEADERS, END_HEADERS, stream | 1 << 31, OK) + frame(DATA, END_STREAM, stream | 1 << 31, b"ok")
    ),
    "priority-in-headers": lambda stream: (
        frame(HEADERS, END_HEADERS | 0x20, stream, b"\0\0\0\0\x10" + OK) + frame(DATA, END_STREAM, stream, b"ok")
    ),
    "priority": lambda stream: frame(PRIORITY, 0, 99, b"\0\0\0\0\x10") + whole(stream),
    "padding": lambda stream: (
        frame(HEADERS, END_HEADERS | PADDED, stream, b"\x10" + OK + bytes(16))
        + frame(DATA, END_STREAM | PADDED, stream, b"\xffok" + bytes(255))
    ),
    "continuations": lambda stream: (
        frame(HEADERS, 0, stream, OK[:3])
        + frame(CONTINUATION, 0, stream, b"")
        + frame(CONTINUATION, END_HEADERS, stream, OK[3:])
        + frame(DATA, END_STREAM, stream, b"ok")
    ),
    "empty-data": lambda stream: (
        frame(HEADERS, END_HEADERS, stream, OK)
        + frame(DATA, 0, stream) * 20
        + frame(DATA, 0, stream, b"ok")
        + frame(DATA, END_STREAM, stream)
    ),
    "interim": lambda stream: (
        frame(HEADERS, END_HEADERS, stream, block((":status", "103"), ("link", "</a>"))) * 3 + whole(stream)
    ),
    "trailers": lambda stream: (
        frame(HEADERS, END_HEADERS, stream, OK)
        + frame(DATA, 0, stream, b"ok")
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, block(("x-sum", "1")))
    ),
    "hpack-table-size": lambda stream: (
        frame(HEADERS, END_HEADERS, stream, b"\x20\x3f\xe1\x1f\x88") + frame(DATA, END_STREAM, stream, b"ok")
    ),
    "window-updates": lambda stream: (
        window_update(0, 1000) + window_update(stream, 1000) + whole(stream) + window_update(stream, 5)
    ),
    "late-reset": lambda stream: whole(stream) + rst_stream(stream, NO_ERROR),
    "settings-in-the-middle": lambda stream: (
        frame(HEADERS, END_HEADERS, stream, OK)
        + settings((1, 0), (4, 1 << 20), (5, 1 << 20))
        + frame(DATA, END_STREAM, stream, b"ok")
    ),
    "length-right": lambda stream: (
        frame(HEADERS, END_HEADERS, stream, OK + block(("content-length", "2")))
        + frame(DATA, END_STREAM, stream, b"ok")
    ),
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("split", [False, True])
def test_strange_but_right(lab: Lab, name: str, split: bool) -> None:
    """Twice over one connection."""

    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            data = STRANGE[name](link.stream())
            if split:
                for index in range(0, len(data), 7):
                    link.send(data[index : index + 7])
            else:
                link.send(data)

    server = lab.serve_h2(behave)
    session = lab.open()
    for _ in range(2):
        response = session.get(server.url())
        assert response.status_code == 200, response.text
        assert response.content == b"ok"
    assert server.streams == [(0, 1), (0, 3)]


def test_pings_are_answered(lab: Lab) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        link.send(frame(PING, 0, 0, b"question"))
        got = link.until(PING)
        assert (got.flags, got.payload) == (ACK, b"question")
        link.respond(stream)
        link.hold()

    assert lab.good(lab.serve_h2(behave).url()).content == b"ok"


@pytest.mark.parametrize("limit", ["read", "stall"])
@pytest.mark.parametrize("queued", ["another upload", "pings"])
def test_whose_turn_it_is_when_time_is_over(lab: Lab, queued: str, limit: str) -> None:
    """The server has the whole request and does not answer, while other output fills the connection: it is the server that was late, not our writing."""
    seen = threading.Event()

    def behave(link: H2Link) -> None:
        link.begin((4, 0x7FFFFFFF))  # no window of a stream stops an upload
        link.send(window_update(0, 0x7FFF0000 - 65535))
        link.stream()
        seen.set()
        other = link.stream()
        if queued == "pings":
            # The upload that fills all buffers is over; behind what is left of it the answers wait.
            stays, before = 0, -1
            while stays < 10:
                assert not link.server.closing.wait(0.02)
                now = int(struct.unpack("i", fcntl.ioctl(link.sock, termios.FIONREAD, bytes(4)))[0])
                stays, before = (stays + 1 if now == before > 0 else 0), now
            link.respond(other)
            link.send(frame(PING, 0, 0, b"question") * 300)
        link.stall()

    url = lab.serve_h2(behave).url()
    session = lab.open(timeout={"read": 1.0, "write": 1.0, "connect": SECONDS})
    client, body = session.client, bytes(64 << 20)

    def get() -> Any:
        if limit == "read":
            return client.get(url)
        with client.stream("GET", url, timeout=1.0) as response:
            return response

    def post() -> Any:
        assert seen.wait(10)
        return client.post(url, content=body)

    async def aget() -> Any:
        if limit == "read":
            return await client.get(url)
        async with client.stream("GET", url, timeout=1.0) as response:
            return response

    async def apost() -> Any:
        while not seen.is_set():
            await asyncio.sleep(0.005)
        return await client.post(url, content=body)

    async def both() -> Any:
        return await asyncio.gather(aget(), apost())

    if session.loop is None:
        with ThreadPoolExecutor(2) as pool:
            one, other = (work.result(20) for work in [pool.submit(get), pool.submit(post)])
    else:
        one, other = session.loop.run_until_complete(asyncio.wait_for(both(), 20))
    assert type(one.error) is ReadTimeout and one.error.code == "TIMEOUT_READ", repr(one.error)
    assert one.error.phase == "wait" and one.error.request_sent
    if queued == "pings":
        assert other.status_code == 200 and other.content == b"ok"
    else:
        assert type(other.error) is WriteTimeout and other.error.phase == "send", repr(other.error)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what it has not sent yet")
def test_the_servers_time_begins_when_the_last_byte_is_out(server_pair: Pair, ca_file: str) -> None:
    """However long a request waited in our buffers, within the limit for writing: only then the limit for reading begins."""
    asked = threading.Event()

    def behave(link: H2Link) -> None:
        link.begin((4, 0x7FFFFFFF))
        link.send(window_update(0, 0x7FFF0000 - 65535))
        link.stream()
        assert asked.wait(20) and not link.server.closing.wait(
            1.0
        )  # reads nothing: the second request stays with the client
        second = link.stream()
        assert not link.server.closing.wait(0.3)
        link.respond(second)
        link.hold()

    def unsent(port: int) -> int:
        """Bytes of our connection to that port that the kernel has and the server has not."""
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                    sock = socket.socket(fileno=int(name))
                    try:
                        if sock.getpeername()[1:2] == (port,):
                            return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])
                    finally:
                        sock.detach()
        return 0

    async def main() -> None:
        with Fake(behave, tls_context(server_pair, ("h2",)), h2=True) as fake:
            full, over = asyncio.Event(), asyncio.Event()

            async def pieces() -> Any:
                """Until the kernel takes no more and the last ones wait in the engine: fewer bytes than would keep another request from it."""
                stays, before = 0, -1
                while stays < 3:
                    yield bytes(8192)
                    await asyncio.sleep(0.01)
                    now = unsent(fake.port)
                    stays, before = (stays + 1 if now == before > 0 else 0), now
                full.set()
                await over.wait()

            async with tls_requests.AsyncClient(verify=ca_file, timeout={"read": 0.6, "write": 10.0}) as client:
                upload = asyncio.ensure_future(client.post(fake.url(), content=pieces()))
                await full.wait()
                second = asyncio.ensure_future(client.get(fake.url()))
                await asyncio.sleep(0.1)
                asked.set()
                response = await second
                assert response.status_code == 200, response.text
                upload.cancel()
                over.set()
                with pytest.raises(asyncio.CancelledError):
                    await upload

    asyncio.run(asyncio.wait_for(main(), 25))


def test_a_cookie_and_header_case(lab: Lab) -> None:
    """Fields of an HTTP/2 answer reach the caller as they are."""

    def behave(link: H2Link) -> None:
        link.begin()
        link.respond(link.stream(), b"ok", ("x-a", "caf\xe9"), ("set-cookie", "a=1"), ("set-cookie", "b=2"))
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    response = session.get(server.url())
    assert response.http_version.startswith("HTTP/2")
    assert session.client.cookies.get("a") == "1"
    assert session.client.cookies.get("b") == "2"
    assert response.headers["x-a"]


def test_what_the_client_says_when_it_cancels(lab: Lab) -> None:
    """RST_STREAM with CANCEL for the request that timed out, nothing else; the connection goes on."""
    codes: list[int] = []

    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()
        codes.append(struct.unpack(">I", link.until(RST_STREAM).payload)[0])
        link.send(frame(HEADERS, END_HEADERS, 1, OK) + frame(DATA, END_STREAM, 1, b"late"))  # crossed on the wire
        link.respond(link.stream())
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    arguments: dict[str, Any] = {"timeout": 0.3}
    assert session.get(server.url(), **arguments).status_code == 0
    assert session.get(server.url()).content == b"ok"
    server.close()
    assert codes == [CANCEL]
