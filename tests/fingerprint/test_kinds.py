"""Each kind of request, as our client sends it, against what the live captures recorded of the browsers: names, values, order, cookies, HTTP/2
priority. And what redirects and other pages make of Origin, Referer and sec-fetch-site."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from fingerprint import server  # noqa: E402

BROWSERS = ("chromium_156_linux", "firefox_153_linux")
COOKIES = {
    "http2": ["first=one", "second=two", "third=a-longer-value-of-33-characters"],
    "http1": ["first=one", "second=two"],
}

# kind in the capture: method, what the call says
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "navigation_first": ("GET", {}),
    "navigation_by_click": ("GET", {"page": "/click"}),
    "iframe": ("GET", {"mode": "iframe", "page": "/all"}),
    "style": ("GET", {"mode": "style", "page": "/all"}),
    "script": ("GET", {"mode": "script", "page": "/all"}),
    "image": ("GET", {"mode": "image", "page": "/all"}),
    "fetch_get": ("GET", {"mode": "fetch", "page": "/all"}),
    "fetch_head": ("HEAD", {"page": "/all"}),
    "fetch_delete": ("DELETE", {"page": "/all"}),
    "fetch_no_referrer": ("GET", {"mode": "fetch", "page": "/all", "referrer": ""}),
    "fetch_credentials_omit": ("GET", {"mode": "fetch", "page": "/all", "credentials": "omit"}),
    "fetch_get_with_headers": (
        "GET",
        {
            "mode": "fetch",
            "headers": {"X-Custom": "one", "Accept": "application/json", "Authorization": "Bearer x"},
            "page": "/all",
        },
    ),
    "fetch_post_empty": ("POST", {"page": "/all"}),
    "fetch_put": ("PUT", {"content": b"x", "headers": {"content-type": "text/plain;charset=UTF-8"}, "page": "/all"}),
    "fetch_post_text": (
        "POST",
        {"content": b"text", "headers": {"content-type": "text/plain;charset=UTF-8"}, "page": "/all"},
    ),
    "fetch_post_json": ("POST", {"json": {"a": 1}, "headers": {"x-custom": "one"}, "page": "/all"}),
    "xhr_get": ("GET", {"mode": "xhr", "page": "/all"}),
    "xhr_post": (
        "POST",
        {"mode": "xhr", "data": "a=b", "headers": {"x-requested-with": "XMLHttpRequest"}, "page": "/all"},
    ),
    "form_post_by_click": ("POST", {"data": "a=b", "page": "/clicked"}),
    "fetch_cross_origin": ("GET", {"mode": "fetch", "page": "https://other.localhost:1/all"}),
}
# A page's own fields of a fetch come out in a hash order in Chromium; ours stand together, at the first one's place.
HASHED = {
    "xhr_post": {"x-requested-with"},
    "fetch_get_with_headers": {"x-custom", "accept", "authorization"},
}


class Recorder(server.Server):
    """Notes the requests; /to?<status>&<url> redirects, /lead?<policy>&<url> too, /cookie sets one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.requests: list[server.Request] = []

    def respond(self, connection: Any, request: Any) -> Any:
        self.requests.append(request)
        if request.path.startswith("/to?"):
            status, _, location = request.path.partition("?")[2].partition("&")
            return server.Response(int(status), [("location", location)])
        if request.path.startswith("/lead?"):
            policy, _, location = request.path.partition("?")[2].partition("&")
            return server.Response(302, [("location", location), ("referrer-policy", policy.replace("%20", " "))])
        if request.path.startswith("/policy?"):
            return server.Response(
                200, [("referrer-policy", request.path.partition("?")[2].replace("%20", " "))], b"a page"
            )
        if request.path == "/cookie":
            return server.Response(200, [("set-cookie", "got=1; Path=/")])
        if request.path == "/socket":
            return server.Response(101, [("upgrade", "websocket"), ("connection", "Upgrade")])
        return server.Response(200, [("content-type", "text/plain")], b"" if request.method == "HEAD" else b"ok")


@pytest.fixture
def serve(server_pair: Any) -> Iterator[Any]:
    running: list[Any] = []

    def start(**options: Any) -> Recorder:
        peer = Recorder("127.0.0.1", 0, str(server_pair.both), **options).start()
        running.append(peer)
        return peer  # type: ignore[return-value]

    yield start
    for peer in running:
        peer.stop()


