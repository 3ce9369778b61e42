"""Recordings of connections (`check_fingerprint.py serve`) and raw ClientHellos as profiles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from .agents import client_of
from .client_hello import client_hello_from_bytes, extension
from .engines import ENGINES
from .learn import MAX_SAMPLES, complete_draws, header, kinds, merge_hellos, opening, own_headers, requests_of
from .records import has_request
from .registry import ECH, GREASE, PSK, TICKET
from .rows import FieldError, Node
from .wire import ParseError

# Chrome and what is built on it shuffle the extensions from this version on (chrome_110_windows.json).
CHROMIUM_SHUFFLES = 110


def records_in(value: Any) -> list[dict[str, Any]] | None:
    """The records in what `check_fingerprint.py serve` wrote; None: it is something else."""
    found = value if isinstance(value, list) else [value]
    if found and all(isinstance(item, dict) and isinstance(item.get("client_hellos"), list) for item in found):
        return found
    return None


def hello_bytes(data: bytes) -> bytes:
    """A ClientHello that may be written in hex, with blanks or colons. Raises ParseError."""
    text = data.strip()
    if text and re.fullmatch(rb"[0-9a-fA-F\s:]+", text):
        digits = re.sub(rb"[\s:]+", b"", text)
        if len(digits) % 2:
            raise ParseError("an odd number of hex digits")
        return bytes.fromhex(digits.decode())
    return data


def record_of(data: bytes) -> dict[str, Any]:
    """A record with nothing but a ClientHello, binary or hex, with or without the record layer. Raises ParseError."""
    raw = hello_bytes(data)
    return {"client_hellos": [{"raw": raw.hex(), "decoded": client_hello_from_bytes(raw)}]}


def first_hellos(records: Sequence[dict[str, Any]], path: str) -> list[tuple[str, dict[str, Any]]]:
    """The first ClientHellos of connections without a session: raw, in hex, and decoded."""
    found = []
    for index, record in enumerate(records):
        for item in record["client_hellos"][:1]:
            node = Node(item, "%s[%d].client_hellos[0]" % (path, index))
            raw = node["raw"].hex()
            try:
                hello = client_hello_from_bytes(raw)
            except ParseError as error:
                node["raw"].fail("is no ClientHello: %s" % error)
            ticket = extension(hello, TICKET)
            if extension(hello, PSK) is None and not (ticket is not None and ticket["length"]):
                found.append((raw.hex(), hello))
    return found


def draw_once_seen(tls: dict[str, Any], engine: str | None) -> None:
    """Has an ECH that was seen once drawn as its engine draws it, where what was seen is among that."""
    ech, rules = extension(tls, ECH), ENGINES[engine]
    for key, drawn in (("aead", rules.ech_aeads), ("payload_length", rules.ech_lengths)):
        if ech is not None and ech.get(key) in drawn:
            ech.update({key: {"any_of": list(drawn)}, "length": None})


def profile_of(records: Sequence[dict[str, Any]], name: str, path: str = "") -> dict[str, Any]:
    """A profile in the schema of profiles/README.md of connections of one client, seen by any server: their first
    ClientHellos, and what the last one with a request sent over HTTP. Raises FieldError.

    What differs between the ClientHellos is drawn anew for each connection.
    """
    try:
        return learned(records, name, path)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise FieldError(path, "is no recording: %s" % error) from None


def learned(records: Sequence[dict[str, Any]], name: str, path: str) -> dict[str, Any]:
    """See profile_of. Raises FieldError, and whatever comes of a record that the recording server did not write."""
    notes: list[str] = []
    hellos = first_hellos(records, path)
    if not hellos:
        raise FieldError(path, "has no ClientHello of a connection without a session")
    last: dict[str, Any] = next((record for record in reversed(records) if has_request(record)), {})
    requests = requests_of(last)
    agent = next(filter(None, (header(item["headers"], "user-agent") for item in requests)), "")
    value: dict[str, Any] = {
        "schema": 1,
        "id": name,
        "client": client_of(agent),
        "source": {"kind": "recording", "connections": len(hellos)},
        "tls": merge_hellos([hello for _, hello in hellos], notes, "TLS"),
    }
    client, tls = value["client"], value["tls"]
    complete_draws(tls, client.get("engine"), notes)
    if len(hellos) == 1:
        draw_once_seen(tls, client.get("engine"))
    order = kinds(tls)
    version = re.match(r"\d+", client.get("version", ""))
    if (
        len(hellos) == 1
        and client.get("engine") == "chromium"
        and version is not None
        and int(version[0]) >= CHROMIUM_SHUFFLES
        and order[:1] == order[-1:] == [GREASE]
    ):
        tls.update(extension_order="permuted", pinned={"first": [GREASE], "last": [GREASE]})
        notes.append("TLS: seen once; extensions are shuffled as by every Chromium from %d on." % CHROMIUM_SHUFFLES)
    if (last.get("http2") or {}).get("frames"):
        value["http2"] = opening(last)
    elif requests:
        value["http1"] = {"headers": own_headers(requests[0]["headers"])}
    value["notes"] = notes
    value["samples"] = [raw for raw, hello in hellos if hello["records"]][:MAX_SAMPLES]
    return value
