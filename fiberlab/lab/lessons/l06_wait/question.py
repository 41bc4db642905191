"""Lesson 06, WAIT: its question."""

from __future__ import annotations

from ....trace.trace import Trace
from ...exercises import Question


def when_zero_returns(trace: Trace) -> str:
    """Return the choice that a recording bears out: when a WAIT(0) of the asker returned."""
    events = [event for event in trace if event.ev in ("yield", "wake", "resume")]
    fid = next(event.fid for event in trace if event.ev == "spawn" and event.name == "asker")
    asked = next(n for n, e in enumerate(events) if e.ev == "yield" and e.fid == fid)
    later = [event for event in events[asked + 1 :] if event.fid == fid]
    resumed = next((event for event in later if event.ev == "resume"), None)
    if resumed is None:
        return "d"
    if later[0].ev != "wake":
        return "a"
    return "b" if later[0].why == "yield" else "c"


QUESTIONS = (
    Question(
        id="l06-q1",
        text="A fiber yields WAIT(0). Does it return, and when?",
        choices={
            "a": "at once: zero seconds are no wait, so it just goes on",
            "b": "in the next pass: it goes to the end of the run queue, and takes its turn there",
            "c": "when another fiber has run: here the walker, after 100 ms",
            "d": "never: it has no deadline that could come",
        },
        wrong={
            "a": "Then a fiber that yields WAIT(0) in a loop would never let another run. Look at\n"
            "the order above: ann and ben take turns.",
            "c": "That is WAIT(None). In the picture only those rows have an arrow from the\n"
            "walker. An old scheduler mixed the two up: see the museum in section 4.",
            "d": "It needs none: it never stops being ready. Look at the first row of the\n"
            "picture: back after 0 ms.",
        },
        outcome=when_zero_returns,
    ),
)
