"""The recording server: tls_requests/_fingerprint/server.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tls_requests._fingerprint.server import (
        Connection as Connection,
    )
    from tls_requests._fingerprint.server import (
        Request as Request,
    )
    from tls_requests._fingerprint.server import (
        Response as Response,
    )
    from tls_requests._fingerprint.server import (
        Server as Server,
    )
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from package_part import load

    sys.path.pop(0)
    sys.modules[__name__] = load("server")

__all__ = [
    "Connection",
    "Request",
    "Response",
    "Server",
]
