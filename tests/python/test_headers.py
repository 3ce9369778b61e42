"""Header fields on the wire, byte for byte: order, spelling, duplicates, removals, both ways through a call, both versions of HTTP."""

from __future__ import annotations

import copy
import pickle
import random
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from peers.fake import close_listener
from tls_requests import Headers, Request, exceptions

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from fingerprint import server

# Drawn headers contradict each other now and then: that is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::tls_requests.exceptions.ContradictionWarning")

ANSWER = (
    b"HTTP/1.1 200 OK\r\nX-Dup: 1\r\nContent-Type: text/plain\r\nx-DUP: 2\r\nSet-Cookie: a=1\r\nX-Latin: caf\xe9\r\nset-cookie: b=2\r\n"
    b"Content-Length: 2\r\n\r\nok"
)


class Raw:
    """Keeps the bytes of each request; answers the same."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.requests: list[bytes] = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        sock.settimeout(30)
        data = b""
        with sock:
            while True:
                while b"\r\n\r\n" not in data:
                    try:
                        more = sock.recv(65536)
                    except OSError:
                        return
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b"\r\n\r\n")
                length = 0
                for line in head.split(b"\r\n")[1:]:
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                while len(data) < length:
                    data += sock.recv(65536)
                body, data = data[:length], data[length:]
                self.requests.append(head + b"\r\n\r\n" + body)
                sock.sendall(ANSWER)

    def pairs(self, index: int = -1) -> list[tuple[bytes, bytes]]:
        head = self.requests[index].partition(b"\r\n\r\n")[0]
        lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
        return [(name, value.strip(b" ")) for name, _, value in lines]

    def names(self, index: int = -1) -> list[str]:
        return [name.decode() for name, _ in self.pairs(index)]


@pytest.fixture
def raw() -> Iterator[Raw]:
    peer = Raw()
    yield peer
    close_listener(peer.listener)


class Recorder(server.Server):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.requests: list[server.Request] = []

    def respond(self, connection: Any, request: Any) -> Any:
        self.requests.append(request)
        return server.Response(200, [("x-dup", "1"), ("a", "b"), ("x-dup", "2")], b"ok")


@pytest.fixture
def h2(server_pair: Any) -> Iterator[Recorder]:
    peer = Recorder("127.0.0.1", 0, str(server_pair.both)).start()
    yield peer  # type: ignore[misc]
    peer.stop()


CHAIN = {"hooks": {"request": [lambda request: None]}}
NAMES = [
    "Accept", "accept-language", "X-One", "x-two", "X-ThReE", "Authorization", "Cookie", "Referer", "origin", "Cache-Control",
    "sec-ch-ua", "SEC-FETCH-SITE", "Content-Type", "priority", "DNT", "Pragma", "Host", "If-None-Match", "upgrade-insecure-requests",
]  # fmt: skip
VALUES: list[Any] = ["v", "a b, c", "", b"raw", "caf\u00e9", None, None, 5, True, ["x", "y"]]


def draw(rnd: random.Random, agent: bool) -> Any:
    names = rnd.sample(NAMES, rnd.randint(0, 7)) + ([rnd.choice(["User-Agent", "user-agent"])] if agent else [])
    rnd.shuffle(names)
    pairs = [(name, "example.com" if name == "Host" else rnd.choice(VALUES)) for name in names]
    form = rnd.randrange(4)
    if form == 0:
        return dict(pairs)
    if form == 1:
        return pairs + [(name, "again") for name, value in pairs[:1] if value is not None and name != "Host"]
    if form == 2:
        return Headers(pairs)
    return Headers(pairs, alias="*")


BODIES: list[dict[str, Any]] = [{}, {}, {"json": {"a": 1}}, {"data": {"a": "b"}}, {"data": b"raw"}, {"content": "text"}]


def cases(num: int) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    rnd = random.Random(20261127)
    for _ in range(num):
        client: dict[str, Any] = {}
        if rnd.random() < 0.5:
            client["headers"] = draw(rnd, rnd.random() < 0.2)
            if isinstance(client["headers"], list) and not client["headers"]:
                del client["headers"]
        elif rnd.random() < 0.1:
            client["headers"] = None
        client["client_identifier"] = rnd.choice(["chrome_133", "chromium_156", "firefox_153"])
        call: dict[str, Any] = dict(rnd.choice(BODIES))
        if rnd.random() < 0.7:
            call["headers"] = draw(rnd, rnd.random() < 0.3)
        if rnd.random() < 0.3:
            call["cookies"] = {"own": "1", "two": "2"}
        if rnd.random() < 0.2:
            client["auth"] = ("user", "password")
        yield client, rnd.choice(["GET", "POST", "PUT", "HEAD"] if not call else ["POST", "PUT", "PATCH", "GET"]), call


def outcome(twin: Any, client: dict[str, Any], method: str, url: str, call: dict[str, Any]) -> str:
    with twin.client(**copy.deepcopy(client)) as sender:
        response = sender.request(method, url, **copy.deepcopy(call))
        return "" if response.status_code == 200 else response.text


def test_both_ways_send_the_same_bytes(twin: Any, raw: Raw) -> None:
    answered = 0
    for client, method, call in cases(250):
        before = len(raw.requests)
        method = "GET" if method == "HEAD" else method  # the peer answers with a body
        short = outcome(twin, client, method, raw.base + "/p?q=1", call)
        chain = outcome(twin, {**client, **CHAIN}, method, raw.base + "/p?q=1", call)
        assert short == chain, (client, method, call)
        sent = raw.requests[before:]
        if short == "":
            assert len(sent) == 2 and sent[0] == sent[1], (client, method, call)
            answered += 1
        else:
            assert sent == []
    assert answered > 200


def test_both_ways_send_the_same_fields_over_http2(twin: Any, h2: Recorder, ca_file: str) -> None:
    for client, method, call in cases(60):
        h2.requests.clear()
        method = "GET" if method == "HEAD" else method
        url = f"https://localhost:{h2.port}/p"
        assert outcome(twin, {**client, "verify": ca_file}, method, url, call) == ""
        assert outcome(twin, {**client, "verify": ca_file, **CHAIN}, method, url, call) == ""
        one, two = h2.requests
        assert (one.method, one.headers, one.body) == (two.method, two.headers, two.body), (client, method, call)
        assert all(name == name.lower() for name, _ in one.headers)


def expected_exact(client: Any, call: Any) -> list[str]:
    """Names of the caller's fields in his order, when he gave a user-agent: an updated one moves to the end."""
    names: list[str] = []
    for source in (client, call):
        items = (
            source.multi_items()
            if isinstance(source, Headers)
            else source.items()
            if isinstance(source, dict)
            else source or []
        )
        given = [(name, value) for name, value in items]
        names = [name for name in names if name.lower() not in {other.lower() for other, _ in given}]
        names += [name for name, _ in given]
    return [name.lower() for name in names]


