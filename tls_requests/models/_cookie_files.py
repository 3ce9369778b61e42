"""Files of cookies: cookies.txt (Netscape), JSON, Playwright's storage state. Behind `Cookies.save` and `Cookies.load`.

Formats as their programs read and write them: https://curl.se/docs/http-cookies.html, the `http.cookiejar` module,
https://playwright.dev/docs/api/class-browsercontext#browser-context-storage-state, the cookies API of browser extensions.
"""

from __future__ import annotations

import errno
import json
import math
import os
import time
import warnings
from typing import Any

from .. import _core
from ..exceptions import CookieError, CookieFileError, HeaderError, HTTPError, URLError
from .cookies import _EXPIRED, _HOST_ONLY, _HTTP_ONLY, _SAME_SITE, _SAME_SITE_FLAGS, _SECURE, RequestsCookieJar, _Record
from .urls import _encode_host, _is_ip

FORMATS = ("netscape", "json", "playwright")
_OWN = "tls_requests.cookies"
_VERSION = 1
# The store holds 3,300 cookies of 4 KiB and a path of 1 KiB; JSON may write a character as six.
_MAX_FILE = 128 * 1024 * 1024
# The largest second that every reader of JSON has as an exact number.
_MAX_SECONDS = 2**53
_HTTP_ONLY_LINE = "#HttpOnly_"
_HEAD = """# Netscape HTTP Cookie File
# https://curl.se/docs/http-cookies.html
# Written by tls_requests. Whoever has this file has your sessions.

"""


def _check_format(format: str | None) -> None:
    if format is not None and format not in FORMATS:
        raise ValueError(f"format must be one of {', '.join(map(repr, FORMATS))} or None, not {format!r}")


# ------------------------------------------------------------------------------------------------------------------ save


def save(jar: RequestsCookieJar, path: Any, format: str | None, session: bool) -> int:
    _check_format(format)
    name = os.fsdecode(path)
    if format is None:
        format = "json" if name.lower().endswith(".json") else "netscape"
    records: list[_Record] = [record for record in jar._store.items() if session or record[4]]
    if format == "netscape":
        records = _without_tabs(records)
        text = _to_netscape(records, name)
    elif format == "json":
        text = _to_json({"format": _OWN, "version": _VERSION, "cookies": [_own_object(record) for record in records]})
    else:
        cookies = [_playwright_object(record, name) for record in records]
        text = _to_json({"cookies": cookies, "origins": _origins(name)})
    _write(name, text.encode("utf-8"))
    return len(records)


def _without_tabs(records: list[_Record]) -> list[_Record]:
    """Tabs are allowed in cookies and separate the fields of the file. A server can set such a cookie: it must not be
    able to keep all others from being saved."""
    kept = [record for record in records if not any("\t" in text for text in record[:4])]
    if len(kept) < len(records):
        left = ", ".join(repr(record[0][:64]) for record in records if record not in kept)
        warnings.warn(f"not saved, as the netscape format has no tabs inside fields: {left}", stacklevel=4)
    return kept


def _domain_of(record: _Record, path: str, format: str) -> str:
    if not record[2]:
        raise CookieFileError(
            f"The cookie {record[0][:64]!r} has no domain, and the {format} format needs one: "
            "set it with domain=..., or save as json.",
            path,
        )
    return record[2] if record[5] & _HOST_ONLY else f".{record[2]}"


def _to_netscape(records: list[_Record], path: str) -> str:
    lines = [_HEAD]
    for record in records:
        name, value, _, cookie_path, expires, flags = record
        domain = _domain_of(record, path, "netscape")
        fields = (
            (_HTTP_ONLY_LINE if flags & _HTTP_ONLY else "") + domain,
            "FALSE" if flags & _HOST_ONLY else "TRUE",
            cookie_path,
            "TRUE" if flags & _SECURE else "FALSE",
            str(expires),
            name,
            value,
        )
        lines.append("\t".join(fields) + "\n")
    return "".join(lines)


def _same_site(flags: int) -> str | None:
    return next((text for flag, text in _SAME_SITE.items() if flags & flag), None)


