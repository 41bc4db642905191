"""keep and kept: a student's scheduler from lesson to lesson, in a small file."""

from __future__ import annotations

import linecache
import sys
from collections import deque

import pytest
from cells import NOTEBOOKS, code_cells
from test_grown import four_under, moves

from fiberlab.lab import keep, kept, show_source
from fiberlab.lab.handed_on import STEPS
from fiberlab.lab.lessons.l08_scheduler_read_whole import four_fibers
from fiberlab.lab.shared import grown

GOOD = """\
class Turns:
    def __init__(self):
        self.queue = deque()
    def add(self, fiber):
        self.queue.append(fiber)
    def run(self):
        while self.queue:
            self.run_ready()
    def run_ready(self):
        for _ in range(len(self.queue)):
            self.turn(self.queue.popleft())
    def turn(self, fiber):
        try:
            self.park(fiber, next(fiber))
        except StopIteration:
            pass
    def park(self, fiber, wait):
        self.queue.append(fiber)
"""
PASS = "for _ in range(len(self.queue)):\n            self.turn(self.queue.popleft())"
STUB = GOOD.replace(PASS, "raise NotImplementedError")
WRONG = GOOD.replace("popleft", "pop")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_scheduler", raising=False)


def written(source, name="Turns", **names):
    """Return a class as a notebook's cell defines it: its source is known by the code's file."""
    file = f"<cell {hash(source)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    space = {"deque": deque, **names}
    exec(compile(source, file, "exec"), space)
    return space[name]


def test_a_class_that_passes_is_kept_and_is_taken_up_by_a_later_lesson(tmp_path, capsys):
    mine = written(GOOD)

    assert keep(mine) is mine
    assert kept("Turns").__module__ == "my_scheduler"
    assert capsys.readouterr().out.splitlines() == [
        "Turns: yours goes on, and is kept in my_scheduler.py",
        "Turns: yours, of my_scheduler.py",
    ]
    assert GOOD.rstrip() in (tmp_path / "my_scheduler.py").read_text("utf-8")


def test_the_solutions_are_handed_on_and_make_the_events_of_the_real_scheduler():
    for lesson in ("02", "05", "06"):
        space = {}
        for cell in code_cells(lesson, NOTEBOOKS / "solutions"):
            source = "".join(cell["source"])
            file = f"<cell {hash(source)}>"
            linecache.cache[file] = (len(source), None, source.splitlines(True), file)
            step = next((name for name in STEPS if f"class {name}" in source), None)
            if "import" in source or step is not None:
                exec(compile(source, file, "exec"), space)
            if step is not None:
                assert keep(space[step]) is space[step]

    assert kept("Parks").__mro__[3].__module__ == "my_scheduler"
    assert moves(four_under(kept("Parks"))) == moves(four_fibers())


def test_the_source_of_a_class_that_was_kept_can_be_shown(capsys):
    keep(written(GOOD))

    assert show_source(kept("Turns")).text == GOOD.rstrip()


@pytest.mark.parametrize(
    ("source", "said"), [(STUB, "is not written yet"), (WRONG, "has not passed its check")]
)
def test_a_class_that_does_not_pass_gives_place_to_the_reference(source, said, tmp_path, capsys):
    assert keep(written(source)) is grown.Turns
    assert capsys.readouterr().out == (
        f"Turns: yours {said}; the lesson goes on with the reference version\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_sheet_finds_what_a_lesson_kept_in_the_folder_above(tmp_path, monkeypatch):
    keep(written(GOOD))
    (tmp_path / "more").mkdir()
    monkeypatch.chdir(tmp_path / "more")

    assert kept("Turns").__module__ == "my_scheduler"


def test_where_nothing_is_kept_a_lesson_begins_with_the_reference(capsys):
    assert kept("Parks") is grown.Parks
    assert capsys.readouterr().out == (
        "Parks: the reference version; you build your own in lesson 06\n"
    )


def test_a_step_that_was_skipped_is_the_references_also_beside_one_that_was_built(capsys):
    keep(written(GOOD))
    capsys.readouterr()

    assert kept("Sockets") is grown.Sockets
    assert capsys.readouterr().out == "Sockets: the reference version\n"


def test_each_step_is_kept_above_those_that_are_built_on_it(tmp_path, capsys):
    (tmp_path / "my_scheduler.py").write_text("class Sockets:\n    pass\n", "utf-8")
    keep(written(GOOD))
    text = (tmp_path / "my_scheduler.py").read_text("utf-8")

    assert text.index("class Turns") < text.index("class Sockets")


def test_a_class_is_kept_once_in_its_last_form(tmp_path):
    keep(written(GOOD))
    keep(written(GOOD.replace("_ in", "number in")))
    text = (tmp_path / "my_scheduler.py").read_text("utf-8")

    assert (text.count("class Turns"), text.count("number in")) == (1, 1)


def test_a_class_that_needs_the_rest_of_its_notebook_is_not_kept(tmp_path, capsys):
    mine = written(GOOD.replace("deque()", "make()"), make=deque)

    assert keep(mine) is mine
    assert capsys.readouterr().out == (
        "Turns: yours goes on, but is not kept: it needs something that is defined outside of the "
        "class\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_class_without_a_source_goes_on_and_is_not_kept(capsys):
    mine = written(GOOD)
    del linecache.cache[mine.run.__code__.co_filename]

    assert keep(mine) is mine
    assert "its source was not found" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["no python at all", "raise ValueError('mine')", WRONG])
def test_a_file_that_was_damaged_gives_place_to_the_reference(text, tmp_path, capsys):
    (tmp_path / "my_scheduler.py").write_text(f"from collections import deque\n{text}\n", "utf-8")

    assert kept("Turns") is grown.Turns
    assert capsys.readouterr().out.startswith("Turns: the reference version; ")


def test_a_damaged_file_is_left_as_it_is(tmp_path, capsys):
    (tmp_path / "my_scheduler.py").write_text("no python at all", "utf-8")
    keep(written(GOOD))

    assert (tmp_path / "my_scheduler.py").read_text("utf-8") == "no python at all"
    assert "mend it or take it away" in capsys.readouterr().out


def test_a_file_that_cannot_be_written_costs_a_sentence(monkeypatch, capsys):
    def refuse(*_given):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    mine = written(GOOD)

    assert keep(mine) is mine
    assert "my_scheduler.py cannot be written, Permission denied" in capsys.readouterr().out


def test_keeping_the_reference_keeps_nothing(tmp_path, capsys):
    assert keep(grown.Turns) is grown.Turns
    assert "run the cell of your own class first" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", [lambda: kept("Toy"), lambda: keep(int), lambda: keep("Turns")])
def test_what_is_no_step_is_refused_with_the_steps(call):
    with pytest.raises(ValueError, match="is Turns, Sockets, Sleeps, Parks, got"):
        call()
