"""What a process has: taken before and after much work, it shows what was left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from typing import Any

from tls_requests import _core


def rss() -> int:
    """Resident memory, bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:  # the one of listdir itself
            continue
    return found


def objects() -> dict[str, int]:
    """The package's objects that the collector knows, and asyncio's tasks and futures, by type."""
    counts: dict[str, int] = {}
    for thing in gc.get_objects():
        cls = type(thing)
        if cls.__module__.startswith("tls_requests") or isinstance(thing, asyncio.Future):
            counts[cls.__name__] = counts.get(cls.__name__, 0) + 1
    return counts


def state() -> dict[str, Any]:
    """Counted when nothing is under way or is being freed any more, or 10 seconds are over."""
    deadline = time.monotonic() + 10
    blocks, since = -1, time.monotonic()
    while True:
        gc.collect()
        stats = _core.stats()
        if stats["blocks"] != blocks:
            blocks, since = stats["blocks"], time.monotonic()
        quiet = time.monotonic() - since > 0.5 and (
            stats["conns_open"] == 0 and stats["ops_submitted"] == stats["ops_completed"] and stats["abandoned"] == 0
        )
        if quiet or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    return {
        "under_way": stats["ops_submitted"] - stats["ops_completed"],
        "connections": stats["conns_open"],
        "abandoned": stats["abandoned"],
        "bridges": stats["bridges"],
        "blocks": stats["blocks"],
        "descriptors": sum(1 for name in descriptors() if "socket:" in name or "event" in name or "pipe:" in name),
        "sockets": sum(1 for name in descriptors() if "socket:" in name),
        "threads": len(os.listdir("/proc/self/task")),
        "python_threads": threading.active_count(),
        "objects": objects(),
        "rss": rss(),
    }


# The engine's own: its thread, and up to eight workers for names and files, which stay.
THREADS_KEPT = 8


def differences(before: dict[str, Any], after: dict[str, Any], blocks: int = 0) -> list[str]:
    """What is there after that was not before, in words. `blocks`: allocations of the engine that may be kept."""
    found = []
    for name in ("under_way", "connections", "abandoned"):
        if after[name] != 0:
            found.append(f"{name}: {after[name]}")
    for name in ("bridges", "descriptors", "sockets", "python_threads"):
        if after[name] > before[name]:
            found.append(f"{name}: {before[name]} -> {after[name]}")
    if after["threads"] > before["threads"] + THREADS_KEPT:
        found.append(f"threads: {before['threads']} -> {after['threads']}")
    if after["blocks"] > before["blocks"] + blocks:
        found.append(f"blocks: {before['blocks']} -> {after['blocks']}")
    for name, number in after["objects"].items():
        if number > before["objects"].get(name, 0):
            found.append(f"{name}: {before['objects'].get(name, 0)} -> {number}")
    return found
