#!/usr/bin/env python3
"""Writes src/profile/profiles.inc, the C tables of browser profiles, from profiles/*.json.

    gen_profiles.py                     read profiles/, write src/profile/profiles.inc
    gen_profiles.py --check             exit code 1 when the committed file is not what would be written
    gen_profiles.py --out FILE DIR ...  read other folders (one of them with an aliases.json)

A profile is a capture, in the schema that profiles/README.md describes, or {"inherits": "other_id", ...} with what
differs. What a capture does not say comes from its family's rules, the table ENGINES below. A file that cannot be
used is refused with the path of the field and the reason. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parent))
import profile_kinds
from profile_kinds import KINDS, SAME, Rows

ROOT = Path(__file__).resolve().parent.parent
ALIASES = "aliases.json"
GREASE = "GREASE"
GREASE_VALUE = 0x0A0A
MAX_EXTENSIONS = 64  # tr_hello_t.order
MAX_SHARES = 4  # TR_HELLO_MAX_SHARES
TLS13 = 772

# fmt: off
# IANA TLS ExtensionType values that are treated one by one.
(SERVER_NAME, STATUS_REQUEST, GROUPS, POINT_FORMATS, SIGNATURES, ALPN, PADDING, COMPRESS, RECORD_LIMIT, DELEGATED,
 TICKET, PSK, EARLY_DATA, VERSIONS, COOKIE, PSK_MODES, SIGNATURES_CERT, KEY_SHARE, ALPS_OLD, ALPS, TRUST_ANCHORS,
 ECH, RENEGOTIATION) = (0, 5, 10, 11, 13, 16, 21, 27, 28, 34, 35, 41, 42, 43, 44, 45, 50, 51, 17513, 17613, 51764,
                        65037, 65281)
# Lists of 16-bit numbers: the field's name and the length of the list's own length.
VALUE_LISTS = {GROUPS: ("groups", 2), SIGNATURES: ("algorithms", 2), SIGNATURES_CERT: ("algorithms", 2),
               DELEGATED: ("algorithms", 2), VERSIONS: ("versions", 1), COMPRESS: ("algorithms", 1)}
# Lengths of the key shares of the groups that the engine knows (src/crypto/kex.h).
SHARE_LENGTHS = {GREASE: 1, 23: 65, 24: 97, 25: 133, 29: 32, 30: 56, 256: 256, 257: 384, 4587: 1249, 4588: 1216,
                 25497: 1216}

FLAGS = ["PSK_DROPS_TICKET", "RESUMES_13", "RESUMES_12", "TICKET12_ONCE", "PADDING_BORINGSSL", "PERMUTES",
         "SHARES_X25519", "RETRY_KEEPS_GREASE", "ALPS", "EARLY_DATA", "H2_EMPTY_DATA", "H2_ONE_RECORD",
         "SENDS_GOAWAY"]
# fmt: on
PSEUDO_LETTERS = {":method": "m", ":authority": "a", ":scheme": "s", ":path": "p"}


@dataclass(frozen=True)
class Engine:
    """What a family does where a capture is silent. `source` says where each rule was read."""

    source: str
    flags: frozenset[str] = frozenset()
    cookie_behind: tuple[int, ...] = (VERSIONS,)  # the cookie extension's place in a second ClientHello
    ech_payload: str = "DRAWN"
    ech_aeads: tuple[int, ...] = (1,)
    ech_lengths: tuple[int, ...] = (144, 176, 208, 240)
    hpack: str = "GENERIC"  # whose encoder (src/http2/hpack.c)
    data_frame_max: int = 0
    stream_window: int = 0  # what a stream's window is raised to right behind its HEADERS; 0: not raised
    priorities: tuple[tuple[int, int | None], ...] = ()  # from version on: weight (None: no priority)
    priority_mode: str = "FIXED"
    openings: tuple[tuple[int, str], ...] = ()  # from version on: SETTINGS|WINDOW_UPDATE, where not recorded
    connection: str = "keep-alive"
    connection_behind: str | None = "host"  # HTTP/1.1: None puts it last
    # What is sent for other requests than navigations (profile_kinds.py) where the file has none: the id of a capture of the
    # engine that has them, "fetch standard" (not recorded: derived), None (no browser: every request is alike).
    kinds: str | None = None
    http1_drops: frozenset[str] = frozenset({"te"})
    lower_case: tuple[str, ...] = ()  # prefixes of names that stay lower case over HTTP/1.1
    # Places of headers that a request may bring: (name, the names before which it stands; none of them: last).
    places: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("content-type", ()),
        ("content-length", ()),
        ("origin", ()),
        ("referer", ()),
        ("cookie", ()),
    )


# fmt: off
GECKO_PLACE = ("upgrade-insecure-requests", "sec-fetch-dest", "priority", "te")
ENGINES: dict[str | None, Engine] = {
    "chromium": Engine(
        source="chromium_156_linux.json (notes, variants, requests); resumption as Chrome's derived files; opening"
               " frames: derived captures of 103 to 117; BoringSSL for the cookie's place and the ECH lengths",
        flags=frozenset({"RESUMES_13", "RESUMES_12"}),
        hpack="CHROMIUM", data_frame_max=16375, priorities=((0, 256),), priority_mode="CHROMIUM",
        openings=((0, "1:65536;3:1000;4:6291456;6:262144|15663105"),
                  (106, "1:65536;2:0;3:1000;4:6291456;6:262144|15663105"),
                  (117, "1:65536;2:0;4:6291456;6:262144|15663105")),
        kinds="chromium_156_linux", http1_drops=frozenset({"te", "priority"}), lower_case=("sec-ch-ua",),
        places=(("content-length", ("sec-ch-ua", "upgrade-insecure-requests", "user-agent")),
                ("content-type", ("user-agent",)), ("origin", ("accept",)),
                ("referer", ("accept-encoding",)), ("cookie", ("priority",)))),
    "gecko": Engine(
        source="firefox_153_linux.json (notes, variants, requests); NSS for the cookie's place",
        flags=frozenset({"PSK_DROPS_TICKET", "RESUMES_13", "RESUMES_12", "TICKET12_ONCE", "SHARES_X25519",
                         "EARLY_DATA", "H2_EMPTY_DATA"}),
        cookie_behind=(SIGNATURES, VERSIONS), ech_payload="NSS", ech_aeads=(1, 3), ech_lengths=(),
        hpack="FIREFOX", data_frame_max=16000, stream_window=12582912, priorities=((0, 42),),
        connection_behind="accept-encoding", kinds="firefox_153_linux",
        places=(("content-type", ("connection",) + GECKO_PLACE), ("content-length", ("connection",) + GECKO_PLACE),
                ("origin", ("connection",) + GECKO_PLACE), ("referer", GECKO_PLACE), ("cookie", GECKO_PLACE))),
    "webkit": Engine(
        source="Safari's captures and derived files; its resumption is not known, so none is offered; openings: "
               "derived 15.6.1; places of request headers: not known, put last",
        priorities=((0, 255), (18, 256), (26, None)),
        openings=((0, "4:4194304;3:100|10485760"),), connection_behind=None, kinds="fetch standard"),
    "cfnetwork": Engine(source="as webkit; no headers are known", priorities=((0, None),), connection_behind=None),
    "okhttp": Engine(
        source="OkHttp's own headers in the order of its BridgeInterceptor; its resumption is not known",
        priorities=((0, None),), connection="Keep-Alive",
        places=(("content-length", ("host", "accept-encoding")), ("content-type", ("content-length",)),
                ("origin", ("content-type",)), ("referer", ("content-type",)), ("cookie", ("user-agent",)))),
    "openssl": Engine(source="OpenSSL's order of extensions", cookie_behind=(KEY_SHARE,), priorities=((0, None),)),
    None: Engine(source="nothing is known: neither resumption nor places", priorities=((0, None),)),
}
# fmt: on
# HTTP/1.1 names whose capitals are not the first letters of their words.
HTTP1_NAMES = {"dnt": "DNT", "te": "TE", "sec-gpc": "Sec-GPC"}
# Requests of a capture that are read for the places of headers, in order of preference: navigations only.
PLACE_KINDS = ("form_post_by_click", "form_post_by_script", "navigation_by_click", "iframe")
PLACE_NAMES = ("content-length", "content-type", "origin", "referer", "cookie")


class ProfileError(Exception):
    """A file cannot be used; the text names the field and the reason."""


class Node:
    """A value of a JSON file with the path that leads to it."""

    def __init__(self, value: Any, path: str) -> None:
        self.value, self.path = value, path

    def fail(self, reason: str) -> NoReturn:
        raise ProfileError("%s: %s" % (self.path, reason))

    def object(self) -> dict[str, Any]:
        if not isinstance(self.value, dict):
            self.fail("is no object")
        return self.value

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str) -> Node:
        if key not in self.object():
            self.fail("has no %r" % key)
        return Node(self.value[key], "%s%s%s" % (self.path, ": " if self.path.endswith(".json") else ".", key))

    def get(self, key: str) -> Node | None:
        return self[key] if key in self else None

    def items(self) -> list[Node]:
        if not isinstance(self.value, list):
            self.fail("is no list")
        return [Node(value, "%s[%d]" % (self.path, index)) for index, value in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str):
            self.fail("is no text")
        if any(not 0x20 <= ord(char) <= 0x7E for char in self.value):
            self.fail("has characters outside printable ASCII")
        return self.value

    def number(self, low: int, high: int) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool) or not low <= self.value <= high:
            self.fail("%s is no number from %d to %d" % (json.dumps(self.value), low, high))
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
        return [item.u16() for item in self.items()]

    def hex(self) -> bytes:
        try:
            return bytes.fromhex(self.text())
        except ValueError:
            self.fail("is no hex")

    def choices(self) -> list[Node]:
        """The values of {"any_of": [...]}, or the one value."""
        if isinstance(self.value, dict) and set(self.value) == {"any_of"}:
            found = self["any_of"].items()
            if not found:
                self["any_of"].fail("is empty")
            return found
        return [self]


@dataclass
class Ext:
    type: int
    values: list[int] = field(default_factory=list)
    data: bytes = b""


@dataclass
class Profile:
    """The fields of tr_profile_t."""

    id: str
    family: str
    version: str
    os: str
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
    h2_headers: list[tuple[str, str | None]] = field(default_factory=list)
    h1_headers: list[tuple[str, str | None]] = field(default_factory=list)
    user_agent: str | None = None
    # version: kind: rows
    kinds: dict[str, dict[str, Rows]] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)


# --------------------------------------------------------------------------------------------------------------
# Reading files


def merge(base: Any, change: Any) -> Any:
    """`change` over `base`: objects key by key, anything else (lists too) replaced."""
    if isinstance(base, dict) and isinstance(change, dict):
        merged = dict(base)
        for key, value in change.items():
            merged[key] = merge(base.get(key), value)
        return merged
    return change


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ProfileError("%s: %s" % (path, error)) from error


class Library:
    """All profile files of some folders, with "inherits" resolved."""

    def __init__(self, folders: list[Path]) -> None:
        self.raw: dict[str, tuple[Path, Any]] = {}
        self.aliases: Node | None = None
        for folder in folders:
            for path in sorted(folder.glob("*.json")):
                if path.name == ALIASES:
                    self.aliases = Node(read_json(path), str(path))
                elif path.stem in self.raw:
                    raise ProfileError("%s: the id %r is also in %s" % (path, path.stem, self.raw[path.stem][0]))
                else:
                    self.raw[path.stem] = (path, read_json(path))

    def resolve(self, name: str, seen: tuple[str, ...] = ()) -> Any:
        path, value = self.raw[name]
        node = Node(value, str(path))
        if "inherits" not in node.object():
            return value
        parent = node["inherits"].text()
        if parent not in self.raw:
            node["inherits"].fail("there is no profile %r" % parent)
        if parent == name or parent in seen:
            node["inherits"].fail("goes round in a circle: %s" % " -> ".join(seen + (name, parent)))
        rest = {key: item for key, item in value.items() if key != "inherits"}
        return merge(self.resolve(parent, seen + (name,)), rest)

    def profiles(self) -> list[Profile]:
        return [build(Node(self.resolve(name), str(self.raw[name][0])), name) for name in sorted(self.raw)]


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


def key_share(node: Node) -> tuple[list[int], int]:
    """The groups in order, and the extension's length."""
    groups, length = [], 2
    for share in node["shares"].items():
        group = share["group"].u16()
        known = SHARE_LENGTHS.get(share["group"].value)
        if known is None:
            share["group"].fail("a key share of group %d cannot be made" % group)
        share["length"].number(known, known)
        if group in groups:
            share["group"].fail("stands twice")
        groups.append(group)
        length += 4 + known
    if len([group for group in groups if group != GREASE_VALUE]) > MAX_SHARES:
        node["shares"].fail("has more than %d shares" % MAX_SHARES)
    return groups, length


