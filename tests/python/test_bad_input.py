"""Wrong types and values in every constructor and call: one of the documented exceptions with a sentence that names the argument, or accepted as
the specification says; nothing is sent, nothing crashes. Keywords that nobody knows warn once."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tls_requests
from peers.fake import close_listener
from tls_requests import exceptions
from tls_requests.exceptions import UnknownOptionWarning

BAD: list[Any] = [
    None, 5, -1, 1.5, float("nan"), float("inf"), True, b"\xff", "", "\x00", "a\r\nb", "\ud800", "caf\u00e9", [], [1], [None], [[]], [("a",)],
    [("a", object())], (), (1, 2, 3), {}, {1: 2}, {"a": object()}, {None: None}, {"a": {"b": 1}}, set(), {1}, object(), type("Odd", (), {}),
    1 << 70, "x" * 100_000, bytearray(b"x"), range(3), NotImplemented, Ellipsis, 2j,
]  # fmt: skip
# What bad input may raise (spec 20); AttributeError is a request's without a text method (spec 11).
DOCUMENTED = (exceptions.HTTPError, TypeError, ValueError, FileNotFoundError)
# Exact sentences of the original (spec, appendix D) that name the thing in other words.
ORIGINAL = (
    "Invalid IDNA hostname",
    "Invalid parameters",
    "Invalid proxy",
    "Empty proxy string",
    "Unsupported proxy type",
    "Invalid headers",
    "Header value",
)


class Door:
    """Counts who knocks."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.answer, args=(sock,), daemon=True).start()

    @staticmethod
    def answer(sock: socket.socket) -> None:
        with sock:
            sock.settimeout(10)
            try:
                data = b""
                while b"\r\n\r\n" not in data:
                    more = sock.recv(65536)
                    if not more:
                        return
                    data += more
                sock.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            except OSError:
                pass


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    door = Door()
    yield door
    close_listener(door.listener)


def parameters(function: Callable[..., Any]) -> list[str]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [
        item.name
        for item in inspect.signature(function).parameters.values()
        if item.kind not in kinds and item.name != "self"
    ]


OWN = [
    "locale",
    "platform",
    "mode",
    "page",
    "referrer",
    "origin",
    "credentials",
    "raise_on_error",
    "headerOrder",
    "withoutCookieJar",
]
CALL = [*parameters(tls_requests.Client.request), "verify", "http2", "client_identifier", "proxy", "encoding", *OWN]


def sync_call(base: str, arguments: dict[str, Any]) -> Any:
    with tls_requests.Client(timeout=5) as client:
        return client.request(**{"method": "GET", "url": base + "/", **arguments})


def async_call(base: str, arguments: dict[str, Any]) -> Any:
    async def main() -> Any:
        async with tls_requests.AsyncClient(timeout=5) as client:
            return await asyncio.wait_for(client.request(**{"method": "GET", "url": base + "/", **arguments}), 30)

    return asyncio.run(main())


def function_call(base: str, arguments: dict[str, Any]) -> Any:
    return tls_requests.request(**{"method": "GET", "url": base + "/", "timeout": 5, **arguments})


CALLS: dict[str, tuple[Callable[[str, dict[str, Any]], Any], list[str]]] = {
    "Client.request": (sync_call, CALL),
    "AsyncClient.request": (async_call, CALL),
    "tls_requests.request": (function_call, [*parameters(tls_requests.request), *OWN]),
}


def use(response: Any) -> None:
    for look in (
        response.read,
        lambda: response.text,
        lambda: response.ok,
        lambda: repr(response),
        lambda: response.reason,
    ):
        look()


