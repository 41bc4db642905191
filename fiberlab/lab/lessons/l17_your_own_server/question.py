"""Lesson 17, your own server: its question."""

from __future__ import annotations

from collections.abc import Sequence

from ...crowd import Record
from ...exercises import Question

NAP = 0.15
LATE = NAP / 3
"""Seconds from which a request counts as late: far from both the nap and the usual latency."""


def which_waited(records: Sequence[Record]) -> str:
    """Return the choice that the clients' records bear out: which of them had to wait."""
    worst: dict[int, float] = {}
    for each in records:
        worst[each.client] = max(worst.get(each.client, 0.0), each.latency)
    asking = max(worst)  # the last client is the one that asks for the rare word
    late = [seconds > LATE for client, seconds in worst.items() if client != asking]
    if not any(late):
        return "a"
    return "b" if all(late) else "c"


QUESTIONS = (
    Question(
        id="l17-q1",
        text="An awaited async def calls time.sleep(0.15) inside. Which other clients wait for it?",
        choices={
            "a": "none: await gives the turn to another task",
            "b": "all that send something meanwhile",
            "c": "only those that send the same word",
        },
        wrong={
            "a": "An await gives the turn away only if something below it has to wait. Look at\n"
            "the cell that steps look_up by hand: it returns at the first send.",
            "c": "What is looked up makes no difference: there is one loop, and one step of it\n"
            "was long. Look at the timeline: in no other row anything runs meanwhile.",
        },
        outcome=which_waited,
    ),
)
