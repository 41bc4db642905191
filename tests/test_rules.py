"""The rules of the diagnosis beside that of long steps: each sentence, and when it is not said."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from fiberlab.diagnosis.diagnose import assert_no_stall, diagnose
from fiberlab.diagnosis.finding import Finding
from fiberlab.diagnosis.limits import Limits
from fiberlab.errors import Deadlock
from fiberlab.scheduler import Scheduler
from fiberlab.simulation import SimulatedClock, SimulatedNetwork
from fiberlab.spans.build import build_spans
from fiberlab.trace import Trace
from fiberlab.trace.events import EventKind, TraceEvent
from fiberlab.waits import RECV, WAIT

pytestmark = pytest.mark.once

MS = 1_000_000


def event(t: float, ev: str, fid: int = 0, **fields: object) -> TraceEvent:
    return TraceEvent(round(t * MS), EventKind(ev), fid, fields)


class Story:
    """Tells of fibers that run in turn; the queue's length is not told."""

    def __init__(self, *names: str, clock: str = "perf_counter") -> None:
        self.t = 0.0
        self.step = 0
        self.events = [event(0, "start", schema=1, clock=clock)]
        for fid, name in enumerate(names, start=1):
            self.tell("spawn", fid, name=name, by=0, src=f"{name}.py:1")
            self.wake(fid, "spawn")

    def tell(self, ev: str, fid: int = 0, **fields: object) -> Story:
        self.events.append(event(self.t, ev, fid, **fields))
        return self

    def wake(self, fid: int, why: str, by: int = 0, **fields: object) -> Story:
        return self.tell("wake", fid, by=by, why=why, **fields)

    def run(self, fid: int, ms: float, cpu: float | None = None, **wait: object) -> Story:
        """Let a fiber run for so long, and yield `wait`, or end if that is `how`."""
        self.step += 1
        self.tell("resume", fid, step=self.step)
        self.t += ms
        told = None if cpu is None else round(cpu * MS)
        fields = {**wait, "cpu": told} if told is not None else wait
        if "how" in wait:
            return self.tell("exit", fid, **fields)
        return self.tell("yield", fid, **{"src": f"f{fid}.py:9", **fields})

    def found(self, kind: str, **limits: float) -> Finding:
        [finding] = [each for each in self.all(**limits) if each.kind == kind]
        return finding

    def all(self, **limits: float) -> Iterable[Finding]:
        return diagnose(self.events, most=None, limits=Limits(**limits))

    def kinds(self, **limits: float) -> list[str]:
        return [each.kind for each in self.all(**limits)]


ZERO = {"op": "WAIT", "dt": 0}


def starving(cpu: float | None = 20, clock: str = "perf_counter") -> Story:
    """Tell of a fiber that is ready for 480 ms, while another one takes 24 steps of 20 ms."""
    told = Story("log", "echo", clock=clock)
    told.run(1, 1, cpu=1, op="WAIT", dt=2 * MS)
    for number in range(24):
        told.run(2, 20, cpu=cpu, **ZERO).wake(2, "yield", by=2)
        if number == 0:
            told.wake(1, "timer", late=0)
    return told.run(1, 1, cpu=1, how="return").tell("stop", reason="stopped", dropped=0)


def test_a_starved_fiber_is_reported_with_the_culprit():
    found = starving().found("starved")

    assert str(found) == (
        "log was ready for 460 ms in total (95 % of its life). echo alone accounts for 460 ms "
        "of it (f2.py:9). Let echo do less, or `yield WAIT(seconds)` between its steps."
    )
    assert (found.fiber, found.src, found.cost) == (1, "f2.py:9", 460 * MS)
    assert found.numbers == {
        "longest": 460 * MS, "fibers": 1, "delays": 1, "held": 460 * MS, "culprit": 2,
    }  # fmt: skip
    assert (found.certainty, found.severity, found.blames) == ("certain", "warning", True)


def test_no_fiber_is_blamed_for_starving_when_the_machine_was_busy():
    found = starving(cpu=2).found("starved")

    assert "The machine was probably busy. Not your code." in str(found)
    assert (found.src, found.certainty, found.blames) == ("f2.py:9", "unclear", False)


def test_no_fiber_is_blamed_for_starving_when_nothing_was_measured():
    found = starving(cpu=None).found("starved")

    assert str(found).endswith(
        "echo alone accounts for 460 ms of it (f2.py:9); what it did was not measured."
    )
    assert found.blames is False


def test_in_simulated_time_the_culprit_is_certain():
    assert starving(cpu=None, clock="simulated").found("starved").blames is True


def test_thresholds_of_starving_are_parameters():
    assert "starved" not in starving().kinds(ready=0.5, ready_share=0.99)
    assert "starved" not in starving().kinds(ready=0.5, ready_least=0.5)


