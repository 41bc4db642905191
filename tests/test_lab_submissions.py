"""What a class hands in: each is graded, whatever became of its cells, or refused in a sentence."""

from __future__ import annotations

import copy
import json

import pytest

from fiberlab.lab import check
from fiberlab.lab.assignment import as_assignment
from fiberlab.lab.normal_form import to_text
from fiberlab.lab.notebooks import main
from fiberlab.lab.submissions import HANDED_IN, receive_submissions

pytestmark = pytest.mark.once

NAME = "20_two_exercises"
ORDERS = """\
def orders(steps):
    {}


check("l16-e1", orders)"""
QUEUE = """\
class Bounded:
    def __init__(self, bound):
        self.bound, self.items, self.refused = bound, deque(), 0

    def offer(self, item):
        {}

    def take(self):
        return self.items.popleft()

    def __len__(self):
        return len(self.items)


check("l13-e1", Bounded)"""
STUB = "raise NotImplementedError  # your code"
COUNT = "return factorial(sum(steps)) // prod(factorial(each) for each in steps)"
OFFER = """\
if len(self.items) >= self.bound:
            self.refused += 1
            return False
        self.items.append(item)
        return True"""


def markdown(text: str) -> dict:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str) -> dict:
    return {
        "cell_type": "code",
        "metadata": {},
        "source": text,
        "outputs": [],
        "execution_count": None,
    }


LESSON = {
    "cells": [
        markdown("# Two exercises"),
        code("from collections import deque\nfrom math import factorial, prod"),
        code(ORDERS.format(STUB)),
        markdown("Next."),
        code(QUEUE.format(STUB)),
    ]
}
RELEASED = as_assignment(LESSON)
FIRST, SECOND = ("l16-e1", ORDERS.format(COUNT)), ("l13-e1", QUEUE.format(OFFER))


def at(notebook: dict, mark: str) -> int:
    """Return the number of the cell that nbgrader has marked so."""
    marks = [cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in notebook["cells"]]
    return marks.index(mark)


def solved() -> dict:
    """Return the assignment as somebody hands it in who has solved both exercises."""
    notebook = copy.deepcopy(RELEASED)
    for mark, source in (FIRST, SECOND):
        notebook["cells"][at(notebook, mark)]["source"] = source
    return notebook


@pytest.fixture
def course(tmp_path):
    """Return a course whose assignment has been generated."""
    place = tmp_path / "release" / NAME / f"{NAME}.ipynb"
    place.parent.mkdir(parents=True)
    place.write_text(to_text(RELEASED), "utf-8")
    return tmp_path


def hand_in(course, data: bytes, file: str = f"{NAME}.ipynb", student: str = "ann"):
    path = course / "submitted" / student / NAME / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def scores(course) -> dict[str, bool]:
    """Run what was received as nbgrader does, and return which grading cells pass."""
    path = course / "submitted" / "ann" / NAME / f"{NAME}.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    space: dict = {"check": check}
    found = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        try:
            exec("".join(cell["source"]), space)
            passed = True
        except Exception:
            passed = False
        if cell["metadata"].get("nbgrader", {}).get("grade"):
            mark = cell["metadata"]["nbgrader"]["grade_id"]
            assert mark not in found
            assert cell["source"] == RELEASED["cells"][at(RELEASED, mark)]["source"]
            found[mark] = passed
    return found


# -- Damaged, and graded ---------------------------------------------------------------


def whole(notebook):
    return ""


def grading_cell_deleted(notebook):
    del notebook["cells"][at(notebook, "l13-e1-grade")]
    return "the cell that grades l13-e1 was missing"


def grading_cell_doubled(notebook):
    number = at(notebook, "l13-e1-grade")
    notebook["cells"].insert(number, copy.deepcopy(notebook["cells"][number]))
    return "the cell that grades l13-e1 was doubled"


def grading_cell_changed(notebook):
    notebook["cells"][at(notebook, "l13-e1-grade")]["source"] = "pass"
    return ""


def grading_cell_before_its_answer(notebook):
    number = at(notebook, "l13-e1")
    cells = notebook["cells"]
    cells[number], cells[number + 1] = cells[number + 1], cells[number]
    return ""


def answer_doubled(notebook):
    number = at(notebook, "l13-e1")
    notebook["cells"].insert(number, copy.deepcopy(notebook["cells"][number]))
    return "the answer to l13-e1 was there 2 times"


def stub_left_behind_the_answer(notebook):
    number = at(notebook, "l13-e1")
    notebook["cells"].insert(number + 1, RELEASED["cells"][at(RELEASED, "l13-e1")])
    return "the answer to l13-e1 was there 2 times"


