"""The figure of lesson 07: one pass of the loop with a nap in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...shared.palette import BLUE, BROWN, LIGHT_GREY, MIDDLE_GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_pass(ax: Axes) -> None:
    """Draw one pass of the loop with a nap in it, on `ax`."""
    ax.set_xlim(0, 120)
    ax.set_ylim(0, 40)
    ax.axis("off")
    _box(ax, 2, 68, "resume every fiber that is ready", BLUE, "white")
    _box(ax, 74, 22, "poll", MIDDLE_GREY, "black")
    _box(ax, 100, 18, "deadlines", LIGHT_GREY, "black")
    ax.text(24, 17.5, "echo-6:  time.sleep(0.12)", ha="left", va="center", color="white", size=13)
    ax.annotate(
        "and round again", (10, 12), (109, 12), size=13, ha="center", va="top", color="black",
        arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=-0.22", "lw": 1.5},
    )  # fmt: skip
    for x in range(26, 70, 6):
        ax.annotate("", (x, 26.5), (x, 32), arrowprops={"arrowstyle": "->", "color": BROWN})
    ax.text(47, 33, "requests arrive, and lie in the kernel", ha="center", size=13, color=BROWN)
    ax.annotate(
        "only here does the loop look for them", (85, 26.5), (95, 34), size=13, ha="center",
        arrowprops={"arrowstyle": "->"},
    )  # fmt: skip


def _box(ax: Axes, x: float, width: float, text: str, colour: str, ink: str) -> None:
    ax.broken_barh([(x, width)], (13, 13), facecolors=colour, edgecolors="black")
    ax.text(x + width / 2, 23.2, text, ha="center", va="center", color=ink, size=13)
