"""HTTP/2 frames: tls_requests/_fingerprint/frames.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.frames import (
        H2_FRAME_NAMES as H2_FRAME_NAMES,
    )
    from tls_requests._fingerprint.frames import (
        H2_PREFACE as H2_PREFACE,
    )
    from tls_requests._fingerprint.frames import (
        FrameParser as FrameParser,
    )
    from tls_requests._fingerprint.frames import (
        h2_frame as h2_frame,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    sys.modules[__name__] = load("frames")

__all__ = [
    "FrameParser",
    "H2_FRAME_NAMES",
    "H2_PREFACE",
    "h2_frame",
]
