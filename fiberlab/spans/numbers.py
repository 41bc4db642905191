"""Measures: the numbers made of spans that summaries, comparisons and figures share.

The rule kept here: numbers are exact. A time is a whole number of nanoseconds. A percentile is a
time that occurred (the nearest rank). The shares of those that held the loop during a wait add
up to the wait.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from ..states import READY, RUNNING
from ..trace.events import EV, cpu_of
from .spans import Spans

# Measured on CPython 3.11 with 50,000 steps of 3 events each. An event cost 0.3 to 1.0 us,
# depending on the machine; asking for the processor time twice cost 1 to 2.5 us a step.
EVENT_COST = 600
CPU_COST = 1_500


class Quantiles(NamedTuple):
    """How long something took, of so many `times`: nanoseconds; all 0 if there was none.

    half, p95, p99: half, 95 % and 99 % of them took no longer. longest: the longest.
    """

    times: int
    p50: int
    p95: int
    p99: int
    longest: int

    @classmethod
    def of(cls, lengths: Iterable[int]) -> Quantiles:
        """Order `lengths` and take those at the nearest ranks."""
        ordered = sorted(lengths)
        if not ordered:
            return cls(0, 0, 0, 0, 0)
        count = len(ordered)
        ranks = (-(-count * percent // 100) - 1 for percent in (50, 95, 99, 100))
        return cls(count, *(ordered[rank] for rank in ranks))


class Request(NamedTuple):
    """The time between the two marks of `with mark(name)`; `end` is None if it is still open.

    group: the name without the number at its end; requests of one group are of one kind.
    """

    name: str
    group: str
    fiber: int
    start: int
    end: int | None


def lengths(spans: Spans, state: int, fiber: int | None = None) -> list[int]:
    """Return how long each span in `state` lasted, of one fiber or of all."""
    among = range(len(spans)) if fiber is None else spans.indexes(fiber)
    return [spans.end[i] - spans.start[i] for i in among if spans.state[i] == state]


class Holders:
    """Says which fibers held the loop in any stretch of time; looks through the steps once.

    steps: the running spans in order, by index. owners: the fiber of each, by its index in `lives`.
    """

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self.steps = array("i", (i for i, code in enumerate(spans.state) if code == RUNNING))
        self.owners = array("i", (spans.row[i] for i in self.steps))
        self._starts = array("q", (spans.start[i] for i in self.steps))
        self._ends = array("q", (spans.end[i] for i in self.steps))
        times = zip(self._starts, self._ends, strict=True)
        self._lengths = array("q", (b - a for a, b in times))

    def range(self, begin: int, end: int) -> tuple[int, int]:
        """Return which of `steps` ran between two times: the first, and the one after the last."""
        return bisect_right(self._ends, begin), bisect_left(self._starts, end)

    def overlap(self, at: int, begin: int, end: int) -> int:
        """Return for how long step number `at` ran between two times."""
        return max(0, min(end, self._ends[at]) - max(begin, self._starts[at]))

    def add_up(self, begin: int, end: int, held: dict[int, int]) -> None:
        """Add to `held`, for each owner, how long it ran between two times."""
        first, last = self.range(begin, end)
        for at in {first, last - 1} if first < last else ():
            owner = self.owners[at]
            held[owner] = held.get(owner, 0) + self.overlap(at, begin, end)
        within = slice(first + 1, max(first + 1, last - 1))
        # Most steps lie wholly inside; this loop decides how long a diagnosis takes.
        for owner, length in zip(self.owners[within], self._lengths[within], strict=True):
            held[owner] = held.get(owner, 0) + length

    def of_ready(self, fiber: int) -> dict[int, int]:
        """Return how long each fiber ran while this one was ready; the sum is that whole time.

        Keys are ids of fibers; 0 stands for the scheduler, its poller and the machine.
        """
        spans, whole = self.spans, 0
        held: dict[int, int] = {}
        for i in spans.indexes(fiber):
            if spans.state[i] == READY:
                whole += spans.end[i] - spans.start[i]
                self.add_up(spans.start[i], spans.end[i], held)
        found = {0: whole - sum(held.values())}
        found |= {spans.lives[row].id: time for row, time in held.items()}
        return {runner: time for runner, time in found.items() if time}


def starved_by(spans: Spans, most: int | None = None) -> dict[int, dict[int, int]]:
    """Return for each fiber which others ran while it was ready, and for how many nanoseconds.

    most: how many fibers to look at, those that were ready longest; None: all. The fiber that was
    ready longest stands first.
    """
    ready = [0] * len(spans.lives)
    for row, state, start, end in zip(spans.row, spans.state, spans.start, spans.end, strict=True):
        if state == READY:
            ready[row] += end - start
    worst = sorted(range(len(ready)), key=lambda row: -ready[row])[:most]
    holders = Holders(spans)
    return {spans.lives[row].id: holders.of_ready(spans.lives[row].id) for row in worst}


class QueueInTime(NamedTuple):
    """The run queue's length: its most, when that was first, its mean; the share it was empty."""

    most: int
    at: int
    mean: float
    empty: float


