"""Client.download: the file is whole or not there, what came is not fetched twice, versions are not mixed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import fcntl
import gzip
import hashlib
import json
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import tls_requests
from peers.fake import Fake
from tls_requests import _download
from tls_requests.exceptions import DecodingError, IncompleteBody, OutputError, ReadTimeout, RemoteProtocolError
from tls_requests.models.streams import ResponseStream

WHOLE = b"".join(b"%015d\n" % number for number in range(60_000))


class Site:
    """A server of one resource: ranges, validators, and misbehaviour by attribute."""

    def __init__(self):
        self.body = WHOLE
        self.etag = '"v1"'
        self.fields = []
        self.cut_after = None  # bytes of the next answer's body, then the connection closes
        self.stall_after = None  # ... then nothing comes until the client leaves
        self.ranges = True
        self.wrong_start = 0
        self.deaf = False  # to If-Range
        self.coding = None
        self.heads = []

    def behave(self, link):
        while True:
            seen = link.request()
            self.heads.append(seen.fields)
            start, status = 0, "200 OK"
            fields = [f"ETag: {self.etag}"] if self.etag else []
            fields += self.fields
            asked = seen.fields.get("range")
            body = gzip.compress(self.body) if self.coding else self.body
            if asked and self.ranges and (self.deaf or seen.fields.get("if-range") == self.etag):
                start = int(asked[len("bytes=") : -1])
                if start >= len(body):
                    link.answer(b"", 416, f"Content-Range: bytes */{len(body)}")
                    continue
                status = "206 Partial Content"
                first = start + self.wrong_start
                fields.append(f"Content-Range: bytes {first}-{len(body) - 1}/{len(body)}")
            if self.coding:
                fields.append("Content-Encoding: gzip")
            fields.append(f"Content-Length: {len(body) - start}")
            link.send("\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode())
            cut, self.cut_after = self.cut_after, None
            if cut is not None:
                link.send(body[start : start + cut])
                link.close()
                return
            stall, self.stall_after = self.stall_after, None
            if stall is not None:
                link.send(body[start : start + stall])
                link.hold()
                return
            link.send(body[start:])


@pytest.fixture
def site():
    return Site()


def left(folder):
    return sorted(os.listdir(folder))


def test_download(api, site, tmp_path):
    url = api.fake(site.behave).url("/file")
    seen = []
    target = tmp_path / "file"
    target.write_bytes(b"old")
    answer = api.call("download", url, target, progress=lambda done, total: seen.append((done, total)))
    assert answer.status_code == 200 and answer.closed
    assert target.read_bytes() == WHOLE and left(tmp_path) == ["file"]
    assert seen[-1] == (len(WHOLE), len(WHOLE)) and seen == sorted(seen)


def test_download_from_real_servers(api, go, nginx, version, tmp_path):
    client = api.open(**version)
    answer = api.call("download", go.url("/pattern/5000000"), str(tmp_path / "a"), client=client)
    assert answer.status_code == 200 and (tmp_path / "a").stat().st_size == 5_000_000
    api.call("download", nginx.url("/gzip.txt"), os.fsencode(tmp_path / "b"), client=client)
    assert (tmp_path / "b").read_bytes() == b"a line of text that compresses\n" * 4096


def test_nginx_resumes(api, nginx, version, tmp_path):
    client = api.open(**version)
    api.call("download", nginx.url("/page.txt"), tmp_path / "page", client=client, resume=True)
    whole = (tmp_path / "page").read_bytes()
    with api.stream("GET", nginx.url("/page.txt"), client, headers={"Range": "bytes=0-0"}) as stream:
        etag = stream.response.headers["etag"]
    (tmp_path / "page.part").write_bytes(whole[:10_000])
    (tmp_path / "page.part.json").write_text(json.dumps({"url": nginx.url("/page.txt"), "validator": etag}))
    answer = api.call("download", nginx.url("/page.txt"), tmp_path / "page", client=client, resume=True)
    assert answer.status_code == 206
    assert (tmp_path / "page").read_bytes() == whole and left(tmp_path) == ["page"]


def test_a_cut_download_leaves_nothing(api, site, tmp_path):
    url = api.fake(site.behave).url()
    site.cut_after = 100_000
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(IncompleteBody):
        api.call("download", url, tmp_path / "file")
    assert left(tmp_path) == ["file"] and (tmp_path / "file").read_bytes() == b"old"


def test_resuming(api, site, tmp_path):
    url = api.fake(site.behave).url()
    for cut in (100_000, 300_000, 7):
        site.cut_after = cut
        with pytest.raises(IncompleteBody):
            api.call("download", url, tmp_path / "file", resume=True)
        assert left(tmp_path) == ["file.part", "file.part.json"]
    have = (tmp_path / "file.part").stat().st_size
    assert have == 400_007
    answer = api.call("download", url, tmp_path / "file", resume=True)
    assert answer.status_code == 206
    assert (tmp_path / "file").read_bytes() == WHOLE and left(tmp_path) == ["file"]
    assert site.heads[-1]["range"] == f"bytes={have}-" and site.heads[-1]["if-range"] == '"v1"'
    assert site.heads[-1]["accept-encoding"] == "identity"
    assert "range" not in site.heads[0]


@pytest.mark.parametrize("change", ["version", "no ranges", "no validator", "weak validator", "other url", "coding"])
def test_when_it_begins_anew(api, site, tmp_path, change):
    fake = api.fake(site.behave)
    url = fake.url("/one")
    site.cut_after = 100_000
    if change == "no validator":
        site.etag = None
    elif change == "weak validator":
        site.etag = 'W/"v1"'
    elif change == "coding":
        site.coding, site.cut_after = "gzip", 10_000
    with pytest.raises((IncompleteBody, DecodingError)):
        api.call("download", url, tmp_path / "file", resume=True)
    if change == "version":
        site.etag, site.body = '"v2"', WHOLE[::-1]
    elif change == "no ranges":
        site.ranges = False
    elif change == "other url":
        url = fake.url("/two")
    answer = api.call("download", url, tmp_path / "file", resume=True)
    assert answer.status_code == 200
    assert (tmp_path / "file").read_bytes() == site.body and left(tmp_path) == ["file"]


def test_everything_was_there_already(api, site, tmp_path):
    url = api.fake(site.behave).url()
    for have in (WHOLE, WHOLE + b"too much"):
        (tmp_path / "file.part").write_bytes(have)
        (tmp_path / "file.part.json").write_text(json.dumps({"url": url, "validator": '"v1"'}))
        api.call("download", url, tmp_path / "file", resume=True)
        assert (tmp_path / "file").read_bytes() == WHOLE and left(tmp_path) == ["file"]
        (tmp_path / "file").unlink()


def test_a_wrong_range_is_refused(api, site, tmp_path):
    url = api.fake(site.behave).url()
    (tmp_path / "file.part").write_bytes(WHOLE[:1000])
    (tmp_path / "file.part.json").write_text(json.dumps({"url": url, "validator": '"v1"'}))
    site.wrong_start = 1
    with pytest.raises(RemoteProtocolError, match="Content-Range"):
        api.call("download", url, tmp_path / "file", resume=True)
    assert left(tmp_path) == []


def test_notes_that_are_garbage(api, site, tmp_path):
    url = api.fake(site.behave).url()
    for notes in ("", "[]", "{", json.dumps({"url": url}), json.dumps({"url": url, "validator": 5})):
        (tmp_path / "file.part").write_bytes(b"garbage")
        (tmp_path / "file.part.json").write_text(notes)
        api.call("download", url, tmp_path / "file", resume=True)
        assert (tmp_path / "file").read_bytes() == WHOLE and "range" not in site.heads[-1]


def test_digests(api, site, tmp_path):
    url = api.fake(site.behave).url()
    good = base64.b64encode(hashlib.sha256(WHOLE).digest()).decode()
    site.fields = [f"Repr-Digest: unknown=:AA==:, sha-256=:{good}:"]
    api.call("download", url, tmp_path / "file")
    site.cut_after = 100_000
    with pytest.raises(IncompleteBody):
        api.call("download", url, tmp_path / "again", resume=True)
    api.call("download", url, tmp_path / "again", resume=True)
    assert (tmp_path / "again").read_bytes() == WHOLE
    site.body = WHOLE[:-1] + b"!"
    with pytest.raises(DecodingError, match="digest"):
        api.call("download", url, tmp_path / "bad", resume=True)
    assert left(tmp_path) == ["again", "file"]


def test_an_error_status_writes_nothing(api, go, tmp_path):
    with pytest.raises(tls_requests.HTTPError, match="404"):
        api.call("download", go.url("/status/404"), tmp_path / "file")
    with pytest.raises(tls_requests.HTTPError, match="304"):
        api.call("download", go.url("/status/304"), tmp_path / "file")
    with pytest.raises(tls_requests.exceptions.ConnectError):
        api.call("download", "http://127.0.0.1:1/", tmp_path / "file", client=api.open(raise_on_error=False))
    assert left(tmp_path) == []


def test_a_place_that_cannot_be_written(api, site, tmp_path):
    url = api.fake(site.behave).url()
    with pytest.raises(FileNotFoundError):
        api.call("download", url, tmp_path / "missing" / "file")


def test_a_callback_that_raises(api, site, tmp_path):
    url = api.fake(site.behave).url()

    def no(done, total):
        raise KeyError("stop")

    with pytest.raises(KeyError):
        api.call("download", url, tmp_path / "file", progress=no)
    assert left(tmp_path) == []


def test_two_downloads_to_one_place(api, site, tmp_path):
    url = api.fake(site.behave).url()
    seen = []

    def look(done, total):
        if not seen:
            with tls_requests.Client() as other, pytest.raises(BlockingIOError, match="another download"):
                other.download(url, tmp_path / "file")
            seen.append(done)

    api.call("download", url, tmp_path / "file", progress=look)
    assert seen and (tmp_path / "file").read_bytes() == WHOLE and left(tmp_path) == ["file"]


# --------------------------------------------------------------------------------------- descriptors, locks, other downloads


def held(path):
    """Descriptors of this process that are open on what has, or had, that name."""
    if sys.platform != "linux":
        return []
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            continue
        if target.removesuffix(" (deleted)") == str(path):
            found.append(fd)
    return found


def is_locked(path):
    """Whether somebody has the lock of that file."""
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def lay(folder, url, have, validator='"v1"'):
    """What a download that failed leaves: so many bytes, and its notes."""
    (folder / "file.part").write_bytes(have)
    (folder / "file.part.json").write_text(json.dumps({"url": url, "validator": validator}))


@pytest.mark.parametrize("resume", [False, True])
def test_cancelled_twice_while_the_file_is_opened(ca_file, site, tmp_path, monkeypatch, resume):
    """The thread that opens and locks it is waited for: who opens is who closes."""
    inside, go_on = threading.Event(), threading.Event()
    genuine = _download._lock

    def slow(file):
        inside.set()
        assert go_on.wait(20)
        genuine(file)

    async def main():
        with Fake(site.behave) as fake:
            async with tls_requests.AsyncClient(verify=ca_file, raise_on_error=True) as client:
                monkeypatch.setattr(_download, "_lock", slow)
                task = asyncio.ensure_future(client.download(fake.url(), tmp_path / "file", resume=resume))
                while not inside.is_set():
                    await asyncio.sleep(0.005)
                for _ in range(3):
                    task.cancel()
                    await asyncio.sleep(0)
                await asyncio.sleep(0.05)
                assert not task.done()
                go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert held(tmp_path / "file.part") == []
                monkeypatch.setattr(_download, "_lock", genuine)
                await client.download(fake.url(), tmp_path / "file", resume=resume)
        assert (tmp_path / "file").read_bytes() == WHOLE and left(tmp_path) == ["file"]

    asyncio.run(asyncio.wait_for(main(), 40))


def test_cancelled_again_while_the_last_write_is_waited_for(ca_file, site, tmp_path, monkeypatch):
    inside, go_on = threading.Event(), threading.Event()
    genuine = _download._Part.stop

    def slow(self, op, seconds):
        inside.set()
        assert go_on.wait(20)
        genuine(self, op, seconds)

    async def main():
        with Fake(site.behave) as fake:
            async with tls_requests.AsyncClient(verify=ca_file, raise_on_error=True) as client:
                site.stall_after = 100_000
                task = asyncio.ensure_future(client.download(fake.url(), tmp_path / "file"))
                while not held(tmp_path / "file.part"):
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.1)  # the engine has it
                monkeypatch.setattr(_download._Part, "stop", slow)
                task.cancel()
                while not inside.is_set():
                    await asyncio.sleep(0.005)
                task.cancel()
                await asyncio.sleep(0.02)
                go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
        assert held(tmp_path / "file.part") == [] and left(tmp_path) == []

    asyncio.run(asyncio.wait_for(main(), 40))


def test_a_download_that_nobody_runs_any_more(ca_file, site, tmp_path):
    """Its coroutine is closed, as when a loop ends in the middle: no descriptor, no lock, no complaint of the interpreter's."""

    async def main():
        with Fake(site.behave) as fake:
            async with tls_requests.AsyncClient(verify=ca_file, raise_on_error=True) as client:
                site.stall_after = 100_000
                coroutine = client.download(fake.url(), tmp_path / "file", resume=True)
                task = asyncio.ensure_future(coroutine)
                while not (tmp_path / "file.part").exists() or (tmp_path / "file.part").stat().st_size < 100_000:
                    await asyncio.sleep(0.005)
                coroutine.close()
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, RuntimeError):  # of a coroutine that is over
                    await task
                while held(tmp_path / "file.part"):  # the engine's, which nobody could wait for
                    await asyncio.sleep(0.005)
                assert not is_locked(tmp_path / "file.part")
        assert left(tmp_path) == ["file.part", "file.part.json"]

    asyncio.run(asyncio.wait_for(main(), 40))


