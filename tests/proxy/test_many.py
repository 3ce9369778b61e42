"""Many requests at once through proxies: shared tunnels, all failures told, nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import time

from fakes import FakeProxy, answers, connects, fake_proxy, read_head, relay

import tls_requests
from peers.servers import INDEX
from tls_requests import ProxyRotator, _core, exceptions


def wait_for_idle(before: int) -> None:
    deadline = time.monotonic() + 10
    while _core.stats()["conns_open"] > before:
        assert time.monotonic() < deadline, f"{_core.stats()['conns_open'] - before} connections are left"
        time.sleep(0.01)


def test_a_cold_burst_shares_one_tunnel(nginx, ca_file) -> None:
    """HTTP/2: one CONNECT for all; HTTP/1.1: as many as a browser opens."""

    async def burst(proxy: str, url: str, num: int) -> list[tls_requests.Response]:
        async with tls_requests.AsyncClient(proxy=proxy, verify=ca_file, timeout=20) as client:
            return await asyncio.gather(*(client.get(url) for _ in range(num)))

    for port, most in (("https", 1), ("https1", 6)):
        with fake_proxy(connects(drip=0.001)) as fake:
            responses = asyncio.run(burst(fake.url(), nginx.url(port=port, host="127.0.0.1"), 60))
            assert [response.content for response in responses] == [INDEX] * 60
            assert 1 <= len(fake.asked) <= most


def test_all_that_wait_are_told(ca_file) -> None:
    async def burst(proxy: str) -> list[tls_requests.Response]:
        async with tls_requests.AsyncClient(proxy=proxy, timeout=20) as client:
            return await asyncio.gather(*(client.get("https://origin.test/") for _ in range(50)))

    with fake_proxy(answers(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")) as fake:
        responses = asyncio.run(burst(fake.url()))
        assert {response.error.code for response in responses} == {"PROXY_REFUSED"}
        assert all(response.error.safe_to_retry for response in responses)


def moody(seed: int):
    """CONNECT that refuses, cuts, stalls, lies, and cuts tunnels in the middle, by the dice; now and then it works."""
    dice = random.Random(seed)

    def behave(connection: socket.socket, fake: FakeProxy) -> None:
        with fake.lock:
            mood, limit = dice.randrange(8), dice.randrange(200, 9000)
        target = read_head(connection, fake).split(b" ")[1].decode()
        if mood == 0:
            connection.sendall(b"HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")
            return
        if mood == 1:
            return
        if mood == 2:
            connection.recv(1)  # until the client gives up
            return
        if mood == 3:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\nsurprise")
            return
        host, _, port = target.rpartition(":")
        upstream = fake.dial(connection, host, int(port))
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        if mood == 4:
            upstream.sendall(connection.recv(65536))
            connection.sendall(upstream.recv(limit))
            return
        relay(connection, upstream)

    return behave


def test_moody_proxies(nginx, ca_file) -> None:
    """Every request ends in a right answer or a typed failure within its time; afterwards no connection is left."""
    before = _core.stats()["conns_open"]
    digest = hashlib.sha256(b"a line of text\n" * 4096).digest()
    seen: dict[str, int] = {}

    async def run(rotator: ProxyRotator) -> None:
        gate = asyncio.Semaphore(32)
        async with tls_requests.AsyncClient(
            proxy=rotator, verify=ca_file, timeout={"connect": 0.5, "total": 5}, is_rotating_proxy=True
        ) as client:

            async def one(number: int) -> None:
                async with gate:
                    start = time.monotonic()
                    port = ("https", "https1")[number % 2]
                    response = await client.get(
                        nginx.url("/page.txt", port=port, host="127.0.0.1"), proxy_retries=number % 3
                    )
                    assert time.monotonic() - start < 12
                    if response.status_code == 200:
                        assert hashlib.sha256(response.content).digest() == digest
                    else:
                        assert isinstance(response.error, exceptions.HTTPError) and response.error.code, response.text
                    key = "200" if response.status_code else response.error.code
                    seen[key] = seen.get(key, 0) + 1

            await asyncio.gather(*(one(number) for number in range(300)))

    with fake_proxy(moody(1)) as first, fake_proxy(moody(2)) as second, fake_proxy(moody(3)) as third:
        asyncio.run(asyncio.wait_for(run(ProxyRotator([fake.url() for fake in (first, second, third)])), 100))
    wait_for_idle(before)
    assert sum(seen.values()) == 300
    assert seen.keys() >= {"200", "PROXY_REFUSED", "PROXY_CLOSED", "PROXY_TIMEOUT", "PROXY_PROTOCOL"}, seen


def test_cancelled_tasks(nginx, ca_file) -> None:
    """Tasks cancelled while a proxy dawdles, in each of its steps."""
    before = _core.stats()["conns_open"]

    async def run(proxy: str) -> None:
        async with tls_requests.AsyncClient(proxy=proxy, verify=ca_file, timeout=20) as client:
            for number in range(60):
                task = asyncio.ensure_future(client.get(nginx.url(host="127.0.0.1"), is_rotating_proxy=True))
                await asyncio.sleep(number * 0.001)
                task.cancel()
                try:
                    response = await task
                    assert response.status_code == 200
                except asyncio.CancelledError:
                    pass

    with fake_proxy(connects(drip=0.0005)) as fake:
        asyncio.run(asyncio.wait_for(run(fake.url()), 60))
    wait_for_idle(before)
