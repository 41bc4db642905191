"""fiberlab: cooperative scheduling with real, running code.

    generator -> Fiber -> Scheduler -> TraceEvent -> Span -> timeline figure

Where each word of that line lives, in reading order:

    waits.py       RECV, SEND, WAIT: what a fiber may yield
    fiber.py       Fiber, FiberState, LEGAL_TRANSITIONS, start, join, mark
    scheduler.py   Scheduler: resume all that are ready, poll, expire deadlines
    poller.py      when a socket is ready; the clock
    alarms.py      deadlines
    sockets.py     accept, connect, recv_until, send_all, in_thread: for ``yield from``
    coroutines.py  as_fiber: run an async def
    output.py      where the prints of fibers go
    server.py      spawn: a server in one call
    events.py      TraceEvent: the kinds of event, and what each tells
    trace.py       Trace: what happened, kept in memory and on disk (tracefile.py)
    reporter.py    from the scheduler to the trace
    watchdog.py    the line that holds the loop
    spans.py       build_spans: from events to stretches of time
    summary.py     summarize: from spans to sums
    comparison.py  compare: two runs side by side
    diagnosis.py   diagnose: from spans to sentences
    timeline.py    plot_timeline: from spans to a picture
    figures.py     plot_comparison, and the other pictures: latency, steps, queue, states
    perfetto.py    write_perfetto: from spans to a file for ui.perfetto.dev
    simulation.py  the same with a clock and a network that are only computed
    elsewhere      other schedulers told in the same events: asyncio, or yours by hand
    lab            what the lessons use

The names below are loaded when they are first used, so that ``import fiberlab`` is quick and
needs no matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .comparison import compare
    from .coroutines import as_fiber
    from .diagnosis import Diagnosis, assert_no_stall, diagnose
    from .errors import (
        Deadlock,
        FiberCancelled,
        FiberTimeout,
        InvalidYield,
        SocketBusy,
        SocketClosed,
        TraceError,
    )
    from .fiber import LEGAL_TRANSITIONS, Fiber, FiberState, join, mark, start
    from .figures import (
        plot_comparison,
        plot_latency,
        plot_queue,
        plot_starvation,
        plot_states,
        plot_steps,
    )
    from .perfetto import write_perfetto
    from .scheduler import Scheduler
    from .server import spawn
    from .simulation import SimulatedClock, SimulatedNetwork, SimulatedSocket
    from .sockets import accept, connect, in_thread, recv_exactly, recv_until, send_all
    from .spans import Span, build_spans
    from .summary import summarize
    from .timeline import plot_timeline
    from .trace import EventKind, Trace, TraceEvent
    from .waits import RECV, SEND, WAIT

_HOMES = {
    "comparison": ("compare",),
    "coroutines": ("as_fiber",),
    "diagnosis": ("Diagnosis", "assert_no_stall", "diagnose"),
    "errors": (
        "Deadlock",
        "FiberCancelled",
        "FiberTimeout",
        "InvalidYield",
        "SocketBusy",
        "SocketClosed",
        "TraceError",
    ),
    "fiber": ("LEGAL_TRANSITIONS", "Fiber", "FiberState", "join", "mark", "start"),
    "perfetto": ("write_perfetto",),
    "figures": (
        "plot_comparison",
        "plot_latency",
        "plot_queue",
        "plot_starvation",
        "plot_states",
        "plot_steps",
    ),
    "scheduler": ("Scheduler",),
    "server": ("spawn",),
    "simulation": ("SimulatedClock", "SimulatedNetwork", "SimulatedSocket"),
    "sockets": ("accept", "connect", "in_thread", "recv_exactly", "recv_until", "send_all"),
    "spans": ("Span", "build_spans"),
    "summary": ("summarize",),
    "timeline": ("plot_timeline",),
    "trace": ("EventKind", "Trace", "TraceEvent"),
    "waits": ("RECV", "SEND", "WAIT"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "LEGAL_TRANSITIONS",
    "RECV",
    "SEND",
    "WAIT",
    "Deadlock",
    "Diagnosis",
    "EventKind",
    "Fiber",
    "FiberCancelled",
    "FiberState",
    "FiberTimeout",
    "InvalidYield",
    "Scheduler",
    "SimulatedClock",
    "SimulatedNetwork",
    "SimulatedSocket",
    "SocketBusy",
    "SocketClosed",
    "Span",
    "Trace",
    "TraceError",
    "TraceEvent",
    "__version__",
    "accept",
    "as_fiber",
    "assert_no_stall",
    "build_spans",
    "compare",
    "connect",
    "diagnose",
    "in_thread",
    "join",
    "mark",
    "plot_comparison",
    "plot_latency",
    "plot_queue",
    "plot_starvation",
    "plot_states",
    "plot_steps",
    "plot_timeline",
    "recv_exactly",
    "recv_until",
    "send_all",
    "spawn",
    "start",
    "summarize",
    "write_perfetto",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'fiberlab' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
