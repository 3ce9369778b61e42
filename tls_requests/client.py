"""Client and AsyncClient: the verbs, and the chain verb, request, build_request, send that subclasses may override.

A plain call goes from its arguments straight to the engine (`_core`); as soon as something asks for a Request object (an overridden step,
auth, hooks, rotators, files, a proxy), the same call takes the chain.
"""

from __future__ import annotations

from ._base import OWN_ENDS, BaseClient, given_arguments, hook_result, is_rotator, method_text
from ._core import NOT_GIVEN
from .exceptions import HTTPError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from os import PathLike
    from types import TracebackType
    from typing import Any, TypeVar

    from ._core import BrowserProfile, NotGiven
    from ._events import AsyncEvents, Events
    from ._output import OutputFile
    from ._states import ClientState, ProtocolType
    from ._stream import AsyncStreamContext, StreamContext
    from ._upload import Source
    from ._websocket import AsyncWebSocketContext, WebSocketContext
    from .models.headers import Headers
    from .models.request import Request as Request
    from .models.response import Response as Response
    from .models.tls import TLSClient as TLSClient
    from .models.tls import TLSConfig as TLSConfig
    from .models.urls import URL as URL
    from .models.urls import Proxy
    from .types import (
        AuthTypes,
        CookieTypes,
        HeaderTypes,
        IdentifierArgTypes,
        ProxyTypes,
        RequestContent,
        RequestData,
        RequestFiles,
        RequestJson,
        TimeoutTypes,
        URLParamTypes,
        URLTypes,
    )

    Self = TypeVar("Self", bound="BaseClient")

__all__ = ["AsyncClient", "BaseClient", "Client"]


# Names that programs look for, and tests replace, in this module: where each is defined.
_ELSEWHERE = {
    **dict.fromkeys(("ClientState", "ProtocolType"), "_states"),
    **dict.fromkeys(("ProxyError", "RemoteProtocolError", "TooManyRedirects"), "exceptions"),
    **dict.fromkeys(
        (
            "URL",
            "Auth",
            "BasicAuth",
            "Cookies",
            "HeaderRotator",
            "Headers",
            "Proxy",
            "ProxyRotator",
            "Request",
            "Response",
            "StatusCodes",
            "TLSClient",
            "TLSConfig",
            "TLSIdentifierRotator",
            "URLParams",
        ),
        "models",
    ),
}


