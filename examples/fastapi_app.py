"""A FastAPI application with one AsyncClient for its whole life.

pip install fastapi uvicorn uvloop
UPSTREAM=https://httpbin.org uvicorn --app-dir examples fastapi_app:app

/            what the upstream answered
/many        several of its pages at once
/slow        a page that takes its time; a visitor who leaves cancels it
/nothing     an answer without a request, to compare with
/lateness    how late the loop's timers were since the last look
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

import tls_requests
from asgi_tools import Lateness, unless_gone

UPSTREAM = os.environ.get("UPSTREAM", "https://httpbin.org").rstrip("/")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The client is made when the application starts, and closed when it ends."""
    async with tls_requests.AsyncClient(timeout=30, raise_on_error=True) as client, Lateness().running() as lateness:
        app.state.http = client
        app.state.lateness = lateness
        yield


app = FastAPI(lifespan=lifespan)


def http_client(request: Request) -> tls_requests.AsyncClient:
    client: tls_requests.AsyncClient = request.app.state.http
    return client


Http = Annotated[tls_requests.AsyncClient, Depends(http_client)]


@app.exception_handler(tls_requests.HTTPError)
async def upstream_failed(request: Request, error: tls_requests.HTTPError) -> JSONResponse:
    """An upstream that cannot be reached is a bad gateway, for each route."""
    return JSONResponse({"error": type(error).__name__}, status_code=502)


@app.get("/")
async def page(http: Http) -> dict[str, object]:
    answer = await http.get(f"{UPSTREAM}/")
    return {"status": answer.status_code, "protocol": answer.http_version, "bytes": len(answer.content)}


@app.get("/many")
async def many(http: Http, count: Annotated[int, Query(ge=1, le=50)] = 5) -> dict[str, object]:
    """The pages are fetched side by side: over HTTP/2 on one connection."""
    answers = await asyncio.gather(*(http.get(f"{UPSTREAM}/", params={"page": str(n)}) for n in range(count)))
    return {"statuses": [answer.status_code for answer in answers], "bytes": sum(len(each.content) for each in answers)}


@app.get("/slow")
async def slow(request: Request, http: Http, seconds: Annotated[int, Query(ge=0, le=30)] = 1) -> Response:
    answer = await unless_gone(request, http.get(f"{UPSTREAM}/delay/{seconds}"))
    if answer is None:
        return Response(status_code=499)  # nobody reads it
    return JSONResponse({"status": answer.status_code})


@app.get("/nothing")
async def nothing() -> dict[str, object]:
    return {}


@app.get("/lateness")
async def lateness(request: Request) -> dict[str, float]:
    measured: Lateness = request.app.state.lateness
    report = measured.report()
    measured.clear()
    return report
