"""The source: the lines that a trace names, quoted if that was asked for.

The rule kept here: a trace decides which lines of a file are shown, never which file. A trace that
came from elsewhere names only Python files in the folders that are given; a run of this process has
its files at hand.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from ..trace.events import place, printable

AROUND = 4  # lines before and after the one that is named
_LONGEST = 200  # characters of a line


class Line(NamedTuple):
    """A line that a trace names: as file:line, and the file it was in if it ran in this process.

    Two cells of a notebook have one short name; the file tells them apart.
    """

    place: str
    file: str = ""

    @classmethod
    def of(cls, src: Any) -> Line | None:
        """Read a place as rows hold it; None if there is none."""
        told = place(src)
        if told is None:
            return None
        return cls(told) if isinstance(src, str) else cls(told, src[0].co_filename)


class Quotes:
    """Quotes lines; folders: where the files of a trace from disk are looked for."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self._files: dict[str, list[str]] = {}

    def around(self, line: Line) -> list[list[Any]]:
        """Return the lines around one, each with its number; none if the file is not found."""
        name, _, digits = line.place.rpartition(":")
        lines = linecache.getlines(line.file) if line.file else self._read(name)
        if not (digits.isdecimal() and len(digits) < 10 and lines):
            return []
        first = max(1, int(digits) - AROUND)
        chosen = lines[first - 1 : int(digits) + AROUND]
        return [[at, printable(each.rstrip()[:_LONGEST])] for at, each in enumerate(chosen, first)]

    def _read(self, name: str) -> list[str]:
        if name not in self._files:
            self._files[name] = _lines_of(name, self.folders)
        return self._files[name]


def _lines_of(name: str, folders: Sequence[Path]) -> list[str]:
    """Return the lines of the Python file of that bare name in the first folder that has one."""
    bare = Path(name).name == name == PureWindowsPath(name).name
    if not bare or not name.endswith(".py"):
        return []
    for folder in folders:
        path = folder / name
        try:
            if path.is_file():  # and no pipe, which could be waited for
                return path.read_text("utf-8").splitlines()
        except (OSError, ValueError):
            continue
    return []
