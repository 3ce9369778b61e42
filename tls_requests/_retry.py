"""Retries: what is tried again when a caller asks for it, and when. Imported when somebody does."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from .exceptions import ClientClosed, HTTPError

if TYPE_CHECKING:
    from .models.response import Response

__all__ = ["Attempt", "Retry", "Tries"]

# Failures that another try may not meet again. What a certificate, a header or an argument is wrong with stays wrong.
_TRANSIENT = frozenset(
    {
        "DNS_FAILED",
        "CONNECT_REFUSED",
        "CONNECT_UNREACHABLE",
        "CONNECT_FAILED",
        "CONNECT_RESET",
        "SYSTEM",
        "TIMEOUT_POOL",
        "TIMEOUT_CONNECT",
        "TIMEOUT_TLS",
        "TIMEOUT_WRITE",
        "TIMEOUT_FIRST_BYTE",
        "TIMEOUT_READ",
        "TIMEOUT_TOTAL",
        "TLS_CLOSED",
        "H2_RESET",
        "H2_REFUSED",
        "H2_GOAWAY",
        "H2_CALM",
        "CLOSED_EARLY",
        "BODY_TRUNCATED",
        "PROXY_CONNECT",
        "PROXY_CLOSED",
        "PROXY_TIMEOUT",
    }
)
_IDEMPOTENT = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")  # RFC 9110 9.2.2


class Attempt(NamedTuple):
    """A try that was followed by another."""

    number: int
    """From 1 on."""
    status: int
    """The answer's status; 0: there was none."""
    error: Exception | None
    """Why there was no answer."""
    elapsed: float
    """Seconds that the try took."""
    delay: float
    """Seconds that were waited behind it."""


class Retry:
    """A policy: whether a request is sent again, and after how long.

    count: tries beyond the first. statuses: answers that are tried again. methods: those that may be sent again though
    the server may have acted on them; failures of which it is sure that it has not (`error.safe_to_retry`) are tried
    again with every method. backoff: seconds before the first new try, twice as long before each further one, at most
    max_backoff. jitter: up to this part of it, at random, is left off. respect_retry_after: an answer's Retry-After is
    the least that is waited. max_wait: where more than these seconds would have to be waited, there is no new try.
    Only failures that may pass are tried again, never a certificate that is wrong, a name that does not exist, or a bad
    header. Each try has the request's time-outs for itself.
    Raises TypeError and ValueError for what cannot be.

    >>> Retry(3, statuses=[503]).wait_for(2)
    1.0
    """

    __slots__ = ("backoff", "count", "jitter", "max_backoff", "max_wait", "methods", "respect_retry_after", "statuses")

    def __init__(
        self,
        count: int = 2,
        *,
        statuses: Iterable[int] = (429, 502, 503, 504),
        methods: Iterable[str] = _IDEMPOTENT,
        backoff: float = 0.5,
        max_backoff: float = 30.0,
        jitter: float = 0.5,
        respect_retry_after: bool = True,
        max_wait: float = 60.0,
    ) -> None:
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"count must be an int, not {type(count).__name__}")
        if not 0 <= count <= 1000:
            raise ValueError(f"count must be from 0 to 1000, not {count}")
        for name, value in (("backoff", backoff), ("max_backoff", max_backoff), ("max_wait", max_wait)):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number of seconds, not {type(value).__name__}")
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} must be from 0 on and finite, not {value!r}")
        if isinstance(jitter, bool) or not isinstance(jitter, (int, float)) or not 0 <= jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, not {jitter!r}")
        if isinstance(methods, str):
            raise TypeError("methods must be a collection of str, not a str")
        self.count = count
        self.statuses = frozenset(int(status) for status in statuses)
        self.methods = frozenset(method.upper() for method in methods)
        self.backoff = backoff
        self.max_backoff = max_backoff
        self.jitter = jitter
        self.respect_retry_after = bool(respect_retry_after)
        self.max_wait = max_wait

    @classmethod
    def of(cls, value: Retry | int | None) -> Retry | None:
        """A policy from what `retries` may be: None or False, a number of tries, or a Retry."""
        if value is None or value is False:
            return None
        if isinstance(value, Retry):
            return value if value.count else None
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(value) if value else None
        raise TypeError(f"retries must be a Retry or an int, not {type(value).__name__}")

    def wait_for(self, number: int, retry_after: float | None = None) -> float | None:
        """Seconds before the new try behind try `number` (from 1), without jitter; None: longer than max_wait."""
        delay = min(self.backoff * 2.0 ** min(number - 1, 60), self.max_backoff)
        if retry_after is not None and self.respect_retry_after:
            delay = max(delay, retry_after)
        return delay if delay <= self.max_wait else None

    def decide(self, number: int, method: str, response: Response | None, error: Exception | None) -> float | None:
        """Seconds to wait after try `number` and before the next; None: there is none."""
        if number > self.count:
            return None
        retry_after: float | None = None
        if error is not None:
            code = getattr(error, "code", "")
            safe = getattr(error, "safe_to_retry", False)
            if code not in _TRANSIENT or not (safe or method.upper() in self.methods):
                return None
        elif response is not None and response.status_code in self.statuses and method.upper() in self.methods:
            retry_after = _retry_after(response.headers.get("retry-after"))
        else:
            return None
        delay = self.wait_for(number, retry_after)
        if delay is None:
            return None
        jittered = delay * (1 - self.jitter * random.random())
        return jittered if retry_after is None or not self.respect_retry_after else max(jittered, retry_after)

    def tries(self, method: str) -> Tries:
        """The tries of one request."""
        return Tries(self, method)

    def __repr__(self) -> str:
        return f"Retry({self.count}, statuses={sorted(self.statuses)}, methods={sorted(self.methods)})"


