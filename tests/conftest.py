"""Fixtures for all tests: an authority, certificates, real servers (started once, on free loopback ports)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from peers import Peer
from peers.certs import Authority, Pair
from peers.servers import start_go, start_nghttpd, start_nginx, start_node

ROOT = Path(__file__).resolve().parent.parent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs start with Ctrl-C ignored, and so would the programs that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def built() -> Path:
    """Where `make` puts the C programs (TR_BUILD, default build/plain)."""
    path = Path(os.environ.get("TR_BUILD") or ROOT / "build" / "plain")
    return path


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def server_pair(authority: Authority) -> Pair:
    """A good certificate for localhost, *.localhost, *.test, 127.0.0.1 and ::1."""
    return authority.issue("server")


@pytest.fixture(scope="session")
def ca_file(authority: Authority) -> str:
    return str(authority.pem)


@pytest.fixture(scope="session")
def nginx(server_pair: Pair) -> Iterator[Peer]:
    with start_nginx(server_pair) as peer:
        yield peer


@pytest.fixture(scope="session")
def nghttpd(server_pair: Pair) -> Iterator[Peer]:
    with start_nghttpd(server_pair) as peer:
        yield peer


@pytest.fixture(scope="session")
def node(server_pair: Pair) -> Iterator[Peer]:
    with start_node(server_pair) as peer:
        yield peer


@pytest.fixture(scope="session")
def go(server_pair: Pair) -> Iterator[Peer]:
    with start_go(server_pair) as peer:
        yield peer
