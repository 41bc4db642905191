"""Dense rows: what is recorded of a run under way, one record for each step; rows are made later.

The rule kept here: what is recorded in a hurry is a few cells at the end of one list, as they are
at that moment. Times since the run began, numbers of steps and the rows themselves are worked
out when somebody reads. So a record is no object that the garbage collector would visit.

A record begins with its kind. Its times are the clock's.

| record | the events it becomes |
| --- | --- |
| STEP, began, q, ended, fiber, op, number, code, offset, cpu, why, ready | resume, yield, wake |
| RESUME, began, q, fiber | resume; `began` is None then in the step's own record |
| WAKE, time, by, why, q, late, n, and n ids | a wake of each of these fibers |
| POLL, time, timeout, q, nfd, ntimer | poll |
| POLLED, time, n | polled |
| ROW, row | the event that the row is |

In a step's record `number` is the descriptor's, or nanoseconds for a WAIT. `why` is None if the
fiber waits; else it is why it was ready again at once, and `ready` the length of the run queue.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, overload

from .events import EV, Row, T

STEP, RESUME, WAKE, POLL, POLLED, ROW = range(6)
"""The kinds of record."""

SURVIVE = ("start", "spawn")
"""The kinds of event that are kept when others are dropped: they tell what a fiber is called."""

_PARTS = 8
"""What is dropped together is at most this part of what is kept."""

_MOST = 50_000
"""A block has so many cells, or a few more: what came since is looked for in the newest ones."""


class _Block(NamedTuple):
    """Records that are dropped together.

    steps, events: how many came before them. began: when the first could come. named: the rows
    in it that survive.
    """

    cells: list[Any]
    steps: int
    events: int
    began: int
    named: list[Row]


class DenseRows(Sequence[Row]):
    """The rows of a run under way, that of a step which has not ended among them.

    clock: tells the time in ns. limit, seconds: how many events to keep, and for how long.
    cells: the newest records. began, q, fiber: of the step which has not ended; `began` is None
    if there is none, or if it has a record RESUME. begun: when the run began. polls: how many
    there were. kept, dropped: the rows that survived, and how many events were dropped.
    Another thread reads a `copy`.
    """

    def __init__(
        self, clock: Callable[[], int], limit: int = 1, seconds: float | None = None
    ) -> None:
        self.cells: list[Any] = []
        self.began: int | None = None
        self.begun = self.q = self.fiber = self.polls = self.dropped = 0
        self.kept: list[Row] = []
        self._clock, self._limit = clock, limit
        self._most = min(_MOST, limit * 4 // _PARTS)  # four cells an event, or so
        self._span = math.inf if seconds is None else seconds * 1e9
        self._steps = 0  # how many began before this pass
        self._others = 0  # how many events came that are no part of a step or a poll
        self._blocks: list[_Block] = []
        self._newest = _Block(self.cells, 0, 0, clock(), [])

    # -- Recording ------------------------------------------------------------

    def append(self, row: Row) -> None:
        """Add an event."""
        self.add_resume()
        self.cells += ROW, row
        if row[EV] not in ("wake", "exit"):
            self._others += 1
        if row[EV] in SURVIVE:
            self._newest.named.append(row)

    def add_resume(self) -> None:
        """Record that the step under way has begun, since more is to be told of it."""
        if self.began is not None:
            record = RESUME, self.began, self.q, self.fiber
            # At once, as below: the fiber may catch a ^C that comes here, and go on.
            self.cells[len(self.cells) :], self.began = record, None

    def begin_pass(self, ready: int) -> None:
        """A pass begins with so many fibers ready: the moment to drop what is too old."""
        full = len(self.cells) > self._most
        if full or self._span < math.inf:
            now = self._clock()
            if full or now - self._newest.began > self._span / _PARTS:
                self._end_block(ready, now)
        self._steps += ready

    def _end_block(self, ready: int, now: int) -> None:
        """Begin a new block, and drop the oldest ones that need not be kept."""
        # Each step is three events, its wake among them. Those that are ready have had theirs.
        events = 3 * self._steps + ready + 2 * self.polls + self._others
        cells: list[Any] = []
        newest = _Block(cells, self._steps, events, now, [])
        blocks, kept = [*self._blocks, self._newest, newest], self.kept
        while events - blocks[1].events >= self._limit or now - blocks[1].began > self._span:
            kept = kept + blocks.pop(0).named
        kept = kept[:1] + kept[1 + max(0, len(kept) - 1 - self._limit) :]
        state = blocks[:-1], newest, cells, kept, blocks[0].events - len(kept)
        # All at once, without a call: ^C comes between calls, and so does another thread.
        self._blocks, self._newest, self.cells, self.kept, self.dropped = state

    def end(self) -> None:
        """The run is over: keep what is to be kept to the event, and no more."""
        blocks, kept = self._all_blocks(), self.kept
        start = blocks[0].events
        # Counting is work; a cell is one event at most.
        few = self._newest.events + len(self.cells) - start <= self._limit
        if few and self._span == math.inf:
            return
        first = self.dropped + len(self) - self._limit  # the number of the first to be kept
        oldest = self._clock() - self.begun - self._span
        while blocks:
            rows = list(self._rows_in(blocks[:1]))
            late = [row for n, row in enumerate(rows, start) if n >= first and row[T] >= oldest]
            early = rows[: len(rows) - len(late)]
            start += len(early)
            kept = kept + [row for row in early if row[EV] in SURVIVE]
            if late or len(blocks) == 1:
                break
            del blocks[0]
        if start == self.dropped + len(self.kept):
            return
        cells = [cell for row in late for cell in (ROW, row)]
        blocks[0] = blocks[0]._replace(cells=cells, events=start)
        kept = kept[:1] + kept[1 + max(0, len(kept) - 1 - self._limit) :]
        state = blocks[:-1], blocks[-1], blocks[-1].cells, kept, start - len(kept)
        # All at once, as above.
        self._blocks, self._newest, self.cells, self.kept, self.dropped = state

    # -- Reading --------------------------------------------------------------

    def copy(self) -> DenseRows:
        """Return the rows as they are at this moment; from any thread."""
        # All at once, as above.
        cells, began, q, fiber = self.cells[:], self.began, self.q, self.fiber
        blocks, newest, kept, dropped = self._blocks, self._newest, self.kept, self.dropped
        made = DenseRows(self._clock)
        made.cells, made.began, made.q, made.fiber = cells, began, q, fiber
        made.kept, made.dropped, made.begun = kept, dropped, self.begun
        made._blocks, made._newest = blocks, newest._replace(cells=cells)
        return made

    def since(self, number: int) -> tuple[list[Row], int, list[Row]]:
        """Do what `Trace.rows_since` promises."""
        blocks = self._all_blocks()
        while len(blocks) > 1 and blocks[1].events <= number:
            del blocks[0]
        rows, first = list(self._rows_in(blocks)), blocks[0].events
        return self.kept, max(first, number), rows[max(0, number - first) :]

    def take(self) -> list[Row]:
        """Return the rows of all records, and forget them; for what is told at once."""
        cells, self.cells = self.cells, []
        rows = list(self._rows_of(cells, self._steps))
        self._steps += sum(row[EV] == "resume" for row in rows)
        return rows

    def __iter__(self) -> Iterator[Row]:
        yield from self.kept
        yield from self._rows_in(self._all_blocks())

    def __reversed__(self) -> Iterator[Row]:
        for block in reversed(self._all_blocks()):
            yield from reversed(list(self._rows_in([block])))
        yield from reversed(self.kept)

    def __len__(self) -> int:
        return self._newest.events - self.dropped + sum(1 for _ in self._rows_in([self._newest]))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return list(iter(self))[index]

    def _all_blocks(self) -> list[_Block]:
        return [*self._blocks, self._newest]

    def _rows_in(self, blocks: list[_Block]) -> Iterator[Row]:
        """Make the rows of `blocks`; the step that has not ended belongs to the newest."""
        for block in blocks:
            yield from self._rows_of(block.cells, block.steps, block is self._newest)

    def _rows_of(self, cells: list[Any], steps: int, newest: bool = False) -> Iterator[Row]:
        """Make the rows of some records, before which there were so many steps."""
        begun, at, end = self.begun, 0, len(cells)
        while at < end:
            kind = cells[at]
            if kind == STEP:
                began, q, ended, fiber, op, number, code, offset, cpu, why, ready = cells[
                    at + 1 : at + 12
                ]
                at += 12
                if began is not None:
                    steps += 1
                    yield began - begun, "resume", fiber, steps, q
                t, src = ended - begun, None if code is None else (code, offset)
                fd, dt = (None, number) if op == "WAIT" else (number, None)
                yield t, "yield", fiber, op, fd, dt, src, cpu
                if why is not None:
                    by = 0 if why == "io" else fiber
                    yield t, "wake", fiber, by, why, ready, None, None
            elif kind == WAKE:
                time, by, why, q, late, count = cells[at + 1 : at + 7]
                at += 7 + count
                t, q = time - begun, q - count
                for fiber in cells[at - count : at]:
                    q += 1
                    yield t, "wake", fiber, by, why, q, late, None
            elif kind == POLL:
                time, *fields = cells[at + 1 : at + 6]
                at += 6
                yield time - begun, "poll", 0, *fields
            elif kind == POLLED:
                yield cells[at + 1] - begun, "polled", 0, cells[at + 2]
                at += 3
            elif kind == RESUME:
                steps += 1
                yield cells[at + 1] - begun, "resume", cells[at + 3], steps, cells[at + 2]
                at += 4
            else:
                yield cells[at + 1]
                at += 2
        if newest and self.began is not None:
            yield self.began - begun, "resume", self.fiber, steps + 1, self.q
