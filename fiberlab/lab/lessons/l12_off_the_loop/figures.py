"""The figure of lesson 12: which thread holds the GIL while two requests wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...shared.palette import BLUE, ORANGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_turns(ax: Axes) -> None:
    """Draw on `ax` which thread holds the GIL while two requests wait."""
    ax.set_xlim(-2.4, 14)
    ax.set_ylim(-0.4, 2.5)
    ax.axis("off")
    for y, name in ((1, "loop"), (0, "counting")):
        ax.text(-0.2, y, name, ha="right", va="center", size=13)
    ax.broken_barh([(0, 5), (5.3, 5.7), (11.3, 2.7)], (-0.3, 0.6), facecolors=BLUE)
    ax.text(2.5, 0, "holds the GIL", ha="center", va="center", color="white", size=13)
    for begin in (1, 7):
        waits, runs = (begin, 4), (begin + 4, 0.3)
        ax.broken_barh([waits], (0.8, 0.4), facecolors="white", edgecolors=ORANGE, hatch="//")
        ax.broken_barh([runs], (0.7, 0.6), facecolors=BLUE)
        ax.annotate("", (begin, 1.2), (begin, 2), arrowprops={"arrowstyle": "->"})
        ax.annotate("", (begin + 4.15, 2), (begin + 4.15, 1.3), arrowprops={"arrowstyle": "->"})
        ax.text(begin, 2.1, "request", ha="center", size=13)
        ax.text(begin + 4.15, 2.1, "answer", ha="center", size=13)
        ax.annotate("", (begin, 1.45), (begin + 4, 1.45), arrowprops={"arrowstyle": "<->"})
        ax.text(begin + 2, 1.55, "switch interval", ha="center", size=13)
