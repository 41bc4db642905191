"""One end of a simulated TCP connection: what a kernel keeps of a socket, without a kernel.

The rule kept here: everything happens at a moment, and the moment (integer nanoseconds) is an
argument. So what arrived while a fiber computed is put in order afterwards, each piece at its
own time.

    outbox --(window, bandwidth)--> link --(latency)--> inbox of the peer

- `outbox` is the send buffer. A byte leaves it when the peer's `inbox` has room for it and the
  link has carried it; a sender feels a slow reader or a slow link only when the outbox is full.
- With a bandwidth, segments of at most SEGMENT bytes leave one after the other, and a segment
  arrives when its last byte does. Without one, all bytes that may leave do so at once.
- The news that the reader has made room takes as long as the data does.
- Closing with unread data, or receiving data after closing, resets the connection (RFC 9293,
  section 3.6); data that arrived before a reset can still be read, as on Linux.

What this module does not know: sockets, clocks, schedulers. When an end may have become ready,
its fiber is noted in `Events.ready`; the network looks there and decides.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from .delivery import Action, Events, Link, os_error
from .trouble import Fate

Address = tuple[str, int]

SEGMENT = 1460
"""The most bytes that leave together on a link with a bandwidth, as on an Ethernet."""


@dataclass(slots=True, eq=False, repr=False)
class End:
    """One end of a connection; both of its buffers hold as many bytes as `_room` is at first.

    receiver, sender: the fibers that wait to receive and to send here, or None.
    open: whether a socket, or a listener's queue, still holds this end. connected: whether
    the peer has answered. broken: reset or refused. error: an errno not yet reported, or 0.
    fate: what befalls what it sends; None: nothing does.
    """

    _events: Events
    link: Link
    _room: int  # free bytes in the send buffer
    address: Address
    peer_address: Address
    peer: End | None = None
    receiver: Any = None
    sender: Any = None
    open: bool = True
    connected: bool = False
    broken: bool = False
    error: int = 0
    fate: Fate | None = None
    # Receiving
    _inbox: bytearray = field(default_factory=bytearray)
    _received: int = 0  # bytes since the beginning
    _read: int = 0
    _arrivals: list[tuple[int, int]] = field(default_factory=list)  # (received by then, moment)
    _ended_at: int | None = None  # when the end of the stream, or a reset, was there
    # Sending
    _outbox: bytearray = field(default_factory=bytearray)
    _window: int = 0  # bytes that may leave: the peer has room for them
    _ending: bool = False
    _end_sent: bool = False
    _leaving: bool = False  # whether a segment is on its way out
    _began: int = 0  # since when the link is busy, ...
    _left: int = 0  # with how many bytes, ...
    _free_at: int = 0  # and until when

    def __post_init__(self) -> None:
        self._window = self._room

    # -- What a socket asks ---------------------------------------------------

    @property
    def readable(self) -> bool:
        """Whether receiving would not block."""
        return bool(self._inbox) or self._ended_at is not None

    @property
    def writable(self) -> bool:
        """Whether sending would not block."""
        return self.broken or (self.connected and (self._room > 0 or self._ending))

    @property
    def arrived_ns(self) -> int | None:
        """When the oldest unread byte arrived; if all is read, when the stream ended."""
        return self._arrivals[0][1] if self._arrivals else self._ended_at

    def take(self, now: int, size_bytes: int, *, peek: bool = False) -> bytes:
        """Return up to `size_bytes` that have arrived, b"" at the end of the stream."""
        if not self._inbox:
            return self._nothing()
        data = bytes(self._inbox[:size_bytes])
        if not peek:
            del self._inbox[: len(data)]
            self._read += len(data)
            del self._arrivals[: bisect_right(self._arrivals, (self._read, now))]
            if self.peer is not None:
                self._travel(now, self.peer.on_room, len(data))
        return data

    def offer(self, now: int, data: memoryview) -> int:
        """Take as much of `data` as the send buffer has room for; return how many bytes."""
        if self.broken or self._ending:
            raise self._pending_error() if self.error else os_error(errno.EPIPE)
        if not data:
            return 0
        if not self._room or not self.connected:
            raise os_error(errno.EAGAIN)
        size = min(len(data), self._room)
        self._outbox += data[:size]
        self._room -= size
        self._pump(now)
        return size

    def finish(self, now: int) -> None:
        """Send no more; the peer reads the end of the stream after what was sent."""
        self._ending = True
        self._events.notify(self.sender)
        self._pump(now)

    def deafen(self, now: int) -> None:
        """Receive only what has arrived already (SHUT_RD): then the stream ends."""
        if self._ended_at is None:
            self._ended_at = now
        self._events.notify(self.receiver)

    def close(self, now: int) -> None:
        """Let go of this end, as the last close of a socket does."""
        self.open = False
        self._events.notify(self.receiver)
        self._events.notify(self.sender)
        if self._inbox:
            self.abort(now)
        else:
            self.finish(now)

    def abort(self, now: int) -> None:
        """Let go of this end with a reset: what has not left is lost, the peer gets an error."""
        self.open = False
        self._events.notify(self.receiver)
        self._events.notify(self.sender)
        self._inbox.clear()
        if not self.broken:
            self._break(now)
            if self.peer is not None:
                self._travel(now, self.peer.on_reset, errno.ECONNRESET)

    def answer(self, now: int, server: End | None) -> None:
        """Send back the answer to a connect: accepted by `server`, or refused (None)."""
        if server is None:
            self._travel(now, self.on_reset, errno.ECONNREFUSED)
            return
        pair(self, server)
        self._travel(now, self.on_connected, None)

    def take_error(self) -> int:
        """Return the errno not yet reported, 0 if there is none, and forget it."""
        error, self.error = self.error, 0
        return error

    # -- What happens to it ---------------------------------------------------

    def on_data(self, moment: int, data: bytes) -> None:
        """Receive `data`; if this end is closed already, reset the connection."""
        if not self.open:
            self.abort(moment)
            return
        if self.broken:
            return  # it was on its way when the connection broke
        self._inbox += data
        self._received += len(data)
        if self._arrivals and self._arrivals[-1][1] == moment:
            self._arrivals.pop()
        self._arrivals.append((self._received, moment))
        self._events.notify(self.receiver)

    def on_end(self, moment: int, _: None) -> None:
        """Learn that the peer sends no more."""
        self.deafen(moment)

    def on_reset(self, moment: int, error: int) -> None:
        """Learn that the connection is broken; `error` is the errno that a socket will report."""
        if not self.broken:
            # If the peer had ended its stream before, there is no more to read, but what was
            # sent meanwhile is lost (on Linux the next send fails with EPIPE).
            self.error = error if self._ended_at is None else errno.EPIPE
            self._break(moment)
            self._events.notify(self.receiver)
            self._events.notify(self.sender)

    def on_room(self, moment: int, size_bytes: int) -> None:
        """Learn that the peer's reader has made room for so many bytes."""
        self._window += size_bytes
        self._pump(moment)

    def on_connected(self, moment: int, _: None) -> None:
        """Learn that the peer has taken the connection."""
        if self.broken:
            return
        self.connected = True
        self._events.notify(self.sender)
        self._pump(moment)

    def on_departed(self, moment: int, segment: bytes) -> None:
        """Learn that the link has carried `segment` off, and let the next one leave."""
        self._leaving = False
        if not self.broken:
            self._depart(moment, segment)
            self._pump(moment)

    # -- Inside ---------------------------------------------------------------

    def _nothing(self) -> bytes:
        """Return b"" at the end of the stream, else raise: there is nothing to receive."""
        if self._ended_at is None:
            raise os_error(errno.EAGAIN)
        if self.error and self.error != errno.EPIPE:
            raise self._pending_error()
        return b""

    def _pending_error(self) -> OSError:
        error = self.take_error()
        if error == errno.ECONNREFUSED:
            return os_error(error, f": nothing listens at {self.peer_address}")
        return os_error(error)

    def _travel(self, now: int, action: Action, argument: Any) -> None:
        """Call `action` at the peer, after the latency and whatever befalls it."""
        if self.fate is not None:
            moment, arrives = self.fate.arrival(now, self.link.latency)
            if arrives:
                self._events.schedule(moment, action, argument)
            else:
                self._events.schedule(moment, self.on_reset, errno.ETIMEDOUT)
        elif self.link.latency:
            self._events.schedule(now + self.link.latency, action, argument)
        else:
            action(now, argument)

    def _break(self, moment: int) -> None:
        self.broken = True
        self._outbox.clear()
        if self._ended_at is None:
            self._ended_at = moment

    def _pump(self, now: int) -> None:
        """Send what fits in the peer's inbox, then the end of the stream."""
        if self.broken or self.peer is None:
            return
        slow = self.link.bandwidth is not None
        while self._outbox and self._window and not self._leaving:
            size = min(self._window, SEGMENT) if slow else self._window
            segment = bytes(self._outbox[:size])
            del self._outbox[: len(segment)]
            self._window -= len(segment)
            if slow:
                self._start_leaving(now, segment)
            else:
                self._depart(now, segment)
        if self._ending and not (self._outbox or self._leaving or self._end_sent):
            self._end_sent = True
            self._travel(now, self.peer.on_end, None)

    def _start_leaving(self, now: int, segment: bytes) -> None:
        if now > self._free_at:
            self._began, self._left = now, 0
        # Counted from when the link became busy, so that rounding does not add up.
        self._left += len(segment)
        self._free_at = self._began + self.link.time_for(self._left)
        self._leaving = True
        self._events.schedule(self._free_at, self.on_departed, segment)

    def _depart(self, now: int, segment: bytes) -> None:
        assert self.peer is not None
        self._room += len(segment)
        self._events.notify(self.sender)
        if self.fate is not None and self.fate.breaks():
            self.on_reset(now, errno.ECONNRESET)
            self.peer.on_reset(now, errno.ECONNRESET)
            return
        self._travel(now, self.peer.on_data, segment)


