"""Profiles from texts and from the custom TLS client of the low-level interface: both become the schema of profiles/README.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .registry import (
    ALPN,
    ALPS,
    ALPS_OLD,
    COMPRESS,
    DELEGATED,
    EARLY_DATA,
    ECH,
    GREASE,
    GROUPS,
    KEY_SHARE,
    PADDING,
    POINT_FORMATS,
    PSK,
    PSK_MODES,
    RECORD_LIMIT,
    RENEGOTIATION,
    SERVER_NAME,
    SHARE_LENGTHS,
    SIGNATURES,
    SIGNATURES_CERT,
    STATUS_REQUEST,
    TICKET,
    VERSIONS,
)
from .rows import FieldError
from .texts import PSEUDO_LETTERS
from .wire import is_grease

# fmt: off
SETTINGS = {
    "HEADER_TABLE_SIZE": 1, "ENABLE_PUSH": 2, "MAX_CONCURRENT_STREAMS": 3, "INITIAL_WINDOW_SIZE": 4,
    "MAX_FRAME_SIZE": 5, "MAX_HEADER_LIST_SIZE": 6, "UNKNOWN_SETTING_7": 7, "UNKNOWN_SETTING_8": 8,
    "UNKNOWN_SETTING_9": 9,
}
VERSION_NAMES = {"GREASE": GREASE, "1.3": 0x0304, "1.2": 0x0303, "1.1": 0x0302, "1.0": 0x0301}
# RFC 5246 7.4.1.4.1, RFC 8446 4.2.3.
SIGNATURE_NAMES = {
    "PKCS1WithSHA256": 0x0401, "PKCS1WithSHA384": 0x0501, "PKCS1WithSHA512": 0x0601, "PSSWithSHA256": 0x0804,
    "PSSWithSHA384": 0x0805, "PSSWithSHA512": 0x0806, "ECDSAWithP256AndSHA256": 0x0403,
    "ECDSAWithP384AndSHA384": 0x0503, "ECDSAWithP521AndSHA512": 0x0603, "PKCS1WithSHA1": 0x0201,
    "ECDSAWithSHA1": 0x0203, "Ed25519": 0x0807, "SHA224_RSA": 0x0301, "SHA224_ECDSA": 0x0303,
}
# IANA TLS Supported Groups; the drafts' numbers of the Kyber ones.
CURVES = {
    "GREASE": GREASE, "P256": 23, "P384": 24, "P521": 25, "X25519": 29, "P256Kyber768": 0xFE32,
    "X25519Kyber512D": 0xFE30, "X25519Kyber768": 0x6399, "X25519Kyber768Old": 0xFE31, "X25519MLKEM768": 0x11EC,
}
# Sizes of the shares of groups that can only be sent: the curve's point and the Kyber key (800 or 1184 bytes).
FOREIGN_SHARES = {0xFE30: 32 + 800, 0xFE31: 32 + 1184, 0xFE32: 65 + 1184}
COMPRESSIONS = {"zlib": 1, "brotli": 2, "zstd": 3}
KDFS = {"HKDF_SHA256": 1, "HKDF_SHA384": 2, "HKDF_SHA512": 3}
AEADS = {"AEAD_AES_128_GCM": 1, "AEAD_AES_256_GCM": 2, "AEAD_CHACHA20_POLY1305": 3}
# Extensions that a JA3 may name, beside those above.
EMPTY = {18: 0, 23: 0, 22: 0, 49: 0, 13172: 0, 30032: 0}
# Bodies that do not differ between those who sent them: heartbeat (RFC 6520 2: the peer may send), status_request_v2
# (RFC 6961 2.2: one request, ocsp_multi, nothing further; by Java).
OLD_BODIES = {15: "01", 17: "000702000400000000"}
DEFAULT_SIGNATURES = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]  # chrome_133
DEFAULT_DELEGATED = [0x0403, 0x0503, 0x0603, 0x0203]  # firefox_153
DEFAULT_SETTINGS = [[1, 65536], [2, 0], [4, 6291456], [6, 262144]]  # chrome_133
DEFAULT_WINDOW = 15663105
DEFAULT_ECH_LENGTHS = [144, 176, 208, 240]  # BoringSSL
NEXT_PROTOCOL = 13172
# fmt: on
PSEUDO_NAMES = {letter: name for name, letter in PSEUDO_LETTERS.items()}

# What the custom client of the low-level interface may say, and does not reach HTTP/1.1 or HTTP/2 over TCP.
IGNORED = frozenset(
    {
        "h3settings",
        "h3settingsorder",
        "h3pseudoheaderorder",
        "h3priorityparam",
        "h3sendgreaseframes",
        "allowhttp",
        "allowunsupported",
    }
)


# What the fields of the schema are made of, by extension and by frame: argument of from_ja3, option of a custom client.
EXTENSION_SOURCES = {
    SIGNATURES: ("signature_algorithms", "supportedSignatureAlgorithms"),
    SIGNATURES_CERT: ("signature_algorithms", "supportedSignatureAlgorithms"),
    DELEGATED: ("ja3", "supportedDelegatedCredentialsAlgorithms"),
    ALPN: ("ja3", "alpnProtocols"),
    ALPS: ("ja3", "alpsProtocols"),
    ALPS_OLD: ("ja3", "alpsProtocols"),
    COMPRESS: ("ja3", "certCompressionAlgos"),
    VERSIONS: ("ja3", "supportedVersions"),
    KEY_SHARE: ("key_shares", "keyShareCurves"),
    ECH: ("ja3", "ECHCandidatePayloads"),
}
FRAME_SOURCES = {
    "SETTINGS": ("akamai", "h2Settings"),
    "WINDOW_UPDATE": ("akamai", "connectionFlow"),
    "PRIORITY": ("akamai", "priorityFrames"),
    "HEADERS": ("headers", "headerPriority"),
}


def source_of(value: Mapping[str, Any], path: str, custom: bool) -> str:
    """The argument, or the option of a custom client, that a field of the profile was made of."""
    pair = ("ja3", "ja3String")
    at = re.match(r"(tls\.extensions|http2\.frames)\[(\d+)\]", path)
    if at is not None and at[1] == "tls.extensions":
        item = value["tls"]["extensions"][int(at[2])]
        if path != at[0] + ".type":
            pair = EXTENSION_SOURCES.get(item["type"], ("extensions", "ja3String") if "data" in item else pair)
    elif at is not None:
        pair = FRAME_SOURCES[value["http2"]["frames"][int(at[2])]["type"]]
    elif path.startswith("http2"):
        pair = ("akamai", "connectionFlow")
    return "customTlsClient.%s" % pair[1] if custom else pair[0]


def numbers_of(text: str, path: str, name: str) -> list[int]:
    """`1-2-3` as numbers."""
    found = []
    for part in text.split("-") if text else ():
        if not part.isascii() or not part.isdigit() or len(part) > 5 or int(part) > 0xFFFF:
            raise FieldError(path, "%s: %r is no number from 0 to 65535" % (name, part[:40]))
        found.append(int(part))
    return found


def split_ja3(ja3: Any, path: str) -> tuple[list[int], list[int], list[int], list[int]]:
    """Suites, extensions, groups and point formats; the version says nothing (it is 771 since TLS 1.2)."""
    if not isinstance(ja3, str):
        raise FieldError(path, "is no text")
    if len(ja3) > 8192:
        raise FieldError(path, "is longer than 8192 characters")
    parts = ja3.strip().split(",")
    if len(parts) != 5:
        raise FieldError(path, "has %d parts, not version,ciphers,extensions,curves,pointFormats" % len(parts))
    numbers_of(parts[0], path, "version")
    suites = numbers_of(parts[1], path, "ciphers")
    extensions = numbers_of(parts[2], path, "extensions")
    groups = numbers_of(parts[3], path, "curves")
    formats = numbers_of(parts[4], path, "pointFormats")
    if not suites:
        raise FieldError(path, "has no ciphers")
    return suites, extensions, groups, formats


def greased(values: Iterable[int]) -> list[Any]:
    """2570 stands for a GREASE value, and so do the others of RFC 8701, which come in texts of tools that leave them in."""
    return [GREASE if isinstance(value, int) and is_grease(value) else value for value in values]


def listed(values: Any, path: str) -> list[Any]:
    """What was given as a list. Raises FieldError."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise FieldError(path, "is no list")
    return list(values)


