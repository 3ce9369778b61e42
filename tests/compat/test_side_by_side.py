"""This package and the original, side by side: signatures, and what thousands of generated calls give (cases.py).

Both run in processes of their own, for they have one import name. What differs must be in one of the lists here, with the
section of the specification that says so; an entry that nothing needs any more fails, too.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("cases.py")
DEFAULT_COUNT = 400
COUNT = int(os.environ.get("TR_COMPAT_COUNT") or DEFAULT_COUNT)


@pytest.fixture(scope="module")
def original(root: Path) -> Path:
    """The folder with the original in it."""
    folder = Path(os.environ.get("TR_ORIGINAL") or root / "build" / "original")
    if not (folder / ".installed").exists():
        pytest.fail("the original is not installed: `make original`")
    return folder


def run(*arguments: str, path: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    command = [sys.executable, "-W", "ignore", str(CASES), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ------------------------------------------------------------------------------------------------------- what may differ


class Case:
    """One step of one case, with both outcomes."""

    def __init__(self, family: str, given: str, step: str, theirs: str, ours: str, first: tuple[str, str]) -> None:
        self.family, self.given, self.step, self.theirs, self.ours = family, given, step, theirs, ours
        self.name = re.sub(r"^\d+ ", "", step).split(" ", 1)[0]
        self.make_theirs, self.make_ours = first  # outcomes of the case's first step


def without_params(text: str) -> str:
    return text.replace(";x=1", "").replace("', 'x=1',", "', '',")


def plain_host_refused(case: Case) -> bool:
    """The host is made of ASCII letters, digits, `_`, `-` and dots, and the original's IDNA rules do not want it."""
    match = re.fullmatch(r"raises URLError: Invalid IDNA hostname: ([a-z0-9_.-]+)", case.make_theirs)
    return match is not None and ("_" in match[1] or "--" in match[1])


def both_queries(case: Case) -> bool:
    """The URL has a query of its own and parameters: the original percent-quotes the first."""
    return "?" in case.given and not case.given.endswith("None)")


