"""Response: what a request returned, or why it returned nothing."""

from __future__ import annotations

import codecs

from .. import _core
from ..exceptions import Base64DecodeError, HTTPError, StreamClosed, StreamError, URLError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import datetime
    from collections.abc import AsyncIterator, Iterator, Sequence
    from typing import Any

    from .._retry import Attempt
    from .._timing import Timing
    from ..types import CookieTypes, EncodingTypes, HeaderTypes
    from .cookies import Cookies
    from .encoders import StreamEncoder
    from .headers import Headers
    from .request import Request
    from .streams import ResponseStream
    from .tls import TLSResponse
    from .urls import URL

__all__ = ["REDIRECT_STATUS", "Response"]

REDIRECT_STATUS = (301, 302, 303, 307, 308)
_NO_REQUEST = "The request instance has not been set on this response."


class Response(_core.Response):
    """An answer. `status_code` 0: there was none; `text` says why and `error` is the exception for it.

    status_code: the status. headers, cookies: of the answer. request: what was asked. history: earlier responses.
    body: bytes. stream: a StreamEncoder over the body. default_encoding: a name, None (detect) or a callable that takes
    the response.

    >>> Response(200, body=b"hello").text
    'hello'
    """

    _request: Request | None
    attempts: Sequence[Attempt] = ()
    """Tries before this one, where `retries` allowed them."""
    # The body that is still to come, of a response handed out with its head; _rest: what `read` read of it.
    _live: ResponseStream | None = None
    _rest: bytes | None = None

    def __init__(
        self,
        status_code: int,
        *,
        headers: HeaderTypes = None,
        cookies: CookieTypes = None,
        request: Request | None = None,
        history: list[Response] | None = None,
        body: bytes | str | None = None,
        stream: StreamEncoder | None = None,
        default_encoding: EncodingTypes = "utf-8",
    ) -> None:
        from .cookies import Cookies
        from .encoders import StreamEncoder
        from .headers import Headers

        if not isinstance(status_code, int) or not -(2**31) <= status_code < 2**31:
            raise TypeError(f"status_code must be an int (32 bits), not {type(status_code).__name__}")
        if body is not None and not isinstance(body, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"body must be bytes or str, not {type(body).__name__}")
        if stream is not None and not callable(getattr(stream, "render", None)):
            raise TypeError(f"stream must be a StreamEncoder, not {type(stream).__name__}")
        self.status_code = status_code
        self._headers = Headers(headers)
        self._cookies = Cookies(cookies)
        self._own_cookies = False
        self._request = request
        self.history = history if isinstance(history, list) else []
        self._default_encoding = default_encoding
        self._http_version = "HTTP/1.1"
        self._closed = False
        self._is_stream_consumed = False
        if stream is None:
            if isinstance(body, str):
                from ..utils import utf8

                raw = utf8(body, "body")
            else:
                raw = bytes(body or b"")
            stream = StreamEncoder.from_bytes(raw)
        self._stream: StreamEncoder | None = stream

    # ----------------------------------------------------------------------------------------------------- attributes

    if TYPE_CHECKING:
        # Of _LAZY: a checker that saw __getattr__ would take every misspelt name.
        _headers: Headers
        _trailers: Headers
        _url: URL
        _cookies: Cookies
        _next: Request | None
        _encoding: str
        _text: str
        _id: str
        _elapsed: datetime.timedelta
    else:

        def __getattr__(self, name: str) -> Any:
            # Attributes that an answer of the engine has, made when first looked at.
            if name.startswith("__") or name not in _LAZY:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            value = _LAZY[name](self)
            self.__dict__[name] = value
            return value

    @property
    def headers(self) -> Headers:
        """Header fields of the answer; names in lower case, repeated fields joined with a comma."""
        headers: Headers = self._headers
        return headers

    @headers.setter
    def headers(self, value: HeaderTypes) -> None:
        from .headers import Headers

        self._headers = Headers(value)

    @property
    def trailers(self) -> Headers:
        """Fields that came behind the body."""
        trailers: Headers = self._trailers
        return trailers

    @property
    def request(self) -> Request:
        """What was asked, as it was sent. Raises RuntimeError for a response made by hand without one."""
        request = self._request
        if request is None:
            raise RuntimeError(_NO_REQUEST)
        return request

    @request.setter
    def request(self, value: Request | None) -> None:
        self._request = value

    @property
    def url(self) -> URL:
        """The URL of the answer, after redirects."""
        if "_request" not in self.__dict__ and self._from_engine and self._op_request is None:
            url: URL = self._url
            return url
        return self.request.url

    @property
    def next(self) -> Request | None:
        """What a redirect asks for next, or None."""
        following: Request | None = self._next
        return following

    @next.setter
    def next(self, value: Request | None) -> None:
        from .request import Request

        if isinstance(value, Request):
            self._next = value

    @property
    def cookies(self) -> Cookies:
        """Cookies that apply to the URL after the answer: those that were sent and those that it set."""
        cookies: Cookies = self._cookies
        if not self._own_cookies:
            self._fill_domains(cookies)
        return cookies

    @cookies.setter
    def cookies(self, value: CookieTypes) -> None:
        from .cookies import Cookies

        self._cookies = Cookies(value)

    def _fill_domains(self, cookies: Cookies) -> None:
        # Cookies without a domain are of the host that was asked.
        request = self._request
        host = request.url.host if request is not None else ""
        if not host:
            return
        for cookie in list(cookies.cookiejar):
            if not cookie.domain:
                cookies.cookiejar._store.remove(cookie.name, "", cookie.path)
                cookie.domain = host
                cookies.cookiejar.set_cookie(cookie)

    @property
    def elapsed(self) -> datetime.timedelta:
        """Time from the (first) request's start to the answer's end."""
        elapsed: datetime.timedelta = self._elapsed
        return elapsed

    @elapsed.setter
    def elapsed(self, value: datetime.timedelta) -> None:
        self._elapsed = value

    @property
    def timing(self) -> Timing:
        """Times of the transfer in seconds, and facts of its connection: addresses, TLS, certificates."""
        from .._timing import Timing

        return Timing(self if self._from_engine else None)

    @property
    def http_version(self) -> str:
        """`HTTP/1.1` or `HTTP/2.0`."""
        version: str = self._http_version
        return version

    @http_version.setter
    def http_version(self, value: str) -> None:
        self._http_version = value

    @property
    def default_encoding(self) -> EncodingTypes:
        """Encoding where the answer names none: a name, None (detect), or a callable."""
        return self._default_encoding

    @default_encoding.setter
    def default_encoding(self, value: EncodingTypes) -> None:
        self._default_encoding = value
        self.__dict__.pop("_encoding", None)
        self.__dict__.pop("_text", None)

    @property
    def id(self) -> str:
        """A text that tells this answer from others; "" for one made by hand."""
        text: str = self._id
        return text

    @property
    def reason(self) -> str:
        """The usual phrase of the status; for status 0 the text of the failure."""
        if self.status_code == 0:
            return self.text or "Unknown Error"
        return _phrase(self.status_code)

    @property
    def ok(self) -> bool:
        """False where raise_for_status raises."""
        status = self.status_code
        return 100 <= status < 400 or status >= 600

    def __bool__(self) -> bool:
        return self.ok

    @property
    def is_redirect(self) -> bool:
        """Whether the answer sends the client elsewhere."""
        return self.status_code in REDIRECT_STATUS and "location" in self.headers

    @property
    def is_permanent_redirect(self) -> bool:
        """Whether it does so for good."""
        return self.status_code in (301, 308) and "location" in self.headers

    # ----------------------------------------------------------------------------------------------------------- body

    @property
    def stream(self) -> StreamEncoder | None:
        """The body as a stream; None once the response is closed."""
        stream: StreamEncoder | None = self._stream
        return stream

    @stream.setter
    def stream(self, value: StreamEncoder | None) -> None:
        self._stream = value

    @property
    def closed(self) -> bool:
        """Whether the response was closed. What was read stays readable."""
        closed: bool = self._closed or (self._live is not None and self._live.closed)
        return closed

    @property
    def content(self) -> bytes:
        """The body, content codings removed."""
        if self._live is not None:
            return self._live_content()
        if self._from_engine or self._is_stream_consumed or self._stream is None:
            return self._content
        return self.read()

    def read(self) -> bytes:
        """The whole body; of a streamed response what was not read yet. Any number of times."""
        live = self._live
        if live is not None:
            if self._rest is None:
                self._keep(b"".join(live.pieces()))
            return self._content
        if not self._from_engine and not self._is_stream_consumed and self._stream is not None:
            self._content = b"".join(self._stream.render())
            self._is_stream_consumed = True
            self._stream.close()
        return self._content

    async def aread(self) -> bytes:
        """`read` for asynchronous code."""
        live = self._live
        if live is not None and live.is_async and self._rest is None:
            self._keep(b"".join([piece async for piece in live.apieces()]))
        return self._content if live is not None else self.read()

    def close(self) -> None:
        """Close the response. Any number of times."""
        self._closed = True
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    async def aclose(self) -> None:
        """`close` for asynchronous code."""
        live = self._live
        self.close()
        if live is not None:
            await live.aclose()

    # ------------------------------------------------------------------------------------------------- bodies in pieces

    def _attach(self, live: ResponseStream) -> None:
        """Make this a response whose body is still to come."""
        self._live = live
        self._stream = live
        self._closed = False
        self._is_stream_consumed = False

    def _keep(self, content: bytes) -> None:
        self._content = self._rest = content
        self._closed = True
        self._stream = None

    def _live_content(self) -> bytes:
        live = self._live
        if self._rest is None and live is not None and not live.finished:
            if live.closed:
                raise StreamClosed("The response was closed before its body was read.")
            if live.is_async:
                raise StreamError("The body was not read yet: await response.aread() first.")
            return self.read()
        return self._content

    def _pieces(self, size: int | None, raw: bool = False) -> Iterator[bytes]:
        live = self._live
        if live is not None and self._rest is None:
            yield from live.pieces(size, raw)
            return
        content = self.content
        size = size or len(content) or 1
        for at in range(0, len(content), size):
            yield content[at : at + size]

    async def _apieces(self, size: int | None, raw: bool = False) -> AsyncIterator[bytes]:
        live = self._live
        if live is not None and self._rest is None:
            async for piece in live.apieces(size, raw):
                yield piece
            return
        for piece in self._pieces(size):
            yield piece

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body in pieces, content codings removed: of chunk_size bytes (the last may be shorter), or as they come.

        Raises StreamConsumed, StreamClosed; what ended the body early: IncompleteBody, DecodingError, ReadTimeout, ...
        """
        return self._pieces(chunk_size)

    def iter_raw(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """`iter_bytes` without removing content codings, for a streamed response; of another, its content."""
        return self._pieces(chunk_size, raw=True)

    def iter_text(self, chunk_size: int | None = None) -> Iterator[str]:
        """The body as text in pieces: as they come, or of chunk_size characters. Bytes that are not valid become U+FFFD."""
        from .streams import text_decoder

        decoder = text_decoder(self.encoding)
        rest = ""
        for piece in self._pieces(None):
            texts, rest = _cut(rest + decoder.decode(piece), chunk_size)
            yield from texts
        rest += decoder.decode(b"", True)
        texts, rest = _cut(rest, chunk_size)
        yield from texts
        if rest:
            yield rest

    def iter_lines(self) -> Iterator[str]:
        """The lines of the body as text, without their ends (LF, CR LF or CR). A line may have 16 Mi characters."""
        from .streams import LineSplitter

        splitter = LineSplitter()
        for text in self.iter_text():
            yield from splitter.feed(text)
        yield from splitter.finish()

    def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """`iter_bytes` for asynchronous code."""
        return self._apieces(chunk_size)

    def aiter_raw(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """`iter_raw` for asynchronous code."""
        return self._apieces(chunk_size, raw=True)

    async def aiter_text(self, chunk_size: int | None = None) -> AsyncIterator[str]:
        """`iter_text` for asynchronous code."""
        from .._turns import Turn, batches
        from .streams import text_decoder

        decoder = text_decoder(self.encoding)
        rest = ""
        turn = Turn()
        async for piece in self._apieces(None):
            texts, rest = _cut(rest + decoder.decode(piece), chunk_size)
            for batch in batches(texts):
                for text in batch:
                    yield text
                if turn.is_over():
                    await turn.give()
        rest += decoder.decode(b"", True)
        texts, rest = _cut(rest, chunk_size)
        for text in texts:
            yield text
        if rest:
            yield rest

    async def aiter_lines(self) -> AsyncIterator[str]:
        """`iter_lines` for asynchronous code."""
        from .._turns import Turn, batches
        from .streams import LineSplitter

        splitter = LineSplitter()
        turn = Turn()
        async for text in self.aiter_text():
            for batch in batches(splitter.feed(text)):
                for line in batch:
                    yield line
                if turn.is_over():
                    await turn.give()
        for line in splitter.finish():
            yield line

    @property
    def charset(self) -> str | None:
        """The charset of Content-Type in lower case, or None."""
        content_type = (
            self._header("content-type") if "_headers" not in self.__dict__ else self.headers.get("content-type")
        )
        return None if content_type is None else _charset(content_type)

    @property
    def encoding(self) -> str:
        """The codec of `text`: the answer's charset, else the client's `encoding`, else what the bytes look like."""
        encoding: str = self._encoding
        return encoding

    @encoding.setter
    def encoding(self, value: str) -> None:
        self._encoding = value
        self.__dict__.pop("_text", None)

    @property
    def text(self) -> str:
        """The body as text; bytes that are not valid become U+FFFD."""
        text: str = self._text
        return text

    def json(self, **kwargs: Any) -> Any:
        """Parse the body as JSON. Keywords go to `json.loads`. Raises json.JSONDecodeError."""
        from json import loads

        return loads(self.text, **kwargs)

    # -------------------------------------------------------------------------------------------------------- methods

    def raise_for_status(self) -> Response:
        """Raise HTTPError for a failure, a 4xx or a 5xx status; else return the response."""
        status = self.status_code
        if status < 100:
            kind, reason = "TLS Client Error", self.reason
        elif 400 <= status < 500:
            kind, reason = "Client Error", _phrase(status)
        elif 500 <= status < 600:
            kind, reason = "Server Error", _phrase(status)
        else:
            return self
        url = str(self._request.url) if self._request is not None else ""
        raise HTTPError(f"{status} {kind}: {reason} for url: {url}", response=self)

    @classmethod
    def from_tls_response(cls, response: TLSResponse, is_byte_response: bool = False) -> Response:
        """Make a response of what TLSClient.request returned.

        Raises Base64DecodeError when `is_byte_response` is set and the body is no base64.
        """
        body: Any = response.body or ""
        if is_byte_response and (response.status or 0) > 0:
            import binascii
            from base64 import b64decode

            try:
                raw = b64decode(body.split(",")[-1])
            except (binascii.Error, ValueError, TypeError):
                raise Base64DecodeError("Couldn't decode the base64 string into bytes.") from None
        else:
            raw = body if isinstance(body, bytes) else body.encode("utf-8")
        made = cls(response.status, headers=response.headers, cookies=response.cookies, body=raw)
        made.__dict__["_id"] = response.id or ""
        made.http_version = response.usedProtocol or "HTTP/1.1"
        return made

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status_code}]>"

    def __str__(self) -> str:
        if self.status_code == 0 or _phrase(self.status_code) == "Unknown Error":
            return repr(self)
        return f"<{type(self).__name__} [{self.status_code} {_phrase(self.status_code)}]>"

    # ------------------------------------------------------------------------------------------------------- pickling

    def __reduce__(self) -> tuple[Any, ...]:
        state = {
            "status_code": self.status_code,
            "_headers": self.headers,
            "_cookies": self.cookies,
            "_own_cookies": True,
            "_request": self._request,
            "history": self.history,
            "_content": self.content,
            "_is_stream_consumed": True,
            "_stream": None,
            "_closed": self._closed,
            "_default_encoding": None if callable(self._default_encoding) else self._default_encoding,
            "_encoding": self.encoding,
            "_elapsed": self.elapsed,
            "_http_version": self.http_version,
            "_trailers": self.trailers,
            "_next": self._next,
            "_id": self.id,
            "error": self.error,
            "attempts": list(self.attempts),
        }
        return _restore, (type(self), state)


def _restore(cls: type[Response], state: dict[str, Any]) -> Response:
    response: Response = cls.__new__(cls)
    for name, value in state.items():
        setattr(response, name, value)
    return response


def _cut(text: str, size: int | None) -> tuple[list[str], str]:
    """Pieces of `size` characters and what is left; without a size the whole text, unless it is empty."""
    if size is None:
        return ([text] if text else []), ""
    if size < 1:
        raise ValueError("chunk_size must be at least 1")
    whole = len(text) // size * size
    return [text[at : at + size] for at in range(0, whole, size)], text[whole:]


def _phrase(status: int) -> str:
    from .status_codes import StatusCodes

    reason: str = StatusCodes.get_reason(status)
    return reason


def _charset(content_type: str) -> str | None:
    for part in content_type.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return None


# ------------------------------------------------------------------------------- attributes made when first looked at


def _make_headers(self: Response) -> Headers:
    from .headers import Headers

    headers = Headers()
    headers._items = self._header_items
    return headers


def _make_trailers(self: Response) -> Headers:
    from .headers import Headers

    headers = Headers()
    headers._items = self._trailer_items
    return headers


def _make_request(self: Response) -> Request | None:
    if not self._from_engine:
        return None
    from .request import Request

    original: Request | None = self._op_request
    if original is not None and self._is_first:
        original._show_sent(self._sent, self._sent_raw)
        return original
    return Request._from_response(self)


def _make_url(self: Response) -> URL:
    from .urls import URL

    try:
        return URL(self._url_text)
    except URLError:
        return URL._of_visit(self._url_text)


def _make_cookies(self: Response) -> Cookies:
    from .cookies import Cookies
    from .request import _sent_cookies

    self._own_cookies = True
    cookies = Cookies()
    url = self._url_text
    if not self._from_engine or not url:
        return cookies
    # Replay what the hops of this request set, then keep what belongs to the last URL.
    received = [
        (response._url_text, value)
        for response in [*self.history, self]
        for name, values in response.headers._items
        if name == "set-cookie"
        for value in values
    ]
    sent = list(_sent_cookies(self._sent))
    if not received and not sent:
        return cookies
    replay = _core.CookieJar()
    touched: set[str] = set()
    for address, value in received:
        replay.receive(address, value)
        touched.add(value.partition("=")[0].strip())
    store = cookies.cookiejar._store
    kept = replay.items(url) if touched else []
    for cookie in kept:
        store.set(*cookie)
    names = {cookie[0] for cookie in kept}
    # Then what was sent and still applies: as the client has it, else as a cookie of the host. Where a name was sent
    # twice, the first belongs to the longest path.
    jar = self._op_jar
    known = {cookie[:2]: cookie for cookie in reversed(jar.items(url))} if jar is not None and len(jar) else {}
    host = self.url.host
    for pair in sent:
        name, value = pair
        if name in names or (name in touched and pair not in known):
            continue
        names.add(name)
        _, _, domain, path, expires, flags = known.get(pair, (name, value, "", "/", 0, 0))
        if domain:
            store.set(name, value, domain, path, expires, flags)
        else:
            store.set(name, value, host, path, expires, flags | 4)  # 4: of this host alone
    return cookies


def _make_next(self: Response) -> Request | None:
    if not self._from_engine or not self.is_redirect:
        return None
    from .redirects import next_request

    return next_request(self.request, self)


def _make_encoding(self: Response) -> str:
    encoding: Any = self.charset
    if not encoding:
        encoding = self._default_encoding
        if callable(encoding):
            encoding = encoding(self) or "utf-8"
        elif not encoding and (self._live is None or self._rest is not None) and self.content:
            from .. import utils

            detector = utils.chardet
            encoding = detector.detect(self.content)["encoding"] if detector is not None else None
    name = encoding.split(",")[0].strip() if isinstance(encoding, str) else ""
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):
        return "utf-8"
    return name.lower()


def _make_text(self: Response) -> str:
    content = self.content
    if not content:
        return ""
    encoding = self.encoding
    if encoding == "utf-8":
        return codecs.utf_8_decode(content, "replace", False)[0]
    try:
        # Without finalising: an incomplete sequence at the very end is dropped.
        return codecs.getincrementaldecoder(encoding)(errors="replace").decode(content)
    except (LookupError, TypeError, AssertionError, UnicodeError):  # no codec for text, or one that cannot replace
        return content.decode("utf-8", "replace")


def _make_elapsed(self: Response) -> datetime.timedelta:
    from datetime import timedelta

    return timedelta(microseconds=self._elapsed_ns / 1000)


def _make_id(self: Response) -> str:
    if not self._from_engine:
        return ""
    from .._base import new_id

    return new_id()


_LAZY: dict[str, Any] = {
    "_headers": _make_headers,
    "_trailers": _make_trailers,
    "_request": _make_request,
    "_url": _make_url,
    "_cookies": _make_cookies,
    "_own_cookies": lambda self: False,
    "_next": _make_next,
    "_encoding": _make_encoding,
    "_text": _make_text,
    "_id": _make_id,
    "_elapsed": _make_elapsed,
    "_http_version": lambda self: _core.Response.http_version.__get__(self),
    "_default_encoding": lambda self: "utf-8" if self._op_encoding is _core.NOT_GIVEN else self._op_encoding,
    # An answer of the engine is read and closed when it is handed out.
    "_closed": lambda self: True,
    "_stream": lambda self: None,
    "_is_stream_consumed": lambda self: self._from_engine,
}
