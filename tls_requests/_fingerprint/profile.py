"""Profile: a browser's fingerprint as an object; the list of those that are built in; what `client_identifier` may be."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _core
from ..exceptions import ProfileError
from .catalogue import Name, ProfileInfo, catalogue, texts_of
from .client_hints import HINTS, hints_of, set_hints
from .custom import from_custom, from_ja3, source_of
from .jsontext import pretty
from .kinds import KINDS, SAME
from .locales import accept_language, languages_of
from .platforms import header, is_same_browser, move, platform_of, possible, set_headers, why_not
from .recordings import profile_of, record_of, records_in
from .registry import FLAGS
from .report import Difference, differences, facts
from .rows import Ext, FieldError, Node, Rows, build, merge, shown, to_json
from .wire import ParseError

if TYPE_CHECKING:
    from ..models.tls import CustomTLSClientConfig

# The whole of a capture with samples and all variants has 150 KB.
MAX_FILE = 4 * 1024 * 1024
# Deeper than any profile, and far from Python's own limit.
MAX_DEPTH = 32
ECH_PAYLOADS = ["NONE", "DRAWN", "NSS"]
PRIORITY_MODES = ["NONE", "FIXED", "CHROMIUM"]
HPACK = ["GENERIC", "CHROMIUM", "FIREFOX"]


def error_of(error: FieldError) -> ProfileError:
    found = ProfileError(str(error))
    found.path, found.reason = error.path, error.reason
    return found


def fields_of(rows: Rows) -> dict[str, Any]:
    """Rows as the engine takes them (src/python/profile.c)."""
    fields: dict[str, Any] = {
        name.name: getattr(rows, name.name)
        for name in dataclass_fields(rows)
        if name.name not in ("insists", "flags", "exts", "priority_mode", "hpack", "kinds", "weights", "hints")
        and not name.name.startswith("ech_")
    }
    fields["flags"] = sum(1 << FLAGS.index(flag) for flag in rows.flags)
    fields["exts"] = [(ext.type, ext.values, ext.data) for ext in rows.exts]
    fields["ech"] = (
        ECH_PAYLOADS.index(rows.ech_payload),
        rows.ech_kdf,
        rows.ech_aeads,
        rows.ech_lengths,
        rows.ech_enc_len,
    )
    fields["priority_mode"] = PRIORITY_MODES.index(rows.priority_mode)
    fields["hpack"] = HPACK.index(rows.hpack)
    fields["hints"] = [rows.hints.get(name) for name in HINTS] if rows.hints else None
    fields["kinds"] = None
    if rows.kinds:
        tables = (rows.kinds.get("http2", {}), rows.kinds.get("http1", {}))
        fields["kinds"] = [
            (
                *([(n, True if v is SAME else v) for n, v in table.get(kind, ())] for table in tables),
                rows.weights.get(kind, 0),
            )
            for kind, _ in KINDS
        ]
    return fields


def digest_of(fields: Mapping[str, Any]) -> bytes:
    """A hash of all that the engine is told but the names."""
    told = {key: value for key, value in fields.items() if key not in ("key", "id", "kinds_of", "kinds")}
    if fields["kinds_of"] is None and fields["kinds"] is not None:
        told["kinds"] = fields["kinds"]  # tables of its own
    return hashlib.sha256(repr(sorted(told.items())).encode()).digest()


def rows_of(fields: dict[str, Any]) -> Rows:
    """What `fields_of` made, or the engine gave."""
    payload, kdf, aeads, lengths, enc_len = fields["ech"]
    rest = {
        key: value
        for key, value in fields.items()
        if key not in ("key", "ech", "flags", "exts", "priority_mode", "hpack", "kinds", "hints")
    }
    if fields["kinds"] is not None and fields["kinds_of"] is None:
        rest["kinds"], rest["weights"] = {"http2": {}, "http1": {}}, {}
        for (kind, _), (*tables, weight) in zip(KINDS, fields["kinds"]):
            for version, table in zip(("http2", "http1"), tables):
                if table:
                    rest["kinds"][version][kind] = [(name, SAME if value is True else value) for name, value in table]
            if weight:
                rest["weights"][kind] = weight
    if fields["hints"] is not None:
        rest["hints"] = {name: value for name, value in zip(HINTS, fields["hints"]) if value is not None}
    return Rows(
        **rest,
        flags={flag for bit, flag in enumerate(FLAGS) if fields["flags"] >> bit & 1},
        exts=[Ext(kind, list(values), data) for kind, values, data in fields["exts"]],
        ech_payload=ECH_PAYLOADS[payload],
        ech_kdf=kdf,
        ech_aeads=list(aeads),
        ech_lengths=list(lengths),
        ech_enc_len=enc_len,
        priority_mode=PRIORITY_MODES[fields["priority_mode"]],
        hpack=HPACK[fields["hpack"]],
    )


def read_file(path: Path) -> dict[str, Any]:
    """The profile in a file; of a recording or a raw ClientHello, what it shows. Raises FieldError, OSError."""
    data = path.read_bytes()
    if data[:1] in (b"\x01", b"\x16") or re.match(rb"\s*(?:01|16)[0-9a-fA-F\s:]+$", data):
        try:
            return profile_of([record_of(data)], path.stem, path.name)
        except ParseError as error:
            raise FieldError(path.name, "is no ClientHello: %s" % error) from None
    try:
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FieldError(path.name, "is no JSON: %s" % error) from None
    records = records_in(value)
    if records is not None:
        check_depth(value)
        return profile_of(records, path.stem, path.name)
    if not isinstance(value, dict):
        raise FieldError(path.name, "is no object")
    return value


def check_depth(value: Any) -> None:
    """Refuses what is nested so deep that walking through it could end in a RecursionError."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += [part for part in item.values() if isinstance(part, (dict, list, tuple))]
            elif isinstance(item, (list, tuple)):
                inner += [part for part in item if isinstance(part, (dict, list, tuple))]
        if not inner:
            return
        level = inner
    raise FieldError("", "is nested deeper than %d levels" % MAX_DEPTH)


