"""Requests without a client: each call opens one, sends, and closes it."""

from __future__ import annotations

from ._core import NOT_GIVEN
from .client import Client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._core import NotGiven
    from .models.response import Response
    from .types import (
        AuthTypes,
        CookieTypes,
        HeaderTypes,
        IdentifierArgTypes,
        ProtocolTypes,
        ProxyTypes,
        RequestData,
        RequestFiles,
        RequestJson,
        TimeoutTypes,
        URLParamTypes,
        URLTypes,
        VerifyTypes,
    )

__all__ = ["delete", "get", "head", "options", "patch", "post", "put", "request"]


def request(
    method: str,
    url: URLTypes,
    *,
    params: URLParamTypes = None,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: RequestJson = None,
    headers: HeaderTypes | NotGiven = NOT_GIVEN,
    cookies: CookieTypes = None,
    auth: AuthTypes = None,
    proxy: ProxyTypes = None,
    http2: ProtocolTypes | NotGiven = NOT_GIVEN,
    timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
    follow_redirects: bool = True,
    verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
    client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
    debug: bool | NotGiven | None = NOT_GIVEN,
    protocol_racing: bool | NotGiven | None = NOT_GIVEN,
    allow_http: bool | NotGiven | None = NOT_GIVEN,
    stream_id: int | None = None,
    **config: Any,
) -> Response:
    """Send one request with a client of its own and return the answer, read and closed.

    Arguments are those of Client and of Client.request; further keywords go to the client.

    >>> request("GET", "https://example.com/").status_code  # doctest: +SKIP
    200
    """
    content = config.pop("content", NOT_GIVEN)
    send: dict[str, Any] = {} if content is NOT_GIVEN else {"content": content}
    if headers is None:
        # headers=None: nothing of the browser's, as with a client.
        client_headers: dict[str, Any] = {"headers": None}
    else:
        client_headers = {}
        if headers is not NOT_GIVEN:
            send["headers"] = headers
    with Client(
        cookies=cookies,
        proxy=proxy,
        http2=http2,
        timeout=timeout,
        verify=verify,
        client_identifier=client_identifier,
        debug=debug,
        protocol_racing=protocol_racing,
        allow_http=allow_http,
        stream_id=stream_id,
        **client_headers,
        **config,
    ) as client:
        return client.request(
            method,
            url,
            data=data,
            files=files,
            json=json,
            params=params,
            auth=auth,
            follow_redirects=follow_redirects,
            **send,
        )


def _request(method: str, given: dict[str, Any]) -> Response:
    """`request` with the arguments of one of the functions below, as `locals()` has them."""
    url, config = given.pop("url"), given.pop("config")
    return request(method, url, **given, **config)


def get(
    url: URLTypes,
    *,
    params: URLParamTypes = None,
    headers: HeaderTypes | NotGiven = NOT_GIVEN,
    cookies: CookieTypes = None,
    auth: AuthTypes = None,
    proxy: ProxyTypes = None,
    http2: ProtocolTypes | NotGiven = NOT_GIVEN,
    timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
    follow_redirects: bool = True,
    verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
    client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
    debug: bool | NotGiven | None = NOT_GIVEN,
    protocol_racing: bool | NotGiven | None = NOT_GIVEN,
    allow_http: bool | NotGiven | None = NOT_GIVEN,
    stream_id: int | None = None,
    **config: Any,
) -> Response:
    """Send one GET request; see `request`."""
    return _request("GET", locals())


def options(
    url: URLTypes,
    *,
    params: URLParamTypes = None,
    headers: HeaderTypes | NotGiven = NOT_GIVEN,
    cookies: CookieTypes = None,
    auth: AuthTypes = None,
    proxy: ProxyTypes = None,
    http2: ProtocolTypes | NotGiven = NOT_GIVEN,
    timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
    follow_redirects: bool = True,
    verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
    client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
    debug: bool | NotGiven | None = NOT_GIVEN,
    protocol_racing: bool | NotGiven | None = NOT_GIVEN,
    allow_http: bool | NotGiven | None = NOT_GIVEN,
    stream_id: int | None = None,
    **config: Any,
) -> Response:
    """Send one OPTIONS request; see `request`."""
    return _request("OPTIONS", locals())


