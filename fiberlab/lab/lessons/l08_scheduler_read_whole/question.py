"""Lesson 08, the scheduler, read whole: its question."""

from __future__ import annotations

from collections.abc import Mapping

from ....spans.build import Story
from ...exercises import Question
from .experiment import LONG, longest_slice


def which_blocked(recordings: Mapping[str, Story]) -> str:
    """Return the choice that the recordings bear out: where one step was long."""
    found = "".join(sorted(each for each in recordings if longest_slice(recordings[each]) > LONG))
    return {"A": "a", "B": "b", "C": "c", "AC": "d"}.get(found, "d")


QUESTIONS = (
    Question(
        id="l08-q1",
        text="In which of the three pictures does a fiber hold the loop?",
        choices={"a": "only in A", "b": "only in B", "c": "only in C", "d": "in A and in C"},
        wrong={
            "a": "In A no fiber goes on, because none has anything to do: the bottom row is grey\n"
            "all the while, the scheduler waits in its poll. Look at the facts: no long slice.",
            "b": "The dark bar in B is made of many short slices. Between them the others run:\n"
            "look at the rows above it, and at the facts: no slice is long.",
            "d": "In both no fiber is resumed for long. But in A the bottom row is grey: the\n"
            "scheduler looks, and there is nothing. Look at the facts: A has no long slice.",
        },
        outcome=which_blocked,
    ),
)
