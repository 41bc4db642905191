"""Bars: what the fibers and the scheduler did in the part of time that a timeline shows.

The rule kept here: nothing is left out because it was short; what is narrower than a pixel
shares one (see ``pixels``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba_array

from ..spans.spans import Unwatched
from ..states import DONE, STATES, UNTIL_POLLED
from .canvas import Canvas, corners, solid
from .palette import ARRIVED, HATCHED_FROM, LOOKS, MERGED, MOST_HATCHED, POLLING, UNWATCHED, Look
from .pixels import Columns, Numbers, Window, shares, stacks


def bars(
    canvas: Canvas,
    y: Numbers,
    start: Numbers,
    end: Numbers,
    look: Look,
    window: Window,
    z: float = 2,
) -> None:
    """Draw bars, the widest of them with the look's hatch."""
    if not len(y):
        return
    length = end - start
    hatched = np.zeros(len(y), bool)
    if look.hatch and window.row_height * look.height >= 3:
        widest = np.argsort(length)[-MOST_HATCHED:]
        hatched[widest] = length[widest] >= HATCHED_FROM * window.pixel
    # A row of few pixels has no room for heights.
    height = look.height if window.row_height >= 6 else max(look.height, 0.8)
    for mine, hatch in ((hatched, look.hatch), (~hatched, "")):
        if not mine.any():
            continue
        colour = look.colour
        outline: dict[str, Any] = {"linewidths": 0.0, "antialiaseds": False}
        if colour == "none" and not look.hatch:
            outline = {"linewidths": 0.8, "linestyles": "dashed"}
        elif colour == "none" and not hatch:
            outline["alpha"], colour = 0.6, look.edge
        shape = corners(y[mine], start[mine] / canvas.scale, end[mine] / canvas.scale, height)
        if hatch:
            outline["hatch"] = hatch
        drawn = PolyCollection(shape, facecolors=colour, edgecolors=look.edge, **outline)
        if look is UNWATCHED and hasattr(drawn, "set_hatch_linewidth"):
            drawn.set_hatch_linewidth(1.8)
        canvas.add_collection(drawn, z, many=len(shape) > 2000)


def merged(canvas: Canvas, narrow: Columns, window: Window) -> None:
    """Draw the spans narrower than a pixel: one picture over all rows."""
    if not len(narrow.row):
        return
    # More rows than pixels: neighbours share one.
    fold = max(1, math.ceil(0.7 / window.row_height))
    rows = math.ceil(canvas.rows / fold)
    time = shares(narrow._replace(row=narrow.row // fold), window, rows)
    high = int(min(20, max(1, window.row_height * fold)))
    levels = max(1, round(MERGED * high))
    row, place, states = stacks(time, levels)
    colours = (to_rgba_array([solid(LOOKS[code]) for code in range(DONE)]) * 255).astype("u1")
    picture = np.zeros((rows * high, window.width, 4), np.uint8)
    bottom = row * high + (high + levels) // 2 - 1
    for level in range(levels):
        picture[bottom - level, place] = colours[states[:, level]]
    extent = (
        window.begin / canvas.scale, window.end / canvas.scale, rows * fold + 0.5, 0.5,
    )  # fmt: skip
    image = canvas.ax.imshow(
        picture, extent=extent, aspect="auto", interpolation="nearest", zorder=3,
        origin="upper", resample=False,
    )  # fmt: skip
    canvas.add(image)


def polls(canvas: Canvas, window: Window) -> None:
    """Draw where the scheduler polls, in its own row."""
    times = np.array([poll[:2] for poll in canvas.spans.polls], np.int64).reshape(-1, 2)
    seen = (times[:, 1] > window.begin) & (times[:, 0] < window.end)
    times = times[seen]
    # Neighbours with less than a pixel between them are one bar.
    gap = np.nonzero(times[1:, 0] - times[:-1, 1] >= window.pixel)[0]
    starts = times[np.concatenate([[0], gap + 1]), 0] if len(times) else times[:, 0]
    ends = times[np.concatenate([gap, [len(times) - 1]]), 1] if len(times) else times[:, 1]
    y = np.full(len(starts), 0.5 - canvas.top / 2)
    look = POLLING._replace(height=POLLING.height * canvas.top)
    bars(canvas, y, starts, ends, look, window)


def unwatched(canvas: Canvas, hidden: list[Unwatched], window: Window) -> None:
    """Hatch the waits during which nobody looked."""
    for state in UNTIL_POLLED:
        mine = [
            (float(canvas.y_of(each.fiber)), each.start, each.end)
            for each in hidden
            if each.state is STATES[state]
            and each.end > window.begin
            and each.start < window.end
            and each.end - each.start >= window.pixel
            and canvas.y_of(each.fiber) > 0
        ]
        if mine:
            y, start, end = np.array(mine).T
            bars(canvas, y, start, end, UNWATCHED, window, z=2.5)


def arrived(canvas: Canvas, window: Window) -> None:
    """Fill the part of each wait in which its data was there already, where that was measured."""
    spans, found = canvas.spans, []
    for i, length in spans.hidden:
        begin, end = spans.end[i] - length, spans.end[i]
        if canvas.y(i) and begin < window.end and end > window.begin:
            found.append((float(canvas.y(i)), begin, end))
    if found:
        y, start, end = np.array(found).T
        bars(canvas, y, start, end, ARRIVED, window, z=2.7)
