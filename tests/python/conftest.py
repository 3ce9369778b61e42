"""Fixtures of the Python layer's tests."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from echo_site import Site, running_site


@pytest.fixture(scope="session")
def site_server() -> Iterator[Site]:
    with running_site() as site:
        yield site


@pytest.fixture
def site(site_server: Site) -> Site:
    site_server.seen.clear()
    return site_server


class Twin:
    """Runs one test against both clients: calls are made, and awaited where needed, on one loop."""

    def __init__(self, kind: str) -> None:
        import tls_requests

        self.kind = kind
        self.loop = asyncio.new_event_loop() if kind == "async" else None
        self.cls = tls_requests.AsyncClient if kind == "async" else tls_requests.Client

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call; on the loop when it is an asynchronous client's."""
        if self.loop is None:
            return function(*args, **kwargs)

        async def call() -> Any:
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return self.loop.run_until_complete(asyncio.wait_for(call(), 30))

    def client(self, **kwargs: Any) -> Any:
        return TwinClient(self, self.cls(**kwargs))

    def close(self) -> None:
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


class TwinClient:
    """A client whose methods may be called as if it blocked."""

    def __init__(self, twin: Twin, client: Any) -> None:
        object.__setattr__(self, "twin", twin)
        object.__setattr__(self, "client", client)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.client, name)
        if name in {"get", "post", "put", "patch", "delete", "options", "head", "request", "send", "aclose"}:
            return lambda *args, **kwargs: self.twin.run(value, *args, **kwargs)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.client, name, value)

    def __enter__(self) -> TwinClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


@pytest.fixture(params=["sync", "async"])
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    twin = Twin(request.param)
    yield twin
    twin.close()
