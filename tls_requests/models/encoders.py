"""Request bodies: JSON, forms, multipart, and streams of bytes."""

from __future__ import annotations

import binascii
import json
import mimetypes
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

from ..settings import CHUNK_SIZE
from ..utils import to_plain, to_str, utf8

if TYPE_CHECKING:
    from typing_extensions import TypeGuard

    from ..types import RequestData, RequestFiles, RequestFileValue, RequestJson

__all__ = ["JsonEncoder", "MultipartEncoder", "StreamEncoder", "UrlencodedEncoder"]

_OCTETS = "application/octet-stream"
_ESCAPES = str.maketrans({"\n": "%0A", "\r": "%0D", '"': "%22"})


def format_header(name: str, value: str | bytes, encoding: str = "ascii") -> bytes:
    """`name="value"` of a disposition; LF, CR and the quote are escaped as browsers do (WHATWG, form submission)."""
    text = value.decode("utf-8") if isinstance(value, bytes) else value
    return f'{name}="{text.translate(_ESCAPES)}"'.encode("utf-8" if not text.isascii() else encoding)


def get_boundary() -> bytes:
    """A new multipart boundary: 32 hexadecimal digits."""
    return binascii.hexlify(os.urandom(16))


def browser_boundary(identifier: str) -> bytes | None:
    """A boundary as the identifier's browser makes it, or None where that is not known.

    Chromium and Safari: "----WebKitFormBoundary" and 16 letters or digits (Blink's form_data_encoder.cc); Firefox: "----geckoformboundary" and
    two random numbers of 64 bits in hexadecimal (HTMLFormSubmission.cpp).
    """
    family = identifier.lower()
    if family.startswith("firefox"):
        first, second = (int.from_bytes(os.urandom(8), "big") for _ in range(2))
        return f"----geckoformboundary{first:x}{second:x}".encode("ascii")
    if family.startswith(("chrome", "chromium", "edge", "opera", "brave", "safari")):
        letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789AB"
        return b"----WebKitFormBoundary" + bytes(letters[byte & 63] for byte in os.urandom(16))
    return None


def guess_content_type(fp: str) -> str:
    """The media type by the file name, or application/octet-stream."""
    return mimetypes.guess_type(fp)[0] or _OCTETS


