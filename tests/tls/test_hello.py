"""The ClientHello of each profile against its capture, over many connections (tools/hello_dump.c).

TR_UPDATE_GOLDEN=1 writes golden/hellos.txt anew: for a new profile, or a change that is meant.
"""

from __future__ import annotations

import copy
import hashlib
import hmac
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import gen_profiles  # noqa: E402

from fingerprint.client_hello import client_hello_from_bytes  # noqa: E402
from fingerprint.compare import compare_tls  # noqa: E402
from fingerprint.texts import fingerprints  # noqa: E402
from fingerprint.wire import Reader, is_grease  # noqa: E402

LIBRARY = gen_profiles.Library([ROOT / "profiles", ROOT / "profiles" / "derived"])
PROFILES = sorted(LIBRARY.raw)
GOLDEN = Path(__file__).parent / "golden" / "hellos.txt"
SEEDS = 30
FEW_SEEDS = 5
MANY = 480

# situation -> options of hello_dump; the names are those of the captures' variants
SITUATIONS: dict[str, list[str]] = {
    "first": [],
    "resumption": ["--resume13", "208"],
    "resumption_early_data": ["--resume13", "32", "--early-data"],
    "resumption_tls12": ["--resume12", "176"],
    "retry_p256": ["--retry", "23"],
    "retry_p384": ["--retry", "24"],
    "retry_resumption_p384": ["--retry", "24", "--resume13", "208"],
}


@pytest.fixture(scope="session")
def hello_dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("tools") / "hello_dump"
    sources = [path for layer in ("core", "crypto", "profile") for path in sorted((ROOT / "src" / layer).glob("*.c"))]
    sources += [ROOT / "src" / "tls" / name for name in ("hello.c", "hello_build.c", "ech.c")]
    sources = [path for path in sources if not path.name.startswith("fuzz_")]
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libcrypto"], check=True, stdout=subprocess.PIPE)
    command = ["cc", "-std=c11", "-O1", "-D_GNU_SOURCE", "-I", str(ROOT / "src")]
    command += [*map(str, sources), str(ROOT / "tools" / "hello_dump.c"), *flags.stdout.decode().split()]
    subprocess.run([*command, "-lpthread", "-o", str(program)], check=True)
    return program


@cache
def hellos(program: Path, *options: str) -> list[bytes]:
    done = subprocess.run([program, *options], check=True, stdout=subprocess.PIPE, timeout=60)
    return [bytes.fromhex(line) for line in done.stdout.decode().split()]


@cache
def capture(name: str) -> Any:
    return LIBRARY.resolve(name)


def offers(tls: Any, kind: int) -> Any:
    return next((item for item in tls["extensions"] if item["type"] == kind), None)


def has_tls13(name: str) -> bool:
    return offers(capture(name)["tls"], 51) is not None


def kind_of(name: str) -> Any:
    """What decides how a hello is drawn: profiles that agree in it differ in numbers of lists alone."""
    tls, client = capture(name)["tls"], capture(name)["client"]
    ech = offers(tls, 65037) or {}
    return (
        client.get("engine"),
        tls["extension_order"],
        "GREASE" in tls["cipher_suites"],
        str(ech.get("payload_length")),
        len(tls["extensions"]),
    )


# One of each kind, for what takes hundreds of hellos; the three that are looked at most are among them.
SPREAD = sorted(
    {
        kind_of(name): name for name in [*PROFILES, "chrome_133_macos", "chromium_156_linux", "firefox_153_linux"]
    }.values()
)


def expected_tls(name: str, situation: str) -> Any:
    """What the capture says of a situation, or what follows from its first hello and its family; None: nothing."""
    profile = capture(name)
    if situation == "first":
        return profile["tls"]
    if situation in profile.get("variants", {}):
        return profile["variants"][situation]["tls"]
    if profile["client"]["engine"] != "chromium":
        return None
    tls = copy.deepcopy(profile["tls"])
    if situation.startswith("retry"):
        group, length = {"p256": (23, 65), "p384": (24, 97)}[situation.rpartition("_")[2]]
        offers(tls, 51).update(length=length + 6, shares=[{"group": group, "length": length}])
    if "resumption" in situation:
        if situation == "resumption_tls12":
            offers(tls, 35)["length"] = 176
        else:
            tls["extensions"].append({"type": 41, "length": None})
            tls.get("pinned", {}).get("last", []).append(41)
    return tls


