"""The exercises of lesson 10, and what judges them: a gap, an atomic update, a fair lock."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

from ....exploration import World, explore
from ....spans.build import build_spans
from ....trace.trace import Trace
from ....waits import WAIT, Wait
from ...exercises import Exercise, Judgement
from ...mistakes import Form
from ...shared.trial import Trial
from .experiment import Counter, updates

# -- Exercise 1: which yield? -------------------------------------------------


def judge_gap(answer: Any, trace: Trace) -> Judgement:
    """Judge the line of the yield between check and act: the third yield of a client's fiber."""
    expected = "the line of one yield: what was read before it is used after it"
    lives = build_spans(trace).lives
    rows = [event for event in trace if event.ev == "yield" and event.fid == lives[1].id]
    lines = [int((event.src or ":0").rpartition(":")[2]) for event in rows]
    number = int(str(answer).rpartition(":")[2]) if str(answer)[-1:].isdigit() else 0
    if number not in lines:
        return Judgement(
            False,
            f"no fiber yielded at line {answer}",
            expected,
            "check and act are lines too, but another fiber runs at a yield; count the lines of "
            "the cell from 1",
        )
    place = lines.index(number)
    if place == 2:
        return Judgement(True, f"between the check and the act the fiber yields at line {number}")
    before = "that yield comes before the check, which sees all that happened meanwhile"
    after = "that yield comes after the act: the seat is taken by then"
    seen = f"line {number} is yield {place + 1} of {len(lines)} of a client's fiber"
    return Judgement(False, seen, expected, before if place < 2 else after)


# -- Exercise 2: make it atomic -----------------------------------------------

LOOK_UP = 0.01


def price(number: int) -> Generator[Wait, None, int]:
    """Return the price of a thing, after 10 ms: another machine has to be asked."""
    yield WAIT(LOOK_UP)
    return number % 7


def judge_sum(function: Callable[[Counter, int], Generator[Any, Any, Any]]) -> Judgement:
    """Run some fibers of ``function(counter, rounds)``; judge the sum, and how long it took."""
    fibers, rounds = 4, 10
    counter, trial = Counter(), Trial()
    made = [trial.add(function(counter, rounds), f"adder-{n}") for n in range(1, fibers + 1)]
    if not trial.run():
        return Judgement(False, trial.failure, "fibers that end", "which loop never ends, and why?")
    for fiber in made:
        if fiber.error is not None:
            raise fiber.error
    right = fibers * sum(n % 7 for n in range(rounds))
    took, alone = trial.network.clock.now(), rounds * LOOK_UP
    judgement = _judge_value(counter, right, took, fibers * rounds)
    if judgement is not None:
        return judgement
    if took > 1.5 * alone:
        return Judgement(
            False,
            f"the sum is right, and it took {took:.2f} s",
            f"{alone:.2f} s: the fibers ask for their prices at the same time",
            "a fiber that holds a lock while it waits lets all others wait; no lock is needed here",
        )
    return Judgement(True, f"{right}, in {took:.2f} s, as long as one fiber alone takes")


def _judge_value(counter: Counter, right: int, took: float, asked: int) -> Judgement | None:
    if took < LOOK_UP:
        return Judgement(
            False,
            "no fiber has waited for a price",
            f"{asked} prices, each asked for with price(n)",
            "price(n) only makes a generator: yield from price(n) runs it, and has its result",
        )
    value = counter.value
    if value == right:
        return None
    return Judgement(
        False,
        f"{value}, after {len(updates(counter))} updates",
        f"{right}: no price is lost",
        "which is read first, counter.value or the price? += reads its left side before the "
        "right side is worked out, and that yields",
    )


# -- Exercise 3: a fair lock --------------------------------------------------


class FiberLock(Protocol):
    """What the exercise asks for; `acquire` is used as ``with (yield from lock.acquire()):``."""

    def acquire(self) -> Generator[Wait, None, Any]:
        """Wait until the lock is free, hold it, and return what `with` needs."""
        ...


