"""The table of sessions: clients by the id of their session, from the first request on (or from when the id was looked at).

The table keeps no client alive; a session that `TLSClient` made is kept by `TLSClient` until it is destroyed.
"""

from __future__ import annotations

from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._base import BaseClient


class _Entry(ref):  # type: ignore[type-arg]  # not subscriptable before Python 3.9's typing of it
    """A client, not held, with the id it was entered by."""

    __slots__ = ("name",)

    name: str


_entries: dict[str, _Entry] = {}


def _gone(entry: _Entry) -> None:
    if _entries.get(entry.name) is entry:
        _entries.pop(entry.name, None)


def enter(client: BaseClient, name: str) -> None:
    """Put a client into the table; one that has the id already loses its place."""
    entry = _Entry(client, _gone)
    entry.name = name
    _entries[name] = entry


def leave(client: BaseClient) -> None:
    """Take a client out of the table."""
    name = client._session_id
    entry = _entries.get(name) if name is not None else None
    if entry is not None and entry() is client:
        _entries.pop(name, None)


def find(name: str) -> BaseClient | None:
    """The open client whose session has that id."""
    entry = _entries.get(name)
    return None if entry is None else entry()


def everyone() -> list[BaseClient]:
    """All clients in the table."""
    clients = (entry() for entry in list(_entries.values()))
    return [client for client in clients if client is not None]
