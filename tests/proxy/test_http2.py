"""Https proxies that speak HTTP/2, by three makes: what goes through them, what shares a connection, limits, refusals, and ends of every kind."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import ssl
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fakes import FakeProxy, fake_proxy, relay

import tls_requests
from echo_site import Site, running_site
from peers import Peer, free_port
from peers.certs import Pair
from peers.h2_proxies import start_go_proxy
from peers.proxies import PASSWORD, PLAIN_PASSWORD, PLAIN_USER, USER
from peers.servers import INDEX
from tls_requests import _core, exceptions

MAKES = ["go", "nghttpx", "apache"]
HARD = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
CREDENTIALS = {"go": f"{PLAIN_USER}:{PLAIN_PASSWORD}@", "nghttpx": HARD, "apache": HARD}
# With Firefox's profiles one connection to a proxy is for all hosts, with Chromium's for what is asked for one site.
FIREFOX, CHROMIUM = "firefox_153_linux", "chrome_133"
BIG = 8 << 20

pytestmark = [
    pytest.mark.timeout(60),
    # The test site's: wrap_socket leaves one to the collector when a client goes at that very moment. Ours uses no sockets of Python's.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pattern(size: int) -> bytes:
    """What the Go server's /pattern/ gives."""
    numbers = array("Q", range(0, size, 8))
    numbers.byteswap()
    return numbers.tobytes()


UPLOAD = os.urandom(1 << 20) * (BIG >> 20)


