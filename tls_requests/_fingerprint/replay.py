"""What our own client sends with a profile, against what a browser was seen to send: over real connections to a recording server.

Used after a capture, and by the tests beside browsers that have just been recorded.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .compare import compare
from .learn import Record, kind_of, own_headers, requests_of, situation
from .recorder import Recorder
from .server import Connection, Request, Response

if TYPE_CHECKING:
    from ..client import Client

# Connections of each kind: what is drawn anew shows in several.
TIMES = 4
# kind in a capture: method and arguments of our call
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "iframe": ("GET", {"mode": "iframe"}),
    "style": ("GET", {"mode": "style"}),
    "script": ("GET", {"mode": "script"}),
    "image": ("GET", {"mode": "image"}),
    "fetch_get": ("GET", {"mode": "fetch"}),
    "fetch_head": ("HEAD", {}),
    "fetch_post_json": ("POST", {"content": b'{"a":1}', "headers": {"content-type": "application/json"}}),
    "fetch_post_text": ("POST", {"content": b"text", "headers": {"content-type": "text/plain;charset=UTF-8"}}),
    "fetch_post_urlsearchparams": (
        "POST",
        {
            "mode": "fetch",
            "content": b"a=b",
            "headers": {"content-type": "application/x-www-form-urlencoded;charset=UTF-8"},
        },
    ),
    "fetch_post_empty": ("POST", {}),
    "fetch_put": ("PUT", {"content": b"x", "headers": {"content-type": "text/plain;charset=UTF-8"}}),
    "fetch_delete": ("DELETE", {}),
    "fetch_no_referrer": ("GET", {"mode": "fetch", "referrer": ""}),
    "fetch_credentials_omit": ("GET", {"mode": "fetch", "credentials": "omit"}),
    "xhr_get": ("GET", {"mode": "xhr"}),
    "xhr_post": ("POST", {"mode": "xhr", "data": {"a": "b"}}),
    "form_post_by_script": ("POST", {"mode": "form", "data": {"a": "b"}}),
    "form_post_by_click": ("POST", {"mode": "form", "data": {"a": "b"}}),
    "navigation_by_click": ("GET", {}),
}


class Found(NamedTuple):
    """A difference: in which situation, which field, what the profile says, what our client sent."""

    situation: str
    field: str
    expected: Any
    got: Any


class Result(NamedTuple):
    """compared: situations that were compared, each as often as connections or requests were. differences: all that were found."""

    compared: list[str]
    differences: list[Found]


class Mirror(Recorder):
    """The recording server without the page: answers, sets the page's cookies, closes after /probe."""

    def respond(self, connection: Connection, request: Request) -> Response:
        if request.path.startswith("/probe"):
            return self.text(200, "ok", close=True)
        if request.path == "/redirect":
            return Response(302, [("location", "/k/navigation_redirected"), ("cache-control", "no-store")], b"Go on.\n")
        if kind_of(request.path) == "websocket":
            return self.websocket(request)
        return self.page("", "ok", cookies=request.path == "/") if request.method != "HEAD" else Response(200)

    def taken(self) -> list[Record]:
        """The records since the last call, of connections with a request."""
        with self.lock:
            found = [item.record for item in self.connections if requests_of(item.record)]
            self.connections.clear()
        return found


