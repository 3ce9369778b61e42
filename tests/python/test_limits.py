"""Limits of connections and streams: who waits, in what order, who makes room; and what an HTTP/2 server's own limit does."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tls_requests
from peers.certs import Pair
from peers.fake import ACK, HEADERS, PING, Fake, Gone, H2Link, Link, frame, settings, tls_context
from tls_requests import Limits


class Gate:
    """Answers only when it is opened, and notes who came in what order."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.at_once = 0
        self.most = 0
        self.lock = threading.Lock()
        self.open = threading.Event()

    def h1(self, link: Link) -> None:
        while True:
            seen = link.request()
            self.enter(seen.target)
            assert self.open.wait(20)
            self.leave()
            link.answer()

    def enter(self, path: str) -> None:
        with self.lock:
            self.paths.append(path)
            self.at_once += 1
            self.most = max(self.most, self.at_once)

    def leave(self) -> None:
        with self.lock:
            self.at_once -= 1


@contextlib.contextmanager
def serving(behave: Callable[..., None], **kwargs: Any) -> Iterator[Fake]:
    server = Fake(behave, **kwargs)
    try:
        yield server
    finally:
        server.close()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 60))


@pytest.mark.parametrize("option", [{"limits": Limits(max_per_host=2)}, {"transportOptions": {"maxConnsPerHost": 2}}])
def test_per_host(option):
    gate = Gate()

    async def main(server: Fake) -> None:
        async with tls_requests.AsyncClient(**option) as client:
            tasks = []
            for number in range(8):
                tasks.append(asyncio.ensure_future(client.get(server.url(f"/{number}"))))
                await asyncio.sleep(0)
            await until(lambda: len(gate.paths) == 2 and client.stats().waiting == 6)
            stats = client.stats()
            assert (stats.active, stats.waiting, stats.open) == (2, 6, 2)
            gate.open.set()
            answers = await asyncio.gather(*tasks)
            assert [answer.status_code for answer in answers] == [200] * 8
            assert client.stats().connections_opened == 2

    with serving(gate.h1) as server:
        run(main(server))
        assert server.connections == 2
    assert gate.most == 2
    assert sorted(gate.paths[:2]) == ["/0", "/1"]


def test_first_come_first_served():
    gate = Gate()

    async def main(server: Fake) -> None:
        async with tls_requests.AsyncClient(limits={"max_per_host": 1}) as client:
            tasks = [asyncio.ensure_future(client.get(server.url(f"/{number}"))) for number in range(20)]
            await until(lambda: len(gate.paths) == 1)
            gate.open.set()
            await asyncio.gather(*tasks)

    with serving(gate.h1) as server:
        run(main(server))
    assert gate.paths == [f"/{number}" for number in range(20)]


def test_total():
    """Hosts wait for each other; a kept connection of one makes room for another."""
    gates = [Gate() for _ in range(4)]

    async def main(servers: list[Fake]) -> None:
        async with tls_requests.AsyncClient(limits=Limits(max_connections=2)) as client:
            tasks = [asyncio.ensure_future(client.get(server.url())) for server in servers for _ in range(3)]
            for _ in range(4):
                await until(
                    lambda: (
                        sum(gate.at_once for gate in gates if not gate.open.is_set()) > 0
                        or all(gate.open.is_set() for gate in gates)
                    )
                )
                assert client.stats().open <= 2
                for gate in gates:
                    if gate.at_once and not gate.open.is_set():
                        gate.open.set()
            await until(lambda: all(gate.paths for gate in gates))
            for gate in gates:
                gate.open.set()
            answers = await asyncio.gather(*tasks)
            assert [answer.status_code for answer in answers] == [200] * 12
            assert client.stats().open <= 2

    with contextlib.ExitStack() as stack:
        run(main([stack.enter_context(serving(gate.h1)) for gate in gates]))