def __getattr__(name: str) -> Any:
    import importlib

    value: Any
    if name == "logger":
        import logging

        value = logging.getLogger("TLSRequests")
    elif name in _ELSEWHERE:
        value = getattr(importlib.import_module(f".{_ELSEWHERE[name]}", __package__), name)
    elif name.isupper() and hasattr(importlib.import_module(".settings", __package__), name):
        value = getattr(importlib.import_module(".settings", __package__), name)
    elif name.endswith("Types") and hasattr(importlib.import_module(".types", __package__), name):
        value = getattr(importlib.import_module(".types", __package__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


class Client(BaseClient):
    """A client with blocking calls. Threads may share it. See BaseClient for the arguments.

    >>> with Client() as client:  # doctest: +SKIP
    ...     client.get("https://example.com/").status_code
    200
    """

    def request(
        self,
        method: str,
        url: URLTypes,
        *,
        data: RequestData | NotGiven | None = NOT_GIVEN,
        files: RequestFiles | NotGiven | None = NOT_GIVEN,
        json: RequestJson = NOT_GIVEN,
        content: RequestContent | NotGiven | None = NOT_GIVEN,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        protocol_racing: bool | None = None,
        allow_http: bool | None = None,
        stream_id: int | None = None,
        **kwargs: Any,
    ) -> Response:
        """Send a request and return the answer; a failure is a response with status 0.

        data: a form (mapping, pairs) or a raw body; files: multipart; json: a JSON body; content: a raw body (bytes, text, a file, an
        iterable of bytes; files and iterables are sent in pieces). progress: called with the body's bytes sent and their total.
        params, headers, cookies: over the client's. auth: in place of the client's. timeout: seconds.
        An argument that is left out means the client's setting. Further keywords, for this request: proxy, verify, http2,
        client_identifier, locale, platform, client_hints, raise_on_error, options of the engine, and what asks for it: mode ("navigate", "fetch", "xhr", "form",
        "image", "script", "style", "iframe", "websocket"), page, referrer (URLs), origin, credentials.
        Raises URLError, URLParamsError, HeaderError, ProxyError, TooManyRedirects, RemoteProtocolError (bad redirects), TypeError and
        ValueError for arguments that cannot be used, and with raise_on_error the exceptions of docs/errors.md.
        """
        method = method.upper() if type(method) is str and method.isascii() else method_text(method)
        if protocol_racing is allow_http is stream_id is None:
            response = self._blocking(
                method,
                url,
                params,
                headers,
                cookies,
                auth,
                follow_redirects,
                timeout,
                data,
                files,
                json,
                content,
                kwargs,
            )
            if response is not None:
                return response
        given = given_arguments(
            (params, headers, cookies, auth, follow_redirects, timeout, data, files, json, content), kwargs
        )
        own_auth: AuthTypes = given.pop("auth", None)
        follow: bool | None = given.pop("follow_redirects", None)
        request = self.build_request(
            method, url, protocol_racing=protocol_racing, allow_http=allow_http, stream_id=stream_id, **given
        )
        return self.send(request, auth=own_auth, follow_redirects=follow)

    def send(
        self, request: Request, *, auth: AuthTypes = None, follow_redirects: bool | None = None, stream: bool = False
    ) -> Response:
        """Send a request made by `build_request` or by hand: authentication, hooks, transfer, response hooks.

        stream: return the response as soon as its head is there, unread: read it (`iter_bytes`, `read`, ...), then `close` it.
        """
        from .models.request import Request as RequestClass

        self._check_open()
        chosen = self.prepare_auth(request, auth or self.auth, follow_redirects)
        if isinstance(chosen, RequestClass):
            request = chosen
        hooked = self.build_hook_request(request)
        if isinstance(hooked, RequestClass):
            request = hooked
        rotator = self._rotator_of(request)
        if rotator is None:
            more: dict[str, Any] = {"stream": True} if stream else {}
            response = self._send(request, follow_redirects=follow_redirects, **more)
        else:
            response = self._send_by_rotator(request, rotator, follow_redirects, stream)
        if self._hook_list("response") or type(self).build_hook_response is not Client.build_hook_response:
            if not stream:
                response._closed = False
            try:
                hooked = self.build_hook_response(response)
            except BaseException:
                response.close()
                raise
            if hooked is not None:
                response = hooked
            if not stream:
                response.read()
                response.close()
        return response

    def _send_by_rotator(self, request: Request, rotator: Any, follow_redirects: Any, stream: bool) -> Response:
        """`_send` with feedback to the rotator, and on another of its proxies where that was asked for and can help."""
        tried: list[Any] = []
        retries = self._proxy_retries(request)
        more: dict[str, Any] = {"stream": True} if stream else {}
        while True:
            response: Response | None = None
            failure: Any
            try:
                response = self._send(request, follow_redirects=follow_redirects, **more)
                failure, history = response.error, response.history
            except HTTPError as error:
                if not self._is_transport(error):
                    raise
                failure, history = error, getattr(error.response, "history", [])
            try:
                if hasattr(rotator, "mark_result") and getattr(failure, "code", "") not in OWN_ENDS:
                    rotator.mark_result(
                        proxy=request.proxy,
                        success=response is not None and self._succeeded(response),
                        latency=self._seconds(response, failure),
                    )
            except BaseException:
                if response is not None:
                    response.close()  # nobody gets it
                raise
            tried.append(request.proxy)
            if len(tried) <= retries and self._may_try_another(failure, history):
                other = self.prepare_proxy(rotator.next(exclude=tried))
                if not any(other is proxy for proxy in tried):
                    request.proxy = other
                    self._retarget(request, tried[-1])
                    continue
            if response is None:
                raise failure
            return response

    def _perform_of(
        self,
        request: Request,
        arguments: tuple[Any, ...],
        source: Source | None,
        stream: bool,
        output: OutputFile | None,
    ) -> Callable[[], Response]:
        """What sends the finished request once."""
        if not stream and source is None and output is None:
            return lambda: self._perform_blocking(*arguments)
        from ._stream import send_blocking

        return lambda: send_blocking(self, request, arguments, source, output)

    def _send(
        self,
        request: Request,
        *,
        history: Any = None,
        start: float | None = None,
        follow_redirects: Any = None,
        stream: bool = False,
    ) -> Response:
        other = None if request._low_level is True else self._other_session("request")
        if other is not None:
            identifier = self.prepare_client_identifier(self._identifier_of(request))
            exchange = self._exchange(request, identifier, follow_redirects)
            step = next(exchange)
            while isinstance(step, dict):
                step = exchange.send(other.request(step))
            answer: Response = step
            return answer
        failure = self._failure_of(request)
        if failure is not None:
            return self._refuse(request, failure)
        identifier = self.prepare_client_identifier(self._identifier_of(request))
        if type(self).prepare_config is not Client.prepare_config:
            self.prepare_config(request, identifier)
        arguments, source = self._engine_arguments(request, identifier, follow_redirects, stream)
        policy = self._retry_of(request) if source is None or source.rewinds else None
        output = None if stream else self._output_of(request)
        perform = Client._perform_of(
            self, request, arguments, source, stream, output
        )  # TLSClient sends by any client's session
        response: Response | None = None
        try:
            if output is not None:
                output.open()
                arguments[-1].update(output.options)
            if policy is None:
                response = perform()
            else:
                from ._pauses import pause

                tries = policy.tries(request.method)
                while tries.open:
                    if tries.attempts and not pause(self, tries.delay):
                        self._give_up(request, tries)
                        break
                    tries.begin()
                    try:
                        latest = perform()
                        tries.took(latest)
                        if tries.open and latest._live is not None:
                            latest.close()
                    except HTTPError as error:
                        tries.failed(error)
                    except RuntimeError:
                        if not (tries.attempts and self.closed):
                            raise
                        self._give_up(request, tries)  # closed between the pause and the engine
                    if tries.open and output is not None:
                        output.take_back()
                response = tries.result()
        finally:
            if output is not None:
                output.settle(response)
        assert response is not None
        self._after(request, response)
        return response

    def stream(self, method: str, url: URLTypes, **kwargs: Any) -> StreamContext:
        """Send a request and read its answer in pieces: `with client.stream("GET", url) as response`.

        Arguments as for `request`. The response comes when its head is there; leaving the block gives up what was not read.
        """
        from ._stream import StreamContext

        return StreamContext(self, method, url, kwargs)

    def websocket(
        self,
        url: URLTypes,
        *,
        subprotocols: Sequence[str] = (),
        max_message_size: int = 16 * 1024 * 1024,
        max_queue: int = 64,
        ping_interval: float | None = None,
        pong_timeout: float | None = 20.0,
        close_timeout: float = 10.0,
        compression: bool = True,
        **kwargs: Any,
    ) -> WebSocketContext:
        """Open a WebSocket: `with client.websocket(url) as socket`.

        url: ws, wss, http or https. headers, cookies, params, auth, timeout (of the handshake), proxy, verify and others: as for `request`;
        `origin` or `page` says which page asks, by default one of the same origin. Redirects are not followed.
        subprotocols: offered, the preferred first. max_message_size: bytes of a received message, decompressed. max_queue: messages that
        wait to be received before nothing more is read. ping_interval: seconds between pings of ours; None: none, as browsers.
        pong_timeout: seconds for the answer to a ping. close_timeout: seconds for the closing handshake.
        compression: offer permessage-deflate as the browser does.
        Raises WebSocketHandshakeError (`response`: the answer), and what a request raises; TypeError and ValueError for arguments.
        """
        from ._websocket import WebSocketContext, _Options

        options = _Options(
            subprotocols, max_message_size, max_queue, ping_interval, pong_timeout, close_timeout, compression
        )
        return WebSocketContext(self, url, options, kwargs)

    def events(
        self,
        url: URLTypes,
        *,
        last_event_id: str = "",
        reconnect: bool = True,
        retry: float = 3.0,
        max_delay: float = 60.0,
        max_failures: int | None = None,
        idle_timeout: float | None = None,
        max_event_size: int = 1024 * 1024,
        **kwargs: Any,
    ) -> Events:
        """Receive server-sent events: `with client.events(url) as events: for event in events: ...`.

        Each event has event, data, id and retry. Arguments as for `get`; timeout is that of the answer's head.
        last_event_id: where to go on. reconnect: ask again, with the last id, when the stream ends or breaks. retry: seconds before
        that, until the server says otherwise; doubled after each failure in a row up to max_delay. max_failures: in a row, before the
        error is raised; None: no limit. idle_timeout: seconds without a byte after which the connection counts as broken; None: none.
        max_event_size: bytes of a line and of an event's data.
        Raises EventStreamError for an answer that is no event stream and for events that are too large; what the first request raises.
        """
        from ._events import Events

        return Events(
            self,
            url,
            kwargs,
            last_event_id,
            reconnect,
            retry,
            max_delay,
            max_failures,
            idle_timeout,
            max_event_size,
        )

    def download(
        self,
        url: URLTypes,
        path: str | PathLike[str],
        *,
        resume: bool = False,
        progress: Callable[[int, int | None], object] | None = None,
        fsync: bool = True,
        **kwargs: Any,
    ) -> Response:
        """Write the answer of a GET request to a file; the response, without a body.

        The bytes go to `<path>.part`, which becomes `path` once it is complete. resume: keep the part of a download that failed, and ask for the
        rest of it when called again (Range with If-Range). progress: called with the bytes written and the total, None when
        that is not known, whenever more was written. fsync: have the file on the disk before it gets its name. Further arguments as for `get`.
        Raises HTTPError for a status other than 2xx, IncompleteBody, DecodingError, and what else ends a transfer; OSError when the file cannot be
        opened, BlockingIOError when another download writes it, OutputError (an OSError, too) when it cannot be written to.
        """
        from ._download import download

        return download(self, url, path, resume, progress, fsync, kwargs)

    def get(
        self,
        url: URLTypes,
        *,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a GET request; see `request`."""
        return self._verb("GET", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs)

    def options(
        self,
        url: URLTypes,
        *,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send an OPTIONS request; see `request`."""
        return self._verb("OPTIONS", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs)

    def head(
        self,
        url: URLTypes,
        *,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a HEAD request; see `request`."""
        return self._verb("HEAD", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs)

    def delete(
        self,
        url: URLTypes,
        *,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a DELETE request; see `request`."""
        return self._verb("DELETE", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs)

    def post(
        self,
        url: URLTypes,
        *,
        data: RequestData | NotGiven | None = NOT_GIVEN,
        files: RequestFiles | NotGiven | None = NOT_GIVEN,
        json: RequestJson = NOT_GIVEN,
        content: RequestContent | NotGiven | None = NOT_GIVEN,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a POST request; see `request`."""
        return self._verb(
            "POST", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs, data, files, json, content
        )

    def put(
        self,
        url: URLTypes,
        *,
        data: RequestData | NotGiven | None = NOT_GIVEN,
        files: RequestFiles | NotGiven | None = NOT_GIVEN,
        json: RequestJson = NOT_GIVEN,
        content: RequestContent | NotGiven | None = NOT_GIVEN,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a PUT request; see `request`."""
        return self._verb(
            "PUT", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs, data, files, json, content
        )

    def patch(
        self,
        url: URLTypes,
        *,
        data: RequestData | NotGiven | None = NOT_GIVEN,
        files: RequestFiles | NotGiven | None = NOT_GIVEN,
        json: RequestJson = NOT_GIVEN,
        content: RequestContent | NotGiven | None = NOT_GIVEN,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a PATCH request; see `request`."""
        return self._verb(
            "PATCH", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs, data, files, json, content
        )


class AsyncClient(BaseClient):
    """A client whose calls are coroutines (asyncio, uvloop). It belongs to no loop: any loop, any thread may use it.
    See BaseClient for the arguments.

    >>> async def main():
    ...     async with AsyncClient() as client:
    ...         return (await client.get("https://example.com/")).status_code
    """

    async def request(
        self,
        method: str,
        url: URLTypes,
        *,
        data: RequestData | NotGiven | None = NOT_GIVEN,
        files: RequestFiles | NotGiven | None = NOT_GIVEN,
        json: RequestJson = NOT_GIVEN,
        content: RequestContent | NotGiven | None = NOT_GIVEN,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        protocol_racing: bool | None = None,
        allow_http: bool | None = None,
        stream_id: int | None = None,
        **kwargs: Any,
    ) -> Response:
        """Send a request and return the answer; a failure is a response with status 0.

        data: a form (mapping, pairs) or a raw body; files: multipart; json: a JSON body; content: a raw body (bytes, text, a file, an
        iterable of bytes; files and iterables are sent in pieces). progress: called with the body's bytes sent and their total.
        params, headers, cookies: over the client's. auth: in place of the client's. timeout: seconds.
        An argument that is left out means the client's setting. Further keywords, for this request: proxy, verify, http2,
        client_identifier, locale, platform, client_hints, raise_on_error, options of the engine, and what asks for it: mode ("navigate", "fetch", "xhr", "form",
        "image", "script", "style", "iframe", "websocket"), page, referrer (URLs), origin, credentials.
        Raises URLError, URLParamsError, HeaderError, ProxyError, TooManyRedirects, RemoteProtocolError (bad redirects), TypeError and
        ValueError for arguments that cannot be used, and with raise_on_error the exceptions of docs/errors.md.
        """
        method = method.upper() if type(method) is str and method.isascii() else method_text(method)
        if protocol_racing is allow_http is stream_id is None:
            op = self._awaitable(
                method,
                url,
                params,
                headers,
                cookies,
                auth,
                follow_redirects,
                timeout,
                data,
                files,
                json,
                content,
                kwargs,
            )
            if op is not None:
                return await op
        given = given_arguments(
            (params, headers, cookies, auth, follow_redirects, timeout, data, files, json, content), kwargs
        )
        own_auth: AuthTypes = given.pop("auth", None)
        follow: bool | None = given.pop("follow_redirects", None)
        request = await self.abuild_request(
            method, url, protocol_racing=protocol_racing, allow_http=allow_http, stream_id=stream_id, **given
        )
        return await self.send(request, auth=own_auth, follow_redirects=follow)

    async def get(
        self,
        url: URLTypes,
        *,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a GET request; see `request`."""
        return await self._averb("GET", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs)

    async def options(
        self,
        url: URLTypes,
        *,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send an OPTIONS request; see `request`."""
        return await self._averb("OPTIONS", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs)

    async def head(
        self,
        url: URLTypes,
        *,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a HEAD request; see `request`."""
        return await self._averb("HEAD", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs)

    async def delete(
        self,
        url: URLTypes,
        *,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a DELETE request; see `request`."""
        return await self._averb("DELETE", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs)

    async def post(
        self,
        url: URLTypes,
        *,
        data: RequestData | NotGiven | None = NOT_GIVEN,
        files: RequestFiles | NotGiven | None = NOT_GIVEN,
        json: RequestJson = NOT_GIVEN,
        content: RequestContent | NotGiven | None = NOT_GIVEN,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a POST request; see `request`."""
        return await self._averb(
            "POST", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs, data, files, json, content
        )

    async def put(
        self,
        url: URLTypes,
        *,
        data: RequestData | NotGiven | None = NOT_GIVEN,
        files: RequestFiles | NotGiven | None = NOT_GIVEN,
        json: RequestJson = NOT_GIVEN,
        content: RequestContent | NotGiven | None = NOT_GIVEN,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a PUT request; see `request`."""
        return await self._averb(
            "PUT", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs, data, files, json, content
        )

    async def patch(
        self,
        url: URLTypes,
        *,
        data: RequestData | NotGiven | None = NOT_GIVEN,
        files: RequestFiles | NotGiven | None = NOT_GIVEN,
        json: RequestJson = NOT_GIVEN,
        content: RequestContent | NotGiven | None = NOT_GIVEN,
        params: URLParamTypes | NotGiven = NOT_GIVEN,
        headers: HeaderTypes | NotGiven = NOT_GIVEN,
        cookies: CookieTypes | NotGiven = NOT_GIVEN,
        auth: AuthTypes | NotGiven = NOT_GIVEN,
        follow_redirects: bool | NotGiven | None = NOT_GIVEN,
        timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
        **kwargs: Any,
    ) -> Response:
        """Send a PATCH request; see `request`."""
        return await self._averb(
            "PATCH", url, params, headers, cookies, auth, follow_redirects, timeout, kwargs, data, files, json, content
        )

    async def send(
        self, request: Request, *, stream: bool = False, auth: AuthTypes = None, follow_redirects: bool | None = None
    ) -> Response:
        """Send a request made by `build_request` or by hand: authentication, hooks, transfer, response hooks.

        stream: return the response as soon as its head is there, unread: read it (`aiter_bytes`, `aread`, ...), then `aclose` it.
        """
        from .models.request import Request as RequestClass

        self._check_open()
        chosen = self.prepare_auth(request, auth or self.auth, follow_redirects)
        if hasattr(chosen, "__await__"):
            chosen = await chosen
        if isinstance(chosen, RequestClass):
            request = chosen
        hooked = self.build_hook_request(request)
        if hasattr(hooked, "__await__"):
            hooked = await hooked
        if isinstance(hooked, RequestClass):
            request = hooked
        rotator = self._rotator_of(request)
        if rotator is None:
            more: dict[str, Any] = {"stream": True} if stream else {}
            response = await self._send(request, follow_redirects=follow_redirects, **more)
        else:
            response = await self._send_by_rotator(request, rotator, follow_redirects, stream)
        if self._hook_list("response") or type(self).build_hook_response is not AsyncClient.build_hook_response:
            if not stream:
                response._closed = False
            try:
                hooked = self.build_hook_response(response)
                if hasattr(hooked, "__await__"):
                    hooked = await hooked
            except BaseException:
                response.close()
                raise
            if hooked is not None:
                response = hooked
            if not stream:
                response.read()
                response.close()
        return response

    async def _send_by_rotator(self, request: Request, rotator: Any, follow_redirects: Any, stream: bool) -> Response:
        """`_send` with feedback to the rotator, and on another of its proxies where that was asked for and can help."""
        tried: list[Any] = []
        retries = self._proxy_retries(request)
        more: dict[str, Any] = {"stream": True} if stream else {}
        while True:
            response: Response | None = None
            failure: Any
            try:
                response = await self._send(request, follow_redirects=follow_redirects, **more)
                failure, history = response.error, response.history
            except HTTPError as error:
                if not self._is_transport(error):
                    raise
                failure, history = error, getattr(error.response, "history", [])
            try:
                if hasattr(rotator, "amark_result") and getattr(failure, "code", "") not in OWN_ENDS:
                    await rotator.amark_result(
                        proxy=request.proxy,
                        success=response is not None and self._succeeded(response),
                        latency=self._seconds(response, failure),
                    )
            except BaseException:
                if response is not None:
                    response.close()  # nobody gets it
                raise
            tried.append(request.proxy)
            if len(tried) <= retries and self._may_try_another(failure, history):
                other = self.prepare_proxy(await rotator.anext(exclude=tried))
                if not any(other is proxy for proxy in tried):
                    request.proxy = other
                    self._retarget(request, tried[-1])
                    continue
            if response is None:
                raise failure
            return response

    def _perform_of(
        self,
        request: Request,
        arguments: tuple[Any, ...],
        source: Source | None,
        stream: bool,
        output: OutputFile | None,
    ) -> Callable[[], Awaitable[Response]]:
        """What sends the finished request once."""
        if not stream and source is None and output is None:
            return lambda: self._perform_awaitable(*arguments)
        from ._stream import send_async

        return lambda: send_async(self, request, arguments, source, output)

    async def _send(
        self,
        request: Request,
        *,
        history: Any = None,
        start: float | None = None,
        follow_redirects: Any = None,
        stream: bool = False,
    ) -> Response:
        other = None if request._low_level is True else self._other_session("arequest")
        if other is not None:
            identifier = await self.aprepare_client_identifier(self._identifier_of(request))
            exchange = self._exchange(request, identifier, follow_redirects)
            step = next(exchange)
            while isinstance(step, dict):
                step = exchange.send(await other.arequest(step))
            answer: Response = step
            return answer
        failure = self._failure_of(request)
        if failure is not None:
            return self._refuse(request, failure)
        identifier = self._identifier_of(request)
        if request._low_level is not True:
            # TLSClient's requests have a name, and may come by a blocking client's session.
            identifier = await self.aprepare_client_identifier(identifier)
        if type(self).prepare_config is not AsyncClient.prepare_config:
            self.prepare_config(request, identifier)
        arguments, source = self._engine_arguments(request, identifier, follow_redirects, stream)
        policy = self._retry_of(request) if source is None or source.rewinds else None
        output = None if stream else self._output_of(request)
        perform = AsyncClient._perform_of(self, request, arguments, source, stream, output)
        response: Response | None = None
        try:
            if output is not None:
                await output.aopen()
                arguments[-1].update(output.options)
            if policy is None:
                response = await perform()
            else:
                from ._pauses import apause

                tries = policy.tries(request.method)
                while tries.open:
                    if tries.attempts and not await apause(self, tries.delay):
                        self._give_up(request, tries)
                        break
                    tries.begin()
                    try:
                        latest = await perform()
                        tries.took(latest)
                        if tries.open and latest._live is not None:
                            await latest.aclose()
                    except HTTPError as error:
                        tries.failed(error)
                    except RuntimeError:
                        if not (tries.attempts and self.closed):
                            raise
                        self._give_up(request, tries)  # closed between the pause and the engine
                    if tries.open and output is not None:
                        await output.arun("take_back")
                response = tries.result()
        except GeneratorExit:  # nobody runs this any more, and nothing can be awaited
            if output is not None:
                output.close()
                output = None
            raise
        finally:
            if output is not None:
                await output.arun("settle", response)
        assert response is not None
        self._after(request, response)
        return response

    def stream(self, method: str, url: URLTypes, **kwargs: Any) -> AsyncStreamContext:
        """Send a request and read its answer in pieces: `async with client.stream("GET", url) as response`.

        Arguments as for `request`. The response comes when its head is there; leaving the block gives up what was not read.
        """
        from ._stream import AsyncStreamContext

        return AsyncStreamContext(self, method, url, kwargs)

    def websocket(
        self,
        url: URLTypes,
        *,
        subprotocols: Sequence[str] = (),
        max_message_size: int = 16 * 1024 * 1024,
        max_queue: int = 64,
        ping_interval: float | None = None,
        pong_timeout: float | None = 20.0,
        close_timeout: float = 10.0,
        compression: bool = True,
        **kwargs: Any,
    ) -> AsyncWebSocketContext:
        """Open a WebSocket: `async with client.websocket(url) as socket`.

        url: ws, wss, http or https. headers, cookies, params, auth, timeout (of the handshake), proxy, verify and others: as for `request`;
        `origin` or `page` says which page asks, by default one of the same origin. Redirects are not followed.
        subprotocols: offered, the preferred first. max_message_size: bytes of a received message, decompressed. max_queue: messages that
        wait to be received before nothing more is read. ping_interval: seconds between pings of ours; None: none, as browsers.
        pong_timeout: seconds for the answer to a ping. close_timeout: seconds for the closing handshake.
        compression: offer permessage-deflate as the browser does.
        Raises WebSocketHandshakeError (`response`: the answer), and what a request raises; TypeError and ValueError for arguments.
        """
        from ._websocket import AsyncWebSocketContext, _Options

        options = _Options(
            subprotocols, max_message_size, max_queue, ping_interval, pong_timeout, close_timeout, compression
        )
        return AsyncWebSocketContext(self, url, options, kwargs)

    def events(
        self,
        url: URLTypes,
        *,
        last_event_id: str = "",
        reconnect: bool = True,
        retry: float = 3.0,
        max_delay: float = 60.0,
        max_failures: int | None = None,
        idle_timeout: float | None = None,
        max_event_size: int = 1024 * 1024,
        **kwargs: Any,
    ) -> AsyncEvents:
        """Receive server-sent events: `async with client.events(url) as events: async for event in events: ...`.

        Each event has event, data, id and retry. Arguments as for `get`; timeout is that of the answer's head.
        last_event_id: where to go on. reconnect: ask again, with the last id, when the stream ends or breaks. retry: seconds before
        that, until the server says otherwise; doubled after each failure in a row up to max_delay. max_failures: in a row, before the
        error is raised; None: no limit. idle_timeout: seconds without a byte after which the connection counts as broken; None: none.
        max_event_size: bytes of a line and of an event's data.
        Raises EventStreamError for an answer that is no event stream and for events that are too large; what the first request raises.
        """
        from ._events import AsyncEvents

        return AsyncEvents(
            self,
            url,
            kwargs,
            last_event_id,
            reconnect,
            retry,
            max_delay,
            max_failures,
            idle_timeout,
            max_event_size,
        )

    async def download(
        self,
        url: URLTypes,
        path: str | PathLike[str],
        *,
        resume: bool = False,
        progress: Callable[[int, int | None], object] | None = None,
        fsync: bool = True,
        **kwargs: Any,
    ) -> Response:
        """Write the answer of a GET request to a file; the response, without a body. See Client.download."""
        from ._download import adownload

        return await adownload(self, url, path, resume, progress, fsync, kwargs)

    # ------------------------------------------------------------------------------------------ asynchronous twins

    async def aprepare_headers(self, headers: HeaderTypes = None, user_agent: str | None = None) -> Headers:
        """`prepare_headers` by the rotators' asynchronous side."""
        if is_rotator(headers):
            return self._merge_headers(await headers.anext(user_agent=user_agent), None)
        rotator = self._header_rotator
        base = self._headers if rotator is None else await rotator.anext(user_agent=user_agent)
        return self._merge_headers(base, headers)

    async def aprepare_proxy(self, proxy: ProxyTypes) -> Proxy | None:
        """`prepare_proxy` by the rotators' asynchronous side."""
        return self.prepare_proxy(await proxy.anext() if is_rotator(proxy) else proxy)

    async def aprepare_client_identifier(self, identifier: IdentifierArgTypes) -> str | BrowserProfile:
        """`prepare_client_identifier` by the rotators' asynchronous side."""
        return self.prepare_client_identifier(await identifier.anext() if is_rotator(identifier) else identifier)

    async def abuild_request(
        self,
        method: str,
        url: URLTypes,
        *,
        data: RequestData | None = None,
        files: RequestFiles | None = None,
        json: RequestJson = None,
        params: URLParamTypes = None,
        headers: HeaderTypes = None,
        cookies: CookieTypes = None,
        timeout: TimeoutTypes = None,
        protocol_racing: bool | None = None,
        allow_http: bool | None = None,
        stream_id: int | None = None,
        **kwargs: Any,
    ) -> Request:
        """`build_request` by the rotators' asynchronous side."""
        proxy = kwargs.pop("proxy", None)
        request = self._new_request(
            method,
            url,
            data=data,
            files=files,
            json=json,
            params=self.prepare_params(params),
            headers=await self.aprepare_headers(headers),
            given_headers=headers,
            cookies=self.prepare_cookies(cookies),
            timeout=self._timeout(timeout),
            protocol_racing=self.protocol_racing if protocol_racing is None else protocol_racing,
            allow_http=self.allow_http if allow_http is None else allow_http,
            stream_id=self.stream_id if stream_id is None else stream_id,
            **kwargs,
        )
        await self._achoose_proxy(request, proxy, request._extra_config)
        return request

    async def _achoose_proxy(self, request: Request, proxy: Any, options: dict[str, Any]) -> None:
        from .models.proxies import ProxyMap

        source = self._proxy_source(proxy, options)
        if isinstance(source, ProxyMap):
            chosen: Any = {
                id(entry): await self.aprepare_proxy(await self._anext_of(entry, options))
                for entry in (source.http, source.https)
            }
        else:
            chosen = await self.aprepare_proxy(await self._anext_of(source, options))
        self._finish_proxy(request, source, chosen)

    async def _anext_of(self, source: Any, options: dict[str, Any]) -> Any:
        key = self._option(options, "proxykey")
        return await source.anext(key=key) if key is not None and is_rotator(source) else source

    def build_hook_request(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """Run the request hooks; hooks that return awaitables make this one return an awaitable."""
        return self._run_hooks("request", request)

    def build_hook_response(self, response: Response, *args: Any, **kwargs: Any) -> Any:
        """Run the response hooks; hooks that return awaitables make this one return an awaitable."""
        return self._run_hooks("response", response)

    def _run_hooks(self, event: str, value: Any) -> Any:
        hooks = self._hook_list(event)
        result = None
        for index, hook in enumerate(hooks):
            returned = hook(value if result is None else result)
            if hasattr(returned, "__await__"):
                return self._await_hooks(event, value, result, returned, hooks[index + 1 :])
            if isinstance(returned, hook_result(event)):
                result = returned
        return result

    async def _await_hooks(self, event: str, value: Any, result: Any, returned: Any, hooks: list[Any]) -> Any:
        kind = hook_result(event)
        returned = await returned
        if isinstance(returned, kind):
            result = returned
        for hook in hooks:
            returned = hook(value if result is None else result)
            if hasattr(returned, "__await__"):
                returned = await returned
            if isinstance(returned, kind):
                result = returned
        return result

    # -------------------------------------------------------------------------------------------------- life cycle

    async def __aenter__(self: Self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the client's connections; requests under way fail. Any number of times."""
        self.close()
