"""Waits of a WebSocket's users: what is cancelled, what takes too long, what ends meanwhile; nobody is forgotten, and nothing piles up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from raw import TEXT, Raw, frame

import tls_requests
from tls_requests.exceptions import WebSocketClosed, WebSocketTimeout


def silent(server: Raw) -> None:
    server.hold()


def run(url: str, use: Callable[[Any], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with tls_requests.AsyncClient() as client:
            socket = await client.websocket(url, close_timeout=0.2, **options)
            try:
                await use(socket)
            finally:
                await socket.close()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_waits_that_time_out_leave_nothing_behind(raw: Any) -> None:
    """A loop that looks for a message now and then may run for days."""

    async def use(socket: Any) -> None:
        for _ in range(50):
            with pytest.raises(WebSocketTimeout):
                await socket.receive(0.001)
            for wait in (socket.receive, socket.wait_closed):
                task = asyncio.ensure_future(wait())
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        assert not socket._receivers and not socket._end_waiters

    run(raw(silent), use)


def test_senders_that_give_up_leave_nothing_behind(raw: Any) -> None:
    stopped: list[Any] = []

    def behave(server: Raw) -> None:
        stopped.append(server.link.server.closing.wait(20))  # reads nothing

    async def use(socket: Any) -> None:
        async def fill() -> None:
            while True:
                await socket.send(bytes(1 << 20))

        filler = asyncio.ensure_future(fill())
        waited = 0
        while waited < 50:  # until no buffer takes any more
            await asyncio.sleep(0.01)
            waited = waited + 1 if socket._writers else 0
        filler.cancel()
        with pytest.raises(asyncio.CancelledError):
            await filler
        for _ in range(20):
            task = asyncio.ensure_future(socket.send("x"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not socket._writers

    run(raw(behave), use)


@pytest.mark.parametrize("timeout", [None, 10])
def test_cancelled_when_a_message_comes(raw: Any, timeout: float | None) -> None:
    """In the same turn of the loop: the task is cancelled, and the message is the next receiver's."""

    async def use(socket: Any) -> None:
        task = asyncio.ensure_future(socket.receive(timeout))
        other = asyncio.ensure_future(socket.receive(timeout))
        while len(socket._receivers) < 2:
            await asyncio.sleep(0)
        socket._deliver("message")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await other == "message"

    run(raw(silent), use)


def test_cancelled_when_a_pong_comes_or_all_ends(raw: Any) -> None:
    async def use(socket: Any) -> None:
        for end in (lambda: socket._on_pong(b"same"), socket._abort):
            task = asyncio.ensure_future(socket.ping(b"same"))
            while not socket._pings:
                await asyncio.sleep(0)
            task.cancel()
            end()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not socket._pings and not socket._ping_times

    run(raw(silent), use)


@pytest.mark.parametrize("keepalive", [False, True])
def test_pings_of_a_websocket_that_ends(raw: Any, keepalive: bool) -> None:
    """Who waits for a pong hears of the end at once, however long he would have waited."""

    async def use(socket: Any) -> None:
        pings = [asyncio.ensure_future(socket.ping(timeout=30)) for _ in range(3)]
        while len(socket._pings) < 3 + keepalive:
            await asyncio.sleep(0.005)
        socket._abort()
        for ended in await asyncio.wait_for(asyncio.gather(*pings, return_exceptions=True), 5):
            assert isinstance(ended, WebSocketClosed) and ended.close_code == 1006
        assert not socket._pings and socket._keepalive is None

    run(raw(silent), use, **({"ping_interval": 0.01} if keepalive else {}))


def test_a_fault_within_ends_the_websocket(raw: Any) -> None:
    """Whoever waits gets to know, instead of waiting for ever; the fault itself goes where a loop's faults go."""
    told: list[Any] = []

    def behave(server: Raw) -> None:
        server.link.receive_exactly(2)  # the first frame: both wait
        server.send(frame(TEXT, b"message"))
        server.hold()

    async def use(socket: Any) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

        def broken(_: bytes) -> None:
            raise ZeroDivisionError("within")

        socket._protocol.receive_data = broken
        waiting = asyncio.ensure_future(socket.receive())
        closing = asyncio.ensure_future(socket.wait_closed())
        await asyncio.sleep(0)
        await socket.send("go")
        with pytest.raises(WebSocketClosed, match="within") as caught:
            await asyncio.wait_for(waiting, 10)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        await asyncio.wait_for(closing, 10)

    run(raw(behave), use)
    assert [type(error) for error in told] == [ZeroDivisionError]
