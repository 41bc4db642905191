"""Attached: what `attach` does inside the other process, in a thread of its own.

The rule kept here: whatever happens, the process is left as it was. The recorder is taken out
when the time is over, when `attach` asks for it, and when the other end of the connection is gone.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import socket
from collections.abc import Iterator
from typing import Any

from ..trace.trace import Trace
from . import threads


def record(connection: socket.socket, options: dict[str, Any]) -> None:
    """Record what this process does, and send the trace as the lines of its file.

    options: `seconds`, how long to record; `limit`, how many events to keep.
    """
    sources = set(linecache.cache)
    trace = Trace(options["limit"], cpu=True)
    try:
        with _watching(trace) as watched:
            connection.sendall(json.dumps({"recording": watched}).encode() + b"\n")
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
def _watching(trace: Trace) -> Iterator[str]:
    """Record in `trace` inside the block; gives a word for what is recorded."""
    with threads.watching(trace):
        yield "threads"
