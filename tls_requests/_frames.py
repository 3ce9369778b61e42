"""The package `websockets`, changed in what a client needs otherwise. Imported when a WebSocket is opened: the package may be missing."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import CLIENT, Protocol

if TYPE_CHECKING:
    import weakref

    from ._websocket import AsyncWebSocket

__all__ = ["Inflating", "JudgedProtocol"]

_CONTROL_MAX = 125  # RFC 6455 5.5
# RFC 7692 7.2.2, RFC 1951: what is left out at the end of a message, and how far back a DEFLATE stream may point.
_DEFLATE_TAIL = b"\0\0\xff\xff"
_WINDOW = 32768
# DEFLATE streams that may end in one frame. One is usual; each costs a copy of the rest of the frame, and can be two bytes.
STREAMS_MAX = 64


class JudgedProtocol(Protocol):
    """Hands each frame of a message on before it reads the next: what is wrong within the message ends it there, whatever came in the same read."""

    def __init__(self, owner: weakref.ref[AsyncWebSocket], max_size: int, extensions: list[Any]) -> None:
        # The package counts what is left of a message against control frames between its fragments too, so the exact limit is the owner's to check.
        super().__init__(CLIENT, max_size=max_size + _CONTROL_MAX)
        self.owner = owner
        self.extensions = extensions

    def recv_frame(self, frame: Any) -> None:
        if frame.opcode < 8:
            Protocol.recv_frame(self, frame)
            self.events.pop()
            owner = self.owner()
            if owner is not None:
                owner._on_data(frame)
            return
        if frame.opcode == 8:
            # A close may come between fragments (RFC 6455 5.4); the package, which has had two names for this, refuses it.
            for name in ("current_size", "cur_size"):
                if hasattr(self, name):
                    setattr(self, name, None)
        Protocol.recv_frame(self, frame)


class Inflating(PerMessageDeflate):
    """Goes on where a DEFLATE stream has ended, as one may with any message (RFC 7692 7.2.3.4); the package's reads nothing more then."""

    def __init__(self, agreed: PerMessageDeflate) -> None:
        super().__init__(
            agreed.remote_no_context_takeover,
            agreed.local_no_context_takeover,
            agreed.remote_max_window_bits,
            agreed.local_max_window_bits,
            agreed.compress_settings,
        )
        self._start()

    def _start(self, window: bytes = b"") -> None:
        self.decoder: Any = zlib.decompressobj(wbits=-self.remote_max_window_bits, zdict=window)
        self._recent = [window]
        self._recent_size = len(window)

    def _inflate(self, data: bytes, most: int) -> bytes:
        out: bytes = self.decoder.decompress(data, most)
        self._recent.append(out)
        self._recent_size += len(out)
        if self._recent_size > 4 * _WINDOW:
            self._recent = [b"".join(self._recent)[-_WINDOW:]]
            self._recent_size = _WINDOW
        return out

    def _go_on(self, out: bytes, most: int) -> bytes:
        """`out` and what comes behind the end of the stream."""
        for _ in range(STREAMS_MAX):
            if not self.decoder.eof or len(out) >= most:
                return out
            data = self.decoder.unused_data
            self._start(b"".join(self._recent)[-(1 << self.remote_max_window_bits) :])
            if data:
                out += self._inflate(data, most - len(out))
        raise ProtocolError("too many DEFLATE streams in a frame")

    def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
        if frame.opcode >= 8:
            return frame
        if frame.opcode == 0:
            if not self.decode_cont_data:
                return frame
            if frame.rsv1:
                raise ProtocolError("RSV1 bit set in continuation frame")
        else:
            if not frame.rsv1:
                return frame
            if self.remote_no_context_takeover:
                self._start()
        self.decode_cont_data = not frame.fin
        # One byte more than the message may have is enough to see that there is too much.
        assert max_size is not None
        most = max_size - _CONTROL_MAX + 1
        try:
            out = self._inflate(bytes(frame.data) + _DEFLATE_TAIL if frame.fin else frame.data, most)
            if self.decoder.eof:
                out = self._go_on(out, most)
        except zlib.error as error:
            raise ProtocolError("decompression failed") from error
        return Frame(frame.opcode, out, frame.fin, False, frame.rsv2, frame.rsv3)
