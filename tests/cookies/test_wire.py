"""Cookies between requests, over real connections, of both clients."""

from __future__ import annotations

import http.cookiejar
import os
import subprocess
import sys
import threading
from typing import Any
from urllib.parse import urlencode

import pytest

import tls_requests
from tls_requests.models.cookies import create_cookie


def ask(base: str, *values: str, path: str = "/", to: str | None = None) -> str:
    query = [("set", value) for value in values] + ([("to", to)] if to is not None else [])
    return f"{base}{path}?{urlencode(query)}"


# --------------------------------------------------------------------------------------------------------- the client's


def test_kept_and_sent(opener: Any, site: Any) -> None:
    client = opener()
    opener.get(client, ask(site.base, "a=1", "b=2; Path=/x", "c=3; Path=/x/y", "gone=4; Max-Age=0"))
    assert {c.name: (c.value, c.path, c.domain) for c in client.cookies.cookiejar} == {
        "a": ("1", "/", "127.0.0.1"),
        "b": ("2", "/x", "127.0.0.1"),
        "c": ("3", "/x/y", "127.0.0.1"),
    }
    for path in ("/", "/x", "/x/y/z", "/xy"):
        opener.get(client, f"{site.base}{path}")
    opener.get(client, f"{site.other}/x")
    assert site.cookies()[1:] == ["a=1", "b=2; a=1", "c=3; b=2; a=1", "a=1", ""]
    opener.get(client, ask(site.base, "a=; Max-Age=0", "b=new; Path=/x"))
    opener.get(client, f"{site.base}/x")
    assert site.cookies()[-1] == "b=new"


def test_both_of_a_name_go_out(opener: Any, site: Any) -> None:
    client = opener()
    opener.get(client, ask(site.base, "a=root", "a=deep; Path=/x"))
    opener.get(client, f"{site.base}/x")
    assert site.cookies()[-1] == "a=deep; a=root"
    assert sorted(client.cookies.values()) == ["deep", "root"] and list(client.cookies) == ["a", "a"]
    with pytest.raises(tls_requests.CookieConflictError):
        client.cookies["a"]


@pytest.mark.parametrize("kind", ["pairs", "standard", "jar", "shared"])
def test_given_to_the_client(opener: Any, site: Any, kind: str) -> None:
    jar = http.cookiejar.CookieJar()
    jar.set_cookie(create_cookie("a", "1", domain="127.0.0.1"))
    jar.set_cookie(create_cookie("b", "2", domain="example.com"))
    jar.set_cookie(create_cookie("c", "3"))
    sources = {
        "pairs": [("a", "1"), ("c", "3")],
        "standard": jar,
        "jar": tls_requests.Cookies(jar).cookiejar,
        "shared": tls_requests.Cookies(jar),
    }
    client = opener(cookies=sources[kind])
    opener.get(client, ask(site.base, "new=1"))
    assert sorted(site.cookies()[0].split("; ")) == ["a=1", "c=3"]
    assert ("new" in list(tls_requests.Cookies(sources[kind]))) == (kind == "shared")
    opener.get(client, f"{site.other}/")
    assert site.cookies()[1] == ("a=1; c=3" if kind == "pairs" else "c=3")


def test_clients_that_share(opener: Any, site: Any) -> None:
    cookies = tls_requests.Cookies()
    first, second = opener(cookies=cookies), opener(cookies=cookies)
    opener.get(first, ask(site.base, "a=1"))
    opener.get(second, site.base)
    assert site.cookies() == ["", "a=1"] and cookies["a"] == first.cookies["a"] == second.cookies["a"] == "1"
    third = opener()
    third.cookies = first.cookies
    opener.get(third, ask(site.base, "a=; Max-Age=0"))
    assert site.cookies()[-1] == "a=1" and not cookies


def test_without_the_jar(opener: Any, site: Any) -> None:
    client = opener(withoutCookieJar=True)
    opener.get(client, ask(site.base, "a=1", to="/next"))
    response = opener.get(client, site.base, cookies={"own": "1"})
    assert site.cookies() == ["", "", "own=1"] and not client.cookies and response.cookies["own"] == "1"


# --------------------------------------------------------------------------------------------------- those of a request


