"""The summary: sums that are exact, and tables that no name can spoil."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from fiberlab.report.summary import FiberSummary, MarkSummary, summarize
from fiberlab.report.tables import csv_text, html_table, text_table
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.spans.build import build_spans
from fiberlab.spans.numbers import Holders, Quantiles, Request, group_of, requests, starved_by
from fiberlab.trace import Trace
from fiberlab.trace.events import EventKind, TraceEvent
from fiberlab.waits import WAIT

MS = 1_000_000


def event(t: float, ev: str, fid: int = 0, **fields: object) -> TraceEvent:
    return TraceEvent(round(t * MS), EventKind(ev), fid, fields)


def told(name: str = "holds") -> list[TraceEvent]:
    """Tell of a fiber that is ready and waits for data while another one runs for 20 ms."""
    return [
        event(0, "start", schema=1, clock="perf_counter"),
        event(0, "spawn", 1, name="waits", by=0, src="a.py:1"),
        event(0, "wake", 1, by=0, why="spawn", q=1),
        event(0, "spawn", 2, name=name, by=1, src="b.py:1"),
        event(0, "wake", 2, by=0, why="spawn", q=2),
        event(1, "resume", 1, step=1, q=1),
        event(1, "mark", 1, name="request 1", ph="b", id=1),
        event(2, "yield", 1, op="RECV", fd=7, src="a.py:2", cpu=9),
        event(3, "resume", 2, step=2, q=0),
        event(20, "stall", 2, src="b.py:5", func="time.sleep(0.02)", ran=17 * MS),
        event(23, "yield", 2, op="SEND", fd=8, src="b.py:6", cpu=9),
        event(24, "poll", timeout=None, q=0, nfd=2, ntimer=0),
        event(30, "polled", n=1),
        event(30, "wake", 1, by=0, why="io", q=1),
        event(31, "resume", 1, step=3, q=0),
        event(35, "mark", 1, name="request 1", ph="e", id=1),
        event(35, "mark", 1, name="request 2", ph="b", id=2),
        event(36, "exit", 1, how="return", cpu=9),
        event(40, "stop", reason="stopped", dropped=0),
    ]


def times(**known):
    """Return the time in each state, 0 where none is given."""
    return {
        name: known.get(name, 0) for name in ("run", "ready", "recv", "send", "sleep", "parked")
    }


def test_the_times_of_each_fiber_add_up_to_its_life():
    summary = summarize(told())

    assert summary.fibers == (
        FiberSummary(
            1, "waits", 0, life=36 * MS,
            times=times(run=6 * MS, ready=2 * MS, recv=28 * MS),
            unwatched=20 * MS, steps=2, waits=Quantiles(2, MS, MS, MS, MS),
            longest_step=5 * MS, longest_at="a.py:2", ended="return",
        ),
        FiberSummary(
            2, "holds", 1, life=40 * MS,
            times=times(run=20 * MS, ready=3 * MS, send=17 * MS),
            unwatched=0, steps=1, waits=Quantiles(1, 3 * MS, 3 * MS, 3 * MS, 3 * MS),
            longest_step=20 * MS, longest_at="b.py:5", ended=None,
        ),
    )  # fmt: skip
    for each in summary.fibers:
        assert each.life == sum(
            (each.run, each.ready, each.recv, each.send, each.sleep, each.parked)
        )


def test_the_summary_of_a_run_in_numbers():
    summary = summarize(told())

    assert (summary.whole, summary.run, summary.polling) == (40 * MS, 26 * MS, 6 * MS)
    assert summary.utilisation == 0.65
    assert summary.waits == Quantiles(3, MS, 3 * MS, 3 * MS, 3 * MS)
    assert summary.steps == Quantiles(3, 5 * MS, 20 * MS, 20 * MS, 20 * MS)
    assert (summary.unwatched, summary.events, summary.dropped) == (20 * MS, 19, 0)
    assert (summary.unfinished, summary.tracing) == (False, 19 * 600 + 3 * 1500)


def test_marks_are_counted_by_their_name_without_the_number():
    assert summarize(told()).marks == (
        MarkSummary(
            "request", 1, 1, 25.0, Quantiles(1, 34 * MS, 34 * MS, 34 * MS, 34 * MS)
        ),
    )  # fmt: skip


def test_a_summary_is_readable():
    assert str(summarize(told())).splitlines() == [
        "2 fibers in 40 ms: running 26 ms (65%), polling 6.0 ms, between steps 8.0 ms.",
        "Ready before running (3 times): p50 1.0 ms, p95 3.0 ms, p99 3.0 ms, at most 3.0 ms.",
        "Waits were unwatched for 20 ms in all.",
        "19 events kept; tracing cost about 16 µs (0.0% of the run).",
        "",
        "fiber      life     run   ready   recv   send  sleep  parked  wait p50     p95     p99"
        "     max  longest step      at",
        "#1 waits  36 ms  6.0 ms  2.0 ms  28 ms      -      -       -    1.0 ms  1.0 ms  1.0 ms"
        "  1.0 ms        5.0 ms  a.py:2",
        "#2 holds  40 ms   20 ms  3.0 ms      -  17 ms      -       -    3.0 ms  3.0 ms  3.0 ms"
        "  3.0 ms         20 ms  b.py:5",
        "",
        "mark     ended  open  per second  took p50    p95    p99    max",
        "request      1     1        25.0     34 ms  34 ms  34 ms  34 ms",
    ]


def test_what_is_missing_is_said():
    cut = summarize(told()[:9])
    short = summarize([*told()[:-1], event(40, "stop", reason="stopped", dropped=7)])

    assert "The trace has no end: what was under way counts up to its last event." in str(cut)
    assert "7 events dropped: the beginning is incomplete." in str(short)


def test_a_row_for_a_data_frame_has_its_units_in_its_names():
    assert summarize(told()).rows()[1] == {
        "id": 2, "name": "holds", "parent": 1, "life_ns": 40 * MS, "run_ns": 20 * MS,
        "ready_ns": 3 * MS, "recv_ns": 0, "send_ns": 17 * MS, "sleep_ns": 0, "parked_ns": 0,
        "unwatched_ns": 0, "steps": 1, "wait_p50_ns": 3 * MS, "wait_p95_ns": 3 * MS,
        "wait_p99_ns": 3 * MS, "wait_max_ns": 3 * MS, "longest_step_ns": 20 * MS,
        "longest_at": "b.py:5", "ended": None,
    }  # fmt: skip


def test_a_name_is_no_formula_in_a_spreadsheet():
    text = summarize(told('=HYPERLINK("http://x","y")')).csv()

    head, _, row = csv.reader(StringIO(text))
    assert row[head.index("name")] == '\'=HYPERLINK("http://x","y")'
    assert row[head.index("life_ns")] == "40000000"


def test_a_name_is_no_markup_in_a_notebook_and_no_command_on_a_terminal():
    summary = summarize(told("<script>\x1b[2J"))

    assert "&lt;script&gt;\\x1b[2J" in summary._repr_html_()
    assert "<script" not in summary._repr_html_()
    assert "\x1b" not in str(summary)


@pytest.mark.parametrize("events", [[], told()[:1], told()[:2]])
def test_a_trace_with_hardly_anything_in_it_is_summed_up(events):
    summary = summarize(events)

    assert (summary.run, summary.utilisation, summary.waits) == (0, 0.0, Quantiles(0, 0, 0, 0, 0))
    assert str(summary)
    assert summary._repr_html_()


def test_simulated_time_is_summed_up_exactly():
    network = SimulatedNetwork()

    def worker():
        network.clock.burn(0.2)
        yield WAIT(0.1)

    trace = Trace()
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
    scheduler.add(worker())
    scheduler.add(worker())
    scheduler.run()

    summary = summarize(trace)
    assert [(each.run, each.ready, each.sleep, each.life) for each in summary.fibers] == [
        (200 * MS, 0, 200 * MS, 400 * MS),
        (200 * MS, 200 * MS, 100 * MS, 500 * MS),
    ]
    assert summary.tracing is None
    assert "tracing" not in str(summary)


def test_what_the_trace_says_it_cost_goes_before_an_estimate():
    trace = Trace()
    for each in told():
        trace(each)
    trace.cost = 4 * MS

    assert summarize(trace).tracing == 4 * MS
    assert "tracing cost about 4.0 ms (10.0% of the run)" in str(summarize(trace))


# -- Measures -------------------------------------------------------------------------


def test_a_percentile_is_a_time_that_occurred():
    assert Quantiles.of(range(1, 201)) == Quantiles(200, 100, 190, 198, 200)
    assert Quantiles.of([7]) == Quantiles(1, 7, 7, 7, 7)


def test_the_times_of_others_while_a_fiber_was_ready_add_up_to_that_time():
    spans = build_spans(told())

    assert starved_by(spans) == {1: {0: 2 * MS}, 2: {0: 2 * MS, 1: MS}}
    assert sum(starved_by(spans)[2].values()) == spans.totals(2)[spans[1].state]


def test_a_step_counts_by_the_part_that_lies_between_two_times():
    holders = Holders(build_spans(told()))

    held = {0: 5}
    holders.add_up(round(1.5 * MS), 33 * MS, held)
    assert held == {0: 5 + MS // 2 + 2 * MS, 1: 20 * MS}
    assert holders.range(24 * MS, 30 * MS) == (2, 2)


def test_only_the_fibers_that_were_ready_longest_can_be_asked_for():
    assert list(starved_by(build_spans(told()), most=1)) == [2]


def test_marks_of_one_name_are_paired_by_their_ids():
    events = [
        event(1, "mark", 1, name="get", ph="b", id=1),
        event(2, "mark", 2, name="get", ph="b", id=2),
        event(3, "mark", 3, name="get", ph="e", id=1),
        event(4, "mark", 3, name="get", ph="e", id=9),
        event(5, "mark", 3, name="note", ph="i"),
    ]

    assert requests(build_spans(events)) == [
        Request("get", "get", 1, 1 * MS, 3 * MS),
        Request("get", "get", 2, 2 * MS, None),
    ]


@pytest.mark.parametrize(
    ("name", "group"),
    [("request 7", "request"), ("GET /a", "GET /a"), ("job-12", "job"), ("7", "7"), ("", "")],
)
def test_requests_of_one_kind_have_one_group(name, group):
    assert group_of(name) == group


# -- Tables ---------------------------------------------------------------------------


def test_columns_of_a_text_table_are_aligned():
    assert text_table(["name", "n"], [["a", 1], ["longer", 22]]) == [
        "name     n",
        "a        1",
        "longer  22",
    ]


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", " =1", "\t=1", "\uff1d1"])
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe(cell):
    [_, [written]] = csv.reader(StringIO(csv_text(["a"], [[cell]])))

    assert written == "'" + cell.replace("\t", " ")


def test_numbers_in_a_csv_stay_numbers():
    assert csv_text(["a", "b"], [[-1, 0.5], [None, "x\ny"]]) == "a,b\n-1,0.5\n,x\\ny\n"


def test_a_table_in_html_has_headings_and_a_caption():
    html = html_table(["a", "b"], [["<x>", 1]], "c & d")

    assert html.startswith('<table><caption style="text-align:left">c &amp; d</caption>')
    assert '<th scope="row" style="text-align:left">&lt;x&gt;</th>' in html
