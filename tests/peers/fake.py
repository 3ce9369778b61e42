"""Servers that misbehave on purpose, for what no real server can be made to do.

A `Fake` listens on loopback and runs one function, its behaviour, for each connection in a thread of its own. The
behaviour gets a `Link` (bytes, over TLS where asked) or, with `h2=True`, an `H2Link` (frames made by hand: nothing
here checks that they are legal, that is the point). Clients that leave are expected; any other exception of a
behaviour, a failed assertion for instance, is kept and raised by `close`.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .certs import Pair


def close_listener(listener: socket.socket) -> None:
    """Close it, and end the accept that waits on it: a close alone leaves that thread, and the descriptor that it will need, for ever."""
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def readable(files: Iterable[Any], seconds: float) -> list[Any]:
    """Those that have bytes, or ended, after waiting so long for the first. As select(), but of descriptors with any number."""
    with selectors.PollSelector() as selector:
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(seconds)]


LINK_SECONDS = 20.0  # no link waits longer than this for a client's byte, and `hold` no longer than this for its end
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM, HTTP_1_1_REQUIRED = 7, 8, 9, 11, 13


class Gone(Exception):
    """The client closed the connection, or was silent for too long."""


def tls_context(pair: Pair, alpn: tuple[str, ...] = ("http/1.1",)) -> ssl.SSLContext:
    """A server's TLS settings for this certificate, weak keys allowed: it is the client that must refuse them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(pair.cert, pair.key)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


@dataclass(frozen=True)
class Seen:
    """A request as it came over the wire."""

    link: int  # number of its connection, from 0
    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def method(self) -> str:
        return self.line.split(" ")[0]

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def fields(self) -> dict[str, str]:
        pairs = (line.split(":", 1) for line in self.head.decode("latin-1").split("\r\n")[1:] if line)
        return {name.lower(): value.strip() for name, value in pairs}


