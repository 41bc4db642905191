"""Facts of a run: stories, prints, the longest step, the culprits."""

from __future__ import annotations

import pytest

from fiberlab import RECV, SEND, WAIT, Scheduler, Trace, TraceEvent, start
from fiberlab.lab import culprits, longest_step, printed, stories, story
from fiberlab.trace.events import EventKind


@pytest.fixture
def trace(network) -> Trace:
    """A run in simulated time of fibers that yield everything there is."""
    ours, theirs = network.socketpair()

    def everything():
        yield WAIT(0)
        yield WAIT(0.5)
        yield SEND(ours)
        ours.send(b"x")
        print("sent")
        yield WAIT(None)

    def waiting():
        yield RECV(theirs)
        start(wrong(), "wrong")
        yield WAIT(0)

    def wrong():
        try:
            yield 42
        except TypeError:
            raise ValueError("as I said") from None

    recording = Trace()
    scheduler = Scheduler(
        trace=recording, clock=network.clock, poller=network, output="withheld", file=_Nowhere()
    )
    scheduler.add(everything())
    scheduler.add(waiting(), "waiting")
    scheduler.run()
    return recording


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def event(t: float, ev: str, fid: int, **fields: object) -> TraceEvent:
    return TraceEvent(round(t * 1e9), EventKind(ev), fid, fields)


def steps(*lengths: tuple[int, float, float]) -> list[TraceEvent]:
    """Make a run of one step for each (fiber, seconds, processor seconds)."""
    events = [event(0, "start", 0, schema=1, clock="perf_counter")]
    for fiber, _, _ in lengths:
        events.append(event(0, "spawn", fiber, name=f"f-{fiber}", by=0, src="a.py:1"))
        events.append(event(0, "wake", fiber, by=0, why="spawn", q=fiber))
    now = 0.0
    for number, (fiber, seconds, cpu) in enumerate(lengths, 1):
        events.append(event(now, "resume", fiber, step=number, q=len(lengths) - number))
        if seconds > 0.05:
            src, ran = f"a.py:{fiber}0", round(0.05e9)
            events.append(event(now + 0.05, "stall", fiber, src=src, func="time.sleep(1)", ran=ran))
        now += seconds
        cpu_ns = round(cpu * 1e9)
        events.append(event(now, "exit", fiber, how="return", cpu=cpu_ns))
    return [*events, event(now, "stop", 0, reason="done", dropped=0)]


def test_a_story_tells_each_yield_and_the_end(trace):
    assert stories(trace) == {
        "everything-1": ["ready", "sleep", "send", "parked", "return"],
        "waiting": ["recv", "ready", "return"],
        "wrong": ["invalid", "error"],
    }


def test_a_fiber_is_meant_by_name_or_id(trace):
    assert story(trace, "waiting") == story(trace, 2)


def test_a_fiber_that_is_not_there_is_told_with_those_that_are(trace):
    with pytest.raises(KeyError, match=r"no fiber 'echo-9' .* everything-1, waiting, wrong"):
        story(trace, "echo-9")


def test_a_story_is_told_of_a_list_of_events_too(trace):
    assert stories(list(trace)) == stories(trace)


def test_prints_are_told_with_their_fiber(trace):
    assert printed(trace) == [("everything-1", "sent")]


def test_the_longest_step_is_named_with_the_line_that_held_it():
    run = steps((1, 0.01, 0.01), (2, 0.2, 0.0), (3, 0.1, 0.1))

    assert longest_step(run) == ("f-2", 0.2, 0.0, "a.py:20")
    assert longest_step(run, "f-3") == ("f-3", 0.1, 0.1, "a.py:30")
    assert longest_step(run, 1)[:2] == ("f-1", 0.01)


def test_where_nobody_ran_there_is_no_longest_step():
    with pytest.raises(ValueError, match="no fiber has run"):
        longest_step([event(0, "start", 0, schema=1, clock="perf_counter")])


def test_culprits_are_who_blocked_or_computed_in_the_order_of_fibers():
    run = steps((1, 0.2, 0.2), (2, 0.01, 0.01), (3, 0.5, 0.0))

    assert [(each.name, each.kind) for each in culprits(run)] == [
        ("f-1", "CPU hog"),
        ("f-3", "blocking call"),
    ]
