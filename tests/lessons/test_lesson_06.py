"""Lesson 06, WAIT: what its question and its exercises make of an answer."""

from __future__ import annotations

import heapq
import time

import pytest
from matplotlib.figure import Figure
from misconceptions import Wrong

from fiberlab import WAIT, Scheduler, SimulatedNetwork, Trace, TraceEvent
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
from fiberlab.lab.shared.grown import Parks, Sleeps, Sockets
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


# -- Exercise 1: the third step of a scheduler -----------------------------------------


def wake_those_due(scheduler):
    while scheduler.sleepers and scheduler.sleepers[0][0] <= scheduler.clock.now():
        scheduler.queue.append(heapq.heappop(scheduler.sleepers)[-1])


class NotSleeping(Sleeps):
    def park(self, fiber, wait):
        Sockets.park(self, fiber, wait)


class NotWaiting(Sleeps):
    def poll(self, longest=None):
        Sockets.poll(self, longest)
        wake_those_due(self)


class SleepingOnItsOwn(Sleeps):
    def poll(self, longest=None):
        if self.sleepers and not self.queue:
            self.clock.burn(max(0, self.sleepers[0][0] - self.clock.now()))
        super().poll(longest)


class ComparingFibers(Sleeps):
    def park(self, fiber, wait):
        if isinstance(wait, WAIT) and wait.seconds:
            deadline = round(self.clock.now() + wait.seconds, 9)
            heapq.heappush(self.sleepers, (deadline, fiber))
        else:
            super().park(fiber, wait)

    def poll(self, longest=None):
        Sockets.poll(
            self, max(0, self.sleepers[0][0] - self.clock.now()) if self.sleepers else None
        )
        wake_those_due(self)


class NotRounded(Sleeps):
    def park(self, fiber, wait):
        if isinstance(wait, WAIT) and wait.seconds:
            deadline = self.clock.now() + wait.seconds
            heapq.heappush(self.sleepers, (deadline, next(self.turns), fiber))
        else:
            super().park(fiber, wait)


class OnlyWhenIdle(Sleeps):
    def poll(self, longest=None):
        if not self.queue:
            super().poll(longest)


class WakingOne(Sleeps):
    def poll(self, longest=None):
        if self.sleepers:
            longest = max(0, self.sleepers[0][0] - self.clock.now())
        Sockets.poll(self, longest)
        if self.sleepers and self.sleepers[0][0] <= self.clock.now():
            self.queue.append(heapq.heappop(self.sleepers)[2])


class WaitingForThePast(Sleeps):
    def poll(self, longest=None):
        Sockets.poll(self, self.sleepers[0][0] - self.clock.now() if self.sleepers else None)
        wake_those_due(self)


class ByLength(Sleeps):
    def park(self, fiber, wait):
        if isinstance(wait, WAIT) and wait.seconds:
            heapq.heappush(self.sleepers, (wait.seconds, next(self.turns), fiber))
        else:
            super().park(fiber, wait)


# -- Exercise 2: the fourth step of a scheduler ----------------------------------------


class NeverWoken(Parks):
    def turn(self, fiber):
        Sleeps.turn(self, fiber)


class WokenByItself(Parks):
    def turn(self, fiber):
        Sleeps.turn(self, fiber)
        self.queue.extend(self.parked)
        self.parked = []


class WithoutTheException(Parks):
    def turn(self, fiber):
        self.looking.clear()
        super().turn(fiber)


class NoParkWakes(Parks):
    def turn(self, fiber):
        before, self.parked = self.parked, []
        Sleeps.turn(self, fiber)
        if self.parked:
            self.parked = before + self.parked
        else:
            self.queue.extend(before)


class OnlyATurn(Parks):
    def park(self, fiber, wait):
        Sleeps.park(self, fiber, wait)


class OneOfThem(Parks):
    def turn(self, fiber):
        before, self.parked = self.parked[:1], self.parked[1:]
        Sleeps.turn(self, fiber)
        self.queue.extend(before)


# -- Exercise 3: a heartbeat -----------------------------------------------------------


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
    judgement = examine("l06-e3", steady)

    assert judgement.passed
    assert judgement.seen.startswith("beats at 500, 600, 700, 850, 900 ms")


# -- Exercise 5: the stall -------------------------------------------------------------


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
    assert examine("l06-e5", Mended).passed


# -- Exercise 4: wait until something is true ------------------------------------------


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
    judgement = examine("l06-e4", wait_until)

    assert str(judgement).startswith("passed: parked ")


WRONG = (
    Wrong("l06-e1", NotSleeping, "goes to self.sleepers"),
    Wrong("l06-e1", NotWaiting, "poll waits until the first deadline"),
    Wrong("l06-e1", SleepingOnItsOwn, "wait in select, so that data ends the wait"),
    Wrong("l06-e1", ComparingFibers, "put a number between"),
    Wrong("l06-e1", NotRounded, "differ in the last digit"),
    Wrong("l06-e1", OnlyWhenIdle, "look at the deadlines in every pass"),
    Wrong("l06-e1", WakingOne, "while, not if"),
    Wrong("l06-e1", WaitingForThePast, "max(0, seconds)"),
    Wrong("l06-e1", ByLength, "the heap gives the first deadline"),
    Wrong("l06-e2", NeverWoken, "those that had parked before go into the queue"),
    Wrong("l06-e2", WokenByItself, "a fiber's own step does not wake it"),
    Wrong("l06-e2", WithoutTheException, "has only looked"),
    Wrong("l06-e2", NoParkWakes, "only a fiber that was woken from WAIT(None)"),
    Wrong("l06-e2", OnlyATurn, "WAIT(None) goes into self.parked"),
    Wrong("l06-e2", OneOfThem, "wake"),
    Wrong("l06-e3", drifting, "not for a period"),
    Wrong("l06-e3", from_the_last_beat, "not to the last beat"),
    Wrong("l06-e3", into_the_past, "max(0, ...)"),
    Wrong("l06-e3", asking_the_clock, "keeps the loop busy"),
    Wrong("l06-e3", holding_the_loop, "keeps the loop busy"),
    Wrong("l06-e3", from_zero, "once, before the loop"),
    Wrong("l06-e3", no_fiber, "a call cannot wait for its caller"),
    Wrong("l06-e5", OldLoop, "make of 0"),
    Wrong("l06-e5", NoneIsZero, "None is no zero"),
    Wrong("l06-e5", NeverSleeping, "only zero was treated wrongly"),
    Wrong("l06-e5", Spinning, "keeps a processor busy"),
    Wrong("l06-e5", Forgetting, "belongs into self.untimed"),
    Wrong("l06-e4", looking_once, "while, not if"),
    Wrong("l06-e4", waiting_first, "look before you wait"),
    Wrong("l06-e4", spinning, "by the clock"),
    Wrong("l06-e4", asking_by_the_clock, "by the clock"),
    Wrong("l06-e4", yielding_between, "between the look and the wait"),
)
