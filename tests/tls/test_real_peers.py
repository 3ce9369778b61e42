"""The TLS engine against OpenSSL, GnuTLS and Go: each suite, group, kind of key, resumption, retry, client certificate,
and what must fail. Drives build/<mode>/tls_client (make tools)."""

from __future__ import annotations

import datetime
import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp

from peers import Peer
from peers.certs import Authority, Pair
from peers.servers import start_gnutls, start_go_tls, start_s_server

pytestmark = pytest.mark.timeout(60)

CHROME = "chrome_133_macos"
FIREFOX = "firefox_153_linux"
CHROMIUM = "chromium_156_linux"

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def client(built: Path, ca_file: str) -> Run:
    """Runs tls_client against a peer; gives its JSON lines. Verifies with the tests' authority unless told otherwise."""
    program = built / "tls_client"
    if not program.exists():
        pytest.fail(f"{program} is not built: make tools")

    def run(peer: Peer | int, *options: str, verify: bool = True, ok: bool = True) -> list[dict[str, Any]]:
        port = peer if isinstance(peer, int) else peer.port
        trust = ["--ca", ca_file] if verify else ["--no-verify"]
        command = [str(program), *trust, "--timeout", "4000", *options, f"localhost:{port}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.returncode in (0, 1), f"{command}: {done.returncode} {done.stderr[-3000:]}"
        assert lines, done.stderr
        if ok:
            assert done.returncode == 0, f"{' '.join(command)}: {lines} {done.stderr[-3000:]}"
        else:
            assert done.returncode == 1, f"{' '.join(command)}: {lines}"
        return lines

    return run


@pytest.fixture(scope="session")
def pairs(authority: Authority) -> dict[str, Pair]:
    return {kind: authority.issue(f"tls-{kind}", kind=kind) for kind in ("rsa", "p256", "p384", "p521", "ed25519")}


# ------------------------------------------------------------------------------------------------ OpenSSL, TLS 1.3


@pytest.mark.parametrize("profile", [CHROME, FIREFOX, CHROMIUM])
@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
def test_suites_of_13(client: Run, pairs: dict[str, Pair], suite: str, profile: str) -> None:
    with start_s_server(pairs["p256"], "-tls1_3", "-ciphersuites", suite) as peer:
        (seen,) = client(peer, "--profile", profile)
    assert seen["version"] == "TLSv1.3"
    assert seen["suite"] == suite
    assert seen["bytes"] > 1000
    assert seen["certs"] == 1


@pytest.mark.parametrize(
    ("group", "name", "retried"),
    [("X25519", "x25519", False), ("P-256", "secp256r1", True), ("P-384", "secp384r1", True)],
)
def test_groups_of_13(client: Run, pairs: dict[str, Pair], group: str, name: str, retried: bool) -> None:
    with start_s_server(pairs["p256"], "-tls1_3", "-groups", group) as peer:
        (seen,) = client(peer, "--profile", CHROME)
    assert (seen["group"], seen["retried"]) == (name, retried)


@pytest.mark.parametrize(("group", "number"), [("P-521", 25), ("X448", 30), ("ffdhe2048", 256), ("ffdhe3072", 257)])
def test_more_groups_of_13(client: Run, pairs: dict[str, Pair], group: str, number: int) -> None:
    with start_s_server(pairs["p256"], "-tls1_3", "-groups", group) as peer:
        (retried,) = client(peer, "--groups", f"29,{number}", "--shares", "29")
        (direct,) = client(peer, "--groups", f"29,{number}", "--shares", f"{number}")
    assert retried["retried"]
    assert not direct["retried"]
    assert retried["group"] == direct["group"] != "x25519"


@pytest.mark.parametrize(
    ("kind", "scheme", "offered"),
    [
        ("rsa", "rsa_pss_rsae_sha256", None),
        ("p256", "ecdsa_secp256r1_sha256", None),
        ("p384", "ecdsa_secp384r1_sha384", None),
        ("p521", "ecdsa_secp521r1_sha512", "0x0603,0x0403"),
        ("ed25519", "ed25519", "0x0807,0x0403"),
        ("rsa", "rsa_pss_rsae_sha384", "0x0805,0x0403"),
        ("rsa", "rsa_pss_rsae_sha512", "0x0806,0x0403"),
    ],
)
def test_keys_of_13(client: Run, pairs: dict[str, Pair], kind: str, scheme: str, offered: str | None) -> None:
    options = ["--schemes", offered] if offered else []
    with start_s_server(pairs[kind], "-tls1_3") as peer:
        (seen,) = client(peer, *options)
    assert seen["signature"] == scheme


@pytest.mark.parametrize("profile", [CHROME, FIREFOX])
@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"])
def test_resumption_of_13(client: Run, pairs: dict[str, Pair], profile: str, suite: str) -> None:
    with start_s_server(pairs["rsa"], "-tls1_3", "-ciphersuites", suite) as peer:
        seen = client(peer, "--profile", profile, "--resume", "--connections", "4")
    assert [line["resumed"] for line in seen] == [False, True, True, True]
    assert seen[1]["certs"] == 0


def test_resumption_with_retry(client: Run, pairs: dict[str, Pair]) -> None:
    with start_s_server(pairs["rsa"], "-tls1_3", "-groups", "P-384") as peer:
        seen = client(peer, "--resume", "--connections", "3")
    assert [(line["resumed"], line["retried"]) for line in seen] == [(False, True), (True, True), (True, True)]


EARLY = ["-tls1_3", "-alpn", "h2", "-early_data", "-max_early_data", "16384"]


@pytest.mark.parametrize("split", [0, 1, 700])
@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        ([], True),
        (["-ciphersuites", "TLS_AES_256_GCM_SHA384"], True),
        (["-groups", "P-384", "-no_anti_replay"], False),  # refused by a HelloRetryRequest
    ],
)
def test_early_data(client: Run, pairs: dict[str, Pair], options: list[str], accepted: bool, split: int) -> None:
    extra = ["--split", str(split)] if split else []
    arguments = ["--profile", FIREFOX, "--resume", "--early", "--close", "--timeout", "300", "--send", "early words\n"]
    with start_s_server(pairs["rsa"], *EARLY, *options, www=False) as peer:
        seen = client(peer, *arguments, *extra, "--connections", "3")
        said = peer.wait_log(lambda text: text.count("early words") == 3)
    assert [(line["resumed"], line["early_data"]) for line in seen] == [(False, False)] + [(True, accepted)] * 2
    # Each connection's words came once: as early data, or again behind a handshake that refused them.
    assert said.count("early words") == 3
    assert said.count("Early data received") == (2 if accepted else 0)
    assert said.count("Early data was rejected") == (0 if accepted else 2)


