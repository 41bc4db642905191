"""The bill: what the latency of each request consists of, and what each line has charged for it.

The rule kept here: the parts of a request add up to its latency, and its charges to the parts in
which it was held up, both exactly, in nanoseconds. Only sentences and tables round.

What decides where a stretch of time went is ``account``; this module adds up and tells.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ..report.tables import Cell, csv_text, html_table, text_table
from ..spans.build import Story, build_spans
from ..spans.numbers import Quantiles, Request, requests
from ..spans.spans import Spans, readable
from ..trace.events import printable
from .account import CHARGED, Account, Part

__all__ = ["Bill", "Billed", "Charge", "bill"]

MOST = 20
"""So many requests, and so many lines, are in a table; the slowest, and the dearest."""


class Charge(NamedTuple):
    """What one line took of one request: `time` nanoseconds of one `part` of its latency.

    src: ``file:line``, or the two lines between which the step ran; see `Spans.held_at`.
    part: ready, unwatched or late. request: its place in `Bill.requests`.
    """

    src: str
    part: Part
    time: int
    request: int


class Billed(NamedTuple):
    """One request and its parts; times in nanoseconds, and the parts add up to `latency`.

    computing: its own fiber ran, or was blocked in a call. waiting: for what it had asked for.
    ready, unwatched, late: it could have gone on, and steps of others ran: it was in the run
    queue; there was data for it and the loop had not polled; its deadline had passed. machine: it
    could have gone on, and the scheduler or a busy machine took the time. unknown: the trace does
    not say. charges: by which lines it was held up, the most first.

    When data came is known if the trace has `hidden`. Else `unwatched` is the most it can have
    been: since the last poll that did not find it.
    """

    number: int
    name: str
    fiber: int
    start: int
    end: int
    computing: int
    waiting: int
    ready: int
    unwatched: int
    late: int
    machine: int
    unknown: int
    charges: tuple[Charge, ...]

    @property
    def latency(self) -> int:
        """How long it took, in nanoseconds."""
        return self.end - self.start

    @property
    def parts(self) -> dict[Part, int]:
        """The parts by name, in the order in which they are told."""
        return {part: getattr(self, part.value) for part in Part}


@dataclass(frozen=True)
class Bill:
    """The bill of a run; made by `bill`. Its `str` is a table.

    requests: those that began and ended in the trace, in the order in which they began.
    charges: the same charges by line, the dearest line first. left_out: how many requests have no
    beginning or no end in the trace, so that their latency is not known.
    """

    requests: tuple[Billed, ...]
    charges: dict[str, tuple[Charge, ...]] = field(hash=False)
    left_out: int
    _account: Account = field(repr=False, compare=False)

    def percentile(self, percent: float) -> Billed:
        """Return the request at the nearest rank: `percent` % took no longer than it.

        ValueError for a percentage that is not above 0 and up to 100, or if there is no request.
        """
        if not 0 < percent <= 100:
            raise ValueError(f"percentile() takes a number above 0, up to 100, got {percent!r}")
        if not self.requests:
            raise ValueError("percentile() needs a request, and this bill has none")
        ordered = sorted(self.requests, key=_latency)
        return ordered[max(0, -int(-len(ordered) * percent // 100) - 1)]

    def slowest(self, most: int = MOST) -> list[Billed]:
        """Return the `most` requests that took longest, the slowest first."""
        return sorted(self.requests, key=_latency, reverse=True)[:most]

    def sentence(self, request: Billed) -> str:
        """Tell in one sentence what the latency of `request` consists of."""
        told = [
            self._held_up(request, part) if part in CHARGED else f"{readable(time)} {_OWN[part]}"
            for part, time in request.parts.items()
            if time
        ]
        parts = ", ".join(told) or "no time at all"
        return f"{_shown(request.name)} took {readable(request.latency)}: {parts}."

    def _held_up(self, request: Billed, part: Part) -> str:
        charges = [charge for charge in request.charges if charge.part is part]
        dearest = charges[0]
        name = _shown(self._culprit(request, dearest))
        behind = name if name == dearest.src else f"{name} at {_shown(dearest.src)}"
        text = f"{readable(dearest.time)} {_OWN[part]} behind {behind}"
        if others := charges[1:]:
            time = readable(sum(charge.time for charge in others))
            text += f" and {time} behind {_count(len(others), 'other line')}"
        return text

    def _culprit(self, request: Billed, charge: Charge) -> str:
        """Return the name of the fiber whose step took most of a charge."""
        steps, spans = self._account.steps, self._account.spans
        line = steps.lines.index(charge.src)
        _, step = max(
            steps.longest(line, stretch.start, stretch.end)
            for stretch in self._account.stretches(request.fiber, request.start, request.end)
            if stretch.part is charge.part
        )
        return spans.lives[spans.row[step]].name

    # -- As tables ------------------------------------------------------------

    def rows(self) -> list[dict[str, Cell]]:
        """Return a dict for each request: ``pandas.DataFrame(bill.rows())``."""
        return [dict(zip(_COLUMNS, _values(each), strict=True)) for each in self.requests]

    def csv(self) -> str:
        """Return what `rows` returns as CSV, safe to open in a spreadsheet."""
        return csv_text(_COLUMNS, [_values(each) for each in self.requests])

    def charges_csv(self) -> str:
        """Return all charges as CSV, a row for each: its line, its request, its part, its time."""
        rows = [
            [each.src, self.requests[each.request].name, each.request, each.part.value, each.time]
            for charges in self.charges.values()
            for each in charges
        ]
        return csv_text(["line", "name", "request", "part", "time_ns"], rows)

    def __str__(self) -> str:
        lines = self._facts()
        if self.requests:
            lines += ["", *text_table(self._head(), self._cells())]
        if self.charges:
            lines += ["", *text_table(_LINES_HEAD, self._line_cells())]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        html = html_table(self._head(), self._cells(), " ".join(self._facts()))
        caption = "what each line has charged"
        lines = html_table(_LINES_HEAD, self._line_cells(), caption) if self.charges else ""
        return html + lines

    def _facts(self) -> list[str]:
        if not self.requests:
            facts = ["No request began and ended in this trace."]
        else:
            took = Quantiles.of(map(_latency, self.requests))
            facts = [
                f"{_count(took.times, 'request')}: p50 {readable(took.p50)}, p95 "
                f"{readable(took.p95)}, p99 {readable(took.p99)}, at most "
                f"{readable(took.longest)}.",
                f"p99: {self.sentence(self.percentile(99))}",
            ]
        if self.left_out:
            facts.append(
                f"{_count(self.left_out, 'request')} left out: the beginning or the end is not "
                "in the trace."
            )
        if len(self.requests) > MOST:
            facts.append(f"The table has the {MOST} slowest.")
        return facts

    def _parts(self) -> list[Part]:
        """Return the parts that a table shows: UNKNOWN only if there is any."""
        unknown = any(each.unknown for each in self.requests)
        return [part for part in Part if part is not Part.UNKNOWN or unknown]

    def _head(self) -> list[str]:
        return ["request", "latency", *(part.value for part in self._parts()), "mostly behind"]

    def _cells(self) -> list[list[Cell]]:
        return [
            [
                _shown(each.name),
                *map(_amount, (each.latency, *(each.parts[part] for part in self._parts()))),
                _shown(each.charges[0].src) if each.charges else "",
            ]
            for each in self.slowest()
        ]

    def _line_cells(self) -> list[list[Cell]]:
        return [
            [
                _shown(src),
                _amount(sum(each.time for each in charges)),
                *(_amount(sum(c.time for c in charges if c.part is part)) for part in CHARGED),
                len({each.request for each in charges}),
                _shown(self.requests[charges[0].request].name),
            ]
            for src, charges in list(self.charges.items())[:MOST]
        ]


_OWN = {
    Part.COMPUTING: "computing",
    Part.WAITING: "waiting",
    Part.READY: "ready",
    Part.UNWATCHED: "unwatched",
    Part.LATE: "late",
    Part.MACHINE: "taken by the scheduler and the machine",
    Part.UNKNOWN: "of which the trace says nothing",
}
_LINES_HEAD = [
    "line", "charged", *(part.value for part in CHARGED), "requests", "most to",
]  # fmt: skip
_COLUMNS = ["name", "fiber", "start_ns", "latency_ns", *(f"{part.value}_ns" for part in Part)]


def bill(trace: Story, *, of: str | None = None) -> Bill:
    """Divide the latency of each request into its parts, and charge them to lines.

    of: what is a request. "marks": the time between the two marks of ``with mark(name)``.
    "fibers": the life of each fiber that another one started, as each connection's is; of all
    fibers if none was. None: marks if the trace has any, else fibers.
    """
    if of not in (None, "marks", "fibers"):
        raise ValueError(f"bill(of=) is 'marks', 'fibers' or None, got {of!r}")
    spans = build_spans(trace)
    marks = [] if of == "fibers" else requests(spans)
    found = marks if of == "marks" or marks else _fibers(spans)
    known = [each for each in found if each.end is not None and each.end >= each.start]
    account = Account(spans)
    billed = tuple(_billed(account, number, each) for number, each in enumerate(known))
    return Bill(billed, _by_line(billed), len(found) - len(known), account)


def _fibers(spans: Spans) -> list[Request]:
    """Return the lives that are requests; one whose beginning was dropped has no end either."""
    started = [life for life in spans.lives if life.parent] or spans.lives
    return [
        Request(life.name, "", life.id, life.born or 0, None if life.born is None else life.died)
        for life in started
    ]


def _billed(account: Account, number: int, request: Request) -> Billed:
    assert request.end is not None
    times = dict.fromkeys(Part, 0)
    taken: dict[tuple[str, Part], int] = {}
    for part, start, end, rest in account.stretches(request.fiber, request.start, request.end):
        if part not in CHARGED:
            times[part] += end - start
            continue
        left = end - start
        for line, time in account.steps.held(start, end).items():
            left -= time
            src = account.steps.lines[line]
            times[Part.MACHINE if src is None else part] += time
            if src is not None:
                taken[src, part] = taken.get((src, part), 0) + time
        times[rest] += left
    charges = sorted((Charge(*key, time, number) for key, time in taken.items()), key=_dearest)
    what = (number, request.name, request.fiber, request.start, request.end)
    return Billed._make([*what, *times.values(), tuple(charges)])


def _by_line(billed: Iterable[Billed]) -> dict[str, tuple[Charge, ...]]:
    lines: dict[str, list[Charge]] = {}
    for charge in sorted((charge for each in billed for charge in each.charges), key=_dearest):
        lines.setdefault(charge.src, []).append(charge)
    dearest = sorted(lines.items(), key=lambda item: -sum(charge.time for charge in item[1]))
    return {src: tuple(charges) for src, charges in dearest}


def _latency(request: Billed) -> int:
    return request.latency


def _dearest(charge: Charge) -> int:
    return -charge.time


def _values(each: Billed) -> list[Cell]:
    return [each.name, each.fiber, each.start, each.latency, *each.parts.values()]


def _amount(nanoseconds: int) -> str:
    return readable(nanoseconds) if nanoseconds else "-"


def _shown(text: str) -> str:
    line = printable(text[:61]).replace("\t", " ")
    return line if len(line) <= 60 else line[:57] + "..."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