def _own_object(record: _Record) -> dict[str, Any]:
    name, value, domain, path, expires, flags = record
    return {
        "name": name,
        "value": value,
        "domain": domain,
        "host_only": bool(flags & _HOST_ONLY),
        "path": path,
        "expires": expires or None,
        "secure": bool(flags & _SECURE),
        "http_only": bool(flags & _HTTP_ONLY),
        "same_site": _same_site(flags),
    }


def _playwright_object(record: _Record, file: str) -> dict[str, Any]:
    name, value, _, path, expires, flags = record
    return {
        "name": name,
        "value": value,
        "domain": _domain_of(record, file, "playwright"),
        "path": path,
        "expires": expires or -1,
        "httpOnly": bool(flags & _HTTP_ONLY),
        "secure": bool(flags & _SECURE),
        "sameSite": _same_site(flags) or "Lax",  # it must be one of three; browsers treat none as Lax
    }


def _origins(path: str) -> list[Any]:
    """What else a storage state holds, when one is written again: the local storage of origins."""
    try:
        state = json.loads(_read(path))
    except (OSError, ValueError, RecursionError, CookieFileError):
        return []
    origins = state.get("origins") if isinstance(state, dict) else None
    return origins if isinstance(origins, list) else []


def _to_json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def _write(path: str, data: bytes) -> None:
    """A new file takes the old one's place when all of it is on the disk. Links are followed."""
    import tempfile

    target = os.path.realpath(path)
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, "not a regular file", path)
    descriptor, temporary = tempfile.mkstemp(prefix=".cookies-", dir=os.path.dirname(target))  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


# ------------------------------------------------------------------------------------------------------------------ load


class _WrongError(Exception):
    """What is wrong with a cookie; the caller knows where it stands."""


