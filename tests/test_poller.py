"""The real poller under faults: closed, copied and reused descriptors (design.md, 2.2)."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import select
import selectors
import socket
import tempfile
import threading
import time
import weakref
from collections import Counter

import pytest

from fiberlab.errors import Deadlock, FiberCancelled, FiberTimeout, SocketBusy, SocketClosed
from fiberlab.fiber import start
from fiberlab.io.clock import RealClock
from fiberlab.io.poller import RealPoller
from fiberlab.scheduler import Scheduler
from fiberlab.sockets import recv_exactly, send_all
from fiberlab.waits import RECV, SEND, WAIT

pytestmark = pytest.mark.live


class Numbered:
    """An object that has a number, and nothing else of a socket."""

    def __init__(self, sock):
        self.sock = sock

    def fileno(self):
        return self.sock.fileno()


class Counting(RealPoller):
    """Counts how often it is asked."""

    def __init__(self):
        super().__init__()
        self.polls = 0

    def poll(self, timeout):
        self.polls += 1
        return super().poll(timeout)


@pytest.fixture
def counting():
    """A poller that counts how often it is asked."""
    return Counting()


@pytest.fixture
def counted(counting):
    """A scheduler on `counting`, stopped after 20 seconds."""
    scheduler = Scheduler(poller=counting)
    guard = threading.Timer(20, scheduler.stop)
    guard.start()
    yield scheduler
    guard.cancel()
    guard.join()


@pytest.fixture
def new_pair():
    """Make two connected sockets that do not block; closed at the end of the test."""
    made = []

    def make():
        ends = socket.socketpair()
        made.extend(ends)
        for end in ends:
            end.setblocking(False)
        return ends

    yield make
    for end in made:
        end.close()


def fill(sock):
    """Send on `sock` until it takes no more."""
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.send(bytes(65_536))


def told(wait, log, name="fiber"):
    """Yield `wait`, and note its error, or that it was resumed, and after how many seconds."""
    began = time.monotonic()
    try:
        yield wait
        log.append((name, "resumed"))
    except Exception as error:
        log.append((name, type(error)))
    return time.monotonic() - began


def raised_by(wait, log):
    """Yield `wait`, and note what its error says."""
    try:
        yield wait
    except Exception as error:
        log.append(str(error))


def after(seconds, function, *args):
    """Call ``function(*args)`` so many seconds from now."""
    yield WAIT(seconds)
    function(*args)


# -- Closed -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RECV, SEND])
def test_a_socket_closed_by_another_fiber_raises_within_a_second(live, pair, log, kind):
    fill(pair[0])
    fiber = live.add(told(kind(pair[0]), log))
    live.add(after(0.05, pair[0].close))
    live.run()

    assert (log, fiber.result < 1.5) == ([("fiber", SocketClosed)], True)


@pytest.mark.posix  # select() reports it as ready, and recv() raises
@pytest.mark.parametrize("kind", [RECV, SEND])
def test_a_socket_closed_by_another_thread_raises_within_a_second(live, pair, log, kind):
    fill(pair[0])
    fiber = live.add(told(kind(pair[0]), log))
    timer = threading.Timer(0.05, pair[0].close)
    timer.start()
    live.run()
    timer.join()

    assert (log, fiber.result < 1.5) == ([("fiber", SocketClosed)], True)


def test_a_socket_closed_while_others_keep_the_loop_busy_raises_within_a_second(live, pair, log):
    def spins():
        while not log:
            yield WAIT(0)

    fiber = live.add(told(RECV(pair[0]), log))
    live.add(spins())
    live.add(after(0.05, pair[0].close))
    live.run()

    assert (log, fiber.result < 1.5) == ([("fiber", SocketClosed)], True)


def test_both_directions_of_a_socket_that_is_closed_raise(live, pair, log):
    fill(pair[0])
    live.add(told(RECV(pair[0]), log, "receiver"))
    live.add(told(SEND(pair[0]), log, "sender"))
    live.add(after(0.05, pair[0].close))
    live.run()

    assert sorted(log) == [("receiver", SocketClosed), ("sender", SocketClosed)]


@pytest.mark.parametrize("kind", [RECV, SEND])
def test_a_socket_that_is_closed_already_raises_at_the_yield(live, pair, log, kind):
    pair[0].close()
    live.add(told(kind(pair[0]), log))
    live.run()

    assert log == [("fiber", SocketClosed)]


def test_a_number_that_is_used_again_tells_the_old_waiter_at_once(live, log, new_pair):
    left, _right = new_pair()

    def reuses():
        yield WAIT(0.05)
        number = left.fileno()
        left.close()
        again = socket.socket()
        same = again.fileno() == number
        began = time.monotonic()
        log.append(("same number", same))
        again.bind(("127.0.0.1", 0))
        again.listen()
        receiver = start(told(RECV(again, timeout=0.05), log, "new"))
        while len(log) < 2:
            yield WAIT(0)
        log.append(("at once", time.monotonic() - began < 0.25))
        while receiver.result is None:
            yield WAIT(0.01)
        again.close()

    live.add(told(RECV(left), log, "old"))
    live.add(reuses())
    live.run()

    assert log[0] == ("same number", True)
    assert ("old", SocketClosed) in log[1:3]


def test_a_socket_with_a_used_number_wakes_its_own_fiber(live, log, new_pair):
    left, _right = new_pair()
    pairs = []

    def receiver(sock, name):
        yield RECV(sock, timeout=5)
        log.append((name, sock.recv(1)))

    def reuses():
        yield WAIT(0.05)
        number = left.fileno()
        left.close()
        new = new_pair()
        pairs.append(new)
        ours, theirs = new if new[0].fileno() == number else new[::-1]
        log.append(ours.fileno() == number)
        start(receiver(ours, "new"))
        yield WAIT(0.05)
        theirs.send(b"x")

    live.add(told(RECV(left), log, "old"))
    live.add(reuses())
    live.run()

    assert log == [True, ("old", SocketClosed), ("new", b"x")]


def test_a_descriptor_closed_behind_the_objects_back_raises_within_a_second(live, log, new_pair):
    left, _right = new_pair()
    fiber = live.add(told(RECV(left), log))
    live.add(after(0.05, lambda: os.close(left.detach())))
    other, _peer = new_pair()
    number = Number(other.detach())
    live.add(told(RECV(number), log, "number"))
    live.add(after(0.05, os.close, number.fileno()))
    live.run()

    assert sorted(log) == [("fiber", SocketClosed), ("number", SocketClosed)]
    assert fiber.result < 1.5


class Number:
    """An object that knows a number only."""

    def __init__(self, number):
        self.number = number

    def fileno(self):
        return self.number


@pytest.mark.posix
def test_a_file_object_closed_by_another_fiber_raises_within_a_second(live, log):
    reader, writer = os.pipe()
    file = os.fdopen(reader, "rb", 0)
    fiber = live.add(told(RECV(file), log))
    live.add(after(0.05, file.close))
    live.run()
    os.close(writer)

    assert (log, fiber.result < 1.5) == ([("fiber", SocketClosed)], True)


@pytest.mark.posix
def test_a_pipe_can_be_waited_for(live, log):
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", 0) as file, os.fdopen(writer, "wb", 0) as out:
        live.add(told(RECV(file), log, "reader"))
        live.add(told(SEND(out), log, "writer"))
        live.add(after(0.05, out.write, b"x"))
        live.run()

    assert log == [("writer", "resumed"), ("reader", "resumed")]


SYSTEMS = ["epoll", "PollSelector", "SelectSelector"]


def use(system, monkeypatch):
    """Hide epoll, unless it is `system`, and let `selectors` take what is named instead."""
    if system != "epoll":
        monkeypatch.delattr(select, "epoll", raising=False)
        monkeypatch.setattr(selectors, "DefaultSelector", getattr(selectors, system))


@pytest.mark.posix
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("what", ["a plain file", os.devnull, os.curdir])
@pytest.mark.parametrize("kind", [RECV, SEND])
def test_what_is_always_ready_is_ready_at_once_behind_the_others(
    monkeypatch, pair, log, system, what, kind
):
    def takes_turns():
        yield WAIT(0)
        log.append("another")

    use(system, monkeypatch)
    with contextlib.ExitStack() as stack:
        if what == "a plain file":
            number = stack.enter_context(tempfile.TemporaryFile()).fileno()
        else:
            number = os.open(what, os.O_RDONLY)
            stack.callback(os.close, number)
        scheduler = Scheduler()
        scheduler.add(told(kind(Number(number), timeout=5), log, "file"))
        scheduler.add(takes_turns())
        scheduler.add(told(RECV(pair[0], timeout=0.02), log, "socket"))
        scheduler.run()

    assert sorted(map(str, log[:2])) == ["('file', 'resumed')", "another"]
    assert log[2] == ("socket", FiberTimeout)


def test_a_fileno_that_is_no_number_raises_at_the_yield(live, log):
    live.add(told(RECV(Number("seven")), log, "text"))
    live.add(told(RECV(Number(-5)), log, "negative"))
    live.add(told(RECV(Number(10**9)), log, "never opened"))
    live.run()

    assert [name for name, what in log if what != "resumed"] == ["text", "negative", "never opened"]


@pytest.mark.parametrize("number", [2**40, 3.5, True])
@pytest.mark.parametrize("kind", [RECV, SEND])
def test_a_fileno_that_no_descriptor_has_raises_at_the_yield_and_disturbs_nobody(
    live, log, number, kind
):
    odd = Number(number)
    live.add(raised_by(kind(odd), log))
    live.add(after(0.7, log.append, "a sweep later"))
    live.run()

    [error, later] = log
    assert "fileno() of" in error
    assert f"gave {number!r}" in error
    assert later == "a sweep later"


def test_cancel_while_the_socket_was_just_found_closed_is_clean(live, pair, log, new_pair):
    left = pair[0]

    def waits():
        try:
            yield RECV(left)
        except (SocketClosed, FiberCancelled) as error:
            log.append(type(error))
        yield WAIT(0)
        log.append("went on")

    def closes():
        yield WAIT(0.05)
        left.close()
        # The number is used again, so the closing is found at the yield of the next RECV.
        again, peer = new_pair()
        reused = start(told(RECV(again, timeout=0.01), []))
        yield WAIT(0)
        fiber.cancel()
        while reused.result is None:
            yield WAIT(0.01)
        again.close()
        peer.close()

    fiber = live.add(waits())
    live.add(closes())
    live.run()

    assert (len(log), log[-1]) == (2, "went on")


# -- Two objects, one number --------------------------------------------------


def test_a_second_receiver_through_another_object_is_refused_too(live, pair, log):
    live.add(told(RECV(pair[0], timeout=0.1), log, "socket"))
    live.add(told(RECV(Numbered(pair[0])), log, "object"))
    live.run()

    assert log == [("object", SocketBusy), ("socket", FiberTimeout)]


def test_objects_made_at_each_yield_serve_both_directions(live, pair, log):
    left, right = pair
    fill(left)

    def drain():
        with contextlib.suppress(BlockingIOError):
            while True:
                right.recv(65_536)

    def receiver():
        yield RECV(Numbered(left))
        log.append("received")
        yield WAIT(1)
        drain()

    def sender():
        yield SEND(Numbered(left))
        log.append("sent")

    live.add(receiver())
    live.add(sender())
    live.add(after(0.05, right.send, b"x"))
    live.run()

    assert log == ["received", "sent"]


def test_a_second_receiver_on_a_real_socket_gets_an_error_that_names_both(live, pair, log):
    live.add(told(RECV(pair[0]), log), "one")
    second = live.add(second_receiver(pair[0], log), "two")
    live.add(after(0.05, pair[1].send, b"x"))
    live.run()

    assert second.error is None
    assert log == [
        f"fibers 'one' and 'two' both wait to receive on socket {pair[0].fileno()}; "
        "give each its own socket, or let one of them hand the data on",
        ("fiber", "resumed"),
    ]


def test_a_second_sender_on_a_real_socket_is_refused(live, pair, log):
    fill(pair[0])
    live.add(told(SEND(pair[0], timeout=0.1), log, "one"))
    live.add(told(SEND(pair[0]), log, "two"))
    live.run()

    assert log == [("two", SocketBusy), ("one", FiberTimeout)]


def second_receiver(sock, log):
    try:
        yield RECV(sock)
    except SocketBusy as error:
        log.append(str(error))


def test_full_duplex_works_on_real_sockets(live, pair, log):
    size = 2_000_000

    def receiver(sock):
        data = yield from recv_exactly(sock, size)
        log.append(data == bytes(size))

    for sock in pair:
        live.add(send_all(sock, bytes(size)))
        live.add(receiver(sock))
    live.run()

    assert log == [True, True]


# -- No spinning --------------------------------------------------------------


def test_a_copied_and_closed_descriptor_does_not_spin(counted, counting, log, new_pair):
    left, right = new_pair()
    copies = []

    def closes():
        yield WAIT(0.05)
        copies.append(left.dup())
        left.close()
        right.send(b"x")
        yield WAIT(1)
        polls.append(counting.polls)
        yield WAIT(0.5)
        polls.append(counting.polls)
        copies[0].close()

    polls = []
    other, _peer = new_pair()
    counted.add(told(RECV(left), log))
    counted.add(told(RECV(other, timeout=2), []))
    counted.add(closes())
    counted.run()

    assert len(log) == 1
    assert (polls[0] < 30, polls[1] - polls[0] < 10) == (True, True)


@pytest.mark.posix
def test_the_ghost_of_a_copied_descriptor_wakes_nobody(counted, counting, log, new_pair):
    left, right = new_pair()
    kept = []

    def closes():
        yield WAIT(0.05)
        number = left.fileno()
        kept.append(left.dup())
        left.close()
        new = new_pair()
        kept.append(new)
        log.append(new[0].fileno() == number)
        right.send(b"x")
        receiver = start(told(RECV(new[0], timeout=0.5), log, "new"))
        while receiver.result is None:
            yield WAIT(0.05)
        kept[0].close()

    counted.add(told(RECV(left), log, "old"))
    counted.add(closes())
    counted.run()

    assert (log[0], log[1][0], log[2:]) == (True, "old", [("new", FiberTimeout)])
    assert counting.polls < 50


@pytest.mark.posix
def test_the_ghost_of_a_number_that_was_used_twice_since_wakes_nobody(
    counted, counting, log, new_pair
):
    first, peer = new_pair()
    kept = []

    def end_with(number):
        pair = new_pair()
        return pair[0] if pair[0].fileno() == number else pair[1]

    def reuses():
        yield WAIT(0.05)
        number = first.fileno()
        kept.append(first.dup())
        first.close()
        second = end_with(number)
        yield SEND(second)
        second.close()
        for end in socket.socketpair():  # the other end of `second` keeps its number
            end.close()
        third = end_with(number)
        log.append(third.fileno() == number)
        peer.send(b"x")
        receiver = start(told(RECV(third, timeout=0.8), log, "third"))
        while receiver.result is None:
            yield WAIT(0.05)
        kept[0].close()

    counted.add(told(RECV(first), log, "first"))
    counted.add(reuses())
    counted.run()

    assert (log[0], log[1], log[2:]) == (True, ("first", SocketClosed), [("third", FiberTimeout)])
    assert counting.polls < 60


# -- Another descriptor of the same number ------------------------------------


class Reconnecting:
    """An object that gets a new socket, of the same number."""

    def __init__(self):
        self.sock = self.peer = None
        self.connect()

    def connect(self):
        if self.sock is not None:
            self.sock.close()
        self.sock, peer = socket.socketpair()
        self.sock.setblocking(False)
        # A copy, so that the next pair begins at the same number.
        self.peer = peer.dup()
        peer.close()

    def fileno(self):
        return self.sock.fileno()

    def close(self):
        self.sock.close()
        self.peer.close()


@pytest.mark.posix
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("timeout", [0.05, 3])
def test_a_client_that_connects_again_is_woken(monkeypatch, log, system, timeout):
    def fiber():
        client = Reconnecting()
        number = client.fileno()
        for byte in (b"1", b"2"):
            client.peer.send(byte)
            yield RECV(client, timeout=timeout)
            log.append((client.sock.recv(9), client.fileno() == number))
            client.peer.close()
            client.connect()
        client.close()

    use(system, monkeypatch)
    scheduler = Scheduler()
    scheduler.add(fiber())
    scheduler.run()

    assert log == [(b"1", True), (b"2", True)]


@pytest.mark.posix
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("timeout", [0.05, 5])
def test_a_socket_whose_number_was_replaced_is_woken(
    monkeypatch, pair, log, new_pair, system, timeout
):
    left, right = pair
    new, peer = new_pair()

    def fiber():
        right.send(b"1")
        yield RECV(left)
        log.append(left.recv(9))
        os.dup2(new.fileno(), left.fileno())
        peer.send(b"2")
        began = time.monotonic()
        yield RECV(left, timeout=timeout)
        log.append((left.recv(9), time.monotonic() - began < 2.5))

    use(system, monkeypatch)
    scheduler = Scheduler()
    scheduler.add(fiber())
    scheduler.run()

    assert log == [b"1", (b"2", True)]


@pytest.mark.posix
def test_a_waiter_whose_number_was_closed_and_used_by_another_object_is_told(live, log, new_pair):
    old, new = (Number(new_pair()[0].detach()) for _ in range(2))
    ours, theirs = new_pair()

    def replaces():
        yield WAIT(0.05)
        os.dup2(ours.fileno(), old.number)
        os.close(new.number)
        new.number = old.number
        start(told(RECV(new, timeout=5), log, "new"))
        yield WAIT(0.05)
        theirs.send(b"x")

    live.add(told(RECV(old), log, "old"))
    live.add(replaces())
    live.run()
    os.close(old.number)

    assert log == [("old", SocketClosed), ("new", "resumed")]


# -- Data and deadlines -------------------------------------------------------


class Paused(RealClock):
    """A clock in front of which the process once stands still, and meanwhile data comes."""

    def __init__(self, deadline_passes):
        self.calls_until, self.deadline_passes, self.ahead = 0, deadline_passes, 0

    def now_ns(self):
        self.calls_until -= 1
        if self.calls_until == 0:
            self.deadline_passes()
            self.ahead = 10**10
        return time.perf_counter_ns() + self.ahead


@pytest.mark.parametrize("calls_until", [1, 2])
def test_data_that_came_while_the_process_stood_still_wins_over_the_deadline(
    pair, log, calls_until
):
    def fiber():
        clock.calls_until = calls_until + 1  # the next call is for the deadline itself
        yield from told(RECV(pair[0], timeout=0.05), log)

    clock = Paused(lambda: pair[1].send(b"x"))
    scheduler = Scheduler(clock=clock)
    scheduler.add(fiber())
    scheduler.run()

    assert log == [("fiber", "resumed")]


@pytest.mark.posix
def test_data_that_came_while_a_signal_handler_was_slow_wins_over_the_deadline(live, pair, log):
    import signal

    def slow(*_):
        pair[1].send(b"x")
        time.sleep(0.4)

    before = signal.signal(signal.SIGALRM, slow)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    live.add(told(RECV(pair[0], timeout=0.3), log))
    live.run()
    signal.signal(signal.SIGALRM, before)

    assert log == [("fiber", "resumed")]


@pytest.mark.parametrize("how", ["sleeps", "parked", "waits elsewhere"])
def test_a_hang_up_does_not_spin(counted, counting, how, new_pair):
    left, right = new_pair()
    other, _peer = new_pair()
    waits = {"sleeps": WAIT(0.5), "parked": WAIT(None), "waits elsewhere": RECV(other, timeout=0.5)}

    def fiber():
        yield RECV(left)
        left.recv(9)
        right.close()
        with contextlib.suppress(FiberTimeout):
            yield waits[how]

    def keeps_going():
        right.send(b"x")
        yield WAIT(0.25)
        yield WAIT(0.25)

    counted.add(fiber())
    counted.add(keeps_going())
    counted.add(told(RECV(new_pair()[0], timeout=0.6), []))
    counted.run()

    assert counting.polls < 20


def test_a_hang_up_wakes_receiver_and_sender(live, pair, log):
    left, right = pair
    fill(left)
    live.add(told(RECV(left), log, "receiver"))
    live.add(told(SEND(left), log, "sender"))
    live.add(after(0.05, right.close))
    live.run()

    assert sorted(log) == [("receiver", "resumed"), ("sender", "resumed")]


def test_data_that_nobody_waits_for_any_more_does_not_spin(counted, counting, new_pair):
    left, right = new_pair()

    def fiber():
        yield RECV(left)
        yield WAIT(0.5)

    def other():
        right.send(b"x" * 10)
        with contextlib.suppress(FiberTimeout):
            yield RECV(new_pair()[0], timeout=0.5)

    counted.add(fiber())
    counted.add(other())
    counted.run()

    assert counting.polls < 20


def test_half_a_hang_up_leaves_the_other_direction_working(live, pair, log):
    left, right = pair
    right.shutdown(socket.SHUT_WR)

    def fiber():
        yield RECV(left)
        log.append(left.recv(9))
        yield from send_all(left, b"answer")

    live.add(fiber())
    live.run()

    assert (log, right.recv(9)) == ([b""], b"answer")


# -- Numbers ------------------------------------------------------------------


@pytest.mark.posix
@pytest.mark.parametrize("number", [305, 306, 1023, 1024, 1500])
def test_high_descriptor_numbers_are_served_like_any_other(live, pair, log, number):
    import fcntl
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft <= number:
        pytest.skip(f"this system allows {soft} descriptors")
    high = socket.socket(fileno=fcntl.fcntl(pair[0].fileno(), fcntl.F_DUPFD, number))
    fill(high)

    def drains():
        yield WAIT(0.05)
        log.append("drained")
        with contextlib.suppress(BlockingIOError):
            while True:
                pair[1].recv(65_536)

    with high:
        high_enough = high.fileno() >= number
        live.add(told(RECV(high), log, "receiver"))
        live.add(told(SEND(high), log, "sender"))
        live.add(drains())
        live.add(after(0.1, pair[1].send, b"x"))
        live.run()

    assert high_enough
    assert log == ["drained", ("sender", "resumed"), ("receiver", "resumed")]


@pytest.mark.posix
def test_data_wins_over_the_deadline_however_many_have_data(live, pair, log):
    """epoll tells of 1,023 at once if it is not asked for more."""
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1500:
        pytest.skip(f"this system allows {soft} descriptors")
    copies = [pair[0].dup() for _ in range(1100)]

    def receives(sock):
        try:
            yield RECV(sock, timeout=0.5)
            log.append("data")
        except FiberTimeout:
            log.append("timed out")

    def sends():
        yield WAIT(0)
        pair[1].send(b"x")
        time.sleep(0.7)  # until after all the deadlines

    for sock in copies:
        live.add(receives(sock))
    live.add(sends())
    live.run()
    for sock in copies:
        sock.close()

    assert Counter(log) == {"data": 1100}


@pytest.mark.posix
@pytest.mark.parametrize("leaves", ["returns", "stop", "KeyboardInterrupt", "Deadlock", "error"])
def test_every_descriptor_of_its_own_is_closed_however_run_is_left(leaves, log):
    def opened():
        return sum(is_open(number) for number in range(256))

    def fiber(scheduler):
        with contextlib.closing(socket.socket()) as sock, contextlib.suppress(FiberTimeout):
            sock.bind(("127.0.0.1", 0))
            sock.listen()
            yield RECV(sock, timeout=0.01)
        log.append(opened() > before)
        if leaves == "KeyboardInterrupt":
            raise KeyboardInterrupt
        if leaves == "stop":
            scheduler.stop()
        while leaves == "Deadlock":
            yield WAIT(None)
        if leaves == "error":
            raise ValueError

    gc.collect()
    before = opened()
    scheduler = Scheduler(file=io.StringIO())
    scheduler.add(fiber(scheduler))
    if leaves in ("KeyboardInterrupt", "stop"):
        scheduler.listen(told)
    with contextlib.suppress(KeyboardInterrupt, Deadlock):
        scheduler.run()

    assert (log, opened()) == ([True], before)


def is_open(number):
    """Tell whether there is a descriptor of this number."""
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


# -- Nothing kept alive -------------------------------------------------------


class Slotted:
    """An object that cannot be weakly referenced."""

    __slots__ = ("sock",)

    def __init__(self, sock):
        self.sock = sock

    def fileno(self):
        return self.sock.fileno()


def dropped_pair():
    """Return two connected sockets that somebody will drop."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    return ends


