"""The experiment of lesson 02: which generator ran when.

`noted` writes down the steps of generators under any scheduler of the lesson; what they yield is
None, to go on in their next turn, or seconds. The figures are made of such steps.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from ....simulation.network import SimulatedClock

Toy = Generator[Any, None, Any]


class Step(NamedTuple):
    """One step of a fiber: its times in seconds, and what it yielded unless it was the last."""

    name: str
    start: float
    end: float
    wait: float | None
    last: bool = False


def noted(fibers: Mapping[str, Toy], clock: SimulatedClock, steps: list[Step]) -> list[Toy]:
    """Return generators that do what `fibers` do, and append each of their steps to `steps`."""
    return [_noted(name, fiber, clock, steps) for name, fiber in fibers.items()]


def _noted(name: str, fiber: Toy, clock: SimulatedClock, steps: list[Step]) -> Toy:
    while True:
        start = clock.now()
        try:
            wait = next(fiber)
        except StopIteration as end:
            steps.append(Step(name, start, clock.now(), None, last=True))
            return end.value
        steps.append(Step(name, start, clock.now(), wait))
        yield wait
