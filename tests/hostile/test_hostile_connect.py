"""Connections that never come about, or lead to the wrong kind of server, and the limits of time on the way."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lab import Lab
from peers import free_port
from peers.fake import CANCEL, RST_STREAM, H2Link, Handshake, Link, answer_http, tls_context
from peers.servers import start_s_server
from tls_requests.exceptions import (
    ConnectError,
    ConnectionReset,
    ConnectTimeout,
    DNSError,
    ReadTimeout,
    RemoteProtocolError,
    TLSError,
    TLSTimeout,
    TotalTimeout,
    UnsupportedProtocol,
    URLError,
    WriteTimeout,
)

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# ------------------------------------------------------------------------------------------------- no connection at all


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_unknown_host(lab: Lab, scheme: str) -> None:
    # RFC 6761 6.4: no name below .invalid exists.
    error = lab.failed(f"{scheme}://unknown.invalid/", DNSError, "unknown.invalid", within=10)
    assert error.safe_to_retry
    assert not error.request_sent


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_refused_port(lab: Lab, scheme: str, host: str) -> None:
    error = lab.failed(f"{scheme}://{host}:{free_port()}/", ConnectError, "refused", code="CONNECT_REFUSED")
    assert error.safe_to_retry
    assert not error.request_sent
    assert error.detail > 0


@pytest.mark.parametrize("url", ["ftp://localhost/", "javascript:alert(1)", "file:///etc/passwd", "ws://localhost/"])
def test_other_schemes_are_refused(lab: Lab, url: str) -> None:
    session = lab.open()
    try:
        response = session.get(url)
    except URLError as error:  # at build time
        assert str(error)
    else:
        assert response.status_code == 0
        assert isinstance(response.error, (UnsupportedProtocol, URLError))
        assert "root:" not in response.text


@pytest.mark.parametrize(
    "url", ["http://", "https:///path", "http://:80/", "http://[::1/", "http://a b/", "http://\x00/"]
)
def test_urls_without_a_usable_host(lab: Lab, url: str) -> None:
    session = lab.open()
    try:
        response = session.get(url)
    except URLError as error:
        assert str(error)
    else:
        assert response.status_code == 0
        assert isinstance(response.error, URLError), response.error


# ------------------------------------------------------------------------------------------------- the wrong kind of server


def test_https_url_of_a_plain_server(lab: Lab) -> None:
    def behave(link: Link) -> None:
        link.receive()
        link.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        link.close()

    server = lab.serve(behave)
    lab.failed(server.url(scheme="https"), TLSError, "http://", code="TLS_NOT_TLS")


@pytest.mark.parametrize("banner", [b"220 mail.test ESMTP ready\r\n", b"SSH-2.0-fake\r\n", b"\x00" * 64, b"\xff" * 64])
def test_https_url_of_a_server_that_speaks_first(lab: Lab, banner: bytes) -> None:
    def behave(link: Link) -> None:
        link.send(banner)
        link.hold()

    server = lab.serve(behave)
    lab.failed(server.url(scheme="https"), TLSError)


def test_http_url_of_a_tls_server(lab: Lab) -> None:
    server = lab.serve(answer_http(HELLO), tls=lab.pair)
    session = lab.open()
    response = session.get(server.url(scheme="http"))
    assert response.status_code == 0
    assert isinstance(response.error, (RemoteProtocolError, ConnectionReset)), response.error


def test_http_url_of_a_tls_server_that_sends_an_alert(lab: Lab) -> None:
    def behave(link: Link) -> None:
        link.receive()
        link.send(b"\x15\x03\x01\x00\x02\x02\x46")  # fatal, protocol_version
        link.close()

    server = lab.serve(behave)
    lab.failed(server.url(), RemoteProtocolError, code="H1_PROTOCOL")


@pytest.mark.parametrize("version", ["-tls1_1", "-tls1"])
def test_server_with_old_tls_only(lab: Lab, version: str) -> None:
    with start_s_server(lab.pair, version, "-cipher", "DEFAULT:@SECLEVEL=0") as peer:
        lab.failed(peer.url(), TLSError, "version", code=("TLS_VERSION", "TLS_ALERT"))


def test_server_hello_of_tls_1_1(lab: Lab) -> None:
    def behave(link: Link) -> None:
        hello = b"\x03\x02" + bytes(32) + b"\0" + b"\xc0\x13" + b"\0"
        message = b"\x02" + len(hello).to_bytes(3, "big") + hello
        link.receive()
        link.send(b"\x16\x03\x02" + len(message).to_bytes(2, "big") + message)
        link.hold()

    server = lab.serve(behave)
    lab.failed(server.url(scheme="https"), TLSError, "1.2", code="TLS_VERSION")


@pytest.mark.parametrize("alpn", [("smtp",), ()])
def test_server_that_agrees_on_no_protocol(lab: Lab, alpn: tuple[str, ...]) -> None:
    """Without ALPN in the answer HTTP/1.1 is spoken (Python's ssl goes on when nothing fits)."""
    server = lab.serve(answer_http(HELLO), tls=tls_context(lab.pair, alpn))
    assert lab.good(server.url()).content == b"ok"


# ------------------------------------------------------------------------------------------------- limits of time


def expect_timeout(lab: Lab, url: str, expected: type[Exception], seconds: float, **options: Any) -> None:
    """It ends with that exception, not before its time and not much later."""
    start = time.monotonic()
    error = lab.failed(url, expected, "timeout", within=seconds + 1.5, raises=False, **options)
    took = time.monotonic() - start
    assert took >= seconds - 0.02
    assert seconds - 0.02 <= error.elapsed <= seconds + 1.5


def test_timeouts_are_raised(lab: Lab) -> None:
    server = lab.serve(Link.hold)
    lab.failed(server.url(), TotalTimeout, "timeout", timeout=0.15, code="TIMEOUT_TOTAL")
    lab.failed(server.url(), ReadTimeout, "timeout", timeout={"read": 0.15}, code="TIMEOUT_READ")
    lab.failed(server.url(scheme="https"), TLSTimeout, "timeout", timeout={"tls": 0.15}, code="TIMEOUT_TLS")


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [(0.3, TotalTimeout), ({"tls": 0.3}, TLSTimeout), ({"connect": 5, "tls": 0.25, "total": 4}, TLSTimeout)],
)
def test_connected_but_no_tls(lab: Lab, timeout: object, expected: type[Exception]) -> None:
    server = lab.serve(Link.hold)
    expect_timeout(
        lab, server.url(scheme="https"), expected, 0.25 if "connect" in str(timeout) else 0.3, timeout=timeout
    )


