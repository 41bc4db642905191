"""Arrows: which fiber woke which, and where an arrow for that begins and ends.

The rule kept here: an arrow begins inside a slice of the waker and ends inside a slice of the
woken fiber. If there is no such slice, since a step took no time, there is no arrow. A fiber that
woke itself by WAIT(0) has none either.

This module knows no format and draws nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

from ..states import RUNNING
from ..trace.events import FID, WAKE, Row, T
from .spans import Spans


class Arrow(NamedTuple):
    """A wake to draw: from `by` (0: the scheduler) at `left`, to `fiber` at `came`; in ns."""

    by: int
    left: int
    fiber: int
    came: int


class Arrows:
    """What `find_arrows` found.

    arrows: in the order of the wakes. wakings: for each time the scheduler woke fibers, its
    begin, its end and how many fibers.
    """

    def __init__(self) -> None:
        self.arrows: list[Arrow] = []
        self.wakings: list[tuple[int, int, int]] = []


def find_arrows(spans: Spans) -> Arrows:
    """Return an arrow for each wake, from the step or the poll it happened in."""
    return _Finder(spans).find()


class _Finder:
    """Goes through the events once."""

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self.found = Arrows()
        self.begun = {number: i for i, number in enumerate(spans.first)}  # event -> its span
        self.steps: dict[int, int] = {}  # fiber -> its last step
        self.poll: tuple[int, int] | None = None  # the poll that has just ended
        self.since = 0  # when the scheduler began to wake
        self.woken: list[tuple[int, Row]] = []  # by the scheduler, since then

    def find(self) -> Arrows:
        """Take each event in turn."""
        asked = before = 0
        for number, row in enumerate(self.spans.rows):
            t, ev, fid = row[:3]
            if ev == "wake":
                if row[WAKE.WHY] == "yield":
                    pass  # after WAIT(0): it has been ready since it yielded
                elif row[WAKE.BY]:
                    self.from_fiber(number, row)
                else:
                    self.since = self.since if self.woken else before
                    self.woken.append((number, row))
            elif ev in ("resume", "poll", "polled", "stop"):
                self.from_scheduler()
                self.poll = (asked, t) if ev == "polled" else None
                asked = t
                if ev == "resume":
                    self.steps[fid] = self.begun[number]
            if ev != "stall":
                before = t
        self.from_scheduler()
        return self.found

    def from_fiber(self, number: int, row: Row) -> None:
        """Draw the arrow of a wake that another fiber caused."""
        spans, waker = self.spans, row[WAKE.BY]
        step = self.steps.get(waker)
        if step is not None and waker != row[FID] and spans.end[step] > spans.start[step]:
            # WAIT(None) is answered when the waker's step is just over.
            t = min(row[T], spans.end[step] - 1)
            self.arrow(waker, t, number, row)

    def from_scheduler(self) -> None:
        """Draw the arrows to the fibers that the scheduler woke together, and note the time."""
        woken, self.woken = self.woken, []
        if not woken:
            return
        end = woken[-1][1][T]
        if end > self.since:
            self.found.wakings.append((self.since, end, len(woken)))
        elif self.poll is not None and self.poll[0] < self.poll[1] == end:
            pass  # woken in no time: they leave from the end of the poll
        else:
            return
        for number, row in woken:
            self.arrow(0, min(row[T], end - 1), number, row)

    def arrow(self, by: int, left: int, number: int, row: Row) -> None:
        """Keep an arrow to the fiber of a wake, if that can be seen."""
        if self.is_seen(number, row):
            self.found.arrows.append(Arrow(by, left, row[FID], row[T]))

    def is_seen(self, number: int, row: Row) -> bool:
        """Whether the fiber of a wake has a slice then, as ready or at least as running."""
        spans, i = self.spans, self.begun.get(number)
        if i is None:
            return False
        if spans.end[i] > row[T]:
            return True
        mine = spans.indexes(row[FID])
        after = bisect_left(mine, i) + 1
        if after == len(mine) or spans.state[mine[after]] != RUNNING:
            return False
        begun, t = spans.start[mine[after]], int(row[T])
        return begun == t < spans.end[mine[after]]
