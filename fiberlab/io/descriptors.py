"""What the system can be asked about descriptors: epoll, or the same four methods elsewhere.

The rule kept here: whatever the system has, a set of descriptors is asked by register, modify,
unregister and poll, as epoll is; and one descriptor by `poll(0)`, as select.poll is. So the
poller is one piece of code on every system.

What this module does not know: sockets, fibers and their waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import selectors
import stat
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
        return _Probe(fileno, events)
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


def look(fileno: int, events: int) -> int:
    """Return which of `events`, and what TROUBLE, are true of one descriptor now; 0 for none.

    It asks about the number alone, so what was registered before has no say.
    """
    for _, found in make_probe(fileno, events & ~TROUBLE).poll(0):
        return int(found) & (READABLE | WRITABLE | TROUBLE)
    return 0


class _Selector:
    """The four methods of epoll that are used here, over `selectors` (kqueue, poll, select)."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.close = self._selector.close
        self.unregister = self._selector.unregister

    def register(self, fileno: int, wanted: int) -> None:
        # Taken out first: where a closed descriptor leaves in silence (kqueue), its number stays.
        with contextlib.suppress(KeyError):
            self.unregister(fileno)
        if os.name == "posix":  # elsewhere a socket's number is no file's number
            mode = os.fstat(fileno).st_mode  # as epoll: an error for a number that is not open
            if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
                # As epoll, and not as kqueue, for which a file is not readable at its end.
                raise PermissionError(errno.EPERM, "a plain file is always ready")
        self._selector.register(fileno, self._mask(wanted))

    modify = register

    def poll(self, seconds: float, _most: int = -1) -> list[tuple[int, int]]:
        return [
            (key.fd, READABLE * bool(mask & 1) | WRITABLE * bool(mask & 2))
            for key, mask in self._selector.select(seconds)
        ]

    @staticmethod
    def _mask(wanted: int) -> int:
        return bool(wanted & READABLE) * 1 | bool(wanted & WRITABLE) * 2


class _Probe:
    """A select.poll of one descriptor, over select(), where there is no poll()."""

    def __init__(self, fileno: int, events: int) -> None:
        self._fileno = fileno
        self._events = events

    def poll(self, _timeout: int) -> list[tuple[int, int]]:
        asked = (self._fileno,)
        receiving = asked if self._events & READABLE else ()
        sending = asked if self._events & WRITABLE else ()
        try:
            # Windows reports a connection that failed as an exception, not as writable.
            readable, writable, failed = select.select(receiving, sending, sending, 0)
        except (OSError, ValueError):
            return []  # closed, or too high for select(): registering it says so
        found = READABLE * bool(readable) | WRITABLE * bool(writable or failed)
        return [(self._fileno, found)] if found else []
