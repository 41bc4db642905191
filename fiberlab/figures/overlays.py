"""Overlays: what lies over the bars of a timeline: stalls, marks, output, wakes, the queue.

The rule kept here: a step that held the loop is always seen, however narrow it is; everything
else gives way where there is no room.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from ..spans.numbers import Request, requests
from ..spans.spans import Spans
from ..states import READY
from ..trace.events import EV, FID, MARK, WAKE, Row, T
from .canvas import Canvas, corners, cut
from .palette import (
    FONT,
    LOOKS,
    MARKED,
    MOST_LABELS,
    PLAIN,
    PRINTED,
    SMALL,
    STALL_WIDTH,
    STALLED,
    Look,
)
from .pixels import Window, highest

MOST_SIGNS = 300
MOST_ARROWS = 40  # more tell nothing; then one fiber is asked for
MOST_OF_ONE = 200


def stalls(canvas: Canvas, labels: dict[int, str], window: Window, look: Look = STALLED) -> None:
    """Mark long steps, at least STALL_WIDTH wide, and name the worst; look: held, or unblamed."""
    spans = canvas.spans
    seen = [i for i in labels if spans.end[i] > window.begin and spans.start[i] < window.end]
    seen = [i for i in seen if canvas.y(i) > 0]
    if not seen:
        return
    y = np.array([float(canvas.y(i)) for i in seen])
    start = np.array([spans.start[i] for i in seen], float)
    end = np.array([spans.end[i] for i in seen], float)
    short = np.maximum(0, STALL_WIDTH * window.pixel - (end - start)) / 2
    start, end = start - short, end + short
    shape = corners(y, start / canvas.scale, end / canvas.scale, look.height)
    marked = PolyCollection(
        shape, facecolors="none", edgecolors=look.edge, linewidths=1.2, hatch=look.hatch or None
    )
    canvas.add_collection(marked, 4)
    seen.sort(key=lambda i: spans.start[i] - spans.end[i])
    taken: list[tuple[float, float, float]] = []
    for i in seen:
        _label(canvas, i, labels[i], window, taken, look.edge)


def _label(
    canvas: Canvas,
    i: int,
    text: str,
    window: Window,
    taken: list[tuple[float, float, float]],
    colour: str,
) -> None:
    """Write beside the step at `i` where it was held, if no label is in the way."""
    spans, y = canvas.spans, canvas.y(i)
    width = 0.62 * canvas.points(FONT) * len(text) * window.pixel
    gap = 8 * window.pixel
    start, end = max(spans.start[i], window.begin), min(spans.end[i], window.end)
    left, align = start + gap, "left"
    if width > end - start - 2 * gap:  # no room on the bar: behind it, or before it
        left = end + gap
        if left + width > window.end and start - gap - width > window.begin:
            left, align = start - gap - width, "right"
    rows = 1.5 * canvas.points(FONT) / window.row_height
    clash = (abs(y - row) < rows and left < b and left + width > a for a, b, row in taken)
    if len(taken) >= MOST_LABELS or any(clash):
        return
    taken.append((left, left + width, y))
    x = left if align == "left" else left + width
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
    label = canvas.ax.text(
        x / canvas.scale, y, text, color=colour, fontsize=FONT, fontweight="bold",
        ha=align, va="center", zorder=7, bbox=box, clip_on=True, **PLAIN,
    )  # fmt: skip
    label.set_in_layout(False)
    canvas.add(label)


def queue(canvas: Canvas, window: Window) -> None:
    """Draw the run queue's length as an area above the rows."""
    times, lengths = (np.asarray(column) for column in canvas.spans.depth)
    if not len(times):
        return
    most = max(1, int(lengths.max()))
    base, height = 0.5 - 1.4 * canvas.top, 1.5 * canvas.top
    x, values = highest(times, lengths, window)
    curve = base - height * values / most
    area = canvas.ax.fill_between(
        x / canvas.scale, base, curve, step="post", color=LOOKS[READY].colour, linewidth=0
    )
    canvas.add(area)
    text = canvas.ax.text(
        1.01, base - height / 2, f"at most {most:,}", fontsize=FONT, va="center",
        transform=canvas.ax.get_yaxis_transform(), color="#555555",
    )  # fmt: skip
    canvas.add(text)


# -- Marks, output and wakes --------------------------------------------------


