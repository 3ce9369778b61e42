"""Requests that must not leave: CR, LF, NUL and worse in whatever a caller can pass. Nothing may reach the server."""

from __future__ import annotations

from typing import Any

import pytest

from lab import Lab
from peers.fake import Fake, H2Link, Link
from tls_requests.exceptions import CookieError, HeaderError, HTTPError, ProtocolError, URLError

EVIL = ["\r\nX-Evil: 1", "\nX-Evil: 1", "\rX-Evil: 1", "\0", "\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n"]


def answer(link: Link) -> None:
    while True:
        link.request()
        link.answer()


def refused(
    lab: Lab, server: Fake, expected: tuple[type[Exception], ...], method: str = "GET", **arguments: Any
) -> None:
    """The call fails, as a status-0 response or an exception, with one of these classes; no connection was opened."""
    session = lab.open()
    try:
        response = session.request(method, server.url("/"), **arguments)
    except Exception as error:
        assert isinstance(error, expected), repr(error)
        assert str(error)
    else:
        assert response.status_code == 0, server.requests
        assert isinstance(response.error, expected), repr(response.error)
        assert response.error.safe_to_retry
    assert server.requests == []
    session = lab.open(raise_on_error=True)
    with pytest.raises(expected):
        session.request(method, server.url("/"), **arguments)
    assert server.requests == []
    assert server.connections == 0


def clean(server: Fake) -> None:
    """What came is one request without a trace of the injected text."""
    assert len(server.requests) == 1
    seen = server.requests[0]
    assert "x-evil" not in seen.fields
    assert seen.line.count(" ") == 2
    assert "\0" not in seen.head.decode("latin-1")
    assert "\r" not in seen.head.replace(b"\r\n", b"").decode("latin-1")
    assert "\n" not in seen.head.replace(b"\r\n", b"").decode("latin-1")


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("where", ["middle", "start", "end"])
def test_header_values(lab: Lab, evil: str, where: str) -> None:
    value = {"middle": f"a{evil}b", "start": f"{evil}b", "end": f"a{evil}"}[where]
    refused(lab, lab.serve(answer), (HeaderError,), headers={"X-Test": value})


@pytest.mark.parametrize("value", ["a\r", "a\n", "a\r\n", "\na", "\0", "\r"])
def test_header_values_that_end_in_controls(lab: Lab, value: str) -> None:
    """Refused, not stripped: that would send something other than what was asked for."""
    refused(lab, lab.serve(answer), (HeaderError,), headers={"X-Test": value})


@pytest.mark.parametrize(
    "name", ["", " ", "X Test", "X\tTest", "X-Test:", "X-Tést", "X(Test)", 'X"', "\0", "X\r\nX-Evil: 1", ":path"]
)
def test_header_names(lab: Lab, name: str) -> None:
    refused(lab, lab.serve(answer), (HeaderError,), headers={name: "1"})


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("name", ["User-Agent", "Host", "Cookie", "Authorization", "Content-Type", "Accept-Encoding"])
def test_headers_with_a_meaning(lab: Lab, name: str, evil: str) -> None:
    refused(lab, lab.serve(answer), (HeaderError, URLError), headers={name: f"a{evil}"})


@pytest.mark.parametrize("evil", EVIL)
def test_headers_of_the_client(lab: Lab, evil: str) -> None:
    server = lab.serve(answer)
    try:
        response = lab.get(server.url(), headers={"X-Test": f"a{evil}"})
    except HeaderError:
        pass
    else:
        assert response.status_code == 0
        assert isinstance(response.error, HeaderError)
    assert server.connections == 0


@pytest.mark.parametrize(
    "method", ["", " ", "GET /evil HTTP/1.1\r\nX: ", "G\0T", "GE T", "G\nT", "GÉT", "GET\r\n", "G:T", "(GET)"]
)
def test_methods(lab: Lab, method: str) -> None:
    refused(lab, lab.serve(answer), (ProtocolError, ValueError), method=method)


@pytest.mark.parametrize("evil", EVIL)
def test_cookie_values(lab: Lab, evil: str) -> None:
    refused(lab, lab.serve(answer), (HeaderError, CookieError), cookies={"name": f"a{evil}b"})


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "a\0", "a\n", "\r\n"])
def test_cookie_names(lab: Lab, name: str) -> None:
    refused(lab, lab.serve(answer), (HeaderError, CookieError), cookies={name: "1"})


@pytest.mark.parametrize("evil", EVIL)
def test_cookies_of_the_client(lab: Lab, evil: str) -> None:
    server = lab.serve(answer)
    try:
        response = lab.get(server.url(), cookies={"name": f"a{evil}b"})
    except HTTPError:
        pass
    else:
        assert response.status_code == 0, server.requests
        assert isinstance(response.error, (HeaderError, CookieError))
    assert server.connections == 0


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("part", ["path", "query", "fragment", "host", "user"])
def test_urls(lab: Lab, evil: str, part: str) -> None:
    """Encoded, stripped as browsers do, or refused; never sent as they are."""
    server = lab.serve(answer)
    urls = {
        "path": server.url(f"/a{evil}b"),
        "query": server.url(f"/?a={evil}b"),
        "fragment": server.url(f"/#a{evil}b"),
        "host": f"http://localhost{evil}:{server.port}/",
        "user": f"http://user{evil}:pass@localhost:{server.port}/",
    }
    session = lab.open()
    try:
        response = session.get(urls[part])
    except URLError:
        assert server.connections == 0
        return
    if response.status_code == 0:
        assert isinstance(response.error, (URLError, HeaderError)), response.error
        assert server.connections == 0
    else:
        clean(server)


