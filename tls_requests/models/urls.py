"""URL, its query parameters, and proxies."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import ParseResult, quote, unquote, urlencode, urlsplit

from ..exceptions import ProxyError, URLError, URLParamsError

if TYPE_CHECKING:
    from _collections_abc import dict_items, dict_keys, dict_values

    from ..types import URL_ALLOWED_PARAMS, HeaderTypes, ParamValueTypes, URLParamTypes, URLTypes

__all__ = ["URL", "Proxy", "URLParams"]

_ASCII_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?\Z")


class URLParams(MutableMapping[str, Any]):
    """Query parameters in order; a value may be a list.

    params: None, a mapping of str or bytes to str, bytes, int, float, bool or a list, tuple or set of these.
    Keywords add to them. Raises URLParamsError for anything else.

    >>> str(URLParams({"q": "a b", "page": [1, 2]}))
    'q=a+b&page=1&page=2'
    """

    def __init__(self, params: URLParamTypes = None, **kwargs: ParamValueTypes) -> None:
        self._data: dict[str, str | list[str]] = self._prepare(params, **kwargs)

    def normalize(self, s: URL_ALLOWED_PARAMS) -> str:
        """The text of one value: booleans as `true`/`false`, bytes decoded. Raises URLParamsError."""
        if isinstance(s, bool):
            return "true" if s else "false"
        if isinstance(s, bytes):
            return s.decode("utf-8")
        if isinstance(s, (str, int, float)):
            return str(s)
        raise URLParamsError("Invalid parameters value type.")

    def _value(self, value: Any) -> str | list[str]:
        if isinstance(value, (list, tuple, set)):
            return [self.normalize(item) for item in value]
        return self.normalize(value)

    @staticmethod
    def _name(key: Any) -> str:
        if isinstance(key, bytes):
            return key.decode("utf-8")
        if not isinstance(key, str):
            raise URLParamsError("Invalid parameters key type.")
        return key

    def _prepare(self, params: Any = None, **kwargs: Any) -> dict[str, str | list[str]]:
        if params is not None and not isinstance(params, Mapping):
            raise URLParamsError("Invalid parameters.")
        return {self._name(key): self._value(value) for key, value in {**(params or {}), **kwargs}.items()}

    @property
    def params(self) -> str:
        """The encoded text, blanks as `+`."""
        return str(self)

    def __str__(self) -> str:
        try:
            return urlencode(self._data, doseq=True)
        except UnicodeEncodeError as error:
            raise URLParamsError(f"Invalid parameters: not valid Unicode: {error.reason}.") from None

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.items()!r}>"

    def __getitem__(self, key: str) -> str | list[str]:
        return self._data[key]

    def __setitem__(self, key: str, value: ParamValueTypes) -> None:
        self._data[self._name(key)] = self._value(value)

    def __delitem__(self, key: str) -> None:
        del self._data[key]

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def keys(self) -> dict_keys[str, str | list[str]]:
        """The names."""
        return self._data.keys()

    def values(self) -> dict_values[str, str | list[str]]:
        """The values as text, or lists of it."""
        return self._data.values()

    def items(self) -> dict_items[str, str | list[str]]:
        """Names with values as text, or lists of it."""
        return self._data.items()

    def update(self, params: URLParamTypes = None, **kwargs: ParamValueTypes) -> None:  # type: ignore[override]
        """Take over parameters; the same name is replaced."""
        self._data.update(self._prepare(params, **kwargs))

    def copy(self) -> URLParams:
        """An independent copy."""
        return type(self)(self)

    def __hash__(self) -> int:
        return hash(str(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, URLParams):
            if not isinstance(other, Mapping):
                return False
            try:
                other = URLParams(other)
            except URLParamsError:
                return False
        return str(self) == str(other)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text.split("%", 1)[0])
    except ValueError:
        return False
    return True


def _is_ip(text: str) -> bool:
    if ":" not in text and not text[-1:].isdigit():
        return False  # a name, nearly always
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _repair_ipv6(text: str) -> str:
    """Put brackets around an IPv6 address that was written without them."""
    if text.count(":") < 3:
        return text
    head, mark, rest = text.partition("://")
    if not mark:
        return text
    end = min((rest.find(char) for char in "/?#" if char in rest), default=len(rest))
    authority, tail = rest[:end], rest[end:]
    userinfo, at, host = authority.rpartition("@")
    if host.count(":") < 2 or "[" in host or "]" in host:
        return text
    address, _, port = host.rpartition(":")
    if port.isdigit() and _is_ipv6(address):
        host = f"[{address}]:{port}"
    elif _is_ipv6(host):
        host = f"[{host}]"
    return f"{head}://{userinfo}{at}{host}{tail}"


def _check_brackets(text: str, url: str) -> None:
    """Raise URLError for an authority whose brackets are none of an IPv6 address. url: what the message shows."""
    if "[" not in text and "]" not in text:
        return
    _, mark, rest = text.partition("://")
    authority = re.split(r"[/?#]", rest if mark else "", maxsplit=1)[0].rpartition("@")[2]
    opening, closing = authority.count("["), authority.count("]")
    if opening == closing == 0:
        return
    if opening != 1 or closing != 1:
        raise URLError(f"Invalid URL: {url}. Malformed bracketed host")
    start, end = authority.index("["), authority.index("]")
    if start > end:
        raise URLError(f"Invalid URL: {url}. Invalid bracket order")
    inner = authority[start + 1 : end]
    if start != 0 or not _is_ipv6(inner):
        raise URLError(f"Invalid URL: {url}. Invalid IPv6 in brackets: {inner}")
    if authority[end + 1 : end + 2] not in ("", ":"):
        raise URLError(f"Invalid URL: {url}. Malformed bracketed host")


def _printable(text: str) -> str:
    """The text with escapes for lone surrogates: a message with one could not be printed or logged."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _encode_host(host: str) -> str:
    host = host.lower()
    if not host or _is_ip(host) or ":" in host:
        return host
    if (
        host.isascii()
        and _ASCII_HOST.match(host)
        and ".." not in host
        and len(host) <= 253
        and not any(label.startswith("-") or label.endswith("-") or len(label) > 63 for label in host.split("."))
    ):
        return host
    import idna

    try:
        return idna.encode(host).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise URLError(f"Invalid IDNA hostname: {_printable(host)}") from None


