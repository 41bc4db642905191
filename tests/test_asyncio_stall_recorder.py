"""The stall recorder under asyncio: it tells of a stall what a full trace tells of it."""

from __future__ import annotations

import asyncio
import heapq
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress

import pytest
from asking import asking_for_a_stall, hang_until

from fiberlab import StallRecorder, Trace, diagnose
from fiberlab.elsewhere import asyncio_stalls, record, run, watching
from fiberlab.spans.check import check_story

pytestmark = pytest.mark.live


def recorded(main, recorder=None):
    """Run `main()` under a StallRecorder; return its trace, which keeps the laws."""
    recorder = recorder or StallRecorder()
    run(main(), recorder)
    trace = recorder.trace()
    check_story(trace)
    return trace


def plain(name):
    """Return a task's name without its number, which a stall recorder cannot count."""
    return name.split(" (Task-")[0].rstrip("-0123456789")


async def naps():
    for _ in range(12):
        await asyncio.sleep(0.02)


def hold():
    time.sleep(0.2)


async def by_a_task(loop):
    async def handle():
        hold()

    await asyncio.create_task(handle())


async def by_a_task_that_goes_on(loop):
    async def handle():
        await asyncio.sleep(0)
        hold()
        await asyncio.sleep(0)

    await asyncio.create_task(handle())


async def by_a_callback(loop):
    loop.call_soon(hold)


async def by_a_timer(loop):
    loop.call_later(0.01, hold)


async def by_a_protocol(loop):
    class Slow(asyncio.Protocol):
        def data_received(self, data):
            hold()

    ours, theirs = socket.socketpair()
    transport, _ = await loop.create_connection(Slow, sock=ours)
    theirs.sendall(b"x")
    await asyncio.sleep(0.05)
    transport.close()
    theirs.close()


async def by_a_finalizer(loop):
    class Late:
        def __del__(self):
            hold()

    loop.call_soon(lambda late: None, Late())


async def by_main_itself(loop):
    hold()


CAUSES = [value for name, value in list(globals().items()) if name.startswith("by_")]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_it_names_the_culprit_and_the_line_that_a_full_trace_names(cause):
    async def main():
        others = [asyncio.create_task(naps()) for _ in range(3)]
        await asyncio.sleep(0.03)
        await cause(asyncio.get_running_loop())
        await asyncio.gather(*others)

    full = Trace(cpu=True)
    run(main(), full)
    found = [diagnose(trace)[0] for trace in (full, recorded(main))]

    assert len({(each.kind, plain(each.name), each.src) for each in found}) == 1
    assert found[1].src.startswith("test_asyncio_stall_recorder.py:")
    victims = [{plain(victim.name) for victim in each.victims} - {"main"} for each in found]
    assert victims == [{"naps"}, {"naps"}]


@pytest.mark.parametrize("seed", range(4))
def test_in_a_program_by_chance_both_name_the_same_culprits(seed):
    def program():
        chance, served = random.Random(seed), []

        async def client(port, slow):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for _ in range(3):
                writer.write(b"slow\n" if slow else b"quick\n")
                await reader.readline()
                await asyncio.sleep(chance.random() / 100)
            writer.close()

        async def handle(reader, writer):
            while line := await reader.readline():
                if line == b"slow\n" and len(served) < 2:
                    served.append(line)
                    time.sleep(0.1 + chance.random() / 20)
                writer.write(line)
            writer.close()

        async def main():
            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            which = [True, *(chance.random() < 0.3 for _ in range(5))]
            chance.shuffle(which)
            await asyncio.gather(*(client(port, slow) for slow in which))
            server.close()

        return main()

    full = Trace(cpu=True)
    run(program(), full)
    found = [diagnose(trace, most=None) for trace in (full, recorded(program))]
    blamed = [
        {(plain(each.name), each.src) for each in told if each.kind == "blocking call"}
        for told in found
    ]

    assert blamed[0] == blamed[1]
    assert [name for name, _ in blamed[1]] == ["handle"]


