"""public_api.py, which the type checkers read, uses every public name."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import tls_requests

FILE = Path(__file__).resolve().parent / "public_api.py"
TREE = ast.parse(FILE.read_text(encoding="utf-8"))
# What the file names after a dot, and by itself, outside its imports.
USED = {node.attr for node in ast.walk(TREE) if isinstance(node, ast.Attribute)} | {
    node.id for node in ast.walk(TREE) if isinstance(node, ast.Name)
}
MODULES = ("api", "exceptions", "models", "types", "utils")


def test_top_level_names() -> None:
    kept_out = {"TYPE_CHECKING", "annotations", "REMOVED", "new_session_id"}  # not public
    # In a process of its own: names are added when they are first looked at, also those that other tests ask for.
    program = "import tls_requests; print(*tls_requests.__all__, *dir(tls_requests))"
    names = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    ).stdout.split()
    assert {name for name in names if name[0] != "_"} - USED == kept_out


@pytest.mark.parametrize("name", MODULES)
def test_names_of_modules(name: str) -> None:
    assert set(importlib.import_module(f"tls_requests.{name}").__all__) - USED == set()


def test_it_is_typed() -> None:
    assert (Path(tls_requests.__file__).parent / "py.typed").is_file()
