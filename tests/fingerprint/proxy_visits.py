"""The same visit through a recording proxy by a real browser and by our client: see PAGE in proxy_recorder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import quote

from proxy_recorder import ADDRESS, REALM, Origin, RecordingProxy, Seen

import tls_requests
from tls_requests._fingerprint.authority import Authority
from tls_requests._fingerprint.browsers import Browser, is_firefox

USER, PASSWORD = "alice", "secret7"
FIRST = "http://origin.test:8080/"
SECURE = "https://origin.test/"
NAMES = ["origin.test", "other.test", "localhost"]
VISIT_SECONDS = 120.0


class Way(NamedTuple):
    """kind: of proxy. alpn: what an https proxy agrees to. auth: it wants credentials. first: what is visited first."""

    kind: str
    alpn: tuple[str, ...] = ()
    auth: bool = False
    first: str = FIRST

    def __str__(self) -> str:
        return "-".join(
            [self.kind, *(self.alpn[:1]), *(["auth"] if self.auth else []), *(["tls"] if self.first == SECURE else [])]
        )


class Recorded:
    """What came to the proxy in one visit."""

    def __init__(self, seen: list[Seen]) -> None:
        self.seen = seen

    def heads(self) -> list[bytes]:
        return [head for seen in self.seen for head in seen.heads]

    def head(self, start: str, credentials: bool | None = None) -> bytes:
        """The first request to the proxy that begins so; credentials: that has some, or none."""
        for head in self.heads():
            if head.startswith(start.encode()) and (
                credentials is None or (b"Proxy-Authorization" in head) == credentials
            ):
                return head
        raise AssertionError(f"no {start!r} in {self.seen}")

    def inside(self, start: str) -> bytes:
        for seen in self.seen:
            for head in seen.inside:
                if head.startswith(start.encode()):
                    return head
        raise AssertionError(f"no {start!r} in {self.seen}")

    def hellos(self) -> list[bytes]:
        return [seen.hello for seen in self.seen]

    def tunnelled(self) -> list[bytes]:
        return [hello for seen in self.seen for hello in seen.tunnelled]


@contextlib.contextmanager
def _proxy(way: Way, certificate: str, origin: Origin) -> Any:
    credentials = f"{USER}:{PASSWORD}" if way.auth else None
    with RecordingProxy(origin, certificate if way.kind == "https" else None, way.alpn, credentials) as proxy:
        yield proxy


# ------------------------------------------------------------------------------------------------------------ Chromium

MANIFEST = {
    "manifest_version": 3,
    "name": "log in",
    "version": "1",
    "permissions": ["webRequest", "webRequestAuthProvider", "tabs"],
    "host_permissions": ["<all_urls>"],
    "background": {"service_worker": "worker.js"},
}
WORKER = """
const credentials = {username: %s, password: %s};
chrome.webRequest.onAuthRequired.addListener(
  (details, answer) => answer(details.isProxy ? {authCredentials: credentials} : {}), {urls: ["<all_urls>"]}, ["asyncBlocking"]);
