"""Fixtures of the hostile tests: `lab` in both kinds, and a check after each module that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab
from peers import free_port
from peers.certs import Authority, Pair

TEST_SECONDS = 30  # a test that takes longer hangs
WORKERS = 8  # threads that look up names: they end after some idle time, so that many may be left for a while


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).resolve().parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lab(kind: str, server_pair: Pair, ca_file: str) -> Iterator[Lab]:
    lab = Lab(kind, server_pair, ca_file)
    yield lab
    lab.close()


def descriptors() -> Counter[str]:
    """Open descriptors of the process by kind; pytest's own files come and go and are left out."""
    kinds: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(("socket:", "pipe:", "anon_inode:")):
            kinds[target.split("[")[0]] += 1
    return kinds


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def wake_engine() -> None:
    """Start what lives as long as the process (the engine, its workers), so that it is not taken for a leak."""
    import tls_requests

    url = f"http://localhost:{free_port()}/"
    with tls_requests.Client(timeout=5) as client:
        client.get(url)

    async def main() -> None:
        async with tls_requests.AsyncClient(timeout=5) as client:
            await client.get(url)

    asyncio.run(main())


@pytest.fixture(scope="module", autouse=True)
def nothing_left_behind(authority: Authority, server_pair: Pair) -> Iterator[None]:
    """After a module's tests the process has the sockets, pipes, event descriptors and threads that it had before."""
    wake_engine()
    gc.collect()
    before, before_threads = descriptors(), threads()
    yield
    gc.collect()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not descriptors() - before and threads() <= before_threads + WORKERS:
            break
        time.sleep(0.02)
    assert not descriptors() - before
    assert threads() <= before_threads + WORKERS, threading.enumerate()
