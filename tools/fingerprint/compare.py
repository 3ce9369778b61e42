"""Comparing a record with a profile: tls_requests/_fingerprint/compare.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.compare import (
        Differences as Differences,
    )
    from tls_requests._fingerprint.compare import (
        compare as compare,
    )
    from tls_requests._fingerprint.compare import (
        compare_headers as compare_headers,
    )
    from tls_requests._fingerprint.compare import (
        compare_http1 as compare_http1,
    )
    from tls_requests._fingerprint.compare import (
        compare_http2 as compare_http2,
    )
    from tls_requests._fingerprint.compare import (
        compare_tls as compare_tls,
    )
    from tls_requests._fingerprint.compare import (
        expected_padding as expected_padding,
    )
    from tls_requests._fingerprint.compare import (
        is_choice as is_choice,
    )
    from tls_requests._fingerprint.compare import (
        label as label,
    )
    from tls_requests._fingerprint.compare import (
        matches as matches,
    )
    from tls_requests._fingerprint.compare import (
        opening_frames as opening_frames,
    )
    from tls_requests._fingerprint.compare import (
        record_groups as record_groups,
    )
    from tls_requests._fingerprint.compare import (
        select_variant as select_variant,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    sys.modules[__name__] = load("compare")

__all__ = [
    "Differences",
    "compare",
    "compare_headers",
    "compare_http1",
    "compare_http2",
    "compare_tls",
    "expected_padding",
    "is_choice",
    "label",
    "matches",
    "opening_frames",
    "record_groups",
    "select_variant",
]
