"""Request bodies in pieces: where they come from (Source) and how they reach the engine (Upload).

The engine asks for more when it has room (`_Op._wants_body`), so a source is read as fast as the connection drains. A number of the pass comes
with the question: a redirect or a replay begins a new one, and the source is read from its start again.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

from ._turns import Turn
from .exceptions import HTTPError, make_error

__all__ = ["Source", "Upload", "source_of"]

# One piece of a file, and of what is handed to the engine at once: large enough that asking costs little.
PIECE = 256 * 1024

Progress = Callable[[int, "int | None"], object]


class Source:
    """A body. length: bytes, None when it is not known. rewinds: it can be read again from its start.
    on_thread: reading it blocks, so that an asynchronous client does it on a thread. is_async: only `astart` reads it."""

    length: int | None = None
    rewinds = False
    on_thread = False
    is_async = False

    def start(self) -> Iterator[Any]:
        """Pieces from the body's start."""
        raise TypeError("a body that is an asynchronous iterator needs an AsyncClient")

    def astart(self) -> AsyncIterator[Any]:
        """Pieces from the body's start, for asynchronous code."""
        pieces = self.start()
        return _on_thread(pieces) if self.on_thread else _in_line(pieces)


_END: Any = object()


async def _on_thread(pieces: Iterator[Any]) -> AsyncIterator[Any]:
    import asyncio

    loop = asyncio.get_running_loop()
    try:
        while True:
            piece = await loop.run_in_executor(None, next, pieces, _END)
            if piece is _END:
                return
            yield piece
    finally:
        _close(pieces)


async def _in_line(pieces: Iterator[Any]) -> AsyncIterator[Any]:
    try:
        for piece in pieces:
            yield piece
    finally:
        _close(pieces)


def _close(pieces: Any) -> None:
    """Close a generator that was not read to its end; one that still runs, on a thread, ends by itself."""
    close = getattr(pieces, "close", None)
    if close is not None:
        with contextlib.suppress(ValueError):
            close()


class MemorySource(Source):
    """Bytes that are there: for a body whose progress is watched."""

    rewinds = True

    def __init__(self, data: Any) -> None:
        self._view = memoryview(data).cast("B")
        self.length = len(self._view)

    def start(self) -> Iterator[Any]:
        for at in range(0, len(self._view), PIECE):
            yield self._view[at : at + PIECE]


def file_length(file: Any) -> int | None:
    """Bytes of a binary file from its start, or None: it cannot seek, or it is text."""
    if isinstance(file, io.TextIOBase):
        return None
    try:
        here = file.tell()
        end: int = file.seek(0, os.SEEK_END)
        file.seek(here)
    except (AttributeError, OSError, ValueError, TypeError):
        return None
    return end if isinstance(end, int) else None


