"""A small scraper over rotating proxies: each answer tells the rotator how its proxy did, bad ones rest, failed requests go out again by
another, and each account keeps its proxy.

    python examples/rotating_proxies.py PROXIES URL [URL...]        PROXIES: a file, a line each: url, url|weight or url|weight|region

Prints a line for each URL, then what the rotator has learnt. Ends with 1 when a page could not be had.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

import tls_requests
from tls_requests.exceptions import ProxyError

AT_ONCE = 8


async def fetch(
    client: tls_requests.AsyncClient, url: str, gate: asyncio.Semaphore, account: str | None
) -> tuple[str, tls_requests.Response]:
    """One page. account: whose proxy it is to come by, or None for any."""
    async with gate:
        return url, await client.get(url, proxy_key=account)


async def scrape(rotator: tls_requests.ProxyRotator, urls: Sequence[str], accounts: int, ca: str | None) -> int:
    """Fetch all pages, AT_ONCE at a time; the number of those that failed."""
    gate = asyncio.Semaphore(AT_ONCE)
    failed = 0
    async with tls_requests.AsyncClient(
        proxy=rotator, proxy_retries=len(rotator) - 1, timeout={"connect": 5, "total": 30}, verify=ca or True
    ) as client:
        jobs = [
            fetch(client, url, gate, f"account {number % accounts}" if accounts else None)
            for number, url in enumerate(urls)
        ]
        for job in asyncio.as_completed(jobs):
            url, response = await job
            proxy = response.request.proxy
            where = "-" if proxy is None else f"{proxy.host}:{proxy.port}"
            if response.error is None:
                print(f"{response.status_code} {len(response.content):8} bytes by {where}: {url}")
            else:
                failed += 1
                blame = "the proxies'" if isinstance(response.error, ProxyError) else "the site's"
                print(
                    f"failed, {blame} fault, last by {where}: {url}: {getattr(response.error, 'code', response.error)}"
                )
    return failed


def report(rotator: tls_requests.ProxyRotator) -> None:
    resting = rotator.resting
    for proxy in sorted(rotator, key=lambda one: -one.weight):
        latency = "-" if proxy.latency is None else f"{proxy.latency * 1000:.0f} ms"
        state = f"rests {resting[proxy]:.0f} s" if proxy in resting else "ready"
        print(
            f"{proxy.host}:{proxy.port} weight {proxy.weight:.2f} failures {proxy.failures} latency {latency} {state}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fetch pages over rotating proxies.")
    parser.add_argument("proxies", help="file with a proxy a line")
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--accounts", type=int, default=0, help="so many accounts, each with a proxy of its own")
    parser.add_argument("--ca", help="file of trusted certificates")
    chosen = parser.parse_args(arguments)
    rotator = tls_requests.ProxyRotator.from_file(chosen.proxies, strategy="weighted")
    rotator.cooldown = 60.0
    if not len(rotator):
        print("there is no proxy in that file", file=sys.stderr)
        return 2
    failed = asyncio.run(scrape(rotator, chosen.urls, chosen.accounts, chosen.ca))
    report(rotator)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
