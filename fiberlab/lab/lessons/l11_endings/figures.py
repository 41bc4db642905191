"""The figures of lesson 11: the ways in which a fiber ends, and a parent with its children."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....figures.palette import LOOKS
from ....spans.build import build_spans
from ....states import RUNNING, FiberState
from ....trace.trace import Trace
from ...shared.palette import LIGHT_GREY, PALE_GREEN, PALE_RED
from ...shared.rows import FONT, draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# -- The ways a fiber ends ----------------------------------------------------

_PATHS = (
    ("it returns", "", "return"),
    ("it raises", "ValueError", "error"),
    ("fiber.cancel()", "FiberCancelled", "cancel"),
    ("run() is left", "GeneratorExit", "cancel"),
    ("its timeout passes", "FiberTimeout", "error"),
)
_COLOURS = {"return": PALE_GREEN, "error": PALE_RED, "cancel": LIGHT_GREY}


def draw_endings(ax: Axes) -> None:
    """Draw five ways in which a fiber ends: what happens, what is raised, what the trace says."""
    _box(ax, (0, 16), (-0.4, 1.4), LOOKS[RUNNING].colour, "runs", color="white")
    _box(
        ax,
        (0, 16),
        (1.6, 4.4),
        LOOKS[FiberState.RECV.code].colour,
        "waits\nat a yield",
        color="black",
    )
    for row, (cause, error, how) in enumerate(_PATHS):
        _arrow(ax, (16.5, row), (62, row))
        ax.text(18, row - 0.12, cause, size=FONT, va="bottom")
        ax.text(60, row - 0.12, error, size=FONT, va="bottom", ha="right", family="monospace")
        _arrow(ax, (74.5, row), (84, row))
        _box(ax, (84.5, 100), (row - 0.3, row + 0.3), _COLOURS[how], how, color="black")
    _box(ax, (62.5, 74), (-0.4, 4.4), "white", "finally", color="black")
    ax.plot([50, 50, 8], [4.1, 4.95, 4.95], "--", color="black", lw=1.6)
    _arrow(ax, (8, 4.96), (8, 4.42))
    ax.text(52, 4.95, "caught: it goes on, with a fresh timeout", size=FONT, va="center")
    ax.set_xlim(-1, 101)
    ax.set_ylim(5.2, -0.6)
    ax.axis("off")


def _box(
    ax: Axes, across: tuple[float, float], down: tuple[float, float], fill: str, text: str,
    *, color: str,
) -> None:  # fmt: skip
    (left, right), (top, bottom) = across, down
    ax.fill([left, right, right, left], [top, top, bottom, bottom], facecolor=fill,
            edgecolor="black", linewidth=1.2)  # fmt: skip
    middle = ((left + right) / 2, (top + bottom) / 2)
    ax.text(*middle, text, size=FONT + 1, ha="center", va="center", color=color)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "lw": 1.6})


# -- A parent and its children ------------------------------------------------

_SIGNS = {"return": "o", "error": "X", "cancel": "X"}


def draw_family(ax: Axes, trace: Trace, without: str = "you") -> None:
    """Draw the lives of some fibers, each with its end; not the one that is called `without`."""
    spans = build_spans(trace)
    lives = [life for life in spans.lives if life.name != without]
    draw_rows(ax, spans, {life.name: life.name for life in lives})
    for row, life in enumerate(lives):
        if life.died is None or life.how is None:
            continue
        at = life.died / 1e6
        ax.plot(at, row, _SIGNS[life.how], color="black", markersize=11, zorder=4)
        ax.text(at + 22, row, life.how, size=FONT, va="center")
    ax.set_xlim(-15, 1180)
    ax.set_xlabel("time (ms)", fontsize=FONT)
