"""Comparison: two runs beside each other, measure by measure and fiber by fiber.

The rule kept here: fibers of the two runs belong together by name; of one name, the first to the
first, the second to the second. A run is never stretched, only shifted, so that a length in one
figure is the same length in the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..spans.build import Story, build_spans
from ..spans.spans import Life, Poll, Spans, readable
from ..trace.events import EV, MARK, T, printable
from ..trace.packed import Table
from .summary import TIMES, FiberSummary, MarkSummary, Summary, summarize
from .tables import Cell, csv_text, html_table, text_table

__all__ = ["Comparison", "Difference", "FiberDifference", "compare"]


@dataclass(frozen=True)
class Difference:
    """One measure of two runs; None where a run has no value.

    unit: "ns", or "/s" for something a second.
    """

    measure: str
    first: float | None
    other: float | None
    unit: str = "ns"

    @property
    def change(self) -> float | None:
        """By how much the other run has more than the first."""
        both = self.first is not None and self.other is not None
        return self.other - self.first if both else None  # type: ignore[operator]


@dataclass(frozen=True)
class FiberDifference:
    """One fiber in two runs; None where it did not live."""

    name: str
    first: FiberSummary | None
    other: FiberSummary | None


@dataclass(frozen=True)
class Comparison:
    """Two runs beside each other; made by `compare`.

    names: what the runs are called. first, other: their summaries. differences: measure by
    measure; fibers: fiber by fiber.
    """

    names: tuple[str, str]
    first: Summary
    other: Summary
    differences: tuple[Difference, ...]
    fibers: tuple[FiberDifference, ...]

    def rows(self) -> list[dict[str, Cell]]:
        """Return a dict for each measure: ``pandas.DataFrame(comparison.rows())``."""
        return [
            {"measure": each.measure, "unit": each.unit, "first": each.first,
             "other": each.other, "change": each.change}
            for each in self.differences
        ]  # fmt: skip

    def csv(self) -> str:
        """Return what `rows` returns as CSV."""
        rows = [list(row.values()) for row in self.rows()]
        return csv_text(["measure", "unit", *self.names, "change"], rows)

    def table(self) -> tuple[list[str], list[list[Cell]]]:
        """Return the head and the rows of the table of differences, in words."""
        cells: list[list[Cell]] = [
            [
                printable(each.measure),
                _amount(each.first, each.unit),
                _amount(each.other, each.unit),
                _amount(each.change, each.unit, signed=True),
            ]
            for each in self.differences
        ]
        return ["", *(printable(name[:30]) for name in self.names), "change"], cells

    def __str__(self) -> str:
        lines = [self.headline(), "", *text_table(*self.table())]
        return "\n".join([*lines, "", *text_table(*self._fiber_table())])

    def _repr_html_(self) -> str:
        return html_table(*self.table(), self.headline()) + html_table(
            *self._fiber_table(), "fiber by fiber"
        )

    def headline(self) -> str:
        """Say in a sentence what differs most: the longest step, and the longest wait."""
        first, other = self.first, self.other
        one, two = (printable(name) for name in self.names)
        return (
            f"The longest step took {_longest(first)} in {one} and {_longest(other)} in {two}; "
            f"the longest time ready before running was {readable(first.waits.longest)} and "
            f"{readable(other.waits.longest)}."
        )

    def _fiber_table(self) -> tuple[list[str], list[list[Cell]]]:
        one, two = (printable(name[:30]) for name in self.names)
        measures = ("run", "ready", "unwatched", "longest_step")
        head = ["fiber"]
        for measure in measures:
            head += [f"{measure.replace('_', ' ')}: {one}", two]
        rows: list[list[Cell]] = []
        for each in self.fibers:
            row: list[Cell] = [printable(each.name[:30])]
            for measure in measures:
                row += [_amount(_of(each.first, measure)), _amount(_of(each.other, measure))]
            rows.append(row)
        return head, rows


def compare(
    trace: Story, other: Story, *, names: tuple[str, str] = ("first", "other")
) -> Comparison:
    """Set two runs beside each other: where time went, which fibers waited, what got done.

    names: what to call the runs, in tables and figures.
    """
    first, second = summarize(trace), summarize(other)
    pairs = paired([each.name for each in first.fibers], [each.name for each in second.fibers])
    return Comparison(
        names=names,
        first=first,
        other=second,
        differences=tuple(_differences(first, second)),
        fibers=tuple(
            FiberDifference(
                name,
                None if i is None else first.fibers[i],
                None if k is None else second.fibers[k],
            )
            for name, i, k in pairs
        ),
    )


def _differences(first: Summary, other: Summary) -> Iterable[Difference]:
    def both(measure: str, one: float, two: float) -> Difference:
        return Difference(measure, one, two)

    yield both("whole run", first.whole, other.whole)
    yield both("running", first.run, other.run)
    for name in TIMES:
        sums = [sum(each.times.get(name, 0) for each in run.fibers) for run in (first, other)]
        if any(sums) and name != "run":
            yield both(name, *sums)
    yield both("waits unwatched", first.unwatched, other.unwatched)
    for name in ("p50", "p95", "p99", "longest"):
        yield both(f"ready {name}", getattr(first.waits, name), getattr(other.waits, name))
    yield both("longest step", first.steps.longest, other.steps.longest)
    marks = [{mark.name: mark for mark in run.marks} for run in (first, other)]
    for name in dict.fromkeys([*marks[0], *marks[1]]):
        yield from _of_marks(name, marks[0].get(name), marks[1].get(name))


def _of_marks(name: str, one: MarkSummary | None, two: MarkSummary | None) -> Iterable[Difference]:
    rates = [None if mark is None else mark.per_second for mark in (one, two)]
    yield Difference(f"{name[:40]} ended", rates[0], rates[1], "/s")
    for measure in ("p50", "p95", "longest"):
        took = [
            None if mark is None or not mark.count else getattr(mark.took, measure)
            for mark in (one, two)
        ]
        yield Difference(f"{name[:40]} took {measure}", took[0], took[1])


def _longest(run: Summary) -> str:
    worst = max(run.fibers, key=lambda each: each.longest_step, default=None)
    if worst is None:
        return "no time"
    at = f" ({worst.longest_at})" if worst.longest_at else ""
    return f"{readable(worst.longest_step)}{at}"


def _of(fiber: FiberSummary | None, measure: str) -> int | None:
    return None if fiber is None else getattr(fiber, measure)


def _amount(value: float | None, unit: str = "ns", *, signed: bool = False) -> str:
    if value is None:
        return ""
    if value == 0:
        return "-"
    sign = "-" if value < 0 else "+" if signed else ""
    size = abs(value)
    return sign + (readable(size) if unit == "ns" else f"{size:.1f} {unit}")


# -- The same rows and the same beginning -------------------------------------


def paired(first: Sequence[str], other: Sequence[str]) -> list[tuple[str, int | None, int | None]]:
    """Return each name with its places in both lists; None where it is missing.

    A name that comes twice is two: the first belongs to the first, the second to the second.
    """
    places = [_places(names) for names in (first, other)]
    keys = dict.fromkeys([*places[0], *places[1]])
    return [(key[0], places[0].get(key), places[1].get(key)) for key in keys]


def _places(names: Sequence[str]) -> dict[tuple[str, int], int]:
    found: dict[tuple[str, int], int] = {}
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        seen[name] = seen.get(name, 0) + 1
        found[name, seen[name]] = place
    return found


def moment(spans: Spans, mark: str | None) -> int:
    """Return when the first mark called `mark` was, in nanoseconds; None: when the run began.

    Raises ValueError if there is no such mark.
    """
    if mark is None:
        return spans.begin
    for row in spans.rows:
        if row[EV] == "mark" and row[MARK.NAME] == mark:
            return int(row[T]) - spans.origin
    raise ValueError(f"there is no mark {mark!r} to align at in one of the two runs")


def shifted(trace: Story, origin: int) -> Spans:
    """Return the spans of a run with all times counted from `origin`, in nanoseconds."""
    spans = build_spans(trace)
    moved = Spans(spans.rows)
    moved.__dict__.update(spans.__dict__)
    moved.origin = spans.origin + origin

    def back(times: Iterable[int]) -> array[int]:
        return array("q", (t - origin for t in times))

    moved.start, moved.end = back(spans.start), back(spans.end)
    moved.begin, moved.finish = spans.begin - origin, spans.finish - origin
    moved.depth = (back(spans.depth[0]), spans.depth[1])
    moved.polls = Table(len(Poll._fields), Poll._make)
    for each in spans.polls:
        moved.polls.append(each._replace(start=each.start - origin, end=each.end - origin))
    moved.stalls = [each._replace(time=each.time - origin) for each in spans.stalls]
    moved.lives = [_earlier(life, origin) for life in spans.lives]
    return moved


def _earlier(life: Life, origin: int) -> Life:
    def moved(t: int | None) -> int | None:
        return None if t is None else t - origin

    return life._replace(born=moved(life.born), known=moved(life.known), died=moved(life.died))
