"""What `make demo` runs: an https server on this machine that looks closely at who visits, and a visit by AsyncClient.

    python examples/demo.py [--profile NAME]     against the embedded server
    python examples/demo.py https://example.org  that page instead

The server (HTTP/2 and HTTP/1.1, a certificate made on the spot) answers each request with what it saw: JA4, the order of the
headers; at the end the connection is compared with the browser's own capture. Exit code 0: every answer was as expected.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import tls_requests

ROOT = Path(__file__).resolve().parent.parent
PROFILES = {"chrome_133": "chrome_133_macos", "chromium_156": "chromium_156_linux", "firefox_153": "firefox_153_linux"}
PAGES = ("/", "/news", "/search?q=tls", "/redirect", "/prices")


async def fetch_all(urls: list[str], identifier: str, verify: str | bool) -> list[tls_requests.Response]:
    """The documented example: several pages at once over one client."""
    async with tls_requests.AsyncClient(client_identifier=identifier, verify=verify) as client:
        return await asyncio.gather(*(client.get(url) for url in urls))


# ------------------------------------------------------------------------------------------------ the embedded server


def start_server(folder: Path, profile: dict[str, Any]) -> Any:
    """A recording server that looks at each request's headers. Returns it; `port` says where it listens."""
    from fingerprint import cli, records, server

    class Site(server.Server):
        def respond(self, connection: Any, request: Any) -> Any:
            if request.path == "/redirect":
                return server.Response(302, [("location", "/landed")])
            names = [name for name, _ in request.headers]
            frames = (profile.get("http2") or {}).get("frames") or []
            expected: list[tuple[str, str]] = next(
                (frame["headers"] for frame in frames if frame["type"] == "HEADERS"), []
            )
            found = []
            order = [name for name, _ in expected]
            # Behind a redirect Chromium has its client hints in another place than on a visit, which is what profiles show.
            same = sorted(names) == sorted(order) if request.path == "/landed" else names == order
            if connection.record.get("http2") and not same:
                found.append({"field": "header order", "expected": order, "got": names})
            seen = records.with_fingerprints(connection.record)["fingerprints"]
            body = {"ja4": seen.get("ja4"), "akamai": seen.get("akamai_text"), "headers": names, "differences": found}
            return server.Response(200, [("content-type", "application/json")], json.dumps(body).encode())

    certificate = folder / "server.pem"
    cli.main(["cert", "--out", str(certificate), "localhost"])
    return Site("127.0.0.1", 0, str(certificate)).start()


def show(response: tls_requests.Response) -> bool:
    """Print one answer; False when it is not what the browser would have sent."""
    hops = "".join(f" <- {hop.status_code} {hop.url.path}" for hop in response.history)
    print(f"{response!s:22} {response.http_version}  {response.url}{hops}")
    if response.status_code != 200:
        print(f"  {response.text}")
        return False
    seen = response.json()
    print(f"  JA4      {seen['ja4']}")
    print(f"  headers  {', '.join(seen['headers'])}")
    for difference in seen["differences"]:
        print(f"  DIFFERS  {difference}")
    return not seen["differences"]


def visit_local(identifier: str) -> int:
    sys.path.insert(0, str(ROOT / "tools"))
    from fingerprint import compare

    profile = json.loads((ROOT / "profiles" / f"{PROFILES.get(identifier, identifier)}.json").read_text())
    with tempfile.TemporaryDirectory() as name:
        site = start_server(Path(name), profile)
        urls = [f"https://localhost:{site.port}{page}" for page in PAGES]
        responses = asyncio.run(fetch_all(urls, identifier, verify=str(Path(name) / "server.pem")))
        good = [show(response) for response in responses]
        site.stop()
    # Frames that came behind the first request are known only now.
    visits = [connection.record for connection in site.connections if connection.record["client_hellos"]]
    found = [difference for record in visits for difference in compare.compare(profile, record)]
    for difference in found:
        print(f"  DIFFERS  {difference}")
    expected = profile["fingerprints"]["ja4"]
    ja4 = {response.json()["ja4"] for response in responses if response.status_code == 200}
    browser = f"{profile['client']['family']} {profile['client']['version']} ({profile['client']['os']})"
    if all(good) and not found and ja4 == {expected}:
        print(f"\nAll {len(good)} requests: the ClientHello, HTTP/2 frames and header order are those of {browser}.")
        return 0
    print(f"\nNot what {browser} sends: its JA4 is {expected}.")
    return 1


def visit(url: str, identifier: str) -> int:
    [response] = asyncio.run(fetch_all([url], identifier, verify=True))
    print(f"{response!s:22} {response.http_version}  {response.url}")
    for name, value in response.headers.items():
        print(f"  {name}: {value}")
    print(f"  {len(response.content):,} bytes" if response.status_code else f"  {response.text}")
    return 0 if response.status_code else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", help="fetch this page instead of the embedded server's")
    parser.add_argument("--profile", default="chrome_133", help="the browser to be (default: chrome_133)")
    arguments = parser.parse_args()
    if arguments.url:
        return visit(arguments.url, arguments.profile)
    return visit_local(arguments.profile)


if __name__ == "__main__":
    sys.exit(main())