# (section and tag, what, families, steps, condition). A step whose case differs in its first step is looked at with that one.
DIFFERENCES: list[tuple[str, str, set[str], set[str], Callable[[Case], bool]]] = [
    (
        "9.2",
        "bytes that are not UTF-8 are a URL that cannot be read, as any other",
        {"url"}, {"make"},
        lambda c: c.theirs.startswith("raises UnicodeDecodeError") and c.ours.startswith("raises URLError: Invalid URL: b'"),
    ),
    (
        "11",
        "a method that is no text: the same exception says which argument is meant",
        {"request"}, {"wrong"},
        lambda c: c.theirs.startswith("list(\"raises AttributeError: 'NoneType' object has no attribute 'upper'\",")
        and c.ours.startswith("list('raises AttributeError: method must be a str, not NoneType',"),
    ),
    (
        "7.3",
        "an item that is no sequence is a HeaderError like other bad formats",
        {"headers"}, {"make"},
        lambda c: c.theirs.startswith("raises TypeError: cannot unpack") and c.ours == "raises HeaderError: Invalid headers format",
    ),
    (
        "7.4 FIX",
        "pairs of one name are one entry with several values",
        {"headers"}, {"make", "facts", "views", "repr", "del", "pop", "popitem", "setdefault", "set", "update", "copy", "pickle", "get", "item", "eq", "clear", "in"},
        lambda c: bool(duplicates(c.given)),
    ),
    (
        "9.1 FIX",
        "parameters are normalised when they are assigned",
        {"params"}, {"set", "copy", "pop"},
        lambda c: True,
    ),
    (
        "9.1 FIX",
        "a mapping that makes no parameters is not equal",
        {"params"}, {"eq"},
        lambda c: c.theirs.startswith("raises URLParamsError") and c.ours.startswith("list("),
    ),
    (
        "9.2 rule 6 FIX",
        "plain ASCII hosts with `_` or hyphens in odd places are accepted",
        {"url"}, {"make", "text", "url", "repr", "query", "parsed", "again", "pickle", "eq", "set", "attrs"},
        plain_host_refused,
    ),
    (
        "9.2 rule 5 FIX",
        "`;parameters` of a path stay in it",
        {"url"}, {"make", "text", "url", "repr", "parsed", "again"},
        lambda c: ";x=1" in c.given and without_params(c.ours) == without_params(c.theirs),
    ),
    (
        "25 Q5 FIX",
        "a URL's own query is joined with the parameters as it is",
        {"url", "request"}, {"text", "url", "repr", "again", "make", "pickle"},
        lambda c: both_queries(c) and plain_query(c.ours) == plain_query(c.theirs),
    ),
    (
        "9.3 FIX",
        "a proxy's weight is a float",
        {"proxy", "rotators"}, {"facts", "dict", "from", "proxies", "files", "make"},
        lambda c: floats(c.ours) == floats(c.theirs),
    ),
    (
        "9.3",
        "SOCKS4 and 4A are proxies, too",
        {"proxy", "rotators", "client"},
        {"make", "facts", "more", "dict", "from", "success", "failed", "weight", "pickle", "string", "empty", "no", "used", "latency", "proxies", "files"},
        lambda c: "socks4" in c.given,
    ),
    (
        "9.3, 20",
        "a proxy that cannot be used is named without its user and password",
        {"proxy", "rotators", "client"}, {"make", "string", "proxies", "from"},
        lambda c: c.theirs.startswith("raises ProxyError: Invalid proxy: ") and c.ours.startswith("raises ProxyError: Invalid proxy: "),
    ),
    (
        "9.3 FIX",
        "nothing before the weight is no proxy",
        {"proxy"}, {"string"},
        lambda c: c.theirs.startswith("Proxy('http://',") and c.ours == "raises ProxyError: Empty proxy string.",
    ),
    (
        "9.3 FIX",
        "an empty text is no proxy, so a rotator drops it",
        {"rotators"}, {"proxies", "files"},
        lambda c: floats(c.theirs.replace("Proxy('http://', 1.0, None, None, 0)", "")) == floats(c.ours),
    ),
    (
        "8.1 FIX",
        "`pop` gives its default for a missing name",
        {"cookies"}, {"pop"},
        lambda c: c.theirs.startswith("list('',") and c.ours.startswith("list('x',"),
    ),
    (
        "8.1 FIX",
        "comparing and listing works with several cookies of a name",
        {"cookies"}, {"eq"},
        lambda c: c.theirs.startswith("raises CookieConflictError") and c.ours == "list(True, False, False)",
    ),
    (
        "21.4",
        "cookies that must not be sent are refused where they are set",
        {"cookies"}, {"make", "facts", "get", "item", "set", "assign", "del", "delete", "update", "copy", "pop", "eq", "dict", "pickle", "unknown", "shared", "clear"},
        lambda c: "must not be sent" in c.make_ours,
    ),
    (
        "10.2",
        "from_bytes has the caller's chunk size",
        {"form"}, {"bytes"},
        lambda c: "b'xxxxxxxxx'" in c.theirs and "b'x" in c.ours,
    ),
    (
        "10.4, 10.5 FIX",
        "fields that are None are left out",
        {"form", "multipart"}, {"form", "chunks", "headers", "stream", "closed", "wire", "fields", "boundary"},
        lambda c: c.theirs == "raises TypeError: 'NoneType' object is not iterable" and ": None" in c.given,
    ),
    (
        "10.5 DELIVER",
        "a filename of None means a part without one",
        {"multipart"}, {"opened"},
        lambda c: c.ours.startswith(c.theirs[: c.theirs.rindex("list('picture.png'")]) and "filename" not in c.ours.rsplit("list(", 1)[1],
    ),
    (
        "10.5 FIX",
        "names that are not ASCII are sent in UTF-8",
        {"multipart"}, {"wire", "fields", "headers"},
        lambda c: c.theirs.startswith("raises UnicodeEncodeError"),
    ),
    (
        "10.5, errors that name the argument",
        "a file value of a wrong type has a message",
        {"multipart"}, {"wire", "fields", "headers"},
        lambda c: c.theirs == "raises ValueError: " and c.ours.startswith("raises ValueError: A file"),
    ),
    (
        "11 FIX",
        "a request's repr hides the password",
        {"request"}, {"repr"},
        lambda c: c.ours.replace("[secure]", "pw") == plain_query(c.theirs),
    ),
    (
        "12.2",
        "text of a codec that cannot replace what is wrong is decoded as UTF-8",
        {"response"}, {"read", "pickle", "json"},
        lambda c: "utf-16" in c.given,
    ),
    (
        "12.3 FIX",
        "text that was looked at before `read` is read on demand",
        {"response"}, {"read", "raise", "pickle", "json"},
        lambda c: c.given.startswith("tuple(0,"),
    ),
    (
        "12.4 FIX",
        "a response without a request has an empty URL in its error",
        {"response"}, {"ok", "raise"},
        lambda c: c.theirs == "raises RuntimeError: The request instance has not been set on this response.",
    ),
    (
        "12.4 FIX",
        "bad JSON raises JSONDecodeError",
        {"response"}, {"json"},
        lambda c: c.theirs.startswith("raises TypeError: JSONDecodeError") and c.ours.startswith("raises JSONDecodeError"),
    ),
    (
        "17.1",
        "names with an underscore are not in a nested configuration",
        {"config"}, {"nested"},
        lambda c: c.theirs.replace("'_extra_config': {}, ", "") == c.ours,
    ),
    (
        "17.2 FIX",
        "to_dict changes nothing, so it can be repeated",
        {"config"}, {"payload"},
        lambda c: c.theirs == "False" and c.ours == "True",
    ),
    (
        "17.2 FIX",
        "fractions of seconds are kept; a client's own time-out applies",
        {"client"}, {"options"},
        lambda c: "timeout" in c.given,
    ),
    (
        "18.5 DELIVER",
        "a request's headers go over the client's",
        {"client"}, {"headers", "build"},
        lambda c: "X-Client" in c.given and "X-Mine" in c.given,
    ),
    (
        "18.6 FREE",
        "a fragment is inherited by the redirect's URL",
        {"client"}, {"call", "sent"},
        lambda c: "#frag" in c.ours and c.ours.replace("#frag", "") == c.theirs.replace("#frag", ""),
    ),
]  # fmt: skip


