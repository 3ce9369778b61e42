"""The servers: nginx, nghttpd, openssl s_server, gnutls-serv, Node, Go. All serve the same small site where they can:
`/` (a short text), `/bytes/N`-like files in `files/`, for those with a document root."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from . import Peer, PeerError, find_program, free_port, start
from .certs import Pair

HERE = Path(__file__).resolve().parent
INDEX = b"hello from a real server on loopback!\n"  # 38 bytes: the benchmark's answer

NGINX = """
worker_processes 1;
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ text/html html; text/plain txt; application/json json; }}
    default_type application/octet-stream;
    sendfile on;
    keepalive_timeout 300;
    keepalive_requests 10000000;
    http2_max_concurrent_streams 128;
    ssl_certificate {cert};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:s:4m;
    ssl_session_tickets on;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{https} ssl http2;
        listen [::1]:{https} ssl http2;
        listen 127.0.0.1:{https1} ssl;
        listen 127.0.0.1:{http};
        root {root};
        location / {{ }}
        location = /204 {{ return 204; }}
        location = /redirect {{ return 302 /index.html; }}
        location = /redirect-307 {{ return 307 /echo-method; }}
        location = /echo-method {{ return 200 "$request_method $http_content_type $http_content_length"; }}
        location = /headers {{ return 200 "$http_user_agent|$http_accept|$http_cookie|$http_x_test"; }}
        location = /set-cookie {{ add_header Set-Cookie "a=1; Path=/"; add_header Set-Cookie "b=2; Path=/; HttpOnly"; return 200 "ok"; }}
        location = /close {{ keepalive_timeout 0; return 200 "closing"; }}
        location = /gzip.txt {{ gzip on; gzip_types text/plain; gzip_min_length 1; }}
    }}
}}
"""


def make_site(root: Path, big_mib: int = 0) -> None:
    """Write the site's files: index.html, text of some sizes, and `big` of so many MiB (sparse pattern, not zeros)."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "index.html").write_bytes(INDEX)
    (root / "page.txt").write_bytes(b"a line of text\n" * 4096)
    (root / "gzip.txt").write_bytes(b"a line of text that compresses\n" * 4096)
    (root / "data.json").write_bytes(b'{"name": "value", "list": [1, 2, 3]}')
    if big_mib:
        block = os.urandom(1 << 20)
        with (root / "big").open("wb") as out:
            for number in range(big_mib):
                out.write(number.to_bytes(8, "big") + block[8:])


def start_nginx(pair: Pair, big_mib: int = 0, config: str = NGINX) -> Peer:
    """nginx with h2 and http/1.1 over TLS ("https"), http/1.1 over TLS ("https1") and plain http ("http")."""
    folder = Path(tempfile.mkdtemp(prefix="peer-nginx-"))
    folder.chmod(0o755)
    root = folder / "root"
    make_site(root, big_mib)
    ports = {"https": free_port(), "https1": free_port(), "http": free_port()}
    (folder / "nginx.conf").write_text(config.format(folder=folder, root=root, cert=pair.cert, key=pair.key, **ports))
    return start("nginx", [find_program("nginx"), "-p", str(folder), "-c", "nginx.conf"], ports, folder)


def start_nghttpd(pair: Pair, *options: str) -> Peer:
    """nghttpd: HTTP/2 only."""
    folder = Path(tempfile.mkdtemp(prefix="peer-nghttpd-"))
    make_site(folder / "root")
    port = free_port()
    command = [find_program("nghttpd"), "-a", "127.0.0.1", "-d", str(folder / "root"), *options, str(port)]
    return start("nghttpd", [*command, str(pair.key), str(pair.cert)], {"https": port}, folder)


def start_s_server(pair: Pair, *options: str, www: bool = True) -> Peer:
    """openssl s_server answering every request with a status page (-www), or printing what it gets."""
    port = free_port()
    command = [
        find_program("openssl"),
        "s_server",
        "-accept",
        f"127.0.0.1:{port}",
        *(["-quiet", "-www"] if www else []),
    ]
    return start("s_server", [*command, "-cert", str(pair.cert), "-key", str(pair.key), *options], {"https": port})


def start_gnutls(pair: Pair, priority: str = "NORMAL", *options: str) -> Peer:
    """gnutls-serv in its HTTP mode."""
    port = free_port()
    command = [find_program("gnutls-serv"), "--http", "--port", str(port), "--priority", priority]
    files = ["--x509certfile", str(pair.cert), "--x509keyfile", str(pair.key)]
    return start("gnutls", [*command, *files, *options], {"https": port})


def start_node(pair: Pair) -> Peer:
    """Node: h2 and http/1.1 ("https"), echoing what it got as JSON."""
    port = free_port()
    env = {"PEER_PORT": str(port), "PEER_CERT": str(pair.cert), "PEER_KEY": str(pair.key)}
    return start("node", [find_program("node"), str(HERE / "node_server.js")], {"https": port}, env=env)


def build_go(source: Path) -> Path:
    """Build a Go peer once and return the program; the output is kept in the user's cache by source and content."""
    import hashlib

    text = b"".join(path.read_bytes() for path in sorted(source.glob("*.go")) + sorted(source.glob("go.*")))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tls_requests_peers"
    program = cache / f"{source.name}-{hashlib.sha256(text).hexdigest()[:16]}"
    if not program.exists():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_suffix(f".{os.getpid()}")
        done = subprocess.run(
            [find_program("go"), "build", "-o", str(unfinished), "."],
            cwd=source,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"},
        )
        if done.returncode != 0:
            raise PeerError(f"go build {source}: {done.stderr[-2000:]}")
        unfinished.replace(program)
    return program


def start_go_tls(pair: Pair, *options: str) -> Peer:
    """Go's crypto/tls ("https"): zeros, or with -http an answer of HTTP/1.1."""
    port = free_port()
    command = [
        str(build_go(HERE / "go_tls")),
        "-listen",
        f"127.0.0.1:{port}",
        "-cert",
        str(pair.cert),
        "-key",
        str(pair.key),
    ]
    # Go builds with SecP256r1MLKEM768 turned off for modules of an older language version.
    return start("go_tls", [*command, *options], {"https": port}, env={"GODEBUG": "tlssecpmlkem=1"})


def start_go(pair: Pair) -> Peer:
    """Go's net/http: h2 and http/1.1 ("https"), echoing what it got as JSON, with some misbehaviour by path."""
    port = free_port()
    program = build_go(HERE / "go_server")
    command = [str(program), "-listen", f"127.0.0.1:{port}", "-cert", str(pair.cert), "-key", str(pair.key)]
    return start("go", command, {"https": port})
