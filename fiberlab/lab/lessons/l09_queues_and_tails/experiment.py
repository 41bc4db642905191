"""The experiments of lesson 09: recorded traces, percentiles, and one stall met by two loops."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import NamedTuple

from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....trace.trace import Trace
from ....waits import WAIT, Wait

ANSWER = 0.0003
"""Seconds that an answer takes in the simulation."""

STALLED = 300
"""The request during which the simulated server stalls."""


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the value at the nearest rank: `percent` % of `values` are at most so large."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1]


def recorded(name: str) -> Trace:
    """Load the trace of this name that is kept in the folder ``data``.

    The folder is beside the package, or in this folder or one above it; FileNotFoundError if not.
    """
    here = Path.cwd()
    for folder in (Path(__file__).parents[4], here, *here.parents):
        path = folder / "data" / f"{name}.fiber.jsonl"
        if path.exists():
            return Trace.load(path)
    raise FileNotFoundError(f"no data/{name}.fiber.jsonl: open the lesson in fiberlab's folder")


# -- The same in simulated time -----------------------------------------------


class Timed(NamedTuple):
    """One request of a client: when it was due, sent and answered, in seconds."""

    due: float
    sent: float
    answered: float

    @property
    def latency(self) -> float:
        """Seconds from the moment it was due to its answer."""
        return self.answered - self.due


def simulate(stall: float, rate: float | None = None, requests: int = 1000) -> list[Timed]:
    """Let one client send requests to a server that stalls once, in simulated time.

    stall: seconds. rate: requests due in a second, an open loop; None: a closed loop.
    """
    network = SimulatedNetwork()
    clock, timed = network.clock, list[Timed]()

    def client_and_server() -> Generator[Wait, None, None]:
        for number in range(requests):
            due = clock.now() if rate is None else number / rate
            if due > clock.now():
                yield WAIT(due - clock.now())
            sent = clock.now()
            clock.burn(ANSWER + (stall if number == STALLED else 0))
            timed.append(Timed(due, sent, clock.now()))

    scheduler = Scheduler(clock=clock, poller=network)
    scheduler.add(client_and_server())
    scheduler.run()
    return timed
