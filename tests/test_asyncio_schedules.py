"""asyncio programs in every schedule: unmodified, in simulated time, with nothing real."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from asyncio_races import TEXTBOOK, THREADS

from fiberlab import Deadlock, Trouble
from fiberlab.elsewhere import chosen_steps
from fiberlab.elsewhere.asyncio_ import assert_holds, explore, replay
from fiberlab.lab import stories
from fiberlab.spans.check import check_story

pytestmark = pytest.mark.once

HOLDS = re.compile(r"holds in (all [\d,]+ schedules|its only schedule)")

# -- Races ------------------------------------------------------------------------------


def of(race, repaired):
    return lambda: race(repaired)


@pytest.mark.parametrize("race", TEXTBOOK + THREADS, ids=lambda race: race.__name__)
def test_a_race_is_found_and_its_repair_holds_in_all_schedules(race):
    found, mended = explore(of(race, False)), explore(of(race, True))

    assert (bool(found), found.complete) == (False, True)
    assert HOLDS.fullmatch(str(mended))


@pytest.mark.parametrize("race", TEXTBOOK + THREADS, ids=lambda race: race.__name__)
def test_a_failure_is_replayed_byte_for_byte_and_its_trace_keeps_the_laws(race, tmp_path):
    failure = explore(of(race, False)).failure

    again = replay(of(race, False), failure.tape)

    check_story(again)
    for trace, name in ((failure.trace, "failure"), (again, "again")):
        trace.save(tmp_path / name)
    assert (tmp_path / "failure").read_bytes() == (tmp_path / "again").read_bytes()


def test_a_failure_is_told_with_its_switches():
    [lost_wake_up] = [race for race in TEXTBOOK if race.__name__ == "lost_wake_up"]

    result = explore(of(lost_wake_up, False))

    assert str(result) == (
        "fails in 3 of 6 schedules; the shortest has 1 switch: at step 2 'produce-3' comes before "
        "'consume-2'; Deadlock: deadlock: 'lost_wake_up-1' and 'consume-2' wait for something that "
        "no task, no timer and no connection will bring about"
    )
    assert [each.name for each in result.failure.error.fibers] == ["lost_wake_up-1", "consume-2"]
    assert stories(result.passing)["consume-2"] == ["ready", "parked", "return"]


def test_assert_holds_gives_the_sentence_and_the_tape():
    [lost_wake_up] = [race for race in TEXTBOOK if race.__name__ == "lost_wake_up"]
    with pytest.raises(AssertionError, match=r"fails in 3 of 6 .*\nreplay\(main, '1'\) gives"):
        assert_holds(of(lost_wake_up, False))
    assert_holds(of(lost_wake_up, True))


# -- How many ----------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(0, 0, 2), (1, 1, 1), (0, 1, 2), (2, 1, 2)], ids=str)
@pytest.mark.parametrize(
    "together",
    [
        "gather",
        "wait",
        pytest.param(
            "TaskGroup",
            marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="no TaskGroup"),
        ),
    ],
)
def test_tasks_have_as_many_orders_as_arithmetic_gives(counts, together):
    """asyncio's own book-keeping adds none; a task with n waits has n + 1 steps."""

    async def steps(count):
        for _ in range(count):
            await asyncio.sleep(0)

    async def main():
        if together == "gather":
            await asyncio.gather(*map(steps, counts))
        elif together == "wait":
            await asyncio.wait([asyncio.create_task(steps(count)) for count in counts])
        else:
            async with asyncio.TaskGroup() as group:
                for count in counts:
                    group.create_task(steps(count))

    lengths = [count + 1 for count in counts]
    orders = math.factorial(sum(lengths)) // math.prod(map(math.factorial, lengths))
    assert explore(main).schedules == orders


def seen_by(main, **options):
    """Return what `main(log)` has logged in the schedules, each only once."""
    seen = set()

    async def logging():
        log = []
        await main(log)
        seen.add(tuple(log))

    result = explore(logging, **options)
    assert result, result
    assert result.complete
    return seen