def load(jar: RequestsCookieJar, path: Any, format: str | None, session: bool) -> int:
    _check_format(format)
    name = os.fsdecode(path)
    data = _read(name)
    if format is None:
        format = "json" if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[") else "netscape"
    loaded = _core.CookieJar()
    now = time.time()
    for line, index, read, item in _netscape_items(data) if format == "netscape" else _json_items(data, name):
        try:
            record = read(item)
            if not record[4] and not session:
                continue
            if not record[4] or record[4] > now:
                loaded.set(*record)
            elif len(record[0]) + len(record[1]) > 0:
                loaded.remove(record[0], record[2], record[3], bool(record[5] & _HOST_ONLY))
        except (_WrongError, HeaderError, CookieError, HTTPError, ValueError) as error:
            where = f"line {line}" if line is not None else f"cookie {index}"
            raise CookieFileError(f"{name}, {where}: {error}", name, line, index) from None
    jar._store.update(loaded)
    return len(loaded)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read(_MAX_FILE + 1)
    if len(data) > _MAX_FILE:
        raise CookieFileError(f"{path} is larger than {_MAX_FILE >> 20} MiB.", path)
    return data


def _record(name: str, value: str, domain: str, path: str, expires: int, flags: int) -> _Record:
    """A cookie for the store: the domain encoded, and as wide as one may be."""
    given = domain
    try:
        domain = _encode_host(domain[1:] if domain.startswith(".") else domain)
    except URLError:
        domain = ""
    if given and not domain:
        raise _WrongError(f"{given[:64]!r} is no domain")
    if domain and not flags & _HOST_ONLY and (_is_ip(domain) or _core.CookieJar.is_public_suffix(domain)):
        flags |= _HOST_ONLY  # RFC 6265bis 5.7: of that host alone
    return name, value, domain, path if path.startswith("/") else "/", expires, flags


def _seconds(number: float) -> int:
    """An expiry date; 0 and -1 stand for the session everywhere."""
    if not math.isfinite(number):
        raise _WrongError("the expiry date is no number")
    if number in (0, -1):
        return 0
    return min(int(number), _MAX_SECONDS) or _EXPIRED


def _netscape_items(data: bytes) -> Any:
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if data else [], 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            line = raw.decode("latin-1")
        line = line.rstrip("\r")
        if line.strip() and (line.startswith(_HTTP_ONLY_LINE) or not line.lstrip().startswith(("#", "$"))):
            yield number, None, _from_line, line


def _truth(text: str, what: str) -> bool:
    if text.upper() not in ("TRUE", "FALSE"):
        raise _WrongError(f"{what} is TRUE or FALSE, not {text[:16]!r}")
    return text.upper() == "TRUE"


def _from_line(line: str) -> _Record:
    flags = 0
    if line.startswith(_HTTP_ONLY_LINE):
        flags |= _HTTP_ONLY
        line = line[len(_HTTP_ONLY_LINE) :]
    fields = line.split("\t", 6)
    if len(fields) < 6:
        raise _WrongError(f"a cookie has seven fields with tabs between them, not {len(fields)}")
    domain, below, path, secure, expires, name = fields[:6]
    if not domain:
        raise _WrongError("the domain is empty")
    if not _truth(below, "the second field"):
        flags |= _HOST_ONLY
    if _truth(secure, "the fourth field"):
        flags |= _SECURE
    try:
        seconds = _seconds(float(expires)) if expires.strip() else 0
    except ValueError:
        raise _WrongError("the expiry date is no number") from None
    return _record(name, fields[6] if len(fields) > 6 else "", domain, path, seconds, flags)


def _json_items(data: bytes, path: str) -> Any:
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except RecursionError:
        raise CookieFileError(f"{path}: nested too deeply", path) from None
    except UnicodeDecodeError:
        raise CookieFileError(f"{path}: no UTF-8", path) from None
    except ValueError as error:
        raise CookieFileError(f"{path}: no JSON: {error}", path, getattr(error, "lineno", None)) from None
    cookies = document
    if isinstance(document, dict):
        cookies = document.get("cookies")
        version = document.get("version")
        if document.get("format") == _OWN and version != _VERSION:
            raise CookieFileError(f"{path}: version {version!r} of the format cannot be read", path)
    if not isinstance(cookies, list):
        raise CookieFileError(f"{path}: neither a list of cookies nor an object that has one as `cookies`", path)
    for index, item in enumerate(cookies):
        yield None, index, _from_object, item


_ABSENT = object()


def _value_of(item: dict[str, Any], default: Any, kinds: tuple[type, ...], *names: str) -> Any:
    """The first of the names that the object has; null counts as none."""
    for name in names:
        value = item.get(name)
        if value is None:
            continue
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise _WrongError(f"`{name}` must not be {type(value).__name__}")
        return value
    if default is _ABSENT:
        raise _WrongError(f"`{names[0]}` is missing")
    return default


def _from_object(item: Any) -> _Record:
    if not isinstance(item, dict):
        raise _WrongError(f"a cookie is an object, not {type(item).__name__}")
    domain: str = _value_of(item, _ABSENT, (str,), "domain")
    if not domain and "host_only" not in item:
        raise _WrongError("`domain` is empty")  # in the own format: for every host
    flags = _HOST_ONLY if domain and not domain.startswith(".") else 0
    host_only = _value_of(item, None, (bool,), "host_only", "hostOnly")
    if host_only is not None:
        flags = _HOST_ONLY if host_only and domain else 0
    if _value_of(item, False, (bool,), "secure"):
        flags |= _SECURE
    if _value_of(item, False, (bool,), "http_only", "httpOnly"):
        flags |= _HTTP_ONLY
    same_site = _value_of(item, "", (str,), "same_site", "sameSite").lower()
    same_site = "none" if same_site == "no_restriction" else same_site
    if same_site not in ("", "unspecified", *_SAME_SITE_FLAGS):
        raise _WrongError("`sameSite` is none of Strict, Lax, None")
    flags |= _SAME_SITE_FLAGS.get(same_site, 0)
    expires = _value_of(item, -1, (int, float), "expires", "expirationDate", "expiry")
    if _value_of(item, False, (bool,), "session"):
        expires = -1
    return _record(
        _value_of(item, _ABSENT, (str,), "name"),
        _value_of(item, _ABSENT, (str,), "value"),
        domain,
        _value_of(item, "/", (str,), "path"),
        _seconds(expires),
        flags,
    )
