"""What is measured, in a process of its own: ``python -m bench.child KIND NAME [NUMBER ...]``.

The rule kept here: one line of JSON is written to sys.stdout, the address of a server or the
result of a computation. A server serves on until its process is ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import Any

LONGEST = 1200
"""Seconds after which a child ends whatever happens: nothing is left behind."""


def tell(result: Any) -> None:
    """Write the one line that the parent waits for."""
    print(json.dumps(result), flush=True)


def main(kind: str, name: str, *numbers: str) -> None:
    """Do what the arguments say."""
    signal.alarm(LONGEST)
    match kind:
        case "serve":
            _serve(name, http=numbers == ("http",))
        case "switch" | "sleep":
            from . import fibers

            table = fibers.ALL_SWITCHERS if kind == "switch" else fibers.SLEEPERS
            size, rounds = map(int, numbers)
            tell(fibers.measure(table[name], fibers.Stretch(size, rounds, size / 1e6)))
        case "asleep":
            from . import fibers

            fibers.memory_asleep(fibers.SLEEPERS[name], int(numbers[0]), _tell_and_end)
        case _:
            from . import traces

            tell(traces.TASKS[kind](name, *map(int, numbers)))


def _serve(name: str, *, http: bool) -> None:
    from .machine import allow_many_files
    from .servers import ALL_SERVERS

    allow_many_files()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    tell(listener.getsockname())
    ALL_SERVERS[name](listener, http)


def _tell_and_end(figures: dict[str, float]) -> None:
    tell(figures)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
