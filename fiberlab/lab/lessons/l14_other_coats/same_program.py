"""The same program under every scheduler that is installed, for lesson 14.

A first one starts two that sleep again and again, and one that blocks in between. It is written
for each scheduler in its own words, with the same names and the same times, so that any two runs
can be compared on one axis.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
import time
from collections.abc import Callable, Generator

from ....elsewhere import threads
from ....elsewhere.asyncio_ import run as run_asyncio
from ....fiber import join, start
from ....scheduler import Scheduler
from ....trace.trace import Trace
from ....waits import WAIT, Wait

NAPS, NAP, BLOCK = 6, 0.01, 0.06
"""How often each steady one sleeps, and for how many seconds; for how long the third one blocks."""


def installed() -> list[str]:
    """Return the coats that `nap_in` can run here."""
    libraries = {"trio": "trio", "gevent": "gevent"}
    missing = {coat for coat, name in libraries.items() if importlib.util.find_spec(name) is None}
    return [coat for coat in _WAYS if coat not in missing]


def nap_in(coat: str) -> Trace:
    """Run the program in a coat, in a thread of its own, and return its trace."""
    trace = Trace(cpu=True)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            _WAYS[coat](trace)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="main", daemon=True)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return trace


def nap_in_fibers(trace: Trace) -> None:
    """Run it under fiberlab."""

    def steady() -> Generator[Wait, None, None]:
        for _ in range(NAPS):
            yield WAIT(NAP)

    def blocks() -> Generator[Wait, None, None]:
        yield WAIT(NAP)
        time.sleep(BLOCK)

    def main() -> Generator[Wait, None, None]:
        for fiber in [start(function()) for function in (steady, steady, blocks)]:
            yield from join(fiber)

    scheduler = Scheduler(trace=trace)
    scheduler.add(main())
    scheduler.run()


def nap_in_asyncio(trace: Trace) -> None:
    """Run it under asyncio."""

    async def steady() -> None:
        for _ in range(NAPS):
            await asyncio.sleep(NAP)

    async def blocks() -> None:
        await asyncio.sleep(NAP)
        time.sleep(BLOCK)

    async def main() -> None:
        await asyncio.gather(steady(), steady(), blocks())

    run_asyncio(main(), trace)


def nap_in_trio(trace: Trace) -> None:
    """Run it under trio."""
    import trio

    from ....elsewhere.trio_ import run

    async def steady() -> None:
        for _ in range(NAPS):
            await trio.sleep(NAP)

    async def blocks() -> None:
        await trio.sleep(NAP)
        time.sleep(BLOCK)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for function in (steady, steady, blocks):
                nursery.start_soon(function)

    run(main, trace=trace)


def nap_in_gevent(trace: Trace) -> None:
    """Run it under gevent."""
    import gevent

    from ....elsewhere.gevent_ import watching

    def steady() -> None:
        for _ in range(NAPS):
            gevent.sleep(NAP)

    def blocks() -> None:
        gevent.sleep(NAP)
        time.sleep(BLOCK)

    with watching(trace):
        gevent.joinall([gevent.spawn(function) for function in (steady, steady, blocks)])


def nap_in_threads(trace: Trace) -> None:
    """Run it in threads, which are sampled."""

    def steady() -> None:
        for _ in range(NAPS):
            time.sleep(NAP)

    def blocks() -> None:
        time.sleep(NAP)
        time.sleep(BLOCK)

    with threads.watching(trace, NAP / 5, all_threads=False):
        started = [threading.Thread(target=each) for each in (steady, steady, blocks)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()


_WAYS: dict[str, Callable[[Trace], None]] = {
    "threads": nap_in_threads,
    "fibers": nap_in_fibers,
    "gevent": nap_in_gevent,
    "asyncio": nap_in_asyncio,
    "trio": nap_in_trio,
}
