"""Standing: where each fiber stood when a run would not end, in a sentence for the one that waits.

The rule kept here: what is said follows from the trace alone, as it was at one moment. A
standstill is called so only if it is one: the fibers of all connections wait for their clients,
no other fiber can go on, and no time-out is due.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ..diagnosis.finding import shown
from ..recording.culprit_line import described
from ..trace.events import EV, FID, POLL, SPAWN, YIELD, Row, T, place
from ..trace.trace import Trace
from .limits import line_of_thread, suspended_at

ACCEPTING = 1  # the fiber that accepts clients; `record` adds it first
SPINNING = 200  # yields of the same kind in the last second, from which a fiber spins
_MOVES = ("wake", "resume", "yield", "exit")


class Moment(NamedTuple):
    """A run at one moment: its events so far, and at which lines its fibers were.

    rows: made when they are read, since a fiber that spins makes a million in a second.
    places: where the fibers of the clients had yielded. line: where the one was that ran.
    """

    rows: Sequence[Row]
    places: list[str | None]
    line: str | None

    @classmethod
    def of(cls, trace: Trace, generators: Sequence[Any], thread: int) -> Moment:
        """Look now, from another thread than the scheduler's.

        generators: of the clients' fibers, in their order. thread: the scheduler's.
        """
        line = line_of_thread(thread)
        return cls(trace.rows_now(), [_own_place(each) for each in generators], line)


class Standing:
    """Where the fibers stood at a moment."""

    def __init__(self, moment: Moment) -> None:
        rows, places, self._line = list(moment.rows), moment.places, moment.line
        now = rows[-1][T] if rows else 0
        self._poll = next((row for row in rows[-1:] if row[EV] == "poll"), None)
        self._names: dict[int, str] = {}
        self.served: list[int] = []  # the fiber of each client, in their order
        self._last: dict[int, Row] = {}
        self._yields: dict[int, list[Row]] = {}  # of the last second
        for row in rows:
            fiber = row[FID]
            if row[EV] == "spawn":
                self._names[fiber] = row[SPAWN.NAME]
                if row[SPAWN.BY] == ACCEPTING:
                    self.served.append(fiber)
            elif row[EV] in _MOVES:
                self._last[fiber] = row
                if row[EV] == "yield" and row[T] >= now - 1_000_000_000:
                    self._yields.setdefault(fiber, []).append(row)
        self._places = dict(zip(self.served, places, strict=False))

    def is_still(self, filenos: Collection[int]) -> bool:
        """Whether no fiber can go on unless a client does something.

        filenos: the numbers of the clients' connections.
        """
        # Unless the poll has no time-out, a fiber is ready or a deadline is to come.
        if self._poll is None or self._poll[POLL.TIMEOUT] is not None:
            return False
        for fiber, row in self._last.items():
            if fiber == ACCEPTING or row[EV] == "exit":
                continue
            if row[EV] != "yield":
                return False
            if row[YIELD.OP] != "WAIT" and row[YIELD.FD] not in filenos:
                return False  # it may wait for a thread, say
        return True

    def describe(self, fiber: int) -> str | None:
        """Return what a fiber did, in a few words; None if it had ended or is not known."""
        row = self._last.get(fiber)
        if row is None or row[EV] == "exit":
            return None
        name = f"fiber {shown(self._names.get(fiber, '?'))}"
        asked = self._yields.get(fiber, [])
        if len(asked) >= SPINNING and len({_wait(each) for each in asked}) == 1:
            return (
                f"{name} spins: it yielded {_wait(asked[-1])} {len(asked):,} times "
                f"in the last second, at {self._place(asked[-1])}"
            )
        if row[EV] == "yield" and _wait(row) != "WAIT(0)":
            return f"{name} waits in {_wait(row)} at {self._place(row)}"
        if row[EV] != "resume":
            return f"{name} was ready"
        return f"{name} was running" + (f" at {self._line}" if self._line else "")

    def spinning(self) -> list[str]:
        """Return what is to be said of the fibers that spin."""
        sentences = (self.describe(fiber) for fiber in self._last)
        return [each for each in sentences if each is not None and " spins: " in each]

    def _place(self, row: Row) -> str | None:
        """Return the line of a learner's own at which a fiber has yielded, else any."""
        return self._places.get(row[FID]) or place(row[YIELD.SRC])


def _own_place(generator: Any) -> str | None:
    line = suspended_at(generator)
    return None if line is None else described(line)[0]


def _wait(row: Row) -> str:
    if row[YIELD.OP] != "WAIT":
        return str(row[YIELD.OP])
    seconds = row[YIELD.DT]
    return "WAIT()" if seconds is None else f"WAIT({seconds / 1e9:g})"
