"""Requests through a relay that treats connections badly, and what must hold: `make chaos SECONDS=600`.

64 at once, half of them by threads with one blocking client, half by tasks with one asynchronous client: whole and streamed answers, uploads from memory and
from iterators, downloads into files, redirects, cancelled tasks; over HTTP/2 and HTTP/1.1, from nginx and Go; WebSockets that echo, over both, with node and
hypercorn; a third of all through an https proxy over HTTP/2, with the relay on both sides of it; event streams, read once or with reconnections. Each must end within its limit (and a margin for a busy machine) in an answer whose body
has the right hash, in messages and events that are right and in order, or in a typed error; in the end nothing may be left.

Prints a JSON object on its last line; the exit status is 0 when everything held.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
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
from peers import free_port, start
from peers.certs import Authority
from peers.h2_proxies import start_nghttpx
from peers.servers import start_go, start_nginx
from peers.sockets import start_hypercorn, start_node_ws
from tls_requests import exceptions

HERE = Path(__file__).resolve().parent
CONCURRENT = 64
MARGIN = 3.0  # seconds beyond its limit that a request may take on a machine that does other things, too
SIZES = (0, 1, 1000, 16_000, 100_000, 1_000_000, 3_000_000)
KINDS = ("whole", "streamed", "left", "upload", "upload_pieces", "download", "redirect", "late", "cancel")
KINDS += ("websocket", "websocket", "websocket_left", "events", "events_again", "events_again")
MESSAGE_SIZES = (0, 1, 100, 1000, 16_000, 100_000)
# A WebSocket's own: pings that find a stalled connection while a message is being sent, and the closing handshake.
PING, PONG, CLOSING = 0.5, 1.0, 1.0
# What a connection that is cut, reset or stalled may end in. Others (INTERNAL, a protocol violation that the relay cannot have made) are faults.
EXPECTED = {
    "BODY_TRUNCATED", "CANCELLED", "CLOSED_EARLY", "CONNECT_REFUSED", "CONNECT_RESET", "CONNECT_TIMEOUT", "H2_GOAWAY", "H2_RESET", "HTTP1_CLOSED",
    "TIMEOUT_CONNECT", "TIMEOUT_READ", "TIMEOUT_TOTAL", "TIMEOUT_TLS", "TIMEOUT_WRITE", "TIMEOUT_POOL", "TLS_CLOSED", "CONNECT_CLOSED",
    "WebSocketClosed 1006", "WebSocketTimeout None",
    "PROXY_CLOSED", "PROXY_CONNECT", "PROXY_REFUSED", "PROXY_TIMEOUT", "PROXY_TLS",
}  # fmt: skip


class Given(Exception):
    """A program's own end of a session."""


def pattern(size: int) -> bytes:
    """What Go's /pattern/SIZE sends."""
    return b"".join(at.to_bytes(8, "big") for at in range(0, size + 8, 8))[:size]


