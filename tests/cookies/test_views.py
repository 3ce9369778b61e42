"""The mapping and the jar over the store, side by side with the jar of `requests` and with `http.cookiejar`."""

from __future__ import annotations

import copy
import http.cookiejar
import pickle
import random
import threading
import time
import urllib.request
from collections.abc import ItemsView, KeysView, MutableMapping, ValuesView
from email.message import Message
from http.cookies import SimpleCookie
from types import SimpleNamespace
from typing import Any

import pytest
from requests.cookies import CookieConflictError as TheirConflict
from requests.cookies import RequestsCookieJar as TheirJar

import tls_requests
from tls_requests import _core
from tls_requests.exceptions import CookieConflictError, CookieError, HeaderError
from tls_requests.models.cookies import (
    Cookies,
    RequestsCookieJar,
    cookiejar_from_dict,
    create_cookie,
    merge_cookies,
    morsel_to_cookie,
    remove_cookie_by_name,
)

SOON = int(time.time()) + 3600
URL = "https://www.example.com/dir/page"

# ------------------------------------------------------------------------------------------------- beside requests' jar


def outcome(function: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        result = function(*args, **kwargs)
    except (CookieConflictError, TheirConflict):
        return "conflict"
    except (KeyError, ValueError, TypeError) as error:
        return type(error)
    return show(result) if isinstance(result, http.cookiejar.Cookie) else result


def show(cookie: http.cookiejar.Cookie) -> dict[str, Any]:
    return dict(vars(cookie))


def state(jar: Any) -> list[tuple[Any, ...]]:
    return sorted((c.domain, c.path, c.name, c.value, c.secure, c.expires, c.discard, c.domain_specified) for c in jar)


def forget_empty(jar: TheirJar) -> None:
    """Theirs knows a domain, and its place in the order, still when its last cookie is gone."""
    for domain, paths in list(jar._cookies.items()):
        jar._cookies[domain] = {path: cookies for path, cookies in paths.items() if cookies}
        if not jar._cookies[domain]:
            del jar._cookies[domain]


NAMES = ["a", "b", "c"]
DOMAINS = ["", "example.com", ".example.org", "sub.example.com"]
PATHS = ["/", "/x"]


def random_step(chance: random.Random) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    name, domain, path = chance.choice(NAMES), chance.choice(DOMAINS), chance.choice(PATHS)
    some = {"domain": chance.choice([None, domain]), "path": chance.choice([None, path])}
    return chance.choice(
        [
            ("set", (name, str(chance.random())), {"domain": domain, "path": path}),
            ("set", (name, '"quo\\"ted"'), {"domain": domain, "secure": True, "expires": SOON}),
            ("set", (name, None), some),
            ("__setitem__", (name, "item"), {}),
            ("__getitem__", (name,), {}),
            ("__delitem__", (name,), {}),
            ("__contains__", (name,), {}),
            ("get", (name,), {"default": "none", **some}),
            ("get_dict", (), some),
            ("list_domains", (), {}),
            ("list_paths", (), {}),
            ("multiple_domains", (), {}),
            ("clear", (domain,), {}),
            ("clear", (domain, path), {}),
            ("clear", (domain, path, name), {}),
            ("clear", (None, path), {}),
            ("clear", (None, None, name), {}),
            ("clear_session_cookies", (), {}),
            ("update", ({name: "updated"},), {}),
            ("pop", (name, "default"), {}),
            ("__len__", (), {}),
        ]
    )


# After a deletion their order depends on what was there before, ours on the oldest cookie of each domain that is.
DELETES = {"__delitem__", "clear", "clear_session_cookies", "pop"}
ORDERED = {"get_dict", "list_domains", "list_paths"}


@pytest.mark.parametrize("deletes", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_as_the_jar_of_requests(seed: int, deletes: bool) -> None:
    chance = random.Random(seed)
    ours, theirs = RequestsCookieJar(), TheirJar()
    for _ in range(60):
        name, args, kwargs = random_step(chance)
        if name in (ORDERED if deletes else DELETES) or (not deletes and args[-1:] == (None,)):
            continue
        got, expected = (outcome(getattr(jar, name), *args, **kwargs) for jar in (ours, theirs))
        forget_empty(theirs)
        assert got == expected, (name, args, kwargs)
        assert state(ours) == state(theirs), (name, args, kwargs)
        order: Any = sorted if deletes else list
        assert order(ours.items()) == order(theirs.items())
        assert order(ours.keys()) == order(theirs.keys())
        assert order(ours.values()) == order(theirs.values())
        assert type(ours.keys()) is type(ours.items()) is type(ours.values()) is list
    assert state(ours.copy()) == state(theirs.copy()) == state(pickle.loads(pickle.dumps(ours)))
    assert state(copy.deepcopy(ours)) == state(theirs)


def test_equal_as_mappings() -> None:
    for cls in (RequestsCookieJar, TheirJar):
        first, second = cls(), cls()
        first.set("a", "1")
        second.set("a", "1", domain="example.com")
        assert first == second and first == {"a": "1"} and first != {"a": "2"}


def test_the_jar_is_a_jar_of_the_standard_library() -> None:
    jar = RequestsCookieJar()
    policy = http.cookiejar.DefaultCookiePolicy(strict_domain=True)
    assert isinstance(jar, http.cookiejar.CookieJar) and isinstance(jar, MutableMapping)
    jar.set_policy(policy)
    assert jar.get_policy() is policy
    assert RequestsCookieJar(policy).get_policy() is policy
    assert pickle.loads(pickle.dumps(jar)).get_policy().strict_domain
    with pytest.raises(ValueError):
        merge_cookies({}, {"a": "1"})  # type: ignore[arg-type]


class StandardResponse:
    def __init__(self, *values: str) -> None:
        self.message = Message()
        for value in values:
            self.message["Set-Cookie"] = value

    def info(self) -> Message:
        return self.message


def test_urllib_works_with_the_jar() -> None:
    """extract_cookies, make_cookies and add_cookie_header of the base class, on the engine's store."""
    ours, theirs = RequestsCookieJar(), http.cookiejar.CookieJar()
    for jar in (ours, theirs):
        request = urllib.request.Request("http://www.example.com/dir/page")
        jar.extract_cookies(
            StandardResponse("a=1; Path=/", "b=2; Domain=.example.com", "c=3; Max-Age=60; HttpOnly"), request
        )
        jar.extract_cookies(StandardResponse("a=; Max-Age=0; Path=/"), request)
    assert state(ours) == state(theirs)
    headers = []
    for jar in (ours, theirs):
        request = urllib.request.Request("http://www.example.com/dir/page")
        jar.add_cookie_header(request)
        headers.append(sorted(request.get_header("Cookie").split("; ")))
    assert headers[0] == headers[1] == ["b=2", "c=3"]
    assert set(ours._store.header_for("http://www.example.com/dir/page").split("; ")) == {"b=2", "c=3"}


# ---------------------------------------------------------------------------------------------------------- the mapping


def test_sources() -> None:
    standard = http.cookiejar.CookieJar()
    standard.set_cookie(create_cookie("a", "1", domain="example.com", path="/x", secure=True, expires=SOON))
    for source in (standard, merge_cookies(RequestsCookieJar(), standard)):
        cookies = Cookies(source)
        (cookie,) = cookies.cookiejar
        assert show(cookie) == show(next(iter(standard))) and cookies.cookiejar is not source
    assert Cookies({"a": 1, "b": True, "c": None, b"d": b"\xc3\xa9"}) == {"a": "1", "b": "True", "d": "é"}
    assert Cookies([("a", "1"), ("b",), ("c", "2", "3"), "xy", None]) == {"a": "1", "c": "2"}
    assert Cookies((("a", "1"),)) == Cookies({("a", "1")}) == {"a": "1"}
    assert len(Cookies(None)) == len(Cookies()) == len(Cookies(5)) == 0
    shared = Cookies({"a": "1"})
    assert Cookies(shared).cookiejar is shared.cookiejar


def test_the_mapping() -> None:
    c = Cookies({"a": "1", "b": "2"})
    assert isinstance(c, MutableMapping) and c and not Cookies()
    assert c["missing"] == "" and "missing" not in c and "a" in c
    assert c.get("missing") is None and c.get("missing", "x") == "x"
    assert (list(c), len(c)) == (["a", "b"], 2)
    assert isinstance(c.keys(), KeysView) and isinstance(c.items(), ItemsView) and isinstance(c.values(), ValuesView)
    assert (list(c.items()), list(c.values()), c.keys() & {"a", "z"}) == ([("a", "1"), ("b", "2")], ["1", "2"], {"a"})
    items = c.items()
    c["d"] = "4"
    assert ("d", "4") in items and len(items) == 3 and "4" in c.values()
    assert dict(c) == {"a": "1", "b": "2", "d": "4"} and {**c} == dict(c)
    del c["d"]
    del c["d"]
    assert c.set("e", "5", domain="example.com").domain == "example.com"
    assert c.get("e", domain="example.com") == "5" and c.get("e", domain="other.com") is None
    assert c.set("e", None) is None and "e" not in c
    c["a"] = None
    assert c == {"b": "2"} and c != {"b": "3"} and c != 5
    assert c.pop("b") == "2" and c.pop("b", "x") == "x"
    with pytest.raises(KeyError):
        c.pop("b")
    assert c.setdefault("n", "1") == "1" == c.setdefault("n", "2")
    c.update({"n": "3"})
    c.update(None)
    assert c["n"] == "3" and repr(c).startswith("<Cookies[Cookie(version=0, name='n', value='3'")
    assert c.popitem() == ("n", "3") and repr(c) == "<Cookies[]>"
    with pytest.raises(CookieError, match=r"unexpected keyword arguments: \['foo'\]"):
        c.set("a", "1", foo=1)


def test_duplicate_names() -> None:
    c = Cookies({"a": "1"})
    c.set("a", "2", domain="example.com")
    assert list(c) == ["a", "a"] and list(c.items()) == [("a", "1"), ("a", "2")] and list(c.values()) == ["1", "2"]
    assert "a" in c and "a" in c.cookiejar and len(c) == 2
    assert [cookie.value for cookie in c.cookiejar] == ["1", "2"]
    for read in (lambda: c["a"], lambda: c.get("a"), lambda: c.cookiejar["a"]):
        with pytest.raises(CookieConflictError, match="There are multiple cookies with name, 'a'"):
            read()
    assert c.get("a", domain="example.com") == "2" and c.get("a", domain="") == "1"
    assert c.get_cookie_header(SimpleNamespace(url="https://example.com/")) == "a=1; a=2"
    c.delete("a", domain="")
    assert c["a"] == "2"


def test_clear() -> None:
    def make() -> Cookies:
        c = Cookies({"everywhere": "1"})
        for path in ("/", "/x"):
            c.set("a", "1", domain="example.com", path=path)
        c.set("b", "1", domain="other.com")
        return c

    for args, left in (((), 0), (("example.com",), 2), (("example.com", "/x"), 3), ((None, "/x"), 0)):
        c = make()
        c.clear(*args)
        assert len(c) == left
    with pytest.raises(KeyError):
        make().clear("missing.com")


def test_a_domain_and_a_host_are_two() -> None:
    c = Cookies()
    c.cookiejar._store.receive(URL, "a=host; Path=/")
    c.cookiejar._store.receive(URL, "a=domain; Path=/; Domain=www.example.com")
    assert [cookie.domain for cookie in c.cookiejar] == ["www.example.com", ".www.example.com"]
    assert [cookie.domain_specified for cookie in c.cookiejar] == [False, True]
    c.clear("www.example.com")
    assert [cookie.value for cookie in c.cookiejar] == ["domain"]
    # A caller's domain without a dot goes to what is below it too, as in the standard library.
    c.set("a", "mine", domain="www.example.com")
    assert c["a"] == "mine" and c.cookiejar._store.header_for("https://x.www.example.com/") == "a=mine"
    c.cookiejar._store.receive(URL, "a=host; Path=/")
    assert [cookie.domain for cookie in c.cookiejar] == ["www.example.com"] * 2
    c.delete("a")
    assert len(c) == 0


def test_what_the_server_changes_is_seen() -> None:
    """Cookies as they were set stand for the store's only as long as they say the same."""
    c = Cookies()
    given = c.set("a", "1", domain="www.example.com", path="/", expires=SOON, comment="mine", rest={"x": "y"})
    assert next(iter(c.cookiejar)) is given
    c.cookiejar._store.receive(URL, "a=1; Path=/; Domain=www.example.com; Secure")
    (cookie,) = c.cookiejar
    assert cookie is not given and cookie.secure and cookie.expires is None and cookie.comment is None
    c.cookiejar._store.receive(URL, "a=; Max-Age=0; Path=/; Domain=www.example.com")
    assert len(c) == 0 and not c.cookiejar._given
    for number in range(1000):
        c["n"] = str(number)
        del c["n"]
    assert len(c.cookiejar._given) < 20
    changed = c.set("b", "1")
    changed.value = "2"  # of no effect until it is set again
    assert c["b"] == "1"
    c.cookiejar.set_cookie(changed)
    assert c["b"] == "2"


def test_attributes_in_both_directions() -> None:
    c = Cookies()
    c.cookiejar._store.receive(URL, "a=1; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=60")
    (cookie,) = c.cookiejar
    assert cookie.secure and cookie.has_nonstandard_attr("HttpOnly") and not cookie.discard
    assert cookie.get_nonstandard_attr("SameSite") == "Strict" and 0 < cookie.expires - time.time() <= 60
    other = Cookies(c.cookiejar.copy())
    assert other.cookiejar._store.items() == c.cookiejar._store.items()
    c = Cookies()
    c.set("b", "2", rest={"HTTPONLY": "", "samesite": "none"})
    assert c.cookiejar._store.items() == [("b", "2", "", "/", 0, 2 | 32)]


def test_a_cookie_without_a_name() -> None:
    c = Cookies()
    c.cookiejar._store.receive(URL, "alone; Path=/")
    (cookie,) = c.cookiejar
    assert (cookie.name, cookie.value, c["alone"]) == ("alone", None, "")
    assert c.cookiejar._store.header_for(URL) == "alone" == c.copy().cookiejar._store.header_for(URL)
    del c["alone"]
    assert len(c) == 0


def test_expired_cookies() -> None:
    c = Cookies()
    for expires in (0, 1, int(time.time()) - 1):
        c["a"] = "1"
        assert c.set("a", "2", expires=expires).expires == expires
        assert len(c) == 0 and "a" not in c and list(c) == []
    c.set("s", "1")
    c.set("p", "1", expires=SOON, discard=False)
    c.cookiejar.clear_session_cookies()
    assert list(c) == ["p"]


def test_domains_of_other_scripts() -> None:
    c = Cookies()
    c.set("a", "1", domain="bücher.example")
    assert c.cookiejar._store.header_for("https://www.xn--bcher-kva.example/") == "a=1"
    assert next(iter(c.cookiejar)).domain == "bücher.example"
    with pytest.raises(CookieError, match="IDNA"):
        c.set("a", "1", domain="b\u00fc\u2028.example")


@pytest.mark.parametrize(
    "name, value", [("a;b", "1"), ("a=b", "1"), ("a\r\n", "1"), ("a", "1;2"), ("a", "1\n"), ("a", "\0")]
)
def test_what_must_not_be_sent(name: str, value: str) -> None:
    with pytest.raises(HeaderError):
        Cookies().set(name, value)


def test_copies() -> None:
    c = Cookies({"a": "1"})
    c.set("b", "2", domain=".example.com", path="/x", expires=SOON, comment="kept")
    c.cookiejar._store.receive(URL, "r=\xe9; Path=/")
    for twin in (c.copy(), copy.copy(c), copy.deepcopy(c), pickle.loads(pickle.dumps(c)), Cookies(c.cookiejar)):
        assert twin.cookiejar is not c.cookiejar and type(twin) is Cookies
        assert twin.cookiejar._store.items() == c.cookiejar._store.items()
        assert [show(cookie) for cookie in twin.cookiejar] == [show(cookie) for cookie in c.cookiejar]
        twin["a"] = "changed"
    assert c["a"] == "1"


def test_bytes_that_are_no_utf8_survive_a_copy() -> None:
    store = _core.CookieJar()
    store.receive(URL, b"a=\xe9; Path=/")  # type: ignore[arg-type]
    copied = RequestsCookieJar(store=store).copy()._store
    assert copied.items()[0][1] == "\xe9"
    both = _core.CookieJar()
    both.update(copied)
    both.update(both)
    assert both.items() == store.items()
    with pytest.raises(TypeError):
        both.update({})  # type: ignore[arg-type]


def test_helpers() -> None:
    morsel = SimpleCookie("a=1; Max-Age=60; Path=/x; Domain=example.com; Secure; HttpOnly")["a"]
    cookie = morsel_to_cookie(morsel)
    assert (cookie.name, cookie.path, cookie.domain, cookie.secure, cookie.discard) == (
        "a",
        "/x",
        "example.com",
        True,
        False,
    )
    assert abs(cookie.expires - time.time() - 60) < 5
    morsel["max-age"] = "xx"
    with pytest.raises(CookieError, match="max-age: xx must be integer"):
        morsel_to_cookie(morsel)
    morsel["max-age"] = ""
    morsel["expires"] = "Thu, 01-Jan-2035 00:00:00 GMT"
    assert morsel_to_cookie(morsel).expires == 2051222400
    c = Cookies()
    assert c.set("ignored", morsel).name == "a"
    for jar in (RequestsCookieJar(), http.cookiejar.CookieJar()):
        assert cookiejar_from_dict({"a": "1", "b": "2"}, jar) is jar
        cookiejar_from_dict({"a": "other"}, jar, overwrite=False)
        merge_cookies(jar, {"a": "other", "c": "3"})
        assert {cookie.name: cookie.value for cookie in jar} == {"a": "1", "b": "2", "c": "3"}
        merge_cookies(jar, cookiejar_from_dict({"a": "jar"}))
        assert {cookie.name: cookie.value for cookie in jar}["a"] == "jar"
        remove_cookie_by_name(jar, "a", path="/other")
        assert len(jar) == 3
        remove_cookie_by_name(jar, "a", domain="", path="/")
        assert len(jar) == 2


def test_extracting() -> None:
    c = Cookies()
    response = tls_requests.Response(200, headers=[("set-cookie", "a=1, x; Path=/"), ("set-cookie", "b=2; Domain=com")])
    request = SimpleNamespace(url=URL)
    c.extract_cookies(response, request)
    assert c == {"a": "1, x"} and c.get_cookie_header(request) == "a=1, x"
    assert Cookies().get_cookie_header(request) is None


def test_many_threads() -> None:
    """One jar, written and read by threads and by the views of two clients."""
    c = Cookies()
    clients = [tls_requests.Client(cookies=c) for _ in range(2)]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(200):
                c.set(f"n{number}", str(turn), domain="example.com")
                assert c[f"n{number}"] == str(turn)
                clients[turn % 2].cookies.set("shared", str(turn))
                list(c.items()), len(c), c.copy(), c.get_cookie_header(SimpleNamespace(url=URL))
                c.cookiejar._store.receive(URL, f"r{number}={turn}")
                c.delete("shared")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in threads)
    c.delete("shared")
    assert len(c) == 8
    for client in clients:
        client.close()
