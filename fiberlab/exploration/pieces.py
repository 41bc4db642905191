"""Pieces of a search: schedules that are run together, in this process or in another one.

The rule kept here: a piece is given all that it needs, and what it has found can be added to what
the pieces before it have found. So the result does not depend on where a piece was run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import Any, NamedTuple

from ..trace.trace import Trace
from .choices import NOT_THE_SAME, Choices, RandomPriorities
from .result import Explored
from .world import Played

Play = Callable[[Choices, Sequence[str], "Trace | None"], Played]
"""Runs one schedule, with the answers of Choices and these faults; records it if asked to."""

Tape = Sequence[int]
"""The answers of a schedule up to its last switch: bytes, or a tuple where a number is too large.

There can be a million of them, and bytes are small.
"""

DEPTH = 3
"""The depth of the bugs that random priorities are aimed at."""


class Prefix(NamedTuple):
    """A schedule from which others branch off.

    widths: among how many answers each one after its tape, which was 0, was chosen.
    """

    tape: Tape
    widths: Tape

    def branches(self) -> Iterator[Tape]:
        """Return the tapes with one switch more."""
        zeros = tuple(self.tape)
        for width in self.widths:
            for answer in range(1, width):
                yield _small((*zeros, answer))
            zeros += (0,)

    def how_many(self) -> int:
        """Return how many there are."""
        return sum(self.widths) - len(self.widths)


@dataclass
class Found:
    """What was found in some schedules, the ones with fewer switches first.

    keep: how many schedules that branch off from these can be of use. sketched: how many of these
    are noted in `explored`. known: how many branch off, be they of use or not.
    steps, fibers: the most that one schedule had. failing: the tape of the first that fails.
    passing: of the first that passes, of those with the fewest switches. seconds: of real time.
    """

    keep: int
    sketched: int
    schedules: int = 0
    failures: int = 0
    known: int = 0
    steps: int = 1
    fibers: int = 1
    failing: Tape | None = None
    passing: Tape | None = None
    prefixes: list[Prefix] = field(default_factory=list)
    explored: list[Explored] = field(default_factory=list)
    seconds: float = 0.0

    def run(self, play: Play, faults: Sequence[str], tape: Tape) -> None:
        """Run one schedule, and add what it shows."""
        began = perf_counter()
        names: list[str] | None = [] if self.schedules < self.sketched else None
        choices = Choices(tape) if names is None else _Named(tape, names)
        error, steps, fibers = play(choices, faults, None)
        check_followed(choices)
        self.schedules += 1
        self.failures += error is not None
        self.steps, self.fibers = max(self.steps, steps), max(self.fibers, fibers)
        if names is not None:
            self.explored.append(Explored(tuple(choices.taken), tuple(names), error is not None))
        self._remember(Prefix(tape, _small(choices.widths[len(tape) :])))
        self._note(*((None, tape) if error is None else (tape, None)))
        self.seconds += perf_counter() - began

    def add(self, later: Found) -> None:
        """Add what was found in the schedules that come next."""
        self.schedules += later.schedules
        self.failures += later.failures
        self.steps, self.fibers = max(self.steps, later.steps), max(self.fibers, later.fibers)
        self.explored += later.explored
        known = self.known + later.known
        for prefix in later.prefixes:
            self._remember(prefix)
        self.known = known  # also those that were of no use
        self._note(later.failing, later.passing)
        self.seconds += later.seconds

    def _remember(self, prefix: Prefix) -> None:
        if count := prefix.how_many():
            # Those that will never be run need not be remembered, only counted.
            if self.known < self.keep:
                self.prefixes.append(prefix)
            self.known += count

    def _note(self, failing: Tape | None, passing: Tape | None) -> None:
        if self.failing is None:
            self.failing = failing
        if passing is None:
            return
        if self.passing is None:
            self.passing = passing
        elif switches(self.passing) == switches(passing) == 1 and len(passing) > len(self.passing):
            # The later its only switch, the longer it is the same as the run without any.
            self.passing = passing


def run_tapes(
    play: Play, faults: Sequence[str], tapes: Iterable[Tape], keep: int, sketched: int
) -> Found:
    """Run some schedules; see Found."""
    found = Found(keep, sketched)
    for tape in tapes:
        found.run(play, faults, tape)
    return found


@dataclass
class Drawn:
    """What was found in schedules that were drawn at random.

    failing: all answers of the first that fails. promised: whether what PCT promises holds for
    all of them: see RandomPriorities.
    """

    schedules: int = 0
    failures: int = 0
    failing: Tape | None = None
    promised: bool = True

    def add(self, later: Drawn) -> None:
        """Add what was found in the schedules that come next."""
        self.schedules += later.schedules
        self.failures += later.failures
        self.failing = later.failing if self.failing is None else self.failing
        self.promised = self.promised and later.promised


def draw(
    play: Play, faults: Sequence[str], seed: int, numbers: Iterable[int], steps: int, fibers: int
) -> Drawn:
    """Run schedules with random priorities, for runs of so many steps of so many fibers.

    Each depends on the seed and its own number alone, not on those before it.
    """
    drawn = Drawn()
    for number in numbers:
        policy = RandomPriorities(Random(f"{seed}/{number}"), steps, DEPTH)
        choices = Choices((), policy)
        played = play(choices, faults, None)
        within = played.steps <= steps and played.fibers <= fibers and policy.orders_only
        failed = played.error is not None
        drawn.add(Drawn(1, int(failed), tuple(choices.taken) if failed else None, within))
    return drawn


def check_followed(choices: Choices) -> None:
    """Raise ValueError if the program did not ask for the whole tape."""
    if not choices.followed:
        raise not_the_same()


def not_the_same() -> ValueError:
    """Return the error for a program that is not as it was before."""
    return ValueError(
        f"the program ends before the tape does, or not as it did before: {NOT_THE_SAME}"
    )


def switches(tape: Tape) -> int:
    """Return how many answers are not first come, first served."""
    return sum(1 for answer in tape if answer)


def name_of(answer: int, ready: Sequence[Any] | None, faults: Sequence[str]) -> str:
    """Say what an answer stands for; the others are what Choices.choose was asked."""
    if ready is None:
        return f"client {answer + 1}"
    if ready:
        return str(ready[answer].name)
    return faults[answer - 1] if answer else "no fault"


class _Named(Choices):
    """Choices that note in `names` what each answer stands for."""

    def __init__(self, tape: Tape, names: list[str]) -> None:
        super().__init__(tape)
        self._names = names

    def choose(
        self, width: int, ready: Sequence[Any] | None = None, faults: Sequence[str] = ()
    ) -> int:
        answer = super().choose(width, ready)
        self._names.append(name_of(answer, ready, faults))
        return answer


def _small(numbers: Sequence[int]) -> Tape:
    return bytes(numbers) if max(numbers, default=0) < 256 else tuple(numbers)
