"""What a program's type checker makes of the public names: read by mypy --strict and pyright (`make lint`), never run.

Each public name is used here (test_public_api.py looks). A line with `# type: ignore[...]` and `# pyright: ignore[...]` is a mistake that
both must find: both complain about a comment of theirs that is of no use.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from http.cookiejar import CookieJar
from io import BytesIO
from pathlib import Path
from typing import Any, Optional

from typing_extensions import assert_type

import tls_requests
from tls_requests import (
    URL,
    AsyncClient,
    AsyncEvents,
    AsyncWebSocket,
    Attempt,
    Auth,
    BaseClient,
    BaseRotator,
    BasicAuth,
    Client,
    ClientStats,
    Cookies,
    CustomTLSClientConfig,
    Difference,
    Event,
    Events,
    HeaderRotator,
    Headers,
    JsonEncoder,
    Limits,
    MultipartEncoder,
    Profile,
    ProfileInfo,
    Proxy,
    ProxyRotator,
    Request,
    Response,
    Retry,
    StatusCodes,
    StreamEncoder,
    Timeout,
    Timing,
    TLSClient,
    TLSConfig,
    TLSIdentifierRotator,
    TLSLibrary,
    TLSResponse,
    UrlencodedEncoder,
    URLParams,
    WebSocket,
    api,
    exceptions,
    models,
    settings,
    types,
    utils,
)

# ------------------------------------------------------------------------------------------------------------ functions

assert_type(tls_requests.get("https://example.com/", params={"q": 1}, headers={"a": "b"}, timeout=3), Response)
assert_type(tls_requests.options("https://example.com/"), Response)
assert_type(tls_requests.head(URL("https://example.com/")), Response)
assert_type(tls_requests.delete(b"https://example.com/"), Response)
assert_type(tls_requests.post("https://example.com/", json={"a": [1, None]}), Response)
assert_type(tls_requests.put("https://example.com/", data={"a": "1"}, files={"f": BytesIO()}), Response)
assert_type(tls_requests.patch("https://example.com/", data=b"raw"), Response)
assert_type(tls_requests.request("GET", "https://example.com/", auth=("user", "password")), Response)
assert_type(tls_requests.__version__, str)
assert_type(tls_requests.__title__, str)
assert_type(tls_requests.__author__, str)
assert_type(tls_requests.__description__, str)

# -------------------------------------------------------------------------------------------------------------- clients


def blocking() -> None:
    with Client(timeout=10, client_identifier="firefox_153", headers={"x": "1"}) as client:
        assert_type(client, Client)
        assert_type(client.get("https://example.com/"), Response)
        assert_type(client.options("https://example.com/"), Response)
        assert_type(client.head("https://example.com/"), Response)
        assert_type(client.delete("https://example.com/"), Response)
        assert_type(client.post("https://example.com/", content="text"), Response)
        assert_type(client.put("https://example.com/", json=[1]), Response)
        assert_type(client.patch("https://example.com/", data=[("a", "1")]), Response)
        assert_type(client.request("GET", "https://example.com/"), Response)
        request = client.build_request("GET", "https://example.com/")
        assert_type(request, Request)
        assert_type(client.send(request), Response)
        assert_type(client.headers, Headers)
        assert_type(client.cookies, Cookies)
        assert_type(client.params, URLParams)
        assert_type(client.closed, bool)
        assert_type(client.stats(), ClientStats)
        assert_type(client.stats().open, int)
        assert_type(client.retries, Optional[Retry])
        assert_type(client.config, TLSConfig)
        assert_type(client.session, TLSClient)
        client.close()


class Own(Client):
    """A subclass stays itself in `with`."""


with Own() as own:
    assert_type(own, Own)


async def asynchronous(client: AsyncClient) -> None:
    async with AsyncClient(auth=BasicAuth("user", "password")) as entered:
        assert_type(entered, AsyncClient)
    assert_type(await client.get("https://example.com/"), Response)
    assert_type(await client.options("https://example.com/"), Response)
    assert_type(await client.head("https://example.com/"), Response)
    assert_type(await client.delete("https://example.com/"), Response)
    assert_type(await client.post("https://example.com/", content=b"raw"), Response)
    assert_type(await client.put("https://example.com/", json=None), Response)
    assert_type(await client.patch("https://example.com/", data="text"), Response)
    assert_type(await client.request("GET", "https://example.com/"), Response)
    assert_type(await client.send(client.build_request("GET", "https://example.com/")), Response)
    assert_type(await client.abuild_request("GET", "https://example.com/"), Request)
    assert_type(await client.aclose(), None)
    base: BaseClient = client
    assert_type(base.closed, bool)


def pieces(client: Client, progress: Callable[[int, int | None], None]) -> None:
    with client.stream("GET", "https://example.com/", timeout=5) as response:
        assert_type(response, Response)
        for piece in response.iter_bytes(1024):
            assert_type(piece, bytes)
        assert_type(next(response.iter_raw()), bytes)
        assert_type(next(response.iter_text()), str)
        assert_type(next(response.iter_lines()), str)
    assert_type(client.send(client.build_request("GET", "https://example.com/"), stream=True), Response)
    assert_type(client.download("https://example.com/", Path("file"), resume=True, progress=progress), Response)
    assert_type(client.post("https://example.com/", content=iter([b"a"]), progress=progress), Response)


async def asynchronous_pieces(client: AsyncClient) -> None:
    async with client.stream("GET", "https://example.com/") as response:
        assert_type(response, Response)
        async for piece in response.aiter_bytes():
            assert_type(piece, bytes)
        async for line in response.aiter_lines():
            assert_type(line, str)
        assert_type(await response.aread(), bytes)
    assert_type(await client.download("https://example.com/", "file", fsync=False), Response)


# --------------------------------------------------------------------------------------------------------------- models


def answer(response: Response) -> None:
    assert_type(response.status_code, int)
    assert_type(response.ok, bool)
    assert_type(response.reason, str)
    assert_type(response.headers, Headers)
    assert_type(response.trailers, Headers)
    assert_type(response.cookies, Cookies)
    assert_type(response.content, bytes)
    assert_type(response.text, str)
    assert_type(response.json(), Any)
    assert_type(response.url, URL)
    assert_type(response.http_version, str)
    assert_type(response.elapsed, datetime.timedelta)
    assert_type(response.history, list[Response])
    assert_type(response.request, Request)
    assert_type(response.next, Optional[Request])
    assert_type(response.error, Optional[tls_requests.HTTPError])
    assert_type(response.raw_headers, list[tuple[bytes, bytes]])
    assert_type(response.timing, Timing)
    assert_type(response.timing.first_byte, Optional[float])
    assert_type(response.timing.certificates, list[bytes])
    assert_type(response.attempts, Sequence[Attempt])
    assert_type(response.request.raw_headers, list[tuple[bytes, bytes]])
    assert_type(response.encoding, str)
    assert_type(response.is_redirect, bool)
    assert_type(response.raise_for_status(), Response)
    assert_type(response.read(), bytes)
    response.status_code = "200"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]


def request_parts(request: Request) -> None:
    assert_type(request.method, str)
    assert_type(request.url, URL)
    assert_type(request.headers, Headers)
    assert_type(request.cookies, Cookies)
    assert_type(request.content, bytes)
    assert_type(Request("GET", "https://example.com/", json={}), Request)


headers = Headers({"a": "1"})
assert_type(headers["a"], str)
assert_type(list(headers), list[str])
assert_type(headers.get_list("a"), list[str])
assert_type(headers.multi_items(), list[tuple[str, str]])
assert_type(headers.copy(), Headers)
cookies = Cookies({"a": "1"})
assert_type(cookies["a"], str)
jar: CookieJar = cookies.cookiejar
url = URL("https://example.com/", params=URLParams({"a": 1}))
assert_type(url.url, str)
assert_type(url.params, URLParams)
proxy = Proxy("http://user:password@127.0.0.1:8080", weight=2.0, region="eu")
assert_type(proxy.weight, float)
assert_type(
    Proxy("http://127.0.0.1:8080", via=[proxy], forward=True, connect_headers={"X": "y"}).chain, tuple[Proxy, ...]
)
assert_type(ProxyRotator([], cooldown=30.0, max_failures=2).resting, dict[Proxy, float])
assert_type(ProxyRotator([proxy]).next(key="account", exclude=[proxy]), Proxy)
proxy_url: URL = proxy
assert_type(StatusCodes.OK.reason, str)
assert_type(StatusCodes.get_reason(404), str)
number: int = StatusCodes(200)

# ------------------------------------------------------------------------------------------------------------- rotators

assert_type(ProxyRotator(["http://127.0.0.1:8080"]).next(), Proxy)
assert_type(TLSIdentifierRotator(["chrome_133"]).next(), "str | tls_requests._core.BrowserProfile")
assert_type(HeaderRotator([{"a": "1"}]).next(), Headers)


class Numbers(BaseRotator[int]):
    @classmethod
    def rebuild_item(cls, item: object) -> int | None:
        return item if isinstance(item, int) else None


assert_type(Numbers([1, 2]).next(), int)


async def rotated(rotator: ProxyRotator) -> None:
    assert_type(await rotator.anext(), Proxy)


# --------------------------------------------------------------------------------------------------- bodies and the rest


def bodies() -> Iterator[bytes]:
    yield from JsonEncoder({"a": 1}).render()
    yield from UrlencodedEncoder({"a": "1"}).render()
    yield from MultipartEncoder({"a": "1"}, {"f": b"content"}).render()
    yield from StreamEncoder.from_bytes(b"raw").render()


class Token(Auth):
    def build_auth(self, request: Request) -> None:
        request.headers["authorization"] = "Bearer token"


configuration: TLSConfig = TLSConfig.from_kwargs(timeout=3)
custom: CustomTLSClientConfig = CustomTLSClientConfig.from_kwargs(ja3String="771,4865,0,29,0")
low_level: TLSResponse = TLSResponse.from_kwargs(status=200)
library: type[TLSLibrary] = models.TLSLibrary

# ------------------------------------------------------------------------------------------------------------ exceptions

every: tuple[type[tls_requests.HTTPError], ...] = (
    exceptions.AuthenticationError,
    exceptions.Base64DecodeError,
    exceptions.CancelledError,
    exceptions.CertificateError,
    exceptions.ClientClosed,
    exceptions.ConnectError,
    exceptions.ConnectTimeout,
    exceptions.ConnectionReset,
    exceptions.FirstByteTimeout,
    exceptions.TLSTimeout,
    exceptions.CookieConflictError,
    exceptions.CookieError,
    exceptions.CookieFileError,
    exceptions.DNSError,
    exceptions.DecodingError,
    exceptions.HTTPError,
    exceptions.HeaderError,
    exceptions.IncompleteBody,
    exceptions.OutputError,
    exceptions.PoolTimeout,
    exceptions.ProtocolError,
    exceptions.ProxyAuthError,
    exceptions.ProxyClosed,
    exceptions.ProxyConnectError,
    exceptions.ProxyError,
    exceptions.ProxyProtocolError,
    exceptions.ProxyRefused,
    exceptions.ProxyTLSError,
    exceptions.ProxyTimeout,
    exceptions.ReadTimeout,
    exceptions.RemoteProtocolError,
    exceptions.RotatorError,
    exceptions.StreamClosed,
    exceptions.StreamConsumed,
    exceptions.StreamError,
    exceptions.ProfileError,
    exceptions.TLSError,
    exceptions.TimeoutError,
    exceptions.TooManyRedirects,
    exceptions.TooManyRequests,
    exceptions.TotalTimeout,
    exceptions.URLError,
    exceptions.URLParamsError,
    exceptions.UnsupportedProtocol,
    exceptions.WriteTimeout,
    exceptions.EventStreamError,
    exceptions.WebSocketClosed,
    exceptions.WebSocketError,
    exceptions.WebSocketHandshakeError,
    exceptions.WebSocketInvalidText,
    exceptions.WebSocketProtocolError,
    exceptions.WebSocketTimeout,
    exceptions.WebSocketTooBig,
)
warned: tuple[type[UserWarning], ...] = (exceptions.ContradictionWarning, exceptions.UnknownOptionWarning)


def failing() -> None:
    try:
        tls_requests.get("https://example.com/")
    except (tls_requests.TooManyRedirects, tls_requests.TLSError, exceptions.ConnectError) as error:
        as_base: tls_requests.HTTPError = error
        assert_type(as_base.message, str)
        assert_type(as_base.request_sent, bool)
        assert_type(as_base.safe_to_retry, bool)
        assert_type(as_base.phase, str)
        assert_type(as_base.host, Optional[str])
        assert_type(as_base.address, Optional[str])


# --------------------------------------------------------------------------------------- types, settings, small helpers

some_auth: Sequence[types.AuthTypes] = [
    ("user", "password"),
    (b"user", b"password"),
    Token(),
    lambda request: None,
    None,
]
some_urls: Sequence[types.URLTypes] = ["https://example.com/", b"https://example.com/", url]
proxy_entries: Sequence[types.ProxyEntryTypes] = ["http://127.0.0.1:8080", proxy, [proxy], None]
some_proxies: Sequence[types.ProxyTypes] = [
    "http://127.0.0.1:8080",
    proxy,
    url,
    ["http://127.0.0.1:8080"],
    [proxy],
    {"http": "http://127.0.0.1:8080", "https": proxy, "all": None, "no_proxy": "localhost"},
    None,
]
some_params: Sequence[types.URLParamTypes] = [{"a": 1}, {b"a": b"1"}, {"a": [1, "2", True]}, URLParams(), None]
text_params: dict[str, str] = {"a": "1"}
number_lists: dict[str, list[int]] = {"a": [1]}
more_params: Sequence[types.URLParamTypes] = [text_params, number_lists]
some_headers: Sequence[types.HeaderTypes] = [headers, {"a": "1"}, text_params, [("a", "1")], [["a", "1"]], {"a": None}]
some_cookies: Sequence[types.CookieTypes] = [cookies, jar, text_params, [("a", "1")], None]
some_timeouts: Sequence[types.TimeoutTypes] = [
    3,
    0.5,
    {"read": 10, "total": None},
    {"connect": 1.5},
    Timeout(5, read=1),
    (3, 10),
    None,
]
some_files: Sequence[types.RequestFiles] = [
    {"f": b"content"},
    {"f": ("name.txt", "text", "text/plain")},
    {"f": BytesIO()},
]
some_data: Sequence[types.RequestData] = [
    text_params,
    [("a", "1")],
    "text",
    b"raw",
    bytearray(),
    BytesIO(),
    [b"a", b"b"],
]
some_content: Sequence[types.RequestContent] = [
    "text",
    b"raw",
    bytearray(),
    memoryview(b""),
    BytesIO(),
    iter([b"a", b"b"]),
    StreamEncoder.from_bytes(b"raw"),
]
some_messages: Sequence[types.MessageTypes] = ["text", b"raw", ["a", "b"], iter([b"a"])]
some_json: Sequence[types.RequestJson] = [{"a": 1}, [1], "text", 1.5, None, datetime.date(2026, 1, 1)]
some_hooks: Sequence[types.HookTypes] = [{"request": [print]}, {"response": (print, len)}, {"request": print}, None]
some_verify: Sequence[types.VerifyTypes] = [True, False, "ca.pem", Path("ca.pem")]
some_identifiers: Sequence[types.IdentifierArgTypes] = ["chrome_133", ["chrome_133"], TLSIdentifierRotator(), None]
some_protocols: Sequence[types.ProtocolTypes] = ["auto", "http1", "http2", True, None]
identifier: types.IdentifierLiterals = "safari_ios_18_5"
any_identifier: types.IdentifierTypes = "chrome_999"
field_value: types.FieldValueTypes = ["1", 2, b"3"]
file_value: types.RequestFileValue = ("name", b"content")
file_content: types.FileContent = open("file", "rb")
buffer: types.BufferTypes = BytesIO()
text_or_bytes: types.ByteOrStr = b""
session_id: types.SessionId = "id"
session: types.Session = None
payload: types.Payload = {"a": 1}
method: types.MethodTypes = "GET"
parameter: types.URL_ALLOWED_PARAMS = 1
wire_cookies: types.CookiesTypes = [{"name": "a", "value": "1"}]
some_encodings: Sequence[types.EncodingTypes] = ["latin-1", lambda response: response.charset, None]
header_sets: Sequence[types.HeaderSetTypes] = [{"a": "1"}, [{"a": "1"}, {"a": "2"}], headers]
cookie_values: Sequence[types.CookieValueTypes] = ["1", b"1", 1, None]
param_values: Sequence[types.ParamValueTypes] = ["1", 2, True, [1, "2"]]
pairs: types.AnyList = [["a", "b"]]
history: types.ResponseHistory = []

bad_auth: types.AuthTypes = 7  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
bad_params: types.URLParamTypes = {"a": object()}  # type: ignore[dict-item]  # pyright: ignore[reportAssignmentType]
bad_headers: types.HeaderTypes = "a: 1"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
bad_cookies: types.CookieTypes = 7  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
bad_timeout: types.TimeoutTypes = "3"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
bad_hooks: types.HookTypes = {"requests": [print]}  # type: ignore[dict-item]  # pyright: ignore[reportAssignmentType]
bad_content: types.RequestContent = {"a": "1"}  # type: ignore[dict-item]  # pyright: ignore[reportAssignmentType]
bad_protocol: types.ProtocolTypes = "http3"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

assert_type(settings.DEFAULT_TIMEOUT, float)
assert_type(settings.CHUNK_SIZE, int)
assert_type(settings.DEFAULT_CLIENT_IDENTIFIER, str)
assert_type(settings.BROWSER_HEADERS, dict[str, dict[str, str]])
assert_type(utils.to_str(b"text"), str)
assert_type(utils.to_bytes("text"), bytes)
assert_type(utils.to_base64("text"), str)
assert_type(utils.b64decode("dGV4dA=="), bytes)
assert_type(utils.json_dumps({"a": 1}), str)
assert_type(utils.to_json("{}"), Any)
assert_type(utils.get_logger().name, str)
assert utils.import_module("json") is not None


# ----------------------------------------------------------------------------------------------------- connection options

Client(
    timeout=Timeout(10, connect=2),
    limits=Limits(max_connections=9),
    retries=Retry(2, statuses=[503]),
    allow_private=False,
)
assert_type(Retry(1).wait_for(1), Optional[float])
Limits(max_connections="9")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Timeout(read="x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


# --------------------------------------------------------------------------------------------- settings of clients, steps


def settings_of(client: Client) -> None:
    client.headers = {"a": "1"}
    client.cookies = {"a": "1"}
    client.params = {"a": 1}
    client.hooks = {"response": [print]}
    client.hooks["response"].append(print)
    client.proxy = ["http://127.0.0.1:8080"]
    client.timeout = Timeout(3)
    client.timeout = "3"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    client.retries = 2
    client.client_identifier = "firefox_153"
    client.mode = "fetch"
    assert_type(client.platform, Optional[str])
    client.locale = "de-DE"
    client.locale = ["de-DE", "en"]
    client.platform = "windows"
    client.platform = 5  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    client.client_hints = {"dpr": 2, "sec-ch-ua-model": None}
    client.client_hints = False
    assert_type(client.fingerprint().diff("chrome_133"), list[Difference])
    assert_type(client.fingerprint().texts(), dict[str, Optional[str]])
    assert_type((client.follow_redirects, client.raise_on_error), tuple[bool, bool])
    assert_type(client.max_redirects, int)
    assert_type(client.debug, Optional[bool])
    assert_type(client.protocol_racing, Optional[bool])
    assert_type(client.allow_http, Optional[bool])
    assert_type(client.stream_id, Optional[int])
    some_settings: tuple[types.AuthTypes, types.ProtocolTypes, types.VerifyTypes | None, types.EncodingTypes] = (
        client.auth,
        client.http2,
        client.verify,
        client.encoding,
    )
    assert len(some_settings) == 4
    client.get("https://example.com/", timeout="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get("https://example.com/", params=[("a", "1")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.get(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.post("https://example.com/", content={"a": "1"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    client.gett("https://example.com/")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    Client(follow_redirects="no")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with client.stream("GET", "https://example.com/") as response:
        print(response.status)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]


def steps(client: Client, request: Request, response: Response) -> None:
    assert_type(client.prepare_headers({"a": "1"}), Headers)
    assert_type(client.prepare_cookies(), Cookies)
    assert_type(client.prepare_params({"a": 1}), URLParams)
    assert_type(client.prepare_proxy("http://127.0.0.1:8080"), Optional[Proxy])
    identifier: str | Profile = "chrome_133"
    client.prepare_client_identifier(identifier)
    assert_type(client.prepare_config(request), TLSConfig)
    client.prepare_auth(request, ("user", "password"))
    client.build_hook_request(request)
    client.build_hook_response(response)
    assert_type(Response.from_tls_response(low_level), Response)
    assert_type(response.next, Optional[Request])
    assert_type(response.is_permanent_redirect, bool)
    assert_type(response.charset, Optional[str])
    assert_type((response.id, request.id), tuple[str, str])
    response.default_encoding = lambda answer: answer.charset


async def asynchronous_steps(client: AsyncClient, response: Response) -> None:
    assert_type(await client.aprepare_headers(), Headers)
    assert_type(await client.aprepare_proxy(None), Optional[Proxy])
    await client.aprepare_client_identifier("chrome_133")
    async with client.stream("GET", "https://example.com/") as answer:
        async for text in answer.aiter_text(10):
            assert_type(text, str)
        async for piece in answer.aiter_raw():
            assert_type(piece, bytes)
    with client.stream("GET", "https://example.com/"):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass


assert_type(api.get("https://example.com/"), Response)

# ------------------------------------------------------------------------------------------------- mappings, cookie files

assert_type(headers.get("a"), Optional[str])
assert_type(headers.get("a", "b"), str)
assert_type(dict(headers.items()), dict[str, str])
headers["a"] = ["1", "2"]
headers.update([("a", "1")])
headers["a"] = {"b": "c"}  # type: ignore[assignment]  # pyright: ignore[reportArgumentType]
assert_type(url.params["a"], "str | list[str]")
assert_type(cookies.save(Path("cookies.txt"), "netscape", session=False), int)
assert_type(cookies.load("cookies.json"), int)
assert_type(cookies.get("a"), Optional[str])
assert_type(cookies.get("a", ""), str)
assert_type(cookies.pop("a"), str)
assert_type(cookies.cookiejar.get("a", 1), "str | int")
assert_type(list(cookies.items()), list[tuple[str, str]])
cookies.set("a", "1", domain="example.com")
cookies.update(jar)

# ------------------------------------------------------------------------------------------------------ proxies, rotators

assert_type(Proxy.from_string("http://127.0.0.1:8080|2.0|US"), Proxy)
assert_type(Proxy.from_dict({"url": "http://127.0.0.1:8080"}), Proxy)
assert_type(ProxyRotator.from_file("proxies.txt", strategy="weighted"), ProxyRotator)
assert_type(TLSIdentifierRotator.from_file(["chrome_133"]), TLSIdentifierRotator)
assert_type(ProxyRotator([{"url": "http://127.0.0.1:8080"}]).available, list[Proxy])
ProxyRotator([7])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
Proxy(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Client(proxy=models.proxies.ProxyMap({"all": proxy}), proxy_retries=2, no_proxy=["localhost"], trust_env=True)

# -------------------------------------------------------------------------------------------------------------- profiles

assert_type(tls_requests.profiles(), list[ProfileInfo])
assert_type(tls_requests.profiles()[0].aliases, tuple[str, ...])
profile = Profile.load({"inherits": "firefox_153"})
assert_type(profile, Profile)
assert_type(Profile.load(Path("own.json"), allow_unsupported=True), Profile)
assert_type(Profile.named("chrome_133").diff(profile), list[Difference])
assert_type(profile.variant(locale=["de", "en"], platform="linux", client_hints={"dpr": 1.5}), Profile)
assert_type(Profile.from_ja3("771,4865,0,29,0", headers={"user-agent": "own"}), Profile)
assert_type(Profile.from_custom(custom, random_order=True), Profile)
assert_type((profile.id, profile.family, profile.version, profile.platform), tuple[str, str, str, str])
assert_type((profile.ja3, profile.ja3_hash, profile.ja4, profile.ja4_r), tuple[str, str, str, str])
assert_type(profile.akamai, Optional[str])
assert_type(profile.akamai_hash, Optional[str])
assert_type(profile.user_agent, Optional[str])
assert_type(profile.fields(), dict[str, str])
profile.save(Path("own.json"))
Client(client_identifier=profile, customTlsClient=custom)
assert_type(Difference("a", None, "b").mine, Optional[str])

# -------------------------------------------------------------------------------------------- retries, what happened, low level

assert_type(Retry.of(3), Optional[Retry])
assert_type(Retry(3, jitter=0).count, int)
Retry("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def happened(response: Response, stats: ClientStats) -> None:
    timing = response.timing
    assert_type(timing.dns, Optional[float])
    assert_type(timing.total, Optional[float])
    assert_type(timing.peer, Optional[str])
    assert_type((timing.reused, timing.tls_resumed), tuple[bool, bool])
    assert_type(timing.replays, int)
    assert_type((stats.requests, stats.replays, stats.waiting), tuple[int, int, int])


assert_type(configuration.copy_with(timeout=3), TLSConfig)
assert_type(configuration.to_dict(), dict[str, Any])
assert_type(TLSClient.request(configuration.to_dict()), TLSResponse)
assert_type(TLSClient.get_cookies("id", "https://example.com/"), TLSResponse)

# ---------------------------------------------------------------------------------------------------- WebSockets and events


def talking(client: Client) -> None:
    with client.websocket("wss://example.com/", subprotocols=["chat"], ping_interval=20) as socket:
        assert_type(socket, WebSocket)
        socket.send("text")
        socket.send_json({"a": 1})
        socket.send(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert_type(socket.receive(), "str | bytes")
        assert_type(socket.receive_json(), Any)
        assert_type(socket.close_code, Optional[int])
    with client.events("https://example.com/", max_failures=3) as events:
        assert_type(events, Events)
        for event in events:
            assert_type(event, Event)
            assert_type(event.data, str)


async def asynchronous_talking(client: AsyncClient) -> None:
    async with client.websocket("wss://example.com/") as socket:
        assert_type(socket, AsyncWebSocket)
        await socket.send(b"raw")
        assert_type(await socket.receive(timeout=3), "str | bytes")
        async for message in socket:
            assert_type(message, "str | bytes")
    async with client.events("https://example.com/") as events:
        assert_type(events, AsyncEvents)
        async for event in events:
            assert_type(event.id, str)
