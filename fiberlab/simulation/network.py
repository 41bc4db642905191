"""Simulated time and a simulated network: the same programs, with no real second spent.

    network = SimulatedNetwork()
    scheduler = Scheduler(clock=network.clock, poller=network)

The rule kept here: time passes only where the program says so, in ``clock.burn(seconds)``, and
where every fiber waits: then the clock jumps to the next deadline or delivery. Computing takes
no time. So a run is exact, the same each time, and as fast as Python can go; and a fiber that
spins on WAIT(0) until some moment comes holds the clock still for ever.

Sockets behave as non-blocking TCP sockets on Linux do, with these simplifications: a connection
is there for the server one latency after connect(), and for the client after two; a listener's
queue has no bound; nothing is lost unless ``trouble`` is asked for. How bytes travel stands in
``connection``.

What this module does not know: schedulers, and other threads (only `wake` may be called there).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from typing import Any

from ..errors import Deadlock, SocketBusy, SocketClosed
from ..io.descriptors import READABLE
from ..waits import Socket
from .clock import SimulatedClock, check_number, nanoseconds_of
from .connection import Address, End, Listener, pair
from .delivery import Events, Link, os_error
from .socket import SimulatedSocket
from .trouble import Fate, Trouble, Weather

__all__ = ["SimulatedClock", "SimulatedNetwork", "SimulatedSocket"]

FIRST_FILENO = 1_000_000_000  # no real descriptor is so high: a real poller refuses it
FIRST_LISTEN_PORT, FIRST_CLIENT_PORT, END_OF_PORTS = 32_768, 49_152, 65_536


class SimulatedNetwork:
    """Sockets in simulated time, and the poller that knows when they are ready.

    buffer_bytes: the size of each send buffer and of each receive buffer. trouble: what goes wrong
    with connections; None: nothing does.
    `clock` is the time by which it delivers; give both to the Scheduler.
    """

    def __init__(self, *, buffer_bytes: int = 65_536, trouble: Trouble | None = None) -> None:
        if not isinstance(buffer_bytes, int) or buffer_bytes < 1:
            raise ValueError(f"buffer_bytes is a whole number of bytes > 0, got {buffer_bytes!r}")
        self.clock = SimulatedClock()
        self.waiting = 0
        self._buffer_bytes = buffer_bytes
        self._events = Events()
        self._woken = False
        self._waiters: dict[Any, End | Listener] = {}  # in the order of arming
        # Ends, not sockets: a socket that its fiber drops must be able to go.
        self._ends: dict[int, End | Listener] = {}
        self._dropped: list[End | Listener] = []
        self._listeners: dict[Address, Listener] = {}
        self._filenos = count(FIRST_FILENO)
        self._clients = _client_addresses()
        self._weather: Weather | None = None
        if trouble is not None:
            self.suffer(trouble)

    def suffer(self, trouble: Trouble) -> None:
        """Let the clock, and the connections that are made from now on, have `trouble`."""
        if not isinstance(trouble, Trouble):
            raise TypeError(f"trouble= needs a Trouble(seed=...), got {trouble!r}")
        self._weather = Weather(trouble)

    # -- Sockets --------------------------------------------------------------

    def socketpair(
        self, latency: float = 0, bandwidth: float | None = None
    ) -> tuple[SimulatedSocket, SimulatedSocket]:
        """Return two sockets that are connected to each other.

        latency: seconds from sending to arrival. bandwidth: bytes a second, each way; None: no
        limit.
        """
        link, first, second = _link(latency, bandwidth), next(self._clients), next(self._clients)
        left, right = self._end(link, first, second), self._end(link, second, first)
        pair(left, right)
        left.connected = True
        return self.socket_of(left), self.socket_of(right)

    def listen(self, address: Address) -> SimulatedSocket:
        """Return a socket that listens at (host, port); any host's name will do.

        port: 0 takes a free one. Raises OSError (EADDRINUSE) if the port is taken.
        """
        self.catch_up()
        host, port = _check_address(address)
        if port == 0:
            ports = range(FIRST_LISTEN_PORT, FIRST_CLIENT_PORT)
            port = next((port for port in ports if (host, port) not in self._listeners), 0)
        if (host, port) in self._listeners:
            raise os_error(errno.EADDRINUSE, f": a socket listens at {(host, port)}")
        listener = self._listeners[host, port] = Listener(self._events, (host, port))
        return self.socket_of(listener)

    def connect(
        self, address: Address, latency: float = 0, bandwidth: float | None = None
    ) -> SimulatedSocket:
        """Begin to connect to (host, port), and return the socket at once.

        As with a real non-blocking connect the answer comes later, two latencies from now. Then
        SEND is ready. If the connect failed, SO_ERROR or the first send or recv says so:
        ConnectionRefusedError if nothing listens there. latency, bandwidth: as for socketpair.
        """
        now = self.catch_up()
        place, link = _check_address(address), _link(latency, bandwidth)
        client = self._end(link, next(self._clients), place)
        sock = self.socket_of(client)
        if client.fate is not None:
            moment, arrives = client.fate.arrival(now, link.latency)
            if arrives:
                self._events.schedule(moment, self._on_connect, client, place)
            else:
                self._events.schedule(moment, client.on_reset, errno.ETIMEDOUT)
        elif link.latency:
            self._events.schedule(now + link.latency, self._on_connect, client, place)
        else:
            self._on_connect(now, client)
        return sock

    def _end(self, link: Link, address: Address, peer: Address) -> End:
        fate = None if self._weather is None else Fate(self._weather, address, peer)
        return End(self._events, link, self._buffer_bytes, address, peer, fate=fate)

    def _on_connect(self, moment: int, client: End) -> None:
        """Let `client` reach the listener at its peer's address."""
        if not client.open:
            return
        place = client.peer_address
        listener, server = self._listeners.get(place), None
        if listener is not None:
            server = self._end(client.link, place, client.address)
            listener.add(moment, server)
        client.answer(moment, server)

    # -- The poller -----------------------------------------------------------

    def open(self) -> None:
        """Take what is needed: nothing."""

    def close(self) -> None:
        """Forget which fibers wait. Connections, and what is on its way, stay for another run."""
        for fiber in list(self._waiters):
            self.disarm(fiber)
        self._woken = False

    def arm(self, fiber: Any, sock: Socket, direction: int) -> bool:
        """Let `fiber` wait for `sock`; see Poller.

        Raises TypeError for a socket that is not of this network.
        """
        self.catch_up()
        end = self._end_of(fiber, sock)
        if direction == READABLE:
            if end.receiver is not None:
                raise SocketBusy.of(end.receiver, fiber, "receive", sock.fileno())
            end.receiver = fiber
            if end.readable:
                self._events.notify(fiber)
        else:
            if end.sender is not None:
                raise SocketBusy.of(end.sender, fiber, "send", sock.fileno())
            if end.writable:
                return True
            end.sender = fiber
        self._waiters[fiber] = end
        self.waiting += 1
        return False

    def disarm(self, fiber: Any) -> bool:
        """Let `fiber` no longer wait; return whether what it waited for is there by now."""
        end = self._waiters.get(fiber)
        if end is None:
            return False  # a poll has returned it, and ^C came before it was ready
        came = end.open and (end.readable if end.receiver is fiber else end.writable)
        self._leave(fiber, end)
        self._events.ready.pop(fiber, None)
        return came

    def poll(self, timeout: int | None) -> list[Any]:
        """Return the fibers that can go on; if none can yet, let the clock jump first.

        timeout: as for Poller. Data that arrives at the very end of it is delivered.
        Raises Deadlock for None when nothing is on its way: in real time it would never return.
        """
        now = self.catch_up()
        end = None if timeout is None else self.due(now + timeout) if timeout > 0 else now
        while not (ready := self._take_ready()) and not self._woken:
            if not self.advance(end):
                raise Deadlock.on_sockets(self._waiters)
            if self.clock.now_ns() == end:
                ready = self._take_ready()
                break
        self._woken = False
        return ready

    def knows(self, fileno: int) -> bool:
        """Whether this is the number of one of its sockets."""
        return fileno in self._ends

    def is_ready(self, fileno: int, direction: int) -> bool:
        """Whether receiving from (READABLE) or sending on (WRITABLE) a socket will not block."""
        end = self._ends[fileno]
        return end.readable if direction == READABLE else end.writable

    def due(self, moment: int) -> int:
        """Return when a scheduler that waits for `moment` goes on, in ns: later in trouble."""
        return moment if self._weather is None else moment + self._weather.late()

    def advance(self, end: int | None) -> bool:
        """Let the clock jump to the next delivery, or to `end` (ns) if that comes first.

        Returns False if there is neither: then time has nothing more to bring.
        """
        moment = self._events.next()
        if moment is None or (end is not None and moment > end):
            if end is None:
                return False
            self.clock.jump(end)
        else:
            self.clock.jump(moment)
            self._events.run(moment)
        return True

    def next_delivery(self) -> int | None:
        """Return when something will arrive next, in ns; None: nothing is on its way."""
        return self._events.next()

    def wake(self) -> None:
        """Make a poll under way, or the next one, return at once; from any thread."""
        self._woken = True

    def _end_of(self, fiber: Any, sock: Socket) -> End | Listener:
        # By its number: so an object that wraps a socket can be used, as in real time.
        fileno = sock.fileno()
        if isinstance(sock, SimulatedSocket) and sock.network is not self:
            raise TypeError(f"this socket is of another SimulatedNetwork: {sock!r}")
        if fileno == -1:
            raise SocketClosed.of(fiber, sock)
        end = self._ends.get(fileno)
        if end is None:
            raise TypeError(
                f"simulated time cannot wait for a real socket: {sock!r}; "
                "run this on a Scheduler with the real clock"
            )
        return end

    def _take_ready(self) -> list[Any]:
        """Return the fibers whose sockets are ready, in the order in which they became so."""
        candidates, ready = self._events.ready, []
        for fiber in candidates:
            end = self._waiters[fiber]
            if not end.open:
                fiber.pending = SocketClosed.of(fiber, fiber.wait.sock)
            # Looked at again: another fiber may have taken the data meanwhile.
            elif not (end.readable if end.receiver is fiber else end.writable):
                continue
            self._leave(fiber, end)
            ready.append(fiber)
        candidates.clear()
        return ready

    def _leave(self, fiber: Any, end: End | Listener) -> None:
        if end.receiver is fiber:
            end.receiver = None
        else:
            end.sender = None
        del self._waiters[fiber]
        self.waiting -= 1

    # -- For its sockets ------------------------------------------------------

    def catch_up(self) -> int:
        """Deliver what arrived while a fiber computed, and return the time, in ns."""
        now = self.clock.now_ns()
        self._events.run(now)
        while self._dropped:
            self._close_end(self._dropped.pop(0), now)
        return now

    def socket_of(self, end: End | Listener) -> SimulatedSocket:
        """Return a socket, with a number of its own, for `end`."""
        fileno = next(self._filenos)
        self._ends[fileno] = end
        return SimulatedSocket(self, end, fileno)

    def release(self, fileno: int, *, reset: bool = False) -> None:
        """Close the end that has the number `fileno`; the socket calls it."""
        now = self.catch_up()
        self._close_end(self._ends.pop(fileno), now, reset=reset)

    def drop(self, fileno: int) -> None:
        """Close the end of a socket that Python has collected, at the next chance."""
        # Not here: Python may collect garbage in the middle of anything, a delivery included.
        self._dropped.append(self._ends.pop(fileno))

    def _close_end(self, end: End | Listener, now: int, *, reset: bool = False) -> None:
        if isinstance(end, Listener):
            del self._listeners[end.address]
            end.close(now)
        elif reset:
            end.abort(now)
        else:
            end.close(now)


def _client_addresses() -> Iterator[Address]:
    """Yield addresses that are all different: one port after the other, then the next host."""
    for number in count(1):
        host = f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        for port in range(FIRST_CLIENT_PORT, END_OF_PORTS):
            yield host, port


def _check_address(address: Address) -> Address:
    match address:
        case (str(host), int(port)) if 0 <= port < END_OF_PORTS:
            return "127.0.0.1" if host == "localhost" else host, port
    raise ValueError(f"an address is (host, port) with a port below 65536, got {address!r}")


def _link(latency: float, bandwidth: float | None) -> Link:
    delay = nanoseconds_of("latency", latency)
    if bandwidth is None:
        return Link(delay)
    bandwidth = check_number("bandwidth", bandwidth)
    if not bandwidth:
        raise ValueError(f"bandwidth is bytes a second > 0 or None, got {bandwidth!r}")
    return Link(delay, Fraction(bandwidth))