def answer_split(notebook):
    number = at(notebook, "l13-e1")
    first, _, second = SECOND[1].partition("\n\n\n")
    notebook["cells"][number]["source"] = second
    notebook["cells"].insert(number, code(first))
    return ""


def answer_split_and_its_mark_on_the_first_half(notebook):
    number = at(notebook, "l13-e1")
    first, _, second = SECOND[1].partition("\n\n\n")
    notebook["cells"][number]["source"] = first
    notebook["cells"].insert(number + 1, code(second))
    return "the answer to l13-e1 had lost its mark"


def both_answers_in_one_cell(notebook):
    first, second = at(notebook, "l16-e1"), at(notebook, "l13-e1")
    notebook["cells"][first]["source"] += "\n" + SECOND[1]
    del notebook["cells"][second]
    return "the answer to l13-e1 had lost its mark"


def answer_renamed(notebook):
    notebook["cells"][at(notebook, "l13-e1")]["metadata"]["nbgrader"]["grade_id"] = "mine"
    return "the answer to l13-e1 had lost its mark"


def grading_cell_renamed(notebook):
    notebook["cells"][at(notebook, "l13-e1-grade")]["metadata"]["nbgrader"]["grade_id"] = "x-grade"
    return "the cell that grades l13-e1 was missing"


def all_marks_lost(notebook):
    for cell in notebook["cells"]:
        cell["metadata"] = {}
    return "had lost its mark"


def answer_made_text(notebook):
    notebook["cells"][at(notebook, "l13-e1")]["cell_type"] = "markdown"
    return "the answer to l13-e1 was text"


def check_taken_out(notebook):
    cell = notebook["cells"][at(notebook, "l13-e1")]
    cell["source"] = cell["source"].replace('check("l13-e1", Bounded)', "")
    return ""


def another_kernel(notebook):
    notebook["metadata"]["kernelspec"] = {"name": "julia-1.10", "language": "julia"}
    return "it was made for another kernel"


def no_metadata(notebook):
    notebook["metadata"] = None
    return "it was made for another kernel"


def outputs_of_no_kind(notebook):
    for cell in notebook["cells"]:
        cell |= {"outputs": [{"output_type": "?"}], "execution_count": "many"}
    return ""


def one_id_for_all(notebook):
    for cell in notebook["cells"]:
        cell["id"] = "same"
    return ""


def sources_as_lists(notebook):
    for cell in notebook["cells"]:
        source = cell["source"]
        cell["source"] = source if isinstance(source, list) else source.splitlines(keepends=True)
    return ""


GRADED = [
    whole,
    grading_cell_deleted,
    grading_cell_doubled,
    grading_cell_changed,
    grading_cell_before_its_answer,
    answer_doubled,
    stub_left_behind_the_answer,
    answer_split,
    answer_split_and_its_mark_on_the_first_half,
    both_answers_in_one_cell,
    answer_renamed,
    grading_cell_renamed,
    all_marks_lost,
    answer_made_text,
    check_taken_out,
    another_kernel,
    no_metadata,
    outputs_of_no_kind,
    one_id_for_all,
    sources_as_lists,
]


@pytest.mark.parametrize("damage", GRADED, ids=lambda each: each.__name__)
def test_a_solved_assignment_has_its_points_whatever_became_of_its_cells(course, damage):
    notebook = solved()
    said = damage(notebook)
    hand_in(course, to_text(notebook).encode())

    [received] = receive_submissions(course, NAME)

    assert received.refused is None
    assert said in str(received)
    assert str(received).startswith("ann: mended: " if said else "ann: ready")
    assert scores(course) == {"l16-e1-grade": True, "l13-e1-grade": True}


def answer_deleted(notebook):
    del notebook["cells"][at(notebook, "l13-e1")]
    return "l13-e1 has no answer"


def answer_emptied(notebook):
    notebook["cells"][at(notebook, "l13-e1")]["source"] = ""
    return ""


def answer_that_is_no_python(notebook):
    notebook["cells"][at(notebook, "l13-e1")]["source"] = "class Bounded:\n  def"
    return ""


def answer_never_tried(notebook):
    notebook["cells"][at(notebook, "l13-e1")]["source"] = QUEUE.format(STUB)
    return ""


@pytest.mark.parametrize(
    "damage",
    [answer_deleted, answer_emptied, answer_that_is_no_python, answer_never_tried],
    ids=lambda each: each.__name__,
)
def test_an_answer_that_is_not_there_costs_its_own_point_only(course, damage):
    notebook = solved()
    said = damage(notebook)
    hand_in(course, to_text(notebook).encode())

    [received] = receive_submissions(course, NAME)

    assert said in str(received)
    assert scores(course) == {"l16-e1-grade": True, "l13-e1-grade": False}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_notebook_of_another_encoding_is_graded(course, encoding):
    hand_in(course, to_text(solved()).encode(encoding))

    assert str(*receive_submissions(course, NAME)) == "ann: ready"
    assert scores(course) == {"l16-e1-grade": True, "l13-e1-grade": True}


