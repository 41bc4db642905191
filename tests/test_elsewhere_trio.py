"""trio, recorded in our events: what its tasks did, at which line, and how they ended."""

from __future__ import annotations

import inspect
import time

import pytest
from stories import wakes

from fiberlab.diagnosis import diagnose
from fiberlab.lab import stories, story
from fiberlab.spans.build import build_spans
from fiberlab.spans.check import check_story
from fiberlab.trace import Trace

trio = pytest.importorskip("trio")

from fiberlab.elsewhere.trio_ import Watch, run  # noqa: E402

# trio needs epoll on Linux, which `make elsewhere` hides; on Windows it needs none.
pytestmark = [pytest.mark.live, pytest.mark.posix]


def recorded(main, *args, stall_after=5.0, **options):
    """Run `main` under trio; return its trace, which keeps the laws.

    On a busy machine trio's own work would have a row too, if it were not looked for so late.
    """
    trace = Trace(cpu=True, stall_after=stall_after)
    run(main, *args, trace=trace, **options)
    check_story(trace)
    return trace


async def nap(times):
    for _ in range(times):
        await trio.sleep(0.001)
    await trio.sleep(0)


def test_the_result_and_the_error_are_those_of_the_program():
    async def doubles(number):
        return 2 * number

    async def fails():
        raise ValueError("wrong")

    trace = Trace()
    assert run(doubles, 21, trace=Trace()) == 42
    with pytest.raises(ValueError, match="wrong"):
        run(fails, trace=trace)
    assert list(trace)[-1].reason == "ValueError"


def test_what_trio_refuses_is_refused_and_records_no_task():
    async def main():
        pass

    trace, coroutine = Trace(), main()
    with pytest.raises(TypeError, match="expecting an async function"):
        run(coroutine, trace=trace)
    coroutine.close()

    # On a busy machine trio's own work may take so long that it gets a row.
    assert {event.name for event in trace if event.ev == "spawn"} <= {"trio's own work"}


def test_sleeping_and_giving_a_turn_are_recorded_as_waits():
    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nap, 1)
            nursery.start_soon(nap, 2)

    trace = recorded(main)

    assert stories(trace) == {
        "main-1": ["parked", "return"],
        "nap-2": ["sleep", "ready", "return"],
        "nap-3": ["sleep", "sleep", "ready", "return"],
    }
    assert wakes(trace, "nap-2") == [("spawn", 1), ("timer", 0), ("yield", 2)]
    assert {e.dt for e in trace if e.ev == "yield" and e.dt} == {1_000_000}


def test_a_wake_records_the_task_that_caused_it():
    async def waits(event):
        await event.wait()

    async def main():
        event = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits, event)
            await trio.sleep(0.001)
            event.set()

    assert wakes(recorded(main), "waits-2") == [("spawn", 1), ("fiber", 1)]


async def echo(stream):
    async for data in stream:
        await stream.send_all(data)


async def converse():
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        stream = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
        for word in (b"one", b"two"):
            await stream.send_all(word)
            assert await stream.receive_some() == word
        await stream.aclose()
        await trio.sleep(0.02)
        nursery.cancel_scope.cancel()


def test_a_server_is_recorded_with_its_handlers_name_its_sockets_and_its_line():
    trace = recorded(converse)
    [name] = [name for name in stories(trace) if name.startswith("echo")]
    _, first = inspect.getsourcelines(echo)
    [life] = [life for life in build_spans(trace).lives if life.name == name]
    receives = [e for e in trace if e.ev == "yield" and e.op == "RECV" and e.fid == life.id]

    assert [state for state in story(trace, name) if state != "ready"][-1] == "return"
    assert {e.src for e in receives} == {f"test_elsewhere_trio.py:{first + 1}"}
    assert {wake[0] for wake in wakes(trace, name)} == {"spawn", "io", "yield"}


def test_how_tasks_end_is_recorded():
    async def fails():
        raise ValueError("wrong")

    async def sleeps():
        await trio.sleep(100)

    async def catches():
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails)
        except BaseException:
            pass

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sleeps)
            await catches()
            nursery.cancel_scope.cancel()

    ends = {
        e.fid: (e.how, (e.err or "").partition(":")[0]) for e in recorded(main) if e.ev == "exit"
    }

    assert ends == {1: ("return", ""), 2: ("cancel", "Cancelled"), 3: ("error", "ValueError")}


def test_the_line_that_blocks_is_found_with_those_that_paid():
    async def blocks():
        await trio.sleep(0.005)
        time.sleep(0.08)

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nap, 20)
            nursery.start_soon(blocks)

    finding = diagnose(recorded(main, stall_after=0.05))[0]

    assert finding.src == f"test_elsewhere_trio.py:{blocks.__code__.co_firstlineno + 2}"
    assert "it was inside time.sleep(0.08)" in finding.text
    assert finding.name.startswith("blocks")
    assert [victim.name.partition("-")[0] for victim in finding.victims] == ["nap"]


def test_a_call_from_another_thread_is_a_row_of_its_own():
    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nap, 10)
            trio.lowlevel.current_trio_token().run_sync_soon(time.sleep, 0.08)

    trace = recorded(main)
    finding = diagnose(trace)[0]

    assert finding.name.startswith("run_sync_soon")
    assert finding.numbers["ran"] >= 80_000_000
    assert finding.victims


def test_a_simulated_clock_is_passed_on():
    began = time.monotonic()
    recorded(trio.sleep, 1000, clock=trio.testing.MockClock(autojump_threshold=0))

    assert time.monotonic() - began < 100


def test_a_watch_that_is_added_while_trio_runs_meets_the_tasks_at_their_next_step():
    async def main():
        trace = Trace()
        watch = Watch(trace)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nap, 3)
            await trio.sleep(0)
            trio.lowlevel.add_instrument(watch)
            await trio.sleep(0.02)
            trio.lowlevel.remove_instrument(watch)
            watch.stop("done")
            await trio.sleep(0.001)
        return trace

    trace = trio.run(main)

    assert {name.rpartition("-")[0] for name in stories(trace)} == {"main", "nap"}
    assert list(trace)[-1].ev == "stop"
