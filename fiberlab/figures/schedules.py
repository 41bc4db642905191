"""Every schedule as a picture: the tree of choices, and a failing schedule beside a passing one.

The rule kept here: a branch is drawn whole, or as one row that says how many schedules it holds
and how many of them fail; nothing is left out silently.

matplotlib is loaded when a figure is drawn (see ``draw_schedules``), not when this module is. Nor
is the scheduler: other figures are drawn without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

from ..trace.events import TraceEvent, printable
from ..trace.trace import Trace
from .alternative import with_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..exploration.result import Explored, Result

__all__ = ["describe_schedules", "plot_schedules"]

MOST_ROWS = 24
"""So many rows a tree may have: it is to be read from the back of a room."""

MOST_STEPS = 24
"""So many steps of a schedule are shown: those around the first difference."""


def plot_schedules(result: Result, ax: Axes | None = None) -> Axes:
    """Draw what `explore` has run: the tree of choices, and which branches fail.

    Read it from the left: each column is a choice, each box an answer. At the right a bar tells
    which share of a branch fails. Below stand the shortest failure and the nearest schedule that
    passes, step by step, with the first difference marked; the number in a box is the line at
    which that step yielded. ``step(result.failure.trace)`` goes through it by hand.
    ax: draw the tree alone, there; None: make a figure.

    Returns the Axes of the tree; the others are ``ax.figure.axes[1:]``. Raises TypeError for what
    is no Result. Of more than 2,000 schedules the tree has the first 2,000, and says so.
    """
    from .draw_schedules import draw

    tree = grown(result)
    drawn = draw(result, tree, ax)
    own = [drawn] if ax is not None else drawn.figure.axes
    for each, words in zip(own, _in_words(result, tree), strict=False):
        with_words(each, words.__str__)
    return drawn


def describe_schedules(result: Result) -> str:
    """Tell in words what `plot_schedules` shows."""
    return "\n\n".join(_in_words(result, grown(result)))


def _in_words(result: Result, tree: Branch) -> Iterator[str]:
    """Return a paragraph for each Axes of the figure."""
    lines = [str(result), *tree.told()]
    if (shown := len(result.explored)) < result.schedules:
        lines.append(f"These are the first {shown:,} of {result.schedules:,} schedules.")
    yield "\n".join(lines)
    if result.failure is not None:
        pair = Pair.of(result.failure.trace, result.passing)
        yield "\n".join(["The shortest that fails:", *_steps_told(pair.failing)])
        if pair.passing is not None:
            lines = ["The nearest that passes:", *_steps_told(pair.passing)]
            yield "\n".join([*lines, f"The first difference is step {pair.first + 1}."])


# -- The tree ----------------------------------------------------------------------------


@dataclass
class Branch:
    """The schedules that have the same answers up to here.

    name: what the last of these answers stands for; "" at the root. depth: how many they are.
    opened: whether the branches behind it are drawn. shortest: whether the shortest failure is
    among them.
    """

    name: str = ""
    depth: int = 0
    schedules: int = 0
    failures: int = 0
    shortest: bool = False
    opened: bool = False
    behind: dict[int, Branch] = field(default_factory=dict)

    def rows(self) -> Iterator[Branch]:
        """Return the branches at which the drawing ends, from the top."""
        if not self.opened:
            yield self
        else:
            for answer in sorted(self.behind):
                yield from self.behind[answer].rows()

    def outcome(self) -> str:
        """Say how many of its schedules fail."""
        if not self.schedules:
            return "none was run"
        if self.schedules == 1:
            return "fails" if self.failures else "holds"
        if not self.failures:
            return f"all {self.schedules:,} hold"
        if self.failures == self.schedules:
            return f"all {self.schedules:,} fail"
        return f"{self.failures:,} of {self.schedules:,} fail"

    def told(self) -> Iterator[str]:
        """Return the tree as indented lines."""
        name = printable(self.name) if self.depth else "all choices"
        mark = " (the shortest failure)" if self.shortest and not self.opened else ""
        yield f"{'  ' * self.depth}{name}: {self.outcome()}{mark}"
        if self.opened:
            for answer in sorted(self.behind):
                yield from self.behind[answer].told()


def grown(result: Result) -> Branch:
    """Return the tree of what was run, opened as far as it can be drawn."""
    from ..exploration.result import Result

    if not isinstance(result, Result):
        raise TypeError(f"plot_schedules() needs what explore() returns, got {result!r}")
    root = Branch()
    first = next((each for each in result.explored if each.failed), None)
    for each in result.explored:
        _insert(root, each, each is first)
    _open(root)
    return root


def _insert(root: Branch, schedule: Explored, shortest: bool) -> None:
    at = root
    for depth, (answer, name) in enumerate(zip(schedule.choices, schedule.names, strict=True), 1):
        _count(at, schedule, shortest)
        at = at.behind.setdefault(answer, Branch(name, depth))
    _count(at, schedule, shortest)


def _count(branch: Branch, schedule: Explored, shortest: bool) -> None:
    branch.schedules += 1
    branch.failures += schedule.failed
    branch.shortest = branch.shortest or shortest


def _open(root: Branch) -> None:
    """Open branches while there is room: those to the shortest failure, then level by level."""
    rows = 1
    path, level = [root], [root]
    while path:
        rows = _open_all(path, rows)
        path = [each for at in path if at.opened for each in at.behind.values() if each.shortest]
    while level:
        rows = _open_all([each for each in level if not each.opened], rows)
        level = [each for at in level if at.opened for each in at.behind.values()]


def _open_all(branches: Sequence[Branch], rows: int) -> int:
    for branch in branches:
        more = len(branch.behind) - 1
        if branch.schedules > 1 and more >= 0 and rows + more <= MOST_ROWS:
            branch.opened = True
            rows += more
    return rows


# -- Two schedules, step by step ---------------------------------------------------------


class Step(NamedTuple):
    """One step of a schedule: which fiber ran, and how the step ended.

    ending: the line of the yield; or "end", "error" or "cancel" if the fiber has ended so. At the
    end of a schedule that fails, what is left is cancelled.
    """

    number: int
    fiber: str
    ending: str


class Pair(NamedTuple):
    """A schedule that fails and one that passes, from the same step on; None: none passes.

    first: the place of the first difference among all steps, from 0. fibers: all of both, in
    order of their beginning.
    """

    failing: list[Step]
    passing: list[Step] | None
    first: int
    fibers: list[str]

    @classmethod
    def of(cls, failing: Trace, passing: Trace | None) -> Pair:
        """Take the steps around the first difference."""
        one, other = steps_of(failing), None if passing is None else steps_of(passing)
        first = len(one) if other is None else _first_difference(one, other)
        begin = max(0, min(first - MOST_STEPS // 2, len(one) - MOST_STEPS))
        shown = slice(begin, begin + MOST_STEPS)
        names = [each.fiber for each in (*one[shown], *(other or ())[shown])]
        return cls(
            one[shown], None if other is None else other[shown], first, list(dict.fromkeys(names))
        )


def steps_of(trace: Trace) -> list[Step]:
    """Return the steps of a schedule, in their order."""
    names: dict[int, str] = {}
    given: dict[str, int] = {}
    steps: list[Step] = []
    running = None
    for event in trace:
        if event.ev == "spawn":
            given[event.name] = given.get(event.name, 0) + 1
            again = f" {given[event.name]}" * (given[event.name] > 1)
            names[event.fid] = f"{event.name}{again}"
        elif event.ev == "resume":
            running = event.fid
            steps.append(Step(len(steps) + 1, names.get(running, f"#{running}"), ""))
        elif event.fid == running and event.ev in ("yield", "exit"):
            running = None  # what comes later, as at a deadlock, is no part of the step
            steps[-1] = steps[-1]._replace(ending=_ending(event))
    return steps


def _ending(event: TraceEvent) -> str:
    if event.ev == "yield":
        return (event.src or "").rpartition(":")[2]
    return "end" if event.how == "return" else str(event.how)


def _first_difference(one: Sequence[Step], other: Sequence[Step]) -> int:
    both = enumerate(zip_longest(one, other))
    return next((place for place, (a, b) in both if a != b), min(len(one), len(other)))


def _steps_told(steps: Sequence[Step]) -> list[str]:
    return [
        f"  step {each.number}: {printable(each.fiber)}"
        + (f", to line {each.ending}" if each.ending.isdigit() else f", {each.ending}".rstrip(", "))
        for each in steps
    ]
