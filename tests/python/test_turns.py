"""An event loop has its turn also when the other side of a request is faster than Python: whoever finds what he wants again and again lets it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import tls_requests
from peers.fake import Fake, Link

LENGTH = 900_000  # less than the engine holds for who does not read: all of it can be there before the first byte is looked at
HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: {LENGTH}\r\n\r\n"


class Turns:
    """Counts what is handed out between two turns of the loop."""

    def __init__(self) -> None:
        self.most = self.total = 0
        self._items = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self.most, self._items = max(self.most, self._items), 0
        self._handle = self._loop.call_soon(self._turn)

    def took(self) -> None:
        self._items += 1
        self.total += 1

    def end(self) -> None:
        self._handle.cancel()
        self.most = max(self.most, self._items)


async def read_all(items: AsyncIterator[Any]) -> Turns:
    turns = Turns()
    async for _ in items:
        turns.took()
    turns.end()
    return turns


class Door:
    """A server that has sent a whole body before it is read."""

    def __init__(self, body: bytes, kind: str) -> None:
        assert len(body) == LENGTH
        self.sent = threading.Event()

        def behave(link: Link) -> None:
            link.request()
            link.send((HEAD % kind).encode() + body)
            self.sent.set()
            link.hold()

        self.server = Fake(behave)
        self.url = self.server.url()

    async def wait(self) -> None:
        assert await asyncio.get_running_loop().run_in_executor(None, self.sent.wait, 20)


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Runs a coroutine on a loop of that kind."""
    loop = asyncio.new_event_loop() if request.param == "asyncio" else pytest.importorskip("uvloop").new_event_loop()
    yield lambda work: loop.run_until_complete(asyncio.wait_for(work, 40))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


@pytest.mark.parametrize(
    ("how", "argument", "body"),
    [("bytes", 1, b"x"), ("text", 1, b"x"), ("lines", None, b"x\n"), ("lines", None, b"\n")],
)
def test_small_pieces_of_an_answer(run, how, argument, body):
    door = Door(body * (LENGTH // len(body)), "text/plain")

    async def main() -> Turns:
        async with tls_requests.AsyncClient() as client, client.stream("GET", door.url) as response:
            await door.wait()
            items = getattr(response, f"aiter_{how}")
            return await read_all(items() if argument is None else items(argument))

    turns = run(main())
    assert turns.total == LENGTH // len(body)
    assert turns.most < turns.total / 3, "the loop had no turn"
    door.server.close()


def test_small_events(run):
    event = b"data:\n\n\n\n"
    door = Door(event * (LENGTH // len(event)), "text/event-stream")

    async def main() -> Turns:
        async with tls_requests.AsyncClient() as client, client.events(door.url, reconnect=False) as events:
            await door.wait()
            return await read_all(events.__aiter__())

    turns = run(main())
    assert turns.total == LENGTH // len(event)
    assert turns.most < turns.total / 3, "the loop had no turn"
    door.server.close()


@pytest.mark.parametrize("kind", ["iterator", "asynchronous"])
def test_small_pieces_of_an_upload(run, kind):
    """The engine takes 256 KiB, each piece at once."""
    length = 400_000

    def behave(link: Link) -> None:
        link.request()
        link.answer()

    server = Fake(behave)

    async def main() -> Turns:
        turns = Turns()

        def pieces() -> Iterator[bytes]:
            for _ in range(length):
                turns.took()
                yield b"x"

        async def apieces() -> AsyncIterator[bytes]:
            for piece in pieces():
                yield piece

        async with tls_requests.AsyncClient() as client:
            content: Any = pieces() if kind == "iterator" else apieces()
            response = await client.post(server.url(), content=content, headers={"content-length": str(length)})
            assert response.status_code == 200
        turns.end()
        return turns

    turns = run(main())
    assert turns.total == length
    assert turns.most < 60_000, "the loop had no turn"
    server.close()
