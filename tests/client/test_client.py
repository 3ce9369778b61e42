"""The C client against real servers."""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from peers.fake import Fake, Link

VERSIONS = [pytest.param([], id="h2"), pytest.param(["--http1"], id="h1")]


def last(op: dict[str, Any]) -> dict[str, Any]:
    assert op["error"] is None, op
    return op["responses"][-1]


def header(response: dict[str, Any], name: str, where: str = "headers") -> str | None:
    values = [value for key, value in response[where] if key.lower() == name]
    return values[0] if values else None


# ------------------------------------------------------------------------------------------------------------ redirects


@pytest.mark.parametrize("version", VERSIONS)
def test_redirects_are_followed_on_one_connection(trget, go, version):
    op = trget.op(*version, "-L", go.url("/redirect/5"))
    assert [r["status"] for r in op["responses"]] == [302] * 5 + [200]
    assert [r["reused"] for r in op["responses"]] == [False] + [True] * 5
    assert op["responses"][0]["body_len"] > 0  # bodies of the way are read, too
    assert op["url"] == go.url("/")


def test_redirects_have_a_limit(trget, go):
    op = trget.op("--max-redirects", "3", go.url("/redirect/9"))
    assert op["error"] == "TOO_MANY_REDIRECTS"
    assert len(op["responses"]) == 4
    op = trget.op("--max-redirects", "0", go.url("/redirect/1"))
    assert op["error"] == "TOO_MANY_REDIRECTS" and len(op["responses"]) == 1


def test_a_redirect_keeps_the_body_on_307(trget, nginx):
    op = trget.op("-L", "-d", "hello", nginx.url("/redirect-307"))
    assert last(op)["body"] == "POST application/x-www-form-urlencoded 5"


def test_cookies_of_a_session(trget, nginx):
    first, second = trget.ops(nginx.url("/set-cookie"), nginx.url("/headers"))
    assert last(first)["status"] == 200
    assert last(second)["body"].split("|")[2] == "a=1; b=2"
    first, second = trget.ops("--no-cookies", nginx.url("/set-cookie"), nginx.url("/headers"))
    assert last(second)["body"].split("|")[2] == ""
    first, second = trget.ops("-b", "a=mine", nginx.url("/set-cookie"), nginx.url("/headers"))
    assert last(second)["body"].split("|")[2] == "a=mine; b=2"


# ---------------------------------------------------------------------------------------------------------------- pools


def test_an_http1_pool_has_a_limit(trget, go):
    report = trget.load("--http1", "--max-h1", "3", "-n", "12", "-c", "12", go.url("/slow/100"))
    assert report["2xx"] == 12
    assert report["stats"]["conns_opened"] == 3
    assert report["seconds"] >= 0.4


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cold_burst_throws_no_handshake_away(trget, nginx, version):
    report = trget.load(*version, "-n", "50", "-c", "50", nginx.url("/"))
    assert report["2xx"] == 50
    stats = report["stats"]
    assert stats["conns_opened"] == stats["handshakes"] == (1 if not version else 6)


def test_more_streams_than_one_connection_takes(trget, go):
    """As in browsers the others wait for a stream to end."""
    report = trget.load("-n", "600", "-c", "600", go.url("/slow/300"))
    assert report["2xx"] == 600
    assert report["stats"]["conns_opened"] == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_idle_connections_end_and_sessions_resume(trget, nginx, version):
    report = trget.load(*version, "--wait", "-n", "3", "--idle-timeout", "50", "--pause", "200", nginx.url("/"))
    assert report["2xx"] == 3
    assert report["stats"]["conns_opened"] == 3
    assert report["stats"]["resumed"] == 2
    assert report["stats"]["conns_open"] == 0


def test_what_differs_shares_nothing(trget, nginx):
    report = trget.load("--fresh", "--wait", "-n", "3", nginx.url("/"))
    assert report["2xx"] == 3
    assert report["stats"]["conns_opened"] == 3 and report["stats"]["resumed"] == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_ten_thousand_requests(trget, nginx, version):
    report = trget.load(*version, "-n", "10000", "-c", "100", nginx.url("/"))
    assert report["2xx"] == 10000 and report["failed"] == 0
    assert report["stats"]["conns_opened"] == (1 if not version else 6)


@pytest.mark.parametrize("version", VERSIONS)
def test_many_blocking_callers(trget, nginx, version):
    report = trget.load(*version, "--wait", "--threads", "4", "-n", "2000", nginx.url("/"))
    assert report["2xx"] == 2000 and report["failed"] == 0
    assert report["stats"]["conns_opened"] <= 6


# ---------------------------------------------------------------------------------------------------- cancel and time-out


@pytest.mark.parametrize("version", VERSIONS)
def test_cancel(trget, go, version):
    first, second = trget.ops(*version, "--cancel", "150", go.url("/slow/5000"), go.url("/"))
    assert first["error"] == "CANCELLED" and first["elapsed_ms"] < 4000 and first["request_sent"]
    # HTTP/2 keeps its connection, HTTP/1.1 cannot
    assert last(second)["reused"] == (not version)


