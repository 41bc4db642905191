"""show_source: the source of what runs here, so that no lesson keeps a copy of it.

The rule kept here: what is shown is what Python has loaded, with the line numbers of its file, as
findings and timelines name them. The text is the same on every machine: no path, no version of
a highlighter. When the file has changed, the lesson is recorded again.
"""

from __future__ import annotations

import functools
import inspect
import textwrap
from itertools import groupby
from types import GeneratorType
from typing import Any, NamedTuple

from ..trace.events import short_name


class Part(NamedTuple):
    """A piece of source: the name of its file, the number of its first line, and its text."""

    file: str
    line: int
    text: str


class Source:
    """The source of functions, classes or a module; a notebook shows it highlighted.

    title: what stands for it until a reader unfolds it; None: it is not folded.
    """

    def __init__(self, *parts: Part, title: str | None = None) -> None:
        self.parts = parts
        self.title = title

    @property
    def text(self) -> str:
        """The source as it was written, without numbers."""
        return "\n\n".join(part.text for part in self.parts)

    def __repr__(self) -> str:
        width = max(len(str(part.line + part.text.count("\n"))) for part in self.parts)
        files = groupby(self.parts, key=lambda part: part.file)
        return "\n\n".join(
            f"# {file}\n" + "\n\n".join(_numbered(part, width) for part in parts)
            for file, parts in files
        )

    def _repr_markdown_(self) -> str:
        # Markdown, not HTML: the notebook highlights it, and what is stored stays plain text.
        fence = "```"
        while fence in self.text:
            fence += "`"
        code = f"{fence}python\n{self!r}\n{fence}\n"
        if self.title is None:
            return code
        return f"<details><summary>{self.title}</summary>\n\n{code}\n</details>\n"


def show_source(*things: Any, folded: bool = False) -> Source:
    """Return the source of functions, methods, classes or a module, to be shown as a cell's value.

    folded: a notebook shows their names until a reader unfolds them. Raises TypeError for anything
    that has no source in Python, such as ``time.sleep``.
    """
    if not things:
        raise TypeError("show_source() needs a function, method, class or module")
    parts = [_part(thing) for thing in things]
    names = ", ".join(f"<code>{getattr(thing, '__name__', thing)}</code>" for thing in things)
    return Source(*parts, title=f"The source of {names}" if folded else None)


def _part(thing: Any) -> Part:
    target = _written(thing)
    try:
        lines, line = inspect.getsourcelines(target)
        file = inspect.getsourcefile(target) or ""
    except (OSError, TypeError):
        raise TypeError(f"show_source() needs something written in Python, got {thing!r}") from None
    # Of a module Python gives 0.
    return Part(short_name(file), max(1, line), textwrap.dedent("".join(lines)).rstrip())


def _written(thing: Any) -> Any:
    """Return what was written in Python of a thing that stands for it, as a property does."""
    match thing:
        case property(fget=inner) | functools.partial(func=inner) if inner is not None:
            return _written(inner)
        case functools.cached_property(func=inner) | GeneratorType(gi_code=inner):
            return _written(inner)
    return inspect.unwrap(thing) if callable(thing) else thing


def _numbered(part: Part, width: int) -> str:
    rows = enumerate(part.text.split("\n"), part.line)
    return "\n".join(f"{number:{width}}  {row}".rstrip() for number, row in rows)
