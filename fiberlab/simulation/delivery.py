"""What is on its way in a simulated network, and how long it takes.

The rule kept here: everything happens at a moment, in integer nanoseconds, in the order of the
moments; at equal moments, in the order of sending. So a run is the same each time. Only rivals
(clients that reach one listener at one moment) can come in another order, if `choose` says so.

What this module does not know: what the events do, and how time passes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any

Action = Callable[[int, Any], None]


class Events:
    """What is on its way, and the fibers that it has reached.

    ready: the fibers that may be ready now, in the order of the events (the values mean nothing).
    choose: called with how many rivals are due at one moment, returns which of them comes first.
    """

    __slots__ = ("_heap", "_order", "choose", "ready")

    def __init__(self) -> None:
        self.ready: dict[Any, None] = {}
        self.choose: Callable[[int], int] | None = None
        self._heap: list[tuple[int, int, Action, Any, Any]] = []
        self._order = count()

    def notify(self, fiber: Any) -> None:
        """Note that `fiber`, if there is one, may have become ready."""
        if fiber is not None:
            self.ready[fiber] = None

    def schedule(self, moment: int, action: Action, argument: Any, rival: Any = None) -> None:
        """Call ``action(moment, argument)`` once the clock has reached `moment`, in ns.

        rival: what it competes for with others of the same moment and rival; None: nothing.
        """
        heappush(self._heap, (moment, next(self._order), action, argument, rival))

    def next(self) -> int | None:
        """Return the moment of the next event, None if nothing is on its way."""
        return self._heap[0][0] if self._heap else None

    def run(self, now: int) -> None:
        """Let everything happen that is due at `now`, each event at its own moment."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            if self.choose is not None and heap[0][4] is not None:
                self._put_first(self.choose)
            moment, _, action, argument, _ = heappop(heap)
            action(moment, argument)

    def _put_first(self, choose: Callable[[int], int]) -> None:
        """Let `choose` say which rival of the first event takes its place."""
        heap = self._heap
        first = heap[0]
        rivals = sorted(e for e in heap if e[0] == first[0] and e[4] == first[4])
        if len(rivals) > 1 and (chosen := rivals[choose(len(rivals))]) is not first:
            # The two change places; the others keep theirs until their turn to be first.
            heap.remove(chosen)
            heap.append((first[0], first[1], *chosen[2:]))
            heap.remove(first)
            heap.append((first[0], chosen[1], *first[2:]))
            heapify(heap)


@dataclass(frozen=True)
class Link:
    """How long a connection takes: `latency` ns one way, `bandwidth` bytes a second or None."""

    latency: int = 0
    bandwidth: Fraction | None = None

    def time_for(self, size_bytes: int) -> int:
        """Return how many ns it takes until `size_bytes` have left, rounded up."""
        assert self.bandwidth is not None
        # Integers all the way: a float would lose nanoseconds in a long transfer.
        work = size_bytes * 1_000_000_000 * self.bandwidth.denominator
        return -(-work // self.bandwidth.numerator)


def os_error(code: int, more: str = "") -> OSError:
    """Return the error for an errno; OSError picks its own subclass, as BlockingIOError."""
    return OSError(code, os.strerror(code) + more)
