"""The toy scheduler of lessons 02, 05 and 06."""

from __future__ import annotations

from fiberlab import SimulatedClock
from fiberlab.lab.shared.toy import Toy


def sleeper(clock, log, *waits):
    for wait in waits:
        yield wait
        log.append((wait, clock.now()))


def run(*waits_of_each):
    clock, log = SimulatedClock(), []
    toy = Toy(clock)
    for waits in waits_of_each:
        toy.add(sleeper(clock, log, *waits))
    toy.run()
    return log


def test_sleepers_wake_in_order_of_deadline():
    assert run([3], [1], [2]) == [(1, 1.0), (2, 2.0), (3, 3.0)]


def test_equal_deadlines_are_first_come_first_served():
    assert run([None, 2], [2], [2]) == [(None, 0.0), (2, 2.0), (2, 2.0), (2, 2.0)]


def test_a_deadline_between_two_nanoseconds_is_reached():
    assert run([0.1, 0.2]) == [(0.1, 0.1), (0.2, 0.3)]


def test_fibers_that_yield_nothing_take_turns_and_starve_no_sleeper():
    clock, log = SimulatedClock(), []

    def busy():
        for number in range(4):
            clock.burn(1)
            log.append((number, clock.now()))
            yield

    toy = Toy(clock)
    toy.add(busy())
    toy.add(sleeper(clock, log, 0.5))
    toy.run()

    assert log == [(0, 1.0), (1, 2.0), (2, 3.0), (0.5, 3.0), (3, 4.0)]