def test_connection_that_is_never_accepted(lab: Lab) -> None:
    """A full backlog: the kernel drops SYNs, as a firewall does."""
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        time.sleep(0.05)
        probe = socket.socket()
        probe.settimeout(0.2)
        try:
            probe.connect(listener.getsockname())
        except OSError:
            full = True
        else:
            full = False
        fillers.append(probe)
        try:
            if not full:
                pytest.skip("this kernel accepts connections beyond the backlog")
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            expect_timeout(lab, url, ConnectTimeout, 0.3, timeout={"connect": 0.3}, code="TIMEOUT_CONNECT")
            expect_timeout(lab, url, TotalTimeout, 0.2, timeout=0.2)
        finally:
            for filler in fillers:
                filler.close()


@pytest.mark.parametrize(("timeout", "expected"), [(0.2, TotalTimeout), ({"read": 0.2}, ReadTimeout)])
@pytest.mark.parametrize("protocol", ["http", "https", "h2"])
def test_request_without_answer(lab: Lab, protocol: str, timeout: object, expected: type[Exception]) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.hold()

    def behave_h2(link: H2Link) -> None:
        link.begin()
        link.stream()
        link.hold()

    if protocol == "h2":
        server = lab.serve_h2(behave_h2)
    else:
        server = lab.serve(behave, tls=lab.pair if protocol == "https" else None)
    error_code = "TIMEOUT_TOTAL" if expected is TotalTimeout else "TIMEOUT_READ"
    expect_timeout(lab, server.url(), expected, 0.2, timeout=timeout, code=error_code)
    assert server.connections == 1  # nothing is repeated


def test_h2_server_that_never_sends_settings(lab: Lab) -> None:
    server = lab.serve_h2(H2Link.hold)
    expect_timeout(lab, server.url(), TotalTimeout, 0.3, timeout=0.3)


