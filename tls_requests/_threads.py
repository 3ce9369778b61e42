"""Blocking calls on a thread of an event loop's executor. Imported by who has some."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["on_thread"]


async def on_thread(function: Callable[..., Any], *values: Any) -> Any:
    """Call something that blocks, and wait for it to its end however often the task is cancelled meanwhile: what it opens, locks or writes is not
    touched by anybody else before. Its exception becomes the cancellation's cause then."""
    future = asyncio.get_running_loop().run_in_executor(None, function, *values)
    cancelled: asyncio.CancelledError | None = None
    try:
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled from future.exception()
        return future.result()
    finally:
        cancelled = None  # its traceback has this frame
