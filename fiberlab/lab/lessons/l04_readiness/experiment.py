"""The experiments of lesson 04: gates, two kinds of trigger, high numbers, little room.

The rule kept here: what a lesson shows with these is the same on each system. Where a system
lacks something (edge-triggered reports, numbers as high as wanted), a stand-in takes its place,
as said below. What is opened here is closed here. The transfer is computed in simulated time.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ....simulation.network import SimulatedNetwork

try:
    import fcntl
    import resource
except ImportError:  # Windows: numbers are stood in for
    fcntl = resource = None  # type: ignore[assignment]

SECONDS = 5.0
"""After so long a client of these experiments gives up."""
THINKING = {"ann": 0.1, "ben": 0.1, "cat": 0.02}
"""For how long each client thinks before a word, and before it leaves; in seconds."""

# -- Clients with gates -------------------------------------------------------


@contextlib.contextmanager
def slow_and_fast() -> Iterator[dict[str, socket.socket]]:
    """Yield the server's ends of three connections: of ben, ann and cat.

    Ann has connected first, then ben, then cat. Cat sends two words, waits for the answer to each,
    and ends. When the server has closed her connection ann does so with one word; then ben. What
    is left is closed afterwards.
    """
    gates = [threading.Event() for _ in range(4)]
    plans = {"ann": (1, 1), "ben": (2, 1), "cat": (0, 2)}  # her gate, and how many words
    threads, ends = [], {}
    leaving = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for name, (gate, words) in plans.items():
            client = socket.create_connection(listener.getsockname(), SECONDS)
            ends[name] = listener.accept()[0]
            given = (client, name, words, gates[gate], gates[gate + 1], leaving)
            threads.append(threading.Thread(target=_speak, args=given, name=f"client {name}"))
    try:
        for thread in threads:
            thread.start()
        gates[0].set()
        yield {name: ends[name] for name in ("ben", "ann", "cat")}
    finally:
        leaving.set()
        for end in ends.values():
            end.close()
        for each in gates:
            each.set()
        for thread in threads:
            thread.join()


def _speak(
    client: socket.socket,
    name: str,
    words: int,
    gate: threading.Event,
    next_gate: threading.Event,
    leaving: threading.Event,
) -> None:
    with client, contextlib.suppress(OSError):
        gate.wait()
        for _ in range(words):
            if leaving.wait(THINKING[name]):
                return
            client.sendall(name.encode())
            client.recv(1024)
        if leaving.wait(THINKING[name]):
            return
        client.shutdown(socket.SHUT_WR)
        while client.recv(1024):
            pass
    next_gate.set()


# -- Level and edge -----------------------------------------------------------


class LevelPoller:
    """Reports one socket whenever there is something to receive; use it in a ``with``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def poll(self, seconds: float) -> bool:
        """Return True as soon as there is something, False if there is nothing in so long."""
        return bool(select.select([self._sock], [], [], seconds)[0])

    def __enter__(self) -> LevelPoller:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""


