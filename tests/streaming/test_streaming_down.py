"""Answers in pieces: order, decoding, ends, errors, leaving early, back-pressure."""

from __future__ import annotations

import asyncio
import gc
import gzip
import hashlib
import json
import struct
import subprocess
import threading
import time
import zlib

import pytest

import tls_requests
from peers import find_program
from peers.fake import (
    CANCEL,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OK,
    RST_STREAM,
    WINDOW_UPDATE,
    block,
    frame,
    tls_context,
)
from tls_requests.exceptions import (
    ClientClosed,
    DecodingError,
    IncompleteBody,
    ReadTimeout,
    StreamClosed,
    StreamConsumed,
    StreamError,
    TotalTimeout,
)

TEXT = "Zeile eins\r\nzwei: äöü €\n\ndrei \U0001f600\rvier".encode()


def pattern(size):
    return b"".join(struct.pack(">Q", at) for at in range(0, size, 8))[:size]


def zstd_raw(data):
    """A zstd frame of stored blocks (RFC 8878 3.1.1)."""
    out = struct.pack("<IBB", 0xFD2FB528, 0, 0x50)
    pieces = [data[at : at + 60000] for at in range(0, len(data), 60000)] or [b""]
    for index, piece in enumerate(pieces):
        out += struct.pack("<I", (index == len(pieces) - 1) | len(piece) << 3)[:3] + piece
    return out


def brotli(data):
    script = "process.stdout.write(require('zlib').brotliCompressSync(require('fs').readFileSync(0)))"
    return subprocess.run(
        [find_program("node"), "-e", script], input=data, capture_output=True, timeout=30, check=True
    ).stdout


def raw_deflate(data):
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


CODINGS = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli, "zstd": zstd_raw}


