"""The body of a response that is handed out before it came: ResponseStream, which `response.stream` is."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncIterator, Iterator
from typing import Any

from .._turns import Turn
from .._upload import Upload, stop_upload
from ..exceptions import StreamClosed, StreamConsumed, StreamError
from .encoders import StreamEncoder

__all__ = ["LineSplitter", "ResponseStream", "text_decoder"]

# A line without an end would be kept for ever.
LINE_MAX = 16 * 1024 * 1024


class ResponseStream(StreamEncoder):
    """The body of a streamed response, in pieces, decoded. Iterate it (`for`, `async for`) or use the response's methods.

    One consumer reads at a time. Reading waits for the server, and the server waits for who reads: what is not read stays, but for some buffers,
    on the other side. Raises StreamConsumed and StreamClosed; IncompleteBody, DecodingError, ReadTimeout and others of the transport.
    """

    def __init__(self, op: Any, is_async: bool, upload: Upload | None = None, task: Any = None) -> None:
        super().__init__()
        self._op = op
        self._upload = upload
        self._task = task
        self.is_async = is_async
        self._raw: bool | None = None  # how it is read; None: not yet
        self._finished = False

    @property
    def finished(self) -> bool:
        """Whether everything was read."""
        return self._finished

    def _claim(self, raw: bool) -> None:
        if self._closed and not self._finished:
            raise StreamClosed("The response was closed before its body was read.")
        if self._finished or self._raw not in (None, raw):
            raise StreamConsumed("The response's body was read already.")
        self._raw = raw

    def _check(self, is_async: bool) -> None:
        if is_async != self.is_async:
            kind, how = ("an AsyncClient", "asynchronous") if self.is_async else ("a Client", "blocking")
            raise RuntimeError(f"this body belongs to {kind}: use the {how} methods")

    def pieces(self, size: int | None = None, raw: bool = False) -> Iterator[bytes]:
        """Pieces of `size` bytes (the last may be shorter), or as they come. raw: content codings are left."""
        least = _least(size)
        self._check(is_async=False)
        self._claim(raw)
        while True:
            if self._closed:
                raise StreamClosed("The response was closed while its body was read.")
            piece = self._op._read(least, size or 0, raw)
            if piece is None:
                if self._upload is not None:
                    self._upload.pump(self._op)
                self._op._wait_event()
            elif piece:
                yield piece
            else:
                self.end()
                return

    async def apieces(self, size: int | None = None, raw: bool = False) -> AsyncIterator[bytes]:
        """`pieces` for asynchronous code."""
        least = _least(size)
        self._check(is_async=True)
        self._claim(raw)
        loop = asyncio.get_running_loop()
        if loop is not self._op.get_loop():
            raise RuntimeError("this body belongs to another event loop")
        turn = Turn()
        while True:
            if self._closed:
                raise StreamClosed("The response was closed while its body was read.")
            piece = self._op._read(least, size or 0, raw)
            if piece is None:
                if self._op._reader is not None:
                    raise RuntimeError("another task reads this body")
                waiter = loop.create_future()
                self._op._reader = waiter
                try:
                    await waiter
                finally:
                    self._op._reader = None
                turn.begin()
            elif piece:
                yield piece
                if turn.is_over():
                    await turn.give()
            else:
                self._finished = True
                await self.aclose()
                return

    def to_file(self, fd: int, limit: int | None, events: bool, digest: str | None, before: int) -> Any:
        """Have the engine write the whole body to a descriptor; the request, for who waits for that (see _Op._to_file).

        None: it cannot, because somebody read from it, or it was not asked for when the request was sent.
        """
        if self._closed or self._raw is not None or not self._op._to_file(fd, limit, events, digest, before):
            return None
        self._raw = False
        return self._op

    def end(self) -> None:
        """The body was taken to its end."""
        self._finished = True
        self.close()

    def render(self) -> Iterator[bytes]:
        yield from self.pieces()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self.apieces():
            yield piece

    def close(self) -> None:
        """Give the rest up: HTTP/2 resets the stream, HTTP/1.1 closes the connection. Any number of times."""
        if self._closed:
            return
        self._closed = True
        self._op._abort()
        if self._op._reader is not None and not self._op._reader.done():
            self._op._reader.set_result(None)
        if self._task is not None:
            self._task.cancel()
        elif self._upload is not None:
            self._upload.close(self._op)

    async def aclose(self) -> None:
        """`close` for asynchronous code."""
        self.close()
        task, self._task = self._task, None
        if task is not None and self._upload is not None:
            await stop_upload(self._op, self._upload, task)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and not self._op._over:
            import warnings

            warnings.warn("a streamed response was not closed", ResourceWarning, stacklevel=2, source=self)
            self._op._abort()


def _least(size: int | None) -> int:
    if size is None:
        return 1
    if size < 1:
        raise ValueError("chunk_size must be at least 1")
    return size


def text_decoder(encoding: str) -> codecs.IncrementalDecoder:
    """A decoder that keeps a character cut by the border of two pieces; UTF-8 where the codec is none for text."""
    try:
        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        if isinstance(decoder.decode(b""), str):
            return decoder
    except (LookupError, TypeError, AssertionError):
        pass
    return codecs.getincrementaldecoder("utf-8")(errors="replace")


class LineSplitter:
    """Cuts text at LF, CR LF and CR, also where a piece ends between the two."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._len = 0
        self._after_cr = False

    def feed(self, text: str) -> list[str]:
        """The lines that are complete now. Raises StreamError for a line that is longer than 16 Mi characters."""
        if self._after_cr and text.startswith("\n"):
            text = text[1:]
        if text:
            self._after_cr = text.endswith("\r")
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._parts.append(lines[0])
        self._len += len(lines[0])
        if self._len > LINE_MAX:
            raise StreamError(f"A line of the body has more than {LINE_MAX} characters.")
        if len(lines) == 1:
            return []
        lines[0] = "".join(self._parts)
        last = lines.pop()
        self._parts = [last]
        self._len = len(last)
        return lines

    def finish(self) -> list[str]:
        """What is left: a last line without an end."""
        rest = "".join(self._parts)
        self._parts, self._len = [], 0
        return [rest] if rest else []
