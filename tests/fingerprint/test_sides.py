"""`python -m tls_requests fingerprint`: any two of profile, file, recording, raw ClientHello and live connection."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_live import SPREAD

from tls_requests import Client, Profile
from tls_requests.__main__ import main
from tls_requests._fingerprint import sides
from tls_requests._fingerprint.server import Server


@pytest.fixture(scope="module")
def recorded(server_pair: Any, ca_file: str) -> Iterator[dict[str, dict[str, Any]]]:
    """One connection of each profile, by name."""
    server = Server("127.0.0.1", 0, str(server_pair.both))
    server.start()
    for name in SPREAD:
        with Client(client_identifier=name, verify=ca_file) as client:
            assert client.get(f"https://localhost:{server.port}/").status_code == 200
    seen = [connection.record for connection in server.connections if connection.record["client_hellos"]]
    yield dict(zip(SPREAD, seen))
    server.stop()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["fingerprint", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("name", SPREAD)
def test_a_connection_against_its_profile(recorded: dict[str, dict[str, Any]], name: str) -> None:
    seen, told = sides.of_record(recorded[name], "seen"), sides.side(name)
    assert told.diff(seen) == [] and seen.diff(told) == []
    assert seen.texts["JA4"] == told.texts["JA4"] or "TLS padding" in told.fields()
    others = [other for other in ("chrome_133_macos", "firefox_153_linux", "safari_18_0_ios") if other != name]
    for other in others:
        assert seen.diff(sides.side(other)), other


def test_what_differs_is_named(recorded: dict[str, dict[str, Any]]) -> None:
    profile = Profile.load({"inherits": "firefox_153", "http2": {"frames": changed_frames()}})
    [found] = sides.of_profile(profile).diff(sides.of_record(recorded["firefox_153_linux"], "seen"))
    assert found.field == "HTTP/2 SETTINGS" and found.mine != found.theirs


def changed_frames() -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = Profile.named("firefox_153").to_dict()["http2"]["frames"]
    frames[0]["settings"][0][1] = 4096
    return frames


def test_files(recorded: dict[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = bytes.fromhex(recorded["chrome_133_macos"]["client_hellos"][0]["raw"])
    (tmp_path / "hello.bin").write_bytes(raw)
    (tmp_path / "hello.hex").write_text(":".join(f"{byte:02x}" for byte in raw[5:]) + "\n")
    (tmp_path / "seen.json").write_text(json.dumps(list(recorded.values())[:3] + [recorded["chrome_133_macos"]]))
    Profile.named("chrome_133").save(tmp_path / "mine.json")
    for name in ("hello.bin", "hello.hex", "seen.json", "mine.json"):
        code, out, _ = run(capsys, str(tmp_path / name), "--against", "chrome_133")
        assert (code, out.strip().rpartition(": ")[2]) == (0, "no difference"), out
        code, out, _ = run(capsys, "--profile", "edge_101", "--against", str(tmp_path / name), "--json")
        assert code == 1 and any(item["field"].startswith("TLS") for item in json.loads(out))
        code, out, _ = run(capsys, str(tmp_path / name))
        assert code == 0 and Profile.named("chrome_133").ja4 in out
    # A hello says nothing of HTTP/2: that is no difference.
    code, out, _ = run(capsys, str(tmp_path / "hello.bin"), "--against", "firefox_153", "--json")
    assert code == 1 and not any("HTTP/2" in item["field"] for item in json.loads(out))


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.json", b"{", "no JSON"),
        ("list.json", b"[1]", "no object"),
        ("record.json", b'{"client_hellos": []}', "no ClientHello"),
        ("record.json", b'{"client_hellos": [{"decoded": 5}]}', "no recording"),
        ("junk", b"\x00\x01", "neither JSON nor a ClientHello"),
        ("short", b"\x16\x03\x01\x02\x00\x01\x00\x01", "neither JSON nor a ClientHello"),
        ("odd", b"abc", "neither JSON nor a ClientHello"),
        ("nothing", b"", "neither JSON nor a ClientHello"),
    ],
)
def test_files_that_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, reason: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    code, _, err = run(capsys, str(path))
    assert code == 2 and reason in err, err
    code, _, err = run(capsys, "--against", str(path))
    assert code == 2


def test_names_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["chrom_133"], ["--against", "missing.json"], ["listen:99999"], ["https://"]):
        code, _, err = run(capsys, *arguments)
        assert code == 2 and err.startswith("tls_requests: "), arguments


def test_a_live_connection(server_pair: Any, ca_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    server = Server("127.0.0.1", 0, str(server_pair.both))
    server.start()
    url = f"https://localhost:{server.port}/"
    try:
        code, out, _ = run(capsys, url, "--profile", "firefox_153", "--verify", ca_file)
        assert code == 0, out
        for text in ("HTTP/2.0", "TLSv1.3", "TLS group", Profile.named("firefox_153").ja4, "(the same)"):
            assert text in out
        code, out, _ = run(capsys, url, "--verify", ca_file, "--json")
        assert code == 0 and json.loads(out)["reported"]["JA4"] == Profile.named("chrome_133").ja4
        code, out, _ = run(capsys, url, "--verify", ca_file, "--against", "chrome_133")
        assert code == 0, out
        code, out, _ = run(capsys, "--profile", "chrome_133", "--against", url, "--verify", ca_file)
        assert code == 0, out
        code, out, _ = run(capsys, url, "--verify", ca_file, "--against", "firefox_153", "--json")
        assert code == 1 and {item["field"] for item in json.loads(out)} >= {"JA4", "Akamai"}
        code, out, _ = run(capsys, url, "--profile", "chrome_133", "--verify", ca_file, "--http1")
        assert code == 0 and "HTTP/1.1" in out
    finally:
        server.stop()


def test_a_server_that_reports_nothing(nginx: Any, ca_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, nginx.url("/"), "--verify", ca_file)
    assert code == 0 and "did not report" in out and "TLS cipher suite" in out and "sent, as chrome_133_macos" in out


def test_the_next_visitor(ca_file: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tls_requests", "fingerprint", "listen", "--against", "firefox_153", "--timeout", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    found = re.search(r"https://localhost:(\d+)/", process.stderr.readline())
    assert found
    with Client(client_identifier="firefox_153", verify=False) as client:
        assert client.get(found[0]).status_code == 200
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0 and "no difference" in out, out + err


def test_nobody_comes(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "listen", "--timeout", "0.2")
    assert code == 2 and "nobody came" in err


def test_layouts_and_colours(capsys: pytest.CaptureFixture[str]) -> None:
    plain = ["--profile", "chrome_133", "--against", "firefox_153"]
    _, lines, _ = run(capsys, *plain)
    _, side_by_side, _ = run(capsys, *plain, "--layout", "columns")
    _, coloured, _ = run(capsys, *plain, "--layout", "columns", "--colour", "always")
    assert "\033[" not in lines + side_by_side and "\033[32m" in coloured and "\033[31m" in coloured
    assert re.sub(r"\033\[\d+m", "", coloured) == side_by_side
    rows = [line for line in side_by_side.splitlines() if " | " in line or line.endswith(" |")]
    assert len({line.index(" |") for line in rows if line.count(" |") == 1}) == 1
    assert max(map(len, side_by_side.splitlines())) <= 120
    assert "GREASE" in side_by_side and "not sent" in side_by_side


def test_as_calls(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    Profile.named("firefox_153").save(path)
    with Client(client_identifier="firefox_153") as client:
        mine = client.fingerprint()
    assert mine.diff(str(path)) == [] and mine.diff("firefox_153") == []
    assert {item.field for item in mine.diff("firefox_144")} >= {"TLS cipher suites", "header user-agent"}
    from tls_requests.exceptions import ProfileError

    with pytest.raises(ProfileError):
        mine.diff("firefoxx_153")
    with pytest.raises(OSError):
        mine.diff(str(tmp_path / "missing.json"))
