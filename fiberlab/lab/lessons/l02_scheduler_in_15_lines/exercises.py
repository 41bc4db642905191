"""The exercises of lesson 02, and what judges them: two changed schedulers, and one's own.

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
    """A fiber that makes a number of steps, and notes each; yields: what it hands out."""

    def __init__(self, name: str, steps: int, log: list[str]) -> None:
        self._name, self._left, self._log = name, steps, log
        self._calls = 0
        self.yields = f"the wait of {name}"

    def send(self, value: Any, /) -> Any:
        """Make a step; raises StopIteration when there are none left."""
        self._calls += 1
        if self._calls > 200:
            raise _Enough
        if not self._left:
            raise StopIteration
        self._left -= 1
        self._log.append(self._name)
        return self.yields

    def throw(self, *error: Any) -> Any:
        """Let an error pass."""
        raise error[0]


Run = Callable[[list[Toy]], Any]


def _try(run: Run, **steps: int) -> list[str]:
    """Return the names of those that made the steps, in order."""
    log: list[str] = []
    try:
        run([Logging(name, number, log) for name, number in steps.items()])
    except _Enough:
        raise RuntimeError(
            "a fiber was resumed 200 times: one that has ended must not go into the queue again"
        ) from None
    return log


def judge_last_come(run: Run) -> Judgement:
    """Judge the exact order of the steps if the fiber that came last is resumed first."""
    log = _try(run, ann=2, ben=2, cat=2)
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
    log = _try(run, ann=VICTIM_STEPS, **others)
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


# -- Exercise 3: the first step of a scheduler --------------------------------


def judge_turns(built: Callable[[], Any]) -> Judgement:
    """Judge a class of which `run_ready` makes a pass, and `turn` a step."""
    log: list[str] = []
    turned: list[Any] = []
    parked: list[tuple[Any, Any]] = []

    class Watched(built):  # type: ignore[misc,valid-type]
        def turn(self, fiber: Any) -> None:
            turned.append(fiber)
            super().turn(fiber)

        def park(self, fiber: Any, wait: Any) -> None:
            parked.append((fiber, wait))
            super().park(fiber, wait)

        def run_ready(self) -> None:
            super().run_ready()
            log.append("|")

    scheduler = Watched()
    fibers = [Logging(name, steps, log) for name, steps in (("ann", 3), ("ben", 1), ("cat", 2))]
    for fiber in fibers:
        scheduler.add(fiber)
    try:
        scheduler.run()
    except _Enough:
        hint = "a fiber that has ended goes into no queue: return at StopIteration"
        return Judgement(False, "a fiber was resumed 200 times", "the end of the run", hint)
    seen, expected = " ".join(log), "ann ben cat | ann cat | ann | |"
    if len(turned) < len(log) - log.count("|"):
        seen = f"the order is {seen}; turn was called {len(turned)} times"
        hint = "run_ready takes a fiber out and calls self.turn(fiber): a later lesson changes turn"
        return Judgement(False, seen, "a call of turn for each step", hint)
    yielded = [(fiber, fiber.yields) for fiber in turned if fiber in dict(parked)]
    if log.count("ann") and (not parked or any(pair not in yielded for pair in parked)):
        seen = f"park got {parked[0][1]!r}" if parked else "park was never called"
        hint = "self.park(fiber, wait): wait is what next(fiber) gave"
        return Judgement(False, seen, "park gets the fiber, and what it has yielded", hint)
    if seen == expected:
        return Judgement(True, seen)
    hint = "take out the fiber in front, by popleft: the first that came is the first to run"
    if log.count("|") == 1:
        hint = (
            "a pass has an end: count the queue before it begins, for _ in range(len(self.queue))"
        )
    elif seen.startswith("ann ann"):
        hint = "turn resumes a fiber once, by next(fiber), and leaves the rest to its next turns"
    elif seen.startswith("ann |"):
        hint = "a pass resumes all that are ready, not the first alone"
    elif log.count("ann") + log.count("ben") + log.count("cat") < 6:
        hint = "a fiber that has yielded is not done: self.park(fiber, wait)"
    return Judgement(False, seen or "no step at all", expected, hint)


EXERCISES = (
    Exercise(
        "l02-e1", "Resume the fiber that came last.", judge_last_come, Form("function", "fibers")
    ),
    Exercise("l02-e2", "Starve a fiber on purpose.", judge_starving, Form("function", "fibers")),
    Exercise(
        "l02-e3",
        "Build the first step of your scheduler.",
        judge_turns,
        Form("class", "", "run_ready() and turn() return nothing"),
    ),
)
