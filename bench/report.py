"""The report: results as tables of text, and as one figure.

The rule kept here: tables and figure are made of the JSON alone, so that they can be made again
without measuring.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from .machine import PEERS
from .results import CaseResult, Figure
from .workloads import OURS, WORKLOADS

MARK = "<!-- figures: written by python -m bench --report -->"

NAMES = {
    "plain": "fiberlab, plain",
    "hoisted": "fiberlab, waits made once",
    "timeout": "fiberlab, a timeout on every wait",
    "stalls": "fiberlab, stalls recorded",
    "traced": "fiberlab, traced",
    "no-sites": "without the trace's sites",
    "select": "fibers over select",
}
"""How those whose names do not say it are called in tables."""


def table(result: dict[str, Any]) -> str:
    """Return a result as a table in Markdown, one for each case."""
    parts = [_case_table(result, case) for case in result["cases"]]
    if result["workload"] == "growth":
        parts.append(_growth(result))
    return "\n\n".join(parts)


def _case_table(result: dict[str, Any], case: CaseResult) -> str:
    unit, limit = result["unit"], result["limit"]
    head = ["", f"{unit} (min to max)", "per second", "ratio"]
    rows = []
    for name, figure in case.figures.items():
        ratio = case.ratio(name, limit)
        rate = f"{sorted(figure.rates)[len(figure.rates) // 2]:,.0f}" if figure.rates else "-"
        told = "-" if ratio is None else f"{ratio:.2f}"
        rows.append([NAMES.get(name, name), _spread(figure), rate, told])
    again = f", measured {case.attempts} times" if case.attempts > 1 else ""
    rounds = f"{result['rounds']} round{'s' if result['rounds'] > 1 else ''}"
    lines = [f"**{result['title']}: {case.label}** ({rounds}{again})", ""]
    lines += _markdown([head, *rows])
    told = [f"{name}: {why}" for name, why in case.skipped.items() if why != "takes no part"]
    return "\n".join([*lines, *(["", f"Not measured: {'; '.join(told)}."] if told else [])])


def _spread(figure: Figure) -> str:
    return f"{_short(figure.median)} ({_short(min(figure.costs))} to {_short(max(figure.costs))})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _markdown(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [lines[0], "| " + " | ".join(rule) + " |", *lines[1:]]


# -- Growth -------------------------------------------------------------------


NOISE = 1.25


def growth_of(points: list[tuple[int, float]]) -> str:
    """Say how a cost grows with the size: flat, falls, logarithmic, or faster.

    Flat: no size costs a quarter more than a smaller one. Logarithmic: from each size to the
    next by no more than the logarithm of the size grows, and a quarter for noise.
    """
    sizes, costs = zip(*points, strict=True)
    if max(costs) < NOISE * min(costs):
        return "flat"
    if costs[-1] <= costs[0]:
        return "falls"
    for i in range(len(points) - 1):
        most = NOISE * math.log(sizes[i + 1] + 1) / math.log(sizes[i] + 1)
        if costs[i + 1] / costs[i] > most:
            return "faster than logarithmic"
    return "logarithmic"


def _growth(result: dict[str, Any]) -> str:
    rows = [["", "who", "from", "to", "grows"]]
    for what in dict.fromkeys(case.label.partition(",")[0] for case in result["cases"]):
        cases = [case for case in result["cases"] if case.label.startswith(what + ",")]
        for name in ("limit", "plain"):
            points = [(c.size, c.figures[name].median) for c in cases if name in c.figures]
            if len(points) > 1:
                ends = [f"{_short(cost)} µs at {size:,}" for size, cost in (points[0], points[-1])]
                rows.append([what, NAMES.get(name, name), *ends, growth_of(points)])
    return "\n".join(_markdown(rows))


# -- The README and the figure ------------------------------------------------


def machine_line(machine: dict[str, str]) -> str:
    """Return the machine and the versions in one sentence."""
    versions = ", ".join(
        f"{name} {machine[name]}"
        for name in ("fiberlab", *PEERS, "numpy", "matplotlib")
        if machine.get(name, "not installed") != "not installed"
    )
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, "
        f"Python {machine['python']}; {versions}."
    )


def write_readme(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Put the tables at the end of the README, behind its mark."""
    text = path.read_text("utf-8")
    head = text.partition(MARK)[0]
    ordered = [results[name] for name in WORKLOADS if name in results]
    parts = []
    for result in ordered:
        note = "" if result["full"] else " A short try, not to be quoted."
        machine = machine_line(result["machine"])
        parts.append(f"### {result['workload']}\n\n{result['date']}, {machine}{note}")
        parts.append(table(result))
    path.write_text(f"{head}{MARK}\n\n" + "\n\n".join(parts) + "\n", encoding="utf-8")


FIGURES = (("switch", 1000), ("echo", 100), ("http", 100), ("idle", 10_000), ("sleep", 100_000))
"""Which cases stand in the figure for the README."""

COLUMNS, FONT = 2, 11  # letters are 9 pixels high where the README shows the figure


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the ratios to the limit, a panel for each workload, readable in grey."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = [
        (results[name], case)
        for name, size in FIGURES
        if name in results
        for case in results[name]["cases"]
        if case.size == size
    ]
    if not panels:
        return
    rows = -(-(len(panels) + 1) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(9, 3.4 * rows), layout="constrained")
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (result, case) in zip(axes.flat, panels, strict=False):
        _panel(ax, result, case)
    _legend(axes.flat[len(panels)])
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


OUR_BAR: dict[str, Any] = {"facecolor": "#1f4e79", "edgecolor": "black", "linewidth": 0.6}
OTHER_BAR: dict[str, Any] = {**OUR_BAR, "facecolor": "#c9c9c9", "hatch": "///"}


def _legend(ax: Any) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(label="fiberlab", **OUR_BAR),
        Patch(label="others", **OTHER_BAR),
        Line2D([], [], color="black", linewidth=1, label="slowest to fastest round"),
        Line2D([], [], color="black", linewidth=0.8, linestyle="--", label="the bare loop"),
    ]
    ax.legend(handles=handles, loc="center", fontsize=FONT + 1, frameon=False)


def _bar_name(name: str) -> str:
    return f"fiberlab {name}" if name in OURS else NAMES.get(name, name)


def _panel(ax: Any, result: dict[str, Any], case: CaseResult) -> None:
    limit = case.figures[result["limit"]]
    others = [name for name in case.figures if name != result["limit"]]
    others.sort(key=lambda name: case.figures[name].median, reverse=True)
    for at, name in enumerate(others):
        costs, ours = case.figures[name].costs, name in OURS
        ratio = case.ratio(name, result["limit"]) or 0.0
        ax.barh(at, ratio, **(OUR_BAR if ours else OTHER_BAR))
        ends = [limit.median / max(costs), limit.median / min(costs)]
        ax.plot(ends, [at, at], color="white", linewidth=3)  # to be seen on a dark bar
        ax.plot(ends, [at, at], color="black", linewidth=1)
        ax.text(1.38, at, f"{ratio:.2f}", ha="right", va="center", fontsize=FONT)
    names = [_bar_name(name) for name in others]
    ax.set_yticks(range(len(others)), names, fontsize=FONT)
    ax.axvline(1, color="black", linestyle="--", linewidth=0.8)
    ax.set_xlim(0, 1.4)
    ax.tick_params(axis="x", labelsize=FONT)
    ax.set_xlabel("speed, the bare loop = 1", fontsize=FONT)
    ax.set_title(f"{result['workload']}, {case.label}", fontsize=FONT + 1)
    ax.spines[["top", "right"]].set_visible(False)
