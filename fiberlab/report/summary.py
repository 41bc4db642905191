"""Summary: where the time of a run went, fiber by fiber, and how long each fiber waited.

The rule kept here: the times of a fiber add up to its life exactly, in nanoseconds. What is
not known (the cost of tracing, a line that was not seen) is an estimate that says so, or None.

This module draws nothing; its tables are text, HTML, CSV, and rows for a DataFrame.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from ..spans.build import Story, build_spans
from ..spans.numbers import Quantiles, requests, tracing_cost
from ..spans.numbers import lengths as lengths_of
from ..spans.spans import Life, Spans, readable
from ..states import DONE, OF_FIBERS, READY, RUNNING, STATES, FiberState
from ..trace.events import EV, printable
from ..trace.trace import Trace
from .tables import Cell, csv_text, html_table, text_table

__all__ = ["FiberSummary", "MarkSummary", "Summary", "summarize"]


TIMES: dict[str, FiberState] = {
    "run": FiberState.RUNNING,
    **{state.value: state for state in STATES[:DONE] if state is not FiberState.RUNNING},
}
"""The states by the names of their columns, in the order of the columns."""


@dataclass(frozen=True)
class FiberSummary:
    """One fiber's part of a run; times in nanoseconds.

    life: from birth (or since it is known) to death (or the trace's end); the sum of `times`,
    which holds the time in each state and can be read as attributes too: `run`, `ready`, `recv`
    and so on. unwatched: the part of its waits in which another fiber's long step
    kept the loop from polling. waits: how long it was ready before it ran. longest_at: where
    its longest step was. ended: return, error or cancel; None if it was alive at the end.
    """

    id: int
    name: str
    parent: int
    life: int
    times: dict[str, int] = field(hash=False)
    unwatched: int
    steps: int
    waits: Quantiles
    longest_step: int
    longest_at: str | None
    ended: str | None

    def __getattr__(self, name: str) -> int:
        if name in TIMES:
            return self.times.get(name, 0)
        raise AttributeError(f"a FiberSummary has no attribute {name!r}")


@dataclass(frozen=True)
class MarkSummary:
    """The requests of one group (see `numbers.Request`): how many ended, and how long they took.

    per_second: those that ended, by the length of the run; 0 if it took no time.
    """

    name: str
    count: int
    open: int
    per_second: float
    took: Quantiles


@dataclass(frozen=True)
class Summary:
    """A run in numbers; made by `summarize`. Times in nanoseconds.

    whole: how long it lasted. run: how long some fiber ran. polling: how long the scheduler
    asked its poller. waits: how long fibers were ready before they ran; steps: how long they
    ran. unwatched: as in FiberSummary, of all. dropped: events that are missing; unfinished:
    the trace has no end. tracing: about what the trace cost; None if that is not known.
    """

    fibers: tuple[FiberSummary, ...]
    marks: tuple[MarkSummary, ...]
    whole: int
    run: int
    polling: int
    unwatched: int
    waits: Quantiles
    steps: Quantiles
    events: int
    dropped: int
    unfinished: bool
    tracing: int | None

    @property
    def utilisation(self) -> float:
        """The share of the run, 0 to 1, in which some fiber ran."""
        return self.run / self.whole if self.whole else 0.0

    def rows(self) -> list[dict[str, Cell]]:
        """Return a dict for each fiber: ``pandas.DataFrame(summary.rows())``."""
        columns = self._columns()
        return [dict(zip(columns, _values(each), strict=True)) for each in self.fibers]

    def csv(self) -> str:
        """Return what `rows` returns as CSV, safe to open in a spreadsheet."""
        return csv_text(self._columns(), [_values(each) for each in self.fibers])

    def __str__(self) -> str:
        lines = [*self._facts(), "", *text_table(self._head(), self._cells())]
        if self.marks:
            lines += ["", *text_table(_MARK_HEAD, self._mark_cells())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        html = html_table(self._head(), self._cells(), " ".join(self._facts()))
        return html + (html_table(_MARK_HEAD, self._mark_cells(), "marks") if self.marks else "")

    def _facts(self) -> list[str]:
        waits, other = self.waits, self.whole - self.run - self.polling
        facts = [
            f"{_count(len(self.fibers), 'fiber')} in {readable(self.whole)}: running "
            f"{readable(self.run)} ({self.utilisation:.0%}), polling {readable(self.polling)}, "
            f"between steps {readable(other)}.",
            f"Ready before running ({_count(waits.times, 'time')}): p50 {readable(waits.p50)}, "
            f"p95 {readable(waits.p95)}, p99 {readable(waits.p99)}, at most "
            f"{readable(waits.longest)}.",
        ]
        if self.unwatched:
            facts.append(f"Waits were unwatched for {readable(self.unwatched)} in all.")
        if self.dropped:
            facts.append(f"{_count(self.dropped, 'event')} dropped: the beginning is incomplete.")
        if self.unfinished:
            facts.append("The trace has no end: what was under way counts up to its last event.")
        if self.tracing is not None and self.whole:
            cost = f"about {readable(self.tracing)} ({self.tracing / self.whole:.1%} of the run)"
            facts.append(f"{_count(self.events, 'event')} kept; tracing cost {cost}.")
        return facts

    def _times(self) -> list[str]:
        """Return the names of the times that its fibers have."""
        own = (name for name, state in TIMES.items() if state in OF_FIBERS)
        return list(self.fibers[0].times if self.fibers else own)

    def _head(self) -> list[str]:
        waits = ("wait p50", "p95", "p99", "max")
        return ["fiber", "life", *self._times(), *waits, "longest step", "at"]

    def _columns(self) -> list[str]:
        return [name for known in fields(FiberSummary) for name in self._columns_of(known.name)]

    def _columns_of(self, name: str) -> list[str]:
        if name == "waits":
            return [f"wait_{each}_ns" for each in ("p50", "p95", "p99", "max")]
        if name == "times":
            return [f"{each}_ns" for each in self._times()]
        return [name if name in _WITHOUT_UNIT else f"{name}_ns"]

    def _cells(self) -> list[list[Cell]]:
        return [
            [
                f"#{each.id} {printable(each.name[:30])}",
                *(_amount(time) for time in (each.life, *each.times.values())),
                *map(_amount, each.waits[1:]),
                _amount(each.longest_step),
                each.longest_at or "",
            ]
            for each in self.fibers
        ]

    def _mark_cells(self) -> list[list[Cell]]:
        return [
            [
                printable(mark.name[:40]),
                mark.count,
                mark.open,
                f"{mark.per_second:.1f}",
                *map(_amount, mark.took[1:]),
            ]
            for mark in self.marks
        ]


_MARK_HEAD = ["mark", "ended", "open", "per second", "took p50", "p95", "p99", "max"]
_WITHOUT_UNIT = ("id", "name", "parent", "steps", "longest_at", "ended")


def summarize(trace: Story) -> Summary:
    """Sum up a run: each fiber's times and waits, the use of the loop, the marks.

    trace: a Trace, its events, or its Spans.
    """
    spans = build_spans(trace)
    unwatched = _unwatched(spans)
    fibers = tuple(_fiber(spans, life, unwatched.get(life.id, 0)) for life in spans.lives)
    whole = spans.finish - spans.begin
    measured = trace.cost if isinstance(trace, Trace) else None
    return Summary(
        fibers=fibers,
        marks=tuple(_marks(spans, whole)),
        whole=whole,
        run=sum(each.run for each in fibers),
        polling=sum(poll.end - poll.start for poll in spans.polls),
        unwatched=sum(unwatched.values()),
        waits=Quantiles.of(lengths_of(spans, READY)),
        steps=Quantiles.of(lengths_of(spans, RUNNING)),
        events=len(spans.rows),
        dropped=spans.dropped,
        unfinished=bool(spans.rows) and spans.rows[-1][EV] != "stop",
        tracing=measured if measured is not None else tracing_cost(spans),
    )


def _fiber(spans: Spans, life: Life, unwatched: int) -> FiberSummary:
    totals = spans.totals(life.id)
    times = {name: totals[state] for name, state in TIMES.items() if state in totals}
    steps = [i for i in spans.indexes(life.id) if spans.state[i] == RUNNING]
    longest = max(steps, key=lambda i: spans.end[i] - spans.start[i], default=None)
    return FiberSummary(
        id=life.id,
        name=life.name,
        parent=life.parent,
        life=sum(times.values()),
        times=times,
        unwatched=unwatched,
        steps=len(steps),
        waits=Quantiles.of(lengths_of(spans, READY, life.id)),
        longest_step=0 if longest is None else spans.end[longest] - spans.start[longest],
        longest_at=None if longest is None else spans.held_at(longest).text,
        ended=life.how,
    )


def _unwatched(spans: Spans) -> dict[int, int]:
    sums: dict[int, int] = {}
    for each in spans.unwatched():
        sums[each.fiber] = sums.get(each.fiber, 0) + each.end - each.start
    return sums


def _marks(spans: Spans, whole: int) -> Iterable[MarkSummary]:
    groups: dict[str, list[int | None]] = {}
    for request in requests(spans):
        took = None if request.end is None else request.end - request.start
        groups.setdefault(request.group, []).append(took)
    for name, lengths in groups.items():
        ended = [length for length in lengths if length is not None]
        rate = len(ended) / (whole / 1e9) if whole else 0.0
        yield MarkSummary(name, len(ended), len(lengths) - len(ended), rate, Quantiles.of(ended))


def _values(each: FiberSummary) -> list[Cell]:
    values: list[Cell] = []
    for known in fields(each):
        value = getattr(each, known.name)
        if isinstance(value, Quantiles):
            values += value[1:]
        else:
            values += value.values() if isinstance(value, dict) else [value]
    return values


def _amount(nanoseconds: int) -> str:
    return readable(nanoseconds) if nanoseconds else "-"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
