"""AsyncClient on asyncio and uvloop: awaiting, many at once, cancelling, loops that come and go."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import sys
import threading
import time
import warnings
import weakref

import pytest

import tls_requests
from tls_requests import _core

try:
    import uvloop
except ImportError:
    uvloop = None


@pytest.fixture(
    params=["asyncio", pytest.param("uvloop", marks=pytest.mark.skipif(uvloop is None, reason="no uvloop"))]
)
def run(request):
    """asyncio.run on one kind of loop, in debug mode, where any exception that reaches the loop fails the test."""

    def runner(main, debug=True):
        problems = []
        loop = uvloop.new_event_loop() if request.param == "uvloop" else asyncio.new_event_loop()
        loop.set_debug(debug)
        loop.set_exception_handler(lambda loop, context: problems.append(context))
        try:
            asyncio.set_event_loop(loop)
            return loop.run_until_complete(asyncio.wait_for(main, 60))
        finally:
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0))
            loop.run_until_complete(loop.shutdown_asyncgens())
            asyncio.set_event_loop(None)
            loop.close()
            gc.collect()
            assert problems == []

    return runner


def test_it_is_a_coroutine(site, run):
    client = tls_requests.AsyncClient()
    for name in (
        "get",
        "post",
        "put",
        "patch",
        "delete",
        "options",
        "head",
        "request",
        "send",
        "aclose",
        "abuild_request",
    ):
        assert inspect.iscoroutinefunction(getattr(client, name)), name

    async def main():
        coroutine = client.get(f"{site.base}/echo")
        assert asyncio.iscoroutine(coroutine) and inspect.isawaitable(coroutine) and inspect.iscoroutine(coroutine)
        assert site.seen == []
        return await coroutine

    assert run(main()).status_code == 200
    with pytest.warns(RuntimeWarning, match="was never awaited"):
        client.get(f"{site.base}/echo")
        gc.collect()


def test_asyncio_run_of_a_call(site):
    client = tls_requests.AsyncClient()
    assert asyncio.run(client.get(f"{site.base}/echo")).status_code == 200
    assert asyncio.run(client.get(f"{site.base}/echo")).status_code == 200
    assert len(site.seen) == 2


def test_ways_of_waiting(site, run):
    async def main():
        async with tls_requests.AsyncClient() as client:
            url = f"{site.base}/echo"
            assert (await asyncio.create_task(client.get(url))).status_code == 200
            assert (await asyncio.wait_for(client.get(url), 10)).status_code == 200
            assert (await asyncio.shield(client.get(url))).status_code == 200
            assert (await asyncio.ensure_future(client.get(url))).status_code == 200
            done, _ = await asyncio.wait([asyncio.create_task(client.get(url)) for _ in range(3)])
            assert len(done) == 3
            for completed in asyncio.as_completed([client.get(url) for _ in range(3)]):
                assert (await completed).status_code == 200
            responses = await asyncio.gather(*[client.get(f"{url}?n={n}") for n in range(20)])
            assert [str(response.url) for response in responses] == [f"{url}?n={n}" for n in range(20)]
            if sys.version_info >= (3, 11):
                async with asyncio.timeout(10):
                    await client.get(url)
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(client.get(url)) for _ in range(3)]
                assert all(task.result().status_code == 200 for task in tasks)

    run(main())


def test_python_tasks(site):
    """The pure Python Task speaks the same protocol."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **kwargs: asyncio.tasks._PyTask(coro, loop=loop, **kwargs))
        async with tls_requests.AsyncClient() as client:
            assert (await loop.create_task(client.get(f"{site.base}/echo"))).status_code == 200
            task = loop.create_task(client.get(f"{site.base}/delay/5"))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_tasks(site):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        async with tls_requests.AsyncClient() as client:
            responses = await asyncio.gather(*[asyncio.create_task(client.get(f"{site.base}/echo")) for _ in range(10)])
            assert all(response.status_code == 200 for response in responses)

    asyncio.run(main())


def test_context_variables(site, run):
    variable = contextvars.ContextVar("variable", default="outside")

    async def one(client, value):
        variable.set(value)
        await client.get(f"{site.base}/echo")
        assert variable.get() == value
        assert asyncio.current_task() is not None
        await client.get(f"{site.base}/echo")
        return variable.get()

    async def main():
        async with tls_requests.AsyncClient() as client:
            assert await asyncio.gather(*[one(client, n) for n in range(10)]) == list(range(10))
            assert variable.get() == "outside"

    run(main())


