"""Mistakes: each common one gets a sentence with its remedy, whatever the exercise."""

from __future__ import annotations

import ast
import itertools
import linecache
import re
from typing import Any

import pytest

from fiberlab import RECV, SEND, WAIT, Deadlock, Scheduler
from fiberlab.lab import Exercise, Judgement, examine
from fiberlab.lab.lessons import l07_blocking_pitfalls as l07
from fiberlab.lab.mistakes import Form

_numbers = itertools.count()


def written(source: str, **names: Any) -> Any:
    """Return what the source defines last, as if it had been written in a cell."""
    file = f"<cell {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space = {"RECV": RECV, "SEND": SEND, "WAIT": WAIT, **names}
    exec(compile(source, file, "exec"), space)
    return space[ast.parse(source).body[-1].name]  # type: ignore[attr-defined]


@pytest.fixture
def exercise(monkeypatch):
    """Let an exercise "l07-x" be judged by a function, and have a form."""

    def make(judge, form=None, given=0):
        exercises = (Exercise("l07-x", "Do it.", judge, form, given),)
        monkeypatch.setattr(l07, "EXERCISES", exercises)

    return make


def passes(answer, *given):
    return Judgement(True)


# -- Errors: the twenty commonest, and some more -----------------------------------------

ERRORS = {
    "return deque()": "run the lesson's first cell",
    "x = x + 1": "set it there before it is used",
    "return [].append(1).id": "returns None, as append, sort and print do",
    "return RECV(sock).seconds": "only a WAIT has seconds",
    "return WAIT(1).sock": "only RECV and SEND have a sock",
    "return gen().id": "a generator has next, send, throw",
    "return 'abc'.nothing": "look at dir() of it",
    "return list(None)": "is not made of several things",
    "return gen()[0]": "takes a list or a dict",
    "x = 5; return x()": "(...) behind a value calls it",
    "return gen(1, 2)": "compare the call there with the function's first line",
    "return None + 1": "one of the two is None",
    "return b'a' + 'b'": "sockets take bytes and not text",
    "return gen().send(1)": "the first resume is a next",
    "return {}[2]": "ask `key in dict` first",
    "return [][0]": "ask its length first",
    "a, b = 1, 2, 3": "on the left there are more names, or fewer",
    "return WAIT(-1)": "max(0, seconds)",
    "return 1 / 0": "what is divided by may be 0",
    "return answer(sock)": "which case makes no call?",
    "next(iter([]))": "catch it, with except StopIteration",
    "raise BlockingIOError": "`yield RECV(sock)` before each recv",
    "raise RuntimeError('generator raised StopIteration')": "at the end of a generator",
    "raise RuntimeError('generator ignored GeneratorExit')": "do not yield any more",
    "raise OSError": "the socket or file is closed",
    "raise Warning": "call it yourself in a cell",
}


@pytest.mark.parametrize(("line", "hint"), ERRORS.items(), ids=ERRORS)
def test_each_common_error_is_told_with_its_line_and_its_remedy(exercise, line, hint):
    def gen():
        yield

    class Socket:
        def fileno(self):
            return 7

    answer = written(f"def answer(sock):\n    {line}\n", gen=gen)
    exercise(lambda answer: answer(Socket()), Form("function", "sock"))
    found = examine("l07-x", answer)

    assert not found.passed
    assert found.seen.startswith("your answer raised ")
    # Too deep a call fails on either line: before or after the call begins.
    assert re.search(rf"{answer.__code__.co_filename}:[12], in answer", found.seen)
    assert hint in found.hint


def test_a_deadlock_is_told_with_what_wakes_a_parked_fiber(exercise):
    def alone(function):
        scheduler = Scheduler()
        scheduler.add(function())
        scheduler.run()

    exercise(alone, Form("fiber", ""))
    found = examine("l07-x", written("def answer():\n    yield WAIT(None)\n"))

    assert found.seen.startswith("your answer raised Deadlock: deadlock: ")
    assert "when another fiber has run" in found.hint
    assert Deadlock.__name__ in found.seen


# -- The form of an answer ----------------------------------------------------------------

FIBER = Form("fiber", "sock, address")


def handler(sock, address):
    yield RECV(sock)


