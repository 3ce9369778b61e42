"""Oddities of the original, one test each: those that programs rely on are kept, the others are put right."""

from __future__ import annotations

import base64
import json
import logging
import subprocess
import sys
import time

import pytest

import tls_requests
from tls_requests import exceptions, settings
from tls_requests.models.cookies import RequestsCookieJar
from tls_requests.models.encoders import FileField, JsonEncoder, MultipartEncoder, StreamEncoder
from tls_requests.models.headers import Headers
from tls_requests.models.rotators import HeaderRotator, ProxyRotator, TLSIdentifierRotator
from tls_requests.models.tls import TLSConfig
from tls_requests.models.urls import URL, Proxy


def header(seen, name):
    return [value for key, value in seen["headers"] if key.lower() == name]


def test_q01_failures_are_responses(twin):
    with twin.client() as client:
        response = client.get("http://127.0.0.1:1/")
    assert response.status_code == 0 and response.content and not response
    assert response.text.startswith('failed to do request: Get "http://127.0.0.1:1/": ')


def test_q02_one_base_of_exceptions():
    for name in exceptions.__all__:
        kind = getattr(exceptions, name)
        assert issubclass(kind, (exceptions.HTTPError, Warning)), name


def test_q03_http_is_put_in_front():
    assert URL("example.com/x").url == "http://example.com/x" and URL("").url == "http://"


def test_q04_ports_are_texts():
    assert URL("http://h:81").port == "81" and URL("http://h").port == ""


def test_q05_own_query_and_parameters(site):
    url = URL("http://ex.com/p?q=1", params={"a": "2"})
    assert url.query == "q%3D1&a=2"
    assert str(url) == url.url == "http://ex.com/p?q=1&a=2"
    tls_requests.get(f"{site.base}/echo?q=1", params={"a": "2"})
    assert site.seen[-1]["path"] == "/echo?q=1&a=2"


def test_q06_repr_hides_and_decodes():
    url = URL("http://u:pw@h/a%20b")
    assert repr(url) == "<URL: http://u:[secure]@h/a b>" and "pw" in str(url)


def test_q07_no_password_in_texts(twin):
    with twin.client() as client:
        response = client.get("http://user:hush@127.0.0.1:1/")
    assert "hush" not in response.text and "hush" not in repr(response.request)
    assert Proxy("http://u:hush@h:1").to_dict()["url"] == "http://u:hush@h:1"


def test_q08_missing_cookies_read_as_nothing():
    assert tls_requests.Cookies()["missing"] == ""


def test_q09_membership_of_cookies():
    cookies = tls_requests.Cookies({"a": "1"})
    assert "a" in cookies and "b" not in cookies and cookies.setdefault("b", "2") == "2" and cookies["b"] == "2"
    with pytest.raises(KeyError):
        cookies.pop("c")


def test_q10_cookies_of_cookies_are_one_jar():
    cookies = tls_requests.Cookies({"a": "1"})
    with tls_requests.Client(cookies=cookies) as client:
        client.cookies["b"] = "2"
    assert cookies["b"] == "2"


def test_q11_updated_headers_move_to_the_end():
    headers = Headers([("a", "1"), ("b", "2")])
    headers.update({"a": "3"})
    assert list(headers.items()) == [("b", "2"), ("a", "3")]


def test_q12_deleting_a_missing_header():
    headers = Headers({"a": "1"})
    del headers["b"]
    assert len(headers) == 1


def test_q13_pairs_of_one_name():
    headers = Headers([("A", "1"), ("a", "2")])
    assert headers["a"] == dict(headers)["a"] == dict(headers.items())["a"] == "1,2" and "1,2" in repr(headers)
    del headers["A"]
    assert not headers


def test_q14_names_as_they_are():
    headers = Headers({"Aa": "1"}, alias="*")
    assert headers.get("aa") is None and headers["Aa"] == "1"


