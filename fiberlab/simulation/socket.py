"""Non-blocking TCP sockets in simulated time; made by a SimulatedNetwork.

The rule kept here: what would block raises BlockingIOError, and each error is the one that a
real socket gives on Linux. Before anything else a socket has the network deliver what arrived
while a fiber computed, as a kernel would have.

What this module does not know: how bytes travel (connection), and which fibers wait (network).
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Protocol

from .connection import Address, End, Listener
from .delivery import os_error

# Plain integers: the flags of `socket` are enums, whose operators are slow.
_PEEK = int(socket.MSG_PEEK)
_DONTWAIT = int(getattr(socket, "MSG_DONTWAIT", 0))  # Windows has no such flag
_SEND_FLAGS = _DONTWAIT | int(getattr(socket, "MSG_NOSIGNAL", 0))

_WITHOUT_EFFECT = {
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.SOL_SOCKET, getattr(socket, "SO_REUSEADDR", None)),  # what Pyodide has not
}


class Network(Protocol):
    """What a socket needs of its network."""

    def catch_up(self) -> int:
        """Deliver what is due and return the time, in ns."""
        ...

    def socket_of(self, end: End | Listener) -> SimulatedSocket:
        """Return a socket for an end that has none yet."""
        ...

    def release(self, fileno: int, *, reset: bool = False) -> None:
        """Close the end of the socket with this number."""
        ...

    def drop(self, fileno: int) -> None:
        """Close the end of a socket that Python has collected, at the next chance."""
        ...


class SimulatedSocket:
    """A non-blocking TCP socket of a SimulatedNetwork; made by it, not by hand.

    What would block raises BlockingIOError, and errors are those of real sockets. One that is
    dropped is closed when Python collects it. `network`: the one it belongs to.
    """

    __slots__ = ("__weakref__", "_end", "_fileno", "network")

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = 0

    def __init__(self, network: Network, end: End | Listener, fileno: int) -> None:
        self.network = network
        self._end = end
        self._fileno = fileno

    def fileno(self) -> int:
        """Return its number, which no real descriptor can have; -1 once it is closed."""
        return self._fileno

    @property
    def arrived_ns(self) -> int | None:
        """Since when there is something to receive or accept, by the network's clock, in ns.

        This is when the oldest unread byte arrived, polled or not. If all is read, it is when
        the stream ended or was reset. None if there is nothing.
        """
        self.network.catch_up()
        return self._end.arrived_ns if self._fileno >= 0 else None

    # -- Receiving and sending ------------------------------------------------

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Return up to `size` bytes, b"" at the end of the stream; MSG_PEEK leaves them there."""
        if size < 0:
            raise ValueError(f"recv(size) is a number of bytes >= 0, got {size!r}")
        if flags & ~(_PEEK | _DONTWAIT):
            raise os_error(errno.EOPNOTSUPP, ": of the flags, MSG_PEEK alone is simulated")
        end, now = self._connection()
        return end.take(now, size, peek=bool(flags & _PEEK)) if size else b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into `buffer`, `nbytes` at most (0: what it holds); return how many came."""
        with memoryview(buffer) as view, view.cast("B") as room:
            if view.readonly:
                raise TypeError(f"recv_into() needs a buffer to write to, got {buffer!r}")
            data = self.recv(min(nbytes, len(room)) or len(room), flags)
            room[: len(data)] = data
        return len(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Take as much of `data` as the send buffer has room for; return how many bytes."""
        if flags & ~_SEND_FLAGS:
            raise os_error(errno.EOPNOTSUPP, ": send flags are not simulated")
        end, now = self._connection()
        with memoryview(data) as view, view.cast("B") as octets:
            return end.offer(now, octets)

    def sendmsg(self, buffers: Any) -> int:
        """Send from several buffers, one after the other; see `send`."""
        return self.send(b"".join(buffers))

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Refuse: it would block the scheduler, or lose count of what was sent."""
        raise RuntimeError(
            "sendall() would block every fiber; write `yield from send_all(sock, data)`, "
            "or yield SEND(sock) and send()"
        )

    def listen(self, backlog: int = 0) -> None:
        """Accept it from a socket that listens already: its queue has no bound."""
        self._alive()
        if not isinstance(self._end, Listener):
            raise os_error(errno.EINVAL, ": network.listen(address) makes a socket that listens")

    def accept(self) -> tuple[SimulatedSocket, Address]:
        """Return a socket for the oldest waiting connection, and the client's address."""
        self._alive()
        if not isinstance(self._end, Listener):
            raise os_error(errno.EINVAL, ": accept() needs a socket that listens")
        end = self._end.take()
        return self.network.socket_of(end), end.peer_address

    # -- Ending ---------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        """End one direction or both: SHUT_WR, SHUT_RD, SHUT_RDWR."""
        end, now = self._connection()
        if not end.connected or end.broken:
            raise os_error(errno.ENOTCONN)
        if how not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise os_error(errno.EINVAL)
        if how != socket.SHUT_WR:
            end.deafen(now)
        if how != socket.SHUT_RD:
            end.finish(now)

    def close(self) -> None:
        """Close it; what was sent still arrives. A fiber that waits on it gets SocketClosed."""
        fileno, self._fileno = self._fileno, -1
        if fileno >= 0:
            self.network.release(fileno)

    def reset(self) -> None:
        """Close it and reset the connection: what has not left is lost (SO_LINGER with 0)."""
        self._connection()
        fileno, self._fileno = self._fileno, -1
        self.network.release(fileno, reset=True)

    def __del__(self) -> None:
        # In a cycle of garbage another object's __del__ may close this socket afterwards.
        fileno, self._fileno = self._fileno, -1
        if fileno >= 0:
            self.network.drop(fileno)

    def __enter__(self) -> SimulatedSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- Names and options ----------------------------------------------------

    def getsockname(self) -> Address:
        """Return its own (host, port)."""
        self._alive()
        return self._end.address

    def getpeername(self) -> Address:
        """Return the other end's (host, port); OSError (ENOTCONN) if there is none."""
        end, _ = self._connection()
        if not end.connected or end.broken:
            raise os_error(errno.ENOTCONN)
        return end.peer_address

    def getsockopt(self, level: int, option: int) -> int:
        """Return, and forget, the pending error for SOL_SOCKET and SO_ERROR; no other option."""
        self._alive()
        if (level, option) != (socket.SOL_SOCKET, socket.SO_ERROR):
            raise os_error(errno.ENOPROTOOPT, ": of the options, SO_ERROR alone is simulated")
        return self._end.take_error() if isinstance(self._end, End) else 0

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Accept what would change nothing here: TCP_NODELAY, SO_KEEPALIVE and SO_REUSEADDR."""
        self._alive()
        if (level, option) not in _WITHOUT_EFFECT:
            raise os_error(errno.ENOPROTOOPT, ": this option is not simulated")

    def setblocking(self, flag: bool) -> None:
        """Accept False, its only mode; raise ValueError for True, which would stop the clock."""
        if flag:
            raise ValueError("a simulated socket cannot block: it would stop the clock for ever")

    def settimeout(self, seconds: float | None) -> None:
        """Accept 0, its only timeout; refuse anything else, as `setblocking` does."""
        self.setblocking(seconds != 0)

    def getblocking(self) -> bool:
        """Return False."""
        return False

    def gettimeout(self) -> float:
        """Return 0: it never blocks."""
        return 0.0

    def __repr__(self) -> str:
        if self._fileno < 0:
            return "<SimulatedSocket closed>"
        end = self._end
        what = f"listens at {end.address}" if isinstance(end, Listener) else (
            f"{end.address} to {end.peer_address}"
        )  # fmt: skip
        return f"<SimulatedSocket {self._fileno}: {what}>"

    def _alive(self) -> int:
        """Deliver what is due and return the time; OSError (EBADF) once it is closed."""
        if self._fileno < 0:
            raise os_error(errno.EBADF)
        return self.network.catch_up()

    def _connection(self) -> tuple[End, int]:
        now = self._alive()
        if isinstance(self._end, Listener):
            raise os_error(errno.ENOTCONN)
        return self._end, now
