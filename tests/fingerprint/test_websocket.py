"""WebSocket handshakes and event streams as they go over the wire, against what the live captures recorded of the browsers:
the ClientHello of a WebSocket's own connection, the fields over HTTP/1.1, extended CONNECT over HTTP/2."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from tls_requests.exceptions import WebSocketHandshakeError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from fingerprint import compare, server  # noqa: E402

CHROMIUM, FIREFOX = "chromium_156_linux", "firefox_153_linux"
ALPN, COMPRESS, ALPS, PSK = 16, 27, 17613, 41


class Connect(server.Connection):
    settings = [*server.Connection.settings, (8, 1)]


class Site(server.Server):
    """Notes the requests; refuses WebSockets over HTTP/1.1, accepts them over HTTP/2, serves an event stream."""

    def __init__(self, *args: Any, extended: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.requests: list[server.Request] = []
        if extended:
            self.connection_class = Connect

    def respond(self, connection: Any, request: Any) -> Any:
        self.requests.append(request)
        if request.protocol == "websocket":
            return server.Response(200, [], keep_open=True)
        if request.path == "/events":
            return server.Response(200, [("content-type", "text/event-stream")], b"data: x\n\n")
        return server.Response(200, [("content-type", "text/plain")], b"ok")


@pytest.fixture
def serve(server_pair: Any) -> Iterator[Any]:
    running: list[Any] = []

    def start(**options: Any) -> Site:
        running.append(Site("127.0.0.1", 0, str(server_pair.both), **options).start())
        return running[-1]  # type: ignore[no-any-return]

    yield start
    for peer in running:
        peer.stop()


def capture(name: str) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((ROOT / "profiles" / f"{name}.json").read_text())
    return data


def hellos(peer: Any) -> list[dict[str, Any]]:
    return [c.record for c in peer.connections if c.record["client_hellos"]]


def extensions(record: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    return {item["type"]: item for item in record["client_hellos"][0]["decoded"]["extensions"]}


def refused(client: tls_requests.Client, peer: Any, **options: Any) -> None:
    with pytest.raises(WebSocketHandshakeError) as info:
        client.websocket(f"wss://localhost:{peer.port}/socket", **options).open()
    assert info.value.response is not None and info.value.response.http_version == "HTTP/1.1"


def fields_as_recorded(peer: Any, row: dict[str, Any], sent: Any, **more: str) -> None:
    """Names, spelling, order and values; the key is ours, host and origin are the server's."""
    host = f"localhost:{peer.port}"
    wanted = []
    for name, value in row["headers"]:
        lower = name.lower()
        if lower == "sec-websocket-key":
            value = dict(sent.headers).get(name, "")
            assert len(value) == 24 and value.endswith("==")
        wanted.append([name, {"host": host, "origin": f"https://{host}", **more}.get(lower, value)])
    assert [list(item) for item in sent.headers] == wanted


@pytest.mark.parametrize("name", [CHROMIUM, FIREFOX])
def test_fields_over_http1(serve: Any, ca_file: str, name: str) -> None:
    peer = serve(alpn=("http/1.1",))
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        refused(client, peer, subprotocols=["chat", "superchat"])
    fields_as_recorded(peer, capture(name)["requests"]["http1"]["websocket"], peer.requests[-1])


@pytest.mark.parametrize("name", [CHROMIUM, FIREFOX])
def test_cookies_go_where_the_browser_puts_them(serve: Any, ca_file: str, name: str) -> None:
    peer = serve(alpn=("http/1.1",))
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        client.cookies.set("a", "1", domain="localhost")
        refused(client, peer)
    names = [field.lower() for field, _ in peer.requests[-1].headers]
    at = names.index("cookie")
    assert names[at + 1] == ("sec-websocket-key" if name == CHROMIUM else "sec-fetch-dest")


