"""Alternative text: what a figure shows, for a reader who does not see it."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
from IPython.core.interactiveshell import InteractiveShell

from fiberlab import WAIT, Scheduler, SimulatedNetwork, Trace, compare, explore, figures
from fiberlab.figures.alternative import alternative
from fiberlab.lab.alternatives import show_alternatives_in

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def napping(*naps):
    trace = Trace(stall_after=None)
    network = SimulatedNetwork()
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)

    def nap(seconds):
        yield WAIT(seconds)

    for seconds in naps:
        scheduler.add(nap(seconds))
    scheduler.run()
    return trace


@pytest.mark.parametrize(
    "kind", ["timeline", "bill", "latency", "steps", "queue", "states", "starvation"]
)
def test_a_figure_of_the_package_tells_what_its_describe_function_tells(kind):
    trace = napping(1, 2)
    figure = getattr(figures, f"plot_{kind}")(trace).figure
    home = figures.timeline if kind == "timeline" else figures.charts

    assert alternative(figure) == getattr(home, f"describe_{kind}")(trace)


def test_two_runs_tell_of_each_and_of_their_differences():
    one, other = napping(1), napping(2)
    figure = figures.plot_comparison(one, other, names=("before", "after")).figure

    assert alternative(figure).split("\n\n", 1)[0].startswith("before: 1 fiber in 1.00 s;")
    assert "after: 1 fiber in 2.00 s;" in alternative(figure)
    assert alternative(figure).endswith(str(compare(one, other, names=("before", "after"))))


def test_any_other_figure_tells_what_is_written_on_it_and_how_its_lines_go():
    figure, ax = plt.subplots()
    ax.set(title="Latency\nby load", xlabel="load, %", ylabel="ms")
    ax.plot([50, 80], [2.0, 12.5], label="mean")
    ax.plot(range(100), [number % 7 for number in range(100)], label="p99")
    ax.axhline(5)
    ax.bar([1, 2], [3, 4], label="counts")
    ax.text(1, 1, "a cliff")

    assert alternative(figure) == (
        "Chart: Latency by load. Across: load, %. Up: ms. mean: 50, 2; 80, 12.5. "
        "p99: 100 points from 0, 0 to 99, 1, up to 6. counts: 2 bars. Written on it: a cliff."
    )


def test_rows_that_have_names_are_named():
    figure, ax = plt.subplots()
    ax.barh(["ann", "ben"], [1, 2])
    ax.set_xlabel("second")

    assert alternative(figure) == "Chart. Across: second. Rows, from below: ann, ben."


def test_axes_without_a_frame_tell_no_axes():
    figure, ax = plt.subplots()
    ax.set(xlabel="hidden")
    ax.set_axis_off()

    assert alternative(figure) == "Chart."


def test_a_notebook_stores_the_text_with_the_figure():
    shell = InteractiveShell()
    show_alternatives_in(shell)
    figure, ax = plt.subplots()
    ax.set_title("Two fibers")

    assert shell.display_formatter.format(figure)[1] == {"image/png": {"alt": "Chart: Two fibers."}}


def test_without_ipython_nothing_is_done():
    assert show_alternatives_in(None) is None


def test_a_figure_of_schedules_tells_of_all_its_parts_once():
    def program(world):
        log = []

        def step(name):
            log.append(name)
            yield WAIT(0)

        world.add(step("a"), "a")
        world.add(step("b"), "b")
        world.at_end(lambda: log == ["a", "b"])

    result = explore(program)
    figure = figures.plot_schedules(result).figure

    assert len(figure.axes) > 1
    assert alternative(figure) == figures.describe_schedules(result)
