"""^C may strike at any line: all fibers are closed, streams put back, and run() works again."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from fibers import yields

import fiberlab
from fiberlab.fiber import start
from fiberlab.scheduler import Scheduler
from fiberlab.spans.check import check_story
from fiberlab.states import FiberState
from fiberlab.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT

PACKAGE = str(Path(fiberlab.__file__).parent)


def busy(finished, left, right):
    """Do a little of everything, and stop."""
    try:
        print("begins")
        yield WAIT(0)
        right.send(b"x")
        start(guarded(finished, WAIT(0)))
        start(guarded(finished, WAIT(9))).cancel()
        yield SEND(left)
        yield WAIT(0.0005)
        return
    finally:
        finished.append("busy")


def guarded(finished, *waits):
    """Yield `waits`, and note that it was closed."""
    try:
        yield from waits
    finally:
        finished.append(waits)


def strike(number, limit):
    """Run with a KeyboardInterrupt at one line of the package; return where, and what went wrong.

    limit: how many events a trace of the run keeps; 0: it is not traced. None when the run has
    not so many lines.
    """
    where, left_to_go = [], number + 1

    def tracer(frame, event, _argument):
        nonlocal left_to_go
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            left_to_go -= 1
            if left_to_go == 0:
                name = Path(frame.f_code.co_filename).name
                where.append(f"{name}:{frame.f_lineno} {frame.f_code.co_name}")
                raise KeyboardInterrupt
        return tracer

    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    trace = Trace(limit, stall_after=None) if limit else None
    scheduler = Scheduler(output="withheld", file=io.StringIO(), trace=trace)
    finished, wrong = [], []
    generators = [guarded(finished, RECV(ends[0])), guarded(finished, WAIT(None), WAIT(9))]
    generators += [busy(finished, *ends), stops(scheduler)]
    for generator in generators:
        scheduler.add(generator)
    streams = sys.stdout, sys.stderr
    try:
        sys.settrace(tracer)
        scheduler.run()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(None)
        for end in ends:
            end.close()
    if not where:
        return None
    if (sys.stdout, sys.stderr) != streams:
        wrong.append("streams")
        sys.stdout, sys.stderr = streams
    if any(inspect.getgeneratorstate(each) == inspect.GEN_SUSPENDED for each in generators):
        wrong.append("left open")
    if trace is not None:
        try:
            check_story(trace)
            if len(trace):
                trace.save(os.devnull)  # which refuses what could not be loaded again
        except Exception as error:
            wrong.append(repr(error))
        scheduler._reporter = None  # a trace holds one run
    again = scheduler.add(yields(WAIT(0), WAIT(0)))
    try:
        scheduler.run()
    except Exception as error:
        wrong.append(repr(error))
    if again.state is not FiberState.DONE or again.error is not None:
        wrong.append("second run")
    if (sys.stdout, sys.stderr) != streams:
        wrong.append("streams for good")
        sys.stdout, sys.stderr = streams
    return where[0], *wrong


def stops(scheduler):
    """Stop the scheduler a little later."""
    yield WAIT(0.002)
    scheduler.stop()


def all_strikes(limit):
    """Strike at each line in turn; return how many there were, and where something went wrong."""
    broken, number = [], 0
    while (found := strike(number, limit)) is not None:
        if len(found) > 1 and list(found) not in broken:
            broken.append(list(found))
        number += 1
    return number, broken


@pytest.mark.live
@pytest.mark.parametrize("limit", [0, 10_000, 20], ids=["not traced", "traced", "dropping"])
@pytest.mark.once
def test_wherever_a_keyboard_interrupt_strikes_nothing_is_left_behind(limit):
    """... and the trace keeps its laws, whatever it has dropped."""
    # In a process of its own: what is left behind would spoil other tests.
    environment = {**os.environ, "PYTHONPATH": str(Path(PACKAGE).parent)}
    done = subprocess.run(
        [sys.executable, __file__, str(limit)],
        env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    number, broken = json.loads(done.stdout)

    assert number > 200
    assert broken == []


def strike_at_the_end(number, *, output, ending):
    """Have ^C come at one call or return after a fiber has ended; return what was told of it.

    The system's signals are heard at those places, not between any two lines. None when the
    end of a fiber has no so many.
    """
    left_to_go = number + 1

    def profiler(frame, event, _argument):
        nonlocal left_to_go
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(PACKAGE):
            left_to_go -= 1
            if left_to_go == 0:
                raise KeyboardInterrupt

    def ends():
        print("some words")
        yield WAIT(0)
        print("last words", end="" if output == "withheld" else "\n")
        sys.setprofile(profiler)
        if ending is not None:
            raise ending

    def after():
        yield WAIT(0)
        sys.setprofile(None)

    trace, file, owned = Trace(stall_after=None), io.StringIO(), io.StringIO()
    scheduler = Scheduler(output=output, file=file, trace=trace)
    fiber = scheduler.add(ends(), "ends")
    fiber._owned = owned
    scheduler.add(after())
    struck = False
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            scheduler.run()
    except KeyboardInterrupt:
        struck = True
    finally:
        sys.setprofile(None)
    exits = [event.how for event in trace if event.ev == "exit" and event.fid == fiber.id]
    said = re.findall("some words|last words|error: ValueError: no", file.getvalue())
    return (said, exits, owned.closed, fiber.state, repr(fiber.error)) if struck else None


def strike_while_accepting(number):
    """Have ^C come at one call or return while a client is accepted; return what the client sees.

    The system's signals are heard at those places. None when accepting has not so many.
    """
    left_to_go = number + 1

    def profiler(frame, event, _argument):
        nonlocal left_to_go
        inside = Path(frame.f_code.co_filename) == Path(PACKAGE) / "sockets.py"
        if inside and event in ("call", "c_return"):
            left_to_go -= 1
            if left_to_go == 0:
                raise KeyboardInterrupt

    def silent(sock, _address):
        yield RECV(sock)

    scheduler = Scheduler(file=io.StringIO())
    address = scheduler.listen(silent)
    scheduler.add(stops(scheduler))
    kept = list(scheduler._alive.values())  # their errors hold what was on the stack
    with socket.create_connection(address, timeout=10) as client:
        try:
            sys.setprofile(profiler)
            scheduler.run()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b"", "it is open, and there is something to receive"
    assert kept
    return "closed" if left_to_go <= 0 else None


@pytest.mark.live
def test_an_interrupt_while_a_client_is_accepted_leaves_no_connection_open():
    number = 0
    while strike_while_accepting(number) is not None:
        number += 1

    assert number > 5


@pytest.mark.parametrize("ending", [None, ValueError("no")])
@pytest.mark.parametrize("output", [None, "withheld", "direct"])
def test_an_interrupt_while_a_fiber_ends_loses_nothing_and_tells_nothing_twice(output, ending):
    """As when a client sees its connection closed, and somebody types ^C."""
    told, number = [], 0
    while (found := strike_at_the_end(number, output=output, ending=ending)) is not None:
        told.append(found)
        number += 1

    words = ["some words", "last words"] if output else []
    words += ["error: ValueError: no"] if ending else []
    how = "error" if ending else "return"
    assert number > 10
    assert told == [(words, [how], True, FiberState.DONE, repr(ending))] * number


def test_a_generator_that_an_interrupt_kept_from_running_is_closed(scheduler, log):
    """As when ^C comes between the scheduler's line and the generator's first."""

    class Struck(Generator):
        def send(self, _value):
            raise KeyboardInterrupt

        def throw(self, kind, value=None, traceback=None):
            log.append("closed")
            raise kind

    scheduler.add(Struck())

    with pytest.raises(KeyboardInterrupt):
        scheduler.run()
    assert log == ["closed"]


if __name__ == "__main__":
    result = json.dumps(all_strikes(int(sys.argv[1])))
    sys.__stdout__.write(result)
