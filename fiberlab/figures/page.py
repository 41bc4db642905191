"""The page: how large letters must be to be read, how much room they take, and what is cut.

The rule kept here: a figure is read where it is shown, and that is narrower than it was drawn. So
what counts is the size of a letter beside the width of the figure. No name is drawn as it came.
"""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import text_to_path

from ..trace.events import printable
from .palette import FONT, NAME_LENGTH, SMALLEST

SWATCH, PAD, GAP = 2.0, 0.6, 1.2
"""Of a legend, in heights of its letters: its pieces of rows, and what is beside them."""

WIDTH = 9.0
"""The width of a figure of its own, in inches."""

_READABLE = 1.15
"""Points of a letter's size for each inch of the figure's width.

A page of 1024 pixels leaves a picture no more than 584 of them, in JupyterLab with its side bar; it
is shrunk to that. Then letters of 1.11 points an inch are 9 pixels high; the rest is for the
margin that a notebook puts around a figure.
"""


def letters(ax: Axes) -> float:
    """Return the size in points of letters that can be read in the figure of `ax`."""
    return letters_in(float(ax.figure.figure.get_figwidth()))


def letters_in(inches: float) -> float:
    """Return the size in points of letters that can be read in a figure so many inches wide.

    A figure that is narrower than a page is not shrunk: there is room for smaller letters.
    """
    return max(SMALLEST, min(FONT, FONT / WIDTH * inches), _READABLE * inches)


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


def cut(name: str, most: int = NAME_LENGTH) -> str:
    """Return a name as it can be drawn: harmless, short, only with signs the font has."""
    line = printable(name[: most + 1]).replace("\t", " ")
    line = line if len(line) <= most else line[: most - 3] + "..."
    return "".join(c if ord(c) < 128 or _in_font(c) else "\u25a1" for c in line)


def fitted(name: str, inches: float, size: float, weight: str = "normal") -> str:
    """Return a name as `cut` does, but cut to a width; in its middle, since numbers stand last."""
    text = whole = cut(name, 10 * NAME_LENGTH)
    while len(text) > 3 and (width := width_of([text], size, weight)) > inches:
        most = max(3, min(len(text) - 1, int(len(text) * inches / width)))
        tail = most // 3 + (most > 3)
        text = f"{whole[: most - tail - 1]}\u2026{whole[-tail:]}"
    return text


def _in_font(char: str) -> bool:
    families = FontProperties().get_family()
    return any(
        get_font(findfont(FontProperties(family=[family]))).get_char_index(ord(char))
        for family in families
    )
