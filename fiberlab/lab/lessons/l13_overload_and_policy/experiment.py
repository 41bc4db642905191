"""The experiment of lesson 13: three fibers of different rank, and a lock that two of them need."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ....fiber import RunQueue
from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....trace.trace import Trace
from ....waits import WAIT, Wait


def three_fibers(queue: RunQueue, lock: Any) -> Trace:
    """Run low and high, which both need `lock`, and middle, which does not; 10 ms a step."""
    network, trace = SimulatedNetwork(), Trace()
    clock = network.clock

    def work(steps: int) -> Generator[Wait, None, None]:
        for _ in range(steps):
            clock.burn(0.01)
            yield WAIT(0)

    def locked(name: str, begin: float, steps: int) -> Generator[Wait, None, None]:
        yield WAIT(begin)
        yield from lock.acquire(name)
        yield from work(steps)
        lock.release()

    def free(begin: float, steps: int) -> Generator[Wait, None, None]:
        yield WAIT(begin)
        yield from work(steps)

    scheduler = Scheduler(trace=trace, clock=clock, poller=network, run_queue=queue)
    scheduler.add(locked("low", 0, 4), "low")
    scheduler.add(free(0.01, 8), "middle")
    scheduler.add(locked("high", 0.01, 1), "high")
    scheduler.run()
    return trace


def done_at(trace: Trace) -> dict[str, float]:
    """Return when each fiber ended, in milliseconds, by its name and in order."""
    names = {event.fid: event.name for event in trace if event.ev == "spawn"}
    return {names[event.fid]: event.t / 1e6 for event in trace if event.ev == "exit"}
