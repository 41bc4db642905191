"""Lesson 10, between two yields: its question."""

from __future__ import annotations

from ...exercises import Question

FIBERS, ROUNDS = 8, 100
ALL = FIBERS * ROUNDS


def how_many_survive(value: int) -> str:
    """Return the choice that the counter's final value bears out."""
    if value >= ALL:
        return "a"
    if value <= ROUNDS:
        return "c"
    return "b" if value == ALL // 2 else "d"


QUESTIONS = (
    Question(
        id="l10-q1",
        text="Eight fibers add 1 a hundred times, and yield between reading and writing.",
        choices={
            "a": "800: only one fiber runs at a time, so nothing can go wrong",
            "b": "400: every second increment is lost",
            "c": "100: as if one fiber had counted alone",
            "d": "another number in each run",
        },
        wrong={
            "a": "One at a time is true of steps, and an update here takes two steps. Look at the\n"
            "picture: the brackets overlap.",
            "b": "Not pairs but all eight read before the first of them writes. Look at the\n"
            "picture: of three updates that overlap one counts.",
            "d": "That is what threads would do. Fibers switch at their yields only, and the run\n"
            "queue is first come, first served. Run the cell again: the number stays.",
        },
        outcome=how_many_survive,
    ),
)
