"""The exercises of lesson 07, what they are about, and what judges them."""

from __future__ import annotations

import contextlib
import gc
import io
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

from ....fiber import Fiber
from ....scheduler import Scheduler
from ....spans.build import build_spans
from ....spans.spans import Spans, readable
from ....states import RUNNING
from ....trace.trace import Trace
from ....waits import WAIT, Wait
from ...exercises import Exercise, Judgement
from ...mistakes import Form

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


MOST_TRIES = 4


@dataclass
class _Tried:
    """The lines that were tried with the last recording: all of them would hold the right one."""

    of: Trace | None = None
    lines: set[int] = field(default_factory=set)


_TRIED = _Tried()


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
            False,
            f"the answer {answer!r}",
            'a fiber and a line, as in ("find-9", 99)',
            "the fiber's name in quotes, and the number of the line without",
        )
    if name != culprit.name:
        return _not_that_fiber(spans, name)
    if _TRIED.of is not trace:
        _TRIED.of, _TRIED.lines = trace, set()
    tried = _TRIED.lines
    tried.add(number)
    if len(tried) > MOST_TRIES:
        return Judgement(
            False,
            f"{len(tried)} lines were tried with one recording",
            "the line that the timeline shows",
            "plot_timeline(mystery) first; then run the whole cell again, and answer once",
        )
    lines = {int((look.src or ":0").rpartition(":")[2]) for look in spans.looks(longest)}
    if number in lines:
        return Judgement(True, f"{name} held the loop at line {number}")
    ended = (spans[longest].src or "").rpartition(":")[2]
    return Judgement(
        False,
        f"{name} is the one; but line {number} was not running when the watchdog looked",
        "the line at which it was seen while it held the loop",
        f"line {number} is where the step ended: the fiber yielded there. What ran before?"
        if str(number) == ended
        else "the timeline writes file and line on the long bar",
    )


def _not_that_fiber(spans: Spans, name: Any) -> Judgement:
    expected = "the fiber with the longest step of all"
    lives = [life for life in spans.lives if life.name == name]
    if not lives:
        hint = "the names stand at the left of the timeline, in its order"
        return Judgement(False, f"no fiber is called {name!r}", expected, hint)
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
    trace = Trace(stall_after=None, cpu=True)
    # Errors are this function's to tell; what the fiber prints is left alone.
    scheduler = Scheduler(trace=trace, file=io.StringIO())
    fiber = scheduler.add(made, "yours")
    scheduler.add(_bystander(fiber), "bystander")
    with _no_collection():
        scheduler.run()
    if fiber.error is not None:
        raise fiber.error
    return _judge_steps(fiber, trace)


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep garbage collections away: one of a whole notebook takes longer than all of the work.

    It would count as computing of the step in which it happens.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _bystander(fiber: Fiber) -> Generator[Wait, None, None]:
    while fiber.generator is not None:
        yield WAIT(0)


def _judge_steps(fiber: Fiber, trace: Trace) -> Judgement:
    yields = [event for event in trace if event.ev == "yield" and event.fid == fiber.id]
    waits = [event.dt for event in yields if event.op == "WAIT"]
    handed_over = len(waits) < len(yields)  # to a thread, for which it waits by RECV
    spans = build_spans(trace)
    steps = [span.cpu or 0 for span in spans.of(fiber.id) if span.state.value == "running"]
    began = time.thread_time_ns()
    right = longest_chain(LIMIT)
    work = sum(steps) + handed_over * (time.thread_time_ns() - began)
    share = max(steps) / max(1, work)
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
            f"{_count(len(yields), 'yield')}, and one step that did {share:.0%} of the work",
            at_most,
            "the yield belongs inside the loop, where the time is spent"
            if yields
            else "WAIT(0) only makes a value; it is the yield that gives the loop away",
        )
    return Judgement(True, f"{len(steps)} steps, none with more than {SHARE:.0%} of the work")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


EXERCISES = (
    Exercise(
        "l07-e1",
        "Which fiber held the loop, and at which line?",
        judge_culprit,
        Form("values", "fiber, line", 'a fiber and a line, as in ("find-9", 99)'),
    ),
    Exercise(
        "l07-e2",
        "Let a long computation give the others their turns.",
        judge_turns,
        Form("fiber", "limit"),
    ),
)
