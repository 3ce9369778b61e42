"""Client hints that servers ask for: Accept-CH and Critical-CH, as Chromium 156 obeys them; which values; what turns them off."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

import tls_requests
from peers.certs import Pair
from tls_requests import Profile, exceptions, profiles
from tls_requests._fingerprint import server
from tls_requests._fingerprint.client_hints import ALWAYS, HINTS, NEVER, SETTABLE

EVERYTHING = ", ".join(HINTS)
ARCH, MODEL, BITNESS, WOW64 = ("sec-ch-ua-" + name for name in ("arch", "model", "bitness", "wow64"))


class Asking(server.Server):
    """Answers with the header fields, the status and the body's length that the query names."""

    def __init__(self, certificate: str) -> None:
        super().__init__("127.0.0.1", 0, certificate)
        self.requests: list[server.Request] = []
        self.start()

    def respond(self, connection: server.Connection, request: server.Request) -> server.Response:
        self.requests.append(request)
        fields = parse_qsl(urlsplit(request.path).query, keep_blank_values=True)
        status = next((int(value) for name, value in fields if name == "status"), 200)
        size = next((int(value) for name, value in fields if name == "size"), 2)
        return server.Response(status, [(n, v) for n, v in fields if n not in ("status", "size")], b"k" * size)

    def hints(self, index: int = -1) -> list[str]:
        """Hints beyond those of every request."""
        names = [name.lower() for name, _ in self.requests[index].headers]
        return [name for name in names if name in HINTS and name not in ALWAYS]

    def names(self, index: int = -1) -> list[str]:
        return [name.lower() for name, _ in self.requests[index].headers]


@pytest.fixture(scope="module")
def servers(server_pair: Pair) -> Iterator[list[Asking]]:
    sites = [Asking(str(server_pair.both)) for _ in range(2)]
    yield sites
    for site in sites:
        site.stop()


@pytest.fixture
def asking(servers: list[Asking]) -> Asking:
    for site in servers:
        site.requests.clear()
    return servers[0]


@pytest.fixture
def url(asking: Asking) -> str:
    return f"https://127.0.0.1:{asking.port}/"


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"params": {"accept-ch": text, **more}}


@pytest.mark.parametrize("http2", [True, False])
def test_asked_and_answered(twin: Any, asking: Asking, url: str, ca_file: str, http2: bool) -> None:
    with twin.client(verify=ca_file, http2=http2, client_identifier="chromium_156") as client:
        client.get(url)
        plain = asking.names()
        client.get(url, **asked("Sec-CH-UA-Arch, DPR, nonsense"))
        assert asking.names() == plain
        client.get(url)
        assert asking.hints() == ["dpr", ARCH]
        seen = dict(asking.requests[-1].headers)
        assert (seen[ARCH], seen["dpr"]) == ('"x86"', "1")
        at = plain.index("sec-ch-ua")
        order = ["dpr", "sec-ch-ua", "sec-ch-ua-mobile", ARCH, "sec-ch-ua-platform"]
        assert asking.names() == [*plain[:at], *order, *plain[at + 3 :]]
        # They stay, are replaced, and end.
        client.get(url)
        assert asking.hints() == ["dpr", ARCH]
        client.get(url, **asked(MODEL))
        client.get(url)
        assert asking.hints() == [MODEL]
        client.get(url, **asked(""))
        client.get(url)
        assert asking.hints() == []


# What Chromium 156 did: (the answer's fields, what the next request has when the one before had sec-ch-ua-model).
@pytest.mark.parametrize(
    ("fields", "following"),
    [
        ([], [MODEL]),
        ([("accept-ch", "sec-ch-ua-arch, nonsense, sec-ch-ua-wow64;x=1")], [ARCH, WOW64]),
        ([("accept-ch", "sec-ch-ua-arch,, ;bad")], [MODEL]),
        ([("accept-ch", '"sec-ch-ua-arch"')], [MODEL]),
        ([("accept-ch", "sec-ch-ua-arch"), ("accept-ch", "sec-ch-ua-bitness")], [ARCH, BITNESS]),
        ([("accept-ch", "sec-ch-ua-bitness"), ("status", "404")], [BITNESS]),
        ([("accept-ch", "sec-ch-ua-bitness"), ("status", "500")], [BITNESS]),
        ([("accept-ch", "width, save-data")], []),
        ([("accept-ch", "sec-ch-ua, sec-ch-ua-platform")], []),
    ],
)
def test_what_counts(
    twin: Any, asking: Asking, url: str, ca_file: str, fields: list[tuple[str, str]], following: list[str]
) -> None:
    with twin.client(verify=ca_file, client_identifier="chromium_156") as client:
        client.get(url, **asked(MODEL))
        client.get(url + "?" + urlencode(fields))
        assert asking.hints() == [MODEL]
        client.get(url)
        assert asking.hints() == following


