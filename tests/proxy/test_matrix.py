"""Real proxies: kind, credentials, address family of the proxy, and what the origin speaks, by both kinds of clients."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

import tls_requests
from peers import Peer
from peers.proxies import PASSWORD, PLAIN_PASSWORD, PLAIN_USER, USER, start_pproxy, start_squid
from peers.servers import INDEX

HARD = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
PLAIN = f"{PLAIN_USER}:{PLAIN_PASSWORD}@"

# (proxy, scheme, port's name, host, credentials)
ROWS = [
    *[
        ("squid", scheme, scheme, host, "")
        for scheme in ("http", "https")
        for host in ("127.0.0.1", "[::1]", "localhost")
    ],
    *[("squid+auth", scheme, scheme, host, HARD) for scheme in ("http", "https") for host in ("127.0.0.1", "[::1]")],
    *[("tinyproxy", "http", "http", host, "") for host in ("127.0.0.1", "[::1]")],
    *[("tinyproxy+auth", "http", "http", host, PLAIN) for host in ("127.0.0.1", "[::1]")],
    *[(f"h2-{make}", "https", "https", "127.0.0.1", "") for make in ("go", "nghttpx", "apache")],
    ("h2-go+auth", "https", "https", "127.0.0.1", PLAIN),
    *[(f"h2-{make}+auth", "https", "https", "127.0.0.1", HARD) for make in ("nghttpx", "apache")],
    ("h1-go", "https", "https", "127.0.0.1", ""),
    *[
        ("dante", scheme, "socks", host, "")
        for scheme in ("socks4", "socks5", "socks5h")
        for host in ("127.0.0.1", "[::1]")
    ],
    *[("microsocks", scheme, "socks", "127.0.0.1", "") for scheme in ("socks5", "socks5h")],
    *[("microsocks+auth", scheme, "socks", "127.0.0.1", HARD) for scheme in ("socks5", "socks5h")],
    *[("microsocks6", scheme, "socks", "[::1]", "") for scheme in ("socks5", "socks5h")],
    ("proxy-py", "http", "http", "127.0.0.1", ""),
    ("proxy-py+auth", "http", "http", "127.0.0.1", PLAIN),
    *[("pproxy", scheme, "any", "127.0.0.1", "") for scheme in ("http", "socks4", "socks5", "socks5h")],
    *[("pproxy+auth", scheme, "any", "127.0.0.1", PLAIN) for scheme in ("http", "socks5", "socks5h")],
    # pproxy's user id of SOCKS4 is user and password.
    ("pproxy+auth", "socks4", "any", "127.0.0.1", f"{PLAIN_USER}%3A{PLAIN_PASSWORD}@"),
    *[
        (kind, scheme, "socks", "127.0.0.1", "")
        for kind in ("openssh", "asyncssh")
        for scheme in ("socks4", "socks4a", "socks5", "socks5h")
    ],
]
# (port of nginx, scheme, version, host)
ORIGINS = [
    ("https", "https", "HTTP/2.0", "127.0.0.1"),
    ("https", "https", "HTTP/2.0", "[::1]"),
    ("https1", "https", "HTTP/1.1", "127.0.0.1"),
    ("http", "http", "HTTP/1.1", "127.0.0.1"),
]


def wait_for_text(path: Path, text: str) -> None:
    """Proxies write their logs when a request is over."""
    deadline = time.monotonic() + 10
    while text not in path.read_text():
        assert time.monotonic() < deadline, f"{text} is not in {path}"
        time.sleep(0.02)


def proxy_url(peer: Peer, row: tuple[str, str, str, str, str]) -> str:
    _, scheme, port, host, userinfo = row
    return f"{scheme}://{userinfo}{host}:{peer.ports[port]}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}-{row[3].strip('[]')}")
def test_matrix(session, proxies: Callable[[str], Peer], nginx: Peer, row) -> None:
    peer = proxies(row[0])
    client = session(proxy=proxy_url(peer, row))
    for port, scheme, version, host in ORIGINS:
        if host == "[::1]" and (row[1].startswith("socks4") or row[0].startswith("proxy-py")):
            continue  # SOCKS4 has no such addresses; proxy.py looks "[::1]" up as a name, brackets and all
        for _ in range(2):
            response = client.get(nginx.url(port=port, scheme=scheme, host=host))
            assert response.status_code == 200, f"{port} {host}: {response.text}"
            assert (response.content, response.http_version) == (INDEX, version)
            assert response.timing.peer.rpartition(":")[2] == str(peer.ports[row[2]]), "the connection is the proxy's"


@pytest.mark.parametrize("name", ["squid+auth", "tinyproxy+auth", "proxy-py+auth"])
@pytest.mark.parametrize("userinfo", ["", "wrong:credentials@"])
def test_http_log_in_refused(session, proxies, nginx, name: str, userinfo: str) -> None:
    peer = proxies(name)
    port = peer.ports.get("http") or peer.port
    for options in ({}, {"raise_on_error": True}):
        client = session(proxy=f"http://{userinfo}127.0.0.1:{port}", **options)
        try:
            response = client.get(nginx.url())
            assert not options
            error = response.error
            assert response.status_code == 0
        except tls_requests.exceptions.ProxyError as raised:
            error = raised
        assert isinstance(error, tls_requests.exceptions.ProxyAuthError)
        assert (error.code, error.phase) == ("PROXY_AUTH", "proxy")
        assert error.detail == (401 if name == "tinyproxy+auth" and userinfo else 407)
        assert not error.request_sent and error.safe_to_retry
        assert "credentials@" not in str(error)


def test_pproxy_log_in_refused(session, nginx) -> None:
    """One of its own: it lets an address in for good that has logged in once."""
    with start_pproxy(auth=True) as peer:
        for scheme in ("http", "socks5h"):
            error = session(proxy=f"{scheme}://wrong:credentials@127.0.0.1:{peer.port}").get(nginx.url()).error
            assert error.code in ("PROXY_AUTH", "PROXY_CLOSED"), str(error)
            assert not error.request_sent and error.safe_to_retry


@pytest.mark.parametrize("userinfo", ["", "wrong:credentials@"])
def test_socks_log_in_refused(session, proxies, nginx, userinfo: str) -> None:
    error = session(proxy=f"socks5h://{userinfo}127.0.0.1:{proxies('microsocks+auth').port}").get(nginx.url()).error
    assert (type(error).__name__, error.code, error.request_sent, error.safe_to_retry) == (
        "ProxyAuthError",
        "PROXY_AUTH",
        False,
        True,
    )


@pytest.mark.parametrize(
    ("name", "scheme", "detail"),
    [("squid", "http", 403), ("squid", "https", 403), ("dante", "socks5", 2), ("dante", "socks4", 0x5B)],
)
def test_refusal_of_the_target(session, proxies, name: str, scheme: str, detail: int) -> None:
    """192.0.2.0/24 is forbidden there."""
    peer = proxies(name)
    port = peer.ports.get(scheme) or peer.ports["socks"]
    error = session(proxy=f"{scheme}://127.0.0.1:{port}").get("https://192.0.2.1/").error
    assert (type(error).__name__, error.code, error.detail) == ("ProxyRefused", "PROXY_REFUSED", detail)
    assert not error.request_sent and error.safe_to_retry


def test_target_that_refuses(session, proxies, closed_port: int) -> None:
    socks = session(proxy=f"socks5://127.0.0.1:{proxies('microsocks').port}").get(f"https://127.0.0.1:{closed_port}/")
    assert (socks.error.code, socks.error.detail) == ("PROXY_REFUSED", 5)
    assert "refused" in socks.text
    http = session(proxy=f"http://127.0.0.1:{proxies('squid').ports['http']}").get(f"https://127.0.0.1:{closed_port}/")
    assert (http.error.code, http.error.detail) == ("PROXY_REFUSED", 503)


def test_names_are_the_proxys_to_resolve(session, proxies, nginx) -> None:
    """The name is in the proxy's own table only."""
    ways = [f"{scheme}://127.0.0.1:{proxies('squid').ports[scheme]}" for scheme in ("http", "https")]
    for name in ("openssh", "asyncssh"):
        ways += [
            f"{start}127.0.0.1:{proxies(name).ports['socks']}"
            for start in ("socks4a://", "socks4a://user@", "socks5h://")
        ]
    for way in ways:
        response = session(proxy=way).get(nginx.url(host="only-at-the-proxy.test", port="http", scheme="http"))
        assert (response.status_code, response.content) == (200, INDEX), f"{way}: {response.text}"
    for scheme in ("socks4", "socks5"):
        way = f"{scheme}://127.0.0.1:{proxies('openssh').ports['socks']}"
        error = session(proxy=way).get(nginx.url(host="only-at-the-proxy.test")).error
        assert (error.code, error.request_sent) == ("DNS_NOT_FOUND", False), error


