"""Cookies: the mapping of the public API, and a cookie jar with the interface of `http.cookiejar`, over the engine's store.

What is sent and stored on the wire is decided by the engine (RFC 6265bis); the classes here show and change that one store.
"""

from __future__ import annotations

import calendar
import copy as _copy
import threading
import time
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from http.cookiejar import Cookie, CookieJar, CookiePolicy
from http.cookies import Morsel
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import urlsplit

from .. import _core
from ..exceptions import CookieConflictError, CookieError, URLError
from .headers import Headers

if TYPE_CHECKING:
    from os import PathLike

    from ..types import CookieTypes, CookieValueTypes
    from .request import Request
    from .response import Response

__all__ = ["Cookies"]

_D = TypeVar("_D")

_SECURE, _HTTP_ONLY, _HOST_ONLY = 1, 2, 4
_SAME_SITE = {8: "Lax", 16: "Strict", 32: "None"}
_SAME_SITE_FLAGS = {"lax": 8, "strict": 16, "none": 32}
# A cookie as the engine's store has it: name, value, domain, path, expires (0: with the session), flags.
_Record = tuple[str, str, str, str, int, int]
_EXPIRED = 1  # any moment of the past that is not 0


class MockRequest:
    """A request as `http.cookiejar` wants to see it."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._new_headers: dict[str, str] = {}
        self.type = urlsplit(self.get_full_url()).scheme

    def get_type(self) -> str:
        return self.type

    def get_host(self) -> str:
        return urlsplit(self.get_full_url()).netloc

    def get_origin_req_host(self) -> str:
        return self.get_host()

    def get_full_url(self) -> str:
        return str(self._request.url)

    def is_unverifiable(self) -> bool:
        return True

    def has_header(self, name: str) -> bool:
        return name in self._request.headers or name in self._new_headers

    def get_header(self, name: str, default: str | None = None) -> str | None:
        value: str | None = self._request.headers.get(name, self._new_headers.get(name, default))
        return value

    def add_header(self, key: str, val: str) -> None:
        raise NotImplementedError("Cookie headers should be added with add_unredirected_header()")

    def add_unredirected_header(self, name: str, value: str) -> None:
        self._new_headers[name] = value

    def get_new_headers(self) -> dict[str, str]:
        return self._new_headers

    @property
    def unverifiable(self) -> bool:
        return self.is_unverifiable()

    @property
    def origin_req_host(self) -> str:
        return self.get_origin_req_host()

    @property
    def host(self) -> str:
        return self.get_host()


class MockResponse:
    """A response as `http.cookiejar` wants to see it."""

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def info(self) -> Any:
        return self._headers

    def getheaders(self, name: str) -> Any:
        return self._headers.get_list(name) if isinstance(self._headers, Headers) else self._headers.getheaders(name)


def create_cookie(name: str, value: str, **kwargs: Any) -> Cookie:
    """Make a cookie; by default for every host, path `/`, until the end of the session.

    Raises CookieError for unknown keywords.
    """
    result: dict[str, Any] = {
        "version": 0,
        "name": name,
        "value": value,
        "port": None,
        "domain": "",
        "path": "/",
        "secure": False,
        "expires": None,
        "discard": True,
        "comment": None,
        "comment_url": None,
        "rest": {"HttpOnly": None},
        "rfc2109": False,
    }
    unknown = sorted(set(kwargs) - set(result))
    if unknown:
        raise CookieError(f"create_cookie() got unexpected keyword arguments: {unknown}")
    result.update(kwargs)
    result["port_specified"] = bool(result["port"])
    result["domain_specified"] = bool(result["domain"])
    result["domain_initial_dot"] = str(result["domain"]).startswith(".")
    result["path_specified"] = bool(result["path"])
    return Cookie(**result)


def morsel_to_cookie(morsel: Morsel[str]) -> Cookie:
    """Turn a Morsel of `http.cookies` into a cookie. Raises CookieError when max-age is no integer."""
    expires: int | None = None
    if morsel["max-age"]:
        try:
            expires = int(time.time() + int(morsel["max-age"]))
        except ValueError:
            raise CookieError(f"max-age: {morsel['max-age']} must be integer") from None
    elif morsel["expires"]:
        expires = calendar.timegm(time.strptime(morsel["expires"], "%a, %d-%b-%Y %H:%M:%S GMT"))
    return create_cookie(
        morsel.key,
        morsel.value,
        comment=morsel["comment"],
        discard=False,
        domain=morsel["domain"],
        expires=expires,
        path=morsel["path"],
        rest={"HttpOnly": morsel["httponly"]},
        secure=bool(morsel["secure"]),
        version=morsel["version"] or 0,
    )


def _from_store(record: _Record) -> Cookie:
    name, value, domain, path, expires, flags = record
    shown = domain if not domain or flags & _HOST_ONLY else f".{domain}"
    rest: dict[str, Any] = {"HttpOnly": None} if flags & _HTTP_ONLY else {}
    for flag, text in _SAME_SITE.items():
        if flags & flag:
            rest["SameSite"] = text
    return Cookie(
        version=0,
        # Without a name: as `http.cookiejar` has it.
        name=name or value,
        value=value if name else None,
        port=None,
        port_specified=False,
        domain=shown,
        domain_specified=bool(domain) and not flags & _HOST_ONLY,
        domain_initial_dot=shown.startswith("."),
        path=path,
        path_specified=True,
        secure=bool(flags & _SECURE),
        expires=expires or None,
        discard=not expires,
        comment=None,
        comment_url=None,
        rest=rest,
        rfc2109=False,
    )


def _to_store(cookie: Cookie) -> _Record:
    """What the store gets for a cookie. Raises CookieError for a domain that cannot be encoded."""
    domain = cookie.domain[1:] if cookie.domain.startswith(".") else cookie.domain
    if not domain.isascii():
        from .urls import _encode_host

        try:
            domain = _encode_host(domain)
        except URLError as error:
            raise CookieError(error.message) from None
    flags = _SECURE if cookie.secure else 0
    rest: dict[str, Any] = cookie.__dict__.get("_rest") or {}
    for name, value in rest.items():
        key = name.lower()
        if key == "httponly":
            flags |= _HTTP_ONLY
        elif key == "samesite":
            flags |= _SAME_SITE_FLAGS.get(str(value).lower(), 0)
    if domain and not cookie.domain_initial_dot and not cookie.domain_specified:
        flags |= _HOST_ONLY
    expires = 0 if cookie.expires is None else int(cookie.expires) or _EXPIRED
    name, text = ("", cookie.name) if cookie.value is None else (cookie.name, cookie.value)
    return name, text, domain.lower(), cookie.path or "/", expires, flags


if TYPE_CHECKING:
    # To a type checker the jar iterates over cookies, which a mapping from names does not.
    class _NameMapping:
        pass
else:
    _NameMapping = MutableMapping


class RequestsCookieJar(CookieJar, _NameMapping):
    """A `http.cookiejar.CookieJar` that is also a mapping from names to values, as that of the requests library."""

    def __init__(self, policy: CookiePolicy | None = None, *, store: _core.CookieJar | None = None) -> None:
        super().__init__(policy)
        self._store = _core.CookieJar() if store is None else store
        self._lock = threading.RLock()  # of _given
        # Cookies as they were set, by identity, for what the store does not keep (version, port, comment, rest). One
        # counts as long as the store says the same as it does.
        self._given: dict[tuple[str, str, str, int], Cookie] = {}

    # ------------------------------------------------------------------------------------------- the store underneath

    @property
    def _cookies(self) -> dict[str, dict[str, dict[str, Cookie]]]:
        nested: dict[str, dict[str, dict[str, Cookie]]] = {}
        for cookie in self:
            nested.setdefault(cookie.domain, {}).setdefault(cookie.path, {})[cookie.name] = cookie
        return nested

    @_cookies.setter
    def _cookies(self, value: Any) -> None:
        # The base class starts with an empty table of its own; the store is the only one here.
        return None

    @staticmethod
    def _key(record: _Record) -> tuple[str, str, str, int]:
        return record[0], record[2], record[3], record[5] & _HOST_ONLY

    def _records(self) -> list[tuple[Cookie, _Record]]:
        """All cookies, each with what the store has of it: by domain and path, in the order in which these first came, as
        `http.cookiejar` has them."""
        groups: dict[str, dict[str, list[tuple[Cookie, _Record]]]] = {}
        with self._lock:
            current = {}
            for record in self._store.items():
                key = self._key(record)
                given = self._given.get(key)
                if given is not None and _to_store(given) == record:
                    cookie = current[key] = given
                else:
                    cookie = _from_store(record)
                groups.setdefault(cookie.domain, {}).setdefault(cookie.path, []).append((cookie, record))
            self._given = current
        return [pair for paths in groups.values() for pairs in paths.values() for pair in pairs]

    def __iter__(self) -> Iterator[Cookie]:
        return iter([cookie for cookie, _ in self._records()])

    def __len__(self) -> int:
        return len(self._store)

    def set_cookie(self, cookie: Cookie, *args: Any, **kwargs: Any) -> None:
        """Store a cookie; the same name, domain and path replace. One that has expired removes.

        Raises HeaderError when it has characters that must not be sent, CookieError for a domain that is none.
        """
        value = cookie.value
        if value is not None and value.startswith('"') and value.endswith('"'):
            cookie.value = value.replace('\\"', "")
        record = _to_store(cookie)
        with self._lock:
            self._store.set(*record)
            self._given[self._key(record)] = cookie
            if len(self._given) > 2 * len(self._store) + 16:  # many were set and removed, and nobody looked
                self._records()

    def _remove(self, record: _Record) -> None:
        self._store.remove(record[0], record[2], record[3], bool(record[5] & _HOST_ONLY))

    def clear(self, domain: str | None = None, path: str | None = None, name: str | None = None) -> None:
        """Drop all cookies, those of a domain, of a domain and path, or one. Raises KeyError for an unknown one.

        domain: as the cookies show it, `.example.com` for those that a server set for a whole domain.
        """
        if name is not None and (domain is None or path is None):
            raise ValueError("domain and path must be given to remove a cookie by name")
        if path is not None and domain is None:
            raise ValueError("domain must be given to remove cookies by path")
        if domain is None:
            self._store.remove()
            self._given = {}
            return
        found = [(cookie, record) for cookie, record in self._records() if cookie.domain == domain]
        for part, wanted in (("path", path), ("name", name)):
            if found and wanted is not None:
                found = [(cookie, record) for cookie, record in found if getattr(cookie, part) == wanted]
                domain = wanted
        if not found:
            raise KeyError(domain)
        for _, record in found:
            self._remove(record)

    def clear_expired_cookies(self) -> None:
        """Expired cookies are never shown nor sent; nothing is left to do."""

    def clear_session_cookies(self) -> None:
        """Drop the cookies without an expiry date."""
        for cookie, record in self._records():
            if cookie.discard:
                self._remove(record)

    # ------------------------------------------------------------------------------------------------------- mapping

    @overload
    def get(
        self, name: str, default: None = None, domain: str | None = None, path: str | None = None
    ) -> str | None: ...
    @overload
    def get(self, name: str, default: _D, domain: str | None = None, path: str | None = None) -> str | _D: ...
    def get(self, name: str, default: object = None, domain: str | None = None, path: str | None = None) -> object:
        """The value of a name, or the default. Raises CookieConflictError when several cookies fit."""
        try:
            return self._find_no_duplicates(name, domain, path)
        except KeyError:
            return default

    def set(self, name: str, value: str | Morsel[Any] | None, **kwargs: Any) -> Cookie | None:
        """Store a value (or a Morsel); None removes. Returns the cookie, or None when it removed."""
        if value is None:
            remove_cookie_by_name(self, name, domain=kwargs.get("domain"), path=kwargs.get("path"))
            return None
        cookie = morsel_to_cookie(value) if isinstance(value, Morsel) else create_cookie(name, value, **kwargs)
        self.set_cookie(cookie)
        return cookie

    def iterkeys(self) -> Iterator[str]:
        """The names, one by one."""
        for cookie in iter(self):
            yield cookie.name

    def itervalues(self) -> Iterator[str | None]:
        """The values, one by one."""
        for cookie in iter(self):
            yield cookie.value

    def iteritems(self) -> Iterator[tuple[str, str | None]]:
        """Names and values, one by one."""
        for cookie in iter(self):
            yield cookie.name, cookie.value

    def keys(self) -> list[str]:
        """The names as a list."""
        return list(self.iterkeys())

    def values(self) -> list[str | None]:
        """The values as a list."""
        return list(self.itervalues())

    def items(self) -> list[tuple[str, str | None]]:
        """Names and values as a list of pairs."""
        return list(self.iteritems())

    def list_domains(self) -> list[str]:
        """The domains that have cookies, each once."""
        return list(dict.fromkeys(cookie.domain for cookie in iter(self)))

    def list_paths(self) -> list[str]:
        """The paths that have cookies, each once."""
        return list(dict.fromkeys(cookie.path for cookie in iter(self)))

    def multiple_domains(self) -> bool:
        """True when some domain occurs twice (as in the requests library)."""
        seen: set[str] = set()
        for cookie in iter(self):
            if cookie.domain in seen:
                return True
            seen.add(cookie.domain)
        return False

    def get_dict(self, domain: str | None = None, path: str | None = None) -> dict[str, str | None]:
        """Names and values of the cookies of a domain and path, as a dict."""
        return {
            cookie.name: cookie.value
            for cookie in iter(self)
            if (domain is None or cookie.domain == domain) and (path is None or cookie.path == path)
        }

    def __contains__(self, name: object) -> bool:
        return any(cookie.name == name for cookie in iter(self))

    def __getitem__(self, name: str) -> str | None:
        return self._find_no_duplicates(name)

    def __setitem__(self, name: str, value: str | Morsel[Any] | None) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        remove_cookie_by_name(self, name)

    def update(self, other: CookieJar | Mapping[str, Any] | None = None, **kwargs: str | None) -> None:
        """Take over the cookies of a jar, or the pairs of a mapping."""
        if isinstance(other, RequestsCookieJar):
            given = {key: _copy.copy(cookie) for key, cookie in list(other._given.items())}
            with self._lock:
                self._store.update(other._store)
                self._given.update(given)
        elif isinstance(other, CookieJar):
            for cookie in list(other):
                self.set_cookie(_copy.copy(cookie))
        elif other is not None:
            for name, value in dict(other).items():
                self[name] = value
        for name, value in kwargs.items():
            self[name] = value

    def _find(self, name: str, domain: str | None = None, path: str | None = None) -> list[Cookie]:
        return [
            cookie
            for cookie in iter(self)
            if cookie.name == name
            and (domain is None or cookie.domain == domain)
            and (path is None or cookie.path == path)
        ]

    def _find_no_duplicates(self, name: str, domain: str | None = None, path: str | None = None) -> str | None:
        found = self._find(name, domain, path)
        if len(found) > 1:
            raise CookieConflictError(f"There are multiple cookies with name, {name!r}")
        if not found:
            raise KeyError(f"name={name!r}, domain={domain!r}, path={path!r}")
        return found[0].value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def copy(self) -> RequestsCookieJar:
        """An independent copy."""
        jar = type(self)()
        jar.set_policy(self.get_policy())
        jar.update(self)
        return jar

    def get_policy(self) -> CookiePolicy:
        """The policy object; what is sent and stored is the engine's decision."""
        policy: CookiePolicy = self.__dict__["_policy"]
        return policy

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        for key in ("_cookies_lock", "_lock", "_store", "_given"):
            state.pop(key, None)
        state["cookies"] = list(self)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        cookies = state.pop("cookies", [])
        RequestsCookieJar.__init__(self, state.pop("_policy", None))
        self.__dict__.update(state)
        for cookie in cookies:
            self.set_cookie(cookie)


