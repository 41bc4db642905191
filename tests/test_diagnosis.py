"""Diagnosis: the sentences, and what is never said."""

from __future__ import annotations

import pytest
from stories import MS, event

from fiberlab.diagnosis.diagnose import diagnose
from fiberlab.diagnosis.evidence import Victim
from fiberlab.diagnosis.limits import Limits
from fiberlab.spans.spans import readable
from fiberlab.spans.stalls import called
from fiberlab.states import FiberState
from fiberlab.trace.events import TraceEvent

pytestmark = pytest.mark.once


def long_step(
    ran: float = 512,
    cpu: float | None = 0.3,
    looks: tuple[str, ...] = ("time.sleep(0.5)",),
    name: str = "echo-3",
    clock: str = "perf_counter",
) -> list[TraceEvent]:
    """Tell of a step of fiber 3 that is long, while 1 is ready, 2 waits for data, 4 sleeps."""
    end = 10 + ran
    told = [event(0, "start", schema=1, clock=clock)]
    for fid in (1, 2, 3, 4, 5):
        fiber = name if fid == 3 else f"echo-{fid}"
        told.append(event(0, "spawn", fid, name=fiber, by=0, src="server.py:30"))
        told.append(event(0, "wake", fid, by=0, why="spawn", q=fid))
    for fid, wait in ((2, {"op": "RECV", "fd": 7}), (4, {"op": "WAIT", "dt": 100 * MS})):
        told.append(event(fid, "resume", fid, step=fid, q=0))
        told.append(event(fid + 1, "yield", fid, src="server.py:35", **wait))
    told.append(event(6, "resume", 5, step=5, q=0))
    told.append(event(7, "yield", 5, op="RECV", fd=9, src="server.py:36"))
    told.append(event(10, "resume", 3, step=6, q=1))
    for number, func in enumerate(looks):
        told.append(event(70 + number, "stall", 3, src="server.py:41", func=func, ran=60 * MS))
    told += [
        event(end, "yield", 3, op="RECV", fd=8, src="server.py:43",
              cpu=None if cpu is None else round(cpu * MS)),
        event(end, "resume", 1, step=7, q=0),
        event(end + 1, "exit", 1, how="return"),
        event(end + 1, "poll", timeout=0, q=0, nfd=3, ntimer=1),
        event(end + 1, "polled", n=1),
        event(end + 1, "wake", 2, by=0, why="io", q=1),
        event(end + 1, "wake", 4, by=0, why="timer", q=2, late=round((end - 104) * MS)),
        event(end + 2, "resume", 2, step=8, q=1),
        event(end + 3, "exit", 2, how="return"),
        event(end + 3, "resume", 4, step=9, q=0),
        event(end + 4, "exit", 4, how="return"),
        event(end + 4, "poll", q=0, nfd=2, ntimer=0),
        event(end + 400, "polled", n=1),
        event(end + 400, "wake", 5, by=0, why="io", q=1),
        event(end + 401, "stop", reason="stopped", dropped=0),
    ]  # fmt: skip
    return told


def test_a_blocking_call_is_told_with_line_victims_cost_and_remedy():
    assert str(diagnose(long_step())) == (
        "echo-3 ran 512 ms without yielding; at server.py:41 it was inside time.sleep(0.5) "
        "(CPU 0.3 ms). Meanwhile 3 other fibers could have run (echo-1, echo-2 and echo-4); "
        "the longest waited 512 ms. Use `yield WAIT(0.5)`."
    )


def test_a_finding_carries_its_numbers_and_spans():
    [found] = diagnose(long_step())

    assert (found.kind, found.fiber, found.name, found.src) == (
        "blocking call", 3, "echo-3", "server.py:41",
    )  # fmt: skip
    assert found.victims == (
        Victim(1, "echo-1", 512 * MS, "ready"),
        Victim(2, "echo-2", 512 * MS, "data", exact=False),
        Victim(4, "echo-4", 417 * MS, "late"),
    )
    assert found.numbers == {
        "ran": 512 * MS, "longest_wait": 512 * MS, "steps": 1, "cpu": 300_000,
    }  # fmt: skip
    assert [(span.state, span.step, span.length) for span in found.spans] == [
        (FiberState.RUNNING, 6, 512 * MS)
    ]
    assert (found.certainty, found.severity, found.blames) == ("certain", "error", True)


def test_a_fiber_whose_data_came_later_is_no_victim():
    [found] = diagnose(long_step())

    assert 5 not in [victim.fiber for victim in found.victims]


def held(wait: dict[str, object], *after: TraceEvent) -> tuple[Victim, ...]:
    """Return the victims of a step from 10 to 110 ms, in which fiber 1 waits since 1 ms."""
    told = []
    for fid in (1, 2):
        told.append(event(0, "spawn", fid, name=f"f-{fid}"))
        told.append(event(0, "wake", fid, by=0, why="spawn", q=fid))
    told += [
        event(0, "resume", 1, step=1, q=1),
        event(1, "yield", 1, src="a.py:2", **wait),
        event(10, "resume", 2, step=2, q=0),
        event(110, "yield", 2, op="WAIT"),
    ]
    [found] = diagnose([*told, *after])
    return found.victims