def extension_data(node: Node, kind: int) -> bytes:
    """The body of an extension that is sent as it is."""
    if kind == STATUS_REQUEST and "status_type" in node:
        for name in ("responder_ids_length", "request_extensions_length"):
            if name in node:
                node[name].number(0, 0)
        return bytes([node["status_type"].number(1, 1)]) + bytes(4)
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
    if node["length"].value != 0:
        node.fail("extension %d has neither data nor a length of 0" % kind)
    return b""


def read_extension(node: Node, profile: Profile, engine: Engine) -> Ext | None:
    """The row of one extension; None: no row (padding)."""
    kind = node["type"].u16()
    ext = Ext(kind)
    length: int | None = None
    if kind == PADDING:
        return None
    if kind in (PSK, EARLY_DATA, COOKIE):
        node.fail("extension %d is no part of a first ClientHello" % kind)
    if kind == SERVER_NAME:
        return ext
    if kind in VALUE_LISTS:
        name, prefix = VALUE_LISTS[kind]
        ext.values = node[name].u16s()
        if not ext.values:
            node[name].fail("is empty")
        length = prefix + 2 * len(ext.values)
    elif kind == KEY_SHARE:
        ext.values, length = key_share(node)
    elif kind == ECH:
        read_ech(node, profile, engine)
    elif kind == TICKET:
        length = 0
    else:
        ext.data = extension_data(node, kind)
        length = len(ext.data)
    recorded = node.get("length")
    if length is not None and recorded is not None and recorded.value != length:
        recorded.fail("%s, but the fields make %d bytes" % (json.dumps(recorded.value), length))
    return ext