def held(cpu: float = 400.0) -> Story:
    """Tell of a step of 400 ms while two sleep and two wait for data, one of it measured."""
    told = Story("nap", "doze", "get", "echo", "put")
    for fid, dt in ((1, 100), (2, 50)):
        told.run(fid, 1, cpu=1, op="WAIT", dt=dt * MS)
    told.run(3, 1, cpu=1, op="RECV", fd=7)
    told.run(5, 1, cpu=1, op="RECV", fd=8)
    told.run(4, 400, cpu=cpu, op="RECV", fd=9)
    told.tell("poll", timeout=0).tell("polled", n=1)
    told.wake(3, "io", hidden=396 * MS).wake(5, "io")
    told.wake(1, "timer", late=303 * MS).wake(2, "timer", late=352 * MS)
    for fid in (3, 5, 1, 2):
        told.run(fid, 1, cpu=1, how="return")
    return told.tell("stop", reason="stopped", dropped=0)


def test_late_timers_are_one_finding_with_the_worst_first():
    found = held().found("late timer")

    assert str(found) == (
        "WAIT(0.05) in doze woke 352 ms late. echo alone accounts for 352 ms of it (echo.py:1 to "
        "f4.py:9). nap woke late too. Fix the long step of echo."
    )
    assert (found.fiber, found.cost, found.severity) == (2, (352 + 303) * MS, "note")


def test_data_that_lay_in_the_kernel_is_told_where_it_was_measured():
    found = held().found("hidden ready")

    assert str(found) == (
        "The data for get lay in the kernel for at least 396 ms before the loop polled. "
        "echo alone accounts for 396 ms of it (echo.py:1 to f4.py:9). Fix the long step of echo."
    )
    assert (found.numbers["fibers"], found.blames) == (1, True)


def test_what_follows_from_a_long_step_is_told_only_when_all_is_asked_for():
    kinds = [each.kind for each in diagnose(held().events)]

    assert kinds == ["CPU hog"]
    assert held().kinds() == ["CPU hog", "late timer", "hidden ready"]


def test_data_that_its_own_fiber_let_lie_is_not_hidden():
    told = Story("nap").run(1, 1, cpu=1, op="RECV", fd=7)
    told.t += 10
    told.wake(1, "io", hidden=900 * MS).run(1, 1, cpu=1, how="return")

    assert told.kinds() == []


def test_a_late_timer_without_a_culprit_is_the_machines():
    told = Story("nap").run(1, 1, cpu=1, op="WAIT", dt=10 * MS)
    told.t = 100
    told.wake(1, "timer", late=89 * MS).run(1, 1, cpu=1, how="return")

    found = told.found("late timer")
    assert str(found) == (
        "WAIT(0.01) in nap woke 89 ms late. The machine was probably busy. Not your code."
    )
    assert (found.blames, found.certainty) == (False, "unclear")
    assert told.kinds(late=0.09) == []


def test_a_timer_is_late_by_its_own_measure():
    told = Story("nap").run(1, 1, cpu=1, op="WAIT", dt=1000 * MS)
    told.t = 1101
    told.wake(1, "timer", late=100 * MS).run(1, 1, cpu=1, how="return")

    assert told.kinds() == []
    assert told.kinds(late_share=0.1) == ["late timer"]


def crowd(cpu: float | None, clock: str = "perf_counter") -> Story:
    """Tell of 30 fibers that run for 4 ms each in one turn."""
    told = Story(*(f"f{n}" for n in range(30)), clock=clock)
    for fid in range(1, 31):
        told.run(fid, 4, cpu=cpu, op="RECV", fd=fid)
    return told.tell("poll").tell("polled", n=0).tell("stop", reason="stopped", dropped=0)


def test_a_slow_turn_of_short_steps_has_no_culprit():
    found = crowd(cpu=4).found("slow turn")

    assert str(found) == (
        "One pass of the loop took 120 ms in 30 short steps, from 0 µs on; no single fiber is to "
        "blame. Do less in each step, or have fewer fibers at work at once."
    )
    assert (found.cost, found.numbers, found.blames, found.certainty) == (
        120 * MS, {"took": 120 * MS, "steps": 30, "turns": 1}, True, "certain",
    )  # fmt: skip
    assert "slow turn" not in crowd(cpu=4).kinds(turn=0.13)


@pytest.mark.parametrize("cpu", [0.1, None])
def test_no_fiber_is_blamed_for_a_slow_pass_on_a_busy_machine(cpu):
    assert crowd(cpu).found("slow turn").blames is False


