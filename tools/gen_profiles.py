#!/usr/bin/env python3
"""Writes src/profile/profiles.inc, the C tables of browser profiles, from profiles/ and profiles/derived/, and the list
of them, docs/profiles.md.

    gen_profiles.py                     read the profiles, write src/profile/profiles.inc and docs/profiles.md
    gen_profiles.py --check             exit code 1 when a committed file is not what would be written
    gen_profiles.py --out FILE DIR ...  read other folders (one of them with an aliases.json)

A profile is a capture, in the schema that profiles/README.md describes, or {"inherits": "other_id", ...} with what
differs. What a capture does not say comes from its family's rules. The reading, the rules and the checks are those that
profiles made at run time pass, too: tls_requests/_fingerprint/rows.py and engines.py. A file that cannot be used is
refused with the path of the field and the reason. Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from package_part import load

if TYPE_CHECKING:
    from tls_requests._fingerprint import kinds as profile_kinds
    from tls_requests._fingerprint.catalogue import Name, ProfileInfo, catalogue
    from tls_requests._fingerprint.client_hints import HINTS
    from tls_requests._fingerprint.engines import ENGINES, Engine
    from tls_requests._fingerprint.kinds import KINDS, SAME
    from tls_requests._fingerprint.registry import FLAGS, GREASE_VALUE
    from tls_requests._fingerprint.rows import (
        Ext,
        FieldError,
        Headers,
        Node,
        Rows,
        has_kinds,
        major,
        merge,
    )
    from tls_requests._fingerprint.rows import build as build_rows
    from tls_requests._fingerprint.rows import read_kinds as read_recorded
else:
    _catalogue, _engines, _registry, _rows = map(load, ("catalogue", "engines", "registry", "rows"))
    Name, ProfileInfo, catalogue = _catalogue.Name, _catalogue.ProfileInfo, _catalogue.catalogue
    ENGINES, Engine = _engines.ENGINES, _engines.Engine
    FLAGS, GREASE_VALUE = _registry.FLAGS, _registry.GREASE_VALUE
    profile_kinds = load("kinds")
    KINDS, SAME = profile_kinds.KINDS, profile_kinds.SAME
    HINTS = load("client_hints").HINTS
    Ext, FieldError, Headers, Node, Rows = _rows.Ext, _rows.FieldError, _rows.Headers, _rows.Node, _rows.Rows
    has_kinds, major, merge = _rows.has_kinds, _rows.major, _rows.merge
    build_rows, read_recorded = _rows.build, _rows.read_kinds

ROOT = Path(__file__).resolve().parent.parent
ALIASES = "aliases.json"
TABLES = ROOT / "src" / "profile" / "profiles.inc"

# --------------------------------------------------------------------------------------------------------------
# Reading files


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FieldError(str(path), str(error)) from error


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
                    raise FieldError(str(path), "the id %r is also in %s" % (path.stem, self.raw[path.stem][0]))
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

    def basis(self, name: str) -> str:
        source = self.resolve(name).get("source")
        return "derived" if isinstance(source, dict) and source.get("kind") == "derived" else "capture"

    def profiles(self) -> list[Rows]:
        return [build(Node(self.resolve(name), str(self.raw[name][0])), name) for name in sorted(self.raw)]


def read_kinds(root: Node, profile: Rows) -> None:
    """What other requests than navigations look like where the capture has none: as the engine's live capture has it."""
    engine_name = root["client"]["engine"].value if "engine" in root["client"] else None
    engine = ENGINES[engine_name]
    if has_kinds(root) or engine.kinds is None or not profile.h2_headers:
        return
    if engine.kinds == "fetch standard":
        profile.kinds = {
            "http2": profile_kinds.derived_kinds(profile.h2_headers),
            "http1": profile_kinds.derived_kinds(profile.h1_headers),
        }
        return
    path = engine.kinds + ".json"
    read_recorded(Node(read_json(ROOT / "profiles" / path), path), profile, engine)
    accept = next((value or "" for name, value in profile.h2_headers if name == "accept"), "")
    for version, kinds in profile.kinds.items():
        profile.kinds[version] = profile_kinds.adapt(kinds, engine_name or "", major(profile), accept)


def build(root: Node, name: str) -> Rows:
    profile = build_rows(root, name)
    read_kinds(root, profile)
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

    def kinds(self, prefix: str, profile: Rows) -> str:
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

    def hints(self, prefix: str, profile: Rows) -> str:
        values = [c_text(profile.hints.get(name)) for name in HINTS] if profile.hints else []
        return self.array("char *const", prefix + "_hints", values)

    def profile(self, profile: Rows) -> list[str]:
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
        hints = self.hints(prefix, profile)
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
            ".hints = %s," % hints,
        ]


def c_priority(item: tuple[int, int, int, bool]) -> str:
    return "{%d, %d, %d, %s}" % (item[0], item[1], item[2], "true" if item[3] else "false")


