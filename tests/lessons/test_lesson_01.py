"""Lesson 01, paused functions: what its question and its exercises make of an answer."""

from __future__ import annotations

import itertools

import matplotlib.pyplot as plt
import pytest
from misconceptions import Wrong

from fiberlab.lab import examine
from fiberlab.lab.lessons.l01_paused_functions import draw_talk
from fiberlab.lab.lessons.l01_paused_functions.question import what_ran_at_the_call

# -- The question and the figures ------------------------------------------------------


@pytest.mark.parametrize(
    ("log", "choice"),
    [([], "a"), (["ann comes in"], "b"), (["ann comes in", "ann sits down", "ann leaves"], "c")],
)
def test_what_ran_at_the_call_follows_from_the_log(log, choice):
    assert what_ran_at_the_call(log) == choice


def test_finally_runs_at_the_end_and_neither_at_a_send_nor_at_an_error_that_was_caught():
    log = []

    def work():
        try:
            while True:
                try:
                    yield
                except ValueError:
                    log.append("caught")
        finally:
            log.append("cleaned up")

    worker = work()
    next(worker)
    worker.send("a word")
    worker.throw(ValueError("no paper"))
    before = list(log)
    worker.close()

    assert (before, log) == (["caught"], ["caught", "cleaned up"])


def test_the_talk_names_what_goes_down_and_what_comes_up():
    fig, ax = plt.subplots()
    draw_talk(ax)
    written = [text.get_text() for text in ax.texts]
    plt.close(fig)

    assert [written.count(word) for word in ("next", "paused", '"hello"', "StopIteration")] == [
        *(3, 3, 1, 1)
    ]


# -- Exercise 1: interleave two --------------------------------------------------------


def alternating(first, second):
    missing = object()
    for pair in itertools.zip_longest(first, second, fillvalue=missing):
        yield from (value for value in pair if value is not missing)


def taking_turns(first, second):
    waiting = [first, second]
    while waiting:
        generator = waiting.pop(0)
        try:
            value = next(generator)
        except StopIteration:
            continue
        yield value
        waiting.append(generator)


def zipped(first, second):
    for one, other in zip(first, second, strict=False):
        yield one
        yield other


def one_after_the_other(first, second):
    yield from first
    yield from second


def all_at_once(first, second):
    first, second = list(first), list(second)
    for one, other in itertools.zip_longest(first, second):
        if one:
            yield one
        if other:
            yield other


def second_first(first, second):
    yield from taking_turns(second, first)


def until_one_ends(first, second):
    while True:
        try:
            value = next(first)
        except StopIteration:
            return
        yield value
        first, second = second, first


def a_list(first, second):
    return list(taking_turns(first, second))


def test_taking_turns_passes():
    assert examine("l01-e1", taking_turns).passed


def test_pairs_that_are_taken_ahead_of_their_yield_do_not_pass():
    judgement = examine("l01-e1", alternating)

    assert judgement.seen == "when a1 came out, these had been taken: a1 b1"


def test_a_generator_without_an_end_is_not_waited_for():
    def endless(first, second):
        yield from first
        while True:
            yield "x"

    assert not examine("l01-e1", endless).passed


# -- Exercise 2: a countdown -----------------------------------------------------------


def counting(number):
    while number > 0:
        sent = yield number
        number = number - 1 if sent is None else sent
    return "go"


def saying_go(number):
    while number > 0:
        sent = yield number
        number = number - 1 if sent is None else sent
    yield "go"


def down_to_zero(number):
    while number >= 0:
        yield number
        number -= 1
    return "go"


def deaf(number):
    while number > 0:
        yield number
        number -= 1
    return "go"


def speechless(number):
    while number > 0:
        sent = yield number
        number = number - 1 if sent is None else sent


def swallowing(number):
    while number > 0:
        sent = yield number
        if sent is not None:
            number = sent
        number -= 1
    return "go"


def printed_count(number):
    return list(range(number, 0, -1))


def test_counting_passes():
    assert examine("l01-e2", counting).passed


def test_a_countdown_without_an_end_is_not_waited_for():
    assert not examine("l01-e2", itertools.count).passed

    def endless(number):
        while True:
            yield number

    assert not examine("l01-e2", endless).passed


# -- Exercise 3: clean up, however it ends ---------------------------------------------


def tidy(log):
    log.append("open")
    try:
        yield from itertools.count(1)
    finally:
        log.append("shut")


def below_the_loop(log):
    log.append("open")
    yield from itertools.count(1)
    log.append("shut")


def refusing(log):
    log.append("open")
    for number in itertools.count(1):
        try:
            yield number
        except GeneratorExit:
            log.append("shut")


def only_for_close(log):
    log.append("open")
    try:
        yield from itertools.count(1)
    except GeneratorExit:
        log.append("shut")


def only_for_errors(log):
    log.append("open")
    try:
        yield from itertools.count(1)
    except Exception:
        log.append("shut")


def swallowing_all(log):
    log.append("open")
    try:
        yield from itertools.count(1)
    except BaseException:
        log.append("shut")


def opening_each_time(log):
    for number in itertools.count(1):
        log.append("open")
        try:
            yield number
        finally:
            log.append("shut")


def test_tidy_passes():
    assert examine("l01-e3", tidy).passed


def ignoring_zero(number):
    while number > 0:
        sent = yield number
        number = sent or number - 1
    return "go"


def tidy_with_an_end(log):
    log.append("open")
    try:
        yield from (1, 2, 3)
    finally:
        log.append("shut")


def tidy_that_stops_quietly(log):
    log.append("open")
    try:
        yield from range(1, 5)
        while True:
            yield 4
    finally:
        log.append("shut")


WRONG = (
    Wrong("l01-e2", ignoring_zero, "compare what was sent with None"),
    Wrong("l01-e3", tidy_with_an_end, "`while True`"),
    Wrong("l01-e3", tidy_that_stops_quietly, "`while True`"),
    Wrong("l01-e1", zipped, "one of the two ended first"),
    Wrong("l01-e1", until_one_ends, "one of the two ended first"),
    Wrong("l01-e1", one_after_the_other, "that is one after the other"),
    Wrong("l01-e1", all_at_once, "a list takes all at once"),
    Wrong("l01-e1", second_first, "the first begins"),
    Wrong("l01-e1", a_list, "with a yield in it a function makes a generator"),
    Wrong("l01-e2", saying_go, "what it says last it returns"),
    Wrong("l01-e2", down_to_zero, "down to 1"),
    Wrong("l01-e2", deaf, "what is sent is the value of the yield"),
    Wrong("l01-e2", swallowing, "what is sent is the value of the yield"),
    Wrong("l01-e2", speechless, "it comes with its end"),
    Wrong("l01-e2", printed_count, "with a yield in it"),
    Wrong("l01-e3", below_the_loop, "code below an endless loop is never reached"),
    Wrong("l01-e3", refusing, "do not go on yielding"),
    Wrong("l01-e3", only_for_close, "`finally` every end"),
    Wrong("l01-e3", only_for_errors, "so is GeneratorExit"),
    Wrong("l01-e3", swallowing_all, "clean up and let the error pass"),
    Wrong("l01-e3", opening_each_time, "open once"),
)