def test_early_data_is_only_sent_when_asked_and_allowed(client: Run, pairs: dict[str, Pair]) -> None:
    arguments = ["--resume", "--close", "--timeout", "300", "--send", "words\n"]
    for profile, flags, server in (
        (CHROME, ["--early"], EARLY),
        (FIREFOX, [], EARLY),
        (FIREFOX, ["--early"], EARLY[:3]),
    ):
        with start_s_server(pairs["rsa"], *server, www=False) as peer:
            seen = client(peer, "--profile", profile, *flags, *arguments)
        assert [(line["resumed"], line["early_data"]) for line in seen] == [(False, False), (True, False)]


def test_small_and_padded_records(client: Run, pairs: dict[str, Pair]) -> None:
    with start_s_server(pairs["rsa"], "-max_send_frag", "512", "-record_padding", "1000") as peer:
        (seen,) = client(peer)
        (tiny,) = client(peer, "--split", "1")
    assert seen["bytes"] == tiny["bytes"] > 1000


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "ed25519"])
def test_client_certificates(
    client: Run, authority: Authority, version: str, kind: str, pairs: dict[str, Pair]
) -> None:
    mine = authority.issue(f"client-{kind}", kind=kind, client=True)
    with start_s_server(pairs["p256"], version, "-Verify", "2", "-CAfile", str(authority.pem)) as peer:
        (seen,) = client(peer, "--cert", str(mine.cert), "--key", str(mine.key), "--profile", FIREFOX)
        (bare,) = client(peer, ok=False)
    assert seen["bytes"] > 1000
    # certificate_required, or in 1.2 handshake_failure
    assert (bare["error"], bare["detail"]) == ("TLS_ALERT", 116 if version == "-tls1_3" else 40)


# ------------------------------------------------------------------------------------------------ OpenSSL, TLS 1.2