def test_with_a_user_agent_nothing_but_the_callers_headers(twin: Any, raw: Raw) -> None:
    rnd = random.Random(7)
    skipped = {"host", "content-length", "cookie", "content-type", "connection"}
    for _ in range(120):
        own = dict.fromkeys(rnd.sample([name for name in NAMES if name != "Host"], 5), "v")
        call = {"User-Agent": "me", **dict.fromkeys(rnd.sample(NAMES[:6], 2), "w")}
        if rnd.random() < 0.5:
            own, call = (
                {**own, "user-agent": "client"},
                {name: value for name, value in call.items() if name != "User-Agent"},
            )
        with twin.client(headers=own) as client:
            response = client.post(raw.base + "/", headers=call, json={})
            assert response.status_code == 200
        sent = [name.lower() for name in raw.names()]
        wanted = expected_exact(own, call)
        assert [name for name in sent if name not in skipped] == [name for name in wanted if name not in skipped]
        assert set(sent) <= {*wanted, "host", "content-length", "content-type"}


def test_a_value_replaces_the_browsers_in_its_place(twin: Any, raw: Raw) -> None:
    with twin.client() as client:
        client.get(raw.base + "/")
        client.get(raw.base + "/", headers={"accept": "mine", "sec-ch-ua-platform": '"Plan 9"'})
    # The peer set cookies.
    plain, changed = ([item for item in raw.pairs(n) if item[0] != b"Cookie"] for n in (0, 1))
    assert [name for name, _ in plain] == [name for name, _ in changed]
    assert [
        b"mine" if name == b"Accept" else b'"Plan 9"' if name == b"sec-ch-ua-platform" else value
        for name, value in plain
    ] == [value for _, value in changed]