@pytest.mark.parametrize("resume", [False, True])
def test_the_end_that_fails(api, site, tmp_path, monkeypatch, resume):
    url = api.fake(site.behave).url()

    def no(*_):
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(_download.os, "fsync", no)
    with pytest.raises(OSError, match="broken"):
        api.call("download", url, tmp_path / "file", resume=resume)
    assert held(tmp_path / "file.part") == []
    assert left(tmp_path) == (["file.part", "file.part.json"] if resume else [])
    monkeypatch.undo()
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        api.call("download", url, tmp_path / "folder", resume=resume)
    assert held(tmp_path / "folder.part") == []
    api.call("download", url, tmp_path / "file", resume=resume)
    assert (tmp_path / "file").read_bytes() == WHOLE


@pytest.mark.parametrize("answer", ["wrong range", "416"])
def test_what_another_download_writes_is_not_removed(api, site, tmp_path, answer):
    url = api.fake(site.behave).url()
    lay(tmp_path, url, WHOLE[:1000] if answer == "wrong range" else WHOLE + b"!")
    site.wrong_start = 1
    with open(tmp_path / "file.part", "rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(RemoteProtocolError if answer == "wrong range" else BlockingIOError):
            api.call("download", url, tmp_path / "file", resume=True)
        assert left(tmp_path) == ["file.part", "file.part.json"] and len(site.heads) <= 2
        assert os.path.samestat(os.fstat(other.fileno()), os.stat(tmp_path / "file.part"))
    site.wrong_start = 0
    api.call("download", url, tmp_path / "file", resume=True)
    assert (tmp_path / "file").read_bytes() == WHOLE and left(tmp_path) == ["file"]


def test_another_download_is_done_between_opening_and_locking(api, site, tmp_path, monkeypatch):
    """What is locked then is the other's file, which has its name: it must not be cut off."""
    url = api.fake(site.behave).url()
    (tmp_path / "file.part").write_bytes(b"the other's")
    genuine = _download._lock

    def lock(file):
        if (tmp_path / "file.part").read_bytes() == b"the other's":
            os.replace(tmp_path / "file.part", tmp_path / "kept")
        genuine(file)

    monkeypatch.setattr(_download, "_lock", lock)
    api.call("download", url, tmp_path / "file")
    assert (tmp_path / "kept").read_bytes() == b"the other's" and (tmp_path / "file").read_bytes() == WHOLE
    assert left(tmp_path) == ["file", "kept"]


def test_it_is_locked_until_it_has_its_name(api, site, tmp_path, monkeypatch):
    url = api.fake(site.behave).url()
    genuine = os.replace
    seen = []

    def replace(part, path):
        seen.append(is_locked(part))
        genuine(part, path)

    monkeypatch.setattr(_download.os, "replace", replace)
    api.call("download", url, tmp_path / "file")
    assert seen == [True] and not is_locked(tmp_path / "file")


@pytest.mark.parametrize("change", ["done", "begun anew"])
def test_another_download_was_faster(api, site, tmp_path, monkeypatch, change):
    """Between the look at what is there and the answer: nothing is put behind bytes that are not those that were looked at."""
    url = api.fake(site.behave).url()
    lay(tmp_path, url, WHOLE[:1000])
    genuine = _download._Part._take

    def take(self, flags):
        if len(site.heads) == 1:
            if change == "done":
                os.replace(tmp_path / "file.part", tmp_path / "kept")
            else:
                lay(tmp_path, url, b"x" * 2000, validator='"v2"')
        return genuine(self, flags)

    monkeypatch.setattr(_download._Part, "_take", take)
    answer = api.call("download", url, tmp_path / "file", resume=True)
    assert answer.status_code == 200 and [head.get("range") for head in site.heads] == ["bytes=1000-", None]
    assert (tmp_path / "file").read_bytes() == WHOLE


def test_a_server_that_does_not_know_if_range(api, site, tmp_path):
    """It gives the rest of another version, and says so by its ETag."""
    url = api.fake(site.behave).url()
    lay(tmp_path, url, b"x" * 1000, validator='"v0"')
    site.deaf = True
    answer = api.call("download", url, tmp_path / "file", resume=True)
    assert answer.status_code == 200 and len(site.heads) == 2
    assert (tmp_path / "file").read_bytes() == WHOLE and left(tmp_path) == ["file"]


def test_notes_of_what_was_there_before(api, site, tmp_path):
    """A download that is not to be resumed takes the place of one that was: should the process die, the notes would lie."""
    url = api.fake(site.behave).url()
    lay(tmp_path, url, WHOLE[:1000])
    seen = []
    api.call("download", url, tmp_path / "file", progress=lambda *_: seen.append(left(tmp_path)))
    assert seen[0] == ["file.part"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_not_keep_the_lock(api, site, tmp_path):
    url = api.fake(site.behave).url()
    site.stall_after = 100_000
    children = []

    def fork(done, total):
        if not children:
            ours, theirs = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(theirs)
                os.read(ours, 1)  # until the parent closes its end
                os._exit(0)
            os.close(ours)
            children.append((child, theirs))
            raise KeyError("stop")

    with pytest.raises(KeyError):
        api.call("download", url, tmp_path / "file", resume=True, progress=fork)
    try:
        assert not is_locked(tmp_path / "file.part")
        api.call("download", url, tmp_path / "file", resume=True)
        assert (tmp_path / "file").read_bytes() == WHOLE
    finally:
        child, end = children[0]
        os.close(end)
        os.waitpid(child, 0)


# --------------------------------------------------------------------------------------------- what the engine writes


def descriptors():
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


@pytest.fixture
def by_engine(monkeypatch):
    """A piece of the body that Python gets fails the test."""

    def no(*arguments, **options):
        raise AssertionError("a piece of the body became a Python object")

    monkeypatch.setattr(ResponseStream, "pieces", no)
    monkeypatch.setattr(ResponseStream, "apieces", no)


def test_no_piece_becomes_an_object(api, site, go, version, tmp_path, by_engine):
    digest = base64.b64encode(hashlib.sha512(WHOLE).digest()).decode()
    site.fields = [f"Repr-Digest: sha-512=:{digest}:"]
    url = api.fake(site.behave).url()
    site.cut_after = 300_000
    with pytest.raises(IncompleteBody):
        api.call("download", url, tmp_path / "file", resume=True)
    assert (tmp_path / "file.part").read_bytes() == WHOLE[:300_000]
    seen = []
    api.call("download", url, tmp_path / "file", resume=True, progress=lambda *now: seen.append(now))
    assert (tmp_path / "file").read_bytes() == WHOLE
    assert seen[0][0] > 300_000 and seen[-1] == (len(WHOLE), len(WHOLE)) and seen == sorted(set(seen))
    client = api.open(**version)
    open_then = []
    for _ in range(3):
        answer = api.call("download", go.url("/pattern/3000000"), tmp_path / "go", client=client)
        assert (tmp_path / "go").stat().st_size == 3_000_000 and answer.closed
        open_then.append(descriptors())
    assert open_then[0] == open_then[2]


@pytest.mark.parametrize("size", [0, 1, 262_144, 262_145])
def test_sizes(api, go, version, tmp_path, size, by_engine):
    seen = []
    client = api.open(**version)
    url = go.url(f"/pattern/{size}")
    api.call("download", url, tmp_path / "file", client=client, progress=lambda *now: seen.append(now))
    assert (tmp_path / "file").stat().st_size == size
    assert [now[0] for now in seen][-1:] == ([size] if size else [])


def test_a_hook_that_reads(api, site, tmp_path):
    """Response hooks may read the body: then what they read is written."""
    good = base64.b64encode(hashlib.sha256(WHOLE).digest()).decode()
    site.fields = [f"Repr-Digest: sha-256=:{good}:"]
    url = api.fake(site.behave).url()

    def read(response):
        assert response.read() == WHOLE

    async def aread(response):
        assert await response.aread() == WHOLE

    client = api.open(hooks={"response": [aread if api.is_async else read]})
    api.call("download", url, tmp_path / "file", client=client)
    assert (tmp_path / "file").read_bytes() == WHOLE and left(tmp_path) == ["file"]
    site.body = WHOLE[1:] + b"!"
    client = api.open(hooks={"response": [lambda response: None]})
    with pytest.raises(DecodingError, match="digest"):
        api.call("download", url, tmp_path / "file", client=client)


def test_a_body_beyond_the_range_that_was_declared(api, site, tmp_path):
    url = api.fake(site.behave).url()
    (tmp_path / "file.part").write_bytes(WHOLE[:1000])
    (tmp_path / "file.part.json").write_text(json.dumps({"url": url, "validator": '"v1"'}))

    def longer(link):
        link.request()
        link.answer(WHOLE[1000:], 206, f"Content-Range: bytes 1000-1999/{2000}", 'ETag: "v1"')

    url = api.fake(longer).url()
    (tmp_path / "file.part.json").write_text(json.dumps({"url": url, "validator": '"v1"'}))
    with pytest.raises(IncompleteBody, match="2000"):
        api.call("download", url, tmp_path / "file", resume=True)
    assert left(tmp_path) == []


def test_a_server_that_stalls(api, site, tmp_path):
    """What came before the time-out is in the file, and is not fetched again."""
    url = api.fake(site.behave).url()
    site.stall_after = 100_000
    with pytest.raises(ReadTimeout):
        api.call("download", url, tmp_path / "file", resume=True, timeout={"read": 0.5})
    assert (tmp_path / "file.part").read_bytes() == WHOLE[:100_000]
    api.call("download", url, tmp_path / "file", resume=True)
    assert (tmp_path / "file").read_bytes() == WHOLE and site.heads[-1]["range"] == "bytes=100000-"


def test_what_trickles_in_can_be_seen(api, site, tmp_path):
    """Progress comes, and the part grows, though no large piece comes together."""
    url = api.fake(site.behave).url()
    site.stall_after = 5
    seen = []

    def stop(done, total):
        seen.append(((tmp_path / "file.part").stat().st_size, done, total))
        raise KeyError("enough")

    with pytest.raises(KeyError):
        api.call("download", url, tmp_path / "file", progress=stop)
    assert seen == [(5, 5, len(WHOLE))] and left(tmp_path) == []


@pytest.mark.parametrize("resume", [False, True])
def test_cancelled_and_begun_again_at_once(ca_file, site, tmp_path, resume):
    """However far it was: nothing is left, or what came; nothing is locked; no descriptor stays open."""

    async def main():
        with Fake(site.behave) as fake:
            async with tls_requests.AsyncClient(verify=ca_file, raise_on_error=True) as client:
                await client.download(fake.url(), tmp_path / "file")
                before = descriptors()
                for step in range(24):
                    site.stall_after = step * 40_000
                    task = asyncio.ensure_future(client.download(fake.url(), tmp_path / "file", resume=resume))
                    await asyncio.sleep(0.002 * (step % 7))
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                    assert resume or left(tmp_path) == ["file"]
                    site.stall_after = None
                    await client.download(fake.url(), tmp_path / "file", resume=resume)
                    assert (tmp_path / "file").read_bytes() == WHOLE and left(tmp_path) == ["file"]
                assert descriptors() <= before + 1  # a connection on its way out

    asyncio.run(asyncio.wait_for(main(), 50))


LIMITED = """
    import asyncio, errno, resource, sys
    import tls_requests
    from tls_requests.exceptions import OutputError

    url, path, kind, resume = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))

    def check(error):
        assert error.errno == error.detail == errno.EFBIG and error.code == "FILE_WRITE" and error.phase == "body", vars(error)
        assert isinstance(error, OSError) and isinstance(error, tls_requests.HTTPError)
        assert error.filename == path + ".part" and "errno 27" in str(error)

    async def main():
        async with tls_requests.AsyncClient() as client:
            await client.download(url, path, resume=resume == "resume")

    try:
        if kind == "async":
            asyncio.run(main())
        else:
            with tls_requests.Client() as client:
                client.download(url, path, resume=resume == "resume")
    except OutputError as error:
        check(error)
        print("refused")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="errno and limits of Linux")
def test_a_file_that_may_not_grow(api, site, tmp_path):
    """RLIMIT_FSIZE stands for any write that fails: a typed error with the errno; what fits stays where it can be resumed."""
    url = api.fake(site.behave).url()
    kind = "async" if api.is_async else "sync"
    for resume in ("no", "resume"):
        command = [sys.executable, "-c", textwrap.dedent(LIMITED), url, str(tmp_path / "file"), kind, resume]
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
        assert done.stdout == "refused\n", done.stderr
        assert left(tmp_path) == (["file.part", "file.part.json"] if resume == "resume" else [])
    assert (tmp_path / "file.part").read_bytes() == WHOLE[:500_000]
    api.call("download", url, tmp_path / "file", resume=True)
    assert (tmp_path / "file").read_bytes() == WHOLE and site.heads[-1]["range"] == "bytes=500000-"


def test_output_errors_travel():
    import copy
    import pickle

    from tls_requests.exceptions import make_error

    error = make_error("FILE_WRITE", errno.ENOSPC, "file.write", "The body could not be written.")
    error.filename = "/tmp/x"
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is OutputError and str(again) == "The body could not be written."
        assert (again.errno, again.strerror, again.filename) == (errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/x")
        assert (again.code, again.detail) == ("FILE_WRITE", errno.ENOSPC)