def judge_lock(make_lock: Callable[[], FiberLock]) -> Judgement:
    """Judge a class of locks: exclusion, order of coming, and release by a holder that raises."""
    return (
        _judge_order(make_lock()) or _judge_release(make_lock()) or _judge_every_schedule(make_lock)
    )


def _holder(
    lock: FiberLock, counter: Counter, log: list[tuple[str, str]], name: str
) -> Generator[Wait, None, None]:
    for _ in range(3):
        log.append(("asks", name))
        with (yield from lock.acquire()):
            log.append(("has", name))
            value = counter.value
            yield WAIT(0.01)
            counter.value = value + 1


def _judge_order(lock: FiberLock) -> Judgement | None:
    log: list[tuple[str, str]] = []
    counter, trial = Counter(), Trial()
    names = ["ann", "ben", "cat", "dan"]
    fibers = [trial.add(_holder(lock, counter, log, name), name) for name in names]
    ended = trial.run()
    for fiber in fibers:
        if isinstance(fiber.error, Exception):
            raise fiber.error
    if not ended:
        return Judgement(
            False,
            trial.failure,
            "four fibers that hold the lock three times each, for 10 ms, and end",
            "WAIT(0) asks again in each pass, and never lets the time pass; a fiber that must "
            "wait for another one parks: WAIT(None)",
        )
    if counter.value != 12:
        return Judgement(
            False,
            f"{counter.value} of 12 updates survived",
            "12: one holder at a time",
            "is there a yield between seeing that the lock is free and taking it?",
        )
    asked = [name for what, name in log if what == "asks"]
    had = [name for what, name in log if what == "has"]
    if asked == had:
        return None
    return Judgement(
        False,
        f"they asked as {' '.join(asked[:6])} ... and had it as {' '.join(had[:6])} ...",
        "the same order: first come, first served",
        "each fiber takes a place in a line, also if the lock looks free; which is at its head?",
    )


def _judge_release(lock: FiberLock) -> Judgement | None:
    log: list[str] = []
    trial = Trial()

    def holder(name: str, fails: bool) -> Generator[Wait, None, None]:
        with (yield from lock.acquire()):
            yield WAIT(0.01)
            if fails:
                raise ValueError(name)
            log.append(name)

    trial.add(holder("ann", True), "ann")
    trial.add(holder("ben", False), "ben")
    ended = trial.run()
    if ended and log == ["ben"]:
        return None
    return Judgement(
        False,
        f"ann raised while it held the lock; then: {trial.failure or log}",
        "ben has the lock next",
        "__exit__ is called however the block is left: give the lock back there, whatever its "
        "arguments say",
    )


def _judge_every_schedule(make_lock: Callable[[], FiberLock]) -> Judgement:
    def program(world: World) -> None:
        lock, asked, had, inside = make_lock(), [], [], []

        def holder(name: str) -> Generator[Wait, None, None]:
            asked.append(name)
            with (yield from lock.acquire()):
                had.append(name)
                inside.append(name)
                yield WAIT(0)
                inside.remove(name)

        def one_at_a_time_in_their_order() -> bool:
            return len(inside) <= 1 and had == asked[: len(had)]

        world.always(one_at_a_time_in_their_order)
        for name in ("ann", "ben", "cat"):
            world.add(holder(name), name)

    result = explore(program, at_most=5_000)
    if result and result.complete:
        return Judgement(True, f"first come, first served; free again after an error; {result}")
    return Judgement(
        False,
        str(result),
        "one holder at a time, first come, first served, in every schedule",
        "is it right only if the fibers run in the order of the run queue?",
    )


EXERCISES = (
    Exercise(
        "l10-e1",
        "Which yield stands between the check and the act?",
        judge_gap,
        Form("values", "line", "the number of a line"),
    ),
    Exercise(
        "l10-e2",
        "Add up prices without losing one, and without a lock.",
        judge_sum,
        Form("fiber", "counter, rounds"),
    ),
    Exercise(
        "l10-e3",
        "A lock that serves first come, first served.",
        judge_lock,
        Form("class", "", "acquire() is a generator that returns self"),
    ),
)
