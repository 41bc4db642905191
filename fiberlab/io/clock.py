"""The clock: one of the two seams between the scheduler and the world, and the real one.

The rule kept here: a clock never goes back. Deadlines are kept in integer nanoseconds, which
`now_ns` returns; `now` returns the same in seconds, for people.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    name: str
    """What the header of a trace calls it."""

    def now(self) -> float:
        """Return seconds since some fixed moment; never goes back."""
        ...

    def now_ns(self) -> int:
        """Return the same in integer nanoseconds, in which deadlines are kept."""
        ...


class RealClock:
    """The system's clock for intervals (see time.perf_counter)."""

    name = "perf_counter"
    now = staticmethod(time.perf_counter)
    now_ns = staticmethod(time.perf_counter_ns)
