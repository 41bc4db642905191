"""Dense rows: a run is recorded in few cells, and read at any moment as the same events."""

from __future__ import annotations

import gc
import itertools
import threading

import pytest

from fiberlab import RECV, SEND, WAIT, Scheduler, SimulatedNetwork, Trace, mark, start
from fiberlab.spans.check import check_story
from fiberlab.trace.events import FID, T


def program(scheduler, network, look):
    """Add fibers that do all that is recorded; `look` is called in the middle of steps."""
    left, right = network.socketpair(latency=0.5)

    def sender():
        for number in range(12):
            with mark("request", number=number):
                yield SEND(left)
                left.send(b"x")
                look()
                yield WAIT(0.25)
        left.close()

    def receiver():
        while True:
            yield RECV(right)
            if not right.recv(9):
                return
            start(child())
            yield WAIT(0)

    def child():
        yield WAIT(None)
        look()
        print("a line")
        yield WAIT(30)

    def careless():
        yield WAIT(1)
        children[0].cancel()
        yield "nonsense"

    scheduler.add(sender())
    scheduler.add(receiver())
    children = [scheduler.add(child())]
    scheduler.add(careless())


def recorded(trace, look=lambda: None):
    """Run the program and record it with `trace`."""
    network = SimulatedNetwork()
    scheduler = Scheduler(
        trace=trace, clock=network.clock, poller=network, output="withheld", file=Nowhere()
    )
    program(scheduler, network, look)
    scheduler.run()
    return trace


class Nowhere:
    def write(self, text):
        pass


def test_a_trace_holds_what_a_plain_callable_is_told():
    events = []
    recorded(events.append)

    assert list(recorded(Trace())) == events


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 13, 40, 100, 1000])
def test_the_newest_are_kept_to_the_event_and_the_rest_is_counted(limit, hidden):
    whole = list(recorded(Trace(hidden=hidden)))
    trace = recorded(Trace(limit, hidden=hidden))

    # The stop is on top, and says how many were dropped.
    assert list(trace)[-limit - 1 : -1] == whole[-limit - 1 : -1]
    assert len(trace) + trace.dropped == len(whole)


@pytest.mark.parametrize("limit", [4, 30, 1000])
def test_in_the_middle_of_a_step_the_trace_holds_all_that_was_told_so_far(limit):
    whole = recorded(Trace()).all_rows()
    moments = []

    def look():
        rows = trace.all_rows()
        moments.append((trace.dropped + len(rows), rows[-limit:]))

    trace = Trace(limit)
    recorded(trace, look)

    assert len(moments) > 20
    for count, rows in moments:
        assert rows == whole[count - len(rows) : count]


@pytest.mark.parametrize("limit", [4, 30, 1000])
def test_a_reader_that_comes_again_and_again_misses_only_what_was_dropped(limit):
    whole = recorded(Trace()).all_rows()
    seen, taken = 0, []

    def look():
        nonlocal seen
        _names, first, rows = trace.rows_since(seen)
        taken.append((first, rows))
        assert first >= seen
        seen = first + len(rows)

    trace = Trace(limit)
    recorded(trace, look)

    assert all(rows == whole[first : first + len(rows)] for first, rows in taken)
    assert limit < 1000 or sum(len(rows) for _, rows in taken) == seen


def test_while_a_run_goes_on_there_may_be_a_quarter_more_and_the_names():
    most = 0

    def napper():
        nonlocal most
        for _ in range(500):
            most = max(most, len(trace))
            yield WAIT(0)

    trace = Trace(400)
    scheduler = Scheduler(trace=trace)
    scheduler.add(napper())
    scheduler.run()

    assert 400 <= most <= 500 + 2


def test_a_recorded_step_leaves_nothing_to_the_garbage_collector():
    def napper():
        pause = WAIT(0)
        for _ in range(100):
            yield pause
        gc.collect()
        before = gc.get_count()[0]
        for _ in range(300):
            yield pause
        made.append(gc.get_count()[0] - before)

    made = []
    scheduler = Scheduler(trace=Trace(stall_after=None))
    scheduler.add(napper())
    scheduler.run()

    assert made[0] < 30


@pytest.mark.live
def test_another_thread_may_read_at_any_time():
    def napper():
        pause = WAIT(0)
        while not done.is_set():
            yield pause

    def read():
        try:
            for _ in range(40):
                rows = trace.all_rows()
                times = [row[T] for row in rows]
                moves = [row[1] for row in rows if row[FID] == 1 and row[1] != "spawn"]
                pairs = set(itertools.pairwise(moves))
                wrong.extend([pairs - LEGAL, times != sorted(times)])
        finally:
            done.set()

    trace, wrong, done = Trace(300), [], threading.Event()
    scheduler = Scheduler(trace=trace)
    scheduler.add(napper())
    reader = threading.Thread(target=read)
    reader.start()
    scheduler.run()
    reader.join()

    assert (len(wrong), set().union(*wrong[::2]), any(wrong[1::2])) == (80, set(), False)
    check_story(trace)


LEGAL = {("wake", "resume"), ("resume", "yield"), ("yield", "wake")}
