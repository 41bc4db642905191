"""What a switch and a waiting conversation cost in each coat, for lesson 14.

Measured in a moment, so good for ratios of ten and not for ratios of two.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import greenlet

from ....scheduler import Scheduler
from ....waits import WAIT
from ...shared.own_thread import in_own_thread
from .servers import Callbacks

SWITCHES = 2_000
WAITING = 200
ROUNDS = 3

# -- Switches -----------------------------------------------------------------


def switch_costs() -> dict[str, float]:
    """Return the seconds that a switch takes in each coat; the least of a few tries."""
    ways = {
        "a call": _calls,
        "generators": _generators,
        "fibers": _fibers,
        "greenlets": _greenlets,
        "asyncio": _asyncio,
        "threads": _threads,
    }
    return {name: min(_time(way) for _ in range(ROUNDS)) / SWITCHES for name, way in ways.items()}


def _time(way: Callable[[], None]) -> float:
    began = time.perf_counter()
    way()
    return time.perf_counter() - began


def _nothing() -> None:
    """Be called back."""


def _calls() -> None:
    queue = deque([_nothing, _nothing])
    for _ in range(SWITCHES):
        callback = queue.popleft()
        callback()
        queue.append(callback)


def _turns(number: int) -> Iterator[Any]:
    for _ in range(number):
        yield WAIT(0)


def _generators() -> None:
    queue = deque(_turns(SWITCHES) for _ in range(2))
    for _ in range(SWITCHES):
        generator = queue.popleft()
        next(generator)
        queue.append(generator)


def _fibers() -> None:
    scheduler = Scheduler()
    for _ in range(2):
        scheduler.add(_turns(SWITCHES // 2))  # type: ignore[arg-type]
    scheduler.run()


def _greenlets() -> None:
    here = greenlet.getcurrent()

    def turns() -> None:
        for _ in range(SWITCHES // 2):
            here.switch()

    pair = [greenlet.greenlet(turns) for _ in range(2)]
    for _ in range(SWITCHES // 2):
        for each in pair:
            each.switch()


def _asyncio() -> None:
    async def turns() -> None:
        for _ in range(SWITCHES // 2):
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(turns(), turns())

    in_own_thread(lambda: asyncio.run(main()))


def _threads() -> None:
    turns = [threading.Semaphore(1), threading.Semaphore(0)]

    def take_turns(mine: int) -> None:
        for _ in range(SWITCHES // 2):
            turns[mine].acquire()
            turns[1 - mine].release()

    pair = [threading.Thread(target=take_turns, args=(n,), daemon=True) for n in (0, 1)]
    for each in pair:
        each.start()
    for each in pair:
        each.join()


# -- Memory -------------------------------------------------------------------


def memory_costs() -> dict[str, float]:
    """Return the bytes that one waiting conversation takes in each coat, without its socket.

    For a thread it is what the system has given it; left out where the system does not tell.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        costs = {
            "an object": _bytes_of(lambda: Callbacks(ours)),
            "generators": _bytes_of(_begun),
            "fibers": _bytes_of_fibers(),
            "greenlets": _bytes_of_greenlets(),
            "asyncio": _bytes_of_tasks(),
        }
    threads = _bytes_of_threads()
    return costs if threads is None else costs | {"threads": threads}


def _bytes_of(make: Callable[[], Any]) -> float:
    """Return how much memory Python takes for what `make` returns."""
    tracemalloc.start()
    try:
        kept: list[Any] = [None] * WAITING
        before, _ = tracemalloc.get_traced_memory()
        for number in range(WAITING):
            kept[number] = make()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / WAITING


def _begun() -> Any:
    generator = _turns(1)
    next(generator)
    return generator


def _bytes_of_fibers() -> float:
    scheduler = Scheduler()
    cost = _bytes_of(lambda: scheduler.add(_turns(1)))  # type: ignore[arg-type]
    scheduler.run()
    return cost


def _bytes_of_greenlets() -> float:
    here = greenlet.getcurrent()
    made: list[Any] = []

    def begun() -> Any:
        made.append(greenlet.greenlet(here.switch))
        made[-1].switch()
        return made[-1]

    cost = _bytes_of(begun)
    for each in made:
        each.switch()
    return cost


def _bytes_of_tasks() -> float:
    costs = []

    async def main() -> None:
        over = asyncio.Event()
        tasks: list[Any] = []

        async def waits() -> None:
            await over.wait()

        tracemalloc.start()
        try:
            tasks += [asyncio.ensure_future(waits()) for _ in range(WAITING)]
            await asyncio.sleep(0)
            costs.append(tracemalloc.get_traced_memory()[0] / WAITING)
        finally:
            tracemalloc.stop()
            over.set()
        await asyncio.gather(*tasks)

    in_own_thread(lambda: asyncio.run(main()))
    return costs[0]


_COUNT_PAGES = f"""
import os, threading
def pages():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1])
over = threading.Event()
before = pages()
for _ in range({WAITING}):
    threading.Thread(target=over.wait, daemon=True).start()
print((pages() - before) * os.sysconf("SC_PAGE_SIZE") / {WAITING})
over.set()
"""


def _bytes_of_threads() -> float | None:
    # In a fresh process: this one may still hold the stacks of threads that have ended.
    if not Path("/proc/self/statm").exists():
        return None
    counted = subprocess.run([sys.executable, "-c", _COUNT_PAGES], capture_output=True, text=True)
    return float(counted.stdout) if counted.returncode == 0 else None
