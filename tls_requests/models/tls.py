"""The low-level interface: configurations as dataclasses, and `TLSClient`, which performs requests described by dictionaries."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..settings import (
    BROWSER_HEADERS,
    DEFAULT_CLIENT_IDENTIFIER,
    DEFAULT_INSECURE_SKIP_VERIFY,
    DEFAULT_TIMEOUT,
)
from .status_codes import StatusCodes

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
    proxyUrl: str = ""
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
        headers: Any = None,
        cookies: Any = None,
        method: str | None = None,
        url: str | None = None,
        body: Any = None,
        is_byte_request: bool = False,
        proxy: str | None = None,
        http2: Any = "auto",
        timeout: float = DEFAULT_TIMEOUT,
        verify: Any = True,
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
            "proxyUrl": proxy or "",
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
        headers: Any = None,
        cookies: Any = None,
        method: str | None = None,
        url: str | None = None,
        body: Any = None,
        is_byte_request: bool | None = None,
        proxy: str | None = None,
        http2: Any = None,
        timeout: float | None = None,
        verify: Any = None,
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
        changes = {key: value for key, value in changes.items() if value is not None}
        changes.update({key: value for key, value in kwargs.items() if key in names})
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
        return StatusCodes.get_reason(self.status)

    def __repr__(self) -> str:
        return f"<Response [{self.status}]>"


class TLSClient:
    """Performs requests that are described by dictionaries with camelCase keys (`TLSConfig.to_dict()`).

    Sessions are named by `sessionId`; each has connections and cookies of its own. All methods are class methods; none of
    them raises for a transfer that fails.
    """

    _sessions: dict[str, Any] = {}
    _lock = threading.Lock()

    @classmethod
    def initialize(cls) -> TLSClient:
        """Nothing to load; returns an instance."""
        return cls()

    # ------------------------------------------------------------------------------------------------------ sessions

    @classmethod
    def _session(cls, payload: Mapping[str, Any]) -> tuple[Any, bool]:
        """The client of the payload's session, and whether it was made for this call alone."""
        from ..client import Client

        def make() -> Any:
            return Client(headers=None, withoutCookieJar=bool(payload.get("withoutCookieJar")))

        name = payload.get("sessionId")
        if not name:
            return make(), True
        with cls._lock:
            client = cls._sessions.get(name)
            if client is None:
                client = cls._sessions[name] = make()
            return client, False

    @staticmethod
    def _cookie(record: Any) -> dict[str, Any]:
        return {
            "name": record.name,
            "value": record.value,
            "domain": record.domain,
            "path": record.path,
            "expires": record.expires or 0,
            "maxAge": 0,
            "secure": bool(record.secure),
            "httpOnly": record.has_nonstandard_attr("HttpOnly"),
        }

    @classmethod
    def _failure(cls, text: str, session_id: Any = None) -> TLSResponse:
        return TLSResponse(id=str(uuid.uuid4()), sessionId=session_id, body=text)

    # ------------------------------------------------------------------------------------------------------ requests

    @classmethod
    def request(cls, payload: dict[str, Any]) -> TLSResponse:
        """Perform one request and return its answer; blocking."""
        session_id = payload.get("sessionId")
        method, url = payload.get("requestMethod"), payload.get("requestUrl")
        if not method or not url:
            return cls._failure("no request url or request method provided", session_id)
        if session_id is not None and not isinstance(session_id, str):
            return cls._failure(f"sessionId must be a str, not {type(session_id).__name__}", None)
        client, alone = cls._session(payload)
        try:
            body = payload.get("requestBody")
            if body is not None and payload.get("isByteRequest"):
                body = base64.b64decode(body)
            milliseconds = payload.get("timeoutMilliseconds")
            timeout = milliseconds / 1000 if milliseconds else payload.get("timeoutSeconds") or DEFAULT_TIMEOUT
            options = {key: payload[key] for key in ("headerOrder", "customTlsClient") if payload.get(key)}
            for cookie in payload.get("requestCookies") or []:
                client.cookies.set(cookie["name"], cookie["value"])
            response = client.request(
                str(method),
                str(url),
                headers=payload.get("headers") or None,
                content=body,
                timeout=timeout,
                follow_redirects=False,
                proxy=payload.get("proxyUrl") or None,
                verify=not payload.get("insecureSkipVerify"),
                http2=not payload.get("forceHttp1"),
                client_identifier=payload.get("tlsClientIdentifier") or DEFAULT_CLIENT_IDENTIFIER,
                **options,
            )
            return cls._answer(response, payload)
        except Exception as error:  # the low-level interface reports every failure in its answer
            return cls._failure(str(error), session_id)
        finally:
            if alone:
                client.close()

    @classmethod
    def _answer(cls, response: Any, payload: Mapping[str, Any]) -> TLSResponse:
        headers: dict[str, list[str]] = {}
        for name, value in response.raw_headers:
            canonical = "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))
            headers.setdefault(canonical, []).append(value.decode("utf-8", "replace"))
        content: bytes = response.content
        if response.status_code and payload.get("isByteResponse", True):
            kind = response.headers.get("content-type", "application/octet-stream").split(";")[0]
            body = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
        else:
            body = content.decode("utf-8", "replace")
        return TLSResponse(
            id=str(uuid.uuid4()),
            sessionId=payload.get("sessionId"),
            status=response.status_code,
            target=str(payload.get("requestUrl")),
            body=body,
            headers=headers,
            cookies=dict(response.cookies.items()),
            success=response.status_code > 0,
            usedProtocol=response.http_version,
        )

    @classmethod
    async def arequest(cls, payload: dict[str, Any]) -> TLSResponse:
        """`request` without blocking the event loop."""
        import asyncio

        return await asyncio.get_running_loop().run_in_executor(None, cls.request, payload)

    # ------------------------------------------------------------------------------------------------- cookies and end

    @classmethod
    def get_cookies(cls, session_id: str, url: str) -> TLSResponse:
        """The cookies that a session would send to the URL, as dictionaries in `.cookies`."""
        with cls._lock:
            client = cls._sessions.get(session_id)
        if client is None:
            return cls._failure(f"no client found for sessionId: {session_id}", session_id)
        jar = client.cookies.cookiejar
        wanted = {(record[0], record[2], record[3]) for record in jar._store.items(url)}
        cookies = [
            cls._cookie(cookie) for cookie in jar if (cookie.name, cookie.domain.lstrip("."), cookie.path) in wanted
        ]
        return TLSResponse(id=str(uuid.uuid4()), sessionId=session_id, cookies=cookies, success=True)

    @classmethod
    def add_cookies(cls, session_id: str, payload: dict[str, Any]) -> TLSResponse:
        """Add cookies (`{"url": ..., "cookies": [{"name": ..., "value": ...}]}`) to a session."""
        with cls._lock:
            client = cls._sessions.get(session_id)
        if client is None:
            return cls._failure(f"no client found for sessionId: {session_id}", session_id)
        for cookie in payload.get("cookies") or []:
            client.cookies.set(
                cookie["name"],
                cookie["value"],
                domain=cookie.get("domain") or "",
                path=cookie.get("path") or "/",
                secure=bool(cookie.get("secure")),
                expires=cookie.get("expires") or None,
            )
        return cls.get_cookies(session_id, payload.get("url") or "")

    @classmethod
    def destroy_session(cls, session_id: str) -> bool:
        """Close a session's connections and drop its cookies; True also when there is none of that name."""
        with cls._lock:
            client = cls._sessions.pop(session_id, None)
        if client is not None:
            client.close()
        return True

    @classmethod
    def destroy_all(cls) -> bool:
        with cls._lock:
            clients, cls._sessions = list(cls._sessions.values()), {}
        for client in clients:
            client.close()
        return True

    @classmethod
    def free_memory(cls, response_id: str) -> None:
        """Nothing to free: answers are Python objects."""

    @classmethod
    def response(cls, raw: bytes) -> TLSResponse:
        return TLSResponse.from_bytes(raw)

    @classmethod
    async def aresponse(cls, raw: bytes) -> TLSResponse:
        return cls.response(raw)
