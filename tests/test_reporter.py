"""Each event is told at its moment, and telling changes nothing."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings

import pytest
from fibers import raises, yields
from stories import story

from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.spans.check import check_story
from fiberlab.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT


def run(observer, **options):
    """Run a little of everything under `observer`; return what the fibers noted."""
    network = SimulatedNetwork()
    scheduler = Scheduler(
        3, observer, clock=network.clock, poller=network, file=io.StringIO(), **options
    )
    left, right = network.socketpair(latency=0.5)
    notes = []

    def fiber(name, *waits):
        for wait in waits:
            notes.append((name, network.clock.now()))
            try:
                yield wait
            except Exception as error:
                notes.append((name, type(error).__name__))

    def sends():
        yield SEND(right)
        right.send(b"x")

    scheduler.add(fiber("a", WAIT(0), RECV(left), RECV(left, timeout=0.25), WAIT(None)))
    scheduler.add(fiber("b", WAIT(1), 42, WAIT(None), WAIT(0)))
    scheduler.add(sends())
    scheduler.add(raises(ValueError("no"), WAIT(2)))
    scheduler.run()
    return notes


def raises_at_first(_event):
    raise ValueError


@pytest.mark.filterwarnings("ignore:the trace's observer")
def test_a_watched_fiber_does_what_it_does_unwatched():
    notes = [run(observer) for observer in (None, [].append, Trace(), raises_at_first)]

    assert notes[1:] == notes[:1] * 3


def test_a_list_and_a_trace_are_told_the_same():
    events, trace = [], Trace()
    run(events.append)
    run(trace)
    check_story(trace)

    assert events == list(trace)


def test_fibers_added_before_run_are_told_after_start_in_the_order_of_adding(scheduler, events):
    scheduler.add(yields(), "first")
    scheduler.add(yields(), "second")
    scheduler.run()

    assert [(event.ev, event.fid) for event in events][:5] == [
        ("start", 0),
        ("spawn", 1),
        ("wake", 1),
        ("spawn", 2),
        ("wake", 2),
    ]
    assert [event.name for event in events if event.ev == "spawn"] == ["first", "second"]


def test_a_spawn_tells_the_first_line_of_the_function(scheduler, events):
    def fiber():
        yield WAIT(0)

    scheduler.add(fiber())
    scheduler.run()
    spawn = next(event for event in events if event.ev == "spawn")

    assert spawn.src == f"test_reporter.py:{fiber.__code__.co_firstlineno}"


def test_a_yield_tells_the_line_of_the_innermost_generator(scheduler, events):
    def inner():
        yield WAIT(0)

    def outer():
        yield from inner()

    scheduler.add(outer())
    scheduler.run()
    yielded = next(event for event in events if event.ev == "yield")

    assert yielded.src == f"test_reporter.py:{inner.__code__.co_firstlineno + 1}"


def test_a_yield_on_a_socket_tells_its_number(scheduler, network, events):
    left, right = network.socketpair()
    right.send(b"x")
    scheduler.add(yields(RECV(left)))
    scheduler.run()
    yielded = next(event for event in events if event.ev == "yield")

    assert (yielded.op, yielded.fd, yielded.dt) == ("RECV", left.fileno(), None)


def test_steps_are_numbered_in_the_order_of_resuming(scheduler, events):
    scheduler.add(yields(WAIT(0)))
    scheduler.add(yields(WAIT(0)))
    scheduler.run()

    assert [event.step for event in events if event.ev == "resume"] == [1, 2, 3, 4]


def test_no_poll_is_told_when_fibers_are_ready_and_none_waits_on_a_socket(scheduler, events):
    scheduler.add(yields(*[WAIT(0)] * 9))
    scheduler.add(yields(*[WAIT(0)] * 9))
    scheduler.run()

    assert story(events, "poll", "polled") == []


def test_a_poll_records_how_long_it_may_take_and_how_many_fibers_wait(scheduler, network, events):
    left, _right = network.socketpair()
    scheduler.add(yields(RECV(left)))
    scheduler.add(yields(WAIT(2)))
    with pytest.raises(RuntimeError):
        scheduler.run()
    polls = story(events, "poll")

    assert polls[:2] == [("poll", 0, 2_000_000_000, 0, 1, 1), ("poll", 0, None, 0, 1, 0)]


@pytest.mark.parametrize(
    ("end", "reason"),
    [(None, "done"), (KeyboardInterrupt, "KeyboardInterrupt"), (SystemExit, "SystemExit")],
)
def test_stop_tells_why_run_was_left(scheduler, events, end, reason):
    scheduler.add(raises(end() if end else ValueError("no"), WAIT(1)))
    with contextlib.suppress(KeyboardInterrupt, SystemExit):
        scheduler.run()

    assert story(events)[-1] == ("stop", 0, reason)


def test_an_error_that_cannot_be_told_is_told_all_the_same(scheduler, events):
    class Unprintable(Exception):
        def __str__(self):
            raise RuntimeError

    scheduler.add(raises(Unprintable()))
    scheduler.run()
    ended = next(event for event in events if event.ev == "exit")

    assert ended.err == "Unprintable: its message cannot be printed"


def test_time_is_counted_from_the_entry_of_run(network, clock, events):
    clock.burn(100)
    scheduler = Scheduler(trace=events.append, clock=clock, poller=network)
    scheduler.add(yields(WAIT(1)))
    scheduler.run()

    assert (events[0].t, events[-1].t) == (0, 1_000_000_000)


def test_a_removed_observer_is_not_told_of_the_next_run_either(network, clock):
    told = []

    def observer(event):
        told.append(event)
        raise ValueError

    scheduler = Scheduler(trace=observer, clock=clock, poller=network)
    with pytest.warns(RuntimeWarning, match="was removed"):
        scheduler.run()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.run()

    assert len(told) == 1


@pytest.mark.live
def test_cpu_time_is_measured_when_it_is_asked_for():
    trace = Trace(cpu=True, stall_after=None)
    scheduler = Scheduler(trace=trace)
    scheduler.add(yields(WAIT(0), WAIT(0.001)))
    scheduler.run()
    steps = [event for event in trace if event.ev in ("yield", "exit")]

    assert [event.cpu is not None and event.cpu >= 0 for event in steps] == [True] * 3


@pytest.mark.live
def test_a_run_leaves_no_thread_behind():
    before = threading.active_count()
    scheduler = Scheduler(trace=Trace(stall_after=0.01))
    scheduler.add(yields(WAIT(0.05)))
    scheduler.run()

    assert threading.active_count() == before


def test_a_trace_with_a_call_of_its_own_is_told_each_event_and_keeps_them(network, clock):
    told = []

    class Watched(Trace):
        def __call__(self, event):
            told.append(event.ev)
            super().__call__(event)

    plain, watched = Trace(), Watched()
    for trace in (plain, watched):
        network = SimulatedNetwork()
        scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
        scheduler.add(yields(WAIT(1), WAIT(0)), "f")
        scheduler.run()

    assert told == [event.ev for event in watched]
    assert list(watched) == list(plain)
