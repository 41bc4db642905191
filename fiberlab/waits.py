"""The three things a fiber may yield: RECV, SEND and WAIT, as plain values.

| a fiber yields      | it is resumed                                                      |
| ------------------- | ------------------------------------------------------------------ |
| ``RECV(sock)``      | when receiving on `sock`, or accepting from it, will not block     |
| ``SEND(sock)``      | when sending on `sock` will not block                              |
| ``WAIT(seconds)``   | that many seconds later                                            |
| ``WAIT(0)``         | in the next pass: every other ready fiber runs, the sockets are    |
|                     | polled, then it goes on                                            |
| ``WAIT(None)``      | as soon as another fiber has been resumed, behind those that are   |
|                     | ready by then; not by one that was woken so itself and parks again |
|                     | (it only looked); ``WAIT()`` is the same                           |

The rule kept here: a wait is data. It is checked where it is written, never changes, compares
by value, and may be made once and yielded as often as you like. In an ``async def`` it is
awaited instead (see ``as_fiber``): that yields it too.

The scheduler reads the slots (`_sock`, `_seconds`, ...) and not the properties: a property costs
a call at each yield.

What this module does not know: clocks, pollers and schedulers. A wait only says what is wanted.
"""

from __future__ import annotations

import math
import numbers
import socket as _socket
from collections.abc import Generator
from typing import Any, Protocol, TypeAlias

_SYSTEM_SOCKET = _socket.socket


class Socket(Protocol):
    """What RECV and SEND need of a socket: its number."""

    def fileno(self) -> int:
        """Return the descriptor's number, or -1 once it is closed."""
        ...


class _OnSocket:
    """A wait for one direction of one socket: what RECV and SEND have in common."""

    __slots__ = ("_sock", "_timeout")

    def __init__(self, sock: Socket, timeout: float | None = None) -> None:
        # One comparison in the common case: a wait is built at nearly every yield.
        if sock.__class__ is not _SYSTEM_SOCKET or timeout is not None:
            timeout = _check_socket(type(self).__name__, sock, timeout)
        self._sock = sock
        self._timeout = timeout

    @property
    def sock(self) -> Socket:
        """The socket waited for."""
        return self._sock

    @property
    def timeout(self) -> float | None:
        """Seconds until FiberTimeout; None: the scheduler's own; math.inf: never."""
        return self._timeout

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._sock == other._sock and self._timeout == other._timeout

    def __hash__(self) -> int:
        return hash((type(self), self._sock, self._timeout))

    def __await__(self) -> Generator[Any, None, None]:
        return iter((self,))  # type: ignore[return-value]

    def __repr__(self) -> str:
        timeout = "" if self._timeout is None else f", timeout={self._timeout!r}"
        return f"{type(self).__name__}({self._sock!r}{timeout})"


class RECV(_OnSocket):
    """Wait until receiving on `sock` (or accepting from it) will not block.

    sock: any object with ``fileno()``.
    timeout: seconds until FiberTimeout is thrown at the yield; None leaves it to the
    scheduler, math.inf means never, 0 times out unless the socket is ready already.
    Raises TypeError or ValueError at once if an argument makes no sense.
    """

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        _refuse_subclass("RECV")


class SEND(_OnSocket):
    """Wait until sending on `sock` will not block; arguments and errors as for RECV."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        _refuse_subclass("SEND")


class WAIT:
    """Wait for time to pass, or for another fiber to run.

    seconds: a number > 0, to sleep that long; 0, to let every other ready fiber run once;
    None, to be woken as soon as another fiber has been resumed.
    Raises TypeError for anything but a number, and ValueError for a number that is
    negative, infinite or nan: a fiber that waits for ever could never be woken.
    """

    __slots__ = ("_seconds",)

    def __init__(self, seconds: float | None = None) -> None:
        # A comparison or two in the common cases, as above: None, 0, a float.
        if (
            seconds is not None
            and (seconds.__class__ is not int or seconds)
            and (seconds.__class__ is not float or not 0 <= seconds < math.inf)
        ):
            seconds = plain_seconds("WAIT(seconds)", seconds)
            if seconds == math.inf:
                raise ValueError(f"WAIT(seconds) must end some day, got {seconds!r}")
        self._seconds = seconds

    def __init_subclass__(cls) -> None:
        _refuse_subclass("WAIT")

    @property
    def seconds(self) -> float | None:
        """How long to sleep; 0: until the next pass; None: until another fiber has run."""
        return self._seconds

    def __eq__(self, other: object) -> bool:
        return self._seconds == other._seconds if type(other) is WAIT else NotImplemented

    def __hash__(self) -> int:
        return hash((WAIT, self._seconds))

    def __await__(self) -> Generator[Any, None, None]:
        return iter((self,))  # type: ignore[return-value]

    def __repr__(self) -> str:
        return f"WAIT({self._seconds!r})"


Wait: TypeAlias = RECV | SEND | WAIT
"""What a fiber may yield."""


def _refuse_subclass(name: str) -> None:
    # The scheduler compares classes: it would refuse an object of a subclass at the yield.
    raise TypeError(f"{name} cannot be subclassed: write a generator, and yield from it")


def _check_socket(name: str, sock: Any, timeout: Any) -> float | None:
    if not callable(getattr(sock, "fileno", None)) or isinstance(sock, type):
        raise TypeError(f"{name}(sock) needs a socket, an object with fileno(), got {sock!r}")
    return None if timeout is None else plain_seconds(f"{name}(timeout=)", timeout)


def plain_seconds(name: str, seconds: Any) -> float:
    """Return a length of time as an int or a float; raise what `check_seconds` raises."""
    check_seconds(name, seconds)
    # Other kinds of numbers, such as numpy's, could fail later, in the middle of a pass.
    return seconds if seconds.__class__ in (int, float) else float(seconds)


def check_seconds(name: str, seconds: Any) -> None:
    """Raise TypeError or ValueError unless `seconds` is a length of time or None.

    name: what the message calls it.
    """
    if seconds is None:
        return
    if isinstance(seconds, bool) or not isinstance(seconds, numbers.Real):
        raise TypeError(f"{name} needs a number of seconds or None, got {seconds!r}")
    try:
        valid = float(seconds) >= 0  # False for nan
    except OverflowError:
        raise ValueError(f"{name} is longer than a float can hold; use math.inf") from None
    if not valid:
        raise ValueError(f"{name} cannot be negative or nan, got {seconds!r}")