@pytest.fixture(scope="module")
def secure_site(server_pair: Pair) -> Iterator[Site]:
    """The small site over TLS, HTTP/1.1 alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_pair.cert, server_pair.key)
    context.set_alpn_protocols(["http/1.1"])
    with running_site(context) as site:
        yield site


@contextmanager
def counted(peer: Peer) -> Iterator[FakeProxy]:
    """A TCP relay in front of the proxy; `num_connections` counts."""

    def behave(connection: socket.socket, fake: FakeProxy) -> None:
        upstream = fake.dial(connection, "127.0.0.1", peer.port)
        for one in (connection, upstream):
            one.settimeout(50)  # longer than any request may take: silence is the client's to end
        relay(connection, upstream)

    with fake_proxy(behave) as front:
        yield front


def proxy_of(port: int, userinfo: str = "", **options: Any) -> tls_requests.Proxy:
    return tls_requests.Proxy(f"https://{userinfo}localhost:{port}", **options)


def wait_until(done: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


# -------------------------------------------------------------------------------------------------------- what goes through

# (name, forward)
ORIGINS = [("https-h1", None), ("https-h2", None), ("http", None), ("http", False), ("http", True)]


@pytest.mark.parametrize("origin", ORIGINS, ids=lambda origin: f"{origin[0]}-{origin[1]}")
@pytest.mark.parametrize("make", MAKES)
def test_bodies(session, proxies, go: Peer, site: Site, secure_site: Site, make: str, origin: tuple[str, Any]) -> None:
    """Small, and 8 MiB up and down, on one connection to the proxy."""
    name, forward = origin
    if name == "https-h2":
        root, version, down, expected = go.url(path=""), "HTTP/2.0", f"/pattern/{BIG}", pattern(BIG)
    else:
        server = site if name == "http" else secure_site
        scheme = "http" if name == "http" else "https"
        root, version = f"{scheme}://localhost:{server.server_port}", "HTTP/1.1"
        down, expected = f"/bytes/{BIG}", bytes(range(256)) * (BIG // 256)
        if forward:
            version = "HTTP/2.0"  # of the proxy: it is asked itself
    with counted(proxies(f"h2-{make}")) as front:
        client = session(proxy=proxy_of(front.port, forward=forward))
        for _ in range(2):
            answer = client.request("POST", f"{root}/digest", data=b"small")
            assert (answer.status_code, answer.http_version) == (200, version), answer.text
            assert answer.json()["sha256"] == sha256(b"small")
            assert answer.timing.peer.rpartition(":")[2] == str(front.port)
        answer = client.get(root + down)
        assert (answer.status_code, len(answer.content)) == (200, BIG), answer.text[:200]
        assert sha256(answer.content) == sha256(expected)
        answer = client.request("POST", f"{root}/digest", data=UPLOAD)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["length"], answer.json()["sha256"]) == (BIG, sha256(UPLOAD))
        assert front.num_connections == 1


@pytest.mark.parametrize("kind", ["ws", "wss", "wss-h2"])
@pytest.mark.parametrize("make", MAKES)
def test_websockets(session, proxies, sockets: dict[str, str], make: str, kind: str) -> None:
    """Text and a megabyte each way; two at a time in tunnels of one connection."""
    with counted(proxies(f"h2-{make}")) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=FIREFOX)
        block = os.urandom(1 << 20)
        with client.websocket(sockets[kind]) as one, client.websocket(sockets[kind]) as other:
            assert one.opened.response.http_version == ("HTTP/2.0" if kind == "wss-h2" else "HTTP/1.1")
            for socket_ in (one, other):
                socket_.call("send", "through")
                socket_.call("send", block)
            for socket_ in (other, one):
                assert socket_.call("receive", 10) == "through"
                assert socket_.call("receive", 10) == block
        assert front.num_connections == 1


# ------------------------------------------------------------------------------------------------- who shares a connection


def three_hosts(nginx: Peer, path: str = "/") -> list[str]:
    """Ten URLs."""
    hosts = ["127.0.0.1", "localhost", "[::1]"]
    return [nginx.url(path, host=hosts[number % 3]) for number in range(10)]


@pytest.mark.parametrize(
    ("identifier", "arguments", "num"),
    [(FIREFOX, {}, 1), (CHROMIUM, {"page": "https://site.example/", "mode": "fetch"}, 1), (CHROMIUM, {}, 3)],
    ids=["firefox", "chromium-page", "chromium-sites"],
)
@pytest.mark.parametrize("make", MAKES)
def test_one_connection(session, proxies, nginx, make: str, identifier: str, arguments: Any, num: int) -> None:
    """Ten requests at once to three hosts, on a cold client and on a warm one."""
    with counted(proxies(f"h2-{make}")) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=identifier)
        for _ in range(3):
            answers = client.gather(three_hosts(nginx), **arguments)
            assert [(answer.status_code, answer.content) for answer in answers] == [(200, INDEX)] * 10, answers
            assert front.num_connections == num


@pytest.mark.parametrize("make", MAKES)
def test_tunnels_and_plain_http_on_one_connection(session, proxies, nginx, site, make: str) -> None:
    """Hosts of HTTP/1.1 and HTTP/2 in tunnels, plain http beside them, all at once."""
    urls = [nginx.url(port=port, host=host) for port in ("https", "https1") for host in ("127.0.0.1", "localhost")]
    urls += [f"http://127.0.0.1:{site.server_port}/bytes/100096", nginx.url(port="http", scheme="http")] * 3
    with counted(proxies(f"h2-{make}")) as front:
        client = session(proxy=proxy_of(front.port, forward=True), client_identifier=FIREFOX)
        for _ in range(2):
            answers = client.gather(urls)
            assert [answer.status_code for answer in answers] == [200] * 10, answers
            assert {len(answer.content) for answer in answers} == {len(INDEX), 100096}
        assert front.num_connections == 1


def test_go_is_asked_as_it_should(session, proxies, nginx) -> None:
    """CONNECT and plain http by their own methods, over HTTP/2."""
    peer = proxies("h2-go+auth")
    client = session(proxy=proxy_of(peer.port, CREDENTIALS["go"], forward=True))
    start = len(peer.log())
    plain = nginx.url(port="http", scheme="http")
    assert client.get(nginx.url()).status_code == client.get(plain).status_code == 200
    wanted = [f"CONNECT localhost:{nginx.ports['https']} HTTP/2.0", f"GET localhost:{nginx.ports['http']} HTTP/2.0"]
    log = peer.wait_log(lambda text: all(line in text[start:] for line in wanted))[start:]
    assert all(line in log for line in wanted), log


@pytest.mark.parametrize("arguments", [{"is_rotating_proxy": True}, {"isRotatingProxy": True}])
@pytest.mark.parametrize("make", MAKES)
def test_rotating_proxy(session, proxies, nginx, make: str, arguments: Any) -> None:
    """A connection for each request, and no TLS session taken up over it."""
    with counted(proxies(f"h2-{make}")) as front:
        client = session(proxy=proxy_of(front.port, forward=True), client_identifier=FIREFOX, **arguments)
        for number, url in enumerate([nginx.url(), nginx.url(), nginx.url(port="http", scheme="http"), nginx.url()]):
            answer = client.get(url)
            assert answer.status_code == 200, answer.text
            assert not answer.timing.tls_resumed
            assert front.num_connections == number + 1
        assert [answer.status_code for answer in client.gather(three_hosts(nginx)[:4])] == [200] * 4
        assert front.num_connections == 8


@pytest.mark.parametrize("name", ["h2-go", "h2-nghttpx", "h2-apache", "h1-go"])
def test_http1_to_the_same_proxies(session, proxies, nginx, name: str) -> None:
    """By choice, or because the proxy has no HTTP/2: a connection for each tunnel."""
    options = {} if name.startswith("h1") else {"http2": False}
    with counted(proxies(name)) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=FIREFOX, **options)
        for _ in range(2):
            answers = client.gather(three_hosts(nginx))
            assert [answer.content for answer in answers] == [INDEX] * 10, answers
        assert front.num_connections >= 3


# ---------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("userinfo", ["", "wrong:credentials@"])
@pytest.mark.parametrize("make", MAKES)
def test_log_in_refused(session, proxies, nginx, make: str, userinfo: str) -> None:
    peer = proxies(f"h2-{make}+auth")
    plain = nginx.url(port="http", scheme="http")
    for url, forward in ((nginx.url(), None), (plain, None), (plain, True)):
        for options in ({}, {"raise_on_error": True}):
            client = session(proxy=proxy_of(peer.port, userinfo, forward=forward), **options)
            try:
                answer = client.get(url)
                assert not options
                assert answer.status_code == 0
                error = answer.error
            except exceptions.ProxyError as raised:
                error = raised
            assert isinstance(error, exceptions.ProxyAuthError)
            assert (error.code, error.phase, error.detail) == ("PROXY_AUTH", "proxy", 407)
            if not forward:
                assert not error.request_sent and error.safe_to_retry
            assert "credentials@" not in str(error)


@pytest.mark.parametrize("make", MAKES)
def test_log_in(session, proxies, nginx, make: str) -> None:
    with counted(proxies(f"h2-{make}+auth")) as front:
        client = session(proxy=proxy_of(front.port, CREDENTIALS[make], forward=True), client_identifier=FIREFOX)
        urls = [*three_hosts(nginx), nginx.url(port="http", scheme="http")]
        assert [answer.status_code for answer in client.gather(urls)] == [200] * 11
        assert front.num_connections == 1


@pytest.mark.parametrize(
    ("name", "url", "detail"),
    [
        ("h2-go-403", "https://localhost:{closed}/", 403),
        ("h2-go-502", "https://localhost:{closed}/", 502),
        ("h2-go", "https://127.0.0.1:{closed}/", 502),
        ("h2-nghttpx", "https://192.0.2.1/", 403),
        ("h2-nghttpx", "https://127.0.0.1:{closed}/", 503),
        ("h2-apache", "https://127.0.0.1:9/", 403),
        ("h2-apache", "https://127.0.0.1:{closed}/", 503),
    ],
)
def test_refusals(session, proxies, nginx, closed_port: int, name: str, url: str, detail: int) -> None:
    """What a proxy says of one target is no reason to leave it: the others go on."""
    with counted(proxies(name)) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=FIREFOX)
        for _ in range(2):
            error = client.get(url.format(closed=closed_port)).error
            assert (type(error).__name__, error.code, error.detail) == ("ProxyRefused", "PROXY_REFUSED", detail)
            assert not error.request_sent and error.safe_to_retry
            if not name.startswith("h2-go-"):
                assert client.get(nginx.url()).status_code == 200
        assert front.num_connections == 1


def test_fallback_to_absolute_form(session, proxies, nginx) -> None:
    """CONNECT is refused with 403: plain http goes as it is, https cannot."""
    with counted(proxies("h2-nghttpx-no-connect")) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=FIREFOX)
        for _ in range(2):
            answer = client.get(nginx.url(port="http", scheme="http"))
            assert (answer.status_code, answer.content) == (200, INDEX), answer.text
            assert client.get(nginx.url()).error.detail == 403
        assert front.num_connections == 1


# ------------------------------------------------------------------------------------------------------------------ limits


@pytest.mark.parametrize("identifier", [FIREFOX, CHROMIUM])
@pytest.mark.parametrize("name", ["h2-go-2-streams", "h2-nghttpx-2-streams"])
def test_two_streams_at_a_time(session, proxies, nginx, secure_site, name: str, identifier: str) -> None:
    """Ten requests to three origins, most over HTTP/1.1: what does not fit waits, idle tunnels are given up, all end."""
    port = secure_site.server_port
    urls = [f"https://localhost:{port}/delay/0.05", nginx.url(port="https1"), nginx.url()] * 3
    urls.append(f"https://localhost:{port}/bytes/1048576")
    with counted(proxies(name)) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=identifier, timeout=20)
        for _ in range(2):
            answers = client.gather(urls)
            assert [answer.status_code for answer in answers] == [200] * 10, [answer.text[:80] for answer in answers]
        assert front.num_connections == 1


@pytest.mark.parametrize("identifier", [FIREFOX, CHROMIUM])
def test_one_stream_at_a_time(session, proxies, nginx, secure_site, identifier: str) -> None:
    """A tunnel that was busy when others began to wait is given up for them as soon as it is idle."""
    with counted(proxies("h2-go-1-stream")) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=identifier)
        slow = f"https://localhost:{secure_site.server_port}/delay/0.3"
        for _ in range(3):
            start = time.monotonic()
            answers = client.gather([slow, nginx.url(), slow, nginx.url(port="https1")])
            assert [answer.status_code for answer in answers] == [200] * 4, [answer.text[:80] for answer in answers]
            assert time.monotonic() - start < 5
        assert front.num_connections == 1


def test_two_streams_that_are_held(session, proxies, go, nginx) -> None:
    """Both are busy (for two seconds and a half): a third host waits until one ends, and its time-out is counted."""
    with counted(proxies("h2-go-2-streams")) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=FIREFOX)
        hosts = ("localhost", "127.0.0.1")
        first, second = (client.stream("GET", go.url(f"/pattern/{BIG}?slow=20", host=host)) for host in hosts)
        error = client.get(nginx.url(), timeout={"connect": 0.5}).error
        assert isinstance(error, exceptions.TimeoutError), error
        assert not error.request_sent and error.safe_to_retry
        first.close()
        assert client.get(nginx.url()).status_code == 200
        assert sha256(second.rest()) == sha256(pattern(BIG))
        second.close()
        assert front.num_connections == 1


# -------------------------------------------------------------------------------------------------------------------- ends


def test_goaway(session, proxies, go, nginx, secure_site) -> None:
    """With the third tunnel's answer: what runs goes on, what is new goes to a new connection."""
    with counted(proxies("h2-go-goaway")) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=FIREFOX)
        with client.stream("GET", go.url(f"/pattern/{BIG}")) as running:
            begin = running.piece()
            assert client.get(nginx.url()).status_code == 200
            assert client.get(nginx.url(port="https1")).status_code == 200
            assert front.num_connections == 1
            # The frame comes with, or right behind, the answer: which of the two is looked at first is not the client's choice.
            wait_until(
                lambda: (
                    client.get(f"https://localhost:{secure_site.server_port}/close").status_code == 0
                    and client.get(f"https://localhost:{secure_site.server_port}/echo").status_code == 200
                    and front.num_connections == 2
                ),
                "a second connection",
            )
            assert sha256(begin + running.rest()) == sha256(pattern(BIG))
        assert client.get(nginx.url()).status_code == 200


