"""Bills: the parts of a latency add up to it exactly, and each charge has its line."""

from __future__ import annotations

import csv
from io import StringIO
from itertools import combinations
from pathlib import Path

import matplotlib.colors
import matplotlib.pyplot as plt
import pytest
from hypothesis import given, settings
from programs import PROGRAMS, SimulatedWorld
from stories import MS, event

from fiberlab import Trace, bill, mark, plot_bill
from fiberlab.billing.account import CHARGED, Account, Part
from fiberlab.figures.alternative import alternative
from fiberlab.figures.charts import describe_bill
from fiberlab.figures.palette import BILLED
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.spans.build import build_spans
from fiberlab.spans.numbers import starved_by
from fiberlab.states import RUNNING
from fiberlab.trace.events import TraceEvent
from fiberlab.waits import RECV, WAIT

pytestmark = pytest.mark.once

DATA = Path(__file__).parent.parent / "data"
RECORDED = sorted(path.name for path in DATA.glob("*.fiber.jsonl*"))


def told(name: str = "request 1", *, hidden: int | None = None) -> list[TraceEvent]:
    """Tell of a request that meets every part but one while another fiber runs twice, long."""
    return [
        event(0, "start", schema=1, clock="perf_counter"),
        event(0, "spawn", 1, name="asks", by=0, src="a.py:1"),
        event(0, "wake", 1, by=0, why="spawn", q=1),
        event(0, "spawn", 2, name="holds", by=0, src="b.py:1"),
        event(0, "wake", 2, by=0, why="spawn", q=2),
        event(1, "resume", 1, step=1, q=1),
        event(2, "mark", 1, name=name, ph="b", id=1),
        event(5, "yield", 1, op="RECV", fd=7, src="a.py:2"),  # computed for 3
        event(6, "resume", 2, step=2, q=0),
        event(26, "yield", 2, op="WAIT", dt=0, src="b.py:6"),
        event(26, "wake", 2, by=2, why="yield", q=1),
        event(27, "poll", timeout=0, q=1, nfd=1, ntimer=0),
        event(28, "polled", n=1),
        # Unwatched from 6 to 26; whether from 5 to 6 and after 26 is not known: it waits.
        event(28, "wake", 1, by=0, why="io", q=2, hidden=hidden),
        event(29, "resume", 2, step=3, q=1),
        event(39, "yield", 2, op="RECV", fd=8, src="b.py:7"),
        event(41, "resume", 1, step=4, q=0),  # ready behind the other for 10, and for 3 more
        event(45, "yield", 1, op="WAIT", dt=10 * MS, src="a.py:3"),
        event(46, "poll", timeout=10 * MS, q=0, nfd=1, ntimer=1),
        event(50, "polled", n=1),
        event(50, "wake", 2, by=0, why="io", q=1),
        event(51, "resume", 2, step=5, q=0),
        event(71, "exit", 2, how="return"),
        event(72, "wake", 1, by=0, why="timer", q=1, late=17 * MS),  # due at 55, late for 16
        event(72, "resume", 1, step=6, q=0),
        event(73, "mark", 1, name=name, ph="e", id=1),
        event(75, "exit", 1, how="return"),
        event(75, "stop", reason="done", dropped=0),
    ]


def parts(request) -> dict[str, float]:
    """Return the parts that are not nothing, in milliseconds."""
    return {part.value: time / MS for part, time in request.parts.items() if time}


def check_laws(made) -> None:
    """Hold a bill against its two laws."""
    for number, each in enumerate(made.requests):
        assert sum(each.parts.values()) == each.latency
        assert min(each.parts.values()) >= 0
        for part in CHARGED:
            charged = [charge.time for charge in each.charges if charge.part is part]
            assert sum(charged) == each.parts[part]
            assert 0 not in charged
        assert {charge.request for charge in each.charges} <= {number}
    of_requests = [charge for each in made.requests for charge in each.charges]
    by_line = [charge for charges in made.charges.values() for charge in charges]
    assert sorted(by_line, key=repr) == sorted(of_requests, key=repr)
    assert all({c.src for c in charges} == {src} for src, charges in made.charges.items())


# -- The laws -----------------------------------------------------------------


@pytest.mark.parametrize("of", ["marks", "fibers"])
@pytest.mark.parametrize("name", RECORDED)
def test_the_parts_of_each_recorded_request_add_up_to_its_latency(name, of):
    made = bill(Trace.load(DATA / name), of=of)

    check_laws(made)
    assert (len(made.requests) > 0) == (of == "fibers" or name.startswith("healthy"))


