"""A client of HTTP/2 proxies on the package h2 and Python's ssl, to look at the proxies themselves: what the tests expect of ours must be what they do."""

from __future__ import annotations

import base64
import socket
import ssl

import h2.config
import h2.connection
import h2.events


class H2Client:
    """One connection to an HTTP/2 proxy; blocking, one thread."""

    def __init__(self, port: int, ca_file: str, credentials: tuple[str, str] | None = None) -> None:
        context = ssl.create_default_context(cafile=ca_file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.fields: list[tuple[str, str]] = []
        if credentials is not None:
            basic = base64.b64encode(":".join(credentials).encode()).decode()
            self.fields.append(("proxy-authorization", f"Basic {basic}"))
        raw = socket.create_connection(("127.0.0.1", port), 10)
        self.sock = context.wrap_socket(raw, server_hostname="localhost")
        assert self.sock.selected_alpn_protocol() == "h2"
        # CONNECT has neither :scheme nor :path (RFC 9113 8.5), which h2 holds for an error of its user.
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8", validate_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        # Streams that were there go on behind a GOAWAY (RFC 9113 6.8), which h2 does not believe.
        going_on = (h2.connection.ConnectionState.CLIENT_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY)
        machine = self.h2.state_machine
        machine._transitions = {**machine._transitions, going_on: (None, going_on[0])}
        self.h2.initiate_connection()
        self.status: dict[int, int] = {}
        self.data: dict[int, bytearray] = {}
        self.ended: set[int] = set()
        self.reset: dict[int, int] = {}
        self.goaway: int | None = None
        self.flush()

    def flush(self) -> None:
        self.sock.sendall(self.h2.data_to_send())

    def step(self) -> None:
        """Wait for bytes and take what they say."""
        data = self.sock.recv(65536)
        if not data:
            raise EOFError("the proxy closed the connection")
        for event in self.h2.receive_data(data):
            stream = getattr(event, "stream_id", None) or 0
            if isinstance(event, h2.events.ResponseReceived):
                self.status[stream] = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.data[stream] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(stream)
            elif isinstance(event, h2.events.StreamReset):
                self.reset[stream] = event.error_code
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = event.last_stream_id
        self.flush()

    def ask(self, *fields: tuple[str, str], end: bool) -> int:
        stream = self.h2.get_next_available_stream_id()
        self.data[stream] = bytearray()
        self.h2.send_headers(stream, [*fields, *self.fields], end_stream=end)
        self.flush()
        return stream

    def connect(self, authority: str) -> int:
        """Ask for a tunnel; the stream."""
        return self.ask((":method", "CONNECT"), (":authority", authority), end=False)

    def get(self, authority: str, path: str = "/") -> int:
        """Ask for a plain http URL; the stream."""
        pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)]
        return self.ask(*pseudo, end=True)

    def wait_status(self, stream: int) -> int:
        while stream not in self.status:
            if stream in self.reset:
                raise EOFError(f"reset with {self.reset[stream]}")
            self.step()
        return self.status[stream]

    def wait_end(self, stream: int) -> bytes:
        self.wait_status(stream)
        while stream not in self.ended and stream not in self.reset:
            self.step()
        return bytes(self.data[stream])

    def send(self, stream: int, data: bytes, end: bool = False) -> None:
        self.h2.send_data(stream, data, end_stream=end)
        self.flush()

    def get_in_tunnel(self, stream: int, ca_file: str, host: str) -> bytes:
        """A GET over TLS and HTTP/1.1 inside a tunnel; the whole answer."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context(cafile=ca_file)
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
        answer = b""
        todo = [
            tls.do_handshake,
            lambda: tls.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()),
        ]
        while True:
            try:
                if todo:
                    todo[0]()
                    todo.pop(0)
                elif part := tls.read(65536):
                    answer += part
                    continue
                else:
                    return answer
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    self.send(stream, outgoing.read())
                while not self.data[stream]:
                    if stream in self.ended:
                        return answer
                    self.step()
                incoming.write(bytes(self.data[stream]))
                self.data[stream].clear()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> H2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