@pytest.mark.parametrize("chain", [False, True])
def test_none_removes(twin: Any, raw: Raw, chain: bool) -> None:
    ways = CHAIN if chain else {}
    with twin.client(headers={"Accept-Language": None}, **ways) as client:
        client.get(raw.base + "/")
        assert "Accept-Language" not in raw.names() and "Accept" in raw.names()
        response = client.get(raw.base + "/", headers={"accept": None, "X-Empty": "", "X-None": None})
        assert not {"Accept", "Accept-Language", "X-None"} & set(raw.names())
        assert (b"X-Empty", b"") in raw.pairs()
        assert not {"accept", "accept-language", "x-none"} & set(response.request.headers)
        client.headers["accept-language"] = "de"
        client.get(raw.base + "/", headers={"user-agent": None})
        assert "User-Agent" not in raw.names() and "sec-ch-ua" in raw.names()  # removing it is not giving one
        assert dict(raw.pairs())[b"Accept-Language"] == b"de"
    headers = Headers({"a": None, "b": ""})
    assert headers["a"] == "" and headers == {"a": "", "b": ""} and repr(headers) == "<Headers: {'a': '', 'b': ''}>"
    for twin_headers in (copy.deepcopy(headers), pickle.loads(pickle.dumps(headers)), headers.copy()):
        with twin.client(headers=twin_headers, **ways) as client:
            client.get(raw.base + "/", headers={"Accept": "x"})
            assert "a" not in raw.names() and "b" in raw.names()


def test_duplicates_both_directions(twin: Any, raw: Raw, h2: Recorder, ca_file: str) -> None:
    pairs = [("X-A", "1"), ("X-B", "2"), ("x-a", "3")]
    with twin.client(verify=ca_file) as client:
        response = client.get(raw.base + "/", headers=pairs)
        assert [value for name, value in raw.pairs() if name.lower() == b"x-a"] == [b"1", b"3"]
        assert response.raw_headers == [
            (b"X-Dup", b"1"),
            (b"Content-Type", b"text/plain"),
            (b"x-DUP", b"2"),
            (b"Set-Cookie", b"a=1"),
            (b"X-Latin", b"caf\xe9"),
            (b"set-cookie", b"b=2"),
            (b"Content-Length", b"2"),
        ]
        assert response.headers["x-dup"] == "1,2" and response.headers.get_list("set-cookie") == ["a=1", "b=2"]
        response = client.get(f"https://localhost:{h2.port}/", headers=pairs)
        assert [value for name, value in h2.requests[0].headers if name == "x-a"] == ["1", "3"]
        assert [pair for pair in response.raw_headers if pair[0] != b"content-length"] == [
            (b"x-dup", b"1"),
            (b"a", b"b"),
            (b"x-dup", b"2"),
        ]
        # A list is one field.
        client.get(raw.base + "/", headers={"X-A": ["1", "3"]})
        assert (b"X-A", b"1,3") in raw.pairs()