def coded(coding, body, pieces=1, **more):
    """A behaviour: the body with that coding, chunked, in so many pieces."""

    def behave(link):
        while True:
            link.request()
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n"
            link.send(head.encode())
            step = max(1, len(body) // pieces)
            for at in range(0, len(body), step):
                piece = body[at : at + step]
                link.send(b"%x\r\n%s\r\n" % (len(piece), piece))
            link.send(b"0\r\n\r\n")

    return behave


def test_a_large_body_comes_complete_and_in_order(api, go, version):
    size = 9_000_003
    client = api.open(**version)
    with api.stream("GET", go.url(f"/pattern/{size}"), client) as stream:
        assert stream.response.status_code == 200
        assert stream.response.http_version == ("HTTP/2.0" if version["http2"] else "HTTP/1.1")
        assert stream.response.headers["content-length"] == str(size)
        assert not stream.response.closed
        pieces = stream.all()
        assert stream.response.closed
    assert b"".join(pieces) == pattern(size)
    assert len(pieces) > 4
    assert api.call("get", go.url("/"), client=client).status_code == 200
    assert tls_requests._core.stats()["conns_open"] >= 1


@pytest.mark.parametrize("size", [1, 7, 65536, 1_000_000])
def test_pieces_of_a_size(api, go, size):
    with api.stream("GET", go.url("/pattern/300001")) as stream:
        pieces = stream.all("bytes", size) if size > 1000 else [stream.next(size) for _ in range(50)]
    assert all(len(piece) == size for piece in pieces[:-1])
    assert pattern(300_001).startswith(b"".join(pieces))
    if size > 1000:
        assert sum(map(len, pieces)) == 300_001


def test_the_response_comes_before_its_body(api, server_pair):
    go_on = threading.Event()

    def behave(link):
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        assert go_on.wait(20)
        link.send(b"67890")
        link.hold()

    fake = api.fake(behave)
    with api.stream("GET", fake.url()) as stream:
        assert stream.next() == b"12345"
        go_on.set()
        assert b"".join(stream.all()) == b"67890"


@pytest.mark.parametrize("coding", list(CODINGS))
@pytest.mark.parametrize("pieces", [1, 50])
def test_content_codings(api, coding, pieces):
    body = b"".join(b"line %d\n" % number for number in range(40_000))
    sent = CODINGS[coding](body)
    fake = api.fake(coded(coding, sent, pieces))
    with api.stream("GET", fake.url()) as stream:
        assert stream.response.headers["content-encoding"] == coding
        assert b"".join(stream.all()) == body
    with api.stream("GET", fake.url()) as stream:
        assert b"".join(stream.all("raw")) == sent
    assert api.call("get", fake.url()).content == body


def test_raw_deflate_byte_by_byte(api):
    body = b"hello " * 100
    fake = api.fake(coded("deflate", raw_deflate(body), 1000))
    with api.stream("GET", fake.url()) as stream:
        assert b"".join(stream.all("bytes", 5)) == body


def test_two_codings(api):
    fake = api.fake(coded("gzip, deflate", zlib.compress(gzip.compress(b"x" * 100_000))))
    with api.stream("GET", fake.url()) as stream:
        assert b"".join(stream.all()) == b"x" * 100_000


def test_a_corrupt_and_a_cut_coding(api):
    for sent in (b"\x1f\x8b\x08\x00 this is no deflate data at all.....", gzip.compress(pattern(50_000))[:-9]):
        fake = api.fake(coded("gzip", sent))
        with api.stream("GET", fake.url()) as stream, pytest.raises(DecodingError):
            stream.all()


def test_a_decompression_bomb_is_stopped(api):
    bomb = gzip.compress(b"\0" * (100 << 20), 9)
    fake = api.fake(coded("gzip", bomb))
    with api.stream("GET", fake.url()) as stream:
        seen = 0
        with pytest.raises(DecodingError, match=r"decoded|ratio|bomb"):
            while True:
                seen += len(stream.next())
        assert seen <= 66 << 20
        with pytest.raises(DecodingError):
            stream.all()


def test_text_and_lines(api):
    def behave(link):
        while True:
            link.request()
            link.send(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(TEXT)
            )
            for at in range(len(TEXT)):
                link.send(TEXT[at : at + 1])

    fake = api.fake(behave)
    lines = ["Zeile eins", "zwei: äöü €", "", "drei \U0001f600", "vier"]
    with api.stream("GET", fake.url()) as stream:
        assert "".join(stream.all("text")) == TEXT.decode()
    with api.stream("GET", fake.url()) as stream:
        texts = stream.all("text", 4)
        assert "".join(texts) == TEXT.decode() and {len(text) for text in texts[:-1]} == {4}
    with api.stream("GET", fake.url()) as stream:
        assert stream.all("lines") == lines
    with api.stream("GET", fake.url()) as stream:
        stream.read()
        assert stream.all("lines") == lines
        assert stream.response.text == TEXT.decode()


def test_other_charsets_and_invalid_bytes(api):
    def behave(link):
        while True:
            path = link.request().target
            charset, body = (
                ("utf-16-le", "hé\U0001f600".encode("utf-16-le")) if path == "/16" else ("utf-8", b"a\xffb\xe2\x82")
            )
            link.send(
                f"HTTP/1.1 200 OK\r\nContent-Type: text/x; charset={charset}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            for at in range(len(body)):
                link.send(body[at : at + 1])

    fake = api.fake(behave)
    with api.stream("GET", fake.url("/16")) as stream:
        assert "".join(stream.all("text")) == "hé\U0001f600"
    with api.stream("GET", fake.url("/8")) as stream:
        assert "".join(stream.all("text")) == "a\ufffdb\ufffd"


def test_read_content_json(api, go):
    with api.stream("GET", go.url("/")) as stream:
        body = stream.read()
        assert json.loads(body)["method"] == "GET" == stream.response.json()["method"]
        assert stream.response.content == stream.read() == body
        assert b"".join(stream.all("bytes", 10)) == body
    assert stream.response.content == body


def test_read_gives_the_rest(api, go):
    with api.stream("GET", go.url("/pattern/100000")) as stream:
        first = stream.next(1000)
        assert first + stream.read() == pattern(100_000)


def test_content_before_reading(api, go):
    with api.stream("GET", go.url("/chunked/3")) as stream:
        if api.is_async:
            with pytest.raises(StreamError, match="aread"):
                _ = stream.response.content
        else:
            assert stream.response.content == b"chunk 0\nchunk 1\nchunk 2\n"


def test_consumed_and_closed(api, go):
    with api.stream("GET", go.url("/chunked/3")) as stream:
        assert b"".join(stream.all()) == b"chunk 0\nchunk 1\nchunk 2\n"
        for kind in ("bytes", "raw", "text", "lines"):
            with pytest.raises(StreamConsumed):
                stream.all(kind)
        with pytest.raises(StreamConsumed):
            stream.read()
    with api.stream("GET", go.url("/pattern/5000000")) as stream:
        stream.next()
        with pytest.raises(StreamConsumed):
            stream.all("raw")
    for act in (stream.all, stream.read, stream.next):
        with pytest.raises((StreamClosed, StopIteration, StopAsyncIteration)):
            act()
    with pytest.raises(StreamClosed):
        stream.all("bytes")
    with pytest.raises(ValueError):
        stream.all("bytes", 0)


def test_send_stream_and_the_stream_attribute(api, go):
    request = api.client.build_request("GET", go.url("/chunked/3"))
    response = api.call("send", request, stream=True)
    assert not response.closed and isinstance(response.stream, tls_requests.StreamEncoder)

    async def collect():
        return [piece async for piece in response.stream]

    pieces = api.run(collect()) if api.is_async else list(response.stream)
    assert b"".join(pieces) == b"chunk 0\nchunk 1\nchunk 2\n"
    assert response.closed


def test_redirects_and_history(api, go, version):
    client = api.open(**version)
    with api.stream("GET", go.url("/redirect302"), client) as stream:
        assert stream.response.status_code == 200
        [hop] = stream.response.history
        assert hop.status_code == 302 and hop.closed and b"chunked" in hop.content
        assert stream.response.url.path == "/chunked/3"
        assert b"".join(stream.all()) == b"chunk 0\nchunk 1\nchunk 2\n"
    with api.stream("GET", go.url("/redirect302"), client, follow_redirects=False) as stream:
        assert stream.response.status_code == 302 and stream.response.next.url.path == "/chunked/3"
        assert b"Found" in stream.read()


def test_bodies_that_are_none(api, go, version):
    client = api.open(**version)
    for method, path in (
        ("HEAD", "/pattern/1000"),
        ("GET", "/status/204"),
        ("GET", "/status/304"),
        ("GET", "/bytes/0"),
    ):
        with api.stream(method, go.url(path), client) as stream:
            assert stream.all() == []
    assert api.call("get", go.url("/"), client=client).status_code == 200


def test_trailers_after_the_body(api, go, version):
    client = api.open(**version)
    with api.stream("GET", go.url("/trailers"), client) as stream:
        assert stream.read() == b"body"
        assert stream.response.trailers["x-sum"] == "42"


def test_hooks_may_read_and_need_not(api, go):
    seen = []

    def look(response):
        seen.append((response.status_code, response.closed))

    client = api.open(hooks={"response": [look]})
    with api.stream("GET", go.url("/pattern/3000000"), client) as stream:
        assert seen == [(200, False)]
        assert b"".join(stream.all()) == pattern(3_000_000)


# ---------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("head", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("tls", [False, True])
def test_a_truncated_body_is_an_error(api, server_pair, head, tls):
    def behave(link):
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + (b"64\r\n" if b"chunked" in head else b"") + b"x" * 100)
        link.close()

    fake = api.fake(behave, tls=tls_context(server_pair) if tls else None)
    with api.stream("GET", fake.url()) as stream:
        assert stream.next(100) == b"x" * 100
        with pytest.raises(IncompleteBody) as caught:
            stream.next()
        assert caught.value.request_sent and caught.value.code == "BODY_TRUNCATED"
    with api.stream("GET", fake.url()) as stream, pytest.raises(IncompleteBody):
        stream.read()


def test_what_came_before_the_end_is_read_first(api):
    """The server is gone long before a slow reader has what it sent: nothing of it may be lost, and the end is judged rightly."""
    size = 3_000_000

    def behave(link):
        path = link.request().target
        length = size if path == "/whole" else size + 1
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + pattern(size))
        link.close()

    fake = api.fake(behave)
    for path in ("/whole", "/cut"):
        with api.stream("GET", fake.url(path)) as stream:
            first = stream.next()
            time.sleep(0.3)  # the reader's own pause, within which the server has closed
            pieces = [first]
            if path == "/cut":
                with pytest.raises(IncompleteBody):
                    while True:
                        pieces.append(stream.next())
            else:
                pieces += stream.all()
            assert b"".join(pieces) == pattern(size)


