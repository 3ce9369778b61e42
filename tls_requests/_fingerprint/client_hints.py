"""Values of the client hints that servers ask for by Accept-CH: what a Chromium-based profile answers, and what may be put in their place.

Names, forms and order were read from Chromium 156, which was asked for all of them; the rest is said where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .rows import FieldError, Rows, major

# tr_hint_t (src/profile/profile.h), by index.
HINTS = (
    "device-memory",
    "sec-ch-device-memory",
    "dpr",
    "sec-ch-dpr",
    "viewport-width",
    "sec-ch-viewport-width",
    "sec-ch-viewport-height",
    "rtt",
    "downlink",
    "ect",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-full-version",
    "sec-ch-ua-arch",
    "sec-ch-ua-platform",
    "sec-ch-ua-platform-version",
    "sec-ch-ua-model",
    "sec-ch-ua-bitness",
    "sec-ch-ua-wow64",
    "sec-ch-ua-full-version-list",
    "sec-ch-ua-form-factors",
    "sec-ch-prefers-color-scheme",
    "sec-ch-prefers-reduced-motion",
    "sec-ch-prefers-reduced-transparency",
    "width",
    "sec-ch-width",
    "save-data",
)
# Those of every request are headers of the profile; the last are of images, and of a setting that is off.
ALWAYS = ("sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform")
NEVER = ("width", "sec-ch-width", "save-data")
SETTABLE = tuple(name for name in HINTS if name not in ALWAYS + NEVER)
# RFC 8941 3.3: how a value is written. Those that are not named are numbers or tokens.
_STRINGS = frozenset(
    "sec-ch-ua-" + name for name in ("full-version", "arch", "platform-version", "model", "bitness", "form-factors")
)
_BOOLEANS = frozenset({"sec-ch-ua-wow64"})
_NUMBERS = frozenset(HINTS[:9])
# From that version of Chromium on, where it is not older than the profiles (Chrome's status pages).
_SINCE = {
    "sec-ch-ua-wow64": 101,
    "sec-ch-ua-form-factors": 124,
    "sec-ch-prefers-reduced-motion": 108,
    "sec-ch-prefers-reduced-transparency": 119,
}
# Full versions of Chrome's stable channel, the last that was published for tests in each: what profiles without one of their own say.
_VERSIONS = {
    101: "4951.67", 102: "5005.115", 103: "5060.134", 105: "5195.127", 106: "5249.119", 108: "5359.124", 109: "5414.119",
    111: "5563.146", 112: "5615.138", 113: "5672.63", 114: "5735.133", 115: "5790.170", 116: "5845.96", 117: "5938.149",
    118: "5993.70", 119: "6045.105", 120: "6099.109", 121: "6167.85", 122: "6261.128", 123: "6312.122", 124: "6367.207",
    125: "6422.141", 126: "6478.182", 127: "6533.119", 128: "6613.137", 129: "6668.100", 130: "6723.116", 131: "6778.264",
    132: "6834.110", 133: "6943.141", 134: "6998.165", 135: "7049.114", 136: "7103.94", 137: "7151.119", 138: "7204.168",
    139: "7258.154", 140: "7339.207", 141: "7390.122", 142: "7444.175", 143: "7499.192", 144: "7559.96", 145: "7632.77",
    146: "7680.153", 147: "7727.57", 148: "7778.167", 149: "7827.22", 150: "7871.46", 151: "7922.77", 152: "7977.75",
    153: "8010.36", 154: "8037.57",
}  # fmt: skip
# A usual machine of each platform. Linux says no version (Chromium 156).
_MACHINES: dict[str, dict[str, str]] = {
    "windows": {"arch": "x86", "bitness": "64", "platform-version": "19.0.0", "dpr": "1", "width": "1920", "height": "945"},
    "macos": {"arch": "arm", "bitness": "64", "platform-version": "15.7.1", "dpr": "2", "width": "1512", "height": "823"},
    "linux": {"arch": "x86", "bitness": "64", "platform-version": "", "dpr": "1", "width": "1920", "height": "947"},
    "android": {
        "arch": "", "bitness": "", "platform-version": "15.0.0", "model": "Pixel 8", "dpr": "2.625", "width": "412", "height": "785"
    },
}  # fmt: skip


def _quoted(text: str) -> str:
    return '"%s"' % text


def _brands(rows: Rows) -> list[tuple[str, str]]:
    value = next((value for name, value in rows.h2_headers or rows.h1_headers if name.lower() == "sec-ch-ua"), None)
    return re.findall(r'"([^"]*)";v="(\d+)"', value or "")


def _chromium_version(rows: Rows) -> str:
    """The engine's: the User-Agent's where it is not reduced, else the profile's, else that of the table."""
    found = re.search(r"Chrome/(\d+)\.([0-9.]+)", rows.user_agent or "")
    if found is None:
        return rows.version
    number, rest = found.groups()
    if rest != "0.0.0":
        return "%s.%s" % (number, rest)
    if rows.family == "chrome" and rows.version.startswith(number + ".") and rows.version.count(".") == 3:
        return rows.version
    known = _VERSIONS.get(int(number))
    return "%s.0.%s" % (number, known if known is not None else "0.0")


