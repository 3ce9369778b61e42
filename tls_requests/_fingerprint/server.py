"""A local TLS server (HTTP/2 and HTTP/1.1) that records what clients send."""

from __future__ import annotations

import contextlib
import json
import re
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

from .client_hello import client_hello_from_bytes, extension, extract_client_hello, looks_like_tls, split_records
from .frames import FrameParser, h2_frame
from .jsontext import pretty
from .records import asks_for_last, has_request, summary, with_fingerprints, write_json
from .wire import Incomplete, ParseError

# poll(), where there is one: select() takes no descriptor above 1023.
_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Request:
    """One request, of either protocol version."""

    def __init__(
        self,
        method: str,
        path: str,
        authority: str | None,
        headers: list[list[str]],
        stream_id: int | None = None,
        protocol: str | None = None,
    ) -> None:
        self.method, self.path, self.authority = method, path, authority
        self.headers, self.stream_id, self.protocol = headers, stream_id, protocol
        self.body = b""

    def header(self, name: str) -> str | None:
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


class Response:
    def __init__(
        self,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        close: bool = False,
        keep_open: bool = False,
    ) -> None:
        self.status, self.headers, self.body = status, list(headers), body
        self.close = close  # end the connection after this response
        self.keep_open = keep_open  # leave the stream open (an accepted extended CONNECT)


