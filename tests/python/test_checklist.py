"""What programs written for the original rely on in clients: rotators, hooks, authentication, the calls between the steps, life."""

from __future__ import annotations

import asyncio
import collections.abc
import copy
import datetime
import inspect
import pickle
import threading
from collections import Counter
from unittest import mock

import pytest

import tls_requests
from tls_requests.models.cookies import RequestsCookieJar
from tls_requests.models.rotators import BaseRotator, HeaderRotator, ProxyRotator, TLSIdentifierRotator
from tls_requests.models.urls import Proxy


def header(seen, name):
    return [value for key, value in seen["headers"] if key.lower() == name]


# ------------------------------------------------------------------------------------------------------------ rotators


def test_rotator_of_many_loops_and_threads():
    """One rotator, used by threads and by tasks of several loops at once: each item as often as the others."""
    rotator = TLSIdentifierRotator(["a", "b", "c", "d"], "round_robin")
    taken: list[str] = []

    def blocking():
        taken.extend(rotator.next() for _ in range(200))

    def tasks():
        async def some():
            for _ in range(50):
                taken.append(await rotator.anext())
                await asyncio.sleep(0)

        async def main():
            await asyncio.gather(*(some() for _ in range(4)))

        asyncio.run(main())

    threads = [threading.Thread(target=target) for target in (blocking, tasks) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Counter(taken) == dict.fromkeys("abcd", 300)


def test_weights_count():
    light, heavy = Proxy("http://light:1", weight=1), Proxy("http://heavy:1", weight=9)
    rotator = ProxyRotator([light, heavy], "weighted")
    times = Counter(rotator.next().host for _ in range(1000))
    assert times["heavy"] > 3 * times["light"] > 0
    for _ in range(30):
        rotator.mark_result(heavy, False)
    assert heavy.weight == pytest.approx(0.1) and heavy.failures == 30
    times = Counter(rotator.next().host for _ in range(1000))
    assert times["light"] > 3 * times["heavy"]


def test_rotators_in_both_forms(tmp_path):
    class Words(BaseRotator[str]):
        @classmethod
        def rebuild_item(cls, item):
            return item.upper() if isinstance(item, str) else None

    path = tmp_path / "words.txt"
    path.write_text("one # first\n\n# nothing\ntwo\n")
    rotator = Words.from_file(path, strategy="round_robin")
    assert list(rotator) == ["ONE", "TWO"] and len(rotator) == 2

    async def main():
        assert [await rotator.anext() for _ in range(3)] == ["ONE", "TWO", "ONE"]
        await rotator.aadd("three")
        assert [await rotator.anext() for _ in range(3)] == ["ONE", "TWO", "three"], "adding begins a new round"
        await rotator.aremove("ONE")
        assert await rotator.anext() == "TWO"
        async with rotator.async_lock:
            pass

    asyncio.run(main())
    rotator.remove("absent")
    rotator.remove("TWO")
    rotator.remove("three")
    for empty in (rotator.next, lambda: asyncio.run(rotator.anext())):
        with pytest.raises(ValueError, match=r"Rotator is empty\."):
            empty()
    with pytest.raises(ValueError, match="Unsupported strategy: no such"):
        Words(["a"], "no such")
    Words([], "no such")
    with pytest.raises(TypeError):
        BaseRotator([])
    with pytest.raises(TypeError):
        pickle.dumps(rotator)


def test_header_rotator_gives_copies():
    rotator = HeaderRotator([{"User-Agent": "stored", "X-A": "1"}])
    changed = rotator.next(user_agent="mine")
    changed["x-a"] = "2"
    assert changed["user-agent"] == "mine"
    assert asyncio.run(rotator.anext())["user-agent"] == "stored" and rotator.next()["x-a"] == "1"


@pytest.mark.parametrize(("status", "success"), [(200, True), (404, True), (407, False), (500, False), (0, False)])
def test_proxy_rotators_are_told(status, success):
    """mark_result and amark_result: the request's proxy, success by the status, the response's elapsed seconds."""
    proxy = Proxy("http://p:1")
    response = tls_requests.Response(status, body=b"x")
    response.elapsed = datetime.timedelta(seconds=1.25)
    expected = mock.call(proxy=proxy, success=success, latency=1.25)

    rotator = mock.MagicMock(spec=ProxyRotator)
    rotator.next.return_value = proxy
    with (
        mock.patch.object(tls_requests.Client, "_send", return_value=response),
        tls_requests.Client(proxy=rotator) as client,
    ):
        client.get("http://x.test/")
    assert rotator.mark_result.mock_calls == [expected]

    rotator = mock.MagicMock(spec=ProxyRotator)
    rotator.anext = mock.AsyncMock(return_value=proxy)
    rotator.amark_result = mock.AsyncMock()

    async def main():
        with mock.patch.object(tls_requests.AsyncClient, "_send", return_value=response):
            async with tls_requests.AsyncClient(proxy=rotator) as client:
                await client.get("http://x.test/")

    asyncio.run(main())
    assert rotator.amark_result.mock_calls == [expected]


def test_feedback_with_stand_ins():
    """Test suites put stand-ins in the places of request, response and rotator: only public attributes are there."""
    for kind, verb in ((tls_requests.Client, "mark_result"), (tls_requests.AsyncClient, "amark_result")):
        rotator = mock.MagicMock(spec=ProxyRotator)
        request = mock.MagicMock(spec=tls_requests.Request)
        request.proxy = Proxy("http://127.0.0.1:1")
        response = mock.MagicMock(spec=tls_requests.Response, status_code=500, elapsed=datetime.timedelta(seconds=2))
        client = kind(proxy=rotator)
        with mock.patch.object(kind, "_send", return_value=response):
            sent = client.send(request)
            if kind is tls_requests.AsyncClient:
                asyncio.run(sent)
        assert getattr(rotator, verb).mock_calls == [mock.call(proxy=request.proxy, success=False, latency=2.0)]


# ----------------------------------------------------------------------------------------------------- hooks, auth, steps


def test_every_hook_in_order(twin, site):
    seen = []

    def change(request):
        seen.append("change")
        request.headers["X-Steps"] = "1"

    def replace(request):
        seen.append("replace")
        request.headers["X-Steps"] += "2"
        return tls_requests.Request("PUT", f"{site.base}/echo", headers=request.headers)

    def after(request):
        seen.append(request.method)
        request.headers["X-Steps"] += "3"
        return "ignored"

    def wrap(response):
        seen.append(response.read()[:1])
        other = tls_requests.Response(299, body=response.content, request=response.request)
        return other

    def last(response):
        seen.append(response.status_code)

    hooks = {"request": [change, 5, replace, after], "response": (wrap, last), "REQUEST": [None], "other": [None]}
    with twin.client(hooks=hooks) as client:
        response = client.get(f"{site.base}/echo")
        assert response.status_code == 299 and header(response.json(), "x-steps") == ["123"]
        assert seen == ["change", "replace", "PUT", b"{", 299] and response.closed
        client.hooks["response"] = [mock.Mock(side_effect=KeyError("of the hook"))]
        with pytest.raises(KeyError, match="of the hook"):
            client.get(f"{site.base}/echo")
        client.hooks = {"request": [change, "text"], "bad": [change], "response": "text"}
        assert client.hooks == {"request": [change]}


def test_awaitable_hooks_in_order(site):
    seen = []

    async def first(request):
        await asyncio.sleep(0.01)
        seen.append(1)
        request.headers["X-Steps"] = "1"
        return request

    def second(request):
        seen.append(2)
        request.headers["X-Steps"] += "2"

    async def third(request):
        seen.append(3)
        request.headers["X-Steps"] += "3"

    async def read(response):
        seen.append((await response.aread())[:1])

    async def main():
        hooks = {"request": [first, second, third], "response": [read]}
        async with tls_requests.AsyncClient(hooks=hooks) as client:
            return await client.get(f"{site.base}/echo")

    response = asyncio.run(main())
    assert seen == [1, 2, 3, b"{"] and header(response.json(), "x-steps") == ["123"]


def test_authentication(twin, site):
    class Token(tls_requests.Auth):
        def build_auth(self, request):
            request.headers["Authorization"] = "Token t"

    class Both(Token):
        def __call__(self, request):
            request.headers["Authorization"] = "called"

    def replace(request):
        return tls_requests.Request("GET", f"{site.base}/echo", headers={"Authorization": "replaced"})

    basic = "Basic dTpw"
    with twin.client(auth=("u", "p")) as client:
        for auth, expected in [
            (None, [basic]),
            (("", ""), ["Basic Og=="]),
            ((b"\xff", "x"), ["Basic /zp4"]),
            (Token(), ["Token t"]),
            (Both(), ["called"]),
            (replace, ["replaced"]),
        ]:
            assert header(client.get(f"{site.base}/echo", auth=auth).json(), "authorization") == expected, auth
        with pytest.raises(tls_requests.AuthenticationError, match="must be str or byte"):
            client.get(f"{site.base}/echo", auth=(1, 2))
        for ignored in (("a", "b", "c"), ["a", "b"], "text"):
            assert header(client.get(f"{site.base}/echo", auth=ignored).json(), "authorization") == []
        assert client.prepare_auth(mock.Mock(), None) is None
    assert tls_requests.Auth().build_auth(None) is None


def test_a_subclass_sees_every_step(site):
    steps: list[str] = []

    def noted(name):
        def step(self, *args, **kwargs):
            steps.append(name)
            return getattr(tls_requests.Client, name)(self, *args, **kwargs)

        return step

    names = ["request", "build_request", "prepare_params", "prepare_headers", "prepare_cookies", "prepare_proxy", "send",
             "prepare_auth", "build_hook_request", "prepare_client_identifier", "prepare_config", "build_hook_response"]  # fmt: skip
    client = type("Mine", (tls_requests.Client,), {name: noted(name) for name in names})()
    with client:
        assert client.get(f"{site.base}/echo").status_code == 200
    assert steps == names


def test_arguments_that_verbs_pass_on(twin, site):
    with twin.client(client_identifier="chromium_156_linux", follow_redirects=False, timeout=9) as client:
        assert client.get(f"{site.base}/redirect/1").status_code == 302
        assert client.get(f"{site.base}/redirect/1", follow_redirects=True).status_code == 200
        response = client.get(
            f"{site.base}/echo", json={"a": 1}, client_identifier="firefox_153_linux", protocol_racing=True
        )
        assert header(response.json(), "content-type") == ["application/json"]
        assert "Firefox" in header(response.json(), "user-agent")[0] and response.request.timeout == 9
        assert client.delete(f"{site.base}/echo", data={"a": "1"}).json()["method"] == "DELETE"
        with pytest.raises(TypeError):
            client.get()


def test_coroutine_functions():
    for name in (
        "get",
        "post",
        "put",
        "patch",
        "delete",
        "options",
        "head",
        "request",
        "send",
        "aclose",
        "abuild_request",
    ):
        assert inspect.iscoroutinefunction(getattr(tls_requests.AsyncClient, name)), name
    coroutine = tls_requests.AsyncClient().get("http://127.0.0.1:1/")
    coroutine.close()


# ------------------------------------------------------------------------------------------------- life, copies, kinds


def test_life_of_a_client(site):
    client = tls_requests.BaseClient()
    with client as entered:
        assert entered is client and client._state == tls_requests.client.ClientState.OPENED
        with pytest.raises(RuntimeError, match="It is not possible to open a client instance more than once."):
            client.__enter__()
    assert client.closed
    client.close()
    with pytest.raises(RuntimeError, match="The client instance cannot be reopened after it has been closed."):
        client.__enter__()
    with pytest.raises(ZeroDivisionError), tls_requests.Client() as client:
        _ = 1 / 0
    assert client.closed and isinstance(client.build_request("GET", site.base), tls_requests.Request)
    for verb in ("get", "post", "head"):
        with pytest.raises(RuntimeError, match="Cannot send a request, as the client has been closed."):
            getattr(client, verb)(site.base)
    assert not hasattr(client, "aclose")
    with pytest.raises(TypeError):
        tls_requests.Client("positional")


def test_one_asynchronous_client_in_turn(site):
    client = tls_requests.AsyncClient()
    peers = [asyncio.run(client.get(f"{site.base}/echo")).json()["peer"] for _ in range(3)]
    assert len(set(peers)) == 1, "the connection was not kept between loops"
    client.close()
    assert client.closed
    asyncio.run(client.aclose())
    with tls_requests.AsyncClient() as client:
        pass
    assert client.closed


def test_what_can_be_pickled_and_copied(site):
    response = tls_requests.post(f"{site.base}/redirect/1?status=307", data={"a": "1"}, cookies={"c": "1"})
    things = [
        response, response.request, response.headers, response.cookies, response.url, tls_requests.URLParams({"a": [1]}),
        Proxy("http://u:p@h:1", weight=2), tls_requests.StatusCodes.OK, RequestsCookieJar(), tls_requests.TLSConfig(),
        tls_requests.HTTPError("text"),
    ]  # fmt: skip
    for thing in things:
        again = pickle.loads(pickle.dumps(thing))
        assert type(again) is type(thing)
        if not isinstance(thing, tls_requests.Response):
            assert str(copy.copy(thing)) == str(thing) == str(again)
    again = pickle.loads(pickle.dumps(response))
    assert again.json() == response.json() and str(again.url) == str(response.url) and again.elapsed == response.elapsed
    assert again.request.content == b"a=1" and again.headers == response.headers and again.ok
    with pytest.raises(TypeError):
        pickle.dumps(tls_requests.Client())


def test_kinds():
    for cls in (tls_requests.Headers, tls_requests.Cookies, tls_requests.URLParams, RequestsCookieJar):
        assert issubclass(cls, collections.abc.MutableMapping)
    assert issubclass(Proxy, tls_requests.URL) and issubclass(tls_requests.Client, tls_requests.BaseClient)
    for base in (
        tls_requests.Auth,
        tls_requests.Client,
        tls_requests.AsyncClient,
        tls_requests.URL,
        tls_requests.Headers,
    ):
        thing = type("Mine", (base,), {})
        assert thing.__dictoffset__ and thing.__weakrefoffset__
    assert tls_requests.__title__ == "wrapper-tls-requests" and tls_requests.__license__ == "MIT"
    assert len(tls_requests.__all__) == 27


def test_names_where_programs_look_for_them():
    for name in (
        "URL",
        "Auth",
        "BasicAuth",
        "Cookies",
        "Headers",
        "Proxy",
        "Request",
        "Response",
        "StatusCodes",
        "TLSClient",
        "TLSConfig",
        "URLParams",
    ):
        assert getattr(tls_requests.client, name) is getattr(tls_requests.models, name)
    assert (
        tls_requests.client.DEFAULT_TIMEOUT == 30.0
        and tls_requests.client.TooManyRedirects is tls_requests.TooManyRedirects
    )
    assert tls_requests.client.HeaderTypes is tls_requests.types.HeaderTypes
    with pytest.raises(AttributeError):
        _ = tls_requests.client.no_such_name


def test_replaced_names_are_used(site):
    """A test-suite that replaces Request in the client's module meets its own."""

    class Mine(tls_requests.Request):
        pass

    with mock.patch("tls_requests.client.Request", Mine), tls_requests.Client() as client:
        assert type(client.build_request("GET", site.base)) is Mine


# ---------------------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("content_type", "default", "body", "encoding", "text"),
    [
        ("text/plain; charset=UTF-8", None, "ä".encode(), "utf-8", "ä"),
        ('text/plain; charset="ISO-8859-1"', "utf-8", b"\xe4", "iso-8859-1", "ä"),
        ("text/plain; charset=gbk,utf-8", "utf-8", "漢".encode("gbk"), "gbk", "漢"),
        ("text/plain; charset=nonsense", "latin-1", b"x", "utf-8", "x"),
        ("text/plain; charset=", "latin-1", b"\xe4", "latin-1", "ä"),
        ("text/plain", "latin-1", b"\xe4", "latin-1", "ä"),
        ("text/plain", lambda response: "cp1252", b"\x80", "cp1252", "€"),
        ("text/plain", lambda response: None, b"x", "utf-8", "x"),
        ("text/plain", lambda response: "no such codec", b"x", "utf-8", "x"),
        ("text/plain", "utf-8", b"\xef\xbb\xbfx", "utf-8", "\ufeffx"),
        ("text/plain", "utf-8", b"a\xffb", "utf-8", "a\ufffdb"),
        ("text/plain", "utf-8", b"ab\xe2\x82", "utf-8", "ab"),
        ("text/plain; charset=utf-16", "utf-8", b"\xff\xfeh\x00i\x00", "utf-16", "hi"),
        ("text/plain; charset=base64", "utf-8", b"eA==", "base64", "eA=="),
        (None, None, b"", "utf-8", ""),
    ],
)
def test_text(content_type, default, body, encoding, text):
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = tls_requests.Response(200, headers=headers, body=body, default_encoding=default)
    assert response.encoding == encoding and response.text == text
    assert response.content == body


