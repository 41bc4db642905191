"""Lesson 08, the scheduler, read whole: its stepper, copies and figures, question and exercises."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from misconceptions import Wrong

from fiberlab import Scheduler, SimulatedNetwork, Trace, TraceError, build_spans
from fiberlab.lab import examine
from fiberlab.lab.lessons import l08_scheduler_read_whole as l08
from fiberlab.lab.lessons.l08_scheduler_read_whole.exercises import CHANGES
from fiberlab.lab.lessons.l08_scheduler_read_whole.experiment import LONG
from fiberlab.lab.lessons.l08_scheduler_read_whole.question import which_blocked
from fiberlab.lab.normal_form import read_notebook
from fiberlab.states import LEGAL_TRANSITIONS, OF_FIBERS, FiberState

LESSON = Path(__file__).parent.parent.parent / "notebooks" / "08_scheduler_read_whole.ipynb"
METHODS = [name for name, each in vars(Scheduler).items() if inspect.isfunction(each)]


@pytest.fixture
def axes():
    fig, both = plt.subplots(2)
    yield both
    plt.close(fig)


# -- The scheduler is read whole -------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_each_function_of_the_scheduler_is_shown(method):
    cells = read_notebook(LESSON)["cells"]
    shown = re.findall(r"Scheduler\.(\w+)", " ".join("".join(cell["source"]) for cell in cells))

    assert shown.count(method) == 1


# -- The question ----------------------------------------------------------------------


def simulated(long_step):
    """Return a trace of two fibers, one of which has a step of so many seconds."""
    network, trace = SimulatedNetwork(), Trace()

    def work(seconds):
        network.clock.burn(seconds)
        yield from ()

    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
    for seconds in (0.01, long_step):
        scheduler.add(work(seconds))
    scheduler.run()
    return trace


@pytest.mark.parametrize(("blocked", "choice"), [("A", "a"), ("B", "b"), ("C", "c"), ("AC", "d")])
def test_which_has_the_blocker_follows_from_the_longest_slices(blocked, choice):
    recordings = {each: simulated(0.5 if each in blocked else 0.02) for each in "ABC"}

    assert which_blocked(recordings) == choice


@pytest.mark.live
def test_the_recordings_differ_in_slices_gaps_and_silence():
    recordings = l08.three_recordings()

    assert which_blocked(recordings) == "c"
    assert [l08.quiet(recordings[each]) > LONG for each in "ABC"] == [True, False, True]
    assert [l08.longest_gap(recordings[each], "echo-2") > LONG for each in "ABC"] == [
        True, False, True,
    ]  # fmt: skip


def test_a_gap_lies_between_two_slices_of_one_fiber():
    trace = l08.four_fibers()

    assert l08.longest_gap(trace, "ann") == 0.02
    assert l08.longest_gap(trace, "ben") == 0.02
    assert l08.longest_slice(trace) == 0.01
    assert l08.quiet(trace) == 0.01


# -- The stepper -----------------------------------------------------------------------


def test_a_moment_tells_the_run_queue_and_who_waits_for_what():
    moment = l08.at_event(l08.four_fibers(), 27)

    assert str(moment) == (
        "event 27 at 20 ms: wake ben io\n"
        "  running:   none\n"
        "  run queue: ann, dan, ben\n"
        "  waiting:   cat for 35 ms to come\n"
        "  done:      -"
    )


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (1, "event 1 at 0 ms: start"),
        (2, "event 2 at 0 ms: spawn ann"),
        (11, "event 11 at 10 ms: yield ann WAIT(0)"),
        (14, "event 14 at 10 ms: yield ben RECV"),
        (18, "event 18 at 10 ms: yield dan WAIT(None)"),
        (32, "event 32 at 30 ms: yield dan WAIT(0.005)"),
        (34, "event 34 at 40 ms: exit ben return"),
    ],
)
def test_an_event_is_told_in_a_line(number, told):
    assert str(l08.at_event(l08.four_fibers(), number)).splitlines()[0] == told


def test_every_moment_agrees_with_the_events_and_with_the_spans():
    trace = l08.four_fibers()
    events, spans = list(trace), build_spans(trace)
    for number, event in enumerate(events, 1):
        moment = l08.at_event(trace, number)
        if "q" in event.fields:
            assert len(moment.queue) == event.q
        if number == len(events) or event.t < events[number].t:
            for life in spans.lives:
                [state] = [s.state for s in spans.of(life.id) if s.start <= event.t < s.end] or [
                    FiberState.DONE
                ]
                assert moment.states[life.name] is state


@pytest.mark.parametrize("number", [0, -1, 53])
def test_an_event_that_is_not_there_is_refused(number):
    with pytest.raises(ValueError, match="1 to 52"):
        l08.at_event(l08.four_fibers(), number)


def test_a_trace_without_its_beginning_is_refused():
    events = list(l08.four_fibers())[9:]

    with pytest.raises(TraceError, match="never spawned"):
        l08.at_event(events, 1)


# -- The copies ------------------------------------------------------------------------


def test_a_copy_has_its_line_changed_and_the_scheduler_is_as_it_was():
    before = list(l08.four_fibers())
    greedy = l08.change_line(*CHANGES["A"])

    assert greedy is not Scheduler
    assert list(l08.four_fibers(greedy)) != before
    assert list(l08.four_fibers()) == before


@pytest.mark.parametrize(
    ("method", "old", "message"),
    [
        ("jump", "queue", "no method 'jump'"),
        ("expire", "while True", "0 times"),
        ("expire", "fiber", "times"),
        ("expire", "", "0 times"),
        ("run_once", "self.poll()\n        self.expire()", "a part of one line"),
    ],
)
def test_a_change_that_is_not_of_one_line_is_refused(method, old, message):
    with pytest.raises(ValueError, match=message):
        l08.change_line(method, old, "pass")


def test_no_two_changes_and_not_the_real_scheduler_have_the_same_trace():
    traces = [l08.four_fibers(), *(l08.four_fibers(l08.change_line(*c)) for c in CHANGES.values())]

    assert all(one != other for n, one in enumerate(traces) for other in traces[:n])


@pytest.mark.parametrize("letter", CHANGES)
def test_each_change_is_in_the_table_of_the_lesson(letter):
    method, old, new = CHANGES[letter]
    cells = read_notebook(LESSON)["cells"]
    [row] = [
        line
        for cell in cells
        for line in "".join(cell["source"]).splitlines()
        if line.startswith(f"| **{letter}**")
    ]

    assert f"| `{method}` | `{old}" in row
    assert f" | `{new}" in row


# -- The figures -----------------------------------------------------------------------


def test_there_is_an_arrow_for_each_legal_transition(axes):
    l08.draw_states(axes[0])
    arrows = [each for each in axes[0].texts if getattr(each, "arrow_patch", None) is not None]

    legal = [after for state in OF_FIBERS for after in LEGAL_TRANSITIONS[state]]
    assert len(arrows) == sum(after in OF_FIBERS for after in legal) == 11
    assert {state.value for state in OF_FIBERS} <= {each.get_text() for each in axes[0].texts}
    assert l08.transitions()[1] == "running -> ready, recv, send, sleep, parked, done"


# -- The exercises ---------------------------------------------------------------------


def test_the_change_and_its_victim_pass():
    judgement = examine("l08-e1", ("C", "ben"), l08.mystery())

    assert str(judgement) == "passed: change C, and ben ends 50 ms later"


@pytest.mark.parametrize("answer", ["C", ("C",), 7, ("F", "ben"), (None, "ben")])
def test_an_answer_of_another_form_is_no_change(answer):
    judgement = examine("l08-e1", answer, l08.mystery())

    assert not judgement.passed
    assert judgement.attempted


def shares_of(trace, whole_of=None, states=("running",), idle=True):
    spans = build_spans(trace)
    told = {}
    for life in spans.lives:
        mine = spans.of(life.id)
        whole = sum(s.length for s in mine) if whole_of == "life" else spans.finish - spans.begin
        told[life.name] = sum(s.length for s in mine if s.state.value in states) / whole
    if idle:
        polls = sum(poll.end - poll.start for poll in spans.polls)
        told["idle"] = polls / (spans.finish - spans.begin)
    return told


def test_the_shares_of_running_pass():
    assert str(examine("l08-e2", shares_of)) == "passed: the shares and idle add up to 1"


def of_its_own_life(trace):
    return shares_of(trace, whole_of="life")


def ready_too(trace):
    return shares_of(trace, states=("running", "ready"))


def all_its_life(trace):
    return shares_of(trace, states=[state.value for state in FiberState])


def without_idle(trace):
    return shares_of(trace, idle=False)


def all_that_is_not_ready(trace):
    told = shares_of(trace)
    return {**told, "idle": len(build_spans(trace).polls)}


def nanoseconds(trace):
    spans = build_spans(trace)
    return {name: part * (spans.finish - spans.begin) for name, part in shares_of(trace).items()}


def by_wake_and_resume(events):
    queue = []
    for event in events:
        if event.ev == "wake":
            queue.append(event.fid)
        elif event.ev == "resume":
            queue.remove(event.fid)
    return queue


def test_a_queue_by_wake_and_resume_passes():
    judgement = examine("l08-e3", by_wake_and_resume)

    assert str(judgement) == "passed: the run queue after each event of two runs"


def taking_the_front(events):
    queue = []
    for event in events:
        if event.ev == "wake":
            queue.append(event.fid)
        elif event.ev == "resume":
            queue.pop(0)
    return queue


def spawned_too(events):
    queue = []
    for event in events:
        if event.ev in ("spawn", "wake"):
            queue.append(event.fid)
        elif event.ev == "resume":
            queue.remove(event.fid)
    return queue


def still_running(events):
    queue = []
    for event in events:
        if event.ev == "wake":
            queue.append(event.fid)
        elif event.ev in ("yield", "exit") and event.fid in queue:
            queue.remove(event.fid)
    return queue


def woken_first(events):
    return by_wake_and_resume(events)[::-1]


def only_for_data(events):
    queue = []
    for event in events:
        if event.ev == "wake" and event.why in ("spawn", "yield", "io"):
            queue.append(event.fid)
        elif event.ev == "resume" and event.fid in queue:
            queue.remove(event.fid)
    return queue


def nothing(events):
    by_wake_and_resume(events)


def given_mystery():
    return (l08.mystery(),)


WRONG = (
    Wrong("l08-e1", ("A", "ben"), "But cat runs in time", given_mystery),
    Wrong("l08-e1", ("B", "ben"), "the fiber that came last would be next", given_mystery),
    Wrong("l08-e1", ("D", "dan"), "the second would have to wait for a pass more", given_mystery),
    Wrong("l08-e1", ("E", "dan"), "its dashed bar ends as before", given_mystery),
    Wrong(
        "l08-e1", ("C", "ann"), "the one that holds the others up is not the victim", given_mystery
    ),
    Wrong("l08-e2", of_its_own_life, "divide by the whole run"),
    Wrong("l08-e2", ready_too, "ready is not running"),
    Wrong("l08-e2", all_its_life, "take those in which it runs"),
    Wrong("l08-e2", without_idle, "from each fiber's name, and from 'idle'"),
    Wrong("l08-e2", all_that_is_not_ready, "idle is the time in the poll"),
    Wrong("l08-e2", nanoseconds, "by the length of the run"),
    Wrong("l08-e3", taking_the_front, "take out the fiber that is resumed"),
    Wrong("l08-e3", spawned_too, "only a wake puts a fiber in"),
    Wrong("l08-e3", still_running, "a resume takes a fiber out"),
    Wrong("l08-e3", woken_first, "the front comes first in your list"),
    Wrong("l08-e3", only_for_data, "whatever it is woken for"),
    Wrong("l08-e3", nothing, "return a list"),
)
