"""What the cells of a lesson and of its optional sheets hold, to be tested outside of them."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fiberlab.lab.normal_form import Cell, read_notebook

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def code_cells(lesson: str, folder: Path = NOTEBOOKS) -> list[Cell]:
    """Return the cells of code of a lesson, by its two digits, and after it those of its sheets."""
    name = f"{lesson}_*.ipynb"
    paths = [*sorted(folder.glob(name)), *sorted((folder / "more").glob(name))]
    cells = [cell for path in paths for cell in read_notebook(path)["cells"]]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def last_line(cell: Cell) -> str:
    """Return the line with which a cell ends: where it is `check(...)`, the exercise's."""
    return "".join(cell["source"]).rstrip().rpartition("\n")[2]


def defined_in(lesson: str, *names: str) -> SimpleNamespace:
    """Run a lesson's imports, and its definitions of these names; return all that they define."""
    space: dict[str, Any] = {"__name__": f"lesson {lesson}"}
    for cell in code_cells(lesson):
        for node in ast.parse("".join(cell["source"])).body:
            wanted = getattr(node, "name", None) in names
            if wanted or isinstance(node, (ast.Import, ast.ImportFrom)):
                module = ast.Module([node], type_ignores=[])
                exec(compile(module, f"lesson {lesson}", "exec"), space)
    return SimpleNamespace(**space)
