"""Requests and answers through both clients: what the server sees, what the caller gets. The short way and the chain must agree."""

from __future__ import annotations

import base64
import datetime
import json
import pickle
from typing import Any

import pytest

import tls_requests
from tls_requests import exceptions

Way = dict[str, Any]


@pytest.fixture(params=["short", "chain"])
def way(request: pytest.FixtureRequest) -> Way:
    """Client arguments that leave the short way open, or force the chain (a hook that does nothing)."""
    return {} if request.param == "short" else {"hooks": {"request": [lambda request: None]}}


def fields(seen: dict[str, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in seen["headers"]}


VERBS = ["get", "options", "head", "delete", "post", "put", "patch"]


@pytest.mark.parametrize("verb", VERBS)
def test_verbs(twin, site, way, verb):
    with twin.client(**way) as client:
        response = getattr(client, verb)(f"{site.base}/echo?x=1")
    assert response.status_code == 200
    assert response.reason == "OK"
    assert repr(response) == "<Response [200]>"
    assert str(response) == "<Response [200 OK]>"
    assert site.seen[-1]["method"] == verb.upper()
    assert site.seen[-1]["path"] == "/echo?x=1"
    if verb == "head":
        assert response.text == ""
        assert response.content == b""
    else:
        assert response.json()["method"] == verb.upper()
    assert response.request.method == verb.upper()
    assert str(response.url) == f"{site.base}/echo?x=1"
    assert response.closed is True
    assert response.http_version == "HTTP/1.1"
    assert response.history == []
    assert response.ok and bool(response)


@pytest.mark.parametrize("verb", VERBS)
def test_module_functions(site, verb):
    response = getattr(tls_requests, verb)(f"{site.base}/echo", params={"a": ["1", "2"]}, headers={"X-Test": "y"})
    assert response.status_code == 200
    assert site.seen[-1]["path"] == "/echo?a=1&a=2"
    assert fields(site.seen[-1])["x-test"] == "y"


def test_request_function_with_body(site):
    response = tls_requests.request("post", f"{site.base}/echo", json={"a": 1})
    assert base64.b64decode(response.json()["body"]) == b'{"a":1}'
    assert tls_requests.get(f"{site.base}/echo", json=[1]).json()["body"] == base64.b64encode(b"[1]").decode()


def test_other_method(twin, site, way):
    with twin.client(**way) as client:
        assert client.request("purge", f"{site.base}/echo").json()["method"] == "PURGE"


BODIES = [
    ({"json": {"a": 1, "b": ["\u00e9"]}}, '{"a":1,"b":["\u00e9"]}'.encode(), "application/json"),
    ({"json": "raw text"}, b"raw text", "application/json"),
    ({"data": {"a": "1", "b": ["x", "y z"]}}, b"a=1&b=x&b=y+z", "application/x-www-form-urlencoded"),
    ({"data": {}}, b"", "application/x-www-form-urlencoded"),
    ({"data": {}, "json": {"a": 1}}, b"", "application/x-www-form-urlencoded"),
    ({"data": b"\x00\xff"}, b"\x00\xff", None),
    ({"data": "a=\u00e9"}, "a=\u00e9".encode(), "application/x-www-form-urlencoded"),
    ({"content": b"raw"}, b"raw", None),
    ({"content": "r\u00e4w"}, "r\u00e4w".encode(), None),
    ({"data": b"x" * 300_000}, b"x" * 300_000, None),
]


@pytest.mark.parametrize(("arguments", "body", "content_type"), BODIES)
def test_bodies(twin, site, way, arguments, body, content_type):
    with twin.client(**way) as client:
        response = client.post(f"{site.base}/echo", **arguments)
    seen = site.seen[-1]
    assert base64.b64decode(seen["body"]) == body
    assert fields(seen).get("content-type") == content_type
    assert fields(seen)["content-length"] == str(len(body))
    assert response.request.content == body
    assert response.request.headers.get("content-type") == content_type


def test_caller_content_type_wins(twin, site, way):
    with twin.client(**way) as client:
        client.post(f"{site.base}/echo", json={}, headers={"Content-Type": "application/vnd.x+json"})
    assert [value for name, value in site.seen[-1]["headers"] if name.lower() == "content-type"] == [
        "application/vnd.x+json"
    ]


def test_multipart(twin, site):
    with twin.client() as client:
        client.post(f"{site.base}/echo", data={"field": "v"}, files={"f": ("n.txt", b"content", "text/plain")})
    seen = site.seen[-1]
    body = base64.b64decode(seen["body"])
    boundary = fields(seen)["content-type"].split("boundary=")[1].encode()
    assert body == (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="field"\r\n\r\nv\r\n'
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="f"; filename="n.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\ncontent\r\n--" + boundary + b"--\r\n"
    )


def test_content_excludes_the_others(twin, site):
    with twin.client() as client, pytest.raises(TypeError):
        client.post(f"{site.base}/echo", content=b"a", data=b"b")


def test_browser_headers_by_default(twin, site, way):
    with twin.client(**way) as client:
        response = client.get(f"{site.base}/echo")
        seen = fields(site.seen[-1])
        assert "Chrome/133" in seen["user-agent"]
        assert seen["sec-fetch-mode"] == "navigate"
        assert seen["host"] == site.base.removeprefix("http://")
        assert len(client.headers) == 0
        assert response.request.id == client.config.sessionId
    assert "Chrome/133" in response.request.headers["user-agent"]
    assert response.request.headers["host"] == "127.0.0.1"
    assert "cookie" not in response.request.headers


def test_caller_headers_go_over_the_browsers(twin, site, way):
    with twin.client(headers={"X-Client": "c", "Accept": "client/x"}, **way) as client:
        client.get(f"{site.base}/echo", headers={"X-Own": "o", "accept": "own/x"})
    names = [name for name, _ in site.seen[-1]["headers"]]
    seen = fields(site.seen[-1])
    assert seen["x-client"] == "c" and seen["x-own"] == "o" and seen["accept"] == "own/x"
    assert "Chrome/133" in seen["user-agent"]
    assert len(names) == len({name.lower() for name in names})


def test_user_agent_turns_the_browsers_headers_off(twin, site, way):
    with twin.client(**way) as client:
        client.get(f"{site.base}/echo", headers={"User-Agent": "mine"})
    seen = fields(site.seen[-1])
    assert seen["user-agent"] == "mine"
    assert "sec-fetch-mode" not in seen and "accept-language" not in seen


def test_headers_none(twin, site, way):
    with twin.client(headers=None, **way) as client:
        client.get(f"{site.base}/echo")
    assert set(fields(site.seen[-1])) <= {"host", "connection"}
    tls_requests.get(f"{site.base}/echo", headers=None)
    assert set(fields(site.seen[-1])) <= {"host", "connection"}


def test_header_spelling_is_kept(twin, site, way):
    with twin.client(headers={"X-ClienT": "1"}, **way) as client:
        client.get(f"{site.base}/echo", headers={"x-OWN": "2"})
    names = [name for name, _ in site.seen[-1]["headers"]]
    assert "X-ClienT" in names and "x-OWN" in names


def test_header_values_of_other_types(twin, site, way):
    with twin.client(**way) as client:
        client.get(f"{site.base}/echo", headers={"X-N": 5, "X-T": True, "X-L": ["a", "b"], "X-B": b"raw", b"X-K": "k"})
        seen = fields(site.seen[-1])
        assert (seen["x-n"], seen["x-t"], seen["x-l"], seen["x-b"], seen["x-k"]) == ("5", "true", "a,b", "raw", "k")
        with pytest.raises(exceptions.HeaderError):
            client.get(f"{site.base}/echo", headers={"X": {}})
        with pytest.raises(exceptions.HeaderError):
            client.get(f"{site.base}/echo", headers=5)


@pytest.mark.parametrize("headers", [{"X": "a\r\nInjected: 1"}, {"X\r\nY": "a"}, {"X": "a\x00"}, {"a b": "c"}])
def test_headers_that_cannot_be_sent(twin, site, way, headers):
    with twin.client(**way) as client:
        response = client.get(f"{site.base}/echo", headers=headers)
    assert response.status_code == 0
    assert isinstance(response.error, exceptions.HeaderError)
    assert site.seen == []


def test_params(twin, site, way):
    with twin.client(params={"c": "1", "o": "client"}, **way) as client:
        client.get(f"{site.base}/echo?own=1", params={"o": "x y", "t": True})
        assert site.seen[-1]["path"] == "/echo?own=1&c=1&o=x+y&t=true"
        with pytest.raises(exceptions.URLParamsError):
            client.get(f"{site.base}/echo", params={"a": None})
        with pytest.raises(exceptions.URLParamsError):
            client.get(f"{site.base}/echo", params="a=b")


def test_urls(twin, site, way):
    host = site.base.removeprefix("http://")
    with twin.client(**way) as client:
        for text in (
            host + "/echo",
            "  " + site.base + "/echo",
            tls_requests.URL(site.base + "/echo"),
            (site.base + "/echo").encode(),
        ):
            assert client.get(text).status_code == 200
        response = client.get(site.base + "/echo/a b\u00e9?q=\u00e9#frag")
        assert response.json()["path"] == "/echo/a%20b%C3%A9?q=%C3%A9"
        assert response.url.fragment == "frag"
        for bad in (
            None,
            5,
            "http://[::1",
            "http://[::1]x:1/",
            "http://ex.com:99999/",
            f"http://{'x' * 64}.localhost:1/",
            f"http://{'x' * 50}.{'x' * 50}.{'x' * 50}.{'x' * 50}.{'x' * 50}.localhost:1/",
            "http://a.-b.localhost:1/",
            "http://localhost:1/\ud800",
            "http://\ud800.localhost:1/",
        ):
            with pytest.raises(exceptions.URLError):
                client.get(bad)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "/relative"])
