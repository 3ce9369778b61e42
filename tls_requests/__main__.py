"""The command line: `python -m tls_requests fingerprint`."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._fingerprint.sides import Side
    from .models.response import Response


def side_of(text: str, args: argparse.Namespace) -> Side:
    """What an argument stands for. Raises SideError, HTTPError, OSError."""
    from ._fingerprint.sides import SideError, listening, side

    if text.startswith("https://"):
        return asked(text, args)[0]
    found = re.fullmatch(r"listen(?::(\d{1,5}))?", text)
    if found:
        port = int(found[1] or 0)
        if port > 65535:
            raise SideError("there is no port %d" % port)
        return listening("127.0.0.1", port, lambda told: print(told, file=sys.stderr, flush=True), args.timeout)
    return side(text, not args.http1)


def asked(url: str, args: argparse.Namespace) -> tuple[Side, Response, Side]:
    """What a server says it saw of a client with --profile, its answer, and what the profile says."""
    from ._fingerprint.profile import Profile
    from ._fingerprint.sides import Side, of_profile, reported
    from .client import Client

    path = args.profile.endswith(".json")
    profile = Profile.load(args.profile) if path else Profile.named(args.profile)
    with Client(client_identifier=profile, verify=args.verify or True, raise_on_error=True) as client:
        if args.http1:
            client.http2 = False
        response = client.get(url)
    try:
        texts = reported(json.loads(response.content))
    except (ValueError, RecursionError):
        texts = {}
    return Side(url, texts), response, of_profile(profile, not args.http1)


def command_fingerprint(args: argparse.Namespace) -> int:
    """Show what a profile, a recording or a connection sends, or how two of them differ."""
    from ._fingerprint.report import Style, columns, comparison, page

    terminal = sys.stdout is not None and sys.stdout.isatty()
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    coloured = args.colour == "always" or (args.colour == "auto" and terminal and not plain)
    style, width = Style(coloured), max(shutil.get_terminal_size((120, 24)).columns, 60)
    if args.url is not None and args.url.startswith(("https://", "http://")) and args.against is None:
        return command_live(args)
    mine = side_of(args.url or args.profile, args)
    if args.against is None:
        if args.json:
            print(json.dumps({**mine.texts, "user_agent": mine.user_agent(), "fields": mine.fields()}, indent=1))
        else:
            print(page(mine.name, mine.texts, mine.fields(), style, width))
        return 0
    theirs = side_of(args.against, args)
    found = mine.diff(theirs)
    if args.json:
        print(json.dumps([item._asdict() for item in found], indent=1))
    elif args.layout == "columns" or (args.layout == "auto" and terminal and width >= 100):
        print(columns(found, args.url or args.profile, args.against, style, width))
    else:
        print(comparison(found, args.url or args.profile, args.against, style, width))
    return 1 if found else 0


def command_live(args: argparse.Namespace) -> int:
    """What was agreed with a server, what was sent, and, where the server reports fingerprints, what it saw."""
    seen, response, told = asked(args.url, args)
    facts = response.timing
    agreed = {
        "status": str(response.status_code),
        "HTTP": response.http_version,
        "TLS version": facts.tls_version,
        "TLS cipher suite": facts.tls_cipher,
        "TLS group": facts.tls_group,
        "address": facts.peer,
    }
    different = {item.field: item.theirs for item in told.diff(seen)}
    if args.json:
        answer = {"agreed": agreed, "sent": told.texts, "reported": seen.texts, "different": sorted(different)}
        print(json.dumps(answer, indent=1))
        return 1 if different else 0
    print("agreed with %s:" % args.url)
    for name, text in agreed.items():
        if text is not None:
            print("  %-16s %s" % (name, text))
    print("sent, as %s:" % told.name)
    for name, text in told.texts.items():
        if text is not None:
            print("  %-16s %s" % (name, text))
    if not seen.texts:
        print("the server did not report a fingerprint in JSON")
        return 0
    print("reported by the server:")
    shuffled = ("JA3", "JA3 hash") if told.shuffles() else ()
    for name, text in seen.texts.items():
        verdict = "the same"
        if name in shuffled:
            verdict = "shuffled for each connection"
        elif name in different:
            verdict = "not what was to be sent"
        elif told.texts.get(name) is None:
            verdict = "not known here"
        print("  %-16s %s (%s)" % (name, text, verdict))
    return 1 if different else 0


def command_profiles(args: argparse.Namespace) -> int:
    """List the built-in profiles."""
    from dataclasses import asdict

    from ._fingerprint.profile import profiles
    from ._fingerprint.sides import SideError

    wanted = args.family
    found = [
        info
        for info in profiles()
        # "tor" and "safari_ios" are families for a client_identifier, though Tor is a Firefox.
        if wanted is None or info.family == wanted or wanted in info.aliases or info.name.startswith(wanted + "_")
    ]
    if not found:
        families = sorted({info.family for info in profiles()})
        raise SideError('there is no family "%s"; there are %s' % (wanted, ", ".join(families)))
    if args.json:
        print(json.dumps([asdict(info) for info in found], indent=1))
        return 0
    for info in found:
        aliases = " (%s)" % ", ".join(info.aliases) if info.aliases else ""
        print("%-22s %-8s %-8s %s%s" % (info.name, info.platform, info.basis, info.ja4, aliases))
    return 0


def seconds(text: str) -> float:
    """A time-out of the command line."""
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError("%s is no number of seconds above 0" % text)
    return value


def streams_that_take_anything() -> None:
    """A terminal or pipe whose encoding lacks a character gets an escape in its place, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def main(argv: list[str] | None = None) -> int:
    """Exit code 0; 1: the two that were compared differ; 2: an error; 130 and 141: interrupted, the reader has gone."""
    parser = argparse.ArgumentParser(prog="python -m tls_requests", description="What browser profiles send.")
    commands = parser.add_subparsers(dest="command", required=True)

    what = (
        "a profile's name, the path of a profile, a recording or a raw ClientHello (-: standard input), an https URL, or"
        " listen[:PORT]"
    )
    command = commands.add_parser(
        "fingerprint",
        help="show what a browser sends, or how two differ",
        description="Shows or compares %s: the next browser that visits a local page." % what,
    )
    command.add_argument("url", nargs="?", metavar="URL", help="ask this server, as --profile; or any of the above")
    command.add_argument("--verify", metavar="FILE", help="trusted certificates for URL")
    command.add_argument(
        "--profile", default="chrome_133", metavar="NAME", help="who asks URL; without one: what is shown"
    )
    command.add_argument("--against", metavar="NAME", help="compare with this one; exit code 1: they differ")
    command.add_argument("--http1", action="store_true", help="as with http2=False")
    command.add_argument("--json", action="store_true", help="for programs")
    command.add_argument("--colour", choices=("auto", "always", "never"), default="auto")
    command.add_argument("--layout", choices=("auto", "columns", "lines"), default="auto", help="of a comparison")
    command.add_argument("--timeout", type=seconds, metavar="SECONDS", help="how long listen waits (default: for ever)")
    command.set_defaults(run=command_fingerprint)

    command = commands.add_parser("profiles", help="list the built-in profiles")
    command.add_argument("--family", help="only this family (chrome, firefox, safari, ...)")
    command.add_argument("--json", action="store_true", help="for programs: a list of objects")
    command.set_defaults(run=command_profiles)

    from ._fingerprint.capture import arguments

    arguments(
        commands.add_parser("capture", help="record your own browser: a local page that it visits becomes a profile"),
        seconds,
    )

    args = parser.parse_args(argv)
    from ._fingerprint.sides import SideError
    from .exceptions import HTTPError

    streams_that_take_anything()
    try:
        result: int = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return result
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who reads has enough. What is still buffered must not be tried again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a shell tells of SIGPIPE
    except (HTTPError, OSError, SideError) as error:
        print("tls_requests: %s" % error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
