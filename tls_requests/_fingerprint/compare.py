"""Comparing a record with a profile, field by field."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .client_hello import EXTENSION_NAMES
from .frames import H2_PREFACE
from .wire import ParseError


def is_choice(expected: Any) -> bool:
    return isinstance(expected, dict) and set(expected) == {"any_of"}


def matches(expected: Any, got: Any) -> bool:
    """null in a profile means "not known or varies"; {"any_of": [...]} means one of these."""
    if expected is None:
        return True
    if is_choice(expected):
        return any(matches(choice, got) for choice in expected["any_of"])
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(matches(value, got.get(key)) for key, value in expected.items())
    if isinstance(expected, list):
        return isinstance(got, list) and len(expected) == len(got) and all(map(matches, expected, got))
    return bool(expected == got)


class Differences(list[dict[str, Any]]):
    def check(self, field: str, expected: Any, got: Any) -> None:
        if not matches(expected, got):
            self.append({"field": field, "expected": expected, "got": got})


def label(item: dict[str, Any]) -> str:
    if item["type"] == "GREASE":
        return "GREASE"
    return "%d(%s)" % (item["type"], item.get("name") or EXTENSION_NAMES.get(item["type"], "unknown"))


def expected_padding(hello_length: int, padding: str | None) -> int | None:
    """The padding extension's data length under BoringSSL's rule, for a ClientHello without that extension."""
    if padding != "boringssl" or not 0xFF < hello_length < 0x200:
        return None
    room = 0x200 - hello_length
    return room - 4 if room >= 4 + 1 else 1


def compare_tls(expected: dict[str, Any], got: dict[str, Any], found: Differences | None = None) -> Differences:
    found = Differences() if found is None else found
    for field in ("record_version", "legacy_version", "session_id_length", "cipher_suites", "compression_methods"):
        if field == "record_version" and got.get(field) is None:
            continue  # a capture without its record layer
        found.check("tls." + field, expected.get(field), got.get(field))
    if expected.get("records") is not None and got.get("records"):
        found.check("tls.records", expected["records"], len(got["records"]))

    want, have = expected["extensions"], got["extensions"]
    rule = expected.get("padding")
    if rule is not None:
        padding = [item for item in have if item["type"] == 21]
        have = [item for item in have if item["type"] != 21]
        want = [item for item in want if item["type"] != 21]
        bare = got["length"] - sum(4 + item["length"] for item in padding)
        found.check(
            "tls.padding",
            [expected_padding(bare, rule)] if expected_padding(bare, rule) else [],
            [item["length"] for item in padding],
        )

    want_types, have_types = [item["type"] for item in want], [item["type"] for item in have]
    if expected.get("extension_order") == "permuted":
        missing, extra = _multiset_difference(want_types, have_types)
        if missing or extra:
            found.append(
                {
                    "field": "tls.extensions (as a set)",
                    "expected": "missing: " + (", ".join(map(_type_label, missing)) or "none"),
                    "got": "unexpected: " + (", ".join(map(_type_label, extra)) or "none"),
                }
            )
        pinned = expected.get("pinned") or {}
        first, last = pinned.get("first") or [], pinned.get("last") or []
        found.check("tls.extensions first", first, have_types[: len(first)])
        found.check("tls.extensions last", last, have_types[len(have_types) - len(last) :])
    elif want_types != have_types:
        found.append(
            {
                "field": "tls.extensions (in order)",
                "expected": ", ".join(map(label, want)),
                "got": ", ".join(map(label, have)),
            }
        )

    rest = list(have)
    for item in want:
        for candidate in rest:
            if candidate["type"] == item["type"]:
                rest.remove(candidate)
                for key, value in item.items():
                    if key not in ("type", "name"):
                        found.check("tls.extension %s.%s" % (label(item), key), value, candidate.get(key))
                if candidate.get("malformed"):
                    found.append(
                        {
                            "field": "tls.extension " + label(item),
                            "expected": "well-formed",
                            "got": candidate["malformed"],
                        }
                    )
                break
    return found


def _type_label(number: Any) -> str:
    return "GREASE" if number == "GREASE" else "%d(%s)" % (number, EXTENSION_NAMES.get(number, "unknown"))


def _multiset_difference(first: Iterable[Any], second: Iterable[Any]) -> tuple[list[Any], list[Any]]:
    first, second = list(first), list(second)
    for value in list(first):
        if value in second:
            first.remove(value)
            second.remove(value)
    return first, second


# Headers whose value is the request's own, not the client's fingerprint.
OWN_VALUES = {"host", "cookie", "referer", "origin", "content-length", "authorization"}


def compare_headers(where: str, expected: Any, got: Any, found: Differences, level: str = "values") -> None:
    if expected is None or level == "none":
        return
    found.check(where + " (names in order)", [name for name, _ in expected], [name for name, _ in got])
    if level == "values":
        values = {name: value for name, value in got}
        for name, value in expected:
            if name.lower() not in OWN_VALUES and name in values:
                found.check("%s %s" % (where, name), value, values[name])


def opening_frames(http2: dict[str, Any]) -> list[dict[str, Any]]:
    """The frames up to the first HEADERS and that stream's WINDOW_UPDATE behind it; no acknowledgements."""
    out, stream_id = [], None
    for frame in http2.get("frames") or ():
        if frame.get("ack"):
            continue
        if stream_id is None:
            out.append(frame)
            if frame["type"] == "HEADERS":
                stream_id = frame.get("stream_id", -1)
        else:
            if frame["type"] == "WINDOW_UPDATE" and frame["stream_id"] == stream_id:
                out.append(frame)
            break
    return out


