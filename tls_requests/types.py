"""Type aliases of the public API. No behaviour.

They are for the annotations of programs, and are those of this package's own signatures.

>>> from tls_requests.types import HeaderTypes
>>> defaults: HeaderTypes = {"accept-language": "de", "x-number": 7}
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from http.cookiejar import CookieJar
from io import BufferedReader, BytesIO
from os import PathLike
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Literal, Optional, Protocol, TypeVar, Union

if TYPE_CHECKING:
    from ssl import SSLContext

    from ._fingerprint.profile import Profile
    from .models.auth import Auth, BasicAuth
    from .models.cookies import Cookies
    from .models.headers import Headers
    from .models.proxies import ProxyMap
    from .models.request import Request
    from .models.response import Response
    from .models.rotators import HeaderRotator, ProxyRotator, TLSIdentifierRotator
    from .models.urls import URL, Proxy, URLParams

__all__ = [
    "AnyList",
    "AuthTypes",
    "BufferTypes",
    "ByteOrStr",
    "CookieTypes",
    "CookieValueTypes",
    "CookiesTypes",
    "EncodingTypes",
    "FieldValueTypes",
    "FileContent",
    "HeaderSetTypes",
    "HeaderTypes",
    "HookTypes",
    "IdentifierArgTypes",
    "IdentifierLiterals",
    "IdentifierTypes",
    "MessageTypes",
    "MethodTypes",
    "ParamValueTypes",
    "Payload",
    "ProtocolTypes",
    "ProxyEntryTypes",
    "ProxyTypes",
    "RequestContent",
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
    "VerifyTypes",
]

_Key = TypeVar("_Key", covariant=True)
_Value = TypeVar("_Value", covariant=True)


class _Items(Protocol[_Key, _Value]):
    """A mapping. `Mapping` itself would do, but is invariant in its keys: a dict[str, str] is no Mapping[str | bytes, str]."""

    def items(self) -> AbstractSet[tuple[_Key, _Value]]: ...


class _Readable(Protocol):
    """What gives bytes by `read`."""

    def read(self, size: int, /) -> bytes: ...


ByteOrStr = Union[bytes, str]
_Scalar = Union[str, bytes, int, float, bool]
FieldValueTypes = Optional[Union[_Scalar, Sequence[_Scalar], AbstractSet[_Scalar]]]
"""A header's or form field's value, or several; None: without it."""

AuthTypes = Optional[
    Union[tuple[Union[str, bytes], Union[str, bytes]], Callable[["Request"], object], "Auth", "BasicAuth"]
]
"""User and password (Basic), a callable that changes the request (it may be `async def` for AsyncClient), or an Auth."""
URLTypes = Union["URL", str, bytes]
ProxyEntryTypes = Optional[
    Union[str, bytes, "Proxy", "URL", "ProxyRotator", list[str], list["Proxy"], list[Union[str, "Proxy"]]]
]
"""A proxy, or several in a rotator or a list; None: none."""
ProxyTypes = Union[ProxyEntryTypes, "ProxyMap", Mapping[str, ProxyEntryTypes]]
"""One proxy, several in a rotator or a list, or one for each scheme (and `no_proxy`) in a mapping."""
URL_ALLOWED_PARAMS = Union[str, bytes, int, float, bool]
ParamValueTypes = Union[URL_ALLOWED_PARAMS, Sequence[URL_ALLOWED_PARAMS], AbstractSet[URL_ALLOWED_PARAMS]]
"""Query parameters: the value of a name, or several."""
URLParamTypes = Optional[
    Union[
        "URLParams",
        _Items[Union[str, bytes], ParamValueTypes],
    ]
]
"""Query parameters by name; several values of a name as a list, tuple or set."""
MethodTypes = Union[Literal["GET", "OPTIONS", "HEAD", "POST", "PUT", "PATCH", "DELETE"], str]
ProtocolTypes = Optional[Union[Literal["auto", "http1", "http2"], bool]]
_Hook = Callable[..., object]
HookTypes = Optional[Mapping[Literal["request", "response"], Union[Sequence[_Hook], _Hook]]]
"""Callables by event: those of `request` take the Request, those of `response` the Response."""
Session = Optional[Any]
SessionId = Union[str, uuid.UUID]
Payload = Union[dict[str, Any], str, bytes, bytearray]
CookiesTypes = Optional[list[dict[str, str]]]
"""Cookies as a TLSConfig has them: a list of names and values."""
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
IdentifierTypes = Union[IdentifierLiterals, str, PathLike[str], "Profile"]
IdentifierArgTypes = Optional[Union[IdentifierTypes, "TLSIdentifierRotator", list[Any]]]
"""The browser to be (a name, a Profile, the path of one), or several in a rotator or a list."""
AnyList = list[Union[list[Any], tuple[Any, Any], set[Any]]]
_Name = Union[str, bytes]
_Pairs = Union[
    Sequence[tuple[_Name, FieldValueTypes]],
    Sequence[list[str]],
    Sequence[list[bytes]],
    AbstractSet[tuple[_Name, FieldValueTypes]],
]
HeaderTypes = Optional[
    Union[
        "Headers",
        "HeaderRotator",
        _Items[Union[str, bytes], FieldValueTypes],
        _Pairs,
    ]
]
"""Header fields by name, or as pairs in order."""
HeaderSetTypes = Union[HeaderTypes, list[dict[str, str]], list["Headers"]]
"""Headers of a client: header fields, or a list of sets that a rotator gives out."""
CookieValueTypes = Optional[_Scalar]
"""The value of a cookie; None: without it."""
CookieTypes = Optional[
    Union[
        "Cookies",
        CookieJar,
        _Items[Union[str, bytes], CookieValueTypes],
        _Pairs,
    ]
]
"""Cookies by name, as pairs, or a jar."""
EncodingTypes = Optional[Union[str, Callable[["Response"], Optional[str]]]]
"""The encoding of texts whose answer names none: a name, what tells it from the Response, or None: by the look of the bytes."""
TimeoutTypes = Optional[Union[int, float, Mapping[str, Optional[float]], tuple[Optional[float], Optional[float]]]]
"""Seconds for a transfer; a Timeout or a dict with any of pool, connect, tls, write, first_byte, read, total (None: no limit); or seconds
(connect, read)."""
VerifyTypes = Union[bool, str, PathLike[str], "SSLContext"]
"""False: no certificate is checked. A path: the file or directory of the trusted ones."""
BufferTypes = Union[BinaryIO, BytesIO, BufferedReader]
FileContent = Union[str, bytes, bytearray, memoryview, IO[bytes], IO[str]]
RequestFileValue = Union[
    FileContent,
    tuple[Optional[str], FileContent],
    tuple[Optional[str], FileContent, Optional[str]],
]
"""A file to upload: its content, or (file name, content), or (file name, content, content type)."""
_Piece = Union[bytes, bytearray, memoryview]
RequestData = Union[
    _Items[Union[str, bytes], FieldValueTypes],
    _Pairs,
    str,
    bytes,
    bytearray,
    memoryview,
    IO[bytes],
    IO[str],
    _Readable,
    Iterable[_Piece],
    AsyncIterable[_Piece],
]
"""A form (by name, or pairs), or a raw body; files and iterables are sent in pieces."""
RequestContent = Union[
    str, bytes, bytearray, memoryview, IO[bytes], IO[str], _Readable, Iterable[_Piece], AsyncIterable[_Piece]
]
"""A raw body; files and iterables are sent in pieces."""
_Message = Union[str, bytes, bytearray, memoryview]
MessageTypes = Union[_Message, Iterable[_Message], AsyncIterable[_Message]]
"""A message of a WebSocket: text, or bytes; an iterable of either sends one message in fragments."""
RequestJson = object
"""A value of JSON: mappings with text as keys, lists, tuples, text, numbers, booleans, None. Dates, UUIDs, enumerations
and dataclasses are converted. What cannot be encoded raises TypeError."""
RequestFiles = _Items[Union[str, bytes], RequestFileValue]
"""Files to upload by field name."""
ResponseHistory = list["Response"]