def test_urls_that_are_failures(twin, way, url):
    with twin.client(**way) as client:
        response = client.get(url)
    assert response.status_code == 0
    assert isinstance(response.error, exceptions.URLError)
    assert response.text.startswith('failed to do request: Get "')


def test_credentials_in_the_url(twin, site, way):
    with twin.client(**way) as client:
        response = client.get(site.base.replace("http://", "http://us:p%40w@") + "/echo")
        assert fields(site.seen[-1])["authorization"] == "Basic " + base64.b64encode(b"us:p@w").decode()
        assert "authorization" not in response.request.headers
        failed = client.get("http://us:secret@127.0.0.1:1/")
        assert "secret" not in failed.text and "secret" not in repr(failed.request)


def test_response_headers(twin, site, way):
    with twin.client(**way) as client:
        response = client.get(f"{site.base}/headers")
    assert response.headers["X-A"] == "1,2"
    assert response.headers["x-latin"] == "caf\xe9"
    assert response.headers["x-empty"] == ""
    assert (b"X-A", b"1") in response.raw_headers and (b"X-A", b"2") in response.raw_headers


@pytest.mark.parametrize("charset", ["utf-8", "latin-1", "UTF-16"])
def test_text_charset(twin, site, charset):
    with twin.client() as client:
        response = client.get(f"{site.base}/text", params={"charset": charset})
    assert response.text == "h\u00e9llo"
    assert response.encoding == charset.lower()
    assert response.charset == charset.lower()


