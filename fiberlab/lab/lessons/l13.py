"""Lesson 13, overload and policy: its question, its simulation and its exercises."""

from __future__ import annotations

import io
import random
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...fiber import Fiber, RunQueue, start
from ...scheduler import Scheduler
from ...simulation.network import SimulatedClock, SimulatedNetwork
from ...trace.trace import Trace
from ...waits import WAIT, Wait
from ..exercises import Exercise, Judgement, Question

SERVICE = 0.01
"""Seconds that the server works for one request, so it can answer a hundred a second."""

PATIENCE = 0.1
"""Seconds after which a client gives up."""

SECONDS = 10.0
SEED = 13

# -- The simulation -----------------------------------------------------------


@dataclass
class Request:
    """One request; times in seconds since the beginning.

    answered: None if it was refused.
    """

    due: float
    answered: float | None = None

    @property
    def latency(self) -> float | None:
        """Seconds from the moment it was due to its answer."""
        return None if self.answered is None else self.answered - self.due

    @property
    def in_time(self) -> bool:
        """Whether the client was still there when the answer came."""
        return self.latency is not None and self.latency <= PATIENCE


class AcceptFirst:
    """A run queue that resumes one fiber a pass: who accepts, else whom `policy` chooses.

    A pass resumes as many fibers as it found in the run queue. Said to be one at most, the next
    choice is made when all are known that have come meanwhile.
    """

    def __init__(self, policy: RunQueue) -> None:
        self.policy, self.accepting = policy, deque[Fiber]()

    def append(self, fiber: Fiber) -> None:
        """Add a fiber that has become ready."""
        (self.accepting if fiber.name == "accept" else self.policy).append(fiber)

    def popleft(self) -> Fiber:
        """Take out the fiber to be resumed next."""
        return (self.accepting or self.policy).popleft()

    def __len__(self) -> int:
        return min(1, len(self.accepting) + len(self.policy))


def overload(policy: RunQueue, load: float, bound: int | None = None) -> list[Request]:
    """Run a server in simulated time for SECONDS, and return its requests in order.

    policy: the run queue, empty. load: requests due, as a part of those the server can answer;
    they come at random, the same each time. bound: refuse who finds so many waiting.
    """
    network = SimulatedNetwork()
    clock, requests = network.clock, list[Request]()

    def accept() -> Generator[Wait, None, None]:
        chance, due = random.Random(SEED), 0.0
        while due < SECONDS:
            if due > clock.now():
                yield WAIT(due - clock.now())
            requests.append(Request(due))
            if bound is None or len(policy) < bound:
                start(answer(requests[-1], clock))
            due += chance.uniform(0, 2 * SERVICE / load)

    scheduler = Scheduler(clock=clock, poller=network, run_queue=AcceptFirst(policy))
    scheduler.add(accept(), "accept")
    scheduler.run()
    return requests


def answer(request: Request, clock: SimulatedClock) -> Generator[Wait, None, None]:
    """Answer one request, in one step."""
    clock.burn(SERVICE)
    request.answered = clock.now()
    yield from ()  # a generator, though it never waits


def share_in_time(requests: Sequence[Request]) -> float:
    """Return which part of the requests was answered in time."""
    return sum(each.in_time for each in requests) / len(requests)


# -- Three fibers and a lock --------------------------------------------------


def three_fibers(queue: RunQueue, lock: Any) -> Trace:
    """Run low and high, which both need `lock`, and middle, which does not; 10 ms a step."""
    network, trace = SimulatedNetwork(), Trace()
    clock = network.clock

    def work(steps: int) -> Generator[Wait, None, None]:
        for _ in range(steps):
            clock.burn(0.01)
            yield WAIT(0)

    def locked(name: str, begin: float, steps: int) -> Generator[Wait, None, None]:
        yield WAIT(begin)
        yield from lock.acquire(name)
        yield from work(steps)
        lock.release()

    def free(begin: float, steps: int) -> Generator[Wait, None, None]:
        yield WAIT(begin)
        yield from work(steps)

    scheduler = Scheduler(trace=trace, clock=clock, poller=network, run_queue=queue)
    scheduler.add(locked("low", 0, 4), "low")
    scheduler.add(free(0.01, 8), "middle")
    scheduler.add(locked("high", 0.01, 1), "high")
    scheduler.run()
    return trace


def done_at(trace: Trace) -> dict[str, float]:
    """Return when each fiber ended, in milliseconds, by its name and in order."""
    names = {event.fid: event.name for event in trace if event.ev == "spawn"}
    return {names[event.fid]: event.t / 1e6 for event in trace if event.ev == "exit"}


# -- The question -------------------------------------------------------------


def which_policy(shares: Mapping[str, float]) -> str:
    """Return the choice that the shares answered in time bear out, by policy."""
    first, last = shares["first-come"], shares["last-come"]
    if abs(first - last) < 0.05:
        return "c"
    if first > last:
        return "a"
    return "b" if first < 0.25 else "d"


QUESTIONS = (
    Question(
        id="l13-q1",
        text="Load 125 %, clients give up after 100 ms. Which policy answers more in time?",
        choices={
            "a": "first-come: about four of five; last-come lets too many wait",
            "b": "last-come: about four of five; first-come almost none",
            "c": "both the same: the server does as much work either way",
            "d": "last-come by a little; both lose about half",
        },
        wrong={
            "a": "Last-come lets some wait very long, but first-come lets all wait, longer and\n"
            "longer. Look at the figure: the dots of first-come leave the dotted line for good.",
            "c": "The work is the same, but not whom it is done for: an answer to a client that\n"
            "has given up is of no use. Look at the shares.",
            "d": "Under first-come the delay never shrinks again: nobody new is in time. Look at\n"
            "the figure: after the first second there is none below the dotted line.",
        },
        outcome=which_policy,
    ),
)

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
            hint = "offer() returns True for who came in and False for who is refused"
            seen = f"offer() returned {accepted!r} with {len(expected)} waiting"
            return Judgement(False, seen, f"{fits}, the bound being {BOUND}", hint)
    if queue.refused != refused:
        hint = "count in offer(), each time that it refuses"
        return Judgement(False, f"refused is {queue.refused!r}", f"{refused}", hint)
    return Judgement(True, f"never more than {BOUND} waiting, {refused} refused")


def _other_item(taken: Any, right: int) -> Judgement:
    hint = (
        "who waits already is not pushed out: it is the newcomer that is refused"
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
    Exercise("l13-e1", "A queue that refuses who finds no room.", judge_bounded),
    Exercise("l13-e2", "A run queue: earliest deadline first.", judge_deadlines),
    Exercise("l13-e3", "A run queue: each client its share.", judge_fair_share),
)
