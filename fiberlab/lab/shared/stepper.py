"""The stepper: what a scheduler's run queue and its fibers were after any event of a trace.

The rule kept here: nothing but the events is looked at. A trace is enough to say where every fiber
was at each moment of it, long after the run.
"""

from __future__ import annotations

from typing import NamedTuple

from ...errors import TraceError
from ...states import WAITING, FiberState, state_after
from ...trace.events import TraceEvent
from ...trace.trace import Trace, rows_of

_FOR = {FiberState.RECV: "data", FiberState.SEND: "room to send"}


class Moment(NamedTuple):
    """What was so after event `number`, counted from 1.

    name: that of the event's fiber, "" if it is the scheduler's own. queue: the names in the run
    queue, the front first. states: of each fiber that has been made ready. waiting: what each that
    waits is waiting for. moved: from which state to which the event took its fiber, or None.
    """

    number: int
    event: TraceEvent
    name: str
    queue: tuple[str, ...]
    states: dict[str, FiberState]
    waiting: dict[str, str]
    moved: tuple[FiberState, FiberState] | None

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
    rows = rows_of(trace)
    if not 1 <= number <= len(rows):
        raise ValueError(f"this trace has the events 1 to {len(rows)}, got {number!r}")
    replay = _Replay()
    moved = None
    for row in rows[:number]:
        moved = replay.take(TraceEvent.from_row(row))
    event = TraceEvent.from_row(rows[number - 1])
    names = replay.names
    return Moment(
        number, event, names.get(event.fid, ""), tuple(names[fid] for fid in replay.queue),
        {names[fid]: state for fid, state in replay.states.items()},
        {names[fid]: what for fid, what in replay.waiting.items()}, moved,
    )  # fmt: skip


class _Replay:
    """Takes the events one by one; fibers by their ids."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.queue: list[int] = []
        self.states: dict[int, FiberState] = {}
        self.waiting: dict[int, str] = {}

    def take(self, event: TraceEvent) -> tuple[FiberState, FiberState] | None:
        """Do what an event tells; return which state its fiber left, and which it is in."""
        fid = event.fid
        if event.ev == "spawn":
            self.names[fid] = event.name
        after = state_after(event.ev, event.fields.get("op"), event.fields.get("dt"))
        if after is None:
            return None
        if fid not in self.names:
            raise TraceError(f"fiber {fid} was never spawned; was the beginning dropped?")
        before = self.states.get(fid)
        self.states[fid] = after
        self.waiting.pop(fid, None)
        if event.ev == "wake":
            self.queue.append(fid)
        elif fid in self.queue:
            self.queue.remove(fid)  # not always the front: a run queue may choose
        elif after.code in WAITING:
            self.waiting[fid] = _what_for(event, after)
        return None if before is None or before is after else (before, after)


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
