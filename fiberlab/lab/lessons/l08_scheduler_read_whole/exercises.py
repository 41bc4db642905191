"""The exercises of lesson 08, and what judges them: a changed line, shares, and the run queue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from ....fiber import Fiber
from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....spans.build import build_spans
from ....states import RUNNING
from ....trace.events import TraceEvent
from ....trace.trace import Trace
from ....waits import WAIT
from ...exercises import Exercise, Judgement
from ...mistakes import Form
from ...shared.stepper import at_event
from .experiment import change_line
from .fibers import four_fibers

# -- Exercise 1: which line was changed ---------------------------------------

CHANGES = {
    "A": ("run_ready", "for _ in range(len(queue)):", "while queue:"),
    "B": ("run_ready", "queue.popleft()", "queue.pop()"),
    "C": ("poll", "(queue and not poller.waiting)", "queue"),
    "D": ("expire", "while (fiber", "if (fiber"),
    "E": ("run_ready", "if self._parked:", "if self._parked and not queue:"),
}
"""The changes to choose from: the method, what stood there, and what stands there now."""

_RULED_OUT = {
    "A": "then a pass would not end while ann takes turns: there is no poll, and no deadline is "
    "looked at. But cat runs in time: which of the others does not?",
    "B": "then the fiber that came last would be next: dan would be resumed first of the four "
    "that are ready. But they begin in their order, and cat is as soon as before",
    "D": "then of two deadlines that have come, the second would have to wait for a pass more: it "
    "would be dan that is late. Which wait has become long?",
    "E": "then a parked fiber would be woken only when none is ready: dan would be late. But its "
    "dashed bar ends as before",
}


def mystery() -> Trace:
    """Return the trace of the four fibers under a scheduler of which one line was changed."""
    return _under("C")


@cache
def _under(letter: str) -> Trace:
    return four_fibers(change_line(*CHANGES[letter]))


def judge_change(answer: Any, trace: Trace) -> Judgement:
    """Judge (letter, name): the change that gives this trace, and the fiber that it delays most."""
    try:
        letter, name = answer
    except (TypeError, ValueError):
        return Judgement(
            False,
            f"the answer {answer!r}",
            'a letter and a fiber, as in ("F", "eve")',
            "both in quotes",
        )
    if not isinstance(letter, str) or letter not in CHANGES:
        hint = "the letter stands before the change; put it in quotes"
        return Judgement(False, f"the letter {letter!r}", f"one of {', '.join(CHANGES)}", hint)
    fits = [each for each in CHANGES if _under(each) == trace]
    if letter not in fits:
        order = " ".join(_order(_under(letter))[:7])
        return Judgement(
            False,
            f"with change {letter} the fibers run in the order {order} ...",
            f"the order of the mystery: {' '.join(_order(trace)[:7])} ...",
            _RULED_OUT.get(letter, "compare it with the timeline of the real scheduler"),
        )
    delays = _delays(trace)
    victim = max(delays, key=lambda each: delays[each])
    if name != victim:
        moved = f"ends {delays[name]} ms later" if name in delays else "is none of the four"
        return Judgement(
            False,
            f"{letter} is the change; and {name} {moved} than under the real scheduler",
            "the fiber that ends latest in comparison",
            "the one that holds the others up is not the victim: look for the wait that is long",
        )
    return Judgement(True, f"change {letter}, and {name} ends {delays[name]} ms later")


def _order(trace: Trace) -> list[str]:
    spans = build_spans(trace)
    return [spans.lives[spans.row[i]].name for i in spans.steps(0.001)]


def _delays(trace: Trace) -> dict[str, int]:
    """Return by how many milliseconds each fiber ends later than under the real scheduler."""
    ended = {life.name: life.died or 0 for life in build_spans(four_fibers()).lives}
    lives = build_spans(trace).lives
    return {life.name: round(((life.died or 0) - ended[life.name]) / 1e6) for life in lives}


# -- Exercise 2: shares -------------------------------------------------------


def _shares(trace: Trace) -> dict[str, float]:
    spans = build_spans(trace)
    whole = spans.finish - spans.begin
    shares = {}
    for life in spans.lives:
        steps = [i for i in spans.indexes(life.id) if spans.state[i] == RUNNING]
        shares[life.name] = sum(spans.end[i] - spans.start[i] for i in steps) / whole
    shares["idle"] = sum(poll.end - poll.start for poll in spans.polls) / whole
    return shares


@cache
def _two_that_sleep() -> Trace:
    """Return a trace in which ann runs 20 ms of 100, ben 30, and for 50 none has work."""
    network, trace = SimulatedNetwork(), Trace()
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)

    def work(steps: int) -> Any:
        for _ in range(steps):
            network.clock.burn(0.01)
            yield WAIT(0.025)

    scheduler.add(work(2), "ann")
    scheduler.add(work(3), "ben")
    scheduler.run()
    return trace


def judge_shares(function: Callable[[Trace], Mapping[str, float]]) -> Judgement:
    """Judge the shares that a function reads from two traces, each to within a thousandth."""
    for trace in (_two_that_sleep(), four_fibers()):
        answer, right = function(trace), _shares(trace)
        if not isinstance(answer, Mapping) or set(answer) != set(right):
            seen = sorted(answer) if isinstance(answer, Mapping) else repr(answer)
            hint = "a dict; from each fiber's name, and from 'idle', to a number"
            return Judgement(False, f"it returned {seen}", f"the keys {sorted(right)}", hint)
        wrong = [name for name in right if abs(answer[name] - right[name]) > 0.001]
        if wrong:
            name = wrong[0]
            return Judgement(
                False, f"{name}: {answer[name]:.3f}", f"{name}: {right[name]:.3f}",
                _hint_for_shares(trace, name, answer[name]),
            )  # fmt: skip
    return Judgement(True, "the shares and idle add up to 1")


def _hint_for_shares(trace: Trace, name: str, answer: float) -> str:
    spans = build_spans(trace)
    whole = spans.finish - spans.begin
    if name == "idle":
        return "idle is the time in the poll: polls have a start and an end"
    [life] = [life for life in spans.lives if life.name == name]
    spent = {state.value: time for state, time in spans.totals(life.id).items()}
    ran, alive = spent["running"], sum(spent.values())
    if abs(answer - ran / alive) < 0.001:
        return "that is a part of the fiber's own life; divide by the whole run, finish - begin"
    if abs(answer - (ran + spent["ready"]) / whole) < 0.001:
        return "ready is not running: it could go on, and another fiber does"
    if abs(answer - alive / whole) < 0.001:
        return "all its spans tile its life; take those in which it runs"
    return "the lengths of its running spans, added up, by the length of the run"


# -- Exercise 3: the run queue ------------------------------------------------


class _LastCome(deque[Fiber]):
    """A run queue that gives out first the fiber that came last."""

    def popleft(self) -> Fiber:
        return self.pop()


@cache
def _last_come() -> Trace:
    network, trace = SimulatedNetwork(), Trace()
    scheduler = Scheduler(
        trace=trace, clock=network.clock, poller=network, run_queue=_LastCome()
    )  # fmt: skip

    def turns(count: int) -> Any:
        for _ in range(count):
            network.clock.burn(0.01)
            yield WAIT(0)

    for name, count in (("ann", 2), ("ben", 3), ("cat", 1)):
        scheduler.add(turns(count), name)
    scheduler.run()
    return trace


def judge_queue(function: Callable[[Sequence[TraceEvent]], Sequence[int]]) -> Judgement:
    """Judge the run queue after each event of two traces, one of a queue that is no queue."""
    for trace in (four_fibers(), _last_come()):
        events = list(trace)
        for number in range(1, len(events) + 1):
            right = _queue_at(trace, number)
            answer = function(events[:number])
            if answer is None or list(answer) != right:
                return Judgement(
                    False,
                    f"{answer!r} after event {number}, {events[number - 1].ev.value}",
                    f"{right!r}",
                    _hint_for_queue(answer, right, events[number - 1], trace is _last_come()),
                )
    return Judgement(True, "the run queue after each event of two runs")


def _queue_at(trace: Trace, number: int) -> list[int]:
    ids = {event.name: event.fid for event in trace if event.ev == "spawn"}
    return [ids[name] for name in at_event(trace, number).queue]


def _hint_for_queue(answer: Any, right: list[int], event: TraceEvent, chosen: bool) -> str:
    if answer is None:
        return "return a list, also when it is empty"
    answer = list(answer)
    if sorted(answer) == sorted(right):
        return "a fiber that is woken goes to the end; the front comes first in your list"
    if event.ev == "spawn" or len(set(answer)) < len(answer):
        return "a fiber is in too often: only a wake puts a fiber in, a spawn or a yield does not"
    if chosen:
        return "here the run queue gives out the last that came; take out the fiber that is resumed"
    if set(answer) > set(right):
        return (
            "a fiber is in that should not be: a resume takes a fiber out, and only a wake puts in"
        )
    return "a fiber is missing: each wake puts its fiber in, whatever it is woken for"


EXERCISES = (
    Exercise(
        "l08-e1",
        "Which line of the scheduler was changed?",
        judge_change,
        Form("values", "letter, fiber", 'a letter and a fiber, as in ("F", "eve")'),
    ),
    Exercise(
        "l08-e2",
        "How much of the time did each fiber run?",
        judge_shares,
        Form("function", "trace", "a dict: numbers by name"),
    ),
    Exercise(
        "l08-e3",
        "Which fibers are in the run queue?",
        judge_queue,
        Form("function", "events", "a list of the numbers of fibers"),
    ),
)
