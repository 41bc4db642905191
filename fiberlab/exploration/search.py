"""The search: from one schedule to the next, those with the fewest switches first.

How it searches. No state of a program is kept: generators cannot be copied. A schedule is run
again from its beginning, along a tape, as VeriSoft does (P. Godefroid, "Model Checking for
Programming Languages using VeriSoft", POPL 1997). Beyond the tape it is first come, first served;
each choice met there begins another schedule, in which that one choice is different.
So each schedule is run exactly once: it belongs to the tape that ends with its last switch.
With an executor each level of switches is cut into pieces: tapes to be run, and what was found.

Which first. All schedules with 0 switches, then all with 1, 2, ...: the bound on deviations from
a deterministic scheduler is raised (M. Emmi, S. Qadeer, Z. Rakamaric, "Delay-Bounded Scheduling",
POPL 2011; preemptions are counted so in M. Musuvathi, S. Qadeer, "Iterative Context Bounding for
Systematic Testing of Multithreaded Programs", PLDI 2007). So the first failure is a shortest one,
and with its last switch taken back it passes. It also makes spinning harmless: each switch is
answered by first come, first served, which starves no fiber.

What is not done, unless it is asked for. Python cannot tell which steps are independent, since
fibers share whatever they close over; so no schedule is left out as equivalent to another one. If
a program shares only what is watched, ``reduce=True`` does that: see sleep_sets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from itertools import islice
from math import ceil
from typing import Any

from ..trace.trace import Trace
from . import tape as tapes
from .choices import NOT_THE_SAME, Choices, RandomPriorities
from .pieces import (
    DEPTH,
    Drawn,
    Found,
    Play,
    Tape,
    check_followed,
    draw,
    not_the_same,
    run_tapes,
    switches,
)
from .progress import Progress, Telling, telling
from .result import Failure, Result, Sample
from .sleep_sets import run_awake
from .workers import Workers
from .world import Program, run

MOST = 100_000
"""How many schedules are run unless `at_most` says otherwise."""

SKETCHED = 2_000
"""So many schedules are noted in result.explored: those with the fewest switches."""

PIECE = 0.1
"""For so many seconds a piece keeps a worker busy: then sending it costs little beside it."""


def explore(
    program: Program,
    *,
    seed: int | None = None,
    at_most: int | None = None,
    faults: Sequence[str] = (),
    progress: Progress | bool | None = None,
    executor: Executor | None = None,
    reduce: bool = False,
) -> Result:
    """Run `program` in every schedule, those with the fewest switches first.

    program: called with a World for each schedule, afresh; it must be the same each time.
    at_most: how many schedules to run; None: 100,000. seed: if there are more, draw as many again
    at random (see RandomPriorities). faults: what else can happen, once in a schedule:
    "cancel", "timeout", "delay", "reset". progress: True shows it on a terminal or in a notebook;
    a function is called now and then with how many were run and how many of them have failed.
    ^C ends the search: the result is what was found so far.

    executor: any concurrent.futures.Executor; its workers share the schedules, and the result is
    the same with any number of them. They must be able to import `program`. What a worker that
    dies has not done is done in this process, and the result says so.

    reduce: of the schedules that differ only in the order of independent steps, run one. For that,
    fibers may share only sockets, other fibers and ``world.cell(value)``; ValueError if they reach
    what could be changed otherwise. Without faults and without an executor.
    """
    if reduce and (faults or executor is not None):
        raise ValueError("explore(reduce=True) is without faults= and without executor=")
    return search(partial(run, program), seed, at_most, faults, progress, executor, reduce)


def search(
    play: Play,
    seed: int | None,
    at_most: int | None,
    faults: Sequence[str],
    progress: Progress | bool | None,
    executor: Executor | None = None,
    reduce: bool = False,
) -> Result:
    """Run every schedule of whatever `play` runs; the others are the options of `explore`."""
    at_most = MOST if at_most is None else at_most
    if isinstance(at_most, bool) or not isinstance(at_most, int) or at_most < 1:
        raise ValueError(f"explore(at_most=) is a number of schedules > 0, got {at_most!r}")
    faults = tapes.checked_faults(faults)
    tell = telling(progress, "schedules")
    found = _Search(play, faults, at_most, tell, Workers(executor, play, "the program"))
    try:
        if reduce:
            found.all_classes()
        else:
            found.all()
        if seed is not None and not found.complete:
            found.draw(seed)
        tell.end(*found.numbers())
    except KeyboardInterrupt:
        found.interrupted = True
    finally:
        tell.close()
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

    With hypothesis the workload is generated, and the schedule explored::

        @settings(deadline=None)
        @given(st.lists(st.integers(1, 10), min_size=1, max_size=3))
        def test_an_account_is_never_overdrawn(amounts):
            assert_holds(lambda world: account(world, amounts))
    """
    raise_failure(explore(program, **options), "program")


def raise_failure(result: Result, program: str) -> None:
    """Raise AssertionError if `result` is a failure; `program` is what the message calls it."""
    if result.failure is not None:
        raise AssertionError(
            f"{result}\nreplay({program}, {result.failure.tape!r}) gives its trace"
        ) from result.failure.error


