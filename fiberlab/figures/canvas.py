"""The canvas: an Axes on which a timeline is drawn, and where on it times and fibers are.

The rule kept here: what depends on the window is put on with `add` and taken off with `clear`,
so that it can be drawn anew whenever the window changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..spans.numbers import family
from ..spans.spans import Spans
from ..states import READY, STATES
from .page import cut, letters, own_axes, width_of
from .window import Columns, Numbers, Window


class Canvas:
    """An Axes with a row for each fiber; fiber `spans.lives[n]` is at the height `places[n]`.

    order: the places in `spans.lives` of the fibers to draw, from the top; None leaves a row
    empty. unit, scale: what the axis counts in, and how many nanoseconds that is.
    """

    def __init__(
        self, spans: Spans, ax: Axes | None, begin: int, end: int, order: Sequence[int | None]
    ) -> None:
        self.spans = spans
        self.order = list(order)
        self.rows = len(self.order)
        self.columns, self.places = _arranged(spans, self.order)
        self.top = max(1.0, self.rows / 40)  # the height of the scheduler's row, in rows
        self.unit, self.scale = ("s", 1e9) if end - begin >= 2e9 else ("ms", 1e6)
        self.ax = own_axes() if ax is None else ax
        self.letters = letters(self.ax)
        self._passing: list[Any] = []
        self._claimed: list[tuple[float, float, float, float]] = []

    def y(self, index: int) -> int:
        """Return the height of the span at `index`."""
        return int(self.places[self.spans.row[index]])

    def y_of(self, fiber: int) -> int:
        """Return the height of the fiber with id `fiber`; 0, above all rows, if it has none."""
        row = self.spans.row_of.get(fiber)
        return 0 if row is None else int(self.places[row])

    def row_height(self) -> float:
        """Return how many pixels a row is high."""
        return float(self.ax.get_window_extent().height) / (self.rows + 3 * self.top)

    def points(self, size: float) -> float:
        """Return how many pixels so many points are: sizes of letters are given in points."""
        return size * self.ax.figure.dpi / 72

    def window(self) -> Window:
        """Return what the Axes shows now."""
        left, right = sorted(self.ax.get_xlim())
        begin, end = math.floor(left * self.scale), math.ceil(right * self.scale)
        width = max(100, int(self.ax.get_window_extent().width))
        return Window(begin, end, width, self.row_height())

    def add(self, artist: Any) -> None:
        """Keep `artist`, which is on the Axes already, until the window changes."""
        self._passing.append(artist)

    def add_collection(self, collection: Any, z: float, many: bool = False) -> None:
        """Put `collection` on the Axes until the window changes."""
        collection.set_zorder(z)
        collection.set_rasterized(many)  # or a vector file would hold each bar
        self.ax.add_collection(collection, autolim=False)
        self.add(collection)

    def clear(self) -> None:
        """Take off everything that was added."""
        for artist in self._passing:
            artist.remove()
        self._passing, self._claimed = [], []

    def claim(self, left: float, right: float, top: float, bottom: float) -> bool:
        """Take a place for a label until the window changes; return whether it was free.

        left, right: nanoseconds. top, bottom: heights, as `y` gives them.
        """
        for a, b, upper, lower in self._claimed:
            if left < b and a < right and top < lower and upper < bottom:
                return False
        self._claimed.append((left, right, top, bottom))
        return True

    def length(self, texts: Iterable[str], weight: str = "normal") -> float:
        """Return how many pixels the widest of `texts` takes."""
        return width_of(texts, self.letters, weight) * self.ax.figure.dpi


def _arranged(spans: Spans, order: list[int | None]) -> tuple[Columns, Numbers]:
    """Return the columns with the rows in their order, and the height of each fiber; 0: none."""
    places = np.zeros(len(spans.lives), np.int64)
    for place, row in enumerate(order, start=1):
        if row is not None:
            places[row] = place
    columns = Columns.of(spans)
    if not len(columns.row):
        return columns, places
    columns = columns._replace(row=places[columns.row] - 1)
    if (columns.row < 0).any():
        columns = Columns(*(column[columns.row >= 0] for column in columns))
    return columns, places


def in_order(spans: Spans, order: str) -> tuple[list[int], list[str]]:
    """Return the places in `spans.lives` in an order of rows, and their labels.

    order: "family" puts children under their parents, "spawn" keeps the order of spawning,
    "ready" puts those first that were ready longest. Raises ValueError for anything else.
    """
    lives = spans.lives
    labels = [f"#{life.id} {cut(life.name)}" for life in lives]
    rows = list(range(len(lives)))
    if order == "ready":
        ready = [spans.totals(life.id)[STATES[READY]] for life in lives]
        rows.sort(key=lambda row: -ready[row])
    elif order == "family":
        depths = family(spans)
        rows = list(depths)
        labels = [f"\u2514 {label}" * (depths[n] > 0) or label for n, label in enumerate(labels)]
    elif order != "spawn":
        raise ValueError(f'order is "family", "spawn" or "ready", got {order!r}')
    return rows, [labels[row] for row in rows]
