"""A fiber, where it is, and what it may become."""

from __future__ import annotations

import pytest
from fibers import raises, yields

from fiberlab.scheduler import Scheduler
from fiberlab.spans.build import build_spans
from fiberlab.spans.check import check_story
from fiberlab.states import LEGAL_TRANSITIONS, FiberState
from fiberlab.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT


def test_every_state_has_its_transitions():
    assert set(LEGAL_TRANSITIONS) == set(FiberState)


def test_there_is_one_way_into_running_and_one_way_out_of_waiting():
    into_running = {a for a, after in LEGAL_TRANSITIONS.items() if FiberState.RUNNING in after}
    waiting = set(FiberState) - {FiberState.READY, FiberState.RUNNING, FiberState.DONE}

    assert into_running == {FiberState.READY}
    assert {LEGAL_TRANSITIONS[state] for state in waiting} == {frozenset({FiberState.READY})}
    assert LEGAL_TRANSITIONS[FiberState.DONE] == frozenset()


def test_a_running_fiber_may_become_anything_but_running():
    assert LEGAL_TRANSITIONS[FiberState.RUNNING] == set(FiberState) - {FiberState.RUNNING}


def test_a_fiber_tells_where_it_is_at_each_moment(scheduler, network, log):
    left, _right = network.socketpair()
    try:
        while True:
            left.send(bytes(1 << 20))
    except BlockingIOError:
        pass
    waits = [RECV(left), SEND(left), WAIT(5), WAIT(None), WAIT(0)]
    watched = [scheduler.add(yields(wait)) for wait in waits]

    def watcher():
        log.append([fiber.state for fiber in watched])
        log.append(me[0].state)
        scheduler.stop()
        yield WAIT(0)

    me = [scheduler.add(watcher())]
    before = [fiber.state for fiber in watched]
    scheduler.run()
    after = [fiber.state for fiber in watched]

    assert before == [FiberState.READY] * 5
    assert log == [
        [
            FiberState.RECV,
            FiberState.SEND,
            FiberState.SLEEP,
            FiberState.READY,  # woken by the last, which yielded WAIT(0)
            FiberState.READY,
        ],
        FiberState.RUNNING,
    ]
    assert after == [FiberState.DONE] * 5


def test_a_parked_fiber_says_so(scheduler, log):
    def looks():
        while not log:
            yield WAIT(None)

    def watcher():
        yield WAIT(1)
        log.append([fiber.state for fiber in fibers])

    fibers = [scheduler.add(looks()), scheduler.add(looks())]
    scheduler.add(watcher())
    scheduler.run()

    assert log == [[FiberState.PARKED, FiberState.PARKED]]


def test_ids_begin_at_one_and_are_never_used_twice(scheduler):
    first = [scheduler.add(yields()).id for _ in range(3)]
    scheduler.run()

    assert [*first, scheduler.add(yields()).id] == [1, 2, 3, 4]


def test_a_fiber_has_a_readable_repr(scheduler):
    fiber = scheduler.add(yields())
    before = repr(fiber)
    scheduler.run()

    assert (before, repr(fiber)) == ("<Fiber 1 'yields-1' ready>", "<Fiber 1 'yields-1' done>")


def test_a_fiber_keeps_its_name_when_it_is_done(scheduler):
    fibers = [scheduler.add(yields()), scheduler.add(yields(), "named")]
    scheduler.run()

    assert [fiber.name for fiber in fibers] == ["yields-1", "named"]


def test_what_a_fiber_waits_for_can_be_seen(scheduler, log):
    wait = WAIT(5)

    def watcher():
        log.append(fiber.wait)
        yield WAIT(9)
        log.append(fiber.wait)

    fiber = scheduler.add(yields(wait))
    scheduler.add(watcher())
    scheduler.run()

    assert log == [wait, None]


def test_the_trace_of_everything_obeys_the_laws(network, clock):
    left, right = network.socketpair()
    trace = Trace()
    scheduler = Scheduler(2, trace, clock=clock, poller=network, file=open_nowhere())
    for wait in (RECV(left), SEND(right), WAIT(None), WAIT(0), WAIT(1), 42):
        scheduler.add(yields(wait, WAIT(0), WAIT(1)))
    scheduler.add(raises(ValueError("no"), WAIT(1)))
    scheduler.add(yields(WAIT(99))).cancel()
    scheduler.run()
    check_story(trace)

    assert {life.how for life in build_spans(trace).lives} == {"return", "error", "cancel"}


def open_nowhere():
    """Return a file that keeps nothing."""
    import io

    return io.StringIO()


def test_a_generator_that_is_written_by_hand_will_do(scheduler, log):
    from collections.abc import Generator

    class Counts(Generator):
        def __init__(self):
            self.left = 3

        def send(self, _value):
            if not self.left:
                raise StopIteration("counted")
            self.left -= 1
            log.append(self.left)
            return WAIT(1)

        def throw(self, kind, value=None, traceback=None):
            raise kind

    fiber = scheduler.add(Counts())
    scheduler.run()

    assert (log, fiber.result, fiber.error) == ([2, 1, 0], "counted", None)


@pytest.mark.parametrize("thing", ["generator", b"", 1.5, object()])
def test_what_is_no_generator_is_no_fiber(scheduler, thing):
    with pytest.raises(TypeError, match="needs a generator"):
        scheduler.add(thing)