def duplicates(given: str) -> list[str]:
    """Names that a case's headers have twice."""
    names = [name.lower() for name in re.findall(r"(?:(?:tuple|list)\(|[{ ])b?'([\w-]+)'[,):]", given)]
    return [name for name, times in Counter(names).items() if times > 1]


def plain_query(text: str) -> str:
    from urllib.parse import unquote

    return unquote(unquote(without_params(text)))


def floats(text: str) -> str:
    text = re.sub(r"\b(\d+)\.0\b", r"\1", text)
    return re.sub(r"list\(, |, (?=\))", "list(", text) if ", )" in text else text


def compare(theirs: str, ours: str) -> tuple[int, list[Case]]:
    total, different = 0, []
    their_lines, our_lines = theirs.splitlines(), ours.splitlines()
    assert len(their_lines) == len(our_lines)
    for their_line, our_line in zip(their_lines, our_lines):
        family, number, given, their_steps = json.loads(their_line)
        our_family, our_number, our_given, our_steps = json.loads(our_line)
        assert (family, number, given) == (our_family, our_number, our_given), "the inputs are not the same"
        known = dict(our_steps)
        first = (their_steps[0][1], our_steps[0][1])
        for step, outcome in {**dict.fromkeys(known, "-"), **dict(their_steps)}.items():
            total += 1
            if outcome != known.get(step, "-"):
                different.append(Case(family, given, step, outcome, known.get(step, "-"), first))
    return total, different