class EdgePoller:
    """Reports one socket only when something more has arrived; use it in a ``with``.

    By epoll's EPOLLET on Linux, kqueue's EV_CLEAR on macOS. Elsewhere it is stood in for: by
    comparing what lies there with what lay there before.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._poll, self._close = edge_of(sock)

    def poll(self, seconds: float) -> bool:
        """Return True as soon as something more arrives, False if nothing does in so long."""
        return self._poll(seconds)

    def __enter__(self) -> EdgePoller:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def edge_of(sock: socket.socket) -> tuple[Callable[[float], bool], Callable[[], None]]:
    """Return what asks the system, at the edge, whether something came; and what ends that."""
    # By name: what a type checker knows of `select` depends on the system it runs on.
    system: Any = select
    if hasattr(system, "epoll"):
        polled = system.epoll()
        polled.register(sock.fileno(), system.EPOLLIN | system.EPOLLET)
        return lambda seconds: bool(polled.poll(seconds)), polled.close
    if hasattr(system, "kqueue"):
        queue = system.kqueue()
        flags = system.KQ_EV_ADD | system.KQ_EV_CLEAR
        queue.control([system.kevent(sock.fileno(), system.KQ_FILTER_READ, flags)], 0)
        return lambda seconds: bool(queue.control(None, 1, seconds)), queue.close
    return _Growth(sock).poll, lambda: None


class _Growth:
    """Reports a socket when more lies there than when it was asked last."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._known = sock, 0

    def poll(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while True:
            left = max(0.0, until - time.monotonic())
            there = select.select([self._sock], [], [], left)[0]
            size = len(self._sock.recv(65_536, socket.MSG_PEEK)) if there else 0
            grown, self._known = size > self._known, size
            if grown or not left:
                return grown
            time.sleep(min(left, 0.001))


# -- Numbers ------------------------------------------------------------------


MOST_FOR_SELECT = 1023


class _Numbered(socket.socket):
    """A socket that says another number than it has, a new object each time."""

    number = 0

    def fileno(self) -> int:
        return int(str(self.number))


def at_number(sock: socket.socket, number: int) -> socket.socket:
    """Return `sock` again under another number, and close the old one.

    If the system does not give that number (it is taken, or above the limit that may be asked
    for) or cannot poll it, the socket only says that it has it.
    """
    given = _duplicate(sock.fileno(), number)
    if given == number:
        moved = socket.socket(fileno=given)
        sock.close()
        return moved
    stand_in = _Numbered(fileno=sock.detach())
    stand_in.number = number
    return stand_in


def _duplicate(fileno: int, number: int) -> int | None:
    selector: object = selectors.DefaultSelector
    only_select = selector is selectors.SelectSelector
    if fcntl is None or (only_select and number > MOST_FOR_SELECT):
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = number + 1
    raised = soft != resource.RLIM_INFINITY and soft < needed
    try:
        if raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        given = fcntl.fcntl(fileno, fcntl.F_DUPFD_CLOEXEC, number)
    except (OSError, ValueError):
        return None
    finally:
        if raised:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if given != number:
        socket.socket(fileno=given).close()
    return given


def readable_numbers(*socks: socket.socket) -> list[int]:
    """Ask the kernel, and return the descriptor numbers of those that are readable."""
    with selectors.DefaultSelector() as selector:  # select() refuses high numbers
        for sock in socks:
            selector.register(socket.socket.fileno(sock), selectors.EVENT_READ, sock)
        return [key.data.fileno() for key, _ in selector.select(1)]


# -- Little room --------------------------------------------------------------


MOST_AT_ONCE = 1000


class Spinning(BaseException):
    """Raised out of a send that was refused too often, with no waiting in between.

    No Exception: a loop that sends again after any exception would go on for ever.
    """


class NarrowSocket(socket.socket):
    """A real non-blocking socket with little room; its other end reads now and then.

    It can be given to select, selectors or a poll, as any socket. Use it in a ``with``.
    tried_all: whether sendall was called.
    """

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        self.setblocking(False)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_AT_ONCE)
        self.tried_all = False
        self._refused = 0
        self._received = bytearray()
        self._reader = threading.Thread(target=self._read, name="slow reader", daemon=True)
        self._reader.start()

    def send(self, data: Any, *flags: int) -> int:
        """Take what there is room for, and return how much; BlockingIOError if there is none."""
        try:
            taken = super().send(memoryview(data)[:MOST_AT_ONCE], *flags)
        except BlockingIOError:
            self._refused += 1
            if self._refused > 100:
                raise Spinning from None
            raise
        self._refused = 0
        return taken

    def sendall(self, data: Any, *flags: int) -> None:
        """Send until there is no room, then raise, as any non-blocking socket does."""
        self.tried_all = True
        super().sendall(data, *flags)

    def received(self) -> bytes:
        """End the connection, and return all that the other end has received."""
        with contextlib.suppress(OSError):  # it may have been closed already
            self.shutdown(socket.SHUT_WR)
        self.close()
        self._reader.join(SECONDS)
        return bytes(self._received)

    def __exit__(self, *_: object) -> None:
        self.received()

    def _read(self) -> None:
        with self._theirs:
            while part := self._theirs.recv(MOST_AT_ONCE):
                self._received += part
                time.sleep(0.000_005 * len(part))


def wait_until_writable(sock: Any) -> None:
    """Return when there is room in the send buffer of `sock`, after 5 s at the latest."""
    select.select([], [sock], [], SECONDS)


# -- Ready sets, and a transfer in pieces -------------------------------------

ReadySet = tuple[float, float, list[str]]
"""When select was called, when it returned, and the names of the readable sockets."""

SIZE_BYTES = 64_000
BANDWIDTH = 1_000_000  # bytes a second


def transfer(buffer_bytes: int, latency_ms: float) -> tuple[list[Any], list[Any]]:
    """Send SIZE_BYTES in simulated time; return what was taken, and received, by when.

    Each is a list of (ms, bytes so far). latency_ms: from sending to arrival.
    """
    network = SimulatedNetwork(buffer_bytes=buffer_bytes)
    sender, receiver = network.socketpair(latency_ms / 1000, BANDWIDTH)
    taken, received = [(0.0, 0)], [(0.0, 0)]
    while received[-1][1] < SIZE_BYTES:
        now = network.clock.now() * 1000
        with contextlib.suppress(BlockingIOError):
            if rest := SIZE_BYTES - taken[-1][1]:
                taken.append((now, taken[-1][1] + sender.send(bytes(rest))))
        with contextlib.suppress(BlockingIOError):
            received.append((now, received[-1][1] + len(receiver.recv(SIZE_BYTES))))
        network.clock.burn(0.001)
    return taken[1:], received


# -- A server from the museum -------------------------------------------------

Pass = Callable[[Any, dict[int, Any]], object]
"""One pass of a server: given the listener, and its connections by their numbers."""


def try_pass(one_pass: Pass, number: int) -> str:
    """Let a server make one pass while a client wants to be accepted; tell what came of it.

    number: the descriptor number of the listener.
    """
    with listening(number) as (listener, _), _connections() as connections:
        try:
            one_pass(listener, connections)
        except KeyError as error:
            return f"crash, KeyError: {error}"
        return f"{len(connections)} client accepted"


@contextlib.contextmanager
def listening(number: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield a non-blocking listener of this number, and a client that has connected to it."""
    with at_number(socket.create_server(("127.0.0.1", 0)), number) as listener:
        listener.setblocking(False)
        with socket.create_connection(listener.getsockname(), 5) as client:
            yield listener, client


@contextlib.contextmanager
def _connections() -> Iterator[dict[int, Any]]:
    connections: dict[int, Any] = {}
    try:
        yield connections
    finally:
        for each in connections.values():
            each.close()
