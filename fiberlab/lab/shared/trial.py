"""A trial: a run of a learner's fibers in simulated time that ends, whatever they do.

The rule kept here: no wrong answer hangs the notebook. A fiber that runs on without a yield, and
fibers that take turns for ever, are stopped and named; what they print is kept away.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import sys
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any

from ...errors import Deadlock
from ...fiber import Fiber
from ...scheduler import Scheduler
from ...simulation.network import SimulatedNetwork
from ...trace.events import TraceEvent
from ...trace.trace import Trace

EVENTS = 5_000
INSTRUCTIONS = 1_000_000
_PACKAGE = __name__.partition(".")[0]


class Endless(KeyboardInterrupt):
    """Raised in a learner's code that has run on for too long: it ends the whole run at once."""


class Trial:
    """A scheduler in simulated time; its run always ends.

    network, scheduler: those of the run. trace: what it recorded. failure: after `run`, what
    went wrong with the run as a whole, in a sentence; empty if it ended by itself.
    """

    def __init__(self, events: int = EVENTS) -> None:
        self.network = SimulatedNetwork()
        self.trace = Trace(stall_after=None)
        self.failure = ""
        self._left = events
        self.scheduler = Scheduler(
            trace=self._note,
            clock=self.network.clock,
            poller=self.network,
            output="withheld",
            file=io.StringIO(),
        )

    def add(self, generator: Generator[Any, Any, Any], name: str) -> Fiber:
        """Add a fiber; see Scheduler.add."""
        return self.scheduler.add(generator, name)

    def run(self) -> bool:
        """Run to the end; return whether it came by itself, else `failure` says why not."""
        try:
            with at_most(INSTRUCTIONS):
                self.scheduler.run()
        except Deadlock as error:
            self.failure = str(error)
        except Endless:
            self.failure = "a loop without an end in which nothing yields"
        return not self.failure

    def _note(self, event: TraceEvent) -> None:
        self.trace(event)
        self._left -= 1
        if self._left == 0:
            moment = self.network.clock.now()
            self.failure = f"fibers that took turns for ever; the clock stood at {moment:g} s"
            self.scheduler.stop()


@contextlib.contextmanager
def at_most(instructions: int) -> Iterator[None]:
    """Raise Endless in code from outside the package once it has run so many instructions."""
    left = instructions

    def each_instruction(frame: FrameType, event: str, value: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Endless
        return each_instruction

    def each_call(frame: FrameType, event: str, value: Any) -> Any:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] == _PACKAGE:
            return None
        # Instructions, not lines: a loop on one line may never begin a new one.
        frame.f_trace_lines = False
        # In this order: Python 3.13 looks for a trace function when f_trace_opcodes is set.
        frame.f_trace, frame.f_trace_opcodes = each_instruction, True
        return each_instruction

    here = inspect.currentframe()
    assert here is not None
    # Python 3.12 asks, when settrace is called, whether any frame wants instructions.
    here.f_trace_opcodes = True
    before = sys.gettrace()
    sys.settrace(each_call)
    try:
        yield
    finally:
        sys.settrace(before)
