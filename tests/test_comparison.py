"""Two runs beside each other."""

from __future__ import annotations

import csv
from io import BytesIO, StringIO

import pytest
from matplotlib import pyplot as plt
from stories import MS, event

from fiberlab.figures.charts import plot_comparison
from fiberlab.report.comparison import Difference, compare, moment, paired, shifted
from fiberlab.spans.build import build_spans
from fiberlab.spans.check import check_story
from fiberlab.trace.events import TraceEvent

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("no_windows")]


def run(held: float, begin: float = 0, *, late: bool = False) -> list[TraceEvent]:
    """Tell of two fibers, of which the first runs for `held` ms; a mark at `begin` ms."""
    told = [
        event(0, "start", schema=1, clock="perf_counter"),
        event(0, "spawn", 1, name="echo", by=0, src="a.py:1"),
        event(0, "wake", 1, by=0, why="spawn", q=1),
        event(0, "spawn", 2, name="echo", by=0, src="a.py:1"),
        event(0, "wake", 2, by=0, why="spawn", q=2),
        event(begin, "mark", 1, name="go", ph="b", id=1),
        event(begin, "resume", 1, step=1, q=1),
        event(begin + held, "mark", 1, name="go", ph="e", id=1),
        event(begin + held, "exit", 1, how="return", src=None, cpu=round(held * MS)),
        event(begin + held, "resume", 2, step=2, q=0),
        event(begin + held + 1, "exit", 2, how="return"),
    ]
    if late:
        told += [event(begin + held + 1, "spawn", 3, name="$\\frac{", by=2)]
    return [*told, event(begin + held + 1, "stop", reason="done", dropped=0)]


def test_two_runs_are_told_measure_by_measure():
    comparison = compare(run(199), run(49, late=True))

    assert comparison.differences == (
        Difference("whole run", 200 * MS, 50 * MS),
        Difference("running", 200 * MS, 50 * MS),
        Difference("ready", 199 * MS, 49 * MS),
        Difference("waits unwatched", 0, 0),
        Difference("ready p50", 0, 0),
        Difference("ready p95", 199 * MS, 49 * MS),
        Difference("ready p99", 199 * MS, 49 * MS),
        Difference("ready longest", 199 * MS, 49 * MS),
        Difference("longest step", 199 * MS, 49 * MS),
        Difference("go ended", 5.0, 20.0, "/s"),
        Difference("go took p50", 199 * MS, 49 * MS),
        Difference("go took p95", 199 * MS, 49 * MS),
        Difference("go took longest", 199 * MS, 49 * MS),
    )
    assert comparison.differences[0].change == -150 * MS
    assert [(each.name, each.first is None) for each in comparison.fibers] == [
        ("echo", False), ("echo", False), ("$\\frac{", True),
    ]  # fmt: skip


def test_a_comparison_is_readable():
    lines = str(compare(run(199), run(49), names=("before", "after"))).splitlines()

    assert lines[:6] == [
        "The longest step took 199 ms (a.py:1) in before and 49 ms (a.py:1) in after; the longest "
        "time ready before running was 199 ms and 49 ms.",
        "",
        "                 before    after    change",
        "whole run        200 ms    50 ms   -150 ms",
        "running          200 ms    50 ms   -150 ms",
        "ready            199 ms    49 ms   -150 ms",
    ]
    assert lines[12] == "go ended         5.0 /s  20.0 /s  +15.0 /s"


def test_a_comparison_is_rows_csv_and_html():
    comparison = compare(run(199), run(49), names=("=a", "<b>"))

    assert comparison.rows()[0] == {
        "measure": "whole run", "unit": "ns", "first": 200 * MS, "other": 50 * MS,
        "change": -150 * MS,
    }  # fmt: skip
    head, first, *_ = csv.reader(StringIO(comparison.csv()))
    assert head == ["measure", "unit", "'=a", "<b>", "change"]
    assert first == ["whole run", "ns", "200000000", "50000000", "-150000000"]
    assert "<b>" not in comparison._repr_html_()


def test_fibers_of_one_name_are_paired_in_order():
    assert paired(["a", "b", "a"], ["a", "c", "a", "a"]) == [
        ("a", 0, 0), ("b", 1, None), ("a", 2, 2), ("c", None, 1), ("a", None, 3),
    ]  # fmt: skip


def test_a_run_with_nothing_in_it_is_compared():
    comparison = compare([], run(49))

    assert comparison.headline().startswith("The longest step took no time in first and 49 ms")
    assert str(comparison)


def test_a_shifted_run_is_the_same_but_earlier():
    spans = build_spans(run(10, begin=30))
    moved = shifted(spans, moment(spans, "go"))

    assert [(span.start, span.end) for span in moved] == [
        (span.start - 30 * MS, span.end - 30 * MS) for span in spans
    ]
    assert (moved.begin, moved.finish) == (-30 * MS, 11 * MS)
    assert [life.born for life in moved.lives] == [-30 * MS, -30 * MS]
    assert list(zip(*moved.depth, strict=True)) == [
        (-30 * MS, 1), (-30 * MS, 2), (0, 1), (10 * MS, 0),
    ]  # fmt: skip
    assert moment(moved, "go") == 0
    assert spans.begin == 0
    check_story(spans)


def drawn(ax: plt.Axes) -> bytes:
    file = BytesIO()
    ax.figure.savefig(file)
    return file.getvalue()


def test_two_runs_share_scale_and_rows():
    upper = plot_comparison(run(199), run(49, late=True), names=("before", "$\\frac{"))
    lower = upper.figure.axes[1]

    assert upper.get_xlim() == lower.get_xlim() == (0.0, 200.0)
    rows = [[label.get_text() for label in ax.get_yticklabels()][2:] for ax in (upper, lower)]
    assert rows == [["echo", "echo", r"($\frac{)"], ["echo", "echo", r"$\frac{"]]
    assert [ax.get_title(loc="left") for ax in (upper, lower)] == ["before", r"$\frac{"]
    assert drawn(upper)


def test_two_runs_are_aligned_at_a_mark():
    upper = plot_comparison(run(50, begin=30), run(50), at="go")

    assert upper.get_xlim() == (-30.0, 51.0)
    starts = [
        min(path.vertices[:, 0].min() for each in ax.collections for path in each.get_paths()
            if each.get_hatch() == "xx")
        for ax in upper.figure.axes[:2]
    ]  # fmt: skip
    assert starts == [0.0, 0.0]
    with pytest.raises(ValueError, match="there is no mark 'stop'"):
        plot_comparison(run(50), run(50), at="stop")


def test_zooming_one_run_zooms_the_other():
    upper = plot_comparison(run(199), run(49))

    upper.set_xlim(0.0, 10.0)

    assert upper.figure.axes[1].get_xlim() == (0.0, 10.0)
    with pytest.raises(ValueError, match="t0 before t1"):
        plot_comparison(run(199), run(49), t0=2, t1=1)


def test_the_table_of_differences_stands_below():
    upper = plot_comparison(run(199), run(49))

    [table] = upper.figure.axes[2].tables
    assert [table[1, column].get_text().get_text() for column in range(4)] == [
        "whole run", "200 ms", "50 ms", "-150 ms",
    ]  # fmt: skip
