"""One measurement of one client in a process of its own: `worker.py CASE CLIENT JSON-options`, prints JSON.

The CPU figures are this process's own (user and system, all its threads), so the server's work is not in them.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import resource
import subprocess
import sys
import time
from typing import Any

import clients

CONCURRENT = 64


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _close(close: Any) -> None:
    result = close()
    if inspect.isawaitable(result):
        await result


def loop_kind(options: dict[str, Any]) -> None:
    if options.get("uvloop"):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


def run_async(name: str, options: dict[str, Any]) -> dict[str, float]:
    """`count` requests, 64 under way at once; with `timer` also how late a 2 ms timer on the loop is meanwhile."""
    url, count, http1 = options["url"], options["count"], options["http1"]

    async def main() -> dict[str, float]:
        get, close = await clients.ASYNC[name](options["ca"], http1)
        expected = await get(url)
        left = count
        late: list[float] = []
        done = False

        async def one() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                got = await get(url)
                if got != expected:
                    raise RuntimeError(f"{got} bytes instead of {expected}")

        async def timer() -> None:
            while not done:
                before = time.perf_counter()
                await asyncio.sleep(0.002)
                late.append(time.perf_counter() - before - 0.002)

        watch = asyncio.create_task(timer()) if options.get("timer") else None
        await asyncio.gather(*(get(url) for _ in range(CONCURRENT)))
        cpu0, start = cpu(), time.perf_counter()
        await asyncio.gather(*(one() for _ in range(CONCURRENT)))
        seconds, used = time.perf_counter() - start, cpu() - cpu0
        done = True
        if watch is not None:
            await watch
        await _close(close)
        result = {"rate": count / seconds, "cpu_us": used / count * 1e6}
        if late:
            late.sort()
            result["late_p99_ms"] = late[min(len(late) - 1, int(len(late) * 0.99))] * 1e3
        return result

    loop_kind(options)
    return asyncio.run(main())


def run_sync(name: str, options: dict[str, Any]) -> dict[str, float]:
    """`count` requests, one after another, on a kept connection."""
    url, count = options["url"], options["count"]
    get, close = clients.SYNC[name](options["ca"], options["http1"])
    expected = get(url)
    for _ in range(20):
        get(url)
    cpu0, start = cpu(), time.perf_counter()
    for _ in range(count):
        if get(url) != expected:
            raise RuntimeError("a different body")
    seconds, used = time.perf_counter() - start, cpu() - cpu0
    close()
    return {"rate": count / seconds, "cpu_us": used / count * 1e6}


def run_handshake(name: str, options: dict[str, Any]) -> dict[str, float]:
    """`count` times: a new client, a new connection, a full handshake, one request."""
    url, count = options["url"], options["count"]

    def one() -> None:
        get, close = clients.SYNC[name](options["ca"], options["http1"])
        get(url)
        close()

    for _ in range(5):
        one()
    cpu0, start = cpu(), time.perf_counter()
    for _ in range(count):
        one()
    seconds, used = time.perf_counter() - start, cpu() - cpu0
    return {"rate": count / seconds, "cpu_us": used / count * 1e6}


def run_body(name: str, options: dict[str, Any]) -> dict[str, float]:
    """One large body, whole in memory; the peak is the process's maximum resident size."""
    get, close = clients.SYNC[name](options["ca"], options["http1"])
    get(options["warm_url"])
    cpu0, start = cpu(), time.perf_counter()
    size = get(options["url"])
    seconds, used = time.perf_counter() - start, cpu() - cpu0
    close()
    if size != options["size"]:
        raise RuntimeError(f"{size} bytes instead of {options['size']}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"mib_s": size / (1 << 20) / seconds, "cpu_ms": used * 1e3, "peak_mib": peak}


def run_import(name: str, options: dict[str, Any]) -> dict[str, float]:
    """Wall time of the import in a new interpreter, less that of an empty one."""
    module = clients.MODULES.get(name, name)

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    times = sorted(seconds(f"import {module}") - seconds("pass") for _ in range(options["count"]))
    return {"import_ms": times[len(times) // 2] * 1e3}


CASES = {"async": run_async, "sync": run_sync, "handshake": run_handshake, "body": run_body, "import": run_import}

if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](sys.argv[2], json.loads(sys.argv[3]))))
