"""BaseClient: the settings of a client, and how a request is built from them; Client and AsyncClient add the sending."""

from __future__ import annotations

import os
from collections.abc import Sequence

from . import _core, _sessions
from ._core import NOT_GIVEN
from ._keywords import ALIASES, CONNECTION, REQUEST, option_key
from .exceptions import HTTPError, ProfileError, ProxyError, RemoteProtocolError, TooManyRedirects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from types import TracebackType
    from typing import Any, TypeVar

    from typing_extensions import TypeGuard

    from ._core import BrowserProfile, NotGiven
    from ._fingerprint.fingerprint import Fingerprint
    from ._fingerprint.profile import Profile
    from ._output import OutputFile
    from ._retry import Retry, Tries
    from ._states import ClientState
    from ._timing import ClientStats
    from ._upload import Source
    from .models.cookies import Cookies
    from .models.headers import Headers
    from .models.request import Request
    from .models.response import Response
    from .models.tls import TLSClient, TLSConfig
    from .models.urls import URL, Proxy, URLParams
    from .types import (
        AuthTypes,
        CookieTypes,
        EncodingTypes,
        HeaderSetTypes,
        HeaderTypes,
        HookTypes,
        IdentifierArgTypes,
        ProtocolTypes,
        ProxyTypes,
        RequestData,
        RequestFiles,
        RequestJson,
        TimeoutTypes,
        URLParamTypes,
        URLTypes,
        VerifyTypes,
    )

    Self = TypeVar("Self", bound="BaseClient")


class RemovedHeader(str):
    """The value of a header that was given as None: it reads as an empty text, and the browser's header of that name is not sent."""

    __slots__ = ()

    def __reduce__(self) -> str:
        return "REMOVED"


REMOVED = RemovedHeader()


def new_id() -> str:
    """A new random UUID (version 4) as text."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_session_id(client: BaseClient) -> str:
    """A new id for a client's session, which can be found by it from then on."""
    name = new_id()
    _sessions.enter(client, name)
    return name


# Failures on the way to the server: another exit may do better, and nothing was sent.
_EXIT_PHASES = frozenset({"proxy", "connect", "tls"})
# Ends of a request that nobody on the way has a part in.
OWN_ENDS = frozenset({"CLIENT_CLOSED", "CANCELLED", "FILE_WRITE"})
_MAX_PROXY_RETRIES = 100
_PERSONA_OPTIONS = frozenset({"locale", "platform", "clienthints"})
_PROFILE_OPTIONS = _PERSONA_OPTIONS | {"customtlsclient", "streamid", "withrandomtlsextensionorder"}


def method_text(method: Any) -> str:
    """The method in upper case; see _options.method_text."""
    from ._options import method_text as convert

    return convert(method)


def is_own_session(session: Any) -> bool:
    """Whether a low-level client is this package's own class, and no stand-in."""
    from .models.tls import TLSClient

    return type(session) is TLSClient


def _insists(custom: Any) -> bool:
    """Whether a custom TLS client says allowUnsupported."""
    options = custom if isinstance(custom, dict) else getattr(custom, "_extra_config", {})
    return any(option_key(str(name)) == "allowunsupported" and bool(value) for name, value in options.items())


def _is_profile(value: Any) -> bool:
    """Whether a client_identifier is a Profile or the name of a built-in one."""
    return _core.profile_known(value) if isinstance(value, str) else isinstance(value, _core.BrowserProfile)


def _persona_of(options: dict[str, Any]) -> Any:
    """A Persona of locale, platform and client_hints, or None. Raises TypeError, ValueError."""
    from ._fingerprint.profile import Persona

    return Persona.of(options.get("locale"), options.get("platform"), options.get("clienthints"))


def is_rotator(value: object) -> TypeGuard[Any]:
    return callable(getattr(value, "next", None)) and not isinstance(value, str)


