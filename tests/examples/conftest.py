"""The documentation's site, for examples that visit pages."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in (HERE.parent / "docs", HERE.parents[1] / "tools", HERE.parents[1] / "examples"):
    sys.path.insert(0, str(folder))

from site_fixtures import docs_site, folder  # noqa: E402

__all__ = ["docs_site", "folder"]
