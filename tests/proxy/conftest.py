"""Fixtures: both kinds of clients, a plain origin that shows what it got, and the proxies."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import tls_requests

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from echo_site import Site, running_site
from peers import Peer
from peers.certs import Pair
from peers.h2_proxies import start_apache, start_go_proxy, start_nghttpx
from peers.proxies import (
    start_dante,
    start_microsocks,
    start_pproxy,
    start_proxy_py,
    start_squid,
    start_ssh,
    start_tinyproxy,
)
from peers.sockets import start_hypercorn

STEP_SECONDS = 25


class Session:
    """A client, blocking or asynchronous, behind one face."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        self.client: Any = (tls_requests.AsyncClient if self.loop else tls_requests.Client)(**options)

    def request(self, method: str, url: Any, **arguments: Any) -> tls_requests.Response:
        answer = self.client.request(method, url, **arguments)
        response: tls_requests.Response = answer if self.loop is None else self.loop.run_until_complete(answer)
        return response

    def get(self, url: Any, **arguments: Any) -> tls_requests.Response:
        return self.request("GET", url, **arguments)

    def gather(self, urls: Sequence[str], **arguments: Any) -> list[tls_requests.Response]:
        """GET all of them at once."""
        if self.loop is None:
            with ThreadPoolExecutor(len(urls)) as pool:
                return list(pool.map(lambda url: self.client.get(url, **arguments), urls))

        async def all_of_them() -> list[tls_requests.Response]:
            return list(await asyncio.gather(*(self.client.get(url, **arguments) for url in urls)))

        return self.loop.run_until_complete(all_of_them())

    def stream(self, method: str, url: str, **arguments: Any) -> Streamed:
        return Streamed(self, self.client.stream(method, url, **arguments))

    def websocket(self, url: str, **arguments: Any) -> Blocking:
        return Blocking(self, self.client.websocket(url, **arguments))

    def run(self, work: Any) -> Any:
        """The result of what a method gave: of either kind of client."""
        return work if self.loop is None else self.loop.run_until_complete(asyncio.wait_for(work, STEP_SECONDS))

    def close(self) -> None:
        self.client.close()
        if self.loop is not None and not self.loop.is_closed():
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


class Blocking:
    """What a client's context manager opens, entered; its methods called as if they blocked."""

    def __init__(self, session: Session, context: Any) -> None:
        self.session = session
        self.context = context
        self.opened: Any = session.run(context.__enter__() if session.loop is None else context.__aenter__())

    def call(self, name: str, *arguments: Any) -> Any:
        return self.session.run(getattr(self.opened, name)(*arguments))

    def close(self) -> None:
        leave = self.context.__exit__ if self.session.loop is None else self.context.__aexit__
        self.session.run(leave(None, None, None))

    def __enter__(self) -> Blocking:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Streamed(Blocking):
    """An answer that is read in pieces."""

    pieces: Any = None

    def piece(self) -> bytes:
        """The next one; empty at the end."""
        if self.session.loop is None:
            self.pieces = self.pieces or self.opened.iter_bytes()
            return bytes(next(self.pieces, b""))
        self.pieces = self.pieces or self.opened.aiter_bytes()
        try:
            return bytes(self.session.run(self.pieces.__anext__()))
        except StopAsyncIteration:
            return b""

    def rest(self) -> bytes:
        return b"".join(iter(self.piece, b""))


Maker = Callable[..., Session]


@pytest.fixture(params=["sync", "async"])
def session(request: pytest.FixtureRequest, ca_file: str) -> Iterator[Maker]:
    """Makes clients that trust the test authority; they are closed with the test."""
    made: list[Session] = []

    def make(**options: Any) -> Session:
        made.append(Session(request.param, {"verify": ca_file, "timeout": 10.0, **options}))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def site_server() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def site(site_server: Site) -> Site:
    site_server.seen.clear()
    return site_server


