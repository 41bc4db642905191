"""The stall recorder: keeps only the stalls of a run, so cheaply that it can be left on.

A full trace notes eight events for an echo. Here nothing is noted until a step has taken too long.
What happens around such a step is a window. Windows are kept for some seconds, and become a trace
when one is asked for. A scheduler tells of them through a `StallReporter`, asyncio through its own.

The rule kept here: what lies between two windows is not known and is told as such: there a fiber
is in the state unknown.

This module does not know what makes a step long, nor which fiber is to blame.
"""

from __future__ import annotations

import math
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from ..io.clock import Clock
from ..trace.events import EV, FID, POLL, RESUME, WAKE, YIELD, Row, T
from ..trace.trace import Trace
from .reporter import MOVES, Reporter
from .watchdog import Sighting

MOST_ROWS = 100_000
"""So many events are held at most, besides those of the last window."""

MOST_IN_WINDOW, LONGEST_WINDOW = 10_000, 1_000_000_000
"""A loop that stalls in every pass begins a new window after so many events, or nanoseconds."""

_time_of = itemgetter(T)


class Window(NamedTuple):
    """The events around a stall, in order, and the fibers in them: name and first line, by id."""

    rows: list[Row]
    fibers: dict[int, tuple[str, Any]]


class StallRecorder:
    """Records the stalls of one run and counts the rest: give it to a Scheduler as ``trace=``.

    limit: seconds from which a step is a stall. seconds: for how long a stall is kept; None: until
    the end. path: where to write what is held when ^C or another exception ends the run, and on
    SIGUSR1 under `spawn`; None: nowhere. write_after: write there too when the loop has not polled
    for so many seconds, at most once in `seconds`; None: not for that.
    """

    def __init__(
        self,
        limit: float = 0.05,
        *,
        seconds: float | None = 60.0,
        path: str | os.PathLike[str] | None = None,
        write_after: float | None = None,
    ) -> None:
        _check_seconds("limit", limit)
        for name, value in (("seconds", seconds), ("write_after", write_after)):
            if value is not None:
                _check_seconds(name, value)
        if not isinstance(path, (str, os.PathLike, type(None))):
            raise TypeError(
                f"StallRecorder(path=) is where to write, a name or a Path, got {path!r}"
            )
        if write_after is not None and path is None:
            raise ValueError("StallRecorder(write_after=) needs path=, where to write")
        self.limit, self.seconds = limit, seconds
        self.path, self.write_after = path, write_after
        self.stalls = 0
        self.stalled = self.longest_step = self.longest_pass = 0.0
        self.count: Callable[[], tuple[int, int]] = lambda: (0, 0)  # of passes and steps
        self._windows: deque[Window] = deque()
        self._header: Row | None = None
        self._stop: Row | None = None
        self._under_way: Callable[[], Window | None] = nothing
        self._written = -math.inf

    def counters(self) -> dict[str, float]:
        """Return what was counted since the run began, held or not; from any thread.

        passes, steps, stalls: how many. stalled_seconds: all stalls together.
        longest_step_seconds: the longest stall. longest_pass_seconds: the longest time in which
        the loop did not poll.
        """
        passes, steps = self.count()
        return {
            "passes": passes,
            "steps": steps,
            "stalls": self.stalls,
            "stalled_seconds": self.stalled,
            "longest_step_seconds": self.longest_step,
            "longest_pass_seconds": self.longest_pass,
        }

    def trace(self) -> Trace:
        """Return the stalls that are held as a trace, and one that goes on; from any thread.

        A fiber's life begins in it where the fiber is first met.
        """
        trace, windows = Trace(), list(self._windows)
        if self._header is None:
            return trace
        if (last := self._under_way()) is not None:
            windows.append(last)
        rows, named = [self._header], set[int]()
        for window in windows:
            for row in window.rows:
                if row[FID] in window.fibers and row[FID] not in named:
                    named.add(row[FID])
                    name, src = window.fibers[row[FID]]
                    rows.append((row[T], "spawn", row[FID], name, 0, src))
                rows.append(row)
        rows.append(self._stop or (rows[-1][T], "stop", 0, "still running", 0))
        trace.rows, trace.limit = rows, max(trace.limit, len(rows))
        return trace

    def save(self, path: str | os.PathLike[str] | None = None) -> None:
        """Write the stalls that are held as a trace; path: None is the recorder's own.

        Raises ValueError if there is no path, TraceError if no run has begun, and OSError.
        """
        target = self.path if path is None else path
        if target is None:
            raise ValueError("save() needs a path, its own or StallRecorder(path=)")
        self.trace().save(target)

    def write(self) -> None:
        """Write what is held to `path`, if there is one; if that fails there is a warning."""
        try:
            if self.path is not None:
                self.save()
        except (OSError, ValueError) as error:
            warnings.warn(f"stalls could not be written: {error}", RuntimeWarning, stacklevel=2)

    def make_reporter(self, clock: Clock) -> Reporter:
        """Return what reports to this recorder; the scheduler asks for it."""
        from .stall_reporter import StallReporter

        return StallReporter(self, clock)

    def __repr__(self) -> str:
        return f"<StallRecorder: {self.stalls:,} stalls in {self.count()[1]:,} steps>"

    # -- What its reporter calls ----------------------------------------------

    def begin(self, header: Row, under_way: Callable[[], Window | None]) -> None:
        """A run begins; `under_way` tells of a stall that goes on. ValueError for a second run."""
        if self._header is not None:
            raise ValueError("this recorder already holds a run; give each run its own")
        self._header, self._under_way = header, under_way

    def count_stall(self, took: float) -> None:
        """A step has taken too long: `took` seconds."""
        self.stalls += 1
        self.stalled += took
        self.longest_step = max(self.longest_step, took)

    def keep(self, window: Window) -> None:
        """Add a window, and forget those that are too old or too many."""
        windows = self._windows
        windows.append(window)
        held = sum(len(each.rows) for each in windows)
        oldest = -math.inf if self.seconds is None else window.rows[-1][T] - self.seconds * 1e9
        while len(windows) > 1 and (held > MOST_ROWS or windows[0].rows[-1][T] < oldest):
            held -= len(windows.popleft().rows)

    def write_if_late(self, now: float) -> None:
        """Write because a pass took too long, unless that was done a while ago."""
        if now - self._written >= (self.seconds or 0):
            self._written = now
            self.write()

    def end(self, row: Row, *, broken: bool) -> None:
        """The run has ended, by an exception if it was `broken`: then write what is held."""
        self._stop, self._under_way = row, nothing
        if broken:
            self.write()


