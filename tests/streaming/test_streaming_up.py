"""Request bodies in pieces: what goes out, how it is framed, when it is read, and every way it can go wrong."""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
import threading
import time

import pytest

import tls_requests
from peers.fake import CANCEL, RST_STREAM, tls_context
from tls_requests.exceptions import HeaderError, ProtocolError, WriteTimeout

PIECES = [b"piece %d " % number * 50 for number in range(400)]
WHOLE = b"".join(PIECES)


def numbers(log=None):
    for piece in PIECES:
        if log is not None:
            log.append(len(piece))
        yield piece


async def anumbers(log=None):
    for piece in PIECES:
        await asyncio.sleep(0)
        if log is not None:
            log.append(len(piece))
        yield piece


class Again:
    """An iterable that can be read again, and counts how often it was."""

    def __init__(self):
        self.times = 0

    def __iter__(self):
        self.times += 1
        return iter(PIECES)


class AgainLater:
    def __init__(self):
        self.times = 0

    async def __aiter__(self):
        self.times += 1
        for piece in PIECES:
            yield piece


LENGTH = len(WHOLE)


def check(answer, length=LENGTH, declared=-1, data=WHOLE):
    seen = answer.json()
    assert (seen["length"], seen["declared"]) == (length, declared)
    assert seen["sha256"] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("argument", ["content", "data"])
def test_iterators(api, go, version, argument):
    client = api.open(**version)
    url = go.url("/digest")
    sources = [numbers(), list(PIECES), Again(), map(bytes, PIECES), (memoryview(piece) for piece in PIECES)]
    if api.is_async:
        sources += [anumbers(), AgainLater()]
    for source in sources:
        answer = api.call("post", url, client=client, **{argument: source})
        check(answer)
        assert answer.json()["encoding"] == (None if version["http2"] else ["chunked"])
        assert answer.json()["type"] == ""
    assert api.call("get", url, client=client).status_code == 200


def test_an_asynchronous_iterator_needs_the_asynchronous_client(ca_file):
    with tls_requests.Client() as client, pytest.raises(TypeError, match="AsyncClient"):
        client.post("http://127.0.0.1:1/", content=anumbers())


def test_files(api, go, version, tmp_path):
    path = tmp_path / "body.bin"
    path.write_bytes(WHOLE * 20)
    client = api.open(**version)
    with path.open("rb") as file:
        for _ in range(2):  # from its start each time
            check(
                api.call("post", go.url("/digest"), client=client, content=file),
                len(WHOLE) * 20,
                len(WHOLE) * 20,
                WHOLE * 20,
            )
        assert not file.closed
    check(api.call("put", go.url("/digest"), client=client, data=io.BytesIO(WHOLE)), declared=len(WHOLE))
    with open(tmp_path / "text", "w+", encoding="utf-8") as text:
        text.write("äöü")
        text.flush()
        check(api.call("post", go.url("/digest"), client=client, content=text), 6, -1, "äöü".encode())


class Unseekable(io.RawIOBase):
    def __init__(self, data):
        self.data = io.BytesIO(data)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.data.readinto(buffer)


def test_a_readable_without_a_length(api, go, version):
    client = api.open(**version)
    check(api.call("post", go.url("/digest"), client=client, content=io.BufferedReader(Unseekable(WHOLE))))


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: memoryview(bytearray(data))[:]])
def test_buffers_are_lent(api, go, version, kind):
    data = kind(WHOLE * 10)
    client = api.open(**version)
    check(
        api.call("post", go.url("/digest"), client=client, content=data), len(WHOLE) * 10, len(WHOLE) * 10, WHOLE * 10
    )
    if isinstance(data, bytearray):
        data.extend(b"free again")  # BufferError while it is lent


def test_a_declared_length(api, go, version):
    client = api.open(**version)
    headers = {"Content-Length": str(len(WHOLE))}
    check(api.call("post", go.url("/digest"), client=client, content=numbers(), headers=headers), declared=len(WHOLE))


@pytest.mark.parametrize("wrong", [-1, 1, -len(PIECES[0]) * 200])
def test_a_wrong_length_is_an_error_and_spoils_the_connection(api, go, version, wrong):
    client = api.open(**version)
    url = go.url("/digest")
    assert api.call("get", url, client=client).status_code == 200
    with pytest.raises(ProtocolError, match=r"shorter|longer") as caught:
        api.call("post", url, client=client, content=numbers(), headers={"Content-Length": str(len(WHOLE) + wrong)})
    assert caught.value.code == "REQUEST_BODY"
    check(api.call("post", url, client=client, content=WHOLE), declared=len(WHOLE))


