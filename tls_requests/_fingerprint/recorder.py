"""The page that a browser visits to be recorded: what it asks the browser to do, and the server behind it.

Everything happens on one port, so that a certificate exception given by hand holds for all of it. The server's side of a
connection (its tickets, groups, versions and protocols) is the *stage* that the page asked for last; the connection that brought the
request is closed, and the next one shows what the browser does there. Requests are made to /k/<kind>, by which learn.py knows them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any

from .client_hello import extension
from .learn import COOKIES, kind_of, requests_of, situation, user_agent_of
from .registry import PSK
from .server import Connection, Request, Response, Server

# How often the page connects in each stage: enough draws to see four ECH lengths (the chance to miss one is 4%), shuffles and AEADs.
PLAIN_CONNECTIONS = 14
# Records of so many connections are kept for each visitor, and of so many visitors.
MAX_CONNECTIONS, MAX_VISITORS = 600, 20
# A visitor that has not asked for anything for so many seconds has gone.
GONE_AFTER = 20.0
# A second page of the same browser (another tab, a thumbnail that is made in the background) does not begin before so many seconds
# without a request.
RUN_GONE_AFTER = 8.0

STAGES = ("plain", "tickets", "p384", "p256", "tls12", "http1")
# What a complete visit shows, in the order in which it is told.
SITUATIONS = (
    "first",
    "resumption",
    "retry_resumption_p384",
    "retry_p384",
    "retry_p256",
    "resumption_tls12",
    "websocket",
)
KINDS = (
    "navigation_first", "style", "script", "image", "iframe", "fetch_get", "fetch_head", "fetch_post_json",
    "fetch_post_text", "fetch_post_urlsearchparams", "fetch_post_formdata", "fetch_post_empty", "fetch_put",
    "fetch_delete", "fetch_no_referrer", "fetch_credentials_omit", "fetch_post_300000_bytes", "xhr_get", "xhr_post",
    "form_post_by_script", "form_post_multipart_by_script",
)  # fmt: skip
BY_HAND = ("navigation_by_click", "form_post_by_click")

STYLE = "<style>body{font:16px sans-serif;margin:3em auto;max-width:34em}button{font:inherit;padding:.5em 1em}</style>"
PAGE = "<!DOCTYPE html><html><head><meta charset=utf-8><title>Recording</title>%s%s</head><body>%s</body></html>"

SCRIPT = """
const version = %(version)s, rounds = %(rounds)d, run_id = %(run)d;
let count = 0;
const status = text => { document.getElementById("status").textContent = text; };
const sleep = ms => new Promise(done => setTimeout(done, ms));
async function ask(path, options) {
  for (let i = 0; i < 8; i++) {
    try {
      const text = await (await fetch(path, options)).text();
      if (text != "again") return text;
    } catch (error) { await sleep(50 * (i + 1)); }
  }
  return "{}";
}
async function stage(name) { await ask("/stage/" + name + "?" + count++); }
async function probe(times) {
  let seen = {};
  for (let i = 0; i < times; i++)
    for (let tries = 0; tries < 8; tries++) {
      seen = JSON.parse(await ask("/probe?" + count++));
      if (seen.fresh) break;
    }
  return seen;
}
async function drain() {
  await stage("plain");
  for (let i = 0; i < 12; i++) if (!(await probe(1)).psk) return;
}
async function kinds() {
  const post = (name, body, headers) => ask("/k/" + name, {method: "POST", body: body, headers: headers || {}});
  const form = new FormData();
  form.append("a", "b");
  await ask("/k/fetch_get");
  await ask("/k/fetch_head", {method: "HEAD"});
  await post("fetch_post_json", "{\\"a\\":1}", {"Content-Type": "application/json"});
  await post("fetch_post_text", "text");
  await post("fetch_post_urlsearchparams", new URLSearchParams("a=b"));
  await post("fetch_post_formdata", form);
  await ask("/k/fetch_post_empty", {method: "POST"});
  await ask("/k/fetch_put", {method: "PUT", body: "x"});
  await ask("/k/fetch_delete", {method: "DELETE"});
  await ask("/k/fetch_no_referrer", {referrerPolicy: "no-referrer"});
  await ask("/k/fetch_credentials_omit", {credentials: "omit"});
  await post("fetch_post_300000_bytes", new Uint8Array(300000));
  for (const name of ["xhr_get", "xhr_post"])
    await new Promise(done => {
      const request = new XMLHttpRequest();
      request.onloadend = done;
      request.open(name == "xhr_get" ? "GET" : "POST", "/k/" + name);
      if (name == "xhr_post") request.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
      request.send(name == "xhr_get" ? null : "a=b");
    });
}
async function socket() {
  await Promise.race([sleep(3000), new Promise(done => {
    const socket = new WebSocket("wss://" + location.host + "/k/websocket");
    socket.onopen = () => { socket.close(); done(); };
    socket.onerror = done;
  })]);
}
function submit(kind, multipart) {
  const form = document.createElement("form");
  form.method = "post";
  form.action = "/k/" + kind + "?" + version + "&" + run_id;
  if (multipart) form.enctype = "multipart/form-data";
  const field = document.createElement("input");
  field.name = "a"; field.value = "b"; field.type = "hidden";
  form.appendChild(field);
  document.body.appendChild(form);
  form.submit();
}
async function run() {
  status("Requests of each kind over " + version + " ...");
  await kinds();
  await socket();
  if (version == "http2") {
    status("Connections ...");
    await stage("plain"); await probe(rounds);
    await stage("tickets"); await probe(5);
    await stage("p384"); await probe(1);
    await drain();
    await stage("p384"); await probe(2);
    await stage("p256"); await probe(2);
    await stage("tls12"); await probe(4);
    await drain();
  }
  submit("form_post_by_script", false);
}
"""
START = """addEventListener("load", () => setTimeout(run, 50));"""


class RecordingConnection(Connection):
    """A connection of one stage."""

    idle_timeout = 15.0
    goaway_first = True

    def __init__(self, server: Server, sock: Any, peer: Any) -> None:
        super().__init__(server, sock, peer)
        self.stage = ""
        self.probed = False

    def retire(self) -> None:
        """End the connection from another thread: its own then reads the end of the stream."""
        try:
            self.sock.shutdown(socket.SHUT_RD)
        except OSError:
            pass  # it has ended already


class Recorder(Server):
    """The recording server. `told` is called with a line for people when something is seen for the first time.

    automatic: nobody clicks; the page goes on by itself.
    """

    connection_class = RecordingConnection

    def __init__(
        self,
        host: str,
        port: int,
        certificate: str,
        automatic: bool = False,
        told: Callable[[str], None] = lambda text: None,
    ) -> None:
        super().__init__(host, port, certificate)
        self.automatic, self.told = automatic, told
        self.stage = "plain"
        self.contexts = {stage: self.stage_context(stage, certificate) for stage in STAGES}
        self.visits: dict[str, list[Connection]] = {}
        self.seen: dict[str, set[str]] = {}
        self.active: tuple[str, float] = ("", 0.0)
        self.finished: str | None = None
        self.redirects: dict[str, int] = {}
        self.strangers: set[str] = set()
        self.run, self.run_at = 0, 0.0  # the page that is at work, and its last request

    def stage_context(self, stage: str, certificate: str) -> ssl.SSLContext:
        context = self.make_context(certificate)
        if stage == "http1":
            context.set_alpn_protocols(["http/1.1"])
        if stage in ("p384", "p256"):
            context.set_ecdh_curve({"p384": "secp384r1", "p256": "prime256v1"}[stage])
        if stage == "tls12":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        elif stage != "tickets":
            context.num_tickets = 0
            context.options |= ssl.OP_NO_TICKET
        return context

    def context_for(self, connection: Connection, host_name: str | None) -> ssl.SSLContext:
        with self.lock:
            if isinstance(connection, RecordingConnection):
                connection.stage = connection.record["stage"] = self.stage
            return self.contexts[self.stage]

    # -- what was seen

    def changed(self, connection: Connection) -> None:
        with self.lock:
            agent = user_agent_of(connection.record)
            if agent is not None:
                known = self.visits.get(agent)
                if known is None and len(self.visits) < MAX_VISITORS:
                    known = self.visits[agent] = []
                if known is not None and connection not in known and len(known) < MAX_CONNECTIONS:
                    known.append(connection)
                self.note(agent, connection)
            elif "error" in connection.record and connection.record["error"] not in self.strangers:
                if len(self.strangers) < 50:  # each mistake is told once; a scanner makes many
                    self.strangers.add(connection.record["error"])
                    self.told(self.stranger(connection.record))
            self.arrived.notify_all()

    @staticmethod
    def stranger(record: dict[str, Any]) -> str:
        error = str(record["error"])
        if "certificate" in error.lower() or "unknown ca" in error.lower():
            return "a visitor refused the certificate (see above how to go past the warning)"
        if "not TLS" in error:
            return "a visitor spoke no TLS: the address begins with https://"
        return "a connection without a request: %s" % error[:120]

    def note(self, agent: str, connection: Connection) -> None:
        seen = self.seen.setdefault(agent, set()) if len(self.seen) < MAX_VISITORS else self.seen.get(agent, set())
        found = [situation(connection.record)]
        for request in requests_of(connection.record):
            kind = kind_of(request["path"])
            if kind is not None:
                found.append("%s %s" % (request["version"], kind))
        for item in found:
            if item and item not in seen:
                seen.add(item)
                if item in SITUATIONS:
                    self.told("seen: " + item.replace("_", " "))

    def missing(self, agent: str) -> list[str]:
        """What a complete visit would have shown as well."""
        seen = self.seen.get(agent, set())
        wanted = list(SITUATIONS)
        wanted += ["%s %s" % (version, kind) for version in ("http2", "http1") for kind in KINDS]
        wanted.remove("http1 navigation_first")
        wanted.append("http1 navigation_redirected")
        if not self.automatic:
            wanted += ["http2 navigation_by_click", "http1 form_post_by_click"]
        if any(item.startswith("retry") for item in seen) and "retry_p256" not in seen:
            wanted.remove("retry_p256")  # it sends a share of P-256 at once, as Firefox does
        if not any(item.startswith("http2") for item in seen):
            wanted = [item for item in wanted if not item.startswith("http2")]
        return [item for item in wanted if item not in seen]

    def best(self) -> str | None:
        """The visitor to write a profile of: the one that came to the end, else the one of which most was seen."""
        with self.lock:
            if self.finished is not None:
                return self.finished
            browsers = [agent for agent in self.seen if any("navigation_first" in item for item in self.seen[agent])]
            return max(browsers, key=lambda agent: len(self.seen[agent]), default=None)

    def records(self, agent: str) -> list[dict[str, Any]]:
        with self.lock:
            return [connection.record for connection in self.visits.get(agent, ())]

    # -- what is answered

    def respond(self, connection: Connection, request: Request) -> Response:
        agent = request.header("user-agent") or ""
        path = request.path.partition("?")[0]
        with self.lock:
            if path in ("/", "/k/navigation_redirected"):
                return self.first_page(connection, request, agent)
            other, at = self.active
            if agent != other:
                return self.text(409, "Another browser is being recorded.\n")
            self.active = (agent, time.monotonic())
            if path.startswith(("/stage/", "/probe", "/k/fetch")):
                self.run_at = time.monotonic()
            if path.startswith("/stage/") and path[7:] in STAGES:
                self.enter(path[7:], connection)
                return self.text(200, "ok", close=True)
            if path == "/probe":
                return self.probe(connection)
            if path == "/done":
                return self.end(agent)
        return self.kind_page(connection, request)

    def text(self, status: int, text: str, close: bool = False) -> Response:
        headers = [("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store")]
        return Response(status, headers, text.encode(), close)

    def page(self, head: str, body: str, cookies: bool = False) -> Response:
        headers = [("content-type", "text/html; charset=utf-8"), ("cache-control", "no-store")]
        if cookies:
            headers += [("set-cookie", cookie + "; Path=/; Secure") for cookie in COOKIES]
        return Response(200, headers, (PAGE % (STYLE, head, body)).encode())

    def enter(self, stage: str, but: Connection) -> None:
        """Change the stage, and end the connections of the former one, so that nothing goes on there."""
        self.stage = stage
        for connection in self.connections:
            if (
                connection is not but
                and isinstance(connection, RecordingConnection)
                and connection.stage not in ("", stage)
            ):
                connection.retire()

    def first_page(self, connection: Connection, request: Request, agent: str) -> Response:
        """The first navigation over HTTP/2, and, redirected, over HTTP/1.1 and once more over HTTP/2.

        A redirected navigation is a first one too, but some browsers (Chromium) then send its fields in another order: the third
        shows how the second would have been (learn.py).
        """
        other, at = self.active
        if other not in ("", agent) and self.finished is None and time.monotonic() - at < GONE_AFTER:
            return self.text(409, "Another browser is being recorded. Try again when it is done.\n")
        self.active = (agent, time.monotonic())
        seen = self.seen.get(agent, set())
        for item, stage, path in (
            ("http1 navigation_redirected", "http1", "/k/navigation_redirected"),
            ("http2 navigation_redirected", "plain", "/k/navigation_redirected"),
        ):
            tries = self.redirects.get(agent + item, 0)
            if item not in seen and tries < 3 and len(self.redirects) < 3 * MAX_VISITORS:
                self.redirects[agent + item] = tries + 1
                self.enter(stage, connection)
                return Response(302, [("location", path), ("cache-control", "no-store")], b"Go on.\n", close=True)
        self.enter("plain", connection)
        if self.automatic:
            return self.page("", "<script>location.href = '/k/navigation_by_script?http2'</script>", True)
        return self.page(
            "",
            "<h1>Record this browser</h1><p>This page makes your browser send requests of every kind to the program on this"
            " computer; it takes some seconds.</p><p><a href='/k/navigation_by_click?http2'><button>Start</button></a></p>",
            True,
        )

    def probe(self, connection: Connection) -> Response:
        hellos = connection.record["client_hellos"]
        fresh = isinstance(connection, RecordingConnection) and connection.stage == self.stage and not connection.probed
        if isinstance(connection, RecordingConnection):
            connection.probed = True
        told = connection.record.get("negotiated") or {}
        answer = {
            "fresh": fresh and len(requests_of(connection.record)) == 1,
            "psk": extension(hellos[0]["decoded"], PSK) is not None,
            "resumed": told.get("resumed"),
        }
        return Response(
            200,
            [("content-type", "application/json"), ("cache-control", "no-store")],
            json.dumps(answer).encode(),
            True,
        )

    def kind_page(self, connection: Connection, request: Request) -> Response:
        kind, query = kind_of(request.path), request.path.partition("?")[2]
        if kind is None:
            return self.text(404, "Not here.\n")
        if self.stage == "http1" and connection.record["http1"] is None and kind != "navigation_by_script":
            # An HTTP/2 connection of a former stage, kept for requests without credentials: once more, on a new one.
            if kind.startswith("form_"):
                return Response(
                    307, [("location", request.path), ("cache-control", "no-store")], b"Again.\n", close=True
                )
            return self.text(200, "" if request.method == "HEAD" else "again", close=True)
        if kind == "websocket":
            return self.websocket(request)
        if kind.startswith("navigation_by_"):
            with self.lock:
                return self.kinds_page(connection, query)
        if kind == "form_post_by_script":
            return self.page(
                "", "<script>%s submit('form_post_multipart_by_script', true)</script>" % self.script(query)
            )
        if kind == "form_post_multipart_by_script":
            return self.after_forms(query)
        if kind == "form_post_by_click":
            with self.lock:
                return self.end(request.header("user-agent") or "")
        bodies = {
            "style": ("text/css", b"img{border:0}"),
            "script": ("text/javascript", b"window.loaded = true;"),
            "image": ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg' width='200' height='200'/>"),
            "iframe": ("text/html", b"<p>A frame</p>"),
        }
        content_type, body = bodies.get(kind, ("text/plain", b"ok"))
        if request.method == "HEAD":
            body = b""
        return Response(200, [("content-type", content_type), ("cache-control", "no-store")], body)

    def script(self, query: str) -> str:
        """The page's functions. query: of the path, version&run."""
        version, _, run = query.partition("&")
        return SCRIPT % {
            "version": json.dumps("http1" if version == "http1" else "http2"),
            "rounds": PLAIN_CONNECTIONS,
            "run": int(run) if run.isdigit() and len(run) < 9 else 0,
        }

    def kinds_page(self, connection: Connection, query: str) -> Response:
        version = "http1" if connection.record["http1"] is not None else "http2"
        wanted, _, run = query.partition("&")
        if (wanted == "http1" and version != "http1") or (wanted != "http1" and version == "http1" and self.h2_works()):
            # The browser came on a connection of the former stage: once more, on a new one.
            headers = [("location", "/k/navigation_by_script?" + query), ("cache-control", "no-store")]
            return Response(302, headers, b"Again.\n", close=True)
        if run != str(self.run):
            if time.monotonic() - self.run_at < RUN_GONE_AFTER:
                return self.text(200, "This browser is being recorded in another tab.\n")
            self.run += 1
        self.run_at = time.monotonic()
        # Other addresses for each version: what is in a memory cache is asked for in another way.
        head = "<link rel=stylesheet href=/k/style?%s><script src=/k/script?%s></script>" % (version, version)
        body = "<h1>Recording</h1><p id=status>...</p><img src=/k/image?%s width=200 height=200>" % version
        body += "<iframe src=/k/iframe?%s></iframe>" % version
        code = self.script("%s&%d" % (version, self.run)) + START
        return self.page(head, body + "<script>%s</script>" % code)

    def h2_works(self) -> bool:
        return any(item.startswith("http2") for item in self.seen.get(self.active[0], ()))

    def after_forms(self, query: str) -> Response:
        if not query.startswith("http1"):
            code = self.script(query)
            code += "stage('http1').then(() => { location.href = '/k/navigation_by_script?http1&' + run_id; });"
            return self.page("", "<script>%s</script>" % code)
        if self.automatic:
            return self.page("", "<script>location.href = '/done'</script>")
        return self.page(
            "",
            "<h1>Almost done</h1><form method=post action='/k/form_post_by_click?http1'><input type=hidden name=a value=b>"
            "<button>Finish</button></form>",
        )

    def end(self, agent: str) -> Response:
        self.finished = agent
        self.stage = "plain"
        self.arrived.notify_all()
        return self.page("", "<h1>Done</h1><p>The profile is written. This page can be closed.</p>")

    def websocket(self, request: Request) -> Response:
        key = request.header("sec-websocket-key") or ""
        accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
        return Response(
            101, [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Accept", accept.decode())]
        )

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a visitor that comes to the end; False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.arrived:
            while self.finished is None:
                left = 1.0 if deadline is None else min(1.0, deadline - time.monotonic())
                if left <= 0:
                    return False
                self.arrived.wait(left)  # in pieces: Ctrl-C is seen on every system
        return True
