"""RFC 6265bis, case by case: what a server says, and what goes back to it or to others."""

from __future__ import annotations

import time

import pytest

from tls_requests import _core

HOME = "https://www.example.com/dir/page"
YEAR = time.gmtime().tm_year


def sent(pairs: list[tuple[str, str]], url: str) -> str:
    jar = _core.CookieJar()
    for origin, set_cookie in pairs:
        jar.receive(origin, set_cookie)
    return jar.header_for(url)


# Set-Cookie of HOME, what goes back to HOME
ONE = [
    # --- names and values
    ("a=b", "a=b"),
    ("a=b;", "a=b"),
    ("a=b; ; ;", "a=b"),
    ("a", "a"),
    ("a;", "a"),
    ("=b", "b"),
    ("a=", "a="),
    ("==b", "=b"),
    ("a==b", "a==b"),
    ("a=b=c", "a=b=c"),
    (" \t a \t = \t b \t ", "a=b"),
    ("a b = c d", "a b=c d"),
    ('a="b c"', 'a="b c"'),
    ('a="b', 'a="b'),
    ('a="b;c"', 'a="b'),
    ("a=b,c=d", "a=b,c=d"),
    ("a=b; c=d", "a=b"),
    ("A=b", "A=b"),
    ("a=%20%3b", "a=%20%3b"),
    ("a[0]={x:1}", "a[0]={x:1}"),
    ("a=\xe9", "a=\xe9"),
    ("\U0001f36a=\U0001f36a", "\U0001f36a=\U0001f36a"),
    ("$Version=1", "$Version=1"),
    ("", ""),
    ("=", ""),
    (" = ", ""),
    (";", ""),
    ("; Path=/", ""),
    ("a\tb=c\td", "a\tb=c\td"),
    *((f"a{chr(code)}=b", "") for code in (0, 1, 8, 10, 11, 13, 31, 127)),
    *((f"a=b{chr(code)}c", "") for code in (0, 1, 8, 10, 11, 13, 31, 127)),
    ("a=b; x=\x01", ""),
    ("a=b; Path=/\x00", ""),
    # --- attributes: names in any case, the last one counts, unknown ones do not
    ("a=b; SECURE; HTTPONLY; PATH=/dir; unknown; k=v", "a=b"),
    ("a=b; Secure=false", "a=b"),
    ("a=b ; secure ;path = /dir ", "a=b"),
    ("a=b;Path=/other", ""),
    ("a=b; Path=/other; Path=/dir", "a=b"),
    ("a=b; Path=/dir; Path=/other", ""),
    ("a=b; Path=/other; Path=", "a=b"),
    ("a=b; Path=/other; Path=relative", "a=b"),
    ('a=b; Path="/dir"', "a=b"),
    ("a=b; Path", "a=b"),
    ("a=b; Path=" + "/x" * 600, "a=b"),
    # --- paths
    ("a=b; Path=/", "a=b"),
    ("a=b; Path=/dir", "a=b"),
    ("a=b; Path=/dir/", "a=b"),
    ("a=b; Path=/di", ""),
    ("a=b; Path=/DIR", ""),
    ("a=b; Path=/dir/page", "a=b"),
    ("a=b; Path=/dir/page/", ""),
    ("a=b; Path=/dir/pag", ""),
    ("a=b; Path=//dir", ""),
    # --- domains
    ("a=b; Domain=www.example.com", "a=b"),
    ("a=b; Domain=.www.example.com", "a=b"),
    ("a=b; Domain=example.com", "a=b"),
    ("a=b; Domain=.example.com", "a=b"),
    ("a=b; Domain=EXAMPLE.COM", "a=b"),
    ("a=b; Domain=..example.com", ""),
    ("a=b; Domain=example.com.", ""),
    ("a=b; Domain=.com", ""),
    ("a=b; Domain=com", ""),
    ("a=b; Domain=ple.com", ""),
    ("a=b; Domain=xexample.com", ""),
    ("a=b; Domain=sub.www.example.com", ""),
    ("a=b; Domain=other.com", ""),
    ("a=b; Domain= ; Path=/", "a=b"),
    ("a=b; Domain=other.com; Domain=example.com", "a=b"),
    ("a=b; Domain=example.com; Domain=other.com", ""),
    ('a=b; Domain="example.com"', ""),
    ("a=b; Domain=https://example.com", ""),
    ("a=b; Domain=example.com/", ""),
    ("a=b; Domain=m\xfcller.example.com", ""),
    ("a=b; Domain=" + "x" * 300, ""),
    ("a=b; Domain=" + "x" * 1100, "a=b"),  # past 1,024 bytes the attribute is none
    # --- how long
    ("a=b; Max-Age=60", "a=b"),
    ("a=b; Max-Age=0", ""),
    ("a=b; Max-Age=-60", ""),
    ("a=b; Max-Age=060", "a=b"),
    ("a=b; Max-Age=6.5", "a=b"),
    ("a=b; Max-Age=abc", "a=b"),
    ("a=b; Max-Age=0; Max-Age=60", "a=b"),
    ("a=b; Max-Age=0; Expires=Mon, 01 Jan 2035 00:00:00 GMT", ""),
    ("a=b; Max-Age=60; Expires=Mon, 01 Jan 1990 00:00:00 GMT", "a=b"),
    ("a=b; Max-Age=" + "9" * 400, "a=b"),
    ("a=b; Max-Age=-" + "9" * 400, ""),
    ("a=b; Expires=Mon, 01 Jan 1990 00:00:00 GMT", ""),
    ("a=b; Expires=Mon, 01 Jan 1990 00:00:00 GMT; Expires=Mon, 01 Jan 2035 00:00:00 GMT", "a=b"),
    ("a=b; Expires=never", "a=b"),
    ("a=b; Expires=", "a=b"),
    ("a=b; Expires", "a=b"),
    # --- SameSite: no page, so always the first party; None asks for Secure
    ("a=b; SameSite=Lax", "a=b"),
    ("a=b; SameSite=strict", "a=b"),
    ("a=b; SameSite=None", ""),
    ("a=b; SameSite=None; Secure", "a=b"),
    ("a=b; SameSite=Other", "a=b"),
    ("a=b; SameSite=None; SameSite=Lax", "a=b"),
    # --- prefixes, in any case
    ("__Secure-a=b", ""),
    ("__Secure-a=b; Secure", "__Secure-a=b"),
    ("__sEcUrE-a=b", ""),
    ("__Secure-a=b; Secure; Domain=example.com", "__Secure-a=b"),
    ("__Host-a=b; Path=/", ""),
    ("__Host-a=b; Secure", ""),
    ("__Host-a=b; Secure; Path=/", "__Host-a=b"),
    ("__Host-a=b; Secure; Path=/dir", ""),
    ("__Host-a=b; Secure; Path=/; Domain=www.example.com", ""),
    ("__Host-a=b; Secure; Path=/; Domain=", "__Host-a=b"),
    ("__HOST-a=b; Secure", ""),
    ("__Hosta=b", "__Hosta=b"),
    ("__Secure-", ""),  # no name: it would look as if it had one
    ("=__Secure-a=b; Secure", ""),
    ("=__host-a=b; Secure; Path=/", ""),
    ("= __Host-a; Secure; Path=/", ""),
    # --- how large
    ("a=" + "b" * 4095, "a=" + "b" * 4095),
    ("a=" + "b" * 4096, ""),
    ("a" * 4096 + "=", "a" * 4096 + "="),
    ("a" * 4097 + "=", ""),
    ("a=b; x=" + "y" * 100000, "a=b"),
]


