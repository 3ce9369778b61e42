"""WebSockets with servers of several makes, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

import tls_requests
from tls_requests.exceptions import WebSocketClosed, WebSocketHandshakeError

SIZES = (0, 1, 125, 126, 127, 4095, 65535, 65536, 1_000_003)


def sent_cookies(socket: Any) -> str:
    fields = {name.lower(): value for name, value in socket.response.request.raw_headers}
    return str(fields[b"cookie"].decode())


def test_messages_of_every_size_come_back(api: Any, root: str) -> None:
    with api.open(root + "/echo") as socket:
        assert socket.response.status_code == 101 and socket.response.http_version == "HTTP/1.1"
        for size in SIZES:
            data = random.Random(size).randbytes(size)
            text = "ä€😀x"[: max(1, size % 4)] + "t" * size
            socket.send(data)
            socket.send(text)
            assert socket.receive(20) == data
            assert socket.receive(20) == text
        socket.send_json({"a": [1, "ü", None]})
        assert socket.receive_json(20) == {"a": [1, "ü", None]}
    assert (socket.close_code, socket.close_reason) == (1000, "")


def test_text_bytes_and_fragments(api: Any, root: str) -> None:
    with api.open(root) as socket:
        socket.send(["one ", "two ", "drei €"])
        assert socket.receive_text(10) == "one two drei €"
        socket.send(iter([b"1", bytearray(b"2"), memoryview(b"3")]))
        assert socket.receive_bytes(10) == b"123"
        socket.send_text("x")
        with pytest.raises(tls_requests.exceptions.WebSocketError, match="text, not binary"):
            socket.receive_bytes(10)
        socket.send_bytes(b"x")
        with pytest.raises(tls_requests.exceptions.WebSocketError, match="binary, not text"):
            socket.receive_text(10)


def test_a_pong_comes_back(api: Any, root: str) -> None:
    with api.open(root) as socket:
        assert 0 <= socket.ping() < 10
        assert 0 <= socket.ping(b"x" * 125) < 10


def test_the_server_closes(api: Any, root: str) -> None:
    with api.open(root) as socket:
        socket.send("last words")
        socket.send("close 4321 so long €")
        assert socket.receive(10) == "last words"
        with pytest.raises(WebSocketClosed) as info:
            socket.receive(10)
        assert (info.value.close_code, info.value.close_reason) == (4321, "so long €")
        assert (socket.close_code, socket.close_reason) == (4321, "so long €")
        assert socket.closed
        with pytest.raises(WebSocketClosed):
            socket.send("more")
        with pytest.raises(WebSocketClosed):
            socket.ping()


def test_iteration_ends_with_a_normal_close(api: Any, root: str) -> None:
    with api.open(root) as socket:
        for text in ("a", "b", "close 1000 ok"):
            socket.send(text)
        assert socket.all() == ["a", "b"]
        assert socket.close_code == 1000


def test_subprotocol_and_cookies(api: Any, root: str) -> None:
    with api.open(root, subprotocols=["chat", "superchat"], cookies={"mine": "1"}) as socket:
        assert socket.subprotocol == "chat"
        assert socket.response.headers["set-cookie"].startswith("seen=yes")
        assert sent_cookies(socket) == "mine=1"
    assert api.client.cookies["seen"] == "yes"
    with api.open(root) as socket:
        assert sent_cookies(socket) == "seen=yes"
        assert socket.subprotocol is None


def test_a_refusal_has_the_answer(api: Any, root: str) -> None:
    with pytest.raises(WebSocketHandshakeError) as info:
        api.open(root + "/refuse")
    assert info.value.response is not None and info.value.response.status_code == 403
    assert info.value.close_code is None


def test_without_compression(api: Any, root: str) -> None:
    with api.open(root, compression=False) as socket:
        assert "sec-websocket-extensions" not in socket.response.request.headers
        assert "sec-websocket-extensions" not in socket.response.headers
        socket.send("z" * 100_000)
        assert socket.receive(10) == "z" * 100_000


@pytest.mark.parametrize("identifier", ["chromium_156_linux", "firefox_153_linux", "safari_16_0", "okhttp4_android_13"])
def test_profiles_open_them(api: Any, plain: str, identifier: str) -> None:
    client = api.new_client(client_identifier=identifier)
    with api.open(plain, client) as socket:
        socket.send("x")
        assert socket.receive(10) == "x"


def test_over_http2_where_the_server_takes_it(api: Any, ports: Callable[[str], str]) -> None:
    """Chromium asks over the HTTP/2 connection that is there; several WebSockets and requests share it."""
    root = ports("hypercorn")
    client = api.new_client(client_identifier="chromium_156_linux")
    assert api.get(root.replace("wss", "https"), client).http_version == "HTTP/2.0"
    sockets = [api.open(f"{root}/{n}", client) for n in range(5)]
    for number, socket in enumerate(sockets):
        assert socket.response.http_version == "HTTP/2.0" and socket.response.status_code == 200
        socket.send(f"number {number}")
        socket.send(bytes([number]) * 300_000)
    assert api.get(root.replace("wss", "https"), client).text == "plain"
    for number, socket in enumerate(sockets):
        assert socket.receive(10) == f"number {number}"
        assert socket.receive(20) == bytes([number]) * 300_000
    assert sockets[1].ping() < 10
    for socket in sockets[1:]:
        socket.close()
    # Last: hypercorn may end the whole connection when the answer to its close frame comes.
    sockets[0].send("close 4000 bye")
    with pytest.raises(WebSocketClosed) as info:
        sockets[0].receive(10)
    assert (info.value.close_code, info.value.close_reason) == (4000, "bye")
    sockets[0].close()
    assert [socket.close_code for socket in sockets] == [4000, 1000, 1000, 1000, 1000]
    peers = {socket.response.timing.local for socket in sockets}
    assert len(peers) == 1


def test_firefox_takes_http2_at_once(api: Any, ports: Callable[[str], str]) -> None:
    client = api.new_client(client_identifier="firefox_153_linux")
    with api.open(ports("hypercorn"), client) as socket:
        assert socket.response.http_version == "HTTP/2.0"
        socket.send("x")
        assert socket.receive(10) == "x"


def test_firefox_goes_apart_where_http2_does_not_take_it(api: Any, ports: Callable[[str], str]) -> None:
    client = api.new_client(client_identifier="firefox_153_linux")
    root = ports("nginx")
    assert api.get(root.replace("wss", "https") + "/refuse", client).http_version == "HTTP/2.0"
    with api.open(root, client) as socket:
        assert socket.response.http_version == "HTTP/1.1"
        socket.send("x")
        assert socket.receive(10) == "x"


def test_refused_over_http2(api: Any, ports: Callable[[str], str]) -> None:
    client = api.new_client(client_identifier="firefox_153_linux")
    with pytest.raises(WebSocketHandshakeError) as info:
        api.open(ports("hypercorn") + "/refuse", client)
    assert info.value.response.status_code == 403 and info.value.response.http_version == "HTTP/2.0"


def test_more_websockets_than_a_host_has_connections(api: Any, plain: str) -> None:
    """Six connections a host is the limit for requests; WebSockets do not count once they are open."""
    sockets = [api.open(plain) for _ in range(20)]
    for socket in sockets:
        socket.send("x")
    assert [socket.receive(10) for socket in sockets] == ["x"] * 20
    for socket in sockets:
        socket.close()


def test_json_that_is_none(api: Any, plain: str) -> None:
    with api.open(plain) as socket:
        socket.send("{")
        with pytest.raises(json.JSONDecodeError):
            socket.receive_json(10)
        with pytest.raises(TypeError):
            socket.send_json({1, 2})
        socket.send("still open")
        assert socket.receive(10) == "still open"


def test_text_that_has_no_utf8(api: Any, plain: str) -> None:
    """It is refused in words that name it, and nothing of it is sent: the WebSocket goes on."""
    with api.open(plain) as socket:
        for send, value in (("send", "a\ud800b"), ("send_text", "\udfff"), ("send_json", {"key": "\ud800"})):
            with pytest.raises(TypeError, match="surrogates not allowed"):
                getattr(socket, send)(value)
        with pytest.raises(ValueError, match="reason is not valid Unicode") as caught:
            socket.close(1000, "\ud800")
        assert not isinstance(caught.value, UnicodeError)
        socket.send("good")
        assert socket.receive(10) == "good"
