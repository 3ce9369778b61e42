"""Profiles made at run time: loading, what is refused, texts, custom TLS clients, and what a server sees of them."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import gc
import json
import os
import pickle
import random
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from tls_requests import Profile, _core
from tls_requests._fingerprint import profile as profile_module
from tls_requests._fingerprint.registry import FLAGS, MAX_HELLO, SUITES
from tls_requests.exceptions import ProfileError, TLSError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import gen_profiles  # noqa: E402

from fingerprint import compare, server  # noqa: E402

LIBRARY = gen_profiles.Library([ROOT / "profiles", ROOT / "profiles" / "derived"])
NAMES = sorted(LIBRARY.raw)

JA3 = (
    "771,2570-4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,"
    "2570-0-23-65281-10-11-35-16-5-13-18-51-45-43-27-17513-2570-21,2570-29-23-24,0"
)
# The custom client of the low-level interface's documentation, in its names.
CUSTOM: dict[str, Any] = {
    "ja3String": "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,"
    "0-23-65281-10-11-35-16-5-13-18-51-45-43-27-17513-21,29-23-24,0",
    "h2Settings": {
        "HEADER_TABLE_SIZE": 65536,
        "MAX_CONCURRENT_STREAMS": 1000,
        "INITIAL_WINDOW_SIZE": 6291456,
        "MAX_HEADER_LIST_SIZE": 262144,
    },
    "h2SettingsOrder": [
        "HEADER_TABLE_SIZE",
        "MAX_CONCURRENT_STREAMS",
        "INITIAL_WINDOW_SIZE",
        "MAX_HEADER_LIST_SIZE",
    ],
    "supportedSignatureAlgorithms": [
        "ECDSAWithP256AndSHA256",
        "PSSWithSHA256",
        "PKCS1WithSHA256",
        "ECDSAWithP384AndSHA384",
        "PSSWithSHA384",
        "PKCS1WithSHA384",
        "PSSWithSHA512",
        "PKCS1WithSHA512",
    ],
    "supportedVersions": ["1.3", "1.2"],
    "keyShareCurves": ["X25519"],
    "certCompressionAlgo": "brotli",
    "alpnProtocols": ["h2", "http/1.1"],
    "alpsProtocols": ["h2"],
    "pseudoHeaderOrder": [":method", ":authority", ":scheme", ":path"],
    "connectionFlow": 15663105,
    "headerPriority": {"streamDep": 0, "exclusive": True, "weight": 255},
    "priorityFrames": [{"streamID": 3, "priorityParam": {"streamDep": 0, "exclusive": False, "weight": 200}}],
}


def capture(name: str) -> dict[str, Any]:
    value: dict[str, Any] = copy.deepcopy(LIBRARY.resolve(name))
    return value


def extension(value: dict[str, Any], kind: Any) -> dict[str, Any]:
    return next(item for item in value["tls"]["extensions"] if item["type"] == kind)


@pytest.fixture
def peer(server_pair: Any) -> Iterator[Any]:
    running = server.Server("127.0.0.1", 0, str(server_pair.both)).start()
    yield running
    running.stop()


def records(peer: Any) -> list[dict[str, Any]]:
    return [connection.record for connection in peer.connections if connection.record["client_hellos"]]


def seen(peer: Any, ca_file: str, **options: Any) -> dict[str, Any]:
    """What the server records of one request of a client."""
    with tls_requests.Client(verify=ca_file, **options) as client:
        response = client.get(f"https://localhost:{peer.port}/")
        assert response.status_code == 200, response.text
    record: dict[str, Any] = records(peer)[-1]
    return record


# ---------------------------------------------------------------------------------------------------- loading and saving


@pytest.mark.parametrize("name", NAMES)
def test_every_file_loads_and_is_the_built_in_profile(name: str) -> None:
    named = Profile.named(name)
    loaded = Profile.load(capture(name))
    assert loaded == named and hash(loaded) == hash(named) and loaded.diff(named) == []
    again = Profile.load(json.loads(json.dumps(named.to_dict())))
    assert again == named
    assert (named.id, named.ja4, named.akamai, named.user_agent) == (name, loaded.ja4, loaded.akamai, loaded.user_agent)


def test_saving(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    Profile.named("firefox_133").save(path)
    loaded = Profile.load(path)
    assert loaded == Profile.named("firefox_133")
    assert json.loads(path.read_text())["fingerprints"]["ja4"] == loaded.ja4
    value = loaded.to_dict()
    value["tls"]["cipher_suites"].clear()
    assert loaded.to_dict()["tls"]["cipher_suites"], "the profile does not share what it gave away"
    assert pickle.loads(pickle.dumps(loaded)) == loaded
    assert pickle.loads(pickle.dumps(Profile.named("edge"))) == Profile.named("edge")
    assert copy.copy(loaded) is loaded and copy.deepcopy(loaded) is loaded
    assert repr(loaded) == "<Profile firefox_133_macos>"
    assert loaded != "firefox_133" and loaded != Profile.named("firefox_132")


def test_inherits() -> None:
    mine = Profile.load({"schema": 1, "id": "mine", "inherits": "chrome_133", "client": {"version": "133.1"}})
    assert [item.field for item in mine.diff("chrome_133")] == []
    assert mine.id == "mine" and mine.version == "133.1"
    other = Profile.load({"inherits": "chrome_133", "tls": {"cipher_suites": [4865, 4866, 4867, 49195]}})
    assert [item.field for item in other.diff("chrome_133")] == ["TLS cipher suites"]
    with pytest.raises(ProfileError, match='inherits: there is no profile "nobody"'):
        Profile.load({"inherits": "nobody"})


def test_unknown_extensions_are_raw_bytes(peer: Any, ca_file: str) -> None:
    value = capture("firefox_153_linux")
    value["tls"]["extensions"].insert(3, {"type": 7777, "data": "0a0b0c"})
    record = seen(peer, ca_file, client_identifier=Profile.load(value))
    hello = record["client_hellos"][0]["decoded"]
    found = hello["extensions"][3]
    assert (found["type"], found["data"], found["length"]) == (7777, "0a0b0c", 3)
    del value["tls"]["extensions"][3]
    assert [item["type"] for item in hello["extensions"] if item["type"] != 7777] == [
        item["type"] for item in value["tls"]["extensions"]
    ]


def test_a_profile_is_an_identifier_everywhere(peer: Any, ca_file: str, tmp_path: Path) -> None:
    path = tmp_path / "firefox.json"
    Profile.named("firefox_133").save(path)
    want = Profile.named("firefox_133").ja4
    url = f"https://localhost:{peer.port}/"

    def last() -> str:
        texts: dict[str, str] = compare_texts(records(peer)[-1])
        return texts["ja4"]

    for identifier in (Profile.load(path), str(path), path, "firefox_133"):
        assert compare_texts(seen(peer, ca_file, client_identifier=identifier))["ja4"] == want
        assert tls_requests.get(url, client_identifier=identifier, verify=ca_file).status_code == 200
        assert last() == want
        with tls_requests.Client(verify=ca_file) as client:
            assert client.get(url, client_identifier=identifier).status_code == 200
            assert last() == want
            assert client.get(url).status_code == 200
            assert last() != want

    async def main() -> None:
        async with tls_requests.AsyncClient(verify=ca_file, client_identifier=str(path)) as client:
            assert (await client.get(url)).status_code == 200
            assert (await client.get(url, client_identifier="chrome_133")).status_code == 200

    asyncio.run(main())
    assert [compare_texts(record)["ja4"] == want for record in records(peer)[-2:]] == [True, False]


def test_a_rotator_of_profiles(peer: Any, ca_file: str, tmp_path: Path) -> None:
    path = tmp_path / "safari.json"
    Profile.named("safari_18_0").save(path)
    items = ["chrome_133", Profile.named("firefox_133"), path]
    rotator = tls_requests.TLSIdentifierRotator.from_file(items, strategy="round_robin")
    url = f"https://localhost:{peer.port}/"
    with tls_requests.Client(verify=ca_file, client_identifier=rotator) as client:
        for _ in items:
            assert client.get(url).status_code == 200
    wanted = [Profile.named(name).ja4 for name in ("chrome_133", "firefox_133", "safari_18_0")]
    assert [compare_texts(record)["ja4"] for record in records(peer)[-3:]] == wanted


def compare_texts(record: dict[str, Any]) -> dict[str, str]:
    from fingerprint.records import with_fingerprints

    texts: dict[str, str] = with_fingerprints(record)["fingerprints"]
    return texts


def test_equal_profiles_share_a_connection(peer: Any, ca_file: str) -> None:
    url = f"https://localhost:{peer.port}/"
    with tls_requests.Client(verify=ca_file) as client:
        for _ in range(3):
            loaded = Profile.load(capture("firefox_133_macos"))
            assert client.get(url, client_identifier=loaded).status_code == 200
            del loaded
            gc.collect()
        assert len(records(peer)) == 1
        assert client.get(url, client_identifier=Profile.load(capture("firefox_144_macos"))).status_code == 200
    assert len(records(peer)) == 2


def test_a_profile_outlives_its_object(peer: Any, ca_file: str) -> None:
    """Requests, connections and tickets keep what they use; all of it is freed in the end."""
    url = f"https://localhost:{peer.port}/"

    async def main() -> None:
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            calls = []
            for version in ("firefox_133", "firefox_144", "chrome_131"):
                mine = Profile.load({"inherits": version, "client": {"version": "1"}})
                calls += [asyncio.ensure_future(client.get(url, client_identifier=mine)) for _ in range(4)]
                del mine
            gc.collect()
            assert [(await call).status_code for call in calls] == [200] * 12

    asyncio.run(main())
    gc.collect()


def test_everything_is_freed() -> None:
    rows = _core.BrowserProfile("chrome_133")._rows()

    def blocks() -> int:
        gc.collect()
        return _core.stats()["blocks"]

    kept = Profile.load(capture("firefox_133_macos"))
    client = tls_requests.Client(client_identifier=kept)
    client.client_identifier = "chrome_133"
    before = blocks()
    for _ in range(50):
        _core.BrowserProfile(dict(rows, key=1))
        with pytest.raises(ValueError):
            _core.BrowserProfile(dict(rows, key=1, user_agent=5))
        client.client_identifier = Profile.load(capture("firefox_133_macos"))
    client.client_identifier = "chrome_133"
    client.fingerprint()
    assert blocks() <= before + 1, "the client's settings may keep the last one until they are looked at"


def test_changed_while_others_send(peer: Any, ca_file: str) -> None:
    """A client's profile is replaced, and the old one freed, while threads send with it."""
    import threading
    import time

    url = f"https://localhost:{peer.port}/"
    values = [capture("firefox_133_macos"), capture("chrome_131_macos")]
    failures: list[str] = []
    with tls_requests.Client(verify=ca_file, client_identifier=Profile.load(values[0])) as client:

        def send() -> None:
            for _ in range(40):
                response = client.get(url)
                if response.status_code != 200:
                    failures.append(response.text)

        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        turn = 0
        while any(thread.is_alive() for thread in threads):
            turn += 1
            client.client_identifier = Profile.load(values[turn % 2])
            # Loading gives the interpreter up and takes it back at once: without a pause no other thread has a turn.
            time.sleep(0.0005)
        for thread in threads:
            thread.join(30)
    assert failures == [] and turn > 0


