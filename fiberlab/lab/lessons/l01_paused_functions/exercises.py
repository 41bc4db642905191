"""The exercises of lesson 01, and what judges them: generators that take turns, count and end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any

from ...exercises import Exercise, Judgement
from ...mistakes import Form

# -- Exercise 1: interleave two -----------------------------------------------

Pairing = Callable[[Iterator[str], Iterator[str]], Iterator[str]]
_MANY = 20
"""More values than any right answer gives: a generator that never ends is not waited for."""


def judge_interleave(function: Pairing) -> Judgement:
    """Judge which of two generators has run in each step while `function` lets them take turns."""
    for first, second, expected in (
        ("a1 a2 a3", "b1 b2", "a1 b1 a2 b2 a3"),
        ("a1", "b1 b2 b3", "a1 b1 b2 b3"),
    ):
        log: list[str] = []
        made = function(_logging(first, log), _logging(second, log))
        came: list[str] = []
        early = ""
        for value in islice(made, _MANY):
            came.append(str(value))
            if len(log) > len(came) and not early:
                early = f"when {came[-1]} came out, these had been taken: {' '.join(log)}"
        if " ".join(came) != expected:
            return _other_order(first, second, came, expected)
        if early:
            hint = "take a value by next only when it is to be yielded; a list takes all at once"
            return Judgement(False, early, "one step of one generator for each value", hint)
    return Judgement(True, "each took its turn, one step at a time")


def _logging(values: str, log: list[str]) -> Iterator[str]:
    for value in values.split():
        log.append(value)
        yield value


def _other_order(first: str, second: str, came: list[str], expected: str) -> Judgement:
    if came == f"{first} {second}".split():
        hint = "that is one after the other: the turn changes after each value"
    elif len(came) < len(expected.split()):
        hint = "one of the two ended first; the other has values left, which are to come too"
    else:
        hint = "the first begins, then they alternate while both have values"
    return Judgement(
        False, f"from {first} and {second} came: {' '.join(came) or 'nothing'}", expected, hint
    )


# -- Exercise 2: a countdown --------------------------------------------------


def judge_countdown(function: Callable[[int], Generator[int, Any, str]]) -> Judgement:
    """Judge the sequence that comes out of a countdown, and what a send makes of it."""
    made = function(3)
    came, result = _run(made)
    if came != [3, 2, 1]:
        hint = "it yields a number each time, down to 1; what it says last it returns"
        return Judgement(False, f"from countdown(3) came {came}", "[3, 2, 1]", hint)
    if result != "go":
        hint = "a generator may return a value: it comes with its end"
        return Judgement(False, f"at its end it returned {result!r}", "'go'", hint)
    made = function(9)
    first = [next(made), next(made), made.send(4)]
    rest, result = _run(made)
    if first + rest != [9, 8, 4, 3, 2, 1] or result != "go":
        return Judgement(
            False,
            f"9, 8, then send(4): {', '.join(map(str, first[2:] + rest))}",
            "4, 3, 2, 1",
            "what is sent is the value of the yield: keep it, and look whether it is None",
        )
    made = function(9)
    rest, result = [next(made)], None
    try:
        rest.append(made.send(0))
    except StopIteration as end:
        result = end.value
    if result is None:
        more, result = _run(made)
        rest += more
    if rest not in ([9], [9, 0]) or result != "go":
        hint = "0 was sent, and 0 is false: compare what was sent with None"
        seen = f"9, then send(0): {', '.join(map(str, rest[1:6])) or 'its end'}"
        return Judgement(False, seen, "0 or its end, and 'go'", hint)
    return Judgement(True, "3, 2, 1, go; and 9, 8, then 4, 3, 2, 1, go")


def _run(made: Generator[Any, Any, Any]) -> tuple[list[Any], Any]:
    """Return what comes out of a generator, and what it returns; at most _MANY values."""
    came: list[Any] = []
    while len(came) < _MANY:
        try:
            came.append(next(made))
        except StopIteration as end:
            return came, end.value
    made.close()
    return came, None


# -- Exercise 3: clean up, however it ends ------------------------------------


def judge_tidy(function: Callable[[list[str]], Generator[int, None, None]]) -> Judgement:
    """Judge what a generator has logged when it was closed, and when an error was thrown in."""
    log: list[str] = []
    made = function(log)
    before = list(log)
    came = list(islice(made, _MANY))
    if came[:3] != [1, 2, 3] or before or log[:1] != ["open"] or "open" in log[1:]:
        hint = "open once, at the first step; then count 1, 2, 3, ... with a yield each"
        seen = f"yielded {came[:3]}, logged {(before + log)[:4]}"
        return Judgement(False, seen, "[1, 2, 3], ['open']", hint)
    if came != list(range(1, _MANY + 1)) or log != ["open"]:
        seen = f"yielded {len(came)} values, the last of them {came[-1]}; logged {log}"
        hint = "it has no end of its own: `while True`, and one more each time"
        return Judgement(False, seen, "1, 2, 3 and so on without end, ['open']", hint)
    try:
        made.close()
    except RuntimeError:
        with contextlib.suppress(Exception):  # else Python complains when it is collected
            made.throw(ValueError("the judge ends it"))
        hint = "close throws GeneratorExit at the yield: let it pass, do not go on yielding"
        return Judgement(False, "it went on yielding when it was closed", "its end", hint)
    if log != ["open", "shut"]:
        hint = "code below an endless loop is never reached; `finally` is, and so is GeneratorExit"
        return Judgement(False, f"after close() the log was {log}", "['open', 'shut']", hint)
    return _judge_thrown(function)


def _judge_thrown(function: Callable[[list[str]], Generator[int, None, None]]) -> Judgement:
    """Judge what happens when an error is thrown in: it comes out again, after the cleaning."""
    log: list[str] = []
    made = function(log)
    next(made)
    try:
        made.throw(ValueError("line broken"))
    except ValueError:
        if log == ["open", "shut"]:
            return Judgement(True, "open, then shut, when closed and when an error came")
        hint = "`except GeneratorExit` catches the close alone; `finally` every end"
        return Judgement(False, f"after an error the log was {log}", "['open', 'shut']", hint)
    except StopIteration:
        pass
    made.close()
    hint = "clean up and let the error pass: `finally` does both"
    return Judgement(False, "an error that was thrown in did not come out", "the error", hint)


EXERCISES = (
    Exercise(
        "l01-e1", "Let two generators take turns.", judge_interleave, Form("fiber", "first, second")
    ),
    Exercise(
        "l01-e2", "Count down, from wherever one is sent.", judge_countdown, Form("fiber", "number")
    ),
    Exercise("l01-e3", "Clean up, however the generator ends.", judge_tidy, Form("fiber", "log")),
)
