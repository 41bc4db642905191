"""Drawing: the timeline with matplotlib; loaded only when a figure is drawn.

The rule kept here: what stays (rows, names, legend) is drawn once, what depends on the window
(bars, hatches, the queue's curve) anew whenever the window changes. No text is ever parsed as
mathematics: names come from programs and clients.

From top to bottom: the run queue's length, the scheduler (a bar where it polls), the fibers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.transforms import ScaledTranslation

from ..diagnosis.evidence import excuse
from ..diagnosis.limits import Limits
from ..figures import bars, overlays
from ..spans.spans import Life, Spans, readable
from ..states import READY, RUNNING, STATES
from .canvas import Canvas, cut, swatch
from .palette import ARRIVED, FONT, LOOKS, MOST_BARS, PLAIN, POLLING, STALLED, UNBLAMED, UNWATCHED
from .pixels import Columns, in_window, split, totals_by_row, under_long_steps


class Drawing:
    """A timeline on an Axes; it draws itself anew when the Axes shows another part of time.

    begin, end: what is shown at first, ns. stalled, unwatched: as for `plot_timeline`. order:
    the rows, as for Canvas; labels: their names. highlight: the id of the fiber whose wakes are
    drawn; None: everybody's, if they are few.
    """

    def __init__(
        self,
        spans: Spans,
        ax: Axes | None,
        begin: int,
        end: int,
        stalled: float | None,
        unwatched: float | None,
        *,
        order: Sequence[int | None],
        labels: Sequence[str],
        highlight: int | None = None,
    ) -> None:
        self.spans, self.highlight = spans, highlight
        self.canvas = Canvas(spans, ax, begin, end, order)
        self.ax = self.canvas.ax
        self.stalls, self.unblamed = self._find_stalls(stalled)
        waits, steps = under_long_steps(Columns.of(spans), unwatched)
        self.unwatched = spans.unwatched(among=waits, steps=steps)
        self._frame(begin, end, labels)
        self._legend()
        # The layout decides how wide a pixel is, and so where labels have room.
        figure: Any = self.ax.figure.figure  # the whole one, of a part of it too
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
        self.paint()
        self.ax.callbacks.connect("xlim_changed", lambda _: self.paint())

    def _find_stalls(self, stalled: float | None) -> tuple[dict[int, str], dict[int, str]]:
        """Return the steps that held the loop, and those as long for which nobody is to blame.

        By index, each with the words that stand beside it. The blame is `diagnose`'s.
        """
        spans = self.spans
        _, steps = under_long_steps(Columns.of(spans), stalled)
        took = {i: readable(spans.end[i] - spans.start[i]) for i in steps}
        for step in {stall.step for stall in spans.stalls}:
            length = readable(spans.end[step] - spans.start[step])
            took[step] = f"{cut(spans.held_at(step).text or '', 40)}  {length}".strip()
        limits = Limits() if stalled is None else Limits(step=stalled)
        held, unblamed = {}, {}
        for step, text in took.items():
            why = excuse(spans, step, limits)
            if why is None:
                held[step] = text
            else:
                length = readable(spans.end[step] - spans.start[step])
                unblamed[step] = f"{length}, {why}"
        return held, unblamed

    def paint(self) -> None:
        """Draw what the Axes shows now, in place of what was drawn before."""
        canvas = self.canvas
        canvas.clear()
        window = canvas.window()
        if window.end <= window.begin or not canvas.rows:
            return
        wide, narrow = split(in_window(canvas.columns, window), window, MOST_BARS)
        for state, look in LOOKS.items():
            mine = wide.state == state
            bars.bars(canvas, wide.row[mine] + 1.0, wide.start[mine], wide.end[mine], look, window)
        bars.merged(canvas, narrow, window)
        bars.polls(canvas, window)
        bars.unwatched(canvas, self.unwatched, window)
        bars.arrived(canvas, window)
        overlays.stalls(canvas, self.unblamed, window, UNBLAMED)
        overlays.stalls(canvas, self.stalls, window)
        overlays.queue(canvas, window)
        signs, wakes = (
            overlays.marks(canvas, window),
            overlays.arrows(canvas, self.highlight, window),
        )
        notes = [
            f"{len(narrow.row):,} spans narrower than a pixel are merged"
            if len(narrow.row)
            else "",
            f"{signs:,} marks are left out" if signs > overlays.MOST_SIGNS else "",
            f"{wakes:,} wakes are left out"
            if self.highlight and wakes > overlays.MOST_OF_ONE
            else "",
        ]
        note = "; ".join(filter(None, notes))
        text = f"time ({canvas.unit})" + (f"    ({note})" if note else "")
        self.ax.set_xlabel(text, fontsize=FONT + 1)

    # -- What stays -----------------------------------------------------------

    def _frame(self, begin: int, end: int, labels: Sequence[str]) -> None:
        canvas, ax, top = self.canvas, self.ax, self.canvas.top
        ax.set_xlim(begin / self.canvas.scale, end / self.canvas.scale)
        ax.set_ylim(self.canvas.rows + 0.5, 0.5 - 3 * top)
        ax.ticklabel_format(axis="x", style="plain", useOffset=False)
        ax.tick_params(labelsize=FONT, left=False)
        ax.spines[["top", "left", "right"]].set_visible(False)
        ax.set_axisbelow(True)
        ax.grid(axis="x", color="#E4E4E4", linewidth=0.6)
        every = max(1, math.ceil(1.2 * canvas.points(FONT) / canvas.row_height()))
        shown = range(0, self.canvas.rows, every)
        places = [0.5 - 2.4 * top, 0.5 - top / 2, *(row + 1 for row in shown)]
        ax.set_yticks(places, ["run queue", "scheduler", *labels[::every]], **PLAIN)
        self._percentages(shown)
        self._births_and_deaths(begin)

    def _percentages(self, shown: range) -> None:
        totals = totals_by_row(self.canvas.columns, self.canvas.rows)
        to_right = self.ax.get_yaxis_transform()
        look: dict[str, Any] = {"transform": to_right, "fontsize": FONT, "va": "center"}
        self.ax.text(1.01, 0.5 - self.canvas.top / 2, "run / ready / wait", color="#555555", **look)
        for row in shown:
            whole = totals[row].sum()
            if whole:
                run, ready = (100 * totals[row][state] / whole for state in (RUNNING, READY))
                parts = (run, ready, max(0.0, 100 - run - ready))  # not -0 for a rounded sum
                text = " / ".join(f"{part:3.0f}".replace(" ", "\u2007") for part in parts)
                self.ax.text(1.01, row + 1, f"{text} %", **look)

    def _births_and_deaths(self, begin: int) -> None:
        """Draw a thin line before each birth, and ticks at birth and death; a cross at a crash."""
        scale = self.canvas.scale
        before, ticks, failed = [], [], []
        for life, row in self._drawn():
            if life.born is not None:
                born = life.born / scale
                before.append([(begin / scale, row), (born, row)])
                ticks.append([(born, row - 0.45), (born, row + 0.45)])
            if life.died is not None:
                died = life.died / scale
                ticks.append([(died, row - 0.45), (died, row + 0.45)])
                if life.how == "error":
                    failed.append((died, row))
        self.ax.add_collection(LineCollection(before, colors="#BBBBBB", linewidths=0.5), False)
        self.ax.add_collection(LineCollection(ticks, colors="#555555", linewidths=0.9), False)
        if failed:
            x, y = zip(*failed, strict=True)
            self.ax.plot(x, y, "X", color=STALLED.edge, markersize=7, zorder=8)

    def _drawn(self) -> list[tuple[Life, int]]:
        places = enumerate(self.canvas.order, start=1)
        return [(self.spans.lives[row], place) for place, row in places if row is not None]

    def _legend(self) -> None:
        whole = totals_by_row(self.canvas.columns, self.canvas.rows).sum(axis=0)
        life = int(whole.sum())
        entries: list[Any] = []
        for state, look in LOOKS.items():
            if whole[state]:
                total = readable(int(whole[state]))
                label = f"{STATES[state].value}: {total}, {100 * whole[state] / life:.0f} %"
                entries.append(swatch(look, label))
        hidden = sum(each.end - each.start for each in self.unwatched)
        if hidden:
            entries.append(swatch(UNWATCHED, f"waits unwatched: {readable(hidden)}"))
        known = sum(length for _, length in self.spans.hidden)
        if known:
            entries.append(swatch(ARRIVED, f"data was there: {readable(known)}"))
        if self.stalls:
            held = sum(self.spans.end[i] - self.spans.start[i] for i in self.stalls)
            entries.append(swatch(STALLED, f"held the loop: {readable(held)}"))
        if self.unblamed:
            long = sum(self.spans.end[i] - self.spans.start[i] for i in self.unblamed)
            entries.append(swatch(UNBLAMED, f"long, cause unknown: {readable(long)}"))
        idle = sum(poll.end - poll.start for poll in self.spans.polls)
        if idle:
            entries.append(swatch(POLLING, f"scheduler polls: {readable(idle)}"))
        entries += overlays.signs_in_legend(self.spans)
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