def test_redirects(twin: Any, asking: Asking, url: str, ca_file: str) -> None:
    """A redirect may ask; what follows it has the hints behind sec-fetch-dest."""
    with twin.client(verify=ca_file, client_identifier="chromium_156") as client:
        response = client.get(url, **asked(WOW64, status=302, location="/there"))
        assert len(response.history) == 1 and asking.hints() == [WOW64]
        names = asking.names()
        at = names.index("sec-fetch-dest")
        assert names[at + 1 : at + 5] == ["sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform", WOW64]
        assert names[:2] == ["upgrade-insecure-requests", "user-agent"]


def test_origins_and_pages(twin: Any, servers: list[Asking], asking: Asking, url: str, ca_file: str) -> None:
    """Each origin asks for itself; what pages load of it has them, of another it has none; only visits may ask."""
    other = servers[1]
    theirs = f"https://127.0.0.1:{other.port}/"
    with twin.client(verify=ca_file, client_identifier="chromium_156") as client:
        client.get(url, **asked(ARCH))
        client.get(theirs)
        assert other.hints() == []
        client.get(theirs, **asked(MODEL))
        for mode in ("fetch", "xhr", "image", "script", "style", "iframe", "events"):
            client.get(url, mode=mode, **asked(BITNESS))
            assert asking.hints() == [ARCH], mode
            client.get(theirs, mode=mode, page=url)
            assert other.hints() == [], mode
            client.get(theirs, mode=mode, page=theirs)
            assert other.hints() == [MODEL], mode
        client.post(url, json={})
        assert asking.hints() == [ARCH]
        client.post(url, data={"a": "b"}, **asked(WOW64))
        assert asking.hints() == [ARCH]
        client.get(url)
        assert asking.hints() == [WOW64]
        # A visit has them wherever it comes from.
        client.get(theirs, page=url)
        assert other.hints() == [MODEL]


def test_plain_http_asks_in_vain(twin: Any, site: Any) -> None:
    with twin.client(client_identifier="chromium_156") as client:
        client.get(site.base + "/echo")
        client.get(site.base + "/headers")
        seen = client.get(site.base + "/echo").json()["headers"]
        assert not [name for name, _ in seen if name.lower() in SETTABLE]


@pytest.mark.parametrize("name", ["firefox_153", "safari_18_4", "okhttp_5"])
def test_others_answer_none(twin: Any, asking: Asking, url: str, ca_file: str, name: str) -> None:
    with twin.client(verify=ca_file, client_identifier=name) as client:
        client.get(url, **asked(EVERYTHING, **{"critical-ch": EVERYTHING}))
        client.get(url)
        assert asking.hints() == [] and len(asking.requests) == 2
        client.client_hints = False
        with pytest.raises(exceptions.ProfileError, match="answers none"):
            client.client_hints = {"dpr": 2}


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("size", [2, 3_000_000])
def test_critical_hints(twin: Any, asking: Asking, url: str, ca_file: str, http2: bool, size: int) -> None:
    """The request is made again with them, once, and the first answer is not seen; its cookies are."""
    critical = {"critical-ch": ARCH, "set-cookie": "a=1", "size": size}
    with twin.client(verify=ca_file, http2=http2, client_identifier="chromium_156") as client:
        response = client.get(url, **asked(f"{ARCH}, dpr", **critical))
        assert len(response.content) == size and response.history == [] and response.headers["accept-ch"]
        assert [asking.hints(0), asking.hints(1)] == [[], ["dpr", ARCH]] and len(asking.requests) == 2
        names = [name for name in asking.names() if name not in ("host", "connection")]
        assert names[:9] == [
            "upgrade-insecure-requests", "user-agent", "accept", "dpr", "sec-ch-ua", "sec-ch-ua-mobile", ARCH,
            "sec-ch-ua-platform", "sec-fetch-site",
        ]  # fmt: skip
        assert ("cookie", "a=1") in [(name.lower(), value) for name, value in asking.requests[1].headers]
        client.get(url, **asked(f"{ARCH}, dpr", **critical))
        assert len(asking.requests) == 3 and asking.names()[:2] != names[:2]
        stats = client.stats()
        assert (stats.requests, stats.succeeded, stats.redirects, stats.active, stats.waiting) == (2, 2, 0, 0, 0)