class Proxies:
    """Real proxies, each started at its first use and kept: `proxies("squid+auth")`."""

    def __init__(self, starters: dict[str, Callable[[], Peer]]) -> None:
        self.starters = starters
        self.running: dict[str, Peer] = {}
        self.used: set[str] = set()  # by the test that runs

    def __call__(self, name: str) -> Peer:
        if name not in self.running:
            self.running[name] = self.starters[name]()
        self.used.add(name)
        return self.running[name]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure comes with what the proxies printed that the test had."""
    report = yield
    proxies = getattr(item, "funcargs", {}).get("proxies")
    if isinstance(proxies, Proxies):
        if report.when == "call" and report.failed:
            report.sections += [
                (f"log of {name}", proxies.running[name].log()[-4000:]) for name in sorted(proxies.used)
            ]
        if report.when == "teardown":
            proxies.used.clear()
    return report


@pytest.fixture(scope="session")
def proxies(server_pair: Pair) -> Iterator[Proxies]:
    starters: dict[str, Callable[[], Peer]] = {
        "squid": lambda: start_squid(server_pair),
        "squid+auth": lambda: start_squid(server_pair, auth=True),
        "squid-no-connect": lambda: start_squid(server_pair, connect=False),
        "tinyproxy": start_tinyproxy,
        "tinyproxy+auth": lambda: start_tinyproxy(auth=True),
        "tinyproxy-443": lambda: start_tinyproxy(connect_port=443),
        "dante": start_dante,
        "microsocks": start_microsocks,
        "microsocks+auth": lambda: start_microsocks(auth=True),
        "microsocks6": lambda: start_microsocks(host="::1"),
        "proxy-py": start_proxy_py,
        "proxy-py+auth": lambda: start_proxy_py(auth=True),
        "pproxy": start_pproxy,
        "pproxy+auth": lambda: start_pproxy(auth=True),
        "openssh": lambda: start_ssh("openssh"),
        "asyncssh": lambda: start_ssh("asyncssh"),
        "h2-go": lambda: start_go_proxy(server_pair),
        "h2-go+auth": lambda: start_go_proxy(server_pair, auth=True),
        "h2-go-403": lambda: start_go_proxy(server_pair, refuse=403),
        "h2-go-502": lambda: start_go_proxy(server_pair, refuse=502),
        "h2-go-1-stream": lambda: start_go_proxy(server_pair, max_streams=1),
        "h2-go-2-streams": lambda: start_go_proxy(server_pair, max_streams=2),
        "h2-go-goaway": lambda: start_go_proxy(server_pair, goaway_at=3),
        "h2-nghttpx-2-streams": lambda: start_nghttpx(server_pair, "--frontend-http2-max-concurrent-streams=2"),
        "h2-nghttpx-no-connect": lambda: start_nghttpx(server_pair, connect=False),
        "h1-go": lambda: start_go_proxy(server_pair, http1=True),
        "h2-nghttpx": lambda: start_nghttpx(server_pair),
        "h2-nghttpx+auth": lambda: start_nghttpx(server_pair, auth=True),
        "h2-apache": lambda: start_apache(server_pair),
        "h2-apache+auth": lambda: start_apache(server_pair, auth=True),
    }
    proxies = Proxies(starters)
    with contextlib.ExitStack() as stack:
        yield proxies
        for peer in proxies.running.values():
            stack.callback(peer.stop)


@pytest.fixture(scope="session")
def sockets(server_pair: Pair) -> Iterator[dict[str, str]]:
    """Roots of servers that echo messages, by what they speak."""
    from websockets.sync.server import Server, ServerConnection, serve

    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_pair.cert, server_pair.key)
    running: list[tuple[Server, threading.Thread]] = []
    roots = {}
    for name, scheme, tls in (("ws", "ws", None), ("wss", "wss", context)):
        server = serve(echo, "127.0.0.1", 0, ssl=tls, max_size=None)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        running.append((server, thread))
        roots[name] = f"{scheme}://localhost:{server.socket.getsockname()[1]}"
    with start_hypercorn(server_pair) as peer:
        roots["wss-h2"] = peer.url(scheme="wss", path="")
        yield roots
    for server, thread in running:
        server.shutdown()
        thread.join(10)


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens on."""
    from peers import free_port

    return free_port()
