"""WebSocket servers that echo: hypercorn and node's ws (their programs are in tests/websocket/servers)."""

from __future__ import annotations

import sys
from pathlib import Path

from . import Peer, find_program, free_port, start
from .certs import Pair

SERVERS = Path(__file__).resolve().parent.parent / "websocket" / "servers"


def start_hypercorn(pair: Pair) -> Peer:
    """hypercorn: "https" with h2 (and RFC 8441) and http/1.1."""
    port = free_port()
    command = [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{port}"]
    command += ["--certfile", str(pair.cert), "--keyfile", str(pair.key)]
    command += ["--graceful-timeout", "1", "asgi_app:app"]
    return start("hypercorn", command, {"https": port}, env={"PYTHONPATH": str(SERVERS)})


def start_node_ws(pair: Pair) -> Peer:
    """The package ws for node: "https" with http/1.1 alone, and permessage-deflate."""
    port = free_port()
    env = {"PEER_PORT": str(port), "PEER_CERT": str(pair.cert), "PEER_KEY": str(pair.key)}
    return start("node-ws", [find_program("node"), str(SERVERS / "node_ws.js")], {"https": port}, env=env)
