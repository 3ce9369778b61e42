"""What a client sends, as an object that programs and people can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .profile import Profile, names
from .registry import ALPN, ALPS, ALPS_OLD
from .report import Difference, differences, facts
from .rows import to_json
from .texts import fingerprints


@dataclass(frozen=True)
class Fingerprint:
    """What servers see of a client.

    name: the profile's. ja3, ja3_hash, ja4, ja4_r: of the first ClientHello to a host with a name of 15 characters;
    ja3n_hash: JA3 with its extensions sorted, which stays where a browser shuffles them. akamai, akamai_hash: of HTTP/2,
    None where it is not offered. fields: everything in words, in the order of the wire.
    """

    name: str
    ja3: str
    ja3_hash: str
    ja3n_hash: str
    ja4: str
    ja4_r: str
    akamai: str | None
    akamai_hash: str | None
    user_agent: str | None
    fields: dict[str, str] = field(repr=False)

    def diff(self, other: Fingerprint | Profile | str) -> list[Difference]:
        """The fields in which two fingerprints differ. other: also a Profile, the name of one, or the path of its .json file.

        Raises ProfileError and OSError for a file that cannot be used, ProfileError for an unknown name.
        """
        if isinstance(other, str):
            other = Profile.load(other) if other.endswith(".json") else Profile.named(other)
        theirs = other if isinstance(other, Fingerprint) else fingerprint_of(other)
        return differences(self.fields, theirs.fields)

    def texts(self) -> dict[str, str | None]:
        """The short texts by name."""
        return {
            "JA3": self.ja3,
            "JA3 hash": self.ja3_hash,
            "JA3 sorted hash": self.ja3n_hash,
            "JA4": self.ja4,
            "JA4_r": self.ja4_r,
            "Akamai": self.akamai,
            "Akamai hash": self.akamai_hash,
        }


def fingerprint_of(profile: Profile | str, http2: bool = True) -> Fingerprint:
    """The fingerprint of a profile or of a name (chrome_133 when it is unknown). http2=False: HTTP/1.1 alone is offered."""
    if isinstance(profile, str):
        profile = Profile.named(profile if profile in names() else "chrome_133")
    rows = profile._rows_object()
    value = to_json(rows)
    if not http2:
        only_http1(value)
    texts = fingerprints(value["tls"], value["http2"])
    offers = any("h2" in item.get("protocols", ()) for item in value["tls"]["extensions"] if item["type"] == ALPN)
    fields = {name: text for name, text in facts(value).items() if offers or "HTTP/2" not in name}
    return Fingerprint(
        rows.id,
        texts["ja3_text"],
        texts["ja3_hash"],
        texts["ja3n_hash"],
        texts["ja4"],
        texts["ja4_r"],
        texts.get("akamai_text") if offers else None,
        texts.get("akamai_hash") if offers else None,
        rows.user_agent,
        fields,
    )


def only_http1(value: dict[str, Any]) -> None:
    """What the engine changes when HTTP/2 is not wanted (tr_hello__sends)."""
    tls = value["tls"]
    tls["extensions"] = [item for item in tls["extensions"] if item["type"] not in (ALPS, ALPS_OLD)]
    for item in tls["extensions"]:
        if item["type"] == ALPN:
            item["protocols"] = ["http/1.1"]