@pytest.mark.parametrize("file", [f"{NAME} (1).ipynb", f"{NAME}.ipynb.txt", "mine.ipynb"])
def test_a_notebook_of_another_name_is_graded(course, file):
    hand_in(course, to_text(solved()).encode(), file)

    assert str(*receive_submissions(course, NAME)) == f"ann: mended: the file was called {file}"
    assert scores(course) == {"l16-e1-grade": True, "l13-e1-grade": True}


def test_what_came_is_kept_beside_and_receiving_again_changes_nothing(course):
    notebook = solved()
    grading_cell_deleted(notebook)
    path = hand_in(course, to_text(notebook).encode())
    receive_submissions(course, NAME)
    once = path.read_bytes()

    assert str(*receive_submissions(course, NAME)) == "ann: ready"
    assert path.read_bytes() == once
    assert path.with_name(path.name + HANDED_IN).read_bytes() == to_text(notebook).encode()


# -- Refused ---------------------------------------------------------------------------

OTHER = to_text({"cells": [code('check("l03-e1", 3)'), code('check("l03-e2", f)')]})
TEXT = to_text(solved())


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("", f"{NAME}.ipynb is empty"),
        (TEXT[: len(TEXT) // 2], f"{NAME}.ipynb is cut off: have it saved and handed in again"),
        ("def orders(steps):\n", f"{NAME}.ipynb holds other text, no notebook: have it"),
        ("<!DOCTYPE html>", f"{NAME}.ipynb holds other text, no notebook: have it"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", f"{NAME}.ipynb is no text, and so no notebook"),
        ('{"a": 1}', f"{NAME}.ipynb is no notebook: it has no cells"),
        ("[]", f"{NAME}.ipynb is no notebook: it has no cells"),
        ("[" * 100_000, f"{NAME}.ipynb holds other text, no notebook"),
        ('{"worksheets": [{"cells": []}]}', f"{NAME}.ipynb is of an old format"),
        ('{"cells": []}', "it has no answer: no cell ends with check('l16-e1', ...)"),
        ('{"cells": [{"cell_type": "code"}]}', f"{NAME}.ipynb is damaged: cell 1 has no type or"),
        ('{"cells": [3]}', f"{NAME}.ipynb is damaged: cell 1 has no type or no source"),
        (OTHER, "this is another lesson: it has l03-e1, l03-e2, not l16-e1"),
    ],
)
def test_what_holds_no_answer_is_refused_in_one_sentence_and_left_alone(course, data, sentence):
    data = data if isinstance(data, bytes) else data.encode()
    path = hand_in(course, data)

    [received] = receive_submissions(course, NAME)

    assert str(received).startswith(f"ann: refused: {sentence}")
    assert "\n" not in str(received)
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("files", "told"),
    [((), "nothing"), (("notes.md",), "notes.md"), (("a.ipynb", "b.ipynb"), "a.ipynb, b.ipynb")],
)
def test_where_it_is_not_clear_which_file_it_is_none_is_taken(course, files, told):
    (course / "submitted" / "ann" / NAME).mkdir(parents=True)
    for file in files:
        hand_in(course, TEXT.encode(), file)

    assert str(*receive_submissions(course, NAME)) == (
        f"ann: refused: there is no {NAME}.ipynb, but {told}"
    )


# -- The command -----------------------------------------------------------------------


def test_the_command_tells_of_each_student_and_fails_if_one_was_refused(course, capsys):
    hand_in(course, TEXT.encode())
    first = main(["receive", str(course), NAME])
    hand_in(course, b"", student="ben")
    second = main(["receive", str(course), NAME])

    assert (first, second) == (0, 1)
    assert capsys.readouterr().out.splitlines() == [
        "ann: ready",
        "ann: ready",
        f"ben: refused: {NAME}.ipynb is empty",
    ]


def test_the_command_says_if_the_assignment_was_not_generated(tmp_path, capsys):
    assert main(["receive", str(tmp_path), NAME]) == 1
    assert f"is not there: nbgrader generate_assignment {NAME}" in capsys.readouterr().err


def test_an_assignment_that_was_not_handed_in_is_no_error(course, capsys):
    assert main(["receive", str(course), NAME]) == 0
    assert capsys.readouterr().out == f"nobody has handed in {NAME}\n"