def cases() -> list[tuple[str, str]]:
    return [(name, key) for name in PROFILES for key in SITUATIONS if expected_tls(name, key) is not None]


def test_every_situation_is_covered() -> None:
    assert len(cases()) >= 3 * 5
    assert {key for _, key in cases()} == set(SITUATIONS)


@pytest.mark.parametrize(("name", "situation"), cases())
def test_no_difference_to_the_capture(hello_dump: Path, name: str, situation: str) -> None:
    count = SEEDS if name in SPREAD else FEW_SEEDS
    options = ["--profile", name, "--host", "www.example.org", "--count", str(count), *SITUATIONS[situation]]
    got = hellos(hello_dump, *options)
    assert len(got) == count == len(set(got))
    for message in got:
        assert list(compare_tls(expected_tls(name, situation), client_hello_from_bytes(message))) == []


def test_the_comparison_sees_differences(hello_dump: Path) -> None:
    message = hellos(hello_dump, "--profile", "firefox_153_linux", "--host", "www.example.org")[0]
    assert list(compare_tls(capture("firefox_153_linux")["tls"], client_hello_from_bytes(message))) == []
    assert list(compare_tls(capture("chrome_133_macos")["tls"], client_hello_from_bytes(message)))
    changed = message[:77] + bytes([message[77] ^ 1]) + message[78:]  # the second suite
    found = compare_tls(capture("firefox_153_linux")["tls"], client_hello_from_bytes(changed))
    assert [item["field"] for item in found] == ["tls.cipher_suites"]


@pytest.mark.parametrize("name", PROFILES)
def test_fingerprint_texts(hello_dump: Path, name: str) -> None:
    profile = capture(name)
    fixed = profile["tls"]["extension_order"] == "fixed"
    keys = ["ja3n_text", "ja3n_hash", "ja4", "ja4_r"] + (["ja3_text", "ja3_hash"] if fixed else [])
    situations = {"first": profile["fingerprints"]}
    for key, variant in profile.get("variants", {}).items():
        if key in SITUATIONS and "fingerprints" in variant:
            situations[key] = variant["fingerprints"]
    for situation, texts in situations.items():
        # Whether there is padding follows the name's length and the ECH payload's: one of these seeds is as recorded.
        options = ["--profile", name, "--host", "www.example.org", "--count", "20", *SITUATIONS[situation]]
        candidates = [fingerprints(client_hello_from_bytes(message)) for message in hellos(hello_dump, *options)]
        if "padding" in profile["tls"]:
            long_name = "a-name-that-makes-the-hello-longer." + "x" * 40 + ".example.org"
            more = hellos(hello_dump, *[long_name if item == "www.example.org" else item for item in options])
            candidates += [fingerprints(client_hello_from_bytes(message)) for message in more]
        got = next((item for item in candidates if item["ja4"] == texts["ja4"]), candidates[0])
        assert {key: got[key] for key in keys} == {key: texts[key] for key in keys}, situation


def order_of(hello: Any) -> tuple[Any, ...]:
    return tuple(item["type"] for item in hello["extensions"])


def chi_square(counts: Counter[Any], num_values: int) -> float:
    mean = sum(counts.values()) / num_values
    missing = num_values - len(counts)
    return sum((count - mean) ** 2 / mean for count in counts.values()) + missing * mean


def many(program: Path, name: str) -> list[Any]:
    raw = hellos(program, "--profile", name, "--host", "www.example.org", "--count", str(MANY))
    return [client_hello_from_bytes(message) for message in raw]


@pytest.mark.parametrize("name", SPREAD)
def test_order_of_extensions(hello_dump: Path, name: str) -> None:
    tls = capture(name)["tls"]
    orders = [order_of(hello) for hello in many(hello_dump, name)]
    if tls["extension_order"] == "fixed":
        wanted = tuple(item["type"] for item in tls["extensions"] if item["type"] != 21)
        assert {tuple(kind for kind in order if kind != 21) for order in orders} == {wanted}  # padding: see compare_tls
        return
    assert len(set(orders)) == MANY  # of 17! or 18! orders
    free = [kind for kind in orders[0] if kind != "GREASE"]
    for kind in free:
        places = Counter(order.index(kind) for order in orders)
        assert set(places) <= set(range(1, len(free) + 1))
        # 99.99 % of random draws are below 45 with 16 or 17 degrees of freedom; the seeds are fixed
        assert chi_square(places, len(free)) < 45, kind
    pairs = Counter(order.index(free[0]) < order.index(free[1]) for order in orders)
    assert abs(pairs[True] - MANY / 2) < 60


