"""Lesson 03, one blocking server: its question."""

from __future__ import annotations

from ...exercises import Question
from .experiment import Visits

SERVICE = 0.1
"""Seconds for which the server of the lesson is busy with each client."""


def when_answered(visits: Visits) -> str:
    """Return the choice that the visits bear out: when the answers came."""
    answered = [each.answered for each in visits if each.answered is not None]
    if len(answered) < len(visits.visits):
        return "d"
    if max(answered) - min(answered) > 1.5 * SERVICE:
        return "c"
    return "a" if max(answered) < 2.5 * SERVICE else "b"


QUESTIONS = (
    Question(
        id="l03-q1",
        text="Four clients need 100 ms each of one blocking server. When are they answered?",
        choices={
            "a": "all four after about 100 ms: a computer does many things at once",
            "b": "all four after about 400 ms: the server divides its time among them",
            "c": "one after the other, after about 100, 200, 300 and 400 ms",
            "d": "the first after about 100 ms; the others are refused",
        },
        wrong={
            "a": "The computer may, but this server is one thread, at one line at a time. Look at\n"
            "the facts: the answers did not come together.",
            "b": "Nothing divides its time: it accepts the next client only when it has done with\n"
            "the one before. Look at the facts: the first did not wait for the last.",
            "d": "The kernel keeps them in a line until the server accepts them. Look at the\n"
            "facts: each client had its answer.",
        },
        outcome=when_answered,
    ),
)
