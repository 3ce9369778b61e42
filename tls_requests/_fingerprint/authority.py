"""A certificate authority for one run of the recording server, made with the openssl program.

The authority may only sign for the names of the run (a critical name constraint), for three days, and its key is gone as soon as
the server's certificate is signed: who imports it trusts that one certificate and nothing more.

Not our own code, because what people import into a trust store must be made by a library that is kept well; not a Python package,
because the program is there wherever people work with TLS.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

DAYS = 3
# An openssl program makes a P-256 key in milliseconds; one that hangs must not hang the command.
TIMEOUT = 60


class AuthorityError(Exception):
    """The certificate could not be made."""


@dataclass(frozen=True)
class Authority:
    """ca: PEM of the authority's certificate. both: PEM of the server's key and certificate. fingerprint: SHA-256 of the server's
    certificate, hex with colons. key_hash: SHA-256 of its public key, base64 (what Chromium's command line takes)."""

    ca: str
    both: str
    fingerprint: str
    key_hash: str


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _constraint(name: str) -> str:
    if not _is_address(name):
        return "permitted;DNS:" + name
    address = ipaddress.ip_address(name)
    return "permitted;IP:%s/%s" % (address, ipaddress.ip_network(name).netmask)


def _der(pem: str) -> bytes:
    body = pem.split("-----")[2]
    return base64.b64decode("".join(body.split()))


def make(names: list[str]) -> Authority:
    """An authority and a certificate for these host names and addresses. Raises AuthorityError."""
    for name in names:
        if not _is_address(name) and not re.fullmatch(
            r"(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?", name
        ):
            raise AuthorityError("%r is no host name" % name[:80])
    program = shutil.which("openssl")
    if program is None:
        raise AuthorityError(
            "the openssl program makes the certificate of the page, and it is not installed;"
            " or give a certificate and its key in one PEM file with --certificate"
        )
    with tempfile.TemporaryDirectory(prefix="tls_requests-") as temporary:
        folder = Path(temporary)

        def run(*arguments: str) -> str:
            try:
                done = subprocess.run(
                    [program, *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=TIMEOUT
                )
            except subprocess.CalledProcessError as error:
                raise AuthorityError("openssl %s failed: %s" % (arguments[0], error.stderr.strip()[-300:])) from None
            except (OSError, subprocess.TimeoutExpired) as error:
                raise AuthorityError("openssl %s failed: %s" % (arguments[0], error)) from None
            return done.stdout

        constraints = list(map(_constraint, names))
        if not any(map(_is_address, names)):
            constraints += ["excluded;IP:0.0.0.0/0.0.0.0", "excluded;IP:::/::"]
        config = "\n".join(
            [
                "[req]",
                "distinguished_name = name",
                "prompt = no",
                "[name]",
                "CN = tls_requests capture (this computer only)",
                "[ca]",
                "basicConstraints = critical, CA:true, pathlen:0",
                "keyUsage = critical, keyCertSign, cRLSign",
                "subjectKeyIdentifier = hash",
                "nameConstraints = critical, " + ", ".join(constraints),
                "[server]",
                "basicConstraints = critical, CA:false",
                "keyUsage = critical, digitalSignature",
                "extendedKeyUsage = serverAuth",
                "subjectAltName = " + ", ".join(("IP:" if _is_address(name) else "DNS:") + name for name in names),
            ]
        )
        (folder / "config").write_text(config + "\n")
        for who in ("ca", "server"):
            run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", who + ".key")
        run(
            "req", "-x509", "-new", "-config", "config", "-extensions", "ca", "-key", "ca.key", "-days", str(DAYS),
            "-sha256", "-out", "ca.pem",
        )  # fmt: skip
        run("req", "-new", "-config", "config", "-key", "server.key", "-subj", "/CN=" + names[0], "-out", "request")
        run(
            "x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "1", "-days", str(DAYS),
            "-sha256", "-extfile", "config", "-extensions", "server", "-out", "server.pem",
        )  # fmt: skip
        public = run("pkey", "-in", "server.key", "-pubout")
        certificate = (folder / "server.pem").read_text()
        digest = hashlib.sha256(_der(certificate)).hexdigest().upper()
        return Authority(
            (folder / "ca.pem").read_text(),
            (folder / "server.key").read_text() + certificate,
            ":".join(digest[at : at + 2] for at in range(0, 64, 2)),
            base64.b64encode(hashlib.sha256(_der(public)).digest()).decode(),
        )
