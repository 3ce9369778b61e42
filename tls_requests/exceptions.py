"""Exceptions.

    Exception
    └─ HTTPError
       ├─ AuthenticationError, Base64DecodeError, HeaderError, RotatorError, TooManyRedirects
       ├─ URLError ── URLParamsError, UnsupportedProtocol
       ├─ CookieError ── CookieConflictError, CookieFileError
       ├─ StreamError ── StreamConsumed, StreamClosed
       ├─ CancelledError, ClientClosed
       ├─ OutputError (an OSError, too)
       ├─ ProxyError ── ProxyConnectError, ProxyTLSError, ProxyAuthError, ProxyRefused, ProxyProtocolError, ProxyClosed,
       │                 ProxyTimeout (a TimeoutError, too)
       ├─ ConnectError ── DNSError
       ├─ ConnectionReset
       ├─ TimeoutError ── PoolTimeout, WriteTimeout, TotalTimeout
       │  ├─ ConnectTimeout ── TLSTimeout
       │  └─ ReadTimeout ── FirstByteTimeout
       ├─ TLSError ── CertificateError, ProfileError
       ├─ ProtocolError
       ├─ RemoteProtocolError ── IncompleteBody, DecodingError, TooManyRequests
       ├─ WebSocketError
       │  ├─ WebSocketHandshakeError, WebSocketClosed, WebSocketTimeout
       │  └─ WebSocketProtocolError ── WebSocketTooBig, WebSocketInvalidText
       └─ EventStreamError

Which failure has which class is in src/core/errors.def and, as a page, in docs/errors.md.
"""

from __future__ import annotations

from ._errors import ERRORS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ._retry import Attempt
    from .models.request import Request
    from .models.response import Response

__all__ = [
    "AuthenticationError",
    "Base64DecodeError",
    "CancelledError",
    "CertificateError",
    "ClientClosed",
    "ConnectError",
    "ConnectTimeout",
    "ContradictionWarning",
    "ConnectionReset",
    "CookieConflictError",
    "CookieError",
    "CookieFileError",
    "DNSError",
    "DecodingError",
    "EventStreamError",
    "FirstByteTimeout",
    "HTTPError",
    "HeaderError",
    "IncompleteBody",
    "OutputError",
    "PoolTimeout",
    "ProfileError",
    "ProtocolError",
    "ProxyAuthError",
    "ProxyClosed",
    "ProxyConnectError",
    "ProxyError",
    "ProxyProtocolError",
    "ProxyRefused",
    "ProxyTLSError",
    "ProxyTimeout",
    "ReadTimeout",
    "RemoteProtocolError",
    "RotatorError",
    "StreamClosed",
    "StreamConsumed",
    "StreamError",
    "TLSError",
    "TLSTimeout",
    "TimeoutError",
    "TooManyRedirects",
    "TooManyRequests",
    "TotalTimeout",
    "URLError",
    "URLParamsError",
    "UnknownOptionWarning",
    "UnsupportedProtocol",
    "WebSocketClosed",
    "WebSocketError",
    "WebSocketHandshakeError",
    "WebSocketInvalidText",
    "WebSocketProtocolError",
    "WebSocketTimeout",
    "WebSocketTooBig",
    "WriteTimeout",
]


class UnknownOptionWarning(UserWarning):
    """A keyword or identifier that nothing here knows, probably misspelt. Given once for each."""


class ContradictionWarning(UserWarning):
    """Headers of the caller's that no browser would send together, as a User-Agent and client hints of another. Given once for each."""


class HTTPError(Exception):
    """Base of all exceptions of this library. It is no OSError; of those here only OutputError is one.

    message: the text. response, request: what it is about, where there is one.

    Failures of the transport also carry:
    code: stable name of the failure, "" for others; see docs/errors.md.
    detail: the number that belongs to the code: an errno, a TLS alert, an HTTP/2 error code.
    where: the place in the engine, for reports.
    phase: what was under way: "build", "pool" (waiting for a free connection), "resolve", "connect", "tls", "proxy", "send" (the request),
        "wait" (for the answer), "body", "redirect" or "".
    host: "name:port" of the URL that was asked for, or None. address: "ip:port" that was connected to or tried, or None.
    request_sent: bytes of the request may have reached the server.
    safe_to_retry: the server cannot have acted on it.
    elapsed: seconds since the request's start, or None.
    attempts: what was tried before, where `retries` were allowed: a list of Attempt.
    """

    code: str = ""
    detail: int = 0
    where: str = ""
    phase: str = ""
    request_sent: bool = False
    safe_to_retry: bool = False
    elapsed: float | None = None
    attempts: Sequence[Attempt] = ()
    host: str | None = None
    address: str | None = None

    def __init__(self, message: str, **kwargs: Any) -> None:
        super().__init__(message)
        self.message = message
        self.response: Response | None = kwargs.get("response")
        self._request: Request | None = kwargs.get("request")

    @property
    def request(self) -> Request | None:
        """The request it is about; that of the response when none was given."""
        if self._request is None and self.response is not None:
            try:
                self._request = self.response.request
            except RuntimeError:  # a response made by hand, without a request
                return None
        return self._request

    @request.setter
    def request(self, value: Request | None) -> None:
        self._request = value

    def __reduce__(self) -> tuple[Any, ...]:
        # Response and request may hold what cannot travel (a body under way, hooks): the facts of the failure do.
        names = ("code", "detail", "where", "phase", "request_sent", "safe_to_retry", "elapsed", "host", "address")
        return type(self), (self.message,), {name: self.__dict__[name] for name in names if name in self.__dict__}


