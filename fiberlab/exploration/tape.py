"""A tape: the choices of one schedule as short text, such as ``0.2.1``.

The rule kept here: a tape holds all that a replay needs besides the program. Each number answers
one question, in the order in which they are asked; 0 is first come, first served, and what
follows the last number is 0 as well. ``0x5`` stands for five zeros. Faults that were asked for
stand before a colon: ``cancel:0.2.1``.

This module knows no program and no scheduler.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

FAULTS = ("cancel", "timeout", "delay", "reset")
"""The faults that can be asked for, in the order in which they are offered."""

_PART = re.compile(r"0x([1-9][0-9]{0,8})|0|[1-9][0-9]{0,8}")


def written(choices: Sequence[int], faults: Sequence[str] = ()) -> str:
    """Return the text of a tape."""
    parts: list[str] = []
    last = max((place for place, choice in enumerate(choices, 1) if choice), default=0)
    for choice, run in groupby(choices[:last]):
        count = len(list(run))
        parts += [f"0x{count}"] if choice == 0 and count > 3 else [str(choice)] * count
    head = "+".join(faults) + ":" if faults else ""
    return head + (".".join(parts) or "0")


def read(text: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the choices and the faults of a tape; ValueError for what is none."""
    if not isinstance(text, str):
        raise TypeError(f"a tape is text such as '0.2.1', got {text!r}")
    head, colon, rest = text.rpartition(":")
    choices: list[int] = []
    for part in rest.split("."):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(f"a tape is numbers between dots, such as '0.2.1', got {text!r}")
        choices += [0] * int(found[1]) if found[1] else [int(part)]
    while choices and not choices[-1]:
        choices.pop()  # nothing need be asked there: what follows is 0 anyway
    return tuple(choices), checked_faults(head.split("+") if colon else ())


def checked_faults(faults: Sequence[str]) -> tuple[str, ...]:
    """Return the faults in their order; ValueError for a name that is none."""
    wanted = (faults,) if isinstance(faults, str) else tuple(faults)
    for name in wanted:
        if name not in FAULTS:
            raise ValueError(f"a fault is one of {', '.join(FAULTS)}; got {name!r}")
    return tuple(name for name in FAULTS if name in wanted)