@pytest.mark.parametrize("declared", [1, 20_000])
def test_what_comes_late_is_still_too_much(api, go, version, declared):
    """The server would have answered long ago, had it been sent what was declared."""

    def slow():
        yield b"x" * declared
        time.sleep(0.3)
        yield b"more"

    client = api.open(**version)
    with pytest.raises(ProtocolError, match="longer") as caught:
        api.call("post", go.url("/digest"), client=client, content=slow(), headers={"Content-Length": str(declared)})
    assert caught.value.code == "REQUEST_BODY"


def test_an_iterator_that_raises(api, go, version):
    def bad():
        yield b"some"
        yield b"more"
        raise KeyError("no more")

    async def abad():
        yield b"some"
        raise KeyError("no more")

    class NotBytes:
        def __iter__(self):
            return iter([b"a", "text"])

    for raising in (False, True):
        client = api.open(raise_on_error=raising, **version)
        sources = [bad()] + ([abad()] if api.is_async else [])
        for source in sources:
            with pytest.raises(ProtocolError, match="KeyError") as caught:
                api.call("post", go.url("/digest"), client=client, content=source)
            assert isinstance(caught.value.__cause__, KeyError) and caught.value.code == "REQUEST_BODY"
        with pytest.raises(ProtocolError, match="bytes, not str"):
            api.call("post", go.url("/digest"), client=client, content=NotBytes())
        assert api.call("get", go.url("/"), client=client).status_code == 200


@pytest.mark.parametrize("fault", ["raises", "long", "short"])
@pytest.mark.parametrize("late", [False, True])
def test_a_failure_of_the_body_tells_what_was_sent(api, fault, late):
    """The facts are those of the request, whoever found the fault: the source, or the count of its bytes."""
    heads = []
    seen = threading.Event()

    def behave(link):
        heads.append(link.receive())
        seen.set()
        link.hold()

    def bad():
        if late:
            yield b"x"
            assert seen.wait(20)
        if fault == "raises":
            raise KeyError
        yield b"" if fault == "short" else b"five!"

    # Where the handshake is never answered, nothing of the request can have been sent.
    fake = api.fake(behave if late else lambda link: link.hold())
    headers = {} if fault == "raises" else {"content-length": "4"}
    with pytest.raises(ProtocolError) as caught:
        api.call("post", fake.url(scheme="http" if late else "https"), content=bad(), headers=headers)
    error = caught.value
    assert error.code == "REQUEST_BODY"
    assert error.request_sent is late and bool(heads) is late
    assert error.safe_to_retry is not late
    assert error.elapsed is not None and error.phase == "send"
    assert not late or str(error.address).startswith("127.0.0.1:")


