"""The figures beside the timeline, and their words."""

from __future__ import annotations

from io import BytesIO

import pytest
from matplotlib import pyplot as plt
from stories import MS, event

from fiberlab.figures import charts as figures
from fiberlab.trace.events import TraceEvent

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_windows")]

KINDS = ("latency", "steps", "queue", "states", "starvation")


def told(name: str = "holds") -> list[TraceEvent]:
    """Tell of two fibers that are ready while a third runs for 80 ms."""
    return [
        event(0, "start", schema=1, clock="perf_counter"),
        event(0, "spawn", 1, name=name, by=0),
        event(0, "wake", 1, by=0, why="spawn", q=1),
        event(0, "spawn", 2, name="two", by=0),
        event(0, "wake", 2, by=0, why="spawn", q=2),
        event(0, "spawn", 3, name="three", by=0),
        event(0, "wake", 3, by=0, why="spawn", q=3),
        event(10, "resume", 1, step=1, q=2),
        event(90, "yield", 1, op="WAIT", dt=10 * MS),
        event(90, "resume", 2, step=2, q=1),
        event(95, "exit", 2, how="return"),
        event(95, "resume", 3, step=3, q=0),
        event(96, "exit", 3, how="return"),
        event(100, "stop", reason="stopped", dropped=0),
    ]


def drawn(ax: plt.Axes) -> bytes:
    file = BytesIO()
    ax.figure.savefig(file)
    return file.getvalue()


def texts(ax: plt.Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in (legend.get_texts() if legend else ax.texts)]


def test_waits_to_run_are_drawn_with_their_percentiles():
    ax = figures.plot_latency(told())

    assert texts(ax) == ["p50: 90 ms", "p95: 95 ms", "p99: 95 ms", "max: 95 ms"]
    assert sum(bar.get_height() for bar in ax.patches) == 3
    assert ax.get_xscale() == "log"


def test_steps_are_drawn_with_their_percentiles():
    assert texts(figures.plot_steps(told())) == [
        "p50: 5.0 ms", "p95: 80 ms", "p99: 80 ms", "max: 80 ms",
    ]  # fmt: skip


def test_the_queue_is_drawn_over_time():
    ax = figures.plot_queue(told())

    [area] = ax.collections
    assert area.get_datalim(ax.transData).ymax == 3
    assert ax.get_xlim() == (0.0, 100.0)


def test_each_fiber_has_a_bar_of_its_states():
    ax = figures.plot_states(told())

    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "#1 holds",
        "#2 two",
        "#3 three",
    ]
    ends = {bar.get_y(): bar.get_x() + bar.get_width() for bar in ax.patches}
    assert sorted(ends.values()) == [95.0, 96.0, 100.0]
    assert texts(ax) == ["running: 86 ms", "ready: 195 ms", "sleep: 10 ms"]


def test_who_starved_whom_is_a_field_of_numbers():
    ax = figures.plot_starvation(told())

    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "#3 three",
        "#2 two",
        "#1 holds",
    ]
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "#1 holds",
        "no fiber",
        "#2 two",
    ]
    assert texts(ax) == ["80 ms", "10 ms", "5.0 ms", "80 ms", "10 ms", "10 ms"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("latency", "Ready before running, 3 times: p50 90 ms, p95 95 ms, p99 95 ms, at most 95 ms."
         " 3 under 100 ms."),
        ("steps", "Steps, 3 times: p50 5.0 ms, p95 80 ms, p99 80 ms, at most 80 ms. 2 under 10 ms; "
         "1 under 100 ms."),
        ("queue", "The run queue held at most 3 fibers, first 0 µs after the beginning; 1.95 on "
         "average, and none for 5 % of the time."),
        ("states", "fiber       life  ready  running  recv  send  sleep  parked\n"
         "#1 holds  100 ms   10 %     80 %     -     -   10 %       -\n"
         "#2 two     95 ms   95 %      5 %     -     -      -       -\n"
         "#3 three   96 ms   99 %      1 %     -     -      -       -"),
        ("starvation", "#3 three was ready for 95 ms: #1 holds 80 ms, no fiber (the scheduler, its "
         "poll, the machine) 10 ms, #2 two 5.0 ms\n"
         "#2 two was ready for 90 ms: #1 holds 80 ms, no fiber (the scheduler, its poll, the "
         "machine) 10 ms\n"
         "#1 holds was ready for 10 ms: no fiber (the scheduler, its poll, the machine) 10 ms"),
    ],
)  # fmt: skip
def test_each_figure_has_its_words(kind, words):
    assert getattr(figures, f"describe_{kind}")(told()) == words


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("events", [[], told()[:1], told()[:2], told(r"$\frac{"), told("\x1b\n")])
def test_every_figure_takes_every_trace(kind, events):
    ax = getattr(figures, f"plot_{kind}")(events)

    assert drawn(ax)
    assert "\x1b" not in getattr(figures, f"describe_{kind}")(events)


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_is_drawn_where_it_is_told(kind):
    figure, (above, below) = plt.subplots(2)

    assert getattr(figures, f"plot_{kind}")(told(), below) is below
    assert figure.axes == [above, below]
    assert not above.has_data()
