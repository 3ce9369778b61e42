"""The list of the built-in profiles: what `tls_requests.profiles()` returns and docs/profiles.md shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .registry import ALPN
from .rows import Rows, to_json
from .texts import fingerprints

BASES = ("capture", "derived", "nearest")


@dataclass(frozen=True)
class Name:
    """A name of a built-in profile. index: of its rows; entry: the line of the list that it belongs to."""

    name: str
    index: int
    entry: str
    basis: str


@dataclass(frozen=True)
class ProfileInfo:
    """A built-in profile.

    name: for `client_identifier`; aliases: further names of the same. family: "chrome", "firefox", ...; version: of the
    browser that the data is from; platform: "macos", "windows", "linux", "android", "ios", "ipados" or "".
    basis: "capture" (a real browser was recorded), "derived" (measured from what impersonation libraries send, corrected
    by the captures of the family) or "nearest" (no data of this version: that of the nearest).
    ja3, ja4, akamai and their hashes: of a first connection; a browser that shuffles its extensions has another JA3 on
    each connection, and this one is that of the recorded order. akamai: None where HTTP/2 is not offered.
    user_agent: None where none is known (applications).
    """

    name: str
    aliases: tuple[str, ...]
    family: str
    version: str
    platform: str
    basis: str
    ja3: str
    ja3_hash: str
    ja4: str
    akamai: str | None
    akamai_hash: str | None
    user_agent: str | None


def texts_of(rows: Rows) -> dict[str, str]:
    """JA3, JA4 and Akamai texts of rows."""
    value = to_json(rows)
    texts = fingerprints(value["tls"], value["http2"])
    if not any(ext.type == ALPN and b"\x02h2" in ext.data for ext in rows.exts):
        texts.pop("akamai_text", None)
        texts.pop("akamai_hash", None)
    return texts


def catalogue(profiles: Sequence[Rows], names: Sequence[Name]) -> list[ProfileInfo]:
    """One ProfileInfo for each entry, in the order of families and versions."""
    found = []
    for entry in names:
        if entry.name != entry.entry:
            continue
        rows = profiles[entry.index]
        texts = texts_of(rows)
        aliases = tuple(sorted(other.name for other in names if other.entry == entry.name and other is not entry))
        found.append(
            ProfileInfo(
                entry.name,
                aliases,
                rows.family,
                rows.version,
                rows.os,
                entry.basis,
                texts["ja3_text"],
                texts["ja3_hash"],
                texts["ja4"],
                texts.get("akamai_text"),
                texts.get("akamai_hash"),
                rows.user_agent,
            )
        )
    return sorted(found, key=lambda info: (info.family, _numbers(info.version), info.name))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
