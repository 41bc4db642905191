"""When a fiber is resumed after each kind of wait, event by event (design.md, 2.1)."""

from __future__ import annotations

import contextlib
import gc
import math

import pytest
from stories import story

from fiberlab.errors import FiberTimeout, InvalidYield, SocketBusy
from fiberlab.fiber import join, start
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.sockets import recv_exactly, send_all
from fiberlab.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT

SECOND = 1_000_000_000


def yields(log, name, *waits):
    """Note each resume of `name`, and yield `waits` between them."""
    for wait in waits:
        log.append(name)
        yield wait
    log.append(name)


def order(events, kind="resume"):
    """Return the fibers in the order of their events of one kind."""
    return [event.fid for event in events if event.ev == kind]


# -- A pass -------------------------------------------------------------------


def test_a_pass_resumes_each_ready_fiber_once_first_come_first_served(scheduler, log):
    for name in "abc":
        scheduler.add(yields(log, name, WAIT(0), WAIT(0)))
    scheduler.run()

    assert "".join(log) == "abcabcabc"


def test_a_fiber_added_by_a_running_one_is_resumed_in_the_next_pass(scheduler, log):
    def parent():
        start(yields(log, "child"))
        log.append("parent")
        yield WAIT(0)
        log.append("parent again")

    scheduler.add(parent())
    scheduler.add(yields(log, "other"))
    scheduler.run()

    assert log == ["parent", "other", "child", "parent again"]


def test_a_fiber_that_becomes_ready_in_a_pass_is_resumed_in_the_next(scheduler, events):
    def canceller(victim):
        yield WAIT(0)
        victim.cancel()

    victim = scheduler.add(yields([], "victim", WAIT(9)))
    scheduler.add(canceller(victim))
    scheduler.add(yields([], "other", WAIT(0)))
    scheduler.run()

    assert order(events) == [1, 2, 3, 2, 3, 1]


def test_wait_zero_lets_every_other_ready_fiber_run_first(scheduler, events):
    scheduler.add(yields([], "a", WAIT(0)))
    scheduler.add(yields([], "b", WAIT(0)))
    scheduler.run()

    assert story(events) == [
        ("start", 0),
        ("spawn", 1, 0),
        ("wake", 1, "spawn", 0, 1),
        ("spawn", 2, 0),
        ("wake", 2, "spawn", 0, 2),
        ("resume", 1, 1),
        ("yield", 1, "WAIT", 0),
        ("wake", 1, "yield", 1, 2),
        ("resume", 2, 1),
        ("yield", 2, "WAIT", 0),
        ("wake", 2, "yield", 2, 2),
        ("resume", 1, 1),
        ("exit", 1, "return"),
        ("resume", 2, 0),
        ("exit", 2, "return"),
        ("stop", 0, "done"),
    ]


def test_wait_zero_lets_the_sockets_be_polled_first(scheduler, network, events):
    left, right = network.socketpair()

    def receiver():
        yield RECV(left)

    def sender():
        right.send(b"x")
        yield WAIT(0)

    scheduler.add(receiver())
    scheduler.add(sender())
    scheduler.run()

    assert story(events)[5:] == [
        ("resume", 1, 1),
        ("yield", 1, "RECV", None),
        ("resume", 2, 0),
        ("yield", 2, "WAIT", 0),
        ("wake", 2, "yield", 2, 1),
        ("poll", 0, 0, 1, 1, 0),
        ("polled", 0, 1),
        ("wake", 1, "io", 0, 2),
        ("resume", 2, 1),
        ("exit", 2, "return"),
        ("resume", 1, 0),
        ("exit", 1, "return"),
        ("stop", 0, "done"),
    ]


def test_fibers_that_spin_on_wait_zero_do_not_starve_a_socket(scheduler, network, log):
    left, right = network.socketpair()

    def spinner(done):
        while not done:
            yield WAIT(0)

    def receiver(done):
        yield RECV(left)
        done.append(True)

    done = []
    scheduler.add(receiver(done))
    scheduler.add(spinner(done))
    right.send(b"x")
    scheduler.run()

    assert done == [True]


