"""WebSockets (RFC 6455, RFC 8441): AsyncWebSocket, its blocking twin WebSocket, and the contexts that open them.

Frames are made and read by the Sans-I/O half of the `websockets` package (`websockets.protocol`), which is asked for when a WebSocket is
first opened. Measured against `wsproto` on the same machine: 193,000 against 61,000 small messages sent and 125,000 against 48,000 received
a second, 3,060 against 170 messages of 1 MiB sent; and it stops inflating at a limit, which `wsproto` has none for. Handshake, time-outs,
back-pressure, UTF-8 and closing are done here; the handshake's fields, the connection and the bytes by the engine.

An AsyncWebSocket belongs to the event loop that opened it. It has no task: the engine's events call `_pump`, which reads what is there, as
long as there is room for what comes out of it. A WebSocket (blocking) is one on the loop of `_background`.
"""

from __future__ import annotations

import asyncio
import base64
import codecs
import hashlib
import json
import os
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, NoReturn

from ._turns import TURN_SECONDS, Turn
from .exceptions import (
    HTTPError,
    URLError,
    WebSocketClosed,
    WebSocketError,
    WebSocketHandshakeError,
    WebSocketInvalidText,
    WebSocketProtocolError,
    WebSocketTimeout,
    WebSocketTooBig,
)
from .utils import utf8

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from types import TracebackType

    from .client import AsyncClient, Client
    from .models.response import Response
    from .types import MessageTypes, RequestJson

__all__ = ["AsyncWebSocket", "AsyncWebSocketContext", "WebSocket", "WebSocketContext"]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 1.3
_CONTROL_MAX = 125  # RFC 6455 5.5; _frames has it, too
# Codes that an endpoint may send (RFC 6455 7.4, and the registry there founded).
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})
# Closings that end an iteration as the end of a file does.
_NORMAL = frozenset({1000, 1001, 1005})
# One read at most. With compression a read may become a thousand times as much before anything is counted, so it is smaller.
_READ = 65536
_READ_DEFLATED = 8192
# And at least: tiny frames cost some 50 us each, so that a read is as large as what a turn of the loop is enough for.
_READ_MIN = 512
_READ_FIRST = 4096
# Pongs that wait while the connection has no room: a few thousand.
_ANSWERS_MAX = 65536
# After both close frames, for the server to close the connection: as long as Chromium waits.
_LINGER_SECONDS = 2.0
# Of a refused handshake's body: an error page.
_REFUSAL_MAX = 1024 * 1024
_REFUSAL_SECONDS = 10.0


class _Notify:
    """What the engine wakes instead of a future: calls a method of an object that it does not keep alive."""

    __slots__ = ("_target",)

    def __init__(self, target: AsyncWebSocket) -> None:
        self._target = weakref.ref(target)

    def done(self) -> bool:
        return False

    def set_result(self, _: object) -> None:
        target = self._target()
        if target is not None:
            target._pump()


