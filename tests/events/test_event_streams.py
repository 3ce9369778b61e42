"""Server-sent events over real connections: reconnection, ids, waits, limits, what browsers send."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import tls_requests
from peers.fake import Fake, Link
from tls_requests.exceptions import ClientClosed, ConnectError, EventStreamError, HTTPError, ReadTimeout

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"


class Reader:
    """Events of a client of either kind, as a list that is read as far as wanted."""

    def __init__(self, is_async: bool) -> None:
        self.is_async = is_async
        self.loop = asyncio.new_event_loop() if is_async else None
        self.client: Any = tls_requests.AsyncClient() if is_async else tls_requests.Client()
        self.events: Any = None

    def run(self, work: Any) -> Any:
        assert self.loop is not None
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def read(self, url: str, count: int, **options: Any) -> list[Any]:
        """The first `count` events (fewer at the end)."""
        self.events = self.client.events(url, **options)
        if not self.is_async:
            found = []
            with self.events as events:
                for event in events:
                    found.append(event)
                    if len(found) == count:
                        break
            return found

        async def collect() -> list[Any]:
            found = []
            async with self.events as events:
                async for event in events:
                    found.append(event)
                    if len(found) == count:
                        break
            return found

        return list(self.run(collect()))

    def close(self) -> None:
        self.client.close()
        if self.loop is not None:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()


@pytest.fixture(params=["sync", "async"])
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    reader = Reader(request.param == "async")
    yield reader
    reader.close()


@pytest.fixture
def fake() -> Iterator[Callable[..., Fake]]:
    running: list[Fake] = []

    def start(behaviour: Callable[[Link], None]) -> Fake:
        running.append(Fake(behaviour))
        return running[-1]

    yield start
    for server in running:
        server.close()


def url_of(server: Fake) -> str:
    return f"http://127.0.0.1:{server.port}/events"


def test_events_come_as_they_are_sent(reader: Reader, fake: Any) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b'id: 1\nevent: add\ndata: {"a": 1}\n\n: ping\n\n')
        link.send(b"data: on")
        time.sleep(0.05)
        link.send(b"e\r\ndata: two\r\n\r\n")
        link.hold()

    server = fake(behave)
    first, second = reader.read(url_of(server), 2)
    assert (first.event, first.json(), first.id) == ("add", {"a": 1}, "1")
    assert (second.event, second.data, second.id) == ("message", "one\ntwo", "1")
    assert reader.events.closed and reader.events.last_event_id == "1"


def test_it_goes_on_behind_the_last_id(reader: Reader, fake: Any) -> None:
    def behave(link: Link) -> None:
        seen = link.request()
        number = int(seen.fields.get("last-event-id", "0"))
        if number == 3:
            link.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        link.send(HEAD + b"retry: 10\nid: %d\ndata: %d\n\ndata: cut" % (number + 1, number + 1))

    server = fake(behave)
    assert [event.data for event in reader.read(url_of(server), 100)] == ["1", "2", "3"]
    assert [seen.fields.get("last-event-id") for seen in server.requests] == [None, "1", "2", "3"]
    assert reader.events.retry == 0.01


def test_given_id_and_no_reconnection(reader: Reader, fake: Any) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"data: x\n\n")

    server = fake(behave)
    [event] = reader.read(url_of(server), 100, last_event_id="é9", reconnect=False)
    assert event.id == "é9" and len(server.requests) == 1
    assert server.requests[0].head.decode("utf-8").split("last-event-id: ")[1].startswith("é9\r\n")


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n", "text/html"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "type"),
        (b"HTTP/1.1 500 No\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n", "500"),
    ],
)
def test_what_is_no_event_stream(reader: Reader, fake: Any, answer: bytes, match: str) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(answer)
        link.hold()

    with pytest.raises(EventStreamError, match=match) as info:
        reader.read(url_of(fake(behave)), 1)
    assert info.value.response is not None


def test_a_first_failure_is_raised(reader: Reader) -> None:
    with pytest.raises(ConnectError):
        reader.read("http://127.0.0.1:9/events", 1)


def test_failures_in_a_row_are_counted(reader: Reader, fake: Any) -> None:
    served = threading.Event()

    def behave(link: Link) -> None:
        if served.is_set():
            link.receive()
            return  # closed without an answer
        served.set()
        link.request()
        link.send(HEAD + b"retry: 1\ndata: x\n\n")

    server = fake(behave)
    started = time.monotonic()
    with pytest.raises(tls_requests.HTTPError):
        reader.read(url_of(server), 100, max_failures=2, max_delay=0.05)
    assert time.monotonic() - started < 10
    assert reader.events.closed


def test_silence_is_a_broken_connection(reader: Reader, fake: Any) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"retry: 1\ndata: x\n\n")
        link.hold()

    server = fake(behave)
    assert len(reader.read(url_of(server), 3, idle_timeout=0.2)) == 3
    assert len(server.requests) == 3
    with pytest.raises(ReadTimeout):
        reader.read(url_of(server), 2, idle_timeout=0.2, reconnect=False)


def test_the_time_limit_is_that_of_the_head(reader: Reader, fake: Any) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD)
        time.sleep(0.8)
        link.send(b"data: late\n\n")
        link.hold()

    [event] = reader.read(url_of(fake(behave)), 1, timeout=0.4)
    assert event.data == "late"

    def silent(link: Link) -> None:
        link.request()
        link.hold()

    with pytest.raises(tls_requests.exceptions.TimeoutError):
        reader.read(url_of(fake(silent)), 1, timeout=0.3)


def test_too_large(reader: Reader, fake: Any) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"data: " + b"x" * 100_000)
        link.hold()

    with pytest.raises(EventStreamError, match="more than 1000 bytes"):
        reader.read(url_of(fake(behave)), 1, max_event_size=1000)


def test_close_from_another_thread(fake: Any) -> None:
    opened = threading.Event()

    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"data: x\n\n")
        opened.set()
        link.hold()

    with tls_requests.Client() as client, client.events(url_of(fake(behave))) as events:
        threading.Timer(0.2, events.close).start()
        started = time.monotonic()
        assert [event.data for event in events] == ["x"]
        assert time.monotonic() - started < 5


def test_cancelled_while_it_waits(fake: Any) -> None:
    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"data: x\n\n")
        link.hold()

    async def main() -> None:
        async with tls_requests.AsyncClient() as client:

            async def read() -> None:
                async for _ in client.events(url_of(server)):
                    pass

            task = asyncio.create_task(read())
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    server = fake(behave)
    asyncio.run(main())


def test_bad_arguments() -> None:
    client = tls_requests.Client()
    for options in (
        {"retry": -1},
        {"idle_timeout": 0},
        {"last_event_id": "a\nb"},
        {"max_event_size": 0},
        {"max_delay": True},
    ):
        with pytest.raises(ValueError):
            client.events("http://127.0.0.1:9/", **options)


@pytest.mark.parametrize("identifier", ["chromium_156_linux", "firefox_153_linux"])
def test_fields_are_the_browsers(reader: Reader, fake: Any, root: Any, identifier: str) -> None:
    import json

    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"data: x\n\n")

    server = fake(behave)
    reader.client.client_identifier = identifier
    reader.client.headers["cookie"] = "first=one; second=two"
    reader.read(url_of(server), 1, page=url_of(server).replace("/events", "/all"))
    host = f"127.0.0.1:{server.port}"
    recorded = json.loads((root / "profiles" / f"{identifier}.json").read_text())["requests"]["http1"]["event_source"]
    expected = [
        f"{name}: {value.replace('https://www.h1.test', 'http://' + host).replace('www.h1.test', host)}"
        for name, value in recorded["headers"]
    ]
    sent = server.requests[0].head.decode("ascii").split("\r\n")[1:-1]
    assert sent == expected


def close_from_elsewhere(
    reader: Reader, url: str, when: threading.Event, client: bool = False
) -> tuple[list[str], float]:
    """Reads events until another thread or task closes them (or the client), soon after `when`: the data, and how long after it the iteration
    ended."""
    found: list[str] = []
    closed: list[float] = []
    reader.events = reader.client.events(url)
    if not reader.is_async:

        def close() -> None:
            assert when.wait(10)
            time.sleep(0.1)
            closed.append(time.monotonic())
            (reader.client if client else reader.events).close()

        thread = threading.Thread(target=close)
        thread.start()
        try:
            for event in reader.events:
                found.append(event.data)
        except ClientClosed as error:
            found.append(error.code)
        thread.join()
        return found, time.monotonic() - closed[0]

    async def run() -> float:
        async def aclose() -> None:
            while not when.is_set():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            closed.append(time.monotonic())
            await (reader.client if client else reader.events).aclose()

        task = asyncio.ensure_future(aclose())
        try:
            async for event in reader.events:
                found.append(event.data)
        except ClientClosed as error:
            found.append(error.code)
        ended = time.monotonic()
        await task
        return ended - closed[0]

    return found, reader.run(run())


def test_closed_while_it_waits_for_the_next_connection(reader: Reader, fake: Any) -> None:
    sent = threading.Event()

    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"retry: 60000\ndata: 1\n\n")
        sent.set()

    found, late = close_from_elsewhere(reader, url_of(fake(behave)), sent)
    assert found == ["1"] and late < 2


def test_the_client_is_closed_while_it_waits_for_the_next_connection(reader: Reader, fake: Any) -> None:
    sent = threading.Event()

    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"retry: 60000\ndata: 1\n\n")
        sent.set()

    found, late = close_from_elsewhere(reader, url_of(fake(behave)), sent, client=True)
    assert found == ["1", "CLIENT_CLOSED"] and late < 2
    assert reader.events.closed and not reader.client.__dict__["_watches"]


def test_the_client_is_closed_right_behind_the_wait(reader: Reader, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the wait is over already, and before the next request was made: the first request of a closed client raises something else."""

    def behave(link: Link) -> None:
        link.request()
        link.send(HEAD + b"retry: 1\ndata: 1\n\n")

    events = reader.client.events(url_of(fake(behave)))
    genuine = events._request_arguments

    def arguments() -> dict[str, Any]:
        if events._again:
            reader.client.close()
        return genuine()

    monkeypatch.setattr(events, "_request_arguments", arguments)
    with pytest.raises(ClientClosed):
        if reader.is_async:

            async def read() -> None:
                async for _ in events:
                    pass

            reader.run(read())
        else:
            for _ in events:
                pass
    with pytest.raises(RuntimeError, match="has been closed"):
        reader.read("http://127.0.0.1:1/", 1)


