"""Content codings: bombs, cut and corrupt streams, unknown ones, on both protocols. Generators are small and made by hand
where the standard library has none."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable

import pytest

from lab import Lab
from peers.fake import DATA, END_HEADERS, END_STREAM, HEADERS, OK, H2Link, Link, answer_http, block, frame
from tls_requests.exceptions import DecodingError

TEXT = b"a line of text that compresses\n" * 200
BOMB = 72 << 20  # bytes that a bomb makes: above the allowance before the ratio counts


class Bits:
    """Bits, lowest first, as brotli packs them."""

    def __init__(self) -> None:
        self.value = 0
        self.size = 0

    def put(self, value: int, width: int) -> None:
        self.value |= value << self.size
        self.size += width

    def bytes(self) -> bytes:
        return self.value.to_bytes((self.size + 7) // 8, "little")


def brotli_zeros(size: int) -> bytes:
    """RFC 7932: meta-blocks of 16 MiB, each one literal and one copy of all the rest from distance 1. Each of the three
    codes has one symbol only, which then takes no bits."""
    bits = Bits()
    bits.put(0, 1)  # WBITS: 16
    while size > 0:
        part = min(size, 1 << 24)
        size -= part
        bits.put(0, 1)  # ISLAST
        bits.put(2, 2)  # MNIBBLES: 6
        bits.put(part - 1, 24)  # MLEN - 1
        bits.put(0, 1)  # ISUNCOMPRESSED
        bits.put(0, 3)  # NBLTYPESL, I, D: one each
        bits.put(0, 6)  # NPOSTFIX, NDIRECT
        bits.put(0, 2)  # context mode
        bits.put(0, 2)  # NTREESL, NTREESD: one each
        for symbol, width in ((0, 8), (399, 10), (16, 6)):  # literal 0; insert 1, copy 2118 and more; distance code 16
            bits.put(1, 2)  # a simple code
            bits.put(0, 2)  # of one symbol
            bits.put(symbol, width)
        bits.put(part - 1 - 2118, 24)  # extra bits of the copy length
        bits.put(0, 1)  # extra bit of the distance: 1
    bits.put(3, 2)  # ISLAST, ISLASTEMPTY
    return bits.bytes()


def zstd_zeros(size: int) -> bytes:
    """RFC 8878 3.1.1: one frame of RLE blocks of 128 KiB, four bytes each."""
    out = bytearray(b"\x28\xb5\x2f\xfd\x00\x58")  # magic, no content size, window of 2 MiB
    while size > 0:
        part = min(size, 1 << 17)
        size -= part
        out += (part << 3 | 1 << 1 | (size == 0)).to_bytes(3, "little") + b"\0"
    return bytes(out)


def zstd_raw(data: bytes) -> bytes:
    """A frame of one raw block."""
    return b"\x28\xb5\x2f\xfd\x00\x58" + (len(data) << 3 | 1).to_bytes(3, "little") + data


def brotli_raw(data: bytes) -> bytes:
    """One uncompressed meta-block of at most 64 KiB, then the empty last one."""
    bits = Bits()
    bits.put(0, 1)
    bits.put(0, 1)
    bits.put(0, 2)
    bits.put(len(data) - 1, 16)
    bits.put(1, 1)
    return bits.bytes() + data + b"\x03"


def deflate_raw(data: bytes) -> bytes:
    worker = zlib.compressobj(9, zlib.DEFLATED, -15)
    return worker.compress(data) + worker.flush()


def deflate_zeros(size: int, wbits: int) -> bytes:
    worker = zlib.compressobj(9, zlib.DEFLATED, wbits)
    mebibyte = bytes(1 << 20)
    return b"".join(worker.compress(mebibyte) for _ in range(size >> 20)) + worker.flush()


ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli_raw,
    "zstd": zstd_raw,
}
BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: deflate_zeros(BOMB, 31),
    "deflate": lambda: deflate_zeros(BOMB, 15),
    "br": lambda: brotli_zeros(BOMB),
    "zstd": lambda: zstd_zeros(BOMB),
}


@pytest.fixture(scope="module")
def bombs() -> dict[str, bytes]:
    return {coding: make() for coding, make in BOMBS.items()}


def http(body: bytes, coding: str, *fields: str) -> bytes:
    codings = [f"Content-Encoding: {value}" for value in coding.split("\n")]
    lines = ["HTTP/1.1 200 OK", *codings, f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def serve(lab: Lab, body: bytes, coding: str, protocol: str = "http/1.1", size: int = 16384) -> str:
    """The URL of a server that answers with this body and coding (several fields of it where there is a line's end)."""
    if protocol == "http/1.1":
        return lab.serve(answer_http(http(body, coding))).url()

    def behave(link: H2Link) -> None:
        link.begin()
        while True:
            stream = link.stream()
            head = OK + block(*(("content-encoding", value) for value in coding.split("\n")))
            if not body:
                link.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, head))
                continue
            link.send(frame(HEADERS, END_HEADERS, stream, head))
            for start in range(0, len(body), size):
                flags = END_STREAM if start + size >= len(body) else 0
                link.send(frame(DATA, flags, stream, body[start : start + size]))

    return lab.serve_h2(behave).url()


