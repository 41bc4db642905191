"""The simulated clock: time passes only where a program says so.

The rule kept here: time never goes back, and is exact: integer nanoseconds from 0.
"""

from __future__ import annotations

import math
import numbers
from typing import Any


class SimulatedClock:
    """A clock that moves only when the program moves it; integer nanoseconds from 0."""

    name = "simulated"

    def __init__(self) -> None:
        self._ns = 0

    def now(self) -> float:
        """Return seconds since the clock was made."""
        return self._ns / 1e9

    def now_ns(self) -> int:
        """Return nanoseconds since the clock was made."""
        return self._ns

    def burn(self, seconds: float) -> None:
        """Let a fiber compute or block for this long: no other fiber runs, deliveries pile up."""
        self._ns += nanoseconds_of("burn(seconds)", seconds)

    def jump(self, moment_ns: int) -> None:
        """Move to `moment_ns`; ValueError if that has passed already."""
        if moment_ns < self._ns:
            raise ValueError(f"time never goes back: it is {self._ns} ns, got {moment_ns!r}")
        self._ns = moment_ns

    def __repr__(self) -> str:
        return f"<SimulatedClock at {self.now():g} s>"


def nanoseconds_of(name: str, seconds: float) -> int:
    """Return seconds as integer nanoseconds; `name` is what an error calls them."""
    # Cut as deadlines are: a float could not hold a longer time exactly enough.
    shorter: float = min(check_number(name, seconds), 10**12)
    return round(shorter * 1_000_000_000)


def check_number(name: str, number: Any) -> Any:
    """Return `number`: an int or a fraction as it is, any other kind of number as a float.

    Raises TypeError or ValueError, naming `name`, unless it is finite and not negative.
    """
    if isinstance(number, bool) or not isinstance(number, numbers.Real):
        raise TypeError(f"{name} needs a number, got {number!r}")
    if not 0 <= float(number) < math.inf:  # nan fails this too
        raise ValueError(f"{name} cannot be negative, infinite or nan, got {number!r}")
    return number if isinstance(number, numbers.Rational) else float(number)
