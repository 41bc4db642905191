"""Lessons as assignments: the exercises are the student's, the cells after them grade."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fiberlab.lab.assignment import as_assignment, last_check
from fiberlab.lab.notebooks import main

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def code(text: str) -> dict:
    return {"cell_type": "code", "metadata": {}, "source": text, "outputs": []}


def assignment(*texts: str) -> list[dict]:
    return as_assignment({"cells": [code(text) for text in texts]})["cells"]


def test_an_exercise_is_the_students_and_the_cell_after_it_grades():
    answer, grading = assignment('culprit = ...\ncheck("l07-e1", culprit, mystery)')

    about = {"locked": False, "grade": False, "solution": True, "grade_id": "l07-e1"}
    assert about.items() <= answer["metadata"]["nbgrader"].items()
    about = {"locked": True, "grade": True, "solution": False, "points": 1}
    assert about.items() <= grading["metadata"]["nbgrader"].items()
    assert "".join(grading["source"]) == (
        "from fiberlab.lab import examine\n\n"
        "found = examine('l07-e1', culprit, mystery)\n"
        "assert found.passed, str(found)"
    )


@pytest.mark.parametrize("text", ["x = 1", "check", "%matplotlib inline\n", "check = 3", ""])
def test_a_cell_without_an_exercise_stays_as_it_is(text):
    [cell] = assignment(text)

    assert cell["metadata"] == {}
    assert last_check(cell) is None


def test_the_command_writes_an_assignment_for_each_lesson_and_keeps_a_configuration(tmp_path):
    (tmp_path / "nbgrader_config.py").write_text("mine")

    assert main(["assign", str(NOTEBOOKS), str(tmp_path)]) == 0

    written = sorted(path.stem for path in tmp_path.glob("source/*/*.ipynb"))
    lessons = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    names = [
        cell["metadata"]["nbgrader"]["grade_id"]
        for path in tmp_path.glob("source/*/*.ipynb")
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if "nbgrader" in cell["metadata"]
    ]
    assert written == lessons
    assert len(names) == len(set(names)) > 0
    assert (tmp_path / "nbgrader_config.py").read_text() == "mine"


def test_a_course_without_a_configuration_gets_one_that_is_python(tmp_path):
    main(["assign", str(NOTEBOOKS / "07_blocking_pitfalls.ipynb"), str(tmp_path)])

    compile((tmp_path / "nbgrader_config.py").read_text(), "nbgrader_config.py", "exec")
