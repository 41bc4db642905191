"""Misconceptions: the predictions of a class, gathered into one table.

    python -m fiberlab.lab.misconceptions submitted > misconceptions.csv

has a row for each choice of each question that any learner answered, the commonest wrong ones first
within a question. The rule kept here: a file is one learner, and nothing of a learner goes into
the table but a count.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..console import Parser, UserError, run
from .exercises import find_question
from .predictions import PREDICTIONS_FILE, PredictionsError, read_predictions


class Belief(NamedTuple):
    """A choice of a question, and how many learners predicted it.

    share: of those that answered the question, 0 to 1. right: whether it is the right choice.
    misconception: what is behind a wrong one; empty for the right one.
    """

    question: str
    text: str
    choice: str
    said: str
    right: bool
    learners: int
    share: float
    misconception: str


def gather_predictions(paths: Iterable[str | Path]) -> tuple[list[Belief], list[str]]:
    """Return the beliefs of a class, and a sentence for each file that could not be read.

    paths: files of predictions, or folders that hold some, however deep. Raises FileNotFoundError
    for a path that is not there.
    """
    counted: dict[str, Counter[str]] = {}
    refused = []
    for path in _files(paths):
        try:
            kept = read_predictions(path)
        except (PredictionsError, OSError) as error:
            refused.append(str(error))
            continue
        for name, each in kept.items():
            counted.setdefault(name, Counter())[each.predicted] += 1
    return [belief for name in sorted(counted) for belief in _beliefs(name, counted[name])], refused


def _files(paths: Iterable[str | Path]) -> list[Path]:
    found: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path} is not there: give files of predictions, or folders")
        inside = path.rglob(PREDICTIONS_FILE) if path.is_dir() else [path]
        found.update(each.resolve() for each in inside)
    return sorted(found)


def _beliefs(name: str, counts: Counter[str]) -> list[Belief]:
    asked = find_question(name)
    beliefs = [
        Belief(
            name,
            asked.text,
            letter,
            said,
            letter not in asked.wrong,
            counts[letter],
            round(counts[letter] / counts.total(), 3),
            " ".join(asked.wrong.get(letter, "").split()),
        )
        for letter, said in asked.choices.items()
    ]
    return sorted(beliefs, key=lambda each: (each.right, -each.learners))


def main(arguments: list[str] | None = None) -> int:
    """Write the table of some files as CSV; return 0, or 2 if there is none to be made."""
    parser = Parser(
        prog="python -m fiberlab.lab.misconceptions",
        description="Gather the predictions of a class into one table, as CSV.",
    )
    parser.add_argument(
        "paths", nargs="+", help=f"files of predictions, or folders with {PREDICTIONS_FILE} in them"
    )
    paths = parser.parse_args(arguments).paths

    def work() -> None:
        try:
            beliefs, refused = gather_predictions(paths)
        except FileNotFoundError as error:
            raise UserError(str(error)) from None
        for sentence in refused:
            print(f"left out: {sentence}", file=sys.stderr)
        if not beliefs:
            raise UserError(f"no predictions in {', '.join(map(str, paths))}")
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(Belief._fields)
        table.writerows(beliefs)

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