def test_text_of_a_client(twin, site):
    with twin.client(encoding="latin-1") as client:
        response = client.get(f"{site.base}/bytes/256")
    assert response.encoding == "latin-1" and response.text == bytes(range(256)).decode("latin-1")
    response.encoding = "cp437"
    assert response.text == bytes(range(256)).decode("cp437"), "a new encoding gives a new text"


def test_helpers():
    from tls_requests import utils

    assert utils.to_str({"a": (1, None), "d": datetime.date(2024, 2, 3)}) == '{"a":[1,null],"d":"2024-02-03"}'
    assert (
        utils.to_str(True) == "true"
        and utils.to_str(None) == ""
        and utils.to_str(b"x") == "x"
        and utils.to_str("X", lower=True) == "x"
    )
    assert (
        utils.to_bytes(bytearray(b"x")) == bytearray(b"x")
        and utils.to_base64("x") == "eA=="
        and utils.b64decode("eA==") == b"x"
    )
    same = {"a": 1}
    assert utils.to_json(same) is same and utils.to_json(b"[1]") == [1]
    with pytest.raises(ValueError):
        utils.to_json("{")
    assert utils.json_dumps({"ü": 1}) == '{"ü":1}' and '"a": 1' in utils.json_dumps({"a": 1}, indent=4)
    with pytest.raises(TypeError):
        utils.json_dumps(object())
    assert utils.import_module(["no such module", "json"]).__name__ == "json" and utils.import_module("no_such") is None
