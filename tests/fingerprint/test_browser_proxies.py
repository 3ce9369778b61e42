"""Chromium and Firefox through a recording proxy of each kind, and our client with their profiles through the same one: what the proxy is sent,
byte for byte. What was seen is in docs/internals/net.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from browser_fixtures import Captured
from proxy_recorder import ADDRESS, field
from proxy_visits import FIRST, NAMES, SECURE, Recorded, Way, by_browser, by_client

from tls_requests import Profile
from tls_requests._fingerprint import authority as authorities
from tls_requests._fingerprint.client_hello import client_hello_from_bytes
from tls_requests._fingerprint.compare import compare_tls

BROWSERS = {"chromium": "chromium_156_linux", "firefox-esr": "firefox_153_linux"}
WAYS = [
    Way("http"),
    Way("http", auth=True),
    Way("http", auth=True, first=SECURE),
    Way("https", ("http/1.1",)),
    Way("https", ("h2",)),
    Way("https", ("h2",), auth=True),
    Way("socks4"),
    Way("socks5"),
]
# A proxy is sent these, in the order of the visit.
REQUESTS = [
    f"GET {FIRST} ",
    f"GET {FIRST}image ",
    f"GET {FIRST}fetch ",
    "CONNECT origin.test:8080 ",
    f"GET {FIRST}second ",
]
REQUESTS += ["CONNECT origin.test:443 ", "CONNECT other.test:443 "]


@pytest.fixture(scope="session")
def proxy_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[authorities.Authority, str, str]:
    made = authorities.make(NAMES)
    folder = tmp_path_factory.mktemp("proxies")
    (folder / "server.pem").write_text(made.both)
    (folder / "ca.pem").write_text(made.ca)
    return made, str(folder / "server.pem"), str(folder / "ca.pem")


@pytest.fixture(scope="session")
def visited(
    display: str, proxy_authority: tuple[authorities.Authority, str, str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Way], Recorded]:
    """What a browser sent, recorded when it is first asked for."""
    known: dict[tuple[str, Way], Recorded] = {}

    def visit(program: str, way: Way) -> Recorded:
        if (program, way) not in known:
            authority, certificate, _ = proxy_authority
            folder = tmp_path_factory.mktemp("extension")
            known[program, way] = by_browser(program, way, authority, certificate, display, folder)
        return known[program, way]

    return visit


@pytest.fixture(scope="session")
def profile_of(captured: Callable[[str], Captured], visited: Any) -> Callable[[str, Way], str]:
    """The name of the browser's built-in profile; where the browser has moved on, the file of what is captured from it now."""

    def choose(program: str, way: Way) -> str:
        name = BROWSERS[program]
        agents = [field(head, "user-agent") for seen in visited(program, way).seen for head in seen.heads + seen.inside]
        majors = {re.findall(r"(?:Chrome|Firefox)/(\d+)", agent or "")[0] for agent in agents}
        return name if majors <= {Profile.named(name).version.partition(".")[0]} else str(captured(program).path)

    return choose


@pytest.fixture(scope="session")
def ours(proxy_authority: tuple[authorities.Authority, str, str], profile_of: Any) -> Callable[[str, Way], Recorded]:
    """What our client sends with the browser's profile."""
    known: dict[tuple[str, Way], Recorded] = {}

    def visit(program: str, way: Way) -> Recorded:
        if (program, way) not in known:
            known[program, way] = by_client(profile_of(program, way), way, *proxy_authority[1:])
        return known[program, way]

    return visit


def without_key(head: bytes) -> bytes:
    return re.sub(rb"(?<=Sec-WebSocket-Key: )\S+", b"KEY", head)


def is_http2(way: Way) -> bool:
    return way.alpn == ("h2",)


@pytest.mark.parametrize("way", [way for way in WAYS if not is_http2(way)], ids=str)
@pytest.mark.parametrize("program", BROWSERS)
def test_requests(visited: Any, ours: Any, program: str, way: Way) -> None:
    """Absolute form and CONNECT: the same bytes."""
    browser, mine = visited(program, way), ours(program, way)
    if way.kind.startswith("socks"):
        assert browser.heads() == mine.heads() == []
        return
    wanted = REQUESTS if way.first == FIRST else REQUESTS[-2:]
    for start in wanted:
        expected = browser.head(start, credentials=way.auth)
        if way.auth and program == "firefox-esr" and start == wanted[0] and start.startswith("GET"):
            # The one that was answered with 407, sent again: there the credentials are last. Others have them where ours has them.
            at = b"Proxy-Authorization"
            assert expected.index(at) > expected.index(b"Connection")
            credentials = next(line for line in expected.split(b"\r\n") if line.startswith(at)) + b"\r\n"
            expected = expected.replace(credentials, b"").replace(b"Connection:", credentials + b"Connection:")
        assert mine.head(start).decode() == expected.decode()
    # Nothing was sent that the browser does not send.
    assert len(mine.heads()) == len(wanted)


