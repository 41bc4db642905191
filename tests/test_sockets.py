"""accept, connect, send and receive whole things, in_thread (for `yield from`)."""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import math
import os
import re
import socket
import threading
from array import array
from types import SimpleNamespace

import pytest
from fibers import guarded

from fiberlab import sockets
from fiberlab.errors import FiberCancelled, FiberTimeout
from fiberlab.fiber import join, start
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedNetwork
from fiberlab.sockets import accept, connect, in_thread, recv_exactly, recv_until, send_all
from fiberlab.waits import RECV, SEND, WAIT


def result_of(scheduler, generator):
    """Run `generator` as a fiber to its end; return its result, or raise its error."""
    fiber = scheduler.add(generator)
    scheduler.run()
    if fiber.error is not None:
        raise fiber.error
    return fiber.result


def dribbles(sock, data, size=1, pause=0.01):
    """Send `data` in pieces of `size` bytes with a pause after each, then close."""
    for begin in range(0, len(data), size):
        yield SEND(sock)
        sock.send(data[begin : begin + size])
        yield WAIT(pause)
    sock.close()


# -- recv_exactly -------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_recv_exactly_joins_split_packets_and_leaves_the_rest(scheduler, network, size):
    left, right = network.socketpair(latency=0.1)
    scheduler.add(dribbles(right, b"hello, world", size))

    def reads():
        return (yield from recv_exactly(left, 5)), (yield from recv_exactly(left, 7))

    assert result_of(scheduler, reads()) == (b"hello", b", world")


def test_recv_exactly_of_nothing_waits_for_nothing(scheduler, network):
    left, _right = network.socketpair()

    assert result_of(scheduler, recv_exactly(left, 0)) == b""


def test_recv_exactly_tells_how_much_was_missing_when_the_peer_closes(scheduler, network):
    left, right = network.socketpair()
    scheduler.add(dribbles(right, b"abc"))

    with pytest.raises(EOFError, match="the peer closed after 3 of 5 bytes"):
        result_of(scheduler, recv_exactly(left, 5))


def test_recv_exactly_of_a_negative_size_is_refused(scheduler, network):
    with pytest.raises(ValueError, match="needs a size in bytes >= 0, got -1"):
        result_of(scheduler, recv_exactly(network.socketpair()[0], -1))


def test_recv_exactly_takes_more_than_any_buffer_holds(network):
    network = SimulatedNetwork(buffer_bytes=1000)
    scheduler = Scheduler(clock=network.clock, poller=network)
    left, right = network.socketpair()
    data = bytes(range(256)) * 1000
    scheduler.add(send_all(right, data))

    assert result_of(scheduler, recv_exactly(left, len(data))) == data


# -- recv_until ---------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_recv_until_joins_split_packets_and_leaves_the_rest(scheduler, network, size):
    left, right = network.socketpair()
    scheduler.add(dribbles(right, b"one\r\n\rtwo\r\n\r\nrest", size))

    def reads():
        first = yield from recv_until(left, b"\r\n")
        second = yield from recv_until(left, b"\r\n\r\n")
        return first, second, (yield from recv_exactly(left, 4))

    assert result_of(scheduler, reads()) == (b"one\r\n", b"\rtwo\r\n\r\n", b"rest")


def test_recv_until_finds_a_delimiter_that_overlaps_itself(scheduler, network):
    left, right = network.socketpair()
    scheduler.add(dribbles(right, b"aaab|"))

    assert result_of(scheduler, recv_until(left, b"aab")) == b"aaab"


def test_recv_until_tells_what_was_missing_when_the_peer_closes(scheduler, network):
    left, right = network.socketpair()
    scheduler.add(dribbles(right, b"no end"))

    with pytest.raises(EOFError, match=r"closed after 6 bytes, before b'\\n'"):
        result_of(scheduler, recv_until(left, b"\n"))


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("data", [b"123456789012\n", b"1234567890\n", bytes(1000)])
def test_recv_until_refuses_what_is_longer_than_its_limit(scheduler, network, size, data):
    left, right = network.socketpair()
    scheduler.add(dribbles(right, data, size))

    with pytest.raises(ValueError, match=r"no b'\\n' within 10 bytes"):
        result_of(scheduler, recv_until(left, b"\n", limit=10))


