"""The exercises of lesson 11, and what judges them.

The rule kept here: whatever an answer does, it ends, and what it has left open is closed. Fibers
run in simulated time, so the trace tells exactly which fiber ended when.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ....fiber import Fiber, FiberGenerator
from ....scheduler import Scheduler
from ....waits import WAIT
from ...exercises import Exercise, Judgement
from ...mistakes import Form
from ...shared.trial import Trial
from .experiment import Steps, after, open_descriptors, outcome_of, raise_stub

# -- Exercise 1: a limit for the whole ----------------------------------------

LIMIT = 1.0

_Within = Callable[[float, Steps], Steps]


@dataclass
class _Limited:
    """What came of some work within a limit: when the caller and the work ended, and all."""

    caller: Fiber
    at: float = 0.0
    work_at: float = -1.0
    over: float = 0.0
    failure: str = ""

    def __str__(self) -> str:
        if self.failure:
            return self.failure
        work = f"the work ended at {self.work_at:g} s" if self.work_at >= 0 else "no work was done"
        return f"within() {outcome_of(self.caller)} at {self.at:g} s; {work}"


def judge_within(function: _Within) -> Judgement:
    """Judge ``within(seconds, work)`` by when it ends, and how, in four cases."""
    for waits, fails in (([0.1] * 3, False), ([0.1], True), ([0.4] * 6, False), ([5.0], False)):
        seen, due = _limited(function, waits, fails), sum(waits)
        if due > LIMIT:
            right, hint = f"TimeoutError at {LIMIT:g} s, the work ended by then", _if_late(seen)
        else:
            what = "ValueError" if fails else "its result"
            right = f"{what} at {due:.1f} s, and no fiber is left"
            hint = _if_quick(seen, due, fails)
        if hint:
            work = f"{'fails' if fails else 'ends'} after {' + '.join(map(str, waits))} s"
            return Judgement(False, f"limit {LIMIT:g} s, work that {work}: {seen}", right, hint)
    return Judgement(True, "TimeoutError at 1 s, work cancelled; what is done in time is returned")


def _limited(function: _Within, waits: list[float], fails: bool) -> _Limited:
    trial = Trial()
    now = trial.network.clock.now

    def work() -> FiberGenerator:
        try:
            for seconds in waits:
                yield WAIT(seconds)
            if fails:
                raise ValueError("no such file")
            return "done"
        finally:
            seen.work_at = now()

    def caller() -> Steps:
        try:
            return (yield from function(LIMIT, work()))
        finally:
            seen.at = now()

    seen = _Limited(trial.add(caller(), "caller"))
    trial.run()
    raise_stub(seen.caller)
    seen.over, seen.failure = now(), trial.failure
    return seen


def _if_quick(seen: _Limited, due: float, fails: bool) -> str:
    error = seen.caller.error
    if seen.failure:
        return "a fiber that waits for another one parks: yield from join(worker)"
    if seen.work_at < 0:
        return "the work is a generator: start(work) makes a fiber of it"
    if seen.at > due + 0.01:
        return "join the work, not the timer: it ends as soon as the work has"
    if fails and not isinstance(error, ValueError):
        return "only the cancelling becomes a TimeoutError; other errors come out as they are"
    if not fails and seen.caller.result != "done":
        return "return what join(worker) returns"
    if seen.over > due + 0.01:
        return "the work is done, and a fiber still sleeps until the deadline: cancel it, finally"
    return ""


def _if_late(seen: _Limited) -> str:
    if isinstance(seen.caller.error, TimeoutError) and seen.at > LIMIT + 0.01:
        return "a look between two waits comes too late: let another fiber sleep, and cancel"
    if seen.caller.error is None:
        return "each wait is short, but their sum counts: let another fiber sleep, and cancel"
    if not isinstance(seen.caller.error, TimeoutError):
        return "join raises what ended the worker, FiberCancelled: make a TimeoutError of that"
    if seen.work_at > LIMIT + 0.01:
        return "the work goes on, and nothing waits for it: cancel it"
    return ""


# -- Exercise 2: nothing left open --------------------------------------------

WAYS = ("return", "error", "time-out", "cancel", "run() left")
_HOW = dict(zip(WAYS, ("return", "error", "error", "cancel", "cancel"), strict=True))


class _Visited(Trial):
    """A trial with a time-out of one second."""

    def __init__(self) -> None:
        super().__init__()
        clock, network = self.network.clock, self.network
        given: dict[str, Any] = {"output": "withheld", "file": io.StringIO()}
        self.scheduler = Scheduler(1, self._note, clock=clock, poller=network, **given)


@dataclass
class _Visit:
    """What came of one connection; opened, left: descriptors, while it waited and afterwards."""

    opened: int = 0
    left: int = 0
    how: str = ""
    outcome: str = ""
    answer: bytes = b""
    failure: str = ""


def judge_logged(function: Callable[[Any, Any], Steps]) -> Judgement:
    """Judge a handler by the descriptors that are left after each way in which it may end."""
    seen = {way: _visit(function, way) for way in WAYS}
    counts = ", ".join(f"{way} {each.left}" for way, each in seen.items())
    hint = _hint_on_visits(seen)
    if not hint:
        return Judgement(True, f"descriptors left: {counts}")
    odd = next((f"; {way}: {_odd(way, each)}" for way, each in seen.items() if _odd(way, each)), "")
    return Judgement(False, f"descriptors left: {counts}{odd}", "0 in each way to end", hint)


def _visit(function: Callable[[Any, Any], Steps], way: str) -> _Visit:
    before = open_descriptors()
    seen = _run_visit(function, way, before)
    if open_descriptors() - before:
        gc.collect()  # an error kept the fiber's frames, and they what was open in them
    for number in open_descriptors() - before:
        os.close(number)
    return seen


def _run_visit(function: Callable[[Any, Any], Steps], way: str, before: set[int]) -> _Visit:
    trial, seen = _Visited(), _Visit()
    ours, theirs = trial.network.socketpair()
    fiber = trial.add(function(ours, ("client", 1)), "yours")

    def act() -> None:
        seen.opened = len(open_descriptors() - before)
        if way in ("return", "error"):
            theirs.send(b"7" if way == "return" else b"seven")
        elif way != "time-out":
            (fiber.cancel if way == "cancel" else trial.scheduler.stop)()

    def leave() -> None:
        with contextlib.suppress(BlockingIOError):
            seen.answer = theirs.recv(1024)
        if way != "time-out":
            theirs.close()

    trial.add(after(0.5, act), "first")
    trial.add(after(0.7, leave), "second")
    seen.failure = "" if trial.run() else trial.failure
    raise_stub(fiber)
    seen.left, seen.outcome = len(open_descriptors() - before), outcome_of(fiber)
    seen.how = next(event.how for event in trial.trace if event.ev == "exit" and event.fid == 1)
    return seen


def _odd(way: str, seen: _Visit) -> str:
    """Return what is wrong with how the fiber ended, whatever it left open."""
    if seen.failure or seen.how != _HOW[way]:
        return seen.failure or seen.outcome
    if way == "return" and seen.answer != b"49":
        return f"the answer to b'7' is {seen.answer!r}"
    return ""


def _hint_on_visits(seen: dict[str, _Visit]) -> str:
    left = {way for way, each in seen.items() if each.left}
    odd = {way for way, each in seen.items() if _odd(way, each)}
    if not any(each.opened for each in seen.values()):
        return "open the log first of all: log = os.open(os.devnull, os.O_WRONLY)"
    if "return" in odd:
        return "answer each number by its square until recv returns b''; close the log once"
    if odd:
        return "the log is closed, but the error must come out: finally lets it pass"
    if left == set(WAYS):
        return "a descriptor that is opened by its number is closed by its number: os.close(log)"
    if left == {"cancel", "run() left"}:
        return "FiberCancelled and GeneratorExit are no Exception: one finally serves all"
    if "return" in left:
        return "a fiber also ends by returning: one finally serves all"
    if left:
        return "what stands after the loop is reached by a return only: one finally serves all"
    return ""


# -- Exercise 3: a nursery ----------------------------------------------------

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
        return f"nursery {outcome_of(self.parent)} at {self.at:g} s{after}"


def judge_nursery(function: Callable[..., Steps]) -> Judgement:
    """Judge a nursery by the order in which parent and children ended, in three cases."""
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


EXERCISES = (
    Exercise(
        "l11-e1", "A limit for a whole piece of work.", judge_within, Form("fiber", "seconds, work")
    ),
    Exercise(
        "l11-e2",
        "A handler that leaves no descriptor open.",
        judge_logged,
        Form("fiber", "sock, address"),
    ),
    Exercise(
        "l11-e3",
        "A nursery: children end before their parent.",
        judge_nursery,
        Form("fiber", "first, second, third"),
    ),
)