# -- WAIT(seconds) ------------------------------------------------------------


def test_sleepers_wake_in_the_order_of_their_deadlines(scheduler, clock, log):
    def sleeper(seconds):
        yield WAIT(seconds)
        log.append((clock.now(), seconds))

    for seconds in (3, 1, 2.5):
        scheduler.add(sleeper(seconds))
    scheduler.run()

    assert log == [(1, 1), (2.5, 2.5), (3, 3)]


def test_equal_deadlines_fire_in_the_order_in_which_they_were_asked_for(scheduler, log, clock):
    def sleeper(name, *waits):
        yield from waits
        log.append(name)

    scheduler.add(sleeper("late", WAIT(0), WAIT(0), WAIT(2)))
    scheduler.add(sleeper("first", WAIT(2)))
    scheduler.add(sleeper("half-way", WAIT(1), WAIT(1)))
    scheduler.add(sleeper("second", WAIT(2)))
    scheduler.run()

    assert (clock.now(), log) == (2, ["first", "second", "late", "half-way"])


def test_a_deadline_counts_from_the_clock_at_the_yield(scheduler, clock, events):
    def slow():
        clock.burn(0.25)
        yield WAIT(1)

    def other():
        yield WAIT(0)
        clock.burn(0.5)

    scheduler.add(slow())
    scheduler.add(other())
    scheduler.run()
    wake = next(event for event in events if event.ev == "wake" and event.why == "timer")

    assert (wake.t, wake.late) == (1.25 * SECOND, 0)


def test_a_late_timer_tells_by_how_much(scheduler, clock, events):
    def hog():
        yield WAIT(0)
        clock.burn(3)

    scheduler.add(yields([], "sleeper", WAIT(1)))
    scheduler.add(hog())
    scheduler.run()
    wake = next(event for event in events if event.ev == "wake" and event.why == "timer")

    assert (wake.t, wake.late) == (3 * SECOND, 2 * SECOND)


def test_a_sleep_is_told_whole(scheduler, events):
    scheduler.add(yields([], "a", WAIT(1.5)))
    scheduler.run()

    assert story(events)[3:] == [
        ("resume", 1, 0),
        ("yield", 1, "WAIT", 1.5 * SECOND),
        ("poll", 0, 1.5 * SECOND, 0, 0, 1),
        ("polled", 0, 0),
        ("wake", 1, "timer", 0, 1),
        ("resume", 1, 0),
        ("exit", 1, "return"),
        ("stop", 0, "done"),
    ]


@pytest.mark.parametrize("seconds", [3, 0.25, 1e-9])
def test_a_sleeper_is_resumed_that_many_seconds_later(scheduler, clock, log, seconds):
    def sleeper():
        clock.burn(5)
        yield WAIT(seconds)
        log.append(clock.now_ns())

    scheduler.add(sleeper())
    scheduler.run()

    assert log == [5_000_000_000 + round(seconds * 1e9)]


def test_a_wait_made_once_can_be_yielded_many_times(scheduler, clock):
    tick = WAIT(1)
    scheduler.add(yields([], "a", tick, tick, tick))
    scheduler.run()

    assert clock.now() == 3


# -- RECV and SEND ------------------------------------------------------------


def test_recv_is_resumed_when_receiving_will_not_block(scheduler, network, clock, log):
    left, right = network.socketpair(latency=0.5)

    def receiver():
        yield RECV(left)
        log.append((clock.now(), left.recv(10)))

    scheduler.add(receiver())
    right.send(b"data")
    scheduler.run()

    assert log == [(0.5, b"data")]


def test_recv_on_a_listener_is_resumed_when_accepting_will_not_block(scheduler, network, log):
    listener = network.listen(("localhost", 80))

    def server():
        yield RECV(listener)
        log.append(listener.accept()[1][0])

    def client():
        yield WAIT(1)
        network.connect(("localhost", 80))
        yield WAIT(1)

    scheduler.add(server())
    scheduler.add(client())
    scheduler.run()

    assert log == ["127.0.0.1"]


