"""Which browser a User-Agent names, and the engine of a browser family."""

from __future__ import annotations

import re
from typing import Any

FAMILIES = {
    **dict.fromkeys(("chrome", "chromium", "edge", "opera", "brave", "vivaldi", "samsung"), "chromium"),
    **dict.fromkeys(("firefox", "tor"), "gecko"),
    "safari": "webkit",
    "okhttp": "okhttp",
}
# iOS has WebKit alone, whatever the browser is called.
WEBKIT_SYSTEMS = ("ios", "ipados")


def engine_of(family: str, system: str) -> str | None:
    """The engine of a family; None: it is not known."""
    engine = FAMILIES.get(family)
    return "webkit" if engine in ("chromium", "gecko") and system in WEBKIT_SYSTEMS else engine


def client_of(agent: str, brands: str | None = None) -> dict[str, Any]:
    """family, engine, version and os of a User-Agent; what is not known is left out."""
    # The first that fits: other products name Chrome and Safari too, and iOS browsers are WebKit whatever they are called.
    families = (
        (r"Edg(?:A|iOS)?/([\d.]+)", "edge", "chromium"),
        (r"OPR/([\d.]+)", "opera", "chromium"),
        (r"SamsungBrowser/([\d.]+)", "samsung", "chromium"),
        (r"(?:Chrome|Chromium|CriOS)/([\d.]+)", "chrome", "chromium"),
        (r"(?:Firefox|FxiOS)/([\d.]+)", "firefox", "gecko"),
        (r"Version/([\d.]+).* Safari/", "safari", "webkit"),
        (r"okhttp/([\d.]+)", "okhttp", "okhttp"),
    )
    client: dict[str, Any] = {"family": "custom"}
    for pattern, family, engine in families:
        found = re.search(pattern, agent)
        if found:
            version = re.sub(r"(\.0)+$", "", found[1])
            client = {"family": family, "engine": engine, "version": version}
            break
    if brands and '"Brave"' in brands:
        client["family"] = "brave"
    systems = (
        ("Windows NT", "windows"),
        ("Android", "android"),
        ("iPhone", "ios"),
        ("iPad", "ipados"),
        ("Macintosh", "macos"),
        ("Linux", "linux"),
    )
    system = next((name for part, name in systems if part in agent), None)
    if system:
        client["os"] = system
    if system in WEBKIT_SYSTEMS and "engine" in client:
        client["engine"] = "webkit"
    return client
