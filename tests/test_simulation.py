"""Simulated time and the simulated network: exact moments, back-pressure, deadlock, scale."""

from __future__ import annotations

import gc
import socket
import sys
import threading
import weakref
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from fiberlab.errors import Deadlock, FiberTimeout, SocketClosed
from fiberlab.io.clock import RealClock
from fiberlab.io.descriptors import READABLE
from fiberlab.io.poller import RealPoller
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedClock, SimulatedNetwork
from fiberlab.sockets import recv_exactly, send_all
from fiberlab.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT


@pytest.fixture
def scheduler(network):
    """A scheduler on `network` and its clock."""
    return Scheduler(clock=network.clock, poller=network)


@pytest.fixture
def log():
    """What the fibers of a test note down."""
    return []


def receiver(sock, clock, log, size=65_536):
    """Note when each piece arrives and how long it is, to the end of the stream."""
    while True:
        yield RECV(sock)
        data = sock.recv(size)
        log.append((clock.now_ns(), len(data)))
        if not data:
            return


def sender(sock, size):
    """Send `size` bytes, then close."""
    yield from send_all(sock, bytes(size))
    sock.close()


class Waiter:
    """What the network needs of a fiber."""

    name = "waiter"
    pending = None

    def __init__(self, sock):
        self.wait = RECV(sock)


# -- The clock ----------------------------------------------------------------


def test_a_clock_begins_at_zero_and_is_called_simulated():
    clock = SimulatedClock()

    assert (clock.name, clock.now_ns(), clock.now()) == ("simulated", 0, 0.0)
    assert repr(clock) == "<SimulatedClock at 0 s>"


def test_burning_time_adds_up_exactly():
    clock = SimulatedClock()
    for seconds in (0.1, 1, Fraction(1, 4), 0, 1e-9):
        clock.burn(seconds)

    assert (clock.now_ns(), clock.now()) == (1_350_000_001, 1.350000001)


@pytest.mark.parametrize("seconds", [None, "1", True, Decimal(1)])
def test_burning_what_is_no_number_is_refused(clock, seconds):
    with pytest.raises(TypeError, match=r"burn\(seconds\) needs a number, got"):
        clock.burn(seconds)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_burning_an_impossible_time_is_refused(clock, seconds):
    with pytest.raises(ValueError, match="cannot be negative, infinite or nan, got"):
        clock.burn(seconds)


@pytest.mark.parametrize(
    ("seconds", "burned"), [(1e308, 10**21), (np.float16(1), 10**9), (2 * 10**9, 2 * 10**18)]
)
def test_a_time_of_any_length_can_be_burned_and_is_cut_to_30_000_years(clock, seconds, burned):
    clock.burn(seconds)

    assert clock.now_ns() == burned


def test_time_never_goes_back(clock):
    clock.jump(5)
    with pytest.raises(ValueError, match="time never goes back: it is 5 ns, got 4"):
        clock.jump(4)

    assert clock.now_ns() == 5


def test_no_other_fiber_runs_while_one_burns_time(scheduler, clock, log):
    def busy():
        log.append(("busy", clock.now()))
        clock.burn(3)
        log.append(("busy", clock.now()))
        yield WAIT(1)
        log.append(("busy", clock.now()))

    def sleeper():
        yield WAIT(1)
        log.append(("sleeper", clock.now()))

    scheduler.add(sleeper())
    scheduler.add(busy())
    scheduler.run()

    assert log == [("busy", 0.0), ("busy", 3.0), ("sleeper", 3.0), ("busy", 4.0)]


def test_when_every_fiber_waits_the_clock_jumps_to_the_next_deadline(scheduler, clock, log):
    def sleeper(seconds):
        yield WAIT(seconds)
        log.append(clock.now_ns())

    for seconds in (1_000_000, 0.5, 3):
        scheduler.add(sleeper(seconds))
    scheduler.run()

    assert log == [500_000_000, 3_000_000_000, 1_000_000_000_000_000]


# -- Latency and bandwidth ----------------------------------------------------