def test_of_one_request(opener: Any, site: Any) -> None:
    client = opener(cookies={"client": "1", "both": "client"})
    opener.get(client, ask(site.base, "server=1", "deep=server; Path=/x"))
    jar = http.cookiejar.CookieJar()
    jar.set_cookie(create_cookie("path", "1", domain="127.0.0.1", path="/x/y"))
    jar.set_cookie(create_cookie("away", "1", domain="example.com"))
    for cookies, expected in (
        ({"own": "1"}, "deep=server; client=1; both=client; server=1; own=1"),
        ({"both": "own", "server": "own"}, "deep=server; client=1; both=own; server=own"),
        ({"deep": "own"}, "deep=server; client=1; both=client; server=1; deep=own"),
        (tls_requests.Cookies(jar), "path=1; deep=server; client=1; both=client; server=1"),
        (jar, "path=1; deep=server; client=1; both=client; server=1"),
        ([("own", "1")], "deep=server; client=1; both=client; server=1; own=1"),
    ):
        opener.get(client, f"{site.base}/x/y", cookies=cookies)
        assert site.cookies()[-1] == expected
    opener.get(client, f"{site.base}/")
    assert site.cookies()[-1] == "client=1; both=client; server=1"


def test_of_one_request_on_other_hosts(opener: Any, site: Any) -> None:
    """Those without a domain stay on the first host; those with one go where they belong."""
    client = opener(cookies={"client": "1"})
    jar = tls_requests.Cookies({"own": "1"})
    jar.set("there", "1", domain="localhost")
    opener.get(client, ask(site.base, to=f"{site.other}/next"), cookies=jar)
    assert site.cookies() == ["client=1; own=1", "client=1; there=1"]


def test_a_cookie_header_by_hand(opener: Any, site: Any) -> None:
    client = opener(cookies={"client": "1"})
    opener.get(client, site.base, headers={"Cookie": "hand=1"}, cookies={"own": "1"})
    assert site.cookies() == ["hand=1; client=1; own=1"]


def test_a_request_that_was_changed(opener: Any, site: Any) -> None:
    """What the request shows before it is sent is what is sent."""
    client = opener(cookies={"a": "1", "b": "2", "c": "3"})
    opener.get(client, ask(site.base, "server=1"))
    request = client.build_request("GET", ask(site.base, "later=1"), cookies={"own": "1"})
    assert dict(request.cookies) == {"a": "1", "b": "2", "c": "3", "server": "1", "own": "1"}
    del request.cookies["a"], request.cookies["server"]
    request.cookies["b"] = "changed"
    opener.run(client.send(request))
    assert site.cookies()[-1] == "b=changed; c=3; own=1"
    assert client.cookies == {"a": "1", "b": "2", "c": "3", "server": "1", "later": "1"}

    def drop(request: tls_requests.Request) -> None:
        request.cookies.clear()

    other = opener(cookies={"a": "1"}, hooks={"request": [drop]})
    opener.get(other, ask(site.base, "b=1"))
    assert site.cookies()[-1] == "" and other.cookies == {"a": "1", "b": "1"}


# ------------------------------------------------------------------------------------------------------------ redirects