@pytest.mark.parametrize("size", [1, 4, 100])
def test_recv_until_takes_what_is_as_long_as_its_limit(scheduler, network, size):
    left, right = network.socketpair()
    scheduler.add(dribbles(right, b"123456789\nmore", size))

    assert result_of(scheduler, recv_until(left, b"\n", limit=10)) == b"123456789\n"


def test_recv_until_needs_a_delimiter(scheduler, network):
    with pytest.raises(ValueError, match="delimiter of at least one byte"):
        result_of(scheduler, recv_until(network.socketpair()[0], b""))


@pytest.mark.parametrize("receive", [lambda s: recv_exactly(s, 5), lambda s: recv_until(s, b"!")])
def test_a_silent_peer_is_a_timeout_of_the_schedulers_own(network, clock, receive):
    left, _right = network.socketpair()
    scheduler = Scheduler(2.5, clock=clock, poller=network, file=io.StringIO())

    with pytest.raises(FiberTimeout):
        result_of(scheduler, receive(left))
    assert clock.now() == 2.5


@pytest.mark.parametrize("receive", [lambda s: recv_exactly(s, 5), lambda s: recv_until(s, b"!")])
def test_a_reset_passes_through(scheduler, network, receive):
    left, right = network.socketpair()

    def resets():
        yield WAIT(1)
        right.reset()

    scheduler.add(resets())

    with pytest.raises(ConnectionResetError):
        result_of(scheduler, receive(left))


@pytest.mark.parametrize("receive", [lambda s: recv_exactly(s, 5), lambda s: recv_until(s, b"\n")])
def test_data_that_another_has_taken_is_waited_for_again(scheduler, network, receive):
    left, right = network.socketpair()

    def thief():
        yield WAIT(0)
        right.send(b"gone\n")
        yield WAIT(0)
        left.recv(9)
        yield WAIT(1)
        right.send(b"here\n")

    class Late:
        """A socket from which another has always just read when data first comes."""

        def __init__(self):
            self.first = True

        def fileno(self):
            return left.fileno()

        def recv(self, size, flags=0):
            if self.first:
                self.first = False
                raise BlockingIOError
            return left.recv(size, flags)

    scheduler.add(thief())

    assert result_of(scheduler, receive(left)) == b"here\n"


# -- send_all -----------------------------------------------------------------


def test_send_all_waits_for_room_as_often_as_it_takes(clock):
    network = SimulatedNetwork(buffer_bytes=10)
    scheduler = Scheduler(clock=network.clock, poller=network)
    left, right = network.socketpair()
    scheduler.add(send_all(left, bytes(range(95))))

    def slow_reader():
        parts = []
        while sum(map(len, parts)) < 95:
            yield WAIT(1)
            with contextlib.suppress(BlockingIOError):
                parts.append(right.recv(7))
        return b"".join(parts)

    assert result_of(scheduler, slow_reader()) == bytes(range(95))


@pytest.mark.parametrize("data", [b"", bytearray(b"abc"), memoryview(b"abc"), array("i")])
def test_send_all_takes_any_bytes(scheduler, network, data):
    left, right = network.socketpair()

    def sends():
        yield from send_all(left, data)
        left.close()
        yield RECV(right)
        return right.recv(9)

    assert result_of(scheduler, sends()) == bytes(data)


@pytest.mark.parametrize(
    ("receives", "words"),
    [
        (lambda sock: recv_until(sock, "\n"), r"recv_until() needs a delimiter in bytes, got '\n'"),
        (lambda sock: recv_until(sock, 10), "recv_until() needs a delimiter in bytes, got 10"),
        (
            lambda sock: recv_until(sock, b"x", None),
            "recv_until() needs a limit in bytes, got None",
        ),
        (lambda sock: recv_exactly(sock, 2.5), "recv_exactly() needs a size in bytes, got 2.5"),
        (lambda sock: recv_exactly(sock, "2"), "recv_exactly() needs a size in bytes, got '2'"),
    ],
)
def test_what_is_no_delimiter_and_no_size_is_refused(scheduler, network, receives, words):
    left, right = network.socketpair()
    right.send(b"abc\n")

    with pytest.raises(TypeError, match=re.escape(words)):
        result_of(scheduler, receives(left))


