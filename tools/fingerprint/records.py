"""What a recording server writes down: tls_requests/_fingerprint/records.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.records import (
        asks_for_last as asks_for_last,
    )
    from tls_requests._fingerprint.records import (
        has_request as has_request,
    )
    from tls_requests._fingerprint.records import (
        summary as summary,
    )
    from tls_requests._fingerprint.records import (
        with_fingerprints as with_fingerprints,
    )
    from tls_requests._fingerprint.records import (
        write_json as write_json,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    sys.modules[__name__] = load("records")

__all__ = [
    "asks_for_last",
    "has_request",
    "summary",
    "with_fingerprints",
    "write_json",
]