def test_generated_inputs(original):
    """Equal outcomes, but for the differences that are listed."""
    total, different = compare(run(str(COUNT), path=original), run(str(COUNT)))
    assert total > 10 * COUNT
    needed: Counter[int] = Counter()
    left: list[Case] = []
    for case in different:
        for index, (_, _, families, steps, condition) in enumerate(DIFFERENCES):
            if case.family in families and case.name in steps and condition(case):
                needed[index] += 1
                break
        else:
            left.append(case)
    shown: list[str] = []
    kinds: Counter[tuple[str, str]] = Counter()
    for case in left:
        kinds[case.family, case.name] += 1
        if kinds[case.family, case.name] <= 3:
            shown += [
                f"{case.family} {case.given[:300]}",
                f"  [{case.step[:200]}]",
                f"  original: {case.theirs[:300]}",
                f"  ours:     {case.ours[:300]}",
            ]
    if left:
        pytest.fail(f"{len(left)} of {total} outcomes differ: {dict(kinds)}\n" + "\n".join(shown), pytrace=False)
    unused = [entry[:2] for index, entry in enumerate(DIFFERENCES) if not needed[index]]
    assert not unused or COUNT < DEFAULT_COUNT, f"differences that are none any more: {unused}"


# ----------------------------------------------------------------------------------------------------------- signatures

# Parameters, all by keyword, that ours have beyond the original's.
MORE = {
    "AsyncClient": {"raise_on_error"},
    "BaseClient": {"raise_on_error"},
    "Client": {"raise_on_error"},
    "Client.send": {"stream"},
    "Cookies": {"store"},
    "Proxy": {"connect_headers", "forward", "via"},
    "ProxyRotator": {"cooldown", "max_cooldown", "max_failures", "sticky_size"},
    "ProxyRotator.next": {"exclude", "key"},
    "Request": {"content"},
    "RequestsCookieJar": {"store"},
    **{
        f"{cls}.{verb}": {"content"}
        for cls in ("Client", "AsyncClient")
        for verb in ("request", "post", "put", "patch")
    },
}
# What is not as the original has it, and why.
OTHER = {
    "AsyncClient.send": "18.4 DELIVER: follow_redirects left out means the client's setting",
    "Client.send": "18.4 DELIVER: follow_redirects left out means the client's setting",
    "FileField.unpack": "a step of the original's own, not in the specification",
    "MockResponse": "made of the header fields, from which each Set-Cookie is read by itself (8.1 FIX)",
    "extract_cookies_to_jar": "the name of the first parameter, which is always given by position",
    "remove_cookie_by_name": "the name of the first parameter, which is always given by position",
}


def difference(theirs: list[list[str]], ours: list[list[str]], more: set[str]) -> str | None:
    """How a signature of ours is not the original's with some more by keyword; None: it is."""
    known = {name for name, _, _ in theirs}
    rest = [item for item in ours if item[0] in known]
    extra = {name for name, kind, _ in ours if name not in known and not kind.startswith("VAR_")}
    if extra != more:
        return f"further parameters: {sorted(extra)}"
    if any(kind != "KEYWORD_ONLY" for name, kind, _ in ours if name in extra):
        return "a further parameter that is not by keyword only"
    # A default of ours may be a mark for "left out", where the original has the value that this comes to.
    positional = [item for item in theirs if item[1] != "KEYWORD_ONLY"]
    if [item[:2] for item in rest if item[1] != "KEYWORD_ONLY"] != [item[:2] for item in positional]:
        return f"{ours} in place of {theirs}"
    mine = {name: (kind, default) for name, kind, default in rest}
    for name, kind, default in theirs:
        if name not in mine:
            return f"{name} is missing"
        if mine[name][0] != kind or (mine[name][1] != default and not (mine[name][1] == "NOT_GIVEN" and default)):
            return f"{name}: {mine[name]}, not {(kind, default)}"
    return None


def test_signatures(original):
    """Names, kinds, order and defaults of every public callable's parameters; which names are there, and of what kind."""
    theirs, ours = json.loads(run("--signatures", path=original)), json.loads(run("--signatures"))
    assert len(theirs) > 400
    problems = {}
    for name, entry in theirs.items():
        mine = ours.get(name)
        if mine is None:
            problems[name] = "missing"
        elif mine["kind"] != entry["kind"]:
            problems[name] = f"a {mine['kind']}, not a {entry['kind']}"
        elif "signature" in entry:
            found = difference(entry["signature"], mine.get("signature", []), MORE.get(name, set()))
            if found is not None:
                problems[name] = found
    assert set(problems) == set(OTHER), {name: text for name, text in problems.items() if name not in OTHER}
