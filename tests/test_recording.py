"""What a Trace records when asked for more: marks, hidden waits, the last seconds, its cost."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from fiberlab import RECV, WAIT, Scheduler, Trace, start
from fiberlab.fiber import mark
from fiberlab.recording.data_age import waited_ns
from fiberlab.simulation import SimulatedNetwork
from fiberlab.spans.check import check_story
from fiberlab.trace.events import TraceEvent

MS = 1_000_000


def run(network, *generators, trace=None, **options):
    """Run `generators` in simulated time and return their trace."""
    trace = Trace(**options) if trace is None else trace
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    for generator in generators:
        scheduler.add(generator)
    scheduler.run()
    return trace


def marks(trace: Trace) -> list[tuple[int, int, dict[str, object]]]:
    return [(event.t, event.fid, event.fields) for event in trace if event.ev == "mark"]


class Talkative(ValueError):
    """Prints whatever is asked of it."""

    def fileno(self):
        print("my number is asked for")
        return self.args[0].fileno()

    def __str__(self):
        print("my text is asked for")
        return "talkative"


@pytest.mark.parametrize("output", ["withheld", "direct"])
def test_what_is_printed_while_an_event_is_made_keeps_the_order_of_time(tmp_path, output):
    left, right = socket.socketpair()
    loud, trace = Talkative(left), Trace()

    def talk():
        right.send(b"x")
        yield RECV(loud)
        with mark(loud):
            yield WAIT(0)
        raise loud

    with left, right, open(tmp_path / "printed", "w") as file:
        scheduler = Scheduler(trace=trace, output=output, file=file)
        scheduler.add(talk())
        scheduler.run()

    check_story(trace)
    trace.save(tmp_path / "run.fiber.jsonl")
    printed = {event.text for event in trace if event.ev == "output"}
    assert printed == {"my number is asked for", "my text is asked for"}


# -- Marks ------------------------------------------------------------------------------


def test_a_mark_brackets_work_across_yields(network):
    def work():
        with mark("request 7", path="/", size=3, ratio=float("nan"), name="get"):
            yield WAIT(1)

    told = marks(run(network, work()))

    args = {"path": "/", "size": 3, "ratio": "nan", "name": "get"}
    assert told == [
        (0, 1, {"name": "request 7", "ph": "b", "id": 1, "args": args}),
        (1000 * MS, 1, {"name": "request 7", "ph": "e", "id": 1}),
    ]


def test_the_same_name_marks_what_several_fibers_do(network):
    def helper():
        with mark("request 7"):
            yield WAIT(1)

    def work():
        with mark("request 7"):
            start(helper())
            yield WAIT(2)

    told = marks(run(network, work()))

    assert [(t // MS, fid, fields["ph"], fields["id"]) for t, fid, fields in told] == [
        (0, 1, "b", 1),
        (0, 2, "b", 2),
        (1000, 2, "e", 2),
        (2000, 1, "e", 1),
    ]


def test_a_mark_ends_when_its_fiber_fails(network):
    def work():
        with mark("request 7"):
            yield WAIT(1)
            raise LookupError("no")

    told = marks(run(network, work()))

    assert [fields["ph"] for _, _, fields in told] == ["b", "e"]


def test_a_mark_does_nothing_outside_a_fiber():
    with mark("request 7") as nothing:
        pass

    assert nothing is None


def test_a_mark_does_nothing_without_a_trace(network):
    log = []

    def work():
        with mark("request 7"):
            yield WAIT(1)
            log.append("done")

    scheduler = Scheduler(clock=network.clock, poller=network)
    scheduler.add(work())
    scheduler.run()

    assert log == ["done"]


def test_a_mark_that_ends_after_the_run_is_not_told(network):
    kept = []

    def bracket():
        with mark("request 7"):
            yield

    def work():
        kept.append(bracket())
        next(kept[0])
        yield WAIT(1)

    trace = run(network, work())
    kept[0].close()

    assert [fields["ph"] for _, _, fields in marks(trace)] == ["b"]
    assert list(trace)[-1].ev == "stop"


# -- Hidden waits -----------------------------------------------------------------------


def late_reader(sock, clock):
    yield WAIT(0)
    clock.burn(0.4)  # the data comes after 0.1 s
    yield RECV(sock)
    sock.recv(10)


def sender(sock):
    sock.send(b"x")
    yield WAIT(0)


def io_wakes(trace: Trace) -> list[TraceEvent]:
    return [event for event in trace if event.ev == "wake" and event.why == "io"]


def test_simulated_sockets_tell_exactly_how_long_data_was_there(network):
    left, right = network.socketpair(latency=0.1)

    trace = run(network, sender(left), late_reader(right, network.clock), hidden=True)

    assert [(wake.t // MS, wake.hidden) for wake in io_wakes(trace)] == [(400, 300 * MS)]


def test_data_that_came_while_the_poll_waited_was_not_hidden(network):
    left, right = network.socketpair(latency=0.1)

    def reader():
        yield RECV(right)

    trace = run(network, sender(left), reader(), hidden=True)

    assert [wake.hidden for wake in io_wakes(trace)] == [0]


def test_no_socket_is_asked_how_long_data_was_there_by_default(network):
    left, right = network.socketpair(latency=0.1)

    trace = run(network, sender(left), late_reader(right, network.clock))

    assert [wake.hidden for wake in io_wakes(trace)] == [None]


def test_asking_changes_nothing_else(network):
    def story(hidden):
        net = SimulatedNetwork()
        left, right = net.socketpair(latency=0.1)
        trace = run(net, sender(left), late_reader(right, net.clock), hidden=hidden)
        return [
            (e.t, e.ev, {k: v for k, v in e.fields.items() if k not in ("hidden", "src")})
            for e in trace
        ]

    assert story(hidden=True) == story(hidden=False)


@pytest.fixture
def connection():
    """Two real sockets that are connected to each other by TCP."""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as left:
        right, _ = listener.accept()
        with right:
            yield left, right


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when data came")


@linux_only
@pytest.mark.live
def test_linux_tells_a_lower_bound_that_is_nearly_exact(connection):
    left, right = connection
    left.send(b"x")
    began = time.perf_counter_ns()
    time.sleep(0.4)

    told = waited_ns(right, 0)
    most = time.perf_counter_ns() - began + MS

    assert 0.36e9 <= told <= most


@linux_only
@pytest.mark.live
def test_the_end_of_a_stream_says_nothing_of_when_it_came(connection):
    left, right = connection
    left.send(b"x")
    time.sleep(0.05)
    right.recv(1)
    left.close()
    time.sleep(0.05)

    assert waited_ns(right, 0) is None


@pytest.mark.live
def test_what_is_no_tcp_is_not_known():
    left, right = socket.socketpair()
    with left, right:
        left.send(b"x")
        closed = socket.socket()
        closed.close()

        told = [waited_ns(sock, 0) for sock in (right, closed)]

    assert told == [None, None]


@linux_only
@pytest.mark.live
def test_a_forced_stall_of_400_ms_is_told_as_hidden(connection):
    left, right = connection
    right.setblocking(False)
    trace = Trace(hidden=True)
    scheduler = Scheduler(trace=trace)

    def reader():
        yield RECV(right)

    def blocker():
        yield WAIT(0)
        left.send(b"x")
        time.sleep(0.4)

    scheduler.add(reader())
    scheduler.add(blocker())
    scheduler.run()

    [wake] = io_wakes(trace)
    assert 0.36e9 <= wake.hidden <= 2e9


# -- The flight recorder ----------------------------------------------------------------


def napping(count, seconds=1):
    for _ in range(count):
        yield WAIT(seconds)


def test_the_last_seconds_are_kept_and_the_rest_is_counted(network):
    whole = run(network, napping(100))
    trace = run(SimulatedNetwork(), napping(100), seconds=10)

    told = list(trace)
    assert len(told) + trace.dropped == len(whole)
    assert [event.ev for event in told[:2]] == ["start", "spawn"]
    assert told[2].t == 90_000 * MS
    assert told[-1].fields == {"reason": "done", "dropped": trace.dropped}
    check_story(trace)


def test_the_last_events_are_kept_and_the_rest_is_counted(network):
    trace = run(network, napping(100), limit=40)

    # The start, the spawn and the stop come on top.
    assert (len(trace), list(trace)[-1].dropped) == (43, trace.dropped)
    check_story(trace)


def test_a_recorder_does_not_grow_with_a_long_run(network):
    most = []

    def watching():
        for _ in range(400):
            most.append(len(trace))
            yield WAIT(1)

    trace = Trace(seconds=10)
    run(network, watching(), trace=trace)

    assert max(most) <= 10 * 5 * 1.25 + 10


def test_forgotten_names_are_counted_too(network):
    def parent():
        for _ in range(50):
            start(napping(1))
            yield WAIT(1)

    whole = run(SimulatedNetwork(), parent())
    trace = run(network, parent(), limit=10)

    assert len(trace) + trace.dropped == len(whole)


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_recorder_keeps_some_time(seconds):
    with pytest.raises(ValueError, match=r"Trace\(seconds=\) is seconds > 0 or None"):
        Trace(seconds=seconds)


# -- Its cost ---------------------------------------------------------------------------


def test_in_simulated_time_recording_costs_nothing_of_the_run(network):
    assert run(network, napping(3)).cost is None


@pytest.mark.live
def test_the_cost_of_recording_is_estimated_from_the_number_of_events():
    costs = []
    for count in (100, 10_000):
        trace = Trace(stall_after=None)
        scheduler = Scheduler(trace=trace)
        scheduler.add(napping(count, 0))
        scheduler.run()
        costs.append(trace.cost / len(trace))

    # A tenth of a microsecond to fifty for one event, whatever the machine does meanwhile.
    assert [100 < each < 50_000 for each in costs] == [True, True]
