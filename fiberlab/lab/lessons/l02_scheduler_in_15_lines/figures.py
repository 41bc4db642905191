"""The figures of lesson 02: a schedule, the scheduler itself, and two words held apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....figures.palette import LOOKS
from ....states import READY, RUNNING, SLEEP
from ...shared.palette import BLUE, GREY, ORANGE
from .experiment import Step

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# -- A schedule ---------------------------------------------------------------


def draw_schedule(ax: Axes, steps: Sequence[Step], *, legend: bool = True) -> None:
    """Draw on `ax` when each fiber ran, was ready or slept, in seconds; a row for each.

    A fiber is ready from the moment at which it could have gone on.
    """
    rows = list(dict.fromkeys(step.name for step in steps))
    for row, name in enumerate(rows):
        own = [step for step in steps if step.name == name]
        _bar(ax, row, 0, own[0].start, READY)
        for step, following in zip(own, [*own[1:], None], strict=True):
            _bar(ax, row, step.start, step.end, RUNNING)
            if following is not None:
                due = min(step.end + (step.wait or 0), following.start)
                _bar(ax, row, step.end, due, SLEEP)
                _bar(ax, row, due, following.start, READY)
    ax.set_yticks(range(len(rows)), rows, fontsize=13)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xticks(range(int(max(step.end for step in steps)) + 1))
    ax.tick_params(axis="x", labelsize=13)
    ax.set_xlabel("second", fontsize=13)
    if legend:
        _add_legend(ax)


def _bar(ax: Axes, row: int, start: float, end: float, state: int) -> None:
    if end <= start:
        return
    look = LOOKS[state]
    ax.broken_barh(
        [(start, end - start)], (row - look.height / 2, look.height), facecolors=look.colour,
        edgecolors="white" if state == RUNNING else look.edge, hatch=look.hatch or None,
        linewidth=1.5 if state == RUNNING else 0,
    )  # fmt: skip


def _add_legend(ax: Axes) -> None:
    from ....figures.marks import swatch

    words = {RUNNING: "running", READY: "ready", SLEEP: "sleeps"}
    patches = [swatch(LOOKS[state], word) for state, word in words.items()]
    ax.figure.legend(handles=patches, loc="outside lower center", ncols=3, fontsize=13)


# -- The scheduler ------------------------------------------------------------


def draw_toy(ax: Axes) -> None:
    """Draw on `ax` where a fiber can be in the scheduler of the lesson, and how it gets there."""
    ax.set_xlim(0, 110)
    ax.set_ylim(-2, 56)
    ax.axis("off")
    _place(ax, 4, 28, 32, "run queue", ORANGE, "black", "ready: first come, first served")
    _place(ax, 60, 28, 22, "next(fiber)", BLUE, "white", "running: one at a time")
    _place(ax, 36, 2, 32, "sleepers", GREY, "black", "a heap: the earliest deadline first")
    _arrow(ax, (36, 34), (60, 34))
    ax.text(48, 36, "popleft", ha="center", size=13)
    _arrow(ax, (82, 34), (94, 34))
    ax.text(95, 34, "has ended", va="center", size=13)
    _arrow(ax, (71, 40), (20, 40), curve=0.3)
    ax.text(45, 53.5, "yields nothing: to the end of the queue", ha="center", size=13)
    _arrow(ax, (74, 28), (68, 8), curve=-0.35)
    ax.text(78, 16, "yields seconds", size=13)
    _arrow(ax, (36, 8), (20, 28), curve=-0.35)
    ax.text(19, 14, "its deadline\nhas come", ha="right", size=13)


def _place(
    ax: Axes, x: float, y: float, width: float, word: str, colour: str, ink: str, said: str
) -> None:
    ax.broken_barh([(x, width)], (y, 12), facecolors=colour, edgecolors="black")
    ax.text(x + width / 2, y + 8.3, word, ha="center", va="center", size=14, color=ink)
    ax.text(x + width / 2, y + 3, said, ha="center", va="center", size=12, color=ink)


def _arrow(
    ax: Axes, tail: tuple[float, float], head: tuple[float, float], curve: float = 0
) -> None:
    ax.annotate(
        "", head, tail,
        arrowprops={"arrowstyle": "-|>", "lw": 1.8, "connectionstyle": f"arc3,rad={curve}"},
    )  # fmt: skip


# -- Concurrent and parallel --------------------------------------------------

_NAMES = ("ann", "ben", "cat")


def draw_two_kinds(left: Axes, right: Axes) -> None:
    """Draw nine seconds of work twice: concurrent on one processor, parallel on three."""
    alternating = [
        Step(name, 3 * turn + number, 3 * turn + number + 1, None)
        for turn in range(3)
        for number, name in enumerate(_NAMES)
    ]
    together = [Step(name, turn, turn + 1, None) for turn in range(3) for name in _NAMES]
    draw_schedule(left, alternating, legend=False)
    draw_schedule(right, together, legend=False)
    for ax, title in ((left, "concurrent"), (right, "concurrent and parallel")):
        ax.set_xlim(0, 9.2)
        ax.set_xticks(range(10))
        ax.set_title(title, fontsize=14)
