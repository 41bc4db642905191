"""The exercises of lesson 17, and what judges them: a cure, and the test that proves one."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ...exercises import CHECK_SECONDS, Exercise, Judgement
from ...mistakes import Form
from ...shared.own_thread import in_own_thread

# -- Exercise 1: the cure -------------------------------------------------------

WORDS = ("tea", "jam", "old", "salt")
TURN_SECONDS = 1.0
"""How long a call waits for a turn of the loop; a loop that is free takes microseconds."""


class _Catalogue:
    """A look-up that blocks until the loop has had a turn, unless the loop itself calls it.

    in_the_loop: how many calls came from the loop's thread. held: whether the loop had no turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.calls = self.in_the_loop = 0
        self.held = False
        self._loop, self._thread = loop, threading.get_ident()

    def fetch(self, word: str) -> str:
        """Return what is known of a word."""
        self.calls += 1
        if threading.get_ident() == self._thread:
            self.in_the_loop += 1
        elif not self.held:
            turn = threading.Event()
            self._loop.call_soon_threadsafe(turn.set)
            self.held = not turn.wait(TURN_SECONDS)
        return word.upper()


def judge_cure(function: Callable[..., Coroutine[Any, Any, Any]]) -> Judgement:
    """Await ``function(WORDS, fetch)`` under asyncio; see where `fetch` ran, and what it gave."""

    async def main() -> tuple[_Catalogue, Any]:
        catalogue = _Catalogue(asyncio.get_running_loop())
        made = function(list(WORDS), catalogue.fetch)
        return catalogue, await made if inspect.isawaitable(made) else made

    catalogue, answer = in_own_thread(lambda: asyncio.run(main()), CHECK_SECONDS / 2)
    expected = f"{[word.upper() for word in WORDS]}, in the order of the words"
    parts = answer if isinstance(answer, (list, tuple)) else [answer]
    if waiting := [each for each in parts if inspect.isawaitable(each)]:
        for each in filter(asyncio.iscoroutine, waiting):
            each.close()
        hint = "await what to_thread returns: without that it is only something that could be run"
        return Judgement(False, f"it returned {type(waiting[0]).__name__}s", expected, hint)
    if catalogue.in_the_loop:
        return Judgement(
            False,
            f"{catalogue.in_the_loop} of {catalogue.calls} calls of fetch ran in the thread of the "
            "loop",
            "each call in another thread",
            "async and await move nothing: asyncio.to_thread(fetch, word) does, and is awaited",
        )
    if catalogue.held:
        return Judgement(
            False,
            f"while fetch was at work in a thread, the loop had no turn for {TURN_SECONDS:g} s",
            "a loop that goes on meanwhile",
            "what waits for the thread without an await holds the loop, as pool.map does",
        )
    if list(parts) != [word.upper() for word in WORDS]:
        hint = "asyncio.gather returns its results in the order in which it was given them"
        return Judgement(False, f"it returned {answer!r:.80}", expected, hint)
    return Judgement(True, f"{len(WORDS)} answers in order, and the loop was free")


# -- Exercise 2: the test ---------------------------------------------------------

STALL = 0.15


async def _calm() -> None:
    for _ in range(3):
        await asyncio.sleep(STALL / 3)


async def _sleeps() -> None:
    await asyncio.sleep(0.01)
    time.sleep(STALL)


async def _computes() -> None:
    await asyncio.sleep(0.01)
    end = time.thread_time() + STALL
    while time.thread_time() < end:
        pass


async def _calls_back() -> None:
    asyncio.get_running_loop().call_later(0.01, time.sleep, STALL)
    await asyncio.sleep(0.02)


def judge_test(test: Callable[[Callable[[], Coroutine[Any, Any, None]]], Any]) -> Judgement:
    """Give a test programs with a stall, which it has to fail, and one without."""
    if inspect.iscoroutinefunction(inspect.unwrap(test)):
        hint = "nothing awaits a test: run(main(), trace) makes the loop for the program"
        return Judgement(False, "a test that is an async def", "a def", hint)
    held = ((_sleeps, "time.sleep"), (_computes, "a computation"), (_calls_back, "a callback"))
    expected = f"an AssertionError where a step holds the loop for {STALL * 1000:g} ms, else none"
    for main, what in held:
        try:
            told = None if _fails(test, main) else f"it passes one in which {what} holds the loop"
        except ValueError as error:  # assert_no_stall was given a trace of nothing
            told = f"it raises ValueError: {error}"
        if told is not None:
            return Judgement(
                False,
                told,
                expected,
                "run the program inside the test, recorded: run(main(), trace); and give that "
                "trace to assert_no_stall, with 50 milliseconds",
            )
    if _fails(test, _calm):
        return Judgement(
            False,
            "it fails a program that sleeps by asyncio.sleep, and holds nothing",
            expected,
            "how long the whole takes is no matter: a step of the loop is what must be short",
        )
    return Judgement(True, "it fails three programs that hold the loop, and passes one that waits")


def _fails(test: Callable[..., Any], main: Callable[[], Coroutine[Any, Any, None]]) -> bool:
    """Tell whether the test fails `main`; raises whatever is no failed assertion."""
    made: list[Coroutine[Any, Any, None]] = []

    def noted() -> Coroutine[Any, Any, None]:
        made.append(main())
        return made[-1]

    try:
        in_own_thread(lambda: test(noted), CHECK_SECONDS / 5)
    except AssertionError:
        return True
    finally:
        for each in made:
            each.close()  # it has run, unless the test did not run it
    return False


EXERCISES = (
    Exercise(
        id="l17-e1",
        text="Look up several words with a call that blocks, and leave the loop free.",
        judge=judge_cure,
        form=Form("async", "words, fetch", "the answers, in order"),
    ),
    Exercise(
        id="l17-e2",
        text="Write the test that fails if a step of the program holds the loop.",
        judge=judge_test,
        form=Form("function", "main"),
    ),
)
