"""What all tests share: the markers' meaning here, and a few small fixtures."""

from __future__ import annotations

import os

import pytest

from fiberlab.simulation import SimulatedClock, SimulatedNetwork


def pytest_report_header() -> str:
    """Tell in the log which of the two worlds the suite ran in."""
    has = "there" if hasattr(os, "fork") else "not there, as on Windows"
    return f"SIGHUP, epoll, poll and fork: {has}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `posix` where there is no fork: on Windows, or hidden as there."""
    if hasattr(os, "fork"):
        return
    for item in items:
        if "posix" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs SIGHUP, epoll, poll or fork"))


@pytest.fixture
def network() -> SimulatedNetwork:
    """Sockets in simulated time; the poller of what the test runs."""
    return SimulatedNetwork()


@pytest.fixture
def clock(network: SimulatedNetwork) -> SimulatedClock:
    """The clock of `network`."""
    return network.clock
