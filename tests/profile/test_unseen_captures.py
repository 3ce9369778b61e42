"""Captures that the project does not have: what is not known, free or drawn anew, families without rules, recordings and raw
ClientHellos. Each is loaded, sent with, and what the recording server saw is compared with the capture."""

from __future__ import annotations

import copy
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from peers.servers import start_gnutls, start_s_server
from tls_requests import Profile
from tls_requests.exceptions import ProfileError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from fingerprint import compare, server  # noqa: E402

pytestmark = pytest.mark.timeout(60)

Change = Callable[[dict[str, Any]], object]


def capture(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((ROOT / "profiles" / f"{name}.json").read_text())
    return value


def extension(value: dict[str, Any], kind: Any) -> dict[str, Any]:
    return next(item for item in value["tls"]["extensions"] if item["type"] == kind)


def frame(value: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(item for item in value["http2"]["frames"] if item["type"] == kind)


def without(value: dict[str, Any], *kinds: Any) -> None:
    value["tls"]["extensions"] = [item for item in value["tls"]["extensions"] if item["type"] not in kinds]


def add(*items: dict[str, Any], at: int = 3) -> Change:
    return lambda value: value["tls"]["extensions"].__setitem__(slice(at, at), copy.deepcopy(list(items)))


def put(new: Any, *path: Any) -> Change:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = copy.deepcopy(new)

    return change


def drop(*path: Any) -> Change:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        del value[path[-1]]

    return change


def any_of(*values: Any) -> dict[str, Any]:
    return {"any_of": list(values)}


@pytest.fixture
def peer(server_pair: Any) -> Iterator[Any]:
    running = server.Server("127.0.0.1", 0, str(server_pair.both)).start()
    yield running
    running.stop()


@pytest.fixture
def retrying(server_pair: Any) -> Iterator[Any]:
    running = server.Server("127.0.0.1", 0, str(server_pair.both), curve="secp384r1").start()
    yield running
    running.stop()


def sent(peer: Any, ca_file: str, profile: Any) -> dict[str, Any]:
    with tls_requests.Client(verify=ca_file, client_identifier=profile) as client:
        response = client.get(f"https://localhost:{peer.port}/")
        assert response.status_code == 200, response.text
    record: dict[str, Any] = peer.last_record()
    return record


def old_tls(value: dict[str, Any]) -> None:
    value["tls"]["cipher_suites"] = [
        suite for suite in value["tls"]["cipher_suites"] if suite not in (4865, 4866, 4867)
    ]
    value["tls"]["session_id_length"] = 0
    without(value, 43, 45, 51, 27, 17613, 65037)


def shares(*groups: int) -> Change:
    lengths = {23: 65, 24: 97, 29: 32, 258: 512, 4588: 1216, 25497: 1216}

    def change(value: dict[str, Any]) -> None:
        known = extension(value, 10)["groups"]
        known += [group for group in groups if group not in known]
        extension(value, 10)["length"] = 2 + 2 * len(known)
        listed = [{"group": group, "length": lengths[group]} for group in groups]
        extension(value, 51).update(shares=listed, length=2 + sum(4 + item["length"] for item in listed))

    return change


FORGET = ("record_version", "legacy_version", "session_id_length", "compression_methods")
# What was done to the captures firefox_144_macos (order fixed, no GREASE) and chrome_104_windows; the server must then see it.
CHANGES: dict[str, Change] = {
    "not known: versions and session id": lambda value: [put(None, "tls", name)(value) for name in FORGET],
    "missing: versions and session id": lambda value: [drop("tls", name)(value) for name in FORGET],
    "missing: lengths": lambda value: [item.pop("length", None) for item in value["tls"]["extensions"]],
    "not known: lengths": lambda value: [item.update(length=None) for item in value["tls"]["extensions"]],
    "missing: lengths of shares": lambda value: [item.pop("length") for item in extension(value, 51)["shares"]],
    "not known: order of extensions": put(None, "tls", "extension_order"),
    "not known: pseudo-headers": lambda value: frame(value, "HEADERS").update(pseudo_headers=None),
    "missing: headers": lambda value: frame(value, "HEADERS").pop("headers"),
    "missing: HTTP/2": drop("http2"),
    "missing: schema": drop("schema"),
    "missing: client": drop("client"),
    "missing: engine": drop("client", "engine"),
    "missing: id": drop("id"),
    "an engine without rules": put("servo", "client", "engine"),
    "a version that is no number": put("twelve", "client", "version"),
    "one of: suites": lambda value: put(any_of([4865, 49195, 49199], [4866]), "tls", "cipher_suites")(value),
    "one of: record version": put(any_of(769, 771), "tls", "record_version"),
    "one of: first stream": lambda value: frame(value, "HEADERS").update(stream_id=any_of(5, 7)),
    "one of: a header": lambda value: frame(value, "HEADERS")["headers"].insert(0, ["x-a", any_of("one", "two")]),
    "one of: groups": lambda value: (
        extension(value, 10).update(groups=any_of([29, 23, 24], [29]), length=None),
        extension(value, 51).update(shares=[{"group": 29, "length": 32}], length=38),
    ),
    "one of: an unknown extension's data": add({"type": 7777, "data": any_of("0102", "030405")}),
    "drawn: an unknown extension's data": add({"type": 7777, "length": 12, "data": None}),
    "padding as captured, at the end": lambda value: (
        value["tls"].pop("padding", None),
        without(value, 21),
        value["tls"]["extensions"].append({"type": 21, "length": 77}),
    ),
    "padding as captured, in the middle": lambda value: (
        value["tls"].pop("padding", None),
        without(value, 21),
        add({"type": 21, "length": 300})(value),
    ),
    "padding of which the length varies": lambda value: (
        value["tls"].pop("padding", None),
        without(value, 21),
        value["tls"]["extensions"].append({"type": 21, "length": None}),
        value["tls"].update(padding="boringssl"),
    ),
    "a table of header fields of nothing": lambda value: value["http2"].update(
        frames_complete=True,
        frames=[{"type": "SETTINGS", "stream_id": 0, "settings": [[1, 0], [4, 65535]]}, frame(value, "HEADERS")],
    ),
    "SETTINGS without settings, no WINDOW_UPDATE": lambda value: value["http2"].update(
        frames_complete=True, frames=[{"type": "SETTINGS", "stream_id": 0, "settings": []}, frame(value, "HEADERS")]
    ),
    "unknown settings, twice": lambda value: value["http2"].update(
        frames_complete=True,
        frames=[
            {"type": "SETTINGS", "stream_id": 0, "settings": [[0x4D44, 7], [10, 1], [4, 70000], [10, 1]]},
            frame(value, "HEADERS"),
        ],
    ),
    "no shares": shares(),
    "a share of P-256 first": shares(23, 29),
    "a share of ML-KEM alone": shares(4588),
    "a share of Kyber": shares(25497, 29),
    "a share of ffdhe4096": shares(258),
    "TLS 1.2 alone": old_tls,
    "no session id": put(0, "tls", "session_id_length"),
    "no server name, no extended master secret": lambda value: without(value, 0, 23),
    "ECH of a length that no rule gives": lambda value: (
        without(value, 65037),
        add({"type": 65037, "kind": "outer", "kdf": 1, "aead": 1, "enc_length": 32, "payload_length": 144})(value),
    ),
    "a priority that depends on another stream": lambda value: frame(value, "HEADERS").update(
        priority={"weight": 110, "depends_on": 3, "exclusive": True}
    ),
    "an exact opening without priority fields": lambda value: (
        value["http2"].update(exact=True),
        frame(value, "HEADERS").pop("priority", None),
    ),
}


@pytest.mark.parametrize("base", ["firefox_144_macos", "chrome_104_windows"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_captures_that_vary(change: Change, base: str, peer: Any, retrying: Any, ca_file: str, tmp_path: Path) -> None:
    value = capture(base)
    change(value)
    before = copy.deepcopy(value)
    profile = Profile.load(value)
    assert value == before
    path = tmp_path / "capture.json"
    path.write_text(json.dumps(value))
    assert Profile.load(path) == profile
    rebuilt = Profile.load(profile._make(profile._rows_object(), None, False).to_dict())
    assert rebuilt == profile, profile.diff(rebuilt)
    assert profile.fields()
    record = sent(peer, ca_file, profile)
    assert compare.compare(value, record, hpack=True) == []
    record = sent(retrying, ca_file, profile)
    assert compare.compare(value, record) == []
    if len(record["client_hellos"]) > 1:
        second = copy.deepcopy(value["tls"])
        extension({"tls": second}, 51).update(shares=[{"group": 24, "length": 97}], length=None)
        if before["tls"].get("record_version") is not None:
            second["record_version"] = 0x0303
        assert compare.compare({"tls": second}, record, hello=1) == []


def test_drawn_bodies_are_drawn_for_each_connection(peer: Any, retrying: Any, ca_file: str) -> None:
    value = capture("firefox_144_macos")
    add({"type": 7777, "length": 12, "data": None})(value)
    profile = Profile.load(value)
    bodies = {
        extension({"tls": sent(peer, ca_file, profile)["client_hellos"][0]["decoded"]}, 7777)["data"] for _ in "abc"
    }
    assert len(bodies) == 3
    hellos = sent(retrying, ca_file, profile)["client_hellos"]
    assert len(hellos) == 2
    first, second = (extension({"tls": hello["decoded"]}, 7777)["data"] for hello in hellos)
    assert first == second, "a second hello repeats what it can (RFC 8446 4.1.2)"


FAMILIES: list[tuple[dict[str, Any], str | None, str | None]] = [
    # client of the capture, engine that is meant, version that is told
    ({"family": "firefox", "version": "150"}, "FIREFOX", "150"),
    ({"family": "edge", "version": "150"}, "CHROMIUM", "150"),
    ({"family": "chrome", "version": "150", "os": "ios"}, "GENERIC", "150"),
    ({"family": "ladybird"}, "GENERIC", ""),
    ({"family": "firefox", "engine": "servo"}, "GENERIC", ""),
    ({}, "FIREFOX", "144"),
]


@pytest.mark.parametrize(("client", "encoder", "version"), FAMILIES)
def test_the_family_of_a_capture(client: dict[str, Any], encoder: str, version: str) -> None:
    """Rules of the family: by engine, else by family, else by the recorded User-Agent (Firefox 144's)."""
    value = capture("firefox_144_macos")
    value["client"] = client
    profile = Profile.load(value)
    assert (profile._rows_object().hpack, profile.version) == (encoder, version)


def test_a_window_that_never_opens_is_refused() -> None:
    value = capture("chrome_133_macos")
    put([[4, 0]], "http2", "frames", 0, "settings")(value)
    with pytest.raises(ProfileError, match="http2.frames: make a window of 0 bytes for each stream"):
        Profile.load(value)
    value["http2"]["frames"].append({"type": "WINDOW_UPDATE", "stream_id": 1, "increment": 70000})
    assert Profile.load(value).akamai is not None


def test_no_stream_depends_on_itself(peer: Any, ca_file: str) -> None:
    """RFC 7540 5.3.1. Go's server, for one, resets a stream that does."""
    value = capture("chrome_104_windows")
    frame(value, "HEADERS").update(priority={"weight": 110, "depends_on": 3, "exclusive": True})
    with tls_requests.Client(verify=ca_file, client_identifier=Profile.load(value)) as client:
        for _ in range(3):
            assert client.get(f"https://localhost:{peer.port}/").status_code == 200
    told = {
        item["stream_id"]: item["priority"]["depends_on"]
        for item in peer.last_record()["http2"]["frames"]
        if item["type"] == "HEADERS"
    }
    assert told == {1: 3, 3: 0, 5: 3}


def test_names_in_any_script(tmp_path: Path) -> None:
    value = capture("firefox_144_macos")
    value.update(id="Füchsin 狐")
    profile = Profile.load(value)
    profile.save(tmp_path / "狐.json")
    assert Profile.load(tmp_path / "狐.json").id == profile.id == "Füchsin 狐"
    value["id"] = "two\nlines"
    with pytest.raises(ProfileError, match="id: has characters that cannot be printed"):
        Profile.load(value)


@pytest.mark.parametrize(
    ("change", "path", "reason"),
    [
        (
            lambda v: v["http2"]["frames"].insert(2, v["http2"]["frames"][1]),
            "http2.frames[2]",
            "is a second WINDOW_UPDATE",
        ),
        (
            lambda v: v["http2"]["frames"].insert(
                1, {"type": "PRIORITY", "stream_id": 3, "exclusive": False, "depends_on": 0, "weight": 1}
            ),
            "http2.frames[2]",
            "stands behind PRIORITY frames",
        ),
        (put(3, "http2", "frames", 1, "stream_id"), "http2.frames[1].stream_id", "there is no stream before HEADERS"),
        (put(any_of(), "tls", "cipher_suites"), "tls.cipher_suites.any_of", "is empty"),
        (put(any_of([4865, 70000]), "tls", "cipher_suites"), "tls.cipher_suites.any_of[0][1]", "70000"),
        (put(any_of(None, "x"), "tls", "session_id_length"), "tls.session_id_length.any_of[1]", "is no number"),
        (put(1, "client", "engine"), "client.engine", "is no text"),
        (add({"type": 7777}), "tls.extensions[3]", "neither data nor a length"),
        (add({"type": 7777, "length": 17000, "data": None}), "tls.extensions[3].length", "17000"),
    ],
)
def test_what_is_refused(change: Change, path: str, reason: str) -> None:
    value = capture("firefox_144_macos")
    change(value)
    with pytest.raises(ProfileError) as caught:
        Profile.load(value)
    assert caught.value.path == path and reason in caught.value.reason


# -------------------------------------------------------------------------------------------- recordings, raw ClientHellos


def recording(name: str, visits: int, server_pair: Any, ca_file: str, path: Path) -> list[dict[str, Any]]:
    running = server.Server("127.0.0.1", 0, str(server_pair.both)).start()
    for _ in range(visits):
        sent(running, ca_file, name)
    deadline = time.monotonic() + 10
    while sum("closed_after" in item.record for item in running.connections) < visits:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.stop()
    found = [item.record for item in running.connections]
    path.write_text(json.dumps(found))
    return found


@pytest.mark.parametrize("name", ["firefox_144", "chrome_133", "safari_18_4", "okhttp_5"])
def test_a_recording_is_a_profile(name: str, server_pair: Any, ca_file: str, tmp_path: Path) -> None:
    named, path = Profile.named(name), tmp_path / "seen.json"
    records = recording(name, 7, server_pair, ca_file, path)
    # Padding by a rule that the recorded hellos were too long for is all that they do not show.
    assert {item.field for item in Profile.load(path).diff(named)} <= {"TLS padding"}
    single = Profile.load(records[0])
    assert {item.field for item in single.diff(named)} <= {"TLS padding", "TLS encrypted_client_hello (65037)"}
    path.write_text(json.dumps(records[-1]))
    assert Profile.load(path).ja4 == named.ja4
    with tls_requests.Client(client_identifier=str(path)) as client:
        assert client.fingerprint().akamai == named.akamai


def test_raw_client_hellos_are_profiles(server_pair: Any, ca_file: str, tmp_path: Path, peer: Any) -> None:
    named = Profile.named("firefox_144")
    records = recording("firefox_144", 1, server_pair, ca_file, tmp_path / "seen.json")
    raw = bytes.fromhex(records[0]["client_hellos"][0]["raw"])
    for data in (raw, raw[5:], raw.hex().encode(), (raw.hex(" ") + "\n").encode(), b" " + raw[5:].hex(":").encode()):
        path = tmp_path / "hello"
        path.write_bytes(data)
        profile = Profile.load(path)
        assert (profile.ja3, profile.ja4) == (named.ja3, named.ja4)
        # What a ClientHello does not show is as in Chrome 133.
        assert profile.akamai == Profile.named("chrome_133").akamai and profile.user_agent is None
        value = {key: item for key, item in capture("firefox_144_macos").items() if key == "tls"}
        assert compare.compare(value, sent(peer, ca_file, profile)) == []
        assert Profile.load(profile.to_dict()) == profile


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x16\x03\x01\x00\x05\x01\x00", "is no ClientHello"),
        (b"\x01\x00\x00\x00", "is no ClientHello"),
        (b"1603010", "is no ClientHello"),
        (b"[]", "is no object"),
        (b'[{"client_hellos": []}]', "has no ClientHello"),
        (b'[{"client_hellos": [{}]}]', "client_hellos[0]: has no 'raw'"),
        (b'[{"client_hellos": [{"raw": "1603"}]}]', "client_hellos[0].raw: is no ClientHello"),
        (b'[{"client_hellos": [5]}]', "is no object"),
        (b'[{"client_hellos": [], "http2": 5}]', "has no ClientHello"),
    ],
)
def test_recordings_that_are_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(ProfileError, match="^x.json") as caught:
        Profile.load(path)
    assert reason in str(caught.value)


# ------------------------------------------------------------------------------ answers to what is sent as it was captured


def large_request(port: int, profile: Profile, ca_file: str) -> Any:
    with tls_requests.Client(verify=ca_file, client_identifier=profile, http2=False, timeout=10) as client:
        return client.get(f"https://localhost:{port}/", headers={"x-large": "x" * 5000})


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_max_fragment_length(version: str, server_pair: Any, ca_file: str) -> None:
    """OpenSSL and GnuTLS agree to it (RFC 6066 4), and end a connection whose records are longer."""
    value = capture("firefox_144_macos")
    without(value, 28)
    add({"type": 1, "length": 1, "data": "02"})(value)
    profile = Profile.load(value)
    with start_s_server(server_pair, f"-tls{version.replace('.', '_')}") as running:
        response = large_request(running.port, profile, ca_file)
        assert response.status_code == 200 and response.timing.tls_version == f"TLSv{version}", response.text
    with start_gnutls(server_pair, f"NORMAL:-VERS-ALL:+VERS-TLS{version}") as running:
        response = large_request(running.port, profile, ca_file)
        assert response.status_code == 200, response.text