def record_groups(record: dict[str, Any]) -> list[list[str]]:
    """How the opening frames lay in TLS records: the frames' names, a list for each record with data."""
    edges, total = [], 0
    for item in record.get("records") or ():
        if item.get("plaintext"):
            total += item["plaintext"]
            edges.append(total)
    groups: list[list[str]] = [[] for _ in edges]
    position, last = len(H2_PREFACE), None
    if edges:
        groups[0].append("PREFACE")
    for frame in (record.get("http2") or {}).get("frames") or ():
        number = next((index for index, edge in enumerate(edges) if position < edge), None)
        if number is None or (last is not None and (number > last or frame["type"] == "HEADERS")):
            break
        position += 9 + frame["length"] + sum(9 + size for size in frame.get("continuations", ()))
        if not frame.get("ack"):
            groups[number].append(frame["type"])
        if frame["type"] == "HEADERS":
            last = number
    return [group for group in groups if group]


def compare_http2(
    expected: dict[str, Any],
    got: dict[str, Any],
    found: Differences | None = None,
    headers: str = "values",
    hpack: bool = False,
) -> Differences:
    found = Differences() if found is None else found
    want, have = opening_frames(expected), opening_frames(got)
    if expected.get("frames_complete") is False:
        want = [frame for frame in want if frame["type"] == "HEADERS"]
        have = [frame for frame in have if frame["type"] == "HEADERS"]
    elif not expected.get("exact") and have and have[-1]["type"] != "HEADERS":
        del have[-1]  # what follows HEADERS is not known
    found.check("http2.frames", [frame["type"] for frame in want], [frame["type"] for frame in have])
    for index, (left, right) in enumerate(zip(want, have)):
        kind = left["type"]
        if kind != right["type"]:
            continue
        where = "http2.frame %d %s" % (index, kind)
        for field, value in left.items():
            if field in ("type", "headers", "hpack", "pseudo_values", "length", "block_length", "at"):
                continue
            if field == "stream_id" and kind == "WINDOW_UPDATE" and value:
                continue  # the request's stream, compared in HEADERS
            found.check("%s.%s" % (where, field), value, right.get(field))
        if kind == "HEADERS":
            compare_headers(where + ".headers", left.get("headers"), right["headers"], found, headers)
            if expected.get("exact") and left.get("priority") is None and right.get("priority") is not None:
                found.append({"field": where + ".priority", "expected": "none", "got": right["priority"]})
            if hpack and left.get("hpack"):
                found.check(where + ".hpack", left["hpack"], right.get("hpack"))
    return found


def compare_http1(
    expected: dict[str, Any], got: dict[str, Any], found: Differences | None = None, headers: str = "values"
) -> Differences:
    found = Differences() if found is None else found
    compare_headers("http1.headers", expected.get("headers"), got["headers"], found, headers)
    return found


def select_variant(profile: dict[str, Any], name: str | None) -> dict[str, Any]:
    if not name:
        return profile
    try:
        variant: dict[str, Any] = profile["variants"][name]
        return variant
    except KeyError:
        known = ", ".join(profile.get("variants") or ()) or "none"
        raise ParseError("the profile has no variant %r; it has: %s" % (name, known)) from None


def compare(
    profile: dict[str, Any],
    record: dict[str, Any],
    headers: str = "values",
    hpack: bool = False,
    records: bool = False,
    hello: int = 0,
) -> Differences:
    """All differences between a profile (or one of its variants) and a record of `serve`."""
    found = Differences()
    if profile.get("tls"):
        if len(record["client_hellos"]) <= hello:
            found.append({"field": "tls", "expected": "ClientHello number %d" % (hello + 1), "got": None})
        else:
            compare_tls(profile["tls"], record["client_hellos"][hello]["decoded"], found)
    if profile.get("http2") and record.get("http2"):
        compare_http2(profile["http2"], record["http2"], found, headers, hpack)
        if records:
            found.check("http2.record_groups", profile["http2"].get("record_groups"), record_groups(record))
    elif profile.get("http1") and record.get("http1"):
        compare_http1(profile["http1"], record["http1"]["requests"][0], found, headers)
    return found
