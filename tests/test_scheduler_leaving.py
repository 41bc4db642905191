"""However run() is left, all are closed: ^C, exit, stop (design.md, 2.2 and 2.5)."""

from __future__ import annotations

import _thread
import gc
import io
import signal
import socket
import threading
from collections import deque
from collections.abc import Generator

import pytest
from fibers import guarded, raises, yields
from stories import story

from fiberlab.errors import Deadlock
from fiberlab.fiber import start
from fiberlab.io.poller import RealPoller
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.states import FiberState
from fiberlab.waits import RECV, SEND, WAIT


@pytest.fixture
def file():
    """Where `reporting` writes."""
    return io.StringIO()


@pytest.fixture
def reporting(network, file):
    """A scheduler in simulated time that writes to `file`."""
    return Scheduler(clock=network.clock, poller=network, file=file)


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


# -- run() is left ------------------------------------------------------------


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_keyboard_interrupt_and_system_exit_leave_run_and_close_all(scheduler, log, socks, fatal):
    scheduler.add(guarded(log, "asleep", WAIT(9)))
    scheduler.add(guarded(log, "parked", WAIT(None), WAIT(9)))
    scheduler.add(guarded(log, "receives", RECV(socks[0])))
    scheduler.add(guarded(log, "sends", SEND(socks[0])))
    scheduler.add(guarded(log, "spins", *[WAIT(0)] * 99))
    ender = scheduler.add(raises(fatal(), WAIT(1)))

    with pytest.raises(fatal):
        scheduler.run()
    names = ["asleep", "parked", "receives", "sends"]
    expected = [(name, what) for name in names for what in ("GeneratorExit", "finally")]
    assert [entry for entry in log if entry[0] != "spins"] == expected
    assert isinstance(ender.error, fatal)


def test_a_fiber_that_is_closed_is_recorded_as_cancelled(scheduler, events, log):
    scheduler.add(yields(WAIT(9)))
    scheduler.add(yields(WAIT(0), WAIT(0)))
    scheduler.add(raises(KeyboardInterrupt(), WAIT(0)))

    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert story(events)[-8:] == [
        ("resume", 3, 1),
        ("exit", 3, "error"),
        ("wake", 1, "cancel", 0, 2),
        ("resume", 1, 1),
        ("exit", 1, "cancel"),
        ("resume", 2, 0),
        ("exit", 2, "cancel"),
        ("stop", 0, "KeyboardInterrupt"),
    ]


def test_an_exception_while_closing_does_not_keep_the_others_open(reporting, file, log):
    def bad():
        try:
            yield WAIT(9)
        finally:
            raise ValueError("while closing")

    reporting.add(bad(), "bad")
    reporting.add(guarded(log, "other", WAIT(9)))
    reporting.add(raises(KeyboardInterrupt(), WAIT(0)), "ender")

    with pytest.raises(KeyboardInterrupt):
        reporting.run()
    assert log == [("other", "GeneratorExit"), ("other", "finally")]
    assert "error: ValueError: while closing (fiber 'bad')\n" in file.getvalue()


def test_what_is_started_while_closing_is_closed_too(scheduler, log, events):
    def parent():
        try:
            yield WAIT(9)
        finally:
            children.append(start(guarded(log, "child", WAIT(9))))

    children = []
    scheduler.add(parent())
    scheduler.add(raises(KeyboardInterrupt(), WAIT(0)))

    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert [child.state for child in children] == [FiberState.DONE]
    assert story(events)[-7:] == [
        ("resume", 1, 0),
        ("spawn", 3, 1),
        ("wake", 3, "spawn", 1, 1),
        ("exit", 1, "cancel"),
        ("resume", 3, 0),
        ("exit", 3, "cancel"),
        ("stop", 0, "KeyboardInterrupt"),
    ]