def test_a_poll_that_waited_brings_no_victims():
    polls = event(110, "poll", q=0), event(150, "polled", n=1)

    assert held({"op": "RECV", "fd": 7}, *polls, event(150, "wake", 1, why="io", q=1)) == ()


def test_a_fiber_whose_data_was_found_before_the_step_waited_for_all_of_it():
    # asyncio wakes a task from a callback, which stands in the queue behind the step.
    wakes = event(110, "wake", 1, why="io", q=1)

    assert held({"op": "RECV", "fd": 7}, wakes) == (Victim(1, "f-1", 100 * MS, "data", False),)


def test_a_fiber_that_is_late_already_waits_no_longer_than_the_step():
    wake = event(111, "wake", 1, by=0, why="timer", q=1, late=106 * MS)

    assert held({"op": "WAIT", "dt": 4 * MS}, wake) == (Victim(1, "f-1", 100 * MS, "late"),)


def test_a_known_arrival_shortens_the_wait_for_data():
    events = [
        each._replace(fields={**each.fields, "hidden": 201 * MS})
        if (each.ev, each.fid) == ("wake", 2) and each.why == "io"
        else each
        for each in long_step()
    ]

    [found] = diagnose(events)

    assert Victim(2, "echo-2", 200 * MS, "data") in found.victims


def test_a_computation_is_told_to_yield():
    assert str(diagnose(long_step(ran=300, cpu=290, looks=("crunch",)))) == (
        "echo-3 ran 300 ms without yielding, computing at server.py:41 (CPU 290 ms). Meanwhile 3 "
        "other fibers could have run (echo-1, echo-2 and echo-4); the longest waited 300 ms. "
        "Add `yield WAIT(0)` inside the loop."
    )


def test_a_computation_without_a_look_is_placed_between_two_lines():
    [found] = diagnose(long_step(ran=300, cpu=290, looks=()))

    assert "computing between server.py:30 and server.py:43 (CPU 290 ms)" in str(found)


@pytest.mark.parametrize("func", ["echo", "total + 1", "sock.recv(1024)", "range(1000)"])
def test_a_busy_machine_is_not_blamed_on_the_program(func):
    [found] = diagnose(long_step(ran=130, cpu=1, looks=(func,)))

    assert (found.kind, found.blames, found.certainty) == ("OS preemption", False, "unclear")
    assert str(found).startswith(
        "echo-3's step took 130 ms but used 1.0 ms of CPU, and no blocking call was seen "
        "(1 look); the machine was probably busy. Not your code."
    )


@pytest.mark.parametrize("func", ["import slow", "answer.data", "list(map(read, files))", None])
def test_whoever_sleeps_at_one_line_is_not_acquitted_for_want_of_a_name(func):
    [found] = diagnose(long_step(cpu=1, looks=(func, func)))

    assert (found.kind, found.blames) == ("blocking call", True)
    assert str(found).endswith("Use `yield from in_thread(function, ...)`.")
    # Some processor time: it may have computed on a busy machine.
    assert not diagnose(long_step(cpu=40, looks=(func, func)))[0].blames


def test_the_same_call_seen_twice_is_a_blocking_call():
    [found] = diagnose(long_step(cpu=1, looks=("sock.recv(9)", "sock.recv(9)")))

    assert (found.kind, found.blames) == ("blocking call", True)
    assert str(found).endswith("Use `yield RECV(sock)` before it.")


@pytest.mark.parametrize(
    ("cpu", "looks", "blames"),
    [(25, 1, False), (25, 2, True), (1, 1, True)],
)
def test_a_call_that_may_have_computed_is_believed_at_the_second_look(cpu, looks, blames):
    [found] = diagnose(long_step(ran=500, cpu=cpu, looks=("json.dumps(rows)",) * looks))

    assert found.blames is blames


def test_nothing_is_claimed_when_nothing_was_measured():
    [found] = diagnose(long_step(cpu=None, looks=("crunch",)))

    assert (found.kind, found.blames, found.certainty) == ("long step", False, "unclear")
    assert "(CPU not measured); what it did there was not seen." in str(found)


def test_a_sleep_is_known_without_processor_time():
    [found] = diagnose(long_step(cpu=None))

    assert (found.kind, found.certainty, found.blames) == ("blocking call", "likely", True)


def test_in_simulated_time_no_machine_is_busy():
    [found] = diagnose(long_step(cpu=None, looks=(), clock="simulated"))

    assert (found.certainty, found.blames) == ("certain", True)
    assert str(found).startswith(
        "echo-3 ran 512 ms without yielding between server.py:30 and server.py:43."
    )


