"""Request: what is sent, as the caller and his hooks see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

from .._base import REMOVED, method_text
from .._upload import IterableSource, MemorySource, Source, source_of
from ..exceptions import HeaderError, URLError
from ..settings import DEFAULT_TIMEOUT
from ..utils import utf8
from .cookies import Cookies
from .encoders import BaseEncoder, MultipartEncoder, StreamEncoder, browser_boundary
from .headers import FieldList, Headers
from .urls import URL, Proxy

if TYPE_CHECKING:
    from ..types import (
        CookieTypes,
        HeaderTypes,
        RequestContent,
        RequestData,
        RequestFiles,
        RequestJson,
        TimeoutTypes,
        URLParamTypes,
        URLTypes,
    )
    from .response import Response

__all__ = ["Request"]

# Fields that are shown elsewhere: `cookies` of the request; the host is shown without its port (spec 21.2).
_SHOWN_ELSEWHERE = frozenset({"cookie", "host"})
# Of a declared length: an exabyte, which the engine counts in 63 bits.
_LENGTH_DIGITS = 18


class Request:
    """A request.

    method: any token; it is sent in upper case. url: str, bytes or URL. params: query parameters, added to the URL's own.
    data, files, json: the body, see StreamEncoder. content: a raw body: bytes, text, another buffer, a readable object, or an iterable or
    asynchronous iterable of bytes (files and iterables are sent in pieces, as is `data` that is one). headers, cookies: of this request.
    proxy: str, bytes, URL or Proxy. timeout: seconds. Further keywords are options of the engine for this request.
    Raises URLError, URLParamsError, HeaderError, ProxyError.

    >>> Request("get", "https://example.com/", params={"a": "1"})
    <Request: (GET, https://example.com/?a=1)>
    """

    # Of an answer to a call that made no Request: its headers are those that were sent, the caller's and the browser's.
    _as_sent = False
    # Made by TLSClient of a payload: it goes to the engine whatever stands in TLSClient's place.
    _low_level = False

    def __init__(
        self,
        method: str,
        url: URLTypes,
        *,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: RequestJson = None,
        content: RequestContent | None = None,
        params: URLParamTypes = None,
        headers: HeaderTypes = None,
        cookies: CookieTypes = None,
        proxy: URLTypes | None = None,
        timeout: TimeoutTypes = None,
        protocol_racing: bool | None = None,
        allow_http: bool | None = None,
        stream_id: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.method = method_text(method)
        self.url = URL(url, params=params)
        self.cookies = Cookies(cookies)
        self.proxy: Proxy | None = (proxy if isinstance(proxy, Proxy) else Proxy(proxy)) if proxy else None
        self.timeout = timeout if isinstance(timeout, (int, float, dict)) else DEFAULT_TIMEOUT
        self.protocol_racing = protocol_racing
        self.allow_http = allow_http
        self.stream_id = stream_id
        self._extra_config: dict[str, Any] = kwargs
        if kwargs:
            from .._keywords import option_key
            from .._options import header_order, of_page, warn_unknown

            warn_unknown(kwargs)
            options = {option_key(name): value for name, value in kwargs.items()}
            of_page(options, {})
            if options.get("headerorder"):
                header_order(options["headerorder"])
        # Settings of the client that this request has otherwise: verify, http2, client_identifier.
        self._options: dict[str, Any] = {}
        self._session_id: str | None = None
        # Of a mapping of proxies: what other schemes go through; and the rotator that learns how the proxy did.
        self._proxy_map: Any = None
        self._proxy_rotator: Any = None
        self._content: bytes | None = None
        self._has_body = not (data is None and files is None and json is None and content is None)
        if content is not None and (data is not None or files is not None or json is not None):
            raise TypeError("content cannot be combined with data, files or json")
        # Where a body that is sent in pieces comes from, and the buffer of one that is lent.
        self._source: Source | None = None
        self._view: bytearray | memoryview | None = None
        if files is None:
            self._source = source_of(content if content is not None else data)
        if self._source is not None:
            self.stream: StreamEncoder = _SourceEncoder(self._source, content if content is not None else data)
        elif content is not None:
            if isinstance(content, str):
                content = utf8(content, "content")
            elif isinstance(content, (bytearray, memoryview)):
                self._view = content
                content = b""
            elif not isinstance(content, bytes):
                raise TypeError(
                    f"content must be bytes, text, a file or an iterable of bytes, not {type(content).__name__}"
                )
            self.stream = StreamEncoder.from_bytes(content)
        else:
            self.stream = StreamEncoder(data, files, json)
        self._set_headers(headers, multipart=files is not None)

    def _set_headers(self, headers: Any, multipart: bool) -> None:
        self.headers = Headers(headers)
        # The caller's spelling of names, for HTTP/1.1.
        self._spelling: dict[str, str] = _spelling(headers)
        # Fields that were put here without the caller's doing, with the value they had then.
        self._automatic: dict[str, str] = {}
        # The caller's fields that were not sent (removals, what HTTP/2 has no place for): they count again when it is sent again.
        self._unsent: list[tuple[str, list[str]]] = []
        self._sent_fields: list[tuple[bytes, bytes]] = []
        # The client that built this request; None for one that was made by hand.
        self._client: Any = None
        for name, value in self.stream.headers.items():
            # Only a multipart body cannot go with another content type than its own: the boundary is in it.
            key = name.decode("ascii").lower()
            if multipart or key not in self.headers:
                self.headers[key] = value.decode("utf-8")
                self._automatic[key] = self.headers[key]
        if self.url.host and "host" not in self.headers:
            self.headers["host"] = self.url.host
            self._automatic["host"] = self.url.host

    @property
    def id(self) -> str:
        """Id of the client's session that sent it; "" before."""
        return self._session_id or ""

    @property
    def content(self) -> bytes:
        """The body; empty until it was read or sent."""
        return self._content or b""

    def read(self) -> bytes:
        """Render the body once and return it."""
        if self._content is None:
            self._content = bytes(self._view) if self._view is not None else b"".join(self.stream.render())
        return self._content

    async def aread(self) -> bytes:
        """`read` for asynchronous code."""
        if self._content is None and self._source is not None:
            self._content = b"".join([bytes(piece) async for piece in self._source.astart()])
        return self.read()

    # ------------------------------------------------------------------------------------------- to and from the engine

    def _fields(self) -> list[tuple[str, str | None]]:
        """Header fields for the engine: what the caller asked for, in his spelling, without what it adds itself; None removes."""
        automatic = self._automatic
        fields: list[tuple[str, str | None]] = []
        for name, values in [*self.headers._items, *self._unsent]:
            spelled = self._spelling.get(name, name)
            if type(values) is FieldList:
                fields += [(spelled, value) for value in values]
            elif len(values) == 1 and values[0] is REMOVED:
                fields.append((spelled, None))
            elif automatic.get(name) != ",".join(values):
                fields.append((spelled, ",".join(values)))
        return fields

    def _body(self) -> tuple[bytes | None, str | None]:
        """Body and its content type where the caller gave none. A body in pieces that was not read is None."""
        if not self._has_body or (self._content is None and self._source is not None):
            return None, None
        return self.read(), self._automatic.get("content-type")

    def _choose_boundary(self, identifier: str) -> None:
        """Have a form's boundary look like that of the browser, unless it was seen or chosen already."""
        encoder = getattr(self.stream, "_encoder", None)
        if not isinstance(encoder, MultipartEncoder) or not encoder.fields or self._content is not None:
            return
        boundary = browser_boundary(identifier)
        if boundary is None or self.headers.get("content-type") != self._automatic.get("content-type"):
            return
        encoder.boundary = boundary
        value = encoder.get_headers()[b"Content-Type"].decode("ascii")
        self.headers["content-type"] = self._automatic["content-type"] = value

    def _outgoing(self) -> tuple[Any, str | None, Source | None]:
        """What the engine gets as the body, its content type, and the source of one that goes in pieces."""
        if not self._has_body:
            return None, None, None
        content_type = self._automatic.get("content-type")
        source = self._source
        encoder = getattr(self.stream, "_encoder", None)
        if self._content is not None:
            source = None
        elif isinstance(encoder, MultipartEncoder) and not encoder.in_memory:
            source = IterableSource(encoder, encoder.length(), on_thread=True)
        body: Any = self._content
        if source is None and body is None:
            body = self._view if self._view is not None else self.read()
        if source is None and self._options.get("progress") is not None:
            source = MemorySource(body)
        if source is None:
            return body, content_type, None
        length = source.length
        declared = self.headers.get("content-length")
        if length is None and declared is not None:
            if not (declared.isascii() and declared.isdigit() and len(declared) <= _LENGTH_DIGITS):
                raise HeaderError(f"content-length must be a number of bytes, not {declared[:64]!r}")
            length = source.length = int(declared)
        return (-1 if length is None else length, source.rewinds), content_type, source

    def _show_sent(self, sent: list[tuple[str, str]], raw: list[tuple[bytes, bytes]]) -> None:
        """Make `headers` what was sent, in that order: the browser's fields beside the caller's, not what was left out. Host is last."""
        credentials = _url_credentials(self.url)
        own = {name: values for name, values in self.headers._items}
        shown: list[tuple[str, list[str]]] = []
        done: set[str] = set()
        for name, value in sent:
            key = name.lower()
            if key in done or (key in _SHOWN_ELSEWHERE and (key not in own or key == "host")):
                continue
            if key == "authorization" and key not in own and value == credentials:
                continue
            done.add(key)
            if key in own and not (len(own[key]) == 1 and own[key][0] is REMOVED) and key != "content-length":
                shown.append((key, own[key]))
            else:
                shown.append((key, [value]))
                self._automatic[key] = value
        if "host" in own:
            shown.append(("host", own["host"]))
            done.add("host")
        unsent = [(name, values) for name, values in own.items() if name not in done and name not in self._automatic]
        known = {name for name, _ in unsent} | done
        self._unsent = [item for item in self._unsent if item[0] not in known] + unsent
        self.headers._items = shown
        self._sent_fields = raw

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The header fields as they were sent, in order, with duplicates, in their spelling; empty before."""
        return list(self._sent_fields)

    @classmethod
    def _from_response(cls, response: Response) -> Request:
        """The request of a response whose request nobody made as an object, or that a redirect made."""
        original: Request | None = response._op_request
        url = response._url_text
        timeout = response._op_timeout if original is None else original.timeout
        try:
            self = cls(response._method, url, timeout=timeout)
        except URLError:
            self = cls(response._method, response.url, timeout=timeout)
        if "_url" in response.__dict__:
            self.url = response._url  # what response.url gave already
        if original is not None:
            self._proxy_map = original._proxy_map
            self.proxy = original.proxy if self._proxy_map is None else self._proxy_map.choose(url)
            self.protocol_racing = original.protocol_racing
            self.allow_http = original.allow_http
            self.stream_id = original.stream_id
            self._extra_config = original._extra_config
            self._session_id = original._session_id
            self._client = original._client
        body = response._op_body
        if body is not None and not response._body_dropped:
            self._has_body = True
            self._content = body
            self.stream = StreamEncoder.from_bytes(body)
        if original is None:
            self._session_id = response._op_info
            self._as_sent = True
            self.proxy = response._op_proxy
        host = self._automatic.pop("host", None)
        if host is not None:
            del self.headers["host"]
        if host is not None:
            self.headers["host"] = host
            self._automatic["host"] = host
        self._show_sent(response._sent, response._sent_raw)
        for name, value in _sent_cookies(response._sent):
            self.cookies.set(name, value)
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: ({self.method}, {self.url._build(secure=True)})>"

    def __getstate__(self) -> dict[str, Any]:
        self.read()
        state = dict(self.__dict__)
        state["stream"] = state["_source"] = state["_view"] = None
        state["_client"] = state["_proxy_map"] = state["_proxy_rotator"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.stream = StreamEncoder.from_bytes(self._content or b"")


class _SourceEncoder(StreamEncoder):
    """The `stream` of a request whose body is sent in pieces."""

    def __init__(self, source: Source, body: Any) -> None:
        super().__init__()
        self._source = source
        self._body = body

    @property
    def headers(self) -> dict[bytes, bytes]:
        return self.get_headers()

    def get_headers(self) -> dict[bytes, bytes]:
        headers: dict[bytes, bytes] = self._body.headers if isinstance(self._body, BaseEncoder) else {}
        return headers

    def render(self) -> Iterator[bytes]:
        for piece in self._source.start():
            yield bytes(piece)
        self._closed = True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._source.astart():
            yield bytes(piece)
        self._closed = True


def _spelling(headers: Any) -> dict[str, str]:
    """lower-case name: the caller's name, for sources that keep the case."""
    names: Any = ()
    if isinstance(headers, Headers):
        return {name.lower(): name for name, _ in headers._items}
    if hasattr(headers, "keys"):
        names = headers.keys()
    elif isinstance(headers, (list, tuple, set)):
        names = (item[0] for item in headers if isinstance(item, (list, tuple)) and item)
    return {name.lower(): name for name in names if isinstance(name, str)}


def _url_credentials(url: URL) -> str | None:
    """The Authorization value that a URL's user name and password make."""
    if not url.username and not url.password:
        return None
    from base64 import b64encode
    from urllib.parse import unquote_to_bytes

    pair = unquote_to_bytes(url.username or "") + b":" + unquote_to_bytes(url.password or "")
    return "Basic " + b64encode(pair).decode("ascii")


def _sent_cookies(sent: list[tuple[str, str]]) -> list[tuple[str, str]]:
    pairs = []
    for name, value in sent:
        if name.lower() == "cookie":
            for part in value.split("; "):
                key, separator, text = part.partition("=")
                if separator and key:
                    pairs.append((key, text))
    return pairs
