"""Lesson 06, WAIT: what its question and its exercises make of an answer."""

from __future__ import annotations

import contextlib
import time

import pytest
from cells import defined_in
from matplotlib.figure import Figure
from misconceptions import Wrong

from fiberlab import WAIT, Deadlock, Scheduler, SimulatedNetwork, Trace, TraceEvent
from fiberlab.lab import examine
from fiberlab.lab.lessons.l06_wait import (
    OldLoop,
    beats,
    draw_drift,
    draw_visits,
    draw_waits,
    returns,
    visit_museum,
    visit_ours,
)
from fiberlab.lab.lessons.l06_wait.exercises import pausing
from fiberlab.lab.lessons.l06_wait.experiment import Visit
from fiberlab.lab.lessons.l06_wait.question import when_zero_returns
from fiberlab.trace.events import EventKind


def asker(*waits):
    yield from waits


def walker():
    for _ in range(3):
        yield WAIT(0.1)


def run(*waits):
    network, trace = SimulatedNetwork(), Trace()
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    scheduler.add(walker(), "walker")
    scheduler.add(asker(*waits), "asker")
    scheduler.run()
    return trace


def test_an_asker_is_resumed_when_the_table_of_waits_says():
    assert returns(run(WAIT(0))) == [0]
    assert returns(run(WAIT(None))) == [100]
    assert returns(run(WAIT(None), WAIT(None))) == [100, 200]
    assert returns(run(WAIT(0.25))) == [250]


# -- The toy -------------------------------------------------------------------------


def looking(name, looks, flag):
    while not flag and len(looks) < 50:
        looks.append(name)
        yield WAIT(None)


def setting(flag, pauses):
    for _ in range(pauses):
        yield WAIT(0)
    flag.append("set")


def looks_under(scheduler, waiters, pauses):
    """Return who looked, in order, until the flag was set; pauses: None, it is never set."""
    looks, flag = [], []
    for number in range(waiters):
        scheduler.add(looking(number, looks, flag))
    if pauses is not None:
        scheduler.add(setting(flag, pauses))
    with contextlib.suppress(Deadlock):
        scheduler.run()
    return looks


@pytest.mark.parametrize("waiters", [1, 2, 3])
@pytest.mark.parametrize("pauses", [None, 0, 1, 3])
def test_the_toy_of_step_6_wakes_parked_fibers_as_the_scheduler_does(waiters, pauses):
    toy = defined_in("06", "ParkingToy").ParkingToy
    network = SimulatedNetwork()
    real = Scheduler(clock=network.clock, poller=network)
    looks = looks_under(real, waiters, pauses)

    assert looks_under(toy(SimulatedNetwork().clock), waiters, pauses) == looks
    assert len(looks) < 50


def test_without_the_exception_two_fibers_wake_each_other_for_ever():
    toy = defined_in("06", "ParkingToy", "AnybodyWakes").AnybodyWakes

    assert len(looks_under(toy(SimulatedNetwork().clock), 2, None)) == 50


# -- The question ----------------------------------------------------------------------


def event(t, ev, fid, **fields):
    return TraceEvent(t, EventKind(ev), fid, fields)


SPAWN = event(0, "spawn", 2, name="asker")
YIELD = event(1, "yield", 2, op="WAIT", dt=0)


@pytest.mark.parametrize(
    ("trace", "choice"),
    [
        ([SPAWN, YIELD, event(2, "resume", 2)], "a"),
        (run(WAIT(0)), "b"),
        (run(WAIT(None)), "c"),
        ([SPAWN, YIELD, event(2, "resume", 1)], "d"),
    ],
)
def test_when_zero_returns_follows_from_the_events_after_it(trace, choice):
    assert when_zero_returns(trace) == choice


# -- The pictures ----------------------------------------------------------------------


def test_a_drifting_heart_is_late_by_the_work_of_each_beat():
    assert beats(0.03) == {
        "after the work": [0, 130, 260, 390, 520, 650, 780],
        "until the deadline": [0, 100, 200, 300, 400, 500, 600],
    }


def test_the_drift_is_told_in_the_titles():
    figure = Figure()
    draw_drift(figure.subplots(2), 0.03)

    assert [ax.get_title(loc="left") for ax in figure.axes] == [
        "sleep after the work: the last beat is 180 ms late",
        "sleep until the deadline: the last beat is 0 ms late",
    ]


def test_the_waits_are_drawn_in_the_order_in_which_they_are_given():
    figure = Figure()
    draw_waits(figure.subplots(), {"WAIT(0)": run(WAIT(0)), "WAIT(None)": run(WAIT(None))})

    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["WAIT(0)", "WAIT(None)", "the walker's steps"]


def test_a_visit_that_ben_had_to_end_says_so_in_its_picture():
    figure = Figure()
    draw_visits(figure.subplots(), {"old": Visit(ben=0.3, answered=0.31, after_ben=True)})

    assert "ben connects" in [text.get_text() for text in figure.axes[0].texts]


# -- The museum ------------------------------------------------------------------------


