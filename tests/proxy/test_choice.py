"""Which proxy a request takes: by argument, scheme, exceptions, environment, rotation; what it tells the proxy; what is kept apart."""

from __future__ import annotations

import asyncio
import copy
import json
import os
import pickle
import socket
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any
from urllib.parse import quote

import pytest
from fakes import (
    FakeProxy,
    answers,
    connects,
    fake_proxy,
    is_masked,
    parse_hello,
    read_head,
    relay,
    socks5,
    tls_connects,
)

import tls_requests
from tls_requests import Proxy, ProxyRotator, exceptions
from tls_requests.models.proxies import ProxyMap

SECRET = "pa ss:wörd/7"
USERINFO = f"user:{quote(SECRET, safe='')}@"


def base(site) -> str:
    return f"http://127.0.0.1:{site.server_port}"


# ------------------------------------------------------------------------------------------------------------- arguments


def test_every_kind_of_argument(session, site) -> None:
    with fake_proxy(connects()) as fake:
        url = fake.url()
        kinds = [
            url,
            url.encode(),
            tls_requests.URL(url),
            Proxy(url),
            ProxyRotator([url]),
            [url],
            {"http": url},
            {"all": [url]},
        ]
        for given in kinds:
            before = len(fake.asked)
            of_client = session(proxy=given).get(f"{base(site)}/echo")
            of_request = session().get(f"{base(site)}/echo", proxy=given)
            for response in (of_client, of_request):
                assert response.status_code == 200, response.text
                assert isinstance(response.request.proxy, Proxy) and response.request.proxy.url == url
                assert response.request.proxy.last_used is not None
            assert len(fake.asked) == before + 2


def test_same_object_stays(session, site) -> None:
    with fake_proxy(connects()) as fake:
        proxy = Proxy(fake.url(), region="EU", weight=3)
        for client, arguments in ((session(proxy=proxy), {}), (session(), {"proxy": proxy})):
            response = client.get(f"{base(site)}/redirect/2", **arguments)
            assert response.status_code == 200 and len(response.history) == 2
            assert response.request.proxy is proxy
            assert all(hop.request.proxy is proxy for hop in response.history)
            assert all(hop.next.proxy is proxy for hop in response.history)


def test_one_proxy_takes_the_short_way(session, site) -> None:
    """With one fixed proxy no Request is made for a plain call."""
    with fake_proxy(connects()) as fake:
        for given in (fake.url(), Proxy(fake.url())):
            response = session(proxy=given).get(f"{base(site)}/echo")
            assert response.status_code == 200 and response._op_request is None
            assert response.request.proxy.url == fake.url()
        assert session(proxy=[fake.url()]).get(f"{base(site)}/echo")._op_request is not None


def test_request_wins_over_client(session, site) -> None:
    with fake_proxy(connects()) as one, fake_proxy(connects()) as other:
        client = session(proxy=one.url())
        client.get(f"{base(site)}/echo", proxy=other.url())
        assert (len(one.asked), len(other.asked)) == (0, 1)
        client.get(f"{base(site)}/echo", proxy=None)
        assert (len(one.asked), len(other.asked)) == (1, 1)


def test_a_changed_proxy_takes_effect(session, site) -> None:
    """The client's attribute, and the attributes of its Proxy."""
    with fake_proxy(connects()) as one, fake_proxy(connects()) as other:
        proxy = Proxy(one.url())
        client = session(proxy=proxy)
        assert client.get(f"{base(site)}/echo").status_code == 200
        proxy.port = str(other.port)
        assert client.get(f"{base(site)}/echo").status_code == 200
        assert (len(one.asked), len(other.asked)) == (1, 1)
        client.client.proxy = one.url()
        assert client.get(f"{base(site)}/echo", headers={"connection": "close"}).status_code == 200
        client.client.proxy = None
        assert client.get(f"{base(site)}/echo").status_code == 200
        assert (len(one.asked), len(other.asked)) == (1, 1), "the first connection was kept, then none was wanted"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "Unsupported proxy type"),
        ({"ftp": "http://a.example"}, "Unknown key"),
        ("ftp://a.example", "Invalid proxy scheme"),
        ("http://user:" + "x" * 5000 + "@a.example", "longer than 4096"),
        ("socks4://user:pass@a.example", "SOCKS4 knows no passwords"),
        ("socks5://user@a.example", "SOCKS5 takes"),
        ("socks5://user:" + "x" * 256 + "@a.example", "SOCKS5 takes"),
    ],
)
def test_what_is_no_proxy(session, site, given, words: str) -> None:
    """An exception before anything is sent."""
    for client, arguments in ((None, {"proxy": given}), (session(), {"proxy": given})):
        with pytest.raises(exceptions.ProxyError, match=words) as caught:
            (client or session(**arguments)).get(f"{base(site)}/echo", **(arguments if client else {}))
        assert "pass@" not in str(caught.value)
    assert site.seen == []


