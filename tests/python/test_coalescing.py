"""Hosts that share an HTTP/2 connection (RFC 9113 9.1.1), and those that must not: as Chromium 156 was seen to do it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

import tls_requests
from peers.fake import close_listener

NAMES = ("*.site.test", "*.other.test")
HOSTS = ("a.site.test", "b.site.test", "c.other.test", "d.third.test")
Script = Callable[[int, str, str], Any]


class Server:
    """HTTP/2 on all loopback addresses. `script(connection, host, path)` gives a status, or an error code to reset with."""

    def __init__(self, pairs: dict[str | None, Any], max_streams: int = 100) -> None:
        self.script: Script = lambda connection, host, path: 200
        self.max_streams = max_streams
        self.requests: list[tuple[int, str]] = []
        self.most_streams = 0
        self.names: list[str | None] = []  # by connection: its SNI
        self.resumed: list[bool] = []
        self.versions: list[str | None] = []
        self.connections: dict[int, ssl.SSLSocket] = {}
        self.lock = threading.Lock()
        self.contexts = {name: self._context(pair) for name, pair in pairs.items()}
        self.listener = socket.create_server(("0.0.0.0", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _context(self, pair: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(pair.cert), str(pair.key))
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.sni_callback = self._on_name
        return context

    def _on_name(self, tls: ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        tls.server_name = name  # type: ignore[attr-defined]
        if name in self.contexts:
            tls.context = self.contexts[name]

    def url(self, host: str, path: str = "/") -> str:
        return f"https://{host}:{self.port}{path}"

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), self.contexts[None].wrap_socket(sock, server_side=True) as tls:
            tls.settimeout(20)
            with self.lock:
                number = len(self.names)
                self.names.append(getattr(tls, "server_name", None))
                self.resumed.append(tls.session_reused)
                self.versions.append(tls.selected_alpn_protocol())
                self.connections[number] = tls
            if tls.selected_alpn_protocol() == "h2":
                self._http2(tls, number)
            else:
                self._http1(tls, number)

    def _http1(self, tls: ssl.SSLSocket, number: int) -> None:
        data = b""
        while part := tls.recv(65536):
            data += part
            while b"\r\n\r\n" in data:
                head, _, data = data.partition(b"\r\n\r\n")
                host = head.lower().partition(b"host: ")[2].partition(b":")[0].decode()
                self.requests.append((number, host))
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1")

    def _http2(self, tls: ssl.SSLSocket, number: int) -> None:
        h2c = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        h2c.local_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = self.max_streams
        h2c.initiate_connection()
        tls.sendall(h2c.data_to_send())
        asked: dict[int, tuple[str, str]] = {}
        held: list[int] = []
        while data := tls.recv(65536):
            for event in h2c.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    headers = dict(event.headers)
                    host = headers[":authority"].partition(":")[0]
                    asked[event.stream_id] = host, headers[":path"]
                    self.most_streams = max(self.most_streams, len(asked))
                    self.requests.append((number, host))
                elif isinstance(event, h2.events.DataReceived):
                    h2c.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    held.append(event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    asked.pop(event.stream_id, None)
            for stream in held:
                if stream in asked:
                    self._answer(h2c, stream, number, *asked.pop(stream))
            held.clear()
            tls.sendall(h2c.data_to_send())

    def _answer(self, h2c: Any, stream: int, number: int, host: str, path: str) -> None:
        action = self.script(number, host, path)
        if isinstance(action, h2.errors.ErrorCodes):
            h2c.reset_stream(stream, action)
        elif action is not None:
            h2c.send_headers(stream, [(":status", str(action))])
            h2c.send_data(stream, f"{number} {host}".encode(), end_stream=True)

    def close(self, number: int) -> None:
        """End a connection."""
        self.connections[number].shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def pair(authority: Any) -> Any:
    return authority.issue("many", names=NAMES)


@pytest.fixture
def server(pair: Any) -> Iterator[Server]:
    made = Server({None: pair})
    yield made
    close_listener(made.listener)


def make(ca_file: str, kind: type[Any] = tls_requests.Client, **options: Any) -> Any:
    options.setdefault("verify", ca_file)
    options.setdefault("client_identifier", "chromium_156")
    options.setdefault("resolve", dict.fromkeys((*HOSTS, *(f"h{i}.site.test" for i in range(100))), "127.0.0.1"))
    return kind(raise_on_error=True, **options)


def test_one_connection_for_the_hosts_of_a_site(server, ca_file):
    with make(ca_file) as client:
        assert client.get(server.url("a.site.test")).text == "0 a.site.test"
        for host in ("b.site.test", "a.site.test", "b.site.test"):
            assert client.get(server.url(host)).text == f"0 {host}"
        assert client.stats().connections_opened == 1
    assert server.names == ["a.site.test"]


def test_a_hundred_hosts(server, ca_file):
    """More than the pool remembers without a connection."""
    with make(ca_file) as client:
        for _ in range(2):
            for i in range(100):
                assert client.get(server.url(f"h{i}.site.test")).text == f"0 h{i}.site.test"
    assert server.names == ["h0.site.test"]


@pytest.mark.parametrize("identifier", ["chromium_156", "firefox_153", "okhttp4_android_13"])
def test_who_does_it(server, ca_file, identifier):
    with make(ca_file, client_identifier=identifier) as client:
        for host in ("a.site.test", "b.site.test"):
            client.get(server.url(host))
    assert [connection for connection, _ in server.requests] == [0, 0]


def test_safari_does_not(server, ca_file):
    with make(ca_file, client_identifier="safari_18_4") as client:
        for host in ("a.site.test", "b.site.test"):
            client.get(server.url(host))
    assert [connection for connection, _ in server.requests] == [0, 1]


def test_other_sites_have_connections_of_their_own(server, ca_file):
    with make(ca_file) as client:
        for host in ("a.site.test", "c.other.test", "b.site.test"):
            client.get(server.url(host))
    assert [connection for connection, _ in server.requests] == [0, 1, 0]


def test_what_a_page_loads_belongs_to_its_site(server, ca_file):
    page = server.url("a.site.test")
    with make(ca_file) as client:
        client.get(page)
        client.get(server.url("c.other.test", "/image"), mode="image", page=page)  # another site, for the same page
        client.get(server.url("b.site.test", "/image"), mode="image", page=page)
        client.get(server.url("c.other.test"))  # a visit: for its own site
        client.get(server.url("a.site.test", "/image"), mode="image", page=server.url("c.other.test"))
        client.get(server.url("c.other.test", "/image"), mode="image", page=page)
    assert [connection for connection, _ in server.requests] == [0, 0, 0, 1, 1, 0]


def test_the_same_host_for_another_site(server, ca_file):
    """No connection is shared between what two sites ask: each would see what the other did."""
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        image = client.get(server.url("a.site.test"), mode="image", page="https://d.third.test/")
        assert not image.timing.tls_resumed
        client.get(server.url("a.site.test"), mode="image", page="https://x.third.test/")
        client.get(server.url("a.site.test"), mode="image", page=server.url("b.site.test"))
    assert [connection for connection, _ in server.requests] == [0, 1, 1, 0]


def test_requests_without_credentials_are_apart(server, ca_file):
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        client.get(server.url("b.site.test"), mode="fetch", credentials="omit")
        client.get(server.url("a.site.test"), mode="fetch", credentials="omit")
    assert [connection for connection, _ in server.requests] == [0, 1, 1]


def test_a_certificate_without_the_name(authority, pair, ca_file):
    narrow = authority.issue("narrow", names=("a.site.test",))
    server = Server({None: pair, "a.site.test": narrow})
    with make(ca_file) as client:
        for host in ("a.site.test", "b.site.test", "a.site.test"):
            client.get(server.url(host))
    assert [connection for connection, _ in server.requests] == [0, 1, 0]
    close_listener(server.listener)


@pytest.mark.parametrize(
    "options",
    [
        {"resolve": {"a.site.test": "127.0.0.1", "b.site.test": "127.0.0.2"}},
        {"limits": tls_requests.Limits(coalesce=False)},
        {"verify": False},
        {"serverNameOverwrite": "x.site.test"},
    ],
    ids=["address", "switched off", "unverified", "another name asked"],
)
def test_what_forbids_it(server, ca_file, options):
    with make(ca_file, **options) as client:
        for host in ("a.site.test", "b.site.test"):
            client.get(server.url(host))
    assert [connection for connection, _ in server.requests] == [0, 1]


def test_a_pinned_host_is_asked_itself(server, pair, ca_file):
    from base64 import b64encode
    from hashlib import sha256

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_pem_x509_certificate(pair.cert.read_bytes()).public_key()
    pin = b64encode(sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()
    with make(ca_file, certificatePinningHosts={"b.site.test": [pin]}) as client:
        for host in ("a.site.test", "b.site.test"):
            client.get(server.url(host))
    assert [connection for connection, _ in server.requests] == [0, 1]


def test_another_port(server, pair, ca_file):
    other = Server({None: pair})
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        client.get(other.url("b.site.test"))
    assert [connection for connection, _ in server.requests + other.requests] == [0, 0]
    close_listener(other.listener)


@pytest.mark.parametrize("how", ["get", "post", "stream"])
def test_misdirected_is_asked_again(server, ca_file, how):
    """421: once more, on a connection of its own, where the host stays; others are not concerned."""
    server.script = lambda connection, host, path: 421 if connection == 0 and host == "b.site.test" else 200
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        if how == "stream":
            with client.stream("GET", server.url("b.site.test")) as response:
                text = b"".join(response.iter_bytes()).decode()
        else:
            response = (
                client.post(server.url("b.site.test"), data=b"x" * 100_000)
                if how == "post"
                else client.get(server.url("b.site.test"))
            )
            text = response.text
        assert (response.status_code, text) == (200, "1 b.site.test")
        assert [client.get(server.url(host)).text[0] for host in ("b.site.test", "h1.site.test", "a.site.test")] == [
            "1",
            "0",
            "0",
        ]
        assert client.stats().replays == 1
    assert server.names == ["a.site.test", "b.site.test"]


def test_misdirected_with_a_body_that_cannot_be_sent_again(server, ca_file):
    server.script = lambda connection, host, path: 421 if host == "b.site.test" else 200
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        response = client.post(server.url("b.site.test"), content=(part for part in [b"once"]))
        assert response.status_code == 421


def test_misdirected_on_its_own_connection(server, ca_file):
    """The answer is what the server says of itself: nothing is sent again."""
    server.script = lambda connection, host, path: 421
    with make(ca_file) as client:
        assert client.get(server.url("a.site.test")).status_code == 421
    assert len(server.requests) == 1


def test_http_1_1_required_there(server, ca_file):
    server.script = lambda connection, host, path: (
        h2.errors.ErrorCodes.HTTP_1_1_REQUIRED if host == "b.site.test" else 200
    )
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        assert client.get(server.url("b.site.test")).text == "h1"
        client.get(server.url("a.site.test"))
    assert [connection for connection, _ in server.requests] == [0, 0, 1, 0]
    assert server.versions == ["h2", "http/1.1"]


def test_refused_there(server, ca_file):
    """REFUSED_STREAM: again on a connection that was opened for it."""
    server.script = lambda connection, host, path: (
        h2.errors.ErrorCodes.REFUSED_STREAM if connection == 0 and host == "b.site.test" else 200
    )
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        assert client.get(server.url("b.site.test")).text == "1 b.site.test"


def test_the_connection_ends(server, ca_file):
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        client.get(server.url("b.site.test"))
        server.close(0)
        assert client.get(server.url("b.site.test")).text == "1 b.site.test"
        assert client.get(server.url("a.site.test")).text == "1 a.site.test"
    assert server.names == ["a.site.test", "b.site.test"]


def test_a_resumed_connection_is_shared_as_well(server, ca_file):
    """Its server sends no certificate: the one of the session counts."""
    with make(ca_file) as client:
        client.get(server.url("a.site.test"))
        server.close(0)
        assert client.get(server.url("a.site.test")).timing.tls_resumed
        assert client.get(server.url("b.site.test")).text == "1 b.site.test"
    assert server.resumed == [False, True]


def test_many_at_once(pair, ca_file):
    """Hosts share the streams that the server allows; who waits is told when one is free."""
    server = Server({None: pair}, max_streams=3)
    hosts = [f"h{i % 7}.site.test" for i in range(70)]

    async def main() -> None:
        async with make(ca_file, tls_requests.AsyncClient) as client:
            await client.get(server.url("a.site.test"))
            responses = await asyncio.gather(*[client.get(server.url(host)) for host in hosts])
            assert [response.text for response in responses] == [f"0 {host}" for host in hosts]

    asyncio.run(asyncio.wait_for(main(), 60))
    assert server.names == ["a.site.test"] and server.most_streams <= 3
    close_listener(server.listener)


def test_cancelled_there(server, ca_file):
    server.script = lambda connection, host, path: None if path == "/never" else 200

    async def main() -> None:
        async with make(ca_file, tls_requests.AsyncClient) as client:
            await client.get(server.url("a.site.test"))
            for _ in range(5):
                tasks = [asyncio.create_task(client.get(server.url(f"h{i}.site.test", "/never"))) for i in range(20)]
                await asyncio.sleep(0.01)
                for task in tasks:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(result, asyncio.CancelledError) for result in results)
            assert (await client.get(server.url("h3.site.test"))).text == "0 h3.site.test"

    asyncio.run(asyncio.wait_for(main(), 60))


def test_the_client_is_closed_with_requests_there(server, ca_file):
    server.script = lambda connection, host, path: None if path == "/never" else 200

    async def main() -> None:
        client = make(ca_file, tls_requests.AsyncClient)
        await client.get(server.url("a.site.test"))
        tasks = [asyncio.create_task(client.get(server.url(f"h{i}.site.test", "/never"))) for i in range(20)]
        await asyncio.sleep(0.05)
        await client.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, tls_requests.HTTPError) for result in results), results

    asyncio.run(asyncio.wait_for(main(), 60))