SUITES_12 = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    ("ECDHE-ECDSA-AES256-SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    ("ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    ("ECDHE-ECDSA-AES256-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
    ("ECDHE-RSA-AES128-SHA", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    ("ECDHE-RSA-AES256-SHA", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    ("ECDHE-RSA-AES128-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    ("ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    ("AES128-GCM-SHA256", "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    ("AES256-GCM-SHA384", "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    ("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"),
    ("AES256-SHA", "TLS_RSA_WITH_AES_256_CBC_SHA"),
    ("AES128-SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    ("AES256-SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA256"),
    ("DHE-RSA-AES128-GCM-SHA256", "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("DHE-RSA-AES256-GCM-SHA384", "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("DHE-RSA-CHACHA20-POLY1305", "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("DHE-RSA-AES128-SHA", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    ("DHE-RSA-AES256-SHA", "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    ("DHE-RSA-AES128-SHA256", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"),
    ("DHE-RSA-AES256-SHA256", "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"),
]
ALL_12 = (
    "0xc02b,0xc02c,0xcca9,0xc02f,0xc030,0xcca8,0xc009,0xc00a,0xc023,0xc024,0xc013,0xc014,0xc027,0xc028,"
    "0x9c,0x9d,0x2f,0x35,0x3c,0x3d,0x9e,0x9f,0xccaa,0x33,0x39,0x67,0x6b,0xc012,0xc008,0x0a,0x16"
)


@pytest.mark.parametrize(("openssl", "name"), SUITES_12, ids=[name for name, _ in SUITES_12])
def test_suites_of_12(client: Run, pairs: dict[str, Pair], openssl: str, name: str) -> None:
    pair = pairs["p256" if "ECDSA" in openssl else "rsa"]
    with start_s_server(pair, "-tls1_2", "-cipher", f"{openssl}:@SECLEVEL=0") as peer:
        (seen,) = client(peer, "--suites", ALL_12)
        assert seen["suite"] == name
        assert seen["version"] == "TLSv1.2"
        assert seen["bytes"] > 1000
        if "CBC" in name:
            (etm,) = client(peer, "--suites", ALL_12, "--extension", "22")
            assert etm["bytes"] > 1000


@pytest.mark.parametrize("profile", [CHROME, FIREFOX, CHROMIUM])
@pytest.mark.parametrize("kind", ["rsa", "p256"])
def test_profiles_with_12(client: Run, pairs: dict[str, Pair], profile: str, kind: str) -> None:
    with start_s_server(pairs[kind], "-tls1_2") as peer:
        (seen,) = client(peer, "--profile", profile)
    assert seen["version"] == "TLSv1.2"


@pytest.mark.parametrize(
    ("group", "number"), [("X25519", 29), ("P-256", 23), ("P-384", 24), ("P-521", 25), ("X448", 30)]
)
def test_groups_of_12(client: Run, pairs: dict[str, Pair], group: str, number: int) -> None:
    with start_s_server(pairs["rsa"], "-tls1_2", "-groups", group) as peer:
        (seen,) = client(peer, "--groups", f"{number}", "--shares", "")
    assert seen["group"]


@pytest.mark.parametrize(
    ("kind", "scheme", "offered"),
    [
        ("rsa", "rsa_pkcs1_sha256", "0x0401"),
        ("rsa", "rsa_pkcs1_sha384", "0x0501"),
        ("rsa", "rsa_pkcs1_sha512", "0x0601"),
        ("rsa", "rsa_pss_rsae_sha256", "0x0804,0x0401"),
        ("p256", "ecdsa_secp256r1_sha256", "0x0403"),
        ("p384", "ecdsa_secp384r1_sha384", "0x0503,0x0403"),
        ("p521", "ecdsa_secp521r1_sha512", "0x0603,0x0403"),
        ("ed25519", "ed25519", "0x0807,0x0403"),
    ],
)
def test_keys_of_12(client: Run, pairs: dict[str, Pair], kind: str, scheme: str, offered: str) -> None:
    with start_s_server(pairs[kind], "-tls1_2") as peer:
        (seen,) = client(peer, "--schemes", offered, "--groups", "29,23,24,25", verify=False)
    assert seen["signature"] == scheme


def test_tickets_of_12(client: Run, pairs: dict[str, Pair]) -> None:
    with start_s_server(pairs["rsa"], "-tls1_2") as peer:
        chrome = client(peer, "--profile", CHROME, "--resume", "--connections", "4")
        firefox = client(peer, "--profile", FIREFOX, "--resume", "--connections", "3")
    assert [line["resumed"] for line in chrome] == [False, True, True, True]
    # Firefox uses a ticket of TLS 1.2 once (firefox_153_linux.json, notes); a resumed connection may bring a new one.
    assert [line["resumed"] for line in firefox][:2] == [False, True]


def test_session_ids_of_12(client: Run, pairs: dict[str, Pair]) -> None:
    with start_s_server(pairs["rsa"], "-tls1_2", "-no_ticket") as peer:
        seen = client(peer, "--profile", CHROME, "--resume", "--connections", "3")
    assert [line["resumed"] for line in seen] == [False, True, True]


def test_ocsp_staple(client: Run, authority: Authority, pairs: dict[str, Pair], tmp_path: Path) -> None:
    cert = x509.load_pem_x509_certificate(pairs["rsa"].cert.read_bytes())
    issuer = x509.load_pem_x509_certificate(authority.pem.read_bytes())
    key = serialization.load_pem_private_key(pairs["rsa"].key.read_bytes(), None)
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=cert,
        issuer=issuer,
        algorithm=hashes.SHA1(),  # what OCSP uses for its ids
        cert_status=ocsp.OCSPCertStatus.GOOD,
        this_update=now,
        next_update=now + datetime.timedelta(days=1),
        revocation_time=None,
        revocation_reason=None,
    )
    response = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, cert).sign(key, hashes.SHA256())  # type: ignore[arg-type]
    path = tmp_path / "staple.der"
    path.write_bytes(response.public_bytes(serialization.Encoding.DER))
    for version in ("-tls1_2", "-tls1_3"):
        with start_s_server(pairs["rsa"], version, "-status_file", str(path)) as peer:
            (seen,) = client(peer)
            assert seen["bytes"] > 1000
    with start_s_server(pairs["rsa"], "-tls1_2", "-cipher", "AES128-SHA", "-status_file", str(path)) as peer:
        (seen,) = client(peer)
        assert seen["suite"] == "TLS_RSA_WITH_AES_128_CBC_SHA"


def test_alpn(client: Run, pairs: dict[str, Pair]) -> None:
    for version in ("-tls1_2", "-tls1_3"):
        with start_s_server(pairs["rsa"], version, "-alpn", "h2,http/1.1") as peer:
            assert client(peer, "--read", "1")[0]["alpn"] == "h2"
            assert client(peer, "--http1")[0]["alpn"] == "http/1.1"


def test_key_log(client: Run, pairs: dict[str, Pair], tmp_path: Path) -> None:
    path = tmp_path / "keys"
    for version in ("-tls1_2", "-tls1_3"):
        server_keys = tmp_path / f"server{version}"
        with start_s_server(pairs["rsa"], version, "-keylogfile", str(server_keys)) as peer:
            client(peer, "--tls-keylog", str(path))
        ours = set(path.read_text().splitlines())
        theirs = {line for line in server_keys.read_text().splitlines() if not line.startswith("#")}
        assert theirs
        assert theirs <= ours


# ------------------------------------------------------------------------------------------------ GnuTLS


@pytest.mark.parametrize(
    ("priority", "options", "expect"),
    [
        ("NORMAL", [], {"version": "TLSv1.3"}),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.2", [], {"version": "TLSv1.2"}),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-SECP384R1", [], {"retried": True}),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305", [], {"suite": "TLS_CHACHA20_POLY1305_SHA256"}),
        (
            "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+3DES-CBC:-KX-ALL:+ECDHE-RSA",
            ["--suites", ALL_12],
            {"suite": "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"},
        ),
        (
            "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+3DES-CBC:-KX-ALL:+RSA",
            ["--suites", ALL_12],
            {"suite": "TLS_RSA_WITH_3DES_EDE_CBC_SHA"},
        ),
        (
            "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-CBC:-KX-ALL:+DHE-RSA",
            ["--suites", ALL_12, "--extension", "22"],
            {"suite": "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"},
        ),
        ("NORMAL:%NO_EXTENSIONS:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA", [], {"version": "TLSv1.2"}),
        ("NORMAL:%NO_ETM:%NO_SESSION_HASH:-VERS-ALL:+VERS-TLS1.2", [], {"version": "TLSv1.2"}),
        ("NORMAL:%COMPAT:-VERS-ALL:+VERS-TLS1.2", [], {"version": "TLSv1.2"}),
    ],
)
def test_gnutls(client: Run, pairs: dict[str, Pair], priority: str, options: list[str], expect: dict[str, Any]) -> None:
    with start_gnutls(pairs["rsa"], priority) as peer:
        (seen,) = client(peer, *options)
    assert seen["bytes"] > 0
    assert {key: seen[key] for key in expect} == expect


def test_gnutls_record_size_limit(client: Run, pairs: dict[str, Pair]) -> None:
    """Firefox offers record_size_limit, GnuTLS answers it, in both versions."""
    for version in ("TLS1.2", "TLS1.3"):
        with start_gnutls(pairs["rsa"], f"NORMAL:-VERS-ALL:+VERS-{version}", "--recordsize", "1024") as peer:
            (seen,) = client(peer, "--profile", FIREFOX, "--send", "GET / HTTP/1.0\r\nX: " + "y" * 5000 + "\r\n\r\n")
            assert seen["bytes"] > 0


@pytest.mark.parametrize("version", ["TLS1.2", "TLS1.3"])
def test_gnutls_resumption(client: Run, pairs: dict[str, Pair], version: str) -> None:
    with start_gnutls(pairs["rsa"], f"NORMAL:-VERS-ALL:+VERS-{version}") as peer:
        seen = client(peer, "--resume", "--connections", "3")
    assert [line["resumed"] for line in seen] == [False, True, True]


# ------------------------------------------------------------------------------------------------ Go


@pytest.mark.parametrize(
    ("options", "wanted", "expect"),
    [
        ([], ["--profile", CHROME], {"group": "X25519MLKEM768", "retried": False}),
        ([], ["--profile", FIREFOX], {"group": "X25519MLKEM768", "retried": False}),
        (["-groups", "4588"], ["--groups", "29,23", "--shares", "29"], None),
        (["-groups", "29"], ["--profile", CHROME], {"group": "x25519"}),
        (["-groups", "24"], ["--profile", CHROME], {"group": "secp384r1", "retried": True}),
        (["-groups", "25"], ["--profile", FIREFOX], {"group": "secp521r1", "retried": True}),
        (["-max", "0x0303"], ["--profile", CHROME], {"version": "TLSv1.2"}),
        (
            ["-max", "0x0303", "-suites", "0xc012"],
            ["--suites", ALL_12],
            {"suite": "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"},
        ),
        (["-max", "0x0303", "-suites", "0x000a"], ["--suites", ALL_12], {"suite": "TLS_RSA_WITH_3DES_EDE_CBC_SHA"}),
        (
            ["-max", "0x0303", "-suites", "0xcca8"],
            ["--profile", CHROME],
            {"suite": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
        ),
        (["-alpn", "h2,http/1.1"], ["--profile", CHROME], {"alpn": "h2"}),
    ],
)
def test_go(
    client: Run, pairs: dict[str, Pair], options: list[str], wanted: list[str], expect: dict[str, Any] | None
) -> None:
    with start_go_tls(pairs["rsa"], *options) as peer:
        (seen,) = client(peer, *wanted, ok=expect is not None)
    if expect is None:
        assert (seen["error"], seen["detail"]) == ("TLS_ALERT", 40)
    else:
        assert {key: seen[key] for key in expect} == expect
        assert seen["bytes"] == 1000


def test_go_retry_to_hybrids(client: Run, pairs: dict[str, Pair]) -> None:
    for number, name in ((4587, "SecP256r1MLKEM768"), (4588, "X25519MLKEM768")):
        with start_go_tls(pairs["rsa"], "-groups", str(number)) as peer:
            (seen,) = client(peer, "--groups", f"29,{number}", "--shares", "29")
        assert (seen["group"], seen["retried"]) == (name, True)


def test_go_bulk(client: Run, pairs: dict[str, Pair]) -> None:
    for version in ("0x0303", "0x0304"):
        with start_go_tls(pairs["p256"], "-max", version, "-bytes", "20000000") as peer:
            assert client(peer)[0]["bytes"] == 20000000
            assert client(peer, "--split", "1000")[0]["bytes"] == 20000000


@pytest.mark.parametrize("version", ["0x0303", "0x0304"])
def test_go_resumption_and_client_certificates(
    client: Run, authority: Authority, pairs: dict[str, Pair], version: str
) -> None:
    mine = authority.issue("client-go", kind="rsa", client=True)
    options = ["--cert", str(mine.cert), "--key", str(mine.key), "--resume", "--connections", "3"]
    with start_go_tls(pairs["p256"], "-max", version, "-client-ca", str(authority.pem)) as peer:
        seen = client(peer, *options)
    assert [line["resumed"] for line in seen] == [False, True, True]


# ------------------------------------------------------------------------------------------------ what must fail


def test_certificates_that_must_fail(client: Run, authority: Authority) -> None:
    cases = [
        (authority.issue("expired", days=(-10, -1)), "TLS_CERTIFICATE", 45),
        (authority.issue("self", self_signed=True), "TLS_CERTIFICATE", 48),
        (authority.issue("other", names=("example.org",)), "TLS_HOSTNAME", 42),
        (authority.issue("unnamed", names=()), "TLS_HOSTNAME", 42),
    ]
    for pair, error, alert in cases:
        for version in ("-tls1_2", "-tls1_3"):
            with start_s_server(pair, version) as peer:
                (seen,) = client(peer, ok=False)
                assert (seen["error"], seen["alert_sent"]) == (error, alert)
                assert seen["bytes"] == 0
                client(peer, verify=False)


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_old_versions(client: Run, pairs: dict[str, Pair], version: str) -> None:
    with start_s_server(pairs["rsa"], version, "-cipher", "ALL:@SECLEVEL=0") as peer:
        (seen,) = client(peer, ok=False)
    assert seen["error"] == "TLS_VERSION"


def test_no_common_suite(client: Run, pairs: dict[str, Pair]) -> None:
    with start_s_server(pairs["rsa"], "-tls1_2", "-cipher", "CAMELLIA128-SHA:@SECLEVEL=0") as peer:
        (seen,) = client(peer, ok=False)
    assert (seen["error"], seen["detail"]) == ("TLS_ALERT", 40)


@pytest.fixture
def listener() -> Iterator[Callable[[bytes], int]]:
    """A plain TCP server that answers the first bytes with fixed ones and closes."""
    sockets: list[socket.socket] = []

    def serve(answer: bytes) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        sockets.append(server)

        def one() -> None:
            conn, _ = server.accept()
            with conn:
                conn.settimeout(5)
                conn.recv(65536)
                conn.sendall(answer)
                conn.shutdown(socket.SHUT_WR)
                while conn.recv(65536):
                    pass

        threading.Thread(target=one, daemon=True).start()
        return int(server.getsockname()[1])

    yield serve
    for server in sockets:
        server.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS_NOT_TLS"),
        (b"SSH", "TLS_NOT_TLS"),
        (b"220 mail.example ESMTP\r\n", "TLS_NOT_TLS"),
        (b"", "TLS_CLOSED"),
        (b"\x16\x03\x03\x00\x50\x02", "TLS_CLOSED"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS_VERSION"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "TLS_ALERT"),
        (b"\x15\x03\x03\x00\x02\x01\x00", "TLS_CLOSED"),
        (b"\x15\x03\x03\x00\x02\x01\x70" * 5, "TLS_PROTOCOL"),
        (b"\x16\x03\x03\x00\x00" * 40, "TLS_PROTOCOL"),
        (b"\x17\x03\x03\x00\x01x", "TLS_PROTOCOL"),
        (b"\x16\x03\x03\xff\xff", "TLS_PROTOCOL"),
        (b"\x16\x03\x03\x00\x04\x02\xff\xff\xff", "TLS_PROTOCOL"),
        (b"\x14\x03\x03\x00\x01\x01", "TLS_PROTOCOL"),
    ],
)
def test_bad_answers(client: Run, listener: Callable[[bytes], int], answer: bytes, error: str) -> None:
    (seen,) = client(listener(answer), ok=False)
    assert seen["error"] == error
    (seen,) = client(listener(answer), "--split", "1", ok=False)
    assert seen["error"] == error


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_one_bit_flipped(client: Run, pairs: dict[str, Pair], version: str) -> None:
    """Whatever bit of the server's handshake is changed, the client must not finish it."""
    with start_s_server(pairs["p256"], version, "-no_ticket", "-num_tickets", "0") as peer:
        (good,) = client(peer, "--send", "x", "--timeout", "200")
        # An ECDSA signature in DER is not always of one length: what another handshake may be shorter by stays out.
        length = good["received"] - 8
        for place in range(0, length, 37):
            (seen,) = client(peer, "--flip", str(place), "--timeout", "500", "--send", "x", ok=False)
            assert seen["error"].startswith(("TLS_", "TIMEOUT_")), (place, seen)
            assert seen["bytes"] == 0
