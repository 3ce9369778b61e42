"""What the tests of hostile servers share: clients of both kinds, fakes that end with the test, and the check of a failure."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Any

import pytest

import tls_requests
from peers.certs import Pair
from peers.fake import Fake, tls_context
from tls_requests.exceptions import HTTPError

SECONDS = 8.0  # total time of a request unless a test says otherwise: none of them should come near it
MARGIN = 2.0  # how late an expected end may come on a busy machine


class Session:
    """A client, blocking or asynchronous, behind one face."""

    def __init__(self, kind: str, options: dict[str, Any]) -> None:
        self.kind = kind
        self.loop: asyncio.AbstractEventLoop | None = None
        self.client: Any
        if kind == "sync":
            self.client = tls_requests.Client(**options)
        else:
            self.client = tls_requests.AsyncClient(**options)
            self.loop = asyncio.new_event_loop()

    def request(self, method: str, url: Any, **arguments: Any) -> tls_requests.Response:
        if self.loop is None:
            response: tls_requests.Response = self.client.request(method, url, **arguments)
            return response
        return self.loop.run_until_complete(self.client.request(method, url, **arguments))

    def get(self, url: Any, **arguments: Any) -> tls_requests.Response:
        return self.request("GET", url, **arguments)

    def gather(self, *urls: str, **arguments: Any) -> list[tls_requests.Response]:
        """GET all of them at once (by threads where calls block)."""
        if self.loop is None:
            from concurrent.futures import ThreadPoolExecutor

            with ThreadPoolExecutor(len(urls)) as pool:
                return list(pool.map(lambda url: self.client.get(url, **arguments), urls))

        async def all_of_them() -> list[tls_requests.Response]:
            return list(await asyncio.gather(*(self.client.get(url, **arguments) for url in urls)))

        return self.loop.run_until_complete(all_of_them())

    def close(self) -> None:
        if self.loop is None:
            self.client.close()
            return
        if not self.loop.is_closed():
            self.loop.run_until_complete(self.client.aclose())
            self.loop.close()


class Lab:
    """Opens servers and clients, closes them with the test (clients first), and knows what a good failure is."""

    def __init__(self, kind: str, pair: Pair, ca_file: str) -> None:
        self.kind = kind
        self.pair = pair
        self.ca_file = ca_file
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        self._stack.close()

    def serve(self, behave: Callable[..., None], tls: ssl.SSLContext | Pair | None = None, **options: Any) -> Fake:
        """A fake on plain TCP, or over TLS with this certificate (http/1.1) or context."""
        context = tls_context(tls) if isinstance(tls, Pair) else tls
        fake = Fake(behave, context, **options)
        self._stack.callback(fake.close)
        return fake

    def serve_h2(self, behave: Callable[..., None], alpn: tuple[str, ...] = ("h2",)) -> Fake:
        """A fake over TLS that speaks HTTP/2."""
        return self.serve(behave, tls_context(self.pair, alpn), h2=True)

    def open(self, **options: Any) -> Session:
        session = Session(self.kind, {"timeout": SECONDS, "verify": self.ca_file, **options})
        self._stack.callback(session.close)
        return session

    def get(self, url: Any, **options: Any) -> tls_requests.Response:
        """GET by a client of its own with these options."""
        return self.open(**options).get(url)

    def good(self, url: Any, **options: Any) -> tls_requests.Response:
        response = self.get(url, **options)
        assert response.status_code == 200, response.text
        assert response.error is None
        return response

    def failed(
        self,
        url: Any,
        expected: type[Exception],
        *texts: str,
        code: str | tuple[str, ...] = "",
        method: str = "GET",
        within: float = MARGIN,
        raises: bool = True,
        arguments: dict[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """The request must end as a status-0 response with an error of that class (and code) whose text has `texts`,
        and once more as that exception with raise_on_error. Each time within so many seconds. Returns the error."""
        codes = (code,) if isinstance(code, str) else code
        session = self.open(**options)
        start = time.monotonic()
        response = session.request(method, url, **(arguments or {}))
        took = time.monotonic() - start
        assert response.status_code == 0, (response.status_code, response.content[:200])
        error = response.error
        assert type(error) is expected, f"{error!r} is no {expected.__name__}"
        assert isinstance(error, HTTPError)
        assert not code or error.code in codes, error.code
        assert took < within, f"it took {took:.2f} s"
        assert not response.ok
        assert response.text == str(error)
        self.check_text(response.text, method, texts)
        with pytest.raises(HTTPError, match="TLS Client Error"):
            response.raise_for_status()
        session.close()
        if raises:
            session = self.open(raise_on_error=True, **options)
            start = time.monotonic()
            with pytest.raises(expected) as info:
                session.request(method, url, **(arguments or {}))
            took = time.monotonic() - start
            assert type(info.value) is expected
            assert not code or info.value.code in codes
            assert took < within, f"it took {took:.2f} s"
            self.check_text(str(info.value), method, texts)
            session.close()
        return error

    @staticmethod
    def check_text(text: str, method: str, texts: tuple[str, ...]) -> None:
        """The shape that callers know, then words that help."""
        assert text.startswith(f'failed to do request: {method.title()} "'), text
        reason = text.split('": ', 1)[1]
        assert len(reason) > 8, text
        for wanted in texts:
            assert wanted.lower() in text.lower(), text