def read_ech(node: Node, profile: Profile, engine: Engine) -> None:
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


def read_pinned(tls: Node, profile: Profile) -> None:
    order = tls["extension_order"].text()
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


def set_flag(profile: Profile, name: str, value: bool | None) -> None:
    """What the capture says, where it says something."""
    if value is not None:
        (profile.flags.add if value else profile.flags.discard)(name)


def tls_flags(profile: Profile, root: Node, tls: Node) -> None:
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


def read_tls(root: Node, profile: Profile, engine: Engine) -> None:
    tls = root["tls"]
    profile.record_version = tls["record_version"].number(0x0301, 0x0303)
    profile.legacy_version = tls["legacy_version"].number(0x0303, 0x0303)
    profile.session_id_len = tls["session_id_length"].number(0, 32)
    if profile.session_id_len not in (0, 32):
        tls["session_id_length"].fail("is neither 0 nor 32")
    profile.suites = tls["cipher_suites"].u16s()
    if not 0 < len(profile.suites) <= 256:
        tls["cipher_suites"].fail("has no suites, or more than 256")
    if tls["compression_methods"].value != [0]:
        tls["compression_methods"].fail("is not [0]: nothing else may be offered with TLS 1.3 (RFC 8446 4.1.2)")
    seen: set[int] = set()
    for node in tls["extensions"].items():
        ext = read_extension(node, profile, engine)
        if ext is None:
            continue
        if ext.type in seen and ext.type != GREASE_VALUE:
            node["type"].fail("stands twice")
        seen.add(ext.type)
        profile.exts.append(ext)
    if sum(ext.type == GREASE_VALUE for ext in profile.exts) > 2:
        tls["extensions"].fail("has more than two GREASE extensions")
    if len(profile.exts) > MAX_EXTENSIONS - 2:
        tls["extensions"].fail("has more than %d extensions" % (MAX_EXTENSIONS - 2))
    if "padding" in tls:
        if tls["padding"].value != "boringssl":
            tls["padding"].fail('the only rule known is "boringssl"')
        profile.flags.add("PADDING_BORINGSSL")
    elif PADDING in ext_types(tls):
        tls["extensions"].fail('has padding, but no rule for it is given ("padding": "boringssl")')
    tls_flags(profile, root, tls)
    read_pinned(tls, profile)
    add_places(profile.exts, root, engine, "EARLY_DATA" in profile.flags)


