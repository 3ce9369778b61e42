"""Files of cookies: what is written, what is read, by us, by the standard library and by curl."""

from __future__ import annotations

import http.cookiejar
import json
import os
import pickle
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import tls_requests
from tls_requests import Cookies
from tls_requests.exceptions import CookieError, CookieFileError

LATER = int(time.time()) + 86400
FORMATS = ["netscape", "json", "playwright"]


def full() -> Cookies:
    """One of each kind."""
    cookies = Cookies()
    store = cookies.cookiejar._store
    store.set("host", "1", "www.example.com", "/", 0, 4)
    store.set("domain", "a=b c", "example.com", "/x", LATER, 0)
    store.set("flags", '"q"', "example.com", "/", LATER, 1 | 2 | 16)
    store.set("lax", "ü🍪", "xn--bcher-kva.example", "/", 0, 1 | 8)
    store.set("none", "", "example.com", "/", LATER, 1 | 32)
    store.set("", "nameless", "127.0.0.1", "/", 0, 4)
    return cookies


def records(cookies: Cookies) -> list[Any]:
    return cookies.cookiejar._store.items()


def read(path: Path, **kwargs: Any) -> Cookies:
    cookies = Cookies()
    cookies.load(path, **kwargs)
    return cookies


def seen_by(format: str) -> list[Any]:
    """What a format keeps of them."""
    kept = []
    for *rest, flags in records(full()):
        if format == "netscape":
            flags &= 7
        elif format == "playwright" and not flags & 56:
            flags |= 8
        kept.append((*rest, flags))
    return kept


# ---------------------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("format", FORMATS)
def test_round_trip(tmp_path: Path, format: str) -> None:
    path = tmp_path / "cookies"
    assert full().save(path, format) == 6
    assert records(read(path)) == records(read(path, format=format)) == seen_by(format)
    first = path.read_bytes()
    read(path).save(str(path), format)
    assert path.read_bytes() == first
    assert full().save(os.fsencode(path), format, session=False) == 3
    assert records(read(path)) == [record for record in seen_by(format) if record[4]]
    full().save(path, format)
    assert records(read(path, session=False)) == [record for record in seen_by(format) if record[4]]


