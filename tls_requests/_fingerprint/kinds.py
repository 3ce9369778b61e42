"""Kinds of request: which header fields a browser sends, in which order, for what a page asks for.

A row of a kind is (name, value): a text, None for a place that is filled per request, or SAME for the value that the profile's
navigation has under that name. The rows come from the capture's own `requests`, or from the live capture of its engine: as they name
nothing that differs between the versions of a family, one table holds for all of them.
"""

from __future__ import annotations

from collections.abc import Callable

SAME = object()
Rows = list[tuple[str, "str | object | None"]]
Headers = list[tuple[str, str]]
# version ("http2", "http1"), kind of the capture -> its headers, None: not recorded
Recorded = Callable[[str, str], "Headers | None"]

# tr_kind_t in order, and the recorded requests that show it, the first one that there is.
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("NAVIGATE", ()),
    ("FETCH", ("fetch_post_json", "fetch_get")),
    ("XHR", ("xhr_post", "xhr_get")),
    ("FORM", ("form_post_by_click", "form_post_by_script")),
    ("IMAGE", ("image",)),
    ("SCRIPT", ("script",)),
    ("STYLE", ("style",)),
    ("IFRAME", ("iframe",)),
    ("WEBSOCKET", ("websocket",)),
    ("EVENTS", ("event_source",)),
)
PLACES = frozenset(
    {
        "content-length",
        "content-type",
        "origin",
        "referer",
        "cookie",
        "host",
        "sec-websocket-key",
        "sec-websocket-protocol",
    }
)
# What the pages of the captures set themselves.
OF_THE_PAGE = frozenset({"x-custom", "x-requested-with", "authorization"})
# Places that any kind has, for what a caller may give; where they stand is read from the kind, else from a fetch.
WANTED = ("content-length", "content-type", "origin", "referer", "cookie")


def rows_of(headers: Headers, navigation: Headers) -> Rows:
    """A recorded request as rows."""
    of_navigation = {name.lower(): value for name, value in navigation}
    rows: Rows = []
    for name, value in headers:
        lower = name.lower()
        if lower in OF_THE_PAGE or any(name == row[0] for row in rows):
            continue  # a cookie is one field each over HTTP/2
        if lower in PLACES:
            rows.append((name, None))
        elif of_navigation.get(lower) == value:
            rows.append((name, SAME))
        else:
            rows.append((name, value))
    return rows


def add_user(rows: Rows, navigation: Headers) -> None:
    """A form that a script submitted lacks what says that a user did it: that goes where the navigation has it."""
    names, order = [name.lower() for name, _ in rows], [name.lower() for name, _ in navigation]
    if "sec-fetch-user" in names or "sec-fetch-user" not in order:
        return
    index = order.index("sec-fetch-user")
    behind = [names.index(name) for name in order[index + 1 :] if name in names and name not in PLACES]
    rows.insert(min(behind) if behind else len(rows), (navigation[index][0], SAME))


def add_places(rows: Rows, other: Rows, spelled: Callable[[str], str], known: bool = False) -> None:
    """Puts in the places that the request did not show: before what stands behind them in another (a fetch). known: only those that
    the other has."""
    order = [name.lower() for name, _ in other]
    for wanted in WANTED:
        names = [name.lower() for name, _ in rows]
        if wanted in names or (known and wanted not in order):
            continue
        behind = order[order.index(wanted) + 1 :] if wanted in order else []
        found = [names.index(name) for name in behind if name in names and name not in PLACES]
        rows.insert(min(found) if found else len(rows), (spelled(wanted), None))


# No handshake of the captures had cookies. Chromium's network stack puts them in before the handshake stream adds the fields that depend on
# the connection; Firefox's are where they are in its other requests, behind what the page's script caused and before sec-fetch-*.
COOKIE_OF_A_HANDSHAKE = ("sec-fetch-dest", "sec-websocket-key", "sec-websocket-extensions")


def add_cookie_place(rows: Rows, spelled: Callable[[str], str]) -> None:
    names = [name.lower() for name, _ in rows]
    if "cookie" not in names:
        at = next((names.index(name) for name in COOKIE_OF_A_HANDSHAKE if name in names), len(rows))
        rows.insert(at, (spelled("cookie"), None))


def add_empty_length(rows: Rows, empty: Headers) -> None:
    """A place of its own for the length of an empty body, where the browser has one (Firefox): ("content-length", "0")."""
    names = [name.lower() for name, _ in empty]
    if "content-length" not in names:
        return
    index = names.index("content-length")
    behind = {name for name in names[index + 1 :] if name not in PLACES}
    order = [name.lower() for name, _ in rows]
    at = next((place for place, name in enumerate(order) if name in behind), len(rows))
    if {name for name in order[order.index("content-length") :] if name not in PLACES} != behind:
        rows.insert(at, (empty[index][0], "0"))


