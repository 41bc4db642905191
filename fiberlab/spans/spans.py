"""The spans of a run, as columns of numbers; made from events by ``spans.build_spans``.

The rule kept here: spans are numbers first. A million of them can be summed or drawn at once,
without an object for each; a Span is made only when one is asked for.

This module knows no scheduler and draws nothing.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

from ..states import DONE, READY, RUNNING, STATES, UNKNOWN, UNTIL_POLLED, FiberState
from ..trace.events import EV, FID, YIELD, Row, TraceEvent, place
from ..trace.packed import Table
from .stalls import HeldAt, Stall, line_seen

_IS_STEP = bytes(code == RUNNING for code in range(256))


class Span(NamedTuple):
    """A stretch of time that a fiber spent in one state; times in nanoseconds since the start.

    src: of a wait, the line that yielded it; of a step, the line at which it ended.
    fileno, duration: what a wait asked for. why, by, late, hidden: of a ready span, its wake.
    step, cpu: of a step, its number and its processor time. What is not known is None.
    unfinished: the trace ended before the span did.
    """

    fiber: int
    state: FiberState
    start: int
    end: int
    src: str | None = None
    fileno: int | None = None
    duration: int | None = None
    why: str | None = None
    by: int | None = None
    late: int | None = None
    hidden: int | None = None
    step: int | None = None
    cpu: int | None = None
    unfinished: bool = False

    @property
    def length(self) -> int:
        """How long it lasted, in nanoseconds."""
        return self.end - self.start


class Life(NamedTuple):
    """A fiber from birth to death; times in nanoseconds, None where the trace does not say.

    born: when it was first made ready, or spawned if that wake is lost. known: since when its
    states are known; later if the beginning was dropped. how, err, last_src: from its exit.
    """

    id: int
    name: str
    parent: int = 0
    src: str | None = None
    born: int | None = None
    known: int | None = None
    died: int | None = None
    how: str | None = None
    err: str | None = None
    last_src: str | None = None


class Poll(NamedTuple):
    """A stretch of time in which the scheduler polled; `woken`: how many fibers could go on."""

    start: int
    end: int
    timeout: int | None
    woken: int | None
    unfinished: bool = False


class Unwatched(NamedTuple):
    """A part of a wait during which the loop did not poll, because the fiber `by` ran."""

    fiber: int
    state: FiberState
    start: int
    end: int
    by: int


class Spans:
    """All spans of a trace, in the order in which they began; made by `build_spans`.

    Iterating gives each Span that is longer than nothing. The columns `row`, `state`, `start`
    and `end` hold one number for each span: its fiber's place in `lives`, its state's place in
    STATES, and two times in nanoseconds; numpy reads them without a copy.

    lives: the fibers, in the order of their spawning. polls, stalls: as in the trace.
    depth: two columns, times and the run queue's length from then on.
    hidden: where the waits are whose data lay in the kernel, and for how many nanoseconds; only
    what was measured: what came before the wait, its own fiber had left there.
    handed, annotated: the numbers of the rows in which a fiber woke another one, and of the marks
    and the output.
    begin, finish: the first and last time recorded. dropped: how many events are missing.
    cpu_so_far: the processor time of the step that has not ended, None if it is not known. goes_on:
    the run has not ended.
    origin: the moment of the run, in nanoseconds, from which all these times count; events
    themselves count from the run's beginning.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.row, self.state = array("i"), bytearray()
        self.start, self.end = array("q"), array("q")
        self.first, self.last = array("i"), array("i")  # the events around each; -1: none
        self.lives: list[Life] = []
        self.row_of: dict[int, int] = {}
        self.polls: Table[Poll] = Table(len(Poll._fields), Poll._make)
        self.stalls: list[Stall] = []
        self.depth: tuple[array[int], array[int]] = (array("q"), array("q"))
        self.hidden: Table[tuple[int, int]] = Table(2, tuple)
        self.handed, self.annotated = array("i"), array("i")
        self.begin = self.finish = self.dropped = self.origin = 0
        self.cpu_so_far: int | None = None
        self.goes_on = False
        self.header: dict[str, Any] = {}
        self._of_row: list[array[int]] | None = None

    def __len__(self) -> int:
        return len(self.start)

    def __iter__(self) -> Iterator[Span]:
        return (self[i] for i in range(len(self)) if self.end[i] > self.start[i])

    def __getitem__(self, index: int) -> Span:
        begun, ended = self._fields_of(self.first[index]), self._fields_of(self.last[index])
        state = self.state[index]
        known: dict[str, Any] = {}
        if state == RUNNING:
            cpu = ended.get("cpu") if self.last[index] >= 0 else self.cpu_so_far
            known = {"src": ended.get("src"), "step": begun.get("step"), "cpu": cpu}
        elif state == READY:
            known = {key: begun.get(key) for key in ("why", "by", "late", "hidden")}
        else:
            fileno, duration = begun.get("fd"), begun.get("dt")
            known = {"src": begun.get("src"), "fileno": fileno, "duration": duration}
        unfinished = self.last[index] < 0
        fiber = self.lives[self.row[index]].id
        return Span(
            fiber, STATES[state], self.start[index], self.end[index], unfinished=unfinished, **known
        )

    def __repr__(self) -> str:
        cut = f", {self.dropped} events dropped" if self.dropped else ""
        seconds = (self.finish - self.begin) / 1e9
        return f"<Spans: {len(self)} of {len(self.lives)} fibers in {seconds:.3f} s{cut}>"

    @property
    def in_turns(self) -> bool:
        """Whether one loop runs them all in turn; threads are run by the system, as it likes."""
        return self.header.get("source") != "threads"

    def life(self, fiber: int) -> Life:
        """Return what is known of the fiber with id `fiber`; KeyError if there is none."""
        return self.lives[self.row_of[fiber]]

    def of(self, fiber: int) -> list[Span]:
        """Return the spans of the fiber with id `fiber`, in order; KeyError if there is none."""
        return [self[i] for i in self.indexes(fiber) if self.end[i] > self.start[i]]

    def indexes(self, fiber: int) -> Sequence[int]:
        """Return the indexes of the spans of the fiber with id `fiber`."""
        if self._of_row is None:
            self._of_row = [array("i") for _ in self.lives]
            for i, row in enumerate(self.row):
                self._of_row[row].append(i)
        return self._of_row[self.row_of[fiber]]

    def annotations(self) -> list[Row]:
        """Return the rows of marks and of output, in order."""
        return [self.rows[number] for number in self.annotated]

    def totals(self, fiber: int | None = None) -> dict[FiberState, int]:
        """Return the nanoseconds spent in each state, by one fiber or by all together.

        UNKNOWN is among them only if the trace has it.
        """
        sums = [0] * len(STATES)
        for i in range(len(self)) if fiber is None else self.indexes(fiber):
            sums[self.state[i]] += self.end[i] - self.start[i]
        codes = (code for code in range(DONE) if code != UNKNOWN or UNKNOWN in self.state)
        return {STATES[code]: sums[code] for code in codes}

    def steps(self, at_least: float = 0.0) -> list[int]:
        """Return the indexes of the running spans of `at_least` seconds or more, in order."""
        least = round(at_least * 1e9)
        # Most spans are no steps, and there may be a million.
        steps = compress(range(len(self)), self.state.translate(_IS_STEP))
        return [i for i in steps if self.end[i] - self.start[i] >= least]

    def resumed_at(self, index: int) -> str | None:
        """Return the line at which the step at `index` began: where its fiber had yielded."""
        life = self.lives[self.row[index]]
        mine = self.indexes(life.id)
        at = bisect_left(mine, index)
        # That yield began the wait before, or ended the step before; a WAIT(0) precedes its wake.
        before = mine[max(0, at - 2) : at]
        numbers = {n for i in before for n in (self.first[i] - 1, self.first[i], self.last[i])}
        for row in (self.rows[number] for number in sorted(numbers, reverse=True) if number >= 0):
            if row[FID] == life.id and row[EV] == "yield":
                return place(row[YIELD.SRC])
        return life.src

    def looks(self, index: int) -> list[Stall]:
        """Return the looks into the step at `index`, the longest-running last."""
        at = bisect_left(self.stalls, index, key=_step_of)
        return self.stalls[at : bisect_right(self.stalls, index, key=_step_of)]

    def seen_at(self, index: int) -> str | None:
        """Return the line at which the step at `index` was seen; None if no look found it."""
        return line_seen(self.looks(index))

    def held_at(self, index: int) -> HeldAt:
        """Return where the step at `index` spent its time, as far as the trace says."""
        if (line := self.seen_at(index)) is not None:
            return HeldAt(line, line, True)
        began, ended = self.resumed_at(index), self[index].src
        return HeldAt(began or ended, ended or began, False)

    def unwatched(
        self,
        longer: float = 0.010,
        *,
        among: Iterable[int] | None = None,
        steps: list[int] | None = None,
    ) -> list[Unwatched]:
        """Return the parts of waits during which another fiber's step of `longer` seconds ran.

        While a step runs the loop does not poll: data may have come long ago while its fiber
        still waits. Threads have no loop, so there are none. among, steps: the spans and the
        steps to look at, by index, if known.
        """
        steps = self.steps(longer) if steps is None else steps
        begins = [self.start[i] for i in steps]
        found: list[Unwatched] = []
        for i in (range(len(self)) if among is None else among) if steps and self.in_turns else ():
            if self.state[i] in UNTIL_POLLED:
                found += self._under(i, steps, begins)
        return found

    def _under(self, i: int, steps: list[int], begins: list[int]) -> Iterator[Unwatched]:
        """Yield the parts of the span at `i` that lie under one of `steps`."""
        start, end, row = self.start[i], self.end[i], self.row[i]
        for at in range(max(0, bisect_right(begins, start) - 1), bisect_left(begins, end)):
            step = steps[at]
            a, b = max(start, begins[at]), min(end, self.end[step])
            if a < b:
                by = self.lives[self.row[step]].id
                yield Unwatched(self.lives[row].id, STATES[self.state[i]], a, b, by)

    def _fields_of(self, number: int) -> dict[str, Any]:
        return TraceEvent.from_row(self.rows[number]).fields if number >= 0 else {}


def _step_of(stall: Stall) -> int:
    return stall.step


def readable(nanoseconds: float) -> str:
    """Return a length of time for people: ``20 µs``, ``0.3 ms``, ``512 ms``, ``1.31 s``."""
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        value = nanoseconds / size
        if value >= 0.9995:
            return f"{value:.2f} s" if unit == "s" else f"{value:.{0 if value >= 9.95 else 1}f} ms"
    return f"{nanoseconds / 1e6:.1f} ms" if nanoseconds >= 99_500 else f"{nanoseconds / 1e3:.0f} µs"
