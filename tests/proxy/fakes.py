"""Proxies that no real program would be: they lie, stall, cut, and note what they were told. And a SOCKS relay that looks names up by a table."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from peers.fake import close_listener


class FakeProxy:
    """Accepts on a free port of 127.0.0.1 and runs `behave(connection, fake)` for each connection on a thread of its own."""

    def __init__(self, behave: Callable[[socket.socket, FakeProxy], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.behave = behave
        self.asked: list[bytes] = []  # heads of CONNECTs, requests of SOCKS
        self.open: list[socket.socket] = []
        self.upstreams: dict[socket.socket, socket.socket] = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self, scheme: str = "http", userinfo: str = "") -> str:
        return f"{scheme}://{userinfo}127.0.0.1:{self.port}"

    @property
    def num_connections(self) -> int:
        with self.lock:
            return len(self.open)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.settimeout(20)
            with self.lock:
                self.open.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError):
            self.behave(connection, self)
        with self.lock:
            upstream = self.upstreams.pop(connection, None)
        for one in (connection, upstream):
            if one is not None:
                with contextlib.suppress(OSError):
                    one.close()

    def dial(self, connection: socket.socket, host: str, port: int) -> socket.socket:
        """A connection to the target, closed with the client's."""
        upstream = socket.create_connection((host, port), 10)
        with self.lock:
            self.upstreams[connection] = upstream
        return upstream

    def close(self) -> None:
        self.stopping.set()
        close_listener(self.listener)
        with self.lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def fake_proxy(behave: Callable[[socket.socket, FakeProxy], None]) -> Iterator[FakeProxy]:
    fake = FakeProxy(behave)
    try:
        yield fake
    finally:
        fake.close()


def read_head(connection: socket.socket, fake: FakeProxy) -> bytes:
    """One request's head, noted."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise EOFError
        head += byte
    with fake.lock:
        fake.asked.append(head)
    return head


def read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def relay(one: socket.socket, other: socket.socket) -> None:
    """Bytes both ways until both sides have ended."""

    def copy(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(65536):
                to.sendall(part)
        with contextlib.suppress(OSError):
            to.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=copy, args=(other, one), daemon=True)
    thread.start()
    copy(one, other)
    thread.join(20)


def answers(*replies: bytes) -> Callable[[socket.socket, FakeProxy], None]:
    """Answers each request's head with the next of these, then waits for the client to go."""

    def behave(connection: socket.socket, fake: FakeProxy) -> None:
        for reply in replies:
            read_head(connection, fake)
            connection.sendall(reply)
        while connection.recv(65536):
            pass

    return behave


def connects(
    table: dict[str, str] | None = None, before: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n", drip: float = 0
) -> Callable[[socket.socket, FakeProxy], None]:
    """An honest CONNECT. table: host names to addresses. drip: seconds between the answer's bytes."""

    def behave(connection: socket.socket, fake: FakeProxy) -> None:
        target = read_head(connection, fake).split(b" ")[1].decode()
        host, _, port = target.rpartition(":")
        host = host.strip("[]")
        upstream = fake.dial(connection, (table or {}).get(host, host), int(port))
        if drip:
            for byte in before:
                connection.sendall(bytes([byte]))
                time.sleep(drip)
        else:
            connection.sendall(before)
        relay(connection, upstream)

    return behave


def until_nul(connection: socket.socket) -> bytes:
    text = b""
    while True:
        byte = read_exactly(connection, 1)
        if byte == b"\0":
            return text
        text += byte


def socks4(table: dict[str, str], user: bytes | None = None) -> Callable[[socket.socket, FakeProxy], None]:
    """SOCKS4 and 4A; names by the table alone. user: the only one that is let in."""

    def behave(connection: socket.socket, fake: FakeProxy) -> None:
        head = read_exactly(connection, 8)
        name = until_nul(connection)
        asked = head
        if head[4:7] == b"\0\0\0" and head[7:] != b"\0":
            asked += b"name:" + until_nul(connection)
        with fake.lock:
            fake.asked.append(asked)
        if user is not None and name != user:
            connection.sendall(b"\0\x5d" + bytes(6))
            return
        host = table.get(asked[13:].decode()) if len(asked) > 8 else socket.inet_ntoa(head[4:8])
        try:
            upstream = fake.dial(connection, host or "", int.from_bytes(head[2:4], "big"))
        except OSError:
            connection.sendall(b"\0\x5b" + bytes(6))
            return
        connection.sendall(b"\0\x5a" + bytes(6))
        relay(connection, upstream)

    return behave