def recorded_kinds(
    recorded: Recorded, version: str, navigation: Headers, spelled: Callable[[str], str]
) -> dict[str, Rows]:
    """The rows of each kind that was recorded over that version."""
    kinds: dict[str, Rows] = {}
    for kind, sources in KINDS:
        source = next((source for source in sources if recorded(version, source) is not None), None)
        headers = None if source is None else recorded(version, source)
        if headers is not None:
            kinds[kind] = rows_of(headers, navigation)
            if source == "form_post_by_script":
                add_user(kinds[kind], navigation)
    for kind, rows in kinds.items():
        if kind == "WEBSOCKET":
            add_cookie_place(rows, spelled)
            continue
        if kind == "FORM" and "IFRAME" in kinds:
            add_places(rows, kinds["IFRAME"], spelled, known=True)  # a navigation as well: its cookies stand there
        add_places(rows, kinds.get("FETCH", rows), spelled)
    empty = recorded(version, "fetch_post_empty")
    if empty is not None and "FETCH" in kinds:
        add_empty_length(kinds["FETCH"], empty)
    return kinds


# Values that differ between versions of a family: (engine, field of the navigation's Accept that is missing, what goes).
IMAGE_ACCEPT_PARTS = ("image/jxl", "image/avif")


def adapt(kinds: dict[str, Rows], engine: str, major: int, accept: str) -> dict[str, Rows]:
    """The rows of another version: what an image's Accept names has changed over time. Chromium's images name what its navigations
    do; Firefox's from 128 on have today's value (MDN, "List of default Accept values")."""
    adapted = {}
    for kind, rows in kinds.items():
        changed: Rows = []
        for name, value in rows:
            if name.lower() == "accept" and isinstance(value, str) and value.startswith("image/"):
                if engine == "chromium":
                    gone = [part for part in IMAGE_ACCEPT_PARTS if part not in accept]
                    value = ",".join(part for part in value.split(",") if part not in gone)
                elif engine == "gecko" and major < 92:
                    value = "image/webp,*/*"
                elif engine == "gecko" and major < 128:
                    value = "image/avif,image/webp,*/*"
            changed.append((name, value))
        adapted[kind] = changed
    return adapted


# WebKit is not recorded but for navigations. The Fetch standard says what the kinds differ in; order: as a navigation's.
# kind: (mode, destination, Accept, Priority; None: as the navigation's, "": none)
WEBKIT_IMAGE = "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
DERIVED: dict[str, tuple[str, str, str | None, str | None]] = {
    "FETCH": ("cors", "empty", "*/*", "u=3, i"),
    "XHR": ("cors", "empty", "*/*", "u=3, i"),
    "FORM": ("navigate", "document", None, None),
    "IMAGE": ("no-cors", "image", WEBKIT_IMAGE, "u=5, i"),
    "SCRIPT": ("no-cors", "script", "*/*", ""),
    "STYLE": ("no-cors", "style", "text/css,*/*;q=0.1", ""),
    "IFRAME": ("navigate", "iframe", None, None),
    "EVENTS": ("cors", "empty", "text/event-stream", "u=3, i"),
}
# HTML, "the EventSource interface": its requests go past caches.
NO_CACHE = (("Cache-Control", "no-cache"), ("Pragma", "no-cache"))


def derived_kinds(places: list[tuple[str, str | None]]) -> dict[str, Rows]:
    """Rows after the Fetch standard, in the order of a navigation (with its places)."""
    kinds: dict[str, Rows] = {}
    for kind, (mode, destination, accept, priority) in DERIVED.items():
        values = {"sec-fetch-mode": mode, "sec-fetch-dest": destination, "accept": accept, "priority": priority}
        rows: Rows = []
        for name, value in places:
            lower = name.lower()
            if mode != "navigate" and lower in ("upgrade-insecure-requests", "sec-fetch-user"):
                continue
            if value is None:
                rows.append((name, None))
            elif lower == "sec-fetch-site":
                rows.append((name, "same-origin"))
            elif values.get(lower) == "":
                continue
            else:
                own = values.get(lower)
                rows.append((name, SAME if own is None else own))
        if kind == "EVENTS":
            lower_case = all(name == name.lower() for name, _ in places)
            rows += [(name.lower() if lower_case else name, value) for name, value in NO_CACHE]
        kinds[kind] = rows
    return kinds
