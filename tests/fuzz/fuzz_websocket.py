"""Fuzz target: what a server sends on an open WebSocket, to `tls_requests._websocket.AsyncWebSocket` without a connection.

An input is: a byte of options, one that chooses how the rest is cut into pieces, and the server's bytes. Messages, pongs, the close frame that is
sent, and the exception at the end must be those of a plain reading of RFC 6455 (and RFC 7692), however the bytes are cut: up to the first rule
that is broken, and nothing behind it. No message is larger than the limit, what we send is always a legal client's, and nothing but
WebSocketError is raised.
"""

from __future__ import annotations

import asyncio
import codecs
import random
import sys
import zlib
from typing import Any, NamedTuple

import engine
import websockets.extensions.permessage_deflate
import websockets.frames
import websockets.protocol
from websockets.extensions.permessage_deflate import PerMessageDeflate

from tls_requests import _frames, _websocket
from tls_requests._websocket import AsyncWebSocket, _Options
from tls_requests.exceptions import WebSocketError

LIMITS = (4, 100, 1000, 100_000)
TAIL = b"\0\0\xff\xff"  # RFC 7692 7.2.2
# RFC 6455 7.4.1, and what the registry has since: codes that may be in a frame.
CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def frame(first: int, data: bytes = b"") -> bytes:
    size = len(data)
    return bytes([first]) + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")) + data


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def finished(data: bytes) -> bytes:
    """A message whose DEFLATE stream ends (RFC 7692 7.2.3.4)."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush(zlib.Z_FINISH) + b"\0"


TOKENS = [
    *[frame(first) for first in (0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0x09, 0x08, 0x83, 0x8B, 0x41, 0xC1, 0xC2, 0x40, 0xA1, 0x91)],
    frame(0x81, b"text"), frame(0x01, b"te"), frame(0x00, b"x"), frame(0x80, b"xt"), frame(0x82, b"\0\xff"), frame(0x02, b"\0"), frame(0x89, b"ping"),
    frame(0x8A, b"pong"), frame(0x88, b"\x03\xe8"), frame(0x88, b"\x03\xe9bye"), frame(0x88, b"\x03\xe7"), frame(0x88, b"\x0f\xa0"), frame(0x88, b"\x03"),
    frame(0x88, b"\x03\xed"), frame(0x88, b"\x03\xe8\xff"), frame(0x81, b"\xe2\x82\xac"), frame(0x01, b"\xe2\x82"), frame(0x80, b"\xac"),
    frame(0x81, b"\xed\xa0\x80"), frame(0x81, b"\xf4\x90"), frame(0x81, b"\xc0\xaf"), frame(0x82, b"x" * 101), frame(0x82, b"x" * 130),
    frame(0x89, b"x" * 125), frame(0x89, b"x" * 126), b"\x82\x7e\xff\xff", b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", b"\x82\x7f\0\0\0\0\0\0\0\1x",
    frame(0xC1, deflated(b"Hello")), frame(0xC1, deflated(b"Hello" * 40)), frame(0x41, deflated(b"Hello")[:3]), frame(0x80, deflated(b"Hello")[3:]),
    frame(0xC1, finished(b"Hello")), frame(0xC2, deflated(bytes(1001))), frame(0xC1, b"\0"), frame(0xC1, b"\x02\0"), frame(0x81, b"\x81\x81"), TAIL,
]  # fmt: skip


class Setting(NamedTuple):
    """What an input's first bytes say."""

    limit: int
    deflate: bool
    keeps_context: bool
    http2: bool
    max_queue: int
    seed: int


def setting_of(data: bytes) -> Setting:
    bits = data[0]
    return Setting(LIMITS[bits & 3], bool(bits & 4), bool(bits & 8), bool(bits & 16), 1 if bits & 32 else 64, data[1])


class Outcome(NamedTuple):
    """codes: that may be sent and told, for more than one rule can be broken at once; empty: the connection just ended. reason: the server's."""

    messages: list[str | bytes]
    pongs: list[bytes]
    kind: str  # "open", "closed", "broken"
    codes: frozenset[int]
    reason: str


# ------------------------------------------------------------------------------------------------------------ the rules


class Broken(Exception):
    pass


class Inflater:
    """One DEFLATE stream after the other, of a connection or of a message (RFC 7692 7.2.2)."""

    def __init__(self) -> None:
        self.window = b""
        self.stream = zlib.decompressobj(wbits=-15)

    def inflate(self, data: bytes, limit: int) -> bytes:
        out = b""
        ends = 0
        while data:
            try:
                out += self.stream.decompress(data, limit + 1 - len(out))
            except zlib.error:
                raise Broken(1002) from None
            if len(out) > limit:
                raise Broken(1009)
            data = self.stream.unused_data if self.stream.eof else self.stream.unconsumed_tail
            if self.stream.eof:
                ends += 1
                if ends == _frames.STREAMS_MAX:
                    raise Broken(1002)
                self.stream = zlib.decompressobj(wbits=-15, zdict=(self.window + out)[-32768:])
        self.window = (self.window + out)[-32768:]
        return out