class Bodies:
    """What goes into the extensions that a JA3 only names. Defaults: what Chrome 133 sends."""

    def __init__(self, suites: list[int], groups: list[int], formats: list[int]) -> None:
        self.groups = greased(groups)
        self.formats = formats
        grease = any(map(is_grease, suites)) or any(map(is_grease, groups))
        self.versions: list[Any] = [*([GREASE] if grease else []), 0x0304, 0x0303]
        self.signatures: list[Any] = list(DEFAULT_SIGNATURES)
        self.delegated: list[Any] = list(DEFAULT_DELEGATED)
        self.alpn = ["h2", "http/1.1"]
        self.alps = ["h2"]
        self.compression: list[int] | None = [COMPRESSIONS["brotli"]]
        self.record_limit = 0x4001
        self.ech_lengths = list(DEFAULT_ECH_LENGTHS)
        self.ech_suites = [(1, 1)]
        self.shares: list[Any] = self.default_shares()
        self.unknown: Callable[[int], dict[str, Any] | None] = lambda number: None

    def default_shares(self) -> list[Any]:
        """The groups that browsers send shares of: GREASE where it is offered, the first hybrid and X25519, else the first."""
        shares: list[Any] = [group for group in self.groups if group == GREASE][:1]
        known = [group for group in self.groups if group in SHARE_LENGTHS and group != GREASE]
        hybrids = [group for group in known if group in (4588, 4587, 25497)][:1]
        shares += hybrids
        if 29 in known:
            shares.append(29)
        elif not hybrids:
            shares += known[:1]
        return shares

    def share_length(self, group: Any) -> int:
        return SHARE_LENGTHS.get(group) or FOREIGN_SHARES.get(group) or 32

    def extension(self, number: int, first_grease: bool) -> dict[str, Any] | None:
        """The extension of that number; None: it is unknown."""
        item: dict[str, Any] = {"type": number}
        if is_grease(number):
            return {"type": GREASE, "data": "" if first_grease else "00"}
        if number in EMPTY:
            item.update(length=0)
        elif number in OLD_BODIES and self.unknown(number) is None:
            item.update(data=OLD_BODIES[number])
        elif number in (SERVER_NAME, TICKET):
            pass
        elif number == STATUS_REQUEST:
            item.update(status_type=1)
        elif number == GROUPS:
            item.update(groups=self.groups)
        elif number == POINT_FORMATS:
            item.update(formats=self.formats)
        elif number in (SIGNATURES, SIGNATURES_CERT):
            item.update(algorithms=self.signatures)
        elif number == DELEGATED:
            item.update(algorithms=self.delegated)
        elif number == ALPN:
            item.update(protocols=self.alpn)
        elif number in (ALPS, ALPS_OLD):
            item.update(protocols=self.alps)
        elif number == COMPRESS:
            item.update(algorithms=self.compression)
        elif number == RECORD_LIMIT:
            item.update(limit=self.record_limit)
        elif number == VERSIONS:
            item.update(versions=self.versions)
        elif number == PSK_MODES:
            item.update(modes=[1])
        elif number == KEY_SHARE:
            item.update(shares=[{"group": group, "length": self.share_length(group)} for group in self.shares])
        elif number == ECH:
            kdfs = sorted({kdf for kdf, _ in self.ech_suites})
            aeads = list(dict.fromkeys(aead for _, aead in self.ech_suites))
            item.update(kind="outer", kdf=kdfs[0], aead={"any_of": aeads}, enc_length=32)
            item.update(payload_length={"any_of": self.ech_lengths})
        elif number == RENEGOTIATION:
            item.update(renegotiated_connection_length=0)
        else:
            return self.unknown(number)
        return item