@pytest.mark.parametrize("part", ["body", "chunked"])
def test_a_piece_at_a_time_against_the_total_time(lab: Lab, part: str) -> None:
    """Each piece comes within the read timeout: only the total time ends it."""
    framing, piece = {"body": ("Content-Length: 1000", b"y"), "chunked": ("Transfer-Encoding: chunked", b"1\r\ny\r\n")}[
        part
    ]

    def behave(link: Link) -> None:
        link.request()
        link.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode())
        while not link.wait(0.05):
            link.send(piece)

    server = lab.serve(behave)
    expect_timeout(lab, server.url(), TotalTimeout, 0.5, timeout={"read": 0.25, "total": 0.5}, code="TIMEOUT_TOTAL")


def test_a_head_a_byte_at_a_time(lab: Lab) -> None:
    """A head that never ends is no answer, however alive the server is: whichever limit comes first."""

    def behave(link: Link) -> None:
        link.request()
        link.trickle(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000, 0.03)

    server = lab.serve(behave)
    expect_timeout(lab, server.url(), TotalTimeout, 0.3, timeout={"total": 0.3})


def test_a_byte_a_second_against_the_read_time(lab: Lab) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.trickle(HELLO, 1.0)

    server = lab.serve(behave)
    expect_timeout(lab, server.url(), ReadTimeout, 0.3, timeout={"read": 0.3}, code="TIMEOUT_READ")


def test_a_slow_server_within_the_times(lab: Lab) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.trickle(HELLO[:20], 0.02)
        link.send(HELLO[20:-1])
        link.wait(0.2)
        link.send(HELLO[-1:])
        link.hold()

    server = lab.serve(behave)
    assert lab.good(server.url(), timeout={"read": 1.0, "total": 5}).content == b"ok"


def test_tls_handshake_a_byte_at_a_time(lab: Lab) -> None:
    def behave(link: Link) -> None:
        shake = Handshake(link, tls_context(lab.pair))
        link.trickle(shake.flight(), 0.02)

    server = lab.serve(behave)
    expect_timeout(lab, server.url(scheme="https"), TotalTimeout, 0.4, timeout=0.4)
    expect_timeout(lab, server.url(scheme="https"), TLSTimeout, 0.4, timeout={"tls": 0.4}, code="TIMEOUT_TLS")


@pytest.mark.parametrize(("timeout", "expected"), [(0.25, TotalTimeout), ({"write": 0.25}, WriteTimeout)])
@pytest.mark.parametrize("tls", [False, True])
def test_a_body_that_the_server_does_not_take(lab: Lab, tls: bool, timeout: object, expected: type[Exception]) -> None:
    def behave(link: Link) -> None:
        link.receive_exactly(100)
        link.stall()

    server = lab.serve(behave, tls=lab.pair if tls else None)
    arguments = {"data": b"x" * (32 << 20)}
    error = lab.failed(
        server.url(), expected, "timeout", method="POST", arguments=arguments, timeout=timeout, raises=False
    )
    assert error.request_sent
    assert not error.safe_to_retry


def test_timeout_of_one_stream_leaves_the_others(lab: Lab) -> None:
    """On one HTTP/2 connection: the stream that times out is reset, its neighbour and its successor are answered."""

    def behave(link: H2Link) -> None:
        link.begin()
        link.stream()  # this one waits in vain
        link.respond(link.stream(), b"answer")
        reset = link.until(RST_STREAM)
        assert reset.stream == 1
        assert reset.payload == CANCEL.to_bytes(4, "big")
        link.respond(link.stream(), b"answer")
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    responses = session.gather(server.url("/a"), server.url("/b"), timeout=0.4)
    assert sorted(response.status_code for response in responses) == [0, 200]
    assert session.get(server.url("/c")).content == b"answer"
    assert server.connections == 1


def test_time_limits_begin_with_the_request(lab: Lab) -> None:
    """Not with the last thing that happened before it, however long ago that was."""

    def behave(link: Link) -> None:
        while True:
            link.request()
            link.server.closing.wait(0.1)
            link.answer()

    server = lab.serve(behave)
    session = lab.open(timeout=0.4)
    assert session.get(server.url()).status_code == 200
    time.sleep(0.6)
    response = session.get(server.url())
    assert response.status_code == 200, response.text
    assert 0.09 < response.elapsed.total_seconds() < 0.4
