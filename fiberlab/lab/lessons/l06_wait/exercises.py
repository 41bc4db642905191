"""The exercises of lesson 06, and what judges them.

The rule kept here: a judge ends, whatever it is given. In simulated time a run is stopped after
so many events, and the clock counts how often it is asked; the visit to a loop has an end.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

from ....errors import Deadlock
from ....fiber import FiberGenerator
from ....scheduler import Scheduler
from ....simulation.network import SimulatedClock, SimulatedNetwork
from ....trace.events import TraceEvent
from ....trace.trace import Trace
from ....waits import RECV, SEND, WAIT, Wait
from ...exercises import Exercise, Judgement
from ...facts import story
from ...mistakes import Form
from ...shared.grown import Sleeps
from ...shared.simulated_select import AskedTooOften, simulated_select
from .experiment import PATIENCE, visit_museum

MOST_EVENTS = 2_000
MOST_LOOKS = 10_000


class _Endless(RuntimeError):
    """Raised in an answer that asks for the time again and again."""


class _Run:
    """A run in simulated time that is stopped after MOST_EVENTS events."""

    def __init__(self) -> None:
        self.network = SimulatedNetwork()
        self.trace = Trace(stall_after=None)
        self.scheduler = Scheduler(
            clock=self.network.clock, poller=self.network, trace=self._observe, file=io.StringIO()
        )

    def _observe(self, event: TraceEvent) -> None:
        self.trace(event)
        if len(self.trace) > MOST_EVENTS:
            self.scheduler.stop()

    @property
    def endless(self) -> bool:
        """Whether it was stopped."""
        return len(self.trace) > MOST_EVENTS


# -- Exercise 1: the third step of a scheduler --------------------------------


class _World:
    """A student's scheduler in simulated time, and what its fibers note: (name, milliseconds)."""

    def __init__(self, built: Callable[..., Any]) -> None:
        self.network = SimulatedNetwork()
        self.log: list[tuple[str, int]] = []
        ask = simulated_select(self.network, MOST_EVENTS)
        self.scheduler = built(ask, self.network.clock)

    def add(self, name: str, *waits: Any, burn: float = 0) -> None:
        """Add a fiber that notes when each of its waits is over. burn: seconds before each."""

        def fiber() -> FiberGenerator:
            for wait in waits:
                self.network.clock.burn(burn)
                yield wait
                self.log.append((name, round(self.network.clock.now() * 1000)))

        self.scheduler.add(fiber())


SLEPT = [("ben", 100), ("dan", 200), ("ann", 300), ("cat", 300), ("ben", 300)]
"""When the sleepers of exercise 1 go on, in ms."""


def judge_sleeps(built: Callable[..., Any]) -> Judgement:
    """Judge a class whose fibers sleep: when they go on, in which order, and beside what."""
    for judge in (
        _judge_order,
        _judge_beside_data,
        _judge_beside_turns,
        _judge_equals,
        _judge_past,
    ):
        try:
            if (found := judge(_World(built))) is not None:
                return found
        except TypeError as error:
            if "not supported between" not in str(error):
                raise
            hint = "equal deadlines: put a number between that is different each time, next(count)"
            return Judgement(False, str(error), "a heap in which no fibers are compared", hint)
        except AskedTooOften:
            hint = "poll is to wait until the first deadline: super().poll(longest)"
            return Judgement(False, "poll was called again and again", "one wait", hint)
    return Judgement(True, "sleepers go on at their deadlines, in order, and delay no other fiber")


def _told_of(log: list[tuple[str, int]]) -> str:
    return ", ".join(f"{name} at {moment} ms" for name, moment in log) or "no fiber went on"


def _judge_order(world: _World) -> Judgement | None:
    world.add("ann", WAIT(0.3))
    world.add("ben", WAIT(0.1), WAIT(0.2))
    world.add("cat", WAIT(0.3))
    world.add("dan", WAIT(0.2))
    world.scheduler.run()
    if world.log == SLEPT:
        return None
    hint = "the heap gives the first deadline; of equal ones the first that came"
    if world.log and all(moment == 0 for _, moment in world.log):
        hint = "a fiber that yields WAIT(seconds) goes to self.sleepers, and not into the queue"
    elif len(world.log) < len(SLEPT):
        hint = "poll waits until the first deadline, super().poll(longest), then wakes what is due"
    return Judgement(False, _told_of(world.log), _told_of(SLEPT), hint)