def hello(suites: list[int], extensions: list[int], bodies: Bodies, path: str) -> dict[str, Any]:
    """The "tls" of a profile from the lists of a JA3."""
    if any(len(bodies.ech_suites) > 1 and kdf != bodies.ech_suites[0][0] for kdf, _ in bodies.ech_suites):
        raise FieldError("customTlsClient.ECHCandidateCipherSuites", "has suites with different KDFs: one is sent")
    items: list[dict[str, Any]] = []
    # pre_shared_key is offered when there is a session, early_data and cookie in their situations.
    sent = [number for number in extensions if number not in (PSK, EARLY_DATA, 44)]
    if PADDING in sent and sent[-1] != PADDING:
        raise FieldError(path, "padding (21) can only be the last extension, before pre_shared_key (41)")
    if PSK in extensions and extensions[-1] != PSK:
        raise FieldError(path, "pre_shared_key (41) can only be the last extension (RFC 8446 4.2.11)")
    num_grease = 0
    for number in sent:
        if number == PADDING:
            continue
        item = bodies.extension(number, num_grease == 0)
        if item is None:
            raise FieldError(path, "unknown extension with id %d provided" % number)
        num_grease += is_grease(number)
        items.append(item)
    tls: dict[str, Any] = {
        "record_version": 0x0301,
        "legacy_version": 0x0303,
        "session_id_length": 32,
        "cipher_suites": greased(suites),
        "compression_methods": [0],
        "extension_order": "fixed",
        "extensions": items,
    }
    if PADDING in sent:
        tls["padding"] = "boringssl"
    return tls


