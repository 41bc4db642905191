"""The pytest fixture: a test that fails tells what held its loop."""

from __future__ import annotations

import pytest

from fiberlab import Trace, diagnose

pytest_plugins = ["pytester"]

TEST = """
import pytest
from fiberlab import WAIT, Scheduler, SimulatedNetwork

@pytest.mark.parametrize("seconds, expected", [(0.2, 2), (0.2, 1), (0.001, 2)])
def test_it(stall_recorder, seconds, expected):
    network = SimulatedNetwork()
    scheduler = Scheduler(trace=stall_recorder, clock=network.clock, poller=network)

    def holds():
        yield WAIT(1)
        network.clock.burn(seconds)
        yield WAIT(1)

    scheduler.add(holds())
    scheduler.run()
    assert expected == 1
"""


def test_a_test_that_fails_tells_of_its_stalls_and_writes_them(pytester: pytest.Pytester):
    pytester.makepyfile(TEST)
    result = pytester.runpytest_inprocess("-p", "fiberlab.pytest_plugin", "-p", "no:xdist")

    result.assert_outcomes(passed=1, failed=2)
    told = [line for line in result.outlines if line.startswith(("holds-1 ran", "written to"))]
    assert [line.split(maxsplit=2)[:2] for line in told] == [["holds-1", "ran"], ["written", "to"]]
    assert diagnose(Trace.load(told[1].split(maxsplit=2)[2]))[0].name == "holds-1"