class Replay:
    def __init__(self, profile: dict[str, Any], identifier: Any, mirror: Mirror, host: str, ca: str) -> None:
        self.profile, self.identifier, self.mirror, self.ca = profile, identifier, mirror, ca
        self.base = "https://%s:%d" % (host, mirror.port)
        self.compared: list[str] = []
        self.found: list[Found] = []

    @contextmanager
    def client(self, stage: str) -> Iterator[Client]:
        from ..client import Client

        self.mirror.stage = stage
        with Client(client_identifier=self.identifier, verify=self.ca, raise_on_error=True, timeout=20) as client:
            yield client

    def note(self, where: str, differences: Any) -> None:
        self.compared.append(where)
        self.found += [Found(where, item["field"], item["expected"], item["got"]) for item in differences]

    # -- connections

    def first(self) -> None:
        for _ in range(TIMES):
            with self.client("plain") as client:
                client.get(self.base + "/")
            for record in self.mirror.taken():
                self.note("first connection", compare(self.profile, record, hpack=True, records=True))

    def variant(self, name: str, stage: str, before: str | None, hello: int = 0) -> None:
        """Connections of a stage; `before`: the stage of a connection that gave the sessions."""
        variant = self.profile.get("variants", {}).get(name)
        if variant is None:
            return
        for _ in range(2):
            with self.client(before or stage) as client:
                for _ in range(1 if before is not None else 0):
                    client.get(self.base + "/probe")
                self.mirror.taken()
                self.mirror.stage = stage
                for _ in range(1 if hello else TIMES):
                    client.get(self.base + "/probe")
                records = self.mirror.taken()
            same = [record for record in records if situation(record) == name]
            for record in same:
                self.note(name, compare({"tls": variant["tls"]}, record, hello=hello))
            if not same:
                self.note(name, [{"field": "connection", "expected": name, "got": list(map(situation, records))}])

    def http1(self) -> None:
        if "http1" not in self.profile:
            return
        with self.client("http1") as client:
            client.get(self.base + "/")
        for record in self.mirror.taken():
            self.note("first connection, HTTP/1.1", compare(self.profile, record))

    def redirected(self, version: str) -> None:
        row = self.profile.get("requests", {}).get(version, {}).get("navigation_redirected")
        if row is None:
            return
        with self.client("http1" if version == "http1" else "plain") as client:
            client.get(self.base + "/redirect")
        [seen] = [item for record in self.mirror.taken() for item in requests_of(record) if item["path"] != "/redirect"]
        self.note("%s navigation_redirected" % version, self.request("navigation_redirected", row, seen))

    # -- requests

    def kinds(self, version: str) -> None:
        rows = self.profile.get("requests", {}).get(version, {})
        wanted = [kind for kind in CALLS if kind in rows]
        if not wanted:
            return
        with self.client("http1" if version == "http1" else "plain") as client:
            client.get(self.base + "/")
            for kind in wanted:
                method, options = CALLS[kind]
                client.request(
                    method, "%s/k/%s" % (self.base, kind), page=self.base + "/k/navigation_by_script", **options
                )
        seen = {
            kind_of(request["path"]): request
            for record in self.mirror.taken()
            for request in requests_of(record)
            if request["path"] != "/"
        }
        for kind in wanted:
            self.note("%s %s" % (version, kind), self.request(kind, rows[kind], seen.get(kind)))

    def websocket(self) -> None:
        variant = self.profile.get("variants", {}).get("websocket")
        row = self.profile.get("requests", {}).get("http1", {}).get("websocket")
        if variant is None or row is None or importlib.util.find_spec("websockets") is None:
            return  # the optional package; what was recorded of WebSockets is then not compared
        from ..exceptions import HTTPError

        with self.client("plain") as client:
            client.get(self.base + "/k/fetch_get", mode="fetch")  # the page's connection is there
            url = "wss" + self.base[len("https") :] + "/k/websocket"
            try:
                with client.websocket(url, page=self.base + "/k/navigation_by_script", close_timeout=0.1):
                    pass
            except HTTPError:
                pass  # the recording server says no more than the handshake; that is what is compared
        for record in self.mirror.taken():
            if not any(kind_of(item["path"]) == "websocket" for item in requests_of(record)):
                continue
            self.note("websocket", compare({"tls": variant["tls"]}, record))
            row = {"headers": [item for item in row["headers"] if item[0].lower() != "cookie"]}
            self.note("websocket request", self.request("websocket", row, requests_of(record)[0]))

    def request(self, kind: str, row: dict[str, Any], seen: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        if seen is None:
            yield {"field": "request", "expected": kind, "got": None}
            return
        wanted = [[name, comparable(name, value)] for name, value in row["headers"]]
        got = [[name, comparable(name, value)] for name, value in own_headers(seen["headers"])]
        if kind == "form_post_by_script":  # our mode="form" is a user's click, which a script's submit() is not
            got = [item for item in got if item[0].lower() != "sec-fetch-user"]
        if [name for name, _ in wanted] != [name for name, _ in got]:
            yield {
                "field": "names in order",
                "expected": [name for name, _ in wanted],
                "got": [name for name, _ in got],
            }
        else:
            for (name, value), (_, other) in zip(wanted, got):
                if value != other:
                    yield {"field": name, "expected": value, "got": other}
        if seen["version"] != "http2":
            return
        if (row.get("priority") is None) != (seen["frame"].get("priority") is None):
            yield {"field": "priority", "expected": row.get("priority"), "got": seen["frame"].get("priority")}
        elif row.get("priority") is not None:
            for field in ("weight", "exclusive"):
                if row["priority"][field] != seen["frame"]["priority"][field]:
                    yield {
                        "field": "priority " + field,
                        "expected": row["priority"][field],
                        "got": seen["frame"]["priority"][field],
                    }
        if row.get("data_frames", []) != seen["data_frames"]:
            yield {"field": "DATA frames", "expected": row.get("data_frames", []), "got": seen["data_frames"]}


def comparable(name: str, value: str) -> str:
    """A field's value without what is this request's own: ports, keys, boundaries."""
    lower = name.lower()
    if lower in ("host", "origin", "referer"):
        return re.sub(r":\d+", ":PORT", value).partition("?")[0]
    if lower in ("sec-websocket-key", "content-length"):
        return lower
    return re.sub(r"boundary=.*", "boundary=", value) if lower == "content-type" else value


def replay(
    profile: dict[str, Any],
    identifier: Any,
    certificate: str,
    ca: str,
    host: str = "localhost",
    told: Callable[[str], None] = lambda text: None,
) -> Result:
    """Compare what a client with `identifier` sends with what `profile`, a capture of learn(), says.

    certificate: path of the server's PEM (key and certificate); ca: path of the certificate that signed it. Raises OSError when
    the server cannot listen, and what the client raises when a request fails.
    """
    mirror = Mirror("127.0.0.1", 0, certificate)
    mirror.start()
    try:
        run = Replay(profile, identifier, mirror, host, ca)
        run.first()
        run.variant("resumption", "tickets", "tickets")
        run.variant("resumption_tls12", "tls12", "tls12")
        run.variant("retry_p384", "p384", None, 1)
        run.variant("retry_p256", "p256", None, 1)
        run.variant("retry_resumption_p384", "p384", "tickets", 1)
        run.http1()
        for version in ("http2", "http1"):
            run.redirected(version)
            run.kinds(version)
        run.websocket()
    finally:
        mirror.stop()
    return Result(run.compared, run.found)
