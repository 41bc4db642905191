"""A server in simulated time that gets more requests than it can answer, for lessons 09 and 13."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from ...fiber import Fiber, RunQueue, start
from ...scheduler import Scheduler
from ...simulation.network import SimulatedClock, SimulatedNetwork
from ...waits import WAIT, Wait

SERVICE = 0.01
"""Seconds that the server works for one request, so it can answer a hundred a second."""

PATIENCE = 0.1
"""Seconds after which a client gives up."""

SECONDS = 10.0
SEED = 2


@dataclass
class Request:
    """One request; times in seconds since the beginning.

    answered: None if it was refused.
    """

    due: float
    answered: float | None = None

    @property
    def latency(self) -> float | None:
        """Seconds from the moment it was due to its answer."""
        return None if self.answered is None else self.answered - self.due

    @property
    def in_time(self) -> bool:
        """Whether the client was still there when the answer came."""
        return self.latency is not None and self.latency <= PATIENCE


class AcceptFirst:
    """A run queue that resumes one fiber a pass: the one that accepts, else the policy's choice.

    A pass resumes as many fibers as it found in the run queue. Said to be one at most, the next
    choice is made when all are known that have come meanwhile.
    """

    def __init__(self, policy: RunQueue) -> None:
        self.policy, self.accepting = policy, deque[Fiber]()

    def append(self, fiber: Fiber) -> None:
        """Add a fiber that has become ready."""
        (self.accepting if fiber.name == "accept" else self.policy).append(fiber)

    def popleft(self) -> Fiber:
        """Take out the fiber to be resumed next."""
        return (self.accepting or self.policy).popleft()

    def __len__(self) -> int:
        return min(1, len(self.accepting) + len(self.policy))


def overload(
    policy: RunQueue, load: float, bound: int | None = None, *, seconds: float = SECONDS
) -> list[Request]:
    """Run a server in simulated time for so many `seconds`, and return its requests in order.

    policy: the run queue, empty. load: requests due, as a part of those the server can answer;
    they come as from independent users (Poisson arrivals: the gaps are exponential), the same
    each time. bound: refuse a request that finds so many waiting.
    """
    network = SimulatedNetwork()
    clock, requests = network.clock, list[Request]()

    def accept() -> Generator[Wait, None, None]:
        chance, due = random.Random(SEED), 0.0
        while due < seconds:
            if due > clock.now():
                yield WAIT(due - clock.now())
            requests.append(Request(due))
            if bound is None or len(policy) < bound:
                start(answer(requests[-1], clock))
            due += chance.expovariate(load / SERVICE)

    scheduler = Scheduler(clock=clock, poller=network, run_queue=AcceptFirst(policy))
    scheduler.add(accept(), "accept")
    scheduler.run()
    return requests


def answer(request: Request, clock: SimulatedClock) -> Generator[Wait, None, None]:
    """Answer one request, in one step."""
    clock.burn(SERVICE)
    request.answered = clock.now()
    yield from ()  # a generator, though it never waits


def share_in_time(requests: Sequence[Request]) -> float:
    """Return which part of the requests was answered in time."""
    return sum(each.in_time for each in requests) / len(requests)
