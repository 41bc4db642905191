"""check and examine: an answer is judged, and what was found is said."""

from __future__ import annotations

import pytest

from fiberlab import WAIT
from fiberlab.lab import (
    Exercise,
    Judgement,
    check,
    examine,
    exercises,
)
from fiberlab.lab.exercises import find_exercise, find_question
from fiberlab.lab.lessons import l07_blocking_pitfalls as l07


@pytest.fixture
def exercise(monkeypatch):
    """Let an exercise "l07-x" be judged by the function that is given."""

    def make(judge):
        monkeypatch.setattr(l07, "EXERCISES", (Exercise("l07-x", "Do it.", judge),))

    return make


def test_an_answer_is_passed_on_with_what_was_given(exercise):
    exercise(lambda answer, *given: Judgement(answer == 1 and given == (2, 3)))

    assert examine("l07-x", 1, 2, 3) == Judgement(True)


@pytest.mark.parametrize("answer", [..., ("echo-2", ...), [..., 3]])
def test_dots_were_not_attempted(exercise, answer, capsys):
    exercise(lambda answer: Judgement(True))
    check("l07-x", answer)

    assert capsys.readouterr().out == "l07-x: not attempted yet\n"


def test_a_stub_was_not_attempted(exercise, capsys):
    def stub():
        raise NotImplementedError

    exercise(lambda answer: answer())
    check("l07-x", stub)

    assert capsys.readouterr().out == "l07-x: not attempted yet\n"


def test_what_an_answer_raises_is_what_was_seen(exercise):
    def judge(answer):
        return answer["none"]

    exercise(judge)

    judgement = examine("l07-x", {})
    assert not judgement.passed
    line = judge.__code__.co_firstlineno + 1
    assert judgement.seen == (
        f"your answer raised KeyError: 'none', at test_lab_exercises.py:{line}, in judge"
    )


@pytest.mark.parametrize("ends", [SystemExit, GeneratorExit, pytest.fail.Exception])
def test_whatever_class_an_answer_raises_is_what_was_seen(exercise, ends):
    def answer():
        raise ends("so it was")

    exercise(lambda answer: answer())

    line = answer.__code__.co_firstlineno + 1
    assert examine("l07-x", answer).seen == (
        f"your answer raised {ends.__name__}: so it was, at test_lab_exercises.py:{line}, in answer"
    )


def test_an_interrupt_of_the_learners_own_is_passed_on(exercise):
    def answer():
        raise KeyboardInterrupt

    exercise(lambda answer: answer())

    with pytest.raises(KeyboardInterrupt):
        examine("l07-x", answer)


@pytest.mark.live
def test_an_answer_that_never_ends_is_interrupted_and_its_line_told(exercise):
    def answer():
        while True:
            pass

    exercise(lambda answer: answer())
    finding = examine("l07-x", answer, within=0.2)

    assert not finding.passed
    assert finding.seen.startswith(
        "after 0.2 s your answer was interrupted: it was still at work at test_lab_exercises.py:"
    )
    assert finding.seen.endswith(", in answer")


@pytest.mark.live
def test_an_answer_whose_fiber_never_yields_or_spins_is_told_with_fiber_and_line():
    def stuck(limit):
        yield WAIT(0)
        while True:
            pass

    def spinning(limit):
        while True:
            yield WAIT(0)

    held, spins = (examine("l07-e2", each, within=0.5).seen for each in (stuck, spinning))
    here = "at test_lab_exercises.py:"
    assert f"fiber yours has not yielded {here}" in held
    line = spinning.__code__.co_firstlineno + 2
    assert f"fiber yours spins: it is resumed again and again {here}{line}, in spinning" in spins


@pytest.mark.parametrize(("within", "error"), [("1", TypeError), (0, ValueError), (-1, ValueError)])
def test_a_wrong_time_limit_is_refused(exercise, within, error):
    exercise(lambda answer: Judgement(True))

    with pytest.raises(error, match="within"):
        examine("l07-x", 1, within=within)


@pytest.mark.parametrize("name", [None, 7, ["l07-q1"], b"l07-q1"])
def test_an_id_that_is_no_text_is_refused(name):
    with pytest.raises(TypeError, match=r"check\(exercise\) needs text in quotes"):
        check(name, 3)


def test_a_judgement_tells_what_was_seen_what_was_expected_and_a_hint(exercise, capsys):
    exercise(lambda answer: Judgement(False, "two", "one", "take one away"))
    check("l07-x", 2)

    assert capsys.readouterr().out.splitlines() == [
        "l07-x: not yet",
        "  seen:     two",
        "  expected: one",
        "  hint:     take one away",
    ]


@pytest.mark.parametrize(
    ("find", "name", "words"),
    [
        (find_question, "l07-q9", "'l07-q9' is not known; the lesson 'l07' has l07-q1"),
        (find_exercise, "l07-e9", "has l07-e1, l07-e2"),
        (find_exercise, "l99-e1", "the lesson 'l99' has no exercises"),
        (find_exercise, "", "the lesson '' has no exercises"),
        (find_exercise, "../x-e1", "has no exercises"),
    ],
)
def test_an_id_that_is_not_known_is_told_with_those_that_are(find, name, words):
    with pytest.raises(KeyError, match=words):
        find(name)


def test_a_broken_lesson_module_is_not_taken_for_a_missing_one(monkeypatch):
    def fail(name):
        raise ModuleNotFoundError("No module named 'other'", name="other")

    monkeypatch.setattr(exercises.importlib, "import_module", fail)
    with pytest.raises(ModuleNotFoundError, match="other"):
        find_exercise("l07-e1")
