"""asyncio programs that stall: which step it was, at which line, and what others paid."""

from __future__ import annotations

import asyncio
import functools
import signal
import socket
import sys
import threading
import time

import pytest

from fiberlab.diagnosis.diagnose import diagnose
from fiberlab.diagnosis.limits import Limits
from fiberlab.elsewhere.asyncio_ import run
from fiberlab.recording import StallRecorder
from fiberlab.spans.check import check_story
from fiberlab.trace import Trace

pytestmark = pytest.mark.live

HERE = "test_asyncio_stalls.py"


def recorded(main, stall_after=0.01):
    """Run `main` under asyncio; return its trace, which keeps the laws."""
    trace = Trace(cpu=True, stall_after=stall_after)
    run(main, trace)
    check_story(trace)
    return trace


def line_of(function, offset=1):
    return f"{HERE}:{function.__code__.co_firstlineno + offset}"


async def naps():
    for _ in range(10):
        await asyncio.sleep(0.01)


def test_a_task_that_blocks_is_named_with_its_line_and_who_paid():
    async def handle():
        time.sleep(0.15)

    async def main():
        others = [asyncio.create_task(naps()) for _ in range(6)]
        await asyncio.sleep(0.02)
        await asyncio.create_task(handle())
        await asyncio.gather(*others)

    [worst, *_] = diagnose(recorded(main()))

    assert (worst.kind, worst.name, worst.src) == ("blocking call", "handle-8", line_of(handle))
    assert {f"naps-{n}" for n in range(2, 8)} <= {victim.name for victim in worst.victims}
    assert worst.numbers["cpu"] < worst.numbers["ran"] / 2


@pytest.mark.parametrize("observer", [Trace, StallRecorder])
def test_a_task_in_python_is_a_task_as_one_in_c(observer):
    """There are such where a loop is made to run inside a step of another one."""
    kind = asyncio.tasks._PyTask  # type: ignore[attr-defined]

    async def handle():
        time.sleep(0.15)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coroutine, **more: kind(coroutine, loop=loop, **more))
        other, left = asyncio.create_task(naps()), asyncio.create_task(asyncio.sleep(10))
        await asyncio.sleep(0.02)
        left.cancel()
        await asyncio.create_task(handle())
        await other

    observed = observer()
    run(main(), observed)
    trace = observed if isinstance(observed, Trace) else observed.trace()
    check_story(trace)
    [worst, *_] = diagnose(trace)

    assert (worst.name.split(" ")[0].rstrip("-0123456789"), worst.src) == (
        "handle",
        line_of(handle),
    )
    assert "naps" in str([victim.name for victim in worst.victims])


def test_a_callback_has_a_row_of_its_own_named_by_function_and_line():
    def on_tick():
        time.sleep(0.15)

    async def main():
        asyncio.get_running_loop().call_later(0.01, on_tick)
        await naps()

    [worst, *_] = diagnose(recorded(main()))

    assert (worst.name, worst.src) == (f"on_tick ({line_of(on_tick, 0)})", line_of(on_tick))
    assert worst.kind == "blocking call"


def test_a_callback_in_c_is_seen_at_the_line_that_gave_it_to_the_loop():
    async def main():
        asyncio.get_running_loop().call_later(0.01, time.sleep, 0.15)
        await naps()

    [worst, *_] = diagnose(recorded(main()))

    assert (worst.name, worst.src) == (f"time.sleep ({line_of(main)})", line_of(main))
    assert f"at {line_of(main)} it was inside time.sleep(0.15)" in str(worst)


def test_what_blocks_between_two_steps_is_a_step_of_the_row_callbacks():
    class Late:
        def __del__(self):
            time.sleep(0.15)

    async def main():
        # The loop keeps the argument until it takes the next callback from its queue.
        asyncio.get_running_loop().call_soon(lambda late: None, Late())
        await naps()

    [worst, *_] = diagnose(recorded(main()))

    assert (worst.name, worst.src) == ("callbacks", line_of(Late.__del__))


def test_ten_short_callbacks_that_hold_a_turn_together_are_found_as_such():
    # As in python/cpython#101946.
    def on_tick():
        time.sleep(0.015)

    async def main():
        other = asyncio.create_task(naps())
        await asyncio.sleep(0.02)
        for _ in range(10):
            asyncio.get_running_loop().call_soon(on_tick)
        await other

    # A busy machine makes single steps long.
    found = diagnose(recorded(main()), most=None, limits=Limits(step=10))
    [turn] = [finding for finding in found if finding.kind == "slow turn"]

    assert turn.blames
    assert turn.numbers["steps"] >= 10
    assert f"Most of it was on_tick ({line_of(on_tick, 0)}), seen at {line_of(on_tick)}" in str(
        turn
    )


