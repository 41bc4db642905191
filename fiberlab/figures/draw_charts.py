"""Charts: the figures beside the timeline, with matplotlib; loaded only when one is drawn.

The rule kept here: states look as they do in the timeline, and values that matter are written
beside their marks, so that a figure can be read in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from ..billing.bill import Billed
from ..report.comparison import Comparison, paired
from ..spans.numbers import Quantiles, starved_by
from ..spans.spans import Spans, readable
from ..states import READY, STATES
from .canvas import in_order
from .draw_timeline import ROW, Drawing
from .marks import swatch
from .page import GAP, PAD, SWATCH, WIDTH, columns_that_fit, cut, fitted, letters, width_of
from .palette import BILLED, LOOKS, PLAIN
from .window import Columns, totals_by_row

MOST_COLUMNS = 8  # of numbers that can be read beside each other
LEAST = 1_000  # nanoseconds; shorter times are counted here on a logarithmic axis


def _axes(ax: Axes | None, width: float = 8, height: float = 4) -> Axes:
    if ax is None:
        ax = plt.figure(figsize=(width, height), layout="constrained").add_subplot()
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=letters(ax))
    ax.set_axisbelow(True)
    return ax


def histogram(times: list[int], ax: Axes | None, state: int, what: str, unit: str) -> Axes:
    """Draw how long something took, on a logarithmic axis, with its percentiles."""
    ax = _axes(ax)
    ax.set_xscale("log")
    values = np.maximum(np.asarray(times, float), LEAST)
    low, high = (LEAST, 1e6) if not times else (values.min(), max(values.max(), 1e4))
    edges = np.geomspace(10 ** np.floor(np.log10(low)), 10 ** np.ceil(np.log10(high * 1.001)), 49)
    ax.hist(values, edges.tolist(), color=LOOKS[state].colour, edgecolor="white", linewidth=0.4)
    ax.set_xlim(edges[0], edges[-1])
    ax.set_xlabel(f"{what} (logarithmic)", fontsize=letters(ax))
    ax.set_ylabel(unit, fontsize=letters(ax))
    ax.grid(axis="y", color="#E4E4E4", linewidth=0.6)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _decade(x)))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    _percentiles(ax, Quantiles.of(times))
    return ax


def _decade(nanoseconds: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if nanoseconds >= 0.999 * size:
            return f"{nanoseconds / size:.0f} {unit}"
    return f"{nanoseconds / 1e3:g} µs"


def _percentiles(ax: Axes, measured: Quantiles) -> None:
    """Draw a line for each percentile; its words stand above the axes, one under the other."""
    if not measured.times:
        ax.text(0.5, 0.5, "none", transform=ax.transAxes, ha="center", fontsize=letters(ax))
        return
    marks = (("p50", measured.p50, ":"), ("p95", measured.p95, "--"), ("p99", measured.p99, "-."),
             ("max", measured.longest, "-"))  # fmt: skip
    for name, value, style in marks:
        ax.axvline(
            max(value, LEAST), color="black", linestyle=style, linewidth=1.2,
            label=f"{name}: {readable(value)}",
        )  # fmt: skip
    ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=letters(ax), frameon=False,
        handlelength=2.6,
    )  # fmt: skip


def queue(spans: Spans, ax: Axes | None) -> Axes:
    """Draw the run queue's length over time as an area of steps."""
    ax = _axes(ax, 9, 3)
    unit, scale = ("s", 1e9) if spans.finish - spans.begin >= 2e9 else ("ms", 1e6)
    times, sizes = (np.asarray(column) for column in spans.depth)
    x = np.concatenate([[spans.begin], times, [spans.finish]]) / scale
    y = np.concatenate([[0], sizes, sizes[-1:] if len(sizes) else [0]])
    ax.fill_between(x, y, step="post", color=LOOKS[READY].colour, linewidth=0.5)
    ax.set_xlim(spans.begin / scale, max(spans.finish, spans.begin + 1) / scale)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)
    ax.set_xlabel(f"time ({unit})", fontsize=letters(ax))
    ax.set_ylabel("fibers in the run queue", fontsize=letters(ax))
    return ax


