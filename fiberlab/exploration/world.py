"""The world of one schedule: fibers in simulated time, and what must hold.

The rule kept here: a pass is one step. One fiber runs, what must always hold is looked at, the
sockets are polled, deadlines expire; then it is asked which of the ready fibers is next. So every
order of steps can come about, also those that need a fiber to be woken in the middle of a pass.

A failure is a check that is false or raises, an exception that a fiber does not catch, a Deadlock,
and a run that has no end.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import Deadlock, FiberCancelled
from ..fiber import Fiber, FiberGenerator, Handler
from ..io import Address
from ..scheduler import Scheduler
from ..simulation import SimulatedClock, SimulatedNetwork, SimulatedSocket, Trouble
from ..trace.trace import Trace
from .choices import Choices, ChosenQueue
from .faults import happen_if_chosen, possible
from .footprints import Cell, WatchedFiber, WatchedNetwork
from .sharing import check_shared

MOST_STEPS = 10_000
"""After so many steps a run counts as one that has no end."""

Check = Callable[[], Any]
Program = Callable[["World"], Any]


class Played(NamedTuple):
    """One schedule that was run: how it failed (None: all holds), its steps and its fibers."""

    error: BaseException | None
    steps: int
    fibers: int


class Failed(Exception):
    """Leaves run() when the schedule has failed; `error` says why."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class World:
    """What ``program(world)`` builds its fibers in; everything is simulated.

    clock: the simulated clock; ``world.clock.burn(seconds)`` is time spent computing.
    """

    def __init__(
        self, choices: Choices, faults: Sequence[str] = (), trace: Trace | None = None
    ) -> None:
        footprints = choices.footprints
        self._network = SimulatedNetwork() if footprints is None else WatchedNetwork(footprints)
        self._network._events.choose = self._which_client
        self.clock: SimulatedClock = self._network.clock
        self._choices = choices
        self._scheduler = _Stepper(choices, faults, self._network, trace)
        self._last: list[Check] = []

    def add(self, generator: FiberGenerator, name: str | None = None) -> Fiber:
        """Make a fiber of `generator`, as Scheduler.add does."""
        return self._scheduler.add(generator, name)

    def listen(self, function: Handler, port: int = 0, host: str = "localhost") -> Address:
        """Make a fiber of ``function(sock, address)`` for each client; return (host, port).

        The schedule ends when only such listeners are left.
        """
        address = self._scheduler.listen(function, port, host)
        self._scheduler.acceptors.add(self._scheduler._count)
        return address

    def connect(
        self, address: Address, latency: float = 0, bandwidth: float | None = None
    ) -> SimulatedSocket:
        """Begin to connect, and return the socket at once, as SimulatedNetwork.connect does."""
        return self._network.connect(address, latency, bandwidth)

    def socketpair(
        self, latency: float = 0, bandwidth: float | None = None
    ) -> tuple[SimulatedSocket, SimulatedSocket]:
        """Return two sockets that are connected to each other."""
        return self._network.socketpair(latency, bandwidth)

    def suffer(self, trouble: Trouble) -> None:
        """Let connections that are made from now on, and the clock, have trouble."""
        self._network.suffer(trouble)

    def cell(self, value: Any = None) -> Cell:
        """Return a value that fibers share, as ``cell.value``: see ``explore(reduce=True)``."""
        return Cell(value, self._choices.footprints)

    def at_end(self, check: Check) -> None:
        """Have `check` called when all fibers have ended: it must not raise nor return false.

        One that returns None, as a function of assert statements does, has not failed.
        """
        self._last.append(check)

    def always(self, check: Check) -> None:
        """Have `check` called after each step too; as for `at_end`."""
        if self._choices.footprints is not None:
            check_shared(check)
        self._scheduler.checks.append(check)
        self._last.append(check)

    def _which_client(self, width: int) -> int:
        place = self._choices.choose(width)
        if place and self._choices.telling:
            self._choices.switches.append(f"client {place + 1} of {width} arrives first")
        return place

    def _run(self) -> BaseException | None:
        try:
            self._scheduler.run()
        except Failed as failed:
            return failed.error
        except Deadlock as deadlock:
            return deadlock
        return _first_broken(self._last, "at_end")