def test_callbacks_of_call_soon_keep_their_order_and_equal_timers_do_not():
    async def main(log):
        loop = asyncio.get_running_loop()
        for name in "ab":
            loop.call_soon(log.append, name)
            loop.call_later(1, log.append, name.upper())
        await asyncio.sleep(2)

    assert seen_by(main) == {("a", "b", "A", "B"), ("a", "b", "B", "A")}


async def nap(log, name):
    await asyncio.sleep(1)
    log.append((name, "nap"))


async def turn(log, name):
    await asyncio.sleep(0)
    log.append((name, "turn"))


async def sleeping(log):
    await asyncio.sleep(1)


async def gathering(log):
    await asyncio.gather(nap(log, "first"), turn(log, "second"))


async def waiting(log):
    done, _ = await asyncio.wait([asyncio.create_task(nap(log, "inner"))], timeout=1)
    log.append(len(done))


async def waiting_in_time(log):
    await asyncio.wait_for(nap(log, "inner"), 1)


async def shielding(log):
    await asyncio.shield(turn(log, "inner"))


async def grouping(log):
    if sys.version_info >= (3, 11):
        async with asyncio.TaskGroup() as group:
            group.create_task(nap(log, "first"))
            group.create_task(turn(log, "second"))


async def failing(log):
    async def fails():
        await asyncio.sleep(0)
        raise ValueError

    await asyncio.gather(fails(), nap(log, "other"))


@pytest.mark.parametrize(
    "work",
    [sleeping, gathering, waiting, waiting_in_time, shielding, grouping, failing],
)
@pytest.mark.parametrize("patience", [0, 1])
def test_what_runs_without_a_question_changes_no_end(work, patience, monkeypatch):
    """The work is cancelled after so many seconds; all ends are those with every question asked."""

    async def main(log):
        async def tell():
            try:
                await work(log)
                log.append("done")
            except BaseException as error:
                log.append(type(error).__name__)

        async def cancel():
            await asyncio.sleep(patience)
            log.append("cancel")
            task.cancel()

        task = asyncio.create_task(tell())
        await asyncio.gather(task, cancel(), return_exceptions=True)
        await asyncio.sleep(3)

    ends = seen_by(main)
    always = {"_run_until_complete_cb", "BaseSelectorEventLoop._accept_connection2"}
    monkeypatch.setattr(chosen_steps, "HIDDEN", always)
    monkeypatch.setattr(chosen_steps, "UNLESS_FAILED", set())

    assert seen_by(main, at_most=20_000) == ends


def test_a_callback_and_a_task_come_in_either_order():
    async def main(log):
        async def task():
            log.append("task")

        asyncio.get_running_loop().call_soon(log.append, "callback")
        await asyncio.create_task(task())
        await asyncio.sleep(1)

    assert seen_by(main) == {("task", "callback"), ("callback", "task")}


def test_data_on_two_connections_arrives_in_either_order():
    async def main(log):
        async def handle(reader, writer):
            log.append((await reader.readline()).decode().strip())
            writer.close()

        async def send(line):
            _, writer = await asyncio.open_connection("localhost", 8080)
            writer.write(line)
            writer.close()

        server = await asyncio.start_server(handle, "localhost", 8080)
        await asyncio.gather(send(b"one\n"), send(b"other\n"))
        await asyncio.sleep(1)
        server.close()

    seen = set()

    async def logging():
        log = []
        await main(log)
        seen.add(tuple(log))

    result = explore(logging, at_most=400)

    assert result
    assert seen == {("one", "other"), ("other", "one")}


def test_a_time_out_and_what_it_waits_for_come_in_either_order():
    async def main(log):
        event = asyncio.Event()

        async def signal():
            await asyncio.sleep(1)
            event.set()

        task = asyncio.create_task(signal())
        try:
            await asyncio.wait_for(event.wait(), 1)
            log.append("in time")
        except (asyncio.TimeoutError, TimeoutError):
            log.append("too late")
        await task

    assert seen_by(main) == {("in time",), ("too late",)}


