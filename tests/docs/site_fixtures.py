"""The site that examples visit, and the folder that they run in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docs_site import CERTIFICATE_NAMES, Site, running_site


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, authority: Any) -> Path:
    """Where examples run: with the authority's certificate as ca.pem."""
    path = tmp_path_factory.mktemp("examples")
    (path / "ca.pem").write_bytes(authority.pem.read_bytes())
    return path


@pytest.fixture(scope="session")
def docs_site(authority: Any) -> Iterator[Site]:
    pair = authority.issue("docs", names=("localhost", "127.0.0.1", "::1", *CERTIFICATE_NAMES))
    with running_site(pair.both) as site:
        yield site