PROTOCOLS = ["http/1.1", "h2"]

# ------------------------------------------------------------------------------------------------------- good ones


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("coding", ENCODE)
def test_codings(lab: Lab, coding: str, protocol: str) -> None:
    response = lab.good(serve(lab, ENCODE[coding](TEXT), coding, protocol))
    assert response.content == TEXT
    assert "content-encoding" not in response.headers
    assert "content-length" not in response.headers


@pytest.mark.parametrize("coding", ENCODE)
def test_codings_in_single_bytes(lab: Lab, coding: str) -> None:
    data = http(ENCODE[coding](TEXT[:300]), coding)

    def behave(link: Link) -> None:
        link.request()
        for index in range(len(data)):
            link.send(data[index : index + 1])
        link.hold()

    assert lab.good(lab.serve(behave).url()).content == TEXT[:300]


def test_variants(lab: Lab) -> None:
    for coding, body in {
        "GZip": gzip.compress(TEXT),
        " gzip ,": gzip.compress(TEXT),
        "identity": TEXT,
        "deflate": deflate_raw(TEXT),  # without zlib's header, as some servers do
        "gzip, identity": gzip.compress(TEXT),
        "deflate, gzip": gzip.compress(zlib.compress(TEXT)),
        "br, deflate, gzip": gzip.compress(zlib.compress(brotli_raw(TEXT))),
        "gzip": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),  # two members
        "zstd": zstd_raw(TEXT[:100]) + zstd_raw(TEXT[100:]),
    }.items():
        assert lab.good(serve(lab, body, coding)).content == TEXT, coding


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_codings_in_several_fields(lab: Lab, protocol: str) -> None:
    """They are one list (RFC 9110 5.3)."""
    twice = zlib.compress(gzip.compress(TEXT))
    for coding, body in {
        "gzip\ndeflate": twice,
        "gzip\n\nidentity\ndeflate": twice,
        "\ngzip": gzip.compress(TEXT),
        "identity\ngzip": gzip.compress(TEXT),
        "gzip\nbr, deflate\nidentity": zlib.compress(brotli_raw(gzip.compress(TEXT))),
    }.items():
        response = lab.good(serve(lab, body, coding, protocol))
        assert response.content == TEXT, coding
        assert "content-encoding" not in response.headers
    lab.failed(serve(lab, TEXT, "\n".join(["gzip"] * 200), protocol), DecodingError, "codings", code="BODY_CODING")
    response = lab.good(serve(lab, b"as it is", "gzip\nsecret", protocol))
    assert response.content == b"as it is" and response.headers.get_list("content-encoding") == ["gzip", "secret"]


@pytest.mark.parametrize("coding", ENCODE)
def test_a_coding_without_body(lab: Lab, coding: str) -> None:
    assert lab.good(serve(lab, b"", coding)).content == b""
    assert lab.good(serve(lab, b"", coding, "h2")).content == b""


@pytest.mark.parametrize("coding", ["compress", "sdch", "snappy", "aes128gcm", "x", "gzip, rot13"])
def test_unknown_codings_are_passed_through(lab: Lab, coding: str) -> None:
    body = gzip.compress(TEXT)
    response = lab.good(serve(lab, body, coding))
    assert response.content == body
    assert response.headers["content-encoding"] == coding


