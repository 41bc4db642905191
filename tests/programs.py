"""Programs of fibers, as data; run by the scheduler in simulated time, and by the model."""

from __future__ import annotations

import contextlib
import importlib
import math
from collections import deque
from itertools import product
from types import SimpleNamespace

from hypothesis import strategies as st
from model import Model

PAIRS = 2
ROOM = 2  # what one direction of a pair of the network below holds, in bytes

ENDS = range(2 * PAIRS)


def _steps(kind, *choices, times=1):
    """Return every step of a kind, `times` as often as others."""
    return [(kind, *values) for values in product(*choices)] * times


# One choice among many is drawn much faster than a choice of choices.
STEPS = st.sampled_from(
    _steps("wait", [None, None, None, 0, 0, 1, 1, 2, 3, 0.5], times=6)
    + _steps("recv", ENDS, [None, None, 0, 1, 2, math.inf], times=2)
    + _steps("send", ENDS, [None, 1], times=2)
    + _steps("push", ENDS, [None, 0, 1, 2])
    + _steps("last", ENDS, [None, 1])
    + _steps("shout", ENDS, [None], times=2)
    + _steps("take", ENDS)
    + _steps("close", ENDS, times=2)
    + _steps("cancel", range(4), times=4)
    + _steps("start", range(7), times=3)
    + _steps("join", range(7), times=6)
    + _steps("burn", [0.25, 1, 2], times=2)
    + _steps("stop", times=8)
    + _steps("raise", times=4)
    + _steps("return", times=4)
    + _steps("odd", times=6)
)
FIBERS = st.tuples(st.booleans(), st.lists(STEPS, max_size=7))
PROGRAMS = st.tuples(st.integers(1, 5), st.lists(FIBERS, min_size=1, max_size=7))
"""How many fibers begin, and all fibers: whether each goes on after an error, and its steps."""


class Odd(Exception):
    """What a fiber raises."""


def fiber(world, number):
    """Do the steps of fiber `number`, noting what came of each."""
    goes_on, steps = world.program[number]
    for place, step in enumerate(steps):
        try:
            outcome = yield from do(world, *step)
        except Exception as error:
            world.notes.append((number, place, type(error).__name__))
            if not goes_on:
                raise
        else:
            world.notes.append((number, place, outcome))
            if outcome == "return":
                return


def do(world, kind, *values):
    """Do one step; return its outcome."""
    value = values[0] if values else None
    waits = world.waits
    if kind == "wait":
        yield waits.WAIT(value)
    elif kind in ("recv", "last", "send", "push", "shout"):
        sock = world.ends[value]
        receives = kind in ("recv", "last")
        if kind in ("last", "shout"):
            world.ends[value ^ 1].close()
        if kind == "shout":
            world.attempt("send", sock)
        # A push has to wait, whoever reads.
        while kind == "push" and world.attempt("send", sock) == "sent":
            pass
        wait = waits.RECV if receives else waits.SEND
        yield wait(sock, timeout=values[1])
        return world.attempt("recv" if receives else "send", sock)
    elif kind == "take":
        world.attempt("recv", world.ends[value])
    elif kind == "close":
        world.ends[value].close()
    elif kind == "start":
        world.start(value)
    elif kind == "cancel" and value in world.started:
        if not world.done(value):
            world.cancel(world.started[value])
    elif kind == "join":
        while not (value in world.started and world.done(value)):
            yield waits.WAIT(None)
    elif kind == "burn":
        world.burn(value)
    elif kind == "stop":
        world.stop()
    elif kind == "odd":
        yield 42
    elif kind == "raise":
        raise Odd
    return kind


class World:
    """What a program acts on."""

    def __init__(self, program):
        self.begins, self.program = program
        self.notes, self.started = [], {}

    def start(self, number):
        """Start fiber `number`, once."""
        if number < len(self.program) and number not in self.started:
            self.started[number] = self.add(fiber(self, number))

    def start_all(self):
        """Start the fibers that are there at the beginning."""
        for number in range(min(self.begins, len(self.program))):
            self.start(number)


