"""`locale` and `platform` on the wire: both clients, both ways through a call, both versions of HTTP; what wins, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from peers.certs import Pair
from tls_requests import Profile, exceptions
from tls_requests._fingerprint import server

pytestmark = pytest.mark.filterwarnings("error::tls_requests.exceptions.ContradictionWarning")

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36"
)
MACOS = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36"


class Shown(server.Server):
    """Keeps the header fields of each request, in order, and counts connections."""

    def __init__(self, certificate: str) -> None:
        super().__init__("127.0.0.1", 0, certificate)
        self.requests: list[server.Request] = []
        self.start()

    def respond(self, connection: server.Connection, request: server.Request) -> server.Response:
        self.requests.append(request)
        if request.path == "/redirect":
            return server.Response(302, [("location", "/")])
        return server.Response(200, [], b"ok")

    @property
    def last(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.requests[-1].headers}

    @property
    def names(self) -> list[str]:
        return [name.lower() for name, _ in self.requests[-1].headers if name.lower() not in ("host", "connection")]


@pytest.fixture(scope="module")
def shown(server_pair: Pair) -> Iterator[Shown]:
    site = Shown(str(server_pair.both))
    yield site
    site.stop()


@pytest.fixture
def url(shown: Shown) -> str:
    shown.requests.clear()
    return f"https://127.0.0.1:{shown.port}/"


@pytest.mark.parametrize("http2", [True, False])
def test_of_a_client(twin: Any, shown: Shown, url: str, ca_file: str, http2: bool) -> None:
    with twin.client(verify=ca_file, http2=http2) as plain:
        plain.get(url)
        names = shown.names
    with twin.client(verify=ca_file, http2=http2, locale="de-DE", platform="Windows") as client:
        assert client.get(url).ok
        seen = shown.last
        assert seen["accept-language"] == "de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7"
        assert (seen["user-agent"], seen["sec-ch-ua-platform"], seen["sec-ch-ua-mobile"]) == (
            WINDOWS,
            '"Windows"',
            "?0",
        )
        assert shown.names == names
        assert (client.locale, client.platform) == ("de-DE", "windows")
        # By the chain, after a redirect, of another kind, and built before it is sent.
        client.get(url + "redirect", auth=lambda request: None)
        assert (shown.last["user-agent"], shown.last["accept-language"]) == (WINDOWS, seen["accept-language"])
        client.post(url, json={"a": 1})
        assert (shown.last["user-agent"], shown.last["sec-ch-ua-platform"]) == (WINDOWS, '"Windows"')
        assert shown.last["accept-language"] == seen["accept-language"]
        assert client.fingerprint().user_agent == WINDOWS


def test_settings_may_change(twin: Any, shown: Shown, url: str, ca_file: str) -> None:
    with twin.client(verify=ca_file, client_identifier="firefox_153") as client:
        client.get(url)
        assert shown.last["accept-language"] == "en-US,en;q=0.9" and (client.locale, client.platform) == (None, None)
        client.locale = ["fr", "en"]
        client.get(url)
        assert shown.last["accept-language"] == "fr,en;q=0.9" and client.locale == ("fr", "en")
        client.platform = "macos"
        client.get(url)
        assert (
            shown.last["user-agent"]
            == "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:153.0) Gecko/20100101 Firefox/153.0"
        )
        assert shown.last["accept-language"] == "fr,en;q=0.9"
        client.client_identifier = "chrome_133"
        client.get(url)
        assert (shown.last["user-agent"], shown.last["accept-language"]) == (MACOS, "fr,en;q=0.9")
        with pytest.raises(exceptions.ProfileError, match="it can be on windows, macos, linux, android"):
            client.platform = "ios"
        client.platform = client.locale = None
        client.client_identifier = "firefox_153"
        client.get(url)
        assert shown.last["user-agent"] == Profile.named("firefox_153").user_agent
        assert shown.last["accept-language"] == "en-US,en;q=0.9"


def test_of_one_request(twin: Any, shown: Shown, url: str, ca_file: str) -> None:
    with twin.client(verify=ca_file, locale="de") as client:
        client.get(url, locale="fr", platform="linux")
        assert shown.last["accept-language"] == "fr-FR,fr;q=0.9,en-US;q=0.8,en;q=0.7"
        assert shown.last["sec-ch-ua-platform"] == '"Linux"' and "X11; Linux x86_64" in shown.last["user-agent"]
        client.get(url, client_identifier="firefox_153")
        assert shown.last["accept-language"] == "de,en-US;q=0.9,en;q=0.8"
        client.get(url, platform=None, locale=None)
        assert (shown.last["user-agent"], shown.last["accept-language"][:5]) == (MACOS, "de-DE")
        request = client.build_request("GET", url, locale=["nl", "en"])
        client.send(request)
        assert shown.last["accept-language"] == "nl,en;q=0.9"


def test_of_a_function(shown: Shown, url: str, ca_file: str) -> None:
    tls_requests.get(url, verify=ca_file, locale="ja", platform="windows")
    assert (shown.last["accept-language"], shown.last["user-agent"]) == ("ja,en-US;q=0.9,en;q=0.8", WINDOWS)


def test_a_profile_and_a_rotator(twin: Any, shown: Shown, url: str, ca_file: str) -> None:
    mine = Profile.named("firefox_153").variant(locale="it")
    with twin.client(verify=ca_file, client_identifier=mine, platform="windows") as client:
        client.get(url)
        assert "Windows NT 10.0" in shown.last["user-agent"] and shown.last["accept-language"].startswith("it-IT,it;")
    with twin.client(
        verify=ca_file, client_identifier=["chrome_133", "firefox_153"], platform="windows", locale="de"
    ) as client:
        agents = set()
        for _ in range(20):
            client.get(url)
            agents.add(shown.last["user-agent"].rpartition(" ")[2])
            assert "Windows NT 10.0" in shown.last["user-agent"] and shown.last["accept-language"].startswith("de")
        assert agents == {"Safari/537.36", "Firefox/153.0"}


def test_a_header_of_the_caller_wins(twin: Any, shown: Shown, url: str, ca_file: str) -> None:
    with twin.client(verify=ca_file, locale="de") as client:
        client.get(url, headers={"Accept-Language": "nl"})
        assert [value for name, value in shown.requests[-1].headers if name.lower() == "accept-language"] == ["nl"]
        client.get(url, headers={"accept-language": None})
        assert "accept-language" not in shown.last
        client.get(url)
        assert shown.last["accept-language"].startswith("de-DE")
        # With a User-Agent of his own the caller's fields are all that is sent.
        client.get(url, headers={"user-agent": "mine/1"})
        assert "accept-language" not in shown.last


def test_equal_settings_share_connections_and_others_do_not(shown: Shown, url: str, ca_file: str) -> None:
    with tls_requests.Client(verify=ca_file, locale="de") as client:
        before = client.stats().connections_opened
        client.get(url)
        client.get(url, locale="de")
        client.get(url, locale="DE", platform="macos")
        assert client.stats().connections_opened == before + 1
        client.get(url, platform="linux")
        assert client.stats().connections_opened == before + 2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"locale": "de_DE"}, ValueError),
        ({"locale": "de\r\nx: y"}, ValueError),
        ({"locale": 5}, TypeError),
        ({"locale": []}, ValueError),
        ({"platform": "beos"}, ValueError),
        ({"platform": 5}, TypeError),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_sent(
    twin: Any, shown: Shown, url: str, ca_file: str, options: dict[str, Any], error: type[Exception]
) -> None:
    connections = len(shown.connections)
    with pytest.raises(error, match=f"^{next(iter(options))}"):
        twin.client(**options)
    with twin.client(verify=ca_file) as client:
        with pytest.raises(error, match=f"^{next(iter(options))}"):
            client.get(url, **options)
        for name, value in options.items():
            with pytest.raises(error):
                setattr(client, name, value)
            assert getattr(client, name) is None
    assert len(shown.connections) == connections and shown.requests == []


def test_a_browser_that_is_not_there(twin: Any, shown: Shown, url: str, ca_file: str) -> None:
    connections = len(shown.connections)
    with pytest.raises(exceptions.ProfileError, match="WebKit") as caught:
        twin.client(platform="ios")
    assert caught.value.path == "platform"
    with pytest.raises(exceptions.ProfileError, match="sends no accept-language"):
        twin.client(locale="de", client_identifier="okhttp_5")
    with twin.client(verify=ca_file) as client:
        response = client.get(url, platform="ios")
        assert response.status_code == 0 and isinstance(response.error, exceptions.ProfileError)
        assert "windows, macos, linux, android" in response.text
        client.raise_on_error = True
        with pytest.raises(exceptions.ProfileError, match="Apple's systems alone"):
            client.get(url, platform="windows", client_identifier="safari_18_0")
    # A browser that comes later: by the way through the chain.
    with twin.client(verify=ca_file, platform="windows") as client:
        client.client_identifier = "safari_18_0"
        response = client.get(url)
        assert response.status_code == 0 and response.error.code == "PROFILE_INVALID"
        client.client_identifier = "firefox_153"
        assert client.get(url).ok
    assert len(shown.connections) == connections + 1


def warned(call: Any, *arguments: Any, **options: Any) -> list[str]:
    from tls_requests import _options

    _options._warned.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*arguments, **options)
    return [str(item.message) for item in caught if item.category is exceptions.ContradictionWarning]


def test_contradictions_warn(twin: Any, shown: Shown, url: str, ca_file: str) -> None:
    linux = {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36"
    }
    with twin.client(verify=ca_file, platform="windows") as client:
        assert warned(client.get, url) == []
        assert warned(client.get, url, headers=linux) == [
            "platform='windows' contradicts the User-Agent, which says Linux"
        ]
        assert warned(client.get, url, headers=linux, platform="linux") == []
        assert warned(client.get, url, headers={"user-agent": "curl/8"}) == []
        assert warned(client.get, url, headers={"sec-ch-ua-platform": '"Linux"'}) == [
            'sec-ch-ua-platform "Linux" contradicts the User-Agent, which says Windows'
        ]
    with twin.client(verify=ca_file) as client:
        assert warned(client.get, url, headers=linux) == []
        assert warned(client.get, url, headers=linux, platform="android") == [
            "platform='android' contradicts the User-Agent, which says Linux"
        ]


def test_a_plain_client_loads_nothing_for_it() -> None:
    """What nobody asks for is neither imported nor computed."""
    code = (
        "import sys, tls_requests\n"
        "client = tls_requests.Client()\n"
        "client.get('http://127.0.0.1:9/')\n"
        "assert not [name for name in sys.modules if name.startswith('tls_requests._fingerprint')], sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).resolve().parents[2])
