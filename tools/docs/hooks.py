"""mkdocs hooks: pages of the repository that lie outside docs/, and links to files that are no pages."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
# A file of the repository, and the page that it becomes.
PAGES = {
    "examples/ipython_walkthrough.md": "ipython.md",
    "profiles/README.md": "internals/profile-files.md",
}
# The words behind a block's language are for the test that runs it.
FENCE_WORDS = re.compile(r"^(```\w+) .+$", re.M)
LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(((?:\.\./)+[^)\s#]+)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """Leave out the pages of `nav` that are not written. A misspelt one cannot hide here: the page itself is then omitted from
    `nav`, which is an error."""
    config.nav = _existing(config.nav)
    return config


def _existing(entries: list[Any]) -> list[Any]:
    kept = []
    for entry in entries:
        for title, target in entry.items():
            if isinstance(target, list):
                inner = _existing(target)
                if inner:
                    kept.append({title: inner})
            elif (ROOT / "docs" / target).is_file() or target in PAGES.values():
                kept.append(entry)
    return kept


def on_files(files: Any, config: Any) -> Any:
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Links to a file outside docs/ go to the page that it has become, or are its path in plain text."""
    sources = {page: source for source, page in PAGES.items()}
    here = page.file.src_uri
    # The path of the page's source, from the repository's root.
    base = posixpath.dirname(sources.get(here, f"docs/{here}"))

    def replace(match: re.Match[str]) -> str:
        text, target, anchor = match.group(1), match.group(2), match.group(3) or ""
        path = posixpath.normpath(posixpath.join(base, target))
        if path in PAGES:
            path = f"docs/{PAGES[path]}"
        if path.startswith("docs/"):
            relative = posixpath.relpath(path[len("docs/") :], posixpath.dirname(here) or ".")
            return f"[{text}]({relative}{anchor})"
        return text if f"`{path}`" == text else f"{text} (`{path}`)"

    return FENCE_WORDS.sub(r"\1", LINK.sub(replace, markdown))
