"""The exercises of lesson 13, and what judges them: a bounded queue, and two run queues."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from ....fiber import RunQueue
from ....scheduler import Scheduler
from ....simulation.network import SimulatedNetwork
from ....trace.trace import Trace
from ....waits import WAIT, Wait
from ...exercises import Exercise, Judgement
from ...mistakes import Form

# -- Exercise 1: a bounded queue ----------------------------------------------

BOUND = 3


def judge_bounded(make: Callable[[int], Any]) -> Judgement:
    """Offer items to ``make(BOUND)`` and take them, in bursts; judge length, order and count."""
    queue, expected, refused = make(BOUND), deque[int](), 0
    for item, takes in enumerate([0, 0, 0, 0, 0, 2, 0, 1, 0, 0, 3, 1, 0]):
        for _ in range(min(takes, len(expected))):
            taken, right = queue.take(), expected.popleft()
            if taken != right:
                return _other_item(taken, right)
        fits = len(expected) < BOUND
        accepted = queue.offer(item)
        if fits:
            expected.append(item)
        refused += not fits
        if len(queue) > BOUND:
            hint = "look at the length before you append: at the bound there is no room left"
            return Judgement(False, f"{len(queue)} in the queue", f"at most {BOUND}", hint)
        if bool(accepted) != fits:
            hint = "offer() returns True for an item that came in and False for one that is refused"
            seen = f"offer() returned {accepted!r} with {len(expected)} waiting"
            return Judgement(False, seen, f"{fits}, the bound being {BOUND}", hint)
    if queue.refused != refused:
        hint = "count in offer(), each time that it refuses"
        return Judgement(False, f"refused is {queue.refused!r}", f"{refused}", hint)
    return Judgement(True, f"never more than {BOUND} waiting, {refused} refused")


def _other_item(taken: Any, right: int) -> Judgement:
    hint = (
        "an item that waits already is not pushed out: the newcomer is refused"
        if isinstance(taken, int) and taken > right
        else "take() takes out and returns the oldest"
    )
    return Judgement(False, f"take() returned {taken!r}", f"{right}, the oldest that came in", hint)


# -- Exercises 2 and 3: policies ----------------------------------------------

DEADLINES = {"a": 0.4, "b": 0.1, "c": 0.4, "d": 0.2, "e": 0.1}
CLIENTS = ("ann-1", "ann-2", "ann-3", "ben-1", "ann-4", "cat-1", "ben-2")


def order_of(queue: RunQueue, names: Sequence[str], steps: int = 1) -> list[str]:
    """Run fibers with these names, all ready at once, and return the order of their steps."""
    trace, network = Trace(), SimulatedNetwork()
    scheduler = Scheduler(
        trace=trace, clock=network.clock, poller=network, run_queue=queue, file=io.StringIO()
    )

    def fiber(last: int) -> Generator[Wait, None, None]:
        for _ in range(last):
            yield WAIT(0)

    by_id = {scheduler.add(fiber(steps - 1), name).id: name for name in names}
    scheduler.run()
    return [by_id[event.fid] for event in trace if event.ev == "resume"]


def judge_deadlines(make: Callable[[Mapping[str, float]], RunQueue]) -> Judgement:
    """Judge the order in which ``make(DEADLINES)`` lets five fibers take two steps each."""
    order = order_of(make(DEADLINES), list(DEADLINES), 2)
    right = ["b", "e", "b", "e", "d", "d", "a", "c", "a", "c"]
    if order == right:
        return Judgement(True, "earliest deadline first, equal ones in turn")
    hints = {
        tuple("abcdeabcde"): "that is first-come: look at deadlines[fiber.name]",
        tuple("acacddbebe"): "the smallest deadline is the earliest one",
    }
    hint = hints.get(tuple(order), "of equal deadlines, the one that has waited longest goes first")
    return Judgement(False, " ".join(order), " ".join(right), hint)


def judge_fair_share(make: Callable[[], RunQueue]) -> Judgement:
    """Judge the order in which ``make()`` lets the fibers of three clients take their step."""
    order = order_of(make(), CLIENTS)
    right = ["ann-1", "ben-1", "cat-1", "ann-2", "ben-2", "ann-3", "ann-4"]
    if order == right:
        return Judgement(True, "one of each client in turn")
    clients = [name.partition("-")[0] for name in order]
    if order == list(CLIENTS):
        hint = "that is first-come: ann's four all go before cat. A line for each client"
    elif clients == sorted(clients):
        hint = "one client is served to its end before the next: after one step, the next line"
    else:
        hint = "the lines take turns, and within a line it is first come, first served"
    return Judgement(False, " ".join(order), " ".join(right), hint)


EXERCISES = (
    Exercise(
        "l13-e1",
        "A queue that refuses what finds no room.",
        judge_bounded,
        Form("class", "bound", "offer() returns True or False, take() an item"),
    ),
    Exercise(
        "l13-e2",
        "A run queue: earliest deadline first.",
        judge_deadlines,
        Form(
            "class", "deadlines", "append() keeps a fiber, popleft() takes one out and returns it"
        ),
    ),
    Exercise(
        "l13-e3",
        "A run queue: each client its share.",
        judge_fair_share,
        Form("class", "", "append() keeps a fiber, popleft() takes one out and returns it"),
    ),
)
