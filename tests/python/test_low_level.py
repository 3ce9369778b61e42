"""The low-level classes: TLSClient and its sessions, configurations, the library class; clients whose session is another."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
import time
import uuid
import warnings
from unittest import mock

import pytest

import tls_requests
from tls_requests import _core, _sessions, exceptions
from tls_requests.models.libraries import Release, ReleaseAsset, TLSLibrary
from tls_requests.models.tls import CustomTLSClientConfig, TLSClient, TLSConfig, TLSRequestCookiesConfig, TLSResponse


@pytest.fixture(params=["request", "arequest"])
def perform(request):
    """TLSClient.request and TLSClient.arequest, called alike."""
    if request.param == "request":
        return TLSClient.request
    return lambda payload: asyncio.run(TLSClient.arequest(payload))


@pytest.fixture(autouse=True)
def no_sessions_left():
    yield
    assert TLSClient.destroy_all() is True
    assert not _core._divert()


def seen_by(answer):
    return json.loads(
        base64.b64decode(answer.body.partition(",")[2]) if answer.body.startswith("data:") else answer.body
    )


def header(seen, name):
    return [value for key, value in seen["headers"] if key.lower() == name]


# ------------------------------------------------------------------------------------------------------------- requests


def test_a_payload_of_a_configuration(site, perform):
    config = TLSConfig.from_kwargs(
        method="POST",
        url=f"{site.base}/echo",
        headers={"X-One": "1", "User-Agent": "mine/1"},
        cookies=[{"name": "c", "value": "v"}],
        body=b"\x00\xffraw",
        headerOrder=["user-agent", "x-one"],
    )
    answer = perform(config.to_dict())
    assert (answer.status, answer.success, answer.usedProtocol, answer.reason) == (200, True, "HTTP/1.1", "OK")
    assert answer.sessionId == config.sessionId and uuid.UUID(answer.id)
    assert answer.target == f"{site.base}/echo"
    assert answer.headers["Content-Type"] == ["application/json"]
    assert answer.body.startswith("data:application/json;base64,")
    seen = seen_by(answer)
    assert seen["method"] == "POST" and base64.b64decode(seen["body"]) == b"\x00\xffraw"
    assert header(seen, "x-one") == ["1"] and header(seen, "user-agent") == ["mine/1"]
    assert header(seen, "cookie") == ["c=v"]
    names = [name.lower() for name, _ in seen["headers"]]
    assert names.index("user-agent") < names.index("x-one")
    assert not header(seen, "accept-language"), "headers that nobody asked for"


def test_a_payload_written_by_hand(site, perform):
    answer = perform({"requestMethod": "PUT", "requestUrl": f"{site.base}/echo", "requestBody": "text"})
    assert answer.status == 200 and answer.sessionId is None
    assert not answer.body.startswith("data:"), "a text body unless isByteResponse says otherwise"
    assert base64.b64decode(seen_by(answer)["body"]) == b"text"
    # Keys are found whatever their case, and with underscores.
    answer = perform({"REQUESTMETHOD": "GET", "request_url": f"{site.base}/echo", "headerS": {"x": "y"}})
    assert header(seen_by(answer), "x") == ["y"]


def test_default_headers_are_for_requests_without_any(site, perform):
    base = {"requestMethod": "GET", "requestUrl": f"{site.base}/echo", "defaultHeaders": {"X-Default": ["1", "2"]}}
    assert header(seen_by(perform(base)), "x-default") == ["1,2"]
    assert header(seen_by(perform({**base, "headers": {"X-Own": "1"}})), "x-default") == []


def test_host_override(site, perform):
    payload = {"requestMethod": "GET", "requestUrl": f"{site.base}/echo", "requestHostOverride": "other.test"}
    assert header(seen_by(perform(payload)), "host") == ["other.test"]


def test_redirects_are_followed_when_asked(site, perform):
    payload = {"requestMethod": "GET", "requestUrl": f"{site.base}/redirect/2"}
    answer = perform(payload)
    assert answer.status == 302 and answer.headers["Location"]
    followed = perform({**payload, "followRedirects": True})
    assert followed.status == 200 and followed.target == f"{site.base}/echo"
    assert TLSConfig(followRedirects=True).to_dict()["followRedirects"] is False


def test_euc_kr(site, perform):
    payload = {"requestMethod": "POST", "requestUrl": f"{site.base}/echo", "euckrResponse": True}
    assert perform(payload).status == 200


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({}, "no request url or request method provided"),
        ({"requestMethod": "GET"}, "no request url or request method provided"),
        ({"requestUrl": "http://localhost/"}, "no request url or request method provided"),
        ({"requestMethod": "GET", "requestUrl": "http://127.0.0.1:1/"}, "refused"),
        ({"requestMethod": "GET", "requestUrl": "http://a b/"}, "IDNA"),
        ({"requestMethod": "GET", "requestUrl": "ftp://localhost/"}, ""),
        ({"requestMethod": "GET", "requestUrl": 5}, "Invalid URL"),
        ({"requestMethod": "POST", "requestUrl": "http://localhost/", "requestBody": "&", "isByteRequest": True}, ""),
        ({"requestMethod": "GET", "requestUrl": "http://localhost/", "headers": 5}, "Invalid headers format"),
        ({"requestMethod": "GET", "requestUrl": "http://localhost/", "requestCookies": [{"name": "a"}]}, "value"),
        ("text", "mapping"),
    ],
)
def test_failures_are_answers(perform, payload, text):
    answer = perform(payload)
    assert answer.status == 0 and answer.success is False and answer.body and text in answer.body
    assert answer.reason == "Unknown Error" and repr(answer) == "<Response [0]>"


def test_milliseconds_win(site, perform):
    start = time.monotonic()
    answer = perform(
        {
            "requestMethod": "GET",
            "requestUrl": f"{site.base}/delay/5",
            "timeoutSeconds": 20,
            "timeoutMilliseconds": 300,
        }
    )
    assert answer.status == 0 and "timeout" in answer.body and time.monotonic() - start < 4


def test_arequest_leaves_the_loop_free(site):
    """Twenty slow requests at once, no thread for any of them, while the loop goes on; cancelling one ends it."""
    payload = {"requestMethod": "GET", "requestUrl": f"{site.base}/delay/0.5", "sessionId": "overlap"}

    async def main():
        start = time.monotonic()
        tasks = [asyncio.ensure_future(TLSClient.arequest(payload)) for _ in range(20)]
        late = 0.0
        while not all(task.done() for task in tasks):
            before = time.monotonic()
            await asyncio.sleep(0.01)
            late = max(late, time.monotonic() - before)
            assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio")]
        assert time.monotonic() - start < 5 and late < 0.4
        assert [task.result().status for task in tasks] == [200] * 20
        task = asyncio.ensure_future(TLSClient.arequest({**payload, "requestUrl": f"{site.base}/delay/20"}))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(main(), 30))


# ------------------------------------------------------------------------------------------------------------- sessions


def test_a_session_comes_with_its_first_request(site, perform):
    name = "made by the first request"
    assert TLSClient.get_cookies(name, site.base).body == f"no client found for sessionId: {name}"
    payload = {"requestMethod": "GET", "requestUrl": f"{site.base}/cookie?set=a%3D1", "sessionId": name}
    first = perform(payload)
    assert first.cookies == {"a": "1"} and first.headers["Set-Cookie"] == ["a=1"]
    second = seen_by(perform({**payload, "requestUrl": f"{site.base}/echo"}))
    assert header(second, "cookie") == ["a=1"]
    assert second["peer"] == site.seen[0]["peer"], "another connection"
    records = TLSClient.get_cookies(name, f"{site.base}/").cookies
    assert [(record["name"], record["value"], record["secure"]) for record in records] == [("a", "1", False)]
    assert set(records[0]) == {"name", "value", "domain", "path", "expires", "maxAge", "secure", "httpOnly"}
    # A cookie of one request is not kept.
    third = perform({**payload, "requestUrl": f"{site.base}/echo", "requestCookies": [{"name": "b", "value": "2"}]})
    assert header(seen_by(third), "cookie") == ["a=1; b=2"]
    assert [record["name"] for record in TLSClient.get_cookies(name, site.base).cookies] == ["a"]
    assert TLSClient.destroy_session(name) is True
    assert TLSClient.destroy_session(name) is True
    assert TLSClient.get_cookies(name, site.base).status == 0
    after = seen_by(perform({**payload, "requestUrl": f"{site.base}/echo"}))
    assert header(after, "cookie") == [] and after["peer"] != second["peer"]


def test_names_that_mean_nothing_in_a_payload(site, perform):
    payload = {"requestMethod": "GET", "requestUrl": f"{site.base}/echo", "params": {"a": "1"}, "url": "x", "json": [1]}
    with warnings.catch_warnings(record=True) as seen_warnings:
        warnings.simplefilter("always")
        answer = perform({**payload, "data": b"x", "method": "PUT", "timeout": 0.0001, "unknown": object()})
    assert {warning.category for warning in seen_warnings} <= {exceptions.UnknownOptionWarning}
    seen = seen_by(answer)
    assert (seen["method"], seen["path"], seen["body"]) == ("GET", "/echo", "")


def test_the_session_of_a_client_is_one_object(site):
    with tls_requests.Client() as client:
        assert client.session is client.session and isinstance(client.session, TLSClient)
        assert client.get(f"{site.base}/echo")._op_request is None, "the chain was taken"


def test_without_a_cookie_jar(site, perform):
    payload = {
        "requestMethod": "GET",
        "requestUrl": f"{site.base}/cookie?set=a%3D1",
        "sessionId": "s",
        "withoutCookieJar": True,
    }
    perform(payload)
    assert TLSClient.get_cookies("s", site.base).cookies == []


def test_add_cookies(site):
    name = "adding"
    url = f"{site.base}/echo"
    payload = {
        "url": url,
        "cookies": [
            {"name": "here", "value": "1"},
            {"name": "there", "value": "2", "domain": "other.test"},
            {"name": "old", "value": "3", "expires": 1},
            {"name": "soon", "value": "4", "maxAge": 60, "path": "/"},
        ],
    }
    assert TLSClient.add_cookies(name, payload).body == f"no client found for sessionId: {name}"
    TLSClient.request({"requestMethod": "GET", "requestUrl": url, "sessionId": name})
    answer = TLSClient.add_cookies(name, payload)
    assert answer.success and sorted(record["name"] for record in answer.cookies) == ["here", "soon"]
    assert "sessionId" not in payload, "the caller's dictionary was changed"
    seen = seen_by(TLSClient.request({"requestMethod": "GET", "requestUrl": url, "sessionId": name}))
    assert sorted(header(seen, "cookie")[0].split("; ")) == ["here=1", "soon=4"]
    assert TLSClient.add_cookies(name, {"cookies": [{"value": "1"}]}).status == 0
    assert TLSClient.get_cookies(name, "no url at all://").success is False


def test_a_client_is_a_session(site):
    with tls_requests.Client() as client:
        assert client.get(f"{site.base}/cookie?set=a%3D1").request.id == client.config.sessionId
        name = client.config.sessionId
        assert [record["value"] for record in client.session.get_cookies(name, site.base).cookies] == ["1"]
        answer = client.session.request({"requestMethod": "GET", "requestUrl": f"{site.base}/echo", "sessionId": name})
        assert header(seen_by(answer), "cookie") == ["a=1"]
        assert seen_by(answer)["peer"] == site.seen[0]["peer"], "the client's connection was not used"
        client.session.add_cookies(name, {"url": site.base, "cookies": [{"name": "b", "value": "2"}]})
        assert client.cookies["b"] == "2"
        assert client.session.destroy_session(name) is True
        assert not client.cookies and client.get(f"{site.base}/echo").status_code == 200
    assert _sessions.find(name) is None
    assert TLSClient.get_cookies(name, site.base).status == 0


def test_the_table_holds_no_client(site):
    names = []
    for _ in range(50):
        client = tls_requests.Client()
        names.append(client.config.sessionId)
        del client
    assert [name for name in names if _sessions.find(name) is not None] == []
    named = tls_requests.Client(session_id="mine")
    assert _sessions.find("mine") is named
    again = tls_requests.Client(session_id="mine")
    named.close()
    assert _sessions.find("mine") is again
    again.close()
    assert _sessions.find("mine") is None


def test_sessions_from_many_threads(site):
    results = []

    def work():
        payload = {"requestMethod": "GET", "requestUrl": f"{site.base}/echo", "sessionId": "shared"}
        results.extend(TLSClient.request(payload).status for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [200] * 40
    assert len(TLSClient._made) == 1


def test_the_other_methods():
    assert isinstance(TLSClient(), TLSClient) and isinstance(TLSClient.initialize(), TLSClient)
    assert TLSClient.free_memory("some id") is None
    raw = json.dumps({"id": "1", "status": 204, "unknown": 1}).encode()
    for answer in (TLSClient.response(raw), asyncio.run(TLSClient.aresponse(raw)), TLSResponse.from_bytes(raw)):
        assert answer.status == 204 and answer.id == "1" and answer.reason == "No Content"


# ------------------------------------------------------------------------------------------------------- configurations


def test_a_configuration_splats_into_calls(site):
    config = TLSConfig(
        headers={"X-One": "1"},
        tlsClientIdentifier="firefox_153_linux",
        timeoutSeconds=7,
        forceHttp1=True,
        insecureSkipVerify=True,
    )
    options = config.to_dict()
    response = tls_requests.get(f"{site.base}/echo", **options)
    assert header(response.json(), "x-one") == ["1"]
    assert "Firefox" in header(response.json(), "user-agent")[0]
    with tls_requests.Client(**options) as client:
        assert client.client_identifier == "firefox_153_linux" and client.timeout == 7 and client.verify is False
        assert client.http2 is False and client.config.sessionId == config.sessionId
        assert client.get(f"{site.base}/echo").request.id == config.sessionId
    with tls_requests.Client(client_identifier="chrome_120", timeout=3, **options) as client:
        assert client.client_identifier == "chrome_120" and client.timeout == 3, "what was said outright wins"
    timed = TLSConfig(timeoutSeconds=0.3).to_dict()
    assert tls_requests.get(f"{site.base}/delay/5", **timed).status_code == 0


def test_configurations_are_left_alone():
    custom = CustomTLSClientConfig.from_kwargs(ja3String="771,1,2,3,0", cert_compression_algos=["zlib"])
    config = TLSConfig(
        requestBody=b"bytes",
        timeoutSeconds=1.5,
        customTlsClient=custom,
        requestCookies=[TLSRequestCookiesConfig("a", "b")],
    )
    first = config.to_dict()
    assert first == config.to_dict() == config.to_payload()
    assert config.requestBody == b"bytes" and config.isByteRequest is False
    assert first["isByteRequest"] is True and first["timeoutSeconds"] == 1.5
    assert "tlsClientIdentifier" not in first and first["customTlsClient"]["certCompressionAlgos"] == ["zlib"]
    assert first["customTlsClient"]["alpnProtocols"] is None and first["requestCookies"] == [
        {"name": "a", "value": "b"}
    ]
    changed = config.copy_with(timeout=2, headerOrder=["a"], local_address="1.2.3.4:0")
    assert (changed.timeoutSeconds, changed.headerOrder, config.headerOrder) == (2, ["a"], [])
    assert changed.to_dict()["localAddress"] == "1.2.3.4:0" and "localAddress" not in config.to_dict()
    assert config.copy_with().sessionId == config.sessionId and TLSConfig().sessionId != TLSConfig().sessionId


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        ({"http2": "http1"}, "forceHttp1", True),
        ({"http2": "auto"}, "forceHttp1", False),
        ({"http2": False}, "forceHttp1", True),
        ({"verify": None}, "insecureSkipVerify", False),
        ({"verify": False}, "insecureSkipVerify", True),
        ({"timeout": "soon"}, "timeoutSeconds", 30.0),
        ({"timeout": 5, "timeoutSeconds": 7}, "timeoutSeconds", 7),
        (
            {"client_identifier": "chrome_120", "tlsClientIdentifier": "firefox_120"},
            "tlsClientIdentifier",
            "firefox_120",
        ),
    ],
)
def test_keywords_of_a_configuration(arguments, field, value):
    assert getattr(TLSConfig.from_kwargs(**arguments), field) == value


def test_a_configuration_has_a_session_id():
    assert uuid.UUID(TLSConfig.from_kwargs().sessionId)
    assert tls_requests.Client().config.sessionId != tls_requests.Client().config.sessionId


# ------------------------------------------------------------------------------------------------------------- library


def test_library():
    assert TLSLibrary.load() and TLSLibrary.load() is TLSLibrary.load()
    path = TLSLibrary.find()
    assert path == _core.__file__ and TLSLibrary.find_all() == [path]
    assert TLSLibrary.download("1.0") == TLSLibrary.update() == TLSLibrary.upgrade() == path
    TLSLibrary.set_path("/somewhere/else")
    assert TLSLibrary.find() == path
    TLSLibrary.cleanup_files(keep_file=path)
    assert TLSLibrary.find() == path
    TLSLibrary.export_config({"a": 1})
    assert TLSLibrary.import_config() == {"a": 1}
    assert list(TLSLibrary.fetch_api()) == []
    assert [TLSLibrary._parse_version(text) for text in ("v1.13.1", "2.0.3", "x", "")] == [
        (1, 13, 1),
        (2, 0, 3),
        (0, 0, 0),
        (0, 0, 0),
    ]
    release = Release.from_kwargs(name="r", unknown=1, assets=[{"browser_download_url": "u", "more": 2}])
    assert release.assets == [ReleaseAsset("u")] and Release.model_fields_set() == {"name", "tag_name", "assets"}


def test_library_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "tls_requests.models.libraries"],
        capture_output=True, text=True, timeout=60, env={"TLS_LIBRARY_PATH": "/ignored", "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0 and "_core" in done.stdout, done.stderr


# --------------------------------------------------------------------------------- sessions of another kind (for tests)

BODY = base64.b64encode(b'{"ok": true}').decode()


def answers(*many):
    queue = list(many)
    return lambda payload: queue.pop(0)


def test_a_replaced_request_takes_the_calls():
    """A test-suite that replaces TLSClient.request sees what the client would send, and its answer is the client's."""
    with mock.patch("tls_requests.client.TLSClient.request") as request:
        request.return_value = TLSResponse(status=200, body=BODY, headers={"Set-Cookie": ["a=1"]})
        client = tls_requests.Client(headers={"X-One": "1"}, params={"p": "1"}, cookies={"c": "2"}, timeout=4)
        response = client.post("http://no.such.host.test/path", json={"x": 1}, headers={"X-Two": "2"})
    assert response.json() == {"ok": True} and response.closed and response.request.id == client.config.sessionId
    payload = request.call_args.args[0]
    assert payload["requestMethod"] == "POST" and payload["requestUrl"] == "http://no.such.host.test/path?p=1"
    assert payload["headers"] == {"X-One": "1", "X-Two": "2", "content-type": "application/json"}
    assert base64.b64decode(payload["requestBody"]) == b'{"x":1}' and payload["timeoutSeconds"] == 4
    assert payload["requestCookies"] == [{"name": "c", "value": "2"}]
    assert client.cookies["a"] == "1", "the answer's cookies were lost"
    assert client.get("http://127.0.0.1:1/").status_code == 0, "the replacement outlives the test"


