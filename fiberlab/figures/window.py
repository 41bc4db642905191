"""The window: the part of time that a figure shows, and which spans can be seen in it.

The rule kept here: nothing that happened is left out of a picture because it was short. Spans
narrower than a pixel share it, each with the part of its height that is its part of the time.

Here is all the arithmetic on columns; nothing is drawn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..alarms import nanoseconds
from ..spans.spans import Spans
from ..states import DONE, RUNNING, UNTIL_POLLED
from .palette import STACKED

Numbers = npt.NDArray[Any]


class Columns(NamedTuple):
    """The columns of Spans as arrays; no copies."""

    row: Numbers
    state: Numbers
    start: Numbers
    end: Numbers

    @classmethod
    def of(cls, spans: Spans) -> Columns:
        """Look at the columns of `spans`."""
        row, start, end = (np.asarray(column) for column in (spans.row, spans.start, spans.end))
        return cls(row, np.frombuffer(bytes(spans.state), np.uint8), start, end)


class Window(NamedTuple):
    """What part of time is shown, in nanoseconds, and how many pixels it is wide and a row high."""

    begin: int
    end: int
    width: int
    row_height: float

    @property
    def pixel(self) -> float:
        """How many nanoseconds a pixel stands for."""
        return (self.end - self.begin) / self.width


def totals_by_row(columns: Columns, rows: int) -> Numbers:
    """Return how long each row was in each state, ns: one line a row, one column a state."""
    key = columns.row * DONE + columns.state
    sums = np.bincount(key, columns.end - columns.start, rows * DONE)
    return sums[: rows * DONE].reshape(rows, DONE)


def in_window(columns: Columns, window: Window) -> Columns:
    """Return the spans that lie in the window, cut at its edges.

    A step that took no time (the clock was simulated) is seen as if it had taken 1 ns.
    """
    columns = columns._replace(end=columns.end + (columns.state == RUNNING))
    begin, end = columns.start, columns.end
    seen = (end > window.begin) & (begin < window.end) & (end > begin)
    if not seen.all():
        columns = Columns(*(column[seen] for column in columns))
    if window.begin > 0 or (columns.end > window.end).any():
        start = np.maximum(columns.start, window.begin)
        columns = columns._replace(start=start, end=np.minimum(columns.end, window.end))
    return columns


def split(columns: Columns, window: Window, most: int) -> tuple[Columns, Columns]:
    """Divide spans into those to be drawn as bars, and those that share pixels.

    A bar is at least a pixel wide. If there are more than `most`, only the widest are bars.
    """
    length = columns.end - columns.start
    wide = length >= window.pixel
    if np.count_nonzero(wide) > most:
        wide = length > np.partition(length, -most)[-most]
    if not wide.any():
        return Columns(*(column[:0] for column in columns)), columns
    return Columns(*(c[wide] for c in columns)), Columns(*(c[~wide] for c in columns))


def shares(columns: Columns, window: Window, rows: int) -> Numbers:
    """Return the time of spans in each pixel: an array of rows, pixels and states."""
    start = (columns.start - window.begin) / window.pixel
    end = (columns.end - window.begin) / window.pixel
    first = np.minimum(start.astype(np.int64), window.width - 1)
    # Where in the array the time of a span goes, first; then, if it reaches further, the rest.
    key = (columns.row * window.width + first) * DONE + columns.state
    size = rows * window.width * DONE
    time = np.bincount(key, np.minimum(end, first + 1) - start, size)
    further = np.ceil(end).astype(np.int64) - first - 1
    reaching = np.nonzero((further > 0) & (first + 1 < window.width))[0]
    if len(reaching):
        further = np.minimum(further[reaching], window.width - 1 - first[reaching])
        span = np.repeat(reaching, further)
        nth = np.arange(len(span)) - np.repeat(np.cumsum(further) - further, further) + 1
        time += np.bincount(
            key[span] + nth * DONE, np.minimum(end[span] - first[span] - nth, 1), size
        )
    return time.reshape(rows, window.width, DONE)


def stacks(time: Numbers, levels: int) -> tuple[Numbers, Numbers, Numbers]:
    """Return which pixels are taken, as rows and places, and the state at each level of each.

    Level 0 is the bottom. A state that is there at all has a level if there are enough.
    """
    total = time.sum(axis=2)
    row, place = np.nonzero(total > 0)
    part = time[row, place][:, STACKED] / total[row, place][:, None]
    upto = np.cumsum(part, axis=1)
    middle = (np.arange(levels) + 0.5) / levels
    at = (upto[:, None, :-1] <= middle[None, :, None]).sum(axis=2)
    return row, place, np.asarray(STACKED)[at]


def highest(times: Numbers, values: Numbers, window: Window) -> tuple[Numbers, Numbers]:
    """Thin out a curve of steps to one value for each pixel, the highest there."""
    inside = (times >= window.begin) & (times < window.end)
    before = values[times < window.begin][-1:]
    times, values = times[inside], values[inside]
    if len(times):
        pixel = ((times - window.begin) / window.pixel).astype(np.int64)
        first = np.nonzero(np.diff(pixel, prepend=-1))[0]
        last = np.append(first[1:], len(pixel)) - 1
        peaks = np.maximum.reduceat(values, first)
        # A peak and the value left behind, so that a busy pixel does not colour an idle stretch.
        ends = window.begin + (pixel[first] + 1) * window.pixel
        times = np.stack([times[first], ends], axis=1).ravel()
        values = np.stack([peaks, values[last]], axis=1).ravel()
    start = before if len(before) else np.zeros(1, values.dtype)
    last_value = values[-1:] if len(values) else start
    return (
        np.concatenate([[window.begin], times, [window.end]]),
        np.concatenate([start, values, last_value]),
    )


def under_long_steps(columns: Columns, longer: float | None) -> tuple[list[int], list[int]]:
    """Return which waits lie, in part, under a step of `longer` seconds, and those steps.

    longer: None or math.inf: no step is so long.
    """
    least = nanoseconds(longer)
    if least is None:
        return [], []
    long = (columns.state == RUNNING) & (columns.end - columns.start >= least)
    begins, ends = columns.start[long], columns.end[long]
    if not len(begins):
        return [], []
    first = np.searchsorted(ends, columns.start, "right")
    behind = np.searchsorted(begins, columns.end, "left")
    waits = np.isin(columns.state, UNTIL_POLLED)
    return np.nonzero(waits & (behind > first))[0].tolist(), np.nonzero(long)[0].tolist()