def test_data_arrives_exactly_one_latency_after_it_was_sent(network, scheduler, clock, log):
    left, right = network.socketpair(latency=0.025)

    def talker():
        for _ in range(2):
            left.send(b"hello")
            yield WAIT(1)
        left.close()

    scheduler.add(receiver(right, clock, log))
    scheduler.add(talker())
    scheduler.run()

    assert log == [(25_000_000, 5), (1_025_000_000, 5), (2_025_000_000, 0)]


def test_without_latency_data_is_there_at_once(network):
    left, right = network.socketpair()
    left.send(b"hello")

    assert (right.recv(10), network.clock.now_ns()) == (b"hello", 0)


def test_a_bandwidth_spreads_the_bytes_over_time(network, scheduler, clock, log):
    left, right = network.socketpair(latency=1, bandwidth=1000)
    scheduler.add(receiver(right, clock, log))
    scheduler.add(sender(left, 3000))
    scheduler.run()

    assert log == [
        (1_000_000_000 + 1_460_000_000, 1460),
        (1_000_000_000 + 2_920_000_000, 1460),
        (1_000_000_000 + 3_000_000_000, 80),
        (1_000_000_000 + 3_000_000_000, 0),
    ]


def test_bytes_that_wait_for_the_link_leave_together(network, scheduler, clock, log):
    left, right = network.socketpair(bandwidth=10)

    def talker():
        for _ in range(3):
            left.send(b"hello")
        yield WAIT(10)
        left.send(b"again")
        left.close()

    scheduler.add(receiver(right, clock, log))
    scheduler.add(talker())
    scheduler.run()

    assert log == [
        (500_000_000, 5),
        (1_500_000_000, 10),
        (10_500_000_000, 5),
        (10_500_000_000, 0),
    ]


@pytest.mark.parametrize("bandwidth", [3, 7.5, 999_983, Fraction(1, 3)])
def test_rounding_does_not_add_up(network, bandwidth):
    left, right = network.socketpair(bandwidth=bandwidth)
    scheduler = Scheduler(clock=network.clock, poller=network)
    log: list[Any] = []
    scheduler.add(receiver(right, network.clock, log))
    scheduler.add(sender(left, 100_000))
    scheduler.run()
    exact = 100_000 * 10**9 / Fraction(bandwidth)

    assert 0 <= log[-1][0] - exact < 1


def test_the_two_directions_do_not_share_their_bandwidth(network, scheduler, clock):
    ends = network.socketpair(bandwidth=100)
    logs: tuple[list[Any], list[Any]] = ([], [])
    for sock, log in zip(ends, logs, strict=True):
        scheduler.add(receiver(sock, clock, log))
        sock.send(bytes(200))
        sock.shutdown(socket.SHUT_WR)
    scheduler.run()

    assert logs == ([(2_000_000_000, 200), (2_000_000_000, 0)],) * 2


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"latency": -1}, ValueError, "latency cannot be negative"),
        ({"latency": "1"}, TypeError, "latency needs a number"),
        ({"bandwidth": 0}, ValueError, "bandwidth is bytes a second > 0 or None, got 0"),
        ({"bandwidth": float("inf")}, ValueError, "bandwidth cannot be negative, infinite"),
        ({"bandwidth": True}, TypeError, "bandwidth needs a number"),
    ],
)
def test_impossible_links_are_refused(network, arguments, error, words):
    for make in (network.socketpair, lambda **link: network.connect(("a", 1), **link)):
        with pytest.raises(error, match=words):
            make(**arguments)


def test_a_link_takes_any_kind_of_real_number(network):
    for number in (1e308, np.float16(1), np.float32(0.5), Fraction(1, 3)):
        left, right = network.socketpair(latency=number, bandwidth=number)
        left.send(b"x")
        left.close()
        right.close()

    assert network.clock.now_ns() == 0


@pytest.mark.parametrize("size", [0, -1, 1.5, None])
def test_impossible_buffers_are_refused(size):
    with pytest.raises(ValueError, match="buffer_bytes is a whole number of bytes > 0"):
        SimulatedNetwork(buffer_bytes=size)


