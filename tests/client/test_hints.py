"""Accept-CH and Critical-CH in the C library: requests made once more, cancelled and cut meanwhile; many at once; a fork between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from peers.certs import Pair
from tls_requests._fingerprint import server

PROFILE = ["--profile", "chromium_156"]
CRITICAL = {"accept-ch": "sec-ch-ua-arch, dpr", "critical-ch": "dpr"}


class Asking(server.Server):
    """Asks for hints in each answer, which `size` bytes make up; may close the connection within the first."""

    def __init__(self, certificate: str) -> None:
        super().__init__("127.0.0.1", 0, certificate)
        self.size, self.cut, self.stall = 2, False, 0.0
        self.requests: list[list[str]] = []
        self.start()

    def respond(self, connection: server.Connection, request: server.Request) -> server.Response:
        names = [name.lower() for name, _ in request.headers]
        self.requests.append(names)
        if "dpr" not in names and self.cut:
            connection.closing = True
        if "dpr" in names and self.stall:
            time.sleep(self.stall)
        return server.Response(200, list(CRITICAL.items()), b"k" * self.size)

    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/?{urlencode({'a': 'b'})}"


@pytest.fixture
def asking(server_pair: Pair) -> Iterator[Asking]:
    site = Asking(str(server_pair.both))
    yield site
    site.stop()


VERSIONS: list[list[str]] = [[], ["--http1"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [0, 2, 70_000, 2_000_000])
def test_made_once_more(trget: Any, asking: Asking, version: list[str], size: int) -> None:
    asking.size = size
    first, second = trget.ops(*PROFILE, *version, asking.url(), asking.url())
    assert first["error"] is None and second["error"] is None
    assert ["dpr" in names for names in asking.requests] == [False, True, True]


@pytest.mark.parametrize("version", VERSIONS)
def test_many_at_once(trget: Any, asking: Asking, version: list[str]) -> None:
    asking.size = 5000
    report = trget.load(*PROFILE, *version, "-n", "200", "-c", "20", asking.url())
    assert report["returncode"] == 0 and 200 < len(asking.requests) <= 220
    assert sum("dpr" in names for names in asking.requests) == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_cancelled_meanwhile(trget: Any, asking: Asking, version: list[str]) -> None:
    """The second exchange is the one that is given up."""
    asking.size, asking.stall = 300_000, 1.0
    op = trget.op(*PROFILE, *version, "--cancel", "300", asking.url())
    assert op["error"] == "CANCELLED", op
    assert ["dpr" in names for names in asking.requests] == [False, True]


def test_the_first_answer_is_cut(trget: Any, asking: Asking) -> None:
    """It is not wanted any more: that it does not come to its end is no failure."""
    asking.size, asking.cut = 3_000_000, True
    op = trget.op(*PROFILE, asking.url())
    assert op["error"] is None
    assert ["dpr" in names for names in asking.requests] == [False, True]


def test_a_fork_keeps_them(trget: Any, asking: Asking) -> None:
    report = trget.load(*PROFILE, "--wait", "--fork", "-n", "4", asking.url())
    assert report["returncode"] == 0
    assert ["dpr" in names for names in asking.requests][:2] == [False, True]
    assert all("dpr" in names for names in asking.requests[1:])
