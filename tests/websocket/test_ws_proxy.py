"""WebSockets and event streams through a proxy: always a tunnel, also for ws:// and where plain http goes in absolute form."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tls_requests


class Tunnels(socketserver.ThreadingTCPServer):
    """An HTTP proxy that makes tunnels, and notes what it was asked."""

    allow_reuse_address = True
    daemon_threads = True
    asked: list[str]

    class Handler(socketserver.StreamRequestHandler):
        server: Tunnels

        def handle(self) -> None:
            line = self.rfile.readline().decode()
            self.server.asked.append(line.rsplit(" ", 1)[0])
            while self.rfile.readline().strip():
                pass
            host, _, port = line.split(" ")[1].rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port))) as upstream:
                self.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=copy, args=(upstream, self.connection), daemon=True)
                back.start()
                copy(self.connection, upstream)
                back.join(10)


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def tunnels() -> Iterator[Tunnels]:
    with Tunnels(("127.0.0.1", 0), Tunnels.Handler) as server:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("forward", [None, True])
@pytest.mark.parametrize("make", ["websockets", "websockets-plain", "hypercorn"])
def test_through_a_tunnel(
    api: Any, ports: Callable[[str], str], tunnels: Tunnels, make: str, forward: bool | None
) -> None:
    address = f"http://127.0.0.1:{tunnels.server_address[1]}"
    proxy = tls_requests.Proxy(address) if forward is None else tls_requests.Proxy(address, forward=forward)
    client = api.new_client(proxy=proxy, client_identifier="firefox_153_linux")
    root = ports(make)
    with api.open(root, client) as socket_:
        socket_.send("through")
        assert socket_.receive(10) == "through"
        assert socket_.response.http_version == ("HTTP/2.0" if make == "hypercorn" else "HTTP/1.1")
    assert set(tunnels.asked) == {f"CONNECT {root.split('//')[1]}"}


def test_no_proxy_there(api: Any, plain: str) -> None:
    client = api.new_client(proxy="http://127.0.0.1:9")
    with pytest.raises(tls_requests.ProxyError):
        api.open(plain, client)


def test_a_plain_request_with_such_a_url_stays_an_answer_with_status_0(api: Any) -> None:
    response = api.get("ws://127.0.0.1:9/")
    assert response.status_code == 0
    assert type(response.error).__name__ == "UnsupportedProtocol"
