"""What something suspended waits for, read off its frames.

The rule kept here: the innermost frame that is not the library's is the user's own line; the
first of the library's functions below it that the adapter knows says what is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any, NamedTuple

Reading = Callable[[Mapping[str, Any]], tuple[str, Any]]
"""Reads off the local variables of a library's function what it waits for: op and seconds."""


class Suspended(NamedTuple):
    """What is waited for, as ``Notes.wait`` takes it.

    op: RECV, SEND or WAIT. seconds: of a WAIT; None if nothing says when it ends. src: the line,
    as rows hold it. fileno: of the socket, if the library's function has it.
    """

    op: str = "WAIT"
    seconds: float | None = None
    src: Any = None
    fileno: int | None = None


def receiving(_known: Mapping[str, Any]) -> tuple[str, Any]:
    """It waits until there is something to receive."""
    return "RECV", None


def sending(_known: Mapping[str, Any]) -> tuple[str, Any]:
    """It waits until there is room to send."""
    return "SEND", None


def giving_a_turn(_known: Mapping[str, Any]) -> tuple[str, Any]:
    """It can go on at once, after the others have had a turn."""
    return "WAIT", 0


def sleeping(name: str) -> Reading:
    """It sleeps for the seconds that the variable `name` holds."""
    return lambda known: ("WAIT", known[name])


def suspended_at(
    frames: Iterable[FrameType],
    is_library: Callable[[CodeType], bool],
    readings: Mapping[str, Reading],
) -> Suspended:
    """Return what a stack of `frames`, the outermost first, waits for.

    readings: for each function of the library that waits, by its name, how to read it.
    """
    found, met = Suspended(), False
    for frame in frames:
        code = frame.f_code
        if not is_library(code):
            found, met = Suspended(src=(code, frame.f_lasti)), False
        elif not met and code.co_name in readings:
            met = True
            op, seconds = readings[code.co_name](frame.f_locals)
            fileno = frame.f_locals.get("fd")
            found = found._replace(op=op, fileno=fileno if type(fileno) is int else None)
            with suppress(TypeError, ValueError):  # such as None, for as long as it takes
                found = found._replace(seconds=max(0.0, float(seconds)))
    return found
