"""From a profile in the schema of profiles/README.md to the engine's rows (tr_profile_t), checked, and back.

`build` is the one validator: of the files that are built in, and of profiles that are made at run time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .agents import client_of, engine_of
from .client_hello import EXTENSION_NAMES, extension_fields
from .engines import ENGINES, HTTP1_NAMES, PLACE_KINDS, PLACE_NAMES, Engine
from .kinds import KINDS, SAME, recorded_kinds
from .kinds import Rows as KindRows
from .registry import (
    ALPN,
    ALPS,
    ALPS_OLD,
    COMPRESS,
    COOKIE,
    EARLY_DATA,
    ECH,
    EMPTY,
    FLAGS,
    GREASE,
    GREASE_VALUE,
    GROUPS,
    KEY_SHARE,
    MAX_EXTENSIONS,
    MAX_HEADERS,
    MAX_HELLO,
    MAX_PRIORITY_FRAMES,
    MAX_SETTINGS,
    MAX_SHARE,
    MAX_SHARES,
    MAX_TEXT,
    MAX_VALUES,
    MAX_WINDOW,
    NSS_OUTER_ALONE,
    PADDING,
    POINT_FORMATS,
    PSEUDO_LETTERS,
    PSK,
    PSK_MODES,
    RECORD_LIMIT,
    RENEGOTIATION,
    SERVER_NAME,
    SHARE_LENGTHS,
    STATUS_REQUEST,
    SUITES,
    SUITES_13,
    TICKET,
    TLS13,
    TRUST_ANCHORS,
    VALUE_LISTS,
    VERSIONS,
)
from .wire import ParseError

Headers = list[tuple[str, "str | None"]]


# Fields of {"any_of": [...]} of which each connection draws one. Of others the first is sent.
DRAWN = ("aead", "payload_length")


class FieldError(ValueError):
    """A profile cannot be used; the text names the field and the reason."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__("%s: %s" % (path, reason) if path else reason)
        self.path, self.reason = path, reason


def shown(value: Any) -> str:
    """A value in a message, cut short."""
    text = repr(value) if not isinstance(value, (str, int, float, bool, type(None))) else json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


class Node:
    """A value of a JSON file with the path that leads to it."""

    def __init__(self, value: Any, path: str) -> None:
        self.value, self.path = value, path

    def fail(self, reason: str) -> NoReturn:
        raise FieldError(self.path, reason)

    def object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            self.fail("is no object")
        return self.value

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str) -> Node:
        if key not in self.object():
            self.fail("has no %r" % key)
        joint = "" if not self.path else ": " if self.path.endswith(".json") else "."
        found = Node(self.value[key], "%s%s%s" % (self.path, joint, key))
        return found if key in DRAWN else found.settled()

    def get(self, key: str) -> Node | None:
        return self[key] if key in self else None

    def items(self) -> list[Node]:
        if not isinstance(self.value, list):
            self.fail("is no list")
        return [Node(value, "%s[%d]" % (self.path, index)).settled() for index, value in enumerate(self.value)]

    def number_or(self, key: str, low: int, high: int, unknown: int) -> int:
        """The number under a key; `unknown` where there is none, or null."""
        found = self.get(key)
        return unknown if found is None or found.value is None else found.number(low, high)

    def settled(self) -> Node:
        """The first known of {"any_of": [...]} (the profile sends one of these), or the node itself."""
        if not (isinstance(self.value, dict) and set(self.value) == {"any_of"}):
            return self
        choices = self.choices()
        return next((item for item in choices if item.value is not None), choices[0])

    def label(self) -> str:
        """A name for people: any script, nothing that a terminal would act on."""
        if not isinstance(self.value, str):
            self.fail("is no text")
        if len(self.value) > MAX_TEXT:
            self.fail("is longer than %d characters" % MAX_TEXT)
        if not self.value.isprintable():
            self.fail("has characters that cannot be printed")
        return self.value

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.fail("is no text")
        if len(self.value) > MAX_TEXT:
            self.fail("is longer than %d characters" % MAX_TEXT)
        if any(not 0x20 <= ord(char) <= 0x7E for char in self.value):
            self.fail("has characters outside printable ASCII")
        return self.value

    def number(self, low: int, high: int) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not low <= self.value <= high:
            self.fail("%s is no number from %d to %d" % (shown(self.value), low, high))
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            self.fail("is neither true nor false")
        return self.value

    def u16(self) -> int:
        """A 16-bit number; GREASE_VALUE for "GREASE"."""
        if self.value == GREASE:
            return GREASE_VALUE
        number = self.number(0, 0xFFFF)
        if number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF:
            self.fail('%d is a GREASE value: write "GREASE"' % number)
        return number

    def u16s(self) -> list[int]:
        items = self.items()
        if len(items) > MAX_VALUES:
            self.fail("has more than %d numbers" % MAX_VALUES)
        return [item.u16() for item in items]

    def hex(self) -> bytes:
        if not isinstance(self.value, str):
            self.fail("is no text")
        try:
            return bytes.fromhex(self.value)
        except ValueError:
            self.fail("is no hex")

    def choices(self) -> list[Node]:
        """The values of {"any_of": [...]}, or the one value."""
        if isinstance(self.value, dict) and set(self.value) == {"any_of"}:
            node = Node(self.value["any_of"], self.path + ".any_of")
            found = node.items()
            if not found:
                node.fail("is empty")
            return found
        return [self]


@dataclass
class Ext:
    type: int
    values: list[int] = field(default_factory=list)
    data: bytes = b""


