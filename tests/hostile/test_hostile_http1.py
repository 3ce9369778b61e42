"""HTTP/1.1 answers that end early, are ambiguous, malformed or without end, and those that are strange but right."""

from __future__ import annotations

import pytest

from lab import Lab, Session
from peers.fake import Fake, Link, answer_http
from tls_requests.exceptions import ConnectionReset, IncompleteBody, RemoteProtocolError

OK = b"HTTP/1.1 200 OK\r\n"
SMALL = OK + b"Content-Length: 2\r\n\r\nok"

# ------------------------------------------------------------------------------------------------------- the end, early


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_end_without_answer(lab: Lab, how: str, method: str) -> None:
    """On a connection of its own: no second attempt, for the server may have acted."""

    def behave(link: Link) -> None:
        link.request()
        getattr(link, how)()

    server = lab.serve(behave)
    arguments = {"data": b"body"} if method == "POST" else {}
    if how == "close":
        error = lab.failed(
            server.url(),
            RemoteProtocolError,
            "EOF",
            code="CLOSED_EARLY",
            method=method,
            arguments=arguments,
            raises=False,
        )
    else:
        error = lab.failed(
            server.url(),
            ConnectionReset,
            "reset",
            code="CONNECT_RESET",
            method=method,
            arguments=arguments,
            raises=False,
        )
    assert error.request_sent
    assert not error.safe_to_retry
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("size", [1, 8, 15, 17, 30, 36])
def test_end_within_the_head(lab: Lab, how: str, size: int) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(SMALL[:size])
        if how == "reset":
            link.wait(0.02)
        getattr(link, how)()

    server = lab.serve(behave)
    if how == "close":
        lab.failed(server.url(), RemoteProtocolError, "EOF", code="CLOSED_EARLY", raises=False)
    else:
        lab.failed(server.url(), ConnectionReset, "reset", raises=False)
    assert len(server.requests) == 1


BODIES = {
    "no-byte": b"Content-Length: 10\r\n\r\n",
    "length": b"Content-Length: 10\r\n\r\nfive.",
    "no-chunk": b"Transfer-Encoding: chunked\r\n\r\n",
    "chunk-size": b"Transfer-Encoding: chunked\r\n\r\n5",
    "chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\nfou",
    "chunk-end": b"Transfer-Encoding: chunked\r\n\r\n5\r\nfive.\r\n",
    "last-chunk": b"Transfer-Encoding: chunked\r\n\r\n5\r\nfive.\r\n0\r\n",
    "trailers": b"Transfer-Encoding: chunked\r\n\r\n5\r\nfive.\r\n0\r\nX-A: b\r\n",
}


@pytest.mark.parametrize("name", BODIES)
def test_end_within_the_body(lab: Lab, name: str) -> None:
    server = lab.serve(answer_http(OK + BODIES[name]))
    error = lab.failed(server.url(), IncompleteBody, "EOF", "body", code="BODY_TRUNCATED")
    assert error.request_sent
    assert error.phase == "body"


@pytest.mark.parametrize("name", ["length", "chunk"])
def test_reset_within_the_body(lab: Lab, name: str) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(OK + BODIES[name])
        link.wait(0.02)
        link.reset()

    server = lab.serve(behave)
    error = lab.get(server.url()).error
    assert isinstance(error, (ConnectionReset, IncompleteBody))
    assert len(server.requests) == 1


def test_a_body_shorter_than_declared_on_a_kept_connection(lab: Lab) -> None:
    """Nothing of the failed answer is taken for the next one's."""

    def behave(link: Link) -> None:
        link.request()
        if link.number == 0:
            link.send(OK + b"Content-Length: 10\r\n\r\nfive.")
            link.close()
        else:
            link.answer(b"new")
            link.hold()

    server = lab.serve(behave)
    session = lab.open()
    assert isinstance(session.get(server.url()).error, IncompleteBody)
    assert session.get(server.url()).content == b"new"


def second(session: Session, server: Fake, first: bytes = b"ok") -> None:
    """The first answer is good; the second request must go over a new connection and be answered by it."""
    assert session.get(server.url("/1")).content == first
    response = session.get(server.url("/2"))
    assert response.status_code == 200, response.text
    assert response.content == b"second"
    assert [(seen.link, seen.target) for seen in server.requests] == [(0, "/1"), (1, "/2")]