class AuthenticationError(HTTPError):
    """Credentials of a type that cannot be used."""


class Base64DecodeError(HTTPError):
    """A body that should be base64 and is not."""


class HeaderError(HTTPError):
    """Header fields that cannot be used."""


class RotatorError(HTTPError):
    """A rotator cannot be made of that."""


class TooManyRedirects(HTTPError):
    """More redirects than `max_redirects`."""


class URLError(HTTPError):
    """A URL that cannot be used."""


class URLParamsError(URLError):
    """Query parameters of a type that cannot be used."""


class UnsupportedProtocol(URLError):
    """A URL whose scheme is neither http nor https."""


class CookieError(HTTPError):
    """A cookie that cannot be made."""


class CookieConflictError(CookieError):
    """Several cookies have that name."""


class CookieFileError(CookieError):
    """A file of cookies cannot be read, or its format cannot hold a cookie.

    path: the file. line: the line of a cookies.txt that is wrong, from 1 on, or None. index: the place of the cookie in
    a JSON file's list, from 0 on, or None.
    """

    def __init__(
        self, message: str, path: str = "", line: int | None = None, index: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(message, **kwargs)
        self.path = path
        self.line = line
        self.index = index

    def __reduce__(self) -> tuple[Any, ...]:
        cls, arguments, state = super().__reduce__()
        return cls, arguments, {**state, "path": self.path, "line": self.line, "index": self.index}


class StreamError(HTTPError):
    """A body cannot be read."""


class StreamConsumed(StreamError):
    """A body was read already."""


class StreamClosed(StreamError):
    """A body was closed before it was read."""


class OutputError(HTTPError, OSError):
    """A body could not be written to its file: a full disk, a limit on a file's size, a disk that fails.

    errno, strerror: the system's reason (`detail` is the errno, too). filename: the file, where it is known.
    """

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        function, arguments, state = super().__reduce__()
        return function, arguments, {**state, "errno": self.errno, "strerror": self.strerror, "filename": self.filename}


class CancelledError(HTTPError):
    """A request was given up by the engine: at the interpreter's end, or in a child process after fork."""


class ClientClosed(HTTPError):
    """A client was closed while a request of its was under way."""


class ProxyError(HTTPError):
    """A proxy that cannot be used, or that failed."""


class ProxyConnectError(ProxyError):
    """No connection to the proxy could be opened."""


class ProxyTLSError(ProxyError):
    """TLS to an https proxy failed, its certificate included."""


class ProxyAuthError(ProxyError):
    """The proxy wants other credentials."""


class ProxyRefused(ProxyError):
    """The proxy does not connect to the target; `detail` is its HTTP status or SOCKS reply code."""


class ProxyProtocolError(ProxyError):
    """The proxy broke the protocol."""


class ProxyClosed(ProxyError):
    """The proxy closed the connection before the tunnel stood."""


class ConnectError(HTTPError):
    """No connection could be opened."""


class DNSError(ConnectError):
    """A host name could not be resolved."""


class ConnectionReset(HTTPError):
    """The peer reset the connection."""


class TimeoutError(HTTPError):
    """Time is over."""


class ProxyTimeout(ProxyError, TimeoutError):
    """The proxy took too long."""


class PoolTimeout(TimeoutError):
    """No connection became free in time."""


class ConnectTimeout(TimeoutError):
    """No connection in time, the TLS handshake included."""


class TLSTimeout(ConnectTimeout):
    """The TLS handshake took too long."""


class WriteTimeout(TimeoutError):
    """The request could not be sent in time."""


class ReadTimeout(TimeoutError):
    """The server was silent for too long."""


class FirstByteTimeout(ReadTimeout):
    """The answer did not begin in time."""


class TotalTimeout(TimeoutError):
    """The request as a whole took too long."""


class TLSError(HTTPError):
    """The TLS handshake or a TLS record failed."""


class CertificateError(TLSError):
    """A certificate could not be verified."""


class ProfileError(TLSError):
    """A browser profile that cannot be used.

    path: of the field, as in `tls.extensions[3].groups[1]`, "" when it is about the whole; reason: what is wrong with it.
    """

    path: str = ""
    reason: str = ""
    code = "PROFILE_INVALID"
    phase = "build"

    def __reduce__(self) -> tuple[Any, ...]:
        function, arguments, state = super().__reduce__()
        return function, arguments, {**state, "path": self.path, "reason": self.reason}


class ProtocolError(HTTPError):
    """A rule of HTTP stands in the way of sending this."""


class RemoteProtocolError(HTTPError):
    """The server broke a rule of HTTP."""


class IncompleteBody(RemoteProtocolError):
    """A body ended early."""


class DecodingError(RemoteProtocolError):
    """A compressed body is corrupt, or larger than the limits allow."""


class TooManyRequests(RemoteProtocolError):
    """The server asked for calm at the HTTP/2 level."""


class WebSocketError(HTTPError):
    """Something is wrong with a WebSocket.

    close_code: code of the closing handshake: the peer's, or the one that was sent to it; 1006 when the connection was lost without
    one; None while the WebSocket is open or was never opened. close_reason: the text that came with it.
    """

    close_code: int | None = None
    close_reason: str = ""

    def __init__(self, message: str, close_code: int | None = None, close_reason: str = "", **kwargs: Any) -> None:
        super().__init__(message, **kwargs)
        self.close_code = close_code
        self.close_reason = close_reason

    def __reduce__(self) -> tuple[Any, ...]:
        kind, _, facts = super().__reduce__()
        return kind, (self.message, self.close_code, self.close_reason), facts


class WebSocketHandshakeError(WebSocketError):
    """The server did not open the WebSocket: `response` is what it answered."""


class WebSocketClosed(WebSocketError):
    """The WebSocket is closed."""


class WebSocketTimeout(WebSocketError):
    """Nothing was received, sent or answered in time."""


class WebSocketProtocolError(WebSocketError):
    """The peer broke a rule of WebSockets; `close_code` was sent to it (RFC 6455 7.4)."""


class WebSocketTooBig(WebSocketProtocolError):
    """A message of the peer's was larger than `max_message_size` (1009)."""


class WebSocketInvalidText(WebSocketProtocolError):
    """A text message of the peer's was no UTF-8 (1007)."""


class EventStreamError(HTTPError):
    """An answer is no event stream (`response` is what came), or its events pass a limit."""


_BUILT_IN: dict[str, type[Exception]] = {"MemoryError": MemoryError, "ValueError": ValueError}


def error_class(code: str) -> type[Exception]:
    """The class of a failure by the engine's code."""
    name = ERRORS[code][0] if code in ERRORS else "HTTPError"
    found: type[Exception] = _BUILT_IN.get(name) or globals()[name]
    return found


def _address_in(message: str) -> str | None:
    """The address that a refused connection's text names, "127.0.0.1:1: connection refused (errno 111)"."""
    import re

    found = re.search(r'(?:^|": )((?:\[[0-9a-f:.]+(?:%\w+)?\]|\d+\.\d+\.\d+\.\d+):\d+): ', message)
    return found[1] if found else None


def _host_of(url: str) -> str | None:
    """name:port of a URL, without user name and password."""
    scheme, separator, rest = url.partition("://")
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2]
    if not separator or not authority:
        return None
    port = authority.rpartition(":")[2]
    return authority if port.isdigit() else f"{authority.rstrip(':')}:{443 if scheme.lower() == 'https' else 80}"


def make_error(
    code: str,
    detail: int,
    where: str,
    message: str,
    facts: tuple[bool, bool, float | None, str, str] = (False, False, None, "", ""),
    response: Response | None = None,
) -> Exception:
    """The exception for a failure of the engine. facts: request_sent, safe_to_retry, elapsed, phase, address."""
    cls = error_class(code)
    error: Any = cls(message, response=response) if issubclass(cls, HTTPError) else cls(message)
    error.code = code
    error.detail = detail
    error.where = where
    if isinstance(error, OSError):
        import os

        error.errno, error.strerror = detail, os.strerror(detail)
    error.request_sent, error.safe_to_retry, error.elapsed, phase, address = facts
    # A failure that can happen in several phases leaves it to the engine to say in which it did.
    error.phase = (ERRORS[code][1] if code in ERRORS else "") or phase
    error.address = address or _address_in(message) or None
    error.host = None if response is None else _host_of(response._url_text)
    result: Exception = error
    return result
