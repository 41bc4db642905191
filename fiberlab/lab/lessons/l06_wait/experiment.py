"""The experiments of lesson 06: when waits return, two hearts, and visits to an old loop.

The rule kept here: every wait has an end, and a visit leaves no thread and no socket behind,
whatever the loop that is visited does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from ....fiber import FiberGenerator, Handler
from ....scheduler import Scheduler
from ....simulation.network import SimulatedClock, SimulatedNetwork
from ....spans.build import build_spans
from ....spans.spans import Spans
from ....states import RUNNING
from ....trace.trace import Trace
from ....waits import WAIT
from ...background import serving

# -- Four waits ---------------------------------------------------------------


def returns(trace: Trace, fiber: str = "asker") -> list[float]:
    """Return when a fiber was resumed after each of its waits, in ms since the run began."""
    spans = build_spans(trace)
    return [start / 1e6 for start in steps_of(spans, fiber)[1:]]


def steps_of(spans: Spans, fiber: str) -> list[int]:
    """Return when each step of a fiber began, also of those that took no time at all."""
    [life] = [life for life in spans.lives if life.name == fiber]
    return [spans.start[i] for i in spans.indexes(life.id) if spans.state[i] == RUNNING]


# -- Drift --------------------------------------------------------------------

PERIOD = 0.1
BEATS = 7


def drifting(clock: SimulatedClock, work: float) -> FiberGenerator:
    """Sleep for a period after each beat."""
    for _ in range(BEATS):
        clock.burn(work)
        yield WAIT(PERIOD)


def steady(clock: SimulatedClock, work: float) -> FiberGenerator:
    """Sleep until the deadline of the next beat."""
    due = clock.now()
    for _ in range(BEATS):
        clock.burn(work)
        due += PERIOD
        yield WAIT(max(0.0, due - clock.now()))


def heart(function: Any, work: float) -> Spans:
    """Return the spans of a heart, a fiber of ``function(clock, work)``, in simulated time."""
    network, trace = SimulatedNetwork(), Trace(stall_after=None)
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    scheduler.add(function(network.clock, work), "heart")
    scheduler.run()
    return build_spans(trace)


HEARTS = {"after the work": drifting, "until the deadline": steady}
"""The fibers of the two hearts, by when they sleep."""


def beats(work: float) -> dict[str, list[int]]:
    """Return when two hearts beat, in whole ms: by how they sleep. work: seconds for each beat."""
    return {
        words: [round(start / 1e6) for start in steps_of(heart(function, work), "heart")[:BEATS]]
        for words, function in HEARTS.items()
    }


# -- Visits to two loops ------------------------------------------------------

PATIENCE = 0.3
"""Seconds after which ann has waited too long, and ben connects."""
LAST_PATIENCE = 1.0
"""Seconds that she waits after that."""


@dataclass
class Visit:
    """What two clients saw; times in seconds since ann asked.

    in_time: whether ann was answered before she lost patience. after_ben: whether she was
    answered after ben had connected. ben: when he did; None: he was not needed. answered: when
    she had her answer, or gave up. passes: how often the loop went round, if it was counted.
    """

    in_time: bool = False
    after_ben: bool = False
    ben: float | None = None
    answered: float = 0.0
    passes: int = 0


def visit_ours(handler: Handler) -> Visit:
    """Let ann and ben visit a Scheduler that serves `handler`."""
    visit = Visit()
    with serving(handler) as server:
        _call(server.address, visit)
    return visit


def visit_museum(loop: Any, handler: Handler) -> Visit:
    """Let ann and ben visit a loop like OldLoop, made by ``loop(listener, handler)``.

    It runs in the calling thread; what it raises is raised here.
    """
    visit, socks, gone = Visit(), [], threading.Event()

    def noting(sock: socket.socket, address: Any) -> Any:
        socks.append(sock)
        return handler(sock, address)

    def done() -> bool:
        visit.passes += 1
        return gone.is_set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = loop(listener, noting)
        given = (listener.getsockname(), visit, gone)
        clients = threading.Thread(target=_call_and_go, args=given, daemon=True)
        clients.start()
        try:
            made.run(done)
        finally:
            listener.close()  # a client that still waits learns at once that it is over
            for sock in socks:
                sock.close()
            clients.join()
    return visit


def _call_and_go(address: tuple[str, int], visit: Visit, gone: threading.Event) -> None:
    try:
        with contextlib.suppress(OSError):
            _call(address, visit)
    finally:
        gone.set()
        # A loop that waits in its select hears of it by one more client.
        with contextlib.suppress(OSError):
            socket.create_connection(address, timeout=1).close()


def _call(address: tuple[str, int], visit: Visit) -> None:
    with socket.create_connection(address) as ann:
        began = time.monotonic()
        ann.settimeout(PATIENCE)
        ann.sendall(b"ann")
        try:
            visit.in_time = bool(ann.recv(1024))
        except TimeoutError:
            visit.ben = time.monotonic() - began
            with socket.create_connection(address, timeout=LAST_PATIENCE):
                ann.settimeout(LAST_PATIENCE)
                with contextlib.suppress(TimeoutError):
                    visit.after_ben = bool(ann.recv(1024))
        visit.answered = time.monotonic() - began
