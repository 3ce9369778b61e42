"""`python -m tls_requests capture` without a browser: what is learnt of our own client with a known profile must be that profile; and
visitors that are no browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tls_requests import Client, Profile
from tls_requests._fingerprint import authority as authorities
from tls_requests._fingerprint import learn
from tls_requests._fingerprint.recorder import PLAIN_CONNECTIONS, Recorder
from tls_requests._fingerprint.replay import replay
from tls_requests.exceptions import ProfileError

ROOT = Path(__file__).resolve().parents[2]

# One of each engine and way of drawing.
PROFILES = (
    "chrome_104_windows", "chrome_110_windows", "chrome_133_macos", "chromium_156_linux", "edge_153_macos",
    "firefox_102_macos", "firefox_133_macos", "firefox_153_linux", "safari_15_5_macos", "safari_18_4_macos",
    "safari_26_0_ipados", "okhttp4_android_7",
)  # fmt: skip


@pytest.fixture
def recorder(run_authority: Any) -> Iterator[Recorder]:
    found = Recorder("127.0.0.1", 0, run_authority[1], automatic=True)
    lines: list[str] = []
    found.told = lines.append
    found.lines = lines  # type: ignore[attr-defined]
    found.start()
    yield found
    found.stop()


def visit(recorder: Recorder, name: str, ca: str, rounds: int = PLAIN_CONNECTIONS) -> None:
    """What the page makes a browser do, done by our client."""
    base = f"https://localhost:{recorder.port}"
    with Client(client_identifier=name, verify=ca, raise_on_error=True) as client:
        # The page cannot make a client with more than one connection at a time go through it alone.
        client.get(base + "/")
        for stage, times in (("plain", rounds), ("tickets", 4), ("p384", 1), ("plain", 1), ("p384", 2), ("tls12", 3)):
            client.get(f"{base}/stage/{stage}")
            for _ in range(times):
                assert client.get(base + "/probe").status_code == 200


@pytest.mark.parametrize("name", PROFILES)
def test_a_known_client_is_learnt(recorder: Recorder, run_authority: Any, name: str) -> None:
    known = Profile.named(name)
    if known.akamai is None:
        pytest.fail(f"{name} does not speak HTTP/2: choose another")
    visit(recorder, name, run_authority[2])
    agent = recorder.best()
    assert agent == known.user_agent
    value = learn.learn(recorder.records(agent), "mine", {"kind": "live"})
    mine = Profile.load(json.loads(json.dumps(value)))
    lengths = [tls["tls"]["hello_lengths_seen"] for tls in (value, *value["variants"].values())]
    unseen = set() if any(255 < length < 513 for seen in lengths for length in seen) else {"TLS padding"}
    assert [item for item in mine.diff(known) if item.field not in unseen] == []
    assert mine.ja4 == known.ja4 and mine.akamai == known.akamai and mine.user_agent == known.user_agent
    # A User-Agent does not say everything: OkHttp's has no system, an iPad's may be a Mac's.
    assert mine.family == known.family
    assert mine.platform in (
        known.platform,
        "" if known.family == "okhttp" else known.platform,
        "macos" if "Macintosh" in agent else "",
    )
    result = replay(value, mine, *run_authority[1:])
    assert list(result.differences) == []
    assert "first connection" in result.compared


def test_the_resumed_and_retried_hellos(recorder: Recorder, run_authority: Any) -> None:
    visit(recorder, "chrome_133", run_authority[2], 2)
    value = learn.learn(recorder.records(recorder.best() or ""), "mine", {})
    assert set(value["variants"]) >= {"resumption", "retry_p384", "resumption_tls12"}
    resumed = value["variants"]["resumption"]["tls"]
    assert resumed["pinned"]["last"][-1] == 41 and resumed["extensions"][-1]["identity_lengths"] is None
    retried = value["variants"]["retry_p384"]["tls"]
    [share] = [item["shares"] for item in retried["extensions"] if item["type"] == 51]
    assert share == [{"group": 24, "length": 97}]


def test_one_connection_is_taken_as_it_is(recorder: Recorder, run_authority: Any) -> None:
    with Client(client_identifier="chrome_133", verify=run_authority[2]) as client:
        client.get(f"https://localhost:{recorder.port}/")
    record = next(item for item in recorder.records(recorder.best() or "") if item["http2"] is not None)
    value = learn.learn([record], "mine", {})
    assert value["tls"]["extension_order"] == "fixed"
    assert any("seen once" in note for note in value["notes"])


def test_cookies_of_the_visitor_stay_with_the_visitor(recorder: Recorder, run_authority: Any) -> None:
    with Client(client_identifier="firefox_153", verify=run_authority[2]) as client:
        client.cookies.set("session", "secret-of-another-application", domain="localhost")
        client.get(f"https://localhost:{recorder.port}/", headers={"authorization": "Bearer secret-token"})
        client.get(f"https://localhost:{recorder.port}/k/fetch_get", mode="fetch")
    text = json.dumps(learn.learn(recorder.records(recorder.best() or ""), "mine", {}))
    assert "secret-of" not in text and "secret-token" not in text and "first=one" in text


def test_the_requests_of_a_capture_are_its_kinds(recorder: Recorder, run_authority: Any) -> None:
    """Not those of the built-in profile of its family; also when the profile is changed or goes through its file again."""
    value = json.loads((ROOT / "profiles" / "chromium_156_linux.json").read_text())
    for version in ("http2", "http1"):
        for item in value["requests"][version]["image"]["headers"]:
            item[1] = "image/mine" if item[0].lower() == "accept" else item[1]
    value["requests"]["http2"]["image"]["priority"]["weight"] = 99
    mine = Profile.load(value)
    assert mine != Profile.named("chromium_156_linux")
    again = Profile.load(json.loads(json.dumps(mine._with(stream_id=5).to_dict())))
    for profile, stream in ((mine, 1), (again, 5)):
        recorder.connections.clear()
        with Client(client_identifier=profile, verify=run_authority[2]) as client:
            client.get(f"https://localhost:{recorder.port}/k/image", mode="image")
            client.get(f"https://localhost:{recorder.port}/k/script", mode="script")
        frames = [
            frame
            for connection in recorder.connections
            for frame in (connection.record["http2"] or {"frames": []})["frames"]
            if frame["type"] == "HEADERS"
        ]
        assert [dict(frame["headers"])["accept"] for frame in frames] == ["image/mine", "*/*"]
        assert (frames[0]["stream_id"], frames[0]["priority"]["weight"]) == (stream, 99)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"http2": {"FETCH": [["a b", "x"]]}}, "rules.kinds.http2.FETCH[0][0]"),
        ({"http2": {"FETCH": [["a", 5]]}}, "rules.kinds.http2.FETCH[0][1]"),
        ({"http2": {"FETCH": [["a"]]}}, "rules.kinds.http2.FETCH[0]"),
        ({"http1": {"NOTHING": []}}, "rules.kinds.http1"),
        ({"weights": {"FETCH": 257}}, "rules.kinds.weights.FETCH"),
        ({"http2": {"FETCH": [["a", "x"]] * 65}}, ""),
    ],
)
def test_kinds_that_are_none(change: dict[str, Any], path: str) -> None:
    value = Profile.named("chromium_156_linux").to_dict()
    value["rules"]["kinds"] = {"http2": {}, "http1": {}, "weights": {}, **change}
    with pytest.raises(ProfileError) as caught:
        Profile.load(value)
    assert caught.value.path == path


# ------------------------------------------------------------------------------------------------------ other visitors


def test_bad_visitors(recorder: Recorder, run_authority: Any) -> None:
    lines = recorder.lines  # type: ignore[attr-defined]
    address = ("127.0.0.1", recorder.port)
    with socket.create_connection(address, 10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 400 ") and b"https://" in sock.recv(4096) + b"https://"
    with socket.create_connection(address, 10) as sock:
        sock.sendall(os.urandom(1) + b"\x00garbage")
    with socket.create_connection(address, 10) as sock:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40))  # a ClientHello that ends early
    with socket.create_connection(address, 10):
        pass
    strict = ssl.create_default_context()
    with socket.create_connection(address, 10) as sock, pytest.raises(ssl.SSLError):
        strict.wrap_socket(sock, server_hostname="localhost")
    loose = ssl._create_unverified_context()
    with socket.create_connection(address, 10) as sock, loose.wrap_socket(sock, server_hostname="x") as tls:
        tls.sendall(b"NONSENSE\r\n\r\n")
        tls.settimeout(10)
        tls.recv(100)
    for header in (b"Content-Length: -1", b"Content-Length: 99999999999", b"Content-Length: x"):
        with socket.create_connection(address, 10) as sock, loose.wrap_socket(sock, server_hostname="x") as tls:
            tls.sendall(b"POST / HTTP/1.1\r\n" + header + b"\r\n\r\n")
            tls.settimeout(10)
            try:
                assert tls.recv(100) == b""
            except ssl.SSLError:
                pass
    assert recorder.best() is None
    deadline = time.monotonic() + 10
    while not any("refused the certificate" in line for line in lines) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any("refused the certificate" in line for line in lines), lines
    assert any("no TLS" in line for line in lines)
    visit(recorder, "chrome_133", run_authority[2], 2)  # and a browser is recorded all the same
    assert recorder.best() == Profile.named("chrome_133").user_agent


def test_a_second_browser_waits_for_the_first(recorder: Recorder, run_authority: Any) -> None:
    base = f"https://localhost:{recorder.port}"
    with Client(client_identifier="chrome_133", verify=run_authority[2]) as first:
        assert first.get(base + "/").status_code == 200
        with Client(client_identifier="firefox_153", verify=run_authority[2]) as second:
            assert second.get(base + "/").status_code == 409
            assert second.get(base + "/stage/tls12").status_code == 409
        assert recorder.stage == "plain"
        first.get(base + "/done")
    assert recorder.wait(5) and recorder.best() == Profile.named("chrome_133").user_agent


# -------------------------------------------------------------------------------------------------------- the command


def start(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], int, str]:
    """The command, its port and the path of its authority's certificate, when it waits for visitors."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "tls_requests", "capture", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    port, ca = 0, ""
    for line in process.stdout:
        found = re.search(r"https://localhost:(\d+)/", line)
        port = int(found[1]) if found else port
        ca = line.strip() if line.strip().endswith("ca.pem") and "/" in line and not ca else ca
        if "Ctrl-C" in line:
            return process, port, ca
    raise AssertionError("the command ended")


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    return process.returncode, text