# -- Time and connections are simulated ---------------------------------------------------


@pytest.mark.parametrize("seconds", [1e-12, 0.1, 1, 90_000, 1e11])
def test_time_jumps_to_the_next_timer(seconds):
    async def main(log):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(seconds)
        await asyncio.sleep(seconds)
        log.append(loop.time() - begun)

    began = time.monotonic()
    [[passed]] = seen_by(main)

    assert passed == pytest.approx(2 * seconds, rel=1e-9, abs=1e-8)
    assert time.monotonic() - began < 5


def test_to_sleep_for_ever_alone_is_a_deadlock():
    async def main():
        await asyncio.sleep(math.inf)

    assert isinstance(explore(main).failure.error, Deadlock)


def test_an_echo_over_streams_holds_and_moves_more_than_the_buffers_hold():
    size = 300_000

    async def main(log):
        async def handle(reader, writer):
            while data := await reader.read(100_000):
                writer.write(data)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle)
        [where] = [each.getsockname() for each in server.sockets]
        reader, writer = await asyncio.open_connection(*where)
        writer.write(b"x" * size)
        writer.write_eof()
        log.append(len(await reader.read()))
        writer.close()
        await writer.wait_closed()
        server.close()

    seen = []

    async def logging():
        await main(seen)

    assert explore(logging, at_most=20)
    assert set(seen) == {size}


def test_a_small_echo_holds_in_all_schedules():
    async def main():
        async def handle(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        server.close()

    assert HOLDS.fullmatch(str(explore(main)))


def test_a_protocol_of_the_program_s_own_is_called_in_order():
    async def main(log):
        loop = asyncio.get_running_loop()
        lost = loop.create_future()

        class Server(asyncio.Protocol):
            def connection_made(self, transport):
                log.append("made")
                self.transport = transport

            def data_received(self, data):
                log.append(data)
                self.transport.close()

            def connection_lost(self, error):
                log.append("lost")
                lost.set_result(None)

        server = await loop.create_server(Server, "localhost", 8080)
        transport, _ = await loop.create_connection(asyncio.Protocol, "localhost", 8080)
        transport.write(b"data")
        await lost
        transport.close()
        server.close()

    assert seen_by(main) == {("made", b"data", "lost")}


def test_a_port_at_which_nothing_listens_refuses():
    async def main(log):
        try:
            await asyncio.open_connection("localhost", 9)
        except ConnectionRefusedError:
            log.append("refused")

    assert seen_by(main) == {("refused",)}


# -- What is outside ---------------------------------------------------------------------


async def needs_a_thread():
    await asyncio.to_thread(print)


async def needs_an_executor_and_hides_it():
    with contextlib.suppress(RuntimeError):
        await asyncio.get_running_loop().run_in_executor(None, print)


async def needs_a_process():
    await asyncio.create_subprocess_exec("true")


async def needs_a_shell():
    await asyncio.create_subprocess_shell("true")


async def needs_datagrams():
    await asyncio.get_running_loop().create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=("localhost", 53)
    )


async def needs_tls():
    await asyncio.open_connection("localhost", 443, ssl=True)


async def needs_a_real_socket():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        await asyncio.get_running_loop().sock_recv(ours, 1)


@pytest.mark.parametrize(
    ("main", "what"),
    [
        (needs_a_thread, "threads"),
        (needs_an_executor_and_hides_it, "threads"),
        (needs_a_process, "processes"),
        (needs_a_shell, "processes"),
        (needs_datagrams, "datagrams"),
        (needs_tls, "TLS"),
        (needs_a_real_socket, "real sockets"),
    ],
)
def test_what_is_outside_of_the_loop_is_refused(main, what):
    with pytest.raises(RuntimeError, match=rf"explore\(\) has no {what}.*: order and time would"):
        explore(main)


