"""Lesson 07, blocking pitfalls: its question, its exercises, and what one of them is about."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ...fiber import Fiber
from ...scheduler import Scheduler
from ...simulation.network import SimulatedNetwork
from ...spans.build import build_spans
from ...spans.spans import Spans, readable
from ...states import RUNNING
from ...trace.trace import Trace
from ...waits import RECV, WAIT, Wait
from ..clients import Recording
from ..exercises import Exercise, Judgement, Question

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAP = 0.12
LATE = 0.05
"""Seconds from which a request counts as late: far from both the nap and the usual latency."""

# -- The question -------------------------------------------------------------


def who_is_late(trace: Recording) -> str:
    """Return the choice that a recording bears out: whose requests were late, and how much."""
    worst: dict[int, float] = {}
    for each in trace.records:
        worst[each.client] = max(worst.get(each.client, 0.0), each.latency)
    napper = max(worst)  # the last client is the one that asks for the nap
    others = [seconds for client, seconds in worst.items() if client != napper]
    if max(others) < LATE / 5:
        return "a"
    if min(others) < LATE:
        return "b"
    return "c" if max(others) < 2 * NAP else "d"


QUESTIONS = (
    Question(
        id="l07-q1",
        text="One fiber sleeps for 120 ms with time.sleep. Who is late, and by how much?",
        choices={
            "a": "nobody but the client that asked for the nap",
            "b": "the four others by a share of it, about 24 ms each",
            "c": "all, each by up to the whole nap",
            "d": "all, one after the other: by one nap, by two naps, by three ...",
        },
        wrong={
            "a": "Fibers are not threads: nothing runs beside the fiber that sleeps. Look at the\n"
            "timeline: under the long bar no other row has one.",
            "b": "The scheduler does not divide time: it cannot take the loop from a fiber that\n"
            "does not yield. Look at the facts: one step was as long as the whole nap.",
            "d": "There was one nap, and all waited for the same one. Look at the latencies: no\n"
            "request waited longer than that.",
        },
        outcome=who_is_late,
    ),
)

# -- The diagram --------------------------------------------------------------


def draw_pass(ax: Axes) -> None:
    """Draw one pass of the loop with a nap in it, on `ax`."""
    ax.set_xlim(0, 120)
    ax.set_ylim(0, 40)
    ax.axis("off")
    _box(ax, 2, 68, "resume every fiber that is ready", "#1B4F8A", "white")
    _box(ax, 74, 22, "poll", "#BDBDBD", "black")
    _box(ax, 100, 18, "deadlines", "#E6E6E6", "black")
    ax.text(24, 17.5, "echo-6:  time.sleep(0.12)", ha="left", va="center", color="white", size=13)
    ax.annotate(
        "and round again", (10, 12), (109, 12), size=13, ha="center", va="top", color="black",
        arrowprops={"arrowstyle": "->", "connectionstyle": "arc3,rad=-0.22", "lw": 1.5},
    )  # fmt: skip
    for x in range(26, 70, 6):
        ax.annotate("", (x, 26.5), (x, 32), arrowprops={"arrowstyle": "->", "color": "#B35900"})
    ax.text(47, 33, "requests arrive, and lie in the kernel", ha="center", size=13, color="#B35900")
    ax.annotate(
        "only here does the loop look for them", (85, 26.5), (95, 34), size=13, ha="center",
        arrowprops={"arrowstyle": "->"},
    )  # fmt: skip


def _box(ax: Axes, x: float, width: float, text: str, colour: str, ink: str) -> None:
    ax.broken_barh([(x, width)], (13, 13), facecolors=colour, edgecolors="black")
    ax.text(x + width / 2, 23.2, text, ha="center", va="center", color=ink, size=13)


# -- The same in simulated time -----------------------------------------------


def simulate_naps(nap: float, nappers: int) -> list[tuple[float, float]]:
    """Let four fibers answer a request each 20 ms, in simulated time, beside some that nap.

    nap: seconds; each of the `nappers` blocks for so long, 100 ms after the beginning.
    Returns of each request, in seconds, when it was due, and its latency.
    """
    network = SimulatedNetwork()
    requests: list[tuple[float, float]] = []
    scheduler = Scheduler(clock=network.clock, poller=network)
    for number in range(4):
        due = [0.005 * number + 0.020 * count for count in range(20)]
        scheduler.add(_answering(network, due, requests))
    for _ in range(nappers):
        scheduler.add(_napping(network, nap))
    scheduler.run()
    return requests


def _answering(
    network: SimulatedNetwork, due: list[float], requests: list[tuple[float, float]]
) -> Generator[Wait, None, None]:
    # A pair for each request, as long as the request is due: the client needs no fiber.
    pairs = [network.socketpair(latency=moment) for moment in due]
    for client, _ in pairs:
        client.send(b"word")
    for moment, (_, server) in zip(due, pairs, strict=True):
        yield RECV(server)
        network.clock.burn(0.001)  # what an answer costs
        requests.append((moment, network.clock.now() - moment))


def _napping(network: SimulatedNetwork, nap: float) -> Generator[Wait, None, None]:
    yield WAIT(0.1)
    network.clock.burn(nap)


# -- Exercise 1: find the culprit ---------------------------------------------

REMEMBERED = (b"fiber", b"loop")


def look_up(word: bytes) -> bytes:
    """Return what a dictionary on another machine has to say; it remembers some words."""
    if word not in REMEMBERED:
        time.sleep(0.15)  # the other machine is slow today
    return word.upper()


def check_spelling(word: bytes) -> bytes:
    """Return the word, spelt correctly."""
    return word.strip()


def write_log(word: bytes) -> bytes:
    """Note the word, and return it."""
    return word


def judge_culprit(answer: Any, trace: Trace) -> Judgement:
    """Judge (name of the fiber, line): the longest step of the trace, and where it was seen."""
    spans = build_spans(trace)
    longest = max(spans.steps(), key=lambda i: spans.end[i] - spans.start[i])
    culprit = spans.lives[spans.row[longest]]
    try:
        name, line = answer
        number = int(str(line).rpartition(":")[2])
    except (TypeError, ValueError):
        return Judgement(
            False, f"the answer {answer!r}", 'a fiber and a line, as in ("find-9", 99)'
        )
    if name != culprit.name:
        return _not_that_fiber(spans, name)
    lines = {int((look.src or ":0").rpartition(":")[2]) for look in spans.looks(longest)}
    if number in lines:
        return Judgement(True, f"{name} held the loop at line {number}")
    ended = (spans[longest].src or "").rpartition(":")[2]
    return Judgement(
        False,
        f"{name} is the one; but line {number} was not running when the watchdog looked",
        "the line at which it was seen while it held the loop",
        f"line {number} is where the step ended: the fiber yielded there. Who held it before?"
        if str(number) == ended
        else "the timeline writes file and line on the long bar",
    )


def _not_that_fiber(spans: Spans, name: Any) -> Judgement:
    expected = "the fiber with the longest step of all"
    lives = [life for life in spans.lives if life.name == name]
    if not lives:
        return Judgement(False, f"no fiber is called {name!r}", expected)
    indexes = spans.indexes(lives[0].id)
    own = max((spans[i].length for i in indexes if spans.state[i] == RUNNING), default=0)
    waited = max((spans[i].length for i in indexes if spans.state[i] != RUNNING), default=0)
    return Judgement(
        False,
        f"no step of {name} was longer than {readable(own)}; "
        f"it waited for up to {readable(waited)}",
        expected,
        "waiting long is what victims do; the culprit runs long. Look for the long dark bar",
    )


# -- Exercise 2: a loop that gives others a turn ------------------------------

LIMIT = 4_000
SHARE = 0.25
"""The largest part of the whole work that one step may do."""


def chain_length(number: int) -> int:
    """Return how many steps it takes from `number` to 1: halve it, or triple it and add one."""
    length = 0
    while number > 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        length += 1
    return length


def longest_chain(limit: int) -> int:
    """Return the number below `limit` whose chain is the longest."""
    return max(range(1, limit), key=chain_length)


def judge_turns(function: Callable[[int], Generator[Wait, None, int]]) -> Judgement:
    """Run a fiber of ``function(LIMIT)`` beside one that only takes turns; judge its steps."""
    made = function(LIMIT)
    if not isinstance(made, Generator):
        return Judgement(
            False,
            f"{_name_of(function)} returned {made!r}",
            "a generator: a function with a yield in it",
            "a call inside a fiber cannot yield for it",
        )
    trace = Trace(stall_after=None, cpu=True)
    # Errors are this function's to tell; what the fiber prints is left alone.
    scheduler = Scheduler(trace=trace, file=io.StringIO())
    fiber = scheduler.add(made, "yours")
    scheduler.add(_bystander(fiber), "bystander")
    scheduler.run()
    if fiber.error is not None:
        raise fiber.error
    return _judge_steps(fiber, trace)


def _bystander(fiber: Fiber) -> Generator[Wait, None, None]:
    while fiber.generator is not None:
        yield WAIT(0)


def _judge_steps(fiber: Fiber, trace: Trace) -> Judgement:
    waits = [event.dt for event in trace if event.ev == "yield" and event.fid == fiber.id]
    spans = build_spans(trace)
    steps = [span.cpu or 0 for span in spans.of(fiber.id) if span.state.value == "running"]
    share = max(steps) / max(1, sum(steps))
    right = longest_chain(LIMIT)
    at_most = f"no step with more than {SHARE:.0%} of the work"
    if fiber.result != right:
        return Judgement(
            False,
            f"it returned {fiber.result!r}",
            f"{right}, as longest_chain({LIMIT}) returns",
            "a fiber's result is what it returns, as in any function",
        )
    if any(dt for dt in waits):
        return Judgement(
            False,
            f"it slept in {_count(sum(map(bool, waits)), 'wait')}",
            "turns, and no sleep",
            "WAIT(0) lets every other ready fiber run once; WAIT(0.01) also loses 10 ms each time",
        )
    if None in waits:
        return Judgement(
            False,
            "it parked: WAIT(None) goes on only when another fiber has run",
            "a fiber that goes on by itself, also when it is the only one",
            "WAIT(0) is the wait for one's next turn",
        )
    if share > SHARE:
        return Judgement(
            False,
            f"{_count(len(waits), 'yield')}, and one step that did {share:.0%} of the work",
            at_most,
            "the yield belongs inside the loop, where the time is spent"
            if waits
            else "WAIT(0) only makes a value; it is the yield that gives the loop away",
        )
    return Judgement(True, f"{len(steps)} steps, none with more than {SHARE:.0%} of the work")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _name_of(function: Any) -> str:
    return str(getattr(function, "__name__", function))


EXERCISES = (
    Exercise("l07-e1", "Which fiber held the loop, and at which line?", judge_culprit),
    Exercise("l07-e2", "Let a long computation give the others their turns.", judge_turns),
)
