"""The loop of an old scheduler, rebuilt from its documentation, with three faults of the original.

It is here to be looked at, not to be used.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from ....fiber import FiberGenerator, Handler
from ....waits import RECV, SEND, Wait


class OldLoop:
    """Serves `handler` to the clients of `listener`."""

    def __init__(self, listener: socket.socket, handler: Handler) -> None:
        self.listener, self.handler = listener, handler
        self.receivers: dict[int, FiberGenerator] = {}  # by the descriptor's number
        self.senders: dict[int, FiberGenerator] = {}
        self.sleepers: dict[FiberGenerator, float] = {}  # and when to wake them
        self.untimed: list[FiberGenerator] = []  # they wait for another fiber to run
        self.progress = False  # whether one did, in the last pass

    def run(self, done: Callable[[], bool]) -> None:
        while not done():
            due = self.poll()
            if due or self.progress:
                woken, self.untimed = self.untimed, []
            else:
                woken = []
            self.progress = bool(due)  # if those woken counted, they would spin for ever
            for fiber in due + woken:
                wait = next(fiber, None)
                if wait is not None:
                    self.park(fiber, wait)

    def park(self, fiber: FiberGenerator, wait: Wait) -> None:
        if isinstance(wait, RECV):
            self.receivers[wait.sock.fileno()] = fiber
        elif isinstance(wait, SEND):
            self.senders[wait.sock.fileno()] = fiber
        elif wait.seconds:
            self.sleepers[fiber] = time.monotonic() + wait.seconds
        else:
            self.untimed.append(fiber)

    def poll(self) -> list[FiberGenerator]:
        timeout = 0.0 if self.progress and self.untimed else None
        if self.sleepers and timeout is None:
            timeout = max(0.0, min(self.sleepers.values()) - time.monotonic())
        sources = [self.listener.fileno(), *self.receivers]
        readable, writable, _ = select.select(sources, self.senders, [], timeout)
        due = [fiber for fiber, end in self.sleepers.items() if end <= time.monotonic()]
        for fiber in due:
            del self.sleepers[fiber]
        due += [self.receivers.pop(number) for number in readable if number in self.receivers]
        due += [self.senders.pop(number) for number in writable]
        if self.listener.fileno() in readable:
            due.append(self.handler(*self.listener.accept()))
        return due