ignores_dropping = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@ignores_dropping
@pytest.mark.parametrize("wrap", [lambda sock: sock, Numbered, Slotted])
def test_a_socket_that_its_fiber_has_dropped_is_closed(live, wrap):
    def fiber(sock, peer):
        alive = weakref.ref(sock)
        peer.send(b"x")
        yield RECV(wrap(sock))
        yield SEND(wrap(sock))
        sock.recv(1)
        del sock
        yield WAIT(0)
        gc.collect()
        return alive() is None

    left, right = dropped_pair()
    fiber = live.add(fiber(left, right))
    del left
    live.run()
    right.close()

    assert fiber.result is True


@ignores_dropping
def test_a_socket_that_its_fiber_has_dropped_ends_for_the_peer(live):
    def drops(sock):
        yield SEND(sock)
        del sock
        yield WAIT(0.3)

    def peer(sock):
        yield RECV(sock, timeout=5)
        return sock.recv(1)

    left, right = dropped_pair()
    live.add(drops(left))
    del left
    fiber = live.add(peer(right))
    live.run()
    right.close()

    assert fiber.result == b""


# -- The poller itself --------------------------------------------------------


def test_wake_before_the_poll_lets_it_return_at_once():
    poller = RealPoller()
    poller.open()
    poller.wake()
    began = time.monotonic()
    ready = poller.poll(5_000_000_000)
    took = time.monotonic() - began
    poller.close()

    assert (ready, took < 1) == ([], True)


