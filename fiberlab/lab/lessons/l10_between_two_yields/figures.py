"""The figure of lesson 10: the updates of a counter, and which of them are lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...shared.palette import BLUE, RED
from .experiment import Counter, updates

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_updates(ax: Axes, counter: Counter) -> None:
    """Draw a bracket from each read to its write, a row for each fiber, in order of access."""
    found = updates(counter)
    rows = {name: row for row, name in enumerate(dict.fromkeys(each.fiber for each in found))}
    size = 13 if len(found) <= 18 else 10
    for each in found:
        row, colour = rows[each.fiber], RED if each.lost else BLUE
        ax.plot([each.begin, each.end], [row, row], "--" if each.lost else "-", color=colour, lw=3)
        ax.plot(each.begin, row, "o", color=colour, ms=8)
        ax.plot(each.end, row, "X" if each.lost else "s", color=colour, ms=10)
        for place, value in ((each.begin, each.read), (each.end, each.written)):
            ax.text(place, row - 0.2, str(value), ha="center", va="bottom", size=size, color=colour)
    ax.set_yticks(list(rows.values()), list(rows), size=13)
    ax.set_ylim(len(rows) - 0.5, -0.75)
    ax.set_xlim(-1, len(counter.notes))
    ax.set_xticks([])
    ax.set_xlabel("reads and writes, in the order in which they happened", size=13)
    _explain_marks(ax)


def _explain_marks(ax: Axes) -> None:
    for marker, colour, label in (
        ("o", BLUE, "read"),
        ("s", BLUE, "write that counts"),
        ("X", RED, "write that changes nothing"),
    ):
        ax.plot([], [], marker, color=colour, ms=9, label=label)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=13, frameon=False)
