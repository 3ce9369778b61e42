"""Decoding of a TLS ClientHello: tls_requests/_fingerprint/client_hello.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.client_hello import (
        EXTENSION_NAMES as EXTENSION_NAMES,
    )
    from tls_requests._fingerprint.client_hello import (
        EXTENSION_NUMBERS as EXTENSION_NUMBERS,
    )
    from tls_requests._fingerprint.client_hello import (
        client_hello_from_bytes as client_hello_from_bytes,
    )
    from tls_requests._fingerprint.client_hello import (
        extension as extension,
    )
    from tls_requests._fingerprint.client_hello import (
        extract_client_hello as extract_client_hello,
    )
    from tls_requests._fingerprint.client_hello import (
        looks_like_tls as looks_like_tls,
    )
    from tls_requests._fingerprint.client_hello import (
        parse_client_hello as parse_client_hello,
    )
    from tls_requests._fingerprint.client_hello import (
        split_records as split_records,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    _module = load("client_hello")
    for _name in (
        "EXTENSION_NAMES",
        "EXTENSION_NUMBERS",
        "client_hello_from_bytes",
        "extension",
        "extract_client_hello",
        "looks_like_tls",
        "parse_client_hello",
        "split_records",
    ):
        globals()[_name] = getattr(_module, _name)

__all__ = [
    "EXTENSION_NAMES",
    "EXTENSION_NUMBERS",
    "client_hello_from_bytes",
    "extension",
    "extract_client_hello",
    "looks_like_tls",
    "parse_client_hello",
    "split_records",
]
