"""The low-level interface: configurations as dataclasses, and `TLSClient`, which performs requests described by dictionaries."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from .. import _core, _sessions
from .._base import new_id
from ..exceptions import HTTPError
from ..settings import (
    BROWSER_HEADERS,
    DEFAULT_CLIENT_IDENTIFIER,
    DEFAULT_INSECURE_SKIP_VERIFY,
    DEFAULT_TIMEOUT,
)
from .libraries import TLSLibrary
from .status_codes import StatusCodes
from .urls import URL

if TYPE_CHECKING:
    from .._base import BaseClient
    from ..types import HeaderTypes, ProtocolTypes, TimeoutTypes, VerifyTypes
    from .request import Request

__all__ = ["CustomTLSClientConfig", "TLSClient", "TLSConfig", "TLSRequestCookiesConfig", "TLSResponse"]

C = TypeVar("C", bound="_BaseConfig")


@dataclass
class _BaseConfig:
    """Base of the configurations: fields, and further options by their camelCase name."""

    @property
    def _extra_config(self) -> dict[str, Any]:
        extra: dict[str, Any] = self.__dict__.setdefault("_extra", {})
        return extra

    @classmethod
    def model_fields_set(cls) -> set[str]:
        """The names of the fields."""
        return {item.name for item in dataclasses.fields(cls) if not item.name.startswith("_")}

    @classmethod
    def to_camel_case(cls, name: str) -> str:
        """`longer_test_case` to `longerTestCase`; a name without an underscore stays.

        >>> _BaseConfig.to_camel_case("local_address")
        'localAddress'
        """
        first, *rest = name.split("_")
        return first + "".join(part.capitalize() for part in rest)

    @classmethod
    def from_kwargs(cls: type[C], **kwargs: Any) -> C:
        """Make a configuration of keywords; those that are no field become extra options."""
        names = cls.model_fields_set()
        config = cls(**{key: value for key, value in kwargs.items() if key in names})
        config._extra_config.update(
            {cls.to_camel_case(key): value for key, value in kwargs.items() if key not in names}
        )
        return config

    def _field_values(self) -> dict[str, Any]:
        return {name.name: getattr(self, name.name) for name in dataclasses.fields(self)}

    def to_dict(self) -> dict[str, Any]:
        """Fields and extra options without those that are None."""
        values = {**self._field_values(), **self._extra_config}
        return {key: value for key, value in values.items() if value is not None and not key.startswith("_")}

    def to_payload(self) -> dict[str, Any]:
        """The same as `to_dict`."""
        return self.to_dict()


@dataclass
class TLSRequestCookiesConfig(_BaseConfig):
    """A cookie of a low-level request."""

    name: str
    value: str


@dataclass
class CustomTLSClientConfig(_BaseConfig):
    """A TLS and HTTP/2 fingerprint of one's own; all fields are optional.

    ja3String: `version,ciphers,extensions,curves,pointFormats`. h2Settings: names to numbers. connectionFlow: the
    connection's WINDOW_UPDATE. See the page on fingerprints for the names.
    """

    alpnProtocols: list[str] | None = None
    alpsProtocols: list[str] | None = None
    certCompressionAlgo: str | list[str] | None = None
    connectionFlow: int | None = None
    h2Settings: dict[str, int] | None = None
    h2SettingsOrder: list[str] | None = None
    headerPriority: dict[str, Any] | None = None
    ja3String: str | None = None
    keyShareCurves: list[str] | None = None
    priorityFrames: list[dict[str, Any]] | None = None
    pseudoHeaderOrder: list[str] | None = None
    supportedSignatureAlgorithms: list[str] | None = None
    supportedVersions: list[str] | None = None


_KEEP: Any = object()

_VERSIONS = {
    "chrome": re.compile(r"chrome_(\d+)"),
    "firefox": re.compile(r"firefox_(\d+)"),
    "safari": re.compile(r"safari_(?:ios_)?(\d+)"),
}


def _browser_headers(identifier: str) -> dict[str, str]:
    """The stored header set of the identifier's browser with its version, or nothing."""
    name = identifier.lower()
    family = next((family for family in ("chrome", "firefox", "safari") if family in name), None)
    if family is None:
        return {}
    headers = dict(BROWSER_HEADERS[family])
    match = _VERSIONS[family].search(name)
    if match is None:
        return headers
    version = match.group(1)
    agent = headers["user-agent"]
    if family == "chrome":
        headers["user-agent"] = re.sub(r"Chrome/\d+", f"Chrome/{version}", agent)
        headers["sec-ch-ua"] = headers["sec-ch-ua"].replace("133", version)
    elif family == "firefox":
        headers["user-agent"] = re.sub(r"(rv:|Firefox/)\d+", rf"\g<1>{version}", agent)
    else:
        headers["user-agent"] = re.sub(r"Version/\d+", f"Version/{version}", agent)
    return headers


