"""A lesson as an assignment for nbgrader, graded by the lesson's own checks.

The rule kept here: a lesson stays the one source. Its assignment has the same cells, each exercise
marked as the student's to fill in, and after it a locked cell that fails unless the exercise's
check passes; nbgrader then gives the point.

    python -m fiberlab.lab.notebooks assign notebooks course

makes ``course/source/NN_topic/NN_topic.ipynb`` and ``course/nbgrader_config.py``. This module
knows nbgrader's metadata (its schema 3), and does not need nbgrader.
"""

from __future__ import annotations

import ast
import copy
from typing import Any

from .normal_form import Cell, Notebook, without_outputs

CONFIG = '''\
"""For nbgrader: a course of fiberlab's lessons, in which each exercise is graded by its check."""

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "fiberlab"
# The stubs are the lesson's own. Left as it is, nbgrader would put an empty cell in their place.
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.LockCells",
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.CheckCellMetadata",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",
]
c.ExecutePreprocessor.timeout = 60
'''
"""The configuration that such a course needs."""

POINTS = 1


def as_assignment(lesson: Notebook) -> Notebook:
    """Return a lesson, without outputs, with what nbgrader has to know of its exercises."""
    plain = without_outputs(lesson)
    cells: list[Cell] = []
    for cell in plain["cells"]:
        call = last_check(cell)
        cells.append(cell)
        if call is not None:
            exercise = ast.literal_eval(call.args[0])
            cell["metadata"]["nbgrader"] = _about(exercise, solution=True)
            cells.append(_grading_cell(exercise, call))
    return {**plain, "cells": cells}


def last_check(cell: Cell) -> ast.Call | None:
    """Return the call of `check` with which a cell of an exercise ends; None for other cells."""
    if cell["cell_type"] != "code":
        return None
    try:
        body = ast.parse("".join(cell["source"])).body
    except SyntaxError:  # a magic, or a line that is wrong on purpose
        return None
    match body[-1:]:
        case [ast.Expr(value=ast.Call(func=ast.Name(id="check")) as call)]:
            return call
    return None


def _grading_cell(exercise: str, call: ast.Call) -> Cell:
    examined = copy.deepcopy(call)
    examined.func = ast.Name(id="examine")
    source = (
        "from fiberlab.lab import examine\n\n"
        f"found = {ast.unparse(examined)}\n"
        "assert found.passed, str(found)"
    )
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"grade-{exercise}",
        "metadata": {"nbgrader": _about(f"{exercise}-grade", solution=False, points=POINTS)},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }


def _about(name: str, *, solution: bool, **more: Any) -> dict[str, Any]:
    return {
        "grade": not solution,
        "grade_id": name,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
        **more,
    }