def test_cancel_of_many(trget, go):
    report = trget.load("-n", "500", "-c", "200", "--cancel", "1", go.url("/slow/2000"))
    assert report["requests"] == 500 and report["error"] == "CANCELLED"
    assert report["seconds"] < 2


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("option", "code"), [("--timeout", "TIMEOUT_TOTAL"), ("--read-timeout", "TIMEOUT_READ")])
def test_timeouts(trget, go, version, option, code):
    op = trget.op(*version, option, "200", go.url("/slow/3000"))
    assert op["error"] == code
    assert 190 <= op["elapsed_ms"] < 2000
    assert op["request_sent"] and not op["safe_to_retry"]


def test_total_covers_each_hop(trget, go):
    op = trget.op("-L", "--timeout", "5000", go.url("/redirect/3"))
    assert last(op)["status"] == 200


# --------------------------------------------------------------------------------------------------------------- bodies


@pytest.fixture(scope="module")
def big_nginx(server_pair):
    from peers.servers import start_nginx

    with start_nginx(server_pair, 256) as peer:
        yield peer


@pytest.mark.parametrize("version", VERSIONS)
def test_a_large_body(trget, big_nginx, version):
    op = trget.op(*version, big_nginx.url("/big"))
    digest = hashlib.sha256()
    with (big_nginx.folder / "root" / "big").open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    assert last(op)["body_len"] == 256 << 20
    assert last(op)["sha256"] == digest.hexdigest()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_large_body_is_held_once(trget, big_nginx, version):
    report = trget.load(*version, "--wait", "-n", "2", big_nginx.url("/big"))
    assert report["bytes"] == 2 * (256 << 20)
    if trget.program.parent.name == "plain":  # a sanitizer keeps freed memory
        assert report["stats"]["max_rss_kb"] < 290 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="/proc of Linux")
@pytest.mark.parametrize("version", VERSIONS)
def test_a_saved_body_is_not_held(trget, big_nginx, tmp_path, version):
    out = tmp_path / "out"
    command = [str(trget.program), "--cacert", trget.ca_file, *version, "--save", str(out), big_nginx.url("/big")]
    peak = 0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            found = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{process.pid}/status").read_text())
            peak = max(peak, int(found[1]) if found else 0)
            time.sleep(0.002)
    assert process.returncode == 0 and filecmp.cmp(out, big_nginx.folder / "root" / "big", shallow=False)
    assert peak > 0
    if trget.program.parent.name == "plain":  # a sanitizer keeps freed memory
        assert peak < 64 * 1024, "KiB"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_saved_body_replaces(trget, go, nginx, tmp_path, version):
    out = tmp_path / "out"
    out.write_bytes(b"old")
    out.chmod(0o640)
    other = tmp_path / "hard"
    os.link(out, other)
    done = trget.run(*version, "-L", "--save", str(out), go.url("/redirect/2"), nginx.url("/gzip.txt"))
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert out.read_bytes() == b"a line of text that compresses\n" * 4096, "the last, decoded"
    assert out.stat().st_mode & 0o777 == 0o640
    assert other.read_bytes() == b"old", "a new file has the name now"
    link = tmp_path / "link"
    link.symlink_to("out")
    done = trget.run(*version, "-i", "--save", str(link), go.url("/status/404"))
    assert done.returncode == 0 and done.stdout.splitlines()[0].endswith(" 404")
    assert link.is_symlink() and out.read_bytes() == b""
    new = tmp_path / "new"
    assert trget.run(*version, "--save", str(new), go.url("/pattern/100")).returncode == 0
    mask = os.umask(0)
    os.umask(mask)
    assert new.stat().st_mode & 0o777 == 0o666 & ~mask and new.stat().st_size == 100
    nowhere = tmp_path / "to-nowhere"
    nowhere.symlink_to("target")
    assert trget.run(*version, "--save", str(nowhere), go.url("/pattern/100")).returncode == 0
    assert (tmp_path / "target").stat().st_size == 100
    assert sorted(os.listdir(tmp_path)) == ["hard", "link", "new", "out", "target", "to-nowhere"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_saved_body_that_fails(trget, go, tmp_path, version):
    out = tmp_path / "out"
    out.write_bytes(b"old")
    for url in (go.url("/drop"), "https://127.0.0.1:1/", "nonsense://"):
        done = trget.run(*version, "--save", str(out), url)
        assert done.returncode == 2 and "trget: " in done.stderr
        assert out.read_bytes() == b"old" and os.listdir(tmp_path) == ["out"]
    done = trget.run(*version, "--save", str(tmp_path / "missing" / "out"), go.url("/pattern/10"))
    assert done.returncode == 2 and "cannot be written" in done.stderr
    done = trget.run(*version, "--sha256", "--save", str(out), go.url("/pattern/8"))
    assert done.returncode == 0 and hashlib.sha256(bytes(8)).hexdigest() in out.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_saving_to_what_is_no_regular_file(trget, go, tmp_path):
    done = trget.run("--save", "/dev/full", go.url("/pattern/100000"))
    assert done.returncode == 2 and "FILE_WRITE" in done.stderr and "errno 28" in done.stderr
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    assert trget.run("--save", str(pipe), go.url("/pattern/300000")).returncode == 0
    reader.join(20)
    assert len(found[0]) == 300_000 and os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_saving_leaves_nothing(trget, tmp_path, number):
    def behave(link: Link) -> None:
        link.request()
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(500_000))
        link.hold()

    out = tmp_path / "out"
    out.write_bytes(b"old")
    with contextlib.closing(Fake(behave)) as fake:
        process = subprocess.Popen([str(trget.program), "--save", str(out), fake.url()])
        try:
            end = time.monotonic() + 20
            while len(os.listdir(tmp_path)) < 2 and time.monotonic() < end:
                time.sleep(0.005)
            process.send_signal(number)
            assert process.wait(20) == -number
        finally:
            process.kill()
            process.wait()
    assert os.listdir(tmp_path) == ["out"] and out.read_bytes() == b"old"


