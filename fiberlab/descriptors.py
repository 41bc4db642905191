"""What the system can be asked about descriptors: epoll, or the same four methods elsewhere.

The rule kept here: whatever the system has, a set of descriptors is asked by register, modify,
unregister and poll, as epoll is, and about one descriptor by `is_true`. So the poller is one
piece of code on every system.

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


def make_look() -> Any:
    """Return what `is_true` asks by: one for all descriptors, which holds none of them."""
    return select.poll() if hasattr(select, "poll") else _Look()


def is_true(look: Any, fileno: int, events: int) -> bool:
    """Return whether one of `events`, or TROUBLE, is true of a descriptor now."""
    look.register(fileno, events)
    try:
        return bool(look.poll(0))
    finally:
        look.unregister(fileno)


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

    def poll(self, seconds: float) -> list[tuple[int, int]]:
        return [
            (key.fd, READABLE * bool(mask & 1) | WRITABLE * bool(mask & 2))
            for key, mask in self._selector.select(seconds)
        ]

    @staticmethod
    def _mask(wanted: int) -> int:
        return bool(wanted & READABLE) * 1 | bool(wanted & WRITABLE) * 2


class _Look:
    """A select.poll of one descriptor, over select(), where there is no poll()."""

    def __init__(self) -> None:
        self._asked: dict[int, int] = {}
        self.register = self._asked.__setitem__
        self.unregister = self._asked.__delitem__

    def poll(self, _timeout: int) -> list[int]:
        reading = [fileno for fileno, events in self._asked.items() if events & READABLE]
        writing = [fileno for fileno, events in self._asked.items() if events & WRITABLE]
        try:
            # Windows reports a connection that failed as an exception, not as writable.
            readable, writable, failed = select.select(reading, writing, writing, 0)
        except ValueError:  # a number too high for select(): the next pass tells
            return []
        return [*readable, *writable, *failed]
