"""Lesson 07, blocking pitfalls: what its question and its exercises make of an answer."""

from __future__ import annotations

import copy
import functools
import gc
import inspect
from pathlib import Path

import pytest
from misconceptions import Wrong
from stories import Recorded

from fiberlab import RECV, SEND, WAIT, Scheduler, SimulatedNetwork, Trace
from fiberlab.lab import examine, record, story
from fiberlab.lab.lessons.l07_blocking_pitfalls import (
    chain_length,
    check_spelling,
    look_up,
    simulate_naps,
    write_log,
)
from fiberlab.lab.lessons.l07_blocking_pitfalls.exercises import LIMIT
from fiberlab.lab.lessons.l07_blocking_pitfalls.question import who_is_late

# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latencies", "choice"),
    [
        ((0.001, 0.002, 0.001, 0.22), "a"),
        ((0.024, 0.025, 0.023, 0.22), "b"),
        ((0.11, 0.12, 0.10, 0.22), "c"),
        ((0.12, 0.24, 0.36, 0.22), "d"),
    ],
)
def test_who_is_late_follows_from_the_latencies(latencies, choice):
    assert who_is_late(Recorded(*latencies)) == choice


# -- The same in simulated time --------------------------------------------------------


@pytest.mark.parametrize(
    ("nap", "nappers", "worst_ms", "late"), [(0.12, 1, 117, 17), (0.12, 2, 237, 47), (0, 3, 1, 0)]
)
def test_naps_that_begin_together_add_up(nap, nappers, worst_ms, late):
    latencies = [latency for _due, latency in simulate_naps(nap, nappers)]

    assert len(latencies) == 80
    assert round(max(latencies) * 1000) == worst_ms
    assert sum(latency > 0.05 for latency in latencies) == late


@pytest.mark.parametrize(
    ("line", "words"),
    [("yield WAIT(0.12)", "recv sleep send"), ("WAIT(0.12)", "recv send")],
)
def test_without_the_yield_no_fiber_sleeps(line, words):
    cell = inspect.cleandoc(f"""
        def patient(sock):
            yield RECV(sock)
            {line}
            yield SEND(sock)
        """)
    space = {"RECV": RECV, "SEND": SEND, "WAIT": WAIT}
    exec(cell, space)
    network, trace = SimulatedNetwork(), Trace()
    near, far = network.socketpair()
    far.send(b"nap")
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    scheduler.add(space["patient"](near), "patient")
    scheduler.run()

    assert story(trace, "patient") == [*words.split(), "return"]


# -- Exercise 1: find the culprit ------------------------------------------------------


@functools.cache
def mystery():
    def find(sock, address):
        yield RECV(sock)
        while word := sock.recv(1024):
            word = look_up(check_spelling(word))
            write_log(word)
            yield SEND(sock)
            sock.send(word)
            yield RECV(sock)

    return record(find, [b"fiber", b"loop", b"zugzwang", b"fiber"])


LINE = next(
    number
    for number, line in enumerate(Path(__file__).read_text(encoding="utf-8").splitlines(), 1)
    if "word = look_up(" in line
)


@pytest.mark.live
@pytest.mark.parametrize("line", [LINE, str(LINE), f"<cell>:{LINE}"])
def test_the_culprit_is_accepted(line):
    assert examine("l07-e1", ("find-4", line), mystery()).passed


@pytest.mark.live
@pytest.mark.parametrize("answer", ["find-4", ("find-4",), ("find-4", None), 7, ("gone-9", 3)])
def test_an_answer_of_another_form_is_no_culprit(answer):
    judgement = examine("l07-e1", answer, mystery())

    assert not judgement.passed
    assert judgement.attempted


@pytest.mark.live
def test_trying_all_lines_of_one_recording_finds_nothing():
    recording = copy.copy(mystery())
    tried = [examine("l07-e1", ("find-4", line), recording) for line in range(LINE - 9, LINE + 9)]

    assert [each.passed for each in tried] == [False] * 18
    assert tried[-1].seen == "18 lines were tried with one recording"
    assert "run the whole cell again" in tried[-1].hint


# -- Exercise 2: a loop that gives others a turn ---------------------------------------


def taking_turns(limit):
    best = longest = 0
    for number in range(1, limit):
        length = chain_length(number)
        if length > longest:
            best, longest = number, length
        yield WAIT(0)
    return best


def yielding_once(limit):
    yield WAIT(0)
    return max(range(1, limit), key=chain_length)


def not_yielding(limit):
    if limit < 0:
        yield
    WAIT(0)
    return max(range(1, limit), key=chain_length)


def sleeping(limit):
    for number in range(1, limit):
        chain_length(number)
        if number % 100 == 0:
            yield WAIT(0.001)
    return max(range(1, limit), key=chain_length)


def parking(limit):
    best = longest = 0
    for number in range(1, limit):
        length = chain_length(number)
        if length > longest:
            best, longest = number, length
        yield WAIT(None)
    return best


def another_number(limit):
    for number in range(1, limit):
        chain_length(number)
        yield WAIT(0)


def no_fiber(limit):
    return max(range(1, limit), key=chain_length)


def failing(limit):
    yield WAIT(0)
    raise ValueError("off by one")


def test_a_loop_that_takes_turns_passes():
    judgement = examine("l07-e2", taking_turns)

    assert str(judgement) == f"passed: {LIMIT} steps, none with more than 25% of the work"


def test_no_collection_of_garbage_counts_as_a_step():
    judged_with = []

    def noting(limit):
        judged_with.append(gc.isenabled())
        return (yield from taking_turns(limit))

    examine("l07-e2", noting)

    assert (judged_with, gc.isenabled()) == ([False], True)


def given_mystery():
    return (mystery(),)


WRONG = (
    Wrong("l07-e1", ("find-2", LINE), "waiting long is what victims do", given_mystery),
    Wrong("l07-e1", ("find-4", LINE + 2), "where the step ended", given_mystery),
    Wrong("l07-e1", ("find-4", LINE - 1), "file and line on the long bar", given_mystery),
    Wrong("l07-e2", yielding_once, "the yield belongs inside the loop"),
    Wrong("l07-e2", not_yielding, "WAIT(0) only makes a value"),
    Wrong("l07-e2", sleeping, "WAIT(0.01) also loses 10 ms"),
    Wrong("l07-e2", parking, "WAIT(0) is the wait for one's next turn"),
    Wrong("l07-e2", another_number, "a fiber's result is what it returns"),
    Wrong("l07-e2", no_fiber, "a call cannot wait for its caller"),
    Wrong("l07-e2", failing, "the traceback there names the line"),
)
