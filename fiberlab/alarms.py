"""Deadlines: a heap with one entry for each fiber, re-armed lazily.

The rule kept here: alarms ring in the order of their deadlines, equal ones in the order in
which they were asked for, and never early.

Most time-outs never ring: the data comes first and the fiber asks for a later deadline. So
setting a later one touches only the fiber; its old entry stays in the heap, and moves to where
it belongs when it comes up.

An entry is one integer, a deadline with the number of its turn behind it, and a table tells
whose it is. A heap of tuples would be a table less; but integers are compared faster, and the
garbage collector, which looks through every tuple that lives long, leaves them alone.

This module knows no clock and no scheduler: times are integers, in nanoseconds, and a fiber is
any object with the attributes `entry` and `alarm`.
"""

from __future__ import annotations

import math
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Any, Protocol

TURN_BITS = 64
"""How much of an entry is for the number of the turn: no program counts that far."""


def nanoseconds(seconds: float | None) -> int | None:
    """Return `seconds` as the integer nanoseconds alarms use; None, never, for None and inf."""
    if not seconds:
        return None if seconds is None else 0
    # Cut to 30,000 years: a larger float would overflow, where nobody can be told any more.
    if seconds >= 1e12:
        return None if seconds == math.inf else 10**21
    return round(seconds * 1e9)


class Sleeper(Protocol):
    """What a fiber keeps for its alarm."""

    entry: int | None  # of the alarm that is set; None: none is
    alarm: int | None  # the entry that is in the heap; None: it has none


def deadline_of(entry: int) -> int:
    """Return when the alarm of an entry rings, in ns."""
    return entry >> TURN_BITS


class Alarms:
    """The deadlines of all fibers that have one.

    live: how many are set; entries that no longer matter do not count.
    """

    __slots__ = ("_heap", "_sleepers", "_turns", "live")

    def __init__(self) -> None:
        self.live = 0
        self._heap: list[int] = []
        self._sleepers: dict[int, Sleeper] = {}  # by their entries
        self._turns = count()

    def set(self, fiber: Sleeper, deadline: int) -> None:
        """Let `fiber`, which has no alarm set, be due at `deadline`."""
        self.live += 1
        fiber.entry = entry = (deadline << TURN_BITS) + next(self._turns)
        if fiber.alarm is None or entry < fiber.alarm:
            self._sleepers[entry] = fiber
            fiber.alarm = entry
            heappush(self._heap, entry)

    def clear(self, fiber: Sleeper) -> None:
        """Take back the alarm of `fiber`; its entry is dropped when it comes up."""
        fiber.entry = None
        self.live -= 1

    def forget_old(self) -> None:
        """Rebuild the heap when most of it is out of date.

        Without this a server whose connections have long time-outs would keep each ended
        fiber until its time-out.
        """
        if len(self._heap) > 2 * self.live:
            for fiber in self._sleepers.values():
                fiber.alarm = fiber.entry
            alive = self._sleepers.values()
            self._sleepers = {each.entry: each for each in alive if each.entry is not None}
            self._heap = sorted(self._sleepers)  # which is a heap

    def next(self) -> int | None:
        """Return a moment before which no alarm rings, in ns; None when none is set.

        It may be early, never late: one stale entry is put right at each call, so the price
        of a look stays the same however many fibers have moved their deadlines.
        """
        if not self.live:
            return None
        self._repair_first()
        return deadline_of(self._heap[0])

    def due(self, now: int) -> Any:
        """Take out and return the next fiber whose deadline is `now` or earlier, else None.

        Its `entry` is left for the caller to read, and to `clear`.
        """
        heap = self._heap
        later = (now + 1) << TURN_BITS
        while heap and heap[0] < later:
            if not self._repair_first():
                fiber = self._sleepers.pop(heappop(heap))
                fiber.alarm = None
                return fiber
        return None

    def _repair_first(self) -> bool:
        """Move or drop the first entry if it is out of date; return whether it was."""
        entry = self._heap[0]
        fiber = self._sleepers[entry]
        if entry == fiber.entry:
            return False
        if entry != fiber.alarm:  # an earlier deadline has had an entry of its own since
            heappop(self._heap)
        elif fiber.entry is None:
            fiber.alarm = None
            heappop(self._heap)
        else:
            fiber.alarm = fiber.entry
            self._sleepers[fiber.entry] = fiber
            heapreplace(self._heap, fiber.entry)
        del self._sleepers[entry]
        return True
