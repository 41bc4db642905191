"""Lesson 16, every schedule: what its question and its exercises make of an answer."""

from __future__ import annotations

from math import factorial, prod

import pytest
from misconceptions import Wrong

from fiberlab import WAIT, explore
from fiberlab.exploration import Result
from fiberlab.lab import examine
from fiberlab.lab.lessons.l16_every_schedule import Semaphore, questions, turns
from fiberlab.lab.lessons.l16_every_schedule.question import how_many_orders

# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(("number", "choice"), [(1, "a"), (6, "b"), (1680, "c"), (362_880, "d")])
def test_how_many_orders_follows_from_the_search(number, choice):
    assert how_many_orders(Result(number, 0, True)) == choice


# -- How many orders -------------------------------------------------------------------


def orders(steps):
    return factorial(sum(steps)) // prod(factorial(each) for each in steps)


def of_all_things(steps):
    return factorial(sum(steps))


def of_fibers(steps):
    return factorial(len(steps))


def one(steps):
    return 1


def test_the_formula_passes():
    assert examine("l16-e1", orders).passed


# -- The semaphore ---------------------------------------------------------------------


class Place:
    given = False


def mended(cancelled):
    """Return a semaphore that does what ``cancelled(semaphore, place)`` does, then raises."""

    class Mended(Semaphore):
        def acquire(self):
            if self.free:
                self.free -= 1
                return
            me = Place()
            self.line.append(me)
            try:
                while not me.given:
                    yield WAIT(None)
            except BaseException:
                cancelled(self, me)
                raise

    return Mended


def gives_it_on(semaphore, place):
    if place.given:
        semaphore.release()
    else:
        semaphore.line.remove(place)


def leaves_the_line(semaphore, place):
    semaphore.line.remove(place)


def always_releases(semaphore, place):
    semaphore.release()
    if place in semaphore.line:
        semaphore.line.remove(place)


def does_nothing(semaphore, place):
    pass


def only_gives_on(semaphore, place):
    if place.given:
        semaphore.release()


def test_the_semaphore_is_broken_only_by_a_cancel():
    assert explore(turns(Semaphore))
    assert not explore(turns(Semaphore), faults=["cancel"])


def test_the_mended_semaphore_passes_and_says_in_how_many_schedules_it_holds():
    assert str(examine("l16-e2", mended(gives_it_on))) == ("passed: holds in all 1,068 schedules")


def test_a_check_says_which_schedule_breaks_it():
    judgement = examine("l16-e2", Semaphore)

    assert "before step 3 'ben' is cancelled; Deadlock: " in judgement.seen
    assert judgement.expected == "it holds in every schedule; this one is 'cancel:0.0.0.2'"


# -- The pool --------------------------------------------------------------------------


def ask(pool, question):
    connection = pool.take()
    try:
        connection.send(question)
        yield WAIT(0)
        return connection.receive()
    finally:
        pool.give_back(connection)


def gives_back_only_what_is_read(pool, question):
    connection = pool.take()
    connection.send(question)
    yield WAIT(0)
    answer = connection.receive()
    pool.give_back(connection)
    return answer


def catches_errors_only(pool, question):
    connection = pool.take()
    connection.send(question)
    try:
        yield WAIT(0)
    except ConnectionError:
        connection.close()
        raise
    answer = connection.receive()
    pool.give_back(connection)
    return answer


def closes(pool, question):
    connection = pool.take()
    try:
        connection.send(question)
        yield WAIT(0)
        answer = connection.receive()
    except BaseException:
        connection.close()
        raise
    pool.give_back(connection)
    return answer


def test_the_pool_is_broken_only_by_a_cancel():
    assert explore(questions(ask))
    assert "ben got the answer to ann" in str(explore(questions(ask), faults=["cancel"]))


def test_the_mended_pool_passes():
    assert str(examine("l16-e3", closes)) == "passed: holds in all 55 schedules"


# -- Whatever else a learner writes ----------------------------------------------------


class Spins(Semaphore):
    def acquire(self):
        while not self.free:
            yield WAIT(0)
        self.free -= 1


class TakesTwo(Semaphore):
    def acquire(self):
        yield WAIT(0)
        self.free -= 1


def not_there_yet(pool, question):
    raise NotImplementedError
    yield


def test_what_is_not_written_yet_is_not_attempted():
    assert not examine("l16-e3", not_there_yet).attempted


WRONG = (
    Wrong("l16-e1", of_all_things, "divide by the orders of each fiber's own steps"),
    Wrong("l16-e1", of_fibers, "it is steps that are put in order"),
    Wrong("l16-e1", one, "it is steps that are put in order"),
    Wrong("l16-e2", Semaphore, "which fiber gives it on"),
    Wrong("l16-e2", mended(does_nothing), "which fiber gives it on"),
    Wrong("l16-e2", mended(only_gives_on), "which fiber gives it on"),
    Wrong("l16-e2", mended(leaves_the_line), "in the line no more"),
    Wrong("l16-e2", mended(always_releases), "given back once"),
    Wrong("l16-e2", Spins, "let it park"),
    Wrong("l16-e2", TakesTwo, "given back once"),
    Wrong("l16-e3", ask, "left unread"),
    Wrong("l16-e3", gives_back_only_what_is_read, "is closed"),
    Wrong("l16-e3", catches_errors_only, "is closed"),
)
