"""What the server writes down about a connection."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

from .texts import fingerprints


def pretty(value: Any, indent: int = 0, width: int = 116) -> str:
    """JSON text with everything that fits on a line on one line."""
    text = json.dumps(value, ensure_ascii=False)
    if indent + len(text) <= width or not isinstance(value, (dict, list)) or not value:
        return text
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = [
            json.dumps(key) + ": " + pretty(item, indent + 1 + len(key) + 4, width)
            if not isinstance(item, (dict, list))
            else json.dumps(key) + ": " + pretty(item, indent + 1, width)
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(pad + item for item in items) + "\n" + " " * indent + "}"
    if all(isinstance(item, (int, str)) and len(str(item)) < 24 for item in value):
        lines, line = [], ""
        for item in value:
            piece = json.dumps(item) + ", "
            if line and indent + 1 + len(line) + len(piece) > width:
                lines.append(line.rstrip())
                line = ""
            line += piece
        lines.append(line.rstrip(", "))
        return "[\n" + "\n".join(pad + line for line in lines) + "\n" + " " * indent + "]"
    return "[\n" + ",\n".join(pad + pretty(item, indent + 1, width) for item in value) + "\n" + " " * indent + "]"


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
