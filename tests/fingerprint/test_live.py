"""What our client really sends, over real connections, against the captures: first and resumed connection, the second
ClientHello after a retry, HTTP/2 frames and record layout, HTTP/1.1 headers."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tls_requests

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import gen_profiles  # noqa: E402

from fingerprint import compare, server  # noqa: E402

LIBRARY = gen_profiles.Library([ROOT / "profiles", ROOT / "profiles" / "derived"])
# One of each family, engine and way of speaking; `make check-profiles` takes all of them.
SPREAD = (
    "chrome_99_android", "chrome_104_windows", "chrome_110_windows", "chrome_120_macos", "chrome_124_macos",
    "chrome_133_macos", "chrome_154_android", "chrome_156_linux", "chromium_156_linux", "edge_101_windows",
    "edge_153_macos", "brave_146_macos", "opera_91_macos", "opera_135_macos", "firefox_102_macos", "firefox_133_macos",
    "firefox_135_android", "firefox_153_linux", "safari_15_5_macos", "safari_18_0_ios", "safari_18_4_macos",
    "safari_26_0_ipados", "safari_27_0_ios", "okhttp_3_9_android", "okhttp4_android_7", "okhttp_5_android",
    "cloudscraper", "confirmed_ios", "mesh_android_2", "mms_ios", "nike_android_mobile", "zalando_ios_mobile",
)  # fmt: skip
PROFILES = tuple(sorted(LIBRARY.raw)) if os.environ.get("TR_ALL_PROFILES") else SPREAD
LIVE = ("chrome_133_macos", "chromium_156_linux", "firefox_153_linux")


def load(name: str) -> dict[str, Any]:
    data: dict[str, Any] = LIBRARY.resolve(name)
    return data


def extension(profile: dict[str, Any], kind: int) -> Any:
    return next((item for item in profile["tls"]["extensions"] if item["type"] == kind), None)


def offers_h2(profile: dict[str, Any]) -> bool:
    return "h2" in (extension(profile, 16) or {"protocols": []})["protocols"]


def resumes(name: str) -> bool:
    """Whether the family offers its TLS 1.3 sessions again."""
    rows = gen_profiles.build(gen_profiles.Node(load(name), name + ".json"), name)
    return "RESUMES_13" in rows.flags


TLS13 = [name for name in PROFILES if extension(load(name), 51)]


class ClosingServer(server.Server):
    """Ends each connection after its response, so that the next request resumes the session."""

    def respond(self, connection: Any, request: Any) -> Any:
        response = super().respond(connection, request)
        response.close = True
        return response


@pytest.fixture
def serve(server_pair: Any) -> Iterator[Any]:
    running: list[Any] = []

    def start(kind: type[server.Server] = server.Server, **options: Any) -> Any:
        peer = kind("127.0.0.1", 0, str(server_pair.both), **options).start()
        running.append(peer)
        return peer

    yield start
    for peer in running:
        peer.stop()


def differences(profile: dict[str, Any], record: dict[str, Any], **options: Any) -> list[Any]:
    return list(compare.compare(profile, record, **options))


def visited(peer: Any) -> list[dict[str, Any]]:
    return [connection.record for connection in peer.connections if connection.record["client_hellos"]]


@pytest.mark.parametrize("name", PROFILES)
def test_first_connection(serve: Any, ca_file: str, name: str) -> None:
    profile = load(name)
    peer = serve()
    for _ in range(5 if name in LIVE else 2):
        with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
            response = client.get(f"https://localhost:{peer.port}/")
            assert response.status_code == 200, response.text
            assert response.http_version == ("HTTP/2.0" if offers_h2(profile) else "HTTP/1.1")
    live = "record_groups" in profile.get("http2", {})
    for record in visited(peer):
        assert differences(profile, record, hpack=live, records=live) == []


@pytest.mark.parametrize("name", PROFILES)
def test_resumed_connection(serve: Any, ca_file: str, name: str) -> None:
    profile = load(name)
    peer = serve(ClosingServer)
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        for _ in range(3):
            response = client.get(f"https://localhost:{peer.port}/")
            assert response.status_code == 200, response.text
    first, *others = visited(peer)
    assert differences(profile, first) == []
    assert len(others) == 2
    for record in others:
        if not resumes(name):  # of Safari, OkHttp and the applications it is not known: a first connection again
            assert record["negotiated"]["resumed"] is False
            assert differences(profile, record) == []
            continue
        assert record["negotiated"]["resumed"] is True
        variant = (profile.get("variants") or {}).get("resumption")
        # The captures' resumed connections begin with other requests than a navigation: the ClientHello is compared
        # with the variant's, the frames with those of a first navigation.
        assert differences({**profile, "tls": None}, record) == []
        if variant is not None:
            assert differences({"tls": variant["tls"]}, record) == []
        else:
            hello = record["client_hellos"][0]["decoded"]
            assert hello["extensions"][-1]["type"] == 41


@pytest.mark.parametrize("name", TLS13)
@pytest.mark.parametrize(("curve", "variant"), [("secp384r1", "retry_p384"), ("prime256v1", "retry_p256")])
def test_second_hello_after_a_retry(serve: Any, ca_file: str, name: str, curve: str, variant: str) -> None:
    profile = load(name)
    peer = serve(curve=curve)
    # Firefox sends a P-256 share at once: then there is no retry.
    group = {"prime256v1": 23, "secp384r1": 24}[curve]
    num_hellos = 1 if any(share["group"] == group for share in extension(profile, 51)["shares"]) else 2
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        response = client.get(f"https://localhost:{peer.port}/")
        assert response.status_code == 200, response.text
    [record] = visited(peer)
    assert len(record["client_hellos"]) == num_hellos
    assert differences(profile, record) == []
    if num_hellos == 1:
        return
    known = (profile.get("variants") or {}).get(variant)
    if known is not None:
        assert differences(known, record, hello=1) == []
    first, second = (item["decoded"] for item in record["client_hellos"])
    assert first["cipher_suites"] == second["cipher_suites"]


@pytest.mark.parametrize("name", ["chromium_156_linux", "firefox_153_linux"])
def test_http1_headers(serve: Any, ca_file: str, name: str) -> None:
    profile = load(name)
    peer = serve(alpn=())
    with tls_requests.Client(client_identifier=name, verify=ca_file) as client:
        response = client.get(f"https://localhost:{peer.port}/")
        assert response.status_code == 200, response.text
        assert response.http_version == "HTTP/1.1"
    [record] = visited(peer)
    assert differences(profile, record) == []


@pytest.mark.parametrize("name", [name for name in PROFILES if offers_h2(load(name))])
def test_many_at_once_share_one_connection(serve: Any, ca_file: str, name: str) -> None:
    profile = load(name)
    peer = serve()

    async def main() -> list[Any]:
        async with tls_requests.AsyncClient(client_identifier=name, verify=ca_file) as client:
            return await asyncio.gather(*(client.get(f"https://localhost:{peer.port}/{n}") for n in range(20)))

    responses = asyncio.run(main())
    assert [response.status_code for response in responses] == [200] * 20
    [record] = visited(peer)
    assert differences({**profile, "http2": None}, record) == []


def test_the_order_is_drawn_anew_for_each_connection(serve: Any, ca_file: str) -> None:
    peer = serve()
    for _ in range(6):
        with tls_requests.Client(verify=ca_file) as client:
            client.get(f"https://localhost:{peer.port}/").raise_for_status()
    orders = {
        tuple(extension["type"] for extension in record["client_hellos"][0]["decoded"]["extensions"])
        for record in visited(peer)
    }
    assert len(orders) == 6
