"""A browser on another platform: what of its headers changes there, and where it does not exist.

What changes is read from pairs of profiles of one version on two platforms: Chrome 119 and 120 on Linux and macOS, Chrome 99 and 154 on
Android and on the desktop differ in user-agent, sec-ch-ua-platform and sec-ch-ua-mobile alone; Firefox 135 on Android has other key
shares, SETTINGS and windows than on the desktop. The texts are those of User-Agent reduction (Chromium) and of Firefox's frozen
platform tokens, as in the profiles.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from copy import deepcopy

from .client_hints import default_hints
from .rows import Rows

PLATFORMS = ("windows", "macos", "linux", "android", "ios", "ipados")

# Values of sec-ch-ua-platform.
HINTS = {"windows": '"Windows"', "macos": '"macOS"', "linux": '"Linux"', "android": '"Android"'}
_CHROMIUM = {
    "windows": "Windows NT 10.0; Win64; x64",
    "macos": "Macintosh; Intel Mac OS X 10_15_7",
    "linux": "X11; Linux x86_64",
    "android": "Linux; Android 10; K",
}
_FIREFOX = {
    "windows": "Windows NT 10.0; Win64; x64",
    "macos": "Macintosh; Intel Mac OS X 10.15",
    "linux": "X11; Linux x86_64",
}
# From that version on the Android version and the model are frozen (User-Agent reduction, phase 6).
_ANDROID_FROZEN = 110
# Browsers that exist on Android with the desktop's version number, and how they are called there.
_ON_ANDROID = {"chrome": None, "chromium": None, "brave": None, "edge": ("Edg/", "EdgA/")}


def platform_of(value: object) -> str:
    """One of PLATFORMS, whatever its case. Raises TypeError, ValueError."""
    if not isinstance(value, str):
        raise TypeError(f"platform must be a str, not {type(value).__name__}")
    if value.lower() not in PLATFORMS:
        import difflib

        near = difflib.get_close_matches(value.lower(), PLATFORMS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"platform must be one of {', '.join(PLATFORMS)}, not {value[:64]!r}{hint}")
    return value.lower()


def header(rows: Rows, name: str) -> str | None:
    """The value of a navigation's header."""
    return next((value for key, value in rows.h2_headers or rows.h1_headers if key.lower() == name), None)


def set_headers(rows: Rows, values: dict[str, str]) -> None:
    """Give headers that are sent other values, in their places. values: by names in lower case."""

    def changed(headers: Iterable[tuple[str, object]]) -> list[tuple[str, object]]:
        return [
            (name, values[name.lower()] if isinstance(value, str) and name.lower() in values else value)
            for name, value in headers
        ]

    rows.h2_headers = changed(rows.h2_headers)  # type: ignore[assignment]  # None stays, and text becomes text
    rows.h1_headers = changed(rows.h1_headers)  # type: ignore[assignment]
    for kinds in rows.kinds.values():
        for kind in kinds:
            kinds[kind] = changed(kinds[kind])
    if "user-agent" in values:
        rows.user_agent = values["user-agent"]


def _chromium_agent(rows: Rows, platform: str) -> str | None:
    agent = rows.user_agent or ""
    found = re.fullmatch(
        r"Mozilla/5\.0 \([^()]*\) AppleWebKit/537\.36 \(KHTML, like Gecko\) Chrome/(\d+)(\.\d+){3}( Mobile)? Safari/537\.36( .*)?",
        agent,
    )
    if found is None or platform not in _CHROMIUM:
        return None
    if platform == "android" and (rows.family not in _ON_ANDROID or int(found[1]) < _ANDROID_FROZEN):
        return None
    agent = re.sub(r"\([^()]*\)", "(%s)" % _CHROMIUM[platform], agent, count=1)
    mobile = " Mobile" if platform == "android" else ""
    agent = re.sub(r"( Mobile)? Safari/", mobile + " Safari/", agent)
    names = _ON_ANDROID.get(rows.family)
    if names is not None:
        here, there = names if platform == "android" else names[::-1]
        agent = agent.replace(here, there)
    return agent


def _firefox_agent(rows: Rows, platform: str) -> str | None:
    found = re.fullmatch(r"Mozilla/5\.0 \([^()]*; (rv:[0-9.]+)\) Gecko/20100101 Firefox/[0-9.]+", rows.user_agent or "")
    if found is None or platform not in _FIREFOX or rows.os == "android":
        return None
    assert rows.user_agent is not None
    return re.sub(r"\([^()]*\)", "(%s; %s)" % (_FIREFOX[platform], found[1]), rows.user_agent, count=1)


def move(rows: Rows, platform: str) -> bool:
    """Change rows to that platform; False (and no change) where the browser is not there, or its connections differ."""
    agent = _chromium_agent(rows, platform) or _firefox_agent(rows, platform)
    if agent is None:
        return False
    values = {"user-agent": agent}
    if "Chrome/" in agent:
        values.update(
            {"sec-ch-ua-platform": HINTS[platform], "sec-ch-ua-mobile": "?1" if platform == "android" else "?0"}
        )
    set_headers(rows, values)
    if rows.os and rows.id.endswith("_" + rows.os):
        rows.id = rows.id[: -len(rows.os)] + platform
    rows.os = platform
    if rows.hints:
        rows.hints = default_hints(rows)
    return True


def is_same_browser(rows: Rows, other: Rows) -> bool:
    """Whether two profiles are of one version of one browser, on whatever platform."""
    if rows.family != other.family or not rows.version or rows.family in ("app", "custom"):
        return False
    if header(rows, "sec-ch-ua") != header(other, "sec-ch-ua"):
        return False
    parts = 2 if rows.family == "safari" else 1  # Safari's numbers are those of the systems

    def number(text: str) -> list[str]:
        return (text.split(".") + ["0"])[:parts]

    return number(rows.version) == number(other.version)


def possible(rows: Rows, is_built_in: Callable[[str], bool]) -> list[str]:
    """The platforms of a browser. is_built_in: says whether there is a built-in profile of it on a platform."""
    return [name for name in PLATFORMS if name == rows.os or is_built_in(name) or move(deepcopy(rows), name)]


def why_not(rows: Rows, platform: str) -> str:
    """The reason for which `move` refuses."""
    agent = rows.user_agent or ""
    if not agent.startswith("Mozilla/"):
        return "it is no browser"
    if "Firefox/" in agent and "android" in (platform, rows.os):
        return "Firefox's connections on Android are not those of its desktop versions, and this version has not been recorded there"
    if "Chrome/" in agent or "Firefox/" in agent:
        if platform in ("ios", "ipados"):
            return "browsers are WebKit there, and connect as Safari does"
        return "it is not known how this version looks there"
    return "Safari is on Apple's systems alone, and of this version only those that were recorded are known"