# -------------------------------------------------------------------------------------------------------------- functions


def remove_cookie_by_name(jar: CookieJar, name: str, domain: str | None = None, path: str | None = None) -> None:
    """Remove every cookie of that name, narrowed by domain and path."""

    def fits(cookie: Cookie) -> bool:
        return cookie.name == name and domain in (None, cookie.domain) and path in (None, cookie.path)

    if isinstance(jar, RequestsCookieJar):
        for cookie, record in jar._records():
            if fits(cookie):
                jar._remove(record)
        return
    for cookie in [cookie for cookie in jar if fits(cookie)]:
        jar.clear(cookie.domain, cookie.path, cookie.name)


def cookiejar_from_dict(
    cookie_dict: Mapping[str, Any] | None, cookiejar: CookieJar | None = None, overwrite: bool = True
) -> CookieJar:
    """Put the pairs of a mapping into a jar (a new one by default)."""
    jar = RequestsCookieJar() if cookiejar is None else cookiejar
    known = {cookie.name for cookie in jar}
    for name, value in (cookie_dict or {}).items():
        if overwrite or name not in known:
            jar.set_cookie(create_cookie(name, value))
    return jar


def merge_cookies(cookiejar: CookieJar, cookies: CookieJar | Mapping[str, Any]) -> CookieJar:
    """Add cookies to a jar: those of a mapping where the name is missing, those of a jar always.

    Raises ValueError when the first argument is no jar.
    """
    if not isinstance(cookiejar, CookieJar):
        raise ValueError("You can only merge into CookieJar")
    if isinstance(cookies, CookieJar):
        for cookie in list(cookies):
            cookiejar.set_cookie(_copy.copy(cookie))
    elif isinstance(cookies, Mapping):
        cookiejar_from_dict(cookies, cookiejar, overwrite=False)
    return cookiejar


