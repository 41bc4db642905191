"""Lesson 05, fibers yield what they wait for: its question."""

from __future__ import annotations

from ....spans.build import build_spans
from ....trace.trace import Trace
from ...exercises import Question


def colour_of_victims(trace: Trace) -> str:
    """Return the choice that a recording bears out: the victims' states under the longest step."""
    spans = build_spans(trace)
    nap = max(spans.steps(), key=lambda i: spans.end[i] - spans.start[i])
    sums: dict[str, int] = {}
    for life in spans.lives:
        if life.id == spans.lives[spans.row[nap]].id or life.name.startswith("accept"):
            continue
        for each in spans.of(life.id):
            shared = min(each.end, spans.end[nap]) - max(each.start, spans.start[nap])
            sums[each.state.value] = sums.get(each.state.value, 0) + max(0, shared)
    whole = max(1, sum(sums.values()))
    ready, sleep = sums.get("ready", 0) / whole, sums.get("sleep", 0) / whole
    if sleep > 0.5:
        return "d"
    return "a" if ready > 0.8 else "c" if ready > 0.3 else "b"


QUESTIONS = (
    Question(
        id="l05-q1",
        text="While one fiber naps, data comes for seven others. What colour are their bars?",
        choices={
            "a": "orange, ready: they could go on",
            "b": "light blue, recv: they wait for data",
            "c": "light blue until their data comes, orange from then on",
            "d": "grey, sleep: the whole loop sleeps",
        },
        wrong={
            "a": "A fiber is ready when the scheduler has put it into the run queue, and the\n"
            "scheduler was not there. Look at the facts: hardly any ready time.",
            "c": "So it was in truth, but the loop did not see it: data makes a fiber ready only\n"
            "when the loop polls. Look at the third account in the figure of section 3.",
            "d": "sleep is what a fiber yields by WAIT(seconds). The napping fiber yielded\n"
            "nothing: its bar is dark blue, it runs. Look at the first picture.",
        },
        outcome=colour_of_victims,
    ),
)