class End:
    """A socket for the model: one end of a connection that holds few bytes."""

    def __init__(self, model):
        self.model, self.open, self.broken, self.unread = model, True, False, 0

    def fileno(self):
        """Return a number, as RECV and SEND ask for."""
        return 1

    def ready(self, kind):
        """Tell whether receiving, or sending, would not block."""
        if kind == "RECV":
            return self.unread > 0 or self.broken or not self.peer.open
        return self.broken or self.peer.unread < ROOM

    def touch(self, *kinds):
        """Note that who waits here may go on."""
        waiting = self.model.waiting()
        self.model.touched += [waiting[kind, self] for kind in kinds if (kind, self) in waiting]

    def recv(self):
        """Receive a byte."""
        if not self.open or not self.unread:
            return "end" if not self.open or self.ready("RECV") else "would block"
        self.unread -= 1
        self.peer.touch("SEND")
        return "data"

    def send(self):
        """Send a byte."""
        if not self.open or self.broken:
            return "failed"
        if not self.ready("SEND"):
            return "would block"
        if self.peer.open:
            self.peer.unread += 1
            self.peer.touch("RECV")
        else:
            self.reset()
        return "sent"

    def reset(self):
        """Lose what is not in the receive buffer yet."""
        if not self.broken:
            self.broken, self.unread = True, min(self.unread, ROOM // 2)
            self.touch("RECV", "SEND")

    def close(self):
        """Close; with unread bytes that is a reset for the peer."""
        if self.open:
            self.open = False
            self.touch("RECV", "SEND")
            if self.unread:
                self.peer.reset()
            else:
                self.peer.touch("RECV")
            self.unread = 0


class ModelWorld(World):
    """A program under the model."""

    def __init__(self, program):
        super().__init__(program)
        self.model = Model()
        self.add = self.model.add
        self.cancel = self.model.cancel
        self.waits = importlib.import_module("fiberlab.waits")
        self.ends = [End(self.model) for _ in range(2 * PAIRS)]
        for number, end in enumerate(self.ends):
            end.peer = self.ends[number ^ 1]
        self.start_all()
        self.reason = self.model.run()

    def attempt(self, kind, sock):
        """Receive or send a byte; return the outcome."""
        return getattr(sock, kind)()

    def done(self, number):
        """Tell whether a fiber has ended."""
        return self.started[number].done

    def burn(self, seconds):
        """Let time pass."""
        self.model.now += seconds

    def stop(self):
        """Have the run end after this pass."""
        self.model.stopping = True


class Bounded(deque):
    """A run queue that ends the run after so many resumes."""

    def __init__(self, most, world):
        super().__init__()
        self.left, self.world = most, world

    def popleft(self):
        """Take out the next, or give up."""
        self.left -= 1
        if self.left < 0:
            self.world.scheduler.stop()
        assert self.left > -100, "this scheduler spins"
        return super().popleft()


class SimulatedWorld(World):
    """A program under the scheduler, of this package or of a copy of it."""

    def __init__(self, program, package="fiberlab", most_resumes=None, trace=None):
        super().__init__(program)
        parts = ("scheduler", "simulation", "waits", "errors", "trace")
        names = {part: importlib.import_module(f"{package}.{part}") for part in parts}
        modules = SimpleNamespace(**names)
        self.waits = modules.waits
        self.network = modules.simulation.SimulatedNetwork(buffer_bytes=ROOM // 2)
        self.trace = modules.trace.Trace() if trace is None else trace
        # A broken scheduler may spin: it is stopped, and its story is too long.
        queue = Bounded(most_resumes, self) if most_resumes else None
        self.scheduler = modules.scheduler.Scheduler(
            trace=self.trace, clock=self.network.clock, poller=self.network, run_queue=queue,
            file=SimpleNamespace(write=len, flush=list),
        )  # fmt: skip
        self.add, self.stop = self.scheduler.add, self.scheduler.stop
        self.burn = self.network.clock.burn
        self.ends = [sock for _ in range(PAIRS) for sock in self.network.socketpair()]
        self.start_all()
        with contextlib.suppress(modules.errors.Deadlock):
            self.scheduler.run()
        if trace is None:
            self.reason = self.trace.all_rows()[-1][3]

    def attempt(self, kind, sock):
        """Receive or send a byte; return the outcome."""
        try:
            if kind == "send":
                sock.send(b"x")
                return "sent"
            return "data" if sock.recv(1) else "end"
        except BlockingIOError:
            return "would block"
        except OSError:
            return "failed" if kind == "send" else "end"

    def cancel(self, fiber):
        """Cancel a fiber."""
        fiber.cancel()

    def done(self, number):
        """Tell whether a fiber has ended."""
        return self.started[number].state.value == "done"

    def story(self):
        """Return wakes, resumes and exits as the model tells them, up to the closing."""
        told = []
        for event in self.trace:
            seconds = event.t / 1e9
            if event.ev == "wake":
                told.append((seconds, "wake", event.fid, event.why, event.by, event.q))
            elif event.ev == "resume":
                told.append((seconds, "resume", event.fid, event.q))
            elif event.ev == "exit":
                told.append((seconds, "exit", event.fid, event.how))
        return told


def both(program, package="fiberlab", most_resumes=None):
    """Run `program` in both worlds and return them; AssertionError if they differ."""
    model, real = ModelWorld(program), SimulatedWorld(program, package, most_resumes)
    expected, told = model.model.story, real.story()
    assert told[: len(expected)] == expected
    # What follows is the closing of who is left.
    closed = [entry[3] for entry in told[len(expected) :] if entry[1] == "exit"]
    assert set(closed) <= {"cancel"}
    assert (real.notes, real.reason) == (model.notes, model.reason)
    return model, real


def kinds(model, real):
    """Name each kind of wait, outcome and ending that is in a run."""
    found = {f"run: {real.reason}"}
    for event in real.trace:
        if event.ev == "yield":
            zero = {None: "None", 0: "0"}.get(event.dt, "seconds")
            found.add(f"yield: WAIT({zero})" if event.op == "WAIT" else f"yield: {event.op}")
        elif event.ev == "wake":
            found.add(f"wake: {event.why}")
        elif event.ev == "exit":
            found.add(f"exit: {event.how}")
        elif event.ev == "spawn" and event.by:
            found.add("start in a fiber")
    for number, place, outcome in model.notes:
        step = model.program[number][1][place]
        if step[0] in ("recv", "last", "send", "push", "shout"):
            kind = "recv" if step[0] in ("recv", "last") else "send"
            found.add(f"{kind}: {outcome}")
        if outcome in ("close", "cancel", "join", "burn"):
            found.add(f"step: {outcome}")
    return found
