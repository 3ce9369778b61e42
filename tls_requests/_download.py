"""Downloads: the answer of a GET request into a file, which appears under its name only when it is complete.

The engine writes the body on a thread of its own: no piece of it becomes a Python object. Only an answer that somebody read from before (a response
hook), or that did not come by the engine, is written here.

Beside `<path>.part`, which grows, a download that may be resumed has `<path>.part.json`: the URL and what identifies the version of the resource
(RFC 9110 8.8). A later call asks for the rest by Range with If-Range, so that it gets either the rest of that very version or everything anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .exceptions import DecodingError, HTTPError, OutputError, make_error

if TYPE_CHECKING:
    from .client import AsyncClient, Client
    from .models.response import Response

__all__ = ["adownload", "download"]

# Facts of a failure that is found in an answer: see make_error.
_SENT = (True, False, None, "body", "")
# What is read from a file at once.
PIECE = 256 * 1024
# Seconds in which a write that is under way shall end when the download was given up. Until it does, the place stays locked.
PATIENCE = 1.0


class _Part:
    """The file that grows. Its methods block; an asynchronous client calls them on a thread."""

    def __init__(
        self, url: Any, path: Any, resume: bool, progress: Callable[[int, int | None], object] | None, fsync: bool
    ) -> None:
        self._url = str(url)
        self._path = os.fspath(path)
        if isinstance(self._path, bytes):
            self._path = os.fsdecode(self._path)
        self._part = self._path + ".part"
        self._notes = self._part + ".json"
        self._resume = resume
        self._progress = progress
        self._fsync = fsync
        self._file: Any = None
        self._start = 0  # bytes that were there before this answer
        self._reported = 0
        self._digest: tuple[str, bytes] | None = None  # declared
        self._hash: Any = None  # of what is written here
        self._found = b""
        self._validator: str | None = None
        self.have = 0
        self.total: int | None = None
        self.complete = False

    def look(self) -> dict[str, str]:
        """What is there of an earlier download; the header fields that ask for the rest."""
        self.have, self._validator = 0, None
        if not self._resume:
            return {}
        try:
            with open(self._notes, encoding="utf-8") as file:
                notes = json.load(file)
            have = os.path.getsize(self._part)
            validator, url = notes["validator"], notes["url"]
        except (OSError, ValueError, KeyError, TypeError):
            return {}
        if url != self._url or not isinstance(validator, str) or have == 0:
            return {}
        self.have, self._validator = have, validator
        # A range is one of the representation as sent: it must be without a content coding.
        return {"Range": f"bytes={have}-", "If-Range": validator, "Accept-Encoding": "identity"}

    def take_head(self, response: Response) -> bool:
        """Make ready for the body of an answer. False: that answer is of no use, ask again from the start."""
        status = response.status_code
        headers = response.headers
        start = 0
        if status == 0:
            error: Any = response.error
            raise error
        if status == 206 and self.have:
            first, total = _content_range(headers.get("content-range"))
            if first != self.have:
                why = f"The server's Content-Range does not begin at byte {self.have}."
                self.forget()
                raise make_error("H1_PROTOCOL", 0, "download.range", why, _SENT)
            start, self.total = self.have, total
        elif status == 416 and self.have:
            _, total = _content_range(headers.get("content-range"))
            if total == self.have:
                self.total, self.complete = total, True
                self._open(start=self.have)
                return True
            self.forget()
            return False
        elif not 200 <= status < 300 or status == 206:
            response.raise_for_status()
            raise HTTPError(f"{status}: not an answer that can be written to a file", response=response)
        else:
            length = headers.get("content-length")
            coded = "content-encoding" in headers
            self.total = int(length) if length is not None and length.isdigit() and not coded else None
            self._validator = None if coded else _validator(headers)
        self._open(start)
        self._digest = _digest_of(headers) if "content-encoding" not in headers else None
        if self._resume and not start:
            self._note()
        return True

    def _open(self, start: int) -> None:
        self.have = self._start = self._reported = start
        self._hash = None
        file = os.fdopen(
            os.open(self._part, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666), "r+b", buffering=0
        )
        try:
            _lock(file)  # before anything of what another download writes is cut off
            file.seek(start)
            file.truncate()
        except BaseException:
            file.close()
            raise
        self._file = file

    def _note(self) -> None:
        if self._validator is None:
            _remove(self._notes)
            return
        with open(self._notes, "w", encoding="utf-8") as file:
            json.dump({"url": self._url, "validator": self._validator}, file)

    def hand_over(self, response: Response) -> Any:
        """Have the engine write the body; its request, which is over when that is done. None: it cannot."""
        live = response._live
        if live is None or response._rest is not None:
            return None
        limit = None if self.total is None else self.total - self._start
        digest = None if self._digest is None else self._digest[0]
        return live.to_file(self._file.fileno(), limit, self._progress is not None, digest, self._start)

    def follow(self, op: Any) -> None:
        """Note how far the engine is."""
        self.have = self._start + op._file_written
        self.report()

    def written(self, op: Any, response: Response) -> None:
        """The engine is done with it. Raises what it failed with."""
        try:
            op._raise_failure()
        except OutputError as error:
            error.filename = self._part
            raise
        except DecodingError as error:
            if error.where != "file.limit":
                raise
            self.forget()
            why = f"The body goes on behind byte {self.total}, which the server said is the last."
            raise make_error("BODY_TRUNCATED", 0, "download.length", why, _SENT) from None
        self._found = op._file_digest
        self.follow(op)
        live = response._live
        if live is not None:
            live.end()

    def write(self, piece: bytes) -> None:
        """Write what could not be handed over."""
        self._begin_digest()
        view = memoryview(piece)
        while view:
            view = view[self._file.write(view) :]
        if self._hash is not None:
            self._hash.update(piece)
        self.have += len(piece)

    def written_here(self) -> None:
        """All pieces were given to `write`."""
        self._begin_digest()
        if self._hash is not None:
            self._found = self._hash.digest()

    def _begin_digest(self) -> None:
        if self._digest is None or self._hash is not None:
            return
        import hashlib

        self._hash = hashlib.new(self._digest[0])
        at = 0
        while at < self._start:
            piece = os.pread(self._file.fileno(), min(PIECE, self._start - at), at)
            if not piece:
                break
            self._hash.update(piece)
            at += len(piece)

    def report(self) -> None:
        if self._progress is not None and self.have != self._reported:
            self._reported = self.have
            self._progress(self.have, self.total)

    def finish(self) -> None:
        """Everything came: check it, and give the file its name."""
        if self.total is not None and self.have != self.total:
            self.abandon()
            why = f"The file has {self.have} bytes, the server said {self.total}."
            raise make_error("BODY_TRUNCATED", 0, "download.length", why, _SENT)
        if self._digest is not None and not self.complete and self._found != self._digest[1]:
            self.forget()
            raise make_error(
                "BODY_CODING",
                0,
                "download.digest",
                "The file does not have the digest that the server declared.",
                _SENT,
            )
        if self._fsync:
            os.fsync(self._file.fileno())
        self._close()
        os.replace(self._part, self._path)
        _remove(self._notes)

    def abandon(self) -> None:
        """The transfer failed: keep what came when it can be resumed."""
        if self._file is not None:
            if not self._resume or self._validator is None:
                self.forget()
            else:
                self._close()

    def forget(self) -> None:
        """Remove what is there."""
        _remove(self._part)
        _remove(self._notes)
        self.have = 0
        self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _lock(file: Any) -> None:
    """Keep other downloads to the same place out, in this process and others. Raises BlockingIOError."""
    try:
        import fcntl
    except ImportError:  # a system without it
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, "another download writes this file", file.name) from None


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _content_range(value: str | None) -> tuple[int | None, int | None]:
    """First byte and total of "bytes 5-9/10" or "bytes */10"; None for what is not said."""
    unit, _, rest = (value or "").partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    if unit.lower() != "bytes":
        return None, None
    return (int(first) if first.isdigit() else None), (int(total) if total.isdigit() else None)


def _validator(headers: Any) -> str | None:
    """What If-Range may carry (RFC 9110 13.1.5): a strong entity tag, else the date of modification."""
    tag: str | None = headers.get("etag")
    if tag is not None and tag.startswith('"'):
        return tag
    if tag is not None:
        return None
    modified: str | None = headers.get("last-modified")
    return modified


def _digest_of(headers: Any) -> tuple[str, bytes] | None:
    """The digest of the whole that the server gives (RFC 9530 Repr-Digest), and which it is."""
    import base64
    import binascii

    for item in (headers.get("repr-digest") or "").split(","):
        name, _, value = item.strip().partition("=")
        if name.lower() in ("sha-256", "sha-512") and len(value) > 2 and value[0] == value[-1] == ":":
            try:
                return name.lower().replace("-", ""), base64.b64decode(value[1:-1], validate=True)
            except (ValueError, binascii.Error):
                continue
    return None


def _arguments(arguments: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    if not fields:
        return arguments
    from .models.headers import Headers

    headers = Headers(arguments.get("headers"))
    headers.update(fields)
    return {**arguments, "headers": headers}


def download(
    client: Client,
    url: Any,
    path: Any,
    resume: bool,
    progress: Callable[[int, int | None], object] | None,
    fsync: bool,
    arguments: dict[str, Any],
) -> Response:
    """Client.download."""
    part = _Part(url, path, resume, progress, fsync)
    while True:
        context = client.stream("GET", url, **_arguments(arguments, part.look()))
        context.to_file = True
        with context as response:
            op = None
            try:
                if not part.take_head(response):
                    continue
                op = None if part.complete else part.hand_over(response)
                if op is not None:
                    while not op._over:
                        op._wait_event()
                        part.follow(op)
                    part.written(op, response)
                elif not part.complete:
                    for piece in response.iter_bytes():
                        part.write(piece)
                        part.report()
                    part.written_here()
            except BaseException:
                if op is not None:
                    op._abort()
                    op._file_wait(PATIENCE)
                part.abandon()
                raise
            part.finish()
            return response


async def adownload(
    client: AsyncClient,
    url: Any,
    path: Any,
    resume: bool,
    progress: Callable[[int, int | None], object] | None,
    fsync: bool,
    arguments: dict[str, Any],
) -> Response:
    """AsyncClient.download. Files are touched on threads."""
    import asyncio

    loop = asyncio.get_running_loop()
    part = _Part(url, path, resume, progress, fsync)

    async def run(function: Callable[..., Any], *values: Any) -> Any:
        # Once begun a write is waited for, also when the task is cancelled: the file must not be closed under it.
        future = loop.run_in_executor(None, function, *values)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    while True:
        fields = await run(part.look)
        context = client.stream("GET", url, **_arguments(arguments, fields))
        context.to_file = True
        async with context as response:
            op = None
            try:
                if not await run(part.take_head, response):
                    continue
                op = None if part.complete else part.hand_over(response)
                if op is not None:
                    while not op._over:
                        op._reader = loop.create_future()
                        await op._reader
                        part.follow(op)
                    part.written(op, response)
                elif not part.complete:
                    async for piece in response.aiter_bytes():
                        await run(part.write, piece)
                        part.report()
                    await run(part.written_here)
            except BaseException:
                if op is not None:
                    op._reader = None
                    op._abort()
                    await run(op._file_wait, PATIENCE)
                part.abandon()
                raise
            await run(part.finish)
            return response
