"""Forward proxies that speak HTTP/2 over TLS (RFC 9113 8.5), and HTTP/1.1 to those who do not: Go's net/http, nghttpx in front of squid, Apache httpd."""

from __future__ import annotations

import tempfile
from pathlib import Path

from . import Peer, PeerError, find_program, free_port, start
from .certs import Pair
from .proxies import PLAIN_PASSWORD, PLAIN_USER, start_squid, write_users
from .servers import HERE, build_go

APACHE_MODULES = Path("/usr/lib/apache2/modules")

APACHE = """
ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/pid
Mutex posixsem
User nobody
Group nogroup
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authn_file_module {modules}/mod_authn_file.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule auth_basic_module {modules}/mod_auth_basic.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule http2_module {modules}/mod_http2.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
LoadModule proxy_connect_module {modules}/mod_proxy_connect.so
StartServers 1
ServerLimit 2
ThreadsPerChild 64
MaxRequestWorkers 128
Listen 127.0.0.1:{port}
SSLEngine on
SSLCertificateFile {cert}
SSLCertificateKeyFile {key}
Protocols h2 http/1.1
H2ProxyRequests on
H2MaxWorkers 64
H2MaxSessionStreams 100
ProxyRequests on
ProxyVia Off
AllowCONNECT 443 1024-65535
Timeout 60
ErrorLog /dev/stderr
LogLevel warn
LogFormat "%m %{{Host}}i %H %>s %{{c}}a:%{{remote}}p" asked
CustomLog {folder}/access.log asked
<Proxy "*">
{who}
</Proxy>
"""


def start_apache(pair: Pair, auth: bool = False) -> Peer:
    """Apache httpd ("https"); with auth: USER and PASSWORD. CONNECT to ports below 1024 but 443 is refused with 403.

    Over HTTP/2 its tunnels never tell that the origin has closed: END_STREAM comes only when the client has ended its side."""
    program = find_program("apache2", "httpd")
    if not (APACHE_MODULES / "mod_http2.so").exists():
        raise PeerError(f"Apache's mod_http2 is not in {APACHE_MODULES}")
    folder = Path(tempfile.mkdtemp(prefix="peer-apache-"))
    folder.chmod(0o777)
    who = "Require all granted"
    if auth:
        who = f'AuthType Basic\nAuthName "test"\nAuthBasicProvider file\nAuthUserFile {write_users(folder)}\nRequire valid-user'
    port = free_port()
    text = APACHE.format(folder=folder, modules=APACHE_MODULES, port=port, cert=pair.cert, key=pair.key, who=who)
    (folder / "apache.conf").write_text(text)
    command = [program, "-D", "FOREGROUND", "-f", str(folder / "apache.conf"), "-E", "/dev/stderr"]
    return start("apache", command, {"https": port}, folder)


class NghttpxPeer(Peer):
    """nghttpx, and the squid behind it that dials: both end together."""

    upstream: Peer

    def stop(self) -> None:
        super().stop()
        self.upstream.stop()


def start_nghttpx(pair: Pair, *options: str, auth: bool = False, connect: bool = True) -> Peer:
    """nghttpx ("https") that hands each stream to a squid of its own; auth and connect are squid's."""
    program = find_program("nghttpx")
    upstream = start_squid(pair, auth=auth, connect=connect)
    port = free_port()
    command = [program, "--conf=/dev/null", "--http2-proxy", "--workers=1", f"--frontend=127.0.0.1,{port}"]
    command += [
        f"--backend=127.0.0.1,{upstream.ports['http']}",
        "--accesslog-file=/dev/stdout",
        "--errorlog-file=/dev/stderr",
    ]
    command += ["--backend-connections-per-host=100", "--no-ocsp", *options, str(pair.key), str(pair.cert)]
    try:
        peer = start("nghttpx", command, {"https": port})
    except PeerError:
        upstream.stop()
        raise
    both = NghttpxPeer(peer.name, peer.process, peer.folder, peer.ports)
    both.upstream = upstream
    return both


def start_go_proxy(
    pair: Pair,
    auth: bool = False,
    refuse: int = 0,
    http1: bool = False,
    max_streams: int = 0,
    goaway_at: int = 0,
    port: int = 0,
) -> Peer:
    """Go's net/http ("https"); with auth: PLAIN_USER and PLAIN_PASSWORD. It prints its connections and requests (go_proxy/main.go).

    refuse: the status of every answer. http1: no HTTP/2 by ALPN. max_streams: how many streams at a time; 0: Go's 250. goaway_at: GOAWAY with
    the answer to every n-th request of a connection. port: 0: a free one."""
    port = port or free_port()
    command = [
        str(build_go(HERE / "go_proxy")),
        "-listen",
        f"127.0.0.1:{port}",
        "-cert",
        str(pair.cert),
        "-key",
        str(pair.key),
    ]
    command += [f"-auth={PLAIN_USER}:{PLAIN_PASSWORD}"] if auth else []
    command += [
        f"-refuse={refuse}",
        f"-http1={str(http1).lower()}",
        f"-max-streams={max_streams}",
        f"-goaway-at={goaway_at}",
    ]
    return start("go-proxy", command, {"https": port})
