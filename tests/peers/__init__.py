"""Real servers on loopback, for tests, the demo and the benchmarks.

Each `start_*` function starts one on free ports and returns a `Peer`; use it as a context manager. A server that does
not come up within its time raises `PeerError` with what it printed. Nothing here listens on anything but loopback.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 20.0


class PeerError(RuntimeError):
    """A server could not be started."""


# Below those that systems give to outgoing connections (Linux: from 32768 on), which else take a port before its server does.
PORTS = list(range(16384, 32768))
random.SystemRandom().shuffle(PORTS)


def free_port() -> int:
    """A TCP port nobody listens on right now, another one each time."""
    while PORTS:
        number = PORTS.pop()
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            return number
    raise PeerError("no port is free")


def find_program(*names: str) -> str:
    """The path of the first of these programs that is installed."""
    for name in names:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/local/go/bin")
        if path:
            return path
    raise PeerError(f"none of {', '.join(names)} is installed")


@dataclass
class Peer:
    """A running server process and where to reach it."""

    name: str
    process: subprocess.Popen[bytes]
    folder: Path
    ports: Mapping[str, int]
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return next(iter(self.ports.values()))

    def url(self, path: str = "/", port: str | None = None, scheme: str = "https", host: str = "localhost") -> str:
        number = self.port if port is None else self.ports[port]
        return f"{scheme}://{host}:{number}{path}"

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def wait_log(self, done: Callable[[str], bool], seconds: float = 10.0) -> str:
        """What the server printed, once done(text) holds or the time is over."""
        deadline = time.monotonic() + seconds
        while not done(text := self.log()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return text

    def stop(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(5)
        if self.process.stdin is not None:
            self.process.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    name: str,
    command: Sequence[str],
    ports: Mapping[str, int],
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Peer:
    """Start a server and wait until each of its TCP ports accepts a connection."""
    folder = folder or Path(tempfile.mkdtemp(prefix=f"peer-{name}-"))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,  # kept open: openssl s_server ends with its input
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
    peer = Peer(name, process, folder, dict(ports))
    deadline = time.monotonic() + START_SECONDS
    for port in ports.values():
        while True:
            if process.poll() is not None:
                text = peer.log()
                peer.stop()
                raise PeerError(f"{name} ended with {process.returncode}: {text[-2000:]}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    text = peer.log()
                    peer.stop()
                    raise PeerError(f"{name} does not listen on {port}: {text[-2000:]}") from None
                time.sleep(0.02)
    return peer


@contextlib.contextmanager
def folder_for(name: str) -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix=f"peer-{name}-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
