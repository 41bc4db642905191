"""Predictions and exercises: what a learner says, held against what was recorded.

The rule kept here: an answer is judged by properties of a run, never by its printed text, and
what is found says what was seen and what was expected. A question that was not answered and an
exercise that was not tried print one line, always the same.

The questions and exercises are data, in a folder of ``fiberlab.lab.lessons`` for each lesson:
``l07-q1`` is one of the QUESTIONS of ``lessons/l07_blocking_pitfalls``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from types import EllipsisType
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


# -- Predictions --------------------------------------------------------------


@dataclass
class Predictions:
    """What one learner has predicted: the choice for each question's id."""

    choices: dict[str, str] = field(default_factory=dict)

    def predict(self, question: str, choice: str | EllipsisType) -> str:
        """Keep a choice and return the line that says so; ... takes it back.

        Raises KeyError for a question that is not known, ValueError for such a choice.
        """
        asked = find_question(text("predict(question)", question))
        if choice is ...:
            self.choices.pop(question, None)
            letters = _either([repr(letter) for letter in asked.choices])
            return f"{question}: not answered yet; put {letters} in place of the dots"
        if not isinstance(choice, str) or choice.strip().lower() not in asked.choices:
            raise ValueError(f"{question} has the choices {_either(asked.choices)}, got {choice!r}")
        letter = self.choices[question] = choice.strip().lower()
        return f"{question}: you predict ({letter}) {asked.choices[letter]}"

    def reveal(self, question: str, recorded: Any) -> str:
        """Return the prediction held against what was recorded, in a few lines.

        Raises ValueError for what is no recording that the question could be answered by.
        """
        asked = find_question(text("reveal(question)", question))
        outcome = _outcome(asked, recorded)
        recorded = f"recorded:  ({outcome}) {asked.choices[outcome]}"
        choice = self.choices.get(question)
        if choice is None:
            return f"{question}: no prediction\n{recorded}"
        lines = [f"predicted: ({choice}) {asked.choices[choice]}", recorded]
        if choice == outcome:
            lines.append("The recording bears you out.")
        elif choice in asked.wrong:
            lines.append(asked.wrong[choice])
        return "\n".join([f"{question}:", *lines])

    def reset(self) -> None:
        """Forget every choice."""
        self.choices.clear()


PREDICTIONS = Predictions()
"""The predictions of this process, which is one learner's notebook."""


def predict(
    question: str, choice: str | EllipsisType, *, predictions: Predictions = PREDICTIONS
) -> None:
    """Keep the choice for a question, and print it: ``predict("l07-q1", "a")``.

    choice: a letter; ... says that it is not answered yet.
    """
    print(predictions.predict(question, choice))


def reveal(question: str, recorded: Any, *, predictions: Predictions = PREDICTIONS) -> None:
    """Print what was predicted, and what the recording says to it.

    recorded: what the question is about, such as the trace.
    """
    print(predictions.reveal(question, recorded))


def _outcome(asked: Question, recorded: Any) -> str:
    empty = isinstance(recorded, Sized) and len(recorded) == 0 and not asked.may_be_empty
    if not empty:
        try:
            return asked.outcome(recorded)
        except (LookupError, TypeError, ValueError, AttributeError, StopIteration):
            pass  # it is something else than the lesson records
    what = "nothing in it" if empty else f"{type(recorded).__name__} given, which tells nothing"
    raise ValueError(
        f"reveal({asked.id!r}, ...): {what}; run the cells from the prediction to here first"
    )


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


def _either(letters: Any) -> str:
    *first, last = letters
    return f"{', '.join(first)} or {last}"
