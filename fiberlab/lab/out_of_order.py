"""Out of order: a cell needs a name that a cell above it defines, and that one was not run.

    run_first("trace")      "run this cell above first: trace = record(echo, clients=8)"

The rule kept here: only what is found in the lesson's own notebook, or the sheet's, is said. Which
lesson it is follows from the modules it has imported; its file is in the kernel's current folder.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from . import lessons
from .normal_form import LessonError, read_notebook

_LESSON = re.compile(rf"{re.escape(lessons.__name__)}\.l(\d\d)_\w+")


def run_first(name: str) -> str | None:
    """Return which cell to run, so that a name is defined; None if no cell is known to do it."""
    for path in _notebooks():
        for statement in _statements(path):
            if name in _defined_by(statement):
                line = ast.unparse(statement).partition("\n")[0]
                shown = line if len(line) <= 70 else f"{line[:67]}..."
                return f"run this cell above first: {shown}"
    return None


def _notebooks() -> Iterator[Path]:
    """Yield the notebooks here of the lessons that this process has imported something of."""
    own = Path(os.environ.get("JPY_SESSION_NAME", "")).name  # Jupyter says so to the kernel
    for module in list(sys.modules):
        if (lesson := _LESSON.fullmatch(module)) is not None:
            here = sorted(Path().glob(f"{lesson[1]}_*.ipynb"))
            yield from [path for path in here if path.name == own] or here


def _statements(path: Path) -> Iterator[ast.stmt]:
    try:
        cells = read_notebook(path)["cells"]
    except (LessonError, OSError):
        return
    for cell in cells:
        if cell["cell_type"] == "code":
            try:
                yield from ast.parse("".join(cell["source"])).body
            except SyntaxError:  # a magic, or something half written
                continue


def _defined_by(statement: ast.stmt) -> set[str]:
    """Return the names that a statement of a cell defines outside of functions and classes."""
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {each.asname or each.name.partition(".")[0] for each in names}
    nodes = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    return {node.id for node in nodes if isinstance(node.ctx, ast.Store)}
