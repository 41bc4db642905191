"""The figure of lesson 05: one nap, three accounts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....figures.palette import HIDDEN, UNWATCHED
from ....spans.build import build_spans
from ...shared.rows import FONT, draw_hidden, draw_rows, draw_unwatched, explain
from .experiment import ARRIVALS, simulate_nap

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_accounts(axes: Sequence[Axes], nap: float = 0.2) -> None:
    """Draw one nap on three Axes: as the scheduler saw it, where it did not look, as it was.

    nap: simulated seconds.
    """
    spans = build_spans(simulate_nap(nap))
    labels = {"dan": "dan (naps)", **{name: name for name in ARRIVALS}}
    titles = ("1  what the scheduler knew", "2  where the loop did not look", "3  what was so")
    for ax, title in zip(axes, titles, strict=True):
        draw_rows(ax, spans, labels)
        ax.set_title(title, loc="left", fontsize=FONT + 1, fontweight="bold")
    draw_unwatched(axes[1], spans, labels)
    draw_hidden(axes[2], spans, labels)
    for row, arrives in enumerate(ARRIVALS.values(), 1):
        axes[2].plot([arrives * 1000] * 2, [row - 0.42, row + 0.42], color="black", zorder=4)
    axes[2].set_xlabel("time (ms)", fontsize=FONT)
    overlays = {"unwatched": UNWATCHED, "data_is_there": HIDDEN}
    explain(axes[2], ["running", "recv", "ready"], **overlays)
