"""Lesson 12, off the loop: its question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from ...exercises import Question
from .experiment import CHAT_SECONDS


def what_the_others_see(latencies: Mapping[str, Sequence[float]]) -> str:
    """Return the choice that the latencies beside "sleep" and beside "count" bear out."""
    usual, beside = median(latencies["sleep"]), median(latencies["count"])
    if beside < 1.5 * usual:
        return "a"
    if beside < 4 * usual:
        return "b"
    return "c" if beside < CHAT_SECONDS / 4 else "d"


QUESTIONS = (
    Question(
        id="l12-q1",
        text="A thread of the server counts for half a second. "
        "What do the other clients see meanwhile?",
        choices={
            "a": "nothing: the thread works beside the loop",
            "b": "twice the latency: loop and thread get half of the time each",
            "c": "a latency many times as long, yet far shorter than the counting",
            "d": "no answer before the counting is over",
        },
        wrong={
            "a": "That is true of a thread that waits. One that runs Python holds the GIL, and\n"
            "the loop needs it too. Look at the facts: beside one of the three words the\n"
            "latency did not stay.",
            "b": "The loop needs only microseconds, but it gets them late: it is not slowed down\n"
            "by half, it waits for its turn. Look at the figure of the switch intervals.",
            "d": "The thread holds the GIL, but Python takes it away after the switch interval. A\n"
            "thread is preempted; a fiber is not. Look at the facts: requests were answered.",
        },
        outcome=what_the_others_see,
    ),
)