@pytest.mark.parametrize("form", ["content", "files"])
def test_a_file_with_nothing_to_read_now(api, go, version, form):
    """A raw file that does not block gives None: that is not its end, and what came before is not the whole body."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, b"some of it")
    try:
        with open(reading, "rb", buffering=0) as file:
            body = {"content": file} if form == "content" else {"files": {"file": file}}
            with pytest.raises(ProtocolError, match="nothing to read") as caught:
                api.call("post", go.url("/digest"), client=api.open(**version), **body)
        assert caught.value.code == "REQUEST_BODY"
        assert isinstance(caught.value.__cause__, BlockingIOError)
    finally:
        os.close(writing)


@pytest.mark.parametrize("value", ["abc", "-1", "+5", "1.5", "5, 5", "9" * 19, "9" * 5000, "\u0663"])
def test_a_declared_length_that_is_none(api, value):
    fake = api.fake(lambda link: link.hold())
    with pytest.raises(HeaderError, match="content-length"):
        api.call("post", fake.url(), content=iter([b"five!"]), headers={"content-length": value})
    assert fake.connections == 0


def test_a_broken_upload_over_http1_is_not_passed_off_as_complete(api):
    got_some = threading.Event()
    seen = []

    def behave(link):
        data = b""
        try:
            while True:
                data += link.receive()
                if b"x" * 10 in data:
                    got_some.set()
        finally:
            seen.append(data)

    def bad():
        yield b"x" * 10
        assert got_some.wait(10)
        raise OSError("disk")

    fake = api.fake(behave)
    with pytest.raises(ProtocolError, match="disk"):
        api.call("post", fake.url(), content=bad())
    end = time.monotonic() + 10
    while not seen and time.monotonic() < end:
        time.sleep(0.01)
    assert b"transfer-encoding: chunked" in seen[0].lower() and seen[0].endswith(b"x" * 10 + b"\r\n")


def test_a_broken_upload_over_http2_resets_the_stream(api, server_pair):
    got_some = threading.Event()
    seen = []

    def behave(link):
        link.begin()
        link.stream()
        got_some.set()
        seen.append(link.until(RST_STREAM))
        link.respond(link.stream(), b"fine")
        link.hold()

    def bad():
        yield b"x" * 10
        assert got_some.wait(10)
        raise OSError("disk")

    fake = api.fake(behave, tls=tls_context(server_pair, ("h2",)), h2=True)
    with pytest.raises(ProtocolError, match="disk"):
        api.call("post", fake.url(), content=bad())
    assert api.call("get", fake.url()).content == b"fine"
    assert int.from_bytes(seen[0].payload, "big") == CANCEL and fake.connections == 1


def test_the_source_is_read_only_as_fast_as_the_socket_drains(api):
    """A server that does not read: of an endless source only what fits the buffers is taken."""
    taken = [0]
    go_on = threading.Event()

    def endless():
        while True:
            taken[0] += 65536
            yield bytes(65536)

    def behave(link):
        link.receive()
        assert go_on.wait(20)
        link.reset()

    fake = api.fake(behave)

    def watch():
        before = -1
        while before != taken[0] or taken[0] == 0:
            before = taken[0]
            time.sleep(0.4)
        go_on.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(tls_requests.HTTPError):
        api.call("post", fake.url(), content=endless())
    watcher.join(20)
    assert taken[0] < 20_000_000


def test_a_slow_source_is_no_timeout_and_a_stalled_server_is(api, go, version):
    def slow():
        for piece in (b"a", b"b", b"c"):
            time.sleep(0.5)
            yield piece

    client = api.open(timeout=0.3, **version)
    if not api.is_async:
        check(client.post(go.url("/digest"), content=slow()), 3, -1, b"abc")
    else:

        async def aslow():
            for piece in (b"a", b"b", b"c"):
                await asyncio.sleep(0.5)
                yield piece

        check(api.call("post", go.url("/digest"), client=client, content=aslow()), 3, -1, b"abc")
    fake = api.fake(lambda link: link.stall())
    with pytest.raises(WriteTimeout):
        api.call(
            "post", fake.url(), client=api.open(timeout={"write": 0.5}), content=(bytes(65536) for _ in range(10_000))
        )


# -------------------------------------------------------------------------------------------------------- early answers


def test_an_early_refusal_stops_the_upload(api, go, version):
    taken = [0]

    def long():
        for _ in range(20_000):
            taken[0] += 1
            yield bytes(65536)

    client = api.open(**version)
    answer = api.call("post", go.url("/early/413"), client=client, content=long())
    assert answer.status_code == 413
    assert taken[0] < 2_000
    assert api.call("get", go.url("/"), client=client).status_code == 200


def test_an_early_answer_of_a_server_that_closes(api):
    def behave(link):
        while b"\r\n\r\n" not in link.receive():
            pass
        link.send(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        time.sleep(0.3)
        link.close()

    fake = api.fake(behave)
    answer = api.call("post", fake.url(), content=(bytes(65536) for _ in range(20_000)))
    assert (answer.status_code, answer.content) == (403, b"no")


def test_an_iterator_is_closed_when_it_is_not_read_to_its_end(api, go):
    started, closed = [], []

    def endless():
        started.append("sync")
        try:
            while True:
                yield bytes(65536)
        finally:
            closed.append("sync")

    async def aendless():
        started.append("async")
        try:
            while True:
                yield bytes(65536)
                await asyncio.sleep(0)
        finally:
            closed.append("async")

    assert api.call("post", go.url("/early/400"), content=endless()).status_code == 400
    if api.is_async:
        assert api.call("post", go.url("/early/400"), content=aendless()).status_code == 400
    assert closed == started  # an answer may be there before the first piece was asked for
    assert started or api.is_async


def test_both_ways_at_once(api, go, version):
    """The answer is read while the request's body still goes: each piece is asked for by the one that came back."""
    client = api.open(**version)
    with api.stream("POST", go.url("/duplex"), client, content=(b"%06d" % number for number in range(3000))) as stream:
        assert b"".join(stream.all()) == b"".join(b"%06d" % number for number in range(3000))


