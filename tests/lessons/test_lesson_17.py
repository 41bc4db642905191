"""Lesson 17, your own server: what its question and its exercises make of an answer."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from misconceptions import Wrong

from fiberlab import Trace, assert_no_stall
from fiberlab.elsewhere import run, watching
from fiberlab.lab import Record, examine
from fiberlab.lab.lessons.l17_your_own_server import in_own_thread
from fiberlab.lab.lessons.l17_your_own_server.question import which_waited

# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latencies", "choice"),
    [((0.001, 0.002, 0.16), "a"), ((0.14, 0.11, 0.16), "b"), ((0.14, 0.001, 0.16), "c")],
)
def test_which_clients_waited_follows_from_their_records(latencies, choice):
    records = [Record(n, 1, 0.0, seconds, 4) for n, seconds in enumerate(latencies, 1)]

    assert which_waited(records) == choice


# -- A thread of its own ---------------------------------------------------------------


def test_a_call_in_its_own_thread_runs_a_loop_where_one_runs_and_returns():
    async def outer():
        return in_own_thread(lambda: asyncio.run(asyncio.sleep(0, "rested")))

    assert asyncio.run(outer()) == "rested"


def test_what_a_call_in_its_own_thread_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        in_own_thread(lambda: 1 / 0)


@pytest.mark.live
def test_a_call_without_an_end_is_interrupted_and_its_line_told():
    def endless():
        while True:
            pass

    with pytest.raises(TimeoutError, match=r"after 0\.1 s it was interrupted: .*, in endless"):
        in_own_thread(endless, 0.1)


# -- Exercise 1: the cure --------------------------------------------------------------


async def in_the_loop(words, fetch):
    return [fetch(word) for word in words]


async def a_turn_first(words, fetch):
    answers = []
    for word in words:
        await asyncio.sleep(0)
        answers.append(fetch(word))
    return answers


async def not_awaited(words, fetch):
    return [asyncio.to_thread(fetch, word) for word in words]


async def the_quickest_first(words, fetch):
    calls = [asyncio.to_thread(fetch, word) for word in words]
    return sorted([await each for each in asyncio.as_completed(calls)])


async def in_a_pool_that_is_waited_for(words, fetch):
    with ThreadPoolExecutor() as pool:
        return list(pool.map(fetch, words))


async def nothing_returned(words, fetch):
    await asyncio.gather(*(asyncio.to_thread(fetch, word) for word in words))


# -- Exercise 2: the test --------------------------------------------------------------


def times_the_whole(main):
    begin = time.perf_counter()
    asyncio.run(main())
    assert time.perf_counter() - begin < 0.05


def runs_it_unwatched(main):
    asyncio.run(main())
    assert_no_stall(Trace(cpu=True), 50)


def allows_too_much(main):
    assert_no_stall(lambda trace: run(main(), trace), 1000)


async def an_async_test(main):
    await main()


def always_fails(main):
    raise AssertionError


def looks_for_a_sleep(main):
    trace = Trace(cpu=True, stall_after=0.02)
    with watching(trace):
        asyncio.run(main())
    seen = " ".join(str(event.src) for event in trace if event.ev == "stall")
    assert "fixed" not in seen


def never_ends(main):
    while True:
        pass


@pytest.mark.live
def test_a_test_without_an_end_is_interrupted_and_its_line_told():
    found = examine("l17-e2", never_ends)

    assert not found.passed
    assert "TimeoutError" in found.seen
    assert "in never_ends" in found.seen


WRONG = (
    Wrong("l17-e1", in_the_loop, "asyncio.to_thread(fetch, word) does"),
    Wrong("l17-e1", a_turn_first, "async and await move nothing"),
    Wrong("l17-e1", in_a_pool_that_is_waited_for, "waits for the thread without an await"),
    Wrong("l17-e1", not_awaited, "await what to_thread returns"),
    Wrong("l17-e1", the_quickest_first, "asyncio.gather returns its results in the order"),
    Wrong("l17-e1", nothing_returned, "asyncio.gather returns its results in the order"),
    Wrong("l17-e2", times_the_whole, "a step of the loop is what must be short"),
    Wrong("l17-e2", runs_it_unwatched, "run(main(), trace)"),
    Wrong("l17-e2", allows_too_much, "50 milliseconds"),
    Wrong("l17-e2", an_async_test, "nothing awaits a test"),
    Wrong("l17-e2", always_fails, "a step of the loop is what must be short"),
    Wrong("l17-e2", looks_for_a_sleep, "assert_no_stall"),
)
