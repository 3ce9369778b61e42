#!/usr/bin/env python3
"""`client.download` of one large file from nginx on this machine: wall time, CPU, memory, and how late a loop's timer is meanwhile.

    python benchmarks/download.py                         1 GiB, blocking and asynchronous, HTTP/1.1 and HTTP/2, 3 rounds
    python benchmarks/download.py --mib 256 --rounds 5 --folder /dev/shm

Each download runs in a process of its own. cpu_s is that process's, all threads, user and system; peak_mib is by how much its peak of resident
memory grew over what it had behind its imports and one small request; late_* is by how much a timer of 2 ms on the loop came too late while the
download ran. The file is not synchronised (fsync=False), so that the disk is not what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS = 300


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mib() -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def blocking(options: dict[str, Any], folder: Path) -> dict[str, float]:
    import tls_requests

    with tls_requests.Client(verify=options["ca"], http2=options["http2"], raise_on_error=True) as client:
        client.download(options["warm_url"], folder / "small")
        used, peak, start = cpu(), peak_mib(), time.perf_counter()
        client.download(options["url"], folder / "big", fsync=False)
        return {"wall_s": time.perf_counter() - start, "cpu_s": cpu() - used, "peak_mib": peak_mib() - peak}


async def asynchronous(options: dict[str, Any], folder: Path) -> dict[str, float]:
    import tls_requests

    late: list[float] = []

    async def timer() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.002)
            late.append((time.perf_counter() - before - 0.002) * 1000)

    async with tls_requests.AsyncClient(verify=options["ca"], http2=options["http2"], raise_on_error=True) as client:
        await client.download(options["warm_url"], folder / "small")
        used, peak, start = cpu(), peak_mib(), time.perf_counter()
        watch = asyncio.ensure_future(timer())
        await client.download(options["url"], folder / "big", fsync=False)
        found = {"wall_s": time.perf_counter() - start, "cpu_s": cpu() - used, "peak_mib": peak_mib() - peak}
        watch.cancel()
    late.sort()
    return {
        **found,
        "late_p50_ms": late[len(late) // 2],
        "late_p99_ms": late[len(late) * 99 // 100],
        "late_max_ms": late[-1],
    }


def child(options: dict[str, Any]) -> int:
    with tempfile.TemporaryDirectory(dir=options["folder"]) as name:
        folder = Path(name)
        found = asyncio.run(asynchronous(options, folder)) if options["async"] else blocking(options, folder)
        if (folder / "big").stat().st_size != options["mib"] << 20:
            raise RuntimeError("not the whole file")
    print(json.dumps(found))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where the downloads go")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        return child(json.loads(arguments.child))
    sys.path.insert(0, str(HERE.parent / "tests"))
    from peers.certs import Authority
    from peers.servers import start_nginx

    samples: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        with start_nginx(authority.issue(), big_mib=arguments.mib) as peer:
            for _ in range(arguments.rounds):
                for kind in ("sync", "async"):
                    for version in ("h1", "h2"):
                        port = "https1" if version == "h1" else "https"
                        options = {
                            "async": kind == "async",
                            "http2": False if version == "h1" else "auto",
                            "ca": str(authority.pem),
                            "url": peer.url("/big", port),
                            "warm_url": peer.url("/index.html", port),
                            "mib": arguments.mib,
                            "folder": arguments.folder,
                        }
                        command = [sys.executable, __file__, "--child", json.dumps(options)]
                        done = subprocess.run(
                            command, stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=True, env=os.environ
                        )
                        samples.setdefault(f"{kind} {version}", []).append(json.loads(done.stdout))
    for case, found in samples.items():
        cells = [f"{name} {statistics.median(sample[name] for sample in found):8.2f}" for name in found[0]]
        print(case.ljust(9), "  ".join(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
