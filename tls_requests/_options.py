"""Keywords beyond the named parameters: which are known, what they may be, and the warning for those that nobody knows."""

from __future__ import annotations

from ._core import NOT_GIVEN
from ._keywords import KNOWN, option_key
from .exceptions import ContradictionWarning, HeaderError, UnknownOptionWarning, URLError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

# tr_kind_t and tr_credentials_t (src/profile/profile.h, src/client/client.h), by index.
MODES = ("navigate", "fetch", "xhr", "form", "image", "script", "style", "iframe", "websocket", "events")
CREDENTIALS = ("default", "omit", "same-origin", "include")

# Options of this library, of a request or of a client.
OWN = (
    "locale",
    "platform",
    "client_hints",
    "mode",
    "page",
    "referrer",
    "origin",
    "credentials",
    "raise_on_error",
    "max_redirects",
    "encoding",
    "hooks",
    "follow_redirects",
    "session_id",
    "tls_identifier",
    "tls_debug",
    "proxy",
    "no_proxy",
    "proxy_key",
    "proxy_retries",
    "trust_env",
    "verify",
    "http2",
    "client_identifier",
    "debug",
    "body",
    "content",
)
# The payload keys of the original's engine beyond the fields of TLSConfig (spec, appendix C): accepted in either spelling.
PAYLOAD_KEYS = (
    "timeoutMilliseconds",
    "defaultHeaders",
    "connectHeaders",
    "localAddress",
    "serverNameOverwrite",
    "requestHostOverride",
    "disableIPV4",
    "disableIPV6",
    "disableHttp3",
    "transportOptions",
    "streamOutputPath",
    "streamOutputBlockSize",
    "streamOutputEOFSymbol",
    "withCustomCookieJar",
    "euckrResponse",
    "h3Settings",
    "h3SettingsOrder",
    "h3PseudoHeaderOrder",
    "h3PriorityParam",
    "h3SendGreaseFrames",
    "ECHCandidatePayloads",
    "ECHCandidateCipherSuites",
    "recordSizeLimit",
    "certCompressionAlgos",
    "allowHttp",
    "streamId",
)

_known: dict[str, str] = {}
# What was warned about already; bounded, because keywords may be made of foreign data.
_warned: set[str] = set()
_WARNED_MAX = 1000


def known_options() -> dict[str, str]:
    """option_key: how it is usually written."""
    if not _known:
        import inspect

        from . import _base, client
        from .models.request import Request
        from .models.tls import CustomTLSClientConfig, TLSConfig

        functions = (_base.BaseClient.__init__, client.Client.request, Request.__init__)
        named = [
            parameter.name
            for function in functions
            for parameter in inspect.signature(function).parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD and parameter.name != "self"
        ]
        fields = sorted(TLSConfig.model_fields_set() | CustomTLSClientConfig.model_fields_set())
        for name in [*PAYLOAD_KEYS, *fields, *named, *OWN]:
            _known[option_key(name)] = name
        for key, written in KNOWN.items():
            _known.setdefault(key, written)
    return _known


def warn_unknown(names: Iterable[str]) -> None:
    """Warn once about each keyword that is no option, naming those that look like it."""
    known = known_options()
    for name in names:
        key = option_key(str(name))
        if key not in known:
            _warn(f"option {name!r}", key, known, "it has no effect")


def warn_identifier(identifier: str) -> None:
    """Warn once about a browser identifier that nobody knows: it means the default."""
    from . import _core

    if _core.profile_known(identifier):
        return
    known = {row[0].lower(): row[0] for row in _core.profile_names()}
    effect = "the default browser is used"
    if identifier.endswith(".json"):
        effect = "there is no such file, " + effect
    _warn(f"client_identifier {identifier[:64]!r}", identifier.lower(), known, effect)


