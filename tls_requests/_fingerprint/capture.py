"""`python -m tls_requests capture`: a browser visits a local page, and what it sent becomes a profile."""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .authority import Authority, AuthorityError, make
from .browsers import Browser, BrowserError
from .jsontext import pretty
from .learn import NotEnough, learn
from .recorder import Recorder

# A browser that was started needs seconds; a slow machine a minute.
BROWSER_TIMEOUT = 120.0

IMPORT = """\
  Its certificate was made for this run and nobody trusts it yet. Either go past the warning
  (Chrome, Edge: "Advanced", "Proceed"; Firefox: "Advanced...", "Accept the Risk"; Safari:
  "Show Details", "visit this website"), or import the authority for this run:
    %(ca)s
    Firefox: Settings, Privacy & Security, View Certificates, Authorities, Import
    Chrome, Edge on Linux: chrome://certificate-manager, Custom, Installed by you, Import
    macOS: security add-trusted-cert -k ~/Library/Keychains/login.keychain %(ca)s
    Windows: certutil -user -addstore Root %(ca)s
  Remove it again afterwards. Its key is gone already: it can sign nothing more, and it ends in 3 days."""


def say(text: str = "") -> None:
    print(text, flush=True)


def is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def name_of(profile: dict[str, Any]) -> str:
    """A name like chrome_156_linux."""
    client = profile["client"]
    parts = [client["family"], client.get("version", "").partition(".")[0], client.get("os", "")]
    return "_".join(part for part in parts if part)


def free_path(folder: Path, name: str) -> Path:
    """A path that does not exist yet."""
    path, number = folder / (name + ".json"), 1
    while path.exists():
        number += 1
        path = folder / ("%s_%d.json" % (name, number))
    return path


def listed(items: list[str], limit: int = 12) -> str:
    text = ", ".join(item.replace("_", " ") for item in items[:limit])
    return text + (" and %d more" % (len(items) - limit) if len(items) > limit else "")


def source_of(browser: str | None, headless: bool) -> dict[str, Any]:
    method = "a visit of the page of `python -m tls_requests capture` on the loopback interface"
    if browser is not None:
        method += ", by %s with an empty profile%s" % (Path(browser).name, ", without a window" if headless else "")
    return {"kind": "live", "captured": datetime.date.today().isoformat(), "method": method}


class Failed(Exception):
    """Nothing can be written; the text says why."""


