"""Arguments: what a call of the lab is given is refused where it is written.

The rule kept here: a number that makes no sense gets a TypeError or a ValueError that names the
call and the argument, before a socket is opened or a thread started.
"""

from __future__ import annotations

import numbers
from typing import Any

MOST_SECONDS = 1_000_000.0
"""Eleven days; the system's own waits refuse what is much longer."""

MOST_A_SECOND = 1e9
"""One a nanosecond: no clock here tells more."""


def whole(name: str, number: Any, least: int = 1) -> int:
    """Return `number`, a whole number of `least` or more; `name`: as in ``load(requests=)``."""
    if isinstance(number, bool) or not isinstance(number, numbers.Integral):
        raise TypeError(f"{name} needs a whole number, got {number!r}")
    if number < least:
        raise ValueError(f"{name} needs a whole number from {least} up, got {number!r}")
    return int(number)


def positive(name: str, number: Any, most: float = MOST_SECONDS, *, never: bool = False) -> Any:
    """Return `number`, one above 0 and up to `most`; or None, if that may be said: `never`."""
    if number is None and never:
        return None
    if isinstance(number, bool) or not isinstance(number, numbers.Real):
        raise TypeError(f"{name} needs a number{' or None' * never}, got {number!r}")
    if not 0 < number <= most:  # type: ignore[operator]  # nan is neither
        raise ValueError(f"{name} needs a number above 0 and up to {most:,.0f}, got {number!r}")
    return float(number)


def text(name: str, given: Any) -> str:
    """Return `given`, which must be text."""
    if not isinstance(given, str):
        raise TypeError(f"{name} needs text in quotes, got {given!r}")
    return given