def test_chain(session, proxies, nginx) -> None:
    """https, socks5h, http, each through the one before; every one of them saw the next as its target."""
    squid, microsocks, tinyproxy = proxies("squid"), proxies("microsocks"), proxies("tinyproxy+auth")
    proxy = tls_requests.Proxy(
        f"http://{PLAIN}127.0.0.1:{tinyproxy.port}",
        via=[f"https://localhost:{squid.ports['https']}", f"socks5h://127.0.0.1:{microsocks.port}"],
    )
    assert [hop.scheme for hop in proxy.chain] == ["https", "socks5h", "http"]
    client = session(proxy=proxy)
    for port, scheme in (("https", "https"), ("https1", "https"), ("http", "http")):
        response = client.get(nginx.url(port=port, scheme=scheme, host="127.0.0.1"))
        assert response.status_code == 200, response.text
        assert response.request.proxy is proxy
    client.close()
    wait_for_text(squid.folder / "access.log", f"CONNECT 127.0.0.1:{microsocks.port}")
    assert re.search(rf"CONNECT 127\.0\.0\.1:{nginx.ports['https']}\b", tinyproxy.log())


def test_tls_in_tls_in_bulk(session, proxies, nginx) -> None:
    """A megabyte or so through two https proxies: records of three layers, in every alignment."""
    port = proxies("squid").ports["https"]
    client = session(proxy=tls_requests.Proxy(f"https://localhost:{port}", via=f"https://localhost:{port}"))
    for name in ("https", "https1"):
        for _ in range(20):
            response = client.get(nginx.url("/page.txt", port=name, host="127.0.0.1"))
            assert response.status_code == 200, response.text
            assert response.content == b"a line of text\n" * 4096