@pytest.mark.parametrize(
    ("answer", "seen", "hint"),
    [
        (handler(1, 2), "the answer is a generator of handler", "give the function itself"),
        ("handler", "the answer is 'handler'", "without quotes"),
        (None, "the answer is None", "give the function, uncalled"),
        (5, "the answer is 5", "the name that stands behind def"),
        (Socket := type("Socket", (), {}), "the answer is <class", "write a def"),
        (lambda sock: None, "<lambda> takes (sock)", "leave the first line as it was"),
        (lambda sock, address: [sock], "calling it returned [", "makes a generator"),
        (lambda sock, address: None, "calling it returned None", "makes a generator"),
    ],
)
def test_an_answer_that_is_no_fibers_function_is_told_so(exercise, answer, seen, hint):
    def judge(function):
        return Judgement(bool(list(function(Socket(), "address"))))

    exercise(judge, FIBER)
    found = examine("l07-x", answer)

    assert (found.passed, found.attempted) == (False, True)
    assert found.seen.startswith(seen)
    assert hint in found.hint


def test_an_async_def_where_a_fiber_belongs_is_told_so(exercise):
    async def answer(sock, address):
        pass

    exercise(lambda function: Judgement(bool(list(function(1, 2)))), FIBER)

    assert "a fiber here is a def with yields" in examine("l07-x", answer).hint


@pytest.mark.parametrize("answer", [handler, lambda *given: handler(*given), passes])
def test_whatever_can_be_called_like_it_goes_to_the_judge(exercise, answer):
    exercise(passes, FIBER)

    assert examine("l07-x", answer).passed


@pytest.mark.parametrize("answer", [("echo-2",), "echo-2", None, 7, ("a", 1, 2)])
def test_another_number_of_values_is_told(exercise, answer):
    exercise(passes, Form("values", "fiber, line"))
    found = examine("l07-x", answer)

    assert (found.expected, found.hint) == ("(fiber, line)", "give 2 values, in this order")


class NothingComesOut:
    def __init__(self, deadlines):
        self.fibers = []

    def append(self, fiber):
        self.fibers.append(fiber)

    def popleft(self):
        self.fibers.pop()

    def __len__(self):
        return len(self.fibers)


@pytest.mark.parametrize(
    ("name", "answer", "seen", "expected"),
    [
        ("l03-e3", lambda services, threads: None, "a call of it returned None", "a list of numb"),
        ("l04-e1", (5, 5), "the answer (5, 5)", "two lists of names"),
        ("l13-e2", NothingComesOut, "its methods do not fit together: Attr", "append() keeps a"),
    ],
)
def test_what_the_judge_cannot_read_is_no_raw_error(name, answer, seen, expected):
    found = examine(name, answer)

    assert found.seen.startswith(seen)
    assert found.expected.startswith(expected)
    assert found.hint


# -- The stub -----------------------------------------------------------------------------

STUB = "raise NotImplementedError(name)  # your code"


@pytest.mark.parametrize(
    ("body", "given", "where"),
    [
        (f"{STUB}\n    yield 1", 0, "above"),
        (f"'''Do it.'''\n    {STUB}\n    return 1", 0, "above"),
        (f"{STUB}\n    yield\n    yield 2", 0, "above"),
        (f"x = 1\n    {STUB}", 0, "below"),
        (f"x = 1\n    y = 2\n    {STUB}", 1, "below"),
        (STUB, 0, None),
        (f"{STUB}\n    yield", 0, None),
        (f"'''Do it.'''\n    {STUB}", 0, None),
        (f"x = 1\n    {STUB}", 1, None),
    ],
)
@pytest.mark.parametrize(
    "kind", ["def answer(name):\n    {}", "class A:\n  def m(self, name):\n    {}"]
)
def test_a_stubs_raise_that_is_left_beside_code_is_noticed(exercise, kind, body, given, where):
    answer = written(kind.format(body) + "\n")

    def judge(answer):
        made = answer(1) if kind.startswith("def") else answer().m(1)
        return Judgement(bool(list(made)))

    exercise(judge, given=given)
    found = examine("l07-x", answer)

    assert not found.passed
    assert found.attempted is (where is not None)
    if where is not None:
        assert f"still stands {where} your code" in found.seen