def _set_cookie_values(headers: Any) -> list[str]:
    if isinstance(headers, Headers):
        return headers.get_list("set-cookie")
    if hasattr(headers, "get_all"):
        return list(headers.get_all("Set-Cookie") or [])
    value = headers.get("set-cookie") if hasattr(headers, "get") else None
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def extract_cookies_to_jar(jar: RequestsCookieJar, response: Response, request: Request) -> None:
    """Store what the response's Set-Cookie fields say, each on its own."""
    for value in _set_cookie_values(response.headers):
        jar._store.receive(str(request.url), value)


def get_cookie_header(jar: RequestsCookieJar, request: Request) -> str | None:
    """The Cookie header for that request, or None."""
    return jar._store.header_for(str(request.url)) or None


class _Keys(KeysView[str]):
    """Names, repeated for cookies of the same name."""

    _mapping: Cookies


class _Items(ItemsView[str, str]):
    """Names and values of all cookies, those of the same name included."""

    _mapping: Cookies

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([(cookie.name, cookie.value or "") for cookie in self._mapping.cookiejar])

    def __contains__(self, item: object) -> bool:
        return item in list(self)


class _Values(ValuesView[str]):
    """The values of all cookies."""

    _mapping: Cookies

    def __iter__(self) -> Iterator[str]:
        return iter([cookie.value or "" for cookie in self._mapping.cookiejar])

    def __contains__(self, value: object) -> bool:
        return value in list(self)


