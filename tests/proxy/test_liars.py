"""Proxies that lie, stall and cut: each ends in a typed failure of the proxy's, in time, with nothing of the request sent past it."""

from __future__ import annotations

import pickle
import socket
import threading
import time

import pytest
from fakes import answers, connects, fake_proxy, is_masked, read_head, socks4, socks5

import tls_requests
from tls_requests import exceptions

OK = b"HTTP/1.1 200 Connection established\r\n\r\n"

# name, what is answered to CONNECT, code, class, detail
LIES = [
    (
        "407",
        b"HTTP/1.1 407 Authenticate\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
        "PROXY_AUTH",
        "ProxyAuthError",
        407,
    ),
    ("502", b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad", "PROXY_REFUSED", "ProxyRefused", 502),
    (
        "301",
        b"HTTP/1.1 301 Moved\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n",
        "PROXY_REFUSED",
        "ProxyRefused",
        301,
    ),
    ("garbage", b"\x16\x03\x01 no HTTP at all\r\n\r\n", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("ssh", b"SSH-2.0-OpenSSH_9.2\r\n", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("bare-lf", b"HTTP/1.1 200 OK\nX: y\n\n", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("blank-before-colon", b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("folded", b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("upgrade", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tls\r\n\r\n", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("bytes-behind", OK + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("one-byte-behind", OK + b"x", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("body", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("long-header", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000, "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("many-headers", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200, "PROXY_PROTOCOL", "ProxyProtocolError", 0),
    ("many-100", b"HTTP/1.1 100 Continue\r\n\r\n" * 50, "PROXY_PROTOCOL", "ProxyProtocolError", 0),
]


@pytest.mark.parametrize(("answer", "code", "kind", "detail"), [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_lies(session, site, answer: bytes, code: str, kind: str, detail: int) -> None:
    with fake_proxy(answers(answer)) as fake:
        client = session(proxy=fake.url(), timeout=8)
        start = time.monotonic()
        for url in (f"https://127.0.0.1:{site.server_port}/", f"http://127.0.0.1:{site.server_port}/echo"):
            response = client.get(url)
            error = response.error
            assert response.status_code == 0 and response.request.proxy.url == fake.url()
            assert (error.code, type(error).__name__, error.phase) == (code, kind, "proxy"), str(error)
            assert detail in (0, error.detail)
            assert isinstance(error, exceptions.ProxyError) and not isinstance(error, exceptions.RemoteProtocolError)
            assert (error.request_sent, error.safe_to_retry) == (False, True)
            assert type(pickle.loads(pickle.dumps(error))) is type(error)
        assert time.monotonic() - start < 4
        assert all(head.startswith(b"CONNECT ") for head in fake.asked)
        assert len(fake.asked) == 2, "no second try, no loop"
    assert site.seen == []


def test_407_is_no_loop(session) -> None:
    """Credentials are sent once; a proxy that goes on asking is not answered."""
    asks = b"HTTP/1.1 407 More\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
    with fake_proxy(answers(*[asks] * 10)) as fake:
        error = session(proxy=fake.url(userinfo="me:hidden@")).get("https://origin.test/").error
        assert error.code == "PROXY_AUTH" and len(fake.asked) == 1
        assert b"Proxy-Authorization: Basic bWU6aGlkZGVu\r\n" in fake.asked[0]
        assert is_masked(error, "hidden", "bWU6aGlkZGVu")


def test_no_credentials_unless_given(session) -> None:
    with fake_proxy(answers(b"HTTP/1.1 407 x\r\n\r\n")) as fake:
        session(proxy=fake.url()).get("https://origin.test/")
        assert b"authorization" not in fake.asked[0].lower()


def test_absolute_form_is_not_tried_after_other_refusals(session, site) -> None:
    """A gateway that cannot reach the host, a wrong password, too many requests: the same again would say the same."""
    for status in (b"407", b"408", b"429", b"500", b"502", b"503", b"504"):
        with fake_proxy(answers(b"HTTP/1.1 " + status + b" No\r\nContent-Length: 0\r\n\r\n")) as fake:
            assert session(proxy=fake.url()).get(f"http://127.0.0.1:{site.server_port}/echo").status_code == 0
            assert len(fake.asked) == 1


def test_lies_in_absolute_form(session, site) -> None:
    """The fallback's answer goes through the client's own parser; its 407 is the proxy's."""

    def behave(connection: socket.socket, fake) -> None:
        if read_head(connection, fake).startswith(b"CONNECT"):
            connection.sendall(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\nhello")

    with fake_proxy(behave) as fake:
        error = session(proxy=fake.url()).get(f"http://127.0.0.1:{site.server_port}/echo").error
        assert (error.code, error.detail) == ("PROXY_AUTH", 407)
        assert fake.asked[1].startswith(b"GET http://127.0.0.1:")
    assert site.seen == []


# --------------------------------------------------------------------------------------------------------- ends and time


def cut_after(num: int, reset: bool = False):
    def behave(connection: socket.socket, fake) -> None:
        read_head(connection, fake)
        connection.sendall(OK[:num])
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return behave


@pytest.mark.parametrize("num", [0, 1, 12, len(OK) - 1])
@pytest.mark.parametrize("reset", [False, True])
def test_early_close(session, num: int, reset: bool) -> None:
    with fake_proxy(cut_after(num, reset)) as fake:
        error = session(proxy=fake.url()).get("https://origin.test/").error
        assert (type(error).__name__, error.code) == ("ProxyClosed", "PROXY_CLOSED"), str(error)
        assert (error.request_sent, error.safe_to_retry) == (False, True)


@pytest.mark.parametrize("scheme", ["http", "https", "socks4a", "socks5", "socks5h"])
@pytest.mark.parametrize("timeout", [0.4, {"connect": 0.4}, {"connect": 0.4, "total": 20}])
def test_silence(session, scheme: str, timeout) -> None:
    """A proxy that accepts and says nothing, also to a TLS hello."""

    def behave(connection: socket.socket, fake) -> None:
        while connection.recv(65536):
            pass

    with fake_proxy(behave) as fake:
        start = time.monotonic()
        response = session(proxy=fake.url(scheme), timeout=timeout).get("https://127.0.0.1:1/")
        assert (type(response.error).__name__, response.error.code) == ("ProxyTimeout", "PROXY_TIMEOUT"), response.text
        assert isinstance(response.error, exceptions.TimeoutError) and "timeout" in response.text
        assert (response.error.request_sent, response.error.safe_to_retry) == (False, True)
        assert 0.35 < time.monotonic() - start < 3


def test_one_byte_a_time(session) -> None:
    """A slow answer is fine within the time, and is bounded by it."""

    def drips(connection: socket.socket, fake) -> None:
        read_head(connection, fake)
        for byte in OK:
            connection.sendall(bytes([byte]))
            time.sleep(0.1)

    with fake_proxy(drips) as fake:
        start = time.monotonic()
        error = session(proxy=fake.url(), timeout={"connect": 0.5}).get("https://origin.test/").error
        assert error.code == "PROXY_TIMEOUT"
        assert time.monotonic() - start < 3

    def endless(connection: socket.socket, fake) -> None:
        read_head(connection, fake)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not fake.stopping.wait(0.02):
            connection.sendall(b"y")

    with fake_proxy(endless) as fake:
        start = time.monotonic()
        error = session(proxy=fake.url(), timeout={"connect": 0.5}).get("https://origin.test/").error
        assert error.code == "PROXY_TIMEOUT"
        assert 0.4 < time.monotonic() - start < 3


def test_slow_but_honest(session, nginx) -> None:
    with fake_proxy(connects(drip=0.004)) as fake:
        assert session(proxy=fake.url()).get(nginx.url(host="127.0.0.1")).http_version == "HTTP/2.0"


def test_interim_answers_are_skipped(session, nginx) -> None:
    with fake_proxy(
        connects(before=b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + b"HTTP/1.0 200 ok\r\nX: y\r\n\r\n")
    ) as fake:
        assert session(proxy=fake.url()).get(nginx.url(host="127.0.0.1")).status_code == 200


def test_length_in_the_answer_means_nothing(session, nginx) -> None:
    """RFC 9110 9.3.6: a 2xx to CONNECT has no body, whatever its fields say."""
    for fields in (b"Content-Length: 5000", b"Transfer-Encoding: chunked"):
        with fake_proxy(connects(before=b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n\r\n")) as fake:
            assert session(proxy=fake.url()).get(nginx.url(host="127.0.0.1")).status_code == 200


def test_the_tunnels_end_is_the_origins(session) -> None:
    """Once the tunnel stands, a failure is not called the proxy's."""
    with fake_proxy(answers(OK)) as fake:
        error = session(proxy=fake.url(), timeout={"tls": 0.4}).get("https://origin.test/").error
        assert error.code == "TIMEOUT_TLS"

    def says_hello(connection: socket.socket, fake) -> None:
        read_head(connection, fake)
        connection.sendall(OK)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n")

    with fake_proxy(says_hello) as fake:
        assert session(proxy=fake.url()).get("https://origin.test/").error.code == "TLS_NOT_TLS"


def test_dial(session, closed_port: int) -> None:
    refused = session(proxy=f"http://127.0.0.1:{closed_port}").get("https://origin.test/")
    assert (type(refused.error).__name__, refused.error.code) == ("ProxyConnectError", "PROXY_CONNECT")
    assert "refused" in refused.text and f"127.0.0.1:{closed_port}" in refused.text
    unknown = session(proxy="socks5h://no-such-proxy.invalid").get("https://origin.test/")
    assert unknown.error.code == "PROXY_CONNECT" and "no such host" in unknown.text
    for error in (refused.error, unknown.error):
        assert (error.request_sent, error.safe_to_retry, error.phase) == (False, True, "proxy")


def test_not_tls_at_an_https_proxy(session) -> None:
    with fake_proxy(
        lambda connection, fake: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n") or connection.recv(9000)
    ) as fake:
        error = session(proxy=fake.url("https")).get("https://origin.test/").error
        assert (type(error).__name__, error.code) == ("ProxyTLSError", "PROXY_TLS")


# ----------------------------------------------------------------------------------------------------------------- SOCKS


def socks_answers(*replies: bytes):
    def behave(connection: socket.socket, fake) -> None:
        for reply in replies:
            connection.recv(600)
            connection.sendall(reply)
        while connection.recv(65536):
            pass

    return behave


@pytest.mark.parametrize(
    ("scheme", "replies", "code", "detail"),
    [
        ("socks5h", [b"\4\0"], "PROXY_PROTOCOL", 0),
        ("socks5h", [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "PROXY_PROTOCOL", 0),
        ("socks5h", [b"\5\2"], "PROXY_PROTOCOL", 0),  # a log-in that was not offered
        ("socks5h", [b"\5\1"], "PROXY_PROTOCOL", 0),
        ("socks5h", [b"\5\xff"], "PROXY_AUTH", 0xFF),
        ("socks5h", [b"\5\0", b"\5\1\0\1" + bytes(6)], "PROXY_REFUSED", 1),
        ("socks5h", [b"\5\0", b"\5\7\0\1" + bytes(6)], "PROXY_REFUSED", 7),
        ("socks5h", [b"\5\0", b"\5\x63\0\1" + bytes(6)], "PROXY_REFUSED", 0x63),
        ("socks5h", [b"\5\0", b"\5\0\0\2" + bytes(6)], "PROXY_PROTOCOL", 0),
        ("socks5h", [b"\5\0", b"\1\0\0\1" + bytes(6)], "PROXY_PROTOCOL", 0),
        ("socks4a", [b"\4\x5a" + bytes(6)], "PROXY_PROTOCOL", 0),
        ("socks4a", [b"\0\x5b" + bytes(6)], "PROXY_REFUSED", 0x5B),
        ("socks4a", [b"\0\x5d" + bytes(6)], "PROXY_AUTH", 0x5D),
        ("socks4a", [b"\0\x00" + bytes(6)], "PROXY_PROTOCOL", 0),
    ],
)
def test_socks_lies(session, scheme: str, replies: list[bytes], code: str, detail: int) -> None:
    with fake_proxy(socks_answers(*replies)) as fake:
        error = session(proxy=fake.url(scheme)).get("https://origin.test/").error
        assert (error.code, error.detail) == (code, detail), str(error)
        assert (error.request_sent, error.safe_to_retry) == (False, True)


@pytest.mark.parametrize("cut", range(0, 12, 2))
def test_socks_cut(session, cut: int) -> None:
    whole = b"\5\0" + b"\5\0\0\1" + bytes(6)

    def behave(connection: socket.socket, fake) -> None:
        connection.recv(600)
        connection.sendall(whole[: min(cut, 2)])
        if cut > 2:
            connection.recv(600)
            connection.sendall(whole[2:cut])

    with fake_proxy(behave) as fake:
        error = session(proxy=fake.url("socks5h")).get("https://origin.test/").error
        assert error.code == "PROXY_CLOSED", str(error)


def test_socks_forms(session, nginx) -> None:
    """What each scheme asks for: a name, IPv4, IPv6; replies split into single bytes, with a name as bound address."""
    port = nginx.ports["https"]
    table = {"somewhere.localhost": "127.0.0.1", "localhost": "127.0.0.1"}
    with fake_proxy(socks5(table, split=True)) as fake:
        client = session(proxy=fake.url("socks5h"))
        assert client.get(f"https://localhost:{port}/").status_code == 200
        assert client.get(f"https://127.0.0.1:{port}/").status_code == 200
        assert client.get(f"https://[::1]:{port}/").status_code == 200
        assert fake.asked == [f"{one}:{port}".encode() for one in ("name:localhost", "ipv4:127.0.0.1", "ipv6:::1")]
    with fake_proxy(socks5(table)) as fake:
        assert session(proxy=fake.url("socks5")).get(f"https://localhost:{port}/").status_code == 200
        assert fake.asked[0] in (f"ipv4:127.0.0.1:{port}".encode(), f"ipv6:::1:{port}".encode())
    with fake_proxy(socks5(table)) as fake:
        client = session(proxy=fake.url("socks5h", "us%20er:p%40ss@"))
        assert client.get(f"https://localhost:{port}/").status_code == 200
        assert fake.asked[0] == b"login:us er:p@ss"
    with fake_proxy(socks4(table, user=b"bob")) as fake:
        assert session(proxy=fake.url("socks4a", "bob@")).get(f"https://localhost:{port}/").status_code == 200
        assert fake.asked == [b"\4\1" + port.to_bytes(2, "big") + b"\0\0\0\1name:localhost"]
        assert session(proxy=fake.url("socks4", "bob@")).get(f"https://127.0.0.1:{port}/").status_code == 200
        assert fake.asked[1] == b"\4\1" + port.to_bytes(2, "big") + b"\x7f\0\0\1"
        wrong = session(proxy=fake.url("socks4a", "eve@")).get(f"https://localhost:{port}/")
        assert wrong.error.code == "PROXY_AUTH"
        assert session(proxy=fake.url("socks4")).get(f"https://[::1]:{port}/").error.code == "PROXY_REFUSED"


@pytest.mark.parametrize("code", [3, 4, 5, 8])
def test_socks5_next_address(session, nginx, code: int) -> None:
    """localhost has two addresses here: where the proxy cannot reach one, the other is tried on a new connection."""
    port = nginx.ports["https"]
    for refused in ("127.0.0.1", "::1"):
        with fake_proxy(socks5({}, refuse={refused: code})) as fake:
            response = session(proxy=fake.url("socks5")).get(f"https://localhost:{port}/")
            assert response.status_code == 200, response.text
            assert (
                fake.asked[-1].decode()
                == f"{'ipv6' if refused == '127.0.0.1' else 'ipv4'}:{'::1' if refused == '127.0.0.1' else '127.0.0.1'}:{port}"
            )
            assert len(fake.asked) <= 2
    with fake_proxy(socks5({}, refuse={"127.0.0.1": code, "::1": code})) as fake:
        error = session(proxy=fake.url("socks5")).get(f"https://localhost:{port}/").error
        assert (error.code, error.detail, len(fake.asked)) == ("PROXY_REFUSED", code, 2)
    with fake_proxy(socks5({}, refuse={"127.0.0.1": 2, "::1": 2})) as fake:
        assert session(proxy=fake.url("socks5")).get(f"https://localhost:{port}/").error.detail == 2
        assert len(fake.asked) == 1, "a rule is about more than one address"


def test_socks_log_in_loop(session) -> None:
    with fake_proxy(socks5({}, method=2, login=1)) as fake:
        error = session(proxy=fake.url("socks5h", "me:hidden@")).get("https://origin.test/").error
        assert (error.code, error.detail) == ("PROXY_AUTH", 1)
        assert fake.asked == [b"login:me:hidden"] and is_masked(error, "hidden")


# ---------------------------------------------------------------------------------------------------- nothing is left over


def test_cancelled_and_closed_in_every_phase(site) -> None:
    """Requests given up while the proxy is silent leave no connection behind."""
    from tls_requests import _core

    def silent(connection: socket.socket, fake) -> None:
        while connection.recv(65536):
            pass

    before = _core.stats()["conns_open"]
    with fake_proxy(silent) as fake:
        for scheme in ("http", "https", "socks5h", "socks4a"):
            client = tls_requests.Client(proxy=fake.url(scheme), timeout=20)
            opened = fake.num_connections
            thread = threading.Thread(target=client.get, args=("https://origin.test/",))
            thread.start()
            deadline = time.monotonic() + 5
            while fake.num_connections <= opened and time.monotonic() < deadline:
                time.sleep(0.005)
            assert fake.num_connections == opened + 1
            client.close()
            thread.join(10)
            assert not thread.is_alive()
    deadline = time.monotonic() + 5
    while _core.stats()["conns_open"] > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _core.stats()["conns_open"] <= before


def test_hundred_failures_leave_no_descriptor() -> None:
    import os

    with (
        fake_proxy(answers(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")) as fake,
        tls_requests.Client(proxy=fake.url()) as client,
    ):
        client.get("https://origin.test/")
        deadline = time.monotonic() + 5
        before = len(os.listdir("/proc/self/fd")) - sum(one.fileno() >= 0 for one in fake.open)
        for _ in range(100):
            assert client.get("https://origin.test/").error.detail == 502
        while True:
            now = len(os.listdir("/proc/self/fd")) - sum(one.fileno() >= 0 for one in fake.open)
            if now <= before + 2 or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        assert now <= before + 2
