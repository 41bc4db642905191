"""Grade a lesson with nbgrader: `make nbgrader`; ARGS= names lessons (07_blocking_pitfalls).

In an environment of its own: the assignment is generated, handed in, received and graded. One
student has tried nothing, one has solved the first exercise only, and one has solved all. Ten
others have solved all, too, and their files are damaged in ten ways; what is refused is not graded.
"""

from __future__ import annotations

import copy
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from fiberlab.lab.assignment import last_check  # noqa: E402
from fiberlab.lab.normal_form import Notebook, read_notebook, to_text  # noqa: E402
from fiberlab.lab.submissions import receive_submissions  # noqa: E402

SCORES = """
    select student.id, sum(grade.auto_score) from grade
    join submitted_notebook on grade.notebook_id = submitted_notebook.id
    join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id
    join student on submitted_assignment.student_id = student.id
    join notebook on submitted_notebook.notebook_id = notebook.id
    where notebook.name = ? group by student.id
"""


def main(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        venv.create(course / "env", with_pip=True)
        python = course / "env" / "bin" / "python"
        run(python, "-m", "pip", "install", "-q", "nbgrader", f"{ROOT}[lessons,replicator]")
        run(python, "-m", "fiberlab.lab.notebooks", "assign", ROOT / "notebooks", course)
        for name in names:
            grade(python, course, name)
    print("nbgrader check: all passed")


def grade(python: Path, course: Path, name: str) -> None:
    run(python, "-m", "nbgrader", "generate_assignment", name, cwd=course)
    released = read_notebook(course / "release" / name / f"{name}.ipynb")
    solutions = read_notebook(ROOT / "notebooks" / "solutions" / f"{name}.ipynb")
    solved = {key: cell for cell in solutions["cells"] if (key := exercise(cell))}
    first = dict(list(solved.items())[:1])
    whole = handed_in(released, solved)
    texts = {
        "nothing": to_text(handed_in(released, {})),
        "first": to_text(handed_in(released, first)),
        "solved": to_text(whole),
    }
    expected = {"nothing": 0.0, "first": 1.0, "solved": float(len(solved))}
    for student, (text, score) in damaged(whole, len(solved)).items():
        texts[student] = text
        if score is not None:
            expected[student] = float(score)
    for student, text in texts.items():
        place = course / "submitted" / student / name / f"{name}.ipynb"
        place.parent.mkdir(parents=True)
        place.write_text(text, encoding="utf-8")
    received = receive_submissions(course, name)
    print(*received, sep="\n")
    for each in received:
        if each.refused:
            shutil.rmtree(course / "submitted" / each.student)
    run(python, "-m", "nbgrader", "autograde", name, "--create", cwd=course)
    with sqlite3.connect(course / "gradebook.db") as gradebook:
        scores = dict(gradebook.execute(SCORES, [name]))
    if scores != expected:
        sys.exit(f"nbgrader check: {name} gave {scores}, expected {expected}")
    print(f"{name}: {scores}")


def damaged(whole: Notebook, points: int) -> dict[str, tuple[str, int | None]]:
    """Return ten damaged files with their scores; None for one that is refused."""
    marks = [cell["metadata"].get("nbgrader", {}) for cell in whole["cells"]]
    answers = [n for n, mark in enumerate(marks) if mark.get("solution")]
    grading = [n for n, mark in enumerate(marks) if mark.get("grade")]

    def changed(numbers: list[int], change: Callable[[dict], list[dict]]) -> Notebook:
        cells = []
        for number, cell in enumerate(copy.deepcopy(whole["cells"])):
            cells += change(cell) if number in numbers else [cell]
        return {**whole, "cells": cells}

    every = list(range(len(marks)))
    endless = {"source": "while True:\n    pass"}
    empty = {"source": "", "metadata": {}}
    other = {"cell_type": "code", "metadata": {}, "source": "check('l99-e1', 3)"}
    kernel = {**whole, "metadata": {"kernelspec": {"name": "julia-1.10", "language": "julia"}}}
    text = to_text(whole)
    return {
        "deleted": (to_text(changed(grading, lambda cell: [])), points),
        "doubled": (to_text(changed(answers, lambda cell: [cell, cell])), points),
        "unmarked": (to_text(changed(every, lambda cell: [{**cell, "metadata": {}}])), points),
        "astext": (
            to_text(changed(answers, lambda cell: [{**cell, "cell_type": "markdown"}])),
            points,
        ),
        "kernel": (to_text(kernel), points),
        "endless": (to_text(changed(answers[:1], lambda cell: [{**cell, **endless}])), points - 1),
        "emptied": (to_text(changed(answers, lambda cell: [{**cell, "source": ""}])), 0),
        "outputs": (to_text(changed(every, lambda cell: [{**cell, **empty}])), None),
        "cut": (text[: len(text) // 2], None),
        "other": (to_text({**whole, "cells": [other]}), None),
    }


def handed_in(released: Notebook, solved: dict[str, dict]) -> Notebook:
    """Return the assignment with some exercises solved."""
    cells = []
    for cell in released["cells"]:
        mine = solved.get(exercise(cell))
        cells.append(cell if mine is None else {**cell, "source": mine["source"]})
    return {**released, "cells": cells}


def exercise(cell: dict) -> str:
    """Return the id of the exercise that a cell holds; empty for any other cell."""
    call = last_check(cell)
    return "" if call is None else call.args[0].value


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    # nbgrader calls a tool of its environment by its bare name.
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "JUPYTER_PREFER_ENV_PATH": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nnbgrader check: {command[2:5]} failed")


if __name__ == "__main__":
    main(sys.argv[1:] or ["07_blocking_pitfalls"])
