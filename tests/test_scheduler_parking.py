"""WAIT(None), join and Deadlock: which fiber is woken, when and by which (design.md, 2.1)."""

from __future__ import annotations

import io
import re
import traceback

import pytest
from fibers import raises, yields
from stories import story

from fiberlab.errors import Deadlock, FiberCancelled
from fiberlab.fiber import join, start
from fiberlab.scheduler import Scheduler
from fiberlab.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT


def told_of_waking(events):
    """Return the wakes from WAIT(None) and the resumes, in order."""
    return [
        entry
        for entry in story(events, "wake", "resume")
        if entry[0] == "resume" or entry[2] == "fiber"
    ]


def test_a_parked_fiber_is_woken_as_soon_as_another_has_been_resumed(scheduler, events):
    scheduler.add(yields(WAIT(None)))
    scheduler.add(yields(WAIT(1)))
    scheduler.run()

    assert story(events)[5:] == [
        ("resume", 1, 1),
        ("yield", 1, "WAIT", None),
        ("resume", 2, 0),
        ("yield", 2, "WAIT", 1_000_000_000),
        ("wake", 1, "fiber", 2, 1),
        ("resume", 1, 0),
        ("exit", 1, "return"),
        ("poll", 0, 1_000_000_000, 0, 0, 1),
        ("polled", 0, 0),
        ("wake", 2, "timer", 0, 1),
        ("resume", 2, 0),
        ("exit", 2, "return"),
        ("stop", 0, "done"),
    ]


def test_the_woken_stand_behind_those_already_ready(scheduler, events):
    scheduler.add(yields(WAIT(None)))
    scheduler.add(yields(WAIT(1)))
    scheduler.add(yields(WAIT(0)))
    scheduler.run()

    assert told_of_waking(events) == [
        ("resume", 1, 2),
        ("resume", 2, 1),
        ("wake", 1, "fiber", 2, 2),
        ("resume", 3, 1),
        ("resume", 1, 1),
        ("resume", 3, 0),
        ("resume", 2, 0),
    ]


def test_a_fiber_that_yields_wait_zero_stands_before_those_it_wakes(scheduler, events):
    scheduler.add(yields(WAIT(None)))
    scheduler.add(yields(WAIT(0)))
    scheduler.run()

    assert [event.fid for event in events if event.ev == "resume"] == [1, 2, 2, 1]


def test_parked_fibers_are_woken_in_the_order_in_which_they_parked(scheduler, events):
    flag = []

    def looks():
        while not flag:
            yield WAIT(None)

    def setter():
        yield WAIT(1)
        flag.append(True)

    for _ in range(4):
        scheduler.add(looks())
    scheduler.add(setter())
    scheduler.run()
    at_the_end = [entry for entry in story(events, "wake") if entry[3] == 5][-4:]

    assert at_the_end == [
        ("wake", 1, "fiber", 5, 1),
        ("wake", 2, "fiber", 5, 2),
        ("wake", 3, "fiber", 5, 3),
        ("wake", 4, "fiber", 5, 4),
    ]


def test_only_fibers_that_parked_before_it_ran_are_woken_by_a_fiber(scheduler, events):
    scheduler.add(yields(WAIT(None)))
    scheduler.add(yields(WAIT(None)))

    scheduler.run()

    assert story(events)[5:] == [
        ("resume", 1, 1),
        ("yield", 1, "WAIT", None),
        ("resume", 2, 0),
        ("yield", 2, "WAIT", None),
        ("wake", 1, "fiber", 2, 1),
        ("resume", 1, 0),
        ("exit", 1, "return"),
        ("wake", 2, "fiber", 1, 1),
        ("resume", 2, 0),
        ("exit", 2, "return"),
        ("stop", 0, "done"),
    ]


def test_two_fibers_that_only_look_do_not_keep_each_other_spinning(scheduler, clock, events):
    def looker(flag):
        while not flag:
            yield WAIT(None)

    flag = []

    def setter():
        yield WAIT(5)
        flag.append(True)

    for _ in range(2):
        scheduler.add(looker(flag))
    scheduler.add(setter())
    scheduler.run()
    resumes = [event.fid for event in events if event.ev == "resume"]

    assert (clock.now(), resumes) == (5, [1, 2, 3, 1, 2, 3, 1, 2])


