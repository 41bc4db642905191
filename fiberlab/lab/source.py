"""show_source: the source of what runs here, so that no lesson keeps a copy of it.

The rule kept here: what is shown is what Python has loaded, and the text is the same on every
machine: no path, no line number, no version of a highlighter.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

from ..trace.events import short_name


class Source:
    """The source of a function, class or module; a notebook shows it highlighted."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    def __repr__(self) -> str:
        return f"# {self.file}\n{self.text}"

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
        lines, _ = inspect.getsourcelines(target)
        file = inspect.getsourcefile(target) or ""
    except (OSError, TypeError):
        raise TypeError(f"show_source() needs something written in Python, got {thing!r}") from None
    return Source(textwrap.dedent("".join(lines)).rstrip(), short_name(file))