@pytest.mark.parametrize("name", [name for name in SPREAD if "GREASE" in capture(name)["tls"]["cipher_suites"]])
def test_grease_is_drawn_as_browsers_do(hello_dump: Path, name: str) -> None:
    drawn = [hello["grease"] for hello in many(hello_dump, name)]
    assert set(drawn[0]) == set(capture("chromium_156_linux")["tls"]["grease"]["places"]) - (
        set() if "signature_algorithms" in drawn[0] else {"signature_algorithms"}
    )
    for values in drawn:
        assert values["groups"] == values["key_shares"]
        assert values["extensions"][0] != values["extensions"][1]
        assert all(is_grease(int(text, 16)) for texts in values.values() for text in texts)
    columns = {key: [values[key][0] for values in drawn] for key in drawn[0] if key != "key_shares"}
    columns["second extension"] = [values["extensions"][1] for values in drawn]
    for key, column in columns.items():
        assert chi_square(Counter(column), 16) < 45, key  # 15 degrees of freedom
    for first in columns:
        for second in columns:
            if first < second and {first, second} != {"extensions", "second extension"}:
                same = sum(a == b for a, b in zip(columns[first], columns[second]))
                assert 10 < same < 55, (first, second)  # 30 of 480 by chance


@pytest.mark.parametrize("name", [name for name in SPREAD if offers(capture(name)["tls"], 65037)])
def test_grease_ech(hello_dump: Path, name: str) -> None:
    gecko = capture(name)["client"]["engine"] == "gecko"
    top_bits: Counter[int] = Counter()
    configs: Counter[int] = Counter()
    payloads: Counter[int] = Counter()
    aeads: Counter[int] = Counter()
    bodies = set()
    options = ["--profile", name, "--host", "www.example.org", "--count", str(MANY)]
    for message in hellos(hello_dump, *options):
        body = raw_extensions(message)[65037]
        aeads[body[4]] += 1
        configs[body[5]] += 1
        top_bits[body[8 + 31] >> 7] += 1
        payloads[int.from_bytes(body[40:42], "big")] += 1
        bodies.add(body[8:40])
    assert len(bodies) == MANY and len(configs) > 150
    if gecko:
        assert set(payloads) == {239} and set(aeads) == {1, 3} and min(aeads.values()) > 180
        assert min(top_bits.values()) > 180  # random bytes
    else:
        assert set(payloads) == {144, 176, 208, 240} and min(payloads.values()) > 80 and set(aeads) == {1}
        assert set(top_bits) == {0}  # an X25519 public key


def raw_extensions(message: bytes) -> dict[int, bytes]:
    reader = Reader(message[4:])
    reader.take(2 + 32)
    reader.vector(1)
    reader.vector(2)
    reader.vector(1)
    found, rest = {}, reader.vector(2)
    while rest.left:
        kind = rest.number(2)
        found[kind] = rest.vector(2).data
    return found


def expand_label(algorithm: str, secret: bytes, label: str, context: bytes) -> bytes:
    """RFC 8446 7.1, for one block of output."""
    length = hashlib.new(algorithm).digest_size
    full = b"tls13 " + label.encode()
    info = length.to_bytes(2, "big") + bytes([len(full)]) + full + bytes([len(context)]) + context
    return hmac.new(secret, info + b"\x01", algorithm).digest()


def binder(algorithm: str, psk: bytes, transcript: bytes) -> bytes:
    """RFC 8446 4.2.11.2."""
    empty = hashlib.new(algorithm).digest()
    early = hmac.new(bytes(len(empty)), psk, algorithm).digest()
    key = expand_label(algorithm, expand_label(algorithm, early, "res binder", empty), "finished", b"")
    return hmac.new(key, hashlib.new(algorithm, transcript).digest(), algorithm).digest()


@pytest.mark.parametrize(("suite", "algorithm", "psk_len"), [("0x1301", "sha256", 32), ("0x1302", "sha384", 48)])
@pytest.mark.parametrize("name", ["chromium_156_linux", "firefox_153_linux"])
def test_binders(hello_dump: Path, name: str, suite: str, algorithm: str, psk_len: int) -> None:
    options = ["--profile", name, "--resume13", "100", "--suite", suite]
    first = hellos(hello_dump, *options)[0]
    second = hellos(hello_dump, *options, "--retry", "24", "--cookie", "9")[0]
    psk, hash_len = b"\x50" * psk_len, hashlib.new(algorithm).digest_size
    cut = hash_len + 3
    assert first[-hash_len:] == binder(algorithm, psk, first[:-cut])
    message_hash = bytes([254, 0, 0, hash_len]) + hashlib.new(algorithm, first).digest()
    assert second[-hash_len:] == binder(algorithm, psk, message_hash + b"\x02\0\0\0" + second[:-cut])