def test_a_send_that_can_proceed_at_once_goes_to_the_end_of_the_run_queue(
    scheduler, network, events
):
    left, _right = network.socketpair()
    scheduler.add(yields([], "sender", SEND(left)))
    scheduler.add(yields([], "other", WAIT(0)))
    scheduler.run()

    assert story(events)[5:] == [
        ("resume", 1, 1),
        ("yield", 1, "SEND", None),
        ("wake", 1, "io", 0, 2),
        ("resume", 2, 1),
        ("yield", 2, "WAIT", 0),
        ("wake", 2, "yield", 2, 2),
        ("resume", 1, 1),
        ("exit", 1, "return"),
        ("resume", 2, 0),
        ("exit", 2, "return"),
        ("stop", 0, "done"),
    ]


def test_send_waits_until_the_reader_has_made_room(scheduler, clock, log):
    network = SimulatedNetwork(buffer_bytes=10)
    scheduler = Scheduler(clock=network.clock, poller=network)
    left, right = network.socketpair()

    def sender():
        yield from send_all(left, bytes(25))
        log.append(("sent", network.clock.now()))

    def reader():
        yield WAIT(5)
        data = yield from recv_exactly(right, 25)
        log.append(("read", len(data)))

    scheduler.add(sender())
    scheduler.add(reader())
    scheduler.run()

    assert sorted(log) == [("read", 25), ("sent", 5)]


def test_one_fiber_may_receive_while_another_sends_on_the_same_socket(log):
    network = SimulatedNetwork(buffer_bytes=10)
    scheduler = Scheduler(clock=network.clock, poller=network)
    left, right = network.socketpair()

    def sender(sock):
        yield from send_all(sock, bytes(100))
        log.append("sent")

    def receiver(sock):
        data = yield from recv_exactly(sock, 100)
        log.append(len(data))

    for sock in (left, right):
        scheduler.add(receiver(sock))
        scheduler.add(sender(sock))
    scheduler.run()

    assert sorted(log, key=str) == [100, 100, "sent", "sent"]


def test_a_second_receiver_on_a_socket_gets_an_error_that_names_both(scheduler, network, log):
    left, right = network.socketpair()

    def receiver(name):
        try:
            yield RECV(left)
            log.append((name, left.recv(1)))
        except SocketBusy as error:
            log.append((name, str(error)))
            right.send(b"x")

    scheduler.add(receiver("one"), "one")
    scheduler.add(receiver("two"), "two")
    scheduler.run()

    assert log == [
        (
            "two",
            f"fibers 'one' and 'two' both wait to receive on socket {left.fileno()}; "
            "give each its own socket, or let one of them hand the data on",
        ),
        ("one", b"x"),
    ]


def test_a_second_sender_on_a_socket_gets_an_error_that_names_both(log):
    network = SimulatedNetwork(buffer_bytes=1)
    scheduler = Scheduler(clock=network.clock, poller=network)
    left, right = network.socketpair()
    left.send(b"1")
    with contextlib.suppress(BlockingIOError):
        left.send(b"2")

    def sender(name):
        try:
            yield SEND(left)
            log.append(name)
        except SocketBusy as error:
            log.append(str(error).split(" on ")[0])
            right.recv(2)

    scheduler.add(sender("one"), "one")
    scheduler.add(sender("two"), "two")
    scheduler.run()

    assert log == ["fibers 'one' and 'two' both wait to send", "one"]


# -- Deadlines of RECV and SEND -----------------------------------------------


def receives(sock, log, clock, *timeouts):
    """Note how each RECV ends, one for each of `timeouts`."""
    for timeout in timeouts:
        try:
            yield RECV(sock, timeout=timeout)
            log.append((clock.now(), sock.recv(9)))
        except FiberTimeout:
            log.append((clock.now(), "timeout"))


