"""The compiled engine. Only this package uses it; programs use `tls_requests`."""

from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import Context
from os import PathLike
from types import TracebackType
from typing import Any, TypeVar, final

from typing_extensions import disjoint_base

from .exceptions import HTTPError
from .models.request import Request
from .models.response import Response as PackageResponse
from .types import (
    AuthTypes,
    CookieTypes,
    EncodingTypes,
    HeaderTypes,
    IdentifierArgTypes,
    ProtocolTypes,
    ProxyTypes,
    RequestContent,
    RequestData,
    RequestFiles,
    RequestJson,
    TimeoutTypes,
    URLParamTypes,
    URLTypes,
    VerifyTypes,
)

_Client = TypeVar("_Client", bound="BaseClient")
_Profile = TypeVar("_Profile", bound="BrowserProfile")
_Cookie = tuple[str, str, str, str, int, int]

@final
class NotGiven:
    def __bool__(self) -> bool: ...
    def __reduce__(self) -> str: ...

NOT_GIVEN: NotGiven

@final
class _Op:
    """A request under way. Await it once; it speaks the protocol of asyncio's futures."""

    _asyncio_future_blocking: bool
    def __await__(self) -> Generator[_Op, None, PackageResponse]: ...
    def __iter__(self) -> Generator[_Op, None, PackageResponse]: ...
    def __next__(self) -> _Op: ...
    def send(self, value: object, /) -> _Op: ...
    def throw(
        self,
        type: type[BaseException] | BaseException,
        value: BaseException | object = ...,
        traceback: TracebackType | None = ...,
        /,
    ) -> _Op: ...
    def close(self) -> None: ...
    def add_done_callback(self, callback: Callable[[_Op], object], /, *, context: Context | None = None) -> None: ...
    def remove_done_callback(self, callback: Callable[[_Op], object], /) -> int: ...
    def cancel(self, /, msg: object = None) -> bool: ...
    def result(self) -> None: ...
    def exception(self) -> None: ...
    def done(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def get_loop(self) -> AbstractEventLoop: ...
    # Bodies in pieces (_stream.py, _upload.py).
    _reader: Any
    _writer: Any
    @property
    def _answered(self) -> bool: ...
    @property
    def _over(self) -> bool: ...
    @property
    def _sent(self) -> int: ...
    @property
    def _facts(self) -> tuple[bool, float, str]: ...
    def _submit(self) -> None: ...
    def _wait_event(self) -> None: ...
    def _response(self) -> PackageResponse: ...
    def _read(self, least: int, most: int, raw: bool, /) -> bytes | None: ...
    def _wants_body(self) -> int | None: ...
    def _write(self, body_pass: int, data: bytes | bytearray | memoryview, /) -> bool: ...
    def _write_end(self, body_pass: int, /) -> bool: ...
    def _write_fail(self, why: str, /) -> None: ...
    def _to_file(self, fd: int, limit: int | None, events: bool, digest: str | None, before: int, /) -> bool: ...
    def _file_wait(self, seconds: float, /) -> bool: ...
    @property
    def _file_written(self) -> int: ...
    @property
    def _file_digest(self) -> bytes: ...
    def _raise_failure(self) -> None: ...
    def _abort(self) -> None: ...

@final
class CookieJar:
    """The cookie store of a client: RFC 6265bis, thread-safe, shared with the engine.

    Cookies are tuples (name, value, domain, path, expires, flags): domain "" goes to every host; expires in seconds
    since 1970, 0 for the session; flags 1 Secure, 2 HttpOnly, 4 of this host alone, 8/16/32 SameSite lax, strict, none.
    """

    def __new__(cls) -> CookieJar: ...
    def __len__(self) -> int: ...
    def set(
        self, name: str, value: str, domain: str = "", path: str = "/", expires: int = 0, flags: int = 0, /
    ) -> None: ...
    def receive(self, url: str, set_cookie: str, now: int | None = None, /) -> None: ...
    def header_for(self, url: str, /) -> str: ...
    def items(self, url: str | None = None, /) -> list[_Cookie]: ...
    def remove(
        self,
        name: str | None = None,
        domain: str | None = None,
        path: str | None = None,
        host_only: bool | None = None,
        /,
    ) -> int: ...
    def update(self, other: CookieJar, /) -> None: ...
    @staticmethod
    def is_public_suffix(domain: str, /) -> bool: ...

_Way = tuple[tuple[str, ...], int, tuple[tuple[str, str | None], ...]]

@final
class ProxyRoutes:
    """The way to http and to https URLs: None (straight) or (urls of the chain, forward, headers for CONNECT).

    forward: 0: absolute form where the proxy refuses CONNECT for http URLs, 1: never, 2: always.
    Raises ProxyError, ValueError, HeaderError.
    """

    def __new__(cls, http: _Way | None, https: _Way | None, no_proxy: str = "", /) -> ProxyRoutes: ...
    def is_direct(self, url: str, /) -> bool: ...

@disjoint_base
class BrowserProfile:
    """A browser profile that the engine can use: a built-in one by its name, or one of a dict of rows."""

    def __new__(cls: type[_Profile], source: str | dict[str, Any], /) -> _Profile: ...
    @property
    def _key(self) -> int: ...
    def _rows(self) -> dict[str, Any]: ...

@disjoint_base
class Response:
    status_code: int
    history: list[PackageResponse]
    error: HTTPError | None
    _content: bytes
    def __new__(cls, *args: Any, **kwargs: Any) -> Any: ...
    @property
    def content(self) -> bytes: ...
    @property
    def http_version(self) -> str: ...
    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def _timing(self) -> dict[str, Any] | None: ...
    @property
    def _certificates(self) -> list[bytes]: ...
    @property
    def _header_items(self) -> list[tuple[str, list[str]]]: ...
    @property
    def _trailer_items(self) -> list[tuple[str, list[str]]]: ...
    @property
    def _sent(self) -> list[tuple[str, str]]: ...
    @property
    def _sent_raw(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def _url_text(self) -> str: ...
    @property
    def _method(self) -> str: ...
    @property
    def _elapsed_ns(self) -> int: ...
    @property
    def _op_jar(self) -> CookieJar | None: ...
    @property
    def _from_engine(self) -> bool: ...
    @property
    def _is_final(self) -> bool: ...
    @property
    def _is_first(self) -> bool: ...
    @property
    def _body_dropped(self) -> bool: ...
    @property
    def _stream_op(self) -> _Op | None: ...
    @property
    def _op_request(self) -> Request | None: ...
    @property
    def _op_body(self) -> bytes | None: ...
    @property
    def _op_encoding(self) -> Any: ...
    @property
    def _op_timeout(self) -> Any: ...
    @property
    def _op_proxy(self) -> Any: ...
    @property
    def _op_info(self) -> str | None: ...
    def _header(self, name: str, /) -> str | None: ...

@final
class Transport:
    """How connections are made; what the package makes of the connection options."""

    def __new__(
        cls,
        family: int,
        local_ip: str | None,
        local_port: int,
        interface: str | None,
        keepalive: tuple[int, int, int],
        unix_path: bytes | None,
        server_name: str | None,
        pins: list[tuple[str, bytes]],
        addresses: list[tuple[str, int, str]],
        dns_ttl_ns: int,
        deny_private: bool,
        keylog: str | bytes | None,
        identity: tuple[bytes, bytes | None, str | None] | None,
        limits: dict[str, int],
    ) -> Transport: ...
    @property
    def id(self) -> str: ...

@disjoint_base
class BaseClient:
    auth: AuthTypes
    proxy: ProxyTypes
    timeout: TimeoutTypes
    follow_redirects: bool
    max_redirects: int
    http2: ProtocolTypes
    verify: VerifyTypes | None
    client_identifier: IdentifierArgTypes
    protocol_racing: bool | None
    allow_http: bool | None
    stream_id: int | None
    encoding: EncodingTypes
    raise_on_error: bool
    debug: bool | None
    _headers: Any
    _header_rotator: Any
    _params: Any
    _hooks: Any
    _cookies: Any
    _extra: Any
    _spelled: Any
    _session_id: Any
    _transport: Transport | None
    _persona: Any
    _jar: CookieJar
    _life: int
    _kind: int
    _no_browser_headers: bool
    _no_jar: bool
    def __new__(cls: type[_Client], *args: Any, **kwargs: Any) -> _Client: ...
    def _verb(
        self,
        method: str,
        url: URLTypes,
        params: URLParamTypes | NotGiven,
        headers: HeaderTypes | NotGiven,
        cookies: CookieTypes | NotGiven,
        auth: AuthTypes | NotGiven,
        follow_redirects: bool | NotGiven | None,
        timeout: TimeoutTypes | NotGiven,
        rest: dict[str, Any],
        /,
        *body: Any,
    ) -> PackageResponse: ...
    def _averb(
        self,
        method: str,
        url: URLTypes,
        params: URLParamTypes | NotGiven,
        headers: HeaderTypes | NotGiven,
        cookies: CookieTypes | NotGiven,
        auth: AuthTypes | NotGiven,
        follow_redirects: bool | NotGiven | None,
        timeout: TimeoutTypes | NotGiven,
        rest: dict[str, Any],
        /,
        *body: Any,
    ) -> Awaitable[PackageResponse]: ...
    def _blocking(
        self,
        method: str,
        url: URLTypes,
        params: URLParamTypes | NotGiven,
        headers: HeaderTypes | NotGiven,
        cookies: CookieTypes | NotGiven,
        auth: AuthTypes | NotGiven,
        follow_redirects: bool | NotGiven | None,
        timeout: TimeoutTypes | NotGiven,
        data: RequestData | NotGiven | None,
        files: RequestFiles | NotGiven | None,
        json: RequestJson,
        content: RequestContent | NotGiven | None,
        rest: dict[str, Any],
        /,
    ) -> PackageResponse | None: ...
    def _awaitable(
        self,
        method: str,
        url: URLTypes,
        params: URLParamTypes | NotGiven,
        headers: HeaderTypes | NotGiven,
        cookies: CookieTypes | NotGiven,
        auth: AuthTypes | NotGiven,
        follow_redirects: bool | NotGiven | None,
        timeout: TimeoutTypes | NotGiven,
        data: RequestData | NotGiven | None,
        files: RequestFiles | NotGiven | None,
        json: RequestJson,
        content: RequestContent | NotGiven | None,
        rest: dict[str, Any],
        /,
    ) -> _Op | None: ...
    def _perform_blocking(
        self,
        request: Request,
        method: str,
        url: str,
        headers: Sequence[tuple[str | bytes, str | bytes | None]],
        cookies: list[_Cookie],
        body: bytes | bytearray | memoryview | tuple[int, bool] | None,
        body_type: str | None,
        options: dict[str, object],
        /,
    ) -> PackageResponse: ...
    def _perform_open(
        self,
        request: Any,
        method: str,
        url: str,
        headers: Sequence[tuple[str | bytes, str | bytes | None]],
        cookies: list[_Cookie],
        body: bytes | bytearray | memoryview | tuple[int, bool] | None,
        body_type: str | None,
        options: dict[str, Any],
        /,
    ) -> _Op: ...
    def _perform_awaitable(
        self,
        request: Request,
        method: str,
        url: str,
        headers: Sequence[tuple[str | bytes, str | bytes | None]],
        cookies: list[_Cookie],
        body: bytes | bytearray | memoryview | tuple[int, bool] | None,
        body_type: str | None,
        options: dict[str, object],
        /,
    ) -> _Op: ...
    def _failure(self, request: Request, method: str, url: str, code: str, message: str, /) -> PackageResponse: ...
    def _set_limits(
        self,
        max_h1_per_origin: int,
        idle_timeout_ms: int,
        max_header_bytes: int,
        max_ratio: int,
        max_decoded: int,
        keylog_path: str | bytes | PathLike[str] | None,
        /,
    ) -> None: ...
    def _stats(self) -> dict[str, int]: ...
    def _close(self) -> None: ...

def stats() -> dict[str, int]: ...
def profiles() -> list[str]: ...
def profile_names() -> list[tuple[str, int, str, str]]: ...
def profile_headers(identifier: str, http2: bool = True, /) -> list[tuple[str, str]]: ...
def profile_known(identifier: str, /) -> bool: ...
def error_rows() -> list[tuple[str, str, str]]: ...
def _register(helpers: dict[str, Any], classes: tuple[type[BaseClient], ...], /) -> None: ...
def _divert(flag: bool | None = ..., /) -> bool: ...
def _shutdown() -> None: ...