MAKERS: dict[str, tuple[Callable[[dict[str, Any]], Any], list[str]]] = {
    "Client": (lambda a: tls_requests.Client(**a).close(), [*parameters(tls_requests.Client.__init__), *OWN]),
    "AsyncClient": (lambda a: tls_requests.AsyncClient(**a).close(), [*parameters(tls_requests.AsyncClient.__init__), *OWN]),
    "Request": (lambda a: tls_requests.Request(**{"method": "GET", "url": "http://a/", **a}), [*parameters(tls_requests.Request.__init__), *OWN]),
    "Response": (lambda a: use(tls_requests.Response(**{"status_code": 200, **a})), parameters(tls_requests.Response.__init__)),
    "Headers": (lambda a: tls_requests.Headers(**a), parameters(tls_requests.Headers.__init__)),
    "Cookies": (lambda a: tls_requests.Cookies(**a), parameters(tls_requests.Cookies.__init__)),
    "URL": (lambda a: tls_requests.URL(**{"url": "http://a/", **a}), parameters(tls_requests.URL.__init__)),
    "URLParams": (lambda a: tls_requests.URLParams(**a), parameters(tls_requests.URLParams.__init__)),
    "Proxy": (lambda a: tls_requests.Proxy(**{"url": "http://a:1", **a}), parameters(tls_requests.Proxy.__init__)),
    "JsonEncoder": (lambda a: tls_requests.JsonEncoder(**{"data": {}, **a}), parameters(tls_requests.JsonEncoder.__init__)),
    "UrlencodedEncoder": (lambda a: tls_requests.UrlencodedEncoder(**{"data": {}, **a}), parameters(tls_requests.UrlencodedEncoder.__init__)),
    "MultipartEncoder": (lambda a: tls_requests.MultipartEncoder(**a), parameters(tls_requests.MultipartEncoder.__init__)),
    "StreamEncoder": (lambda a: tls_requests.StreamEncoder(**a), parameters(tls_requests.StreamEncoder.__init__)),
    "BasicAuth": (
        lambda a: tls_requests.BasicAuth(**{"username": "u", "password": "p", **a}).build_auth(tls_requests.Request("GET", "http://a/")),
        parameters(tls_requests.BasicAuth.__init__),
    ),
    "ProxyRotator": (lambda a: tls_requests.ProxyRotator(**a), parameters(tls_requests.ProxyRotator.__init__)),
    "HeaderRotator": (lambda a: tls_requests.HeaderRotator(**a), parameters(tls_requests.HeaderRotator.__init__)),
    "TLSIdentifierRotator": (lambda a: tls_requests.TLSIdentifierRotator(**a), parameters(tls_requests.TLSIdentifierRotator.__init__)),
    "from_file": (lambda a: tls_requests.ProxyRotator.from_file(**{"source": [], **a}), parameters(tls_requests.ProxyRotator.from_file)),
    "TLSConfig": (lambda a: tls_requests.TLSConfig.from_kwargs(**a).to_dict(), parameters(tls_requests.TLSConfig.from_kwargs)),
}  # fmt: skip
# Arguments whose sentences must name them. The rest (bodies as chunks, a proxy's own settings) say what is wrong with the value.
NAMED = {"url", "params", "headers", "method", "max_redirects", "encoding", "status_code", "body", "stream", "items", "source", "strategy",
         "mode", "page", "referrer", "origin", "credentials", "headerOrder", "username", "verify", "locale", "platform", "client_hints"}  # fmt: skip


def check(name: str, argument: str, value: Any, error: BaseException) -> None:
    shown = (name, argument, repr(value)[:60], repr(error)[:200])
    allowed = (*DOCUMENTED, AttributeError) if argument == "method" else DOCUMENTED
    assert isinstance(error, allowed), shown
    assert not isinstance(error, UnicodeEncodeError), shown  # of a codec's: it does not say what was to be encoded
    text = str(error)
    # Texts of the platform's codecs tell where in the value the character is.
    if argument in NAMED and not isinstance(error, UnicodeError):
        told = text.lower().replace("_", "")
        assert argument.lower().replace("_", "").rstrip("s") in told or text.startswith(ORIGINAL), shown
    if isinstance(error, exceptions.HTTPError):
        assert "\n" not in text and "\r" not in text, shown


