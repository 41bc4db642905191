"""Traces told briefly, so that a test can compare a whole story."""

from __future__ import annotations

from collections.abc import Iterable

from fiberlab.spans.build import build_spans
from fiberlab.trace.events import EventKind, TraceEvent
from fiberlab.trace.trace import Trace

_TOLD = {
    "spawn": ("by",),
    "wake": ("why", "by", "q"),
    "resume": ("q",),
    "yield": ("op", "dt"),
    "exit": ("how",),
    "poll": ("timeout", "q", "nfd", "ntimer"),
    "polled": ("n",),
    "output": ("text", "stream"),
    "stop": ("reason",),
}


MS = 1_000_000
"""Nanoseconds in a millisecond."""


def event(t: float, ev: str, fid: int = 0, **fields: object) -> TraceEvent:
    """Return an event at `t` milliseconds."""
    return TraceEvent(round(t * MS), EventKind(ev), fid, fields)


def story(events: Iterable[TraceEvent], *kinds: str) -> list[tuple]:
    """Return (kind, fiber, what matters) for each event of `kinds`; of all kinds if none given."""
    return [
        (event.ev.value, event.fid, *[event.fields.get(key) for key in _TOLD.get(event.ev, ())])
        for event in events
        if not kinds or event.ev in kinds
    ]


def wakes(trace: Trace, name: str) -> list[tuple]:
    """Return (why, by) for each wake of the one fiber that is called `name`."""
    [number] = [life.id for life in build_spans(trace).lives if life.name == name]
    return [(event.why, event.by) for event in trace if event.ev == "wake" and event.fid == number]


class Recorded:
    """The records of a recording, as far as the question of lesson 07 needs them."""

    def __init__(self, *latencies: float) -> None:
        self.records = [_Record(n, seconds) for n, seconds in enumerate(latencies, 1)]


class _Record:
    def __init__(self, client: int, latency: float) -> None:
        self.client, self.latency = client, latency