@pytest.mark.parametrize("evil", EVIL)
def test_params_are_encoded(lab: Lab, evil: str) -> None:
    server = lab.serve(answer)
    assert lab.open().get(server.url(), params={"a": f"b{evil}", f"c{evil}": "d"}).status_code == 200
    clean(server)
    assert "%0" in server.requests[0].target.lower()


@pytest.mark.parametrize("evil", EVIL)
def test_basic_credentials_are_encoded(lab: Lab, evil: str) -> None:
    server = lab.serve(answer)
    assert lab.open().get(server.url(), auth=("user", f"pass{evil}")).status_code == 200
    clean(server)
    assert server.requests[0].fields["authorization"].startswith("Basic ")


def test_header_order_names_nothing_new(lab: Lab) -> None:
    server = lab.serve(answer)
    session = lab.open()
    try:
        response = session.get(server.url(), headerOrder=["host", "x\r\nX-Evil: 1", "accept"])
    except HTTPError:
        assert server.connections == 0
    else:
        assert response.status_code in (0, 200)
        if response.status_code:
            clean(server)


@pytest.mark.parametrize("evil", EVIL)
def test_host_override(lab: Lab, evil: str) -> None:
    server = lab.serve(answer)
    session = lab.open()
    try:
        response = session.get(server.url(), requestHostOverride=f"other.test{evil}")
    except HTTPError:
        pass
    else:
        assert response.status_code == 0
    assert server.requests == []


@pytest.mark.parametrize(
    "arguments", [{"headers": {"X-Test": "a\r\nb"}}, {"headers": {"X-T\0": "a"}}, {"cookies": {"a": "b\r\nc"}}]
)
def test_over_http2(lab: Lab, arguments: dict[str, Any]) -> None:
    """No stream is opened either; the connection that is there goes on."""

    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            link.respond(link.stream())

    server = lab.serve_h2(behave)
    session = lab.open()
    assert session.get(server.url()).status_code == 200
    try:
        response = session.get(server.url(), **arguments)
    except HTTPError as error:
        assert isinstance(error, (HeaderError, CookieError))
    else:
        assert response.status_code == 0
        assert isinstance(response.error, (HeaderError, CookieError))
    assert session.get(server.url()).status_code == 200
    assert server.streams == [(0, 1), (0, 3)]


def test_a_second_length_of_the_callers(lab: Lab) -> None:
    """A wrong content-length would let the rest of the body pass for another request."""
    server = lab.serve(answer)
    session = lab.open()
    evil = b"xGET /evil HTTP/1.1\r\nHost: localhost\r\n\r\n"
    try:
        session.request("POST", server.url(), data=evil, headers={"Content-Length": "1"})
    except (HTTPError, ValueError):
        pass
    assert all(seen.target != "/evil" for seen in server.requests)
    assert len(server.requests) <= 1


@pytest.mark.parametrize(
    "headers", [{"Transfer-Encoding": "chunked"}, {"Transfer-Encoding": "chunked", "Content-Length": "5"}]
)
def test_framing_of_the_callers(lab: Lab, headers: dict[str, str]) -> None:
    """Either refused, or sent so that the server and we agree on where the body ends."""
    heads: list[bytes] = []

    def behave(link: Link) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += link.receive()
        link.wait(0.1)
        heads.append(data.split(b"\r\n\r\n")[0].lower())
        link.answer()

    server = lab.serve(behave)
    session = lab.open()
    try:
        response = session.request("POST", server.url(), data=b"0\r\n\r\n", headers=headers)
    except (HTTPError, ValueError):
        assert server.connections == 0
        return
    if response.status_code == 0:
        assert server.connections == 0
        return
    assert not (b"transfer-encoding" in heads[0] and b"content-length" in heads[0])


@pytest.mark.parametrize(
    "url", ["http://localhost:99999/", "http://localhost:-1/", "http://localhost:80a/", "http://localhost:0x50/"]
)
def test_ports(lab: Lab, url: str) -> None:
    session = lab.open()
    try:
        response = session.get(url)
    except URLError as error:
        assert str(error)
    else:
        assert response.status_code == 0
        assert isinstance(response.error, URLError)


def test_a_url_of_3_mib(lab: Lab) -> None:
    server = lab.serve(answer)
    session = lab.open()
    try:
        response = session.get(server.url("/" + "a" * (3 << 20)))
    except URLError:
        pass
    else:
        assert response.status_code == 0
        assert isinstance(response.error, URLError)
    assert server.connections == 0


@pytest.mark.parametrize("value", [None, 5, b"bytes", ["a"], {"a": "b"}, object()])
def test_urls_of_other_types(lab: Lab, value: object) -> None:
    """A clear exception of ours or a TypeError, no crash."""
    session = lab.open()
    try:
        response = session.get(value)
    except (URLError, TypeError, ValueError) as error:
        assert str(error)
    else:
        assert response.status_code == 0
