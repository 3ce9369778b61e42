"""Each kind of failure against a peer that really fails so: class, code, phase, host and address, what was sent, whether it may be repeated;
the same from both clients, in both forms (a response with status 0, an exception), pickled and copied."""

from __future__ import annotations

import asyncio
import copy
import pickle
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import tls_requests
from peers.fake import close_listener
from tls_requests import exceptions

SECRET = "s3cret-pass"


class Peer:
    """Accepts connections and does with each what it is told; `stop` ends the waits of its threads."""

    def __init__(self, behave: Callable[[socket.socket, threading.Event], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.behave = behave
        self.stop = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock: socket.socket) -> None:
        sock.settimeout(20)
        with sock:
            try:
                self.behave(sock, self.stop)
            except OSError:
                pass

    def close(self) -> None:
        self.stop.set()
        close_listener(self.listener)


def read_request(sock: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return
        data += more


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def silent(sock: socket.socket, stop: threading.Event) -> None:
    stop.wait(20)


def silent_after_request(sock: socket.socket, stop: threading.Event) -> None:
    read_request(sock)
    stop.wait(20)


def says(*parts: bytes, wait: bool = False) -> Callable[[socket.socket, threading.Event], None]:
    def behave(sock: socket.socket, stop: threading.Event) -> None:
        read_request(sock)
        for part in parts:
            sock.sendall(part)
        if wait:
            stop.wait(20)

    return behave


def resets(sock: socket.socket, stop: threading.Event) -> None:
    read_request(sock)
    reset(sock)


def closes_at_once(sock: socket.socket, stop: threading.Event) -> None:
    sock.recv(65536)


def redirects(sock: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        read_request(sock)
        sock.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")


def alert(sock: socket.socket, stop: threading.Event) -> None:
    sock.recv(65536)
    sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # fatal handshake_failure
    sock.recv(65536)


def not_tls(sock: socket.socket, stop: threading.Event) -> None:
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    sock.recv(65536)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n"


@dataclass
class Case:
    code: str
    cls: type[Exception]
    phase: str
    behave: Callable[[socket.socket, threading.Event], None] | None = None
    sent: bool = False
    safe: bool = True
    scheme: str = "http"
    words: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    method: str = "POST"  # nothing is repeated by itself then


E = exceptions
CASES = {
    "connect-refused": Case("CONNECT_REFUSED", E.ConnectError, "connect", words=("refused",)),
    "tls-timeout": Case("TIMEOUT_TLS", E.TLSTimeout, "tls", silent, scheme="https", words=("timeout",), options={"timeout": {"tls": 0.2}}),
    "tls-alert": Case("TLS_ALERT", E.TLSError, "tls", alert, scheme="https"),
    "tls-not-tls": Case("TLS_NOT_TLS", E.TLSError, "tls", not_tls, scheme="https"),
    "tls-closed": Case("TLS_CLOSED", E.TLSError, "tls", closes_at_once, scheme="https", words=("EOF",)),
    "write-timeout": Case(
        "TIMEOUT_WRITE", E.WriteTimeout, "send", silent, True, False, words=("timeout",),
        options={"timeout": {"write": 0.3}}, call={"content": b"x" * (16 << 20)},
    ),
    "read-timeout": Case("TIMEOUT_READ", E.ReadTimeout, "wait", silent_after_request, True, False, words=("timeout",), options={"timeout": {"read": 0.2}}),
    "read-timeout-in-body": Case(
        "TIMEOUT_READ", E.ReadTimeout, "body", says(HEAD + b"\r\nsome", wait=True), True, False, words=("timeout",),
        options={"timeout": {"read": 0.3}},
    ),
    "total-timeout": Case("TIMEOUT_TOTAL", E.TotalTimeout, "wait", silent_after_request, True, False, words=("timeout",), options={"timeout": 0.2}),
    "total-timeout-in-tls": Case("TIMEOUT_TOTAL", E.TotalTimeout, "tls", silent, scheme="https", words=("timeout",), options={"timeout": 0.2}),
    "reset": Case("CONNECT_RESET", E.ConnectionReset, "wait", resets, True, False),
    "closed-early": Case("CLOSED_EARLY", E.RemoteProtocolError, "wait", says(), True, False, words=("EOF",)),
    "malformed": Case("H1_PROTOCOL", E.RemoteProtocolError, "wait", says(b"SSH-2.0-nothing\r\n\r\n"), True, False),
    "truncated": Case("BODY_TRUNCATED", E.IncompleteBody, "body", says(HEAD + b"\r\nshort"), True, False, words=("EOF",)),
    "corrupt": Case("BODY_CODING", E.DecodingError, "body", says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nnot gzip!"), True, False),
    "header-limit": Case("HEADER_LIMIT", E.RemoteProtocolError, "wait", says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100000, wait=True), True, False),
    "bad-header": Case("HEADER_INVALID", E.HeaderError, "build", silent, call={"headers": {"X": "a\r\nb"}}),
    "bad-method": Case("METHOD_INVALID", E.ProtocolError, "build", silent, method="A B"),
    "bad-scheme": Case("URL_SCHEME", E.UnsupportedProtocol, "build", silent, scheme="ftp"),
    "too-many-redirects": Case("TOO_MANY_REDIRECTS", E.TooManyRedirects, "redirect", redirects, True, False, options={"max_redirects": 2}, method="GET"),
}  # fmt: skip
ALWAYS_RAISED = {"too-many-redirects"}
SLOTS = ("code", "phase", "host", "address", "request_sent", "safe_to_retry", "detail", "where")


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    running: list[Peer] = []
    yield running
    for peer in running:
        peer.close()


def run_sync(case: Case, url: str, **more: Any) -> Any:
    with tls_requests.Client(**case.options) as client:
        return client.request(case.method, url, **case.call, **more)


def run_async(case: Case, url: str, **more: Any) -> Any:
    async def main() -> Any:
        async with tls_requests.AsyncClient(**case.options) as client:
            return await asyncio.wait_for(client.request(case.method, url, **case.call, **more), 30)

    return asyncio.run(main())


def failure(run: Callable[..., Any], case: Case, url: str, **more: Any) -> Any:
    try:
        response = run(case, url, **more)
    except exceptions.HTTPError as error:
        return error
    assert response.status_code == 0, response
    assert response.error is response.error and not response.ok
    assert response.text == response.reason == str(response.error)
    return response.error


@pytest.mark.parametrize("name", sorted(CASES))
def test_failures(peers: list[Peer], name: str) -> None:
    case = CASES[name]
    if case.behave is None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
    else:
        peers.append(Peer(case.behave))
        port = peers[0].port
    url = f"{case.scheme}://user:{SECRET}@127.0.0.1:{port}/path?q=1"
    start = time.monotonic()
    error = failure(run_sync, case, url)
    took = time.monotonic() - start
    assert type(error) is case.cls
    assert (error.code, error.phase) == (case.code, case.phase)
    assert (error.request_sent, error.safe_to_retry) == (case.sent, case.safe)
    assert error.host == f"127.0.0.1:{port}"
    assert error.address == (None if case.phase == "build" else f"127.0.0.1:{port}")
    assert 0 <= error.elapsed <= took + 0.01
    assert error.request.method == case.method.upper() and error.request.url.host == "127.0.0.1"
    # Text: one line, no password, the original's shape.
    text = str(error)
    assert error.message == text == error.args[0]
    for shown in (text, repr(error), repr(error.request), *(str(getattr(error, slot)) for slot in SLOTS)):
        assert SECRET not in shown and "\n" not in shown and "\r" not in shown
    if name not in ALWAYS_RAISED:
        shape = f'failed to do request: {case.method.capitalize()} "{case.scheme}://127.0.0.1:{port}/path?q=1": '
        assert text.startswith(shape) and len(text) > len(shape)
    for word in case.words:
        assert word in text
    # Both clients, both forms, by the call or the client: the same.
    forms = [
        failure(run_async, case, url),
        failure(run_sync, case, url, raise_on_error=True),
        failure(run_async, case, url, raise_on_error=True),
    ]
    for twin in [*forms, copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))]:
        assert type(twin) is type(error) and str(twin) == text
        assert [getattr(twin, slot) for slot in SLOTS] == [getattr(error, slot) for slot in SLOTS]
    with pytest.raises(case.cls):
        run_sync(case, url, raise_on_error=True)
    with pytest.raises(case.cls):
        run_async(case, url, raise_on_error=True)
    loud = Case(**{**case.__dict__, "options": {**case.options, "raise_on_error": True}})
    with pytest.raises(case.cls):
        run_sync(loud, url)
    if name not in ALWAYS_RAISED:
        assert run_sync(loud, url, raise_on_error=False).status_code == 0
    with pytest.raises(case.cls):
        tls_requests.request(case.method, url, raise_on_error=True, **case.options, **case.call)


def test_unknown_name() -> None:
    error = failure(run_sync, CASES["reset"], "http://no-such-host.invalid/")
    assert isinstance(error, exceptions.DNSError) and error.phase == "resolve"
    assert (error.host, error.address, error.request_sent, error.safe_to_retry) == (
        "no-such-host.invalid:80",
        None,
        False,
        True,
    )


def test_connect_timeout() -> None:
    """A listener whose queue is full: the kernel drops what comes more."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        try:
            for _ in range(8):
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
                waiting.append(sock)
            case = Case("", Exception, "", options={"timeout": {"connect": 0.3}})
            for run in (run_sync, run_async):
                error = failure(run, case, f"http://127.0.0.1:{listener.getsockname()[1]}/")
                assert type(error) is exceptions.ConnectTimeout and error.code == "TIMEOUT_CONNECT"
                assert (error.phase, error.request_sent, error.safe_to_retry) == ("connect", False, True)
                assert "timeout" in str(error)
        finally:
            for sock in waiting:
                sock.close()


@pytest.mark.parametrize("what", ["untrusted", "name", "expired"])
def test_certificates(peers: list[Peer], authority: Any, server_pair: Any, ca_file: str, what: str) -> None:
    options: dict[str, Any] = {} if what == "untrusted" else {"verify": ca_file}
    pair = server_pair
    if what == "expired":
        pair = authority.issue("expired-case", days=(-20, -1))
    elif what == "name":
        pair = authority.issue("name-case", names=("other.test",))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(pair.cert), str(pair.key))

    def behave(sock: socket.socket, stop: threading.Event) -> None:
        with context.wrap_socket(sock, server_side=True) as tls:
            tls.recv(100)

    peers.append(Peer(behave))
    case = Case("", Exception, "", options=options)
    for run in (run_sync, run_async):
        error = failure(run, case, f"https://localhost:{peers[0].port}/")
        assert type(error) is exceptions.CertificateError and error.phase == "tls"
        assert error.code == ("TLS_HOSTNAME" if what == "name" else "TLS_CERTIFICATE")
        assert "certificate" in str(error)
        assert (error.request_sent, error.safe_to_retry) == (False, True)
        if what != "name":
            assert error.detail != 0  # X509_V_ERR_*


def test_a_cancelled_task_is_cancelled(peers: list[Peer]) -> None:
    peers.append(Peer(silent_after_request))

    async def main() -> None:
        async with tls_requests.AsyncClient(raise_on_error=True) as client:
            task = asyncio.create_task(client.get(f"http://127.0.0.1:{peers[0].port}/"))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert not issubclass(exceptions.CancelledError, asyncio.CancelledError)


def test_every_exception_is_of_the_tree() -> None:
    from tls_requests._errors import ERRORS

    for code in ERRORS:
        error = exceptions.make_error(code, 0, "", "text")
        assert isinstance(error, (exceptions.HTTPError, MemoryError, ValueError))
        assert pickle.loads(pickle.dumps(error)).args == ("text",)