@pytest.mark.parametrize(
    ("fields", "requests"),
    [
        ([("critical-ch", ARCH)], 1),
        ([("accept-ch", MODEL), ("critical-ch", ARCH)], 1),
        ([("accept-ch", ARCH), ("critical-ch", "nonsense")], 1),
        ([("accept-ch", ARCH), ("critical-ch", ",")], 1),
        ([("accept-ch", "sec-ch-ua"), ("critical-ch", "sec-ch-ua")], 1),
        ([("accept-ch", "width"), ("critical-ch", "width")], 1),
        ([("accept-ch", "width, sec-ch-ua-arch"), ("critical-ch", "width")], 2),
        ([("accept-ch", "save-data, sec-ch-ua-arch"), ("critical-ch", "save-data")], 1),
        ([("accept-ch", ARCH), ("critical-ch", ARCH), ("status", "404")], 2),
    ],
)
def test_what_is_critical(
    twin: Any, asking: Asking, url: str, ca_file: str, fields: list[tuple[str, str]], requests: int
) -> None:
    with twin.client(verify=ca_file, client_identifier="chromium_156") as client:
        assert client.get(url + "?" + urlencode(fields)).status_code in (200, 404)
        assert len(asking.requests) == requests


def test_critical_hints_of_a_redirect(twin: Any, asking: Asking, url: str, ca_file: str) -> None:
    with twin.client(verify=ca_file, client_identifier="chromium_156") as client:
        fields = {"critical-ch": ARCH, "status": 302, "location": "/there?accept-ch=dpr&critical-ch=dpr"}
        response = client.get(url, **asked(ARCH, **fields))
        assert response.status_code == 200 and len(response.history) == 1
        assert [asking.hints(index) for index in range(4)] == [[], [ARCH], [ARCH], ["dpr"]]
        assert len(asking.requests) == 4
        # Behind a redirect they stay where they were moved to.
        names = asking.names()
        assert names[names.index("sec-fetch-dest") + 1] == "dpr"


def test_only_safe_visits_are_made_again(twin: Any, asking: Asking, url: str, ca_file: str) -> None:
    with twin.client(verify=ca_file, client_identifier="chromium_156") as client:
        client.post(url, data={"a": "b"}, **asked(ARCH, **{"critical-ch": ARCH}))
        client.get(url, mode="fetch", **asked(MODEL, **{"critical-ch": MODEL}))
        assert [asking.hints(index) for index in range(len(asking.requests))] == [[], [ARCH]]
        client.head(url, mode="navigate", **asked(MODEL, **{"critical-ch": MODEL}))
        assert len(asking.requests) == 4
        # Where the caller's fields are all that is sent, it would change nothing.
        client.get(url, headers={"user-agent": "mine"}, **asked(BITNESS, **{"critical-ch": BITNESS}))
        assert len(asking.requests) == 5 and asking.hints() == []


def test_a_streamed_answer_is_the_second(asking: Asking, url: str, ca_file: str) -> None:
    with tls_requests.Client(verify=ca_file, client_identifier="chromium_156") as client:
        with client.stream("GET", url, **asked(ARCH, **{"critical-ch": ARCH, "size": 500_000})) as response:
            assert sum(map(len, response.iter_bytes())) == 500_000
        assert [asking.hints(0), asking.hints(1)] == [[], [ARCH]]


