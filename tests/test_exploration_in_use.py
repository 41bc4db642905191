"""explore as its user meets it: progress on a terminal and in a notebook, ^C, and hypothesis."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiberlab import WAIT, assert_holds, explore, sweep
from fiberlab.exploration import progress as shown

# -- Progress ----------------------------------------------------------------------------


def many(world):
    for _ in range(4):
        world.add(WAIT(0) for _ in range(2))


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Notebook(io.StringIO):
    pass


Notebook.__module__ = "ipykernel.iostream"


@pytest.fixture
def clock(monkeypatch):
    """Let each look at the clock take ten milliseconds."""
    looks = iter(range(10**9))
    monkeypatch.setattr(shown, "monotonic", lambda: next(looks) / 100)


def screen(text):
    """Return what is left on the line."""
    line = []
    for part in text.split("\r"):
        line[: len(part)] = part
    return "".join(line).rstrip()


@pytest.mark.parametrize("stream", [Terminal, Notebook])
def test_progress_is_a_line_that_changes_and_is_gone_at_the_end(monkeypatch, clock, stream):
    monkeypatch.setattr(sys, "stderr", stream())
    explore(many, at_most=60, progress=True)
    written = sys.stderr.getvalue()

    shown_numbers = [int(each) for each in re.findall(r"\r(\d+) schedules, \d+ a second", written)]
    assert shown_numbers == sorted(set(shown_numbers))
    assert 3 <= len(shown_numbers) <= 6
    assert screen(written) == ""


def test_progress_of_a_sweep_says_how_many_there_will_be(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    sweep(abs, range(30), progress=True)

    assert "\r10 of 30 cases, 100 a second" in sys.stderr.getvalue()


def test_progress_says_how_many_have_failed(monkeypatch, clock):
    def fails(world):
        many(world)
        world.at_end(lambda: False)

    monkeypatch.setattr(sys, "stderr", Terminal())
    explore(fails, at_most=15, progress=True)

    assert "10 schedules, 10 of them failed, 100 a second" in sys.stderr.getvalue()


def test_progress_leaves_no_line_behind_when_the_program_is_refused(monkeypatch, clock):
    def program(world, calls=[]):  # noqa: B006
        calls.append(None)
        if len(calls) == 40:
            raise TypeError("not today")
        many(world)

    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(TypeError, match="not today"):
        explore(program, progress=True)

    assert "\r20 schedules" in sys.stderr.getvalue()
    assert screen(sys.stderr.getvalue()) == ""


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_progress_is_not_written_where_nobody_sees_it_change(monkeypatch, clock, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    explore(many, at_most=60, progress=True)

    assert stream is None or stream.getvalue() == ""


def test_a_terminal_that_was_closed_ends_no_search(monkeypatch, clock):
    class Closed(Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Closed())

    assert explore(many, at_most=60, progress=True).schedules == 60


@pytest.mark.parametrize("progress", [None, False])
def test_nothing_is_shown_that_was_not_asked_for(monkeypatch, clock, progress):
    monkeypatch.setattr(sys, "stderr", Terminal())
    explore(many, at_most=60, progress=progress)

    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("progress", [3, "yes"])
def test_progress_of_another_kind_is_refused(progress):
    with pytest.raises(TypeError, match="progress= is True or a function of two numbers, got"):
        explore(many, progress=progress)


# -- ^C ----------------------------------------------------------------------------------

ENDLESS = textwrap.dedent(
    """
    import sys
    from concurrent.futures import ProcessPoolExecutor
    from fiberlab import WAIT, explore

    def program(world):
        for _ in range(5):
            world.add(WAIT(0) for _ in range(3))

    def begun(done, failed):
        print("begun", flush=True)

    if __name__ == "__main__":
        if sys.argv[1] == "alone":
            print(explore(program, at_most=10**9, progress=begun))
        else:
            with ProcessPoolExecutor(2) as executor:
                print(explore(program, at_most=10**9, progress=begun, executor=executor))
    """
)


@pytest.mark.live
@pytest.mark.posix
@pytest.mark.parametrize("kind", ["alone", "pool"])
def test_control_c_gives_what_was_found_so_far(tmp_path, kind):
    script = tmp_path / "endless.py"
    script.write_text(ENDLESS, "utf-8")
    with subprocess.Popen(
        [sys.executable, script, kind], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    ) as child:  # fmt: skip
        assert child.stdout.readline() == "begun\n"
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the workers too
        try:
            out, _ = child.communicate(timeout=60)
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)

    last = out.splitlines()[-1]
    found = re.fullmatch(r"holds in the first ([\d,]+) of more schedules(; .*)?", last)
    assert found
    assert int(found[1].replace(",", "")) >= 256


# -- hypothesis --------------------------------------------------------------------------


def account(world, amounts, *, again):
    """Pay these amounts from an account of 10, if there is enough: looked at before a wait."""
    balance = [10]

    def pay(amount):
        enough = balance[0] >= amount
        yield WAIT(0)
        if enough and (not again or balance[0] >= amount):
            balance[0] -= amount

    for amount in amounts:
        world.add(pay(amount))

    def never_overdrawn():
        assert balance[0] >= 0, f"the balance is {balance[0]}"

    world.always(never_overdrawn)


AMOUNTS = st.lists(st.integers(1, 10), min_size=1, max_size=3)


@settings(max_examples=30, deadline=None)
@given(AMOUNTS)
def test_hypothesis_makes_the_workload_and_explore_the_schedule(amounts):
    assert_holds(lambda world: account(world, amounts, again=True))


def test_hypothesis_shrinks_the_workload_and_explore_the_schedule():
    tried = []

    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    @given(AMOUNTS)
    def broken(amounts):
        tried.append(amounts)
        assert_holds(lambda world: account(world, amounts, again=False))

    with pytest.raises(AssertionError, match=r"the balance is -1.*\nreplay\(program, '0'\)"):
        broken()

    assert sorted(tried[-1]) == [1, 10]


def test_the_recipe_is_in_the_docstring():
    assert "@given" in assert_holds.__doc__
