"""The figures of lesson 14: the timeline of each coat, and costs as multiples of a fiber's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ....figures.timeline import plot_timeline
from ....trace.trace import Trace
from ...shared.palette import BLUE, BROWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_coats(axes: Any, traces: Mapping[str, Trace]) -> None:
    """Draw the timeline of each coat on one of `axes`, with one legend for all."""
    end = max(event.t for trace in traces.values() for event in trace) / 1e9
    for ax, (name, trace) in zip(axes, traces.items(), strict=True):
        plot_timeline(trace, ax, t0=0, t1=end)
        ax.set_title(name, loc="left", fontsize=13, fontweight="bold")
        ax.set_xlabel("" if ax is not axes[-1] else ax.get_xlabel())
        legend = ax.get_legend()
        if ax is not axes[-1]:
            legend.remove()
        for text in legend.get_texts():
            text.set_text(text.get_text().partition(":")[0])  # the times would be those of one


def plot_costs(ax: Axes, costs: Mapping[str, float], what: str) -> None:
    """Draw `costs` as bars, each as a multiple of the fibers' cost."""
    ratios = {name: cost / costs["fibers"] for name, cost in costs.items()}
    names = list(ratios)
    colours = [BROWN if name == "fibers" else BLUE for name in names]
    ax.barh(names, list(ratios.values()), color=colours, edgecolor="black")
    for row, ratio in enumerate(ratios.values()):
        ax.text(ratio * 1.15, row, f"{ratio:.2g}", va="center", fontsize=13)
    ax.set_xscale("log")
    ax.set_xlim(min(ratios.values()) / 2, max(ratios.values()) * 4)
    ax.invert_yaxis()
    ax.set_xlabel(f"{what}, as a multiple of a fiber's", fontsize=13)
    ax.tick_params(labelsize=13)