@pytest.mark.parametrize("name", RECORDED)
def test_a_recording_without_its_beginning_or_end_keeps_the_laws(name):
    events = list(Trace.load(DATA / name))

    for share in (0.2, 0.5, 0.8):
        cut = round(share * len(events))
        named = [each for each in events[:cut] if each.ev in ("start", "spawn")]
        for kept in (events[:cut], named + events[cut:]):
            check_laws(bill(kept))
            check_laws(bill(kept, of="fibers"))


@settings(max_examples=60)
@given(PROGRAMS)
def test_the_parts_add_up_in_any_program(program):
    trace = SimulatedWorld(program).trace
    made = bill(trace, of="fibers")

    check_laws(made)
    if all(event.by == 0 for event in trace if event.ev == "spawn"):
        starved = starved_by(build_spans(trace))
        assert {each.fiber: each.ready for each in made.requests} == {
            each.fiber: sum(time for by, time in starved[each.fiber].items() if by)
            for each in made.requests
        }


@settings(max_examples=40)
@given(PROGRAMS)
def test_sums_of_lines_are_what_adding_up_step_by_step_gives(program):
    """Of any stretch of time, whatever begins and ends in it."""
    spans = build_spans(SimulatedWorld(program).trace)
    steps = Account(spans).steps
    times = sorted({0, 1, *spans.start, *spans.end})
    running = [i for i in range(len(spans)) if spans.state[i] == RUNNING]

    for begin, end in list(combinations(times, 2))[:200]:
        slowly: dict[str | None, int] = {}
        for i in running:
            overlap = min(end, spans.end[i]) - max(begin, spans.start[i])
            if overlap > 0:
                line = spans.held_at(i).text
                slowly[line] = slowly.get(line, 0) + overlap
        assert {steps.lines[n]: time for n, time in steps.held(begin, end).items()} == slowly


# -- Which part is which ------------------------------------------------------


def test_a_request_is_divided_into_its_parts():
    [request] = bill(told()).requests

    assert parts(request) == {
        "computing": 3 + 4 + 1,
        "waiting": 1 + 2 + 10,
        "ready": 10,
        "unwatched": 20,
        "late": 16,
        "machine": 3 + 1,
    }
    assert [(each.src, each.part, each.time) for each in request.charges] == [
        ("b.py:1 to b.py:6", Part.UNWATCHED, 20 * MS),
        ("b.py:7", Part.LATE, 16 * MS),
        ("b.py:6 to b.py:7", Part.READY, 10 * MS),
    ]


def test_when_data_came_is_taken_from_what_was_measured():
    [request] = bill(told(hidden=7 * MS)).requests

    # There from 21 on: 5 under the step, and 2 more until the poll had ended.
    assert (request.unwatched, request.waiting) == (5 * MS, (16 + 10) * MS)
    assert request.machine == (3 + 1 + 2) * MS


def test_data_that_had_just_come_was_not_unwatched():
    [request] = bill(told(hidden=0)).requests

    assert request.unwatched == 0


def test_a_step_before_a_poll_that_found_nothing_has_charged_nothing():
    network = SimulatedNetwork()
    ours, theirs = network.socketpair()

    def asks():
        with mark("request"):
            yield RECV(ours)

    def holds():
        network.clock.burn(0.2)
        yield WAIT(0.3)
        theirs.send(b"x")

    trace = Trace()
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
    scheduler.add(asks())
    scheduler.add(holds())
    scheduler.run()

    [request] = bill(trace).requests
    assert parts(request) == {"waiting": 500}


def test_a_step_that_the_machine_made_long_is_the_machines():
    def step(cpu):
        return [
            event(0, "start", schema=1, clock="perf_counter"),
            event(0, "spawn", 1, name="slow", by=0, src="a.py:1"),
            event(0, "wake", 1, by=0, why="spawn", q=1),
            event(0, "spawn", 2, name="waits", by=0, src="b.py:1"),
            event(0, "wake", 2, by=0, why="spawn", q=2),
            event(0, "resume", 1, step=1, q=1),
            event(60, "stall", 1, src="a.py:2", func="total += 1", ran=60 * MS),
            event(100, "exit", 1, how="return", cpu=cpu),
            event(100, "resume", 2, step=2, q=0),
            event(101, "exit", 2, how="return", cpu=1),
            event(101, "stop", reason="done", dropped=0),
        ]

    busy, working = bill(step(5 * MS)), bill(step(95 * MS))

    assert [parts(each) for each in busy.requests] == [
        {"machine": 100}, {"computing": 1, "machine": 100},
    ]  # fmt: skip
    assert [parts(each) for each in working.requests] == [
        {"computing": 100}, {"computing": 1, "ready": 100},
    ]  # fmt: skip
    assert list(working.charges) == ["a.py:2"]