def test_a_body_until_the_end_of_the_connection(api):
    def behave(link):
        link.request()
        link.send(b"HTTP/1.0 200 OK\r\n\r\n" + pattern(2_000_000))
        link.close()

    fake = api.fake(behave)
    with api.stream("GET", fake.url()) as stream:
        assert b"".join(stream.all()) == pattern(2_000_000)


def test_go_aborts(api, go, version):
    client = api.open(**version)
    with api.stream("GET", go.url("/drop"), client) as stream:
        assert stream.next(100) == bytes(100)
        with pytest.raises(tls_requests.HTTPError) as caught:
            stream.next()
        assert caught.value.code in ("BODY_TRUNCATED", "H2_RESET")


def test_no_answer_is_a_response_or_raises(api):
    def behave(link):
        link.request()
        link.close()

    fake = api.fake(behave)
    with pytest.raises(tls_requests.RemoteProtocolError):
        api.stream("GET", fake.url())
    client = api.open(raise_on_error=False)
    with api.stream("GET", fake.url(), client) as stream:
        assert stream.response.status_code == 0 and "unexpected EOF" in stream.response.text


def drip(link):
    link.request()
    link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    link.trickle(b"x" * 1000, 0.1)


def silent(link):
    link.request()
    link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")
    link.hold()


