"""From records of a browser's visits to a profile in the schema of profiles/README.md: what is fixed and what is drawn anew.

A field that is the same in all records is written as it is; one that differs becomes {"any_of": [...]}, or null where nothing can
be said of it (ECH's config_id, the length of a ticket).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from .agents import client_of
from .client_hello import extension
from .compare import expected_padding, opening_frames, record_groups
from .engines import ENGINES
from .registry import ALPN, EARLY_DATA, ECH, KEY_SHARE, PADDING, PSK, SERVER_NAME, TICKET, VERSIONS
from .texts import fingerprints

Hello = dict[str, Any]
Record = dict[str, Any]
# As many raw ClientHellos are kept in the profile: enough to see what repeats.
MAX_SAMPLES = 4
# Cookies that the recording page sets. Others belong to the visitor and are left out.
COOKIES = ("first=one", "second=two", "third=a-longer-value-of-33-characters")
GROUPS_OF_RETRIES = {23: "p256", 24: "p384", 25: "p521"}


def unique(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def merged(values: Sequence[Any]) -> Any:
    """The value, or {"any_of": [...]} where there are several."""
    found = unique(values)
    if len(found) == 1:
        return found[0]
    try:
        found.sort()
    except TypeError:
        pass
    return {"any_of": found}


# ------------------------------------------------------------------------------------------------------------------ TLS


def kinds(hello: Hello) -> list[Any]:
    """The types of a ClientHello's extensions in order, but padding."""
    return [item["type"] for item in hello["extensions"] if item["type"] != PADDING]


def shape(hello: Hello) -> tuple[str, ...]:
    return tuple(sorted(map(str, kinds(hello))))


def common(orders: Sequence[Sequence[Any]]) -> int:
    """How many items at the start are the same in all orders."""
    count = 0
    for items in zip(*orders):
        if any(item != items[0] for item in items):
            break
        count += 1
    return count