def make_window(before: list[Row], noted: list[Row], fibers: dict[int, tuple[str, Any]]) -> Window:
    """Return a window that is over. before: how fibers stood when it began; noted: what followed.

    Queue lengths and numbers of steps are not known in it, nor what its fibers do afterwards.
    """
    kept, settled = list[Row](), set[int]()
    for row in reversed(before + sorted(noted, key=_time_of)):
        ev, fid = row[EV], row[FID]
        if ev in ("spawn", "mark", "output"):
            continue
        if ev in MOVES and fid not in settled:
            if ev == "wake":
                continue  # it was not resumed in time
            settled.add(fid)
            if ev == "yield":
                row = (*row[: YIELD.OP], "unknown", None, None, *row[YIELD.SRC :])
        if ev == "wake":
            row = (*row[: WAKE.Q], None, *row[WAKE.LATE :])
        elif ev == "resume":
            row = (*row[: RESUME.STEP], None, None)
        elif ev == "poll":
            row = (*row[: POLL.Q], None, *row[POLL.NFD :])
        kept.append(row)
    kept.reverse()
    return Window(kept, fibers)


def window_under_way(
    number: int,
    named: tuple[str, Any],
    began: int,
    run_began: int,
    seen: Iterable[Sighting],
) -> Window:
    """Return what is known of a stall that goes on, of the fiber with the id `number`.

    began, run_began: when its step and the run began, time.perf_counter_ns(). seen: by a watchdog.
    """
    t = began - run_began
    rows: list[Row] = [
        (t, "wake", number, 0, None, None, None, None),
        (t, "resume", number, None, None),
    ]
    for each in seen:
        if each.seen >= began:
            at = each.seen - run_began
            rows.append((at, "stall", number, each.src, each.func, each.seen - began))
    return Window(rows, {number: named})


def nothing() -> None:
    """Tell that no stall is under way."""


def _check_seconds(name: str, value: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        or_none = "" if name == "limit" else " or None"
        raise ValueError(f"StallRecorder({name}=) is seconds > 0{or_none}, got {value!r}")
