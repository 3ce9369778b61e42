"""Reading of big-endian bytes, and GREASE values (RFC 8701)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Union

Bytes = Union[bytes, bytearray, memoryview]


class ParseError(ValueError):
    """The bytes are not what they should be."""


class Incomplete(ParseError):
    """More bytes are needed."""


class Reader:
    """Reads big-endian integers and length-prefixed vectors off a byte string."""

    def __init__(self, data: Bytes) -> None:
        self.data = bytes(data)
        self.pos = 0

    @property
    def left(self) -> int:
        return len(self.data) - self.pos

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise Incomplete("%d bytes wanted, %d left" % (count, self.left))
        piece = self.data[self.pos : self.pos + count]
        self.pos += count
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int) -> Reader:
        return Reader(self.take(self.number(size)))

    def numbers(self, size: int) -> list[int]:
        """The rest, as integers of `size` bytes."""
        if self.left % size:
            raise ParseError("%d bytes are no list of %d-byte numbers" % (self.left, size))
        return [self.number(size) for _ in range(self.left // size)]

    def finish(self) -> None:
        if self.left:
            raise ParseError("%d bytes left over" % self.left)


def is_grease(value: int) -> bool:
    """RFC 8701's two-byte reserved values: 0x0a0a, 0x1a1a, ... 0xfafa."""
    return value & 0x0F0F == 0x0A0A and value >> 8 == value & 0xFF


def mark_grease(values: Iterable[int]) -> list[Any]:
    return ["GREASE" if is_grease(value) else value for value in values]
