"""Retries as a policy of the caller's: what is tried again, after how long, and what is shown of it."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest

import tls_requests
from peers.fake import Fake, Link
from tls_requests import Attempt, Retry, _retry, exceptions

QUICK = Retry(3, backoff=0.01)


@contextlib.contextmanager
def serving(behave: Callable[..., None]) -> Iterator[Fake]:
    server = Fake(behave)
    try:
        yield server
    finally:
        server.close()


def answers(*steps: Any) -> Callable[[Link], None]:
    """A server whose n-th request gets the n-th step: a status, (status, field...), "drop" or "hold"; the last one stays."""
    number = 0
    lock = threading.Lock()

    def behave(link: Link) -> None:
        nonlocal number
        while True:
            link.request()
            with lock:
                step = steps[min(number, len(steps) - 1)]
                number += 1
            if step == "drop":
                return
            if step == "hold":
                link.hold()
                return
            status, *fields = step if isinstance(step, tuple) else (step,)
            link.answer(b"body", status, *fields)

    return behave


def test_off_by_default(twin):
    with serving(answers(503, 200)) as server, twin.client() as client:
        response = client.get(server.url())
        assert response.status_code == 503 and response.attempts == ()
        assert client.retries is None and len(server.requests) == 1


@pytest.mark.parametrize("how", ["client", "request", "number", "attribute"])
def test_statuses(twin, how):
    on_client = {"client": {"retries": QUICK}, "number": {"retries": 3}}.get(how, {})
    on_request = {"retries": QUICK} if how == "request" else {}
    with serving(answers(503, 429, 200)) as server, twin.client(**on_client) as client:
        if how == "attribute":
            client.retries = QUICK
        if how == "number":
            assert client.retries.count == 3
        response = client.get(server.url(), **on_request)
        assert response.status_code == 200 and response.text == "body"
        assert [(attempt.number, attempt.status, attempt.error) for attempt in response.attempts] == [
            (1, 503, None),
            (2, 429, None),
        ]
        assert all(isinstance(attempt, Attempt) and attempt.elapsed > 0 for attempt in response.attempts)
        assert len(server.requests) == 3
        assert pickle.loads(pickle.dumps(response)).attempts == response.attempts


def test_the_last_answer_stands(twin):
    with serving(answers(503)) as server, twin.client(retries=Retry(2, backoff=0.001), raise_on_error=True) as client:
        response = client.get(server.url())
        assert response.status_code == 503 and len(response.attempts) == 2 and len(server.requests) == 3
        assert client.get(server.url(), retries=0).attempts == ()
        assert client.get(server.url(), retries=False).status_code == 503


@pytest.mark.parametrize(
    ("method", "status", "policy", "sent"),
    [
        ("POST", 503, Retry(2, backoff=0.001), 1),
        ("PATCH", 503, Retry(2, backoff=0.001), 1),
        ("PUT", 503, Retry(2, backoff=0.001), 3),
        ("POST", 503, Retry(2, backoff=0.001, methods=["post"]), 3),
        ("GET", 503, Retry(2, backoff=0.001, methods=[]), 1),
        ("GET", 500, Retry(2, backoff=0.001), 1),
        ("GET", 500, Retry(2, backoff=0.001, statuses=[500]), 3),
        ("GET", 404, Retry(2, backoff=0.001), 1),
    ],
)
def test_which_requests(twin, method, status, policy, sent):
    with serving(answers(status)) as server, twin.client(retries=policy) as client:
        body = {"content": b"payload"} if method in ("POST", "PUT", "PATCH") else {}
        assert client.request(method, server.url(), **body).status_code == status
        assert len(server.requests) == sent
        assert all(seen.body == body.get("content", b"") for seen in server.requests)


@pytest.mark.parametrize("raises", [False, True])
def test_failures(twin, raises):
    with serving(answers("drop", "drop", 200)) as server, twin.client(retries=QUICK, raise_on_error=raises) as client:
        response = client.get(server.url())
        assert response.status_code == 200
        assert [attempt.error.code for attempt in response.attempts] == ["CLOSED_EARLY", "CLOSED_EARLY"]
    with serving(answers("drop")) as server, twin.client(retries=QUICK, raise_on_error=raises) as client:
        if raises:
            with pytest.raises(exceptions.RemoteProtocolError) as caught:
                client.get(server.url())
            error = caught.value
        else:
            error = client.get(server.url()).error
        assert len(error.attempts) == 3 and len(server.requests) == 4
        with contextlib.suppress(exceptions.HTTPError):
            assert client.post(server.url()).status_code == 0
        assert len(server.requests) == 5, "the server may have acted on a POST"


def test_what_was_not_sent_is_tried_with_every_method(twin):
    with twin.client(retries=Retry(2, backoff=0.001)) as client:
        assert len(client.post("http://127.0.0.1:1/").attempts) == 2


def test_what_stays_wrong_is_not_tried(twin, nginx):
    with twin.client(retries=QUICK) as client:
        for url, kwargs in [
            (nginx.url(), {"verify": True}),
            ("http://nowhere.invalid/", {"resolve": {"nowhere.invalid": ["::1"]}, "family": 4}),
            ("http://127.0.0.1:1/", {"allow_private": False}),
            ("http://localhost/", {"headers": {"x": "a\nb"}}),
        ]:
            response = client.get(url, **kwargs)
            assert response.status_code == 0 and list(response.attempts) == [], url


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after(twin, form):
    value = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
    with serving(answers((503, f"Retry-After: {value}"), 200)) as server, twin.client(retries=QUICK) as client:
        start = time.monotonic()
        response = client.get(server.url())
        assert response.status_code == 200
        assert 0.8 < time.monotonic() - start < 10 and response.attempts[0].delay > 0.8
    with serving(answers((503, "Retry-After: 3600"), 200)) as server:
        assert tls_requests.get(server.url(), retries=QUICK).status_code == 503, "longer than max_wait"
        assert len(server.requests) == 1
    with serving(answers((503, "Retry-After: 3600"), 200)) as server:
        careless = Retry(1, backoff=0.001, respect_retry_after=False)
        assert tls_requests.get(server.url(), retries=careless).status_code == 200
    with serving(answers((503, "Retry-After: soon"), 200)) as server, twin.client(retries=QUICK) as client:
        assert client.get(server.url()).status_code == 200


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("0000000000000000000000", 2),
        ("9" * 400, 1),  # longer than max_wait, whatever that number is
        ("Fri, 31 Dec 99999 23:59:59 GMT", 2),
        ("Fri, 31 Dec 99999999999999999999 23:59:59 GMT", 2),
        ("Fri, 99999999999999999999 Dec 2015 23:59:59 GMT", 2),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 2),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", 2),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1),
    ],
)
def test_retry_after_that_means_nothing(twin, value, sent):
    """What cannot be read is as if it were not there; no text of the server's raises."""
    policy = Retry(1, backoff=0.001)
    with serving(answers((503, f"Retry-After: {value}"), 200)) as server, twin.client(retries=policy) as client:
        assert client.get(server.url()).status_code == (200 if sent == 2 else 503)
        assert len(server.requests) == sent


