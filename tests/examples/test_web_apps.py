"""The web applications of examples/ in uvicorn processes of their own, on uvloop and asyncio."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import load_fastapi
import tls_requests
from docs_site import Site
from peers import Peer

SECONDS = 20.0
APPS = ("fastapi_app", "starlette_app")


def get(peer: Peer, path: str) -> tls_requests.Response:
    return tls_requests.get(peer.url(path, scheme="http"), timeout=30)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("app", APPS)
def test_under_load(app: str, loop: str) -> None:
    """100 users at once, without a pause between their requests: each answer is right. (Times: `make load-fastapi`.)"""
    with load_fastapi.application(app, loop) as peer:
        base = peer.url("", scheme="http")
        result = asyncio.run(load_fastapi.visit(base, users=100, seconds=1.5, routes=("/", "/many"), think=0.0))
        assert result.errors == {}
        assert result.answers >= 100
        assert result.lateness["timers"] > 0
        # It ends when it is told to, with its client closed by the lifespan, and has nothing to complain about.
        os.killpg(peer.process.pid, signal.SIGTERM)
        assert peer.process.wait(SECONDS) in (0, -signal.SIGTERM)
        assert peer.log() == ""


@pytest.fixture(params=APPS)
def app(request: pytest.FixtureRequest, docs_site: Site, ca_file: str) -> Iterator[Peer]:
    with load_fastapi.start_app(request.param, "uvloop", f"https://localhost:{docs_site.port}", ca_file) as peer:
        yield peer


def test_routes(app: Peer) -> None:
    assert get(app, "/").json() == {"status": 200, "protocol": "HTTP/2.0", "bytes": 54}
    assert get(app, "/many?count=8").json() == {"statuses": [200] * 8, "bytes": 8 * 54}
    assert get(app, "/slow?seconds=0").json() == {"status": 200}
    assert get(app, "/nothing").json() == {}
    for path in ("/many?count=51", "/many?count=0", "/many?count=x", "/slow?seconds=31", "/slow?seconds=-1"):
        assert get(app, path).status_code == 422, path


@pytest.mark.parametrize("name", APPS)
def test_upstream_that_is_not_there(name: str, ca_file: str) -> None:
    with load_fastapi.start_app(name, "uvloop", "https://127.0.0.1:1", ca_file) as peer:
        for path in ("/", "/many", "/slow"):
            response = get(peer, path)
            assert (response.status_code, response.json()) == (502, {"error": "ConnectError"})


def wait_for(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def frames(site: Site, kind: str) -> list[tuple[Any, dict[str, Any]]]:
    """The frames of that type that the site got, each with its connection."""
    return [
        (connection, frame)
        for connection in list(site.connections)
        for frame in list((connection.record["http2"] or {"frames": []})["frames"])
        if frame["type"] == kind
    ]


def test_a_visitor_who_leaves_cancels(app: Peer, docs_site: Site) -> None:
    """The stream of the slow page alone is reset; its connection goes on."""
    get(app, "/")
    asked, reset = len(frames(docs_site, "HEADERS")), len(frames(docs_site, "RST_STREAM"))
    with socket.create_connection(("127.0.0.1", app.port), SECONDS) as visitor:
        visitor.sendall(b"GET /slow?seconds=25 HTTP/1.1\r\nHost: app\r\n\r\n")
        wait_for(lambda: len(frames(docs_site, "HEADERS")) > asked, "the upstream was not asked")
    wait_for(lambda: len(frames(docs_site, "RST_STREAM")) > reset, "the request was not cancelled")
    connection, frame = frames(docs_site, "RST_STREAM")[-1]
    request = frames(docs_site, "HEADERS")[-1]
    assert request[0] is connection
    assert request[1]["stream_id"] == frame["stream_id"]
    before = len(docs_site.connections)
    assert get(app, "/").status_code == 200
    assert len(docs_site.connections) == before


def test_a_visitor_who_waits_is_served_beside_one_who_left(app: Peer) -> None:
    with socket.create_connection(("127.0.0.1", app.port), SECONDS) as visitor:
        visitor.sendall(b"GET /slow?seconds=25 HTTP/1.1\r\nHost: app\r\n\r\n")
        assert get(app, "/slow?seconds=1").json() == {"status": 200}


PLACES = """
import os
from contextlib import asynccontextmanager

import tls_requests
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware

UPSTREAM = os.environ["UPSTREAM"]
client = tls_requests.AsyncClient(raise_on_error=True)  # before there is a loop


async def ask(place):
    return (await client.get(f"{UPSTREAM}/get", params={"place": place})).json()["args"]["place"]


@asynccontextmanager
async def lifespan(app):
    app.state.seen = [await ask("startup")]
    yield
    assert await ask("shutdown") == "shutdown"
    await client.aclose()
    print("closed", client.closed, flush=True)


async def in_middleware(request: Request, call_next):
    request.app.state.seen.append(await ask("middleware"))
    return await call_next(request)


app = FastAPI(lifespan=lifespan, middleware=[Middleware(BaseHTTPMiddleware, dispatch=in_middleware)])


async def dependency():
    yield await ask("dependency")
    app.state.seen.append(await ask("end of dependency"))


async def in_background():
    app.state.seen.append(await ask("background"))


@app.get("/ask")
async def handler(background: BackgroundTasks, asked: str = Depends(dependency)):
    background.add_task(in_background)
    return [asked, await ask("handler")]


@app.get("/in-a-thread")
def in_a_thread():  # the framework runs this one in a thread of its own
    with tls_requests.Client() as blocking:
        return blocking.get(f"{UPSTREAM}/get").status_code


@app.get("/seen")
async def seen():
    return sorted(set(app.state.seen))
"""


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_every_place_of_an_application(loop: str, docs_site: Site, ca_file: str, tmp_path: Path) -> None:
    """One client, made before the loop, in start-up, middleware, dependencies, handlers, background tasks and shutdown."""
    (tmp_path / "places.py").write_text(PLACES)
    with load_fastapi.start_app("places", loop, f"https://localhost:{docs_site.port}", ca_file, tmp_path) as peer:
        assert get(peer, "/ask").json() == ["dependency", "handler"]
        assert get(peer, "/in-a-thread").json() == 200
        everything = sorted(["startup", "middleware", "end of dependency", "background"])
        wait_for(lambda: get(peer, "/seen").json() == everything, "background tasks")
        os.killpg(peer.process.pid, signal.SIGTERM)
        assert peer.process.wait(SECONDS) in (0, -signal.SIGTERM)
        assert peer.log() == "closed True\n"


def test_the_measure_sees_a_blocked_loop() -> None:
    from asgi_tools import Lateness

    async def main() -> dict[str, float]:
        async with Lateness().running() as lateness:
            await asyncio.sleep(0.05)
            time.sleep(0.1)
            await asyncio.sleep(0.05)
            return lateness.report()

    report = asyncio.run(main())
    assert report["max_ms"] >= 90
    assert json.loads(json.dumps(report)) == report


def test_the_driver_notices_wrong_answers(docs_site: Site, ca_file: str) -> None:
    """An upstream with another page than the driver expects: each answer is an error."""
    with load_fastapi.start_app("fastapi_app", "asyncio", f"https://localhost:{docs_site.port}", ca_file) as peer:
        base = peer.url("", scheme="http")
        result = asyncio.run(load_fastapi.visit(base, users=2, seconds=0.2, routes=("/",), think=0.0))
    assert sum(result.errors.values()) == result.answers > 0
