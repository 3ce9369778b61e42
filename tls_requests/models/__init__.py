"""The classes of the public API. Each is imported when first looked at: a plain request needs few of them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .auth import Auth, BasicAuth
    from .cookies import Cookies
    from .encoders import JsonEncoder, MultipartEncoder, StreamEncoder, UrlencodedEncoder
    from .headers import Headers
    from .libraries import TLSLibrary
    from .request import Request
    from .response import Response
    from .rotators import BaseRotator, HeaderRotator, ProxyRotator, TLSIdentifierRotator
    from .status_codes import StatusCodes
    from .tls import CustomTLSClientConfig, TLSClient, TLSConfig, TLSResponse
    from .urls import URL, Proxy, URLParams

__all__ = [
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
    "Response",
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
]

_MODULES = {
    "Auth": "auth",
    "BaseRotator": "rotators",
    "BasicAuth": "auth",
    "Cookies": "cookies",
    "CustomTLSClientConfig": "tls",
    "HeaderRotator": "rotators",
    "Headers": "headers",
    "JsonEncoder": "encoders",
    "MultipartEncoder": "encoders",
    "Proxy": "urls",
    "ProxyRotator": "rotators",
    "Request": "request",
    "Response": "response",
    "StatusCodes": "status_codes",
    "StreamEncoder": "encoders",
    "TLSClient": "tls",
    "TLSConfig": "tls",
    "TLSIdentifierRotator": "rotators",
    "TLSLibrary": "libraries",
    "TLSResponse": "tls",
    "URL": "urls",
    "URLParams": "urls",
    "UrlencodedEncoder": "encoders",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _MODULES:
        value = getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
    elif name in _MODULES.values():
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value