def test_time_limits(api):
    client = api.open(timeout={"read": 0.4})
    with api.stream("GET", api.fake(silent).url(), client) as stream:
        assert stream.next() == b"hello"
        start = time.monotonic()
        with pytest.raises(ReadTimeout):
            stream.next()
        assert 0.2 < time.monotonic() - start < 5
    client = api.open(timeout={"total": 0.8})
    with api.stream("GET", api.fake(drip).url(), client) as stream, pytest.raises(TotalTimeout):
        stream.all()
    # A plain number bounds how long nothing moves, so that a body may take longer than that.
    client = api.open(timeout=0.5)
    with api.stream("GET", api.fake(drip).url(), client) as stream:
        start = time.monotonic()
        while time.monotonic() - start < 1.2:
            assert stream.next()
    with api.stream("GET", api.fake(silent).url(), client) as stream, pytest.raises(ReadTimeout):
        stream.all()


def test_a_slow_reader_is_no_timeout(api, go, version):
    client = api.open(timeout=0.4, **version)
    with api.stream("GET", go.url("/pattern/30000000"), client) as stream:
        digest = hashlib.sha256(stream.next())
        time.sleep(1.2)
        for piece in stream.all():
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(pattern(30_000_000)).digest()


# ---------------------------------------------------------------------------------------------------------- leaving early