def test_requests_overlap_and_timers_run(site, run):
    async def main():
        async with tls_requests.AsyncClient() as client:
            late = []
            stop = False

            async def ticks():
                while not stop:
                    before = time.perf_counter()
                    await asyncio.sleep(0.002)
                    late.append(time.perf_counter() - before - 0.002)

            ticker = asyncio.create_task(ticks())
            start = time.perf_counter()
            await asyncio.gather(*[client.get(f"{site.base}/delay/0.3") for _ in range(5)])
            took = time.perf_counter() - start
            stop = True
            await ticker
            assert took < 1.2, "one after another"
            assert len(late) > 20

    run(main(), debug=False)


def test_a_thousand_at_once(nginx, ca_file, run):
    async def main():
        late = []
        stop = False

        async def ticks():
            while not stop:
                before = time.perf_counter()
                await asyncio.sleep(0.002)
                late.append(time.perf_counter() - before - 0.002)

        async with tls_requests.AsyncClient(verify=ca_file) as client:
            ticker = asyncio.create_task(ticks())
            responses = await asyncio.gather(*[client.get(nginx.url()) for _ in range(1000)])
            stop = True
            await ticker
        assert all(response.status_code == 200 and len(response.content) == 38 for response in responses)
        assert {response.http_version for response in responses} == {"HTTP/2.0"}
        assert late, "no timer ran meanwhile"

    before = _core.stats()["handshakes"]
    run(main(), debug=False)
    assert _core.stats()["handshakes"] - before <= 6, "a cold burst must not open a connection for each request"


# ----------------------------------------------------------------------------------------------------------- cancelling


def test_cancelling(site, run):
    async def main():
        async with tls_requests.AsyncClient() as client:
            task = asyncio.create_task(client.get(f"{site.base}/delay/5"))
            await asyncio.sleep(0.05)
            start = time.perf_counter()
            assert task.cancel("why")
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled() and time.perf_counter() - start < 1
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.get(f"{site.base}/delay/5"), 0.05)
            assert (await client.get(f"{site.base}/echo")).status_code == 200
            # before it has run at all
            task = asyncio.create_task(client.get(f"{site.base}/echo?never"))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert not any("never" in seen["path"] for seen in site.seen)

    run(main())


def test_swallowed_cancellation(site, run):
    async def main():
        async with tls_requests.AsyncClient() as client:

            async def stubborn():
                try:
                    await client.get(f"{site.base}/delay/5")
                except asyncio.CancelledError:
                    return await client.get(f"{site.base}/echo")

            task = asyncio.create_task(stubborn())
            await asyncio.sleep(0.05)
            task.cancel()
            assert (await task).status_code == 200

    run(main())


def test_cancellation_storm(nginx, ca_file, run):
    async def main():
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            await client.get(nginx.url())
            for turn in range(30):
                tasks = [asyncio.create_task(client.get(nginx.url())) for _ in range(50)]
                for _ in range(turn % 5):
                    await asyncio.sleep(0)
                await asyncio.sleep(0.0002 * (turn % 7))
                for task in tasks[turn % 3 :: 2]:
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(
                    isinstance(result, asyncio.CancelledError) or result.status_code == 200 for result in results
                ), results
            assert (await client.get(nginx.url())).status_code == 200

    run(main())


def test_cancelling_keeps_the_http2_connection(nginx, ca_file, run):
    async def main():
        async with tls_requests.AsyncClient(verify=ca_file) as client:
            await client.get(nginx.url())
            before = _core.stats()["conns_opened"]
            for _ in range(20):
                task = asyncio.create_task(client.get(nginx.url("/page.txt")))
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert (await client.get(nginx.url())).status_code == 200
            assert _core.stats()["conns_opened"] == before

    run(main())


def test_first_completed_wins(site, run):
    async def main():
        async with tls_requests.AsyncClient() as client:
            tasks = [asyncio.create_task(client.get(f"{site.base}/delay/{delay}")) for delay in (0.05, 5, 5)]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert len(done) == 1 and next(iter(done)).result().status_code == 200
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    run(main())


def test_keyboard_interrupt_in_a_task_leaves_the_others(site):
    """A task that lets KeyboardInterrupt out stops the loop; what was done with it in one batch is not lost."""
    client = tls_requests.AsyncClient()

    async def bad():
        await client.get(f"{site.base}/echo")
        raise KeyboardInterrupt

    async def good():
        return (await client.get(f"{site.base}/echo")).status_code

    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(bad() if number == 3 else good()) for number in range(8)]
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(asyncio.wait(tasks))
    others = [task for number, task in enumerate(tasks) if number != 3]
    assert loop.run_until_complete(asyncio.wait_for(asyncio.gather(*others), 10)) == [200] * 7
    assert isinstance(tasks[3].exception(), KeyboardInterrupt)
    loop.close()


