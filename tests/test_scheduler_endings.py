"""How fibers end: return, exception, cancel (design.md, 2.2)."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import io
import weakref

import pytest
from fibers import guarded, raises, yields
from stories import story

from fiberlab.errors import FiberCancelled
from fiberlab.fiber import start
from fiberlab.scheduler import Scheduler
from fiberlab.states import FiberState
from fiberlab.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT


@pytest.fixture
def file():
    """Where `reporting` writes."""
    return io.StringIO()


@pytest.fixture
def reporting(network, file):
    """A scheduler in simulated time that writes to `file`."""
    return Scheduler(clock=network.clock, poller=network, file=file)


# -- Exceptions ---------------------------------------------------------------


def test_a_fiber_ends_when_it_returns_and_keeps_its_result(scheduler):
    def fiber():
        yield WAIT(0)
        return "result"

    fiber = scheduler.add(fiber())
    scheduler.run()

    assert (fiber.state, fiber.result, fiber.error) == (FiberState.DONE, "result", None)


def test_a_fiber_that_fails_does_not_stop_the_others(reporting, log):
    reporting.add(raises(ValueError("no"), WAIT(0)))
    reporting.add(guarded(log, "other", WAIT(0), WAIT(1)))
    reporting.run()

    assert log == [("other", "returned"), ("other", "finally")]


@pytest.mark.parametrize("error", [asyncio.CancelledError, FiberCancelled, BaseException])
def test_only_keyboard_interrupt_and_system_exit_disturb_the_others(reporting, log, error):
    bad = reporting.add(raises(error("no"), WAIT(0)))
    reporting.add(guarded(log, "other", WAIT(0), WAIT(1)))
    reporting.run()

    assert (type(bad.error), log) == (error, [("other", "returned"), ("other", "finally")])


def test_an_error_that_cannot_be_formatted_is_one_line_for_debug_too(network, file, log):
    """In every Python: until 3.12 a SyntaxError with numbers for its text will do."""
    running = []

    class Odd(Exception):
        @property
        def __cause__(self):
            if running:  # pytest reads it too, to show how a test failed
                raise ValueError("looked at")

    scheduler = Scheduler(clock=network.clock, poller=network, debug=True, file=file)
    scheduler.add(raises(Odd("no"), WAIT(0)), "bad")
    scheduler.add(guarded(log, "other", WAIT(1)))
    running.append(scheduler)
    try:
        scheduler.run()
    finally:
        running.clear()

    assert file.getvalue().startswith("error: Odd: no")
    assert log == [("other", "returned"), ("other", "finally")]


def test_an_uncaught_exception_is_reported_as_one_line_and_kept(reporting, file):
    error = ValueError("no\nsuch   thing")
    fiber = reporting.add(raises(error), "bad")
    reporting.run()

    assert (file.getvalue(), fiber.error) == (
        "error: ValueError: no such thing (fiber 'bad')\n",
        error,
    )


def test_debug_reports_the_complete_traceback_of_the_fibers_own_lines(network, file):
    scheduler = Scheduler(clock=network.clock, poller=network, file=file, debug=True)

    def inner():
        yield WAIT(0)
        raise ValueError("deep")

    def outer():
        yield from inner()

    scheduler.add(outer())
    scheduler.run()
    lines = [line.strip() for line in file.getvalue().splitlines() if "^" not in line]

    assert [lines[0], lines[-1]] == ["Traceback (most recent call last):", "ValueError: deep"]
    assert [line.rpartition(", ")[2] for line in lines if line.startswith("File")] == [
        "in outer",
        "in inner",
    ]


class Unprintable(Exception):
    """An error that cannot be told."""

    def __str__(self):
        raise RuntimeError("no str")

    __repr__ = __str__


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """An error that refuses a traceback."""

    number: int


class Slow(Exception):
    """An error whose message is no text."""

    def __str__(self):
        return 5


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("output", [None, "withheld", "direct"])
@pytest.mark.parametrize("error", [Unprintable(), Frozen(1), Slow(), ValueError("é\udc80\x00")])
def test_an_exception_that_cannot_be_printed_disturbs_no_other_fiber(
    network, log, error, output, debug, events
):
    file = io.TextIOWrapper(io.BytesIO(), "ascii")
    scheduler = Scheduler(
        trace=events.append,
        clock=network.clock,
        poller=network,
        file=file,
        output=output,
        debug=debug,
    )
    fiber = scheduler.add(raises(error, WAIT(0)))
    scheduler.add(guarded(log, "other", WAIT(1)))
    scheduler.run()

    assert fiber.error is error
    assert log == [("other", "returned"), ("other", "finally")]


def test_control_characters_in_an_error_are_shown_not_done(reporting, file):
    reporting.add(raises(ValueError("\x1b[2J\r\x07\u202e")), "evil\x1b\n")
    reporting.run()

    assert file.getvalue() == ("error: ValueError: \\x1b[2J \\x07\\u202e (fiber 'evil\\x1b\\n')\n")


def test_stop_iteration_raised_by_hand_is_an_error_like_any_other(reporting, file):
    fiber = reporting.add(raises(StopIteration(5)), "odd")
    reporting.run()

    assert isinstance(fiber.error, RuntimeError)
    assert file.getvalue() == "error: RuntimeError: generator raised StopIteration (fiber 'odd')\n"


def test_an_exception_tells_its_line_in_the_trace(scheduler, events):
    scheduler.add(raises(ValueError("no")))
    scheduler.run()
    event = next(event for event in events if event.ev == "exit")

    assert (event.how, event.err) == ("error", "ValueError: no")
    assert event.src.startswith("fibers.py:")


def test_an_error_keeps_no_frame_of_the_scheduler_alive(scheduler):
    fiber = scheduler.add(raises(ValueError("no"), WAIT(0)))
    scheduler.run()
    names = []
    trace = fiber.error.__traceback__
    while trace is not None:
        names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next

    assert names == ["raises"]


# -- cancel -------------------------------------------------------------------


@pytest.fixture
def socks(network):
    """Two connected sockets of `network`, the first of which cannot send."""
    left, right = network.socketpair()
    for _ in range(3):
        try:
            left.send(bytes(1 << 20))
        except BlockingIOError:
            break
    return left, right


@pytest.mark.parametrize("state", ["ready", "recv", "send", "sleep", "parked"])
def test_cancel_throws_fiber_cancelled_at_the_yield(scheduler, socks, log, state, clock):
    left, _right = socks
    wait = {
        "ready": WAIT(0),
        "recv": RECV(left, timeout=99),
        "send": SEND(left, timeout=99),
        "sleep": WAIT(99),
        "parked": WAIT(None),
    }[state]

    def canceller():
        log.append(victim.state.value)
        victim.cancel()
        log.append(victim.state.value)
        yield WAIT(1)

    victim = scheduler.add(guarded(log, "victim", wait))
    scheduler.add(canceller())
    scheduler.run()

    assert log == [state, "ready", ("victim", "FiberCancelled"), ("victim", "finally")]
    assert (clock.now(), type(victim.error), victim.result) == (1, FiberCancelled, None)


def test_a_cancelled_fiber_is_told_as_woken_by_the_one_that_cancels(scheduler, events):
    def canceller():
        victim.cancel()
        yield WAIT(0)

    victim = scheduler.add(yields(WAIT(9)))
    scheduler.add(canceller())
    scheduler.run()

    assert story(events)[5:] == [
        ("resume", 1, 1),
        ("yield", 1, "WAIT", 9_000_000_000),
        ("resume", 2, 0),
        ("wake", 1, "cancel", 2, 1),
        ("yield", 2, "WAIT", 0),
        ("wake", 2, "yield", 2, 2),
        ("resume", 1, 1),
        ("exit", 1, "cancel"),
        ("resume", 2, 0),
        ("exit", 2, "return"),
        ("stop", 0, "done"),
    ]


def test_a_fiber_cancelled_before_it_began_runs_not_a_line(scheduler, log):
    fiber = scheduler.add(guarded(log, "fiber"))
    fiber.cancel()
    scheduler.run()

    assert (log, type(fiber.error)) == ([], FiberCancelled)


@pytest.mark.parametrize("traced", [False, True])
def test_a_fiber_that_cancels_itself_gets_it_at_its_next_yield(network, log, traced):
    def fiber(wait):
        me.pop().cancel()
        log.append("still here")
        try:
            yield wait
        except FiberCancelled:
            log.append("cancelled")

    me, wakes = [], []
    for wait in (WAIT(0), WAIT(5), WAIT(None), RECV(network.socketpair()[0])):
        trace = Trace() if traced else None
        scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
        me.append(scheduler.add(fiber(wait)))
        scheduler.run()
        wakes += [event.why for event in trace or () if event.ev == "wake"]

    assert log == ["still here", "cancelled"] * 4
    assert wakes == (["spawn", "cancel"] * 4 if traced else [])


def test_a_fiber_that_cancels_itself_and_returns_has_returned(scheduler):
    def fiber():
        me[0].cancel()
        return 5
        yield

    me = [scheduler.add(fiber())]
    scheduler.run()

    assert (me[0].result, me[0].error) == (5, None)


def test_cancel_of_a_fiber_that_is_done_does_nothing(scheduler):
    fiber = scheduler.add(yields())
    scheduler.run()
    fiber.cancel()

    assert (fiber.state, fiber.error) == (FiberState.DONE, None)


def test_a_fiber_may_catch_the_cancelling_and_go_on(scheduler, clock):
    def fiber():
        try:
            yield WAIT(100)
        except FiberCancelled:
            yield WAIT(1)
            return "went on"

    fiber = scheduler.add(fiber())

    def canceller():
        yield WAIT(1)
        fiber.cancel()

    scheduler.add(canceller())
    scheduler.run()

    assert (clock.now(), fiber.result, fiber.error) == (2, "went on", None)


def test_except_exception_does_not_swallow_the_cancelling(scheduler, log):
    def fiber():
        try:
            yield WAIT(9)
        except Exception:
            log.append("swallowed")

    fiber = scheduler.add(fiber())
    fiber.cancel()
    scheduler.run()

    assert log == []


def test_a_finally_block_may_yield_while_its_fiber_is_cancelled(scheduler, clock, log):
    def victim():
        try:
            yield WAIT(99)
        finally:
            yield WAIT(2)
            log.append(clock.now())

    def canceller(fiber):
        yield WAIT(1)
        fiber.cancel()

    fiber = scheduler.add(victim())
    scheduler.add(canceller(fiber))
    scheduler.run()

    assert (log, type(fiber.error)) == ([3], FiberCancelled)


def test_cancelling_twice_is_cancelling_once(scheduler, log):
    def canceller():
        victim.cancel()
        victim.cancel()
        yield WAIT(0)

    victim = scheduler.add(guarded(log, "victim", WAIT(9)))
    scheduler.add(canceller())
    scheduler.run()

    assert log == [("victim", "FiberCancelled"), ("victim", "finally")]


def test_a_cancelled_receiver_leaves_the_socket_to_another(scheduler, network, log):
    left, right = network.socketpair()

    def receiver(name):
        yield RECV(left)
        log.append((name, left.recv(1)))

    def director():
        yield WAIT(1)
        first.cancel()
        start(receiver("second"))
        yield WAIT(1)
        right.send(b"x")

    first = scheduler.add(receiver("first"))
    scheduler.add(director())
    scheduler.run()

    assert log == [("second", b"x")]


def test_a_cancelled_sleeper_does_not_wake_later(scheduler, clock, log):
    def fiber():
        try:
            yield WAIT(5)
        except FiberCancelled:
            yield WAIT(10)
            log.append(clock.now())

    fiber = scheduler.add(fiber())

    def canceller():
        yield WAIT(1)
        fiber.cancel()

    scheduler.add(canceller())
    scheduler.run()

    assert log == [11]


def test_fibers_that_ended_before_their_timeout_are_not_kept_for_it(network, clock, log):
    """A server whose connections have long time-outs must not hold each until then."""
    scheduler = Scheduler(1_000_000, clock=clock, poller=network)
    ended = weakref.WeakSet()

    def serves(sock):
        yield RECV(sock)

    def visits():
        for _ in range(1000):
            ours, theirs = network.socketpair()
            ended.add(start(serves(ours)))
            yield WAIT(0)
            theirs.send(b"x")
            yield WAIT(0)
            yield WAIT(0)
        gc.collect()
        log.append(len(ended) < 200)

    scheduler.add(visits())
    scheduler.run()

    assert log == [True]
