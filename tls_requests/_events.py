"""Server-sent events (HTML, "Server-sent events"): the parser, and the streams that read, wait and ask again."""

from __future__ import annotations

import json
import random
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from ._pauses import CLOSED, Watch, call_in_loop
from .exceptions import ClientClosed, EventStreamError, HTTPError, StreamClosed, make_error

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterator
    from types import TracebackType

    from .models.response import Response

__all__ = ["AsyncEvents", "Event", "EventParser", "Events"]

_BOM = b"\xef\xbb\xbf"
# Waits that a server may ask for with `retry:`, in seconds: a day is as good as never.
_RETRY_MAX = 86400.0
# What of a piece is looked at in a row on an event loop: the events of some milliseconds.
_PART = 8192


class Event(NamedTuple):
    """One event. event: its type. data: the text. id: the last id that the server gave, "" when it gave none. retry: milliseconds that
    the server wants to be left alone before a reconnection, where this event said so."""

    event: str
    data: str
    id: str
    retry: int | None = None

    def json(self) -> Any:
        """`data` decoded as JSON. Raises ValueError."""
        return json.loads(self.data)


class EventParser:
    """Bytes of an event stream in, events out; a piece may end anywhere. max_size: of a line, and of an event's data, in bytes."""

    def __init__(self, max_size: int = 1024 * 1024, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._max_size = max_size
        self.reset()

    def reset(self) -> None:
        """A new stream begins; the last id stays."""
        self._at_start = True
        self._after_cr = False
        self._rest = bytearray()  # of a line whose end did not come yet
        self._data: list[bytes] = []
        self._size = 0
        self._event = b""
        self._id = self.last_event_id
        self._retry: int | None = None

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that are complete now, one by one, so that none is lost behind which something is wrong; to be read to the end. Raises
        EventStreamError for a line or an event larger than max_size."""
        if self._at_start:
            piece = bytes(self._rest) + piece
            self._rest.clear()
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                self._rest += piece
                return
            self._at_start = False
            if piece.startswith(_BOM):
                piece = piece[len(_BOM) :]
        if self._after_cr and piece:
            self._after_cr = False
            if piece.startswith(b"\n"):
                piece = piece[1:]
        if piece.endswith(b"\r"):
            self._after_cr = True
        lines = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest += lines[0]
        if len(lines) > 1:
            lines[0] = bytes(self._rest)
            self._rest[:] = lines.pop()
            for line in lines:
                self._check(line)
                if line:
                    self._field(line)
                    continue
                event = self._dispatch()
                if event is not None:
                    yield event
        self._check(self._rest)

    def _check(self, line: bytes | bytearray) -> None:
        if len(line) > self._max_size:
            raise EventStreamError(f"A line of the event stream has more than {self._max_size} bytes.")

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if name == b"data":
            self._size += len(value) + 1
            if self._size > self._max_size:
                raise EventStreamError(f"An event has more than {self._max_size} bytes.")
            self._data.append(value)
        elif name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit() and len(value.lstrip(b"0")) <= 10:
            self._retry = self.retry = int(value)

    def _dispatch(self) -> Event | None:
        self.last_event_id = self._id
        data, kind, retry = self._data, self._event, self._retry
        self._data, self._event, self._retry, self._size = [], b"", None, 0
        if not data:
            return None
        text = b"\n".join(data).decode("utf-8", "replace")
        return Event(kind.decode("utf-8", "replace") or "message", text, self.last_event_id, retry)


class _Source:
    """What both kinds of streams know: the request to make, how long to wait before the next, and when to give up."""

    def __init__(
        self,
        client: Any,
        url: Any,
        arguments: dict[str, Any],
        last_event_id: str,
        reconnect: bool,
        retry: float,
        max_delay: float,
        max_failures: int | None,
        idle_timeout: float | None,
        max_event_size: int,
    ) -> None:
        for name, value in (("retry", retry), ("max_delay", max_delay)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
                raise ValueError(f"{name} must be a number of seconds, not {value!r}")
        if idle_timeout is not None and (not isinstance(idle_timeout, (int, float)) or idle_timeout <= 0):
            raise ValueError(f"idle_timeout must be a number of seconds above 0, or None, not {idle_timeout!r}")
        if not isinstance(last_event_id, str) or any(char in last_event_id for char in "\0\r\n"):
            raise ValueError("last_event_id must be a str without NUL and line ends")
        if max_event_size < 1:
            raise ValueError("max_event_size must be at least 1")
        self._client = client
        self._url = url
        self._arguments = arguments
        self._auth = arguments.pop("auth", None)
        self._follow = arguments.pop("follow_redirects", None)
        self._parser = EventParser(max_event_size, last_event_id)
        self._reconnect = reconnect
        self._retry = float(retry)
        self._max_delay = float(max_delay)
        self._max_failures = max_failures
        self._idle_timeout = idle_timeout
        self._failures = 0
        self._closed = False
        self._again = False  # the next request is not the first
        self.response: Response | None = None

    @property
    def last_event_id(self) -> str:
        """The id that a reconnection would send."""
        return self._parser.last_event_id

    @property
    def retry(self) -> float:
        """Seconds before a reconnection: what the server asked for last, else what was given."""
        asked = self._parser.retry
        return self._retry if asked is None else min(asked / 1000, _RETRY_MAX)

    @property
    def closed(self) -> bool:
        """Whether no more events come."""
        return self._closed

    def _request_arguments(self) -> dict[str, Any]:
        from .models.headers import Headers

        arguments = dict(self._arguments)
        headers = Headers({"accept": "text/event-stream", "cache-control": "no-cache"})
        given = arguments.pop("headers", None)
        if given is not None:
            headers.update(given)
        if self.last_event_id:
            headers["last-event-id"] = self.last_event_id
        timeout = self._client._timeout(arguments.pop("timeout", None))
        limits = timeout if isinstance(timeout, dict) else {"total": timeout}
        arguments["timeout"] = {**limits, "read": self._idle_timeout}
        arguments["headers"] = headers
        arguments.setdefault("mode", "events")
        return arguments

    def _check(self, response: Response) -> bool:
        """Whether an answer is an event stream. False: the server wants no more of this (204). Raises EventStreamError."""
        failure = response.error
        if failure is not None:
            raise failure
        if response.status_code == 204:
            self.response = response
            self._closed = True
            return False
        kind = response.headers.get("content-type", "").split(";")[0].strip().lower()
        if response.status_code != 200:
            raise EventStreamError(
                f"The server answered {response.status_code} to the request for events.", response=response
            )
        if kind != "text/event-stream":
            raise EventStreamError(f"The answer is no event stream: its type is {kind[:64]!r}.", response=response)
        # Not before: an answer that is none must not be taken for one, should somebody enter or iterate once more.
        self.response = response
        self._parser.reset()
        self._failures = 0
        return True

    def _check_client(self) -> None:
        """Raises ClientClosed where the client was closed while nothing was under way."""
        if self._again and not self._closed and self._client.closed:
            code, why = CLOSED
            raise make_error(code, 0, "events.pause", why)

    def _lost(self, error: HTTPError | None) -> float:
        """Seconds to wait before the next request; raises what ended the last one where none follows."""
        self._again = True
        final = error is not None and isinstance(error, (EventStreamError, ClientClosed))
        if not self._reconnect and error is None:
            self._closed = True
            return 0.0
        if error is not None:
            self._failures += 1
            if final or not self._reconnect or (self._max_failures is not None and self._failures > self._max_failures):
                self._closed = True
                raise error
        delay = self.retry
        if self._failures > 1:
            delay = min(max(delay, 0.1) * 2.0 ** min(self._failures - 1, 16), max(self._max_delay, delay))
            delay *= random.uniform(0.5, 1.0)  # clients of a server that was away shall not come back at once
        return delay


class Events(_Source):
    """Events of one URL, as they come; `client.events(url)` makes them. Iterate, in a `with` block or not."""

    _wake: threading.Event

    def _open(self) -> bool:
        request = self._client.build_request("GET", self._url, **self._request_arguments())
        request._options["head_limit"] = True
        try:
            response = self._client.send(request, auth=self._auth, follow_redirects=self._follow, stream=True)
        except RuntimeError:
            self._check_client()
            raise
        try:
            going = self._check(response)
        except EventStreamError:
            response.close()
            raise
        if self._closed:
            response.close()  # it was closed meanwhile
        return going and not self._closed

    def __enter__(self) -> Events:
        """Send the request: what is wrong with the first answer is raised here."""
        self._wake = threading.Event()
        if self.response is None:
            self._open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        """Events until the server ends them (204), `close`, or an error. Raises EventStreamError; what a request raises, for the first
        one and after max_failures others."""
        if self.response is None:
            self.__enter__()
        try:
            while not self._closed:
                error: HTTPError | None = None
                try:
                    response = self.response
                    if response is None and not self._open():
                        return
                    response = self.response
                    assert response is not None
                    for piece in response.iter_bytes():
                        yield from self._parser.feed(piece)
                except StreamClosed:
                    if self._closed:
                        return
                    raise
                except HTTPError as failure:
                    error = failure
                if self._closed:
                    return
                response, self.response = self.response, None
                if response is not None:
                    response.close()
                delay = self._lost(error)
                if self._closed:
                    return
                with Watch(self._client, self._wake.set):
                    self._wake.wait(delay)
                self._check_client()
        finally:
            self.close()

    def close(self) -> None:
        """End it; a thread that waits in the iteration comes back. Any number of times."""
        self._closed = True
        if hasattr(self, "_wake"):
            self._wake.set()
        response = self.response  # the iterating thread may put another in its place meanwhile
        if response is not None:
            response.close()


class AsyncEvents(_Source):
    """Events of one URL, as they come; `client.events(url)` makes them. Iterate, in an `async with` block or not."""

    _wake: asyncio.Event

    async def _open(self) -> bool:
        request = await self._client.abuild_request("GET", self._url, **self._request_arguments())
        request._options["head_limit"] = True
        try:
            response = await self._client.send(request, auth=self._auth, follow_redirects=self._follow, stream=True)
        except RuntimeError:
            self._check_client()
            raise
        try:
            going = self._check(response)
        except EventStreamError:
            await response.aclose()
            raise
        if self._closed:
            await response.aclose()  # it was closed meanwhile
        return going and not self._closed

    async def __aenter__(self) -> AsyncEvents:
        """Send the request: what is wrong with the first answer is raised here."""
        import asyncio

        self._wake = asyncio.Event()
        if self.response is None:
            await self._open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events until the server ends them (204), `aclose`, or an error. Raises as Events does."""
        import asyncio

        from ._turns import Turn

        loop = asyncio.get_running_loop()
        turn = Turn()
        if self.response is None:
            await self.__aenter__()
        try:
            while not self._closed:
                error: HTTPError | None = None
                try:
                    response = self.response
                    if response is None and not await self._open():
                        return
                    response = self.response
                    assert response is not None
                    async for piece in response.aiter_bytes():
                        for at in range(0, len(piece), _PART):
                            for event in self._parser.feed(piece[at : at + _PART]):
                                yield event
                            if turn.is_over():
                                await turn.give()
                except StreamClosed:
                    if self._closed:
                        return
                    raise
                except HTTPError as failure:
                    error = failure
                if self._closed:
                    return
                response, self.response = self.response, None
                if response is not None:
                    await response.aclose()
                delay = self._lost(error)
                if self._closed:
                    return
                # Not wait_for: before Python 3.12 it loses a cancellation that comes together with the wake-up.
                timer = loop.call_later(delay, self._wake.set)
                try:
                    with Watch(self._client, lambda: call_in_loop(loop, self._wake.set)):
                        await self._wake.wait()
                finally:
                    timer.cancel()
                self._wake.clear()
                self._check_client()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End it; a task that waits in the iteration comes back. Any number of times."""
        self._closed = True
        if hasattr(self, "_wake"):
            self._wake.set()
        response = self.response
        if response is not None:
            await response.aclose()
