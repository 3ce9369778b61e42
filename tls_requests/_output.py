"""streamOutputPath: a body that goes into a file. Imported when somebody asks for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.response import Response

__all__ = ["OutputFile"]

_BLOCK = 1024  # bytes; the original's


class OutputFile:
    """A file that a body is appended to. All methods may block.

    Opened before the request is sent, so that a path that cannot be written is found then: OSError.
    """

    _fd = -1
    _taken = False  # a thread writes and closes it

    def __init__(self, path: Any, block_size: Any = None, end: Any = None) -> None:
        if not isinstance(path, (str, bytes, os.PathLike)):
            raise TypeError(f"streamOutputPath must be a path, not {type(path).__name__}")
        size = _BLOCK if block_size is None else block_size
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
            raise ValueError(f"streamOutputBlockSize must be an int above 0, not {size!r}")
        if not isinstance(end, (str, bytes, type(None))):
            raise TypeError(f"streamOutputEOFSymbol must be a str, not {type(end).__name__}")
        self._end = end.encode("utf-8") if isinstance(end, str) else end or b""
        self._path = path
        self._size = size

    def open(self) -> None:
        """Open, and make, the file."""
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o666)

    async def aopen(self) -> None:
        """`open` on a thread of the loop's."""
        import asyncio

        await asyncio.get_running_loop().run_in_executor(None, self.open)

    async def atake(self, response: Response) -> None:
        """`take` on a thread of the loop's; the file is closed there, too, however long this is awaited."""
        import asyncio

        self._taken = True
        await asyncio.get_running_loop().run_in_executor(None, self._take_and_close, response)

    def _take_and_close(self, response: Response) -> None:
        try:
            self.take(response)
        finally:
            self._taken = False
            self.close()

    def take(self, response: Response) -> None:
        """Append the body of an answer in blocks, then the end symbol; the response's content is empty afterwards."""
        if response.status_code == 0:
            return
        body = memoryview(response.content)
        for start in range(0, len(body), self._size):
            self._write(body[start : start + self._size])
        self._write(memoryview(self._end))
        response._content = b""

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        """Close the file, unless a thread writes it and will do so. Any number of times."""
        if self._taken:
            return
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self._taken = False
        self.close()
