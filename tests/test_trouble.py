"""Trouble in the simulated network: drawn from a seed, and the same again from that seed."""

from __future__ import annotations

import io
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiberlab import (
    RECV,
    WAIT,
    FiberTimeout,
    Scheduler,
    SimulatedNetwork,
    Trace,
    Trouble,
    explore,
    recv_exactly,
    replay,
    send_all,
)

pytestmark = pytest.mark.once

SEEDS = st.integers(0, 10_000)
ALL = {
    "lose": 0.2,
    "reset": 0.002,
    "delay": 0.5,
    "partition": 3,
    "partition_every": 5,
    "jitter": 0.01,
}


def run(trouble, *makers):
    """Run fibers made by ``maker(network, log)``; return the log and the trace."""
    network, log, trace = SimulatedNetwork(trouble=trouble), [], Trace()
    scheduler = Scheduler(clock=network.clock, poller=network, trace=trace, file=io.StringIO())
    for make in makers:
        for fiber in make(network, log):
            scheduler.add(fiber)
    scheduler.run()
    return log, trace


def transfer(network, log, *, data=b"x" * 5_000, pieces=10, pause=0.1):
    """Send pieces over a connection, and note when each is there whole."""
    ours, theirs = network.socketpair(latency=0.01)
    size = len(data) // pieces

    def sender():
        for place in range(0, len(data), size):
            yield from send_all(ours, data[place : place + size])
            yield WAIT(pause)

    def receiver():
        for _ in range(pieces):
            got = yield from recv_exactly(theirs, size)
            log.append((network.clock.now(), got))

    return sender(), receiver()


# -- From the seed -------------------------------------------------------------------------


def saved(trace, path):
    trace.save(path)
    return path.read_bytes()


def test_the_same_seed_gives_the_same_trace_byte_for_byte_and_another_one_another(tmp_path):
    def once(seed):
        _, trace = run(Trouble(seed, **ALL), transfer, transfer)
        return saved(trace, tmp_path / "trace")

    assert once(1) == once(1)
    assert len({once(seed) for seed in range(5)}) == 5


def test_trouble_of_nothing_leaves_the_trace_as_it_is(tmp_path):
    _, without = run(None, transfer)
    _, of_nothing = run(Trouble(), transfer)

    assert saved(of_nothing, tmp_path / "one") == saved(without, tmp_path / "other")


def test_a_connection_s_trouble_does_not_depend_on_what_others_do():
    def noise(network, log):
        """Many connections, which are made after the first."""
        for _ in range(5):
            yield from transfer(network, [])

    alone, _ = run(Trouble(3, lose=0.3, delay=1), transfer)
    among, _ = run(Trouble(3, lose=0.3, delay=1), transfer, noise)

    assert alone == among


# -- Each kind -----------------------------------------------------------------------------


@settings(max_examples=25)
@given(SEEDS)
def test_what_is_lost_or_late_arrives_whole_and_in_order(seed):
    data = bytes(range(250)) * 20
    log, _ = run(Trouble(seed, lose=0.3, delay=2), partial(transfer, data=data))

    assert b"".join(piece for _, piece in log) == data
    assert all(earlier <= later for (earlier, _), (later, _) in pairwise(log))


def test_what_is_lost_comes_later_and_nothing_comes_earlier():
    without, _ = run(None, transfer)
    log, _ = run(Trouble(1, lose=0.3), transfer)

    late = [
        round(moment - planned, 9) for (moment, _), (planned, _) in zip(log, without, strict=True)
    ]
    assert min(late) == 0
    assert max(late) >= 0.2


def test_a_delay_is_at_most_as_long_as_it_was_asked_for():
    without, _ = run(None, partial(transfer, pause=1))
    log, _ = run(Trouble(1, delay=0.5), partial(transfer, pause=1))

    late = [moment - planned for (moment, _), (planned, _) in zip(log, without, strict=True)]
    assert 0 <= min(late) < max(late) <= 0.5


def test_a_connection_that_is_never_answered_is_given_up_as_linux_does():
    def connecting(network, log):
        listener = network.listen(("localhost", 80))
        sock = network.connect(("localhost", 80))

        def fiber():
            yield RECV(sock)
            try:
                sock.recv(1)
            except TimeoutError:
                log.append(network.clock.now())
            listener.close()

        return (fiber(),)

    log, _ = run(Trouble(lose=1), connecting)

    assert log == [pytest.approx(sum(0.2 * 2**k for k in range(15)))]


