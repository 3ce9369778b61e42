"""An event loop on a thread of its own, for blocking code that needs one: one a process, started when it is first used."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["background_loop", "run"]

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def background_loop() -> asyncio.AbstractEventLoop:
    """The loop; started if it does not run."""
    global _loop, _thread
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            # A daemon: a blocked program may still end. `_stop` joins it at a regular exit.
            _thread = threading.Thread(target=_serve, args=(_loop,), name="tls_requests-loop", daemon=True)
            _thread.start()
        return _loop


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Have the background loop do `work` and wait for it. A KeyboardInterrupt here cancels it there."""
    loop = background_loop()
    if threading.current_thread() is _thread:
        work.close()
        raise RuntimeError("blocking calls cannot be made on the background loop")
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _stop() -> None:
    global _loop, _thread
    with _lock:
        loop, thread = _loop, _thread
        _loop = _thread = None
    if loop is not None and thread is not None:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def _after_fork() -> None:
    # The thread did not come along; what its loop had under way is the parent's.
    global _loop, _thread, _lock
    _lock = threading.Lock()
    _loop = _thread = None


atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
