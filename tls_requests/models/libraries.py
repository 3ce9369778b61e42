"""TLSLibrary: kept for programs that load the engine by hand. The engine is part of this package; nothing is downloaded."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

__all__ = ["TLSLibrary"]

R = TypeVar("R", bound="BaseRelease")


@dataclass
class BaseRelease:
    @classmethod
    def model_fields_set(cls) -> set[str]:
        """The names of the fields."""
        return {item.name for item in fields(cls)}

    @classmethod
    def from_kwargs(cls: type[R], **kwargs: Any) -> R:
        """Make one of keywords; unknown ones are ignored."""
        names = cls.model_fields_set()
        return cls(**{key: value for key, value in kwargs.items() if key in names})


@dataclass
class ReleaseAsset(BaseRelease):
    browser_download_url: str
    name: str | None = None


@dataclass
class Release(BaseRelease):
    name: str | None = None
    tag_name: str | None = None
    assets: list[ReleaseAsset] = field(default_factory=list)

    @classmethod
    def from_kwargs(cls, **kwargs: Any) -> Release:
        """Make one of keywords; its assets, too. Unknown ones are ignored."""
        release = super().from_kwargs(**kwargs)
        release.assets = [
            item if isinstance(item, ReleaseAsset) else ReleaseAsset.from_kwargs(**item) for item in release.assets
        ]
        return release


class TLSLibrary:
    """The engine as a library: always there, found at once."""

    _PATH: str | None = None
    _config: Any = None

    @staticmethod
    def _parse_version(text: str) -> tuple[int, ...]:
        try:
            major, minor, patch = text.lstrip("v").split(".")
            return int(major), int(minor), int(patch)
        except (AttributeError, ValueError):
            return 0, 0, 0

    @classmethod
    def load(cls) -> ModuleType:
        """The engine's module."""
        from .. import _core

        cls._PATH = cls.find()
        module: ModuleType = _core
        return module

    @classmethod
    def find(cls) -> str:
        """The path of the compiled extension."""
        from .. import _core

        return str(Path(_core.__file__ or "").resolve())

    @classmethod
    def find_all(cls) -> list[str]:
        """`find()` in a list."""
        return [cls.find()]

    @classmethod
    def set_path(cls, fp: str) -> None:
        """Accepted; the engine stays the one of this package."""
        cls._PATH = fp

    @classmethod
    def download(cls, version: str | None = None) -> str:
        """Nothing is downloaded; returns `find()`."""
        return cls.find()

    @classmethod
    def update(cls) -> str:
        """Nothing is downloaded; returns `find()`."""
        return cls.find()

    upgrade = update

    @classmethod
    def cleanup_files(cls, keep_file: str | None = None) -> None:
        """There are no files to remove."""

    @classmethod
    def export_config(cls, data: Any) -> None:
        """Remember a value in this process."""
        cls._config = data

    @classmethod
    def import_config(cls) -> Any:
        """What `export_config` was given, else None."""
        return cls._config

    @classmethod
    def fetch_api(cls, version: str | None = None, retries: int = 3) -> Any:
        """Yields nothing: there is no release to look for."""
        yield from ()


if __name__ == "__main__":
    print(TLSLibrary.find())
