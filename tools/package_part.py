"""The parts of the package that need no built extension, for the tools: tls_requests/_fingerprint/ alone.

Importing `tls_requests` itself loads the extension; the generator of its tables must run before that is built, and the
checker runs without it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parent.parent / "tls_requests" / "_fingerprint"
NAME = "tls_requests_fingerprint"


def load(module: str) -> ModuleType:
    """The module tls_requests._fingerprint.<module>, loaded without the package around it."""
    if NAME not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            NAME, FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)]
        )
        if spec is None or spec.loader is None:
            raise ImportError("no %s" % FOLDER)
        package = importlib.util.module_from_spec(spec)
        sys.modules[NAME] = package
        spec.loader.exec_module(package)
    return importlib.import_module("%s.%s" % (NAME, module))
