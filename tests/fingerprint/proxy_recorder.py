"""A proxy that notes what is sent to it: http, https (HTTP/1.1 or HTTP/2, as ALPN says), SOCKS 4 and 5, with Basic credentials or without.

Every name leads to the same two places: what is http is answered here, in absolute form or in a tunnel; tunnels with TLS lead to `Origin`. Hosts
that do not end in .test are not served, and not noted: browsers ask for some on their own.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
import time
from typing import Any, Union

from peers.fake import close_listener, readable
from tls_requests._fingerprint.client_hello import extract_client_hello
from tls_requests._fingerprint.frames import FrameParser, h2_frame
from tls_requests._fingerprint.server import Connection, Request, Response, Server
from tls_requests._fingerprint.wire import Incomplete

REALM = "the proxy"
ADDRESS = "192.0.2.7"  # of every name, for those who look names up before they ask a SOCKS proxy
# What a browser is made to do: a page with an image, a request by a script, a WebSocket; a second page; then a page by https, with a request
# to another host.
PAGE = b"""<!doctype html><title>page</title><script>
const image = new Image();
image.src = "/image";
onload = () => image.decode().catch(() => fetch("/fetch")).then(() => new Promise(done => {
  const socket = new WebSocket("ws://origin.test:8080/socket");
  socket.onopen = socket.onerror = done;
})).then(() => location = "/second");
</script>"""
SECOND = b"""<!doctype html><title>page</title><script>onload = () => location = "https://origin.test/";</script>"""
SECURE = b"""<!doctype html><title>page</title><script>onload = () => fetch("https://other.test/done");</script>"""
# path: type and content
PAGES = {"/": ("text/html", PAGE), "/second": ("text/html", SECOND), "/image": ("image/png", b"x")}

AnySocket = Union[socket.socket, ssl.SSLSocket]


class Seen:
    """One connection to the proxy. hello: the TLS records of the ClientHello. alpn: what was agreed. heads: requests to the proxy over HTTP/1.1.
    frames: its HTTP/2. socks: what was asked by SOCKS. inside: heads of http requests in the tunnel. tunnelled: the ClientHello in each tunnel."""

    def __init__(self) -> None:
        self.hello = b""
        self.alpn: str | None = None
        self.heads: list[bytes] = []
        self.frames: list[dict[str, Any]] = []
        self.socks: list[bytes] = []
        self.inside: list[bytes] = []
        self.tunnelled: list[bytes] = []

    def __repr__(self) -> str:
        return f"<{self.alpn} {self.heads} {self.frames} {self.socks} {self.inside} {len(self.tunnelled)}>"


class Origin(Server):
    """What tunnels with TLS lead to. done: the last request of a visit came."""

    def __init__(self, certificate: str) -> None:
        super().__init__("127.0.0.1", 0, certificate=certificate)
        self.done = threading.Event()

    def respond(self, connection: Connection, request: Request) -> Response:
        headers = [("access-control-allow-origin", "*"), ("cache-control", "no-store")]
        if request.path == "/done":
            self.done.set()
            return Response(200, [*headers, ("content-type", "text/plain")], b"ok")
        return Response(200, [*headers, ("content-type", "text/html")], SECURE)


class Channel:
    """A socket, perhaps with TLS, that is read with a buffer."""

    def __init__(self, sock: AnySocket) -> None:
        self.sock = sock
        self.held = b""

    def fill(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self.held += data

    def first(self) -> bytes:
        if not self.held:
            self.fill()
        return self.held[:1]

    def read(self, size: int) -> bytes:
        while len(self.held) < size:
            self.fill()
        data, self.held = self.held[:size], self.held[size:]
        return data

    def read_until(self, end: bytes) -> bytes:
        while end not in self.held:
            self.fill()
        return self.read(self.held.index(end) + len(end))

    def some(self) -> bytes:
        """What is there; b"" at the end."""
        if self.held:
            data, self.held = self.held, b""
            return data
        return self.sock.recv(65536)

    def is_ready(self) -> bool:
        return bool(self.held) or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0)

    def write(self, data: bytes) -> None:
        self.sock.sendall(data)


class RecordingProxy:
    """Listens on 127.0.0.1; `seen` has the connections with at least one request for a .test host, in the order of these. certificate: PEM file
    with key, of an https proxy. alpn: what it agrees to. credentials: "user:password" that are asked for (not by SOCKS)."""

    def __init__(
        self, origin: Origin, certificate: str | None = None, alpn: tuple[str, ...] = (), credentials: str | None = None
    ) -> None:
        self.origin = origin
        self.context: ssl.SSLContext | None = None
        if certificate is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
            if alpn:
                self.context.set_alpn_protocols(list(alpn))
        self.wanted = None if credentials is None else "Basic " + base64.b64encode(credentials.encode()).decode()
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.open: set[AnySocket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> RecordingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        close_listener(self.listener)
        with self.lock:
            for one in self.open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock: AnySocket) -> None:
        sock.settimeout(60)
        seen = Seen()
        try:
            if self.context is not None:
                seen.hello = _peek_hello(sock)
                sock = self.context.wrap_socket(sock, server_side=True)
                seen.alpn = sock.selected_alpn_protocol()
            self.keep(sock)
            channel = Channel(sock)
            if seen.alpn == "h2":
                _Http2(self, channel, seen).run()
            elif self.context is None and channel.first() in (b"\4", b"\5"):
                self._socks(channel, seen)
            else:
                self._http1(channel, seen)
        except (OSError, EOFError, ValueError):
            pass  # they may go as they like
        finally:
            with contextlib.suppress(OSError):
                sock.close()

    def keep(self, sock: AnySocket) -> None:
        with self.lock:
            self.open.add(sock)

    def dial(self) -> socket.socket:
        upstream = socket.create_connection(("127.0.0.1", self.origin.port), 10)
        self.keep(upstream)
        return upstream

    def note(self, seen: Seen) -> None:
        with self.lock:
            if seen not in self.seen:
                self.seen.append(seen)

    def tunnel(self, channel: Channel, seen: Seen) -> None:
        if channel.first() != b"\x16":
            while True:
                self._answer(channel, _path(_note_head(channel, seen.inside)))
        upstream = self.dial()
        first = True
        with upstream:
            while True:
                ready = [channel.sock] if channel.is_ready() else readable([channel.sock, upstream], 60)
                for one in ready:
                    data = channel.some() if one is channel.sock else upstream.recv(65536)
                    if not data:
                        return
                    if one is channel.sock:
                        seen.tunnelled += [data] if first else []
                        first = False
                        upstream.sendall(data)
                    else:
                        channel.write(data)
                if not ready:
                    return

    # -- HTTP/1.1

    def _http1(self, channel: Channel, seen: Seen) -> None:
        while True:
            heads: list[bytes] = []
            head = _note_head(channel, heads)
            method, target = head.split(b" ")[:2]
            host = target if method == b"CONNECT" else target.split(b"/")[2]
            if not host.partition(b":")[0].endswith(b".test"):
                channel.write(b"HTTP/1.1 502 Not served\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            seen.heads += heads
            self.note(seen)
            if self.wanted is not None and field(head, "proxy-authorization") != self.wanted:
                channel.write(
                    f'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="{REALM}"\r\n'
                    "Proxy-Connection: keep-alive\r\nContent-Length: 5\r\n\r\nlogin".encode()
                )
            elif method == b"CONNECT":
                channel.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self.tunnel(channel, seen)
                return
            else:
                self._answer(channel, _path(head))

    def _answer(self, channel: Channel, path: str) -> None:
        kind, body = PAGES.get(path, ("text/plain", b"x"))
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        channel.write(head.encode() + body)

    # -- SOCKS

    def _socks(self, channel: Channel, seen: Seen) -> None:
        if channel.first() == b"\4":
            asked = channel.read(8) + channel.read_until(b"\0")
            by_name = asked[4:7] == b"\0\0\0" and asked[7:8] != b"\0"
            asked += channel.read_until(b"\0") if by_name else b""
            host = asked[9:-1].decode() if by_name else socket.inet_ntoa(asked[4:8])
            granted = b"\0\x5a" + bytes(6)
        else:
            greeting = channel.read(2)
            greeting += channel.read(greeting[1])
            seen.socks.append(greeting)
            channel.write(b"\5\0")
            asked = channel.read(5)
            rest = asked[4] + 2 if asked[3] == 3 else {1: 5, 4: 17}[asked[3]]
            asked += channel.read(rest)
            host = asked[5:-2].decode() if asked[3] == 3 else socket.inet_ntoa(asked[4:8])
            granted = b"\5\0\0\1" + bytes(6)
        if host.endswith(".test") or host == ADDRESS:
            seen.socks.append(asked)
            self.note(seen)
            channel.write(granted)
            self.tunnel(channel, seen)


class _Http2:
    """A connection with HTTP/2: CONNECT streams are relayed, others answered."""

    def __init__(self, proxy: RecordingProxy, channel: Channel, seen: Seen) -> None:
        self.proxy, self.channel, self.seen = proxy, channel, seen
        self.asked: set[int] = set()  # CONNECT streams in which nothing came yet
        self.tunnels: dict[int, socket.socket] = {}
        self.plain: dict[int, bytes] = {}

    def run(self) -> None:
        frames = FrameParser()
        self.channel.write(h2_frame(4, 0, 0, b"\0\3\0\0\0\x64"))
        try:
            while True:
                sock = self.channel.sock
                ready = [sock] if self.channel.is_ready() else readable([sock, *self.tunnels.values()], 60)
                for one in ready:
                    if one is not sock:
                        self.from_origin(one)
                        continue
                    data = self.channel.some()
                    if not data:
                        return
                    for frame in frames.feed(data):
                        self.take(frame)
                if not ready:
                    return
        finally:
            for upstream in self.tunnels.values():
                upstream.close()

    def from_origin(self, upstream: socket.socket) -> None:
        stream = next((number for number, one in self.tunnels.items() if one is upstream), None)
        if stream is None:
            return  # the client, which was ready, too, has just reset it
        data = upstream.recv(16000)
        self.channel.write(h2_frame(0, 0 if data else 1, stream, data))
        if not data:
            self.tunnels.pop(stream).close()

    def take(self, frame: dict[str, Any]) -> None:
        kind, stream = frame["type"], frame["stream_id"]
        if kind == "SETTINGS" and not frame["ack"]:
            self.channel.write(h2_frame(4, 1, 0))
        elif kind == "PING" and not frame["ack"]:
            self.channel.write(h2_frame(6, 1, 0, frame["data"]))
        elif kind == "DATA":
            self.data(stream, frame["data"], frame["length"], "END_STREAM" in frame["flags"])
            frame = {**frame, "data": len(frame["data"])}
        elif kind == "RST_STREAM" and stream in self.tunnels:
            self.tunnels.pop(stream).close()
        elif kind == "HEADERS":
            self.answer(stream, frame)
        host = frame.get("pseudo_values", {}).get(":authority", ".test").partition(":")[0]
        if host.endswith(".test"):
            self.seen.frames.append(frame)

    def data(self, stream: int, data: bytes, length: int, is_end: bool) -> None:
        if length:
            update = length.to_bytes(4, "big")
            self.channel.write(h2_frame(8, 0, 0, update) + h2_frame(8, 0, stream, update))
        if stream in self.asked and data:
            self.asked.remove(stream)
            if data[:1] == b"\x16":
                self.seen.tunnelled.append(data)
                self.tunnels[stream] = self.proxy.dial()
            else:
                self.plain[stream] = b""
        if stream in self.tunnels:
            self.tunnels[stream].sendall(data)
            if is_end:
                self.tunnels[stream].shutdown(socket.SHUT_WR)
        elif stream in self.plain:
            self.plain[stream] += data
            while b"\r\n\r\n" in self.plain[stream]:
                head, _, self.plain[stream] = self.plain[stream].partition(b"\r\n\r\n")
                self.seen.inside.append(head + b"\r\n\r\n")
                self.channel.write(h2_frame(0, 0, stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"))

    def answer(self, stream: int, frame: dict[str, Any]) -> None:
        values = frame["pseudo_values"]
        given = dict(map(tuple, frame["headers"])).get("proxy-authorization")
        if not values.get(":authority", "").partition(":")[0].endswith(".test"):
            self.channel.write(h2_frame(1, 5, stream, _status(502)))
            return
        self.proxy.note(self.seen)
        if self.proxy.wanted is not None and given != self.proxy.wanted:
            block = _status(407) + _field("proxy-authenticate", f'Basic realm="{REALM}"')
            self.channel.write(h2_frame(1, 5, stream, block))
        elif values.get(":method") == "CONNECT":
            self.asked.add(stream)
            self.channel.write(h2_frame(1, 4, stream, _status(200)))
        else:
            kind, body = PAGES.get(values.get(":path", ""), ("text/plain", b"x"))
            block = _status(200) + _field("content-type", kind) + _field("cache-control", "no-store")
            self.channel.write(h2_frame(1, 4, stream, block) + h2_frame(0, 1, stream, body))


def _status(code: int) -> bytes:
    return b"\x08\x03" + str(code).encode()


def _field(name: str, value: str) -> bytes:
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def _note_head(channel: Channel, notes: list[bytes]) -> bytes:
    head = channel.read_until(b"\r\n\r\n")
    notes.append(head)
    return head


def _path(head: bytes) -> str:
    target = head.split(b" ")[1].decode()
    return target if target.startswith("/") else "/" + target.split("/", 3)[3]


def field(head: bytes, name: str) -> str | None:
    """The value of a field of that name in the head of a request."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b": ")
        if key.lower() == name.encode():
            return value.decode()
    return None


def _peek_hello(sock: AnySocket) -> bytes:
    """The records of the ClientHello, which stay where they are."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        data = sock.recv(65536, socket.MSG_PEEK)
        if not data:
            raise EOFError
        with contextlib.suppress(Incomplete):
            _, records = extract_client_hello(data)
            return data[: sum(item["length"] + 5 for item in records)]
        time.sleep(0.001)
    raise EOFError
