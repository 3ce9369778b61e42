#!/usr/bin/env python3
"""Our client beside its peers against one nginx on this machine: medians and ratios of several rounds.

    python benchmarks/run.py                    all cases, all installed clients, 3 rounds
    python benchmarks/run.py async_h2 sync_h2 --rounds 5 --only ours,wreq
    python benchmarks/run.py --json out.json

Every round runs each client once, in turn, in a process of its own, so that a slow moment of the machine meets all of
them. The numbers of different runs do not compare; the ratios within one run do. nginx (one worker), TLS 1.3, a 38-byte
answer; `h2load` gives the limit of server and machine where it is installed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
sys.path.insert(0, str(HERE))

import clients  # noqa: E402
from peers import Peer  # noqa: E402
from peers.certs import Authority  # noqa: E402
from peers.servers import start_nginx  # noqa: E402

BIG_MIB = 256

# name: (worker case, port of the peer, http/1.1 only, count, options, metric, more is better)
CASES: dict[str, tuple[str, str, bool, int, dict[str, Any], str, bool]] = {
    "async_h2": ("async", "https", False, 20000, {"timer": True}, "rate", True),
    "async_h2_uvloop": ("async", "https", False, 20000, {"timer": True, "uvloop": True}, "rate", True),
    "async_h1": ("async", "https1", True, 20000, {"timer": True}, "rate", True),
    "sync_h2": ("sync", "https", False, 5000, {}, "rate", True),
    "sync_h1": ("sync", "https1", True, 5000, {}, "rate", True),
    "handshake": ("handshake", "https1", True, 300, {}, "rate", True),
    "body_h1": ("body", "https1", True, 1, {}, "mib_s", True),
    "body_h2": ("body", "https", False, 1, {}, "mib_s", True),
    "import": ("import", "https", False, 9, {}, "import_ms", False),
}
SLOW = {"httpx": 10, "aiohttp": 2}  # divide the count: their requests take that much longer


def table_for(case: str) -> dict[str, Any]:
    return clients.ASYNC if CASES[case][0] == "async" else clients.SYNC


def measure(case: str, name: str, peer: Peer, ca: Path, scale: float) -> dict[str, float] | str:
    kind, port, http1, count, extra, _metric, _more = CASES[case]
    options: dict[str, Any] = {**extra, "http1": http1, "ca": str(ca), "count": count}
    if kind in ("async", "sync", "handshake"):
        options["count"] = max(50, int(count * scale) // SLOW.get(name, 1))
    options["url"] = peer.url("/index.html", port)
    if kind == "body":
        options.update(url=peer.url("/big", port), warm_url=peer.url("/", port), size=BIG_MIB << 20)
    command = [sys.executable, str(HERE / "worker.py"), kind, name, json.dumps(options)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return "timeout"
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return lines[-1][:100] if lines else f"exit {done.returncode}"
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def h2load(case: str, peer: Peer) -> dict[str, float] | None:
    """The limit: the same requests by h2load with one thread."""
    program = shutil.which("h2load")
    kind, port, http1, count, _extra, _metric, _more = CASES[case]
    if program is None or kind not in ("async", "sync"):
        return None
    streams = 64 if kind == "async" else 1
    command = [program, "-n", str(count), "-c", "1", "-m", str(streams), peer.url("/index.html", port)]
    if http1:
        command = [program, "--h1", "-n", str(count), "-c", str(streams), peer.url("/index.html", port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    match = re.search(r"([\d.]+) req/s", done.stdout)
    return {"rate": float(match.group(1))} if match else None


def median(samples: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(sample[key] for sample in samples if key in sample) for key in samples[0]}


def show(case: str, results: dict[str, dict[str, float]], failures: dict[str, str]) -> None:
    metric, more = CASES[case][5], CASES[case][6]
    keys = list(dict.fromkeys(key for result in results.values() for key in result))
    print(f"\n{case}")
    print("  " + "client".ljust(12) + "".join(key.rjust(14) for key in keys) + "ours/this".rjust(14))
    mine = results.get("ours", {}).get(metric)
    for name, result in sorted(results.items(), key=lambda item: -item[1][metric] if more else item[1][metric]):
        ratio = "" if mine is None or name == "ours" else f"{mine / result[metric]:.2f}"
        cells = "".join((f"{result[key]:,.1f}" if key in result else "-").rjust(14) for key in keys)
        print("  " + name.ljust(12) + cells + ratio.rjust(14))
    for name, reason in failures.items():
        print(f"  {name.ljust(12)} failed: {reason}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="clients, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of requests")
    parser.add_argument("--json", type=Path, help="write all samples there")
    arguments = parser.parse_args()
    cases = arguments.cases or list(CASES)
    wanted = arguments.only.split(",") if arguments.only else None
    everything: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        big = BIG_MIB if any(CASES[case][0] == "body" for case in cases) else 0
        with start_nginx(authority.issue(), big_mib=big) as peer:
            for case in cases:
                samples: dict[str, list[dict[str, float]]] = {}
                failures: dict[str, str] = {}
                names = [name for name in table_for(case) if (wanted is None or name in wanted)]
                names = [name for name in names if clients.installed(name)]
                names = [name for name in names if CASES[case][2] or name not in clients.NO_HTTP2]
                for turn in range(arguments.rounds):
                    # Another one begins each time: the first to touch fresh memory pays for it on a virtual machine.
                    start = turn % len(names) if names else 0
                    for name in names[start:] + names[:start]:
                        result = measure(case, name, peer, authority.pem, arguments.scale)
                        if isinstance(result, str):
                            failures[name] = result
                        else:
                            samples.setdefault(name, []).append(result)
                    limit = h2load(case, peer)
                    if limit:
                        samples.setdefault("h2load", []).append(limit)
                results = {name: median(values) for name, values in samples.items()}
                show(case, results, failures)
                sys.stdout.flush()
                everything[case] = {"samples": samples, "failures": failures}
    if arguments.json:
        arguments.json.write_text(json.dumps(everything, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
