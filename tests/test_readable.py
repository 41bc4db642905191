"""Figures can be read: letters large enough, nothing cut, looks told apart by any eye."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.table import Table
from matplotlib.text import Text
from stories import MS, event

from fiberlab import (
    WAIT,
    explore,
    plot_bill,
    plot_comparison,
    plot_latency,
    plot_queue,
    plot_schedules,
    plot_starvation,
    plot_states,
    plot_steps,
    plot_timeline,
)
from fiberlab.figures.palette import BILLED, DARK, LOOKS, UNWATCHED
from fiberlab.states import STATES, UNTIL_POLLED
from fiberlab.trace.events import TraceEvent

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_windows")]

SHOWN = 584  # pixels: what JupyterLab leaves for a figure of a page of 1024, its side bar open
MARGIN = 0.1  # inches, that a notebook puts around a figure


def crowd(fibers: int, name: str = "echo") -> list[TraceEvent]:
    """Tell of fibers in every state of a server; one blocks while the others wait."""
    events = [event(0, "start", schema=1, clock="perf_counter")]
    for fid in range(1, fibers + 1):
        events.append(event(0, "spawn", fid, name=f"{name}-{fid}", by=fid > 1))
        events.append(event(0, "wake", fid, by=0, why="spawn", q=fid))
    waits = [{"op": "RECV", "fd": 5}, {"op": "SEND", "fd": 6}, {"op": "WAIT", "dt": 300 * MS}]
    for fid in range(1, fibers + 1):
        events.append(event(fid, "resume", fid, step=fid, q=0))
        events.append(event(fid + 0.5, "mark", fid, name=f"{name} {fid}", ph="b", id=fid))
        if fid < fibers:
            events.append(event(fid + 0.7, "yield", fid, src="a.py:3", **waits[fid % 3]))
    t, source = fibers + 100.0, "a_module_of_the_server_with_a_long_name.py:1234"
    events.append(event(t, "stall", fibers, src=source, func="time.sleep(1)", ran=99 * MS))
    events.append(event(t + 100, "yield", fibers, op="WAIT", src="a.py:3", cpu=1))
    events.append(event(t + 120, "poll", timeout=0, q=0, nfd=2, ntimer=0))
    events.append(event(t + 130, "polled", n=1))
    events.append(event(t + 130, "wake", 1, by=0, why="io", q=1, hidden=5 * MS))
    events += [
        event(t + 140, "mark", fid, name=f"{name} {fid}", ph="e", id=fid)
        for fid in range(1, fibers + 1)
    ]
    return [*events, event(t + 150, "stop", reason="stopped", dropped=0)]


def texts_of(figure: Any) -> list[Text]:
    """Draw a figure, and return all texts that are seen on it."""
    figure.canvas.draw()
    written = figure.findobj(Text)
    for table in figure.findobj(Table):
        written += [cell.get_text() for cell in table.get_celld().values()]
    hidden = {
        label
        for ax in figure.axes
        for axis, low, high in (
            (ax.xaxis, *sorted(ax.get_xlim())),
            (ax.yaxis, *sorted(ax.get_ylim())),
        )
        for tick in axis.get_major_ticks()
        if not (ax.axison and low <= tick.get_loc() <= high)
        for label in (tick.label1, tick.label2)
    }
    seen = (each for each in written if each.get_visible() and each.get_text())
    return [each for each in seen if each not in hidden]


def found_wrong(figure: Any, written: list[Text]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the texts that reach beyond the figure, and the pairs that overlap."""
    boxes = [each.get_window_extent() for each in written]
    page = figure.bbox
    cut = [
        each.get_text()
        for each, box in zip(written, boxes, strict=True)
        if box.x0 < 0 or box.y0 < 0 or box.x1 > page.x1 or box.y1 > page.y1
    ]
    over = [
        (one.get_text(), other.get_text())
        for (one, a), (other, b) in combinations(zip(written, boxes, strict=True), 2)
        if not (one.get_rotation() % 90 or other.get_rotation() % 90)  # boxes are upright
        and a.x0 < b.x1 - 1 and b.x0 < a.x1 - 1 and a.y0 + 1 < b.y1 and b.y0 + 1 < a.y1
    ]  # fmt: skip
    return cut, over


def least_pixels(figure: Any) -> float:
    """Return how high the smallest letters are where the figure is shown on a page of 1024."""
    size = min(text.get_size() for text in texts_of(figure))
    return size / 72 * min(figure.dpi, SHOWN / (figure.get_figwidth() + 2 * MARGIN))


