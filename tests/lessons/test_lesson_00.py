"""Lesson 00, the map: what its question makes of a recording, and the figure of the line."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from fiberlab import WAIT, Scheduler, Trace
from fiberlab.lab.lessons.l00_map import draw_line
from fiberlab.lab.lessons.l00_map.question import how_many_fibers


def pausing():
    yield WAIT(0)


@pytest.mark.parametrize(("fibers", "choice"), [(1, "a"), (4, "b"), (5, "c"), (48, "d")])
def test_the_number_of_fibers_is_counted_in_the_trace(fibers, choice):
    trace = Trace(stall_after=None)
    scheduler = Scheduler(trace=trace)
    for _ in range(fibers):
        scheduler.add(pausing())
    scheduler.run()

    assert how_many_fibers(trace) == choice


def test_the_line_is_drawn_with_a_word_for_each_step():
    fig, ax = plt.subplots()
    draw_line(ax)
    written = [text.get_text() for text in ax.texts]
    plt.close(fig)

    words = ["generator", "fiber", "scheduler", "trace", "spans", "timeline"]
    assert [text for text in written if text in words] == words


WRONG = ()
"""There are no exercises in lesson 00."""