def test_upload_through_tls_proxies(session, proxies, site) -> None:
    """Two megabytes up and back, in a tunnel through two https proxies and in absolute form through one."""
    port = proxies("squid").ports["https"]
    body = bytes(range(256)) * 8192
    url = f"http://127.0.0.1:{site.server_port}/echo"
    for proxy in (
        tls_requests.Proxy(f"https://localhost:{port}", via=f"https://localhost:{port}"),
        tls_requests.Proxy(f"https://localhost:{port}", forward=True),
    ):
        response = session(proxy=proxy).request("POST", url, content=body)
        assert response.status_code == 200, response.text
        assert base64.b64decode(response.json()["body"]) == body


def test_certificate_of_the_proxy(proxies, nginx) -> None:
    """Another authority: refused, and said to be the proxy's; verify=False lets it pass."""
    port = proxies("squid").ports["https"]
    with tls_requests.Client(proxy=f"https://localhost:{port}", timeout=10) as client:
        error = client.get(nginx.url()).error
        assert (type(error).__name__, error.code) == ("ProxyTLSError", "PROXY_CERTIFICATE")
        assert "certificate" in str(error)
        assert client.get(nginx.url(port="http", scheme="http")).error.code == "PROXY_CERTIFICATE"
    with tls_requests.Client(proxy=f"https://localhost:{port}", verify=False, timeout=10) as client:
        assert client.get(nginx.url()).status_code == 200


