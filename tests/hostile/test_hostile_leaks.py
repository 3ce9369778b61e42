"""Thousands of failing requests in a process of their own: memory, descriptors and threads stay what they were."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from lab import Lab
from peers import free_port
from peers.certs import Authority
from peers.fake import (
    CANCEL,
    END_HEADERS,
    HEADERS,
    OK,
    H2Link,
    Handshake,
    Link,
    answer_http,
    frame,
    rst_stream,
    tls_context,
)

# The child. It says what it has after a warm-up and at the end. A failure's response and exception are both made and dropped.
CHILD = """
import asyncio, gc, json, os, sys, time
import tls_requests

kind, url, ca, options = *sys.argv[1:4], json.loads(sys.argv[4])
warm, total, limit = map(int, sys.argv[5:])
codes = {}

def note(response):
    assert response.status_code == 0, response.status_code
    code = response.error.code
    str(response.error), response.text, response.request.url
    codes[code] = codes.get(code, 0) + 1

def state():
    for _ in range(3):
        gc.collect()
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline and sum(os.readlink(f"/proc/self/fd/{fd}").startswith("socket:") for fd in fds()):
        time.sleep(0.02)
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[1])
    return {"rss": pages * os.sysconf("SC_PAGE_SIZE"), "fds": len(fds()), "threads": len(os.listdir("/proc/self/task"))}

def fds():
    return [fd for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]

def blocking(num):
    done = 0
    while done < num:
        with tls_requests.Client(**{"verify": ca, "timeout": 5, **options}) as client:
            for _ in range(50):
                note(client.get(url))
                done += 1

async def asynchronous(num):
    done = 0
    while done < num:
        async with tls_requests.AsyncClient(**{"verify": ca, "timeout": 5, **options}) as client:
            for _ in range(5):
                for response in await asyncio.gather(*(client.get(url) for _ in range(10))):
                    note(response)
                    done += 1

def run(num):
    blocking(num) if kind == "sync" else asyncio.run(asynchronous(num))

# Heaps settle after some rounds; what leaks grows in each of them.
run(warm)
states = [state()]
while len(states) < 6:
    run(total)
    states.append(state())
    if states[-1]["rss"] - states[-2]["rss"] < limit:
        break
print(json.dumps({"states": states, "codes": codes}))
"""


GROWTH = 256  # bytes a request: less than any object that could be left behind would take


def measure(lab: Lab, url: str, warm: int, total: int, **options: Any) -> dict[str, Any]:
    numbers = [str(number) for number in (warm, total, GROWTH * total)]
    command = [sys.executable, "-c", CHILD, lab.kind, url, lab.ca_file, json.dumps(options), *numbers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    result: dict[str, Any] = json.loads(done.stdout)
    result["total"] = total
    return result


def check(result: dict[str, Any], *codes: str) -> None:
    assert set(result["codes"]) <= set(codes), result["codes"]
    *_, before, after = result["states"]
    grown = after["rss"] - before["rss"]
    assert grown < GROWTH * result["total"], f"{grown / 1024:.0f} KiB more in the last round: {result}"
    assert after["fds"] <= before["fds"], result
    assert after["threads"] <= before["threads"] + 2, result


def test_refused_connections(lab: Lab) -> None:
    check(measure(lab, f"http://localhost:{free_port()}/", 400, 2000), "CONNECT_REFUSED")


def test_urls_and_headers_that_cannot_be_sent(lab: Lab) -> None:
    check(measure(lab, "http://localhost/", 400, 2000, headers={"X-Test": "a\r\nb"}), "HEADER_INVALID")


def test_cut_bodies(lab: Lab) -> None:
    server = lab.serve(
        answer_http(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nSet-Cookie: a=b\r\n\r\n" + b"x" * 5000)
    )
    check(measure(lab, server.url(), 300, 700), "BODY_TRUNCATED")


def test_corrupt_bodies(lab: Lab) -> None:
    body = b"\x1f\x8b\x08\0\0\0\0\0\0\0" + b"\xff" * 2000
    server = lab.serve(answer_http(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2010\r\n\r\n" + body))
    check(measure(lab, server.url(), 200, 400), "BODY_CODING")


def test_cut_handshakes(lab: Lab) -> None:
    context = tls_context(lab.pair)

    def behave(link: Link) -> None:
        link.send(Handshake(link, context).flight()[: 20 + link.number % 500])
        link.close()

    server = lab.serve(behave)
    check(measure(lab, server.url(scheme="https"), 200, 400), "TLS_CLOSED", "CONNECT_RESET")


def test_bad_certificates(lab: Lab, authority: Authority) -> None:
    server = lab.serve(answer_http(b""), tls=authority.issue("other", ("other.test",)))
    check(measure(lab, server.url(), 100, 250), "TLS_HOSTNAME")


def test_reset_streams(lab: Lab) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            stream = link.stream()
            link.send(frame(HEADERS, END_HEADERS, stream, OK) + rst_stream(stream, CANCEL))

    server = lab.serve_h2(behave)
    check(measure(lab, server.url(), 400, 2000), "H2_RESET")


def test_timeouts(lab: Lab) -> None:
    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            link.stream()

    server = lab.serve_h2(behave)
    warm, total = (50, 100) if lab.kind == "sync" else (300, 1000)
    check(measure(lab, server.url(), warm, total, timeout=0.01), "TIMEOUT_TOTAL")