def head(
    url: URLTypes,
    *,
    params: URLParamTypes = None,
    headers: HeaderTypes | NotGiven = NOT_GIVEN,
    cookies: CookieTypes = None,
    auth: AuthTypes = None,
    proxy: ProxyTypes = None,
    http2: ProtocolTypes | NotGiven = NOT_GIVEN,
    timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
    follow_redirects: bool = True,
    verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
    client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
    debug: bool | NotGiven | None = NOT_GIVEN,
    protocol_racing: bool | NotGiven | None = NOT_GIVEN,
    allow_http: bool | NotGiven | None = NOT_GIVEN,
    stream_id: int | None = None,
    **config: Any,
) -> Response:
    """Send one HEAD request; see `request`."""
    return _request("HEAD", locals())


def delete(
    url: URLTypes,
    *,
    params: URLParamTypes = None,
    headers: HeaderTypes | NotGiven = NOT_GIVEN,
    cookies: CookieTypes = None,
    auth: AuthTypes = None,
    proxy: ProxyTypes = None,
    http2: ProtocolTypes | NotGiven = NOT_GIVEN,
    timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
    follow_redirects: bool = True,
    verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
    client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
    debug: bool | NotGiven | None = NOT_GIVEN,
    protocol_racing: bool | NotGiven | None = NOT_GIVEN,
    allow_http: bool | NotGiven | None = NOT_GIVEN,
    stream_id: int | None = None,
    **config: Any,
) -> Response:
    """Send one DELETE request; see `request`."""
    return _request("DELETE", locals())


def post(
    url: URLTypes,
    *,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: RequestJson = None,
    params: URLParamTypes = None,
    headers: HeaderTypes | NotGiven = NOT_GIVEN,
    cookies: CookieTypes = None,
    auth: AuthTypes = None,
    proxy: ProxyTypes = None,
    http2: ProtocolTypes | NotGiven = NOT_GIVEN,
    timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
    follow_redirects: bool = True,
    verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
    client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
    debug: bool | NotGiven | None = NOT_GIVEN,
    protocol_racing: bool | NotGiven | None = NOT_GIVEN,
    allow_http: bool | NotGiven | None = NOT_GIVEN,
    stream_id: int | None = None,
    **config: Any,
) -> Response:
    """Send one POST request; see `request`."""
    return _request("POST", locals())


def put(
    url: URLTypes,
    *,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: RequestJson = None,
    params: URLParamTypes = None,
    headers: HeaderTypes | NotGiven = NOT_GIVEN,
    cookies: CookieTypes = None,
    auth: AuthTypes = None,
    proxy: ProxyTypes = None,
    http2: ProtocolTypes | NotGiven = NOT_GIVEN,
    timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
    follow_redirects: bool = True,
    verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
    client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
    debug: bool | NotGiven | None = NOT_GIVEN,
    protocol_racing: bool | NotGiven | None = NOT_GIVEN,
    allow_http: bool | NotGiven | None = NOT_GIVEN,
    stream_id: int | None = None,
    **config: Any,
) -> Response:
    """Send one PUT request; see `request`."""
    return _request("PUT", locals())


def patch(
    url: URLTypes,
    *,
    data: RequestData | None = None,
    files: RequestFiles | None = None,
    json: RequestJson = None,
    params: URLParamTypes = None,
    headers: HeaderTypes | NotGiven = NOT_GIVEN,
    cookies: CookieTypes = None,
    auth: AuthTypes = None,
    proxy: ProxyTypes = None,
    http2: ProtocolTypes | NotGiven = NOT_GIVEN,
    timeout: TimeoutTypes | NotGiven = NOT_GIVEN,
    follow_redirects: bool = True,
    verify: VerifyTypes | NotGiven | None = NOT_GIVEN,
    client_identifier: IdentifierArgTypes | NotGiven = NOT_GIVEN,
    debug: bool | NotGiven | None = NOT_GIVEN,
    protocol_racing: bool | NotGiven | None = NOT_GIVEN,
    allow_http: bool | NotGiven | None = NOT_GIVEN,
    stream_id: int | None = None,
    **config: Any,
) -> Response:
    """Send one PATCH request; see `request`."""
    return _request("PATCH", locals())
