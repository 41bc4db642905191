"""Drawing: the timeline with matplotlib; loaded only when a figure is drawn.

The rule kept here: what stays (rows, names, legend) is drawn once, what depends on the window
(bars, hatches, the queue's curve) anew whenever the window changes. No text is ever parsed as
mathematics: names come from programs and clients.

From top to bottom: the run queue's length, the scheduler (a bar where it polls), the fibers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba_array
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch
from matplotlib.transforms import ScaledTranslation

from ..diagnosis.evidence import long_steps_shown
from ..spans.numbers import Request, requests
from ..spans.spans import Life, Spans, Unwatched, readable
from ..states import DONE, READY, RUNNING, STATES, UNKNOWN, UNTIL_POLLED
from ..trace.events import EV, FID, MARK, WAKE, Row, T
from ..trace.packed import Table
from .canvas import Canvas
from .marks import Key, Pixels, bars, broaden, solid, style
from .page import GAP, PAD, SWATCH, WIDTH, columns_that_fit, cut, width_of
from .palette import (
    HATCHED_FROM,
    HIDDEN,
    LOOKS,
    MARKED,
    MERGED,
    MOST_BARS,
    MOST_HATCHED,
    MOST_LABELS,
    MOST_TRIED,
    PLAIN,
    POLLING,
    PRINTED,
    STALL_WIDTH,
    STALLED,
    UNBLAMED,
    UNWATCHED,
    Look,
)
from .window import (
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

ROW, MOST_HIGH = 0.27, 12.6  # inches; the rows of more fibers than 43 get narrower
BELOW, LINE = 4.4, 1.8  # from the rows to the legend, and a line of it, in heights of letters

SCHEDULER, SHARES, WHOLE = "scheduler", "run / ready / wait", "100 / 100 / 100 %"

OVER_BARS = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}

Entry = tuple[Any, str]  # what stands in the legend, and its words

MOST_SIGNS = 300
MOST_ARROWS = 40  # more tell nothing; then one fiber is asked for
MOST_OF_ONE = 200


class Drawing:
    """A timeline on an Axes; it draws itself anew when the Axes shows another part of time.

    begin, end: what is shown at first, ns. stalled, unwatched: as for `plot_timeline`. order:
    the rows, as for Canvas; labels: their names. highlight: the id of the fiber whose wakes are
    drawn; None: those of all, if they are few.
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
        shares: bool = False,
    ) -> None:
        self.spans, self.highlight = spans, highlight
        self.canvas = Canvas(spans, ax, begin, end, order)
        self.ax = self.canvas.ax
        held, unblamed = long_steps_shown(spans, stalled if spans.in_turns else None)
        self.stalls = {step: cut(text, 60) for step, text in held.items()}
        self.unblamed = unblamed
        waits, steps = under_long_steps(Columns.of(spans), unwatched)
        self.unwatched = spans.unwatched(among=waits, steps=steps)
        self.entries = self._entries()
        self.margins = self._margins(labels, shares) if ax is None else None
        self.columns = self._columns(labels)
        self._lay_out(1)
        self._frame(begin, end)
        self._name_rows(labels)
        self._legend()
        self._label_time("")
        # The layout decides how wide a pixel is, and so where labels have room.
        figure: Any = self.ax.figure.figure  # the whole one, of a part of it too
        engine = figure.get_layout_engine()
        if engine is not None:
            engine.execute(figure)
            self._name_rows(labels)
        if shares:
            self._shares()
        self.paint()
        self.ax.callbacks.connect("xlim_changed", lambda _: self.paint())

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
            _draw_bars(canvas, wide.row[mine] + 1.0, wide.start[mine], wide.end[mine], look, window)
        _draw_merged(canvas, narrow, window)
        _draw_polls(canvas, window)
        _draw_unwatched(canvas, self.unwatched, window)
        _draw_hidden(canvas, window)
        _draw_stalls(canvas, self.stalls, window)
        _draw_stalls(canvas, self.unblamed, window, UNBLAMED)
        _draw_queue(canvas, window)
        signs, wakes = (
            _draw_marks(canvas, window),
            _draw_arrows(canvas, self.highlight, window),
        )
        notes = [
            f"{len(narrow.row):,} spans narrower than a pixel are merged"
            if len(narrow.row)
            else "",
            f"{signs:,} marks are left out" if signs > MOST_SIGNS else "",
            f"{wakes:,} wakes are left out" if self.highlight and wakes > MOST_OF_ONE else "",
        ]
        self._label_time("; ".join(filter(None, notes)))

    # -- What stays -----------------------------------------------------------

    def _margins(self, labels: Sequence[str], shares: bool) -> tuple[float, float]:
        """Return how many inches a figure of its own needs at the left and at the right."""
        size = self.canvas.letters
        left = width_of([*labels, SCHEDULER, _at_most(self.spans)], size) + 0.2
        return left, width_of([SHARES, WHOLE], size) + 0.2 if shares else 0.3

    def _columns(self, labels: Sequence[str]) -> int:
        """Return how many columns of the legend have room beside each other."""
        words, size = [label for _, label in self.entries], self.canvas.letters
        if self.margins is not None:  # it begins at the left of the names
            return columns_that_fit(words, size, WIDTH - 0.2)
        # A layout engine will make room for the names.
        width = float(self.ax.figure.figure.get_figwidth()) - width_of(labels, size) - 0.4
        return columns_that_fit(words, size, min(width, self._width()))

    def _lay_out(self, lines: int) -> None:
        """Make a figure of its own as large as its texts need; lines: below the time axis.

        A layout engine of matplotlib's would draw everything once more, to measure it.
        """
        if self.margins is None:
            return
        canvas, (left, right) = self.canvas, self.margins
        rows = max(1.4, min(MOST_HIGH, ROW * (canvas.rows + 3 * canvas.top)))
        lines += math.ceil(len(self.entries) / self.columns)
        below = (BELOW + LINE * (lines - 1)) * canvas.letters / 72 + 0.1
        height = 0.1 + rows + below
        figure: Any = canvas.ax.figure
        figure.set_size_inches(WIDTH, height)
        canvas.ax.set_position(
            (left / WIDTH, below / height, (WIDTH - left - right) / WIDTH, rows / height)
        )

    def _frame(self, begin: int, end: int) -> None:
        ax, size = self.ax, self.canvas.letters
        ax.set_xlim(begin / self.canvas.scale, end / self.canvas.scale)
        ax.set_ylim(self.canvas.rows + 0.5, 0.5 - 3 * self.canvas.top)
        ax.ticklabel_format(axis="x", style="plain", useOffset=False)
        ax.tick_params(labelsize=size, left=False)
        ax.spines[["top", "left", "right"]].set_visible(False)
        ax.set_axisbelow(True)
        ax.grid(axis="x", color="#E4E4E4", linewidth=0.6)
        self._births_and_deaths(begin)

    def _name_rows(self, labels: Sequence[str]) -> None:
        """Write beside the rows what they are, as many as have room."""
        canvas, top = self.canvas, self.canvas.top
        every = max(1, math.ceil(1.2 * canvas.points(canvas.letters) / canvas.row_height()))
        self.named = range(0, canvas.rows, every)
        places = [0.5 - 2.5 * top, 0.5 - top / 2, *(row + 1 for row in self.named)]
        scheduler = SCHEDULER if every <= top else ""
        self.ax.set_yticks(places, ["run queue", scheduler, *labels[::every]], **PLAIN)

    def _shares(self) -> None:
        """Write at the right of each row which shares of its life it ran, was ready and waited."""
        totals = totals_by_row(self.canvas.columns, self.canvas.rows)
        to_right = self.ax.get_yaxis_transform()
        look: dict[str, Any] = {"transform": to_right, "fontsize": self.canvas.letters}
        look["va"] = "center"
        self.ax.text(1.01, 0.5 - self.canvas.top / 2, SHARES, color="#555555", **look)
        for row in self.named:
            whole = totals[row].sum()
            if whole:
                states = (RUNNING, READY, UNKNOWN)
                run, ready, unknown = (100 * totals[row][state] / whole for state in states)
                parts = (run, ready, max(0.0, 100 - run - ready - unknown))  # not -0: it is rounded
                text = " / ".join(f"{part:3.0f}".replace(" ", "\u2007") for part in parts)
                self.ax.text(1.01, row + 1, f"{text} %", **look)

    def _label_time(self, note: str) -> None:
        """Write what the axis counts in, and what is not to be seen; in lines that fit."""
        size = self.canvas.letters
        text = f"time ({self.canvas.unit})" + (f"    ({note})" if note else "")
        most = max(10, int(self._width() / (0.58 * size / 72)))
        lines = wrap(text, most, break_long_words=False)
        self.ax.set_xlabel("\n".join(lines), fontsize=size)
        self._lay_out(len(lines))
        below = -(BELOW + LINE * (len(lines) - 1)) * size / 72
        left = 0.1 - self.margins[0] if self.margins else 0.0
        place = ScaledTranslation(left, below, self.ax.figure.dpi_scale_trans)
        self.legend.set_bbox_to_anchor((0, 0), self.ax.transAxes + place)

    def _width(self) -> float:
        """Return how many inches the Axes is wide."""
        return float(self.ax.get_window_extent().width) / self.ax.figure.dpi

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

    def _entries(self) -> list[Entry]:
        """Return what the legend has to explain, each with its words."""
        whole = totals_by_row(self.canvas.columns, self.canvas.rows).sum(axis=0)
        life = int(whole.sum())
        entries: list[Entry] = []
        for state, look in LOOKS.items():
            if whole[state]:
                total = readable(int(whole[state]))
                label = f"{STATES[state].value}: {total}, {100 * whole[state] / life:.0f} %"
                entries.append((Key((look,)), label))
        wait = LOOKS[max(UNTIL_POLLED, key=lambda state: whole[state])]
        run, spans = LOOKS[RUNNING], self.spans
        found = [
            ((wait, UNWATCHED), "waits unwatched", sum(e.end - e.start for e in self.unwatched)),
            ((HIDDEN,), "data was there", int(_columns_of(spans.hidden)[1].sum())),
            ((run, STALLED), "held the loop", self._together(self.stalls)),
            ((run, UNBLAMED), "long, cause unknown", self._together(self.unblamed)),
            ((POLLING,), "scheduler polls", int(np.diff(_columns_of(spans.polls), axis=0).sum())),
        ]
        entries += [(Key(over), f"{word}: {readable(time)}") for over, word, time in found if time]
        return entries + _signs_in_legend(spans)

    def _together(self, steps: Iterable[int]) -> int:
        return sum(self.spans.end[step] - self.spans.start[step] for step in steps)

    def _legend(self) -> None:
        """Explain what is drawn, below the time axis."""
        self.legend = self.ax.legend(
            [handle for handle, _ in self.entries],
            [label for _, label in self.entries],
            handler_map={Key: Key},
            loc="upper left",
            borderaxespad=0,
            borderpad=0,
            ncols=self.columns,
            columnspacing=GAP,
            fontsize=self.canvas.letters,
            frameon=False,
            handleheight=1.3,
            handlelength=SWATCH,
            handletextpad=PAD,
        )
        self.legend.set_zorder(10)