@pytest.mark.parametrize(
    ("func", "remedy"),
    [
        ("time.sleep(delay)", "Use `yield WAIT(seconds)`."),
        ("time.sleep(...)", "Use `yield WAIT(seconds)`."),
        ("hooks[0](1)", "Use `yield from in_thread(hooks, ...)`."),
        ("urllib.request.urlopen(url)", "Use `yield from in_thread(urllib.request.urlopen, ...)`."),
        ("sock.sendall(data)", "Use `yield from send_all(sock, data)`."),
        ("socket.create_connection(a)", "Use `yield from connect(address)`."),
        ("x = db.query(1)  # slow", "Use `yield from in_thread(db.query, ...)`."),
    ],
)
def test_each_call_has_its_remedy(func, remedy):
    assert str(diagnose(long_step(looks=(func,)))).endswith(remedy)


@pytest.mark.parametrize(
    ("func", "name"),
    [
        ("time.sleep(1)", "time.sleep"),
        ("for i in range(9): time.sleep(i)", "time.sleep"),
        ("len(x)", None),
        ("echo", None),
        ("while (x): y", None),
        (None, None),
    ],
)
def test_the_call_in_a_line_is_found(func, name):
    assert called(func) == name


def test_short_steps_are_no_finding():
    assert diagnose(long_step(ran=30)) == ()
    assert len(diagnose(long_step(ran=30), limits=Limits(step=0.02))) == 1


def test_steps_held_at_one_line_are_one_finding():
    events = long_step()
    again = [
        event(1000, "wake", 3, by=0, why="io", q=1),
        event(1001, "resume", 3, step=10, q=0),
        event(1060, "stall", 3, src="server.py:41", func="time.sleep(0.5)", ran=59 * MS),
        event(1101, "yield", 3, op="RECV", fd=8, src="server.py:43", cpu=MS),
    ]

    [found] = diagnose([*events[:-1], *again])

    assert "1 more step held there, 612 ms in all." in str(found)
    assert (found.cost, found.numbers["steps"]) == (612 * MS, 2)


def test_only_the_worst_are_told_unless_asked():
    events = [event(0, "start", schema=1, clock="perf_counter")]
    for fid in range(1, 9):
        events += [
            event(1000 * fid, "spawn", fid, name=f"f-{fid}", src="a.py:1"),
            event(1000 * fid, "wake", fid, by=0, why="spawn", q=1),
            event(1000 * fid, "resume", fid, step=fid, q=0),
            event(1000 * fid + 60, "stall", fid, src=f"a.py:{fid}", func="sleep(1)", ran=60 * MS),
            event(1000 * fid + 60 + fid, "exit", fid, how="return", cpu=MS),
        ]

    assert [found.fiber for found in diagnose(events)] == [8, 7, 6, 5, 4]
    assert len(diagnose(events, most=None)) == 8


def test_what_is_not_the_programs_fault_comes_last():
    events = long_step(ran=600, cpu=1, looks=("echo",))
    events[-1:] = [
        event(1100, "wake", 3, by=0, why="io", q=1),
        event(1101, "resume", 3, step=10, q=0),
        event(1160, "stall", 3, src="server.py:50", func="time.sleep(0.06)", ran=59 * MS),
        event(1165, "yield", 3, op="RECV", fd=8, src="server.py:51", cpu=MS),
    ]

    assert [found.blames for found in diagnose(events)] == [True, False]


def test_names_from_outside_are_escaped():
    [found] = diagnose(long_step(name="<b>\x1b[2J\n"))

    assert str(found).startswith(r"<b>\x1b[2J\n ran 512 ms")
    assert r"&lt;b&gt;\x1b[2J\n" in found._repr_html_()
    assert "<b>\\" not in found._repr_html_()


def test_lines_of_all_findings_make_the_text():
    assert str(diagnose([])) == ""
    assert diagnose([])._repr_html_() == "<p>Nothing was found.</p>"


def test_a_step_that_never_ended_is_told():
    events = long_step()[:17]
    again = [event(8, "wake", 5, why="io", q=2), event(8, "resume", 5, step=6, q=1)]

    [found] = diagnose([*events, *again, event(2000, "output", 3, text="still here")])

    assert "ran 1.99 s and had not yielded when the trace ended" in str(found)
    assert (found.kind, found.blames) == ("long step", False)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0 µs"), (20_000, "20 µs"), (99_400, "99 µs"), (99_600, "0.1 ms"), (300_000, "0.3 ms"),
        (9_940_000, "9.9 ms"), (9_960_000, "10 ms"), (512_400_000, "512 ms"),
        (999_400_000, "999 ms"), (999_600_000, "1.00 s"), (1_310_000_000, "1.31 s"),
    ],
)  # fmt: skip
def test_lengths_of_time_are_readable(length, text):
    assert readable(length) == text