def test_chains_are_bounded() -> None:
    with pytest.raises(exceptions.ProxyError, match="1 to 8"):
        Proxy("http://a.example", via=["http://b.example"] * 8)._engine()
    assert Proxy("http://a.example", via=["http://b.example"] * 7)._engine()


# --------------------------------------------------------------------------------------------------- schemes, exceptions


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("example.com", "http://example.com/", True),
        ("example.com", "https://www.Example.com/", True),
        ("example.com", "http://notexample.com/", False),
        (".example.com", "http://www.example.com/", True),
        (".example.com", "http://example.com/", True),
        ("*.example.com", "http://a.b.example.com/", True),
        ("example.com:8080", "http://example.com:8080/", True),
        ("example.com:8080", "http://example.com/", False),
        ("example.com:443", "https://example.com/", True),
        ("*", "http://anything.example/", True),
        ("10.0.0.0/8", "http://10.200.3.4/", True),
        ("10.0.0.0/8", "http://11.0.0.1/", False),
        ("10.0.0.0/9", "http://10.128.0.1/", False),
        ("0.0.0.0/0", "http://8.8.8.8/", True),
        ("0.0.0.0/0", "http://name.example/", False),
        ("127.0.0.1", "http://127.0.0.1:81/", True),
        ("::1", "http://[::1]/", True),
        ("[::1]:80", "http://[::1]/", True),
        ("[::1]:80", "http://[::1]:81/", False),
        ("fd00::/8", "http://[fd12::1]/", True),
        ("fd00::/8", "http://[fe80::1]/", False),
        ("10.0.0.0/99", "http://10.0.0.1/", False),
        ("1", "http://127.0.0.1/", False),
        ("a.example , b.example;c.example d.example", "http://d.example/", True),
        ("example.com", "http://example.com./", True),
        ("", "http://example.com/", False),
        (",, ,", "http://example.com/", False),
    ],
)
def test_no_proxy(no_proxy: str, url: str, direct: bool) -> None:
    for given in (no_proxy, no_proxy.split(",")):
        chosen = ProxyMap({"all": "http://proxy.example:1"}, given).choose(url)
        assert (chosen is None) is direct


def test_too_many_exceptions() -> None:
    with pytest.raises(ValueError, match="1024"):
        ProxyMap({"all": "http://proxy.example"}, ["a.example"] * 1025).choose("http://a.example/")


def test_map_by_scheme(session, site, nginx) -> None:
    with fake_proxy(connects()) as plain, fake_proxy(connects()) as secure:
        client = session(proxy={"http": plain.url(), "https://": secure.url(), "no_proxy": "direct.localhost"})
        over_http = client.get(f"{base(site)}/echo")
        over_https = client.get(nginx.url(host="127.0.0.1"))
        assert (over_http.request.proxy.url, over_https.request.proxy.url) == (plain.url(), secure.url())
        assert (len(plain.asked), len(secure.asked)) == (1, 1)
        direct = client.get(f"http://direct.localhost:{site.server_port}/echo")
        assert direct.status_code == 200 and direct.request.proxy is None
        assert (len(plain.asked), len(secure.asked)) == (1, 1)
        only_https = session(proxy={"https": secure.url()}).get(f"{base(site)}/echo")
        assert only_https.request.proxy is None and len(secure.asked) == 1


def test_redirects_choose_again_and_stay_inside(session, site, nginx) -> None:
    """From http to https, to a host that is an exception, and back: each hop by the rules, none past the proxy."""
    with fake_proxy(connects()) as plain, fake_proxy(connects()) as secure:
        rules = {"http": plain.url(), "https": secure.url(), "no_proxy": "direct.localhost"}
        to = quote(nginx.url(host="127.0.0.1"), safe="")
        response = session(proxy=rules).get(f"{base(site)}/redirect/1?to={to}")
        assert response.status_code == 200, response.text
        assert response.history[0].request.proxy.url == plain.url() and response.request.proxy.url == secure.url()
        assert response.history[0].next.proxy.url == secure.url()
        assert (len(plain.asked), len(secure.asked)) == (1, 1)
        to = quote(f"http://direct.localhost:{site.server_port}/echo", safe="")
        away = session(proxy=rules).get(f"{base(site)}/redirect/1?to={to}")
        assert away.status_code == 200 and away.request.proxy is None and len(plain.asked) == 2
        back = session(proxy=rules).get(
            f"http://direct.localhost:{site.server_port}/redirect/1?to={quote(base(site) + '/echo', safe='')}"
        )
        assert back.status_code == 200 and back.request.proxy.url == plain.url() and len(plain.asked) == 3