def test_leading_zeros_of_retry_after():
    assert _retry._retry_after("0000000000000003") == 3.0


def test_a_proxy_that_is_away_for_a_moment(twin):
    with twin.client(retries=QUICK, proxy="http://127.0.0.1:1") as client:
        for method in ("GET", "POST"):  # nothing was sent
            response = client.request(method, "http://localhost/")
            assert response.error.code == "PROXY_CONNECT"
            assert [attempt.error.code for attempt in response.attempts] == ["PROXY_CONNECT"] * 3


def test_transient_failures_are_failures_that_exist():
    from tls_requests._errors import ERRORS

    assert set(ERRORS) >= _retry._TRANSIENT


def test_each_try_has_its_own_time(twin):
    with serving(answers("hold", "hold", 200)) as server, twin.client(retries=QUICK, timeout=0.3) as client:
        response = client.get(server.url())
        assert response.status_code == 200
        assert [attempt.error.code for attempt in response.attempts] == ["TIMEOUT_TOTAL"] * 2


def test_waiting_blocks_nobody():
    async def main(server: Fake) -> None:
        async with tls_requests.AsyncClient(retries=Retry(1, backoff=0.5, jitter=0)) as client:
            start = time.monotonic()
            task = asyncio.ensure_future(client.get(server.url()))
            ticks = 0
            while not task.done():
                await asyncio.sleep(0.005)
                ticks += 1
            assert (await task).status_code == 200 and time.monotonic() - start >= 0.5
            assert ticks > 40
            task = asyncio.ensure_future(client.get(server.url(), retries=Retry(5, statuses=[200], backoff=30)))
            while len(server.requests) < 3:
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serving(answers(503, 200)) as server:
        asyncio.run(asyncio.wait_for(main(server), 30))


