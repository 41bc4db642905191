"""Attached: what `attach` does inside the other process, in a thread of its own.

The rule kept here: whatever happens, the process is left as it was. The recorder is taken out
when the time is over, when `attach` asks for it, and when the other end of the connection is gone.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from ..trace.trace import Trace
from . import threads
from .asyncio_ import watching


def record(connection: socket.socket, options: dict[str, Any]) -> None:
    """Record what this process does, and send the trace as the lines of its file.

    options: `seconds`, how long to record; `limit`, how many events to keep.
    """
    sources = set(linecache.cache)
    trace = Trace(options["limit"], cpu=True)
    try:
        with _recording(trace) as what:
            connection.sendall(json.dumps({"recording": what}).encode() + b"\n")
            # What comes asks for the end; nothing comes if the other side is gone.
            connection.settimeout(options["seconds"])
            with contextlib.suppress(TimeoutError):
                connection.recv(1)
            connection.settimeout(None)
        trace.save(f"/dev/fd/{connection.fileno()}")
    finally:
        for source in set(linecache.cache) - sources:
            linecache.cache.pop(source, None)


@contextlib.contextmanager
def _recording(trace: Trace) -> Iterator[str]:
    """Record in `trace` inside the block: the loop of asyncio that runs, or else the threads."""
    loop = _running_loop()
    if loop is None:
        with threads.watching(trace):
            yield "its threads, by looking at them now and then"
        return
    watch = watching(trace)
    _call_in(loop, watch.start)
    try:
        yield "its loop of asyncio"
    finally:
        _call_in(loop, watch.stop)


def _running_loop() -> Any:
    """Return a loop of asyncio that runs in some thread; None if there is none."""
    if "asyncio" not in sys.modules:
        return None
    from asyncio import AbstractEventLoop

    for frame in sys._current_frames().values():
        inner: FrameType | None = frame
        while inner is not None:
            # A loop in C has no frames; then there is the Runner that runs it.
            found = inner.f_locals.get("self") if inner.f_code.co_name in _RUN else None
            found = getattr(found, "_loop", found)
            if isinstance(found, AbstractEventLoop) and found.is_running():
                return found
            inner = inner.f_back
    return None


_RUN = {"run_forever", "run_until_complete", "run"}


def _call_in(loop: Any, function: Callable[[], Any]) -> None:
    """Call `function` in the thread of a loop, and wait for it; here, if the loop has ended."""
    done = threading.Event()

    def call() -> None:
        function()
        done.set()

    with contextlib.suppress(RuntimeError):  # it was closed
        loop.call_soon_threadsafe(call)
    while not done.wait(0.05):
        if not loop.is_running():
            function()
            return