# ------------------------------------------------------------------------------------------------------- bad ones


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("coding", ENCODE)
@pytest.mark.parametrize("place", ["head", "middle", "end"])
def test_cut_streams(lab: Lab, coding: str, place: str, protocol: str) -> None:
    """The transfer is complete, the stream inside it is not."""
    body = ENCODE[coding](os.urandom(400))
    body = body[: {"head": 3, "middle": len(body) // 2, "end": len(body) - 1}[place]]
    if coding == "deflate" and place == "end":
        body = body[:-3]  # all of the checksum
    error = lab.failed(serve(lab, body, coding, protocol), DecodingError, code="BODY_CODING", raises=False)
    assert error.request_sent
    assert error.phase == "body"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("coding", ENCODE)
@pytest.mark.parametrize(
    "content", [b"plain text that is not compressed at all", b"\xff" * 64, b"<html></html>\n" * 20]
)
def test_no_streams_at_all(lab: Lab, coding: str, content: bytes, protocol: str) -> None:
    lab.failed(serve(lab, content, coding, protocol), DecodingError, "corrupt", code="BODY_CODING", raises=False)


def test_corrupt_streams(lab: Lab) -> None:
    packed = gzip.compress(TEXT)
    cases = {
        "gzip-checksum": ("gzip", packed[:-8] + b"\0\0\0\0" + packed[-4:]),
        "gzip-length": ("gzip", packed[:-4] + b"\0\0\0\0"),
        "gzip-method": ("gzip", packed[:2] + b"\x07" + packed[3:]),
        "zlib-checksum": ("deflate", zlib.compress(TEXT)[:-4] + b"\0\0\0\0"),
        "zstd-reserved-block": (
            "zstd",
            b"\x28\xb5\x2f\xfd\x00\x58" + (5 << 3 | 3 << 1 | 1).to_bytes(3, "little") + b"hello",
        ),
        "zstd-window-of-2-gib": ("zstd", b"\x28\xb5\x2f\xfd\x00\xa8" + (5 << 3 | 1).to_bytes(3, "little") + b"hello"),
        "too-many-codings": (", ".join(["gzip"] * 6), packed),
        "wrong-order": ("gzip, deflate", gzip.compress(zlib.compress(TEXT))),
    }
    for name, (coding, body) in cases.items():
        error = lab.failed(serve(lab, body, coding), DecodingError, code="BODY_CODING", raises=name == "gzip-checksum")
        assert error is not None


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("coding", BOMBS)
def test_bombs(lab: Lab, bombs: dict[str, bytes], coding: str, protocol: str) -> None:
    url = serve(lab, bombs[coding], coding, protocol)
    lab.failed(url, DecodingError, "bomb", code="BODY_LIMIT", within=6, raises=False)


def test_bombs_in_layers(lab: Lab, bombs: dict[str, bytes]) -> None:
    """gzip of a bomb: a few hundred bytes."""
    body = gzip.compress(bombs["gzip"], 9)
    lab.failed(serve(lab, body, "gzip, gzip"), DecodingError, code="BODY_LIMIT", within=6, raises=False)


def test_a_bomb_that_is_not_looked_at(lab: Lab, bombs: dict[str, bytes]) -> None:
    """Nobody decodes what a HEAD or a 304 announces, or what is behind a redirect that is followed only in part."""
    server = lab.serve(answer_http(http(bombs["gzip"], "gzip")))
    response = lab.open().request("HEAD", server.url())
    assert response.status_code == 200
    assert response.content == b""


def test_a_good_answer_after_a_bad_one(lab: Lab) -> None:
    """HTTP/2: a corrupt body costs its stream, not the connection."""
    bodies = [b"not gzip at all", gzip.compress(TEXT)]

    def behave(link: H2Link) -> None:
        link.begin()
        for body in bodies:
            stream = link.stream()
            link.send(frame(HEADERS, END_HEADERS, stream, OK + block(("content-encoding", "gzip"))))
            link.send(frame(DATA, END_STREAM, stream, body))
        link.hold()

    server = lab.serve_h2(behave)
    session = lab.open()
    assert isinstance(session.get(server.url()).error, DecodingError)
    assert session.get(server.url()).content == TEXT
    assert server.connections == 1
