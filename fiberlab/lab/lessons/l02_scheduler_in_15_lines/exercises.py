"""The exercises of lesson 02, and what judges them: three changes of a scheduler.

The rule kept here: a scheduler is judged by the order of the steps that it makes, and one that
resumes for ever is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from ...exercises import Exercise, Judgement
from ...mistakes import Form
from .experiment import Toy

# -- Exercise 1: last come, first served --------------------------------------


class _Enough(BaseException):
    """Out of a fiber that is resumed again and again, so that no wrong answer runs for ever."""


class Logging(Generator[Any, None, Any]):
    """A fiber that makes a number of steps, notes each, and returns its name in capitals."""

    def __init__(self, name: str, steps: int, log: list[str]) -> None:
        self._name, self._left, self._log = name, steps, log
        self._calls = 0

    def send(self, value: Any, /) -> Any:
        """Make a step; raises StopIteration when there are none left."""
        self._calls += 1
        if self._calls > 200:
            raise _Enough
        if not self._left:
            raise StopIteration(self._name.upper())
        self._left -= 1
        self._log.append(self._name)
        return None

    def throw(self, *error: Any) -> Any:
        """Let an error pass."""
        raise error[0]


Run = Callable[[list[Toy]], Any]


def _try(run: Run, **steps: int) -> tuple[list[str], Any]:
    """Return the names of those that made the steps, in order, and what `run` returned."""
    log: list[str] = []
    try:
        result = run([Logging(name, number, log) for name, number in steps.items()])
    except _Enough:
        raise RuntimeError(
            "a fiber was resumed 200 times: one that has ended must not go into the queue again"
        ) from None
    return log, result


def judge_last_come(run: Run) -> Judgement:
    """Judge the exact order of the steps if the fiber that came last is resumed first."""
    log, _ = _try(run, ann=2, ben=2, cat=2)
    expected = ["cat", "cat", "ben", "ben", "ann", "ann"]
    if log == expected:
        return Judgement(True, " ".join(log))
    hint = "take from the end at which you put in: that one came last"
    if log == ["ann", "ben", "cat", "ann", "ben", "cat"]:
        hint = "that is round robin still: popleft takes the one that came first"
    elif log == ["cat", "ben", "ann", "cat", "ben", "ann"]:
        hint = "the fiber that has just made a step is put in last, so it is next"
    elif len(log) < len(expected):
        hint = "a fiber that yields is not done: put it into the queue again"
    return Judgement(False, " ".join(log) or "no step at all", " ".join(expected), hint)


# -- Exercise 2: starve a fiber -----------------------------------------------

VICTIM_STEPS, OTHER_STEPS, GAP = 3, 10, 20


def longest_gap(log: Sequence[str], name: str) -> int:
    """Return how many steps of others came in a row before a step of `name`, at most."""
    gap = longest = 0
    for each in log:
        gap = 0 if each == name else gap + 1
        longest = max(longest, gap)
    return longest if name in log else len(log)


def judge_starving(run: Run) -> Judgement:
    """Judge how long the first of four fibers has to wait, and that it ends all the same."""
    others = dict.fromkeys(("ben", "cat", "dan"), OTHER_STEPS)
    log, _ = _try(run, ann=VICTIM_STEPS, **others)
    for name, steps in {"ann": VICTIM_STEPS, **others}.items():
        if log.count(name) < steps:
            return Judgement(
                False,
                f"{name} made {log.count(name)} of its {steps} steps",
                "every fiber at its end, however late",
                "to starve is to be ready and to wait; a fiber that is dropped is not ready",
            )
    last = len(log) - log[::-1].index("ann")
    gap = longest_gap(log[:last], "ann")
    if gap < GAP:
        return Judgement(
            False,
            f"ann had to wait for {gap} steps of others at most",
            f"{GAP} or more in a row",
            "in round robin each of the others gets one step; let them have more before ann's turn",
        )
    return Judgement(True, f"ann was ready and waited for {gap} steps of others in a row")


# -- Exercise 3: what they return ---------------------------------------------


def judge_results(run: Run) -> Judgement:
    """Judge what `run` returns: the results of the fibers, in the order in which they ended."""
    log, result = _try(run, ann=3, ben=1, cat=2)
    expected = ["BEN", "CAT", "ANN"]
    if result == expected:
        if log == ["ann", "ben", "cat", "ann", "cat", "ann"]:
            return Judgement(True, f"{result}, and the turns as before")
        hint = "keep round robin as it is, and only note what a fiber returned"
        return Judgement(False, f"the order of steps was {' '.join(log)}", "round robin", hint)
    hint = "`except StopIteration as end` has what was returned, in end.value"
    if result is None:
        hint = "run itself has to return the list, at its end"
    elif result == ["ANN", "BEN", "CAT"]:
        hint = "append when a fiber ends; ann comes first in the queue, and ends last"
    elif result in (["BEN"], "BEN"):
        hint = "return only after the loop: at the first return the others are dropped"
    return Judgement(False, f"run returned {result!r}", repr(expected), hint)


EXERCISES = (
    Exercise(
        "l02-e1", "Resume the fiber that came last.", judge_last_come, Form("function", "fibers")
    ),
    Exercise("l02-e2", "Starve a fiber on purpose.", judge_starving, Form("function", "fibers")),
    Exercise(
        "l02-e3",
        "Return what the fibers return.",
        judge_results,
        Form("function", "fibers", "a list of what the fibers returned"),
    ),
)