def test_leaving_early_over_http1_closes_the_connection(api):
    left = threading.Event()

    def behave(link):
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")
        link.hold()
        left.set()

    fake = api.fake(behave)
    with api.stream("GET", fake.url()) as stream:
        assert stream.next() == b"hello"
    assert left.wait(10)


def h2_half(link, seen):
    link.begin()
    stream = link.stream()
    link.send(frame(HEADERS, END_HEADERS, stream, OK + block()) + frame(DATA, 0, stream, b"hello"))
    seen.append(link.until(RST_STREAM))
    link.respond(link.stream(), b"again")
    link.hold()


def test_leaving_early_over_http2_resets_the_stream(api, server_pair):
    seen = []
    fake = api.fake(lambda link: h2_half(link, seen), tls=tls_context(server_pair, ("h2",)), h2=True)
    with api.stream("GET", fake.url()) as stream:
        assert stream.next() == b"hello"
    assert api.call("get", fake.url()).content == b"again"
    assert fake.connections == 1
    assert [struct.unpack(">I", reset.payload)[0] for reset in seen] == [CANCEL]


def test_dropping_a_response_ends_the_request(api):
    left = threading.Event()

    def behave(link):
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")
        link.hold()
        left.set()

    fake = api.fake(behave)
    request = api.client.build_request("GET", fake.url())
    response = api.call("send", request, stream=True)
    with pytest.warns(ResourceWarning, match="not closed"):
        del response
        gc.collect()
    assert left.wait(10)


def test_the_client_is_closed_meanwhile(api):
    fake = api.fake(silent)
    client = api.open()
    stream = api.stream("GET", fake.url(), client)
    assert stream.next() == b"hello"
    api.run(client.aclose()) if api.is_async else client.close()
    with pytest.raises(ClientClosed):
        stream.next()
    stream.close()


def test_closing_from_another_task_or_thread(api):
    fake = api.fake(silent)
    stream = api.stream("GET", fake.url())
    assert stream.next() == b"hello"
    if api.is_async:

        async def race():
            asyncio.get_running_loop().call_later(0.2, stream.response.close)
            with pytest.raises((StreamClosed, tls_requests.exceptions.CancelledError)):
                async for _ in stream.response.aiter_bytes():
                    pass

        api.run(race())
    else:
        timer = threading.Timer(0.2, stream.response.close)
        timer.start()
        with pytest.raises((StreamClosed, tls_requests.exceptions.CancelledError)):
            stream.all()
        timer.join()
    stream.close()


def test_the_loop_is_closed_meanwhile(ca_file):
    from peers.fake import Fake

    with Fake(silent) as fake:
        client = tls_requests.AsyncClient(verify=ca_file)

        async def start():
            response = await client.send(client.build_request("GET", fake.url()), stream=True)
            async for piece in response.aiter_bytes():
                return response, piece

        response, piece = asyncio.run(start())
        assert piece == b"hello"
        response.close()

        async def again():
            async with client.stream("GET", fake.url()) as other:
                async for got in other.aiter_bytes():
                    return got

        assert asyncio.run(again()) == b"hello"
        client.close()


def test_a_cancelled_reader(ca_file):
    from peers.fake import Fake

    async def main(url):
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            with pytest.raises(asyncio.TimeoutError):
                async with client.stream("GET", url) as response:
                    await asyncio.wait_for(response.aread(), 0.3)
            assert response.closed

    with Fake(silent) as fake:
        asyncio.run(main(fake.url()))