# ---------------------------------------------------------------------------------------------------------------- loops


def num_bridges():
    """Of loops that are there; that of blocking WebSockets and the like lives as long as the process."""
    gc.collect()
    return _core.stats()["bridges"]


def test_loops_in_turn_and_side_by_side(site):
    before = num_bridges()
    client = tls_requests.AsyncClient()
    for _ in range(3):
        asyncio.run(client.get(f"{site.base}/echo"))
    problems = []

    async def many():
        for _ in range(10):
            for response in await asyncio.gather(*[client.get(f"{site.base}/echo") for _ in range(5)]):
                assert response.status_code == 200

    def work():
        try:
            asyncio.run(many())
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert num_bridges() == before


def test_sync_and_async_on_one_engine(site, run):
    blocking = tls_requests.Client()

    async def main():
        async with tls_requests.AsyncClient() as client:
            loop = asyncio.get_running_loop()
            in_thread = [loop.run_in_executor(None, blocking.get, f"{site.base}/echo") for _ in range(10)]
            responses = await asyncio.gather(*in_thread, *[client.get(f"{site.base}/echo") for _ in range(10)])
            assert all(response.status_code == 200 for response in responses)

    run(main())
    blocking.close()


def test_loop_closed_with_requests_under_way(site):
    before = num_bridges()
    client = tls_requests.AsyncClient()
    for body in (None, b"x" * 100_000):
        loop = asyncio.new_event_loop()
        tasks = [loop.create_task(client.post(f"{site.base}/delay/1", content=body)) for _ in range(5)]
        loop.run_until_complete(asyncio.sleep(0.05))
        gone = weakref.ref(loop)
        for task in tasks:
            task._log_destroy_pending = False
        loop.close()
        del loop, tasks, task
        gc.collect()
        assert gone() is None
        assert asyncio.run(client.get(f"{site.base}/echo")).status_code == 200
    deadline = time.monotonic() + 10
    while _core.stats()["abandoned"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _core.stats()["abandoned"] == 0
    assert num_bridges() == before


def test_no_warnings_at_the_end_of_a_run(site):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = tls_requests.AsyncClient()
        asyncio.run(client.get(f"{site.base}/echo"), debug=True)
        del client
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


def test_loop_without_add_reader(site):
    class Loop(asyncio.SelectorEventLoop):
        def add_reader(self, fd, callback, *args):
            if "drain" in repr(callback):
                raise NotImplementedError
            return super().add_reader(fd, callback, *args)

    loop = Loop()
    client = tls_requests.AsyncClient()

    async def main():
        responses = await asyncio.gather(*[client.get(f"{site.base}/echo") for _ in range(30)])
        return [response.status_code for response in responses]

    assert loop.run_until_complete(asyncio.wait_for(main(), 20)) == [200] * 30
    assert loop.run_until_complete(asyncio.wait_for(main(), 20)) == [200] * 30
    loop.close()
    deadline = time.monotonic() + 5
    while any(thread.name == "tls_requests-waker" for thread in threading.enumerate()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(thread.name == "tls_requests-waker" for thread in threading.enumerate())


def test_outside_of_a_loop():
    coroutine = tls_requests.AsyncClient().get("http://127.0.0.1:1/")
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)


def test_closing_with_requests_under_way(site, run):
    async def main():
        client = tls_requests.AsyncClient()
        tasks = [asyncio.create_task(client.get(f"{site.base}/delay/5")) for _ in range(3)]
        await asyncio.sleep(0.1)
        await client.aclose()
        await client.aclose()
        responses = await asyncio.wait_for(asyncio.gather(*tasks), 5)
        assert {type(response.error) for response in responses} == {tls_requests.exceptions.ClientClosed}
        with pytest.raises(RuntimeError, match="has been closed"):
            await client.get(f"{site.base}/echo")

    run(main())


def test_rotators(site, run):
    async def main():
        headers = tls_requests.HeaderRotator([{"user-agent": "one"}, {"user-agent": "two"}], strategy="round_robin")
        async with tls_requests.AsyncClient(headers=headers, client_identifier=["chrome_133", "firefox_133"]) as client:
            for _ in range(2):
                await client.get(f"{site.base}/echo")
        agents = [dict((name.lower(), value) for name, value in seen["headers"])["user-agent"] for seen in site.seen]
        assert agents == ["one", "two"]

    run(main())
