"""JA3, JA4 and what the Akamai text is made of, computed by tools that are not ours from packets on the loopback interface: tshark (JA3;
the HTTP/2 frames, decrypted with the server's key log) and ja4plus (JA4). Each must be what our profiles say and our server saw.

Not in the suite: capturing needs root (or membership in the wireshark group). Run by `make check-independent`.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tls_requests
from tls_requests import Profile
from tls_requests._fingerprint.server import Server
from tls_requests._fingerprint.texts import fingerprints

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_live import SPREAD

LETTERS = {":method": "m", ":authority": "a", ":scheme": "s", ":path": "p"}


class Visit(NamedTuple):
    """A connection: the profile's name, and what our server recorded."""

    name: str
    record: dict[str, Any]


class Capture(NamedTuple):
    """path: of the packets; visits: by the client's port."""

    path: Path
    keys: Path
    port: int
    visits: dict[int, Visit]


class KeyLoggingServer(Server):
    keys = ""

    def make_context(self, certificate: str) -> Any:
        context = super().make_context(certificate)
        context.keylog_filename = self.keys
        return context


def program(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"{name} is missing: make check-independent installs it"
    return path


def wait_until(condition: Any, what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.fixture(scope="module")
def capture(server_pair: Any, ca_file: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capture]:
    folder = tmp_path_factory.mktemp("packets")
    path = folder / "packets.pcapng"
    KeyLoggingServer.keys = str(folder / "keys")
    server = KeyLoggingServer("127.0.0.1", 0, str(server_pair.both))
    server.start()
    filter_ = f"tcp port {server.port} and host 127.0.0.1"
    with open(folder / "errors", "w") as errors:
        dumpcap = subprocess.Popen(
            [program("dumpcap"), "-q", "-i", "lo", "-f", filter_, "-w", str(path)], stderr=errors
        )
    try:

        def capturing() -> bool:
            if dumpcap.poll() is not None:
                pytest.fail("dumpcap ended: " + (folder / "errors").read_text())
            socket.create_connection(("127.0.0.1", server.port), 5).close()
            return path.exists() and path.stat().st_size > 1000

        wait_until(capturing, "dumpcap captured nothing")
        visits: dict[int, Visit] = {}
        for name in SPREAD:
            with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
                assert client.get(f"https://localhost:{server.port}/").status_code == 200
        seen = [item for item in server.connections if item.record["client_hellos"]]
        assert len(seen) == len(SPREAD)
        for name, connection in zip(SPREAD, seen):
            visits[connection.peer[1]] = Visit(name, connection.record)
        size = [0, 0]

        def settled() -> bool:
            size[:] = [size[1], path.stat().st_size]
            time.sleep(0.5)
            return size[0] == size[1] > 0

        wait_until(settled, "the capture does not end")
        dumpcap.send_signal(signal.SIGINT)
        dumpcap.wait(20)
        yield Capture(path, folder / "keys", server.port, visits)
    finally:
        if dumpcap.poll() is None:
            dumpcap.kill()
            dumpcap.wait(10)
        server.stop()


def tshark(capture: Capture, *arguments: str) -> str:
    command = [program("tshark"), "-r", str(capture.path), "-d", f"tcp.port=={capture.port},tls"]
    command += ["-o", f"tls.keylog_file:{capture.keys}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_ja3(capture: Capture) -> None:
    found: dict[int, list[str]] = {}
    out = tshark(
        capture, "-Y", "tls.handshake.type == 1", "-T", "fields", "-e", "tcp.srcport",
        "-e", "tls.handshake.ja3_full", "-e", "tls.handshake.ja3",
    )  # fmt: skip
    for line in out.splitlines():
        port, *texts = line.split("\t")
        found[int(port)] = texts
    assert set(found) == set(capture.visits)
    for port, visit in capture.visits.items():
        ours = fingerprints(visit.record["client_hellos"][0]["decoded"])
        assert found[port] == [ours["ja3_text"], ours["ja3_hash"]], visit.name
        profile = Profile.named(visit.name)
        if profile.fields()["TLS extension order"] == "fixed" and "TLS padding" not in profile.fields():
            assert found[port] == [profile.ja3, profile.ja3_hash], visit.name


def test_ja4(capture: Capture) -> None:
    from ja4plus.fingerprinters.ja4 import JA4Fingerprinter
    from scapy.layers.inet import TCP
    from scapy.utils import rdpcap

    found: dict[int, tuple[str, str]] = {}
    tool = JA4Fingerprinter()
    for packet in rdpcap(str(capture.path)):
        if TCP in packet and packet[TCP].dport == capture.port:
            text = tool.process_packet(packet)
            if text:
                found[packet[TCP].sport] = (text, str(tool.get_raw_fingerprint(packet)))
    assert set(found) == set(capture.visits)
    for port, visit in capture.visits.items():
        ours = fingerprints(visit.record["client_hellos"][0]["decoded"])
        assert found[port] == (ours["ja4"], ours["ja4_r"]), visit.name
        profile = Profile.named(visit.name)
        if "TLS padding" not in profile.fields():  # else it depends on the length of the host name
            assert found[port] == (profile.ja4, profile.ja4_r), visit.name


def shown(field: ET.Element, name: str) -> list[str]:
    return [item.get("show", "") for item in field.iter("field") if item.get("name") == name]


def akamai(frames: list[ET.Element]) -> str:
    """The Akamai text of the frames that tshark decoded: up to the first HEADERS."""
    settings, window, priorities, order = "", "00", [], ""
    for frame in frames:
        kind = int(shown(frame, "http2.type")[0], 0)
        if kind == 4 and not settings:
            pairs = []
            for item in frame.iter("field"):
                if item.get("name") != "http2.settings":
                    continue
                number = shown(item, "http2.settings.id")[0]
                values = [
                    child.get("show", "")
                    for child in item.iter("field")
                    if child.get("name", "").startswith("http2.settings.") and child.get("name") != "http2.settings.id"
                ]
                pairs.append("%d:%d" % (int(number, 0), int(values[0], 0)))
            settings = ";".join(pairs)
        elif kind == 8 and not order and shown(frame, "http2.streamid") == ["0"]:
            window = str(int(shown(frame, "http2.window_update.window_size_increment")[0], 0))
        elif kind == 2:
            priorities.append(
                "%d:%d:%d:%d"
                % (
                    int(shown(frame, "http2.streamid")[0]),
                    int(shown(frame, "http2.exclusive")[0] in ("1", "True")),
                    int(shown(frame, "http2.stream_dependency")[0]),
                    int(shown(frame, "http2.headers.weight")[0]) + 1,
                )
            )
        elif kind == 1:
            order = ",".join(LETTERS[name] for name in shown(frame, "http2.header.name") if name in LETTERS)
            break
    return "|".join([settings, window, ",".join(priorities) or "0", order])


def test_akamai(capture: Capture) -> None:
    out = tshark(capture, "-Y", f"http2 and tcp.dstport == {capture.port}", "-T", "pdml")
    frames: dict[int, list[ET.Element]] = {}
    for packet in ET.fromstring(out).iter("packet"):
        ports = [int(item.get("show", "0")) for item in packet.iter("field") if item.get("name") == "tcp.srcport"]
        for proto in packet.iter("proto"):
            if proto.get("name") == "http2":
                frames.setdefault(ports[0], []).extend(
                    item
                    for item in proto.iter("field")
                    if item.get("name") == "http2.stream" and shown(item, "http2.type")
                )
    compared = 0
    for port, visit in capture.visits.items():
        profile = Profile.named(visit.name)
        if profile.akamai is None:
            continue
        assert akamai(frames[port]) == profile.akamai, visit.name
        compared += 1
    assert compared > 20
