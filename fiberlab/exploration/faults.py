"""Faults on request: before any step one of them can happen, at most one in a schedule.

- cancel: a fiber that has begun is cancelled at its yield.
- timeout: what a fiber waits for on a socket comes just after its time-out.
- delay: the program is held up until the next deadline or delivery; so what was due at another
  moment is there together, and data that comes late is still seen before its time-out.
- reset: a connection breaks, for both of its ends.

This module knows what can happen; when it does is a choice like others.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ..alarms import deadline_of
from ..errors import FiberTimeout
from ..simulation.connection import End
from ..waits import WAIT
from .choices import Choices

Fault = tuple[str, Callable[[], None]]
"""What it is, in words, and the function that lets it happen."""


def possible(kinds: Sequence[str], scheduler: Any, network: Any) -> list[Fault]:
    """Return the faults that can happen now, in an order that is the same each time."""
    return [fault for kind in kinds for fault in _OF[kind](scheduler, network)]


def happen_if_chosen(found: Sequence[Fault], choices: Choices, step: int) -> bool:
    """Ask which of these faults happens before that step, and let it; return whether one has."""
    if not found:
        return False
    answer = choices.choose(len(found) + 1, (), [words for words, _ in found])
    if answer:
        words, happen = found[answer - 1]
        if choices.telling:
            choices.switches.append(f"before step {step} {words}")
        happen()
    return bool(answer)


def _cancels(scheduler: Any, _: Any) -> Iterator[Fault]:
    for fiber in scheduler._alive.values():
        started = fiber.id in scheduler.begun and fiber.id not in scheduler.acceptors
        if started and fiber.pending is None:
            yield f"{fiber.name!r} is cancelled", fiber.cancel


def _timeouts(scheduler: Any, network: Any) -> Iterator[Fault]:
    for fiber in scheduler._alive.values():
        if fiber._alarm is None or fiber.wait is None or fiber.wait.__class__ is WAIT:
            continue

        def happen(fiber: Any = fiber) -> None:
            network.clock.jump(max(deadline_of(fiber._alarm), network.clock.now_ns()))
            fiber.pending = FiberTimeout.of(fiber)
            network.disarm(fiber)
            scheduler._make_ready([fiber], 0, "timer", 0)

        yield f"{fiber.name!r} is timed out", happen


def _delays(scheduler: Any, network: Any) -> Iterator[Fault]:
    now = network.clock.now_ns()
    moments = [scheduler._alarms.next(), network._events.next()]
    later = [moment for moment in moments if moment is not None and moment > now]
    if later:
        yield "the program is held up", lambda: network.clock.jump(min(later))


def _resets(_: Any, network: Any) -> Iterator[Fault]:
    return possible_resets(network)


def possible_resets(network: Any) -> Iterator[Fault]:
    """Return for each connection the fault that breaks it, for both of its ends."""
    seen: set[int] = set()
    for end in list(network._ends.values()):
        if isinstance(end, End) and end.connected and not end.broken and id(end) not in seen:
            seen |= {id(end), id(end.peer)}

            def happen(end: End = end) -> None:
                now = network.clock.now_ns()
                for each in (end, end.peer):
                    if each is not None:
                        each.on_reset(now, errno.ECONNRESET)

            yield f"the connection {end.address} to {end.peer_address} is reset", happen


_OF: dict[str, Callable[[Any, Any], Iterator[Fault]]] = {
    "cancel": _cancels,
    "timeout": _timeouts,
    "delay": _delays,
    "reset": _resets,
}
