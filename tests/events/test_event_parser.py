"""The event stream format, whole and in every split."""

from __future__ import annotations

import json
import random

import pytest

from tls_requests._events import Event, EventParser
from tls_requests.exceptions import EventStreamError

# (stream, [(event, data, id, retry)])
CASES: list[tuple[bytes, list[tuple[str, str, str, int | None]]]] = [
    (b"data: a\n\n", [("message", "a", "", None)]),
    (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "", None)]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),  # only the first is a mark
    (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [("message", text, "", None) for text in "abc"]),
    (b"data: a\r\n\ndata: b\n\r\n", [("message", text, "", None) for text in "ab"]),
    (b"data: 1\ndata: 2\n\n", [("message", "1\n2", "", None)]),
    (b"data\n\ndata\ndata\n\ndata:", [("message", "", "", None), ("message", "\n", "", None)]),
    (b"data:x\n\ndata:  x\n\n", [("message", "x", "", None), ("message", " x", "", None)]),
    (b": comment\n:\n\ndata: a\n: more\n\n", [("message", "a", "", None)]),
    (b"event: add\ndata: 1\n\nevent: add\n\ndata: 2\n\n", [("add", "1", "", None), ("message", "2", "", None)]),
    (
        b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
        [("message", "a", "7", None), ("message", "b", "7", None), ("message", "c", "", None)],
    ),
    (b"id: 1\0\ndata: a\n\n", [("message", "a", "", None)]),
    (b"retry: 10\ndata: a\n\nretry: x\nretry: -1\ndata: b\n\n", [("message", "a", "", 10), ("message", "b", "", None)]),
    (
        b"retry: 00000000000012\ndata: a\n\nretry: 99999999999\ndata: b\n\n",
        [("message", "a", "", 12), ("message", "b", "", None)],
    ),
    (b"foo: bar\nDATA: x\ndata : y\n\n", []),
    ("data: ä€😀\n\n".encode(), [("message", "ä€😀", "", None)]),
    (b"data: \xff\xe2\x82\n\n", [("message", "\ufffd\ufffd", "", None)]),
    (b"data: unfinished\n", []),
    (b"", []),
    (b"\n\n\n", []),
]


def expected(rows: list[tuple[str, str, str, int | None]]) -> list[Event]:
    return [Event(*row) for row in rows]


@pytest.mark.parametrize(("stream", "rows"), CASES)
def test_whole_bytewise_and_at_each_split(stream: bytes, rows: list[tuple[str, str, str, int | None]]) -> None:
    assert list(EventParser().feed(stream)) == expected(rows)
    parser = EventParser()
    assert [event for byte in stream for event in parser.feed(bytes([byte]))] == expected(rows)
    for cut in range(len(stream) + 1):
        parser = EventParser()
        assert [*parser.feed(stream[:cut]), *parser.feed(stream[cut:])] == expected(rows)


def test_random_splits_of_random_streams() -> None:
    for seed in range(300):
        rng = random.Random(seed)
        stream = b"".join(
            rng.choice(
                [
                    b"data",
                    b"id",
                    b"event",
                    b"retry",
                    b":",
                    b" ",
                    b"\r",
                    b"\n",
                    b"\r\n",
                    b"x",
                    b"7",
                    b"\0",
                    b"\xef\xbb\xbf",
                    b"\xc3",
                ]
            )
            for _ in range(rng.randrange(60))
        )
        whole = list(EventParser().feed(stream))
        parser, got, at = EventParser(), [], 0
        while at < len(stream):
            step = rng.randrange(1, 6)
            got += parser.feed(stream[at : at + step])
            at += step
        assert got == whole, (seed, stream)


def test_limits() -> None:
    parser = EventParser(max_size=10)
    assert list(parser.feed(b"data: 1234\n\n")) == [Event("message", "1234", "")]
    with pytest.raises(EventStreamError, match="line"):
        list(EventParser(max_size=10).feed(b"data: 12345"))
    parser = EventParser(max_size=10)
    with pytest.raises(EventStreamError, match="event"):
        for _ in range(6):
            list(parser.feed(b"data: 1\n"))


@pytest.mark.parametrize("bad", [b": a long comment\n", b"event: much too long\n", b"data: 12345", b"data: 1\n" * 6])
def test_what_comes_before_something_too_large_is_given(bad: bytes) -> None:
    """However it is cut: what is complete before comes out, then the error."""
    stream = b"data: a\n\nid: 7\ndata: b\n\n" + bad + b"\n\ndata: c\n\n"
    for pieces in ([stream], [bytes([byte]) for byte in stream]):
        parser, got = EventParser(max_size=10), []
        with pytest.raises(EventStreamError):
            for piece in pieces:
                for event in parser.feed(piece):
                    got.append((event.data, parser.last_event_id))
        assert got == [("a", ""), ("b", "7")]


def test_the_id_outlives_a_stream() -> None:
    parser = EventParser(last_event_id="3")
    assert list(parser.feed(b"data: a\n\n")) == [Event("message", "a", "3")]
    assert list(parser.feed(b"id: 4\n\nid: 5\n")) == []
    assert parser.last_event_id == "4"
    parser.reset()
    assert list(parser.feed(b"data: b\n\n")) == [Event("message", "b", "4")]


def test_json() -> None:
    assert Event("message", '{"a": 1}', "").json() == {"a": 1}
    with pytest.raises(json.JSONDecodeError):
        Event("message", "{", "").json()
