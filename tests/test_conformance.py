"""What holds for real and simulated sockets alike: one suite, run in each of their worlds.

Each test is written against plain socket methods and the Poller protocol, so what passes here
can be believed of a program in either world.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from fiberlab.errors import SocketBusy, SocketClosed
from fiberlab.io.descriptors import READABLE, WRITABLE
from fiberlab.io.poller import RealPoller
from fiberlab.simulation import SimulatedNetwork
from fiberlab.waits import RECV, SEND

SECOND = 1_000_000_000  # in which poll() counts
UNUSED = ("127.0.0.1", 1)  # nobody listens at the port of tcpmux


class Waiter:
    """What a poller needs of a fiber."""

    def __init__(self, name: str, sock: Any, direction: int = READABLE) -> None:
        self.name = name
        self.wait = RECV(sock) if direction == READABLE else SEND(sock)
        self.watch: Any = None
        self.pending: BaseException | None = None

    def __repr__(self) -> str:
        return self.name


class World:
    """Sockets of one kind, and the poller that goes with them."""

    def __init__(self, poller: Any, stack: ExitStack) -> None:
        self.poller = poller
        self.stack = stack

    def own(self, sock: Any) -> Any:
        """Have `sock` closed when the test ends."""
        self.stack.callback(sock.close)
        return sock

    def listen(self) -> Any:
        return self.own(self.poller.listen(("localhost", 0)))

    def connect(self, address: Any) -> Any:
        """Begin to connect; return the socket."""
        raise NotImplementedError

    def reset(self, sock: Any) -> None:
        raise NotImplementedError

    def pair(self) -> tuple[Any, Any]:
        """Return two connected sockets: a client's and a server's."""
        listener = self.listen()
        client = self.connect(listener.getsockname())
        self.until(listener)
        server = self.own(listener.accept()[0])
        server.setblocking(False)
        self.until(client, WRITABLE)
        return client, server

    def until(self, sock: Any, direction: int = READABLE) -> None:
        """Wait until `sock` is ready, as a fiber does."""
        waiter = Waiter("until", sock, direction)
        if self.poller.arm(waiter, sock, direction):
            return
        ready: list[Any] = []
        for _ in range(20):  # a poll may return early, with none
            ready = ready or self.poller.poll(SECOND)
        assert ready == [waiter]
        assert waiter.pending is None

    def fill(self, sock: Any) -> int:
        """Send until it would block; return how many bytes went."""
        sent, block = 0, b"x" * 100_000
        while True:
            try:
                sent += sock.send(block)
            except BlockingIOError:
                return sent


class SimulatedWorld(World):
    latency = 0.0

    def connect(self, address: Any) -> Any:
        return self.own(self.poller.connect(address, latency=self.latency))

    def reset(self, sock: Any) -> None:
        sock.reset()


class DistantWorld(SimulatedWorld):
    latency = 0.025


class LoopbackWorld(World):
    def connect(self, address: Any) -> Any:
        sock = self.own(socket.socket())
        sock.setblocking(False)
        sock.connect_ex(address)
        return sock

    def reset(self, sock: Any) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


class SocketpairWorld(World):
    def pair(self) -> tuple[Any, Any]:
        ends = socket.socketpair()
        for sock in map(self.own, ends):
            sock.setblocking(False)
        return ends


def enter(kind: type[World]) -> Iterator[World]:
    simulated = issubclass(kind, SimulatedWorld)
    with ExitStack() as stack:
        poller = SimulatedNetwork() if simulated else RealPoller()
        poller.open()
        stack.callback(poller.close)
        yield kind(poller, stack)


TCP_WORLDS = [
    pytest.param(SimulatedWorld, id="simulated"),
    pytest.param(DistantWorld, id="simulated with latency"),
    pytest.param(LoopbackWorld, id="loopback", marks=pytest.mark.live),
]
ALL_WORLDS = [
    *TCP_WORLDS,
    pytest.param(SocketpairWorld, id="socketpair", marks=pytest.mark.live),
]


@pytest.fixture(params=ALL_WORLDS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in which sockets come in pairs."""
    yield from enter(request.param)


