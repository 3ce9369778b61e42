"""What `fingerprint` can show and compare: profiles, files of profiles, recordings, raw ClientHellos, live connections."""

from __future__ import annotations

import copy
import json
import os
import sys
from dataclasses import dataclass, field
from typing import Any

from .client_hello import extension
from .compare import OWN_VALUES, matches
from .learn import NotEnough, kinds, pads, single
from .recordings import record_of, records_in
from .registry import PADDING
from .report import Difference, differences, facts
from .rows import to_json
from .texts import fingerprints
from .wire import ParseError

# As for profiles: a recording of a thousand connections has some megabytes.
MAX_FILE = 64 * 1024 * 1024
# Names under which servers that report fingerprints give them, by the names in Fingerprint.texts().
REPORTED = {
    "JA3": ("ja3_text", "ja3"),
    "JA3 hash": ("ja3_hash",),
    "JA3 sorted hash": ("ja3n_hash",),
    "JA4": ("ja4",),
    "JA4_r": ("ja4_r",),
    "Akamai": ("akamai_text", "akamai_fingerprint", "akamai"),
    "Akamai hash": ("akamai_hash", "akamai_fingerprint_hash"),
}
KEYS = {name: names[0] for name, names in REPORTED.items()}


class SideError(ValueError):
    """What was named cannot be shown."""


@dataclass
class Side:
    """One of two that are compared.

    value: in the schema of profiles/README.md; None: only texts are known. seen: it is one connection, not a profile.
    """

    name: str
    texts: dict[str, str | None]
    value: dict[str, Any] | None = None
    seen: bool = False
    hello: dict[str, Any] | None = None  # of a connection: decoded
    notes: list[str] = field(default_factory=list)

    def fields(self) -> dict[str, str]:
        return {} if self.value is None else facts_of(self.value)

    def user_agent(self) -> str | None:
        if self.value is None:
            return None
        frames = (self.value.get("http2") or {}).get("frames", ())
        lists = [frame["headers"] for frame in frames if frame["type"] == "HEADERS"]
        lists += [(self.value.get("http1") or {}).get("headers", [])]
        return next((value for headers in lists for name, value in headers if name.lower() == "user-agent"), None)

    def shuffles(self) -> bool:
        return self.value is not None and self.value["tls"]["extension_order"] == "permuted"

    def diff(self, other: Side) -> list[Difference]:
        """Where two differ, in words. A connection differs from a profile where the profile could not have made it."""
        if self.value is None or other.value is None:
            return self.diff_texts(other)
        mine, theirs = copy.deepcopy(self.value), copy.deepcopy(other.value)
        if self.seen != other.seen:
            align(*((theirs, mine, self.hello) if self.seen else (mine, theirs, other.hello)))
        for part in ("http2", "http1", "rules"):
            if not mine.get(part) or not theirs.get(part):
                mine.pop(part, None)
                theirs.pop(part, None)
        return differences(facts_of(mine), facts_of(theirs))

    def diff_texts(self, other: Side) -> list[Difference]:
        shuffled = ("JA3", "JA3 hash") if self.shuffles() or other.shuffles() else ()
        return [
            Difference(name, self.texts[name], other.texts[name])
            for name in self.texts
            if self.texts[name] is not None
            and other.texts.get(name) is not None
            and name not in shuffled
            and self.texts[name] != other.texts[name]
        ]


def facts_of(value: dict[str, Any]) -> dict[str, str]:
    """facts() of a value that may lack parts."""
    has_http1, has_rules = bool(value.get("http1")), bool(value.get("rules"))
    filled = {**value, "http2": value.get("http2") or {"frames": []}, "http1": value.get("http1") or {"headers": []}}
    found = facts(filled)
    if not has_http1:
        found.pop("header order (HTTP/1.1)", None)
    if not has_rules:
        found.pop("sessions", None)
        found.pop("HTTP/2 DATA frames", None)
    return found


def without_own(value: dict[str, Any]) -> None:
    """Leave the fields out whose places or values belong to a request."""
    for frame in (value.get("http2") or {}).get("frames", ()):
        if frame["type"] == "HEADERS":
            frame["headers"] = kept(frame["headers"])
    if value.get("http1"):
        value["http1"]["headers"] = kept(value["http1"]["headers"])


def kept(headers: list[list[Any]]) -> list[list[Any]]:
    own = (OWN_VALUES - {"host"}) | {"content-type"}
    return [item for item in headers if (item[0].lower() not in own and item[1] is not None) or item[0] == "Host"]


def align(profile: dict[str, Any], seen: dict[str, Any], hello: dict[str, Any] | None) -> None:
    """Put the profile's words in the place of what was seen, where that is one of the things the profile may send."""
    tls, got = profile["tls"], seen["tls"]
    wanted, order = kinds(tls), kinds(got)
    tls["extensions"] = [item for item in tls["extensions"] if item["type"] != PADDING]
    if tls["extension_order"] == "permuted" and sorted(map(str, wanted)) == sorted(map(str, order)):
        pinned = tls.get("pinned") or {}
        first, last = pinned.get("first") or [], pinned.get("last") or []
        if order[: len(first)] == first and order[len(order) - len(last) :] == last:
            got["extension_order"], got["extensions"] = "permuted", sorted_as(got["extensions"], wanted)
    if tls.get("padding") and hello is not None and pads(hello):
        got["padding"] = tls["padding"]
    for name in ("record_version", "session_id_length", "cipher_suites", "compression_methods", "legacy_version"):
        if matches(tls.get(name), got.get(name)) or got.get(name) is None:  # a raw ClientHello has no record's version
            got[name] = tls.get(name)
    for item in tls["extensions"]:
        other = None if item["type"] == "GREASE" else extension(got, item["type"])
        for key, value in item.items():
            if other is not None and matches(value, other.get(key)):
                other[key] = value
    for value in (profile, seen):
        without_own(value)