def test_q15_lists_of_headers(site):
    with tls_requests.Client(headers=[{"X-One": "1"}]) as client:
        assert client._header_rotator is not None
        assert header(client.get(f"{site.base}/echo").json(), "x-one") == ["1"]
    with tls_requests.Client(headers=[("X-One", "1"), ("X-Two", "2")]) as client:
        assert client._header_rotator is None and client.headers["x-two"] == "2"
    seen = tls_requests.get(f"{site.base}/echo", headers=[("X-One", "1")]).json()
    assert header(seen, "x-one") == ["1"]
    with pytest.raises(exceptions.HeaderError):
        tls_requests.get(f"{site.base}/echo", headers=[{}])


def test_q16_empty_rotators_have_the_built_in_lists():
    assert len(HeaderRotator([])) >= 40 and len(TLSIdentifierRotator([])) == 13


def test_q17_files_are_random():
    assert TLSIdentifierRotator.from_file(["chrome_133"]).strategy == "random"
    assert TLSIdentifierRotator().strategy == "round_robin"


def test_q18_a_request_has_the_same_proxy():
    proxy = Proxy("http://h:1", weight=3, region="us")
    assert tls_requests.Request("GET", "http://x.test/", proxy=proxy).proxy is proxy
    copied = Proxy(proxy)
    assert (copied.weight, copied.region) == (3, "us")


def test_q19_weights_stay_below_ten():
    proxy = Proxy("http://h:1", weight=50)
    proxy.mark_success()
    assert proxy.weight == 10


def test_q20_content_type_of_the_caller(site):
    own = {"Content-Type": "application/vnd.mine+json"}
    assert header(tls_requests.post(f"{site.base}/echo", json={}, headers=own).json(), "content-type") == [
        own["Content-Type"]
    ]
    sent = header(tls_requests.post(f"{site.base}/echo", files={"f": b"x"}, headers=own).json(), "content-type")
    assert sent[0].startswith("multipart/form-data; boundary=")


def test_q21_raw_bodies(site):
    for data, expected in (("text ä", "text ä".encode()), (b"\x00\xff", b"\x00\xff"), (iter([b"a", b"b"]), b"ab")):
        assert base64.b64decode(tls_requests.post(f"{site.base}/echo", data=data).json()["body"]) == expected


def test_q22_json_texts_are_json_already(site):
    assert base64.b64decode(tls_requests.post(f"{site.base}/echo", json='{"a":1}').json()["body"]) == b'{"a":1}'


def test_q23_an_empty_form_hides_json():
    encoder = StreamEncoder(data={}, json={"a": 1})
    assert b"".join(encoder) == b"" and encoder.headers == {b"Content-Type": b"application/x-www-form-urlencoded"}


def test_q24_json_is_compact():
    assert b"".join(JsonEncoder({"ä": [1, {"b": None}]})) == '{"ä":[1,{"b":null}]}'.encode()


def test_q25_json_of_responses():
    response = tls_requests.Response(200, body=b'{"a": 1.5}')
    assert response.json(parse_float=str) == {"a": "1.5"}
    for body in (b"", b"{"):
        with pytest.raises(json.JSONDecodeError):
            tls_requests.Response(200, body=body).json()


def test_q26_reading_twice_and_late():
    response = tls_requests.Response(200, body=b"body")
    assert response.text == "body" and response.read() == response.read() == response.content == b"body"


def test_q27_history_is_read(twin, site):
    with twin.client() as client:
        response = client.get(f"{site.base}/redirect/2")
    assert [(item.content, item.closed) for item in response.history] == [(b"moved", True)] * 2


def test_q28_reasons_are_the_tables():
    assert tls_requests.Response(418).reason == "Im A Teapot" and tls_requests.Response(299).reason == "Unknown Error"


def test_q29_what_raise_for_status_accepts():
    for status in (100, 204, 302, 304, 600, 999):
        response = tls_requests.Response(status)
        assert response.raise_for_status() is response and response.ok
    for status in (-1, 0, 99, 400, 599):
        with pytest.raises(exceptions.HTTPError):
            tls_requests.Response(status).raise_for_status()


def test_q30_entering_after_a_request(site):
    client = tls_requests.Client()
    client.get(f"{site.base}/echo")
    with pytest.raises(RuntimeError, match="more than once"):
        client.__enter__()
    client.close()


def test_q31_verify_none_verifies(nginx):
    with tls_requests.Client(verify=None) as client:
        response = client.get(nginx.url("/"))
    assert response.status_code == 0 and "certificate" in response.text


