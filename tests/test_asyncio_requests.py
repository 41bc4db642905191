"""Requests of asyncio by a context variable, and the bill of each."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar, copy_context

import pytest

from fiberlab import StallRecorder, Trace, bill
from fiberlab.elsewhere import record, run, watch, watching
from fiberlab.spans.check import check_story

pytestmark = pytest.mark.live

REQUEST_ID: ContextVar[str | None] = ContextVar("request id", default="none is set")


def billed(main):
    """Run `main()`; return its bill, by the name of each request."""
    trace = Trace(cpu=True)
    run(main(), trace, request=REQUEST_ID)
    check_story(trace)
    assert [event.t for event in trace] == sorted(event.t for event in trace)
    made = bill(trace)
    assert len({each.name for each in made.requests}) == len(made.requests)
    assert all(sum(each.parts.values()) == each.latency for each in made.requests)
    return {each.name: each for each in made.requests}, made.left_out


def test_each_handler_of_a_server_is_billed_by_the_id_that_it_sets():
    async def handle(reader, writer):
        REQUEST_ID.set((await reader.readline()).decode().strip())
        if REQUEST_ID.get() == "slow":
            time.sleep(0.1)
        await asyncio.sleep(0.02)
        writer.close()

    async def ask(port, name):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(name + b"\n")
        await reader.read()
        writer.close()

    async def main():
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        quick = [asyncio.create_task(ask(port, b"quick %d" % n)) for n in range(3)]
        await asyncio.gather(*quick, ask(port, b"slow"))
        await asyncio.sleep(0.05)
        server.close()

    requests, left_out = billed(main)

    assert (sorted(requests), left_out) == (["quick 0", "quick 1", "quick 2", "slow"], 0)
    assert requests["slow"].computing >= 0.1e9
    assert max(requests[f"quick {n}"].computing for n in range(3)) < 0.1e9


def test_a_request_ends_where_the_variable_is_reset_and_the_next_one_begins():
    async def handler():
        for each in ("one", "two"):
            token = REQUEST_ID.set(each)
            await asyncio.sleep(0.02)
            REQUEST_ID.reset(token)
            await asyncio.sleep(0.2)
        REQUEST_ID.set("three")
        await asyncio.sleep(0.02)
        REQUEST_ID.set("".join(["th", "ree"]))  # the same again begins none
        REQUEST_ID.set("four")
        await asyncio.sleep(0.02)

    async def main():
        await asyncio.create_task(handler())

    requests, left_out = billed(main)

    assert (list(requests), left_out) == (["one", "two", "three", "four"], 0)
    assert all(0.02e9 <= each.latency < 0.2e9 for each in requests.values())
    assert requests["three"].end <= requests["four"].start


def test_tasks_that_inherit_the_value_begin_no_request_of_their_own():
    async def child(depth, own=None):
        if own is not None:
            await asyncio.sleep(0)
            REQUEST_ID.set(own)
        await asyncio.sleep(0.01)
        if depth:
            await asyncio.create_task(child(depth - 1))

    async def handler():
        REQUEST_ID.set("parent")
        left = asyncio.create_task(child(1))
        await asyncio.gather(child(2), asyncio.create_task(child(0, own="own")))
        return left

    async def main():
        left = await asyncio.create_task(handler())
        await left  # it may live longer than its request

    requests, left_out = billed(main)

    assert (sorted(requests), left_out) == (["own", "parent"], 0)


def test_a_task_that_starts_with_a_value_is_billed_from_its_start():
    async def work():
        await asyncio.sleep(0.02)

    async def main():
        loop, context = asyncio.get_running_loop(), copy_context()
        context.run(REQUEST_ID.set, "given")
        made = []
        loop.call_soon(lambda: made.append(loop.create_task(work())), context=context)
        await asyncio.sleep(0.01)
        await made[0]

    requests, left_out = billed(main)

    assert (list(requests), left_out) == (["given"], 0)
    assert requests["given"].waiting >= 0.015e9


@pytest.mark.parametrize("value", [None, "none is set"])
def test_no_value_is_no_request(value):
    async def main():
        if value is None:
            REQUEST_ID.set(None)
        await asyncio.sleep(0.01)

    assert list(billed(main)[0]) == ["main-1"]  # it is billed as a task, as without a variable


def test_in_a_running_loop_too():
    async def handler(name):
        REQUEST_ID.set(name)
        await asyncio.sleep(0)

    async def main():
        first = await record(handler("recorded"), request=REQUEST_ID)
        watched = watch(request=REQUEST_ID)
        await asyncio.create_task(handler("watched"))
        return first, watched.stop()

    traces = asyncio.run(main())

    names = [[each.name for each in bill(trace).requests] for trace in traces]
    assert names == [["recorded"], ["watched"]]


def test_what_is_no_context_variable_is_refused():
    with pytest.raises(TypeError, match="request= needs a ContextVar, got 'id'"):
        run(asyncio.sleep(0), Trace(), request="id")
    with pytest.raises(ValueError, match="request= needs a Trace: a StallRecorder keeps no req"):
        watching(StallRecorder(), request=REQUEST_ID)