def test_formats_by_name(tmp_path: Path) -> None:
    for name, start in (("c.txt", "# Netscape HTTP Cookie File\n"), ("c", "# Netscape"), ("c.JSON", "{\n")):
        full().save(tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(start)
    for call in (Cookies().save, Cookies().load):
        with pytest.raises(
            ValueError, match="format must be one of 'netscape', 'json', 'playwright' or None, not 'xml'"
        ):
            call(tmp_path / "c.txt", "xml")


def test_the_own_format(tmp_path: Path) -> None:
    cookies = Cookies({"everywhere": "1"})
    cookies.cookiejar._store.receive("https://a.example.com/", "a=b; Path=/; Secure; HttpOnly; SameSite=Lax")
    cookies.save(tmp_path / "c.json")
    assert json.loads((tmp_path / "c.json").read_text()) == {
        "format": "tls_requests.cookies",
        "version": 1,
        "cookies": [
            {
                "name": "everywhere",
                "value": "1",
                "domain": "",
                "host_only": False,
                "path": "/",
                "expires": None,
                "secure": False,
                "http_only": True,  # as a cookie made by hand is in `requests`
                "same_site": None,
            },
            {
                "name": "a",
                "value": "b",
                "domain": "a.example.com",
                "host_only": True,
                "path": "/",
                "expires": None,
                "secure": True,
                "http_only": True,
                "same_site": "Lax",
            },
        ],
    }
    assert records(read(tmp_path / "c.json")) == records(cookies)


def test_tabs_stay_out_of_cookies_txt(tmp_path: Path) -> None:
    """A server may set them; they must not spoil the file, nor keep the others from being saved."""
    cookies = Cookies()
    cookies.cookiejar._store.receive("https://example.com/", "a=b\tc; Path=/")
    cookies.cookiejar._store.receive("https://example.com/", "good=1; Path=/")
    with pytest.warns(UserWarning, match="not saved.*'a'"):
        assert cookies.save(tmp_path / "c.txt") == 1
    assert list(read(tmp_path / "c.txt")) == ["good"]
    cookies.save(tmp_path / "c.json")
    assert records(read(tmp_path / "c.json")) == records(cookies)


@pytest.mark.parametrize("format", ["netscape", "playwright"])
def test_a_domain_is_needed(tmp_path: Path, format: str) -> None:
    with pytest.raises(CookieFileError, match=f"'a' has no domain, and the {format} format needs one") as info:
        Cookies({"a": "secret"}).save(tmp_path / "c.txt", format)
    assert info.value.path == str(tmp_path / "c.txt") and "secret" not in str(info.value)
    assert not list(tmp_path.iterdir())


def test_loading_adds(tmp_path: Path) -> None:
    cookies = Cookies({"kept": "1"})
    cookies.set("a", "old", domain="example.com")
    path = tmp_path / "c.txt"
    path.write_text(f"example.com\tTRUE\t/\tFALSE\t{LATER}\ta\tnew\nb.com\tFALSE\t/\tFALSE\t0\tb\t1\n")
    assert cookies.load(path) == 2
    assert cookies == {"kept": "1", "a": "new", "b": "1"}
    assert cookies.load(path, session=False) == 1
    path.write_text(f"b.com\tFALSE\t/\tFALSE\t{LATER}\tc\t1\nbroken\n")
    with pytest.raises(CookieFileError):
        cookies.load(path)
    assert "c" not in cookies, "all or none"


def test_what_a_file_cannot_do(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    lines = [".co.uk", "com", "github.io", "localhost", "127.0.0.1"]
    path.write_text("".join(f"{domain}\tTRUE\t/\tFALSE\t0\ta\t1\n" for domain in lines))
    cookies = read(path)
    assert all(record[5] & 4 for record in records(cookies)) and len(cookies) == 5
    assert cookies.cookiejar._store.header_for("https://shop.co.uk/") == ""
    path.write_text(
        f"a.com\tTRUE\t/\tFALSE\t1\tgone\t1\na.com\tTRUE\t/\tFALSE\t{LATER}\tx\t1\na.com\tTRUE\t/\tFALSE\t5\tx\t1\n"
    )
    assert len(read(path)) == 0
    path.write_text("".join(f"h{i}.a{i}.com\tTRUE\t/\tFALSE\t0\ta\t1\n" for i in range(5000)))
    assert len(read(path)) == 3300


# ---------------------------------------------------------------------------------------------------------- the writing


def test_only_the_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_text("old")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        full().save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


def test_links_are_followed(tmp_path: Path) -> None:
    target = tmp_path / "real.txt"
    target.write_text("old")
    (tmp_path / "link.txt").symlink_to(target)
    full().save(tmp_path / "link.txt")
    assert (tmp_path / "link.txt").is_symlink() and len(read(target)) == 6


def test_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.txt"
    path.write_text("old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        full().save(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "c.txt", tmp_path, Path("/dev/null")):
        with pytest.raises(OSError):
            full().save(path)
    with pytest.raises(FileNotFoundError):
        Cookies().load(tmp_path / "missing.txt")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_saving_from_many_threads(tmp_path: Path) -> None:
    """A reader never sees half a file."""
    path = tmp_path / "c.json"
    cookies = full()
    cookies.save(path)
    threads = [Thread(target=lambda: [cookies.save(path) for _ in range(30)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(50):
        assert records(read(path)) == records(cookies)
    for thread in threads:
        thread.join(60)
    assert list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------------------------------------------------ what is no file

LINES = [
    ("example.com\tTRUE\t/\tFALSE\t0", "line 2: a cookie has seven fields"),
    ("example.com TRUE / FALSE 0 a b", "line 2: a cookie has seven fields with tabs between them, not 1"),
    ("example.com\tyes\t/\tFALSE\t0\ta\tb", "line 2: the second field is TRUE or FALSE, not 'yes'"),
    ("example.com\tTRUE\t/\t1\t0\ta\tb", "line 2: the fourth field is TRUE or FALSE"),
    ("example.com\tTRUE\t/\tFALSE\tsoon\ta\tb", "line 2: the expiry date is no number"),
    ("example.com\tTRUE\t/\tFALSE\tnan\ta\tb", "line 2: the expiry date is no number"),
    ("\tTRUE\t/\tFALSE\t0\ta\tb", "line 2: the domain is empty"),
    (".\tTRUE\t/\tFALSE\t0\ta\tb", "line 2: '.' is no domain"),
    ("exa mple.com\tTRUE\t/\tFALSE\t0\ta\tb", "line 2: .*no domain"),
    ("example.com\tTRUE\t/\tFALSE\t0\ta\tb\x01", "line 2: .*characters that must not be sent"),
    ("example.com\tTRUE\t/\tFALSE\t0\ta\tb;c", "line 2: .*characters that must not be sent"),
    ("example.com\tTRUE\t/\tFALSE\t0\ta=\tb", "line 2: .*characters that must not be sent"),
    ("example.com\tTRUE\t/;\tFALSE\t0\ta\tb", "line 2: .*characters that must not be sent"),
    ("example.com\tTRUE\t/\tFALSE\t0\t\t", "line 2: .*empty"),
    ("#HttpOnly_\tTRUE\t/\tFALSE\t0\ta\tb", "line 2: the domain is empty"),
    ("[{", "line 2: a cookie has seven fields"),
]


@pytest.mark.parametrize("line, text", LINES)
def test_lines_that_are_none(tmp_path: Path, line: str, text: str) -> None:
    path = tmp_path / "c.txt"
    path.write_text(f"# a comment\n{line}\n")
    with pytest.raises(CookieFileError, match=text) as info:
        read(path)
    assert (info.value.path, info.value.line, info.value.index) == (str(path), 2, None)
    assert isinstance(info.value, CookieError)
    twin = pickle.loads(pickle.dumps(info.value))
    assert (twin.path, twin.line, twin.index, str(twin)) == (str(path), 2, None, str(info.value))


def test_odd_lines_that_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    path.write_bytes(
        b"\xef\xbb\xbf# Netscape HTTP Cookie File\r\n"
        b"\r\n   \n$Old comment\n  # indented\n#\n"
        b"#HttpOnly_.Example.COM\tTRUE\t/\tFALSE\t0\tupper\t1\r\n"
        b"example.com\ttrue\t/\tfalse\t\tno date\t1\n"
        b"example.com\tTRUE\t\tFALSE\t-1\tno path\t1\n"
        b"example.com\tTRUE\t/\tFALSE\t4102444800.9\tfraction\t1\n"
        b"example.com\tTRUE\t/\tFALSE\t99999999999999999999\tfar\t1\n"
        b"example.com\tTRUE\t/\tFALSE\t0\tno value\n"
        b"example.com\tTRUE\t/\tFALSE\t0\ttab\ta\tb\n"
        b"example.com\tTRUE\t/\tFALSE\t0\tlatin\t\xe9\n"
        b"b\xc3\xbccher.example\tTRUE\t/\tFALSE\t0\tidna\t1"
    )
    found = {record[0]: record for record in records(read(path))}
    assert found["upper"] == ("upper", "1", "example.com", "/", 0, 2)
    assert found["no date"][4] == found["no path"][4] == 0 and found["no path"][3] == "/"
    assert found["fraction"][4] == 4102444800 and found["far"][4] == 2**53
    assert found["no value"][1] == "" and found["tab"][1] == "a\tb" and found["latin"][1] == "\xe9"
    assert found["idna"][2] == "xn--bcher-kva.example"
    assert len(found) == 9
    path.write_bytes(b"")
    assert len(read(path)) == 0


ITEM = {"name": "a", "value": "1", "domain": "example.com"}
OBJECTS = [
    ([ITEM, 5], 1, "a cookie is an object, not int"),
    ([ITEM, {"value": "1", "domain": "a.com"}], 1, "`name` is missing"),
    ([{"name": "a", "domain": "a.com"}], 0, "`value` is missing"),
    ([{"name": "a", "value": "1"}], 0, "`domain` is missing"),
    ([{**ITEM, "domain": ""}], 0, "`domain` is empty"),
    ([{**ITEM, "domain": "."}], 0, "'.' is no domain"),
    ([{**ITEM, "value": 1}], 0, "`value` must not be int"),
    ([{**ITEM, "secure": "yes"}], 0, "`secure` must not be str"),
    ([{**ITEM, "expires": "2030-01-01"}], 0, "`expires` must not be str"),
    ([{**ITEM, "expires": True}], 0, "`expires` must not be bool"),
    ([{**ITEM, "expirationDate": float("nan")}], 0, "the expiry date is no number"),
    ([{**ITEM, "sameSite": "often"}], 0, "`sameSite` is none of"),
    ([{**ITEM, "value": "a\nb"}], 0, "characters that must not be sent"),
    ([{**ITEM, "value": "\ud800"}], 0, "surrogates not allowed"),
    ([{**ITEM, "name": "", "value": ""}], 0, "empty"),
    ({"cookies": [ITEM, None]}, 1, "a cookie is an object, not NoneType"),
    ({"cookies": {}}, None, "neither a list of cookies nor an object"),
    ({"a": "1"}, None, "neither a list of cookies nor an object"),
    ({"format": "tls_requests.cookies", "version": 2, "cookies": []}, None, "version 2 of the format"),
]


@pytest.mark.parametrize("document, index, text", OBJECTS)
def test_json_that_is_none(tmp_path: Path, document: Any, index: int | None, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(document))
    with pytest.raises(CookieFileError, match=text) as info:
        read(path)
    assert (info.value.line, info.value.index) == (None, index)


@pytest.mark.parametrize(
    "data, line", [(b"[1,\n2", 2), (b"{]", 1), (b'["\xff"]', None), (b"[" * 100000, None), (b"{\n\n\n'", 4)]
)
def test_broken_json(tmp_path: Path, data: bytes, line: int | None) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(data)
    with pytest.raises(CookieFileError) as info:
        read(path)
    assert info.value.line == line


def test_a_file_without_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tls_requests.models._cookie_files._MAX_FILE", 1 << 20)
    with pytest.raises(CookieFileError, match="larger than 1 MiB"):
        Cookies().load("/dev/zero")


# ------------------------------------------------------------------------------------------------------- other programs


def test_lists_of_extensions_and_drivers(tmp_path: Path) -> None:
    items = [
        {  # the cookies API of browser extensions
            "domain": ".example.com",
            "expirationDate": LATER + 0.25,
            "hostOnly": False,
            "httpOnly": True,
            "name": "extension",
            "path": "/",
            "sameSite": "no_restriction",
            "secure": True,
            "session": False,
            "storeId": "0",
            "value": "1",
        },
        {
            "domain": "www.example.com",
            "hostOnly": True,
            "httpOnly": False,
            "name": "session",
            "path": "/x",
            "sameSite": "unspecified",
            "secure": False,
            "session": True,
            "expirationDate": LATER,
            "storeId": None,
            "value": "2",
        },
        {"domain": "example.com", "expiry": LATER, "httpOnly": False, "name": "driver", "path": "/", "value": "3"},
        {"name": "puppet", "value": "4", "domain": ".example.com", "expires": -1, "size": 7, "sameSite": "Strict"},
        {"name": "nulls", "value": "5", "domain": "a.com", "sameSite": None, "expirationDate": None, "path": None},
    ]
    path = tmp_path / "export.json"
    for document in (items, {"url": "https://example.com", "cookies": items}):
        path.write_text(json.dumps(document), encoding="utf-8-sig")
        assert records(read(path)) == [
            ("extension", "1", "example.com", "/", LATER, 1 | 2 | 32),
            ("session", "2", "www.example.com", "/x", 0, 4),
            ("driver", "3", "example.com", "/", LATER, 4),
            ("puppet", "4", "example.com", "/", 0, 16),
            ("nulls", "5", "a.com", "/", 0, 4),
        ]


def test_storage_state_of_playwright(tmp_path: Path) -> None:
    origins = [{"origin": "https://example.com", "localStorage": [{"name": "theme", "value": "dark"}]}]
    cookies = [
        {
            "name": "a",
            "value": "1",
            "domain": ".example.com",
            "path": "/",
            "expires": LATER + 0.5,
            "httpOnly": True,
            "secure": True,
            "sameSite": "None",
        },
        {
            "name": "b",
            "value": "2",
            "domain": "www.example.com",
            "path": "/",
            "expires": -1,
            "httpOnly": False,
            "secure": False,
            "sameSite": "Lax",
        },
    ]
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"cookies": cookies, "origins": origins}))
    loaded = read(path)
    assert records(loaded) == [("a", "1", "example.com", "/", LATER, 35), ("b", "2", "www.example.com", "/", 0, 12)]
    loaded.save(path, "playwright")
    cookies[0]["expires"] = LATER
    assert json.loads(path.read_text()) == {"cookies": cookies, "origins": origins}
    loaded.save(tmp_path / "new.json", "playwright")
    assert json.loads((tmp_path / "new.json").read_text())["origins"] == []


def shown(jar: Any) -> list[Any]:
    return sorted((c.name, c.value, c.domain, c.path, c.secure, c.expires or 0) for c in jar)


def test_the_standard_library_reads_ours(tmp_path: Path) -> None:
    path = tmp_path / "c.txt"
    cookies = full()
    cookies.save(path)
    jar = http.cookiejar.MozillaCookieJar(path)
    jar.load(ignore_discard=True, ignore_expires=True)  # it takes 0 for a date
    wanted = shown(cookies.cookiejar)
    if sys.version_info < (3, 10):  # to it, #HttpOnly_ is a comment
        wanted = [item for item in wanted if item[0] != "flags"]
    assert shown(jar) == wanted


def test_we_read_the_standard_librarys(tmp_path: Path) -> None:
    jar = http.cookiejar.MozillaCookieJar(tmp_path / "c.txt")
    for cookie in full().cookiejar:
        jar.set_cookie(cookie)
    jar.save(ignore_discard=True)
    assert shown(read(tmp_path / "c.txt").cookiejar) == shown(jar)


class Handler(BaseHTTPRequestHandler):
    seen: list[str]

    def do_GET(self) -> None:
        self.server.seen.append(self.headers.get("Cookie", ""))  # type: ignore[attr-defined]
        self.send_response(200)
        for value in self.server.answers:  # type: ignore[attr-defined]
            self.send_header("Set-Cookie", value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen, server.answers = [], []  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


def curl(*args: Any) -> None:
    subprocess.run(["curl", "-q", "-sS", "--fail", *map(str, args)], check=True, timeout=30)


def test_curl_reads_ours_and_we_read_its(tmp_path: Path, server: Any) -> None:
    port = server.server_address[1]
    base = f"http://127.0.0.1:{port}"
    ours, its = tmp_path / "ours.txt", tmp_path / "curl.txt"
    server.answers = [
        "plain=1; Path=/",
        "later=2; Path=/; Max-Age=3600",
        "hidden=3; Path=/; HttpOnly",
        "deep=4; Path=/x",
    ]
    with tls_requests.Client() as client:
        client.get(f"{base}/")
        assert client.cookies.save(ours) == 4
        server.answers = ["fromcurl=5; Path=/; HttpOnly; Max-Age=3600"]
        curl("-b", ours, "-c", its, f"{base}/")
        assert sorted(server.seen[-1].split("; ")) == ["hidden=3", "later=2", "plain=1"]
        client.cookies.clear()
        server.answers = []
        assert client.cookies.load(its) == 5
        client.get(f"{base}/x")
        assert sorted(server.seen[-1].split("; ")) == ["deep=4", "fromcurl=5", "hidden=3", "later=2", "plain=1"]
        records_now = {record[0]: record for record in records(client.cookies)}
        assert records_now["fromcurl"][5] == 2 | 4 and abs(records_now["fromcurl"][4] - time.time() - 3600) < 60
        assert records_now["plain"] == ("plain", "1", "127.0.0.1", "/", 0, 4)


def test_curl_sends_what_we_send(tmp_path: Path, server: Any) -> None:
    """The same file, the same requests: to a host, its parent and its child."""
    cookies = Cookies()
    store = cookies.cookiejar._store
    store.set("host", "1", "www.example.com", "/", LATER, 4)
    store.set("domain", "2", "example.com", "/", LATER, 0)
    store.set("path", "3", "example.com", "/x", LATER, 2)
    store.set("tls", "4", "example.com", "/", LATER, 1)
    cookies.save(tmp_path / "c.txt")
    for host in ("www.example.com", "example.com", "a.www.example.com", "other.com"):
        for path in ("/", "/x", "/xy"):
            url = f"http://{host}{path}"
            curl("-b", tmp_path / "c.txt", "--connect-to", f"::127.0.0.1:{server.server_address[1]}", url)
            assert sorted(server.seen[-1].split("; ")) == sorted(store.header_for(url).split("; ")), url
