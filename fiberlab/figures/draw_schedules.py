"""The drawing of every schedule, with matplotlib; loaded only when one is drawn.

The rule kept here: what fails is dark and says so in words, so that a figure can be read in grey.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from ..exploration.result import Result
from .page import WIDTH, fitted, letters, letters_in, width_of
from .palette import LOOKS, PLAIN, STALLED
from .schedules import Branch, Pair, Step

RAN = next(iter(LOOKS.values())).colour  # as a fiber that runs in the timeline
FAILS = STALLED.edge
HOLDS = "#E8E8E8"
EDGE = "#707070"
ROW = 0.27  # inches
WHOLE = 1.5  # the tree with what is told beside it, in widths of the tree
NAME = 1.4  # inches for a fiber's name beside its steps


def draw(result: Result, tree: Branch, ax: Axes | None) -> Axes:
    """Draw the tree on `ax`; or in a figure of its own, with the two schedules below."""
    rows = list(tree.rows())
    if ax is not None:
        return _draw_tree(ax, result, tree, rows)
    pair = None if result.failure is None else Pair.of(result.failure.trace, result.passing)
    heights = [ROW * (len(rows) + 2)]
    if pair is not None:
        high = ROW * len(pair.fibers) + 0.75
        high += 0.3 * len(pair.fibers) * _upright(pair, WIDTH)
        heights += [high] * (1 if pair.passing is None else 2)
    figure = plt.figure(figsize=(WIDTH, max(2.2, sum(heights) + 0.4)), layout="constrained")
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    if pair is not None:
        _draw_steps(axes[1], pair, pair.failing, "the shortest that fails", failing=True)
        if pair.passing is not None:
            _draw_steps(axes[2], pair, pair.passing, "the nearest that passes", failing=False)
        axes[-1].set_xlabel("step; in a box: the line of its yield", fontsize=letters(axes[-1]))
    return _draw_tree(axes[0], result, tree, rows)


def _draw_tree(ax: Axes, result: Result, tree: Branch, rows: Sequence[Branch]) -> Axes:
    ax.set_axis_off()
    depth = max(row.depth for row in rows)
    inches = float(ax.figure.figure.get_figwidth()) - NAME * (len(ax.figure.axes) > 1) - 0.2
    _draw_branch(ax, tree, 0, 0.9 * inches / (max(1, depth) * WHOLE))
    for place, row in enumerate(rows):
        _draw_outcome(ax, row, place, max(1, depth))
    ax.set_xlim(0, max(1, depth) * WHOLE)
    ax.set_ylim(len(rows) + 0.05, -0.05)
    shown = len(result.explored)
    part = "" if shown == result.schedules else f"; drawn: the first {shown:,}"
    sentence = str(result).partition(";")[0]
    ax.set_title(
        f"{sentence}{part}", loc="left", fontsize=letters(ax) + 1, fontweight="bold", **PLAIN
    )
    return ax


def _draw_branch(ax: Axes, branch: Branch, top: int, inches: float) -> int:
    """Draw a branch and all behind it, from the row `top` on; return how many rows it takes.

    inches: for a name in a box.
    """
    height = 0
    if branch.opened:
        for answer in sorted(branch.behind):
            height += _draw_branch(ax, branch.behind[answer], top + height, inches)
    height = height or 1
    if branch.depth:
        share = branch.failures / branch.schedules
        corner, size = (branch.depth - 1, top + 0.04), (0.97, height - 0.08)
        ax.add_patch(
            Rectangle(
                corner, *size, facecolor="white" if not share else "#F3DDE1", edgecolor=EDGE,
                linewidth=0.8,
            )
        )  # fmt: skip
        if branch.shortest:
            ax.add_patch(
                Rectangle(corner, *size, fill=False, edgecolor="black", linewidth=2, zorder=3)
            )
        name = fitted(branch.name, inches, letters(ax))
        ax.text(
            branch.depth - 0.515, top + height / 2, name, ha="center", va="center",
            fontsize=letters(ax), clip_on=True, **PLAIN,
        )  # fmt: skip
    return height


def _draw_outcome(ax: Axes, row: Branch, place: int, depth: int) -> None:
    """Draw at the right which share of a row fails, and say it in words."""
    left, width = depth * 1.03, depth * 0.12
    share = row.failures / max(1, row.schedules)
    box = (place + 0.2, 0.6)
    if row.depth < depth:
        ax.plot([row.depth + 0.02, left], [place + 0.5] * 2, ":", color=EDGE, linewidth=0.8)
    ax.add_patch(Rectangle((left, box[0]), width, box[1], facecolor=HOLDS, edgecolor=EDGE, lw=0.8))
    ax.add_patch(Rectangle((left, box[0]), width * share, box[1], facecolor=FAILS))
    ax.text(
        left + width * 1.15, place + 0.5, row.outcome(), va="center", fontsize=letters(ax),
        fontweight="bold" if row.shortest else "normal", **PLAIN,
    )  # fmt: skip


def _draw_steps(ax: Axes, pair: Pair, steps: Sequence[Step], title: str, *, failing: bool) -> None:
    """Draw one schedule: a row for each fiber, a column for each step."""
    rows = {name: row for row, name in enumerate(pair.fibers)}
    begin = steps[0].number if steps else 1
    count = _count(pair)
    upright = _upright(pair, float(ax.figure.figure.get_figwidth()))
    for step in steps:
        x, y = step.number - 0.5, rows[step.fiber]
        ax.add_patch(Rectangle((x + 0.04, y - 0.42), 0.92, 0.84, facecolor=RAN, edgecolor="none"))
        ax.text(
            step.number, y, step.ending, ha="center", va="center", fontsize=letters(ax),
            color="white", clip_on=True, rotation=90 if upright else 0, **PLAIN,
        )  # fmt: skip
    if failing and steps:
        ax.plot(
            steps[-1].number + 0.75, rows[steps[-1].fiber], "X", color=FAILS, markersize=12,
            clip_on=False,
        )  # fmt: skip
    if pair.passing is not None:
        ax.axvline(pair.first + 0.5, color="black", linewidth=2, linestyle="--")
        title += f"; the first difference is step {pair.first + 1}"
    ax.set_xlim(begin - 0.6, begin + count + 0.4)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    names = [fitted(name, NAME, letters(ax)) for name in rows]
    ax.set_yticks(list(rows.values()), names, fontsize=letters(ax), **PLAIN)
    ax.set_xticks(range(begin, begin + max(len(pair.failing), len(pair.passing or ()))))
    ax.tick_params(labelsize=letters(ax), length=0)
    ax.spines[:].set_visible(False)
    ax.set_title(title, loc="left", fontsize=letters(ax), **PLAIN)


def _count(pair: Pair) -> int:
    """Return for how many steps there is room."""
    return max(6, len(pair.failing), len(pair.passing or ()))


def _upright(pair: Pair, inches: float) -> bool:
    """Whether what stands in the boxes has room only if it is turned."""
    size = letters_in(inches)
    words = [step.ending for step in (*pair.failing, *(pair.passing or ()))]
    names = width_of((fitted(name, NAME, size) for name in pair.fibers), size) + 0.3
    return width_of(words, size) > 0.9 * (inches - names) / (_count(pair) + 1)
