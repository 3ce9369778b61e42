"""The command line: `python -m tls_requests fingerprint`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._fingerprint.profile import Profile


def profile_from(text: str) -> Profile:
    """The profile of a name, or of the path of a JSON file. Raises ProfileError and OSError."""
    from ._fingerprint.profile import Profile

    return Profile.load(text) if text.endswith(".json") else Profile.named(text)


def command_fingerprint(args: argparse.Namespace) -> int:
    """Show what a profile sends, or how two differ."""
    from ._fingerprint.fingerprint import fingerprint_of
    from ._fingerprint.report import Style, comparison, page

    coloured = args.colour == "always" or (
        args.colour == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    )
    if args.url is not None:
        return command_live(args)
    style, width = Style(coloured), max(shutil.get_terminal_size((120, 24)).columns, 60)
    mine = fingerprint_of(profile_from(args.profile), not args.http1)
    if args.against is None:
        if args.json:
            print(json.dumps({**mine.texts(), "user_agent": mine.user_agent, "fields": mine.fields}, indent=1))
        else:
            print(page(mine.name, mine.texts(), mine.fields, style, width))
        return 0
    theirs = fingerprint_of(profile_from(args.against), not args.http1)
    found = mine.diff(theirs)
    if args.json:
        print(json.dumps([item._asdict() for item in found], indent=1))
    else:
        print(comparison(found, args.profile, args.against, style, width))
    return 1 if found else 0


# Names under which servers that report fingerprints give them, by the name in Fingerprint.texts().
REPORTED = {
    "JA3": ("ja3_text", "ja3"),
    "JA3 hash": ("ja3_hash",),
    "JA3 sorted hash": ("ja3n_hash",),
    "JA4": ("ja4",),
    "JA4_r": ("ja4_r",),
    "Akamai": ("akamai_text", "akamai_fingerprint", "akamai"),
    "Akamai hash": ("akamai_hash", "akamai_fingerprint_hash"),
}


def reported(answer: object) -> dict[str, str]:
    """The fingerprints in a server's JSON answer, wherever they stand in it; the first of each name."""
    found: dict[str, str] = {}
    level = [answer]
    for _ in range(16):  # deeper than any report
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                for name, keys in REPORTED.items():
                    for key in keys:
                        text = value.get(key)
                        if isinstance(text, str) and text:
                            found.setdefault(name, text)
                inner += value.values()
            elif isinstance(value, list):
                inner += value
        level = inner
    return found


def command_live(args: argparse.Namespace) -> int:
    """Ask a server that reports fingerprints what it saw, and compare that with what the profile says."""
    from .client import Client

    mine = None
    with Client(
        client_identifier=profile_from(args.profile), verify=args.verify or True, raise_on_error=True
    ) as client:
        if args.http1:
            client.http2 = False
        mine = client.fingerprint()
        response = client.get(args.url)
    try:
        seen = reported(json.loads(response.content))
    except (ValueError, RecursionError):
        seen = {}
    if not seen:
        print(
            "tls_requests: %s answered %d, without a fingerprint in JSON" % (args.url, response.status_code),
            file=sys.stderr,
        )
        return 2
    shuffles = mine.fields["TLS extension order"] != "fixed"
    different = 0
    for name, text in seen.items():
        told = mine.texts()[name]
        verdict = "the same"
        if name in ("JA3", "JA3 hash") and shuffles:
            verdict = "shuffled for each connection"
        elif told != text:
            verdict = "the profile says %s" % told
            different += 1
        print("%-16s %s (%s)" % (name, text, verdict))
    return 1 if different else 0


def command_profiles(args: argparse.Namespace) -> int:
    """List the built-in profiles."""
    from ._fingerprint.profile import profiles

    for info in profiles():
        if args.family is None or info.family == args.family:
            aliases = " (%s)" % ", ".join(info.aliases) if info.aliases else ""
            print("%-22s %-8s %-8s %s%s" % (info.name, info.platform, info.basis, info.ja4, aliases))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Exit code 0; 1: the two that were compared differ; 2: an error."""
    parser = argparse.ArgumentParser(prog="python -m tls_requests", description="What browser profiles send.")
    commands = parser.add_subparsers(dest="command", required=True)

    command = commands.add_parser("fingerprint", help="show what a profile sends, or how two differ")
    command.add_argument("url", nargs="?", help="ask this server, which reports fingerprints as JSON, what it saw")
    command.add_argument("--verify", metavar="FILE", help="trusted certificates for URL")
    command.add_argument("--profile", default="chrome_133", metavar="NAME", help="name, or path of a .json file")
    command.add_argument("--against", metavar="NAME", help="compare with this one; exit code 1: they differ")
    command.add_argument("--http1", action="store_true", help="as with http2=False")
    command.add_argument("--json", action="store_true", help="for programs")
    command.add_argument("--colour", choices=("auto", "always", "never"), default="auto")
    command.set_defaults(run=command_fingerprint)

    command = commands.add_parser("profiles", help="list the built-in profiles")
    command.add_argument("--family", help="only this family (chrome, firefox, safari, ...)")
    command.set_defaults(run=command_profiles)

    from ._fingerprint.capture import arguments

    arguments(
        commands.add_parser("capture", help="record your own browser: a local page that it visits becomes a profile")
    )

    args = parser.parse_args(argv)
    from .exceptions import HTTPError

    try:
        result: int = args.run(args)
        return result
    except (HTTPError, OSError) as error:
        print("tls_requests: %s" % error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
