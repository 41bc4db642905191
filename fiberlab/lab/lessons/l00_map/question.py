"""Lesson 00, the map: its question."""

from __future__ import annotations

from collections.abc import Iterable

from ....trace.events import TraceEvent
from ...exercises import Question


def how_many_fibers(trace: Iterable[TraceEvent]) -> str:
    """Return the choice that a recording with four clients bears out: how many fibers it had."""
    fibers = sum(event.ev == "spawn" for event in trace)
    return {1: "a", 4: "b", 5: "c"}.get(fibers, "d")


QUESTIONS = (
    Question(
        id="l00-q1",
        text="Four clients send twelve lines each. How many fibers does the server run?",
        choices={
            "a": "1: there is one server",
            "b": "4: one for each client",
            "c": "5: one for each client, and one more",
            "d": "48: one for each line",
        },
        wrong={
            "a": "One scheduler, but many fibers: count the names that were printed.",
            "b": "Nearly. One more fiber lets the clients in: see accept-1, printed first.",
            "d": "A fiber lives as long as its client stays: see the story of echo-2.",
        },
        outcome=how_many_fibers,
    ),
)
