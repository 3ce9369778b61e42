"""Cookies of servers that mean harm: too many, too large, for others, and on every hop."""

from __future__ import annotations

import time
from typing import Any

import pytest

from lab import Lab
from peers.fake import Fake, Link, Seen
from tls_requests.exceptions import HTTPError


def reply(*fields: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", "Content-Length: 0", *fields, "", ""]).encode("latin-1")


def speak(lab: Lab, answers: list[bytes]) -> tuple[Fake, list[Seen]]:
    """A server with these answers in turn, the last one for the rest; and what it was asked."""
    asked: list[Seen] = []

    def behave(link: Link) -> None:
        while True:
            asked.append(link.request())
            link.send(answers[min(len(asked), len(answers)) - 1])

    return lab.serve(behave), asked


def cookie_of(seen: Seen) -> str:
    lines = [line for line in seen.head.decode("latin-1").split("\r\n") if line.lower().startswith("cookie:")]
    assert len(lines) <= 1
    return "".join(lines).partition(": ")[2]


def test_ten_thousand_in_one_answer(lab: Lab) -> None:
    """More fields than a head may have: the answer is refused, and nothing of it kept."""
    server, _ = speak(lab, [reply(*(f"Set-Cookie: n{number}=1" for number in range(10000)))])
    session = lab.open()
    start = time.monotonic()
    response = session.get(server.url())
    assert response.status_code == 0 and isinstance(response.error, HTTPError)
    assert time.monotonic() - start < 2 and not session.client.cookies


def test_ten_thousand_in_many_answers(lab: Lab) -> None:
    """The limit of a site holds, what is sent stays small, and another site's cookies stay."""
    answers = [reply(*(f"Set-Cookie: n{part}_{number}=1" for number in range(500))) for part in range(20)]
    server, asked = speak(lab, [*answers, reply()])
    session = lab.open()
    session.client.cookies.set("bank", "1", domain="bank.example")
    start = time.monotonic()
    for _ in range(21):
        assert session.get(server.url()).status_code == 200
    assert time.monotonic() - start < 4
    assert len(session.client.cookies) == 181 and session.client.cookies["bank"] == "1"
    sent = cookie_of(asked[-1]).split("; ")
    assert sent == [f"n19_{number}=1" for number in range(320, 500)]


def test_one_of_a_megabyte(lab: Lab) -> None:
    server, _ = speak(lab, [reply(f"Set-Cookie: a={'x' * (1 << 20)}")])
    session = lab.open()
    response = session.get(server.url())
    assert response.status_code == 0 and isinstance(response.error, HTTPError)
    assert not session.client.cookies


def test_large_ones_are_ignored(lab: Lab) -> None:
    fields = [f"Set-Cookie: big={'x' * 5000}", f"Set-Cookie: {'n' * 5000}=1", f"Set-Cookie: path=1; Path=/{'p' * 5000}"]
    server, asked = speak(lab, [reply(*fields, "Set-Cookie: good=1"), reply()])
    session = lab.open()
    session.get(server.url())
    session.get(server.url())
    # an attribute past 1,024 bytes is ignored, the cookie with it is not
    assert cookie_of(asked[-1]) == "path=1; good=1"


@pytest.mark.parametrize(
    "attributes",
    [
        "Domain=com",
        "Domain=.com",
        "Domain=0.0.1",
        "Domain=.0.0.1",
        "Domain=1",
        "Domain=example.com",
        "Domain=x.localhost",
        "Domain=ocalhost",
        "Domain=127.0.0.1.evil.example",
        "Domain=\xe9",
        "Domain=*",
        "Domain=127.0.0.1:80",
        "Secure; SameSite=None; Domain=google.com",
    ],
)
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_cookies_for_others(lab: Lab, host: str, attributes: str) -> None:
    server, asked = speak(lab, [reply(f"Set-Cookie: evil=1; {attributes}", "Set-Cookie: good=1")])
    session = lab.open()
    url = server.url().replace("localhost", host)
    response = session.get(url)
    session.get(url)
    assert dict(session.client.cookies) == dict(response.cookies) == {"good": "1"}
    assert cookie_of(asked[-1]) == "good=1"


@pytest.mark.parametrize(
    "value",
    [
        b"evil=\x01",
        b"evil=a\x7fb",
        b"e\x1bvil=1",
        b"evil=1; Path=/\x02",
        b"__Host-evil=1; Path=/",
        b"__secure-evil=1",
        b"=__Host-evil",
    ],
)
def test_values_that_are_none(lab: Lab, value: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: " + value + b"\r\nSet-Cookie: good=1\r\n\r\n"
    server, asked = speak(lab, [head, reply()])
    session = lab.open()
    session.get(server.url())
    assert "evil" not in str(session.client.cookies)
    session.get(server.url())
    assert "evil" not in cookie_of(asked[-1])


def test_bytes_that_are_no_text_come_back_as_they_were(lab: Lab) -> None:
    server, asked = speak(lab, [b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: a=\xe9\xff\r\n\r\n", reply()])
    session = lab.open()
    session.get(server.url())
    assert session.client.cookies["a"] == "\xe9\xff"
    session.get(server.url())
    assert cookie_of(asked[-1]).encode("latin-1") == b"a=\xe9\xff"


def redirect(location: str, *fields: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 302 X", "Content-Length: 0", f"Location: {location}", *fields, "", ""]).encode()


def test_deletions_on_every_hop(lab: Lab) -> None:
    gone: list[Any] = ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT", "Expires=1 jan 70 0:0:0"]
    hops = [redirect(f"/{n}", f"Set-Cookie: a{n}=; {text}", f"Set-Cookie: b{n}=1") for n, text in enumerate(gone)]
    server, asked = speak(lab, [reply(*(f"Set-Cookie: a{n}=1" for n in range(4))), *hops, reply()])
    session = lab.open()
    session.get(server.url())
    response = session.get(server.url())
    assert [cookie_of(seen) for seen in asked] == [
        "",
        "a0=1; a1=1; a2=1; a3=1",
        "a1=1; a2=1; a3=1; b0=1",
        "a2=1; a3=1; b0=1; b1=1",
        "a3=1; b0=1; b1=1; b2=1",
        "b0=1; b1=1; b2=1; b3=1",
    ]
    assert dict(response.cookies) == dict(session.client.cookies) == {f"b{n}": "1" for n in range(4)}


def test_a_redirect_loop_that_sets_cookies(lab: Lab) -> None:
    server, asked = speak(lab, [redirect("/again", *(f"Set-Cookie: c{n}={'x' * 1000}; Path=/" for n in range(100)))])
    session = lab.open()
    with pytest.raises(HTTPError):
        session.get(server.url())
    assert len(asked) <= 10 and len(session.client.cookies) <= 100
