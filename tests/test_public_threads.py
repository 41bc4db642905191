"""What people asked for in public threads about stalls; the inputs are ours.

python/cpython#101946 (ten short callbacks make a long turn) is in test_asyncio_stalls.
"""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from fiberlab.diagnosis.diagnose import diagnose
from fiberlab.elsewhere.asyncio_ import run
from fiberlab.trace import Trace

pytestmark = pytest.mark.live

HERE = "test_public_threads.py"


def lookup(name):
    time.sleep(0.06)  # a driver that blocks
    return name.upper()


async def route(reader, writer):
    name = (await reader.readline()).decode()
    writer.write(lookup(name).encode())
    writer.close()


async def served(*handlers):
    """Serve each handler to a client of its own, which asks in a thread."""
    for handler in handlers:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"name\n")
        await reader.read()
        writer.close()
        server.close()


def test_uvloop_656_not_the_server_is_named_but_the_line_of_the_route():
    # MagicStack/uvloop#656: the log of a slow callback names the server's own function.
    trace = Trace(cpu=True, stall_after=0.02)
    run(served(route), trace)
    [worst, *_] = diagnose(trace)

    assert worst.name.startswith("route-")
    assert worst.src == f"{HERE}:{lookup.__code__.co_firstlineno + 1}"


def test_kibana_292478_the_culprit_is_named_when_it_has_long_gone():
    # elastic/kibana#292478: a probe tells that the loop was late, when the culprit has ended.
    async def main():
        await asyncio.create_task(served(route))
        await asyncio.sleep(0.1)

    trace = Trace(cpu=True, stall_after=0.02)
    run(main(), trace)
    [worst, *_] = diagnose(trace)
    [ended] = [event.t for event in trace if event.ev == "exit" and event.fid == worst.fiber]

    assert worst.kind == "blocking call"
    assert list(trace)[-1].t - ended > 50e6


@pytest.mark.posix  # trio asks for epoll
def test_trio_672_busy_waiting_by_sleep_0_is_found_and_the_advice_is_trios():
    # python-trio/trio#672: a task that polls with sleep(0) keeps a processor busy.
    trio = pytest.importorskip("trio")
    from fiberlab.elsewhere import trio_

    ready = threading.Event()

    async def asks():
        while not ready.is_set():
            await trio.sleep(0)

    async def main():
        threading.Timer(0.1, ready.set).start()
        await asks()

    trace = Trace()
    trio_.run(main, trace=trace)
    [busy] = [finding for finding in diagnose(trace) if finding.kind == "busy waiting"]

    assert busy.src == f"{HERE}:{asks.__code__.co_firstlineno + 2}"
    assert "are after sleep(0))" in str(busy)
    assert str(busy).endswith("a memory channel or `await trio.sleep(0.01)`.")


def test_busy_waiting_by_sleep_0_is_found_in_asyncio_too():
    async def asks(until):
        while time.monotonic() < until:
            await asyncio.sleep(0)

    trace = Trace(cpu=True)
    run(asks(time.monotonic() + 0.1), trace)
    [busy] = [finding for finding in diagnose(trace) if finding.kind == "busy waiting"]

    assert busy.src == f"{HERE}:{asks.__code__.co_firstlineno + 2}"
    assert "`await asyncio.sleep(0.01)`" in str(busy)
