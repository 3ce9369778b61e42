"""A TCP relay that treats each connection badly, by dice with a seed: run as a program, `chaos.py SEED MOODS LISTEN:TARGET...` (ports on 127.0.0.1).

What it may do to a connection, in one direction or both: nothing for long; close it at once; reset it at once; end it (FIN) or reset it after some bytes;
stop relaying after some bytes, for a while or for good; delay every piece; hand on a few bytes at a time. How many bytes is drawn so that each size,
from within the TLS handshake to the middle of a large body, comes up. MOODS: "bad" for these; "uneven" for connections that lose nothing and never end,
of which each direction has a pace of its own, now this, now that. SIGTERM ends it; then it prints how often each came.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import socket
import struct
import sys
from collections import Counter

# How often each, of 100.
MOODS = {
    "bad": {
        "good": 40,
        "refuse": 4,
        "reset_at_once": 4,
        "cut": 14,
        "reset": 14,
        "stall": 6,
        "pause": 6,
        "delay": 6,
        "drip": 6,
    },
    "uneven": {"uneven": 100},
}
LONGEST_STALL = 30.0  # seconds: longer than any request waits


class Relay:
    def __init__(self, dice: random.Random, moods: dict[str, int], target: int, seen: Counter[str]) -> None:
        self.dice = dice
        self.mood = dice.choices(list(moods), list(moods.values()))[0]
        seen[self.mood] += 1
        # From 2^6 to 2^22 bytes.
        self.after = int(2 ** dice.uniform(6, 22))
        if self.mood == "good":
            # For long, not for good: else all requests would gather on such connections.
            self.mood, self.after = dice.choice(("cut", "reset")), int(2 ** dice.uniform(20, 26))
        self.upstream_side = dice.random() < 0.3  # counted in what the client sends, else in what it gets
        self.pause = dice.uniform(0.05, 1.5)
        self.delay = dice.uniform(0.0005, 0.02)
        self.target = target
        self.moved = 0
        self.writers: list[asyncio.StreamWriter] = []

    def reset(self) -> None:
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            if sock is not None:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        tasks: list[asyncio.Task[None]] = []
        try:
            if self.mood == "reset_at_once":
                self.reset()
                return
            if self.mood == "refuse":
                return
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
            self.writers.append(up_writer)
            tasks = [
                asyncio.ensure_future(self.pump(reader, up_writer, self.upstream_side)),
                asyncio.ensure_future(self.pump(up_reader, writer, not self.upstream_side)),
            ]
            until = asyncio.ALL_COMPLETED if self.mood == "uneven" else asyncio.FIRST_COMPLETED
            await asyncio.wait(tasks, return_when=until)
        except OSError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for each in self.writers:
                each.close()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counts: bool) -> None:
        """Ends when this direction ends, or the connection must."""
        if self.mood == "uneven":
            await self.pump_unevenly(reader, writer)
            return
        while data := await reader.read(65536):
            if self.mood == "delay":
                await asyncio.sleep(self.delay)
            if self.mood == "drip" and self.moved < 20_000:
                for at in range(0, len(data), 97):
                    writer.write(data[at : at + 97])
                    self.moved += 97
                    await asyncio.sleep(0.001 if self.moved < 20_000 else 0)
                continue
            if counts and self.mood in ("cut", "reset", "stall", "pause") and self.moved + len(data) >= self.after:
                writer.write(data[: self.after - self.moved])
                with contextlib.suppress(OSError):
                    await writer.drain()
                if self.mood == "cut":
                    return
                if self.mood == "reset":
                    await asyncio.sleep(0)
                    self.reset()
                    return
                await asyncio.sleep(LONGEST_STALL if self.mood == "stall" else self.pause)
                data = data[self.after - self.moved :]
                self.after = 1 << 62
            self.moved += len(data) if counts else 0
            writer.write(data)
            await writer.drain()

    async def pump_unevenly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """An end of one direction is handed on, and the other goes on."""
        dice = self.dice
        loop = asyncio.get_running_loop()
        until, left, size, rest = 0.0, 0, 65536, 0.0
        while data := await reader.read(size):
            left -= len(data)
            if left <= 0 or loop.time() > until:
                left = int(2 ** dice.uniform(10, 22))
                until = loop.time() + 0.2
                size = int(2 ** dice.uniform(6, 17))
                rest = dice.choice((0.0, 0.0, 0.0, dice.uniform(0.0001, 0.02)))
                if dice.random() < 0.1:
                    await asyncio.sleep(dice.uniform(0.01, 0.3))
            writer.write(data)
            await writer.drain()
            if rest > 0:
                await asyncio.sleep(rest)
        if writer.can_write_eof():
            writer.write_eof()


async def main(seed: int, moods: dict[str, int], pairs: list[tuple[int, int]]) -> None:
    dice = random.Random(seed)
    seen: Counter[str] = Counter()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    tasks: set[asyncio.Task[None]] = set()

    def accept(target: int):
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            with contextlib.suppress(OSError):
                await Relay(dice, moods, target, seen).run(reader, writer)

        return accepted

    servers = [await asyncio.start_server(accept(target), "127.0.0.1", listen) for listen, target in pairs]
    await stop.wait()
    for server in servers:
        server.close()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    numbers = [tuple(map(int, pair.split(":"))) for pair in sys.argv[3:]]
    asyncio.run(main(int(sys.argv[1]), MOODS[sys.argv[2]], numbers))  # type: ignore[arg-type]