def queue_in_time(spans: Spans) -> QueueInTime | None:
    """Weigh the run queue's lengths by how long each lasted; None if no fiber was ever ready."""
    times, sizes = spans.depth
    if not times:
        return None
    until = [*times[1:], spans.finish]
    lasted = [max(0, b - a) for a, b in zip(times, until, strict=True)]
    whole = max(1, spans.finish - spans.begin)
    empty = sum(time for time, size in zip(lasted, sizes, strict=True) if not size)
    empty += times[0] - spans.begin
    most = max(sizes)
    mean = sum(time * size for time, size in zip(lasted, sizes, strict=True)) / whole
    return QueueInTime(most, times[sizes.index(most)] - spans.begin, mean, empty / whole)


def requests(spans: Spans) -> list[Request]:
    """Return the requests that marks stand for, in the order in which they began.

    A mark that ends belongs to the last one begun of the same name and id.
    """
    found: list[Request] = []
    opened: dict[tuple[object, ...], list[int]] = {}
    for row in spans.annotations():
        if row[EV] != "mark":
            continue
        t, _, fiber, name, phase, number, _args = row
        t -= spans.origin
        key = (str(name), repr(number))
        if phase == "b":
            opened.setdefault(key, []).append(len(found))
            found.append(Request(str(name), group_of(str(name)), fiber, t, None))
        elif phase == "e" and opened.get(key):
            at = opened[key].pop()
            found[at] = found[at]._replace(end=t)
    return found


def group_of(name: str) -> str:
    """Return a request's name without the number at its end: ``request 7`` is a ``request``."""
    return re.sub(r"[\s#:/_-]*[0-9]{1,20}$", "", name[-200:]) or name[-200:]


def tracing_cost(spans: Spans) -> int | None:
    """Return about how many nanoseconds the trace itself cost; None in simulated time.

    An estimate from measured costs (see EVENT_COST), right to a factor of two.
    """
    if spans.header.get("clock") == "simulated":
        return None
    events = len(spans.rows) + spans.dropped
    measured = any(cpu_of(row) is not None for row in spans.rows)
    asked = spans.state.count(RUNNING) if measured else 0
    return EVENT_COST * events + CPU_COST * asked


def family(spans: Spans) -> dict[int, int]:
    """Return the places in `spans.lives`, each before its children, and how deep each is."""
    children: dict[int, list[int]] = {}
    for row, life in enumerate(spans.lives):
        parent = spans.row_of.get(life.parent, -1)
        children.setdefault(parent if parent < row else -1, []).append(row)
    depths: dict[int, int] = {}
    following = [(row, 0) for row in reversed(children.get(-1, []))]
    while following:
        row, depth = following.pop()
        depths[row] = depth
        following += [(child, depth + 1) for child in reversed(children.get(row, []))]
    return depths
