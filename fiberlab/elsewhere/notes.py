"""Notes: write a trace by hand, from a scheduler that is not ours.

    notes = Notes(trace, "my scheduler")
    notes.spawn(key, "echo")   # key: whatever stands for a fiber there
    notes.resume(key)          # it begins to run
    notes.wait(key, "RECV")    # it has stopped running, and waits
    notes.wake(key, "io")      # it can go on
    notes.end(key, "return")

The rule kept here: the laws of a trace. Ids are given in the order of spawning, the length of the
run queue is counted, and each event has its time. One thread writes at a time: where several do,
SharedNotes see to it.

A step is what `resume` begins and `wait` or `end` ends. Where one thread makes all steps, `watch`
measures them: their processor time, the line of a long one, and what is done between two steps.

What this module does not know: the other scheduler.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

from ..recording.reporter import (
    Observer,
    header,
    ignore,
    raised_at,
    refuse_unless_observer,
    warn_of_removal,
)
from ..recording.step_meter import LOOK, SHORT, StepMeter
from ..recording.watchdog import Sighting
from ..simulation import SimulatedClock
from ..trace.events import EV, FID, Row, T, TraceEvent
from ..trace.trace import Trace, UnderWay

_SHOWN = 0.2  # what is done between two steps has a row if it takes this share of `stall_after`


class Known:
    """What is known of one key.

    waits: what it waits for: RECV, SEND, SLEEP or PARKED; "" if it is ready or runs.
    """

    __slots__ = ("id", "waits")

    def __init__(self, number: int) -> None:
        self.id, self.waits = number, ""


def check_new(observer: Observer) -> None:
    """Raise TypeError for what cannot be told of events, ValueError for a trace of another run."""
    refuse_unless_observer(observer)
    if isinstance(observer, Trace) and len(observer):
        raise ValueError("this trace already holds a run; give each run its own Trace()")


class Notes:
    """Records for `observer`, a Trace or a callable, what another scheduler does from now on.

    source: the name of that scheduler, for the trace's header. clock: None is real time; with a
    simulated one the same run gives the same trace, byte for byte.
    """

    def __init__(
        self, observer: Observer, source: str, clock: SimulatedClock | None = None
    ) -> None:
        check_new(observer)
        self._observer = observer
        self._trace = observer if isinstance(observer, Trace) else None
        self._append: Callable[[Row], Any] = self._tell
        if isinstance(observer, Trace) and isinstance(observer.rows, list):
            self._append = observer.rows.append
        self.known: dict[Hashable, Known] = {}
        """What is known of each key that was spawned and has not ended."""
        self._count = self._numbered = self._steps = self._queued = 0
        self._sockets = self._sleeping = 0  # how many wait for a socket, or for a time
        self._running = 0  # the id of what runs
        self._meter: StepMeter | None = None
        self._between: str | None = None
        self._shown = self._every = LOOK
        self._due = 0  # when to `_look` again
        self._now = time.perf_counter_ns if clock is None else clock.now_ns
        self._begun = self._now()
        self._append(header("perf_counter" if clock is None else clock.name, source))

    def knows(self, key: Hashable) -> bool:
        """Whether `key` was spawned and has not ended."""
        return key in self.known

    def watch(
        self,
        between: str | None = None,
        otherwise: Callable[[], Sighting | None] = lambda: None,
    ) -> None:
        """Measure from now on the steps that the calling thread makes, as the trace asks for it.

        between: the name of a row for what the thread does between two steps where that takes
        long; None: there is no such row. otherwise: see StepMeter.
        """
        if self._trace is None:
            return
        if self._meter is not None:  # of another thread, which was watched before
            self._meter.stop()
        self._meter, self._due = StepMeter(self._trace, otherwise), 0
        self._trace.under_way = self.under_way
        if between is not None and self._trace.stall_after is not None:
            self._between, self._shown = between, round(_SHOWN * 1e9 * self._trace.stall_after)
            self._every = min(LOOK, self._shown)

    def work(self) -> None:
        """The watched thread is at work from now on, as after a poll."""
        if self._meter is not None:
            now = self._now()
            if now > self._due:
                self._look(now)
            self._meter.work(now)

    def rest(self) -> None:
        """The watched thread polls, or does something else that holds up nothing."""
        if self._meter is not None:
            if (now := self._now()) > self._due:
                now = self._end_between(now)
            self._meter.rest(now)

    def spawn(
        self,
        key: Hashable,
        name: str,
        by: Hashable = None,
        src: Any = None,
        *,
        numbered: bool = True,
    ) -> None:
        """`key` was made, and is ready. by: what made it. src: as rows hold it, or file:line.

        numbered: whether a number is put behind its name, which makes it the only one.
        """
        if (now := self._now()) > self._due:
            self._begin_between(now)
        if numbered:
            self._numbered += 1
            name = f"{name}-{self._numbered}"
        self._spawn(key, name, by, src, now - self._begun)

    def wake(
        self,
        key: Hashable,
        why: str,
        by: Hashable = None,
        at: int | None = None,
        hidden: int | None = None,
    ) -> None:
        """`key` can go on. why: io, timer, fiber, yield or cancel. by: the waking key, or None.

        at: when, in nanoseconds since the trace began; None: now. So it is for `resume`. hidden:
        for how many nanoseconds what it has waited for had been there; None: that is not known.
        """
        if at is None:
            if (now := self._now()) > self._due:
                self._begin_between(now)
            at = now - self._begun
        known = self.known[key]
        waits = known.waits
        if waits == "RECV" or waits == "SEND":
            self._sockets -= 1
        elif waits == "SLEEP":
            self._sleeping -= 1
        known.waits = ""
        self._queued = q = self._queued + 1
        by_id = 0 if by is None or by not in self.known else self.known[by].id
        self._append((at, "wake", known.id, by_id, why, q, None, hidden))

    def resume(self, key: Hashable, at: int | None = None) -> None:
        """`key` begins to run."""
        if at is None:
            if (now := self._now()) > self._due:
                now = self._end_between(now)
            at = now - self._begun
            if self._meter is not None:
                self._meter.began = now
        self._queued = q = self._queued - 1
        self._steps = step = self._steps + 1
        self._running = number = self.known[key].id
        self._append((at, "resume", number, step, q))

    def wait(
        self,
        key: Hashable,
        op: str,
        seconds: float | None = None,
        src: Any = None,
        fileno: int | None = None,
    ) -> None:
        """`key` has stopped running. op: RECV, SEND or WAIT. seconds: of a WAIT, as WAIT has them.

        After a WAIT of 0 seconds it is ready at once.
        """
        now, known = self._now(), self.known[key]
        length = None if seconds is None else _nanoseconds(seconds)
        known.waits = waits = op if op != "WAIT" else "PARKED" if length is None else "SLEEP"
        if waits == "RECV" or waits == "SEND":
            self._sockets += 1
        elif waits == "SLEEP":
            self._sleeping += 1
        self._running, meter, cpu = 0, self._meter, None
        if meter is not None:
            cpu = now - (meter.began or now)
            if cpu > SHORT or meter.seen:
                cpu = self._end_long_step(meter, known.id, now)
            else:
                meter.began = now
                if not meter.cpu:
                    cpu = None
        at = now - self._begun
        self._append((at, "yield", known.id, op, fileno, length, src, cpu))
        if length == 0:
            self.wake(key, "yield", key, at)

    def mark(
        self, key: Hashable, name: str, phase: str, number: int, *, from_step: bool = False
    ) -> None:
        """A request of `key`, which runs, begins (phase: b) or ends (e).

        number: its own. from_step: it does so where the step of `key` has begun, if that is still
        in the trace.
        """
        rows = self._trace.rows if self._trace is not None else None
        known = self.known[key].id
        if from_step and isinstance(rows, list):
            for place in range(len(rows) - 1, -1, -1):
                row = rows[place]
                if row[EV] == "resume" and row[FID] == known:
                    while rows[place + 1 :] and rows[place + 1][EV] == "mark":
                        place += 1  # behind those that were put there before
                    rows.insert(place + 1, (row[T], "mark", known, name, phase, number, None))
                    return
        self._note("mark", known, name, phase, number, None)

    def end(self, key: Hashable, how: str, error: BaseException | None = None) -> None:
        """`key` has ended while it ran. how: return, error or cancel."""
        message = f"{type(error).__name__}: {error}" if error is not None else None
        number = self.known.pop(key).id
        self._running, cpu = 0, None
        if self._meter is not None:
            cpu = self._end_long_step(self._meter, number, self._now())
        src = None if error is None else raised_at(error)
        self._note("exit", number, how, message, src, cpu)

    def poll(self, seconds: float | None) -> None:
        """The scheduler begins to poll, for `seconds` at most; None: as long as it takes."""
        if (now := self._now()) > self._due:
            now = self._end_between(now)
        if self._meter is not None:
            self._meter.rest(now)
        timeout = None if seconds is None else _nanoseconds(seconds) if seconds else 0
        counts = self._queued, self._sockets, self._sleeping
        self._append((now - self._begun, "poll", 0, timeout, *counts))

    def polled(self, ready: int | None) -> None:
        """The poll is over: `ready` fibers can go on; None: as many as will be seen."""
        now = self._now()
        if self._meter is not None:
            if now > self._due:
                self._look(now)
            self._meter.work(now)
        self._append((now - self._begun, "polled", 0, ready))

    def measure_no_more(self) -> None:
        """End what `watch` began."""
        meter, self._meter = self._meter, None
        if meter is not None:
            meter.stop()

    def stop(self, reason: str = "done") -> None:
        """The run is over; what comes later is not recorded."""
        try:
            self.rest()
        finally:
            self.measure_no_more()
        if self._trace is not None:
            self._trace.under_way = None
        # In the midst of a step that was not recorded to its end, nothing else can run.
        if self._between in self.known and not self._running:
            self.leave(self._between)
        dropped = 0
        if self._trace is not None:
            self._trace.trim(slack=0)
            dropped = self._trace.dropped
        self._note("stop", 0, reason, dropped)
        self._append = ignore

    def leave(self, key: Hashable) -> None:
        """`key`, which stands for something that has no end of its own, is watched no more."""
        # As if it had been called once more; it has not lost anyone who would wake it.
        at = self._now() - self._begun
        self.wake(key, "fiber", None, at)
        self.resume(key, at)
        self.end(key, "return")

    # -- What is measured of a step -----------------------------------------------------

    def under_way(self) -> UnderWay:
        """Tell what is not recorded yet, as `Trace.under_way` promises; from any thread."""
        rows: list[Row] = []
        number, meter = self._running, self._meter
        now = self._now() - self._begun
        if meter is None or (began := meter.began) is None:
            return UnderWay(now, [], None)
        cpu, seen = meter.so_far()
        if not number and self._between is not None and seen:
            number, rows = self._between_so_far(began - self._begun)
        for each, ran in seen:
            rows.append((each.seen - self._begun, "stall", number, each.src, each.func, ran))
        if meter.began != began:  # another step has begun meanwhile
            return UnderWay(now, [], None)
        return UnderWay(now, rows, cpu)

    def _between_so_far(self, at: int) -> tuple[int, list[Row]]:
        """Return the rows by which what goes on between two steps is a step of its own."""
        rows: list[Row] = []
        known = self.known.get(self._between)
        number = self._count + 1 if known is None else known.id
        if known is None:
            rows.append((at, "spawn", number, self._between, 0, None))
        why = "spawn" if known is None else "fiber"
        rows.append((at, "wake", number, 0, why, self._queued + 1, None, None))
        rows.append((at, "resume", number, self._steps + 1, self._queued))
        return number, rows

    def _end_long_step(self, meter: StepMeter, number: int, now: int) -> int | None:
        """Record what was seen in the step that has ended; return its processor time."""
        cpu, seen = meter.end(now)
        for each, ran in seen:
            self._append((each.seen - self._begun, "stall", number, each.src, each.func, ran))
        return cpu

    def _begin_between(self, now: int) -> None:
        """Begin the step that stands for what is done between two, if it has taken long."""
        between, began = self._between, self._meter.began if self._meter is not None else None
        if self._running or self._trace is None or between is None or began is None:
            return
        if now - began < self._shown:
            return
        at = max(began - self._begun, self._trace.rows[-1][T])
        if between in self.known:
            self.wake(between, "fiber", at=at)
        else:
            self._spawn(between, between, None, None, at)
        self.resume(between, at)
        self._due = 0  # so that `_end_between` is called

    def _end_between(self, now: int) -> int:
        """End the step that stands for what is done between two; begin it, if that took long.

        Returns the time. It is called once in a while only, and looks after all that can wait.
        """
        self._begin_between(now)
        between = self.known.get(self._between)
        if between is not None and self._running == between.id:
            self.wait(self._between, "WAIT")
            now = self._now()
        self._look(now)
        return now

    def _look(self, now: int) -> None:
        """Do what is enough to be done once in a while, between two steps."""
        if self._meter is not None:
            self._due = now + self._every
            self._meter.look(now)
        if self._trace is not None:
            self._trace.trim()

    # -- Rows -----------------------------------------------------------------------------

    def _spawn(self, key: Hashable, name: str, by: Hashable, src: Any, at: int) -> None:
        self._count += 1
        parent = self.known.get(by)
        self.known[key] = Known(self._count)
        self._note("spawn", self._count, name, 0 if parent is None else parent.id, src, at=at)
        self.wake(key, "spawn", by, at)

    def _note(self, ev: str, fid: int, *values: Any, at: int | None = None) -> None:
        """Record an event, of this moment or of the one `at`."""
        t = self._now() - self._begun if at is None else at
        self._append((t, ev, fid, *values))

    def _tell(self, row: Row) -> None:
        try:
            self._observer(TraceEvent.from_row(row))
        except Exception as error:
            self._append = ignore
            warn_of_removal(self._observer, error, "the program")


class SharedNotes:
    """Notes in which several threads may write: each method of Notes, one at a time."""

    def __init__(self, observer: Observer, source: str) -> None:
        self._notes = Notes(observer, source)
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._notes, name)

        def locked(*args: Any, **options: Any) -> Any:
            with self._lock:
                return method(*args, **options)

        return locked


def _nanoseconds(seconds: float) -> int:
    """Return a length of time as a trace tells it: from 0 to 30,000 years, as deadlines are cut."""
    return round(max(0, min(seconds, 1e12)) * 1e9)
