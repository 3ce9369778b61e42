"""Proxies: squid, tinyproxy, dante, microsocks, proxy.py, pproxy, OpenSSH and asyncssh, each on free ports of 127.0.0.1 (and ::1 where it can)."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import START_SECONDS, Peer, PeerError, find_program, free_port, start
from .certs import Pair

USER, PASSWORD = "us er", "p@ss:w/rd"  # what a URL must percent-encode
PLAIN_USER, PLAIN_PASSWORD = "alice", "secret7"

SQUID = """
http_port 127.0.0.1:{http}
http_port [::1]:{http}
https_port 127.0.0.1:{https} tls-cert={cert} tls-key={key}
https_port [::1]:{https} tls-cert={cert} tls-key={key}
{auth}
acl nowhere dst 192.0.2.0/24
http_access deny nowhere
http_access allow {who}
http_access deny all
cache deny all
cache_mem 0 MB
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
pid_filename {folder}/pid
coredump_dir {folder}
shutdown_lifetime 0 seconds
via off
visible_hostname squid.test
netdb_filename none
pinger_enable off
dns_nameservers 127.0.0.1
hosts_file {folder}/hosts
max_filedescriptors 1024
"""


def write_users(folder: Path) -> Path:
    """A file as htpasswd makes it, with USER and PASSWORD."""
    hashed = subprocess.run(
        [find_program("openssl"), "passwd", "-apr1", "-stdin"],
        input=PASSWORD + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout.strip()
    path = folder / "users"
    path.write_text(f"{USER}:{hashed}\n")
    path.chmod(0o644)
    return path


def start_squid(pair: Pair, auth: bool = False, connect: bool = True) -> Peer:
    """squid as an http and an https proxy; with auth: USER and PASSWORD. connect=False: CONNECT is refused with 403."""
    folder = Path(tempfile.mkdtemp(prefix="peer-squid-"))
    folder.chmod(0o777)
    for name in ("cert", "key"):
        (folder / name).write_bytes(Path(getattr(pair, name)).read_bytes())
        (folder / name).chmod(0o644)
    (folder / "hosts").write_text(
        "127.0.0.1 localhost proxy.localhost only-at-the-proxy.test\n::1 six-at-the-proxy.test\n"
    )
    who = "all"
    lines = [] if connect else ["acl CONNECT method CONNECT", "http_access deny CONNECT"]
    if auth:
        users = write_users(folder)
        helper = next(
            (
                str(path)
                for path in map(Path, ("/usr/lib/squid/basic_ncsa_auth", "/usr/lib64/squid/basic_ncsa_auth"))
                if path.exists()
            ),
            None,
        )
        if helper is None:
            raise PeerError("squid's basic_ncsa_auth is not installed")
        lines += [
            f"auth_param basic program {helper} {users}",
            "auth_param basic children 2 startup=1",
            "auth_param basic realm test",
            "acl known proxy_auth REQUIRED",
        ]
        who = "known"
    ports = {"http": free_port(), "https": free_port()}
    text = SQUID.format(
        folder=folder, cert=folder / "cert", key=folder / "key", auth="\n".join(lines), who=who, **ports
    )
    (folder / "squid.conf").write_text(text)
    command = [find_program("squid"), "-N", "-f", str(folder / "squid.conf")]
    return start("squid", command, ports, folder)


TINYPROXY = """
Port {port}
Listen 127.0.0.1
Listen ::1
Timeout 60
LogLevel Info
MaxClients 50
{auth}
DisableViaHeader Yes
"""


def start_tinyproxy(auth: bool = False, connect_port: int | None = None) -> Peer:
    """tinyproxy; with auth: PLAIN_USER and PLAIN_PASSWORD. connect_port: the only port that CONNECT is allowed to (else 403)."""
    folder = Path(tempfile.mkdtemp(prefix="peer-tinyproxy-"))
    port = free_port()
    lines = [f"BasicAuth {PLAIN_USER} {PLAIN_PASSWORD}"] if auth else []
    if connect_port is not None:
        lines.append(f"ConnectPort {connect_port}")
    (folder / "tinyproxy.conf").write_text(TINYPROXY.format(port=port, auth="\n".join(lines)))
    command = [find_program("tinyproxy"), "-d", "-c", str(folder / "tinyproxy.conf")]
    return start("tinyproxy", command, {"http": port}, folder)


DANTE = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
internal: ::1 port = {port}
external: lo
socksmethod: none
clientmethod: none
{users}
client pass {{ from: 0/0 to: 0/0 }}
socks block {{ from: 0/0 to: 192.0.2.0/24 }}
socks pass {{ from: 0/0 to: 0/0 protocol: tcp }}
"""


