"""Rotators: hand out proxies, identifiers or header sets in turn or at random."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, Union

from .._core import BrowserProfile
from ..exceptions import HTTPError, ProxyError, RotatorError
from .headers import Headers
from .urls import Proxy

if TYPE_CHECKING:
    from ..types import HeaderTypes, IdentifierTypes

__all__ = ["BaseRotator", "HeaderRotator", "ProxyRotator", "RotatorError", "TLSIdentifierRotator"]

T = TypeVar("T")
_R = TypeVar("_R", bound="BaseRotator[Any]")

CLIENT_IDENTIFIER_TEMPLATES: list[str] = [
    "chrome_120",
    "chrome_124",
    "chrome_131",
    "chrome_133",
    "firefox_120",
    "firefox_123",
    "firefox_132",
    "firefox_133",
    "safari_16_0",
    "safari_ios_16_0",
    "safari_ios_17_0",
    "safari_ios_18_0",
    "safari_ios_18_5",
]


def _user_agents() -> list[str]:
    webkit = "AppleWebKit/537.36 (KHTML, like Gecko)"
    systems = {
        "Windows NT 10.0; Win64; x64": (128, 129, 130, 131, 132, 133, 134, 135),
        "Macintosh; Intel Mac OS X 10_15_7": (128, 130, 131, 132, 133, 134),
        "X11; Linux x86_64": (130, 131, 133, 135),
    }
    agents = [
        f"Mozilla/5.0 ({system}) {webkit} Chrome/{version}.0.0.0 Safari/537.36"
        for system, versions in systems.items()
        for version in versions
    ]
    agents += [
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/{v}.0.0.0 Safari/537.36 Edg/{v}.0.0.0"
        for v in (131, 132, 133, 134)
    ]
    agents += [
        f"Mozilla/5.0 ({system}; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
        for system, versions in {
            "Windows NT 10.0; Win64; x64": (128, 132, 133, 135),
            "Macintosh; Intel Mac OS X 10.15": (132, 133),
            "X11; Linux x86_64": (128, 133),
        }.items()
        for version in versions
    ]
    safari = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
    agents += [
        f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {safari} Version/{v} Safari/605.1.15"
        for v in ("17.6", "18.0", "18.3", "18.5")
    ]
    agents += [
        f"Mozilla/5.0 (iPhone; CPU iPhone OS {v.replace('.', '_')} like Mac OS X) {safari} "
        f"Version/{v} Mobile/15E148 Safari/604.1"
        for v in ("17.6", "18.0", "18.3", "18.5")
    ]
    agents += [
        f"Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/{v}.0.0.0 Mobile Safari/537.36"
        for v in (130, 131, 133, 134)
    ]
    return agents


USER_AGENTS: list[str] = _user_agents()
HEADER_TEMPLATES: list[dict[str, str]] = [
    {
        "accept": "*/*",
        "connection": "keep-alive",
        "accept-encoding": "gzip, deflate, br, zstd",
        "User-Agent": agent,
    }
    for agent in USER_AGENTS
]


def _sequence(items: Any) -> Any:
    if not items:
        return []
    try:
        return list(items)
    except TypeError:
        raise TypeError(f"items must be a list, not {type(items).__name__}") from None


class BaseRotator(ABC, Generic[T]):
    """Hands out its items by a strategy: `random`, `round_robin` or `weighted` (by each item's `weight`).

    Safe to use from several threads and tasks at once. Raises ValueError for an unknown strategy and from `next` when empty.
    """

    default_strategy: ClassVar[str] = "random"

    def __init__(self, items: Iterable[Any] | None = None, strategy: str = "random") -> None:
        self.items: list[Any] = list(_sequence(items))
        self.strategy = strategy
        self._lock = threading.Lock()
        self._async_lock: asyncio.Lock | None = None
        self._iterator: Iterator[Any] | None = None
        if self.items:
            self._rebuild_iterator()

    @property
    def async_lock(self) -> asyncio.Lock:
        """A lock for tasks, made when first asked for."""
        if self._async_lock is None:
            self._async_lock = asyncio.Lock()
        return self._async_lock

    def _choices(self) -> Iterator[Any]:
        index = 0
        while self.items:
            if self.strategy == "round_robin":
                yield self.items[index % len(self.items)]
                index += 1
            elif self.strategy == "weighted":
                weights = [float(getattr(item, "weight", 1.0)) for item in self.items]
                yield random.choices(self.items, weights=weights)[0]
            else:
                yield random.choice(self.items)

    def _rebuild_iterator(self) -> None:
        if self.strategy not in ("random", "round_robin", "weighted"):
            raise ValueError(f"Unsupported strategy: {self.strategy}")
        self._iterator = self._choices()

    def next(self, *args: Any, **kwargs: Any) -> T:
        """The next item. Raises ValueError("Rotator is empty.")."""
        with self._lock:
            return self._draw()

    def _draw(self) -> T:
        """The strategy's next item; under the lock."""
        if not self.items:
            raise ValueError("Rotator is empty.")
        if self._iterator is None:
            self._rebuild_iterator()
        assert self._iterator is not None
        item: T = next(self._iterator)
        return item

    async def anext(self, *args: Any, **kwargs: Any) -> T:
        """`next` for asynchronous code."""
        return self.next(*args, **kwargs)

    def add(self, item: Any) -> None:
        """Add an item as it is; a round begins anew."""
        with self._lock:
            self.items.append(item)
            self._rebuild_iterator()

    async def aadd(self, item: Any) -> None:
        """`add` for asynchronous code."""
        self.add(item)

    def remove(self, item: Any) -> None:
        """Drop every item equal to this one; silent when there is none."""
        with self._lock:
            self.items = [known for known in self.items if known != item]
            self._rebuild_iterator()

    async def aremove(self, item: Any) -> None:
        """`remove` for asynchronous code."""
        self.remove(item)

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self.items))

    def __reduce__(self) -> Any:
        raise TypeError(f"{type(self).__name__} cannot be pickled.")

    @classmethod
    @abstractmethod
    def rebuild_item(cls, item: Any) -> T | None:
        """Turn what a file or list holds into an item; None drops it."""
        raise NotImplementedError

    @classmethod
    def from_file(cls: type[_R], source: str | Path | list[Any], strategy: str = "random") -> _R:
        """Make a rotator of a list, a JSON file (an array), or a text file (one item a line, `#` starts a comment).

        Raises FileNotFoundError, and RotatorError for other types. Items that cannot be used are dropped.
        """
        if isinstance(source, list):
            raw: list[Any] = source
        elif isinstance(source, (str, Path)):
            path = Path(source)
            try:
                found = path.is_file()
            except (OSError, ValueError):  # too long, or with characters that no file name has
                found = False
            if not found:
                raise FileNotFoundError(f"Source file not found: {source}")
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".json":
                raw = list(json.loads(text))
            else:
                lines = (line.split("#", 1)[0].strip() for line in text.splitlines())
                raw = [line for line in lines if line]
        else:
            raise RotatorError(f"Unsupported source type: {type(source)}")
        items = [item for item in (cls.rebuild_item(entry) for entry in raw) if item is not None]
        return cls(items, strategy)