def test_a_fiber_that_swallows_generator_exit_once_is_closed_all_the_same(scheduler, log):
    def stubborn():
        try:
            yield WAIT(9)
        except GeneratorExit:
            try:
                yield WAIT(9)
            finally:
                log.append("closed")

    fiber = scheduler.add(stubborn())
    scheduler.add(raises(KeyboardInterrupt(), WAIT(0)))

    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert (log, fiber.state) == (["closed"], FiberState.DONE)
    assert isinstance(fiber.error, GeneratorExit)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_fiber_that_goes_on_yielding_while_it_is_closed_is_abandoned(reporting, file, log):
    def stubborn():
        while True:
            try:
                yield WAIT(9)
            except GeneratorExit:
                log.append("no")

    fiber = reporting.add(stubborn(), "mule")
    reporting.add(raises(KeyboardInterrupt(), WAIT(0)))
    reporting.add(guarded(log, "other", WAIT(9)))

    with pytest.raises(KeyboardInterrupt):
        reporting.run()
    gc.collect()
    assert str(fiber.error) == (
        "fiber 'mule' goes on yielding while it is closed and was abandoned; "
        "let GeneratorExit pass, and yield in no finally block"
    )
    assert [entry for entry in log if entry != "no"] == [
        ("other", "GeneratorExit"),
        ("other", "finally"),
    ]


def test_an_object_that_only_acts_like_a_generator_is_closed_like_one(scheduler):
    class Stubborn(Generator):
        """Yields whatever is thrown at it; it has no frame that could tell its end."""

        def send(self, value):
            return WAIT(9)

        def throw(self, *error):
            return WAIT(9)

    fiber = scheduler.add(Stubborn())
    scheduler.add(raises(KeyboardInterrupt(), WAIT(0)))

    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert str(fiber.error) == "generator ignored GeneratorExit"


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_an_observer_that_goes_on_raising_a_fatal_exception_keeps_no_fiber_open(
    network, clock, log, fatal
):
    def observer(event):
        if event.t > 0:
            log.append(event.ev)
            raise fatal

    scheduler = Scheduler(trace=observer, clock=clock, poller=network, file=io.StringIO())
    for name in "ab":
        scheduler.add(guarded(log, name, WAIT(1), WAIT(1)))

    with pytest.raises(fatal):
        scheduler.run()
    ends = [each for each in log if isinstance(each, tuple)]
    assert ends == [
        ("a", "GeneratorExit"),
        ("a", "finally"),
        ("b", "GeneratorExit"),
        ("b", "finally"),
    ]
    assert len(log) < 20


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_an_error_whose_message_raises_a_fatal_exception_keeps_no_fiber_open(reporting, log, fatal):
    class Evil(Exception):
        def __str__(self):
            raise fatal

    reporting.add(raises(Evil(), WAIT(0)))
    reporting.add(guarded(log, "other", WAIT(1)))

    with pytest.raises(fatal):
        reporting.run()
    assert log == [("other", "GeneratorExit"), ("other", "finally")]


@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_a_fatal_exception_while_closing_leaves_run_when_all_are_closed(scheduler, log, fatal):
    def fiber():
        try:
            yield WAIT(9)
        finally:
            raise fatal

    def ends():
        yield WAIT(0)
        scheduler.stop()

    scheduler.add(fiber())
    scheduler.add(guarded(log, "other", WAIT(9)))
    scheduler.add(ends())

    with pytest.raises(fatal):
        scheduler.run()
    assert log == [("other", "GeneratorExit"), ("other", "finally")]


