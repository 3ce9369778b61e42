"""Small helpers of the public API: text and bytes conversion, JSON, logging."""

from __future__ import annotations

import base64
import importlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

__all__ = [
    "b64decode",
    "get_logger",
    "import_module",
    "json_dumps",
    "to_base64",
    "to_bytes",
    "to_json",
    "to_str",
]

FORMAT = "[%(asctime)s] %(levelname)-8s %(name)s:%(funcName)s:%(lineno)d - %(message)s"
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"

# Kept for programs that look at them: this library parses and writes JSON with the standard library.
orjson: ModuleType | None = None
jsonlib: ModuleType = json

# A library stays silent unless the program sets logging up.
logging.getLogger("TLSRequests").addHandler(logging.NullHandler())
logging.getLogger("TLSLibrary").addHandler(logging.NullHandler())


def import_module(name: str | Sequence[str]) -> ModuleType | None:
    """Import the first of these modules that can be imported; None when none can.

    >>> import_module(["no_such_module", "json"]).__name__
    'json'
    """
    for item in [name] if isinstance(name, str) else name:
        try:
            return importlib.import_module(item)
        except ImportError:
            continue
    return None


def __getattr__(name: str) -> Any:
    # `chardet` is looked for on first use: the import costs more than that of this whole package.
    if name == "chardet":
        module = import_module(["charset_normalizer", "chardet"])
        globals()["chardet"] = module
        return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def get_logger(name: str = "TLSRequests", level: int | str = logging.INFO) -> logging.Logger:
    """Return the logger of that name with its level set and, the first time, a handler that writes to standard error."""
    logger = logging.getLogger(name)
    logger.setLevel(level)
    if not any(not isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(FORMAT, DATE_FORMAT))
        logger.addHandler(handler)
    return logger


def to_plain(value: Any) -> Any:
    """The value as the standard library's encoder takes it, by the rules of orjson: dates as ISO 8601, UUIDs and others as
    text, enumerations by value, dataclasses as objects, NaN and infinities as null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, bool)) or type(value) is int:
        return value
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    import dataclasses
    import datetime
    import enum

    if isinstance(value, enum.Enum):
        return to_plain(value.value)
    if isinstance(value, int):
        return int(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)


def to_str(value: object, encoding: str = "utf-8", *, lower: bool = False) -> str:
    """Turn a value into text: None is empty, bytes are decoded, containers become compact JSON, booleans `true`/`false`.

    Raises UnicodeDecodeError for bytes that are not valid in the encoding.
    """
    if isinstance(value, str):
        text = value
    elif value is None:
        text = ""
    elif isinstance(value, (bytes, bytearray)):
        text = value.decode(encoding)
    elif isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, (dict, list, tuple, set)):
        value = list(value) if isinstance(value, set) else value
        text = json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":"))
    else:
        text = str(value)
    return text.lower() if lower else text


def to_bytes(value: object, encoding: str = "utf-8", *, lower: bool = False) -> bytes:
    """Turn a value into bytes: bytes and bytearrays as they are, everything else by `to_str`. `lower` has no effect."""
    if isinstance(value, (bytes, bytearray)):
        return value  # type: ignore[return-value]  # a bytearray is handed back unchanged, as callers expect
    return to_str(value).encode(encoding)


def utf8(text: str, what: str) -> bytes:
    """The text as UTF-8. Raises TypeError naming `what` for lone surrogates, which have none."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise TypeError(f"{what} is not valid Unicode: {error.reason}.") from None


def to_base64(value: object, encoding: str = "utf-8") -> str:
    """Base64 text of a value's bytes."""
    return base64.b64encode(to_bytes(value, encoding)).decode("ascii")


def b64decode(value: str | bytes) -> bytes:
    """Decode base64. Raises binascii.Error for text that is none."""
    return base64.b64decode(value)


def to_json(value: str | bytes | bytearray | dict[str, Any], **kwargs: Any) -> Any:
    """Parse JSON text; a dict is returned as it is. Keywords go to `json.loads`. Raises json.JSONDecodeError."""
    if isinstance(value, dict):
        return value
    return json.loads(value, **kwargs)


def json_dumps(value: object, **kwargs: Any) -> str:
    """JSON text, compact and with non-ASCII characters as they are, unless keywords of `json.dumps` say otherwise.

    Raises TypeError for objects that cannot be encoded.
    """
    if "indent" not in kwargs:
        kwargs.setdefault("separators", (",", ":"))
    kwargs.setdefault("ensure_ascii", False)
    return json.dumps(value, **kwargs)
