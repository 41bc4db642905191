"""Sleep sets: of the orders that differ only in independent steps, one is run.

How it goes. When a fiber's step has been tried from some state, it is put to sleep while its rivals
are tried there: it need not run again before a step comes that it depends on. If all that are ready
sleep, what would follow was seen already. So each class of equivalent schedules (Mazurkiewicz's
traces) is run to its end exactly once: P. Godefroid, "Partial-Order Methods for the Verification of
Concurrent Systems", LNCS 1032, 1996, chapter 5. Every final state and every failure is found; a
schedule with the fewest switches need not be among those that are run.

What a step depends on is its footprint, noted when it runs. A sleeping step keeps its footprint:
no step since then has touched anything of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .choices import Choices
from .footprints import Footprint, Footprints
from .pieces import Found, Play, name_of
from .result import Explored
from .world import Played

Sleep = dict[int, Footprint]
"""The fibers that sleep, by id, and what their next steps will touch."""


class Asleep(BaseException):
    """Leaves run() when all that are ready sleep: the rest of this schedule was seen already."""


@dataclass
class Question:
    """One question of a run, and what is known about its answers.

    fibers: the ids of the ready; None: it was no question of fibers. sleep: who slept then.
    tried: what the steps that were tried from here have touched, by the fiber's id.
    """

    width: int
    fibers: list[int] | None
    sleep: Sleep
    tried: Sleep = field(default_factory=dict)

    def later(self, answer: int) -> Iterator[int]:
        """Return the answers after `answer` of those who do not sleep."""
        for place in range(answer + 1, self.width):
            if self.fibers is None or self.fibers[place] not in self.sleep:
                yield place

    def asleep_before(self, answer: int) -> Sleep:
        """Return who sleeps while `answer` is tried: also those that were tried before it."""
        if self.fibers is None:
            return {}
        earlier = {self.fibers[place] for place in self.later(-1) if place < answer}
        return self.sleep | {fiber: self.tried[fiber] for fiber in earlier}


class SleepingChoices(Choices):
    """Answers as Choices does; beyond the tape it takes the first that does not sleep.

    met: the questions beyond the tape. last: that of the tape's last answer. names: what each
    answer stands for.
    """

    def __init__(self, tape: Sequence[int], last: Question | None) -> None:
        super().__init__(tape)
        self.footprints: Footprints = Footprints()
        self.met: list[Question] = []
        self.names: list[str] = []
        self._last = last
        self._sleep: Sleep = {}
        self._step: tuple[Question | None, int] | None = None  # the one under way

    def choose(
        self, width: int, ready: Sequence[Any] | None = None, faults: Sequence[str] = ()
    ) -> int:
        """Return an answer from 0 to `width` - 1, or raise Asleep."""
        fibers = None if ready is None else [fiber.id for fiber in ready]
        if fibers is None:
            self.footprints.everything()
        else:
            self.end_step()
        place, question = len(self.taken), None
        if place < len(self._tape):
            answer = super().choose(width, ready)
            if place == len(self._tape) - 1 and self._last is not None:
                question, self._sleep = self._last, self._last.asleep_before(answer)
        else:
            question = Question(width, fibers, dict(self._sleep))
            answer = next(question.later(-1), -1)
            if answer < 0:
                raise Asleep
            self.met.append(question)
            self.taken.append(answer)
            self.widths.append(width)
        if fibers is not None:
            self._step = question, fibers[answer]
        self.names.append(name_of(answer, ready, faults))
        return answer

    def branches(self) -> Iterator[tuple[tuple[int, ...], Question]]:
        """Return the tapes with one switch more, and the questions of their last answers."""
        for place, question in enumerate(self.met, len(self._tape)):
            for answer in question.later(self.taken[place]):
                yield (*self.taken[:place], answer), question

    def forced(self, ready: Sequence[Any]) -> None:
        """Let the only one that is ready run, unless it sleeps."""
        self.end_step()
        if ready[0].id in self._sleep:
            raise Asleep
        self._step = None, ready[0].id

    def end_step(self) -> None:
        """Note what the step under way has touched, and wake what depends on it."""
        footprint = self.footprints.take()
        if self._step is None:
            return
        question, fiber = self._step
        self._step = None
        if question is not None:
            question.tried[fiber] = footprint
        self._sleep = {
            sleeper: its for sleeper, its in self._sleep.items() if its.independent(footprint)
        }


def run_awake(play: Play, found: Found, at_most: int, tell: Callable[[], Any]) -> None:
    """Run one schedule of each class, those with fewer switches first.

    at_most: how many runs to make, those that are left half-way included. found: what is found is
    added to it. tell: called after each schedule.
    """
    runs = 0
    wave: Iterator[tuple[tuple[int, ...], Question | None]] = iter([((), None)])
    while True:
        level: list[SleepingChoices] = []
        for tape, question in wave:
            if runs == at_most:
                found.known = found.schedules  # one more than if these were all
                return
            runs += 1
            choices = SleepingChoices(tape, question)
            with suppress(Asleep):
                _note(found, choices, play(choices, (), None))
                tell()
            level.append(choices)
        wave = (branch for choices in level for branch in choices.branches())
        if not level:
            found.known = found.schedules - 1
            return


def _note(found: Found, choices: SleepingChoices, played: Played) -> None:
    choices.end_step()
    tape = tuple(choices.taken)
    found.schedules += 1
    found.steps = max(found.steps, played.steps)
    found.fibers = max(found.fibers, played.fibers)
    failed = played.error is not None
    if len(found.explored) < found.sketched:
        found.explored.append(Explored(tape, tuple(choices.names), failed))
    if failed:
        found.failures += 1
        found.failing = found.failing or tape
    elif found.passing is None:
        found.passing = tape