@pytest.mark.parametrize("way", [way for way in WAYS if way.first == FIRST], ids=str)
@pytest.mark.parametrize("program", BROWSERS)
def test_inside_tunnels(visited: Any, ours: Any, program: str, way: Way) -> None:
    """WebSockets and, through SOCKS, all of plain http go through a tunnel: as without a proxy."""
    browser, mine = visited(program, way), ours(program, way)
    paths = ["/socket"]
    if way.kind.startswith("socks"):
        paths += ["/", "/image", "/fetch", "/second"]
    for path in paths:
        expected, got = (without_key(each.inside(f"GET {path} ")).decode() for each in (browser, mine))
        # With Chromium's SOCKS4 the host's name is looked up here, and our client was given the address instead.
        assert got.replace(ADDRESS, "origin.test") == expected


@pytest.mark.parametrize("way", [way for way in WAYS if way.kind.startswith("socks")], ids=str)
@pytest.mark.parametrize("program", BROWSERS)
def test_socks(visited: Any, ours: Any, program: str, way: Way) -> None:
    """The same bytes for the same targets. (A browser may open more connections than are needed.)"""
    browser, mine = visited(program, way), ours(program, way)

    def asked(recorded: Recorded) -> set[tuple[bytes, ...]]:
        return {tuple(seen.socks) for seen in recorded.seen}

    assert asked(mine) == asked(browser)
    assert len(asked(browser)) == (2 if way == Way("socks4") and program == "chromium" else 3)


def tls_of(identifier: str) -> dict[str, Any]:
    profile = Profile.load(identifier) if identifier.endswith(".json") else Profile.named(identifier)
    tls: dict[str, Any] = profile.to_dict()["tls"]
    return tls


def is_resumption(hello: dict[str, Any]) -> bool:
    return any(item["type"] == 41 for item in hello["extensions"])


@pytest.mark.parametrize("way", [way for way in WAYS if way.kind == "https"], ids=str)
@pytest.mark.parametrize("program", BROWSERS)
def test_hello_to_the_proxy(visited: Any, ours: Any, profile_of: Any, program: str, way: Way) -> None:
    """The ClientHello to an https proxy is that to any other server."""
    tls = tls_of(profile_of(program, way))
    for recorded in (visited(program, way), ours(program, way)):
        hellos = [client_hello_from_bytes(seen.hello) for seen in recorded.seen]
        hellos = [hello for hello in hellos if not is_resumption(hello)]
        assert hellos
        for hello in hellos:
            assert compare_tls(tls, hello) == []


# -------------------------------------------------------------------------------------------------------------- HTTP/2

ASKED = [
    ("GET", "origin.test:8080", "/"),
    ("GET", "origin.test:8080", "/image"),
    ("GET", "origin.test:8080", "/fetch"),
    ("CONNECT", "origin.test:8080", None),
    ("GET", "origin.test:8080", "/second"),
    ("CONNECT", "origin.test:443", None),
    ("CONNECT", "other.test:443", None),
]


def asked(frame: dict[str, Any]) -> tuple[Any, ...]:
    values = frame.get("pseudo_values", {})
    return tuple(values.get(name) for name in (":method", ":authority", ":path"))


def http2_request(recorded: Recorded, wanted: tuple[Any, ...], credentials: bool) -> dict[str, Any]:
    """The first HEADERS frame that asks for it."""
    for seen in recorded.seen:
        for frame in seen.frames:
            given = any(name == "proxy-authorization" for name, _ in frame.get("headers", []))
            if frame["type"] == "HEADERS" and asked(frame) == wanted and given == credentials:
                return frame
    raise AssertionError(f"no {wanted} in {recorded.seen}")


def described(frame: dict[str, Any], wanted: tuple[Any, ...]) -> dict[str, Any]:
    result = {name: frame[name] for name in ("flags", "pseudo_headers", "pseudo_values", "headers")}
    result["priority"] = {name: frame["priority"][name] for name in ("exclusive", "weight")}
    if wanted[2] == "/image":
        # What priority an image has depends on whether it is seen; this one, made by a script, is not.
        result["priority"]["weight"] = None
        result["headers"] = [pair for pair in frame["headers"] if pair[0] != "priority"]
    return result


def http2_opening(seen: Any) -> list[Any]:
    """The connection's first frames, up to and without the first HEADERS; acknowledgements come when they come."""
    opening = []
    for frame in seen.frames:
        if frame["stream_id"] != 0 or frame["type"] == "HEADERS":
            break
        if not frame.get("ack"):
            opening.append({name: value for name, value in frame.items() if name != "length"})
    return opening


