"""Trouble: what goes wrong in a simulated network, drawn from a seed.

    network = SimulatedNetwork(trouble=Trouble(seed=7, lose=0.1))
    world.suffer(Trouble(seed, lose=0.1))     # in a program of explore: try it with many seeds

The rule kept here: the same seed and program give the same trouble, byte for byte. What befalls a
connection is drawn for each of its directions apart, so it does not depend on other connections.

A try to send is lost as IP loses packets, and TCP sends again: after RETRY_NS, and then after twice
as long each time (RFC 6298, section 5.5, with Linux's minimum of 200 ms). What comes later waits,
so a stream keeps its order. After TRIES the sender gives up with ETIMEDOUT. In a partition the
addresses are divided into two halves, and every try from one to the other is lost.

This module knows no socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from .clock import check_number, nanoseconds_of

RETRY_NS = 200_000_000
"""After so long what was lost is sent again for the first time."""

TRIES = 16
"""So often something is sent, 15 of them again, as Linux does (tcp_retries2)."""


@dataclass(frozen=True)
class Trouble:
    """How much goes wrong; all of it is drawn from `seed`, a number or a text.

    lose: the share of tries to send that are lost, from 0 to 1. reset: the share of segments at
    which their connection breaks. delay: by how many seconds at most a segment comes late.
    partition: how many seconds a partition lasts, and partition_every: how many pass between two
    of them, on average; None: there are none. jitter: by how many seconds at most the clock passes
    the moment for which a scheduler waits.
    """

    seed: int | str = 0
    lose: float = 0
    reset: float = 0
    delay: float = 0
    partition: float = 1
    partition_every: float | None = None
    jitter: float = 0

    def __post_init__(self) -> None:
        for name in ("lose", "reset"):
            if check_number(f"Trouble({name}=)", getattr(self, name)) > 1:
                raise ValueError(
                    f"Trouble({name}=) is a share from 0 to 1, got {getattr(self, name)!r}"
                )
        for name in ("delay", "partition", "jitter"):
            check_number(f"Trouble({name}=)", getattr(self, name))
        if self.partition_every is not None and not check_number(
            "Trouble(partition_every=)", self.partition_every
        ):
            raise ValueError("Trouble(partition_every=) is seconds > 0 or None, got 0")
        if not isinstance(self.seed, (int, str)):
            raise TypeError(f"Trouble(seed=) is a number or a text, got {self.seed!r}")

    def draws(self, *what: Any) -> Random:
        """Return the random numbers for one thing, the same ones each time."""
        return Random("/".join(map(str, (self.seed, *what))))


class Weather:
    """The trouble of one network while it is used: its partitions, and its clock's jitter."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self._jitter = trouble.draws("clock")
        self._partitions = trouble.draws("partitions")
        self._until: list[tuple[int, int]] = []  # when each partition begins and ends

    def late(self) -> int:
        """Return by how many ns the clock passes the next moment that is waited for."""
        limit = nanoseconds_of("jitter", self.trouble.jitter)
        return self._jitter.randrange(limit + 1) if limit else 0

    def divides(self, moment: int, one: Any, other: Any) -> bool:
        """Whether two addresses cannot reach each other at `moment`."""
        every = self.trouble.partition_every
        if every is None:
            return False
        lasts = nanoseconds_of("partition", self.trouble.partition)
        while not self._until or self._until[-1][1] <= moment:
            last = self._until[-1][1] if self._until else 0
            begins = last + nanoseconds_of("every", self._partitions.expovariate(1 / every))
            self._until.append((begins, begins + lasts))
        for number, (begins, ends) in enumerate(self._until):
            if begins <= moment < ends:
                return self._half(number, one) != self._half(number, other)
        return False

    def _half(self, number: int, address: Any) -> int:
        return self.trouble.draws("half", number, address).randrange(2)


class Fate:
    """What befalls one direction of a connection."""

    def __init__(self, weather: Weather, one: Any, other: Any) -> None:
        self._weather = weather
        self._ends = one, other
        self._draw = weather.trouble.draws(one, other)
        self._last = 0  # when what was sent last arrives

    def breaks(self) -> bool:
        """Whether the connection breaks at the segment that leaves now."""
        return self._draw.random() < self._weather.trouble.reset

    def arrival(self, now: int, latency: int) -> tuple[int, bool]:
        """Return when what leaves now arrives, in ns, and True; or when the sender gives up."""
        trouble, tried = self._weather.trouble, now
        for number in range(TRIES):
            if number:
                tried += RETRY_NS << number - 1
            lost = self._draw.random() < trouble.lose
            if not lost and not self._weather.divides(tried, *self._ends):
                late = round(self._draw.random() * trouble.delay * 1e9)
                self._last = max(self._last, tried + latency + late)
                return self._last, True
        return tried, False