@pytest.mark.parametrize("set_cookie, expected", ONE, ids=[repr(case[0][:60]) for case in ONE])
def test_one_cookie(set_cookie: str, expected: str) -> None:
    assert sent([(HOME, set_cookie)], HOME) == expected


# set by, Set-Cookie, asked, whether it is sent
WHERE = [
    ("https://www.example.com/", "a=b", "https://www.example.com/x/y?z", True),
    ("https://www.example.com/", "a=b", "https://www.example.com:8443/", True),  # ports do not separate
    ("https://www.example.com/", "a=b", "http://www.example.com/", True),
    ("https://www.example.com/", "a=b", "https://WWW.EXAMPLE.COM/", True),
    ("https://www.example.com/", "a=b", "https://example.com/", False),
    ("https://www.example.com/", "a=b", "https://x.www.example.com/", False),
    ("https://www.example.com/", "a=b; Domain=example.com", "https://example.com/", True),
    ("https://www.example.com/", "a=b; Domain=example.com", "https://x.y.example.com/", True),
    ("https://www.example.com/", "a=b; Domain=example.com", "https://notexample.com/", False),
    ("https://www.example.com/", "a=b; Domain=example.com", "https://example.com.evil.net/", False),
    ("https://www.example.com/", "a=b; Domain=example.com", "https://example.org/", False),
    ("https://example.com/", "a=b; Domain=www.example.com", "https://www.example.com/", False),
    ("https://www.example.com/", "a=b; Secure", "http://www.example.com/", False),
    ("https://www.example.com/", "a=b; Secure", "https://www.example.com/", True),
    ("http://www.example.com/", "a=b; Secure", "https://www.example.com/", False),
    ("http://www.example.com/", "a=b", "https://www.example.com/", True),
    ("http://www.example.com/", "a=b; HttpOnly", "http://www.example.com/", True),
    # without Path: the folder of what was asked
    ("https://h.example/a/b/c", "a=b", "https://h.example/a/b", True),
    ("https://h.example/a/b/c", "a=b", "https://h.example/a/b/", True),
    ("https://h.example/a/b/c", "a=b", "https://h.example/a/b/d/e", True),
    ("https://h.example/a/b/c", "a=b", "https://h.example/a/bc", False),
    ("https://h.example/a/b/c", "a=b", "https://h.example/a", False),
    ("https://h.example/a/b/", "a=b", "https://h.example/a/b", True),
    ("https://h.example/a", "a=b", "https://h.example/", True),
    ("https://h.example", "a=b", "https://h.example/x", True),
    ("https://h.example/a?b/c/d", "a=b", "https://h.example/", True),
    ("https://h.example/a/b;c/d", "a=b", "https://h.example/a/b;c/x", True),
    ("https://h.example/", "a=b; Path=/a", "https://h.example/a?q", True),
    ("https://h.example/", "a=b; Path=/a", "https://h.example/a%2Fb", False),
    ("https://h.example/", "a=b; Path=/a b", "https://h.example/a%20b", False),
    ("https://h.example/", "a=b; Path=/%41", "https://h.example/A", False),
    # addresses and short names
    ("http://127.0.0.1/", "a=b", "http://127.0.0.1:8080/", True),
    ("http://127.0.0.1/", "a=b; Domain=127.0.0.1", "http://127.0.0.1/", True),
    ("http://127.0.0.1/", "a=b; Domain=.127.0.0.1", "http://127.0.0.1/", True),
    ("http://127.0.0.1/", "a=b; Domain=0.0.1", "http://127.0.0.1/", False),
    ("http://127.0.0.1/", "a=b", "http://127.0.0.2/", False),
    ("http://[::1]/", "a=b", "http://[::1]:81/", True),
    ("http://[2001:db8::1]/", "a=b", "http://[2001:DB8:0::1]/", True),
    ("http://localhost/", "a=b; Domain=localhost", "http://localhost/", True),
    ("http://localhost/", "a=b; Secure", "http://localhost/", True),  # this machine counts as secure, as in browsers
    ("http://127.0.0.1/", "a=b; Secure", "http://127.0.0.1/", True),
    ("http://10.0.0.1/", "a=b; Secure", "http://10.0.0.1/", False),
    ("http://intranet/", "a=b", "http://intranet/", True),
    ("http://intranet/", "a=b; Domain=intranet", "http://a.intranet/", False),
    # public suffixes
    ("https://shop.co.uk/", "a=b; Domain=co.uk", "https://shop.co.uk/", False),
    ("https://me.github.io/", "a=b; Domain=github.io", "https://you.github.io/", False),
    ("https://github.io/", "a=b; Domain=github.io", "https://github.io/", True),
    ("https://github.io/", "a=b; Domain=github.io", "https://you.github.io/", False),
    ("https://a.b.ck/", "a=b; Domain=b.ck", "https://a.b.ck/", False),
    ("https://www.ck/", "a=b; Domain=www.ck", "https://a.www.ck/", True),
]


