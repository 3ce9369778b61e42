"""The fixtures of the site, which the tests of the examples use as well."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from site_fixtures import docs_site, folder

__all__ = ["docs_site", "folder"]
