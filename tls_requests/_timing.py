"""What a response knows about its transfer, and a client about its connections. Imported when somebody asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .models.response import Response

__all__ = ["ClientStats", "Timing"]


class ClientStats(NamedTuple):
    """Counters of a client since it was made, and (from `open` on) how things stand."""

    requests: int = 0
    """Started; one with its redirects and replays counts once."""
    succeeded: int = 0
    """Ended with an answer, whatever its status."""
    failed: int = 0
    http1: int = 0
    """Exchanges over HTTP/1.1, redirects and replays included."""
    http2: int = 0
    replays: int = 0
    """Sent again by the engine itself, see docs/replays.md."""
    redirects: int = 0
    """Followed."""
    connections_opened: int = 0
    connections_failed: int = 0
    handshakes: int = 0
    """TLS handshakes that were completed."""
    resumed: int = 0
    """Of these, with a session of an earlier connection."""
    open: int = 0
    """Connections now, in every state."""
    connecting: int = 0
    idle: int = 0
    active: int = 0
    """Requests on a connection."""
    waiting: int = 0
    """Requests that wait for one."""


class Timing:
    """Times of a transfer in seconds since the request's start, and facts of the connection of its last hop.

    dns, connect, tls: when the name was looked up, TCP connected, the handshake done; None: the connection was there
    before (`reused`), or the step was not reached or needed. first_byte, total: of the answer.
    peer, local: addresses, as "192.0.2.1:443". tls_version ("TLSv1.3"), tls_cipher, tls_group: names; None without TLS.
    tls_resumed: the handshake resumed a session. tls_early: the request went with the ClientHello (early data, RFC 8446 2.3).
    replays: times that the engine sent the last hop again.
    """

    __slots__ = (
        "_response",
        "connect",
        "dns",
        "first_byte",
        "local",
        "peer",
        "replays",
        "reused",
        "tls",
        "tls_cipher",
        "tls_early",
        "tls_group",
        "tls_resumed",
        "tls_version",
        "total",
    )

    dns: float | None
    connect: float | None
    tls: float | None
    first_byte: float | None
    total: float | None
    peer: str | None
    local: str | None
    tls_version: str | None
    tls_cipher: str | None
    tls_group: str | None
    tls_resumed: bool
    tls_early: bool
    reused: bool
    replays: int

    def __init__(self, response: Response | None = None) -> None:
        facts: dict[str, Any] = (response._timing if response is not None else None) or {}
        self._response = response
        for name in self.__slots__[1:]:
            empty = False if name in ("tls_resumed", "tls_early", "reused") else 0 if name == "replays" else None
            setattr(self, name, facts.get(name, empty))

    @property
    def certificates(self) -> list[bytes]:
        """The chain that the server sent, its own first, in DER; for a resumed session, in the handshake that it comes from.

        Empty without TLS, and where that handshake was too long ago to be remembered.
        """
        return [] if self._response is None else self._response._certificates

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__slots__[1:] if getattr(self, name) is not None)
        return f"Timing({', '.join(shown)})"
