"""Starting a browser with an empty profile that trusts the recording server's certificate, and nothing else that is new.

Chromium and what is built on it take the hash of the certificate's key on the command line (it then counts as valid); Firefox takes
an exception in its profile. Neither changes what is sent. Nothing is written outside a temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .authority import Authority

# A browser gets so many seconds to end by itself before it is killed.
PATIENCE = 5.0

CHROMIUM_SWITCHES = (
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--password-store=basic",
    "--use-mock-keychain",
)
FIREFOX_PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.pagethumbnails.capturing_disabled": True,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.tabs.warnOnClose": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.firstRunURL": "",
    "datareporting.healthreport.uploadEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "termsofuse.bypassNotification": True,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "trailhead.firstrun.didSeeAboutWelcome": True,
}


class BrowserError(Exception):
    """The browser could not be started."""


def is_firefox(program: str) -> bool:
    """Whether the program at that path is Firefox or one that is built on it."""
    return any(name in os.path.basename(program).lower() for name in ("firefox", "librewolf", "waterfox", "zen", "tor"))


def has_display() -> bool:
    return (
        os.name == "nt"
        or os.uname().sysname == "Darwin"
        or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    )


def firefox_profile(
    folder: Path, authority: Authority, places: Iterable[tuple[str, int]], preferences: Mapping[str, Any]
) -> None:
    """Preferences, and the exceptions for the one certificate at these hosts and ports."""
    lines = []
    for name, value in {**FIREFOX_PREFERENCES, **preferences}.items():
        lines.append('user_pref("%s", %s);' % (name, json.dumps(value)))
    (folder / "user.js").write_text("\n".join(lines) + "\n")
    # host:port:origin attributes, the hash's OID (SHA-256), the hash, which errors are accepted (none named: all)
    exceptions = [
        "%s:%d:\tOID.2.16.840.1.101.3.4.2.1\t%s\t\n" % (host, port, authority.fingerprint) for host, port in places
    ]
    (folder / "cert_override.txt").write_text(
        "# PSM Certificate Override Settings file\n# This is a generated file!  Do not edit.\n" + "".join(exceptions)
    )


def chromium_profile(folder: Path, languages: str) -> None:
    """Preferences where they are not those of an empty profile."""
    if languages:
        (folder / "Default").mkdir()
        preferences = {"intl": {"accept_languages": languages, "selected_languages": languages}}
        (folder / "Default" / "Preferences").write_text(json.dumps(preferences))


class Browser:
    """A started browser. `close` ends it and removes its folder."""

    def __init__(
        self,
        program: str,
        authority: Authority,
        host: str,
        port: int,
        headless: bool | None = None,
        *,
        url: str | None = None,
        languages: str = "",
        arguments: Iterable[str] = (),
        preferences: Mapping[str, Any] | None = None,
        trusted: Iterable[tuple[str, int]] = (),
    ) -> None:
        """headless: without a window; None: where there is no display. url: what it visits, the root of host and port by default.
        languages: those that its user prefers, with commas; "": as a new profile has them. arguments: more of them. preferences:
        more of Firefox's. trusted: more places where Firefox takes the authority's certificate. Raises BrowserError."""
        path = shutil.which(program)
        if path is None:
            raise BrowserError("there is no program %s" % program)
        self.headless = not has_display() if headless is None else headless
        self.folder = tempfile.mkdtemp(prefix="tls_requests-browser-")
        url = "https://%s:%d/" % (host, port) if url is None else url
        if is_firefox(path):
            more = {"intl.accept_languages": languages} if languages else {}
            firefox_profile(Path(self.folder), authority, [(host, port), *trusted], {**more, **(preferences or {})})
            command = [path, "--no-remote", "--new-instance", "--profile", self.folder]
            command += ["--headless"] if self.headless else []
            command += [*arguments, url]
        else:
            chromium_profile(Path(self.folder), languages)
            command = [path, *CHROMIUM_SWITCHES, "--user-data-dir=" + self.folder]
            command += ["--ignore-certificate-errors-spki-list=" + authority.key_hash]
            command += ["--headless=new", "--disable-gpu"] if self.headless else []
            # Chromium's sandbox refuses to work for root.
            command += ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
            command += [*arguments, url]
        environment = {**os.environ, "MOZ_CRASHREPORTER_DISABLE": "1"}
        try:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise BrowserError("%s cannot be started: %s" % (program, error)) from None

    def running(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self._signal(False)
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._signal(True)
            self.process.wait(PATIENCE)
        self._signal(True)  # what the browser left behind in its own session
        shutil.rmtree(self.folder, ignore_errors=True)

    def _signal(self, hard: bool) -> None:
        """End the browser and the processes of its session, which it was started in."""
        import signal

        try:
            if os.name == "posix":
                os.killpg(self.process.pid, signal.SIGKILL if hard else signal.SIGTERM)
            elif hard:
                self.process.kill()
            else:
                self.process.terminate()
        except (ProcessLookupError, PermissionError):
            pass
