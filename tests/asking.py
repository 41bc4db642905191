"""Another thread asks a StallRecorder for a stall, while the program goes on with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fiberlab import StallRecorder, Trace

_LONGEST = 20  # seconds, so that no test hangs


@contextmanager
def asking_for_a_stall(recorder: StallRecorder) -> Iterator[list[Trace]]:
    """Ask until there is one; the list gets the trace that has it."""
    asked: list[Trace] = []

    def ask() -> None:
        deadline = time.monotonic() + _LONGEST
        while not asked and time.monotonic() < deadline:
            trace = recorder.trace()
            if any(event.ev == "stall" for event in trace):
                asked.append(trace)
            time.sleep(0.01)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield asked
    finally:
        asking.join()


def hang_until(asked: list[Trace]) -> None:
    """Block until the other thread has its answer."""
    deadline = time.monotonic() + _LONGEST
    while not asked and time.monotonic() < deadline:
        time.sleep(0.01)