@pytest.mark.live
@pytest.mark.parametrize("wait", [WAIT(0), WAIT(None)])
def test_the_old_loop_answers_after_one_wait_and_stalls_after_two(wait):
    one, two = (visit_museum(OldLoop, pausing(*[wait] * n)) for n in (1, 2))

    assert (one.in_time, one.ben) == (True, None)
    assert (two.in_time, two.after_ben) == (False, True)


@pytest.mark.live
def test_our_scheduler_answers_after_two_zero_waits():
    assert visit_ours(pausing(WAIT(0), WAIT(0))).in_time


@pytest.mark.live
def test_a_visit_ends_and_raises_what_ended_the_loop():
    class Broken(OldLoop):
        def park(self, fiber, wait):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        visit_museum(Broken, pausing())


# -- Exercise 1: a heartbeat -----------------------------------------------------------


def steady(clock, period, beat, times):
    due = clock.now()
    for _ in range(times):
        beat()
        due += period
        yield WAIT(max(0, due - clock.now()))


def drifting(clock, period, beat, times):
    for _ in range(times):
        beat()
        yield WAIT(period)


def from_the_last_beat(clock, period, beat, times):
    for _ in range(times):
        began = clock.now()
        beat()
        yield WAIT(max(0, began + period - clock.now()))


def into_the_past(clock, period, beat, times):
    due = clock.now()
    for _ in range(times):
        beat()
        due += period
        yield WAIT(due - clock.now())


def asking_the_clock(clock, period, beat, times):
    due = clock.now()
    for _ in range(times):
        beat()
        due += period
        while clock.now() < due:
            yield WAIT(0)


def holding_the_loop(clock, period, beat, times):
    due = clock.now()
    for _ in range(times):
        beat()
        due += period
        while clock.now() < due:
            pass
        yield WAIT(0)


def from_zero(clock, period, beat, times):
    for number in range(times):
        beat()
        yield WAIT(max(0, (number + 1) * period - clock.now()))


def no_fiber(*_given):
    return None


def test_a_heart_that_waits_for_deadlines_passes():
    judgement = examine("l06-e1", steady)

    assert judgement.passed
    assert judgement.seen.startswith("beats at 500, 600, 700, 850, 900 ms")


# -- Exercise 2: the stall -------------------------------------------------------------


class Mended(OldLoop):
    def park(self, fiber, wait):
        if wait == WAIT(0):
            self.sleepers[fiber] = time.monotonic()
        else:
            super().park(fiber, wait)


class NoneIsZero(OldLoop):
    def park(self, fiber, wait):
        if isinstance(wait, WAIT):
            self.sleepers[fiber] = time.monotonic() + (wait.seconds or 0)
        else:
            super().park(fiber, wait)


class NeverSleeping(OldLoop):
    def park(self, fiber, wait):
        if isinstance(wait, WAIT) and wait.seconds is not None:
            self.sleepers[fiber] = time.monotonic()
        else:
            super().park(fiber, wait)


class Spinning(Mended):
    def poll(self):
        fiber = (each for each in [])
        self.sleepers[fiber] = 0.0
        return [each for each in super().poll() if each is not fiber]


class Forgetting(Mended):
    def park(self, fiber, wait):
        if wait != WAIT(None):
            super().park(fiber, wait)


@pytest.mark.live
def test_a_loop_that_gives_zero_a_deadline_passes():
    assert examine("l06-e2", Mended).passed


# -- Exercise 3: wait until something is true ------------------------------------------


def wait_until(done):
    while not done():
        yield WAIT(None)


def looking_once(done):
    if not done():
        yield WAIT(None)


def waiting_first(done):
    yield WAIT(None)
    while not done():
        yield WAIT(None)


def spinning(done):
    while not done():
        yield WAIT(0)


def asking_by_the_clock(done):
    while not done():
        yield WAIT(0.01)


def yielding_between(done):
    while not done():
        yield WAIT(0.15)
        yield WAIT(None)


def test_a_waiter_that_looks_in_a_loop_passes():
    judgement = examine("l06-e3", wait_until)

    assert str(judgement).startswith("passed: parked ")


WRONG = (
    Wrong("l06-e1", drifting, "not for a period"),
    Wrong("l06-e1", from_the_last_beat, "not to the last beat"),
    Wrong("l06-e1", into_the_past, "max(0, ...)"),
    Wrong("l06-e1", asking_the_clock, "keeps the loop busy"),
    Wrong("l06-e1", holding_the_loop, "keeps the loop busy"),
    Wrong("l06-e1", from_zero, "once, before the loop"),
    Wrong("l06-e1", no_fiber, "a call cannot wait for its caller"),
    Wrong("l06-e2", OldLoop, "make of 0"),
    Wrong("l06-e2", NoneIsZero, "None is no zero"),
    Wrong("l06-e2", NeverSleeping, "only zero was treated wrongly"),
    Wrong("l06-e2", Spinning, "keeps a processor busy"),
    Wrong("l06-e2", Forgetting, "belongs into self.untimed"),
    Wrong("l06-e3", looking_once, "while, not if"),
    Wrong("l06-e3", waiting_first, "look before you wait"),
    Wrong("l06-e3", spinning, "by the clock"),
    Wrong("l06-e3", asking_by_the_clock, "by the clock"),
    Wrong("l06-e3", yielding_between, "between the look and the wait"),
)
