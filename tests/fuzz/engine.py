"""A small fuzzing engine for the parsers that are Python: mutation of a corpus, led by the lines and branches that an input reaches.

As with the C targets (`src/*/fuzz_*.c`): a target is a function of bytes that raises when a property does not hold; `probe` is a part of it that
is enough to see what an input reaches, for seeing that is slow. `tests/corpus/NAME` is its corpus, inputs that reach something new are kept in `build/corpus/NAME`, and one that fails is written beside it, cut to what is needed.

`fuzz_events.py [--seconds N] [--seed N] FOLDER...` runs for so long; `--replay FOLDER...` runs the inputs of the folders once.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

Target = Callable[[bytes], None]

LONGEST = 1024  # bytes of an input
INPUT_SECONDS = 10  # an input that takes longer has found a loop
NUMBERS = [
    0,
    1,
    2,
    125,
    126,
    127,
    128,
    255,
    256,
    65535,
    65536,
    1 << 31,
    (1 << 31) - 1,
    (1 << 32) - 1,
    1 << 63,
    (1 << 64) - 1,
]


class Coverage:
    """Which steps from line to line an input makes in the files of interest, and about how often each."""

    def __init__(self, files: Iterable[str]) -> None:
        self.files = set(files)
        self.known: set[tuple[Any, int, int, int]] = set()
        self.counts: dict[tuple[Any, int, int], int] = {}

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        code = frame.f_code
        if code.co_filename not in self.files:
            return None
        counts = self.counts
        last = 0

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            if event == "line":
                edge = (code, last, frame.f_lineno)
                counts[edge] = counts.get(edge, 0) + 1
                last = frame.f_lineno
            return step

        return step

    def run(self, target: Target, data: bytes) -> bool:
        """Whether the input made a step that none before it had made, or made one much more often."""
        self.counts = {}
        sys.settrace(self._trace)
        try:
            target(data)
        finally:
            sys.settrace(None)
        found = {(*edge, count.bit_length()) for edge, count in self.counts.items()}
        new = not found <= self.known
        self.known |= found
        return new


class Mutator:
    """Changes inputs. tokens: what the format is made of."""

    def __init__(self, dice: random.Random, tokens: list[bytes]) -> None:
        self.dice = dice
        self.tokens = tokens
        self.ways = [
            self._flip, self._byte, self._number, self._insert_token, self._insert_token, self._replace_token, self._remove, self._repeat,
            self._move, self._random,
        ]  # fmt: skip

    def change(self, data: bytes, other: bytes) -> bytes:
        """`data` changed a few times, perhaps with a part of `other` in it."""
        out = bytearray(data)
        if self.dice.random() < 0.15:
            cut, at = self.dice.randrange(len(out) + 1), self.dice.randrange(len(other) + 1)
            out[cut:] = other[at:]
        for _ in range(1 << self.dice.randrange(4)):
            self.dice.choice(self.ways)(out)
        return bytes(out[:LONGEST])

    def _span(self, out: bytearray) -> tuple[int, int]:
        begin = self.dice.randrange(len(out) + 1)
        return begin, min(len(out), begin + (1 << self.dice.randrange(8)))

    def _flip(self, out: bytearray) -> None:
        if out:
            out[self.dice.randrange(len(out))] ^= 1 << self.dice.randrange(8)

    def _byte(self, out: bytearray) -> None:
        if out:
            out[self.dice.randrange(len(out))] = self.dice.randrange(256)

    def _number(self, out: bytearray) -> None:
        size = self.dice.choice((1, 2, 4, 8))
        at = self.dice.randrange(len(out) + 1)
        number = (self.dice.choice(NUMBERS) + self.dice.choice((-1, 0, 0, 1))) % (1 << (8 * size))
        out[at : at + size] = number.to_bytes(size, "big")

    def _insert_token(self, out: bytearray) -> None:
        at = self.dice.randrange(len(out) + 1)
        out[at:at] = self.dice.choice(self.tokens)

    def _replace_token(self, out: bytearray) -> None:
        begin, end = self._span(out)
        out[begin:end] = self.dice.choice(self.tokens)

    def _remove(self, out: bytearray) -> None:
        begin, end = self._span(out)
        del out[begin:end]

    def _repeat(self, out: bytearray) -> None:
        begin, end = self._span(out)
        out[begin:begin] = out[begin:end] * (1 << self.dice.randrange(5))

    def _move(self, out: bytearray) -> None:
        begin, end = self._span(out)
        part = out[begin:end]
        del out[begin:end]
        at = self.dice.randrange(len(out) + 1)
        out[at:at] = part

    def _random(self, out: bytearray) -> None:
        at = self.dice.randrange(len(out) + 1)
        out[at:at] = self.dice.randbytes(1 << self.dice.randrange(5))


def read_corpus(folders: Iterable[str]) -> list[bytes]:
    paths = [path for folder in folders for path in sorted(Path(folder).glob("*")) if path.is_file()]
    return [path.read_bytes()[:LONGEST] for path in paths]


def _too_long(*_: object) -> None:
    raise TimeoutError(f"an input took more than {INPUT_SECONDS} seconds")


def fails(target: Target, data: bytes) -> str | None:
    """What an input raises, with its place; None: nothing. Of the main thread."""
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(INPUT_SECONDS)
    try:
        target(data)
    except Exception:
        return traceback.format_exc()
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return None


def smallest(target: Target, data: bytes, seconds: float = 20.0) -> bytes:
    """An input that fails, with what is not needed for that left out."""
    end = time.monotonic() + seconds
    size = len(data)
    while size > 0 and time.monotonic() < end:
        at = 0
        while at < len(data) and time.monotonic() < end:
            shorter = data[:at] + data[at + size :]
            if len(shorter) < len(data) and fails(target, shorter) is not None:
                data = shorter
            else:
                at += size
        size //= 2
    return data


def fuzz(
    name: str,
    target: Target,
    probe: Target,
    files: Iterable[str],
    tokens: list[bytes],
    folders: list[str],
    seconds: float,
    seed: int,
) -> dict[str, Any]:
    """Run for so many seconds. The first folder takes what is found. Returns a report, whose "failure" is None when all properties held."""
    out = Path(folders[0])
    out.mkdir(parents=True, exist_ok=True)
    dice = random.Random(seed)
    mutator = Mutator(dice, tokens)
    coverage = Coverage(files)
    corpus = read_corpus(folders) or [b""]
    num, end, started = 0, time.monotonic() + seconds, time.monotonic()
    failure: str | None = None
    queue = list(corpus)
    while time.monotonic() < end and failure is None:
        data = queue.pop() if queue else mutator.change(dice.choice(corpus), dice.choice(corpus))
        num += 1
        why = fails(target, data)
        if why is not None:
            data = smallest(target, data)
            path = out.parent / f"{name}-crash-{hashlib.sha1(data).hexdigest()[:16]}"
            path.write_bytes(data)
            failure = f"{path}: {data!r}\n{fails(target, data) or why}"
        elif coverage.run(probe, data) and data not in corpus:
            corpus.append(data)
            (out / hashlib.sha1(data).hexdigest()).write_bytes(data)
    took = time.monotonic() - started
    return {
        "runs": num,
        "per_second": round(num / max(took, 0.001)),
        "corpus": len(corpus),
        "steps": len(coverage.known),
        "failure": failure,
    }


def main(name: str, target: Target, probe: Target, files: Iterable[str], tokens: list[bytes]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0, help="0: drawn")
    parser.add_argument("--replay", action="store_true", help="run what the folders hold, once")
    parser.add_argument("folders", nargs="+")
    options = parser.parse_args()
    if options.replay:
        inputs = read_corpus(options.folders)
        for data in inputs:
            why = fails(target, data)
            if why is not None:
                print(f"{data!r}\n{why}")
                return 1
        print(f"{len(inputs)} inputs")
        return 0 if inputs else 1
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 31)
    print(f"seed {seed}", flush=True)
    report = fuzz(name, target, probe, files, tokens, options.folders, options.seconds, seed)
    failure = report.pop("failure")
    print(" ".join(f"{key} {value}" for key, value in report.items()))
    if failure is not None:
        print(failure)
    return 0 if failure is None else 1
