"""What fastapi_app.py and starlette_app.py share: a watch over the visitor's connection, and a measure of how late the loop is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

Result = TypeVar("Result")


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result | None:
    """Await `work`, but cancel it when the visitor closes the connection: then the result is None.

    Frameworks let a handler run to its end when nobody waits for it any more. Cancelling `work` cancels the requests that it awaits: their
    HTTP/2 streams are reset, their HTTP/1.1 connections closed.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


class Lateness:
    """How late a timer of the running loop fires, every two milliseconds: what other tasks of the loop have to wait.

    Kept as counts of tenths of a millisecond up to a second, so that it takes the same memory after a year.
    """

    INTERVAL = 0.002
    STEPS = 10_000

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.counts = [0] * (self.STEPS + 1)
        self.highest = 0.0

    async def measure(self) -> None:
        while True:  # by the system's clock: a loop's own time stands still within a turn
            due = time.perf_counter() + self.INTERVAL
            await asyncio.sleep(self.INTERVAL)
            late = max(0.0, time.perf_counter() - due)
            self.counts[min(int(late * 10_000), self.STEPS)] += 1
            self.highest = max(self.highest, late)

    def below(self, share: float) -> float:
        """Milliseconds that this share of the timers stayed below."""
        wanted = share * sum(self.counts)
        reached = 0
        for step, count in enumerate(self.counts):
            reached += count
            if reached >= wanted:
                return (step + 1) / 10
        return self.STEPS / 10

    def report(self) -> dict[str, float]:
        """Number of timers, and the milliseconds by which they were late."""
        return {
            "timers": sum(self.counts),
            "p50_ms": self.below(0.5),
            "p99_ms": self.below(0.99),
            "p999_ms": self.below(0.999),
            "max_ms": round(self.highest * 1000, 1),
        }

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Lateness]:
        """Measure within the block."""
        task = asyncio.ensure_future(self.measure())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
