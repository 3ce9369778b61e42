"""Profiles in words: the fields of a profile as text, the difference between two, and how they are printed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .client_hello import EXTENSION_NAMES
from .registry import GROUP_NAMES, SETTING_NAMES, SIGNATURE_NAMES, SUITES, VERSION_NAMES


class Difference(NamedTuple):
    """A field in which two fingerprints differ; None: not there."""

    field: str
    mine: str | None
    theirs: str | None


def named(value: Any, table: Mapping[int, str]) -> str:
    if not isinstance(value, int):
        return str(value)
    return table.get(value) or "0x%04x" % value


def listed(values: Any, table: Mapping[int, str]) -> str:
    return ", ".join(named(value, table) for value in values)


def choice(value: Any) -> str:
    if isinstance(value, dict) and "any_of" in value:
        return "one of " + ", ".join(map(str, value["any_of"]))
    return "varies" if value is None else str(value)


def extension_text(item: dict[str, Any]) -> str:
    """The contents of an extension."""
    kind = item["type"]
    if "groups" in item:
        return listed(item["groups"], GROUP_NAMES)
    if "shares" in item:
        return ", ".join("%s (%d)" % (named(s["group"], GROUP_NAMES), s["length"]) for s in item["shares"])
    if "versions" in item:
        return listed(item["versions"], VERSION_NAMES)
    if "algorithms" in item:
        return listed(item["algorithms"], {1: "zlib", 2: "brotli", 3: "zstd"} if kind == 27 else SIGNATURE_NAMES)
    if "protocols" in item:
        return ", ".join(item["protocols"])
    if kind == 65037:
        return "GREASE: KDF %s, AEAD %s, payload %s bytes" % (
            item["kdf"],
            choice(item["aead"]),
            choice(item["payload_length"]),
        )
    rest = {k: v for k, v in item.items() if k not in ("type", "name", "length") and v not in (None, "")}
    text = ", ".join("%s %s" % (name.replace("_", " "), value) for name, value in rest.items())
    return text or ("empty" if item.get("length") == 0 else "filled in for each connection")


def label(kind: Any) -> str:
    return "GREASE" if not isinstance(kind, int) else "%s (%d)" % (EXTENSION_NAMES.get(kind, "unknown"), kind)


def facts(value: dict[str, Any]) -> dict[str, str]:
    """Fields of a profile in the schema, in words."""
    tls, found = value["tls"], {}
    found["TLS record version"] = named(tls["record_version"], VERSION_NAMES)
    found["TLS hello version"] = named(tls["legacy_version"], VERSION_NAMES)
    found["TLS session id"] = "%d bytes" % tls["session_id_length"]
    found["TLS cipher suites"] = listed(tls["cipher_suites"], SUITES)
    kinds = [item["type"] for item in tls["extensions"]]
    if tls["extension_order"] == "permuted":
        found["TLS extension order"] = "shuffled for each connection"
        kinds = sorted(kinds, key=lambda kind: (not isinstance(kind, int), kind))
    else:
        found["TLS extension order"] = "fixed"
    found["TLS extensions"] = ", ".join(map(label, kinds))
    if tls.get("padding"):
        found["TLS padding"] = "256 to 511 bytes become 512"
    num_grease = 0
    for item in tls["extensions"]:
        name = label(item["type"])
        if name == "GREASE":
            num_grease += 1
            name = "GREASE %d" % num_grease
        found["TLS " + name] = extension_text(item)
    priority_frames = 0
    for frame in value["http2"]["frames"]:
        if frame["type"] == "SETTINGS":
            pairs = ("%s=%d" % (named(number, SETTING_NAMES), setting) for number, setting in frame["settings"])
            found["HTTP/2 SETTINGS"] = ", ".join(pairs) or "empty"
        elif frame["type"] == "WINDOW_UPDATE":
            where = "connection" if frame["stream_id"] == 0 else "stream"
            found["HTTP/2 WINDOW_UPDATE of the " + where] = str(frame["increment"])
        elif frame["type"] == "PRIORITY":
            priority_frames += 1
            found["HTTP/2 PRIORITY %d" % priority_frames] = "stream %d, %s" % (
                frame["stream_id"],
                priority_text(frame),
            )
        elif frame["type"] == "HEADERS":
            found["HTTP/2 first stream"] = str(frame["stream_id"])
            found["HTTP/2 pseudo-headers"] = ", ".join(frame["pseudo_headers"])
            found["HTTP/2 priority"] = "none" if frame["priority"] is None else priority_text(frame["priority"])
            order = [name for name, _ in frame["headers"]]
            found["header order (HTTP/2)"] = ", ".join(order)
            found.update({"header " + name: text for name, text in frame["headers"] if text is not None})
    found["header order (HTTP/1.1)"] = ", ".join(name for name, _ in value["http1"]["headers"])
    rules = value.get("rules", {})
    flags = rules.get("flags", [])
    found["sessions"] = (
        ", ".join(
            text
            for flag, text in (
                ("RESUMES_13", "TLS 1.3 sessions are resumed"),
                ("RESUMES_12", "TLS 1.2 sessions are resumed"),
                ("EARLY_DATA", "early data"),
                ("PSK_DROPS_TICKET", "no session_ticket beside a PSK"),
            )
            if flag in flags
        )
        or "not resumed"
    )
    encoder = {"CHROMIUM": "as Chromium", "FIREFOX": "as Firefox"}.get(rules.get("hpack"))
    found["HTTP/2 header blocks"] = encoder or "in no browser's manner: not known"
    if rules.get("data_frame_max"):
        found["HTTP/2 DATA frames"] = "up to %d bytes" % rules["data_frame_max"]
    return found


def priority_text(item: dict[str, Any]) -> str:
    return "weight %d, depends on %d%s" % (
        item["weight"],
        item["depends_on"],
        ", exclusive" if item["exclusive"] else "",
    )


def differences(mine: dict[str, str], theirs: dict[str, str]) -> list[Difference]:
    names = list(mine) + [name for name in theirs if name not in mine]
    return [Difference(name, mine.get(name), theirs.get(name)) for name in names if mine.get(name) != theirs.get(name)]


# ------------------------------------------------------------------------------------------------------------- printing


class Style:
    """Colours where they are wanted, nothing elsewhere."""

    def __init__(self, coloured: bool) -> None:
        self.coloured = coloured

    def paint(self, code: str, text: str) -> str:
        return "\033[%sm%s\033[0m" % (code, text) if self.coloured else text

    def name(self, text: str) -> str:
        return self.paint("1", text)

    def mine(self, text: str) -> str:
        return self.paint("32", text)

    def theirs(self, text: str) -> str:
        return self.paint("31", text)


def wrapped(text: str, indent: int, width: int) -> str:
    """A text broken at blanks, its further lines indented."""
    import textwrap

    lines = textwrap.wrap(text, max(width - indent, 20), break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(lines)


def page(title: str, texts: Mapping[str, str | None], fields: Mapping[str, str], style: Style, width: int) -> str:
    """A fingerprint for people."""
    lines = [style.name(title)]
    column = max(len(name) for name in [*texts, *fields]) + 2
    column = min(column, 34)
    for name, text in [*texts.items(), *fields.items()]:
        if text is not None:
            head = name.ljust(column) if len(name) < column else name + "\n" + " " * column
            lines.append(head + wrapped(text, column, width))
    return "\n".join(lines)


def comparison(found: list[Difference], mine: str, theirs: str, style: Style, width: int) -> str:
    """Differences for people."""
    if not found:
        return "%s and %s: no difference" % (mine, theirs)
    lines = ["%s %s, %s %s:" % (style.mine("-"), mine, style.theirs("+"), theirs)]
    for item in found:
        lines.append(style.name(item.field))
        for sign, text, paint in (("-", item.mine, style.mine), ("+", item.theirs, style.theirs)):
            lines.append(paint("  %s %s" % (sign, wrapped("not sent" if text is None else text or '""', 4, width))))
    lines.append("%d difference%s" % (len(found), "" if len(found) == 1 else "s"))
    return "\n".join(lines)


def cell(text: str | None, other: str | None, paint: Callable[[str], str], width: int) -> list[tuple[int, str]]:
    """Lines of a column as (visible length, text); items of a list that the other side lacks are painted."""
    if text is None:
        return [(len("not sent"), paint("not sent"))]
    known = set((other or "").split(", "))
    lines: list[tuple[int, str]] = []
    length, line = 0, ""
    items = text.split(", ") if text else ['""']
    for index, item in enumerate(items):
        comma = "," if index + 1 < len(items) else ""
        for start in range(0, len(item), width - 2):
            piece = item[start : start + width - 2]
            end = comma if start + width - 2 >= len(item) else ""
            if length and length + 1 + len(piece) + len(end) > width:
                lines.append((length, line))
                length, line = 0, ""
            blank = " " if length else ""
            line += blank + (paint(piece) if item not in known else piece) + end
            length += len(blank) + len(piece) + len(end)
    lines.append((length, line))
    return lines


def columns(found: list[Difference], mine: str, theirs: str, style: Style, width: int) -> str:
    """Differences side by side."""
    if not found:
        return "%s and %s: no difference" % (mine, theirs)
    half = (width - 5) // 2
    lines = ["  %s%s | %s" % (style.mine(mine[:half]), " " * (half - len(mine[:half])), style.theirs(theirs[:half]))]
    for item in found:
        lines.append(style.name(item.field))
        left = cell(item.mine, item.theirs, style.mine, half)
        right = cell(item.theirs, item.mine, style.theirs, half)
        for index in range(max(len(left), len(right))):
            length, text = left[index] if index < len(left) else (0, "")
            other = right[index][1] if index < len(right) else ""
            lines.append(("  %s%s | %s" % (text, " " * (half - length), other)).rstrip())
    lines.append("%d difference%s" % (len(found), "" if len(found) == 1 else "s"))
    return "\n".join(lines)