def test_a_reset_breaks_the_connection_for_both_ends():
    def both(network, log):
        ours, theirs = network.socketpair(latency=0.01)

        def use(sock, name):
            try:
                yield from send_all(sock, b"x")
                yield from recv_exactly(sock, 2)
            except ConnectionResetError:
                log.append(name)

        return use(ours, "ours"), use(theirs, "theirs")

    log, _ = run(Trouble(reset=1), both)

    assert sorted(log) == ["ours", "theirs"]


def test_a_partition_holds_up_some_connections_and_not_others():
    without, _ = run(None, partial(transfer, pieces=50, pause=1))
    planned = [moment for moment, _ in without]
    logs = [[] for _ in range(8)]

    def several(network, _):
        for log in logs:
            yield from transfer(network, log, pieces=50, pause=1)

    run(Trouble(1, partition=4, partition_every=10), several)

    held_up = [[m - p > 0.1 for (m, _), p in zip(log, planned, strict=True)] for log in logs]
    at_the_same_time = [sum(each) for each in zip(*held_up, strict=True)]
    assert max(at_the_same_time) > 1
    assert all(any(each) and not all(each) for each in held_up)
    assert any(0 < count < len(logs) for count in at_the_same_time)


@settings(max_examples=25)
@given(SEEDS)
def test_jitter_makes_timers_late_and_never_early(seed):
    def sleepers(network, log):
        def sleep():
            begun = network.clock.now()
            yield WAIT(1)
            log.append(network.clock.now() - begun)

        return [sleep() for _ in range(3)]

    log, _ = run(Trouble(seed, jitter=0.5), sleepers)

    assert all(1 <= seconds <= 1.5 for seconds in log)


def test_jitter_differs_from_timer_to_timer():
    def sleeps(network, log):
        def sleep():
            for _ in range(5):
                begun = network.clock.now()
                yield WAIT(1)
                log.append(network.clock.now() - begun)

        return (sleep(),)

    log, _ = run(Trouble(1, jitter=0.5), sleeps)

    assert len(set(log)) == 5


# -- Explored --------------------------------------------------------------------------------


def asks_once(world, seed, patience):
    """A client that waits for its answer so long; more patience helps against one lost try."""
    world.suffer(Trouble(seed, lose=0.1))
    ours, theirs = world.socketpair(latency=0.01)

    def server():
        yield from send_all(theirs, (yield from recv_exactly(theirs, 1)))

    def client():
        yield from send_all(ours, b"?")
        yield RECV(ours, timeout=patience)

    world.add(server(), "server")
    world.add(client(), "client")


def test_a_seed_at_which_a_program_fails_fails_again(tmp_path):
    results = {seed: explore(partial(asks_once, seed=seed, patience=0.1)) for seed in range(30)}

    failing = [seed for seed, result in results.items() if not result]
    assert 0 < len(failing) < 30
    for seed in failing:
        failure = results[seed].failure
        again = replay(partial(asks_once, seed=seed, patience=0.1), failure.tape)
        assert isinstance(failure.error, FiberTimeout)
        assert saved(again, tmp_path / "again") == saved(failure.trace, tmp_path / "first")
        assert explore(partial(asks_once, seed=seed, patience=60))


# -- Mistakes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lose": 2}, r"Trouble\(lose=\) is a share from 0 to 1, got 2"),
        ({"reset": -0.1}, r"Trouble\(reset=\) cannot be negative, infinite or nan, got -0.1"),
        ({"delay": "1"}, r"Trouble\(delay=\) needs a number, got '1'"),
        ({"jitter": float("inf")}, r"Trouble\(jitter=\) cannot be negative, infinite or nan"),
        ({"partition_every": 0}, r"Trouble\(partition_every=\) is seconds > 0 or None, got 0"),
        ({"seed": 1.5}, r"Trouble\(seed=\) is a number or a text, got 1.5"),
    ],
)
def test_a_mistake_says_what_was_expected(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Trouble(**options)


def test_what_is_no_trouble_is_refused():
    with pytest.raises(TypeError, match=r"trouble= needs a Trouble\(seed=\.\.\.\), got 7"):
        SimulatedNetwork(trouble=7)