def test_waiting_ends_with_the_pool_timeout(twin):
    gate = Gate()
    with serving(gate.h1) as server, twin.client(limits=Limits(max_connections=1), raise_on_error=True) as client:
        blocked: list[Any] = []
        if twin.kind == "async":
            holder = twin.loop.create_task(client.client.get(server.url("/first")))
            twin.run(lambda: until(lambda: len(gate.paths) == 1))
        else:
            thread = threading.Thread(target=lambda: blocked.append(client.client.get(server.url("/first"))))
            thread.start()
            twin.run(lambda: asyncio.run(until(lambda: len(gate.paths) == 1)))
        other = Fake(lambda link: (link.request(), link.answer()))
        try:
            start = time.monotonic()
            with pytest.raises(tls_requests.exceptions.PoolTimeout) as caught:
                client.get(other.url(), timeout={"pool": 0.2})
            assert 0.15 < time.monotonic() - start < 5
            assert caught.value.safe_to_retry and not caught.value.request_sent
            gate.open.set()
            if twin.kind == "async":
                assert twin.loop.run_until_complete(holder).status_code == 200
            else:
                thread.join(20)
                assert blocked[0].status_code == 200
            assert client.get(other.url()).status_code == 200
        finally:
            other.close()


@pytest.mark.parametrize(
    ("option", "kept"),
    [
        ({"limits": Limits(max_idle=1)}, 1),
        ({"limits": Limits(max_idle_per_host=2)}, 2),
        ({"transportOptions": {"maxIdleConns": 3, "maxIdleConnsPerHost": 2}}, 2),
        ({"limits": Limits(keep_alive=False)}, 0),
        ({}, 5),
    ],
)
def test_kept_connections(option, kept):
    gate = Gate()

    async def main(server: Fake) -> None:
        async with tls_requests.AsyncClient(**option) as client:
            tasks = [asyncio.ensure_future(client.get(server.url())) for _ in range(5)]
            await until(lambda: len(gate.paths) == 5)
            gate.open.set()
            await asyncio.gather(*tasks)
            stats = client.stats()
            assert (stats.open, stats.idle) == (kept, kept)

    with serving(gate.h1) as server:
        run(main(server))


@pytest.mark.parametrize(
    "option", [{"limits": Limits(idle_timeout=0.2)}, {"transport_options": {"idleConnTimeout": 200_000_000}}]
)
def test_idle_time(twin, option):
    def behave(link: Link) -> None:
        link.request()
        link.answer()
        link.hold()

    with serving(behave) as server, twin.client(**option) as client:
        assert client.get(server.url()).status_code == 200
        assert client.stats().idle == 1
        end = time.monotonic() + 10
        while client.stats().open and time.monotonic() < end:
            time.sleep(0.02)
        assert client.stats().open == 0
        assert client.get(server.url()).timing.reused is False


def test_bytes(twin, site, nginx, ca_file):
    with twin.client(limits=Limits(max_header_bytes=64)) as client:
        assert client.get(f"{site.base}/echo").error.code == "HEADER_LIMIT"
    gzip = nginx.url("/gzip.txt", port="http", scheme="http")
    with twin.client(limits={"max_decoded_bytes": 1000}) as client:
        assert client.get(gzip).error.code == "BODY_LIMIT"
        assert client.get(gzip, limits={"max_decoded_bytes": math.inf}).status_code == 200
        assert client.get(f"{site.base}/bytes/2048").error.code == "BODY_LIMIT"


def test_limits_that_cannot_be():
    for name in (
        "max_connections",
        "max_per_host",
        "max_streams",
        "max_header_bytes",
        "max_ratio",
        "max_decoded_bytes",
    ):
        for bad in (0, -1, 2**64):
            with pytest.raises(ValueError, match=name):
                Limits(**{name: bad})
        for kind in (1.5, "1", True):
            with pytest.raises(TypeError, match=name):
                Limits(**{name: kind})
    with pytest.raises(ValueError, match="idle_timeout"):
        Limits(idle_timeout=0)
    with pytest.raises(TypeError, match="limits"):
        tls_requests.Client(limits=7)
    with pytest.raises(TypeError):
        tls_requests.Client(limits={"max_conections": 7})
    assert Limits() == Limits(keep_alive=True) != Limits(max_idle=1)
    assert hash(Limits(max_idle=1)) == hash(Limits(max_idle=1))
    assert repr(Limits(max_idle=1, keep_alive=False)) == "Limits(max_idle=1, keep_alive=False)"


# ---------------------------------------------------------------------------------------------------------------- HTTP/2


