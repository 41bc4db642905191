"""keep and kept: the scheduler that a student builds, handed on from lesson to lesson.

    Turns = keep(Turns)        # at the end of a lesson
    Turns = kept("Turns")      # at the beginning of a later one

The rule kept here: each lesson runs alone. A class is handed on only if it passes its exercise.
Where there is none, the reference version takes its place, and a line says so.

What is kept stands in `FILE`, in the folder of the notebook: plain Python, to be read and changed.
An optional sheet, which is in a folder of its own, finds it in the one above.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from .exercises import examine
from .shared import grown

FILE = "my_scheduler.py"


class Step(NamedTuple):
    """One step of the scheduler: the lesson that builds it, and the exercise that checks it."""

    lesson: str
    exercise: str


STEPS = {
    "Turns": Step("02", "l02-e3"),
    "Sockets": Step("05", "l05-e1"),
    "Sleeps": Step("06", "l06-e1"),
    "Parks": Step("06", "l06-e2"),
}
"""The classes, in the order in which each is built on the one before."""

_HEAD = f'''"""My scheduler, as far as it is built; what is not here is the reference version's.

Written by keep(), read by kept(); see fiberlab.lab.
"""

import heapq
import itertools
import select
from collections import deque
from itertools import count

from fiberlab import RECV, SEND, WAIT
from fiberlab.io.clock import RealClock
from {grown.__name__} import {", ".join(STEPS)}
'''


def keep(built: type[Any]) -> type[Any]:
    """Keep a class beside the lesson if it passes its exercise, and return it.

    Else the reference version is returned. What became of it is printed. Raises ValueError for a
    class that is not one of STEPS by its name.
    """
    name = getattr(built, "__name__", repr(built))
    step = _step_of(name)
    if built is _reference(name):
        print(f"{name}: the reference version; run the cell of your own class first")
        return built
    judgement = examine(step.exercise, built)
    if not judgement.passed:
        state = "has not passed its check" if judgement.attempted else "is not written yet"
        print(f"{name}: yours {state}; the lesson goes on with the reference version")
        return _reference(name)
    print(f"{name}: yours goes on, {_written(name, built)}")
    return built


def kept(name: str) -> type[Any]:
    """Return the class of that name that was kept, or the reference version; print which.

    Raises ValueError for a name that is not one of STEPS.
    """
    step = _step_of(name)
    path = next((each for each in (Path(FILE), Path("..") / FILE) if each.is_file()), None)
    if path is None:
        print(f"{name}: the reference version; you build your own in lesson {step.lesson}")
        return _reference(name)
    try:
        found: type[Any] = getattr(_load(path), name)
        judgement = examine(step.exercise, found)
    except Exception as error:
        print(f"{name}: the reference version; {FILE} raised {type(error).__name__}: {error}")
        return _reference(name)
    if not judgement.passed:
        print(f"{name}: the reference version; that of {FILE} does not pass {step.exercise}")
        return _reference(name)
    own = found is not _reference(name)
    print(f"{name}: {f'yours, of {FILE}' if own else 'the reference version'}")
    return found


def _step_of(name: str) -> Step:
    if name not in STEPS:
        raise ValueError(f"a step of the scheduler is {', '.join(STEPS)}, got {name!r}")
    return STEPS[name]


def _reference(name: str) -> type[Any]:
    found: type[Any] = getattr(grown, name)
    return found


# -- The file --------------------------------------------------------------------


def _written(name: str, built: type[Any]) -> str:
    """Write a class into FILE; return where it is kept, or why it could not be."""
    source = _source_of(built)
    if source is None:
        return "but is not kept: its source was not found"
    path = Path(FILE)
    before = path.read_text("utf-8") if path.is_file() else None
    try:
        sources = {} if before is None else dict(_classes_in(before))
        sources[name] = source
        written = [sources[each] for each in STEPS if each in sources]
        path.write_text("\n\n".join([_HEAD, *(f"{each}\n" for each in written)]), "utf-8")
    except SyntaxError:
        return f"but is not kept: {FILE} is no Python; mend it or take it away"
    except OSError as error:
        return f"but is not kept: {FILE} cannot be written, {error.strerror}"
    if _loads(name):
        return f"and is kept in {FILE}"
    path.write_text(before, "utf-8") if before is not None else path.unlink()
    return "but is not kept: it needs something that is defined outside of the class"


def _loads(name: str) -> bool:
    try:
        return examine(STEPS[name].exercise, getattr(_load(Path(FILE)), name)).passed
    except Exception:
        return False


def _load(path: Path) -> ModuleType:
    """Run the file, and return it as a module whose source Python knows."""
    module = ModuleType(path.stem)
    module.__file__ = str(path.resolve())
    linecache.checkcache(module.__file__)
    sys.modules[path.stem] = module  # where inspect looks for the source of a class
    exec(compile(path.read_text("utf-8"), module.__file__, "exec"), vars(module))
    return module


def _classes_in(source: str) -> Iterator[tuple[str, str]]:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            yield node.name, "\n".join(lines[node.lineno - 1 : node.end_lineno])


def _source_of(built: type[Any]) -> str | None:
    """Return the source of a class, written in a file or in a notebook's cell; None: not found."""
    # A cell's classes are not found by inspect; its functions name the cell that they are in.
    functions = [each for each in vars(built).values() if inspect.isfunction(each)]
    for file in dict.fromkeys(each.__code__.co_filename for each in functions):
        try:
            found = dict(_classes_in("".join(linecache.getlines(file))))
        except SyntaxError:
            continue
        if built.__name__ in found:
            return found[built.__name__]
    return None
