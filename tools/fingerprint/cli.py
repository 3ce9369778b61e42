"""TLS ClientHello and HTTP/2 fingerprints: decode them, compare them with a profile, record them.

    check_fingerprint.py decode CAPTURE                     print a capture decoded, with JA3, JA4, Akamai texts
    check_fingerprint.py diff PROFILE CAPTURE               compare a capture with a profile, field by field
    check_fingerprint.py diff PROFILE --port N              ... with the last connection a running `serve` saw
    check_fingerprint.py diff PROFILE --listen N --cert F   ... with the next connection made to port N
    check_fingerprint.py serve --port N --cert F --out F    local TLS server: records what clients send
    check_fingerprint.py cert --out F [NAME ...]            make a self-signed certificate for `serve`

CAPTURE is a file (or - for standard input, or the hex itself): a raw ClientHello as binary or hex, with or
without the record layer, or a JSON file that `serve` wrote (the last connection with a request counts). PROFILE
is a JSON file in the schema that profiles/README.md describes. Exit code of `diff`: 0 equal, 1 different, 2 error.

Standard library only, Python 3.9 or later.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from .client_hello import client_hello_from_bytes
from .compare import compare, label, select_variant
from .jsontext import pretty
from .records import has_request, summary, with_fingerprints
from .server import Server
from .wire import ParseError


def load_capture(source: str) -> dict[str, Any]:
    """A record from a file, standard input or hex on the command line."""
    if source == "-":
        data = sys.stdin.buffer.read()
    elif os.path.exists(source):
        with open(source, "rb") as file:
            data = file.read()
    else:
        data = source.encode()
    text = data.strip()
    if text[:1] in (b"{", b"["):
        record = json.loads(text)
        if isinstance(record, list):
            if not record:
                raise ParseError("no connection was recorded")
            record = next((item for item in reversed(record) if has_request(item)), record[-1])
        if "client_hellos" not in record:
            raise ParseError("no record of `serve`")
        return dict(record)
    if re.fullmatch(rb"[0-9a-fA-F\s:]+", text):
        data = bytes.fromhex(re.sub(rb"[\s:]+", b"", text).decode())
    return {"client_hellos": [{"raw": data.hex(), "decoded": client_hello_from_bytes(data)}]}


def record_from_port(host: str, port: int) -> dict[str, Any]:
    """The last record of a running `serve`, asked for over its own port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((host, port), 10) as sock, context.wrap_socket(sock) as tls:
        tls.sendall(b"GET /.last HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n")
        answer = b""
        while True:
            piece = tls.recv(65536)
            if not piece:
                break
            answer += piece
    record: dict[str, Any] | None = json.loads(answer.partition(b"\r\n\r\n")[2])
    if record is None:
        raise ParseError("nothing recorded yet on port %d" % port)
    return record


def record_from_listening(args: argparse.Namespace) -> dict[str, Any]:
    server = Server(args.host, args.listen, args.cert).start()
    print("waiting for a connection on port %d" % server.port, file=sys.stderr)
    deadline = time.monotonic() + args.timeout
    with server.arrived:
        record = server.last_record()
        while record is None:
            if not server.arrived.wait(deadline - time.monotonic()):
                raise ParseError("no request within %g seconds" % args.timeout)
            record = server.last_record()
    time.sleep(0.2)  # let the answer go out
    server.stop()
    return record


def print_fingerprints(record: dict[str, Any]) -> None:
    for name, text in with_fingerprints(record)["fingerprints"].items():
        print("%-12s %s" % (name, text))


def short(value: Any, limit: int = 600) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= limit else text[:limit] + "..."


def command_decode(args: argparse.Namespace) -> int:
    record = load_capture(args.capture)
    if args.json:
        print(pretty(summary(record)))
        return 0
    print_fingerprints(record)
    for number, item in enumerate(record["client_hellos"]):
        hello = item["decoded"]
        print(
            "\nClientHello %d: %d bytes in %d record(s)"
            % (number + 1, hello["length"], len(hello.get("records") or ()))
        )
        for field in (
            "record_version",
            "legacy_version",
            "session_id_length",
            "cipher_suites",
            "compression_methods",
            "grease",
        ):
            print("  %-20s %s" % (field, json.dumps(hello.get(field))))
        for entry in hello["extensions"]:
            rest = {key: value for key, value in entry.items() if key not in ("type", "name")}
            print("  %-46s %s" % (label(entry), json.dumps(rest)))
    for frame in (record.get("http2") or {}).get("frames", ()):
        rest = {key: value for key, value in frame.items() if key not in ("type", "hpack", "headers")}
        print("%-14s %s" % (frame["type"], json.dumps(rest)))
        for name, value in frame.get("headers", ()):
            print("    %s: %s" % (name, value))
    for request in (record.get("http1") or {}).get("requests", ()):
        print(request["request_line"])
        for name, value in request["headers"]:
            print("    %s: %s" % (name, value))
    return 0


