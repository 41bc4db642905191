"""show_source: the source of what runs here, so that no lesson keeps a copy of it.

The rule kept here: what is shown is what Python has loaded, with the line numbers of its file, as
findings and timelines name them. The text is the same on every machine: no path, no version of
a highlighter. When the file has changed, the lesson is recorded again.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from ..trace.events import short_name


class Source:
    """The source of a function, class or module, or of several; a notebook shows it highlighted.

    parts: for each the number of its first line in the file, and its text from the margin on.
    """

    def __init__(self, file: str, *parts: tuple[int, str]) -> None:
        self.file = file
        self.parts = parts

    @property
    def text(self) -> str:
        """The source as it was written, without numbers."""
        return "\n\n".join(text for _, text in self.parts)

    def __repr__(self) -> str:
        width = max(len(str(line + text.count("\n"))) for line, text in self.parts)
        numbered = (
            "\n".join(
                f"{n:{width}}  {row}".rstrip() for n, row in enumerate(text.split("\n"), line)
            )
            for line, text in self.parts
        )
        return f"# {self.file}\n" + "\n\n".join(numbered)

    def _repr_markdown_(self) -> str:
        # Markdown, not HTML: the notebook highlights it, and what is stored stays plain text.
        fence = "```"
        while fence in self.text:
            fence += "`"
        return f"{fence}python\n{self!r}\n{fence}\n"


def show_source(thing: Any) -> Source:
    """Return the source of a function, method, class or module, to be shown as a cell's value.

    Raises TypeError for anything that has no source in Python, such as ``time.sleep``.
    """
    target = inspect.unwrap(thing) if callable(thing) else thing
    try:
        lines, line = inspect.getsourcelines(target)
        file = inspect.getsourcefile(target) or ""
    except (OSError, TypeError):
        raise TypeError(f"show_source() needs something written in Python, got {thing!r}") from None
    # Of a module Python gives 0.
    text = textwrap.dedent("".join(lines)).rstrip()
    return Source(short_name(file), (max(1, line), text))