@pytest.mark.parametrize("traced", [False, True])
def test_a_fiber_that_has_sent_since_it_looked_did_more_than_look(network, clock, log, traced):
    """Without a trace a SEND that need not wait goes a way of its own."""
    sock = network.socketpair()[0]

    def looks_then_sends():
        yield WAIT(None)
        yield SEND(sock)
        yield WAIT(None)
        log.append("sender")

    def parks_behind_the_sender():
        yield WAIT(0)
        yield WAIT(None)
        log.append("parked")

    trace = Trace() if traced else None
    scheduler = Scheduler(trace=trace, clock=clock, poller=network)
    for fiber in (looks_then_sends(), yields(), parks_behind_the_sender()):
        scheduler.add(fiber)
    scheduler.run()

    assert log == ["parked", "sender"]


def test_a_wake_up_between_looking_and_waiting_is_not_lost(scheduler, log):
    queue = []

    def consumer():
        for _ in range(3):
            while not queue:
                yield WAIT(None)
            log.append(queue.pop(0))

    def producer():
        for number in range(3):
            queue.append(number)
            yield WAIT(0)

    scheduler.add(producer())
    scheduler.add(consumer())
    scheduler.run()

    assert log == [0, 1, 2]


def test_two_untimed_waits_in_a_row_do_not_stall(scheduler, log):
    def fiber():
        yield WAIT(None)
        yield WAIT(None)
        log.append("went on")

    scheduler.add(fiber())
    scheduler.add(yields(WAIT(1), WAIT(1)))
    scheduler.run()

    assert log == ["went on"]


def test_a_joiner_that_makes_progress_wakes_the_next(scheduler, log):
    def first():
        yield WAIT(1)
        return "first"

    def joins(name, fiber):
        result = yield from join(fiber)
        log.append((name, result))
        return name

    fiber = scheduler.add(first())
    middle = scheduler.add(joins("middle", fiber))
    last = scheduler.add(joins("last", middle))
    scheduler.add(joins("very last", last))
    scheduler.run()

    assert log == [("middle", "first"), ("last", "middle"), ("very last", "last")]


def test_a_joiner_sees_where_the_fiber_failed_and_nothing_of_other_joiners(scheduler, log):
    fiber = scheduler.add(raises(ValueError("no"), WAIT(0)))

    def joins():
        try:
            yield from join(fiber)
        except ValueError as error:
            log.append([frame.name for frame in traceback.extract_tb(error.__traceback__)])

    for _ in range(2):
        scheduler.add(joins())
    scheduler.run()

    assert log == [["joins", "join", "raises"]] * 2


def test_a_chain_of_joiners_added_backwards_unwinds_too(scheduler, log):
    fibers = [None] * 6

    def joins(number):
        if number:
            yield from join(fibers[number - 1])
        else:
            yield WAIT(1)
        log.append(number)

    for number in reversed(range(6)):
        fibers[number] = scheduler.add(joins(number))
    scheduler.run()

    assert log == [0, 1, 2, 3, 4, 5]


def test_a_parked_fiber_that_is_cancelled_and_parks_again_wakes_the_others(scheduler, log):
    def stubborn():
        try:
            yield WAIT(None)
            yield WAIT(None)
        except FiberCancelled:
            log.append("cancelled")
            yield WAIT(None)

    def waiter():
        while "cancelled" not in log:
            yield WAIT(None)
        log.append("saw it")

    fiber = scheduler.add(stubborn())
    scheduler.add(waiter())

    def canceller():
        yield WAIT(1)
        fiber.cancel()

    scheduler.add(canceller())
    scheduler.run()

    assert log == ["cancelled", "saw it"]


@pytest.mark.parametrize("wait", [WAIT(0), WAIT(1)], ids=["ready", "asleep"])
def test_every_resume_of_another_fiber_wakes_whatever_it_waits_for_next(scheduler, events, wait):
    scheduler.add(yields(WAIT(None)))
    scheduler.add(yields(wait))
    scheduler.run()
    woken = [entry for entry in story(events, "wake") if entry[2] == "fiber"]

    assert [entry[:4] for entry in woken] == [("wake", 1, "fiber", 2)]


