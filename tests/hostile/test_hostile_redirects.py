"""Redirects: which method and body go along, what must not cross hosts, targets that are none, and cookies that are not
the server's to set."""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from lab import Lab
from peers.fake import Fake, H2Link, Link, Seen
from tls_requests.exceptions import RemoteProtocolError, TooManyRedirects, URLError

Route = Callable[[Seen], bytes]


def redirect(location: str | None, status: int = 302, *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Content-Length: 4", *fields]
    if location is not None:
        lines.append(f"Location: {location}")
    return "\r\n".join([*lines, "", "body"]).encode("utf-8")


def reply(body: bytes = b"end", *fields: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *fields, "", ""]).encode() + body


def site(lab: Lab, routes: dict[str, bytes | Route], tls: Any = None) -> Fake:
    """A server that answers by path."""

    def behave(link: Link) -> None:
        while True:
            seen = link.request()
            route = routes.get(seen.target.split("?")[0], reply())
            link.send(route if isinstance(route, bytes) else route(seen))

    return lab.serve(behave, tls=tls)


# ------------------------------------------------------------------------------------------------------- methods, bodies

TABLE = [
    (301, "GET", "GET"),
    (301, "POST", "GET"),
    (301, "PUT", "PUT"),
    (301, "HEAD", "HEAD"),
    (302, "GET", "GET"),
    (302, "POST", "GET"),
    (302, "PUT", "GET"),
    (302, "DELETE", "GET"),
    (302, "HEAD", "HEAD"),
    (303, "POST", "GET"),
    (303, "PATCH", "GET"),
    (303, "HEAD", "HEAD"),
    (307, "GET", "GET"),
    (307, "POST", "POST"),
    (307, "PUT", "PUT"),
    (308, "POST", "POST"),
    (308, "PATCH", "PATCH"),
    (308, "DELETE", "DELETE"),
]


@pytest.mark.parametrize(("status", "method", "expected"), TABLE)
def test_method_and_body(lab: Lab, status: int, method: str, expected: str) -> None:
    # an answer to HEAD has no body
    head = f"HTTP/1.1 {status} X\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n".encode()
    end: Route = lambda seen: reply(b"" if seen.method == "HEAD" else b"end")  # noqa: E731
    server = site(lab, {"/start": head, "/end": end})
    arguments: dict[str, Any] = {"headers": {"X-Kept": "yes"}}
    if method in ("POST", "PUT", "PATCH"):
        arguments["data"] = b"the body"
        arguments["headers"]["Content-Type"] = "text/x-mine"
    response = lab.open().request(method, server.url("/start"), **arguments)
    assert response.status_code == 200, response.text
    assert [past.status_code for past in response.history] == [status]
    assert response.request.method == expected
    first, last = server.requests
    assert (first.method, last.method, last.target) == (method, expected, "/end")
    assert last.fields["x-kept"] == "yes"
    if "data" in arguments:
        assert first.body == b"the body"
        if method == expected:
            assert last.body == b"the body"
            assert last.fields["content-type"] == "text/x-mine"
        else:
            assert last.body == b""
            assert not {"content-type", "content-length", "transfer-encoding"} & set(last.fields)


@pytest.mark.parametrize("status", [300, 304, 305, 306, 200, 201, 404])
def test_statuses_that_do_not_redirect(lab: Lab, status: int) -> None:
    answer = f"HTTP/1.1 {status} X\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n".encode()
    server = site(lab, {"/start": answer})
    response = lab.open().get(server.url("/start"))
    assert response.status_code == status
    assert len(server.requests) == 1


def test_redirects_that_are_not_followed(lab: Lab) -> None:
    server = site(lab, {"/start": redirect("/end")})
    response = lab.open(follow_redirects=False).get(server.url("/start"))
    assert response.status_code == 302
    assert response.content == b"body"
    assert response.history == []
    assert len(server.requests) == 1


