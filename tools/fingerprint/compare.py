"""Comparing a record with a profile: tls_requests/_fingerprint/compare.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.compare import (
        Differences as Differences,
        compare as compare,
        compare_headers as compare_headers,
        compare_http1 as compare_http1,
        compare_http2 as compare_http2,
        compare_tls as compare_tls,
        expected_padding as expected_padding,
        is_choice as is_choice,
        label as label,
        matches as matches,
        opening_frames as opening_frames,
        record_groups as record_groups,
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
