"""The exercises of lesson 06, and what judges them.

The rule kept here: a judge ends, whatever it is given. In simulated time a run is stopped after
so many events, and the clock counts how often it is asked; the visit to a loop has an end.
"""

from __future__ import annotations

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


# -- Exercise 1: a heartbeat --------------------------------------------------

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


# -- Exercise 2: the stall ----------------------------------------------------


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


# -- Exercise 3: wait for something to be true --------------------------------


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
        "A heartbeat without drift.",
        judge_heartbeat,
        Form("fiber", "clock, period, beat, times"),
    ),
    Exercise(
        "l06-e2",
        "Mend the stall of the old loop.",
        judge_loop,
        Form("class", "listener, handler", "park() notes the fiber and returns nothing"),
    ),
    Exercise(
        "l06-e3",
        "Wait until something is true, and lose no wake-up.",
        judge_wait_until,
        Form("fiber", "done"),
    ),
)
