"""Servers that accept exactly one suite, group, signature scheme or version, and every built-in profile that offers it: the handshake
completes and a GET is answered.

The engine sees only what a ClientHello offers, so the suite takes one profile of each offer; TR_ALL_PROFILES=1 takes all
(make check-offers)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from peers import Peer
from peers.certs import Authority, Pair
from peers.servers import start_gnutls, start_go_tls, start_s_server
from tls_requests import Profile, _core
from tls_requests._fingerprint.registry import GREASE_VALUE, SUITES, SUITES_13

ALL = bool(os.environ.get("TR_ALL_PROFILES"))
pytestmark = pytest.mark.timeout(900 if ALL else 120)

Start = Callable[[dict[str, Pair]], AbstractContextManager[Peer]]
TLS12, TLS13 = 0x0303, 0x0304
GROUPS, SIGNATURES, VERSIONS = 10, 13, 43


@dataclass(frozen=True)
class Offer:
    """What a ClientHello offers; what the server may choose from."""

    suites: tuple[int, ...]
    groups: tuple[int, ...]
    signatures: tuple[int, ...]
    versions: tuple[int, ...]
    extensions: tuple[int, ...]


def offer_of(name: str) -> Offer:
    rows = Profile.named(name)._rows_object()
    values = {ext.type: tuple(value for value in ext.values if value != GREASE_VALUE) for ext in rows.exts}
    return Offer(
        tuple(suite for suite in rows.suites if suite != GREASE_VALUE),
        values.get(GROUPS, ()),
        values.get(SIGNATURES, ()),
        values.get(VERSIONS, (TLS12,)),
        tuple(sorted(values)),
    )


def offers() -> dict[str, Offer]:
    found = {name: offer_of(name) for name in _core.profiles()}
    if ALL:
        return found
    return {name: offer for offer, name in {offer: name for name, offer in found.items()}.items()}


OFFERS = offers()


@dataclass(frozen=True)
class Case:
    """A server; `takes`: whether it has something in common with an offer; `agreed`: what the client then tells of the connection."""

    name: str
    start: Start
    takes: Callable[[Offer], bool]
    agreed: dict[str, str] = field(default_factory=dict)


def s_server(kind: str, *options: str) -> Start:
    return lambda pairs: start_s_server(pairs[kind], *options)


def gnutls(kind: str, priority: str) -> Start:
    return lambda pairs: start_gnutls(pairs[kind], "NORMAL:" + priority)


def go_tls(*options: str) -> Start:
    return lambda pairs: start_go_tls(pairs["p256"], "-http", *options)


# Kinds of certificate: what an offer must have so that OpenSSL uses one.
SIGNS = {"p256": 0x0403, "rsa": 0x0804}


def suite_13(suite: int) -> Case:
    name = SUITES[suite]
    return Case(
        name,
        s_server("p256", "-tls1_3", "-ciphersuites", name),
        lambda offer: suite in offer.suites and TLS13 in offer.versions,
        {"tls_version": "TLSv1.3", "tls_cipher": name},
    )


def suite_12(suite: int, kind: str, openssl: str = "", priority: str = "") -> Case:
    start = s_server(kind, "-tls1_2", "-cipher", f"{openssl}:@SECLEVEL=0")
    if priority:
        start = gnutls(kind, "-VERS-ALL:+VERS-TLS1.2:" + priority)
    return Case(
        SUITES[suite],
        start,
        lambda offer: suite in offer.suites and TLS12 in offer.versions,
        {"tls_version": "TLSv1.2", "tls_cipher": SUITES[suite]},
    )


def triple_des(exchange: str) -> str:
    return f"-CIPHER-ALL:+3DES-CBC:-KX-ALL:+{exchange}"


SUITE_CASES = [
    *map(suite_13, sorted(SUITES_13)),
    suite_12(0xC02B, "p256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    suite_12(0xC02C, "p256", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    suite_12(0xCCA9, "p256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    suite_12(0xC009, "p256", "ECDHE-ECDSA-AES128-SHA"),
    suite_12(0xC00A, "p256", "ECDHE-ECDSA-AES256-SHA"),
    suite_12(0xC023, "p256", "ECDHE-ECDSA-AES128-SHA256"),
    suite_12(0xC024, "p256", "ECDHE-ECDSA-AES256-SHA384"),
    suite_12(0xC008, "p256", priority=triple_des("ECDHE-ECDSA")),
    suite_12(0xC02F, "rsa", "ECDHE-RSA-AES128-GCM-SHA256"),
    suite_12(0xC030, "rsa", "ECDHE-RSA-AES256-GCM-SHA384"),
    suite_12(0xCCA8, "rsa", "ECDHE-RSA-CHACHA20-POLY1305"),
    suite_12(0xC013, "rsa", "ECDHE-RSA-AES128-SHA"),
    suite_12(0xC014, "rsa", "ECDHE-RSA-AES256-SHA"),
    suite_12(0xC027, "rsa", "ECDHE-RSA-AES128-SHA256"),
    suite_12(0xC028, "rsa", "ECDHE-RSA-AES256-SHA384"),
    suite_12(0xC012, "rsa", priority=triple_des("ECDHE-RSA")),
    suite_12(0x009C, "rsa", "AES128-GCM-SHA256"),
    suite_12(0x009D, "rsa", "AES256-GCM-SHA384"),
    suite_12(0x002F, "rsa", "AES128-SHA"),
    suite_12(0x0035, "rsa", "AES256-SHA"),
    suite_12(0x003C, "rsa", "AES128-SHA256"),
    suite_12(0x003D, "rsa", "AES256-SHA256"),
    suite_12(0x000A, "rsa", priority=triple_des("RSA")),
]


def group_13(group: int, name: str, start: Start) -> Case:
    return Case(
        f"TLS 1.3, {name}",
        start,
        lambda offer: group in offer.groups and TLS13 in offer.versions,
        {"tls_version": "TLSv1.3", "tls_group": name},
    )


def group_12(group: int, openssl: str, name: str) -> Case:
    return Case(
        f"TLS 1.2, {name}",
        s_server("rsa", "-tls1_2", "-groups", openssl, "-cipher", "ECDHE"),
        lambda offer: (
            group in offer.groups and TLS12 in offer.versions and any(suite >> 8 == 0xC0 for suite in offer.suites)
        ),
        {"tls_version": "TLSv1.2", "tls_group": name},
    )


CURVES = [(29, "X25519", "x25519"), (23, "P-256", "secp256r1"), (24, "P-384", "secp384r1"), (25, "P-521", "secp521r1")]
GROUP_CASES = [
    *(group_13(group, name, s_server("p256", "-tls1_3", "-groups", openssl)) for group, openssl, name in CURVES),
    *(group_12(*curve) for curve in CURVES),
    group_13(256, "ffdhe2048", s_server("p256", "-tls1_3", "-groups", "ffdhe2048")),
    group_13(257, "ffdhe3072", s_server("p256", "-tls1_3", "-groups", "ffdhe3072")),
    group_13(4588, "X25519MLKEM768", go_tls("-groups", "4588")),
]


def signature(scheme: int, openssl: str, kind: str, version: int) -> Case:
    flag = "-tls1_3" if version == TLS13 else "-tls1_2"

    def takes(offer: Offer) -> bool:
        # In TLS 1.2 an elliptic key is used when its curve is among the groups (RFC 8422 5.1).
        curve = {"p384": 24, "p521": 25}.get(kind)
        return scheme in offer.signatures and version in offer.versions and (curve is None or curve in offer.groups)

    return Case(
        f"TLS 1.{version - 0x0301}, {openssl}",
        s_server(kind, flag, "-sigalgs", openssl, "-cipher", "ECDHE:@SECLEVEL=0"),
        takes,
        {"tls_version": "TLSv1.3" if version == TLS13 else "TLSv1.2"},
    )


ELLIPTIC = [(0x0403, "ECDSA+SHA256", "p256"), (0x0503, "ECDSA+SHA384", "p384"), (0x0603, "ECDSA+SHA512", "p521")]
PSS = [(0x0804, "RSA-PSS+SHA256", "rsa"), (0x0805, "RSA-PSS+SHA384", "rsa"), (0x0806, "RSA-PSS+SHA512", "rsa")]
PSS_KEYS = [(0x0809 + at, f"rsa_pss_pss_sha{bits}", "rsa_pss") for at, bits in enumerate((256, 384, 512))]
EDWARDS = [(0x0807, "ed25519", "ed25519"), (0x0808, "ed448", "ed448")]
PKCS1 = [(0x0401, "RSA+SHA256", "rsa"), (0x0501, "RSA+SHA384", "rsa"), (0x0601, "RSA+SHA512", "rsa")]
OLD = [
    (0x0201, "RSA+SHA1", "rsa"),
    (0x0203, "ECDSA+SHA1", "p256"),
    (0x0301, "RSA+SHA224", "rsa"),
    (0x0303, "ECDSA+SHA224", "p256"),
]
SIGNATURE_CASES = [
    *(signature(*row, version=TLS13) for row in ELLIPTIC + PSS),
    *(signature(*row, version=TLS12) for row in ELLIPTIC + PSS + EDWARDS + PKCS1 + PSS_KEYS + OLD),
]

VERSION_CASES = [
    Case(
        f"{peer}, TLS 1.{minor}",
        start,
        lambda offer, minor=minor: 0x0301 + minor in offer.versions,  # type: ignore[misc]
        {"tls_version": f"TLSv1.{minor}"},
    )
    for minor in (2, 3)
    for peer, start in (
        ("OpenSSL", s_server("rsa", f"-tls1_{minor}")),
        ("GnuTLS", gnutls("rsa", f"-VERS-ALL:+VERS-TLS1.{minor}")),
        ("Go", go_tls("-min", hex(0x0301 + minor), "-max", hex(0x0301 + minor))),
    )
]
CASES = [*SUITE_CASES, *GROUP_CASES, *SIGNATURE_CASES, *VERSION_CASES]


@pytest.fixture(scope="session")
def pairs(authority: Authority) -> dict[str, Pair]:
    kinds = ("rsa", "p256", "p384", "p521", "ed25519", "ed448")
    found = {kind: authority.issue(f"every-{kind}", kind=kind) for kind in kinds}
    found["rsa_pss"] = pss_pair(authority.folder)
    return found


@pytest.fixture(scope="session")
def trusted(authority: Authority, pairs: dict[str, Pair]) -> str:
    """The authority, and the certificate that it cannot sign."""
    path = authority.folder / "every-trusted.pem"
    path.write_bytes(authority.pem.read_bytes() + pairs["rsa_pss"].cert.read_bytes())
    return str(path)


def pss_pair(folder: Path) -> Pair:
    """A key that may do nothing but PSS, which `cryptography` does not make, in a certificate that it signed itself."""
    pair = Pair(*(folder / f"every-rsa_pss{suffix}" for suffix in (".crt", ".key", ".pem")))
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa-pss",
        "-pkeyopt",
        "rsa_keygen_bits:2048",
        "-nodes",
        "-days",
        "2",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-out", str(pair.cert), "-keyout", str(pair.key)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True, timeout=60)
    return pair


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_offer_can_be_chosen(case: Case, pairs: dict[str, Pair], trusted: str) -> None:
    names = [name for name, offer in OFFERS.items() if case.takes(offer)]
    assert names, "no profile offers it"
    failed: dict[str, Any] = {}
    with case.start(pairs) as peer:
        for name in names:
            with tls_requests.Client(client_identifier=name, verify=trusted, timeout=20) as client:
                response = client.get(f"https://localhost:{peer.port}/")
            agreed = {key: getattr(response.timing, key, None) for key in case.agreed}
            if response.status_code != 200 or agreed != case.agreed or not response.content:
                failed[name] = response.text if response.status_code == 0 else (response.status_code, agreed)
    assert failed == {}


def test_every_offer_has_a_case() -> None:
    """Nothing that a profile offers is forgotten: a new suite, group or scheme needs a row above, or a reason here."""
    suites = {suite for offer in OFFERS.values() for suite in offer.suites}
    assert {SUITES[suite] for suite in suites - {0x00FF}} == {case.name for case in SUITE_CASES}  # 0x00ff is a signal
    groups = {group for offer in OFFERS.values() for group in offer.groups}
    # X25519Kyber768Draft00: no server here speaks the draft; tests/c/test_crypto_mlkem.c has its vectors.
    assert groups - {25497} == {group for group, *_ in CURVES} | {256, 257, 4588}
    schemes = {scheme for offer in OFFERS.values() for scheme in offer.signatures}
    covered = {scheme for scheme, *_ in ELLIPTIC + PSS + EDWARDS + PKCS1 + PSS_KEYS + OLD}
    # ML-DSA wants OpenSSL 3.5 on both sides. A profile of an old OpenSSL names DSA (0x..02), with which it has no suite.
    assert schemes - covered == {0x0904, 0x0905, 0x0906, 0x0202, 0x0302, 0x0402, 0x0502, 0x0602}
