"""JSON that people can read."""

from __future__ import annotations

import json
from typing import Any


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