def luminance(colour: Any) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: Any, other: Any) -> float:
    """Return the contrast ratio of WCAG 2.2, from 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


# -- Letters --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fibers", "name"), [(2, "W" * 40), (5, "echo"), (5, "W" * 40), (30, "W" * 40), (300, "echo")]
)
def test_a_timeline_can_be_read_on_a_page_of_1024_pixels_and_nothing_is_cut(fibers, name):
    figure = plot_timeline(crowd(fibers, name), shares=fibers == 5).figure

    cut, over = found_wrong(figure, texts_of(figure))
    assert (cut, over) == ([], [])
    assert least_pixels(figure) >= 9
    assert figure.get_figwidth() <= 9


@pytest.mark.parametrize("size", [(5, 3), (8, 5), (11, 3), (14, 5)])
def test_letters_grow_with_the_figure_that_a_timeline_is_drawn_in_and_nothing_is_cut(size):
    figure, ax = plt.subplots(figsize=size, layout="constrained")

    plot_timeline(crowd(5), ax)

    assert found_wrong(figure, texts_of(figure)) == ([], [])
    assert least_pixels(figure) >= 9


def add_up(world: Any) -> None:
    """Lose updates in some schedules; there are 1,680."""
    box = [0]

    def increment_a_number_slowly() -> Iterator[Any]:
        value = box[0]
        yield WAIT(0)
        box[0] = value + 1
        yield WAIT(0)

    for _ in range(3):
        world.add(increment_a_number_slowly())
    world.at_end(lambda: box[0] == 3)


FIGURES = {
    **{
        f"{plot.__name__} of {fibers} {name[:4]}": partial(plot, crowd(fibers, name))
        for fibers, name in ((4, "echo"), (40, "a_name_that_is_long"))
        for plot in (plot_latency, plot_steps, plot_queue, plot_states, plot_starvation, plot_bill)
    },
    "plot_comparison": lambda: plot_comparison(
        crowd(4), crowd(12, "x" * 30), names=("a", "b" * 70)
    ),
    "plot_schedules": lambda: plot_schedules(explore(add_up)),
}


@pytest.mark.parametrize("kind", FIGURES)
def test_every_figure_can_be_read_on_a_page_of_1024_pixels_and_nothing_is_cut(kind):
    figure = FIGURES[kind]().figure

    written = texts_of(figure)
    cut, over = found_wrong(figure, written)
    assert (cut, over) == ([], [])
    assert least_pixels(figure) >= 9
    assert figure.get_figwidth() <= 9


# -- Looks ----------------------------------------------------------------------------


def test_unwatched_waits_stand_out_from_the_page_and_from_every_wait_they_lie_on():
    waits = [STATES[code].value for code in UNTIL_POLLED]
    light = [contrast(UNWATCHED.edge, "white")]
    light += [contrast(UNWATCHED.edge, LOOKS[code].colour) for code in UNTIL_POLLED]
    dark = [contrast(DARK["unwatched"][1], DARK[word][0]) for word in waits]

    assert min(light) >= 3
    assert min(dark) >= 3


def test_in_a_bill_unwatched_time_is_hatched_as_in_the_timeline():
    look = BILLED["unwatched"]

    assert (look.hatch, look.edge) == (UNWATCHED.hatch, UNWATCHED.edge)
    assert contrast(look.edge, look.colour) >= 3


def test_in_grey_an_unwatched_wait_differs_from_the_wait_before_it():
    ax = plot_timeline(crowd(4))
    figure = ax.figure
    figure.canvas.draw()
    picture = np.asarray(figure.canvas.buffer_rgba())[..., :3] @ [0.299, 0.587, 0.114]

    def grey(row: int, left: float, right: float) -> tuple[float, float]:
        (x0, y), (x1, _) = ax.transData.transform([(left, row), (right, row)])
        part = picture[len(picture) - int(y) - 2 : len(picture) - int(y) + 3, int(x0) : int(x1)]
        return float(part.mean()), float(np.quantile(part, 0.9) - np.quantile(part, 0.1))

    (before, plain), (during, striped) = grey(3, 215, 250), grey(3, 30, 180)
    assert before - during > 30  # of 255
    assert striped > 2 * plain
    assert striped > 60  # bars of ready and of running have one colour


def test_the_legend_has_the_hatching_of_the_rows():
    ax = plot_timeline(crowd(4))

    def drawn(patch: Any) -> tuple[Any, ...]:
        """Return what a patch or a collection looks like."""
        face = patch.get_facecolor() if np.size(patch.get_facecolor()) else to_rgba("none")
        broad = patch.get_hatch_linewidth() if hasattr(patch, "get_hatch_linewidth") else None
        colours = (*np.ravel(face), *np.ravel(patch.get_edgecolor()))
        return (*map(float, colours), patch.get_hatch(), broad)

    rows = {drawn(each) for each in ax.collections if each.get_hatch()}
    pieces = ax.get_legend().findobj(lambda each: hasattr(each, "get_hatch") and each.get_hatch())
    assert {drawn(each) for each in pieces} == rows
    assert len(rows) >= 5