def close_meanwhile(twin: Any, client: Any, server: Fake, how: str, send: Callable[[], Any]) -> tuple[Any, float]:
    """What becomes of a request while whose long wait the client is closed, by a thread or a task, and how long after it."""
    began: list[float] = []

    def close() -> None:
        began.append(time.monotonic())
        client.client.close()

    async def close_by_task() -> None:
        while len(server.requests) < 1:
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)
        began.append(time.monotonic())
        await client.client.aclose()

    def close_by_thread() -> None:
        while len(server.requests) < 1:
            time.sleep(0.005)
        time.sleep(0.1)  # the answer comes in
        close()

    if how == "task":

        async def main() -> Any:
            task = asyncio.ensure_future(close_by_task())
            try:
                return await send()
            finally:
                await task

        result = twin.loop.run_until_complete(asyncio.wait_for(main(), 20))
    else:
        thread = threading.Thread(target=close_by_thread)
        thread.start()
        result = twin.run(send)
        thread.join()
    return result, time.monotonic() - began[0]


@pytest.mark.parametrize("how", ["thread", "task"])
@pytest.mark.parametrize("step", [(503, "Retry-After: 30"), "drop"])
def test_closing_the_client_ends_a_wait(twin, how, step, tmp_path):
    if how == "task" and twin.loop is None:
        pytest.skip("a blocking client has no tasks")
    policy = Retry(3, backoff=30, jitter=0)
    with serving(answers(step)) as server, twin.client(retries=policy) as client:
        response, late = close_meanwhile(twin, client, server, how, lambda: client.client.get(server.url()))
        assert response.status_code == 0 and isinstance(response.error, exceptions.ClientClosed) and late < 5
        assert (
            response.error.code == "CLIENT_CLOSED" and response.error.request_sent and not response.error.safe_to_retry
        )
        assert [attempt.number for attempt in response.attempts] == [1] and len(server.requests) == 1
        assert list(response.error.attempts) == list(response.attempts)
        with pytest.raises(RuntimeError, match="has been closed"):
            client.get(server.url())

    with serving(answers(step)) as server, twin.client(retries=policy) as client:
        out = tmp_path / "out"
        options = {"raise_on_error": True, "stream_output_path": str(out)}
        with pytest.raises(exceptions.ClientClosed) as caught:
            close_meanwhile(twin, client, server, how, lambda: client.client.get(server.url(), **options))
        assert len(caught.value.attempts) == 1 and len(server.requests) == 1
        assert out.read_bytes() == b"", "what the first try brought was taken back"