def strikes(strike, make_poller, sockets):
    """Run some of everything, and strike at one event; say what went wrong, None when no more.

    An observer can strike at each event, as ^C can at each line.
    """
    left, right = sockets
    told, finished = [], []

    def observer(event):
        told.append(event.ev)
        if len(told) == strike + 1:
            raise KeyboardInterrupt

    def guarded(wait):
        try:
            yield wait
            yield wait
        finally:
            finished.append(wait)

    def busy():
        try:
            yield WAIT(0)
            right.send(b"xx")
            yield WAIT(0.001)
            start(guarded(WAIT(0)))
            start(guarded(WAIT(None))).cancel()
            yield WAIT(None)
            yield SEND(left)
            receiver.cancel()
        finally:
            finished.append("busy")

    poller = make_poller()
    scheduler = Scheduler(
        trace=observer, clock=getattr(poller, "clock", None), poller=poller, file=io.StringIO()
    )
    receiver = scheduler.add(guarded(RECV(right)))
    waits = (RECV(left), WAIT(None), WAIT(0.001), SEND(right), WAIT(0))
    generators = [guarded(wait) for wait in waits] + [busy()]
    for generator in generators:
        scheduler.add(generator)
    try:
        scheduler.run()
        return None
    except KeyboardInterrupt:
        wrong = []
    except BaseException as error:
        wrong = [repr(error)]
    if any(generator.gi_frame is not None for generator in generators):
        wrong.append("left open")
    again = scheduler.add(yields(WAIT(0), WAIT(0.001)))
    try:
        scheduler.run()
    except BaseException as error:
        wrong.append(repr(error))
    if again.error or again.state is not FiberState.DONE:
        wrong.append("did not run again")
    scheduler.add(yields(WAIT(None)))
    try:
        scheduler.run()
        wrong.append("something was left over")
    except Deadlock:
        pass
    except BaseException as error:
        wrong.append(repr(error))
    return (strike, told[strike], *wrong)


def all_strikes(make_poller, make_sockets):
    """Strike at each event in turn; return how many there were and what went wrong."""
    broken = []
    for strike in range(200):
        sockets = make_sockets()
        found = strikes(strike, make_poller, sockets)
        for sock in sockets:
            sock.close()
        if found is None:
            return strike, broken
        if len(found) > 2:
            broken.append(found)
    return 200, broken


@pytest.mark.live
def test_wherever_an_interrupt_strikes_all_are_closed_and_run_works_again():
    def sockets():
        ends = socket.socketpair()
        for end in ends:
            end.setblocking(False)
        return ends

    count, broken = all_strikes(RealPoller, sockets)

    assert (count > 40, broken) == (True, [])


def test_wherever_an_interrupt_strikes_in_simulated_time_all_are_closed():
    networks = []

    def sockets():
        networks.append(SimulatedNetwork())
        return networks[-1].socketpair()

    count, broken = all_strikes(lambda: networks[-1], sockets)

    assert (count > 40, broken) == (True, [])


def test_a_poller_that_cannot_be_opened_leaves_no_fiber_open(log):
    class Broken(RealPoller):
        def open(self):
            raise OSError("no descriptors")

    scheduler = Scheduler(poller=Broken())
    fiber = scheduler.add(guarded(log, "fiber"))

    with pytest.raises(OSError, match="no descriptors"):
        scheduler.run()
    assert fiber.state is FiberState.DONE


# -- stop ---------------------------------------------------------------------


def test_stop_in_a_fiber_ends_run_after_the_pass(scheduler, log, events):
    def stopper():
        scheduler.stop()
        yield WAIT(0)

    scheduler.add(stopper())
    scheduler.add(guarded(log, "other", WAIT(0), WAIT(0)))
    scheduler.run()

    assert log == [("other", "GeneratorExit"), ("other", "finally")]
    assert story(events)[-1] == ("stop", 0, "stopped")


def test_stop_before_run_lets_it_return_at_once(scheduler, log):
    scheduler.add(guarded(log, "fiber", WAIT(0)))
    scheduler.stop()
    scheduler.run()

    assert log == []


def test_stop_holds_for_one_run(scheduler, log):
    scheduler.stop()
    scheduler.run()
    scheduler.add(guarded(log, "fiber", WAIT(0)))
    scheduler.run()

    assert log == [("fiber", "returned"), ("fiber", "finally")]


@pytest.mark.live
@pytest.mark.parametrize("timeout", [None, 60])
def test_stop_from_another_thread_ends_a_poll_at_once(pair, log, timeout):
    scheduler = Scheduler(timeout)
    scheduler.add(guarded(log, "fiber", RECV(pair[0])))
    timer = threading.Timer(0.05, scheduler.stop)
    timer.start()
    scheduler.run()
    timer.join()

    assert log == [("fiber", "GeneratorExit"), ("fiber", "finally")]


