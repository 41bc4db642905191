"""The scheduler that lessons 02, 05 and 06 build, and how it is watched."""

from __future__ import annotations

import select
import socket

import pytest

from fiberlab import (
    RECV,
    SEND,
    WAIT,
    Deadlock,
    Scheduler,
    SimulatedClock,
    SimulatedNetwork,
    build_spans,
)
from fiberlab.lab import stories
from fiberlab.lab.lessons.l06_wait.exercises import looks_under
from fiberlab.lab.lessons.l08_scheduler_read_whole import fibers, four_fibers
from fiberlab.lab.shared.grown import Parks, Sleeps, Sockets, Turns
from fiberlab.lab.shared.simulated_select import simulated_select
from fiberlab.lab.shared.watched import watch, watch_each


def moves(trace):
    return [(event.t, event.ev, event.fid, event.fields.get("why")) for event in trace if event.fid]


def four_under(build):
    network = SimulatedNetwork()
    clock, (ours, theirs) = network.clock, network.socketpair(latency=0.015)
    theirs.send(b"word")
    mine = build(simulated_select(network), clock)
    trace = watch(mine, clock)
    for fiber in (fibers.ann(clock), fibers.ben(clock, ours), fibers.cat(clock), fibers.dan(clock)):
        mine.add(fiber)
    mine.run()
    return trace


def sleeper(clock, log, *waits):
    for wait in waits:
        yield wait
        log.append((wait.seconds, round(clock.now(), 9)))


def slept(*waits_of_each):
    network, log = SimulatedNetwork(), []
    mine = Sleeps(simulated_select(network), network.clock)
    for waits in waits_of_each:
        mine.add(sleeper(network.clock, log, *map(WAIT, waits)))
    mine.run()
    return log


# -- The four steps --------------------------------------------------------------------


def test_the_last_step_makes_the_same_events_as_the_real_scheduler():
    assert moves(four_under(Parks)) == moves(four_fibers())


@pytest.mark.parametrize("waiters", [1, 2, 3])
@pytest.mark.parametrize("pauses", [None, 0, 1, 3])
def test_parked_fibers_look_as_often_as_under_the_real_scheduler(waiters, pauses):
    network = SimulatedNetwork()
    real = Scheduler(clock=network.clock, poller=network)
    looks = looks_under(real, waiters, pauses)

    assert looks_under(Parks(), waiters, pauses) == looks
    assert len(looks) < 50


def test_sleepers_wake_in_order_of_deadline():
    assert slept([3], [1], [2]) == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_equal_deadlines_are_first_come_first_served():
    assert slept([0, 2], [2.0], [2]) == [(0, 0.0), (2.0, 2.0), (2, 2.0), (2, 2.0)]


def test_a_deadline_between_two_nanoseconds_is_reached():
    assert slept([0.1, 0.2]) == [(0.1, 0.1), (0.2, 0.3)]


def test_what_is_parked_when_nothing_is_left_to_run_does_not_keep_the_run_going():
    def parks():
        yield WAIT(None)

    mine = Parks()
    mine.add(parks())
    mine.run()

    assert [each.__name__ for each in mine.parked] == ["parks"]


@pytest.mark.live
def test_real_sockets_are_served():
    def echo(sock):
        yield RECV(sock)
        data = sock.recv(9)
        yield SEND(sock)
        sock.send(data.upper())

    left, right = socket.socketpair()
    with left, right:
        right.send(b"word")
        mine = Sockets()
        mine.add(echo(left))
        mine.run()

        assert right.recv(9) == b"WORD"


# -- A simulated select ----------------------------------------------------------------


def test_a_simulated_select_answers_as_the_real_one_and_the_clock_jumps():
    network = SimulatedNetwork()
    ours, theirs = network.socketpair(latency=0.5)
    theirs.send(b"word")
    ask = simulated_select(network)

    assert ask([ours], [ours], [], 0) == ([], [ours], [])
    assert ask([ours.fileno()], [], [], 2) == ([ours.fileno()], [], [])
    assert network.clock.now() == 0.5


def test_a_simulated_select_that_nothing_can_end_is_a_deadlock():
    network = SimulatedNetwork()
    ours, _theirs = network.socketpair()

    with pytest.raises(Deadlock):
        simulated_select(network)([ours], [], [])


