"""HPACK (RFC 7541), decoding only. The Huffman code is canonical, so the code lengths tell it whole."""

from __future__ import annotations

from typing import Any

from .wire import ParseError, Reader

_HUFFMAN_LENGTHS = [
    int(length)
    for length in """
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
30
""".split()
]


def _huffman_codes() -> dict[tuple[int, int], int]:
    codes, code, last = {}, 0, 0
    for symbol in sorted(range(257), key=lambda s: (_HUFFMAN_LENGTHS[s], s)):
        length = _HUFFMAN_LENGTHS[symbol]
        code <<= length - last
        codes[length, code] = symbol
        code, last = code + 1, length
    return codes


_HUFFMAN_CODES = _huffman_codes()

_STATIC_TABLE = [
    (line.partition("|")[0], line.partition("|")[2])
    for line in """\
:authority|;:method|GET;:method|POST;:path|/;:path|/index.html;:scheme|http;:scheme|https;:status|200;:status|204
:status|206;:status|304;:status|400;:status|404;:status|500;accept-charset|;accept-encoding|gzip, deflate
accept-language|;accept-ranges|;accept|;access-control-allow-origin|;age|;allow|;authorization|;cache-control|
content-disposition|;content-encoding|;content-language|;content-length|;content-location|;content-range|
content-type|;cookie|;date|;etag|;expect|;expires|;from|;host|;if-match|;if-modified-since|;if-none-match|;if-range|
if-unmodified-since|;last-modified|;link|;location|;max-forwards|;proxy-authenticate|;proxy-authorization|;range|
referer|;refresh|;retry-after|;server|;set-cookie|;strict-transport-security|;transfer-encoding|;user-agent|;vary|
via|;www-authenticate|""".replace(";\n", ";")
    .replace("\n", ";")
    .replace(";;", ";")
    .split(";")
]
assert len(_STATIC_TABLE) == 61


def huffman_decode(data: bytes) -> bytes:
    out, code, length = bytearray(), 0, 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, length = code << 1 | byte >> shift & 1, length + 1
            symbol = _HUFFMAN_CODES.get((length, code))
            if symbol == 256:
                raise ParseError("end-of-string symbol inside a Huffman string")
            if symbol is not None:
                out.append(symbol)
                code, length = 0, 0
            elif length > 30:
                raise ParseError("no such Huffman code")
    if length > 7 or code != (1 << length) - 1:
        raise ParseError("bad Huffman padding")
    return bytes(out)


class HpackDecoder:
    """Decodes header blocks and says how each field was written."""

    def __init__(self, max_size: int = 4096) -> None:
        self.limit = self.max_size = max_size
        self.size = 0
        self.table: list[tuple[str, str]] = []

    def _evict(self) -> None:
        while self.size > self.max_size:
            name, value = self.table.pop()
            self.size -= len(name) + len(value) + 32

    def _add(self, name: str, value: str) -> None:
        self.table.insert(0, (name, value))
        self.size += len(name) + len(value) + 32
        self._evict()

    def _entry(self, index: int) -> tuple[str, str]:
        if 1 <= index <= 61:
            return _STATIC_TABLE[index - 1]
        if index and index - 62 < len(self.table):
            return self.table[index - 62]
        raise ParseError("no table entry %d" % index)

    @staticmethod
    def _integer(reader: Reader, first: int, bits: int) -> int:
        mask = (1 << bits) - 1
        value = first & mask
        shift = 0
        if value == mask:
            while True:
                byte = reader.number(1)
                value += (byte & 0x7F) << shift
                shift += 7
                if not byte & 0x80:
                    break
                if shift > 28:
                    raise ParseError("integer too large")
        return value

    def _string(self, reader: Reader) -> tuple[str, bool]:
        first = reader.number(1)
        data = reader.take(self._integer(reader, first, 7))
        huffman = bool(first & 0x80)
        return (huffman_decode(data) if huffman else data).decode("latin-1"), huffman

    def decode(self, block: bytes) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
        """(fields, forms): the (name, value) pairs, and one form a pair (or table size update) in wire order."""
        reader = Reader(block)
        fields: list[tuple[str, str]] = []
        forms: list[dict[str, Any]] = []
        while reader.left:
            first = reader.number(1)
            if first & 0x80:
                index = self._integer(reader, first, 7)
                fields.append(self._entry(index))
                forms.append({"form": "indexed", "index": index})
                continue
            if first & 0xE0 == 0x20:
                self.max_size = self._integer(reader, first, 5)
                if self.max_size > self.limit:
                    raise ParseError("table size %d is over the limit" % self.max_size)
                self._evict()
                forms.append({"form": "size_update", "size": self.max_size})
                continue
            form: dict[str, Any]
            if first & 0x40:
                form, index = {"form": "incremental"}, self._integer(reader, first, 6)
            else:
                form = {"form": "never" if first & 0x10 else "without"}
                index = self._integer(reader, first, 4)
            if index:
                name = self._entry(index)[0]
                form["name_index"] = index
            else:
                name, form["name_huffman"] = self._string(reader)
            value, form["value_huffman"] = self._string(reader)
            if form["form"] == "incremental":
                self._add(name, value)
            fields.append((name, value))
            forms.append(form)
        return fields, forms
