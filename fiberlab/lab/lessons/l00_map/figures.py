"""The figure of lesson 00: the whole line, from a generator to a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...shared.palette import BLUE, ORANGE, PALE_BLUE, PALE_BLUE_EDGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_WORDS = ("generator", "fiber", "scheduler", "trace", "spans", "timeline")
_SAID = (
    "a function\nthat can pause",
    "a generator under\na scheduler",
    "resumes one\nat a time",
    "all that it did,\nwith times",
    "which fiber was in\nwhich state, how long",
    "the picture",
)
_LESSONS = (
    "lesson 01", "lessons 02, 05, 06", "lessons 02, 08", "lesson 05", "lessons 05, 08",
    "lessons 05 to 09",
)  # fmt: skip
_STEP, _WIDTH = 20, 17


def draw_line(ax: Axes) -> None:
    """Draw on `ax` what becomes of a generator, from left to right, until it is a picture."""
    ax.set_xlim(-1, 6 * _STEP - 2)
    ax.set_ylim(2, 44)
    ax.axis("off")
    for column, (word, said, lessons) in enumerate(zip(_WORDS, _SAID, _LESSONS, strict=True)):
        left = column * _STEP
        middle = left + _WIDTH / 2
        ax.text(middle, 41, word, ha="center", va="center", size=15, weight="bold")
        ax.broken_barh([(left, _WIDTH)], (17, 20), facecolors="white", edgecolors="black")
        ax.text(middle, 14, said, ha="center", va="top", size=13.5, linespacing=1.3)
        ax.text(middle, 4, lessons, ha="center", va="center", size=13.5, color=BLUE)
        if column:
            ax.annotate(
                "", (left - 0.2, 27), (left - 2.8, 27), arrowprops={"arrowstyle": "-|>", "lw": 2}
            )
    _draw_texts(ax)
    _draw_loop(ax, 2 * _STEP)
    _draw_spans(ax, 4 * _STEP)
    _draw_bars(ax, 5 * _STEP)


def _draw_texts(ax: Axes) -> None:
    _write(ax, 0, "def echo(...):", "  yield RECV", "  yield SEND")
    _write(ax, _STEP, "echo-6", "waits: RECV")
    _write(ax, 3 * _STEP, "resume echo-6", "yield  SEND", "wake   echo-2")


def _write(ax: Axes, left: float, *lines: str) -> None:
    for number, line in enumerate(lines):
        y = 27 + 5 * ((len(lines) - 1) / 2 - number)
        ax.text(left + 0.9, y, line, family="monospace", size=13.5, va="center")


def _draw_loop(ax: Axes, left: float) -> None:
    for number, word in enumerate(("resume", "poll", "wake")):
        ax.text(left + 7, 33 - 6 * number, word, ha="center", va="center", size=13.5)
    ax.annotate(
        "", (left + 11.5, 33), (left + 11.5, 21),
        arrowprops={"arrowstyle": "-|>", "connectionstyle": "arc3,rad=0.7", "lw": 1.5},
    )  # fmt: skip


def _draw_spans(ax: Axes, left: float) -> None:
    for number, (word, colour, hatch) in enumerate(
        (("ready", ORANGE, ""), ("running", BLUE, ""), ("recv", PALE_BLUE, "///"))
    ):
        y = 33 - 6 * number
        ax.broken_barh(
            [(left + 1, 5)], (y - 2, 4), facecolors=colour, edgecolors=PALE_BLUE_EDGE, hatch=hatch
        )
        ax.text(left + 7, y, word, va="center", size=13.5)


def _draw_bars(ax: Axes, left: float) -> None:
    for row, (start, length) in enumerate(((2, 1), (4, 9), (14, 1), (15, 1))):
        y = 33.5 - 4.4 * row
        bar = [(left + 1, 15)]
        ax.broken_barh(
            bar, (y - 0.7, 1.4), facecolors=PALE_BLUE, edgecolors=PALE_BLUE_EDGE, hatch="///", lw=0
        )
        ax.broken_barh([(left + start, length)], (y - 1.7, 3.4), facecolors=BLUE)
