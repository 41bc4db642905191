"""The states of a fiber: which exist, which may follow which, and which event leads to which.

The rule kept here: whatever depends on the set of states is data in this module. Spans,
diagnoses, figures and lessons read it, so a new state is added here and gets a look in
``figures.palette``; nothing else counts states or compares their places.

This module knows no fiber, no scheduler and no trace.
"""

from __future__ import annotations

from enum import Enum


class FiberState(Enum):
    """Where a fiber is. DONE is last: it never ends, so it has no spans."""

    READY = "ready"  # in the run queue
    RUNNING = "running"  # between its resume and its next yield
    RECV = "recv"  # waits for data
    SEND = "send"  # waits for room to send
    SLEEP = "sleep"  # waits for a deadline
    PARKED = "parked"  # waits for another fiber to run
    UNKNOWN = "unknown"  # of a thread that was sampled: it could not be told
    DONE = "done"  # returned, raised or closed

    def __init__(self, _word: str) -> None:
        self.code = len(self.__class__.__members__)
        """Its place among the states; columns of spans hold it instead of the state."""


LEGAL_TRANSITIONS: dict[FiberState, frozenset[FiberState]] = {
    FiberState.READY: frozenset({FiberState.RUNNING}),
    FiberState.RUNNING: frozenset(set(FiberState) - {FiberState.RUNNING}),
    FiberState.RECV: frozenset({FiberState.READY}),
    FiberState.SEND: frozenset({FiberState.READY}),
    FiberState.SLEEP: frozenset({FiberState.READY}),
    FiberState.PARKED: frozenset({FiberState.READY}),
    FiberState.UNKNOWN: frozenset({FiberState.READY}),
    FiberState.DONE: frozenset(),
}
"""For each state, the states that may follow it. A fiber begins READY."""

_AFTER = {"wake": FiberState.READY, "resume": FiberState.RUNNING, "exit": FiberState.DONE}
_AFTER_YIELD = {"RECV": FiberState.RECV, "SEND": FiberState.SEND, "invalid": FiberState.READY}
# What samples threads sees that one sleeps, not for how long, and often not even that.
_AFTER_YIELD |= {"SLEEP": FiberState.SLEEP, "unknown": FiberState.UNKNOWN}


def state_after(ev: str, op: str | None = None, duration: float | None = None) -> FiberState | None:
    """Return the state of a fiber after an event; None if the event does not change it.

    op: for a yield, the name of the wait. duration: for a WAIT, its length in any unit.
    """
    if ev != "yield":
        return _AFTER.get(ev)
    state = _AFTER_YIELD.get(op or "")
    if state is not None:
        return state
    if duration is None:
        return FiberState.PARKED
    return FiberState.SLEEP if duration else FiberState.READY


OF_FIBERS: tuple[FiberState, ...] = tuple(
    state for state in FiberState if state is not FiberState.UNKNOWN
)
"""The states that a fiber can be in; only a thread, which is seen from outside, is UNKNOWN."""


# -- As codes, for the columns of spans ------------------------------------------------

STATES: tuple[FiberState, ...] = tuple(FiberState)
"""The states in the order of their codes."""

READY, RUNNING = FiberState.READY.code, FiberState.RUNNING.code
SLEEP, PARKED, DONE = FiberState.SLEEP.code, FiberState.PARKED.code, FiberState.DONE.code
UNKNOWN = FiberState.UNKNOWN.code

ON_SOCKETS = (FiberState.RECV.code, FiberState.SEND.code)
"""The codes of the states in which a fiber waits on a socket."""

UNTIL_POLLED = (*ON_SOCKETS, SLEEP)
"""The codes of the waits that only a poll or a look at the clock can end.

While a fiber runs, the loop does neither: such a wait is unwatched.
"""

WAITING = tuple(
    state.code for state, after in LEGAL_TRANSITIONS.items() if after == {FiberState.READY}
)
"""The codes of all states that a fiber leaves only by being woken."""
