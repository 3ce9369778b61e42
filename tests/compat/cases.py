"""Generated calls of the package's classes, for whichever `tls_requests` can be imported: run with the original and with ours.

    python cases.py COUNT            writes one JSON line a case: [family, number, input, [[step, outcome], ...]]
    python cases.py --signatures     writes one JSON object: names to their signatures

Every case has a random generator of its own, seeded by its name, so both runs see the same inputs whatever came out before.
Outcomes are texts: of the value, or of the exception and its message.
"""

from __future__ import annotations

import asyncio
import copy
import datetime
import enum
import inspect
import io
import json
import pickle
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from http.cookiejar import Cookie, CookieJar
from pathlib import Path
from typing import Any
from unittest import mock

import tls_requests
from tls_requests import exceptions, settings, types, utils
from tls_requests.models import cookies as cookies_module
from tls_requests.models import encoders, headers, rotators, tls
from tls_requests.models.request import Request
from tls_requests.models.response import Response
from tls_requests.models.status_codes import StatusCodes
from tls_requests.models.urls import URL, Proxy, URLParams

Step = tuple[str, str]


class Number(float):
    """A number of which only the value counts, not whether it is an int or a float."""


# ------------------------------------------------------------------------------------------------------------ outcomes


def show(value: Any) -> str:
    """A text by which two values of the two packages can be compared."""
    if isinstance(value, headers.Headers):
        return f"Headers({value.alias!r}, {list(value.items())!r})"
    if isinstance(value, Proxy):
        return f"Proxy({str(value)!r}, {value.weight!r}, {value.region!r}, {value.latency!r}, {value.failures!r})"
    if isinstance(value, URL):
        return f"URL({[getattr(value, name) for name in ('scheme', 'host', 'port', 'path', 'fragment', 'auth')]!r}, {value.query!r})"
    if isinstance(value, Cookie):
        names = ("name", "value", "domain", "path", "secure", "expires", "discard", "version", "port", "rest")
        shown = {name: getattr(value, name, getattr(value, "_rest", None)) for name in names if name != "rest"}
        return f"Cookie({shown!r})"
    if isinstance(value, (tls_requests.Cookies, CookieJar)):
        jar = value.cookiejar if isinstance(value, tls_requests.Cookies) else value
        return f"{type(value).__name__}({sorted((c.name, c.value or '', c.domain, c.path) for c in jar)!r})"
    if isinstance(value, Request):
        return f"Request({value.method!r}, {str(value.url)!r}, {show(value.headers)}, {show(value.cookies)}, {value.timeout!r})"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(show(item) for item in value)
        return f"{type(value).__name__}({inner})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{show(key)}: {show(item)}" for key, item in value.items()) + "}"
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, Number):
        return f"{value:g}"
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def outcome(function: Callable[[], Any]) -> str:
    try:
        return show(function())
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"


# ------------------------------------------------------------------------------------------------------------- inputs

LETTERS = "abcXYZ019-_ .~+%&=?#/:;,\"'\\|@[]{}()<>*!$^`"
WIDE = "äß€漢😀\u00a0\u200b"
CONTROLS = "\r\n\t\0\x7f"


def text(rng: random.Random, most: int = 8, wide: float = 0.1, controls: float = 0.02) -> str:
    letters = []
    for _ in range(rng.randint(0, most)):
        draw = rng.random()
        letters.append(rng.choice(CONTROLS if draw < controls else WIDE if draw < controls + wide else LETTERS))
    return "".join(letters)


def word(rng: random.Random, most: int = 8) -> str:
    return "".join(rng.choice("abcdefXYZ019-_") for _ in range(rng.randint(1, most)))


def scalar(rng: random.Random) -> Any:
    return rng.choice(
        [text(rng), word(rng), text(rng).encode(), rng.randint(-5, 10**6), rng.random() * 10, True, False, None]
    )


def loose(rng: random.Random, depth: int = 1) -> Any:
    if depth and rng.random() < 0.35:
        items = [loose(rng, depth - 1) for _ in range(rng.randint(0, 3))]
        return rng.choice([list, tuple])(items) if rng.random() < 0.8 else {word(rng): item for item in items}
    return scalar(rng)


NAMES = [
    "Accept",
    "accept",
    "ACCEPT",
    "X-One",
    "x-one",
    "Content-Type",
    "Authorization",
    "cookie",
    "User-agent",
    "a_b-c",
]


def pairs(rng: random.Random, most: int = 4) -> list[tuple[Any, Any]]:
    return [(rng.choice([*NAMES, word(rng), word(rng).encode()]), loose(rng)) for _ in range(rng.randint(0, most))]