def test_closed_while_it_asks_again(reader: Reader, fake: Any) -> None:
    """The next answer is on its way: none of its events is given."""
    asked = threading.Event()
    turns: list[int] = []

    def behave(link: Link) -> None:
        link.request()
        turns.append(1)
        if len(turns) == 1:
            link.send(HEAD + b"retry: 1\ndata: 1\n\n")
            return
        asked.set()
        time.sleep(0.5)  # so long that it is closed before the answer comes
        link.send(HEAD + b"data: 2\n\n")
        link.hold()

    found, late = close_from_elsewhere(reader, url_of(fake(behave)), asked)
    assert found == ["1"] and late < 2
    assert reader.events.closed and len(turns) == 2


@pytest.mark.parametrize("first", ["refused", "status", "type"])
def test_entered_again_after_a_failure(reader: Reader, fake: Any, first: str) -> None:
    """What was no event stream is not taken for one by the next attempt, which asks again."""
    turns: list[int] = []

    def behave(link: Link) -> None:
        link.request()
        turns.append(1)
        if len(turns) > 1:
            link.send(HEAD + b"data: 1\n\n")
            link.hold()
        elif first == "status":
            link.send(b"HTTP/1.1 503 No\r\nContent-Length: 8\r\n\r\ndata: 0\n")
        elif first == "type":
            link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\ndata: 0\n\n")

    events = reader.client.events(url_of(fake(behave)), retry=0.01)

    async def aenter() -> None:
        await events.__aenter__()

    async def afirst() -> str:
        async with events:
            async for event in events:
                return str(event.data)
        return ""

    def first_event() -> str:
        with events:
            for event in events:
                return str(event.data)
        return ""

    with pytest.raises(HTTPError):
        if reader.is_async:
            reader.run(aenter())
        else:
            events.__enter__()
    assert not events.closed and events.response is None
    assert (reader.run(afirst()) if reader.is_async else first_event()) == "1" and len(turns) == 2


def test_every_kind_of_time_limit(reader: Reader) -> None:
    """As for requests: a number, a Timeout, a pair of other libraries."""
    for given, wanted in (
        (3, {"total": 3}),
        ((1, 2), {"connect": 1.0}),
        (tls_requests.Timeout(7, connect=1), {"total": 7.0, "connect": 1.0}),
        (None, {"total": 30.0}),
    ):
        told = reader.client.events("http://127.0.0.1:1/", timeout=given, idle_timeout=9)._request_arguments()[
            "timeout"
        ]
        assert told == {**told, **wanted, "read": 9}
