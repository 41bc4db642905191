"""Questions and exercises: what a learner is asked, and how an answer is judged.

The rule kept here: an answer is judged by properties of a run, never by its printed text, and
what is found says what was seen and what was expected. An exercise that was not tried prints one
line, always the same. What becomes of a prediction is in ``predictions``.

The questions and exercises are data, in a folder of ``fiberlab.lab.lessons`` for each lesson:
``l07-q1`` is one of the QUESTIONS of ``lessons/l07_blocking_pitfalls``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import lessons
from .arguments import positive, text
from .limits import Limit
from .mistakes import Form, Mistake, misshapen, no_generator, noting, stub_left, told

CHECK_SECONDS = 10.0
"""How long an answer may be examined; a few are examined in real time, which takes a second."""

TO_ITS_END = "an answer that runs to its end"


@dataclass(frozen=True)
class Question:
    """A question to be answered before a cell is run.

    choices: what may be answered, by letter. wrong: for each wrong choice, the misconception
    behind it and the cell that refutes it. outcome: from what was recorded to the choice that
    it bears out. may_be_empty: whether a recording with nothing in it says something.
    """

    id: str
    text: str
    choices: Mapping[str, str]
    wrong: Mapping[str, str]
    outcome: Callable[[Any], str]
    may_be_empty: bool = False


@dataclass(frozen=True)
class Judgement:
    """What an answer was found to be; its `str` is what `check` prints after the exercise's id.

    seen, expected: of an answer that did not pass. hint: where to look next.
    """

    passed: bool
    seen: str = ""
    expected: str = ""
    hint: str = ""
    attempted: bool = True

    def __str__(self) -> str:
        if not self.attempted:
            return "not attempted yet"
        if self.passed:
            return f"passed: {self.seen}" if self.seen else "passed"
        text = f"not yet\n  seen:     {self.seen}\n  expected: {self.expected}"
        return f"{text}\n  hint:     {self.hint}" if self.hint else text


@dataclass(frozen=True)
class Exercise:
    """Something to be done, and what judges it.

    judge: called with the answer and whatever else `check` was given; NotImplementedError out
    of it means that the answer is still the stub. form: what an answer has to be; None: the judge
    sees to it. given: how many statements the stub has before its `raise`.
    """

    id: str
    text: str
    judge: Callable[..., Judgement]
    form: Form | None = None
    given: int = 0


# -- Exercises ----------------------------------------------------------------


def check(exercise: str, answer: Any, *given: Any, within: float = CHECK_SECONDS) -> None:
    """Judge an answer and print what was found: ``check("l07-e1", culprit, trace)``.

    given: what else the exercise is about. within: seconds after which an answer is interrupted.
    """
    print(f"{exercise}: {examine(exercise, answer, *given, within=within)}")


def examine(exercise: str, answer: Any, *given: Any, within: float = CHECK_SECONDS) -> Judgement:
    """Judge an answer and return what was found; see `check`.

    An answer that is ..., holds a ..., or raises NotImplementedError was not attempted; what
    else it raises is what was seen. Raises KeyError for an exercise that is not known.
    """
    asked = find_exercise(text("check(exercise)", exercise))
    if answer is ... or (isinstance(answer, (tuple, list)) and any(x is ... for x in answer)):
        return Judgement(False, attempted=False)
    form, made = asked.form, list[Any]()
    if form is not None and (mistake := misshapen(form, answer)) is not None:
        return _wrong(mistake)
    judged = answer if form is None else noting(form, answer, made)
    with Limit(positive("within", within)) as limit:
        try:
            found = asked.judge(judged, *given)
        except NotImplementedError:
            mistake = stub_left(answer, asked.given)
            found = _wrong(mistake) if mistake else Judgement(False, attempted=False)
        except KeyboardInterrupt:
            raise  # the learner's, or the limit's
        except BaseException as error:
            found = _wrong(told(error, form, made[-1] if made else answer))
        if form is not None and form.kind == "fiber" and made and not found.passed:
            found = _wrong(no_generator(made[0]))
    if limit.reached is not None:
        found = Judgement(
            False,
            seen=f"after {within:g} s your answer was interrupted: {limit.reached}",
            expected=TO_ITS_END,
            hint="what ends the loop there, and what gives the others a turn?",
        )
    return found


def _wrong(mistake: Mistake) -> Judgement:
    return Judgement(False, *mistake)


# -- Where they are -----------------------------------------------------------


def find_question(question: str) -> Question:
    """Return the question with this id; KeyError with the ids there are if there is none."""
    found: Question = _find(question, "QUESTIONS")
    return found


def find_exercise(exercise: str) -> Exercise:
    """Return the exercise with this id; KeyError with the ids there are if there is none."""
    found: Exercise = _find(exercise, "EXERCISES")
    return found


def _find(name: str, table: str) -> Any:
    lesson = name.partition("-")[0]
    known: list[Any] = []
    for folder in pkgutil.iter_modules(lessons.__path__):
        if folder.name.partition("_")[0] == lesson:
            module = importlib.import_module(f"{lessons.__name__}.{folder.name}")
            known = list(getattr(module, table))
    for each in known:
        if each.id == name:
            return each
    what = table.lower()
    there = ", ".join(each.id for each in known) or f"no {what}"
    raise KeyError(f"{name!r} is not known; the lesson {lesson!r} has {there}")