@pytest.mark.parametrize("chain", [False, True])
def test_what_was_sent_is_visible(twin: Any, raw: Raw, h2: Recorder, ca_file: str, chain: bool) -> None:
    ways = CHAIN if chain else {}
    call = {"headers": {"X-Own": "1", "Accept": "mine"}, "json": {"a": 1}, "cookies": {"c": "1"}}
    with twin.client(verify=ca_file, **ways) as client:
        response = client.post(raw.base + "/", **call)
        assert response.request.raw_headers == raw.pairs()
        wire = [name.lower() for name in raw.names() if name.lower() not in ("host", "cookie")]
        assert list(response.request.headers) == [*wire, "host"]
        assert response.request.headers["host"] == "127.0.0.1"  # spec 21.2: without the port
        assert response.request.headers["content-length"] == "7"
        assert response.request.cookies["c"] == "1"
        response = client.post(f"https://localhost:{h2.port}/", **call)
        assert [[name.decode(), value.decode()] for name, value in response.request.raw_headers] == h2.requests[
            0
        ].headers
        names = [name for name, _ in h2.requests[0].headers if name != "cookie"]
        assert list(response.request.headers) == [*names, "host"]


def test_a_request_can_be_sent_again(twin: Any, raw: Raw) -> None:
    request = Request(
        "POST", raw.base + "/", json={}, headers=[("X-B", "1"), ("accept", None), ("X-A", "2"), ("x-b", "3")]
    )
    with twin.client() as client:
        for _ in range(3):
            response = client.send(request)
            assert response.status_code == 200 and response.request is request
        assert request.raw_headers == raw.pairs()
        assert pickle.loads(pickle.dumps(request)).raw_headers == raw.pairs()
    assert raw.requests[0] == raw.requests[1] == raw.requests[2]
    assert raw.names().count("X-B") == 2 or [name.lower() for name in raw.names()].count("x-b") == 2
    assert "Accept" not in raw.names()


ORDER = ["x-b", "Accept", "X-A", "user-agent", "not-there"]


@pytest.mark.parametrize("option", ["headerOrder", "header_order"])
def test_header_order(twin: Any, raw: Raw, h2: Recorder, ca_file: str, option: str) -> None:
    own = {"X-A": "1", "X-B": "2"}
    with twin.client(**{option: ORDER}) as client:
        client.get(raw.base + "/", headers=own)
        of_client = raw.names()
    with twin.client(verify=ca_file) as client:
        client.get(raw.base + "/", headers=own, **{option: tuple(ORDER)})
        of_call = raw.names()
        client.get(f"https://localhost:{h2.port}/", headers=own, **{option: ORDER})
    tls_requests.get(raw.base + "/", headers=own, **{option: ORDER})
    assert of_client == of_call == raw.names()
    assert of_call[1:5] == ["X-B", "Accept", "X-A", "User-Agent"]
    assert [name for name, _ in h2.requests[0].headers][:4] == ["x-b", "accept", "x-a", "user-agent"]
    with twin.client() as client:
        client.get(raw.base + "/", headers={**own, "User-Agent": "me", "X-C": "3"}, **{option: ["x-c", "x-b"]})
    assert raw.names() == ["Host", "X-C", "X-B", "X-A", "User-Agent"] or raw.names()[:3] == ["Host", "X-C", "X-B"]


@pytest.mark.parametrize("order", [5, [5], ["a b"], ["a\r\nb"], [None], [""]])
def test_a_bad_header_order(twin: Any, raw: Raw, order: Any) -> None:
    with twin.client() as client, pytest.raises(exceptions.HeaderError, match="headerOrder"):
        client.get(raw.base + "/", headerOrder=order)
    with pytest.raises(exceptions.HeaderError, match="headerOrder"):
        tls_requests.Client(header_order=order)
    assert raw.requests == []


def test_an_https_page_tells_http_nothing(twin: Any, raw: Raw) -> None:
    with twin.client() as client:
        client.post(raw.base + "/", data={"a": "b"}, page="https://127.0.0.1/secret")
    assert "Referer" not in raw.names() and dict(raw.pairs())[b"Origin"] == b"null"
