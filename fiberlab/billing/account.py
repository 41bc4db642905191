"""Accounts: where the time of a request went, stretch by stretch, and which line took it.

The rule kept here: the stretches of a request tile it, in integer nanoseconds. A line is charged
only with time in which its step ran and the request could have gone on. What the trace does not
say is called unknown, and nothing is charged twice.

This module does not know what a request is, nor how a bill looks.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from ..diagnosis.evidence import Verdict, judge
from ..diagnosis.limits import Limits
from ..spans.spans import Spans
from ..states import ON_SOCKETS, READY, RUNNING, UNKNOWN
from ..trace.events import EV, POLL, WAKE, T
from ..trace.packed import Texts


class Part(Enum):
    """The parts of a latency, in the order in which they are told."""

    COMPUTING = "computing"  # its own fiber ran
    WAITING = "waiting"  # it waited for what it had asked for
    READY = "ready"  # it could go on, and another fiber's step ran
    UNWATCHED = "unwatched"  # as READY, but the loop did not know: it had not polled
    LATE = "late"  # as READY: its deadline had passed
    MACHINE = "machine"  # it could go on or ran, and the scheduler or the machine took the time
    UNKNOWN = "unknown"  # the trace does not say


CHARGED = (Part.READY, Part.UNWATCHED, Part.LATE)
"""The parts that steps of other fibers have taken; each has a line that is charged with it."""


class Stretch(NamedTuple):
    """A piece of a request's time, in nanoseconds.

    Of a part in CHARGED only the time under other fibers' steps counts; what is left is `rest`.
    """

    part: Part
    start: int
    end: int
    rest: Part = Part.MACHINE


class Account:
    """Divides stretches of a fiber's time; looks through the run once, then any number of times.

    A step that `diagnose` puts down to a busy machine (by its default limits) is the machine's.
    """

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self.steps = Steps(spans)
        self._looked = _last_looks(spans)

    def stretches(self, fiber: int, begin: int, end: int) -> Iterator[Stretch]:
        """Yield what the fiber of id `fiber` did between two times; the stretches tile it."""
        spans, at = self.spans, begin
        mine = spans.indexes(fiber) if fiber in spans.row_of else ()
        first = bisect_right(mine, begin, key=spans.end.__getitem__)
        for i in mine[first:]:
            a, b = max(at, spans.start[i]), min(end, spans.end[i])
            if spans.start[i] >= end:
                break
            if at < a < b:
                yield Stretch(Part.UNKNOWN, at, a)
            if a < b:
                yield from self._within(i, a, b)
                at = b
        if at < end:
            yield Stretch(Part.UNKNOWN, at, end)

    def _within(self, i: int, a: int, b: int) -> Iterator[Stretch]:
        """Yield the stretches of the span at `i` from `a` to `b`."""
        state = self.spans.state[i]
        if state == RUNNING:
            machine = self.steps.is_machine(i)
            yield Stretch(Part.MACHINE if machine else Part.COMPUTING, a, b)
        elif state == READY:
            yield Stretch(Part.READY, a, b)
        elif state == UNKNOWN:
            yield Stretch(Part.UNKNOWN, a, b)
        else:
            delayed = self._delayed(i)
            since = min(max(delayed.start, a), b)
            if a < since:
                yield Stretch(Part.WAITING, a, since)
            if since < b:
                yield delayed._replace(start=since, end=b)

    def _delayed(self, i: int) -> Stretch:
        """Return the end of the wait at `i` in which its fiber could have gone on already."""
        spans, end, number = self.spans, self.spans.end[i], self.spans.last[i]
        nothing = Stretch(Part.WAITING, end, end)
        if number < 0 or spans.rows[number][EV] != "wake":
            return nothing
        row = spans.rows[number]
        if row[WAKE.WHY] == "timer":
            late = row[WAKE.LATE]
            asked = spans[i].duration if late is None else None
            due = end if asked is None else spans.start[i] + asked
            return Stretch(Part.LATE, due if late is None else end - late, end)
        if row[WAKE.WHY] != "io" or spans.state[i] not in ON_SOCKETS:
            return nothing
        if row[WAKE.HIDDEN] is not None:
            return Stretch(Part.UNWATCHED, end - row[WAKE.HIDDEN], end)
        # The data came after the last look that did not find it; when is not known.
        looked = self._looked.get(number)
        return nothing if looked is None else Stretch(Part.UNWATCHED, looked, end, Part.WAITING)


def _last_looks(spans: Spans) -> dict[int, int]:
    """Return, for wakes by data that may have been there before the poll, the last look before it.

    By the number of the wake's row. A poll that blocked found what came while it waited.
    """
    found: dict[int, int] = {}
    before = looked = spans.begin
    asked = None
    waited = True  # before the first poll nothing is known
    for number, row in enumerate(spans.rows):
        if row[EV] == "poll":
            asked = row
        elif row[EV] == "polled":
            before, looked = looked, row[T] - spans.origin
            waited = asked is None or (asked[POLL.TIMEOUT] != 0 and row[T] - asked[T] > 1_000_000)
        elif row[EV] == "wake" and row[WAKE.WHY] == "io" and not waited:
            found[number] = before
    return found


class Steps:
    """The steps of a run by the line that held each, for sums over any stretch of time.

    lines: each line once; None, the first, stands for the machine. Where the trace names no line,
    the fiber's name stands for it. Threads take no turns and hold up no other: they have no steps.
    """

    def __init__(self, spans: Spans) -> None:
        self.spans = spans
        self.numbers = array("i", spans.steps() if spans.in_turns else ())
        lines = Texts()
        self._line = array("i", (lines.number(_line_of(spans, i)) for i in self.numbers))
        self.lines = lines.texts
        self._starts, self._ends = array("q"), array("q")
        # For each line: which steps are its, and the sums of their lengths up to each.
        self._places = [array("i") for _ in self.lines]
        self._sums = [array("q", [0]) for _ in self.lines]
        clock = spans.begin
        for place, (i, line) in enumerate(zip(self.numbers, self._line, strict=True)):
            start = max(clock, spans.start[i])  # no time counts twice, whatever the trace says
            clock = max(start, spans.end[i])
            self._starts.append(start)
            self._ends.append(clock)
            self._places[line].append(place)
            self._sums[line].append(self._sums[line][-1] + clock - start)

    def is_machine(self, i: int) -> bool:
        """Whether the step with index `i` among the spans is the machine's."""
        at = bisect_left(self.numbers, i)
        return at < len(self.numbers) and self.numbers[at] == i and not self._line[at]

    def held(self, begin: int, end: int) -> dict[int, int]:
        """Return for how long steps of each line ran between two times, by the line's number."""
        first, last = self._between(begin, end)
        found: dict[int, int] = {}
        for place in {first, last - 1} if first < last else ():
            line = self._line[place]
            found[line] = found.get(line, 0) + self._overlap(place, begin, end)
        # The others lie wholly inside: two look-ups for each line, however many steps it has.
        for line, places in enumerate(self._places) if last - first > 2 else ():
            a, b = bisect_left(places, first + 1), bisect_left(places, last - 1)
            if time := self._sums[line][b] - self._sums[line][a]:
                found[line] = found.get(line, 0) + time
        return {line: time for line, time in found.items() if time}

    def longest(self, line: int, begin: int, end: int) -> tuple[int, int]:
        """Find the step of `line` that ran longest between two times.

        Returns for how long it ran there, and its index among the spans; (0, -1) if there is none.
        """
        first, last = self._between(begin, end)
        places = self._places[line]
        among = places[bisect_left(places, first) : bisect_left(places, last)]
        lengths = ((self._overlap(place, begin, end), self.numbers[place]) for place in among)
        return max(lengths, default=(0, -1))

    def _between(self, begin: int, end: int) -> tuple[int, int]:
        return bisect_right(self._ends, begin), bisect_left(self._starts, end)

    def _overlap(self, place: int, begin: int, end: int) -> int:
        return max(0, min(end, self._ends[place]) - max(begin, self._starts[place]))


_LIMITS = Limits()


def _line_of(spans: Spans, step: int) -> str | None:
    """Return the line that held the step at `step`; None for a step that the machine made long."""
    long = spans.end[step] - spans.start[step] >= _LIMITS.step * 1e9
    if long and judge(spans, step, _LIMITS) is Verdict.PREEMPTED:
        return None
    return spans.held_at(step).text or spans.lives[spans.row[step]].name