def test_goaway_in_a_burst(session, proxies, nginx, secure_site) -> None:
    """Streams that the proxy did not look at go out again elsewhere."""
    hosts = ("localhost", "127.0.0.1")
    urls = [nginx.url(port=port, host=host) for host in hosts for port in ("https", "https1")]
    urls += [f"https://{host}:{secure_site.server_port}/echo" for host in hosts]
    for _ in range(3):
        client = session(proxy=proxy_of(proxies("h2-go-goaway").port), client_identifier=FIREFOX)
        for _ in range(2):
            answers = client.gather(urls)
            assert [answer.status_code for answer in answers] == [200] * 6, [answer.text[:80] for answer in answers]
        client.close()


def test_killed_proxy(session, server_pair, go, nginx) -> None:
    """Typed failures of what ran; then none is there; then a new one is found at the same place."""
    port = free_port()
    client = session(proxy=proxy_of(port), client_identifier=FIREFOX)
    with start_go_proxy(server_pair, port=port) as peer:
        streams = [
            client.stream("GET", go.url(f"/pattern/{BIG}?slow=20", host=host)) for host in ("localhost", "127.0.0.1")
        ]
        assert all(stream.piece() for stream in streams)
        os.killpg(peer.process.pid, signal.SIGKILL)
        start = time.monotonic()
        for stream in streams:
            with pytest.raises(exceptions.HTTPError) as caught:
                stream.rest()
            assert caught.value.code in (
                "CONNECT_RESET",
                "TLS_CLOSED",
                "H2_CLOSED",
                "CLOSED_EARLY",
                "BODY_INCOMPLETE",
            ), caught.value.code
            assert not isinstance(caught.value, exceptions.ProxyError), "the tunnel stood"
            stream.close()
        assert time.monotonic() - start < 5
        error = client.get(nginx.url()).error
        assert isinstance(error, exceptions.ProxyError) and error.safe_to_retry, error
    with start_go_proxy(server_pair, port=port):
        answers = client.gather(three_hosts(nginx))
        assert [answer.status_code for answer in answers] == [200] * 10, [answer.text[:80] for answer in answers]
        client.close()


