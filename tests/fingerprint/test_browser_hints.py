"""Client hints of a real Chromium: what it sends after a server's Accept-CH and Critical-CH, with drawn sets of them, against what our client
sends to the same server: the names of all header fields, in order, of visits and of a page's fetches."""

from __future__ import annotations

import random
import shutil
import threading
from typing import Any

import pytest

from tls_requests import Client, Profile
from tls_requests._fingerprint.browsers import Browser
from tls_requests._fingerprint.client_hints import HINTS, SETTABLE
from tls_requests._fingerprint.server import Connection, Request, Response, Server

# A browser starts in some seconds; the machine of a test may be busy.
VISIT_TIMEOUT = 120.0
RANDOM = random.Random(20261128)
SETS = [SETTABLE, HINTS, *(RANDOM.sample(SETTABLE, RANDOM.randint(1, len(SETTABLE))) for _ in range(24))]
# Those that a visit is made again for.
CRITICAL = frozenset({1, 5, 9})

PAGE = """<!doctype html><link rel=icon href="data:,"><script>
addEventListener("load", async () => {
  await fetch("/plain/%(n)d");
  await fetch("/script/%(n)d", {method: "POST", body: "{}", headers: {"content-type": "application/json", "x-custom": "1"}});
  location.href = "/page/%(next)d";
});
</script>"""


class Asking(Server):
    """Page n asks for set n, and then leads to the next."""

    def __init__(self, certificate: str) -> None:
        super().__init__("127.0.0.1", 0, certificate)
        self.seen: list[tuple[str, list[str]]] = []
        self.values: dict[str, str] = {}
        self.arrival = threading.Event()
        self.start()

    def respond(self, connection: Connection, request: Request) -> Response:
        _, kind, number = request.path.split("/")[:3] if request.path.count("/") == 2 else ("", "", "0")
        if not kind:
            return Response(404)
        self.seen.append((request.path, [name for name, _ in request.headers]))
        self.values.update((name, value) for name, value in request.headers)
        fields = [("content-type", "text/html"), ("cache-control", "no-store")]
        n = int(number)
        if kind != "page":
            return Response(200, fields, b"ok")
        if n == len(SETS):
            self.arrival.set()
            return Response(200, fields, b"<!doctype html>")
        fields.append(("accept-ch", ", ".join(SETS[n])))
        if n in CRITICAL:
            fields.append(("critical-ch", ", ".join(SETS[n])))
        return Response(200, fields, (PAGE % {"n": n, "next": n + 1}).encode())

    def begin(self) -> str:
        self.seen, self.values = [], {}
        return f"https://localhost:{self.port}/page/0"


@pytest.fixture(scope="module")
def both(run_authority: Any) -> tuple[Asking, Asking, Profile]:
    """What Chromium sent, what our client sent, and the profile that it sent it with."""
    assert shutil.which("chromium"), "chromium is missing: make test-packages"
    authority, certificate, ca = run_authority
    theirs, ours = Asking(certificate), Asking(certificate)
    browser = Browser(
        "chromium", authority, "localhost", theirs.port, headless=True, url="https://localhost:%d/page/0" % theirs.port
    )
    try:
        assert theirs.arrival.wait(VISIT_TIMEOUT), len(theirs.seen)
    finally:
        browser.close()
    profile = Profile.named("chromium_156")
    with Client(verify=ca, client_identifier=profile) as client:
        base = f"https://localhost:{ours.port}"
        for number in range(len(SETS)):
            page = f"{base}/page/{number}"
            # The script of the page before leads here: no user asked, and there is a Referer.
            headers = {} if number == 0 else {"sec-fetch-user": None, "sec-fetch-site": "same-origin"}
            client.get(page, headers=headers, **({} if number == 0 else {"referrer": f"{base}/page/{number - 1}"}))
            client.get(f"{base}/plain/{number}", mode="fetch", page=page)
            client.post(
                f"{base}/script/{number}",
                content=b"{}",
                page=page,
                headers={"content-type": "application/json", "x-custom": "1"},
            )
    theirs.stop()
    ours.stop()
    return theirs, ours, profile


def test_the_same_fields_in_the_same_order(both: tuple[Asking, Asking, Profile]) -> None:
    theirs, ours, _ = both
    sent = [item for item in theirs.seen if item[0] != f"/page/{len(SETS)}"]
    assert len(sent) > 3 * len(SETS)
    assert [path for path, _ in ours.seen] == [path for path, _ in sent]
    for (path, mine), (_, names) in zip(ours.seen, sent):
        assert mine == names, path


def test_the_values_are_of_the_same_form(both: tuple[Asking, Asking, Profile]) -> None:
    """Numbers are of a machine; texts and tokens are the same, the full version but for its last parts."""
    theirs, ours, profile = both
    version = theirs.values["sec-ch-ua-full-version"].strip('"')
    for name in SETTABLE:
        assert name in theirs.values, name
        seen, mine = theirs.values[name], ours.values[name]
        if name.startswith("sec-ch-ua-full-version"):
            assert seen.replace(version, "*") == mine.replace(profile.version, "*")
        elif name.startswith("sec-ch-ua-") or name.startswith("sec-ch-prefers") or name == "ect":
            assert mine == seen, name
        else:
            assert float(mine) > 0 and float(seen) > 0
