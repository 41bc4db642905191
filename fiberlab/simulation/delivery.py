"""What is on its way in a simulated network, and how long it takes.

The rule kept here: everything happens at a moment, in integer nanoseconds, in the order of the
moments; at equal moments, in the order of sending. So a run is the same each time.

What this module does not know: what the events do, and how time passes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from itertools import count
from typing import Any

Action = Callable[[int, Any], None]


class Events:
    """What is on its way, and the fibers that it has reached.

    ready: the fibers that may be ready now, in the order of the events (the values mean nothing).
    """

    __slots__ = ("_heap", "_order", "ready")

    def __init__(self) -> None:
        self.ready: dict[Any, None] = {}
        self._heap: list[tuple[int, int, Action, Any]] = []
        self._order = count()

    def notify(self, fiber: Any) -> None:
        """Note that `fiber`, if there is one, may have become ready."""
        if fiber is not None:
            self.ready[fiber] = None

    def schedule(self, moment: int, action: Action, argument: Any) -> None:
        """Call ``action(moment, argument)`` once the clock has reached `moment`, in ns."""
        heappush(self._heap, (moment, next(self._order), action, argument))

    def next(self) -> int | None:
        """Return the moment of the next event, None if nothing is on its way."""
        return self._heap[0][0] if self._heap else None

    def run(self, now: int) -> None:
        """Let everything happen that is due at `now`, each event at its own moment."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            moment, _, action, argument = heappop(heap)
            action(moment, argument)


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
