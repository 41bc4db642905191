"""The scheduler that the lessons build: four classes, each of which adds one thing.

    Turns      lesson 02: a run queue, and passes
    Sockets    lesson 05: RECV and SEND, by select
    Sleeps     lesson 06: WAIT(seconds)
    Parks      lesson 06: WAIT(None)

This is the reference version: a lesson goes on with it where a student has no class of their own.

The rule kept here: when `poll` returns and the run queue is empty, nothing will ever fill it again.
So `run` needs only to look at the queue. It has no errors to speak of: what a fiber raises
ends the run.
"""

from __future__ import annotations

import heapq
import itertools
import select as system
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from ...io.clock import Clock, RealClock
from ...waits import RECV, SEND, WAIT

Fiber = Generator[Any, None, Any]
Select = Callable[..., tuple[list[Any], list[Any], list[Any]]]


class Turns:
    """Step 1: fibers take turns; a pass resumes each that was ready when it began."""

    def __init__(self) -> None:
        self.queue: deque[Fiber] = deque()  # the fibers that are ready

    def add(self, fiber: Fiber) -> None:
        """Put a generator into the run queue."""
        self.queue.append(fiber)

    def run(self) -> None:
        """Run until all fibers have ended."""
        while self.queue:
            self.run_ready()

    def run_ready(self) -> None:
        """Make one pass."""
        for _ in range(len(self.queue)):
            self.turn(self.queue.popleft())

    def turn(self, fiber: Fiber) -> None:
        """Resume a fiber once; then park it, unless it has ended."""
        try:
            wait = next(fiber)
        except StopIteration:
            return
        self.park(fiber, wait)

    def park(self, fiber: Fiber, wait: Any) -> None:
        """Let a fiber wait for what it has yielded: here for its next turn."""
        self.queue.append(fiber)


class Sockets(Turns):
    """Step 2: a fiber that yields RECV or SEND waits for its socket; poll asks about all."""

    def __init__(self, select: Select = system.select) -> None:
        super().__init__()
        self.select = select
        self.receivers: dict[Any, Fiber] = {}  # by its socket, the fiber that waits
        self.senders: dict[Any, Fiber] = {}

    def run(self) -> None:
        """Run until no fiber can go on."""
        while self.queue:
            self.run_ready()
            self.poll()

    def park(self, fiber: Fiber, wait: Any) -> None:
        """Note which socket a fiber waits for."""
        if isinstance(wait, RECV):
            self.receivers[wait.sock] = fiber
        elif isinstance(wait, SEND):
            self.senders[wait.sock] = fiber
        else:
            super().park(fiber, wait)

    def poll(self, longest: float | None = None) -> None:
        """Put the fibers whose sockets are ready into the run queue.

        Waits only if no fiber is ready, for `longest` seconds at most; None: as long as it takes.
        """
        if not (self.receivers or self.senders or longest):
            return  # there is nothing to ask for
        timeout = 0 if self.queue else longest
        readable, writable, _ = self.select(self.receivers, self.senders, [], timeout)
        self.queue.extend(self.receivers.pop(sock) for sock in readable)
        self.queue.extend(self.senders.pop(sock) for sock in writable)


class Sleeps(Sockets):
    """Step 3: a fiber that yields WAIT(seconds) sleeps until its deadline."""

    def __init__(self, select: Select = system.select, clock: Clock | None = None) -> None:
        super().__init__(select)
        self.clock = clock or RealClock()
        self.sleepers: list[tuple[float, int, Fiber]] = []  # a heap: the first deadline in front
        self.turns = itertools.count()  # equal deadlines: first come, first served

    def park(self, fiber: Fiber, wait: Any) -> None:
        """Note the deadline of a fiber that sleeps."""
        if isinstance(wait, WAIT) and wait.seconds:
            # Rounded as the clock is: 0.1 + 0.2 is 0.30000000000000004, and no equal of 0.3.
            deadline = round(self.clock.now() + wait.seconds, 9)
            heapq.heappush(self.sleepers, (deadline, next(self.turns), fiber))
        else:
            super().park(fiber, wait)

    def poll(self, longest: float | None = None) -> None:
        """Poll until the first deadline at most; then wake those whose deadline has come."""
        if self.sleepers:
            longest = max(0, self.sleepers[0][0] - self.clock.now())
        super().poll(longest)
        while self.sleepers and self.sleepers[0][0] <= self.clock.now():
            self.queue.append(heapq.heappop(self.sleepers)[2])


class Parks(Sleeps):
    """Step 4: a fiber that yields WAIT(None) is parked until another one has run.

    The exception: a fiber that was woken so and parks again has only looked, and wakes nothing.
    """

    def __init__(self, select: Select = system.select, clock: Clock | None = None) -> None:
        super().__init__(select, clock)
        self.parked: list[Fiber] = []
        self.looking: set[Fiber] = set()  # woken from WAIT(None), and not yet resumed

    def park(self, fiber: Fiber, wait: Any) -> None:
        """Park a fiber that waits for another one to run."""
        if isinstance(wait, WAIT) and wait.seconds is None:
            self.parked.append(fiber)
        else:
            super().park(fiber, wait)

    def turn(self, fiber: Fiber) -> None:
        """Resume a fiber once; then wake those that had parked before."""
        looked = fiber in self.looking
        self.looking.discard(fiber)
        super().turn(fiber)
        if fiber in self.parked and looked:
            return  # it has only looked: that is no news for the others
        woken = [each for each in self.parked if each is not fiber]
        self.parked = [each for each in self.parked if each is fiber]
        self.looking.update(woken)
        self.queue.extend(woken)