# ---------------------------------------------------------------------------------------------------------- what is refused


def put(new: Any, *path: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = new

    return change


BAD: list[tuple[Callable[[dict[str, Any]], None], str, str]] = [
    (put(2, "schema"), "schema", "is not 1"),
    (lambda value: value.pop("tls"), "", "has no 'tls'"),
    (put([4865, 0xFFFE], "tls", "cipher_suites"), "tls.cipher_suites[1]", "cannot complete a handshake with suite"),
    (lambda v: extension(v, 10)["groups"].append(999), "tls.extensions[", "cannot complete an exchange in group 999"),
    (lambda v: extension(v, 51)["shares"].append({"group": 999, "length": 9}), ".shares[", "cannot be made"),
    (lambda v: extension(v, 51)["shares"].append({"group": 25, "length": 132}), ".length", "no number from 133"),
    (lambda v: extension(v, 10).update(groups=[24], length=4), ".shares[0].group", "not among supported_groups"),
    (put([49195], "tls", "cipher_suites"), "versions", "has TLS 1.3, but cipher_suites has none"),
    (lambda v: extension(v, 45).update(modes=[0]), ".modes", "has no psk_dhe_ke"),
    (lambda v: v["tls"]["extensions"].append({"type": 5555, "data": "00" * (MAX_HELLO + 1)}), "tls.extensions", "more"),
    (lambda v: extension(v, 11).update(formats=[0] * 300, length=301), "tls.extensions[", "too long for its length"),
    (lambda v: extension(v, 43).update(versions=[772] * 200, length=401), ".versions", "is too long"),
    (put([[2, 7]], "http2", "frames", 0, "settings"), "http2.frames[0].settings[0][1]", "7 is no number from 0 to 1"),
    (put([[4, 0x7FFFFFFF]], "http2", "frames", 0, "settings"), "http2.frames", "window of more than"),
    (put([[1, 1]] * 65, "http2", "frames", 0, "settings"), "http2.frames[0].settings", "more than 64"),
    (put({"flags": ["FLIES"]}, "rules"), "rules.flags[0]", "is none of"),
    (put({"priority_mode": "LOUD"}, "rules"), "rules.priority_mode", "is none of"),
    (put({"places": {"cookie": 99}}, "rules"), "rules.places.cookie", "99 is no number"),
    (put({"data_frame_max": 99999}, "rules"), "rules.data_frame_max", "99999"),
    (put([["a", "b"]] * 65, "http1", "headers"), "http1.headers", "more than 64 headers"),
    (put([["host", None], ["a", "x" * 9000]], "http1", "headers"), "http1.headers[1][1]", "longer than 8192"),
]


@pytest.mark.parametrize(("change", "path", "reason"), BAD, ids=[row[1] + " " + row[2] for row in BAD])
def test_refused_with_path_and_reason(
    change: Callable[[dict[str, Any]], None], path: str, reason: str, peer: Any, ca_file: str, tmp_path: Path
) -> None:
    value = capture("firefox_153_linux")
    change(value)
    with pytest.raises(ProfileError) as caught:
        Profile.load(value)
    error = caught.value
    assert isinstance(error, TLSError) and error.code == "PROFILE_INVALID" and error.phase == "build"
    assert (
        path in error.path
        and reason in error.reason
        and str(error) == (f"{error.path}: {error.reason}" if error.path else error.reason)
    )
    assert pickle.loads(pickle.dumps(error)).path == error.path
    file = tmp_path / "bad.json"
    file.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(ProfileError, match=r"bad\.json: "):
        tls_requests.Client(client_identifier=str(file))
    with tls_requests.Client(verify=ca_file) as client:
        response = client.get(f"https://localhost:{peer.port}/", client_identifier=str(file))
        assert response.status_code == 0 and reason in response.text
        assert isinstance(response.error, ProfileError)
    assert records(peer) == []


def test_files_that_are_no_profiles(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("", "{", "[1]", "null", '{"schema": 1}', "[" * 100000, '{"a":' * 50 + "1" + "}" * 50):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ProfileError, match=r"x\.json|nested"):
            Profile.load(path)
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(ProfileError, match="is no JSON"):
        Profile.load(path)
    path.write_text(" " * (4 * 1024 * 1024 + 1), encoding="utf-8")
    with pytest.raises(ProfileError, match="is larger than"):
        Profile.load(path)
    with pytest.raises(OSError):
        Profile.load(tmp_path / "missing.json")
    for wrong in ((), (1,), ("nobody",), ({},), ({"key": 1},)):
        with pytest.raises((TypeError, KeyError, ValueError)):
            Profile(*wrong)


@pytest.mark.parametrize("seed", range(12))
def test_no_dict_breaks_it(seed: int) -> None:
    """Mutated profiles: each is refused with a ProfileError or makes a profile that can be looked at."""
    rnd = random.Random(seed)
    junk: list[Any] = [
        None, True, -1, 0, 1, 255, 65535, 65536, 2**31, 2**40, 1.5, float("nan"), "", "GREASE", "x", "\x00", "ff",
        "z" * 9000, [], {}, [[]], [1], [None], {"any_of": []}, {"any_of": [1, "x"]}, {"type": 51}, [["a", "b"]], "\ud800",
        [0] * 2000, (1, 2), b"x",
    ]  # fmt: skip
    made = 0
    for _ in range(250):
        name = rnd.choice(("chrome_104_windows", "firefox_133_macos", "safari_18_0_ios", "okhttp_5_android"))
        value = Profile.named(name).to_dict() if rnd.random() < 0.5 else capture(name)
        for _ in range(rnd.choice((1, 1, 2, 5))):
            parent: Any = value
            while True:
                keys: list[Any] = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
                if not keys:
                    break
                key = rnd.choice(keys)
                if isinstance(parent[key], (dict, list)) and parent[key] and rnd.random() < 0.85:
                    parent = parent[key]
                    continue
                action = rnd.random()
                if action < 0.6:
                    parent[key] = copy.deepcopy(rnd.choice(junk))
                elif action < 0.8:
                    del parent[key]
                elif isinstance(parent, list):
                    parent.insert(key, copy.deepcopy(parent[key]))
                else:
                    parent[str(rnd.random())] = copy.deepcopy(parent[key])
                break
        try:
            profile = Profile.load(value, allow_unsupported=rnd.random() < 0.5)
        except ProfileError as error:
            assert error.reason
            continue
        made += 1
        assert profile.ja4 and profile.fields() and Profile.load(profile.to_dict(), allow_unsupported=True) == profile
        tls_requests.Client(client_identifier=profile).fingerprint()
    assert made > 10


def test_the_engine_looks_at_rows_again() -> None:
    rows = _core.BrowserProfile("chrome_133")._rows()
    copied = _core.BrowserProfile(dict(rows, key=5))
    assert {k: v for k, v in copied._rows().items() if k != "key"} == {k: v for k, v in rows.items() if k != "key"}
    for name in rows:
        broken = dict(rows)
        del broken[name]
        with pytest.raises(ValueError, match=name):
            _core.BrowserProfile(broken)
        for bad in (object(), -1, 2**70, [[1]], "x" * 2, [(1, 2, 3, 4, 5, 6)], [1] * 2000):
            try:
                _core.BrowserProfile(dict(rows, **{name: bad}))
            except (ValueError, OverflowError, TypeError):
                continue
            assert isinstance(bad, str), (name, bad)  # a text field


# ----------------------------------------------------------------------------------------- what the engine cannot complete


def test_what_the_caller_insists_on_is_sent(peer: Any, ca_file: str) -> None:
    value = capture("firefox_153_linux")
    value["tls"]["cipher_suites"].insert(0, 0xFFFE)
    extension(value, 10)["groups"].insert(0, 0xFE31)
    extension(value, 10)["length"] += 2
    shares = extension(value, 51)
    shares["shares"].insert(0, {"group": 0xFE31, "length": 1216})
    shares["length"] += 1220
    with pytest.raises(ProfileError):
        Profile.load(value)
    mine = Profile.load(value, allow_unsupported=True)
    assert "0xfe31 (1216)" in mine.fields()["TLS key_share (51)"]
    assert Profile.load(mine.to_dict(), allow_unsupported=True) == mine
    hellos = [seen(peer, ca_file, client_identifier=mine)["client_hellos"][0] for _ in range(2)]
    for hello in hellos:
        assert compare.compare_tls(value["tls"], hello["decoded"]) == []
    assert hellos[0]["decoded"]["random"] != hellos[1]["decoded"]["random"]


def server_hello(group: int, suite: int) -> Callable[[bytes], bytes]:
    """A TLS 1.3 ServerHello that picks a group with a share of nonsense."""

    def answer(hello: bytes) -> bytes:
        length = hello[5 + 4 + 34]
        session_id = hello[5 + 4 + 35 : 5 + 4 + 35 + length]
        share = group.to_bytes(2, "big") + (32).to_bytes(2, "big") + bytes(range(32))
        extensions = b"\x00\x2b\x00\x02\x03\x04" + b"\x00\x33" + len(share).to_bytes(2, "big") + share
        body = b"\x03\x03" + bytes(range(32)) + bytes([length]) + session_id + suite.to_bytes(2, "big") + b"\0"
        body += len(extensions).to_bytes(2, "big") + extensions
        message = b"\x02" + len(body).to_bytes(3, "big") + body
        return b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message

    return answer


@pytest.mark.parametrize(("group", "suite"), [(0xFE31, 0x1301), (29, 0xFFFE)])
def test_a_server_that_picks_it_ends_the_request(group: int, suite: int) -> None:
    import socket
    import threading

    value = capture("firefox_153_linux")
    value["tls"]["cipher_suites"].append(0xFFFE)
    extension(value, 10)["groups"].append(0xFE31)
    extension(value, 10)["length"] += 2
    extension(value, 51)["shares"].append({"group": 0xFE31, "length": 40})
    extension(value, 51)["length"] += 44
    mine = Profile.load(value, allow_unsupported=True)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(20)
            hello = b""
            while len(hello) < 5 or len(hello) < 5 + int.from_bytes(hello[3:5], "big"):
                hello += connection.recv(65536)
            connection.sendall(server_hello(group, suite)(hello))
            while connection.recv(65536):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    with tls_requests.Client(client_identifier=mine, timeout=20) as client:
        response = client.get(f"https://localhost:{listener.getsockname()[1]}/")
    thread.join(20)
    listener.close()
    assert response.status_code == 0
    assert isinstance(response.error, TLSError) and response.error.code == "TLS_UNSUPPORTED", response.text


# ------------------------------------------------------------------------------------------------------------------- texts


def test_from_ja3(peer: Any, ca_file: str) -> None:
    akamai = "1:65536;3:1000;4:6291456;6:262144|15663105|3:0:0:201|m,a,s,p"
    mine = Profile.from_ja3(JA3, akamai, user_agent="mine/1", headers=[("accept", "*/*"), ("User-Agent", "no")])
    assert mine.akamai == akamai and mine.user_agent == "mine/1"
    assert mine.ja3.split(",")[1] == JA3.split(",")[1].replace("2570-", "")
    texts = compare_texts(seen(peer, ca_file, client_identifier=mine))
    record = records(peer)[-1]
    assert texts["ja3_text"] == JA3.replace("2570-", "").replace("-2570", "")
    assert texts["akamai_text"] == akamai
    frame = next(item for item in record["http2"]["frames"] if item["type"] == "HEADERS")
    assert ["user-agent", "mine/1"] in frame["headers"] and ["accept", "*/*"] in frame["headers"]
    assert mine.ja4 == texts["ja4"]


# JA3 texts of tools and browsers that have something which those of the built-in profiles have not.
WILD = {
    "Chrome 58, with channel_id": "771,49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53-10,"
    "65281-0-23-35-13-5-18-16-30032-11-10,29-23-24,0",
    "curl with OpenSSL 3.0": "771,4866-4867-4865-49196-49200-159-52393-52392-52394-49195-49199-158-49188-49192-107-49187-"
    "49191-103-49162-49172-57-49161-49171-51-157-156-61-60-53-47-255,0-11-10-16-22-23-49-13-43-45-51-21,"
    "29-23-30-25-24-256-257-258-259-260,0-1-2",
    "curl with OpenSSL 1.1, with NPN": "771,4866-4867-4865-49196-49200-159-52393-255,0-11-10-13172-16-22-23-13-43-45-51-21,"
    "29-23-30-25-24,0-1-2",
    "Java 11, with status_request_v2": "771,4865-4866-49196-49195-49200-157-159-49199-156-158-49188-49192-61-107-49162-"
    "49172-53-57-49187-49191-60-103-49161-49171-47-51-255,0-5-10-11-13-50-17-23-43-45-51,23-24-25-30-256-257-258-259-260,0",
    "OpenSSL 1.0.1, with heartbeat": "771,49200-49196-159-49199-49195-158-47-53-10-255,0-11-10-35-13-15,23-25-24,0-1-2",
    "Go": "771,49195-49199-49196-49200-52393-52392-49161-49171-49162-49172-4865-4866-4867,0-5-10-11-13-65281-23-16-18-43-51,"
    "4588-29-23-24-25,0",
}


@pytest.mark.parametrize("ja3", WILD.values(), ids=WILD)
def test_ja3_texts_of_the_wild(ja3: str, peer: Any, ca_file: str) -> None:
    mine = Profile.from_ja3(ja3, user_agent="tool/1")
    texts = compare_texts(seen(peer, ca_file, client_identifier=mine))
    # Padding is there when the hello has the length for it.
    assert {ja3.replace("-21,", ","), mine.ja3.replace("-21,", ",")} == {texts["ja3_text"].replace("-21,", ",")}
    assert texts["ja4"] == mine.ja4 or "-21," in ja3


def test_grease_that_a_tool_left_in(peer: Any, ca_file: str) -> None:
    """Any value of RFC 8701 stands for GREASE; on the wire it is drawn anew."""
    greased = Profile.from_ja3("771,23130-4865-49195,43690-0-10-11-13-16-43-51-6682,60138-29-23,0")
    assert greased == Profile.from_ja3("771,2570-4865-49195,2570-0-10-11-13-16-43-51-2570,2570-29-23,0")
    record = seen(peer, ca_file, client_identifier=greased)
    hello = record["client_hellos"][0]["decoded"]
    assert [item["type"] for item in hello["extensions"]] == ["GREASE", 0, 10, 11, 13, 16, 43, 51, "GREASE"]
    assert hello["cipher_suites"] == ["GREASE", 4865, 49195]


def test_both_notations_of_an_akamai_text() -> None:
    plain = Profile.from_ja3(JA3, "1:65536;2:0;4:6291456|15663105|0|m,p,a,s")
    for text in (
        "1:65536,2:0,4:6291456|15663105|0|m,p,a,s",
        "1:65536;2:0;4:6291456|15663105||mpas",
        " 1:65536;2:0;4:6291456;|15663105|0|m,p,a,s\n",
    ):
        assert Profile.from_ja3(JA3, text) == plain
    assert Profile.from_ja3(JA3, "4:1|00|0|masp") == Profile.from_ja3(JA3, "4:1|0||m,a,s,p")


@pytest.mark.parametrize(
    "name", [n for n in NAMES if capture(n)["client"].get("engine") in ("chromium", "webkit", "okhttp", "gecko")]
)
def test_a_profile_s_texts_make_a_profile_with_these_texts(name: str) -> None:
    named = Profile.named(name)
    made = Profile.from_ja3(named.ja3, named.akamai, extensions={51764: b"\0\0"})
    assert made.ja3 == named.ja3 or "21" in set(made.ja3.split(",")[2].split("-")) ^ set(
        named.ja3.split(",")[2].split("-")
    )
    assert made.akamai == named.akamai or named.akamai is None


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("",), "has 1 parts"),
        (("771,x,0,29,0",), "ciphers: 'x' is no number"),
        (("771,70000,0,29,0",), "is no number from 0 to 65535"),
        (("771,,0,29,0",), "has no ciphers"),
        (("771,4865,0-9999-10-51-43,29,0",), "unknown extension with id 9999 provided"),
        (("771,4865,0-21-10-51-43,29,0",), "padding (21) can only be the last"),
        (("771,4865,41-0-10-51-43,29,0",), "pre_shared_key (41) can only be the last"),
        (("771,49195,0-10-51-43,29,0",), "has TLS 1.3, but"),
        ((1,), "is no text"),
        (("9" * 9000,), "longer than"),
        ((JA3, "1:2"), "has 1 parts"),
        ((JA3, "1:2|x|0|m,a,s,p"), "WINDOW_UPDATE"),
        ((JA3, "1:2|0|1:2:3|m,a,s,p"), "PRIORITY"),
        ((JA3, "1:2|0|0|m,a,s"), "no order of m,a,s,p"),
        ((JA3, None, None, [("a",)]), "headers"),
        ((JA3, None, "x\r\ny: z"), "outside printable ASCII"),
    ],
)
def test_texts_that_are_refused(arguments: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(ProfileError, match=re.escape(reason)):
        Profile.from_ja3(*arguments)


# ------------------------------------------------------------------------------------------------------ custom TLS clients


def check_custom(record: dict[str, Any]) -> None:
    texts = compare_texts(record)
    assert texts["ja3_text"] == CUSTOM["ja3String"]
    assert texts["akamai_text"] == "1:65536;3:1000;4:6291456;6:262144|15663105|3:0:0:201|m,a,s,p"
    hello = record["client_hellos"][0]["decoded"]
    by_type = {item["type"]: item for item in hello["extensions"]}
    assert by_type[13]["algorithms"] == [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601]
    assert by_type[43]["versions"] == [772, 771] and by_type[27]["algorithms"] == [2]
    assert [share["group"] for share in by_type[51]["shares"]] == [29] and by_type[17513]["protocols"] == ["h2"]
    frame = next(item for item in record["http2"]["frames"] if item["type"] == "HEADERS")
    assert frame["priority"] == {"exclusive": True, "depends_on": 0, "weight": 256}
    assert not any("python" in value.lower() or "tls" in value.lower() for _, value in frame["headers"])


def test_custom_tls_client(peer: Any, ca_file: str) -> None:
    """The documented ways: on a client, on a function, on a request, and inside a TLSConfig that is splatted."""
    url = f"https://localhost:{peer.port}/"
    config = tls_requests.CustomTLSClientConfig(**CUSTOM)
    for custom in (config, CUSTOM):
        check_custom(seen(peer, ca_file, customTlsClient=custom))
        check_custom(seen(peer, ca_file, custom_tls_client=custom, client_identifier="firefox_133"))
        assert tls_requests.get(url, customTlsClient=custom, verify=ca_file).status_code == 200
        check_custom(records(peer)[-1])
        with tls_requests.Client(verify=ca_file) as client:
            assert client.get(url, customTlsClient=custom).status_code == 200
            check_custom(records(peer)[-1])
        splatted = tls_requests.TLSConfig(customTlsClient=custom, withRandomTLSExtensionOrder=False).to_dict()
        del splatted["insecureSkipVerify"]
        assert tls_requests.get(url, verify=ca_file, **splatted).status_code == 200
        check_custom(records(peer)[-1])

    async def main() -> None:
        async with tls_requests.AsyncClient(verify=ca_file, customTlsClient=config) as client:
            assert (await client.get(url)).status_code == 200

    asyncio.run(main())
    check_custom(records(peer)[-1])


def test_random_extension_order(peer: Any, ca_file: str) -> None:
    orders = set()
    for _ in range(3):
        record = seen(peer, ca_file, customTlsClient=CUSTOM, withRandomTLSExtensionOrder=True)
        orders.add(tuple(item["type"] for item in record["client_hellos"][0]["decoded"]["extensions"]))
    assert len(orders) == 3 and {tuple(sorted(order)) for order in orders} == {tuple(sorted(next(iter(orders))))}
    fixed = set()
    for _ in range(3):
        record = seen(peer, ca_file, client_identifier="chrome_133", withRandomTLSExtensionOrder=False)
        fixed.add(tuple(item["type"] for item in record["client_hellos"][0]["decoded"]["extensions"]))
    assert len(fixed) == 1


def test_stream_id(peer: Any, ca_file: str) -> None:
    def first(**options: Any) -> int:
        record = seen(peer, ca_file, **options)
        stream: int = next(item for item in record["http2"]["frames"] if item["type"] == "HEADERS")["stream_id"]
        return stream

    assert first(stream_id=7) == 7
    assert first(stream_id=4) == first(stream_id=-3) == first() == 1
    assert first(customTlsClient={**CUSTOM, "streamId": 11}) == 11
    with tls_requests.Client(verify=ca_file) as client:
        assert client.get(f"https://localhost:{peer.port}/", stream_id=15).status_code == 200
    frames = records(peer)[-1]["http2"]["frames"]
    assert next(item for item in frames if item["type"] == "HEADERS")["stream_id"] == 15


def test_low_level_payloads(peer: Any, ca_file: str) -> None:
    payload = {"requestUrl": f"https://localhost:{peer.port}/", "requestMethod": "GET", "insecureSkipVerify": True}
    assert tls_requests.TLSClient.request({**payload, "customTlsClient": CUSTOM}).status == 200
    check_custom(records(peer)[-1])
    answer = tls_requests.TLSClient.request({**payload, "tlsClientIdentifier": "firefox_133", "streamID": 9})
    frames = records(peer)[-1]["http2"]["frames"]
    assert answer.status == 200
    assert next(item for item in frames if item["type"] == "HEADERS")["stream_id"] == 9
    custom = {"ja3String": "771,4865,999,29,0"}
    answer = tls_requests.TLSClient.request({**payload, "customTlsClient": custom})
    assert answer.status == 0 and "unknown extension with id 999 provided" in (answer.body or "")


def test_every_option_of_a_custom_client(peer: Any, ca_file: str) -> None:
    ja3 = "771,4865-4866-4867-49195,0-10-11-13-16-28-34-43-45-51-27-65037-17613,29-23-4588,0"
    custom = {
        "ja3String": ja3,
        "certCompressionAlgos": ["zlib", "zstd", "nonsense"],
        "supportedDelegatedCredentialsAlgorithms": ["ECDSAWithP256AndSHA256", "0x0806"],
        "supportedSignatureAlgorithms": ["Ed25519", "0804", "ECDSAWithP256AndSHA256"],
        "supportedVersions": ["GREASE", "1.3", "1.2", "0.9"],
        "keyShareCurves": ["P256", "X25519MLKEM768", "Curve9"],
        "recordSizeLimit": 8000,
        "ECHCandidatePayloads": [100],
        "ECHCandidateCipherSuites": [{"kdfId": "HKDF_SHA256", "aeadId": "AEAD_CHACHA20_POLY1305"}],
        "alpnProtocols": ["h2"],
        "alpsProtocols": ["h2"],
        "h2Settings": {"MAX_FRAME_SIZE": 20000, "UNKNOWN_SETTING_9": 1, "NO_SUCH": 3},
        "h2SettingsOrder": ["UNKNOWN_SETTING_9", "MAX_FRAME_SIZE"],
        "pseudoHeaderOrder": [":path", ":scheme", ":authority", ":method"],
        "connectionFlow": 0,
        "headerPriority": {"streamDep": 5, "exclusive": False, "weight": 9},
        "h3Settings": {"H3_DATAGRAM": 1},
    }
    record = seen(peer, ca_file, customTlsClient=custom)
    hello = {item["type"]: item for item in record["client_hellos"][0]["decoded"]["extensions"]}
    assert compare_texts(record)["ja3_text"] == ja3
    assert hello[27]["algorithms"] == [1, 3] and hello[34]["algorithms"] == [0x0403, 0x0806]
    assert hello[13]["algorithms"] == [0x0807, 0x0804, 0x0403] and hello[43]["versions"] == ["GREASE", 772, 771]
    assert [share["group"] for share in hello[51]["shares"]] == [23, 4588] and hello[28]["limit"] == 8000
    assert (hello[65037]["kdf"], hello[65037]["aead"], hello[65037]["payload_length"]) == (1, 3, 116)
    assert hello[16]["protocols"] == ["h2"] and hello[17613]["protocols"] == ["h2"]
    assert compare_texts(record)["akamai_text"] == "9:1;5:20000|00|0|p,s,a,m"
    frame = next(item for item in record["http2"]["frames"] if item["type"] == "HEADERS")
    assert frame["priority"] == {"exclusive": False, "depends_on": 5, "weight": 10}


CUSTOM_BAD = [
    ({}, "has no ja3String"),
    ({"ja3String": 5}, "is no text"),
    ({"ja3String": "771,4865"}, "has 2 parts"),
    ({"ja3String": CUSTOM["ja3String"], "certCompressionAlgo": None}, "has extension 27"),
    ({"ja3String": "771,4865,0-10-999-43-51,29,0"}, "unknown extension with id 999 provided"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "speed": 9}, "has unknown options: speed"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "h2Settings": [1]}, "is no object"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "h2Settings": {"ENABLE_PUSH": -1}}, "no number of 32 bits"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "connectionFlow": "x"}, "no number from 0"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "headerPriority": [1]}, "streamDep, exclusive, weight"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "headerPriority": {"weight": 300}}, "weight: 300"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "priorityFrames": [{}]}, "without a streamID"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "pseudoHeaderOrder": [":path"]}, "is no order of"),
    ({"ja3String": "771,4865,0-10-13-43-51,29,0", "supportedSignatureAlgorithms": ["zz"]}, "no code in hex"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "keyShareCurves": ["X25519Kyber512D"]}, "cannot be made"),
    ({"ja3String": "771,4865,0-10-43-51,29,0", "alpnProtocols": [1]}, "no list of texts"),
    ({"ja3String": "771,4865,0-10-43-51-65037,29,0", "ECHCandidatePayloads": [0]}, "no list of lengths"),
    ({"ja3String": "771,4865,0-10-43-51-65037,29,0", "ECHCandidateCipherSuites": [{}]}, "kdfId"),
    (7, "neither a CustomTLSClientConfig nor a mapping"),
]