@pytest.mark.parametrize("origin, set_cookie, asked, is_sent", WHERE)
def test_where_it_goes(origin: str, set_cookie: str, asked: str, is_sent: bool) -> None:
    assert sent([(origin, set_cookie)], asked) == ("a=b" if is_sent else "")


SECURE = "https://www.example.com/"
PLAIN = "http://www.example.com/"

# in this order, what goes to the URL
SEVERAL = [
    ([(SECURE, "a=1"), (SECURE, "b=2")], SECURE, "a=1; b=2"),
    ([(SECURE, "a=1"), (SECURE, "a=2")], SECURE, "a=2"),
    ([(SECURE, "a=1"), (SECURE, "A=2")], SECURE, "a=1; A=2"),
    ([(SECURE, "a=1"), (SECURE, "b=2"), (SECURE, "a=3")], SECURE, "a=3; b=2"),  # the creation time stays
    ([(SECURE, "a=1"), (SECURE, "b=2"), (SECURE, "a=; Max-Age=0"), (SECURE, "a=3")], SECURE, "b=2; a=3"),
    ([(SECURE, "a=1; Path=/"), (SECURE, "a=2; Path=/x"), (SECURE, "b=3; Path=/x/y")], f"{SECURE}x/y", "b=3; a=2; a=1"),
    ([(SECURE, "a=1"), (SECURE, "a=2; Domain=www.example.com")], SECURE, "a=1; a=2"),
    ([(SECURE, "a=1; Domain=example.com"), (SECURE, "a=2")], SECURE, "a=1; a=2"),
    ([(SECURE, "a=1"), (SECURE, "a=; Max-Age=0; Domain=example.com")], SECURE, "a=1"),
    ([(SECURE, "a=1"), (SECURE, "a=; Max-Age=0; Path=/x")], SECURE, "a=1"),
    ([(SECURE, "a=1; Path=/x"), (SECURE, "a=; Max-Age=0; Path=/x")], f"{SECURE}x", ""),
    ([(SECURE, "a=1"), (SECURE, "a=2; Expires=Thu, 01 Jan 1970 00:00:00 GMT")], SECURE, ""),
    ([(SECURE, "a"), (SECURE, "b")], SECURE, "b"),  # both without a name: one cookie
    ([(SECURE, "a"), (SECURE, "a=1")], SECURE, "a; a=1"),
    # leave secure cookies alone
    ([(SECURE, "a=1; Secure"), (PLAIN, "a=2")], SECURE, "a=1"),
    ([(SECURE, "a=1; Secure"), (PLAIN, "a=; Max-Age=0")], SECURE, "a=1"),
    ([(SECURE, "a=1; Secure; Path=/x"), (PLAIN, "a=2; Path=/x/y")], f"{SECURE}x/y", "a=1"),
    ([(SECURE, "a=1; Secure; Path=/x"), (PLAIN, "a=2; Path=/")], f"{SECURE}x", "a=1; a=2"),
    ([(SECURE, "a=1; Secure; Domain=example.com"), (PLAIN, "a=2")], SECURE, "a=1"),
    ([(SECURE, "a=1; Secure"), ("http://example.com/", "a=2; Domain=example.com")], SECURE, "a=1"),
    ([(SECURE, "a=1; Secure"), ("http://other.com/", "a=2")], SECURE, "a=1"),
    ([(SECURE, "a=1; Secure"), (PLAIN, "b=2")], SECURE, "a=1; b=2"),
    ([(SECURE, "a=1; Secure"), (SECURE, "a=2")], PLAIN, "a=2"),
    ([(SECURE, "a=1"), (PLAIN, "a=2")], SECURE, "a=2"),
]