def socks5(
    table: dict[str, str],
    refuse: dict[str, int] | None = None,
    method: int | None = None,
    login: int = 0,
    split: bool = False,
) -> Callable[[socket.socket, FakeProxy], None]:
    """SOCKS5; names by the table alone. refuse: reply codes by target. method: what it picks. login: the status of a log-in. split: replies
    byte by byte."""

    def behave(connection: socket.socket, fake: FakeProxy) -> None:
        def say(data: bytes) -> None:
            for piece in [bytes([byte]) for byte in data] if split else [data]:
                connection.sendall(piece)
                if split:
                    time.sleep(0.002)

        version, count = read_exactly(connection, 2)
        methods = read_exactly(connection, count)
        chosen = method if method is not None else (2 if 2 in methods else 0)
        say(bytes([version, chosen]))
        if chosen == 2:
            read_exactly(connection, 1)
            user = read_exactly(connection, read_exactly(connection, 1)[0])
            password = read_exactly(connection, read_exactly(connection, 1)[0])
            with fake.lock:
                fake.asked.append(b"login:" + user + b":" + password)
            say(bytes([1, login]))
            if login:
                return
        head = read_exactly(connection, 4)
        if head[3] == 3:
            host = read_exactly(connection, read_exactly(connection, 1)[0]).decode()
        else:
            size, family = (4, socket.AF_INET) if head[3] == 1 else (16, socket.AF_INET6)
            host = socket.inet_ntop(family, read_exactly(connection, size))
        port = int.from_bytes(read_exactly(connection, 2), "big")
        kind = {1: "ipv4", 3: "name", 4: "ipv6"}[head[3]]
        with fake.lock:
            fake.asked.append(f"{kind}:{host}:{port}".encode())
        code = (refuse or {}).get(host)
        if code is not None:
            say(bytes([5, code, 0, 1]) + bytes(6))
            return
        upstream = fake.dial(connection, table.get(host, host), port)
        say(b"\5\0\0\3\x09proxy.out\0\x50")
        relay(connection, upstream)

    return behave


def read_record(read: Callable[[int], bytes]) -> bytes:
    """One TLS record, by a function that reads exactly so many bytes."""
    head = read(5)
    return head + read(int.from_bytes(head[3:], "big"))


def parse_hello(record: bytes) -> dict[str, Any]:
    """Suites, extensions (without GREASE) and ALPN of a ClientHello in one record."""

    def is_grease(value: int) -> bool:
        return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF

    body = record[5 + 4 + 2 + 32 :]
    body = body[1 + body[0] :]
    size = int.from_bytes(body[:2], "big")
    suites = [int.from_bytes(body[at : at + 2], "big") for at in range(2, 2 + size, 2)]
    body = body[2 + size :]
    body = body[1 + body[0] + 2 :]
    extensions, alpn = set(), []
    while body:
        kind, length = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
        data, body = body[4 : 4 + length], body[4 + length :]
        if not is_grease(kind):
            extensions.add(kind)
        if kind == 16:
            names = data[2:]
            while names:
                alpn.append(names[1 : 1 + names[0]])
                names = names[1 + names[0] :]
    return {"suites": [suite for suite in suites if not is_grease(suite)], "extensions": extensions, "alpn": alpn}


def tls_connects(pair: Any) -> Callable[[socket.socket, FakeProxy], None]:
    """An https proxy that notes: the hello to it, whether it was resumed, the CONNECT, and the hello in the tunnel; then it cuts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["http/1.1"])

    def behave(connection: socket.socket, fake: FakeProxy) -> None:
        hello = b""
        while len(hello) < 5 or len(hello) < 5 + int.from_bytes(hello[3:5], "big"):
            hello = connection.recv(65536, socket.MSG_PEEK)
        secure = context.wrap_socket(connection, server_side=True)
        with fake.lock:
            fake.asked += [hello, b"resumed" if secure.session_reused else b"new"]
        read_head(secure, fake)
        secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        inner = read_record(lambda size: read_exactly(secure, size))
        with fake.lock:
            fake.asked.append(inner)
        secure.close()

    return behave


def is_masked(text: Any, *secrets: str) -> bool:
    """None of the secrets is in the text, percent-encoded or plain."""
    from urllib.parse import quote, unquote

    shown = str(text)
    return not any(
        part in shown or part in unquote(shown) for secret in secrets for part in (secret, quote(secret, safe=""))
    )
