"""Fixtures of the tests of bodies in pieces: `api`, a client of each kind behind one interface."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests
from peers.fake import Fake

TEST_SECONDS = 60
STEP_SECONDS = 25


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).resolve().parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


class Stream:
    """An open response."""

    def __init__(self, api: Api, context: Any) -> None:
        self.api = api
        self.context = context
        if api.is_async:
            self.response = api.run(context.__aenter__())
        else:
            self.response = context.__enter__()
        self.iterator: Any = None

    def all(self, kind: str = "bytes", *args: Any) -> list[Any]:
        """Everything that iter_<kind> gives."""
        if not self.api.is_async:
            return list(getattr(self.response, f"iter_{kind}")(*args))

        async def collect() -> list[Any]:
            return [piece async for piece in getattr(self.response, f"aiter_{kind}")(*args)]

        return self.api.run(collect())

    def next(self, *args: Any) -> bytes:
        """The next piece of one iterator."""
        if self.iterator is None:
            name = "aiter_bytes" if self.api.is_async else "iter_bytes"
            self.iterator = getattr(self.response, name)(*args)
        return self.api.run(self.iterator.__anext__()) if self.api.is_async else next(self.iterator)

    def read(self) -> bytes:
        return self.api.run(self.response.aread()) if self.api.is_async else self.response.read()

    def close(self) -> None:
        if self.api.is_async:
            self.api.run(self.context.__aexit__(None, None, None))
        else:
            self.context.__exit__(None, None, None)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Api:
    """A client; its calls are waited for here."""

    def __init__(self, kind: str, ca_file: str) -> None:
        self.is_async = kind == "async"
        self.ca_file = ca_file
        self.loop = asyncio.new_event_loop() if self.is_async else None
        self.clients: list[Any] = []
        self.fakes: list[Fake] = []
        self.client = self.open()

    def open(self, **options: Any) -> Any:
        cls = tls_requests.AsyncClient if self.is_async else tls_requests.Client
        client = cls(**{"verify": self.ca_file, "raise_on_error": True, "timeout": 20, **options})
        self.clients.append(client)
        return client

    def run(self, awaitable: Any) -> Any:
        if self.loop is None:
            return awaitable

        async def bounded() -> Any:
            return await asyncio.wait_for(awaitable, STEP_SECONDS)

        return self.loop.run_until_complete(bounded())

    def call(self, name: str, *args: Any, client: Any = None, **arguments: Any) -> Any:
        return self.run(getattr(client or self.client, name)(*args, **arguments))

    def stream(self, method: str, url: str, client: Any = None, **arguments: Any) -> Stream:
        return Stream(self, (client or self.client).stream(method, url, **arguments))

    def fake(self, behave: Any, **options: Any) -> Fake:
        fake = Fake(behave, **options)
        self.fakes.append(fake)
        return fake

    def close(self) -> None:
        for client in self.clients:
            self.run(client.aclose()) if self.is_async else client.close()
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
        for fake in self.fakes:
            fake.close()


@pytest.fixture(params=["sync", "async"])
def api(request: pytest.FixtureRequest, ca_file: str) -> Iterator[Api]:
    api = Api(request.param, ca_file)
    yield api
    api.close()


@pytest.fixture(params=["h1", "h2"])
def version(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments that choose the version of HTTP."""
    return {"http2": "auto" if request.param == "h2" else False}
