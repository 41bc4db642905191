"""A hub: the scheduler of greenlets, for lesson 14.

A greenlet is a function that can be left in the middle, also from inside a call, and gone on with
later. One that must wait says so to the hub and switches to it; the hub polls, and switches to
those that can go on. The greenlet's own source shows none of this.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable
from typing import Any

import greenlet

from ....elsewhere.notes import Notes
from ....trace.trace import Trace


class Hub:
    """Runs greenlets until none is left, and records in `trace` what they do."""

    def __init__(self, trace: Trace | None = None) -> None:
        self.notes = Notes(Trace(stall_after=None) if trace is None else trace, "greenlets")
        self._ready: deque[Any] = deque()
        self._alive = 0
        self._here = greenlet.getcurrent()
        self._selector = selectors.DefaultSelector()

    # -- What greenlets call --------------------------------------------------

    def recv(self, sock: Any, size: int = 1024) -> bytes:
        """Wait until there is data, and receive it."""
        self.wait(sock, selectors.EVENT_READ)
        data: bytes = sock.recv(size)
        return data

    def send_all(self, sock: Any, data: bytes) -> None:
        """Send all, waiting for room as often as it takes."""
        while data:
            self.wait(sock, selectors.EVENT_WRITE)
            data = data[sock.send(data) :]

    def wait(self, sock: Any, event: int) -> None:
        """Switch to the hub until `sock` is readable or writable."""
        me = greenlet.getcurrent()
        self._selector.register(sock, event, me)
        self.notes.wait(me, "RECV" if event == selectors.EVENT_READ else "SEND")
        self._here.switch()  # here it is left, and here it goes on
        self._selector.unregister(sock)

    def pause(self) -> None:
        """Switch to the hub, and go on after the others have had a turn."""
        me = greenlet.getcurrent()
        self.notes.wait(me, "WAIT", 0)
        self._ready.append(me)
        self._here.switch()

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        """Add a greenlet that calls ``function(*args)``."""

        def whole() -> None:
            function(*args)
            self._alive -= 1
            self.notes.end(me, "return")

        me = greenlet.greenlet(whole, self._here)
        self.notes.spawn(me, function.__name__)
        self._ready.append(me)
        self._alive += 1

    # -- The loop -------------------------------------------------------------

    def run(self) -> None:
        """Run until no greenlet is left, or one raises."""
        try:
            while self._alive:
                for _ in range(len(self._ready)):
                    each = self._ready.popleft()
                    self.notes.resume(each)
                    each.switch()
                self._poll()
        finally:
            self._selector.close()
            self.notes.stop()

    def _poll(self) -> None:
        if not self._selector.get_map():
            return
        timeout = 0 if self._ready else None
        self.notes.poll(timeout)
        found = self._selector.select(timeout)
        self.notes.polled(len(found))
        for key, _ in found:
            # Forgotten until it has run, or the same socket would be found again.
            self.notes.wake(key.data, "io")
            self._ready.append(key.data)