@dataclass
class Rows:
    """The fields of tr_profile_t. GREASE is GREASE_VALUE. Headers: in order; a value of None is a place only."""

    id: str
    family: str
    version: str
    os: str
    insists: bool = False  # what the engine cannot complete is sent all the same
    flags: set[str] = field(default_factory=set)
    record_version: int = 0
    legacy_version: int = 0
    session_id_len: int = 0
    suites: list[int] = field(default_factory=list)
    exts: list[Ext] = field(default_factory=list)
    pinned_first: int = 0
    pinned_last: int = 0
    ech_payload: str = "NONE"
    ech_kdf: int = 0
    ech_aeads: list[int] = field(default_factory=list)
    ech_lengths: list[int] = field(default_factory=list)
    ech_enc_len: int = 0
    settings: list[tuple[int, int]] = field(default_factory=list)
    window: int = 0
    priority_frames: list[tuple[int, int, int, bool]] = field(default_factory=list)
    pseudo_order: str = "masp"
    first_stream_id: int = 1
    stream_window: int = 0
    priority_mode: str = "NONE"
    priority: tuple[int, int, int, bool] = (0, 0, 16, False)
    hpack: str = "GENERIC"
    data_frame_max: int = 0
    h2_headers: Headers = field(default_factory=list)
    h1_headers: Headers = field(default_factory=list)
    user_agent: str | None = None
    kinds_of: str | None = None  # the built-in profile with the same tables for other requests than navigations
    # Tables of its own for them. version ("http2", "http1"): kind: rows; and kind: weight of its HEADERS.
    kinds: dict[str, dict[str, KindRows]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    # Client hints that Accept-CH may ask for, in the order of client_hints.HINTS; {}: none is answered.
    hints: dict[str, str] = field(default_factory=dict)


def merge(base: Any, change: Any) -> Any:
    """`change` over `base`: objects key by key, anything else (lists too) replaced."""
    if isinstance(base, dict) and isinstance(change, dict):
        merged = dict(base)
        for key, value in change.items():
            merged[key] = merge(base.get(key), value)
        return merged
    return change


# --------------------------------------------------------------------------------------------------------------
# TLS


def vector(body: bytes, size: int) -> bytes:
    return len(body).to_bytes(size, "big") + body


def numbers(values: list[int]) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


def strings(node: Node) -> bytes:
    """A protocol name list (RFC 7301 3.1)."""
    body = b""
    for item in node.items():
        name = item.text().encode("ascii")
        if not 0 < len(name) < 256:
            item.fail("is empty or too long")
        body += vector(name, 1)
    return vector(body, 2)


def key_share(node: Node, insists: bool) -> tuple[list[int], bytes, int]:
    """The groups in order, the shares' lengths where some are only sent, and the extension's length."""
    groups: list[int] = []
    lengths: list[int] = []
    length, raw = 2, False
    for share in node["shares"].items():
        group = share["group"].u16()
        known = SHARE_LENGTHS.get(GREASE if group == GREASE_VALUE else group)
        if known is None:
            if not insists:
                share["group"].fail("a key share of group %d cannot be made" % group)
            known, raw = share["length"].number(1, MAX_SHARE), True
        share.number_or("length", known, known, known)
        lengths.append(known)
        if group in groups:
            share["group"].fail("group %s stands twice" % share["group"].value)
        groups.append(group)
        length += 4 + known
    if len([group for group in groups if group in SHARE_LENGTHS]) > MAX_SHARES or len(groups) > 2 * MAX_SHARES:
        node["shares"].fail("has more than %d shares" % MAX_SHARES)
    return groups, numbers(lengths) if raw else b"", length


def extension_data(node: Node, kind: int, num_grease: int) -> bytes:
    """The body of an extension that is sent as it is. num_grease: how many GREASE extensions stand before."""
    length = node.get("length")
    if kind == STATUS_REQUEST and "data" not in node:
        for name in ("responder_ids_length", "request_extensions_length"):
            if name in node:
                node[name].number(0, 0)
        return bytes([node.number_or("status_type", 1, 1, 1)]) + bytes(4)
    if kind == POINT_FORMATS:
        return vector(bytes(item.number(0, 255) for item in node["formats"].items()), 1)
    if kind == PSK_MODES:
        return vector(bytes(item.number(0, 255) for item in node["modes"].items()), 1)
    if kind in (ALPN, ALPS, ALPS_OLD):
        return strings(node["protocols"])
    if kind == RECORD_LIMIT:
        return node["limit"].number(64, 16385).to_bytes(2, "big")
    if kind == TRUST_ANCHORS and "trust_anchor_ids" in node:
        return vector(b"".join(vector(item.hex(), 1) for item in node["trust_anchor_ids"].items()), 2)
    if kind == RENEGOTIATION:
        return b"\0"
    if "data" in node:
        return node["data"].hex()
    if kind == GREASE_VALUE and (length is None or length.value is None):
        return b"" if num_grease == 0 else b"\0"  # BoringSSL's two
    if kind == GREASE_VALUE and length is not None:
        return bytes(length.number(0, 255))
    if kind in EMPTY and (length is None or length.value is None):
        return b""
    if length is None or length.value != 0:
        node.fail("extension %d has neither data nor a length" % kind)
    return b""


def drawn_length(node: Node, kind: int) -> int:
    """The length of a body that is not known or drawn anew (data is null), and that no field makes up; else 0."""
    if kind in (GREASE_VALUE, STATUS_REQUEST, RENEGOTIATION) or kind in EMPTY or "data" in node or "length" not in node:
        return 0
    if any(name in node for name in ("formats", "modes", "protocols", "limit", "trust_anchor_ids")):
        return 0
    return node["length"].number(0, MAX_HELLO)


def read_extension(node: Node, profile: Rows, engine: Engine) -> Ext | None:
    """The row of one extension; None: no row (padding)."""
    kind = node["type"].u16()
    ext = Ext(kind)
    length: int | None = None
    if kind == PADDING:
        return read_padding(node, ext, profile)
    if kind in (PSK, EARLY_DATA, COOKIE):
        node.fail("extension %d is no part of a first ClientHello" % kind)
    if kind == SERVER_NAME:
        return ext
    if kind in VALUE_LISTS:
        name, prefix = VALUE_LISTS[kind]
        ext.values = node[name].u16s()
        if not ext.values:
            node[name].fail("is empty")
        if kind == GROUPS and not profile.insists:
            for item in node[name].items():
                if item.u16() != GREASE_VALUE and item.value not in SHARE_LENGTHS:
                    item.fail("the engine cannot complete an exchange in group %d" % item.value)
        length = prefix + 2 * len(ext.values)
        if length - prefix >= 256**prefix:
            node[name].fail("is too long")
    elif kind == KEY_SHARE:
        ext.values, ext.data, length = key_share(node, profile.insists)
    elif kind == ECH:
        read_ech(node, profile, engine)
    elif kind == TICKET:
        length = 0
    elif drawn_length(node, kind):
        ext.values = [drawn_length(node, kind)]
    else:
        try:
            ext.data = extension_data(node, kind, sum(other.type == GREASE_VALUE for other in profile.exts))
        except OverflowError:
            node.fail("is too long for its length field")
        length = len(ext.data)
    recorded = node.get("length")
    if length is not None and recorded is not None and recorded.value not in (None, length):
        recorded.fail("%s, but the fields make %d bytes" % (json.dumps(recorded.value), length))
    return ext


def read_padding(node: Node, ext: Ext, profile: Rows) -> Ext | None:
    """The row of padding that is sent as it was captured; None: there is a rule for it."""
    length = node.get("length")
    if "PADDING_BORINGSSL" in profile.flags:
        return None
    if "data" in node:
        ext.data = node["data"].hex()
    elif length is None or length.value is None:
        profile.flags.add("PADDING_BORINGSSL")  # its length varied: the only rule that is known
        return None
    else:
        ext.data = bytes(length.number(0, MAX_HELLO))
    return ext


def nss_payload(profile: Rows, exts: list[Ext]) -> int:
    """The length of the ECH payload under NSS's rule, of a first hello to a host of less than 100 characters
    (src/tls/ech.c)."""
    length = 2 + 32 + 1 + 2 + 2 * len(profile.suites) + 2 + 2 + 4 + 1
    num_outer = 0
    for ext in exts:
        if ext.type in NSS_OUTER_ALONE or ext.type in (ECH, EARLY_DATA, COOKIE):
            continue
        if ext.type == SERVER_NAME:
            length += 4 + 2 + 1 + 2
        elif ext.type == VERSIONS:
            length += 4 + 1 + 2
        else:
            num_outer += 1
    length += (4 + 1 + 2 * num_outer if num_outer else 0) + 100
    return length + 31 - length % 32 + 16


def settle_ech(tls: Node, profile: Rows) -> None:
    """Payload lengths that a capture has and NSS's rule would not give are drawn from."""
    node = next((item for item in tls["extensions"].items() if item["type"].value == ECH), None)
    if node is None or profile.ech_payload != "NSS" or "payload_length" not in node:
        return
    lengths = [item.number(17, 32768) for item in node["payload_length"].choices()]
    if nss_payload(profile, profile.exts) not in lengths:
        profile.ech_payload, profile.ech_lengths = "DRAWN", lengths


def read_ech(node: Node, profile: Rows, engine: Engine) -> None:
    profile.ech_payload = engine.ech_payload
    profile.ech_kdf = node["kdf"].number(1, 0xFFFF) if "kdf" in node else 1
    profile.ech_aeads = (
        [item.number(1, 0xFFFF) for item in node["aead"].choices()] if "aead" in node else list(engine.ech_aeads)
    )
    profile.ech_enc_len = node["enc_length"].number(1, 0xFFFF) if "enc_length" in node else 32
    if engine.ech_payload == "DRAWN":
        profile.ech_lengths = list(engine.ech_lengths)
        if "payload_length" in node:
            profile.ech_lengths = [item.number(17, 32768) for item in node["payload_length"].choices()]


def ext_types(tls: Node) -> list[Any]:
    return [item["type"].value for item in tls["extensions"].items()]


def insert_ext(exts: list[Ext], kind: int, index: int) -> None:
    exts.insert(index, Ext(kind))


def add_places(exts: list[Ext], root: Node, engine: Engine, early_data: bool) -> None:
    """Rows of early_data and cookie, which a first full handshake does not send, where the browser puts them."""
    types = [ext.type for ext in exts]
    if VERSIONS not in types or TLS13 not in exts[types.index(VERSIONS)].values:
        return
    if early_data:
        index = types.index(VERSIONS)
        variant = root["variants"].get("resumption_early_data") if "variants" in root else None
        if variant is not None:
            order = ext_types(variant["tls"])
            behind = [kind for kind in order[order.index(EARLY_DATA) + 1 :] if kind in types]
            index = types.index(behind[0]) if behind else len(exts)
        insert_ext(exts, EARLY_DATA, index)
    types = [ext.type for ext in exts]
    anchor = next((kind for kind in engine.cookie_behind if kind in types), VERSIONS)
    insert_ext(exts, COOKIE, types.index(anchor) + 1)


def read_pinned(tls: Node, profile: Rows) -> None:
    order = tls["extension_order"].text() if "extension_order" in tls else "fixed"
    if order not in ("fixed", "permuted"):
        tls["extension_order"].fail('is neither "fixed" nor "permuted"')
    if order == "fixed":
        return
    profile.flags.add("PERMUTES")
    if "pinned" not in tls:
        return
    types = [ext.type for ext in profile.exts]
    for end in ("first", "last"):
        if end not in tls["pinned"]:
            continue
        pinned = tls["pinned"][end].u16s()
        there = types[: len(pinned)] if end == "first" else types[len(types) - len(pinned) :]
        if pinned != there:
            tls["pinned"][end].fail("is not what stands %s in extensions" % end)
        setattr(profile, "pinned_" + end, len(pinned))


def shares_in_sample(message: bytes) -> dict[int, bytes]:
    """The key shares of a raw ClientHello (record layer included), by group."""

    def take(count: int) -> bytes:
        nonlocal message
        if len(message) < count:
            raise ValueError("too short")
        piece, message = message[:count], message[count:]
        return piece

    def block(size: int) -> bytes:
        return take(int.from_bytes(take(size), "big"))

    take(5 + 4 + 2 + 32)
    block(1)
    block(2)
    block(1)
    message = block(2)
    while message:
        kind, body = int.from_bytes(take(2), "big"), block(2)
        if kind == KEY_SHARE:
            message, found = body[2:], {}
            while message:
                group = int.from_bytes(take(2), "big")
                found[group] = block(2)
            return found
    return {}


def reuses_x25519(root: Node) -> bool | None:
    """Whether the samples' X25519 share repeats that of the hybrid share; None: they do not say."""
    answers = set()
    for sample in root["samples"].items() if "samples" in root else ():
        try:
            found = shares_in_sample(sample.hex())
        except ValueError as error:
            sample.fail("is no ClientHello: %s" % error)
        if 29 in found and 4588 in found:
            answers.add(found[4588][-32:] == found[29])
    if len(answers) > 1:
        root["samples"].fail("some repeat the X25519 share of the hybrid, some do not")
    return answers.pop() if answers else None


def set_flag(profile: Rows, name: str, value: bool | None) -> None:
    """What the capture says, where it says something."""
    if value is not None:
        (profile.flags.add if value else profile.flags.discard)(name)


def tls_flags(profile: Rows, root: Node, tls: Node) -> None:
    """Flags that the capture's variants show, over the family's."""
    types = ext_types(tls)
    variants = root["variants"] if "variants" in root else Node({}, root.path)
    resumption, early = variants.get("resumption"), variants.get("resumption_early_data")
    if resumption is not None:
        offered = ext_types(resumption["tls"])
        set_flag(profile, "RESUMES_13", PSK in offered)
        set_flag(profile, "PSK_DROPS_TICKET", TICKET in types and TICKET not in offered)
    if early is not None:
        set_flag(profile, "EARLY_DATA", EARLY_DATA in ext_types(early["tls"]))
    if "resumption_tls12" in variants:
        set_flag(profile, "RESUMES_12", TICKET in ext_types(variants["resumption_tls12"]["tls"]))
    websocket, ordinary = variants.get("websocket"), variants.get("websocket_same_host_http1")
    if websocket is not None:
        set_flag(profile, "WS_PLAIN_CERT", COMPRESS in types and COMPRESS not in ext_types(websocket["tls"]))
    if ordinary is not None:
        offered = [ext["protocols"].value for ext in ordinary["tls"]["extensions"].items() if ext["type"].value == ALPN]
        set_flag(profile, "WS_ORDINARY", any("h2" in protocols for protocols in offered))
    kept = {
        any(share["group"].value == GREASE for share in item["shares"].items())
        for name in sorted(variants.value)
        if name.startswith("retry_")
        for item in variants[name]["tls"]["extensions"].items()
        if item["type"].value == KEY_SHARE
    }
    if len(kept) > 1:
        variants.fail("some second ClientHellos keep the GREASE key share, some do not")
    set_flag(profile, "RETRY_KEEPS_GREASE", kept.pop() if kept else None)
    set_flag(profile, "SHARES_X25519", reuses_x25519(root))
    versions = [ext.values for ext in profile.exts if ext.type == VERSIONS]
    if PSK_MODES not in types or not versions or TLS13 not in versions[0]:
        profile.flags -= {"RESUMES_13", "PSK_DROPS_TICKET", "EARLY_DATA"}
    if TICKET not in types:
        profile.flags -= {"RESUMES_12", "TICKET12_ONCE", "PSK_DROPS_TICKET"}
    groups = [ext.values for ext in profile.exts if ext.type == KEY_SHARE]
    if not groups or not {4588, 29} <= set(groups[0]):
        profile.flags.discard("SHARES_X25519")
    set_flag(profile, "ALPS", ALPS in types or ALPS_OLD in types)


def drawn(ext: Ext) -> int:
    """The length of a body that is drawn for each connection; 0: it has another."""
    own = ext.type in VALUE_LISTS or ext.type == KEY_SHARE
    return ext.values[0] if ext.values and not own else 0


def contradictions(profile: Rows, tls: Node) -> None:
    """What no client can mean: a server would take it for a broken one."""
    found = {ext.type: ext for ext in profile.exts}
    nodes = {node["type"].u16(): node for node in tls["extensions"].items()}
    if VERSIONS in found and TLS13 in found[VERSIONS].values and not SUITES_13 & set(profile.suites):
        if not profile.insists:
            nodes[VERSIONS]["versions"].fail("has TLS 1.3, but cipher_suites has none of its suites")
    if KEY_SHARE in found:
        groups = found[GROUPS].values if GROUPS in found else []
        for index, group in enumerate(found[KEY_SHARE].values):
            if group not in groups:  # RFC 8446 4.2.8
                nodes[KEY_SHARE]["shares"].items()[index]["group"].fail("%d is not among supported_groups" % group)
        if VERSIONS not in found:
            nodes[KEY_SHARE].fail("key_share without supported_versions (RFC 8446 4.2.1)")
    if PSK_MODES in found and 1 not in found[PSK_MODES].data[1:]:
        nodes[PSK_MODES]["modes"].fail("has no psk_dhe_ke (1), the only mode that this engine resumes with")


def read_tls(root: Node, profile: Rows, engine: Engine) -> None:
    tls = root["tls"]
    # Null, or missing: not known. A raw ClientHello has no record version.
    profile.record_version = tls.number_or("record_version", 0x0301, 0x0303, 0x0301)
    profile.legacy_version = tls.number_or("legacy_version", 0x0303, 0x0303, 0x0303)
    profile.session_id_len = tls.number_or("session_id_length", 0, 32, 32)
    if profile.session_id_len not in (0, 32):
        tls["session_id_length"].fail("is neither 0 nor 32")
    profile.suites = tls["cipher_suites"].u16s()
    if not profile.suites:
        tls["cipher_suites"].fail("has no suites")
    for item in tls["cipher_suites"].items() if not profile.insists else ():
        if item.u16() != GREASE_VALUE and item.value not in SUITES:
            item.fail("the engine cannot complete a handshake with suite %d (0x%04x)" % (item.value, item.value))
    if "compression_methods" in tls and tls["compression_methods"].value != [0]:
        tls["compression_methods"].fail("is not [0]: nothing else may be offered with TLS 1.3 (RFC 8446 4.1.2)")
    if "padding" in tls:
        if tls["padding"].value != "boringssl":
            tls["padding"].fail('the only rule known is "boringssl"')
        profile.flags.add("PADDING_BORINGSSL")
    seen: set[int] = set()
    for node in tls["extensions"].items():
        ext = read_extension(node, profile, engine)
        if ext is None:
            continue
        if ext.type in seen and ext.type != GREASE_VALUE:
            node["type"].fail("extension %d stands twice" % ext.type)
        seen.add(ext.type)
        profile.exts.append(ext)
    if sum(ext.type == GREASE_VALUE for ext in profile.exts) > 2:
        tls["extensions"].fail("has more than two GREASE extensions")
    if len(profile.exts) > MAX_EXTENSIONS - 2:
        tls["extensions"].fail("has more than %d extensions" % (MAX_EXTENSIONS - 2))
    if sum(4 + 2 * len(ext.values) + len(ext.data) + drawn(ext) for ext in profile.exts) > MAX_HELLO:
        tls["extensions"].fail("make more than %d bytes" % MAX_HELLO)
    contradictions(profile, tls)
    tls_flags(profile, root, tls)
    read_pinned(tls, profile)
    settle_ech(tls, profile)
    add_places(profile.exts, root, engine, "EARLY_DATA" in profile.flags)


# --------------------------------------------------------------------------------------------------------------
# HTTP/2 and headers


# What counts where a version is not known.
NEWEST = 10**9


def major(profile: Rows) -> int:
    digits = profile.version.split(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 9 else NEWEST


def by_version(rules: tuple[tuple[int, Any], ...], version: int) -> Any:
    found = None
    for first, value in rules:
        if version >= first:
            found = value
    return found


def read_priority(node: Node, stream_id: int) -> tuple[int, int, int, bool]:
    return (
        stream_id,
        node["depends_on"].number(0, 0x7FFFFFFF),
        node["weight"].number(1, 256),
        node["exclusive"].flag(),
    )


# RFC 9113 6.5.2: what a setting may be.
SETTING_RANGES = {2: (0, 1), 4: (0, MAX_WINDOW), 5: (16384, 16777215)}


def read_settings(frame: Node) -> list[tuple[int, int]]:
    settings = []
    for item in frame["settings"].items():
        pair = item.items()
        if len(pair) != 2:
            item.fail("is no pair of id and value")
        number = pair[0].number(0, 0xFFFF)
        low, high = SETTING_RANGES.get(number, (0, 0xFFFFFFFF))
        settings.append((number, pair[1].number(low, high)))
    if len(settings) > MAX_SETTINGS:
        frame["settings"].fail("has more than %d settings" % MAX_SETTINGS)
    return settings


def family_priority(profile: Rows, engine: Engine) -> None:
    """The priority fields of a navigation's HEADERS where they are not known."""
    weight = by_version(engine.priorities, major(profile))
    if weight is not None:
        group = profile.priority_frames[-1][0] if profile.priority_frames else 0
        profile.priority = (profile.first_stream_id, group, weight, engine.priority_mode == "CHROMIUM")
        profile.priority_mode = engine.priority_mode


def family_opening(profile: Rows, engine: Engine) -> None:
    """SETTINGS and WINDOW_UPDATE where they are not known."""
    settings, window = by_version(engine.openings, major(profile)).split("|")
    profile.settings = [(int(pair.split(":")[0]), int(pair.split(":")[1])) for pair in settings.split(";")]
    profile.window = int(window)


def read_headers_frame(frame: Node, profile: Rows, engine: Engine, exact: bool) -> Headers:
    """exact: the whole opening is known, so priority fields that are not there were not sent."""
    profile.pseudo_order = engine.pseudo_order
    if "pseudo_headers" in frame:
        names = [item.text() for item in frame["pseudo_headers"].items()]
        if sorted(names) != sorted(PSEUDO_LETTERS):
            frame["pseudo_headers"].fail("are not the four of a request")
        profile.pseudo_order = "".join(PSEUDO_LETTERS[name] for name in names)
    if "stream_id" in frame:
        profile.first_stream_id = frame["stream_id"].choices()[0].number(1, 0x7FFFFFFF)
        if profile.first_stream_id % 2 == 0:
            frame["stream_id"].fail("is even")
    if "priority" in frame.object():
        if frame["priority"].value is not None:
            profile.priority = read_priority(frame["priority"], profile.first_stream_id)
            # Chromium's first stream depends on none; what depends on another follows a rule that is not known.
            chosen = profile.priority[3] and profile.priority[1] == 0
            profile.priority_mode = engine.priority_mode if chosen else "FIXED"
    elif not exact:
        family_priority(profile, engine)
    headers = header_list(frame["headers"]) if "headers" in frame else []
    for index, (name, _) in enumerate(headers):
        if name != name.lower():
            frame["headers"].items()[index].items()[0].fail("%s is not lower case" % shown(name))
    return headers


def header_name(node: Node) -> str:
    name = node.text()
    if not name or any(char in '"(),/:;<=>?@[\\]{} ' for char in name):
        node.fail("is no header name")
    return name


def header_list(node: Node) -> Headers:
    """Names and values in order. A value of null is a place: the request's own field of that name goes there."""
    headers: Headers = []
    for item in node.items():
        pair = item.items()
        if len(pair) != 2:
            item.fail("is no pair of name and value")
        if len(headers) == MAX_HEADERS:
            node.fail("has more than %d headers" % MAX_HEADERS)
        headers.append((header_name(pair[0]), None if pair[1].value is None else pair[1].text()))
    return headers


def read_http2(root: Node, profile: Rows, engine: Engine) -> Headers:
    """The opening of a connection; gives the navigation's headers."""
    headers: Headers | None = None
    if "http2" not in root:
        return unknown_http2(root, profile, engine)
    http2 = root["http2"]
    exact = "exact" in http2 and http2["exact"].value is True
    for frame in http2["frames"].items():
        kind = frame["type"].text()
        if headers is not None:
            if kind == "WINDOW_UPDATE" and frame["stream_id"].value != 0:
                profile.stream_window = frame["increment"].number(1, 0x7FFFFFFF)
            break
        if kind == "SETTINGS" and not profile.settings:
            profile.settings = read_settings(frame)
        elif kind == "WINDOW_UPDATE":
            if frame["stream_id"].value != 0:
                frame["stream_id"].fail("is not 0: there is no stream before HEADERS")
            if profile.window or profile.priority_frames:
                frame.fail(
                    "is a second WINDOW_UPDATE, or stands behind PRIORITY frames: the engine sends one before them"
                )
            profile.window = frame["increment"].number(1, 0x7FFFFFFF)
        elif kind == "PRIORITY":
            profile.priority_frames.append(read_priority(frame, frame["stream_id"].number(1, 0x7FFFFFFF)))
            if len(profile.priority_frames) > MAX_PRIORITY_FRAMES:
                http2["frames"].fail("has more than %d PRIORITY frames" % MAX_PRIORITY_FRAMES)
        elif kind == "HEADERS":
            headers = read_headers_frame(frame, profile, engine, exact)
        else:
            frame["type"].fail("%s is no part of a connection's opening" % kind)
    if headers is None:
        http2["frames"].fail("has no HEADERS")
    if "frames_complete" in http2 and http2["frames_complete"].value is False:
        family_opening(profile, engine)
    if engine.stream_window and not profile.stream_window and not exact:
        profile.stream_window = max(0, engine.stream_window - dict(profile.settings).get(4, 65535))
    stream = dict(profile.settings).get(4, 65535) + profile.stream_window
    if max(stream, 65535 + profile.window) > MAX_WINDOW:
        http2["frames"].fail("make a window of more than %d bytes" % MAX_WINDOW)
    if stream == 0 and not profile.insists:
        http2["frames"].fail("make a window of 0 bytes for each stream: no body could come")
    groups = http2.get("record_groups")
    if groups is not None and groups.items():
        set_flag(profile, "H2_ONE_RECORD", "HEADERS" in [item.value for item in groups.items()[0].items()])
    return headers


def unknown_http2(root: Node, profile: Rows, engine: Engine) -> Headers:
    """What is sent over HTTP/2 where a capture does not show it: as its family. Gives the navigation's headers, those of
    HTTP/1.1."""
    alpn = next((ext.data for ext in profile.exts if ext.type == ALPN), b"")
    if b"\x02h2" not in alpn:
        return []
    family_opening(profile, engine)
    family_priority(profile, engine)
    profile.pseudo_order = engine.pseudo_order
    if engine.stream_window:
        profile.stream_window = max(0, engine.stream_window - dict(profile.settings).get(4, 65535))
    own = header_list(root["http1"]["headers"]) if "http1" in root else []
    return [(name.lower(), value) for name, value in own if name.lower() not in ("host", "connection")]


def read_bodies(root: Node, profile: Rows, engine: Engine) -> None:
    """How request bodies are cut, where the capture has some."""
    profile.hpack = engine.hpack
    profile.data_frame_max = engine.data_frame_max
    requests = root["requests"]["http2"] if "requests" in root and "http2" in root["requests"] else None
    if requests is None:
        return
    empty, large = requests.get("fetch_post_empty"), requests.get("fetch_post_300000_bytes")
    if empty is not None:
        set_flag(profile, "H2_EMPTY_DATA", "data_frames" in empty and empty["data_frames"].value == [0])
    if large is not None:
        profile.data_frame_max = max(item.number(0, 0xFFFFFF) for item in large["data_frames"].items())


def insert_header(headers: Headers, name: str, before: tuple[str, ...]) -> None:
    names = [item[0].lower() for item in headers]
    if name.lower() in names:
        index = names.index(name.lower())
        headers[index] = (headers[index][0], None)
        return
    anchor = next((names.index(other) for other in before if other in names), len(headers))
    headers.insert(anchor, (name, None))


def observed_places(root: Node, version: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(name, the names behind it) of the request headers that the capture's navigations have, in their order."""
    requests = root["requests"].get(version) if "requests" in root else None
    done: set[str] = set()
    for kind in PLACE_KINDS:
        if requests is None or kind not in requests:
            continue
        names = [item[0] for item in header_list(requests[kind]["headers"])]
        lower = [name.lower() for name in names]
        for index, name in enumerate(names):
            if lower[index] in PLACE_NAMES and lower[index] not in done:
                done.add(lower[index])
                yield name, tuple(other for other in lower[index + 1 :] if other not in PLACE_NAMES)


def place_headers(headers: Headers, root: Node, version: str, engine: Engine) -> None:
    """Puts the places of the request's own headers in, unless the list has places itself."""
    if any(value is None and name.lower() != "host" for name, value in headers):
        return
    placed = set()
    for name, before in observed_places(root, version):
        insert_header(headers, name, before)
        placed.add(name.lower())
    for name, before in engine.places:
        if name not in placed:
            insert_header(headers, http1_name(name, engine) if version == "http1" else name, before)


def http1_name(name: str, engine: Engine) -> str:
    if name.startswith(engine.lower_case) and engine.lower_case:
        return name
    return HTTP1_NAMES.get(name, "-".join(word.capitalize() for word in name.split("-")))


def read_headers(root: Node, profile: Rows, engine: Engine, navigation: Headers) -> None:
    recorded = header_list(root["http1"]["headers"]) if "http1" in root else []
    for name, value in [*recorded, *navigation]:
        if name.lower() == "user-agent" and value is not None:
            profile.user_agent = value
    profile.h2_headers = list(navigation)
    place_headers(profile.h2_headers, root, "http2", engine)
    http1: Headers
    if "http1" in root:
        http1 = [
            (name, None if name.lower() == "host" else value) for name, value in header_list(root["http1"]["headers"])
        ]
        if not any(name.lower() == "host" for name, _ in http1):
            root["http1"]["headers"].fail("has no Host")
    else:
        http1 = [("Host", None)]
        http1 += [(http1_name(name, engine), value) for name, value in navigation if name not in engine.http1_drops]
        names = [name.lower() for name, _ in http1]
        behind = engine.connection_behind
        index = names.index(behind) + 1 if behind in names else 1 if behind is not None else len(http1)
        http1.insert(index, ("Connection", engine.connection))
    place_headers(http1, root, "http1", engine)
    profile.h1_headers = http1


def recorded_headers(root: Node, version: str, kind: str) -> list[tuple[str, str]] | None:
    requests = root["requests"].get(version) if "requests" in root else None
    if requests is None or kind not in requests:
        return None
    return [(name, value or "") for name, value in header_list(requests[kind]["headers"])]


def has_kinds(root: Node) -> bool:
    """Whether the capture shows other requests than navigations."""
    return recorded_headers(root, "http2", "fetch_get") is not None


def read_kinds(source: Node, profile: Rows, engine: Engine) -> None:
    """What other requests than navigations look like in that capture."""
    for version in ("http2", "http1"):
        navigation = recorded_headers(source, version, "navigation")
        if navigation is None:
            own = profile.h2_headers if version == "http2" else profile.h1_headers
            navigation = [(name, value) for name, value in own if value is not None]

        def spelled(name: str, version: str = version) -> str:
            return http1_name(name, engine) if version == "http1" else name

        profile.kinds[version] = recorded_kinds(
            lambda wanted, kind: recorded_headers(source, wanted, kind), version, navigation, spelled
        )
    if profile.priority_frames or profile.priority_mode == "NONE":
        return  # an older tree of priorities: what its other requests had is not known
    for kind, sources in KINDS:
        for capture_kind in sources:
            requests = source["requests"]["http2"]
            if capture_kind in requests and "priority" in requests[capture_kind]:
                profile.weights[kind] = requests[capture_kind]["priority"]["weight"].number(1, 256)
                break


def kinds_to_json(rows: Rows) -> dict[str, Any] | None:
    """Tables of its own; a value of true is that of the navigation."""
    if not rows.kinds:
        return None
    found: dict[str, Any] = {
        version: {
            kind: [[name, True if value is SAME else value] for name, value in table] for kind, table in kinds.items()
        }
        for version, kinds in rows.kinds.items()
    }
    found["weights"] = dict(rows.weights)
    return found


def kinds_from_json(node: Node, profile: Rows) -> None:
    known = [kind for kind, _ in KINDS]
    for version in ("http2", "http1"):
        tables: dict[str, KindRows] = {}
        for kind in node[version].object():
            if kind not in known:
                node[version].fail("%s is none of %s" % (shown(kind), ", ".join(known)))
            tables[kind] = []
            for item in node[version][kind].items():
                pair = item.items()
                if len(pair) != 2:
                    item.fail("is no pair of name and value")
                value = pair[1].value
                tables[kind].append(
                    (header_name(pair[0]), SAME if value is True else None if value is None else pair[1].text())
                )
        profile.kinds[version] = tables
    for kind in node["weights"].object():
        if kind not in known:
            node["weights"].fail("%s is none of %s" % (shown(kind), ", ".join(known)))
        profile.weights[kind] = node["weights"][kind].number(1, 256)


def read_hints(node: Node) -> dict[str, str]:
    from .client_hints import SETTABLE

    for name in node.object():
        if name not in SETTABLE:
            node.fail("there is no client hint %s that can be set" % shown(name))
    return {name: node[name].text() for name in SETTABLE if name in node}


def read_rules(root: Node, profile: Rows) -> None:
    """What a profile that was written by `to_json` says in place of its family."""
    rules = root.get("rules")
    if rules is None:
        return
    if "flags" in rules:
        flags = [item.text() for item in rules["flags"].items()]
        for item in rules["flags"].items():
            if item.value not in FLAGS:
                item.fail("is none of %s" % ", ".join(FLAGS))
        # What extensions and their order say stays with them.
        own = {"PERMUTES", "PADDING_BORINGSSL", "ALPS"}
        profile.flags = (profile.flags & own) | (set(flags) - own)
    if "priority_mode" in rules:
        if rules["priority_mode"].value not in ("NONE", "FIXED", "CHROMIUM"):
            rules["priority_mode"].fail("is none of NONE, FIXED, CHROMIUM")
        profile.priority_mode = rules["priority_mode"].text()
    if "hpack" in rules:
        if rules["hpack"].value not in ("GENERIC", "CHROMIUM", "FIREFOX"):
            rules["hpack"].fail("is none of GENERIC, CHROMIUM, FIREFOX")
        profile.hpack = rules["hpack"].text()
    if "kinds_of" in rules:
        profile.kinds_of = rules["kinds_of"].text()
    if "kinds" in rules:
        profile.kinds_of, profile.kinds, profile.weights = None, {}, {}
        kinds_from_json(rules["kinds"], profile)
    if "client_hints" in rules:
        profile.hints = read_hints(rules["client_hints"])
    if "data_frame_max" in rules:
        profile.data_frame_max = rules["data_frame_max"].number(0, 16384)
    if "ech_payload" in rules and profile.ech_payload != "NONE":
        if rules["ech_payload"].value not in ("DRAWN", "NSS"):
            rules["ech_payload"].fail("is neither DRAWN nor NSS")
        profile.ech_payload = rules["ech_payload"].text()
        if profile.ech_payload == "NSS":
            profile.ech_lengths = []
        if profile.ech_payload == "DRAWN" and not profile.ech_lengths:
            rules["ech_payload"].fail("DRAWN needs a payload_length of the encrypted_client_hello extension")
    places = rules.get("places")
    if places is not None:
        profile.exts = [ext for ext in profile.exts if ext.type not in (EARLY_DATA, COOKIE)]
        for kind, name in ((EARLY_DATA, "early_data"), (COOKIE, "cookie")):
            if name in places:
                insert_ext(profile.exts, kind, places[name].number(0, len(profile.exts)))
        if len(profile.exts) > MAX_EXTENSIONS:
            places.fail("more than %d extensions" % MAX_EXTENSIONS)
    if not any(ext.type == EARLY_DATA for ext in profile.exts):
        profile.flags.discard("EARLY_DATA")


def recorded_agent(root: Node) -> str:
    """The User-Agent of the recorded navigation, or ""."""
    lists = [root["http1"]["headers"]] if "http1" in root else []
    if (
        "http2" in root
        and isinstance(root["http2"].value, dict)
        and isinstance(root["http2"].value.get("frames"), list)
    ):
        lists += [frame["headers"] for frame in root["http2"]["frames"].items() if "headers" in frame]
    return next(
        (value for node in lists for name, value in header_list(node) if name.lower() == "user-agent" and value), ""
    )


def client_of_root(root: Node, name: str | None) -> tuple[dict[str, str], Engine]:
    """Family, version and system of a profile, and the rules of its engine."""
    client = root["client"] if "client" in root or name is not None else Node({}, root.path)
    found = {key: client[key].label() for key in ("family", "version", "os") if key in client}
    engine_name = client["engine"].value if "engine" in client else None
    if engine_name is not None and not isinstance(engine_name, str):
        client["engine"].fail("is no text")
    if name is not None:
        client["family"].text()
        if engine_name not in ENGINES:
            known = ", ".join(sorted(filter(None, ENGINES)))
            client["engine"].fail("no rules for the engine %s; known: %s" % (repr(engine_name)[:40], known))
    elif engine_name is None and "rules" not in root:
        if "family" not in found:
            told = client_of(recorded_agent(root))
            engine_name = told.pop("engine", None)
            found = {**told, **found}
        else:
            engine_name = engine_of(found["family"], found.get("os", ""))
    return found, ENGINES.get(engine_name, ENGINES[None])


def build(root: Node, name: str | None, insists: bool = False) -> Rows:
    """The rows of a profile. name: what its id must be, for files that are built in. Raises FieldError."""
    if (name is not None or "schema" in root) and root["schema"].value != 1:
        root["schema"].fail("is not 1")
    if name is not None and root["id"].text() != name:
        root["id"].fail("is not the file's name")
    client, engine = client_of_root(root, name)
    profile = Rows(
        name if name is not None else root["id"].label() if "id" in root else "custom",
        client.get("family", "custom"),
        client.get("version", ""),
        client.get("os", ""),
        insists,
        set(engine.flags),
    )
    read_tls(root, profile, engine)
    navigation = read_http2(root, profile, engine)
    read_bodies(root, profile, engine)
    read_headers(root, profile, engine, navigation)
    profile.kinds_of = engine.kinds_of if any(value is not None for _, value in profile.h2_headers) else None
    if has_kinds(root):
        profile.kinds_of = None
        read_kinds(root, profile, engine)
    if engine.hints:
        from .client_hints import default_hints

        profile.hints = default_hints(profile)
    read_rules(root, profile)
    for rows in (rows for kinds in profile.kinds.values() for rows in kinds.values()):
        if len(rows) > MAX_HEADERS:
            root.fail("has a kind of request with more than %d headers" % MAX_HEADERS)
    for which in (profile.h1_headers, profile.h2_headers):
        if len(which) > MAX_HEADERS:
            root.fail("has more than %d headers" % MAX_HEADERS)
    return profile


# --------------------------------------------------------------------------------------------------------------
# And back


def grease(value: int) -> int | str:
    return GREASE if value == GREASE_VALUE else value


def ext_to_json(ext: Ext, rows: Rows) -> dict[str, Any]:
    kind = ext.type
    if kind == GREASE_VALUE:
        return {"type": GREASE, "length": len(ext.data), "data": ext.data.hex()}
    item: dict[str, Any] = {"type": kind, "name": EXTENSION_NAMES.get(kind, "unknown"), "length": None}
    if kind in VALUE_LISTS:
        name, prefix = VALUE_LISTS[kind]
        item["length"] = prefix + 2 * len(ext.values)
        item[name] = [grease(value) for value in ext.values]
    elif kind == KEY_SHARE:
        sent = [int.from_bytes(ext.data[at : at + 2], "big") for at in range(0, len(ext.data), 2)]
        lengths = sent or [SHARE_LENGTHS[grease(group)] for group in ext.values]
        item["length"] = 2 + sum(4 + length for length in lengths)
        item["shares"] = [{"group": grease(g), "length": length} for g, length in zip(ext.values, lengths)]
    elif kind == ECH:
        item.update(kind="outer", kdf=rows.ech_kdf, aead=choice(rows.ech_aeads), config_id=None)
        item.update(enc_length=rows.ech_enc_len, payload_length=choice(rows.ech_lengths))
    elif kind == TICKET:
        item["length"] = 0
    elif drawn(ext):
        item.update(length=drawn(ext), data=None)
    elif kind != SERVER_NAME:
        item["length"] = len(ext.data)
        try:
            item.update(extension_fields(kind, ext.data))
        except (ParseError, UnicodeDecodeError):
            item["data"] = ext.data.hex()
    return item


def choice(values: list[int]) -> Any:
    return None if not values else values[0] if len(values) == 1 else {"any_of": list(values)}


def priority_to_json(item: tuple[int, int, int, bool]) -> dict[str, Any]:
    return {"exclusive": item[3], "depends_on": item[1], "weight": item[2]}


def to_json(rows: Rows, host_length: int = 15) -> dict[str, Any]:
    """The profile in the schema of profiles/README.md: `build` makes the same rows of it.

    host_length: of the host name by which the padding rule decides whether a padding extension is listed.
    """
    sent = [ext for ext in rows.exts if ext.type not in (EARLY_DATA, COOKIE)]
    places: dict[str, int] = {}
    kinds = [ext.type for ext in rows.exts]
    if EARLY_DATA in kinds:
        places["early_data"] = [kind for kind in kinds if kind != COOKIE].index(EARLY_DATA)
    if COOKIE in kinds:
        places["cookie"] = kinds.index(COOKIE)
    extensions = [ext_to_json(ext, rows) for ext in sent]
    own = [item["type"] for item in extensions]
    tls: dict[str, Any] = {
        "record_version": rows.record_version,
        "legacy_version": rows.legacy_version,
        "session_id_length": rows.session_id_len,
        "cipher_suites": [grease(suite) for suite in rows.suites],
        "compression_methods": [0],
        "extension_order": "permuted" if "PERMUTES" in rows.flags else "fixed",
        "extensions": extensions,
    }
    if "PADDING_BORINGSSL" in rows.flags:
        tls["padding"] = "boringssl"
        if 0xFF < hello_length(rows, tls, host_length) < 0x200:
            extensions.append({"type": PADDING, "name": "padding", "length": None})
    if "PERMUTES" in rows.flags and (rows.pinned_first or rows.pinned_last):
        tls["pinned"] = {
            "first": own[: rows.pinned_first],
            "last": own[len(own) - rows.pinned_last :] if rows.pinned_last else [],
        }
    frames: list[dict[str, Any]] = [
        {"type": "SETTINGS", "stream_id": 0, "settings": [list(pair) for pair in rows.settings]}
    ]
    if rows.window:
        frames.append({"type": "WINDOW_UPDATE", "stream_id": 0, "increment": rows.window})
    for item in rows.priority_frames:
        frames.append({"type": "PRIORITY", "stream_id": item[0], **priority_to_json(item)})
    letters = {letter: name for name, letter in PSEUDO_LETTERS.items()}
    frames.append(
        {
            "type": "HEADERS",
            "stream_id": rows.first_stream_id,
            "pseudo_headers": [letters[letter] for letter in rows.pseudo_order],
            "headers": [list(pair) for pair in rows.h2_headers],
            "priority": None if rows.priority_mode == "NONE" else priority_to_json(rows.priority),
        }
    )
    if rows.stream_window:
        frames.append({"type": "WINDOW_UPDATE", "stream_id": rows.first_stream_id, "increment": rows.stream_window})
    return {
        "schema": 1,
        "id": rows.id,
        "client": {"family": rows.family, "version": rows.version, "os": rows.os},
        "tls": tls,
        "http2": {
            "frames_complete": True,
            "exact": True,
            "record_groups": None
            if "H2_ONE_RECORD" not in rows.flags
            else [["PREFACE", *(frame["type"] for frame in frames)]],
            "frames": frames,
        },
        "http1": {"headers": [list(pair) for pair in rows.h1_headers]},
        "rules": {
            "flags": [flag for flag in FLAGS if flag in rows.flags],
            "priority_mode": rows.priority_mode,
            "hpack": rows.hpack,
            "kinds_of": rows.kinds_of,
            "kinds": kinds_to_json(rows),
            "client_hints": rows.hints or None,
            "data_frame_max": rows.data_frame_max,
            "ech_payload": None if rows.ech_payload == "NONE" else rows.ech_payload,
            "places": places,
        },
    }


def hello_length(rows: Rows, tls: dict[str, Any], host_length: int) -> int:
    """The length of the first ClientHello's handshake message without padding, for a host name of that length.

    Where an ECH payload is drawn the longest counts.
    """
    length = 4 + 2 + 32 + 1 + rows.session_id_len + 2 + 2 * len(rows.suites) + 2 + 2
    for item in tls["extensions"]:
        body = item["length"]
        if item["type"] == SERVER_NAME:
            body = 5 + host_length
        elif item["type"] == ECH:
            body = 10 + rows.ech_enc_len + (max(rows.ech_lengths) if rows.ech_lengths else 239)
        length += 4 + (body or 0)
    return length