# What a User-Agent says about the platform: a part of it, and the value of sec-ch-ua-platform that goes with it. The first that fits.
_PLATFORMS = (
    ("Windows NT", "Windows"),
    ("Android", "Android"),
    ("CrOS", "Chrome OS"),
    ("iPhone", "iOS"),
    ("iPad", "iOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)
_ENGINE_BRANDS = ("Chromium", "Google Chrome", "Microsoft Edge", "Brave")


def check_hints(
    agent: str | None, brands: str | None, platform: str | None, mobile: str | None, chosen: str | None = None
) -> None:
    """Warn once about client hints that contradict the User-Agent beside them. chosen: the profile's platform, where `platform=` chose it."""
    import re

    if agent is None:
        return
    if chosen is not None:
        told = next((name for part, name in _PLATFORMS if part in agent), None)
        wanted = {"windows": "Windows", "macos": "macOS", "linux": "Linux", "android": "Android"}.get(chosen, "iOS")
        if told is not None and told != wanted:
            _contradiction(f"platform={chosen!r}", f"the User-Agent, which says {told}")
        if brands is None and platform is None and mobile is None:
            return
    found = re.search(r"Chrom(?:e|ium)/(\d+)", agent)
    if found is None and "Mozilla/" in agent:
        _contradiction("sec-ch-ua", f"a browser that sends none ({agent[:120]!r})")
        return
    for brand, version in re.findall(r'"([^"]*)";\s*v="(\d+)', brands or ""):
        if found is not None and brand in _ENGINE_BRANDS and version != found[1]:
            _contradiction(f"sec-ch-ua ({brand} {version})", f"the User-Agent's version {found[1]}")
            break
    expected = next((name for part, name in _PLATFORMS if part in agent), None)
    if platform is not None and expected is not None and platform.strip('"') != expected:
        _contradiction(f"sec-ch-ua-platform {platform[:32]}", f"the User-Agent, which says {expected}")
    if mobile is not None and expected is not None and (mobile == "?1") != ("Mobile" in agent):
        _contradiction(f"sec-ch-ua-mobile {mobile[:8]}", f"the User-Agent {agent[:120]!r}")


def _contradiction(what: str, against: str) -> None:
    text = f"{what} contradicts {against}"
    if text in _warned or len(_warned) >= _WARNED_MAX:
        return
    _warned.add(text)
    import warnings

    warnings.warn(text, ContradictionWarning, stacklevel=_outside())


def _warn(what: str, key: str, known: dict[str, str], effect: str) -> None:
    if what in _warned or len(_warned) >= _WARNED_MAX:
        return
    _warned.add(what)
    import difflib
    import warnings

    near = [known[match] for match in difflib.get_close_matches(key, known, n=3, cutoff=0.6)]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    warnings.warn(f"unknown {what}: {effect}{hint}", UnknownOptionWarning, stacklevel=_outside())


def _outside() -> int:
    """The stack level of the first frame that is no module of this package: the caller's line."""
    import sys

    level, frame = 1, sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "tls_requests":
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]  # the outermost frame has none
    return level


def mode_index(mode: Any) -> int:
    """tr_kind_t of a mode; their number stands for None: by the call. Raises TypeError, ValueError."""
    if mode is None or mode is NOT_GIVEN:
        return len(MODES)
    return _choice("mode", mode, MODES)


def _choice(argument: str, value: Any, choices: tuple[str, ...]) -> int:
    if not isinstance(value, str):
        raise TypeError(f"{argument} must be a str, not {type(value).__name__}")
    if value not in choices:
        import difflib

        near = difflib.get_close_matches(value, choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{argument} must be one of {', '.join(choices)}, not {value[:64]!r}{hint}")
    return choices.index(value)


def _url_text(argument: str, value: Any) -> str:
    """The text of a URL given as str, bytes, URL or Response. Raises TypeError, URLError."""
    from .models.urls import URL

    if hasattr(value, "status_code") and hasattr(value, "url"):
        value = value.url
    if not isinstance(value, (str, bytes, URL)):
        raise TypeError(f"{argument} must be a URL or a response, not {type(value).__name__}")
    try:
        url = URL(value)
    except (URLError, UnicodeError) as error:
        raise URLError(f"{argument} is no URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise URLError(f"{argument} must be an http or https URL, not {str(value)[:64]!r}")
    return str(url)


def _policy_of(page: Any) -> str:
    """The Referrer-Policy of a page that is given as a response, or "". What cannot be in such a field is no policy."""
    headers = getattr(page, "headers", None) if hasattr(page, "status_code") else None
    policy = headers.get("referrer-policy") if headers is not None else None
    return policy if isinstance(policy, str) and policy.isascii() and policy.isprintable() else ""


def method_text(method: Any) -> str:
    """The method in upper case. Raises AttributeError (as text methods do) for what has none, TypeError for bytes."""
    if isinstance(method, str):
        if not method.isprintable() and any(0xD800 <= ord(char) <= 0xDFFF for char in method):
            raise ValueError(f"method has characters that cannot be sent: {method[:64]!r}")
        return method.upper()
    kind = AttributeError if not hasattr(method, "upper") else TypeError
    raise kind(f"method must be a str, not {type(method).__name__}")


def header_order(value: Any) -> list[str]:
    """Names of headers in their order. Raises HeaderError."""
    names = [value] if isinstance(value, (str, bytes)) else value
    try:
        texts = [name.decode("ascii") if isinstance(name, bytes) else name for name in names]
    except (TypeError, UnicodeDecodeError):
        raise HeaderError(f"headerOrder must be a sequence of header names, not {type(value).__name__}") from None
    for text in texts:
        if not isinstance(text, str) or not text or any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in text):
            raise HeaderError(f"headerOrder has an item that is no header name: {str(text)[:64]!r}")
    return texts


def of_page(options: Mapping[str, Any], out: dict[str, Any]) -> None:
    """Check mode, page, referrer, origin and credentials, and put what the engine takes into `out`. options: by option_key.

    Raises TypeError, ValueError, URLError, HeaderError.
    """
    if options.get("mode") is not None:
        out["kind"] = mode_index(options["mode"])
    if options.get("credentials") is not None:
        out["credentials"] = _choice("credentials", options["credentials"], CREDENTIALS)
    if options.get("page") is not None:
        out["page"] = _url_text("page", options["page"])
        policy = _policy_of(options["page"])
        if policy:
            out["referrer_policy"] = policy
    referrer = options.get("referrer")
    if referrer is not None:
        if referrer == "" or referrer is False:
            out["no_referrer"] = True
        else:
            out["referrer"] = _url_text("referrer", referrer)
            out.setdefault("page", out["referrer"])
    origin = options.get("origin")
    if origin is not None:
        if not isinstance(origin, (str, bytes)) and not hasattr(origin, "host"):
            raise TypeError(f"origin must be a str, not {type(origin).__name__}")
        text = origin.decode("ascii", "replace") if isinstance(origin, bytes) else str(origin)
        if not text or any(ord(char) <= 0x20 or ord(char) >= 0x7F for char in text):
            raise HeaderError(f"origin cannot be sent: {text[:64]!r}")
        out["origin"] = text.rstrip("/")
