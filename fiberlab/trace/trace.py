"""The trace: one event for everything the scheduler does, kept in memory and on disk.

The rule kept here: only events are stored, as they happened and in order; spans, sums and
diagnoses are always made from them (see ``fiberlab.spans``). Times are integer nanoseconds since
the run began; fiber 0 is the scheduler itself.

``events`` says which events there are and how one is kept; ``file`` writes and reads them. This
module knows no scheduler: a trace from disk is studied without one.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from .dense import SURVIVE, DenseRows
from .events import (
    EV,
    STOP,
    Row,
    T,
    TraceEvent,
)
from .file import FileLimits, Progress, read_rows, write_rows
from .packed import PackedRows

_time_of = itemgetter(T)


class UnderWay(NamedTuple):
    """What is not recorded yet of a run that goes on.

    now: nanoseconds since it began. stalls: rows of the step that still runs, to be recorded when
    it ends. cpu: nanoseconds of processor time of that step so far; None: not known.
    """

    now: int
    stalls: list[Row]
    cpu: int | None


class Trace:
    """A recorder of one run: give it to a Scheduler as ``trace=``.

    limit: how many events to keep; seconds: for how long (None: for ever). As in a flight
    recorder, the oldest are dropped and counted. But `start` and `spawn` events survive (as many
    again as `limit`), so that every fiber keeps its name. While the run goes on there may be a
    quarter more.
    stall_after: seconds after which the watchdog looks into a step that is still running, to find
    the line that holds the loop (an event `stall`); None: never. Only in real time.
    cpu: measure the processor time of each step; two system calls a step.
    hidden: measure how long data had been there when a fiber was woken for it; two system calls
    for each such wake. Real sockets know it on Linux only, simulated ones always and exactly.
    """

    def __init__(
        self,
        limit: int = 200_000,
        *,
        seconds: float | None = None,
        stall_after: float | None = 0.05,
        cpu: bool = False,
        hidden: bool = False,
    ) -> None:
        if limit < 1:
            raise ValueError(f"Trace(limit) must keep at least one event, got {limit!r}")
        if seconds is not None and not seconds > 0:
            raise ValueError(f"Trace(seconds=) is seconds > 0 or None, got {seconds!r}")
        if stall_after is not None and not stall_after > 0:
            raise ValueError(f"Trace(stall_after=) is seconds > 0 or None, got {stall_after!r}")
        self.limit = limit
        self.seconds = seconds
        self.stall_after = stall_after
        self.cpu = cpu
        self.hidden = hidden
        self._dropped = 0
        self.unfinished = False
        self.cost: int | None = None
        """Nanoseconds that recording took, estimated at the end of the run; None: not known."""
        self.under_way: Callable[[], UnderWay] | None = None
        """From the making of a Scheduler in real time until its run has ended: tells what is not
        recorded yet; from any thread."""
        self.rows: list[Row] | DenseRows | PackedRows = []
        self._kept: list[Row] = []

    def __call__(self, event: TraceEvent) -> None:
        """Record `event`: what a scheduler, or an adapter for another one, calls."""
        self.rows.append(event.to_row())
        self.trim()

    def trim(self, slack: float = 0.25) -> None:
        """Drop the oldest events if there are too many; an adapter calls it once a pass.

        slack: the share by which there may be too many before any are dropped. They are dropped
        many at a time, because each drop moves the whole rest of the list.
        """
        rows = self.rows
        if isinstance(rows, DenseRows):
            if not slack:
                rows.end()
            return  # while the run goes on, it does that by itself
        excess = len(rows) - self.limit
        excess = excess if excess > slack * self.limit else 0
        if self.seconds is not None and rows:
            oldest = rows[-1][T] - round(self.seconds * 1e9)
            if rows[0][T] < oldest - slack * self.seconds * 1e9:
                excess = max(excess, bisect_left(rows, oldest, key=_time_of))
        if excess:
            named = [row for row in rows[:excess] if row[EV] in SURVIVE]
            kept = self._kept + named
            forgotten = max(0, len(kept) - 1 - self.limit)
            del kept[1 : 1 + forgotten]
            dropped = self._dropped + excess - len(named) + forgotten
            if not isinstance(rows, list):  # a trace that was loaded, and goes on
                rows = self.rows = list(rows)
            # All at once, without a call: ^C comes between calls.
            rows[:excess], self._kept, self._dropped = (), kept, dropped

    @property
    def dropped(self) -> int:
        """How many events were dropped."""
        return self.rows.dropped if isinstance(self.rows, DenseRows) else self._dropped

    def all_rows(self) -> Sequence[Row]:
        """Return every event kept, as rows in order; the stage `build_spans` starts from."""
        if isinstance(dense := self.rows, DenseRows):
            rows = list(iter(dense.copy()))
            if rows and rows[-1][EV] == "stop":  # the run is over: they are made once
                self.rows, self._dropped = rows, dense.dropped
            return rows[:]
        return self._kept + self.rows if isinstance(self.rows, list) else self.rows

    def rows_now(self) -> Sequence[Row]:
        """Return the rows as they are at this moment, to be made when they are read.

        From any thread, and quickly: a run that goes on is not held up.
        """
        return self.rows.copy() if isinstance(self.rows, DenseRows) else list(self.all_rows())

    def rows_since(self, number: int) -> tuple[list[Row], int, Sequence[Row]]:
        """Return the rows of a run that goes on, from an event's number on; from any thread.

        Events are counted from 0, dropped ones too. Before them come the rows that survived
        when others were dropped, and the number of the first: if it is a later one than was
        asked for, those between are dropped.
        """
        if isinstance(self.rows, DenseRows):
            return self.rows.copy().since(number)
        first = self._dropped + len(self._kept)
        return self._kept, max(first, number), self.rows[max(0, number - first) :]

    def __iter__(self) -> Iterator[TraceEvent]:
        return map(TraceEvent.from_row, self.all_rows())

    def __len__(self) -> int:
        return len(self._kept) + len(self.rows)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Trace) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows = self.all_rows()
        fibers = sum(row[EV] == "spawn" for row in rows)
        seconds = (rows[-1][T] - rows[0][T]) / 1e9 if rows else 0.0
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        return f"<Trace: {len(rows)} events of {fibers} fibers in {seconds:.3f} s{dropped}>"

    @property
    def header(self) -> dict[str, Any]:
        """The fields of `start`: schema, clock, unit, python, wall, source; {} if it is missing."""
        for row in self.all_rows():
            if row[EV] == "start":
                return TraceEvent.from_row(row).fields
        return {}

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        output: bool = True,
        progress: Progress | None = None,
    ) -> None:
        """Write the trace to `path` as JSON Lines, compressed if the name ends in ``.gz``.

        output: False leaves out what the fibers printed. progress: called with the share done,
        0 to 1. A file at `path` is replaced as a whole, at the end.
        """
        rows = self.all_rows()
        if not output:
            rows = [row for row in rows if row[EV] != "output"]
        write_rows(rows, path, progress)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        limits: FileLimits = FileLimits(),  # noqa: B008 - it cannot be changed
        progress: Progress | None = None,
    ) -> Trace:
        """Read a trace from `path`; raise TraceError with the line if it is damaged or no trace.

        If its end was cut off, the trace is loaded up to there and marked as `unfinished`.
        limits: how much to read before the file is refused. progress: as for `save`.
        """
        trace = cls()
        trace.rows, trace.unfinished = read_rows(path, limits, progress)
        trace.limit = max(trace.limit, len(trace.rows))
        last = trace.rows[-1]
        trace._dropped = (last[STOP.DROPPED] or 0) if last[EV] == "stop" else 0
        return trace


def rows_of(trace: Trace | Iterable[TraceEvent]) -> Sequence[Row]:
    """Return the rows of a Trace, or of any iterable of events such as a list.

    Raises TypeError for what is neither.
    """
    if isinstance(trace, Trace):
        return trace.all_rows()
    try:
        return [event.to_row() for event in trace]
    except (TypeError, AttributeError):
        raise TypeError(
            f"a Trace is needed, or a list of its events, got {trace!r}{_remedy(trace)}"
        ) from None


def _remedy(given: object) -> str:
    """Say what was probably meant by what is no trace."""
    if isinstance(given, (str, os.PathLike)):
        return ": load it by Trace.load(path)"
    if hasattr(given, "trace"):  # a server, or a StallRecorder
        return f": give its .trace{'' if isinstance(given.trace, Trace) else '()'}"
    return ""
