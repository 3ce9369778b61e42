"""Servers that break the rules: the right close code, the right exception, and no hang."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from raw import BINARY, CLOSE, CONT, PING, PONG, TEXT, Raw, accept, closing, frame, handshake

import tls_requests
from peers.fake import Fake, Link
from tls_requests.exceptions import (
    WebSocketClosed,
    WebSocketError,
    WebSocketHandshakeError,
    WebSocketInvalidText,
    WebSocketProtocolError,
    WebSocketTimeout,
    WebSocketTooBig,
)

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def deflated(data: bytes, level: int = 9) -> bytes:
    packer = zlib.compressobj(level, wbits=-15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


# what the server sends, the close code that it must get, the exception of receive
VIOLATIONS: dict[str, tuple[bytes, int, type[WebSocketError]]] = {
    "masked frame": (frame(TEXT, b"x", mask=b"abcd"), 1002, WebSocketProtocolError),
    "rsv1 without compression": (frame(TEXT, b"x", rsv=4), 1002, WebSocketProtocolError),
    "rsv2": (frame(TEXT, b"x", rsv=2), 1002, WebSocketProtocolError),
    "rsv3 on a ping": (frame(PING, b"x", rsv=1), 1002, WebSocketProtocolError),
    "opcode 3": (frame(3, b"x"), 1002, WebSocketProtocolError),
    "opcode 11": (frame(11), 1002, WebSocketProtocolError),
    "fragmented ping": (frame(PING, b"x", fin=False), 1002, WebSocketProtocolError),
    "fragmented close": (frame(CLOSE, b"\x03\xe8", fin=False), 1002, WebSocketProtocolError),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002, WebSocketProtocolError),
    "continuation of nothing": (frame(CONT, b"x"), 1002, WebSocketProtocolError),
    "text within a message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002, WebSocketProtocolError),
    "binary within a message": (frame(TEXT, b"x", fin=False) + frame(BINARY, b"y"), 1002, WebSocketProtocolError),
    "continuation behind the end": (
        frame(TEXT, b"x", fin=False) + frame(CONT) + frame(CONT),
        1002,
        WebSocketProtocolError,
    ),
    "close of one byte": (frame(CLOSE, b"\x03"), 1002, WebSocketProtocolError),
    "close code 999": (closing(999), 1002, WebSocketProtocolError),
    "close code 1004": (closing(1004), 1002, WebSocketProtocolError),
    "close code 1005": (closing(1005), 1002, WebSocketProtocolError),
    "close code 1006": (closing(1006), 1002, WebSocketProtocolError),
    "close code 1015": (closing(1015), 1002, WebSocketProtocolError),
    "close code 5000": (closing(5000), 1002, WebSocketProtocolError),
    "close reason that is no text": (closing(1000, b"\xff"), 1007, WebSocketInvalidText),
    "text that is no UTF-8": (frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80"), 1007, WebSocketInvalidText),
    "UTF-8 cut at the end": (frame(TEXT, b"\xf0\x9f\x98"), 1007, WebSocketInvalidText),
    "bad UTF-8 over two frames": (
        frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONT, b"\x28x", fin=False),
        1007,
        WebSocketInvalidText,
    ),
    "UTF-8 cut, then an empty end": (frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONT), 1007, WebSocketInvalidText),
    "2^63 bytes": (frame(BINARY, length=1 << 63), 1009, WebSocketTooBig),
    "2^64 - 1 bytes": (frame(BINARY, length=(1 << 64) - 1), 1009, WebSocketTooBig),
    "a long frame": (frame(BINARY, b"x" * 200_000), 1009, WebSocketTooBig),
    "a long message": (frame(BINARY, b"x" * 60_000, fin=False) + frame(CONT, b"x" * 60_000), 1009, WebSocketTooBig),
    "one byte too many": (frame(BINARY, b"x" * 100_001), 1009, WebSocketTooBig),
    # The first thing that is wrong counts, whatever comes with it.
    "bad text before a bad frame": (frame(TEXT, b"\xff") + frame(3) + frame(PING), 1007, WebSocketInvalidText),
    "too much before a masked frame": (
        frame(BINARY, b"x" * 100_001) + frame(TEXT, b"x", mask=b"abcd"),
        1009,
        WebSocketTooBig,
    ),
}
DEFLATE_VIOLATIONS: dict[str, tuple[bytes, int, type[WebSocketError]]] = {
    "no deflate": (frame(TEXT, b"\xff\xff\xff\xff", rsv=4), 1002, WebSocketProtocolError),
    "rsv1 in a continuation": (
        frame(TEXT, deflated(b"x"), fin=False, rsv=4) + frame(CONT, b"", rsv=4),
        1002,
        WebSocketProtocolError,
    ),
    "rsv1 on a ping": (frame(PING, b"x", rsv=4), 1002, WebSocketProtocolError),
    "a bomb": (frame(BINARY, deflated(b"\0" * 50_000_000), rsv=4), 1009, WebSocketTooBig),
    "a bomb in pieces": (
        b"".join(
            frame(CONT if at else BINARY, deflated(b"\0" * 40_000_000)[at : at + 500], fin=False, rsv=0 if at else 4)
            for at in range(0, 20_000, 500)
        ),
        1009,
        WebSocketTooBig,
    ),
    "inflated text that is no UTF-8": (frame(TEXT, deflated(b"\xff\xfe"), rsv=4), 1007, WebSocketInvalidText),
    "many ended streams": (frame(TEXT, b"\x03\0" * 50_000, rsv=4), 1002, WebSocketProtocolError),
}
CASES = [(name, (), *case) for name, case in VIOLATIONS.items()]
CASES += [(name, (DEFLATE,), *case) for name, case in DEFLATE_VIOLATIONS.items()]


@pytest.mark.parametrize(
    ("fields", "data", "code", "kind"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_violations(
    api: Any, raw: Any, fields: tuple[str, ...], data: bytes, code: int, kind: type[WebSocketError]
) -> None:
    got: list[int | None] = []

    def behave(server: Raw) -> None:
        server.send(frame(TEXT, b"before") + data)
        got.append(server.close_code())

    started = time.monotonic()
    socket = api.open(raw(behave, *fields), max_message_size=100_000)
    assert socket.receive(10) == "before"  # what came in order is still given
    with pytest.raises(kind) as info:
        while True:
            assert socket.receive(10) == "x"
    assert info.value.close_code == code and socket.close_code == code and socket.closed
    with pytest.raises(kind):
        socket.send("x")
    socket.close()
    assert got == [code]
    assert time.monotonic() - started < 8


def test_the_largest_message_and_control_frames_between(api: Any, raw: Any) -> None:
    def behave(server: Raw) -> None:
        server.send(frame(BINARY, b"x" * 99_999, fin=False) + frame(PING, b"p" * 125) + frame(CONT, b"", fin=False))
        server.send(frame(PONG, b"unasked") + frame(CONT, b"y"))
        opcode, _, data = server.frame()
        assert (opcode, data) == (PONG, b"p" * 125)
        server.send(closing(1000, b"fine"))
        assert server.close_code() == 1000

    with api.open(raw(behave), max_message_size=100_000) as socket:
        assert socket.receive(10) == b"x" * 99_999 + b"y"
        with pytest.raises(WebSocketClosed):
            socket.receive(10)
    assert (socket.close_code, socket.close_reason) == (1000, "fine")


def test_a_close_between_fragments(api: Any, raw: Any) -> None:
    """RFC 6455 5.4: control frames may come there, closes too."""

    def behave(server: Raw) -> None:
        server.send(frame(TEXT, b"before") + frame(TEXT, b"half", fin=False) + closing(1001, b"restart"))
        assert server.close_code() == 1001

    with api.open(raw(behave)) as socket:
        assert socket.receive(10) == "before"
        with pytest.raises(WebSocketClosed) as info:
            socket.receive(10)
    assert type(info.value) is WebSocketClosed
    assert (socket.close_code, socket.close_reason) == (1001, "restart")


@pytest.mark.parametrize("fields", [DEFLATE, DEFLATE + "; server_no_context_takeover"])
def test_deflate_streams_that_end(api: Any, raw: Any, fields: str) -> None:
    """RFC 7692 7.2.3.4: a message may be the end of its DEFLATE stream; the next one begins another, which may point back all the same."""
    packer = zlib.compressobj(wbits=-15)
    ended = packer.compress(b"Hello, Hello") + packer.flush(zlib.Z_FINISH) + b"\0"
    packer = zlib.compressobj(wbits=-15, zdict=b"Hello, Hello" if fields == DEFLATE else b"")
    pointing = packer.compress(b"Hello, Hello, again") + packer.flush(zlib.Z_FINISH) + b"\0"

    def behave(server: Raw) -> None:
        server.send(frame(TEXT, ended, rsv=4) + frame(TEXT, pointing[:3], fin=False, rsv=4) + frame(CONT, pointing[3:]))
        server.send(frame(TEXT, deflated(b"third"), rsv=4) + closing(1000))
        server.close_code()

    with api.open(raw(behave, fields)) as socket:
        assert [socket.receive(10) for _ in range(3)] == ["Hello, Hello", "Hello, Hello, again", "third"]


def test_utf8_over_frames_bytewise(api: Any, raw: Any) -> None:
    text = "κόσμε €😀".encode()

    def behave(server: Raw) -> None:
        for index in range(len(text)):
            server.send(frame(CONT if index else TEXT, text[index : index + 1], fin=index == len(text) - 1))
        server.close_code()

    with api.open(raw(behave)) as socket:
        assert socket.receive(10) == "κόσμε €😀"


def test_every_split_of_a_stream(raw: Any, ca_file: str) -> None:
    """The same bytes, cut anywhere, are the same messages."""
    stream = (
        frame(TEXT, b"one")
        + frame(BINARY, b"x" * 130)
        + frame(PING, b"p")
        + frame(TEXT, b"t" * 3, fin=False)
        + frame(CONT, b"wo")
    )
    cuts = sorted({*range(1, 20), len(stream) - 7, len(stream) - 1, 140, 141, 142})

    def behave(server: Raw) -> None:
        cut = int(server.frame()[2])
        server.send(stream[:cut])
        time.sleep(0.01)
        server.send(stream[cut:] + closing(1000))
        server.close_code()

    url = raw(behave)

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            for cut in cuts:
                async with client.websocket(url) as socket:
                    await socket.send(str(cut))
                    assert [message async for message in socket] == ["one", b"x" * 130, "tttwo"]

    asyncio.run(main())


def test_close_without_a_code(api: Any, raw: Any) -> None:
    got: list[int | None] = []

    def behave(server: Raw) -> None:
        server.send(frame(CLOSE))
        got.append(server.close_code())

    with api.open(raw(behave)) as socket:
        assert socket.all() == []
        assert socket.close_code == 1005
    assert got == [None]


@pytest.mark.parametrize("data", [b"", frame(TEXT, b"half", fin=False), frame(TEXT, b"cut", length=100), b"\x81"])
def test_a_connection_that_ends(api: Any, raw: Any, data: bytes) -> None:
    def behave(server: Raw) -> None:
        server.send(data)

    with api.open(raw(behave)) as socket:
        with pytest.raises(WebSocketClosed) as info:
            socket.receive(10)
        assert info.value.close_code == 1006
        with pytest.raises(WebSocketClosed):
            socket.send("x")
    assert (socket.close_code, socket.close_reason) == (1006, "")


def test_a_reset(api: Any, raw: Any) -> None:
    def behave(server: Raw) -> None:
        server.link.sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: the close is a reset

    with api.open(raw(behave)) as socket:
        with pytest.raises(WebSocketClosed) as info:
            socket.receive(10)
        assert info.value.close_code == 1006 and isinstance(info.value.__cause__, (tls_requests.HTTPError, type(None)))


def test_a_server_that_answers_no_close(api: Any, raw: Any) -> None:
    def behave(server: Raw) -> None:
        while True:
            server.frame()

    started = time.monotonic()
    socket = api.open(raw(behave), close_timeout=0.3)
    socket.close(3001, "bye")
    assert time.monotonic() - started < 5
    assert socket.close_code == 1006


def test_a_server_that_talks_on_behind_our_close(api: Any, raw: Any) -> None:
    def behave(server: Raw) -> None:
        server.close_code()
        try:
            while True:
                server.send(frame(BINARY, b"x" * 60_000))
        except OSError:
            pass

    started = time.monotonic()
    socket = api.open(raw(behave), close_timeout=0.5, max_queue=1)
    socket.close()
    assert time.monotonic() - started < 5


def test_slow_drips(api: Any, raw: Any) -> None:
    def behave(server: Raw) -> None:
        for byte in frame(TEXT, b"slowly"):
            server.send(bytes([byte]))
            time.sleep(0.05)
        server.close_code()

    with api.open(raw(behave)) as socket:
        with pytest.raises(WebSocketTimeout):
            socket.receive(0.1)
        assert socket.receive(10) == "slowly"


def test_no_pong(api: Any, raw: Any) -> None:
    def behave(server: Raw) -> None:
        server.hold()

    url = raw(behave)
    socket = api.open(url, close_timeout=0.2)
    with pytest.raises(WebSocketTimeout):
        socket.ping(timeout=0.2)
    assert not socket.closed
    socket.close()
    socket = api.open(url, ping_interval=0.1, pong_timeout=0.2)
    started = time.monotonic()
    with pytest.raises(WebSocketClosed, match="ping"):
        socket.receive(10)
    assert socket.close_code == 1006 and time.monotonic() - started < 5
    socket.close()


def test_keepalive_with_a_server_that_answers(api: Any, plain: str) -> None:
    with api.open(plain, ping_interval=0.05, pong_timeout=2) as socket:
        with pytest.raises(WebSocketTimeout):
            socket.receive(0.6)
        socket.send("alive")
        assert socket.receive(5) == "alive"


def test_a_ping_flood_that_nobody_reads_is_bounded(raw: Any) -> None:
    """Pongs are only made as far as they can be sent: then nothing more is read."""
    sent = [0]

    def behave(server: Raw) -> None:
        server.link.sock.settimeout(1)
        block = frame(PING, b"p" * 125) * 500
        try:
            while sent[0] < 400_000_000:
                server.link.sock.sendall(block)
                sent[0] += len(block)
        except OSError:
            pass

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            socket = await client.websocket(raw(behave), close_timeout=0.2)
            await asyncio.sleep(2.5)
            assert not socket.closed
            await socket.close()

    asyncio.run(main())
    assert sent[0] < 60_000_000


def test_a_queue_that_nobody_empties_is_bounded(raw: Any) -> None:
    sent = [0]

    def behave(server: Raw) -> None:
        server.link.sock.settimeout(1)
        block = frame(BINARY, b"m" * 10_000)
        try:
            while sent[0] < 400_000_000:
                server.link.sock.sendall(block)
                sent[0] += len(block)
        except OSError:
            pass

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            socket = await client.websocket(raw(behave), close_timeout=0.2, max_queue=4)
            await asyncio.sleep(1.5)
            for _ in range(20):
                assert await socket.receive(5) == b"m" * 10_000
            await socket.close()

    asyncio.run(main())
    assert sent[0] < 60_000_000


def test_a_server_that_does_not_read_stops_the_sender(raw: Any) -> None:
    over = threading.Event()

    def behave(server: Raw) -> None:
        over.wait(20)

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            socket = await client.websocket(raw(behave), close_timeout=0.2, compression=False)
            count = 0
            with pytest.raises(asyncio.TimeoutError):
                for _ in range(2000):
                    await asyncio.wait_for(socket.send(b"x" * 100_000), 1)
                    count += 1
            assert count * 100_000 < 60_000_000
            await socket.close()
            over.set()

    asyncio.run(main())


# -------------------------------------------------------------------------------------------------------- the handshake


def answer_with(*lines: str, key: bool = True) -> Callable[[Link], None]:
    def behave(link: Link) -> None:
        seen = link.request()
        parts = [*lines]
        if key:
            parts.append(f"Sec-WebSocket-Accept: {accept(seen.fields['sec-websocket-key'])}")
        link.send("\r\n".join([*parts, "", ""]).encode())
        link.hold()

    return behave


SWITCH = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
HANDSHAKES = {
    "wrong accept": answer_with(*SWITCH, "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=", key=False),
    "no accept": answer_with(*SWITCH, key=False),
    "another protocol": answer_with("HTTP/1.1 101 X", "Upgrade: h2c", "Connection: Upgrade"),
    "no upgrade": answer_with("HTTP/1.1 101 X", "Connection: Upgrade"),
    "no connection field": answer_with("HTTP/1.1 101 X", "Upgrade: websocket"),
    "an extension that was not offered": answer_with(*SWITCH, "Sec-WebSocket-Extensions: x-foo"),
    "a parameter that nobody knows": answer_with(*SWITCH, "Sec-WebSocket-Extensions: permessage-deflate; foo=1"),
    "window bits of 7": answer_with(*SWITCH, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7"),
    "compression twice": answer_with(*SWITCH, "Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"),
    "a broken extension field": answer_with(*SWITCH, "Sec-WebSocket-Extensions: permessage-deflate; ="),
    "a subprotocol that was not offered": answer_with(*SWITCH, "Sec-WebSocket-Protocol: other"),
    "200": answer_with("HTTP/1.1 200 OK", "Content-Length: 2", key=False),
}


@pytest.mark.parametrize("behave", list(HANDSHAKES.values()), ids=list(HANDSHAKES))
def test_bad_handshakes(api: Any, behave: Callable[[Link], None]) -> None:
    server = Fake(behave)
    with pytest.raises(WebSocketHandshakeError) as info:
        api.open(f"ws://127.0.0.1:{server.port}/", subprotocols=["chat"], timeout={"total": 3, "read": 1})
    assert info.value.response is not None
    server.close()


def test_redirects_are_not_followed(api: Any) -> None:
    server = Fake(lambda link: (link.request(), link.answer(b"", 302, "Location: /other")))
    with pytest.raises(WebSocketHandshakeError) as info:
        api.open(f"ws://127.0.0.1:{server.port}/")
    assert info.value.response.status_code == 302 and len(server.requests) == 1
    server.close()


def test_a_refusal_keeps_its_page(api: Any) -> None:
    server = Fake(lambda link: (link.request(), link.answer(b"go away", 403)))
    with pytest.raises(WebSocketHandshakeError) as info:
        api.open(f"ws://127.0.0.1:{server.port}/")
    assert info.value.response.content == b"go away"
    server.close()


def test_a_handshake_that_is_not_answered(api: Any) -> None:
    server = Fake(lambda link: (link.request(), link.hold()))
    started = time.monotonic()
    with pytest.raises(tls_requests.exceptions.TimeoutError):
        api.open(f"ws://127.0.0.1:{server.port}/", timeout=0.3)
    assert time.monotonic() - started < 5
    server.close()


def test_nothing_listens(api: Any) -> None:
    with pytest.raises(tls_requests.exceptions.ConnectError):
        api.open("ws://127.0.0.1:9/")


def test_first_frames_in_the_segment_of_the_handshake(api: Any) -> None:
    def behave(link: Link) -> None:
        seen = link.request()
        head = "\r\n".join([*SWITCH, f"Sec-WebSocket-Accept: {accept(seen.fields['sec-websocket-key'])}", "", ""])
        link.send(head.encode() + frame(TEXT, b"at once") + closing(1000))
        Raw(link).close_code()

    server = Fake(behave)
    with api.open(f"ws://127.0.0.1:{server.port}/") as socket:
        assert socket.all() == ["at once"]
    server.close()


# ------------------------------------------------------------------------------------------------------- what is sent


def test_bad_arguments_before_anything_is_sent(api: Any, raw: Any) -> None:
    frames: list[Any] = []

    def behave(server: Raw) -> None:
        while True:
            frames.append(server.frame())
            if frames[-1][0] == CLOSE:
                server.send(closing(1000))
                return

    url = raw(behave)
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000):
        socket = api.open(url)
        with pytest.raises(ValueError, match="reserved"):
            socket.close(code)
        with pytest.raises(ValueError, match="123"):
            socket.close(1000, "€" * 42)
        with pytest.raises(ValueError, match="125"):
            socket.ping(b"x" * 126)
        for bad in (None, 1, {"a": 1}, object()):
            with pytest.raises(TypeError):
                socket.send(bad)
        with pytest.raises(TypeError):
            socket.send_text(b"x")
        with pytest.raises(TypeError):
            socket.send_bytes("x")
        assert not socket.closed
        socket.close(1000, "€" * 41)
    assert {opcode for opcode, _, _ in frames} == {CLOSE}
    for options, kind in (
        ({"max_message_size": 0}, ValueError),
        ({"max_queue": "x"}, TypeError),
        ({"ping_interval": 0}, ValueError),
        ({"close_timeout": -1}, ValueError),
        ({"subprotocols": "chat"}, TypeError),
        ({"subprotocols": ["a b"]}, ValueError),
        ({"subprotocols": ["a", "a"]}, ValueError),
    ):
        with pytest.raises(kind):
            api.open(url, **options)
    for bad_url in ("ftp://x/", "x", "ws://h/#fragment", "ws://"):
        with pytest.raises(tls_requests.URLError):
            api.open(bad_url)


def test_fragments_on_the_wire_and_an_iterator_that_fails(api: Any, raw: Any) -> None:
    frames: list[Any] = []

    def behave(server: Raw) -> None:
        while True:
            frames.append(server.frame())
            if frames[-1][0] == CLOSE:
                server.send(frame(CLOSE, frames[-1][2]))
                return

    def failing() -> Iterator[str]:
        yield "one"
        yield "two"
        raise KeyError("no more")

    socket = api.open(raw(behave))
    socket.send(["a", "b", "c"])
    socket.send(["alone"])
    with pytest.raises((KeyError, RuntimeError)):
        socket.send(failing())
    with pytest.raises(WebSocketClosed):
        socket.send("x")
    assert socket.close_code == 1011
    socket.close()
    assert [(opcode, fin, data) for opcode, fin, data in frames[:4]] == [
        (TEXT, False, b"a"),
        (CONT, False, b"b"),
        (CONT, True, b"c"),
        (TEXT, True, b"alone"),
    ]
    assert frames[-1][0] == CLOSE and frames[-1][2][:2] == struct.pack("!H", 1011)


def test_pieces_of_both_kinds(api: Any, plain: str) -> None:
    with api.open(plain) as socket:
        with pytest.raises(TypeError, match="all str or all bytes"):
            socket.send(["a", b"b", "c"])
        with pytest.raises(ValueError, match="at least one"):
            socket.send([])
        socket.send("fine")
        assert socket.receive(5) == "fine"


# ------------------------------------------------------------------------------------------------------------- fuzzing


def test_random_frames_never_hang_nor_leak(raw: Any) -> None:
    """Frames with random heads, and legal streams with a few bytes changed: every WebSocket ends with a code, in time."""
    seeds = itertools.count()

    def behave(server: Raw) -> None:
        seed = next(seeds)
        rng = random.Random(seed)
        if seed % 2:
            data = b"".join(
                frame(
                    rng.choice([0, 1, 1, 2, 2, 8, 9, 10, rng.randrange(16)]),
                    rng.randbytes(rng.choice([0, 1, 2, 5, 125, 126, 300])),
                    fin=rng.random() < 0.7,
                    rsv=rng.choice([0, 0, 0, 4, rng.randrange(8)]),
                    mask=rng.choice([None] * 9 + [b"mask"]),
                )
                for _ in range(rng.randrange(1, 12))
            )
        else:
            stream = bytearray(
                frame(TEXT, deflated(b"text"), rsv=4) + frame(BINARY, b"x" * 200) + frame(PING, b"p") + closing(1000)
            )
            for _ in range(rng.randrange(1, 4)):
                stream[rng.randrange(len(stream))] = rng.randrange(256)
            data = bytes(stream)
        server.send(data)
        server.link.sock.settimeout(0.5)
        try:
            server.close_code()
        except OSError:
            pass

    url = raw(behave, DEFLATE)
    codes: dict[int | None, int] = {}

    async def one(client: Any) -> None:
        async with client.websocket(url, close_timeout=1) as socket:
            try:
                while True:
                    await socket.receive(15)
            except (WebSocketClosed, WebSocketProtocolError):
                pass
        assert socket.close_code is not None
        codes[socket.close_code] = codes.get(socket.close_code, 0) + 1

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            for _ in range(4):
                await asyncio.wait_for(asyncio.gather(*(one(client) for _ in range(100))), 40)

    asyncio.run(main())
    assert sum(codes.values()) == 400
    assert codes[1002] > 50 and set(codes) >= {1000, 1002, 1006}


# --------------------------------------------------------------------------------------------- cancelling, threads, many


def test_cancelled_in_every_state(plain: str, raw: Any) -> None:
    silent = Fake(lambda link: (link.request(), link.hold()))
    deaf = raw(lambda server: server.hold())

    async def cancelled(work: Any) -> None:
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    async def opening(client: Any, url: str) -> None:
        async with client.websocket(url):
            pass

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            await cancelled(opening(client, f"ws://127.0.0.1:{silent.port}/"))
            async with client.websocket(plain) as socket:
                await cancelled(socket.receive())
                await socket.send("one")
                assert await socket.receive(5) == "one"
                receivers = [asyncio.ensure_future(socket.receive()) for _ in range(3)]
                await asyncio.sleep(0)
                receivers[0].cancel()
                for text in ("a", "b"):
                    await socket.send(text)
                assert sorted(await asyncio.wait_for(asyncio.gather(*receivers[1:]), 5)) == ["a", "b"]
            socket = await client.websocket(deaf, close_timeout=0.5)
            await cancelled(socket.ping())

            async def fill() -> None:
                while True:
                    await socket.send(b"x" * 1_000_000)

            await cancelled(fill())
            await cancelled(socket.close())
            await asyncio.wait_for(socket.wait_closed(), 5)
            assert socket.close_code == 1006

            async def slowly() -> Any:
                yield "a"
                yield "b"
                await asyncio.sleep(10)
                yield "c"

            async with client.websocket(plain) as socket:
                await cancelled(socket.send(slowly()))
                with pytest.raises(WebSocketClosed):
                    await socket.send("x")
                assert socket.close_code == 1011

    asyncio.run(main())
    silent.close()


def test_the_client_is_closed(api: Any, plain: str) -> None:
    socket = api.open(plain)
    api.client.close()
    with pytest.raises(WebSocketClosed) as info:
        socket.receive(10)
    assert info.value.close_code == 1006
    socket.close()


def test_many_writers_and_one_reader(plain: str, ca_file: str) -> None:
    """Messages of many tasks, whole and in fragments, arrive whole."""

    async def main() -> None:
        async with tls_requests.AsyncClient() as client, client.websocket(plain) as socket:

            async def write(number: int) -> None:
                for index in range(20):
                    text = f"{number}:{index}:" + "x" * (index * 50)
                    await socket.send(text if index % 2 else [text[:3], text[3:10], text[10:]])

            async def read() -> set[str]:
                return {str(await socket.receive(20)) for _ in range(400)}

            *_, got = await asyncio.gather(*(write(number) for number in range(20)), read())
            assert got == {f"{n}:{i}:" + "x" * (i * 50) for n in range(20) for i in range(20)}

    asyncio.run(main())


def test_threads_share_one(plain: str) -> None:
    with tls_requests.Client() as client, client.websocket(plain) as socket:

        def write(number: int) -> None:
            for index in range(20):
                socket.send(f"{number}:{index}" if index % 2 else iter([f"{number}:", str(index)]))

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        got = {socket.receive(20) for _ in range(160)}
        for thread in threads:
            thread.join(20)
        assert got == {f"{n}:{i}" for n in range(8) for i in range(20)}
        assert socket.ping() < 10


def test_a_close_storm(plain: str) -> None:
    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            for _ in range(5):
                sockets = await asyncio.gather(*(client.websocket(plain) for _ in range(40)))
                await asyncio.wait_for(
                    asyncio.gather(*(socket.close(1001) for socket in sockets for _ in range(3))), 20
                )
                assert {socket.close_code for socket in sockets} == {1001}

    asyncio.run(main())


def test_a_thousand_idle_ones_are_cheap(plain: str) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard < 65536 else 65536, hard))

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            sockets = []
            for _ in range(20):
                sockets += await asyncio.gather(*(client.websocket(plain, compression=False) for _ in range(50)))
            before = time.process_time()
            tasks = len(asyncio.all_tasks())
            await asyncio.sleep(1)
            assert tasks == 1
            assert time.process_time() - before < 0.5
            for socket in sockets[::100]:
                await socket.send("alive")
                assert await socket.receive(5) == "alive"
            await asyncio.gather(*(socket.close() for socket in sockets))

    asyncio.run(main())
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_one_that_is_dropped_is_closed(raw: Any) -> None:
    ended = threading.Event()

    def behave(server: Raw) -> None:
        try:
            server.frame()
        finally:
            ended.set()

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            socket = await client.websocket(raw(behave))
            with pytest.warns(ResourceWarning, match="not closed"):
                del socket
                gc.collect()
            await asyncio.sleep(0.2)

    asyncio.run(main())
    assert ended.wait(5)


@pytest.mark.parametrize(
    "piece",
    [frame(PONG), frame(PING), frame(CONT, fin=False), frame(TEXT, b"x")],
    ids=["pongs", "pings", "fragments", "messages"],
)
@pytest.mark.parametrize("uvloop", [False, True])
def test_a_flood_leaves_the_loop_to_others(raw: Any, piece: bytes, uvloop: bool) -> None:
    """Frames that come faster than they are looked at: there is always one more, and other tasks run all the same."""

    def behave(server: Raw) -> None:
        server.send(frame(TEXT, fin=False) if piece[0] & 15 == CONT else b"")
        while True:
            server.send(piece * 20_000)

    async def main() -> int:
        turns = 0
        async with tls_requests.AsyncClient() as client:
            socket = await client.websocket(raw(behave), close_timeout=0.5)
            reading = asyncio.create_task(_drain(socket))
            while turns < 50:  # the first that the flood holds up would be the last
                await asyncio.sleep(0.001)
                turns += 1
            reading.cancel()
            await asyncio.wait([reading])
            await socket.close()
        return turns

    loop = pytest.importorskip("uvloop").new_event_loop() if uvloop else asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(asyncio.wait_for(main(), 30)) == 50
    finally:
        loop.close()


async def _drain(socket: Any) -> None:
    async for _ in socket:
        pass


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, api: Any, plain: str) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "websockets.protocol", None)
    with pytest.raises(WebSocketError, match="pip install"):
        api.open(plain)


def test_handshake_helper_is_what_the_rfc_says() -> None:
    assert accept("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3
    assert handshake is not None