class Tries:
    """The tries of one request: whoever sends tells what came of each, and asks whether and after how long there is one more."""

    def __init__(self, policy: Retry, method: str) -> None:
        self.open = True
        self.delay = 0.0
        self._policy = policy
        self._method = method
        self.attempts: list[Attempt] = []
        self._response: Response | None = None
        self._error: HTTPError | None = None
        self._start = 0.0

    def begin(self) -> None:
        """A try starts."""
        self._start = time.monotonic()
        self._response = self._error = None

    def took(self, response: Response) -> None:
        """It ended with a response, perhaps one of status 0."""
        self._response = response
        self._judge(response.error if response.status_code == 0 else None)

    def failed(self, error: HTTPError) -> None:
        """It ended with an exception."""
        self._error = error
        self._judge(error)

    def _judge(self, error: Exception | None) -> None:
        number = len(self.attempts) + 1
        response = self._response
        if isinstance(error, ClientClosed) and self.attempts and not error.request_sent:
            # With none under way it is what the tries before did that counts.
            before = [attempt.error for attempt in self.attempts]
            error.request_sent = any(getattr(failure, "request_sent", True) for failure in before)
            error.safe_to_retry = all(getattr(failure, "safe_to_retry", False) for failure in before)
        # No policy, a subclass's neither, can send by a client that is closed.
        final = isinstance(error, ClientClosed)
        delay = None if final else self._policy.decide(number, self._method, response, error)
        if delay is None:
            self.open = False
            return
        self.delay = delay
        status = response.status_code if response is not None else 0
        self.attempts.append(Attempt(number, status, error, time.monotonic() - self._start, delay))

    def result(self) -> Response:
        """The last answer, or raise the last exception; both know the attempts before."""
        if self._error is not None:
            self._error.attempts = self.attempts
            raise self._error
        response = self._response
        assert response is not None
        response.attempts = self.attempts
        if response.status_code == 0 and isinstance(response.error, HTTPError):
            response.error.attempts = self.attempts
        return response


def _retry_after(value: str | None) -> float | None:
    """RFC 9110 10.2.3: seconds, or a date. Anything else is as if it were not there."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    from email.utils import parsedate_to_datetime

    try:
        # Years, days and zones out of range are found in either step, as is what has more digits than a number of C's.
        when = parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, when - time.time())