class _Stepper(Scheduler):
    """A scheduler whose pass is one step, and which looks at what must always hold.

    begun: the ids of the fibers that have run, if faults are asked for. acceptors: of listeners.
    """

    def __init__(
        self, choices: Choices, faults: Sequence[str], network: SimulatedNetwork, trace: Any
    ) -> None:
        self.ready = ChosenQueue(choices)
        super().__init__(
            trace=trace,
            clock=network.clock,
            poller=network,
            run_queue=self.ready,
            output="withheld",
            file=_NOWHERE,
        )
        self.checks: list[Check] = []
        self.checking = False  # whether they are being called
        self.footprints = choices.footprints
        self.acceptors: set[int] = set()
        self.begun: set[int] = set()
        self._choices = choices
        self._network = network
        self._faults = faults  # those that may still happen

    def add(self, generator: FiberGenerator, name: str | None = None) -> Fiber:
        """Make a fiber of `generator`; see Scheduler."""
        fiber = super().add(generator, name)
        if self.footprints is not None:
            check_shared(generator)
            self.footprints.write("fibers")  # its number depends on the order of the steps
            fiber.__class__ = WatchedFiber
        return fiber

    def run_once(self) -> None:
        """Resume one fiber, look at what must hold, poll, expire deadlines."""
        try:
            if self._faults:
                self._maybe_a_fault()
            now = self._network.clock.now_ns()
            self.ready.passing = True
            self.run_ready()
            self.ready.passing = False
            if self.footprints is not None:
                self._note_what_was_touched(now)
            self._look()
            self.poll()
            self.expire()
        except Deadlock:
            if not self.acceptors or not self._alive.keys() <= self.acceptors:
                self.ready.over = True
                raise
            self.stop()  # only listeners are left, and no connection is on its way to them
        except BaseException:
            self.ready.over = True
            raise

    def _note_what_was_touched(self, now: int) -> None:
        """Note what the step, which began at `now`, has touched besides what fibers name."""
        assert self.footprints is not None
        self._network.catch_up()  # closes what the step has dropped
        if now != self._network.clock.now_ns():
            self.footprints.everything()
        # Each step wakes whatever is parked, so these change places with each other: after either
        # one all are awake. A step that parks cannot change places with any.
        self.footprints.read("parked")
        if self.ready.last in self._parked:
            self.footprints.write("parked")

    def _look(self) -> None:
        """Raise Failed if the step has shown a failure."""
        fiber, self.ready.last = self.ready.last, None
        error = None if fiber is None else fiber.error
        if error is not None and not isinstance(error, (FiberCancelled, GeneratorExit)):
            raise Failed(error)
        if self.checks:
            self.checking = True
            broken = _first_broken(self.checks, "always")
            self.checking = False
            if broken is not None:
                raise Failed(broken)
        if self.ready.steps >= MOST_STEPS:
            raise Failed(RuntimeError(f"the program has not ended after {MOST_STEPS:,} steps"))
        if self._faults and fiber is not None:
            self.begun.add(fiber.id)

    def _maybe_a_fault(self) -> None:
        found = possible(self._faults, self, self._network)
        if happen_if_chosen(found, self._choices, self.ready.steps + 1):
            self._faults = ()


def _first_broken(checks: Sequence[Check], where: str) -> BaseException | None:
    """Return what the first check raises that does not hold, None if all hold."""
    for check in checks:
        try:
            held = check()
        except Exception as error:
            return error
        if held is not None and not held:
            return AssertionError(f"{where}({_named(check)}) is false")
    return None


def _named(check: Check) -> str:
    """Say which check it is: its name, and where it stands."""
    name = getattr(check, "__name__", repr(check))
    code = getattr(check, "__code__", None)
    return (
        name if code is None else f"{name} at {Path(code.co_filename).name}:{code.co_firstlineno}"
    )


def run(
    program: Program, choices: Choices, faults: Sequence[str] = (), trace: Trace | None = None
) -> Played:
    """Run one schedule of `program`."""
    if not callable(program):
        raise TypeError(f"explore() needs a function that builds a program, got {program!r}")
    world = World(choices, faults, trace)
    made = program(world)
    if inspect.isgenerator(made) or inspect.iscoroutine(made):
        made.close()
        raise TypeError(
            f"explore() needs a function that builds a program, and {program!r} is a fiber's own: "
            "write def program(world): world.add(...)"
        )
    if made is not None:
        raise TypeError(
            f"{program!r} returned {made!r}: say what must hold by world.at_end(...), and return "
            "nothing"
        )
    error = world._run()
    return Played(error, world._scheduler.ready.steps, world._scheduler._count)


class _Nowhere:
    """A file that forgets: what fibers print is in the trace of a replay."""

    def write(self, text: str) -> int:
        return len(text)


_NOWHERE: Any = _Nowhere()
