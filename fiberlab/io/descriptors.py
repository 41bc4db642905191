"""What the system can be asked about descriptors: epoll, or the same four methods elsewhere.

The rule kept here: whatever the system has, a set of descriptors is asked by register, modify,
unregister and poll, as epoll is; and one descriptor by `poll(0)`, as select.poll is. So the
poller is one piece of code on every system.

What this module does not know: sockets, fibers, and who waits.
"""

from __future__ import annotations

import os
import select
import selectors
from typing import Any

READABLE, WRITABLE = 1, 4  # as EPOLLIN and EPOLLOUT have it
TROUBLE = 8 | 16  # EPOLLERR and EPOLLHUP: reported asked or not, and they end every wait

HIGHEST = 2**31 - 1  # the system keeps a descriptor's number in a C int

DAY = 86400.0  # seconds; epoll takes no more than 24 of them


def make_set() -> Any:
    """Return a set of descriptors to be watched together: epoll where there is one."""
    return select.epoll() if hasattr(select, "epoll") else _Selector()


def make_probe(fileno: int, events: int = WRITABLE) -> Any:
    """Return what tells, by ``poll(0)``, which of `events` are true of one descriptor now."""
    if not hasattr(select, "poll"):
        return _Probe(fileno)
    probe = select.poll()
    probe.register(fileno, events)
    return probe


def number_of(sock: Any) -> int:
    """Return the descriptor's number of `sock`, -1 if it is closed; never raises."""
    try:
        number: int = sock.fileno()
    except Exception:
        return -1  # a file object that is closed raises ValueError
    return number


def exists(fileno: int) -> bool:
    """Return whether the process has a descriptor of this number; True where it cannot tell."""
    if os.name != "posix":
        return True  # a socket's number is no file's number there
    try:
        os.get_inheritable(fileno)  # the cheapest question: a sweep asks it of every socket
    except OSError:
        return False
    return True


class _Selector:
    """The four methods of epoll that are used here, over `selectors` (kqueue, poll, select)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.close = self._selector.close
        self.unregister = self._selector.unregister

    def register(self, fileno: int, wanted: int) -> None:
        self._selector.register(fileno, self._mask(wanted))

    def modify(self, fileno: int, wanted: int) -> None:
        self._selector.modify(fileno, self._mask(wanted))

    def poll(self, seconds: float, _most: int = -1) -> list[tuple[int, int]]:
        return [
            (key.fd, READABLE * bool(mask & 1) | WRITABLE * bool(mask & 2))
            for key, mask in self._selector.select(seconds)
        ]

    @staticmethod
    def _mask(wanted: int) -> int:
        return bool(wanted & READABLE) * 1 | bool(wanted & WRITABLE) * 2


class _Probe:
    """A select.poll of one descriptor for sending, over select(), where there is no poll()."""

    def __init__(self, fileno: int) -> None:
        self._fileno = fileno

    def poll(self, _timeout: int) -> list[int]:
        asked = (self._fileno,)
        try:
            # Windows reports a connection that failed as an exception, not as writable.
            _, writable, failed = select.select((), asked, asked, 0)
        except ValueError:  # a number too high for select(): the next pass tells
            return []
        return writable or failed