def test_a_fiber_that_ends_wakes_the_parked(scheduler, events):
    scheduler.add(yields(WAIT(None)))
    scheduler.add(yields())
    scheduler.run()

    assert story(events, "exit", "wake")[2:] == [
        ("exit", 2, "return"),
        ("wake", 1, "fiber", 2, 1),
        ("exit", 1, "return"),
    ]


# -- join and start -----------------------------------------------------------


def test_join_returns_the_result(scheduler, log):
    def worker():
        yield WAIT(1)
        return 42

    def boss():
        log.append((yield from join(start(worker()))))

    scheduler.add(boss())
    scheduler.run()

    assert log == [42]


def test_join_of_a_fiber_that_has_ended_returns_at_once(scheduler, log, events):
    def worker():
        return 42
        yield

    def boss():
        worked = start(worker())
        yield WAIT(1)
        log.append((yield from join(worked)))

    scheduler.add(boss())
    scheduler.run()

    assert (log, len(story(events, "resume"))) == ([42], 3)


def test_join_raises_what_ended_the_fiber(scheduler, log):
    def worker():
        yield WAIT(1)
        raise KeyError("gone")

    def boss():
        try:
            yield from join(start(worker()))
        except KeyError as error:
            log.append(error.args)

    scheduler.add(boss())
    scheduler.run()

    assert log == [("gone",)]


def test_each_joiner_of_a_failed_fiber_gets_the_traceback_of_that_fiber(network, clock):
    def worker():
        yield WAIT(1)
        raise KeyError("gone")

    def joins(fiber):
        yield from join(fiber)

    file = io.StringIO()
    scheduler = Scheduler(clock=clock, poller=network, file=file, debug=True)
    worked = scheduler.add(worker())
    for _ in range(3):
        scheduler.add(joins(worked))
    scheduler.run()

    first, *joiners = file.getvalue().split("Traceback")[1:]
    assert (first.count(", in worker"), first.count(", in join")) == (1, 0)
    assert [joiner.count(", in joins") for joiner in joiners] == [1, 1, 1]


def test_join_of_what_is_no_fiber_asks_whether_it_was_started(scheduler):
    def boss():
        yield from join(yields(WAIT(1)))

    boss_fiber = scheduler.add(boss())
    scheduler.run()

    assert isinstance(boss_fiber.error, TypeError)
    assert re.fullmatch(
        r"join\(\) needs a fiber, as start\(\) returns it, got <generator .*>: "
        r"write join\(start\(...\)\)",
        str(boss_fiber.error),
    )


def test_join_of_a_cancelled_fiber_raises_fiber_cancelled(scheduler, log):
    def boss():
        worker = start(yields(WAIT(9)))
        yield WAIT(1)
        worker.cancel()
        try:
            yield from join(worker)
        except FiberCancelled as error:
            log.append(str(error))

    scheduler.add(boss())
    scheduler.run()

    assert log == ["fiber 'yields-2' was cancelled"]


def test_start_adds_to_the_scheduler_that_runs_the_fiber(scheduler, network, log):
    other = type(network)()
    inner = Scheduler(clock=other.clock, poller=other)

    def child(name):
        log.append(name)
        yield WAIT(0)

    def in_inner():
        start(child("inner child"))
        yield WAIT(0)

    def outer():
        inner.add(in_inner())
        inner.run()
        start(child("outer child"))
        yield WAIT(0)
        log.append("outer")

    scheduler.add(outer())
    scheduler.run()

    assert log == ["inner child", "outer child", "outer"]


def test_start_outside_a_fiber_is_refused():
    generator = yields()

    with pytest.raises(RuntimeError, match=r"only inside a running fiber.*scheduler\.add"):
        start(generator)


def test_start_of_a_function_asks_whether_it_should_have_been_called(scheduler, log):
    def boss():
        try:
            start(yields)
        except TypeError as error:
            log.append(str(error).endswith(": did you call it?"))
        yield WAIT(0)

    scheduler.add(boss())
    scheduler.run()

    assert log == [True]


# -- Deadlock -----------------------------------------------------------------