def test_killed_while_idle(session, server_pair, nginx) -> None:
    """Kept tunnels died with the proxy: the next requests do not notice."""
    port = free_port()
    client = session(proxy=proxy_of(port), client_identifier=FIREFOX)
    for _ in range(3):
        with start_go_proxy(server_pair, port=port) as peer:
            answers = client.gather(three_hosts(nginx))
            assert [answer.status_code for answer in answers] == [200] * 10, [answer.text[:80] for answer in answers]
            os.killpg(peer.process.pid, signal.SIGKILL)


def sockets_to(port: int) -> int:
    """Descriptors of this process that are TCP sockets to that port, in whatever state."""
    inodes = set()
    for name in ("tcp", "tcp6"):
        for row in Path(f"/proc/self/net/{name}").read_text().splitlines()[1:]:
            columns = row.split()
            if int(columns[2].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{columns[9]}]")
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{name}") in inodes
        except OSError:  # the one of listdir itself
            continue
    return count


@pytest.mark.parametrize("make", MAKES)
def test_client_closed_with_open_tunnels(session, proxies, go, nginx, make: str) -> None:
    """One that is read from, some that are idle: no connection and no descriptor is left."""
    port = proxies(f"h2-{make}").port
    wait_until(lambda: sockets_to(port) == 0, "connections of the tests before")
    before = _core.stats()["conns_open"]
    client = session(proxy=proxy_of(port), client_identifier=FIREFOX)
    running = client.stream("GET", go.url(f"/pattern/{BIG}?slow=20"))
    assert running.piece()
    assert [answer.status_code for answer in client.gather(three_hosts(nginx))] == [200] * 10
    assert sockets_to(port) == 1
    client.client.close()
    with pytest.raises((exceptions.HTTPError, exceptions.StreamError)):
        running.rest()
    wait_until(lambda: sockets_to(port) == 0, "descriptors are left")
    wait_until(lambda: _core.stats()["conns_open"] <= before, "connections are left")


