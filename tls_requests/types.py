"""Type aliases of the public API. No behaviour."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from http.cookiejar import CookieJar
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Optional, Union

if TYPE_CHECKING:
    from .models.auth import Auth, BasicAuth
    from .models.cookies import Cookies
    from .models.headers import Headers
    from .models.response import Response
    from .models.rotators import HeaderRotator, ProxyRotator, TLSIdentifierRotator
    from .models.urls import URL, Proxy, URLParams

__all__ = [
    "AnyList",
    "AuthTypes",
    "BufferTypes",
    "ByteOrStr",
    "CookieTypes",
    "CookiesTypes",
    "FileContent",
    "HeaderTypes",
    "HookTypes",
    "IdentifierArgTypes",
    "IdentifierLiterals",
    "IdentifierTypes",
    "MethodTypes",
    "Payload",
    "ProtocolTypes",
    "ProxyTypes",
    "RequestData",
    "RequestFileValue",
    "RequestFiles",
    "RequestJson",
    "ResponseHistory",
    "Session",
    "SessionId",
    "TimeoutTypes",
    "URLParamTypes",
    "URLTypes",
    "URL_ALLOWED_PARAMS",
]

AuthTypes = Optional[Union[tuple[Union[str, bytes], Union[str, bytes]], Callable[..., Any], "Auth", "BasicAuth"]]
URLTypes = Union["URL", str, bytes]
ProxyTypes = Optional[Union[str, bytes, "Proxy", "URL", "ProxyRotator", list[Any]]]
URL_ALLOWED_PARAMS = Union[str, bytes, int, float, bool]
URLParamTypes = Optional[
    Union[
        "URLParams",
        Mapping[
            Union[str, bytes],
            Union[
                URL_ALLOWED_PARAMS,
                list[URL_ALLOWED_PARAMS],
                tuple[URL_ALLOWED_PARAMS, ...],
                set[URL_ALLOWED_PARAMS],
            ],
        ],
    ]
]
MethodTypes = Union[Literal["GET", "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE"], str]
ProtocolTypes = Optional[Union[Literal["auto", "http1", "http2"], bool]]
HookTypes = Optional[Mapping[Literal["request", "response"], Sequence[Callable[..., Any]]]]
Session = Optional[Any]
SessionId = Union[str, uuid.UUID]
Payload = Union[dict[str, Any], str, bytes, bytearray]
CookiesTypes = Optional[list[dict[str, str]]]
IdentifierLiterals = Literal[
    "chrome_103", "chrome_104", "chrome_105", "chrome_106", "chrome_107", "chrome_108", "chrome_109", "chrome_110",
    "chrome_111", "chrome_112", "chrome_116_PSK", "chrome_116_PSK_PQ", "chrome_117", "chrome_120", "chrome_124",
    "chrome_130_PSK", "chrome_131", "chrome_131_PSK", "chrome_133", "chrome_133_PSK",
    "firefox_102", "firefox_104", "firefox_105", "firefox_106", "firefox_108", "firefox_110", "firefox_117",
    "firefox_120", "firefox_123", "firefox_132", "firefox_133",
    "safari_15_6_1", "safari_16_0", "safari_ipad_15_6", "safari_ios_15_5", "safari_ios_15_6", "safari_ios_16_0",
    "safari_ios_17_0", "safari_ios_18_0", "safari_ios_18_5",
    "opera_89", "opera_90", "opera_91",
    "okhttp4_android_7", "okhttp4_android_8", "okhttp4_android_9", "okhttp4_android_10", "okhttp4_android_11",
    "okhttp4_android_12", "okhttp4_android_13",
    "confirmed_android", "confirmed_android_2", "confirmed_ios", "mesh_android", "mesh_android_1", "mesh_android_2",
    "mesh_ios", "mesh_ios_1", "mesh_ios_2", "mms_ios", "mms_ios_1", "mms_ios_2", "mms_ios_3", "nike_android_mobile",
    "nike_ios_mobile", "zalando_android_mobile", "zalando_ios_mobile",
]  # fmt: skip
IdentifierTypes = Union[IdentifierLiterals, str]
IdentifierArgTypes = Optional[Union[IdentifierTypes, "TLSIdentifierRotator", list[str]]]
AnyList = list[Union[list[Any], tuple[Any, Any], set[Any]]]
HeaderTypes = Optional[Union["Headers", "HeaderRotator", Mapping[Any, Any], AnyList]]
CookieTypes = Optional[Union["Cookies", CookieJar, Mapping[Any, Any], AnyList]]
TimeoutTypes = Optional[Union[int, float]]
ByteOrStr = Union[bytes, str]
BufferTypes = Union[BinaryIO, BytesIO, BufferedReader]
FileContent = Union[str, bytes, BinaryIO]
RequestFileValue = Union[
    FileContent,
    tuple[Optional[str], FileContent],
    tuple[Optional[str], FileContent, Optional[str]],
]
RequestData = Mapping[str, Any]
RequestJson = Mapping[str, Any]
RequestFiles = Mapping[Union[str, bytes], RequestFileValue]
ResponseHistory = list["Response"]