@pytest.fixture(params=TCP_WORLDS)
def tcp(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in which sockets listen and connect."""
    yield from enter(request.param)


def code_of(function: Any, *arguments: Any) -> int | None:
    """Return the errno of the OSError that ``function(*arguments)`` raises."""
    with pytest.raises(OSError) as caught:
        function(*arguments)
    return caught.value.errno


# -- Receiving and sending ----------------------------------------------------


def test_receiving_when_nothing_is_there_would_block(world):
    left, _right = world.pair()

    pytest.raises(BlockingIOError, left.recv, 10)


def test_what_is_sent_arrives_in_order(world):
    left, right = world.pair()
    sent = [left.send(b"one "), left.send(bytearray(b"two "), 0), left.send(memoryview(b"three"))]
    got = b""
    while len(got) < 13:
        world.until(right)
        got += right.recv(100)

    assert (sent, got) == ([4, 4, 5], b"one two three")


def test_recv_takes_no_more_than_asked(world):
    left, right = world.pair()
    left.send(b"hello")
    world.until(right)

    assert [right.recv(2), right.recv(0), right.recv(10)] == [b"he", b"", b"llo"]


def test_peeking_leaves_the_data_there(world):
    left, right = world.pair()
    left.send(b"hello")
    world.until(right)
    peeked = [right.recv(2, socket.MSG_PEEK), right.recv(10, socket.MSG_PEEK)]

    assert [*peeked, right.recv(10)] == [b"he", b"hello", b"hello"]


def test_recv_into_fills_a_buffer(world):
    left, right = world.pair()
    left.send(b"hello")
    world.until(right)
    buffer = bytearray(4)
    sizes = [right.recv_into(buffer, 2), right.recv_into(memoryview(buffer)[2:])]

    assert (sizes, buffer) == ([2, 2], b"hell")


def test_sending_nothing_sends_nothing(world):
    left, right = world.pair()

    assert left.send(b"") == 0
    pytest.raises(BlockingIOError, right.recv, 1)


def test_text_and_negative_sizes_are_refused(world):
    left, _right = world.pair()

    pytest.raises(TypeError, left.send, "text")
    pytest.raises(ValueError, left.recv, -1)


def test_a_full_sender_would_block_until_the_reader_makes_room(world):
    left, right = world.pair()
    sent, got = world.fill(left), 0
    while got < sent:
        world.until(right)
        got += len(right.recv(1_000_000))
    world.until(left, WRITABLE)
    more = left.send(b"x" * 10)
    world.until(right)

    assert (got, more, len(right.recv(100))) == (sent, 10, 10)


def test_a_send_may_take_only_a_part(world):
    left, _right = world.pair()
    block = b"x" * 100_000_000

    assert 0 < left.send(block) < len(block)


# -- Endings ------------------------------------------------------------------


def test_a_stream_ends_after_what_was_sent(world):
    left, right = world.pair()
    left.send(b"last words")
    left.close()
    world.until(right)
    words = right.recv(100)
    world.until(right)

    assert [words, right.recv(100), right.recv(100)] == [b"last words", b"", b""]


def test_a_half_closed_connection_still_carries_the_other_way(world):
    left, right = world.pair()
    left.shutdown(socket.SHUT_WR)
    world.until(right)
    end = right.recv(100)
    right.send(b"answer")
    world.until(left)

    assert (end, left.recv(100)) == (b"", b"answer")


def test_sending_after_shutdown_is_a_broken_pipe(world):
    left, _right = world.pair()
    left.shutdown(socket.SHUT_WR)

    pytest.raises(BrokenPipeError, left.send, b"x")


def test_after_shutting_down_both_ways_reading_ends_at_once(world):
    left, _right = world.pair()
    left.shutdown(socket.SHUT_RDWR)
    world.until(left)

    assert left.recv(100) == b""


def test_a_socket_that_shut_down_its_reading_can_be_read_no_more(world):
    left, _right = world.pair()
    left.shutdown(socket.SHUT_RD)

    assert left.recv(100) == b""


def test_an_unknown_way_to_shut_down_is_refused(world):
    left, _right = world.pair()

    assert code_of(left.shutdown, 7) == errno.EINVAL


def test_sending_to_a_peer_that_closed_fails_before_long(world):
    left, right = world.pair()
    right.close()
    world.until(left)
    assert left.recv(10) == b""

    def insist() -> None:
        for _ in range(100):
            world.until(left, WRITABLE)
            left.send(b"x")
            world.poller.poll(SECOND // 100)

    pytest.raises((BrokenPipeError, ConnectionResetError), insist)


def test_a_peer_that_closes_with_unread_data_resets_the_connection(world):
    left, right = world.pair()
    left.send(b"never read")
    world.until(right)
    right.close()
    world.until(left)

    pytest.raises(ConnectionResetError, left.recv, 10)


def test_a_reset_raises_once_and_then_the_stream_is_at_its_end(tcp):
    left, right = tcp.pair()
    tcp.reset(left)
    tcp.until(right)

    pytest.raises(ConnectionResetError, right.recv, 10)
    assert right.recv(10) == b""
    pytest.raises(BrokenPipeError, right.send, b"x")
    assert left.fileno() == -1


def test_a_reset_is_told_by_send_too(tcp):
    left, right = tcp.pair()
    tcp.reset(left)
    tcp.until(right)

    pytest.raises(ConnectionResetError, right.send, b"x")
    pytest.raises(BrokenPipeError, right.send, b"x")


@pytest.mark.skipif(sys.platform != "linux", reason="others throw away what was not read")
def test_what_arrived_before_a_reset_can_still_be_read(tcp):
    left, right = tcp.pair()
    left.send(b"first")
    tcp.until(right)
    tcp.reset(left)
    tcp.poller.poll(SECOND // 20)

    assert right.recv(10) == b"first"
    pytest.raises(ConnectionResetError, right.recv, 10)


@pytest.mark.skipif(sys.platform != "linux", reason="others tell the reset to recv as well")
def test_a_stream_that_ended_in_good_order_stays_so_after_a_reset(tcp):
    left, right = tcp.pair()
    right.close()
    tcp.until(left)
    left.send(b"to nobody")
    tcp.poller.poll(SECOND // 10)

    assert [left.recv(10), left.recv(10)] == [b"", b""]
    pytest.raises(BrokenPipeError, left.send, b"x")


def test_both_directions_are_ready_after_a_reset(tcp):
    left, right = tcp.pair()
    tcp.fill(right)
    receiver, sender = Waiter("receiver", right), Waiter("sender", right, WRITABLE)
    tcp.poller.arm(receiver, right, READABLE)
    tcp.poller.arm(sender, right, WRITABLE)
    tcp.reset(left)

    assert set(tcp.poller.poll(10 * SECOND)) == {receiver, sender}


def test_a_closed_socket_refuses_everything(tcp):
    left, _right = tcp.pair()
    left.close()
    left.close()
    calls = [
        (left.recv, 1),
        (left.send, b"x"),
        (left.accept,),
        (left.shutdown, socket.SHUT_WR),
        (left.getsockname,),
        (left.getpeername,),
        (left.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR),
    ]

    assert left.fileno() == -1
    assert [code_of(*call) for call in calls] == [errno.EBADF] * len(calls)


def test_a_with_statement_closes_the_socket(world):
    left, right = world.pair()
    with left as entered:
        assert entered is left
    world.until(right)

    assert (left.fileno(), right.recv(1)) == (-1, b"")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_socket_that_is_dropped_is_closed(tcp):
    listener = tcp.listen()
    client = tcp.connect(listener.getsockname())
    tcp.until(listener)
    listener.accept()  # and dropped
    tcp.until(client)

    assert client.recv(1) == b""


# -- Connecting ---------------------------------------------------------------


def test_accepting_when_no_client_comes_would_block(tcp):
    pytest.raises(BlockingIOError, tcp.listen().accept)


def test_accept_returns_a_socket_and_the_address_of_the_client(tcp):
    listener = tcp.listen()
    client = tcp.connect(listener.getsockname())
    tcp.until(listener)
    server, address = listener.accept()
    tcp.own(server)
    tcp.until(client, WRITABLE)

    assert address == client.getsockname() == server.getpeername()
    assert listener.getsockname() == server.getsockname() == client.getpeername()
    pytest.raises(BlockingIOError, listener.accept)


def test_addresses_are_a_host_and_a_port_of_this_machine(tcp):
    left, right = tcp.pair()
    addresses = [left.getsockname(), right.getsockname()]

    assert [(type(host), type(port)) for host, port in addresses] == [(str, int)] * 2
    assert all(host.startswith("127.") and port > 0 for host, port in addresses)


def test_clients_are_accepted_in_the_order_in_which_they_came(tcp):
    listener = tcp.listen()
    clients = []
    for _ in range(3):
        clients.append(tcp.connect(listener.getsockname()))
        tcp.until(clients[-1], WRITABLE)
    accepted = [listener.accept() for _ in clients]
    for sock, _ in accepted:
        tcp.own(sock)

    assert [address for _, address in accepted] == [sock.getsockname() for sock in clients]


def test_a_connection_that_is_made_has_no_pending_error(tcp):
    left, _right = tcp.pair()

    assert left.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_a_refused_connection_is_told_once_by_so_error(tcp):
    client = tcp.connect(UNUSED)
    tcp.until(client, WRITABLE)
    errors = [client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) for _ in range(2)]

    assert errors == [errno.ECONNREFUSED, 0]
    assert code_of(client.getpeername) == errno.ENOTCONN


def test_a_refused_connection_raises_at_the_first_recv(tcp):
    client = tcp.connect(UNUSED)
    tcp.until(client, WRITABLE)

    pytest.raises(ConnectionRefusedError, client.recv, 1)
    assert client.recv(1) == b""


def test_a_refused_connection_raises_at_the_first_send(tcp):
    client = tcp.connect(UNUSED)
    tcp.until(client, WRITABLE)

    pytest.raises(ConnectionRefusedError, client.send, b"x")


def test_a_port_where_a_socket_listens_is_in_use_until_it_is_closed(tcp):
    listener = tcp.listen()
    address = listener.getsockname()
    taken = code_of(tcp.poller.listen, address)
    listener.close()
    again = tcp.own(tcp.poller.listen(address))

    assert (taken, again.getsockname()) == (errno.EADDRINUSE, address)


def test_closing_a_listener_resets_the_clients_not_accepted(tcp):
    listener = tcp.listen()
    client = tcp.connect(listener.getsockname())
    tcp.until(client, WRITABLE)
    listener.close()
    tcp.until(client)

    pytest.raises(ConnectionResetError, client.recv, 1)


def test_a_listener_carries_no_data_and_a_connection_accepts_no_client(tcp):
    listener = tcp.listen()
    left, _right = tcp.pair()
    codes = [code_of(listener.recv, 1), code_of(listener.getpeername), code_of(left.accept)]

    assert codes == [errno.ENOTCONN, errno.ENOTCONN, errno.EINVAL]


# -- Waiting ------------------------------------------------------------------


def test_sockets_do_not_block_and_say_so(world):
    left, _right = world.pair()
    left.setblocking(False)
    left.settimeout(0)

    assert (left.getblocking(), left.gettimeout()) == (False, 0.0)


def test_a_sender_that_has_room_need_not_wait(world):
    left, _right = world.pair()
    waiter = Waiter("sender", left, WRITABLE)

    assert world.poller.arm(waiter, left, WRITABLE) is True
    assert world.poller.waiting == 0


def test_a_receiver_is_returned_by_poll_when_data_arrives(world):
    left, right = world.pair()
    waiter = Waiter("receiver", right)
    assert world.poller.arm(waiter, right, READABLE) is False
    before = (world.poller.waiting, world.poller.poll(0))
    left.send(b"x")
    after = (world.poller.poll(10 * SECOND), world.poller.waiting)

    assert (before, after) == ((1, []), ([waiter], 0))


def test_data_that_is_there_already_is_told_by_the_next_poll(world):
    left, right = world.pair()
    left.send(b"x")
    world.until(right)
    waiter = Waiter("receiver", right)
    world.poller.arm(waiter, right, READABLE)

    assert world.poller.poll(0) == [waiter]


def test_data_that_another_fiber_took_wakes_no_fiber(world):
    left, right = world.pair()
    left.send(b"x")
    world.until(right)
    waiter = Waiter("receiver", right)
    world.poller.arm(waiter, right, READABLE)
    right.recv(1)

    assert (world.poller.poll(0), world.poller.waiting) == ([], 1)


def test_one_fiber_may_receive_while_another_sends_on_the_same_socket(world):
    left, right = world.pair()
    world.fill(left)
    receiver, sender = Waiter("receiver", left), Waiter("sender", left, WRITABLE)
    world.poller.arm(receiver, left, READABLE)
    world.poller.arm(sender, left, WRITABLE)
    right.send(b"x")
    first = world.poller.poll(10 * SECOND)
    second: list[Any] = []
    while not second:
        with suppress(BlockingIOError):
            right.recv(1_000_000)
        second = world.poller.poll(SECOND // 100)

    assert (first, second) == ([receiver], [sender])


@pytest.mark.parametrize("direction", [READABLE, WRITABLE])
def test_a_second_waiter_for_one_direction_is_refused_by_name(world, direction):
    left, _right = world.pair()
    world.fill(left)
    world.poller.arm(Waiter("first", left, direction), left, direction)

    with pytest.raises(SocketBusy, match="'first' and 'second'"):
        world.poller.arm(Waiter("second", left, direction), left, direction)
    assert world.poller.waiting == 1


def test_a_fiber_that_was_taken_out_is_not_returned(world):
    left, right = world.pair()
    waiter = Waiter("receiver", right)
    world.poller.arm(waiter, right, READABLE)
    left.send(b"x")
    world.poller.disarm(waiter)

    assert (world.poller.waiting, world.poller.poll(SECOND // 20)) == (0, [])


def test_waiting_on_a_closed_socket_is_refused_by_name(world):
    left, _right = world.pair()
    left.close()

    with pytest.raises(SocketClosed, match="'late' waits on a socket that is closed"):
        world.poller.arm(Waiter("late", left), left, READABLE)


def test_a_fiber_whose_socket_gets_closed_is_woken_within_a_second(world):
    left, _right = world.pair()
    waiter = Waiter("receiver", left)
    world.poller.arm(waiter, left, READABLE)
    left.close()
    ready = world.poller.poll(SECOND) or world.poller.poll(SECOND)

    assert (ready, world.poller.waiting) == ([waiter], 0)
    assert isinstance(waiter.pending, SocketClosed)
    assert "'receiver' waits on a socket that is closed" in str(waiter.pending)


def test_waking_a_poll_makes_it_return_at_once(world):
    left, _right = world.pair()
    world.poller.arm(Waiter("receiver", left), left, READABLE)
    world.poller.wake()

    assert world.poller.poll(None) == []


def test_a_wake_is_heard_once(world):
    left, right = world.pair()
    waiter = Waiter("receiver", left)
    world.poller.arm(waiter, left, READABLE)
    world.poller.wake()
    polls = [world.poller.poll(None)]
    right.send(b"x")
    polls.append(world.poller.poll(10 * SECOND))

    assert polls == [[], [waiter]]


def test_an_object_that_wraps_a_socket_can_be_waited_for(world):
    class Wrapper:
        def __init__(self, sock: Any) -> None:
            self.fileno = sock.fileno

    left, right = world.pair()
    wrapper = Wrapper(right)
    waiter = Waiter("receiver", wrapper)
    world.poller.arm(waiter, wrapper, READABLE)
    left.send(b"x")

    assert world.poller.poll(10 * SECOND) == [waiter]