chrome.tabs.create({url: %s});
"""


def _chromium(way: Way, proxy: RecordingProxy, folder: Path) -> tuple[str, list[str]]:
    arguments = [f"--proxy-server={way.kind}://localhost:{proxy.port}", f"--host-resolver-rules=MAP *.test {ADDRESS}"]
    arguments += ["--proxy-bypass-list=<-loopback>"]
    if not way.auth:
        return way.first, arguments
    # The credentials come from an extension, which opens the page as well: else the page may be asked for before it listens.
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    (folder / "worker.js").write_text(WORKER % (json.dumps(USER), json.dumps(PASSWORD), json.dumps(way.first)))
    arguments += [f"--load-extension={folder}", "--disable-features=DisableLoadExtensionCommandLineSwitch"]
    return "about:blank", arguments


# ------------------------------------------------------------------------------------------------------------ Firefox

STORE_LOGIN = """
const [proxy, realm, user, password, done] = arguments;
const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
login.init(proxy, null, realm, user, password, "", "");
Services.logins.addLoginAsync(login).then(() => done(""), error => done(String(error)));
"""


def _firefox(way: Way, proxy: RecordingProxy) -> tuple[str, list[str], dict[str, Any]]:
    word = {"http": "PROXY", "https": "HTTPS", "socks4": "SOCKS4", "socks5": "SOCKS5"}[way.kind]
    script = f'function FindProxyForURL(url, host) {{ return "{word} localhost:{proxy.port}"; }}'
    preferences = {
        "network.proxy.type": 2,
        "network.proxy.autoconfig_url": "data:application/x-ns-proxy-autoconfig," + quote(script),
        "signon.autologin.proxy": True,
        "marionette.port": 0,
        "remote.prefs.recommended": False,
    }
    if not way.auth:
        return way.first, [], preferences
    return "about:blank", ["--marionette", "--remote-allow-system-access"], preferences


class Marionette:
    """Firefox's remote protocol, as far as it is needed to store a login and to open a page."""

    def __init__(self, folder: Path) -> None:
        port = folder / "MarionetteActivePort"
        deadline = time.monotonic() + VISIT_SECONDS
        while not (port.exists() and port.read_text()):
            assert time.monotonic() < deadline, "Firefox has no Marionette"
            time.sleep(0.05)
        self.sock = socket.create_connection(("127.0.0.1", int(port.read_text())), VISIT_SECONDS)
        self.file = self.sock.makefile("rwb")
        self._read()

    def _read(self) -> Any:
        size = b""
        while not size.endswith(b":"):
            byte = self.file.read(1)
            assert byte, "Firefox has gone"
            size += byte
        return json.loads(self.file.read(int(size[:-1])))

    def send(self, name: str, arguments: dict[str, Any]) -> None:
        message = json.dumps([0, 1, name, arguments]).encode()
        self.file.write(b"%d:%s" % (len(message), message))
        self.file.flush()

    def call(self, name: str, **arguments: Any) -> Any:
        self.send(name, arguments)
        _, _, error, result = self._read()
        assert error is None, error
        return result

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def _log_in(way: Way, proxy: RecordingProxy, folder: Path) -> Marionette:
    firefox = Marionette(folder)
    firefox.call("WebDriver:NewSession", capabilities={"alwaysMatch": {"pageLoadStrategy": "none"}})
    firefox.call("Marionette:SetContext", value="chrome")
    arguments = [f"moz-proxy://localhost:{proxy.port}", REALM, USER, PASSWORD]
    done = firefox.call("WebDriver:ExecuteAsyncScript", script=STORE_LOGIN, args=arguments)
    assert done["value"] == "", done
    firefox.call("Marionette:SetContext", value="content")
    firefox.call("WebDriver:Navigate", url=way.first)
    return firefox


def by_browser(program: str, way: Way, authority: Authority, certificate: str, display: str, folder: Path) -> Recorded:
    origin = Origin(certificate)
    origin.start()
    session: Marionette | None = None
    try:
        with _proxy(way, certificate, origin) as proxy, mock.patch.dict(os.environ, {"DISPLAY": display}):
            preferences: dict[str, Any] = {}
            if is_firefox(program):
                url, arguments, preferences = _firefox(way, proxy)
            else:
                url, arguments = _chromium(way, proxy, folder)
            browser = Browser(
                program,
                authority,
                "origin.test",
                443,
                headless=False,
                url=url,
                arguments=arguments,
                preferences=preferences,
                trusted=[("other.test", 443), ("localhost", proxy.port)],
            )
            try:
                if is_firefox(program) and way.auth:
                    session = _log_in(way, proxy, Path(browser.folder))
                assert origin.done.wait(VISIT_SECONDS), proxy.seen
            finally:
                if session is not None:
                    session.close()
                browser.close()
            return Recorded(proxy.seen)
    finally:
        origin.stop()


# ----------------------------------------------------------------------------------------------------------- our client


def by_client(identifier: str, way: Way, certificate: str, ca: str) -> Recorded:
    """The same with our client. `socks4` of Firefox has the proxy look names up, as `socks4a` here."""
    origin = Origin(certificate)
    origin.start()
    firefox = "firefox" in identifier
    scheme = {"socks4": "socks4a" if firefox else "socks4", "socks5": "socks5h"}.get(way.kind, way.kind)
    try:
        with _proxy(way, certificate, origin) as proxy:
            userinfo = f"{USER}:{PASSWORD}@" if way.auth else ""
            chosen = tls_requests.Proxy(f"{scheme}://{userinfo}localhost:{proxy.port}", forward=True)
            with tls_requests.Client(
                client_identifier=identifier, verify=ca, proxy=chosen, raise_on_error=True, timeout=20
            ) as client:
                if scheme == "socks4":
                    # Names are looked up here, and .test has none: the browser was told an address for them.
                    secure, first, other = (f"https://{ADDRESS}/", f"http://{ADDRESS}:8080/", f"https://{ADDRESS}/done")
                else:
                    secure, first, other = SECURE, FIRST, "https://other.test/done"
                if way.first == FIRST:
                    client.get(first)
                    client.get(first + "image", mode="image", page=first)
                    client.get(first + "fetch", mode="fetch", page=first)
                    with contextlib.suppress(tls_requests.exceptions.HTTPError):
                        client.websocket("ws" + first[4:] + "socket", page=first).open()
                    client.get(first + "second", page=first)
                if scheme == "socks4":
                    with contextlib.suppress(tls_requests.exceptions.HTTPError):
                        client.get(secure)  # the certificate has no address
                else:
                    client.get(secure)
                    client.get(other, mode="fetch", page=secure)
            return Recorded(proxy.seen)
    finally:
        origin.stop()
