"""The figures of lesson 08: pictures of recordings, and the states of a fiber.

The rule kept here: the arrows between the states are those of LEGAL_TRANSITIONS, not a list of
their own, and the looks are those of the timeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ....figures.palette import LOOKS, POLLING
from ....spans.build import Story, build_spans
from ....spans.spans import Span, Spans
from ....states import LEGAL_TRANSITIONS, OF_FIBERS, RUNNING, STATES, WAITING, FiberState
from ...shared.palette import DARK_GREY
from ...shared.rows import FONT, draw_bars, draw_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# -- A picture of a recording -------------------------------------------------


def draw_picture(ax: Axes, trace: Story, labels: Mapping[str, str], title: str = "") -> None:
    """Draw on `ax` a row for each fiber in `labels`, and the scheduler's: its polls.

    labels: from a fiber's name to what stands beside its row. Each slice can be seen, however
    short, and where two meet there is a white line. A poll that waits is a grey bar, one that
    only looks, or that takes no time, a dark stroke.
    """
    spans = build_spans(trace)
    draw_rows(ax, spans, labels)
    rows = len(labels)
    long_ones = 0.02 * (spans.finish - spans.begin)
    for row, name in enumerate(labels):
        steps = [each for each in _of_name(spans, name) if each.state is FiberState.RUNNING]
        tall = LOOKS[RUNNING].height / 2
        short = [each.start / 1e6 for each in steps if each.length < long_ones]
        ax.vlines(short, row - tall, row + tall, LOOKS[RUNNING].colour, linewidth=1, zorder=3)
        begun = {each.start for each in steps}
        joints = [each.end / 1e6 for each in steps if each.end in begun]
        ax.vlines(joints, row - tall, row + tall, "white", linewidth=2, zorder=3)
    waits = [(poll.start, poll.end) for poll in spans.polls if poll.timeout != 0]
    looks = [
        each.start / 1e6 for each in spans.polls if each.timeout == 0 or each.start == each.end
    ]
    draw_bars(ax, rows, waits, POLLING)
    ax.vlines(looks, rows - 0.22, rows + 0.22, DARK_GREY, linewidth=1.2, zorder=3)
    ax.set_yticks(range(rows + 1), [*labels.values(), "polls"], fontsize=FONT)
    ax.set_ylim(rows + 0.6, -0.6)
    ax.set_xlim(spans.begin / 1e6, spans.finish / 1e6)
    ax.set_title(title, loc="left", fontsize=FONT + 1, fontweight="bold")


def _of_name(spans: Spans, name: str) -> list[Span]:
    return [span for life in spans.lives if life.name == name for span in spans.of(life.id)]


# -- The states ---------------------------------------------------------------

_WIDTH, _HEIGHT = 26, 10
_WAITS = [STATES[code] for code in WAITING if STATES[code] in OF_FIBERS]
_TOP = 12 * len(_WAITS) + 2
"""How high the states in the run queue and running stand: above all waits."""

_PLACES = {
    **{state: (42, 12 * row) for row, state in enumerate(reversed(_WAITS))},
    FiberState.READY: (0, _TOP), FiberState.RUNNING: (84, _TOP), FiberState.DONE: (91, 0),
}  # fmt: skip
"""Where the box of each state stands: those from which a wake leads on, one above the other."""

_TEXTS = {
    FiberState.READY: "run queue", FiberState.RECV: "RECV(sock)", FiberState.SEND: "SEND(sock)",
    FiberState.SLEEP: "WAIT(seconds)", FiberState.PARKED: "WAIT(None)",
}  # fmt: skip


def transitions() -> list[str]:
    """Return a line for each state: where a fiber can go from there."""
    lines = []
    for before in OF_FIBERS:
        after = [state.value for state in OF_FIBERS if state in LEGAL_TRANSITIONS[before]]
        lines.append(f"{before.value:7} -> {', '.join(after) or 'nowhere'}")
    return lines


def draw_states(ax: Axes) -> None:
    """Draw on `ax` the states of a fiber, and an arrow for each step it can legally make."""
    ax.set_xlim(-2, 119)
    ax.set_ylim(-3, _TOP + 26)
    ax.axis("off")
    for state in OF_FIBERS:
        _box(ax, state, _TEXTS.get(state, ""))
        for after in LEGAL_TRANSITIONS[state].intersection(OF_FIBERS):
            _arrow(ax, state, after)
    ax.text(55, _TOP + 6.5, "resume", ha="center", size=FONT)
    ax.text(55, _TOP + 20, "yield WAIT(0)", ha="center", size=FONT)
    for x, word in ((14, "wake"), (89, "yield"), (105, "exit")):
        ax.text(x, _TOP - 24, word, size=FONT)


def _box(ax: Axes, state: FiberState, below: str) -> None:
    x, y = _PLACES[state]
    look = LOOKS.get(state.code)
    colour = "white" if look is None or look.colour == "none" else look.colour
    style = "dashed" if look is not None and look.colour == "none" else "solid"
    ax.broken_barh([(x, _WIDTH)], (y, _HEIGHT), facecolors=colour, edgecolors="black",
                   linestyles=style, zorder=2)  # fmt: skip
    ink = "white" if state is FiberState.RUNNING else "black"
    middle = x + _WIDTH / 2
    ax.text(middle, y + 7.1, state.value, ha="center", va="center", size=FONT + 1, color=ink,
            fontweight="bold", zorder=3)  # fmt: skip
    ax.text(middle, y + 2.7, below, ha="center", va="center", size=FONT, color=ink, zorder=3)


def _arrow(ax: Axes, before: FiberState, after: FiberState) -> None:
    tail, head, style = _ends(before, after)
    ax.annotate(
        "", head, tail, zorder=1,
        arrowprops={"arrowstyle": "-|>", "lw": 1.5, "shrinkA": 0, "shrinkB": 0, "color": "black",
                    "mutation_scale": 18, "connectionstyle": style},
    )  # fmt: skip


def _ends(
    before: FiberState, after: FiberState
) -> tuple[tuple[float, float], tuple[float, float], str]:
    """Return where the arrow between two states begins and ends, and how it is bent."""
    (x, y), (to_x, to_y) = _PLACES[before], _PLACES[after]
    half = _WIDTH / 2
    if before is FiberState.READY:
        return (x + _WIDTH, y + 5), (to_x, to_y + 5), "arc3"
    if after is FiberState.READY and before is FiberState.RUNNING:
        above = (x + half, y + _HEIGHT), (to_x + half, to_y + _HEIGHT)
        return *above, "bar,armA=18,armB=18,fraction=0"
    if after is FiberState.READY:
        return (x, y + 5), (to_x + half, to_y), "angle,angleA=180,angleB=-90"
    if after is FiberState.DONE:
        return (to_x + half, y), (to_x + half, to_y + _HEIGHT), "arc3"
    return (x + 4, y), (to_x + _WIDTH, to_y + 5), "angle,angleA=-90,angleB=0"