def start_dante() -> Peer:
    """dante: SOCKS 4 and 5 without log-in."""
    folder = Path(tempfile.mkdtemp(prefix="peer-dante-"))
    folder.chmod(0o755)
    port = free_port()
    (folder / "danted.conf").write_text(
        DANTE.format(port=port, users="user.privileged: root\nuser.unprivileged: nobody" if os.geteuid() == 0 else "")
    )
    command = [find_program("danted", "sockd"), "-f", str(folder / "danted.conf"), "-N", "1", "-p", str(folder / "pid")]
    return start("dante", command, {"socks": port}, folder)


def start_microsocks(auth: bool = False, host: str = "127.0.0.1") -> Peer:
    """microsocks: SOCKS 5; with auth: USER and PASSWORD."""
    port = free_port()
    command = [find_program("microsocks"), "-i", host, "-p", str(port)]
    if auth:
        command += ["-u", USER, "-P", PASSWORD]
    if host == "127.0.0.1":
        return start("microsocks", command, {"socks": port})
    peer = start("microsocks", command, {})
    peer.ports = {"socks": port}
    _wait_for(host, port, peer)
    return peer


def _wait_for(host: str, port: int, peer: Peer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            if peer.process.poll() is not None or time.monotonic() > deadline:
                text = peer.log()
                peer.stop()
                raise PeerError(f"{peer.name} does not listen on {host} {port}: {text[-1000:]}") from None
            time.sleep(0.02)


def _module(name: str) -> str:
    if importlib.util.find_spec(name) is None:
        raise PeerError(f"the package {name} is not installed")
    return name


def start_proxy_py(auth: bool = False) -> Peer:
    """proxy.py; with auth: PLAIN_USER and PLAIN_PASSWORD."""
    folder = Path(tempfile.mkdtemp(prefix="peer-proxy-py-"))
    port = free_port()
    command = [sys.executable, "-m", _module("proxy"), "--hostname", "127.0.0.1", "--port", str(port)]
    command += ["--num-workers", "1", "--num-acceptors", "1", "--data-dir", str(folder / "data")]
    if auth:
        command += ["--basic-auth", f"{PLAIN_USER}:{PLAIN_PASSWORD}"]
    return start("proxy-py", command, {"http": port}, folder)


def start_pproxy(auth: bool = False) -> Peer:
    """pproxy: http, SOCKS 4 and 5 on one port; with auth: PLAIN_USER and PLAIN_PASSWORD."""
    port = free_port()
    _module("pproxy")
    rest = f"#{PLAIN_USER}:{PLAIN_PASSWORD}" if auth else ""
    # pproxy asks for the current event loop in a way that newer Pythons answer with an error.
    program = (
        "import asyncio, sys; sys.modules['uvloop'] = None; asyncio.set_event_loop(asyncio.new_event_loop()); "
        "import pproxy.server; pproxy.server.main()"
    )
    command = [sys.executable, "-c", program, "-l", f"http+socks4+socks5://127.0.0.1:{port}{rest}"]
    return start("pproxy", command, {"any": port})


def start_ssh(kind: str) -> Peer:
    """The dynamic forwarding of an SSH client, "openssh" or "asyncssh": SOCKS 4, 4A and 5 without log-in."""
    folder = Path(tempfile.mkdtemp(prefix=f"peer-{kind}-"))
    _module("asyncssh")
    if kind == "openssh":
        find_program("ssh")
    ports = {"socks": free_port(), "ssh": free_port()}
    program = str(Path(__file__).resolve().parent / "ssh_socks.py")
    command = [sys.executable, program, kind, str(ports["ssh"]), str(ports["socks"]), str(folder)]
    return start(kind, command, ports, folder)
