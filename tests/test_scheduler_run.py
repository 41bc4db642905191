"""What Scheduler, run and add take and refuse (design.md, 2.5)."""

from __future__ import annotations

import contextvars
import decimal
import io
import socket
import sys
import threading

import pytest
from fibers import guarded, yields
from stories import story

from fiberlab.errors import Deadlock, SocketClosed
from fiberlab.fiber import start
from fiberlab.scheduler import Scheduler
from fiberlab.states import FiberState
from fiberlab.trace import Trace
from fiberlab.waits import RECV, WAIT

# -- run() --------------------------------------------------------------------


def test_run_without_fibers_returns(scheduler, events):
    scheduler.run()

    assert story(events) == [("start", 0), ("stop", 0, "done")]


def test_run_goes_on_until_no_fiber_is_left(scheduler, clock, log):
    def fiber(seconds):
        yield WAIT(seconds)
        if seconds < 3:
            scheduler.add(fiber(seconds + 1))
        log.append(clock.now())

    scheduler.add(fiber(1))
    scheduler.run()

    assert log == [1, 3, 6]


def test_run_works_again_and_goes_on_counting_ids(scheduler, log):
    scheduler.add(guarded(log, "first", WAIT(1)))
    scheduler.run()
    fiber = scheduler.add(guarded(log, "second", WAIT(1)))
    scheduler.run()

    assert (fiber.id, [entry for entry in log if entry[1] == "returned"]) == (
        2,
        [("first", "returned"), ("second", "returned")],
    )


def test_run_inside_run_is_refused(scheduler, log):
    def fiber():
        try:
            scheduler.run()
        except RuntimeError as error:
            log.append(str(error))
        yield WAIT(1)
        log.append("went on")

    scheduler.add(fiber())
    scheduler.run()

    assert log == ["this scheduler is running already", "went on"]


def test_a_trace_that_holds_a_run_is_refused_for_another(network, clock):
    trace = Trace()
    Scheduler(trace=trace, clock=clock, poller=network).run()
    held = list(trace)
    scheduler = Scheduler(trace=trace, clock=clock, poller=network)
    fiber = scheduler.add(yields())

    with pytest.raises(ValueError, match=r"already holds a run; give each run its own Trace\(\)"):
        scheduler.run()
    assert (list(trace), fiber.state) == (held, FiberState.DONE)


def test_an_observer_that_raises_is_removed_with_one_warning(network, clock, log):
    told = []

    def observer(event):
        told.append(event.ev)
        if len(told) == 3:
            raise ValueError("tired")

    scheduler = Scheduler(trace=observer, clock=clock, poller=network)
    scheduler.add(guarded(log, "fiber", WAIT(0), WAIT(1)))

    with pytest.warns(RuntimeWarning, match="raised ValueError.*was removed") as warned:
        scheduler.run()
    assert (len(told), len(warned), log) == (3, 1, [("fiber", "returned"), ("fiber", "finally")])


@pytest.mark.parametrize("kind", ["resume", "yield", "polled"])
def test_an_observer_cannot_cancel_a_fiber(network, clock, log, kind):
    """It is told in the midst of a pass, and telling never changes what the scheduler does."""

    def observer(event):
        if event.ev == kind:
            log.append(kind)
            fiber.cancel()

    scheduler = Scheduler(trace=observer, clock=clock, poller=network)
    left, right = network.socketpair(latency=1)
    right.send(b"x")
    fiber = scheduler.add(guarded(log, "fiber", RECV(left), WAIT(1)))

    with pytest.warns(RuntimeWarning, match="the trace's observer cannot cancel a fiber"):
        scheduler.run()
    assert log == [kind, ("fiber", "returned"), ("fiber", "finally")]


def test_an_observer_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="trace= needs something to call"):
        Scheduler(trace=[])


class Stack(list):
    """A run queue that serves the last first."""

    popleft = list.pop


def test_a_run_queue_of_ones_own_decides_the_order(network, clock, log):
    scheduler = Scheduler(clock=clock, poller=network, run_queue=Stack())
    for name in "abc":
        scheduler.add(guarded(log, name))
    scheduler.run()

    assert [name for name, what in log if what == "returned"] == ["c", "b", "a"]