def test_threads_hold_up_no_other_and_what_is_not_known_is_unknown():
    events = [
        event(0, "start", schema=1, clock="perf_counter", source="threads"),
        event(0, "spawn", 1, name="one", by=0, src="a.py:1"),
        event(0, "wake", 1, by=0, why="spawn"),
        event(0, "spawn", 2, name="two", by=0, src="b.py:1"),
        event(0, "wake", 2, by=0, why="spawn"),
        event(1, "resume", 1, step=1),
        event(2, "resume", 2, step=2),
        event(9, "yield", 1, op="unknown", src="a.py:2"),
        event(11, "wake", 1, by=0, why="timer"),
        event(11, "resume", 1, step=3),
        event(12, "exit", 1, how="return"),
        event(12, "exit", 2, how="return"),
    ]

    assert [parts(each) for each in bill(events).requests] == [
        {"computing": 9, "machine": 1, "unknown": 2}, {"computing": 10, "machine": 2},
    ]  # fmt: skip


def test_the_demo_of_a_blocking_call_charges_its_line_with_most():
    made = bill(Trace.load(DATA / "blocker.fiber.jsonl"))

    line, charges = next(iter(made.charges.items()))
    assert line == "record.py:63"
    assert sum(each.time for each in charges) > 0.9 * sum(
        each.ready + each.unwatched + each.late for each in made.requests
    )
    assert {made.requests[each.request].name for each in charges} == {
        f"echo-{number}" for number in (2, 4, 5, 6)
    }


# -- What is a request --------------------------------------------------------


def test_without_marks_each_fiber_that_another_one_started_is_a_request():
    made = bill(Trace.load(DATA / "blocker.fiber.jsonl"))

    assert [each.name for each in made.requests] == [f"echo-{number}" for number in range(2, 7)]


def test_if_no_fiber_started_another_each_is_a_request():
    assert [each.name for each in bill(told(), of="fibers").requests] == ["asks", "holds"]


def test_a_request_without_an_end_is_left_out_and_counted():
    made = bill(told()[:-4])

    assert (made.requests, made.left_out) == ((), 1)
    assert str(made).splitlines() == [
        "No request began and ended in this trace.",
        "1 request left out: the beginning or the end is not in the trace.",
    ]


def test_nothing_is_counted_twice_in_a_trace_that_breaks_the_laws():
    """Of two fibers that run at once; of a mark that outlives its fiber, or has none."""
    events = [
        event(0, "start", schema=1, clock="perf_counter"),
        *(
            each
            for fid in (1, 2, 3)
            for each in (
                event(0, "spawn", fid, name=f"f-{fid}", by=0, src="a.py:1"),
                event(0, "wake", fid, by=0, why="spawn"),
            )
        ),
        event(1, "resume", 1, step=1),
        event(2, "resume", 2, step=2),
        event(2, "mark", 1, name="long", ph="b", id=1),
        event(2, "mark", 77, name="nobody's", ph="b", id=2),
        event(8, "exit", 1, how="return"),
        event(9, "exit", 2, how="return"),
        event(10, "resume", 3, step=3),
        event(11, "mark", 3, name="long", ph="e", id=1),
        event(11, "mark", 3, name="nobody's", ph="e", id=2),
        event(12, "exit", 3, how="return"),
    ]

    of_fibers, of_marks = bill(events, of="fibers"), bill(events)
    check_laws(of_fibers)
    check_laws(of_marks)
    assert [parts(each) for each in of_marks.requests] == [
        {"computing": 6, "unknown": 3}, {"unknown": 9},
    ]  # fmt: skip
    assert parts(of_fibers.requests[2]) == {"computing": 2, "ready": 8, "machine": 2}


@pytest.mark.parametrize("events", [[], told()[:1], told()[:2]])
def test_a_trace_with_hardly_anything_in_it_has_an_empty_bill(events):
    made = bill(events)

    assert (made.requests, made.charges, made.rows()) == ((), {}, [])
    assert str(made).startswith("No request began and ended in this trace.")
    assert "No request" in made._repr_html_()
    with pytest.raises(ValueError, match="needs a request, and this bill has none"):
        made.percentile(99)


# -- How it is told -----------------------------------------------------------


def test_a_request_is_told_in_one_sentence():
    made = bill(told())

    assert made.sentence(made.requests[0]) == (
        "request 1 took 71 ms: 8.0 ms computing, 13 ms waiting, 10 ms ready behind holds at "
        "b.py:6 to b.py:7, 20 ms unwatched behind holds at b.py:1 to b.py:6, 16 ms late behind "
        "holds at b.py:7, 4.0 ms taken by the scheduler and the machine."
    )


