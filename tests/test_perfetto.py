"""Perfetto: every rule of the export, by itself and for any story a scheduler can tell."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

sys.path.insert(0, str(Path(__file__).parent))

from perfetto_checker import problems, read
from test_spans import event, stories, story

from fiberlab import RECV, SEND, WAIT, Scheduler, Trace
from fiberlab.commands.cli import main
from fiberlab.errors import TraceError
from fiberlab.fiber import mark
from fiberlab.report.perfetto import write_perfetto
from fiberlab.spans.build import build_spans

pytestmark = pytest.mark.once

NOTES = 2**30  # the track of a fiber's notes is that much further on

# Fiber 1 waits for data, 2 blocks and is then overtaken; times in nanoseconds.
RUN = (
    "0 start 0 schema=1 clock=perf_counter",
    "1000 spawn 1 name=accept by=0 src=a.py:1",
    "1010 wake 1 by=0 why=spawn q=1",
    "5000 resume 1 step=1 q=0",
    "6000 spawn 2 name=echo by=1 src=a.py:9",
    "6500 wake 2 by=1 why=spawn q=1",
    "9001 yield 1 op=RECV fd=7 src=a.py:2 cpu=3999",
    "9100 resume 2 step=2 q=0",
    "9500 yield 2 op=WAIT dt=10000 src=a.py:10",
    "10000 poll 0 timeout=9400 q=0 nfd=1 ntimer=1",
    "20000 polled 0 n=1",
    "20100 wake 1 by=0 why=io q=1 hidden=50",
    "20200 wake 2 by=0 why=timer q=2 late=200",
    "20300 resume 1 step=3 q=1",
    "30000 output 1 text=hello stream=stdout",
    "30300 exit 1 how=return",
    "30300 resume 2 step=4 q=0",
    "30400 yield 2 op=WAIT dt=0 src=a.py:11",
    "30450 wake 2 by=2 why=yield q=1",
    "30500 resume 2 step=5 q=0",
    "30700 exit 2 how=error err=ValueError:no src=a.py:12",
    "30800 stop 0 reason=done dropped=0",
)


@pytest.fixture
def export(tmp_path):
    """Write a story for Perfetto and return its events, which are without a fault."""

    def exported(*lines: str, trace: Any = None, **options: Any) -> list[dict[str, Any]]:
        path = tmp_path / "run.json"
        write_perfetto(story(*lines) if trace is None else trace, path, **options)
        events = read(path)
        assert problems(events) == []
        return events

    return exported


def pick(events: list[dict[str, Any]], phase: str, *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(e.get(key) for key in keys) for e in events if e["ph"] == phase]


def number(text: str) -> Decimal:
    return Decimal(text)


# -- Tracks -----------------------------------------------------------------------------


def test_each_fiber_has_a_track_and_the_scheduler_is_the_main_one(export):
    events = export(*RUN, name="lesson")

    assert pick(events, "M", "tid", "name", "args") == [
        (0, "process_name", {"name": "lesson"}),
        (1, "thread_name", {"name": "scheduler"}),
        (1, "thread_sort_index", {"sort_index": 0}),
        (101, "thread_name", {"name": "#1 accept"}),
        (101, "thread_sort_index", {"sort_index": 1}),
        (NOTES + 101, "thread_name", {"name": "#1 accept notes"}),
        (NOTES + 101, "thread_sort_index", {"sort_index": 2}),
        (102, "thread_name", {"name": "#2 echo"}),
        (102, "thread_sort_index", {"sort_index": 3}),
    ]
    assert {event["pid"] for event in events} == {1}


# -- Slices -----------------------------------------------------------------------------


def test_each_span_is_a_slice_with_a_bare_name_and_its_details(export):
    events = export(*RUN)

    slices = pick(events, "X", "tid", "ts", "dur", "name", "args")
    assert [each for each in slices if each[0] == 101] == [
        (101, number("1.010"), number("3.990"), "ready", {"why": "spawn", "by": 0}),
        (101, number("5.000"), number("4.001"), "running",
         {"yield": "RECV", "step": 1, "cpu_ms": number("0.003999"), "src": "a.py:2"}),
        (101, number("9.001"), number("11.099"), "recv", {"fd": 7, "src": "a.py:2"}),
        (101, number("20.100"), number("0.200"), "ready",
         {"why": "io", "by": 0, "hidden_ms": number("0.00005")}),
        (101, number("20.300"), number("10.000"), "running", {"yield": "exit", "step": 3}),
    ]  # fmt: skip


def test_a_poll_is_a_slice_of_the_scheduler_and_so_is_the_time_it_takes_to_wake(export):
    events = export(*RUN)

    slices = pick(events, "X", "tid", "ts", "dur", "name", "args")
    polled = {"timeout_ms": number("0.0094"), "woken": 1}
    assert [each for each in slices if each[0] == 1] == [
        (1, number("1.000"), number("0.010"), "wake", {"woken": 1}),
        (1, number("10.000"), number("10.000"), "poll", polled),
        (1, number("20.000"), number("0.200"), "wake", {"woken": 2}),
    ]


def test_a_slice_ends_where_the_next_begins(export):
    trace = story(*RUN)

    events = export(trace=trace)

    spans = build_spans(trace)
    edges = [(int(e["ts"] * 1000), int((e["ts"] + e["dur"]) * 1000)) for e in events
             if e.get("cat") == "state"]  # fmt: skip
    assert sorted(edges) == sorted((span.start, span.end) for span in spans)


def test_a_span_of_no_length_is_left_out(export):
    events = export(
        "1 spawn 1 name=a", "2 wake 1 by=0 why=spawn q=1", "2 resume 1 q=0", "9 exit 1 how=return"
    )

    assert pick(events, "X", "tid", "name", "dur") == [
        (1, "wake", number("0.001")),
        (101, "running", number("0.007")),
    ]


def test_a_span_that_was_cut_off_says_so(export):
    events = export(*RUN[:10], "15000 output 1 text=x")

    last = [event for event in events if event["ph"] == "X"][-1]
    assert (last["name"], last["args"]) == (
        "poll",
        {"timeout_ms": number("0.0094"), "unfinished": True},
    )


def test_nanoseconds_are_kept(export):
    late = 10**15 + 1  # eleven days later
    events = export(
        "0 start 0 schema=1",
        "0 spawn 1 name=a",
        f"{late} wake 1 by=0 why=spawn q=1",
        f"{late + 3} resume 1 q=0",
    )

    assert [e["ts"] for e in events if e["name"] == "ready"] == [number("1000000000000.001")]


# -- Arrows -----------------------------------------------------------------------------


def arrows(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    left, came = (pick(events, phase, "id", "tid", "ts") for phase in "sf")
    return [(a[1], float(a[2]), b[1], float(b[2])) for a, b in zip(left, came, strict=True)
            if a[0] == b[0]]  # fmt: skip


def test_an_arrow_goes_from_the_waker_to_the_ready_fiber(export):
    events = export(*RUN)

    assert arrows(events) == [
        (1, 1.009, 101, 1.010),  # at the end of the waking: one nanosecond inside
        (101, 6.5, 102, 6.5),  # in the midst of the step that started it
        (1, 20.1, 101, 20.1),
        (1, 20.199, 102, 20.2),
    ]
    assert {e["bp"] for e in events if e["ph"] == "f"} == {"e"}
    assert {(e["name"], e["cat"]) for e in events if e["ph"] in "sf"} == {("wake", "wake")}


def test_a_fiber_that_wakes_itself_by_wait_zero_gets_no_arrow(export):
    events = export(*RUN)

    assert [a for a in arrows(events) if a[0] == a[2]] == []


def test_nor_does_one_that_the_scheduler_is_said_to_have_woken(export):
    events = export(
        "0 start 0 schema=1",
        "0 spawn 1 name=a", "0 wake 1 by=0 why=spawn q=1",
        "0 resume 1 q=0", "0 yield 1 op=WAIT dt=0", "1 wake 1 by=0 why=yield q=1",
        "1 poll 0 q=1", "2 polled 0 n=1",
    )  # fmt: skip

    assert (arrows(events), problems(events)) == ([], [])


def test_an_arrow_to_a_parked_fiber_leaves_just_before_the_wakers_step_ends(export):
    events = export(
        "0 start 0 schema=1",
        "0 spawn 1 name=a", "0 wake 1 by=0 why=spawn q=1",
        "0 spawn 2 name=b", "0 wake 2 by=0 why=spawn q=2",
        "10 resume 1 q=1", "20 yield 1 op=WAIT",
        "30 resume 2 q=0", "40 exit 2 how=return", "45 wake 1 by=2 why=fiber q=1",
        "50 resume 1 q=0", "60 exit 1 how=return",
    )  # fmt: skip

    assert arrows(events) == [(102, 0.039, 101, 0.045)]


def test_timers_that_expire_without_a_poll_have_arrows_too(export):
    events = export(
        "0 spawn 1 name=a", "1 wake 1 by=0 why=spawn q=1",
        "10 resume 1 q=0", "20 yield 1 op=WAIT dt=5",
        "26 wake 1 by=0 why=timer q=1", "30 resume 1 q=0", "40 exit 1 how=return",
    )  # fmt: skip

    assert arrows(events)[1:] == [(1, 0.025, 101, 0.026)]
    assert pick(events, "X", "tid", "name", "ts", "dur")[3:5] == [
        (101, "sleep", number("0.020"), number("0.006")),
        (1, "wake", number("0.020"), number("0.006")),
    ]


def test_where_waking_takes_no_time_arrows_leave_from_the_end_of_the_poll(export):
    events = export(
        "0 spawn 1 name=a", "0 wake 1 by=0 why=spawn q=1",
        "0 resume 1 q=0", "0 yield 1 op=WAIT dt=50",
        "0 poll 0 timeout=50 q=0", "50 polled 0 n=0", "50 wake 1 by=0 why=timer q=1",
        "50 resume 1 q=0", "60 exit 1 how=return",
    )  # fmt: skip

    assert arrows(events) == [(1, 0.049, 101, 0.050)]


def test_where_nothing_takes_any_time_there_are_no_arrows(export):
    events = export(
        "0 spawn 1 name=a", "0 wake 1 by=0 why=spawn q=1",
        "0 resume 1 q=0", "0 spawn 2 name=b", "0 wake 2 by=1 why=spawn q=1",
        "0 yield 1 op=WAIT dt=50", "0 resume 2 q=0", "0 yield 2 op=WAIT dt=50",
        "0 poll 0 timeout=50 q=0", "50 polled 0 n=0", "50 wake 1 by=0 why=timer q=1",
        "50 resume 1 q=0", "50 exit 1 how=return", "50 wake 2 by=0 why=timer q=1",
        "50 resume 2 q=0", "50 exit 2 how=return",
    )  # fmt: skip

    assert arrows(events) == []


# -- The queue, notes and marks ---------------------------------------------------------


def test_the_run_queue_is_a_counter_with_one_key(export):
    events = export(*RUN)

    assert pick(events, "C", "tid", "name", "args") == [
        (1, "ready queue", {"fibers": n}) for n in (1, 0, 1, 0, 1, 2, 1, 0, 1, 0)
    ]


def test_prints_births_and_deaths_are_notes_on_their_fibers_track(export):
    events = export(*RUN)

    assert pick(events, "i", "tid", "name", "s", "args") == [
        (101, "spawn", "t", {"by": 0, "src": "a.py:1"}),
        (102, "spawn", "t", {"by": 1, "src": "a.py:9"}),
        (NOTES + 101, "output", "t", {"text": "hello", "stream": "stdout"}),
        (101, "exit", "t", {"how": "return"}),
        (102, "exit", "t", {"how": "error", "err": "ValueError:no", "src": "a.py:12"}),
    ]


def test_a_stall_is_a_note_with_the_line(export):
    stall = "20250 stall 1 src=a.py:3 func=time.sleep(1) ran=50000000"

    events = export(*RUN[:14], stall, *RUN[14:])

    assert pick(events, "i", "name", "args")[2] == (
        "stall",
        {"src": "a.py:3", "func": "time.sleep(1)", "ran_ms": number("50.0")},
    )


def test_dropped_events_are_told(export):
    events = export(*RUN[:-1], "30800 stop 0 reason=done dropped=12")

    assert pick(events, "i", "tid", "ts", "name", "args")[0] == (
        1, number("0.000"), "dropped", {"events": 12},
    )  # fmt: skip


def test_prints_are_left_out_when_asked(export):
    events = export(*RUN, output=False)

    assert [name for (name,) in pick(events, "i", "name")] == ["spawn", "spawn", "exit", "exit"]


def test_notes_come_last_and_slices_first_at_one_moment(export):
    events = export(*RUN)

    # All that happens at 30.3 microseconds: fiber 1 has ended, fiber 2 goes on.
    at_once = [event["ph"] for event in events if event.get("ts") == number("30.300")]
    assert at_once == ["X", "C", "i"]


def told_marks(*marks: tuple[int, int, dict[str, Any]]) -> list[Any]:
    """Tell of two fibers that run for 10 ns each, from 10 and from 20 on, and of `marks`."""
    frame = story(
        "0 start 0 schema=1", "1 spawn 1 name=a", "2 wake 1 by=0 why=spawn q=1",
        "3 spawn 2 name=b", "4 wake 2 by=0 why=spawn q=2",
        "10 resume 1 q=1", "20 exit 1 how=return", "20 resume 2 q=0", "30 exit 2 how=return",
    )  # fmt: skip
    told = [event(t, "mark", fid, **fields) for t, fid, fields in marks]
    return sorted([*frame, *told], key=lambda each: each.t)


def test_a_mark_is_a_bracket_with_a_number_of_its_own(export):
    begin = {"name": "request 7", "ph": "b", "id": 3, "args": {"size": 5}}
    events = export(
        trace=told_marks(
            (11, 1, begin), (12, 2, {**begin, "id": 4}),
            (25, 2, {"name": "request 7", "ph": "e", "id": 4}),
            (28, 1, {"name": "request 7", "ph": "e", "id": 3}),
        )
    )  # fmt: skip

    assert pick(events, "b", "tid", "id", "cat", "name", "args") == [
        (101, 1, "request", "request 7", {"fiber": 1, "size": 5}),
        (102, 2, "request", "request 7", {"fiber": 2, "size": 5}),
    ]
    assert pick(events, "e", "tid", "id", "ts") == [
        (102, 2, number("0.025")),
        (101, 1, number("0.028")),
    ]


def test_a_mark_that_is_open_at_the_end_is_closed_and_says_so(export):
    events = export(trace=told_marks((11, 1, {"name": "r", "ph": "b", "id": 1})))

    assert pick(events, "e", "ts", "args") == [(number("0.030"), {"unfinished": True})]


def test_the_end_of_a_mark_whose_begin_was_dropped_is_left_out(export):
    events = export(trace=told_marks((11, 1, {"name": "r", "ph": "e", "id": 1})))

    assert pick(events, "e", "ts") == []


def test_a_mark_of_one_moment_is_a_note(export):
    events = export(trace=told_marks((11, 1, {"name": "here", "ph": "i", "args": {"n": 1}})))

    assert (NOTES + 101, "note", {"text": "here", "n": 1}) in pick(
        events, "i", "tid", "name", "args"
    )


# -- The command ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run.fiber.jsonl", "run.fiber.jsonl.gz"])
def test_a_saved_trace_is_exported_beside_it(tmp_path, capsys, name):
    trace = Trace()
    for each in story(*RUN):
        trace(each)
    trace.save(tmp_path / name)
    write_perfetto(trace, tmp_path / "same.json", name=name, output=False)

    code = main(["export", str(tmp_path / name), "--no-prints"])

    assert (code, capsys.readouterr().out) == (
        0, f"open it at ui.perfetto.dev: {tmp_path / 'run.json'}\n",
    )  # fmt: skip
    assert read(tmp_path / "run.json") == read(tmp_path / "same.json")


# -- What comes from elsewhere ----------------------------------------------------------


def test_hostile_names_are_written_harmlessly(tmp_path):
    hostile = '"}]}</script>\n\x00\x1b[2J\ud800 ☃ $\\frac{'
    trace = [
        event(0, "start", schema=1),
        event(1, "spawn", 1, name=hostile, by=0, src=hostile),
        event(2, "wake", 1, by=0, why="spawn", q=1),
        event(3, "resume", 1, step=1, q=0),
        event(4, "output", 1, text=hostile, stream="stdout"),
        event(9, "exit", 1, how="error", err=hostile, src="a.py:1"),
    ]
    path = tmp_path / "run.json"

    write_perfetto(trace, path)

    assert problems(read(path)) == []
    lines = path.read_text("utf-8").split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    names = [e["args"]["name"] for e in read(path) if e["name"] == "thread_name"]
    assert names[1] == '#1 "}]}</script>\\n\\x00\\x1b[2J\\ud800 ☃ $\\frac{'


def test_vast_fiber_ids_become_tracks_by_their_order(export):
    events = export(f"1 spawn {2**62} name=a", f"2 wake {2**62} by=0 why=spawn q=1", "9 stop 0")

    labels = [(e["tid"], e["args"]["name"]) for e in events if e["name"] == "thread_name"]
    assert labels == [(1, "scheduler"), (101, f"#{2**62} a")]


def test_an_impossible_trace_is_refused_and_nothing_written(tmp_path):
    path = tmp_path / "run.json"

    with pytest.raises(TraceError, match="goes from done to running"):
        write_perfetto(story(*RUN[:-1], "30800 resume 2 q=0"), path)

    assert list(tmp_path.iterdir()) == []


def test_no_events_are_a_file_with_the_scheduler_alone(export):
    assert pick(export(trace=[]), "M", "tid") == [(0,), (1,), (1,)]


def test_the_file_is_compressed_if_its_name_says_so(tmp_path):
    for name in ("run.json", "run.json.gz"):
        write_perfetto(story(*RUN), tmp_path / name)

    assert (tmp_path / "run.json.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert read(tmp_path / "run.json.gz") == read(tmp_path / "run.json")


@given(stories())
def test_any_story_gives_a_file_without_a_fault(tmp_path_factory, events):
    path = tmp_path_factory.getbasetemp() / "any.json"

    write_perfetto(events, path)

    assert problems(read(path)) == []


# -- The checker ------------------------------------------------------------------------

NAMED = [{"ph": "M", "pid": 1, "tid": 1, "name": "thread_name", "args": {"name": "a"}}]
SLICE = {"ph": "X", "pid": 1, "tid": 1, "ts": 5, "dur": 4, "name": "ready", "cat": "state"}
LEFT = {"ph": "s", "pid": 1, "tid": 1, "ts": 6, "id": 1, "cat": "w", "name": "w"}
CAME = {**LEFT, "ph": "f", "bp": "e"}


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([{**SLICE, "ph": "Q"}], "unknown phase 'Q'"),
        ([{key: value for key, value in SLICE.items() if key != "ts"}], "lacks ['ts']"),
        ([{**SLICE, "ts": Decimal("5.0001")}], "more than three decimals"),
        ([{**SLICE, "ts": 1.7e15}], "ts is 1700000000000000.0"),
        ([{**SLICE, "ts": Decimal("1.7e15")}], "not relative to the run"),
        ([{**SLICE, "name": "a\nb"}], "name is 'a\\nb'"),
        ([{**SLICE, "name": "recv 7"}], "a state is called 'recv 7'"),
        ([{**SLICE, "dur": 0}], "an empty slice"),
        ([SLICE, {**SLICE, "ts": 8}], "slices overlap at 8"),
        ([SLICE, {**SLICE, "ts": 1, "dur": 1}], "out of order"),
        ([{**SLICE, "tid": 2}], "track 2 has no name"),
        ([SLICE, LEFT], "arrow 1 is ['s']"),
        ([LEFT, CAME], "in no slice"),
        ([SLICE, LEFT, {**CAME, "ts": 9}], "f at 9 is in no slice"),
        ([SLICE, LEFT, {**CAME, "name": "x"}], "changes its name"),
        ([SLICE, LEFT, {k: v for k, v in CAME.items() if k != "bp"}], "not at the one around it"),
        ([SLICE, {**SLICE, "ph": "i", "s": "t"}, LEFT, CAME], "caught by the note 'ready'"),
        ([{**LEFT, "ph": "b"}], "bracket ('w', 1) is [('b', 'w')]"),
    ],
)
def test_the_checker_finds_what_is_wrong(events, told):
    assert [each for each in problems(NAMED + events) if told in each] != []


def test_the_checker_accepts_what_is_right():
    assert problems([*NAMED, SLICE, LEFT, CAME]) == []


# -- Perfetto itself --------------------------------------------------------------------

PERFETTO = os.environ.get("FIBERLAB_PERFETTO", "")


@pytest.mark.skipif(
    not PERFETTO or not shutil.which("node"),
    reason="FIBERLAB_PERFETTO names no build of Perfetto, or there is no Node (CONTRIBUTING.md)",
)
def test_perfetto_itself_reads_what_was_meant(network, tmp_path):
    def ask(path: Path, *queries: str) -> list[list[dict[str, Any]]]:
        script = Path(__file__).with_name("perfetto_processor.mjs")
        command = ["node", str(script), PERFETTO, str(path), *queries]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in run.stdout.splitlines()]

    trace = busy_run(network)
    path = tmp_path / "run.json"
    write_perfetto(trace, path)
    wrong, states, flows, names, brackets, depth = ask(
        path,
        "select name from stats where value > 0 and severity != 'info'",
        "select name, sum(dur) as ns from slice where category = 'state' group by 1 order by 1",
        "select a.name as left, b.name as came, count(*) as n from flow "
        "join slice a on slice_out = a.id join slice b on slice_in = b.id group by 1, 2 order by 1",
        "select name from thread where name is not null order by tid",
        "select name, dur from slice where category = 'request'",
        "select max(value) as most from counter",
    )

    spans = build_spans(trace)
    assert wrong == []
    assert {row["name"]: row["ns"] for row in states} == {
        state.value: ns for state, ns in spans.totals().items() if ns
    }
    assert {(row["left"], row["came"]) for row in flows} == {
        ("poll", "ready"), ("poll", "running"), ("running", "ready"), ("running", "running"),
    }  # fmt: skip
    arrived = [event for event in read(path) if event["ph"] == "f"]
    assert sum(row["n"] for row in flows) == len(arrived)
    assert [row["name"] for row in names] == [
        "scheduler",
        *(f"#{life.id} {life.name}" for life in spans.lives),
        *(f"#{fid} talker-{fid} notes" for fid in (1, 2)),
    ]  # fmt: skip
    assert [row["name"] for row in brackets] == ["request ☃"] * 3
    assert depth == [{"most": 4}]


def busy_run(network):
    """Return the trace of three fibers that compute, send, receive and wait for each other."""
    left, right = network.socketpair(latency=0.01)
    clock, trace = network.clock, Trace(hidden=True)

    def talker(sock):
        with mark("request ☃"):
            for _ in range(20):
                clock.burn(0.003)
                yield SEND(sock)
                sock.send(b"x" * 100)
                yield RECV(sock)
                sock.recv(100)
                print("hello")
            yield WAIT(0)
            clock.burn(0.001)

    def parker():
        with mark("request ☃"):
            for _ in range(5):
                yield WAIT(None)
                clock.burn(0.002)

    where = {"output": "withheld", "file": io.StringIO()}
    scheduler = Scheduler(clock=clock, poller=network, trace=trace, **where)
    for generator in (talker(left), talker(right), parker(), (WAIT(0.05) for _ in range(9))):
        scheduler.add(generator)
    scheduler.run()
    return trace