def test_a_replaced_request_and_redirects():
    session = mock.Mock()
    session.request.side_effect = answers(
        TLSResponse(status=302, headers={"Location": ["/next"]}),
        TLSResponse(status=307, headers={"Location": ["http://other.test/"]}),
        TLSResponse(status=200, body=BODY),
    )
    with mock.patch.object(tls_requests.Client, "session", session):
        client = tls_requests.Client(auth=("u", "p"))
        response = client.post("http://one.test/", data={"a": "1"})
    assert [item.status_code for item in response.history] == [302, 307] and str(response.url) == "http://other.test/"
    sent = [call.args[0] for call in session.request.call_args_list]
    assert [item["requestMethod"] for item in sent] == ["POST", "GET", "GET"]
    assert ["authorization" in item["headers"] for item in sent] == [True, True, False], "credentials crossed an origin"
    assert "requestBody" not in sent[1]


def test_a_replaced_arequest():
    async def main():
        with mock.patch("tls_requests.client.TLSClient.arequest") as request:
            request.return_value = TLSResponse(status=503, body=BODY)
            async with tls_requests.AsyncClient() as client:
                response = await client.get("http://no.such.host.test/")
                assert response.status_code == 503 and request.await_count == 1

    asyncio.run(main())


def test_closing_destroys_the_session():
    with mock.patch("tls_requests.client.TLSClient.initialize") as initialize:
        client = tls_requests.Client()
        session = client.session
        assert session is initialize.return_value
    name = client.config.sessionId
    client.close()
    session.destroy_session.assert_called_with(name)
    with mock.patch("tls_requests.client.TLSClient.destroy_session") as destroy:
        with tls_requests.Client() as client:
            name = client.config.sessionId
        destroy.assert_called_once_with(name)