def iter_buffer(buffer: IO[bytes], chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
    """Read a binary stream from its start (from where it is, when it cannot seek) in pieces."""
    if _seekable(buffer):
        buffer.seek(0)
    while True:
        chunk = buffer.read(chunk_size)
        if chunk is None:  # of a raw file that does not block: nothing now, which is not the end
            raise BlockingIOError("the file has nothing to read now; one that blocks is needed")
        if not chunk:
            return
        yield chunk.encode("utf-8") if isinstance(chunk, str) else chunk


def _seekable(buffer: Any) -> bool:
    try:
        return bool(buffer.seekable())
    except AttributeError:
        return hasattr(buffer, "seek")


# --------------------------------------------------------------------------------------------------------------- fields


class BaseField:
    """One part of a multipart body."""

    def __init__(self, name: object, value: object) -> None:
        self._name = to_str(name)
        utf8(self._name, "The name of a field")  # what is wrong is said here, not when half of the body was sent
        self._headers: dict[bytes, bytes] = {}

    @property
    def headers(self) -> bytes:
        """The rendered header block, with the blank line behind it."""
        return self.render_headers()

    def get_headers(self) -> dict[bytes, bytes]:
        """The header fields of this part."""
        return {b"Content-Disposition": self.render_parts(), **self._headers}

    def render_parts(self) -> bytes:
        """The value of Content-Disposition."""
        return b"form-data; " + format_header("name", self._name)

    def render_headers(self) -> bytes:
        """The header fields as they are sent, with the blank line behind them."""
        return b"\r\n".join(name + b": " + value for name, value in self.get_headers().items()) + b"\r\n\r\n"

    def render_data(self, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """The content in pieces of at most chunk_size bytes."""
        raise NotImplementedError

    def length(self) -> int | None:
        """Bytes of the content, or None when that is not known."""
        return None

    def render(self, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """Headers, then the content."""
        yield self.render_headers()
        yield from self.render_data(chunk_size)


class DataField(BaseField):
    """A form field; its value becomes UTF-8 text."""

    def __init__(self, name: object, value: object) -> None:
        super().__init__(name, value)
        self.value = to_str(value)
        utf8(self.value, "The value of a field")

    def render_data(self, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """The text as UTF-8."""
        yield self.value.encode("utf-8")

    def length(self) -> int | None:
        """Bytes of the text."""
        return len(self.value.encode("utf-8"))


class FileField(BaseField):
    """A file. value: bytes, str (its text), a readable object, or (filename, content[, content_type]).

    Raises ValueError for other types.
    """

    def __init__(self, name: object, value: RequestFileValue) -> None:
        super().__init__(name, value)
        self.filename, self._buffer, self.content_type = self._unpack(value)
        if self.filename is not None:
            utf8(self.filename, "A file name")
        self._headers = {b"Content-Type": utf8(self.content_type, "The content type of a file")}

    def _unpack(self, value: Any) -> tuple[str | None, IO[bytes], str]:
        filename: Any = None
        content_type: Any = None
        explicit_none = False
        content = value
        if isinstance(value, (tuple, list)):
            if not value:
                raise ValueError("A file value must not be an empty tuple.")
            if len(value) == 1:
                content = value[0]
            else:
                filename, content = value[0], value[1]
                explicit_none = filename is None
                content_type = value[2] if len(value) > 2 else None
        filename = to_str(filename) if filename else None
        content_type = to_str(content_type) if content_type else None
        if isinstance(content, str):
            buffer: IO[bytes] = BytesIO(utf8(content, "The text of a file"))
        elif isinstance(content, (bytes, bytearray, memoryview)):
            buffer = BytesIO(bytes(content))
        elif hasattr(content, "read"):
            buffer, own_name = self._binary(content)
            if own_name:
                content_type = content_type or guess_content_type(own_name)
                filename = filename or (None if explicit_none else own_name)
        else:
            raise ValueError(f"A file must be bytes, str or a readable object, not {type(content).__name__}.")
        if filename is None and not explicit_none:
            filename = "upload"
        return filename, buffer, content_type or _OCTETS

    @staticmethod
    def _binary(content: Any) -> tuple[IO[bytes], str | None]:
        name = getattr(content, "name", None)
        own_name = os.path.basename(name) if isinstance(name, (str, Path)) and os.path.isfile(name) else None
        raw = getattr(content, "buffer", None)
        if raw is not None and not hasattr(content, "getbuffer"):
            # Opened in text mode: the bytes of the same file, the caller's object stays open and in its place.
            return (BytesIO(Path(content.name).read_bytes()) if own_name else raw), own_name
        return content, own_name

    def render_parts(self) -> bytes:
        """The value of Content-Disposition, with the file name if there is one."""
        parts = super().render_parts()
        return parts if self.filename is None else parts + b"; " + format_header("filename", self.filename)

    def render_data(self, chunk_size: int = CHUNK_SIZE) -> Iterator[bytes]:
        """The content in pieces, from its start where it can seek."""
        yield from iter_buffer(self._buffer, chunk_size)

    def length(self) -> int | None:
        """Bytes of the content; None: it cannot seek, or is text."""
        from .._upload import file_length

        return file_length(self._buffer)


# ------------------------------------------------------------------------------------------------------------- encoders


class BaseEncoder:
    """A body: headers it needs, and its bytes in pieces. May be read several times until it is closed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._buffer: IO[bytes] = BytesIO()
        self._chunk_size: int = kwargs.get("chunk_size") or CHUNK_SIZE
        self._closed = False

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The header fields that describe the body."""
        return self.get_headers()

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def get_headers(self) -> dict[bytes, bytes]:
        """The header fields that describe the body."""
        return {}

    def render(self) -> Iterator[bytes]:
        """The body in pieces, then one empty piece. Raises ValueError when closed."""
        if self._buffer.closed:
            raise ValueError("I/O operation on closed file.")
        yield from iter_buffer(self._buffer, self._chunk_size)
        yield b""

    def close(self) -> None:
        """Close it, and the file that it reads. Any number of times."""
        self._closed = True
        self._buffer.close()

    def __iter__(self) -> Iterator[bytes]:
        yield from self.render()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.render():
            yield chunk

    def __enter__(self) -> BaseEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def encode_json(data: RequestJson) -> bytes:
    """The bytes of a JSON body. Text and bytes at the top are taken as JSON already; None is empty.

    Raises TypeError for what cannot be encoded (lone surrogates, keys that are no text or number).
    """
    if data is None:
        return b""
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    if isinstance(data, (dict, list, tuple, set)):
        top = list(data) if isinstance(data, set) else data
        text = json.dumps(to_plain(top), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    else:
        text = to_str(data)
    return utf8(text, "The JSON body")


class JsonEncoder(BaseEncoder):
    """A JSON body: compact, UTF-8."""

    def __init__(self, data: RequestJson, *, chunk_size: int = CHUNK_SIZE, **kwargs: object) -> None:
        super().__init__(chunk_size=chunk_size)
        self._buffer = BytesIO(encode_json(data))

    def get_headers(self) -> dict[bytes, bytes]:
        """The content type."""
        return {b"Content-Type": b"application/json"}


def _form_values(value: Any) -> list[str]:
    if isinstance(value, (str, bytes, bytearray, int, float, bool)):
        return [to_str(value)]
    if isinstance(value, Iterable):
        return [to_str(item) for item in value]
    return [to_str(value)]


def _pairs(data: Any) -> list[tuple[str, list[str]]]:
    """Fields of a mapping or a list of pairs, with the values of each; None is left out."""
    items = data.items() if isinstance(data, Mapping) else data
    return [(to_str(key), _form_values(value)) for key, value in items if value is not None]


def _is_pairs(data: object) -> TypeGuard[Any]:
    return isinstance(data, (list, tuple)) and all(isinstance(item, (list, tuple)) and len(item) == 2 for item in data)


class UrlencodedEncoder(BaseEncoder):
    """A form (application/x-www-form-urlencoded) of a mapping or a list of pairs; bytes, text and readable objects are sent
    as they are."""

    def __init__(self, data: RequestData | None, *, chunk_size: int = CHUNK_SIZE, **kwargs: object) -> None:
        super().__init__(chunk_size=chunk_size)
        self._content_type: bytes | None = b"application/x-www-form-urlencoded"
        self._pieces: Iterable[bytes] | None = None  # in place of _buffer
        if isinstance(data, Mapping) or _is_pairs(data):
            fields = [(key, value) for key, values in _pairs(data) for value in values]
            try:
                self._buffer = BytesIO(urlencode(fields).encode("ascii"))
            except UnicodeEncodeError as error:
                raise TypeError(f"data is not valid Unicode: {error.reason}.") from None
        elif isinstance(data, str):
            self._buffer = BytesIO(utf8(data, "data"))
        elif isinstance(data, (bytes, bytearray, memoryview)):
            self._content_type = None
            self._buffer = BytesIO(bytes(data))
        elif hasattr(data, "read"):
            self._content_type = None
            self._buffer = data  # type: ignore[assignment]  # it reads
        elif isinstance(data, Iterable):
            self._content_type = None
            self._pieces = data  # type: ignore[assignment]  # of bytes, or the request fails
        elif hasattr(data, "__aiter__"):
            raise TypeError("an asynchronous iterator is given as content or data of a request, not to an encoder")
        elif data is not None:
            raise TypeError(f"data must be a mapping, pairs, text, bytes or a file, not {type(data).__name__}.")

    def get_headers(self) -> dict[bytes, bytes]:
        """The content type, unless the body is bytes or a file."""
        return {b"Content-Type": self._content_type} if self._content_type else {}

    def render(self) -> Iterator[bytes]:
        """The body in pieces, then one empty piece. Raises ValueError when closed."""
        if self._pieces is None:
            yield from super().render()
            return
        yield from self._pieces
        yield b""


class MultipartEncoder(BaseEncoder):
    """A multipart/form-data body (RFC 7578) of fields, then files."""

    def __init__(
        self,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        boundary: bytes | None = None,
        *,
        chunk_size: int = CHUNK_SIZE,
        **kwargs: object,
    ) -> None:
        super().__init__(chunk_size=chunk_size)
        self.boundary = boundary if boundary and isinstance(boundary, bytes) else get_boundary()
        self.fields: list[BaseField] = []
        if isinstance(data, Mapping) or _is_pairs(data):
            self.fields += [DataField(key, value) for key, values in _pairs(data) for value in values]
        if isinstance(files, Mapping):
            self.fields += [FileField(key, value) for key, value in files.items()]
        elif _is_pairs(files):
            self.fields += [FileField(key, value) for key, value in files]

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The content type with the boundary; empty without fields."""
        return self.get_headers() if self.fields else {}

    def get_headers(self) -> dict[bytes, bytes]:
        """The content type with the boundary."""
        return {b"Content-Type": b"multipart/form-data; boundary=" + self.boundary}

    def length(self) -> int | None:
        """Bytes of the whole body, or None: a file in it does not tell its length."""
        total = len(self.boundary) + 6 if self.fields else 0
        for field in self.fields:
            content = field.length()
            if content is None:
                return None
            total += len(self.boundary) + 4 + len(field.render_headers()) + content + 2
        return total

    @property
    def in_memory(self) -> bool:
        """Whether no part has to be read from a file."""
        return all(not isinstance(field, FileField) or isinstance(field._buffer, BytesIO) for field in self.fields)

    def render(self) -> Iterator[bytes]:
        """The parts in pieces, then one empty piece. Raises ValueError when closed."""
        if self._buffer.closed:
            raise ValueError("I/O operation on closed file.")
        if self.fields:
            for field in self.fields:
                yield b"--" + self.boundary + b"\r\n"
                yield from field.render(self._chunk_size)
                yield b"\r\n"
            yield b"--" + self.boundary + b"--\r\n"
        yield b""


class StreamEncoder(BaseEncoder):
    """The body of a request, whatever it is made of: files beat data, data beats json."""

    def __init__(
        self,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: RequestJson = None,
        *,
        chunk_size: int = CHUNK_SIZE,
        **kwargs: object,
    ) -> None:
        super().__init__(chunk_size=chunk_size)
        self._encoder: BaseEncoder
        if files is not None:
            self._encoder = MultipartEncoder(data, files, chunk_size=chunk_size)
        elif data is not None:
            self._encoder = UrlencodedEncoder(data, chunk_size=chunk_size)
        elif json is not None:
            self._encoder = JsonEncoder(json, chunk_size=chunk_size)
        else:
            self._encoder = BaseEncoder(chunk_size=chunk_size)

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The header fields that describe the body."""
        return self._encoder.headers

    def get_headers(self) -> dict[bytes, bytes]:
        """The header fields that describe the body."""
        return self._encoder.get_headers()

    def render(self) -> Iterator[bytes]:
        """The body in pieces, then one empty piece. Raises ValueError when closed."""
        yield from self._encoder.render()
        self._closed = True

    def close(self) -> None:
        """Close it, and the file that it reads. Any number of times."""
        self._closed = True
        self._encoder.close()

    @classmethod
    def from_bytes(cls, raw: bytes, *, chunk_size: int | None = None) -> StreamEncoder:
        """Wrap raw bytes, without headers."""
        stream = cls(chunk_size=chunk_size or CHUNK_SIZE)
        stream._encoder._buffer = BytesIO(raw)
        return stream