def test_default_encoding(twin, site):
    with twin.client(encoding="latin-1") as client:
        response = client.post(f"{site.base}/bytes/256")
        assert response.text == bytes(range(256)).decode("latin-1")
    with twin.client(encoding=lambda response: "cp1252") as client:
        assert client.get(f"{site.base}/bytes/256").encoding == "cp1252"


def test_json(twin, site):
    with twin.client() as client:
        assert client.get(f"{site.base}/json").json() == {"a": [1, 2, {"b": None}]}
        assert client.get(f"{site.base}/json").json(parse_int=float)["a"][0] == 1.0
        with pytest.raises(json.JSONDecodeError):
            client.get(f"{site.base}/status/200").json()


def test_raise_for_status(twin, site):
    with twin.client() as client:
        ok = client.get(f"{site.base}/status/204")
        assert ok.raise_for_status() is ok
        missing = client.get(f"{site.base}/status/404")
        assert not missing.ok and not missing
        with pytest.raises(exceptions.HTTPError) as caught:
            missing.raise_for_status()
        assert str(caught.value) == f"404 Client Error: Not Found for url: {site.base}/status/404"
        assert caught.value.response is missing and caught.value.request is missing.request
        with pytest.raises(exceptions.HTTPError, match="500 Server Error: Internal Server Error"):
            client.get(f"{site.base}/status/500").raise_for_status()