class URL:
    """A URL in its parts.

    url: str, bytes or URL; without a scheme `http://` is put in front. params: see URLParams.
    Raises URLError for what is no URL.

    >>> URL("https://example.com:8443/path", params={"q": 1}).url
    'https://example.com:8443/path?q=1'
    """

    __attrs__: ClassVar[tuple[str, ...]] = (
        "auth",
        "scheme",
        "host",
        "port",
        "path",
        "fragment",
        "username",
        "password",
    )

    auth: tuple[str | None, str | None]
    scheme: str
    host: str
    port: str
    path: str
    fragment: str
    username: str
    password: str

    def __init__(self, url: URLTypes, params: URLParamTypes = None, **kwargs: object) -> None:
        self._parse(url)
        self._params = URLParams(params)

    # Somebody has been there: a host of a redirect's that browsers take, IDNA's rules or not ("-a.example", "a!b.example").
    _visited = False

    @classmethod
    def _of_visit(cls, text: str) -> URL:
        """The URL that a request went to. Raises URLError."""
        self = cls.__new__(cls)
        self._parse(text, visited=True)
        self._params = URLParams(None)
        return self

    def _parse(self, url: Any, visited: bool = False) -> None:
        parsed = self._prepare(url)
        self._visited = visited or (isinstance(url, URL) and url._visited)
        host = parsed.hostname or ""
        host = host if self._visited else _encode_host(host)
        try:
            port = parsed.port
        except ValueError as error:
            raise URLError(f"{error}. port range must be 0 - 65535.") from None
        self._parsed = parsed
        self._query = parsed.query
        self.auth = (parsed.username, parsed.password)
        self.scheme = parsed.scheme
        self.host = host
        self.port = str(port) if port else ""
        self.path = parsed.path
        self.fragment = parsed.fragment
        self.username = parsed.username or ""
        self.password = parsed.password or ""

    def _prepare(self, url: Any) -> ParseResult:
        if isinstance(url, bytes):
            try:
                url = url.decode("utf-8")
            except UnicodeDecodeError:
                raise URLError(f"Invalid URL: {url!r}") from None
        elif isinstance(url, URL):
            url = str(url)
        if not isinstance(url, str):
            raise URLError(f"Invalid URL: {url}")
        if not url.isascii():
            try:
                url.encode("utf-8")
            except UnicodeEncodeError:  # half of a character
                raise URLError(f"Invalid URL: {url!r}") from None
        text = url.lstrip()
        if "://" not in text and not text.startswith(("/", "./", "?", "#")):
            text = f"http://{text}"
        text = _repair_ipv6(text)
        _check_brackets(text, url)
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise URLError(f"Invalid URL: {url}. {error}") from None
        # A path's ";parameters" stay part of the path.
        return ParseResult(parts.scheme.lower(), parts.netloc, parts.path, "", parts.query, parts.fragment)

    # ---------------------------------------------------------------------------------------------------------- parts

    @property
    def netloc(self) -> str:
        """Host and port, without credentials; an IPv6 address in brackets."""
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return f"{host}:{self.port}" if self.port else host

    @property
    def params(self) -> URLParams:
        """Parameters beside the query of the text. Setting raises URLParamsError."""
        return self._params

    @params.setter
    def params(self, value: URLParamTypes) -> None:
        self._params = URLParams(value)

    @property
    def query(self) -> str:
        """The parameters' text, the URL's own query, or both: then the own one is percent-quoted (the original's rule;
        what is sent and shown by `url` joins them plainly)."""
        own, params = self._query, str(self._params)
        if own and params:
            return f"{quote(own)}&{params}"
        return params or own

    @property
    def parsed(self) -> ParseResult:
        """What the text was parsed to; later changes of the attributes are not in it."""
        return self._parsed

    @property
    def url(self) -> str:
        """The whole text, credentials included."""
        return self._build()

    @url.setter
    def url(self, value: URLTypes) -> None:
        self._parse(value)

    def _full_query(self) -> str:
        return "&".join(part for part in (self._query, str(self._params)) if part)

    def _authority(self, secure: bool = False) -> str:
        if not self.username and not self.password:
            return self.netloc
        password = "[secure]" if secure else self.password
        return f"{self.username}:{password}@{self.netloc}"

    def _build(self, secure: bool = False) -> str:
        query, fragment = self._full_query(), self.fragment
        return "".join(
            (
                f"{self.scheme}://" if self.scheme else "",
                self._authority(secure),
                self.path or "",
                f"?{query}" if query else "",
                f"#{fragment}" if fragment else "",
            )
        )

    def __str__(self) -> str:
        return self._build()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {unquote(self._build(secure=True))}>"