def test_no_proxy_option(session, site) -> None:
    with fake_proxy(connects()) as fake:
        for client, arguments in (
            (session(proxy=fake.url(), no_proxy="127.0.0.0/8"), {}),
            (session(proxy=fake.url()), {"no_proxy": ["other.example", "127.0.0.1"]}),
        ):
            response = client.get(f"{base(site)}/echo", **arguments)
            assert response.status_code == 200 and response.request.proxy is None
        assert fake.asked == []


def test_environment(session, site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only when trusted; the argument wins; NO_PROXY counts; HTTP_PROXY is not believed in a CGI program."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with fake_proxy(connects()) as fake:
        monkeypatch.setenv("HTTP_PROXY", fake.url())
        assert session().get(f"{base(site)}/echo").request.proxy is None
        assert session(trust_env=True).get(f"{base(site)}/echo").request.proxy.url == fake.url()
        assert session(trust_env=True, proxy="http://127.0.0.1:1").get(f"{base(site)}/echo").status_code == 0
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert session(trust_env=True).get(f"{base(site)}/echo").request.proxy is None
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.setenv("REQUEST_METHOD", "GET")
        assert session(trust_env=True).get(f"{base(site)}/echo").request.proxy is None
        monkeypatch.delenv("HTTP_PROXY")
        monkeypatch.setenv("all_proxy", fake.url("socks5h"))
        assert ProxyMap.from_env().http.scheme == "socks5h"
        monkeypatch.delenv("all_proxy")
        assert ProxyMap.from_env() is None
        assert len(fake.asked) == 1
        assert tls_requests.get(f"{base(site)}/echo", trust_env=True).status_code == 200


# ------------------------------------------------------------------------------------------------ what the proxy is told


def fields_of(head: bytes) -> list[tuple[str, str]]:
    return [tuple(line.split(": ", 1)) for line in head.decode().split("\r\n")[1:-2]]


def test_connect_as_the_browser(session, nginx) -> None:
    """Order and values of Chromium and Firefox; the caller's user agent; none when none is wanted."""
    url = nginx.url(host="127.0.0.1")
    port = nginx.ports["https"]
    with fake_proxy(connects()) as fake:
        client = session(proxy=fake.url(userinfo="a:b@"))
        agent = client.get(url).request.headers["user-agent"]
        assert fake.asked[-1].startswith(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n".encode())
        assert fields_of(fake.asked[-1]) == [
            ("Host", f"127.0.0.1:{port}"),
            ("Proxy-Connection", "keep-alive"),
            ("User-Agent", agent),
            ("Proxy-Authorization", "Basic YTpi"),
        ]
        assert "Chrome/133" in agent
        session(proxy=fake.url(), client_identifier="firefox_153_linux").get(nginx.url(host="[::1]"))
        assert [name for name, _ in fields_of(fake.asked[-1])] == [
            "User-Agent",
            "Proxy-Connection",
            "Connection",
            "Host",
        ]
        assert "Firefox/153" in fields_of(fake.asked[-1])[0][1]
        assert fields_of(fake.asked[-1])[3] == ("Host", f"[::1]:{port}")
        session(proxy=fake.url()).get(url, headers={"User-Agent": "mine/1"})
        assert ("User-Agent", "mine/1") in fields_of(fake.asked[-1])
        session(proxy=fake.url(), headers=None).get(url)
        assert [name for name, _ in fields_of(fake.asked[-1])] == ["Host", "Proxy-Connection"]


def test_connect_headers(session, nginx) -> None:
    """In order, in place of the browser's of the same name, several values, removed; for CONNECT alone."""
    url = nginx.url("/headers", host="127.0.0.1")
    given = {"X-First": ["1"], "User-Agent": ["agent"], "X-Many": ["a", "b"], "Proxy-Connection": None}
    expected = [
        ("Host", f"127.0.0.1:{nginx.ports['https']}"),
        ("User-Agent", "agent"),
        ("X-First", "1"),
        ("X-Many", "a"),
        ("X-Many", "b"),
    ]
    with fake_proxy(connects()) as fake:
        for make, arguments in (
            (lambda: session(proxy=fake.url(), connectHeaders=given), {}),
            (lambda: session(proxy=fake.url()), {"connect_headers": given}),
            (lambda: session(proxy=Proxy(fake.url(), connect_headers=given)), {}),
            (lambda: session(proxy={"all": fake.url()}), {"connectHeaders": list(given.items())}),
        ):
            response = make().get(url, **arguments)
            assert response.status_code == 200
            assert fields_of(fake.asked[-1]) == expected
            assert "agent|" not in response.text and "x-first" not in response.request.headers
        for bad in ({"X": "a\r\nb"}, {"X y": "a"}, {"Content-Length": "5"}, 7):
            with pytest.raises(exceptions.HTTPError):
                session(proxy=Proxy(fake.url(), connect_headers=bad)).get(url)


def test_absolute_form(session, site) -> None:
    """What a browser sends to a proxy for plain http; no tunnel is asked for."""

    def behave(connection, fake) -> None:
        head = read_head(connection, fake)
        upstream = fake.dial(connection, "127.0.0.1", site.server_port)
        upstream.sendall(head)
        relay(connection, upstream)

    with fake_proxy(behave) as fake:
        proxy = Proxy(fake.url(userinfo="a:b@"), forward=True)
        response = session(proxy=proxy).get(f"http://user:pw@127.0.0.1:{site.server_port}/echo?q=1#frag")
        assert response.status_code == 200, response.text
        line, *rest = fake.asked[0].decode().split("\r\n")
        names = [field.partition(":")[0] for field in rest]
        assert line == f"GET http://127.0.0.1:{site.server_port}/echo?q=1 HTTP/1.1", "without user info and fragment"
        assert names[:2] == ["Host", "Proxy-Connection"] and "Connection" not in names
        assert "Proxy-Authorization: Basic YTpi" in rest and "Authorization: Basic dXNlcjpwdw==" in rest
        assert "YTpi" not in str(response.request.headers) + repr(response.request)
        assert names[2] == "Proxy-Authorization", "Chromium's own fields come first"
        body = session(proxy=proxy).request("POST", f"{base(site)}/echo", json={})
        assert body.status_code == 200, body.text
        names = [field.partition(":")[0] for field in fake.asked[1].decode().split("\r\n")[1:]]
        assert names[:4] == ["Host", "Proxy-Connection", "Content-Length", "Proxy-Authorization"]
        session(proxy=proxy, client_identifier="firefox_153_linux").get(f"{base(site)}/echo")
        assert b"\r\nProxy-Authorization: Basic YTpi\r\nConnection: keep-alive\r\n" in fake.asked[2]
        session(proxy=proxy, client_identifier="safari_18_0_ios").get(f"{base(site)}/echo")
        assert fake.asked[3].endswith(b"\r\nProxy-Authorization: Basic YTpi\r\n\r\n")


def test_plain_http_to_other_machines(session, site) -> None:
    """Over http:// browsers name no client hints and no fetch metadata, and take gzip and deflate alone; this machine counts as secure."""
    with fake_proxy(socks5({"site.test": "127.0.0.1"})) as fake:
        for identifier, keeps in (
            ("chrome_133", False),
            ("firefox_153_linux", False),
            ("safari_18_0_ios", False),
            ("okhttp_5", True),
        ):
            client = session(proxy=fake.url("socks5h"), client_identifier=identifier)
            far = client.get(f"http://site.test:{site.server_port}/echo")
            near = client.get(f"{base(site)}/echo")
            assert far.status_code == near.status_code == 200, far.text + near.text
            there, here = ({name.lower(): value for name, value in each.json()["headers"]} for each in (far, near))
            special = [name for name in here if name.startswith("sec-")]
            assert keeps or special
            assert [name for name in there if name.startswith("sec-")] == []
            assert list(there) == [name for name in here if name not in special]
            assert there["accept-encoding"] == (here["accept-encoding"] if keeps else "gzip, deflate")
            own = client.get(
                f"http://site.test:{site.server_port}/echo", headers={"sec-fetch-site": "none", "accept-encoding": "br"}
            )
            given = {name.lower(): value for name, value in own.json()["headers"]}
            assert (given["sec-fetch-site"], given["accept-encoding"]) == ("none", "br")


# --------------------------------------------------------------------------------------------------------- kept apart


def test_connections_are_not_shared_between_credentials(session, site) -> None:
    with fake_proxy(connects()) as fake:
        client = session()
        for userinfo in ("a:1@", "a:2@", "b:1@", "", "a:1@"):
            response = client.get(f"{base(site)}/echo", proxy=fake.url(userinfo=userinfo))
            assert response.status_code == 200
        assert len(fake.asked) == 4, "the last one found the first one's connection"
        client.get(f"{base(site)}/echo")
        client.get(f"{base(site)}/echo", proxy=Proxy(fake.url(), connect_headers={"X": "y"}))
        assert len(fake.asked) == 5
        peers = [seen["peer"] for seen in site.seen]
        assert len(set(peers)) == 6 and peers[0] == peers[4]


def test_tickets_are_not_shared_between_exits(session, nginx) -> None:
    """TLS sessions made through one exit are resumed there only: a server would link the two."""
    url = nginx.url("/close", port="https1", host="127.0.0.1")
    with fake_proxy(connects()) as one, fake_proxy(connects()) as other:
        client = session()
        ways = [None, one.url(), one.url(userinfo="a:b@"), other.url()]
        first = [client.get(url, **({"proxy": way} if way else {})).timing.tls_resumed for way in ways]
        again = [client.get(url, **({"proxy": way} if way else {})).timing.tls_resumed for way in ways]
        assert first == [False] * 4 and again == [True] * 4


def test_hello_to_an_https_proxy(session, server_pair) -> None:
    """TLS to the proxy is as with any server, h2 offered; a second connection resumes its session, another way does not."""
    with fake_proxy(tls_connects(server_pair)) as fake:
        url = fake.url("https").replace("127.0.0.1", "localhost")
        for identifier in ("chrome_133", "firefox_153_linux"):
            fake.asked.clear()
            client = session(proxy=url, client_identifier=identifier)
            for way in (url, url, url.replace("://", "://a:b@")):
                client.get("https://origin.test/", proxy=way)
            outer = [parse_hello(hello) for hello in fake.asked[0::4]]
            inner = [parse_hello(hello) for hello in fake.asked[3::4]]
            assert [text.split(b" ")[0] for text in fake.asked[2::4]] == [b"CONNECT"] * 3
            assert fake.asked[1::4] == [b"new", b"resumed", b"new"]
            for one, other in zip(outer, inner):
                assert one["suites"] == other["suites"] and len(one["suites"]) > 10
                resumption = {35, 41}  # session_ticket, pre_shared_key: as far as there is something to resume
                assert one["extensions"] - resumption == other["extensions"] - resumption
                assert one["alpn"] == other["alpn"] == [b"h2", b"http/1.1"]
            assert (41 in outer[1]["extensions"], 41 in outer[2]["extensions"]) == (True, False)


def test_rotating_proxy(session, site, nginx) -> None:
    """A gateway whose exit changes: a connection for each request, and no resumption over it."""
    with fake_proxy(connects()) as fake:
        for arguments in ({"isRotatingProxy": True}, {"is_rotating_proxy": True}):
            client = session(proxy=fake.url(), **arguments)
            before = len(fake.asked)
            for _ in range(3):
                assert client.get(f"{base(site)}/echo").status_code == 200
            resumed = [client.get(nginx.url(host="127.0.0.1")).timing.tls_resumed for _ in range(3)]
            assert resumed == [False] * 3
            assert len(fake.asked) == before + 6
        deadline = time.monotonic() + 5
        while any(one.fileno() >= 0 for one in fake.open) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(one.fileno() >= 0 for one in fake.open), "they are closed after the answer"


# ------------------------------------------------------------------------------------------------------------- secrets


def test_credentials_are_in_no_text(session, site) -> None:
    with fake_proxy(answers(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n" * 1)) as fake:
        proxy = Proxy(fake.url(userinfo=USERINFO))
        response = session(proxy=proxy).get(f"{base(site)}/echo")
        try:
            session(proxy=proxy, raise_on_error=True).get(f"{base(site)}/echo")
            raise AssertionError("no exception")
        except exceptions.ProxyAuthError as error:
            raised = error
        shown = [
            response.text,
            response.reason,
            response.error,
            repr(response.error),
            vars(response.error),
            repr(proxy),
        ]
        shown += [repr(response), repr(response.request), raised, repr(raised), raised.__context__]
        shown += [ProxyMap({"all": proxy}), response.request.headers]
        for text in shown:
            assert is_masked(text, SECRET), text
    for bad in (f"ftp://{USERINFO}x.example", f"http://{USERINFO}x y.example", f"http://{USERINFO}"):
        with pytest.raises(exceptions.ProxyError) as caught:
            Proxy(bad)
        assert is_masked(caught.value, SECRET)


TRACED = """
import sys, tls_requests
proxy, url = sys.argv[1:]
with tls_requests.Client(proxy=proxy, timeout=10, verify=False) as client:
    response = client.get(url)
    print(response.status_code, response.text)
"""


def traced(*arguments: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", TRACED, *arguments],
        env={**os.environ, "TLS_REQUESTS_TRACE": "all"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout, done.stderr


def test_nothing_is_looked_up_here(nginx) -> None:
    """The trace of every look-up: with proxies that resolve, the origin's name is not among them; with socks5 it is."""
    port = nginx.ports["https"]
    table = {"hidden.localhost.test": "127.0.0.1"}
    for scheme, behave in (("socks5h", socks5(table)), ("http", connects(table))):
        with fake_proxy(behave) as fake:
            shown, trace = traced(fake.url(scheme, USERINFO), f"https://hidden.localhost.test:{port}/")
            assert shown.startswith("200 "), shown
            looked_up = [line for line in trace.splitlines() if " addresses, result " in line]
            assert not any("hidden" in line for line in looked_up), looked_up
            assert "tunnel" in trace and is_masked(trace, SECRET)
    with fake_proxy(socks5({})) as fake:
        shown, trace = traced(fake.url("socks5"), "https://no-such-name.invalid/")
        assert shown.startswith("0 ") and "no such host" in shown
        assert any("no-such-name.invalid" in line for line in trace.splitlines() if " addresses, result " in line)
        assert fake.num_connections == 0, "the origin's failure, before a proxy was spoken to"


def test_pickle_and_copy() -> None:
    proxy = Proxy(
        "http://a:b@c.example:1", via="socks5h://d.example", forward=True, connect_headers={"X": "y"}, weight=2
    )
    proxy._engine()
    for again in (pickle.loads(pickle.dumps(proxy)), copy.deepcopy(proxy), copy.copy(proxy), Proxy(proxy)):
        assert again.url == proxy.url and [hop.url for hop in again.chain] == [hop.url for hop in proxy.chain]
        assert (again.forward, again.connect_headers, again.weight) == (True, {"X": "y"}, 2.0)
        assert again._engine()


# ------------------------------------------------------------------------------------------------------------ rotators


def test_feedback_to_the_rotators_own_items(session, site) -> None:
    with fake_proxy(connects()) as good, fake_proxy(answers(*[b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"])) as bad:
        rotator = ProxyRotator([good.url(), bad.url()], strategy="round_robin")
        client = session(proxy=rotator)
        assert [client.get(f"{base(site)}/echo").status_code for _ in range(4)] == [200, 0, 200, 0]
        assert client.get(f"{base(site)}/status/503").status_code == 503
        first, second = rotator.items
        assert (first.failures, second.failures) == (1, 2)
        assert first.success_rate is not None and first.latency > 0 and second.latency is None
        assert second.weight == pytest.approx(0.85**2)
        assert client.get(f"{base(site)}/redirect/2").status_code == 0


def test_feedback_when_raising(session, site, closed_port: int) -> None:
    rotator = ProxyRotator([f"http://127.0.0.1:{closed_port}"])
    client = session(proxy=rotator, raise_on_error=True)
    with pytest.raises(exceptions.ProxyConnectError):
        client.get(f"{base(site)}/echo")
    assert rotator.items[0].failures == 1
    with fake_proxy(connects()) as fake:
        rotator = ProxyRotator([fake.url()])
        with pytest.raises(exceptions.TooManyRedirects):
            session(proxy=rotator, max_redirects=1).get(f"{base(site)}/redirect/3")
        assert rotator.items[0].failures == 0, "that is not the proxy's fault"


def test_feedback_of_a_rotator_of_one_request(session, site) -> None:
    with fake_proxy(connects()) as fake:
        rotator, other = ProxyRotator([fake.url()]), ProxyRotator([fake.url()])
        client = session(proxy=other)
        assert client.get(f"{base(site)}/echo", proxy=rotator).status_code == 200
        assert rotator.items[0].success_rate is not None and other.items[0].success_rate is None
        in_map = ProxyRotator([fake.url()])
        assert session(proxy={"http": in_map}).get(f"{base(site)}/echo").status_code == 200
        assert in_map.items[0].success_rate is not None


def test_retry_on_another_exit(session, site, closed_port: int) -> None:
    with fake_proxy(connects()) as good, fake_proxy(answers(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")) as locked:
        dead = f"http://127.0.0.1:{closed_port}"
        for client_options, arguments in (({"proxy_retries": 3}, {}), ({}, {"proxy_retries": 3})):
            rotator = ProxyRotator([dead, locked.url(), good.url()], strategy="round_robin")
            client = session(proxy=rotator, **client_options)
            response = client.request("POST", f"{base(site)}/echo", data=b"once", **arguments)
            assert response.status_code == 200, response.text
            assert response.request.proxy is rotator.items[2]
            assert [item.failures for item in rotator.items] == [1, 1, 0]
        assert len([seen for seen in site.seen if seen["method"] == "POST"]) == 2
        site.seen.clear()
        rotator = ProxyRotator([dead, locked.url(), good.url()], strategy="round_robin")
        assert session(proxy=rotator).get(f"{base(site)}/echo").error.code == "PROXY_CONNECT", "off by default"
        assert session(proxy=rotator, proxy_retries=1, raise_on_error=True).get(f"{base(site)}/echo").status_code == 200
        all_dead = ProxyRotator([dead, locked.url()], strategy="round_robin")
        with pytest.raises(exceptions.ProxyError):
            session(proxy=all_dead, proxy_retries=9, raise_on_error=True).get(f"{base(site)}/echo")
        assert [item.failures for item in all_dead.items] == [1, 1], "each once"


@pytest.mark.parametrize("raises", [False, True])
def test_a_client_that_is_closed_says_nothing_of_a_proxy(session, raises: bool) -> None:
    """Neither does the proxy rest for it, nor is another asked."""
    asked = threading.Event()

    def hold(connection: socket.socket, fake: FakeProxy) -> None:
        read_head(connection, fake)
        asked.set()
        connection.recv(1)  # the client's end

    with fake_proxy(hold) as one, fake_proxy(hold) as other:
        rotator = ProxyRotator([one.url(), other.url()], strategy="round_robin", cooldown=60)
        client = session(proxy=rotator, proxy_retries=5, raise_on_error=raises)

        def close() -> None:
            asked.wait(10)
            client.client.close()

        thread = threading.Thread(target=close)
        thread.start()
        if raises:
            with pytest.raises(exceptions.ClientClosed) as caught:
                client.get("https://target.example/")
            error: Any = caught.value
        else:
            error = client.get("https://target.example/").error
        thread.join()
        assert isinstance(error, exceptions.ClientClosed) and error.phase in ("connect", "proxy")
        assert [item.failures for item in rotator.items] == [0, 0] and not rotator.resting
        assert len(one.asked) + len(other.asked) == 1


def test_a_rotator_that_fails_leaves_no_open_answer(session, site) -> None:
    class Broken(ProxyRotator):
        def mark_result(self, *_: Any, **__: Any) -> None:
            raise ZeroDivisionError("of the rotator")

    with fake_proxy(connects()) as fake:
        client = session(proxy=Broken([fake.url()]), timeout=10.0)
        request = client.client.build_request("GET", f"{base(site)}/echo")
        seen: list[Any] = []
        genuine = type(client.client)._send

        def note(response: Any) -> Any:
            seen.append(response)
            return response

        async def anote(answer: Any) -> Any:
            return note(await answer)

        def send(*args: Any, **kwargs: Any) -> Any:
            answer = genuine(client.client, *args, **kwargs)
            return note(answer) if client.loop is None else anote(answer)

        client.client._send = send
        with pytest.raises(ZeroDivisionError):
            answer = client.client.send(request, stream=True)
            if client.loop is not None:
                client.loop.run_until_complete(answer)
        assert len(seen) == 1 and seen[0].closed


def test_no_retry_once_something_was_sent(session, site) -> None:
    """A 502 of the origin, an answer that never comes: those are not the exit's to repeat."""
    with fake_proxy(connects()) as one, fake_proxy(connects()) as other:
        rotator = ProxyRotator([one.url(), other.url()], strategy="round_robin")
        client = session(proxy=rotator, proxy_retries=5, timeout={"read": 0.4, "connect": 5})
        assert client.request("POST", f"{base(site)}/status/502", data=b"x").status_code == 502
        assert client.request("POST", f"{base(site)}/stall", data=b"x").status_code in (0, 404, 200)
        assert len([seen for seen in site.seen if seen["method"] == "POST"]) == 2


def test_cool_down(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("tls_requests.models.rotators.time.monotonic", lambda: now[0])
    rotator = ProxyRotator(
        ["http://a.example", "http://b.example"], "round_robin", cooldown=10, max_failures=2, max_cooldown=30
    )
    a, b = rotator.items
    rotator.mark_result(a, False)
    assert rotator.available == [a, b]
    rotator.mark_result(a, False)
    assert rotator.available == [b] and rotator.resting == {a: 10.0}
    assert {rotator.next() for _ in range(6)} == {b}
    rotator.mark_result(a, False)
    assert rotator.resting == {a: 20.0}
    for _ in range(50):
        rotator.mark_result(a, False)
    assert rotator.resting == {a: 30.0}, "bounded"
    rotator.mark_result(b, False)
    rotator.mark_result(b, False)
    assert rotator.next() is b, "none is good: the one whose rest ends first"
    now[0] += 11
    assert rotator.available == [b] and rotator.next() is b
    now[0] += 30
    assert rotator.available == [a, b] and [rotator.next() for _ in range(2)] in ([a, b], [b, a])
    rotator.mark_result(a, False)
    assert rotator.available == [b], "still in a row"
    rotator.mark_result(a, True)
    rotator.mark_result(a, False)
    assert rotator.available == [a, b]
    plain = ProxyRotator(["http://a.example"])
    plain.mark_result(plain.items[0], False)
    assert plain.available == plain.items and plain.resting == {}, "off by default"


def test_sticky_by_key() -> None:
    rotator = ProxyRotator([f"http://p{i}.example" for i in range(10)], cooldown=60, sticky_size=100)
    chosen = {key: rotator.next(key=key) for key in range(50)}
    assert len(set(chosen.values())) > 1
    assert all(rotator.next(key=key) is proxy for key, proxy in chosen.items())
    assert asyncio.run(rotator.anext(key=7)) is chosen[7]
    rotator.mark_result(chosen[7], False)
    moved = rotator.next(key=7)
    assert moved is not chosen[7] and rotator.next(key=7) is moved
    rotator.remove(moved)
    assert rotator.next(key=7) is not moved
    assert rotator.next(key=8, exclude=[rotator.next(key=8)]) is not chosen[8]
    rotator.release(9)
    assert 9 not in rotator._sticky
    for key in range(1000):
        rotator.next(key=key)
    assert len(rotator._sticky) == 100


@pytest.mark.parametrize("strategy", ["random", "round_robin", "weighted"])
def test_exclude(strategy: str) -> None:
    rotator = ProxyRotator(["http://a.example", "http://b.example|9", "http://c.example"], strategy)
    a, b, c = rotator.items
    assert {rotator.next(exclude=[b]) for _ in range(60)} == {a, c}
    assert {rotator.next(exclude=[a, b]) for _ in range(10)} == {c}
    assert rotator.next(exclude=[a, b, c]) in (a, b, c), "if there is another"


def test_sticky_requests(session, site) -> None:
    with fake_proxy(connects()) as one, fake_proxy(connects()) as other:
        rotator = ProxyRotator([one.url(), other.url()], strategy="round_robin")
        client = session(proxy=rotator)
        used = {
            key: {client.get(f"{base(site)}/echo", proxy_key=key).request.proxy for _ in range(4)} for key in "abcd"
        }
        assert all(len(found) == 1 for found in used.values())
        assert set().union(*used.values()) == set(rotator.items)
        assert len({client.get(f"{base(site)}/echo").request.proxy for _ in range(4)}) == 2


def test_low_level_payload(site) -> None:
    from tls_requests import TLSClient

    with fake_proxy(connects()) as fake:
        payload = {
            "requestMethod": "GET",
            "requestUrl": f"{base(site)}/echo",
            "proxyUrl": fake.url(userinfo="a:b@"),
            "connectHeaders": {"X-Mine": ["1", "2"]},
            "isRotatingProxy": True,
        }
        answer = TLSClient.initialize().request(payload)
        assert answer.status == 200, answer.body
        assert fields_of(fake.asked[0])[-2:] == [("X-Mine", "1"), ("X-Mine", "2")]


def test_no_import_without_need() -> None:
    """A client without a proxy does not pay for this part of the package."""
    program = textwrap.dedent("""
        import json, sys, tls_requests
        tls_requests.Client()
        print(json.dumps([name for name in sys.modules if name in ("tls_requests.models.proxies", "urllib.request")]))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == []
