"""What a browser family does where a capture is silent."""

from __future__ import annotations

from dataclasses import dataclass

from .registry import KEY_SHARE, SIGNATURES, VERSIONS


@dataclass(frozen=True)
class Engine:
    """What a family does where a capture is silent. `source` says where each rule was read."""

    source: str
    flags: frozenset[str] = frozenset()
    cookie_behind: tuple[int, ...] = (VERSIONS,)  # the cookie extension's place in a second ClientHello
    ech_payload: str = "DRAWN"
    ech_aeads: tuple[int, ...] = (1,)
    ech_lengths: tuple[int, ...] = (144, 176, 208, 240)
    hpack: str = "GENERIC"  # whose encoder (src/http2/hpack.c)
    data_frame_max: int = 0
    stream_window: int = 0  # what a stream's window is raised to right behind its HEADERS; 0: not raised
    priorities: tuple[tuple[int, int | None], ...] = ()  # from version on: weight (None: no priority)
    priority_mode: str = "FIXED"
    # From version on: SETTINGS|WINDOW_UPDATE, where not recorded. Of a family whose own is not known: Chrome 133's.
    openings: tuple[tuple[int, str], ...] = ((0, "1:65536;2:0;4:6291456;6:262144|15663105"),)
    pseudo_order: str = "masp"  # where not recorded
    connection: str = "keep-alive"
    connection_behind: str | None = "host"  # HTTP/1.1: None puts it last
    # What is sent for other requests than navigations (kinds.py) where the file has none: the id of a capture of the
    # engine that has them, "fetch standard" (not recorded: derived), None (no browser: every request is alike).
    kinds: str | None = None
    # The built-in profile whose tables for these requests a profile made at run time shares.
    kinds_of: str | None = None
    hints: bool = False  # Accept-CH is answered (client_hints.py)
    http1_drops: frozenset[str] = frozenset({"te"})
    lower_case: tuple[str, ...] = ()  # prefixes of names that stay lower case over HTTP/1.1
    # Places of headers that a request may bring: (name, the names before which it stands; none of them: last).
    places: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("content-type", ()),
        ("content-length", ()),
        ("origin", ()),
        ("referer", ()),
        ("cookie", ()),
    )


# fmt: off
GECKO_PLACE = ("upgrade-insecure-requests", "sec-fetch-dest", "priority", "te")
ENGINES: dict[str | None, Engine] = {
    "chromium": Engine(
        source="chromium_156_linux.json (notes, variants, requests); resumption as Chrome's derived files; opening"
               " frames: derived captures of 103 to 117; BoringSSL for the cookie's place and the ECH lengths",
        flags=frozenset({"RESUMES_13", "RESUMES_12", "REDIRECT_MOVES_HINTS", "COALESCES"}),
        hpack="CHROMIUM", data_frame_max=16375, priorities=((0, 256),), priority_mode="CHROMIUM",
        openings=((0, "1:65536;3:1000;4:6291456;6:262144|15663105"),
                  (106, "1:65536;2:0;3:1000;4:6291456;6:262144|15663105"),
                  (117, "1:65536;2:0;4:6291456;6:262144|15663105")),
        kinds="chromium_156_linux", kinds_of="chromium_156_linux", hints=True, http1_drops=frozenset({"te", "priority"}), lower_case=("sec-ch-ua",),
        places=(("content-length", ("sec-ch-ua", "upgrade-insecure-requests", "user-agent")),
                ("content-type", ("user-agent",)), ("origin", ("accept",)),
                ("referer", ("accept-encoding",)), ("cookie", ("priority",)))),
    "gecko": Engine(
        source="firefox_153_linux.json (notes, variants, requests); NSS for the cookie's place; opening frames:"
               " Firefox's captures and derived files; referrers: visits of Firefox 153",
        flags=frozenset({"PSK_DROPS_TICKET", "RESUMES_13", "RESUMES_12", "TICKET12_ONCE", "SHARES_X25519",
                         "EARLY_DATA", "H2_EMPTY_DATA", "WS_ORDINARY", "WS_PLAIN_CERT",
                         "COALESCES", "STRICT_REFERRERS"}),
        cookie_behind=(SIGNATURES, VERSIONS), ech_payload="NSS", ech_aeads=(1, 3), ech_lengths=(),
        hpack="FIREFOX", data_frame_max=16000, stream_window=12582912, priorities=((0, 42),),
        openings=((0, "1:65536;4:131072;5:16384|12517377"), (128, "1:65536;2:0;4:131072;5:16384|12517377")),
        pseudo_order="mpas",
        connection_behind="accept-encoding", kinds="firefox_153_linux", kinds_of="firefox_153_linux",
        places=(("content-type", ("connection",) + GECKO_PLACE), ("content-length", ("connection",) + GECKO_PLACE),
                ("origin", ("connection",) + GECKO_PLACE), ("referer", GECKO_PLACE), ("cookie", GECKO_PLACE))),
    "webkit": Engine(
        source="Safari's captures and derived files; its resumption is not known, so none is offered; openings: "
               "derived 15.6.1; places of request headers: not known, put last",
        priorities=((0, 255), (18, 256), (26, None)),
        openings=((0, "4:4194304;3:100|10485760"), (18, "2:0;3:100;4:2097152;9:1|10420225")), pseudo_order="msap",
        connection_behind=None, kinds="fetch standard",
        kinds_of="safari_18_4_macos"),
    "cfnetwork": Engine(source="as webkit; no headers are known", priorities=((0, None),), connection_behind=None),
    "okhttp": Engine(
        source="OkHttp's own headers in the order of its BridgeInterceptor; its resumption is not known",
        flags=frozenset({"COALESCES"}),
        openings=((0, "4:16777216|16711681"),), pseudo_order="mpas",
        priorities=((0, None),), connection="Keep-Alive",
        places=(("content-length", ("host", "accept-encoding")), ("content-type", ("content-length",)),
                ("origin", ("content-type",)), ("referer", ("content-type",)), ("cookie", ("user-agent",)))),
    "openssl": Engine(source="OpenSSL's order of extensions", cookie_behind=(KEY_SHARE,), priorities=((0, None),)),
    None: Engine(source="nothing is known: neither resumption nor places", priorities=((0, None),)),
}
# fmt: on
# HTTP/1.1 names whose capitals are not the first letters of their words.
HTTP1_NAMES = {"dnt": "DNT", "te": "TE", "sec-gpc": "Sec-GPC"}
# Requests of a capture that are read for the places of headers, in order of preference: navigations only.
PLACE_KINDS = ("form_post_by_click", "form_post_by_script", "navigation_by_click", "iframe")
PLACE_NAMES = ("content-length", "content-type", "origin", "referer", "cookie")