def test_a_reader_that_pauses(session, proxies, go, nginx) -> None:
    """64 MiB for one who reads nothing: most of it stays where it is, and the other tunnels of that connection go on."""
    size = 64 << 20
    moved = [0]

    def counting(connection: Any, fake: FakeProxy) -> None:
        upstream = fake.dial(connection, "127.0.0.1", proxies("h2-go").port)

        class Counting:
            """A socket, counted."""

            def recv(self, most: int) -> bytes:
                data: bytes = upstream.recv(most)
                moved[0] += len(data)
                return data

            def __getattr__(self, name: str) -> Any:
                return getattr(upstream, name)

        relay(connection, Counting())  # type: ignore[arg-type]

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def is_still() -> bool:
        seen = moved[0]
        time.sleep(0.3)
        return moved[0] == seen

    with fake_proxy(counting) as front:
        client = session(proxy=proxy_of(front.port), client_identifier=FIREFOX)
        assert client.get(nginx.url()).status_code == 200
        before = resident()
        with client.stream("GET", go.url(f"/pattern/{size}")) as running:
            digest = hashlib.sha256(running.piece())
            wait_until(is_still, "it goes on and on")
            assert moved[0] < 48 << 20, f"{moved[0] >> 20} MiB came"
            assert resident() - before < 48 << 20
            assert [answer.status_code for answer in client.gather(three_hosts(nginx))] == [200] * 10
            while piece := running.piece():
                digest.update(piece)
        assert digest.hexdigest() == sha256(pattern(size))
        assert resident() - before < 160 << 20  # what is compared with is in this process, too
        assert front.num_connections == 1