def _at_most(spans: Spans) -> str:
    """Say how long the run queue was at most; nothing if it was never used."""
    lengths = np.asarray(spans.depth[1])
    return f"at most {lengths.max():,}" if len(lengths) else ""


# -- What the fibers and the scheduler did ---------------------------------------------
# Nothing is left out because it was short: what is narrower than a pixel shares one.


def _draw_bars(
    canvas: Canvas,
    y: Numbers,
    start: Numbers,
    end: Numbers,
    look: Look,
    window: Window,
    z: float = 2,
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
    for mine, hatch in ((hatched, True), (~hatched, False)):
        if not mine.any():
            continue
        left, right = start[mine] / canvas.scale, end[mine] / canvas.scale
        edges = {"antialiased": False} if look.colour != "none" else {}
        drawn = bars(y[mine], left, right, height, **style(look, hatch), **edges)
        canvas.add_collection(broaden(drawn, look), z, many=len(left) > 2000)


def _draw_merged(canvas: Canvas, narrow: Columns, window: Window) -> None:
    """Draw the spans narrower than a pixel: one picture over all rows."""
    if not len(narrow.row):
        return
    # More rows than pixels: neighbours share one.
    fold = max(1, math.ceil(0.7 / window.row_height))
    rows = math.ceil(canvas.rows / fold)
    time = shares(narrow._replace(row=narrow.row // fold), window, rows)
    high = int(min(20, max(1, window.row_height * fold)))
    levels = max(1, round(MERGED * high))
    row, place, states = stacks(time, levels)
    colours = (to_rgba_array([solid(LOOKS[code]) for code in range(DONE)]) * 255).astype("u1")
    picture = np.zeros((rows * high, window.width, 4), np.uint8)
    bottom = row * high + (high + levels) // 2 - 1
    for level in range(levels):
        picture[bottom - level, place] = colours[states[:, level]]
    left, right = window.begin / canvas.scale, window.end / canvas.scale
    image = Pixels(picture, left, right, 0.5, rows * fold + 0.5)
    image.set_zorder(3)
    canvas.add(canvas.ax.add_artist(image))


def _draw_polls(canvas: Canvas, window: Window) -> None:
    """Draw where the scheduler polls, in its own row."""
    starts, ends = _columns_of(canvas.spans.polls)
    seen = (ends > window.begin) & (starts < window.end)
    times = np.stack([starts[seen], ends[seen]], axis=1)
    # Neighbours with less than a pixel between them are one bar.
    gap = np.nonzero(times[1:, 0] - times[:-1, 1] >= window.pixel)[0]
    starts = times[np.concatenate([[0], gap + 1]), 0] if len(times) else times[:, 0]
    ends = times[np.concatenate([gap, [len(times) - 1]]), 1] if len(times) else times[:, 1]
    y = np.full(len(starts), 0.5 - canvas.top / 2)
    look = POLLING._replace(height=POLLING.height * canvas.top)
    _draw_bars(canvas, y, starts, ends, look, window)


def _columns_of(table: Table[Any]) -> Numbers:
    """Return the first two columns of numbers of `table`."""
    table.pack()
    return np.array([list(column) for column in table.columns[:2]], np.int64)


def _draw_unwatched(canvas: Canvas, parts: list[Unwatched], window: Window) -> None:
    """Hatch the waits during which the loop did not look."""
    for state in UNTIL_POLLED:
        mine = [
            (float(canvas.y_of(each.fiber)), each.start, each.end)
            for each in parts
            if each.state is STATES[state]
            and each.end > window.begin
            and each.start < window.end
            and each.end - each.start >= window.pixel
            and canvas.y_of(each.fiber) > 0
        ]
        if mine:
            y, start, end = np.array(mine).T
            _draw_bars(canvas, y, start, end, UNWATCHED, window, z=2.5)


def _draw_hidden(canvas: Canvas, window: Window) -> None:
    """Fill the part of each wait in which its data was there already, where that was measured."""
    spans = canvas.spans
    waits, length = _columns_of(spans.hidden)
    end = np.asarray(spans.end)[waits]
    y, start = canvas.places[np.asarray(spans.row)[waits]], end - length
    seen = (y > 0) & (start < window.end) & (end > window.begin) & (length >= window.pixel)
    _draw_bars(canvas, y[seen].astype(float), start[seen], end[seen], HIDDEN, window, z=2.7)


# -- What lies over the bars -----------------------------------------------------------
# A step that held the loop is always seen, however narrow; all else gives way.


def _draw_stalls(
    canvas: Canvas, labels: dict[int, str], window: Window, look: Look = STALLED
) -> None:
    """Mark long steps, at least STALL_WIDTH wide, and name the worst; look: held, or unblamed."""
    spans = canvas.spans
    seen = [i for i in labels if spans.end[i] > window.begin and spans.start[i] < window.end]
    seen = [i for i in seen if canvas.y(i) > 0]
    if not seen:
        return
    y = np.array([float(canvas.y(i)) for i in seen])
    start = np.array([spans.start[i] for i in seen], float)
    end = np.array([spans.end[i] for i in seen], float)
    short = np.maximum(0, STALL_WIDTH * window.pixel - (end - start)) / 2
    start, end = start - short, end + short
    marked = bars(y, start / canvas.scale, end / canvas.scale, look.height, **style(look))
    canvas.add_collection(marked, 4)
    seen.sort(key=lambda i: spans.start[i] - spans.end[i])
    named = 0
    for i in seen[:MOST_TRIED]:
        named += named < MOST_LABELS and _label(canvas, i, labels[i], window, look.edge)


def _label(canvas: Canvas, i: int, text: str, window: Window, colour: str) -> bool:
    """Write beside the step at `i` where it was held; return whether there was room."""
    spans, size = canvas.spans, canvas.points(canvas.letters)
    most = max(8, int((window.end - window.begin) / (0.68 * size * window.pixel)))
    text = text if len(text) <= most else "..." + text[3 - most :]
    width = canvas.length([text], "bold") * window.pixel
    start, end = max(spans.start[i], window.begin), min(spans.end[i], window.end)
    left = _place_beside(start, end, width, 8 * window.pixel, window)
    half = 0.75 * size / window.row_height  # of a line, in rows
    y = max(0.5 + half, min(canvas.y(i), canvas.rows + 0.5 - half))
    if 2 * half > canvas.rows or not canvas.claim(left, left + width, y - half, y + half):
        return False
    label = canvas.ax.text(
        left / canvas.scale, y, text, color=colour, fontsize=canvas.letters, fontweight="bold",
        va="center", zorder=7, bbox=OVER_BARS, clip_on=True, **PLAIN,
    )  # fmt: skip
    label.set_in_layout(False)
    canvas.add(label)
    return True


def _place_beside(start: float, end: float, width: float, gap: float, window: Window) -> float:
    """Return where a label begins: on the bar from `start`, behind it, before it, or over it."""
    if width <= end - start - 2 * gap:
        return start + gap
    if end + gap + width <= window.end:
        return end + gap
    if start - gap - width >= window.begin:
        return start - gap - width
    return max(window.begin, min(start, window.end - width))


def _draw_queue(canvas: Canvas, window: Window) -> None:
    """Draw the run queue's length as an area above the rows."""
    times, lengths = (np.asarray(column) for column in canvas.spans.depth)
    if not len(times):
        return
    most = max(1, int(lengths.max()))
    base, height = 0.5 - 1.4 * canvas.top, 1.5 * canvas.top
    x, values = highest(times, lengths, window)
    curve = base - height * values / most
    area = canvas.ax.fill_between(
        x / canvas.scale, base, curve, step="post", color=LOOKS[READY].colour, linewidth=0
    )
    canvas.add(area)
    size = canvas.letters
    if 1.5 * window.row_height * canvas.top > 2.4 * canvas.points(size):
        at, align, box = (0.0, 0.5 - 1.8 * canvas.top), "right", None
    else:  # two lines have no room beside the curve
        at, align, box = (0.0, base - height / 2), "left", OVER_BARS
    text = canvas.ax.annotate(
        _at_most(canvas.spans), at, (-7 if align == "right" else 7, 0), fontsize=size, ha=align,
        va="center", color="#555555", bbox=box, xycoords=canvas.ax.get_yaxis_transform(),
        textcoords="offset points",
    )  # fmt: skip
    canvas.add(text)


# -- Marks, output and wakes --------------------------------------------------


def _draw_marks(canvas: Canvas, window: Window) -> int:
    """Draw requests as brackets over the row they began on, notes and output as signs.

    Returns how many there are in the window; more than MOST_SIGNS are not drawn.
    """
    spans = canvas.spans
    brackets = [
        each
        for each in requests(spans)
        if each.start < window.end and (each.end is None or each.end > window.begin)
    ]
    notes = _moments(
        canvas, window, lambda row: row[EV] == "mark" and row[MARK.PH] not in ("b", "e")
    )
    lines = _moments(canvas, window, lambda row: row[EV] == "output")
    count = len(brackets) + len(notes) + len(lines)
    if count > MOST_SIGNS:
        return count
    for moments, sign, colour in ((notes, "D", MARKED), (lines, "v", PRINTED)):
        if moments:
            x, y = zip(*moments, strict=True)
            canvas.add(canvas.ax.plot(x, y, sign, color=colour, markersize=4.5, zorder=8)[0])
    _draw_requests(canvas, brackets, window)
    return count


def _signs_in_legend(spans: Spans) -> list[Entry]:
    """Return what the legend says of the signs, and how many of each there are."""
    events = [row[MARK.PH] for row in spans.annotations() if row[EV] == "mark"]
    lines = len(spans.annotations()) - len(events)
    begun = events.count("b")
    notes = len(events) - begun - events.count("e")
    kinds = (("|", MARKED, "requests", begun), ("D", MARKED, "notes", notes),
             ("v", PRINTED, "lines printed", lines))  # fmt: skip
    return [
        (Line2D([], [], color=colour, marker=sign, markersize=5,
                linestyle="-" if sign == "|" else ""), f"{words}: {count:,}")
        for sign, colour, words, count in kinds
        if count
    ]  # fmt: skip


def _moments(
    canvas: Canvas, window: Window, wanted: Callable[[Row], bool]
) -> list[tuple[float, float]]:
    """Return where on the Axes the signs of some events are: above the fiber's bar."""
    origin = canvas.spans.origin
    return [
        ((row[T] - origin) / canvas.scale, canvas.y_of(row[FID]) - 0.44)
        for row in canvas.spans.annotations()
        if wanted(row) and window.begin <= row[T] - origin < window.end and canvas.y_of(row[FID])
    ]


def _draw_requests(canvas: Canvas, among: Iterable[Request], window: Window) -> None:
    """Draw a bracket for each request, with its name where that has room."""
    x: list[float] = []
    y: list[float] = []
    high = canvas.points(1.5 * canvas.letters) / window.row_height  # of a line, in rows
    for each in among:
        row = canvas.y_of(each.fiber) - 0.45
        if row < 0:
            continue
        start = max(each.start, window.begin)
        end = window.end if each.end is None else min(each.end, window.end)
        x += [start / canvas.scale, end / canvas.scale, math.nan]
        y += [row, row, math.nan]
        name = cut(each.name)
        width = canvas.length([name]) * window.pixel if high <= 1 else math.inf
        if width <= end - start and canvas.claim(start, start + width, row, row + high):
            label = canvas.ax.text(
                start / canvas.scale, row, name, color=MARKED, fontsize=canvas.letters, va="top",
                zorder=7, bbox=OVER_BARS, **PLAIN,
            )  # fmt: skip
            label.set_in_layout(False)
            canvas.add(label)
    look: dict[str, Any] = {"color": MARKED, "linewidth": 1.4, "markersize": 6, "zorder": 5}
    if x:
        canvas.add(canvas.ax.plot(x, y, "|-", **look)[0])


def _draw_arrows(canvas: Canvas, highlight: int | None, window: Window) -> int:
    """Draw the wakes: all if they are few, else those of one fiber, from waker to woken.

    Returns how many there are in the window.
    """
    spans, wanted = canvas.spans, []
    # Which fiber spawned which is seen from the rows.
    handed = (spans.rows[number] for number in spans.handed)
    for row in handed if highlight is None else spans.rows:
        if row[EV] != "wake":
            continue
        fiber, by, t = row[FID], row[WAKE.BY], row[T] - spans.origin
        if by == fiber or row[WAKE.WHY] == "cancel":
            continue
        among = highlight is None or highlight in (fiber, by)
        if among and window.begin <= t < window.end and canvas.y_of(fiber):
            wanted.append((t / canvas.scale, by, fiber))
    if len(wanted) > (MOST_ARROWS if highlight is None else MOST_OF_ONE):
        return len(wanted)
    for x, by, fiber in wanted:
        arrow = FancyArrowPatch(
            (x, canvas.y_of(by) if by else 0.5 - canvas.top / 2), (x, canvas.y_of(fiber)),
            arrowstyle="-|>", mutation_scale=9, connectionstyle="arc3,rad=0.15", linewidth=0.9,
            color="black", shrinkA=0, shrinkB=2, zorder=6,
        )  # fmt: skip
        canvas.add(canvas.ax.add_patch(arrow))
    return len(wanted)
