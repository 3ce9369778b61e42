"""The servers of these tests."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from peers import Peer, free_port, start
from peers.certs import Pair


@pytest.fixture(scope="session")
def httpbin(server_pair: Pair) -> Iterator[Peer]:
    """httpbin over https (`port`), and over http (`ports["http"]`)."""
    port, plain = free_port(), free_port()
    command = [
        sys.executable,
        "-m",
        "hypercorn",
        "--bind",
        f"127.0.0.1:{port}",
        "--insecure-bind",
        f"127.0.0.1:{plain}",
    ]
    command += ["--certfile", str(server_pair.cert), "--keyfile", str(server_pair.key)]
    command += [f"{Path(__file__).with_name('httpbin_asgi')}:app"]
    with start(
        "httpbin", command, {"https": port, "http": plain}, Path(tempfile.mkdtemp(prefix="peer-httpbin-"))
    ) as peer:
        yield peer