def test_a_bill_is_a_table_of_requests_and_one_of_lines():
    assert str(bill(told())).splitlines()[3:] == [
        "request    latency  computing  waiting  ready  unwatched   late  machine     "
        "mostly behind",
        "request 1    71 ms     8.0 ms    13 ms  10 ms      20 ms  16 ms   4.0 ms  "
        "b.py:1 to b.py:6",
        "",
        "line              charged  ready  unwatched   late  requests    most to",
        "b.py:1 to b.py:6    20 ms      -      20 ms      -         1  request 1",
        "b.py:7              16 ms      -          -  16 ms         1  request 1",
        "b.py:6 to b.py:7    10 ms  10 ms          -      -         1  request 1",
    ]


def test_a_bill_as_csv_is_exact_and_no_name_in_it_is_a_formula():
    made = bill(told("=1+1"))

    head, row = csv.reader(StringIO(made.csv()))
    assert dict(zip(head, row, strict=True)) == {
        "name": "'=1+1", "fiber": "1", "start_ns": str(2 * MS), "latency_ns": str(71 * MS),
        "computing_ns": str(8 * MS), "waiting_ns": str(13 * MS), "ready_ns": str(10 * MS),
        "unwatched_ns": str(20 * MS), "late_ns": str(16 * MS), "machine_ns": str(4 * MS),
        "unknown_ns": "0",
    }  # fmt: skip
    assert list(csv.reader(StringIO(made.charges_csv())))[:2] == [
        ["line", "name", "request", "part", "time_ns"],
        ["b.py:1 to b.py:6", "'=1+1", "0", "unwatched", str(20 * MS)],
    ]


def test_a_name_is_no_markup_in_a_bill_and_no_command_on_a_terminal():
    made = bill(told("<script>\x1b[2J"))

    assert "&lt;script&gt;\\x1b[2J" in made._repr_html_()
    assert "<script" not in made._repr_html_()
    assert "\x1b" not in str(made) + made.sentence(made.requests[0])


def test_a_percentile_is_a_request_that_occurred():
    made = bill(Trace.load(DATA / "healthy.fiber.jsonl"))
    ordered = sorted(made.requests, key=lambda each: each.latency)

    assert [made.percentile(percent) for percent in (1, 50, 99, 100)] == [
        ordered[0], ordered[14], ordered[29], ordered[29],
    ]  # fmt: skip


@pytest.mark.parametrize("percent", [0, -1, 100.1, float("nan")])
def test_what_is_no_percentage_is_refused(percent):
    with pytest.raises(ValueError, match=r"takes a number above 0, up to 100, got"):
        bill(told()).percentile(percent)


def test_what_is_no_kind_of_request_is_refused():
    with pytest.raises(ValueError, match="is 'marks', 'fibers' or None, got 'spans'"):
        bill(told(), of="spans")


# -- How it is drawn ----------------------------------------------------------


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_picture_has_a_bar_of_parts_for_each_request_and_tells_it_in_words():
    ax = plot_bill(bill(told(), of="fibers"))
    bars = [[round(bar.get_width()) for bar in bars] for bars in ax.containers]

    assert [label.get_text() for label in ax.get_yticklabels()] == ["asks", "holds"]
    assert [sum(widths) for widths in zip(*bars, strict=True)] == [75, 71]
    assert [text.get_text() for text in ax.texts] == [
        "75 ms, 20 ms of it behind b.py:1 to b.py:6", "71 ms, 4.0 ms of it behind a.py:1 to a.py:2",
    ]  # fmt: skip
    assert alternative(ax.figure) == describe_bill(bill(told(), of="fibers"))
    assert alternative(ax.figure).startswith("asks took 75 ms: 11 ms computing, ")


def test_a_picture_of_no_request_says_so():
    assert [text.get_text() for text in plot_bill([]).texts] == ["no request"]
    assert alternative(plot_bill([]).figure) == "No request began and ended."


@pytest.mark.parametrize("most", [0, -3])
def test_a_picture_of_fewer_than_one_request_is_refused(most):
    with pytest.raises(ValueError, match="must show at least one request, got"):
        plot_bill(told(), most=most)


def test_each_part_differs_in_grey_from_every_other():
    def lightness(look):
        red, green, blue = matplotlib.colors.to_rgb(look.colour)
        return 0.299 * red + 0.587 * green + 0.114 * blue

    assert set(BILLED) == {part.value for part in Part}
    for one, other in combinations(BILLED.values(), 2):
        assert one.hatch != other.hatch or abs(lightness(one) - lightness(other)) > 0.1
