"""Turns on an event loop: who finds what he wants again and again never waits, and the loop's other tasks would wait for him."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import TypeVar

__all__ = ["TURN_SECONDS", "Turn", "batches"]

# How long a task, or a callback, keeps the loop for itself when the other side is faster. Short enough that nobody notices, long enough that
# a switch of tasks (some 10 us) costs nothing beside it.
TURN_SECONDS = 0.005
# Small things between two looks at the clock: some 100 us.
_BATCH = 128

T = TypeVar("T")


class Turn:
    """The time that somebody has had the loop for himself."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end = monotonic() + TURN_SECONDS

    def begin(self) -> None:
        """The loop had its turn: count from now."""
        self._end = monotonic() + TURN_SECONDS

    @property
    def left(self) -> float:
        """Seconds until it is the loop's turn; negative: since when."""
        return self._end - monotonic()

    def is_over(self) -> bool:
        """Whether it is the loop's turn."""
        return monotonic() >= self._end

    async def give(self) -> None:
        """Let the loop have its turn."""
        import asyncio

        await asyncio.sleep(0)
        self._end = monotonic() + TURN_SECONDS


def batches(items: list[T]) -> Iterator[list[T]]:
    """The items, as many at a time as are handed out between two looks at the clock."""
    if len(items) <= _BATCH:
        yield items
        return
    for at in range(0, len(items), _BATCH):
        yield items[at : at + _BATCH]