def shuffle(tls: dict[str, Any]) -> None:
    """Has the extensions shuffled on each connection as Chrome does: GREASE at both ends stays."""
    kinds = [item["type"] for item in tls["extensions"]]
    tls["extension_order"] = "permuted"
    tls["pinned"] = {
        "first": kinds[:1] if kinds[:1] == [GREASE] else [],
        "last": kinds[-1:] if len(kinds) > 1 and kinds[-1:] == [GREASE] else [],
    }


def opening(
    settings: list[list[int]],
    window: int,
    order: list[str],
    headers: list[list[Any]],
    priority: dict[str, Any] | None,
    stream_id: int = 1,
    frames: Iterable[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The "http2" of a profile."""
    listed: list[dict[str, Any]] = [{"type": "SETTINGS", "stream_id": 0, "settings": settings}]
    if window:
        listed.append({"type": "WINDOW_UPDATE", "stream_id": 0, "increment": window})
    listed += frames
    listed.append(
        {
            "type": "HEADERS",
            "stream_id": stream_id,
            "pseudo_headers": order,
            "headers": headers,
            "priority": priority,
        }
    )
    return {"frames_complete": True, "exact": True, "frames": listed}


def split_akamai(akamai: Any) -> tuple[list[list[int]], int, list[dict[str, Any]], list[str]]:
    """SETTINGS, WINDOW_UPDATE, PRIORITY frames and pseudo-headers of an Akamai text."""
    path = "akamai"
    if not isinstance(akamai, str) or len(akamai) > 4096:
        raise FieldError(path, "is no text, or longer than 4096 characters")
    parts = akamai.strip().split("|")
    if len(parts) != 4:
        raise FieldError(path, "has %d parts, not SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-headers" % len(parts))

    def integers(text: str, count: int, what: str) -> list[int]:
        pieces = text.split(":")
        if len(pieces) != count or not all(p.isascii() and p.isdigit() and len(p) <= 10 for p in pieces):
            raise FieldError(path, "%s: %r is not %d numbers joined by :" % (what, text[:40], count))
        return [int(piece) for piece in pieces]

    settings = [integers(pair, 2, "SETTINGS") for pair in parts[0].replace(",", ";").split(";") if pair]
    [window] = integers(parts[1] or "0", 1, "WINDOW_UPDATE")
    frames = []
    for text in parts[2].split(",") if parts[2] not in ("", "0") else ():
        stream, exclusive, depends_on, weight = integers(text, 4, "PRIORITY")
        if exclusive > 1:
            raise FieldError(path, "PRIORITY: exclusive is %d, not 0 or 1" % exclusive)
        frames.append(
            {
                "type": "PRIORITY",
                "stream_id": stream,
                "exclusive": bool(exclusive),
                "depends_on": depends_on,
                "weight": weight,
            }
        )
    letters = [letter for letter in parts[3].split(",") if letter] if "," in parts[3] else list(parts[3])
    unknown = [letter for letter in letters if letter not in ("m", "a", "s", "p")]
    if unknown or sorted(letters) != ["a", "m", "p", "s"]:
        raise FieldError(path, "pseudo-headers: %r is no order of m,a,s,p" % parts[3][:40])
    return settings, window, frames, [PSEUDO_NAMES[letter] for letter in letters]


def from_ja3(
    ja3: str,
    akamai: str | None = None,
    user_agent: str | None = None,
    headers: Iterable[tuple[str, str]] | Mapping[str, str] | None = None,
    extensions: Mapping[int, bytes] | None = None,
    signature_algorithms: Iterable[int] | None = None,
    key_shares: Iterable[int] | None = None,
    permute: bool = False,
) -> dict[str, Any]:
    """A profile in the schema from a JA3 text. Raises FieldError."""
    suites, numbers, groups, formats = split_ja3(ja3, "ja3")
    bodies = Bodies(suites, groups, formats)
    if signature_algorithms is not None:
        bodies.signatures = greased(listed(signature_algorithms, "signature_algorithms"))
    if key_shares is not None:
        bodies.shares = greased(listed(key_shares, "key_shares"))
    if not isinstance(extensions, (Mapping, type(None))):
        raise FieldError("extensions", "maps numbers to bytes")
    raw = dict(extensions or {})
    for number, data in raw.items():
        if not isinstance(number, int) or isinstance(number, bool) or not isinstance(data, (bytes, bytearray)):
            raise FieldError("extensions", "maps numbers to bytes")
    bodies.unknown = lambda number: {"type": number, "data": bytes(raw[number]).hex()} if number in raw else None
    tls = hello(suites, numbers, bodies, "ja3")
    if permute:
        shuffle(tls)
    pairs = listed(headers.items() if isinstance(headers, Mapping) else headers or (), "headers")
    lines: list[list[Any]] = []
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise FieldError("headers", "is no list of (name, value) pairs of text")
        lines.append([pair[0].lower(), pair[1]])
    if user_agent is not None:
        named = [pair for pair in lines if pair[0] == "user-agent"]
        if named:
            named[0][1] = user_agent
        else:
            lines.append(["user-agent", user_agent])
    settings, window, order = DEFAULT_SETTINGS, DEFAULT_WINDOW, [PSEUDO_NAMES[letter] for letter in "masp"]
    frames: list[dict[str, Any]] = []
    priority: dict[str, Any] | None = {"exclusive": True, "depends_on": 0, "weight": 256}
    if akamai is not None:
        settings, window, frames, order = split_akamai(akamai)
        if settings != DEFAULT_SETTINGS or window != DEFAULT_WINDOW:
            priority = None  # an Akamai text does not say; only Chromium's opening tells the family
    return {
        "schema": 1,
        "id": "ja3",
        "client": {"family": "custom"},
        "tls": tls,
        "http2": opening(settings, window, order, lines, priority, frames=frames),
    }


# --------------------------------------------------------------------------------------------------------------
# The custom client of the low-level interface


def key_of(name: str) -> str:
    return name.replace("_", "").lower()


# fmt: off
CUSTOM_KEYS = frozenset(key_of(name) for name in (
    "alpnProtocols", "alpsProtocols", "certCompressionAlgo", "certCompressionAlgos", "connectionFlow", "h2Settings",
    "h2SettingsOrder", "headerPriority", "ja3String", "keyShareCurves", "priorityFrames", "pseudoHeaderOrder",
    "supportedSignatureAlgorithms", "supportedDelegatedCredentialsAlgorithms", "supportedVersions",
    "ECHCandidatePayloads", "ECHCandidateCipherSuites", "recordSizeLimit", "streamId"))
# fmt: on


class Custom:
    """Reads the options of a custom client. Names are matched without regard to case and underscores."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        self.names: dict[str, str] = {}
        for name, value in options.items():
            key = key_of(str(name))
            if value is None or key in IGNORED:
                continue
            self.values[key], self.names[key] = value, str(name)

    def path(self, key: str) -> str:
        return "customTlsClient.%s" % self.names.get(key_of(key), key)

    def fail(self, key: str, reason: str) -> FieldError:
        return FieldError(self.path(key), reason)

    def get(self, key: str) -> Any:
        return self.values.get(key_of(key))

    def entries(self, key: str) -> list[Any] | None:
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, str):
            return [value]
        if not isinstance(value, (list, tuple)):
            raise self.fail(key, "is no list")
        if len(value) > 256:
            raise self.fail(key, "has more than 256 entries")
        return list(value)

    def texts(self, key: str) -> list[str] | None:
        values = self.entries(key)
        if values is not None and not all(isinstance(value, str) for value in values):
            raise self.fail(key, "is no list of texts")
        return values

    def number(self, key: str, low: int, high: int) -> int | None:
        value = self.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high):
            raise self.fail(key, "%s is no number from %d to %d" % (repr(value)[:40], low, high))
        return value

    def known(self, key: str, table: Mapping[str, Any]) -> list[Any] | None:
        """The values of the names in a table; unknown names are skipped."""
        names = self.texts(key)
        return None if names is None else [table[name] for name in names if name in table]

    def signatures(self, key: str) -> list[int] | None:
        names = self.texts(key)
        if names is None:
            return None
        found = []
        for name in names:
            code = SIGNATURE_NAMES.get(name)
            if code is None:
                try:
                    code = int(name, 16)
                except ValueError:
                    raise self.fail(key, "%r is no signature algorithm and no code in hex" % name[:40]) from None
                if not 0 <= code <= 0xFFFF:
                    raise self.fail(key, "%r is no code of 16 bits" % name[:40])
            found.append(code)
        return found

    def priority(self, key: str, value: Any) -> dict[str, Any]:
        """{"streamDep", "exclusive", "weight"}; the weight is the wire's, from 0 to 255."""
        if not isinstance(value, Mapping):
            raise self.fail(key, "is no object with streamDep, exclusive, weight")
        fields = {key_of(str(name)): item for name, item in value.items()}
        depends_on, weight = fields.get("streamdep", 0), fields.get("weight", 0)
        for name, item, high in (("streamDep", depends_on, 0x7FFFFFFF), ("weight", weight, 255)):
            if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item <= high:
                raise self.fail(key, "%s: %s is no number from 0 to %d" % (name, repr(item)[:40], high))
        return {"exclusive": bool(fields.get("exclusive", False)), "depends_on": depends_on, "weight": weight + 1}