@pytest.mark.parametrize(("custom", "reason"), CUSTOM_BAD, ids=[row[1] for row in CUSTOM_BAD])
def test_custom_clients_that_are_refused(custom: Any, reason: str, peer: Any, ca_file: str) -> None:
    url = f"https://localhost:{peer.port}/"
    if custom == {}:
        custom = {"alpnProtocols": ["h2"]}
    with tls_requests.Client(verify=ca_file, customTlsClient=custom) as client:
        response = client.get(url)
        assert response.status_code == 0 and reason in response.text, response.text
        assert isinstance(response.error, ProfileError)
        client.raise_on_error = True
        with pytest.raises(ProfileError):
            client.get(url)
        with pytest.raises(ProfileError):
            client.fingerprint()
    with tls_requests.Client(verify=ca_file) as client:
        assert client.get(url, customTlsClient=custom).status_code == 0
        assert client.get(url).status_code == 200
    assert len(records(peer)) == 1


# The option or argument, a wrong value of it, and what stands in the JA3 beside 771,4865,0-10-43-51,29,0.
WRONG_OPTIONS: list[tuple[str, Any, str]] = [
    ("ja3String", "771,4865,0-10-10-43-51,29,0", "extension 10 stands twice"),
    ("ja3String", "771,4865,0-10-43-51,999,0", "cannot complete an exchange in group 999"),
    ("ja3String", "771,9999,0-10-43-51,29,0", "cannot complete a handshake with suite 9999"),
    ("h2Settings", {"ENABLE_PUSH": 2}, "2 is no number from 0 to 1"),
    ("h2Settings", {"MAX_FRAME_SIZE": 1}, "1 is no number from 16384"),
    ("connectionFlow", 0x7FFFFFFF, "make a window of more than"),
    ("keyShareCurves", ["P521"], "25 is not among supported_groups"),
    ("keyShareCurves", ["X25519", "X25519"], "group 29 stands twice"),
    ("alpnProtocols", ["h2", ""], "is empty or too long"),
    ("alpsProtocols", ["\u00e9"], "outside printable ASCII"),
    ("certCompressionAlgo", "gzip", "names none of zlib, brotli, zstd"),
    ("certCompressionAlgos", ["lzma"], "names none of zlib, brotli, zstd"),
    ("recordSizeLimit", 63, "63 is no number from 64"),
    (
        "ECHCandidateCipherSuites",
        [{"kdfId": 1, "aeadId": 1}, {"kdfId": 2, "aeadId": 1}],
        "has suites with different KDFs",
    ),
]