def test_waking_very_often_neither_blocks_nor_is_heard_twice():
    poller = RealPoller()
    poller.open()
    for _ in range(10_000):
        poller.wake()
    poller.poll(0)
    began = time.monotonic()
    poller.poll(20_000_000)
    took = time.monotonic() - began
    poller.close()

    assert took >= 0.019


def test_wake_of_a_closed_poller_does_nothing():
    poller = RealPoller()
    poller.wake()
    poller.open()
    poller.close()
    poller.wake()

    assert poller.waiting == 0


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "8.8.8.8", "example.org"])
def test_listening_for_other_machines_is_refused(host):
    with pytest.raises(ValueError, match="listens on this machine only"):
        RealPoller().listen((host, 0))


@pytest.mark.parametrize("host", [2130706433, b"127.0.0.1", None])
def test_a_host_that_is_no_text_is_refused(host):
    with pytest.raises(TypeError, match="a host is text"):
        RealPoller().listen((host, 0))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.5"])
def test_listeners_listen_on_this_machine_and_do_not_block(host):
    if host == "127.0.0.5" and not hasattr(os, "fork"):
        pytest.skip("only the first loopback address is sure there")
    with RealPoller().listen((host, 0)) as listener:
        name = listener.getsockname()[0]
        blocking = listener.getblocking()

    assert (name, blocking) == (host.replace("localhost", "127.0.0.1"), False)