@pytest.mark.parametrize("version", VERSIONS)
def test_bodies_without_a_length(trget, go, version):
    op = trget.op(*version, go.url("/chunked/2000"))
    assert last(op)["body"] == "".join(f"chunk {i}\n" for i in range(2000))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 8 << 20])
def test_uploads(trget, go, tmp_path, version, size):
    data = tmp_path / "data"
    data.write_bytes(os.urandom(1024) * (size // 1024) + b"x" * (size % 1024))
    response = last(trget.op(*version, "-d", f"@{data}", go.url("/")))
    assert f'"body_length":{size},' in response["body"]
    assert header(response, "content-length", "sent") == str(size)


@pytest.mark.parametrize("version", VERSIONS)
def test_decoding(trget, nginx, version):
    decoded = last(trget.op(*version, nginx.url("/gzip.txt")))
    assert decoded["body_len"] == 31 * 4096
    assert header(decoded, "content-encoding") is None and header(decoded, "content-length") is None
    raw = last(trget.op(*version, "--no-decode", nginx.url("/gzip.txt")))
    assert header(raw, "content-encoding") == "gzip" and raw["body_len"] < 4096


def test_size_limit(trget, nginx):
    op = trget.op("--max-decoded", "1000", nginx.url("/gzip.txt"))
    assert op["error"] == "BODY_LIMIT"
    op = trget.op("--max-decoded", "1000", nginx.url("/page.txt"))
    assert op["error"] == "BODY_LIMIT"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_body_that_is_cut(trget, go, version):
    op = trget.op(*version, go.url("/drop"))
    assert op["error"] in ("BODY_TRUNCATED", "H2_RESET", "H2_STREAM_PROTOCOL")
    assert op["responses"] == [] and not op["safe_to_retry"]


@pytest.mark.parametrize("version", VERSIONS)
def test_head(trget, nginx, version):
    response = last(trget.op(*version, "-X", "HEAD", nginx.url("/gzip.txt")))
    assert response["status"] == 200 and response["body_len"] == 0


def test_trailers(trget, node):
    assert last(trget.op(node.url("/trailers")))["trailers"] == [["x-checksum", "abc"]]


# -------------------------------------------------------------------------------------------------------- other settings


def test_fork(trget, nginx):
    report = trget.load("--wait", "--fork", "-n", "5", nginx.url("/"))
    assert report["returncode"] == 0, report
    assert report["2xx"] == 6 and report["stats"]["conns_opened"] == 1  # one before the fork


def test_the_default_store_is_loaded(trget, nginx, ca_file):
    op = trget.op(nginx.url("/"), trust=False, env={**os.environ, "SSL_CERT_FILE": ca_file})
    assert last(op)["status"] == 200
    op = trget.op(nginx.url("/"), trust=False)
    assert op["error"] == "TLS_CERTIFICATE" and op["safe_to_retry"]
    op = trget.op("--no-verify", nginx.url("/"), trust=False)
    assert last(op)["status"] == 200


def test_an_empty_store_is_an_error(trget, nginx, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    env = {**os.environ, "SSL_CERT_FILE": str(empty), "SSL_CERT_DIR": str(tmp_path / "none")}
    op = trget.op(nginx.url("/"), trust=False, env=env)
    assert op["error"] == "TLS_TRUST_STORE"


@pytest.mark.parametrize("by_option", [True, False])
def test_key_log(trget, nginx, tmp_path: Path, by_option):
    log = tmp_path / "keys"
    option = ["--keylog", str(log)] if by_option else []
    env = {**os.environ} if by_option else {**os.environ, "SSLKEYLOGFILE": str(log)}
    assert last(trget.op(*option, nginx.url("/"), env=env))["status"] == 200
    labels = {line.split()[0] for line in log.read_text().splitlines()}
    assert "CLIENT_TRAFFIC_SECRET_0" in labels and log.stat().st_mode & 0o077 == 0


def test_errors_of_connections(trget):
    assert trget.op("http://127.0.0.1:1/")["error"] == "CONNECT_REFUSED"
    assert trget.op("http://nosuch.invalid/")["error"] in ("DNS_NOT_FOUND", "DNS_FAILED")
    op = trget.op("http://127.0.0.1:1/")
    assert op["safe_to_retry"] and not op["request_sent"]