# ------------------------------------------------------------------------------------------------------- targets


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/end", "/end"),
        ("end", "/a/end"),
        ("./end", "/a/end"),
        ("../end", "/end"),
        ("../../../../end", "/end"),
        ("?q=1", "/a/start?q=1"),
        ("#frag", "/a/start"),
        ("/end#frag", "/end"),
        ("//localhost:{port}/end", "/end"),
        ("http://localhost:{port}/end", "/end"),
        ("HTTP://LOCALHOST:{port}/end", "/end"),
        ("/with space", "/with%20space"),
        ("/caf\u00e9", "/caf%C3%A9"),
        ("/a%20b", "/a%20b"),
        ("\t/end ", "/end"),
    ],
)
def test_targets(lab: Lab, location: str, target: str) -> None:
    def start(seen: Seen) -> bytes:
        if len(server.requests) > 1:
            return reply()
        return redirect(location.replace("{port}", str(server.port)))

    server = site(lab, {"/a/start": start})
    response = lab.good(server.url("/a/start"))
    assert response.content == b"end"
    assert server.requests[-1].target.upper() == target.upper()
    assert len(server.requests) == 2


@pytest.mark.parametrize("host", ["-a", "a-", "b.-a", "a!b", "a~b", "a,b", "a'b", "xn--", "x" * 64])
def test_hosts_that_only_browsers_take(lab: Lab, host: str) -> None:
    """Who calls may not ask for them (IDNA), a redirect may; the answer is like any other then."""

    def start(seen: Seen) -> bytes:
        return redirect(f"http://{host}.localhost:{server.port}/end")

    server = site(lab, {"/start": start})
    session = lab.open()
    response = session.get(server.url("/start"))
    assert response.content == b"end"
    assert str(response.url) == str(response.request.url) == f"http://{host}.localhost:{server.port}/end"
    assert response.url.host == f"{host}.localhost" and response.url.path == "/end"
    assert str(pickle.loads(pickle.dumps(response)).url) == str(response.url)
    assert response.history[0].next is None or response.history[0].next.url.host == response.url.host
    assert response.cookies is not None and response.raise_for_status() is response
    with pytest.raises(URLError, match="IDNA"):
        session.get(str(response.url))
    with pytest.raises(URLError, match="IDNA"):
        response.url.url = str(response.url)


@pytest.mark.parametrize(
    "location",
    [
        "ftp://localhost/file",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "data:text/plain,hello",
        "ws://localhost/",
        "about:blank",
        "http://",
        "https:///end",
        "http://[::1/",
        "http://localhost:99999/",
        "http://localhost:port/",
        "http://user:pass@/",
        "//",
        "http://a b/",
        "http://%00/",
        "http://" + "a" * 300 + "/",
    ],
)
def test_targets_that_are_refused(lab: Lab, location: str) -> None:
    """Raised always, as the compatible API wants it."""
    server = site(lab, {"/start": redirect(location)})
    session = lab.open()
    with pytest.raises(RemoteProtocolError, match="Location") as info:
        session.get(server.url("/start"))
    assert info.value.response is None or info.value.response.status_code in (0, 302)
    assert len(server.requests) == 1
    # And without following there is an answer like any other.
    response = session.get(server.url("/start"), follow_redirects=False)
    assert response.status_code == 302
    assert response.next is None


@pytest.mark.parametrize("location", ["", " ", "\t"])
def test_an_empty_location(lab: Lab, location: str) -> None:
    """An empty reference is the same document (RFC 3986): asking for it again leads nowhere, so it is an error at once."""
    server = site(lab, {"/start": redirect(location)})
    session = lab.open(max_redirects=3)
    with pytest.raises(RemoteProtocolError, match="without 'Location'"):
        session.get(server.url("/start"))
    assert len(server.requests) == 1
    assert session.get(server.url("/start"), follow_redirects=False).status_code == 302


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_location(lab: Lab, status: int) -> None:
    server = site(lab, {"/start": redirect(None, status)})
    response = lab.open().get(server.url("/start"))
    assert response.status_code == status
    assert response.content == b"body"
    assert response.history == []


def test_a_location_with_line_ends_is_no_header(lab: Lab) -> None:
    """A CR in the value is refused with the whole answer, encoded ones are just bytes of the path."""
    server = site(lab, {"/start": redirect("/end\rX-Evil: 1"), "/encoded": redirect("/end%0d%0aX-Evil:%201")})
    assert isinstance(lab.get(server.url("/start")).error, RemoteProtocolError)
    assert lab.good(server.url("/encoded")).content == b"end"
    assert server.requests[-1].target == "/end%0d%0aX-Evil:%201"
    assert "x-evil" not in server.requests[-1].fields


# ------------------------------------------------------------------------------------------------------- limits


