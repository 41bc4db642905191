"""Many workers: the same result as one process gives, and nothing is lost when a worker dies."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from test_exploration import lost_update

from fiberlab import WAIT, explore

# -- Programs: at the top of a module, so that a worker can import them -----------------


def late_failure(world):
    """Fails only if `b` has run all its steps before `a` has run two."""
    a, b = [], []

    def steps(own, count):
        for _ in range(count):
            own.append(len(a))
            yield WAIT(0)

    world.add(steps(a, 4), "a")
    world.add(steps(b, 4), "b")
    world.at_end(lambda: max(b) > 1)


def holds(world):
    def steps():
        for _ in range(2):
            yield WAIT(0)

    for _ in range(3):
        world.add(steps())


def uncancelled(world):
    """A lock that a cancelled fiber keeps."""
    held = []

    def user():
        while held:
            yield WAIT(None)
        held.append(True)
        yield WAIT(0)
        held.pop()

    world.add(user(), "one")
    world.add(user(), "other")


def kills_its_worker(world):
    if multiprocessing.parent_process() is not None:
        os._exit(1)
    lost_update(world)


def is_wrong_there(world):
    if multiprocessing.parent_process() is not None:
        raise RuntimeError("cannot be done here")
    lost_update(world)


def not_the_same(world):
    not_the_same.calls += 1
    for _ in range(3 if not_the_same.calls == 1 else 1):
        world.add(WAIT(0) for _ in range(1))


def processes(count):
    """Return a pool of processes, begun as this system can."""
    context = None if hasattr(os, "fork") else multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, mp_context=context)


def story(result):
    """Return all that is to be the same."""
    failure = result.failure
    return (
        str(result),
        result.sample,
        result.explored,
        failure and (failure.tape, failure.switches, list(failure.trace)),
        result.passing and list(result.passing),
    )


class Here(Executor):
    """Does each piece at once, but lets some of them go wrong as `spoil` says."""

    def __init__(self, spoil=lambda number: None):
        self.spoil = spoil
        self.sent = 0

    def submit(self, function, /, *args, **kwargs):
        self.sent += 1
        future = Future()
        error = self.spoil(self.sent)
        if error is None:
            future.set_result(function(*args, **kwargs))
        elif error == "refused":
            raise OSError("no more pieces")
        elif error == "cancelled":
            future.cancel()
        else:
            future.set_exception(error)
        return future


# -- The same result ---------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 2, 8])
def pool(request):
    with processes(request.param) as executor:
        yield executor


OPTIONS = [
    (lost_update, {}),
    (lost_update, {"at_most": 777}),
    (late_failure, {}),
    (late_failure, {"at_most": 20, "seed": 3}),
    (holds, {}),
    (uncancelled, {"faults": ["cancel"]}),
]


@pytest.mark.parametrize(("program", "options"), OPTIONS)
def test_the_result_is_the_same_with_any_number_of_workers(pool, program, options):
    alone = explore(program, **options)

    assert story(explore(program, executor=pool, **options)) == story(alone)


def test_threads_will_do_as_workers():
    with ThreadPoolExecutor(3) as executor:
        result = explore(lost_update, executor=executor)

    assert story(result) == story(explore(lost_update))


def test_the_executor_gets_the_work():
    executor = Here()
    result = explore(lost_update, executor=executor)

    assert result.complete
    assert executor.sent > 20


# -- What goes wrong ---------------------------------------------------------------------


def found(result):
    return (result.schedules, result.failures, result.complete, result.failure.tape)


def test_a_worker_that_dies_loses_nothing():
    with processes(2) as executor:
        result = explore(kills_its_worker, executor=executor)

    assert found(result) == found(explore(lost_update))
    assert "; 1,679 were run in this process, not by the executor (BrokenProcessPool: " in str(
        result
    )


def test_what_is_raised_in_a_worker_only_is_done_again_here():
    with processes(1) as executor:
        result = explore(is_wrong_there, executor=executor)

    assert found(result) == found(explore(lost_update))
    assert str(result).endswith("(RuntimeError: cannot be done here)")


@pytest.mark.parametrize(
    "error", ["refused", "cancelled", KeyError("lost"), MemoryError()], ids=repr
)
def test_pieces_that_get_lost_on_the_way_are_done_here(error):
    executor = Here(lambda number: error if number > 1 and number % 3 == 0 else None)
    result = explore(lost_update, executor=executor)

    assert found(result) == found(explore(lost_update))
    assert result.explored == explore(lost_update).explored
    assert "were run in this process" in result.note


def test_nothing_is_said_of_workers_that_do_their_work():
    assert explore(lost_update, executor=Here()).note is None


def test_a_program_that_is_not_the_same_each_time_is_refused_as_without_workers():
    not_the_same.calls = 0

    with pytest.raises(ValueError, match="not the same each time"):
        explore(not_the_same, executor=Here())


def test_an_interrupt_gives_what_was_found_so_far():
    executor = Here(lambda number: KeyboardInterrupt() if number == 30 else None)
    result = explore(lost_update, executor=executor)

    assert (result.interrupted, result.complete) == (True, False)
    assert 1 < result.schedules < 1680
    assert f"of the first {result.schedules:,} of more schedules" in str(result)


def test_what_is_not_needed_any_more_is_cancelled():
    waiting = []

    class Slow(Here):
        def submit(self, function, /, *args, **kwargs):
            if self.sent < 30:
                return super().submit(function, *args, **kwargs)
            waiting.append(Future())
            if len(waiting) == 1:
                waiting[0].set_exception(KeyboardInterrupt())
            return waiting[-1]

    explore(lost_update, executor=Slow())

    assert len(waiting) > 1
    assert all(future.cancelled() for future in waiting[1:])


def test_a_worker_that_runs_another_program_is_not_believed():
    """As one does that was sent a function of a notebook, but not what it uses."""
    seen = []

    class Elsewhere(Here):
        def submit(self, function, /, *args, **kwargs):
            seen.append("there")
            try:
                return super().submit(function, *args, **kwargs)
            finally:
                seen.pop()

    def program(world):
        def fiber():
            if seen:
                raise NameError("name 'WAIT' is not defined")
            yield WAIT(0)

        for _ in range(3):
            world.add(fiber())

    message = "does not run the program as this process does: it lacks a name that the program uses"
    with pytest.raises(ValueError, match=message):
        explore(program, executor=Elsewhere())


def shut_down():
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    return executor


@pytest.mark.parametrize(
    ("executor", "message"),
    [
        (object(), r"executor= is a concurrent\.futures\.Executor, such as ProcessPoolExecutor"),
        (4, r"executor= is a concurrent\.futures\.Executor.*; got 4"),
        (shut_down(), "the executor does not take the program: RuntimeError.* must be running"),
    ],
    ids=["no executor", "a number", "shut down"],
)
def test_a_wrong_executor_says_what_was_expected(executor, message):
    with pytest.raises(TypeError, match=message):
        explore(lost_update, executor=executor)


def test_a_program_that_cannot_be_sent_says_so():
    def program(world):
        lost_update(world)

    message = r"does not take the program: .* defined with def in a module"
    with processes(1) as executor, pytest.raises(TypeError, match=message):
        explore(program, executor=executor)


# -- Found in pieces ---------------------------------------------------------------------


def test_a_fiber_beyond_the_256th_can_be_chosen():
    def program(world):
        for _ in range(260):
            world.add(WAIT(0) for _ in range(0))

    result = explore(program, at_most=260, executor=Here())

    assert result.explored[259].choices[0] == 259
