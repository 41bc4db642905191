"""simulated_select: what `select.select` is for real sockets, for those of a simulated network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import count
from typing import Any

from ...io.descriptors import READABLE, WRITABLE
from ...simulation.network import SimulatedNetwork
from .grown import Select


class _Asked:
    """One socket in one direction, which waits at the network as a fiber does."""

    pending: BaseException | None = None

    def __init__(self, thing: Any) -> None:
        self.thing = thing  # as it was given: a socket, or its number
        self.wait = self
        self.name = "select"  # by which an error would call it

    @property
    def sock(self) -> Any:
        """What the network asks for a fileno()."""
        return self if isinstance(self.thing, int) else self.thing

    def fileno(self) -> int:
        """Return the number that was given."""
        return int(self.thing)


class AskedTooOften(RuntimeError):
    """Raised where a simulated select is called without an end."""


def simulated_select(network: SimulatedNetwork, at_most: float = math.inf) -> Select:
    """Return a function that is called as ``select.select``, for the sockets of `network`.

    Where that would wait, the network's clock jumps. What is ready comes in the order in which it
    became so. The function raises Deadlock if it would wait for ever, and AskedTooOften if it is
    called more than `at_most` times.
    """
    calls = count(1)

    def select(
        readers: Iterable[Any], writers: Iterable[Any], _: Iterable[Any], timeout: Any = None
    ) -> tuple[list[Any], list[Any], list[Any]]:
        if next(calls) > at_most:
            raise AskedTooOften(f"select was called more than {at_most:g} times")
        receiving, sending = [_Asked(each) for each in readers], [_Asked(each) for each in writers]
        asked = [(each, READABLE) for each in receiving] + [(each, WRITABLE) for each in sending]
        try:
            ready = [each for each, way in asked if network.arm(each, each.sock, way)]
            ready += network.poll(0 if ready else _nanoseconds(timeout))
        finally:
            for each, _way in asked:
                network.disarm(each)
        if errors := [each.pending for each in ready if each.pending is not None]:
            raise errors[0]
        of = [[each.thing for each in ready if each in group] for group in (receiving, sending)]
        return of[0], of[1], []

    return select


def _nanoseconds(seconds: float | None) -> int | None:
    if seconds is None:
        return None
    if seconds < 0:  # as select does
        raise ValueError(f"timeout must be non-negative, got {seconds!r}")
    # The nearest: what the subtraction of two times adds is no time. And some: a wait is no look.
    return max(1, round(seconds * 1e9)) if seconds else 0