def test_loops(lab: Lab) -> None:
    server = site(lab, {"/a": redirect("/b"), "/b": redirect("/a"), "/self": redirect("/self")})
    for path in ("/a", "/self"):
        before = len(server.requests)
        with pytest.raises(TooManyRedirects, match=r"Too many redirects\."):
            lab.open().get(server.url(path))
        assert len(server.requests) - before == 10  # nine are followed


@pytest.mark.parametrize(("limit", "good"), [(0, False), (2, False), (3, True)])
def test_the_limit(lab: Lab, limit: int, good: bool) -> None:
    server = site(lab, {"/0": redirect("/1"), "/1": redirect("/2"), "/2": redirect("/3")})
    session = lab.open(max_redirects=limit)
    if good:
        assert session.get(server.url("/0")).content == b"end"
        return
    with pytest.raises(TooManyRedirects) as info:
        session.get(server.url("/0"))
    assert len(server.requests) == limit + 1
    assert info.value.request is not None
    assert info.value.response is not None


def test_a_failure_behind_a_redirect(lab: Lab) -> None:
    """The hops so far are told with it."""
    from peers import free_port

    server = site(lab, {"/start": redirect(f"http://localhost:{free_port()}/")})
    response = lab.open().get(server.url("/start"))
    assert response.status_code == 0
    assert response.error.code == "CONNECT_REFUSED"
    assert [past.status_code for past in response.history] == [302]


def test_a_redirect_with_a_huge_body(lab: Lab) -> None:
    """Its body is read or dropped; it does not take the place of the answer."""
    big = b"HTTP/1.1 302 X\r\nLocation: /end\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 4000000
    server = site(lab, {"/start": big})
    assert lab.good(server.url("/start")).content == b"end"


def test_the_time_is_each_hops(lab: Lab) -> None:
    def slow(seen: Seen) -> bytes:
        import time

        time.sleep(0.25)
        return redirect("/2" if seen.target == "/1" else "/end")

    server = site(lab, {"/1": slow, "/2": slow})
    assert lab.good(server.url("/1"), timeout=0.45).content == b"end"


# ------------------------------------------------------------------------------------------------------- other hosts

SECRETS = {"Authorization": "Bearer secret", "Proxy-Authorization": "Basic secret", "Cookie": "mine=secret"}


def two_sites(lab: Lab, status: int = 307) -> tuple[Fake, Fake]:
    """The first redirects /start to the second, and /here to itself."""
    other = site(lab, {})
    first = site(lab, {"/start": redirect(other.url("/end"), status), "/here": redirect("/end", status)})
    return first, other


def test_credentials_stay_on_the_same_origin(lab: Lab) -> None:
    first, _ = two_sites(lab)
    lab.open().get(first.url("/here"), headers=SECRETS)
    for seen in first.requests:
        assert seen.fields["authorization"] == "Bearer secret"
        assert "mine=secret" in seen.fields["cookie"]


def test_credentials_do_not_go_to_another_port(lab: Lab) -> None:
    first, other = two_sites(lab)
    response = lab.open().request("POST", first.url("/start"), headers={**SECRETS, "X-Kept": "yes"}, data=b"body")
    assert response.status_code == 200
    seen = other.requests[0]
    assert not {"authorization", "proxy-authorization"} & set(seen.fields)
    assert "secret" not in seen.head.decode()
    assert seen.fields["x-kept"] == "yes"
    assert seen.fields["host"] == f"localhost:{other.port}"
    assert seen.body == b"body"


def test_credentials_do_not_come_back(lab: Lab) -> None:
    """Through another host and back: dropped is dropped."""
    first = site(lab, {})
    other = site(lab, {"/back": redirect(first.url("/end"))})
    start = site(lab, {})

    def begin(_: Seen) -> bytes:
        return redirect(other.url("/back"))

    routes: dict[str, bytes | Route] = {"/start": begin}
    start = site(lab, routes)
    lab.open().get(start.url("/start"), headers=SECRETS)
    assert "secret" in start.requests[0].head.decode()
    for seen in other.requests + first.requests:
        assert "secret" not in seen.head.decode()


def test_basic_credentials_and_user_info(lab: Lab) -> None:
    first, other = two_sites(lab)
    lab.open().get(first.url("/start"), auth=("user", "secret"))
    lab.open().get(first.url("/start").replace("//", "//user:secret@"))
    wanted = "Basic " + base64.b64encode(b"user:secret").decode()
    assert [seen.fields.get("authorization") for seen in first.requests] == [wanted, wanted]
    assert [seen.fields.get("authorization") for seen in other.requests] == [None, None]