@pytest.mark.parametrize("cpu", [True, False])
def test_the_advice_is_asyncios_and_never_recommends_what_was_on(cpu):
    async def main():
        time.sleep(0.06)
        await asyncio.sleep(0)
        sum(range(4_000_000))

    trace = Trace(cpu=cpu, stall_after=0.01)
    run(main(), trace)
    told = str(diagnose(trace, limits=Limits(step=0.02)))

    assert "`await asyncio.sleep(0.06)`" in told
    assert not [word for word in ("WAIT", "RECV", "fiber", "yield ") if word in told]
    assert ("cpu=True" in told) is (not cpu)


def test_a_lock_that_is_not_free_is_a_blocking_call():
    lock = threading.Lock()

    async def main():
        lock.acquire()
        threading.Timer(0.15, lock.release).start()
        with lock:
            pass

    [worst, *_] = diagnose(recorded(main()))

    assert (worst.kind, worst.src) == ("blocking call", line_of(main, 3))
    assert str(worst).endswith("Use `await asyncio.to_thread(lock.acquire, ...)`.")


def on_event(*_):
    time.sleep(0.06)


class Event:
    def __call__(self):
        on_event()


async def by_a_signal(loop):
    loop.add_signal_handler(signal.SIGUSR1, on_event)
    signal.raise_signal(signal.SIGUSR1)


async def by_a_reader(loop):
    def on_data():
        loop.remove_reader(here)
        on_event()

    here, there = socket.socketpair()
    loop.add_reader(here, on_data)
    there.send(b"x")
    await asyncio.sleep(0.02)
    here.close()
    there.close()


async def by_a_future(loop):
    future = loop.create_future()
    future.add_done_callback(on_event)
    future.set_result(None)


async def by_the_end_of_a_task(loop):
    task = asyncio.create_task(asyncio.sleep(0))
    task.add_done_callback(functools.partial(on_event, task))
    await task


async def by_another_thread(loop):
    await asyncio.to_thread(loop.call_soon_threadsafe, on_event)


async def by_an_object(loop):
    loop.call_soon(Event())


async def by_an_exception_handler(loop):
    loop.set_exception_handler(on_event)
    loop.call_soon(lambda: 1 / 0)


async def by_a_datagram(loop):
    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            on_event()

    transport, _ = await loop.create_datagram_endpoint(Protocol, ("127.0.0.1", 0))
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x", transport.get_extra_info("sockname"))
    await asyncio.sleep(0.02)
    transport.close()


@pytest.mark.parametrize(
    "caused",
    [
        pytest.param(by_a_signal, marks=pytest.mark.posix),
        *(by_a_reader, by_a_future, by_the_end_of_a_task, by_another_thread),
        *(by_an_object, by_an_exception_handler, by_a_datagram),
    ],
)
def test_whatever_calls_a_callback_the_line_is_that_of_what_blocks(caused):
    async def main():
        await caused(asyncio.get_running_loop())
        await naps()

    [worst, *_] = [finding for finding in diagnose(recorded(main())) if finding.blames]

    assert (worst.kind, worst.src) == ("blocking call", line_of(on_event))


async def by_streams(server, answer):
    async def serve(reader, writer):
        answer.set_result(await reader.read(1))
        writer.close()

    return await asyncio.start_server(serve, sock=server)


async def by_a_socket(server, answer):
    async def serve():
        sock, _ = await loop.sock_accept(server)
        with sock:
            answer.set_result(await loop.sock_recv(sock, 1))

    loop = asyncio.get_running_loop()
    server.setblocking(False)
    return asyncio.create_task(serve())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells when data came")
@pytest.mark.parametrize("serving", [by_streams, by_a_socket])
@pytest.mark.parametrize("asked", [True, False])
def test_data_that_lay_there_while_a_task_blocked_is_told_as_hidden(serving, asked):
    async def main():
        answer = asyncio.get_running_loop().create_future()
        with socket.create_server(("127.0.0.1", 0)) as server:
            served = await serving(server, answer)
            with socket.create_connection(server.getsockname()) as client:
                await asyncio.sleep(0.05)  # so that it waits for data
                client.sendall(b"x")
                time.sleep(0.3)
                await answer
                await asyncio.sleep(0.001)  # so that it closes
            if serving is by_streams:
                served.close()
                await served.wait_closed()

    trace = Trace(hidden=asked)
    run(main(), trace)
    check_story(trace)
    told = [each.hidden for each in trace if each.ev == "wake" and each.hidden]

    assert len(told) == asked
    assert all(0.25e9 <= each <= 3e9 for each in told)