# --------------------------------------------------------------------------------------------------------------
# HTTP/2 and headers


def major(profile: Profile) -> int:
    digits = profile.version.split(".")[0]
    return int(digits) if digits.isdigit() else 0


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


def read_settings(frame: Node) -> list[tuple[int, int]]:
    settings = []
    for item in frame["settings"].items():
        pair = item.items()
        if len(pair) != 2:
            item.fail("is no pair of id and value")
        settings.append((pair[0].number(0, 0xFFFF), pair[1].number(0, 0xFFFFFFFF)))
    return settings


def read_headers_frame(frame: Node, profile: Profile, engine: Engine) -> list[tuple[str, str]]:
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
            profile.priority_mode = engine.priority_mode if profile.priority[3] else "FIXED"
    else:
        weight = by_version(engine.priorities, major(profile))
        if weight is not None:
            group = profile.priority_frames[-1][0] if profile.priority_frames else 0
            profile.priority = (profile.first_stream_id, group, weight, engine.priority_mode == "CHROMIUM")
            profile.priority_mode = engine.priority_mode
    return header_list(frame["headers"]) if "headers" in frame else []


def header_list(node: Node) -> list[tuple[str, str]]:
    headers = []
    for item in node.items():
        pair = item.items()
        if len(pair) != 2:
            item.fail("is no pair of name and value")
        name = pair[0].text()
        if not name or any(char in '"(),/:;<=>?@[\\]{} ' for char in name):
            pair[0].fail("is no header name")
        headers.append((name, pair[1].text()))
    return headers


