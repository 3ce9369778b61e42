"""The languages of real browsers: what Chromium and Firefox send for a user's list, against what our client sends for the same."""

from __future__ import annotations

import shutil
import threading
from typing import Any

import pytest

from tls_requests import Client
from tls_requests._fingerprint.browsers import Browser
from tls_requests._fingerprint.server import Connection, Request, Response, Server

BROWSERS = {"chromium": "chromium_156", "firefox-esr": "firefox_153"}
# A list with bases to add, repetitions and more languages than weights.
LISTS = ["de-AT,de-DE,fr,en-US", "pt-BR,en,pt-BR,pt,sv,da,fi,nb,pl,ru,it,es-419"]
# A browser starts in some seconds; the machine of a test may be busy.
VISIT_TIMEOUT = 120.0


class Visited(Server):
    """Keeps accept-language of each visitor, and wakes who waits for one."""

    def __init__(self, certificate: str) -> None:
        super().__init__("127.0.0.1", 0, certificate)
        self.languages: list[str | None] = []
        self.arrival = threading.Event()
        self.start()

    def respond(self, connection: Connection, request: Request) -> Response:
        if request.path == "/":
            self.languages.append(request.header("accept-language"))
            self.arrival.set()
        return Response(200, [("content-type", "text/html")], b"<!doctype html><title>Languages</title>")


@pytest.mark.parametrize("languages", LISTS)
@pytest.mark.parametrize("program", BROWSERS)
def test_languages(run_authority: Any, program: str, languages: str) -> None:
    assert shutil.which(program), f"{program} is missing: make test-packages"
    authority, certificate, ca = run_authority
    site = Visited(certificate)
    browser = Browser(program, authority, "localhost", site.port, headless=True, languages=languages)
    try:
        assert site.arrival.wait(VISIT_TIMEOUT)
        with Client(verify=ca, client_identifier=BROWSERS[program], locale=languages) as client:
            assert client.get(f"https://localhost:{site.port}/").ok
    finally:
        browser.close()
        site.stop()
    assert site.languages[-1] == site.languages[0] and site.languages[0] is not None
    assert site.languages[0].startswith(languages[:5])
