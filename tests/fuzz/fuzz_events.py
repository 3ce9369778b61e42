"""Fuzz target: the parser of event streams (`tls_requests._events.EventParser`).

An input is: a byte that chooses the limit, one that chooses how the rest is cut into pieces, and the stream. The events must be those of a plain
reading of HTML's rules ("Server-sent events", 9.2.6), however the stream is cut, up to the place where a limit is passed; what the parser
holds stays within its limit; nothing but EventStreamError is raised.
"""

from __future__ import annotations

import random
import re
import sys

import engine

import tls_requests._events as events
from tls_requests._events import Event, EventParser
from tls_requests.exceptions import EventStreamError

LIMITS = (8, 64, 1024, 1 << 20)
TOKENS = [
    b"data", b"data:", b"data: ", b"event:", b"id:", b"id", b"retry:", b"retry: 10", b":", b": ", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n",
    b"\xef\xbb\xbf", b"\xef\xbb", b"\xef", b"\0", b"\xff", b"\xe2\x82\xac", b"\xe2\x82", b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xc3", b"0123456789",
    b"00000000000000007", "\u2028".encode(), "\u0085".encode(), b"\x0b", b"\x1c", b"data: x\n\n", b"Data: x\n\n", b" data: x\n\n", b"x" * 64,
]  # fmt: skip

Result = tuple[list[Event], str, "int | None", bool]


class Reference:
    """The rules, word for word, over all of the stream at once; limits as the documentation has them."""

    def __init__(self, limit: int, last_id: str) -> None:
        self.limit = limit
        self.events: list[Event] = []
        self.id, self.last_id = last_id, last_id
        self.retry: int | None = None
        self.event_retry: int | None = None
        self.data: list[str] = []
        self.size = 0
        self.kind = ""

    def read(self, stream: bytes) -> Result:
        if stream.startswith(b"\xef\xbb\xbf"):
            stream = stream[3:]
        *lines, rest = re.split(b"\r\n|\n|\r", stream)
        for line in lines:
            if len(line) > self.limit or not self.line(line):
                return self.events, self.last_id, self.retry, True
        return self.events, self.last_id, self.retry, len(rest) > self.limit

    def line(self, line: bytes) -> bool:
        """False: a limit is passed."""
        text = line.decode("utf-8", "replace")
        if text == "":
            self.dispatch()
            return True
        name, colon, value = text.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            self.kind = value
        elif name == "data":
            raw = line.partition(b":")[2]
            self.size += len(raw[1:] if raw.startswith(b" ") else raw) + 1
            self.data.append(value)
            return self.size <= self.limit
        elif name == "id" and "\0" not in value:
            self.id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value) and len(value.lstrip("0")) <= 10:
            self.retry = self.event_retry = int(value)
        return True

    def dispatch(self) -> None:
        self.last_id = self.id
        if self.data:
            self.events.append(Event(self.kind or "message", "\n".join(self.data), self.id, self.event_retry))
        self.data, self.kind, self.event_retry, self.size = [], "", None, 0


def parsed(stream: bytes, cuts: list[int], limit: int) -> Result:
    """What the parser makes of the stream, cut at these places."""
    parser = EventParser(limit, "before")
    found: list[Event] = []
    begin = 0
    for end in [*cuts, len(stream)]:
        try:
            for event in parser.feed(stream[begin:end]):
                found.append(event)
        except EventStreamError:
            return found, parser.last_event_id, parser.retry, True
        begin = end
        held = len(parser._rest) + sum(map(len, parser._data)) + len(parser._data)
        assert held <= 2 * limit + 3 and len(parser._event) <= limit and len(parser.last_event_id) <= limit, (
            "it holds more than its limit"
        )
    return found, parser.last_event_id, parser.retry, False


def read(data: bytes) -> tuple[int, list[int], bytes]:
    """The limit, where to cut, and the stream of an input."""
    limit, stream = LIMITS[data[0] % len(LIMITS)], data[2:]
    places = range(1, len(stream))
    return limit, sorted(random.Random(data[1]).sample(places, min(len(places), 1 + data[1] % 8))), stream


def probe(data: bytes) -> None:
    if len(data) >= 2:
        limit, cuts, stream = read(data)
        parsed(stream, cuts, limit)


def target(data: bytes) -> None:
    if len(data) < 2:
        return
    limit, some, stream = read(data)
    expected = Reference(limit, "before").read(stream)
    for cuts in ([], some, list(range(1, len(stream)))):
        got = parsed(stream, cuts, limit)
        assert got == expected, f"cut at {cuts}: {got}, not {expected}"


if __name__ == "__main__":
    sys.exit(engine.main("events", target, probe, [str(events.__file__)], TOKENS))