def read_http2(root: Node, profile: Profile, engine: Engine) -> list[tuple[str, str]]:
    """The opening of a connection; gives the navigation's headers."""
    headers: list[tuple[str, str]] | None = None
    if "http2" not in root:
        return []
    http2 = root["http2"]
    for frame in http2["frames"].items():
        kind = frame["type"].text()
        if headers is not None:
            if kind == "WINDOW_UPDATE" and frame["stream_id"].value != 0:
                profile.stream_window = frame["increment"].number(1, 0x7FFFFFFF)
            break
        if kind == "SETTINGS" and not profile.settings:
            profile.settings = read_settings(frame)
        elif kind == "WINDOW_UPDATE":
            profile.window = frame["increment"].number(1, 0x7FFFFFFF)
        elif kind == "PRIORITY":
            profile.priority_frames.append(read_priority(frame, frame["stream_id"].number(1, 0x7FFFFFFF)))
        elif kind == "HEADERS":
            headers = read_headers_frame(frame, profile, engine)
        else:
            frame["type"].fail("%s is no part of a connection's opening" % kind)
    if headers is None:
        http2["frames"].fail("has no HEADERS")
    if http2["frames_complete"].value is False:
        opening = by_version(engine.openings, major(profile))
        if opening is None:
            http2["frames_complete"].fail("false, and nothing is known of the family's SETTINGS")
        settings, window = opening.split("|")
        profile.settings = [(int(pair.split(":")[0]), int(pair.split(":")[1])) for pair in settings.split(";")]
        profile.window = int(window)
    if engine.stream_window and not profile.stream_window and not http2.value.get("exact"):
        profile.stream_window = engine.stream_window - dict(profile.settings).get(4, 65535)
    groups = http2.get("record_groups")
    if groups is not None and groups.items():
        set_flag(profile, "H2_ONE_RECORD", "HEADERS" in groups.items()[0].value)
    return headers


def read_bodies(root: Node, profile: Profile, engine: Engine) -> None:
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


def insert_header(headers: list[tuple[str, str | None]], name: str, before: tuple[str, ...]) -> None:
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


def place_headers(headers: list[tuple[str, str | None]], root: Node, version: str, engine: Engine) -> None:
    """Puts the places of the request's own headers in."""
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