def test_elapsed(twin, site, way):
    with twin.client(**way) as client:
        response = client.get(f"{site.base}/delay/0.2")
        assert 0.19 < response.elapsed.total_seconds() < 5
        response.elapsed = datetime.timedelta(seconds=3)
        assert response.elapsed.total_seconds() == 3


# ------------------------------------------------------------------------------------------------------------ redirects


def test_redirects(twin, site, way):
    with twin.client(**way) as client:
        response = client.get(f"{site.base}/redirect/3")
    assert response.status_code == 200
    assert [item.status_code for item in response.history] == [302, 302, 302]
    assert all(item.history == [] and item.content == b"moved" for item in response.history)
    assert [str(item.url) for item in response.history] == [
        f"{site.base}/redirect/3",
        f"{site.base}/redirect/2?status=302",
        f"{site.base}/redirect/1?status=302",
    ]
    assert str(response.url) == f"{site.base}/echo"
    assert str(response.history[0].next.url) == f"{site.base}/redirect/2?status=302"
    assert response.next is None


@pytest.mark.parametrize(
    ("method", "status", "expected", "keeps_body"),
    [
        ("POST", 301, "GET", False),
        ("POST", 302, "GET", False),
        ("PUT", 302, "GET", False),
        ("PUT", 301, "PUT", True),
        ("POST", 303, "GET", False),
        ("HEAD", 303, "HEAD", False),
        ("POST", 307, "POST", True),
        ("DELETE", 308, "DELETE", True),
    ],
)
def test_redirect_methods(twin, site, way, method, status, expected, keeps_body):
    body = {} if method == "HEAD" else {"data": b"payload", "headers": {"Content-Type": "x/y"}}
    with twin.client(**way) as client:
        response = client.request(method, f"{site.base}/redirect/1?status={status}", **body)
        unfollowed = client.request(method, f"{site.base}/redirect/1?status={status}", follow_redirects=False, **body)
    seen = site.seen[1]
    assert seen["method"] == expected == response.request.method == unfollowed.next.method
    assert base64.b64decode(seen["body"]) == (b"payload" if keeps_body else b"")
    assert ("content-type" in fields(seen)) is keeps_body
    assert response.request.content == unfollowed.next.read() == (b"payload" if keeps_body else b"")
    assert ("content-type" in unfollowed.next.headers) is keeps_body


def test_redirects_off(twin, site, way):
    with twin.client(follow_redirects=False, **way) as client:
        response = client.get(f"{site.base}/redirect/1")
        assert response.status_code == 302 and response.history == []
        assert response.is_redirect and not response.is_permanent_redirect
        assert response.content == b"moved"
        assert str(response.next.url) == f"{site.base}/echo"
        assert client.get(f"{site.base}/redirect/1", follow_redirects=True).status_code == 200
        assert client.follow_redirects is False
        assert client.send(response.next).json()["path"] == "/echo"


@pytest.mark.parametrize("raises", [True, False])
def test_too_many_redirects(twin, site, way, raises):
    with twin.client(max_redirects=2, raise_on_error=raises, **way) as client:
        assert client.get(f"{site.base}/redirect/2").status_code == 200
        with pytest.raises(exceptions.TooManyRedirects, match=r"Too many redirects\.") as caught:
            client.get(f"{site.base}/redirect/3")
        assert caught.value.response.status_code == 302
        assert caught.value.request is not None
        client.max_redirects = 0
        with pytest.raises(exceptions.TooManyRedirects):
            client.get(f"{site.base}/redirect/1")


def test_relative_redirects(twin, site, way):
    with twin.client(**way) as client:
        assert client.get(f"{site.base}/redirect/1?to=../echo?x%3D1%23frag").url.fragment == "frag"
        assert site.seen[-1]["path"] == "/echo?x=1"
        with pytest.raises(exceptions.RemoteProtocolError):
            client.get(f"{site.base}/redirect/1?to=http://[bad/")


