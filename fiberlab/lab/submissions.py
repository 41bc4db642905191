"""Submissions: what a class has handed in, made whole before nbgrader grades it.

    python -m fiberlab.lab.notebooks receive course 07_blocking_pitfalls

The rule kept here: what a student wrote is graded, whatever became of the cells around it. An
answer is known by its exercise's `check`, or by nbgrader's mark. It gets its mark, and behind it
the cell that grades it, as handed out. What was changed is told in a few words. What holds no
answer of this lesson is refused in one sentence, and left as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .normal_form import Cell, LessonError, Notebook, read_notebook, to_text, without_outputs

HANDED_IN = ".handed-in"
"""What the name of a file ends with when it has been put aside, as it came."""

_GRADES = "-grade"  # what the mark of a grading cell ends with
_CHECK = re.compile(r"""^check\(\s*["'](l\d\d-e\d+)["']""", re.MULTILINE)


class Received(NamedTuple):
    """What became of a submission.

    student: the name of the folder. refused: why it cannot be graded, in a sentence, or None.
    mended: what was put right, each in a few words.
    """

    student: str
    refused: str | None
    mended: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.refused is not None:
            return f"{self.student}: refused: {self.refused}"
        told = f"mended: {'; '.join(self.mended)}" if self.mended else "ready"
        return f"{self.student}: {told}"


def receive_submissions(course: str | Path, name: str) -> list[Received]:
    """Make what was handed in of a lesson ready for `nbgrader autograde`; return what became of it.

    course: nbgrader's folder. name: of the assignment. A file that is changed is kept beside, its
    name ending with HANDED_IN. Raises LessonError if the assignment was not generated.
    """
    course = Path(course)
    release = course / "release" / name / f"{name}.ipynb"
    if not release.is_file():
        raise LessonError(f"{release} is not there: nbgrader generate_assignment {name}")
    assignment = read_notebook(release)
    folders = sorted(path for path in course.glob(f"submitted/*/{name}") if path.is_dir())
    return [_receive(folder, name, assignment) for folder in folders]


def made_whole(handed_in: Notebook, assignment: Notebook) -> tuple[Notebook, list[str]]:
    """Return a notebook that nbgrader can grade, and what was put right in it.

    Raises LessonError if it has no answer of this assignment.
    """
    grading = {
        _mark(cell).removesuffix(_GRADES): cell for cell in assignment["cells"] if _grades(cell)
    }
    stubs = {_mark(cell): cell for cell in assignment["cells"] if _mark(cell) in grading}
    cells = handed_in["cells"]
    answers = _answers(cells, stubs)
    if not answers:
        raise LessonError(_no_answer(cells, list(grading)))
    whole: list[Cell] = []
    marks: list[Any] = []

    def add(cell: Cell, mark: Any = None) -> None:
        whole.append(_plain(cell))
        marks.append(mark)

    def add_answer(source: str, exercise: str) -> None:
        add(_code(source), stubs[exercise]["metadata"]["nbgrader"])
        add(grading[exercise], grading[exercise]["metadata"]["nbgrader"])

    for number, cell in enumerate(cells):
        here = [exercise for exercise, at in answers.items() if at == number]
        if here:
            add_answer(_source(cell), here[0])
            for exercise in here[1:]:
                add_answer("# answered in the cell above", exercise)
        elif not _grades(cell) and _source(cell) not in map(_source, stubs.values()):
            add(cell)
    for exercise in grading:
        if exercise not in answers:
            add_answer("# no cell with an answer", exercise)
    made = without_outputs({**assignment, "cells": whole})
    for cell, mark in zip(made["cells"], marks, strict=True):
        if mark is not None:
            cell["metadata"]["nbgrader"] = mark
    return made, list(_differences(cells, answers, grading))


# -- Cells --------------------------------------------------------------------


def _mark(cell: Cell) -> str:
    """Return nbgrader's name for a cell; empty if it has none."""
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = mark.get("grade_id") if isinstance(mark, dict) else None
    return name if isinstance(name, str) else ""


def _grades(cell: Cell) -> bool:
    return _mark(cell).endswith(_GRADES)


def _source(cell: Cell) -> str:
    return "".join(cell["source"])


def _answers(cells: list[Cell], stubs: dict[str, Cell]) -> dict[str, int]:
    """Return which cell answers which exercise; of several the last one that is not the stub."""
    found: dict[str, int] = {}
    for exercise, stub in stubs.items():
        claims = []
        for number, cell in enumerate(cells):
            checked = exercise in _CHECK.findall(_source(cell))
            if not _grades(cell) and (checked or _mark(cell) == exercise):
                claims.append((_source(cell) != _source(stub), checked, number))
        if claims:
            found[exercise] = max(claims)[-1]
    return found


def _differences(
    cells: list[Cell], answers: dict[str, int], grading: dict[str, Cell]
) -> Iterator[str]:
    """Yield what is another than nbgrader expects."""
    marks = [_mark(cell) for cell in cells]
    for exercise in grading:
        if exercise not in answers:
            yield f"{exercise} has no answer"
            continue
        cell = cells[answers[exercise]]
        if cell["cell_type"] != "code":
            yield f"the answer to {exercise} was text"
        if _mark(cell) != exercise:
            yield f"the answer to {exercise} had lost its mark"
        if (count := marks.count(exercise)) > 1:
            yield f"the answer to {exercise} was there {count} times"
        if (count := marks.count(exercise + _GRADES)) != 1:
            yield f"the cell that grades {exercise} was {'doubled' if count else 'missing'}"


def _no_answer(cells: list[Cell], exercises: list[str]) -> str:
    others = sorted({each for cell in cells for each in _CHECK.findall(_source(cell))})
    if others:
        return f"this is another lesson: it has {', '.join(others)}, not {exercises[0]}"
    return f"it has no answer: no cell ends with check({exercises[0]!r}, ...)"


def _code(source: str) -> Cell:
    return {"cell_type": "code", "metadata": {}, "source": source}


def _plain(cell: Cell) -> Cell:
    """Return a cell with its source and tags, and nothing else that may be damaged."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    kept = {"tags": tags} if isinstance(tags, list) else {}
    return {"cell_type": cell["cell_type"], "metadata": kept, "source": _source(cell)}


# -- Files --------------------------------------------------------------------


def _receive(folder: Path, name: str, assignment: Notebook) -> Received:
    student = folder.parent.name
    try:
        path = _handed_in(folder, name)
        notebook = _read(path)
        whole, mended = made_whole(notebook, assignment)
    except (LessonError, OSError) as error:
        return Received(student, str(error))
    place = folder / f"{name}.ipynb"
    if path != place:
        mended.append(f"the file was called {path.name}")
    if notebook["metadata"].get("kernelspec", {}).get("name") != "python3":
        mended.append("it was made for another kernel")
    text = to_text(whole)
    if path != place or path.read_text(encoding="utf-8", errors="replace") != text:
        path.replace(path.with_name(path.name + HANDED_IN))
        place.write_text(text, encoding="utf-8", newline="\n")
    return Received(student, None, tuple(mended))


def _handed_in(folder: Path, name: str) -> Path:
    """Return the file that holds the notebook; LessonError if it is not clear which one."""
    if (place := folder / f"{name}.ipynb").is_file():
        return place
    files = [each for each in sorted(folder.iterdir()) if each.is_file()]
    notebooks = [each for each in files if ".ipynb" in each.name and HANDED_IN not in each.name]
    if len(notebooks) == 1:
        return notebooks[0]
    told = ", ".join(each.name for each in files) or "nothing"
    raise LessonError(f"there is no {name}.ipynb, but {told}")


def _read(path: Path) -> Notebook:
    """Read a notebook as it came; LessonError, with what is wrong, if it is none."""
    data = path.read_bytes()
    if not data.strip():
        raise LessonError(f"{path.name} is empty")
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        held: Any = json.loads(text)
    except UnicodeDecodeError:
        raise LessonError(f"{path.name} is no text, and so no notebook") from None
    except (ValueError, RecursionError):
        kind = "is cut off" if text.lstrip().startswith("{") else "holds other text, no notebook"
        raise LessonError(f"{path.name} {kind}: have it saved and handed in again") from None
    if isinstance(held, dict) and isinstance(held.get("worksheets"), list):
        raise LessonError(
            f"{path.name} is of an old format: have it opened and saved in JupyterLab"
        )
    if not isinstance(held, dict) or not isinstance(held.get("cells"), list):
        raise LessonError(f"{path.name} is no notebook: it has no cells")
    for number, cell in enumerate(held["cells"], 1):
        if not _is_cell(cell):
            raise LessonError(f"{path.name} is damaged: cell {number} has no type or no source")
    metadata = held.get("metadata")
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    held["metadata"] = {"kernelspec": kernel} if isinstance(kernel, dict) else {}
    return held


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        return False
    source = cell.get("source")
    lines = source if isinstance(source, list) else [source]
    return all(isinstance(line, str) for line in lines)
