"""Lesson 01, paused functions: its question."""

from __future__ import annotations

from collections.abc import Sequence

from ...exercises import Question


def what_ran_at_the_call(log: Sequence[str]) -> str:
    """Return the choice that the log, as it was after the call alone, bears out."""
    return {0: "a", 1: "b"}.get(len(log), "c")


QUESTIONS = (
    Question(
        id="l01-q1",
        text="What stands in the log after the call alone, before the first next?",
        choices={
            "a": "nothing",
            "b": "ann comes in",
            "c": "ann comes in, ann sits down, ann leaves",
        },
        wrong={
            "b": "The call does not run to the first yield: it runs nothing. The first next does\n"
            "that. Look at the cell that calls next: there the first line is logged.",
            "c": "With a yield in it a function is not run by calling it. Look at the cell that\n"
            "calls next: it takes three of them to reach the last line.",
        },
        outcome=what_ran_at_the_call,
        may_be_empty=True,
    ),
)
