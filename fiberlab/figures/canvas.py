"""The canvas: an Axes on which a timeline is drawn, and where on it times and fibers are.

The rule kept here: what depends on the window is put on with `add` and taken off with `clear`,
so that it can be drawn anew whenever the window changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Bbox

from ..spans.numbers import family
from ..spans.spans import Spans
from ..states import READY, STATES
from ..trace.events import printable
from .palette import BROAD_HATCH, FONT, FRAMED, NAME_LENGTH, UNWATCHED, Look
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


# -- The page ------------------------------------------------------------------

SWATCH, PAD, GAP = 2.0, 0.6, 1.2
"""Of a legend, in heights of its letters: its pieces of rows, and what is beside them."""

WIDTH = 9.0
"""The width of a figure of its own, in inches."""

READABLE = 1.15
"""Points of a letter's size for each inch of the figure's width.

A page of 1024 pixels leaves a picture no more than 584 of them, in JupyterLab with its side bar; it
is shrunk to that. Then letters of 1.11 points an inch are 9 pixels high; the rest is for the
margin that a notebook puts around a figure.
"""


def letters(ax: Axes) -> float:
    """Return the size in points of letters that can be read, however wide the figure is."""
    return max(FONT, READABLE * float(ax.figure.figure.get_figwidth()))


def width_of(texts: Iterable[str], size: float, weight: str = "normal") -> float:
    """Return how many inches the widest of `texts` takes at `size` points."""
    # Letters differ in width, so the text with the most of them need not be the widest.
    longest = sorted(texts, key=len)[-4:]
    font = FontProperties(size=size, weight=weight)
    points = (text_to_path.get_text_width_height_descent(each, font, False)[0] for each in longest)
    return float(max(points, default=0.0)) / 72


def columns_that_fit(labels: Iterable[str], size: float, inches: float) -> int:
    """Return how many columns of a legend with these labels have room beside each other."""
    high = size / 72
    each = width_of(labels, size) + (SWATCH + PAD + GAP) * high
    return max(1, int((inches + GAP * high) / each))


def own_axes(width: float = WIDTH, height: float = 4.0) -> Axes:
    """Return the Axes of a figure of its own, in inches."""
    return plt.figure(figsize=(width, height)).add_subplot()


# -- What is put on it ---------------------------------------------------------


class Pixels(Artist):
    """A picture of RGBA bytes that lies over a part of an Axes; its first row is on top.

    As `imshow`, but each pixel shows the nearest of the picture and nothing is interpolated:
    that is a tenth of the work.
    """

    def __init__(self, picture: Numbers, left: float, right: float, top: float, bottom: float):
        super().__init__()
        self.picture = picture
        self.place = Bbox([[left, bottom], [right, top]])

    def draw(self, renderer: Any) -> None:
        """Draw it in the pixels of `renderer`; called by matplotlib."""
        if not self.get_visible():
            return
        axes: Any = self.axes
        box = axes.transData.transform_bbox(self.place)
        fine = renderer.get_image_magnification()
        corner = math.floor(box.x0), math.floor(box.y0)
        sides = (
            (corner[0], box.x0, box.width, math.ceil(box.x1), self.picture.shape[1]),
            (corner[1], box.y0, box.height, math.ceil(box.y1), self.picture.shape[0]),
        )
        # For each pixel, from below: which column and which row of the picture is there.
        x, y = (
            (((low + (np.arange((high - low) * fine) + 0.5) / fine) - at) / size * count)
            .clip(0, count - 1).astype(np.int64)
            for low, at, size, high, count in sides
        )  # fmt: skip
        context = renderer.new_gc()
        context.set_clip_rectangle(axes.bbox)
        renderer.draw_image(context, *corner, self.picture[len(self.picture) - 1 - y][:, x])
        context.restore()


def cut(name: str, most: int = NAME_LENGTH) -> str:
    """Return a name as it can be drawn: harmless, short, only with signs the font has."""
    line = printable(name[: most + 1]).replace("\t", " ")
    line = line if len(line) <= most else line[: most - 3] + "..."
    return "".join(c if ord(c) < 128 or _in_font(c) else "\u25a1" for c in line)


def cut_within(name: str, most: int) -> str:
    """Return a name as `cut` does, but cut in its middle: numbers at the end tell fibers apart."""
    most = max(3, most)
    tail = most // 3 + (most > 3)
    whole = cut(name, 10 * NAME_LENGTH)
    return whole if len(whole) <= most else f"{whole[: most - tail - 1]}\u2026{whole[-tail:]}"


def _in_font(char: str) -> bool:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    families = FontProperties().get_family()
    return any(
        get_font(findfont(FontProperties(family=[family]))).get_char_index(ord(char))
        for family in families
    )


def bars(y: Numbers, left: Numbers, right: Numbers, height: float, **look: Any) -> PathCollection:
    """Return bars as one path: a hatch is then made once, and not for each of them.

    look: as `style` gives it.
    """
    low, high = y - height / 2, y + height / 2
    x = np.stack([left, right, right, left, left], axis=1)
    corners = np.stack([x, np.stack([low, low, high, high, low], axis=1)], axis=2)
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    outline = Path(corners.reshape(-1, 2), np.tile(np.array(codes, Path.code_type), len(y)))
    return PathCollection([outline], **look)


def solid(look: Look) -> str:
    return look.edge if look.colour == "none" else look.colour


def style(look: Look, hatched: bool = True) -> dict[str, Any]:
    """Return how a patch is drawn that has `look`, in a row as in a legend.

    hatched: False for a bar too narrow for its hatch.
    """
    drawn: dict[str, Any] = {"facecolor": look.colour, "edgecolor": look.edge, "linewidth": 0.0}
    if look in FRAMED:
        drawn["linewidth"] = 1.2
    elif look.colour == "none" and not look.hatch:
        drawn |= {"linewidth": 0.8, "linestyle": "dashed"}
    elif look.colour == "none" and not hatched:
        drawn |= {"facecolor": look.edge, "alpha": 0.6}
    if look.hatch and hatched:
        drawn["hatch"] = look.hatch
    return drawn


def broaden(patch: Any, look: Look) -> Any:
    """Draw the hatch of `patch` with broader lines if its look has such; return `patch`."""
    if look is UNWATCHED and hasattr(patch, "set_hatch_linewidth"):  # matplotlib 3.10
        patch.set_hatch_linewidth(BROAD_HATCH)
    return patch


def swatch(look: Look, label: str) -> Patch:
    """Return a patch that stands for `look` in a legend of matplotlib's."""
    return cast(Patch, broaden(Patch(label=label, **style(look)), look))


class Key(NamedTuple):
    """What stands in a legend for looks that lie over each other: a piece of a row."""

    looks: tuple[Look, ...]

    @staticmethod
    def legend_artist(_legend: Any, key: Key, _size: float, box: Any) -> Any:
        """Draw `key` into its box; called by matplotlib."""
        for look in key.looks:
            high = look.height * box.height
            corner = (-box.xdescent, -box.ydescent + (box.height - high) / 2)
            piece = Rectangle(corner, box.width, high, **style(look))
            box.add_artist(broaden(piece, look))
        return piece