def default_hints(rows: Rows) -> dict[str, str]:
    """What a profile of a browser that is built on Chromium answers; {}: it is none, or of an unknown platform."""
    machine = _MACHINES.get(rows.os)
    brands = _brands(rows)
    if machine is None or not brands or "Chrome/" not in (rows.user_agent or ""):
        return {}
    engine = _chromium_version(rows)
    # Brave tells no one the numbers behind the first.
    full = {"Chromium": engine, "Google Chrome": engine}
    if rows.family != "chrome" and rows.version.count(".") == 3:
        full["Microsoft Edge"] = full["Opera"] = rows.version
    if rows.family == "brave":
        full = {}
    versions = [(name, full.get(name, number + ".0.0.0")) for name, number in brands]
    own = next((number for name, number in versions if name not in ("Chromium",) and not _is_grease(name)), engine)
    system, model = machine["platform-version"], machine.get("model", "")
    told = re.search(r"\(Linux; Android ([0-9.]+); ([^;)]+)\)", rows.user_agent or "")
    if told is not None and told[2] != "K":
        system, model = (told[1] + ".0.0").rpartition(".0.0")[0] + ".0.0", told[2]  # the User-Agent is not reduced
    hints = {
        "sec-ch-ua-full-version": _quoted(own),
        "sec-ch-ua-arch": _quoted(machine["arch"]),
        "sec-ch-ua-platform-version": _quoted(system),
        "sec-ch-ua-model": _quoted(model),
        "sec-ch-ua-bitness": _quoted(machine["bitness"]),
        "sec-ch-ua-wow64": "?0",
        "sec-ch-ua-full-version-list": ", ".join('"%s";v="%s"' % pair for pair in versions),
        "sec-ch-ua-form-factors": _quoted("Mobile" if rows.os == "android" else "Desktop"),
        "sec-ch-prefers-color-scheme": "light",
        "sec-ch-prefers-reduced-motion": "no-preference",
        "sec-ch-prefers-reduced-transparency": "no-preference",
    }
    if rows.family != "brave":  # which does not tell about machine and network
        hints.update(
            {
                "device-memory": "8",
                "sec-ch-device-memory": "8",
                "dpr": machine["dpr"],
                "sec-ch-dpr": machine["dpr"],
                "viewport-width": machine["width"],
                "sec-ch-viewport-width": machine["width"],
                "sec-ch-viewport-height": machine["height"],
                "rtt": "50",
                "downlink": "10",
                "ect": "4g",
            }
        )
    number = int(engine.partition(".")[0]) if engine.partition(".")[0].isdigit() else major(rows)
    return {name: hints[name] for name in SETTABLE if name in hints and _SINCE.get(name, 0) <= number}


def _is_grease(brand: str) -> bool:
    """The brand that is no browser: "Not" and "Brand" with punctuation between."""
    return re.fullmatch(r"[^A-Za-z]*Not[^A-Za-z]*A[^A-Za-z]*Brand", brand) is not None


# ------------------------------------------------------------------------------------------------------- values of a user


