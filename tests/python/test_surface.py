"""The names that programs import, and what they may do with the classes: the same paths, pickling, copying, subclassing."""

from __future__ import annotations

import asyncio
import collections.abc
import copy
import importlib
import inspect
import pickle
import threading
import weakref

import pytest

import tls_requests

ALL = {
    "AsyncClient", "Client", "Cookies", "CustomTLSClientConfig", "Headers", "Proxy", "Request", "Response", "StatusCodes", "TLSClient",
    "TLSConfig", "TLSLibrary", "TLSResponse", "URL", "URLParams", "__author__", "__description__", "__title__", "__version__", "delete",
    "get", "head", "options", "patch", "post", "put", "request",
}  # fmt: skip
FURTHER = """Auth BasicAuth BaseClient BaseRotator HeaderRotator ProxyRotator TLSIdentifierRotator JsonEncoder MultipartEncoder StreamEncoder
UrlencodedEncoder AuthenticationError CookieConflictError HTTPError HeaderError ProtocolError RemoteProtocolError RotatorError StreamConsumed
StreamError TLSError TooManyRedirects URLError Base64DecodeError CookieError ProxyError StreamClosed URLParamsError api client exceptions
models settings types utils CHUNK_SIZE DEFAULT_TIMEOUT DEFAULT_MAX_REDIRECTS DEFAULT_FOLLOW_REDIRECTS DEFAULT_DEBUG
DEFAULT_PROTOCOL_RACING DEFAULT_ALLOW_HTTP DEFAULT_INSECURE_SKIP_VERIFY DEFAULT_HTTP2 DEFAULT_CLIENT_IDENTIFIER BROWSER_HEADERS""".split()
TYPES = """AuthTypes URLTypes ProxyTypes URL_ALLOWED_PARAMS URLParamTypes MethodTypes ProtocolTypes HookTypes Session SessionId Payload
CookiesTypes IdentifierLiterals IdentifierTypes IdentifierArgTypes AnyList HeaderTypes CookieTypes TimeoutTypes ByteOrStr BufferTypes
FileContent RequestFileValue RequestData RequestJson RequestFiles ResponseHistory""".split()
MODULES = {
    "api": "delete get head options patch post put request",
    "client": "BaseClient AsyncClient Client ClientState ProtocolType logger",
    "models": """Auth BasicAuth Cookies JsonEncoder MultipartEncoder StreamEncoder UrlencodedEncoder Headers TLSLibrary Request Response
        BaseRotator HeaderRotator ProxyRotator TLSIdentifierRotator StatusCodes CustomTLSClientConfig TLSClient TLSConfig TLSResponse URL
        Proxy URLParams""",
    "models.auth": "Auth BasicAuth AuthenticationError",
    "models.cookies": """Cookies RequestsCookieJar create_cookie morsel_to_cookie cookiejar_from_dict merge_cookies remove_cookie_by_name
        extract_cookies_to_jar get_cookie_header MockRequest MockResponse""",
    "models.encoders": """JsonEncoder UrlencodedEncoder MultipartEncoder StreamEncoder BaseEncoder BaseField DataField FileField
        format_header get_boundary guess_content_type iter_buffer""",
    "models.headers": "Headers HeaderAlias HeaderError",
    "models.libraries": "TLSLibrary Release ReleaseAsset BaseRelease",
    "models.request": "Request",
    "models.response": "Response REDIRECT_STATUS",
    "models.rotators": """BaseRotator ProxyRotator TLSIdentifierRotator HeaderRotator CLIENT_IDENTIFIER_TEMPLATES HEADER_TEMPLATES
        USER_AGENTS RotatorError""",
    "models.status_codes": "StatusCodes",
    "models.tls": "TLSClient TLSResponse TLSConfig CustomTLSClientConfig TLSRequestCookiesConfig _BaseConfig",
    "models.urls": "URL URLParams Proxy URLError URLParamsError ProxyError",
    "types": " ".join(TYPES),
    "utils": """import_module get_logger to_str to_bytes to_base64 b64decode to_json json_dumps FORMAT DATE_FORMAT chardet orjson jsonlib""",
}


def test_all() -> None:
    assert set(tls_requests.__all__) >= ALL
    for name in tls_requests.__all__:
        value = getattr(tls_requests, name)
        assert not callable(value) or value.__module__ == "tls_requests", name


@pytest.mark.parametrize("name", [*FURTHER, *TYPES, "__license__"])
def test_further_attributes(name: str) -> None:
    assert hasattr(tls_requests, name)


@pytest.mark.parametrize("module", MODULES)
def test_import_paths(module: str) -> None:
    found = importlib.import_module(f"tls_requests.{module}")
    for name in MODULES[module].split():
        assert hasattr(found, name), name


# ------------------------------------------------------------------------------------------------------ pickling, copying