@pytest.mark.parametrize(
    ("option", "value", "reason"), WRONG_OPTIONS, ids=[f"{row[0]} {row[2]}" for row in WRONG_OPTIONS]
)
def test_errors_name_the_option(option: str, value: Any, reason: str) -> None:
    """Not the field of the profile that is made of it, which the caller never saw."""
    custom = {
        "ja3String": "771,4865-49195,0-10-13-16-27-28-43-45-51-17513-65037,29,0",
        "certCompressionAlgo": None if option.startswith("cert") else "brotli",
        option: value,
    }
    with pytest.raises(ProfileError) as caught:
        Profile.from_custom(custom)
    assert caught.value.path == f"customTlsClient.{option}" and reason in caught.value.reason


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"ja3": JA3.replace("4866", "9999")}, "ja3"),
        ({"akamai": "2:7|1|0|m,a,s,p"}, "akamai"),
        ({"akamai": "1:7|4294967295|0|m,a,s,p"}, "akamai"),
        ({"akamai": "1:7|1|3:0:0:999|m,a,s,p"}, "akamai"),
        ({"akamai": 5}, "akamai"),
        ({"user_agent": "a\nb"}, "headers"),
        ({"headers": {"a b": "c"}}, "headers"),
        ({"headers": 5}, "headers"),
        ({"headers": "ab"}, "headers"),
        ({"signature_algorithms": [70000]}, "signature_algorithms"),
        ({"signature_algorithms": ["x"]}, "signature_algorithms"),
        ({"signature_algorithms": 5}, "signature_algorithms"),
        ({"key_shares": [25]}, "key_shares"),
        ({"key_shares": [None]}, "key_shares"),
        ({"key_shares": "29"}, "key_shares"),
        ({"extensions": {99: "x"}}, "extensions"),
        ({"extensions": [99]}, "extensions"),
    ],
    ids=str,
)
def test_errors_name_the_argument(arguments: dict[str, Any], path: str) -> None:
    with pytest.raises(ProfileError) as caught:
        Profile.from_ja3(**{"ja3": JA3, **arguments})
    assert caught.value.path == path and caught.value.reason


