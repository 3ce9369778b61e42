"""The documentation as a site: it builds without a warning, each page is in its navigation, each public name in its reference."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

import tls_requests

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 110
# The modules whose `__all__`, or whose constants where there is none, are public.
MODULES = ("api", "client", "exceptions", "models", "settings", "types", "utils", "models.auth", "models.cookies", "models.encoders",
           "models.headers", "models.libraries", "models.rotators", "models.tls", "models.urls")  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def documented(site: Path) -> set[str]:
    """The names that the reference explains, from the inventory that mkdocstrings writes."""
    raw = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split(" ")[0] for line in zlib.decompress(raw).decode().splitlines()}


def public_names(module: ModuleType) -> list[str]:
    names: list[str] = getattr(module, "__all__", None) or [name for name in vars(module) if name.isupper()]
    return names


def members(thing: type) -> list[tuple[str, type]]:
    """Public attributes of a class that this package defines, each with the class that defines it."""
    found = []
    for name in dir(thing):
        if name.startswith("_"):
            continue
        owner = next(base for base in thing.__mro__ if name in vars(base))
        if owner.__module__.partition(".")[0] == "tls_requests":
            found.append((name, owner))
    return found


def test_every_page_is_in_the_navigation(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").rglob("*.md")):
        name = page.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert (site / name).is_file(), name
        assert f'href="{name}"' in home, f"{name} is not in the navigation"


def test_blocks_are_blocks(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert "<p>```" not in page.read_text(encoding="utf-8"), page.name


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for attribute in ('src="http', '<link rel="stylesheet" href="http', "@import"):
            assert attribute not in text, f"{page.name}: {attribute}"


def test_top_level_names(documented: set[str]) -> None:
    assert {f"tls_requests.{name}" for name in tls_requests.__all__} - documented == set()


@pytest.mark.parametrize("name", MODULES)
def test_names_of_modules(name: str, documented: set[str]) -> None:
    module = importlib.import_module(f"tls_requests.{name}")
    names = public_names(module)
    assert len(names) >= 1
    missing = [
        each
        for each in names
        if f"tls_requests.{each}" not in documented and f"tls_requests.{name}.{each}" not in documented
    ]
    assert missing == []


@pytest.mark.parametrize("name", [name for name in tls_requests.models.__all__] + ["Client", "AsyncClient"])
def test_members_of_classes(name: str, documented: set[str]) -> None:
    thing = getattr(tls_requests, name)
    missing = [
        attribute
        for attribute, owner in members(thing)
        if f"tls_requests.{name}.{attribute}" not in documented
        and f"{owner.__module__}.{owner.__qualname__}.{attribute}" not in documented
    ]
    assert missing == []
