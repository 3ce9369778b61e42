"""Nothing is left of a WebSocket that is over, and memory stays flat while much goes through one."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from typing import Any

import pytest

import tls_requests
from tls_requests import _core
from tls_requests.exceptions import WebSocketClosed


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def ours() -> int:
    """Objects that a WebSocket of ours is made of."""
    names = ("AsyncWebSocket", "_Op", "_Notify", "Response")
    kinds = (type(item) for item in gc.get_objects())
    return sum(kind.__name__ in names and kind.__module__.startswith("tls_requests") for kind in kinds)


def resident() -> int:
    """KiB."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)


@pytest.mark.parametrize("end", ["close", "abort", "server"])
def test_nothing_is_left(plain: str, ca_file: str, end: str) -> None:
    async def cycle(client: Any) -> None:
        socket = await client.websocket(plain, close_timeout=0.5)
        await socket.send("x")
        assert await socket.receive(5) == "x"
        if end == "close":
            await socket.close()
        elif end == "abort":
            socket._abort()
        else:
            await socket.send("close 1000 bye")
            with pytest.raises(WebSocketClosed):
                await socket.receive(5)
            await socket.wait_closed()

    async def main() -> tuple[int, int, int]:
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            for _ in range(5):
                await cycle(client)
            await asyncio.sleep(0.2)
            gc.collect()
            before = (descriptors(), threading.active_count(), ours())
            for _ in range(60):
                await cycle(client)
            await asyncio.sleep(0.3)
            gc.collect()
            after = (descriptors(), threading.active_count(), ours())
            assert client.stats().active == 0
            return tuple(b - a for a, b in zip(before, after))  # type: ignore[return-value]

    files, threads, objects = asyncio.run(main())
    assert files <= 2 and threads <= 0 and objects <= 2
    assert _core.stats()["ops_submitted"] == _core.stats()["ops_completed"]


def test_much_goes_through_one(plain: str) -> None:
    """150 MiB both ways, the reader a little behind."""
    size, count = 1 << 20, 150

    async def main() -> int:
        async with (
            tls_requests.AsyncClient() as client,
            client.websocket(plain, max_queue=4, compression=False) as socket,
        ):
            data = os.urandom(size)
            peak = 0

            async def write() -> None:
                for _ in range(count):
                    await socket.send(data)

            writer = asyncio.create_task(write())
            start = 0
            for number in range(count):
                assert await socket.receive(20) == data
                if number == 30:
                    start = resident()
                if number > 30:
                    peak = max(peak, resident())
            await writer
            return peak - start

    assert asyncio.run(main()) < 40 * 1024