@pytest.mark.parametrize(
    ("main", "message"),
    [
        (lambda: None, "is none"),
        (42, r"explore\(main\), not explore\(main\(\)\)"),
    ],
)
def test_what_is_no_async_def_is_refused(main, message):
    with pytest.raises(TypeError, match=message):
        explore(main)


def test_a_coroutine_that_was_called_already_is_refused():
    with pytest.raises(TypeError, match=r"write explore\(main\), not explore\(main\(\)\)"):
        explore(needs_a_thread())


def test_a_signal_handler_is_accepted_and_never_called():
    async def main(log):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(2, log.append, "signal")
        await asyncio.sleep(1)
        loop.remove_signal_handler(2)

    assert seen_by(main) == {()}


# -- Beginning and end -------------------------------------------------------------------


def test_what_main_leaves_is_cancelled_and_its_finally_blocks_run():
    ended = []

    async def main():
        async def stays():
            try:
                await asyncio.sleep(1e6)
            finally:
                ended.append("stays")

        task = asyncio.create_task(stays())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()

    result = explore(main)

    assert HOLDS.fullmatch(str(result))
    assert 0 < len(ended) <= result.schedules


def test_a_task_that_never_lets_itself_be_cancelled_is_a_failure():
    async def main():
        async def stays():
            while True:
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.sleep(1)

        task = asyncio.create_task(stays())
        await asyncio.sleep(2)
        assert not task.done()

    assert "has not ended after 10,000 steps" in str(explore(main, at_most=1))


def test_a_program_that_never_ends_is_a_failure():
    async def main():
        while True:
            await asyncio.sleep(0)

    assert "has not ended after 10,000 steps" in str(explore(main))


@pytest.mark.parametrize("leaves", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_ends_the_search(leaves):
    async def main():
        raise leaves

    if leaves is KeyboardInterrupt:
        assert explore(main).interrupted
    else:
        with pytest.raises(SystemExit):
            explore(main)


def test_it_works_while_a_loop_runs_as_in_a_notebook_and_leaves_that_as_it_was():
    async def inner():
        await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))

    async def cell():
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        result = explore(inner)
        await asyncio.sleep(0)
        return str(result), asyncio.get_running_loop() is loop, asyncio.current_task() is task

    told, same_loop, same_task = asyncio.run(cell())

    assert HOLDS.fullmatch(told)
    assert (same_loop, same_task) == (True, True)


def test_nothing_is_logged_and_nothing_warned(caplog, recwarn):
    async def main():
        async def fails():
            raise ValueError("never retrieved")

        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        tasks = [asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(5))]
        await asyncio.sleep(1)
        tasks.clear()
        await asyncio.get_running_loop().create_future()

    assert isinstance(explore(main).failure.error, Deadlock)
    assert (caplog.records, list(recwarn)) == ([], [])


def test_an_async_generator_that_is_left_is_closed():
    closed = []

    async def main():
        async def numbers():
            try:
                yield 1
            finally:
                closed.append(True)

        generator = numbers()
        await generator.__anext__()

    assert explore(main)
    assert closed == [True]


# -- Faults, and beyond the exhaustive ----------------------------------------------------


async def guarded_by_a_flag(repaired):
    """A worker that is cancelled leaves the flag up, unless it takes it down in the end."""
    busy = asyncio.Lock()

    async def work():
        await busy.acquire()
        if repaired:
            try:
                await asyncio.sleep(0)
            finally:
                busy.release()
        else:
            await asyncio.sleep(0)
            busy.release()

    await asyncio.gather(work(), work(), return_exceptions=True)


def test_a_cancel_at_any_await_is_found_if_asked_for():
    plain = explore(of(guarded_by_a_flag, False))
    found = explore(of(guarded_by_a_flag, False), faults=["cancel"])
    mended = explore(of(guarded_by_a_flag, True), faults=["cancel"])

    assert (bool(plain), bool(mended), mended.complete) == (True, True, True)
    assert isinstance(found.failure.error, Deadlock)
    assert found.failure.switches == ("before step 3 'work-2' is cancelled",)
    assert found.failure.tape.startswith("cancel:")


