"""The timeline: one row a fiber, one bar a state; as a figure and as text.

The rule kept here: each state is told apart three times, by colour, height and hatch, so that a
figure can be read in grey, and everything a figure shows has a text alternative.

matplotlib is loaded when a figure is drawn (see ``drawing``), not when this module is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .columns import DONE, STATES, Spans, readable
from .evidence import stalls_of
from .spans import Story, build_spans
from .trace import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["describe_timeline", "plot_timeline"]


def plot_timeline(
    trace: Story,
    ax: Axes | None = None,
    *,
    t0: float | None = None,
    t1: float | None = None,
    stalled: float = 0.05,
    unwatched: float = 0.01,
) -> Axes:
    """Draw what every fiber did, row by row, and return the Axes it is drawn on.

    trace: a Trace, its events, or its Spans. ax: where to draw; None makes a figure. t0, t1:
    the seconds to show; None: from the beginning, to the end. stalled: seconds from which a
    step is marked as one that held the loop. unwatched: seconds from which the waits under
    another fiber's step are marked: nobody looked for their data meanwhile.
    Zooming draws anew: spans narrower than a pixel are merged only while they are.
    Raises ValueError if t0 is not before t1.
    """
    from .drawing import Drawing

    spans = build_spans(trace)
    begin = min(spans.begin, 0) if t0 is None else round(t0 * 1e9)
    end = max(spans.finish, begin + 1) if t1 is None else round(t1 * 1e9)
    if begin >= end:
        raise ValueError(f"plot_timeline(t0=, t1=) needs t0 before t1, got {t0!r} and {t1!r}")
    return Drawing(spans, ax, begin, end, stalled, unwatched).ax


def describe_timeline(trace: Story, *, steps: int = 5) -> str:
    """Tell in words what `plot_timeline` shows: each fiber's times, and the longest steps.

    steps: how many of the longest steps to name.
    """
    spans = build_spans(trace)
    idle = sum(poll.end - poll.start for poll in spans.polls)
    whole = spans.finish - spans.begin
    lines = [
        f"{_count(len(spans.lives), 'fiber')} in {readable(whole)}; "
        f"the scheduler waited in its poll for {readable(idle)}."
    ]
    if spans.dropped:
        lines.append(f"{_count(spans.dropped, 'event')} dropped: the beginning is incomplete.")
    lines += ["", *_table(spans), "", "longest steps:", *_longest_steps(spans, steps)]
    return "\n".join(lines)


def _table(spans: Spans) -> list[str]:
    head = ["fiber", "born", "life", *(state.value for state in STATES[:DONE])]
    rows = [head]
    for life in spans.lives:
        times = spans.totals(life.id)
        born = readable(life.born) if life.born is not None else "?"
        name = f"#{life.id} {printable(life.name[:30])}"
        rows.append([name, born, readable(sum(times.values())), *map(_amount, times.values())])
    times = spans.totals()
    rows.append(["together", "", readable(sum(times.values())), *map(_amount, times.values())])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(text.rjust(width) if at else text.ljust(width) for at, (text, width) in row)
        for row in (enumerate(zip(cells, widths, strict=True)) for cells in rows)
    ]


def _longest_steps(spans: Spans, most: int) -> list[str]:
    longest = sorted(spans.steps(), key=lambda i: spans.start[i] - spans.end[i])[:most]
    lines = []
    for i in longest:
        span, life = spans[i], spans.lives[spans.row[i]]
        looks = stalls_of(spans, i)
        at = f"at {looks[-1].src}" if looks else f"from {spans.resumed_at(i)} to {span.src}"
        name = printable(life.name[:30])
        lines.append(f"  {readable(span.length)} by #{life.id} {name}, {at}")
    return lines


def _amount(nanoseconds: int) -> str:
    return readable(nanoseconds) if nanoseconds else "-"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
