"""The laws that every trace keeps, and the function that holds a trace against them.

The rule kept here: a law is checked on the events as they were recorded, so what a picture shows
can be believed.
"""

from __future__ import annotations

from ..errors import TraceError
from ..trace.events import POLL, RESUME, WAKE
from .build import Story, build_spans
from .spans import Spans

_QUEUED = {"wake": WAKE.Q, "resume": RESUME.Q, "poll": POLL.Q}


def check_story(trace: Story) -> None:
    """Hold a trace against its laws; raise TraceError for the first that is broken.

    Only legal transitions; the spans of a fiber tile its life; no two fibers run at once; `q`
    is the run queue's length at every event; time never goes back.
    """
    spans = build_spans(trace)
    _check_tiling(spans)
    _check_queue(spans)
    _check_one_runs(spans)


def _check_tiling(spans: Spans) -> None:
    for life in spans.lives:
        at = life.known
        for i in spans.indexes(life.id):
            if spans.start[i] != at or spans.end[i] < spans.start[i]:
                raise TraceError(f"the spans of fiber {life.id} leave a gap or overlap at {at} ns")
            at = spans.end[i]
        end = spans.finish if life.died is None else life.died
        if at is not None and at != end:
            raise TraceError(f"the spans of fiber {life.id} end at {at} ns, its life at {end} ns")
        if life.known is not None and life.known != life.born and not spans.dropped:
            raise TraceError(
                f"fiber {life.id} begins in the middle, and nothing was dropped; "
                "is this trace cut or merged?"
            )


def _check_queue(spans: Spans) -> None:
    queued: set[int] = set()
    before = None if spans.dropped else 0  # how many were queued before the first event
    for number, row in enumerate(spans.rows):
        _, ev, fid = row[:3]
        if ev == "wake":
            queued.add(fid)
        elif ev == "resume" and fid in queued:
            queued.remove(fid)
        elif ev == "resume" and before is not None:
            before -= 1
        recorded = row[_QUEUED[ev]] if ev in _QUEUED else None
        if recorded is None:
            continue
        if before is None:
            before = recorded - len(queued)
        if before < 0 or recorded != before + len(queued):
            raise TraceError(
                f"event {number + 1} says that the run queue holds {recorded}, "
                f"but it holds {before + len(queued)}; is this trace cut or merged?"
            )


def _check_one_runs(spans: Spans) -> None:
    running, last = 0, 0
    for number, row in enumerate(spans.rows):
        t, ev, fid = row[:3]
        if ev == "resume":
            if running:
                raise TraceError(
                    f"fiber {fid} is resumed at event {number + 1} while fiber {running} runs"
                )
            running = fid
        elif ev in ("yield", "exit"):
            running = 0
        # A stall has the time at which another thread saw it; it is recorded after its step.
        if ev != "stall":
            if t < last:
                raise TraceError(f"event {number + 1} goes back in time; is this trace merged?")
            last = t
