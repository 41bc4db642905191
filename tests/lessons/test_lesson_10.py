"""Lesson 10, between two yields: what its question and its exercises make of an answer."""

from __future__ import annotations

import functools
import re
from collections import deque
from pathlib import Path

import pytest
from misconceptions import Wrong

from fiberlab import RECV, SEND, WAIT
from fiberlab.lab import examine, record
from fiberlab.lab.lessons.l10_between_two_yields import Counter, overlapping, price, updates
from fiberlab.lab.lessons.l10_between_two_yields.question import how_many_survive
from fiberlab.lab.shared.trial import Trial

# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "choice"), [(800, "a"), (400, "b"), (100, "c"), (793, "d"), (312, "d")]
)
def test_how_many_survive_follows_from_the_count(value, choice):
    assert how_many_survive(value) == choice


# -- The counter's notes ---------------------------------------------------------------


def inside(counter):
    for _ in range(2):
        value = counter.value
        yield WAIT(0)
        counter.value = value + 1


def test_updates_that_change_nothing_are_lost():
    counter, trial = Counter(), Trial()
    trial.add(inside(counter), "ann")
    trial.add(inside(counter), "ben")
    trial.run()

    assert [(each.fiber, each.read, each.written, each.lost) for each in updates(counter)] == [
        ("ann", 0, 1, False),
        ("ben", 0, 1, True),
        ("ann", 1, 2, False),
        ("ben", 1, 2, True),
    ]
    assert overlapping(counter) == 3
    assert counter.value == 2


# -- A trial ends ----------------------------------------------------------------------


def spins():
    while True:
        pass
    yield


def takes_turns():
    while True:
        yield WAIT(0)


def parks():
    yield WAIT(None)


@pytest.mark.parametrize(
    ("function", "failure"),
    [
        (spins, "a loop without an end in which nothing yields"),
        (takes_turns, "fibers that took turns for ever; the clock stood at 0 s"),
        (parks, "deadlock: 'one' waits only for other fibers (WAIT(None)); none is left to run"),
    ],
)
def test_a_trial_ends_and_says_why(function, failure):
    trial = Trial()
    trial.add(function(), "one")

    assert (trial.run(), trial.failure) == (False, failure)


# -- Exercise 1: which yield? ----------------------------------------------------------


@functools.cache
def reserving():
    free = {b"7"}

    def reserve(sock, address):
        yield RECV(sock)
        seat = sock.recv(1024)
        yield WAIT(0.01)
        available = seat in free
        yield SEND(sock)
        sock.send(b"free" if available else b"gone")
        if available:
            free.discard(seat)
        yield SEND(sock)
        sock.send(b"bye")

    return record(reserve, [lambda sock: (sock.send(b"7"), sock.recv(1024))])


def line_of(code: str) -> int:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if code in line)


CHECK = line_of("available = seat in free")


@pytest.mark.live
@pytest.mark.parametrize("line", [CHECK + 1, str(CHECK + 1), f"<cell>:{CHECK + 1}"])
def test_the_yield_between_check_and_act_is_accepted(line):
    assert examine("l10-e1", line, reserving()).passed


# -- Exercise 2: make it atomic --------------------------------------------------------


def asking_first(counter, rounds):
    for n in range(rounds):
        amount = yield from price(n)
        counter.value += amount


def in_one_line(counter, rounds):
    for n in range(rounds):
        counter.value += yield from price(n)


def reading_first(counter, rounds):
    for n in range(rounds):
        value = counter.value
        amount = yield from price(n)
        counter.value = value + amount


def not_asking(counter, rounds):
    for n in range(rounds):
        price(n)
        counter.value += n % 7
    yield WAIT(0)


def locking():
    lock = Fair()

    def locked(counter, rounds):
        for n in range(rounds):
            with (yield from lock.acquire()):
                counter.value += yield from price(n)

    return locked


def test_asking_before_the_update_passes():
    judgement = examine("l10-e2", asking_first)

    assert str(judgement) == "passed: 96, in 0.10 s, as long as one fiber alone takes"


# -- Exercise 3: a fair lock -----------------------------------------------------------


class Fair:
    def __init__(self):
        self.line = deque()

    def acquire(self):
        me = object()
        self.line.append(me)
        while self.line[0] is not me:
            yield WAIT(None)
        return self

    def __enter__(self):
        pass

    def __exit__(self, *error):
        self.line.popleft()


class Barging(Fair):
    held = False

    def acquire(self):
        while self.held:
            yield WAIT(None)
        self.held = True
        return self

    def __exit__(self, *error):
        self.held = False


class Asking(Barging):
    def acquire(self):
        while self.held:
            yield WAIT(0)
        self.held = True
        return self


class Late(Barging):
    def acquire(self):
        while self.held:
            yield WAIT(None)
        yield WAIT(0)
        self.held = True
        return self


class Keeping(Fair):
    def __exit__(self, kind, error, trace):
        if kind is None:
            self.line.popleft()


class Stuck(Barging):
    def acquire(self):
        while self.held:
            pass
        self.held = True
        return self
        yield


def test_a_lock_with_a_line_passes():
    judgement = examine("l10-e3", Fair)

    assert str(judgement) == (
        "passed: first come, first served; free again after an error; holds in all 84 schedules"
    )


def test_a_lock_passes_only_if_it_holds_in_every_schedule():
    kinds = iter([Fair, Fair])  # right in the two trials, and wrong from then on
    judgement = examine("l10-e3", lambda: next(kinds, Late)())

    assert not judgement.passed
    assert re.match(r"fails in \d+ of \d+ schedules; the shortest has", judgement.seen)


def given_reserving():
    return (reserving(),)


WRONG = (
    Wrong("l10-e1", CHECK, "another fiber runs at a yield", given_reserving),
    Wrong("l10-e1", CHECK - 1, "that yield comes before the check", given_reserving),
    Wrong("l10-e1", CHECK + 5, "that yield comes after the act", given_reserving),
    Wrong("l10-e1", "the check", "count the lines", given_reserving),
    Wrong("l10-e2", in_one_line, "+= reads its left side before"),
    Wrong("l10-e2", reading_first, "which is read first"),
    Wrong("l10-e2", not_asking, "yield from price(n) runs it"),
    Wrong("l10-e2", locking(), "no lock is needed here"),
    Wrong("l10-e3", Barging, "takes a place in a line"),
    Wrong("l10-e3", Asking, "a fiber that must wait for another one parks"),
    Wrong("l10-e3", Late, "seeing that the lock is free and taking it"),
    Wrong("l10-e3", Keeping, "give the lock back there"),
    Wrong("l10-e3", Stuck, "parks: WAIT(None)"),
)