def merge_extension(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    kind = items[0]["type"]
    out: dict[str, Any] = {}
    for key in unique(key for item in items for key in item):
        values = [item.get(key) for item in items]
        if key == "host_name":
            continue
        if key == "length":
            same = len(unique(values)) == 1 and kind not in (SERVER_NAME, PSK) and not (kind == TICKET and values[0])
            out[key] = values[0] if same else None
        elif key in ("config_id", "identity_lengths"):
            out[key] = None  # drawn anew; the ticket's, which is the server's
        elif key == "data" and len(unique(values)) > 1:
            same = len({len(value or "") for value in values}) == 1
            out[key] = None if same else values[-1]  # drawn anew; with which lengths is not known
        else:
            out[key] = merged(values)
    return out


def bare_length(hello: Hello) -> int:
    return int(hello["length"] - sum(4 + item["length"] for item in hello["extensions"] if item["type"] == PADDING))


def pads(hello: Hello) -> bool:
    """Whether the hello's padding is what BoringSSL's rule says."""
    found = extension(hello, PADDING)
    return bool(expected_padding(bare_length(hello), "boringssl") == (None if found is None else found["length"]))


def merge_hellos(hellos: Sequence[Hello], notes: list[str], where: str) -> dict[str, Any]:
    """The "tls" of a profile. Where extensions come and go, the most frequent set counts."""
    shapes = [shape(hello) for hello in hellos]
    usual = max(unique(shapes), key=shapes.count)
    rest = len(hellos) - shapes.count(usual)
    if rest:
        notes.append("%s: %d of %d ClientHellos had other extensions; they were left out." % (where, rest, len(hellos)))
    hellos = [hello for hello in hellos if shape(hello) == usual]
    first = hellos[0]
    orders = [kinds(hello) for hello in hellos]
    tls: dict[str, Any] = {
        name: merged([hello[name] for hello in hellos])
        for name in ("record_version", "legacy_version", "session_id_length", "cipher_suites", "compression_methods")
    }
    tls["records"] = merged([len(hello["records"]) for hello in hellos])
    if len(unique(orders)) == 1:
        tls["extension_order"] = "fixed"
        if len(hellos) == 1:
            notes.append("%s: seen once; whether anything is drawn anew is not known." % where)
    else:
        tls["extension_order"] = "permuted"
        num_first, num_last = common(orders), common([order[::-1] for order in orders])
        tls["pinned"] = {"first": orders[0][:num_first], "last": orders[0][len(orders[0]) - num_last :]}
    extensions = []
    for kind in unique(item["type"] for item in first["extensions"]):
        if kind == PADDING:
            continue
        of_kind = [[item for item in hello["extensions"] if item["type"] == kind] for hello in hellos]
        extensions.append([merge_extension(items) for items in zip(*of_kind)])
    counts: dict[Any, int] = {}
    tls["extensions"] = []
    for kind in orders[0]:
        at = next(index for index, items in enumerate(extensions) if items[0]["type"] == kind)
        tls["extensions"].append(extensions[at][counts.get(kind, 0)])
        counts[kind] = counts.get(kind, 0) + 1
    if any(extension(hello, PADDING) for hello in hellos):
        tls["padding"] = "boringssl"
        if not all(map(pads, hellos)):
            notes.append("%s: the padding follows a rule that is not known; BoringSSL's is used." % where)
    tls["hello_lengths_seen"] = sorted({hello["length"] for hello in hellos})
    tls["samples"] = len(hellos)
    if any(hello["grease"] for hello in hellos):
        tls["grease"] = grease_rules(hellos)
    return tls


def grease_rules(hellos: Sequence[Hello]) -> dict[str, Any]:
    """Where GREASE stands, and which of the values agree in all hellos."""
    places = sorted({place for hello in hellos for place in hello["grease"]})
    rules: dict[str, Any] = {"places": places}
    both = [hello["grease"] for hello in hellos if {"groups", "key_shares"} <= set(hello["grease"])]
    if both:
        rules["group_equals_key_share"] = all(item["groups"][:1] == item["key_shares"][:1] for item in both)
    pairs = [hello["grease"]["extensions"] for hello in hellos if len(hello["grease"].get("extensions", ())) == 2]
    if pairs:
        rules["two_extensions_always_differ"] = all(pair[0] != pair[1] for pair in pairs)
    if len(hellos) > 1:
        alone = [place for place in places if place != "key_shares"]
        rules["others_independent"] = not any(
            all(hello["grease"].get(one, [None])[0] == hello["grease"].get(other, [None])[0] for hello in hellos)
            for index, one in enumerate(alone)
            for other in alone[index + 1 :]
        )
    return rules


def complete_draws(tls: dict[str, Any], engine: str | None, notes: list[str]) -> None:
    """Lengths that are drawn: where all that were seen are among those of the engine, the engine's all."""
    ech, rules = extension(tls, ECH), ENGINES.get(engine)
    if ech is None or rules is None or rules.ech_payload != "DRAWN" or "payload_length" not in ech:
        return
    seen = ech["payload_length"]
    values = seen["any_of"] if isinstance(seen, dict) else [seen]
    if len(values) > 1 and set(values) < set(rules.ech_lengths):
        ech["payload_length"] = {"any_of": list(rules.ech_lengths)}
        notes.append("TLS: of the lengths of the ECH payload %s were seen; the others are its engine's." % values)


# ------------------------------------------------------------------------------------------------------- what was visited


def requests_of(record: Record) -> list[dict[str, Any]]:
    """The requests of a connection: version, method, path, headers, frame (HTTP/2) and data_frames."""
    found: list[dict[str, Any]] = []
    frames = (record.get("http2") or {}).get("frames", ())
    for frame in frames:
        if frame["type"] == "HEADERS" and ":path" in frame["pseudo_values"]:
            data = [
                item["length"] - item.get("padding", 0)
                for item in frames
                if item["type"] == "DATA" and item["stream_id"] == frame["stream_id"]
            ]
            found.append(
                {
                    "version": "http2",
                    "method": frame["pseudo_values"].get(":method", ""),
                    "path": frame["pseudo_values"][":path"],
                    "headers": frame["headers"],
                    "frame": frame,
                    "data_frames": data,
                }
            )
    for request in (record.get("http1") or {}).get("requests", ()):
        method, path = ([*request["request_line"].split(" "), "", ""])[:2]
        found.append(
            {"version": "http1", "method": method, "path": path, "headers": request["headers"], "line": request}
        )
    return found


def header(headers: Iterable[Sequence[str]], name: str) -> str | None:
    return next((value for key, value in headers if key.lower() == name), None)


def user_agent_of(record: Record) -> str | None:
    return next(filter(None, (header(request["headers"], "user-agent") for request in requests_of(record))), None)


def kind_of(path: str) -> str | None:
    """The kind of request that a path of the recording page stands for: /k/<kind>, and / for the first navigation."""
    if path == "/":
        return "navigation_first"
    found = re.match(r"/k/([a-z0-9_]+)", path)
    return found[1] if found else None


def offers_http1_alone(hello: Hello) -> bool:
    alpn = extension(hello, ALPN)
    return alpn is not None and alpn.get("protocols") == ["http/1.1"]


def situation(record: Record) -> str:
    """Which of the profile's places the (last) ClientHello of a connection belongs to; "" for none."""
    hellos = record["client_hellos"]
    hello, told = hellos[0]["decoded"], record.get("negotiated") or {}
    psk = extension(hello, PSK) is not None
    ticket = extension(hello, TICKET)
    if offers_http1_alone(hello):
        if not any(kind_of(item["path"]) == "websocket" for item in requests_of(record)):
            return ""
        return "websocket_same_host_http1" if record.get("stage") == "http1" else "websocket"
    if len(hellos) > 1:
        shares = (extension(hellos[1]["decoded"], KEY_SHARE) or {}).get("shares") or []
        groups = [share["group"] for share in shares if share["group"] in GROUPS_OF_RETRIES]
        if not groups:
            return ""
        return ("retry_resumption_%s" if psk else "retry_%s") % GROUPS_OF_RETRIES[groups[0]]
    if psk:
        if not told.get("resumed"):
            return ""
        return "resumption_early_data" if extension(hello, EARLY_DATA) is not None else "resumption"
    if ticket is not None and ticket["length"]:
        return "resumption_tls12" if told.get("resumed") and told.get("version") == "TLSv1.2" else ""
    return "first"


DESCRIPTIONS = {
    "resumption": "a connection that resumes a TLS 1.3 session",
    "resumption_early_data": "a connection that resumes a TLS 1.3 session, with early data",
    "resumption_tls12": "a connection to a host that negotiated TLS 1.2 and gave a ticket before",
    "websocket": "a WebSocket to the host of the page, which speaks HTTP/2",
    "websocket_same_host_http1": "a WebSocket to the host of the page, which speaks HTTP/1.1",
    "retry_p256": "the second ClientHello, after a HelloRetryRequest that asked for P-256",
    "retry_p384": "the second ClientHello, after a HelloRetryRequest that asked for P-384",
    "retry_p521": "the second ClientHello, after a HelloRetryRequest that asked for P-521",
    "retry_resumption_p256": "the same, of a connection that offered a TLS 1.3 session",
    "retry_resumption_p384": "the same, of a connection that offered a TLS 1.3 session",
    "retry_resumption_p521": "the same, of a connection that offered a TLS 1.3 session",
}


# ------------------------------------------------------------------------------------------------------ HTTP and the rest


def own_headers(headers: Iterable[Sequence[str]]) -> list[list[str]]:
    """Headers as they came, without cookies that the recording page did not set."""
    out = []
    for name, value in headers:
        if name.lower() == "cookie":
            ours = [part for part in value.split("; ") if part in COOKIES]
            if not ours:
                continue
            value = "; ".join(ours)
        elif name.lower() in ("authorization", "proxy-authorization"):
            continue
        out.append([name, value])
    return out


FRAME_FIELDS = (
    "type",
    "stream_id",
    "flags",
    "settings",
    "increment",
    "exclusive",
    "depends_on",
    "weight",
    "priority",
    "block_length",
    "pseudo_headers",
    "pseudo_values",
    "headers",
    "hpack",
    "prioritized_stream_id",
    "value",
)


def opening(record: Record) -> dict[str, Any]:
    """The "http2" of a profile."""
    frames = []
    for frame in opening_frames(record["http2"]):
        entry = {key: frame[key] for key in FRAME_FIELDS if key in frame}
        if entry["type"] == "HEADERS":
            entry.setdefault("priority", None)
            kept = own_headers(entry["headers"])
            if kept != entry["headers"]:
                entry.update(headers=kept, hpack=None)  # forms of fields that are left out
        frames.append(entry)
    return {"frames_complete": True, "exact": True, "record_groups": record_groups(record) or None, "frames": frames}


def same_opening(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether all but HEADERS agree."""

    def rest(value: dict[str, Any]) -> list[Any]:
        return [
            {key: item for key, item in frame.items() if frame["type"] != "WINDOW_UPDATE" or key != "stream_id"}
            for frame in value["frames"]
            if frame["type"] != "HEADERS"
        ]

    return rest(one) == rest(other)


def recorded_requests(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """The "requests" of a profile: the first of each kind, by version."""
    found: dict[str, dict[str, Any]] = {"http2": {}, "http1": {}}
    for record in records:
        for request in requests_of(record):
            kind = kind_of(request["path"])
            kind = "favicon" if request["path"] == "/favicon.ico" else kind
            if kind is None or kind in found[request["version"]]:
                continue
            entry: dict[str, Any]
            if request["version"] == "http2":
                frame = request["frame"]
                entry = {
                    "pseudo_headers": [[name, frame["pseudo_values"][name]] for name in frame["pseudo_headers"]],
                    "headers": own_headers(request["headers"]),
                    "stream_id": frame["stream_id"],
                    "priority": frame.get("priority"),
                }
                if request["data_frames"]:
                    entry["data_frames"] = request["data_frames"]
            else:
                entry = {
                    "request_line": request["line"]["request_line"],
                    "headers": own_headers(request["headers"]),
                }
            found[request["version"]][kind] = entry
    return {version: entries for version, entries in found.items() if entries}


def first_requests(records: Sequence[Record], version: str, kind: str) -> list[tuple[Record, dict[str, Any]]]:
    """The connections whose first request is of that kind, with the request."""
    return [
        (record, request)
        for record in records
        for request in requests_of(record)[:1]
        if request["version"] == version and kind_of(request["path"]) == kind
    ]


def reordered(headers: list[list[str]], order: list[str]) -> list[list[str]]:
    """The headers with those named in `order` in that order, at the places that they have together."""
    places = [index for index, (name, _) in enumerate(headers) if name.lower() in order]
    taken = sorted((headers[index] for index in places), key=lambda item: order.index(item[0].lower()))
    out = list(headers)
    for index, item in zip(places, taken):
        out[index] = item
    return out


class NotEnough(ValueError):
    """The records do not show what a profile needs."""


def learn(records: Sequence[Record], name: str, source: dict[str, Any]) -> dict[str, Any]:
    """A profile of one browser's records. Raises NotEnough without a first connection and a navigation.

    source: the profile's "source".
    """
    notes: list[str] = []
    hellos: dict[str, list[Hello]] = {}
    samples: list[str] = []
    for record in records:
        if not record["client_hellos"]:
            continue
        where = situation(record)
        if where:
            hellos.setdefault(where, []).append(record["client_hellos"][-1]["decoded"])
        first = record["client_hellos"][0]
        if where == "first" or (where.startswith("retry_p")):
            if where != "first":
                hellos.setdefault("first", []).append(first["decoded"])
            if len(samples) < MAX_SAMPLES:
                samples.append(first["raw"])
    navigations = {version: first_requests(records, version, "navigation_first") for version in ("http2", "http1")}
    redirected = {version: first_requests(records, version, "navigation_redirected") for version in ("http2", "http1")}
    if "first" not in hellos:
        raise NotEnough("no connection without a session was seen")
    if not navigations["http2"] and not navigations["http1"]:
        raise NotEnough("no visit of the page was seen")
    record, request = (navigations["http2"] or navigations["http1"])[0]
    agent = header(request["headers"], "user-agent")
    client = client_of(agent or "", header(request["headers"], "sec-ch-ua"))
    profile: dict[str, Any] = {"schema": 1, "id": name, "client": client, "source": source}
    profile["tls"] = merge_hellos(hellos["first"], notes, "TLS")
    complete_draws(profile["tls"], client.get("engine"), notes)
    if navigations["http2"]:
        profile["http2"] = opening(record)
        others = [opening(item) for item in records if (item.get("http2") or {}).get("frames")]
        if not all(same_opening(profile["http2"], other) for other in others if other["frames"]):
            notes.append("HTTP/2: the opening frames were not the same in all connections; the first one's are kept.")
    if navigations["http1"]:
        profile["http1"] = {"headers": own_headers(navigations["http1"][0][1]["headers"])}
    elif redirected["http1"]:
        headers = own_headers(redirected["http1"][0][1]["headers"])
        if navigations["http2"] and redirected["http2"]:
            first, later = (
                [name for name, _ in found[0][1]["headers"]] for found in (navigations["http2"], redirected["http2"])
            )
            if first != later and sorted(first) == sorted(later):
                headers = reordered(headers, first)
                notes.append(
                    "HTTP/1.1: headers put in the order of the first HTTP/2 navigation; a redirected one has another."
                )
        profile["http1"] = {"headers": headers}
    texts = fingerprints(profile["tls"], profile.get("http2"))
    profile["variants"] = {}
    for where in sorted(hellos):
        if where == "first":
            continue
        tls = merge_hellos(hellos[where], notes, where)
        # What is drawn for a first connection is drawn for every one: a few connections may agree by chance.
        if profile["tls"]["extension_order"] == "permuted":
            pinned, order = profile["tls"]["pinned"], kinds(hellos[where][0])
            last = pinned["last"] + ([PSK] if order[-1:] == [PSK] else [])
            tls["extension_order"] = "permuted"
            tls["pinned"] = {"first": list(pinned["first"]), "last": last}
        complete_draws(tls, client.get("engine"), [])
        share_draws(profile["tls"], tls)
        profile["variants"][where] = {
            "description": DESCRIPTIONS[where],
            "tls": tls,
            "fingerprints": fingerprints(tls),
        }
    if any("padding" in variant["tls"] for variant in profile["variants"].values()):
        profile["tls"]["padding"] = "boringssl"  # a first ClientHello of that length would have it too
    profile["requests"] = recorded_requests(records)
    profile["fingerprints"] = texts
    profile["notes"] = notes
    profile["samples"] = samples
    return profile


def share_draws(first: dict[str, Any], other: dict[str, Any]) -> None:
    """A variant that was seen a few times draws from what the first connections drew from."""
    one, two = extension(first, ECH), extension(other, ECH)
    if one is None or two is None:
        return
    for key in ("aead", "payload_length"):
        wide, narrow = one.get(key), two.get(key)
        if not isinstance(wide, dict) or "any_of" not in wide:
            continue
        values = narrow["any_of"] if isinstance(narrow, dict) else [narrow]
        if set(values) <= set(wide["any_of"]):
            two[key] = {"any_of": list(wide["any_of"])}
            two["length"] = None


def offers_tls13(hello: Hello) -> bool:
    versions = extension(hello, VERSIONS)
    return versions is not None and 772 in versions.get("versions", ())


def single(record: Record, name: str) -> dict[str, Any]:
    """One connection as a profile that says what was seen, nothing more: for comparing and showing it."""
    if not record["client_hellos"]:
        raise NotEnough("the record has no ClientHello")
    requests = requests_of(record)
    agent = next(filter(None, (header(item["headers"], "user-agent") for item in requests)), None)
    value: dict[str, Any] = {
        "id": name,
        "client": client_of(agent or ""),
        "tls": merge_hellos([record["client_hellos"][0]["decoded"]], [], "TLS"),
    }
    if (record.get("http2") or {}).get("frames"):
        value["http2"] = opening(record)
    if record.get("http1") and record["http1"]["requests"]:
        value["http1"] = {"headers": own_headers(record["http1"]["requests"][0]["headers"])}
    return value
