"""Lesson 02, a scheduler in 15 lines: its question."""

from __future__ import annotations

from collections.abc import Sequence

from ...exercises import Question
from .experiment import Step


def first_eight(steps: Sequence[Step]) -> str:
    """Return the choice that the first eight steps bear out."""
    letters = "".join(step.name[0] for step in steps[:8])
    return {"abcabcab": "a", "abcababa": "b", "aaaaabbb": "c"}.get(letters, "d")


QUESTIONS = (
    Question(
        id="l02-q1",
        text="Whose are the first eight steps?",
        choices={
            "a": "ann ben cat ann ben cat ann ben",
            "b": "ann ben cat ann ben ann ben ann",
            "c": "ann ann ann ann ann ben ben ben",
            "d": "ann ben cat ann ben ann cat ben",
        },
        wrong={
            "a": "cat has yielded 3, so it is no longer in the queue: it sleeps. Look at its\n"
            "row in the picture: from second 3 to second 6 it is dotted.",
            "c": "A fiber keeps its turn only until its next yield, and ann yields after each\n"
            "second. Look at the first lines of the schedule.",
            "d": "At second 6 cat may go on, but no other is told to make room: it gets into\n"
            "the queue after that pass, behind the others. Look at its orange bar in the picture.",
        },
        outcome=first_eight,
    ),
)
