"""Deadlines: a heap with one entry for each fiber, re-armed lazily.

The rule kept here: alarms ring in the order of their deadlines, equal ones in the order in
which they were asked for, and never early.

Most alarms never ring: the data comes first, and the fiber asks for a later deadline. So setting
a later one touches only the fiber. Its old entry stays in the heap; when that entry comes up, it
moves to where it belongs.

An entry is one integer: a deadline, then an order number, then the fiber's id. A heap of tuples
could hold the fiber itself. But integers are compared faster, and the garbage collector ignores
them, while it visits every tuple that lives long.

This module knows no clock and no scheduler: times are integers, in nanoseconds, and a fiber is
any object with an `id` and the two attributes of a Sleeper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Any, Protocol, TypeAlias

BITS = 48
"""The bits of an entry for the order number, and those for the id: no program counts that far."""

ID = (1 << BITS) - 1
"""The part of an entry that is the fiber's id."""

DEADLINE = 2 * BITS
"""Where in an entry the deadline begins, in bits."""


Time: TypeAlias = int | None
"""A moment or a length of time, in nanoseconds; None: there is none, or never."""


def nanoseconds(seconds: float | None) -> Time:
    """Return `seconds` as integer nanoseconds; None, which means never, for None and inf."""
    if not seconds:
        return None if seconds is None else 0
    # Cut to 30,000 years: a larger float would overflow later, in the middle of a pass.
    if seconds >= 1e12:
        return None if seconds == math.inf else 10**21
    return round(seconds * 1e9)


class Sleeper(Protocol):
    """What a fiber keeps for its alarm."""

    id: int
    _alarm: int | None  # the entry of the alarm that is set; None: none is
    _in_heap: int | None  # its entry in the heap, which may be out of date; None: it has none


def deadline_of(entry: int) -> int:
    """Return when the alarm of an entry rings, in ns."""
    return entry >> DEADLINE


class Alarms:
    """The deadlines of all fibers that have one.

    fibers: the fibers that are alive, by id; any other fiber has no alarm.
    live: how many alarms are set; stale entries do not count.
    """

    __slots__ = ("_fibers", "_heap", "_order", "live")

    def __init__(self, fibers: Mapping[int, Sleeper]) -> None:
        self.live = 0
        self._fibers = fibers
        self._heap: list[int] = []
        self._order = count(0, 1 << BITS)

    def set(self, fiber: Sleeper, deadline: int) -> None:
        """Set the alarm of `fiber`, which has none, to `deadline`."""
        self.live += 1
        fiber._alarm = entry = (deadline << DEADLINE) + next(self._order) + fiber.id
        if fiber._in_heap is None or entry < fiber._in_heap:
            fiber._in_heap = entry
            heappush(self._heap, entry)

    def clear(self, fiber: Sleeper) -> None:
        """Remove the alarm of `fiber`; its entry is dropped when it comes up."""
        fiber._alarm = None
        self.live -= 1

    def forget_old(self) -> None:
        """Rebuild the heap when most of it is out of date.

        Without this a server whose connections have long time-outs would keep an entry of each
        ended fiber until its time-out.
        """
        if len(self._heap) > 2 * self.live:
            old, self._heap = self._heap, []
            for entry in old:
                fiber = self._fibers.get(entry & ID)
                if fiber is not None and entry == fiber._in_heap:
                    fiber._in_heap = fiber._alarm
                    if fiber._alarm is not None:
                        self._heap.append(fiber._alarm)
            self._heap.sort()  # which makes it a heap

    def next(self) -> int | None:
        """Return a moment before which no alarm rings, in ns; None when none is set.

        It may be too early, never too late. Each call corrects at most one stale entry, so a
        call costs the same however many fibers have moved their deadlines.
        """
        if not self.live:
            return None
        self._first()
        return deadline_of(self._heap[0])

    def due(self, now: int) -> Any:
        """Take out and return the next fiber whose deadline is `now` or earlier, else None.

        Its `_alarm` is left for the caller to read, and to `clear`.
        """
        heap = self._heap
        later = (now + 1) << DEADLINE
        while heap and heap[0] < later:
            if (fiber := self._first()) is not None:
                fiber._in_heap = None
                heappop(heap)
                return fiber
        return None

    def _first(self) -> Sleeper | None:
        """Return the fiber of the first entry; None if the entry was stale.

        A stale entry is moved to where it belongs, or dropped.
        """
        entry = self._heap[0]
        fiber = self._fibers.get(entry & ID)
        if fiber is not None and entry == fiber._alarm:
            return fiber
        if fiber is None or entry != fiber._in_heap:
            heappop(self._heap)  # its fiber has ended, or has set an earlier alarm since
        elif (moved := fiber._alarm) is None:
            fiber._in_heap = None
            heappop(self._heap)
        else:
            fiber._in_heap = moved
            heapreplace(self._heap, moved)
        return None