def test_credentials_do_not_cross_origins(twin, site, way):
    other = site.base.replace("127.0.0.1", "localhost")
    with twin.client(**way) as client:
        client.get(f"{site.base}/redirect/1?to={other}/echo", headers={"Authorization": "secret", "X-Mine": "1"})
        assert "authorization" not in fields(site.seen[-1]) and fields(site.seen[-1])["x-mine"] == "1"
        client.get(f"{site.base}/redirect/1", headers={"Authorization": "secret"})
        assert fields(site.seen[-1])["authorization"] == "secret"


# -------------------------------------------------------------------------------------------------------------- cookies


def test_cookies_persist(twin, site, way):
    with twin.client(**way) as client:
        first = client.get(f"{site.base}/cookie", params={"set": ["a=1; Path=/", "b=2; Path=/echo"]})
        assert first.cookies["a"] == "1" and "b" not in first.cookies
        assert client.cookies["a"] == "1" and client.cookies["b"] == "2"
        second = client.get(f"{site.base}/echo")
        assert sorted(fields(site.seen[-1])["cookie"].split("; ")) == ["a=1", "b=2"]
        assert second.cookies["a"] == "1" and second.cookies["b"] == "2"
        client.get(f"{site.base}/cookie", params={"set": "a=; Path=/; Max-Age=0"})
        assert "a" not in client.cookies
        client.get(f"{site.base}/status/200")
        assert "cookie" not in fields(site.seen[-1])


def test_cookies_of_a_request(twin, site, way):
    with twin.client(cookies={"c": "client", "x": "client"}, **way) as client:
        response = client.get(f"{site.base}/echo", cookies={"x": "own", "y": "own"})
        sent = dict(part.split("=", 1) for part in fields(site.seen[-1])["cookie"].split("; "))
        assert sent == {"c": "client", "x": "own", "y": "own"}
        assert response.cookies["x"] == "own" and response.cookies["c"] == "client"
        assert response.request.cookies["y"] == "own"
        assert "y" not in client.cookies and client.cookies["x"] == "client"
        client.get(f"{site.base}/echo")
        assert "y=" not in fields(site.seen[-1])["cookie"]


def test_cookies_of_a_redirect(twin, site, way):
    with twin.client(**way) as client:
        response = client.get(f"{site.base}/cookie-redirect")
        assert fields(site.seen[-1])["cookie"] == "foo=bar"
        assert response.cookies["foo"] == "bar" == client.cookies["foo"]
        cookie = next(iter(response.cookies.cookiejar))
        assert cookie.domain == "127.0.0.1"


def test_cookies_off(twin, site, way):
    with twin.client(withoutCookieJar=True, **way) as client:
        client.get(f"{site.base}/cookie", params={"set": "a=1; Path=/"})
        client.get(f"{site.base}/echo")
        assert "cookie" not in fields(site.seen[-1])


def test_shared_cookies(twin, site, way):
    cookies = tls_requests.Cookies({"shared": "1"})
    with twin.client(cookies=cookies, **way) as client:
        client.get(f"{site.base}/cookie", params={"set": "a=1; Path=/"})
        assert cookies["a"] == "1"
        cookies["later"] = "2"
        client.get(f"{site.base}/echo")
        assert "later=2" in fields(site.seen[-1])["cookie"]


# --------------------------------------------------------------------------------------------- auth, hooks, subclasses


def test_auth(twin, site):
    basic = "Basic " + base64.b64encode(b"u:p").decode()
    with twin.client(auth=("u", "p")) as client:
        response = client.get(f"{site.base}/echo")
        assert fields(site.seen[-1])["authorization"] == basic
        assert response.request.headers["Authorization"] == basic
        client.get(f"{site.base}/echo", auth=lambda request: request.headers.update({"X-Auth": "mine"}))
        assert fields(site.seen[-1])["x-auth"] == "mine" and "authorization" not in fields(site.seen[-1])
        with pytest.raises(exceptions.AuthenticationError):
            client.get(f"{site.base}/echo", auth=(1, 2))


