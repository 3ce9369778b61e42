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
import socket
import socketserver
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from fingerprint import server

HOSTS = ("example.com", "example.org", "httpbin.org", "www.python.org")
PROXY = "proxy.example:3128"  # a proxy of ours
NEVER_ASKED = ("shop.example", "db.internal", "first.example", "exit.example")  # in examples that send nothing
CERTIFICATE_NAMES = tuple(f"{host}.localhost" for host in HOSTS)
URL = re.compile(r"(https?|wss)://(?:[^\s/@\"']*@)?([A-Za-z0-9.-]+)(:[0-9]+)?")
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


def status(code: int) -> server.Response:
    return server.Response(code, [("content-type", "text/plain")], b"")


def as_json(value: Any, *fields: tuple[str, str]) -> server.Response:
    return server.Response(200, [JSON, *fields], json.dumps(value).encode())


def size_of(text: str) -> int:
    """A length in a path, at most 64 MiB."""
    return min(int(text), 64 << 20)


class ConnectProxy(socketserver.ThreadingTCPServer):
    """An HTTP proxy for the examples: tunnels by CONNECT, to this machine alone."""

    allow_reuse_address = True
    daemon_threads = True

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            target = self.rfile.readline().split(b" ")[1]
            while self.rfile.readline().strip():
                pass
            with socket.create_connection(("127.0.0.1", int(target.rpartition(b":")[2]))) as upstream:
                self.connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=self.copy, args=(upstream, self.connection), daemon=True)
                back.start()
                self.copy(self.connection, upstream)
                back.join(10)

        @staticmethod
        def copy(source: socket.socket, target: socket.socket) -> None:
            with contextlib.suppress(OSError):
                while part := source.recv(65536):
                    target.sendall(part)
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)


