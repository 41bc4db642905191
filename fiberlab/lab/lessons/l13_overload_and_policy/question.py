"""Lesson 13, overload and policy: its question."""

from __future__ import annotations

from collections.abc import Mapping

from ...exercises import Question


def which_policy(shares: Mapping[str, float]) -> str:
    """Return the choice that the shares answered in time bear out, by policy."""
    first, last = shares["first-come"], shares["last-come"]
    if abs(first - last) < 0.05:
        return "c"
    if first > last:
        return "a"
    return "b" if first < 0.25 else "d"


QUESTIONS = (
    Question(
        id="l13-q1",
        text="Load 125 %, clients give up after 100 ms. Which policy answers more in time?",
        choices={
            "a": "first-come: about three of four; last-come lets too many wait",
            "b": "last-come: about three of four; first-come almost none",
            "c": "both the same: the server does as much work either way",
            "d": "last-come by a little; both lose about half",
        },
        wrong={
            "a": "Last-come lets some wait very long, but first-come lets all wait, longer and\n"
            "longer. Look at the figure: the dots of first-come leave the dotted line for good.",
            "c": "The work is the same, but not the clients it is done for: an answer to a client\n"
            "that has given up is of no use. Look at the shares.",
            "d": "Under first-come the delay never shrinks again: no new client is in time. Look\n"
            "at the figure: after the first second there is none below the dotted line.",
        },
        outcome=which_policy,
    ),
)