def test_hooks(twin, site):
    order = []

    def first(request):
        order.append("first")
        request.headers["X-Hook"] = "1"

    def second(request):
        order.append("second")
        assert request.headers["X-Hook"] == "1"

    def answered(response):
        order.append("answered")
        response.marker = response.read()
        return response

    with twin.client(hooks={"request": [first, second], "response": [answered]}) as client:
        response = client.get(f"{site.base}/echo")
    assert order == ["first", "second", "answered"]
    assert response.marker == response.content and response.closed
    assert fields(site.seen[-1])["x-hook"] == "1"
    with twin.client(hooks={"response": [lambda response: 1 / 0]}) as client, pytest.raises(ZeroDivisionError):
        client.get(f"{site.base}/echo")


def test_hooks_added_later(twin, site):
    calls = []
    with twin.client() as client:
        client.get(f"{site.base}/echo")
        client.hooks["request"] = [calls.append]
        client.get(f"{site.base}/echo")
        client.hooks = None
        client.get(f"{site.base}/echo")
    assert len(calls) == 1


def test_asynchronous_hooks_and_auth(site):
    import asyncio

    async def auth(request):
        request.headers["X-Auth"] = "a"

    async def hook(request):
        await asyncio.sleep(0)
        request.headers["X-Hook"] = "h"

    async def answered(response):
        await asyncio.sleep(0)
        response.seen = True

    async def main():
        async with tls_requests.AsyncClient(auth=auth, hooks={"request": [hook], "response": [answered]}) as client:
            return await client.get(f"{site.base}/echo")

    response = asyncio.run(main())
    assert fields(site.seen[-1])["x-auth"] == "a" and fields(site.seen[-1])["x-hook"] == "h"
    assert response.seen


@pytest.mark.parametrize("step", ["request", "build_request", "send", "prepare_headers"])
def test_overridden_steps_are_used(site, step):
    calls = []

    def wrapper(self, *args, **kwargs):
        calls.append(step)
        return getattr(tls_requests.Client, step)(self, *args, **kwargs)

    subclass = type("Mine", (tls_requests.Client,), {step: wrapper})
    with subclass() as client:
        assert client.get(f"{site.base}/echo").status_code == 200
        assert calls == [step]
    plain = tls_requests.Client()
    plain.get(f"{site.base}/echo")
    setattr(plain, step, lambda *args, **kwargs: wrapper(plain, *args, **kwargs))
    assert plain.get(f"{site.base}/echo").status_code == 200
    assert calls == [step, step]
    plain.close()


def test_patched_class(site, monkeypatch):
    with tls_requests.Client() as client:
        client.get(f"{site.base}/echo")
        monkeypatch.setattr(tls_requests.Client, "send", lambda self, request, **kwargs: "patched")
        assert client.get(f"{site.base}/echo") == "patched"
        monkeypatch.undo()
        assert client.get(f"{site.base}/echo").status_code == 200


def test_subclass_with_plain_methods_stays_on_the_short_way(site):
    class Mine(tls_requests.Client):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.extra = 1

        def fetch(self, path):
            return self.get(site.base + path)

    with Mine() as client:
        response = client.fetch("/echo")
        assert response._op_request is None, "the chain was taken"
        assert client.extra == 1


def test_send_of_a_hand_made_request(twin, site):
    with twin.client(headers={"X-Client": "1"}, cookies={"c": "1"}, params={"p": "1"}) as client:
        request = tls_requests.Request("POST", f"{site.base}/cookie?set=new%3D1", data={"a": "b"}, cookies={"own": "2"})
        response = client.send(request)
        assert response.request is request
        seen = fields(site.seen[-1])
        assert "x-client" not in seen and seen["cookie"] == "own=2"
        assert site.seen[-1]["path"] == "/cookie?set=new%3D1"
        assert client.cookies["new"] == "1"
        assert request.id == client.config.sessionId
        assert client.send(request).status_code == 200


def test_build_request_and_send(twin, site):
    with twin.client(headers={"X-Client": "1"}, timeout=5) as client:
        request = client.build_request("put", f"{site.base}/echo", params={"a": "1"}, headers={"X-Own": "2"}, json=[1])
        assert (request.method, str(request.url), request.timeout) == ("PUT", f"{site.base}/echo?a=1", 5)
        assert request.content == b""
        response = client.send(request)
        assert response.request is request and request.content == b"[1]"
        assert fields(site.seen[-1])["x-client"] == "1"


