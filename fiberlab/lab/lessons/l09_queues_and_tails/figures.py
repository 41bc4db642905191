"""The figure of lesson 09: a closed and an open loop around one stall."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...shared.palette import BAND_GREY, BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


STALL_BEGIN, STALL_END, EVERY = 80, 280, 20


def draw_loops(ax: Axes) -> None:
    """Draw the requests of both loops around one stall, a row for each, on `ax`."""
    before, after = range(0, STALL_BEGIN, EVERY), range(STALL_END, 361, EVERY)
    closed = [(due, due) for due in before]
    closed += [(STALL_BEGIN, STALL_END), *((due, due) for due in after)]
    opened = [(due, due) for due in before]
    opened += [(due, STALL_END) for due in range(STALL_BEGIN, STALL_END, EVERY)]
    opened += [(due, due) for due in after]
    ax.axvspan(STALL_BEGIN, STALL_END, color=BAND_GREY)
    ax.text((STALL_BEGIN + STALL_END) / 2, 4.1, "the stall", ha="center", size=13)
    for name, top, requests in (("closed loop", 1.2, closed), ("open loop", -1.5, opened)):
        ax.text(-12, top, name, ha="right", va="center", size=13)
        for number, (due, answered) in enumerate(requests):
            row = top - 0.55 * max(0, min(number - len(before), 10)) * (requests is opened)
            ax.plot([due, answered], [row, row], color=BLUE, lw=2.5)
            ax.plot(due, row, "o", color=BLUE, ms=8)
            ax.plot(answered, row, "|", color="black", ms=13, mew=2)
    ax.plot([], [], "o", color=BLUE, ms=8, label="due")
    ax.plot([], [], "|", color="black", ms=13, mew=2, label="answered")
    ax.legend(loc="upper left", fontsize=13, ncols=2, frameon=False)
    ax.set(xlim=(-100, 375), ylim=(-8, 6.2), yticks=[], xticks=range(0, 361, 40))
    ax.tick_params(labelsize=13)
    ax.set_xlabel("time (ms)", size=13)