def test_send_all_of_an_array_of_larger_numbers_loses_no_byte():
    network = SimulatedNetwork(buffer_bytes=6)
    scheduler = Scheduler(clock=network.clock, poller=network)
    left, right = network.socketpair()
    numbers = array("i", range(8))
    scheduler.add(send_all(left, numbers))

    assert result_of(scheduler, recv_exactly(right, len(bytes(numbers)))) == bytes(numbers)


def test_send_all_to_a_peer_that_has_gone_raises(scheduler, network):
    left, right = network.socketpair()
    right.send(b"unread")
    right.reset()

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        result_of(scheduler, send_all(left, b"abc"))


# -- accept -------------------------------------------------------------------


@pytest.mark.live
def test_accept_returns_a_socket_that_does_not_block_and_its_address(live):
    def server():
        sock, address = yield from accept(listener)
        with sock:
            return sock.getblocking(), address == client.getsockname()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        with socket.create_connection(listener.getsockname()) as client:
            assert result_of(live, server()) == (False, True)


@pytest.mark.parametrize("error", [BlockingIOError, ConnectionAbortedError])
def test_accept_waits_on_when_the_client_has_gone_already(scheduler, network, error):
    listener = network.listen(("localhost", 80))

    failures = [error(), error()]

    class Fickle:
        def fileno(self):
            return listener.fileno()

        def accept(self):
            if failures:
                raise failures.pop()
            return listener.accept()

    def client():
        sock = network.connect(("localhost", 80))
        yield WAIT(1)
        sock.close()

    scheduler.add(client())
    sock, _address = result_of(scheduler, accept(Fickle()))

    assert sock.fileno() >= 0


def test_accept_never_times_out(network, clock):
    scheduler = Scheduler(1, clock=clock, poller=network)
    listener = network.listen(("localhost", 80))

    def client():
        yield WAIT(1000)
        network.connect(("localhost", 80))
        yield WAIT(1)

    scheduler.add(client())
    result_of(scheduler, accept(listener))

    assert clock.now() >= 1000


# -- connect ------------------------------------------------------------------


@pytest.fixture
def listener():
    """A real socket that listens, and whose clients nobody accepts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def free_port():
    """A port of this machine where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.mark.live
def test_connect_returns_a_connected_socket_that_does_not_block(live, listener):
    with result_of(live, connect(listener.getsockname())) as sock:
        assert (sock.getpeername(), sock.getblocking()) == (listener.getsockname(), False)


@pytest.mark.live
def test_connect_to_where_nobody_listens_is_refused(live, free_port):
    with pytest.raises(ConnectionRefusedError) as caught:
        result_of(live, connect(("127.0.0.1", free_port)))
    assert caught.value.errno == errno.ECONNREFUSED
    assert str(free_port) in str(caught.value)


def found(*ports):
    """Stand in for getaddrinfo: one address for each of `ports`."""

    def getaddrinfo(*_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]

    return getaddrinfo


@pytest.mark.live
def test_connect_tries_the_addresses_in_turn(live, listener, free_port, monkeypatch):
    port = listener.getsockname()[1]
    monkeypatch.setattr(socket, "getaddrinfo", found(free_port, free_port, port))

    with result_of(live, connect(("many.example", 1))) as sock:
        assert sock.getpeername()[1] == port