class FileSource(Source):
    """A readable object: from its start when it can seek, else from where it is."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.length = file_length(file)
        self.rewinds = _can_seek(file)
        self.on_thread = not isinstance(file, io.BytesIO)

    def start(self) -> Iterator[Any]:
        if self.rewinds:
            self._file.seek(0)
        while True:
            piece = self._file.read(PIECE)
            if piece is None:  # see iter_buffer
                raise BlockingIOError("the file has nothing to read now; one that blocks is needed")
            if not piece:
                return
            yield piece.encode("utf-8") if isinstance(piece, str) else piece


def _can_seek(file: Any) -> bool:
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):
        return hasattr(file, "seek")


class IterableSource(Source):
    """Pieces of any iterable: one that gives a new iterator each time can be read again."""

    def __init__(self, pieces: Iterable[Any], length: int | None = None, on_thread: bool = False) -> None:
        self._pieces = pieces
        self._used = False
        self.length = length
        self.rewinds = not isinstance(pieces, Iterator)
        self.on_thread = on_thread

    def start(self) -> Iterator[Any]:
        if self._used and not self.rewinds:
            raise RuntimeError("the body's iterator was read already")
        self._used = True
        return iter(self._pieces)


class AsyncIterableSource(Source):
    """Pieces of an asynchronous iterable."""

    is_async = True

    def __init__(self, pieces: AsyncIterable[Any], length: int | None = None) -> None:
        self._pieces = pieces
        self._used = False
        self.length = length
        self.rewinds = not isinstance(pieces, AsyncIterator)

    def astart(self) -> AsyncIterator[Any]:
        if self._used and not self.rewinds:
            raise RuntimeError("the body's iterator was read already")
        self._used = True
        return self._pieces.__aiter__()


def source_of(value: Any) -> Source | None:
    """The source for what is a body in pieces: a readable object, an iterable or asynchronous iterable of bytes. None: it is something
    else (text, bytes, a mapping, a list of pairs)."""
    if value is None or isinstance(value, (str, bytes, bytearray, memoryview, Mapping)):
        return None
    if isinstance(value, Source):
        return value
    if hasattr(value, "render") and hasattr(value, "get_headers"):  # an encoder, by hand
        length = value.length() if hasattr(value, "length") else None
        return IterableSource(value, length, on_thread=True)
    if hasattr(value, "read"):
        return FileSource(value)
    if hasattr(value, "__aiter__"):
        return AsyncIterableSource(value)
    if isinstance(value, Iterable):
        pairs = isinstance(value, (list, tuple)) and all(isinstance(item, (list, tuple)) for item in value)
        return None if pairs else IterableSource(value)
    return None


def _error(why: str, cause: BaseException | None) -> Exception:
    error = make_error("REQUEST_BODY", 0, "upload", why)
    error.__cause__ = cause
    return error


def _describe(error: Any, op: Any) -> None:
    """Tell a failure of the body what became of its request, which is over."""
    if isinstance(error, HTTPError):
        error.request_sent, error.elapsed, address = op._facts
        error.safe_to_retry = not error.request_sent
        error.address = address or None


class Upload:
    """Moves a source into one request."""

    def __init__(self, source: Source, progress: Progress | None = None) -> None:
        self._source = source
        self._progress = progress
        self._reported = -1
        self._pass: int | None = None
        self._pieces: Any = None
        self._rest: Any = None  # of a piece that is larger than PIECE
        self.error: Exception | None = None

    def _begin(self, number: int, pieces: Any) -> None:
        self._pass = number
        self._pieces = pieces
        self._rest = None

    def _report(self, op: Any) -> None:
        if self._progress is not None and op._sent != self._reported:
            self._reported = op._sent
            self._progress(self._reported, self._source.length)

    def _hand_over(self, op: Any, piece: Any) -> None:
        """Give the engine a piece, or the first PIECE bytes of it."""
        if isinstance(piece, str):
            raise TypeError("pieces of a body must be bytes, not str")
        view = piece if isinstance(piece, memoryview) and piece.format == "B" else memoryview(piece).cast("B")
        if len(view) > PIECE:
            self._rest = view[PIECE:]
            view = view[:PIECE]
        else:
            self._rest = None
        op._write(self._pass, view)

    def _failed(self, op: Any, cause: Exception) -> Exception:
        if isinstance(cause, HTTPError) and cause.code == "REQUEST_BODY":
            self.error = cause  # longer or shorter than declared: the engine said so
        else:
            why = f"The request's body could not be read: {type(cause).__name__}: {cause}"
            op._write_fail(why[:150])
            self.error = _error(why, cause)
        return self.error

    def pump(self, op: Any) -> None:
        """Write as much as is wanted now. Raises ProtocolError when the source fails."""
        self._report(op)
        while True:
            number = op._wants_body()
            if number is None:
                return
            try:
                if number != self._pass:
                    self._begin(number, self._source.start())
                piece = self._rest if self._rest is not None else next(self._pieces, _END)
                if piece is _END:
                    op._write_end(self._pass)
                else:
                    self._hand_over(op, piece)
            except Exception as error:
                failure = self._failed(op, error)
                op._abort()
                while not op._over:
                    op._wait_event()
                _describe(failure, op)
                raise failure from failure.__cause__

    async def apump(self, op: Any) -> None:
        """Write what is wanted until the request is over. A failure is kept in `error`, and ends the request."""
        import asyncio

        loop = asyncio.get_running_loop()
        turn = Turn()
        try:
            while not op._over:
                if turn.is_over():
                    await turn.give()
                try:
                    self._report(op)
                except Exception as error:  # the caller's own: it goes to him as it is
                    self.error = error
                    op._abort()
                    return
                number = op._wants_body()
                if number is None:
                    waiter = loop.create_future()
                    op._writer = waiter
                    await waiter
                    turn.begin()
                    continue
                if number != self._pass:
                    self._begin(number, self._source.astart())
                piece = self._rest
                if piece is None:
                    try:
                        piece = await self._pieces.__anext__()
                    except StopAsyncIteration:
                        op._write_end(self._pass)
                        continue
                self._hand_over(op, piece)
        except Exception as error:
            self._failed(op, error)
        finally:
            op._writer = None

    def close(self, op: Any = None) -> None:
        """Let go of an iterator that was not read to its end. op: the request, when its progress is still to be told."""
        _close(self._pieces)
        self._pieces = self._rest = None
        if op is not None:
            self._report(op)

    async def aclose(self, op: Any = None) -> None:
        """`close` for asynchronous code."""
        close = getattr(self._pieces, "aclose", None)
        self._pieces = self._rest = None
        if close is not None:
            await close()
        if op is not None and self.error is None:
            self._report(op)


def run_blocking(op: Any, upload: Upload | None) -> Any:
    """Send a request made by `_perform_open`; the response once it is answered. An upload that is not over by then goes on while the answer is
    read."""
    op._submit()
    try:
        while not op._answered:
            if upload is not None:
                upload.pump(op)
                if op._answered:
                    break
            op._wait_event()
        if upload is not None and op._over:
            upload.close(op)
        return op._response()
    except BaseException:
        op._abort()
        if upload is not None:
            upload.close()
        raise


async def run_async(op: Any, upload: Upload) -> tuple[Any, Any]:
    """Await a request made by `_perform_awaitable` while its body is uploaded. (response, the upload's task while it is not over)."""
    import asyncio

    task = asyncio.ensure_future(upload.apump(op))
    over = True
    try:
        response = await op
        over = op._over
    except Exception:
        if upload.error is not None:
            _describe(upload.error, op)
            raise upload.error from upload.error.__cause__
        raise
    finally:
        if over:
            await stop_upload(op, upload, task)
    if upload.error is not None:
        if over:
            _describe(upload.error, op)
        raise upload.error
    return response, None if over else task


async def stop_upload(op: Any, upload: Upload, task: Any) -> None:
    """End the upload's task, and its source."""
    import asyncio

    if not task.done():
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
    await upload.aclose(op)
