"""streamOutputPath: the body is appended to a file while it comes, by the engine; a request that fails leaves the file as it was."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import gzip
import os
import sys
import threading

import pytest

import tls_requests
from peers.fake import readable
from tls_requests.exceptions import DecodingError, IncompleteBody, OutputError, TotalTimeout

BODY = b"".join(b"%015d\n" % number for number in range(40_000))  # 640,000 bytes


def pattern(size):
    return b"".join(number.to_bytes(8, "big") for number in range(0, size, 8))[:size]


class Site:
    """Answers from a list, one after another: bytes; (status, bytes); ("cut", bytes): the connection closes in the middle."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def behave(self, link):
        while True:
            link.request()
            answer = self.answers.pop(0)
            status, body = answer if isinstance(answer, tuple) else (200, answer)
            if status == "cut":
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[: len(body) // 2])
                link.close()
                return
            if status == "stall":
                link.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[: len(body) // 2])
                link.hold()
                return
            link.answer(body, status)


def test_it_is_appended(api, go, nginx, version, tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"before ")
    client = api.open(streamOutputPath=path, streamOutputEOFSymbol="<end>", **version)
    whole = b"before "
    for size in (0, 1, 300_001, 3_000_000):
        answer = api.call("get", go.url(f"/pattern/{size}"), client=client)
        whole += pattern(size) + b"<end>"
        assert answer.status_code == 200 and answer.content == b"" and answer.text == "" and answer.closed
        assert path.read_bytes() == whole
    answer = api.call("get", nginx.url("/gzip.txt"), client=client)
    assert "content-encoding" not in answer.headers, "as ever for a body that is decoded"
    assert path.read_bytes() == whole + b"a line of text that compresses\n" * 4096 + b"<end>"


def test_the_last_answer_of_redirects(api, go, tmp_path):
    answer = api.call("get", go.url("/redirect/2"), follow_redirects=True, streamOutputPath=tmp_path / "out")
    assert len(answer.history) == 2 and answer.content == b"" and b'"url":"/"' in (tmp_path / "out").read_bytes()
    assert all(hop.status_code == 302 for hop in answer.history)


def test_a_body_that_goes_up_meanwhile(api, go, tmp_path):
    pieces = [b"x" * 100_000] * 20
    answer = api.call("post", go.url("/digest"), content=iter(pieces), streamOutputPath=tmp_path / "out")
    assert answer.status_code == 200 and b"2000000" in (tmp_path / "out").read_bytes()


def test_status_of_errors_is_written_too(api, tmp_path):
    fake = api.fake(Site((404, b"not here")).behave)
    answer = api.call("get", fake.url(), streamOutputPath=tmp_path / "out")
    assert answer.status_code == 404 and answer.content == b"" and (tmp_path / "out").read_bytes() == b"not here"


@pytest.mark.parametrize("raises", [False, True])
def test_a_body_that_is_cut(api, tmp_path, raises):
    path = tmp_path / "out"
    path.write_bytes(b"before")
    fake = api.fake(Site(("cut", BODY), ("cut", b"short")).behave)
    client = api.open(raise_on_error=raises, streamOutputPath=path, streamOutputEOFSymbol="<end>")
    for _ in range(2):
        if raises:
            with pytest.raises(IncompleteBody):
                api.call("get", fake.url(), client=client)
        else:
            answer = api.call("get", fake.url(), client=client)
            assert answer.status_code == 0 and isinstance(answer.error, IncompleteBody)
            assert "unexpected EOF" in answer.text and answer.history == []
        assert path.read_bytes() == b"before"


def test_what_others_appended_is_not_cut_off(api, tmp_path):
    path = tmp_path / "out"

    class Rude(Site):
        def behave(self, link):
            link.request()
            link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            while not path.stat().st_size:
                link.wait(0.01)
            with path.open("ab") as file:
                file.write(b"another's")
            link.close()

    with pytest.raises(IncompleteBody):
        api.call("get", api.fake(Rude().behave).url(), streamOutputPath=path)
    assert path.read_bytes() == b"halfanother's"


def test_tries_that_count_for_nothing(api, tmp_path):
    """What `retries` tries again is taken back: the file has the last answer, once."""
    path = tmp_path / "out"
    path.write_bytes(b"before ")
    fake = api.fake(Site((503, b"later"), ("cut", BODY), (503, BODY), b"this").behave)
    policy = tls_requests.Retry(5, backoff=0.01)
    client = api.open(retries=policy, streamOutputPath=path, streamOutputEOFSymbol="<end>")
    answer = api.call("get", fake.url(), client=client)
    assert answer.status_code == 200 and len(answer.attempts) == 3
    assert path.read_bytes() == b"before this<end>"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("raises", [False, True])
def test_a_full_disk(api, go, version, raises):
    client = api.open(raise_on_error=raises, **version)
    for size in (1, 5_000_000):
        with pytest.raises(OutputError) as caught:
            api.call("get", go.url(f"/pattern/{size}"), client=client, streamOutputPath="/dev/full")
        assert caught.value.errno == caught.value.detail == errno.ENOSPC and isinstance(caught.value, OSError)
        assert caught.value.code == "FILE_WRITE" and caught.value.request_sent and not caught.value.safe_to_retry
    assert api.call("get", go.url("/pattern/3"), client=client).content == pattern(3)


def test_limits_hold(api, tmp_path):
    packed = gzip.compress(bytes(50_000_000))

    def bomb(link):
        while True:
            link.request()
            link.answer(packed, 200, "Content-Encoding: gzip")

    for fake, size in ((api.fake(bomb), 1_000_000), (api.fake(Site(BODY).behave), 100_000)):
        client = api.open(limits=tls_requests.Limits(max_decoded_bytes=size))
        with pytest.raises(DecodingError):
            api.call("get", fake.url(), client=client, streamOutputPath=tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b""


def test_time_is_limited_as_ever(api, tmp_path):
    fake = api.fake(Site(("stall", BODY)).behave)
    with pytest.raises(TotalTimeout):
        api.call("get", fake.url(), timeout=0.5, streamOutputPath=tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b""


def test_an_end_symbol_without_end(api, go, tmp_path):
    with pytest.raises(ValueError, match="streamOutputEOFSymbol"):
        api.call("get", go.url("/"), streamOutputPath=tmp_path / "out", streamOutputEOFSymbol="x" * 70_000)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_that_is_read_slowly(api, go, tmp_path):
    """The reader gets whole blocks while the body comes; who does not read holds the server, not memory."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    found = []

    def read():
        with path.open("rb", buffering=0) as file:
            while piece := file.read(5000):
                found.append(piece)

    reader = threading.Thread(target=read)
    reader.start()
    answer = api.call(
        "get",
        go.url("/pattern/2000000"),
        streamOutputPath=path,
        streamOutputBlockSize=4096,
        streamOutputEOFSymbol="end",
    )
    reader.join(20)
    assert answer.status_code == 200 and b"".join(found) == pattern(2_000_000) + b"end"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_that_nobody_reads(ca_file, go, tmp_path):
    """A write that hangs holds up neither the loop, nor other requests, nor the end of this one."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    async def main():
        end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            async with tls_requests.AsyncClient(verify=ca_file, raise_on_error=True) as client:
                url = go.url("/pattern/50000000")
                task = asyncio.ensure_future(client.get(url, streamOutputPath=path, timeout=20))
                while not os.read(end, 1) if readable([end], 0) else True:
                    await asyncio.sleep(0.01)
                for number in range(3):
                    answer = await client.get(go.url("/pattern/600000"), streamOutputPath=tmp_path / f"other{number}")
                    assert answer.status_code == 200 and (tmp_path / f"other{number}").stat().st_size == 600_000
                assert not task.done()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
        finally:
            os.close(end)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_cancelled_at_any_moment(ca_file, go, tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"before")

    async def main():
        async with tls_requests.AsyncClient(verify=ca_file, raise_on_error=True) as client:
            await client.get(go.url("/"))
            for step in range(20):
                task = asyncio.ensure_future(client.get(go.url("/pattern/2000000000"), streamOutputPath=path))
                await asyncio.sleep(0.002 * step)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert path.read_bytes() == b"before"

    asyncio.run(asyncio.wait_for(main(), 50))


def test_cancelled_twice_while_a_try_is_taken_back(ca_file, tmp_path, monkeypatch):
    """The file is closed when its last user is done with it, not before: by then its number may be another file's."""
    from peers.fake import Fake
    from tls_requests import _output

    inside, go_on = threading.Event(), threading.Event()
    genuine = _output.OutputFile.take_back
    seen = []

    def slow(self):
        if not inside.is_set():
            inside.set()
            assert go_on.wait(20)
            seen.append(self._fd)
        genuine(self)

    monkeypatch.setattr(_output.OutputFile, "take_back", slow)

    async def main():
        with Fake(Site((503, b"no"), BODY).behave) as fake:
            async with tls_requests.AsyncClient(verify=ca_file, retries=2) as client:
                task = asyncio.ensure_future(client.get(fake.url(), stream_output_path=tmp_path / "out"))
                while not inside.is_set():
                    await asyncio.sleep(0.005)
                for _ in range(3):
                    task.cancel()
                    await asyncio.sleep(0.02)
                go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
        assert seen[0] >= 0 and (tmp_path / "out").read_bytes() == b""

    asyncio.run(asyncio.wait_for(main(), 40))


def test_a_request_that_nobody_runs_any_more(ca_file, tmp_path):
    """Its coroutine is closed, as when a loop ends in the middle: the file is closed without waiting for anything."""
    from peers.fake import Fake

    loop = asyncio.new_event_loop()
    with Fake(Site(("stall", BODY)).behave) as fake, contextlib.closing(loop):
        client = tls_requests.AsyncClient(verify=ca_file)
        coroutine = client.get(fake.url(), stream_output_path=tmp_path / "out")
        task = loop.create_task(coroutine)
        task._log_destroy_pending = False

        async def written():
            while not (tmp_path / "out").exists() or (tmp_path / "out").stat().st_size == 0:
                await asyncio.sleep(0.005)

        loop.run_until_complete(asyncio.wait_for(written(), 20))
        coroutine.close()  # RuntimeError where it awaits something then
        client.close()
        del task, coroutine
        gc.collect()
