"""httpbin, served over https by a real server: each of its endpoints by ours, blocking and asynchronous, over HTTP/1.1 and
HTTP/2, with the results that `requests` gets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest
import requests

import tls_requests
from peers import Peer


@dataclass
class Call:
    """One request; `seen` are the fields of the answer that count besides status, body, redirects and cookies."""

    method: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)
    seen: tuple[str, ...] = ("content-type",)
    body: str = "json"  # how the body is compared: json, lines (of JSON), bytes, shape (of the JSON: its keys)

    @property
    def id(self) -> str:
        return f"{self.method} {self.path} {' '.join(self.options)}".strip()


def get(path: str, *, seen: tuple[str, ...] = ("content-type",), body: str = "json", **options: Any) -> Call:
    return Call("GET", path, options, seen, body)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
TREE = {"text": "grün", "list": [1, 2.5, None, True], "nested": {"a": {"b": "c"}}}

CALLS = [
    # what was sent comes back
    *(Call(method, f"/{method.lower()}") for method in ("GET", "POST", "PUT", "PATCH", "DELETE")),
    *(Call(method, "/anything", {"json": TREE}) for method in ("POST", "PUT", "PATCH", "DELETE")),
    Call("POST", "/post", {"data": {"a": "1", "list": ["x", "y"], "ü": "ä b&c"}}),
    Call("POST", "/post", {"data": [("a", "1"), ("a", "2")]}),
    Call("POST", "/post", {"data": b"\x00\xffraw"}),
    Call("POST", "/post", {"data": "text as it is", "headers": {"Content-Type": "text/plain"}}),
    Call("POST", "/post", {"files": {"file": ("f.png", PNG, "image/png")}, "data": {"field": "value"}}),
    Call("PUT", "/put", {"files": {"a": ("a.txt", b"one"), "b": ("b.txt", b"two")}}),
    Call("POST", "/post", {"json": TREE, "params": {"q": "ü &"}}),
    Call("TRACE", "/anything/traced"),
    get("/anything/some/path", params={"a": ["1", "2"], "b": "x y"}),
    get("/get?own=1", params={"more": "2"}),
    get("/get", headers={"X-Own": "value", "User-Agent": "mine/1"}),
    get("/headers", headers={"X-Own": "one", "Accept-Language": "de", "User-Agent": "mine/1"}),
    get("/headers", headers={"X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.2", "User-Agent": "mine/1"}),
    get("/ip"),
    get("/user-agent", headers={"User-Agent": "mine/1"}),
    Call("HEAD", "/get", body="bytes"),
    Call("HEAD", "/image/png", body="bytes"),
    Call("OPTIONS", "/get", seen=("allow",), body="bytes"),
    # authentication
    get("/basic-auth/user/secret", auth=("user", "secret")),
    get("/basic-auth/user/secret", auth=("user", "wrong"), seen=("www-authenticate",), body="bytes"),
    get("/basic-auth/user/secret", seen=("www-authenticate",), body="bytes"),
    get("/hidden-basic-auth/user/secret", auth=("user", "secret")),
    get("/hidden-basic-auth/user/secret", auth=("user", "wrong"), body="bytes"),
    get("/bearer", headers={"Authorization": "Bearer token"}),
    get("/bearer", seen=("www-authenticate",), body="bytes"),
    # status codes
    *(get(f"/status/{code}", body="bytes", seen=()) for code in (200, 202, 204, 304, 400, 402, 404, 406, 409, 418, 429, 500, 503, 504)),
    *(Call(method, "/status/201", body="bytes", seen=()) for method in ("POST", "PUT", "PATCH", "DELETE")),
    # redirects
    get("/redirect/1"), get("/redirect/5"), get("/relative-redirect/3"), get("/absolute-redirect/3"),
    get("/redirect/2", allow_redirects=False, seen=("location",), body="bytes"),
    *(get(f"/status/{code}", body="shape") for code in (301, 302, 303, 307)),
    *(
        Call(method, f"/redirect-to?url=/anything&status_code={code}", {"data": {"kept": "1"}})
        for method in ("POST",) for code in (302, 303, 307, 308)
    ),
    Call("PUT", "/redirect-to?url=/anything&status_code=307", {"json": {"kept": 1}}),
    Call("DELETE", "/redirect-to?url=/anything&status_code=303"),
    # cookies
    get("/cookies", cookies={"a": "1", "b": "two"}),
    get("/cookies/set/name/value"),
    get("/cookies/set?a=1&b=2"),
    get("/cookies/set/name/value", allow_redirects=False, seen=("location", "set-cookie"), body="bytes"),
    get("/cookies/delete?a=1", cookies={"b": "2"}),
    # encodings
    get("/gzip"), get("/deflate"), get("/brotli"),
    get("/encoding/utf8", body="bytes"),
    # bodies of all kinds
    get("/html", body="bytes"), get("/xml", body="bytes"), get("/json"), get("/robots.txt", body="bytes"),
    get("/deny", body="bytes"), get("/forms/post", body="bytes"),
    *(get(f"/image/{kind}", body="bytes") for kind in ("png", "jpeg", "webp", "svg")),
    get("/image", headers={"Accept": "image/webp"}, body="bytes"),
    get("/image", headers={"Accept": "text/plain"}),
    get("/base64/SFRUUEJJTg==", body="bytes"),
    get("/base64/not base64", body="bytes"),
    get("/uuid", body="shape"),
    get("/links/4/1", body="bytes"), get("/links/4", body="bytes"),
    get("/bytes/1000?seed=7", body="bytes"), get("/bytes/0", body="bytes"), get("/bytes/100000?seed=1", body="bytes"),
    get("/stream/5", body="lines"),
    get("/stream-bytes/5000?seed=3&chunk_size=100", body="bytes"),
    get("/drip?duration=0.2&numbytes=5&delay=0", body="bytes"),
    get("/drip?duration=0.1&numbytes=3&code=500", body="bytes"),
    get("/delay/0.2"), Call("POST", "/delay/0.1", {"data": {"a": "1"}}),
    get("/range/1000", body="bytes", seen=("content-range", "etag", "accept-ranges")),
    get("/range/1000", headers={"Range": "bytes=10-19"}, body="bytes", seen=("content-range",)),
    get("/range/1000?chunk_size=10", headers={"Range": "bytes=-5"}, body="bytes", seen=("content-range",)),
    get("/range/10", headers={"Range": "bytes=50-60"}, body="bytes", seen=("content-range",)),
    # caches and headers of answers
    get("/cache", seen=("content-type",)),
    get("/cache", headers={"If-None-Match": "x"}, body="bytes", seen=()),
    get("/cache", headers={"If-Modified-Since": "Sat, 29 Oct 1994 19:43:31 GMT"}, body="bytes", seen=()),
    get("/cache/60", seen=("cache-control",)),
    get("/etag/tag", seen=("etag",)),
    get("/etag/tag", headers={"If-None-Match": "tag"}, body="bytes", seen=("etag",)),
    get("/etag/tag", headers={"If-Match": "other"}, body="bytes", seen=()),
    get("/response-headers?X-One=1&X-Two=a%20b", seen=("x-one", "x-two")),
    Call("POST", "/response-headers?X-Three=3", seen=("x-three",)),
    get("/static/favicon.ico", body="bytes"),
    get("/", body="bytes"),
]  # fmt: skip


def comparable(call: Call, value: Any) -> Any:
    """What httpbin says about a request, without what each client does its own way."""
    if isinstance(value, dict) and isinstance(value.get("headers"), dict):
        # Which headers a client sends by itself differs; those of the caller must have arrived.
        wanted = {name.lower() for name in call.options.get("headers", {})}
        value["headers"] = {name: text for name, text in value["headers"].items() if name.lower() in wanted}
        if "json" in call.options:
            value.pop("data", None)  # the same JSON with other blanks and escapes
    return value


def facts(call: Call, response: Any, url: str) -> dict[str, Any]:
    content = response.content
    body: Any = content
    if call.body == "shape":
        body = sorted(json.loads(content))
    elif call.body == "json" and content:
        body = comparable(call, json.loads(content))
    elif call.body == "lines":
        body = [comparable(call, json.loads(line)) for line in content.splitlines()]
    # A form's boundary is each client's own.
    headers = {name: re.sub(r"boundary=\S+", "", response.headers.get(name) or "") for name in call.seen}
    return {
        "status": response.status_code,
        "body": body,
        "headers": headers,
        "url": unquote(url),
        "history": [item.status_code for item in response.history],
        "cookies": {cookie.name: cookie.value for cookie in getattr(response.cookies, "cookiejar", response.cookies)},
    }


def by_requests(call: Call, base: str, ca_file: str) -> dict[str, Any]:
    options = dict(call.options)
    options.setdefault("allow_redirects", True)
    with requests.Session() as session:
        session.trust_env = False
        response = session.request(call.method, base + call.path, verify=ca_file, timeout=30, **options)
        result = facts(call, response, response.url)
        result["cookies"] = {cookie.name: cookie.value for cookie in session.cookies}
        return result


def options_of(call: Call) -> dict[str, Any]:
    options = dict(call.options)
    if "allow_redirects" in options:
        options["follow_redirects"] = options.pop("allow_redirects")
    return options


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_every_endpoint(httpbin: Peer, ca_file: str, kind: str, http2: bool) -> None:
    base = f"https://localhost:{httpbin.port}"
    problems = {}
    version = "HTTP/2.0" if http2 else "HTTP/1.1"

    def judge(call: Call, response: Any, jar: Any) -> None:
        assert response.http_version == version
        ours = facts(call, response, str(response.url))
        ours["cookies"] = {cookie.name: cookie.value for cookie in jar.cookiejar}
        theirs = by_requests(call, base, ca_file)
        assert theirs["status"] != 500 or "500" in call.path, f"{call.id}: the application failed"
        wrong = {name: (ours[name], value) for name, value in theirs.items() if ours[name] != value}
        if wrong:
            problems[call.id] = wrong

    def one(call: Call) -> None:
        with tls_requests.Client(verify=ca_file, http2=http2) as client:
            judge(call, client.request(call.method, base + call.path, **options_of(call)), client.cookies)

    async def all_at_once() -> None:
        limit = asyncio.Semaphore(8)

        async def one_async(call: Call) -> tuple[Call, Any, Any]:
            async with limit, tls_requests.AsyncClient(verify=ca_file, http2=http2) as client:
                return call, await client.request(call.method, base + call.path, **options_of(call)), client.cookies

        # The application's seeds are those of one generator: two at a time would disturb each other.
        seeded = [call for call in CALLS if "seed=" in call.path]
        answers = await asyncio.gather(*(one_async(call) for call in CALLS if call not in seeded))
        for call, response, jar in [*answers, *[await one_async(call) for call in seeded]]:
            judge(call, response, jar)

    if kind == "sync":
        for call in CALLS:
            one(call)
    else:
        asyncio.run(all_at_once())
    assert not problems, "\n".join(f"{name}: {wrong}" for name, wrong in problems.items())


def test_every_endpoint_is_called() -> None:
    """Each rule of the application is matched by a call of the list, or by one of the tests below."""
    from httpbin import app

    adapter = app.url_map.bind("localhost")
    called = set()
    below = ["/digest-auth/auth/u/p", "/digest-auth/auth/u/p/MD5", "/digest-auth/auth/u/p/MD5/never"]
    for call in [*CALLS, *(get(path) for path in below)]:
        rule, _ = adapter.match(call.path.split("?")[0], method=call.method, return_rule=True)
        called.add(str(rule))
    # The page of the API's description is there only where another package is.
    assert {str(rule) for rule in app.url_map.iter_rules()} - called <= {"/spec.json"}


class Digest(tls_requests.Auth):
    """Digest authentication (RFC 7616) by the public API alone: ask once without, then answer the challenge."""

    def __init__(self, client: Any, user: str, password: str) -> None:
        self.client, self.user, self.password = client, user, password

    def answer(self, request: tls_requests.Request, challenge: str) -> None:
        fields = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
        name = fields.get("algorithm", "MD5")
        function = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256, "SHA-512": hashlib.sha512}[name]

        def digest(text: str) -> str:
            return function(text.encode()).hexdigest()

        path, count, nonce = request.url.path, "00000001", os.urandom(8).hex()
        first = digest(f"{self.user}:{fields['realm']}:{self.password}")
        second = f"{request.method}:{path}"
        if fields["qop"] == "auth-int":
            second += ":" + function(request.read()).hexdigest()
        response = digest(f"{first}:{fields['nonce']}:{count}:{nonce}:{fields['qop']}:{digest(second)}")
        request.headers["Authorization"] = (
            f'Digest username="{self.user}", realm="{fields["realm"]}", nonce="{fields["nonce"]}", uri="{path}", '
            f'response="{response}", algorithm={name}, qop={fields["qop"]}, nc={count}, cnonce="{nonce}", '
            f'opaque="{fields["opaque"]}"'
        )

    def build_auth(self, request: tls_requests.Request) -> Any:
        if isinstance(self.client, tls_requests.AsyncClient):
            return self.build_async(request)
        answer = self.client.request(request.method, str(request.url))
        self.answer(request, answer.headers["www-authenticate"])
        return None

    async def build_async(self, request: tls_requests.Request) -> None:
        answer = await self.client.request(request.method, str(request.url))
        self.answer(request, answer.headers["www-authenticate"])


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("tail", ["auth/u/p", "auth/u/p/SHA-256", "auth-int/u/p/MD5", "auth/u/p/SHA-512/never"])
def test_digest(httpbin: Peer, ca_file: str, tail: str, http2: bool) -> None:
    url = httpbin.url(f"/digest-auth/{tail}")
    expected = {"authenticated": True, "user": "u"}
    with tls_requests.Client(verify=ca_file, http2=http2) as client:
        right, wrong = (client.get(url, auth=Digest(client, "u", word)) for word in ("p", "x"))
    assert right.status_code == 200 and expected.items() <= right.json().items()
    assert wrong.status_code == 401

    async def main() -> Any:
        async with tls_requests.AsyncClient(verify=ca_file, http2=http2) as client:
            return await client.get(url, auth=Digest(client, "u", "p"))

    response = asyncio.run(main())
    assert response.status_code == 200 and expected.items() <= response.json().items()


def test_cookies_between_requests(httpbin: Peer, ca_file: str) -> None:
    with tls_requests.Client(verify=ca_file) as client:
        assert client.get(httpbin.url("/cookies/set?a=1&b=2")).json() == {"cookies": {"a": "1", "b": "2"}}
        assert client.get(httpbin.url("/cookies/delete?a")).json() == {"cookies": {"b": "2"}}
        assert client.get(httpbin.url("/cookies"), cookies={"c": "3"}).json() == {"cookies": {"b": "2", "c": "3"}}
        assert client.get(httpbin.url("/cookies")).json() == {"cookies": {"b": "2"}}


def test_limits(httpbin: Peer, ca_file: str) -> None:
    with tls_requests.Client(verify=ca_file) as client:
        with pytest.raises(tls_requests.TooManyRedirects):
            client.get(httpbin.url("/redirect/12"))
        late = client.get(httpbin.url("/delay/5"), timeout=0.5)
        assert late.status_code == 0 and "timeout" in late.text and 0.4 < late.elapsed.total_seconds() < 3
        assert not late.ok
