"""Pixels: which spans of a window are wide enough to be seen, and what becomes of the others.

The rule kept here: nothing that happened is left out of a picture because it was short. Spans
narrower than a pixel share it, each with the part of its height that is its part of the time.

Here is all the arithmetic on columns; nothing is drawn.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .columns import DONE, PARKED, READY, RECV, RUNNING, SEND, SLEEP, Spans

Numbers = npt.NDArray[Any]

# From the bottom of a merged pixel to its top.
STACKED = (RUNNING, READY, SEND, RECV, SLEEP, PARKED)


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
    """Return the spans that lie in the window, cut at its edges."""
    begin, end = columns.start, columns.end
    seen = (end > window.begin) & (begin < window.end) & (end > begin)
    if not seen.all():
        columns = Columns(*(column[seen] for column in columns))
    if window.begin > 0 or (columns.end > window.end).any():
        start = np.maximum(columns.start, window.begin)
        columns = columns._replace(start=start, end=np.minimum(columns.end, window.end))
    return columns


def split(columns: Columns, window: Window) -> tuple[Columns, Columns]:
    """Divide spans into those at least a pixel wide and those narrower."""
    wide = columns.end - columns.start >= window.pixel
    if not wide.any():
        return Columns(*(column[:0] for column in columns)), columns
    return Columns(*(c[wide] for c in columns)), Columns(*(c[~wide] for c in columns))


def shares(narrow: Columns, window: Window, rows: int) -> Numbers:
    """Return the time of narrow spans in each pixel: an array of rows, pixels and states."""
    width, pixel = window.width, window.pixel
    place = (narrow.start - window.begin) / pixel
    first = np.minimum(place.astype(np.int64), width - 1)
    length = (narrow.end - narrow.start) / pixel
    over = np.maximum(place + length - (first + 1), 0.0)  # what reaches into the next pixel
    key = (narrow.row * width + first) * DONE + narrow.state
    size = rows * width * DONE
    time = np.bincount(key, length - over, size)
    reaching = (over > 0) & (first + 1 < width)
    if reaching.any():
        time += np.bincount(key[reaching] + DONE, over[reaching], size)
    return time.reshape(rows, width, DONE)


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
    if len(times) > 2 * window.width:
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


def under_long_steps(columns: Columns, longer: float) -> list[int]:
    """Return which waits lie, in part, under a running span of `longer` seconds."""
    long = (columns.state == RUNNING) & (columns.end - columns.start >= longer * 1e9)
    begins, ends = columns.start[long], columns.end[long]
    if not len(begins):
        return []
    first = np.searchsorted(ends, columns.start, "right")
    behind = np.searchsorted(begins, columns.end, "left")
    waits = (columns.state >= RECV) & (columns.state <= SLEEP)
    found: list[int] = np.nonzero(waits & (behind > first))[0].tolist()
    return found
