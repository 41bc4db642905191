"""Predictions: what a learner believes before a cell is run, and what the recording says to it.

The rule kept here: a question that was not answered prints one line, always the same, and leaves
nothing behind. In a notebook a prediction is kept in PREDICTIONS_FILE, beside the lesson, until the
end of the course: the letter that was predicted and the one that was recorded, no name and no time.
What is predicted after the answer was shown is not kept. Where the file cannot be written, one
sentence says so.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sized
from dataclasses import dataclass, field
from pathlib import Path
from types import EllipsisType
from typing import Any

from .arguments import text
from .exercises import Question, find_question
from .shared.concepts import Shown

PREDICTIONS_FILE = "predictions.json"
"""The file in the folder of the lessons; ``misconceptions`` gathers those of a class."""

ABOUT = (
    "What a learner of fiberlab's lessons predicted, and what was recorded: letters, by question; "
    "nothing else. Delete this file to forget it."
)


class PredictionsError(ValueError):
    """A file that holds no predictions; the message names it and says what is wrong."""


@dataclass
class Kept:
    """One question's letters: what was predicted, and what was recorded; None: not yet."""

    predicted: str
    recorded: str | None


@dataclass
class Predictions:
    """What one learner has predicted: the choice for each question's id.

    outcomes: for each question whose answer has been shown, the choice that was recorded.
    """

    choices: dict[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)

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
        outcome = self.outcomes[question] = _outcome(asked, recorded)
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
        self.outcomes.clear()


PREDICTIONS = Predictions()
"""The predictions of this process, which is one learner's notebook."""


# -- What the lessons call ----------------------------------------------------


def predict(
    question: str, choice: str | EllipsisType, *, predictions: Predictions = PREDICTIONS
) -> None:
    """Keep the choice for a question, and print it: ``predict("l07-q1", "a")``.

    choice: a letter; ... says that it is not answered yet.
    """
    print(predictions.predict(question, choice))
    if choice is not ... and question not in predictions.outcomes and _in_a_notebook():
        _print_once(_keep(question, predictions.choices[question]))


def reveal(question: str, recorded: Any, *, predictions: Predictions = PREDICTIONS) -> None:
    """Print what was predicted, and what the recording says to it.

    recorded: what the question is about, such as the trace.
    """
    print(predictions.reveal(question, recorded))
    if question in predictions.choices and _in_a_notebook():
        outcome = predictions.outcomes[question]
        _print_once(_keep(question, predictions.choices[question], outcome))


def show_predictions(path: str | Path = PREDICTIONS_FILE) -> Shown:
    """Return what was believed and what was so, question by question, as a cell's value.

    path: a file of predictions, or one that is not there: then nothing was predicted.
    Raises PredictionsError for a file that holds something else.
    """
    kept = {name: each for name, each in read_predictions(path).items() if each.recorded}
    if not kept:
        line = f"nothing was predicted yet: {Path(path).name} has no prediction with its recording"
        return Shown(line, f"{line}\n")
    right = sum(each.predicted == each.recorded for each in kept.values())
    total = f"borne out: {right} of {len(kept)}"
    texts = [total]
    rows = [f"{total}\n", "| question | you believed | so it was |", "| --- | --- | --- |"]
    for name, each in sorted(kept.items()):
        said = find_question(name).choices
        believed, was = (f"({key}) {said[key]}" for key in (each.predicted, each.recorded) if key)
        was = "the same" if was == believed else was
        texts.append(f"{name}: you believed {believed}; so it was: {was}")
        rows.append(f"| {name} | {believed} | {was} |")
    return Shown("\n".join(texts), "\n".join([*rows, ""]))


# -- The file -----------------------------------------------------------------


def read_predictions(path: str | Path) -> dict[str, Kept]:
    """Return what a file of predictions holds, by question; nothing if there is no file.

    Raises PredictionsError for a file that holds something else, also a letter or a question that
    the lessons have not.
    """
    path = Path(path)
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise PredictionsError(f"{path}: these are no predictions ({error})") from None
    if not isinstance(held, dict) or not isinstance(held.get("predictions"), dict):
        raise PredictionsError(f"{path}: these are no predictions (it has no table of them)")
    return {name: _kept(path, name, each) for name, each in held["predictions"].items()}


def _kept(path: Path, name: str, each: Any) -> Kept:
    try:
        choices = find_question(name).choices
    except KeyError:
        raise PredictionsError(f"{path}: {name!r} is no question of the lessons") from None
    match each:
        case {"predicted": str(predicted), "recorded": str() | None as recorded}:
            if predicted in choices and (recorded is None or recorded in choices):
                return Kept(predicted, recorded)
    raise PredictionsError(
        f"{path}: {name} needs the letters predicted and recorded, of {_either(choices)}; "
        f"got {each!r:.60}"
    )


def _keep(question: str, predicted: str, recorded: str | None = None) -> str:
    """Keep letters in the file, unless it has the recorded one; return what to say of it."""
    path = Path(PREDICTIONS_FILE)
    try:
        kept = read_predictions(path)
        if question in kept and kept[question].recorded:
            same = kept[question].predicted == predicted
            return "" if same else f"({path} keeps your first prediction)"
        kept[question] = Kept(predicted, recorded)
        held = {"about": ABOUT, "predictions": {name: vars(kept[name]) for name in sorted(kept)}}
        beside = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            beside.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except PredictionsError as error:
        return f"(not kept for the end of the course: {error})"
    except OSError as error:
        return f"(not kept for the end of the course: {path} cannot be written, {error.strerror})"
    return f"(kept in {path}: this letter, and later the recorded one; nothing else)"


def _in_a_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None


_PRINTED: set[str] = set()


def _print_once(sentence: str) -> None:
    if sentence and sentence not in _PRINTED:
        _PRINTED.add(sentence)
        print(sentence)


# -- The recording ------------------------------------------------------------


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


def _either(letters: Any) -> str:
    *first, last = letters
    return f"{', '.join(first)} or {last}"
