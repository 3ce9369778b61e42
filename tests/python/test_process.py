"""What needs a process of its own: leaks, Ctrl-C, fork, the interpreter's end, threads, subinterpreters."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest

PRELUDE = """
import asyncio, gc, os, signal, sys, threading, time
import tls_requests
from tls_requests import _core
BASE = sys.argv[1]
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs start with it ignored
"""


def script(code: str, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own that sees the package as this one does."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONFAULTHANDLER": "1",
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
    )


def check(code: str, *arguments: str, timeout: float = 60) -> str:
    done = script(code, *arguments, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


LEAKS = """
CALLS = 60
client = tls_requests.Client()

def plain(): client.get(BASE + "/echo")
def rich():
    client.post(BASE + "/echo", json={"a": [1]}, headers={"x-a": "1"}, cookies={"c": "d"}, params={"p": "1"}).json()
def redirected():
    response = client.get(BASE + "/redirect/2")
    response.history[0].url, response.request.headers, response.cookies, response.headers, response.text, response.next
def failed(): client.get("http://127.0.0.1:1/").error
def unprepared(): client.get(BASE, headers={"a": "\\r"}).error
def refused():
    try: client.get(BASE, params=5)
    except tls_requests.HTTPError: pass
def chained(): client.get(BASE + "/echo", auth=("a", "b")).request
def large(): client.get(BASE + "/bytes/200000").content

async def aplain(): await asyncio.gather(*[aclient.get(BASE + "/echo") for _ in range(2)])
async def abody(): await aclient.post(BASE + "/echo", content=b"x" * 1000)
async def aredirected(): (await aclient.get(BASE + "/redirect/1")).history
async def afailed(): (await aclient.get("http://127.0.0.1:1/")).error
async def acancelled():
    task = asyncio.create_task(aclient.post(BASE + "/delay/0.02", content=b"x" * 1000))
    await asyncio.sleep(0.002)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
async def achained(): await aclient.get(BASE + "/echo", headers={"a": 5})

KINDS = {
    "blocking": [plain, rich, redirected, failed, unprepared, refused, chained, large],
    "asynchronous": [aplain, abody, aredirected, afailed, acancelled, achained],
}

def repeat(call):
    global aclient
    if sys.argv[2] == "blocking":
        for _ in range(CALLS):
            call()
        return
    async def main():
        global aclient
        async with tls_requests.AsyncClient() as aclient:
            for _ in range(CALLS):
                await call()
    asyncio.run(main())
    aclient = None
    time.sleep(0.1)  # answers to cancelled requests come a little later

def measure():
    sys._clear_type_cache()  # it keeps the names that were looked up
    for _ in range(3):
        gc.collect()
    stats = _core.stats()
    types = sum(sys.getrefcount(t) for t in (tls_requests.Response, _core.Response, _core._Op, _core.BaseClient))
    return {
        "Python blocks": sys.getallocatedblocks(),
        "references to types": types,
        "engine blocks": stats["blocks"],
        "descriptors": len(os.listdir("/proc/self/fd")) * CALLS // 8,
        "threads": len(os.listdir("/proc/self/task")) * CALLS,
    }

for call in KINDS[sys.argv[2]]:
    repeat(call)
    measures = [measure()]
    for _ in range(4):
        repeat(call)
        measures.append(measure())
    # The interpreter's own caches grow for a while; what leaks with each call grows in every window.
    for name in measures[0]:
        growth = [after[name] - before[name] for before, after in zip(measures, measures[1:])]
        assert min(growth) < CALLS * 2 // 3, (call.__name__, name, growth)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
@pytest.mark.parametrize("kind", ["blocking", "asynchronous"])
def test_leaks(site, kind):
    check(LEAKS, site.base, kind, timeout=120)


def test_clients_come_and_go(site):
    check(
        """
        def make(n):
            for _ in range(n):
                with tls_requests.Client(headers={"a": "b"}, cookies={"c": "d"}) as client:
                    client.get(BASE + "/echo")
                tls_requests.AsyncClient()
        make(20); time.sleep(0.3); gc.collect()
        before = sys.getallocatedblocks(), _core.stats()["blocks"], len(os.listdir("/proc/self/fd"))
        make(60); time.sleep(0.3); gc.collect()
        after = sys.getallocatedblocks(), _core.stats()["blocks"], len(os.listdir("/proc/self/fd"))
        print(before, after)
        assert after[0] - before[0] < 60 and after[1] - before[1] < 60 and after[2] - before[2] < 4
        """,
        site.base,
    )


