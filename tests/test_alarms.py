"""Deadlines: what is kept of them, and for how long."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.waits import RECV, WAIT


def test_fibers_that_have_ended_are_not_kept_until_their_timeout(network: SimulatedNetwork) -> None:
    """Each holds its error, and with it all that its frames held; one a live alarm may stay."""
    scheduler = Scheduler(timeout=3600, clock=network.clock, poller=network)
    kept: list[int] = []

    def look() -> Iterator[WAIT]:
        pairs = [network.socketpair() for _ in range(10)]
        fibers = [weakref.ref(scheduler.add(receive_once(left))) for left, _ in pairs]
        yield WAIT(1)
        for _, right in pairs:
            right.send(b"x")
        yield WAIT(1)
        gc.collect()
        kept.append(sum(fiber() is not None for fiber in fibers))

    scheduler.add(look())
    scheduler.run()

    assert kept[0] <= 1


def receive_once(sock: object) -> Iterator[RECV]:
    yield RECV(sock)  # type: ignore[arg-type]
