"""The exercises of lesson 16, judged by `explore`: right is what holds in every schedule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ....errors import Deadlock, one_line
from ....exploration import Result, World, explore
from ....waits import WAIT
from ...exercises import Exercise, Judgement
from ...mistakes import Form
from .museum import Program, questions, turns

# -- Exercise 1: how many orders? --------------------------------------------------------

STEPS = [(1,), (2, 1), (2, 2), (1, 1, 1), (3, 2), (2, 2, 2)]


def judge_orders(function: Callable[[Sequence[int]], int]) -> Judgement:
    """Hold a formula against the number of schedules that are run."""
    for steps in STEPS:
        answer, right = function(list(steps)), explore(_fibers_of(steps)).schedules
        if answer != right:
            return Judgement(
                False,
                f"{answer!r} for {list(steps)}",
                f"{right:,} schedules, which explore has run",
                _why_not(answer, steps),
            )
    return Judgement(True, f"{len(STEPS)} programs have as many schedules as you say")


def _fibers_of(steps: Sequence[int]) -> Program:
    def program(world: World) -> None:
        for count in steps:
            world.add(WAIT(0) for _ in range(count - 1))

    return program


def _why_not(answer: Any, steps: Sequence[int]) -> str:
    if isinstance(answer, int) and answer > explore(_fibers_of(steps)).schedules:
        return (
            "two steps of one fiber cannot change places: divide by the orders of each fiber's "
            "own steps"
        )
    return "it is steps that are put in order, not fibers: how many are there in all?"


# -- Exercises 2 and 3: the museum -------------------------------------------------------

ENOUGH = 5_000  # schedules; the solutions have 1,068 and 55


def judge_semaphore(make_semaphore: Callable[[int], Any]) -> Judgement:
    """Let three fibers go through it in every schedule, any of them cancelled."""
    return _judge(
        turns(make_semaphore),
        lambda error: (
            "a place was given to a fiber that was cancelled: which fiber gives it on?"
            if isinstance(error, Deadlock)
            else "a place is given back once, by the fiber to which it was given"
            if isinstance(error, AssertionError)
            else "a fiber to which a place was given is in the line no more"
        ),
    )


def judge_ask(ask: Callable[..., Any]) -> Judgement:
    """Let two fibers ask in every schedule, any of them cancelled."""
    return _judge(
        questions(ask),
        lambda error: (
            "what is left unread in a connection that is given back?"
            if "got the answer" in str(error)
            else "a connection that cannot be used again is closed"
        ),
    )


def _judge(program: Program, hint: Callable[[BaseException], str]) -> Judgement:
    result = explore(program, faults=["cancel"], at_most=ENOUGH)
    if result and result.complete:
        return Judgement(True, str(result))
    if result:
        return Judgement(
            False,
            str(result),
            "a program of which all schedules can be run",
            "a fiber that looks again and again has schedules without end: let it park, WAIT(None)",
        )
    failure = result.failure
    assert failure is not None
    if isinstance(failure.error, NotImplementedError):
        raise failure.error
    return Judgement(
        False,
        f"{_share(result)}: {'; '.join([*failure.switches, one_line(failure.error)])}",
        f"it holds in every schedule; this one is {failure.tape!r}",
        hint(failure.error),
    )


def _share(result: Result) -> str:
    return str(result).partition(";")[0]


EXERCISES = (
    Exercise(
        "l16-e1",
        "In how many orders can the steps of fibers come?",
        judge_orders,
        Form("function", "steps", "a whole number"),
    ),
    Exercise(
        "l16-e2",
        "A semaphore that loses no place by a cancel.",
        judge_semaphore,
        Form("class", "free", "acquire() is a generator; release() is none"),
        given=4,
    ),
    Exercise(
        "l16-e3",
        "A pool in which each gets its own answer.",
        judge_ask,
        Form("fiber", "pool, question"),
    ),
)
