"""TLS servers that stop, reset or talk nonsense in the middle of the handshake, and records that are wrong after it."""

from __future__ import annotations

import ssl

import pytest

from lab import Lab
from peers.fake import Handshake, Link, tls_context
from tls_requests.exceptions import ConnectionReset, IncompleteBody, RemoteProtocolError, TLSError

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
VERSIONS = {"1.3": ssl.TLSVersion.TLSv1_3, "1.2": ssl.TLSVersion.TLSv1_2}


def context_of(lab: Lab, version: str) -> ssl.SSLContext:
    context = tls_context(lab.pair)
    context.maximum_version = VERSIONS[version]
    return context


def alert(level: int, description: int) -> bytes:
    return bytes([21, 3, 3, 0, 2, level, description])


def record(kind: int, payload: bytes, version: int = 0x0303) -> bytes:
    return bytes([kind]) + version.to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload


# ------------------------------------------------------------------------------------------------------ the end, early


@pytest.mark.parametrize("how", ["close", "reset"])
def test_end_before_the_hello(lab: Lab, how: str) -> None:
    def behave(link: Link) -> None:
        getattr(link, how)()

    server = lab.serve(behave)
    session = lab.open()
    response = session.get(server.url(scheme="https"))
    assert response.status_code == 0
    assert isinstance(response.error, (TLSError, ConnectionReset)), response.error


@pytest.mark.parametrize("how", ["close", "reset"])
def test_end_after_the_hello(lab: Lab, how: str) -> None:
    def behave(link: Link) -> None:
        link.receive()
        link.wait(0.02)  # all of the hello
        getattr(link, how)()

    server = lab.serve(behave)
    if how == "close":
        lab.failed(server.url(scheme="https"), TLSError, "closed", code="TLS_CLOSED")
    else:
        lab.failed(server.url(scheme="https"), ConnectionReset, "reset", code="CONNECT_RESET")
    assert server.connections == 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 4, 5, 6, 9, 43, 80, 127, 200, 400, 600, -1])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_end_after_some_bytes_of_the_flight(lab: Lab, version: str, size: int, how: str) -> None:
    def behave(link: Link) -> None:
        flight = Handshake(link, context_of(lab, version)).flight()
        assert len(flight) > 610
        link.send(flight[:size])
        if how == "reset":
            link.wait(0.02)
        getattr(link, how)()

    server = lab.serve(behave)
    session = lab.open()
    response = session.get(server.url(scheme="https"))
    assert response.status_code == 0
    if how == "close":
        assert response.error.code == "TLS_CLOSED", response.error
    else:
        assert response.error.code in ("CONNECT_RESET", "TLS_CLOSED"), response.error
    assert response.error.safe_to_retry


@pytest.mark.parametrize("version", VERSIONS)
def test_the_flight_in_single_bytes(lab: Lab, version: str) -> None:
    """Slow but correct: every split of every record and message."""

    def behave(link: Link) -> None:
        shake = Handshake(link, context_of(lab, version))
        flight = shake.flight()
        for index in range(len(flight)):
            link.send(flight[index : index + 1])
        link.send(shake.flight())
        shake.read_request()
        for byte in shake.seal(ANSWER):
            link.send(bytes([byte]))
        link.hold()

    server = lab.serve(behave)
    assert lab.good(server.url(scheme="https")).content == b"ok"


# ------------------------------------------------------------------------------------------------------ nonsense