def test_header_order(twin, site):
    with twin.client(headerOrder=["X-B", "user-agent", "x-a"]) as client:
        client.get(f"{site.base}/echo", headers={"x-a": "1", "x-b": "2"})
        names = [name.lower() for name, _ in site.seen[-1]["headers"] if name.lower() != "host"]
        assert names[:3] == ["x-b", "user-agent", "x-a"]


# ------------------------------------------------------------------------------------------------------------- failures


def test_refused(twin, way):
    with twin.client(**way) as client:
        response = client.get("http://127.0.0.1:1/x")
    assert response.status_code == 0
    assert response.text.startswith('failed to do request: Get "http://127.0.0.1:1/x": ') and "refused" in response.text
    assert response.reason == response.text == response.content.decode()
    assert not response and not response.ok
    assert len(response.headers) == 0 and response.http_version == "HTTP/1.1"
    assert str(response) == repr(response) == "<Response [0]>"
    error = response.error
    assert type(error) is exceptions.ConnectError
    assert (error.code, error.phase, error.request_sent, error.safe_to_retry) == (
        "CONNECT_REFUSED",
        "connect",
        False,
        True,
    )
    assert error.response is response and error.request is response.request
    with pytest.raises(exceptions.HTTPError, match="^0 TLS Client Error: failed to do request"):
        response.raise_for_status()


def test_raise_on_error(twin, way):
    with twin.client(raise_on_error=True, **way) as client, pytest.raises(exceptions.ConnectError) as caught:
        client.get("http://127.0.0.1:1/x")
    assert caught.value.response.status_code == 0
    assert str(caught.value.request.url) == "http://127.0.0.1:1/x"


def test_timeout(twin, site, way):
    with twin.client(timeout=0.3, **way) as client:
        response = client.get(f"{site.base}/delay/3")
        assert response.status_code == 0 and "timeout" in response.text
        assert isinstance(response.error, exceptions.TimeoutError)
        assert 0.25 < response.elapsed.total_seconds() < 1.5
        assert client.get(f"{site.base}/delay/0.5", timeout=5).status_code == 200
        assert client.get(f"{site.base}/delay/1", timeout={"total": 0.2}).status_code == 0


def test_cut_answers(twin, site, way):
    with twin.client(**way) as client:
        closed = client.get(f"{site.base}/close")
        assert closed.status_code == 0 and closed.error.request_sent
        short = client.get(f"{site.base}/short")
        assert short.status_code == 0 and isinstance(short.error, exceptions.IncompleteBody)


def test_proxy_is_never_bypassed(twin, site):
    with twin.client(proxy="http://127.0.0.1:1") as client:
        response = client.get(f"{site.base}/echo")
        assert response.status_code == 0 and isinstance(response.error, exceptions.HTTPError)
    with twin.client() as client:
        assert client.get(f"{site.base}/echo", proxy="http://127.0.0.1:1").status_code == 0
        with pytest.raises(exceptions.ProxyError):
            client.get(f"{site.base}/echo", proxy="ftp://127.0.0.1:1")
    assert site.seen == []


def test_unverified(twin, nginx, ca_file):
    with twin.client() as client:
        response = client.get(nginx.url())
        assert response.status_code == 0 and isinstance(response.error, exceptions.CertificateError)
        assert "certificate" in response.text
    with twin.client(verify=False) as client:
        assert client.get(nginx.url()).status_code == 200
    with twin.client(verify=ca_file) as client:
        response = client.get(nginx.url())
        assert response.status_code == 200 and response.http_version == "HTTP/2.0"
        assert client.get(nginx.url(), verify=True).status_code == 0
        assert client.get(nginx.url(), http2=False).http_version == "HTTP/1.1"
        client.http2 = "http1"
        assert client.get(nginx.url()).http_version == "HTTP/1.1"
    with pytest.raises(exceptions.CertificateError):
        twin.client(verify="/no/such/file.pem")


# ----------------------------------------------------------------------------------------------------------- life cycle