@pytest.mark.parametrize("way", [way for way in WAYS if is_http2(way)], ids=str)
@pytest.mark.parametrize("program", BROWSERS)
def test_http2_requests(visited: Any, ours: Any, program: str, way: Way) -> None:
    """Plain http with its scheme, tunnels by CONNECT: the same fields in the same order, the same priorities."""
    browser, mine = visited(program, way), ours(program, way)
    for wanted in ASKED:
        expected = described(http2_request(browser, wanted, way.auth), wanted)
        if way.auth and program == "firefox-esr" and wanted == ASKED[0]:
            # The one that was answered with 407, sent again: its credentials were added last. Others have them where ours has them.
            at = next(index for index, pair in enumerate(expected["headers"]) if pair[0] == "proxy-authorization")
            assert expected["headers"][at - 1][0] == "priority"
            place = [pair[0] for pair in expected["headers"]].index("accept-encoding") + 1
            expected["headers"].insert(place, expected["headers"].pop(at))
        assert described(http2_request(mine, wanted, way.auth), wanted) == expected
    assert all(seen.alpn == "h2" for seen in mine.seen)
    assert [asked(frame) for seen in mine.seen for frame in seen.frames if frame["type"] == "HEADERS"] == ASKED
    openings = [http2_opening(seen) for seen in browser.seen]
    assert all(http2_opening(seen) in openings for seen in mine.seen)


@pytest.mark.parametrize("way", [way for way in WAYS if is_http2(way)], ids=str)
@pytest.mark.parametrize("program", BROWSERS)
def test_http2_connections(visited: Any, ours: Any, program: str, way: Way) -> None:
    """What shares a connection: with Chromium what belongs to a page of one site, with Firefox what has credentials."""
    groups = []
    for recorded in (visited(program, way), ours(program, way)):
        groups.append(
            [
                {asked(frame) for frame in seen.frames if frame["type"] == "HEADERS"} & set(ASKED)
                for seen in recorded.seen
            ]
        )
    browser, mine = groups
    if program == "chromium":
        assert mine == browser == [set(ASKED[:5]), set(ASKED[5:])]
    else:
        # A browser may open a second one before it knows that the proxy speaks HTTP/2.
        assert mine == [set(ASKED[:6]), {ASKED[6]}]
        assert set().union(*browser) == set(ASKED) and {ASKED[6]} in browser


@pytest.mark.parametrize("way", [way for way in WAYS if is_http2(way)], ids=str)
@pytest.mark.parametrize("program", BROWSERS)
def test_http2_tunnel_is_reset(visited: Any, ours: Any, program: str, way: Way) -> None:
    """A WebSocket whose handshake was refused: its tunnel ends with RST_STREAM(CANCEL)."""

    def resets(recorded: Recorded) -> list[int]:
        found = []
        for seen in recorded.seen:
            tunnels = {frame["stream_id"] for frame in seen.frames if asked(frame) == ASKED[3]}
            found += [
                frame["error_code"]
                for frame in seen.frames
                if frame["type"] == "RST_STREAM" and frame["stream_id"] in tunnels
            ]
        return found

    assert resets(ours(program, way)) == [8]
    if program == "chromium":
        assert resets(visited(program, way)) == [8]


@pytest.mark.parametrize("program", BROWSERS)
def test_hello_in_the_tunnel(visited: Any, ours: Any, profile_of: Any, program: str) -> None:
    """What the origin gets is what it gets without a proxy."""
    for way in WAYS:
        tls = tls_of(profile_of(program, way))
        for recorded in (visited(program, way), ours(program, way)):
            hellos = [client_hello_from_bytes(record) for record in recorded.tunnelled()]
            hellos = [hello for hello in hellos if not is_resumption(hello)]
            assert hellos
            for hello in hellos:
                found = compare_tls(tls, hello)
                if way == Way("socks4") and program == "chromium" and recorded is not visited(program, way):
                    found = [
                        item for item in found if "server_name" not in str(item)
                    ]  # our client was given an address
                assert found == [], way


def after(requests: list[bytes]) -> list[tuple[bytes, bool]]:
    """Method and target of each, and whether it has credentials."""
    return [(head.partition(b" HTTP/1.1")[0], b"Proxy-Authorization" in head) for head in requests]


@pytest.mark.parametrize("program", BROWSERS)
def test_credentials(visited: Any, program: str) -> None:
    """After a 407 browsers ask again on the same connection, and from then on give their credentials with every request unasked. (Our client has
    them from the start and does so at once.)"""
    for way in (Way("http", auth=True), Way("http", auth=True, first=SECURE)):
        seen = visited(program, way).seen
        refused = REQUESTS[0].strip().encode() if way.first == FIRST else b"CONNECT origin.test:443"
        again = [each for each in seen if after(each.heads)[:2] == [(refused, False), (refused, True)]]
        assert again
        others = [each for one in seen for each in after(one.heads) if one not in again]
        # Connections that were opened beside it before the credentials were there ask for the same alone.
        assert {each for each in others if not each[1]} <= {(refused, False)}
        assert (b"CONNECT other.test:443", True) in others
