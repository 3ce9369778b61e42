"""Requests whose bodies come and go in pieces: what `send(stream=True)`, `stream` and uploads have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._upload import Upload, run_async, run_blocking

if TYPE_CHECKING:
    from types import TracebackType

    from ._output import OutputFile
    from ._upload import Source
    from .client import AsyncClient, Client
    from .models.request import Request
    from .models.response import Response

__all__ = ["AsyncStreamContext", "StreamContext", "send_async", "send_blocking"]


def _upload_of(request: Request, source: Source | None) -> Upload | None:
    return None if source is None else Upload(source, request._options.get("progress"))


def _attach(response: Any, is_async: bool, upload: Upload | None, task: Any) -> None:
    op = response._stream_op
    if op is not None:
        from .models.streams import ResponseStream

        response._attach(ResponseStream(op, is_async, upload, task))


def send_blocking(
    client: Client,
    request: Request,
    arguments: tuple[Any, ...],
    source: Source | None,
    output: OutputFile | None = None,
) -> Response:
    """Send a finished request, in pieces where that is asked for. An answer to be streamed is open. output: the file that the body goes into."""
    if source is not None and source.is_async:
        raise TypeError("a body that is an asynchronous iterator needs an AsyncClient")
    upload = _upload_of(request, source)
    op: Any = client._perform_open(*arguments)
    if output is not None:
        output.op = op
    response: Response = run_blocking(op, upload)
    _attach(response, False, None if op._over else upload, None)
    return response


async def send_async(
    client: AsyncClient,
    request: Request,
    arguments: tuple[Any, ...],
    source: Source | None,
    output: OutputFile | None = None,
) -> Response:
    """`send_blocking` for asynchronous code."""
    upload = _upload_of(request, source)
    op: Any = client._perform_awaitable(*arguments)
    if output is not None:
        output.op = op
    response: Response
    task: Any = None
    if upload is None:
        response = await op
    else:
        response, task = await run_async(op, upload)
    _attach(response, True, None if task is None else upload, task)
    return response


class _Call:
    """Arguments of `stream`, until the block is entered."""

    def __init__(self, client: Any, method: str, url: Any, arguments: dict[str, Any]) -> None:
        from ._core import NOT_GIVEN

        self._client = client
        self._method = method.upper()
        self._url = url
        self._arguments = {name: value for name, value in arguments.items() if value is not NOT_GIVEN}
        self._auth = self._arguments.pop("auth", None)
        self._follow = self._arguments.pop("follow_redirects", None)
        self._response: Response | None = None
        self.to_file = False  # the body goes into a file when the head was looked at: ResponseStream.to_file

    def _finish(self, request: Request) -> Request:
        if self.to_file:
            request._options["to_file"] = True
        return request


class StreamContext(_Call):
    """What Client.stream returns: a context manager that gives the response and closes it."""

    def __enter__(self) -> Response:
        request = self._finish(self._client.build_request(self._method, self._url, **self._arguments))
        self._response = self._client.send(request, auth=self._auth, follow_redirects=self._follow, stream=True)
        return self._response

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._response is not None:
            self._response.close()


class AsyncStreamContext(_Call):
    """What AsyncClient.stream returns: an asynchronous context manager that gives the response and closes it."""

    async def __aenter__(self) -> Response:
        request = self._finish(await self._client.abuild_request(self._method, self._url, **self._arguments))
        self._response = await self._client.send(request, auth=self._auth, follow_redirects=self._follow, stream=True)
        return self._response

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        if self._response is not None:
            await self._response.aclose()