def capture(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((ROOT / "profiles" / f"{name}.json").read_text())
    return data


def on(base: str, call: dict[str, Any]) -> dict[str, Any]:
    page = call.get("page")
    return {**call, "page": base + page} if page is not None and page.startswith("/") else call


def recorded(headers: list[list[str]], call: dict[str, Any], base: str, length: str | None) -> list[list[str]]:
    """The capture's fields with our origin and body length in the places of its own."""
    page = on(base, call).get("page") or base
    origin = "/".join(page.split("/")[:3])
    same = origin == base
    out = []
    for name, value in headers:
        if name.lower() == "host":
            value = base.removeprefix("https://")
        elif name.lower() == "origin":
            value = origin
        elif name.lower() == "referer":
            value = page if same else origin + "/"
        elif name.lower() == "content-length":
            assert length is not None
            value = length
        elif name.lower() == "sec-fetch-site" and not same:
            value = "same-site"
        out.append([name, value])
    return out


# What Chromium 156 and Firefox 153 sent behind a redirect from the page's origin to another site, by the redirect's Referrer-Policy; and
# for an image of another site, by that of the page itself (a response).
POLICIES = {
    "": ("origin", "origin"),
    "no-referrer": ("", ""),
    "unsafe-url": ("page", "origin"),
    "origin": ("origin", "origin"),
    "same-origin": ("", ""),
    "junk": ("origin", "origin"),
    "unsafe-url, no-referrer, junk": ("", ""),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", BROWSERS)
def test_referrer_policies(serve: Any, ca_file: str, name: str, policy: str) -> None:
    peer = serve()
    base, other = f"https://localhost:{peer.port}", f"https://127.0.0.1:{peer.port}"
    want = POLICIES[policy][BROWSERS.index(name)]
    with tls_requests.Client(verify=ca_file, client_identifier=name) as client:
        page = client.get(f"{base}/policy?{policy}")
        for mode in ("fetch", "image"):
            redirected = client.get(f"{base}/lead?{policy}&{other}/end", mode=mode, page=base + "/page?q=1")
            embedded = client.get(other + "/end", mode=mode, page=page)
            for answer, url in ((redirected, base + "/page?q=1"), (embedded, f"{base}/policy?{policy}")):
                told = {"": None, "origin": base + "/", "page": url.replace(" ", "%20")}[want]
                assert answer.status_code == 200 and answer.request.headers.get("referer") == told
            sent = [request.header("referer") for request in peer.requests]
            assert sent[-1] == embedded.request.headers.get("referer")
            assert sent[-3] == base + "/page?q=1", "the policy counts from the redirect on"


@pytest.mark.parametrize("kind", sorted(CALLS))
@pytest.mark.parametrize("version", ["http2", "http1"])
@pytest.mark.parametrize("name", BROWSERS)
def test_as_recorded(serve: Any, ca_file: str, name: str, version: str, kind: str) -> None:
    requests = capture(name)["requests"][version]
    if kind not in requests:
        pytest.skip(f"not recorded over {version}")
    row = requests[kind]
    peer = serve(alpn=("h2", "http/1.1") if version == "http2" else ())
    base = f"https://localhost:{peer.port}"
    method, call = CALLS[kind]
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        if any(field.lower() == "cookie" for field, _ in row["headers"]):
            for cookie in COOKIES[version]:
                client.cookies.set(*cookie.split("=", 1), domain="localhost")
        response = client.request(method, base + "/x", **on(base, call))
        assert response.status_code == 200, response.text
    [seen] = peer.requests
    length = seen.header("content-length")
    wanted = recorded(row["headers"], call, base, length)
    if "cross_origin" in kind:
        assert dict(seen.headers)["sec-fetch-site" if version == "http2" else "Sec-Fetch-Site"] == "cross-site"
        seen.headers = [[n, "same-site" if n.lower() == "sec-fetch-site" else v] for n, v in seen.headers]
        wanted = [[n, "https://other.localhost:1/" if n.lower() == "referer" else v] for n, v in wanted]
    if name.startswith("chromium") and kind in HASHED:
        seen.headers, wanted = (
            [item for item in headers if item[0].lower() not in HASHED[kind]] for headers in (seen.headers, wanted)
        )
    got = [list(item) for item in seen.headers]
    assert [item[0].lower() for item in got] == [item[0].lower() for item in wanted]
    # Custom fields keep the caller's spelling over HTTP/1.1; the browser writes them in capitals, as it was told there.
    assert [[n, v] for n, v in got if not n.lower().startswith("x-")] == [
        [n, v] for n, v in wanted if not n.lower().startswith("x-")
    ]
    if version == "http2":
        [frame] = [
            frame
            for connection in peer.connections
            for frame in connection.record["http2"]["frames"]
            if frame["type"] == "HEADERS"
        ]
        assert frame["priority"]["weight"] == row["priority"]["weight"]
        assert frame["priority"]["exclusive"] == row["priority"]["exclusive"]


def fields(request: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers}


@pytest.mark.parametrize(
    ("method", "call", "mode"),
    [
        ("GET", {}, "navigate"),
        ("POST", {"json": {}}, "cors"),
        ("POST", {"data": {"a": "b"}}, "navigate"),
        ("POST", {"files": {"f": b"x"}}, "navigate"),
        ("POST", {"content": b"raw"}, "cors"),
        ("POST", {"content": b"{}", "headers": {"Content-Type": "application/json"}}, "cors"),
        ("PUT", {"data": {"a": "b"}}, "cors"),
        ("DELETE", {}, "cors"),
        ("GET", {"json": {}}, "cors"),
    ],
)
@pytest.mark.parametrize("chain", [False, True])
def test_the_kind_follows_from_the_call(
    serve: Any, ca_file: str, method: str, call: dict[str, Any], mode: str, chain: bool
) -> None:
    peer = serve()
    hooks = {"request": [lambda request: None]} if chain else {}
    with tls_requests.Client(verify=ca_file, hooks=hooks) as client:
        base = f"https://localhost:{peer.port}"
        assert client.request(method, base + "/path?x=1", **call).status_code == 200
    seen = fields(peer.requests[0])
    assert seen["sec-fetch-mode"] == mode
    if mode == "cors" or method == "POST":
        # Some page of the same origin asks.
        assert seen["sec-fetch-site"] == "same-origin"
        assert seen["referer"] == base + "/"
        assert seen.get("origin") == (None if method == "GET" else base)
    else:
        assert seen["sec-fetch-site"] == "none" and "referer" not in seen and "origin" not in seen


def test_the_mode_of_a_client(serve: Any, ca_file: str) -> None:
    peer = serve()
    base = f"https://localhost:{peer.port}"
    with tls_requests.Client(verify=ca_file, mode="fetch") as client:
        assert client.mode == "fetch"
        client.get(base + "/")
        client.get(base + "/", mode="image")
        client.mode = None
        client.get(base + "/")
    assert [fields(request)["sec-fetch-dest"] for request in peer.requests] == ["empty", "image", "document"]
    assert tls_requests.get(base + "/", verify=ca_file, mode="script").status_code == 200
    assert fields(peer.requests[-1])["sec-fetch-dest"] == "script"


def test_the_page_of_a_client_and_of_a_function(serve: Any, ca_file: str) -> None:
    peer = serve()
    base = f"https://localhost:{peer.port}"
    with tls_requests.Client(verify=ca_file, page=base + "/app", credentials="omit") as client:
        client.cookies.set("a", "1", domain="localhost")
        client.get(base + "/")
        client.get(base + "/", page=base + "/other", credentials="include")
    tls_requests.post(base + "/", json={}, verify=ca_file, page=base + "/app", referrer="")
    first, second, third = map(fields, peer.requests)
    assert (first["referer"], second["referer"], "referer" in third) == (base + "/app", base + "/other", False)
    assert "cookie" not in first and second["cookie"] == "a=1"
    assert third["origin"] == base


def test_no_browser_header_beside_the_callers_own_user_agent(serve: Any, ca_file: str) -> None:
    peer = serve()
    with tls_requests.Client(verify=ca_file) as client:
        client.post(f"https://localhost:{peer.port}/", json={}, headers={"User-Agent": "mine"}, page="https://a.test/")
    assert [name for name, _ in peer.requests[0].headers] == ["content-length", "content-type", "user-agent"] or set(
        fields(peer.requests[0])
    ) == {"content-length", "content-type", "user-agent"}


@pytest.mark.parametrize("mode", ["navigate", "fetch"])
def test_redirects(serve: Any, ca_file: str, mode: str) -> None:
    first, second = serve(), serve()
    base, other = f"https://localhost:{first.port}", f"https://localhost:{second.port}"
    page = base + "/page?q=1#fragment"
    with tls_requests.Client(verify=ca_file) as client:
        response = client.post(
            f"{base}/to?307&{other}/to?307&{base}/end",
            data={"a": "b"},
            page=page,
            mode="form" if mode == "navigate" else mode,
        )
        assert response.status_code == 200, response.text
        seen = [fields(request) for request in (first.requests[0], second.requests[0], first.requests[1])]
        # One host, another port: another origin of the same site; and it stays so on the way back.
        assert [item["sec-fetch-site"] for item in seen] == ["same-origin", "same-site", "same-site"]
        assert [item["referer"] for item in seen] == [base + "/page?q=1", base + "/", base + "/page?q=1"]
        # Fetch: after a foreign origin redirected to yet another one the origin is "null".
        assert [item["origin"] for item in seen] == [base, base, "null"]
        first.requests.clear()
        response = client.post(f"{base}/to?303&{base}/end", json={}, page=page)
        assert response.status_code == 200
        assert "origin" not in fields(first.requests[1]) and fields(first.requests[1])["sec-fetch-mode"] == "cors"


def test_a_navigation_of_the_address_bar_stays_one(serve: Any, ca_file: str) -> None:
    first, second = serve(), serve()
    with tls_requests.Client(verify=ca_file) as client:
        client.get(f"https://localhost:{first.port}/to?302&https://localhost:{second.port}/")
    seen = fields(second.requests[0])
    assert seen["sec-fetch-site"] == "none" and "referer" not in seen


def test_cookies_follow_the_credentials_mode(serve: Any, ca_file: str) -> None:
    peer = serve()
    base = f"https://localhost:{peer.port}"
    foreign = "https://elsewhere.test/"
    with tls_requests.Client(verify=ca_file) as client:
        client.cookies.set("a", "1", domain="localhost")
        for call, sent in [
            ({"mode": "fetch"}, True),
            ({"mode": "fetch", "page": foreign}, False),
            ({"mode": "fetch", "page": foreign, "credentials": "include"}, True),
            ({"mode": "fetch", "credentials": "omit"}, False),
            ({"mode": "image", "page": foreign}, True),
            ({"credentials": "omit"}, False),
        ]:
            client.get(base + "/", **call)
            assert ("cookie" in fields(peer.requests[-1])) is sent, call
        client.get(base + "/cookie", mode="fetch", page=foreign)
        assert "got" not in client.cookies
        client.get(base + "/cookie", mode="fetch")
        assert client.cookies["got"] == "1"
    # Requests without credentials have a connection of their own, as in both browsers, and so have those for another site's page.
    assert len([item for item in peer.connections if item.record["client_hellos"]]) == 4


def test_a_response_is_the_page(serve: Any, ca_file: str) -> None:
    peer = serve()
    base = f"https://localhost:{peer.port}"
    with tls_requests.Client(verify=ca_file) as client:
        response = client.get(base + "/start")
        client.get(base + "/next", page=response)
        client.post(base + "/api", json={}, referrer=base + "/other", origin="https://own.test")
    _, following, api = map(fields, peer.requests)
    assert (following["referer"], following["sec-fetch-site"], following["sec-fetch-user"]) == (
        base + "/start",
        "same-origin",
        "?1",
    )
    assert (api["referer"], api["origin"]) == (base + "/other", "https://own.test")


@pytest.mark.parametrize("name", BROWSERS)
def test_websocket_handshake(serve: Any, ca_file: str, name: str) -> None:
    row = capture(name)["requests"]["http1"]["websocket"]["headers"]
    peer = serve()
    base = f"https://localhost:{peer.port}"
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        response = client.get(
            base + "/socket",
            mode="websocket",
            page=base + "/all",
            headers={"sec-websocket-protocol": "chat, superchat"},
        )
        assert response.http_version == "HTTP/1.1"
    got = peer.requests[0].headers
    assert [name for name, _ in got] == [name for name, _ in row]
    values = dict(map(tuple, got))
    assert re.fullmatch(r"[A-Za-z0-9+/]{21}[AQgw]==", values.pop("Sec-WebSocket-Key"))
    for field, value in row:
        if field not in ("Host", "Origin", "Sec-WebSocket-Key"):
            assert values[field] == value
    assert (response.status_code, response.headers["upgrade"]) == (101, "websocket"), response.text
    [hello] = peer.connections[0].record["client_hellos"]
    [alpn] = [item for item in hello["decoded"]["extensions"] if item["type"] == 16]
    assert alpn["protocols"] == ["http/1.1"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ({"mode": "fech"}, ValueError),
        ({"mode": 5}, TypeError),
        ({"credentials": "some"}, ValueError),
        ({"page": 5}, TypeError),
        ({"page": "http://[::1"}, tls_requests.exceptions.URLError),
        ({"referrer": 5}, TypeError),
        ({"origin": "a b"}, tls_requests.exceptions.HeaderError),
        ({"origin": 5}, TypeError),
    ],
)
def test_bad_values_name_the_argument(serve: Any, ca_file: str, call: dict[str, Any], error: type[Exception]) -> None:
    peer = serve()
    with tls_requests.Client(verify=ca_file) as client, pytest.raises(error) as caught:
        client.get(f"https://localhost:{peer.port}/", **call)
    if error is not tls_requests.exceptions.URLError:
        assert next(iter(call)) in str(caught.value)
    with pytest.raises(error):
        tls_requests.Client(**call)
    assert peer.requests == []