def read_headers(root: Node, profile: Profile, engine: Engine, navigation: list[tuple[str, str]]) -> None:
    for name, value in navigation:
        if name != name.lower():
            root["http2"].fail("the header name %r is not lower case" % name)
        if name == "user-agent":
            profile.user_agent = value
    profile.h2_headers = list(navigation)
    place_headers(profile.h2_headers, root, "http2", engine)
    http1: list[tuple[str, str | None]]
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
    return header_list(requests[kind]["headers"])


def read_kinds(root: Node, profile: Profile, engine_name: str | None, engine: Engine) -> None:
    """What other requests than navigations look like: as recorded, else as the engine's live capture has it."""
    if engine.kinds is None or not profile.h2_headers:
        return
    accept = next((value or "" for name, value in profile.h2_headers if name == "accept"), "")
    if engine.kinds == "fetch standard":
        profile.kinds = {
            "http2": profile_kinds.derived_kinds(profile.h2_headers),
            "http1": profile_kinds.derived_kinds(profile.h1_headers),
        }
        return
    own = "requests" in root and recorded_headers(root, "http2", "fetch_get") is not None
    source = root if own else Node(read_json(ROOT / "profiles" / (engine.kinds + ".json")), engine.kinds + ".json")
    for version in ("http2", "http1"):
        navigation = recorded_headers(source, version, "navigation") or []

        def spelled(name: str, version: str = version) -> str:
            return http1_name(name, engine) if version == "http1" else name

        kinds = profile_kinds.recorded_kinds(
            lambda wanted, kind: recorded_headers(source, wanted, kind), version, navigation, spelled
        )
        profile.kinds[version] = kinds if own else profile_kinds.adapt(kinds, engine_name or "", major(profile), accept)
    if profile.priority_frames or profile.priority_mode == "NONE":
        return  # an older tree of priorities: what its other requests had is not known
    for kind, sources in KINDS:
        for capture_kind in sources:
            requests = source["requests"]["http2"]
            if capture_kind in requests and "priority" in requests[capture_kind]:
                profile.weights[kind] = requests[capture_kind]["priority"]["weight"].number(1, 256)
                break


def build(root: Node, name: str) -> Profile:
    if root["schema"].value != 1:
        root["schema"].fail("is not 1")
    if root["id"].text() != name:
        root["id"].fail("is not the file's name")
    client = root["client"]
    engine_name = client["engine"].value if "engine" in client else None
    if engine_name not in ENGINES:
        client["engine"].fail(
            "no rules for the engine %r; known: %s" % (engine_name, ", ".join(sorted(filter(None, ENGINES))))
        )
    engine = ENGINES[engine_name]
    profile = Profile(
        name,
        client["family"].text(),
        client["version"].text() if "version" in client else "",
        client["os"].text() if "os" in client else "",
        set(engine.flags),
    )
    read_tls(root, profile, engine)
    navigation = read_http2(root, profile, engine)
    read_bodies(root, profile, engine)
    read_headers(root, profile, engine, navigation)
    read_kinds(root, profile, engine_name, engine)
    return profile


# --------------------------------------------------------------------------------------------------------------
# Writing C


def c_text(text: str | None) -> str:
    if text is None:
        return "NULL"
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"').replace("??", "?\\?")


def c_value(value: object) -> str:
    """A header's value: a text, a place, or that of the navigation."""
    if value is SAME:
        return "tr_profile_same"
    assert value is None or isinstance(value, str)
    return c_text(value)


def wrapped(items: list[str], indent: str = "    ", separator: str = " ", width: int = 112) -> str:
    lines, line = [], indent
    for item in items:
        if len(line) + len(item) > width and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += item + separator
    lines.append(line.rstrip())
    return "\n".join(lines)


def c_bytes(data: bytes) -> str:
    """A slice initializer."""
    if not data:
        return "{NULL, 0}"
    pieces = ['"%s"' % "".join("\\x%02x" % byte for byte in data[at : at + 24]) for at in range(0, len(data), 24)]
    text = pieces[0] if len(pieces) == 1 else "\n        " + "\n        ".join(pieces)
    return "{(const uint8_t *)%s, %d}" % (text, len(data))