def test_recv_that_passes_its_deadline_raises_inside_the_fiber(scheduler, network, clock, log):
    left, _right = network.socketpair()
    scheduler.add(receives(left, log, clock, 2.5))
    scheduler.run()

    assert log == [(2.5, "timeout")]


def test_a_fiber_that_catches_the_timeout_has_a_fresh_one_at_its_next_yield(
    scheduler, network, clock, log
):
    left, _right = network.socketpair()
    scheduler.add(receives(left, log, clock, 1, 2, 1))
    scheduler.run()

    assert log == [(1, "timeout"), (3, "timeout"), (4, "timeout")]


def test_timeout_left_out_is_the_schedulers_own(network, clock, log):
    left, _right = network.socketpair()
    scheduler = Scheduler(3, clock=clock, poller=network)
    scheduler.add(receives(left, log, clock, None, 1, None))
    scheduler.run()

    assert log == [(3, "timeout"), (4, "timeout"), (7, "timeout")]


def test_timeout_inf_is_never(network, clock, log):
    left, right = network.socketpair()
    scheduler = Scheduler(3, clock=clock, poller=network)

    def sender():
        yield WAIT(1_000_000)
        right.send(b"x")

    scheduler.add(receives(left, log, clock, math.inf))
    scheduler.add(sender())
    scheduler.run()

    assert log == [(1_000_000, b"x")]


def test_a_scheduler_without_a_timeout_waits_for_ever(scheduler, network, clock, log):
    left, right = network.socketpair()

    def sender():
        yield WAIT(1_000_000)
        right.send(b"x")

    scheduler.add(receives(left, log, clock, None))
    scheduler.add(sender())
    scheduler.run()

    assert log == [(1_000_000, b"x")]


def test_the_schedulers_timeout_leaves_sleepers_and_parked_fibers_alone(network, clock, log):
    scheduler = Scheduler(1, clock=clock, poller=network)

    def sleeper():
        yield WAIT(10)

    def joiner(fiber):
        yield from join(fiber)
        log.append(clock.now())

    scheduler.add(joiner(scheduler.add(sleeper())))
    scheduler.run()

    assert log == [10]


def test_timeout_zero_takes_what_is_there_and_nothing_else(scheduler, network, clock, log):
    left, right = network.socketpair()
    right.send(b"x")
    scheduler.add(receives(left, log, clock, 0, 0))
    scheduler.run()

    assert log == [(0, b"x"), (0, "timeout")]


def test_a_send_that_passes_its_deadline_raises_inside_the_fiber(log):
    network = SimulatedNetwork(buffer_bytes=1)
    scheduler = Scheduler(clock=network.clock, poller=network)
    left, _right = network.socketpair()

    def sender():
        try:
            while True:
                yield SEND(left, timeout=2)
                left.send(b"x")
        except FiberTimeout as error:
            log.append((network.clock.now(), isinstance(error, TimeoutError), str(error)[:31]))

    scheduler.add(sender())
    scheduler.run()

    assert log == [(2, True, "fiber 'sender-1' waited in vain")]


def test_data_that_arrived_wins_over_the_deadline(scheduler, network, clock, log):
    left, right = network.socketpair()

    def hog():
        yield WAIT(0)
        right.send(b"x")
        clock.burn(5)

    scheduler.add(receives(left, log, clock, 1))
    scheduler.add(hog())
    scheduler.run()

    assert log == [(5, b"x")]


def test_data_that_arrives_at_the_very_deadline_wins(scheduler, network, clock, log):
    left, right = network.socketpair(latency=1)
    right.send(b"x")
    scheduler.add(receives(left, log, clock, 1))
    scheduler.run()

    assert log == [(1, b"x")]


def test_a_timeout_that_was_not_needed_does_not_ring_later(scheduler, network, clock, log):
    left, right = network.socketpair()

    def peer():
        right.send(b"x")
        yield WAIT(10)

    scheduler.add(receives(left, log, clock, 2))
    scheduler.add(peer())
    scheduler.run()

    assert (clock.now(), log) == (10, [(0, b"x")])