def test_a_replacement_may_call_the_original(site):
    """What stands in for TLSClient.request can pass the payload on: the client does not come round again."""
    real = TLSClient.request
    with mock.patch.object(TLSClient, "request", side_effect=real) as request, tls_requests.Client() as client:
        response = client.get(f"{site.base}/redirect/2", headers={"X-One": "1"})
    assert response.status_code == 200 and [item.status_code for item in response.history] == [302, 302]
    assert request.call_count == 3 and header(response.json(), "x-one") == ["1"]


def test_errors_of_another_session():
    with mock.patch("tls_requests.client.TLSClient.request") as request:
        request.return_value = TLSResponse(status=0, body="failed to do request: broken")
        response = tls_requests.Client().get("http://one.test/")
        assert response.status_code == 0 and response.reason == "failed to do request: broken" and not response.ok
        assert isinstance(response.error, tls_requests.HTTPError) and str(response.error) == response.text
        with pytest.raises(tls_requests.HTTPError, match="broken"):
            tls_requests.Client(raise_on_error=True).get("http://one.test/")
        request.return_value = TLSResponse(status=302, headers={"Location": ["/again"]})
        with pytest.raises(tls_requests.TooManyRedirects) as caught:
            tls_requests.Client(max_redirects=2).get("http://one.test/")
        assert caught.value.response.status_code == 302 and request.call_count == 5


def test_the_short_way_is_taken_again(site):
    with tls_requests.Client() as client:
        with mock.patch("tls_requests.client.TLSClient.request"):
            assert _core._divert() is True
        assert _core._divert() is False
        assert client.get(f"{site.base}/echo")._op_request is None, "the chain was taken"