def test_a_port_in_use_is_an_os_error():
    with RealPoller().listen(("localhost", 0)) as listener, pytest.raises(OSError):
        RealPoller().listen(listener.getsockname())


@pytest.mark.parametrize("port", [70_000, -1, "8080", 8.5, None, True])
def test_a_port_that_cannot_be_is_refused(port):
    with pytest.raises(ValueError, match=f"a port is a whole number .* got {port!r}"):
        RealPoller().listen(("localhost", port))


def test_the_real_clock_tells_one_time_in_two_units():
    clock = RealClock()
    seconds, nanoseconds = clock.now(), clock.now_ns()

    assert 0 <= nanoseconds / 1e9 - seconds < 5


@pytest.mark.posix
@pytest.mark.parametrize("selector", ["PollSelector", "SelectSelector"])
def test_the_same_faults_are_survived_without_epoll(monkeypatch, pair, log, new_pair, selector):
    """Where there is no epoll, `selectors` does the work."""
    monkeypatch.delattr(select, "epoll", raising=False)
    monkeypatch.setattr(selectors, "DefaultSelector", getattr(selectors, selector))
    left, right = pair
    other, _peer = new_pair()
    ghost, ghost_peer = new_pair()

    def copies():
        yield WAIT(0.05)
        copy = ghost.dup()
        ghost.close()
        ghost_peer.send(b"x")
        yield WAIT(0.6)
        copy.close()

    poller = Counting()
    scheduler = Scheduler(poller=poller)
    scheduler.add(told(RECV(left), log, "data"))
    scheduler.add(told(RECV(other), log, "closed"))
    scheduler.add(told(RECV(ghost), log, "copied"))
    scheduler.add(copies())
    scheduler.add(after(0.1, right.send, b"x"))
    scheduler.add(after(0.2, other.close))
    scheduler.run()

    # A closed one may be resumed too: its next call raises.
    assert sorted(name for name, _ in log) == ["closed", "copied", "data"]
    assert ("data", "resumed") in log
    assert poller.polls < 50
