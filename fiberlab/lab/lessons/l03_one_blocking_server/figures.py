"""The figures of lesson 03: a connection, the visits of some clients, and a computed schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...shared.palette import BLUE, GREY, LIGHT_GREY, ORANGE, PALE_BLUE
from .experiment import Visits, waits_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_connection(ax: Axes) -> None:
    """Draw what is where: two processes, the kernel between them, and a connection in it."""
    ax.set_xlim(0, 120)
    ax.set_ylim(0, 46)
    ax.axis("off")
    _box(ax, 1, 28, 30, 17, "client's process\n\n", "white")
    _box(ax, 63, 28, 56, 17, "server's process\n\n", "white")
    _box(ax, 1, 1, 118, 20, "", LIGHT_GREY)
    ax.text(3, 3, "kernel", size=13, style="italic")
    _box(ax, 7, 10, 18, 8, "socket", PALE_BLUE)
    _box(ax, 95, 10, 18, 8, "socket", PALE_BLUE)
    _box(ax, 63, 10, 22, 8, "listens at\nits port", GREY)
    for x, name in ((16, "client"), (74, "listener"), (104, "connection")):
        ax.annotate(name, (x, 18.5), (x, 32), size=13, ha="center", family="monospace",
                    arrowprops={"arrowstyle": "->", "lw": 1.5})  # fmt: skip
    ax.plot([25, 59], [14, 14], [59, 59], [14, 6.5], [59, 104], [6.5, 6.5], [104, 104], [6.5, 10],
            color=BLUE, lw=3)  # fmt: skip
    ax.text(41, 15.2, "the connection", size=13, ha="center", color=BLUE)


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, colour: str) -> None:
    ax.broken_barh([(x, width)], (y, height), facecolors=colour, edgecolors="black")
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", size=13)


WAITING: dict[str, Any] = {"color": ORANGE, "height": 0.55, "label": "waits to be accepted"}
SILENT: dict[str, Any] = {
    "facecolor": PALE_BLUE,
    "edgecolor": "black",
    "hatch": "///",
    "height": 0.35,
    "label": "accepted; says nothing",
}
SERVED: dict[str, Any] = {"color": BLUE, "height": 0.8, "label": "is served"}


def draw_visits(ax: Axes, visits: Visits) -> None:
    """Draw a row for each client: how long it waited, said nothing, and was served."""
    for row, each in enumerate(visits):
        if each.accepted is None or each.sent is None or each.answered is None:
            continue
        heard = max(each.accepted, each.sent)
        _bar(ax, row, 0, each.accepted, WAITING)
        _bar(ax, row, each.accepted, heard, SILENT)
        _bar(ax, row, heard, each.answered, SERVED)
    _rows(ax, [each.name for each in visits])


def draw_schedule(ax: Axes, services_ms: Sequence[float], threads: int = 1) -> None:
    """Draw the computed schedule of clients that come at once, in milliseconds."""
    waits = waits_of(services_ms, threads)
    for row, (wait, service) in enumerate(zip(waits, services_ms, strict=True)):
        if wait:
            ax.barh(row, wait, **WAITING)
        ax.barh(row, service, left=wait, **SERVED)
    _rows(ax, [f"client {n}" for n in range(1, len(services_ms) + 1)])
    end = max(map(sum, zip(waits, services_ms, strict=True)))
    throughput = 1000 * len(services_ms) / end
    ax.set_title(f"last answer after {end:g} ms; {throughput:.1f} answers a second", size=13)


def _bar(ax: Axes, row: int, start: float, end: float, style: Mapping[str, Any]) -> None:
    if end - start > 0.005:  # shorter ones would only be a line
        ax.barh(row, (end - start) * 1000, left=start * 1000, **style)


def _rows(ax: Axes, names: Sequence[str]) -> None:
    """Label the rows of `ax`, the first on top, and say what the bars mean."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.set_xlabel("ms", size=13)
    ax.tick_params(labelsize=13)
    handles, labels = ax.get_legend_handles_labels()
    by_label: dict[str, Any] = dict(zip(labels, handles, strict=True))
    order = [each["label"] for each in (WAITING, SILENT, SERVED) if each["label"] in by_label]
    ax.figure.legend(
        [by_label[label] for label in order],
        order,
        loc="outside upper center",
        ncols=3,
        fontsize=13,
    )