def test_ctrl_c_writes_what_there_is(tmp_path: Path) -> None:
    process, port, ca = start(tmp_path, "--out", "mine.json")
    with Client(client_identifier="firefox_153", verify=ca) as client:
        assert client.get(f"https://localhost:{port}/").status_code == 200
    code, text = end(process)
    assert code == 1 and "not seen: " in text and "no difference" in text, text
    assert Profile.load(tmp_path / "mine.json").ja4 == Profile.named("firefox_153").ja4
    assert not os.path.exists(ca), "nothing is left behind"


def test_ctrl_c_without_a_visit(tmp_path: Path) -> None:
    process, _, _ = start(tmp_path)
    code, text = end(process)
    assert code == 2 and "no browser visited" in text and not list(tmp_path.iterdir())


def test_names_are_not_taken_twice(tmp_path: Path) -> None:
    (tmp_path / "firefox_153_linux.json").write_text("mine already")
    process, port, ca = start(tmp_path, "--no-check")
    with Client(client_identifier="firefox_153", verify=ca) as client:
        client.get(f"https://localhost:{port}/")
    code, text = end(process)
    assert code == 1 and (tmp_path / "firefox_153_linux_2.json").exists(), text
    assert (tmp_path / "firefox_153_linux.json").read_text() == "mine already"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--browser", "no-such-browser"], "no program"),
        (["--browser", "x", "--certificate", __file__], "do not go together"),
        (["--certificate", "missing.pem"], "missing.pem"),
        (["--bind", "192.0.2.1"], "192.0.2.1"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, arguments: list[str], reason: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tls_requests", "capture", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and reason in done.stderr + done.stdout, done
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------------------ the authority


def test_the_authority_is_good_for_its_names_alone(tmp_path: Path) -> None:
    made = authorities.make(["localhost"])
    (tmp_path / "ca.pem").write_text(made.ca)
    (tmp_path / "server.pem").write_text(made.both)
    openssl = shutil.which("openssl")
    assert openssl, "openssl is missing: make test-packages"
    verify = [openssl, "verify", "-x509_strict", "-CAfile", "ca.pem", "-verify_hostname"]
    assert subprocess.run([*verify, "localhost", "server.pem"], cwd=tmp_path, capture_output=True).returncode == 0
    assert subprocess.run([*verify, "other.test", "server.pem"], cwd=tmp_path, capture_output=True).returncode != 0
    text = subprocess.run(
        [openssl, "x509", "-in", "ca.pem", "-noout", "-text"], cwd=tmp_path, capture_output=True, text=True
    ).stdout
    assert "Name Constraints: critical" in text and "DNS:localhost" in text and "IP:0.0.0.0/0.0.0.0" in text
    assert "PRIVATE KEY" not in made.ca and made.both.count("PRIVATE KEY") == 2
    other = authorities.make(["127.0.0.1"])
    assert other.fingerprint != made.fingerprint


def test_without_the_openssl_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(authorities.AuthorityError, match="--certificate"):
        authorities.make(["localhost"])


def test_names_that_are_no_names() -> None:
    for name in ("a b", "x\ny = z", "", "*" * 300):
        with pytest.raises(authorities.AuthorityError):
            authorities.make([name])


@pytest.mark.parametrize(
    ("agent", "client"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36 Edg/133.0.0.0",
         ("edge", "chromium", "133", "windows")),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/133.0.1.2 Mobile/15E148 Safari/604.1",
         ("chrome", "webkit", "133.0.1.2", "ios")),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0.1 Safari/605.1.15",
         ("safari", "webkit", "26.0.1", "macos")),
        ("Mozilla/5.0 (Android 14; Mobile; rv:133.0) Gecko/133.0 Firefox/133.0", ("firefox", "gecko", "133", "android")),
        ("curl/8.5.0", ("custom", None, None, None)),
    ],
)  # fmt: skip
def test_what_a_user_agent_says(agent: str, client: tuple[str | None, ...]) -> None:
    found = learn.client_of(agent)
    assert tuple(found.get(key) for key in ("family", "engine", "version", "os")) == client