@pytest.mark.parametrize("name", sorted(MAKERS))
@pytest.mark.filterwarnings("ignore")
def test_constructors(name: str) -> None:
    make, arguments = MAKERS[name]
    tried = 0
    for argument in arguments:
        for value in BAD:
            tried += 1
            try:
                make({argument: value})
            except Exception as error:
                check(name, argument, value, error)
    assert tried >= len(BAD)


@pytest.mark.parametrize("name", sorted(CALLS))
@pytest.mark.filterwarnings("ignore")
def test_calls(door: Door, name: str) -> None:
    """A call either raises before anything is sent, or is a request that was sent (what the specification accepts), or fails as one."""
    call, arguments = CALLS[name]
    for argument in arguments:
        for value in BAD:
            if argument == "auth" and callable(value):
                continue  # it is called: what it raises is its own affair
            before = door.connections
            try:
                response = call(door.base, {argument: value})
            except Exception as error:
                if getattr(error, "phase", "") not in ("", "build"):
                    assert isinstance(error, exceptions.HTTPError)  # raise_on_error with a true value
                    continue
                check(name, argument, value, error)
                if door.connections != before:
                    # Perhaps one of the call before, which gave up meanwhile: now it must be quiet.
                    before = door.connections
                    with pytest.raises(type(error)):
                        call(door.base, {argument: value})
                    assert door.connections == before, (name, argument, repr(value)[:60], error)
            else:
                assert response.status_code in (0, 204), (name, argument, value)
                if response.status_code == 0:
                    assert isinstance(response.error, exceptions.HTTPError)
                    assert "\n" not in response.text


def test_content_is_text_or_bytes(door: Door) -> None:
    for value in (5, 1.5, object(), {"a": 1}):
        with pytest.raises(TypeError, match="content"):
            tls_requests.Request("POST", door.base, content=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("timeout", "error"),
    [({"conect": 1}, ValueError), ({"read": "soon"}, TypeError), ({5: 1}, ValueError), ({"total": [1]}, TypeError)],
)
def test_parts_of_a_timeout(door: Door, timeout: Any, error: type[Exception]) -> None:
    before = door.connections
    with pytest.raises(error, match="timeout"):
        tls_requests.Client(timeout=timeout)
    with tls_requests.Client() as client:
        with pytest.raises(error, match="timeout"):
            client.get(door.base, timeout=timeout)
        with pytest.raises(error, match="timeout"):
            client.timeout = timeout
        assert client.get(door.base, timeout={"read": 5, "total": None}).status_code == 204
    assert door.connections == before + 1


# ------------------------------------------------------------------------------------------------------ lone surrogates

