"""Other schedulers, told in our events: their traces keep the same laws."""

from __future__ import annotations

import asyncio
import importlib
import inspect

import pytest
from stories import wakes

from fiberlab.elsewhere.asyncio_ import run
from fiberlab.elsewhere.notes import Notes
from fiberlab.lab import stories, story
from fiberlab.spans.check import check_story
from fiberlab.trace import Trace

pytestmark = pytest.mark.live


def told(main):
    """Run `main` under asyncio; return its trace, which keeps the laws."""
    trace = Trace()
    run(main, trace)
    check_story(trace)
    return trace


async def nap(times):
    for _ in range(times):
        await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    return times


# -- asyncio ----------------------------------------------------------------------------


def test_the_result_and_the_error_are_those_of_the_program():
    async def fails():
        raise ValueError("wrong")

    assert run(nap(2), Trace()) == 2
    with pytest.raises(ValueError, match="wrong"):
        run(fails(), Trace())


def test_sleeping_and_giving_a_turn_are_told_as_waits():
    async def main():
        await asyncio.gather(nap(1), nap(2))

    trace = told(main())

    assert stories(trace) == {
        "main-1": ["parked", "return"],
        "nap-2": ["sleep", "ready", "return"],
        "nap-3": ["sleep", "sleep", "ready", "return"],
    }
    assert wakes(trace, "nap-2") == [("spawn", 1), ("timer", 0), ("yield", 2)]


def test_a_wake_records_the_task_that_caused_it():
    async def main():
        event = asyncio.Event()

        async def waits():
            await event.wait()

        waiter = asyncio.create_task(waits())
        await asyncio.sleep(0.001)
        event.set()
        await waiter

    assert wakes(told(main()), "waits-2") == [("spawn", 1), ("fiber", 1)]


def test_streams_and_sockets_are_told_as_recv_and_send():
    async def echo(reader, writer):
        while data := await reader.read(100):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for word in (b"one", b"two"):
            writer.write(word)
            assert await reader.read(100) == word
        writer.close()
        await asyncio.sleep(0.02)
        server.close()

    trace = told(main())
    [name] = [name for name in stories(trace) if name.startswith("echo")]
    _, first = inspect.getsourcelines(echo)

    assert story(trace, name) == ["recv", "recv", "recv", "return"]
    assert {e.src for e in trace if e.ev == "yield" and e.op == "RECV"} >= {
        f"test_elsewhere.py:{first + 1}"
    }


def test_how_tasks_end_is_told():
    async def fails():
        raise ValueError("wrong")

    async def sleeps():
        await asyncio.sleep(100)

    async def main():
        cancelled, _left = (asyncio.create_task(sleeps()) for _ in range(2))
        await asyncio.gather(fails(), asyncio.sleep(0), return_exceptions=True)
        cancelled.cancel()

    trace = told(main())
    ends = {e.fid: (e.how, e.err) for e in trace if e.ev == "exit"}

    assert ends == {
        1: ("return", None),
        2: ("cancel", None),
        3: ("cancel", None),
        4: ("error", "ValueError: wrong"),
    } | {n: ends[n] for n in ends if n > 4}
    assert wakes(trace, "sleeps-2")[-1] == ("cancel", 1)
    assert wakes(trace, "sleeps-3")[-1] == ("cancel", 0)


def test_inside_a_running_loop_it_is_refused_as_asyncio_does():
    async def outer():
        inner = nap(1)
        with pytest.raises(RuntimeError, match="give it a thread of its own"):
            run(inner, Trace())

    asyncio.run(outer())


# -- Notes ------------------------------------------------------------------------------


def test_notes_by_hand_make_a_trace_that_keeps_the_laws():
    trace = Trace()
    notes = Notes(trace, "mine")
    notes.spawn("a", "left")
    notes.spawn("b", "right", by="a")
    notes.resume("a")
    notes.wait("a", "RECV")
    notes.resume("b")
    notes.wait("b", "WAIT", 0)
    notes.poll(0)
    notes.wake("a", "io")
    notes.polled(1)
    for key in ("b", "a"):
        notes.resume(key)
        notes.end(key, "return")
    notes.stop()

    check_story(trace)
    assert stories(trace) == {"left-1": ["recv", "return"], "right-2": ["ready", "return"]}
    assert trace.header["source"] == "mine"


def test_notes_tell_any_callable():
    events = []
    notes = Notes(events.append, "mine")
    notes.spawn("a", "left")
    notes.stop("stopped")

    assert [event.ev for event in events] == ["start", "spawn", "wake", "stop"]
    assert events[-1].reason == "stopped"


def test_an_observer_that_raises_is_removed_and_the_program_goes_on():
    def observer(event):
        raise ValueError("mine")

    with pytest.warns(RuntimeWarning, match="was removed; the program goes on") as warned:
        assert run(nap(2), observer) == 2

    assert len(warned) == 1


@pytest.mark.parametrize("source", ["asyncio_", "trio_", "gevent_", "threads"])
def test_what_is_no_new_trace_is_refused_by_each_source(source):
    if source in ("trio_", "gevent_"):
        pytest.importorskip(source[:-1])
    adapter, used = importlib.import_module(f"fiberlab.elsewhere.{source}"), Trace()
    run(nap(1), used)

    def record(observer):
        if source == "trio_":
            return adapter.run(nap, 1, trace=observer)
        with adapter.watching(observer):
            return None

    for observer, error, words in (
        (None, TypeError, "trace= needs something to call with each event, .* got None"),
        (Trace, TypeError, r"got <class .*Trace'>: did you mean Trace\(\)\?"),
        (used, ValueError, "already holds a run"),
    ):
        with pytest.raises(error, match=words):
            record(observer)
