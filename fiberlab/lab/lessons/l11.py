"""Lesson 11, endings: its question, its pictures, and what a run leaves behind.

Its exercises stand in l11_exercises: what they judge is a subject of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...figures.palette import LOOKS
from ...spans.build import build_spans
from ...states import RUNNING, FiberState
from ...trace.trace import Trace
from ..exercises import Question
from .l11_exercises import EXERCISES
from .rows import FONT, draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["EXERCISES", "QUESTIONS", "draw_endings", "draw_family"]

# -- The question -------------------------------------------------------------


def what_the_silent_sees(seen: Any) -> str:
    """Return the choice that is borne out by what a client received, or ran into."""
    if isinstance(seen, ConnectionError):
        return "d"
    if isinstance(seen, Exception):
        return "a"
    return "c" if seen else "b"


QUESTIONS = (
    Question(
        id="l11-q1",
        text="A client says nothing, and its fiber is timed out. What does the client see?",
        choices={
            "a": "nothing: its recv waits on, until it gives up itself",
            "b": "the end of file: recv returns b''",
            "c": "an error message: recv returns bytes with the name of the error",
            "d": "a reset: recv raises ConnectionResetError",
        },
        wrong={
            "a": "Then the server's end would still be open. A fiber's connection is closed when\n"
            "the fiber ends: cat's recv returned, see the facts of section 2.",
            "c": "The error is raised inside the fiber; it is in the trace, and not a byte of it\n"
            "is sent. See the facts of section 2: cat saw b''. In section 3 a handler catches it,\n"
            "and sends a message of its own.",
            "d": "That is how a connection ends with data that the server never received. Cat had\n"
            "sent none, and dan's had been received: section 2 says b'' for both.",
        },
        outcome=what_the_silent_sees,
    ),
)

# -- The ways a fiber ends ----------------------------------------------------

_PATHS = (
    ("it returns", "", "return"),
    ("it raises", "ValueError", "error"),
    ("fiber.cancel()", "FiberCancelled", "cancel"),
    ("run() is left", "GeneratorExit", "cancel"),
    ("its timeout passes", "FiberTimeout", "error"),
)
_COLOURS = {"return": "#DDEFE8", "error": "#F6D5D0", "cancel": "#E6E6E6"}


def draw_endings(ax: Axes) -> None:
    """Draw the five ways in which a fiber ends: what happens, what is raised, what is told."""
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
