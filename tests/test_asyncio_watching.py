"""Recording a part of an asyncio program: in a with block, a notebook, a test; without a mark."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from asyncio import events

import pytest

from fiberlab import assert_no_stall, build_spans, diagnose, elsewhere
from fiberlab.elsewhere import run, watch, watching
from fiberlab.elsewhere.notes import Notes
from fiberlab.spans.check import check_story
from fiberlab.trace import Trace

pytestmark = pytest.mark.live


async def blocks():
    await asyncio.sleep(0.001)
    time.sleep(0.06)


def names(trace):
    check_story(trace)
    return [event.fields["name"] for event in trace if event.ev == "spawn"]


def found(trace):
    return [(each.kind, each.src) for each in diagnose(trace) if each.blames]


BLOCKED = [("blocking call", f"test_asyncio_watching.py:{blocks.__code__.co_firstlineno + 2}")]


def test_loops_that_run_inside_a_with_block_are_recorded_one_after_the_other():
    trace = Trace(cpu=True, stall_after=0.01)
    with watching(trace):
        asyncio.run(blocks())
        asyncio.run(blocks())

    assert names(trace)[0] == "blocks-1"
    assert "blocks-2" in names(trace)
    assert found(trace) == BLOCKED


def test_in_a_notebook_record_is_awaited_and_gives_the_same_trace():
    async def cell():
        return await elsewhere.record(blocks(), Trace(cpu=True, stall_after=0.01))

    assert found(asyncio.run(cell())) == BLOCKED


def test_watch_records_the_loop_that_runs_from_one_cell_to_another():
    async def cells():
        watched = watch(Trace(cpu=True, stall_after=0.01))
        await asyncio.create_task(blocks())
        return watched.stop()

    trace = asyncio.run(cells())

    assert found(trace) == BLOCKED
    assert "blocks-1" in names(trace)


def test_tasks_that_run_already_are_there_with_their_names_and_waits():
    async def asleep():
        await asyncio.sleep(20)

    async def fed(queue):
        await queue.get()

    async def ready():
        await asyncio.sleep(0)

    async def cell():
        queue = asyncio.Queue()
        tasks = [asyncio.create_task(asleep(), name="sleeper"), asyncio.create_task(fed(queue))]
        await asyncio.sleep(0.001)
        tasks.append(asyncio.create_task(ready()))
        watched = watch(Trace(cpu=True, stall_after=0.01))
        time.sleep(0.06)
        queue.put_nowait("food")
        await asyncio.gather(*tasks[1:])
        trace = watched.stop()
        tasks[0].cancel()
        return trace, [task.get_name() for task in tasks]

    trace, [sleeper, eater, last] = asyncio.run(cell())
    spans = build_spans(trace)
    here = f"test_asyncio_watching.py:{cell.__code__.co_firstlineno + 6}"
    states = {
        life.name: [spans[i].state.value for i in spans.indexes(life.id)] for life in spans.lives
    }

    check_story(trace)
    assert states[sleeper] == ["ready", "running", "sleep"]
    assert states[f"fed ({eater})"] == ["ready", "running", "parked", "ready", "running"]
    assert states[f"ready ({last})"] == ["ready", "running", "ready", "running"]
    assert found(trace) == [("blocking call", here)]
    assert diagnose(trace)[0].name.startswith("cell (Task-")


def test_a_task_has_the_name_that_it_was_given_however_it_was_made():
    async def works():
        await asyncio.sleep(0)

    async def wraps(name):
        """Make a task, and have a `name` that is not the task's."""
        await asyncio.create_task(works())

    async def main():
        loop = asyncio.get_running_loop()
        await asyncio.create_task(works(), name="given")
        await loop.create_task(works(), name="to the loop")
        await asyncio.create_task(works(), name=7)
        if hasattr(asyncio, "TaskGroup"):
            async with asyncio.TaskGroup() as group:
                group.create_task(works(), name="in a group")
        await wraps("not a task's")

    trace = Trace()
    run(main(), trace)
    told = [re.sub(r"-\d+$", "", name) for name in names(trace)]
    in_a_group = ["in a group"] * hasattr(asyncio, "TaskGroup")

    assert told == ["main", "given", "to the loop", "7", *in_a_group, "works"]


def test_a_function_can_be_decorated_also_an_async_def():
    traces = Trace(), Trace()

    @watching(traces[0])
    def plain():
        return asyncio.run(asyncio.sleep(0.001, "slept"))

    @watching(traces[1])
    async def part():
        return await asyncio.create_task(asyncio.sleep(0.001, "slept"))

    assert (plain(), asyncio.run(part())) == ("slept", "slept")
    assert ["sleep-1" in names(trace) for trace in traces] == [True, True]


def test_what_cannot_be_decorated_is_refused_and_not_passed_over():
    async def generates():
        yield 1

    with pytest.raises(TypeError, match=r"@watching\(trace\) decorates a function .*generates"):
        watching(Trace())(generates)
    with pytest.raises(TypeError, match=r"@watching\(trace\) decorates .* needs its trace"):
        watching(generates)()


def test_a_trace_that_holds_a_run_is_refused():
    trace = Trace()
    run(asyncio.sleep(0), trace)

    with pytest.raises(ValueError, match="already holds a run; give each run its own Trace"):
        run(asyncio.sleep(0), trace)