class Connection:
    """Serves one accepted socket and fills `record` with all that the client sends."""

    settings = [(3, 100), (4, 1 << 20)]  # what the server's SETTINGS frame says
    window = 1 << 24  # added to the connection's receive window
    idle_timeout = 30.0
    goaway_first = (
        False  # a last response comes behind GOAWAY, so that nothing is asked for on this connection meanwhile
    )
    max_head = 1 << 20  # bytes of a request's head; browsers and servers stop at 256 KiB
    max_body = 1 << 26  # bytes of a request's body, which is kept in memory

    def __init__(self, server: Server, sock: socket.socket, peer: Any) -> None:
        self.server, self.sock, self.peer = server, sock, peer
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls: Any = None  # an ssl.SSLObject once the ClientHello is there
        self.early = b""  # plaintext that came with the end of the handshake
        self.pending = b""  # bytes of an incomplete TLS record
        self.reads = 0
        self.done = False  # the handshake's end
        self.closing = False
        self.started = time.monotonic()
        self.plain_hello = b""
        self.record: dict[str, Any] = {"client_hellos": [], "records": [], "http2": None, "http1": None}
        # HTTP/2
        self.frames = FrameParser()
        self.streams: dict[int, dict[str, Any]] = {}
        self.sending: dict[int, dict[str, Any]] = {}
        self.connection_credit = 65535
        self.initial_credit = 65535
        self.max_frame = 16384
        self.data_sent = 0
        self.goaway = False
        self.last_stream: int | None = None  # what our GOAWAY named

    # -- bytes

    def elapsed(self) -> float:
        return round(time.monotonic() - self.started, 4)

    def flush(self) -> None:
        data = self.outgoing.read()
        if data:
            self.sock.sendall(data)

    def write(self, data: bytes) -> None:
        self.tls.write(data)
        self.flush()

    def receive(self, timeout: float) -> bytes | None:
        """Bytes from the socket: b"" at the end, None on a timeout."""
        with _Selector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            if not selector.select(max(timeout, 0)):
                return None
        data = self.sock.recv(65536)
        if not data:
            self.record["eof"] = self.elapsed()
        return data

    # -- life

    def run(self) -> None:
        try:
            self.handshake()
            protocol = self.tls.selected_alpn_protocol()
            if protocol == "h2":
                self.run_http2()
            else:
                self.run_http1()
            self.say_goodbye()
        except (OSError, ValueError) as error:  # SSLError is an OSError, ParseError and what int() says are ValueErrors
            self.record["error"] = "%s: %s" % (type(error).__name__, error)
        finally:
            try:
                self.flush()
            except OSError:
                pass
            self.sock.close()
            self.record["closed_after"] = self.elapsed()
            self.server.changed(self)

    def say_goodbye(self) -> None:
        if "eof" in self.record:
            return
        try:
            self.tls.unwrap()
        except (ssl.SSLError, OSError):
            pass
        self.flush()
        self.sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            data = self.receive(deadline - time.monotonic())
            if not data:
                break

    def add_hello(self, raw: bytes) -> None:
        hello = client_hello_from_bytes(raw)
        self.record["client_hellos"].append({"raw": raw.hex(), "decoded": hello})

    def handshake(self) -> None:
        raw, segments = b"", []
        while True:
            data = self.receive(10)
            if data is None:
                raise ParseError("no ClientHello within 10 seconds")
            if not data:
                raise ParseError("closed before a ClientHello" if raw else "closed without a byte")
            raw += data
            segments.append(len(data))
            if not looks_like_tls(raw):
                self.answer_plain(raw)
                raise ParseError("not TLS: %r" % raw[:40])
            try:
                message, records = extract_client_hello(raw)
                break
            except Incomplete:
                continue
        size = sum(item["length"] + 5 for item in records)
        self.add_hello(raw[:size])
        self.record["client_hellos"][0]["segments"] = segments
        name = extension(self.record["client_hellos"][0]["decoded"], 0) or {}
        context = self.server.context_for(self, name.get("host_name"))
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.feed(raw)
        while not self.done:
            data = self.receive(10)
            if data is None:
                raise ParseError("the handshake stopped")
            if not data:
                raise ParseError("closed during the handshake")
            self.feed(data)

    def answer_plain(self, raw: bytes) -> None:
        """Tell those who speak HTTP without TLS that they are at the wrong port."""
        if re.match(rb"[A-Z]{3,8} ", raw):
            text = b"This port speaks TLS: use https://\n"
            self.sock.sendall(
                b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                % (len(text), text)
            )

    def feed(self, data: bytes) -> bytes:
        """Pass bytes on to TLS record by record; returns the plaintext after the handshake."""
        records, self.pending = split_records(self.pending + data)
        self.reads += 1
        plain = b""
        for kind, version, payload in records:
            raw = bytes((kind,)) + version.to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload
            entry = {"type": kind, "length": len(payload), "read": self.reads, "at": self.elapsed()}
            if not self.done and kind == 22:
                self.note_plain_handshake(raw, payload)
            self.incoming.write(raw)
            if not self.done:
                try:
                    self.tls.do_handshake()
                    self.done = True
                    self.handshake_done()
                except ssl.SSLWantReadError:
                    pass
                finally:
                    self.flush()
            if self.done:
                piece = self.drain()
                if piece:
                    entry["plaintext"] = len(piece)
                plain += piece
            if len(self.record["records"]) < 200:
                self.record["records"].append(entry)
        self.early += plain
        return plain

    def note_plain_handshake(self, raw: bytes, payload: bytes) -> None:
        """Keep a second ClientHello (the answer to a HelloRetryRequest)."""
        if not self.plain_hello and payload[:1] != b"\x01":
            return
        self.plain_hello += raw
        try:
            extract_client_hello(self.plain_hello)
        except Incomplete:
            return
        hello, self.plain_hello = self.plain_hello, b""
        if hello.hex() != self.record["client_hellos"][0]["raw"]:
            self.add_hello(hello)

    def handshake_done(self) -> None:
        cipher = self.tls.cipher()
        self.record["negotiated"] = {
            "version": self.tls.version(),
            "cipher": cipher and cipher[0],
            "alpn": self.tls.selected_alpn_protocol(),
            "resumed": self.tls.session_reused,
            "at": self.elapsed(),
        }

    def drain(self) -> bytes:
        plain = b""
        while True:
            try:
                piece = self.tls.read(65536)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.closing = True
                self.record["close_notify"] = self.elapsed()
                break
            if not piece:
                self.closing = True
                break
            plain += piece
        self.flush()
        return plain

    def first_plaintext(self) -> bytes:
        plain, self.early = self.early, b""
        return plain

    # -- HTTP/1.1

    def run_http1(self) -> None:
        self.record["http1"] = {"requests": []}
        buffer = self.first_plaintext()
        while not self.closing:
            while b"\r\n\r\n" not in buffer:
                data = self.receive(self.idle_timeout)
                if not data:
                    return
                buffer += self.feed(data)
                if self.closing and b"\r\n\r\n" not in buffer:
                    return
                if len(buffer) > self.max_head:
                    raise ParseError("the head of a request is longer than %d bytes" % self.max_head)
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = [list(map(str.strip, line.split(":", 1))) for line in lines[1:] if ":" in line]
            method, path = (lines[0].split(" ") + ["", ""])[:2]
            request = Request(method, path, None, headers)
            request.authority = request.header("host")
            self.record["http1"]["requests"].append(
                {"request_line": lines[0], "headers": headers, "at": self.elapsed()}
            )
            length = int(request.header("content-length") or 0)
            if not 0 <= length <= self.max_body:
                raise ParseError("a body of %d bytes" % length)
            chunked = "chunked" in (request.header("transfer-encoding") or "")
            while len(buffer) < length or (chunked and b"0\r\n\r\n" not in buffer):
                data = self.receive(self.idle_timeout)
                if not data:
                    return
                buffer += self.feed(data)
                if len(buffer) > self.max_body:
                    raise ParseError("a body of more than %d bytes" % self.max_body)
            if chunked:
                request.body, _, buffer = buffer.partition(b"0\r\n\r\n")
            else:
                request.body, buffer = buffer[:length], buffer[length:]
            self.server.changed(self)
            response = self.server.respond(self, request)
            self.send_http1(response)
            if response.close or (request.header("connection") or "").lower() == "close":
                return
            if response.status == 101:
                self.idle_until_closed()
                return

    def send_http1(self, response: Response) -> None:
        lines = ["HTTP/1.1 %d %s" % (response.status, "OK" if response.status == 200 else "Status")]
        lines += ["%s: %s" % pair for pair in response.headers]
        if response.status not in (101, 204, 304):
            lines.append("Content-Length: %d" % len(response.body))
        if response.close:
            lines.append("Connection: close")
        self.write("\r\n".join(lines + ["", ""]).encode("latin-1") + response.body)

    def idle_until_closed(self) -> None:
        while not self.closing:
            data = self.receive(self.idle_timeout)
            if not data:
                return
            self.feed(data)

    # -- HTTP/2

    def run_http2(self) -> None:
        self.frames = FrameParser(dict(self.settings).get(1, 4096))
        self.record["http2"] = {"frames": []}
        settings = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in self.settings)
        self.write(h2_frame(4, 0, 0, settings) + h2_frame(8, 0, 0, self.window.to_bytes(4, "big")))
        self.handle_frames(self.first_plaintext())
        last = time.monotonic()
        while not self.closing and not (self.goaway and not self.sending):
            busy = self.pump()
            data = self.receive(0 if busy else 0.5)
            if data:
                self.handle_frames(self.feed(data))
            elif data is not None:
                return
            if data or busy:
                last = time.monotonic()
            elif time.monotonic() - last > self.idle_timeout:
                self.send_goaway()
                return

    def send_goaway(self) -> None:
        self.last_stream = max([0, *self.streams])
        self.write(h2_frame(7, 0, 0, self.last_stream.to_bytes(4, "big") + bytes(4)))

    def handle_frames(self, plain: bytes) -> None:
        for frame in self.frames.feed(plain):
            self.note_frame(frame)
            kind, stream_id = frame["type"], frame["stream_id"]
            if kind == "SETTINGS" and not frame["ack"]:
                for key, value in frame["settings"]:
                    if key == 4:
                        for stream in self.sending.values():
                            stream["credit"] += value - self.initial_credit
                        self.initial_credit = value
                    elif key == 5:
                        self.max_frame = value
                self.write(h2_frame(4, 1, 0))
            elif kind == "PING" and not frame["ack"]:
                self.write(h2_frame(6, 1, 0, frame["data"]))
            elif kind == "WINDOW_UPDATE":
                if stream_id == 0:
                    self.connection_credit += frame["increment"]
                elif stream_id in self.streams:
                    self.streams[stream_id]["credit"] += frame["increment"]
            elif kind == "RST_STREAM":
                self.sending.pop(stream_id, None)
            elif kind == "GOAWAY":
                self.goaway = True
            elif kind == "HEADERS" and stream_id not in self.streams:
                if self.last_stream is not None and stream_id > self.last_stream:
                    continue  # not processed: the client asks again elsewhere (RFC 9113 6.8)
                values = frame["pseudo_values"]
                request = Request(
                    values.get(":method", ""),
                    values.get(":path", ""),
                    values.get(":authority"),
                    frame["headers"],
                    stream_id,
                    values.get(":protocol"),
                )
                self.streams[stream_id] = {"request": request, "credit": self.initial_credit}
                if "END_STREAM" in frame["flags"] or request.protocol:
                    self.answer(stream_id)
            elif kind == "DATA" and stream_id in self.streams:
                request = self.streams[stream_id]["request"]
                request.body += frame["data"]
                if len(request.body) > self.max_body:
                    raise ParseError("a body of more than %d bytes" % self.max_body)
                if frame["length"]:
                    update = frame["length"].to_bytes(4, "big")
                    self.write(h2_frame(8, 0, 0, update) + h2_frame(8, 0, stream_id, update))
                if "END_STREAM" in frame["flags"] and not request.protocol:
                    self.answer(stream_id)
            if self.goaway and not self.sending:
                return

    def note_frame(self, frame: dict[str, Any]) -> None:
        entry = {key: value for key, value in frame.items() if key != "data" or frame["type"] != "DATA"}
        if isinstance(entry.get("data"), bytes):
            entry["data"] = entry["data"].hex()
        entry["at"] = self.elapsed()
        if self.data_sent:
            entry["after_data_sent"] = self.data_sent
        frames = self.record["http2"]["frames"]
        if len(frames) < 5000:
            frames.append(entry)

    def answer(self, stream_id: int) -> None:
        stream = self.streams[stream_id]
        self.server.changed(self)
        response = self.server.respond(self, stream["request"])
        if response.close and self.goaway_first:
            self.send_goaway()
        block = bytearray()
        for name, value in [(":status", str(response.status)), *response.headers]:
            block += b"\0" + self.hpack_string(name.lower().encode("latin-1"))
            block += self.hpack_string(str(value).encode("latin-1"))
        if not response.keep_open and response.status not in (204, 304):
            length = str(len(response.body)).encode()
            block += b"\0" + self.hpack_string(b"content-length") + self.hpack_string(length)
        end = not response.body and not response.keep_open
        self.write(h2_frame(1, 0x5 if end else 0x4, stream_id, bytes(block)))
        if response.body:
            stream.update(body=memoryview(response.body), close=response.close)
            self.sending[stream_id] = stream
        elif response.close:
            self.finish_connection()

    @staticmethod
    def hpack_string(data: bytes) -> bytes:
        if len(data) < 127:
            return bytes((len(data),)) + data
        out, rest = bytearray([127]), len(data) - 127
        while rest >= 128:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
        return bytes(out) + data

    def finish_connection(self) -> None:
        self.send_goaway()
        self.goaway = True

    def pump(self) -> bool:
        """Send one DATA frame a stream, as far as flow control allows; True while more could be sent."""
        busy = False
        for stream_id, stream in list(self.sending.items()):
            size = min(len(stream["body"]), self.max_frame, 16384, stream["credit"], self.connection_credit)
            if size <= 0:
                continue
            piece, stream["body"] = stream["body"][:size], stream["body"][size:]
            end = not len(stream["body"])
            self.write(h2_frame(0, 1 if end else 0, stream_id, bytes(piece)))
            stream["credit"] -= size
            self.connection_credit -= size
            self.data_sent += size
            busy = True
            if end:
                del self.sending[stream_id]
                if stream["close"]:
                    self.finish_connection()
        return busy