def test_closing_ends_every_wait_and_leaves_nothing_behind(twin):
    with serving(answers(503)) as server, twin.client(retries=Retry(1, backoff=30)) as client:
        found: list[Any] = []

        def get() -> None:
            if twin.loop is None:
                found.append(client.client.get(server.url()))
            else:
                found.append(asyncio.run(client.client.get(server.url())))

        threads = [threading.Thread(target=get) for _ in range(8)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 10
        while len(client.client.__dict__.get("_watches", ())) < 8 and time.monotonic() < end:
            time.sleep(0.005)
        client.client.close()
        for thread in threads:
            thread.join(5)
        assert [type(response.error) for response in found] == [exceptions.ClientClosed] * 8
        assert not client.client.__dict__["_watches"]

    with serving(answers(503, 503, 200)) as server, twin.client(retries=QUICK) as client:
        assert client.get(server.url()).status_code == 200
        assert not client.client.__dict__["_watches"], "no wait is remembered"


@pytest.mark.parametrize("raises", [False, True])
def test_closed_right_behind_the_wait(twin, monkeypatch, raises):
    """The client is closed when the wait is over already, and before the engine has the request."""
    import tls_requests._pauses as pauses

    genuine, agenuine = pauses.pause, pauses.apause

    def pause(client: Any, seconds: float) -> bool:
        going = genuine(client, seconds)
        client.close()
        return going

    async def apause(client: Any, seconds: float) -> bool:
        going = await agenuine(client, seconds)
        client.close()
        return going

    monkeypatch.setattr(pauses, "pause", pause)
    monkeypatch.setattr(pauses, "apause", apause)
    with serving(answers(503)) as server, twin.client(retries=QUICK, raise_on_error=raises) as client:
        if raises:
            with pytest.raises(exceptions.ClientClosed):
                client.get(server.url())
        else:
            assert isinstance(client.get(server.url()).error, exceptions.ClientClosed)
        assert len(server.requests) == 1


def test_a_policy_of_ones_own_does_not_go_on_with_a_closed_client(twin):
    class Stubborn(Retry):
        def decide(self, *_: Any) -> float:
            return 0.001

    with serving(answers("hold")) as server, twin.client(retries=Stubborn(1)) as client:
        response, late = close_meanwhile(twin, client, server, "thread", lambda: client.client.get(server.url()))
        assert isinstance(response.error, exceptions.ClientClosed) and late < 5


def test_cancelled_and_closed_at_once():
    """Who is cancelled is cancelled, also when the client is closed in the same turn of the loop."""

    async def main(server: Fake) -> None:
        client = tls_requests.AsyncClient(retries=Retry(1, backoff=30))
        task = asyncio.ensure_future(client.get(server.url()))
        while not client.__dict__.get("_watches"):
            await asyncio.sleep(0.005)
        await client.aclose()
        await asyncio.sleep(0)  # the wake-up has come, the task has not run
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not client.__dict__["_watches"]

    with serving(answers(503)) as server:
        asyncio.run(asyncio.wait_for(main(server), 20))


def test_delays():
    policy = Retry(9, backoff=1, max_backoff=10, jitter=0, max_wait=20)
    assert [policy.wait_for(number) for number in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert policy.wait_for(1, 15.0) == 15 and policy.wait_for(1, 25.0) is None
    assert Retry(9, backoff=1).wait_for(10**9) == 30
    jittered = {Retry(1, backoff=1, jitter=0.5).decide(1, "GET", None, _refused()) for _ in range(50)}
    assert len(jittered) > 10 and all(0.5 <= delay <= 1 for delay in jittered)
    assert repr(Retry(1, statuses=[503], methods=["GET"])) == "Retry(1, statuses=[503], methods=['GET'])"


def _refused() -> Exception:
    error = tls_requests.get("http://127.0.0.1:1/").error
    assert error is not None
    return error


def test_policies_that_cannot_be():
    for kwargs, error in [
        ({"count": -1}, ValueError),
        ({"count": 1.5}, TypeError),
        ({"backoff": -1}, ValueError),
        ({"backoff": "x"}, TypeError),
        ({"max_wait": float("inf")}, ValueError),
        ({"jitter": 2}, ValueError),
        ({"methods": "GET"}, TypeError),
    ]:
        with pytest.raises(error):
            Retry(**kwargs)
    with pytest.raises(TypeError, match="retries"):
        tls_requests.Client(retries="3")
    with tls_requests.Client() as client, pytest.raises(TypeError, match="retries"):
        client.get("http://127.0.0.1:1/", retries=1.5)


def test_module_function():
    with serving(answers(503, 200)) as server:
        assert tls_requests.get(server.url(), retries=QUICK).status_code == 200
