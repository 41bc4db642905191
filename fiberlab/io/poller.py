"""The poller: which fibers can go on. One of the two seams between the scheduler and the world.

The rule kept here: a fiber is woken only by an event on the very socket it waits on, and such
an event is never lost. Numbers of descriptors are used again, so a number's Watch is believed
only while it is of the same socket.

A descriptor is registered once and stays registered from one wait to the next, level-triggered;
it is taken out only when an event comes that no fiber waits for. So an echo costs two system
calls of its own, and its share in one epoll_wait. Two things epoll does not tell:

- A closed descriptor leaves epoll in silence, and its fiber would wait for ever. The number may
  have another descriptor by then: of another socket, or of the same object (a client that
  connects again, ``os.dup2``). epoll does know: to change the events of a descriptor that is not
  in its set is an error. So whatever is waited for is registered again twice a second, and at
  once when its number turns up with another object, or with one that can change its descriptor.
- A descriptor that was closed while a copy of it lives (dup, fork) goes on reporting events
  under its old number, and can no longer be taken out: a ghost. So a number that has a new
  descriptor is suspect: each of its events is held against what poll(2) says of the number,
  until, at the next sweep, the whole set is made anew.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import socket
import weakref
from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import Any, Protocol

from ..errors import SocketBusy, SocketClosed
from ..waits import Socket
from .clock import Clock, RealClock
from .descriptors import (
    DAY,
    HIGHEST,
    READABLE,
    TROUBLE,
    WRITABLE,
    look,
    make_probe,
    make_set,
    number_of,
)

SWEEP = 0.5  # seconds between two looks for sockets that were closed

_SWEEP, _DAY = round(SWEEP * 1e9), round(DAY * 1e9)

_SYSTEM_FILENO = socket.socket.fileno

MOST_PROBES = 1024  # of sockets that send; one holds 300 bytes, which an idle connection can spare


HERE = "localhost"
"""This machine, as its loopback address is called."""

Address = tuple[str, int]
"""Where a socket listens: (host, port)."""


class Poller(Protocol):
    """What the scheduler needs to know when a socket is ready."""

    waiting: int
    """How many fibers wait on sockets."""

    def open(self) -> None:
        """Take the descriptors it needs; run() calls it."""
        ...

    def close(self) -> None:
        """Give them back, and forget every socket."""
        ...

    def listen(self, address: tuple[str, int]) -> Any:
        """Return a non-blocking socket that listens at `address`."""
        ...

    def arm(self, fiber: Any, sock: Socket, direction: int) -> bool:
        """Let `fiber` wait for `sock`; return True if it need not, since sending will not block.

        direction: READABLE or WRITABLE.
        Raises SocketBusy if another fiber waits there, SocketClosed if `sock` is closed.
        """
        ...

    def disarm(self, fiber: Any) -> bool:
        """Let `fiber` no longer wait; return whether what it waited for is there by now.

        That may have come since the last poll.
        """
        ...

    def poll(self, timeout: int | None) -> list[Any]:
        """Return the fibers that need wait no longer, after `timeout` ns at the latest.

        timeout: 0 returns at once; None waits for an event. May return early, with none.
        A fiber whose socket was closed is among them, with its SocketClosed as `pending`.
        """
        ...

    def wake(self) -> None:
        """Make a poll under way, or the next one, return at once; from any thread."""
        ...


class Watch:
    """What is known of one number: the fibers that wait on it, and what is asked of it."""

    __slots__ = ("armed", "fileno", "receiver", "sender", "socket", "suspect")

    def __init__(self, fileno: int) -> None:
        self.fileno = fileno
        self.receiver: Any = None  # the fiber that waits to receive
        self.sender: Any = None  # the fiber that waits to send
        self.armed = 0  # READABLE | WRITABLE, as registered
        self.suspect = False  # whether events under this number may be those of a closed socket
        self.socket: Callable[[], Socket | None] = _unknown

    def remember(self, sock: Socket) -> None:
        """Remember the object of the number, if it keeps its descriptor until it is closed."""
        self.socket = _unknown
        if getattr(type(sock), "fileno", None) is _SYSTEM_FILENO:
            # Weak: a socket that its fiber has dropped is closed, not kept alive from here.
            self.socket = weakref.ref(sock)

    def waiters(self) -> list[Any]:
        """Return the fibers that wait here: none, one or two."""
        return [fiber for fiber in (self.receiver, self.sender) if fiber is not None]

    def wanted(self) -> int:
        """Return what they wait for: READABLE, WRITABLE, both or 0."""
        receiving = READABLE if self.receiver is not None else 0
        return receiving | WRITABLE if self.sender is not None else receiving


def _unknown() -> None:
    """Stand for an object that may get another descriptor: it is asked at each wait."""


class RealPoller:
    """The system's sockets: epoll where there is one, `selectors` elsewhere."""

    def __init__(self) -> None:
        self.waiting = 0
        self._watches: dict[int, Watch] = {}
        self._ended: list[Any] = []  # fibers that the next poll returns, whatever it hears
        self._set: Any = None
        # One argument: a key of two would cost as much as it saves.
        self._probe = lru_cache(MOST_PROBES)(make_probe)
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._next_sweep = 0.0
        self._haunted = False  # whether the set is to be made anew at the next sweep

    def open(self) -> None:
        """Make the set of descriptors, and the pair of sockets by which `wake` is heard."""
        self._set = make_set()
        try:
            self._pair = socket.socketpair()
        except OSError:
            self._set.close()
            raise
        for end in self._pair:
            end.setblocking(False)
        self._set.register(self._pair[0].fileno(), READABLE)

    def close(self) -> None:
        """Close what `open` made, and forget every socket."""
        if self._pair is not None:
            self._set.close()
            for end in self._pair:
                end.close()
        self._pair = self._set = None
        self._watches.clear()
        self._ended.clear()
        self._probe.cache_clear()
        self.waiting, self._haunted = 0, False

    def listen(self, address: tuple[str, int]) -> socket.socket:
        """Return a non-blocking socket that listens at `address` on this machine.

        Raises ValueError for a host that other machines can reach and for what is no port,
        TypeError for a host that is no text, OSError as bind does.
        """
        host, port = address
        if not isinstance(host, str):
            raise TypeError(f"a host is text, such as 'localhost', got {host!r}")
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port < 65_536:
            raise ValueError(f"a port is a whole number from 0 to 65535, got {port!r}")
        host = "127.0.0.1" if host == "localhost" else host
        try:
            local = ipaddress.ip_address(host)
        except ValueError:
            local = None
        if local is None or not local.is_loopback:
            raise ValueError(
                f"fiberlab listens on this machine only: host is 'localhost' or a loopback "
                f"address such as '127.0.0.1', got {host!r}"
            )
        family = socket.AF_INET6 if local.version == 6 else socket.AF_INET
        # Room for a crowd that comes at once; the system cuts it to its own limit.
        listener = socket.create_server((host, port), family=family, backlog=4096)
        listener.setblocking(False)
        # Its connections inherit it. Else the second of two short sends in a row waits for the
        # peer's delayed acknowledgement, 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener

    def arm(self, fiber: Any, sock: Socket, direction: int) -> bool:
        """Let `fiber` wait for `sock`; see Poller."""
        fileno = sock.fileno()
        watch = self._watches.get(fileno)
        remembered = _unknown if watch is None else watch.socket
        if watch is None or remembered() is not sock:
            watch = self._watch(fiber, sock, fileno)
        if direction == READABLE:
            if watch.receiver is not None:
                raise SocketBusy.of(watch.receiver, fiber, "receive", fileno)
        else:
            if watch.sender is not None:
                raise SocketBusy.of(watch.sender, fiber, "send", fileno)
            # One look is cheaper than registering, hearing, and taking out again: there is
            # nearly always room.
            probe = self._probe
            if probe(fileno).poll(0):
                return True
        if direction == READABLE:
            watch.receiver = fiber
        else:
            watch.sender = fiber
        fiber._watch = watch
        self.waiting += 1
        if not watch.armed & direction:
            self._ask(watch, watch.armed | direction)
        return False

    def disarm(self, fiber: Any) -> bool:
        """Let `fiber` no longer wait; see Poller. The descriptor stays registered."""
        watch, direction = fiber._watch, 0
        if watch.receiver is fiber:
            watch.receiver, direction = None, READABLE
        elif watch.sender is fiber:
            watch.sender, direction = None, WRITABLE
        elif fiber in self._ended:
            self._ended.remove(fiber)
        else:
            return False  # a poll has returned it already, and ^C came before it was made ready
        self.waiting -= 1
        return direction != 0 and bool(look(watch.fileno, direction))

    def poll(self, timeout: int | None) -> list[Any]:
        """Wait for events and return the fibers they wake; see Poller."""
        watches = self._watches
        if self._ended:
            timeout = 0
        elif timeout is None or timeout > _SWEEP:
            timeout = _SWEEP if self.waiting else min(timeout or _DAY, _DAY)
        try:
            # All of them: epoll reports 1,023 if not asked, and a fiber left out may be timed out.
            events = self._set.poll(timeout / 1e9, len(watches) + 1)
        except (OSError, ValueError) as error:  # select() refuses a set with a closed descriptor
            events = self._recover(error)
        ready: list[Any] = []
        for fileno, event in events:
            watch = watches.get(fileno)
            if watch is None:
                self._hear(fileno)
            elif event == READABLE and watch.receiver is not None and not watch.suspect:
                # The commonest event is kept out of a call: an eighth of what an echo costs.
                ready.append(watch.receiver)
                watch.receiver = None
            else:
                self._sort_out(watch, event, ready)
        if monotonic() >= self._next_sweep:
            self._sweep()
        if self._ended:
            ready += self._ended
            self._ended = []
        if ready:
            self.waiting -= len(ready)
        return ready

    def wake(self) -> None:
        """Make poll return at once; from any thread, or a signal handler."""
        pair = self._pair
        if pair is not None:
            # Full: the poll will hear the earlier ones. Closed: there is no poll to wake.
            with contextlib.suppress(OSError):
                pair[1].send(b"\0")

    # -- One number -----------------------------------------------------------

    def _watch(self, fiber: Any, sock: Socket, fileno: int) -> Watch:
        """Return the Watch of the number of `sock`, which is new or was another object's."""
        if isinstance(fileno, bool) or not isinstance(fileno, int) or fileno > HIGHEST:
            # Here, since the next sweep would ask the system about it, and fail for all fibers.
            raise TypeError(
                f"fileno() of {sock!r} gave {fileno!r}, which is no descriptor's number"
            )
        if fileno < 0:
            raise SocketClosed.of(fiber, sock)
        watch = self._watches.get(fileno)
        if watch is None:
            watch = self._watches[fileno] = Watch(fileno)
        self._tell_closed(watch)
        # Two objects may well have one number: the system knows only one descriptor. But if the
        # last one was closed, or the system has never heard of this one, it is another.
        owner = watch.socket
        closed = owner is not _unknown and number_of(owner()) != fileno and not watch.waiters()
        if watch.armed and (closed or not self._is_registered(watch)):
            for waiter in watch.waiters():
                self._end_wait(watch, waiter, _closed(watch, waiter))
            watch.armed, watch.suspect = 0, True
        watch.remember(sock)
        return watch

    def _recover(self, error: Exception) -> tuple[()]:
        """Go on after a poll that failed: without the descriptor that was closed."""
        before = len(self._watches)
        self._sweep()
        if isinstance(error, ValueError) and len(self._watches) == before and not self._ended:
            raise error  # none was closed: there are more, or higher ones, than select() can take
        self._renew()
        return ()

    def _is_registered(self, watch: Watch) -> bool:
        """Whether the number's descriptor is still the one that was registered."""
        try:
            self._set.modify(watch.fileno, watch.armed)
        except OSError:
            return False
        return True

    def _ask(self, watch: Watch, wanted: int) -> None:
        """Have the system report `wanted` of the descriptor that has the number now.

        If it cannot, the waits on it end: a plain file is always ready, the rest is an error.
        """
        fileno, armed = watch.fileno, watch.armed
        watch.armed = 0
        try:
            try:
                (self._set.modify if armed else self._set.register)(fileno, wanted)
            except FileExistsError:
                self._set.modify(fileno, wanted)
            except FileNotFoundError:
                # It is another descriptor. The old one is closed; but a copy of it may live on.
                watch.suspect = True
                self._set.register(fileno, wanted)
        except OSError as error:
            for fiber in watch.waiters():
                reason: Exception | None = error
                if error.errno == errno.EPERM:
                    reason = None  # so epoll calls a plain file: to read it never blocks
                elif error.errno == errno.EBADF:
                    reason = _closed(watch, fiber)
                self._end_wait(watch, fiber, reason)
        else:
            watch.armed = wanted

    def _forget(self, watch: Watch) -> None:
        """Have the system report no more of a number that no fiber waits on."""
        try:
            self._set.unregister(watch.fileno)
        except (OSError, KeyError):
            self._suspect_all()  # it was of a closed descriptor, of which a copy may live
        watch.armed = 0

    def _sort_out(self, watch: Watch, events: int, ready: list[Any]) -> None:
        """Wake the fibers that wait for `events`, and stop asking for what none waits for."""
        if watch.suspect:
            events = look(watch.fileno, events)
            if not events:
                self._suspect_all()  # they were of a closed descriptor, of which a copy lives
                return
        receiver, sender = watch.receiver, watch.sender
        if receiver is not None and events & (READABLE | TROUBLE):
            ready.append(receiver)
            watch.receiver = None
        if sender is not None and events & (WRITABLE | TROUBLE):
            ready.append(sender)
            watch.sender = None
        wanted = READABLE * (receiver is not None) | WRITABLE * (sender is not None)
        if not wanted:
            self._forget(watch)
        elif events & ~wanted & (READABLE | WRITABLE):
            self._ask(watch, wanted)

    def _hear(self, fileno: int) -> None:
        """Empty the pair that `wake` writes to; or be rid of a number that is not known."""
        assert self._pair is not None
        if fileno != self._pair[0].fileno():
            self._suspect_all()
            return
        with contextlib.suppress(BlockingIOError):
            while self._pair[0].recv(4096):
                pass

    # -- Closed sockets, and ghosts -------------------------------------------

    def _end_wait(self, watch: Watch, fiber: Any, error: Exception | None) -> None:
        """Have the next poll return `fiber`, with `error` for it to raise."""
        if watch.receiver is fiber:
            watch.receiver = None
        else:
            watch.sender = None
        fiber.pending = error
        self._ended.append(fiber)

    def _tell_closed(self, watch: Watch) -> None:
        """End the waits on objects that no longer have the number: they were closed."""
        for fiber in (watch.receiver, watch.sender):
            wait = None if fiber is None else fiber.wait
            if wait is not None and number_of(wait._sock) != watch.fileno:
                self._end_wait(watch, fiber, _closed(watch, fiber))

    def _suspect_all(self) -> None:
        """Have the set made anew at the end of this poll: there is a ghost in it."""
        self._haunted, self._next_sweep = True, 0.0

    def _sweep(self) -> None:
        """Look whether each socket waited on is still the one that was registered."""
        for fileno, watch in list(self._watches.items()):
            # The usual case is kept out of calls, since a sweep looks at every socket: one fiber
            # receives from the socket that is remembered, and which cannot lie about its number.
            sock, fiber = watch.socket(), watch.receiver
            if sock is not None and fiber is not None and watch.sender is None:
                usual = watch.armed and not watch.suspect and sock.fileno() == fileno
                same = fiber.wait is not None and fiber.wait._sock is sock
                if usual and same and self._is_registered(watch):
                    continue
            self._tell_closed(watch)
            if wanted := watch.wanted():
                self._ask(watch, watch.armed | wanted)
            elif number_of(watch.socket()) != fileno:
                if watch.armed:
                    self._forget(watch)
                del self._watches[fileno]
            self._haunted |= watch.suspect
        if self._haunted:
            self._renew()
        self._next_sweep = monotonic() + SWEEP

    def _renew(self) -> None:
        """Make the set anew, of what is waited for."""
        assert self._pair is not None
        self._set.close()
        self._set = make_set()
        self._set.register(self._pair[0].fileno(), READABLE)
        for watch in self._watches.values():
            watch.armed, watch.suspect = 0, False
            if wanted := watch.wanted():
                self._ask(watch, wanted)
        self._haunted = False


def _closed(watch: Watch, fiber: Any) -> SocketClosed:
    """Return what to raise in `fiber`; its `wait` is not yet set while it is being armed."""
    return SocketClosed.of(fiber, watch.fileno if fiber.wait is None else fiber.wait.sock)


def clock_and_poller(clock: Clock | None, poller: Poller | None) -> tuple[Clock, Poller]:
    """Return both, the system's for None.

    Raises TypeError for what is none, and ValueError unless both are real or both simulated:
    only its network moves a simulated clock, and no other.
    """
    clock = RealClock() if clock is None else clock
    poller = RealPoller() if poller is None else poller
    for name, given, verb in (("clock", clock, "now_ns"), ("poller", poller, "poll")):
        if not callable(getattr(given, verb, None)):
            raise TypeError(f"Scheduler({name}=) needs a {name} with {verb}(), got {given!r}")
    stands_still = isinstance(poller, RealPoller) and clock.name == "simulated"
    if stands_still or getattr(poller, "clock", clock) is not clock:
        raise ValueError(
            "only its own network moves a simulated clock: write "
            "Scheduler(clock=network.clock, poller=network)"
        )
    return clock, poller