def test_a_custom_client_may_insist(peer: Any, ca_file: str) -> None:
    custom = {
        "ja3String": "771,4865-9,0-10-13-16-43-51,29,0",
        "keyShareCurves": ["X25519"],
        "allowUnsupported": True,
    }
    record = seen(peer, ca_file, customTlsClient=custom)
    assert record["client_hellos"][0]["decoded"]["cipher_suites"] == [4865, 9]


# ------------------------------------------------------------------------------------------------------- lists and reports


def test_list_of_profiles(root: Path) -> None:
    entries = tls_requests.profiles()
    assert all(isinstance(info, tls_requests.ProfileInfo) for info in entries)
    every = [name for info in entries for name in (info.name, *info.aliases)]
    assert len(every) == len(set(every)) and set(every) == set(profile_module.names())
    page = (root / "docs" / "profiles.md").read_text(encoding="utf-8")
    for info in entries:
        assert info.basis in ("capture", "derived", "nearest")
        assert f"| `{info.name}`" in page and f"| {info.basis} | `{info.ja4}` |" in page
        profile = Profile.named(info.name)
        assert (info.ja3, info.ja4, info.akamai) == (profile.ja3, profile.ja4, profile.akamai)
        assert re.fullmatch(r"[0-9a-f]{32}", info.ja3_hash)
    by_name = {name: info for info in entries for name in (info.name, *info.aliases)}
    for family in ("chrome", "firefox", "safari", "safari_ios", "safari_ipad", "edge", "opera", "okhttp", "tor"):
        assert family in by_name
    assert by_name["chrome"] is by_name["chrome_156"] and by_name["firefox"] is by_name["firefox_155"]
    assert (by_name["chrome_133"].basis, by_name["chrome_130"].basis) == ("capture", "derived")
    assert by_name["chrome_101"].basis == by_name["chrome_131_PSK"].basis == by_name["tor"].basis == "nearest"


