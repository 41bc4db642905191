"""The figures of lesson 06: four waits, drift, and how long a visitor waited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ....figures.alternative import Drawn, with_run
from ....figures.palette import LOOKS
from ....spans.build import build_spans
from ....states import RUNNING, FiberState
from ....trace.trace import Trace
from ...shared.palette import RED
from ...shared.rows import FONT, draw_bars, draw_rows
from .experiment import BEATS, HEARTS, PERIOD, Visit, heart, returns, steps_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# -- Four waits ---------------------------------------------------------------


def draw_waits(ax: Axes, traces: Mapping[str, Trace]) -> None:
    """Draw what an asker waited in each run, and the steps of the walker beside it.

    traces: simulated ones, by what the asker yielded; it steps when the walker does or later.
    """
    bottom = len(traces)
    for row, (name, trace) in enumerate(traces.items()):
        spans = build_spans(trace)
        with_run(ax, Drawn(spans, spans.begin, spans.finish, whole=False, title=name))
        [life] = [life for life in spans.lives if life.name == "asker"]
        for state in (FiberState.SLEEP, FiberState.PARKED):
            mine = [each for each in spans.of(life.id) if each.state is state]
            look = LOOKS[state.code]._replace(height=0.34)
            draw_bars(ax, row, [(each.start, each.end) for each in mine], look)
        _back(ax, row, returns(trace))
    steps = [start / 1e6 for start in steps_of(build_spans(next(iter(traces.values()))), "walker")]
    ax.plot(steps, [bottom] * len(steps), "s", color=LOOKS[RUNNING].colour, markersize=11)
    for row, trace in enumerate(traces.values()):
        if "None" in list(traces)[row]:
            for moment in returns(trace):
                ax.annotate(
                    "", (moment, row + 0.2), (moment, bottom - 0.2),
                    arrowprops={"arrowstyle": "-|>", "linestyle": ":", "lw": 1.4},
                )  # fmt: skip
    ax.set_yticks(range(bottom + 1), [*traces, "the walker's steps"], fontsize=FONT)
    ax.set_ylim(bottom + 0.5, -0.6)
    ax.set_xlim(-15, 345)
    ax.set_xlabel("time (ms)", fontsize=FONT)
    ax.tick_params(labelsize=FONT, left=False)
    ax.spines[["top", "left", "right"]].set_visible(False)


def _back(ax: Axes, row: int, moments: list[float]) -> None:
    ax.plot(moments, [row] * len(moments), "o", color=LOOKS[RUNNING].colour, markersize=10)
    ax.text(moments[-1] + 7, row, f"back after {moments[-1]:.0f} ms", size=FONT, va="center")


# -- Drift --------------------------------------------------------------------


def draw_drift(axes: Sequence[Axes], work: float) -> None:
    """Draw, on two Axes, two hearts that are to beat every 100 ms; a beat takes `work` seconds."""
    for ax, (words, function) in zip(axes, HEARTS.items(), strict=True):
        spans = heart(function, work)
        draw_rows(ax, spans, {"heart": "heart"})
        last = steps_of(spans, "heart")[BEATS - 1] / 1e6
        late = round(last - (BEATS - 1) * PERIOD * 1000)
        ax.vlines([n * PERIOD * 1000 for n in range(BEATS)], -0.7, 0.7, color="black", ls=":")
        ax.set_title(f"sleep {words}: the last beat is {late} ms late", loc="left", fontsize=FONT)
        ax.set_ylim(0.8, -0.8)
        ax.set_yticks([])
    axes[1].set_xlabel("time (ms); dotted: when it should beat", fontsize=FONT)
    axes[1].set_xlim(-20, 1150)


# -- Visits to two loops ------------------------------------------------------


def draw_visits(ax: Axes, visits: Mapping[str, Visit]) -> None:
    """Draw how long ann waited for her answer in each visit, and when ben came."""
    came = [visit.ben * 1000 for visit in visits.values() if visit.ben is not None]
    for row, visit in enumerate(visits.values()):
        wait = LOOKS[FiberState.RECV.code]._replace(height=0.4)
        draw_bars(ax, row, [(0, visit.answered * 1e9)], wait)
        ax.plot(visit.answered * 1000, row, "o", color=LOOKS[RUNNING].colour, markersize=10)
        ax.text(visit.answered * 1000 + 8, row, "answer", size=FONT, va="center")
        if visit.ben is not None:
            ax.plot([visit.ben * 1000] * 2, [row - 0.45, row + 0.45], color=RED, lw=2.5)
    if came:
        first = next(row for row, visit in enumerate(visits.values()) if visit.ben is not None)
        place = (came[0], first - 0.5)
        ax.text(*place, "ben connects", size=FONT, color=RED, ha="center", va="bottom")
    ax.set_yticks(range(len(visits)), list(visits), fontsize=FONT)
    ax.set_ylim(len(visits) - 0.4, -1.0)
    ax.set_xlim(-5, max(came, default=300) + 90)
    ax.set_xlabel("ms since ann asked", fontsize=FONT)
    ax.tick_params(labelsize=FONT, left=False)
    ax.spines[["top", "left", "right"]].set_visible(False)