class Profile(_core.BrowserProfile):
    """What a browser sends: its ClientHello, the opening of an HTTP/2 connection, its headers.

    Made by `load`, `named`, `from_ja3` or `from_custom`; given to a client or a request as `client_identifier`.
    Immutable; profiles with the same contents are equal, and share connections and tickets.

    >>> Profile.named("firefox_133").ja4
    't13d1716h2_5b57614c22b0_eeeea6562960'
    """

    _source: dict[str, Any] | None
    _insists: bool

    # ------------------------------------------------------------------------------------------------------- making one

    @classmethod
    def _make(cls, rows: Rows, source: dict[str, Any] | None, insists: bool) -> Profile:
        fields = fields_of(rows)
        fields["key"] = int.from_bytes(digest_of(fields)[:8], "big") >> 1
        self = cls(fields)
        self._source, self._insists = source, insists
        return self

    @classmethod
    def load(cls, source: str | os.PathLike[str] | Mapping[str, Any], *, allow_unsupported: bool = False) -> Profile:
        """Make a profile of a JSON file, or of a mapping, in the schema of profiles/README.md.

        Also of a recording that `check_fingerprint.py serve` wrote, and of the file of a raw ClientHello (binary or hex):
        what these do not show is as in the family that their User-Agent names, or as in Chrome 133.
        `{"inherits": name, ...}` changes a built-in profile: objects are merged key by key, lists and values replaced.
        allow_unsupported: also send groups and cipher suites with which this engine cannot complete a handshake; a
        server that chooses one of them ends the request with a TLSError.
        Raises ProfileError with the path of the field and the reason, and OSError when the file cannot be read.
        """
        try:
            if isinstance(source, Mapping):
                value = dict(source)
                return cls._load(
                    value if records_in(value) is None else profile_of([value], "custom"), "", allow_unsupported
                )
            path = Path(source)
            if path.stat().st_size > MAX_FILE:
                raise FieldError(path.name, "is larger than %d bytes" % MAX_FILE)
            return cls._load(read_file(path), path.name, allow_unsupported)
        except FieldError as error:
            raise error_of(error) from None

    @classmethod
    def _load(cls, value: dict[str, Any], path: str, insists: bool) -> Profile:
        check_depth(value)
        value = copy.deepcopy(value)
        if "inherits" in value:
            parent = value.pop("inherits")
            if not isinstance(parent, str) or parent not in names():
                raise FieldError("inherits", "there is no profile %s" % shown(parent))
            base = cls.named(parent).to_dict()
            frames = value.get("http2")
            if isinstance(frames, dict) and "frames" in frames and isinstance(frames["frames"], list):
                base["http2"].pop("record_groups", None)
            value = merge(base, value)
        rows = build(Node(value, path), None, insists)
        if rows.kinds_of is not None and rows.kinds_of not in names():
            raise FieldError("rules.kinds_of", "there is no profile %s" % shown(rows.kinds_of))
        if (
            rows.kinds
            and rows.id in names()
            and fields_of(rows)["kinds"] == _core.BrowserProfile(rows.id)._rows()["kinds"]
        ):
            rows.kinds_of, rows.kinds, rows.weights = rows.id, {}, {}  # a built-in one's own file
        return cls._make(rows, value, insists)

    @classmethod
    def _load_made(cls, value: dict[str, Any], custom: bool, insists: bool) -> Profile:
        """Of a profile that was made of arguments: what is wrong is told of the argument."""
        try:
            return cls._load(value, "", insists)
        except FieldError as error:
            raise FieldError(source_of(value, error.path, custom), error.reason) from None

    @classmethod
    def named(cls, name: str) -> Profile:
        """The built-in profile of that name (see `tls_requests.profiles()`). Raises ProfileError for an unknown name."""
        if not isinstance(name, str) or name not in names():
            raise error_of(FieldError("", "there is no profile %s%s" % (shown(name), suggestion(str(name)))))
        self = cls(name)
        self._source, self._insists = None, False
        return self

    @classmethod
    def from_ja3(
        cls,
        ja3: str,
        akamai: str | None = None,
        user_agent: str | None = None,
        headers: Iterable[tuple[str, str]] | Mapping[str, str] | None = None,
        *,
        extensions: Mapping[int, bytes] | None = None,
        signature_algorithms: Iterable[int] | None = None,
        key_shares: Iterable[int] | None = None,
        permute: bool = False,
        allow_unsupported: bool = False,
    ) -> Profile:
        """Make a profile of a JA3 text, and an Akamai text for HTTP/2.

        ja3: `771,4865-...,0-23-...,29-23-24,0`; 2570 stands for a GREASE value. akamai: `1:65536;...|15663105|0|m,a,s,p`;
        None: as Chrome 133. headers: of each request, in order; user_agent: over theirs.
        What a JA3 does not say is as in Chrome 133: signature_algorithms (numbers), key_shares (groups, 2570 for GREASE;
        default: the hybrid and X25519), versions 1.3 and 1.2, ALPN h2 and http/1.1. extensions: bodies of extensions that
        this library does not know, by number. permute: extensions are shuffled for each connection, as Chrome does.
        allow_unsupported: see `load`. Raises ProfileError.
        """
        try:
            value = from_ja3(ja3, akamai, user_agent, headers, extensions, signature_algorithms, key_shares, permute)
            return cls._load_made(value, False, allow_unsupported)
        except FieldError as error:
            raise error_of(error) from None

    @classmethod
    def from_custom(
        cls,
        options: CustomTLSClientConfig | Mapping[str, Any],
        *,
        random_order: bool | None = None,
        allow_unsupported: bool = False,
    ) -> Profile:
        """Make a profile of a CustomTLSClientConfig or a mapping with its names. Raises ProfileError.

        random_order: shuffle the extensions for each connection (withRandomTLSExtensionOrder).
        """
        try:
            if hasattr(options, "to_dict") and not isinstance(options, Mapping):
                options = options.to_dict()
            value = from_custom(options, random_order)
            return cls._load_made(value, True, allow_unsupported)
        except FieldError as error:
            raise error_of(error) from None

    def variant(
        self,
        *,
        locale: str | Iterable[str] | None = None,
        platform: str | None = None,
        client_hints: bool | Mapping[str, object] | None = None,
    ) -> Profile:
        """The same browser with other settings, as the options of that name on a client make it.

        locale: languages as its user prefers them; text for one: a browser in that language; a sequence (or text with commas): exactly
        these. platform: "windows", "macos", "linux", "android", "ios" or "ipados". client_hints: what is answered when a server asks by
        Accept-CH: False: nothing; a mapping of names to values (str, number, bool; None: not answered) over the profile's own.
        Raises TypeError and ValueError for what is no language, no platform and no hint; ProfileError where the browser sends no
        accept-language, is not on that platform, or answers no hints, and for hints that contradict it.

        >>> Profile.named("firefox_153").variant(platform="windows").user_agent
        'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 Firefox/153.0'
        """
        settings = Persona.of(locale, platform, client_hints)
        return self if settings is None else settings.applied_to(self)

    def _on(self, platform: str) -> Profile:
        rows = self._rows_object()
        if platform == rows.os:
            return self
        found = self._built_in_on(platform)
        if found is not None:
            return found
        if not move(rows, platform):
            known = possible(rows, lambda name: self._built_in_on(name) is not None)
            reason = "%s cannot be on %s: %s; it can be on %s" % (
                rows.id, platform, why_not(rows, platform), ", ".join(known) or "no platform that is named",
            )  # fmt: skip
            raise error_of(FieldError("platform", reason))
        return self._make(rows, None, self._insists)

    def _built_in_on(self, platform: str) -> Profile | None:
        """The built-in profile of the same browser there; None: there is none, or this one is not built in itself."""
        rows = self._rows_object()
        if rows.id not in names() or self._key != _named(rows.id)._key:
            return None
        middle, end = "_%s_" % rows.version.partition(".")[0], "_" + platform
        for name in names():
            if name.endswith(end) and middle in name and is_same_browser(rows, _named(name)._rows_object()):
                return _named(name)
        return None

    def _in(self, locale: str | tuple[str, ...]) -> Profile:
        rows = self._rows_object()
        value = accept_language(rows.user_agent, header(rows, "accept-language"), locale)
        if value is None:
            raise error_of(FieldError("locale", "%s sends no accept-language of a browser that is known" % rows.id))
        set_headers(rows, {"accept-language": value})
        return self._make(rows, None, self._insists)

    def _answering(self, hints: Any) -> Profile:
        rows = self._rows_object()
        if hints is False and not rows.hints:
            return self
        try:
            set_hints(rows, hints)
        except FieldError as error:
            raise error_of(error) from None
        return self._make(rows, None, self._insists)

    def _with(self, stream_id: int | None = None, permute: bool | None = None) -> Profile:
        """The same with another first stream id, or with the extensions in a fixed order."""
        rows = self._rows_object()
        if stream_id is not None:
            rows.first_stream_id = stream_id
            rows.priority = (stream_id, *rows.priority[1:])
        if permute is False:
            rows.flags.discard("PERMUTES")
            rows.pinned_first = rows.pinned_last = 0
        return self._make(rows, None, self._insists)

    # ---------------------------------------------------------------------------------------------------------- reading

    def _rows_object(self) -> Rows:
        rows = rows_of(self._rows())
        rows.insists = self._insists
        return rows

    @property
    def id(self) -> str:
        """The profile's id: the name of its file."""
        return self._rows_object().id

    @property
    def family(self) -> str:
        """ "chrome", "firefox", "safari", ..., "custom"."""
        return self._rows_object().family

    @property
    def version(self) -> str:
        """The browser's version, or ""."""
        return self._rows_object().version

    @property
    def platform(self) -> str:
        """ "macos", "windows", "linux", "android", "ios", "ipados" or ""."""
        return self._rows_object().os

    @property
    def user_agent(self) -> str | None:
        """The user-agent header, or None."""
        return self._rows_object().user_agent

    def _texts(self) -> dict[str, str]:
        return texts_of(self._rows_object())

    @property
    def ja3(self) -> str:
        """The JA3 text of a first connection to a host with a name of 15 characters; shuffled ones in the listed order."""
        return self._texts()["ja3_text"]

    @property
    def ja3_hash(self) -> str:
        """MD5 of `ja3`, in hex."""
        return self._texts()["ja3_hash"]

    @property
    def ja4(self) -> str:
        """JA4 of a first connection."""
        return self._texts()["ja4"]

    @property
    def ja4_r(self) -> str:
        """JA4_r: JA4 with the lists instead of their hashes."""
        return self._texts()["ja4_r"]

    @property
    def akamai(self) -> str | None:
        """The Akamai HTTP/2 text, or None where HTTP/2 is not offered."""
        return self._texts().get("akamai_text")

    @property
    def akamai_hash(self) -> str | None:
        """MD5 of `akamai`, in hex."""
        return self._texts().get("akamai_hash")

    def to_dict(self) -> dict[str, Any]:
        """The profile in the schema of profiles/README.md; `load` makes an equal one of it.

        A loaded one gives what it was loaded from. A built-in one gives what its file and its family's rules came to:
        without the variants and samples of a capture, with `rules` in place of the family.
        """
        value = to_json(self._rows_object()) if self._source is None else copy.deepcopy(self._source)
        value.setdefault("fingerprints", self._texts())
        return value

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict()` as JSON. Raises OSError."""
        Path(path).write_text(pretty(self.to_dict()) + "\n", encoding="utf-8")

    def fields(self) -> dict[str, str]:
        """What the profile sends, in words: name of a field -> text, in the order of the wire."""
        return facts(to_json(self._rows_object()))

    def diff(self, other: Profile | str) -> list[Difference]:
        """The fields in which two profiles differ: Difference(field, mine, theirs) each; mine or theirs None: not sent.

        other: a Profile, or the name of a built-in one.
        """
        if isinstance(other, str):
            other = Profile.named(other)
        return differences(self.fields(), other.fields())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Profile):
            return NotImplemented
        return self._key == other._key or digest_of(self._rows()) == digest_of(other._rows())

    def __hash__(self) -> int:
        return hash(digest_of(self._rows()))

    def __repr__(self) -> str:
        return "<Profile %s>" % self.id

    def __copy__(self) -> Profile:
        return self

    def __deepcopy__(self, memo: Any) -> Profile:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self._source is None and self.id in names() and self._key == _named(self.id)._key:
            return Profile.named, (self.id,)
        return _unpickle, (self.to_dict(), self._insists)


def _unpickle(value: dict[str, Any], insists: bool) -> Profile:
    return Profile.load(value, allow_unsupported=insists)


# ------------------------------------------------------------------------------------------------------------- the list


@cache
def names() -> dict[str, Name]:
    """All names of built-in profiles."""
    return {row[0]: Name(*row) for row in _core.profile_names()}


@cache
def _catalogue() -> tuple[ProfileInfo, ...]:
    rows = [rows_of(_core.BrowserProfile(name)._rows()) for name in _core.profiles()]
    return tuple(catalogue(rows, list(names().values())))


def profiles() -> list[ProfileInfo]:
    """The built-in profiles, by family and version: ProfileInfo each (name, aliases, family, version, platform, basis,
    ja3, ja3_hash, ja4, akamai, akamai_hash, user_agent).

    >>> [info.name for info in profiles() if "tor" in info.aliases]
    ['tor_14_5']
    """
    return list(_catalogue())


# ----------------------------------------------------------------------------------------- what client_identifier may be


def suggestion(name: str) -> str:
    """Names like that one, as the end of a sentence; "" when there are none."""
    import difflib

    near = difflib.get_close_matches(name, list(names()), n=3, cutoff=0.6)
    if not near:
        near = difflib.get_close_matches(name.lower(), list(names()), n=3, cutoff=0.6)
    return "; did you mean %s?" % " or ".join(near) if near else ""


def resolve(value: Any) -> Any:
    """What a `client_identifier` stands for: a Profile for the path of a .json file, other things as they are.

    An unknown name is left alone (the engine then uses chrome_133) with a warning, once for each name.
    Raises ProfileError, and OSError for a path that cannot be read.
    """
    if isinstance(value, os.PathLike):
        return Profile.load(value)
    if not isinstance(value, str) or value in names():
        return value
    if value.endswith(".json") and os.path.isfile(value):
        return Profile.load(value)
    from .._options import warn_identifier

    warn_identifier(value)
    return value


@dataclass(frozen=True)
class Persona:
    """What `locale`, `platform` and `client_hints` say, checked. locale: as of languages_of; client_hints: as of hints_of."""

    locale: str | tuple[str, ...] | None = None
    platform: str | None = None
    client_hints: bool | tuple[tuple[str, str | None], ...] | None = None

    @classmethod
    def of(cls, locale: Any, platform: Any, client_hints: Any) -> Persona | None:
        """None: nothing is said. Raises TypeError, ValueError."""
        if locale is None and platform is None and client_hints is None:
            return None
        return cls(
            None if locale is None else languages_of(locale),
            None if platform is None else platform_of(platform),
            None if client_hints is None else hints_of(client_hints),
        )

    def over(self, other: Persona | None) -> Persona:
        """This one, with what the other says beyond it."""
        if other is None:
            return self
        return Persona(
            other.locale if self.locale is None else self.locale,
            other.platform if self.platform is None else self.platform,
            other.client_hints if self.client_hints is None else self.client_hints,
        )

    def applied_to(self, profile: Profile) -> Profile:
        """Raises ProfileError."""
        if self.platform is not None:
            profile = profile._on(self.platform)
        if self.locale is not None:
            profile = profile._in(self.locale)
        return profile if self.client_hints in (None, True) else profile._answering(self.client_hints)


@cache
def _named(name: str) -> Profile:
    return Profile.named(name if name in names() else "chrome_133")


# Bounded, because languages may be made of foreign data.
@lru_cache(maxsize=256)
def _builtin_variant(name: str, stream_id: int | None, permute: bool | None, persona: Persona | None) -> Profile:
    profile = _named(name) if persona is None else persona.applied_to(_named(name))
    return profile if stream_id is None and permute is None else profile._with(stream_id, permute)


def variant(identifier: Any, stream_id: Any, random_order: Any, persona: Persona | None = None) -> Any:
    """The identifier with a first stream id, where that is odd and positive, with extensions in fixed order where random_order is
    False, and as the persona says. Raises ProfileError."""
    wanted = stream_id if isinstance(stream_id, int) and 0 < stream_id <= 0x7FFFFFFF and stream_id % 2 else None
    permute = False if random_order is False else None
    if wanted is None and permute is None and persona is None:
        return identifier
    if not isinstance(identifier, Profile):
        name = identifier if isinstance(identifier, str) and identifier in names() else "chrome_133"
        if wanted is None or wanted < 1000:
            return _builtin_variant(name, wanted, permute, persona)
        identifier = _named(name)
    profile = identifier if persona is None else persona.applied_to(identifier)
    return profile if wanted is None and permute is None else profile._with(wanted, permute)