def unique(items: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Without names that are the same in another case."""
    seen: dict[str, tuple[Any, Any]] = {}
    for key, value in items:
        name = key.decode() if isinstance(key, bytes) else str(key)
        seen.setdefault(name.lower(), (key, value))
    return list(seen.values())


# ------------------------------------------------------------------------------------------------------------ families


def family_headers(rng: random.Random) -> Iterator[Any]:
    items = pairs(rng)
    if rng.random() < 0.8:
        items = unique(items)
    source: Any = rng.choice([dict(items), items, tuple(items), [[*pair, "extra"] for pair in items]])
    if rng.random() < 0.05:
        source = rng.choice([123, "text", b"bytes", [(1,)], [5], {"a": {"b": 1}}, [("a", [{"b": 1}])], object, None])
    alias = rng.choice(["lower", "lower", "capitalize", "*", "other", headers.HeaderAlias.CAPITALIZE])
    yield source, alias
    yield "make", lambda: headers.Headers(source, alias=alias)
    try:
        made = headers.Headers(source, alias=alias)
    except Exception:
        return
    yield "facts", lambda: [len(made), bool(made), list(made), made.alias, isinstance(made, MutableMapping)]
    yield "views", lambda: [list(made.keys()), list(made.values()), list(made.items()), type(made.items()).__name__]
    yield "repr", lambda: [repr(made), str(made)]
    for number in range(6):
        key = rng.choice([*NAMES, *(pair[0] for pair in items), None, 5])
        value = loose(rng)
        other = rng.choice([dict, list])(unique(pairs(rng, 2)))
        step = rng.choice(
            [
                "get",
                "item",
                "set",
                "del",
                "in",
                "update",
                "copy",
                "pop",
                "popitem",
                "setdefault",
                "eq",
                "pickle",
                "clear",
            ]
        )
        operations: dict[str, Callable[[], Any]] = {
            "get": lambda key=key, value=value: [made.get(key), made.get(key, value)],
            "item": lambda key=key: made[key],
            "set": lambda key=key, value=value: (made.__setitem__(key, value), made)[1],
            "del": lambda key=key: (made.__delitem__(key), made)[1],
            "in": lambda key=key: key in made,
            "update": lambda other=other: (made.update(other), made)[1],
            "copy": lambda: [made.copy(), copy.deepcopy(made), made.copy() == made],
            "pop": lambda key=key: [made.pop(key, "gone"), made],
            "popitem": lambda: [made.popitem(), made],
            "setdefault": lambda key=key: [made.setdefault(key, "default"), made],
            "eq": lambda other=other: [made == other, made == source, made == 5, made == [], made != other],
            "pickle": lambda: pickle.loads(pickle.dumps(made)),
            "clear": lambda: (made.clear(), made)[1],
        }
        yield f"{number} {step} {key!r} {value!r} {other!r}", operations[step]
    yield "hash", lambda: hash(made)


def params_value(rng: random.Random) -> Any:
    value = scalar(rng)
    if rng.random() < 0.3:
        return rng.choice([list, tuple])([scalar(rng) for _ in range(rng.randint(0, 3))])
    return {"a": 1} if rng.random() < 0.02 else value


def family_params(rng: random.Random) -> Iterator[Any]:
    keys = [word(rng), text(rng), word(rng).encode(), "a", "b"]
    source: Any = {rng.choice(keys): params_value(rng) for _ in range(rng.randint(0, 4))}
    if rng.random() < 0.05:
        source = rng.choice([None, "a=1", [("a", 1)], 5, {1: "x"}, {None: 1}, {"a": None}, {"a": [[1]]}])
    more = {"a": "kw", "z": [1, 2]} if rng.random() < 0.2 else {}
    yield source, more
    yield "make", lambda: [str(URLParams(source, **more)), URLParams(source, **more).params]
    try:
        made = URLParams(source, **more)
    except Exception:
        return
    yield "facts", lambda: [len(made), list(made), list(made.items()), list(made.values()), repr(made), bool(made)]
    yield "hash", lambda: hash(made) == hash(str(made))
    yield "eq", lambda: [made == URLParams(source, **more), made == source, made == {}, made == 5, made == "x"]
    key, value = rng.choice(keys[:2]), params_value(rng)
    other = {word(rng): params_value(rng)}
    yield "get", lambda: [made.get(key), made.get("absent", 3), key in made]
    yield "item", lambda: made[key]
    yield f"update {other!r}", lambda: (made.update(other), str(made))[1]
    yield f"set {value!r}", lambda: (made.__setitem__("set", value), str(made))[1]
    yield "copy", lambda: [made.copy(), pickle.loads(pickle.dumps(made)), made.copy() == made]
    yield "pop", lambda: [made.pop("a", None), str(made)]
    yield f"normalize {value!r}", lambda: made.normalize(value)


HOSTS = [
    "example.com", "EXAMPLE.com", "a.b.example.org", "localhost", "127.0.0.1", "[::1]", "::1", "2001:db8::1",
    "[2001:db8::1]", "tú-phạm.com", "bücher.example", "münchen.de.", "xn--bcher-kva.example", "1.2.3", "ex_ample.com",
    "-bad.com", "a..b", "", "[::1", "::1]", "[zz]", "[fe80::1%25eth0]", "日本語.jp", "x" * 70, "a b.com", "[]", "]x[",
    "a-.com", "r3---sn.example", "xn--", "9.example.", "a.-b.c", ".x", "x" * 63 + ".example", "%41.example",
]  # fmt: skip


def url_text(rng: random.Random) -> str:
    scheme = rng.choice(["http://", "https://", "HTTP://", "", "ftp://", "//", "socks5://", "ws://"])
    user = rng.choice(["", "", "", "user@", "user:pass@", "u%40:p%3A@", ":p@", "a:b:c@"])
    port = rng.choice(["", "", ":80", ":443", ":8080", ":0", ":65535", ":65536", ":ab", ":", ":-1", ":٣"])
    path = rng.choice(["", "/", "/a/b", "/a b", "/%20/ü", "/p;x=1", "/a//b/../c", "/" + word(rng)])
    query = rng.choice(["", "", "?", "?a=1", "?a=1&b=%20c", "?ü=1", "?q", "?a=1?b"])
    fragment = rng.choice(["", "", "#", "#frag", "#a%20b"])
    lead = rng.choice(["", "", "", "", " ", "\t", "\n"])
    return lead + scheme + user + rng.choice(HOSTS) + port + path + query + fragment


def describe(url: Any) -> list[Any]:
    names = ("scheme", "host", "port", "path", "fragment", "username", "password", "auth", "netloc")
    return [getattr(url, name) for name in names]


def family_url(rng: random.Random) -> Iterator[Any]:
    given: Any = url_text(rng)
    draw = rng.random()
    if draw < 0.05:
        given = rng.choice(
            [None, 5, [], "", "/path?x=1", "./x", "?q", "#f", "mailto:a@b", "path/x", b"\xff", "http://"]
        )
    elif draw < 0.15:
        given = given.encode()
    params = None if rng.random() < 0.7 else {word(rng): params_value(rng), "m": ["1", "2"]}
    yield given, params
    yield "make", lambda: describe(URL(given, params=params))
    try:
        made = URL(given, params=params)
    except Exception:
        return
    yield "text", lambda: str(made)
    yield "url", lambda: made.url
    yield "repr", lambda: repr(made)
    yield "query", lambda: [made.query, str(made.params)]
    yield "parsed", lambda: made.parsed
    yield "again", lambda: describe(URL(made))
    yield "pickle", lambda: [str(pickle.loads(pickle.dumps(made))) == str(made), str(copy.copy(made)) == str(made)]
    yield "eq", lambda: [made == made, made == URL(given, params=params), hash(made) == hash(made)]
    yield "set params", lambda: (setattr(made, "params", {"set": "1"}), made.query)[1]
    yield "set url", lambda: (setattr(made, "url", "https://new.example/x"), describe(made))[1]
    yield "attrs", lambda: list(URL.__attrs__)


def family_proxy(rng: random.Random) -> Iterator[Any]:
    scheme = rng.choice(["http://", "https://", "socks5://", "socks5h://", "SOCKS5://", "", "ftp://", "socks4://"])
    user = rng.choice(["", "", "user:pass@", "user@", "u%40:p@"])
    host = rng.choice(["proxy.example", "127.0.0.1", "[::1]", "::1", "2001:db8::1:8080", "Proxy.Example", "bücher.de"])
    given: Any = f"{scheme}{user}{host}{rng.choice(['', ':80', ':8080', ':1080', ':x'])}{rng.choice(['', '/p?q#f'])}"
    if rng.random() < 0.1:
        given = rng.choice([f"  {given} ", given.encode(), f"{host}:80:user:pass", "http://h:99999"])
    options = {
        key: value
        for key, value in {
            "weight": rng.choice([1, 2.5, 0, None, 20]),
            "region": rng.choice([None, "us"]),
            "latency": rng.choice([None, 0.5]),
            "success_rate": rng.choice([None, 0.25]),
            "meta": rng.choice([None, {"k": 1}]),
            "unknown": 1,
        }.items()
        if rng.random() < 0.3
    }
    yield given, options
    yield "make", lambda: describe(Proxy(given, **options))
    try:
        made = Proxy(given, **options)
    except Exception:
        return
    yield "facts", lambda: [str(made), made.url, repr(made), made.weight, made.region, made.latency, made.success_rate]
    yield "more", lambda: [made.meta, made.failures, made.last_used, made.query, made.path, str(made.params)]
    yield "dict", lambda: made.to_dict()
    yield "from dict", lambda: Proxy.from_dict(made.to_dict())
    for number in range(4):
        step = rng.choice(["failed", "success", "latency", "weight"])
        value = rng.choice([0.1, 5, 50, "3", "x", -1])
        if step == "failed":
            yield f"{number} failed", lambda: (made.mark_failed(), made, made.success_rate)[1:]
        elif step == "success":
            yield f"{number} success", lambda: (made.mark_success(), made, made.success_rate)[1:]
        elif step == "latency":
            yield f"{number} latency", lambda: (made.mark_success(0.25), made, made.success_rate)[1:]
        else:
            yield f"{number} weight {value!r}", lambda value=value: (setattr(made, "weight", value), made)[1]
    yield "pickle", lambda: pickle.loads(pickle.dumps(made))
    line = f"{given if isinstance(given, str) else ''}{rng.choice(['', '|2', '|x|us', '|3.5|de|more', ' | 2 | uk '])}"
    yield f"string {line!r}", lambda: Proxy.from_string(line)
    yield "empty", lambda: Proxy.from_string("  ")
    yield "no url", lambda: Proxy.from_dict({"weight": 1})
    yield "used", lambda: (made.mark_used(), isinstance(made.last_used, float))[1]


def family_cookies(rng: random.Random) -> Iterator[Any]:
    names = ["a", "b", "c", word(rng)]
    items = [
        (rng.choice(names), rng.choice([word(rng), text(rng, controls=0, wide=0), 5, True]))
        for _ in range(rng.randint(0, 4))
    ]
    source: Any = rng.choice([dict(items), items, tuple(items), None])
    yield (source,)
    yield "make", lambda: tls_requests.Cookies(source)
    try:
        made = tls_requests.Cookies(source)
    except Exception:
        return
    yield "facts", lambda: [len(made), bool(made), sorted(made), type(made.cookiejar).__name__]
    for number in range(7):
        name, value = rng.choice(names), word(rng)
        options = {
            key: option
            for key, option in {
                "domain": rng.choice(["example.com", "sub.example.com", "other.org"]),
                "path": rng.choice(["/", "/x"]),
                "secure": True,
                "expires": 4102444800,
            }.items()
            if rng.random() < 0.4
        }
        where = {key: options[key] for key in ("domain", "path") if key in options}
        step = rng.choice(
            [
                "get",
                "item",
                "set",
                "set none",
                "assign",
                "del",
                "delete",
                "update",
                "copy",
                "pop",
                "eq",
                "dict",
                "pickle",
            ]
        )
        operations: dict[str, Callable[[], Any]] = {
            "get": lambda name=name, where=where: made.get(name, "default", **where),
            "item": lambda name=name: made[name],
            "set": lambda name=name, value=value, options=options: [made.set(name, value, **options), made],
            "set none": lambda name=name, where=where: [made.set(name, None, **where), made],
            "assign": lambda name=name, value=value: (made.__setitem__(name, value), made)[1],
            "del": lambda name=name: (made.__delitem__(name), made)[1],
            "delete": lambda name=name, where=where: (made.delete(name, **where), made)[1],
            "update": lambda name=name, value=value: (made.update({name: value, "up": "1"}), made)[1],
            "copy": lambda: [made.copy(), len(copy.deepcopy(made))],
            "pop": lambda name=name: [made.pop(name, "x"), made],
            "eq": lambda: [made == made.copy(), made == {}, made == 5],
            "dict": lambda where=where: [sorted(made.cookiejar.get_dict(**where).items())],
            "pickle": lambda: pickle.loads(pickle.dumps(made)),
        }
        yield f"{number} {step} {name} {options!r}", operations[step]
    yield "unknown", lambda: made.set("a", "1", foo=1)
    yield "shared", lambda: tls_requests.Cookies(made).cookiejar is made.cookiejar
    yield "clear", lambda: (made.clear(domain="no.such"), made)[1]
    yield "clear all", lambda: (made.clear(), made)[1]


def family_jar(rng: random.Random) -> Iterator[Any]:
    names = ["a", "b", "c"]
    jar = cookies_module.RequestsCookieJar()
    facts = []
    for _ in range(rng.randint(0, 5)):
        options = {"domain": rng.choice(["", "x.test", "y.test"]), "path": rng.choice(["/", "/p"])}
        facts.append((rng.choice(names), word(rng), options))
        jar.set(facts[-1][0], facts[-1][1], **options)
    yield (facts,)
    name = rng.choice(names)
    yield "lists", lambda: [sorted(jar.keys()), sorted(jar.values()), sorted(jar.items()), type(jar.keys()).__name__]
    yield "iter", lambda: [sorted(jar.iterkeys()), sorted(jar.itervalues()), sorted(jar.iteritems())]
    yield "domains", lambda: [sorted(jar.list_domains()), sorted(jar.list_paths()), jar.multiple_domains()]
    yield "item", lambda: jar[name]
    yield "get", lambda: [jar.get(name, "x", domain="x.test"), jar.get("absent", 1)]
    yield "get conflict", lambda: jar.get(name)
    yield "in", lambda: [name in jar, "absent" in jar]
    yield "dict", lambda: [sorted(jar.get_dict().items()), sorted(jar.get_dict(path="/p").items())]
    yield "copy", lambda: [jar.copy(), pickle.loads(pickle.dumps(jar)), len(jar)]
    yield "types", lambda: [isinstance(jar, CookieJar), isinstance(jar, MutableMapping)]
    yield "update", lambda: (jar.update({"new": "1"}), jar)[1]
    yield "merge", lambda: cookies_module.merge_cookies(jar, {"new": "2", "m": "3"})
    yield "merge none", lambda: cookies_module.merge_cookies({}, {})
    yield "from dict", lambda: cookies_module.cookiejar_from_dict({"d": "1"}, jar, overwrite=rng.random() < 0.5)
    yield "create", lambda: cookies_module.create_cookie("n", "v", domain=".x.test", port="80", secure=True)
    yield "create wrong", lambda: cookies_module.create_cookie("n", "v", foo=1)
    yield "remove", lambda: (cookies_module.remove_cookie_by_name(jar, name, path="/p"), jar)[1]
    yield "quoted", lambda: jar.set("q", '"a\\"b"')
    yield "del", lambda: (jar.__delitem__(name), jar)[1]


def family_json(rng: random.Random) -> Iterator[Any]:
    def value(depth: int) -> Any:
        draw = rng.random()
        if depth and draw < 0.5:
            items = [value(depth - 1) for _ in range(rng.randint(0, 3))]
            return rng.choice([items, tuple(items), {text(rng): item for item in items}])
        return rng.choice(
            [
                text(rng), rng.randint(-(2**53), 2**53), round(rng.uniform(-1000, 1000), 3), True, False, None,
                datetime.datetime(2024, 2, 3, 4, 5, 6), datetime.date(2024, 2, 3), StatusCodes.OK,
            ]
        )  # fmt: skip

    data = value(3)
    yield (data,)
    yield "json", lambda: b"".join(encoders.JsonEncoder(data))
    yield "headers", lambda: encoders.JsonEncoder(data).headers
    yield "to_str", lambda: utils.to_str(data)
    yield "stream", lambda: [(e := encoders.StreamEncoder(json=data)).headers, b"".join(e), e.closed]


def form(rng: random.Random) -> dict[Any, Any]:
    keys = [word(rng), text(rng, wide=0), word(rng).encode(), 5]
    return {
        rng.choice(keys): rng.choice(
            [scalar(rng), [scalar(rng) for _ in range(rng.randint(0, 3))], (1, "x"), {"k": "v"}]
        )
        for _ in range(rng.randint(0, 4))
    }


def family_form(rng: random.Random) -> Iterator[Any]:
    data: Any = form(rng)
    chunk = rng.choice([1, 7, 65536])
    yield data, chunk
    yield "form", lambda: b"".join(encoders.UrlencodedEncoder(data))
    yield "chunks", lambda: list(encoders.UrlencodedEncoder(data, chunk_size=chunk).render())
    yield "headers", lambda: [encoders.UrlencodedEncoder(data).headers, encoders.UrlencodedEncoder(data).get_headers()]
    yield "stream", lambda: [(e := encoders.StreamEncoder(data, json={"x": 1})).headers, b"".join(e), e.closed]
    yield (
        "bytes",
        lambda: [(e := encoders.StreamEncoder.from_bytes(b"x" * 9, chunk_size=chunk)).headers, list(e), e.closed],
    )
    yield "base", lambda: [encoders.BaseEncoder().headers, list(encoders.BaseEncoder())]

    def closed() -> Any:
        encoder = encoders.UrlencodedEncoder(data)
        with encoder as entered:
            same = entered is encoder
        return same, encoder.closed, list(encoder)

    yield "closed", closed

    async def collect() -> list[bytes]:
        return [chunk async for chunk in encoders.JsonEncoder({"a": 1})]

    yield "async", lambda: asyncio.run(collect())


def family_multipart(rng: random.Random) -> Iterator[Any]:
    data = {key: value for key, value in form(rng).items() if not isinstance(key, int)}
    content: Any = rng.choice([b"bytes", "text", io.BytesIO(b"in memory"), b"", text(rng)])
    simple = content if not isinstance(content, str) else content.encode()
    value = rng.choice(
        [
            content, (simple,), ("n.txt", simple), ("n.png", simple, "image/png"), ("n", simple, None), ("", simple),
            ('q"uo\r\nte', simple), ("extra", simple, "a/b", 1), 123, [],
        ]
    )  # fmt: skip
    files = {rng.choice(["file", 'na"me', "größe", word(rng)]): value} if rng.random() < 0.9 else {}
    data_given: Any = data if rng.random() < 0.7 else None
    yield data_given, [(key, repr(item) if not hasattr(item, "read") else "BytesIO") for key, item in files.items()]
    yield "wire", lambda: b"".join(encoders.MultipartEncoder(data_given, files, boundary=b"BOUNDARY"))
    yield (
        "headers",
        lambda: [(e := encoders.MultipartEncoder(data_given, files, b"B")).headers, e.get_headers(), e.boundary],
    )
    yield (
        "fields",
        lambda: [
            [type(field).__name__, field.headers, field.render_parts()]
            for field in encoders.MultipartEncoder(data_given, files, b"B").fields
        ],
    )
    yield "boundary", lambda: len(encoders.MultipartEncoder(data_given, {}, "text").boundary)
    yield "format", lambda: [encoders.format_header("name", 'a"b\r\n'), encoders.format_header("filename", b"x")]
    yield "guess", lambda: [encoders.guess_content_type(name) for name in ("a.png", "b.json", "c", "d.tar.gz")]
    yield "opened", lambda: opened(rng)


def opened(rng: random.Random) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "picture.png")
        path.write_bytes(b"\x89PNG\r\n")
        result = []
        for make in (
            lambda f: f,
            lambda f: (f,),
            lambda f: ("other.gif", f),
            lambda f: ("o", f, "x/y"),
            lambda f: (None, f),
        ):
            with path.open("rb") as file:
                field = encoders.FileField("f", make(file))
                result.append([field.filename, field.content_type, field.headers, b"".join(field.render_data(4))])
        return result


def family_status(rng: random.Random) -> Iterator[Any]:
    code = rng.choice([rng.randint(-1, 700), rng.choice([member.value for member in StatusCodes])])
    yield (code,)
    yield "reason", lambda: StatusCodes.get_reason(code)
    yield "member", lambda: [(m := StatusCodes(code)), m.reason, str(m), f"{m}", repr(m), m == code, m.name]
    yield "all", lambda: [(member.name, member.value, member.reason) for member in StatusCodes]
    yield "class", lambda: [issubclass(StatusCodes, int), StatusCodes["OK"], pickle.loads(pickle.dumps(StatusCodes.OK))]


def config_options(rng: random.Random) -> dict[str, Any]:
    everything: dict[str, Any] = {
        "session_id": "sid", "headers": {"X-A": "1"}, "cookies": [{"name": "a", "value": "b"}], "method": "GET",
        "url": "https://x.test/", "body": rng.choice([b"raw", "text", "", None, bytearray(b"ba")]), "proxy": "http://p:1",
        "http2": rng.choice(["auto", True, False, "http2", None]), "timeout": rng.choice([5, 0, None, "x"]),
        "verify": rng.choice([True, False]), "debug": True, "protocol_racing": True, "allow_http": True, "stream_id": 3,
        "client_identifier": rng.choice(
            ["chrome_120", "chrome_112", "firefox_115", "safari_17", "safari_ios_16_0", "opera_90", "okhttp4_android_13",
             "chrome", "safari_ipad_15_6", "safari_15_6_1", "chrome_116_PSK_PQ", "Chrome_99", "unknown", "firefox_120"]
        ),
        "local_address": "1.2.3.4:0", "someOption": 1, "headerOrder": ["a", "b"], "tlsClientIdentifier": "firefox_120",
        "timeoutSeconds": 7, "forceHttp1": True, "disable_ipv6": True, "isRotatingProxy": True,
        "certificatePinningHosts": {"a": ["b"]},
    }  # fmt: skip
    return {key: value for key, value in everything.items() if rng.random() < 0.25}


def family_config(rng: random.Random) -> Iterator[Any]:
    options, more = config_options(rng), config_options(rng)
    options.setdefault("session_id", "sid0")
    custom = {
        "ja3String": "771,1-2,3,4,0", "h2Settings": {"HEADER_TABLE_SIZE": 1}, "connectionFlow": 5, "alpnProtocols": ["h2"],
        "extra_one": 2,
    }  # fmt: skip
    yield options, more

    def numbered(values: dict[str, Any]) -> dict[str, Any]:
        return {key: Number(value) if key == "timeoutSeconds" else value for key, value in values.items()}

    yield "from_kwargs", lambda: numbered(tls.TLSConfig.from_kwargs(**options).to_dict())
    yield "payload", lambda: (c := tls.TLSConfig.from_kwargs(**options)).to_payload() == c.to_dict()

    def copied() -> Any:
        config = tls.TLSConfig.from_kwargs(**options)
        result = config.copy_with(**more)
        return numbered({key: value for key, value in result.to_dict().items() if key.lower() != "extraconfig"})

    yield "copy_with", copied
    yield "fields", lambda: sorted(tls.TLSConfig.model_fields_set())
    yield "custom", lambda: tls.CustomTLSClientConfig.from_kwargs(**custom).to_dict()
    yield "custom unknown", lambda: tls.CustomTLSClientConfig(foo=1)
    yield (
        "nested",
        lambda: tls.TLSConfig(sessionId="s", customTlsClient=tls.CustomTLSClientConfig(ja3String="x")).to_dict(),
    )
    yield "unknown", lambda: tls.TLSConfig(foo=1)
    yield "camel", lambda: [tls.TLSConfig.to_camel_case(name) for name in ("a_b", "local_address", "x", "aB_cD", "_a")]
    yield "defaults", lambda: {key: value for key, value in vars(tls.TLSConfig(sessionId="s")).items() if key[0] != "_"}
    yield (
        "eq",
        lambda: [
            tls.TLSConfig(sessionId="s") == tls.TLSConfig(sessionId="s"),
            tls.TLSConfig(sessionId="s") == tls.TLSConfig(sessionId="t"),
            tls.TLSRequestCookiesConfig("a", "b"),
        ],
    )
    answer = {
        "id": "i",
        "status": rng.choice([200, 404, 0]),
        "body": "b",
        "headers": {"A": ["1"]},
        "cookies": {"c": "d"},
    }
    yield "answer", lambda: [
        (r := tls.TLSResponse.from_bytes(json.dumps(answer).encode())), r.reason, r.body, r.headers, r.cookies, r.success,
        r.usedProtocol, r.target,
    ]  # fmt: skip


def ascii_encoding(response: Any) -> str:
    return "ascii"


def no_encoding(response: Any) -> None:
    return None


def family_response(rng: random.Random) -> Iterator[Any]:
    status = rng.choice(
        [0, 50, 100, 200, 204, 301, 302, 303, 304, 307, 308, 404, 418, 451, 499, 500, 503, 599, 600, 700]
    )
    kind = rng.choice(
        [None, "text/html", "text/html; charset=UTF-8", "text/plain; charset=gbk,utf-8", 'a/b; charset="latin-1"',
         "text/plain; charset=", "text/plain; charset=nonsense", "application/json; x=y", "text/plain;charset='utf-16'"]
    )  # fmt: skip
    fields = {} if kind is None else {"Content-Type": kind}
    if rng.random() < 0.4:
        fields["Location"] = rng.choice(["/new", "https://other.test/", ""])
    body = rng.choice(
        [b"", text(rng, 30).encode(), "grün".encode("latin-1"), b"\xff\xfe\x00", b'{"a": [1, 2]}', b"ab\xe2\x82"]
    )
    encoding = rng.choice(["utf-8", "utf-8", "latin-1", ascii_encoding, no_encoding, "nonsense"])
    cookies = rng.choice([None, {"a": "b"}])
    with_request = rng.random() < 0.8
    yield status, fields, body, cookies, with_request, encoding if isinstance(encoding, str) else "callable"

    def make() -> Response:
        request = Request("GET", "http://user:pw@x.test:81/p?q=1") if with_request else None
        return Response(
            status, headers=fields, body=body, cookies=cookies, request=request, default_encoding=encoding, history=None
        )

    made = make()
    yield (
        "facts",
        lambda: [made.status_code, made.reason if status else "", repr(made), made.http_version, made.history, made.id],
    )
    yield "flags", lambda: [made.is_redirect, made.is_permanent_redirect, made.closed, made.elapsed, made.next]
    yield "charset", lambda: [made.charset, made.encoding]
    yield "ok", lambda: [made.ok, bool(made)]
    yield "read", lambda: [made.read(), made.content, made.text]
    yield "raise", lambda: made.raise_for_status() is made
    yield "url", lambda: str(made.url)
    yield "cookies", lambda: made.cookies
    yield "request", lambda: made.request
    yield "close", lambda: [made.close(), made.closed, made.close(), made.stream, made.content]
    yield "next", lambda: [setattr(made, "next", 5), made.next]
    yield "pickle", lambda: [
        (r := pickle.loads(pickle.dumps(made))).content, r.text, r.headers, r.status_code, r.closed
    ]  # fmt: skip
    yield "async", lambda: [asyncio.run(make().aread()), asyncio.run(make().aclose())]
    if body.startswith(b"{"):
        yield "json", lambda: made.json()
    answer = tls.TLSResponse(
        id="i", status=status, body=rng.choice([None, "plain", "data:x/y;base64,YWJj", "YWJj", "bad,@@@"]), headers=rng.choice([None, {"A": ["1", "2"]}]),
        cookies=cookies, usedProtocol=rng.choice(["", "HTTP/2.0"]),
    )  # fmt: skip
    is_bytes = rng.random() < 0.6
    yield f"from tls {answer.body!r} {is_bytes}", lambda: [
        (r := Response.from_tls_response(answer, is_byte_response=is_bytes)).read(), r.headers, r.cookies, r.id, r.http_version
    ]  # fmt: skip


def family_request(rng: random.Random) -> Iterator[Any]:
    method = rng.choice(["get", "POST", "Put", "custom-x"])
    url = rng.choice(
        ["http://example.com/p", "https://user:pw@Example.com:8443/a?b=1#f", "example.com", "http://[::1]:8/"]
    )
    options: dict[str, Any] = {
        key: value
        for key, value in {
            "params": {"x": ["1", "2"]},
            "headers": rng.choice([{"X-A": "1", "Host": "h"}, [("b", "2")], None]),
            "cookies": {"c": "1"},
            "proxy": rng.choice(["http://p:8080", None, ""]),
            "timeout": rng.choice([5, 0.5, 0, None, "x", -1, True]),
            "data": {"d": rng.choice(["1", [1, 2], True])},
            "json": rng.choice([{"j": 1}, "raw", 5, [1]]),
            "protocol_racing": True,
            "allow_http": False,
            "stream_id": 7,
            "localAddress": "1.2.3.4",
        }.items()
        if rng.random() < 0.3
    }
    yield method, url, options
    yield "make", lambda: Request(method, url, **options)
    made = Request(method, url, **options)
    yield (
        "facts",
        lambda: [
            made.id,
            made.content,
            made.timeout,
            made.protocol_racing,
            made.allow_http,
            made.stream_id,
            made._extra_config,
        ],
    )
    yield "headers", lambda: [list(made.headers.items()), made.headers.alias]
    yield "proxy", lambda: made.proxy
    yield "repr", lambda: repr(made)
    yield "read", lambda: [made.read(), made.content, asyncio.run(made.aread())]
    yield "stream", lambda: made.stream.headers
    yield "pickle", lambda: pickle.loads(pickle.dumps(made))
    yield "wrong", lambda: [outcome(lambda: Request(None, url)), outcome(lambda: Request("GET", 5))]
    yield (
        "wrong more",
        lambda: [outcome(lambda: Request("GET", url, headers=5)), outcome(lambda: Request("GET", url, params=5))],
    )


def family_utils(rng: random.Random) -> Iterator[Any]:
    value = loose(rng, 2)
    yield (value,)
    yield "to_str", lambda: [utils.to_str(value), utils.to_str(value, lower=True)]
    yield "to_bytes", lambda: utils.to_bytes(value)
    yield "to_base64", lambda: utils.to_base64(value)
    yield "to_json", lambda: [utils.to_json('{"a": [1]}'), utils.to_json({"same": 1}), utils.to_json(b"[1]")]
    yield "json_dumps", lambda: utils.json_dumps({"a": "ü", "b": [1, None, True]})
    yield "b64decode", lambda: utils.b64decode(utils.to_base64("x"))
    yield (
        "import",
        lambda: [
            utils.import_module("json").__name__,
            utils.import_module(["no_such", "re"]).__name__,
            utils.import_module("no_such"),
        ],
    )
    yield "constants", lambda: [utils.FORMAT, utils.DATE_FORMAT]

    def logger() -> Any:
        name = f"compat{rng.random()}"
        made = utils.get_logger(name)
        utils.get_logger(name)
        return len(made.handlers), made.level, type(made.handlers[0]).__name__

    yield "logger", logger


def family_settings(rng: random.Random) -> Iterator[Any]:
    yield ()
    yield "values", lambda: {name: getattr(settings, name) for name in sorted(dir(settings)) if name.isupper()}
    yield "literals", lambda: sorted(types.IdentifierLiterals.__args__)
    aliases = """AuthTypes URLTypes ProxyTypes URL_ALLOWED_PARAMS URLParamTypes MethodTypes ProtocolTypes HookTypes Session SessionId
        Payload CookiesTypes IdentifierLiterals IdentifierTypes IdentifierArgTypes AnyList HeaderTypes CookieTypes TimeoutTypes
        ByteOrStr BufferTypes FileContent RequestFileValue RequestData RequestJson RequestFiles ResponseHistory"""
    yield "types", lambda: [(name, hasattr(types, name), hasattr(tls_requests, name)) for name in aliases.split()]
    yield "all", lambda: sorted(tls_requests.__all__)
    yield "title", lambda: [tls_requests.__title__, tls_requests.__license__]
    yield "identifiers", lambda: rotators.CLIENT_IDENTIFIER_TEMPLATES
    yield (
        "modules",
        lambda: [
            (name, getattr(tls_requests, name).__module__)
            for name in sorted(tls_requests.__all__)
            if inspect.isclass(getattr(tls_requests, name)) or inspect.isfunction(getattr(tls_requests, name))
        ],
    )
    yield "models", lambda: sorted(tls_requests.models.__all__)
    yield "tree", lambda: [
        (name, [base.__name__ for base in getattr(exceptions, name).__mro__])
        for name in ("HTTPError", "AuthenticationError", "CookieConflictError", "URLParamsError", "StreamConsumed", "StreamClosed", "Base64DecodeError", "RotatorError", "HeaderError", "TooManyRedirects")
    ]  # fmt: skip
    yield "error", lambda: [
        (e := exceptions.HTTPError("text", foo=1)).message, e.args, str(e), e.response, e.request, isinstance(e, OSError),
        str(pickle.loads(pickle.dumps(e))),
    ]  # fmt: skip
    yield "enums", lambda: [
        [(m.name, m.value) for m in tls_requests.client.ClientState], [(m.name, m.value) for m in tls_requests.client.ProtocolType],
        [(m.name, m.value) for m in headers.HeaderAlias], [headers.HeaderAlias.contains(k) for k in ("lower", "*", "x", None)],
    ]  # fmt: skip
    yield "abc", lambda: [
        issubclass(cls, Mapping) for cls in (headers.Headers, tls_requests.Cookies, URLParams, URL, cookies_module.RequestsCookieJar)
    ]  # fmt: skip


def family_rotators(rng: random.Random) -> Iterator[Any]:
    items = [word(rng) for _ in range(rng.randint(0, 4))]
    strategy = rng.choice(["round_robin", "round_robin", "bad"])
    yield items, strategy
    yield "make", lambda: len(rotators.TLSIdentifierRotator(items, strategy))
    yield "round", lambda: [(r := rotators.TLSIdentifierRotator(items, "round_robin")), [r.next() for _ in range(5)]][1]

    async def around() -> list[str]:
        rotator = rotators.TLSIdentifierRotator(items, "round_robin")
        taken = [await rotator.anext() for _ in range(4)]
        await rotator.aadd("new")
        taken += [await rotator.anext() for _ in range(3)]
        await rotator.aremove("new")
        return [*taken, await rotator.anext(), str(len(rotator))]

    yield "async", lambda: asyncio.run(around())

    def changed() -> Any:
        rotator = rotators.TLSIdentifierRotator(items, "round_robin")
        first = rotator.next()
        rotator.add("new")
        after = [rotator.next() for _ in range(3)]
        rotator.remove("new")
        rotator.remove("absent")
        return first, after, rotator.next(), list(rotator), len(rotator), rotator.strategy

    yield "changed", changed
    lines = rng.choice(
        [
            ["http://a:1|2|us", "http://b:2"], ["# comment", "", "http://a:1 # tail"], ["ftp://x", "http://ok:1"],
            [{"url": "http://d:1", "weight": 3}, 5, None], [],
        ]
    )  # fmt: skip
    yield (
        f"proxies {lines!r}",
        lambda: list(rotators.ProxyRotator.from_file([copy.copy(line) for line in lines], "round_robin")),
    )

    def from_files() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            plain, data = Path(folder, "list.txt"), Path(folder, "list.json")
            plain.write_text("\n".join(line for line in lines if isinstance(line, str)))
            data.write_text(json.dumps(lines))
            return [
                list(rotators.ProxyRotator.from_file(str(plain), "round_robin")),
                list(rotators.ProxyRotator.from_file(data, "round_robin")),
                list(rotators.TLSIdentifierRotator.from_file(plain)),
            ]

    yield "files", from_files
    yield "missing", lambda: rotators.ProxyRotator.from_file("/no/such/file.txt")
    yield "wrong source", lambda: rotators.ProxyRotator.from_file(rng.choice([5, ("a",), None]))
    yield "empty", lambda: rotators.ProxyRotator([]).next()
    yield "empty async", lambda: asyncio.run(rotators.ProxyRotator([]).anext())
    yield "abstract", lambda: rotators.BaseRotator([])
    yield "rebuild", lambda: [
        rotators.ProxyRotator.rebuild_item(5), rotators.ProxyRotator.rebuild_item({}), rotators.HeaderRotator.rebuild_item(5),
        rotators.TLSIdentifierRotator.rebuild_item(5), rotators.TLSIdentifierRotator.rebuild_item("x"),
        rotators.HeaderRotator.rebuild_item({"a": "b"}), rotators.HeaderRotator.rebuild_item(None),
    ]  # fmt: skip
    yield "headers", lambda: [
        (r := rotators.HeaderRotator([{"a": "1", "User-Agent": "u"}])).next(), r.next(user_agent="me"), r.next(), len(rotators.HeaderRotator([])) >= 40,
    ]  # fmt: skip
    yield (
        "defaults",
        lambda: [
            rotators.TLSIdentifierRotator().strategy,
            rotators.ProxyRotator().strategy,
            rotators.HeaderRotator().strategy,
        ],
    )
    yield "builtin", lambda: list(rotators.TLSIdentifierRotator())

    class Mine(rotators.BaseRotator):
        @classmethod
        def rebuild_item(cls, item: Any) -> Any:
            return super().rebuild_item(item)

    yield "base", lambda: Mine.from_file(["a"])

    def marked() -> Any:
        proxy = Proxy("http://a:1")
        rotator = rotators.ProxyRotator([proxy], "weighted")
        rotator.mark_result(proxy, False)
        asyncio.run(rotator.amark_result(proxy, True, 0.5))
        return proxy, rotator.next() is proxy

    yield "marked", marked


ANSWER = "data:text/plain;base64,aGVsbG8="


def family_client(rng: random.Random) -> Iterator[Any]:
    """Clients over a low-level session that answers what it is told."""
    options: dict[str, Any] = {
        key: value
        for key, value in {
            "headers": rng.choice([{"X-Client": "1"}, None]),
            "cookies": {"client": "1"},
            "params": {"p": "1"},
            "timeout": rng.choice([5, 7.5]),
            "max_redirects": rng.choice([0, 1, 3]),
            "http2": rng.choice(["auto", True, False, "http2", "http1", None, "other"]),
            "client_identifier": rng.choice(["firefox_120", None, 5]),
            "auth": rng.choice(
                [("u", "p"), ("a", "b", "c"), "text", lambda request: request.headers.update({"x-auth": "1"})]
            ),
            "encoding": "latin-1",
        }.items()
        if rng.random() < 0.35
    }
    method = rng.choice(["GET", "POST", "PUT", "HEAD", "DELETE", "PATCH"])
    call: dict[str, Any] = {
        key: value
        for key, value in {
            "json": {"a": 1},
            "params": {"q": "2"},
            "cookies": {"mine": "2"},
            "headers": {"X-Mine": "2"},
        }.items()
        if rng.random() < 0.3
    }
    statuses = [rng.choice([301, 302, 303, 307, 308]) for _ in range(rng.randint(0, 3))]
    locations = [rng.choice(["/next", "http://site.test/abs", "http://other.test/x#frag"]) for _ in statuses]
    final = rng.choice([200, 404, 500, 0, 204])
    follow = rng.random() < 0.8
    kind = rng.choice(["sync", "async"])
    yield (
        {key: value if not callable(value) else "callable" for key, value in options.items()},
        method,
        call,
        statuses,
        locations,
        final,
        follow,
        kind,
    )

    answers = [
        tls.TLSResponse(id="1", status=status, headers={"Location": [location]}, body=ANSWER)
        for status, location in zip(statuses, locations)
    ]
    answers.append(
        tls.TLSResponse(
            id="2",
            status=final,
            headers={"X": ["1"]},
            body=ANSWER if final else "failed to do request: x",
            cookies={"s": "1"},
        )
    )
    session = mock.MagicMock()
    taken: list[dict[str, Any]] = []
    queue = list(answers)

    def answer(payload: dict[str, Any]) -> Any:
        taken.append(payload)
        return queue.pop(0)

    async def aanswer(payload: dict[str, Any]) -> Any:
        return answer(payload)

    session.request.side_effect = answer
    session.arequest = aanswer
    session.destroy_session.return_value = True

    def run() -> Any:
        with mock.patch("tls_requests.client.TLSClient.initialize", return_value=session):
            if kind == "sync":
                with tls_requests.Client(**options) as client:
                    response = client.request(method, "http://site.test/start", follow_redirects=follow, **call)
                    closed = client.closed
            else:

                async def main() -> Any:
                    async with tls_requests.AsyncClient(**options) as client:
                        return await client.request(
                            method, "http://site.test/start", follow_redirects=follow, **call
                        ), client.closed

                response, closed = asyncio.run(main())
        return [
            response.status_code, response.content, response.text, str(response.url), response.request.method,
            [item.status_code for item in response.history], response.closed, closed, response.reason, response.encoding,
            response.next is None,
        ]  # fmt: skip

    yield "call", run
    yield "sent", lambda: [(item["requestMethod"], str(item["requestUrl"]), item["forceHttp1"]) for item in taken]
    yield "options", lambda: [(Number(item["timeoutSeconds"]), item.get("tlsClientIdentifier")) for item in taken[:1]]
    yield (
        "headers",
        lambda: [sorted(key.lower() for key in item["headers"] if key.lower() != "host") for item in taken[:1]],
    )
    yield "cookies", lambda: [item["requestCookies"] for item in taken[:1]]

    def build() -> Any:
        with mock.patch("tls_requests.client.TLSClient.initialize", return_value=session):
            client = tls_requests.Client(**options)
            built = client.build_request(method, "http://site.test/start", **call)
            return built.method, str(built.url), built.timeout, built.headers, built.cookies

    yield "build", build

    def prepared() -> Any:
        with mock.patch("tls_requests.client.TLSClient.initialize", return_value=session):
            client = tls_requests.Client(**options)
            return [
                str(client.prepare_params({"q": "1"})), client.prepare_cookies({"x": "1"}), client.prepare_headers(),
                outcome(lambda: client.prepare_proxy(5)), client.prepare_proxy(None), client.prepare_proxy("http://a:1"),
                client.prepare_client_identifier(None), client.prepare_client_identifier("x"),
                client._rebuild_hooks(None), client._rebuild_hooks({}), sorted(client._rebuild_hooks({"request": [len, 5], "x": [len]})),
            ]  # fmt: skip

    yield "prepared", prepared


FAMILIES: dict[str, tuple[Callable[[random.Random], Iterator[Any]], float]] = {
    "headers": (family_headers, 1.5),
    "params": (family_params, 1),
    "url": (family_url, 3),
    "proxy": (family_proxy, 1),
    "cookies": (family_cookies, 1),
    "jar": (family_jar, 0.3),
    "json": (family_json, 0.5),
    "form": (family_form, 0.5),
    "multipart": (family_multipart, 0.7),
    "status": (family_status, 0.2),
    "config": (family_config, 0.7),
    "response": (family_response, 1),
    "request": (family_request, 0.5),
    "utils": (family_utils, 0.5),
    "settings": (family_settings, 0),
    "rotators": (family_rotators, 0.3),
    "client": (family_client, 0.5),
}


def run_cases(count: int) -> Iterator[list[Any]]:
    for name, (family, share) in FAMILIES.items():
        for number in range(max(1, int(count * share))):
            steps = family(random.Random(f"{name}/{number}"))
            given = next(steps)
            yield [name, number, show(given), [[step[0], outcome(step[1])] for step in steps]]


# ---------------------------------------------------------------------------------------------------------- signatures

MODULES = ("", ".api", ".client", ".exceptions", ".utils", ".models.auth", ".models.cookies", ".models.encoders", ".models.headers",
           ".models.libraries", ".models.request", ".models.response", ".models.rotators", ".models.status_codes", ".models.tls",
           ".models.urls")  # fmt: skip


def signature(function: Any) -> list[list[str]]:
    parameters = inspect.signature(function).parameters.values()
    return [
        [item.name, item.kind.name, "" if item.default is item.empty else show(item.default)] for item in parameters
    ]


def signatures() -> dict[str, Any]:
    import importlib

    found: dict[str, Any] = {}
    for name in MODULES:
        module = importlib.import_module(f"tls_requests{name}")
        for public in sorted({*getattr(module, "__all__", ()), *vars(module)}):
            if public.startswith("_"):
                continue
            thing = getattr(module, public)
            owner = getattr(thing, "__module__", "") or ""
            if not owner.startswith("tls_requests") or inspect.ismodule(thing):
                continue
            if inspect.isclass(thing):
                if issubclass(thing, (enum.Enum, Warning)):
                    continue
                found[public] = {"kind": "class", "signature": signature(thing)}
                for attribute in sorted(dir(thing)):
                    if attribute.startswith("_"):
                        continue
                    raw = inspect.getattr_static(thing, attribute)
                    value = getattr(thing, attribute)
                    where = getattr(value, "__module__", "") or ""
                    if isinstance(raw, property) or not callable(value):
                        kind = "attribute"
                    else:
                        kind = (
                            "classmethod" if isinstance(raw, classmethod)
                            else "staticmethod" if isinstance(raw, staticmethod)
                            else "coroutine" if inspect.iscoroutinefunction(value)
                            else "method"
                        )  # fmt: skip
                    entry: dict[str, Any] = {"kind": kind}
                    if kind != "attribute" and where.startswith("tls_requests"):
                        entry["signature"] = signature(value)
                    found[f"{public}.{attribute}"] = entry
            elif callable(thing) and inspect.isfunction(thing):
                found[public] = {"kind": "function", "signature": signature(thing)}
    return found


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogatepass")  # type: ignore[union-attr]
    if sys.argv[1] == "--signatures":
        json.dump(signatures(), sys.stdout)
    else:
        for line in run_cases(int(sys.argv[1])):
            print(json.dumps(line))
