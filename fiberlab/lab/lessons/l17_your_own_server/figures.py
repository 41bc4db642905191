"""The figure of lesson 17: when each request was due, and how long its client waited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...crowd import Record
from ...shared.palette import BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_requests(ax: Axes, records: Sequence[Record]) -> None:
    """Draw a dot for each request on `ax`: its latency over the moment at which it was due."""
    milliseconds = [(1000 * each.start, 1000 * each.latency) for each in records]
    ax.plot(*zip(*milliseconds, strict=True), "o", color=BLUE)
    ax.set(xlabel="due after (ms)", ylabel="latency (ms)", ylim=(-10, 220))