LONE = "a\ud800b"
BODY = {"method": "POST"}
SURROGATES: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "header value": ({"headers": {"x-test": LONE}}, exceptions.HeaderError, "x-test"),
    "header name": ({"headers": {LONE: "x"}}, exceptions.HeaderError, "header name"),
    "header pair": ({"headers": [("x-test", LONE)]}, exceptions.HeaderError, "x-test"),
    "header list": ({"headers": {"x-test": ["good", LONE]}}, exceptions.HeaderError, "x-test"),
    "host": ({"request_host_override": LONE}, exceptions.HeaderError, "host"),
    "default header": ({"default_headers": {"x-test": [LONE]}}, exceptions.HeaderError, "x-test"),
    "content type": ({**BODY, "headers": {"content-type": LONE}, "data": b"x"}, exceptions.HeaderError, "content-type"),
    "origin": ({"origin": LONE}, exceptions.HeaderError, "origin"),
    "parameter": ({"params": {"q": LONE}}, exceptions.URLParamsError, "parameters"),
    "parameter's name": ({"params": {LONE: "q"}}, exceptions.URLParamsError, "parameters"),
    "parameter in a list": ({"params": {"q": ["good", LONE]}}, exceptions.URLParamsError, "parameters"),
    "page": ({"page": f"https://site.example/{LONE}"}, exceptions.URLError, "page"),
    "cookie": ({"cookies": {"name": LONE}}, exceptions.HeaderError, "cookie value"),
    "cookie's name": ({"cookies": {LONE: "value"}}, exceptions.HeaderError, "cookie name"),
    "cookie beside a jar": ({"cookies": [("name", LONE)]}, exceptions.HeaderError, "cookie value"),
    "password": ({"auth": ("user", LONE)}, exceptions.AuthenticationError, "password"),
    "method": ({"method": LONE}, ValueError, "method"),
    "json": ({**BODY, "json": {"key": [LONE]}}, TypeError, "JSON body"),
    "json key": ({**BODY, "json": {LONE: 1}}, TypeError, "JSON body"),
    "form": ({**BODY, "data": {"field": LONE}}, TypeError, "data"),
    "form's name": ({**BODY, "data": {LONE: "value"}}, TypeError, "data"),
    "pairs": ({**BODY, "data": [("field", LONE)]}, TypeError, "data"),
    "text": ({**BODY, "data": LONE}, TypeError, "data"),
    "content": ({**BODY, "content": LONE}, TypeError, "content"),
    "file": ({**BODY, "files": {"file": ("name", LONE)}}, TypeError, "file"),
    "file name": ({**BODY, "files": {"file": (LONE, b"x")}}, TypeError, "file name"),
    "file's field": ({**BODY, "files": {LONE: b"x"}}, TypeError, "field"),
    "file's type": ({**BODY, "files": {"file": ("name", b"x", LONE)}}, TypeError, "content type"),
    "field beside a file": ({**BODY, "files": {"file": b"x"}, "data": {"field": LONE}}, TypeError, "field"),
    "proxy": ({"proxy": f"http://user:{LONE}@127.0.0.1:1"}, exceptions.ProxyError, "proxy"),
    "no_proxy": ({"proxy": "http://127.0.0.1:1", "no_proxy": LONE}, exceptions.ProxyError, "no_proxy"),
    "header for CONNECT": (
        {"proxy": "http://127.0.0.1:1", "connect_headers": {"x": LONE}},
        exceptions.HeaderError,
        "CONNECT",
    ),
    "socket": ({"uds": LONE}, ValueError, "uds"),
    "key log": ({"keylog": LONE}, ValueError, "keylog"),
    "certificate": ({"cert": LONE}, ValueError, "cert"),
    "certificate's password": ({"cert": ("file", None, LONE)}, ValueError, "password"),
    "interface": ({"interface": LONE}, ValueError, "interface"),
    "local address": ({"local_address": LONE}, ValueError, "localAddress"),
    "output": ({"stream_output_path": LONE}, ValueError, "streamOutputPath"),
    "output's end": (
        {"stream_output_path": "x", "stream_output_eof_symbol": LONE},
        ValueError,
        "streamOutputEOFSymbol",
    ),
}


def refuses(door: Door, make: Callable[[], Any], kind: type[Exception], words: str) -> None:
    before = door.connections
    with pytest.raises(kind) as caught:
        make()
    error = caught.value
    assert not isinstance(error, UnicodeError) and words in str(error), repr(error)
    str(error).encode("utf-8")  # what cannot be encoded could not be logged either
    assert door.connections == before