def test_q32_unknown_names_fall_back(site):
    with pytest.warns(exceptions.UnknownOptionWarning, match="netscape_4"):
        response = tls_requests.get(f"{site.base}/echo", client_identifier="netscape_4")
    assert response.status_code == 200 and "Chrome/133" in header(response.json(), "user-agent")[0]


def test_q33_other_values_of_http2(nginx, ca_file):
    versions = {}
    for value in ("auto", None, True, "http2", False, "http1", "other", 0):
        with tls_requests.Client(http2=value, verify=ca_file) as client:
            versions[value] = client.get(nginx.url("/")).http_version
    old = {value for value, version in versions.items() if version == "HTTP/1.1"}
    assert old == {False, "http1", "other"} and 0 in old


def test_q34_from_http_to_https(twin, site, nginx, ca_file):
    with twin.client(verify=ca_file) as client:
        response = client.get(f"{site.base}/redirect/1", params={"to": nginx.url("/")})
    assert response.status_code == 200 and str(response.url) == nginx.url("/") and len(response.history) == 1


def test_q35_what_a_redirect_takes_along(twin, site):
    with twin.client() as client:
        url = f"{site.base}/redirect/1?status=307"
        response = client.post(url, data={"a": "1"}, headers={"Authorization": "secret"}, timeout=7)
        seen = response.json()
        assert base64.b64decode(seen["body"]) == b"a=1" and header(seen, "authorization") == ["secret"]
        assert response.request.timeout == 7
        other = site.base.replace("127.0.0.1", "localhost")
        seen = client.get(url, params={"to": f"{other}/echo"}, headers={"Authorization": "secret"}).json()
    assert header(seen, "authorization") == [] and header(seen, "host") == [other.partition("//")[2]]


@pytest.mark.parametrize(
    ("location", "path"), [("echo", "/a/echo"), ("../echo", "/echo"), ("?x=1", "/a/b?x=1"), ("//h.test/c", "/c")]
)
def test_q36_relative_locations(location, path):
    request = tls_requests.Request("GET", "http://one.test/a/b")
    response = tls_requests.Response(302, headers={"Location": location}, request=request)
    with tls_requests.Client() as client:
        url = client._rebuild_redirect_url(request, response)
    assert str(url) == f"http://{'h.test' if location.startswith('//') else 'one.test'}{path}"


def test_q37_methods_of_redirects():
    expected = {
        301: {"POST": "GET", "PUT": "PUT", "DELETE": "DELETE", "HEAD": "HEAD"},
        302: {"POST": "GET", "PUT": "GET", "DELETE": "GET", "HEAD": "HEAD"},
        303: {"POST": "GET", "PUT": "GET", "DELETE": "GET", "HEAD": "HEAD"},
        307: {"POST": "POST", "PUT": "PUT"},
        308: {"POST": "POST", "PUT": "PUT"},
    }
    with tls_requests.Client() as client:
        for status, methods in expected.items():
            for method, following in methods.items():
                request = tls_requests.Request(method, "http://x.test/")
                assert client._rebuild_redirect_method(request, tls_requests.Response(status)) == following


def test_q38_send_leaves_the_client_alone(twin, site):
    with twin.client() as client:
        request = client.build_request("GET", f"{site.base}/redirect/1")
        assert client.send(request, follow_redirects=False).status_code == 302
        assert client.follow_redirects is True
        assert client.send(request).status_code == 200


def test_q39_a_rotator_loses_nothing(twin, site):
    rotator = TLSIdentifierRotator(["chromium_156_linux", "firefox_153_linux"], "round_robin")
    with twin.client(client_identifier=rotator) as client:
        agents = [header(client.get(f"{site.base}/echo").json(), "user-agent")[0] for _ in range(3)]
    assert ["Firefox" in agent for agent in agents] == [False, True, False]


def test_q40_hooks_none(twin, site):
    with twin.client(hooks={"request": [print]}) as client:
        client.hooks = None
        assert client.hooks == {} and client.get(f"{site.base}/echo").status_code == 200


