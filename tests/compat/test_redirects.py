"""Redirects between schemes, servers and methods, against real servers: httpbin over http and https."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

import pytest

import tls_requests
from peers import Peer


@pytest.fixture(params=["sync", "async"])
def fetch(request: pytest.FixtureRequest, ca_file: str):
    """A call by a client of its own, blocking or asynchronous: fetch(method, url, client's options, request's options)."""

    def blocking(method, url, options=None, **kwargs):
        with tls_requests.Client(verify=ca_file, **(options or {})) as client:
            return client.request(method, url, **kwargs)

    async def asynchronous(method, url, options=None, **kwargs):
        async with tls_requests.AsyncClient(verify=ca_file, **(options or {})) as client:
            return await client.request(method, url, **kwargs)

    if request.param == "sync":
        return blocking
    return lambda *args, **kwargs: asyncio.run(asynchronous(*args, **kwargs))


def to(
    peer: Peer, target: str, status: int = 302, port: str = "https", scheme: str = "https", host: str = "localhost"
) -> str:
    return peer.url(
        f"/redirect-to?url={quote(target, safe='')}&status_code={status}", port=port, scheme=scheme, host=host
    )


def test_up_to_https(fetch, httpbin):
    target = httpbin.url("/anything")
    response = fetch("POST", to(httpbin, target, 307, "http", "http"), data={"a": "1"})
    assert response.status_code == 200 and str(response.url) == target
    assert response.json()["form"] == {"a": "1"} and response.json()["url"] == target
    assert response.http_version == "HTTP/2.0" and response.history[0].http_version == "HTTP/1.1"


@pytest.mark.parametrize("http2", ["auto", None, False, "http1"])
def test_down_to_http(fetch, httpbin, http2):
    target = httpbin.url("/get", port="http", scheme="http")
    response = fetch("GET", to(httpbin, target), {"http2": http2})
    assert response.status_code == 200 and str(response.url) == target


@pytest.mark.parametrize("http2", [True, "http2"])
def test_down_to_http_when_http2_was_asked_for(fetch, httpbin, http2):
    with pytest.raises(tls_requests.RemoteProtocolError, match="Switching remote scheme from HTTP/2 to HTTP/1"):
        fetch("GET", to(httpbin, httpbin.url("/get", port="http", scheme="http")), {"http2": http2})


def test_credentials_and_cookies_between_origins(fetch, httpbin):
    options = {"headers": {"Authorization": "secret", "Proxy-Authorization": "secret", "X-Own": "1", "User-Agent": "x"}}
    sent = fetch("GET", to(httpbin, httpbin.url("/headers", host="127.0.0.1")), options, cookies={"mine": "1"}).json()[
        "headers"
    ]
    assert sent["X-Own"] == "1" and "Authorization" not in sent and "Proxy-Authorization" not in sent
    sent = fetch("GET", to(httpbin, httpbin.url("/headers")), options).json()["headers"]
    assert sent["Authorization"] == "secret", "the same origin"


def test_cookies_of_a_host_stay_with_it(httpbin, ca_file):
    with tls_requests.Client(verify=ca_file) as client:
        assert client.get(httpbin.url("/cookies/set?a=1")).json() == {"cookies": {"a": "1"}}
        assert client.get(to(httpbin, httpbin.url("/cookies", host="127.0.0.1"))).json() == {"cookies": {}}
        assert client.get(to(httpbin, httpbin.url("/cookies"))).json() == {"cookies": {"a": "1"}}


def test_the_host_of_each_hop(fetch, httpbin):
    response = fetch("GET", to(httpbin, httpbin.url("/headers", host="127.0.0.1"), port="http", scheme="http"))
    assert response.json()["headers"]["Host"] == f"127.0.0.1:{httpbin.port}"
    assert (
        response.request.headers["host"] == "127.0.0.1" and response.history[0].request.headers["host"] == "localhost"
    )


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/get", "/get"),
        ("get", "/get"),
        ("./get?a=1", "/get?a=1"),
        ("../get", "/get"),
        ("/anything/a b", "/anything/a%20b"),
    ],
)
def test_relative_locations(fetch, httpbin, location, path):
    response = fetch("GET", to(httpbin, location))
    assert response.status_code == 200 and response.json()["url"].replace(" ", "%20") == httpbin.url(path)


@pytest.mark.parametrize("location", ["//", "ftp://localhost/", "http://"])
def test_bad_locations(fetch, httpbin, location):
    """Of `//` the application makes an empty field."""
    url = to(httpbin, location)
    with pytest.raises(tls_requests.RemoteProtocolError, match="Location"):
        fetch("GET", url)
    response = fetch("GET", url, follow_redirects=False)
    assert response.status_code == 302 and response.next is None and response.history == []


def test_too_many(fetch, httpbin):
    for most, hops, fine in ((9, 9, True), (9, 10, False), (0, 1, False), (2, 2, True), (2, 3, False)):
        url = httpbin.url(f"/relative-redirect/{hops}")
        if fine:
            assert len(fetch("GET", url, {"max_redirects": most}).history) == hops
            continue
        with pytest.raises(tls_requests.TooManyRedirects, match=r"Too many redirects\.") as caught:
            fetch("GET", url, {"max_redirects": most})
        assert caught.value.response.status_code == 302 and caught.value.request.method == "GET"


def test_what_is_no_redirect(fetch, httpbin):
    for status in (300, 304, 305):
        response = fetch("GET", httpbin.url(f"/status/{status}"))
        assert response.status_code == status and not response.is_redirect and response.history == []
    # A Location with a status that is none of the five.
    response = fetch("GET", httpbin.url("/response-headers?Location=/get"))
    assert response.status_code == 200 and response.headers["location"] == "/get" and not response.is_redirect


def test_the_next_request(fetch, httpbin):
    response = fetch(
        "POST", to(httpbin, "/anything", 303), follow_redirects=False, data={"a": "1"}, headers={"X-Own": "1"}
    )
    assert (
        response.status_code == 303
        and response.next.method == "GET"
        and str(response.next.url) == httpbin.url("/anything")
    )
    assert response.next.headers["x-own"] == "1" and "content-type" not in response.next.headers
    following = fetch("POST", to(httpbin, "/anything", 308), follow_redirects=False, data={"a": "1"}).next
    assert following.method == "POST" and following.read() == b"a=1"


def test_fragments(fetch, httpbin):
    assert fetch("GET", to(httpbin, "/get#there") + "#here").url.fragment == "there"
    assert fetch("GET", to(httpbin, "/get") + "#here").url.fragment == "here"
