"""Notes: write a trace by hand, from a scheduler that is not ours.

    notes = Notes(trace, "my scheduler")
    notes.spawn(key, "echo")   # key: whatever stands for a fiber there
    notes.resume(key)          # it begins to run
    notes.wait(key, "RECV")    # it has stopped running, and waits
    notes.wake(key, "io")      # it can go on
    notes.end(key, "return")

The rule kept here: the laws of a trace. Ids are given in the order of spawning, the length of the
run queue is counted, and each event has its time. May be used from several threads.

What this module does not know: the other scheduler.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Hashable
from typing import Any

from ..recording.reporter import Observer
from ..simulation import SimulatedClock
from ..trace.events import SCHEMA, Row, TraceEvent
from ..trace.trace import Trace


class Notes:
    """Records for `observer`, a Trace or a callable, what another scheduler does from now on.

    source: the name of that scheduler, for the trace's header. clock: None is real time; with a
    simulated one the same run gives the same trace, byte for byte.
    """

    def __init__(
        self, observer: Observer, source: str, clock: SimulatedClock | None = None
    ) -> None:
        self._observer = observer
        self._rows = observer.rows if isinstance(observer, Trace) else None
        self._lock = threading.RLock()
        self._ids: dict[Hashable, int] = {}
        self._waits: dict[Hashable, str] = {}
        self._count = self._steps = self._queued = 0
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

    def spawn(self, key: Hashable, name: str, by: Hashable = None, src: Any = None) -> None:
        """`key` was made, and is ready. by: what made it. src: as rows hold it, or file:line."""
        with self._lock:
            self._count += 1
            self._ids[key] = self._count
            parent = self._ids.get(by, 0)
            self._note("spawn", self._count, f"{name}-{self._count}", parent, src)
            self.wake(key, "spawn", by)

    def wake(self, key: Hashable, why: str, by: Hashable = None) -> None:
        """`key` can go on. why: io, timer, fiber, yield or cancel. by: the waking key, or None."""
        with self._lock:
            self._queued += 1
            self._waits.pop(key, None)
            by_id = self._ids.get(by, 0)
            self._note("wake", self._ids[key], by_id, why, self._queued, None, None)

    def resume(self, key: Hashable) -> None:
        """`key` begins to run."""
        with self._lock:
            self._queued -= 1
            self._steps += 1
            self._note("resume", self._ids[key], self._steps, self._queued)

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
            self._note("yield", self._ids[key], op, fileno, length, src, None)
            if length == 0:
                self.wake(key, "yield", key)

    def end(self, key: Hashable, how: str, error: BaseException | None = None) -> None:
        """`key` has ended while it ran. how: return, error or cancel."""
        with self._lock:
            message = f"{type(error).__name__}: {error}" if error is not None else None
            self._note("exit", self._ids.pop(key), how, message, None, None)

    def poll(self, seconds: float | None) -> None:
        """The scheduler begins to poll, for `seconds` at most; None: as long as it takes."""
        with self._lock:
            timeout = None if seconds is None else _nanoseconds(seconds)
            kinds = list(self._waits.values())
            sleeping = kinds.count("SLEEP")
            sockets = len(kinds) - sleeping - kinds.count("PARKED")
            self._note("poll", 0, timeout, self._queued, sockets, sleeping)

    def polled(self, ready: int) -> None:
        """The poll is over: `ready` fibers can go on."""
        self._note("polled", 0, ready)

    def stop(self, reason: str = "done") -> None:
        """The run is over."""
        self._note("stop", 0, reason, 0)

    def _note(self, ev: str, fid: int, *values: Any) -> None:
        with self._lock:
            row: Row = (self._now() - self._begun, ev, fid, *values)
            if self._rows is not None:
                self._rows.append(row)
            else:
                self._observer(TraceEvent.from_row(row))


def _nanoseconds(seconds: float) -> int:
    """Return a length of time as a trace tells it: from 0 to 30,000 years, as deadlines are cut."""
    return round(max(0, min(seconds, 1e12)) * 1e9)
