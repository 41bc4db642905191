"""Every schedule as a picture and in words: the tree of choices, and where two schedules part."""

from __future__ import annotations

from functools import partial

import pytest
from matplotlib import pyplot as plt

from fiberlab import WAIT, explore, plot_schedules
from fiberlab.exploration import Result
from fiberlab.figures import alternative, describe_schedules
from fiberlab.figures.schedules import MOST_ROWS, grown, steps_of

pytestmark = pytest.mark.once


def in_order(world, *, count=2, steps=1, expected=None):
    """Fails unless the fibers end in the `expected` order."""
    ended = []

    def fiber(name):
        for _ in range(steps):
            yield WAIT(0)
        ended.append(name)

    for name in "abcdefgh"[:count]:
        world.add(fiber(name), name)
    world.at_end(lambda: expected is None or "".join(ended) == expected)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_a_tree_is_told_with_what_fails():
    result = explore(partial(in_order, expected="ba"))

    assert describe_schedules(result).splitlines()[1:13] == [
        "all choices: 3 of 6 fail",
        "  a: 2 of 3 fail",
        "    b: 1 of 2 fail",
        "      a: fails (the shortest failure)",
        "      b: holds",
        "    a: fails",
        "  b: 1 of 3 fail",
        "    a: 1 of 2 fail",
        "      b: holds",
        "      a: fails",
        "    b: holds",
        "",
    ]


def test_a_fault_is_called_by_what_happens():
    def program(world):
        def waits():
            yield WAIT(1)

        world.add(waits(), "a")

    told = describe_schedules(explore(program, faults=["cancel", "delay"]))

    assert "  'a' is cancelled: holds" in told
    assert "fault" not in told.replace("no fault", "")


def test_both_schedules_are_told_step_by_step_with_the_first_difference():
    result = explore(partial(in_order, expected="ba"))
    line = in_order.__code__.co_firstlineno + 6

    assert describe_schedules(result).splitlines()[13:] == [
        "The shortest that fails:",
        f"  step 1: a, to line {line}",
        f"  step 2: b, to line {line}",
        "  step 3: a, end",
        "  step 4: b, end",
        "",
        "The nearest that passes:",
        f"  step 1: a, to line {line}",
        f"  step 2: b, to line {line}",
        "  step 3: b, end",
        "  step 4: a, end",
        "The first difference is step 3.",
    ]


def test_the_figure_shows_what_is_told():
    result = explore(partial(in_order, expected="ba"))
    tree, failing, passing = plot_schedules(result).figure.axes

    assert sorted(texts(tree)) == sorted(
        ["a", "b", "b", "a", "a", "b", "a", "b", "b", "a"] + ["fails"] * 3 + ["holds"] * 3
    )
    assert tree.get_title(loc="left") == "fails in 3 of 6 schedules"
    assert [text.isdigit() for text in texts(failing)] == [True, True, False, False]
    assert [line.get_xdata()[0] for line in passing.lines] == [2.5]  # before step 3
    assert alternative(tree.figure) == describe_schedules(result)


def test_a_result_that_holds_has_a_tree_alone():
    result = explore(in_order)
    axes = plot_schedules(result).figure.axes

    assert [ax.get_title(loc="left") for ax in axes] == ["holds in all 6 schedules"]
    assert describe_schedules(result).endswith("b: holds")


@pytest.mark.parametrize("options", [{"steps": 3}, {"count": 8}, {"count": 3, "steps": 2}], ids=str)
@pytest.mark.parametrize("expected", [None, "x"])
def test_a_tree_has_room_and_counts_all_that_was_run(options, expected):
    result = explore(partial(in_order, expected=expected, **options), at_most=1_500)
    rows = list(grown(result).rows())

    assert len(rows) <= MOST_ROWS
    assert sum(row.schedules for row in rows) == result.schedules
    assert sum(row.failures for row in rows) == result.failures


def test_a_tree_of_a_reduced_search_has_what_was_run():
    def program(world):
        cells = (world.cell(0), world.cell(0))

        def writer(cell):
            cell.value += 1
            yield WAIT(0)
            cells[0].value += 1

        for cell in cells:
            world.add(writer(cell))

    result = explore(program, reduce=True)
    rows = list(grown(result).rows())

    assert sum(row.schedules for row in rows) == result.schedules > 1


def test_a_tree_of_the_first_schedules_says_so():
    result = explore(partial(in_order, count=4, steps=2), at_most=2_100)

    assert describe_schedules(result).endswith("These are the first 2,000 of 2,100 schedules.")
    assert plot_schedules(result).get_title(loc="left") == (
        "holds in the first 2,100 of more schedules; drawn: the first 2,000"
    )


def test_a_long_schedule_is_shown_around_the_first_difference():
    def program(world):
        log = []

        def last(name):
            for _ in range(40):
                yield WAIT(0)
            log.append(name)

        def once(name):
            yield WAIT(1)
            log.append(name)

        world.add(last("long"), "long")
        world.add(once("one"), "one")
        world.add(once("two"), "two")
        world.at_end(lambda: log[-1] == "one")

    result = explore(program, at_most=200)
    failing = plot_schedules(result).figure.axes[1]

    assert len(steps_of(result.failure.trace)) > 40
    assert len(failing.texts) == 24


def test_it_is_drawn_on_the_axes_that_are_given():
    _, ax = plt.subplots()

    assert plot_schedules(explore(partial(in_order, expected="ba")), ax) is ax
    assert ax.figure.axes == [ax]


def test_names_are_made_fit_to_be_drawn():
    def program(world):
        for name in ("$x^", "a\nb", "very long name of a fiber"):
            world.add((WAIT(0) for _ in range(0)), name)

    result = explore(program)

    plot_schedules(result).figure.canvas.draw()
    assert "very long name of a fiber: " in describe_schedules(result)


def test_one_schedule_and_none_can_be_drawn():
    alone = plot_schedules(explore(partial(in_order, count=1)))
    nothing = plot_schedules(Result(0, 0, False))

    assert (texts(alone), texts(nothing)) == (["holds"], ["none was run"])


def test_what_is_no_result_is_refused():
    with pytest.raises(TypeError, match=r"needs what explore\(\) returns, got 4"):
        plot_schedules(4)