def test_a_run_queue_needs_append_popleft_and_len_only(network, clock, log):
    class Queue:
        def __init__(self):
            self.fibers = []

        def append(self, fiber):
            self.fibers.append(fiber)

        def popleft(self):
            return self.fibers.pop(0)

        def __len__(self):
            return len(self.fibers)

    scheduler = Scheduler(clock=clock, poller=network, run_queue=Queue())
    scheduler.add(guarded(log, "a", WAIT(0), WAIT(1), WAIT(0)))
    scheduler.add(guarded(log, "b", WAIT(None)))
    scheduler.run()

    assert [name for name, what in log if what == "returned"] == ["b", "a"]


def test_a_run_queue_that_loses_fibers_is_told_of(network, clock, log):
    class Loser(list):
        def append(self, fiber):
            if not self:
                super().append(fiber)

        popleft = list.pop

    scheduler = Scheduler(clock=clock, poller=network, run_queue=Loser())
    for name in "abc":
        scheduler.add(guarded(log, name), name)

    with pytest.raises(Deadlock, match="'b' and 'c' wait in the run queue, which does not give"):
        scheduler.run()


@pytest.mark.parametrize("traced", [True, False])
def test_a_run_queue_that_gives_a_fiber_twice_is_told_of(network, clock, log, traced):
    class Echo(list):
        def append(self, fiber):
            self += [fiber, fiber]

        popleft = list.pop

    trace = Trace() if traced else None
    scheduler = Scheduler(clock=clock, poller=network, run_queue=Echo(), trace=trace)
    scheduler.add(guarded(log, "a"), "a")

    with pytest.raises(RuntimeError, match="the run queue gives fiber 1 again, which has ended"):
        scheduler.run()


def test_a_scheduler_runs_in_another_thread_while_one_runs_in_this(network, clock, log):
    def child(name):
        log.append((name, threading.current_thread() is threading.main_thread()))
        yield WAIT(0)

    def parent(name):
        start(child(name))
        yield WAIT(0)
        if name == "here":
            thread.start()
            thread.join(20)

    there = Scheduler()
    there.add(parent("there"))
    thread = threading.Thread(target=there.run)
    here = Scheduler(clock=clock, poller=network)
    here.add(parent("here"))
    here.run()

    assert log == [("here", True), ("there", False)]


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_that_makes_no_sense_is_refused(timeout):
    with pytest.raises(ValueError, match="cannot be negative or nan"):
        Scheduler(timeout)


@pytest.mark.parametrize("kwargs", [{"output": "loud"}, {"timeout": "5"}, {"run_queues": []}])
def test_arguments_that_make_no_sense_are_refused(kwargs):
    with pytest.raises((TypeError, ValueError)):
        Scheduler(**kwargs)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("run_queue", "needs append, popleft and a length"),
        ("clock", r"needs a clock with now_ns\(\)"),
        ("poller", r"needs a poller with poll\(\)"),
    ],
)
@pytest.mark.parametrize("thing", [[], 5, "late"])
def test_what_cannot_do_its_part_is_refused_with_what_it_lacks(argument, words, thing):
    with pytest.raises(TypeError, match=words):
        Scheduler(**{argument: thing})


# -- add ----------------------------------------------------------------------


@pytest.mark.parametrize("thing", [yields, guarded, int])
def test_add_of_a_function_asks_whether_it_should_have_been_called(scheduler, thing):
    with pytest.raises(TypeError, match=r"add\(\) needs a generator, got .*: did you call it\?"):
        scheduler.add(thing)


@pytest.mark.parametrize("thing", [42, None, [WAIT(0)], iter([WAIT(0)])])
def test_add_of_what_is_no_generator_says_so(scheduler, thing):
    with pytest.raises(TypeError, match=r"add\(\) needs a generator, got") as caught:
        scheduler.add(thing)
    assert "did you call it" not in str(caught.value)


def test_a_refused_add_leaves_no_gap_in_the_ids(scheduler):
    with pytest.raises(TypeError):
        scheduler.add(42)

    assert scheduler.add(yields()).id == 1


def test_a_fiber_is_named_after_its_function_unless_a_name_is_given(scheduler):
    names = [scheduler.add(yields()).name, scheduler.add(yields(), "given").name]

    assert names == ["yields-1", "given"]


