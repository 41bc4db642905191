"""Lesson 14, other coats: its question."""

from __future__ import annotations

from collections.abc import Mapping

from ...exercises import Question


def who_switches(counted: Mapping[str, int]) -> str:
    """Return the choice that the counts bear out: an increment was lost where it could switch."""
    lost = {name for name, number in counted.items() if number < 2}
    if not lost:
        return "d"
    if "asyncio" in lost:
        return "c"
    return "b" if "greenlets" in lost else "a"


QUESTIONS = (
    Question(
        id="l14-q1",
        text="Two of a kind do x += 1 to the same x. Which may be switched in the middle of it?",
        choices={
            "a": "threads only",
            "b": "threads and greenlets: neither has a word for it in the source",
            "c": "threads, greenlets and asyncio: each has a scheduler of its own",
            "d": "none of the five: it is one line",
        },
        wrong={
            "b": "A greenlet switches only inside a call that switches. x += 1 calls nothing that\n"
            "does. Look at the counts: its two increments survived.",
            "c": "A scheduler that is cooperative gets its turn at await, or inside a call that\n"
            "switches. There is neither in x += 1. Look at the counts.",
            "d": "One line is three things: read, add, write. Look at the counts: both threads\n"
            "read 0, and both wrote 1.",
        },
        outcome=who_switches,
    ),
)