class Site(server.Server):
    """The paths that the examples use, as httpbin.org has them."""

    connection_class = Connection
    proxy_port = 0
    websocket_port = 0

    def respond(self, connection: Any, request: server.Request) -> server.Response:
        url = urlsplit(request.path)
        name, *rest = url.path.strip("/").split("/")
        query = dict(parse_qsl(url.query))
        if connection.tls.selected_alpn_protocol() != "h2":
            time.sleep(delay_of(request))
        method = getattr(self, f"on_{name.replace('-', '_')}", None)
        if method is not None:
            answer: server.Response = method(request, rest, query)
        elif name in ("", "about", "downloads", "events", "html"):
            answer = server.Response(200, [("content-type", "text/html; charset=utf-8")], PAGE)
        elif name in ("get", "post", "put", "patch", "delete"):
            answer = as_json(echo(request)) if request.method == name.upper() or name == "get" else status(405)
        elif name in ("anything", "headers", "delay"):
            answer = as_json(echo(request))
        else:
            answer = server.Response(404, [("content-type", "text/plain")], b"not found")
        if request.method == "HEAD":
            answer.body = b""
        return answer

    # Each takes the request, the parts of the path behind the name, and the query.

    def on_gzip(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        body = gzip.compress(json.dumps({"gzipped": True}).encode())
        return server.Response(200, [JSON, ("content-encoding", "gzip")], body)

    def on_deflate(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        body = zlib.compress(json.dumps({"deflated": True}).encode())
        return server.Response(200, [JSON, ("content-encoding", "deflate")], body)

    def on_bytes(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return server.Response(200, [("content-type", "application/octet-stream")], bytes(size_of(rest[0])))

    on_stream_bytes = on_bytes

    def on_range(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        letters = (b"abcdefghijklmnopqrstuvwxyz" * (size_of(rest[0]) // 26 + 1))[: size_of(rest[0])]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.header("range") or "")
        if wanted is None:
            return server.Response(200, [("accept-ranges", "bytes")], letters)
        first = int(wanted.group(1))
        last = min(int(wanted.group(2) or len(letters) - 1), len(letters) - 1)
        if first > last:
            return server.Response(416, [("content-range", f"bytes */{len(letters)}")], b"")
        fields = [("content-range", f"bytes {first}-{last}/{len(letters)}")]
        return server.Response(206, fields, letters[first : last + 1])

    def on_stream(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        lines = [json.dumps({"id": number, "url": echo(request)["url"]}) + "\n" for number in range(int(rest[0]))]
        return server.Response(200, [JSON], "".join(lines).encode())

    def on_status(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return status(int(rest[0]))

    def on_redirect(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        left = int(rest[0])
        return server.Response(302, [("location", f"/redirect/{left - 1}" if left > 1 else "/get")])

    def on_relative_redirect(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        left = int(rest[0])
        return server.Response(302, [("location", f"/relative-redirect/{left - 1}" if left > 1 else "/get")])

    def on_absolute_redirect(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        left = int(rest[0])
        path = f"/absolute-redirect/{left - 1}" if left > 1 else "/get"
        return server.Response(302, [("location", f"https://{request.authority}{path}")])

    def on_redirect_to(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return server.Response(int(query.get("status_code", "302")), [("location", query["url"])])

    def on_basic_auth(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        expected = "Basic " + base64.b64encode(":".join(rest).encode()).decode()
        if request.header("authorization") != expected:
            return server.Response(401, [("www-authenticate", 'Basic realm="Fake Realm"')], b"")
        return as_json({"authenticated": True, "user": rest[0]})

    def on_bearer(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        kind, _, token = (request.header("authorization") or "").partition(" ")
        if kind != "Bearer" or not token:
            return server.Response(401, [("www-authenticate", "Bearer")], b"")
        return as_json({"authenticated": True, "token": token})

    def on_user_agent(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return as_json({"user-agent": request.header("user-agent")})

    def on_ip(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return as_json({"origin": "127.0.0.1"})

    def on_uuid(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return as_json({"uuid": str(uuid.uuid4())})

    def on_json(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return as_json({"slideshow": {"title": "Sample", "slides": [{"title": "First"}, {"title": "Second"}]}})

    def on_encoding(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return server.Response(200, [("content-type", "text/html; charset=utf-8")], "Grüße, κόσμε\n".encode())

    def on_response_headers(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return as_json(query, *((key.lower(), value) for key, value in query.items()))

    def on_feed(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        events = b'id: 1\ndata: first\n\nid: 2\nevent: greeting\ndata: {"text": "hello"}\n\nid: 3\ndata: last\n\n'
        return server.Response(200, [("content-type", "text/event-stream")], events)

    def on_etag(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        tag = f'"{rest[0]}"'
        if request.header("if-none-match") == tag:
            return server.Response(304, [("etag", tag)], b"")
        return as_json(echo(request), ("etag", tag))

    def on_cookies(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        return self.cookies(request, rest, query)

    def cookies(self, request: server.Request, rest: list[str], query: dict[str, str]) -> server.Response:
        if rest == ["set"]:
            fields = [("set-cookie", f"{key}={value}; Path=/") for key, value in query.items()]
            return server.Response(302, [*fields, ("location", "/cookies")])
        if rest == ["delete"]:
            fields = [("set-cookie", f"{key}=; Path=/; Max-Age=0") for key in query]
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
            if host in HOSTS and match.group(1) == "wss" and port is None:
                return f"{match.group(0)}.localhost:{self.websocket_port}"
            if (host in ("localhost", "127.0.0.1") and port is not None) or host in NEVER_ASKED:
                return match.group(0)
            raise ValueError(f"{match.group(0)} is a host that the tests do not serve")

        code = code.replace(PROXY, f"127.0.0.1:{self.proxy_port}")
        code = re.sub(rf'(["\'])({"|".join(map(re.escape, HOSTS))})\1', r"\1\2.localhost\1", code)  # a cookie's domain
        return URL.sub(replace, code)

    def globalize(self, text: str) -> str:
        """What a program printed, as it would be with the real hosts."""
        text = re.sub(r"refused \(errno \d+\)", "refused (errno 111)", text)  # Linux's number
        text = text.replace(f"127.0.0.1:{self.proxy_port}", PROXY)
        return text.replace(f".localhost:{self.port}", "").replace(".localhost", "")


@contextlib.contextmanager
def websocket_echo(certificate: Path) -> Iterator[int]:
    """wss://example.org/echo on a thread; its port. "close CODE REASON" closes."""
    import asyncio
    import ssl

    from websockets.asyncio.server import serve

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    ports: list[int] = []
    ready = threading.Event()

    async def echo(socket: Any) -> None:
        async for message in socket:
            if isinstance(message, str) and message.startswith("close "):
                _, code, reason = message.split(" ", 2)
                await socket.close(int(code), reason)
                return
            await socket.send(message)

    async def main() -> None:
        async with serve(echo, "127.0.0.1", 0, ssl=context) as running:
            ports.append(next(iter(running.sockets)).getsockname()[1])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def running_site(certificate: Path) -> Iterator[Site]:
    site = Site("127.0.0.1", 0, str(certificate))
    site.start()
    with websocket_echo(certificate) as echo_port, ConnectProxy(("127.0.0.1", 0), ConnectProxy.Handler) as proxy:
        site.websocket_port = echo_port
        site.proxy_port = proxy.server_address[1]
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield site
        finally:
            proxy.shutdown()
            site.stop()