@pytest.mark.live
def test_stop_from_another_thread_ends_a_long_sleep_at_once(log):
    scheduler = Scheduler()
    scheduler.add(guarded(log, "fiber", WAIT(86_400 * 365)))
    timer = threading.Timer(0.05, scheduler.stop)
    timer.start()
    scheduler.run()
    timer.join()

    assert log == [("fiber", "GeneratorExit"), ("fiber", "finally")]


@pytest.mark.live
def test_stop_from_another_thread_ends_a_run_that_never_polls(log):
    scheduler = Scheduler()

    def spins():
        while True:
            yield WAIT(0)

    scheduler.add(spins())
    timer = threading.Timer(0.05, scheduler.stop)
    timer.start()
    scheduler.run()
    timer.join()

    assert not scheduler.running


@pytest.fixture
def alarm():
    """Call a function from a signal handler a little later."""

    def later(function, *args):
        signal.signal(signal.SIGALRM, lambda *_: function(*args))
        signal.setitimer(signal.ITIMER_REAL, 0.05)

    before = signal.getsignal(signal.SIGALRM) if hasattr(signal, "SIGALRM") else None
    yield later
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.live
@pytest.mark.posix
def test_stop_from_a_signal_handler_ends_a_poll_at_once(pair, log, alarm):
    scheduler = Scheduler()
    scheduler.add(guarded(log, "fiber", RECV(pair[0])))
    alarm(scheduler.stop)
    scheduler.run()

    assert log == [("fiber", "GeneratorExit"), ("fiber", "finally")]


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("fatal", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_while_polling_leaves_run(pair, log, alarm, fatal):
    def strike():
        raise fatal

    scheduler = Scheduler()
    scheduler.add(guarded(log, "fiber", RECV(pair[0])))
    alarm(strike)

    with pytest.raises(fatal):
        scheduler.run()
    assert log == [("fiber", "GeneratorExit"), ("fiber", "finally")]


@pytest.mark.live
@pytest.mark.posix
def test_an_interrupt_in_a_fiber_leaves_run(log, request):
    # A shell lets what runs in its background ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    scheduler = Scheduler(file=io.StringIO())

    def interrupted():
        yield WAIT(0)
        signal.raise_signal(signal.SIGINT)

    scheduler.add(interrupted())
    scheduler.add(guarded(log, "other", WAIT(9)))

    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert log == [("other", "GeneratorExit"), ("other", "finally")]


class Stuck(deque):
    """A run queue one of whose verbs does not come back."""

    verb = ""

    def popleft(self):
        while self.verb == "popleft":
            pass
        return super().popleft()

    def append(self, fiber):
        while self.verb == "append":
            pass
        super().append(fiber)

    def __len__(self):
        while self.verb == "__len__":
            pass
        return super().__len__()


@pytest.mark.live
@pytest.mark.parametrize("verb", ["popleft", "append", "__len__"])
def test_one_interrupt_ends_a_run_queue_that_does_not_come_back(verb):
    queue, left, interrupts = Stuck(), threading.Event(), []
    scheduler = Scheduler(run_queue=queue)

    def breaks():
        yield WAIT(0)
        queue.verb = verb
        yield WAIT(0)

    def interrupt():
        while not left.wait(0.3):
            interrupts.append(1)
            _thread.interrupt_main()

    for _ in range(3):
        scheduler.add(breaks())
    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    left.set()
    thread.join()

    assert interrupts == [1]


def test_what_a_run_has_left_in_its_run_queue_is_not_resumed_by_the_next():
    queue = deque()
    scheduler, log = Scheduler(run_queue=queue), []

    def noting(name):
        log.append(name)
        scheduler.stop()
        yield WAIT(0)
        log.append(f"{name} again")

    scheduler.add(noting("first"))
    scheduler.run()
    scheduler.add(noting("second"))
    scheduler.run()

    assert log == ["first", "second"]