@pytest.mark.parametrize("what", sorted(SURROGATES))
@pytest.mark.parametrize("name", sorted(CALLS))
def test_lone_surrogates_of_a_call(door: Door, name: str, what: str, tmp_path: Any, monkeypatch: Any) -> None:
    """Text that has no UTF-8 is bad input like any other: an error of the kind that argument has, before anything is sent."""
    monkeypatch.chdir(tmp_path)
    arguments, kind, words = SURROGATES[what]
    refuses(door, lambda: CALLS[name][0](door.base, arguments), kind, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", sorted(key for key, row in SURROGATES.items() if "method" not in row[0]))
def test_lone_surrogates_of_a_client(door: Door, what: str, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, kind, words = SURROGATES[what]

    def use_client() -> Any:
        with tls_requests.Client(timeout=5, **arguments) as client:
            return client.get(door.base + "/")

    refuses(door, use_client, kind, words)
    assert list(tmp_path.iterdir()) == []


def test_lone_surrogates_that_come_later(door: Door) -> None:
    """By what may be changed: a client's headers, a request's, cookies, a form with a file that is sent in pieces."""
    with tls_requests.Client(timeout=5) as client:
        client.headers["x-test"] = LONE
        refuses(door, lambda: client.get(door.base), exceptions.HeaderError, "x-test")
        del client.headers["x-test"]
        refuses(door, lambda: client.cookies.set("name", LONE), exceptions.HeaderError, "cookie value")
        refuses(door, lambda: client.cookies.set("n", "v", domain=LONE), exceptions.CookieError, "IDNA")
        refuses(door, lambda: client.cookies.set("n", "v", path=LONE), exceptions.HeaderError, "cookie path")
        client.cookies.delete(LONE)  # there is none of that name
        request = client.build_request("GET", door.base)
        request.headers["x-test"] = LONE
        refuses(door, lambda: client.send(request), exceptions.HeaderError, "x-test")
        hooked = tls_requests.Client(
            timeout=5, hooks={"request": [lambda request: request.headers.update({"x": LONE})]}
        )
        refuses(door, lambda: hooked.get(door.base), exceptions.HeaderError, "x")
        hooked.close()
        reading, writing = os.pipe()
        with open(reading, "rb") as pipe, open(writing, "wb"):
            files = {"one": ("name", pipe), "two": (LONE, b"x")}
            refuses(door, lambda: client.post(door.base, files=files), TypeError, "file name")
        assert client.get(door.base).status_code == 204


def test_bytes_that_are_no_text_are_paths(door: Door, tmp_path: Any) -> None:
    """os.fsdecode makes lone surrogates of them: they go back to what they were."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    with tls_requests.Client(timeout=5) as client:
        assert client.get(door.base, stream_output_path=path).status_code == 204
    assert [os.fsencode(name) for name in os.listdir(tmp_path)] == [b"caf\xe9"]
    with tls_requests.Client(timeout=5, keylog=path, uds=path + "-none") as client:
        error = client.get("https://site.example/").error
        assert isinstance(error, exceptions.ConnectError) and "unix:" in str(error)
    with pytest.raises(ValueError, match="keylog must not contain NUL"):
        tls_requests.Client(keylog="a\0b")


# ------------------------------------------------------------------------------------------------------------- warnings


def warned(function: Callable[[], Any]) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    assert all(item.filename == __file__ for item in caught), [item.filename for item in caught]
    return [str(item.message) for item in caught if item.category is UnknownOptionWarning]


def test_unknown_keywords_warn_once_with_near_matches(door: Door) -> None:
    def make() -> None:
        tls_requests.Client(headerOdrer=[], zzzqqq=1).close()

    first = warned(make)
    assert len(first) == 2
    assert "headerOdrer" in first[0] and "headerOrder" in first[0] and "did you mean" in first[0]
    assert "zzzqqq" in first[1] and "did you mean" not in first[1]
    assert warned(make) == []
    with tls_requests.Client() as client:
        [text] = warned(lambda: client.get(door.base, folow_redirects=False))
        assert "follow_redirects" in text
        assert warned(lambda: client.get(door.base, folow_redirects=False)) == []

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            await client.get(door.base, verfy=False)

    with pytest.warns(UnknownOptionWarning, match="verify"):
        asyncio.run(main())
    [text] = warned(lambda: tls_requests.get(door.base, hedaers_order=[]))
    assert "hedaers_order" in text
    [text] = warned(lambda: tls_requests.Request("GET", "http://a/", jsn={}))
    assert "json" in text
    assert issubclass(UnknownOptionWarning, UserWarning)


PAYLOAD = """timeoutMilliseconds defaultHeaders connectHeaders localAddress serverNameOverwrite requestHostOverride disableIPV4 disableIPV6
disableHttp3 transportOptions streamOutputPath streamOutputBlockSize streamOutputEOFSymbol withCustomCookieJar euckrResponse h3Settings
h3SettingsOrder h3PseudoHeaderOrder h3PriorityParam h3SendGreaseFrames ECHCandidatePayloads ECHCandidateCipherSuites recordSizeLimit""".split()


def snake(name: str) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


def test_known_options_do_not_warn() -> None:
    fields = sorted(tls_requests.TLSConfig.model_fields_set() | tls_requests.CustomTLSClientConfig.model_fields_set())
    for name in [*fields, *PAYLOAD, *OWN]:
        for spelled in {name, snake(name), name.lower()}:
            assert warned(lambda spelled=spelled: tls_requests.Client(**{spelled: None}).close()) == [], spelled
            assert warned(lambda spelled=spelled: tls_requests.Request("GET", "http://a/", **{spelled: None})) == [], (
                spelled
            )
    assert warned(lambda: tls_requests.Client(**tls_requests.TLSConfig().to_dict()).close()) == []


def test_unknown_identifiers_warn_once(door: Door) -> None:
    def make() -> None:
        with tls_requests.Client(client_identifier="chrome_1333") as client:
            assert client.get(door.base).status_code == 204  # it means the default (spec 18.7)

    [text] = warned(make)
    assert "chrome_1333" in text and "chrome_133" in text.split("did you mean")[1]
    assert warned(make) == []
    for known in ("chrome_133", "firefox_120", "safari_16_0"):
        assert warned(lambda known=known: tls_requests.Client(client_identifier=known).close()) == []


def test_what_was_warned_about_is_bounded() -> None:
    """Keywords may come from foreign data: what is remembered must not grow without end."""
    code = """
        import warnings, tls_requests
        from tls_requests import _options
        warnings.simplefilter("ignore")
        for n in range(3000):
            _options.warn_unknown([f"zz{n}"])
        print(len(_options._warned))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) <= 1000


CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"


@pytest.mark.parametrize("chain", [False, True])
@pytest.mark.parametrize(
    ("headers", "word"),
    [
        (
            {
                "User-Agent": CHROME.format(133),
                "sec-ch-ua": '"Chromium";v="133", "Not A";v="99"',
                "sec-ch-ua-platform": '"Windows"',
            },
            None,
        ),
        ({"User-Agent": CHROME.format(133), "Sec-CH-UA": '"Not A";v="99", "Chromium";v="120"'}, "120"),
        ({"User-Agent": CHROME.format(133), "sec-ch-ua-platform": '"Linux"'}, "Windows"),
        ({"User-Agent": CHROME.format(133), "sec-ch-ua-mobile": "?1"}, "mobile"),
        ({"User-Agent": FIREFOX, "sec-ch-ua": '"Chromium";v="133"'}, "Firefox"),
        ({"User-Agent": "checker/1.0", "sec-ch-ua-platform": '"Windows"'}, None),
        ({"User-Agent": CHROME.format(133)}, None),
        ({"User-Agent": FIREFOX}, None),
        # Against the browser's own User-Agent: chrome_133 is on macOS.
        ({"sec-ch-ua-platform": '"macOS"'}, None),
        ({"sec-ch-ua-platform": '"Windows"'}, "macOS"),
        ({"sec-ch-ua": '"Google Chrome";v="99"'}, "99"),
        ({"sec-ch-ua": None, "sec-ch-ua-platform": None}, None),
    ],
)
def test_contradictions_warn_once(door: Door, headers: dict[str, Any], word: str | None, chain: bool) -> None:
    from tls_requests import _options

    _options._warned.clear()
    hooks = {"request": [lambda request: None]} if chain else {}
    with tls_requests.Client(hooks=hooks) as client, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert client.get(door.base, headers=headers).status_code == 204
    texts = [str(item.message) for item in caught if item.category is exceptions.ContradictionWarning]
    assert len(texts) == (0 if word is None else 1), texts
    assert word is None or word in texts[0]
    assert all(item.filename == __file__ for item in caught)
