"""One class for each mistake, whose message names the fiber and the remedy."""

from __future__ import annotations

import io
import re
import traceback

import pytest

from fiberlab import errors
from fiberlab.errors import (
    Deadlock,
    FiberCancelled,
    FiberTimeout,
    InvalidYield,
    SocketBusy,
    SocketClosed,
)
from fiberlab.fiber import start
from fiberlab.scheduler import Scheduler
from fiberlab.waits import RECV, WAIT


class Named:
    """What a message needs of a fiber."""

    def __init__(self, name, wait=None):
        self.name = name
        self.wait = wait


class Sock:
    """A socket with a short repr."""

    def __init__(self, text="sock"):
        self.text = text

    def fileno(self):
        return 7

    def __repr__(self):
        return self.text


def test_each_class_is_what_its_users_catch():
    bases = {
        FiberTimeout: TimeoutError,
        InvalidYield: TypeError,
        SocketBusy: RuntimeError,
        SocketClosed: OSError,
        Deadlock: RuntimeError,
    }

    assert all(issubclass(kind, base) for kind, base in bases.items())
    assert not issubclass(FiberCancelled, Exception)


def test_a_timeout_names_the_fiber_and_its_wait():
    message = str(FiberTimeout.of(Named("echo-3", RECV(Sock(), timeout=5))))

    assert message == "fiber 'echo-3' waited in vain: RECV(sock, timeout=5) timed out"


def test_a_busy_socket_names_both_fibers():
    message = str(SocketBusy.of(Named("a"), Named("b"), "receive", 7))

    assert message == (
        "fibers 'a' and 'b' both wait to receive on socket 7; "
        "give each its own socket, or let one of them hand the data on"
    )


def test_a_closed_socket_names_the_fiber():
    assert str(SocketClosed.of(Named("a"), Sock())) == (
        "fiber 'a' waits on a socket that is closed: sock"
    )


@pytest.mark.parametrize(
    ("came", "end"),
    [(42, "WAIT(seconds)"), (WAIT, "write WAIT(...), with its arguments"), (None, "WAIT(seconds)")],
)
def test_an_invalid_yield_tells_what_came_what_is_allowed_and_the_likely_slip(came, end):
    message = str(InvalidYield.of(Named("echo"), came))

    assert message.startswith(
        f"fiber 'echo' yielded {came!r}; a fiber may yield only RECV(sock), SEND(sock) or WAIT("
    )
    assert message.endswith(end)


@pytest.mark.parametrize(
    ("count", "who"),
    [
        (1, "'f0' waits only"),
        (2, "'f0' and 'f1' wait only"),
        (3, "'f0', 'f1' and 'f2' wait only"),
        (6, "'f0', 'f1', 'f2', 'f3', 'f4' and 1 more wait only"),
        (1000, "'f0', 'f1', 'f2', 'f3', 'f4' and 995 more wait only"),
    ],
)
def test_a_deadlock_names_its_fibers(count, who):
    fibers = [Named(f"f{number}", WAIT(None)) for number in range(count)]
    error = Deadlock.of(fibers)

    assert str(error).startswith(f"deadlock: {who} for other fibers (WAIT(None)); ")
    assert error.fibers == tuple(fibers)


def test_a_deadlock_on_simulated_sockets_tells_the_remedy():
    message = str(Deadlock.on_sockets([Named("a")]))

    assert message.startswith("deadlock: 'a' waits on simulated sockets, and nothing is on its way")
    assert "timeout" in message


@pytest.mark.parametrize("text", ["x" * 10_000, "a\n\n  b"])
def test_what_is_long_or_has_many_lines_is_told_in_one_short_line(text):
    message = str(SocketClosed.of(Named("a"), Sock(text)))

    assert (len(message) < 200, "\n" in message) == (True, False)


def test_every_class_says_when_it_is_raised():
    classes = [
        thing
        for thing in vars(errors).values()
        if isinstance(thing, type) and issubclass(thing, BaseException)
    ]

    assert len(classes) >= 7
    assert [kind.__name__ for kind in classes if not kind.__doc__] == []


# -- The whole sentence ----------------------------------------------------------------


async def forgotten():
    """A coroutine, given where a generator belongs."""


def nobody():
    yield


REFUSALS = {
    "Scheduler(timeout=) cannot be negative or nan, got -1": lambda: Scheduler(-1),
    "WAIT(seconds) is longer than a float can hold; use math.inf": lambda: WAIT(10**400),
    "start() works only inside a running fiber; outside, use scheduler.add": lambda: start(
        nobody()
    ),
    "add() needs a generator, got <coroutine>: give it as as_fiber(...)": lambda: Scheduler().add(
        forgotten()
    ),
}


@pytest.mark.parametrize("sentence", REFUSALS)
def test_a_refusal_says_what_to_do(sentence):
    with pytest.raises((TypeError, ValueError, RuntimeError)) as caught:
        REFUSALS[sentence]()

    assert re.sub("<coroutine [^>]+>", "<coroutine>", str(caught.value)) == sentence


def test_an_error_thrown_in_shows_only_the_frames_of_the_fiber(clock, network):
    def waits():
        yield RECV(ours, timeout=1)

    ours, _theirs = network.socketpair()
    scheduler = Scheduler(clock=clock, poller=network, output="withheld", file=io.StringIO())
    fiber = scheduler.add(waits())
    scheduler.run()

    frames = traceback.extract_tb(fiber.error.__traceback__)
    assert [frame.name for frame in frames] == ["waits"]