def test_deadlock_names_the_fibers(scheduler):
    def waits_for(others, index):
        yield from join(others[index])

    fibers = []
    fibers.append(scheduler.add(waits_for(fibers, 1), "left"))
    fibers.append(scheduler.add(waits_for(fibers, 0), "right"))

    with pytest.raises(Deadlock) as caught:
        scheduler.run()
    assert str(caught.value) == (
        "deadlock: 'right' and 'left' wait only for other fibers (WAIT(None)); none is left to run"
    )
    assert caught.value.fibers == (fibers[1], fibers[0])


def test_deadlock_of_many_names_five_and_counts_the_rest(scheduler):
    def looks():
        while True:
            yield WAIT(None)

    for number in range(8):
        scheduler.add(looks(), f"f{number}")

    with pytest.raises(Deadlock, match=r"'f\d', 'f\d', 'f\d', 'f\d', 'f\d' and 3 more wait only"):
        scheduler.run()


def test_deadlock_is_found_with_an_alarm_left_over_that_no_longer_matters(
    scheduler, network, clock
):
    left, right = network.socketpair()

    def receiver():
        right.send(b"x")
        yield RECV(left, timeout=1000)
        while True:
            yield WAIT(None)

    scheduler.add(receiver())

    with pytest.raises(Deadlock, match="'receiver-1' waits only"):
        scheduler.run()
    assert clock.now() == 0


def test_a_sleeper_that_was_cancelled_does_not_put_off_the_deadlock(scheduler, clock):
    def looks():
        while True:
            yield WAIT(None)

    def canceller(victim):
        yield WAIT(1)
        victim.cancel()

    scheduler.add(canceller(scheduler.add(yields(WAIT(1000)))))
    scheduler.add(looks())

    with pytest.raises(Deadlock):
        scheduler.run()
    assert clock.now() == 1


def test_a_sleeping_fiber_keeps_the_parked_from_a_deadlock(scheduler, clock):
    scheduler.add(yields(WAIT(None), WAIT(None)))
    scheduler.add(yields(WAIT(1000)))
    scheduler.run()

    assert clock.now() == 1000


@pytest.mark.live
def test_a_fiber_that_waits_on_a_socket_keeps_the_parked_from_a_deadlock(live, pair, log):
    left, right = pair

    def receiver():
        yield RECV(left)

    def looks():
        while not log:
            yield WAIT(None)

    def sender():
        yield WAIT(0.05)
        yield SEND(right)
        right.send(b"x")
        log.append("sent")

    live.add(receiver())
    live.add(looks())
    live.add(sender())
    live.run()

    assert log == ["sent"]


def test_a_deadlock_closes_the_fibers_it_names(scheduler, events, log):
    def looks():
        try:
            while True:
                yield WAIT(None)
        finally:
            log.append("closed")

    fiber = scheduler.add(looks())

    with pytest.raises(Deadlock):
        scheduler.run()
    assert (log, fiber.state.value) == (["closed"], "done")
    assert story(events)[-4:] == [
        ("wake", 1, "cancel", 0, 1),
        ("resume", 1, 0),
        ("exit", 1, "cancel"),
        ("stop", 0, "deadlock"),
    ]


@pytest.mark.parametrize("traced", [False, True])
def test_a_fiber_woken_from_wait_zero_since_has_not_only_looked(network, clock, log, traced):
    def looks():
        while not log:
            yield WAIT(None)
        log.append("saw it")

    def works():
        yield WAIT(None)
        yield WAIT(0)
        yield WAIT(0)
        log.append("worked")
        yield WAIT(None)

    trace = [].append if traced else None
    scheduler = Scheduler(trace=trace, clock=clock, poller=network)
    scheduler.add(looks())
    scheduler.add(works())
    scheduler.add(yields())
    scheduler.run()

    assert log == ["worked", "saw it"]


def test_stop_is_no_deadlock_though_only_parked_fibers_are_left(scheduler, events):
    def looks():
        yield WAIT(None)
        scheduler.stop()
        yield WAIT(None)

    scheduler.add(looks())
    scheduler.add(yields())
    scheduler.run()

    assert story(events)[-1] == ("stop", 0, "stopped")
