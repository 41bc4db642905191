"""Notes: write a trace by hand, from a scheduler that is not ours.

    notes = Notes(trace, "my scheduler")
    notes.spawn(key, "echo")   # key: whatever stands for a fiber there
    notes.resume(key)          # it begins to run
    notes.wait(key, "RECV")    # it has stopped running, and waits
    notes.wake(key, "io")      # it can go on
    notes.end(key, "return")

The rule kept here: the laws of a trace. Ids are given in the order of spawning, the length of the
run queue is counted, and each event has its time. May be used from several threads.

A step is what `resume` begins and `wait` or `end` ends. Where one thread makes all steps, `watch`
measures them: their processor time, the line of a long one, and what is done between two steps.

What this module does not know: the other scheduler.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any

from ..recording.reporter import Observer, ignore, raised_at, warn_of_removal
from ..recording.step_meter import StepMeter
from ..recording.watchdog import Sighting
from ..simulation import SimulatedClock
from ..trace.events import SCHEMA, Row, TraceEvent
from ..trace.trace import Trace

_SHOWN = 0.2  # what is done between two steps has a row if it takes this share of `stall_after`


class Notes:
    """Records for `observer`, a Trace or a callable, what another scheduler does from now on.

    source: the name of that scheduler, for the trace's header. clock: None is real time; with a
    simulated one the same run gives the same trace, byte for byte.
    """

    def __init__(
        self, observer: Observer, source: str, clock: SimulatedClock | None = None
    ) -> None:
        self._observer = observer
        if not callable(observer):
            raise TypeError(
                f"a Trace or something to call with each event is needed, got {observer!r}"
            )
        self._trace = observer if isinstance(observer, Trace) else None
        if self._trace is not None and len(self._trace):
            raise ValueError("this trace already holds a run; give each run its own Trace()")
        self._append: Callable[[Row], Any] = self._tell
        if isinstance(observer, Trace) and isinstance(observer.rows, list):
            self._append = observer.rows.append
        self._lock = threading.RLock()
        self._ids: dict[Hashable, int] = {}
        self._waits: dict[Hashable, str] = {}
        self._count = self._numbered = self._steps = self._queued = 0
        self._running = 0  # the id of what runs
        self._meter: StepMeter | None = None
        self._between: str | None = None
        self._shown = 0  # nanoseconds from which what is done between two steps is shown
        self._last = 0  # the time of the last event
        self._now = time.perf_counter_ns if clock is None else clock.now_ns
        self._begun = self._now()
        wall = python = None
        if clock is None:
            wall, python = time.strftime("%Y-%m-%dT%H:%M:%S%z"), platform.python_version()
        name = "perf_counter" if clock is None else clock.name
        self._note("start", 0, SCHEMA, name, "ns", python, wall, source)

    def knows(self, key: Hashable) -> bool:
        """Whether `key` was spawned and has not ended."""
        return key in self._ids

    def waits_for(self, key: Hashable) -> str | None:
        """Return what `key` waits for: RECV, SEND, SLEEP or PARKED; None: it does not wait."""
        return self._waits.get(key)

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
        self._meter = StepMeter(self._trace, otherwise)
        if between is not None and self._trace.stall_after is not None:
            self._between, self._shown = between, round(_SHOWN * 1e9 * self._trace.stall_after)

    def work(self) -> None:
        """The watched thread is at work from now on, as after a poll."""
        if self._meter is not None:
            self._meter.begin(self._now())

    def rest(self) -> None:
        """The watched thread polls, or does something else that holds up nothing."""
        with self._lock:
            self._end_between(self._now())
            if self._meter is not None:
                self._meter.rest()

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
        with self._lock:
            self._begin_between(self._now())
            self._count += 1
            self._ids[key] = self._count
            parent = self._ids.get(by, 0)
            if numbered:
                self._numbered += 1
                name = f"{name}-{self._numbered}"
            self._note("spawn", self._count, name, parent, src)
            self.wake(key, "spawn", by)

    def wake(self, key: Hashable, why: str, by: Hashable = None) -> None:
        """`key` can go on. why: io, timer, fiber, yield or cancel. by: the waking key, or None."""
        with self._lock:
            now = self._now()
            self._begin_between(now)
            self._wake(key, why, by, now - self._begun)

    def resume(self, key: Hashable) -> None:
        """`key` begins to run."""
        with self._lock:
            now = self._now()
            if self._meter is not None:
                self._end_between(now)
                now = max(now, self._last + self._begun)
                self._meter.split(now)
            self._resume(key, now - self._begun)

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
        with self._lock:
            length = None if seconds is None else _nanoseconds(seconds)
            self._waits[key] = op if op != "WAIT" else "PARKED" if length is None else "SLEEP"
            fid, now = self._ids[key], self._now()
            cpu = self._end_step(fid, now)
            self._last = t = now - self._begun
            self._append((t, "yield", fid, op, fileno, length, src, cpu))
            if length == 0:
                self._wake(key, "yield", key, t)

    def end(self, key: Hashable, how: str, error: BaseException | None = None) -> None:
        """`key` has ended while it ran. how: return, error or cancel."""
        with self._lock:
            message = f"{type(error).__name__}: {error}" if error is not None else None
            fid = self._ids.pop(key)
            cpu = self._end_step(fid, self._now())
            src = None if error is None else raised_at(error)
            self._note("exit", fid, how, message, src, cpu)

    def poll(self, seconds: float | None) -> None:
        """The scheduler begins to poll, for `seconds` at most; None: as long as it takes."""
        with self._lock:
            self.rest()
            timeout = None if seconds is None else _nanoseconds(seconds)
            kinds = list(self._waits.values())
            sleeping = kinds.count("SLEEP")
            sockets = len(kinds) - sleeping - kinds.count("PARKED")
            self._note("poll", 0, timeout, self._queued, sockets, sleeping)
            if self._trace is not None:
                self._trace.trim()

    def polled(self, ready: int | None) -> None:
        """The poll is over: `ready` fibers can go on; None: as many as will be seen."""
        self._note("polled", 0, ready)
        self.work()

    def stop(self, reason: str = "done") -> None:
        """The run is over."""
        self.rest()
        if self._meter is not None:
            self._meter.stop()
            self._meter = None
        if self._between in self._ids:
            self.leave(self._between)
        dropped = 0
        if self._trace is not None:
            self._trace.trim(slack=0)
            dropped = self._trace.dropped
        self._note("stop", 0, reason, dropped)

    def leave(self, key: Hashable) -> None:
        """`key`, which stands for something that has no end of its own, is watched no more."""
        with self._lock:
            # As if it had been called once more; it has not lost anyone who would wake it.
            t = self._now() - self._begun
            self._wake(key, "fiber", None, t)
            self._resume(key, t)
            self.end(key, "return")

    # -- What is measured of a step -----------------------------------------------------

    def _end_step(self, fid: int, now: int) -> int | None:
        """Record what was seen in the step that has ended; return its processor time."""
        self._running = 0  # the id of what runs
        if self._meter is None:
            return None
        began = self._meter.began or 0
        cpu, seen = self._meter.end(now)
        for each in seen:
            t, ran = each.seen - self._begun, each.seen - began
            self._append((t, "stall", fid, each.src, each.func, ran))
        return cpu

    def _begin_between(self, now: int) -> None:
        """Begin the step that stands for what is done between two, if it has taken long."""
        if self._between is None or self._running or self._meter is None:
            return
        between, began = self._between, self._meter.began
        if began is None or now - began < self._shown:
            return
        at = max(began - self._begun, self._last)
        if between not in self._ids:
            self._count += 1
            self._ids[between] = self._count
            self._note("spawn", self._count, between, 0, None, at=at)
        self._wake(between, "fiber" if between in self._waits else "spawn", None, at)
        self._resume(between, at)

    def _end_between(self, now: int) -> None:
        """End the step that stands for what is done between two; begin it, if that took long."""
        if self._between is None:
            return
        self._begin_between(now)
        if self._running and self._running == self._ids.get(self._between):
            self.wait(self._between, "WAIT")

    # -- Rows -----------------------------------------------------------------------------

    def _wake(self, key: Hashable, why: str, by: Hashable, t: int) -> None:
        self._queued = q = self._queued + 1
        self._waits.pop(key, None)
        self._last = t
        by_id = 0 if by is None else self._ids.get(by, 0)
        self._append((t, "wake", self._ids[key], by_id, why, q, None, None))

    def _resume(self, key: Hashable, t: int) -> None:
        self._queued = q = self._queued - 1
        self._steps = step = self._steps + 1
        self._running = fid = self._ids[key]
        self._last = t
        self._append((t, "resume", fid, step, q))

    def _note(self, ev: str, fid: int, *values: Any, at: int | None = None) -> None:
        """Record an event, of this moment or of the one `at`."""
        with self._lock:
            t = self._last = self._now() - self._begun if at is None else at
            self._append((t, ev, fid, *values))

    def _tell(self, row: Row) -> None:
        try:
            self._observer(TraceEvent.from_row(row))
        except Exception as error:
            self._append = ignore
            warn_of_removal(self._observer, error, "the program")


def _nanoseconds(seconds: float) -> int:
    """Return a length of time as a trace tells it: from 0 to 30,000 years, as deadlines are cut."""
    return round(max(0, min(seconds, 1e12)) * 1e9)