class Reference:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.messages: list[str | bytes] = []
        self.pongs: list[bytes] = []
        self.kind: str | None = None  # of the message under way
        self.size = 0
        self.data = b""
        self.decoder: Any = None
        self.packed = False
        self.inflater = Inflater()

    def read(self, stream: bytes) -> Outcome:
        try:
            at = 0
            while True:
                size, payload_at = self.head(stream[at:])
                if size is None or len(stream) < at + payload_at + size:
                    return self.outcome("open")
                first, payload = stream[at], stream[at + payload_at : at + payload_at + size]
                at += payload_at + size
                closing = self.frame(first, payload)
                if closing is not None:
                    return self.outcome("closed", {closing[0]}, closing[1])
        except Broken as broken:
            return self.outcome("broken", set(broken.args))

    def outcome(self, kind: str, codes: set[int] | None = None, reason: str = "") -> Outcome:
        return Outcome(self.messages, self.pongs, kind, frozenset(codes or ()), reason)

    def head(self, data: bytes) -> tuple[int | None, int]:
        """(size of the payload, where it begins); None: not all is there. RFC 6455 5.2."""
        if len(data) < 2:
            return None, 0
        if data[0] & 15 not in (0, 1, 2, 8, 9, 10) or data[1] & 0x80:
            raise Broken(1002)
        extra = {126: 2, 127: 8}.get(data[1], 0)
        if len(data) < 2 + extra:
            return None, 0
        size = int.from_bytes(data[2 : 2 + extra], "big") if extra else data[1]
        # It is said at once only where the message cannot fit any more, whatever control frames are between.
        under_way = self.size if self.kind is not None else 0
        if size > self.setting.limit + 125 - under_way:
            raise Broken(1009)
        return size, 2 + extra

    def frame(self, first: int, payload: bytes) -> tuple[int, str] | None:
        opcode, fin, rsv1 = first & 15, bool(first & 0x80), bool(first & 0x40)
        if opcode >= 8:
            if first & 0x70 or not fin or len(payload) > 125:
                raise Broken(1002)
            return self.control(opcode, payload)
        codes = set()
        if first & 0x30 or (rsv1 and (not self.setting.deflate or opcode == 0)):
            codes.add(1002)
        if (opcode == 0) != (self.kind is not None):
            codes.add(1002)
        if opcode != 0 and not codes:
            self.kind, self.size, self.data = "text" if opcode == 1 else "binary", 0, b""
            self.decoder = codecs.getincrementaldecoder("utf-8")("strict")
            self.packed = rsv1
            if rsv1 and not self.setting.keeps_context:
                self.inflater = Inflater()
        if codes:
            if rsv1 or self.packed:
                codes |= {1002, 1009}  # it may be inflated before it is looked at
            raise Broken(*codes)
        self.content(payload + (TAIL if fin and self.packed else b""), fin)
        return None

    def content(self, payload: bytes, fin: bool) -> None:
        room = self.setting.limit - self.size
        if self.packed:
            payload = self.inflater.inflate(payload, room)
        if len(payload) > room:
            raise Broken(1009)
        self.size += len(payload)
        self.data += payload
        if self.kind == "text":
            try:
                self.decoder.decode(payload, fin)
            except UnicodeDecodeError:
                raise Broken(1007) from None
        if fin:
            self.messages.append(self.data.decode() if self.kind == "text" else self.data)
            self.kind = None

    def control(self, opcode: int, payload: bytes) -> tuple[int, str] | None:
        if opcode == 9:
            self.pongs.append(payload)
        if opcode != 8:
            return None
        if not payload:
            return 1005, ""
        codes = set()
        if len(payload) == 1 or int.from_bytes(payload[:2], "big") not in CODES:
            codes.add(1002)
        try:
            reason = payload[2:].decode()
        except UnicodeDecodeError:
            codes.add(1007)
        if codes:
            raise Broken(*codes)
        return int.from_bytes(payload[:2], "big"), reason


# ------------------------------------------------------------------------------------------------------- what is tried