def test_stalls_of_one_task_are_one_row():
    async def main():
        for _ in range(3):
            time.sleep(0.06)
            await asyncio.sleep(0.03)

    trace = recorded(main)

    assert [event.name for event in trace if event.ev == "spawn"].count("main (Task-1)") <= 1
    assert len({event.fid for event in trace if event.ev == "stall"}) == 1


def test_a_run_without_a_stall_keeps_nothing_and_counts_all():
    ran = []

    async def main():
        for each in range(5):
            asyncio.get_running_loop().call_soon(ran.append, each)
            await asyncio.sleep(0)

    recorder = StallRecorder(limit=5)
    trace = recorded(main, recorder)

    assert [event.ev for event in trace] == ["start", "stop"]
    assert recorder.counters()["stalls"] == 0
    assert recorder.counters()["steps"] >= len(ran) + 5
    assert recorder.counters()["passes"] >= 5


def test_a_task_made_ready_during_the_stall_waited_no_longer_than_that():
    """It is blamed for the time from when the watchdog saw the task in the queue, not before."""

    async def woken(event):
        await event.wait()

    async def main():
        event = asyncio.Event()
        other = asyncio.create_task(woken(event))
        await asyncio.sleep(0)
        time.sleep(0.2)
        event.set()
        time.sleep(0.4)
        await other

    [victim] = diagnose(recorded(main))[0].victims

    assert plain(victim.name) == "woken"
    assert 0.1e9 < victim.waited < 0.55e9


def test_in_a_running_loop_its_own_step_is_watched_too_and_all_is_put_back():
    async def part():
        time.sleep(0.1)

    async def main():
        loop = asyncio.get_running_loop()
        before = (asyncio.Handle._run, asyncio._set_running_loop, loop._selector.select)
        first = StallRecorder()
        with watching(first):
            time.sleep(0.1)
        second = await record(part(), StallRecorder())
        after = (asyncio.Handle._run, asyncio._set_running_loop, loop._selector.select)
        return first.trace(), second.trace(), before == after, type(loop._ready)

    first, second, put_back, ready = asyncio.run(main())

    assert [plain(diagnose(trace)[0].name) for trace in (first, second)] == ["main", "part"]
    assert (put_back, ready) == (True, deque)
    check_story(first)
    check_story(second)


def test_a_recorder_holds_one_run_also_of_asyncio():
    recorder = StallRecorder()
    run(asyncio.sleep(0), recorder)

    with pytest.raises(ValueError, match="already holds a run; give each run its own"):
        run(asyncio.sleep(0), recorder)


def test_an_exception_that_leaves_the_program_writes_the_stalls(tmp_path):
    path = tmp_path / "stalls.fiber.jsonl"

    async def main():
        time.sleep(0.1)
        raise KeyboardInterrupt

    with suppress(KeyboardInterrupt):
        run(main(), StallRecorder(path=path))
    found = diagnose(Trace.load(path))[0]

    assert (plain(found.name), found.kind) == ("main", "blocking call")


@pytest.mark.parametrize("step", [0.3, 0.03])
def test_it_writes_when_the_loop_of_asyncio_has_not_polled_for_too_long(tmp_path, step):
    path = tmp_path / "stalls.fiber.jsonl"

    async def main():
        for _ in range(round(0.3 / step)):
            asyncio.get_running_loop().call_soon(time.sleep, step)
        await asyncio.sleep(0.4)
        return path.exists()

    assert run(main(), StallRecorder(limit=0.2, path=path, write_after=0.2)) is True


def test_a_stall_of_asyncio_that_goes_on_can_be_asked_for_from_another_thread():
    recorder = StallRecorder()

    async def hangs():
        hang_until(asked)

    with asking_for_a_stall(recorder) as asked:
        run(hangs(), recorder)

    assert plain(diagnose(asked[0])[0].name) == "hangs"


@pytest.mark.parametrize("where", ["_stalled", "_end_turn"])
def test_what_the_recorder_raises_reaches_no_program(monkeypatch, where):
    def fails(*_):
        raise ValueError("mine")

    async def main():
        time.sleep(0.1)
        await asyncio.sleep(0.01)
        return type(asyncio.get_running_loop()._ready)

    monkeypatch.setattr(asyncio_stalls.StallWatch, where, fails)
    with pytest.warns(RuntimeWarning, match="ValueError.'mine'. and was taken out"):
        ready = run(main(), StallRecorder())

    assert ready is deque


