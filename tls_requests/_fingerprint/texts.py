"""JA3, JA4 and Akamai texts. `tls` is a decoded ClientHello or a profile's "tls", `http2` a record's or profile's
"http2"."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from .client_hello import extension

PSEUDO_LETTERS = {":method": "m", ":authority": "a", ":scheme": "s", ":path": "p", ":protocol": "r", ":status": "t"}


def _without_grease(values: Iterable[Any]) -> list[int]:
    return [value for value in values if value != "GREASE"]


def _values(tls: dict[str, Any], number: int, field: str) -> list[int]:
    item = extension(tls, number) or {}
    return [value for value in item.get(field) or () if isinstance(value, int)]


def ja3_text(tls: dict[str, Any], sort_extensions: bool = False) -> str:
    numbers = _without_grease(item["type"] for item in tls["extensions"])
    if sort_extensions:
        numbers = sorted(numbers)
    return ",".join(
        [
            str(tls["legacy_version"]),
            "-".join(map(str, _without_grease(tls["cipher_suites"]))),
            "-".join(map(str, numbers)),
            "-".join(map(str, _values(tls, 10, "groups"))),
            "-".join(map(str, _values(tls, 11, "formats"))),
        ]
    )


def _ja4_alpn(tls: dict[str, Any]) -> str:
    protocols = (extension(tls, 16) or {}).get("protocols")
    if not protocols or not protocols[0]:
        return "00"
    first: bytes = protocols[0].encode("latin-1")
    ends = chr(first[0]), chr(first[-1])
    if all(char.isascii() and char.isalnum() for char in ends):
        return "".join(ends)
    return first.hex()[0] + first.hex()[-1]


def ja4_parts(tls: dict[str, Any], transport: str = "t") -> tuple[str, list[str], list[str], list[str]]:
    """JA4's head, sorted ciphers, sorted extensions (no SNI, no ALPN) and signature algorithms in order."""
    versions = _values(tls, 43, "versions") or [tls["legacy_version"]]
    version = {772: "13", 771: "12", 770: "11", 769: "10", 768: "s3", 2: "s2"}.get(max(versions), "00")
    ciphers = _without_grease(tls["cipher_suites"])
    numbers = _without_grease(item["type"] for item in tls["extensions"])
    head = "%s%s%s%02d%02d%s" % (
        transport,
        version,
        "d" if extension(tls, 0) else "i",
        min(len(ciphers), 99),
        min(len(numbers), 99),
        _ja4_alpn(tls),
    )
    return (
        head,
        sorted("%04x" % value for value in ciphers),
        sorted("%04x" % number for number in numbers if number not in (0, 16)),
        ["%04x" % value for value in _values(tls, 13, "algorithms")],
    )


def ja4_texts(tls: dict[str, Any], transport: str = "t") -> tuple[str, str]:
    """(JA4, JA4_r)"""
    head, cipher_list, numbers, algorithms = ja4_parts(tls, transport)
    ciphers, tail = ",".join(cipher_list), ",".join(numbers)
    if algorithms:
        tail += "_" + ",".join(algorithms)

    def short(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:12] if text else "0" * 12

    return "_".join((head, short(ciphers), short(tail))), "_".join((head, ciphers, tail))


def akamai_text(http2: dict[str, Any]) -> str | None:
    """SETTINGS|WINDOW_UPDATE|PRIORITY|pseudo-header order, or None when the first frames are not known."""
    frames = http2.get("frames") or []
    if http2.get("frames_complete") is False or not frames:
        return None
    settings, window, priorities, order = "", "00", [], ""
    for frame in frames:
        kind = frame["type"]
        if kind == "SETTINGS" and not frame.get("ack") and not settings:
            settings = ";".join("%d:%d" % tuple(pair) for pair in frame["settings"])
        elif kind == "WINDOW_UPDATE" and frame["stream_id"] == 0 and window == "00":
            window = str(frame["increment"])
        elif kind == "PRIORITY":
            priorities.append(
                "%d:%d:%d:%d" % (frame["stream_id"], frame["exclusive"], frame["depends_on"], frame["weight"])
            )
        elif kind == "HEADERS":
            order = ",".join(PSEUDO_LETTERS.get(name, "?") for name in frame["pseudo_headers"])
            break
    return "|".join((settings, window, ",".join(priorities) or "0", order))


def fingerprints(tls: dict[str, Any] | None = None, http2: dict[str, Any] | None = None) -> dict[str, str]:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    texts: dict[str, str] = {}
    if tls:
        ja3, ja3n = ja3_text(tls), ja3_text(tls, sort_extensions=True)
        ja4, ja4_r = ja4_texts(tls)
        texts.update(ja3_text=ja3, ja3_hash=md5(ja3), ja3n_text=ja3n, ja3n_hash=md5(ja3n), ja4=ja4, ja4_r=ja4_r)
    akamai = akamai_text(http2) if http2 else None
    if akamai:
        texts.update(akamai_text=akamai, akamai_hash=md5(akamai))
    return texts