@pytest.mark.live
def test_connect_raises_the_last_addresss_error(live, free_port, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", found(free_port, free_port))

    with pytest.raises(ConnectionRefusedError):
        result_of(live, connect(("many.example", 1)))


@pytest.mark.live
def test_connect_without_any_address_says_so(live, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", found())

    with pytest.raises(OSError, match=r"no address found for 'nobody\.example'"):
        result_of(live, connect(("nobody.example", 1)))


@pytest.mark.live
def test_connect_looks_a_name_up_in_a_thread_while_others_run(live, listener, monkeypatch, log):
    threads, may_answer = [], threading.Event()

    def slow(host, port, *_, flags=0, **__):
        if flags & socket.AI_NUMERICHOST:
            raise socket.gaierror
        may_answer.wait(20)
        threads.append(threading.current_thread())
        return found(listener.getsockname()[1])()

    def other():
        for number in range(3):
            log.append(number)
            yield WAIT(0.01)
        may_answer.set()

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    live.add(other())
    result_of(live, connect(("slow.example", 1))).close()

    assert (log, threads[0] is threading.current_thread()) == ([0, 1, 2], False)


@pytest.mark.live
@pytest.mark.parametrize("host", ["a..example", "a" * 64 + ".example"])
def test_connect_to_what_cannot_be_a_name_is_an_os_error_too(live, host):
    with pytest.raises(socket.gaierror, match=rf"'{host}' cannot be a host's name"):
        result_of(live, connect((host, 1)))


@pytest.mark.live
@pytest.mark.parametrize("port", [70_000, -1, "80", 80.0, None, True])
def test_connect_to_what_is_no_port_is_refused(live, port):
    with pytest.raises(ValueError, match="a port is a whole number from 0 to 65535, got"):
        result_of(live, connect(("127.0.0.1", port)))


@pytest.mark.live
@pytest.mark.parametrize("address", ["127.0.0.1", 80, ("127.0.0.1",), ("127.0.0.1", 80, 0), None])
def test_connect_to_what_is_no_address_is_refused(live, address):
    with pytest.raises(TypeError, match=r"connect\(\) needs \(host, port\), got"):
        result_of(live, connect(address))


@pytest.mark.live
def test_connect_raises_what_the_look_up_raises(live, monkeypatch):
    def fails(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fails)

    with pytest.raises(socket.gaierror, match="no such name"):
        result_of(live, connect(("nobody.example", 1)))


@pytest.mark.live
@pytest.mark.posix
def test_connect_times_out_and_leaves_no_socket(live, monkeypatch):
    made = []
    make = socket.socket

    def silent(*arguments):
        made.append(make(*arguments))
        return made[-1]

    # A queue that is full answers nobody.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [make() for _ in range(4)]
        for sock in fillers:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        monkeypatch.setattr(socket, "socket", silent)
        with pytest.raises(FiberTimeout):
            result_of(live, connect(full.getsockname(), timeout=0.05))
        for sock in fillers:
            sock.close()

    assert {sock.fileno() for sock in made} == {-1}


@pytest.mark.live
@pytest.mark.posix
def test_connect_that_is_cancelled_leaves_no_socket(live, monkeypatch, log):
    made = []
    make = socket.socket

    def kept(*arguments):
        made.append(make(*arguments))
        return made[-1]

    def boss(address):
        fiber = start(connect(address, timeout=math.inf))
        yield WAIT(0.05)
        fiber.cancel()
        try:
            yield from join(fiber)
        except FiberCancelled:
            log.append("cancelled")

    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [make() for _ in range(4)]
        for sock in fillers:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        monkeypatch.setattr(socket, "socket", kept)
        result_of(live, boss(full.getsockname()))
        for sock in fillers:
            sock.close()

    assert (log, {sock.fileno() for sock in made}) == (["cancelled"], {-1})


# -- in_thread ----------------------------------------------------------------


@pytest.mark.live
def test_in_thread_returns_the_result_while_others_run(live, log):
    may_end = threading.Event()

    def blocks(number):
        may_end.wait(20)
        return number * 2, threading.current_thread() is threading.main_thread()

    def other():
        for number in range(3):
            log.append(number)
            yield WAIT(0.01)
        may_end.set()

    live.add(other())

    assert (result_of(live, in_thread(blocks, 21)), log) == ((42, False), [0, 1, 2])


@pytest.mark.live
def test_in_thread_raises_what_the_function_raises(live):
    with pytest.raises(ZeroDivisionError):
        result_of(live, in_thread(divmod, 1, 0))


@pytest.mark.live
def test_in_thread_that_is_cancelled_ends_at_once_and_drops_the_result(live, log):
    may_end, ended = threading.Event(), threading.Event()

    def blocks():
        may_end.wait(20)
        ended.set()
        return "late"

    def boss():
        fiber = start(in_thread(blocks))
        yield WAIT(0.05)
        fiber.cancel()
        yield WAIT(0)
        yield WAIT(0)
        log.append((fiber.state.value, type(fiber.error), fiber.result))

    live.add(boss())
    live.run()
    before = ended.is_set()
    may_end.set()

    assert (log, before, ended.wait(20)) == ([("done", FiberCancelled, None)], False, True)


@pytest.mark.live
def test_in_thread_waits_longer_than_the_schedulers_timeout():
    scheduler = Scheduler(0.02)
    done = threading.Event()

    assert result_of(scheduler, in_thread(done.wait, 0.2)) is False


@pytest.mark.live
def test_many_in_thread_at_once_come_back_each_to_its_own(live):
    def boss():
        fibers = [start(in_thread(pow, number, 2)) for number in range(50)]
        results = []
        for fiber in fibers:
            results.append((yield from join(fiber)))
        return results

    assert result_of(live, boss()) == [number**2 for number in range(50)]


@pytest.mark.live
def test_in_thread_returns_though_a_child_process_holds_copies_of_all_descriptors(
    live, monkeypatch
):
    make, copies = socket.socketpair, []

    def copied():
        pair = make()
        copies.extend(end.dup() for end in pair)
        return pair

    monkeypatch.setattr(socket, "socketpair", copied)

    waits = threading.Event()

    def releases():
        yield WAIT(0.02)
        waits.set()

    live.add(releases())
    result = result_of(live, in_thread(waits.wait, 20))
    for end in copies:
        end.close()

    assert result is True


def test_in_thread_under_simulated_time_is_a_clear_error(scheduler):
    with pytest.raises(RuntimeError, match=r"in_thread\(\) needs real time"):
        result_of(scheduler, in_thread(print))


def test_in_thread_under_simulated_time_starts_no_thread(scheduler, log):
    with pytest.raises(RuntimeError):
        result_of(scheduler, in_thread(log.append, "started"))

    assert log == []


# -- accept_all, by way of listen ---------------------------------------------


@pytest.mark.live
def test_listen_makes_a_fiber_of_each_connection_and_closes_its_socket_at_the_end(live, log):
    served = []

    def handler(sock, address):
        served.append(sock)
        log.append((sock.getblocking(), address == client.getsockname()))
        yield from send_all(sock, b"hello")

    def visits():
        yield RECV(client, timeout=10)
        data = client.recv(9)
        yield RECV(client, timeout=10)
        log.append((data, client.recv(9)))
        live.stop()

    address = live.listen(handler)
    with socket.create_connection(address) as client:
        live.add(visits())
        live.run()

    assert log == [(False, True), (b"hello", b"")]
    assert [sock.fileno() for sock in served] == [-1]


@pytest.mark.live
def test_listen_returns_host_and_port_for_both_families(live):
    hosts = ["127.0.0.1"]
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        hosts.append("::1")

    addresses = [live.listen(guarded, host=host) for host in hosts]
    live.stop()
    live.run()

    assert [address[0] for address in addresses] == hosts
    assert {len(address) for address in addresses} == {2}


@pytest.mark.live
@pytest.mark.posix
def test_a_handler_that_closes_the_number_of_its_socket_disturbs_nobody(live, log):
    def handler(sock, _address):
        yield WAIT(0)
        os.close(sock.fileno())

    def visits():
        yield RECV(client, timeout=10)
        yield WAIT(0.01)
        log.append("the server goes on")
        live.stop()

    address = live.listen(handler)
    with socket.create_connection(address) as client:
        live.add(visits())
        live.run()

    assert log == ["the server goes on"]


class Unprintable(Exception):
    """An error that cannot be told."""

    def __str__(self):
        raise RuntimeError("no str")


def serves_in_spite_of(first):
    """Let a handler do `first` at the first connection; return what is said, and if it served."""
    file, log = io.StringIO(), []
    scheduler = Scheduler(file=file)

    def handler(_sock, _address):
        if not log:
            log.append("first")
            return first()
        scheduler.stop()
        log.append("served")
        return guarded([], "second")

    address = scheduler.listen(handler)
    guard = threading.Timer(5, scheduler.stop)
    guard.start()
    clients = [socket.create_connection(address) for _ in range(2)]
    scheduler.run()
    guard.cancel()
    guard.join()
    for client in clients:
        client.close()
    return file.getvalue(), log


def raising(error):
    """Return a function that raises `error`."""

    def function():
        raise error

    return function


@pytest.mark.live
def test_a_handler_that_is_no_generator_function_is_told_and_the_next_is_served():
    said, log = serves_in_spite_of(lambda: 42)

    assert said.startswith("error: no fiber for ('127.0.0.1', ")
    assert said.endswith(": TypeError: add() needs a generator, got 42\n")
    assert log == ["first", "served"]


@pytest.mark.live
def test_what_a_handler_raises_is_shown_not_done():
    said, log = serves_in_spite_of(raising(ValueError("\x1b[2J no")))

    assert said.endswith(": ValueError: \\x1b[2J no\n")
    assert log == ["first", "served"]


@pytest.mark.live
def test_a_handler_that_raises_what_cannot_be_printed_is_told_and_the_next_is_served():
    said, log = serves_in_spite_of(raising(Unprintable()))

    assert said.startswith("error: no fiber for ('127.0.0.1', ")
    assert log == ["first", "served"]


class Crowded:
    """A listener; `results` says what its next calls of accept() find: clients, or why not."""

    def __init__(self, results):
        self.results = list(results)

    def fileno(self):
        return 7

    def accept(self):
        result = self.results.pop(0) if self.results else "empty"
        if result == "short":
            raise OSError(errno.EMFILE, "Too many open files")
        if result == "empty":
            raise BlockingIOError
        return SimulatedNetwork().socketpair()[0], result


def accepting(results, seconds):
    """Accept what `results` say, a pass all `seconds`; return what is said, and how many a pass."""
    said, passes, clock = [], [], itertools.count(0, seconds)
    listener, now = Crowded(results), 0

    def add(_generator):
        passes[-1] += 1
        return SimpleNamespace()

    def function(_sock, _address):
        yield WAIT(0)

    steps = sockets.accept_all(listener, function, add, said.append, lambda: now)
    while listener.results:
        now = next(clock)
        passes.append(0)
        next(steps)
    next(steps)
    return said, [served for served in passes if served]


def test_a_shortage_is_told_once_though_some_are_accepted_in_between():
    said, _ = accepting(["a", "short"] * 50, 2)

    assert said == ["accepting waits: Too many open files; it goes on when connections end"]


def test_a_shortage_is_told_once_though_the_queue_is_empty_for_a_moment():
    said, _ = accepting(["a", "empty", "short"] * 50, 0.1)

    assert len(said) == 1


def test_a_shortage_after_a_recovery_is_told_again():
    said, _ = accepting(["short", "a", "empty", "empty", "b", "empty", "short", "c"], 2)

    assert len(said) == 2


@pytest.mark.parametrize(("crowd", "passes"), [(30, [30]), (250, [100, 100, 50])])
def test_all_clients_that_wait_are_accepted_in_one_pass_up_to_a_limit(crowd, passes):
    _, served = accepting(["a"] * crowd, 1)

    assert served == passes


def test_public_helpers_are_generators(network):
    sock = network.socketpair()[0]
    made = [
        accept(sock),
        connect(("127.0.0.1", 1)),
        send_all(sock, b""),
        recv_exactly(sock, 1),
        recv_until(sock, b"x"),
        in_thread(print),
    ]

    assert [hasattr(generator, "send") for generator in made] == [True] * 6
    assert sockets.CHUNK <= 131_072


@pytest.mark.live
def test_two_short_sends_in_a_row_do_not_wait_for_an_acknowledgement(live, log):
    """Neither at the accepted nor at the connected end (see Nagle's algorithm)."""

    def server(sock, _address):
        log.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
        yield SEND(sock)
        live.stop()

    address = live.listen(server)
    sock = result_of(live, connect(address))

    with sock:
        log.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
    assert log == [True, True]
