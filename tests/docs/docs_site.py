"""The hosts that the documentation's examples name, on this machine: a small HTTP/2 and HTTP/1.1 site over TLS.

`https://httpbin.org/get` in an example becomes `https://httpbin.org.localhost:PORT/get` (names below localhost are always this
machine), and what a program prints is turned back. So cookies, origins and certificates behave as with the real hosts.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from fingerprint import server

HOSTS = ("example.com", "example.org", "httpbin.org", "www.python.org")
CERTIFICATE_NAMES = tuple(f"{host}.localhost" for host in HOSTS)
URL = re.compile(r"(https?)://(?:[^\s/@\"']*@)?([A-Za-z0-9.-]+)(:[0-9]+)?")
PAGE = b"<!doctype html><title>Example</title><h1>Example</h1>\n"
JSON = ("content-type", "application/json")


class Connection(server.Connection):
    """HTTP/2 with delayed answers: a stream that waits does not hold up the others."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.delayed: dict[int, float] = {}

    def answer(self, stream_id: int) -> None:
        seconds = delay_of(self.streams[stream_id]["request"])
        if seconds and stream_id not in self.delayed:
            self.delayed[stream_id] = time.monotonic() + seconds
        else:
            super().answer(stream_id)

    def pump(self) -> bool:
        for stream_id, due in list(self.delayed.items()):
            if due <= time.monotonic():
                self.answer(stream_id)
                del self.delayed[stream_id]
        return super().pump()

    def receive(self, timeout: float) -> bytes | None:
        if self.delayed:
            timeout = max(0.0, min(timeout, min(self.delayed.values()) - time.monotonic()))
        return super().receive(timeout)

    def handle_frames(self, plain: bytes) -> None:
        before = set(self.streams)
        super().handle_frames(plain)
        for frame in self.record["http2"]["frames"]:
            if frame["type"] == "RST_STREAM" and frame["stream_id"] in before:
                self.delayed.pop(frame["stream_id"], None)


def delay_of(request: server.Request) -> float:
    found = re.match(r"/delay/([0-9.]+)", request.path)
    return min(float(found.group(1)), 30.0) if found else 0.0


def form_of(request: server.Request) -> tuple[dict[str, str], dict[str, str]]:
    """Fields and files of a form body."""
    kind = request.header("content-type") or ""
    if kind.startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(request.body.decode())), {}
    fields: dict[str, str] = {}
    files: dict[str, str] = {}
    if kind.startswith("multipart/form-data; boundary="):
        boundary = b"--" + kind.split("boundary=")[1].encode()
        for part in request.body.split(boundary)[1:-1]:
            head, _, content = part.strip(b"\r\n").partition(b"\r\n\r\n")
            name = re.search(rb' name="([^"]*)"', head)
            assert name is not None, head
            target = files if b"filename=" in head else fields
            target[name.group(1).decode()] = content.decode("latin-1")
    return fields, files


def echo(request: server.Request) -> dict[str, Any]:
    """What httpbin.org says about a request."""
    form, files = form_of(request)
    kind = request.header("content-type") or ""
    headers: dict[str, str] = {}
    for name, value in request.headers:
        key = "-".join(part.capitalize() for part in name.split("-"))
        headers[key] = f"{headers[key]}; {value}" if key in headers else value
    return {
        "args": dict(parse_qsl(urlsplit(request.path).query)),
        "data": "" if form or files else request.body.decode("latin-1"),
        "files": files,
        "form": form,
        "headers": headers,
        "json": json.loads(request.body) if kind.startswith("application/json") else None,
        "method": request.method,
        "url": f"https://{request.authority}{request.path}",
    }


class Site(server.Server):
    """The paths that the examples use, as httpbin.org has them."""

    connection_class = Connection

    def respond(self, connection: Any, request: server.Request) -> server.Response:
        url = urlsplit(request.path)
        name, *rest = url.path.strip("/").split("/")
        if connection.tls.selected_alpn_protocol() != "h2":
            time.sleep(delay_of(request))
        if name in ("", "about", "downloads", "events"):
            return server.Response(
                200, [("content-type", "text/html; charset=utf-8")], b"" if request.method == "HEAD" else PAGE
            )
        if name in ("get", "post", "put", "patch", "delete", "anything", "headers", "delay"):
            return server.Response(200, [JSON], json.dumps(echo(request)).encode())
        if name == "gzip":
            body = gzip.compress(json.dumps({"gzipped": True}).encode())
            return server.Response(200, [JSON, ("content-encoding", "gzip")], body)
        if name == "bytes":
            return server.Response(200, [("content-type", "application/octet-stream")], bytes(int(rest[0])))
        if name == "status":
            return server.Response(int(rest[0]), [("content-type", "text/plain")], b"")
        if name == "redirect":
            left = int(rest[0])
            return server.Response(302, [("location", f"/redirect/{left - 1}" if left > 1 else "/get")])
        if name == "redirect-to":
            query = dict(parse_qsl(url.query))
            return server.Response(int(query.get("status_code", "302")), [("location", query["url"])])
        if name == "cookies":
            return self.cookies(request, rest, dict(parse_qsl(url.query)))
        if name == "basic-auth":
            expected = "Basic " + base64.b64encode(":".join(rest).encode()).decode()
            return server.Response(200 if request.header("authorization") == expected else 401)
        return server.Response(404, [("content-type", "text/plain")], b"not found")

    def cookies(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        if rest == ["set"]:
            fields = [("set-cookie", f"{key}={value}; Path=/") for key, value in query.items()]
            return server.Response(302, [*fields, ("location", "/cookies")])
        pairs = [part for key, value in request.headers if key.lower() == "cookie" for part in value.split("; ")]
        body = {"cookies": dict(part.split("=", 1) for part in pairs)}
        return server.Response(200, [JSON], json.dumps(body).encode())

    # ------------------------------------------------------------------------------------------------------- examples

    def localize(self, code: str) -> str:
        """The example's code with its hosts on this machine. A host that is not one of them is an error."""

        def replace(match: re.Match[str]) -> str:
            host, port = match.group(2), match.group(3)
            if host in HOSTS and match.group(1) == "https" and port is None:
                return f"{match.group(0)}.localhost:{self.port}"
            if host in ("localhost", "127.0.0.1") and port is not None:
                return match.group(0)
            raise ValueError(f"{match.group(0)} is a host that the tests do not serve")

        code = re.sub(rf'(["\'])({"|".join(map(re.escape, HOSTS))})\1', r"\1\2.localhost\1", code)  # a cookie's domain
        return URL.sub(replace, code)

    def globalize(self, text: str) -> str:
        """What a program printed, as it would be with the real hosts."""
        text = re.sub(r"refused \(errno \d+\)", "refused (errno 111)", text)  # Linux's number
        return text.replace(f".localhost:{self.port}", "").replace(".localhost", "")


@contextlib.contextmanager
def running_site(certificate: Path) -> Iterator[Site]:
    site = Site("127.0.0.1", 0, str(certificate))
    site.start()
    try:
        yield site
    finally:
        site.stop()
