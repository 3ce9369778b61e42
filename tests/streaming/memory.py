"""Run as a program: moves a body of so many MiB down or up with a reader slower than the sender, or into a file, and prints by how many MiB the
process's peak grew over what it had after its imports and a first small request.

    memory.py down|up|download|output sync|async h1|h2 MIB URL CA
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time


def peak_mib() -> float:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM")


def check(piece: bytes, at: int) -> None:
    """The first whole number in the piece is its place."""
    skip = -at % 8
    if len(piece) >= skip + 8:
        number = int.from_bytes(piece[skip : skip + 8], "big")
        if number != at + skip:
            raise AssertionError(f"byte {at}: {number}")


def pieces(size: int):
    piece = bytes(100_000)
    for at in range(0, size, len(piece)):
        yield piece[: size - at]


def down(client, url: str, size: int) -> int:
    at, pause = 0, 0
    with client.stream("GET", f"{url}/pattern/{size}") as response:
        for piece in response.iter_bytes():
            check(piece, at)
            at += len(piece)
            if at > pause:  # slower than the sender for a while, again and again
                time.sleep(0.05)
                pause = at + (16 << 20)
    return at


def up(client, url: str, size: int) -> int:
    return client.post(f"{url}/digest", content=pieces(size)).json()["length"]


def check_file(path: str, size: int) -> int:
    with open(path, "rb") as file:
        for at in range(0, size, 1 << 20):
            check(file.read(1 << 20), at)
        return file.tell()


def download(client, url: str, size: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        client.download(f"{url}/pattern/{size}", path, fsync=False)
        return check_file(path, size)


def output(client, url: str, size: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        client.get(f"{url}/pattern/{size}", streamOutputPath=path, timeout=300)
        return check_file(path, size)


async def adownload(client, url: str, size: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        await client.download(f"{url}/pattern/{size}", path, fsync=False)
        return check_file(path, size)


async def aoutput(client, url: str, size: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        await client.get(f"{url}/pattern/{size}", streamOutputPath=path, timeout=300)
        return check_file(path, size)


async def adown(client, url: str, size: int) -> int:
    at, pause = 0, 0
    async with client.stream("GET", f"{url}/pattern/{size}") as response:
        async for piece in response.aiter_bytes():
            check(piece, at)
            at += len(piece)
            if at > pause:
                await asyncio.sleep(0.05)
                pause = at + (16 << 20)
    return at


async def aup(client, url: str, size: int) -> int:
    return (await client.post(f"{url}/digest", content=pieces(size))).json()["length"]


WAYS = {
    "down": (down, adown),
    "up": (up, aup),
    "download": (download, adownload),
    "output": (output, aoutput),
}


def main() -> int:
    what, kind, version, mib, url, ca = sys.argv[1:]
    import tls_requests

    size = int(mib) << 20
    options = {"verify": ca, "http2": "auto" if version == "h2" else False, "raise_on_error": True}
    start = peak_mib()
    begun = time.monotonic()
    if kind == "sync":
        with tls_requests.Client(**options) as client:
            moved = WAYS[what][0](client, url, size)
    else:

        async def run() -> int:
            async with tls_requests.AsyncClient(**options) as client:
                return await WAYS[what][1](client, url, size)

        moved = asyncio.run(run())
    assert moved == size, (moved, size)
    grown = peak_mib() - start
    print(f"{what} {kind} {version}: {mib} MiB in {time.monotonic() - begun:.1f} s, peak {grown:.1f} MiB above import")
    return 0 if grown < 40 else 1


if __name__ == "__main__":
    sys.exit(main())