class Link:
    """One connection, at the server's end. Every wait is bounded by LINK_SECONDS."""

    def __init__(self, server: Fake, sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        self._held = b""

    @property
    def alpn(self) -> str | None:
        return self.sock.selected_alpn_protocol() if isinstance(self.sock, ssl.SSLSocket) else None

    def receive(self) -> bytes:
        """Whatever comes next; Gone at the end."""
        data, self._held = self._held, b""
        data = data or self.sock.recv(65536)
        if not data:
            raise Gone
        return data

    def receive_exactly(self, size: int) -> bytes:
        data = self._held
        self._held = b""
        while len(data) < size:
            data += self.receive()
        self._held = data[size:]
        return data[:size]

    def request(self) -> Seen:
        """Read one HTTP/1.1 request (a body only by content-length) and note it in `server.requests`."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.receive()
        head, rest = data.split(b"\r\n\r\n", 1)
        seen = Seen(self.number, head + b"\r\n")
        length = int(seen.fields.get("content-length", "0"))
        self._held = rest
        seen = Seen(self.number, seen.head, self.receive_exactly(length) if length else b"")
        self.server.requests.append(seen)
        return seen

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, body: bytes = b"ok", status: int = 200, *fields: str) -> None:
        """A correct answer, for the half of a conversation that is not the point."""
        lines = [f"HTTP/1.1 {status} Fake", f"Content-Length: {len(body)}", *fields]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def trickle(self, data: bytes, pause: float) -> None:
        """One byte after another, with a pause after each, until the client leaves."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            if self.wait(pause):
                raise Gone

    def wait(self, seconds: float) -> bool:
        """Let time pass; True as soon as the client has closed. What it sends meanwhile is dropped."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
            if pending or readable([self.sock], left):
                try:
                    if not self.sock.recv(65536):
                        return True
                except ssl.SSLWantReadError:
                    continue
                except (OSError, ValueError):
                    return True
        return False

    def hold(self) -> None:
        """Say nothing until the client closes. A client that never does fails the test."""
        assert self.wait(LINK_SECONDS), "the client never closed the connection"

    def stall(self) -> None:
        """Not even read, until the test is over."""
        self.server.closing.wait(LINK_SECONDS)

    def reset(self) -> None:
        """End the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def notify(self) -> None:
        """Send TLS's close_notify and do not wait for the client's."""
        assert isinstance(self.sock, ssl.SSLSocket)
        self.sock.setblocking(False)
        with contextlib.suppress(OSError):
            self.sock.unwrap()

    def close(self) -> None:
        """End the connection with FIN; over TLS without close_notify, as many servers do."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", length: int | None = None) -> bytes:
    """An HTTP/2 frame (RFC 9113 4.1). `length` lies about the payload's size."""
    size = len(payload) if length is None else length
    return struct.pack(">BHBBI", size >> 16, size & 0xFFFF, kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", *pair) for pair in pairs))


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last: int, code: int, text: bytes = b"") -> bytes:
    return frame(GOAWAY, payload=struct.pack(">II", last, code) + text)


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def _hpack_int(value: int, bits: int, first: int = 0) -> bytes:
    """RFC 7541 5.1."""
    full = (1 << bits) - 1
    if value < full:
        return bytes([first | value])
    out = bytearray([first | full])
    value -= full
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def block(*fields: tuple[str, str]) -> bytes:
    """A header block of literal fields without indexing and without Huffman coding (RFC 7541 6.2.2)."""
    out = b""
    for name, value in fields:
        out += b"\0"
        for text in (name, value):
            raw = text.encode("latin-1")
            out += _hpack_int(len(raw), 7) + raw
    return out


OK = block((":status", "200"))


class H2Link(Link):
    """A connection on which the server speaks, or abuses, HTTP/2."""

    def begin(self, *pairs: tuple[int, int]) -> None:
        """Read the client's preface and send SETTINGS with these pairs."""
        assert self.receive_exactly(len(PREFACE)) == PREFACE
        self.send(settings(*pairs))

    def frame(self) -> Frame:
        """The next frame of the client."""
        high, low, kind, flags, stream = struct.unpack(">BHBBI", self.receive_exactly(9))
        got = Frame(kind, flags, stream & 0x7FFFFFFF, self.receive_exactly(high << 16 | low))
        self.server.frames.append(got)
        return got

    def until(self, kind: int) -> Frame:
        """Read frames up to one of that kind, acknowledging SETTINGS."""
        while True:
            got = self.frame()
            if got.kind == SETTINGS and not got.flags & ACK:
                self.send(frame(SETTINGS, ACK))
            if got.kind == kind:
                return got

    def stream(self) -> int:
        """Read up to the next request's HEADERS; its stream. (Our client's fit one frame.)"""
        got = self.until(HEADERS)
        assert got.flags & END_HEADERS
        self.server.streams.append((self.number, got.stream))
        return got.stream

    def respond(self, stream: int, body: bytes = b"ok", *fields: tuple[str, str]) -> None:
        """A correct answer."""
        self.send(frame(HEADERS, END_HEADERS, stream, OK + block(*fields)) + frame(DATA, END_STREAM, stream, body))

    def flood(self, data: bytes, times: int) -> None:
        """Send data so often, or until the client hangs up; then wait for it to do so."""
        many = data * 256
        for _ in range(times // 256 + 1):
            self.send(many)
        self.hold()

    def goaway(self) -> int:
        """The error code of the client's GOAWAY, which must come."""
        return int(struct.unpack(">II", self.until(GOAWAY).payload[:8])[1])


class Fake:
    """A listening socket on loopback whose connections are served by `behave`, each in its own thread.

    connections: how many came. requests: those read with Link.request. streams: (connection, stream) read with
    H2Link.stream. frames: all that H2Link read. failed_handshakes: what went wrong in TLS, in OpenSSL's words.
    """

    def __init__(
        self,
        behave: Callable[..., None],
        tls: ssl.SSLContext | None = None,
        h2: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.connections = 0
        self.requests: list[Seen] = []
        self.streams: list[tuple[int, int]] = []
        self.frames: list[Frame] = []
        self.failed_handshakes: list[str] = []
        self.failures: list[BaseException] = []
        self.scheme = "https" if tls is not None else "http"
        self._behave = behave
        self._tls = tls
        self._h2 = h2
        self.closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._socks: set[socket.socket] = set()
        self._listener = socket.create_server((host, 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._acceptor = threading.Thread(target=self._accept, name=f"fake-{self.port}", daemon=True)
        self._acceptor.start()

    def url(self, path: str = "/", host: str = "localhost", scheme: str | None = None) -> str:
        return f"{scheme or self.scheme}://{host}:{self.port}{path}"

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.closing.is_set():
                sock.close()
                return
            sock.settimeout(LINK_SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = self.connections
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock, number), daemon=True)
            self._threads = [old for old in self._threads if old.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        self._socks.add(sock)
        try:
            if self._tls is not None:
                try:
                    secured = self._tls.wrap_socket(sock, server_side=True, suppress_ragged_eofs=True)
                except (OSError, ValueError) as error:
                    self.failed_handshakes.append(str(error))
                    return
                self._socks.discard(sock)
                self._socks.add(secured)
                sock = secured
            kind = H2Link if self._h2 else Link
            self._behave(kind(self, sock, number))
        except (Gone, OSError, ValueError):  # ValueError: a socket that `close` has taken away
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            self._socks.discard(sock)
            sock.close()

    def close(self) -> None:
        """End everything; raises what a behaviour raised."""
        self.closing.set()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()  # wakes accept
        self._listener.close()
        self._acceptor.join(5)
        for sock in list(self._socks):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        if self.failures:
            raise self.failures[0]

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Handshake:
    """A server's TLS handshake in memory, so that its flights can be cut and changed before they are sent."""

    def __init__(self, link: Link, context: ssl.SSLContext) -> None:
        self.link = link
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def flight(self) -> bytes:
        """Read what the client sends until there is an answer to it; that answer. b"" when the handshake is done."""
        while True:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
                return self._out.read()
            if self._out.pending:
                return self._out.read()
            self._in.write(self.link.receive())

    def read_request(self) -> bytes:
        """Read an HTTP/1.1 request without body."""
        data = b""
        while b"\r\n\r\n" not in data:
            try:
                data += self._tls.read(65536)
            except ssl.SSLWantReadError:
                self._in.write(self.link.receive())
        return data

    def seal(self, data: bytes) -> bytes:
        """Application data as records, after the handshake."""
        self._tls.write(data)
        return self._out.read()


def answer_http(reply: bytes | Callable[[Seen], bytes], keep: bool = False) -> Callable[[Link], None]:
    """A behaviour: read a request, send these bytes, close (or wait for the next request)."""

    def behave(link: Link) -> None:
        while True:
            seen = link.request()
            link.send(reply if isinstance(reply, bytes) else reply(seen))
            if not keep:
                link.close()
                return

    return behave
