"""The toy scheduler of lesson 02 as a class, so that lessons 05 and 06 can add to it.

A toy: it has no sockets, no trace and no errors to speak of. It has the three verbs of the real
one, though, in the order in which that has them: resume all that are ready, poll, expire deadlines.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Generator
from typing import Any

from ...simulation.network import SimulatedClock

Fiber = Generator[Any, None, Any]


class Toy:
    """Runs generators that yield None, to go on in the next pass, or seconds, to sleep."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.queue: deque[Fiber] = deque()  # those that are ready
        self.sleepers: list[tuple[float, int, Fiber]] = []  # a heap, the earliest first
        self.turns = itertools.count()  # equal deadlines: first come, first served

    def add(self, fiber: Fiber) -> None:
        """Put a generator into the run queue."""
        self.queue.append(fiber)

    def run(self) -> None:
        """Run until no fiber is left."""
        while self.queue or self.sleepers:
            self.run_ready()
            self.poll()
            self.expire()

    def run_ready(self) -> None:
        """Resume each fiber that is ready now, once."""
        for _ in range(len(self.queue)):
            fiber = self.queue.popleft()
            try:
                wait = next(fiber)
            except StopIteration:
                continue
            self.park(fiber, wait)

    def park(self, fiber: Fiber, wait: Any) -> None:
        """Let a fiber wait for what it has yielded."""
        if wait:
            # Rounded as the clock is: it would never reach the 0.30000000000000004 of 0.1 + 0.2.
            deadline = round(self.clock.now() + wait, 9)
            heapq.heappush(self.sleepers, (deadline, next(self.turns), fiber))
        else:
            self.queue.append(fiber)

    def poll(self) -> None:
        """If no fiber is ready, let time pass until one is."""
        if self.sleepers and not self.queue:
            self.clock.burn(max(0, self.sleepers[0][0] - self.clock.now()))

    def expire(self) -> None:
        """Make the fibers ready that have slept long enough."""
        while self.sleepers and self.sleepers[0][0] <= self.clock.now():
            self.queue.append(heapq.heappop(self.sleepers)[2])