# -- Something else -----------------------------------------------------------


def generator_function():
    yield WAIT(0)


@pytest.mark.parametrize(
    ("came", "words"),
    [
        (42, "yielded 42; a fiber may yield only RECV(sock), SEND(sock) or WAIT(seconds)"),
        (None, "yielded None; a fiber may yield only"),
        (WAIT, "write WAIT(...), with its arguments"),
        (RECV, "write RECV(...), with its arguments"),
        (generator_function(), "to run another generator inside, write yield from"),
        (generator_function, "yielded <function generator_function"),
    ],
    ids=["42", "None", "WAIT", "RECV", "generator", "function"],
)
def test_a_yield_of_anything_else_throws_invalid_yield_there(scheduler, log, came, words):
    def fiber():
        try:
            yield came
        except InvalidYield as error:
            log.append((isinstance(error, TypeError), "'odd'" in str(error), words in str(error)))
        yield WAIT(1)
        log.append("went on")

    scheduler.add(fiber(), "odd")
    scheduler.run()

    assert log == [(True, True, True), "went on"]


def test_the_trace_tells_the_line_that_yields_what_is_refused(scheduler, events):
    def fiber():
        yield 42

    scheduler.add(fiber(), "odd")
    scheduler.run()

    [end] = [event for event in events if event.ev == "exit"]
    assert end.src == f"test_scheduler_waits.py:{fiber.__code__.co_firstlineno + 1}"


def test_a_yield_of_what_cannot_be_printed_is_refused_all_the_same(scheduler, log):
    class Hostile:
        def __repr__(self):
            raise RuntimeError

    def fiber():
        try:
            yield Hostile()
        except InvalidYield as error:
            log.append("<Hostile whose repr fails>" in str(error))

    scheduler.add(fiber())
    scheduler.run()

    assert log == [True]


def test_a_refused_yield_is_told_as_invalid_and_wakes_itself(scheduler, events):
    def fiber():
        with contextlib.suppress(InvalidYield):
            yield 42

    scheduler.add(fiber())
    scheduler.run()

    assert story(events)[3:] == [
        ("resume", 1, 0),
        ("yield", 1, "invalid", None),
        ("wake", 1, "yield", 1, 1),
        ("resume", 1, 0),
        ("exit", 1, "return"),
        ("stop", 0, "done"),
    ]


# -- Simulated time -----------------------------------------------------------


def conversation(path):
    network = SimulatedNetwork()
    trace = Trace()
    scheduler = Scheduler(5, trace, clock=network.clock, poller=network)
    listener = network.listen(("localhost", 7))

    def echo(sock):
        while True:
            yield RECV(sock)
            data = sock.recv(3)
            if not data:
                return
            yield from send_all(sock, data)

    def server():
        for _ in range(3):
            yield RECV(listener)
            start(echo(listener.accept()[0]))

    def client(number):
        sock = network.connect(("localhost", 7), latency=number / 7)
        yield from send_all(sock, bytes(10))
        yield from recv_exactly(sock, 10)
        sock.close()

    scheduler.add(server())
    for number in range(3):
        scheduler.add(client(number))
    scheduler.run()
    trace.save(path)
    return path.read_bytes()


def test_with_the_simulated_clock_a_program_gives_the_same_trace_byte_for_byte(tmp_path):
    first, second = conversation(tmp_path / "first"), conversation(tmp_path / "second")

    assert len(first) > 1000
    assert first == second


@pytest.mark.once
def test_a_hundred_thousand_fibers_run(network, clock):
    scheduler = Scheduler(clock=clock, poller=network)
    done = []

    def fiber(number):
        yield WAIT(0)
        yield WAIT(1 + number % 7)
        done.append(number)

    for number in range(100_000):
        scheduler.add(fiber(number))
    scheduler.run()
    gc.collect()

    assert (len(done), clock.now()) == (100_000, 7)
