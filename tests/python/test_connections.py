"""Connection options over real sockets: where a connection goes, from where, with what certificate, and what is refused before."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import os
import pickle
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import tls_requests
from peers.certs import Authority, Pair
from peers.fake import Fake, H2Link, Link, tls_context
from peers.servers import NGINX, start_nginx
from tls_requests import Limits, Timeout, exceptions

MTLS = NGINX.replace(
    "location / {{ }}",
    """ssl_client_certificate {root}/../ca.pem; ssl_verify_client optional_no_ca; error_page 495 496 = @cert;
        location = /cert {{ return 200 "$ssl_client_verify|$ssl_client_s_dn"; }}
        location / {{ }}""",
)


def pin_of(pair: Pair) -> str:
    cert = x509.load_pem_x509_certificate(pair.cert.read_bytes())
    spki = cert.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def serve_ok(link: Link) -> None:
    while True:
        link.request()
        link.answer()


def serve_h2(link: H2Link) -> None:
    link.begin()
    while True:
        link.respond(link.stream())


@contextlib.contextmanager
def serving(behave: Any = serve_ok, **kwargs: Any) -> Iterator[Fake]:
    server = Fake(behave, **kwargs)
    try:
        yield server
    finally:
        server.close()


def failure(response: Any) -> tuple[str, str]:
    assert response.status_code == 0
    return type(response.error).__name__, response.error.code


# ---------------------------------------------------------------------------------------------------------------- pins


@pytest.mark.parametrize("prefix", ["", "sha256/", "sha256//"])
def test_pins_that_fit(twin, nginx, ca_file, server_pair, prefix):
    pins = {"localhost": [base64.b64encode(bytes(32)).decode(), prefix + pin_of(server_pair)]}
    with twin.client(verify=ca_file, certificatePinningHosts=pins) as client:
        for _ in range(2):
            assert client.get(nginx.url()).status_code == 200


@pytest.fixture(scope="module")
def named(authority: Authority) -> Iterator[Fake]:
    """A server whose certificate has names of two domains."""
    pair = authority.issue("named", names=("localhost", "a.pinned.test", "x.named.test"))
    with serving(tls=tls_context(pair)) as server:
        yield server


def test_pins_that_do_not_fit(twin, named, ca_file):
    wrong = base64.b64encode(bytes(32)).decode()
    nginx = named
    for verify in (ca_file, False):
        with twin.client(
            verify=verify, certificate_pinning_hosts={"*.PINNED.test": wrong}, resolve={"a.pinned.test": "127.0.0.1"}
        ) as client:
            assert client.get(nginx.url()).status_code == 200
            response = client.get(nginx.url(host="a.pinned.test"))
            assert failure(response) == ("CertificateError", "TLS_PIN")
            assert not response.error.request_sent
            once = client.get(nginx.url(), certificatePinningHosts={"localhost": [wrong]})
            assert failure(once) == ("CertificateError", "TLS_PIN")
            assert client.get(nginx.url()).status_code == 200


def test_pins_of_the_authority(twin, nginx, ca_file, authority):
    """The root is not sent by the server: it is found in the verified chain."""
    pin = pin_of(Pair(authority.pem, authority.pem, authority.pem))
    with twin.client(verify=ca_file, certificatePinningHosts={"localhost": pin}) as client:
        assert client.get(nginx.url()).status_code == 200
    with twin.client(verify=False, certificatePinningHosts={"localhost": pin}) as client:
        assert failure(client.get(nginx.url())) == ("CertificateError", "TLS_PIN")


@pytest.mark.parametrize(
    ("pins", "error"),
    [
        ([], None),
        ({}, None),
        ("x", TypeError),
        ({"a.com": []}, ValueError),
        ({"a.com": ["abc"]}, ValueError),
        ({"a.com": [base64.b64encode(bytes(31)).decode()]}, ValueError),
        ({"a.com": [7]}, TypeError),
        ({7: ["abc"]}, TypeError),
    ],
)
def test_pins_that_cannot_be(pins, error):
    if error is None:
        tls_requests.Client(certificatePinningHosts=pins or None)
        return
    with pytest.raises(error, match="certificatePinningHosts"):
        tls_requests.Client(certificatePinningHosts=pins)
    with tls_requests.Client() as client, pytest.raises(error, match="certificatePinningHosts"):
        client.get("http://localhost/", certificatePinningHosts=pins)


# ---------------------------------------------------------------------------------------- names: SNI, Host, resolve, family


def test_server_name(twin, authority, ca_file):
    pair = authority.issue("front", names=("front.example",))
    seen: list[str | None] = []
    context = tls_context(pair, ())
    context.sni_callback = lambda sock, name, ctx: seen.append(name)
    with serving(tls=context) as server, twin.client(verify=ca_file) as client:
        url = server.url()
        assert failure(client.get(url)) == ("CertificateError", "TLS_HOSTNAME")
        response = client.get(url, serverNameOverwrite="Front.Example")
        assert response.status_code == 200
        assert response.request.headers["host"].startswith("localhost")
        assert client.get(url, server_name_overwrite="front.example").timing.reused
        assert failure(client.get(url)) == ("CertificateError", "TLS_HOSTNAME")
    assert seen == ["localhost", "front.example", "localhost"]


def test_host_override(twin, site, server_pair, ca_file):
    with twin.client() as client:
        url = f"{site.base}/echo"
        fields = dict(client.get(url, requestHostOverride="other.example:81").json()["headers"])
        assert fields["Host"] == "other.example:81"
    seen: list[bytes] = []

    def behave(link: H2Link) -> None:
        link.begin()
        stream = link.stream()
        seen.append(link.server.frames[-1].payload)
        link.respond(stream)

    with (
        serving(behave, tls=tls_context(server_pair, ("h2",)), h2=True) as server,
        twin.client(verify=ca_file) as client,
    ):
        response = client.get(server.url(), request_host_override="other.example")
        assert response.http_version == "HTTP/2.0"
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
    from fingerprint.hpack import HpackDecoder

    pairs = dict(HpackDecoder().decode(seen[0][5:])[0])  # behind the priority fields
    assert pairs[":authority"] == "other.example" and "host" not in pairs


def test_resolve(twin, site, named, ca_file):
    port = site.server_address[1]
    with twin.client(resolve={f"a.invalid:{port}": ["127.0.0.1"], ("b.invalid", port): "127.0.0.1"}) as client:
        assert client.get(f"http://a.invalid:{port}/echo").json()["path"] == "/echo"
        assert client.get(f"http://B.invalid:{port}/echo").status_code == 200
        assert failure(client.get("http://a.invalid:1/"))[0] == "DNSError"
        response = client.get(f"http://c.invalid:{port}/echo", resolve={"c.invalid": ["127.0.0.1"]})
        assert response.status_code == 200
        assert response.timing.peer == f"127.0.0.1:{port}"
        # without the port: every port
    with twin.client(verify=ca_file, resolve={"x.named.test": ["127.0.0.1"]}) as client:
        assert client.get(named.url(host="x.named.test")).status_code == 200
        assert failure(client.get(named.url(host="x.named.test"), family=6)) == ("DNSError", "DNS_NOT_FOUND")
    for bad in ({"a": []}, {"a": ["b.com"]}, {"a:x": ["127.0.0.1"]}, {"": ["127.0.0.1"]}):
        with pytest.raises(ValueError, match="resolve"):
            tls_requests.Client(resolve=bad)


@pytest.mark.parametrize(
    ("option", "peer"),
    [
        ({"family": 4}, "127.0.0.1"),
        ({"family": 6}, "[::1]"),
        ({"family": "ipv6"}, "[::1]"),
        ({"disableIPV4": True}, "[::1]"),
        ({"disable_ipv4": True}, "[::1]"),
        ({"disable_ipv6": True}, "127.0.0.1"),
        ({"disableIPV6": True, "disableIPV4": False}, "127.0.0.1"),
        ({"family": socket.AF_INET6}, "[::1]"),
    ],
)
def test_families(twin, nginx, ca_file, option, peer):
    with twin.client(verify=ca_file, **option) as client:
        assert client.get(nginx.url()).timing.peer == f"{peer}:{nginx.port}"
    with twin.client(verify=ca_file) as client:
        assert client.get(nginx.url(), **option).timing.peer == f"{peer}:{nginx.port}"
    with twin.client(**option) as client:  # on http:// URLs too
        response = client.get("http://localhost:1/")
        assert response.error.code == "CONNECT_REFUSED"
        assert f"{peer}:1" in response.text and (peer == "[::1]" or "[::1]" not in response.text)


def test_families_that_contradict():
    for bad in (
        {"disableIPV4": True, "disableIPV6": True},
        {"family": 4, "disableIPV4": True},
        {"family": 5},
        {"family": "x"},
    ):
        with pytest.raises(ValueError, match="family|disableIPV4"):
            tls_requests.Client(**bad)


# --------------------------------------------------------------------------------------- sockets: local, interface, Unix


@pytest.mark.parametrize(
    ("value", "local"),
    [("127.0.0.2", "127.0.0.2"), ("127.0.0.3:0", "127.0.0.3"), (("127.0.0.4", 0), "127.0.0.4"), ("lo", "127.0.0.1")],
)
def test_local_address(twin, site, value, local):
    if sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8 on its loopback interface")
    with twin.client(localAddress=value) as client:
        response = client.get(f"{site.base}/echo")
        assert response.timing.local.rpartition(":")[0] == local
        port = int(response.timing.local.rpartition(":")[2])
        assert response.json()["peer"] == port
    with twin.client() as client:
        first = client.get(f"{site.base}/echo").timing
        other = client.get(f"{site.base}/echo", local_address=value).timing
        again = client.get(f"{site.base}/echo").timing
        assert other.local.rpartition(":")[0] == local and not other.reused
        assert again.reused and again.local == first.local


def test_local_port(twin, site):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with twin.client(local_address=f"127.0.0.1:{port}") as client:
        assert client.get(f"{site.base}/echo").json()["peer"] == port


def test_local_address_that_is_not_ours(twin, site):
    with twin.client(localAddress="192.0.2.1") as client:
        response = client.get(f"{site.base}/echo")
        assert failure(response) == ("ConnectError", "CONNECT_UNREACHABLE")
    for bad in ("nowhere9", "127.0.0.1:99999", "a:b:c:d", 7, ("127.0.0.1", "x")):
        with pytest.raises((ValueError, TypeError), match="localAddress"):
            tls_requests.Client(localAddress=bad)


def test_interface(twin, site):
    with twin.client(interface="lo" if sys.platform == "linux" else "lo0") as client:
        assert client.get(f"{site.base}/echo").status_code == 200
    with pytest.raises(ValueError, match="interface"):
        tls_requests.Client(interface="nowhere9")


class UnixSite(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class UnixHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.headers["Host"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        pass


def test_unix_socket(twin, tmp_path):
    path = tmp_path / "site.sock"
    with UnixSite(str(path), UnixHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        with twin.client(uds=path) as client:
            response = client.get("http://app.internal/x")
            assert response.text == "app.internal"
            assert response.timing.peer == f"unix:{path}"
            assert client.get("http://app.internal/x").timing.reused
        server.shutdown()
        thread.join(5)
    with twin.client(uds=tmp_path / "none.sock") as client:
        assert failure(client.get("http://app.internal/")) == ("ConnectError", "CONNECT_FAILED")
    with pytest.raises(ValueError, match="Unix socket"):
        tls_requests.Client(uds="/" + "x" * 200)


def test_tcp_keepalive(twin, site):
    code = f"""