class Writer:
    """Collects definitions. Equal tables are defined once: profiles of a family share most of theirs."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.names: dict[tuple[str, str], str] = {}

    def table(self, kind: str, name: str, body: str) -> str:
        """Defines a table, or finds one with the same contents; gives its name. Empty: NULL."""
        if not body:
            return "NULL"
        if (kind, body) not in self.names:
            self.names[kind, body] = name
            self.out.append("static const %s %s[] = {\n%s\n};" % (kind, name, body))
        return self.names[kind, body]

    def array(self, kind: str, name: str, items: list[str]) -> str:
        return self.table(kind, name, wrapped([item + "," for item in items]))

    def u16s(self, name: str, values: list[int]) -> str:
        return self.array(
            "uint16_t", name, ["TR_GREASE" if value == GREASE_VALUE else "0x%04x" % value for value in values]
        )

    def headers(self, name: str, headers: Sequence[tuple[str, object]]) -> str:
        rows = ["    {%s, %s}," % (c_text(key), c_value(value)) for key, value in headers]
        return self.table("tr_profile_header_t", name, "\n".join(rows))

    def extensions(self, prefix: str, exts: list[Ext]) -> str:
        rows = []
        for ext in exts:
            values = self.u16s("%s_ext_%s" % (prefix, ext.type), ext.values)
            kind = "TR_GREASE" if ext.type == GREASE_VALUE else str(ext.type)
            rows.append("    {%s, %d, %s, %s}," % (kind, len(ext.values), values, c_bytes(ext.data)))
        return self.table("tr_profile_ext_t", prefix + "_exts", "\n".join(rows))

    def kinds(self, prefix: str, profile: Profile) -> str:
        rows = []
        for kind, _ in KINDS if profile.kinds else ():
            h2, h1 = (profile.kinds[version].get(kind, []) for version in ("http2", "http1"))
            rows.append(
                "    [TR_KIND_%s] = {%s, %d, %s, %d, %d},"
                % (
                    kind,
                    self.headers("%s_h2_%s" % (prefix, kind.lower()), h2),
                    len(h2),
                    self.headers("%s_h1_%s" % (prefix, kind.lower()), h1),
                    len(h1),
                    profile.weights.get(kind, 0),
                )
            )
        return self.table("tr_profile_kind_t", prefix + "_kinds", "\n".join(rows))

    def profile(self, profile: Profile) -> list[str]:
        """Defines a profile's tables; gives the lines of its row."""
        prefix = profile.id.replace("-", "_").replace(".", "_")
        self.out.append("/* --- %s --- */" % profile.id)
        suites = self.u16s(prefix + "_suites", profile.suites)
        exts = self.extensions(prefix, profile.exts)
        aeads = self.u16s(prefix + "_ech_aeads", profile.ech_aeads)
        lengths = self.u16s(prefix + "_ech_lens", profile.ech_lengths)
        settings = self.array(
            "tr_profile_setting_t", prefix + "_settings", ["{%d, %du}" % pair for pair in profile.settings]
        )
        frames = self.array(
            "tr_profile_priority_t",
            prefix + "_priority_frames",
            [c_priority(item) for item in profile.priority_frames],
        )
        h2 = self.headers(prefix + "_h2_headers", profile.h2_headers)
        h1 = self.headers(prefix + "_h1_headers", profile.h1_headers)
        kinds = self.kinds(prefix, profile)
        flags = ["TR_PROFILE_" + name for name in FLAGS if name in profile.flags]
        return [
            ".id = %s," % c_text(profile.id),
            ".family = %s," % c_text(profile.family),
            ".version = %s," % c_text(profile.version),
            ".os = %s," % c_text(profile.os),
            ".flags = " + (" |\n                 ".join(flags) or "0") + ",",
            ".record_version = 0x%04x," % profile.record_version,
            ".legacy_version = 0x%04x," % profile.legacy_version,
            ".session_id_len = %d," % profile.session_id_len,
            ".num_suites = %d," % len(profile.suites),
            ".suites = %s," % suites,
            ".exts = %s," % exts,
            ".num_exts = %d," % len(profile.exts),
            ".num_pinned_first = %d," % profile.pinned_first,
            ".num_pinned_last = %d," % profile.pinned_last,
            ".ech = {%s, %d, %s, %d, %s, %d, %d},"
            % (
                "TR_ECH_NONE" if profile.ech_payload == "NONE" else "TR_ECH_PAYLOAD_" + profile.ech_payload,
                profile.ech_kdf,
                aeads,
                len(profile.ech_aeads),
                lengths,
                len(profile.ech_lengths),
                profile.ech_enc_len,
            ),
            ".settings = %s," % settings,
            ".num_settings = %d," % len(profile.settings),
            ".window_increment = %d," % profile.window,
            ".priority_frames = %s," % frames,
            ".num_priority_frames = %d," % len(profile.priority_frames),
            ".pseudo_order = %s," % c_text(profile.pseudo_order),
            ".first_stream_id = %d," % profile.first_stream_id,
            ".stream_window_increment = %d," % profile.stream_window,
            ".priority_mode = TR_PRIORITY_%s," % profile.priority_mode,
            ".priority = %s," % c_priority(profile.priority),
            ".hpack = TR_HPACK_%s," % profile.hpack,
            ".data_frame_max = %d," % profile.data_frame_max,
            ".h2_headers = %s," % h2,
            ".num_h2_headers = %d," % len(profile.h2_headers),
            ".h1_headers = %s," % h1,
            ".num_h1_headers = %d," % len(profile.h1_headers),
            ".user_agent = %s," % c_text(profile.user_agent),
            ".kinds = %s," % kinds,
        ]


