"""Figures beside the timeline: how long waits and steps were, the queue, states, starvation.

The rule kept here: each ``plot_`` function returns the Axes it drew on, and beside it stands a
``describe_`` function that tells the same in words.

matplotlib is loaded when a figure is drawn (see ``draw_charts``), not when this module is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ..billing.bill import Bill, bill
from ..report.comparison import compare, moment, shifted
from ..report.tables import Cell, text_table
from ..spans.build import Story, build_spans
from ..spans.numbers import Quantiles, lengths, queue_in_time, starved_by
from ..spans.spans import Spans, readable
from ..states import READY, RUNNING
from ..trace.events import printable
from .alternative import Drawn, with_run, with_words
from .timeline import describe_timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "describe_bill", "describe_latency", "describe_queue", "describe_starvation",
    "describe_states", "describe_steps", "plot_bill", "plot_comparison", "plot_latency",
    "plot_queue", "plot_starvation", "plot_states", "plot_steps",
]  # fmt: skip


def plot_latency(trace: Story, ax: Axes | None = None) -> Axes:
    """Draw how long fibers were ready before they ran: a histogram with p50, p95 and p99.

    The time axis is logarithmic; what took less than a microsecond is counted there.
    """
    from .draw_charts import histogram

    spans = build_spans(trace)
    drawn = histogram(
        lengths(spans, READY), ax, READY, "ready before running", "times a fiber was ready"
    )
    return with_words(drawn, partial(describe_latency, spans))


def describe_latency(trace: Story) -> str:
    """Tell in words what `plot_latency` shows."""
    return _in_words("Ready before running", lengths(build_spans(trace), READY))


def plot_steps(trace: Story, ax: Axes | None = None) -> Axes:
    """Draw how long steps took, as `plot_latency` does: what each made all others wait."""
    from .draw_charts import histogram

    spans = build_spans(trace)
    drawn = histogram(lengths(spans, RUNNING), ax, RUNNING, "length of a step", "steps")
    return with_words(drawn, partial(describe_steps, spans))


def describe_steps(trace: Story) -> str:
    """Tell in words what `plot_steps` shows."""
    return _in_words("Steps", lengths(build_spans(trace), RUNNING))


def _in_words(what: str, times: list[int]) -> str:
    took = Quantiles.of(times)
    if not took.times:
        return f"{what}: none."
    counts = []
    for power in range(3, 12):
        inside = sum((power == 3 or t >= 10**power) and t < 10 ** (power + 1) for t in times)
        if inside:
            counts.append(f"{inside:,} under {_round(10 ** (power + 1))}")
    return (
        f"{what}, {took.times:,} {'time' if took.times == 1 else 'times'}: p50 "
        f"{readable(took.p50)}, p95 {readable(took.p95)}, p99 {readable(took.p99)}, at most "
        f"{readable(took.longest)}. {'; '.join(counts)}."
    )


def _round(nanoseconds: int) -> str:
    for unit, size in (("s", 10**9), ("ms", 10**6)):
        if nanoseconds >= size:
            return f"{nanoseconds // size} {unit}"
    return f"{nanoseconds // 1000} µs"


def plot_queue(trace: Story, ax: Axes | None = None) -> Axes:
    """Draw how many fibers were in the run queue, over time."""
    from .draw_charts import queue

    spans = build_spans(trace)
    return with_words(queue(spans, ax), partial(describe_queue, spans))


def describe_queue(trace: Story) -> str:
    """Tell in words what `plot_queue` shows."""
    spans = build_spans(trace)
    length = queue_in_time(spans)
    if length is None:
        return "The run queue was never used."
    fibers = "fiber" if length.most == 1 else "fibers"
    return (
        f"The run queue held at most {length.most:,} {fibers}, first {readable(length.at)} after "
        f"the beginning; {length.mean:.2f} on average, and none for {100 * length.empty:.0f} % "
        "of the time."
    )


def plot_states(trace: Story, ax: Axes | None = None) -> Axes:
    """Draw for each fiber how its life was divided: a bar, the states one after another."""
    from .draw_charts import states

    spans = build_spans(trace)
    return with_words(states(spans, ax), partial(describe_states, spans))


def describe_states(trace: Story) -> str:
    """Tell in words what `plot_states` shows: the share of each state in each life."""
    spans = build_spans(trace)
    rows: list[list[Cell]] = []
    for life in spans.lives:
        times = list(spans.totals(life.id).values())
        whole = sum(times)
        parts = (f"{100 * time / whole:.0f} %" if time else "-" for time in times)
        rows.append([f"#{life.id} {printable(life.name[:30])}", readable(whole), *parts])
    head = ["fiber", "life", *(state.value for state in spans.totals())]
    return "\n".join(text_table(head, rows))


def plot_starvation(trace: Story, ax: Axes | None = None, *, most: int = 15) -> Axes:
    """Draw which fiber ran while others were ready: rows for those, columns for the running ones.

    most: how many rows and columns at most, those with the most time first.
    """
    from .draw_charts import matrix

    spans = build_spans(trace)
    words = partial(describe_starvation, spans, most=most)
    return with_words(matrix(spans, ax, most), words)


def describe_starvation(trace: Story, *, most: int = 15) -> str:
    """Say in words what `plot_starvation` shows: for each fiber, which ran while it was ready."""
    spans = build_spans(trace)
    names = {life.id: f"#{life.id} {printable(life.name[:30])}" for life in spans.lives}
    names[0] = "no fiber (the scheduler, its poll, the machine)"
    lines = []
    for fiber, culprits in starved_by(spans, most).items():
        worst = sorted(culprits.items(), key=lambda item: -item[1])[:3]
        causes = ", ".join(f"{names[by]} {readable(time)}" for by, time in worst)
        if causes:
            lines.append(
                f"{names[fiber]} was ready for {readable(sum(culprits.values()))}: {causes}"
            )
    return "\n".join(lines) or "No fiber had to wait after it was ready."


def plot_bill(trace: Story | Bill, ax: Axes | None = None, *, most: int = 15) -> Axes:
    """Draw what the latencies of the slowest requests consist of: a bar for each, its parts.

    trace: a run, or its `bill`. most: how many requests, at least 1. Beside each bar stands its
    latency and what the line that held it up most took of it.
    """
    from .draw_charts import parts

    billed = _billed(trace, most)
    return with_words(parts(billed.slowest(most), ax), partial(describe_bill, billed, most=most))


def describe_bill(trace: Story | Bill, *, most: int = 15) -> str:
    """Tell in words what `plot_bill` shows: a sentence for each request."""
    billed = _billed(trace, most)
    told = [billed.sentence(each) for each in billed.slowest(most)]
    return "\n".join(told) or "No request began and ended."


def _billed(trace: Story | Bill, most: int) -> Bill:
    if most < 1:
        raise ValueError(f"plot_bill(most=) must show at least one request, got {most!r}")
    return trace if isinstance(trace, Bill) else bill(trace)


def plot_comparison(
    trace: Story,
    other: Story,
    *,
    at: str | None = None,
    names: tuple[str, str] = ("first", "other"),
    t0: float | None = None,
    t1: float | None = None,
) -> Axes:
    """Draw two runs one above the other, on the same scale and with the same rows.

    at: a mark at which both are aligned, and which is time 0; None: their beginnings. names:
    what to call them. t0, t1: the seconds to show, from there. Below stands the table of
    differences; ``print(compare(trace, other))`` tells all of it in words.
    Returns the Axes of the first run; the other's is ``ax.figure.axes[1]``.
    Raises ValueError if a run has no such mark, or t0 is not before t1.
    """
    from .draw_charts import two_runs

    runs = [build_spans(each) for each in (trace, other)]
    first, second = (shifted(spans, moment(spans, at)) for spans in runs)
    begin = min(first.begin, second.begin) if t0 is None else round(t0 * 1e9)
    end = max(first.finish, second.finish, begin + 1) if t1 is None else round(t1 * 1e9)
    if begin >= end:
        raise ValueError(f"plot_comparison(t0=, t1=) needs t0 before t1, got {t0!r} and {t1!r}")
    comparison = compare(*runs, names=names)
    drawn = two_runs((first, second), comparison, begin, end)
    upper, lower, table = drawn.figure.axes
    for each, spans in ((upper, first), (lower, second)):
        with_words(each, partial(_described_as, each.get_title("left"), spans))
        with_run(each, Drawn(spans, begin, end))
    with_words(table, partial(str, comparison))
    return drawn


def _described_as(name: str, spans: Spans) -> str:
    return f"{name}: {describe_timeline(spans)}"