def marks(canvas: Canvas, window: Window) -> int:
    """Draw requests as brackets over the row they began on, notes and output as signs.

    Returns how many there are in the window; more than MOST_SIGNS are not drawn.
    """
    spans = canvas.spans
    brackets = [
        each
        for each in requests(spans)
        if each.start < window.end and (each.end is None or each.end > window.begin)
    ]
    notes = _moments(
        canvas, window, lambda row: row[EV] == "mark" and row[MARK.PH] not in ("b", "e")
    )
    lines = _moments(canvas, window, lambda row: row[EV] == "output")
    count = len(brackets) + len(notes) + len(lines)
    if count > MOST_SIGNS:
        return count
    for moments, sign, colour in ((notes, "D", MARKED), (lines, "v", PRINTED)):
        if moments:
            x, y = zip(*moments, strict=True)
            canvas.add(canvas.ax.plot(x, y, sign, color=colour, markersize=4.5, zorder=8)[0])
    taken: list[tuple[float, float, float]] = []
    for each in brackets:
        _bracket(canvas, each, window, taken)
    return count


def signs_in_legend(spans: Spans) -> list[Line2D]:
    """Return what the legend says of the signs, and how many of each there are."""
    events = [row[MARK.PH] for row in spans.annotations() if row[EV] == "mark"]
    lines = len(spans.annotations()) - len(events)
    begun = events.count("b")
    notes = len(events) - begun - events.count("e")
    kinds = (("|", MARKED, "requests", begun), ("D", MARKED, "notes", notes),
             ("v", PRINTED, "lines printed", lines))  # fmt: skip
    return [
        Line2D([], [], color=colour, marker=sign, markersize=5,
               linestyle="-" if sign == "|" else "", label=f"{words}: {count:,}")
        for sign, colour, words, count in kinds
        if count
    ]  # fmt: skip


def _moments(
    canvas: Canvas, window: Window, wanted: Callable[[Row], bool]
) -> list[tuple[float, float]]:
    """Return where on the Axes the signs of some events are: above the fiber's bar."""
    origin = canvas.spans.origin
    return [
        ((row[T] - origin) / canvas.scale, canvas.y_of(row[FID]) - 0.44)
        for row in canvas.spans.annotations()
        if wanted(row) and window.begin <= row[T] - origin < window.end and canvas.y_of(row[FID])
    ]


def _bracket(
    canvas: Canvas, each: Request, window: Window, taken: list[tuple[float, float, float]]
) -> None:
    y = canvas.y_of(each.fiber) - 0.45
    if y < 0:
        return
    start = max(each.start, window.begin)
    end = window.end if each.end is None else min(each.end, window.end)
    x = [start / canvas.scale, end / canvas.scale]
    drawn = canvas.ax.plot(x, [y, y], "|-", color=MARKED, linewidth=1.4, markersize=6, zorder=5)
    canvas.add(drawn[0])
    text = cut(each.name)
    width = 0.55 * canvas.points(SMALL) * len(text) * window.pixel
    clash = any(start < b and start + width > a and y == row for a, b, row in taken)
    if clash or width > end - start or window.row_height < canvas.points(1.6 * SMALL):
        return
    taken.append((start, start + width, y))
    label = canvas.ax.text(
        x[0], y, text, color=MARKED, fontsize=SMALL, ha="left", va="top", zorder=7,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}, **PLAIN,
    )  # fmt: skip
    label.set_in_layout(False)
    canvas.add(label)


def arrows(canvas: Canvas, highlight: int | None, window: Window) -> int:
    """Draw who woke whom: all if they are few, else those of one fiber, from waker to woken.

    Returns how many there are in the window.
    """
    spans, wanted = canvas.spans, []
    # Who spawned whom is seen from the rows.
    handed = (spans.rows[number] for number in spans.handed)
    for row in handed if highlight is None else spans.rows:
        if row[EV] != "wake":
            continue
        fiber, by, t = row[FID], row[WAKE.BY], row[T] - spans.origin
        if by == fiber or row[WAKE.WHY] == "cancel":
            continue
        among = highlight is None or highlight in (fiber, by)
        if among and window.begin <= t < window.end and canvas.y_of(fiber):
            wanted.append((t / canvas.scale, by, fiber))
    if len(wanted) > (MOST_ARROWS if highlight is None else MOST_OF_ONE):
        return len(wanted)
    for x, by, fiber in wanted:
        arrow = FancyArrowPatch(
            (x, canvas.y_of(by) if by else 0.5 - canvas.top / 2), (x, canvas.y_of(fiber)),
            arrowstyle="-|>", mutation_scale=9, connectionstyle="arc3,rad=0.15", linewidth=0.9,
            color="black", shrinkA=0, shrinkB=2, zorder=6,
        )  # fmt: skip
        canvas.add(canvas.ax.add_patch(arrow))
    return len(wanted)
