"""The source: the lines that a trace names, quoted if that was asked for.

The rule kept here: a trace decides which lines of a file are shown, never which file. A trace that
came from elsewhere names only Python files in the folders that are given; a run of this process has
its files at hand.
"""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from ..spans.spans import Spans
from ..trace.events import EV, EXIT, SPAWN, YIELD, place, printable

AROUND = 4  # lines before and after the one that is named
_LONGEST = 200  # characters of a line
_IN_ROW = {"spawn": SPAWN.SRC, "yield": YIELD.SRC, "exit": EXIT.SRC}


def quoted(
    spans: Spans, places: Iterable[str], folders: Sequence[Path]
) -> dict[str, list[list[Any]]]:
    """Return, for each of `places` whose file is found, the lines around it with their numbers.

    places: as file:line. folders: where the files of a trace from disk are looked for.
    """
    loaded = _loaded(spans)
    files: dict[str, list[str]] = {}
    found = {}
    for each in sorted(places):
        name, _, number = each.rpartition(":")
        if name not in files:
            files[name] = loaded.get(name) or _read(name, folders)
        if number.isdecimal() and len(number) < 10 and files[name]:
            found[each] = _around(files[name], int(number))
    return found


def _around(lines: list[str], number: int) -> list[list[Any]]:
    first = max(1, number - AROUND)
    chosen = lines[first - 1 : number + AROUND]
    return [[at, printable(line.rstrip()[:_LONGEST])] for at, line in enumerate(chosen, first)]


def _loaded(spans: Spans) -> dict[str, list[str]]:
    """Return the lines of the files whose code ran in this process, by their short names.

    Of two files with one short name neither is taken: the trace does not tell them apart.
    """
    codes = {}
    for row in spans.rows:
        at = _IN_ROW.get(row[EV])
        src = None if at is None else row[at]
        if src is not None and not isinstance(src, str):
            codes[src[0].co_filename] = src
    found: dict[str, list[str]] = {}
    for filename, src in codes.items():
        name = (place(src) or "").rpartition(":")[0]
        found[name] = [] if name in found else linecache.getlines(filename)
    return found


def _read(name: str, folders: Sequence[Path]) -> list[str]:
    """Return the lines of the Python file of that bare name in the first folder that has one."""
    bare = Path(name).name == name == PureWindowsPath(name).name
    if not bare or not name.endswith(".py"):
        return []
    for folder in folders:
        try:
            return (folder / name).read_text("utf-8").splitlines()
        except (OSError, ValueError):
            continue
    return []
