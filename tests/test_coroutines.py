"""as_fiber: an async def on this scheduler."""

from __future__ import annotations

import asyncio
import gc
import inspect
import traceback
import types
import warnings

import pytest

from fiberlab.coroutines import as_fiber
from fiberlab.errors import FiberCancelled, FiberTimeout, InvalidYield
from fiberlab.fiber import join, start
from fiberlab.scheduler import Scheduler
from fiberlab.sockets import in_thread, recv_exactly, recv_until, send_all
from fiberlab.spans.build import build_spans
from fiberlab.spans.check import check_story
from fiberlab.trace import Trace
from fiberlab.waits import RECV, SEND, WAIT


def line_of(function, text):
    """Return the name of this file with the number of the line of `function` that holds `text`."""
    lines, first = inspect.getsourcelines(function)
    [number] = [first + n for n, line in enumerate(lines) if text in line]
    return f"test_coroutines.py:{number}"


async def doubled(number, seconds=1):
    await WAIT(seconds)
    return 2 * number


# -- What it returns, and what it raises ------------------------------------------------


def test_the_result_is_what_the_coroutine_returns(scheduler, clock):
    async def main():
        return await doubled(4) + await doubled(5)

    fiber = scheduler.add(as_fiber(main()))
    scheduler.run()

    assert (fiber.result, clock.now(), fiber.name) == (18, 2.0, "main-1")


def test_an_async_def_and_a_generator_serve_the_same(scheduler, network, events):
    async def as_async(sock):
        await RECV(sock)
        while data := sock.recv(100):
            await SEND(sock)
            sock.send(data)
            await RECV(sock)

    def as_generator(sock):
        yield RECV(sock)
        while data := sock.recv(100):
            yield SEND(sock)
            sock.send(data)
            yield RECV(sock)

    def client(sock):
        yield from send_all(sock, b"hello")
        answer = yield from recv_exactly(sock, 5)
        sock.close()
        return answer

    answers = []
    for fiber_of in (lambda sock: as_fiber(as_async(sock)), as_generator):
        left, right = network.socketpair()
        scheduler.add(fiber_of(left))
        answers.append(scheduler.add(client(right)))
    scheduler.run()
    yielded = [[e.op for e in events if e.ev == "yield" and e.fid == n] for n in (1, 3)]

    assert [each.result for each in answers] == [b"hello", b"hello"]
    assert yielded[0] == yielded[1] == ["RECV", "SEND", "RECV"]


def test_an_exception_keeps_the_lines_of_the_coroutines(scheduler):
    async def inner():
        await WAIT(0)
        raise ValueError("wrong")

    async def outer():
        await inner()

    fiber = scheduler.add(as_fiber(outer()))
    scheduler.run()
    own = [each for each in traceback.extract_tb(fiber.error.__traceback__) if "tests" in each[0]]

    assert repr(fiber.error) == "ValueError('wrong')"
    assert [(each.name, each.line) for each in own] == [
        ("outer", "await inner()"),
        ("inner", 'raise ValueError("wrong")'),
    ]


# -- What is thrown at an await ---------------------------------------------------------


def test_a_timeout_is_raised_at_the_await(scheduler, network, log):
    async def impatient(sock):
        try:
            await RECV(sock, timeout=3)
        except FiberTimeout:
            await WAIT(1)
            return "too late"

    left, _right = network.socketpair()
    fiber = scheduler.add(as_fiber(impatient(left)))
    scheduler.run()

    assert (fiber.result, network.clock.now()) == ("too late", 4.0)


def sleeps(log):
    async def sleeper():
        try:
            await doubled(1, seconds=100)
        except BaseException as error:
            log.append(type(error))
            raise
        finally:
            log.append("finally")

    return as_fiber(sleeper())


def test_cancelling_raises_at_the_await_and_runs_finally(scheduler, log):
    fiber = scheduler.add(sleeps(log))

    def canceller():
        yield WAIT(1)
        fiber.cancel()

    scheduler.add(canceller())
    scheduler.run()

    assert log == [FiberCancelled, "finally"]
    assert isinstance(fiber.error, FiberCancelled)


def test_stopping_closes_the_coroutine(scheduler, log):
    def stopper():
        yield WAIT(1)
        scheduler.stop()

    scheduler.add(sleeps(log))
    scheduler.add(stopper())
    scheduler.run()

    assert log == [GeneratorExit, "finally"]


