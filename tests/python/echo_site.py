"""A small HTTP/1.1 site on loopback that shows what it was sent and misbehaves on request: for what nginx cannot be told to do."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Site

    def log_message(self, *_: Any) -> None:
        pass

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()  # of a client that has gone it ends with the bytes that cannot be sent
        self.rfile.close()

    def answer(self, status: int, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(status)
        for name, value in headers or []:
            self.send_header(name, value)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(body)

    def read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while length := int(self.rfile.readline(), 16):
            body += self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def handle_any(self) -> None:
        body = self.read_body()
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": [[name, value] for name, value in self.headers.items()],
            "body": base64.b64encode(body).decode(),
            "peer": self.client_address[1],
        }
        with self.server.lock:
            self.server.seen.append(seen)
        parts = url.path.strip("/").split("/")
        kind = parts[0]
        if kind == "echo":
            self.answer(200, json.dumps(seen).encode(), [("Content-Type", "application/json")])
        elif kind == "digest":
            self.answer(200, json.dumps({"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}).encode())
        elif kind == "status":
            self.answer(int(parts[1]), b"status " + parts[1].encode(), [("Content-Type", "text/plain")])
        elif kind == "redirect":
            left = int(parts[1])
            status = int(query.get("status", ["302"])[0])
            target = "/echo" if left <= 1 else f"/redirect/{left - 1}?status={status}"
            self.answer(status, b"moved", [("Location", query.get("to", [target])[0])])
        elif kind == "cookie":
            self.answer(200, b"ok", [("Set-Cookie", value) for value in query.get("set", [])])
        elif kind == "cookie-redirect":
            self.answer(302, b"", [("Set-Cookie", "foo=bar; Path=/"), ("Location", "/echo")])
        elif kind == "delay":
            time.sleep(float(parts[1]))
            self.answer(200, b"late")
        elif kind == "bytes":
            self.answer(200, bytes(range(256)) * (int(parts[1]) // 256), [("Content-Type", "application/octet-stream")])
        elif kind == "text":
            self.answer(
                200,
                "h\u00e9llo".encode(query["charset"][0]),
                [("Content-Type", f"text/plain; charset={query['charset'][0]}")],
            )
        elif kind == "json":
            self.answer(200, b'{"a": [1, 2, {"b": null}]}', [("Content-Type", "application/json")])
        elif kind == "close":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif kind == "short":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"too little")
            self.close_connection = True
        elif kind == "headers":
            self.answer(200, b"", [("X-A", "1"), ("X-A", "2"), ("X-Latin", "caf\xe9"), ("X-Empty", "")])
        else:
            self.answer(404, b"not here")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_PURGE = handle_any


class Site(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = tls
        self.lock = threading.Lock()
        self.seen: list[dict[str, Any]] = []

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # clients that go away are part of the tests


@contextlib.contextmanager
def running_site(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    site = Site(tls)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join(5)