def _judge_beside_data(world: _World) -> Judgement | None:
    ours, theirs = world.network.socketpair(latency=0.05)
    theirs.send(b"word")
    world.add("ann", WAIT(0.2))
    world.add("eve", RECV(ours))
    world.scheduler.run()
    expected = [("eve", 50), ("ann", 200)]
    if world.log == expected:
        return None
    hint = "wait in select, so that data ends the wait: longest is the time to the first deadline"
    return Judgement(False, _told_of(world.log), _told_of(expected), hint)


def _judge_beside_turns(world: _World) -> Judgement | None:
    reference = _World(Sleeps)
    for each in (world, reference):
        for name in ("ann", "cat"):
            each.add(name, WAIT(0.025))
        each.add("dan", *[WAIT(0)] * 5, burn=0.01)
        each.scheduler.run()
    if world.log == reference.log:
        return None
    hint = "look at the deadlines in every pass; WAIT(0) is for super().park(fiber, wait)"
    if dict(world.log)["ann"] < dict(world.log)["cat"]:
        hint = "wake every fiber whose deadline has come: while, not if"
    return Judgement(False, _told_of(world.log), _told_of(reference.log), hint)


def _judge_past(world: _World) -> Judgement | None:
    world.add("ann", WAIT(0.005))
    world.add("dan", WAIT(0.1), burn=0.02)
    world.scheduler.run()
    expected = [("ann", 20), ("dan", 120)]
    if world.log == expected:
        return None
    hint = "a deadline may have passed when poll looks: wait for max(0, ...)"
    return Judgement(False, _told_of(world.log), _told_of(expected), hint)


def _judge_equals(world: _World) -> Judgement | None:
    world.add("cat", WAIT(0.025), burn=0.01)
    world.add("dan", WAIT(0.005), burn=0.02)
    world.scheduler.run()
    if [name for name, _ in world.log] == ["cat", "dan"]:
        return None
    hint = "0.01 + 0.025 and 0.03 + 0.005 differ in the last digit: round(..., 9), as in lesson 02"
    return Judgement(False, _told_of(world.log), "cat, which came first, and then dan", hint)


# -- Exercise 2: the fourth step of a scheduler -------------------------------

MOST_PARKED_LOOKS = 50


def looks_under(scheduler: Any, waiters: int, pauses: int | None) -> list[str]:
    """Return which fiber looked for a flag, in order, until it was set.

    scheduler: has `add` and `run`. pauses: after how many turns the flag is set; None: never.
    """
    looks: list[str] = []
    flag: list[bool] = []

    def look(name: str) -> FiberGenerator:
        while not flag and len(looks) < MOST_PARKED_LOOKS:
            looks.append(name)
            yield WAIT(None)

    def set_flag(turns: int) -> FiberGenerator:
        for _ in range(turns):
            yield WAIT(0)
        flag.append(True)

    for name in ("ann", "ben", "cat")[:waiters]:
        scheduler.add(look(name))
    if pauses is not None:
        scheduler.add(set_flag(pauses))
    with contextlib.suppress(Deadlock):
        scheduler.run()
    return looks


def judge_parks(built: Callable[..., Any]) -> Judgement:
    """Judge a class whose fibers park: which of them looks when, held against the real one."""
    for waiters in (1, 2, 3):
        for pauses in (0, 3, None):
            world, network = _World(built), SimulatedNetwork()
            right = looks_under(Scheduler(clock=network.clock, poller=network), waiters, pauses)
            looks = looks_under(world.scheduler, waiters, pauses)
            if looks != right:
                others = (
                    "no other fiber" if pauses is None else f"another that takes {pauses} turns"
                )
                return Judgement(
                    False,
                    f"{waiters} parked beside {others}: looks {' '.join(looks[:9])}",
                    f"looks {' '.join(right)}",
                    _hint_for_parks(looks, right, waiters),
                )
    world = _World(built)
    world.add("asker", WAIT(None), WAIT(None))
    world.add("walker", *[WAIT(0.1)] * 3)
    world.scheduler.run()
    back = [moment for name, moment in world.log if name == "asker"]
    if back != [0, 100]:
        hint = "every step of another fiber wakes what had parked before it"
        return Judgement(False, f"WAIT(None) twice is back after {back} ms", "[0, 100] ms", hint)
    return Judgement(True, "each fiber looks as often as under the real scheduler, and no more")