def c_priority(item: tuple[int, int, int, bool]) -> str:
    return "{%d, %d, %d, %s}" % (item[0], item[1], item[2], "true" if item[3] else "false")


def alias_table(library: Library, profiles: list[Profile]) -> tuple[dict[str, int], int]:
    """(name -> index, index of the default profile)."""
    names = {profile.id: index for index, profile in enumerate(profiles)}
    table = library.aliases
    if table is None:
        raise ProfileError("there is no %s" % ALIASES)
    for alias, target in sorted(table["aliases"].object().items()):
        where = table["aliases"][alias]
        if alias in names:
            where.fail("%r is a profile's id" % alias)
        if target not in names or target != profiles[names[target]].id:
            where.fail("there is no profile %r" % (target,))
    aliases = {alias: names[target] for alias, target in table["aliases"].object().items()}
    names.update(aliases)
    default = table["default"].text()
    if default not in names:
        table["default"].fail("there is no profile %r" % default)
    return names, names[default]


def generate(folders: list[Path]) -> str:
    library = Library(folders)
    profiles = library.profiles()
    if not profiles:
        raise ProfileError("no profiles in %s" % ", ".join(map(str, folders)))
    names, default = alias_table(library, profiles)
    writer = Writer()
    writer.out.append("/* Generated by tools/gen_profiles.py from profiles/. Do not edit. */")
    rows = [writer.profile(profile) for profile in profiles]
    table = ["static const tr_profile_t profiles[] = {"]
    for row in rows:
        table += ["    {"] + ["        " + line for line in row] + ["    },"]
    writer.out.append("\n".join(table + ["};"]))
    writer.out.append("#define PROFILE_DEFAULT %d" % default)
    writer.out.append(
        "static const profile_name_t profile_names[] = {\n%s\n};"
        % "\n".join("    {%s, %d}," % (c_text(name), names[name]) for name in sorted(names, key=str.encode))
    )
    return "\n\n".join(writer.out) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generates the C tables of browser profiles.")
    parser.add_argument("folders", nargs="*", type=Path, help="folders of profiles (default: profiles/)")
    parser.add_argument("--out", type=Path, default=ROOT / "src" / "profile" / "profiles.inc")
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1: the file is out of date")
    args = parser.parse_args(argv)
    try:
        text = generate(args.folders or [ROOT / "profiles"])
    except ProfileError as error:
        print("gen_profiles.py: %s" % error, file=sys.stderr)
        return 2
    if args.check:
        current = args.out.read_text(encoding="ascii") if args.out.exists() else ""
        if current != text:
            print("%s is out of date: run tools/gen_profiles.py" % args.out, file=sys.stderr)
            return 1
        return 0
    args.out.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
