"""The HTTP/2 proxies themselves, seen by another client: each does what the tests of ours take for granted."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable

import pytest
from h2_client import H2Client

from peers import Peer
from peers.proxies import PASSWORD, PLAIN_PASSWORD, PLAIN_USER, USER
from peers.servers import INDEX

MAKES = ["go", "nghttpx", "apache"]
CREDENTIALS = {"go": (PLAIN_USER, PLAIN_PASSWORD), "nghttpx": (USER, PASSWORD), "apache": (USER, PASSWORD)}

pytestmark = pytest.mark.timeout(60)


def port_of(peer: Peer) -> int:
    return peer.ports["https"]


@pytest.mark.parametrize("make", MAKES)
def test_tunnels_share_a_connection(proxies: Callable[[str], Peer], nginx: Peer, ca_file: str, make: str) -> None:
    """Three tunnels at a time, used last to first, then a plain http request."""
    with H2Client(port_of(proxies(f"h2-{make}")), ca_file) as client:
        targets = [("127.0.0.1", "https1"), ("localhost", "https1"), ("127.0.0.1", "https")]
        streams = [client.connect(f"{host}:{nginx.ports[port]}") for host, port in targets]
        assert [client.wait_status(stream) for stream in streams] == [200] * 3
        for stream, (host, _) in reversed(list(zip(streams, targets))):
            answer = client.get_in_tunnel(stream, ca_file, host)
            assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(INDEX), answer[:200]
        plain = client.get(f"127.0.0.1:{nginx.ports['http']}")
        assert (client.wait_status(plain), client.wait_end(plain)) == (200, INDEX)
        assert client.goaway is None and not set(client.reset.values()) - {0}


@pytest.mark.parametrize("make", MAKES)
def test_log_in(proxies, nginx, ca_file, make: str) -> None:
    """Neither without credentials nor with wrong ones; the connection lives on."""
    peer = proxies(f"h2-{make}+auth")
    target = f"127.0.0.1:{nginx.ports['https1']}"
    for credentials, status in ((None, 407), (("wrong", "one"), 407), (CREDENTIALS[make], 200)):
        with H2Client(port_of(peer), ca_file, credentials) as client:
            for _ in range(2):
                assert client.wait_status(client.connect(target)) == status
            assert client.wait_status(client.get(f"127.0.0.1:{nginx.ports['http']}")) == status


@pytest.mark.parametrize(
    ("name", "target", "status"),
    [
        ("h2-go", "127.0.0.1:{closed}", 502),
        ("h2-go-403", "127.0.0.1:{closed}", 403),
        ("h2-go-502", "127.0.0.1:{closed}", 502),
        ("h2-nghttpx", "192.0.2.1:443", 403),
        ("h2-nghttpx", "127.0.0.1:{closed}", 503),
        ("h2-apache", "127.0.0.1:9", 403),
        ("h2-apache", "127.0.0.1:{closed}", 503),
    ],
)
def test_refusals(proxies, ca_file, closed_port: int, name: str, target: str, status: int) -> None:
    with H2Client(port_of(proxies(name)), ca_file) as client:
        for _ in range(2):
            assert client.wait_status(client.connect(target.format(closed=closed_port))) == status


def test_go_limits_streams(proxies, ca_file) -> None:
    with H2Client(port_of(proxies("h2-go-2-streams")), ca_file) as client:
        while client.h2.remote_settings.max_concurrent_streams > 2:
            client.step()
        assert client.h2.remote_settings.max_concurrent_streams == 2


def test_go_goes_away(proxies, nginx, ca_file) -> None:
    """GOAWAY with the answer to the third request; tunnels that stand go on."""
    with H2Client(port_of(proxies("h2-go-goaway")), ca_file) as client:
        target = f"127.0.0.1:{nginx.ports['https1']}"
        streams = [client.connect(target) for _ in range(3)]
        assert [client.wait_status(stream) for stream in streams] == [200] * 3
        while client.goaway is None:
            client.step()
        assert client.goaway >= streams[-1]
        for stream in streams:
            assert client.get_in_tunnel(stream, ca_file, "127.0.0.1").endswith(INDEX)


def test_go_without_http2(proxies, ca_file) -> None:
    context = ssl.create_default_context(cafile=ca_file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port_of(proxies("h1-go"))), 10) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        assert tls.selected_alpn_protocol() == "http/1.1"
