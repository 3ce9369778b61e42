"""The C client through real proxies: one, a chain, with credentials, in absolute form, and past them."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from peers import Peer, free_port
from peers.certs import Pair
from peers.proxies import PASSWORD, USER, start_microsocks, start_squid

USERINFO = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
VERSIONS = [pytest.param([], 20, id="h2"), pytest.param(["--http1"], 11, id="h1")]


@pytest.fixture(scope="module")
def squid(server_pair: Pair) -> Iterator[Peer]:
    with start_squid(server_pair, auth=True) as peer:
        yield peer


@pytest.fixture(scope="module")
def socks() -> Iterator[Peer]:
    with start_microsocks(auth=True) as peer:
        yield peer


@pytest.mark.parametrize(("version", "number"), VERSIONS)
def test_one_proxy(trget, nginx, squid: Peer, socks: Peer, version: list[str], number: int) -> None:
    for scheme, port in (("http", squid.ports["http"]), ("https", squid.ports["https"]), ("socks5h", socks.port)):
        op = trget.op(*version, "--proxy", f"{scheme}://{USERINFO}localhost:{port}", nginx.url())
        assert (op["error"], op["responses"][0]["status"], op["responses"][0]["version"]) == (None, 200, number), op
        assert op["timing"]["peer"].endswith(f":{port}")


def test_a_chain(trget, nginx, squid: Peer, socks: Peer) -> None:
    chain = [f"https://{USERINFO}localhost:{squid.ports['https']}", f"socks5h://{USERINFO}127.0.0.1:{socks.port}"]
    options = [word for url in chain for word in ("--proxy", url)]
    op = trget.op(*options, nginx.url(host="127.0.0.1"))
    assert (op["error"], op["responses"][0]["status"]) == (None, 200), op
    assert op["timing"]["peer"].endswith(f":{squid.ports['https']}")
    report = trget.load(*options, "-n", "50", "-c", "10", nginx.url(host="127.0.0.1"))
    assert (report["failed"], report["2xx"], report["returncode"]) == (0, 50, 0), report
    assert report["stats"]["conns_opened"] == 1


def test_failures(trget, nginx, squid: Peer, socks: Peer) -> None:
    for proxy, code in (
        (f"http://wrong:one@127.0.0.1:{squid.ports['http']}", "PROXY_AUTH"),
        (f"socks5h://wrong:one@127.0.0.1:{socks.port}", "PROXY_AUTH"),
        ("http://127.0.0.1:1", "PROXY_CONNECT"),
    ):
        op = trget.op("--proxy", proxy, nginx.url())
        assert (op["error"], op["request_sent"], op["safe_to_retry"]) == (code, False, True), op
    for options in (
        ["--proxy", "ftp://localhost"],
        ["--proxy", "http://localhost:0"],
        [word for _ in range(9) for word in ("--proxy", "http://localhost:1")],
        ["--proxy", "http://localhost", "--forward", "--no-forward"],
        ["--proxy", "http://localhost", "--connect-header", "no colon"],
    ):
        done = trget.run(*options, nginx.url())
        assert done.returncode == 2 and done.stderr.startswith(("trget: ", "usage: ")), done.stderr


def note_one(listener: socket.socket, heads: list[bytes]) -> None:
    connection, _ = listener.accept()
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        heads.append(head)
        connection.sendall(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("options", "scheme", "pattern"),
    [
        (["--forward"], "http", rb"GET http://origin\.test/a\?b HTTP/1\.1\r\nHost: origin\.test\r\nProxy-Connection: keep-alive\r\n"),
        (["--no-forward"], "http", rb"CONNECT origin\.test:80 HTTP/1\.1\r\nHost: origin\.test:80\r\n"),
        (["--forward", "--connect-header", "X-Session: 7", "--connect-header", "User-Agent:"], "https",
         rb"CONNECT origin\.test:443 HTTP/1\.1\r\nHost: origin\.test:443\r\nProxy-Connection: keep-alive\r\nX-Session: 7\r\n\r\n$"),
    ],
)  # fmt: skip
def test_what_the_proxy_is_sent(trget, options: list[str], scheme: str, pattern: bytes) -> None:
    heads: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        thread = threading.Thread(target=note_one, args=(listener, heads))
        thread.start()
        trget.op("--proxy", f"http://127.0.0.1:{listener.getsockname()[1]}", *options, f"{scheme}://origin.test/a?b")
        thread.join(20)
    assert re.match(pattern, heads[0]), heads


def test_past_the_proxy(trget, nginx) -> None:
    closed_port = free_port()
    options = [
        "--proxy",
        f"http://127.0.0.1:{closed_port}",
        "--no-proxy",
        f"other.test, localhost:{nginx.ports['https']}",
    ]
    through, past = trget.ops(*options, nginx.url(host="127.0.0.1"), nginx.url(host="localhost"))
    assert through["error"] == "PROXY_CONNECT"
    assert (past["error"], past["responses"][0]["status"]) == (None, 200)