NONSENSE = {
    "alert-handshake-failure": (alert(2, 40), "TLS_ALERT"),
    "alert-internal-error": (alert(2, 80), "TLS_ALERT"),
    "alert-unrecognized-name": (alert(2, 112), "TLS_ALERT"),
    "alert-no-application-protocol": (alert(2, 120), "TLS_ALERT"),
    "alert-protocol-version": (alert(2, 70), ("TLS_ALERT", "TLS_VERSION")),
    "alert-unknown": (alert(2, 250), "TLS_ALERT"),
    "alert-close-notify": (alert(1, 0), ("TLS_CLOSED", "TLS_ALERT")),
    "alert-of-three-bytes": (record(21, b"\x02\x28\x00"), "TLS_PROTOCOL"),
    "alert-empty": (record(21, b""), "TLS_PROTOCOL"),
    "application-data": (record(23, b"x" * 64), "TLS_PROTOCOL"),
    "change-cipher-spec-flood": (record(20, b"\x01") * 64, "TLS_PROTOCOL"),
    "unknown-record-type": (record(99, b"x" * 64), ("TLS_PROTOCOL", "TLS_NOT_TLS")),
    "record-of-65535": (record(22, b"\x02" + b"x" * 65534), "TLS_PROTOCOL"),
    "empty-records": (record(22, b"") * 64, "TLS_PROTOCOL"),
    "finished-first": (record(22, b"\x14\x00\x00\x20" + bytes(32)), "TLS_PROTOCOL"),
    "certificate-first": (record(22, b"\x0b\x00\x00\x04" + bytes(4)), "TLS_PROTOCOL"),
    "client-hello": (record(22, b"\x01\x00\x00\x04" + bytes(4)), "TLS_PROTOCOL"),
    "unknown-message": (record(22, b"\x63\x00\x00\x00"), "TLS_PROTOCOL"),
    "hello-of-16-mib": (record(22, b"\x02\xff\xff\xff" + b"x" * 1000) * 100, "TLS_PROTOCOL"),
    "hello-of-no-bytes": (record(22, b"\x02\x00\x00\x00"), "TLS_PROTOCOL"),
    "hello-cut-inside": (record(22, b"\x02\x00\x00\x04\x03\x03\x00\x00"), "TLS_PROTOCOL"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_in_place_of_a_hello(lab: Lab, name: str) -> None:
    data, code = NONSENSE[name]

    def behave(link: Link) -> None:
        link.receive()
        link.send(data)
        link.hold()

    server = lab.serve(behave)
    lab.failed(server.url(scheme="https"), TLSError, code=code)


def test_a_warning_before_the_hello_is_nothing_yet(lab: Lab) -> None:
    """unrecognized_name as a warning (RFC 6066 3) is ignored; the handshake goes on or, here, ends without more."""

    def behave(link: Link) -> None:
        link.receive()
        link.send(alert(1, 112))
        link.wait(0.05)
        link.close()

    server = lab.serve(behave)
    error = lab.failed(server.url(scheme="https"), TLSError)
    assert error.code in ("TLS_CLOSED", "TLS_ALERT", "TLS_PROTOCOL")


def hello(
    version: int = 0x0303,
    suite: int = 0x1301,
    compression: int = 0,
    extensions: bytes = b"",
    session: bytes = b"",
    random: bytes = b"r" * 32,
) -> bytes:
    body = version.to_bytes(2, "big") + random + bytes([len(session)]) + session + suite.to_bytes(2, "big")
    body += bytes([compression]) + len(extensions).to_bytes(2, "big") + extensions
    return record(22, b"\x02" + len(body).to_bytes(3, "big") + body)


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


TLS13 = extension(43, b"\x03\x04")
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
HELLOS = {
    "suite-not-offered": hello(suite=0x0005),
    "null-suite": hello(suite=0x0000),
    "compression": hello(compression=1),
    "tls-1.3-as-legacy-version": hello(version=0x0304),
    "tls-1.4": hello(extensions=extension(43, b"\x03\x05")),
    "session-id-not-echoed": hello(
        extensions=TLS13 + extension(51, b"\x00\x1d\x00\x20" + b"k" * 32), session=b"s" * 32
    ),
    "no-key-share": hello(extensions=TLS13),
    "extension-not-offered": hello(extensions=extension(0x7777, b"x")),
    "extension-twice": hello(suite=0xC02F, extensions=extension(65281, b"\0") * 2),
    "extensions-cut": hello(extensions=b"\x00\x2b\x00\x09"),
    "renegotiation-info-with-data": hello(suite=0xC02F, extensions=extension(65281, b"\x01x")),
    "group-not-offered": hello(extensions=TLS13 + extension(51, b"\x77\x77\x00\x20" + b"k" * 32)),
    "retry-for-nothing": hello(extensions=TLS13, random=RETRY),
    "retry-with-group-not-offered": hello(extensions=TLS13 + extension(51, b"\x77\x77"), random=RETRY),
    "downgrade-mark": hello(suite=0xC02F, random=b"r" * 24 + b"DOWNGRD\x01"),
}


@pytest.mark.parametrize("name", HELLOS)
def test_hellos_that_no_client_may_accept(lab: Lab, name: str) -> None:
    """Refused with an alert, before anything else is sent."""
    replies: list[bytes] = []

    def behave(link: Link) -> None:
        link.receive()
        link.wait(0.01)
        link.send(HELLOS[name])
        replies.append(link.receive())
        link.hold()

    server = lab.serve(behave)
    error = lab.failed(server.url(scheme="https"), TLSError, raises=False)
    assert error.code in ("TLS_PROTOCOL", "TLS_UNSUPPORTED", "TLS_VERSION"), error.code
    server.close()
    assert replies
    assert replies[0][0] == 21, "no alert came"
    assert replies[0][5] == 2


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8, 0.99])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_flipped_bit_in_the_flight(lab: Lab, version: str, place: float) -> None:
    def behave(link: Link) -> None:
        shake = Handshake(link, context_of(lab, version))
        flight = bytearray(shake.flight())
        flight[int(len(flight) * place)] ^= 1
        link.send(bytes(flight))
        link.hold()

    server = lab.serve(behave)
    error = lab.get(server.url(scheme="https")).error
    assert isinstance(error, TLSError)
    assert error.code in ("TLS_PROTOCOL", "TLS_BAD_RECORD", "TLS_CERTIFICATE", "TLS_UNSUPPORTED"), error
    assert error.safe_to_retry


