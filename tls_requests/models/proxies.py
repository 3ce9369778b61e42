"""ProxyMap: a proxy for each scheme, with exceptions; and how what users give as a proxy becomes a way for the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .._core import ProxyRoutes
from ..exceptions import ProxyError
from .urls import Proxy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..types import ProxyEntryTypes, URLTypes

__all__ = ["ProxyMap"]

_KEYS = {
    "http": "http",
    "https": "https",
    "all": "all",
    "no_proxy": "no_proxy",
    "no": "no_proxy",
}
# Headers that frame a message or name its receiver: not for CONNECT's caller to choose.
_FRAMING = frozenset({"content-length", "transfer-encoding", "trailer", "upgrade", "te"})


def connect_pairs(value: Any) -> tuple[tuple[str, str | None], ...]:
    """Headers for CONNECT as pairs in order. A mapping of names to a value, a list of values (repeated), or None (the browser's is left out);
    or pairs. Raises ProxyError."""
    if not value:
        return ()
    items: Iterable[Any] = value.items() if isinstance(value, Mapping) else value
    pairs: list[tuple[str, str | None]] = []
    try:
        for name, values in items:
            name = name.decode("latin-1") if isinstance(name, bytes) else str(name)
            if name.lower() in _FRAMING:
                raise ProxyError(f"The header {name} cannot be set for CONNECT.")
            if values is None or (isinstance(values, (list, tuple)) and not values):
                pairs.append((name, None))
                continue
            for one in values if isinstance(values, (list, tuple)) else (values,):
                pairs.append((name, one.decode("latin-1") if isinstance(one, bytes) else str(one)))
    except (TypeError, ValueError):
        raise ProxyError("connect_headers must be a mapping or pairs of names and values.") from None
    return tuple(pairs)


def way_of(proxy: Proxy | None, connect_headers: Any = None) -> Any:
    """What ProxyRoutes takes for a proxy."""
    if proxy is None:
        return None
    pairs = connect_pairs(proxy.connect_headers)
    if connect_headers:
        given = connect_pairs(connect_headers)
        names = {name.lower() for name, _ in given}
        pairs = (*[pair for pair in pairs if pair[0].lower() not in names], *given)
    forward = {None: 0, False: 1, True: 2}[proxy.forward]
    return tuple(str(hop) for hop in proxy.chain), forward, pairs


class ProxyMap:
    """A proxy for each scheme of URL, and hosts that are asked without one.

    proxies: a mapping with any of `http`, `https`, `all` (also written `http://`...), each str, bytes, URL, Proxy, a rotator, a list (rotated)
    or None (no proxy); and `no_proxy`. `all` stands for what is not named.
    no_proxy: text with commas, or a list: host names (with all below them), `host:port`, addresses, networks (`10.0.0.0/8`), `*`.
    Raises ProxyError for other keys and for what is no proxy.

    >>> ProxyMap({"all": "http://proxy.example:3128", "no_proxy": "localhost,.internal"}).choose("http://localhost/") is None
    True
    """

    def __init__(self, proxies: Mapping[str, ProxyEntryTypes], no_proxy: str | Iterable[str] | None = None) -> None:
        self.http: Any = None
        self.https: Any = None
        self.no_proxy = ""
        given: dict[str, Any] = {}
        for key, value in proxies.items():
            name = _KEYS.get(str(key).lower().rstrip("/").rstrip(":"))
            if name is None:
                raise ProxyError(
                    f"Unknown key of a proxy mapping: {key!r}. The keys are http, https, all and no_proxy."
                )
            given[name] = value
        exceptions = [_text(given.pop("no_proxy", None)), _text(no_proxy)]
        self.no_proxy = ",".join(text for text in exceptions if text)
        fallback = self._entry(given.get("all"))
        self.http = self._entry(given["http"]) if "http" in given else fallback
        self.https = self._entry(given["https"]) if "https" in given else fallback
        self._made: ProxyRoutes | None = None

    @staticmethod
    def _entry(value: Any) -> Any:
        if value is None or value == "" or isinstance(value, Proxy):
            return value or None
        if isinstance(value, list):
            from .rotators import ProxyRotator

            return ProxyRotator(value, strategy="weighted")
        if callable(getattr(value, "next", None)) and not isinstance(value, str):
            return value
        if isinstance(value, (Mapping, tuple)):
            raise ProxyError(f"Unsupported proxy type: {type(value)}")
        return Proxy(value)

    @classmethod
    def from_env(cls) -> ProxyMap | None:
        """What HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say (lower-case names win); None without any.

        HTTP_PROXY is not believed where REQUEST_METHOD is set (a CGI program: any client could set it).
        """
        from urllib.request import getproxies_environment

        found = {name: value for name, value in getproxies_environment().items() if name in _KEYS}
        if not any(name in found for name in ("http", "https", "all")):
            return None
        return cls(found)

    def resolved(self, http: Proxy | None, https: Proxy | None) -> ProxyMap:
        """The same with rotators replaced by what they gave."""
        one = ProxyMap.__new__(ProxyMap)
        one.http, one.https, one.no_proxy, one._made = http, https, self.no_proxy, None
        return one

    def choose(self, url: URLTypes) -> Any:
        """The entry for a URL; None: no proxy. Raises URLError."""
        text = str(url)
        entry = self.https if text[:8].lower() == "https://" else self.http
        return None if entry is None or self._exceptions().is_direct(text) else entry

    def _exceptions(self) -> ProxyRoutes:
        if self._made is None:
            way = (("http://proxy.invalid",), 0, ())
            self._made = ProxyRoutes(way, way, self.no_proxy)
        return self._made

    def _engine(self, connect_headers: Any = None) -> ProxyRoutes:
        http = way_of(self.http, connect_headers)
        https = http if self.https is self.http else way_of(self.https, connect_headers)
        return ProxyRoutes(http, https, self.no_proxy)

    def __repr__(self) -> str:
        return f"<ProxyMap: http={self.http!r}, https={self.https!r}, no_proxy={self.no_proxy!r}>"


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, bytes)):
        text = value.decode("utf-8") if isinstance(value, bytes) else value
    elif isinstance(value, Iterable):
        text = ",".join(str(item) for item in value)
    else:
        raise ProxyError("no_proxy must be text or a list of hosts.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ProxyError(f"no_proxy is not valid Unicode: {error.reason}.") from None
    return text