class ProxyRotator(BaseRotator[Proxy]):
    """Rotates proxies. items: Proxy objects, their text (`url`, `url|weight`, `url|weight|region`), or mappings.

    cooldown: seconds (float) that a proxy rests after `max_failures` (int) failures in a row; 0, the default: none rests. Each further failure
    doubles the rest, up to `max_cooldown` seconds; a success ends it. Resting proxies are given out only when there is no other.
    sticky_size: so many keys are remembered by `next(key=...)`, the least recently used are forgotten.
    Raises ProxyError for an item that is no proxy.

    >>> rotator = ProxyRotator(["http://a.example:1|2.0|US", "http://b.example:1"], strategy="round_robin")
    >>> rotator.next(key="account 7") is rotator.next(key="account 7")
    True
    """

    def __init__(
        self,
        items: Iterable[Proxy | str | Mapping[str, object]] | None = None,
        strategy: str = "random",
        *,
        cooldown: float = 0.0,
        max_failures: int = 1,
        max_cooldown: float = 600.0,
        sticky_size: int = 10_000,
    ) -> None:
        self.cooldown = cooldown
        self.max_failures = max_failures
        self.max_cooldown = max_cooldown
        self.sticky_size = sticky_size
        self._failures: dict[Proxy, int] = {}  # in a row
        self._rests: dict[Proxy, float] = {}  # until when, on the monotonic clock
        self._sticky: OrderedDict[Any, Proxy] = OrderedDict()
        super().__init__([self._convert(item) for item in _sequence(items)], strategy)

    @staticmethod
    def _convert(item: Any) -> Proxy:
        if isinstance(item, Proxy):
            return item
        if isinstance(item, dict):
            return Proxy.from_dict(item)
        if isinstance(item, str):
            return Proxy.from_string(item)
        raise ProxyError(f"Unsupported proxy type: {type(item)}")

    @classmethod
    def rebuild_item(cls, item: Any) -> Proxy | None:
        """A Proxy of a Proxy, its text or a mapping; None for what is no proxy."""
        try:
            return cls._convert(item)
        except (HTTPError, TypeError, ValueError):
            return None

    # ------------------------------------------------------------------------------------------------------- choosing

    def next(
        self, *args: Any, key: Hashable | None = None, exclude: Collection[Proxy | None] = (), **kwargs: Any
    ) -> Proxy:
        """The next proxy. key: anything hashable: the same proxy for the same key, as long as it is there and not resting.
        exclude: proxies not to give, if there is another. Raises ValueError("Rotator is empty.")."""
        with self._lock:
            if key is None:
                return self._choose(exclude)
            kept = self._sticky.get(key)
            if kept is not None and not self._is_resting(kept) and _has(self.items, kept) and not _has(exclude, kept):
                self._sticky.move_to_end(key)
                return kept
            chosen = self._choose(exclude)
            self._sticky[key] = chosen
            self._sticky.move_to_end(key)
            while len(self._sticky) > max(1, self.sticky_size):
                self._sticky.popitem(last=False)
            return chosen

    def _choose(self, exclude: Any) -> Proxy:
        if not exclude and not self._rests:
            return self._draw()
        allowed = [item for item in self.items if not _has(exclude, item) and not self._is_resting(item)]
        if not allowed:
            # None is good: the one whose rest is over first, of those that were not tried.
            others = [item for item in self.items if not _has(exclude, item)] or self.items
            if not others:
                return self._draw()
            first: Proxy = min(others, key=lambda item: self._rests.get(item, 0.0))
            return first
        if self.strategy == "round_robin":
            for _ in range(len(self.items)):
                item = self._draw()
                if _has(allowed, item):
                    return item
        weights = [float(getattr(item, "weight", 1.0)) for item in allowed] if self.strategy == "weighted" else None
        chosen: Proxy = random.choices(allowed, weights=weights)[0]
        return chosen

    def _is_resting(self, proxy: Proxy) -> bool:
        until = self._rests.get(proxy)
        if until is None:
            return False
        if time.monotonic() < until:
            return True
        del self._rests[proxy]
        return False

    @property
    def available(self) -> list[Proxy]:
        """The proxies that are not resting."""
        with self._lock:
            return [item for item in self.items if not self._is_resting(item)]

    @property
    def resting(self) -> dict[Proxy, float]:
        """The proxies that rest, and for how many seconds still."""
        with self._lock:
            now = time.monotonic()
            return {item: self._rests[item] - now for item in self.items if self._is_resting(item)}

    def release(self, key: Hashable) -> None:
        """Forget which proxy belongs to a key; silent when none does."""
        with self._lock:
            self._sticky.pop(key, None)

    def remove(self, item: Any) -> None:
        """Drop every item equal to this one; silent when there is none."""
        super().remove(item)
        with self._lock:
            self._failures.pop(item, None)
            self._rests.pop(item, None)

    # ------------------------------------------------------------------------------------------------------- feedback

    def mark_result(self, proxy: Proxy, success: bool, latency: float | None = None) -> None:
        """Tell how a request by that proxy went; its weight follows, and its health. latency: seconds."""
        with self._lock:
            if success:
                proxy.mark_success(latency)
                self._failures.pop(proxy, None)
                self._rests.pop(proxy, None)
                return
            proxy.mark_failed()
            if self.cooldown > 0 and _has(self.items, proxy):
                failures = self._failures[proxy] = self._failures.get(proxy, 0) + 1
                beyond = failures - max(1, self.max_failures)
                if beyond >= 0:
                    rest = min(self.max_cooldown, self.cooldown * 2.0 ** min(beyond, 60))
                    self._rests[proxy] = time.monotonic() + rest

    async def amark_result(self, proxy: Proxy, success: bool, latency: float | None = None) -> None:
        """`mark_result` for asynchronous code."""
        self.mark_result(proxy, success, latency)


