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


class _Catalogue:
    """A look-up that blocks, and notes from which thread it was called."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def fetch(self, word: str) -> str:
        """Return what is known of a word; it blocks for a moment."""
        self.threads.append(threading.get_ident())
        time.sleep(0.01)
        return word.upper()


def judge_cure(function: Callable[..., Coroutine[Any, Any, Any]]) -> Judgement:
    """Await ``function(WORDS, fetch)`` under asyncio; see where `fetch` ran, and what it gave."""
    catalogue = _Catalogue()

    async def main() -> tuple[int, Any]:
        made = function(list(WORDS), catalogue.fetch)
        answer = await made if inspect.isawaitable(made) else made
        return threading.get_ident(), answer

    loop_thread, answer = in_own_thread(lambda: asyncio.run(main()), CHECK_SECONDS / 2)
    expected = f"{[word.upper() for word in WORDS]}, in the order of the words"
    parts = answer if isinstance(answer, (list, tuple)) else [answer]
    if waiting := [each for each in parts if inspect.isawaitable(each)]:
        for each in filter(asyncio.iscoroutine, waiting):
            each.close()
        hint = "await what to_thread returns: without that it is only something that could be run"
        return Judgement(False, f"it returned {type(waiting[0]).__name__}s", expected, hint)
    if loop_thread in catalogue.threads:
        return Judgement(
            False,
            f"{catalogue.threads.count(loop_thread)} of {len(catalogue.threads)} calls of fetch "
            "ran in the thread of the loop",
            "each call in another thread",
            "async and await move nothing: asyncio.to_thread(fetch, word) does, and is awaited",
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
    held = ((_sleeps, "time.sleep"), (_computes, "a computation"), (_calls_back, "a callback"))
    expected = f"an AssertionError where a step holds the loop for {STALL * 1000:g} ms, else none"
    for main, what in held:
        if not _fails(test, main):
            return Judgement(
                False,
                f"it passes a program in which {what} holds the loop",
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