def test_a_simulated_select_refuses_a_negative_timeout_as_the_real_one_does():
    for ask in (simulated_select(SimulatedNetwork()), select.select):
        with pytest.raises(ValueError, match="timeout must be non-negative"):
            ask([], [], [], -1)


def test_a_simulated_select_that_is_to_wait_waits():
    network = SimulatedNetwork()
    network.clock.burn(0.1)
    simulated_select(network)([], [], [], 1e-12)

    assert network.clock.now_ns() == 100_000_001


# -- How it is watched -----------------------------------------------------------------


def turns(count):
    for _ in range(count):
        yield


def test_generators_stepped_by_hand_are_recorded_and_do_what_they_did():
    each, trace = watch_each({"ann": turns(2), "ben": turns(1)})
    for name in ("ann", "ben", "ann", "ben", "ann"):
        next(each[name], None)

    told = {life.name: life.died for life in build_spans(trace).lives}
    assert told == {"ann": 50_000_000, "ben": 40_000_000}
    assert next(each["ann"], "ended") == "ended"


def test_what_is_sent_and_thrown_into_a_watched_generator_arrives():
    def listen():
        heard = yield
        try:
            yield heard
        except ValueError as error:
            return str(error)

    each, trace = watch_each({"ann": listen()})
    next(each["ann"])

    assert each["ann"].send("word") == "word"
    with pytest.raises(StopIteration, match="no paper"):
        each["ann"].throw(ValueError("no paper"))
    assert stories(trace) == {"ann": ["ready", "ready", "return"]}


def test_a_watched_generator_that_is_closed_was_cancelled():
    each, trace = watch_each({"ann": turns(3)})
    next(each["ann"])
    each["ann"].close()

    assert stories(trace) == {"ann": ["ready", "cancel"]}


class ByAnotherWay(Turns):
    """Puts no fiber into its queue by append."""

    def park(self, fiber, wait):
        self.queue += [fiber]


class ByAList(Turns):
    """Uses its queue as a list."""

    def __init__(self):
        super().__init__()
        self.queue = []

    def run_ready(self):
        ready, self.queue[:] = list(self.queue), []
        for fiber in ready:
            self.turn(fiber)

    def park(self, fiber, wait):
        self.queue.insert(len(self.queue), fiber)


class ByAQueueEachPass(Turns):
    """Makes a new queue in each pass, which tells nothing."""

    def run_ready(self):
        ready, self.queue = self.queue, []
        while ready:
            self.turn(ready.pop(0))


class Stack(Turns):
    """Resumes the fiber that came last."""

    def run_ready(self):
        self.turn(self.queue.pop())


@pytest.mark.parametrize(
    ("build", "order"),
    [
        *((each, [1, 2, 1, 2]) for each in (Turns, ByAnotherWay, ByAList, ByAQueueEachPass)),
        (Stack, [2, 2, 1, 1]),
    ],
)
def test_a_scheduler_of_any_style_can_be_watched(build, order):
    mine = build()
    trace = watch(mine, SimulatedClock())
    mine.add(turns(1))
    mine.add(turns(1))
    mine.run()

    assert [event.fid for event in trace if event.ev == "resume"] == order
    assert build_spans(trace).lives[1].name == "turns-2"


def test_a_fiber_that_fails_is_recorded_and_its_error_comes_out():
    def broken():
        yield
        raise ValueError("no paper")

    mine = Turns()
    trace = watch(mine)
    mine.add(broken())

    with pytest.raises(ValueError, match="no paper"):
        mine.run()
    assert stories(trace) == {"broken": ["ready", "error"]}


def test_a_scheduler_that_has_fibers_is_watched_too_late():
    mine = Turns()
    mine.add(turns(1))

    with pytest.raises(ValueError, match="comes before the first add"):
        watch(mine)


def test_the_select_of_a_watched_scheduler_is_seen_waiting():
    network = SimulatedNetwork()
    mine = Sleeps(simulated_select(network), network.clock)
    trace = watch(mine, network.clock)
    mine.add(sleeper(network.clock, [], WAIT(2)))
    mine.run()

    [poll] = build_spans(trace).polls
    assert (poll.start, poll.end) == (0, 2_000_000_000)
    assert mine.select is not select.select
