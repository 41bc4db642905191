"""The exercises of lesson 09, and what judges them: a trace in numbers, ranks, due times."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ....spans.build import build_spans
from ....spans.spans import Spans
from ....states import FiberState
from ....trace.trace import Trace
from ...exercises import Exercise, Judgement
from ...mistakes import Form
from .experiment import percentile, simulate
from .question import SLOW

# -- Exercise 1: a trace in numbers -------------------------------------------


def judge_numbers(answer: Any, trace: Trace) -> Judgement:
    """Judge (utilisation, longest gap in milliseconds) of a trace."""
    spans = build_spans(trace)
    utilisation, gap = (float(each) for each in answer)
    busy, longest = _busy(spans), _longest_gap(spans)
    if not _near(utilisation, busy, 0.005):
        hint = _hint_for(utilisation, _other_shares(spans), "add up the steps; divide by the run")
        return Judgement(False, f"a utilisation of {utilisation:.4g}", f"{busy:.2f}", hint)
    if not _near(gap, longest, 0.5):
        hint = _hint_for(gap, _other_gaps(spans), "from one step's end to the next one's start")
        return Judgement(False, f"a gap of {gap:.4g} ms", f"{longest:.0f} ms", hint)
    return Judgement(
        True, f"the loop was held for {busy:.0%}, the longest gap was {longest:.0f} ms"
    )


def _near(value: float, right: float, within: float) -> bool:
    return abs(value - right) <= max(within, 0.01 * right)


def _hint_for(value: float, others: Iterable[tuple[float, str]], default: str) -> str:
    return next((hint for other, hint in others if _near(value, other, 0.002)), default)


def _steps(spans: Spans) -> list[tuple[int, int]]:
    """Return when each step began and ended, in order."""
    return [(spans.start[i], spans.end[i]) for i in spans.steps()]


def _whole(spans: Spans) -> int:
    return spans.finish - spans.begin


def _busy(spans: Spans) -> float:
    return sum(end - start for start, end in _steps(spans)) / _whole(spans)


def _other_shares(spans: Spans) -> Iterator[tuple[float, str]]:
    """Yield what else may be taken for the utilisation, and what to say of it."""
    busy, whole = _busy(spans), _whole(spans)
    running = busy * whole
    everything = sum(spans.totals().values())
    used = sum(span.cpu or 0 for span in spans if span.state is FiberState.RUNNING)
    yield 100 * busy, "a share, from 0 to 1; that is in percent"
    yield running / everything, "there is one loop: divide by the run, not by the fibers' lives"
    yield (
        used / whole,
        "a fiber that blocks holds the loop too: count its time, not the processor's",
    )
    yield 1 - busy, "that is the share in which no fiber ran"


def _longest_gap(spans: Spans) -> float:
    return max(b[0] - a[1] for a, b in itertools.pairwise(_steps(spans))) / 1e6


def _other_gaps(spans: Spans) -> Iterator[tuple[float, str]]:
    """Yield what else may be taken for the longest gap, and what to say of it."""
    waits = [span.length for span in spans if span.state is not FiberState.RUNNING]
    gap = _longest_gap(spans)
    yield gap * 1e6, "spans are in nanoseconds: a million to the millisecond"
    yield gap / 1e3, "that is in seconds"
    yield max(waits) / 1e6, "that is one fiber's longest wait; others ran meanwhile"
    longest = max(end - start for start, end in _steps(spans))
    yield longest / 1e6, "that is the longest step; a gap lies between two"


# -- Exercise 2: the nearest rank ---------------------------------------------

VALUES = (0.5, 0.1, 0.4, 0.2, 0.3)
MANY = tuple((37 * number % 200) / 10 for number in range(200))


def judge_percentile(function: Callable[[Sequence[float], int], float]) -> Judgement:
    """Judge what ``function(values, percent)`` returns for some lists."""
    cases = [(VALUES, 20), (VALUES, 50), (VALUES, 99), ((7.0,), 50), (MANY, 99), (MANY, 50)]
    for values, percent in [*cases, (VALUES, 100)]:
        given = list(values)
        seen, right = function(given, percent), percentile(values, percent)
        if given != list(values):
            hint = "sort() changes the caller's list; sorted(values) makes a new one"
            return Judgement(False, "the list was in another order afterwards", "as it was", hint)
        if seen != right:
            what = f"{seen!r} as p{percent} of {len(values)} values"
            return Judgement(False, what, f"{right}", _hint_for_rank(values, percent, seen, right))
    return Judgement(True, f"{len(cases) + 1} percentiles at their nearest ranks")


def _hint_for_rank(values: Sequence[float], percent: int, seen: Any, right: float) -> str:
    if seen not in values:
        return "no mean between two: the nearest rank gives a value that occurred"
    ordered = sorted(values)
    rank = ordered.index(right)
    if seen == values[rank]:
        return "ranks count in the order of size: sort first"
    if seen > right:
        return "rank 1 is the smallest, and it is at index 0"
    return "round the rank up: math.ceil(len(values) * percent / 100)"


# -- Exercise 3: from the moment it was due -----------------------------------

RATE = 1000
Log = list[tuple[float, float]]
"""What a client noted: for each request when it was sent, and when it was answered."""


def judge_latencies(function: Callable[[Log, float], Iterable[float]]) -> Judgement:
    """Judge what ``function(log, RATE)`` makes of the log of a client that met a stall."""
    log = [(each.sent, each.answered) for each in simulate(0.2, RATE)]
    seen = [float(each) for each in function(list(log), RATE)]
    right = [answered - number / RATE for number, (_, answered) in enumerate(log)]
    if _same(seen, right):
        slow = sum(each > SLOW for each in right)
        found = f"{slow} of {len(right)} were slow, p99 is {1000 * percentile(right, 99):.0f} ms"
        return Judgement(True, found)
    if len(seen) != len(right):
        return Judgement(False, f"{len(seen)} latencies", f"{len(right)}", "one for each request")
    hints = (hint for other, hint in _other_latencies(log) if _same(seen, other))
    hint = next(hints, "request number n, counted from 0, is due at n / rate seconds")
    what = f"p99 is {1000 * percentile(seen, 99):.1f} ms"
    return Judgement(False, what, f"{1000 * percentile(right, 99):.1f} ms", hint)


def _same(seen: Sequence[float], right: Sequence[float]) -> bool:
    """Whether both are the same, to a microsecond."""
    near = (abs(a - b) < 1e-6 for a, b in zip(seen, right, strict=False))
    return len(seen) == len(right) and all(near)


def _other_latencies(log: Log) -> Iterator[tuple[list[float], str]]:
    """Yield what else may be taken for the latencies, and what to say of it."""
    last = [0.0, *(sent + 1 / RATE for sent, _ in log)]
    late = [answered - due for due, (_, answered) in zip(last, log, strict=False)]
    from_one = [answered - number / RATE for number, (_, answered) in enumerate(log, 1)]
    yield [answered - sent for sent, answered in log], "the client sent late: count from n / rate"
    yield late, "due times are fixed beforehand, whenever the request before was sent"
    yield from_one, "the first one is due at 0: count from 0"


EXERCISES = (
    Exercise(
        "l09-e1",
        "Utilisation and longest gap of a recorded trace.",
        judge_numbers,
        Form("values", "utilisation, gap", "two numbers"),
    ),
    Exercise(
        "l09-e2",
        "A percentile at the nearest rank.",
        judge_percentile,
        Form("function", "values, percent", "one of the values"),
    ),
    Exercise(
        "l09-e3",
        "Latencies from the moment a request was due.",
        judge_latencies,
        Form("function", "log, rate", "a list of seconds, one for each request"),
    ),
)