def test_every_identifier_of_the_literals_is_known() -> None:
    from typing import get_args

    from tls_requests.types import IdentifierLiterals

    assert len(get_args(IdentifierLiterals)) == 67
    assert set(get_args(IdentifierLiterals)) <= set(profile_module.names())


def test_apple_devices_have_their_own_user_agent() -> None:
    for info in tls_requests.profiles():
        if info.family == "safari":
            marks = {"ios": "iPhone", "ipados": "iPad", "macos": "Macintosh"}
            assert info.user_agent is not None and marks[info.platform] in info.user_agent, info


def test_the_registry_is_the_engine_s(root: Path) -> None:
    suites = (root / "src/tls/suites.c").read_text()
    rows = {int(a, 16): b for a, b in re.findall(r'(?:AEAD|CBC)\((0x[0-9a-f]{4}), "([A-Z0-9_]+)"', suites)}
    assert {number: name for number, name in SUITES.items() if number != 0xFF} == rows
    header = (root / "src/profile/profile.h").read_text()
    flags = re.findall(r"TR_PROFILE_([A-Z0-9_]+) = 1u << (\d+)", header)
    assert [name for name, bit in flags if bit != "31"] == FLAGS
    assert [int(bit) for _, bit in flags] == [*range(len(FLAGS)), 31]