def test_what_arrives_at_one_moment_is_delivered_in_the_order_of_sending(
    network, scheduler, clock, log
):
    near, far = network.socketpair(latency=1), network.socketpair(latency=2)
    late = network.socketpair(latency=1)

    def listener(name, sock):
        yield RECV(sock)
        log.append((name, clock.now()))

    for name, sock in (("late", late[1]), ("near", near[1]), ("far", far[1])):
        scheduler.add(listener(name, sock))

    def talker():
        far[0].send(b"x")
        yield WAIT(1)
        near[0].send(b"x")
        late[0].send(b"x")

    scheduler.add(talker())
    scheduler.run()

    assert log == [("far", 2.0), ("near", 2.0), ("late", 2.0)]


# -- Back-pressure ------------------------------------------------------------


def test_a_sender_gets_no_further_than_both_buffers():
    network = SimulatedNetwork(buffer_bytes=100)
    left, right = network.socketpair()
    sent = [left.send(bytes(150)) for _ in range(2)]
    pytest.raises(BlockingIOError, left.send, b"x")
    got = len(right.recv(30))

    assert (sent, got, left.send(bytes(150))) == ([100, 100], 30, 30)


def test_a_slow_reader_holds_its_sender_back(log):
    network = SimulatedNetwork(buffer_bytes=100)
    left, right = network.socketpair()
    scheduler = Scheduler(clock=network.clock, poller=network)

    def writer():
        for _ in range(5):
            yield SEND(left)
            log.append((network.clock.now(), left.send(bytes(100))))
        left.close()

    def slow_reader():
        while True:
            yield WAIT(1)
            yield RECV(right)
            if not right.recv(100):
                return

    scheduler.add(slow_reader())
    scheduler.add(writer())
    scheduler.run()

    assert log == [(0.0, 100), (0.0, 100), (1.0, 100), (2.0, 100), (3.0, 100)]


def test_the_news_of_room_travels_as_long_as_the_data(log):
    network = SimulatedNetwork(buffer_bytes=100)
    left, right = network.socketpair(latency=1)
    scheduler = Scheduler(clock=network.clock, poller=network)
    scheduler.add(receiver(right, network.clock, log))
    scheduler.add(sender(left, 250))
    scheduler.run()

    assert log == [
        (1_000_000_000, 100),
        (3_000_000_000, 100),
        (5_000_000_000, 50),
        (5_000_000_000, 0),
    ]


def test_every_byte_goes_through_the_smallest_buffers():
    network = SimulatedNetwork(buffer_bytes=1)
    left, right = network.socketpair(latency=0.5, bandwidth=1000)
    scheduler = Scheduler(clock=network.clock, poller=network)
    message = bytes(range(50))
    scheduler.add(send_all(left, message))
    fiber = scheduler.add(recv_exactly(right, 50))
    scheduler.run()

    assert (fiber.result, network.clock.now()) == (message, 50 * 0.501 + 49 * 0.5)


# -- Time while nobody polls --------------------------------------------------


def test_the_network_knows_since_when_data_lies_there(network, clock):
    left, right = network.socketpair(latency=1)
    before = right.arrived_ns
    left.send(b"one")
    clock.burn(0.25)
    left.send(b"two")
    left.close()
    clock.burn(10)
    seen = []
    for size in (0, 1, 2, 3):
        right.recv(size)
        seen.append(right.arrived_ns)

    assert before is None
    assert seen == [1_000_000_000, 1_000_000_000, 1_250_000_000, 1_250_000_000]


def test_the_network_knows_since_when_a_connection_waits(network, clock):
    listener = network.listen(("localhost", 80))
    before = listener.arrived_ns
    client = network.connect(("localhost", 80), latency=0.5)
    clock.burn(5)
    waiting = listener.arrived_ns
    listener.accept()
    client.close()

    assert (before, waiting, listener.arrived_ns) == (None, 500_000_000, None)


def test_deliveries_pile_up_while_a_fiber_burns_time(network, scheduler, clock, log):
    left, right = network.socketpair(latency=1)

    def talker():
        for _ in range(3):
            left.send(b"x")
            yield WAIT(1)
        left.close()

    def busy():
        yield WAIT(0.5)
        clock.burn(2)

    scheduler.add(receiver(right, clock, log))
    scheduler.add(busy())
    scheduler.add(talker())
    scheduler.run()

    # The second was sent late, at 2.5: its sender was kept waiting too.
    assert log == [(2_500_000_000, 1), (3_500_000_000, 1), (4_500_000_000, 1), (5_500_000_000, 0)]


