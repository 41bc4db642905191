"""Lesson 09, queues and tails: its question."""

from __future__ import annotations

from collections.abc import Mapping

from ...exercises import Question

SLOW = 0.04
"""Seconds from which a request counts as slow: far from the stall and from the usual latency."""


def which_truth(p99: Mapping[str, float]) -> str:
    """Return the choice that the p99 of the two loops bear out, by loop, in seconds."""
    closed, opened = p99["closed"] > SLOW, p99["open"] > SLOW
    if closed == opened:
        return "b" if closed else "a"
    return "c" if opened else "d"


QUESTIONS = (
    Question(
        id="l09-q1",
        text="A server stalls once, for 200 ms. What is p99 in a closed loop, and in an open one?",
        choices={
            "a": "both below 40 ms: one stall is one slow request in a thousand",
            "b": "both near 200 ms: it is the same stall",
            "c": "closed below 40 ms, open near 200 ms",
            "d": "closed near 200 ms, open below 40 ms",
        },
        wrong={
            "a": "One stall is one slow request only if nothing else is due meanwhile. Look at\n"
            "the counts: in the open loop far more than one in a hundred were slow.",
            "b": "The stall is the same, but p99 counts requests, not stalls. Look at the counts:\n"
            "in the closed loop hardly one in a thousand met it.",
            "d": "A client that waits in a closed loop sends nothing meanwhile: it feels the\n"
            "whole stall, once. Look at the diagram: in the open loop requests are due all along.",
        },
        outcome=which_truth,
    ),
)