def test_many_idle_clients(site):
    out = check(
        """
        import resource
        def rss():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * resource.getpagesize()
        tls_requests.Client()
        before = rss()
        clients = [tls_requests.Client(cookies=None) for _ in range(10000)]
        print((rss() - before) // 10000)
        """,
        site.base,
    )
    assert int(out) < 4096


@pytest.mark.parametrize("where", ["waiting", "handshaking"])
def test_interrupt(site, where):
    silent = socket.create_server(("127.0.0.1", 0))
    with silent:
        port = silent.getsockname()[1]
        interrupt(site, f"{site.base}/delay/20" if where == "waiting" else f"https://127.0.0.1:{port}/")


def interrupt(site, url):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = PRELUDE + textwrap.dedent("""
        client = tls_requests.Client()
        print("go", flush=True)
        try:
            client.get(sys.argv[2])
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        print(client.get(BASE + "/echo").status_code, flush=True)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", code, site.base, url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout.readline() == "go\n"
        time.sleep(0.5)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert out == "interrupted\n200\n", err
        assert time.monotonic() - start < 5
        assert process.returncode == 0


def test_interrupt_of_an_asyncio_program(site):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    code = PRELUDE + textwrap.dedent("""
        async def main():
            async with tls_requests.AsyncClient() as client:
                print("go", flush=True)
                await asyncio.gather(*[client.get(BASE + "/delay/20") for _ in range(5)])
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", code, site.base],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout.readline() == "go\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (out, err, process.returncode) == ("interrupted\n", "", 0)


def test_other_threads_run_during_a_blocking_call(site):
    check(
        """
        count = 0
        def work():
            global count
            while not done:
                count += 1
                time.sleep(0.001)
        done = False
        thread = threading.Thread(target=work); thread.start()
        tls_requests.get(BASE + "/delay/0.5")
        done = True
        thread.join()
        assert count > 50, count
        """,
        site.base,
    )


def test_threads_hammer_one_client(site):
    check(
        """
        client = tls_requests.Client(cookies={"a": "1"})
        problems = []
        def work(number):
            try:
                for n in range(60):
                    response = client.get(f"{BASE}/echo?{number}.{n}", headers={"x": str(n)})
                    assert response.json()["path"] == f"/echo?{number}.{n}", response.text
                    if n % 10 == 0:
                        client.timeout = 5 + n
                        client.headers = {"X-N": str(n)}
                        client.cookies["n"] = str(n)
                        assert client.get("http://127.0.0.1:1/").status_code == 0
            except BaseException as error:
                problems.append(repr(error))
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert problems == [], problems
        """,
        site.base,
        timeout=120,
    )


def test_one_response_many_threads(site):
    check(
        """
        client = tls_requests.Client()
        problems = []
        for _ in range(30):
            response = client.get(BASE + "/redirect/2")
            barrier = threading.Barrier(6)
            def work():
                barrier.wait()
                try:
                    assert b"/echo" in response.content and len(response.history) == 2
                    assert response.history[0].content == b"moved"
                    response.headers, response.request.headers, response.cookies, response.text
                except BaseException as error:
                    problems.append(repr(error))
            threads = [threading.Thread(target=work) for _ in range(6)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        assert problems == [], problems
        """,
        site.base,
    )


END = """
client = tls_requests.{client}()
{body}
print("end", flush=True)
"""


@pytest.mark.parametrize(
    "body",
    [
        "thread = threading.Thread(target=client.get, args=(BASE + '/delay/30',), daemon=True); thread.start(); time.sleep(0.3)",
        "client.get(BASE + '/echo')",
        "import atexit; atexit.register(lambda: print(client.get(BASE + '/echo').status_code))",
        "client.keep = client; client.get(BASE + '/echo')",
        "response = client.get(BASE + '/redirect/1'); sys.modules['keep'] = response",
    ],
)
def test_end_with_a_blocking_client(site, body):
    start = time.monotonic()
    done = script(END.format(client="Client", body=body), site.base, timeout=20)
    assert done.returncode == 0 and done.stdout.startswith("end\n"), done.stdout + done.stderr
    assert done.stderr == ""
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "body",
    [
        """
loop = asyncio.new_event_loop()
tasks = [loop.create_task(client.get(BASE + '/delay/30')) for _ in range(3)]
loop.run_until_complete(asyncio.sleep(0.2))
for task in tasks: task._log_destroy_pending = False
del task
loop.close()
""",
        """
loop = asyncio.new_event_loop()
tasks = [loop.create_task(client.post(BASE + '/delay/30', content=b'x' * 100000)) for _ in range(3)]
for task in tasks: task._log_destroy_pending = False
loop.run_until_complete(asyncio.sleep(0.2))
import builtins; builtins.keep = tasks, loop
loop.close()
""",
        """
def work():
    asyncio.run(client.get(BASE + '/delay/30'))
threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
""",
    ],
)
def test_end_with_an_asynchronous_client(site, body):
    start = time.monotonic()
    done = script(END.format(client="AsyncClient", body=body), site.base, timeout=20)
    assert done.returncode == 0 and done.stdout == "end\n", done.stdout + done.stderr
    assert time.monotonic() - start < 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork(site):
    out = check(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of fork with threads
        client = tls_requests.Client(headers={"X-Kept": "1"})
        aclient = tls_requests.AsyncClient()
        assert client.get(BASE + "/cookie", params={"set": "a=1; Path=/"}).status_code == 200
        asyncio.run(aclient.get(BASE + "/echo"))
        background = threading.Thread(target=client.get, args=(BASE + "/delay/0.5",)); background.start()
        time.sleep(0.1)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                response = client.get(BASE + "/echo")
                headers = {name.lower(): value for name, value in response.json()["headers"]}
                assert headers["x-kept"] == "1" and headers["cookie"] == "a=1"
                assert asyncio.run(aclient.get(BASE + "/echo")).status_code == 200
                assert tls_requests.get(BASE + "/echo").status_code == 200
                code = 0
            except BaseException as error:
                print("child:", repr(error), file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        background.join()
        assert os.waitstatus_to_exitcode(status) == 0
        assert client.get(BASE + "/echo").status_code == 200
        print("parent", client.get(BASE + "/echo").status_code)
        """,
        site.base,
    )
    assert out == "parent 200\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_multiprocessing(site):
    check(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        client = tls_requests.Client()
        client.get(BASE + "/echo")
        context = multiprocessing.get_context("fork")
        def work(queue):
            queue.put(client.get(BASE + "/echo").status_code)
        queue = context.Queue()
        processes = [context.Process(target=work, args=(queue,)) for _ in range(3)]
        [process.start() for process in processes]
        assert [queue.get(timeout=20) for _ in processes] == [200] * 3
        [process.join(20) for process in processes]
        assert [process.exitcode for process in processes] == [0] * 3
        """,
        site.base,
    )


def test_subinterpreters(site):
    pytest.importorskip("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")
    check(
        """
        import importlib
        interpreters = importlib.import_module("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")
        code = f'''
        import sys
        sys.path[:] = {sys.path!r}
        import tls_requests
        with tls_requests.Client() as client:
            assert client.get({BASE!r} + "/echo").status_code == 200
            assert client.get("http://127.0.0.1:1/").error is not None
        '''
        import textwrap
        assert tls_requests.get(BASE + "/echo").status_code == 200
        for _ in range(3):
            interpreter = interpreters.create()
            problem = interpreters.run_string(interpreter, textwrap.dedent(code))
            assert not problem, problem
            interpreters.destroy(interpreter)
        assert tls_requests.get(BASE + "/echo").status_code == 200
        """,
        site.base,
    )


def test_import_is_light():
    code = """
import sys
before = set(sys.modules)
import tls_requests
heavy = {"asyncio", "datetime", "email", "http.cookiejar", "idna", "inspect", "json", "logging", "ssl", "urllib.parse", "uuid"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, timeout=30, env=environment
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr
