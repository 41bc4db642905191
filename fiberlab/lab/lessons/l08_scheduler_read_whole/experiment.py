"""The experiments of lesson 08: three recordings, and a scheduler of which one line is changed.

The rule kept here: the scheduler itself stays as it is; a changed copy is made of its source, in
memory.
"""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Callable, Generator
from itertools import pairwise
from typing import Any

from .... import scheduler
from ....scheduler import Scheduler
from ....spans.build import Story, build_spans
from ....spans.spans import Spans
from ....states import RUNNING
from ....waits import RECV, SEND, WAIT, Wait
from ...clients import Recording, record
from ...crowd import Client

# -- Three recordings ---------------------------------------------------------

BLOCK = 0.5
"""Seconds for which the last of the four fibers blocks or computes."""

DATA = bytes(500_000)
"""What one turn of computing is for: less than two milliseconds."""

SILENCE = 0.6
LONG = 0.25
"""Seconds from which a step, or a time without one, is long: far from a pause and from a turn."""

ROWS = {"echo-2": "ann", "echo-3": "ben", "echo-4": "cat", "echo-5": "dan"}
"""The rows of the pictures: the name of each fiber, and that of its client."""

Nap = Callable[[], Generator[Wait, None, None]]


def three_recordings() -> dict[str, Recording]:
    """Record four clients and a server three times, and return the recordings by their letters."""
    talkers: list[Client] = [_talker(0.005 * number) for number in range(4)]
    busy: list[Client] = [b"ann", b"ben", b"cat", _napper]
    return {
        "A": record(_echo(_no_nap), talkers),
        "B": record(_echo(_turns), busy, requests=40, rate=200),
        "C": record(_echo(_block), busy, requests=40, rate=200),
    }


def _echo(nap: Nap) -> Callable[[Any, Any], Generator[Wait, None, None]]:
    def echo(sock: Any, address: Any) -> Generator[Wait, None, None]:
        yield RECV(sock)
        while data := sock.recv(1024):
            if data == b"nap":
                yield from nap()
            yield SEND(sock)
            sock.send(data)
            yield RECV(sock)

    return echo


def _no_nap() -> Generator[Wait, None, None]:
    yield from ()


def _turns() -> Generator[Wait, None, None]:
    until = time.monotonic() + BLOCK
    while time.monotonic() < until:
        hashlib.sha256(DATA)  # other threads may run meanwhile, so that no client is held up
        yield WAIT(0)


def _block() -> Generator[Wait, None, None]:
    time.sleep(BLOCK)
    yield from ()


def _talker(late: float) -> Callable[[Any], None]:
    def talk(sock: Any) -> None:
        begun = time.monotonic()
        for due in (*_every_20_ms(0), *_every_20_ms(0.1 + SILENCE)):
            time.sleep(max(0.0, begun + due + late - time.monotonic()))
            sock.sendall(b"word")
            sock.recv(1024)

    return talk


def _every_20_ms(begin: float) -> list[float]:
    return [begin + 0.02 * count for count in range(6)]


def _napper(sock: Any) -> Any:
    time.sleep(0.117)  # when none of the others is due
    sock.sendall(b"nap")
    return sock.recv(1024)


# -- What is read from a timeline ---------------------------------------------


def quiet(trace: Story) -> float:
    """Return for how many seconds, at most, no fiber was resumed between two that were."""
    spans = build_spans(trace)
    begun = [spans.start[i] for i in spans.steps()]
    return max((later - first for first, later in pairwise(begun)), default=0) / 1e9


def longest_slice(trace: Story) -> float:
    """Return the seconds of the longest step."""
    spans = build_spans(trace)
    return max((spans.end[i] - spans.start[i] for i in spans.steps()), default=0) / 1e9


def longest_gap(trace: Story, fiber: str) -> float:
    """Return for how many seconds, at most, a fiber did not run between two of its steps."""
    spans = build_spans(trace)
    steps = _steps_of(spans, fiber)
    return max((later[0] - first[1] for first, later in pairwise(steps)), default=0) / 1e9


def _steps_of(spans: Spans, fiber: str) -> list[tuple[int, int]]:
    [life] = [life for life in spans.lives if life.name == fiber]
    mine = [i for i in spans.indexes(life.id) if spans.state[i] == RUNNING]
    return [(spans.start[i], spans.end[i]) for i in mine]


# -- A changed line -----------------------------------------------------------


def change_line(method: str, old: str, new: str) -> type[Scheduler]:
    """Return a copy of Scheduler; in its `method` the text `old` has become `new`.

    Raises ValueError unless `old` stands there exactly once, and in one line.
    """
    source = inspect.getsource(scheduler)
    known = [name for name, each in vars(Scheduler).items() if inspect.isfunction(each)]
    if method not in known:
        raise ValueError(f"Scheduler has no method {method!r}; it has {', '.join(known)}")
    body = inspect.getsource(getattr(Scheduler, method))
    if body.count(old) != 1 or "\n" in old or not old:
        found = body.count(old) if old else 0
        raise ValueError(f"{method} has {old!r} {found} times; give a part of one line that is")
    namespace: dict[str, Any] = {
        "__name__": "fiberlab.scheduler_copy", "__package__": "fiberlab"
    }  # fmt: skip
    changed = source.replace(body, body.replace(old, new))
    exec(compile(changed, "scheduler_copy.py", "exec"), namespace)
    copy: type[Scheduler] = namespace["Scheduler"]
    return copy
