"""The experiments of lesson 11: how fibers ended, and what their run has left behind.

The rule kept here: what is left is counted by difference, so that what a notebook has open
itself does not matter.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ....errors import one_line
from ....fiber import Fiber, FiberGenerator
from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....spans.build import build_spans
from ....trace.trace import Trace
from ....waits import WAIT

Steps = Generator[Any, Any, Any]
"""A learner's generator: what it yields and returns is yet to be seen."""

# -- How fibers ended ---------------------------------------------------------


class Ending(NamedTuple):
    """How a fiber ended.

    name: the fiber's. at: seconds since the run began. how: "return", "error" or "cancel".
    error: the class of the exception, if it was an error.
    """

    name: str
    at: float
    how: str
    error: str

    def __str__(self) -> str:
        return f"{self.how} ({self.error})" if self.error else self.how


def endings(trace: Trace) -> list[Ending]:
    """Return how each fiber ended, in the order in which they were added."""
    return [
        Ending(life.name, life.died / 1e9, life.how or "", (life.err or "").partition(":")[0])
        for life in build_spans(trace).lives
        if life.died is not None
    ]


# -- What is left -------------------------------------------------------------


@dataclass
class Left:
    """What there is afterwards that was not there before; its `str` tells how much.

    descriptors: their numbers. threads: their names.
    """

    descriptors: set[int] = field(default_factory=set)
    threads: list[str] = field(default_factory=list)

    def close(self) -> None:
        """Close the descriptors that were left."""
        while self.descriptors:
            os.close(self.descriptors.pop())

    def __str__(self) -> str:
        return f"left behind: {len(self.descriptors)} descriptors, {len(self.threads)} threads"


@contextlib.contextmanager
def left_behind() -> Iterator[Left]:
    """Note what is left of the block: ``with left_behind() as left:``, then look at `left`."""
    left, descriptors, threads = Left(), open_descriptors(), set(threading.enumerate())
    yield left
    left.descriptors = open_descriptors() - descriptors
    left.threads = [each.name for each in threading.enumerate() if each not in threads]


def open_descriptors() -> set[int]:
    """Return the numbers of the descriptors that this process has open."""
    folder = "/dev/fd"
    if not os.path.isdir(folder):
        return {number for number in range(1024) if _exists(number)}
    # The folder itself was open while it was read.
    return {number for number in map(int, os.listdir(folder)) if _exists(number)}


def _exists(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def is_open(address: tuple[str, int]) -> bool:
    """Return whether a server listens at `address`."""
    try:
        socket.create_connection(address, 1).close()
    except ConnectionRefusedError:
        return False
    return True


# -- Fibers in simulated time -------------------------------------------------


def simulated() -> tuple[Scheduler, SimulatedNetwork, Trace]:
    """Return a scheduler in simulated time, its network and its trace.

    The errors that it reports are kept away: a lesson shows them where it speaks of them.
    """
    network, trace = SimulatedNetwork(), Trace(stall_after=None)
    given: Any = {"clock": network.clock, "poller": network, "file": io.StringIO()}
    return Scheduler(trace=trace, **given), network, trace


def after(seconds: float, act: Callable[[], Any]) -> FiberGenerator:
    """Call `act` when some seconds have passed."""
    yield WAIT(seconds)
    act()


def raise_stub(*fibers: Fiber) -> None:
    """Raise NotImplementedError again that has ended one of `fibers`."""
    for fiber in fibers:
        if isinstance(fiber.error, NotImplementedError):
            raise fiber.error


def outcome_of(fiber: Fiber) -> str:
    """Say what a fiber returned or raised."""
    if fiber.error is not None:
        return f"raised {one_line(fiber.error)}"
    return f"returned {fiber.result!r}"