class Listener:
    """Where connections arrive: an unbounded queue of ends that wait to be accepted."""

    __slots__ = ("_events", "_queue", "address", "open", "receiver", "sender")

    def __init__(self, events: Events, address: Address) -> None:
        self._events = events
        self.address = address
        self.receiver: Any = None
        self.sender: Any = None
        self.open = True
        self._queue: deque[tuple[int, End]] = deque()

    @property
    def readable(self) -> bool:
        """Whether accepting would not block."""
        return bool(self._queue)

    @property
    def writable(self) -> bool:
        """False: a listener sends nothing."""
        return False

    @property
    def arrived_ns(self) -> int | None:
        """When the oldest connection in the queue arrived; None if the queue is empty."""
        return self._queue[0][0] if self._queue else None

    def add(self, moment: int, end: End) -> None:
        """Queue the server's `end` of a connection."""
        self._queue.append((moment, end))
        self._events.notify(self.receiver)

    def take(self) -> End:
        """Take out and return the oldest end in the queue."""
        if not self._queue:
            raise os_error(errno.EAGAIN)
        return self._queue.popleft()[1]

    def close(self, now: int) -> None:
        """Stop listening, and reset the connections in the queue, as Linux does."""
        self.open = False
        self._events.notify(self.receiver)
        self._events.notify(self.sender)
        while self._queue:
            self._queue.popleft()[1].abort(now)


def pair(client: End, server: End) -> None:
    """Make two ends know each other; the server's is connected from now on."""
    client.peer, server.peer = server, client
    server.connected = True
