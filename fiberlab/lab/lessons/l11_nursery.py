"""The nursery of lesson 11: an exercise, and what judges it.

The rule kept here: a nursery is judged by who ended before whom, as the trace tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...fiber import Fiber, FiberGenerator
from ...waits import WAIT
from ..exercises import Judgement
from .ends import Steps, after, raise_stub, told
from .trial import Trial

_PARK = "start() all, then a fiber that waits for others parks: WAIT(None) until each is done"


@dataclass
class _Family:
    """What came of a parent and its children.

    at: when the parent ended. how: the way. orphans: the names of children that ended after it.
    """

    parent: Fiber
    at: float
    how: str
    orphans: list[str]
    failure: str

    def __str__(self) -> str:
        if self.failure:
            return self.failure
        after = f"; after it ended {', '.join(self.orphans)}" if self.orphans else ""
        return f"nursery {told(self.parent)} at {self.at:g} s{after}"


def judge_nursery(function: Callable[..., Steps]) -> Judgement:
    """Judge a nursery by who ended before whom, in three cases."""
    for case, right, judge in _CASES:
        seen = case(function)
        hint = _PARK if seen.failure else ""
        if hint := hint or judge(seen):
            return Judgement(False, str(seen), right, hint)
    return Judgement(
        True, "each child ended before its parent: all done, one failed, parent cancelled"
    )


def _child(name: str, seconds: float, fails: bool = False, slow: float = 0) -> FiberGenerator:
    try:
        yield WAIT(seconds)
        if fails:
            raise ValueError(f"{name} failed")
        return name
    except BaseException as error:
        if slow and not isinstance(error, GeneratorExit):
            yield WAIT(slow)  # says goodbye
        raise


def _all_done(function: Callable[..., Steps]) -> _Family:
    return _family(function, [_child("ann", 0.3), _child("ben", 0.1), _child("cat", 0.2)])


def _one_fails(function: Callable[..., Steps]) -> _Family:
    return _family(function, [_child("ann", 1), _child("ben", 0.1, True), _child("cat", 2)])


def _cancelled(function: Callable[..., Steps]) -> _Family:
    return _family(function, [_child("ann", 1), _child("ben", 2, slow=0.05)], cancel=0.5)


def _family(
    function: Callable[..., Steps], children: Sequence[FiberGenerator], cancel: float = 0
) -> _Family:
    trial = Trial()
    parent = trial.add(function(*children), "nursery")
    helper = trial.add(after(cancel, parent.cancel), "you") if cancel else None
    ended = trial.run()
    raise_stub(parent)
    exits = [event for event in trial.trace if event.ev == "exit"]
    order = [event.fid for event in exits]
    end = exits[order.index(parent.id)]
    names = {event.fid: str(event.name) for event in trial.trace if event.ev == "spawn"}
    mine = {fid for fid in names if helper is None or fid != helper.id}
    orphans = [names[fid] for fid in order[order.index(parent.id) + 1 :] if fid in mine]
    return _Family(parent, end.t / 1e9, end.how, orphans, "" if ended else trial.failure)


def _hint_on_done(seen: _Family) -> str:
    if seen.at > 0.55:
        return "start() all of them first, then wait: each has a fiber of its own"
    if seen.orphans:
        return "it has ended before its children: wait until each is done"
    if seen.parent.result != ["ann", "ben", "cat"]:
        return "return a list of child.result, in the order in which they were given"
    return ""


def _hint_on_failure(seen: _Family) -> str:
    error = seen.parent.error
    if seen.at > 0.5:
        return "ben failed at 0.1 s: look at all children each time, not at the first until it ends"
    if seen.orphans:
        return "cancel() only throws: the child ends in the next pass; wait once more"
    if error is None:
        return "a child's error must not be lost: raise it when all have ended"
    if not isinstance(error, ValueError):
        return "those that you cancel end by FiberCancelled: note the first error before"
    return ""


def _hint_on_cancel(seen: _Family) -> str:
    if seen.orphans:
        return "cancel() only throws: wait until each child has ended, however long it takes"
    if seen.how != "cancel":
        return "it was cancelled: when the children have ended, raise that again"
    return ""


_CASES = (
    (_all_done, "['ann', 'ben', 'cat'] at 0.3 s", _hint_on_done),
    (_one_fails, "ValueError at 0.1 s, each child ended before", _hint_on_failure),
    (_cancelled, "FiberCancelled at 0.55 s, each child ended before", _hint_on_cancel),
)
