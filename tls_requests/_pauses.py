"""Pauses: waits of a request that nothing on the network ends, between two tries or before events are asked for again. Closing the client ends
them, whichever thread or task does it. Imported when somebody waits.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._base import BaseClient

__all__ = ["CLOSED", "Watch", "apause", "call_in_loop", "pause"]

# What a request that was waiting fails with.
CLOSED = ("CLIENT_CLOSED", "The client was closed while the request was under way.")


class Watch:
    """While its block runs, closing the client calls `wake`, on the thread that closes; at once where the client is closed already."""

    def __init__(self, client: BaseClient, wake: Callable[[], object]) -> None:
        self._client = client
        self.wake = wake

    def __enter__(self) -> None:
        # No lock: one that a fork leaves taken would be worse. Adding comes before looking, closing comes before waking (BaseClient.close), so
        # one of the two sees the other.
        watches: set[Watch] = self._client.__dict__.setdefault("_watches", set())
        watches.add(self)
        if self._client.closed:
            self.wake()

    def __exit__(self, *_: object) -> None:
        self._client.__dict__["_watches"].discard(self)


def pause(client: BaseClient, seconds: float) -> bool:
    """Wait; whether the client is still open then."""
    closed = threading.Event()
    with Watch(client, closed.set):
        closed.wait(min(seconds, threading.TIMEOUT_MAX))
    return not client.closed


async def apause(client: BaseClient, seconds: float) -> bool:
    """`pause` for asynchronous code."""
    import asyncio

    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not over.done():
            over.set_result(None)

    timer = loop.call_later(seconds, end)
    try:
        with Watch(client, lambda: call_in_loop(loop, end)):
            await over
    finally:
        timer.cancel()
    return not client.closed


def call_in_loop(loop: Any, callback: Callable[[], object]) -> None:
    """Have a loop call something, from any thread; a loop that is closed has nobody left who waits."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        pass