def test_chromium_opens_one_of_its_own(serve: Any, ca_file: str) -> None:
    """http/1.1 alone and no ALPS, at once, resumed where there is a ticket of an ordinary connection."""
    profile = capture(CHROMIUM)
    peer = serve()
    with tls_requests.Client(client_identifier=CHROMIUM, verify=ca_file) as client:
        refused(client, peer)
        assert client.get(f"https://localhost:{peer.port}/").http_version == "HTTP/2.0"
        refused(client, peer)
    first, ordinary, second = hellos(peer)
    variants = profile["variants"]
    assert list(compare.compare({"tls": variants["websocket"]["tls"]}, first)) == []
    assert ALPS in extensions(ordinary)
    assert second["negotiated"]["resumed"] is True
    assert list(compare.compare({"tls": variants["websocket_same_host"]["tls"]}, second)) == []


def test_firefox_asks_an_ordinary_connection_first(serve: Any, ca_file: str) -> None:
    """It is HTTP/2 without extended CONNECT: a second one follows, with http/1.1 alone and without compress_certificate."""
    profile = capture(FIREFOX)
    peer = serve()
    with tls_requests.Client(client_identifier=FIREFOX, verify=ca_file) as client:
        refused(client, peer)
    ordinary, own = hellos(peer)
    assert list(compare.compare({"tls": profile["tls"]}, ordinary)) == []
    assert own["negotiated"]["resumed"] is True
    assert list(compare.compare({"tls": profile["variants"]["websocket"]["tls"]}, own)) == []
    assert COMPRESS in extensions(ordinary) and COMPRESS not in extensions(own)


def test_firefox_uses_an_ordinary_connection_of_http1(serve: Any, ca_file: str) -> None:
    peer = serve(alpn=("http/1.1",))
    with tls_requests.Client(client_identifier=FIREFOX, verify=ca_file) as client:
        client.get(f"https://localhost:{peer.port}/").raise_for_status()
        refused(client, peer)
    _, own = hellos(peer)
    assert list(compare.compare({"tls": capture(FIREFOX)["variants"]["websocket_same_host_http1"]["tls"]}, own)) == []


@pytest.mark.parametrize("name", [CHROMIUM, FIREFOX])
def test_extended_connect(serve: Any, ca_file: str, name: str) -> None:
    row = capture(name)["requests"]["http2"]["websocket"]
    peer = serve(extended=True)
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        if name == CHROMIUM:  # it asks only where a connection is there
            client.get(f"https://localhost:{peer.port}/").raise_for_status()
        socket = client.websocket(
            f"wss://localhost:{peer.port}/socket", subprotocols=["chat", "superchat"], close_timeout=0.1
        ).open()
        assert socket.response.http_version == "HTTP/2.0"
        socket.close()
    [record] = hellos(peer)
    sent = peer.requests[-1]
    fields_as_recorded(peer, row, sent)
    frame = [item for item in record["http2"]["frames"] if item["type"] == "HEADERS"][-1]
    assert frame["pseudo_headers"] == [name for name, _ in row["pseudo_headers"]]
    assert (sent.method, sent.path, sent.protocol) == ("CONNECT", "/socket", "websocket")
    assert frame["priority"]["weight"] == row["priority"]["weight"]
    assert frame["priority"]["exclusive"] == row["priority"]["exclusive"]
    if name == CHROMIUM:
        assert frame["priority"]["depends_on"] == 0  # the navigation is over


@pytest.mark.parametrize("name", [CHROMIUM, FIREFOX])
@pytest.mark.parametrize("version", ["http2", "http1"])
def test_event_streams(serve: Any, ca_file: str, name: str, version: str) -> None:
    row = capture(name)["requests"][version]["event_source"]
    peer = serve(alpn=("h2", "http/1.1") if version == "http2" else ("http/1.1",))
    base = f"https://localhost:{peer.port}"
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        for field, value in row["headers"]:
            if field.lower() == "cookie":
                for cookie in value.split("; "):
                    client.cookies.set(*cookie.split("=", 1), domain="localhost")
        with client.events(base + "/events", page=base + "/all", reconnect=False) as events:
            assert [event.data for event in events] == ["x"]
    fields_as_recorded(peer, row, peer.requests[-1], referer=base + "/all")
    if version == "http2":
        [record] = hellos(peer)
        [frame] = [item for item in record["http2"]["frames"] if item["type"] == "HEADERS"]
        assert frame["priority"]["weight"] == row["priority"]["weight"]
