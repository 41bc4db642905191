"""Every small program in every schedule: no wake-up is lost, and no deadlock is unnamed.

A program is up to three fibers with up to three waits each. FIBERLAB_EVERY=1 tries them all, which
takes half an hour for those that only wait, and more for the others; else it is a share of the
larger ones, the same share each time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from itertools import combinations_with_replacement, product

import pytest

from fiberlab import (
    RECV,
    SEND,
    WAIT,
    Deadlock,
    FiberTimeout,
    SocketBusy,
    Trace,
    assert_holds,
    explore,
    in_thread,
    join,
)
from fiberlab.exploration.search import search
from fiberlab.exploration.world import run

pytestmark = pytest.mark.once

EVERY = bool(os.environ.get("FIBERLAB_EVERY"))


def some_of(programs, share):
    """Return one in `share` programs; a prime, so that all kinds are among them."""
    return programs[:: 1 if EVERY else share]


# -- The law -------------------------------------------------------------------------------


def stale_parking(trace):
    """Return who was left parked though another fiber had run since, as the contract has it.

    When a fiber has run, those that were parked before it ran are made ready; except when it had
    itself been woken from WAIT(None) and parks again.
    """
    parked, woken_by_fiber, before, stale = set(), set(), set(), []
    for event in trace:
        match event.ev:
            case "wake":
                parked.discard(event.fid)
                before.discard(event.fid)
                (woken_by_fiber.add if event.why == "fiber" else woken_by_fiber.discard)(event.fid)
            case "resume" | "poll" | "stop":
                stale += before  # the fiber that ran before should have woken these
                before = set()
                runner, seen = event.fid, set(parked)
            case "yield":
                parks = event.op == "WAIT" and event.dt is None
                if parks:
                    parked.add(event.fid)
                if not (parks and event.fid in woken_by_fiber):
                    before = seen - {runner}
            case "exit":
                before = seen - {runner}
    return stale


def unexplained_errors(program, explains, *, reduce=False):
    """Run `program(world)` in all schedules, hold each against the law; return other errors."""
    errors = []

    def play(choices, faults, _):
        trace = Trace()
        played = run(program, choices, faults, trace)
        assert stale_parking(trace) == [], choices.taken
        if played.error is not None and not explains(played.error, trace):
            errors.append((choices.taken, played.error))
        return played

    assert search(play, None, None, (), None, reduce=reduce).complete
    return errors


# -- Programs of waits -----------------------------------------------------------------------


def waiting(world, fibers):
    """Each fiber is a tuple of seconds that it waits for."""

    def fiber(waits):
        for seconds in waits:
            yield WAIT(seconds)

    for waits in fibers:
        world.add(fiber(waits))


def all_are_parked(error, trace):
    """Whether it is a deadlock of fibers that have parked."""
    if not isinstance(error, Deadlock):
        return False
    waits = {event.fid: (event.op, event.dt) for event in trace if event.ev == "yield"}
    return {waits[fiber.id] for fiber in error.fibers} == {("WAIT", None)}


def sequences(alphabet, most):
    return [each for count in range(most + 1) for each in product(alphabet, repeat=count)]


@pytest.mark.parametrize(("count", "most", "share"), [(2, 3, 5), (3, 1, 1), (3, 2, 7), (3, 3, 997)])
def test_of_fibers_that_wait_none_is_forgotten(count, most, share):
    """So many fibers with so many waits at most; in a deadlock all are parked, and truly."""
    programs = list(combinations_with_replacement(sequences([0, 1, None], most), count))

    for fibers in some_of(programs, share):
        found = unexplained_errors(partial(waiting, fibers=fibers), all_are_parked, reduce=True)
        assert found == [], fibers


# -- Programs that also use a connection, a lock and a time-out --------------------------------

OPERATIONS = [
    "turn",
    "sleep",
    "park",
    "send",
    "receive",
    "receive in time",
    "lock",
    "join",
    "in thread",
]


class Shared:
    """What the fibers of a program share, and what each is doing."""

    def __init__(self, world):
        self.world = world
        self.ours, self.theirs = world.socketpair()
        self.locked = False
        self.worker = None
        self.doing = {}

    def work(self):
        yield WAIT(0)
        return "done"

    def fiber(self, number, operations):
        for operation in operations:
            self.doing[number] = operation
            match operation:
                case "turn":
                    yield WAIT(0)
                case "sleep":
                    yield WAIT(1)
                case "park":
                    yield WAIT(None)
                case "send":
                    yield SEND(self.ours)
                    self.ours.send(b"x")
                case "receive":
                    yield RECV(self.theirs)
                    while self.is_empty():  # another fiber was faster
                        yield RECV(self.theirs)
                case "receive in time":
                    with suppress(FiberTimeout):
                        yield RECV(self.theirs, timeout=1)
                        while self.is_empty():
                            yield RECV(self.theirs, timeout=1)
                case "lock":
                    while self.locked:
                        yield WAIT(None)
                    self.locked = True
                    yield WAIT(0)
                    self.locked = False
                case "join":
                    if self.worker is None:
                        self.worker = self.world.add(self.work())
                    assert (yield from join(self.worker)) == "done"
                case "in thread":
                    assert (yield from in_thread(pow, number, 2)) == number**2

    def explains(self, error, _):
        """Whether the contract names this error.

        Two receivers on one socket are refused. A deadlock is one if some fiber has parked of its
        own accord, or waits for data that was never sent; not if all wait for a free lock.
        """
        if isinstance(error, SocketBusy):
            return True
        if not isinstance(error, Deadlock):
            return False
        doing = {self.doing[fiber.id] for fiber in error.fibers}
        return bool(doing & {"park", "receive"}) and ("receive" not in doing or self.is_empty())

    def is_empty(self):
        try:
            return not self.theirs.recv(1)
        except BlockingIOError:
            return True


def steps_of(fibers):
    """Return about how many steps such a program has, with those of the fibers it starts."""
    operations = [operation for fiber in fibers for operation in fiber]
    return len(operations) + 2 * sum(each in ("join", "in thread") for each in operations)


def work_by_fibers(world, monkeypatch):
    """Let a thread be a fiber of `world` that does its work in one step, whenever it is chosen.

    So all that in_thread() does is explored, and how long the thread takes is what is chosen.
    """

    class Thread:
        def __init__(self, target, **_):
            self.target = target

        def start(self):
            def steps():
                self.target()
                return
                yield

            world.add(steps())

    monkeypatch.setattr("fiberlab.sockets.socket.socketpair", world.socketpair)
    monkeypatch.setattr("fiberlab.sockets.threading.Thread", Thread)


@pytest.mark.parametrize(
    ("count", "most", "share"), [(2, 1, 1), (2, 2, 53), (2, 3, 2003), (3, 1, 29), (3, 2, 8009)]
)
def test_of_fibers_that_share_things_none_is_forgotten(count, most, share, monkeypatch):
    programs = [
        fibers
        for fibers in combinations_with_replacement(sequences(OPERATIONS, most), count)
        if steps_of(fibers) <= 6  # one more has about four times the schedules
    ]
    made = []

    def program(world, fibers):
        made[:] = [Shared(world)]
        work_by_fibers(world, monkeypatch)
        for number, operations in enumerate(fibers, 1):
            world.add(made[0].fiber(number, operations))

    for fibers in some_of(programs, share):
        found = unexplained_errors(
            partial(program, fibers=fibers), lambda *each: made[0].explains(*each)
        )
        assert found == [], fibers


# -- Threads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("faults", [(), ("cancel",)])
def test_in_thread_comes_back_or_leaves_nothing_whenever_its_thread_ends(faults, monkeypatch):
    """Also if the fiber is cancelled before, meanwhile, or when the thread has just ended."""
    orders, sockets = set(), []

    def program(world):
        order = []
        work_by_fibers(world, monkeypatch)
        made = world.socketpair

        def socketpair():
            sockets[:] = made()
            return sockets

        monkeypatch.setattr("fiberlab.sockets.socket.socketpair", socketpair)

        def caller():
            order.append((yield from in_thread(order.append, "worked")))

        def other():
            yield WAIT(0)
            order.append("other")

        def nothing_is_left():
            assert all(sock.fileno() == -1 for sock in sockets)
            assert faults or None in order
            orders.add(tuple(order))

        world.add(caller())
        world.add(other())
        world.at_end(nothing_is_left)

    assert_holds(program, faults=faults)
    returned = {("worked", None, "other"), ("worked", "other", None), ("other", "worked", None)}
    cancelled = {("other",), ("other", "worked"), ("worked", "other"), ("worked", None)}
    assert orders == (returned | cancelled if faults else returned)


def test_in_thread_is_refused_since_no_thread_keeps_to_simulated_time():
    def program(world):
        def fiber():
            yield from in_thread(print)

        world.add(fiber())

    assert "in_thread() needs real time" in str(explore(program))