class Cookies(MutableMapping[str, str]):
    """Cookies by name. A missing name reads as `""`.

    cookies: None, a mapping, pairs, an `http.cookiejar.CookieJar` (copied), or another Cookies (then both are one jar).

    >>> Cookies({"session": "1"})["session"]
    '1'
    """

    def __init__(self, cookies: CookieTypes = None, *, store: _core.CookieJar | None = None) -> None:
        if isinstance(cookies, Cookies):
            self.cookiejar: RequestsCookieJar = cookies.cookiejar
        else:
            self.cookiejar = RequestsCookieJar(store=store)
            self._take(cookies)

    def _take(self, cookies: Any) -> None:
        if isinstance(cookies, Cookies):
            self.cookiejar.update(cookies.cookiejar)
        elif isinstance(cookies, CookieJar):
            self.cookiejar.update(cookies)
        elif cookies is not None:
            for name, value in self._pairs(cookies):
                self.cookiejar.set(name, value)

    @staticmethod
    def _text(value: Any) -> str:
        return value.decode("utf-8") if isinstance(value, bytes) else str(value)

    def _pairs(self, cookies: Any) -> Iterator[tuple[str, str]]:
        items: Iterable[Any] = ()
        if isinstance(cookies, Mapping):
            items = list(cookies.items())
        elif isinstance(cookies, (list, tuple, set)):
            items = cookies
        for item in items:
            if isinstance(item, (list, tuple)) and len(item) >= 2 and item[1] is not None:
                yield self._text(item[0]), self._text(item[1])

    @overload
    def get(
        self, name: str, default: None = None, domain: str | None = None, path: str | None = None
    ) -> str | None: ...
    @overload
    def get(self, name: str, default: _D, domain: str | None = None, path: str | None = None) -> str | _D: ...
    def get(self, name: str, default: object = None, domain: str | None = None, path: str | None = None) -> object:
        """The value of a name, or the default. Raises CookieConflictError when several cookies fit."""
        return self.cookiejar.get(name, default, domain, path)

    def set(self, name: str, value: CookieValueTypes | Morsel[Any], **kwargs: Any) -> Cookie | None:
        """Store a value (or a Morsel) with the keywords of `create_cookie`; None removes."""
        if value is not None and not isinstance(value, Morsel):
            value = self._text(value)
        return self.cookiejar.set(name, value, **kwargs)

    def delete(self, name: str, domain: str | None = None, path: str | None = None) -> None:
        """Remove every cookie of that name; none is no error."""
        remove_cookie_by_name(self.cookiejar, name, domain, path)

    def clear(self, domain: str | None = None, path: str | None = None) -> None:
        """Remove all cookies, those of a domain, or of a domain and path. Raises KeyError for an unknown domain."""
        if domain is None:
            self.cookiejar.clear()
        else:
            self.cookiejar.clear(domain, path)

    def update(self, cookies: CookieTypes = None) -> None:  # type: ignore[override]  # no keyword form, as in the original
        """Take over cookies of any kind that the constructor takes."""
        self._take(cookies)

    def copy(self) -> Cookies:
        """An independent copy."""
        copied = type(self)()
        copied.cookiejar.update(self.cookiejar)
        return copied

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> Cookies:
        return self.copy()

    def __getitem__(self, name: str) -> str:
        value = self.cookiejar.get(name, "")
        return value if value is not None else ""

    def __setitem__(self, name: str, value: CookieValueTypes | Morsel[Any]) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        return name in self.cookiejar

    def __iter__(self) -> Iterator[str]:
        return iter([cookie.name for cookie in self.cookiejar])

    def __len__(self) -> int:
        return len(self.cookiejar)

    def __bool__(self) -> bool:
        return len(self.cookiejar) > 0

    def items(self) -> ItemsView[str, str]:
        """Names and values of all cookies, those of the same name included."""
        return _Items(self)

    def keys(self) -> KeysView[str]:
        """The names, repeated for cookies of the same name."""
        return _Keys(self)

    def values(self) -> ValuesView[str]:
        """The values of all cookies."""
        return _Values(self)

    _MISSING = object()

    @overload
    def pop(self, name: str) -> str: ...
    @overload
    def pop(self, name: str, default: _D) -> str | _D: ...
    def pop(self, name: str, default: object = _MISSING) -> object:
        """Remove a name and return its value. Raises KeyError when it is missing and no default is given."""
        if name not in self:
            if default is Cookies._MISSING:
                raise KeyError(name)
            return default
        value = self[name]
        del self[name]
        return value

    def setdefault(self, name: str, default: CookieValueTypes = "") -> str:
        """The value of a name; when it is missing, store the default and return it."""
        if name not in self:
            self[name] = default
        return self[name]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return dict(self.items()) == dict(other.items())

    __hash__ = None  # type: ignore[assignment]

    def extract_cookies(self, response: Response, request: Request) -> None:
        """Store what a response's Set-Cookie fields say."""
        extract_cookies_to_jar(self.cookiejar, response, request)

    def get_cookie_header(self, request: Request) -> str | None:
        """The Cookie header for that request, or None."""
        return get_cookie_header(self.cookiejar, request)

    def save(self, path: str | PathLike[str], format: str | None = None, *, session: bool = True) -> int:
        """Write the cookies to a file that only its owner can read (mode 0600), at once or not at all.

        path: str or path object. format: "netscape" (cookies.txt of curl, wget and browsers), "json" (described in
        docs/cookies.md) or "playwright" (a storage state; what else stands in such a file is kept); None: "json" for a
        name that ends in `.json`, else "netscape". session: also cookies that last as long as the session. Expired
        ones are left out.
        Returns how many were written. Raises CookieFileError when the format cannot hold a cookie, ValueError for an
        unknown format, OSError when the file cannot be written.
        Source: https://curl.se/docs/http-cookies.html, https://playwright.dev/docs/auth

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "cookies.txt")
        >>> cookies = Cookies()
        >>> _ = cookies.set("session", "1", domain="example.com")
        >>> cookies.save(path)
        1
        """
        from . import _cookie_files

        return _cookie_files.save(self.cookiejar, path, format, session)

    def load(self, path: str | PathLike[str], format: str | None = None, *, session: bool = True) -> int:
        """Take over the cookies of a file; those of the same name, domain and path are replaced.

        path: str or path object. format: as for `save`, and JSON lists as browser extensions, Selenium and Puppeteer
        write them; None: found out from the content. session: also cookies without an expiry date. Cookies that have
        expired are left out; one for all of a public suffix (`.co.uk`) becomes one of that host alone.
        Returns how many were taken over; either all are or none. Raises CookieFileError that names the line or the
        index of what cannot be read, ValueError for an unknown format, OSError when the file cannot be read.
        """
        from . import _cookie_files

        return _cookie_files.load(self.cookiejar, path, format, session)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}[{', '.join(repr(cookie) for cookie in self.cookiejar)}]>"