@pytest.mark.parametrize("pairs, url, expected", SEVERAL)
def test_several_cookies(pairs: list[tuple[str, str]], url: str, expected: str) -> None:
    assert sent(pairs, url) == expected


DATES = [
    (f"Fri, 01 Jan {YEAR + 1} 00:00:00 GMT", True),
    (f"Friday, 01-Jan-{(YEAR + 1) % 100:02d} 00:00:00 GMT", True),
    (f"Fri Jan  1 00:00:00 {YEAR + 1}", True),
    (f"1 jan {YEAR + 1} 0:0:0", True),
    (f"00:00:00 {YEAR + 1} January 1st", True),
    (f"Fri/01-Jan+{YEAR + 1}~00:00:00", True),
    (f"Xyz, 01 Jan {YEAR + 1} 00:00:00 +0200", True),
    (f"01 Jan {YEAR + 1} 00:00:00 01 Jan 1990", True),
    ("Mon, 01 Jan 1990 00:00:00 GMT", False),
    ("Mon, 01-Jan-90 00:00:00 GMT", False),
    ("Thu, 01 Jan 1970 00:00:00 GMT", False),
    ("01 Jan 1601 00:00:00", False),
    ("Mon, 01 Jan 1990 00:00:00", False),
]
NO_DATES = [
    "01 Jan 1600 00:00:00",
    "31 Feb 1990 00:00:00",
    "32 Jan 1990 00:00:00",
    "01 Jan 1990 24:00:00",
    "01 Jan 1990 00:60:00",
    "01 Jan 1990 00:00:60",
    "01 Jan 1990 0:0",
    "01 Ja 1990 00:00:00",
    "Jan 1990 00:00:00",
    "01 Jan 00:00:00",
    "001 Jan 1990 00:00:00",
    "01 Jan 19900 00:00:00",
    "631152000",
]