def _hint_for_parks(looks: list[str], right: list[str], waiters: int) -> str:
    if len(looks) > len(right) and waiters == 1:
        return "WAIT(None) goes into self.parked; and a fiber's own step does not wake it"
    if len(looks) >= MOST_PARKED_LOOKS:
        return "they wake each other for ever: what was woken and parks again has only looked"
    if len(looks) == waiters < len(right):
        return "after each step of a fiber, those that had parked before go into the queue"
    if len(looks) < len(right):
        return "only a fiber that was woken from WAIT(None) and parks again has only looked"
    return "wake after the step, at the end of the queue, in the order in which they parked"


# -- Exercise 3: a heartbeat --------------------------------------------------

START, PERIOD = 0.5, 0.1
WORK = (0.02, 0.05, 0.15, 0.01, 0.03)
DUE = (500, 600, 700, 850, 900)
"""When the beats have to come, in ms: the third takes too long, so the fourth is late at once."""
DRIFTED = (500, 620, 770, 1020, 1130)
FROM_THE_LAST = (500, 600, 700, 850, 950)


class _Clock:
    """A clock that can only be read, and not for ever."""

    def __init__(self, clock: SimulatedClock) -> None:
        self._clock, self._looks = clock, 0

    def now(self) -> float:
        """Return the seconds; raise _Endless if they are asked for again and again."""
        self._looks += 1
        if self._looks > MOST_LOOKS:
            raise _Endless("it asked the clock for ever")
        return self._clock.now()


def judge_heartbeat(function: Callable[..., Any]) -> Judgement:
    """Judge a fiber of ``function(clock, period, beat, times)``: when it calls ``beat()``."""
    run, beats = _Run(), []
    clock = run.network.clock
    clock.burn(START)

    def beat() -> None:
        beats.append(round(clock.now() * 1000))
        if len(beats) <= len(WORK):
            clock.burn(WORK[len(beats) - 1])

    made = function(_Clock(clock), PERIOD, beat, len(WORK))
    fiber = run.scheduler.add(made, "heart")
    run.scheduler.run()
    return _judge_beats(tuple(beats), fiber.error, run.endless)


def _judge_beats(beats: tuple[int, ...], error: BaseException | None, endless: bool) -> Judgement:
    if isinstance(error, NotImplementedError):
        raise error
    seen = f"beats at {', '.join(map(str, beats[:8]))} ms"
    if endless or isinstance(error, _Endless):
        hint = "to ask the clock until it is time keeps the loop busy: yield one WAIT(seconds)"
    elif isinstance(error, ValueError) and "negative" in str(error):
        seen += f"; then {error}"
        hint = "after a long beat the next deadline has passed: wait for max(0, ...)"
    elif error is not None:
        raise error
    elif beats == DRIFTED:
        hint = "the work takes time too: wait until a deadline, due - clock.now(), not for a period"
    elif beats == FROM_THE_LAST:
        hint = "add the period to the last deadline, not to the last beat, which was late"
    else:
        hint = "due = clock.now() once, before the loop; then due += period for each beat"
    if beats == DUE and error is None and not endless:
        return Judgement(True, f"{seen}; the one after the long beat is late, the next is not")
    return Judgement(False, seen, f"beats at {', '.join(map(str, DUE))} ms", hint)


# -- Exercise 5: the stall ----------------------------------------------------


def pausing(*waits: Wait) -> Callable[[Any, Any], FiberGenerator]:
    """Return a handler that pauses between what it receives and its answer."""

    def handler(sock: Any, address: Any) -> FiberGenerator:
        yield RECV(sock)
        data = sock.recv(1024)
        yield from waits
        yield SEND(sock)
        sock.send(data)

    return handler


MOST_PASSES = 60


