"""Spans: what is made of events, and the laws they keep."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiberlab.billing import bill
from fiberlab.diagnosis import diagnose
from fiberlab.errors import TraceError
from fiberlab.recording import StallRecorder
from fiberlab.report import summarize
from fiberlab.spans.build import build_spans
from fiberlab.spans.check import check_story
from fiberlab.spans.spans import Life, Poll, Span, Unwatched
from fiberlab.spans.stalls import Stall
from fiberlab.states import FiberState
from fiberlab.trace import Trace
from fiberlab.trace.events import FIELDS, EventKind, TraceEvent

pytestmark = pytest.mark.once

READY, RUNNING, RECV, SEND, SLEEP, PARKED = list(FiberState)[:6]


def event(t: int, ev: str, fid: int = 0, **fields: object) -> TraceEvent:
    assert set(fields) <= set(FIELDS[ev])
    return TraceEvent(t, EventKind(ev), fid, fields)


def story(*lines: str) -> list[TraceEvent]:
    """Read events from lines such as "30 yield 1 op=WAIT dt=50"."""

    def value(text: str) -> object:
        return int(text) if text.lstrip("-").isdigit() else text

    events = []
    for line in lines:
        t, ev, fid, *fields = line.split()
        told = {key: value(text) for key, _, text in (field.partition("=") for field in fields)}
        events.append(event(int(t), ev, int(fid), **told))
    return events


NAP = (
    "0 start 0 schema=1 clock=perf_counter",
    "10 spawn 1 name=nap-1 by=0 src=a.py:1",
    "11 wake 1 by=0 why=spawn q=1",
    "20 resume 1 step=1 q=0",
    "30 yield 1 op=WAIT dt=50 src=a.py:2 cpu=9",
    "31 poll 0 timeout=49 q=0 nfd=0 ntimer=1",
    "90 polled 0 n=0",
    "91 wake 1 by=0 why=timer q=1 late=11",
    "95 resume 1 step=2 q=0",
    "99 exit 1 how=return cpu=3",
    "100 stop 0 reason=done dropped=0",
)


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ("run.fiber.jsonl", "load it by Trace.load(path)"),
        (Path("run.fiber.jsonl"), "load it by Trace.load(path)"),
        (StallRecorder(), "give its .trace()"),
        (SimpleNamespace(trace=Trace()), "give its .trace"),
        (None, "got None"),
        ([1, 2], "got [1, 2]"),
    ],
)
@pytest.mark.parametrize("study", [build_spans, diagnose, summarize, bill])
def test_what_is_no_trace_is_told_with_the_remedy(study, given, remedy):
    with pytest.raises(TypeError, match=r"a Trace is needed, or a list of its events") as told:
        study(given)

    assert str(told.value).endswith(remedy)


def test_events_become_spans_with_their_details():
    spans = build_spans(story(*NAP))

    assert list(spans) == [
        Span(1, READY, 11, 20, why="spawn", by=0),
        Span(1, RUNNING, 20, 30, src="a.py:2", step=1, cpu=9),
        Span(1, SLEEP, 30, 91, src="a.py:2", duration=50),
        Span(1, READY, 91, 95, why="timer", by=0, late=11),
        Span(1, RUNNING, 95, 99, step=2, cpu=3),
    ]
    assert spans.lives == [Life(1, "nap-1", 0, "a.py:1", 11, 11, 99, "return")]
    assert spans.polls == [Poll(31, 90, 49, 0)]
    assert list(zip(*spans.depth, strict=True)) == [(11, 1), (20, 0), (91, 1), (95, 0)]


def test_the_run_queue_is_counted_where_a_trace_does_not_tell_its_length():
    spans = build_spans(
        story(
            "0 start 0 schema=1",
            "1 spawn 1 name=a by=0",
            "2 wake 1 by=0 why=spawn",
            "3 spawn 2 name=b by=0",
            "4 wake 2 by=0 why=spawn",
            "5 resume 1",
            "6 exit 1 how=return src=a.py:9",
            "7 resume 2",
            "8 exit 2 how=return",
        )
    )

    assert list(zip(*spans.depth, strict=True)) == [(2, 1), (4, 2), (5, 1), (7, 0)]
    assert [life.last_src for life in spans.lives] == ["a.py:9", None]


def test_the_length_that_a_trace_tells_of_the_run_queue_goes_before_what_was_counted():
    spans = build_spans(
        story(
            "0 start 0 schema=1",
            "1 spawn 1 name=a by=0",
            "2 wake 1 by=0 why=spawn q=7",
            "3 resume 1 q=5",
        )
    )

    assert list(zip(*spans.depth, strict=True)) == [(2, 7), (3, 5)]


def test_data_cannot_have_lain_longer_than_its_fiber_waited():
    spans = build_spans(
        story(
            "0 start 0 schema=1",
            "1 spawn 1 name=a by=0",
            "2 wake 1 by=0 why=spawn q=1",
            "3 resume 1 q=0",
            "10 yield 1 op=RECV fd=7",
            "30 wake 1 by=0 why=io q=1 hidden=25",
        )
    )

    assert spans.hidden == [(2, 20)]


def test_the_times_of_a_fiber_add_up_to_its_life():
    spans = build_spans(story(*NAP))

    assert spans.totals(1) == {READY: 13, RUNNING: 14, RECV: 0, SEND: 0, SLEEP: 61, PARKED: 0}
    assert spans.totals() == spans.totals(1)
    assert sum(spans.totals(1).values()) == 99 - 11


def test_wait_zero_goes_straight_to_ready():
    spans = build_spans(
        story(
            "1 spawn 1 name=a",
            "2 wake 1 by=0 why=spawn q=1",
            "3 resume 1 step=1 q=0",
            "5 yield 1 op=WAIT dt=0 src=a.py:2",
            "6 wake 1 by=1 why=yield q=1",
            "9 resume 1 step=2 q=0",
            "12 exit 1 how=return",
        )
    )

    assert list(spans) == [
        Span(1, READY, 2, 3, why="spawn", by=0),
        Span(1, RUNNING, 3, 5, src="a.py:2", step=1),
        Span(1, READY, 5, 9, why="yield", by=1),
        Span(1, RUNNING, 9, 12, step=2),
    ]
    check_story(spans)


@pytest.mark.parametrize(
    ("wait", "state"),
    [
        ("op=RECV fd=7", RECV),
        ("op=SEND fd=7", SEND),
        ("op=WAIT dt=5", SLEEP),
        ("op=WAIT", PARKED),
        ("op=invalid", READY),
    ],
)
def test_each_wait_has_its_state(wait, state):
    lines = ("1 spawn 1 name=a", "2 wake 1 why=spawn q=1", "3 resume 1 q=0", f"4 yield 1 {wait}")

    spans = build_spans(story(*lines, "9 stop 0 reason=stopped"))

    assert [(span.state, span.start, span.end, span.unfinished) for span in spans] == [
        (READY, 2, 3, False),
        (RUNNING, 3, 4, False),
        (state, 4, 9, True),
    ]


def test_a_span_open_at_the_end_is_closed_there_and_unfinished():
    spans = build_spans(story(*NAP[:4], "50 poll 0 timeout=5 q=0", "70 output 1 text=hello"))

    assert list(spans)[-1] == Span(1, RUNNING, 20, 70, step=1, unfinished=True)
    assert spans.polls == [Poll(50, 70, 5, None, unfinished=True)]
    assert spans.lives[0].died is None


def test_a_stall_belongs_to_the_step_it_was_seen_in():
    spans = build_spans(story(*NAP[:4], "28 stall 1 src=a.py:9 func=nap() ran=8", *NAP[4:]))

    assert spans.stalls == [Stall(28, 1, "a.py:9", "nap()", 8, step=1)]
    assert spans[1].state is RUNNING


def test_a_step_knows_the_line_it_began_and_the_line_it_ended_at():
    spans = build_spans(story(*NAP))
    first, second = spans.steps()

    assert [spans.resumed_at(first), spans[first].src] == ["a.py:1", "a.py:2"]
    assert [spans.resumed_at(second), spans[second].src] == ["a.py:2", None]


@pytest.mark.parametrize(
    ("looks", "held"),
    [
        ([], ("a.py:1 to a.py:2", None, False)),
        (["src=a.py:9 func=nap()"], ("a.py:9", "a.py:9", True)),
        # The first at which a call was under way; the last, if there was none.
        (["src=a.py:7 func=nap()", "src=a.py:9 func=count()"], ("a.py:7", "a.py:7", True)),
        (["src=a.py:7 func=x=1", "src=a.py:9 func=nap()"], ("a.py:9", "a.py:9", True)),
        (["src=a.py:7 func=x=1", "src=a.py:9 func=y=2"], ("a.py:9", "a.py:9", True)),
    ],
)
def test_a_step_was_held_where_it_was_seen_else_between_its_two_lines(looks, held):
    told = [f"{25 + n} stall 1 {look} ran=5" for n, look in enumerate(looks)]
    spans = build_spans(story(*NAP[:4], *told, *NAP[4:]))

    found = spans.held_at(spans.steps()[0])
    assert (found.text, found.line, found.seen) == held


def test_a_line_that_a_trace_does_not_tell_is_left_out():
    spans = build_spans(story(*NAP))

    assert [spans.held_at(step).text for step in spans.steps()] == ["a.py:1 to a.py:2", "a.py:2"]


def test_steps_can_be_asked_for_by_length():
    assert build_spans(story(*NAP)).steps(at_least=5e-9) == [1]


MS = 1_000_000

HELD = (
    "0 spawn 1 name=waits",
    "0 wake 1 why=spawn q=1",
    "0 spawn 2 name=holds",
    "0 wake 2 why=spawn q=2",
    "1 resume 1 step=1 q=1",
    "2 yield 1 op=RECV fd=7",
    f"{3 * MS} resume 2 step=2 q=0",
    f"{23 * MS} yield 2 op=WAIT dt=0",
    f"{23 * MS} wake 2 by=2 why=yield q=1",
    f"{24 * MS} poll 0 timeout=0 q=1",
    f"{25 * MS} polled 0 n=1",
    f"{25 * MS} wake 1 by=0 why=io q=2",
)


def test_a_wait_under_a_long_step_is_unwatched():
    spans = build_spans(story(*HELD))

    assert spans.unwatched() == [Unwatched(1, RECV, 3 * MS, 23 * MS, by=2)]
    assert spans.unwatched(longer=0.021) == []
    assert spans.unwatched(among=[0]) == []


def test_spans_are_taken_as_they_are():
    spans = build_spans(story(*NAP))

    assert build_spans(spans) is spans


def test_a_recorded_trace_and_its_events_give_the_same_spans():
    trace = Trace()
    for each in story(*NAP):
        trace(each)

    assert list(build_spans(trace)) == list(build_spans(story(*NAP)))


def test_no_events_are_no_spans():
    spans = build_spans([])

    assert (list(spans), spans.lives, spans.begin, spans.finish) == ([], [], 0, 0)


# -- Traces that lost their beginning -------------------------------------------------


def test_a_dropped_beginning_is_not_made_up():
    events = story(*NAP[:2], *NAP[7:10], "100 stop 0 reason=done dropped=5")

    spans = build_spans(events)

    assert list(spans) == [
        Span(1, READY, 91, 95, why="timer", by=0, late=11),
        Span(1, RUNNING, 95, 99, step=2, cpu=3),
    ]
    assert spans.lives == [Life(1, "nap-1", 0, "a.py:1", 10, 91, 99, "return")]
    assert spans.dropped == 5
    check_story(events)


def test_a_fiber_whose_spawn_was_lost_is_called_by_its_id():
    spans = build_spans(story("5 resume 7 step=3 q=2", "9 yield 7 op=RECV fd=3"))

    assert spans.lives == [Life(7, "fiber-7", known=5)]


def test_a_flight_recorder_keeps_a_story_that_holds():
    trace = Trace(limit=40)
    for number, line in enumerate(turns(fibers=3, passes=50)):
        trace(line)
        assert number < 2 or build_spans(trace)

    assert trace.dropped > 0
    check_story(trace)


def turns(fibers: int, passes: int) -> list[TraceEvent]:
    """Tell of fibers that yield WAIT(0), pass after pass."""
    lines = ["0 start 0 schema=1"]
    for fid in range(1, fibers + 1):
        lines += [f"1 spawn {fid} name=f", f"1 wake {fid} by=0 why=spawn q={fid}"]
    for step in range(passes * fibers):
        fid, t = step % fibers + 1, 10 * step + 10
        lines.append(f"{t} resume {fid} step={step + 1} q={fibers - 1}")
        lines.append(f"{t + 5} yield {fid} op=WAIT dt=0")
        lines.append(f"{t + 5} wake {fid} by={fid} why=yield q={fibers}")
    return story(*lines)


# -- Traces that cannot be ------------------------------------------------------------

BORN = ("1 spawn 3 name=c", "2 wake 3 by=0 why=spawn q=1")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            (*BORN, "3 resume 3 q=0", "4 exit 3 how=return", "5 resume 3 q=0"),
            "fiber 3 goes from done to running at event 5; is this trace cut or merged?",
        ),
        ((*BORN, "3 wake 3 why=io q=2"), "fiber 3 goes from ready to ready at event 3"),
        ((*BORN, "3 yield 3 op=RECV fd=1"), "fiber 3 goes from ready to recv at event 3"),
        ((*BORN, "3 resume 3 q=0", "4 resume 3 q=0"), "from running to running at event 4"),
        ((*BORN, *BORN), "fiber 3 is spawned a second time at event 3"),
        ((*BORN, "1 resume 3 q=0"), "event 3 goes back in time; is this trace merged?"),
        ((*BORN, "3 start 0 schema=1"), "event 3 is a second start; is this trace merged?"),
        (("1 resume 0 q=0",), "event 1 is a resume of fiber 0; ids begin at 1"),
        ((f"{2**63} resume 1 q=0",), "more than 63 bits"),
    ],
)
def test_an_impossible_trace_is_refused(lines, message):
    with pytest.raises(TraceError) as caught:
        build_spans(story(*lines))

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            (*BORN, "3 resume 3 q=2"),
            "event 3 says that the run queue holds 2, but it holds 0",
        ),
        (
            (*BORN, "2 spawn 4 name=d", "2 wake 4 q=2 why=spawn", "3 resume 3 q=1",
             "4 resume 4 q=0"),
            "fiber 4 is resumed at event 6 while fiber 3 runs",
        ),
        ((*BORN, "3 resume 3 q=0", "9 output 3 text=a", "8 mark 3 name=b"), "goes back in time"),
        ((BORN[0], "3 resume 3 q=0"), "fiber 3 begins in the middle"),
        ((BORN[0], "3 wake 3 why=io q=1"), "begins in the middle, and nothing was dropped"),
    ],
)  # fmt: skip
def test_check_story_names_the_law_that_is_broken(lines, message):
    build_spans(story(*lines))
    with pytest.raises(TraceError) as caught:
        check_story(story(*lines))

    assert message in str(caught.value)


# -- Any story that a scheduler can tell ----------------------------------------------


class Teller:
    """Makes a legal story from choices: a scheduler without programs."""

    def __init__(self, choose: Callable[[int], int]) -> None:
        self.choose = choose  # a number from 0 up to the one given
        self.events = [event(0, "start", schema=1)]
        self.queue: list[int] = []
        self.waiting: list[int] = []
        self.t = self.fibers = self.steps = 0

    def tell(self, ev: str, fid: int = 0, **fields: object) -> None:
        self.t += self.choose(3)
        self.events.append(event(self.t, ev, fid, **fields))

    def wake(self, fid: int, why: str) -> None:
        self.queue.append(fid)
        self.tell("wake", fid, by=0, why=why, q=len(self.queue))

    def spawn(self) -> None:
        self.fibers += 1
        self.tell("spawn", self.fibers, name=f"f-{self.fibers}", by=0)
        self.wake(self.fibers, "spawn")

    def step(self) -> None:
        fid = self.queue.pop(0)
        self.steps += 1
        self.tell("resume", fid, step=self.steps, q=len(self.queue))
        if self.choose(5) == 0:
            self.spawn()
        ending = self.choose(6)
        if ending == 0:
            self.tell("exit", fid, how="return")
        elif ending == 1:
            self.tell("yield", fid, op="WAIT", dt=0)
            self.wake(fid, "yield")
        else:
            waits = [("RECV", None), ("SEND", None), ("WAIT", 5), ("WAIT", None), ("RECV", None)]
            op, dt = waits[ending - 2]
            self.tell("yield", fid, op=op, **({} if dt is None else {"dt": dt}))
            self.waiting.append(fid)

    def poll(self) -> None:
        self.tell("poll", q=len(self.queue))
        self.tell("polled", n=1)
        if self.waiting:
            self.wake(self.waiting.pop(self.choose(len(self.waiting) - 1)), "io")


@st.composite
def stories(draw: st.DrawFn) -> list[TraceEvent]:
    teller = Teller(lambda most: draw(st.integers(0, most)))
    for _ in range(draw(st.integers(1, 3))):
        teller.spawn()
    for _ in range(draw(st.integers(0, 25))):
        if teller.queue and teller.choose(3):
            teller.step()
        else:
            teller.poll()
    return teller.events


@given(stories())
def test_the_spans_of_a_fiber_tile_its_life(events):
    check_story(events)
    spans = build_spans(events)

    for life in spans.lives:
        mine = spans.of(life.id)
        end = events[-1].t if life.died is None else life.died
        edges = [life.born, *(span.end for span in mine)]
        assert [span.start for span in mine] == edges[:-1]
        assert sum(spans.totals(life.id).values()) == end - life.born


@given(stories())
def test_running_spans_never_overlap(events):
    steps = [span for span in build_spans(events) if span.state is RUNNING]

    assert all(before.end <= after.start for before, after in pairwise(steps))


@given(stories(), st.integers(0, 100))
def test_a_trace_cut_anywhere_still_gives_spans(events, length):
    cut = events[:length]

    spans = build_spans(cut)

    assert [span.end for span in spans if span.unfinished and span.end != spans.finish] == []


@given(stories(), st.integers(0, 40))
def test_a_step_began_where_its_fiber_had_yielded_last(events, dropped):
    """Also where the beginning of the trace is missing, and the fiber's first line is known."""
    events = [
        each._replace(fields=each.fields | {"src": f"a.py:{line}"})
        if each.ev in ("spawn", "yield")
        else each
        for line, each in enumerate(events)
    ]
    named = [each for each in events[:dropped] if each.ev in ("start", "spawn")]
    spans = build_spans(named + events[dropped:])
    said = {event.fid: event.src for event in named + events if event.ev == "spawn"}
    began: dict[int, str | None] = {}
    for i in spans.steps():
        before = list(spans.rows[: spans.first[i]])
        fiber = spans[i].fiber
        yields = [row[6] for row in before if row[2] == fiber and row[1] == "yield"]
        began[i] = yields[-1] if yields else said.get(fiber)

    assert {i: spans.resumed_at(i) for i in spans.steps()} == began
