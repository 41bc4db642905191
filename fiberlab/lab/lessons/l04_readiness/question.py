"""Lesson 04, readiness: its question."""

from __future__ import annotations

from collections.abc import Sequence

from ...exercises import Question
from .experiment import ReadySet


def reported_first(log: Sequence[ReadySet]) -> str:
    """Return the choice that the recorded ready sets bear out."""
    return {"ben": "a", "ann": "b", "cat": "c"}.get(" ".join(log[0][2]), "d")


QUESTIONS = (
    Question(
        id="l04-q1",
        text="select is given ben, ann and cat; only cat speaks. Whom does it report first?",
        choices={
            "a": "ben: he is the first in the list",
            "b": "ann: she connected first, and has the lowest number",
            "c": "cat alone",
            "d": "all three: all are connected",
        },
        wrong={
            "a": "select does not walk along the list and wait at each: it waits for all at once.\n"
            "Look at the ready sets: ben comes last.",
            "b": "The number is only a name. Look at the ready sets: ann comes when she has\n"
            "spoken.",
            "d": "Connected is not readable: a recv from ann or ben would block. Look at the\n"
            "first ready set: it has one name.",
        },
        outcome=reported_first,
    ),
)
