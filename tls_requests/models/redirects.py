"""Redirects as the package sees them: the request that a redirect response asks for. While following, the engine does this itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from ..exceptions import HTTPError, RemoteProtocolError, URLError
from .encoders import StreamEncoder
from .urls import URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from .request import Request
    from .response import Response

__all__ = ["next_request", "redirect_method", "redirect_url", "redirected"]

_BODY_FIELDS = ("content-type", "content-length", "transfer-encoding")
_CREDENTIALS = ("authorization", "proxy-authorization", "cookie")
_PORTS = {"http": "80", "https": "443"}


def redirect_method(method: str, status: int) -> str:
    """The method of the next request (RFC 9110 15.4, and what browsers do)."""
    if status in (302, 303) and method != "HEAD":
        return "GET"
    if status == 301 and method == "POST":
        return "GET"
    return method


def redirect_url(request: Request, location: str, make: Callable[[str], URL] = URL) -> URL:
    """Resolve a Location against the request's URL. make: what parses the result. Raises RemoteProtocolError."""
    base = str(request.url)
    location = location.strip()
    try:
        parts = urlsplit(location)
        if "//" in location[: len(parts.scheme) + 3] and not parts.netloc:
            raise ValueError("no host")  # urljoin would take the request's
        text = urljoin(base, location)
        url = make(text)
    except (HTTPError, ValueError) as error:
        raise RemoteProtocolError(f"Invalid URL in 'Location' header: {error}") from None
    if url.scheme not in _PORTS or not url.host or not url.url:
        raise RemoteProtocolError("Invalid URL in Location headers.")
    if not url.fragment and request.url.fragment:
        url.fragment = request.url.fragment
    return url


def _origin(url: URL) -> tuple[str, str, str]:
    return url.scheme, url.host, url.port or _PORTS.get(url.scheme, "")


def _keeps_credentials(old: URL, new: URL) -> bool:
    before, after = _origin(old), _origin(new)
    upgrade = before == ("http", after[1], "80") and after[0] == "https" and after[2] == "443"
    return before == after or upgrade


def next_request(request: Request, response: Response) -> Request | None:
    """The request that follows a redirect response; None when its Location cannot be used."""
    location = response.headers.get("location")
    if not location:
        return None
    try:
        return redirected(
            request, response, redirect_method(request.method, response.status_code), redirect_url(request, location)
        )
    except (RemoteProtocolError, URLError):
        return None


def redirected(request: Request, response: Response, method: str, url: URL) -> Request:
    """The request by that method for that URL, with what of the earlier one goes along. Raises URLError."""
    from .request import Request

    cookies = response.cookies.cookiejar._store.items(str(url))
    automatic: dict[str, Any] = request._automatic
    fields = [
        (name, values)
        for name, values in request.headers._items
        if request._as_sent or automatic.get(name) != ",".join(values)
    ]
    if method != request.method:
        fields = [field for field in fields if field[0] not in _BODY_FIELDS]
    if not _keeps_credentials(request.url, url):
        fields = [field for field in fields if field[0] not in _CREDENTIALS]
    following = Request(
        method,
        url,
        headers=[(request._spelling.get(name, name), values) for name, values in fields if name != "host"],
        timeout=request.timeout,
        protocol_racing=request.protocol_racing,
        allow_http=request.allow_http,
        stream_id=request.stream_id,
        **request._extra_config,
    )
    following._proxy_map = request._proxy_map
    following._proxy_rotator = request._proxy_rotator
    following.proxy = request.proxy if request._proxy_map is None else request._proxy_map.choose(url)
    following._client = request._client
    if method == request.method and request._has_body:
        body = request.read()
        following._has_body = True
        following._content = body
        following.stream = StreamEncoder.from_bytes(body)
        if "content-type" in automatic and "content-type" not in following.headers:
            following.headers["content-type"] = automatic["content-type"]
            following._automatic["content-type"] = automatic["content-type"]
    for cookie in cookies:
        following.cookies.cookiejar._store.set(*cookie)
    return following