@pytest.fixture
def no_stall():
    """Fail the test that uses it if a step of asyncio held the loop; see docs/elsewhere.md."""
    trace = Trace(cpu=True, stall_after=0.025)
    with watching(trace):
        yield trace
    assert_no_stall(trace, 50)


def test_a_fixture_watches_the_tests_that_use_it(no_stall):
    asyncio.run(asyncio.sleep(0.001))

    assert "sleep-1" in [event.fields["name"] for event in no_stall if event.ev == "spawn"]


def test_assert_no_stall_fails_with_the_sentence():
    with pytest.raises(AssertionError, match=r"blocks-1 .*it was inside time\.sleep\(0\.06\)"):
        assert_no_stall(lambda trace: run(blocks(), trace), 50)


def test_afterwards_everything_is_as_it_was():
    async def parts():
        loop = asyncio.get_running_loop()
        before = {**vars(loop)}, {**vars(loop._selector)}
        with watching(Trace()):
            await asyncio.sleep(0)
            changed = set(vars(loop)) - set(before[0])
        return changed, before == ({**vars(loop)}, {**vars(loop._selector)})

    replaced = events.Handle._run, events._set_running_loop, asyncio._set_running_loop
    threads = threading.active_count()

    assert asyncio.run(parts()) == ({"_call_soon", "call_at"}, True)
    assert replaced == (events.Handle._run, events._set_running_loop, asyncio._set_running_loop)
    assert threading.active_count() == threads


def test_a_loop_that_another_thread_runs_at_the_same_time_is_told_to_be_unseen():
    trace = Trace()
    with watching(trace) as watched:
        thread = threading.Thread(target=asyncio.run, args=(asyncio.sleep(0.01),))
        thread.start()
        run_here = asyncio.run(asyncio.sleep(0.01, "here"))
        thread.join()
        unseen = watched.unseen

    assert run_here == "here"
    assert unseen == ["1 loop was not recorded: another thread ran a loop at that time"]


def test_a_protocol_has_a_row_named_by_its_class():
    class Echo(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            time.sleep(0.06)
            self.transport.write(data)

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        await reader.read(1)
        writer.close()
        server.close()

    trace = Trace(cpu=True, stall_after=0.01)
    run(main(), trace)
    line = Echo.data_received.__code__.co_firstlineno
    [worst] = diagnose(trace)

    assert worst.name == f"Echo.data_received (test_asyncio_watching.py:{line})"
    assert worst.src == f"test_asyncio_watching.py:{line + 1}"


def test_two_recordings_that_end_in_the_order_they_began_leave_no_mark():
    replaced = events.Handle._run, events._set_running_loop
    first, second = watching(Trace()).start(), watching(Trace()).start()
    asyncio.run(asyncio.sleep(0.001))
    ended = first.stop()
    asyncio.run(asyncio.sleep(0.001))
    whole = second.stop()
    asyncio.run(asyncio.sleep(0.001))

    assert [name for name in names(ended) if name.startswith("sleep")] == ["sleep-1"]
    assert [name for name in names(whole) if name.startswith("sleep")] == ["sleep-1", "sleep-2"]
    events.Handle._run, events._set_running_loop = replaced


@pytest.mark.parametrize(
    "broken", ["spawn", "wake", "resume", "wait", "end", "poll", "polled", "rest", "work", "stop"]
)
def test_an_error_of_the_recorder_never_reaches_the_program(monkeypatch, broken):
    def fails(*_args, **_options):
        raise ZeroDivisionError("in the recorder")

    async def echo(reader, writer):
        writer.write(await reader.read(1))
        writer.close()

    async def main():
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        monkeypatch.setattr(Notes, broken, fails)
        done = []
        for n in range(3):
            asyncio.get_running_loop().call_soon(done.append, n)
            await asyncio.create_task(asyncio.sleep(0.001))
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x")
        done.append(await reader.read(1))
        writer.close()
        server.close()
        return done

    trace, before = Trace(cpu=True), set(threading.enumerate())
    with pytest.warns(RuntimeWarning) as warned:
        result = run(main(), trace)

    assert result == [0, 1, 2, b"x"]
    assert [t.name for t in threading.enumerate() if t not in before] == []
    assert [str(each.message) for each in warned] == [
        "fiberlab's recorder raised ZeroDivisionError('in the recorder') and was taken out; "
        "the program goes on, and its trace ends here"
    ]
    assert events.Handle._run.__module__ == "asyncio.events"
    check_story(trace)


@pytest.mark.parametrize("within", ["wake", "resume", "wait", "poll", "polled"])
def test_an_interrupt_within_the_recorder_is_the_programs_and_the_trace_stays_whole(
    monkeypatch, within
):
    recorded = getattr(Notes, within)

    def interrupted(*args, **options):
        recorded(*args, **options)
        raise KeyboardInterrupt

    async def main():
        tasks = [asyncio.create_task(asyncio.sleep(0.001)) for _ in range(3)]
        await asyncio.sleep(0)  # each has begun
        monkeypatch.setattr(Notes, within, interrupted)
        await asyncio.gather(*tasks)

    trace = Trace(cpu=True)
    with pytest.raises(KeyboardInterrupt):
        run(main(), trace)

    check_story(trace)
    assert [event.reason for event in trace if event.ev == "stop"] == ["KeyboardInterrupt"]
    assert events.Handle._run.__module__ == "asyncio.events"