def test_life_cycle(site):
    client = tls_requests.Client()
    assert not client.closed
    with client:
        assert client.get(f"{site.base}/echo").status_code == 200
        with pytest.raises(RuntimeError, match="open a client instance more than once"), client:
            pass
    assert client.closed
    with pytest.raises(RuntimeError, match="Cannot send a request, as the client has been closed"):
        client.get(f"{site.base}/echo")
    with pytest.raises(RuntimeError, match="cannot be reopened"), client:
        pass
    client.close()
    assert client.build_request("GET", site.base).method == "GET"
    with pytest.raises(TypeError):
        tls_requests.Client("positional")
    with pytest.raises(TypeError):
        pickle.dumps(tls_requests.Client())


def test_entering_a_used_client(site):
    client = tls_requests.Client()
    client.get(f"{site.base}/echo")
    with pytest.raises(RuntimeError, match="more than once"), client:
        pass
    client.close()


def test_attributes():
    client = tls_requests.Client(auth=("a", "b"), timeout=5, http2=False, encoding=None, allow_http=True)
    assert (client.auth, client.timeout, client.http2, client.encoding, client.allow_http) == (
        ("a", "b"),
        5,
        False,
        None,
        True,
    )
    assert (client.follow_redirects, client.max_redirects, client.verify) == (True, 9, True)
    assert (client.client_identifier, client.protocol_racing, client.stream_id) == ("chrome_133", False, None)
    assert (client.proxy, client.debug, client.raise_on_error) == (None, False, False)
    with pytest.warns(DeprecationWarning):
        assert tls_requests.Client(tls_identifier="firefox_133").client_identifier == "firefox_133"
    client = tls_requests.Client(timeoutSeconds=7, insecureSkipVerify=True, forceHttp1=True)
    assert (client.timeout, client.verify, client.http2) == (7, False, False)
    assert tls_requests.Client(timeout=3, timeoutSeconds=7).timeout == 3


def test_setting_headers_and_params(twin, site, way):
    with twin.client(**way) as client:
        client.headers = {"X-A": "1"}
        client.headers["X-B"] = "2"
        client.params = {"p": "1"}
        client.cookies = {"c": "1"}
        client.get(f"{site.base}/echo")
        seen = fields(site.seen[-1])
        assert (seen["x-a"], seen["x-b"], seen["cookie"], site.seen[-1]["path"]) == ("1", "2", "c=1", "/echo?p=1")
        client.headers = None
        assert client.headers["x-a"] == "1"


def test_pickled_response(twin, site):
    with twin.client() as client:
        response = client.get(f"{site.base}/redirect/1", cookies={"a": "1"})
    copy = pickle.loads(pickle.dumps(response))
    assert type(copy) is tls_requests.Response
    assert (copy.status_code, copy.content, copy.text, copy.elapsed) == (
        200,
        response.content,
        response.text,
        response.elapsed,
    )
    assert str(copy.url) == str(response.url) and dict(copy.headers) == dict(response.headers)
    assert copy.request.method == "GET" and copy.cookies["a"] == "1" and len(copy.history) == 1
    failed = pickle.loads(pickle.dumps(tls_requests.get("http://127.0.0.1:1/")))
    assert failed.status_code == 0 and type(failed.error) is exceptions.ConnectError


def test_hand_made_response():
    body = "\u4f60".encode("gbk")
    response = tls_requests.Response(404, headers={"Content-Type": "text/plain; charset=gbk,utf-8"}, body=body)
    assert (response.text, response.encoding, response.closed, response.read()) == ("\u4f60", "gbk", False, body)
    response.close()
    assert response.closed and response.stream is None and response.content == body
    with pytest.raises(RuntimeError, match=r"The request instance has not been set on this response\."):
        _ = response.request
    assert tls_requests.Response(200).history == [] and tls_requests.Response(200).http_version == "HTTP/1.1"
    assert tls_requests.Response(200, body=b"abc\xe4").text == "abc"  # cut at the end: dropped
    assert tls_requests.Response(200, body=b"a\xe4bc").text == "a\ufffdbc"
    with pytest.raises(exceptions.HTTPError):
        tls_requests.Response(50).raise_for_status()