def judge_loop(loop: Callable[..., Any]) -> Judgement:
    """Judge a mended OldLoop by three visits: two zero waits, a sleep, two untimed waits."""
    zero = visit_museum(loop, pausing(WAIT(0), WAIT(0)))
    if not zero.in_time:
        return Judgement(
            False, f"no answer within {PATIENCE} s after two WAIT(0)", "an answer at once",
            "what does `elif wait.seconds:` make of 0? WAIT(0) has a deadline: now",
        )  # fmt: skip
    slept = visit_museum(loop, pausing(WAIT(0.05)))
    if not slept.in_time or slept.answered < 0.05:
        return Judgement(
            False, "WAIT(0.05) no longer sleeps for 0.05 s", "a sleep as long as before",
            "only zero was treated wrongly: leave the other waits to super().park",
        )  # fmt: skip
    untimed = visit_museum(loop, pausing(WAIT(None), WAIT(None)))
    if untimed.in_time:
        return Judgement(
            False, "two WAIT(None) were answered though no other fiber had run",
            "WAIT(None) goes on waiting until ben comes",
            "None is no zero: it waits for another fiber. Ask with `is None`, or `== 0`",
        )  # fmt: skip
    if untimed.passes > MOST_PASSES:
        return Judgement(
            False, f"while ann waited the loop went round {untimed.passes} times",
            "a loop that waits in its select",
            "a timeout of 0 for ever keeps a processor busy: mend what park makes of WAIT(0)",
        )  # fmt: skip
    if not untimed.after_ben:
        hint = "WAIT(None) belongs into self.untimed, as before"
        return Judgement(False, "ben came, and ann was not woken", "WAIT(None) as before", hint)
    return Judgement(True, "WAIT(0) comes back at once, WAIT(None) when another fiber has run")


# -- Exercise 4: wait for something to be true --------------------------------


def judge_wait_until(function: Callable[[Callable[[], bool]], Any]) -> Judgement:
    """Judge ``yield from function(done)``: with nothing to wait for, and beside a slow fiber."""
    expected = "it waits only while done() is false, and looks again after each wake"
    alone = _Run()
    fiber = alone.scheduler.add(function(lambda: True), "waiter")
    try:
        alone.scheduler.run()
    except Deadlock as error:
        hint = "it was true already, and no fiber will run any more: look before you wait"
        return Judgement(False, str(error), expected, hint)
    _raise(fiber.error)
    run = _Run()
    flags: list[bool] = []
    moments: list[tuple[int, bool]] = []
    waiter = run.scheduler.add(_waiter(function, flags, moments, run.network.clock), "waiter")
    run.scheduler.add(_slow(flags), "slow")
    try:
        run.scheduler.run()
    except Deadlock as error:
        hint = "the last wake was missed: between the look and the wait there must be no yield"
        return Judgement(False, str(error), expected, hint)
    _raise(waiter.error)
    return _judge_waiter(run, moments, expected)


def _raise(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, GeneratorExit):
        raise error


def _slow(flags: list[bool]) -> FiberGenerator:
    for _ in range(3):
        yield WAIT(0.1)
    flags.append(True)


def _waiter(
    function: Any, flags: list[bool], moments: list[tuple[int, bool]], clock: SimulatedClock
) -> FiberGenerator:
    yield from function(lambda: bool(flags))
    moments.append((round(clock.now() * 1000), bool(flags)))


def _judge_waiter(run: _Run, moments: list[tuple[int, bool]], expected: str) -> Judgement:
    words = story(run.trace, "waiter")
    if run.endless or "ready" in words or "sleep" in words:
        asked = "WAIT(0)" if "ready" in words else "WAIT(seconds)"
        seen = f"it asked again and again, by {asked}"
        hint = "you need not ask by the clock: WAIT(None) is woken when another fiber has run"
        return Judgement(False, seen, expected, hint)
    moment, true = moments[0]
    if not true:
        seen = f"it went on after {moment} ms, and done() was false"
        hint = "some fiber has run; that need not be the one you wait for: while, not if"
        return Judgement(False, seen, expected, hint)
    return Judgement(True, f"parked {words.count('parked')} times, and went on when it was true")


EXERCISES = (
    Exercise(
        "l06-e1",
        "Let your scheduler wait for deadlines.",
        judge_sleeps,
        Form("class", "select, clock", "park() and poll() return nothing"),
    ),
    Exercise(
        "l06-e2",
        "Let your scheduler park fibers, and wake them.",
        judge_parks,
        Form("class", "select, clock", "park() and turn() return nothing"),
    ),
    Exercise(
        "l06-e3",
        "A heartbeat without drift.",
        judge_heartbeat,
        Form("fiber", "clock, period, beat, times"),
    ),
    Exercise(
        "l06-e4",
        "Wait until something is true, and lose no wake-up.",
        judge_wait_until,
        Form("fiber", "done"),
    ),
    Exercise(
        "l06-e5",
        "Mend the stall of the old loop.",
        judge_loop,
        Form("class", "listener, handler", "park() notes the fiber and returns nothing"),
    ),
)
