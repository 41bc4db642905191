"""Spans: a trace's events turned into the stretches of time each fiber spent in one state.

The rule kept here: the spans of a fiber tile its life, in integer nanoseconds, with no gap and
no overlap. What a trace does not say (because its beginning was dropped) is left out, never
made up. A trace that goes against LEGAL_TRANSITIONS is refused; `check_story` holds it against
the other laws too.

This module knows no scheduler and draws nothing. How spans are kept: see ``spans``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from ..errors import TraceError
from ..states import DONE, LEGAL_TRANSITIONS, READY, RUNNING, STATES, FiberState, state_after
from ..trace.events import (
    EV,
    FID,
    POLL,
    POLLED,
    RESUME,
    STOP,
    WAKE,
    YIELD,
    Row,
    T,
    TraceEvent,
    place,
)
from ..trace.trace import Trace, rows_of
from .spans import Life, Poll, Spans
from .stalls import Stall

Story: TypeAlias = Trace | Iterable[TraceEvent] | Spans
"""A run: a Trace, its events in order, or the spans that were made of them."""

_LEGAL = [{after.code for after in LEGAL_TRANSITIONS[before]} for before in STATES]
_RECV = FiberState.RECV.code


def build_spans(trace: Story, *, until: int = 0, cpu: int | None = None) -> Spans:
    """Make spans of a Trace, or of any events in order; Spans are returned as they are.

    A span that is open when the trace ends is closed there and is `unfinished`. until: a run that
    goes on has come so far, in nanoseconds, even if its last event was before; cpu: the processor
    time of the step that it is in. Raises TraceError if a fiber does what no fiber can do, such as
    running when it is done.
    """
    if isinstance(trace, Spans):
        return trace
    builder = _Builder(rows_of(trace), until)
    builder.spans.cpu_so_far = cpu
    builder.spans.goes_on = bool(until) or getattr(trace, "under_way", None) is not None
    builder.spans.dropped = trace.dropped if isinstance(trace, Trace) else 0
    try:
        return builder.build()
    except OverflowError:
        raise TraceError("a time or an id in this trace has more than 63 bits") from None


class _Builder:
    """Goes through the events once; one method for each kind that matters."""

    def __init__(self, rows: Sequence[Row], until: int) -> None:
        self.spans = Spans(rows)
        self.until = until
        self.open: dict[int, int] = {}  # fiber -> its span that has not ended; -1: it is done
        self.queued = 0
        self.polling: tuple[int, int | None] | None = None

    def build(self) -> Spans:
        """Take each event in turn, then close what is open."""
        spans = self.spans
        methods = {
            "start": self.begin, "spawn": self.spawn, "wake": self.wake, "resume": self.resume,
            "yield": self.yielded, "exit": self.exit, "poll": self.poll, "polled": self.polled,
            "stall": self.stall, "mark": self.annotate, "output": self.annotate, "stop": self.stop,
        }  # fmt: skip
        for number, row in enumerate(spans.rows):
            method = methods.get(row[EV])
            if method is not None:
                method(number, row)
        if spans.rows:
            spans.finish = max(spans.rows[-1][T], max(spans.start, default=0), self.until)
            spans.begin = min(spans.rows[0][T], spans.finish)
        for i in self.open.values():
            if i >= 0:
                spans.end[i] = spans.finish
        if self.polling is not None:
            start, timeout = self.polling
            spans.polls.append(Poll(start, max(start, spans.finish), timeout, None, True))
        return spans

    def begin(self, number: int, row: Row) -> None:
        if number:
            raise TraceError(f"event {number + 1} is a second start; is this trace merged?")
        self.spans.header = TraceEvent.from_row(row).fields

    def stop(self, _number: int, row: Row) -> None:
        self.spans.dropped = max(self.spans.dropped, row[STOP.DROPPED] or 0)

    def spawn(self, number: int, row: Row) -> None:
        t, _, fid, name, parent, src = row
        if fid in self.spans.row_of or fid <= 0:
            raise TraceError(
                f"fiber {fid} is spawned a second time at event {number + 1}; is this trace merged?"
            )
        self._register(Life(fid, str(name or f"fiber-{fid}"), parent or 0, place(src), t))

    def wake(self, number: int, row: Row) -> None:
        spans, fid = self.spans, row[FID]
        i = self.open.get(fid, -1)
        # After WAIT(0) the fiber is ready since its yield; this is the wake that belongs to it.
        if i >= 0 and spans.state[i] == READY and spans.rows[spans.first[i]][EV] == "yield":
            spans.first[i] = number
        else:
            self._enter(number, row, READY)
        _t, _ev, _fid, by, why, q, _late, hidden = row
        if hidden and why == "io" and i >= 0 and spans.state[i] == _RECV:
            spans.hidden.append((i, min(hidden, spans.end[i] - spans.start[i])))
        elif by and by != fid and why != "spawn":
            spans.handed.append(number)
        self.queued = self.queued + 1 if q is None else q
        self._note_depth(row[T])

    def resume(self, number: int, row: Row) -> None:
        self._enter(number, row, RUNNING)
        q = row[RESUME.Q]
        self.queued = max(0, self.queued - 1) if q is None else q
        self._note_depth(row[T])

    def yielded(self, number: int, row: Row) -> None:
        state = state_after("yield", row[YIELD.OP], row[YIELD.DT])
        assert state is not None
        self._enter(number, row, state.code)

    def exit(self, number: int, row: Row) -> None:
        t, _, fid, how, err, src, _cpu = row
        self._enter(number, row, DONE)
        at = self.spans.row_of[fid]
        ended = {"died": t, "how": how, "err": err, "last_src": place(src)}
        self.spans.lives[at] = self.spans.lives[at]._replace(**ended)

    def poll(self, _number: int, row: Row) -> None:
        self.polling = (row[T], row[POLL.TIMEOUT])

    def polled(self, _number: int, row: Row) -> None:
        if self.polling is not None:
            start, timeout = self.polling
            self.spans.polls.append(Poll(start, max(start, row[T]), timeout, row[POLLED.N]))
            self.polling = None

    def annotate(self, number: int, _row: Row) -> None:
        self.spans.annotated.append(number)

    def stall(self, _number: int, row: Row) -> None:
        t, _, fid, src, func, ran = row
        i = self.open.get(fid, -1)
        if i >= 0 and self.spans.state[i] == RUNNING:
            self.spans.stalls.append(Stall(t, fid, place(src), func, ran or 0, i))

    def _enter(self, number: int, row: Row, state: int) -> None:
        """End the fiber's span, and begin one in `state`."""
        spans, t, fid = self.spans, row[T], row[FID]
        i = self.open.get(fid)
        if i is None:
            self._first_seen(number, row, state)
        else:
            before = spans.state[i] if i >= 0 else DONE
            if state not in _LEGAL[before]:
                raise TraceError(
                    f"fiber {fid} goes from {STATES[before].value} to {STATES[state].value} "
                    f"at event {number + 1}; is this trace cut or merged?"
                )
            if t < spans.start[i]:
                raise TraceError(f"event {number + 1} goes back in time; is this trace merged?")
            spans.end[i] = t
            spans.last[i] = number
        if state == DONE:
            self.open[fid] = -1
            return
        self.open[fid] = len(spans.start)
        spans.row.append(spans.row_of[fid])
        spans.state.append(state)
        spans.start.append(t)
        spans.end.append(t)
        spans.first.append(number)
        spans.last.append(-1)

    def _first_seen(self, number: int, row: Row, state: int) -> None:
        """Note when a fiber's states begin to be known; nothing is made up for the time before."""
        t, ev, fid = row[:3]
        if fid <= 0:
            raise TraceError(f"event {number + 1} is a {ev} of fiber {fid}; ids begin at 1")
        if fid not in self.spans.row_of:
            self._register(Life(fid, f"fiber-{fid}"))
        at = self.spans.row_of[fid]
        life = self.spans.lives[at]
        if state == READY and row[WAKE.WHY] == "spawn":
            life = life._replace(born=t)
        self.spans.lives[at] = life._replace(known=t)

    def _register(self, life: Life) -> None:
        self.spans.row_of[life.id] = len(self.spans.lives)
        self.spans.lives.append(life)

    def _note_depth(self, t: int) -> None:
        times, lengths = self.spans.depth
        times.append(t)
        lengths.append(self.queued)