def test_data_that_arrives_at_the_deadline_wins(network, scheduler, clock, log):
    left, right = network.socketpair(latency=1)
    left.send(b"just in time")

    def patient():
        yield RECV(right, timeout=1)
        log.append((clock.now(), right.recv(100)))
        try:
            yield RECV(right, timeout=1)
        except FiberTimeout:
            log.append((clock.now(), "timeout"))

    scheduler.add(patient())
    scheduler.run()

    assert log == [(1.0, b"just in time"), (2.0, "timeout")]


# -- Connecting ---------------------------------------------------------------


def test_a_connection_takes_one_latency_for_the_server_and_two_for_the_client(
    network, scheduler, clock, log
):
    def serve(sock, address):
        log.append(("server", clock.now()))
        yield WAIT(0)

    address = scheduler.listen(serve, 80)

    def client():
        with network.connect(address, latency=0.5) as sock:
            pytest.raises(BlockingIOError, sock.send, b"too early")
            yield SEND(sock)
            log.append(("client", clock.now()))
        scheduler.stop()

    scheduler.add(client())
    scheduler.run()

    assert (address, log) == (("127.0.0.1", 80), [("server", 0.5), ("client", 1.0)])


def test_a_refused_connection_names_the_address(network, clock):
    sock = network.connect(("localhost", 81), latency=0.5)
    clock.burn(1)

    with pytest.raises(ConnectionRefusedError, match=r"nothing listens at \('127.0.0.1', 81\)"):
        sock.recv(1)


def test_a_client_that_closes_before_it_arrives_is_never_seen(network, clock):
    listener = network.listen(("localhost", 80))
    network.connect(("localhost", 80), latency=0.5).close()
    clock.burn(2)

    pytest.raises(BlockingIOError, listener.accept)


def test_port_zero_takes_a_free_port_and_any_host_may_be_listened_at(network):
    names = [network.listen((host, 0)) for host in ("localhost", "localhost", "example.org")]
    addresses = [sock.getsockname() for sock in names]

    assert addresses == [("127.0.0.1", 32768), ("127.0.0.1", 32769), ("example.org", 32768)]


def test_all_client_addresses_are_different(network):
    pairs = [network.socketpair() for _ in range(20_000)]
    addresses = {sock.getsockname() for pair in pairs for sock in pair}

    assert len(addresses) == 40_000


@pytest.mark.parametrize(
    "address", [80, ("localhost",), ("localhost", "80"), ("localhost", 65_536)]
)
def test_what_is_no_address_is_refused(network, address):
    for use in (network.listen, network.connect):
        with pytest.raises(ValueError, match=r"an address is \(host, port\)"):
            use(address)


# -- What is refused ----------------------------------------------------------


def test_sendall_is_refused_with_a_remedy(network):
    left, _right = network.socketpair()

    with pytest.raises(RuntimeError, match=r"yield from send_all\(sock, data\)"):
        left.sendall(b"x")


def test_a_simulated_socket_refuses_to_block(network):
    left, _right = network.socketpair()
    for refuse, argument in (
        (left.setblocking, True),
        (left.settimeout, 1),
        (left.settimeout, None),
    ):
        with pytest.raises(ValueError, match="a simulated socket cannot block"):
            refuse(argument)


def test_flags_and_options_that_are_not_simulated_are_refused(network):
    left, _right = network.socketpair()
    calls = [
        (left.recv, 1, socket.MSG_OOB),
        (left.send, b"x", socket.MSG_OOB),
        (left.getsockopt, socket.SOL_SOCKET, socket.SO_TYPE),
        (left.setsockopt, socket.SOL_SOCKET, socket.SO_RCVBUF, 1),
    ]
    for function, *arguments in calls:
        with pytest.raises(OSError, match="simulated"):
            function(*arguments)


def test_options_that_would_change_nothing_are_accepted(network):
    left, _right = network.socketpair()

    left.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    left.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    left.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        left.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def test_a_buffer_that_cannot_be_written_is_refused_and_no_byte_lost(network):
    left, right = network.socketpair()
    right.send(b"hello")

    with pytest.raises(TypeError, match="needs a buffer to write to"):
        left.recv_into(b"12345")
    assert left.recv(9) == b"hello"