def test_user_info_of_a_location_is_not_ours(lab: Lab) -> None:
    """Whatever is made of it, it is not shown in the response's URL."""
    other = site(lab, {})
    first = site(lab, {"/start": redirect(other.url("/end").replace("//", "//evil:password@"))})
    session = lab.open()
    try:
        response = session.get(first.url("/start"))
    except RemoteProtocolError:
        return
    assert response.status_code == 200
    assert "Bearer" not in str(other.requests[0].fields.get("authorization"))


def test_a_host_header_of_the_callers(lab: Lab) -> None:
    first, other = two_sites(lab)
    lab.open().get(first.url("/start"), headers={"Host": "virtual.test"})
    assert first.requests[0].fields["host"] == "virtual.test"
    assert other.requests[0].fields["host"] == f"localhost:{other.port}"


def test_from_https_to_http(lab: Lab) -> None:
    plain = site(lab, {})
    secure = site(lab, {"/start": redirect(plain.url("/end"))}, tls=lab.pair)
    response = lab.good(secure.url("/start"))
    assert response.content == b"end"
    assert response.url.scheme == "http"
    with pytest.raises(RemoteProtocolError, match="Switching remote scheme"):
        lab.open(http2=True).get(secure.url("/start"))
    lab.open().get(secure.url("/start"), headers=SECRETS)
    assert "secret" not in plain.requests[-1].head.decode()


def test_from_http_to_https(lab: Lab) -> None:
    secure = site(lab, {}, tls=lab.pair)
    plain = site(lab, {"/start": redirect(secure.url("/end"))})
    response = lab.good(plain.url("/start"))
    assert response.content == b"end"
    assert response.url.scheme == "https"


def test_a_redirect_to_a_bad_certificate(lab: Lab, authority: Any) -> None:
    secure = site(lab, {}, tls=authority.issue("other", ("other.test",)))
    plain = site(lab, {"/start": redirect(secure.url("/end"))})
    response = lab.open().get(plain.url("/start"))
    assert response.status_code == 0
    assert response.error.code == "TLS_HOSTNAME"
    assert secure.requests == []


def test_over_http2(lab: Lab) -> None:
    from peers.fake import DATA, END_HEADERS, END_STREAM, HEADERS, block, frame

    other = site(lab, {})

    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        head = block((":status", "307"), ("location", other.url("/end")), ("set-cookie", "a=b; Domain=evil.test"))
        link.send(frame(HEADERS, END_HEADERS, stream, head))
        link.send(frame(DATA, END_STREAM, stream, b"body"))
        link.hold()

    server = lab.serve_h2(behave)
    response = lab.open().request("PUT", server.url(), headers=SECRETS, data=b"the body")
    assert response.status_code == 200, response.text
    seen = other.requests[0]
    assert (seen.method, seen.body) == ("PUT", b"the body")
    assert "secret" not in seen.head.decode()


# ------------------------------------------------------------------------------------------------------- cookies


# Loopback by another name: browsers trust localhost, *.localhost, 127/8 and ::1 with Secure cookies even without TLS.
UNTRUSTED = "0.0.0.0"


def cookies_after(lab: Lab, *lines: str, host: str = UNTRUSTED) -> dict[str, str]:
    """What a client sends to the same server after an answer with these Set-Cookie lines."""
    server = site(lab, {"/set": reply(b"", *(f"Set-Cookie: {line}" for line in lines))})
    session = lab.open()
    assert session.get(server.url("/set", host=host)).status_code == 200
    assert session.get(server.url("/show", host=host)).status_code == 200
    sent = server.requests[-1].fields.get("cookie", "")
    return dict(pair.split("=", 1) for pair in sent.split("; ") if pair)


def test_good_cookies(lab: Lab) -> None:
    assert cookies_after(lab, "a=1", "b=2; Path=/; HttpOnly", "c=3; Max-Age=100") == {"a": "1", "b": "2", "c": "3"}


