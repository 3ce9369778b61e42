"""What the engine of a running process is at: `gdb -p PID -batch -x tools/engine_gdb.py` (a core file does, too, without the windows).

Each session's origins with those who wait; each connection with its state, what stands in its buffers, and its HTTP/2 streams with both flow-control windows;
each tunnel with what lies in its queues. For requests that stand still: it shows whether they wait for a window, for a reader, or for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gdb  # type: ignore[import-untyped]  # only in gdb

LISTS = ("connecting", "idle", "busy", "shared", "leaving")


def items(head: Any, kind: str, member: str) -> Iterator[Any]:
    """What a tr_list_t holds: its address, the type of the objects, and their link."""
    cls = gdb.lookup_type(kind)
    offset = next(field.bitpos // 8 for field in cls.fields() if field.name == member)
    link = head["head"]["next"]
    while int(link) != int(head["head"].address):
        yield (link.cast(gdb.lookup_type("char").pointer()) - offset).cast(cls.pointer())
        link = link["next"]


def entries(table: Any, kind: str) -> Iterator[Any]:
    for slot in range(int(table["num_slots"])):
        node = table["slots"][slot]
        while int(node):
            yield node["value"].cast(gdb.lookup_type(kind).pointer())
            node = node["next"]


def as_kind(pointer: Any, kind: str) -> Any:
    return pointer.cast(gdb.lookup_type(kind).pointer())


def call(name: str, *arguments: Any) -> str:
    """A function of nghttp2 that only looks; "?" where nothing can be called."""
    kinds = ", ".join("void *" if index == 0 else "int" for index in range(len(arguments)))
    values = ", ".join(f"(void *){int(a)}" if index == 0 else str(int(a)) for index, a in enumerate(arguments))
    try:
        return str(gdb.parse_and_eval(f"((int (*)({kinds})){name})({values})"))
    except gdb.error:
        return "?"


def shown(value: Any, *names: str) -> str:
    return " ".join(f"{name}={value[name]}" for name in names)


def show_stack(conn: Any, indent: str) -> None:
    print(f"{indent}conn {shown(conn, 'phase', 'paused', 'wrote', 'blocked')} input={conn['input']['len']}")
    f = conn["top"]
    while int(f):
        name = f["type"]["name"].string()
        text = f"{indent}  filter {name}"
        if name == "stream":
            stream = as_kind(f, "stream_t")
            text += f" {shown(stream, 'open', 'full', 'watched', 'ended')} in={stream['in']['len']} out={stream['out']['len']}"
        elif name == "tls":
            text += f" plain={as_kind(f, 'tls_filter_t')['plain']['len']} opened={as_kind(f, 'tls_filter_t')['opened']['len']}"
        elif name == "tcp":
            text += f" out={as_kind(f, 'tcp_t')['out']['len']}"
        print(text)
        f = f["next"]


def show_http2(h2: Any, indent: str) -> None:
    session = h2["session"]
    windows = call("nghttp2_session_get_remote_window_size", session)
    used = call("nghttp2_session_get_effective_recv_data_length", session)
    room = call("nghttp2_session_get_effective_local_window_size", session)
    wants = call("nghttp2_session_want_write", session)
    print(
        f"{indent}h2 {shown(h2, 'num_live', 'num_open', 'num_unsent', 'max_streams', 'draining', 'dead')} "
        f"may_send={windows} received={used}/{room} wants_write={wants}"
    )
    for stream in items(h2["live"], "struct tr_h2_stream", "link"):
        ident = int(stream["id"])
        room = call("nghttp2_session_get_stream_remote_window_size", session, ident)
        used = call("nghttp2_session_get_stream_effective_recv_data_length", session, ident)
        whole = call("nghttp2_session_get_stream_effective_local_window_size", session, ident)
        print(
            f"{indent}  stream {ident} {shown(stream, 'sent', 'expect', 'paused', 'status', 'window_used', 'body_sent')} "
            f"may_send={room} received={used}/{whole}"
        )


def show_connection(hconn: Any, where: str) -> None:
    print(f"    {where} {hconn} {shown(hconn, 'state', 'num_requests', 'num_active', 'resting', 'early')}")
    if int(hconn["conn"]):
        show_stack(hconn["conn"], "      ")
    if int(hconn["h2"]):
        show_http2(hconn["h2"], "      ")
    if int(hconn["op"]):
        print(f"      op {hconn['op']} {shown(hconn['op'], 'state')}")
    for tunnel in items(hconn["tunnels"], "struct tr_tunnel", "link"):
        stream = tunnel["stream"]
        ident = int(stream["id"]) if int(stream) else 0
        print(f"      tunnel for {tunnel['owner']} {shown(tunnel, 'state')} stream {ident}")


def main() -> None:
    engine = gdb.parse_and_eval("the_engine")
    print(f"engine {shown(engine, 'state', 'driving', 'io_drives', 'turns')} ops={engine['num_ops']}")
    for session in items(engine["sessions"], "struct tr_session", "link"):
        print(f"session {session}")
        for origin in entries(session["pool"]["origins"], "tr_origin_t"):
            print(
                f"  origin {origin['key'].string()!r} {shown(origin, 'num_waiters', 'num_asking', 'num_conns', 'proto')}"
            )
            for name in LISTS:
                for hconn in items(origin[name], "tr_hconn_t", "link"):
                    show_connection(hconn, name)


main()
