"""tls_requests/_fingerprint/kinds.py: the tables of other requests than navigations."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from gen_profiles import SAME, Node, build, profile_kinds  # noqa: E402


def load(name: str) -> Any:
    return json.loads((ROOT / "profiles" / f"{name}.json").read_text(encoding="utf-8"))


def resolve(rows: Any, navigation: Any) -> list[list[Any]]:
    values = {name.lower(): value for name, value in navigation}
    return [[name, values[name.lower()] if value is SAME else value] for name, value in rows]


@pytest.mark.parametrize("name", ["chromium_156_linux", "firefox_153_linux"])
@pytest.mark.parametrize("version", ["http2", "http1"])
def test_rows_say_what_was_recorded(name: str, version: str) -> None:
    value = load(name)
    profile = build(Node(value, name + ".json"), name)
    requests = value["requests"][version]
    for kind, recorded in [
        ("FETCH", "fetch_get"),
        ("IMAGE", "image"),
        ("SCRIPT", "script"),
        ("STYLE", "style"),
        ("IFRAME", "iframe"),
    ]:
        if recorded not in requests:
            continue
        rows = resolve(profile.kinds[version][kind], requests["navigation"]["headers"])
        wanted = [list(item) for item in requests[recorded]["headers"]]
        names = [item[0] for item in wanted]
        # Without the places that this request did not need, and cookies once.
        kept = [row for row in rows if row[0] in names and row[1] != "0"]
        assert [row[0] for row in kept] == list(dict.fromkeys(names))
        given = dict(map(tuple, wanted))
        assert all(row[1] in (None, given[row[0]]) for row in kept)


def test_weights() -> None:
    name = "chromium_156_linux"
    weights = build(Node(load(name), name + ".json"), name).weights
    assert (weights["FETCH"], weights["IMAGE"], weights["STYLE"], weights["FORM"]) == (220, 183, 256, 256)


def test_an_older_version_of_the_family() -> None:
    """chrome_133 has no requests of its own: the tables of the live capture, without what its navigation does not name."""
    name = "chrome_133_macos"
    profile = build(Node(load(name), name + ".json"), name)
    accept = dict(profile.kinds["http2"]["IMAGE"])["accept"]
    assert isinstance(accept, str) and "image/jxl" not in accept and "image/avif" in accept
    assert (
        profile.kinds["http2"]["FETCH"]
        == build(Node(load("chromium_156_linux"), "c.json"), "chromium_156_linux").kinds["http2"]["FETCH"]
    )
    older = profile_kinds.adapt({"IMAGE": [("accept", "image/png,*/*;q=0.5")]}, "gecko", 102, "")
    assert older == {"IMAGE": [("accept", "image/avif,image/webp,*/*")]}


def test_webkit_is_derived_and_applications_have_none() -> None:
    navigation: list[tuple[str, str | None]] = [
        ("content-length", None),
        ("sec-fetch-dest", "document"),
        ("user-agent", "Safari"),
        ("accept", "text/html"),
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "navigate"),
        ("priority", "u=0, i"),
        ("upgrade-insecure-requests", "1"),
    ]
    kinds = profile_kinds.derived_kinds(navigation)
    assert kinds["FETCH"] == [
        ("content-length", None),
        ("sec-fetch-dest", "empty"),
        ("user-agent", SAME),
        ("accept", "*/*"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "cors"),
        ("priority", "u=3, i"),
    ]
    assert "priority" not in dict(kinds["STYLE"]) and dict(kinds["FORM"])["accept"] is SAME
    value = load("chrome_133_macos")
    value["client"]["engine"] = None
    assert build(Node(value, "x.json"), "chrome_133_macos").kinds == {}