def command_diff(args: argparse.Namespace) -> int:
    with open(args.profile) as file:
        profile = select_variant(json.load(file), args.variant)
    if args.listen is not None:
        record = record_from_listening(args)
    elif args.port is not None:
        record = record_from_port(args.host, args.port)
    elif args.capture:
        record = load_capture(args.capture)
    else:
        raise ParseError("give a CAPTURE, --port or --listen")
    found = compare(profile, record, args.headers, args.hpack, args.records, args.hello)
    if args.json:
        print(
            pretty(
                {
                    "equal": not found,
                    "differences": list(found),
                    "fingerprints": with_fingerprints(record)["fingerprints"],
                }
            )
        )
    else:
        print_fingerprints(record)
        parts = [
            name for name in ("tls", "http2", "http1") if profile.get(name) and (record.get(name) or name == "tls")
        ]
        for item in found:
            print("\n%s\n  expected  %s\n  got       %s" % (item["field"], short(item["expected"]), short(item["got"])))
        print("\n%s: compared %s" % ("%d difference(s)" % len(found) if found else "equal", ", ".join(parts)))
    return 1 if found else 0


def command_serve(args: argparse.Namespace) -> int:
    server = Server(
        args.host,
        args.port,
        args.cert,
        args.out,
        tuple(name for name in args.alpn.split(",") if name),
        args.curve,
        args.max_version,
        args.keep,
    )
    print("listening on %s port %d" % (args.host, server.port), file=sys.stderr, flush=True)
    server.start()
    try:
        if args.seconds:
            time.sleep(args.seconds)
        else:
            threading.Event().wait()
    except KeyboardInterrupt:
        pass
    server.stop()
    return 0


def command_cert(args: argparse.Namespace) -> int:
    """A self-signed certificate, made with the openssl program."""
    names = args.names or ["localhost"]
    alternatives = ",".join(
        ("IP:" if re.fullmatch(r"[0-9.]+|[0-9a-f:]*:[0-9a-f:]*", name) else "DNS:") + name
        for name in names + (["127.0.0.1"] if "127.0.0.1" not in names else [])
    )
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "cert.pem")
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-keyout",
                key,
                "-out",
                certificate,
                "-days",
                "3650",
                "-subj",
                "/CN=" + names[0],
                "-addext",
                "subjectAltName=" + alternatives,
            ],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        with open(key) as first, open(certificate) as second, open(args.out, "w") as out:
            os.chmod(args.out, 0o600)
            out.write(first.read() + second.read())
    return 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)

    command = commands.add_parser("decode", help="print a capture decoded")
    command.add_argument("capture")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run=command_decode)

    command = commands.add_parser("diff", help="compare a capture with a profile")
    command.add_argument("profile")
    command.add_argument("capture", nargs="?")
    command.add_argument("--port", type=int, help="take the last record of the `serve` on this port")
    command.add_argument("--listen", type=int, help="wait for a connection on this port (0: any)")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--cert", help="PEM file with certificate and key, for --listen")
    command.add_argument("--timeout", type=float, default=60, help="seconds to wait with --listen")
    command.add_argument("--variant", help='compare with this entry of the profile\'s "variants"')
    command.add_argument("--hello", type=int, default=0, help="which ClientHello: 0 the first, 1 the second")
    command.add_argument(
        "--headers",
        choices=("values", "names", "none"),
        default="values",
        help="how far to compare request headers (default: values)",
    )
    command.add_argument("--hpack", action="store_true", help="compare the HPACK forms too")
    command.add_argument("--records", action="store_true", help="compare how the opening frames lie in TLS records too")
    command.add_argument("--json", action="store_true")
    command.set_defaults(run=command_diff)

    command = commands.add_parser("serve", help="record what clients send")
    command.add_argument("--host", default="127.0.0.1")
    command.add_argument("--port", type=int, required=True, help="0: any free port")
    command.add_argument("--cert", required=True, help="PEM file with certificate and key")
    command.add_argument("--out", help="JSON file to keep the records in")
    command.add_argument("--keep", type=int, default=50, help="how many connections to keep there (default: 50)")
    command.add_argument("--alpn", default="h2,http/1.1", help="protocols to accept, best first; empty: none")
    command.add_argument(
        "--curve",
        help="accept this group only, e.g. prime256v1 or secp384r1 "
        "(a client that sent no share of it gets a HelloRetryRequest)",
    )
    command.add_argument("--max-version", choices=("1.2", "1.3"), help="highest TLS version")
    command.add_argument("--seconds", type=float, help="stop after so many seconds")
    command.set_defaults(run=command_serve)

    command = commands.add_parser("cert", help="make a self-signed certificate")
    command.add_argument("--out", required=True)
    command.add_argument("names", nargs="*", help="host names and addresses (default: localhost, 127.0.0.1)")
    command.set_defaults(run=command_cert)

    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except (OSError, ValueError) as error:
        print("check_fingerprint.py: %s" % error, file=sys.stderr)
        return 2