@pytest.mark.parametrize("name", [name for name in SPREAD if has_tls13(name)])
def test_second_hello_keeps_what_browsers_keep(hello_dump: Path, name: str) -> None:
    options = ["--profile", name, "--count", "20"]
    for first, second in zip(hellos(hello_dump, *options), hellos(hello_dump, *options, "--retry", "24")):
        assert first[4:71] == second[4:71]  # version, random, session id
        before, after = raw_extensions(first), raw_extensions(second)
        for extensions in (before, after):
            extensions.pop(21, None)  # follows the length
        assert list(before) == list(after)
        assert {kind: body for kind, body in before.items() if kind != 51} == {
            kind: body for kind, body in after.items() if kind != 51
        }


@pytest.mark.parametrize("name", [name for name in SPREAD if has_tls13(name)])
def test_place_of_the_cookie(hello_dump: Path, name: str) -> None:
    """BoringSSL: anywhere among the shuffled, or behind supported_versions; NSS: behind signature_algorithms."""
    options = ["--profile", name, "--count", "200", "--retry", "24", "--cookie", "20"]
    places: Counter[int] = Counter()
    for message in hellos(hello_dump, *options):
        kinds = list(raw_extensions(message))
        place = kinds.index(44)
        if capture(name)["tls"]["extension_order"] == "permuted":
            assert 0 < place < len(kinds) - 1
            places[place] += 1
        else:
            assert kinds[place - 1] == (13 if capture(name)["client"]["engine"] == "gecko" else 43)
    assert not places or len(places) > 12


def test_http1_only(hello_dump: Path) -> None:
    """The captured WebSocket's hello: no h2, no ALPS."""
    options = ["--profile", "chromium_156_linux", "--host", "ws.example.org", "--http1", "--count", str(SEEDS)]
    for message in hellos(hello_dump, *options):
        expected = capture("chromium_156_linux")["variants"]["websocket"]["tls"]
        assert list(compare_tls(expected, client_hello_from_bytes(message))) == []


@pytest.mark.parametrize("name", ["chromium_156_linux", "firefox_153_linux"])
def test_real_hellos_pass_the_same_comparison(name: str) -> None:
    for sample in capture(name)["samples"]:
        hello = client_hello_from_bytes(bytes.fromhex(sample))
        assert list(compare_tls(capture(name)["tls"], hello)) == []


@pytest.mark.parametrize("name", ["chromium_156_linux", "firefox_153_linux"])
def test_lengths_are_those_seen(hello_dump: Path, name: str) -> None:
    """Each length was seen for the host names of the recording (12 to 14 characters for the shortest)."""
    seen = set(capture(name)["tls"]["hello_lengths_seen"])
    for host in ("n0.p384.test", "n0.basic.test", "www.basic.test"):
        got = {len(message) for message in hellos(hello_dump, "--profile", name, "--host", host, "--count", "20")}
        assert got & seen


def test_golden_bytes(hello_dump: Path) -> None:
    """A fixed seed gives fixed bytes: a change of what is drawn, and when, is seen."""
    lines = []
    for name in PROFILES:
        for situation in ("first", "resumption", "retry_p384"):
            message = hellos(hello_dump, "--profile", name, "--seed", "1", *SITUATIONS[situation])[0]
            lines.append("%s %s %d %s" % (name, situation, len(message), hashlib.sha256(message).hexdigest()))
    text = "\n".join(lines) + "\n"
    if os.environ.get("TR_UPDATE_GOLDEN"):
        GOLDEN.write_text(text, encoding="ascii")
    assert GOLDEN.read_text(encoding="ascii") == text


def test_list_and_bad_options(hello_dump: Path) -> None:
    listed = subprocess.run([hello_dump, "--list"], check=True, stdout=subprocess.PIPE).stdout.decode().split()
    assert listed == PROFILES
    for options in (["--profile", "nobody"], ["--seed"], ["--seed", "x"], ["--retry", "70000"], ["--what", "1"]):
        done = subprocess.run([hello_dump, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 2 and done.stdout == b"" and done.stderr.startswith(b"hello_dump: ")
