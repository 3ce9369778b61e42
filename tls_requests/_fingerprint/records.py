"""What the server writes down about a connection."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from .jsontext import pretty
from .texts import fingerprints


def write_json(path: str, value: Any) -> None:
    """Replace the file in one step, so that a reader never sees half of it."""
    folder = os.path.dirname(os.path.abspath(path))
    with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
        file.write(pretty(value) + "\n")
    os.replace(file.name, path)


def has_request(record: dict[str, Any]) -> bool:
    if record.get("http1"):
        return bool(record["http1"]["requests"])
    return any(frame["type"] == "HEADERS" for frame in (record.get("http2") or {}).get("frames", ()))


def asks_for_last(record: dict[str, Any]) -> bool:
    requests = (record.get("http1") or {}).get("requests", ())
    return any(item["request_line"].split(" ")[1:2] == ["/.last"] for item in requests)


def with_fingerprints(record: dict[str, Any]) -> dict[str, Any]:
    http2 = record.get("http2")
    texts = [fingerprints(item["decoded"]) for item in record["client_hellos"][:1]]
    record = dict(record, fingerprints=texts[0] if texts else {})
    if http2:
        record["fingerprints"].update(fingerprints(None, http2))
    return record


def summary(record: dict[str, Any]) -> dict[str, Any]:
    """What a client is told about itself."""
    record = with_fingerprints(record)
    return {
        key: record[key] for key in ("negotiated", "fingerprints", "client_hellos", "http2", "http1") if record.get(key)
    }