class Server:
    """Listens on a loopback address; subclasses may change `context_for` and `respond`."""

    connection_class: type[Connection] = Connection

    def __init__(
        self,
        host: str,
        port: int,
        certificate: str | None = None,
        out: str | None = None,
        alpn: Iterable[str] = ("h2", "http/1.1"),
        curve: str | None = None,
        max_version: str | None = None,
        keep: int = 50,
    ) -> None:
        self.certificate, self.out, self.keep = certificate, out, keep
        self.alpn, self.curve, self.max_version = alpn, curve, max_version
        self.lock = threading.RLock()
        self.connections: list[Connection] = []
        self.arrived = threading.Condition(self.lock)
        self.context = self.make_context(certificate) if certificate else None
        self.listener = socket.create_server((host, port), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.stopped = False

    def make_context(self, certificate: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        # A recorder takes whatever a client offers, old applications' suites too.
        context.set_ciphers("ALL:@SECLEVEL=0")
        if self.alpn:
            context.set_alpn_protocols(list(self.alpn))
        if self.curve:
            context.set_ecdh_curve(self.curve)
        if self.max_version == "1.2":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def context_for(self, connection: Connection, host_name: str | None) -> ssl.SSLContext:
        if self.context is None:
            raise ParseError("no certificate was given")
        return self.context

    def respond(self, connection: Connection, request: Request) -> Response:
        if request.path == "/.last":
            body = json.dumps(self.last_record(but=connection)).encode()
        else:
            body = pretty(summary(connection.record)).encode()
        return Response(200, [("content-type", "application/json")], body)

    def last_record(self, but: Connection | None = None) -> dict[str, Any] | None:
        with self.lock:
            for connection in reversed(self.connections):
                if connection is not but and has_request(connection.record) and not asks_for_last(connection.record):
                    return connection.record
        return None

    def start(self) -> Server:
        threading.Thread(target=self.accept_forever, daemon=True).start()
        return self

    def accept_forever(self) -> None:
        while not self.stopped:
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self.connection_class(self, sock, peer)
            with self.lock:
                self.connections.append(connection)
                if len(self.connections) > 1000:
                    del self.connections[0]
            threading.Thread(target=connection.run, daemon=True).start()

    def changed(self, connection: Connection) -> None:
        """A request arrived, or the connection ended."""
        with self.lock:
            if self.out and not asks_for_last(connection.record):
                records = [
                    item.record
                    for item in self.connections
                    if item.record["client_hellos"] and not asks_for_last(item.record)
                ]
                write_json(self.out, [with_fingerprints(record) for record in records[-self.keep :]])
            self.arrived.notify_all()

    def stop(self) -> None:
        self.stopped = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(
                socket.SHUT_RDWR
            )  # ends the accept that waits; a close alone leaves it, and its thread, for ever
        self.listener.close()