import os, socket, tls_requests
client = tls_requests.Client(tcp_keepalive=(33, 7, 4))
assert client.get("{site.base}/echo").status_code == 200
found = []
for fd in os.listdir("/proc/self/fd"):
    try:
        sock = socket.socket(fileno=os.dup(int(fd)))
    except OSError:
        continue
    with sock:
        if sock.type == socket.SOCK_STREAM and sock.family == socket.AF_INET:
            found.append([sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), *(sock.getsockopt(socket.IPPROTO_TCP, name)
                for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT))])
print(found)
"""
    if sys.platform != "linux":
        pytest.skip("reads the options of the process's own sockets by /proc")
    if twin.kind == "sync":
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.strip() == "[[1, 33, 7, 4]]", done.stderr
    for bad in (0, -1, "x", (1, 2, 3, 4), (1, 2, 1000)):
        with pytest.raises((ValueError, TypeError), match="keepalive"):
            tls_requests.Client(tcp_keepalive=bad)


# ------------------------------------------------------------------------------------------------------ private addresses


def test_private_addresses(twin, site):
    port = site.server_address[1]
    with twin.client(allow_private=False) as client:
        for url in (
            site.base,
            f"http://localhost:{port}",
            "http://[::1]:1/",
            "http://169.254.169.254/",
            "http://2130706433/",
        ):
            response = client.get(url)
            assert failure(response) == ("ConnectError", "CONNECT_PRIVATE"), url
            assert response.error.safe_to_retry and not response.error.request_sent
        bound = client.get(
            f"http://rebound.example:{port}/", resolve={"rebound.example": ["10.1.2.3", "::ffff:127.0.0.1"]}
        )
        assert failure(bound) == ("ConnectError", "CONNECT_PRIVATE")
        allowed = client.get(f"{site.base}/echo", allow_private=True)
        assert allowed.status_code == 200
    with twin.client() as client:
        assert client.get(f"{site.base}/echo").status_code == 200
        # A connection that is there already is none for a request that may not have it.
        assert failure(client.get(f"{site.base}/echo", allow_private=False)) == ("ConnectError", "CONNECT_PRIVATE")


# --------------------------------------------------------------------------------------------------- certificates, key log


@pytest.fixture(scope="module")
def mtls(authority: Authority, server_pair: Pair) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:
        config = MTLS.replace("{root}/../ca.pem", str(authority.pem))
        yield stack.enter_context(start_nginx(server_pair, config=config))


@pytest.mark.parametrize("kind", ["p256", "rsa", "ed25519"])
def test_client_certificate(twin, mtls, authority, ca_file, kind):
    pair = authority.issue(f"client-{kind}", client=True, kind=kind, names=())
    for cert in (str(pair.both), pair.both, (str(pair.cert), str(pair.key)), (pair.cert, pair.key, None)):
        with twin.client(verify=ca_file, cert=cert) as client:
            assert client.get(mtls.url("/cert")).text == f"SUCCESS|CN=client-{kind}"
    with twin.client(verify=ca_file) as client:
        assert client.get(mtls.url("/cert")).text.startswith("NONE|")
        assert client.get(mtls.url("/cert"), cert=(pair.cert, pair.key)).text == f"SUCCESS|CN=client-{kind}"
        assert client.get(mtls.url("/cert")).text.startswith("NONE|")


def test_client_certificate_with_password(twin, mtls, authority, ca_file, tmp_path):
    pair = authority.issue("client-locked", client=True, names=())
    key = serialization.load_pem_private_key(pair.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"s3cret"),
        )
    )
    with twin.client(verify=ca_file, cert=(pair.cert, locked, "s3cret")) as client:
        assert client.get(mtls.url("/cert")).text == "SUCCESS|CN=client-locked"
        assert "s3cret" not in repr(client.config) + repr(vars(client.client))
    for cert in (
        (pair.cert, locked, "wrong"),
        (pair.cert, locked),
        "/nowhere.pem",
        (pair.cert, "/nowhere.key"),
        pair.cert,
    ):
        with pytest.raises(exceptions.TLSError) as caught:
            tls_requests.Client(cert=cert)
        assert caught.value.code == "TLS_IDENTITY" and "wrong" not in str(caught.value)
    for bad in (7, (), (None, "x"), ("a", "b", "c", "d"), ("a", 7), ("a", "b", 7)):
        with pytest.raises((TypeError, ValueError), match="cert"):
            tls_requests.Client(cert=bad)


def test_trust_of_other_kinds(twin, nginx, ca_file):
    context = ssl.create_default_context(cafile=ca_file)
    for kwargs in ({"ca": ca_file}, {"verify": Path(ca_file)}, {"verify": context}, {"ca": context}):
        with twin.client(**kwargs) as client:
            assert client.get(nginx.url()).status_code == 200
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(exceptions.CertificateError):
        tls_requests.Client(verify=empty)
    loose = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    loose.check_hostname = False
    loose.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="verify"):
        tls_requests.Client(verify=loose)


def test_keylog(twin, nginx, ca_file, tmp_path):
    path = tmp_path / f"{twin.kind}.log"
    with twin.client(verify=ca_file, keylog=path) as client:
        assert client.get(nginx.url()).status_code == 200
    lines = path.read_text().splitlines()
    assert {line.split()[0] for line in lines} >= {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"}
    assert path.stat().st_mode & 0o077 == 0


# ---------------------------------------------------------------------------------------------------------- other options


def test_default_headers(twin, site):
    url = f"{site.base}/echo"
    with twin.client(defaultHeaders={"x-one": ["1"], "x-two": ["2", "3"]}) as client:
        fields = client.get(url).json()["headers"]
        assert ["x-one", "1"] in fields and ["x-two", "2"] in fields and ["x-two", "3"] in fields
        names = [name for name, _ in client.get(url, headers={"x-own": "1"}).json()["headers"]]
        assert "x-own" in names and "x-one" not in names
    with pytest.raises(TypeError, match="defaultHeaders"), twin.client() as client:
        client.get(url, defaultHeaders=["x"])


def test_euckr(twin, site):
    with twin.client() as client:
        url = f"{site.base}/text?charset=utf-8"
        assert client.get(url).encoding == "utf-8"
        response = client.get(url, euckrResponse=True)
        assert response.encoding == "euc-kr"
    with serving(lambda link: (link.request(), link.answer("한국어".encode("euc-kr")))) as server:
        assert tls_requests.get(server.url(), euckr_response=True).text == "한국어"


def test_stream_output(twin, site, tmp_path):
    path = tmp_path / "out"
    with twin.client(streamOutputPath=str(path), streamOutputBlockSize=100, streamOutputEOFSymbol="<end>") as client:
        response = client.get(f"{site.base}/bytes/1024")
        assert response.status_code == 200 and response.content == b"" and response.text == ""
        assert path.read_bytes() == bytes(range(256)) * 4 + b"<end>"
        client.get(f"{site.base}/bytes/256", stream_output_eof_symbol="")
        assert path.read_bytes() == bytes(range(256)) * 4 + b"<end>" + bytes(range(256))
        assert client.get("http://127.0.0.1:1/").status_code == 0
    other = tmp_path / "other"
    with twin.client() as client:
        assert client.get(f"{site.base}/redirect/1", stream_output_path=other).content == b""
        assert b'"path": "/echo"' in other.read_bytes()
        seen = len(site.seen)
        with pytest.raises(OSError, match="nowhere"):
            client.get(f"{site.base}/echo", streamOutputPath=tmp_path / "nowhere" / "x")
        with pytest.raises(ValueError, match="streamOutputBlockSize"):
            client.get(f"{site.base}/echo", streamOutputPath=other, streamOutputBlockSize=0)
        with pytest.raises(TypeError, match="streamOutputPath"):
            client.get(f"{site.base}/echo", streamOutputPath=7)
        assert len(site.seen) == seen, "found before anything was sent"


def test_transport_options(twin, site, nginx, ca_file):
    url = f"{site.base}/echo"
    with twin.client(transportOptions={"disableKeepAlives": True, "writeBufferSize": 4096}) as client:
        assert client.get(url).json()["peer"] != client.get(url).json()["peer"]
        assert client.stats().open == 0
    with twin.client(verify=ca_file, transport_options={"DisableKeepAlives": True}) as client:
        assert [client.get(nginx.url()).timing.reused for _ in range(2)] == [False, False]
    with twin.client(transportOptions={"maxResponseHeaderBytes": 64}) as client:
        assert failure(client.get(url)) == ("RemoteProtocolError", "HEADER_LIMIT")
        assert client.get(url, transportOptions={"maxResponseHeaderBytes": 4096}).status_code == 200
    with twin.client(verify=ca_file) as client:
        gzip = nginx.url("/gzip.txt", port="http", scheme="http")
        packed = client.get(gzip, transportOptions={"disableCompression": True})
        assert packed.headers["content-encoding"] == "gzip" and packed.content[:2] == b"\x1f\x8b"
        assert client.get(gzip).content.startswith(b"a line")
    with twin.client(transportOptions={"disableCompression": True}) as client:
        assert client.get(gzip).content[:2] == b"\x1f\x8b"
    with pytest.raises(TypeError, match="transportOptions"):
        tls_requests.Client(transportOptions=7)
    with pytest.raises(ValueError, match="maxidleconns"):
        tls_requests.Client(transportOptions={"maxIdleConns": -1})


def test_module_functions(site):
    response = tls_requests.get(f"{site.base}/echo", local_address="127.0.0.1", limits={"max_connections": 1})
    assert response.status_code == 200 and response.timing.local.startswith("127.0.0.1:")
    assert (
        tls_requests.get(f"{site.base}/delay/5", timeoutMilliseconds=150, timeoutSeconds=9).error.code
        == "TIMEOUT_TOTAL"
    )
    with tls_requests.Client() as client:
        late = client.get(f"{site.base}/delay/5", timeout_milliseconds=150, timeoutSeconds=9)
        assert late.error.code == "TIMEOUT_TOTAL" and late.error.elapsed < 2


def test_equal_options_share_a_connection(twin, site):
    with twin.client() as client:
        ports = [
            client.get(f"{site.base}/echo", **options).json()["peer"]
            for options in ({}, {"family": 4}, {"disableIPV6": True}, {"family": "ipv4", "uds": None}, {})
        ]
        assert ports[0] == ports[4] != ports[1]
        assert ports[1] == ports[2] == ports[3]


# ---------------------------------------------------------------------------------------------------------------- timing


def test_timing(twin, nginx, ca_file, server_pair):
    der = x509.load_pem_x509_certificate(server_pair.cert.read_bytes()).public_bytes(serialization.Encoding.DER)
    with twin.client(verify=ca_file, family=4) as client:
        first, second = client.get(nginx.url()), client.get(nginx.url())
        a, b = first.timing, second.timing
        assert 0 <= a.dns <= a.connect <= a.tls <= a.first_byte <= a.total < 10
        assert (a.reused, b.reused) == (False, True)
        assert b.dns is b.connect is b.tls is None and 0 < b.first_byte <= b.total
        assert a.peer == b.peer == f"127.0.0.1:{nginx.port}" and a.local == b.local
        assert (
            a.tls_version == "TLSv1.3"
            and a.tls_cipher.startswith("TLS_AES_")
            and a.tls_group in ("x25519", "X25519MLKEM768")
        )
        assert not a.tls_resumed and a.replays == 0
        assert a.certificates == b.certificates == [der]
        plain = client.get(nginx.url(port="http", scheme="http")).timing
        assert plain.tls_version is plain.tls_cipher is plain.tls_group is plain.tls is None
        assert plain.certificates == []
        jar_text = repr(a)
        assert "TLSv1.3" in jar_text
    resumed = None
    with twin.client(verify=ca_file, limits=Limits(keep_alive=False)) as client:
        client.get(nginx.url())
        resumed = client.get(nginx.url()).timing
    assert resumed.tls_resumed and resumed.certificates == [der]
    assert tls_requests.Response(200).timing.total is None
    assert pickle.loads(pickle.dumps(first)).status_code == 200


def test_stats(twin, nginx, ca_file):
    with twin.client(verify=ca_file) as client:
        assert set(client.stats()) == {0}
        assert client.get(nginx.url()).status_code == 200
        client.get(nginx.url("/redirect"))
        client.get(nginx.url(port="http", scheme="http"))
        client.get("http://127.0.0.1:1/")
        stats = client.stats()
        assert (stats.requests, stats.succeeded, stats.failed, stats.redirects) == (4, 3, 1, 1)
        assert (stats.http1, stats.http2, stats.replays) == (1, 3, 0)
        assert (stats.connections_opened, stats.connections_failed, stats.handshakes, stats.resumed) == (3, 1, 1, 0)
        assert (stats.open, stats.idle, stats.connecting, stats.active, stats.waiting) == (2, 2, 0, 0, 0)
    assert os.getpid() > 0


def test_timeouts_as_objects(twin, site):
    class Foreign:
        connect, read, write, pool = 1.0, 0.15, None, None

    assert Timeout(10, connect=2) == {"total": 10.0, "connect": 2.0}
    assert repr(Timeout(read=None)) == "Timeout(read=None)"
    slow = f"{site.base}/delay/3"
    for timeout, code in [
        (Timeout(0.15), "TIMEOUT_TOTAL"),
        (Timeout(first_byte=0.15), "TIMEOUT_FIRST_BYTE"),
        ({"first_byte": 0.15, "read": 0.05}, "TIMEOUT_FIRST_BYTE"),
        (Foreign(), "TIMEOUT_READ"),
        ((1, 0.15), "TIMEOUT_READ"),
    ]:
        with twin.client(timeout=timeout) as client:
            assert client.get(slow).error.code == code
        with twin.client() as client:
            assert client.get(slow, timeout=timeout).error.code == code
            response = client.get(slow, timeout=timeout, requestHostOverride="localhost")  # by the chain
            assert response.error.code == code and response.error.phase == "wait"
    assert issubclass(exceptions.FirstByteTimeout, exceptions.ReadTimeout)
    assert issubclass(exceptions.TLSTimeout, exceptions.ConnectTimeout)
    for bad in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="total"):
            Timeout(bad)
    with pytest.raises(TypeError, match="read"):
        Timeout(read="x")  # type: ignore[arg-type]
    with twin.client() as client, pytest.raises(ValueError, match="first_byte"):
        client.get(slow, timeout={"conect": 1})


def test_read_limit_after_an_upload(twin):
    """A body that is long in sending, then silence: the read limit counts from the body's end."""

    def behave(link: Link) -> None:
        assert link.receive()
        total = 0
        while total < 3_000_000:
            total += len(link.receive())
        link.hold()

    with serving(behave) as server, twin.client(timeout={"write": 30, "read": 0.3, "total": 20}) as client:
        response = client.post(server.url(), content=b"x" * 3_100_000)
        assert response.error.code in ("TIMEOUT_READ",)
        assert response.error.elapsed < 5


def test_options_of_the_low_level_client(site):
    """TLSClient.request and a TLSConfig's dictionary take the same options."""
    payload = {"requestMethod": "GET", "requestUrl": f"{site.base}/echo", "isByteResponse": False}
    local = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
    answer = tls_requests.TLSClient.request({**payload, "localAddress": f"{local}:0"})
    assert answer.status == 200
    refused = tls_requests.TLSClient.request({**payload, "allowPrivate": False})
    assert refused.status == 0 and "not public" in str(refused.body)
    wrong = tls_requests.TLSClient.request({**payload, "local_address": "nowhere9"})
    assert wrong.status == 0 and "localAddress" in str(wrong.body)
    config = tls_requests.TLSConfig.from_kwargs(local_address="127.0.0.1", disable_ipv6=True).to_dict()
    options = {name: value for name, value in config.items() if name in ("localAddress", "disableIpv6")}
    assert len(options) == 2
    assert tls_requests.get(f"{site.base}/echo", **options).timing.local.startswith("127.0.0.1:")
