"""Rows: a few fibers drawn large, for pictures that are to be remembered.

The rule kept here: the looks are those of `plot_timeline`, so that what was learnt of one picture
holds for the other; what is left out are the scheduler's own row and the percentages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...figures.alternative import Drawn, with_run
from ...figures.marks import Key, broaden, style, swatch
from ...figures.palette import HIDDEN, LOOKS, UNWATCHED, Look
from ...spans.spans import Spans
from ...states import STATES, FiberState

if TYPE_CHECKING:
    from matplotlib.axes import Axes


FONT = 13
WORDS = {"running": "runs", "sleep": "sleeps"}
"""What the legend says of a state if that is not the state's own word."""


def draw_rows(ax: Axes, spans: Spans, labels: Mapping[str, str]) -> None:
    """Draw a row for each fiber in `labels`, from its name to what stands beside the row."""
    for row, name in enumerate(labels):
        [life] = [life for life in spans.lives if life.name == name]
        for code, look in sorted(LOOKS.items()):
            mine = [each for each in spans.of(life.id) if each.state is STATES[code]]
            draw_bars(ax, row, [(each.start, each.end) for each in mine], look)
    with_run(ax, Drawn(spans, spans.begin, spans.finish, whole=False))
    ax.set_yticks(range(len(labels)), list(labels.values()), fontsize=FONT)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.tick_params(labelsize=FONT, left=False)
    ax.spines[["top", "left", "right"]].set_visible(False)


def draw_bars(ax: Axes, row: float, times: Iterable[tuple[float, float]], look: Look) -> None:
    """Draw bars from start to end, in nanoseconds, on a row; the axis is in milliseconds."""
    bars = [(start / 1e6, (end - start) / 1e6) for start, end in times]
    drawn = ax.broken_barh(
        bars, (row - look.height / 2, look.height), zorder=3 if look is UNWATCHED else 2,
        **style(look),
    )  # fmt: skip
    broaden(drawn, look)


def draw_unwatched(ax: Axes, spans: Spans, labels: Mapping[str, str]) -> None:
    """Hatch the waits during which there was no poll, on rows that `draw_rows` has drawn."""
    rows = {name: row for row, name in enumerate(labels)}
    for each in spans.unwatched():
        row = rows.get(spans.life(each.fiber).name)
        if row is not None:
            draw_bars(ax, row, [(each.start, each.end)], UNWATCHED)


def draw_hidden(ax: Axes, spans: Spans, labels: Mapping[str, str]) -> None:
    """Fill the part of each wait in which its data lay in the kernel, where that is known."""
    rows = {name: row for row, name in enumerate(labels)}
    for i, hidden in spans.hidden:
        row = rows.get(spans.lives[spans.row[i]].name)
        if row is not None:
            end = spans.end[i]
            draw_bars(ax, row, [(end - hidden, end)], HIDDEN)


def explain(ax: Axes, words: Iterable[str], **overlays: Look) -> None:
    """Put a legend below `ax`: for states by their words, and for overlays.

    words: of states, as in "recv". overlays: a look for each label; _ stands for a blank.
    """
    looks = {STATES[code].value: look for code, look in LOOKS.items()}
    said = {WORDS.get(word, word): looks[word] for word in words}
    said |= {label.replace("_", " "): look for label, look in overlays.items()}
    ax.legend(
        [_handle(ax, look) for look in said.values()], list(said), handler_map={Key: Key},
        loc="upper center", bbox_to_anchor=(0.5, -0.42), ncols=len(said),
        fontsize=FONT, frameon=False, handleheight=1.2, handlelength=2.2,
    )  # fmt: skip


def _handle(ax: Axes, look: Look) -> Any:
    """Return what stands for a look in the legend: a piece of a row."""
    if look is UNWATCHED:
        return Key((LOOKS[FiberState.RECV.code], look))
    if look is not HIDDEN:
        return Key((look,))
    # The colour is that of ready; the mark at which it begins tells the two apart.
    [mark] = ax.plot([], [], color="black", marker="|", markersize=16, linestyle="none")
    return swatch(look, ""), mark