def test_many_at_once(asking: Asking, url: str, ca_file: str) -> None:
    """Each is made again where hints were missing in it; none is lost."""
    with tls_requests.Client(verify=ca_file, client_identifier="chromium_156") as client:
        sizes: list[int] = []

        def visit() -> None:
            for _ in range(10):
                sizes.append(len(client.get(url, **asked(ARCH, **{"critical-ch": ARCH, "size": 50_000})).content))

        threads = [threading.Thread(target=visit) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sizes == [50_000] * 80
        assert client.stats().failed == 0 and 80 <= len(asking.requests) <= 88 + 80


def test_clients_and_profiles_remember_for_themselves(twin: Any, asking: Asking, url: str, ca_file: str) -> None:
    with twin.client(verify=ca_file) as client, twin.client(verify=ca_file) as other:
        client.get(url, **asked(ARCH))
        other.get(url)
        assert asking.hints() == []
        client.get(url, client_identifier="chrome_131")
        assert asking.hints() == []
        client.get(url)
        assert asking.hints() == [ARCH]


def test_more_origins_than_are_remembered(asking: Asking) -> None:
    """Past the limit all are forgotten, and asked again: names below test are one server here."""
    resolve = {f"a{number}.test": "127.0.0.1" for number in range(1001)}
    with tls_requests.Client(verify=False, client_identifier="chromium_156", resolve=resolve, http2=False) as client:
        base = "https://{}.test:%d/" % asking.port
        for number in range(1001):
            assert client.get(base.format(f"a{number}"), **asked(ARCH), headers={"connection": "close"}).ok
        client.get(base.format("a1000"))
        assert asking.hints() == [ARCH]
        client.get(base.format("a0"))
        assert asking.hints() == []


# ----------------------------------------------------------------------------------------------------------------- options


def test_values_of_the_caller(twin: Any, asking: Asking, url: str, ca_file: str) -> None:
    hints = {"dpr": 1.5, "Sec-CH-UA-Model": "Box", "sec_ch_ua_wow64": True, "sec-ch-ua-arch": None, "ect": "3g"}
    with twin.client(verify=ca_file, client_identifier="chrome_156", platform="windows", client_hints=hints) as client:
        assert client.client_hints == {"dpr": "1.5", MODEL: '"Box"', WOW64: "?1", ARCH: None, "ect": "3g"}
        client.get(url, **asked(EVERYTHING))
        client.get(url)
        seen = dict(asking.requests[-1].headers)
        assert (seen["dpr"], seen[MODEL], seen[WOW64], seen["ect"]) == ("1.5", '"Box"', "?1", "3g")
        assert (
            ARCH not in seen
            and seen["sec-ch-ua-platform"] == '"Windows"'
            and seen["sec-ch-ua-platform-version"] == '"19.0.0"'
        )
        assert [name for name in asking.names() if name in HINTS] == [name for name in HINTS if name in seen]
        # A header of the caller's wins, and None takes the browser's away.
        client.get(url, headers={"Sec-CH-UA-Model": '"Mine"', "dpr": None})
        seen = dict(asking.requests[-1].headers)
        assert seen[MODEL] == '"Mine"' and "dpr" not in seen
        client.get(url, client_hints={"dpr": 3})
        client.get(url, client_hints=False)
        assert asking.hints() == []


def test_none_at_all(twin: Any, asking: Asking, url: str, ca_file: str) -> None:
    with twin.client(verify=ca_file, client_hints=False) as client:
        client.get(url, **asked(EVERYTHING, **{"critical-ch": ARCH}))
        client.get(url)
        assert asking.hints() == [] and len(asking.requests) == 2 and client.client_hints is False
        client.client_hints = True
        client.get(url, **asked(ARCH))
        client.get(url)
        assert asking.hints() == [ARCH]


@pytest.mark.parametrize(
    ("hints", "error", "text"),
    [
        (5, TypeError, "client_hints must be"),
        ("dpr", TypeError, "client_hints must be"),
        (["dpr"], TypeError, "client_hints must be"),
        ({5: "x"}, TypeError, "names must be str"),
        ({"dpr": b"2"}, TypeError, "dpr must be"),
        ({"dpr": True}, TypeError, "dpr must be"),
        ({"dpi": 2}, ValueError, "did you mean 'dpr'"),
        ({"user-agent": "x"}, ValueError, "there is no hint"),
        ({"width": 5}, ValueError, "there is no hint"),
        ({"sec-ch-ua-platform": "Linux"}, ValueError, "see platform"),
        ({"Sec-CH-UA": "x"}, ValueError, "is the profile's"),
        ({"dpr": "2\r\nx: y"}, ValueError, "cannot be sent"),
        ({"dpr": "two"}, ValueError, "cannot be"),
        ({"dpr": -1}, ValueError, "cannot be"),
        ({"dpr": float("nan")}, ValueError, "cannot be"),
        ({"sec-ch-ua-model": 'a"b'}, ValueError, "cannot be"),
        ({"sec-ch-ua-model": "x" * 300}, ValueError, "cannot be sent"),
        ({"sec-ch-ua-wow64": "yes"}, ValueError, "cannot be"),
        ({"sec-ch-prefers-color-scheme": "very dark"}, ValueError, "cannot be"),
        ({"sec-ch-ua-full-version": "120.0.0.1"}, exceptions.ProfileError, "contradicts sec-ch-ua"),
        ({"sec-ch-ua-full-version-list": '"Chromium";v="133.0.0.1"'}, exceptions.ProfileError, "contradicts sec-ch-ua"),
    ],
)
def test_what_is_refused(
    twin: Any, asking: Asking, url: str, ca_file: str, hints: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        twin.client(client_hints=hints)
    with twin.client(verify=ca_file, raise_on_error=True) as client:
        with pytest.raises(error, match=text):
            client.get(url, client_hints=hints)
        with pytest.raises(error, match=text):
            client.client_hints = hints
        assert client.client_hints is None
    assert asking.requests == []


# ------------------------------------------------------------------------------------------------------------------- data


def test_names_are_those_of_the_engine(root: Path) -> None:
    source = (root / "src" / "profile" / "profile.h").read_text()
    table = source[source.index("#define TR_HINTS(X)") : source.index("typedef enum tr_hint")]
    assert tuple(re.findall(r'X\(\w+, "([^"]+)"\)', table)) == HINTS
    assert set(ALWAYS) | set(NEVER) | set(SETTABLE) == set(HINTS)


@pytest.mark.parametrize("info", profiles(), ids=lambda info: info.name)
def test_values_agree_with_the_profile(info: Any) -> None:
    rows = Profile.named(info.name)._rows_object()
    headers = {name.lower(): value or "" for name, value in rows.h2_headers or rows.h1_headers}
    agent = rows.user_agent or ""
    assert bool(rows.hints) == ("Chrome/" in agent)
    if not rows.hints:
        return
    engine = re.search(r"Chrome/(\d+)", agent)
    assert engine is not None
    full = re.findall(r'"([^"]*)";v="(\d+)((?:\.\d+){3})"', rows.hints["sec-ch-ua-full-version-list"])
    assert [(name, number) for name, number, _ in full] == re.findall(r'"([^"]*)";v="(\d+)"', headers["sec-ch-ua"])
    versions = dict((name, number) for name, number, _ in full)
    assert versions["Chromium"] == engine[1]
    assert rows.hints["sec-ch-ua-full-version"].strip('"') in [number + rest for _, number, rest in full]
    mobile = headers["sec-ch-ua-mobile"] == "?1"
    if "sec-ch-ua-form-factors" in rows.hints:
        assert rows.hints["sec-ch-ua-form-factors"] == ('"Mobile"' if mobile else '"Desktop"')
    assert (rows.hints["sec-ch-ua-model"] != '""') == mobile
    if "; Pixel 6)" in agent:
        assert (rows.hints["sec-ch-ua-model"], rows.hints["sec-ch-ua-platform-version"]) == ('"Pixel 6"', '"12.0.0"')
    # Whole numbers where the User-Agent has them.
    whole = re.search(r"Chrome/(\d+(?:\.\d+){3})", agent)
    if whole is not None and not whole[1].endswith(".0.0.0"):
        assert ("Chromium", whole[1]) in [(name, number + rest) for name, number, rest in full]
    assert list(rows.hints) == [name for name in HINTS if name in rows.hints]


def test_another_platform_has_its_own() -> None:
    chrome = Profile.named("chrome_133")
    values = {
        name: chrome.variant(platform=name)._rows_object().hints for name in ("windows", "macos", "linux", "android")
    }
    assert [values[name][ARCH] for name in values] == ['"x86"', '"arm"', '"x86"', '""']
    assert (
        values["android"]["sec-ch-ua-form-factors"] == '"Mobile"'
        and values["linux"]["sec-ch-ua-platform-version"] == '""'
    )
    assert len({value["sec-ch-ua-full-version-list"] for value in values.values()}) == 1
    mine = chrome.variant(client_hints={"dpr": 2.5})
    assert Profile.load(mine.to_dict()) == mine != chrome and mine._rows_object().hints["dpr"] == "2.5"
    assert chrome.variant(client_hints=True) == chrome and not chrome.variant(client_hints=False)._rows_object().hints