def _seconds(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{name} must be a number of seconds above 0, or None, not {value!r}")
    return float(value)


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, not {value}")
    return value


class _Options:
    """What a WebSocket is opened with, checked."""

    def __init__(
        self,
        subprotocols: Sequence[str],
        max_message_size: int,
        max_queue: int,
        ping_interval: float | None,
        pong_timeout: float | None,
        close_timeout: float,
        compression: bool,
    ) -> None:
        if isinstance(subprotocols, (str, bytes)):
            raise TypeError("subprotocols must be a sequence of names, not one name")
        self.subprotocols = tuple(subprotocols)
        for name in self.subprotocols:
            if (
                not isinstance(name, str)
                or not name
                or any(not 0x20 < ord(c) < 0x7F or c in '"(),/:;<=>?@[\\]{}' for c in name)
            ):
                raise ValueError(f"subprotocols has {name!r}, which is no token")
        if len(set(self.subprotocols)) != len(self.subprotocols):
            raise ValueError("subprotocols names one twice")  # RFC 6455 4.1
        self.max_message_size = _count("max_message_size", max_message_size)
        self.max_queue = _count("max_queue", max_queue)
        self.ping_interval = _seconds("ping_interval", ping_interval)
        self.pong_timeout = _seconds("pong_timeout", pong_timeout)
        self.close_timeout = _seconds("close_timeout", close_timeout) or 10.0
        self.compression = compression


def _check_close(code: int, reason: str) -> None:
    """Raises TypeError and ValueError for what must not be sent (RFC 6455 5.5 and 7.4)."""
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be an int, not {type(code).__name__}")
    if not isinstance(reason, str):
        raise TypeError(f"reason must be a str, not {type(reason).__name__}")
    if code not in _CLOSE_CODES and not 3000 <= code <= 4999:
        raise ValueError(f"the close code {code} is reserved: 1000 to 1003, 1007 to 1014 and 3000 to 4999 may be sent")
    try:
        size = len(reason.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(f"reason is not valid Unicode: {error.reason}") from None
    if size > _CONTROL_MAX - 2:
        raise ValueError(f"reason must have at most {_CONTROL_MAX - 2} bytes as UTF-8")


def _payload(data: Any) -> tuple[bool, Any]:
    """(is text, bytes) of one message or piece."""
    if isinstance(data, str):
        return True, utf8(data, "The text of a message")
    if isinstance(data, (bytes, bytearray)):
        return False, data
    if isinstance(data, memoryview):
        return False, data.cast("B") if data.contiguous else bytes(data)
    raise TypeError(f"a message must be str or bytes, or an iterable of these, not {type(data).__name__}")


def _protocol(owner: AsyncWebSocket, max_size: int, extensions: list[Any]) -> Any:
    from ._frames import JudgedProtocol

    return JudgedProtocol(weakref.ref(owner), max_size, extensions)


def _need_package() -> None:
    try:
        import websockets.protocol  # noqa: F401
    except ImportError:
        raise WebSocketError("WebSockets need the package `websockets`: pip install websockets") from None


# -------------------------------------------------------------------------------------------------------------- the handshake


def _http_url(url: Any) -> str:
    """The http or https URL of a ws or wss one."""
    text = url.decode("utf-8", "surrogateescape") if isinstance(url, bytes) else str(url)
    scheme, found, rest = text.lstrip().partition("://")
    scheme = {"ws": "http", "wss": "https"}.get(scheme.lower(), scheme.lower())
    if not found or scheme not in ("http", "https"):
        raise URLError(f"a WebSocket's URL begins with ws://, wss://, http:// or https://, not {text[:64]!r}")
    if "#" in rest:
        raise URLError("a WebSocket's URL has no fragment")  # RFC 6455 3
    return f"{scheme}://{rest}"


def _tokens(response: Response, name: str) -> list[str]:
    return [token.strip().lower() for token in response.headers.get(name, "").split(",")]


def _sent(response: Response, name: bytes) -> str | None:
    """A field of the handshake as it went out."""
    for key, value in response._sent_raw:
        if key.lower() == name:
            return str(value.decode("latin-1"))
    return None


def _refusal(response: Response, why: str) -> WebSocketHandshakeError:
    return WebSocketHandshakeError(f"The WebSocket was not opened: {why}", response=response)


def _extensions(response: Response) -> list[Any]:
    """permessage-deflate as it was agreed (RFC 7692). Raises WebSocketHandshakeError."""
    header = response.headers.get("sec-websocket-extensions")
    if header is None:
        return []
    from websockets.exceptions import InvalidHandshake
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
    from websockets.headers import parse_extension

    from ._frames import Inflating

    offer = _sent(response, b"sec-websocket-extensions") or ""
    accepted: list[Any] = []
    try:
        for name, parameters in parse_extension(header):
            if name != "permessage-deflate" or name not in offer:
                raise _refusal(response, f"the server uses the extension {name!r}, which was not offered")
            bits = True if "client_max_window_bits" in offer else None
            factory = ClientPerMessageDeflateFactory(client_max_window_bits=bits)
            accepted.append(Inflating(factory.process_response_params(parameters, accepted)))
    except (InvalidHandshake, AssertionError) as error:
        raise _refusal(response, f"its compression cannot be used: {error}") from error
    return accepted


def _agreed(response: Response, options: _Options) -> tuple[str | None, list[Any]]:
    """What the server's answer says: subprotocol and extensions. Raises WebSocketHandshakeError."""
    if response.http_version == "HTTP/2.0":
        if not 200 <= response.status_code < 300:
            raise _refusal(response, f"the server answered {response.status_code}")
    else:
        if response.status_code != 101:
            raise _refusal(response, f"the server answered {response.status_code}")
        if "websocket" not in _tokens(response, "upgrade") or "upgrade" not in _tokens(response, "connection"):
            raise _refusal(response, "the server switched to something else")
        key = (_sent(response, b"sec-websocket-key") or "").encode("ascii")
        expected = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode("ascii")
        if response.headers.get("sec-websocket-accept", "").strip() != expected:
            raise _refusal(response, "the server's Sec-WebSocket-Accept is not what the key asks for")
    subprotocol = response.headers.get("sec-websocket-protocol")
    if subprotocol is not None and subprotocol not in options.subprotocols:
        raise _refusal(response, f"the server chose the subprotocol {subprotocol[:64]!r}, which was not offered")
    return subprotocol, _extensions(response)


async def _read_refusal(op: Any, response: Response) -> None:
    """The body of an answer that is none, as far as an error page goes."""
    from .models.streams import ResponseStream

    live = ResponseStream(op, True, None, None)
    response._attach(live)

    content = b""
    timer = asyncio.get_running_loop().call_later(_REFUSAL_SECONDS, op._abort)
    try:
        async for piece in live.apieces():
            content += piece
            if len(content) > _REFUSAL_MAX:
                break
        response._keep(content)
    except HTTPError:
        response._keep(b"")
    finally:
        timer.cancel()
        live.close()


async def _open(client: Any, url: Any, options: _Options, arguments: dict[str, Any]) -> AsyncWebSocket:
    """Send the handshake and check the answer. Raises WebSocketHandshakeError and what a request raises."""
    from .models.headers import Headers

    _need_package()
    client._check_open()
    auth = arguments.pop("auth", None)
    headers = Headers(client.headers if client._headers is not None else None)
    given = arguments.pop("headers", None)
    if given is not None:
        headers.update(given)
    if options.subprotocols:
        headers["sec-websocket-protocol"] = ", ".join(options.subprotocols)
    if not options.compression:
        from ._base import REMOVED

        headers["sec-websocket-extensions"] = REMOVED
    arguments["headers"] = headers
    build = getattr(client, "abuild_request", None)
    if build is not None:
        request = await build("GET", _http_url(url), mode="websocket", **arguments)
    else:
        request = client.build_request("GET", _http_url(url), mode="websocket", **arguments)
    chosen = client.prepare_auth(request, auth or client.auth, False)
    if hasattr(chosen, "__await__"):
        chosen = await chosen
    request = chosen if isinstance(chosen, type(request)) else request
    hooked = client.build_hook_request(request)
    if hasattr(hooked, "__await__"):
        hooked = await hooked
    request = hooked if isinstance(hooked, type(request)) else request
    failure = client._failure_of(request)
    if failure is not None:
        response = client._failure(request, request.method, str(request.url), *failure)
        raise response.error
    identifier = client._identifier_of(request)
    if hasattr(client, "aprepare_client_identifier"):
        identifier = await client.aprepare_client_identifier(identifier)
    else:
        identifier = client.prepare_client_identifier(identifier)
    call, _ = client._engine_arguments(request, identifier, False, True)
    engine = {**call[-1], "stream": True, "duplex": True, "raise_on_error": True, "follow_redirects": False}
    op = client._perform_awaitable(*call[:5], (-1, False), None, engine)
    response = await op
    client._after(request, response)
    if response.status_code == 0:
        raise response.error
    try:
        subprotocol, extensions = _agreed(response, options)
    except WebSocketHandshakeError:
        if response.status_code == 101 or (response.http_version == "HTTP/2.0" and response.status_code // 100 == 2):
            op._abort()
        else:
            await _read_refusal(op, response)
        raise
    except BaseException:
        op._abort()
        raise
    return AsyncWebSocket(op, response, options, subprotocol, extensions)


# ---------------------------------------------------------------------------------------------------------------- the socket


class AsyncWebSocket:
    """An open WebSocket; `client.websocket(url)` makes them. Any task of its event loop may send, receive, ping and close at any time.

    response: the server's answer to the handshake. subprotocol: the one that the server chose, or None.
    close_code, close_reason: None and "" while it is open; then see WebSocketError.
    """

    def __init__(
        self, op: Any, response: Response, options: _Options, subprotocol: str | None, extensions: list[Any]
    ) -> None:
        self.response = response
        self.subprotocol = subprotocol
        self._op = op
        self._loop = asyncio.get_running_loop()
        self._options = options
        self._protocol = _protocol(self, options.max_message_size, extensions)
        self._read_max = _READ_DEFLATED if extensions else _READ
        self._read_size = _READ_FIRST
        self._pass: int = op._wants_body() or 0
        self._pumping = False
        self._turn = Turn()
        self._dropping = False  # nobody wants messages any more
        self._answered = 0  # bytes of pongs since the connection last had room
        # --- received
        self._queue: deque[str | bytes] = deque()
        self._receivers: deque[asyncio.Future[None]] = deque()
        self._text: list[str] | None = None  # the message under way
        self._binary: bytearray | None = None
        self._size = 0
        self._decoder: Any = None
        # --- to send
        self._sending = asyncio.Lock()
        self._writers: deque[asyncio.Future[None]] = deque()
        # --- the end
        self._error: WebSocketError | None = None  # what receive and send raise from now on
        self._cause: Exception | None = None
        self._ended = False  # the connection is gone
        self._end_waiters: list[asyncio.Future[None]] = []
        self._close_timer: asyncio.TimerHandle | None = None
        # --- pings
        self._pings: dict[bytes, asyncio.Future[float | None]] = {}  # None: the WebSocket ended before
        self._ping_times: dict[bytes, float] = {}
        self._keepalive: asyncio.TimerHandle | None = None
        op._reader = _Notify(self)
        self._schedule_ping()
        self._loop.call_soon(_Notify.set_result, op._reader, None)

    # ------------------------------------------------------------------------------------------------------------- facts

    @property
    def close_code(self) -> int | None:
        return None if self._error is None else self._error.close_code

    @property
    def close_reason(self) -> str:
        return "" if self._error is None else self._error.close_reason

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._error is not None

    def __repr__(self) -> str:
        state = "open" if self._error is None else f"closed {self.close_code}"
        return f"<{type(self).__name__} {self.response.url} {state}>"

    # ------------------------------------------------------------------------------------------------- bytes from the engine

    def _stalled(self) -> bool:
        """Nothing more is read: there is no room for messages, or for what they make us answer. Output that waits is no reason by itself: the
        server may wait for us to read."""
        if self._dropping:
            return False
        if len(self._queue) >= self._options.max_queue:
            return True
        if self._answered > 0 and (self._op._over or self._op._wants_body() is not None):
            self._answered = 0
        return self._answered > _ANSWERS_MAX

    def _pump(self) -> None:
        if self._pumping or self._ended:
            return
        self._pumping = True
        turn = Turn()
        try:
            while not self._ended and not self._stalled():
                if turn.is_over():
                    # A server that sends what nobody receives (pongs, empty fragments) would keep us here for ever.
                    self._loop.call_soon(_Notify.set_result, self._op._reader, None)
                    break
                before = turn.left
                data = self._op._read(1, self._read_size, True)
                if data is None:
                    break
                if not data:
                    self._end(None)
                    break
                self._protocol.receive_data(data)
                self._answered += sum(map(len, self._protocol.writes))
                self._take_frames()
                self._flush()
                self._fit_read(before - turn.left)
        except HTTPError as error:
            self._end(error)
        except Exception as error:
            # A fault of ours or of a package's: who waits must hear of it, for nothing pumps any more.
            self._end(error)
            raise
        finally:
            self._pumping = False
        self._wake_writers()

    def _fit_read(self, seconds: float) -> None:
        """The size of the next read, when this one took so long."""
        if seconds > TURN_SECONDS / 2:
            self._read_size = max(self._read_size // 4, _READ_MIN)
        elif seconds < TURN_SECONDS / 8:
            self._read_size = min(self._read_size * 2, self._read_max)

    def _take_frames(self) -> None:
        """Control frames, and what ended; messages came by _on_data."""
        for frame in self._protocol.events_received():
            if frame.opcode == 0xA:
                self._on_pong(bytes(frame.data))
        protocol = self._protocol
        if protocol.parser_exc is not None:
            self._on_violation(protocol.parser_exc)
        elif protocol.close_rcvd is not None and self._error is None:
            self._flush()
            code, reason = protocol.close_rcvd.code, protocol.close_rcvd.reason
            text = f": {reason}" if reason else ""
            self._fail(WebSocketClosed(f"The server closed the WebSocket ({code}{text}).", code, reason))
        if protocol.close_rcvd is not None:
            self._flush()
            self._end_stream()

    def _on_data(self, frame: Any) -> None:
        """A frame of a message, called within the protocol's receive_data."""
        data = frame.data
        if self._dropping:
            return
        if frame.opcode == 1:
            self._text, self._size = [], 0
            if not frame.fin:
                self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        elif frame.opcode == 2:
            self._binary, self._size = bytearray(), 0
        self._size += len(data)
        if self._size > self._options.max_message_size:
            self._violate(WebSocketTooBig, 1009, f"a message has more than {self._options.max_message_size} bytes")
            return
        if self._text is not None:
            try:
                if self._decoder is not None:
                    text = self._decoder.decode(data, frame.fin)
                else:
                    text = str(data, "utf-8")
            except UnicodeDecodeError:
                self._violate(WebSocketInvalidText, 1007, "a text message is no UTF-8")
                return
            if frame.fin:
                message: str | bytes = "".join([*self._text, text]) if self._text else text
                self._text = self._decoder = None
                self._deliver(message)
            elif text:
                self._text.append(text)
        elif self._binary is not None:
            if frame.fin and not self._binary:
                self._deliver(bytes(data))
                self._binary = None
            else:
                self._binary += data
                if frame.fin:
                    self._deliver(bytes(self._binary))
                    self._binary = None

    def _deliver(self, message: str | bytes) -> None:
        if self._error is None:
            self._queue.append(message)
            self._wake_receiver()

    def _violate(self, kind: type[WebSocketProtocolError], code: int, why: str) -> None:
        self._protocol.fail(code, why)
        self._flush()
        self._fail(kind(f"The server broke the WebSocket protocol: {why}.", code, why))

    def _on_violation(self, cause: Exception) -> None:
        """The package found a rule broken; the close frame with its code is ready to be sent."""
        if self._error is not None:
            return
        sent = self._protocol.close_sent
        if isinstance(cause, EOFError) or sent is None:
            return
        kind = {1009: WebSocketTooBig, 1007: WebSocketInvalidText}.get(sent.code, WebSocketProtocolError)
        error = kind(f"The server broke the WebSocket protocol: {cause}.", sent.code, sent.reason)
        error.__cause__ = cause
        self._flush()
        self._fail(error)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data and not self._ended:
                self._op._write(self._pass, data)

    def _end_stream(self) -> None:
        """Both close frames were seen: the server closes the connection, or (RFC 8441 5) both end their half of the stream."""
        if self._ended or self._protocol.close_sent is None:
            return
        if self.response.http_version == "HTTP/2.0" and not self._protocol.close_rcvd_then_sent:
            # Nothing is under way any more: as Chromium does, reset it. Some servers do not end their half (hypercorn).
            self._abort()
            return
        self._op._write_end(self._pass)
        if self._close_timer is not None:
            self._close_timer.cancel()
        limit = min(self._options.close_timeout, _LINGER_SECONDS)
        self._close_timer = self._loop.call_later(limit, self._abort)

    # ------------------------------------------------------------------------------------------------------------ the end

    def _fail(self, error: WebSocketError) -> None:
        """From now on nothing is received or sent; the server has close_timeout to close the connection."""
        if self._error is None:
            self._error = error
        self._dropping = True
        self._text = self._binary = self._decoder = None
        self._wake_all()
        if self._close_timer is None and not self._ended:
            self._close_timer = self._loop.call_later(self._options.close_timeout, self._abort)

    def _abort(self) -> None:
        """End the connection now."""
        self._close_timer = None
        if not self._ended:
            self._op._abort()
            self._end(None)

    def _end(self, cause: Exception | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._cause = cause
        if self._error is None:
            what = "The connection ended without a closing handshake."
            closing = self._protocol.close_sent is not None
            if closing:
                what = "The server did not answer the closing handshake."
            self._error = WebSocketClosed(what if cause is None else f"{what} {cause}", 1006, "")
            self._error.__cause__ = cause
        if not self._op._over:
            self._op._abort()
        self._op._reader = None
        for timer in (self._close_timer, self._keepalive):
            if timer is not None:
                timer.cancel()
        self._close_timer = self._keepalive = None
        self._text = self._binary = self._decoder = None
        self._wake_all()
        waiters, self._end_waiters = self._end_waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _raise(self) -> NoReturn:
        """Raise what the WebSocket ended with: a new exception each time, so that tracebacks do not pile up."""
        error = self._error
        assert error is not None
        copy = type(error)(error.message, error.close_code, error.close_reason, response=self.response)
        copy.__cause__ = error.__cause__
        raise copy

    # ------------------------------------------------------------------------------------------------------------ waiters

    def _wake_receiver(self) -> None:
        while self._receivers:
            waiter = self._receivers.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_writers(self) -> None:
        if self._writers and (self._error is not None or self._op._over or self._op._wants_body() is not None):
            waiter = self._writers.popleft()
            if not waiter.done():
                waiter.set_result(None)
            elif self._writers:
                self._wake_writers()

    def _wake_all(self) -> None:
        for queue in (self._receivers, self._writers):
            while queue:
                waiter = queue.popleft()
                if not waiter.done():
                    waiter.set_result(None)
        pings, self._pings = self._pings, {}
        for ping in pings.values():
            if not ping.done():
                ping.set_result(None)
        self._ping_times.clear()

    async def _wait(self, queue: deque[asyncio.Future[None]], wake_next: Any, seconds: float | None = None) -> None:
        """Wait in a queue, so long at most. Who was woken and is cancelled passes it on. Raises asyncio.TimeoutError."""
        waiter = self._loop.create_future()
        queue.append(waiter)
        try:
            await self._within(waiter, seconds)
        except (asyncio.CancelledError, asyncio.TimeoutError):
            if waiter in queue:  # or those who wait for a moment again and again would fill it
                queue.remove(waiter)
            elif waiter.done() and not waiter.cancelled():
                wake_next()
            raise

    async def _within(self, future: asyncio.Future[Any], seconds: float | None) -> Any:
        """Wait for a future, so long at most. Raises asyncio.TimeoutError. Not asyncio.wait_for: before Python 3.12 it loses a cancellation
        that comes together with the future's result."""
        if seconds is None:
            return await future
        timer = self._loop.call_later(seconds, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()
            if future.done() and not future.cancelled():
                future.exception()  # seen, also where a cancellation came together with it

    # ------------------------------------------------------------------------------------------------------------ receiving

    async def receive(self, timeout: float | None = None) -> str | bytes:
        """The next message: str for text, bytes for binary. timeout: seconds, None: no limit.

        What came before the end is still given. Raises WebSocketTimeout, WebSocketClosed, WebSocketProtocolError.
        """
        if timeout is None:
            return await self._receive()
        try:
            return await self._receive(_seconds("timeout", timeout))
        except asyncio.TimeoutError:
            raise WebSocketTimeout(f"No message came within {timeout} seconds.", response=self.response) from None

    async def _receive(self, seconds: float | None = None) -> str | bytes:
        self._check_loop()
        end = None if seconds is None else self._loop.time() + seconds
        if self._queue and self._turn.is_over():
            await self._turn.give()
        while not self._queue:
            if self._error is not None:
                self._raise()
            await self._wait(self._receivers, self._pass_on, None if end is None else end - self._loop.time())
            self._turn.begin()
        message = self._queue.popleft()
        if len(self._queue) == self._options.max_queue - 1 or self._queue:
            self._resume()
        return message

    def _pass_on(self) -> None:
        if self._queue:
            self._wake_receiver()

    def _resume(self) -> None:
        if self._queue:
            self._wake_receiver()
        self._pump()

    async def receive_text(self, timeout: float | None = None) -> str:
        """`receive` where a text message is expected. Raises WebSocketError for a binary one."""
        message = await self.receive(timeout)
        if not isinstance(message, str):
            raise WebSocketError("The message is binary, not text.", response=self.response)
        return message

    async def receive_bytes(self, timeout: float | None = None) -> bytes:
        """`receive` where a binary message is expected. Raises WebSocketError for a text one."""
        message = await self.receive(timeout)
        if isinstance(message, str):
            raise WebSocketError("The message is text, not binary.", response=self.response)
        return message

    async def receive_json(self, timeout: float | None = None) -> Any:
        """The next message, decoded as JSON. Raises ValueError for what is none."""
        return json.loads(await self.receive(timeout))

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Messages until the WebSocket is closed normally (1000, 1001, 1005); other ends raise as `receive` does."""
        while True:
            try:
                message = await self._receive()
            except WebSocketClosed as error:
                if error.close_code in _NORMAL:
                    return
                raise
            yield message

    # -------------------------------------------------------------------------------------------------------------- sending

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this WebSocket belongs to another event loop")

    async def _room(self) -> None:
        """Wait until the engine has room for more."""
        while self._error is None and not self._op._over and self._op._wants_body() is None:
            await self._wait(self._writers, self._wake_writers)
        if self._error is not None:
            self._raise()

    async def _send_frame(self, opcode: int, payload: Any, fin: bool) -> None:
        await self._room()
        protocol = self._protocol
        if opcode == 1:
            protocol.send_text(payload, fin)
        elif opcode == 2:
            protocol.send_binary(payload, fin)
        else:
            protocol.send_continuation(payload, fin)
        self._flush()
        if self._writers:
            self._wake_writers()

    async def send(self, data: MessageTypes) -> None:
        """Send a message: str as text, bytes, bytearray or memoryview as binary; an iterable or asynchronous iterable of one of
        these as one message in fragments. Returns when it was handed to the connection's buffer, and waits while that is full.

        Raises WebSocketClosed, TypeError. When an iterator fails, or the call is cancelled within a message in fragments, the WebSocket
        cannot be used any more and is closed with 1011.
        """
        if isinstance(data, (str, bytes, bytearray, memoryview)):
            text, payload = _payload(data)
            self._check_loop()
            async with self._sending:
                await self._send_frame(1 if text else 2, payload, True)
        elif hasattr(data, "__aiter__"):
            await self._send_pieces(data)
        elif hasattr(data, "__iter__") and not isinstance(data, dict):
            await self._send_pieces(_each(data))
        else:
            _payload(data)  # raises

    async def _send_pieces(self, pieces: Any) -> None:
        self._check_loop()
        async with self._sending:
            await self._room()
            kind: bool | None = None
            held: Any = None
            try:
                async for piece in pieces:
                    text, payload = _payload(piece)
                    if kind is None:
                        kind, held = text, payload
                        opcode = 1 if text else 2
                        continue
                    if text is not kind:
                        raise TypeError("the pieces of a message must be all str or all bytes")
                    await self._send_frame(opcode, held, False)
                    opcode, held = 0, payload
                if kind is None:
                    raise ValueError("a message in fragments needs at least one piece")
                await self._send_frame(opcode, held, True)
            except BaseException:
                if self._protocol.expect_continuation_frame and self._error is None:
                    self._protocol.fail(1011, "a message was not completed")
                    self._flush()
                    self._fail(
                        WebSocketClosed("A message could not be completed.", 1011, "a message was not completed")
                    )
                raise

    async def send_text(self, text: str) -> None:
        """`send` for text alone. Raises TypeError for anything else."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a str, not {type(text).__name__}")
        await self.send(text)

    async def send_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """`send` for bytes alone. Raises TypeError for anything else."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        await self.send(data)

    async def send_json(self, value: RequestJson) -> None:
        """Send a value as JSON in a text message. Raises TypeError and ValueError for what JSON cannot say."""
        await self.send(json.dumps(value, separators=(",", ":"), ensure_ascii=False))

    # ---------------------------------------------------------------------------------------------------------------- pings

    async def ping(self, data: bytes | None = None, timeout: float | None = None) -> float:
        """Send a ping and wait for its pong: the seconds between. data: up to 125 bytes that come back; random when None.
        timeout: seconds, None: pong_timeout. Raises WebSocketTimeout, WebSocketClosed, ValueError.
        """
        if data is None:
            data = os.urandom(8)
        elif not isinstance(data, bytes):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if len(data) > _CONTROL_MAX:
            raise ValueError(f"data must have at most {_CONTROL_MAX} bytes")
        limit = self._options.pong_timeout if timeout is None else _seconds("timeout", timeout)
        self._check_loop()
        if self._error is not None:
            self._raise()
        if data in self._pings:
            raise ValueError("a ping with the same data waits for its pong")
        pong = self._send_ping(data)
        try:
            latency: float | None = await self._within(pong, limit)
        except asyncio.TimeoutError:
            raise WebSocketTimeout(f"No pong came within {limit} seconds.", response=self.response) from None
        finally:
            if self._pings.get(data) is pong:
                del self._pings[data]
                self._ping_times.pop(data, None)
        if latency is None:
            self._raise()
        return latency

    def _send_ping(self, data: bytes) -> asyncio.Future[float | None]:
        pong: asyncio.Future[float | None] = self._loop.create_future()
        self._pings[data] = pong
        self._ping_times[data] = self._loop.time()
        self._protocol.send_ping(data)
        self._flush()
        return pong

    def _on_pong(self, data: bytes) -> None:
        pong = self._pings.pop(data, None)
        sent = self._ping_times.pop(data, None)
        if pong is not None and sent is not None and not pong.done():
            pong.set_result(self._loop.time() - sent)

    def _schedule_ping(self) -> None:
        if self._options.ping_interval is not None and self._error is None:
            target = weakref.ref(self)
            self._keepalive = self._loop.call_later(self._options.ping_interval, _on_keepalive, target)

    def _ping_now(self) -> None:
        """The keep-alive: a ping whose pong must come in time."""
        self._keepalive = None
        if self._error is not None:
            return
        pong = self._send_ping(os.urandom(8))
        limit = self._options.pong_timeout
        target = weakref.ref(self)
        timer = None if limit is None else self._loop.call_later(limit, _on_no_pong, target)

        def done(future: asyncio.Future[float | None]) -> None:
            if timer is not None:
                timer.cancel()
            socket = target()
            if socket is not None and not future.cancelled() and future.result() is not None:
                socket._schedule_ping()

        pong.add_done_callback(done)

    def _no_pong(self) -> None:
        limit = self._options.pong_timeout
        if self._error is None:
            self._fail(WebSocketClosed(f"The server did not answer a ping within {limit} seconds.", 1006, ""))
        self._abort()

    # -------------------------------------------------------------------------------------------------------------- closing

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket: the closing handshake, then the connection; after close_timeout the connection alone. Messages that were
        not received are dropped. Any number of times, from anywhere.

        code: 1000 to 1003, 1007 to 1014, 3000 to 4999. reason: up to 123 bytes as UTF-8. Raises TypeError and ValueError for others.
        """
        _check_close(code, reason)
        self._check_loop()
        if self._error is None and self._protocol.close_sent is None:
            self._protocol.expect_continuation_frame = False
            self._protocol.send_close(code, reason)
            self._flush()
            self._dropping = True
            self._queue.clear()
            if self._close_timer is None and not self._ended:
                self._close_timer = self._loop.call_later(self._options.close_timeout, self._abort)
            self._pump()
        await self.wait_closed()

    async def wait_closed(self) -> None:
        """Wait until the connection is gone."""
        while not self._ended:
            waiter = self._loop.create_future()
            self._end_waiters.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._end_waiters:
                    self._end_waiters.remove(waiter)

    async def __aenter__(self) -> AsyncWebSocket:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        code = 1000 if exc_type is None or not issubclass(exc_type, Exception) else 1011
        try:
            await self.close(code)
        except BaseException:
            self._abort()
            raise

    def __del__(self) -> None:
        if not getattr(self, "_ended", True):
            import warnings

            warnings.warn("a WebSocket was not closed", ResourceWarning, stacklevel=2, source=self)
            self._op._abort()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(asyncio.TimeoutError())


def _on_keepalive(target: weakref.ref[AsyncWebSocket]) -> None:
    socket = target()
    if socket is not None:
        socket._ping_now()


def _on_no_pong(target: weakref.ref[AsyncWebSocket]) -> None:
    socket = target()
    if socket is not None:
        socket._no_pong()


async def _each(pieces: Any) -> AsyncIterator[Any]:
    for piece in pieces:
        yield piece


class WebSocket:
    """An open WebSocket for blocking code; `client.websocket(url)` makes them. Threads may share it: one may receive while others send.

    It lives on an event loop of the package's own thread, which also answers the server's pings while nobody calls anything.
    Attributes and methods as AsyncWebSocket's.
    """

    def __init__(self, socket: AsyncWebSocket) -> None:
        self._socket = socket
        self.response = socket.response
        self.subprotocol = socket.subprotocol

    @property
    def close_code(self) -> int | None:
        return self._socket.close_code

    @property
    def close_reason(self) -> str:
        return self._socket.close_reason

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._socket.closed

    def __repr__(self) -> str:
        return repr(self._socket).replace("AsyncWebSocket", "WebSocket", 1)

    def _run(self, work: Any) -> Any:
        from ._background import background_loop, run

        if background_loop() is not self._socket._loop:
            work.close()
            raise WebSocketClosed("This WebSocket belongs to the parent process.", 1006)
        return run(work)

    def receive(self, timeout: float | None = None) -> str | bytes:
        """See AsyncWebSocket.receive."""
        message: str | bytes = self._run(self._socket.receive(timeout))
        return message

    def receive_text(self, timeout: float | None = None) -> str:
        """See AsyncWebSocket.receive_text."""
        message: str = self._run(self._socket.receive_text(timeout))
        return message

    def receive_bytes(self, timeout: float | None = None) -> bytes:
        """See AsyncWebSocket.receive_bytes."""
        message: bytes = self._run(self._socket.receive_bytes(timeout))
        return message

    def receive_json(self, timeout: float | None = None) -> Any:
        """See AsyncWebSocket.receive_json."""
        return self._run(self._socket.receive_json(timeout))

    def __iter__(self) -> Iterator[str | bytes]:
        """Messages until the WebSocket is closed normally (1000, 1001, 1005); other ends raise as `receive` does."""
        while True:
            try:
                message = self.receive()
            except WebSocketClosed as error:
                if error.close_code in _NORMAL:
                    return
                raise
            yield message

    def send(self, data: MessageTypes) -> None:
        """See AsyncWebSocket.send; an iterable is read on the calling thread, piece by piece."""
        if isinstance(data, (str, bytes, bytearray, memoryview)):
            self._run(self._socket.send(data))
        elif hasattr(data, "__aiter__"):
            raise TypeError("an asynchronous iterable needs an AsyncClient")
        elif hasattr(data, "__iter__") and not isinstance(data, dict):
            self._send_pieces(iter(data))
        else:
            _payload(data)  # raises

    def _send_pieces(self, pieces: Iterator[Any]) -> None:
        """Hand the pieces over one by one: this thread waits for each to be taken."""
        from concurrent.futures import Future

        loop = self._socket._loop
        asked: Future[asyncio.Future[Any]] = Future()

        async def relay() -> AsyncIterator[Any]:
            nonlocal asked
            while True:
                mine, asked = asked, Future()
                wanted = loop.create_future()
                mine.set_result(wanted)
                piece = await wanted
                if piece is _END:
                    return
                yield piece

        first = asked
        task = asyncio.run_coroutine_threadsafe(self._socket.send(relay()), loop)
        task.add_done_callback(lambda _: _release(first, loop))
        try:
            self._feed(first, pieces, task, lambda: asked, loop)
            task.result()
        except BaseException:
            task.cancel()
            raise

    @staticmethod
    def _feed(asked: Any, pieces: Iterator[Any], task: Any, following: Any, loop: Any) -> None:
        import concurrent.futures

        while not task.done():
            concurrent.futures.wait([asked, task], return_when=concurrent.futures.FIRST_COMPLETED)
            if task.done() or not asked.done():
                return
            wanted, asked = asked.result(), following()
            piece = next(pieces, _END)
            loop.call_soon_threadsafe(_answer, wanted, piece)
            if piece is _END:
                return

    def send_text(self, text: str) -> None:
        """See AsyncWebSocket.send_text."""
        self._run(self._socket.send_text(text))

    def send_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """See AsyncWebSocket.send_bytes."""
        self._run(self._socket.send_bytes(data))

    def send_json(self, value: RequestJson) -> None:
        """See AsyncWebSocket.send_json."""
        self._run(self._socket.send_json(value))

    def ping(self, data: bytes | None = None, timeout: float | None = None) -> float:
        """See AsyncWebSocket.ping."""
        latency: float = self._run(self._socket.ping(data, timeout))
        return latency

    def close(self, code: int = 1000, reason: str = "") -> None:
        """See AsyncWebSocket.close."""
        _check_close(code, reason)
        if not self._socket._ended:
            self._run(self._socket.close(code, reason))

    def __enter__(self) -> WebSocket:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close(1000 if exc_type is None or not issubclass(exc_type, Exception) else 1011)


_END: Any = object()


def _answer(wanted: asyncio.Future[Any], piece: Any) -> None:
    if not wanted.done():
        wanted.set_result(piece)


def _release(asked: Any, loop: Any) -> None:
    if not asked.done():
        asked.cancel()


# ------------------------------------------------------------------------------------------------------------- the contexts


class AsyncWebSocketContext:
    """What AsyncClient.websocket returns: `async with` opens and closes it; `await` opens it."""

    def __init__(self, client: AsyncClient, url: Any, options: _Options, arguments: dict[str, Any]) -> None:
        self._client = client
        self._url = url
        self._options = options
        self._arguments = arguments
        self._socket: AsyncWebSocket | None = None

    def __await__(self) -> Any:
        return _open(self._client, self._url, self._options, dict(self._arguments)).__await__()

    async def __aenter__(self) -> AsyncWebSocket:
        self._socket = await self
        return self._socket

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._socket is not None:
            await self._socket.__aexit__(exc_type, exc_value, traceback)


class WebSocketContext:
    """What Client.websocket returns: `with` opens and closes it; `open()` opens it."""

    def __init__(self, client: Client, url: Any, options: _Options, arguments: dict[str, Any]) -> None:
        self._client = client
        self._url = url
        self._options = options
        self._arguments = arguments
        self._socket: WebSocket | None = None

    def open(self) -> WebSocket:
        """Open it without a block; close it yourself."""
        from ._background import run

        return WebSocket(run(_open(self._client, self._url, self._options, dict(self._arguments))))

    def __enter__(self) -> WebSocket:
        self._socket = self.open()
        return self._socket

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._socket is not None:
            self._socket.__exit__(exc_type, exc_value, traceback)
