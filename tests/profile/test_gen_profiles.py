"""tools/gen_profiles.py: the committed tables, what it derives from captures, and what it refuses."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import gen_profiles  # noqa: E402
from gen_profiles import FieldError, Library, Node, Rows, build  # noqa: E402

FOLDERS = [ROOT / "profiles", ROOT / "profiles" / "derived"]
LIBRARY = Library(FOLDERS)
PROFILES = sorted(LIBRARY.raw)
LIVE = ["chromium_156_linux", "firefox_153_linux"]
ALIASES = {"schema": 1, "default": "one", "aliases": {}}


def load(name: str) -> Any:
    if name == "aliases":
        return json.loads((ROOT / "profiles" / "aliases.json").read_text(encoding="utf-8"))
    return copy.deepcopy(LIBRARY.resolve(name))


def built(value: Any) -> Rows:
    return build(Node(value, value["id"] + ".json"), value["id"])


def write(folder: Path, **files: Any) -> Path:
    for name, value in files.items():
        (folder / (name + ".json")).write_text(json.dumps(value), encoding="utf-8")
    return folder


def extension(value: Any, kind: Any) -> Any:
    return next(item for item in value["tls"]["extensions"] if item["type"] == kind)


def headers_frame(value: Any) -> Any:
    return next(frame for frame in value["http2"]["frames"] if frame["type"] == "HEADERS")


def test_committed_tables_are_current(tmp_path: Path) -> None:
    assert gen_profiles.main(["--check"]) == 0
    stale = tmp_path / "profiles.inc"
    stale.write_text("/* old */\n", encoding="ascii")
    assert gen_profiles.main(["--check", "--out", str(stale)]) == 1
    assert gen_profiles.main(["--check", "--out", str(tmp_path / "missing.inc")]) == 1


def test_output_does_not_depend_on_the_run() -> None:
    assert gen_profiles.generate(FOLDERS) == gen_profiles.generate(FOLDERS)


@pytest.mark.parametrize("name", PROFILES)
def test_source_of_a_profile_is_noted(name: str) -> None:
    source = load(name)["source"]
    assert source["kind"] in ("live", "converted", "derived")
    assert source.get("captured") or source.get("commit") or source.get("measured") or source.get("from")


@pytest.mark.parametrize("name", PROFILES)
def test_values_are_the_capture_s(name: str) -> None:
    value, profile = load(name), built(load(name))
    for item, number in zip(value["tls"]["cipher_suites"], profile.suites):
        assert number == (0x0A0A if item == "GREASE" else item)
    kinds = [ext.type for ext in profile.exts if ext.type not in (42, 44)]
    assert kinds == [0x0A0A if kind == "GREASE" else kind for kind in gen_types(value) if kind != 21]
    if value.get("http2") is None:
        assert profile.settings == [] and profile.window == 0
        return
    settings = [frame["settings"] for frame in value["http2"]["frames"] if frame["type"] == "SETTINGS"]
    assert value["http2"].get("frames_complete") is False or [[list(pair) for pair in profile.settings]] == settings
    assert profile.settings
    assert [item for item in profile.h2_headers if item[1] is not None] == [
        tuple(item) for item in headers_frame(value)["headers"] or ()
    ]


def gen_types(value: Any) -> list[Any]:
    return [item["type"] for item in value["tls"]["extensions"]]


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("version", ["http2", "http1"])
def test_header_places_are_those_of_the_captured_navigations(name: str, version: str) -> None:
    value, profile = load(name), built(load(name))
    order = [item[0] for item in (profile.h2_headers if version == "http2" else profile.h1_headers)]
    kinds = ["navigation_first", "form_post_by_click", "form_post_by_script", "navigation_by_click", "iframe"]
    seen = set()
    for kind in kinds:
        request = value["requests"][version].get(kind)
        if request is None:
            continue
        names = list(dict.fromkeys(item[0] for item in request["headers"]))
        shared = [item for item in names if item in order]
        assert shared == [item for item in order if item in names], kind
        seen.update(shared)
    assert {"content-length", "content-type", "origin", "referer", "cookie"} <= {item.lower() for item in seen}


def test_http1_headers_of_a_capture_without_them() -> None:
    """Derived from the HTTP/2 list they are what the live browser of the family sends."""
    for name in LIVE:
        value = load(name)
        live = built(value)
        del value["http1"]
        assert built(value).h1_headers == live.h1_headers


def test_places_without_requests_follow_the_family() -> None:
    for name in LIVE:
        value = load(name)
        live = built(value)
        del value["requests"]
        derived = built(value)
        assert derived.h2_headers == live.h2_headers
        assert derived.h1_headers == live.h1_headers
        assert derived.data_frame_max == live.data_frame_max


def test_flags_without_variants_follow_the_family() -> None:
    for name in LIVE:
        value = load(name)
        live = built(value)
        for key in ("variants", "samples", "requests"):
            del value[key]
        derived = built(value)
        assert derived.flags == live.flags
        assert [ext.type for ext in derived.exts] == [ext.type for ext in live.exts]


def without_type(variant: Any, kind: int) -> None:
    variant["tls"]["extensions"] = [item for item in variant["tls"]["extensions"] if item["type"] != kind]


def test_flags_follow_the_variants() -> None:
    chromium, firefox = load(LIVE[0]), load(LIVE[1])
    assert "PSK_DROPS_TICKET" not in built(chromium).flags
    without_type(chromium["variants"]["resumption"], 35)
    assert "PSK_DROPS_TICKET" in built(chromium).flags
    without_type(chromium["variants"]["resumption"], 41)
    assert "RESUMES_13" not in built(chromium).flags
    for name in [name for name in chromium["variants"] if name.startswith("retry_")]:
        extension(chromium["variants"][name], 51)["shares"].insert(0, {"group": "GREASE", "length": 1})
    assert "RETRY_KEEPS_GREASE" in built(chromium).flags
    extension(chromium["variants"]["retry_p256"], 51)["shares"].pop(0)
    with pytest.raises(FieldError, match="variants: some second ClientHellos keep"):
        built(chromium)
    del chromium["variants"]
    without_type(firefox["variants"]["resumption_early_data"], 42)
    assert "EARLY_DATA" not in built(firefox).flags
    assert 42 not in [ext.type for ext in built(firefox).exts]
    firefox["requests"]["http2"]["fetch_post_empty"].pop("data_frames")
    assert "H2_EMPTY_DATA" not in built(firefox).flags
    firefox["samples"] = chromium["samples"]
    assert "SHARES_X25519" not in built(firefox).flags
    firefox["samples"] = [load(LIVE[1])["samples"][0], chromium["samples"][0]]
    with pytest.raises(FieldError, match="samples: some repeat"):
        built(firefox)


def test_extension_7_changes_nothing_but_itself() -> None:
    """A browser with another extension needs a file and no code."""
    value = load(LIVE[1])
    value["tls"]["extensions"].insert(3, {"type": 7777, "length": 3, "data": "0a0b0c"})
    ext = built(value).exts[3]
    assert (ext.type, ext.data, ext.values) == (7777, b"\x0a\x0b\x0c", [])


def drop(*path: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return change


def put(new: Any, *path: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = new

    return change


def at(kind: Any, key: str, new: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        extension(value, kind)[key] = new

    return change


def add_extension(item: Any) -> Callable[[Any], None]:
    return lambda value: value["tls"]["extensions"].insert(1, item)


def frame(key: str, new: Any) -> Callable[[Any], None]:
    return lambda value: headers_frame(value).__setitem__(key, new)


# (change, path of the field in the message, reason)
BAD = [
    (put(2, "schema"), "schema", "is not 1"),
    (put("other", "id"), "id", "file's name"),
    (drop("client"), "chromium_156_linux.json", "has no 'client'"),
    (put("presto", "client", "engine"), "client.engine", "no rules for the engine 'presto'"),
    (drop("tls", "cipher_suites"), "tls", "has no 'cipher_suites'"),
    (put([4865, 70000], "tls", "cipher_suites"), "tls.cipher_suites[1]", "70000 is no number from 0 to 65535"),
    (put([0x1A1A], "tls", "cipher_suites"), "tls.cipher_suites[0]", "GREASE value"),
    (put([True], "tls", "cipher_suites"), "tls.cipher_suites[0]", "is no number"),
    (put([], "tls", "cipher_suites"), "tls.cipher_suites", "has no suites"),
    (put("4865", "tls", "cipher_suites"), "tls.cipher_suites", "is no list"),
    (put([0, 1], "tls", "compression_methods"), "tls.compression_methods", "is not [0]"),
    (put(16, "tls", "session_id_length"), "tls.session_id_length", "neither 0 nor 32"),
    (put(0x0304, "tls", "legacy_version"), "tls.legacy_version", "no number from 771 to 771"),
    (put("shuffled", "tls", "extension_order"), "tls.extension_order", "neither"),
    (put({"first": ["GREASE", 0]}, "tls", "pinned"), "tls.pinned.first", "is not what stands first"),
    (put({"last": [0]}, "tls", "pinned"), "tls.pinned.last", "is not what stands last"),
    (put("gnutls", "tls", "padding"), "tls.padding", "the only rule known"),
    (add_extension({"type": 41, "length": 9}), "tls.extensions[1]", "no part of a first ClientHello"),
    (add_extension({"type": 23, "length": 0}), "tls.extensions[17].type", "stands twice"),
    (add_extension({"type": 4711}), "tls.extensions[1]", "neither data nor a length"),
    (add_extension({"type": 4711, "length": "x"}), "tls.extensions[1].length", "is no number"),
    (add_extension({"type": 4711, "length": 2, "data": "00"}), "tls.extensions[1].length", "fields make 1 bytes"),
    (add_extension({"type": 4711, "length": 1, "data": "0g"}), "tls.extensions[1].data", "is no hex"),
    (add_extension({"type": "GREASE", "length": 0, "data": ""}), "tls.extensions", "more than two GREASE"),
    (at(10, "groups", []), ".groups", "is empty"),
    (at(10, "groups", [29, "x"]), ".groups[1]", "is no number"),
    (at(10, "groups", [29]), ".length", "12, but the fields make 4 bytes"),
    (at(16, "protocols", ["h2", ""]), ".protocols[1]", "is empty or too long"),
    (at(16, "protocols", ["h\u00e9"]), ".protocols[0]", "outside printable ASCII"),
    (at(51, "shares", [{"group": 29, "length": 31}]), ".shares[0].length", "31 is no number from 32 to 32"),
    (at(51, "shares", [{"group": 999, "length": 1}]), ".shares[0].group", "group 999 cannot be made"),
    (at(51, "shares", [{"group": 29, "length": 32}] * 2), ".shares[1].group", "stands twice"),
    (at(65037, "payload_length", {"any_of": []}), ".payload_length.any_of", "is empty"),
    (at(65037, "payload_length", 5), ".payload_length", "5 is no number from 17"),
    (at(5, "status_type", 2), ".status_type", "no number from 1 to 1"),
    (put([], "http2", "frames"), "http2.frames", "has no HEADERS"),
    (put([[1]], "http2", "frames", 0, "settings"), "http2.frames[0].settings[0]", "no pair"),
    (put([[1, 1 << 32]], "http2", "frames", 0, "settings"), "http2.frames[0].settings[0][1]", "4294967296"),
    (put("PING", "http2", "frames", 1, "type"), "http2.frames[1].type", "no part of a connection's opening"),
    (put(0, "http2", "frames", 1, "increment"), "http2.frames[1].increment", "no number from 1"),
    (frame("pseudo_headers", [":method"]), ".pseudo_headers", "not the four"),
    (frame("stream_id", 2), ".stream_id", "is even"),
    (
        frame("priority", {"exclusive": 1, "depends_on": 0, "weight": 1}),
        ".priority.exclusive",
        "neither true nor false",
    ),
    (frame("priority", {"exclusive": True, "depends_on": 0, "weight": 257}), ".priority.weight", "257"),
    (frame("headers", [["a b", "c"]]), ".headers[0][0]", "is no header name"),
    (frame("headers", [["a", "b"], ["Accept", "c"]]), "http2.frames[2].headers[1][0]", "not lower case"),
    (frame("headers", [["accept", "c\r\nx: y"]]), ".headers[0][1]", "outside printable ASCII"),
    (put([["Accept", "x"]], "http1", "headers"), "http1.headers", "has no Host"),
    (put(["00"], "samples"), "samples[0]", "is no ClientHello"),
]


@pytest.mark.parametrize(("change", "path", "reason"), BAD, ids=[row[1] + " " + row[2] for row in BAD])
def test_malformed_profiles_are_refused(
    change: Callable[[Any], None], path: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = copy.deepcopy(load("chromium_156_linux"))
    change(value)
    write(tmp_path, chromium_156_linux=value, aliases=dict(ALIASES, default="chromium_156_linux"))
    out = tmp_path / "out.inc"
    assert gen_profiles.main(["--out", str(out), str(tmp_path)]) == 2
    text = capsys.readouterr().err
    assert path in text and reason in text and str(tmp_path) in text
    assert not out.exists()


def test_malformed_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text("{", encoding="utf-8")
    with pytest.raises(FieldError, match="one.json"):
        Library([tmp_path])


def test_inherits(tmp_path: Path) -> None:
    base = load("chrome_133_macos")
    child = {
        "id": "chrome_133_windows",
        "inherits": "chrome_133_macos",
        "client": {"os": "windows"},
        "http2": {"frames": [headers_frame(base)]},
    }
    write(tmp_path, chrome_133_macos=base, chrome_133_windows=child)
    parent, windows = Library([tmp_path]).profiles()
    assert (parent.os, windows.os) == ("macos", "windows")
    assert (windows.family, windows.version) == (parent.family, parent.version)
    assert windows.suites == parent.suites and windows.flags == parent.flags
    assert parent.settings and not windows.settings  # a list replaces, it is not merged


def test_inherits_that_cannot_be_followed(tmp_path: Path) -> None:
    write(tmp_path, a={"id": "a", "inherits": "b"}, b={"id": "b", "inherits": "a"})
    with pytest.raises(FieldError, match=r"a.json: inherits: there is no|goes round in a circle"):
        Library([tmp_path]).profiles()
    write(tmp_path, a={"id": "a", "inherits": "nobody"})
    with pytest.raises(FieldError, match="there is no profile 'nobody'"):
        Library([tmp_path]).profiles()
    write(tmp_path, a={"id": "a", "inherits": "a"})
    with pytest.raises(FieldError, match="goes round in a circle"):
        Library([tmp_path]).profiles()


def test_aliases_that_cannot_be_used(tmp_path: Path) -> None:
    one = dict(load("chrome_133_macos"), id="one")
    for aliases, reason in (
        ({"x": "nobody"}, r"aliases\.x: there is no profile 'nobody'"),
        ({"two": {"profile": "one", "basis": "capture"}}, r'aliases\.two\.basis: is not "nearest"'),
        ({"x": "one", "y": "x"}, r"aliases\.y: there is no profile 'x'"),
    ):
        write(tmp_path, one=one, aliases=dict(ALIASES, aliases=aliases))
        with pytest.raises(FieldError, match=reason):
            gen_profiles.generate([tmp_path])
    write(tmp_path, aliases=dict(ALIASES, families={"one": "one"}))
    with pytest.raises(FieldError, match="families.one: 'one' is another profile's name"):
        gen_profiles.generate([tmp_path])
    write(tmp_path, aliases=dict(ALIASES, default="two"))
    with pytest.raises(FieldError, match="default: there is no profile 'two'"):
        gen_profiles.generate([tmp_path])
    (tmp_path / "aliases.json").unlink()
    with pytest.raises(FieldError, match="there is no aliases.json"):
        gen_profiles.generate([tmp_path])


def test_a_profile_more_is_a_file_more(tmp_path: Path) -> None:
    """The tables with another file compile, and the name is known."""
    for name in PROFILES:
        write(tmp_path, **{name: load(name)})
    aliases = load("aliases")
    aliases["aliases"]["other??/name"] = "other"
    write(tmp_path, other={"id": "other", "inherits": PROFILES[0], "client": {"version": '1"\\'}}, aliases=aliases)
    out = tmp_path / "more.inc"
    assert gen_profiles.main(["--out", str(out), str(tmp_path)]) == 0
    main = tmp_path / "main.c"
    main.write_text(
        '#include <stdio.h>\n#include "profile/profile.h"\n'
        "int main(void)\n{\n"
        '    const tr_profile_t *p = tr_profile_find(tr_slice_cstr("other?" "?/name"));\n'
        '    puts(p == NULL ? "none" : p->version);\n    return 0;\n}\n',
        encoding="ascii",
    )
    program = tmp_path / "more"
    command = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", str(ROOT / "src")]
    command += ['-DTR_PROFILES_INC="%s"' % out, str(main), str(ROOT / "src" / "profile" / "profile.c")]
    command += [str(ROOT / "src" / "core" / "mem.c")]
    subprocess.run([*command, "-o", str(program)], check=True)
    assert subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout == b'1"\\\n'