def test_each_hop_counts(opener: Any, site: Any) -> None:
    client = opener()
    last = ask(site.base, "d=4", path="/last")
    third = ask(site.base, "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "c=3; Path=/last", path="/third", to=last)
    second = ask(site.base, "a=; Max-Age=0", "b=2", path="/second", to=third)
    response = opener.get(client, ask(site.base, "a=1", "b=1", to=second))
    assert site.cookies() == ["", "a=1; b=1", "b=2", "c=3"]
    assert dict(response.cookies) == {"c": "3", "d": "4"}
    assert [dict(hop.cookies) for hop in response.history][:2] == [{"a": "1", "b": "1"}, {"b": "2"}]
    assert dict(client.cookies) == {"c": "3", "d": "4"}


def test_the_cookie_of_the_first_hop_is_there_at_the_end(opener: Any, site: Any) -> None:
    response = opener.get(opener(), ask(site.base, "foo=bar; HttpOnly; Path=/", to="/next"), cookies={"sent": "1"})
    assert response.cookies["foo"] == "bar" and response.cookies["sent"] == "1"
    cookies = {cookie.name: cookie for cookie in response.cookies.cookiejar}
    assert cookies["foo"].has_nonstandard_attr("HttpOnly") and cookies["foo"].domain == "127.0.0.1"
    assert cookies["sent"].domain == "127.0.0.1" and not cookies["sent"].domain_specified


def test_attributes_of_what_was_sent(opener: Any, site: Any) -> None:
    """A cookie of an earlier answer keeps its attributes; one that another's deletion does not mean still applies."""
    client = opener(cookies={"mine": "1"})
    opener.get(client, ask(site.base, "a=1; Path=/x; HttpOnly; Max-Age=60", "a=2", "b=3"))
    response = opener.get(client, ask(site.base, "b=; Max-Age=0; Path=/other", path="/x"), cookies={"own": "1"})
    assert site.cookies()[-1] == "a=1; mine=1; a=2; b=3; own=1"
    assert dict(response.cookies) == {"a": "1", "mine": "1", "b": "3", "own": "1"}
    cookies = {cookie.name: cookie for cookie in response.cookies.cookiejar}
    assert cookies["a"].path == "/x" and cookies["a"].expires and cookies["a"].has_nonstandard_attr("HttpOnly")
    assert {cookie.domain for cookie in cookies.values()} == {"127.0.0.1"}
    response = opener.get(client, ask(site.base, "b=; Max-Age=0", path="/x"))
    assert "b" not in response.cookies and "b" not in client.cookies


def test_hops_to_another_host(opener: Any, site: Any) -> None:
    client = opener()
    back = ask(site.base, path="/back")
    away = ask(site.other, "b=2", "x=1; Domain=127.0.0.1", "a=stolen; Domain=.127.0.0.1", path="/away", to=back)
    response = opener.get(client, ask(site.base, "a=1", to=away))
    assert site.cookies() == ["", "", "a=1"]
    assert dict(response.cookies) == {"a": "1"}
    assert {(c.name, c.domain) for c in client.cookies.cookiejar} == {("a", "127.0.0.1"), ("b", "localhost")}


def test_not_followed(opener: Any, site: Any) -> None:
    client = opener(follow_redirects=False)
    response = opener.get(client, ask(site.base, "a=1", to="/next"), cookies={"own": "1"})
    assert response.next is not None and dict(response.next.cookies) == {"a": "1", "own": "1"}
    opener.run(client.send(response.next))
    assert sorted(site.cookies()[-1].split("; ")) == ["a=1", "own=1"]


# ----------------------------------------------------------------------------------------------------------- many of us


def test_one_jar_of_many_clients_and_threads(site: Any) -> None:
    cookies = tls_requests.Cookies()
    clients = [tls_requests.Client(cookies=cookies, timeout=20) for _ in range(4)]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(25):
                response = clients[number].get(ask(site.base, f"n{number}={turn}; Path=/"))
                assert response.cookies[f"n{number}"] == str(turn) == cookies[f"n{number}"]
                cookies.set(f"mine{number}", str(turn), domain="127.0.0.1")
                list(cookies.items()), cookies.copy()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for client in clients:
        client.close()
    assert not failures
    assert dict(cookies) == {f"{name}{number}": "24" for name in ("n", "mine") for number in range(4)}


CLIENTS = """
import resource, sys
import tls_requests
def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()
make = {
    "none": lambda: tls_requests.Client(),
    "given": lambda: tls_requests.Client(cookies={"session": "0123456789abcdef"}),
    "async": lambda: tls_requests.AsyncClient(cookies={"session": "0123456789abcdef"}),
}[sys.argv[1]]
first = make()
before = rss()
clients = [make() for _ in range(10000)]
for number, client in enumerate(clients):
    client._jar.set("number", str(number), "example.com")
print((rss() - before) // 10000)
assert all(client.cookies["number"] == str(number) for number, client in enumerate(clients))
"""


@pytest.mark.parametrize("kind", ["none", "given", "async"])
def test_ten_thousand_clients_with_jars_of_their_own(kind: str) -> None:
    """Memory of the process, not of Python's allocator alone: 4 KB each at most."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", CLIENTS, kind], capture_output=True, text=True, timeout=100, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 4096
