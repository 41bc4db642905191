"""The questions of one run and their answers: from a tape, and beyond it from a policy.

The rule kept here: only a question with two answers or more is asked, and 0 is what would happen
anyway: first come, first served, and no fault. So a tape of zeros is the ordinary run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from .footprints import Footprints

Policy = Callable[[Sequence[Any] | None, int], int]
"""Answers beyond the tape: given the ready fibers and how many answers there are.

Instead of fibers it is given None if the question is which client comes first, and an empty list
if it is whether a fault happens.
"""

NOT_THE_SAME = (
    "it belongs to another program, or the program is not the same each time (real time, random "
    "numbers, the order of a set)"
)


class Choices:
    """Answers the questions of a run, and notes the answers.

    taken: the answers so far. widths: among how many each was chosen.
    switches: what each deviation meant, in words; only if `telling`. footprints: where it is noted
    what each step touches; None: nowhere.
    """

    footprints: Footprints | None = None

    def __init__(
        self, tape: Sequence[int] = (), policy: Policy | None = None, *, telling: bool = False
    ) -> None:
        self.taken: list[int] = []
        self.widths: list[int] = []
        self.switches: list[str] = []
        self.telling = telling
        self._tape = tape
        self._policy = policy

    def choose(
        self, width: int, ready: Sequence[Any] | None = None, faults: Sequence[str] = ()
    ) -> int:
        """Return an answer from 0 to `width` - 1; `ready`: see Policy. faults: in words."""
        place = len(self.taken)
        if place < len(self._tape):
            answer = self._tape[place]
            if answer >= width:
                raise ValueError(
                    f"the tape asks for answer {answer} of {width} at place {place + 1}: "
                    + NOT_THE_SAME
                )
        else:
            answer = 0 if self._policy is None else self._policy(ready, width)
        self.taken.append(answer)
        self.widths.append(width)
        return answer

    def forced(self, ready: Sequence[Any]) -> None:
        """Let the policy know of a step at which there is nothing to choose."""
        if self._policy is not None:
            self._policy(ready, 1)

    @property
    def followed(self) -> bool:
        """Whether the whole tape was asked for."""
        return len(self.taken) >= len(self._tape)


class ChosenQueue:
    """A run queue that asks which of the ready fibers is next.

    last: the fiber that was taken out last, whose step it is.
    """

    def __init__(self, choices: Choices) -> None:
        self.ready: list[Any] = []
        self.append = self.ready.append
        self.last: Any = None
        self.steps = 0
        self.over = False  # the run is being left: no more questions
        self.passing = False  # a pass has begun, and its one step has not
        self._choices = choices

    def popleft(self) -> Any:
        """Take out the fiber that was chosen."""
        ready, place = self.ready, 0
        self.passing = False
        if len(ready) > 1 and not self.over:
            place = self._choices.choose(len(ready), ready)
            if place and self._choices.telling:
                self._choices.switches.append(
                    f"at step {self.steps + 1} {ready[place].name!r} runs before {ready[0].name!r}"
                )
        elif not self.over:
            self._choices.forced(ready)
        self.steps += 1
        self.last = fiber = ready.pop(place)
        return fiber

    def __len__(self) -> int:
        # A pass is one step, so that a fiber that becomes ready may be the next one to run.
        return min(1, len(self.ready)) if self.passing else len(self.ready)

    def __bool__(self) -> bool:
        return bool(self.ready)


class RandomPriorities:
    """Random priorities that change at a few random steps: PCT, one run of it.

    The fiber with the highest priority runs; at `depth` - 1 random steps of `steps` the fiber
    that would run gets a priority below all that were drawn at first. A bug of depth d is one that
    needs d pairs of steps in the right order. With n fibers and k steps, one run finds it with
    probability at least 1/(n * k ** (d - 1)): S. Burckhardt, P. Kothari, M. Musuvathi,
    S. Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
    ASPLOS 2010. That holds only for runs of at most k steps of at most n fibers, and while nothing
    else is asked: which client comes first is answered evenly at random, a fault happens at about
    one step in `steps`. After 2 * `steps` steps it is first come, first served, so that fibers
    that spin end too.

    orders_only: whether nothing but the next fiber was asked for so far.
    """

    def __init__(self, random: Random, steps: int, depth: int) -> None:
        self.orders_only = True
        self._random = random
        self._steps = steps
        # In no order: of two that were lowered, either may be the one with the lower priority.
        self._changes = [random.randrange(1, steps + 1) for _ in range(depth - 1)]
        self._priorities: dict[int, float] = {}
        self._limit = 2 * steps
        self._step = 0

    @staticmethod
    def chance(fibers: int, steps: int, depth: int) -> float:
        """Return with which probability one run finds a bug of this depth, at least."""
        return float(1 / (fibers * steps ** (depth - 1)))

    def __call__(self, ready: Sequence[Any] | None, width: int) -> int:
        """Answer a question."""
        if not ready:
            self.orders_only = False
            if ready is not None and self._random.random() * self._steps >= 1:
                return 0
            return self._random.randrange(0 if ready is None else 1, width)
        self._step = step = self._step + 1
        if step > self._limit:
            return 0
        priorities = self._priorities
        for fiber in ready:
            if fiber.id not in priorities:
                priorities[fiber.id] = self._random.random()
        for lower, change in enumerate(self._changes, 1):
            if change == step:
                first = max(ready, key=lambda fiber: priorities[fiber.id])
                priorities[first.id] = -lower
        return max(range(width), key=lambda place: priorities[ready[place].id])
