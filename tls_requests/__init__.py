"""HTTP for Python, blocking and asynchronous, over connections that look like a chosen browser's.

>>> import tls_requests
>>> tls_requests.get("https://example.com/").status_code  # doctest: +SKIP
200

What is not needed for a plain request (models, settings, types, utils) is imported when first looked at.
"""

from __future__ import annotations

# `X as X`: public, though not in `__all__`; type checkers want it said. isort would give each an import of its own.
# isort: off
from . import _core, api as api, client as client, exceptions as exceptions
from .__version__ import __author__, __description__, __license__ as __license__, __title__, __version__
from ._base import REMOVED, new_session_id
from .api import delete, get, head, options, patch, post, put, request
from .client import AsyncClient, BaseClient as BaseClient, Client
from .exceptions import (
    AuthenticationError as AuthenticationError,
    Base64DecodeError as Base64DecodeError,
    CookieConflictError as CookieConflictError,
    CookieError as CookieError,
    HeaderError as HeaderError,
    HTTPError as HTTPError,
    ProtocolError as ProtocolError,
    ProxyError as ProxyError,
    RemoteProtocolError as RemoteProtocolError,
    RotatorError as RotatorError,
    StreamClosed as StreamClosed,
    StreamConsumed as StreamConsumed,
    StreamError as StreamError,
    TLSError as TLSError,
    TooManyRedirects as TooManyRedirects,
    URLError as URLError,
    URLParamsError as URLParamsError,
)
from .models.response import Response

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import models as models, settings as settings, types as types, utils as utils
    from ._connection import Limits as Limits, Timeout as Timeout
    from ._events import AsyncEvents as AsyncEvents, Event as Event, Events as Events
    from ._retry import Attempt as Attempt, Retry as Retry
    from ._timing import ClientStats as ClientStats, Timing as Timing
    from ._websocket import AsyncWebSocket as AsyncWebSocket, WebSocket as WebSocket
    from ._fingerprint.catalogue import ProfileInfo as ProfileInfo
    from ._fingerprint.profile import Profile as Profile, profiles as profiles
    from ._fingerprint.report import Difference as Difference
    from .models import (
        URL,
        Auth as Auth,
        BaseRotator as BaseRotator,
        BasicAuth as BasicAuth,
        Cookies,
        CustomTLSClientConfig,
        HeaderRotator as HeaderRotator,
        Headers,
        JsonEncoder as JsonEncoder,
        MultipartEncoder as MultipartEncoder,
        Proxy,
        ProxyRotator as ProxyRotator,
        Request,
        StatusCodes,
        StreamEncoder as StreamEncoder,
        TLSClient,
        TLSConfig,
        TLSIdentifierRotator as TLSIdentifierRotator,
        TLSLibrary,
        TLSResponse,
        UrlencodedEncoder as UrlencodedEncoder,
        URLParams,
    )

# isort: on
__all__ = [
    "AsyncClient",
    "Client",
    "Cookies",
    "CustomTLSClientConfig",
    "Headers",
    "Proxy",
    "Request",
    "Response",
    "StatusCodes",
    "TLSClient",
    "TLSConfig",
    "TLSLibrary",
    "TLSResponse",
    "URL",
    "URLParams",
    "__author__",
    "__description__",
    "__title__",
    "__version__",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "put",
    "request",
]


def _encode_json(value: Any) -> bytes:
    from .models.encoders import encode_json

    _core._register({"encode_json": encode_json}, _CLASSES)
    return encode_json(value)


def _normalize_url(url: Any, params: Any, client_params: Any, plain: bool = False) -> str:
    """The text of a URL with its parameters. plain: the text is one that URL would leave alone."""
    from .models.urls import URL, URLParams

    if params is None and client_params is None:
        return str(URL(url))
    merged = URLParams(client_params)
    if params is not None:
        merged.update(params)
    if not plain:
        return str(URL(url, params=merged))
    query = str(merged)
    if not query:
        return str(URL(url))
    base, hash_, fragment = url.partition("#")
    return f"{base}{'&' if '?' in base else '?'}{query}{hash_}{fragment}"


def _encode_data(data: Any) -> tuple[bytes, str | None] | None:
    """Bytes of a body given as `data`, and the content type that it asks for; None for one that is sent in pieces."""
    from ._upload import source_of
    from .models.encoders import UrlencodedEncoder

    if source_of(data) is not None:
        return None

    encoder = UrlencodedEncoder(data)
    content_type = encoder.headers.get(b"Content-Type")
    return b"".join(encoder.render()), content_type.decode("ascii") if content_type else None


def _basic_auth(pair: tuple[Any, Any]) -> str:
    """The Authorization value of a user name and a password."""
    from .models.auth import BasicAuth

    return BasicAuth(*pair)._header()


