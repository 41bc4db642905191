"""What the tests of the lab share: handlers, and a look at what is left behind."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from fiberlab import RECV, SEND


def echo(sock, address):
    """Send back what comes."""
    yield RECV(sock)
    while data := sock.recv(1024):
        yield SEND(sock)
        sock.send(data)
        yield RECV(sock)


def failing(sock, address):
    """Fail once something has come."""
    yield RECV(sock)
    sock.recv(1024)
    raise ValueError("no such word")


def silent(sock, address):
    """Never answer."""
    while True:
        yield RECV(sock)
        if not sock.recv(1024):
            return


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@contextlib.contextmanager
def nothing_left(but: threading.Thread | None = None) -> Iterator[None]:
    """Demand that no thread and no descriptor is there afterwards that was not before.

    but: a thread that may end meanwhile.
    """
    threads, descriptors = threading.enumerate(), _descriptors()
    try:
        yield
    finally:
        if but is not None:
            but.join()
        assert threading.enumerate() == [each for each in threads if each is not but]
        assert _descriptors() == descriptors
