"""Deadlines: a heap with one entry for each fiber, re-armed lazily.

The rule kept here: alarms ring in the order of their deadlines, equal ones in the order in
which they were asked for, and never early.

Most time-outs never ring: the data comes first and the fiber asks for a later deadline. So
setting a later one touches only the fiber; its old entry stays in the heap, and moves to where
it belongs when it comes up. This module knows no clock and no scheduler: times are integers,
in nanoseconds, and a fiber is any object with the attributes `deadline`, `turn` and `alarm`.
"""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Any, Protocol


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

    deadline: int | None  # when it rings, ns; None: no alarm is set
    turn: int  # the order of asking, for equal deadlines
    alarm: int | None  # the time of its entry in the heap; None: it has none


class Alarms:
    """The deadlines of all fibers that have one.

    live: how many are set; entries that no longer matter do not count.
    """

    __slots__ = ("_heap", "_turns", "live")

    def __init__(self) -> None:
        self.live = 0
        self._heap: list[tuple[int, int, Sleeper]] = []
        self._turns = count()

    def set(self, fiber: Sleeper, deadline: int) -> None:
        """Let `fiber`, which has no alarm set, be due at `deadline`."""
        self.live += 1
        fiber.deadline = deadline
        fiber.turn = turn = next(self._turns)
        alarm = fiber.alarm
        if alarm is None or deadline < alarm:
            fiber.alarm = deadline
            heappush(self._heap, (deadline, turn, fiber))

    def clear(self, fiber: Sleeper) -> None:
        """Take back the alarm of `fiber`; its entry is dropped when it comes up."""
        fiber.deadline = None
        self.live -= 1

    def forget_old(self) -> None:
        """Rebuild the heap when most of it is out of date.

        Without this a server whose connections have long time-outs would keep each ended
        fiber until its time-out.
        """
        if len(self._heap) > 2 * self.live:
            for _, _, fiber in self._heap:
                fiber.alarm = fiber.deadline
            alive = {id(fiber): fiber for _, _, fiber in self._heap if fiber.deadline is not None}
            self._heap = [(f.deadline, f.turn, f) for f in alive.values() if f.deadline is not None]
            heapify(self._heap)

    def next(self) -> int | None:
        """Return a moment before which no alarm rings, in ns; None when none is set.

        It may be early, never late: one stale entry is put right at each call, so the price
        of a look stays the same however many fibers have moved their deadlines.
        """
        if not self.live:
            return None
        self._repair_first()
        return self._heap[0][0]

    def due(self, now: int) -> Any:
        """Take out and return the next fiber whose deadline is `now` or earlier, else None.

        Its `deadline` is left for the caller to read, and to `clear`.
        """
        heap = self._heap
        while heap and heap[0][0] <= now:
            if not self._repair_first():
                fiber = heappop(heap)[2]
                fiber.alarm = None
                return fiber
        return None

    def _repair_first(self) -> bool:
        """Move or drop the first entry if it is out of date; return whether it was."""
        time, turn, fiber = self._heap[0]
        if time == fiber.alarm and turn == fiber.turn and fiber.deadline is not None:
            return False
        if time != fiber.alarm:  # an earlier deadline has had an entry of its own since
            heappop(self._heap)
        elif fiber.deadline is None:
            fiber.alarm = None
            heappop(self._heap)
        else:
            fiber.alarm = fiber.deadline
            heapreplace(self._heap, (fiber.deadline, fiber.turn, fiber))
        return True
