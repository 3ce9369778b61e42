"""Chromium and Firefox from Debian's packages, recorded as `python -m tls_requests capture` does it: the captured profile sent by our
client, and the built-in profile of that browser, against what the browser sent to the same recording server a moment ago.

`make check-browsers` records each several times, with fresh profiles of the browser, and through the command itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_fixtures import Captured

from tls_requests import Client, Profile
from tls_requests._fingerprint.replay import Found, replay

BROWSERS = {"chromium": "chromium_156_linux", "firefox-esr": "firefox_153_linux"}
LONG = bool(os.environ.get("TR_BROWSERS"))
TIMES = range(3 if LONG else 1)


def differences(result: Any) -> list[Found]:
    return list(result.differences)


def situations(result: Any) -> set[str]:
    return set(result.compared)


@pytest.mark.parametrize("program", BROWSERS)
@pytest.mark.parametrize("turn", TIMES)
def test_captured_and_replayed(captured: Callable[..., Captured], run_authority: Any, program: str, turn: int) -> None:
    browser = captured(program, again=turn > 0)
    assert browser.missing == []
    result = replay(browser.profile, str(browser.path), *run_authority[1:])
    assert differences(result) == []
    # Nothing was left out.
    wanted = {
        "first connection",
        "resumption",
        "resumption_tls12",
        "retry_p384",
        "first connection, HTTP/1.1",
        "websocket",
    }
    for version in ("http2", "http1"):
        wanted |= {
            f"{version} {kind}" for kind in ("fetch_get", "fetch_post_json", "xhr_get", "form_post_by_script", "image")
        }
        wanted |= {f"{version} {kind}" for kind in ("script", "style", "iframe", "navigation_redirected")}
    assert wanted <= situations(result)


@pytest.mark.parametrize("program", BROWSERS)
def test_the_built_in_profile_sends_what_the_browser_sends(
    captured: Callable[..., Captured], run_authority: Any, program: str
) -> None:
    browser = captured(program)
    name = BROWSERS[program]
    major = Profile.named(name).version.partition(".")[0]
    if browser.profile["client"]["version"].partition(".")[0] != major:
        # The package's version has moved on: the captured profile stands in for the built-in one.
        name = str(browser.path)
    result = replay(browser.profile, name, *run_authority[1:])
    assert differences(result) == []
    assert len(result.compared) > 40


@pytest.mark.parametrize("program", BROWSERS)
def test_what_is_learnt_is_what_was_recorded_before(captured: Callable[..., Captured], program: str) -> None:
    """The shared capture of the same version came from another recorder, with 75 and 37 first ClientHellos."""
    browser = captured(program)
    known = Profile.named(BROWSERS[program])
    if browser.profile["client"]["version"].partition(".")[0] != known.version.partition(".")[0]:
        pytest.skip(f"{program} is {browser.profile['client']['version']} here")
    mine = Profile.load(browser.path)
    assert mine.diff(known) == []
    assert (mine.ja4, mine.akamai, mine.platform) == (known.ja4, known.akamai, "linux")
    with Client(client_identifier=str(browser.path)) as client:
        assert client.fingerprint().diff(known) == []


@pytest.mark.parametrize("program", BROWSERS)
def test_what_is_random_and_what_is_fixed(captured: Callable[..., Captured], program: str) -> None:
    tls = captured(program).profile["tls"]
    ech = next(item for item in tls["extensions"] if item["type"] == 65037)
    assert ech["config_id"] is None
    assert tls["session_id_length"] == 32 and tls["samples"] > 14
    if program == "chromium":
        assert tls["extension_order"] == "permuted" and tls["pinned"] == {"first": ["GREASE"], "last": ["GREASE"]}
        assert tls["grease"]["group_equals_key_share"] and tls["grease"]["two_extensions_always_differ"]
        assert ech["payload_length"] == {"any_of": [144, 176, 208, 240]}
    else:
        assert tls["extension_order"] == "fixed" and "grease" not in tls
        assert ech["aead"] == {"any_of": [1, 3]} and ech["payload_length"] == 239


@pytest.mark.parametrize("program", BROWSERS if LONG else ["chromium"])
def test_the_command(display: str, tmp_path: Path, program: str) -> None:
    command = [sys.executable, "-m", "tls_requests", "capture", "--browser", program, "--out", "mine.json"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "DISPLAY": display},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no difference" in done.stdout
    assert "checked:" in done.stdout and "not seen" not in done.stdout, done.stdout + done.stderr
    assert Profile.load(tmp_path / "mine.json").id == "mine"
    assert json.loads((tmp_path / "mine.json").read_text())["source"]["kind"] == "live"