def test_a_program_that_is_held_up_misses_its_time_out_if_asked_for():
    async def main():
        event = asyncio.Event()

        async def signal():
            await asyncio.sleep(0)
            event.set()

        await asyncio.gather(signal(), asyncio.wait_for(event.wait(), 1))

    assert explore(main)
    assert "the program is held up" in str(explore(main, faults=["delay"]))


def test_a_reset_is_found_if_asked_for():
    async def main():
        async def handle(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(handle, "localhost", 8080)
        reader, writer = await asyncio.open_connection("localhost", 8080)
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        server.close()

    result = explore(main, faults=["reset"], at_most=300)

    assert isinstance(result.failure.error, (ConnectionResetError, AssertionError))
    assert "is reset" in str(result)


def test_a_fault_that_asyncio_has_not_is_refused():
    with pytest.raises(ValueError, match=r"a fault of asyncio is one of cancel, delay, reset; got"):
        explore(needs_a_thread, faults=["timeout"])


def test_random_priorities_find_what_the_first_schedules_do_not():
    async def main():
        done = []

        async def steps(name):
            for _ in range(6):
                done.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(steps("a"), steps("b"))
        assert done[:6] != ["b"] * 6

    without, found = explore(main, at_most=20), explore(main, at_most=20, seed=1)

    assert (bool(without), bool(found)) == (True, False)
    assert found.sample.chance is not None


def test_workers_share_the_schedules_and_find_the_same():
    [race] = [race for race in TEXTBOOK if race.__name__ == "dining_philosophers"]

    with ThreadPoolExecutor(2) as executor:
        shared = explore(of(race, False), executor=executor)

    alone = explore(of(race, False))
    assert (str(shared), shared.failure.tape) == (str(alone), alone.failure.tape)


async def asks_once(patience):
    """A client that waits for its answer so long."""

    async def handle(reader, writer):
        writer.write(await reader.readline())
        writer.close()

    server = await asyncio.start_server(handle, "localhost", 8080)
    reader, writer = await asyncio.open_connection("localhost", 8080)
    writer.write(b"hello\n")
    assert await asyncio.wait_for(reader.readline(), patience) == b"hello\n"
    writer.close()
    server.close()


def test_a_seed_of_trouble_at_which_a_program_fails_fails_again():
    troubles = [Trouble(seed, lose=0.1, delay=0.01, jitter=0.01) for seed in range(20)]
    results = [explore(partial(asks_once, 0.1), trouble=each, at_most=2) for each in troubles]

    failing = [
        (trouble, result.failure)
        for trouble, result in zip(troubles, results, strict=True)
        if not result
    ]
    assert 0 < len(failing) < 20
    for trouble, failure in failing:
        assert isinstance(failure.error, (asyncio.TimeoutError, TimeoutError))
        again = replay(partial(asks_once, 0.1), failure.tape, trouble=trouble)
        assert list(again) == list(failure.trace)
        assert explore(partial(asks_once, 60), trouble=trouble, at_most=2)


def test_a_clock_that_jitters_makes_timers_late():
    async def main(log):
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.sleep(1)
        log.append(loop.time() - begun)

    [[seconds]] = seen_by(main, trouble=Trouble(1, jitter=0.5))

    assert 1 < seconds <= 1.5


def test_to_connect_takes_as_long_as_the_answer_and_may_be_cancelled():
    async def main(log):
        server = await asyncio.start_server(lambda *_: None, "localhost", 8080)
        loop = asyncio.get_running_loop()
        with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(asyncio.open_connection("localhost", 8080), 1)
        log.append(loop.time())
        try:
            await asyncio.open_connection("localhost", 8080)
        except TimeoutError:
            log.append("given up")
        server.close()

    assert seen_by(main, trouble=Trouble(lose=1)) == {(1.0, "given up")}
