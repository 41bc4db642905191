"""The stall recorder: what a full trace says of a stall, it says too; and it is hardly noticed."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest
from asking import asking_for_a_stall, hang_until
from hypothesis import given, settings
from programs import PROGRAMS, SimulatedWorld

from fiberlab import RECV, SEND, WAIT, Scheduler, SimulatedNetwork, StallRecorder, Trace, diagnose
from fiberlab.diagnosis.limits import Limits
from fiberlab.fiber import start
from fiberlab.recording.prometheus import register
from fiberlab.server import spawn
from fiberlab.spans.build import build_spans
from fiberlab.spans.check import check_story


def run(trace, *programs):
    """Run fibers of programs, each given the network, in simulated time."""
    network = SimulatedNetwork()
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
    for program in programs:
        scheduler.add(program(network), program.__name__)
    scheduler.run()
    return trace


def server(network):
    ours, theirs = network.socketpair()

    def echo():
        yield RECV(ours)
        while data := ours.recv(100):
            network.clock.burn(0.2 if data == b"slow" else 0.001)
            yield SEND(ours)
            ours.send(data)
            yield RECV(ours)

    yield from client_beside(network, echo, theirs)


def client_beside(network, echo, theirs):
    start(echo(), "echo")
    for request in (b"quick", b"slow", b"quick", b"slow"):
        yield SEND(theirs)
        theirs.send(request)
        yield RECV(theirs)
        theirs.recv(100)
        yield WAIT(0.05)
    theirs.close()


def ticker(network):
    for _ in range(12):
        yield WAIT(0.04)


def reader(network):
    ours, theirs = network.socketpair(latency=0.03)
    for _ in range(20):
        theirs.send(b"x")
        yield RECV(ours)
        ours.recv(1)


def spinner(network):
    for _ in range(60):
        network.clock.burn(0.001)
        yield WAIT(0)


EVERYTHING = (server, ticker, reader, spinner)


def worst(trace):
    """Return what the diagnosis says first: kind, culprit, line, how long, and its victims."""
    found = diagnose(trace, most=None)[0]
    victims = [(each.name, each.how, each.waited) for each in found.victims]
    return found.kind, found.name, found.src, found.numbers["ran"], sorted(victims)


# -- The same culprit ---------------------------------------------------------


def test_it_names_the_same_culprit_and_victims_as_a_full_trace_of_the_same_run():
    full, stalls = run(Trace(hidden=True), *EVERYTHING), run(StallRecorder(), *EVERYTHING)

    assert worst(stalls.trace()) == worst(full)
    assert len(stalls.trace()) < 0.2 * len(full)


@pytest.mark.parametrize("order", range(4))
def test_whoever_stands_first_in_the_queue(order):
    programs = EVERYTHING[order:] + EVERYTHING[:order]
    full, stalls = run(Trace(hidden=True), *programs), run(StallRecorder(), *programs)

    assert worst(stalls.trace()) == worst(full)
    check_story(stalls.trace())


@settings(max_examples=80)
@given(PROGRAMS)
def test_in_any_program_each_long_step_is_there_and_the_laws_are_kept(program):
    full, stalls = SimulatedWorld(program).trace, StallRecorder(limit=0.3, seconds=None)
    recorded = SimulatedWorld(program, trace=stalls)

    def steps(trace):
        spans = build_spans(trace)
        return [(spans[i].fiber, spans[i].start, spans[i].end) for i in spans.steps(0.31)]

    assert recorded.notes == SimulatedWorld(program).notes
    check_story(stalls.trace())
    assert steps(stalls.trace()) == steps(full)


# -- What it holds ------------------------------------------------------------


def stalling(*steps):
    """Return a program whose steps burn so many seconds, one second after another."""

    def stalls(network):
        for seconds in steps:
            network.clock.burn(seconds)
            yield WAIT(1)

    return stalls


def lengths(trace):
    """Return the lengths of the long steps in a trace, in milliseconds."""
    spans = build_spans(trace)
    return [(spans.end[i] - spans.start[i]) // 1_000_000 for i in spans.steps(Limits().step)]


def test_stalls_older_than_the_seconds_asked_for_are_forgotten():
    recorder = run(StallRecorder(seconds=3), stalling(0.1, 0.2, 0.3, 0.01, 0.4, 0.5))

    assert lengths(recorder.trace()) == [400, 500]
    assert recorder.counters()["stalls"] == 5


def test_all_is_counted_also_what_is_not_held():
    recorder = run(StallRecorder(), stalling(0.1, 0.02, 0.3))

    assert recorder.counters() == {
        "passes": 4, "steps": 4, "stalls": 2, "stalled_seconds": pytest.approx(0.4),
        "longest_step_seconds": pytest.approx(0.3), "longest_pass_seconds": pytest.approx(0.3),
    }  # fmt: skip


def test_prometheus_can_ask_for_the_counters():
    client = pytest.importorskip("prometheus_client")
    registry, recorder = client.CollectorRegistry(), StallRecorder()
    register(recorder, registry)
    before = registry.get_sample_value("fiberlab_stalls_total")
    run(recorder, stalling(0.1, 0.02, 0.3))

    assert (before, registry.get_sample_value("fiberlab_stalls_total")) == (0, 2)
    assert registry.get_sample_value("fiberlab_stalled_seconds_total") == pytest.approx(0.4)
    assert registry.get_sample_value("fiberlab_longest_pass_seconds") == pytest.approx(0.3)


def test_between_two_stalls_a_fiber_is_in_the_state_unknown():
    trace = run(StallRecorder(), stalling(0.1, 0.3)).trace()

    assert [(span.state.value, span.length // 1_000_000) for span in build_spans(trace)] == [
        ("running", 100), ("unknown", 1000), ("running", 300), ("unknown", 1000),
    ]  # fmt: skip
    assert trace.header["source"] == "stalls"


def test_a_run_without_a_stall_is_a_trace_without_one():
    trace = run(StallRecorder(), ticker).trace()

    assert [event.ev.value for event in trace] == ["start", "stop"]
    check_story(trace)


def test_a_step_that_ends_its_fiber_by_an_error_is_told_with_it(capsys):
    def fails(network):
        yield WAIT(1)
        network.clock.burn(0.2)
        raise LookupError("nothing there")

    trace = run(StallRecorder(), fails).trace()

    [ended] = [event for event in trace if event.ev == "exit"]
    assert (ended.how, ended.err) == ("error", "LookupError: nothing there")
    assert lengths(trace) == [200]


class LastFirst:
    """A run queue of the user's own, and no deque."""

    def __init__(self):
        self.fibers = []

    def append(self, fiber):
        self.fibers.append(fiber)

    def popleft(self):
        return self.fibers.pop()

    def __len__(self):
        return len(self.fibers)


