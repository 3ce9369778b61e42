"""HPACK: tls_requests/_fingerprint/hpack.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.hpack import (
        HpackDecoder as HpackDecoder,
    )
    from tls_requests._fingerprint.hpack import (
        huffman_decode as huffman_decode,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    sys.modules[__name__] = load("hpack")

__all__ = [
    "HpackDecoder",
    "huffman_decode",
]