def test_q41_cookies_go_where_they_belong(site):
    jar = RequestsCookieJar()
    jar.set("here", "1", domain="127.0.0.1")
    jar.set("there", "2", domain="other.test")
    jar.set("path", "3", domain="127.0.0.1", path="/elsewhere")
    jar.set("anywhere", "5")
    with tls_requests.Client(cookies=jar) as client:
        sent = header(client.get(f"{site.base}/echo").json(), "cookie")[0]
    assert sorted(sent.split("; ")) == ["anywhere=5", "here=1"]


def test_q42_host_has_the_port(site):
    response = tls_requests.get(f"{site.base}/echo")
    assert header(response.json(), "host") == [site.base.partition("//")[2]]
    assert response.request.headers["host"] == "127.0.0.1"


def test_q43_order_and_case(site):
    names = [
        name
        for name, _ in tls_requests.get(
            f"{site.base}/echo", headers={"user-agent": "x", "X-B": "1", "x-A": "2"}
        ).json()["headers"]
    ]
    assert names.index("X-B") < names.index("x-A")


def test_q45_the_library_logs_nothing_by_itself():
    code = """
import logging, tls_requests, tls_requests.utils
for name in ("TLSRequests", "TLSLibrary"):
    print([type(handler).__name__ for handler in logging.getLogger(name).handlers])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["['NullHandler']"] * 2 and not done.stderr
    logger = tls_requests.utils.get_logger("quirks")
    assert tls_requests.utils.get_logger("quirks") is logger and len(logger.handlers) == 1
    logging.getLogger("quirks").handlers.clear()


def test_q46_text_files_stay_open(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("grün", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        field = FileField("f", file)
        assert (field.filename, b"".join(field.render_data(10))) == ("notes.txt", "grün".encode())
        assert not file.closed
    body = b"".join(MultipartEncoder({}, {"f": (None, "text", "text/plain")}, b"B"))
    assert b"filename" not in body and b"text/plain" in body and b"\r\n\r\ntext\r\n" in body


def test_q47_dictionaries_of_the_caller():
    facts = {"url": "http://h:1", "weight": 2}
    Proxy.from_dict(facts)
    assert facts == {"url": "http://h:1", "weight": 2}


def test_q48_to_dict_twice():
    config = TLSConfig(requestBody=b"x")
    assert config.to_dict() == config.to_dict() and config.requestBody == b"x"


def test_q49_cookies_that_were_sent(site):
    response = tls_requests.get(f"{site.base}/cookie?set=new%3D1", cookies={"sent": "2"})
    assert response.cookies["new"] == "1" and response.cookies["sent"] == "2"


def test_q50_an_empty_charset():
    assert tls_requests.Response(200, headers={"Content-Type": "text/plain; charset="}).charset == ""


def test_q51_underscores_in_hosts():
    assert URL("http://my_host.example/").host == "my_host.example"
    with pytest.raises(exceptions.URLError):
        URL("http://mü_host.example/")


def test_q52_codes_of_the_table():
    for code in (122, 444, 449, 450, 499, 509):
        assert tls_requests.StatusCodes(code).reason != "Unknown Error"
    assert len(tls_requests.StatusCodes) == 68


def test_q53_racing_is_off():
    assert settings.DEFAULT_PROTOCOL_RACING is False and tls_requests.Client().protocol_racing is False


def test_q54_a_timeout_of_zero_is_the_clients(twin, site):
    with twin.client(timeout=0.3) as client:
        start = time.monotonic()
        for value in (0, None):
            assert client.get(f"{site.base}/delay/5", timeout=value).status_code == 0
        assert time.monotonic() - start < 4
        assert client.build_request("GET", site.base, timeout=0).timeout == 0.3


def test_a_rotator_is_told_how_its_own_proxy_did():
    """The item of the rotator is marked, not a copy; a refused connection counts against it."""
    rotator = ProxyRotator(["http://127.0.0.1:1|2|us"])
    proxy = rotator.items[0]
    with tls_requests.Client(proxy=rotator) as client:
        response = client.get("http://x.test/")
    assert response.status_code == 0 and response.request.proxy is proxy
    assert proxy.failures == 1 and proxy.weight == pytest.approx(1.7)