def name_table(library: Library, profiles: list[Rows]) -> tuple[list[Name], int]:
    """All names, sorted, and the index of the default profile.

    A profile's entry in the list is its first alias, else its id. An alias with "basis": "nearest" is an entry of its own;
    families belong to the entry of the name that they stand for.
    """
    names = {
        profile.id: Name(profile.id, index, profile.id, library.basis(profile.id))
        for index, profile in enumerate(profiles)
    }
    table = library.aliases
    if table is None:
        raise FieldError("", "there is no %s" % ALIASES)
    ids = set(names)
    entries: dict[str, str] = {}
    for alias, value in table["aliases"].object().items():
        where = table["aliases"][alias]
        target = where["profile"].text() if isinstance(value, dict) else where.text()
        if alias in ids and alias != target:
            where.fail("%r is another profile's id" % alias)
        if target not in ids:
            where.fail("there is no profile %r" % (target,))
        nearest = isinstance(value, dict) and "basis" in where
        if nearest and where["basis"].value != "nearest":
            where["basis"].fail('is not "nearest"; the others follow from the profile\'s source')
        entry = alias if nearest else entries.setdefault(target, alias)
        names[alias] = Name(alias, names[target].index, entry, "nearest" if nearest else names[target].basis)
    for target, entry in entries.items():
        names[target] = Name(target, names[target].index, entry, names[target].basis)
    for family, value in table["families"].object().items() if "families" in table else ():
        where = table["families"][family]
        if family in names:
            where.fail("%r is another profile's name" % family)
        if where.text() not in names:
            where.fail("there is no profile %r" % value)
        target_name = names[value]
        names[family] = Name(family, target_name.index, target_name.entry, target_name.basis)
    default = table["default"].text()
    if default not in names:
        table["default"].fail("there is no profile %r" % default)
    return sorted(names.values(), key=lambda item: item.name.encode()), names[default].index


def generate(folders: list[Path]) -> str:
    return generate_both(folders)[0]


def generate_both(folders: list[Path]) -> tuple[str, str]:
    """(the tables, the page)."""
    library = Library(folders)
    profiles = library.profiles()
    if not profiles:
        raise FieldError("", "no profiles in %s" % ", ".join(map(str, folders)))
    names, default = name_table(library, profiles)
    writer = Writer()
    writer.out.append("/* Generated by tools/gen_profiles.py from profiles/. Do not edit. */")
    rows = [writer.profile(profile) for profile in profiles]
    table = ["static const tr_profile_t profiles[] = {"]
    for index, row in enumerate(rows):
        table += ["    {", "        .key = %d," % (index + 1)] + ["        " + line for line in row] + ["    },"]
    writer.out.append("\n".join(table + ["};"]))
    writer.out.append("#define PROFILE_DEFAULT %d" % default)
    writer.out.append(
        "static const tr_profile_name_t profile_names[] = {\n%s\n};"
        % "\n".join(
            "    {%s, %s, %d, TR_BASIS_%s}," % (c_text(item.name), c_text(item.entry), item.index, item.basis.upper())
            for item in names
        )
    )
    return "\n\n".join(writer.out) + "\n", page(catalogue(profiles, names))


PAGE = """# All profiles

<!-- Generated by tools/gen_profiles.py. Do not edit. -->

The names that `client_identifier` takes; `tls_requests.profiles()` is this list with JA3, user agent and the full
Akamai text. A name in brackets means the same profile. Basis: *capture* (a real browser was recorded), *derived*
(measured from what impersonation libraries send, corrected by the captures of the family), *nearest* (no data of that
version: that of the nearest). JA4 is that of a first connection; the Akamai column is the hash (- where HTTP/2 is not
offered).

| Name | Version | Platform | Basis | JA4 | Akamai |
| --- | --- | --- | --- | --- | --- |
"""


def page(entries: list[ProfileInfo]) -> str:
    lines = []
    for info in entries:
        aliases = " (%s)" % ", ".join("`%s`" % name for name in info.aliases) if info.aliases else ""
        lines.append(
            "| `%s`%s | %s | %s | %s | `%s` | %s |"
            % (
                info.name,
                aliases,
                info.version or "-",
                info.platform or "-",
                info.basis,
                info.ja4,
                "`%s`" % info.akamai_hash if info.akamai_hash else "-",
            )
        )
    return PAGE + "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Generates the C tables of browser profiles, and their list.")
    parser.add_argument(
        "folders", nargs="*", type=Path, help="folders of profiles (default: profiles/ and its derived/)"
    )
    parser.add_argument("--out", type=Path, help="the tables (default: src/profile/profiles.inc, and docs/profiles.md)")
    parser.add_argument("--check", action="store_true", help="compare only; exit code 1: a file is out of date")
    args = parser.parse_args(argv)
    try:
        tables, text = generate_both(args.folders or [ROOT / "profiles", ROOT / "profiles" / "derived"])
    except FieldError as error:
        print("gen_profiles.py: %s" % error, file=sys.stderr)
        return 2
    written = {args.out: tables} if args.out else {TABLES: tables, ROOT / "docs" / "profiles.md": text}
    for path, wanted in written.items():
        if not args.check:
            path.write_text(wanted, encoding="ascii")
        elif not path.exists() or path.read_text(encoding="ascii") != wanted:
            print("%s is out of date: run tools/gen_profiles.py" % path, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
