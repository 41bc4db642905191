"""The lessons' questions and exercises: solutions pass, misconceptions get a hint of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from fiberlab import RECV, SEND, WAIT
from fiberlab.lab import examine, record
from fiberlab.lab.lessons.l07 import (
    LIMIT,
    chain_length,
    check_spelling,
    look_up,
    who_is_late,
    write_log,
)
from fiberlab.lab.normal_form import read_notebook, to_text
from fiberlab.lab.notebooks import find_notebooks
from fiberlab.lab.notebooks import record as record_lesson

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
SOLUTIONS = find_notebooks([NOTEBOOKS / "solutions"])


class Recorded:
    """The records of a recording, as far as the question of lesson 07 needs them."""

    def __init__(self, *latencies: float) -> None:
        self.records = [_Record(n, seconds) for n, seconds in enumerate(latencies, 1)]


class _Record:
    def __init__(self, client: int, latency: float) -> None:
        self.client, self.latency = client, latency


# -- Lesson 07 -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latencies", "choice"),
    [
        ((0.001, 0.002, 0.001, 0.22), "a"),
        ((0.024, 0.025, 0.023, 0.22), "b"),
        ((0.11, 0.12, 0.10, 0.22), "c"),
        ((0.12, 0.24, 0.36, 0.22), "d"),
    ],
)
def test_who_is_late_follows_from_the_latencies(latencies, choice):
    assert who_is_late(Recorded(*latencies)) == choice


@pytest.fixture(scope="module")
def mystery():
    def find(sock, address):
        yield RECV(sock)
        while word := sock.recv(1024):
            word = look_up(check_spelling(word))
            write_log(word)
            yield SEND(sock)
            sock.send(word)
            yield RECV(sock)

    return record(find, [b"fiber", b"loop", b"zugzwang", b"fiber"])


LINE = next(
    number
    for number, line in enumerate(Path(__file__).read_text(encoding="utf-8").splitlines(), 1)
    if "word = look_up(" in line
)


@pytest.mark.live
@pytest.mark.parametrize("line", [LINE, str(LINE), f"<cell>:{LINE}"])
def test_the_culprit_is_accepted(mystery, line):
    assert examine("l07-e1", ("find-4", line), mystery).passed


@pytest.mark.live
@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (("find-2", LINE), "waiting long is what victims do"),
        (("find-4", LINE + 2), "where the step ended"),
        (("find-4", LINE - 1), "file and line on the long bar"),
    ],
)
def test_a_wrong_culprit_gets_a_hint_of_its_own(mystery, answer, hint):
    finding = examine("l07-e1", answer, mystery)

    assert not finding.passed
    assert hint in finding.hint


@pytest.mark.live
@pytest.mark.parametrize("answer", ["find-4", ("find-4",), ("find-4", None), 7, ("gone-9", 3)])
def test_an_answer_of_another_form_is_no_culprit(mystery, answer):
    finding = examine("l07-e1", answer, mystery)

    assert not finding.passed
    assert finding.attempted


def taking_turns(limit):
    best = longest = 0
    for number in range(1, limit):
        length = chain_length(number)
        if length > longest:
            best, longest = number, length
        yield WAIT(0)
    return best


def yielding_once(limit):
    yield WAIT(0)
    return max(range(1, limit), key=chain_length)


def not_yielding(limit):
    if limit < 0:
        yield
    WAIT(0)
    return max(range(1, limit), key=chain_length)


def sleeping(limit):
    for number in range(1, limit):
        chain_length(number)
        if number % 100 == 0:
            yield WAIT(0.001)
    return max(range(1, limit), key=chain_length)


def parking(limit):
    best = longest = 0
    for number in range(1, limit):
        length = chain_length(number)
        if length > longest:
            best, longest = number, length
        yield WAIT(None)
    return best


def another_number(limit):
    for number in range(1, limit):
        chain_length(number)
        yield WAIT(0)


def no_fiber(limit):
    return max(range(1, limit), key=chain_length)


def failing(limit):
    yield WAIT(0)
    raise ValueError("off by one")


def test_a_loop_that_takes_turns_passes():
    finding = examine("l07-e2", taking_turns)

    assert str(finding) == f"passed: {LIMIT} steps, none with more than 25% of the work"


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (yielding_once, "the yield belongs inside the loop"),
        (not_yielding, "WAIT(0) only makes a value"),
        (sleeping, "WAIT(0.01) also loses 10 ms"),
        (parking, "WAIT(0) is the wait for one's next turn"),
        (another_number, "a fiber's result is what it returns"),
        (no_fiber, "a call inside a fiber cannot yield for it"),
        (failing, "the traceback there names the line"),
    ],
)
def test_each_misconception_about_turns_gets_a_hint_of_its_own(answer, hint, capsys):
    finding = examine("l07-e2", answer)

    assert not finding.passed
    assert hint in finding.hint
    assert capsys.readouterr().out == ""


# -- Solutions, spliced into their lessons ---------------------------------------------


def last_line(cell) -> str:
    return "".join(cell["source"]).rstrip().rpartition("\n")[2]


@pytest.mark.live
@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
def test_each_solution_passes_in_its_lesson(path, tmp_path):
    solved = {last_line(cell): cell for cell in read_notebook(path)["cells"]}
    solved = {line: cell for line, cell in solved.items() if line.startswith("check(")}
    lesson = read_notebook(NOTEBOOKS / path.name)
    lesson["cells"] = [solved.get(last_line(cell), cell) for cell in lesson["cells"]]
    spliced = tmp_path / path.name
    spliced.write_text(to_text(lesson), encoding="utf-8")
    record_lesson(spliced)

    checks = [cell for cell in read_notebook(spliced)["cells"] if last_line(cell) in solved]
    told = ["".join(cell["outputs"][-1]["text"]) for cell in checks]
    assert len(told) == len(solved) > 0
    assert all(": passed" in each for each in told)