def test_cancelling_an_upload(go, ca_file):
    closed = asyncio.Event()

    async def endless():
        try:
            while True:
                yield bytes(65536)
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async def main():
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.post(go.url("/digest"), content=endless()), 0.4)
            await asyncio.wait_for(closed.wait(), 5)
            assert (await client.get(go.url("/"))).status_code == 200

    asyncio.run(main())


# ---------------------------------------------------------------------------------------------------- again from the start


def test_a_redirect_rewinds_what_can_be_rewound(api, go, version, tmp_path):
    client = api.open(**version)
    url = go.url("/redirect307")
    again = Again()
    check(api.call("post", url, client=client, content=again))
    assert again.times == 2
    check(api.call("post", url, client=client, content=io.BytesIO(WHOLE)), declared=len(WHOLE))
    check(api.call("post", url, client=client, content=bytearray(WHOLE)), declared=len(WHOLE))
    if api.is_async:
        check(api.call("post", url, client=client, content=AgainLater()))
    for raises in (True, False):
        with pytest.raises(ProtocolError, match="second time") as caught:
            api.call("post", url, client=client, content=numbers(), raise_on_error=raises)
        assert caught.value.code == "REQUEST_BODY" and caught.value.request_sent
        assert caught.value.response.status_code == 307
    answer = api.call("post", go.url("/redirect302"), client=client, content=numbers())
    assert answer.text.startswith("chunk 0") and answer.history[0].status_code == 302
    answer = api.call("post", url, client=client, content=numbers(), follow_redirects=False)
    assert answer.status_code == 307


def unchunked(data):
    body = b""
    while data:
        size, data = data.split(b"\r\n", 1)
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body


def test_a_replay_rewinds(api):
    """A kept connection that died: the request is made again, with the body from its start."""

    def behave(link):
        if link.number == 0:
            link.request()
            link.answer(b"first")
            data = b""
            while b"piece" not in data:
                data += link.receive()
            link.close()  # in the middle of the second request
            return
        data = b""
        while b"0\r\n\r\n" not in data:
            data += link.receive()
        link.answer(hashlib.sha256(unchunked(data.split(b"\r\n\r\n", 1)[1])).hexdigest().encode())
        link.hold()

    fake = api.fake(behave)
    assert api.call("get", fake.url()).content == b"first"
    source = Again()
    answer = api.call("put", fake.url(), content=source)
    assert answer.text == hashlib.sha256(WHOLE).hexdigest() and source.times == 2
    fake = api.fake(behave)
    assert api.call("get", fake.url()).content == b"first"
    with pytest.raises(tls_requests.HTTPError):
        api.call("put", fake.url(), content=numbers())


# ------------------------------------------------------------------------------------------------------- expect, progress


