"""What a lesson's cells define, to be tested outside the notebook."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fiberlab.lab.normal_form import read_notebook

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"


def defined_in(lesson: str, *names: str) -> SimpleNamespace:
    """Run a lesson's imports, and its definitions of these names; return all that they define."""
    [path] = NOTEBOOKS.glob(f"{lesson}_*.ipynb")
    space: dict[str, Any] = {"__name__": path.stem}
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "code":
            for node in ast.parse("".join(cell["source"])).body:
                wanted = getattr(node, "name", None) in names
                if wanted or isinstance(node, (ast.Import, ast.ImportFrom)):
                    module = ast.Module([node], type_ignores=[])
                    exec(compile(module, path.name, "exec"), space)
    return SimpleNamespace(**space)