def test_a_run_queue_of_the_users_own_keeps_deciding():
    def told(trace):
        network, log = SimulatedNetwork(), []
        scheduler = Scheduler(
            trace=trace, clock=network.clock, poller=network, run_queue=LastFirst()
        )

        def works(number):
            for _ in range(3):
                log.append(number)
                network.clock.burn(0.06 if number == 2 else 0.001)
                yield WAIT(0)

        for number in range(4):
            scheduler.add(works(number))
        scheduler.run()
        return log, trace

    (bare, _), (watched, recorder) = told(None), told(StallRecorder())

    assert watched == bare
    assert lengths(recorder.trace()) == [60, 60, 60]
    check_story(recorder.trace())


def test_a_recorder_holds_one_run():
    recorder = run(StallRecorder(), ticker)

    with pytest.raises(ValueError, match="already holds a run; give each run its own"):
        run(recorder, ticker)


@pytest.mark.parametrize("name", ["limit", "seconds", "write_after"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "1", True])
def test_what_is_no_length_of_time_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"StallRecorder\({name}=\) is seconds > 0.*, got"):
        StallRecorder(path="stalls.fiber.jsonl", **{name: value})


def test_a_recorder_without_a_path_says_so():
    with pytest.raises(ValueError, match=r"write_after=\) needs path=, where to write"):
        StallRecorder(write_after=1)
    with pytest.raises(ValueError, match=r"save\(\) needs a path"):
        run(StallRecorder(), ticker).save()
    with pytest.raises(TypeError, match=r"path=\) is where to write, a name or a Path, got 5"):
        StallRecorder(path=5)


# -- When it writes -----------------------------------------------------------


def test_it_writes_when_the_loop_has_not_polled_for_too_long(tmp_path):
    path = tmp_path / "stalls.fiber.jsonl"
    recorder = StallRecorder(path=path, write_after=0.25)
    run(recorder, stalling(0.1, 0.2, 0.3, 0.1))

    assert lengths(Trace.load(path)) == [100, 200, 300]
    assert lengths(recorder.trace()) == [100, 200, 300, 100]


