"""HTTP/2 proxies made of single frames: an honest relay with knobs, and what says one thing to CONNECT."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from peers.certs import Pair
from peers.fake import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    LINK_SECONDS,
    OK,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Fake,
    Frame,
    Gone,
    H2Link,
    frame,
    readable,
    tls_context,
    window_update,
)

INITIAL_WINDOW_SIZE = 4  # its number among the settings
FRAME_MAX = 16384


def proxy_url(fake: Fake) -> str:
    return f"https://localhost:{fake.port}"


@contextlib.contextmanager
def h2_proxy(pair: Pair, behave: Callable[[H2Link], None]) -> Iterator[Fake]:
    with Fake(behave, tls_context(pair, ("h2", "http/1.1")), h2=True) as fake:
        yield fake


def says(reply: Callable[[int], bytes]) -> Callable[[H2Link], None]:
    """Answers every CONNECT with these bytes, made for its stream, until the client goes."""

    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            link.send(reply(link.stream()))

    return behave


@dataclass
class Stream:
    upstream: socket.socket
    window: int  # what the client still takes
    ended: bool = False  # by the origin


@dataclass
class Relay:
    """A proxy that makes tunnels, all of them to one address, and keeps to the client's windows.

    settings: its SETTINGS. grants: whether it gives room for what came up. opens: set: then it gives much room at once. respects: whether it
    stops at the client's windows. limit: no more than these bytes go down. pace: seconds it rests before each piece that goes down. head: the answer to CONNECT. ends: asked before each piece that goes down; what it returns is sent instead
    and ends the tunnel (empty: the connection). Counted over all connections: `down` and `up`, bytes in tunnels; `blocked`, how often there
    may have been something to send and there was no window for it.
    """

    port: int
    settings: tuple[tuple[int, int], ...] = ()
    grants: bool = True
    opens: threading.Event | None = None
    respects: bool = True
    limit: float = math.inf
    pace: float = 0
    head: Callable[[int], bytes] = lambda stream: frame(HEADERS, END_HEADERS, stream, OK)
    ends: Callable[[Relay, int], bytes | None] = lambda relay, stream: None
    down: int = 0
    up: int = 0
    blocked: int = 0
    num_tunnels: int = 0
    overdrawn: int = 0  # bytes beyond the windows
    resets: list[int] = field(default_factory=list)  # codes of the client's RST_STREAM
    goaways: list[int] = field(default_factory=list)  # and GOAWAY

    def __call__(self, link: H2Link) -> None:
        Served(self, link).run()


class Served:
    """One connection to a Relay. A thread of its own does all: Python's TLS sockets are not for two."""

    def __init__(self, relay: Relay, link: H2Link) -> None:
        self.relay = relay
        self.link = link
        self.streams: dict[int, Stream] = {}
        self.window = 65535
        self.initial = 65535
        self.opened = relay.opens is None

    def run(self) -> None:
        try:
            self.link.begin(*self.relay.settings)
            while True:
                self.step()
        finally:
            for stream in self.streams.values():
                stream.upstream.close()

    def step(self) -> None:
        link = self.link
        assert isinstance(link.sock, ssl.SSLSocket)
        if not link._held and not link.sock.pending():
            waiting = {stream.upstream: number for number, stream in self.streams.items() if self.may_send(stream)}
            silent = self.opened and self.relay.limit == math.inf
            ready = readable([link.sock, *waiting], LINK_SECONDS if silent else 0.02)
            if not self.opened and self.relay.opens is not None and self.relay.opens.is_set():
                self.opened = True
                link.send(b"".join(window_update(number, 1 << 24) for number in (0, *self.streams)))
            if not ready:
                assert not silent, "the client neither said anything nor closed the connection"
                return
            for one in ready:
                if one is not link.sock:
                    self.bring(waiting[one])
            if link.sock not in ready:
                return
        self.take(link.frame())

    def may_send(self, stream: Stream) -> bool:
        if stream.ended or self.relay.down >= self.relay.limit:
            return False
        if self.relay.respects and min(stream.window, self.window) <= 0:
            self.relay.blocked += 1
            return False
        return True

    def bring(self, number: int) -> None:
        """A piece from the origin to the client."""
        stream = self.streams[number]
        time.sleep(self.relay.pace)
        room = min(FRAME_MAX, stream.window, self.window) if self.relay.respects else FRAME_MAX
        try:
            data = stream.upstream.recv(room)
        except OSError:
            data = b""
        end = self.relay.ends(self.relay, number)
        if end is not None:
            self.link.send(end)
            if not end:
                raise Gone
            self.drop(number)
            return
        stream.ended = not data
        stream.window -= len(data)
        self.window -= len(data)
        self.relay.down += len(data)
        self.relay.overdrawn += len(data) if min(stream.window, self.window) < 0 else 0
        self.link.send(frame(DATA, 0 if data else END_STREAM, number, data))

    def drop(self, number: int) -> None:
        stream = self.streams.pop(number, None)
        if stream is not None:
            stream.upstream.close()

    def take(self, got: Frame) -> None:
        """What the client says."""
        relay, stream = self.relay, self.streams.get(got.stream)
        if got.kind == HEADERS and stream is None:
            upstream = socket.create_connection(("127.0.0.1", relay.port), 10)
            self.streams[got.stream] = Stream(upstream, self.initial)
            relay.num_tunnels += 1
            self.link.send(relay.head(got.stream))
        elif got.kind == DATA and stream is not None:
            relay.up += len(got.payload)
            with contextlib.suppress(OSError):
                stream.upstream.sendall(got.payload)
                if got.flags & END_STREAM:
                    stream.upstream.shutdown(socket.SHUT_WR)
            if relay.grants and got.payload:
                self.link.send(window_update(0, len(got.payload)) + window_update(got.stream, len(got.payload)))
        elif got.kind == RST_STREAM:
            relay.resets.append(struct.unpack(">I", got.payload)[0])
            self.drop(got.stream)
        elif got.kind == WINDOW_UPDATE:
            (increment,) = struct.unpack(">I", got.payload)
            if got.stream == 0:
                self.window += increment
            elif stream is not None:
                stream.window += increment
        elif got.kind == SETTINGS and not got.flags & ACK:
            for at in range(0, len(got.payload), 6):
                name, value = struct.unpack(">HI", got.payload[at : at + 6])
                if name == INITIAL_WINDOW_SIZE:
                    for each in self.streams.values():
                        each.window += value - self.initial
                    self.initial = value
            self.link.send(frame(SETTINGS, ACK))
        elif got.kind == PING and not got.flags & ACK:
            self.link.send(frame(PING, ACK, 0, got.payload))
        elif got.kind == GOAWAY:
            relay.goaways.append(struct.unpack(">II", got.payload[:8])[1])