URL = tls_requests.URL("https://user:secret@example.com:8443/path?a=1#part")
VALUES = [
    tls_requests.Headers([("A", "1"), ("b", "2"), ("a", "3")]),
    tls_requests.Cookies({"a": "1", "b": "2"}),
    tls_requests.Cookies({"a": "1"}).cookiejar,
    URL,
    tls_requests.URLParams({"a": ["1", "2"]}),
    tls_requests.Proxy("http://user:secret@127.0.0.1:8080", weight=2.0, region="eu"),
    tls_requests.Request("POST", "https://example.com/", json={"a": 1}, headers={"x": "1"}),
    tls_requests.Response(200, headers={"a": "1"}, body=b"text", request=tls_requests.Request("GET", URL)),
    tls_requests.StatusCodes.NOT_FOUND,
    tls_requests.TLSConfig.from_kwargs(timeout=3),
    tls_requests.CustomTLSClientConfig(),
    tls_requests.exceptions.HTTPError("what went wrong"),
    tls_requests.exceptions.CookieConflictError("what went wrong"),
]


def state(value: object) -> object:
    """What must survive."""
    if isinstance(value, tls_requests.Request):
        return value.method, str(value.url), dict(value.headers), value.read()
    if isinstance(value, tls_requests.Response):
        return value.status_code, dict(value.headers), value.content, str(value.request.url)
    if isinstance(value, tls_requests.Cookies):
        return dict(value)
    if isinstance(value, tls_requests.models.cookies.RequestsCookieJar):
        return value.get_dict()
    return str(value), type(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling(value: object, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(value, protocol))
    assert type(again) is type(value)
    assert state(again) == state(value)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_copying(value: object) -> None:
    for again in (copy.copy(value), copy.deepcopy(value)):
        assert type(again) is type(value)
        assert state(again) == state(value)


@pytest.mark.parametrize("cls", [tls_requests.Client, tls_requests.AsyncClient])
def test_clients_are_not_pickled(cls: type) -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(cls())


# ------------------------------------------------------------------------------------------------------------ subclasses


@pytest.mark.parametrize("cls", [tls_requests.Headers, tls_requests.Cookies, tls_requests.URLParams])
def test_mappings(cls: type) -> None:
    value = cls({"a": "1"})
    assert isinstance(value, collections.abc.MutableMapping)
    assert "a" in value and len(value) == 1 and list(value) == ["a"] and value.get("b", "none") == "none"
    value.setdefault("b", "2")
    assert value.pop("b") == "2"
    value.update({"c": "3"})
    assert sorted(value.keys()) == ["a", "c"] and ("c", "3") in list(value.items())
    value.clear()
    assert len(value) == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Client", ()),
        ("AsyncClient", ()),
        ("URL", ("https://example.com/",)),
        ("Headers", ()),
        ("Cookies", ()),
        ("Response", (200,)),
        ("Request", ("GET", "https://example.com/")),
        ("Proxy", ("http://127.0.0.1:1",)),
        ("Auth", ()),
        ("ProxyRotator", (["http://127.0.0.1:1"],)),
    ],
)
def test_subclasses(name: str, arguments: tuple[object, ...]) -> None:
    base = getattr(tls_requests, name)

    class Own(base):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            self.extra = "kept"

    value = Own(*arguments)
    value.other = 1
    assert isinstance(value, base) and value.extra == "kept" and value.other == 1
    assert weakref.ref(value)() is value


@pytest.mark.parametrize(
    "name", ["Client", "AsyncClient", "Request", "Response", "URL", "Proxy", "get", "post", "request"]
)
def test_signatures_can_be_read(name: str) -> None:
    assert len(inspect.signature(getattr(tls_requests, name)).parameters) >= 2


@pytest.mark.parametrize(
    "name", ["get", "options", "head", "post", "put", "patch", "delete", "request", "send", "aclose"]
)
def test_methods_are_coroutine_functions(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(tls_requests.AsyncClient, name))
    assert not inspect.iscoroutinefunction(getattr(tls_requests.Client, name.replace("aclose", "close")))


def test_redirects_of_a_call_are_not_kept_on_the_client(site) -> None:
    """Threads that share a client: each call's `follow_redirects` is its own."""
    with tls_requests.Client() as client:
        found: list[tuple[bool, int]] = []

        def visit(follow: bool) -> None:
            for _ in range(20):
                found.append((follow, client.get(f"{site.base}/redirect/1", follow_redirects=follow).status_code))

        threads = [threading.Thread(target=visit, args=(follow,)) for follow in (True, False) * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert set(found) == {(True, 200), (False, 302)} and len(found) == 80


def test_a_response_outlives_its_client_and_loop(site) -> None:
    async def fetch() -> tls_requests.Response:
        async with tls_requests.AsyncClient() as client:
            return await client.get(f"{site.base}/echo")

    response = asyncio.run(fetch())
    assert (repr(response), str(response)) == ("<Response [200]>", "<Response [200 OK]>")
    assert response.text and response.content and response.headers and response.request.method == "GET"


def test_a_call_that_is_not_awaited_sends_nothing(site) -> None:
    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            call = client.get(f"{site.base}/echo")
            assert asyncio.iscoroutine(call)
            call.close()
            await asyncio.sleep(0.05)

    asyncio.run(main())
    assert site.seen == []
