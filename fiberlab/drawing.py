"""Drawing: the timeline with matplotlib; loaded only when a figure is drawn.

The rule kept here: what stays (rows, names, legend) is drawn once, what depends on the window
(bars, hatches, the queue's curve) anew whenever the window changes. No text is ever parsed as
mathematics: names come from programs and clients.

From top to bottom: the run queue's length, the scheduler (a bar where it polls), the fibers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgba_array
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from .columns import DONE, PARKED, READY, RECV, RUNNING, SEND, SLEEP, STATES, Spans, readable
from .pixels import (
    Columns,
    Numbers,
    Window,
    highest,
    in_window,
    shares,
    split,
    stacks,
    totals_by_row,
    under_long_steps,
)
from .trace import printable


class Look(NamedTuple):
    """How a state is told from the others: colour, height of its bar, hatch and its colour."""

    colour: str
    height: float
    hatch: str = ""
    edge: str = "none"


LOOKS: dict[int, Look] = {
    RUNNING: Look("#1B4F8A", 0.80),
    READY: Look("#E69F00", 0.55),
    RECV: Look("#8CCBF0", 0.35, "///", "#3F86B5"),
    SEND: Look("#3FA98C", 0.35, "\\\\\\", "#17604C"),
    SLEEP: Look("#D9D9D9", 0.15, "...", "#8C8C8C"),
    PARKED: Look("none", 0.15, "", "#707070"),
}
STALLED = Look("none", 0.90, "xx", "#A50026")
UNWATCHED = Look("none", 0.35, "\\\\\\\\", "#E69F00")
POLLING = Look("#C4C4C4", 0.45)
MERGED = 0.80  # the height of pixels that hold several spans

FONT = 10
HATCHED_FROM = 12  # pixels; hatching narrower bars costs much and shows nothing
MOST_HATCHED = 600
MOST_BARS = 10_000  # more are merged, narrowest first
MOST_LABELS = 12
STALL_WIDTH = 3  # pixels, at least
NAME_LENGTH = 24
PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}


class Drawing:
    """A timeline on an Axes; it draws itself anew when the Axes shows another part of time.

    begin, end: what is shown at first, ns. stalled, unwatched: as for `plot_timeline`.
    """

    def __init__(
        self,
        spans: Spans,
        ax: Axes | None,
        begin: int,
        end: int,
        stalled: float,
        unwatched: float,
    ) -> None:
        self.spans = spans
        self.columns = Columns.of(spans)
        self.rows = len(spans.lives)
        self.top = max(1.0, self.rows / 40)  # the height of the scheduler's row, in rows
        self.unit, self.scale = ("s", 1e9) if end - begin >= 2e9 else ("ms", 1e6)
        self.ax = _own_axes(self.rows) if ax is None else ax
        self.stalls = self._find_stalls(stalled)
        waits, steps = under_long_steps(self.columns, unwatched)
        self.unwatched = spans.unwatched(unwatched, among=waits, steps=steps)
        self._passing: list[Any] = []
        self._frame(begin, end)
        self._legend()
        # The layout decides how wide a pixel is, and so where labels have room.
        figure: Any = self.ax.figure.figure  # the whole one, of a part of it too
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        self.paint()
        self.ax.callbacks.connect("xlim_changed", lambda _: self.paint())

    def _find_stalls(self, stalled: float) -> dict[int, str]:
        """Return the steps to mark, by index, each with the words that stand beside it."""
        running = self.columns.state == RUNNING
        long = running & (self.columns.end - self.columns.start >= stalled * 1e9)
        found = {}
        for i in np.nonzero(long)[0].tolist():
            found[i] = readable(self.spans.end[i] - self.spans.start[i])
        for stall in self.spans.stalls:
            took = readable(self.spans.end[stall.step] - self.spans.start[stall.step])
            found[stall.step] = f"{cut(stall.src or '', 40)}  {took}".strip()
        return found

    # -- What stays -----------------------------------------------------------

    def _frame(self, begin: int, end: int) -> None:
        ax, top = self.ax, self.top
        ax.set_xlim(begin / self.scale, end / self.scale)
        ax.set_ylim(self.rows + 0.5, 0.5 - 3 * top)
        ax.ticklabel_format(axis="x", style="plain", useOffset=False)
        ax.tick_params(labelsize=FONT, left=False)
        ax.spines[["top", "left", "right"]].set_visible(False)
        ax.set_axisbelow(True)
        ax.grid(axis="x", color="#E4E4E4", linewidth=0.6)
        every = max(1, math.ceil(1.2 * FONT * ax.figure.dpi / 72 / self._row_height()))
        shown = range(0, self.rows, every)
        names = [f"#{life.id} {cut(life.name)}" for life in self.spans.lives[::every]]
        places = [0.5 - 2.4 * top, 0.5 - top / 2, *(row + 1 for row in shown)]
        ax.set_yticks(places, ["run queue", "scheduler", *names], **PLAIN)
        self._percentages(shown)
        self._births_and_deaths(begin)

    def _percentages(self, shown: range) -> None:
        totals = totals_by_row(self.columns, self.rows)
        to_right = self.ax.get_yaxis_transform()
        look: dict[str, Any] = {"transform": to_right, "fontsize": FONT, "va": "center"}
        self.ax.text(1.01, 0.5 - self.top / 2, "run / ready / wait", color="#555555", **look)
        for row in shown:
            whole = totals[row].sum()
            if whole:
                run, ready = (100 * totals[row][state] / whole for state in (RUNNING, READY))
                parts = (run, ready, 100 - run - ready)
                text = " / ".join(f"{part:3.0f}".replace(" ", "\u2007") for part in parts)
                self.ax.text(1.01, row + 1, f"{text} %", **look)

    def _births_and_deaths(self, begin: int) -> None:
        lives = self.spans.lives
        before, ticks, failed = [], [], []
        for row, life in enumerate(lives, start=1):
            if life.born is not None:
                born = life.born / self.scale
                before.append([(begin / self.scale, row), (born, row)])
                ticks.append([(born, row - 0.45), (born, row + 0.45)])
            if life.died is not None:
                died = life.died / self.scale
                ticks.append([(died, row - 0.45), (died, row + 0.45)])
                if life.how == "error":
                    failed.append((died, row))
        self.ax.add_collection(LineCollection(before, colors="#BBBBBB", linewidths=0.5), False)
        self.ax.add_collection(LineCollection(ticks, colors="#555555", linewidths=0.9), False)
        if failed:
            x, y = zip(*failed, strict=True)
            self.ax.plot(x, y, "X", color=STALLED.edge, markersize=7, zorder=8)

    def _legend(self) -> None:
        whole = totals_by_row(self.columns, self.rows).sum(axis=0)
        life = int(whole.sum())
        entries = []
        for state, look in LOOKS.items():
            if whole[state]:
                total = readable(int(whole[state]))
                label = f"{STATES[state].value}: {total}, {100 * whole[state] / life:.0f} %"
                entries.append(_swatch(look, label))
        hidden = sum(each.end - each.start for each in self.unwatched)
        if hidden:
            entries.append(_swatch(UNWATCHED, f"waits unwatched: {readable(hidden)}"))
        if self.stalls:
            held = sum(self.spans.end[i] - self.spans.start[i] for i in self.stalls)
            entries.append(_swatch(STALLED, f"held the loop: {readable(held)}"))
        idle = sum(poll.end - poll.start for poll in self.spans.polls)
        if idle:
            entries.append(_swatch(POLLING, f"scheduler polls: {readable(idle)}"))
        width = self.ax.get_window_extent().width / self.ax.figure.dpi
        below = ScaledTranslation(0, -0.62, self.ax.figure.dpi_scale_trans)  # inches
        legend = self.ax.legend(
            handles=entries,
            loc="upper left",
            bbox_to_anchor=(0, 0),
            bbox_transform=self.ax.transAxes + below,
            borderaxespad=0,
            ncols=max(1, int(width / 2.3)),
            fontsize=FONT,
            frameon=False,
            handleheight=1.3,
            handlelength=2.4,
        )
        legend.set_zorder(10)

    # -- What depends on the window -------------------------------------------

    def paint(self) -> None:
        """Draw what the Axes shows now, in place of what was drawn before."""
        for artist in self._passing:
            artist.remove()
        self._passing = []
        window = self._window()
        if window.end <= window.begin or not self.rows:
            return
        wide, narrow = split(in_window(self.columns, window), window, MOST_BARS)
        for state, look in LOOKS.items():
            mine = wide.state == state
            self._bars(wide.row[mine] + 1.0, wide.start[mine], wide.end[mine], look, window)
        self._merged(narrow, window)
        self._polls(window)
        self._unwatched(window)
        self._stalled(window)
        self._queue(window)
        note = f"    ({len(narrow.row):,} spans narrower than a pixel are merged)"
        self.ax.set_xlabel(
            f"time ({self.unit})" + (note if len(narrow.row) else ""), fontsize=FONT + 1
        )

    def _row_height(self) -> float:
        """Return how many pixels a row is high."""
        return float(self.ax.get_window_extent().height) / (self.rows + 3 * self.top)

    def _window(self) -> Window:
        left, right = sorted(self.ax.get_xlim())
        begin, end = math.floor(left * self.scale), math.ceil(right * self.scale)
        width = max(100, int(self.ax.get_window_extent().width))
        return Window(begin, end, width, self._row_height())

    def _bars(
        self, y: Numbers, start: Numbers, end: Numbers, look: Look, window: Window, z: float = 2
    ) -> None:
        """Draw bars, the widest of them with the look's hatch."""
        if not len(y):
            return
        length = end - start
        hatched = np.zeros(len(y), bool)
        if look.hatch and window.row_height * look.height >= 3:
            widest = np.argsort(length)[-MOST_HATCHED:]
            hatched[widest] = length[widest] >= HATCHED_FROM * window.pixel
        # A row of few pixels has no room for heights.
        height = look.height if window.row_height >= 6 else max(look.height, 0.8)
        for mine, hatch in ((hatched, look.hatch), (~hatched, "")):
            if not mine.any():
                continue
            colour = look.colour
            outline: dict[str, Any] = {"linewidths": 0.0, "antialiaseds": False}
            if colour == "none" and not look.hatch:
                outline = {"linewidths": 0.8, "linestyles": "dashed"}
            elif colour == "none" and not hatch:
                outline["alpha"], colour = 0.6, look.edge
            corners = _corners(y[mine], start[mine] / self.scale, end[mine] / self.scale, height)
            if hatch:
                outline["hatch"] = hatch
            bars = PolyCollection(corners, facecolors=colour, edgecolors=look.edge, **outline)
            if look is UNWATCHED and hasattr(bars, "set_hatch_linewidth"):
                bars.set_hatch_linewidth(1.8)
            self._add(bars, z, many=len(corners) > 2000)

    def _merged(self, narrow: Columns, window: Window) -> None:
        """Draw the spans narrower than a pixel: one picture over all rows."""
        if not len(narrow.row):
            return
        # More rows than pixels: neighbours share one.
        fold = max(1, math.ceil(0.7 / window.row_height))
        rows = math.ceil(self.rows / fold)
        time = shares(narrow._replace(row=narrow.row // fold), window, rows)
        high = int(min(20, max(1, window.row_height * fold)))
        levels = max(1, round(MERGED * high))
        row, place, states = stacks(time, levels)
        colours = (to_rgba_array([_solid(LOOKS[code]) for code in range(DONE)]) * 255).astype("u1")
        picture = np.zeros((rows * high, window.width, 4), np.uint8)
        bottom = row * high + (high + levels) // 2 - 1
        for level in range(levels):
            picture[bottom - level, place] = colours[states[:, level]]
        extent = (
            window.begin / self.scale, window.end / self.scale, rows * fold + 0.5, 0.5,
        )  # fmt: skip
        image = self.ax.imshow(
            picture, extent=extent, aspect="auto", interpolation="nearest", zorder=3,
            origin="upper", resample=False,
        )  # fmt: skip
        self._passing.append(image)

    def _polls(self, window: Window) -> None:
        times = np.array([poll[:2] for poll in self.spans.polls], np.int64).reshape(-1, 2)
        seen = (times[:, 1] > window.begin) & (times[:, 0] < window.end)
        times = times[seen]
        # Neighbours with less than a pixel between them are one bar.
        gap = np.nonzero(times[1:, 0] - times[:-1, 1] >= window.pixel)[0]
        starts = times[np.concatenate([[0], gap + 1]), 0] if len(times) else times[:, 0]
        ends = times[np.concatenate([gap, [len(times) - 1]]), 1] if len(times) else times[:, 1]
        y = np.full(len(starts), 0.5 - self.top / 2)
        look = POLLING._replace(height=POLLING.height * self.top)
        self._bars(y, starts, ends, look, window)

    def _unwatched(self, window: Window) -> None:
        row_of = self.spans.row_of
        for state in (RECV, SEND, SLEEP):
            mine = [
                (row_of[each.fiber] + 1.0, each.start, each.end)
                for each in self.unwatched
                if each.state is STATES[state]
                and each.end > window.begin
                and each.start < window.end
                and each.end - each.start >= window.pixel
            ]
            if mine:
                y, start, end = np.array(mine).T
                self._bars(y, start, end, UNWATCHED, window, z=2.5)

    def _stalled(self, window: Window) -> None:
        """Mark the steps that held the loop, at least STALL_WIDTH wide, and name the worst."""
        spans = self.spans
        seen = [
            i for i in self.stalls if spans.end[i] > window.begin and spans.start[i] < window.end
        ]
        if not seen:
            return
        y = np.array([spans.row[i] + 1.0 for i in seen])
        start = np.array([spans.start[i] for i in seen], float)
        end = np.array([spans.end[i] for i in seen], float)
        short = np.maximum(0, STALL_WIDTH * window.pixel - (end - start)) / 2
        start, end = start - short, end + short
        corners = _corners(y, start / self.scale, end / self.scale, STALLED.height)
        marks = PolyCollection(
            corners, facecolors="none", edgecolors=STALLED.edge, linewidths=1.2, hatch=STALLED.hatch
        )
        self._add(marks, 4)
        seen.sort(key=lambda i: spans.start[i] - spans.end[i])
        taken: list[tuple[float, float, float]] = []
        for i in seen:
            self._label(i, window, taken)

    def _label(self, i: int, window: Window, taken: list[tuple[float, float, float]]) -> None:
        """Write beside the step at `i` where it was held, if no label is in the way."""
        spans, text, y = self.spans, self.stalls[i], self.spans.row[i] + 1
        width = 0.62 * FONT * self.ax.figure.dpi / 72 * len(text) * window.pixel
        gap = 8 * window.pixel
        start, end = max(spans.start[i], window.begin), min(spans.end[i], window.end)
        left, align = start + gap, "left"
        if width > end - start - 2 * gap:  # no room on the bar: behind it, or before it
            left = end + gap
            if left + width > window.end and start - gap - width > window.begin:
                left, align = start - gap - width, "right"
        rows = 1.5 * FONT * self.ax.figure.dpi / 72 / window.row_height
        clash = (abs(y - row) < rows and left < b and left + width > a for a, b, row in taken)
        if len(taken) >= MOST_LABELS or any(clash):
            return
        taken.append((left, left + width, y))
        x = left if align == "left" else left + width
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}
        label = self.ax.text(
            x / self.scale, y, text, color=STALLED.edge, fontsize=FONT, fontweight="bold",
            ha=align, va="center", zorder=7, bbox=box, clip_on=True, **PLAIN,
        )  # fmt: skip
        label.set_in_layout(False)
        self._passing.append(label)

    def _queue(self, window: Window) -> None:
        """Draw the run queue's length as an area above the rows."""
        times, lengths = (np.asarray(column) for column in self.spans.depth)
        if not len(times):
            return
        most = max(1, int(lengths.max()))
        base, height = 0.5 - 1.4 * self.top, 1.5 * self.top
        x, values = highest(times, lengths, window)
        curve = base - height * values / most
        area = self.ax.fill_between(
            x / self.scale, base, curve, step="post", color=LOOKS[READY].colour, linewidth=0
        )
        self._passing.append(area)
        text = self.ax.text(
            1.01, base - height / 2, f"at most {most:,}", fontsize=FONT, va="center",
            transform=self.ax.get_yaxis_transform(), color="#555555",
        )  # fmt: skip
        self._passing.append(text)

    def _add(self, collection: PolyCollection, z: float, many: bool = False) -> None:
        collection.set_zorder(z)
        collection.set_rasterized(many)  # or a vector file would hold each bar
        self.ax.add_collection(collection, autolim=False)
        self._passing.append(collection)


def cut(name: str, most: int = NAME_LENGTH) -> str:
    """Return a name as it can be drawn: harmless, short, only with signs the font has."""
    line = printable(name[: most + 1]).replace("\t", " ")
    line = line if len(line) <= most else line[: most - 3] + "..."
    return "".join(c if ord(c) < 128 or _in_font(c) else "\u25a1" for c in line)


def _in_font(char: str) -> bool:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    families = FontProperties().get_family()
    return any(
        get_font(findfont(FontProperties(family=[family]))).get_char_index(ord(char))
        for family in families
    )


def _own_axes(rows: int) -> Axes:
    """Return the Axes of a figure of its own, as high as so many rows need."""
    height = min(14.0, max(3.2, 0.26 * (rows + 3) + 1.4))
    figure = plt.figure(figsize=(11, height), layout="constrained")
    return figure.add_subplot()


def _corners(y: Numbers, left: Numbers, right: Numbers, height: float) -> Any:
    """Return four corners for each bar."""
    low, high = y - height / 2, y + height / 2
    x = np.stack([left, right, right, left], axis=1)
    return np.stack([x, np.stack([low, low, high, high], axis=1)], axis=2)


def _solid(look: Look) -> str:
    return look.edge if look.colour == "none" else look.colour


def _swatch(look: Look, label: str) -> Patch:
    dashed = look.colour == "none" and not look.hatch
    return Patch(
        facecolor=look.colour, edgecolor=look.edge, hatch=look.hatch or None, label=label,
        linewidth=0.8 if look.colour == "none" else 0.0, linestyle="--" if dashed else "-",
    )  # fmt: skip