class Streams:
    """An HTTP/2 server that lets so many streams in and answers each a little later."""

    def __init__(self, allowed: int | None) -> None:
        self.allowed = allowed
        self.most = 0
        self.answered = 0

    def __call__(self, link: H2Link) -> None:
        link.begin(*([] if self.allowed is None else [(3, self.allowed)]))
        link.sock.settimeout(0.05)
        waiting: list[int] = []
        while True:
            try:
                waiting.append(link.stream())
                self.most = max(self.most, len(waiting))
            except TimeoutError:
                if not waiting:
                    continue
                link.sock.settimeout(20)
                for stream in waiting:
                    link.respond(stream)
                self.answered += len(waiting)
                waiting = []
                link.sock.settimeout(0.05)


@pytest.mark.parametrize(("allowed", "own", "most"), [(3, None, 3), (None, 2, 2), (4, 2, 2), (2, 9, 2)])
def test_streams_wait_instead_of_a_second_connection(server_pair: Pair, ca_file: str, allowed, own, most):
    """As Chromium: what is more than SETTINGS_MAX_CONCURRENT_STREAMS waits on the one connection."""
    streams = Streams(allowed)

    async def main(server: Fake) -> None:
        async with tls_requests.AsyncClient(verify=ca_file, limits=Limits(max_streams=own)) as client:
            assert (await client.get(server.url())).status_code == 200  # the settings are known
            answers = await asyncio.gather(*(client.get(server.url()) for _ in range(20)))
            assert [answer.status_code for answer in answers] == [200] * 20
            assert client.stats().connections_opened == 1

    with serving(streams, tls=tls_context(server_pair, ("h2",)), h2=True) as server:
        run(main(server))
        assert server.connections == 1
    assert streams.most == most


def test_more_http2_connections_when_asked(server_pair: Pair, ca_file: str):
    streams = Streams(2)

    async def main(server: Fake) -> None:
        async with tls_requests.AsyncClient(verify=ca_file, limits=Limits(max_http2_per_host=3)) as client:
            assert (await client.get(server.url())).status_code == 200
            await asyncio.gather(*(client.get(server.url()) for _ in range(20)))
            assert client.stats().connections_opened in (
                2,
                3,
            )  # until its SETTINGS come the second one takes all that wait

    with serving(streams, tls=tls_context(server_pair, ("h2",)), h2=True) as server:
        run(main(server))


def test_settings_that_allow_no_stream_for_a_while(twin, server_pair, ca_file):
    """MAX_CONCURRENT_STREAMS may be 0 and grow later: the request waits for it."""

    def behave(link: H2Link) -> None:
        link.begin((3, 0))
        time.sleep(0.2)
        link.send(settings((3, 1)))
        link.sock.settimeout(20)
        with contextlib.suppress(Gone):
            while True:
                link.respond(link.stream())

    tls = tls_context(server_pair, ("h2",))
    with serving(behave, tls=tls, h2=True) as server, twin.client(verify=ca_file) as client:
        first = client.get(server.url())
        assert first.status_code == 200
        assert server.connections == 1


@pytest.mark.parametrize("answers", [True, False])
def test_pings_on_an_idle_connection(twin, server_pair, ca_file, answers):
    pings: list[int] = []

    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            got = link.frame()
            if got.kind == HEADERS:
                link.respond(got.stream)
            elif got.kind == PING and not got.flags & ACK:
                pings.append(link.number)
                if answers:
                    link.send(frame(PING, ACK, 0, got.payload))

    tls = tls_context(server_pair, ("h2",))
    limits = Limits(ping_interval=0.2)
    with serving(behave, tls=tls, h2=True) as server, twin.client(verify=ca_file, limits=limits) as client:
        assert client.get(server.url()).status_code == 200
        end = time.monotonic() + 15
        while time.monotonic() < end and not (len(pings) >= 3 if answers else client.stats().open == 0):
            time.sleep(0.02)
        assert client.stats().open == (1 if answers else 0)
        response = client.get(server.url())
        assert response.status_code == 200 and response.timing.reused == answers
        assert pings == [0] * len(pings) and (len(pings) >= 3 if answers else len(pings) == 1)