def states(spans: Spans, ax: Axes | None) -> Axes:
    """Draw the six times of each fiber, one after another."""
    rows = len(spans.lives)
    ax = _axes(ax, 9, min(14.0, max(2.4, 0.28 * rows + 1.4)))
    totals = totals_by_row(Columns.of(spans), max(1, rows))
    unit, scale = ("s", 1e9) if totals.sum(axis=1).max() >= 2e9 else ("ms", 1e6)
    left = np.zeros(len(totals))
    for state, look in LOOKS.items():
        times = totals[:, state] / scale
        if times.any():
            ax.barh(
                np.arange(len(totals)), times, 0.75, left, color=look.colour, hatch=look.hatch,
                edgecolor=look.edge if look.hatch or look.colour == "none" else "none",
                linewidth=0.5, linestyle="--" if look.colour == "none" else "-",
            )  # fmt: skip
        left += times
    _states_axes(ax, spans, totals.sum(axis=0), unit)
    return ax


def _states_axes(ax: Axes, spans: Spans, sums: Any, unit: str) -> None:
    order, labels = in_order(spans, "spawn")
    every = max(1, len(order) // 45 + (len(order) > 45))
    ax.set_yticks(order[::every], labels[::every], **PLAIN)
    ax.set_ylim(max(1, len(order)) - 0.4, -0.6)
    ax.set_xlabel(f"time in each state ({unit})", fontsize=letters(ax))
    ax.spines["left"].set_visible(False)
    ax.tick_params(left=False)
    entries = [
        swatch(look, f"{STATES[state].value}: {readable(int(sums[state]))}")
        for state, look in LOOKS.items()
        if sums[state]
    ]
    _legend(ax, entries)


def _legend(ax: Axes, entries: list[Any]) -> None:
    """Write above the axes what each look stands for."""
    size, labels = letters(ax), [str(entry.get_label()) for entry in entries]
    names = width_of((tick.get_text() for tick in ax.get_yticklabels()), size)
    room = float(ax.figure.figure.get_figwidth()) - names - 0.4
    ax.legend(
        handles=entries, loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False,
        ncols=columns_that_fit(labels, size, room), fontsize=size, handlelength=SWATCH,
        handletextpad=PAD, columnspacing=GAP,
    )  # fmt: skip


def parts(requests: Sequence[Billed], ax: Axes | None) -> Axes:
    """Draw what each request consists of, one part after another; the slowest on top."""
    ax = _axes(ax, WIDTH, min(14.0, 0.34 * len(requests) + 1.8))
    if not requests:
        ax.text(0.5, 0.5, "no request", transform=ax.transAxes, ha="center", fontsize=letters(ax))
        ax.set_axis_off()
        return ax
    unit, scale = ("s", 1e9) if requests[0].latency >= 2e9 else ("ms", 1e6)
    sums = {part.value: sum(each.parts[part] for each in requests) for part in requests[0].parts}
    rows, left = np.arange(len(requests)), np.zeros(len(requests))
    for part in (part for part, time in sums.items() if time):
        times = np.array([getattr(each, part) for each in requests]) / scale
        look = BILLED[part]
        edge = look.edge if look.hatch else "black"
        ax.barh(
            rows, times, 0.7, left, color=look.colour, hatch=look.hatch, edgecolor=edge,
            linewidth=0.4,
        )  # fmt: skip
        left += times
    ax.set_yticks(rows, [cut(each.name) for each in requests], **PLAIN)
    ax.set_ylim(len(requests) - 0.4, -0.6)
    ax.set_xlabel(f"latency ({unit})", fontsize=letters(ax))
    beside = [_charged(each) for each in requests]
    for row, words in enumerate(beside):
        ax.annotate(
            words, (left[row], row), (5, 0), textcoords="offset points", va="center",
            fontsize=letters(ax), **PLAIN,
        )  # fmt: skip
    ax.set_xlim(0, max(1e-6, _room(ax, left, beside)))
    shown = ((part, time) for part, time in sums.items() if time)
    _legend(ax, [swatch(BILLED[part], f"{part}: {readable(time)}") for part, time in shown])
    return ax


def _charged(each: Billed) -> str:
    """Say how long a request took, and which line has taken most of it."""
    words = readable(each.latency)
    for dearest in each.charges[:1]:
        words += f", {readable(dearest.time)} of it behind {cut(dearest.src, 28)}"
    return words


def _room(ax: Axes, bars: Any, beside: Sequence[str]) -> float:
    """Return how far an axis must go so that the words beside the bars have room."""
    names = width_of((tick.get_text() for tick in ax.get_yticklabels()), letters(ax))
    inches = max(1.0, float(ax.figure.figure.get_figwidth()) - names - 0.5)
    free = [1 - (width_of([words], letters(ax)) + 0.15) / inches for words in beside]
    return float(max(bar / max(0.2, part) for bar, part in zip(bars, free, strict=True)))


def matrix(spans: Spans, ax: Axes | None, most: int) -> Axes:
    """Draw which fiber ran while which was ready, as a field of numbers."""
    found = {fiber: by for fiber, by in starved_by(spans, most).items() if by}
    victims = list(found)
    held: dict[int, int] = {}
    for fiber in victims:
        for by, time in found[fiber].items():
            held[by] = held.get(by, 0) + time
    whole = sum(held.values())
    culprits = [by for by in sorted(held, key=lambda by: -held[by]) if held[by] >= 0.005 * whole]
    culprits = culprits[: min(most, MOST_COLUMNS)]
    ax = _axes(ax, 3.2 + 0.72 * len(culprits), 2.2 + 0.36 * len(victims))
    values = np.array([[found[v].get(c, 0) for c in culprits] for v in victims], float)
    if not values.size:
        ax.text(0.5, 0.5, "no fiber was kept waiting", transform=ax.transAxes, ha="center")
        ax.set_axis_off()
        return ax
    ax.imshow(values, cmap="Blues", aspect="auto", vmin=0, vmax=max(1.0, values.max()))
    for (row, column), value in np.ndenumerate(values):
        if value >= 0.005 * values.max():
            dark = value > 0.55 * values.max()
            ax.text(
                column, row, readable(value), ha="center", va="center", fontsize=letters(ax),
                color="white" if dark else "black",
            )  # fmt: skip
    names = {life.id: f"#{life.id} {cut(life.name, 16)}" for life in spans.lives}
    names[0] = "no fiber"
    ax.set_yticks(range(len(victims)), [names[each] for each in victims], **PLAIN)
    ax.set_xticks(range(len(culprits)), [names[each] for each in culprits], **PLAIN)
    ax.tick_params(axis="x", rotation=40)
    plt.setp(ax.get_xticklabels(), ha="right", rotation_mode="anchor")
    ax.set_ylabel("was ready", fontsize=letters(ax))
    ax.set_xlabel("while this ran", fontsize=letters(ax))
    return ax


# -- Two runs -----------------------------------------------------------------


def two_runs(runs: tuple[Spans, Spans], comparison: Comparison, begin: int, end: int) -> Axes:
    """Draw two runs with the same rows above each other, and the table of differences below."""
    names = [[life.name for life in spans.lives] for spans in runs]
    pairs = paired(names[0], names[1])
    head, cells = comparison.table()
    each = min(8.0, max(2.4, ROW * (len(pairs) + 3))) + 1.9
    below = ROW * (len(cells) + 1) + 0.3
    figure = plt.figure(figsize=(WIDTH, 2 * each + below), layout="constrained")
    heights = {"height_ratios": [each, each, below]}
    upper, lower, table = figure.subplots(3, 1, gridspec_kw=heights)
    orders = [first for _, first, _ in pairs], [other for _, _, other in pairs]
    size = letters(upper)
    room = WIDTH - width_of((cut(name) for name, _, _ in pairs), size) - 0.5
    for ax, spans, order, name in zip((upper, lower), runs, orders, comparison.names, strict=True):
        title = fitted(name, room, size, "bold")
        ax.set_title(title, loc="left", fontsize=size, fontweight="bold", **PLAIN)
        labels = [
            cut(pair[0]) if row is not None else f"({cut(pair[0])})"
            for pair, row in zip(pairs, order, strict=True)
        ]
        Drawing(spans, ax, begin, end, 0.05, 0.01, order=order, labels=labels)
    lower.sharex(upper)
    _table(table, head, cells, room)
    drawn: Axes = upper
    return drawn


def _table(ax: Axes, head: Sequence[str], cells: Sequence[Sequence[Any]], inches: float) -> None:
    """Write a table of differences that is so many inches wide."""
    ax.set_axis_off()
    shares, size = (0.37, 0.21, 0.21, 0.21), letters(ax)
    text = [
        [
            fitted(str(cell), 0.85 * share * inches, size, "bold")
            for cell, share in zip(row, shares, strict=True)
        ]
        for row in (head, *cells)
    ]
    table = ax.table(
        text[1:], colLabels=text[0], loc="upper left", edges="horizontal", colWidths=shares,
        cellLoc="right", colLoc="right",
    )  # fmt: skip
    table.auto_set_font_size(False)
    table.set_fontsize(size)
    for (row, column), cell in table.get_celld().items():
        cell.set_edgecolor("#CCCCCC")
        cell.set_height(1 / (len(cells) + 1))
        cell.get_text().set_parse_math(False)
        if column == 0:
            cell.set_text_props(ha="left")
        if row == 0:
            cell.set_text_props(fontweight="bold")