@pytest.mark.parametrize(
    "line",
    [
        "evil=1; Domain=evil.test",
        "evil=1; Domain=.test",
        "evil=1; Domain=test",
        "evil=1; Domain=com",
        "evil=1; Domain=co.uk",
        "evil=1; Domain=ost",
        "evil=1; Domain=other.localhost",
        "evil=1; Domain=..localhost",
        "evil=1; Max-Age=0",
        "evil=1; Max-Age=-1",
        "evil=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "evil=1; Path=/other",
        "evil=1; Secure",
        "__Secure-evil=1",
        "__Host-evil=1; Path=/",
        "evil=" + "x" * 5000,
        "e" * 5000 + "=1",
        "evil=1\x01",
        "=",
        "",
        ";",
        "; Path=/",
    ],
)
def test_cookies_that_are_dropped(lab: Lab, line: str) -> None:
    assert cookies_after(lab, line, "good=1") == {"good": "1"}
    if "Secure" not in line:
        assert cookies_after(lab, line, "good=1", host="localhost") == {"good": "1"}


def test_cookies_of_a_domain_below(lab: Lab) -> None:
    sent = cookies_after(lab, "up=1; Domain=b.localhost", "evil=1; Domain=localhost", host="a.b.localhost")
    assert sent.get("up") == "1"
    assert "evil" not in sent  # localhost is a top-level domain here: nobody's to set cookies for


def test_cookies_for_addresses(lab: Lab) -> None:
    assert cookies_after(lab, "a=1", "b=2; Domain=127.0.0.1", "c=3; Domain=0.0.1", host="127.0.0.1") in (
        {"a": "1", "b": "2"},
        {"a": "1"},
    )


def test_cookies_of_redirects_stay_with_their_host(lab: Lab) -> None:
    other = site(lab, {"/end": reply(b"end", "Set-Cookie: theirs=1", "Set-Cookie: evil=1; Domain=localhost")})
    target = other.url("/end", host="127.0.0.1")
    first = site(lab, {"/start": redirect(target, 302, "Set-Cookie: ours=1", "Set-Cookie: evil2=1; Domain=127.0.0.1")})
    session = lab.open()
    session.get(first.url("/start"), cookies={"asked": "1"})
    assert "ours" not in other.requests[0].fields.get("cookie", "")
    assert "asked" not in other.requests[0].fields.get("cookie", "")
    assert "evil2" not in other.requests[0].fields.get("cookie", "")
    session.get(first.url("/again"))
    assert first.requests[-1].fields.get("cookie", "") == "ours=1"
    session.get(other.url("/again", host="127.0.0.1"))
    assert other.requests[-1].fields.get("cookie", "") == "theirs=1"


def test_secure_cookies_do_not_go_in_the_clear(lab: Lab) -> None:
    plain = site(lab, {})
    secure = site(lab, {"/set": reply(b"", "Set-Cookie: secret=1; Secure", "Set-Cookie: open=1")}, tls=lab.pair)
    session = lab.open(verify=False)
    assert session.get(secure.url("/set", host=UNTRUSTED)).status_code == 200
    session.get(plain.url("/", host=UNTRUSTED))
    assert plain.requests[0].fields.get("cookie", "") == "open=1"
    session.get(secure.url("/", host=UNTRUSTED))
    assert "secret=1" in secure.requests[-1].fields["cookie"]


def test_a_plain_server_does_not_overwrite_secure_cookies(lab: Lab) -> None:
    """RFC 6265bis 5.7: leave secure cookies alone."""
    plain = site(lab, {"/set": reply(b"", "Set-Cookie: id=evil; Path=/")})
    secure = site(lab, {"/set": reply(b"", "Set-Cookie: id=good; Secure; Path=/")}, tls=lab.pair)
    session = lab.open(verify=False)
    assert session.get(secure.url("/set", host=UNTRUSTED)).status_code == 200
    assert session.get(plain.url("/set", host=UNTRUSTED)).status_code == 200
    session.get(secure.url("/", host=UNTRUSTED))
    assert secure.requests[-1].fields["cookie"] == "id=good"


def test_a_flood_of_cookies_has_an_end(lab: Lab) -> None:
    def many(seen: Seen) -> bytes:
        start = int(seen.target.split("?")[1])
        return reply(b"", *(f"Set-Cookie: c{index}=v" for index in range(start, start + 500)))

    server = site(lab, {"/set": many})
    session = lab.open()
    for start in range(0, 4000, 500):
        assert session.get(server.url(f"/set?{start}")).status_code == 200
    assert session.get(server.url("/")).status_code == 200
    sent = server.requests[-1].fields["cookie"].split("; ")
    assert len(sent) <= 180
    assert "c3999=v" in sent