def sorted_as(items: list[dict[str, Any]], order: list[Any]) -> list[dict[str, Any]]:
    """Extensions in the order of these types; two of one type (GREASE) in their own."""
    rest, out = list(items), []
    for kind in order:
        found = next(item for item in rest if item["type"] == kind)
        rest.remove(found)
        out.append(found)
    return out


# --------------------------------------------------------------------------------------------------------- making sides


def texts_of(tls: dict[str, Any] | None, http2: dict[str, Any] | None) -> dict[str, str | None]:
    found = fingerprints(tls, http2)
    return {name: found.get(key) for name, key in KEYS.items()}


def of_record(record: dict[str, Any], name: str) -> Side:
    """A connection that a recording server saw. Raises SideError."""
    try:
        value = single(record, name)
    except NotEnough as error:
        raise SideError("%s: %s" % (name, error)) from None
    hello = record["client_hellos"][0]["decoded"]
    http2 = record.get("http2")
    return Side(name, texts_of(hello, http2 if http2 and http2.get("frames") else None), value, True, hello)


def of_profile(source: Any, http2: bool = True) -> Side:
    """A Profile."""
    from .fingerprint import fingerprint_of, only_http1

    found = fingerprint_of(source, http2)
    value = to_json(source._rows_object())
    if not http2:
        only_http1(value)
    if found.akamai is None:
        value.pop("http2")
    return Side(found.name, found.texts(), value)


def of_file(path: str, http2: bool = True) -> Side:
    """A profile's file, a recording (its last connection with a request), or a raw ClientHello, binary or hex. "-":
    standard input.

    Raises SideError, ProfileError, OSError.
    """
    from .profile import Profile
    from .records import has_request

    if path == "-":
        data = sys.stdin.buffer.read(MAX_FILE + 1) if sys.stdin is not None else b""
    else:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise SideError("%s is larger than %d bytes" % (path, MAX_FILE))
    if data.lstrip()[:1] in (b"{", b"["):
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise SideError("%s is no JSON: %s" % (path, error)) from None
        records = records_in(value)
        if records is None:
            if not isinstance(value, dict):
                raise SideError("%s is no object" % path)
            return of_profile(Profile.load(path if path.endswith(".json") else value), http2)
        last = next((item for item in reversed(records) if has_request(item)), records[-1])
        try:
            return of_record(last, path)
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise SideError("%s is no recording: %s" % (path, error)) from None
    try:
        return of_record(record_of(data), path)
    except ParseError as error:
        raise SideError("%s is neither JSON nor a ClientHello: %s" % (path, error)) from None


def side(text: str, http2: bool = True) -> Side:
    """What a name, or the path of a file, stands for. Raises SideError, ProfileError, OSError."""
    from .profile import Profile, names

    if text not in names() and (text == "-" or (os.path.exists(text) and not os.path.isdir(text))):
        return of_file(text, http2)
    if text.endswith(".json"):
        return of_profile(Profile.load(text), http2)
    return of_profile(Profile.named(text), http2)


def listening(address: str, port: int, told: Any, timeout: float | None = None) -> Side:
    """The next visitor of a local page, a browser for example. Raises SideError, OSError.

    told: is called with the address to open. timeout: seconds; None: as long as it takes.
    """
    import tempfile
    import time
    from pathlib import Path

    from .authority import AuthorityError, make
    from .server import Server

    with tempfile.TemporaryDirectory(prefix="tls_requests-") as folder:
        certificate = Path(folder) / "server.pem"
        try:
            certificate.write_text(make(["localhost"]).both)
        except AuthorityError as error:
            raise SideError(str(error)) from None
        server = Server(address, port, str(certificate))
        server.start()
        try:
            told("open https://localhost:%d/ and go past the warning of its certificate" % server.port)
            deadline = None if timeout is None else time.monotonic() + timeout
            with server.arrived:
                record = server.last_record()
                while record is None:
                    left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
                    if left <= 0:
                        raise SideError("nobody came in %g seconds" % (timeout or 0))
                    server.arrived.wait(left)
                    record = server.last_record()
            time.sleep(0.3)  # the answer goes out; what follows HEADERS comes in
            return of_record(record, "listen:%d" % server.port)
        finally:
            server.stop()


def reported(answer: object) -> dict[str, str | None]:
    """The fingerprints in a server's JSON answer, wherever they stand in it; the first of each name."""
    found: dict[str, str | None] = {}
    level = [answer]
    for _ in range(16):  # deeper than any report
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                for name, keys in REPORTED.items():
                    for key in keys:
                        text = value.get(key)
                        if isinstance(text, str) and text:
                            found.setdefault(name, text)
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = inner
    return found
