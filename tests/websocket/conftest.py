"""Fixtures of the WebSocket tests: `api`, a client of each kind behind one interface, and servers of several makes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from raw import Raw, raw_server

import tls_requests
from peers import Peer, PeerError, find_program, free_port, start
from peers.certs import Pair
from peers.fake import Fake
from peers.sockets import start_hypercorn, start_node_ws

HERE = Path(__file__).resolve().parent
TEST_SECONDS = 60
STEP_SECONDS = 25


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


class Socket:
    """An open WebSocket whose methods can be called as if they blocked."""

    def __init__(self, api: Api, socket: Any) -> None:
        self.api = api
        self.socket = socket

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.socket, name)
        if self.api.is_async and asyncio.iscoroutinefunction(value):
            return lambda *args, **kwargs: self.api.run(value(*args, **kwargs))
        return value

    def all(self) -> list[Any]:
        """Every message until the end."""
        if not self.api.is_async:
            return list(self.socket)

        async def collect() -> list[Any]:
            return [message async for message in self.socket]

        return list(self.api.run(collect()))

    def __enter__(self) -> Socket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Api:
    """One client, blocking or on a loop of its own."""

    def __init__(self, is_async: bool, ca_file: str) -> None:
        self.is_async = is_async
        self.ca_file = ca_file
        self.loop = asyncio.new_event_loop() if is_async else None
        self.clients: list[Any] = []
        self.client = self.new_client()

    def new_client(self, **options: Any) -> Any:
        kind = tls_requests.AsyncClient if self.is_async else tls_requests.Client
        client = kind(**{"verify": self.ca_file, **options})
        self.clients.append(client)
        return client

    def run(self, work: Any) -> Any:
        assert self.loop is not None
        return self.loop.run_until_complete(asyncio.wait_for(work, STEP_SECONDS))

    def open(self, url: str, client: Any = None, **options: Any) -> Socket:
        context = (client or self.client).websocket(url, **options)
        return Socket(self, self.run(context.__aenter__()) if self.is_async else context.__enter__())

    def get(self, url: str, client: Any = None, **options: Any) -> Any:
        result = (client or self.client).get(url, **options)
        return self.run(result) if self.is_async else result

    def close(self) -> None:
        for client in self.clients:
            client.close()
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


@pytest.fixture(params=["sync", "async"])
def api(request: pytest.FixtureRequest, ca_file: str) -> Iterator[Api]:
    api = Api(request.param == "async", ca_file)
    yield api
    api.close()


# ---------------------------------------------------------------------------------------------------------------- servers


async def echo(socket: Any) -> None:
    """What every server here does."""
    async for message in socket:
        if isinstance(message, str) and message.startswith("close "):
            _, code, reason = message.split(" ", 2)
            await socket.close(int(code), reason)
            return
        await socket.send(message)


def _process(socket: Any, request: Any) -> Any:
    if request.path == "/refuse":
        return socket.respond(403, "no")
    return None


def _add_cookie(socket: Any, request: Any, response: Any) -> None:
    response.headers["Set-Cookie"] = "seen=yes; Path=/"


def _first(socket: Any, offered: Any) -> Any:
    return offered[0] if offered else None


@contextlib.contextmanager
def websockets_server(handler: Callable[[Any], Any] = echo, pair: Pair | None = None, **options: Any) -> Iterator[int]:
    """A server of the package `websockets` on a thread of this process; its port. pair: over TLS."""
    from websockets.asyncio.server import serve

    loop = asyncio.new_event_loop()
    ready = threading.Event()
    port: list[int] = []
    stop: list[asyncio.Event] = []
    context = None
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.cert, pair.key)
    options = {
        "process_request": _process,
        "process_response": _add_cookie,
        "select_subprotocol": _first,
        "max_size": 64 * 1024 * 1024,
        **options,
    }

    async def main() -> None:
        stop.append(asyncio.Event())
        async with serve(handler, "127.0.0.1", 0, ssl=context, **options) as server:
            port.append(next(iter(server.sockets)).getsockname()[1])
            ready.set()
            await stop[0].wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield port[0]
    finally:
        loop.call_soon_threadsafe(stop[0].set)
        thread.join(10)
        loop.close()


def start_go_ws(pair: Pair) -> Peer:
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="peer-go-ws-"))
    # The library is Debian's, in its own GOPATH.
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": ""}
    env["GOCACHE"] = os.environ.get("GOCACHE") or str(Path(tempfile.gettempdir()) / "tr-go-cache")
    built = subprocess.run(
        [find_program("go"), "build", "-o", str(folder / "server"), "."],
        cwd=HERE / "servers" / "go_ws",
        env=env,
        capture_output=True,
        timeout=120,
        check=False,
    )
    if built.returncode != 0:
        raise PeerError(f"go build: {built.stderr.decode(errors='replace')}")
    command = [str(folder / "server"), "-listen", f"127.0.0.1:{port}", "-cert", str(pair.cert), "-key", str(pair.key)]
    return start("go-ws", command, {"https": port}, folder)


NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    server {{
        listen 127.0.0.1:{https} ssl http2;
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


@contextlib.contextmanager
def nginx_proxy(pair: Pair) -> Iterator[int]:
    """nginx (h2 without RFC 8441, and http/1.1) in front of a server of the package `websockets`."""
    with websockets_server() as upstream:
        folder = Path(tempfile.mkdtemp(prefix="peer-nginx-"))
        port = free_port()
        text = NGINX.format(folder=folder, cert=pair.cert, key=pair.key, https=port, upstream=upstream)
        (folder / "nginx.conf").write_text(text)
        command = [find_program("nginx"), "-p", str(folder), "-c", "nginx.conf"]
        with start("nginx", command, {"https": port}, folder):
            yield port


MAKES = ("websockets", "websockets-plain", "hypercorn", "nginx", "node", "go")


@pytest.fixture(scope="session")
def ports(server_pair: Pair) -> Iterator[Callable[[str], str]]:
    """make: the root URL of a server of that make, started when first asked for."""
    roots: dict[str, str] = {}
    with contextlib.ExitStack() as stack:

        def root(make: str) -> str:
            if make in roots:
                return roots[make]
            if make == "websockets":
                port = stack.enter_context(websockets_server(pair=server_pair))
            elif make == "websockets-plain":
                port = stack.enter_context(websockets_server())
            elif make == "nginx":
                port = stack.enter_context(nginx_proxy(server_pair))
            else:
                starters = {"hypercorn": start_hypercorn, "node": start_node_ws, "go": start_go_ws}
                port = stack.enter_context(starters[make](server_pair)).port
            scheme = "ws" if make == "websockets-plain" else "wss"
            roots[make] = f"{scheme}://localhost:{port}"
            return roots[make]

        yield root


@pytest.fixture(params=MAKES)
def root(request: pytest.FixtureRequest, ports: Callable[[str], str]) -> str:
    return ports(request.param)


@pytest.fixture(scope="session")
def plain(ports: Callable[[str], str]) -> str:
    return ports("websockets-plain")


@pytest.fixture
def raw() -> Iterator[Callable[..., str]]:
    """Starts a server with a behaviour; its URL."""
    running: list[Fake] = []

    def start(behaviour: Callable[[Raw], None], *fields: str) -> str:
        running.append(raw_server(behaviour, *fields))
        return f"ws://127.0.0.1:{running[-1].port}/"

    yield start
    for server in running:
        server.close()
