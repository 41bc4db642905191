"""The timeline: one row a fiber, one bar a state; as a figure and as text.

The rule kept here: each state is shown in three ways, by colour, height and hatch, so that a
figure can be read in grey, and everything a figure shows has a text alternative.

matplotlib is loaded when a figure is drawn (see ``draw_timeline``), not when this module is.
"""

from __future__ import annotations

import math
import numbers
from functools import partial
from typing import TYPE_CHECKING, Any

from ..diagnosis.evidence import excuse
from ..diagnosis.limits import Limits
from ..report.tables import Cell, text_table
from ..spans.build import Story, build_spans
from ..spans.spans import Spans, readable
from ..trace.events import printable
from ..waits import check_seconds
from .alternative import Drawn, with_run, with_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["describe_timeline", "figure_formats", "plot_timeline", "timeline_png"]


def plot_timeline(
    trace: Story,
    ax: Axes | None = None,
    *,
    t0: float | None = None,
    t1: float | None = None,
    stalled: float | None = 0.05,
    unwatched: float | None = 0.01,
    order: str = "family",
    highlight: int | str | None = None,
    shares: bool = False,
) -> Axes:
    """Draw what every fiber did, row by row, and return the Axes it is drawn on.

    trace: a Trace, its events, or its Spans. ax: where to draw; None makes a figure. t0, t1:
    the seconds to show; None: from the beginning, to the end. stalled: seconds from which a
    step is marked as one that held the loop; in grey if `diagnose` would blame the machine, or
    cannot tell. unwatched: seconds from which the waits under
    another fiber's step are marked: the loop did not look meanwhile. None or math.inf,
    for both: none is marked.
    order: of the rows: "family" puts children under their parents, "spawn" keeps the order of
    spawning, "ready" puts those first that were ready longest. highlight: a fiber's id or name, to
    draw the wakes to it and from it; None: all wakes, if they are not too many to see. shares:
    whether to write beside each row which shares of its life it ran, was ready and waited.
    Zooming draws anew: spans narrower than a pixel are merged only while they are.
    Raises ValueError if t0 is not before t1, and for an unknown order or fiber; TypeError or
    ValueError for what is no number of seconds.
    """
    from .canvas import in_order
    from .draw_timeline import Drawing

    spans = build_spans(trace)
    check_seconds("plot_timeline(stalled=)", stalled)
    check_seconds("plot_timeline(unwatched=)", unwatched)
    begin = min(spans.begin, 0) if t0 is None else _moment("t0", t0)
    end = max(spans.finish, begin + 1) if t1 is None else _moment("t1", t1)
    if begin >= end:
        raise ValueError(f"plot_timeline(t0=, t1=) needs t0 before t1, got {t0!r} and {t1!r}")
    rows, labels = in_order(spans, order)
    chosen = None if highlight is None else _fiber(spans, highlight)
    drawing = Drawing(
        spans, ax, begin, end, stalled, unwatched,
        order=rows, labels=labels, highlight=chosen, shares=shares,
    )  # fmt: skip
    with_run(drawing.ax, Drawn(spans, begin, end))
    return with_words(drawing.ax, partial(describe_timeline, spans))


def timeline_png(trace: Story, *, dpi: int = 80) -> bytes:
    """Return the picture that `plot_timeline` draws, as a PNG; no figure stays open."""
    from matplotlib import pyplot as plt

    from .png import to_png

    figure: Any = plot_timeline(trace).figure
    try:
        return to_png(figure, dpi)
    finally:
        plt.close(figure)


def figure_formats() -> list[str]:
    """Return the endings of the files that a figure can be written to."""
    from matplotlib.backend_bases import FigureCanvasBase

    return sorted(FigureCanvasBase.get_supported_filetypes())


def _moment(name: str, seconds: Any) -> int:
    """Return a moment in nanoseconds; it may lie before the run."""
    number = not isinstance(seconds, bool) and isinstance(seconds, numbers.Real)
    if not number or not math.isfinite(seconds):
        wrong = ValueError if number else TypeError
        raise wrong(f"plot_timeline({name}=) needs a finite number of seconds, got {seconds!r}")
    return round(float(seconds) * 1e9)


def _fiber(spans: Spans, wanted: int | str) -> int:
    """Return the id of the fiber that is meant by its id or name."""
    for life in spans.lives:
        if wanted in (life.id, life.name):
            return life.id
    raise ValueError(f"there is no fiber {wanted!r} in this trace to highlight")


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
    rows: list[list[Cell]] = []
    for life in spans.lives:
        times = spans.totals(life.id)
        born = readable(life.born) if life.born is not None else "?"
        name = f"#{life.id} {printable(life.name[:30])}"
        rows.append([name, born, readable(sum(times.values())), *map(_amount, times.values())])
    times = spans.totals()
    rows.append(["together", "", readable(sum(times.values())), *map(_amount, times.values())])
    return text_table(["fiber", "born", "life", *(state.value for state in times)], rows)


def _longest_steps(spans: Spans, most: int) -> list[str]:
    longest = sorted(spans.steps(), key=lambda i: spans.start[i] - spans.end[i])[:most]
    lines, limits = [], Limits()
    for i in longest:
        span, life = spans[i], spans.lives[spans.row[i]]
        name, at = printable(life.name[:30]), spans.held_at(i).text or "?"
        why = excuse(spans, i, limits) if span.length >= limits.step * 1e9 else None
        but = "" if why is None else f" ({why})"
        lines.append(f"  {readable(span.length)} by #{life.id} {name}, at {at}{but}")
    return lines


def _amount(nanoseconds: int) -> str:
    return readable(nanoseconds) if nanoseconds else "-"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
