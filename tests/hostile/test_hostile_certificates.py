"""Certificates that must be refused, what makes them acceptable, and that nothing is sent to a server that has one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lab import Lab
from peers.certs import Authority, Pair
from peers.fake import Fake, answer_http, tls_context
from tls_requests.exceptions import CertificateError

ANSWER = answer_http(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

# label: arguments of Authority.issue, words of the error's text
BAD: dict[str, tuple[dict[str, object], tuple[str, ...]]] = {
    "expired": ({"days": (-20, -1)}, ("certificate", "expired")),
    "not-yet-valid": ({"days": (2, 20)}, ("certificate", "not valid before")),
    "self-signed": ({"self_signed": True}, ("certificate",)),
    "other-name": ({"names": ("other.test",)}, ("certificate", "localhost")),
    "other-address": ({"names": ("127.0.0.2",)}, ("certificate", "localhost")),
    "name-only-in-subject": ({"names": ()}, ("certificate", "localhost")),
    "for-clients": ({"client": True}, ("certificate",)),
    "rsa-1024": ({"kind": "rsa1024"}, ("certificate",)),
}


@pytest.fixture(scope="module")
def bad_pairs(authority: Authority) -> dict[str, Pair]:
    made = {}
    for label, (options, _) in BAD.items():
        name = "localhost" if label == "name-only-in-subject" else label
        made[label] = authority.issue(name, **options)  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts, with the name of ours."""
    return Authority(tmp_path_factory.mktemp("stranger"))


def sees_no_request(server: Fake) -> None:
    assert server.connections > 0
    assert server.requests == []


@pytest.mark.parametrize("label", BAD)
def test_refused(lab: Lab, bad_pairs: dict[str, Pair], label: str) -> None:
    server = lab.serve(ANSWER, tls=bad_pairs[label])
    code = "TLS_HOSTNAME" if "localhost" in BAD[label][1] else "TLS_CERTIFICATE"
    error = lab.failed(server.url(), CertificateError, *BAD[label][1], code=code)
    assert error.safe_to_retry
    assert not error.request_sent
    sees_no_request(server)


@pytest.mark.parametrize("label", BAD)
def test_refused_over_tls_1_2(lab: Lab, bad_pairs: dict[str, Pair], label: str) -> None:
    import ssl

    context = tls_context(bad_pairs[label])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = lab.serve(ANSWER, tls=context)
    lab.failed(server.url(), CertificateError, *BAD[label][1], raises=False)
    sees_no_request(server)


@pytest.mark.parametrize("label", BAD)
def test_accepted_without_verification(lab: Lab, bad_pairs: dict[str, Pair], label: str) -> None:
    server = lab.serve(ANSWER, tls=bad_pairs[label])
    assert lab.good(server.url(), verify=False).content == b"ok"


def test_unknown_authority(lab: Lab, stranger: Authority) -> None:
    """The same names, another key: the signature tells."""
    server = lab.serve(ANSWER, tls=stranger.issue())
    lab.failed(server.url(), CertificateError, "certificate", code="TLS_CERTIFICATE")
    sees_no_request(server)
    assert lab.good(server.url(), verify=str(stranger.pem)).content == b"ok"


def test_system_store_does_not_know_us(lab: Lab) -> None:
    server = lab.serve(ANSWER, tls=lab.pair)
    lab.failed(server.url(), CertificateError, "certificate", "authority", verify=True)
    sees_no_request(server)


def test_verify_takes_a_path_object_and_a_directory(lab: Lab, tmp_path: Path) -> None:
    server = lab.serve(ANSWER, tls=lab.pair)
    assert lab.good(server.url(), verify=Path(lab.ca_file)).content == b"ok"
    shutil.copy(lab.ca_file, tmp_path / "our-authority.pem")
    assert lab.good(server.url(), verify=str(tmp_path)).content == b"ok"


@pytest.mark.parametrize("content", [None, b"", b"no certificate in here\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_of_roots_that_is_none(lab: Lab, tmp_path: Path, content: bytes | None) -> None:
    """It is the caller's mistake, and said so when the client is made, or with the first request: never ignored."""
    path = tmp_path / "roots.pem"
    if content is not None:
        path.write_bytes(content)
    server = lab.serve(ANSWER, tls=lab.pair)
    try:
        response = lab.get(server.url(), verify=str(path))
    except CertificateError as error:
        assert str(path) in str(error) or "certificate" in str(error).lower()
    else:
        assert response.status_code == 0
        assert isinstance(response.error, CertificateError)
    assert server.requests == []


@pytest.mark.parametrize(
    ("host", "names", "good"),
    [
        ("localhost", ("localhost",), True),
        ("a.b.localhost", ("*.b.localhost",), True),
        ("A.B.LOCALHOST", ("*.b.localhost",), True),
        ("a.a.b.localhost", ("*.b.localhost",), False),
        ("b.localhost", ("*.b.localhost",), False),
        ("a.localhost", ("*.localhost",), False),  # as browsers: not for all of a top-level domain
        ("localhost", ("*",), False),
        ("a.localhost", ("*.*",), False),
        ("ab.b.localhost", ("a*.b.localhost",), False),
        ("127.0.0.1", ("127.0.0.1",), True),
        ("127.0.0.1", ("localhost",), False),
        ("localhost", ("127.0.0.1",), False),
    ],
)
def test_names(lab: Lab, authority: Authority, host: str, names: tuple[str, ...], good: bool) -> None:
    server = lab.serve(ANSWER, tls=authority.issue("names", names))
    if good:
        assert lab.good(server.url(host=host)).content == b"ok"
    else:
        lab.failed(server.url(host=host), CertificateError, "certificate", host, code="TLS_HOSTNAME", raises=False)
        sees_no_request(server)


def test_an_address_as_text_is_no_address(lab: Lab, authority: Authority) -> None:
    """127.0.0.1 as a DNS name of the certificate does not vouch for the address (RFC 9525 6.5)."""
    from cryptography import x509

    from peers import certs

    pair = None
    original = certs._general_name
    certs._general_name = x509.DNSName  # type: ignore[assignment]
    try:
        pair = authority.issue("text-address", ("127.0.0.1",))
    finally:
        certs._general_name = original
    server = lab.serve(ANSWER, tls=pair)
    lab.failed(server.url(host="127.0.0.1"), CertificateError, "127.0.0.1", code="TLS_HOSTNAME", raises=False)


def test_verification_is_not_shared_between_settings(lab: Lab, stranger: Authority) -> None:
    """A connection or ticket made without verification is of no use to a request that verifies."""
    server = lab.serve(ANSWER, tls=stranger.issue())
    session = lab.open(verify=False)
    assert session.get(server.url()).content == b"ok"
    response = session.get(server.url(), verify=lab.ca_file)
    assert response.status_code == 0
    assert isinstance(response.error, CertificateError)
    assert session.get(server.url()).content == b"ok"
    assert len(server.requests) == 2


def test_verification_that_is_switched_on_later(lab: Lab, stranger: Authority) -> None:
    server = lab.serve(ANSWER, tls=stranger.issue())
    session = lab.open(verify=False)
    assert session.get(server.url()).content == b"ok"
    session.client.verify = True
    assert isinstance(session.get(server.url()).error, CertificateError)
