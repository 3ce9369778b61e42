"""A SOCKS proxy made of SSH, for tests: `ssh_socks.py openssh|asyncssh SSH_PORT SOCKS_PORT FOLDER`, ports on 127.0.0.1.

An SSH server (asyncssh's) that lets one key in and opens connections, and a client of it that forwards dynamically: OpenSSH's `ssh -D`, or
asyncssh's. They speak SOCKS 4, 4A and 5. The name only-at-the-proxy.test is this machine to the server. SIGTERM to the group ends all.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import asyncssh


class Server(asyncssh.SSHServer):
    def __init__(self) -> None:
        self.connection: Any = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> Any:
        host = "127.0.0.1" if dest_host == "only-at-the-proxy.test" else dest_host
        return self.connection.forward_connection(host, dest_port)


async def main(kind: str, ssh_port: int, socks_port: int, folder: Path) -> None:
    host_key, user_key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    user_key.write_private_key(str(folder / "user"))
    (folder / "user").chmod(0o600)
    public = host_key.export_public_key().decode().strip()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{ssh_port} {public}\n")
    allowed = asyncssh.import_authorized_keys(user_key.export_public_key().decode())
    await asyncssh.create_server(
        Server, "127.0.0.1", ssh_port, server_host_keys=[host_key], authorized_client_keys=allowed
    )
    if kind == "asyncssh":
        client = await asyncssh.connect(
            "127.0.0.1",
            ssh_port,
            username="test",
            client_keys=[user_key],
            known_hosts=str(folder / "known_hosts"),
            config=None,
        )
        await client.forward_socks("127.0.0.1", socks_port)
        await client.wait_closed()
        return
    program = shutil.which("ssh")
    assert program is not None, "ssh is not installed"
    options = [
        "ExitOnForwardFailure=yes",
        "BatchMode=yes",
        "LogLevel=ERROR",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
    ]
    options += [
        f"UserKnownHostsFile={folder}/known_hosts",
        "GlobalKnownHostsFile=/dev/null",
        f"IdentityFile={folder}/user",
    ]
    command = [program, "-F", "none", "-N", "-D", f"127.0.0.1:{socks_port}", "-p", str(ssh_port), "-l", "test"]
    for option in options:
        command += ["-o", option]
    process = await asyncio.create_subprocess_exec(*command, "127.0.0.1", env={**os.environ, "HOME": str(folder)})
    sys.exit(await process.wait())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