@pytest.mark.parametrize(("seconds", "last"), [(30, 1), (3, 4)])
def test_it_does_not_write_again_before_its_seconds_have_passed(tmp_path, seconds, last):
    path = tmp_path / "stalls.fiber.jsonl"
    recorder = StallRecorder(seconds=seconds, path=path, write_after=0.25)
    run(recorder, stalling(0.3, 0.4, 0.5, 0.6, 0.7))

    assert lengths(Trace.load(path))[-1] == 200 + 100 * last


def test_a_run_that_an_exception_ends_leaves_its_file_with_the_step_under_way(tmp_path):
    path = tmp_path / "stalls.fiber.jsonl"

    def hangs(network):
        yield WAIT(1)
        network.clock.burn(0.2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(StallRecorder(path=path), ticker, hangs)

    assert lengths(Trace.load(path)) == [200]
    assert diagnose(Trace.load(path))[0].name == "hangs"


def test_a_run_that_ends_by_itself_writes_nothing(tmp_path):
    run(StallRecorder(path=tmp_path / "stalls.fiber.jsonl"), stalling(0.2))

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_does_not_end_the_run(tmp_path):
    recorder = StallRecorder(path=tmp_path / "missing" / "stalls.fiber.jsonl", write_after=0.1)

    with pytest.warns(RuntimeWarning, match="stalls could not be written"):
        run(recorder, stalling(0.2, 0.01))

    assert recorder.counters()["stalls"] == 1


# -- In real time -------------------------------------------------------------


def napping(trace, seconds):
    """Let one fiber block in a call while another one only waits; return the trace."""
    scheduler = Scheduler(trace=trace)

    def naps():
        time.sleep(seconds)
        yield WAIT(0.01)

    def waits():
        for _ in range(5):
            yield WAIT(0.02)

    scheduler.add(naps(), "naps")
    scheduler.add(waits(), "waits")
    scheduler.run()
    return trace


@pytest.mark.live
def test_the_line_that_blocked_is_the_one_that_a_full_trace_names():
    full, stalls = napping(Trace(), 0.3), napping(StallRecorder(), 0.3).trace()
    found = [diagnose(trace)[0] for trace in (full, stalls)]

    assert len({(each.kind, each.name, each.src) for each in found}) == 1
    assert "it was inside time.sleep(seconds)" in str(found[1])
    assert [victim.name for victim in found[1].victims] == ["waits"]
    check_story(stalls)


@pytest.mark.live
def test_a_stall_that_goes_on_can_be_asked_for_from_another_thread():
    recorder = StallRecorder()
    scheduler = Scheduler(trace=recorder)

    def hangs():
        hang_until(asked)
        yield WAIT(0)

    scheduler.add(hangs(), "hangs")
    with asking_for_a_stall(recorder) as asked:
        scheduler.run()

    found = diagnose(asked[0])[0]
    assert (found.name, found.src is not None) == ("hangs", True)


def echo(sock, address):
    yield RECV(sock)
    while data := sock.recv(100):
        if data == b"slow":
            time.sleep(0.15)
        yield SEND(sock)
        sock.send(data)
        yield RECV(sock)


@pytest.mark.live
@pytest.mark.posix
def test_a_server_writes_its_stalls_on_sigusr1_and_goes_on(tmp_path, monkeypatch):
    path, answers = tmp_path / "stalls.fiber.jsonl", []
    before = signal.getsignal(signal.SIGUSR1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def talk():
        deadline = time.monotonic() + 20
        try:
            with socket.create_connection(("127.0.0.1", port), 20) as sock:
                sock.sendall(b"slow")
                answers.append(sock.recv(100))
                while not path.exists() and time.monotonic() < deadline:
                    os.kill(os.getpid(), signal.SIGUSR1)
                    time.sleep(0.02)
                answers.append(path.exists())
                sock.sendall(b"quick")
                answers.append(sock.recv(100))
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    def begin(*_, **_flush):
        threading.Thread(target=talk).start()

    monkeypatch.setattr("builtins.print", begin)  # `spawn` says where it listens
    spawn(echo, port, trace=StallRecorder(path=path))

    assert answers == [b"slow", True, b"quick"]
    assert diagnose(Trace.load(path))[0].name.startswith("echo")
    assert signal.getsignal(signal.SIGUSR1) == before
