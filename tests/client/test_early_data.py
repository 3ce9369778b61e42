"""Early data (RFC 8446 2.3) where the profile's browser sends it: Firefox, with safe requests, on resumed connections."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from peers import Peer
from peers.certs import Pair
from peers.fake import close_listener
from peers.servers import NGINX, start_nginx, start_s_server

FIREFOX = "firefox_153"
# A new connection for each request, resumed.
SETTINGS: dict[str, Any] = {
    "client_identifier": FIREFOX,
    "raise_on_error": True,
    "transportOptions": {"disableKeepAlives": True},
}

LOCATIONS = """
        location = /early {{ return 200 "early=$ssl_early_data $request_method $http_x_number"; }}
        location = /late {{

            if ($ssl_early_data) {{ return 425; }}
            return 200 "late $request_method";
        }}
        location = /204 {{"""


@pytest.fixture(scope="module")
def early_nginx(server_pair: Pair) -> Iterator[Peer]:
    config = NGINX.replace("ssl_session_tickets on;", "ssl_session_tickets on;\n    ssl_early_data on;")
    assert config.count("location = /204 {{") == 1
    with start_nginx(server_pair, config=config.replace("        location = /204 {{", LOCATIONS)) as peer:
        yield peer


@pytest.fixture(params=["https", "https1"])
def base(early_nginx: Peer, request: pytest.FixtureRequest) -> str:
    """Over HTTP/2, and over HTTP/1.1."""
    return early_nginx.url("", port=request.param)


# Idle connections end soon.
SHORT = tls_requests.Limits(idle_timeout=0.02)


def client(ca_file: str, **settings: Any) -> tls_requests.Client:
    return tls_requests.Client(**{**SETTINGS, "verify": ca_file, **settings})


async def until_closed(session: tls_requests.AsyncClient) -> None:
    for _ in range(500):
        if session.stats().open == 0:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the idle connection stays open")


def early(response: tls_requests.Response) -> tuple[bool, bool]:
    """What the client says, and whether the server answered before the handshake was done (it may be done by then)."""
    assert response.timing is not None
    return response.timing.tls_early, response.text.startswith("early=1")


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "HEAD"])
def test_safe_requests_go_early_on_resumed_connections(base: str, ca_file: str, method: str) -> None:
    with client(ca_file) as session:
        first = session.get(f"{base}/early")
        assert early(first) == (False, False) and not first.timing.tls_resumed
        response = session.request(method, f"{base}/early", headers={"x-number": "7"})
        assert response.status_code == 200 and response.timing.tls_resumed and response.timing.tls_early
        assert method == "HEAD" or response.text in (f"early=1 {method} 7", f"early= {method} 7")


@pytest.mark.parametrize(("method", "body"), [("POST", b"x"), ("PUT", b"x"), ("DELETE", None), ("GET", b"body")])
def test_what_must_not_be_repeated_waits_for_the_handshake(base: str, ca_file: str, method: str, body: Any) -> None:
    with client(ca_file) as session:
        session.get(f"{base}/early")
        response = session.request(method, f"{base}/early", **({"content": body} if body else {}))
        assert early(response) == (False, False)
        assert response.timing.tls_resumed and response.text.split()[1] == method


def test_it_can_be_turned_off(base: str, ca_file: str) -> None:
    with client(ca_file, early_data=False) as session:
        session.get(f"{base}/early")
        assert early(session.get(f"{base}/early")) == (False, False)
    with client(ca_file) as session:
        session.get(f"{base}/early")
        assert early(session.get(f"{base}/early", early_data=False)) == (False, False)
        assert early(session.get(f"{base}/early"))[0]


def test_browsers_that_send_none(base: str, ca_file: str) -> None:
    with client(ca_file, client_identifier="chromium_156") as session:
        session.get(f"{base}/early")
        response = session.get(f"{base}/early")
        assert early(response) == (False, False) and response.timing.tls_resumed


def test_too_early_is_asked_again(base: str, ca_file: str) -> None:
    """The server says 425 while its handshake is not done; often it is done when the request is looked at."""
    for _ in range(100):
        with client(ca_file) as session:
            session.get(f"{base}/early")
            response = session.get(f"{base}/late")
            assert (response.status_code, response.text, response.history) == (200, "late GET", [])
            if response.timing.replays == 1:
                assert not response.timing.tls_early
                return
    raise AssertionError("no answer was 425")


def test_many_at_once(early_nginx: Peer, ca_file: str) -> None:
    """Safe and other requests wait for one resumed handshake: the first go with its ClientHello, the others behind it."""
    base = early_nginx.url("")

    async def main() -> list[tls_requests.Response]:
        async with tls_requests.AsyncClient(verify=ca_file, client_identifier=FIREFOX, limits=SHORT) as session:
            await session.get(f"{base}/early")
            await until_closed(session)
            calls = [session.request("POST" if n % 3 == 0 else "GET", f"{base}/headers") for n in range(60)]
            return await asyncio.gather(*calls)

    responses = asyncio.run(main())
    assert all(response.status_code in (200, 405) for response in responses)
    assert {response.timing.tls_early for response in responses[0::3]} == {False}
    assert any(response.timing.tls_early for response in responses)
    assert len({response.timing.local for response in responses}) == 1


def test_more_than_there_is_room_for(early_nginx: Peer, ca_file: str) -> None:
    """16 KiB are allowed (nginx): what does not fit goes out behind the handshake, in order."""
    base = early_nginx.url("")

    async def main() -> list[tls_requests.Response]:
        async with tls_requests.AsyncClient(verify=ca_file, client_identifier=FIREFOX, limits=SHORT) as session:
            await session.get(f"{base}/early")
            await until_closed(session)
            calls = [session.get(f"{base}/headers", headers={"x-test": f"{n}" + "x" * 900}) for n in range(80)]
            return await asyncio.gather(*calls)

    responses = asyncio.run(main())
    for number, response in enumerate(responses):
        assert response.status_code == 200 and response.text.split("|")[3] == f"{number}" + "x" * 900


@pytest.mark.parametrize("groups", [[], ["-groups", "P-384"]])
def test_refused_early_data_is_sent_again(server_pair: Pair, ca_file: str, groups: list[str]) -> None:
    """A server that gave a ticket for early data, and takes none: s_server's status page, over HTTP/1.1."""
    options = ["-tls1_3", "-alpn", "http/1.1", *groups]
    # -max_early_data in the ticket alone: without -early_data the server skips what comes.
    with (
        start_s_server(server_pair, *options, "-max_early_data", "16384", "-no_anti_replay") as peer,
        client(ca_file) as session,
    ):
        for number in range(4):
            response = session.get(peer.url("/"))
            assert response.status_code == 200 and "TLSv1.3" in response.text
            assert not response.timing.tls_early and response.timing.tls_resumed == (number > 0)


class Relay:
    """Between client and nginx: keeps what each connection began with, and cuts those that `cut` says."""

    def __init__(self, peer: Peer, cut: Callable[[int], bool] = lambda number: False) -> None:
        self.peer, self.cut = peer, cut
        self.openings: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        close_listener(self.listener)

    def serve(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(near,), daemon=True).start()

    def relay(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.peer.port)) as far:
            near.settimeout(10)
            far.settimeout(10)
            first = near.recv(65536)
            self.openings.append(first)
            if self.cut(len(self.openings)):
                return
            far.sendall(first)
            back = threading.Thread(target=self.pump, args=(far, near), daemon=True)
            back.start()
            self.pump(near, far)
            back.join(10)

    @staticmethod
    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def test_a_server_that_stumbles_gets_the_next_handshake_without(early_nginx: Peer, ca_file: str) -> None:
    """The connection is cut as soon as early data came: the request goes out again, on a connection without."""
    with Relay(early_nginx, lambda number: number == 2) as relay, client(ca_file) as session:
        session.get(f"{relay.url}/early")
        response = session.get(f"{relay.url}/early")
        assert early(response) == (False, False) and response.timing.replays == 1
        assert session.get(f"{relay.url}/early").status_code == 200
        assert len(relay.openings) == 4


def test_what_leaves_with_the_hello(early_nginx: Peer, ca_file: str, root: Path) -> None:
    """The ClientHello is the capture's; ChangeCipherSpec, the opening frames and the first request follow in records of their own."""
    sys.path.insert(0, str(root / "tools"))
    try:
        from fingerprint.compare import compare_tls
    finally:
        sys.path.pop(0)
    from tls_requests._fingerprint.client_hello import parse_client_hello

    with Relay(early_nginx) as relay, client(ca_file) as session:
        session.get(f"{relay.url}/early")
        assert session.get(f"{relay.url}/early").timing.tls_early
    records, at = [], 0
    opening = relay.openings[1]
    while at < len(opening):
        length = int.from_bytes(opening[at + 3 : at + 5], "big")
        records.append((opening[at], opening[at + 5 : at + 5 + length]))
        at += 5 + length
    assert [kind for kind, _ in records] == [22, 20, 23, 23]
    # Preface, SETTINGS and WINDOW_UPDATE; HEADERS and the stream's WINDOW_UPDATE: as behind a handshake (behaviour of firefox_153).
    assert len(records[2][1]) == 24 + 9 + 24 + 9 + 4 + 1 + 16
    capture = json.loads((root / "profiles" / "firefox_153_linux.json").read_text(encoding="utf-8"))
    hello = parse_client_hello(records[0][1])
    found = compare_tls(capture["variants"]["resumption_early_data"]["tls"], hello)
    # The ECH payload's length follows from the ticket's, by a rule that tests/c/test_tls_hello.c checks.
    assert [item for item in found if not item["field"].endswith("payload_length")] == []
