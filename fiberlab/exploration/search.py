"""The search: from one schedule to the next, those with the fewest switches first.

How it searches. No state of a program is kept: generators cannot be copied. A schedule is run
again from its beginning, along a tape, as VeriSoft does (P. Godefroid, "Model Checking for
Programming Languages using VeriSoft", POPL 1997). Beyond the tape it is first come, first served;
each choice met there begins another schedule, in which that one choice is different.
So each schedule is run exactly once: it belongs to the tape that ends with its last switch.

Which first. All schedules with 0 switches, then all with 1, 2, ...: the bound on deviations from
a deterministic scheduler is raised (M. Emmi, S. Qadeer, Z. Rakamaric, "Delay-Bounded Scheduling",
POPL 2011; preemptions are counted so in M. Musuvathi, S. Qadeer, "Iterative Context Bounding for
Systematic Testing of Multithreaded Programs", PLDI 2007). So the first failure is a shortest one,
and with its last switch taken back it passes. It also makes spinning harmless: each switch is
answered by first come, first served, which starves no fiber.

What is not done. Python cannot tell which steps are independent, since fibers share
whatever they close over; so no schedule is left out as equivalent to another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, NamedTuple

from ..trace.trace import Trace
from . import tape as tapes
from .choices import NOT_THE_SAME, Choices, RandomPriorities
from .result import Failure, Result, Sample
from .world import Played, Program, run

MOST = 100_000
"""How many schedules are run unless `at_most` says otherwise."""

DEPTH = 3
"""The depth of the bugs that random priorities are aimed at."""

EVERY = 256
"""After so many schedules the progress is told."""

Play = Callable[[Choices, Sequence[str], "Trace | None"], Played]
"""Runs one schedule, with the answers of Choices and these faults; records it if asked to."""

Progress = Callable[[int, int], Any]
"""Called with how many schedules were run so far, and how many of them have failed."""


def explore(
    program: Program,
    *,
    seed: int | None = None,
    at_most: int | None = None,
    faults: Sequence[str] = (),
    progress: Progress | None = None,
    executor: None = None,
) -> Result:
    """Run `program` in every schedule, those with the fewest switches first.

    program: called with a World for each schedule, afresh; it must be the same each time.
    at_most: how many schedules to run; None: 100,000. seed: if there are more, draw as many again
    at random (see RandomPriorities). faults: what else can happen, once in a schedule:
    "cancel", "timeout", "delay", "reset". ^C ends the search: the result is what was found so far.
    """
    if executor is not None:
        raise NotImplementedError("explore(executor=) is not there yet; leave it out")
    return search(partial(run, program), seed, at_most, faults, progress)


def search(
    play: Play,
    seed: int | None,
    at_most: int | None,
    faults: Sequence[str],
    progress: Progress | None,
) -> Result:
    """Run every schedule of whatever `play` runs; the others are the options of `explore`."""
    at_most = MOST if at_most is None else at_most
    if isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 1:
        raise ValueError(f"explore(at_most=) is a number of schedules > 0, got {at_most!r}")
    found = _Search(play, tapes.checked_faults(faults), progress)
    try:
        found.all_up_to(at_most)
        if seed is not None and not found.complete:
            found.draw(at_most, seed)
    except KeyboardInterrupt:
        found.interrupted = True
    return found.result()


def replay(program: Program, tape: str) -> Trace:
    """Run one schedule of `program` and return its trace, byte for byte the same each time.

    Raises ValueError for a tape that is none, or does not fit the program.
    """
    return retold(partial(run, program), tape)


def retold(play: Play, tape: str) -> Trace:
    """Run one schedule of whatever `play` runs; see `replay`."""
    choices, faults = tapes.read(tape)
    return _told(play, choices, faults)[0]


def assert_holds(program: Program, **options: Any) -> None:
    """Raise AssertionError if a schedule of `program` fails; `options` are those of `explore`.

    The message is the result's sentence, and how to replay the failure. A search that was cut
    short (see `at_most`) holds if nothing it ran has failed.
    """
    result = explore(program, **options)
    if result.failure is not None:
        raise AssertionError(
            f"{result}\nreplay(program, {result.failure.tape!r}) gives its trace"
        ) from result.failure.error


class _Met(NamedTuple):
    """The questions of one schedule, and from which place on others branch off from it."""

    taken: tuple[int, ...]
    widths: tuple[int, ...]
    begin: int

    def branches(self) -> Iterator[tuple[int, ...]]:
        """Return the tapes with one switch more."""
        for place in range(self.begin, len(self.widths)):
            for answer in range(1, self.widths[place]):
                yield (*self.taken[:place], answer)

    def how_many(self) -> int:
        """Return how many there are."""
        return sum(self.widths[self.begin :]) - (len(self.widths) - self.begin)


@dataclass
class _Search:
    play: Play
    faults: tuple[str, ...]
    progress: Progress | None
    schedules: int = 0
    known: int = 1  # schedules that were run or are known to be there
    failures: int = 0
    fibers: int = 1
    steps: int = 1
    shortest: tuple[int, ...] | None = None  # the tape of the first failure
    random: bool = False  # whether it was found at random
    near: tuple[int, ...] | None = None  # the first that passes, of those with the fewest switches
    drawn: int = 0
    drawn_failures: int = 0
    seed: int = 0
    promised: bool = True  # whether what PCT promises holds for all that was drawn
    interrupted: bool = False
    level: list[_Met] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether no schedule is left out."""
        return self.schedules == self.known

    def all_up_to(self, at_most: int) -> None:
        """Run the schedules with 0 switches, with 1, and so on, `at_most` in all."""
        wave: Iterator[tuple[int, ...]] = iter([()])
        while True:
            self.level = []
            for tape in wave:
                if self.schedules >= at_most:
                    return
                self._run(tape, at_most)
            if not self.level:
                return
            wave = (tape for met in self.level for tape in met.branches())

    def _run(self, tape: tuple[int, ...], at_most: int) -> None:
        choices = Choices(tape)
        error, steps, fibers = self.play(choices, self.faults, None)
        _check_followed(choices)
        self.schedules += 1
        self.steps, self.fibers = max(self.steps, steps), max(self.fibers, fibers)
        met = _Met(tuple(choices.taken), tuple(choices.widths), len(tape))
        if count := met.how_many():
            # Those that will never be run need not be remembered, only counted.
            if self.known < at_most:
                self.level.append(met)
            self.known += count
        self._note(error, tape)
        self._tell(self.schedules, self.failures)

    def _note(self, error: BaseException | None, tape: tuple[int, ...]) -> None:
        if error is not None:
            self.failures += 1
            if self.shortest is None:
                self.shortest = tape
        elif self.near is None:
            self.near = tape
        elif _switches(self.near) == _switches(tape) == 1 and len(tape) > len(self.near):
            # The later its only switch, the longer it is the same as the run without any.
            self.near = tape

    def draw(self, count: int, seed: int) -> None:
        """Run `count` schedules with random priorities."""
        self.seed, random = seed, Random(seed)
        for _ in range(count):
            policy = RandomPriorities(random, self.steps, DEPTH)
            choices = Choices((), policy)
            error, steps, fibers = self.play(choices, self.faults, None)
            self.drawn += 1
            if steps > self.steps or fibers > self.fibers or not policy.orders_only:
                self.promised = False
            if error is not None:
                self.drawn_failures += 1
                if self.shortest is None:
                    self.random = True
                    self.shortest = tuple(choices.taken)
            self._tell(self.schedules + self.drawn, self.failures + self.drawn_failures)

    def _tell(self, done: int, failed: int) -> None:
        if self.progress is not None and done % EVERY == 0:
            self.progress(done, failed)

    def result(self) -> Result:
        """Return what was found, with the traces."""
        failure = passing = None
        if self.shortest is not None:
            tape = self._simpler(self.shortest) if self.random else self.shortest
            trace, error, switches = _told(self.play, tape, self.faults)
            if error is None:
                raise _not_the_same()
            failure = Failure(tapes.written(tape, self.faults), trace, error, switches)
            near = _without_last_switch(tape) if _switches(tape) else self.near
            if near is not None:
                passing, error, _ = _told(self.play, near, self.faults)
                if error is not None:
                    passing = None
        if self.progress is not None:
            self.progress(self.schedules + self.drawn, self.failures + self.drawn_failures)
        sample = None
        if self.drawn:
            chance = RandomPriorities.chance(self.fibers, self.steps, DEPTH)
            sample = Sample(
                self.seed,
                self.drawn,
                self.drawn_failures,
                DEPTH,
                chance if self.promised else None,
            )
        return Result(
            self.schedules,
            self.failures,
            self.complete,
            failure,
            passing,
            sample,
            self.interrupted,
            not self.random,
        )

    def _simpler(self, tape: tuple[int, ...]) -> tuple[int, ...]:
        """Take back every switch of `tape` without which it still fails, the last one first."""
        place = len(tape)
        while place:
            place -= 1
            if place < len(tape) and tape[place]:
                shorter = (*tape[:place], 0, *tape[place + 1 :])
                for tried in (tape[:place], shorter):
                    if self._fails(tried):
                        tape = tried
                        break
        return tape

    def _fails(self, tape: tuple[int, ...]) -> bool:
        choices = Choices(tape)
        try:
            error = self.play(choices, self.faults, None).error
        except ValueError:  # with the switch taken back, a later answer may be none any more
            return False
        return error is not None and choices.followed


def _told(
    play: Play, tape: Sequence[int], faults: Sequence[str]
) -> tuple[Trace, BaseException | None, tuple[str, ...]]:
    """Run one schedule; return its trace, how it failed, and its switches in words."""
    choices, trace = Choices(tape, telling=True), Trace()
    error = play(choices, faults, trace).error
    _check_followed(choices)
    return trace, error, tuple(choices.switches)


def _check_followed(choices: Choices) -> None:
    if not choices.followed:
        raise _not_the_same()


def _not_the_same() -> ValueError:
    return ValueError(
        f"the program ends before the tape does, or not as it did before: {NOT_THE_SAME}"
    )


def _switches(tape: Sequence[int]) -> int:
    return sum(1 for answer in tape if answer)


def _without_last_switch(tape: tuple[int, ...]) -> tuple[int, ...]:
    last = max(place for place, answer in enumerate(tape) if answer)
    return tape[:last]