class BaseClient(_core.BaseClient):
    """What Client and AsyncClient have in common.

    auth: (user, password), a callable that takes the request, or an Auth. params, headers, cookies: of every request.
    headers=None: no headers of the browser's are added. proxy: str, Proxy, ProxyRotator, a list (rotated by weight), or a mapping of
    `http`, `https`, `all` and `no_proxy`; trust_env=True: without one, what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say.
    timeout: seconds (float) for each transfer, or a Timeout (or dict) with any of connect, tls, write, first_byte, read,
    pool, total.
    follow_redirects, max_redirects: redirects. http2: "auto", True, False, "http1" or "http2".
    verify: False: no certificate is checked; str: path of a file or directory of trusted certificates.
    client_identifier: the browser whose connections these are: a name of `tls_requests.profiles()`, a Profile, the path of
    a .json file with one; a TLSIdentifierRotator or a list rotates. customTlsClient: a CustomTLSClientConfig in its place.
    stream_id: the first HTTP/2 stream's, when odd and positive.
    hooks: {"request": [...], "response": [...]}. encoding: default encoding of responses.
    raise_on_error: raise the exception of a failed request instead of giving a response with status 0.
    retries: a Retry, or a number of tries beyond the first; none by default.
    How connections are made (docs/connections.md): cert, ca, keylog, certificatePinningHosts, serverNameOverwrite,
    resolve, local_address, interface, family, disableIPV4, disableIPV6, uds, tcp_keepalive, dns_ttl, allow_private,
    limits, transportOptions; early_data=False: no request goes with the ClientHello. They raise TypeError or ValueError naming the option, TLSError for a bad certificate.
    mode, page, referrer, origin, credentials (further keywords): what asks for the requests; see "Kinds of request" in the docs.
    locale, platform (further keywords): the languages that the browser prefers ("de-DE", or a sequence), and the platform that it is on
    ("windows", "macos", "linux", "android", "ios", "ipados"). client_hints: what is answered when a server asks by Accept-CH: False for
    nothing, a mapping for single values. See "Language, platform, client hints" in the docs. They raise TypeError, ValueError, and
    ProfileError where the browser is not on that platform, or what is said contradicts it.
    Further keywords are options of the engine in camelCase or snake_case (headerOrder, withoutCookieJar, session_id, ...), of proxies among
    them: no_proxy (text or list), connect_headers, is_rotating_proxy (a new connection for each request), proxy_key (anything: the rotator's
    same proxy for the same key), proxy_retries (int: on so many other proxies of the rotator, when nothing was sent).
    """

    # The last custom TLS client as text, and its profile.
    _custom: tuple[str, Profile] | None = None

    def __init__(
        self,
        *,
        auth: AuthTypes = None,
        params: URLParamTypes = None,
        headers: HeaderSetTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes = None,
        proxy: ProxyTypes = None,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool = True,
        max_redirects: int = 9,
        http2: ProtocolTypes | NotGiven = NOT_GIVEN,
        verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
        client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
        debug: bool | NotGiven | None = NOT_GIVEN,
        protocol_racing: bool | NotGiven | None = NOT_GIVEN,
        allow_http: bool | NotGiven | None = NOT_GIVEN,
        stream_id: int | None = None,
        hooks: HookTypes = None,
        encoding: EncodingTypes = "utf-8",
        raise_on_error: bool = False,
        **config: Any,
    ) -> None:
        if _core._divert():
            self._session = self.session
        self._config_object: TLSConfig | None = None
        self._config_options: dict[str, Any] | None = None
        self._connection: dict[str, Any] | None = None
        if config:
            given = {
                "timeout": timeout,
                "http2": http2,
                "verify": verify,
                "client_identifier": client_identifier,
                "debug": debug,
                "protocol_racing": protocol_racing,
                "allow_http": allow_http,
                "proxy": NOT_GIVEN if proxy is None else proxy,
                "stream_id": NOT_GIVEN if stream_id is None else stream_id,
            }
            self._take_config(config, given)
        # A checker does not see what `is not NOT_GIVEN` rules out.
        if timeout is not NOT_GIVEN:
            self.timeout = timeout  # type: ignore[assignment]
        if http2 is not NOT_GIVEN:
            self.http2 = http2  # type: ignore[assignment]
        if verify is not NOT_GIVEN:
            self.verify = verify  # type: ignore[assignment]
        if client_identifier is not NOT_GIVEN and not (config and "tls_identifier" in config):
            self.client_identifier = client_identifier  # type: ignore[assignment]
        if debug is not NOT_GIVEN:
            self.debug = debug  # type: ignore[assignment]
        if protocol_racing is not NOT_GIVEN:
            self.protocol_racing = protocol_racing  # type: ignore[assignment]
        if allow_http is not NOT_GIVEN:
            self.allow_http = allow_http  # type: ignore[assignment]
        if auth is not None:
            self.auth = auth
        if params is not None:
            self.params = params
        if headers is None:
            self._no_browser_headers = True
        elif headers is not NOT_GIVEN:
            self.headers = headers  # type: ignore[assignment]
        if cookies is not None:
            self.cookies = cookies
        if proxy is not None:
            self.proxy = proxy
        if follow_redirects is not True:
            self.follow_redirects = follow_redirects
        if max_redirects != 9 and max_redirects is not None:
            if not isinstance(max_redirects, int):
                raise TypeError(f"max_redirects must be an int, not {type(max_redirects).__name__}")
            self.max_redirects = max_redirects
        if stream_id is not None:
            self.stream_id = stream_id
        if hooks is not None:
            self._hooks = hooks if isinstance(hooks, dict) else {}
        if encoding != "utf-8":
            if encoding is not None and not isinstance(encoding, str) and not callable(encoding):
                raise TypeError(f"encoding must be a str, a callable or None, not {type(encoding).__name__}")
            self.encoding = encoding
        if raise_on_error:
            self.raise_on_error = True
        if config and self._persona is not None:
            self._check_persona()

    def _take_config(self, config: dict[str, Any], given: dict[str, Any]) -> None:
        """Options by keyword: settings under other names, those of requests, and those that only `config` shows."""
        options: dict[str, Any] = {}
        connection: dict[str, Any] = {}
        persona: dict[str, Any] = {}
        for name, value in config.items():
            key = option_key(name)
            if name == "tls_identifier":
                self._warn_renamed("tls_identifier", "client_identifier")
                self.client_identifier = value
            elif key == "mode":
                self.mode = value
            elif key in _PERSONA_OPTIONS:
                persona[key] = value
            elif key == "trustenv":
                if value and given["proxy"] is NOT_GIVEN:
                    self._use_environment()
            elif key == "sessionid":
                if value is not None:
                    self._session_id = str(value)
                    _sessions.enter(self, str(value))
            elif key in ALIASES:
                if name == "tls_debug":
                    self._warn_renamed("tls_debug", "debug")
                setting, convert = ALIASES[key]
                if (
                    given[setting] is NOT_GIVEN
                    and value is not None
                    and not (
                        key == "timeoutseconds" and any(option_key(other) == "timeoutmilliseconds" for other in config)
                    )
                ):
                    setattr(self, setting, convert(value))
            else:
                if key in CONNECTION:
                    connection[key] = value
                if key != "cert":  # its password is nobody else's
                    options[name] = value
        self._config_options = options or None
        if any(value is not None for value in persona.values()):
            self._persona = _persona_of(persona)
        if connection:
            from ._connection import Certificate, build_transport

            if "cert" in connection:
                connection["cert"] = Certificate(connection["cert"])
            self._connection = connection
            self._transport = build_transport(connection)
        if options:
            from ._options import header_order, of_page, warn_unknown

            warn_unknown(options)
            by_key = {option_key(name): value for name, value in options.items()}
            of_page(by_key, {})
            if by_key.get("headerorder"):
                header_order(by_key["headerorder"])
        if any(option_key(name) == "withoutcookiejar" and value for name, value in options.items()):
            self._no_jar = True
        custom = any(option_key(name) == "customtlsclient" and value for name, value in options.items())
        obeyed = {
            name: value
            for name, value in options.items()
            if value is not None
            and value != {}
            and value != []
            and not (option_key(name) == "isrotatingproxy" and not value)
            and (option_key(name) in REQUEST or option_key(name) in ("customtlsclient", "withrandomtlsextensionorder"))
            and option_key(name) != "withoutcookiejar"
            and not (option_key(name) == "withrandomtlsextensionorder" and value and not custom)
        }
        if "transportoptions" in connection:
            from ._connection import transport_flags

            if transport_flags(connection["transportoptions"]).get("disablecompression"):
                obeyed["_no_decode"] = True
        for name in [name for name in obeyed if option_key(name) == "retries"]:
            policy = self._policy(obeyed.pop(name))
            if policy is not None:
                obeyed["retries"] = policy
        if obeyed:
            self._extra = obeyed

    def _use_environment(self) -> None:
        from .models.proxies import ProxyMap

        found = ProxyMap.from_env()
        if found is not None:
            self.proxy = found

    @staticmethod
    def _warn_renamed(old: str, new: str) -> None:
        import warnings

        warnings.warn(f"{old} is an old name: use {new}", DeprecationWarning, stacklevel=5)

    # ----------------------------------------------------------------------------------------------------- properties

    # A session that is not the engine's: what TLSClient.initialize gave while it was replaced, or what a subclass put here.
    _session: Any = None

    @staticmethod
    def _policy(value: Any) -> Retry | None:
        from ._retry import Retry

        return Retry.of(value)

    @property
    def retries(self) -> Retry | None:
        """The policy by which failed requests are sent again; None: they are not. An int is a number of tries."""
        policy: Retry | None = (self._extra or {}).get("retries")
        return policy

    @retries.setter
    def retries(self, value: Retry | int | None) -> None:
        extra: dict[str, Any] = {**(self._extra or {}), "retries": self._policy(value)}
        if extra["retries"] is None:
            del extra["retries"]
        self._extra = extra or None

    def stats(self) -> ClientStats:
        """Counters of this client, and its connections now."""
        from ._timing import ClientStats

        return ClientStats(**self._stats())

    @property
    def session(self) -> TLSClient:
        """The low-level client. Where a test, or a subclass, puts another in its place, requests go to that one."""
        session: TLSClient | None = self._session
        if session is None:
            from .client import TLSClient as Session

            session = Session.initialize()
            if is_own_session(session):
                self.__dict__["_session"] = session
        return session

    def _other_session(self, method: str) -> Any:
        """The session that a call of this client goes to when it is not the engine's own; else None."""
        if self._session is None and type(self).session is BaseClient.session and not _core._divert():
            return None
        from .models.tls import is_genuine

        session = self.session
        return None if is_genuine(session, method) else session

    @property
    def config(self) -> TLSConfig:
        """The settings as a TLSConfig."""
        if self._config_object is None:
            from .client import TLSConfig

            self._config_object = TLSConfig.from_kwargs(
                session_id=self._id,
                http2=self.http2 in ("auto", "http2", True, None),
                timeout=self.timeout,
                verify=self.verify,
                client_identifier=self._identifier_name(),
                debug=bool(self.debug),
                protocol_racing=bool(self.protocol_racing),
                allow_http=bool(self.allow_http),
                stream_id=self.stream_id,
                **(self._config_options or {}),
            )
        return self._config_object

    _config = config

    @property
    def mode(self) -> str | None:
        """What asks for the requests: "navigate", "fetch", "xhr", "form", "image", "script", "style", "iframe", "websocket"; None: by
        the call."""
        from ._options import MODES

        return MODES[self._kind] if self._kind < len(MODES) else None

    @mode.setter
    def mode(self, value: str | None) -> None:
        from ._options import mode_index

        self._kind = mode_index(value)

    @property
    def locale(self) -> str | tuple[str, ...] | None:
        """The languages that the browser prefers; None: those of the profile. A str: a browser in that language."""
        return None if self._persona is None else self._persona.locale

    @locale.setter
    def locale(self, value: str | Iterable[str] | None) -> None:
        self._change_persona("locale", value)

    @property
    def platform(self) -> str | None:
        """The platform that the browser is on: "windows", "macos", "linux", "android", "ios" or "ipados"; None: the profile's."""
        return None if self._persona is None else self._persona.platform

    @platform.setter
    def platform(self, value: str | None) -> None:
        self._change_persona("platform", value)

    @property
    def client_hints(self) -> bool | dict[str, str | None] | None:
        """What is answered when a server asks by Accept-CH: False: nothing; a mapping: these in the place of the profile's; None: the
        profile's."""
        hints = None if self._persona is None else self._persona.client_hints
        return dict(hints) if isinstance(hints, tuple) else hints

    @client_hints.setter
    def client_hints(self, value: bool | Mapping[str, object] | None) -> None:
        self._change_persona("clienthints", value)

    def _change_persona(self, key: str, value: Any) -> None:
        told = {"locale": self.locale, "platform": self.platform, "clienthints": self.client_hints, key: value}
        before, self._persona = self._persona, _persona_of(told)
        try:
            self._check_persona()
        except ProfileError:
            self._persona = before
            raise

    def _check_persona(self) -> None:
        """Raises ProfileError where the client's browser cannot be so. A rotator's are looked at when their turn comes."""
        if self._persona is not None and not is_rotator(self.client_identifier):
            self._profile_of(self._extra or {}, {}, self.client_identifier, None)

    def _identifier_name(self) -> str:
        identifier = self.client_identifier
        if isinstance(identifier, _core.BrowserProfile):
            name: str = identifier._rows()["id"]
            return name
        return identifier if isinstance(identifier, str) else "chrome_133"

    @property
    def _id(self) -> str:
        if self._session_id is None:
            self._session_id = new_session_id(self)
        session_id: str = self._session_id
        return session_id

    @property
    def _state(self) -> ClientState:
        from ._states import ClientState

        return ClientState(self._life)

    @_state.setter
    def _state(self, value: int) -> None:
        self._life = int(value)

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._life == 3

    @property
    def headers(self) -> Headers:
        """Headers of every request; change them in place or assign new ones. A list or HeaderRotator rotates."""
        headers: Headers | None = self._headers
        if headers is None:
            from .models.headers import Headers

            headers = self._headers = Headers()
        return headers

    @headers.setter
    def headers(self, value: HeaderSetTypes) -> None:
        from .models.headers import Headers
        from .models.request import _spelling

        if value is None:
            return
        if is_rotator(value):
            self._header_rotator = value
            return
        if isinstance(value, list):
            if not all(isinstance(item, tuple) and len(item) == 2 for item in value) or not value:
                from .models.rotators import HeaderRotator

                self._header_rotator = HeaderRotator.from_file(value)
                return
        self._headers = Headers(value)  # type: ignore[arg-type]  # no list of sets any more
        self._spelled = _spelling(value)
        self._header_rotator = None

    @property
    def cookies(self) -> Cookies:
        """The client's cookies: what it sends, and what servers set."""
        cookies: Cookies | None = self._cookies
        if cookies is None:
            from .models.cookies import Cookies

            cookies = self._cookies = Cookies(store=self._jar)
        return cookies

    @cookies.setter
    def cookies(self, value: CookieTypes) -> None:
        from .models.cookies import Cookies

        cookies = Cookies(value)
        self._jar = cookies.cookiejar._store
        self._cookies = cookies

    @property
    def params(self) -> URLParams:
        """Query parameters of every request."""
        params: URLParams | None = self._params
        if params is None:
            from .models.urls import URLParams

            params = self._params = URLParams()
        return params

    @params.setter
    def params(self, value: URLParamTypes) -> None:
        from .models.urls import URLParams

        self._params = URLParams(value)

    @property
    def hooks(self) -> dict[str, list[Callable[..., object]]]:
        """Callables by event: `request` and `response`."""
        hooks: dict[str, list[Callable[..., object]]] | None = self._hooks
        if hooks is None:
            hooks = self._hooks = {}
        return hooks

    @hooks.setter
    def hooks(self, value: HookTypes) -> None:
        self._hooks = self._rebuild_hooks(value) or {}

    @staticmethod
    def _rebuild_hooks(hooks: Any) -> dict[str, list[Any]] | None:
        if not isinstance(hooks, dict):
            return None
        return {
            event: [hook for hook in hooks[event] if callable(hook)]
            for event in ("request", "response")
            if isinstance(hooks.get(event), Sequence) and not isinstance(hooks[event], (str, bytes))
        }

    # ----------------------------------------------------------------------------------------------------- life cycle

    def _enter(self) -> None:
        if self._life == 2:
            raise RuntimeError("It is not possible to open a client instance more than once.")
        if self._life == 3:
            raise RuntimeError("The client instance cannot be reopened after it has been closed.")
        self._life = 2

    def __enter__(self: Self) -> Self:
        self._enter()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the client's connections; requests under way fail. Any number of times."""
        other = self._other_session("destroy_session")
        if other is not None:
            other.destroy_session(self._id)
        _sessions.leave(self)
        self._close()
        # In this order: see _pauses.Watch.
        for watch in list(self.__dict__.get("_watches", ())):
            watch.wake()

    def _renew(self) -> None:
        """Begin a new session of the engine, with no cookies and no connections; the client stays usable."""
        self._jar = _core.CookieJar()
        self._cookies = None

    def __reduce__(self) -> Any:
        raise TypeError(f"a {type(self).__name__} cannot be pickled: it holds connections")

    def fingerprint(self) -> Fingerprint:
        """What this client sends on a first connection, without sending anything. A rotator gives its next.

        Raises ProfileError when it cannot be used (customTlsClient).

        >>> Client(client_identifier="firefox_133").fingerprint().ja4
        't13d1716h2_5b57614c22b0_eeeea6562960'
        """
        from ._fingerprint.fingerprint import fingerprint_of

        profile = self._profile_of(self._extra or {}, {}, self.prepare_client_identifier(self.client_identifier), None)
        return fingerprint_of(profile, http2=self.http2 in (None, True, "auto", "http2"))

    # ------------------------------------------------------------------------------------------------ building requests

    def prepare_params(self, params: URLParamTypes = None) -> URLParams:
        """The client's query parameters with those of a request over them."""
        from .models.urls import URLParams

        merged = URLParams(self._params)
        if params is not None:
            merged.update(params)
        return merged

    def _merge_headers(self, base: Any, headers: Any) -> Headers:
        from .models.headers import Headers

        merged = Headers(base)
        if headers is not None and headers is not NOT_GIVEN:
            merged.update(headers)
        return merged

    def prepare_headers(self, headers: HeaderTypes = None, user_agent: str | None = None) -> Headers:
        """The client's headers (its rotator's next) with those of a request over them. A HeaderRotator gives its next."""
        if is_rotator(headers):
            return self._merge_headers(headers.next(user_agent=user_agent), None)
        rotator = self._header_rotator
        base = self._headers if rotator is None else rotator.next(user_agent=user_agent)
        return self._merge_headers(base, headers)

    def prepare_cookies(self, cookies: CookieTypes = None) -> Cookies:
        """A copy of the client's cookies with those of a request over them."""
        merged = self.cookies.copy()
        if cookies is not None:
            merged.update(cookies)
        return merged

    def prepare_proxy(self, proxy: ProxyTypes) -> Proxy | None:
        """The Proxy to use: str, bytes and URL are converted, a rotator gives its next. Raises ProxyError."""
        from .models.urls import URL, Proxy

        if proxy is None or proxy == "":
            return None
        if is_rotator(proxy):
            proxy = proxy.next()
        if isinstance(proxy, Proxy):
            return proxy
        if isinstance(proxy, (str, bytes, URL)):
            return Proxy(proxy)
        raise ProxyError(f"Unsupported proxy type: {type(proxy)}")

    # -------------------------------------------------------------------------------------------------------- proxies

    def _option(self, options: dict[str, Any], key: str) -> Any:
        """An option of a request, else the client's, by its name without underscores in lower case."""
        for source in (options, self._extra or {}):
            for name, value in source.items():
                if option_key(name) == key and value is not None:
                    return value
        return None

    def _proxy_source(self, proxy: Any, options: dict[str, Any]) -> Any:
        """What a request's proxy is taken from: the argument, else the client's attribute; a list becomes a rotator, a mapping a ProxyMap."""
        source = self.proxy if proxy is None or proxy is NOT_GIVEN else proxy
        if isinstance(source, list):
            from .models.rotators import ProxyRotator

            source = ProxyRotator(source, strategy="weighted")
        no_proxy = self._option(options, "noproxy")
        is_mapping = hasattr(source, "keys")
        if source is None or source == "" or not (is_mapping or no_proxy):
            return source
        from .models.proxies import ProxyMap

        if isinstance(source, ProxyMap):
            entries: Any = {"http": source.http, "https": source.https, "no_proxy": source.no_proxy}
        else:
            entries = source if is_mapping else {"all": source}
        return ProxyMap(entries, no_proxy)

    def _finish_proxy(self, request: Request, source: Any, chosen: Any) -> None:
        """Tie a request to the proxy that was chosen for it. chosen: a Proxy or None; for a ProxyMap: a dict from its entries' ids."""
        from .models.proxies import ProxyMap

        if isinstance(source, ProxyMap):
            entry = source.choose(request.url)
            request._proxy_map = source.resolved(chosen.get(id(source.http)), chosen.get(id(source.https)))
            request.proxy = None if entry is None else chosen.get(id(entry))
            source = entry
        else:
            request.proxy = chosen
        if is_rotator(source):
            request._proxy_rotator = source
        mark_used = getattr(request.proxy, "mark_used", None)
        if mark_used is not None:
            mark_used()

    def _choose_proxy(self, request: Request, proxy: Any, options: dict[str, Any]) -> None:
        from .models.proxies import ProxyMap

        source = self._proxy_source(proxy, options)
        if isinstance(source, ProxyMap):
            chosen: Any = {
                id(entry): self.prepare_proxy(self._next_of(entry, options)) for entry in (source.http, source.https)
            }
        else:
            chosen = self.prepare_proxy(self._next_of(source, options))
        self._finish_proxy(request, source, chosen)

    def _next_of(self, source: Any, options: dict[str, Any]) -> Any:
        """A rotator's proxy for the request's key; anything else as it is."""
        key = self._option(options, "proxykey")
        return source.next(key=key) if key is not None and is_rotator(source) else source

    def _rotator_of(self, request: Request) -> Any:
        """The rotator that learns how a request went, or None."""
        if request.proxy is None:
            return None
        known = vars(request)  # what a stand-in for a Request does not have is not asked for
        rotator = known.get("_proxy_rotator")
        if rotator is None and known.get("_client") is not self and is_rotator(self.proxy):
            rotator = self.proxy
        return rotator

    def _proxy_retries(self, request: Request) -> int:
        value = self._option(vars(request).get("_extra_config") or {}, "proxyretries")
        return min(value, _MAX_PROXY_RETRIES) if isinstance(value, int) and value > 0 else 0

    @staticmethod
    def _may_try_another(error: Any, history: Any) -> bool:
        """Whether a failure was on the way: nothing of the request, or of an earlier hop, was sent."""
        return (
            isinstance(error, HTTPError)
            and error.safe_to_retry
            and not error.request_sent
            and error.phase in _EXIT_PHASES
            and error.code not in OWN_ENDS
            and not history
        )

    @staticmethod
    def _retarget(request: Request, before: Proxy) -> None:
        """After another proxy was put in a request: its mapping has it, too."""
        chosen, proxy = request._proxy_map, request.proxy
        if chosen is not None:
            request._proxy_map = chosen.resolved(
                proxy if chosen.http is before else chosen.http, proxy if chosen.https is before else chosen.https
            )
        if proxy is not None:
            proxy.mark_used()

    @staticmethod
    def _is_transport(error: HTTPError) -> bool:
        """A failure that says something about the way; not, say, one redirect too many."""
        return bool(error.code) and error.phase not in ("redirect", "build")

    @staticmethod
    def _seconds(response: Any, error: Any) -> float:
        if response is not None:
            elapsed: float = response.elapsed.total_seconds()
            return elapsed
        return error.elapsed or 0.0

    def _routes_of(self, request: Request) -> Any:
        """The way of a request for the engine, or None."""
        headers = self._option(request._extra_config, "connectheaders")
        chosen = request._proxy_map
        if chosen is not None and chosen.choose(request.url) is request.proxy:
            return chosen._engine(headers)
        proxy = request.proxy
        if proxy is None:
            return None
        if headers:
            from ._core import ProxyRoutes
            from .models.proxies import way_of

            way = way_of(proxy, headers)
            return ProxyRoutes(way, way)
        return proxy._routes or proxy._engine()

    def prepare_client_identifier(self, identifier: IdentifierArgTypes) -> str | BrowserProfile:
        """The identifier to use: a rotator gives its next; anything but text and a Profile is the default."""
        if is_rotator(identifier):
            identifier = identifier.next()
        return identifier if isinstance(identifier, (str, _core.BrowserProfile)) else "chrome_133"

    def prepare_config(self, request: Request, client_identifier: str | BrowserProfile = "chrome_133") -> TLSConfig:
        """The TLSConfig of a request."""
        request._session_id = self._id
        body, body_type = request._body()
        headers = dict(request._fields())
        if body_type is not None:
            headers["content-type"] = body_type
        cookies = request.cookies.cookiejar._store.items(str(request.url)) if request.cookies else []
        config: TLSConfig = self.config.copy_with(
            session_id=self._id,
            headers=headers,
            cookies=[{"name": cookie[0], "value": cookie[1]} for cookie in cookies],
            method=request.method,
            url=str(request.url),
            body=body,
            proxy=str(request.proxy) if request.proxy is not None else "",
            timeout=request.timeout if isinstance(request.timeout, (int, float)) else None,
            http2=self.http2 in ("auto", "http2", True, None),
            verify=self.verify,
            client_identifier=client_identifier if isinstance(client_identifier, str) else None,
            **request._extra_config,
        )
        return config

    def prepare_auth(self, request: Request, auth: AuthTypes, *args: Any, **kwargs: Any) -> Any:
        """Apply authentication and return what it returned."""
        from .models.auth import Auth, BasicAuth

        if isinstance(auth, tuple) and len(auth) == 2:
            return BasicAuth(auth[0], auth[1]).build_auth(request)
        if callable(auth):
            return auth(request)
        if isinstance(auth, Auth):
            return auth.build_auth(request)
        return auth

    def _hook_list(self, event: str) -> list[Any]:
        hooks = self._hooks
        value = hooks.get(event) if isinstance(hooks, dict) else None
        if callable(value):
            return [value]
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            return []
        return [hook for hook in value if callable(hook)]

    def build_hook_request(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Run the request hooks; the last Request that one returned, or None."""
        from .models.request import Request

        result = None
        for hook in self._hook_list("request"):
            returned = hook(request if result is None else result)
            if isinstance(returned, Request):
                result = returned
        return result

    def build_hook_response(self, response: Response, *args: Any, **kwargs: Any) -> Any:
        """Run the response hooks; the last Response that one returned, or None."""
        from .models.response import Response

        result = None
        for hook in self._hook_list("response"):
            returned = hook(response if result is None else result)
            if isinstance(returned, Response):
                result = returned
        return result

    def _new_request(self, method: str, url: Any, *, cookies: Any, headers: Any, **kwargs: Any) -> Request:
        """A Request of this client's. Which names are the caller's own spelling is noted for HTTP/1.1."""
        from .client import Request
        from .models.request import _spelling

        spelled = {**(self._spelled or {}), **(_spelling(kwargs.pop("given_headers")) or {})}
        options: dict[str, Any] = {
            name: kwargs.pop(name) for name in ("verify", "http2", "client_identifier", "progress") if name in kwargs
        }
        aliases = [name for name in kwargs if option_key(name) in ALIASES and name != "stream_id"]
        for name in sorted(aliases, key=lambda name: option_key(name) == "timeoutmilliseconds"):  # milliseconds win
            setting, convert = ALIASES[option_key(name)]
            value = kwargs.pop(name)
            if value is None:
                continue
            if setting == "timeout":
                kwargs["timeout"] = self._timeout(convert(value))
            elif setting == "proxy":
                kwargs["proxy"] = self.prepare_proxy(convert(value)) or kwargs.get("proxy")
            elif setting in ("verify", "http2", "client_identifier"):
                options[setting] = convert(value)
        request = Request(method, url, headers=headers, cookies=cookies, **kwargs)
        request._spelling = spelled
        request._client = self
        request._options = options
        request._session_id = None
        return request

    def build_request(
        self,
        method: str,
        url: URLTypes,
        *,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: RequestJson = None,
        params: URLParamTypes = None,
        headers: HeaderTypes = None,
        cookies: CookieTypes = None,
        timeout: TimeoutTypes = None,
        protocol_racing: bool | None = None,
        allow_http: bool | None = None,
        stream_id: int | None = None,
        **kwargs: Any,
    ) -> Request:
        """Build the request that `send` takes: the client's settings with these over them. Nothing is sent."""
        proxy = kwargs.pop("proxy", None)
        request = self._new_request(
            method,
            url,
            data=data,
            files=files,
            json=json,
            params=self.prepare_params(params),
            headers=self.prepare_headers(headers),
            given_headers=headers,
            cookies=self.prepare_cookies(cookies),
            timeout=self._timeout(timeout),
            protocol_racing=self.protocol_racing if protocol_racing is None else protocol_racing,
            allow_http=self.allow_http if allow_http is None else allow_http,
            stream_id=self.stream_id if stream_id is None else stream_id,
            **kwargs,
        )
        self._choose_proxy(request, proxy, request._extra_config)
        return request

    def _timeout(self, timeout: Any) -> Any:
        if timeout is None or timeout is NOT_GIVEN or timeout == 0:
            timeout = self.timeout
        if not isinstance(timeout, (int, float, dict, str)):
            from ._connection import convert_timeout

            timeout = convert_timeout(timeout)
        return timeout if isinstance(timeout, (int, float, dict)) and timeout else 30.0

    # -------------------------------------------------------------------------------------------------------- sending

    def _check_open(self) -> None:
        if self._life == 3:
            raise RuntimeError("Cannot send a request, as the client has been closed.")
        self._life = 2

    def _failure_of(self, request: Request) -> tuple[str, str] | None:
        """Why a request cannot be sent by this engine: (code, text), or None."""
        try:
            self._take_profile(request)
        except (ProfileError, OSError) as error:
            return "PROFILE_INVALID", str(error)
        return None

    def _engine_arguments(
        self, request: Request, identifier: Any, follow_redirects: Any, stream: bool = False
    ) -> tuple[tuple[Any, ...], Source | None]:
        """What `_perform_*` takes for a finished request, and the source of a body that goes in pieces."""
        request._session_id = self._id
        options: dict[str, Any] = dict(request._options)
        if not _is_profile(identifier):
            from ._fingerprint.profile import resolve

            identifier = resolve(identifier)
        options["client_identifier"] = identifier
        options["timeout"] = request.timeout
        if follow_redirects is not None and follow_redirects is not NOT_GIVEN:
            options["follow_redirects"] = follow_redirects
        request._choose_boundary(identifier)
        fields = request._fields()
        if request._extra_config:
            options.update(self._transport_for(request._extra_config))
        extra = {option_key(name): value for name, value in (self._extra or {}).items()}
        extra.update({option_key(name): value for name, value in request._extra_config.items() if value is not None})
        if extra:
            from ._options import header_order, of_page

            of_page(extra, options)
            if extra.get("headerorder"):
                options["header_order"] = header_order(extra["headerorder"])
            if extra.get("defaultheaders"):
                fields = fields or _default_fields(extra["defaultheaders"])
            if extra.get("nodecode"):
                options.setdefault("no_decode", True)
            if "isrotatingproxy" in extra:
                options["new_tunnel"] = bool(extra["isrotatingproxy"])
            if "earlydata" in extra:
                options["early_data"] = bool(extra["earlydata"])
            if "withoutcookiejar" in extra:
                options["no_cookies"] = bool(extra["withoutcookiejar"])
            if extra.get("raiseonerror") is not None:
                options["raise_on_error"] = bool(extra["raiseonerror"])
            if extra.get("requesthostoverride"):
                fields = [field for field in fields if field[0].lower() != "host"]
                fields.append(("host", str(extra["requesthostoverride"])))
        if request.proxy is not None or request._proxy_map is not None:
            options["routes"] = self._routes_of(request)
        cookies = request.cookies.cookiejar._store.items()
        if request._client is self:
            # The engine adds the client's own cookies hop by hop; here go those that the request has beyond them, and
            # marks for those that were taken out of it.
            own = self._jar.items()
            known, carried = {cookie[:4] for cookie in own}, {cookie[:4] for cookie in cookies}
            cookies = [cookie for cookie in cookies if cookie[:4] not in known]
            if not known <= carried:
                cookies += [(*cookie[:5], cookie[5] | _COOKIE_ABSENT) for cookie in own if cookie[:4] not in carried]
        else:
            options["no_cookies"] = True
            cookies = request.cookies.cookiejar._store.items(str(request.url)) if cookies else []
        body, body_type, source = request._outgoing()
        if stream:
            options["stream"] = True
        # A plain number limits how long nothing may move, where a body may rightly take longer than that.
        options["stall_limit"] = (stream or source is not None) and isinstance(request.timeout, (int, float))
        return (request, request.method, str(request.url), fields, cookies, body, body_type, options), source

    def _transport_for(self, extra: dict[str, Any]) -> dict[str, Any]:
        """What the engine is told of a request's own connection options, which go over the client's."""
        own = {option_key(name): value for name, value in extra.items() if option_key(name) in CONNECTION}
        if not own:
            return {}
        from ._connection import build_transport, transport_flags

        told: dict[str, Any] = {"transport": build_transport({**(self._connection or {}), **own}, always=True)}
        if "transportoptions" in own:
            told["no_decode"] = bool(transport_flags(own["transportoptions"]).get("disablecompression"))
        return told

    def _retry_of(self, request: Request) -> Retry | None:
        """The policy for this request: its own, else the client's."""
        for name, value in request._extra_config.items():
            if option_key(name) == "retries" and value is not None:
                return self._policy(value)
        return self.retries

    def _output_of(self, request: Request) -> OutputFile | None:
        """Where the body goes (streamOutputPath); None: into the response."""
        if not (self._extra or request._extra_config):
            return None
        path = self._option(request._extra_config, "streamoutputpath")
        if not path:
            return None
        from ._output import OutputFile

        return OutputFile(
            path,
            self._option(request._extra_config, "streamoutputblocksize"),
            self._option(request._extra_config, "streamoutputeofsymbol"),
        )

    def _refuse(self, request: Request, failure: tuple[str, str]) -> Response:
        """The answer to a request that cannot be sent, or its exception, as the request or else the client wants it."""
        extra = {option_key(name): value for name, value in request._extra_config.items()}
        wanted = extra.get("raiseonerror")
        try:
            response: Response = self._failure(request, request.method, str(request.url), *failure)
        except HTTPError as error:
            if wanted is None or wanted or error.response is None:
                raise
            return error.response
        if wanted and response.error is not None:
            raise response.error
        return response

    def _give_up(self, request: Request, tries: Tries) -> None:
        """End the tries of a request: the client was closed while none was under way."""
        from ._pauses import CLOSED

        tries.begin()
        try:
            tries.took(self._refuse(request, CLOSED))
        except HTTPError as error:
            tries.failed(error)

    # ------------------------------------------------------------------------------- sessions that are not the engine's

    def _exchange(
        self, request: Request, identifier: str | BrowserProfile, follow_redirects: Any
    ) -> Generator[Any, Any, None]:
        """One request by a session that is not the engine's, redirects included: yields the payload of each transfer and
        is sent its TLSResponse; yields the last Response at the end."""
        import time
        from datetime import timedelta

        from .client import Response

        follow = self.follow_redirects if follow_redirects in (None, NOT_GIVEN) else follow_redirects
        start = time.monotonic()
        history: list[Response] = []
        while True:
            config = self.prepare_config(request, identifier)
            response = Response.from_tls_response((yield config.to_dict()), config.isByteResponse)
            response.request = request
            response.history = list(history)
            response.default_encoding = self.encoding
            response.read()
            response.close()
            response.elapsed = timedelta(seconds=time.monotonic() - start)
            if not self._no_jar:
                for value in response.headers.get_list("set-cookie"):
                    self._jar.receive(str(request.url), value)
            if response.status_code == 0:
                response.error = HTTPError(response.text, response=response, request=request)
                if self.raise_on_error:
                    raise response.error
            if not response.is_redirect:
                yield response
            try:
                following = self._rebuild_redirect_request(request, response)
            except HTTPError:
                if follow:
                    raise
                yield response
            response.next = following
            if not follow:
                yield response
            if len(history) >= self.max_redirects:
                raise TooManyRedirects("Too many redirects.", response=response, request=request)
            response.history = []
            history.append(response)
            request = following

    def _rebuild_redirect_method(self, request: Request, response: Response) -> str:
        from .models.redirects import redirect_method

        return redirect_method(request.method, response.status_code)

    def _rebuild_redirect_url(self, request: Request, response: Response) -> URL:
        """Where a redirect leads. Raises RemoteProtocolError."""
        from .client import URL
        from .models.redirects import redirect_url

        location = response.headers.get("Location")
        if not location:
            raise RemoteProtocolError("Redirect response without 'Location' header.")
        url = redirect_url(request, location, URL)
        if request.url.scheme == "https" and url.scheme == "http":
            if self.http2 in (True, "http2"):
                raise RemoteProtocolError(
                    "Switching remote scheme from HTTP/2 to HTTP/1 is not supported. "
                    "Please initialize Client with parameter `http2` to `auto`."
                )
            other = self._other_session("destroy_session")
            if other is not None:
                # Sessions of other kinds may be tied to what they began with.
                other.destroy_session(self._id)
                _sessions.leave(self)
                self._session_id = new_session_id(self)
                if self._config_object is not None:
                    self._config_object.sessionId = self._session_id
        return url

    def _rebuild_redirect_request(self, request: Request, response: Response) -> Request:
        """The request that a redirect asks for. Raises RemoteProtocolError."""
        from .models.redirects import redirected

        url = self._rebuild_redirect_url(request, response)
        return redirected(request, response, self._rebuild_redirect_method(request, response), url)

    def _after(self, request: Request, response: Response) -> None:
        """What is done with an answer: its encoding, and cookies that the engine left alone (another client's request)."""
        if (self._extra or request._extra_config) and self._option(request._extra_config, "euckrresponse"):
            response.encoding = "euc-kr"
        if request._client is self or self._no_jar or response.status_code == 0:
            return
        jar = self._jar
        for hop in [*response.history, response]:
            for name, values in hop.headers._items:
                if name == "set-cookie":
                    for value in values:
                        jar.receive(hop._url_text, value)

    def _take_profile(self, request: Request) -> None:
        """Works out, before anything is sent, the profile of a request that is not just a known name."""
        chosen = request._options.get("client_identifier")
        mine = request._extra_config
        theirs = {} if chosen is not None else self._extra or {}
        stream_id = self.stream_id if request.stream_id is None else request.stream_id
        options = {option_key(name) for name, value in (*mine.items(), *theirs.items()) if value is not None}
        if stream_id is None and self._persona is None and not options & _PROFILE_OPTIONS:
            if chosen is None or is_rotator(chosen) or _is_profile(chosen):
                return
        base = self.client_identifier if chosen is None else chosen
        if is_rotator(base):
            base = self.prepare_client_identifier(base)
        request._options["client_identifier"] = self._profile_of(theirs, mine, base, stream_id)
        if "platform" in options:
            request._options["platform_chosen"] = True

    def _profile_of(self, theirs: dict[str, Any], mine: dict[str, Any], identifier: Any, stream_id: Any) -> Any:
        """The identifier under the options of a client and, over them, of a request: customTlsClient,
        withRandomTLSExtensionOrder, stream_id, locale, platform, client_hints. Raises ProfileError; TypeError, ValueError for what is
        no language, platform or hint."""
        custom = order = None
        persona = self._persona
        told = {option_key(name): value for name, value in mine.items() if option_key(name) in _PERSONA_OPTIONS}
        if any(value is not None for value in told.values()):
            persona = _persona_of(told).over(persona)
        for source in (theirs, mine):
            for name, value in source.items():
                key = option_key(name)
                if key == "customtlsclient" and value:
                    custom = value
                elif key == "streamid":
                    stream_id = value if stream_id is None else stream_id
                elif key == "withrandomtlsextensionorder":
                    order = value
        from ._fingerprint.profile import Profile, resolve, variant

        if custom is not None:
            text = repr((custom, bool(order)))
            if self._custom is None or self._custom[0] != text:
                self._custom = (
                    text,
                    Profile.from_custom(custom, random_order=bool(order), allow_unsupported=_insists(custom)),
                )
            identifier, order = self._custom[1], None
        stream_id = self.stream_id if stream_id is None else stream_id
        return variant(resolve(identifier), stream_id, order, persona)

    def _identifier_of(self, request: Request) -> Any:
        chosen = request._options.get("client_identifier")
        return self.client_identifier if chosen is None else chosen

    @staticmethod
    def _succeeded(response: Response) -> bool:
        return 200 <= response.status_code < 500 and response.status_code != 407


def _default_fields(value: Any) -> list[tuple[str, str | None]]:
    """defaultHeaders: a mapping of names to a value or a list of values."""
    if not hasattr(value, "items"):
        raise TypeError(f"defaultHeaders must be a mapping, not {type(value).__name__}")
    return [
        (str(name), str(text))
        for name, values in value.items()
        for text in (values if isinstance(values, (list, tuple)) else [values])
    ]


def hook_result(event: str) -> type:
    """The class that a hook of that event may return."""
    if event == "request":
        from .models.request import Request

        return Request
    from .models.response import Response

    return Response


_COOKIE_ABSENT = 64  # TR_COOKIE_ABSENT of the engine

_ORDER = ("params", "headers", "cookies", "auth", "follow_redirects", "timeout", "data", "files", "json", "content")


def given_arguments(values: tuple[Any, ...], rest: dict[str, Any]) -> dict[str, Any]:
    """The arguments that were given, by name."""
    given = {name: value for name, value in zip(_ORDER, values) if value is not NOT_GIVEN}
    given.update(rest)
    return given
