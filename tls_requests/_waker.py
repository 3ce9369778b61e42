"""Wake-ups for event loops without add_reader: a thread that watches the engine's descriptor. Loops of asyncio on POSIX and uvloop never
need it."""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable
from typing import Any


class ThreadWaker:
    """Calls `drain` on the loop whenever the descriptor is readable, until the loop is closed or `stop` is called."""

    def __init__(self, loop: Any, descriptor: int, drain: Callable[[], None]) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._drain = drain
        self._stopped = False
        self._drained = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tls_requests-waker", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # poll(), where there is one: select() takes no descriptor above 1023.
        with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
            selector.register(self._descriptor, selectors.EVENT_READ)
            self._watch(selector)

    def _watch(self, selector: selectors.BaseSelector) -> None:
        while not self._stopped and not self._loop.is_closed():
            if not selector.select(0.5) or self._stopped:
                continue
            self._drained.clear()
            try:
                self._loop.call_soon_threadsafe(self._on_loop)
            except RuntimeError:  # the loop was closed meanwhile
                return
            while not self._drained.wait(0.5):
                if self._stopped or self._loop.is_closed():
                    return

    def _on_loop(self) -> None:
        try:
            self._drain()
        finally:
            self._drained.set()

    def stop(self) -> None:
        """End the thread. The descriptor may be closed afterwards."""
        self._stopped = True
        self._drained.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(1.0)