def test_certificate_name_of_the_proxy(session, authority, nginx) -> None:
    """The proxy is verified by its own name, not by the server's, and the server by its."""
    with start_squid(authority.issue("proxy", names=("proxy.localhost",))) as peer:
        good = session(proxy=f"https://proxy.localhost:{peer.ports['https']}").get(nginx.url())
        assert (good.status_code, good.http_version) == (200, "HTTP/2.0"), good.text
        bad = session(proxy=f"https://localhost:{peer.ports['https']}").get(nginx.url())
        assert bad.error.code == "PROXY_CERTIFICATE"
        other = session(proxy=f"https://proxy.localhost:{peer.ports['https']}").get(nginx.url(host="proxy.localhost"))
        assert other.error.code == "TLS_HOSTNAME", "the server's own failure"


def test_fallback_to_absolute_form(session, proxies, nginx) -> None:
    """These refuse CONNECT to such ports: plain http still works, https is refused."""
    for name in ("squid-no-connect", "tinyproxy-443"):
        client = session(proxy=f"http://127.0.0.1:{proxies(name).ports['http']}")
        for _ in range(2):
            response = client.get(nginx.url(port="http", scheme="http", host="127.0.0.1"))
            assert (response.status_code, response.content) == (200, INDEX), response.text
        refused = client.get(nginx.url(host="127.0.0.1"))
        assert (refused.error.code, refused.error.detail) == ("PROXY_REFUSED", 403)
        never = session(proxy=tls_requests.Proxy(f"http://127.0.0.1:{proxies(name).ports['http']}", forward=False))
        assert never.get(nginx.url(port="http", scheme="http", host="127.0.0.1")).error.code == "PROXY_REFUSED"


def test_absolute_form_by_choice(session, proxies, nginx) -> None:
    """With credentials, over http and https proxies; a wrong password is a typed failure, not the proxy's page."""
    peer = proxies("squid+auth")
    for scheme in ("http", "https"):
        proxy = tls_requests.Proxy(f"{scheme}://{HARD}localhost:{peer.ports[scheme]}", forward=True)
        client = session(proxy=proxy)
        for _ in range(3):
            response = client.get(nginx.url("/page.txt", port="http", scheme="http", host="127.0.0.1"))
            assert response.status_code == 200, response.text
            assert len(response.content) == 15 * 4096
            assert "proxy-authorization" not in response.request.headers
        assert client.get(nginx.url(host="127.0.0.1")).http_version == "HTTP/2.0", "https is tunnelled all the same"
        wrong = tls_requests.Proxy(f"{scheme}://wrong:one@localhost:{peer.ports[scheme]}", forward=True)
        error = session(proxy=wrong).get(nginx.url(port="http", scheme="http", host="127.0.0.1")).error
        assert (error.code, error.detail) == ("PROXY_AUTH", 407)
    wait_for_text(
        peer.folder / "access.log", f"GET {nginx.url('/page.txt', port='http', scheme='http', host='127.0.0.1')}"
    )


def test_module_functions(proxies, nginx, ca_file) -> None:
    proxy = f"http://127.0.0.1:{proxies('squid').ports['http']}"
    for given in (proxy, proxy.encode(), tls_requests.URL(proxy), tls_requests.Proxy(proxy), [proxy], {"all": proxy}):
        response = tls_requests.get(nginx.url(), proxy=given, verify=ca_file)
        assert response.status_code == 200, response.text
        assert response.request.proxy.port == proxy.rpartition(":")[2]


@pytest.mark.parametrize("name", ["openssh", "asyncssh"])
def test_target_that_ssh_cannot_reach(session, proxies, closed_port: int, name: str) -> None:
    """OpenSSH closes without an answer; asyncssh grants the request before it knows, and then closes, which looks like the origin's doing."""
    codes = {"openssh": ("PROXY_CLOSED",), "asyncssh": ("TLS_CLOSED", "CONNECT_RESET")}
    for scheme in ("socks4", "socks4a", "socks5h"):
        client = session(proxy=f"{scheme}://127.0.0.1:{proxies(name).ports['socks']}")
        error = client.get(f"https://127.0.0.1:{closed_port}/").error
        assert error.code in codes[name], error
        assert not error.request_sent and error.safe_to_retry