def test_a_turn_ends_when_all_have_run_that_were_ready():
    told = Story("a", "b")
    for _ in range(60):
        for fid, q in ((1, 1), (2, 1)):
            told.run(fid, 1, cpu=1, **ZERO).wake(fid, "yield", by=fid)
            told.events[-3] = event(told.t - 1, "resume", fid, step=told.step, q=q)

    assert "slow turn" not in told.kinds()


def spinning(step: float, passes: int, sleeps: int = 0) -> Story:
    told = Story("spin")
    for _ in range(passes):
        told.run(1, step, cpu=step, **ZERO).wake(1, "yield", by=1)
    for _ in range(sleeps):
        told.run(1, step, cpu=step, op="WAIT", dt=MS)
        told.t += 1
        told.wake(1, "timer", late=0)
    return told.run(1, step, cpu=step, how="return").tell("stop", reason="done", dropped=0)


def test_a_fiber_that_waits_busily_gets_the_remedy():
    found = spinning(0.01, 980, sleeps=19).found("busy waiting")

    assert str(found) == (
        "spin woke itself 980 times (98 % of its wakes are after WAIT(0)) and waited for something "
        "19 times. Let it wait for what it looks for: `yield RECV(sock)`, `yield WAIT(None)` or "
        "`yield WAIT(0.01)`."
    )
    assert (found.src, found.cost) == ("f1.py:9", 10 * MS)
    assert found.numbers == {"self_wakes": 980, "wakes": 1000, "ran": 10 * MS}


def test_a_fiber_that_waited_for_nothing_is_said_to():
    assert "(100 % of its wakes are after WAIT(0)) and waited for nothing." in str(
        spinning(0.01, 999).found("busy waiting")
    )


def test_a_fiber_that_works_between_is_not_waiting_busily():
    assert spinning(2, 200).kinds() == []
    assert spinning(0.01, 90).kinds() == []
    assert spinning(0.01, 200, sleeps=250).kinds() == []


def test_a_fiber_that_was_never_woken_is_told():
    told = Story("keeper", "lost").run(1, 1, op="RECV", fd=3).run(2, 1, op="WAIT")
    told.t = 800
    told.wake(1, "cancel").wake(2, "cancel").run(1, 0, how="cancel").run(2, 0, how="cancel")

    found = told.tell("stop", reason="stopped", dropped=0).found("lost fiber")

    assert str(found) == (
        "lost waited with WAIT(None) at f2.py:9 from 2.0 ms on, for 798 ms, and was not woken "
        "before the run ended. If it should go on, another fiber must run after it has parked."
    )
    assert (found.fiber, found.certainty, found.blames) == (2, "unclear", False)


def test_a_deadlock_names_the_fibers_and_their_lines():
    def parks():
        while True:
            yield WAIT(None)

    trace, network = Trace(), SimulatedNetwork()
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
    scheduler.add(parks(), "left")
    scheduler.add(parks(), "right")
    with pytest.raises(Deadlock):
        scheduler.run()

    [found] = diagnose(trace)
    line = parks.__code__.co_firstlineno + 2
    assert str(found) == (
        f"All 2 fibers are parked; nothing can wake them (left at test_rules.py:{line} and right "
        f"at test_rules.py:{line}). At least one fiber must be able to run: let one of them wait "
        "for a socket or a time."
    )
    assert (found.kind, found.severity, found.numbers) == ("deadlock", "error", {"fibers": 2})


def test_a_deadlock_on_simulated_sockets_is_told():
    network, trace = SimulatedNetwork(), Trace()
    one, _other = network.socketpair()

    def waits():
        yield RECV(one)

    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
    scheduler.add(waits(), "waits")
    with pytest.raises(Deadlock):
        scheduler.run()

    assert str(diagnose(trace)).startswith(
        "The only fiber is parked or waiting on sockets on which nothing will arrive; nothing can "
        "wake them (waits at test_rules.py:"
    )


def failing(err: str) -> Story:
    told = Story("echo", "other", "third")
    told.run(2, 1, op="RECV", fd=3).run(1, 1, how="error", err=err, src="server.py:33")
    return told.run(3, 1, how="error", err=err, src="server.py:33")


def test_a_crash_is_told_once_for_each_line():
    found = failing("ValueError: no\x1b[2J").found("crash")

    assert str(found) == (
        r"echo and third ended with ValueError at server.py:33 (no\x1b[2J); 1 other fiber went on."
    )
    assert (found.fiber, found.src, found.severity, found.blames) == (
        1, "server.py:33", "error", True,
    )  # fmt: skip


@pytest.mark.parametrize("error", ["ConnectionResetError: [Errno 104]", "FiberTimeout: x"])
def test_what_the_other_side_did_is_not_blamed_on_the_program(error):
    found = failing(error).found("crash")

    assert "The other side was slow or went away" in str(found)
    assert (found.severity, found.blames) == ("warning", False)