@pytest.mark.parametrize("date, is_later", DATES)
def test_dates(date: str, is_later: bool) -> None:
    jar = _core.CookieJar()
    jar.receive(HOME, "a=old")
    jar.receive(HOME, f"a=new; Expires={date}")
    assert jar.header_for(HOME) == ("a=new" if is_later else "")
    if is_later:
        assert jar.items()[0][4] == int(time.mktime((YEAR + 1, 1, 1, 0, 0, 0, 0, 0, 0)) - time.timezone)


@pytest.mark.parametrize("date", NO_DATES)
def test_what_is_no_date(date: str) -> None:
    jar = _core.CookieJar()
    jar.receive(HOME, f"a=b; Expires={date}")
    assert jar.items() == [("a", "b", "www.example.com", "/dir", 0, 4)], "a cookie of the session"


def test_four_hundred_days_at_most() -> None:
    jar = _core.CookieJar()
    now = int(time.time())
    jar.receive(HOME, "a=b; Max-Age=99999999", now)
    jar.receive(HOME, "c=d; Expires=Fri, 01 Jan 2100 00:00:00 GMT", now)
    assert [item[4] - now for item in jar.items()] == [400 * 86400] * 2


def test_attributes_are_kept() -> None:
    jar = _core.CookieJar()
    jar.receive(HOME, "a=b; Domain=Example.com; Path=/dir; Secure; HttpOnly; SameSite=Strict")
    assert jar.items() == [("a", "b", "example.com", "/dir", 0, 1 | 2 | 16)]


def test_the_list_of_suffixes_is_there() -> None:
    """One from each part of the list, so that a library without its data would be noticed."""
    suffixes = ("com", "co.uk", "github.io", "xn--p1ai", "xn--55qx5d.cn", "foo.ck", "foo.kawasaki.jp", "nobodyhasthis")
    domains = ("example.com", "www.ck", "city.kawasaki.jp", "example.xn--p1ai", "me.github.io", "a.nobodyhasthis")
    assert all(map(_core.CookieJar.is_public_suffix, suffixes))
    assert not any(map(_core.CookieJar.is_public_suffix, domains))
