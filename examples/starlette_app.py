"""A Starlette application with one AsyncClient for its whole life; its routes are those of fastapi_app.py.

pip install starlette uvicorn uvloop
UPSTREAM=https://httpbin.org uvicorn --app-dir examples starlette_app:app
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import tls_requests
from asgi_tools import Lateness, unless_gone

UPSTREAM = os.environ.get("UPSTREAM", "https://httpbin.org").rstrip("/")


class State(TypedDict):
    """What each request finds as `request.state`."""

    http: tls_requests.AsyncClient
    lateness: Lateness


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    async with tls_requests.AsyncClient(timeout=30) as client, Lateness().running() as lateness:
        yield {"http": client, "lateness": lateness}


def http_client(request: Request) -> tls_requests.AsyncClient:
    client: tls_requests.AsyncClient = request.state.http
    return client


def bad_gateway(answer: tls_requests.Response) -> JSONResponse:
    """Without raise_on_error a failure is an answer with status 0 and an error."""
    return JSONResponse({"error": type(answer.error).__name__}, status_code=502)


async def page(request: Request) -> JSONResponse:
    answer = await http_client(request).get(f"{UPSTREAM}/")
    if answer.error is not None:
        return bad_gateway(answer)
    return JSONResponse({"status": answer.status_code, "protocol": answer.http_version, "bytes": len(answer.content)})


async def many(request: Request) -> JSONResponse:
    text = request.query_params.get("count", "5")
    if not text.isdecimal() or not 1 <= int(text) <= 50:
        return JSONResponse({"error": "count must be from 1 to 50"}, status_code=422)
    http = http_client(request)
    answers = await asyncio.gather(*(http.get(f"{UPSTREAM}/", params={"page": str(n)}) for n in range(int(text))))
    for answer in answers:
        if answer.error is not None:
            return bad_gateway(answer)
    return JSONResponse(
        {"statuses": [answer.status_code for answer in answers], "bytes": sum(len(each.content) for each in answers)}
    )


async def slow(request: Request) -> Response:
    text = request.query_params.get("seconds", "1")
    if not text.isdecimal() or int(text) > 30:
        return JSONResponse({"error": "seconds must be from 0 to 30"}, status_code=422)
    answer = await unless_gone(request, http_client(request).get(f"{UPSTREAM}/delay/{int(text)}"))
    if answer is None:
        return Response(status_code=499)  # nobody reads it
    return bad_gateway(answer) if answer.error is not None else JSONResponse({"status": answer.status_code})


async def nothing(request: Request) -> JSONResponse:
    return JSONResponse({})


async def lateness(request: Request) -> JSONResponse:
    measured: Lateness = request.state.lateness
    report = measured.report()
    measured.clear()
    return JSONResponse(report)


app = Starlette(
    routes=[Route(f"/{name}", endpoint) for name, endpoint in (
        ("", page), ("many", many), ("slow", slow), ("nothing", nothing), ("lateness", lateness)
    )],
    lifespan=lifespan,
)  # fmt: skip
