"""The figure of lesson 01: a caller and a generator in turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...shared.palette import BLUE, GREY, GREY_EDGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_TALK = ("next", '"hello"'), ("next", '"thanks"'), ("next", "StopIteration")


def draw_talk(ax: Axes) -> None:
    """Draw on `ax` how a caller and the generator of the lesson take turns."""
    ax.set_xlim(-9, 92)
    ax.set_ylim(-2, 28)
    ax.axis("off")
    for y, name in ((24, "caller"), (5, "generator")):
        ax.text(-1, y, name, ha="right", va="center", size=13)
    ax.broken_barh([(0, 10)], (21, 6), facecolors=BLUE)
    ax.annotate("", (9, 9), (9, 21), arrowprops={"arrowstyle": "-|>", "lw": 1.5})
    ax.text(8, 15, 'visit("ann")', ha="right", va="center", size=13)
    for turn, (down, up) in enumerate(_TALK):
        left = 26 * turn
        _paused(ax, left + 9 if turn == 0 else left + 8, left + 22)
        ax.broken_barh([(left + 22, 12)], (2, 6), facecolors=BLUE)
        ax.broken_barh([(left + 34, 14 if turn < 2 else 8)], (21, 6), facecolors=BLUE)
        if turn == 0:
            ax.broken_barh([(10, 12)], (21, 6), facecolors=BLUE)
        ax.annotate(
            "", (left + 22, 8), (left + 22, 21), arrowprops={"arrowstyle": "-|>", "lw": 1.5}
        )
        ax.annotate(
            "", (left + 34, 21), (left + 34, 8), arrowprops={"arrowstyle": "-|>", "lw": 1.5}
        )
        ax.text(left + 21.3, 15, down, ha="right", va="center", size=13)
        ax.text(left + 33.3, 15, up, ha="right", va="center", size=13, color=BLUE)


def _paused(ax: Axes, left: float, right: float) -> None:
    bar = [(left, right - left)]
    ax.broken_barh(bar, (4, 2), facecolors=GREY, edgecolors=GREY_EDGE, hatch="...", linewidth=0)
    ax.text((left + right) / 2, 1.5, "paused", ha="center", va="top", size=13)
