"""An HTTP/2 server that misbehaves as a script says: what no real server does on request.

`Fake(pair, script)` listens on loopback with TLS. `script(connection, stream, method)` is called for each request with the
number of its connection (from 0), its stream id and its method, and returns what to do: a status to answer with, or one of
the actions below. Over HTTP/1.1 (when the client offers nothing else) every request is answered with 200.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from peers.fake import close_listener

REFUSED_STREAM = 7
CANCEL = 8
ENHANCE_YOUR_CALM = 11
HTTP_1_1_REQUIRED = 13

STATUS = {200: b"\x88", 204: b"\x89", 404: b"\x8d"}  # indexed in HPACK's static table


@dataclass
class Reset:
    """RST_STREAM with this code."""

    code: int


@dataclass
class GoAway:
    """GOAWAY with this last stream id and code, then the end of the connection."""

    last: int
    code: int = 0


class Close:
    """End the connection without a word."""


class Silence:
    """No answer."""


Action = int | Reset | GoAway | Close | Silence


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


class Fake:
    def __init__(self, pair: object, script: Callable[[int, int, str], Action], settings: bytes = b"") -> None:
        self.script = script
        self.settings = settings
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(str(pair.cert), str(pair.key))  # type: ignore[attr-defined]
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.num_connections = 0
        self.requests: list[tuple[int, int]] = []
        self.resets: list[tuple[int, int, int]] = []
        self.num_http1 = 0
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/") -> str:
        return f"https://localhost:{self.port}{path}"

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        close_listener(self.listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as tls:
            tls.settimeout(20)
            with self.lock:
                number = self.num_connections
                self.num_connections += 1
            if tls.selected_alpn_protocol() == "h2":
                self._http2(tls, number)
            else:
                self._http1(tls)

    def _http1(self, tls: ssl.SSLSocket) -> None:
        data = b""
        while True:
            part = tls.recv(65536)
            if not part:
                return
            data += part
            while b"\r\n\r\n" in data:
                _, _, data = data.partition(b"\r\n\r\n")
                with self.lock:
                    self.num_http1 += 1
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1")

    @staticmethod
    def _read(tls: ssl.SSLSocket, length: int) -> bytes:
        data = b""
        while len(data) < length:
            part = tls.recv(length - len(data))
            if not part:
                raise OSError("closed")
            data += part
        return data

    def _http2(self, tls: ssl.SSLSocket, number: int) -> None:
        self._read(tls, 24)  # the preface
        tls.sendall(frame(4, 0, 0, self.settings))
        while True:
            head = self._read(tls, 9)
            length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
            stream = int.from_bytes(head[5:], "big") & 0x7FFFFFFF
            payload = self._read(tls, length)
            if kind == 4 and not flags & 1:
                tls.sendall(frame(4, 1, 0))
            elif kind == 6 and not flags & 1:
                tls.sendall(frame(6, 1, 0, payload))
            elif kind == 3:
                with self.lock:
                    self.resets.append((number, stream, int.from_bytes(payload, "big")))
            elif kind == 1:
                # Chromium's order puts :method first: 0x82 is GET, 0x83 POST (after the priority fields).
                block = payload[5:] if flags & 0x20 else payload
                method = {0x82: "GET", 0x83: "POST"}.get(block[0], "?")
                with self.lock:
                    self.requests.append((number, stream))
                if not self._act(tls, stream, self.script(number, stream, method)):
                    self._end(tls)
                    return

    @staticmethod
    def _end(tls: ssl.SSLSocket) -> None:
        """End the stream in order: what the client still sends must not become a reset."""
        tls.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while tls.recv(65536):
                pass

    @staticmethod
    def _act(tls: ssl.SSLSocket, stream: int, action: Action) -> bool:
        if isinstance(action, Close):
            return False
        if isinstance(action, Silence):
            return True
        if isinstance(action, Reset):
            tls.sendall(frame(3, 0, stream, struct.pack(">I", action.code)))
        elif isinstance(action, GoAway):
            tls.sendall(frame(7, 0, 0, struct.pack(">II", action.last, action.code)))
            return False
        else:
            tls.sendall(frame(1, 4, stream, STATUS[action]) + frame(0, 1, stream, b"ok"))
        return True