def _without_userinfo(text: str) -> str:
    """The text for an error message: what stands before an `@` may be a password."""
    scheme, mark, rest = text.rpartition("://") if "://" in text else ("", "", text)
    before, at, host = rest.rpartition("@")
    return f"{scheme}{mark}[secure]@{host}" if at and before else text


# What of a Proxy the engine's way is made of.
_ADDRESS = frozenset(
    {"scheme", "host", "port", "username", "password", "auth", "url", "via", "forward", "connect_headers"}
)


class Proxy(URL):
    """A proxy's address with what a rotator knows about it.

    url: `scheme://user:password@host:port`; http without a scheme. Schemes: http, https (TLS to the proxy), socks5 and socks4 (names are
    looked up here), socks5h and socks4a (the proxy looks names up). weight: chance in a weighted rotation. region, latency (seconds),
    success_rate, meta: for the caller's and the rotator's use.
    via: the proxy, or list of proxies in the order of travel, through which this one is reached.
    forward: plain http:// URLs go through a tunnel, and in absolute form where an HTTP proxy refuses one (None, the default); never in
    absolute form (False); always (True, as browsers do).
    connect_headers: headers of CONNECT, in order: a mapping of names to a value, a list, or None (the browser's is left out).
    Raises ProxyError for what is no proxy address.
    """

    ALLOWED_SCHEMES: ClassVar[tuple[str, ...]] = ("http", "https", "socks5", "socks5h")
    # Beyond those of the original, which its messages name.
    _MORE_SCHEMES: ClassVar[tuple[str, ...]] = ("socks4", "socks4a")
    # What the engine makes of the address, kept until the address changes.
    _routes: Any = None

    def __init__(
        self,
        url: URLTypes,
        params: URLParamTypes = None,
        *,
        weight: float | None = 1.0,
        region: str | None = None,
        latency: float | None = None,
        success_rate: float | None = None,
        meta: dict[str, Any] | None = None,
        via: URLTypes | Sequence[URLTypes] | None = None,
        forward: bool | None = None,
        connect_headers: HeaderTypes = None,
        **kwargs: object,
    ) -> None:
        given = url if isinstance(url, Proxy) else None
        if forward not in (None, True, False):
            raise ProxyError("forward must be True, False or None.")
        self.forward = forward
        self.connect_headers = connect_headers
        self.via: tuple[Proxy, ...] = self._to_chain(via)
        super().__init__(url)
        self._weight = self._to_weight(weight or 1.0)
        self.region = region
        self.latency = latency
        self.success_rate = success_rate
        self.meta: dict[str, Any] = dict(meta or {})
        self.failures = 0
        self.last_used: float | None = None
        if given is not None:
            self._weight = given._weight if weight in (None, 1.0) else self._weight
            self.region = region if region is not None else given.region
            self.latency = latency if latency is not None else given.latency
            self.success_rate = success_rate if success_rate is not None else given.success_rate
            self.meta = dict(given.meta) if meta is None else self.meta
            self.failures, self.last_used = given.failures, given.last_used
            self.via = self.via or given.via
            self.forward = given.forward if forward is None else forward
            self.connect_headers = given.connect_headers if connect_headers is None else connect_headers

    @staticmethod
    def _to_chain(via: Any) -> tuple[Proxy, ...]:
        if via is None:
            return ()
        chain: list[Proxy] = []
        for hop in via if isinstance(via, (list, tuple)) else (via,):
            proxy = hop if isinstance(hop, Proxy) else Proxy(hop)
            chain += proxy.chain
        return tuple(chain)

    @property
    def chain(self) -> tuple[Proxy, ...]:
        """The proxies on the way, in the order of travel; this one is the last."""
        return (*self.via, self)

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if name in _ADDRESS:
            self.__dict__.pop("_routes", None)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_routes"}

    def _engine(self) -> Any:
        """The way for the engine. Raises ProxyError."""
        from .._core import ProxyRoutes
        from .proxies import way_of

        way = way_of(self)
        routes = ProxyRoutes(way, way)
        if not self.via and not self.connect_headers:
            self.__dict__["_routes"] = routes
        return routes

    def _parse(self, url: Any, visited: bool = False) -> None:
        shown = url.decode("utf-8", "replace") if isinstance(url, bytes) else url
        text = str(shown).strip() if isinstance(shown, (str, URL)) else ""
        shown = _without_userinfo(text) or shown
        if isinstance(shown, str):
            shown = _printable(shown)
        if not text:
            raise ProxyError(f"Invalid proxy: {shown}")
        if "://" not in text:
            text = f"http://{text}"
        try:
            super()._parse(text)
        except URLError:
            raise ProxyError(f"Invalid proxy: {shown}") from None
        if self.scheme not in self.ALLOWED_SCHEMES and self.scheme not in self._MORE_SCHEMES:
            raise ProxyError(f"Invalid proxy scheme `{self.scheme}`. The allowed schemes are {self.ALLOWED_SCHEMES}.")
        if not self.host:
            raise ProxyError(f"Invalid proxy: {shown}")
        self.path = self.fragment = self._query = ""
        self._params = URLParams()

    @staticmethod
    def _to_weight(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            raise ProxyError("Weight must be an integer or float.") from None

    @property
    def weight(self) -> float:
        """The chance in a weighted rotation, a float; 1.0 for 0. Setting what is no number raises ProxyError."""
        return self._weight or 1.0

    @weight.setter
    def weight(self, value: float | str) -> None:
        self._weight = self._to_weight(value)

    def mark_used(self) -> None:
        """Note the time of use (seconds since 1970)."""
        self.last_used = time.time()

    def mark_failed(self) -> None:
        """One more failure: the weight falls by 15 %, to 0.1 at least."""
        self.failures += 1
        self.weight = max(0.1, self.weight * 0.85)

    def mark_success(self, latency: float | None = None) -> None:
        """A success: the weight rises by 5 %, to 10 at most. latency: seconds."""
        if latency:
            self.latency = latency
        self.failures = max(0, self.failures - 1)
        self.success_rate = (self.success_rate or 1.0) * 0.95 + 0.05
        self.weight = min(10.0, self.weight * 1.05)

    def to_dict(self) -> dict[str, Any]:
        """The address (with its password) and the figures, as `from_dict` takes them."""
        return {
            "url": self.url,
            "weight": self.weight,
            "region": self.region,
            "latency": self.latency,
            "success_rate": self.success_rate,
            "last_used": self.last_used,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Proxy:
        """Make a proxy of a mapping with `url` and keywords of the constructor. Raises ProxyError without `url`."""
        if "url" not in data:
            raise ProxyError("Missing required key: 'url'. The proxy configuration dictionary must include a 'url'.")
        return cls(data["url"], **{key: value for key, value in data.items() if key not in ("url", "params")})

    @classmethod
    def from_string(cls, raw: str, separator: str = "|") -> Proxy:
        """Make a proxy of `url`, `url|weight` or `url|weight|region`. Raises ProxyError when blank."""
        parts = [part.strip() for part in raw.split(separator)]
        if not parts or not parts[0]:
            raise ProxyError("Empty proxy string.")
        try:
            weight = float(parts[1]) if len(parts) > 1 else 1.0
        except ValueError:
            weight = 1.0
        region = parts[2] if len(parts) > 2 and parts[2] else None
        return cls(parts[0], weight=weight, region=region)

    def __repr__(self) -> str:
        userinfo = "[secure]@" if self.username or self.password else ""
        return f"<{type(self).__name__}: {self.scheme}://{userinfo}{self.netloc}, weight={self.weight}>"
