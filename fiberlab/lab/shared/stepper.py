"""The stepper: what a scheduler's run queue and its fibers were after any event of a trace.

The rule kept here: nothing is concluded. The spans say in which state every fiber was between which
events; here they are only looked up, as the viewer's page does (``viewer/run.js``).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from ...errors import TraceError
from ...spans.build import build_spans
from ...spans.spans import Spans
from ...states import STATES, WAITING, FiberState
from ...trace.events import EV, FID, TraceEvent
from ...trace.trace import Trace

_FOR = {FiberState.RECV: "data", FiberState.SEND: "room to send"}


class Moment(NamedTuple):
    """What was so after event `number`, counted from 1.

    name: that of the event's fiber, "" if it is the scheduler's own. queue: the names in the run
    queue, the front first. states: of each fiber that has been made ready. waiting: what each that
    waits is waiting for.
    """

    number: int
    event: TraceEvent
    name: str
    queue: tuple[str, ...]
    states: dict[str, FiberState]
    waiting: dict[str, str]

    @property
    def running(self) -> str | None:
        """The name of the fiber that runs, None between two steps."""
        running = [name for name, state in self.states.items() if state is FiberState.RUNNING]
        return running[0] if running else None

    def __str__(self) -> str:
        done = [name for name, state in self.states.items() if state is FiberState.DONE]
        waiting = [f"{name} for {what}" for name, what in self.waiting.items()]
        lines = {"running": [self.running or "none"], "run queue": list(self.queue),
                 "waiting": waiting, "done": done}  # fmt: skip
        listed = [f"  {word + ':':11}{', '.join(names) or '-'}" for word, names in lines.items()]
        return "\n".join([sentence(self), *listed])


def at_event(trace: Trace, number: int) -> Moment:
    """Return what was so after event `number` of a trace, counted from 1.

    Raises ValueError if there is no such event, TraceError if the beginning was dropped.
    """
    spans = build_spans(trace)
    if not 1 <= number <= len(spans.rows):
        raise ValueError(f"this trace has the events 1 to {len(spans.rows)}, got {number!r}")
    spawned = {row[FID] for row in spans.rows[:number] if row[EV] == "spawn"}
    states: dict[str, FiberState] = {}
    waiting: dict[str, str] = {}
    queue: list[tuple[int, str]] = []
    for life in spans.lives:
        found = _state_after(spans, life.id, number - 1)
        if found is None:
            continue
        if life.id not in spawned:
            raise TraceError(f"fiber {life.id} was never spawned; was the beginning dropped?")
        state, since = found
        states[life.name] = state
        if state.code in WAITING:
            waiting[life.name] = _what_for(TraceEvent.from_row(spans.rows[since]), state)
        elif state is FiberState.READY and since < number:
            queue.append((since, life.name))
    event = TraceEvent.from_row(spans.rows[number - 1])
    name = spans.life(event.fid).name if event.fid else ""
    front_first = tuple(each for _, each in sorted(queue))
    return Moment(number, event, name, front_first, states, waiting)


def _state_after(spans: Spans, fiber: int, event: int) -> tuple[FiberState, int] | None:
    """Return the state of a fiber after an event, and the event with which it began.

    None if it has not been made ready yet. After WAIT(0) it is ready, and in the run queue only
    with the wake that follows.
    """
    mine = spans.indexes(fiber)
    at = bisect_right(mine, event, key=spans.first.__getitem__) - 1
    if at < 0:
        return None
    i = mine[at]
    if spans.last[i] < 0 or spans.last[i] > event:
        return STATES[spans.state[i]], spans.first[i]
    if at + 1 == len(mine):
        return FiberState.DONE, spans.last[i]
    return STATES[spans.state[mine[at + 1]]], spans.first[mine[at + 1]]


def _what_for(event: TraceEvent, state: FiberState) -> str:
    if state is FiberState.SLEEP:
        return f"{(event.t + event.dt) / 1e6:g} ms to come"
    return _FOR.get(state, "another fiber to run")


def sentence(moment: Moment) -> str:
    """Tell in a line what the event was."""
    event = moment.event
    parts = [str(event.fields[key]) for key in ("name", "why", "op", "how") if key in event.fields]
    if event.ev == "yield" and event.op == "WAIT":
        parts = [f"WAIT({'None' if event.dt is None else f'{event.dt / 1e9:g}'})"]
    name = [moment.name] if moment.name and event.ev != "spawn" else []
    what = " ".join([event.ev.value, *name, *parts])
    return f"event {moment.number} at {event.t / 1e6:g} ms: {what}"
