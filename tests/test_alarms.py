"""Alarms ring in the order of their deadlines, equal ones as asked for, and never early."""

from __future__ import annotations

import math
import random
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiberlab.alarms import Alarms, nanoseconds


class Sleeper:
    """What alarms need of a fiber."""

    def __init__(self, number, name):
        self.id, self.name = number, name
        self._alarm = self._in_heap = None

    def __repr__(self):
        return self.name


def ring(alarms, now):
    """Take out all that are due at `now`, and clear them; return their names."""
    names = []
    while (sleeper := alarms.due(now)) is not None:
        names.append(sleeper.name)
        alarms.clear(sleeper)
    return names


@pytest.fixture
def fibers():
    """Who is alive, by id."""
    return {}


@pytest.fixture
def alarms(fibers):
    """Alarms, of which none is set."""
    return Alarms(fibers)


@pytest.fixture
def sleeper(fibers):
    """A function that makes a sleeper of a name."""
    numbers = count(1)

    def make(name):
        made = Sleeper(next(numbers), name)
        fibers[made.id] = made
        return made

    return make


def test_alarms_ring_in_the_order_of_their_deadlines(alarms, sleeper):
    for name, deadline in (("c", 3), ("a", 1), ("b", 2), ("d", 4)):
        alarms.set(sleeper(name), deadline)

    assert [ring(alarms, now) for now in (0, 1, 3, 9)] == [[], ["a"], ["b", "c"], ["d"]]


def test_equal_deadlines_ring_in_the_order_in_which_they_were_asked_for(alarms, sleeper):
    for name in "abcd":
        alarms.set(sleeper(name), 5)

    assert ring(alarms, 5) == ["a", "b", "c", "d"]


def test_a_deadline_set_anew_takes_its_turn_from_the_last_asking(alarms, sleeper):
    a, b = sleeper("a"), sleeper("b")
    alarms.set(a, 5)
    alarms.clear(a)
    alarms.set(b, 5)
    alarms.set(a, 5)

    assert ring(alarms, 5) == ["b", "a"]


def test_a_cleared_alarm_does_not_ring(alarms, sleeper):
    one = sleeper("a")
    alarms.set(one, 5)
    alarms.clear(one)

    assert (ring(alarms, 9), alarms.live, alarms.next()) == ([], 0, None)


@pytest.mark.parametrize("later", [1, 5, 10])
def test_only_the_last_deadline_of_a_fiber_rings(alarms, sleeper, later):
    one = sleeper("a")
    for deadline in (5, 20, later):
        if one._alarm is not None:
            alarms.clear(one)
        alarms.set(one, deadline)

    assert [ring(alarms, now) for now in (later - 1, later, 99)] == [[], ["a"], []]


def test_next_is_none_or_no_later_than_the_first_deadline(alarms, sleeper):
    sleepers = [sleeper(str(number)) for number in range(3)]
    moments = [alarms.next()]
    for one, deadline in zip(sleepers, (30, 10, 20), strict=True):
        alarms.set(one, deadline)
    moments.append(alarms.next())
    alarms.clear(sleepers[1])
    moments.append(alarms.next())

    assert moments[:2] == [None, 10]
    assert moments[2] in (10, 20)


def test_alarms_that_ended_long_ago_are_forgotten(alarms, sleeper, fibers):
    keeper = sleeper("keeper")
    alarms.set(keeper, 10**9)
    for number in range(10_000):
        one = sleeper(str(number))
        alarms.set(one, 10**9 - number)
        alarms.clear(one)
        del fibers[one.id]
        alarms.forget_old()

    assert len(alarms._heap) < 10
    assert ring(alarms, 10**9) == ["keeper"]


@settings(deadline=None, max_examples=200, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12), st.booleans()), max_size=60))
def test_alarms_do_what_a_sorted_list_does(steps):
    now, turn = 0, 0
    sleepers = [Sleeper(number, str(number)) for number in range(6)]
    fibers = {each.id: each for each in sleepers}
    alarms = Alarms(fibers)
    model = {}
    for which, seconds, moves_on in steps:
        if sleepers[which]._alarm is not None:
            alarms.clear(sleepers[which])
            del model[str(which)]
        if seconds == 12:  # it ends, and another one begins in its place
            del fibers[sleepers[which].id]
            sleepers[which] = Sleeper(sleepers[which].id + 6, str(which))
            fibers[sleepers[which].id] = sleepers[which]
        elif seconds:
            turn += 1
            alarms.set(sleepers[which], now + seconds)
            model[str(which)] = (now + seconds, turn)
        first = min(model.values(), default=(None,))[0]
        following = alarms.next()
        assert (following is None) == (first is None)
        assert first is None or following <= first
        if moves_on:
            now += seconds // 2 + 1
            due = sorted(name for name in model if model[name][0] <= now)
            due.sort(key=model.get)
            assert ring(alarms, now) == due
            for name in due:
                del model[name]
            alarms.forget_old()
    assert alarms.live == len(model)


def test_a_hundred_thousand_time_outs_that_move_are_cheap(alarms, sleeper):
    """Each moves later a hundred times: the heap must not grow with the moves."""
    shuffled = random.Random(1)
    sleepers = [sleeper(str(number)) for number in range(1000)]
    for moment in range(100):
        for one in sleepers:
            if one._alarm is not None:
                alarms.clear(one)
            alarms.set(one, 10_000 + moment * 100 + shuffled.randrange(50))
    alarms.forget_old()

    assert (alarms.live, len(ring(alarms, 10**6))) == (1000, 1000)


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [(None, None), (math.inf, None), (0, 0), (1, 10**9), (0.5, 5 * 10**8), (1e-9, 1), (1e-12, 0)],
)
def test_seconds_become_whole_nanoseconds(seconds, whole):
    assert nanoseconds(seconds) == whole