class Chaos:
    def __init__(
        self, seconds: float, seed: int, urls: dict[str, str], proxy: str, ca: str, folder: Path, big: str
    ) -> None:
        self.end = time.monotonic() + seconds
        self.seed = seed
        self.urls = urls
        self.proxy = proxy
        self.ca = ca
        self.folder = folder
        self.bodies = {size: pattern(size) for size in SIZES}
        self.hashes = {size: hashlib.sha256(body).hexdigest() for size, body in self.bodies.items()}
        self.big = big
        self.results: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.faults: list[str] = []
        self.latest: dict[str, float] = {}  # by kind: how long after its limit one ended
        self.lock = threading.Lock()

    # ---------------------------------------------------------------------------------------------------- what to ask

    def draw(self, dice: random.Random) -> dict[str, Any]:
        size = dice.choice(SIZES)
        kind = dice.choice(KINDS)
        origin = dice.choice(("go", "go1"))
        path = f"/pattern/{size}"
        digest = self.hashes[size]
        num = 0
        if kind in ("whole", "streamed", "download") and dice.random() < 0.3:
            origin, path, digest = dice.choice(("nginx", "nginx1", "plain")), "/big", self.big
        if kind.startswith("upload"):
            path = "/digest"
        elif kind == "redirect":
            path = "/redirect/4"
        elif kind == "late":
            path = "/slow/3000"
        elif kind.startswith("websocket"):
            origin, path = dice.choice(("node", "hypercorn", "hypercorn", "hypercorn1")), "/echo"
        elif kind.startswith("events"):
            num = dice.choice((1, 10, 200))
            path = f"/events/{num}?slow={dice.choice((0, 0, 20, 100))}"
        limit = dice.uniform(0.05, 0.5) if kind == "late" else dice.uniform(1, 5)
        return {
            "kind": kind,
            "url": self.urls[origin] + path,
            # hypercorn's wsproto garbles a compressed message in fragments when a ping of ours comes between them.
            "compression": origin == "node",
            "http2": "auto" if origin in ("go", "nginx", "hypercorn") else False,
            "proxy": self.proxy if dice.random() < 0.33 else None,
            "num": num,
            "messages": [(dice.choice(MESSAGE_SIZES), dice.choice("tbf")) for _ in range(dice.randrange(1, 8))],
            "limit": limit,
            "size": size,
            "digest": digest,
            "raises": dice.random() < 0.5,
            "after": dice.uniform(0, 0.3),
            "file": str(self.folder / f"{dice.getrandbits(64):x}"),
        }

    def pieces(self, size: int):
        body = self.bodies[size]
        for at in range(0, size, 9999):
            yield body[at : at + 9999]

    def arguments(self, ask: dict[str, Any]) -> dict[str, Any]:
        return {"timeout": {"total": ask["limit"]}, "http2": ask["http2"], "proxy": ask["proxy"]}

    # ------------------------------------------------------------------------------------------------------ judgement

    def judge(self, ask: dict[str, Any], outcome: Any, took: float) -> None:
        """outcome: None (it was right), or the exception."""
        name = "ok"
        fault = ""
        if isinstance(outcome, AssertionError):
            fault = f"wrong answer: {outcome}"
        elif isinstance(outcome, (asyncio.CancelledError,)):
            name = "cancelled"
            fault = "" if ask["kind"] == "cancel" else "cancelled by nobody"
        elif isinstance(outcome, Given):
            name = "given up"
        elif isinstance(outcome, exceptions.HTTPError):
            name = getattr(outcome, "code", None) or type(outcome).__name__
            if isinstance(outcome, exceptions.WebSocketError):
                name = f"{type(outcome).__name__} {outcome.close_code}"
            if name not in EXPECTED:
                fault = f"unexpected {type(outcome).__name__} {name}: {outcome}"
        elif outcome is not None:
            fault = f"untyped {outcome!r}"
        limit = ask["limit"] * (5 if ask["kind"] == "redirect" else 1)  # each hop has it
        if ask["kind"].startswith("websocket"):
            limit += PING + PONG + CLOSING
        elif ask["kind"] == "events":
            limit = 2 * limit + 8  # head and silence have it, each; what is sent slowly may take as long as that does
        if took > limit + MARGIN:
            fault = f"{took:.2f} s for a limit of {limit:.2f} ({name}) {fault}"
        with self.lock:
            self.results[name] += 1
            self.kinds[ask["kind"]] += 1
            self.latest[ask["kind"]] = max(self.latest.get(ask["kind"], 0.0), took - limit)
            if fault:
                self.faults.append(f"{ask['kind']} {ask['url']} http2={ask['http2']} {ask['proxy']}: {fault}"[:500])

    def check(self, ask: dict[str, Any], response: Any, digest: str | None) -> None:
        if response.status_code == 0:
            raise response.error
        assert response.status_code == 200, response.status_code
        if ask["kind"].startswith("upload"):
            told = response.json()
            assert told["length"] == ask["size"] and told["sha256"] == self.hashes[ask["size"]], told
        elif ask["kind"] == "redirect":
            assert len(response.history) == 4 and response.json()["method"] == "GET"
        elif ask["kind"] == "late":
            assert response.text == "late"
        else:
            assert digest == ask["digest"], f"{ask['size']} bytes: {digest}"

    def check_file(self, ask: dict[str, Any]) -> None:
        path = Path(ask["file"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == ask["digest"], "the file differs"

    def remove(self, ask: dict[str, Any]) -> None:
        # A download that failed leaves nothing.
        for suffix in ("", ".part", ".part.json"):
            path = ask["file"] + suffix
            if os.path.exists(path):
                os.unlink(path)
                if suffix and ask["kind"] == "download":
                    with self.lock:
                        self.faults.append(f"download left {suffix}")

    # ------------------------------------------------------------------------------------------------- WebSockets, events

    def message(self, size: int, form: str) -> str | bytes:
        body = pattern(size)
        return body.hex()[:size] if form == "t" else body

    def websocket(self, client: Any, ask: dict[str, Any]) -> Any:
        return client.websocket(
            ask["url"],
            **self.arguments(ask),
            ping_interval=PING,
            pong_timeout=PONG,
            close_timeout=CLOSING,
            compression=ask["compression"],
            max_message_size=200_000,
        )

    def same(self, sent: str | bytes, got: str | bytes) -> None:
        right = (
            type(sent) is type(got)
            and hashlib.sha256(self.raw(sent)).digest() == hashlib.sha256(self.raw(got)).digest()
        )
        assert right, f"{type(got).__name__} of {len(got)} for {type(sent).__name__} of {len(sent)}: {got[:20]!r}"

    def raw(self, message: str | bytes) -> bytes:
        return message.encode() if isinstance(message, str) else message

    def websocket_blocking(self, client: Any, ask: dict[str, Any]) -> None:
        deadline = time.monotonic() + ask["limit"]
        with self.websocket(client, ask) as socket:
            for size, form in ask["messages"]:
                message = self.message(size, form)
                if form == "f":
                    socket.send(message[at : at + 7001] for at in range(0, max(size, 1), 7001))
                else:
                    socket.send(message)
                if ask["kind"] == "websocket_left":
                    raise Given
                self.same(message, socket.receive(max(deadline - time.monotonic(), 0.05)))

    async def websocket_async(self, client: Any, ask: dict[str, Any]) -> None:
        deadline = time.monotonic() + ask["limit"]
        async with self.websocket(client, ask) as socket:
            for size, form in ask["messages"]:
                message = self.message(size, form)
                if form == "f":
                    await socket.send(message[at : at + 7001] for at in range(0, max(size, 1), 7001))
                else:
                    await socket.send(message)
                if ask["kind"] == "websocket_left":
                    raise Given
                self.same(message, await socket.receive(max(deadline - time.monotonic(), 0.05)))

    def events(self, client: Any, ask: dict[str, Any]) -> Any:
        """events: one stream. events_again: as many as are needed, until all events are there, failures pile up, or the limit is over."""
        again = ask["kind"] == "events_again"
        limit = ask["limit"] / 4 if again else ask["limit"]
        arguments = {**self.arguments(ask), "timeout": {"total": limit}}
        return client.events(
            ask["url"], **arguments, reconnect=again, retry=0.02, max_delay=0.2, max_failures=3, idle_timeout=limit
        )

    def next_event(self, ask: dict[str, Any], event: Any, num: int) -> None:
        expected = (str(num), f"{num}\n{'x' * (num * 37 % 2000)}", 20 if num == 0 else event.retry)
        assert (event.id, event.data, event.retry) == expected, f"event {event.id!r} for {num}"

    def all_events(self, ask: dict[str, Any], num: int, over: bool) -> None:
        if over and num < ask["num"]:
            raise Given
        assert num == ask["num"], f"{num} of {ask['num']} events"

    def events_blocking(self, client: Any, ask: dict[str, Any]) -> None:
        num = 0
        events = self.events(client, ask)
        timer = threading.Timer(ask["limit"], events.close)
        if ask["kind"] == "events_again":
            timer.start()
        try:
            with events:
                for event in events:
                    self.next_event(ask, event, num)
                    num += 1
            self.all_events(ask, num, timer.finished.is_set())
        finally:
            timer.cancel()
            if timer.ident is not None:
                timer.join()

    async def events_async(self, client: Any, ask: dict[str, Any]) -> None:
        num = 0
        events = self.events(client, ask)

        async def close() -> None:
            await asyncio.sleep(ask["limit"])
            await events.aclose()

        timer = asyncio.ensure_future(close()) if ask["kind"] == "events_again" else None
        try:
            async with events:
                async for event in events:
                    self.next_event(ask, event, num)
                    num += 1
            self.all_events(ask, num, timer is not None and timer.done())
        finally:
            if timer is not None:
                timer.cancel()
                await asyncio.gather(timer, return_exceptions=True)

    # ---------------------------------------------------------------------------------------------------- doing it

    def ask_blocking(self, client: Any, ask: dict[str, Any]) -> None:
        url, kind, arguments = ask["url"], ask["kind"], self.arguments(ask)
        if kind.startswith("websocket"):
            self.websocket_blocking(client, ask)
        elif kind.startswith("events"):
            self.events_blocking(client, ask)
        elif kind in ("whole", "redirect", "late", "cancel"):
            response = client.get(url, **arguments)
            self.check(ask, response, hashlib.sha256(response.content).hexdigest())
        elif kind in ("streamed", "left"):
            digest = hashlib.sha256()
            with client.stream("GET", url, **arguments) as response:
                if response.status_code == 0:
                    raise response.error
                for piece in response.iter_bytes():
                    digest.update(piece)
                    if kind == "left":
                        return
            if kind == "streamed":
                self.check(ask, response, digest.hexdigest())
        elif kind == "download":
            client.download(url, ask["file"], **arguments)
            self.check_file(ask)
        else:
            body = self.bodies[ask["size"]] if kind == "upload" else self.pieces(ask["size"])
            self.check(ask, client.post(url, content=body, **arguments), None)

    async def ask_async(self, client: Any, ask: dict[str, Any]) -> None:
        url, kind, arguments = ask["url"], ask["kind"], self.arguments(ask)
        if kind.startswith("websocket"):
            await self.websocket_async(client, ask)
        elif kind.startswith("events"):
            await self.events_async(client, ask)
        elif kind == "cancel":
            task = asyncio.ensure_future(client.get(url, **arguments))
            await asyncio.sleep(ask["after"])
            task.cancel()
            response = await task
            self.check(ask, response, hashlib.sha256(response.content).hexdigest())
        elif kind in ("whole", "redirect", "late"):
            response = await client.get(url, **arguments)
            self.check(ask, response, hashlib.sha256(response.content).hexdigest())
        elif kind in ("streamed", "left"):
            digest = hashlib.sha256()
            async with client.stream("GET", url, **arguments) as response:
                if response.status_code == 0:
                    raise response.error
                async for piece in response.aiter_bytes():
                    digest.update(piece)
                    if kind == "left":
                        break
            if kind == "streamed":
                self.check(ask, response, digest.hexdigest())
        elif kind == "download":
            await client.download(url, ask["file"], **arguments)
            self.check_file(ask)
        else:
            body = self.bodies[ask["size"]] if kind == "upload" else self.pieces(ask["size"])
            self.check(ask, await client.post(url, content=body, **arguments), None)

    def thread(self, clients: tuple[Any, Any], number: int) -> None:
        dice = random.Random(f"{self.seed} thread {number}")
        while time.monotonic() < self.end:
            ask = self.draw(dice)
            outcome: Any = None
            start = time.monotonic()
            try:
                self.ask_blocking(clients[ask["raises"]], ask)
            except BaseException as error:  # it is the result
                outcome = error
            took = time.monotonic() - start
            self.judge(ask, outcome, took)
            self.remove(ask)

    async def task(self, clients: tuple[Any, Any], number: int) -> None:
        dice = random.Random(f"{self.seed} task {number}")
        while time.monotonic() < self.end:
            ask = self.draw(dice)
            outcome: Any = None
            start = time.monotonic()
            try:
                await self.ask_async(clients[ask["raises"]], ask)
            except BaseException as error:
                outcome = error
            took = time.monotonic() - start
            self.judge(ask, outcome, took)
            self.remove(ask)

    def open(self, cls: Any) -> tuple[Any, Any]:
        return cls(verify=self.ca), cls(verify=self.ca, raise_on_error=True)

    async def tasks(self, num: int) -> None:
        clients = self.open(tls_requests.AsyncClient)
        try:
            await asyncio.gather(*(self.task(clients, number) for number in range(num)))
        finally:
            for client in clients:
                await client.aclose()

    def run(self) -> None:
        clients = self.open(tls_requests.Client)
        threads = [threading.Thread(target=self.thread, args=(clients, number)) for number in range(CONCURRENT // 2)]
        for thread in threads:
            thread.start()
        asyncio.run(self.tasks(CONCURRENT // 2))
        for thread in threads:
            thread.join()
        for client in clients:
            client.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: drawn")
    options = parser.parse_args()
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = Authority(folder)
        pair = authority.issue("server")
        with (
            start_nginx(pair, 2) as nginx,
            start_go(pair) as go,
            start_node_ws(pair) as node,
            start_hypercorn(pair) as hypercorn,
            start_nghttpx(pair) as nghttpx,
        ):
            big = hashlib.sha256((nginx.folder / "root" / "big").read_bytes()).hexdigest()
            targets = {
                "go": go.port,
                "go1": go.port,
                "nginx": nginx.ports["https"],
                "nginx1": nginx.ports["https1"],
                "plain": nginx.ports["http"],
                "node": node.port,
                "hypercorn": hypercorn.port,
                "hypercorn1": hypercorn.port,
                "proxy": nghttpx.port,
            }
            ports = {label: free_port() for label in targets}
            pairs = [f"{ports[label]}:{targets[label]}" for label in targets]
            command = [sys.executable, str(HERE.parent / "peers" / "chaos.py"), str(seed), "bad", *pairs]
            urls = {k: f"{'http' if k == 'plain' else 'https'}://localhost:{port}" for k, port in ports.items()}
            proxy = urls.pop("proxy")
            with start("chaos", command, ports) as relay:
                # A first second makes what is made once: pools, caches, threads.
                first = Chaos(min(1.0, options.seconds / 4), seed + 1, urls, proxy, str(authority.pem), folder, big)
                first.run()
                before = state()
                chaos = Chaos(options.seconds, seed, urls, proxy, str(authority.pem), folder, big)
                samples: list[int] = []
                over = threading.Event()

                def sample() -> None:
                    while not over.wait(max(0.2, options.seconds / 60)):
                        samples.append(rss())

                sampler = threading.Thread(target=sample)
                sampler.start()
                chaos.run()
                over.set()
                sampler.join()
                after = state()
                relay.process.terminate()
                relay.process.wait(10)
                moods = json.loads(relay.log().splitlines()[-1])
    faults = first.faults + chaos.faults
    # What lives on purpose: names and trust that the process keeps. A request that left something would leave hundreds.
    left = differences(before, after, blocks=128)
    third = max(1, len(samples) // 3)
    grown = (max(samples[-third:]) - max(samples[: 2 * third])) / (1 << 20) if len(samples) >= 3 else 0.0
    if grown > 16:
        left.append(f"memory: {grown:.1f} MiB more in the last third")
    report = {
        "seed": seed,
        "seconds": options.seconds,
        "requests": sum(chaos.results.values()),
        "results": dict(chaos.results.most_common()),
        "kinds": dict(chaos.kinds),
        "moods": moods,
        "latest_s": {kind: round(late, 2) for kind, late in chaos.latest.items()},
        "rss_mib": [round(value / (1 << 20), 1) for value in samples],
        "left": left,
        "num_faults": len(faults),
        "faults": faults[:20],
    }
    print(json.dumps(report))
    return 1 if faults or left else 0


if __name__ == "__main__":
    sys.exit(main())
