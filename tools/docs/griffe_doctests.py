"""griffe extension: the `>>>` examples of docstrings become blocks of code (Markdown would read them as quotations)."""

from __future__ import annotations

from typing import Any

import griffe


def fenced(text: str) -> str:
    """The text with each paragraph that begins with `>>>` in a fence, without doctest's directives."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        if paragraph.lstrip().startswith(">>>"):
            lines = [line.partition("# doctest:")[0].rstrip() for line in paragraph.strip("\n").split("\n")]
            paragraph = "\n".join(["```pycon", *lines, "```"])
        paragraphs.append(paragraph)
    return "\n\n".join(paragraphs)


class Doctests(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
