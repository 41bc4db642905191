"""Four fibers in simulated time: small enough to be followed event by event."""

from __future__ import annotations

from fiberlab.fiber import FiberGenerator
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedClock, SimulatedNetwork, SimulatedSocket
from fiberlab.trace import Trace
from fiberlab.waits import RECV, WAIT


def ann(clock: SimulatedClock) -> FiberGenerator:
    """Take six turns of 10 ms."""
    for _ in range(6):
        clock.burn(0.010)
        yield WAIT(0)


def ben(clock: SimulatedClock, sock: SimulatedSocket) -> FiberGenerator:
    """Wait for data, which comes after 15 ms."""
    yield RECV(sock)
    clock.burn(0.010)


def cat(clock: SimulatedClock) -> FiberGenerator:
    """Sleep, then work."""
    yield WAIT(0.025)
    clock.burn(0.010)


def dan(clock: SimulatedClock) -> FiberGenerator:
    """Park, sleep, then work."""
    yield WAIT(None)  # until another fiber has run
    yield WAIT(0.005)
    clock.burn(0.010)


def four_fibers(scheduler_class: type[Scheduler] = Scheduler) -> Trace:
    """Run the four under a scheduler of the given class, and return the trace."""
    network, trace = SimulatedNetwork(), Trace()
    clock = network.clock
    ours, theirs = network.socketpair(latency=0.015)
    theirs.send(b"word")
    scheduler = scheduler_class(trace=trace, clock=clock, poller=network)
    scheduler.add(ann(clock), "ann")
    scheduler.add(ben(clock, ours), "ben")
    scheduler.add(cat(clock), "cat")
    scheduler.add(dan(clock), "dan")
    scheduler.run()
    return trace