def test_a_socket_shows_what_it_is(network):
    listener = network.listen(("localhost", 80))
    left, right = network.socketpair()
    right.close()

    assert [repr(listener), repr(left), repr(right)] == [
        "<SimulatedSocket 1000000000: listens at ('127.0.0.1', 80)>",
        "<SimulatedSocket 1000000001: ('127.0.0.1', 49152) to ('127.0.0.1', 49153)>",
        "<SimulatedSocket closed>",
    ]


def test_a_real_socket_gets_a_clear_error_in_its_fiber(scheduler):
    left, right = socket.socketpair()

    def confused():
        yield RECV(left)

    with left, right:
        fiber = scheduler.add(confused())
        scheduler.run()

    assert isinstance(fiber.error, TypeError)
    assert "simulated time cannot wait for a real socket: <socket.socket" in str(fiber.error)
    assert "run this on a Scheduler with the real clock" in str(fiber.error)


def test_a_socket_of_another_network_is_refused(network):
    stranger, _other = SimulatedNetwork().socketpair()

    with pytest.raises(TypeError, match="this socket is of another SimulatedNetwork"):
        network.arm(Waiter(stranger), stranger, READABLE)


# -- Deadlock, closing and dropping -------------------------------------------


@pytest.mark.parametrize(
    "halves",
    [
        lambda network: {"clock": network.clock},
        lambda network: {"poller": network},
        lambda network: {"clock": SimulatedClock(), "poller": network},
        lambda network: {"clock": network.clock, "poller": RealPoller()},
        lambda network: {"clock": RealClock(), "poller": network},
    ],
    ids=["no network", "no clock", "another clock", "real poller", "real clock"],
)
def test_a_scheduler_needs_a_simulated_clock_and_its_own_network_together(network, halves):
    with pytest.raises(ValueError, match=r"Scheduler\(clock=network.clock, poller=network\)"):
        Scheduler(**halves(network))


def test_deadlock_names_the_fibers_that_wait_on_sockets(network, scheduler):
    left, right = network.socketpair()

    def listener(sock):
        yield RECV(sock)

    first, second = scheduler.add(listener(left)), scheduler.add(listener(right), name="other")
    with pytest.raises(Deadlock, match="'listener-1' and 'other' wait on simulated sockets") as no:
        scheduler.run()

    assert no.value.fibers == (first, second)


def test_deadlock_says_what_would_help(network, scheduler):
    left, _right = network.socketpair()

    def listener(sock):
        yield RECV(sock)

    scheduler.add(listener(left))
    with pytest.raises(Deadlock) as caught:
        scheduler.run()

    assert str(caught.value) == (
        "deadlock: 'listener-1' waits on simulated sockets, and nothing is on its way; "
        "close the other end, give RECV a timeout, or end with scheduler.stop()"
    )


def test_data_that_no_fiber_waits_for_does_not_hide_a_deadlock(network, scheduler, clock):
    left, right = network.socketpair(latency=5)
    left.send(b"x")

    def listener():
        yield RECV(left)

    scheduler.add(listener())
    pytest.raises(Deadlock, scheduler.run)

    assert (clock.now(), right.recv(10)) == (5.0, b"x")


def test_a_stop_from_another_thread_ends_a_run_that_would_be_a_deadlock(network, scheduler):
    left, _right = network.socketpair()

    def listener():
        stopper = threading.Thread(target=scheduler.stop)
        stopper.start()
        stopper.join()
        yield RECV(left)

    fiber = scheduler.add(listener())
    scheduler.run()

    assert isinstance(fiber.error, GeneratorExit)


def test_a_socket_closed_by_another_fiber_raises_at_once(network, scheduler, clock, log):
    left, _right = network.socketpair()

    def listener():
        try:
            yield RECV(left)
        except SocketClosed:
            log.append(clock.now())

    def closer():
        yield WAIT(1)
        left.close()

    scheduler.add(listener())
    scheduler.add(closer())
    scheduler.run()

    assert log == [1.0]


