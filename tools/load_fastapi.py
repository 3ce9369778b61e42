"""Visits the web application of examples/ with many users at once, and tells how late its event loop got: `make load-fastapi`.

    python tools/load_fastapi.py [--users 200] [--seconds 60] [--app fastapi_app] [--loop uvloop] [--route / --route /many] [--think 1.0]

The application runs in a uvicorn process of its own, its upstream is an nginx on this machine, HTTP/2 over TLS. Each user is a client with
connections of its own: it asks, reads the answer, waits between half and one and a half times `--think` seconds, and asks again. A task in
the application's loop measures, every two milliseconds, how late its timer fires. Exit code 0: no user saw an error, and 99 of 100 timers
were late by at most `--limit` milliseconds.

What is late by itself is the framework's own share: `--route /nothing` has answers that need no request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tls_requests

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from peers import Peer, free_port, start  # noqa: E402
from peers.certs import Authority  # noqa: E402
from peers.servers import INDEX, start_nginx  # noqa: E402


@dataclass
class Result:
    """What the users saw, and what the application says of its loop."""

    answers: int = 0
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)
    times_ms: list[float] = field(default_factory=list)
    lateness: dict[str, float] = field(default_factory=dict)

    def below(self, share: float) -> float:
        times = sorted(self.times_ms)
        return round(times[min(int(share * len(times)), len(times) - 1)], 1) if times else 0.0


def start_app(app: str, loop: str, upstream: str, ca_file: str, folder: Path = ROOT / "examples") -> Peer:
    """The application, a module of `folder`, in a uvicorn process."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(folder), f"{app}:app"]
    options = ["--host", "127.0.0.1", "--port", str(port), "--loop", loop, "--log-level", "warning", "--no-access-log"]
    env = {"UPSTREAM": upstream, "SSL_CERT_FILE": ca_file, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return start("uvicorn", [*command, *options], {"http": port}, env=env)


@contextlib.contextmanager
def application(app: str, loop: str) -> Iterator[Peer]:
    """The application before an nginx of its own."""
    with tempfile.TemporaryDirectory() as name:
        authority = Authority(Path(name))
        with (
            start_nginx(authority.issue("upstream")) as nginx,
            start_app(app, loop, nginx.url(""), str(authority.pem)) as peer,
        ):
            yield peer


def is_right(route: str, response: tls_requests.Response) -> bool:
    """Whether the application answered with what its upstream has."""
    if response.status_code != 200:
        return False
    body = response.json()
    if route == "/":
        return bool(body == {"status": 200, "protocol": "HTTP/2.0", "bytes": len(INDEX)})
    if route == "/many":
        return bool(body == {"statuses": [200] * 5, "bytes": 5 * len(INDEX)})
    return bool(body == {})


async def user(base: str, routes: Sequence[str], think: float, until: float, result: Result, seed: int) -> None:
    chance = random.Random(seed)
    await asyncio.sleep(chance.uniform(0, min(think, 1.0)))  # people do not come all in the same moment
    async with tls_requests.AsyncClient(headers={"user-agent": "load"}, timeout=30) as client:
        while time.monotonic() < until:
            route = chance.choice(routes)
            began = time.monotonic()
            response = await client.get(base + route)
            result.times_ms.append((time.monotonic() - began) * 1000)
            result.answers += 1
            if not is_right(route, response):
                result.errors[f"{route}: {response.status_code} {response.text[:200]}"] += 1
            await asyncio.sleep(chance.uniform(think / 2, think * 1.5))


async def visit(base: str, users: int, seconds: float, routes: Sequence[str], think: float) -> Result:
    """The visits of so many users for so many seconds."""
    result = Result()
    async with tls_requests.AsyncClient(headers={"user-agent": "load"}) as client:
        await client.get(f"{base}/many")  # the connection to the upstream, and what is imported at the first request
        await client.get(f"{base}/lateness")  # what was measured until now
        began = time.monotonic()
        until = began + seconds
        await asyncio.gather(*(user(base, routes, think, until, result, seed) for seed in range(users)))
        result.seconds = time.monotonic() - began
        result.lateness = (await client.get(f"{base}/lateness")).json()
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--app", default="fastapi_app", choices=("fastapi_app", "starlette_app"))
    parser.add_argument("--loop", default="uvloop", choices=("uvloop", "asyncio"))
    parser.add_argument("--route", action="append", choices=("/", "/many", "/nothing"), help="default: / and /many")
    parser.add_argument("--think", type=float, default=1.0, help="seconds between two requests of a user, on average")
    parser.add_argument("--limit", type=float, default=5.0, help="milliseconds of lateness at the 99th percentile")
    chosen = parser.parse_args(arguments)
    routes = chosen.route or ["/", "/many"]
    with application(chosen.app, chosen.loop) as app:
        result = asyncio.run(visit(app.url("", scheme="http"), chosen.users, chosen.seconds, routes, chosen.think))
    print(f"{chosen.app} on {chosen.loop}: {chosen.users} users, {result.seconds:.0f} s, routes {' '.join(routes)}")
    print(
        f"  answers   {result.answers} ({result.answers / result.seconds:.0f}/s), errors {sum(result.errors.values())}"
    )
    print(f"  time      p50 {result.below(0.5)} ms, p99 {result.below(0.99)} ms")
    late = result.lateness
    print(
        f"  lateness  p50 {late['p50_ms']} ms, p99 {late['p99_ms']} ms, p99.9 {late['p999_ms']} ms, "
        f"max {late['max_ms']} ms, of {late['timers']:.0f} timers"
    )
    for text, count in result.errors.most_common(10):
        print(f"  ERROR     {count} times: {text}")
    return 0 if not result.errors and late["p99_ms"] <= chosen.limit else 1


if __name__ == "__main__":
    sys.exit(main())