def test_a_recorder_that_fails_while_the_loop_takes_a_handle_loses_none(monkeypatch):
    def fails(*_):
        raise ValueError("mine")

    async def step(seconds):
        time.sleep(seconds)
        return "ran"

    async def main():
        return await asyncio.gather(*map(step, (0.1, 0, 0)))

    monkeypatch.setattr(asyncio_stalls.StallWatch, "_stalled", fails)
    with pytest.warns(RuntimeWarning, match="ValueError.'mine'. and was taken out"):
        assert run(main(), StallRecorder()) == ["ran"] * 3


class Nesting(asyncio.SelectorEventLoop):
    """A loop that keeps its queue in a variable, as those do that can run inside a step."""

    def _run_once(self):
        ready, timers = self._ready, self._scheduled
        late = max(0, timers[0]._when - self.time()) if timers else None
        self._process_events(self._selector.select(0 if ready or self._stopping else late))
        while timers and timers[0]._when <= self.time():
            ready.append(heapq.heappop(timers))
        for _ in range(len(ready)):
            if ready:
                ready.popleft()._run()


def test_a_loop_in_the_midst_of_its_queue_runs_nothing_twice():
    ran = []

    async def watched():
        with watching(StallRecorder()):
            await asyncio.sleep(0.01)

    async def main():
        task = asyncio.create_task(watched())
        for number in range(5):
            asyncio.get_running_loop().call_soon(ran.append, number)
        await task

    loop = Nesting()
    loop.run_until_complete(main())
    loop.close()

    assert ran == list(range(5))


def test_a_loop_whose_queue_is_in_c_is_said_to_be_unseen():
    class Loop(asyncio.SelectorEventLoop):
        _ready = property(lambda self: self.__dict__["hidden"], lambda self, value: None)

        def __init__(self):
            self.__dict__["hidden"] = type("Queue", (deque,), {})()
            super().__init__()

    loop = Loop()
    with watching(StallRecorder()) as watched:
        loop.run_until_complete(asyncio.sleep(0))
        told = watched.unseen
    loop.close()

    assert told == [f"{__name__} keeps its queue in C: its stalls were not recorded"]


def test_loops_of_several_threads_are_recorded_one_after_the_other():
    async def blocks():
        time.sleep(0.1)

    recorder = StallRecorder()
    with watching(recorder, any_thread=True):
        for _ in range(2):
            thread = threading.Thread(target=lambda: asyncio.run(blocks()))
            thread.start()
            thread.join()
        asyncio.run(blocks())
    trace = recorder.trace()
    check_story(trace)

    assert recorder.stalls == 3
    assert [plain(event.name) for event in trace if event.ev == "spawn"] == ["blocks"] * 3
    assert len({event.fid for event in trace if event.ev == "stall"}) == 3


@pytest.mark.posix
def test_run_with_stalls_writes_on_sigusr1_and_at_the_end(tmp_path):
    program, path = tmp_path / "app.py", tmp_path / "stalls.fiber.jsonl"
    program.write_text(
        "import asyncio, os, signal, time\n"
        "async def main():\n"
        "    time.sleep(0.2)\n"
        "    await asyncio.sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "    await asyncio.sleep(0.01)\n"
        f"    print(os.path.exists({str(path)!r}))\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-m", "fiberlab", "run", "--stalls", str(path), str(program)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = diagnose(Trace.load(path))[0]

    assert (ran.returncode, ran.stdout) == (0, "True\n")
    assert f"1 stalls; written to {path}" in ran.stderr
    assert (plain(found.name), found.src) == ("main", "app.py:3")


def test_run_refuses_stalls_together_with_live():
    command = [sys.executable, "-m", "fiberlab", "run", "--live", "--stalls", "x", os.devnull]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 2
    assert "--stalls records less than --live does: give one of the two" in ran.stderr
