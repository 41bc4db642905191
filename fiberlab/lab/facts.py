"""Facts of a run: what is the same each time it is run, and so can be stored and compared.

The rule kept here: a fact tells what happened, and in which order for one fiber; never how long
it took, never how independent fibers were interleaved. `longest_step` tells a time too, for
comparing with a threshold far away, not for printing.
"""

from __future__ import annotations

from typing import NamedTuple

from ..diagnosis.diagnose import diagnose
from ..diagnosis.evidence import Verdict
from ..diagnosis.finding import Finding
from ..spans.build import Story, build_spans
from ..spans.spans import Spans
from ..states import RUNNING, state_after
from ..trace.events import EV, FID, OUTPUT, SPAWN, TraceEvent
from ..trace.trace import Trace, rows_of


class Step(NamedTuple):
    """What one fiber did between two yields.

    fiber: its name. seconds: how long it ran. cpu: how long a processor worked for it, None if
    that was not measured. src: the line that was seen to hold the loop, else the lines between
    which the step ran.
    """

    fiber: str
    seconds: float
    cpu: float | None
    src: str | None


def story(trace: Story, fiber: str | int) -> list[str]:
    """Return what a fiber yielded, in order, and how it ended.

    The words are those of the states: "recv", "send", "sleep", "parked"; "ready" for a WAIT(0),
    which goes straight back to the run queue; "invalid" for a yield that was refused. Then
    "return", "error" or "cancel". fiber: its name or id. Raises KeyError if there is none.
    """
    spans = build_spans(trace)
    number = _id_of(spans, fiber)
    words = (_word(TraceEvent.from_row(row)) for row in spans.rows if row[FID] == number)
    return [word for word in words if word]


def stories(trace: Story) -> dict[str, list[str]]:
    """Return the story of every fiber by its name, in the order in which they were added."""
    spans = build_spans(trace)
    return {life.name: story(spans, life.id) for life in spans.lives}


def printed(trace: Trace) -> list[tuple[str, str]]:
    """Return what fibers printed: (name, line) for each line; prints must have been caught."""
    names = {row[FID]: row[SPAWN.NAME] for row in rows_of(trace) if row[EV] == "spawn"}
    return [
        (names.get(row[FID], "?"), row[OUTPUT.TEXT])
        for row in rows_of(trace)
        if row[EV] == "output"
    ]


def longest_step(trace: Story, fiber: str | int | None = None) -> Step:
    """Return the longest step of a fiber, or of all; ValueError if none has run.

    fiber: its name or id.
    """
    spans = build_spans(trace)
    among = range(len(spans)) if fiber is None else spans.indexes(_id_of(spans, fiber))
    steps = [i for i in among if spans.state[i] == RUNNING]
    if not steps:
        raise ValueError(
            "no fiber has run in this trace" if fiber is None else f"{fiber} never ran"
        )
    longest = max(steps, key=lambda i: spans.end[i] - spans.start[i])
    span = spans[longest]
    return Step(
        spans.life(span.fiber).name,
        span.length / 1e9,
        None if span.cpu is None else span.cpu / 1e9,
        spans.held_at(longest).text,
    )


def culprits(trace: Story) -> list[Finding]:
    """Return the findings of `diagnose` that name a fiber that held the loop, in order.

    Only those that blame the program: a blocking call, or a computation that took no breath.
    """
    held = (Verdict.BLOCKED.value, Verdict.COMPUTED.value)
    found = [each for each in diagnose(trace, most=None) if each.kind in held]
    return sorted(found, key=lambda each: (each.fiber, each.src or ""))


def _id_of(spans: Spans, fiber: str | int) -> int:
    ids = [life.id for life in spans.lives if fiber in (life.id, life.name)]
    if not ids:
        names = ", ".join(life.name for life in spans.lives) or "none: was anything recorded?"
        raise KeyError(f"no fiber {fiber!r} in this trace; there are {names}")
    return ids[0]


def _word(event: TraceEvent) -> str | None:
    if event.ev == "exit":
        return str(event.how)
    if event.ev != "yield":
        return None
    if event.op == "invalid":
        return "invalid"
    state = state_after(event.ev, event.op, event.dt)
    return None if state is None else state.value