class Pipe:
    """The engine's half of a WebSocket: what is read from it is what the input says."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.ended = False
        self.written = b""
        self.aborted = False
        self._over = False
        self._reader: Any = None

    def _wants_body(self) -> int:
        return 0

    def _read(self, least: int, most: int, partly: bool) -> bytes | None:
        if not self.pieces:
            return b"" if self.ended else None
        data = self.pieces.pop(0)
        if len(data) > most:
            self.pieces.insert(0, data[most:])
        return data[:most]

    def _write(self, number: int, data: bytes) -> None:
        assert not self.aborted, "it writes to a connection that it has ended"
        self.written += data

    def _write_end(self, number: int) -> None:
        pass

    def _abort(self) -> None:
        self.aborted = self._over = True


class Answer:
    """The response of the handshake."""

    url = "wss://example.test/"

    def __init__(self, http2: bool) -> None:
        self.http_version = "HTTP/2.0" if http2 else "HTTP/1.1"


def sent_frames(data: bytes) -> list[tuple[int, bytes]]:
    """(opcode, payload) of what a client sent: whole frames, masked, without extensions, and nothing behind a close."""
    frames = []
    while data:
        assert data[0] & 0x70 == 0 and data[0] & 0x80 and data[1] & 0x80, "no frame that we should send"
        size, at = data[1] & 0x7F, 2
        assert size <= 125, "a control frame is short"
        mask, payload = data[at : at + 4], data[at + 4 : at + 4 + size]
        assert len(payload) == size
        frames.append((data[0] & 15, bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))))
        data = data[at + 4 + size :]
        assert frames[-1][0] != 8 or not data, "something follows the close frame"
    return frames


class Got(NamedTuple):
    messages: list[str | bytes]
    pongs: list[bytes]
    close: bytes | None  # what our close frame says
    error: tuple[str, int | None, str]


async def tried(stream: bytes, cuts: list[int], setting: Setting) -> Got:
    agreed = PerMessageDeflate(not setting.keeps_context, False, 15, 15)
    extensions = [_frames.Inflating(agreed)] if setting.deflate else []
    options = _Options((), setting.limit, setting.max_queue, None, None, 10.0, setting.deflate)
    pipe = Pipe([])
    answer: Any = Answer(setting.http2)
    socket = AsyncWebSocket(pipe, answer, options, None, extensions)
    messages: list[str | bytes] = []
    begin = 0
    for end in [*cuts, len(stream)]:
        pipe.pieces.append(stream[begin:end])
        begin = end
        socket._pump()
        while socket._queue:
            messages.append(await socket.receive())
    pipe.ended = True
    socket._pump()
    try:
        while True:
            messages.append(await socket.receive())
    except WebSocketError as error:
        told = (
            type(error).__name__,
            error.close_code,
            error.close_reason if type(error).__name__ == "WebSocketClosed" else "",
        )
    assert socket.closed and socket._ended
    assert all(len(message.encode() if isinstance(message, str) else message) <= setting.limit for message in messages)
    frames = sent_frames(pipe.written)
    assert all(opcode in (8, 10) for opcode, _ in frames)
    closing = [payload for opcode, payload in frames if opcode == 8]
    return Got(messages, [payload for opcode, payload in frames if opcode == 10], closing[0] if closing else None, told)


NAMES = {1007: "WebSocketInvalidText", 1009: "WebSocketTooBig"}


def compare(got: Got, expected: Outcome) -> None:
    assert got.messages == expected.messages, f"messages {got.messages}, not {expected.messages}"
    assert got.pongs == expected.pongs, f"pongs {got.pongs}, not {expected.pongs}"
    if expected.kind == "open":
        assert (got.close, got.error) == (None, ("WebSocketClosed", 1006, "")), got
    elif expected.kind == "closed":
        [code] = expected.codes
        assert got.error == ("WebSocketClosed", code, expected.reason), f"{got.error}, not {expected}"
        wanted = b"" if code == 1005 else code.to_bytes(2, "big") + expected.reason.encode()
        assert got.close == wanted, f"it answers {got.close!r} to {wanted!r}"
    else:
        assert got.close is not None and int.from_bytes(got.close[:2], "big") in expected.codes, (
            f"{got}, not {expected}"
        )
        code = int.from_bytes(got.close[:2], "big")
        assert got.error[:2] == (NAMES.get(code, "WebSocketProtocolError"), code), f"{got.error}, and {code} is sent"


LOOP = asyncio.new_event_loop()
FILES = [_websocket, _frames, websockets.protocol, websockets.frames, websockets.extensions.permessage_deflate]


def cuts_of(data: bytes) -> list[int]:
    places = range(1, len(data) - 2)
    return sorted(random.Random(data[1]).sample(places, min(len(places), 1 + data[1] % 8)))


def probe(data: bytes) -> None:
    if len(data) >= 2:
        LOOP.run_until_complete(tried(data[2:], cuts_of(data), setting_of(data)))


def target(data: bytes) -> None:
    if len(data) < 2:
        return
    setting, stream = setting_of(data), data[2:]
    expected = Reference(setting).read(stream)
    for cuts in ([], cuts_of(data), list(range(1, len(stream)))):
        got = LOOP.run_until_complete(tried(stream, cuts, setting))
        try:
            compare(got, expected)
        except AssertionError as error:
            raise AssertionError(f"{setting}, cut at {cuts}: {error}") from None


if __name__ == "__main__":
    sys.exit(engine.main("websocket", target, probe, [str(each.__file__) for each in FILES], TOKENS))