def test_an_error_of_the_scheduler_about_a_socket_is_told_as_it_is():
    found = failing("SocketClosed: fiber 'echo' waits on a socket that is closed").found(
        "fd pitfalls"
    )

    assert "ended with SocketClosed at server.py:33 (fiber 'echo' waits on a socket" in str(found)


def test_two_fibers_at_one_socket_are_named():
    told = Story("echo", "other").run(1, 1, op="RECV", fd=7).run(2, 1, op="RECV", fd=7)
    told.t = 10
    told.wake(1, "io").run(1, 1, how="return").tell("stop", reason="stopped", dropped=0)

    found = told.found("fd pitfalls")
    assert str(found) == (
        "Two fibers wait for RECV on fd 7 (echo and other); only one of them gets what comes. "
        "Give each its own socket, or let one of them hand the data on."
    )
    assert (found.fiber, found.src, found.cost) == (2, "f2.py:9", 8 * MS)


def test_two_directions_or_two_sockets_are_no_pitfall():
    told = Story("a", "b", "c").run(1, 1, op="RECV", fd=7).run(2, 1, op="SEND", fd=7)
    told.run(3, 1, op="RECV", fd=8)
    told.t = 10

    assert told.kinds() == []


def test_dropped_events_are_told():
    told = Story("a").run(1, 1, op="RECV", fd=7)
    told.events = [each for each in told.events if each.ev in ("start", "spawn")]
    told.t = 800
    told.wake(1, "io").run(1, 1, how="return").tell("stop", reason="done", dropped=1204)

    found = told.found("tracer")
    assert str(found) == (
        "1,204 events were dropped; the picture before 800 ms is incomplete. Record with a larger "
        "Trace(limit)."
    )
    assert found.blames is False


def test_a_fiber_whose_only_step_was_long_has_never_yielded():
    found = Story("worker", "other").run(1, 2100, cpu=2100, how="return").found("never yielded")

    assert str(found).startswith(
        "worker ran 2.10 s and has not yielded once, computing after worker.py:1"
    )
    assert (found.blames, found.severity) == (True, "error")
    assert "never yielded" not in Story("w").run(1, 900, cpu=900, how="return").kinds()


def test_a_healthy_run_has_no_findings():
    told = Story("a", "b")
    for fid in (1, 2):
        told.run(fid, 3, cpu=3, op="WAIT", dt=10 * MS)
    told.t = 14
    for fid in (1, 2):
        told.wake(fid, "timer", late=MS).run(fid, 1, cpu=1, how="return")

    assert told.all() == ()


# -- In tests of servers ---------------------------------------------------------------


def hogging(clock: SimulatedClock, seconds: float):
    clock.burn(seconds)
    yield WAIT(0)


def run_hog(trace: Trace, seconds: float) -> None:
    network = SimulatedNetwork()
    scheduler = Scheduler(trace=trace, clock=network.clock, poller=network)
    scheduler.add(hogging(network.clock, seconds), "hog")
    scheduler.run()


def test_a_stall_fails_a_test_with_its_sentence():
    with pytest.raises(AssertionError, match="hog ran 30 ms without yielding") as caught:
        assert_no_stall(lambda trace: run_hog(trace, 0.03), 20)

    assert "Use `yield WAIT(seconds)`" in str(caught.value)


def test_no_stall_is_no_failure():
    assert_no_stall(lambda trace: run_hog(trace, 0.03), 40)


def test_a_busy_machine_fails_no_test():
    told = Story("a").run(1, 100, cpu=1, op="RECV", fd=1)
    told.events.insert(4, event(60, "stall", 1, src="a.py:3", func="a", ran=60 * MS))

    assert_no_stall(told.events)


def test_a_trace_that_measured_nothing_cannot_vouch():
    told = Story("a").run(1, 100, op="RECV", fd=1)

    with pytest.raises(AssertionError, match=r"Record with Trace\(cpu=True\)"):
        assert_no_stall(build_spans(told.events))


async def never_run():
    pass


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (lambda: (never_run(),), TypeError, "has not run: use"),
        (lambda: (lambda trace: never_run(),), TypeError, "has not run: use"),
        (lambda: (Trace(),), ValueError, "nothing was recorded in this trace"),
        (lambda: (lambda trace: None,), ValueError, "nothing was recorded in this trace"),
        (lambda: (Trace(), "50"), TypeError, "needs a number, got '50'"),
        (lambda: (Trace(), -1), ValueError, "needs more than 0, got -1"),
    ],
)
def test_a_test_that_would_test_nothing_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        assert_no_stall(*given())