def _written(name: str, value: object) -> str:
    """A value as the header says it. Raises TypeError, ValueError."""
    if isinstance(value, bool):
        if name not in _BOOLEANS:
            raise TypeError(f"client_hints: {name} must be a str or a number, not a bool")
        return "?1" if value else "?0"
    if isinstance(value, (int, float)):
        text = "%g" % value
    elif isinstance(value, str):
        text = value
    else:
        raise TypeError(f"client_hints: {name} must be a str, a number, a bool or None, not {type(value).__name__}")
    if len(text) > 256 or any(not 0x20 <= ord(char) <= 0x7E for char in text):
        raise ValueError(f"client_hints: {name} cannot be sent: {text[:64]!r}")
    if name in _STRINGS and not text.startswith('"'):
        text = _quoted(text)
    good = r"[A-Za-z0-9][A-Za-z0-9-]*"
    if name in _STRINGS or name == "sec-ch-ua-full-version-list":
        item = r'"[^"\\]*"' + (r';v="[^"\\]*"' if name not in _STRINGS else "")
        good = item if name in _STRINGS - {"sec-ch-ua-form-factors"} else r"%s(, %s)*" % (item, item)
    elif name in _BOOLEANS:
        good = r"\?[01]"
    elif name in _NUMBERS:
        good = r"[0-9]+(\.[0-9]{1,3})?"
    if re.fullmatch(good, text) is None:
        raise ValueError(f"client_hints: {name} cannot be {value!r:.64}")
    return text


def hints_of(value: object) -> bool | tuple[tuple[str, str | None], ...]:
    """A `client_hints` as the settings keep it: False: none are answered; pairs in the place of values, None: that one is not answered.

    Raises TypeError, ValueError.
    """
    if value is True or value is False:
        return value
    if not isinstance(value, Mapping):
        raise TypeError(f"client_hints must be a bool or a mapping, not {type(value).__name__}")
    found: dict[str, str | None] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"client_hints: names must be str, not {type(key).__name__}")
        name = key.lower().replace("_", "-")
        if name in ALWAYS:
            raise ValueError(f"client_hints: {name} is sent with every request, and is the profile's; see platform")
        if name not in SETTABLE:
            import difflib

            near = difflib.get_close_matches(name, SETTABLE, n=1, cutoff=0.5)
            raise ValueError(
                f"client_hints: there is no hint {key[:64]!r}" + (f"; did you mean {near[0]!r}?" if near else "")
            )
        found[name] = None if item is None else _written(name, item)
    return tuple(sorted(found.items()))


def set_hints(rows: Rows, values: bool | Iterable[tuple[str, str | None]]) -> None:
    """Give rows these values. Raises FieldError for those that contradict the User-Agent, and where the browser has none."""
    if values is True:
        return
    if values is False:
        rows.hints = {}
        return
    assert not isinstance(values, bool)
    pairs = list(values)
    if pairs and not rows.hints:
        raise FieldError("client_hints", "%s answers none" % rows.id)
    for name, value in pairs:
        if value is None:
            rows.hints.pop(name, None)
            continue
        if name == "sec-ch-ua-full-version-list":
            told = dict(re.findall(r'"([^"]*)";v="(\d*)', value))
            wrong = [brand for brand, number in _brands(rows) if told.get(brand) != number]
            if wrong or len(told) != len(_brands(rows)):
                raise FieldError(
                    "client_hints", "%s contradicts sec-ch-ua, which has %s" % (name, _shown(_brands(rows)))
                )
        elif name == "sec-ch-ua-full-version":
            numbers = {number for brand, number in _brands(rows) if not _is_grease(brand)}
            if value.strip('"').partition(".")[0] not in numbers:
                raise FieldError(
                    "client_hints", "%s contradicts sec-ch-ua, which has %s" % (name, _shown(_brands(rows)))
                )
        rows.hints[name] = value
    rows.hints = {name: rows.hints[name] for name in SETTABLE if name in rows.hints}


def _shown(brands: list[tuple[str, str]]) -> str:
    return ", ".join("%s %s" % pair for pair in brands)
