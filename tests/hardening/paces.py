"""Much data at paces that change all the time, and that none of it ever stands still: `make paces SECONDS=600`.

Readers, writers, and the network between them go fast and slowly in turns, so that every queue and every flow-control window on the way is full, empty and
halfway through at some time. Nothing is cut: each session must move all its bytes, in order. A wake-up that is lost shows as a time-out here, where under
chaos it would pass for the network's doing.

Half of the sessions by threads with one blocking client, half by tasks with one asynchronous client: bodies read in pieces, uploads from iterators, echoes both
ways at once, downloads into files, WebSockets of which one side writes while the other reads; over HTTP/2 and HTTP/1.1, and without TLS; directly, through
https proxies over HTTP/2 (Go, nghttpx) and over HTTP/1.1 (squid), and SOCKS 5.

Prints a JSON object on its last line; the exit status is 0 when everything held.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import tls_requests
from left import differences, state
from peers import free_port, start
from peers.certs import Authority
from peers.h2_proxies import start_go_proxy, start_nghttpx
from peers.proxies import start_microsocks, start_squid
from peers.servers import start_go, start_nginx
from peers.sockets import start_hypercorn, start_node_ws

HERE = Path(__file__).resolve().parent
CONCURRENT = 24
KINDS = ("read", "read", "read", "left", "upload", "upload", "duplex", "download", "websocket")
PROFILES = ("chrome_133", "firefox_133", "safari_18_0")  # whose windows differ
# No side ever rests for a second; a busy machine may. Who waits for longer than this waits for a wake-up that was lost.
SILENCE = 25.0
LARGEST = 24  # a power of two: bytes of a body
PATTERN = b"".join(at.to_bytes(8, "big") for at in range(0, (1 << LARGEST) + 65536, 8))


class Pace:
    """How one side goes on: `next` gives how much at once, and how long to rest before."""

    def __init__(self, seed: str) -> None:
        self.dice = random.Random(seed)
        self.left = 0
        self.until = 0.0
        self.size = 1
        self.rest = 0.0

    def next(self) -> tuple[int, float]:
        dice = self.dice
        pause = 0.0
        if self.left <= 0 or time.monotonic() > self.until:
            self.left = int(2 ** dice.uniform(10, 23))
            self.until = time.monotonic() + 0.2
            self.size = int(2 ** dice.uniform(6, 20))
            self.rest = dice.choice((0.0, 0.0, 0.0, dice.uniform(0.0001, 0.01)))
            pause = dice.uniform(0.01, 0.7) if dice.random() < 0.15 else 0.0
        self.left -= self.size
        return self.size, self.rest + pause


class Paces:
    def __init__(
        self,
        seconds: float,
        seed: int,
        urls: dict[str, str],
        proxies: dict[str, str | None],
        ca: str,
        folder: Path,
        big: bytes,
    ) -> None:
        self.end = time.monotonic() + seconds
        self.seed = seed
        self.urls = urls
        self.proxies = proxies
        self.ca = ca
        self.folder = folder
        self.bodies = {"go": PATTERN, "nginx": big}
        self.num = 0
        self.moved = 0
        self.kinds: Counter[str] = Counter()
        self.faults: list[str] = []
        self.lock = threading.Lock()

    def draw(self, dice: random.Random, kind: str = "") -> dict[str, Any]:
        kind = kind or dice.choice(KINDS)
        size = int(2 ** dice.uniform(8, LARGEST if kind in ("read", "download") else LARGEST - 2))
        server = dice.choice(("node", "hypercorn")) if kind == "websocket" else "go"
        if kind in ("read", "left", "download") and dice.random() < 0.2:
            server, size = "nginx", len(self.bodies["nginx"])
        paths = {"upload": "/digest", "duplex": "/duplex", "websocket": "/echo"}
        path = "/big" if server == "nginx" else paths.get(kind, f"/pattern/{size}")
        return {
            "kind": kind,
            "server": server,
            "url": self.urls[server] + path,
            # Go's HTTP/1.1 server and hypercorn's WebSockets over it are other tests' affair.
            "http2": "auto" if kind == "duplex" or server == "hypercorn" else dice.choice(("auto", False)),
            "proxy": dice.choice(list(self.proxies)),
            "profile": dice.choice(PROFILES),
            "size": size,
            "seed": f"{dice.getrandbits(64):x}",
            "pieces": dice.random() < 0.3,
            "declared": dice.random() < 0.5,
        }

    def arguments(self, ask: dict[str, Any]) -> dict[str, Any]:
        return {
            "timeout": {"read": SILENCE, "write": SILENCE},
            "http2": ask["http2"],
            "proxy": self.proxies[ask["proxy"]],
        }

    def told(self, ask: dict[str, Any], error: BaseException | None, took: float) -> None:
        with self.lock:
            self.num += 1
            self.kinds[ask["kind"]] += 1
            if error is not None:
                self.faults.append(f"{ask} after {took:.1f} s: {type(error).__name__} {error!s:.300}")
            else:
                self.moved += ask["size"]

    # -------------------------------------------------------------------------------------------------- what is moved

    def body(self, ask: dict[str, Any]) -> Iterator[tuple[bytes, float]]:
        pace, at = Pace(ask["seed"] + "up"), 0
        while at < ask["size"]:
            size, rest = pace.next()
            yield PATTERN[at : min(at + size, ask["size"])], rest
            at += size

    def upload(self, ask: dict[str, Any]) -> Iterator[bytes]:
        for piece, rest in self.body(ask):
            time.sleep(rest)
            yield piece

    async def aupload(self, ask: dict[str, Any]) -> AsyncIterator[bytes]:
        for piece, rest in self.body(ask):
            await asyncio.sleep(rest)
            yield piece

    def headers(self, ask: dict[str, Any]) -> dict[str, str]:
        return {"Content-Length": str(ask["size"])} if ask["declared"] else {}

    def right(self, ask: dict[str, Any], digest: str, num: int) -> None:
        assert num == ask["size"], f"{num} of {ask['size']} bytes"
        body = self.bodies[ask["server"]]
        assert digest == hashlib.sha256(memoryview(body)[:num]).hexdigest(), "other bytes"

    def messages(self, ask: dict[str, Any]) -> list[tuple[bytes, float]]:
        return [(piece, rest) for piece, rest in self.body({**ask, "size": min(ask["size"], 1 << 21)})]

    # -------------------------------------------------------------------------------------------------------- blocking

    def read(self, ask: dict[str, Any], response: Any) -> None:
        pace, digest, num, owed = Pace(ask["seed"]), hashlib.sha256(), 0, 0
        for piece in response.iter_bytes(ask["size"] % 70_000 + 1 if ask["pieces"] else None):
            digest.update(piece)
            num += len(piece)
            owed -= len(piece)
            while owed <= 0:
                size, rest = pace.next()
                owed += size
                time.sleep(rest)
            if ask["kind"] == "left" and num > ask["size"] // 2:
                return
        self.right(ask, digest.hexdigest(), num)

    def ask(self, client: Any, ask: dict[str, Any]) -> None:
        kind, url, arguments = ask["kind"], ask["url"], self.arguments(ask)
        if kind in ("read", "left"):
            with client.stream("GET", url, **arguments) as response:
                self.read(ask, response)
        elif kind == "duplex":
            with client.stream("POST", url, content=self.upload(ask), **arguments) as response:
                self.read(ask, response)
        elif kind == "upload":
            told = client.post(url, content=self.upload(ask), headers=self.headers(ask), **arguments).json()
            self.right(ask, told["sha256"], told["length"])
        elif kind == "download":
            path = self.folder / ask["seed"]
            client.download(url, path, **arguments)
            self.right(ask, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
            path.unlink()
        else:
            with client.websocket(url, ping_interval=None, max_message_size=1 << 21, **arguments) as socket:
                messages = self.messages(ask)
                failures: list[BaseException] = []

                def send() -> None:
                    try:
                        for message, rest in messages:
                            time.sleep(rest)
                            socket.send(message)
                    except BaseException as error:
                        failures.append(error)

                sender = threading.Thread(target=send)
                sender.start()
                try:
                    pace = Pace(ask["seed"])
                    for message, _ in messages:
                        time.sleep(pace.next()[1])
                        assert socket.receive(SILENCE) == message
                finally:
                    sender.join()
                    if failures:
                        raise failures[0]

    def thread(self, clients: dict[str, Any], number: int) -> None:
        dice = random.Random(f"{self.seed} thread {number}")
        kind = KINDS[number % len(KINDS)]  # first each once
        while time.monotonic() < self.end:
            ask, kind = self.draw(dice, kind), ""
            error: BaseException | None = None
            start = time.monotonic()
            try:
                self.ask(clients[ask["profile"]], ask)
            except BaseException as caught:
                error = caught
            self.told(ask, error, time.monotonic() - start)

    # ---------------------------------------------------------------------------------------------------- asynchronous

    async def aread(self, ask: dict[str, Any], response: Any) -> None:
        pace, digest, num, owed = Pace(ask["seed"]), hashlib.sha256(), 0, 0
        async for piece in response.aiter_bytes(ask["size"] % 70_000 + 1 if ask["pieces"] else None):
            digest.update(piece)
            num += len(piece)
            owed -= len(piece)
            while owed <= 0:
                size, rest = pace.next()
                owed += size
                await asyncio.sleep(rest)
            if ask["kind"] == "left" and num > ask["size"] // 2:
                return
        self.right(ask, digest.hexdigest(), num)

    async def aask(self, client: Any, ask: dict[str, Any]) -> None:
        kind, url, arguments = ask["kind"], ask["url"], self.arguments(ask)
        if kind in ("read", "left"):
            async with client.stream("GET", url, **arguments) as response:
                await self.aread(ask, response)
        elif kind == "duplex":
            async with client.stream("POST", url, content=self.aupload(ask), **arguments) as response:
                await self.aread(ask, response)
        elif kind == "upload":
            response = await client.post(url, content=self.aupload(ask), headers=self.headers(ask), **arguments)
            told = response.json()
            self.right(ask, told["sha256"], told["length"])
        elif kind == "download":
            path = self.folder / ask["seed"]
            await client.download(url, path, **arguments)
            self.right(ask, hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
            path.unlink()
        else:
            async with client.websocket(url, ping_interval=None, max_message_size=1 << 21, **arguments) as socket:
                messages = self.messages(ask)

                async def send() -> None:
                    for message, rest in messages:
                        await asyncio.sleep(rest)
                        await socket.send(message)

                sender = asyncio.ensure_future(send())
                try:
                    pace = Pace(ask["seed"])
                    for message, _ in messages:
                        await asyncio.sleep(pace.next()[1])
                        assert await socket.receive(SILENCE) == message
                finally:
                    await sender

    async def task(self, clients: dict[str, Any], number: int) -> None:
        dice = random.Random(f"{self.seed} task {number}")
        kind = KINDS[number % len(KINDS)]
        while time.monotonic() < self.end:
            ask, kind = self.draw(dice, kind), ""
            error: BaseException | None = None
            start = time.monotonic()
            try:
                await self.aask(clients[ask["profile"]], ask)
            except BaseException as caught:
                error = caught
            self.told(ask, error, time.monotonic() - start)

    async def tasks(self) -> None:
        async with AsyncExitStack() as stack:
            clients = {}
            for profile in PROFILES:
                client = tls_requests.AsyncClient(client_identifier=profile, verify=self.ca, raise_on_error=True)
                clients[profile] = await stack.enter_async_context(client)
            await asyncio.gather(*(self.task(clients, number) for number in range(CONCURRENT // 2)))

    def run(self) -> None:
        with ExitStack() as stack:
            clients = {}
            for profile in PROFILES:
                client = tls_requests.Client(client_identifier=profile, verify=self.ca, raise_on_error=True)
                clients[profile] = stack.enter_context(client)
            threads = [threading.Thread(target=self.thread, args=(clients, n)) for n in range(CONCURRENT // 2)]
            for thread in threads:
                thread.start()
            asyncio.run(self.tasks())
            for thread in threads:
                thread.join()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: drawn")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    print(f"seed {seed}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        authority = Authority(folder)
        pair = authority.issue("server")
        peers = {
            "go": (stack.enter_context(start_go(pair)), "https"),
            "nginx": (stack.enter_context(start_nginx(pair, 8)), "http"),
            "node": (stack.enter_context(start_node_ws(pair)), "https"),
            "hypercorn": (stack.enter_context(start_hypercorn(pair)), "https"),
            "nghttpx": (stack.enter_context(start_nghttpx(pair)), "https"),
            "go-proxy": (stack.enter_context(start_go_proxy(pair)), "https"),
            "squid": (stack.enter_context(start_squid(pair)), "https"),
            "socks": (stack.enter_context(start_microsocks()), "socks"),
        }
        ports = {name: free_port() for name in peers}
        pairs = [f"{ports[name]}:{peer.ports[port]}" for name, (peer, port) in peers.items()]
        command = [sys.executable, str(HERE.parent / "peers" / "chaos.py"), str(seed), "uneven", *pairs]
        stack.enter_context(start("uneven", command, ports))
        urls = {name: f"https://localhost:{ports[name]}" for name in ("go", "node", "hypercorn")}
        urls["nginx"] = f"http://localhost:{ports['nginx']}"
        big = (peers["nginx"][0].folder / "root" / "big").read_bytes()
        proxies: dict[str, str | None] = {"none": None, "socks": f"socks5h://127.0.0.1:{ports['socks']}"}
        proxies.update({name: f"https://localhost:{ports[name]}" for name in ("nghttpx", "go-proxy", "squid")})
        # A first second, and a session of each kind, make what is made once: pools, caches, threads.
        first = Paces(min(1.0, options.seconds / 4), seed + 1, urls, proxies, str(authority.pem), folder, big)
        first.run()
        before = state()
        paces = Paces(options.seconds, seed, urls, proxies, str(authority.pem), folder, big)
        paces.run()
        after = state()
    faults = first.faults + paces.faults
    left = differences(before, after, blocks=128)
    report = {
        "seed": seed,
        "seconds": options.seconds,
        "sessions": paces.num,
        "mib": paces.moved >> 20,
        "kinds": dict(paces.kinds),
        "rss_mib": round(after["rss"] / (1 << 20), 1),
        "left": left,
        "num_faults": len(faults),
        "faults": faults[:20],
    }
    print(json.dumps(report))
    return 1 if faults or left else 0


if __name__ == "__main__":
    sys.exit(main())