def test_a_coroutine_that_was_never_begun_is_closed_without_a_warning(scheduler, log):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fibers = [scheduler.add(sleeps(log)) for _ in range(2)]
        fibers[0].cancel()
        scheduler.stop()
        scheduler.run()
        with pytest.raises(TypeError):
            scheduler.add(doubled(1))
        gc.collect()

    assert log == []


# -- What may be awaited ----------------------------------------------------------------


def test_what_the_package_has_for_yield_from_can_be_awaited(scheduler, network):
    async def asks(sock):
        await send_all(sock, b"one\ntwo\n")
        answer = await recv_until(sock, b"\n")
        return answer + await recv_exactly(sock, 3)

    async def answers(sock):
        back = start(as_fiber(doubled(21)))
        lines = [await recv_until(sock, b"\n"), await recv_until(sock, b"\n")]
        await send_all(sock, b"".join(reversed(lines)))
        return await join(back)

    left, right = network.socketpair(latency=0.1)
    fibers = [scheduler.add(as_fiber(each)) for each in (asks(left), answers(right))]
    scheduler.run()

    assert [each.result for each in fibers] == [b"two\none", 42]


@pytest.mark.live
def test_a_thread_can_be_awaited(live):
    async def waits():
        return await in_thread(sum, [1, 2, 3])

    fiber = live.add(as_fiber(waits()))
    live.run()

    assert fiber.result == 6


def test_a_generator_can_be_awaited_if_its_function_says_so(scheduler):
    @types.coroutine
    def nap(seconds):
        yield WAIT(seconds)
        return "rested"

    async def waits():
        return await nap(1)

    def yields():
        return (yield from nap(1))

    fibers = [scheduler.add(as_fiber(waits())), scheduler.add(yields())]
    scheduler.run()

    assert [each.result for each in fibers] == ["rested", "rested"]


def test_a_generator_can_yield_from_a_coroutine(scheduler):
    def yields():
        return (yield from as_fiber(doubled(3)))

    fiber = scheduler.add(yields())
    scheduler.run()

    assert fiber.result == 6


# -- The trace --------------------------------------------------------------------------


def test_the_trace_names_the_line_of_the_innermost_await(scheduler, network, events):
    async def main():
        await doubled(1)
        await WAIT(0)

    def yields():
        yield from as_fiber(doubled(1))

    scheduler.add(as_fiber(main()))
    scheduler.add(yields())
    scheduler.run()
    places = [(e.ev, e.src) for e in events if e.ev in ("spawn", "yield") and e.fid == 1]
    [inside] = [e.src for e in events if e.ev == "yield" and e.fid == 2]

    assert places == [
        ("spawn", line_of(main, "async def main")),
        ("yield", line_of(doubled, "await WAIT")),
        ("yield", line_of(main, "await WAIT(0)")),
    ]
    assert inside == line_of(doubled, "await WAIT")


def test_its_trace_keeps_the_laws(network):
    async def naps(times):
        for _ in range(times):
            await WAIT(0.5)

    trace = Trace()
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace)
    for times in range(4):
        scheduler.add(as_fiber(naps(times)))
    scheduler.run()

    check_story(trace)
    assert [life.name for life in build_spans(trace).lives] == [f"naps-{n}" for n in (1, 2, 3, 4)]


# -- Mistakes ---------------------------------------------------------------------------


def generator():
    yield WAIT(0)


@pytest.mark.parametrize(
    ("came", "message"),
    [
        (doubled, r"needs a coroutine, got <function doubled .*: did you call it\?"),
        (generator(), "got <generator .*: add a generator as it is"),
        (None, "got None: what an async def returns when it is called"),
    ],
)
def test_what_is_no_coroutine_is_refused(came, message):
    with pytest.raises(TypeError, match=message):
        as_fiber(came)


def test_a_coroutine_without_its_coat_is_refused(scheduler):
    with pytest.raises(TypeError, match=r"needs a generator, got .*: give it as as_fiber\(...\)"):
        scheduler.add(doubled(1))


def test_what_belongs_to_asyncio_is_refused_at_the_await(scheduler):
    loop = asyncio.new_event_loop()

    async def main():
        with pytest.raises(InvalidYield, match="works under asyncio only"):
            await loop.create_future()
        with pytest.raises(InvalidYield, match="'main-1' yielded None"):
            await asyncio.sleep(0)
        return "goes on"

    fiber = scheduler.add(as_fiber(main()))
    scheduler.run()
    loop.close()

    assert fiber.result == "goes on"