# ------------------------------------------------------------------------------------------------------ after the handshake


def after_handshake(lab: Lab, version: str, change: str) -> object:
    def behave(link: Link) -> None:
        shake = Handshake(link, context_of(lab, version))
        link.send(shake.flight())
        link.send(shake.flight())
        shake.read_request()
        sealed = shake.seal(ANSWER)
        if change == "flipped":
            sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        elif change == "cut":
            sealed = sealed[:-3]
        elif change == "plain":
            sealed = ANSWER
        elif change == "plain-record":
            sealed = record(23, ANSWER)
        elif change == "plain-alert":
            sealed = alert(2, 80)
        elif change == "twice":
            sealed = shake.seal(ANSWER[:10]) * 2
        elif change == "oversize":
            sealed = record(23, b"x" * 20000)
        elif change == "handshake-record":
            sealed = record(22, b"\x02\x00\x00\x00")
        link.send(sealed)
        if change == "cut":
            link.close()
        link.hold()

    return behave


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "change", ["flipped", "plain", "plain-record", "plain-alert", "twice", "oversize", "handshake-record"]
)
def test_records_that_do_not_open(lab: Lab, version: str, change: str) -> None:
    server = lab.serve(after_handshake(lab, version, change))  # type: ignore[arg-type]
    error = lab.failed(server.url(scheme="https"), TLSError, raises=False)
    assert error.code in ("TLS_BAD_RECORD", "TLS_PROTOCOL"), error.code
    assert error.request_sent
    assert not error.safe_to_retry
    assert server.connections == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_record_that_is_cut(lab: Lab, version: str) -> None:
    server = lab.serve(after_handshake(lab, version, "cut"))  # type: ignore[arg-type]
    lab.failed(server.url(scheme="https"), RemoteProtocolError, "EOF", code="CLOSED_EARLY", raises=False)


@pytest.mark.parametrize("notify", [False, True])
def test_the_end_of_a_body_without_length(lab: Lab, notify: bool) -> None:
    """RFC 9112 9.8: a body that ends with the connection is complete only if TLS says that this is the end."""

    def behave(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        if notify:
            link.notify()
        link.close()

    server = lab.serve(behave, tls=lab.pair)
    if notify:
        assert lab.good(server.url()).content == b"hello"
    else:
        lab.failed(server.url(), IncompleteBody, "EOF", "body", code="BODY_TRUNCATED")


@pytest.mark.parametrize("framing", ["Content-Length: 10", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("notify", [False, True])
def test_a_body_cut_by_the_end_of_tls(lab: Lab, framing: str, notify: bool) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhe".encode())
        if notify:
            link.notify()
        link.close()

    server = lab.serve(behave, tls=lab.pair)
    lab.failed(server.url(), IncompleteBody, "EOF", "body", code="BODY_TRUNCATED")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-"])
@pytest.mark.parametrize("notify", [False, True])
def test_no_answer_but_the_end_of_tls(lab: Lab, head: bytes, notify: bool) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(head)
        if notify:
            link.notify()
        link.close()

    server = lab.serve(behave, tls=lab.pair)
    error = lab.failed(server.url(), RemoteProtocolError, "EOF", code="CLOSED_EARLY", raises=False)
    assert error.request_sent
    assert server.connections == 1
