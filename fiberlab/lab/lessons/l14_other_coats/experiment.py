"""The experiments of lesson 14: clients that talk to any server, and two that count the same up.

`converse` runs a server in a thread of its own, since asyncio refuses to run where another loop
runs already, as it does in a notebook's cell.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from typing import Any

from ....scheduler import Scheduler
from ....waits import WAIT, Wait
from ...clients import Recording
from ...crowd import Client, Crowd, plans_of
from ...shared.own_thread import in_own_thread
from .greenlet_hub import Hub
from .servers import Server

LATE = 0.25
"""Seconds from which a request counts as late: far from both the nap and the usual latency."""


# -- Clients and a server -----------------------------------------------------


def converse(
    server: Server,
    clients: Sequence[Client],
    requests: int = 3,
    rate: float | None = None,
    deadline: float = 10.0,
) -> Recording:
    """Let clients talk to a server until all have left; return the recording.

    clients, requests, rate, deadline: as for `record`. Raises what ended the server, if
    something did, and RuntimeError for a client that failed.
    """
    trace = Recording(stall_after=None, cpu=False)
    failed: list[BaseException] = []

    def serve() -> None:
        try:
            server(listener, len(clients), trace)
        except BaseException as error:
            failed.append(error)
            crowd.abandon()

    with socket.create_server(("127.0.0.1", 0), backlog=len(clients)) as listener:
        crowd = Crowd(listener.getsockname(), plans_of(clients, b""), requests, rate, deadline)
        thread = threading.Thread(target=serve, name="fiberlab coat", daemon=True)
        with crowd.ended_on_leaving():
            crowd.connect()
            thread.start()
            crowd.begin()
            crowd.wait(deadline)
        thread.join(deadline)
    trace.records, trace.answers = tuple(crowd.sorted_records()), crowd.answers
    if failed:
        raise failed[0]
    if (failure := crowd.failure()) is not None:
        raise RuntimeError(failure[1])
    return trace


def sees_nap(trace: Any) -> bool:
    """Whether the clients of a recording that did not ask for the nap were late because of it."""
    return any(each.latency > LATE for each in trace.records if each.client < 3)


# -- Two of a kind count up ---------------------------------------------------


def count_twice() -> dict[str, int]:
    """Let two of each kind do ``counter.x += 1``, and return what the counter said at the end."""
    ways = {
        "threads": count_in_threads,
        "callbacks": count_in_callbacks,
        "fibers": count_in_fibers,
        "greenlets": count_in_greenlets,
        "asyncio": count_in_asyncio,
    }
    counted = {}
    for name, way in ways.items():
        counter = Counter()
        way(counter)
        counted[name] = counter.said()
    return counted


class Counter:
    """A number to be counted up: at each reading the others are invited to come in between."""

    def __init__(self) -> None:
        self._x = 0
        self._all_have_read = threading.Barrier(2)

    @property
    def x(self) -> int:
        """The number. A reader waits a moment, until the other one has read it too."""
        seen = self._x
        with suppress(threading.BrokenBarrierError):  # the other one did not come
            self._all_have_read.wait(0.3)
        return seen

    @x.setter
    def x(self, number: int) -> None:
        self._x = number

    def said(self) -> int:
        """Return the number, and invite none of the others."""
        return self._x


def count_in_threads(counter: Counter) -> None:
    """Let two threads do ``counter.x += 1``."""

    def work() -> None:
        counter.x += 1

    pair = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for each in pair:
        each.start()
    for each in pair:
        each.join()


def count_in_callbacks(counter: Counter) -> None:
    """Let a loop call two functions that do ``counter.x += 1``."""

    def work() -> None:
        counter.x += 1

    queue = deque([work, work])
    while queue:
        queue.popleft()()


def count_in_fibers(counter: Counter) -> None:
    """Let two fibers do ``counter.x += 1``."""

    def work() -> Generator[Wait, None, None]:
        counter.x += 1
        yield WAIT(0)

    scheduler = Scheduler()
    for _ in range(2):
        scheduler.add(work())
    scheduler.run()


def count_in_greenlets(counter: Counter) -> None:
    """Let two greenlets do ``counter.x += 1``."""
    hub = Hub()

    def work() -> None:
        counter.x += 1
        hub.pause()

    for _ in range(2):
        hub.spawn(work)
    hub.run()


def count_in_asyncio(counter: Counter) -> None:
    """Let two tasks of asyncio do ``counter.x += 1``."""

    async def work() -> None:
        counter.x += 1
        await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(work(), work())

    in_own_thread(lambda: asyncio.run(main()))
