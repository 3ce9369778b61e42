"""Enumerations of clients."""

from __future__ import annotations

from enum import Enum


class ClientState(int, Enum):
    """Where a client is in its life."""

    UNOPENED = 1
    OPENED = 2
    CLOSED = 3


class ProtocolType(str, Enum):
    """Values of `http2` given as text."""

    AUTO = "auto"
    HTTP1 = "http1"
    HTTP2 = "http2"
