"""HTTP/2 proxies that lie, stall, flood and cut: each ends in a typed failure in time, the proxy's before the tunnel stands and the connection's behind."""

from __future__ import annotations

import hashlib
import math
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from h2_fakes import INITIAL_WINDOW_SIZE, Relay, h2_proxy, proxy_url, says

import tls_requests
from peers import Peer
from peers.certs import Pair
from peers.fake import (
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    HEADERS,
    HTTP_1_1_REQUIRED,
    INTERNAL_ERROR,
    NO_ERROR,
    OK,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    Fake,
    H2Link,
    block,
    frame,
    goaway,
    rst_stream,
    settings,
    window_update,
)
from peers.servers import start_nginx
from tls_requests import _core, exceptions

FIREFOX = "firefox_153_linux"  # whose connection to a proxy is for all hosts
FRAME_SIZE_ERROR, CONNECT_ERROR = 6, 10
SECONDS = 1.0  # of each part of a request that a proxy can hold up
HTTPS, HTTP = "https://origin.test/", "http://origin.test/"  # in tunnels, both

pytestmark = pytest.mark.timeout(40)


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    before = _core.stats()["conns_open"]
    yield
    wait_until(lambda: _core.stats()["conns_open"] <= before, "connections are left")


def wait_until(done: Callable[[], Any], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tunnelled(session: Any, fake: Fake, **options: Any) -> Any:
    """A client whose plain http goes through tunnels, too."""
    timeout = {"connect": SECONDS, "tls": SECONDS, "write": SECONDS, "read": SECONDS, "total": 20}
    proxy = tls_requests.Proxy(proxy_url(fake), forward=False)
    return session(**{"proxy": proxy, "client_identifier": FIREFOX, "timeout": timeout, **options})


def failed(client: Any, url: str, method: str = "GET", within: float = 3 * SECONDS, **arguments: Any) -> Any:
    start = time.monotonic()
    answer = client.request(method, url, **arguments)
    took = time.monotonic() - start
    assert answer.status_code == 0, answer
    assert took < within, f"it took {took:.2f} s"
    assert isinstance(answer.error, exceptions.HTTPError)
    return answer.error


def head(*fields: tuple[str, str], flags: int = END_HEADERS) -> Callable[[int], bytes]:
    return lambda stream: frame(HEADERS, flags, stream, block(*fields))


def status(number: str, *fields: tuple[str, str], flags: int = END_HEADERS) -> Callable[[int], bytes]:
    return head((":status", number), *fields, flags=flags)


STANDS = status("200")
WHOLE = END_HEADERS | END_STREAM


# ---------------------------------------------------------------------------------------------------- instead of the tunnel


def big_head(number: int) -> bytes:
    rest = frame(CONTINUATION, 0, number, block(("x", "y" * 16000))) * 20
    return frame(HEADERS, 0, number, OK) + rest + frame(CONTINUATION, END_HEADERS, number)


# (name, what is sent to CONNECT, code, detail)
NO_TUNNEL: list[tuple[str, Callable[[int], bytes], str, int]] = [
    ("407", status("407", ("proxy-authenticate", "Basic realm=x"), flags=WHOLE), "PROXY_AUTH", 407),
    ("401", status("401", flags=WHOLE), "PROXY_AUTH", 401),
    ("502", lambda number: status("502")(number) + frame(DATA, END_STREAM, number, b"bad"), "PROXY_REFUSED", 502),
    ("502-without-end", status("502"), "PROXY_REFUSED", 502),
    ("301", status("301", ("location", "https://evil.example/"), flags=WHOLE), "PROXY_REFUSED", 301),
    ("600", status("600", flags=WHOLE), "PROXY_REFUSED", 600),
    ("no-status", head(("x", "y"), flags=WHOLE), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("two-statuses", status("200", (":status", "200")), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("status-101", status("101"), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("status-20", status("20"), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("status-text", status("abc"), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("upper-case", status("200", ("X-Upper", "y")), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("connection-field", status("200", ("connection", "close")), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("request-field", status("200", (":path", "/")), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("nul", status("200", ("x", "a\0b")), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("interim-with-end", status("103", flags=WHOLE), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("interim-flood", lambda number: status("100")(number) * 1000, "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("data-first", lambda number: frame(DATA, 0, number, b"hello"), "PROXY_PROTOCOL", PROTOCOL_ERROR),
    ("many-fields", status("200", *[("x", "y")] * 3000), "PROXY_PROTOCOL", 0),
    ("big-fields", big_head, "PROXY_PROTOCOL", 0),
    *[
        (f"reset-{code}", lambda number, code=code: rst_stream(number, code), "PROXY_CLOSED", code)
        for code in (NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL, CONNECT_ERROR, ENHANCE_YOUR_CALM)
    ],
]


@pytest.mark.parametrize(("reply", "code", "detail"), [row[1:] for row in NO_TUNNEL], ids=[row[0] for row in NO_TUNNEL])
def test_no_tunnel(session, server_pair: Pair, reply: Callable[[int], bytes], code: str, detail: int) -> None:
    """One CONNECT for each request: no second try, no loop; nothing of the request went out."""
    with h2_proxy(server_pair, says(reply)) as fake:
        client = tunnelled(session, fake)
        for number, url in enumerate((HTTPS, HTTP, HTTPS)):
            error = failed(client, url)
            assert (error.code, error.phase) == (code, "proxy"), str(error)
            assert isinstance(error, exceptions.ProxyError)
            assert detail in (0, error.detail)
            assert (error.request_sent, error.safe_to_retry) == (False, True)
            assert len(fake.streams) == number + 1


# What ends the connection; (name, what is sent to CONNECT, codes of GOAWAY)
BROKEN: list[tuple[str, Callable[[int], bytes], tuple[int, ...]]] = [
    ("continuation-flood", lambda s: frame(HEADERS, 0, s, OK) + frame(CONTINUATION, 0, s) * 5000, (ENHANCE_YOUR_CALM,)),
    ("not-continued", lambda s: frame(HEADERS, 0, s, OK) + frame(DATA, 0, s, b"x"), (PROTOCOL_ERROR,)),
    ("hpack-cut", lambda s: frame(HEADERS, END_HEADERS, s, b"\xff\xff\xff\xff\xff\xff"), (COMPRESSION_ERROR,)),
    ("hpack-index-0", lambda s: frame(HEADERS, END_HEADERS, s, b"\x80"), (COMPRESSION_ERROR,)),
    ("frame-too-long", lambda s: frame(DATA, 0, s, bytes(20000)), (FRAME_SIZE_ERROR,)),
    ("frame-said-to-be-long", lambda s: frame(DATA, 0, s, b"x", length=0xFFFFFF), (FRAME_SIZE_ERROR,)),
    ("head-on-stream-0", lambda s: frame(HEADERS, END_HEADERS, 0, OK), (PROTOCOL_ERROR,)),
    ("head-on-idle-stream", lambda s: frame(HEADERS, END_HEADERS, s + 2, OK), (PROTOCOL_ERROR,)),
    ("head-on-even-stream", lambda s: frame(HEADERS, END_HEADERS, 2, OK), (PROTOCOL_ERROR,)),
    (
        "push",
        lambda s: frame(PUSH_PROMISE, END_HEADERS, s, struct.pack(">I", 2) + block((":method", "GET"))),
        (PROTOCOL_ERROR,),
    ),
    ("settings-cut", lambda s: frame(SETTINGS, payload=b"12345"), (FRAME_SIZE_ERROR,)),
    ("settings-window", lambda s: settings((INITIAL_WINDOW_SIZE, 1 << 31)), (FLOW_CONTROL_ERROR,)),
    ("settings-frame-size", lambda s: settings((5, 1)), (PROTOCOL_ERROR,)),
    ("window-0", lambda s: window_update(s, 0), (PROTOCOL_ERROR,)),
    ("window-over", lambda s: window_update(0, 0x7FFFFFFF) * 2, (FLOW_CONTROL_ERROR,)),
    ("reset-of-idle-stream", lambda s: rst_stream(s + 100, CANCEL), (PROTOCOL_ERROR,)),
    ("reset-cut", lambda s: frame(RST_STREAM, 0, s, b"1"), (FRAME_SIZE_ERROR,)),
    ("ping-cut", lambda s: frame(PING, payload=b"1"), (FRAME_SIZE_ERROR,)),
    ("http1", lambda s: b"HTTP/1.1 200 Connection established\r\n\r\n", (FRAME_SIZE_ERROR,)),
    ("zeros", lambda s: bytes(1000), (PROTOCOL_ERROR, FRAME_SIZE_ERROR)),
    ("settings-flood", lambda s: settings() * 20000, (ENHANCE_YOUR_CALM,)),
    ("ping-flood", lambda s: frame(PING, payload=bytes(8)) * 20000, (ENHANCE_YOUR_CALM,)),
    ("priority-flood", lambda s: frame(PRIORITY, 0, s, bytes(5)) * 20000, (ENHANCE_YOUR_CALM,)),
    ("unknown-flood", lambda s: frame(0xBB, 0, s, bytes(5)) * 20000, (ENHANCE_YOUR_CALM,)),
]


def breaks(reply: Callable[[int], bytes], codes: tuple[int, ...]) -> Callable[[H2Link], None]:
    """Says this to the first CONNECT; the client must end the connection with GOAWAY and one of these codes."""

    def behave(link: H2Link) -> None:
        link.begin()
        link.send(reply(link.stream()))
        got = link.goaway()
        assert got in codes, f"GOAWAY with code {got}"

    return behave


@pytest.mark.parametrize(("reply", "codes"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_broken_protocol(session, server_pair, reply: Callable[[int], bytes], codes: tuple[int, ...]) -> None:
    """Told to the proxy, told to the caller, and the next request comes on a new connection."""
    with h2_proxy(server_pair, breaks(reply, codes)) as fake:
        client = tunnelled(session, fake)
        for number, url in enumerate((HTTPS, HTTP)):
            error = failed(client, url)
            assert (type(error).__name__, error.code, error.phase) == ("ProxyProtocolError", "PROXY_PROTOCOL", "proxy")
            assert (error.request_sent, error.safe_to_retry) == (False, True)
            assert fake.connections == number + 1
            # It reads on until it has seen GOAWAY, which a client that is closed at once would not send any more.
            wait_until(lambda: not any(thread.is_alive() for thread in fake._threads), "no GOAWAY")


# -------------------------------------------------------------------------------------------------- refused, not looked at


@pytest.mark.parametrize(
    "reply",
    [
        lambda stream: rst_stream(stream, REFUSED_STREAM),
        lambda stream: goaway(0, NO_ERROR),
        lambda stream: goaway(0, ENHANCE_YOUR_CALM),
    ],
    ids=["refused-stream", "goaway", "goaway-calm"],
)
def test_never_looked_at(session, server_pair, reply: Callable[[int], bytes]) -> None:
    """RFC 9113 8.7: CONNECT may go out again; not for ever."""
    with h2_proxy(server_pair, says(reply)) as fake:
        client = tunnelled(session, fake)
        error = failed(client, HTTPS)
        assert (type(error).__name__, error.code) == ("ProxyClosed", "PROXY_CLOSED"), str(error)
        assert (error.request_sent, error.safe_to_retry) == (False, True)
        assert 2 <= len(fake.streams) <= 4
        assert fake.connections == len(fake.streams), "a new connection for each try"


@pytest.mark.parametrize(
    "reply",
    [lambda stream: rst_stream(stream, REFUSED_STREAM), lambda stream: goaway(0, NO_ERROR)],
    ids=["refused-stream", "goaway"],
)
def test_not_looked_at_once(session, server_pair, nginx: Peer, reply: Callable[[int], bytes]) -> None:
    relay = Relay(nginx.ports["https"])

    def behave(link: H2Link) -> None:
        if link.number > 0:
            relay(link)
        link.begin()
        link.send(reply(link.stream()))
        link.hold()

    with h2_proxy(server_pair, behave) as fake:
        assert tunnelled(session, fake).get(nginx.url()).status_code == 200
        assert (fake.connections, relay.num_tunnels) == (2, 1)


@pytest.mark.parametrize("reply", [lambda stream: rst_stream(stream, HTTP_1_1_REQUIRED)])
def test_http11_required(session, server_pair, reply: Callable[[int], bytes]) -> None:
    """CONNECT goes out again over HTTP/1.1, and later ones at once."""

    def behave(link: H2Link) -> None:
        if link.alpn == "h2":
            link.begin()
            link.send(reply(link.stream()))
            link.hold()
        asked = link.request()
        assert (asked.method, asked.target) == ("CONNECT", "origin.test:443")
        link.answer(b"", 407)
        link.hold()

    with h2_proxy(server_pair, behave) as fake:
        client = tunnelled(session, fake)
        for number in range(2):
            error = failed(client, HTTPS)
            assert (error.code, error.detail) == ("PROXY_AUTH", 407), str(error)
            assert (len(fake.streams), len(fake.requests)) == (1, number + 1)


# ---------------------------------------------------------------------------------------------------------------- silence


def nothing_at_all(link: H2Link) -> None:
    link.stall()


def settings_alone(link: H2Link) -> None:
    link.begin()
    link.hold()


def interim_for_ever(link: H2Link) -> None:
    """A 100 now and then: it answers, and never says anything."""
    link.begin()
    stream = link.stream()
    while not link.wait(0.2):
        link.send(frame(HEADERS, END_HEADERS, stream, block((":status", "100"))))


def half_a_head(link: H2Link) -> None:
    link.begin()
    link.send(STANDS(link.stream())[:-1])
    link.hold()


def goes_away_and_stays(link: H2Link) -> None:
    """GOAWAY that covers the CONNECT, whose answer never comes."""
    link.begin()
    link.send(goaway(link.stream(), NO_ERROR))
    link.hold()


@pytest.mark.parametrize(
    "behave",
    [nothing_at_all, settings_alone, interim_for_ever, half_a_head, goes_away_and_stays],
    ids=lambda one: one.__name__,
)
def test_silence(session, server_pair, behave: Callable[[H2Link], None]) -> None:
    """Bounded by `connect`."""
    with h2_proxy(server_pair, behave) as fake:
        client = tunnelled(session, fake)
        for url in (HTTPS, HTTP):
            start = time.monotonic()
            error = failed(client, url)
            assert time.monotonic() - start > 0.9 * SECONDS
            assert (type(error).__name__, error.code) == ("ProxyTimeout", "PROXY_TIMEOUT"), str(error)
            assert isinstance(error, exceptions.TimeoutError)
            assert (error.request_sent, error.safe_to_retry) == (False, True)


def closes_before_settings(link: H2Link) -> None:
    link.close()


def closes_at_the_preface(link: H2Link) -> None:
    link.receive_exactly(10)
    link.close()


def closes_at_connect(link: H2Link) -> None:
    link.begin()
    link.stream()
    link.close()


def closes_in_the_head(link: H2Link) -> None:
    link.begin()
    link.send(STANDS(link.stream())[:-1])
    link.close()


def resets_at_connect(link: H2Link) -> None:
    link.begin()
    link.stream()
    link.reset()


def notifies_at_connect(link: H2Link) -> None:
    link.begin()
    link.stream()
    link.notify()
    link.close()


@pytest.mark.parametrize(
    "behave",
    [
        closes_before_settings,
        closes_at_the_preface,
        closes_at_connect,
        closes_in_the_head,
        resets_at_connect,
        notifies_at_connect,
    ],
    ids=lambda one: one.__name__,
)
def test_early_close(session, server_pair, behave: Callable[[H2Link], None]) -> None:
    with h2_proxy(server_pair, behave) as fake:
        client = tunnelled(session, fake)
        for url in (HTTPS, HTTP):
            error = failed(client, url)
            assert (type(error).__name__, error.code) == ("ProxyClosed", "PROXY_CLOSED"), str(error)
            assert (error.request_sent, error.safe_to_retry) == (False, True)
        assert fake.connections <= 6


# --------------------------------------------------------------------------------------------------- behind the tunnel's 200

# (name, what is sent with the 200)
BEHIND: list[tuple[str, Callable[[int], bytes]]] = [
    ("end", lambda s: frame(HEADERS, WHOLE, s, OK)),
    ("empty-data-with-end", lambda s: STANDS(s) + frame(DATA, END_STREAM, s)),
    ("second-head", lambda s: STANDS(s) * 2),
    ("padding", lambda s: STANDS(s) + frame(DATA, PADDED, s, b"\xffab")),
    ("empty-data-flood", lambda s: STANDS(s) + frame(DATA, 0, s) * 20000),
    ("goaway-0", lambda s: STANDS(s) + goaway(0, NO_ERROR)),
    ("window-over", lambda s: STANDS(s) + window_update(s, 0x7FFFFFFF)),
    *[
        (f"reset-{code}", lambda s, code=code: STANDS(s) + rst_stream(s, code))
        for code in (NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, CONNECT_ERROR, HTTP_1_1_REQUIRED)
    ],
]


@pytest.mark.parametrize("reply", [row[1] for row in BEHIND], ids=[row[0] for row in BEHIND])
def test_tunnel_that_ends_at_once(session, server_pair, reply: Callable[[int], bytes]) -> None:
    """It stood: what happens is called as without a proxy, and no request that may have gone out is sent again."""
    with h2_proxy(server_pair, says(reply)) as fake:
        client = tunnelled(session, fake)
        error = failed(client, HTTPS)
        assert not isinstance(error, exceptions.ProxyError), str(error)
        assert error.code in ("CONNECT_RESET", "TLS_CLOSED"), error.code
        assert (error.request_sent, error.safe_to_retry) == (False, True)
        error = failed(client, HTTP, "POST", data=b"once")
        assert error.code in ("CONNECT_RESET", "CLOSED_EARLY"), error.code
        assert len(fake.streams) == 2


def test_length_in_the_answer_means_nothing(session, server_pair, nginx) -> None:
    """RFC 9110 9.3.6; and another 2xx makes a tunnel, behind interim answers, too. (Not 204: nghttp2 takes that for the end.)"""
    for answer in (
        status("200", ("content-length", "5000")),
        lambda number: status("103", ("link", "x"))(number) + status("100")(number) + status("299", ("x", "y"))(number),
    ):
        with h2_proxy(server_pair, Relay(nginx.ports["https"], head=answer)) as fake:
            answered = tunnelled(session, fake).get(nginx.url("/page.txt"))
            assert (answered.status_code, len(answered.content)) == (200, 15 * 4096), answered.text


def once(end: Callable[[int], bytes], size: int) -> Callable[[Relay, int], bytes | None]:
    """Ends the first tunnel after so many bytes down."""
    return lambda relay, stream: end(stream) if relay.num_tunnels == 1 and relay.down >= size else None


@pytest.mark.parametrize("size", [0, 500, 1 << 20])
@pytest.mark.parametrize(
    "end",
    [
        lambda stream: b"",
        lambda stream: rst_stream(stream, CANCEL),
        lambda stream: rst_stream(stream, CONNECT_ERROR),
        lambda stream: frame(DATA, END_STREAM, stream),
    ],
    ids=["close", "cancel", "connect-error", "end-stream"],
)
def test_cut_tunnel(session, server_pair, go, end: Callable[[int], bytes], size: int) -> None:
    """In the handshake and in the body; the next request makes a new tunnel."""
    relay = Relay(go.port, ends=once(end, size))
    with h2_proxy(server_pair, relay) as fake:
        client = tunnelled(session, fake)
        error = failed(client, go.url("/bytes/8388608"), "POST", data=b"once")
        assert error.code in ("CONNECT_RESET", "TLS_CLOSED", "CLOSED_EARLY", "BODY_TRUNCATED"), error.code
        assert error.request_sent == (size > 0) and error.safe_to_retry == (size == 0)
        assert relay.num_tunnels == 1, "no replay"
        assert client.get(go.url("/bytes/10")).content == bytes(10)
        assert relay.num_tunnels == 2


def test_goaway_behind_the_answer(session, server_pair, nginx) -> None:
    """The tunnel goes on; another host's is made on a new connection."""
    relay = Relay(nginx.ports["https"], head=lambda number: STANDS(number) + goaway(number, NO_ERROR))
    with h2_proxy(server_pair, relay) as fake:
        client = tunnelled(session, fake)
        for host, num in (("localhost", 1), ("localhost", 1), ("127.0.0.1", 2), ("localhost", 2)):
            assert client.get(nginx.url(host=host)).status_code == 200
            assert fake.connections == num


# ---------------------------------------------------------------------------------------------------------------- windows


def test_no_window(session, server_pair, go, nginx) -> None:
    """Not even a hello goes through: each waits as long as its own part may take."""
    relay = Relay(go.port, ((INITIAL_WINDOW_SIZE, 0),), grants=False)
    with h2_proxy(server_pair, relay) as fake:
        client = tunnelled(session, fake)
        assert failed(client, HTTPS).code == "TIMEOUT_TLS"
        error = failed(client, HTTP, "POST", data=b"once")
        assert isinstance(error, exceptions.WriteTimeout), error
        assert relay.up == 0


@pytest.mark.parametrize(
    "settings_", [((INITIAL_WINDOW_SIZE, 16384),), ((INITIAL_WINDOW_SIZE, 1 << 20),)], ids=["stream", "connection"]
)
def test_upload_into_a_closed_window(session, server_pair, go, settings_: tuple[tuple[int, int], ...]) -> None:
    """The window of the stream, or of the connection, ends in the middle."""
    relay = Relay(go.port, settings_, grants=False)
    with h2_proxy(server_pair, relay) as fake:
        client = tunnelled(session, fake)
        start = time.monotonic()
        error = failed(client, go.url("/digest"), "POST", data=bytes(4 << 20))
        assert (type(error).__name__, error.code) == ("WriteTimeout", "TIMEOUT_WRITE"), str(error)
        assert error.request_sent and time.monotonic() - start > 0.9 * SECONDS
        assert relay.up == min(settings_[0][1], 65535)


@pytest.mark.parametrize("window", [1, 1000, 16384, 65536])
def test_upload_through_a_small_window(session, server_pair, go, window: int) -> None:
    """Slow, and whole."""
    body = os.urandom(20000 if window == 1 else 1 << 20)
    with h2_proxy(server_pair, Relay(go.port, ((INITIAL_WINDOW_SIZE, window),))) as fake:
        answer = tunnelled(session, fake, timeout=20).request("POST", go.url("/digest"), data=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["sha256"] == hashlib.sha256(body).hexdigest()


def test_window_that_opens_late(session, server_pair, sockets: dict[str, str]) -> None:
    """As many bytes wait as may, to the byte (32 KiB in the tunnel, 64 KiB in all): what is sent behind them goes out as well once there is a window."""
    port = int(sockets["ws"].rpartition(":")[2])
    counting = Relay(port)
    with h2_proxy(server_pair, counting) as fake, tunnelled(session, fake).websocket(sockets["ws"], compression=False):
        wait_until(lambda: counting.down > 0, "no handshake")
        handshake = counting.up
    for size in (32768 - 1, 32768, 32768 + 1, 65536 - 1, 65536, 65536 + 1):
        opens = threading.Event()
        relay = Relay(port, ((INITIAL_WINDOW_SIZE, handshake),), grants=False, opens=opens)
        with h2_proxy(server_pair, relay) as fake:
            client = tunnelled(session, fake)
            with client.websocket(sockets["ws"], compression=False) as one:
                # A frame's head is 8 bytes, its mask among them (RFC 6455 5.2).
                messages = [os.urandom(size - 8), b"behind", os.urandom(1 << 20), b"last"]
                timer = threading.Timer(0.3, opens.set)
                timer.start()
                for message in messages:
                    one.call("send", message)
                assert [one.call("receive", 10) for _ in messages] == messages
                timer.join()


@pytest.fixture(scope="module")
def big_nginx(server_pair: Pair) -> Iterator[Peer]:
    """/big has 64 MiB."""
    with start_nginx(server_pair, big_mib=64) as peer:
        yield peer


@pytest.mark.parametrize(("port", "scheme"), [("https", "https"), ("https1", "https"), ("http", "http")])
def test_paused_reader(session, server_pair, big_nginx, port: str, scheme: str) -> None:
    """64 MiB for one who does not read: the windows bound what comes and what it takes of memory; then all of it comes."""
    relay = Relay(big_nginx.ports[port])
    with h2_proxy(server_pair, relay) as fake:
        client = tunnelled(session, fake, timeout=30)
        assert client.get(big_nginx.url(port=port, scheme=scheme)).status_code == 200
        before = resident()
        with client.stream("GET", big_nginx.url("/big", port=port, scheme=scheme)) as running:
            digest = hashlib.sha256(running.piece())
            seen = -1

            def is_still() -> bool:
                nonlocal seen
                still = seen == relay.down
                seen = relay.down
                time.sleep(0.3)
                return still

            wait_until(is_still, "it goes on and on")
            if port != "https":  # which has a window of its own, in the tunnel
                assert relay.blocked > 0, "it is the tunnel's window that stops it"
            assert relay.down < 32 << 20, f"{relay.down >> 20} MiB came"
            assert resident() - before < 40 << 20
            while piece := running.piece():
                digest.update(piece)
            assert resident() - before < 48 << 20
        wanted = hashlib.sha256()
        with (big_nginx.folder / "root" / "big").open("rb") as file:
            while piece := file.read(1 << 20):
                wanted.update(piece)
        assert digest.digest() == wanted.digest()
        assert relay.overdrawn == 0


def test_paused_reader_in_step(session, server_pair, big_nginx) -> None:
    """What comes while the reader is halfway through what it was paused for does not make it forget that room is owed to the proxy."""
    relay = Relay(big_nginx.ports["https1"], pace=0.0003)  # slower than the reader
    with h2_proxy(server_pair, relay) as fake:
        client = tunnelled(session, fake, timeout=60)
        for kib in range(
            2048, 3584, 128
        ):  # in one of these it is halfway: how much is read at once is the engine's affair
            relay.limit = relay.down + (kib << 10)
            with client.stream("GET", big_nginx.url("/big", port="https1")) as running:
                length = 0
                while length < (kib - 64) << 10:
                    wait_until(lambda: relay.down >= relay.limit, "the proxy gave less than it may")
                    length += len(running.piece())
                    relay.limit += 4096
                relay.limit = math.inf
                while length < 14 << 20:
                    length += len(running.piece())


def test_paused_reader_of_a_flood(session, server_pair, site) -> None:
    """A proxy that minds no window: it is told so, the stream is over, and memory was bounded."""

    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        link.send(STANDS(stream))
        link.until(DATA)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n" + bytes(8192)
        link.send(frame(DATA, 0, stream, answer))
        for _ in range((64 << 20) // 16384):
            link.send(frame(DATA, 0, stream, bytes(16384)))
        link.hold()

    before = resident()
    with h2_proxy(server_pair, behave) as fake:
        client = tunnelled(session, fake)
        with client.stream("GET", HTTP) as running:
            assert running.piece()
            wait_until(lambda: any(not thread.is_alive() for thread in fake._threads), "it was not stopped", 20)
            assert resident() - before < 64 << 20
            with pytest.raises(exceptions.HTTPError) as caught:
                running.rest()
            assert caught.value.code in ("CONNECT_RESET", "BODY_TRUNCATED"), caught.value.code
            assert not isinstance(caught.value, exceptions.ProxyError)