def custom_settings(custom: Custom) -> list[list[int]]:
    given = custom.get("h2Settings")
    if given is None:
        return DEFAULT_SETTINGS
    if not isinstance(given, Mapping):
        raise custom.fail("h2Settings", "is no object of names and numbers")
    values: dict[str, int] = {}
    for name, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0xFFFFFFFF:
            raise custom.fail("h2Settings", "%s: %s is no number of 32 bits" % (str(name)[:40], repr(value)[:40]))
        values[str(name)] = value
    order = custom.texts("h2SettingsOrder") or list(values)
    listed = [name for name in dict.fromkeys(order) if name in values]
    listed += [name for name in values if name not in listed]
    return [[SETTINGS[name], values[name]] for name in listed if name in SETTINGS]


def custom_bodies(custom: Custom, suites: list[int], groups: list[int], formats: list[int]) -> Bodies:
    bodies = Bodies(suites, groups, formats)
    bodies.versions = custom.known("supportedVersions", VERSION_NAMES) or bodies.versions
    bodies.signatures = custom.signatures("supportedSignatureAlgorithms") or bodies.signatures
    bodies.delegated = custom.signatures("supportedDelegatedCredentialsAlgorithms") or bodies.delegated
    shares = custom.known("keyShareCurves", CURVES)
    if shares is not None:
        bodies.shares = shares
    bodies.alpn = custom.texts("alpnProtocols") or bodies.alpn
    bodies.alps = custom.texts("alpsProtocols") or bodies.alps
    # Both spellings: the engine of the original reads the list only.
    names = custom.texts("certCompressionAlgos") or custom.texts("certCompressionAlgo")
    bodies.compression = None if not names else [COMPRESSIONS[name] for name in names if name in COMPRESSIONS]
    bodies.record_limit = custom.number("recordSizeLimit", 64, 16385) or bodies.record_limit
    lengths = custom.entries("ECHCandidatePayloads")
    if lengths:
        if not all(isinstance(item, int) and not isinstance(item, bool) and 1 <= item <= 16384 for item in lengths):
            raise custom.fail("ECHCandidatePayloads", "is no list of lengths from 1 to 16384")
        bodies.ech_lengths = [item + 16 for item in lengths]  # without the tag of the AEAD, as BoringSSL counts
    pairs = custom.entries("ECHCandidateCipherSuites")
    if pairs:
        bodies.ech_suites = []
        for pair in pairs:
            if not isinstance(pair, Mapping):
                raise custom.fail("ECHCandidateCipherSuites", "is no list of objects with kdfId and aeadId")
            fields = {key_of(str(name)): item for name, item in pair.items()}
            bodies.ech_suites.append(
                (
                    hpke_code(custom, fields.get("kdfid"), KDFS, "kdfId"),
                    hpke_code(custom, fields.get("aeadid"), AEADS, "aeadId"),
                )
            )
    return bodies