def test_fingerprint_of_a_client(peer: Any, ca_file: str) -> None:
    for options in ({}, {"client_identifier": "firefox_133"}, {"customTlsClient": CUSTOM}, {"http2": False}):
        with tls_requests.Client(verify=ca_file, **options) as client:
            told = client.fingerprint()
            assert client.get(f"https://localhost:{peer.port}/").status_code == 200
        texts = compare_texts(records(peer)[-1])
        assert (told.ja4, told.ja4_r, told.ja3n_hash) == (texts["ja4"], texts["ja4_r"], texts["ja3n_hash"])
        assert told.akamai == texts.get("akamai_text") and told.akamai_hash == texts.get("akamai_hash")
        assert told.diff(told) == []
    found = tls_requests.Client().fingerprint().diff("chrome_131")
    assert {item.field for item in found} >= {"header user-agent", "TLS application_settings (17613)"}
    assert found[0].mine != found[0].theirs


def test_unknown_identifiers_warn_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            client = tls_requests.Client(client_identifier="chrom_13x")
            assert client.client_identifier == "chrom_13x"
            assert client.fingerprint().name == "chrome_133_macos"
        tls_requests.Client(client_identifier="/nowhere/mine.json")
    texts = [str(item.message) for item in caught]
    assert len(texts) == 2, texts
    assert "the default browser is used" in texts[0] and "did you mean chrome_1" in texts[0]
    assert "there is no such file" in texts[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tls_requests", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_command(tmp_path: Path) -> None:
    done = run("fingerprint", "--profile", "firefox_133")
    assert done.returncode == 0 and Profile.named("firefox_133").ja4 in done.stdout and "\033" not in done.stdout
    path = tmp_path / "mine.json"
    Profile.load({"inherits": "firefox_133", "tls": {"session_id_length": 0}}).save(path)
    done = run("fingerprint", "--profile", "firefox_133", "--against", str(path))
    assert done.returncode == 1 and "TLS session id" in done.stdout and "1 difference\n" in done.stdout
    assert run("fingerprint", "--profile", "chrome", "--against", "chrome_156").returncode == 0
    assert "\033[" in run("fingerprint", "--colour", "always").stdout
    assert json.loads(run("fingerprint", "--json").stdout)["JA4"] == Profile.named("chrome_133").ja4
    done = run("fingerprint", "--profile", "chrom_133")
    assert done.returncode == 2 and "did you mean chrome_133" in done.stderr and done.stdout == ""
    assert run("fingerprint", "--profile", str(tmp_path / "none.json")).returncode == 2
    assert "tor_14_5" in run("profiles", "--family", "firefox").stdout


def test_command_lists_profiles() -> None:
    listed = json.loads(run("profiles", "--json").stdout)
    assert [item["name"] for item in listed] == [info.name for info in tls_requests.profiles()]
    assert listed[0].keys() == {field.name for field in dataclasses.fields(tls_requests.ProfileInfo)}
    assert all(
        item["name"].startswith("safari_ios_")
        for item in json.loads(run("profiles", "--json", "--family", "safari_ios").stdout)
    )
    assert run("profiles", "--family", "tor").stdout.startswith("tor_14_5 ")
    done = run("profiles", "--family", "netscape")
    assert done.returncode == 2 and 'there is no family "netscape"; there are app, brave, chrome' in done.stderr


@pytest.mark.parametrize("arguments", [("profiles",), ("fingerprint", "chrome", "--against", "firefox")])
def test_command_whose_reader_has_enough(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-m", "tls_requests", *arguments]
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, timeout=60)
    assert (done.returncode, done.stderr) == (141, b"")


def test_command_without_standard_output() -> None:
    script = '"$0" -m tls_requests fingerprint chrome >&-'
    done = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_command_in_a_locale_without_the_characters(tmp_path: Path) -> None:
    path = tmp_path / "n\u00e4me.json"
    Profile.load({"inherits": "firefox_133", "id": "F\u00fcchsin"}).save(path)
    env = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    for arguments in ((str(path),), (str(path), "--against", "chrome"), (str(path), "--json")):
        command = [sys.executable, "-m", "tls_requests", "fingerprint", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
        assert done.returncode in (0, 1) and done.stderr == ""
        assert ("\\xe4me.json" in done.stdout or "F\\xfcchsin" in done.stdout) is ("--json" not in arguments)


def test_command_reads_pipes(tmp_path: Path) -> None:
    mine = json.dumps({"inherits": "firefox_133", "tls": {"session_id_length": 0}})
    command = [sys.executable, "-m", "tls_requests", "fingerprint"]
    for name in ("-", "/dev/stdin"):
        done = subprocess.run(
            [*command, name, "--against", "firefox_133"], input=mine, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1 and "TLS session id" in done.stdout and "1 difference\n" in done.stdout, done.stderr
    for wrong in ("", "[1]", "5", "{", '{"tls": 5}'):
        done = subprocess.run([*command, "-"], input=wrong, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2 and done.stderr.startswith("tls_requests: ") and done.stdout == "", wrong


@pytest.mark.parametrize(
    "arguments",
    [
        ("capture", "--port", "65536"),
        ("capture", "--port", "x"),
        ("capture", "--timeout", "0"),
        ("fingerprint", "listen", "--timeout", "-1"),
        ("fingerprint", "listen", "--timeout", "nan"),
    ],
)
def test_command_refuses_numbers(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert done.returncode == 2 and "error: argument %s: " % arguments[-2] in done.stderr


def test_command_on_a_terminal_without_colour() -> None:
    """A terminal that says it has none, or NO_COLOR, gets none; another does."""
    script = "import pty, sys; pty.spawn([sys.executable, '-m', 'tls_requests', 'fingerprint', 'chrome_133'])"
    for extra, coloured in (
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm"}, True),
    ):
        env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            env={**env, **extra},
        )
        assert b"chrome_133_macos" in done.stdout and (b"\033[" in done.stdout) is coloured, (extra, done.stderr)


def test_command_asks_a_server(peer: Any, ca_file: str) -> None:
    url = f"https://localhost:{peer.port}/"
    for name in ("firefox_133", "chrome_133"):
        done = run("fingerprint", url, "--verify", ca_file, "--profile", name)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"JA4              {Profile.named(name).ja4} (the same)" in done.stdout
        assert "Akamai" in done.stdout
    assert "shuffled for each connection" in done.stdout
    done = run("fingerprint", "https://127.0.0.1:1/", "--profile", "firefox_133")
    assert done.returncode == 2 and done.stderr.startswith("tls_requests: ")


def test_nothing_of_this_is_imported_for_a_plain_client() -> None:
    code = (
        "import sys, tls_requests; tls_requests.Client(client_identifier='firefox_133');"
        "print([name for name in sys.modules if '_fingerprint' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
