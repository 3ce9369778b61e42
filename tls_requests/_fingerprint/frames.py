"""HTTP/2 frames (RFC 9113)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .hpack import HpackDecoder
from .wire import ParseError, Reader

# fmt: off
H2_FRAME_NAMES = {
    0: "DATA", 1: "HEADERS", 2: "PRIORITY", 3: "RST_STREAM", 4: "SETTINGS", 5: "PUSH_PROMISE", 6: "PING",
    7: "GOAWAY", 8: "WINDOW_UPDATE", 9: "CONTINUATION", 10: "ALTSVC", 12: "ORIGIN", 16: "PRIORITY_UPDATE",
}
# fmt: on
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def _priority_fields(reader: Reader) -> dict[str, Any]:
    word = reader.number(4)
    return {"exclusive": bool(word >> 31), "depends_on": word & 0x7FFFFFFF, "weight": reader.number(1) + 1}


def _flag_names(kind: int, flags: int) -> list[str]:
    if kind in (4, 6):
        names = {0x1: "ACK"}
    else:
        names = {0x1: "END_STREAM", 0x4: "END_HEADERS", 0x8: "PADDED", 0x20: "PRIORITY"}
    return [name for bit, name in names.items() if flags & bit]


def h2_frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


class FrameParser:
    """Turns a client's HTTP/2 bytes (preface first) into decoded frames."""

    def __init__(self, table_limit: int = 4096) -> None:
        self.buffer = b""
        self.preface = False
        self.hpack = HpackDecoder()
        self.hpack.limit = max(table_limit, 4096)  # the client may still use 4096 until it has our SETTINGS
        self.block: tuple[dict[str, Any], bytes] | None = None  # HEADERS whose block goes on

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self.buffer += data
        if not self.preface:
            if len(self.buffer) < len(H2_PREFACE):
                return
            if not self.buffer.startswith(H2_PREFACE):
                raise ParseError("no HTTP/2 preface")
            self.buffer = self.buffer[len(H2_PREFACE) :]
            self.preface = True
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                return
            kind, flags = self.buffer[3], self.buffer[4]
            stream_id = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            payload, self.buffer = self.buffer[9 : 9 + length], self.buffer[9 + length :]
            frame = self.decode(kind, flags, stream_id, payload)
            if frame is not None:
                yield frame

    def decode(self, kind: int, flags: int, stream_id: int, payload: bytes) -> dict[str, Any] | None:
        frame: dict[str, Any] = {
            "type": H2_FRAME_NAMES.get(kind, "0x%02x" % kind),
            "stream_id": stream_id,
            "flags": _flag_names(kind, flags),
            "length": len(payload),
        }
        reader = Reader(payload)
        if kind in (0, 1) and flags & 0x8:
            padding = reader.number(1)
            if padding > reader.left:
                raise ParseError("padding longer than the frame")
            frame["padding"] = padding
            reader.data = reader.data[: len(reader.data) - padding]
        if kind == 0:
            frame["data"] = reader.take(reader.left)
        elif kind == 1:
            if flags & 0x20:
                frame["priority"] = _priority_fields(reader)
            block = reader.take(reader.left)
            if not flags & 0x4:
                self.block = frame, block
                return None
            return self._headers(frame, block)
        elif kind == 9:
            if not self.block or self.block[0]["stream_id"] != stream_id:
                raise ParseError("CONTINUATION out of place")
            first, block = self.block
            first["continuations"] = first.get("continuations", []) + [len(payload)]
            self.block = first, block + payload
            if not flags & 0x4:
                return None
            first["flags"].append("END_HEADERS")
            self.block = None
            return self._headers(first, block + payload)
        elif kind == 2:
            frame.update(_priority_fields(reader))
        elif kind == 3:
            frame["error_code"] = reader.number(4)
        elif kind == 4:
            frame["ack"] = bool(flags & 1)
            frame["settings"] = []
            while reader.left:
                frame["settings"].append([reader.number(2), reader.number(4)])
        elif kind == 6:
            frame["ack"] = bool(flags & 1)
            frame["data"] = payload
        elif kind == 7:
            frame["last_stream_id"], frame["error_code"] = reader.number(4), reader.number(4)
            frame["debug"] = reader.take(reader.left).decode("latin-1")
        elif kind == 8:
            frame["increment"] = reader.number(4) & 0x7FFFFFFF
        elif kind == 16:
            frame["prioritized_stream_id"] = reader.number(4) & 0x7FFFFFFF
            frame["value"] = reader.take(reader.left).decode("latin-1")
        else:
            frame["data"] = payload
        return frame

    def _headers(self, frame: dict[str, Any], block: bytes) -> dict[str, Any]:
        frame["block_length"] = len(block)
        fields, forms = self.hpack.decode(block)
        frame["pseudo_headers"] = [name for name, _ in fields if name.startswith(":")]
        frame["pseudo_values"] = {name: value for name, value in fields if name.startswith(":")}
        frame["headers"] = [[name, value] for name, value in fields if not name.startswith(":")]
        frame["hpack"] = forms
        return frame
