"""streamOutputPath: a body that goes into a file. Imported when somebody asks for it.

The engine writes it, on a thread of its own, while it comes in; what is done here is around that: opening, and taking back what a try that counts for
nothing has appended.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.response import Response

__all__ = ["OutputFile"]

_BLOCK = 1024  # bytes; the original's
_END_MAX = 64 * 1024  # bytes; the engine's limit
# Seconds in which a write that is under way shall end when the request failed. What hangs longer is not taken back.
_PATIENCE = 1.0


class OutputFile:
    """A file that a body is appended to. All methods but `options` may block.

    Opened before the request is sent, so that a path that cannot be written is found then: OSError.
    """

    _fd = -1
    _start = 0  # where this request's bytes begin
    op: Any = None  # the request of the try under way, as the engine has it

    def __init__(self, path: Any, block_size: Any = None, end: Any = None) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise TypeError(f"streamOutputPath must be a path, not {type(path).__name__}")
        try:
            os.fsencode(path)
        except UnicodeEncodeError:
            raise ValueError(f"streamOutputPath: {path!r} is no path") from None
        size = _BLOCK if block_size is None else block_size
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
            raise ValueError(f"streamOutputBlockSize must be an int above 0, not {size!r}")
        if not isinstance(end, (str, bytes, type(None))):
            raise TypeError(f"streamOutputEOFSymbol must be a str, not {type(end).__name__}")
        try:
            self._end = end.encode("utf-8") if isinstance(end, str) else end or b""
        except UnicodeEncodeError as error:
            raise ValueError(f"streamOutputEOFSymbol is not valid Unicode: {error.reason}") from None
        if len(self._end) > _END_MAX:
            raise ValueError(f"streamOutputEOFSymbol may have {_END_MAX} bytes, not {len(self._end)}")
        self._path = path
        self._size = min(size, 1 << 30)

    def open(self) -> None:
        """Open, and make, the file."""
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)
        self._start = os.fstat(self._fd).st_size

    @property
    def options(self) -> dict[str, Any]:
        """What the engine is told."""
        return {"output": (self._fd, self._size, self._end)}

    def take_back(self) -> None:
        """The last try counts for nothing: cut off what it appended, where nobody else has appended to the file meanwhile."""
        op, self.op = self.op, None
        if op is None or not op._file_wait(_PATIENCE):
            return
        found = os.fstat(self._fd)
        added = found.st_size - self._start
        written = op._file_written
        if stat.S_ISREG(found.st_mode) and added > 0 and added in (written, written + len(self._end)):
            os.ftruncate(self._fd, self._start)

    def settle(self, response: Response | None) -> None:
        """The request is over, with that response or an exception."""
        if response is None or response.status_code == 0:
            self.take_back()
        self.close()

    async def aopen(self) -> None:
        """`open` on a thread of the loop's. A named pipe may hang there until somebody reads it: then this can be cancelled."""
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, self.open)

    async def arun(self, name: str, *values: Any) -> None:
        """Call a method on a thread of the loop's; it is waited for, however often this is cancelled."""
        from ._threads import on_thread

        await on_thread(getattr(self, name), *values)

    def close(self) -> None:
        """Close the file. Any number of times."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()
