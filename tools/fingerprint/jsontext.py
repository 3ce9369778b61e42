"""JSON that people can read: tls_requests/_fingerprint/jsontext.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.jsontext import (
        pretty as pretty,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    _module = load("jsontext")
    for _name in ("pretty",):
        globals()[_name] = getattr(_module, _name)

__all__ = [
    "pretty",
]