def _header_dict(headers: Any) -> dict[str, Any]:
    try:
        return dict(headers)
    except (TypeError, ValueError):
        raise TypeError(f"headers must be a mapping or pairs, not {type(headers).__name__}") from None


@dataclass
class TLSConfig(_BaseConfig):
    """One request and how to send it, in the names of the low-level interface."""

    catchPanics: bool = False
    certificatePinningHosts: dict[str, Any] = field(default_factory=dict)
    customTlsClient: CustomTLSClientConfig | dict[str, Any] | None = None
    followRedirects: bool = False
    forceHttp1: bool = False
    headerOrder: list[str] = field(default_factory=list)
    headers: dict[str, Any] = field(default_factory=dict)
    insecureSkipVerify: bool = DEFAULT_INSECURE_SKIP_VERIFY
    isByteRequest: bool = False
    isByteResponse: bool = True
    isRotatingProxy: bool = False
    proxyUrl: str | None = ""
    requestBody: str | bytes | bytearray | None = None
    requestCookies: list[Any] = field(default_factory=list)
    requestMethod: str | None = None
    requestUrl: str | None = None
    sessionId: str = field(default_factory=lambda: str(uuid.uuid4()))
    streamID: int | None = None
    timeoutSeconds: float = 30
    tlsClientIdentifier: str | None = DEFAULT_CLIENT_IDENTIFIER
    withAllowHTTP: bool = False
    withDebug: bool = False
    withDefaultCookieJar: bool = False
    withProtocolRacing: bool = False
    withRandomTLSExtensionOrder: bool = True
    withoutCookieJar: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The payload that TLSClient.request takes: bodies of bytes in base64, None left out. It can be repeated."""
        values = {**self._field_values(), **self._extra_config, "followRedirects": False}
        custom = values["customTlsClient"]
        if custom:
            values["tlsClientIdentifier"] = None
            if isinstance(custom, _BaseConfig):
                values["customTlsClient"] = {**custom._field_values(), **custom._extra_config}
        cookies = values["requestCookies"]
        if cookies:
            values["requestCookies"] = [item.to_dict() if isinstance(item, _BaseConfig) else item for item in cookies]
        body = values["requestBody"]
        if not body:
            values["requestBody"], values["isByteRequest"] = None, False
        elif isinstance(body, (bytes, bytearray)):
            values["requestBody"], values["isByteRequest"] = base64.b64encode(body).decode("ascii"), True
        else:
            values["isByteRequest"] = False
        if not isinstance(values["timeoutSeconds"], (int, float)):
            values["timeoutSeconds"] = DEFAULT_TIMEOUT
        return {key: value for key, value in values.items() if value is not None and not key.startswith("_")}

    @classmethod
    def from_kwargs(  # the documented keywords, then options
        cls,
        session_id: str | None = None,
        headers: HeaderTypes = None,
        cookies: list[Any] | tuple[Any, ...] | Mapping[str, Any] | None = None,
        method: str | None = None,
        url: str | None = None,
        body: str | bytes | bytearray | None = None,
        is_byte_request: bool = False,
        proxy: str | None = None,
        http2: ProtocolTypes = "auto",
        timeout: TimeoutTypes = DEFAULT_TIMEOUT,
        verify: VerifyTypes | None = True,
        client_identifier: str | None = None,
        debug: bool = False,
        protocol_racing: bool = False,
        allow_http: bool = False,
        stream_id: int | None = None,
        **kwargs: Any,
    ) -> TLSConfig:
        """Make a configuration of the library's own keywords; without headers, the browser's set is filled in."""
        if cookies and not isinstance(cookies, (list, tuple, Mapping)):
            raise TypeError(f"cookies must be a list, not {type(cookies).__name__}")
        identifier = client_identifier or kwargs.get("tlsClientIdentifier") or DEFAULT_CLIENT_IDENTIFIER
        values: dict[str, Any] = {
            "sessionId": session_id or str(uuid.uuid4()),
            "headers": _header_dict(headers) if headers else _browser_headers(str(identifier)),
            "requestCookies": cookies or [],
            "requestMethod": method,
            "requestUrl": url,
            "requestBody": body,
            "isByteRequest": is_byte_request,
            "proxyUrl": proxy,
            "forceHttp1": not http2 or http2 == "http1",
            "timeoutSeconds": timeout if isinstance(timeout, (int, float)) else DEFAULT_TIMEOUT,
            "insecureSkipVerify": verify is not None and not verify,
            "tlsClientIdentifier": identifier,
            "withDebug": debug,
            "withProtocolRacing": protocol_racing,
            "withAllowHTTP": allow_http,
            "streamID": stream_id,
        }
        values.update({key: value for key, value in kwargs.items() if key in cls.model_fields_set()})
        extra = {key: value for key, value in kwargs.items() if key not in cls.model_fields_set()}
        config = cls(**values)
        config._extra_config.update({cls.to_camel_case(key): value for key, value in extra.items()})
        return config

    def copy_with(
        self,
        session_id: str | None = None,
        headers: HeaderTypes = None,
        cookies: list[Any] | tuple[Any, ...] | Mapping[str, Any] | None = None,
        method: str | None = None,
        url: str | None = None,
        body: str | bytes | bytearray | None = None,
        is_byte_request: bool | None = None,
        proxy: str | None = None,
        http2: ProtocolTypes = None,
        timeout: TimeoutTypes = None,
        verify: VerifyTypes | None = None,
        client_identifier: str | None = None,
        debug: bool | None = None,
        protocol_racing: bool | None = None,
        allow_http: bool | None = None,
        stream_id: int | None = None,
        **kwargs: Any,
    ) -> TLSConfig:
        """A new configuration with these changes; None keeps. Other keywords change fields or options by name."""
        changes: dict[str, Any] = {
            "sessionId": session_id,
            "headers": headers,
            "requestCookies": cookies,
            "requestMethod": method,
            "requestUrl": url,
            "requestBody": body,
            "isByteRequest": is_byte_request,
            "proxyUrl": proxy,
            "forceHttp1": None if http2 is None else not http2 or http2 == "http1",
            "timeoutSeconds": timeout,
            "insecureSkipVerify": None if verify is None else not verify,
            "tlsClientIdentifier": client_identifier,
            "withDebug": debug,
            "withProtocolRacing": protocol_racing,
            "withAllowHTTP": allow_http,
            "streamID": stream_id,
        }
        names = self.model_fields_set()
        changes = {
            **{key: value for key, value in kwargs.items() if key in names},
            **{key: value for key, value in changes.items() if value is not None},
        }
        copied = dataclasses.replace(self, **changes)
        copied._extra_config.update(self._extra_config)
        copied._extra_config.update(
            {self.to_camel_case(key): value for key, value in kwargs.items() if key not in names}
        )
        return copied


@dataclass
class TLSResponse(_BaseConfig):
    """The answer of a low-level call. status 0: it failed, and `body` says why."""

    id: str | None = None
    sessionId: str | None = None
    status: int = 0
    target: str | None = None
    body: str | None = None
    headers: dict[str, Any] | None = field(default_factory=dict)
    cookies: Any = field(default_factory=dict)
    success: bool = False
    usedProtocol: str = "HTTP/1.1"

    @classmethod
    def from_bytes(cls, raw: bytes) -> TLSResponse:
        """Read an answer from its JSON bytes."""
        return cls.from_kwargs(**json.loads(raw))

    @property
    def reason(self) -> str:
        """The name of the status, "Unknown Error" for 0."""
        return StatusCodes.get_reason(self.status)

    def __repr__(self) -> str:
        return f"<Response [{self.status}]>"


# Keys of a payload that `TLSClient` reads itself; all others are options of the request. Without underscores, in lower case.
_READ = frozenset(
    {
        "catchpanics",
        "defaultheaders",
        "euckrresponse",
        "followredirects",
        "forcehttp1",
        "headers",
        "insecureskipverify",
        "isbyterequest",
        "isbyteresponse",
        "proxyurl",
        "requestbody",
        "requestcookies",
        "requestmethod",
        "requesturl",
        "sessionid",
        "streamid",
        "timeoutmilliseconds",
        "timeoutseconds",
        "tlsclientidentifier",
        "withallowhttp",
        "withcustomcookiejar",
        "withdebug",
        "withdefaultcookiejar",
        "withprotocolracing",
        "withrandomtlsextensionorder",
    }
)


# What a payload has other names for: as options of a request they would mean something.
_NO_OPTIONS = frozenset(
    {
        "allowhttp",
        "auth",
        "clientidentifier",
        "content",
        "cookies",
        "data",
        "files",
        "http2",
        "json",
        "method",
        "params",
        "protocolracing",
        "proxy",
        "timeout",
        "url",
        "verify",
    }
)


class _Watched(type):
    """Class of TLSClient: notices when one of the methods that clients rely on is replaced, as tests do, and tells the
    extension, which then sends every call the way that asks for them."""

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _GENUINE:
            _core._divert(any(cls.__dict__.get(known) is not method for known, method in _GENUINE.items()))


class TLSClient(metaclass=_Watched):
    """Performs requests that are described by dictionaries with camelCase keys (`TLSConfig.to_dict()`).

    Sessions are named by `sessionId`; each has connections and cookies of its own. A session is made by the first request
    that names it; the session of a Client is there under `client.config.sessionId`. All methods are class methods; none of
    them raises for a transfer that fails.
    """

    # The engine's module, once it was asked for.
    _library: Any = None
    # Sessions that were made here, by id: nobody else holds them.
    _made: dict[str, BaseClient] = {}
    _lock = threading.Lock()

    def __init__(self) -> None:
        self._load()

    @classmethod
    def _load(cls) -> None:
        if cls._library is None:
            cls._library = TLSLibrary.load()

    @classmethod
    def initialize(cls) -> TLSClient:
        """Return an instance; the engine is part of this package."""
        return cls()

    # ------------------------------------------------------------------------------------------------------ sessions

    @staticmethod
    def _find(session_id: Any) -> BaseClient | None:
        return _sessions.find(session_id) if isinstance(session_id, str) else None

    @classmethod
    def _session(cls, session_id: Any) -> tuple[BaseClient, bool]:
        """The session of that id, made when there is none, and whether it is for this call alone."""
        from ..client import AsyncClient

        if not session_id:
            return AsyncClient(headers=None), True
        name = str(session_id)
        with cls._lock:
            client = _sessions.find(name)
            if client is None:
                client = cls._made[name] = AsyncClient(headers=None, session_id=name)
            return client, False

    @staticmethod
    def _cookie(record: tuple[Any, ...]) -> dict[str, Any]:
        name, value, domain, path, expires, flags = record
        return {
            "name": name,
            "value": value,
            "domain": domain,
            "path": path,
            "expires": expires,
            "maxAge": 0,
            "secure": bool(flags & 1),
            "httpOnly": bool(flags & 2),
        }

    @classmethod
    def _failure(cls, text: str, session_id: Any = None) -> TLSResponse:
        return TLSResponse(id=new_id(), sessionId=session_id, body=text)

    # ------------------------------------------------------------------------------------------------------ requests

    @staticmethod
    def _cookies_of(records: Any) -> Any:
        """Cookies of a payload, with the attributes that they come with."""
        from .cookies import Cookies

        cookies = Cookies()
        for record in records or []:
            if isinstance(record, _BaseConfig):
                record = record.to_dict()
            age = record.get("maxAge") or 0
            expires = record.get("expires") or (int(time.time()) + age if age > 0 else None)
            cookies.set(
                record["name"],
                record["value"],
                domain=record.get("domain") or "",
                path=record.get("path") or "/",
                secure=bool(record.get("secure")),
                expires=expires,
                rest={"HttpOnly": None} if record.get("httpOnly") else {},
            )
        return cookies

    @classmethod
    def _request_of(cls, client: BaseClient, payload: dict[str, Any]) -> Request:
        """The request that a payload describes. payload: with its keys as in _READ."""
        from .request import Request

        body = payload.get("requestbody")
        if isinstance(body, (bytes, bytearray)):
            body = bytes(body)
        elif body is not None:
            body = base64.b64decode(body, validate=True) if payload.get("isbyterequest") else str(body)
        timeout = payload.get("timeoutseconds") or DEFAULT_TIMEOUT
        if payload.get("timeoutmilliseconds"):
            timeout = payload["timeoutmilliseconds"] / 1000
        request = Request(
            str(payload["requestmethod"]),
            payload["requesturl"],
            content=body or None,
            headers=payload.get("headers") or payload.get("defaultheaders") or None,
            cookies=client.prepare_cookies(cls._cookies_of(payload.get("requestcookies"))),
            proxy=payload.get("proxyurl") or None,
            timeout=timeout,
            stream_id=payload.get("streamid"),
            **payload["options"],
        )
        request._low_level = True
        request._client = client
        request._options = {
            "verify": not payload.get("insecureskipverify"),
            "http2": not payload.get("forcehttp1"),
            "client_identifier": str(payload.get("tlsclientidentifier") or DEFAULT_CLIENT_IDENTIFIER),
            "exact_headers": True,
            "raise_on_error": False,
        }
        return request

    @classmethod
    def _begin(cls, payload: Mapping[str, Any]) -> _Call | TLSResponse:
        """A call that is ready to be performed, or the answer that says why there is none."""
        if not isinstance(payload, Mapping):
            return cls._failure(f"the payload must be a mapping, not {type(payload).__name__}")
        given: dict[str, Any] = {"options": {}}
        for name, value in payload.items():
            key = str(name).replace("_", "").lower()
            if key in _READ:
                given[key] = value
            elif (
                key == "withrandomtlsextensionorder"
                or (key == "allowprivate" and value is False)
                or (key not in _NO_OPTIONS and value is not None and value is not False and value not in ("", {}, []))
            ):
                given["options"][str(name)] = value
        session_id = given.get("sessionid")
        if not given.get("requestmethod") or not given.get("requesturl"):
            return cls._failure("no request url or request method provided", session_id)
        cls._load()
        client, alone = cls._session(session_id)
        try:
            request = cls._request_of(client, given)
        except Exception as error:  # the low-level interface reports every failure in its answer
            if alone:
                client.close()
            return cls._failure(str(error) or repr(error), session_id)
        return _Call(client, alone, request, given)

    @classmethod
    def request(cls, payload: dict[str, Any]) -> TLSResponse:
        """Perform one request and return its answer; blocking."""
        from ..client import Client

        call = cls._begin(payload)
        if isinstance(call, TLSResponse):
            return call
        try:
            return cls._answer(call, Client._send(call.client, call.request, follow_redirects=call.follow))
        except Exception as error:  # the low-level interface reports every failure in its answer
            return cls._failure(str(error) or repr(error), call.given.get("sessionid"))
        finally:
            call.end()

    @classmethod
    async def arequest(cls, payload: dict[str, Any]) -> TLSResponse:
        """`request` without blocking the event loop. Cancelling the task cancels the request."""
        from ..client import AsyncClient

        call = cls._begin(payload)
        if isinstance(call, TLSResponse):
            return call
        try:
            return cls._answer(call, await AsyncClient._send(call.client, call.request, follow_redirects=call.follow))
        except Exception as error:  # the low-level interface reports every failure in its answer
            return cls._failure(str(error) or repr(error), call.given.get("sessionid"))
        finally:
            call.end()

    @classmethod
    def _answer(cls, call: _Call, response: Any) -> TLSResponse:
        headers: dict[str, list[str]] = {}
        for name, value in response.raw_headers:
            canonical = "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))
            headers.setdefault(canonical, []).append(value.decode("utf-8", "replace"))
        content: bytes = response.content
        if response.status_code and call.given.get("isbyteresponse", False):
            kind = response.headers.get("content-type", "application/octet-stream").split(";")[0]
            body = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
        else:
            body = content.decode("euc-kr" if call.given.get("euckrresponse") else "utf-8", "replace")
        cookies = response.cookies.cookiejar._store.items() if response.status_code else []
        return TLSResponse(
            id=new_id(),
            sessionId=call.given.get("sessionid"),
            status=response.status_code,
            target=str(response.url) if response.status_code else str(call.given["requesturl"]),
            body=body,
            headers=headers,
            cookies={cookie[0]: cookie[1] for cookie in cookies},
            success=response.status_code > 0,
            usedProtocol=response.http_version,
        )

    # ------------------------------------------------------------------------------------------------- cookies and end

    @classmethod
    def get_cookies(cls, session_id: str, url: str) -> TLSResponse:
        """The cookies that a session would send to the URL, as dictionaries in `.cookies`."""
        client = cls._find(session_id)
        if client is None:
            return cls._failure(f"no client found for sessionId: {session_id}", session_id)
        try:
            cookies = [cls._cookie(record) for record in client._jar.items(str(url))]
        except HTTPError as error:
            return cls._failure(str(error), session_id)
        return TLSResponse(id=new_id(), sessionId=session_id, cookies=cookies, success=True)

    @classmethod
    def add_cookies(cls, session_id: str, payload: dict[str, Any]) -> TLSResponse:
        """Add cookies (`{"url": ..., "cookies": [{"name": ..., "value": ...}]}`) to a session.

        A cookie without a domain is one of the URL's host. The answer holds the session's cookies for the URL.
        """
        client = cls._find(session_id)
        if client is None:
            return cls._failure(f"no client found for sessionId: {session_id}", session_id)
        try:
            url = str(payload.get("url") or "")
            host = URL(url).host if url else ""
            for name, value, domain, path, expires, flags in cls._cookies_of(
                payload.get("cookies")
            ).cookiejar._store.items():
                client._jar.set(name, value, domain or host, path, expires, flags if domain else flags | 4)
        except (HTTPError, KeyError, TypeError, AttributeError) as error:
            return cls._failure(str(error) or repr(error), session_id)
        return cls.get_cookies(session_id, url)

    @classmethod
    def destroy_session(cls, session_id: str) -> bool:
        """Close a session's connections and drop its cookies; True also when there is none of that name."""
        cls._load()
        with cls._lock:
            made_here = cls._made.pop(session_id, None)
        client = made_here or cls._find(session_id)
        if made_here is not None:
            made_here.close()
        elif client is not None:
            client._renew()
        return True

    @classmethod
    def destroy_all(cls) -> bool:
        """Destroy every session. Clients stay usable: they begin new ones."""
        cls._load()
        with cls._lock:
            made_here = list(cls._made.values())
            cls._made.clear()
        for client in made_here:
            client.close()
        for client in _sessions.everyone():
            client._renew()
        return True

    @classmethod
    def free_memory(cls, response_id: str) -> None:
        """Nothing to free: answers are Python objects."""

    @classmethod
    def response(cls, raw: bytes) -> TLSResponse:
        """Read an answer from its JSON bytes."""
        return TLSResponse.from_bytes(raw)

    @classmethod
    async def aresponse(cls, raw: bytes) -> TLSResponse:
        """`response` as a coroutine."""
        return cls.response(raw)


@dataclass
class _Call:
    """A request of TLSClient that is about to be performed."""

    client: Any
    alone: bool
    request: Request
    given: dict[str, Any]

    @property
    def follow(self) -> bool:
        return bool(self.given.get("followredirects"))

    def end(self) -> None:
        if self.alone:
            self.client.close()


_GENUINE: dict[str, Any] = {
    name: TLSClient.__dict__[name] for name in ("initialize", "request", "arequest", "destroy_session")
}


def is_genuine(session: Any, method: str) -> bool:
    """Whether a method of a session is this module's, so that a client need not go through it."""
    function = getattr(getattr(session, method, None), "__func__", None)
    return function is not None and function is _GENUINE[method].__func__
