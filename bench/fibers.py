"""What needs no network: switching and sleeping, with fibers and with what others call them.

The rule kept here: nobody goes on before every fiber is under way, and whole turns of all of
them are counted, so that making them is not measured. A run in which a fiber did not do all
its turns is refused.
"""

from __future__ import annotations

import asyncio
import gc
import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from itertools import count
from typing import Any

from fiberlab import WAIT, Scheduler, StallRecorder, Trace

from .machine import memory_of
from .no_sites import scheduler_without_sites
from .servers import run_with_select


class Stretch:
    """What is measured: processor time and time, in seconds, of so many rounds of all fibers.

    seconds: how long a sleep lasts at most; None: exactly an hour, which nobody waits for.
    """

    def __init__(self, fibers: int, rounds: int, seconds: float | None = 1.0) -> None:
        self.fibers = fibers
        self.rounds = rounds
        self.seconds = seconds
        self.cpu = self.wall = 0.0
        self.goal = fibers * rounds  # turns, of all together
        self.turns = self.arrived = 0
        self.lock = threading.Lock()
        self.when_asleep: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Begin measuring."""
        self.cpu, self.wall = -time.process_time(), -time.perf_counter()

    def end(self) -> None:
        """End measuring."""
        self.wall += time.perf_counter()
        self.cpu += time.process_time()

    def arrive(self) -> None:
        """Note that a sleeper is under way; from the last one on it is measured."""
        self.arrived += 1
        if self.arrived == self.fibers:
            self.when_asleep()
            self.begin()

    def length(self) -> float | None:
        """Return how long to sleep next, None if all sleeps together were enough."""
        if self.arrived == self.fibers:
            if self.turns == self.goal:
                return None
            self.turns += 1
            if self.turns == self.goal:
                self.end()  # before anybody ends: that is no part of a sleep
        return random.random() * self.seconds if self.seconds is not None else 3600.0

    def told(self) -> dict[str, float]:
        """Return the figures; ValueError unless all turns were made."""
        if self.turns != self.goal:
            raise ValueError(f"{self.turns} turns were made, not {self.goal}")
        return {"cpu": self.cpu, "wall": self.wall, "operations": self.goal}


# -- Switch: every fiber gives way, so many rounds; the first one measures -----


def _give_way(stretch: Stretch, first: bool) -> Generator[None, None, None]:
    stretch.arrived += 1
    while stretch.arrived < stretch.fibers:
        yield
    if first:
        stretch.begin()
    for _ in range(stretch.rounds):
        yield
    if first:
        stretch.end()
    stretch.turns += stretch.rounds


def _wait_0(stretch: Stretch, first: bool) -> Generator[WAIT, None, None]:
    stretch.arrived += 1
    while stretch.arrived < stretch.fibers:
        yield WAIT(0)
    if first:
        stretch.begin()
    for _ in range(stretch.rounds):
        yield WAIT(0)
    if first:
        stretch.end()
    stretch.turns += stretch.rounds


def _wait_0_hoisted(stretch: Stretch, first: bool) -> Generator[WAIT, None, None]:
    wait = WAIT(0)
    stretch.arrived += 1
    while stretch.arrived < stretch.fibers:
        yield wait
    if first:
        stretch.begin()
    for _ in range(stretch.rounds):
        yield wait
    if first:
        stretch.end()
    stretch.turns += stretch.rounds


def _pass(stretch: Stretch, first: bool) -> Generator[tuple[str, None], None, None]:
    stretch.arrived += 1
    while stretch.arrived < stretch.fibers:
        yield "pass", None
    if first:
        stretch.begin()
    for _ in range(stretch.rounds):
        yield "pass", None
    if first:
        stretch.end()
    stretch.turns += stretch.rounds


async def _await_0(stretch: Stretch, first: bool, sleep: Any) -> None:
    stretch.arrived += 1
    while stretch.arrived < stretch.fibers:
        await sleep(0)
    if first:
        stretch.begin()
    for _ in range(stretch.rounds):
        await sleep(0)
    if first:
        stretch.end()
    stretch.turns += stretch.rounds


def _call_sleep_0(stretch: Stretch, first: bool, sleep: Any) -> None:
    stretch.arrived += 1
    while stretch.arrived < stretch.fibers:
        sleep(0)
    if first:
        stretch.begin()
    for _ in range(stretch.rounds):
        sleep(0)
    if first:
        stretch.end()
    stretch.turns += stretch.rounds


def _race(stretch: Stretch, barrier: threading.Barrier) -> None:
    """Give way as a thread: the system promises no turns, so all that all do is counted."""
    barrier.wait()
    for _ in range(stretch.rounds):
        time.sleep(0)
    with stretch.lock:
        stretch.turns += stretch.rounds
        if stretch.turns == stretch.goal:
            stretch.end()


def _all(function: Callable[..., Any], stretch: Stretch, *more: Any) -> list[Any]:
    return [function(stretch, number == 0, *more) for number in range(stretch.fibers)]


def limit_switch(stretch: Stretch) -> None:
    """A deque and next: nothing less can be called a scheduler."""
    queue = deque(_all(_give_way, stretch))
    pop, append = queue.popleft, queue.append
    while queue:
        fiber = pop()
        try:
            next(fiber)
        except StopIteration:
            continue
        append(fiber)


def select_switch(stretch: Stretch) -> None:
    """The fiber loop in the historical style."""
    run_with_select(_all(_pass, stretch))


# -- Sleep: every fiber sleeps, up to a second each, until all have often enough --


def _yield_length(stretch: Stretch) -> Generator[float, None, None]:
    stretch.arrive()
    while (length := stretch.length()) is not None:
        yield length


def _wait_length(stretch: Stretch) -> Generator[WAIT, None, None]:
    stretch.arrive()
    while (length := stretch.length()) is not None:
        yield WAIT(length)


async def _await_length(stretch: Stretch, sleep: Any) -> None:
    stretch.arrive()
    while (length := stretch.length()) is not None:
        await sleep(length)


def _call_sleep_length(stretch: Stretch, sleep: Any) -> None:
    stretch.arrive()
    while (length := stretch.length()) is not None:
        sleep(length)


def limit_sleep(stretch: Stretch) -> None:
    """A heap and next."""
    turns, now = count(), time.monotonic
    heap: list[Any] = []
    push, pop = heapq.heappush, heapq.heappop
    for _ in range(stretch.fibers):
        fiber = _yield_length(stretch)
        push(heap, (now() + next(fiber), next(turns), fiber))
    while heap:
        early = heap[0][0] - now()
        if early > 0:
            time.sleep(early)
        fiber = pop(heap)[2]
        try:
            length = next(fiber)
        except StopIteration:
            continue
        push(heap, (now() + length, next(turns), fiber))


# -- The schedulers -----------------------------------------------------------

Work = Callable[[Stretch], None]


def _fiberlab(generators: list[Any], *, make: Any = Scheduler, **options: Any) -> None:
    scheduler = make(**options)
    for generator in generators:
        scheduler.add(generator)
    generators.clear()
    scheduler.run()


def _asyncio(loop: Any, coroutines: list[Any]) -> None:
    async def main() -> None:
        tasks = [loop.create_task(each) for each in coroutines]
        coroutines.clear()
        for task in tasks:
            await task

    loop.run_until_complete(main())
    loop.close()


def _uvloop(coroutines: list[Any]) -> None:
    import uvloop

    _asyncio(uvloop.new_event_loop(), coroutines)


def _trio(function: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
    import trio

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for each in arguments:
                nursery.start_soon(function, *each)

    trio.run(main)


def _curio(coroutines: list[Any]) -> None:
    import curio

    async def main() -> None:
        tasks = [await curio.spawn(each) for each in coroutines]
        for task in tasks:
            await task.join()

    curio.run(main)


def _gevent(function: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
    import gevent

    gevent.joinall([gevent.spawn(function, *each) for each in arguments])


def _threads(stretch: Stretch) -> None:
    threading.stack_size(256 * 1024)
    barrier = threading.Barrier(stretch.fibers, stretch.begin)
    all_threads = [
        threading.Thread(target=_race, args=(stretch, barrier)) for _ in range(stretch.fibers)
    ]
    for thread in all_threads:
        thread.start()
    for thread in all_threads:
        thread.join()


def _trio_sleep() -> Any:
    import trio

    return trio.sleep


def _curio_sleep() -> Any:
    import curio

    return curio.sleep


def _gevent_sleep() -> Any:
    import gevent

    return gevent.sleep


def _firsts(stretch: Stretch, sleep: Any) -> list[tuple[Any, ...]]:
    return [(stretch, number == 0, sleep) for number in range(stretch.fibers)]


SWITCHERS: dict[str, Work] = {
    "limit": limit_switch,
    "plain": lambda s: _fiberlab(_all(_wait_0, s)),
    "hoisted": lambda s: _fiberlab(_all(_wait_0_hoisted, s)),
    "traced": lambda s: _fiberlab(_all(_wait_0, s), trace=Trace()),
    "select": select_switch,
    "asyncio": lambda s: _asyncio(asyncio.new_event_loop(), _all(_await_0, s, asyncio.sleep)),
    "uvloop": lambda s: _uvloop(_all(_await_0, s, asyncio.sleep)),
    "trio": lambda s: _trio(_await_0, _firsts(s, _trio_sleep())),
    "curio": lambda s: _curio(_all(_await_0, s, _curio_sleep())),
    "gevent": lambda s: _gevent(_call_sleep_0, _firsts(s, _gevent_sleep())),
    "threads": _threads,
}
"""Who can switch, by name."""

ALL_SWITCHERS: dict[str, Work] = {
    **SWITCHERS,
    "no-sites": lambda s: _fiberlab(_all(_wait_0, s), make=scheduler_without_sites()),
    "stalls": lambda s: _fiberlab(_all(_wait_0, s), trace=StallRecorder()),
}

SLEEPERS: dict[str, Work] = {
    "limit": limit_sleep,
    "plain": lambda s: _fiberlab([_wait_length(s) for _ in range(s.fibers)]),
    "traced": lambda s: _fiberlab([_wait_length(s) for _ in range(s.fibers)], trace=Trace()),
    "asyncio": lambda s: _asyncio(
        asyncio.new_event_loop(), [_await_length(s, asyncio.sleep) for _ in range(s.fibers)]
    ),
    "uvloop": lambda s: _uvloop([_await_length(s, asyncio.sleep) for _ in range(s.fibers)]),
    "trio": lambda s: _trio(_await_length, [(s, _trio_sleep())] * s.fibers),
    "curio": lambda s: _curio([_await_length(s, _curio_sleep()) for _ in range(s.fibers)]),
    "gevent": lambda s: _gevent(_call_sleep_length, [(s, _gevent_sleep())] * s.fibers),
}
"""Who can sleep, by name."""


def measure(work: Work, stretch: Stretch) -> dict[str, float]:
    """Run `work` and return its processor time, its time, and the number of its operations."""
    random.seed(1)
    gc.collect()
    work(stretch)
    return stretch.told()


def memory_asleep(work: Work, fibers: int, tell: Callable[[dict[str, float]], None]) -> None:
    """Have so many fibers sleep for an hour; `tell` the bytes each has added, then end."""
    gc.collect()
    before = memory_of()
    stretch = Stretch(fibers, 1, None)
    # The last one tells while it is still awake: one fiber in all of them is no error.
    stretch.when_asleep = lambda: tell({"bytes": (memory_of() - before) / fibers})
    work(stretch)
