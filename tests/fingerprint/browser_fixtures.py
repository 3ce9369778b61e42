"""Real browsers under Xvfb, recorded once a session each."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tls_requests._fingerprint import authority as authorities
from tls_requests._fingerprint.browsers import Browser
from tls_requests._fingerprint.learn import learn
from tls_requests._fingerprint.recorder import Recorder

# Both start in some seconds; the machine of a test may be busy.
VISIT_TIMEOUT = 120.0


class Captured(NamedTuple):
    """agent: the User-Agent; missing: what a complete visit would have shown as well."""

    profile: dict[str, Any]
    agent: str
    missing: list[str]
    path: Path


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    """An X server without a screen, on a number that is free."""
    program = shutil.which("Xvfb")
    assert program is not None, "Xvfb is missing: make test-packages"
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [program, "-displayfd", str(writer), "-screen", "0", "1280x1024x24", "-nolisten", "tcp"],
        pass_fds=[writer],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        assert select.select([reader], [], [], 30)[0], "Xvfb did not start"
        number = os.read(reader, 20).decode().strip()
        assert number, "Xvfb ended at once"
        yield ":" + number
    finally:
        os.close(reader)
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def run_authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[authorities.Authority, str, str]:
    """An authority as the command makes it, and the paths of the server's PEM and of the authority's certificate."""
    made = authorities.make(["localhost"])
    folder = tmp_path_factory.mktemp("run")
    (folder / "server.pem").write_text(made.both)
    (folder / "ca.pem").write_text(made.ca)
    return made, str(folder / "server.pem"), str(folder / "ca.pem")


@pytest.fixture(scope="session")
def captured(
    display: str,
    run_authority: tuple[authorities.Authority, str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Captured]:
    """The profile of a browser, recorded when it is first asked for."""
    known: dict[str, Captured] = {}

    def capture(program: str, again: bool = False) -> Captured:
        if program in known and not again:
            return known[program]
        assert shutil.which(program), f"{program} is missing: make test-packages"
        authority, certificate, _ = run_authority
        recorder = Recorder("127.0.0.1", 0, certificate, automatic=True)
        recorder.start()
        before = os.environ.get("DISPLAY")
        os.environ["DISPLAY"] = display
        try:
            browser = Browser(program, authority, "localhost", recorder.port, headless=False)
        finally:
            if before is None:
                del os.environ["DISPLAY"]
            else:
                os.environ["DISPLAY"] = before
        try:
            assert recorder.wait(VISIT_TIMEOUT), (recorder.seen, recorder.strangers)
        finally:
            browser.close()
            recorder.stop()
        agent = recorder.best()
        assert agent is not None
        profile = learn(recorder.records(agent), "mine", {"kind": "live"})
        path = tmp_path_factory.mktemp("captured") / "mine.json"
        path.write_text(json.dumps(profile))
        known[program] = Captured(profile, agent, recorder.missing(agent), path)
        return known[program]

    return capture