def hpke_code(custom: Custom, value: Any, table: Mapping[str, int], name: str) -> int:
    if isinstance(value, str):
        if value in table:
            return table[value]
        try:
            value = int(value, 16)
        except ValueError:
            pass
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 0xFFFF:
        raise custom.fail("ECHCandidateCipherSuites", "%s: %s is no name and no code" % (name, repr(value)[:40]))
    return value


def from_custom(options: Mapping[str, Any], random_order: bool | None = None) -> dict[str, Any]:
    """A profile in the schema from a custom TLS client (CustomTLSClientConfig as a mapping). Raises FieldError.

    random_order: withRandomTLSExtensionOrder: True shuffles the extensions for each connection.
    """
    if not isinstance(options, Mapping):
        raise FieldError("customTlsClient", "is neither a CustomTLSClientConfig nor a mapping")
    custom = Custom(options)
    unknown = sorted(name for key, name in custom.names.items() if key not in CUSTOM_KEYS)
    if unknown:
        raise FieldError("customTlsClient", "has unknown options: %s" % ", ".join(unknown)[:200])
    if custom.get("ja3String") is None:
        raise FieldError("customTlsClient", "has no ja3String")
    path = custom.path("ja3String")
    suites, numbers, groups, formats = split_ja3(custom.get("ja3String"), path)
    bodies = custom_bodies(custom, suites, groups, formats)
    if COMPRESS in numbers and not bodies.compression:
        given = next(
            (key for key in ("certCompressionAlgos", "certCompressionAlgo") if custom.get(key) is not None), None
        )
        if given is not None:
            raise custom.fail(given, "names none of %s" % ", ".join(COMPRESSIONS))
        raise FieldError(path, "has extension 27 (compress_certificate), but certCompressionAlgos names no algorithm")
    tls = hello(suites, numbers, bodies, path)
    if random_order:
        shuffle(tls)
    order = custom.texts("pseudoHeaderOrder")
    if order is None:
        order = [PSEUDO_NAMES[letter] for letter in "masp"]
    elif sorted(order) != sorted(PSEUDO_NAMES[letter] for letter in "masp"):
        raise custom.fail("pseudoHeaderOrder", "is no order of :method, :authority, :scheme, :path")
    given = custom.get("headerPriority")
    priority = {"exclusive": True, "depends_on": 0, "weight": 256}
    if given is not None:
        priority = custom.priority("headerPriority", given)
    frames = []
    for frame in custom.entries("priorityFrames") or ():
        fields = {key_of(str(name)): item for name, item in frame.items()} if isinstance(frame, Mapping) else {}
        stream = fields.get("streamid")
        if not isinstance(stream, int) or isinstance(stream, bool) or not 0 < stream <= 0x7FFFFFFF:
            raise custom.fail("priorityFrames", "has an entry without a streamID above 0")
        frames.append(
            {
                "type": "PRIORITY",
                "stream_id": stream,
                **custom.priority("priorityFrames", fields.get("priorityparam", {})),
            }
        )
    window = custom.number("connectionFlow", 0, 0x7FFFFFFF)
    stream_id = custom.number("streamId", 0, 0x7FFFFFFF) or 1
    return {
        "schema": 1,
        "id": "custom",
        "client": {"family": "custom"},
        "tls": tls,
        "http2": opening(
            custom_settings(custom),
            DEFAULT_WINDOW if window is None else window,
            order,
            [],
            priority,
            stream_id if stream_id % 2 else 1,
            frames,
        ),
    }
