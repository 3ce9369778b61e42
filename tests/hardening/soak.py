"""Very many requests in one process, and that it has no more memory or anything else at the end: `make soak REQUESTS=1000000`.

Two threads with blocking clients and 64 tasks with asynchronous ones ask nginx and Go, over HTTP/2, HTTP/1.1 and without TLS. Of each hundred some are
redirected, time out, are cancelled or left half read, find nobody listening, get a body that is cut, are of a URL that cannot be sent, upload, stream, or set
cookies; now and then a client is closed and another opened. What each must end in is known and checked.

Resident memory is measured in windows, as many requests in each. Prints a JSON object on its last line; the exit status is 0 when everything held.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import tls_requests
from left import differences, rss, state
from peers import free_port
from peers.certs import Authority
from peers.servers import INDEX, start_go, start_nginx
from tls_requests import exceptions

TASKS = 64
THREADS = 2
WINDOWS = 20
CLIENT_LIFE = 5000  # requests of a lane until its client is another
SECONDS = 20.0  # of a request that is to succeed: what a busy machine needs at most
# Of a thousand.
SHARES = {
    "plain": 810,
    "redirect": 30,
    "late": 15,
    "cancel": 15,
    "left": 10,
    "refused": 10,
    "cut": 10,
    "invalid": 10,
    "upload": 20,
    "pieces": 10,
    "streamed": 20,
    "cookies": 20,
    "status": 20,
}
BODY = bytes(range(256)) * 40


class Soak:
    def __init__(self, total: int, seed: int, urls: dict[str, str], ca: str) -> None:
        self.total = total
        self.seed = seed
        self.urls = urls
        self.ca = ca
        self.lock = threading.Lock()
        self.begun = 0
        self.done = 0
        self.results: Counter[str] = Counter()
        self.faults: list[str] = []
        self.windows: list[int] = []

    def more(self, num: int = 1) -> bool:
        """Whether there is another request to make."""
        with self.lock:
            self.begun += num
            return self.begun <= self.total

    def note(self, kind: str, error: BaseException | None) -> None:
        with self.lock:
            self.done += 1
            self.results[kind] += 1
            if error is not None and len(self.faults) < 50:
                self.faults.append(f"{kind}: {error!r}"[:400])
            if self.done * WINDOWS // self.total > len(self.windows):
                self.windows.append(rss())

    def draw(self, dice: random.Random) -> tuple[str, str, dict[str, Any]]:
        kind = dice.choices(list(SHARES), list(SHARES.values()))[0]
        origin = dice.choices(("nginx", "nginx1", "http"), (6, 3, 1))[0]
        go = dice.choice(("go", "go1"))
        options: dict[str, Any] = {"timeout": {"total": SECONDS}}
        path = "/"
        if kind in ("plain", "streamed", "left"):
            path = "/page.txt" if kind != "plain" else path
        elif kind == "redirect":
            origin, path = dice.choice((("nginx", "/redirect"), ("nginx1", "/redirect"), (go, "/redirect/3")))
        elif kind in ("late", "cancel"):
            origin, path = go, "/slow/20000"
            options = {"timeout": {"total": 0.01}} if kind == "late" else options
        elif kind == "refused":
            origin = "nobody"
        elif kind == "cut":
            origin, path = go, "/drop"
        elif kind == "invalid":
            options["headers"] = {"X-Bad": "a\r\nb"}
        elif kind in ("upload", "pieces"):
            origin, path = go, "/digest"
        elif kind == "cookies":
            path = "/set-cookie"
        elif kind == "status":
            origin, path = go, f"/status/{dice.choice((204, 404, 500, 503))}"
        options["http2"] = "auto" if origin in ("nginx", "go") else False
        return kind, self.urls[origin] + path, options

    def check(self, kind: str, response: Any) -> None:
        status = response.status_code
        if kind in ("late", "refused", "cut", "invalid"):
            assert status == 0, status
            expected: Any = {
                "late": exceptions.TotalTimeout,
                "refused": exceptions.ConnectError,
                "cut": exceptions.RemoteProtocolError,
                "invalid": exceptions.HeaderError,
            }[kind]
            assert isinstance(response.error, expected), response.error
            return
        assert status != 0, response.error
        if kind == "redirect":
            assert status == 200 and response.history, (status, response.history)
        elif kind in ("upload", "pieces"):
            assert response.json()["length"] == len(BODY), response.text
        elif kind == "plain":
            assert response.content == INDEX, response.content
        elif kind == "cookies":
            assert status == 200 and response.cookies["a"] == "1"
        elif kind == "status":
            assert status in (204, 404, 500, 503), status

    @staticmethod
    def pieces():
        for at in range(0, len(BODY), 1000):
            yield BODY[at : at + 1000]

    def one(self, client: Any, kind: str, url: str, options: dict[str, Any]) -> None:
        if kind in ("streamed", "left"):
            with client.stream("GET", url, **options) as response:
                got = 0
                for piece in response.iter_bytes(4096):
                    got += len(piece)
                    if kind == "left":
                        return
            assert got == 15 * 4096, got
        elif kind in ("upload", "pieces"):
            self.check(kind, client.post(url, content=BODY if kind == "upload" else self.pieces(), **options))
        else:
            self.check(kind, client.get(url, **options))

    async def one_async(self, client: Any, kind: str, url: str, options: dict[str, Any], dice: random.Random) -> None:
        if kind in ("streamed", "left"):
            async with client.stream("GET", url, **options) as response:
                got = 0
                async for piece in response.aiter_bytes(4096):
                    got += len(piece)
                    if kind == "left":
                        return
            assert got == 15 * 4096, got
        elif kind in ("upload", "pieces"):
            self.check(kind, await client.post(url, content=BODY if kind == "upload" else self.pieces(), **options))
        elif kind == "cancel":
            task = asyncio.ensure_future(client.get(url, **options))
            await asyncio.sleep(dice.choice((0, 0, 0.001, 0.01)))
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                return
            raise AssertionError("it was not cancelled")
        else:
            self.check(kind, await client.get(url, **options))

    def thread(self, number: int) -> None:
        dice = random.Random(f"{self.seed} thread {number}")
        more = self.more()
        while more:
            with tls_requests.Client(verify=self.ca) as client:
                for _ in range(CLIENT_LIFE):
                    kind, url, options = self.draw(dice)
                    if kind == "cancel":  # nobody can cancel a blocking call
                        kind, options["timeout"] = "late", {"total": 0.01}
                    error: BaseException | None = None
                    try:
                        self.one(client, kind, url, options)
                    except Exception as failure:  # it is the result
                        error = failure
                    self.note(kind, error)
                    more = self.more()
                    if not more:
                        break

    async def tasks(self) -> None:
        # Two clients, each another from time to time: its tasks wait for each other then.
        async def group(first: int) -> None:
            while self.begun < self.total:
                async with tls_requests.AsyncClient(verify=self.ca) as client:

                    async def lane(number: int, until: float) -> None:
                        dice = random.Random(f"{self.seed} task {number} {self.begun}")
                        while time.monotonic() < until and self.more():
                            kind, url, options = self.draw(dice)
                            error: BaseException | None = None
                            try:
                                await self.one_async(client, kind, url, options, dice)
                            except Exception as failure:
                                error = failure
                            self.note(kind, error)

                    until = time.monotonic() + 5
                    await asyncio.gather(*(lane(first + number, until) for number in range(TASKS // 2)))

        await asyncio.gather(group(0), group(TASKS // 2))

    def run(self) -> None:
        threads = [threading.Thread(target=self.thread, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        asyncio.run(self.tasks())
        for thread in threads:
            thread.join()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        authority = Authority(Path(name))
        pair = authority.issue("server")
        with start_nginx(pair) as nginx, start_go(pair) as go:
            urls = {
                "nginx": nginx.url(""),
                "nginx1": nginx.url("", port="https1"),
                "http": nginx.url("", port="http", scheme="http"),
                "go": go.url(""),
                "go1": go.url(""),
                "nobody": f"http://localhost:{free_port()}",
            }
            first = Soak(max(500, options.requests // 20), options.seed + 1, urls, str(authority.pem))
            first.run()
            before = state()
            soak = Soak(options.requests, options.seed, urls, str(authority.pem))
            start = time.monotonic()
            soak.run()
            seconds = time.monotonic() - start
            after = state()
    left = differences(before, after, blocks=128)
    half = len(soak.windows) // 2
    # The second half of the run against the first: what a request leaves behind would be there a hundred thousand times.
    grown = max(soak.windows[half:]) - max(soak.windows[:half])
    allowed = max(4 << 20, 8 * (options.requests // 2))
    if grown > allowed:
        left.append(f"memory: {grown / (1 << 20):.1f} MiB more in the second half")
    report = {
        "requests": soak.done,
        "seconds": round(seconds, 1),
        "a_second": round(soak.done / seconds),
        "results": dict(soak.results.most_common()),
        "rss_mib": [round(value / (1 << 20), 1) for value in soak.windows],
        "grown_mib": round(grown / (1 << 20), 2),
        "before": {k: v for k, v in before.items() if k != "objects"},
        "after": {k: v for k, v in after.items() if k != "objects"},
        "left": left,
        "num_faults": len(first.faults + soak.faults),
        "faults": (first.faults + soak.faults)[:20],
    }
    print(json.dumps(report))
    return 1 if left or report["num_faults"] else 0


if __name__ == "__main__":
    sys.exit(main())