def write(recorder: Recorder, out: Path | None, folder: Path, source: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The profile of the best visitor, checked and written. Raises Failed, OSError."""
    from ..exceptions import ProfileError
    from .profile import Profile

    agent = recorder.best()
    if agent is None:
        raise Failed("no browser visited the page: nothing is written")
    try:
        profile = learn(recorder.records(agent), out.stem if out is not None else "", source)
    except NotEnough as error:
        raise Failed("%s: nothing is written" % error) from None
    if out is None:
        out = free_path(folder, name_of(profile))
        profile["id"] = out.stem
    missing = recorder.missing(agent)
    if missing:
        profile["notes"].append("Not seen: %s." % ", ".join(missing))
    out.write_text(pretty(profile) + "\n", encoding="utf-8")
    say("")
    say("  %s" % agent)
    say("  written: %s (%d connections)" % (out, len(recorder.records(agent))))
    if missing:
        say("  not seen: %s" % listed(missing))
    try:
        Profile.load(out)
    except ProfileError as error:
        say("  the file cannot be used as it is: %s" % error)
        say(
            "  Profile.load(path, allow_unsupported=True) sends it all the same; a server may choose what cannot be completed."
        )
        raise Failed("refused by Profile.load") from None
    return out, profile


def check(path: Path, profile: dict[str, Any], certificate: str, ca: str, host: str) -> int:
    """Send with the profile to a recording server of our own and compare; the number of differences."""
    from .replay import replay

    result = replay(profile, str(path), certificate, ca, host)
    say("  checked: %d connections and requests of ours against the browser's" % len(result.compared))
    for item in result.differences:
        say("  differs: %s: %s" % (item.situation, item.field))
        say("    browser: %s" % json.dumps(item.expected)[:300])
        say("    ours:    %s" % json.dumps(item.got)[:300])
    if not result.differences:
        say("  no difference")
    return len(result.differences)


def record(
    args: argparse.Namespace, browser: str | None, authority: Authority | None, certificate: str, ca: str
) -> int:
    """One browser; the exit code."""
    host = args.host
    recorder = Recorder(args.bind, args.port, certificate, automatic=browser is not None, told=lambda t: say("  " + t))
    recorder.start()
    started: Browser | None = None
    try:
        try:
            say("listening on %s port %d" % (args.bind, recorder.port))
            if browser is None:
                say("\n  Open this address in the browser to record, and press Start there:\n")
                say("      https://%s:%d/\n" % (host, recorder.port))
                if authority is not None:
                    say(IMPORT % {"ca": ca})
                say("\n  Ctrl-C ends it and writes what was seen.\n")
            if browser is not None:
                assert authority is not None
                started = Browser(browser, authority, host, recorder.port)
                say("started %s%s" % (browser, " without a window" if started.headless else ""))
                deadline = time.monotonic() + args.timeout
                while not recorder.wait(1.0):
                    if time.monotonic() > deadline:
                        say("  %s did not come to the end in %g seconds" % (browser, args.timeout))
                        break
                    if not started.running() and recorder.best() is None:
                        say("  %s ended without a visit" % browser)
                        break
            else:
                recorder.wait()
        except KeyboardInterrupt:
            say("")
        time.sleep(0.3)  # the last answer goes out, the last connections come to their end
        complete = recorder.finished is not None
        out = None if args.out is None else Path(args.out)
        folder = Path(".")
        if out is not None and (out.is_dir() or len(args.browser or ()) > 1):
            folder, out = out, None
        path, profile = write(recorder, out, folder, source_of(browser, started is not None and started.headless))
        if (
            started is not None
            and started.headless
            and "Headless" in json.dumps(profile["http2" if "http2" in profile else "http1"])
        ):
            say("  it says HeadlessChrome, which no visitor's browser does: start it on a display, or under Xvfb")
            complete = False
    finally:
        if started is not None:
            started.close()
        recorder.stop()
    differences = check(path, profile, certificate, ca, host) if args.check else 0
    say("\n  client_identifier=%s" % json.dumps(str(path)))
    return 0 if complete and not differences else 1


def run(args: argparse.Namespace) -> int:
    """Exit code 0: complete, no difference; 1: written, but something is missing or differs; 2: nothing written."""
    if not is_loopback(args.bind):
        say("every computer that can reach %s can visit the page" % args.bind)
    with tempfile.TemporaryDirectory(prefix="tls_requests-capture-") as temporary:
        authority: Authority | None = None
        certificate, ca = args.certificate, args.certificate
        try:
            if certificate is None:
                authority = make([args.host])
                certificate, ca = str(Path(temporary) / "server.pem"), str(Path(temporary) / "ca.pem")
                Path(certificate).touch(0o600)
                Path(certificate).write_text(authority.both)
                Path(ca).write_text(authority.ca)
            elif not Path(certificate).is_file():
                raise Failed("there is no file %s" % certificate)
            elif args.browser:
                raise Failed("--certificate and --browser do not go together: the browser trusts what is made here")
            codes = [record(args, browser, authority, certificate, ca) for browser in args.browser or (None,)]
        except (AuthorityError, BrowserError, Failed) as error:
            print("tls_requests: %s" % error, file=sys.stderr)
            return 2
    return max(codes)


def port_number(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError("there is no port %d" % value)
    return value


def arguments(command: argparse.ArgumentParser, seconds: Callable[[str], float]) -> None:
    """seconds: reads a time-out."""
    command.add_argument("--out", metavar="FILE", help="the profile to write (default: named after the browser); a folder with"
                         " several browsers")  # fmt: skip
    command.add_argument(
        "--host", default="localhost", metavar="NAME", help="host name in the address and the certificate"
    )
    command.add_argument("--port", type=port_number, default=0, help="default: any free port")
    command.add_argument(
        "--bind", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1)"
    )
    command.add_argument(
        "--browser", nargs="+", metavar="PATH", help="start these with an empty profile, one after another"
    )
    command.add_argument(
        "--certificate", metavar="FILE", help="a certificate of your own with its key, in one PEM file"
    )
    command.add_argument(
        "--timeout", type=seconds, default=BROWSER_TIMEOUT, metavar="SECONDS", help="for each --browser"
    )
    command.add_argument(
        "--no-check", dest="check", action="store_false", help="do not send with the profile and compare"
    )
    command.set_defaults(run=run)
