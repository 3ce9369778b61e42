"""One adapter a client: how to make a blocking or an async client that trusts our authority, and how to fetch.

A blocking adapter is `make(ca, http1) -> (get, close)`; `get(url)` returns the body's length. An async adapter is an async
function that returns the same with coroutine functions. What a peer cannot do (no HTTP/2, no async) is left out of its table.
Clients that cannot be given an authority file run with verification off, which only helps them.
"""

from __future__ import annotations

import importlib
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Get = Callable[[str], int]
AsyncGet = Callable[[str], Awaitable[int]]


def _context(ca: str, http1: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    if http1:
        context.set_alpn_protocols(["http/1.1"])
    return context


# ------------------------------------------------------------------------------------------------------------ ours


def ours(ca: str, http1: bool) -> tuple[Get, Callable[[], Any]]:
    import tls_requests

    client = tls_requests.Client(verify=ca, http2=not http1)

    def get(url: str) -> int:
        response = client.get(url)
        response.raise_for_status()
        return len(response.content)

    return get, client.close


async def ours_async(ca: str, http1: bool) -> tuple[AsyncGet, Callable[[], Any]]:
    import tls_requests

    client = tls_requests.AsyncClient(verify=ca, http2=not http1)

    async def get(url: str) -> int:
        response = await client.get(url)
        response.raise_for_status()
        return len(response.content)

    return get, client.aclose


# ------------------------------------------------------------------------------------------------------------ peers


def wreq(ca: str, http1: bool) -> tuple[Get, Callable[[], Any]]:
    from wreq.blocking import Client

    client = Client(tls_verify=Path(ca), http1_only=http1)

    def get(url: str) -> int:
        return len(client.get(url).bytes())

    return get, lambda: None


async def wreq_async(ca: str, http1: bool) -> tuple[AsyncGet, Callable[[], Any]]:
    from wreq import Client

    client = Client(tls_verify=Path(ca), http1_only=http1)

    async def get(url: str) -> int:
        response = await client.get(url)
        return len(await response.bytes())

    return get, lambda: None


def primp(ca: str, http1: bool) -> tuple[Get, Callable[[], Any]]:
    import primp as module

    client = module.Client(ca_cert_file=ca)

    def get(url: str) -> int:
        return len(client.get(url).content)

    return get, lambda: None


async def primp_async(ca: str, http1: bool) -> tuple[AsyncGet, Callable[[], Any]]:
    import primp as module

    client = module.AsyncClient(ca_cert_file=ca)

    async def get(url: str) -> int:
        return len((await client.get(url)).content)

    return get, lambda: None


def curl_cffi(ca: str, http1: bool) -> tuple[Get, Callable[[], Any]]:
    from curl_cffi import CurlHttpVersion, requests

    version = CurlHttpVersion.V1_1 if http1 else CurlHttpVersion.V2TLS
    session = requests.Session(verify=ca, http_version=version)

    def get(url: str) -> int:
        return len(session.get(url).content)

    return get, session.close


async def curl_cffi_async(ca: str, http1: bool) -> tuple[AsyncGet, Callable[[], Any]]:
    from curl_cffi import CurlHttpVersion, requests

    version = CurlHttpVersion.V1_1 if http1 else CurlHttpVersion.V2TLS
    session: Any = requests.AsyncSession(verify=ca, http_version=version, max_clients=64)

    async def get(url: str) -> int:
        return len((await session.get(url)).content)

    return get, session.close


def pyreqwest(ca: str, http1: bool) -> tuple[Get, Callable[[], Any]]:
    from pyreqwest.client import SyncClientBuilder

    builder = SyncClientBuilder().danger_accept_invalid_certs(True)
    client = (builder.http1_only() if http1 else builder.http2(True)).build()

    def get(url: str) -> int:
        return len(client.get(url).build().send().bytes())

    return get, client.close


async def pyreqwest_async(ca: str, http1: bool) -> tuple[AsyncGet, Callable[[], Any]]:
    from pyreqwest.client import ClientBuilder

    builder = ClientBuilder().danger_accept_invalid_certs(True)
    client = (builder.http1_only() if http1 else builder.http2(True)).build()

    async def get(url: str) -> int:
        response = await client.get(url).build().send()
        return len(await response.bytes())

    return get, client.close


async def aiohttp_async(ca: str, http1: bool) -> tuple[AsyncGet, Callable[[], Any]]:
    import aiohttp

    connector = aiohttp.TCPConnector(ssl=_context(ca, True), limit=64, limit_per_host=64)
    session = aiohttp.ClientSession(connector=connector)

    async def get(url: str) -> int:
        async with session.get(url) as response:
            return len(await response.read())

    return get, session.close


def httpx(ca: str, http1: bool) -> tuple[Get, Callable[[], Any]]:
    import httpx as module

    client = module.Client(verify=_context(ca, http1), http2=not http1)

    def get(url: str) -> int:
        return len(client.get(url).content)

    return get, client.close


async def httpx_async(ca: str, http1: bool) -> tuple[AsyncGet, Callable[[], Any]]:
    import httpx as module

    client = module.AsyncClient(verify=_context(ca, http1), http2=not http1)

    async def get(url: str) -> int:
        return len((await client.get(url)).content)

    return get, client.aclose


def pycurl(ca: str, http1: bool) -> tuple[Get, Callable[[], Any]]:
    import io

    import pycurl as module

    handle = module.Curl()
    handle.setopt(module.CAINFO, ca)
    handle.setopt(module.HTTP_VERSION, module.CURL_HTTP_VERSION_1_1 if http1 else module.CURL_HTTP_VERSION_2TLS)

    def get(url: str) -> int:
        body = io.BytesIO()
        handle.setopt(module.URL, url)
        handle.setopt(module.WRITEFUNCTION, body.write)
        handle.perform()
        return len(body.getvalue())

    return get, handle.close


def httpmorph(ca: str, http1: bool) -> tuple[Get, Callable[[], Any]]:
    import httpmorph as module

    client = module.Client(http2=not http1)

    def get(url: str) -> int:
        return len(client.get(url, verify=False).body)

    return get, lambda: None


SYNC: dict[str, Callable[..., Any]] = {
    "ours": ours,
    "wreq": wreq,
    "curl_cffi": curl_cffi,
    "primp": primp,
    "pyreqwest": pyreqwest,
    "httpx": httpx,
    "pycurl": pycurl,
    "httpmorph": httpmorph,
}
ASYNC: dict[str, Callable[..., Any]] = {
    "ours": ours_async,
    "wreq": wreq_async,
    "curl_cffi": curl_cffi_async,
    "primp": primp_async,
    "pyreqwest": pyreqwest_async,
    "aiohttp": aiohttp_async,
    "httpx": httpx_async,
}
NO_HTTP2 = {"aiohttp"}
# Without an option for it these take what ALPN gives; they run HTTP/1.1 against the port that offers nothing else.
MODULES = {"ours": "tls_requests", "curl_cffi": "curl_cffi"}


def installed(name: str) -> bool:
    """Whether the client's package can be imported here."""
    try:
        importlib.import_module(MODULES.get(name, name))
    except ImportError:
        return False
    return True