@pytest.mark.parametrize("content", [WHOLE, PIECES], ids=["bytes", "pieces"])
def test_expect_continue(api, content):
    order = []

    def behave(link):
        data = link.receive()
        while b"\r\n\r\n" not in data:
            data += link.receive()
        order.append(data.split(b"\r\n\r\n", 1)[1])  # what came with the head
        path = data.split(b" ")[1]
        if path == b"/no":
            link.send(b"HTTP/1.1 417 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            order.append(link.wait(5))
            return
        if path == b"/yes":
            link.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = b""
        start = time.monotonic()
        while len(body) < len(WHOLE):
            body += link.receive()
        order.append(time.monotonic() - start)
        link.answer(b"done", 200, "Connection: close")
        link.hold()

    fake = api.fake(behave)
    headers = {"Expect": "100-continue"}
    assert api.call("post", fake.url("/yes"), content=content, headers=headers).content == b"done"
    assert order[0] == b"" and order[1] < 0.9
    assert api.call("post", fake.url("/silent"), content=content, headers=headers).content == b"done"
    assert order[2] == b"" and 0.5 < order[3] < 5  # sent after a second without a word
    answer = api.call("post", fake.url("/no"), content=content, headers=headers)
    assert answer.status_code == 417 and order[4] == b""


def test_expect_continue_with_go(api, go, version):
    client = api.open(**version)
    answer = api.call("post", go.url("/digest"), client=client, content=PIECES, headers={"Expect": "100-continue"})
    check(answer)


@pytest.mark.parametrize("kind", ["bytes", "iterator", "file", "view"])
def test_progress(api, go, kind):
    seen = []
    sources = {
        "bytes": WHOLE * 10,
        "iterator": iter(PIECES * 10),
        "file": io.BytesIO(WHOLE * 10),
        "view": memoryview(WHOLE * 10),
    }
    answer = api.call(
        "post", go.url("/digest"), content=sources[kind], progress=lambda sent, total: seen.append((sent, total))
    )
    assert answer.json()["length"] == len(WHOLE) * 10
    total = None if kind == "iterator" else len(WHOLE) * 10
    assert seen[-1] == (len(WHOLE) * 10, total)
    assert [sent for sent, _ in seen] == sorted({sent for sent, _ in seen}) and len(seen) > 1


# -------------------------------------------------------------------------------------------------------------- forms


def test_a_form_from_disk(api, go, version, tmp_path):
    path = tmp_path / "größe.bin"
    path.write_bytes(WHOLE * 5)
    client = api.open(**version)
    with path.open("rb") as file:
        answer = api.call("post", go.url("/form"), client=client, data={"a": "b"}, files={"f": file}).json()
    assert answer["parts"] == [
        {"name": "a", "file": "", "length": 1},
        {"name": "f", "file": "größe.bin", "length": len(WHOLE) * 5},
    ]
    assert answer["declared"] > len(WHOLE) * 5
    stream = io.BufferedReader(Unseekable(WHOLE))
    answer = api.call("post", go.url("/form"), client=client, files={"f": stream}).json()
    assert answer["declared"] == -1 and answer["parts"][0]["length"] == len(WHOLE)


def test_the_boundary_is_the_browser_s(api, go):
    forms = {
        "chrome_133": r"----WebKitFormBoundary[A-Za-z0-9]{16}",
        "firefox_120": r"----geckoformboundary[0-9a-f]{2,32}",
    }
    for identifier, form in forms.items():
        client = api.open(client_identifier=identifier)
        boundaries = set()
        for _ in range(3):
            answer = api.call("post", go.url("/form"), client=client, files={"f": b"x"})
            kind = answer.json()["type"]
            assert answer.request.headers["content-type"] == kind
            assert answer.json()["parts"] == [{"name": "f", "file": "upload", "length": 1}]
            boundaries.add(re.fullmatch(f"multipart/form-data; boundary=({form})", kind).group(1))
        assert len(boundaries) == 3


def test_encoders_by_hand(api, go):
    encoder = tls_requests.MultipartEncoder({"a": "b"}, {"f": b"x" * 100}, boundary=b"mine")
    answer = api.call("post", go.url("/form"), content=encoder).json()
    assert answer["type"] == "multipart/form-data; boundary=mine"
    assert answer["declared"] == len(b"".join(encoder.render())) and len(answer["parts"]) == 2


def test_a_request_object_is_sent_twice(api, go):
    request = api.client.build_request("POST", go.url("/digest"), content=PIECES)
    for _ in range(2):
        check(api.call("send", request))
    request = api.client.build_request("POST", go.url("/digest"), content=numbers())
    read = api.run(request.aread()) if api.is_async else request.read()
    assert read == WHOLE
    for _ in range(2):
        check(api.call("send", request), declared=len(WHOLE))


def test_node_takes_pieces(api, node, version):
    client = api.open(**version)
    for source in (numbers(), io.BytesIO(WHOLE)):
        answer = api.call("post", node.url("/"), client=client, content=source).json()
        assert answer["body_length"] == LENGTH
    with api.stream("GET", node.url("/trailers"), client) as stream:
        assert stream.read() == b"with trailers"
        assert stream.response.trailers["x-checksum"] == "abc"


def test_nginx_refuses_early(api, nginx, version):
    """nginx answers 405 to a POST for a file, and discards what still comes."""
    client = api.open(**version)
    answer = api.call("post", nginx.url("/page.txt"), client=client, content=(bytes(65536) for _ in range(2000)))
    assert answer.status_code == 405
    assert api.call("get", nginx.url("/"), client=client).status_code == 200


def test_a_progress_callback_that_raises(api, go, version):
    client = api.open(**version)
    closed = []

    def endless():
        try:
            while True:
                yield bytes(65536)
        finally:
            closed.append(True)

    def no(sent, total):
        if sent > 1_000_000:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        api.call("post", go.url("/digest"), client=client, content=endless(), progress=no)
    assert closed == [True]
    assert api.call("get", go.url("/"), client=client).status_code == 200
