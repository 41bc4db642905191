"""Lesson 07, blocking pitfalls: its question."""

from __future__ import annotations

from ...clients import Recording
from ...exercises import Question

NAP = 0.12
LATE = 0.05
"""Seconds from which a request counts as late: far from both the nap and the usual latency."""


def who_is_late(trace: Recording) -> str:
    """Return the choice that a recording bears out: which clients were late, and how late."""
    worst: dict[int, float] = {}
    for each in trace.records:
        worst[each.client] = max(worst.get(each.client, 0.0), each.latency)
    napper = max(worst)  # the last client is the one that asks for the nap
    others = [seconds for client, seconds in worst.items() if client != napper]
    if max(others) < LATE / 5:
        return "a"
    if min(others) < LATE:
        return "b"
    return "c" if max(others) < 2 * NAP else "d"


QUESTIONS = (
    Question(
        id="l07-q1",
        text="One fiber sleeps for 120 ms with time.sleep. Which clients are late, by how much?",
        choices={
            "a": "only the client that asked for the nap",
            "b": "the four others by a share of it, about 24 ms each",
            "c": "all, each by up to the whole nap",
            "d": "all, one after the other: by one nap, by two naps, by three ...",
        },
        wrong={
            "a": "Fibers are not threads: nothing runs beside the fiber that sleeps. Look at the\n"
            "timeline: under the long bar no other row has one.",
            "b": "The scheduler does not divide time: it cannot take the loop from a fiber that\n"
            "does not yield. Look at the facts: one step was as long as the whole nap.",
            "d": "There was one nap, and all waited for the same one. Look at the latencies: no\n"
            "request waited longer than that.",
        },
        outcome=who_is_late,
    ),
)
