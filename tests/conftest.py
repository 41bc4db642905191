"""What all tests share: the markers' meaning here, and a few small fixtures."""

from __future__ import annotations

import io
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import opened
from hypothesis import HealthCheck, settings

from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedClock, SimulatedNetwork
from fiberlab.trace.events import TraceEvent

# However busy the machine is: no example is too slow, and none is drawn too slowly.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


def pytest_report_header() -> str:
    """Tell in the log which of the two worlds the suite ran in."""
    has = "there" if hasattr(os, "fork") else "not there, as on Windows"
    return f"SIGHUP, epoll, poll and fork: {has}"


def pytest_configure(config: pytest.Config) -> None:
    """Take signals as a terminal gives them: behind `nohup` or `&` what is started ignores some."""
    defaults = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    for name, handler in defaults.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `posix` where there is no fork; try again what is `live`, if shared.

    There is none on Windows, or it is hidden as there. A live test that shares the cores with
    other processes may be held up by them. If it fails, it is tried twice more, and the summary
    tells so. In one process (`-n 0`) nothing is tried again.
    """
    shared = hasattr(config, "workerinput") and config.pluginmanager.hasplugin("rerunfailures")
    for item in items:
        if "posix" in item.keywords and not hasattr(os, "fork"):
            item.add_marker(pytest.mark.skip(reason="needs SIGHUP, epoll, poll or fork"))
        if "live" in item.keywords and shared:
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(autouse=True)
def _only_live_tests_sleep(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test that sleeps fail, unless it is marked `live`."""
    if "live" not in request.keywords:
        monkeypatch.setattr(time, "sleep", _refuse_to_sleep)


def _refuse_to_sleep(seconds: float) -> None:
    raise AssertionError("only tests marked live sleep: use simulated time")


@pytest.fixture
def network() -> SimulatedNetwork:
    """Sockets in simulated time; the poller of what the test runs."""
    return SimulatedNetwork()


@pytest.fixture
def clock(network: SimulatedNetwork) -> SimulatedClock:
    """The clock of `network`."""
    return network.clock


@pytest.fixture
def log() -> list[Any]:
    """What the fibers of a test note down."""
    return []


@pytest.fixture
def events() -> list[TraceEvent]:
    """What `scheduler` did, event by event."""
    return []


@pytest.fixture
def scheduler(network: SimulatedNetwork, events: list[TraceEvent]) -> Scheduler:
    """A scheduler in simulated time, which writes to nowhere and tells `events`."""
    return Scheduler(clock=network.clock, poller=network, trace=events.append, file=io.StringIO())


@pytest.fixture
def live() -> Iterator[Scheduler]:
    """A scheduler in real time; it is stopped after 20 seconds, so that no test hangs."""
    scheduler = Scheduler(file=io.StringIO())
    guard = threading.Timer(20, scheduler.stop)
    guard.start()
    yield scheduler
    guard.cancel()
    guard.join()


@pytest.fixture
def no_windows() -> Iterator[None]:
    """Figures go nowhere, and none is left open."""
    import matplotlib
    import matplotlib.pyplot as plt

    with matplotlib.rc_context({"backend": "Agg"}):
        yield
        plt.close("all")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser that many tests share; each opens a page of its own."""
    with opened() as browser:
        yield browser


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two real sockets that are connected to each other and do not block."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()
