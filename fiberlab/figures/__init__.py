"""Figures: spans as pictures, each with its text alternative.

`timeline`, `charts` and `schedules` have the public functions; they load matplotlib when a figure
is drawn.
`palette` says how states look, and `marks` draws them so. `canvas` has the rows, `window` finds
what can be seen, and `page` says how large letters must be.
`png` makes a small picture of a figure, and `alternative` says what it shows.

This folder measures nothing of its own: numbers come from spans, reports and bills.
"""

from .alternative import alternative
from .charts import (
    plot_bill,
    plot_comparison,
    plot_latency,
    plot_queue,
    plot_starvation,
    plot_states,
    plot_steps,
)
from .schedules import describe_schedules, plot_schedules
from .timeline import describe_timeline, plot_timeline

__all__ = [
    "alternative",
    "describe_schedules",
    "describe_timeline",
    "plot_bill",
    "plot_comparison",
    "plot_latency",
    "plot_queue",
    "plot_schedules",
    "plot_starvation",
    "plot_states",
    "plot_steps",
    "plot_timeline",
]