@pytest.mark.parametrize("extra", [b"x", b"more", SMALL, b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
@pytest.mark.parametrize("late", [False, True])
def test_a_body_longer_than_declared(lab: Lab, extra: bytes, late: bool) -> None:
    """Bytes behind an answer belong to nobody: the answer counts, the connection is not used again (RFC 9112 6.3)."""

    def behave(link: Link) -> None:
        link.request()
        if link.number == 0:
            if late:
                link.send(SMALL)
                link.wait(0.05)
                link.send(extra)
            else:
                link.send(SMALL + extra)
        else:
            link.answer(b"second")
        link.hold()

    server = lab.serve(behave)
    session = lab.open()
    if late:
        import time

        assert session.get(server.url("/1")).content == b"ok"
        time.sleep(0.15)
        response = session.get(server.url("/2"))
        assert response.content == b"second"
        assert server.requests[-1].link == 1
    else:
        second(session, server)


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_where_none_may_be(lab: Lab, status: int) -> None:
    def behave(link: Link) -> None:
        link.request()
        if link.number == 0:
            link.send(f"HTTP/1.1 {status} X\r\nContent-Length: 4\r\n\r\nbody".encode())
        else:
            link.answer(b"second")
        link.hold()

    server = lab.serve(behave)
    session = lab.open()
    response = session.get(server.url("/1"))
    assert response.status_code == status
    assert response.content == b""
    assert session.get(server.url("/2")).content == b"second"


def test_a_body_to_head(lab: Lab) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(SMALL) if link.number == 0 else link.answer(b"second")
        link.hold()

    server = lab.serve(behave)
    session = lab.open()
    response = session.request("HEAD", server.url("/1"))
    assert response.status_code == 200
    assert response.content == b""
    assert session.get(server.url("/2")).content == b"second"


def test_an_answer_before_the_request(lab: Lab) -> None:
    """A server that speaks first could answer what was never asked."""

    def behave(link: Link) -> None:
        link.send(SMALL)
        link.hold()

    server = lab.serve(behave)
    response = lab.get(server.url())
    assert response.status_code in (0, 200)  # which comes first is the network's choice
    if response.status_code == 0:
        assert isinstance(response.error, RemoteProtocolError)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_the_server_closed(lab: Lab, method: str) -> None:
    """docs/replays.md: GET again on a new connection; POST only if nothing of it was sent."""

    def behave(link: Link) -> None:
        link.request()
        link.answer(b"first" if link.number == 0 else b"second")
        if link.number == 0:
            link.request()
            link.close()
        link.hold()

    server = lab.serve(behave)
    session = lab.open()
    assert session.get(server.url("/1")).content == b"first"
    response = session.request(method, server.url("/2"), **({"data": b"x"} if method == "POST" else {}))
    if method == "GET":
        assert response.content == b"second"
        assert [seen.link for seen in server.requests] == [0, 0, 1]
    else:
        assert response.status_code == 0
        assert response.error.request_sent
        assert not response.error.safe_to_retry
        assert [seen.link for seen in server.requests] == [0, 0]


def test_replays_have_an_end(lab: Lab) -> None:
    def behave(link: Link) -> None:
        link.request()
        if link.number > 0:
            link.close()
            return
        link.answer()
        link.request()
        link.close()

    server = lab.serve(behave)
    session = lab.open()
    assert session.get(server.url("/1")).content == b"ok"
    assert session.get(server.url("/2")).status_code == 0
    assert len(server.requests) <= 4


# ------------------------------------------------------------------------------------------------------- malformed

MALFORMED = {
    "not-http": b"hello\r\n\r\n",
    "html": b"<html>400</html>\r\n\r\n",
    "nothing-but-lines": b"\r\n" * 50,
    "http-2": b"HTTP/2 200 OK\r\n\r\n",
    "http-0.9": b"just a body",
    "lower-case": b"http/1.1 200 OK\r\n\r\n",
    "status-of-two-digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status-of-four-digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status-zero": b"HTTP/1.1 000 OK\r\n\r\n",
    "status-no-number": b"HTTP/1.1 abc OK\r\n\r\n",
    "status-negative": b"HTTP/1.1 -20 OK\r\n\r\n",
    "no-status": b"HTTP/1.1\r\n\r\n",
    "two-blanks": b"HTTP/1.1  200 OK\r\n\r\n",
    "nul-in-reason": b"HTTP/1.1 200 O\0K\r\n\r\n",
    "cr-in-reason": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "length-and-chunked": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked-and-length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two-lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "lengths-in-a-list": OK + b"Content-Length: 5, 6\r\n\r\nhello!",
    "length-negative": OK + b"Content-Length: -5\r\n\r\nhello",
    "length-plus": OK + b"Content-Length: +5\r\n\r\nhello",
    "length-hex": OK + b"Content-Length: 0x5\r\n\r\nhello",
    "length-empty": OK + b"Content-Length:\r\n\r\nhello",
    "length-blank-inside": OK + b"Content-Length: 1 0\r\n\r\nhello",
    "length-overflow": OK + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "length-huge-digits": OK + b"Content-Length: " + b"9" * 4000 + b"\r\n\r\nhello",
    "chunked-twice": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked-in-two-fields": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked-not-last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "coding-unknown": OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding-with-control": OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "obs-fold": OK + b"X-A: one\r\n two\r\nContent-Length: 2\r\n\r\nok",
    "fold-first": OK + b" X-A: one\r\nContent-Length: 2\r\n\r\nok",
    "blank-before-colon": OK + b"Content-Length : 2\r\n\r\nok",
    "tab-before-colon": OK + b"Content-Length\t: 2\r\n\r\nok",
    "no-colon": OK + b"X-A\r\nContent-Length: 2\r\n\r\nok",
    "no-name": OK + b": x\r\nContent-Length: 2\r\n\r\nok",
    "nul-in-name": OK + b"X-\0A: x\r\nContent-Length: 2\r\n\r\nok",
    "nul-in-value": OK + b"X-A: x\0y\r\nContent-Length: 2\r\n\r\nok",
    "cr-in-value": OK + b"X-A: x\ry\r\nContent-Length: 2\r\n\r\nok",
    "high-bit-in-name": OK + b"X-\xffA: x\r\nContent-Length: 2\r\n\r\nok",
    "brackets-in-name": OK + b"X[A]: x\r\nContent-Length: 2\r\n\r\nok",
    "bare-lf-lines": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bare-lf-once": OK + b"X-A: b\nContent-Length: 2\r\n\r\nok",
    "bare-cr-line": OK + b"X-A: b\rContent-Length: 2\r\n\r\nok",
    "bare-lf-at-the-end": OK + b"Content-Length: 2\r\n\nok",
    "switching-protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "chunk-size-empty": OK + b"Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n",
    "chunk-size-no-hex": OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
    "chunk-size-negative": OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-0x": OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-overflow": OK + b"Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
    "chunk-size-long": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 5000 + b"5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-blank-before": OK + b"Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-blank-within": OK + b"Transfer-Encoding: chunked\r\n\r\n0 5\r\nhello\r\n0\r\n\r\n",
    "chunk-size-blank-and-cr": OK + b"Transfer-Encoding: chunked\r\n\r\n5 \r \r\nhello\r\n0\r\n\r\n",
    "chunk-size-bare-lf": OK + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "chunk-longer-than-size": OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "chunk-without-crlf": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n",
    "chunk-extension-without-end": OK + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"a" * 100000,
    "trailer-without-colon": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-A\r\n\r\n",
    "chunked-in-http-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(lab: Lab, name: str) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(MALFORMED[name])
        link.hold()

    server = lab.serve(behave)
    error = lab.failed(server.url(), RemoteProtocolError, code="H1_PROTOCOL", raises=name == "not-http")
    assert error.request_sent
    assert len(error.message.split(": ", 1)[1].split()) > 4  # a sentence
    assert server.connections == (2 if name == "not-http" else 1)


def test_nothing_behind_a_malformed_answer_is_used(lab: Lab) -> None:
    """Request smuggling: the second request must not get what the first one's answer had behind its end."""
    smuggled = OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMALL

    def behave(link: Link) -> None:
        link.request()
        link.send(smuggled) if link.number == 0 else link.answer(b"second")
        link.hold()

    server = lab.serve(behave)
    session = lab.open()
    assert isinstance(session.get(server.url()).error, RemoteProtocolError)
    assert session.get(server.url()).content == b"second"


# ------------------------------------------------------------------------------------------------------- too much

ENDLESS = {
    "status-line": (b"HTTP/1.1 200 ", b"x" * 4096, "HEADER_LIMIT"),
    "value": (OK + b"X-A: ", b"x" * 65536, "HEADER_LIMIT"),
    "name": (OK, b"x" * 65536, "HEADER_LIMIT"),
    "fields": (OK, b"X-A: b\r\n" * 500, "HEADER_LIMIT"),
    "large-fields": (OK, b"X-A: " + b"b" * 8000 + b"\r\n", "HEADER_LIMIT"),
    "no-line": (b"", b"z" * 4096, "H1_PROTOCOL"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10, "H1_PROTOCOL"),
    "early-hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 10, "H1_PROTOCOL"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n" * 500, "HEADER_LIMIT"),
    "chunk-extensions": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 4000 + b"\r\nx\r\n", "H1_PROTOCOL"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_without_end(lab: Lab, name: str) -> None:
    """Sent until the client hangs up: it must, soon, and without having kept it all."""
    start, piece, code = ENDLESS[name]
    sent = 0

    def behave(link: Link) -> None:
        nonlocal sent
        link.request()
        link.send(start)
        while True:
            link.send(piece)
            sent += len(piece)
            assert sent < 64 << 20, "the client reads without end"

    server = lab.serve(behave)
    lab.failed(server.url(), RemoteProtocolError, code=code, raises=False)


def test_a_large_header_section_below_the_limit(lab: Lab) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (index, b"v" * 200) for index in range(900))
    server = lab.serve(answer_http(OK + lines + b"Content-Length: 2\r\n\r\nok"))
    response = lab.good(server.url())
    assert response.headers["x-899"] == "v" * 200


# ------------------------------------------------------------------------------------------------------- strange but right

STRANGE = {
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "empty-reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
    "reason-in-utf-8": "HTTP/1.1 200 Schön\r\nContent-Length: 2\r\n\r\nok".encode(),
    "http-1.0": b"HTTP/1.0 200 OK\r\n\r\nok",
    "until-the-end": OK + b"\r\nok",
    "same-length-twice": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "value-with-latin-1": OK + b"X-A: caf\xe9\r\nContent-Length: 2\r\n\r\nok",
    "empty-value": OK + b"X-A:\r\nContent-Length: 2\r\n\r\nok",
    "no-blank-behind-colon": OK + b"X-A:b\r\nContent-Length:2\r\n\r\nok",
    "tabs": OK + b"X-A:\t b \t\r\nContent-Length:\t2\t\r\n\r\nok",
    "leading-zeros": OK + b"Content-Length: 0000000002\r\n\r\nok",
    "case": OK + b"CONTENT-length: 2\r\nconnection: CLOSE\r\n\r\nok",
    "chunked-case": OK + b"Transfer-Encoding: CHUNKED\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "chunk-extension": OK + b'Transfer-Encoding: chunked\r\n\r\n2;a=b;c="d"\r\nok\r\n0\r\n\r\n',
    "chunk-size-zeros": OK + b"Transfer-Encoding: chunked\r\n\r\n0000002\r\nok\r\n000\r\n\r\n",
    "chunk-size-padded": OK + b"Transfer-Encoding: chunked\r\n\r\n2    \r\nok\r\n0 \t  \r\n\r\n",
    "one-continue": b"HTTP/1.1 100 Continue\r\n\r\n" + SMALL,
    "sixteen-interim": b"HTTP/1.1 102 Processing\r\nX-A: b\r\n\r\n" * 16 + SMALL,
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("split", [False, True])
def test_strange_but_right(lab: Lab, name: str, split: bool) -> None:
    def behave(link: Link) -> None:
        link.request()
        if split:
            for index in range(len(STRANGE[name])):
                link.send(STRANGE[name][index : index + 1])
        else:
            link.send(STRANGE[name])
        link.close()

    server = lab.serve(behave)
    assert lab.good(server.url()).content == b"ok"


def test_twenty_interim_answers_are_too_many(lab: Lab) -> None:
    server = lab.serve(answer_http(b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + SMALL))
    lab.failed(server.url(), RemoteProtocolError, "interim", code="H1_PROTOCOL")


def test_trailers(lab: Lab) -> None:
    body = b"5\r\nhello\r\n0\r\nX-Sum: 42\r\nContent-Length: 99\r\nSet-Cookie: trailer=1\r\n\r\n"
    server = lab.serve(answer_http(OK + b"Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n" + body))
    session = lab.open()
    response = session.get(server.url())
    assert response.content == b"hello"
    assert response.trailers["x-sum"] == "42"
    assert "x-sum" not in response.headers
    assert "content-length" not in response.headers
    assert "trailer" not in session.client.cookies  # RFC 9110 6.5.1: no cookie from behind a body


def test_unknown_status_codes(lab: Lab) -> None:
    for status in (299, 499, 599, 600, 799, 999):
        server = lab.serve(answer_http(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok".encode()))
        response = lab.get(server.url())
        assert response.status_code == status
        assert response.content == b"ok"
        assert response.error is None


def test_values_reach_the_caller_unchanged(lab: Lab) -> None:
    server = lab.serve(answer_http(OK + b"X-A: \x80\xff caf\xe9 {}\r\nX-A: 2\r\nContent-Length: 0\r\n\r\n"))
    response = lab.good(server.url())
    assert response.headers["x-a"].endswith("2")
    assert "{}" in response.headers["x-a"]
