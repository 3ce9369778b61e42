"""Downloads: the answer of a GET request into a file, which appears under its name only when it is complete.

The engine writes the body on a thread of its own: no piece of it becomes a Python object. Only an answer that somebody read from before (a response
hook), or that did not come by the engine, is written here.

Beside `<path>.part`, which grows, a download that may be resumed has `<path>.part.json`: the URL and what identifies the version of the resource
(RFC 9110 8.8). A later call asks for the rest by Range with If-Range, so that it gets either the rest of that very version or everything anew.
"""

from __future__ import annotations

import contextlib
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
        self._anew = False  # what is there is of no use, or another download's
        self._busy = False  # the engine may still be writing
        self.have = 0
        self.total: int | None = None
        self.complete = False

    def look(self) -> dict[str, str]:
        """What is there of an earlier download; the header fields that ask for the rest."""
        self.have, self._validator = 0, None
        if not self._resume or self._anew:
            return {}
        validator = self._noted()
        try:
            have = os.path.getsize(self._part)
        except OSError:
            have = 0
        if validator is None or have == 0:
            return {}
        self.have, self._validator = have, validator
        # A range is one of the representation as sent: it must be without a content coding.
        return {"Range": f"bytes={have}-", "If-Range": validator, "Accept-Encoding": "identity"}

    def _noted(self) -> str | None:
        """The validator of what is there, if it is of this URL."""
        try:
            with open(self._notes, encoding="utf-8") as file:
                notes = json.load(file)
            validator, url = notes["validator"], notes["url"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return validator if url == self._url and isinstance(validator, str) else None

    def take_head(self, response: Response) -> bool:
        """Make ready for the body of an answer. False: that answer is of no use, ask again from the start."""
        status = response.status_code
        headers = response.headers
        coded = "content-encoding" in headers
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
            if coded or _is_other(headers, self._validator):
                # From servers that do not know If-Range (RFC 9110 15.3.7: never put parts of two versions together).
                self._anew = True
                return False
            start, self.total = self.have, total
        elif status == 416 and self.have:
            _, total = _content_range(headers.get("content-range"))
            if total == self.have and self._open(start=self.have):
                self.total, self.complete = total, True
                return True
            self.forget()
            self._anew = True
            return False
        elif not 200 <= status < 300 or status == 206:
            response.raise_for_status()
            raise HTTPError(f"{status}: not an answer that can be written to a file", response=response)
        else:
            length = headers.get("content-length")
            self.total = int(length) if length is not None and length.isdigit() and not coded else None
            self._validator = None if coded else _validator(headers)
        if not self._open(start):
            self._anew = True
            return False
        self._digest = None if coded else _digest_of(headers)
        if not start:
            self._note()
        return True

    def _open(self, start: int) -> bool:
        """Open, lock and cut the file. False: it does not begin any more with the bytes that were to be continued."""
        file = self._take(os.O_CREAT)
        try:
            if start and (os.fstat(file.fileno()).st_size < start or self._noted() != self._validator):
                file.close()
                return False
            file.seek(start)
            file.truncate()
        except BaseException:
            file.close()
            raise
        self.have = self._start = self._reported = start
        self._hash = None
        self._file = file
        return True

    def _take(self, more_flags: int) -> Any:
        """The file, locked before anything of what another download writes is cut off. Raises BlockingIOError."""
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | more_flags
        for left in range(100, -1, -1):
            file = os.fdopen(os.open(self._part, flags, 0o666), "r+b", buffering=0)
            try:
                _lock(file)
                if _is_at(file, self._part) or not left:
                    return file  # the last time in any case: some network's file systems number a file anew each time
            except BaseException:
                file.close()
                raise
            # Between opening and locking another download was done with it: it has its name by now, or is gone.
            file.close()
        raise AssertionError("the last turn returns")

    def _note(self) -> None:
        if self._validator is None or not self._resume:
            _remove(self._notes)  # they would be of something else
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
        try:
            self._finish()
        except BaseException:
            self.abandon()
            raise

    def _finish(self) -> None:
        if self.total is not None and self.have != self.total:
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
        # Under the lock: who opens the part now must not find it under its old name when it is free.
        os.replace(self._part, self._path)
        _remove(self._notes)
        self._close()

    def stop(self, op: Any, seconds: float) -> None:
        """Wait for a write of the engine's that is under way, after its request was aborted."""
        self._busy = True
        self._busy = not op._file_wait(seconds)

    def abandon(self) -> None:
        """The transfer failed: keep what came when it can be resumed."""
        if self._file is not None:
            if not self._resume or self._validator is None:
                self.forget()
            else:
                self._close()

    def forget(self) -> None:
        """Remove what is there, unless it is another download's."""
        self.have = 0
        try:
            if self._file is None:
                self._file = self._take(0)
            _remove(self._part)
            _remove(self._notes)
        except (FileNotFoundError, BlockingIOError):
            return
        finally:
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            if not self._busy:
                _unlock(file)
        finally:
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


def _unlock(file: Any) -> None:
    """Give the place free. Closing does so by itself, but for a process that was forked meanwhile and has the file open, too."""
    try:
        import fcntl
    except ImportError:
        return
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_UN)


def _is_at(file: Any, path: str) -> bool:
    """Whether that file has that name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


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


def _is_other(headers: Any, validator: str | None) -> bool:
    """Whether an answer says that it is of another version than the one with that validator."""
    tag, modified = headers.get("etag"), headers.get("last-modified")
    if validator is not None and validator.startswith('"'):
        return tag is not None and tag != validator
    return modified is not None and modified != validator


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
                try:
                    if op is not None:
                        op._abort()
                        part.stop(op, PATIENCE)
                finally:
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

    from ._threads import on_thread

    loop = asyncio.get_running_loop()
    part = _Part(url, path, resume, progress, fsync)

    while True:
        fields = await on_thread(part.look)
        context = client.stream("GET", url, **_arguments(arguments, fields))
        context.to_file = True
        async with context as response:
            op = None
            try:
                if not await on_thread(part.take_head, response):
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
                        await on_thread(part.write, piece)
                        part.report()
                    await on_thread(part.written_here)
            except BaseException as error:
                try:
                    if op is not None:
                        op._reader = None
                        op._abort()
                        if isinstance(error, GeneratorExit):  # nobody runs this any more
                            part.stop(op, 0)
                        else:
                            await on_thread(part.stop, op, PATIENCE)
                finally:
                    part.abandon()
                raise
            await on_thread(part.finish)
            return response
