"""Reading of big-endian bytes, and GREASE values: tls_requests/_fingerprint/wire.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.wire import (
        Bytes as Bytes,
    )
    from tls_requests._fingerprint.wire import (
        Incomplete as Incomplete,
    )
    from tls_requests._fingerprint.wire import (
        ParseError as ParseError,
    )
    from tls_requests._fingerprint.wire import (
        Reader as Reader,
    )
    from tls_requests._fingerprint.wire import (
        is_grease as is_grease,
    )
    from tls_requests._fingerprint.wire import (
        mark_grease as mark_grease,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    _module = load("wire")
    for _name in (
        "Bytes",
        "Incomplete",
        "ParseError",
        "Reader",
        "is_grease",
        "mark_grease",
    ):
        globals()[_name] = getattr(_module, _name)

__all__ = [
    "Bytes",
    "Incomplete",
    "ParseError",
    "Reader",
    "is_grease",
    "mark_grease",
]