def test_other_requests_go_on_while_nobody_reads(api, go, version):
    """A blocking reader that does something else does not hold up the engine, nor other streams of its connection."""
    client = api.open(**version)
    with api.stream("GET", go.url("/pattern/20000000"), client) as stream:
        digest = hashlib.sha256(stream.next())
        for _ in range(5):
            assert api.call("get", go.url("/"), client=client).status_code == 200
        if not api.is_async:
            threads = [threading.Thread(target=client.get, args=(go.url("/slow/50"),)) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()
        for piece in stream.all():
            digest.update(piece)
    assert digest.digest() == hashlib.sha256(pattern(20_000_000)).digest()


def test_many_streams_at_once(go, ca_file):
    async def one(client, size):
        digest = hashlib.sha256()
        async with client.stream("GET", go.url(f"/pattern/{size}")) as response:
            async for piece in response.aiter_bytes():
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(pattern(size)).digest()

    async def main():
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            await asyncio.gather(*(one(client, 100_000 * number + 1) for number in range(30)))

    asyncio.run(main())


def test_back_pressure_reaches_the_server(api, server_pair):
    """What is not read is not taken from the server, but for buffers."""
    sent = [0]

    def behave(link):
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n")
        block_of = bytes(65536)
        while True:
            link.send(block_of)
            sent[0] += len(block_of)

    fake = api.fake(behave)
    with api.stream("GET", fake.url()) as stream:
        stream.next()
        before = -1
        while before != sent[0]:  # until nothing moves any more
            before = sent[0]
            time.sleep(0.4)
        assert sent[0] < 30_000_000, "the kernel's buffers and two megabytes of ours, not the whole"
        taken = 0
        while taken < 20_000_000:
            taken += len(stream.next())
        assert sent[0] >= taken - 65536


def test_a_window_stays_shut_while_nobody_reads(api, server_pair):
    def behave(link):
        link.begin()
        stream = link.stream()
        link.send(frame(HEADERS, END_HEADERS, stream, OK + block()))
        for _ in range(6_000_000 // 16384):
            link.send(frame(DATA, 0, stream, bytes(16384)))
        link.hold()

    fake = api.fake(behave, tls=tls_context(server_pair, ("h2",)), h2=True)
    with api.stream("GET", fake.url()) as stream:
        stream.next()
        time.sleep(0.5)
        assert not [got for got in fake.frames if got.kind == WINDOW_UPDATE and got.stream != 0]


def test_windows_of_a_reader_that_keeps_up_are_the_browser_s(api, server_pair):
    """The same WINDOW_UPDATE frames for the stream as when the body is taken as a whole."""

    def behave(link):
        link.begin()
        while True:
            stream = link.stream()
            link.send(frame(HEADERS, END_HEADERS, stream, OK + block()))
            for _ in range(5_000_000 // 262144):
                link.send(frame(DATA, 0, stream, bytes(16384)) * 16)
                time.sleep(0.01)
            link.send(frame(DATA, END_STREAM, stream, b"end"))

    def increments(stream):
        found = [got for got in fake.frames if got.kind == WINDOW_UPDATE and got.stream == stream]
        return [struct.unpack(">I", got.payload)[0] for got in found]

    fake = api.fake(behave, tls=tls_context(server_pair, ("h2",)), h2=True)
    length = len(api.call("get", fake.url()).content)
    with api.stream("GET", fake.url()) as stream:
        assert sum(map(len, stream.all())) == length
    api.call("get", fake.url())  # the server reads on to this, so it has seen what came before
    first, second, _ = (number for _, number in fake.streams)
    assert increments(first) and increments(second) == increments(first)


def test_a_body_belongs_to_its_loop(ca_file):
    from peers.fake import Fake

    async def start(client, url):
        response = await client.send(client.build_request("GET", url), stream=True)
        assert await response.aiter_bytes().__anext__() == b"hello"
        return response

    async def go_on(response):
        with pytest.raises(RuntimeError, match="another event loop"):
            await response.aread()
        await response.aclose()

    with Fake(silent) as fake:
        client = tls_requests.AsyncClient(verify=ca_file)
        response = asyncio.run(start(client, fake.url()))
        asyncio.run(go_on(response))
        client.close()


def test_blocking_and_asynchronous_methods_are_not_mixed(api, go):
    with api.stream("GET", go.url("/pattern/100000")) as stream:
        if api.is_async:
            with pytest.raises(RuntimeError, match="asynchronous"):
                stream.response.read()
        else:
            with pytest.raises(RuntimeError, match="blocking"):
                asyncio.run(stream.response.aiter_bytes().__anext__())
        assert stream.read() == pattern(100_000)


def test_uvloop(go, ca_file):
    uvloop = pytest.importorskip("uvloop")

    async def main():
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            digest = hashlib.sha256()
            async with client.stream("GET", go.url("/pattern/5000000")) as response:
                async for piece in response.aiter_bytes():
                    digest.update(piece)
            assert digest.digest() == hashlib.sha256(pattern(5_000_000)).digest()
            answer = await client.post(go.url("/digest"), content=(b"x" * 1000 for _ in range(2000)))
            assert answer.json()["length"] == 2_000_000

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def test_a_signal_ends_a_blocking_read(ca_file):
    import signal

    from peers.fake import Fake

    class Stop(Exception):
        pass

    def stop(number, at):
        raise Stop

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with Fake(silent) as fake, tls_requests.Client() as client:
            with client.stream("GET", fake.url()) as response:
                pieces = response.iter_bytes()
                assert next(pieces) == b"hello"
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                with pytest.raises(Stop):
                    next(pieces)
            assert response.closed
    finally:
        signal.signal(signal.SIGALRM, before)


FORK = """
import os, sys
import tls_requests
url, ca = sys.argv[1:]
client = tls_requests.Client(verify=ca, raise_on_error=True)
with client.stream("GET", url + "/pattern/40000000") as response:
    pieces = response.iter_bytes(1000)
    first = next(pieces)
    child = os.fork()
    if child == 0:
        try:
            for piece in pieces:
                pass
            os._exit(1)
        except tls_requests.HTTPError as error:
            ok = error.code == "CANCELLED" and client.get(url + "/").status_code == 200
            os._exit(0 if ok else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(first) + sum(map(len, pieces)) == 40000000
"""


def test_a_fork_with_a_body_under_way(root, go, ca_file):
    import os
    import sys

    command = [sys.executable, "-c", FORK, go.url("").rstrip("/"), ca_file]
    env = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr


def test_nothing_is_left_after_many_ends(go, ca_file):
    """Streams and uploads that end in all ways at once: every request completes, and the engine's memory goes back."""
    import random

    rng = random.Random(7)

    async def endless():
        while True:
            yield bytes(8192)
            await asyncio.sleep(0.001)

    async def one(client, number):
        kind = number % 6
        try:
            if kind == 0:
                await asyncio.wait_for(client.post(go.url("/digest"), content=endless()), rng.random() * 0.2)
            elif kind == 1:
                await client.post(go.url("/early/413"), content=endless())
            else:
                async with client.stream("GET", go.url("/pattern/2000000?slow=1")) as response:
                    seen = 0
                    async for piece in response.aiter_bytes():
                        seen += len(piece)
                        if kind == 2 and seen > 300_000:
                            return
                        if kind == 3 and seen > 300_000:
                            raise KeyError
                        if kind == 4 and seen > 300_000:
                            raise asyncio.CancelledError
        except (KeyError, asyncio.TimeoutError, asyncio.CancelledError):
            pass

    async def main():
        for http2 in ("auto", False):
            async with tls_requests.AsyncClient(verify=ca_file, http2=http2) as client:
                await asyncio.gather(*(one(client, number) for number in range(48)))

    def settled():
        stats = tls_requests._core.stats()
        return stats["ops_submitted"] == stats["ops_completed"] and stats["conns_open"] == 0

    blocks = []
    for _ in range(3):
        asyncio.run(main())
        gc.collect()
        end = time.monotonic() + 10
        while not settled() and time.monotonic() < end:
            time.sleep(0.05)
        assert settled()
        blocks.append(tls_requests._core.stats()["blocks"])
    assert blocks[2] <= blocks[1] + 20, blocks