def test_a_socket_may_be_closed_by_what_is_collected_with_it(network):
    """In a cycle of garbage nobody knows which __del__ comes first."""
    sock, _ = network.socketpair()

    sock.__del__()
    sock.close()

    assert sock.fileno() == -1


def test_the_network_keeps_no_socket_that_its_fiber_dropped(network):
    left, right = network.socketpair(latency=1)
    left.send(b"last words")
    gone = weakref.ref(left)
    del left
    network.poll(2_000_000_000)

    assert (gone(), right.recv(100), right.recv(100)) == (None, b"last words", b"")


def test_closing_the_network_forgets_waiting_fibers_but_no_connection(network):
    left, right = network.socketpair(latency=1)
    waiter = Waiter(right)
    network.arm(waiter, right, READABLE)
    left.send(b"x")
    network.close()
    network.open()

    assert (network.waiting, network.poll(1_000_000_000), right.recv(1)) == (0, [], b"x")


def test_a_reset_loses_what_had_not_left_and_delivers_what_had(network, clock):
    left, right = network.socketpair(latency=1, bandwidth=1460)
    left.send(bytes(4 * 1460))
    clock.burn(2.5)
    left.reset()
    clock.burn(10)

    assert len(right.recv(65_536)) == 2 * 1460
    pytest.raises(ConnectionResetError, right.recv, 1)


def test_closing_comes_after_what_arrived_before(network, clock):
    left, right = network.socketpair(latency=1)
    left.send(b"unread")
    clock.burn(2)
    right.close()
    clock.burn(2)

    assert left.arrived_ns == 3_000_000_000
    pytest.raises(ConnectionResetError, left.recv, 1)


# -- Whole runs ---------------------------------------------------------------


def conversation(trace):
    """Run a server that computes, clients that come and go, timers and a time-out."""
    network = SimulatedNetwork(buffer_bytes=1000)
    scheduler = Scheduler(0.3, trace, clock=network.clock, poller=network)

    def echo(sock, address):
        while True:
            yield RECV(sock)
            data = sock.recv(500)
            if not data:
                return
            network.clock.burn(0.001)
            yield from send_all(sock, data)

    address = scheduler.listen(echo, 80)

    def client(number):
        yield WAIT(number / 10)
        with network.connect(address, latency=0.01 * number, bandwidth=100_000) as sock:
            yield SEND(sock)
            yield from send_all(sock, bytes(100 * number))
            yield from recv_exactly(sock, 100 * number)
            yield WAIT(0.1 * number)

    def stopper():
        yield WAIT(3)
        scheduler.stop()

    for number in range(10):
        scheduler.add(client(number))
    scheduler.add(stopper())
    scheduler.run()


def test_a_program_gives_the_same_trace_byte_for_byte(tmp_path):
    files = [tmp_path / "one.fiber.jsonl", tmp_path / "two.fiber.jsonl"]
    for path in files:
        trace = Trace()
        conversation(trace)
        trace.save(path)
    one, two = (path.read_bytes() for path in files)

    assert one == two
    assert one.count(b"\n") > 300


def test_twenty_thousand_fibers_talk_in_pairs(network, scheduler, clock):
    done = []

    def server(sock):
        yield RECV(sock)
        yield SEND(sock)
        sock.send(sock.recv(10))

    def client(sock, number):
        sock.send(b"%d" % number)
        yield RECV(sock)
        done.append(int(sock.recv(10)))
        sock.close()

    for number in range(10_000):
        left, right = network.socketpair(latency=0.5)
        scheduler.add(server(right))
        scheduler.add(client(left, number))
    del left, right
    scheduler.run()

    assert (done, clock.now()) == (list(range(10_000)), 1.0)


def test_a_connection_costs_little_memory(network):
    gc.collect()
    before = sys.getallocatedblocks()
    pairs = [network.socketpair() for _ in range(1000)]
    blocks = (sys.getallocatedblocks() - before) / 1000

    assert len(pairs) == 1000
    assert blocks < 40


def test_unread_bytes_that_came_together_are_kept_together(network):
    left, right = network.socketpair()
    before = sys.getallocatedblocks()
    for _ in range(10_000):
        left.send(b"x")
    blocks = sys.getallocatedblocks() - before

    assert len(right.recv(65_536)) == 10_000
    assert blocks < 1000
