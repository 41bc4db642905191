"""Limit: what takes too long is interrupted, seen, and left; and nothing else is."""

from __future__ import annotations

import _thread
import subprocess
import sys
import threading
import time

import pytest
from lab_fibers import nothing_left

from fiberlab import WAIT, Scheduler
from fiberlab.lab.limits import Limit

pytestmark = pytest.mark.live


def endless():
    while True:
        pass


def catching_all():
    while True:
        try:
            int("no number")
        except:  # noqa: E722 - as a learner writes it
            continue


def catching_interrupts():
    while True:
        try:
            len([])
        except BaseException as error:
            print(error)


def test_what_ends_in_time_is_left_alone():
    with nothing_left(), Limit(60) as limit:
        answer = 42

    assert (answer, limit.reached) == (42, None)


def test_what_is_raised_in_time_is_passed_on():
    with nothing_left(), pytest.raises(ZeroDivisionError), Limit(60):
        _ = 1 / 0


@pytest.mark.parametrize("function", [endless, catching_all, catching_interrupts])
def test_what_never_ends_is_interrupted_and_its_line_seen(function, capsys):
    with nothing_left(), Limit(0.2) as limit:
        function()

    assert limit.reached.function == function.__name__
    assert limit.reached.src.startswith("test_lab_limits.py:")
    assert (
        str(limit.reached) == f"it was still at work at {limit.reached.src}, in {function.__name__}"
    )


def test_no_trace_function_is_left_behind():
    before, frame = sys.gettrace(), sys._getframe()
    with Limit(0.2):
        catching_all()

    assert sys.gettrace() is before
    while frame is not None:
        assert frame.f_trace is None
        frame = frame.f_back


@pytest.mark.posix  # elsewhere a call that blocks is not torn out of its wait
def test_a_call_that_blocks_is_interrupted():
    began = time.monotonic()
    with nothing_left(), Limit(0.2) as limit:
        threading.Event().wait(3600)

    assert limit.reached is not None
    assert time.monotonic() - began < 60


def test_whatever_an_interrupt_becomes_is_swallowed():
    with Limit(0.2) as limit:
        try:
            endless()
        except KeyboardInterrupt:
            raise ValueError("another") from None

    assert limit.reached is not None


def test_an_interrupt_of_the_learners_own_is_passed_on_at_once():
    interrupt = threading.Timer(0.1, _thread.interrupt_main)

    with nothing_left(but=interrupt), pytest.raises(KeyboardInterrupt), Limit(60):
        interrupt.start()  # only here: on a busy machine it would come before the block
        endless()


def test_it_works_in_any_thread():
    reached = []

    def limited():
        with Limit(0.2) as limit:
            endless()
        reached.append(limit.reached)

    thread = threading.Thread(target=limited)
    thread.start()
    thread.join(60)

    assert reached[0].function == "endless"


def test_of_two_limits_the_first_that_is_over_ends_its_own_block():
    with Limit(60) as outer:
        with Limit(0.2) as inner:
            endless()
        went_on = True

    assert went_on
    assert (outer.reached, inner.reached is None) == (None, False)


def test_a_fiber_that_never_yields_is_named():
    def stubborn():
        yield WAIT(0)
        endless()

    scheduler = Scheduler()
    scheduler.add(stubborn(), "mine")
    with Limit(0.3) as limit:
        scheduler.run()

    told = rf"fiber mine has not yielded at {limit.reached.src}, in endless"
    assert str(limit.reached) == told


def test_a_fiber_that_spins_is_named_with_its_line():
    def spinning():
        pause = WAIT(0)
        while True:
            yield pause

    def slow():
        while True:
            yield WAIT(0.01)

    scheduler = Scheduler()
    scheduler.add(slow(), "other")
    scheduler.add(spinning(), "mine")
    with Limit(0.5) as limit:
        scheduler.run()

    loop = spinning.__code__.co_firstlineno + 2  # seen there or at the yield below it
    words = "fiber mine spins: it is resumed again and again at test_lab_limits.py:"
    assert str(limit.reached).startswith((f"{words}{loop}", f"{words}{loop + 1}"))


def test_a_fiber_that_spins_is_named_by_its_own_line_also_under_an_audit_hook():
    program = (
        "import sys\n"
        "def hook(event, args):\n"
        "    number = 1\n"
        "    number += 1\n"
        "sys.addaudithook(hook)\n"
        "from fiberlab import WAIT\n"
        "from fiberlab.lab import examine\n"
        "import fiberlab.lab.lessons.l07_blocking_pitfalls\n"
        "def spinning(limit):\n"
        "    while True:\n"
        "        yield WAIT(0)\n"
        "print(examine('l07-e2', spinning, within=0.5).seen)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert ran.stdout.endswith(", in spinning\n")