def _has(items: Any, wanted: Any) -> bool:
    return any(item is wanted for item in items)


class TLSIdentifierRotator(BaseRotator[Union[str, BrowserProfile]]):
    """Rotates client identifiers: names, Profiles, paths of profiles; without items, a built-in list of thirteen names."""

    def __init__(self, items: Iterable[IdentifierTypes] | None = None, strategy: str = "round_robin") -> None:
        super().__init__(items or CLIENT_IDENTIFIER_TEMPLATES, strategy)

    @classmethod
    def rebuild_item(cls, item: Any) -> str | BrowserProfile | None:
        """A name, or a Profile; the text of a path; None for anything else."""
        if isinstance(item, PathLike):
            item = str(item)
        return item if isinstance(item, (str, BrowserProfile)) else None


class HeaderRotator(BaseRotator[Headers]):
    """Rotates header sets; without items, built-in ones. `next` gives a copy, its user-agent replaced when asked."""

    def __init__(self, items: Iterable[HeaderTypes] | None = None, strategy: str = "random") -> None:
        super().__init__(items or HEADER_TEMPLATES, strategy)

    @classmethod
    def rebuild_item(cls, item: Any) -> Headers | None:
        """Headers of what `Headers` takes; None for what it does not."""
        if isinstance(item, Headers):
            return item
        try:
            return Headers(item)
        except (HTTPError, TypeError, ValueError):
            return None

    def next(self, user_agent: str | None = None, *args: Any, **kwargs: Any) -> Headers:
        """A copy of the next set. user_agent: takes the place of its user-agent. Raises ValueError("Rotator is empty.")."""
        headers = Headers(super().next())
        if user_agent:
            headers["User-Agent"] = user_agent
        return headers

    async def anext(self, user_agent: str | None = None, *args: Any, **kwargs: Any) -> Headers:
        """`next` for asynchronous code."""
        return self.next(user_agent)