def test_a_name_that_is_no_text_is_refused(scheduler):
    with pytest.raises(TypeError, match="name is text or None, got 5"):
        scheduler.add(yields(), 5)


def test_a_generator_that_has_ended_makes_a_fiber_that_returns(scheduler):
    generator = yields()
    list(generator)
    fiber = scheduler.add(generator)
    scheduler.run()

    assert (fiber.state, fiber.result, fiber.error) == (FiberState.DONE, None, None)


def test_a_generator_that_is_running_already_is_refused_where_it_is_added(scheduler, network, log):
    other = type(network)()
    inner = Scheduler(clock=other.clock, poller=other, file=io.StringIO())

    def nested():
        for where in (scheduler, inner):
            with pytest.raises(ValueError, match="call its function once more for another fiber"):
                where.add(generator)
        yield WAIT(0)
        log.append("went on")

    generator = nested()
    scheduler.add(generator)
    scheduler.run()

    assert log == ["went on"]


def test_a_generator_that_is_a_fiber_already_is_refused_where_it_is_added(scheduler, log):
    def twice():
        yield WAIT(0)
        log.append("ran")

    generator = twice()
    scheduler.add(generator)

    with pytest.raises(ValueError, match=r"got the generator of fiber 'twice-1'; call its funct"):
        scheduler.add(generator)
    scheduler.run()
    assert log == ["ran"]


def test_a_fiber_has_context_variables_of_its_own(scheduler, log):
    """As a task of asyncio has: it inherits them as they were where it was added."""
    variable = contextvars.ContextVar("variable", default="outside")

    def sets(value):
        log.append(variable.get())
        variable.set(value)
        decimal.setcontext(decimal.Context(prec=len(value)))
        yield WAIT(0)
        start(reads())
        yield WAIT(0)
        log.append((variable.get(), decimal.getcontext().prec))

    def reads():
        log.append(variable.get())
        yield WAIT(0)

    before = decimal.getcontext().prec
    for value in ("one", "three"):
        scheduler.add(sets(value))
    scheduler.run()

    assert log == ["outside", "outside", "one", ("one", 3), "three", ("three", 5)]
    assert (variable.get(), decimal.getcontext().prec) == ("outside", before)


def test_an_error_is_thrown_and_a_fiber_closed_in_its_own_context(scheduler, log):
    variable = contextvars.ContextVar("variable", default="outside")

    def waits(value):
        variable.set(value)
        try:
            yield WAIT(9)
        finally:
            log.append(variable.get())

    def cancels():
        yield WAIT(0)
        cancelled.cancel()
        yield WAIT(0)
        scheduler.stop()

    scheduler.add(waits("closed"))
    cancelled = scheduler.add(waits("cancelled"))
    scheduler.add(cancels())
    scheduler.run()

    assert log == ["cancelled", "closed"]


def test_listen_with_what_cannot_be_called_is_refused(scheduler):
    with pytest.raises(TypeError, match=r"listen\(\) needs a generator function, got 5"):
        scheduler.listen(5)


@pytest.mark.live
def test_a_running_fiber_may_add_and_listen(live, log):
    def handler(sock, address):
        log.append(address == client.getsockname())
        live.stop()
        yield WAIT(0)

    def opens():
        nonlocal client
        address = live.listen(handler)
        live.add(guarded(log, "added", WAIT(0)))
        client = socket.create_connection(address)
        yield WAIT(0)

    client = None
    live.add(opens())
    live.run()
    client.close()

    assert log == [("added", "returned"), ("added", "finally"), True] or log[-1] is True


def test_python_is_left_as_it_was(scheduler):
    before = sys.stdout, sys.stderr, threading.active_count()
    scheduler.add(yields(WAIT(1)))
    scheduler.run()

    assert (sys.stdout, sys.stderr, threading.active_count()) == before


def test_a_socket_closed_by_its_own_fiber_before_the_yield_raises_there(scheduler, network, log):
    left, _right = network.socketpair()

    def fiber():
        left.close()
        try:
            yield RECV(left)
        except SocketClosed as error:
            log.append("waits on a socket that is closed" in str(error))

    scheduler.add(fiber())
    scheduler.run()

    assert log == [True]