def _convert_attribute(name: str, value: Any) -> Any:
    """Lists become rotators; a client_identifier that is no known name may be the path of a profile."""
    if name == "timeout":
        from ._connection import convert_timeout

        return convert_timeout(value)
    if name == "verify":
        from ._connection import convert_verify

        return convert_verify(value)
    if name == "client_identifier" and not isinstance(value, list):
        from ._fingerprint.profile import resolve

        return resolve(value)
    from .models.rotators import ProxyRotator, TLSIdentifierRotator

    if name == "proxy":
        return ProxyRotator(value, strategy="weighted")
    return TLSIdentifierRotator.from_file(value)


def _wake(future: Any) -> None:
    if not future.done():
        future.set_result(None)


def _thread_waker(loop: Any, descriptor: int, drain: Any) -> Any:
    from ._waker import ThreadWaker

    return ThreadWaker(loop, descriptor, drain)


def _check_hints(*told: str | None) -> None:
    from ._options import check_hints

    check_hints(*told)


def _persona_profile(identifier: Any, persona: Any) -> Any:
    """The profile of an identifier under a client's persona; None where it cannot be: the chain says why."""
    from ._fingerprint.profile import resolve, variant

    try:
        return variant(resolve(identifier), None, None, persona)
    except exceptions.ProfileError:
        return None


def _plain_proxy(value: Any) -> Any:
    """The Proxy of each request, or None where it is chosen by request (rotators, mappings, classes of others)."""
    from .models.urls import URL, Proxy

    if type(value) is Proxy:
        return value
    return Proxy(value) if value and isinstance(value, (str, bytes, URL)) and not isinstance(value, Proxy) else None


_CLASSES = (BaseClient, Client, AsyncClient)
_core._register(
    {
        "Response": Response,
        "make_error": exceptions.make_error,
        "normalize_url": _normalize_url,
        "encode_json": _encode_json,
        "encode_data": _encode_data,
        "basic_auth": _basic_auth,
        "session_id": new_session_id,
        "convert_attribute": _convert_attribute,
        "plain_proxy": _plain_proxy,
        "wake": _wake,
        "thread_waker": _thread_waker,
        "removed": REMOVED,
        "check_hints": _check_hints,
        "persona_profile": _persona_profile,
    },
    _CLASSES,
)

# The public classes and functions are those of this module, wherever they are written down.
for _thing in (AsyncClient, Client, Response, delete, get, head, options, patch, post, put, request):
    _thing.__module__ = "tls_requests"
del _thing

_FINGERPRINT = {"Profile": "profile", "ProfileInfo": "catalogue", "profiles": "profile", "Difference": "report"}
_SUBMODULES = frozenset({"models", "settings", "types", "utils"})
_MODELS = frozenset(
    {
        "Auth",
        "BaseRotator",
        "BasicAuth",
        "Cookies",
        "CustomTLSClientConfig",
        "HeaderRotator",
        "Headers",
        "JsonEncoder",
        "MultipartEncoder",
        "Proxy",
        "ProxyRotator",
        "Request",
        "StatusCodes",
        "StreamEncoder",
        "TLSClient",
        "TLSConfig",
        "TLSIdentifierRotator",
        "TLSLibrary",
        "TLSResponse",
        "URL",
        "URLParams",
        "UrlencodedEncoder",
    }
)


# Classes of connection options and of what is known about connections: where each is.
_CONNECTION = {
    "AsyncEvents": "._events",
    "AsyncWebSocket": "._websocket",
    "Attempt": "._retry",
    "ClientStats": "._timing",
    "Event": "._events",
    "Events": "._events",
    "Limits": "._connection",
    "Retry": "._retry",
    "Timeout": "._connection",
    "Timing": "._timing",
    "WebSocket": "._websocket",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _SUBMODULES:
        return importlib.import_module(f".{name}", __name__)
    if name in _FINGERPRINT:
        value = getattr(importlib.import_module("._fingerprint." + _FINGERPRINT[name], __name__), name)
        value.__module__ = __name__
    elif name in _MODELS:
        value = getattr(importlib.import_module(".models", __name__), name)
        if name in __all__:
            value.__module__ = __name__
    elif name in _CONNECTION:
        value = getattr(importlib.import_module(_CONNECTION[name], __name__), name)
        value.__module__ = __name__
    elif name.isupper() and hasattr(importlib.import_module(".settings", __name__), name):
        value = getattr(importlib.import_module(".settings", __name__), name)
    elif not name.startswith("_") and hasattr(importlib.import_module(".types", __name__), name):
        value = getattr(importlib.import_module(".types", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_SUBMODULES, *_MODELS, *_CONNECTION, *_FINGERPRINT})
