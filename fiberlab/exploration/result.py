"""What a search has found, and the sentence that says so.

The rule kept here: never more is claimed than was run. "All" is said only when no schedule is
left out; what was drawn at random is counted apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import one_line
from ..trace.trace import Trace


@dataclass(frozen=True)
class Failure:
    """One schedule that fails.

    tape: the text that replays it. trace: what happened. error: what a check or a fiber raised,
    or the Deadlock. switches: in words, each choice that was not first come, first served.
    """

    tape: str
    trace: Trace
    error: BaseException
    switches: tuple[str, ...]


class Explored(NamedTuple):
    """One schedule that was run: what was chosen, and whether it fails.

    choices: all its answers. names: what each stands for: the fiber that runs next, or which
    client comes first, or which fault happens.
    """

    choices: tuple[int, ...]
    names: tuple[str, ...]
    failed: bool


@dataclass(frozen=True)
class Sample:
    """Schedules that were drawn at random, some perhaps more than once.

    seed: what they were drawn with. chance: with at least which probability each finds a bug of
    depth `depth` (see RandomPriorities); None: nothing is promised, because other things than the
    next fiber were drawn too, or a run was longer than any that was run before.
    """

    seed: int
    schedules: int
    failures: int
    depth: int
    chance: float | None


@dataclass(frozen=True)
class Result:
    """What `explore` has found; true if no schedule that was run has failed.

    schedules: how many different ones were run, those with the fewest switches first.
    failures: how many of them fail. complete: whether these are all there are.
    failure: the one that fails with the fewest switches; None: none does. `shortest` says whether
    no other has fewer: not so for one that was found at random.
    passing: the trace of the nearest schedule that passes, None if none was found.
    sample: what was drawn at random besides. interrupted: whether ^C has ended the search.
    explored: what was run, for plot_schedules: the first 2,000, those with the fewest switches.
    reduced: whether schedules that differ only in the order of independent steps count as one.
    note: how many were run in this process though an executor was given, and why; None: none.
    """

    schedules: int
    failures: int
    complete: bool
    failure: Failure | None = None
    passing: Trace | None = None
    sample: Sample | None = None
    interrupted: bool = False
    shortest: bool = True
    explored: tuple[Explored, ...] = field(default=(), repr=False, compare=False)
    note: str | None = field(default=None, compare=False)
    reduced: bool = False

    def __bool__(self) -> bool:
        return self.failure is None

    def __str__(self) -> str:
        if self.failure is None:
            return f"holds in {self._how_many()}{self._at_random('holds')}{self._remark()}"
        last = f"the shortest{'' if self.shortest else ' found'} has {self._switches()}"
        return f"{self._fails()}; {last}: {self._story()}{self._remark()}"

    def _remark(self) -> str:
        same = "; orders of independent steps count as one" if self.reduced else ""
        return same if self.note is None else f"{same}; {self.note}"

    def _how_many(self) -> str:
        if not self.complete:
            return f"the first {self.schedules:,} of more schedules"
        return f"all {self.schedules:,} schedules" if self.schedules > 1 else "its only schedule"

    def _fails(self) -> str:
        if self.complete:
            noun = "schedule" if self.schedules == 1 else "schedules"
            return f"fails in {self.failures:,} of {self.schedules:,} {noun}"
        share = f"fails in {self.failures:,} of the first {self.schedules:,} of more schedules"
        return share + self._at_random("fails")

    def _at_random(self, verb: str) -> str:
        if (sample := self.sample) is None:
            return ""
        many = f"{sample.schedules:,}"
        if verb == "fails":
            many = f"{sample.failures:,} of {many}"
        promise = ""
        if sample.chance is not None:
            promise = (
                f"; each finds a bug of depth {sample.depth} with probability "
                f"{sample.chance:.2g} or more"
            )
        return f", and in {many} drawn at random (seed {sample.seed}{promise})"

    def _switches(self) -> str:
        assert self.failure is not None
        count = len(self.failure.switches)
        return f"{count or 'no'} switch{'' if count < 2 else 'es'}"

    def _story(self) -> str:
        assert self.failure is not None
        return "; ".join([*self.failure.switches[:3], one_line(self.failure.error)])

    def __repr__(self) -> str:
        return f"<Result: {self}>"
