"""A WebSocket server made by hand: it sends whatever bytes a test wants. Nothing here checks that they are legal."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable
from typing import Any

from peers.fake import Fake, Link

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    opcode: int, data: bytes = b"", fin: bool = True, rsv: int = 0, mask: bytes | None = None, length: int | None = None
) -> bytes:
    """A frame; length: what its head says, whatever `data` has."""
    size = len(data) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    masked = 0x80 if mask is not None else 0
    if size < 126:
        head += bytes([masked | size])
    elif size < 65536:
        head += bytes([masked | 126]) + struct.pack("!H", size)
    else:
        head += bytes([masked | 127]) + struct.pack("!Q", size)
    if mask is not None:
        head += mask
        data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data))
    return head + data


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def accept(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


class Raw:
    """One connection behind its handshake."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def send(self, data: bytes) -> None:
        self.link.send(data)

    def hold(self) -> None:
        self.link.hold()

    def frame(self) -> tuple[int, bool, bytes]:
        """The client's next frame: opcode, fin, data. Asserts that it is masked, as it must be."""
        first, second = self.link.receive_exactly(2)
        assert second & 0x80, "a client's frame must be masked"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.link.receive_exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.link.receive_exactly(8))
        mask = self.link.receive_exactly(4)
        data = self.link.receive_exactly(size)
        return first & 15, bool(first & 0x80), bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))

    def close_code(self) -> int | None:
        """Reads until the client's close frame: its code, None when it has none."""
        while True:
            opcode, _, data = self.frame()
            if opcode == CLOSE:
                return struct.unpack("!H", data[:2])[0] if data else None


def handshake(link: Link, *fields: str) -> Any:
    seen = link.request()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {accept(seen.fields['sec-websocket-key'])}")
    link.send("\r\n".join([*lines, *fields, "", ""]).encode())
    return seen


def raw_server(behaviour: Callable[[Raw], None], *fields: str) -> Fake:
    """A server that runs `behaviour` behind each handshake. fields: further ones of its answer."""

    def serve(link: Link) -> None:
        handshake(link, *fields)
        behaviour(Raw(link))

    return Fake(serve)
