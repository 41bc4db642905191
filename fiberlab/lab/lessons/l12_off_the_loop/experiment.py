"""What lesson 12 runs beside a loop: a thread that counts, a process, a thread that prints.

The rule kept here: whatever is started here has an end, also when the other side fails.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

from ....fiber import Fiber, scheduler_of_thread
from ....scheduler import Scheduler
from ....waits import Wait

CHAT_SECONDS = 0.4
CHILD_SECONDS = 20.0
GATE_SECONDS = 5.0

# -- Threads and processes ----------------------------------------------------


def count_for(seconds: float) -> int:
    """Count as far as possible in so many seconds, in pure Python, and return how far."""
    until = time.perf_counter() + seconds
    number = 0
    while time.perf_counter() < until:
        number += 1
    return number


def chat(address: tuple[str, int], word: str) -> list[float]:
    """Ask for `word` on one connection, and say hello on another one all the while.

    Returns the latency of each hello in seconds, as long as CHAT_SECONDS last.
    """
    host, port = address
    with (
        socket.create_connection((host, port), CHILD_SECONDS) as asking,
        socket.create_connection((host, port), CHILD_SECONDS) as talking,
    ):
        asking.sendall(word.encode())
        time.sleep(0.05)
        latencies, until = [], time.monotonic() + CHAT_SECONDS
        while (begin := time.monotonic()) < until:
            talking.sendall(b"hello")
            talking.recv(1024)
            latencies.append(time.monotonic() - begin)
            time.sleep(0.002)
        asking.recv(1024)
    return latencies


def in_process(function: Callable[..., Any], *args: Any) -> Any:
    """Run ``function(*args)`` in a process of its own, wait for it, and return its result.

    function: of a module; a new process cannot import what a notebook defines (TypeError).
    args and the result travel as JSON. Raises RuntimeError if the process fails.
    """
    if function.__module__ == "__main__":
        raise TypeError(f"{function.__name__} is in no module: another process cannot import it")
    call = json.dumps([function.__module__, function.__name__, args])
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, call],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=CHILD_SECONDS,
    )  # fmt: skip
    if child.returncode:
        raise RuntimeError(f"the process failed: {child.stderr.strip()[-200:]}")
    return json.loads(child.stdout)


_CHILD = """\
import importlib, json, sys
module, name, args = json.loads(sys.argv[1])
print(json.dumps(getattr(importlib.import_module(module), name)(*args)))
"""


# -- Two threads that print ---------------------------------------------------


class Gate:
    """Lets another thread do something while a fiber is in the middle of a step.

    The fiber calls ``hold()``; the other thread does what it has to do ``with gate:``. Both give
    up after GATE_SECONDS.
    """

    def __init__(self) -> None:
        self._inside, self._done = threading.Event(), threading.Event()

    def hold(self) -> None:
        """Stay in this step, blocking, until the other thread is done."""
        self._inside.set()
        self._done.wait(GATE_SECONDS)

    def __enter__(self) -> Gate:
        self._inside.wait(GATE_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()


@contextlib.contextmanager
def running(*fibers: Generator[Wait, None, Any], **options: Any) -> Iterator[list[Fiber]]:
    """Run fibers in a thread of their own, and wait for their end when this is left.

    options: as for Scheduler. Gives the fibers, to look at when they have ended.
    """
    scheduler = Scheduler(**options)
    added = [scheduler.add(each) for each in fibers]
    thread = threading.Thread(target=scheduler.run, name="fiberlab lesson 12", daemon=True)
    thread.start()
    try:
        yield added
    finally:
        thread.join(2 * GATE_SECONDS)


def running_fiber() -> str | None:
    """Return the name of the fiber that the calling thread runs; None if it runs none."""
    scheduler = scheduler_of_thread()
    fiber: Fiber | None = None if scheduler is None else scheduler.running
    return None if fiber is None else fiber.name