class _Search:
    def __init__(
        self, play: Play, faults: tuple[str, ...], at_most: int, tell: Telling, workers: Workers
    ) -> None:
        self.found = Found(keep=at_most - 1, sketched=SKETCHED)
        self.drawn = Drawn()
        self.here = 0  # schedules that were run in this process though there is an executor
        self.interrupted = self.reduced = False
        self._seed = 0
        self._play = play
        self._faults = faults
        self._at_most = at_most
        self._tell = tell
        self._workers = workers

    @property
    def complete(self) -> bool:
        """Whether no schedule is left out."""
        return self.found.schedules == self.found.known + 1

    def numbers(self) -> tuple[int, int]:
        """Return how many were run so far, and how many of them have failed."""
        found, drawn = self.found, self.drawn
        return found.schedules + drawn.schedules, found.failures + drawn.failures

    def all(self) -> None:
        """Run the schedules with 0 switches, with 1, and so on, as many as are wanted."""
        found = self.found
        level: Iterator[Tape] = iter([b""])
        while left := min(found.known + 1, self._at_most) - found.schedules:
            self._run(islice(level, left), left)
            prefixes, found.prefixes = found.prefixes, []
            level = (tape for prefix in prefixes for tape in prefix.branches())

    def all_classes(self) -> None:
        """Run one of those schedules that differ only in the order of independent steps."""
        self.reduced = True
        run_awake(self._play, self.found, self._at_most, lambda: self._tell(*self.numbers()))

    def _run(self, level: Iterator[Tape], count: int) -> None:
        """Run these schedules, of which there are so many."""
        found = self.found
        if not self._workers or not found.schedules:
            for tape in level:
                found.run(self._play, self._faults, tape)
                self._tell(*self.numbers())
            if self._workers:
                self._compare_a_worker()
            return

        def pieces() -> Iterator[tuple[Any, ...]]:
            while some := tuple(islice(level, self._size(count))):
                keep, sketched = found.keep - found.known, found.sketched - len(found.explored)
                yield self._play, self._faults, some, keep, sketched

        for later, here in self._workers.in_order(run_tapes, pieces()):
            found.add(later)
            self.here += later.schedules * here
            self._tell(*self.numbers())

    def _compare_a_worker(self) -> None:
        """Raise ValueError if the first schedule is another one where a worker runs it."""
        first = self.found
        piece = (self._play, self._faults, (b"",), first.keep, first.sketched)
        for there, _ in self._workers.in_order(run_tapes, [piece]):
            if (there.explored, there.prefixes) != (first.explored, first.prefixes):
                raise ValueError(
                    "a worker does not run the program as this process does: it lacks a name that "
                    f"the program uses, or {NOT_THE_SAME}; define all it needs in one module"
                )

    def _size(self, count: int) -> int:
        """Return how many of `count` schedules to run in one piece."""
        each = max(self.found.seconds, 1e-6) / self.found.schedules
        return max(1, min(int(PIECE / each), ceil(count / 8)))

    def draw(self, seed: int) -> None:
        """Run as many schedules again with random priorities."""
        self._seed, found = seed, self.found
        size = self._size(self._at_most) if self._workers else 1
        pieces = (
            (
                *(self._play, self._faults, seed),
                range(number, min(number + size, self._at_most)),
                *(found.steps, found.fibers),
            )
            for number in range(0, self._at_most, size)
        )
        for later, here in self._workers.in_order(draw, pieces):
            self.drawn.add(later)
            self.here += later.schedules * here
            self._tell(*self.numbers())

    def result(self) -> Result:
        """Return what was found, with the traces."""
        found, drawn = self.found, self.drawn
        failure = passing = sample = None
        random = found.failing is None and drawn.failing is not None
        failing = drawn.failing if random else found.failing
        if failing is not None:
            simplify = random or self.reduced
            tape = self._simpler(tuple(failing)) if simplify else tuple(failing)
            trace, error, names = _told(self._play, tape, self._faults)
            if error is None:
                raise not_the_same()
            failure = Failure(tapes.written(tape, self._faults), trace, error, names)
            near = _without_last_switch(tape) if switches(tape) else found.passing
            if near is not None:
                passing, error, _ = _told(self._play, near, self._faults)
                if error is not None:
                    passing = None
        if drawn.schedules:
            chance = RandomPriorities.chance(found.fibers, found.steps, DEPTH)
            sample = Sample(
                self._seed,
                drawn.schedules,
                drawn.failures,
                DEPTH,
                chance if drawn.promised else None,
            )
        return Result(
            found.schedules,
            found.failures,
            self.complete,
            failure,
            passing,
            sample,
            self.interrupted,
            not random and not (self.reduced and failure is not None and failure.switches),
            tuple(found.explored),
            self._workers.note(self.here),
            self.reduced,
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
            error = self._play(choices, self._faults, None).error
        except ValueError:  # with the switch taken back, a later answer may be none any more
            return False
        return error is not None and choices.followed


def _told(
    play: Play, tape: Sequence[int], faults: Sequence[str]
) -> tuple[Trace, BaseException | None, tuple[str, ...]]:
    """Run one schedule; return its trace, how it failed, and its switches in words."""
    choices, trace = Choices(tape, telling=True), Trace()
    error = play(choices, faults, trace).error
    check_followed(choices)
    return trace, error, tuple(choices.switches)


def _without_last_switch(tape: tuple[int, ...]) -> tuple[int, ...]:
    last = max(place for place, answer in enumerate(tape) if answer)
    return tape[:last]
