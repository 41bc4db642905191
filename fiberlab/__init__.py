"""fiberlab: cooperative scheduling with real, running code.

    generator -> Fiber -> Scheduler -> TraceEvent -> Span -> timeline figure

Where each word of that line lives. At the top, what a student reads, in this order:

    waits.py       RECV, SEND, WAIT: what a fiber may yield
    states.py      FiberState, LEGAL_TRANSITIONS: where a fiber can be, and which event leads where
    fiber.py       Fiber, start, join, mark
    alarms.py      deadlines
    scheduler.py   Scheduler: resume all that are ready, poll, expire deadlines
    endings.py     how a fiber ends and how a run ends; what ^C may break
    sockets.py     accept, connect, recv_until, send_all, in_thread: for ``yield from``
    coroutines.py  as_fiber: run an async def
    output.py      where the prints of fibers go
    server.py      spawn: a server in one call
    errors.py      one class for each mistake
    pytest_plugin.py  a fixture that tells of the stalls in a test that fails

Then a folder for each noun:

    io/            when a socket is ready: clock.py, poller.py, descriptors.py
    simulation/    the same, computed: network.py, socket.py, connection.py, delivery.py, clock.py,
                   trouble.py
    recording/     from the scheduler to a trace: reporter.py, stall_recorder.py,
                   stall_reporter.py, step_meter.py, prometheus.py, watchdog.py,
                   culprit_line.py, data_age.py
    trace/         what happened: events.py, trace.py, dense.py, file.py, line.py,
                   packed.py
    spans/         from events to stretches of time: spans.py, build.py, check.py, wakes.py,
                   stalls.py, numbers.py
    report/        from spans to numbers and files: summary.py, comparison.py, tables.py,
                   perfetto.py
    diagnosis/     from spans to sentences: diagnose.py, limits.py, evidence.py, finding.py,
                   words.py, and rules/ with long_steps.py, delays.py, conduct.py
    billing/       from spans to bills, what each latency consists of: bill.py, account.py
    figures/       from spans to pictures: timeline.py, charts.py, schedules.py; what needs
                   matplotlib is in draw_timeline.py, draw_charts.py, draw_schedules.py, canvas.py,
                   window.py, marks.py, page.py and png.py; palette.py has the colours,
                   alternative.py the words for readers who do not see them
    viewer/        a run to zoom and step through: picture.py, sentences.py, source.py, feed.py;
                   shown by page.py, notebook.py or live.py; and in the browser by run.js,
                   paint.js, steps.js and viewer.js
    exploration/   a program in every schedule: search.py, world.py, choices.py, faults.py,
                   tape.py, result.py; on many cores: pieces.py, workers.py; progress.py;
                   in fewer runs: footprints.py, sharing.py, sleep_sets.py;
                   a function for many cases: sweep.py
    commands/      the command line: cli.py, arguments.py, program.py; console.py beside it says
                   how each command line of the package writes and fails
    lab/           what notebooks use; lab/lessons/ has a folder for each lesson, lab/shared/ what
                   several lessons use
    elsewhere/     other schedulers recorded in the same events: asyncio, or yours by hand
    replicator/    the application: a caching proxy made of fibers

The names below are loaded when they are first used, so that ``import fiberlab`` is quick and
needs no matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .billing import Bill, bill
    from .coroutines import as_fiber
    from .diagnosis import Diagnosis, Finding, Limits, assert_no_stall, diagnose
    from .errors import (
        Deadlock,
        FiberCancelled,
        FiberTimeout,
        InvalidYield,
        SocketBusy,
        SocketClosed,
        TraceError,
    )
    from .exploration import assert_holds, explore, replay, sweep
    from .fiber import Fiber, join, mark, start
    from .figures import (
        plot_bill,
        plot_comparison,
        plot_latency,
        plot_queue,
        plot_schedules,
        plot_starvation,
        plot_states,
        plot_steps,
        plot_timeline,
    )
    from .recording import StallRecorder
    from .report import compare, summarize, write_perfetto
    from .scheduler import Scheduler
    from .server import spawn
    from .simulation import SimulatedClock, SimulatedNetwork, SimulatedSocket, Trouble
    from .sockets import accept, connect, in_thread, recv_exactly, recv_until, send_all
    from .spans import Span, build_spans
    from .states import LEGAL_TRANSITIONS, FiberState
    from .trace import EventKind, Trace, TraceEvent
    from .viewer import show, step, write_html
    from .waits import RECV, SEND, WAIT

_HOMES = {
    "billing": ("Bill", "bill"),
    "coroutines": ("as_fiber",),
    "diagnosis": ("Diagnosis", "Finding", "Limits", "assert_no_stall", "diagnose"),
    "errors": (
        "Deadlock",
        "FiberCancelled",
        "FiberTimeout",
        "InvalidYield",
        "SocketBusy",
        "SocketClosed",
        "TraceError",
    ),
    "exploration": ("assert_holds", "explore", "replay", "sweep"),
    "fiber": ("Fiber", "join", "mark", "start"),
    "figures": (
        "plot_bill",
        "plot_comparison",
        "plot_latency",
        "plot_queue",
        "plot_schedules",
        "plot_starvation",
        "plot_states",
        "plot_steps",
        "plot_timeline",
    ),
    "recording": ("StallRecorder",),
    "report": ("compare", "summarize", "write_perfetto"),
    "scheduler": ("Scheduler",),
    "server": ("spawn",),
    "simulation": ("SimulatedClock", "SimulatedNetwork", "SimulatedSocket", "Trouble"),
    "sockets": ("accept", "connect", "in_thread", "recv_exactly", "recv_until", "send_all"),
    "spans": ("Span", "build_spans"),
    "states": ("LEGAL_TRANSITIONS", "FiberState"),
    "trace": ("EventKind", "Trace", "TraceEvent"),
    "viewer": ("show", "step", "write_html"),
    "waits": ("RECV", "SEND", "WAIT"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "LEGAL_TRANSITIONS",
    "RECV",
    "SEND",
    "WAIT",
    "Bill",
    "Deadlock",
    "Diagnosis",
    "EventKind",
    "Fiber",
    "FiberCancelled",
    "FiberState",
    "FiberTimeout",
    "Finding",
    "InvalidYield",
    "Limits",
    "Scheduler",
    "SimulatedClock",
    "SimulatedNetwork",
    "SimulatedSocket",
    "SocketBusy",
    "SocketClosed",
    "Span",
    "StallRecorder",
    "Trace",
    "TraceError",
    "TraceEvent",
    "Trouble",
    "__version__",
    "accept",
    "as_fiber",
    "assert_holds",
    "assert_no_stall",
    "bill",
    "build_spans",
    "compare",
    "connect",
    "diagnose",
    "explore",
    "in_thread",
    "join",
    "mark",
    "plot_bill",
    "plot_comparison",
    "plot_latency",
    "plot_queue",
    "plot_schedules",
    "plot_starvation",
    "plot_states",
    "plot_steps",
    "plot_timeline",
    "recv_exactly",
    "recv_until",
    "replay",
    "send_all",
    "show",
    "spawn",
    "start",
    "step",
    "summarize",
    "sweep",
    "write_html",
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
