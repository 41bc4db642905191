"""Every schedule: textbook races are found, their repairs hold, and nothing more is claimed."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import partial
from itertools import combinations, permutations, product
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiberlab import (
    RECV,
    WAIT,
    Deadlock,
    FiberCancelled,
    FiberTimeout,
    assert_holds,
    compare,
    explore,
    join,
    recv_exactly,
    replay,
    send_all,
    start,
)
from fiberlab.exploration import tape as tapes
from fiberlab.exploration.choices import RandomPriorities
from fiberlab.spans.check import check_story

# -- Programs --------------------------------------------------------------------------


def lost_update(world):
    """Three fibers add one each: 9 steps, 3 of each fiber, 9!/(3!3!3!) orders."""
    box = [0]

    def increment():
        yield WAIT(0)
        value = box[0]
        yield WAIT(0)
        box[0] = value + 1

    for name in "abc":
        world.add(increment(), name)
    world.at_end(lambda: box[0] == 3)


def atomic_update(world):
    """Add without a yield between reading and writing."""
    box = [0]

    def increment():
        yield WAIT(0)
        box[0] += 1
        yield WAIT(0)

    for name in "abc":
        world.add(increment(), name)
    world.at_end(lambda: box[0] == 3)


class Lock:
    """A lock that is waited for by WAIT(None)."""

    def __init__(self):
        self.held = False

    def acquire(self):
        while self.held:
            yield WAIT(None)
        self.held = True

    def release(self):
        self.held = False


def two_locks(world, *, ordered):
    first, second = Lock(), Lock()

    def both(one, other):
        yield from one.acquire()
        yield WAIT(0)
        yield from other.acquire()
        other.release()
        one.release()

    world.add(both(first, second), "left")
    world.add(both(first, second) if ordered else both(second, first), "right")


def wake_up(world, *, kept):
    """One waits for a signal; not `kept`, the signal reaches only a fiber that waits already."""
    waiting, done, signals = [], [], []

    def consumer():
        yield WAIT(0)
        waiting.append(True)
        while not (signals if kept else done):
            yield WAIT(None)

    def producer():
        yield WAIT(0)
        signals.append(True)
        if waiting:
            done.append(True)

    world.add(consumer(), "consumer")
    world.add(producer(), "producer")


def check_then_act(world, *, again):
    """Two buyers and one ticket: the yield lies between looking and buying."""
    tickets = [1]

    def buyer():
        if tickets[0]:
            yield WAIT(0)
            if not again or tickets[0]:
                tickets[0] -= 1

    world.add(buyer(), "first")
    world.add(buyer(), "second")
    world.always(lambda: tickets[0] >= 0)


def dining(world, *, ordered):
    forks = [Lock() for _ in range(3)]

    def philosopher(one, other):
        yield from forks[one].acquire()
        yield WAIT(0)
        yield from forks[other].acquire()
        forks[one].release()
        forks[other].release()

    for seat in range(3):
        sides = [seat, (seat + 1) % 3]
        world.add(philosopher(*(sorted(sides) if ordered else sides)))


def time_out(world, *, caught):
    """A reply takes two seconds, and is waited for three."""
    ours, theirs = world.socketpair(latency=1)

    def server():
        yield RECV(theirs)
        theirs.send(theirs.recv(1))

    def client():
        ours.send(b"?")
        try:
            yield RECV(ours, timeout=3)
        except FiberTimeout:
            if not caught:
                raise
            return
        ours.recv(1)

    world.add(server(), "server")
    world.add(client(), "client")


def cancelled(world, *, guarded):
    """A fiber that is cancelled while it holds a lock."""
    lock = Lock()

    def user():
        yield from lock.acquire()
        try:
            yield WAIT(0)
        except FiberCancelled:
            if guarded:
                lock.release()
            raise
        lock.release()

    world.add(user(), "one")
    world.add(user(), "other")


def started(world):
    """Fibers that start and join others."""
    results = []

    def child(value):
        yield WAIT(0)
        return value

    def parent(value):
        fiber = start(child(value))
        yield WAIT(0)
        results.append((yield from join(fiber)))

    for value in range(2):
        world.add(parent(value))
    world.at_end(lambda: sorted(results) == [0, 1])


def joined_by_all(world):
    """One fiber that two others join, and one that joins a joiner."""

    def child():
        yield WAIT(1)
        return "done"

    def joiner(fiber, results):
        results.append((yield from join(fiber)))

    results = []
    fiber = world.add(child())
    one = world.add(joiner(fiber, results))
    world.add(joiner(fiber, results))
    world.add(joiner(one, results))
    world.at_end(lambda: sorted(map(str, results)) == ["None", "done", "done"])


def echo(world):
    left, right = world.socketpair()
    answers = []

    def server():
        yield from send_all(right, (yield from recv_exactly(right, 4)))

    def client():
        yield from send_all(left, b"ping")
        answers.append((yield from recv_exactly(left, 4)))

    world.add(server())
    world.add(client())
    world.at_end(lambda: answers == [b"ping"])


def with_(program, **options):
    return lambda world: program(world, **options)


# -- How many, and what is said --------------------------------------------------------


def test_a_lost_update_fails_in_1512_of_1680_schedules():
    result = explore(lost_update)

    assert (result.schedules, result.failures, result.complete) == (1680, 1512, True)
    assert str(result).startswith(
        "fails in 1,512 of 1,680 schedules; the shortest has no switch: AssertionError: at_end("
    )
    assert not result


def test_its_repair_holds_in_all_of_them():
    result = explore(atomic_update)

    assert str(result) == "holds in all 1,680 schedules"
    assert (bool(result), result.failure, result.passing) == (True, None, None)


def test_a_search_that_was_cut_short_says_so():
    result = explore(atomic_update, at_most=100)

    assert str(result) == "holds in the first 100 of more schedules"
    assert (result.schedules, result.complete) == (100, False)


def test_a_search_that_is_just_long_enough_is_complete():
    assert explore(atomic_update, at_most=1680).complete
    assert not explore(atomic_update, at_most=1679).complete


def test_one_schedule_is_said_as_one():
    def alone(world):
        world.add(iter_once())

    assert str(explore(alone)) == "holds in its only schedule"


def iter_once():
    yield WAIT(0)


def test_each_program_of_steps_has_the_number_of_orders_that_arithmetic_gives():
    def steps(counts):
        def program(world):
            for count in counts:
                world.add(WAIT(0) for _ in range(count - 1))

        return program

    counts = list(product([1, 2, 3], repeat=3))

    assert [explore(steps(each)).schedules for each in counts] == [
        math.factorial(sum(each)) // math.prod(map(math.factorial, each)) for each in counts
    ]


OPERATIONS = st.lists(
    st.sampled_from(["read a", "read b", "write a", "write b"]), min_size=1, max_size=2
)


@settings(max_examples=30, deadline=None)
@given(st.lists(OPERATIONS, min_size=2, max_size=3))
def test_the_outcomes_are_those_of_brute_force(fibers):
    found, expected = [], []

    def apply(fiber, operation, cells, seen):
        verb, cell = operation.split()
        if verb == "read":
            seen[fiber] = cells[cell]
        else:
            cells[cell] = seen[fiber] + 1

    def program(world):
        cells, seen = dict.fromkeys("ab", 0), [0] * len(fibers)

        def body(fiber):
            for operation in fibers[fiber][:-1]:
                apply(fiber, operation, cells, seen)
                yield WAIT(0)
            apply(fiber, fibers[fiber][-1], cells, seen)

        for fiber in range(len(fibers)):
            world.add(body(fiber))
        world.at_end(lambda: found.append((dict(cells), list(seen))))

    for order in set(permutations([n for n, each in enumerate(fibers) for _ in each])):
        cells, seen, at = dict.fromkeys("ab", 0), [0] * len(fibers), [0] * len(fibers)
        for fiber in order:
            apply(fiber, fibers[fiber][at[fiber]], cells, seen)
            at[fiber] += 1
        expected.append((cells, seen))
    explore(program)

    assert sorted(map(repr, found)) == sorted(map(repr, expected))


# -- Textbook races --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("broken", "repaired", "kind"),
    [
        (with_(two_locks, ordered=False), with_(two_locks, ordered=True), Deadlock),
        (with_(wake_up, kept=False), with_(wake_up, kept=True), Deadlock),
        (with_(check_then_act, again=False), with_(check_then_act, again=True), AssertionError),
        (with_(dining, ordered=False), with_(dining, ordered=True), Deadlock),
    ],
    ids=["two locks", "lost wake-up", "check then act", "dining philosophers"],
)  # fmt: skip
def test_a_race_is_found_and_its_repair_holds_in_all_schedules(broken, repaired, kind):
    found, mended = explore(broken), explore(repaired)

    assert (type(found.failure.error), found.complete) == (kind, True)
    assert re.fullmatch(r"holds in all [\d,]+ schedules", str(mended))


def test_a_time_out_just_before_the_reply_is_found_if_asked_for():
    plain = explore(with_(time_out, caught=False))
    found = explore(with_(time_out, caught=False), faults=["timeout"])
    mended = explore(with_(time_out, caught=True), faults=["timeout"])

    assert (bool(plain), bool(mended), mended.complete) == (True, True, True)
    assert isinstance(found.failure.error, FiberTimeout)
    assert found.failure.tape.startswith("timeout:")
    assert found.failure.switches == ("before step 3 'client' is timed out",)


def test_a_cancel_at_any_yield_is_found_if_asked_for():
    plain = explore(with_(cancelled, guarded=False))
    found = explore(with_(cancelled, guarded=False), faults=["cancel"])
    mended = explore(with_(cancelled, guarded=True), faults=["cancel"])

    assert (bool(plain), bool(mended), mended.complete) == (True, True, True)
    assert isinstance(found.failure.error, Deadlock)


def test_a_reset_is_found_if_asked_for():
    found = explore(echo, faults=["reset"])

    assert isinstance(found.failure.error, (ConnectionResetError, EOFError))
    assert "is reset" in str(found)


def test_a_delay_brings_what_is_due_later_to_the_same_moment():
    def sleepers(world):
        order = []

        def sleeper(seconds):
            yield WAIT(seconds)
            order.append(seconds)

        def busy():
            yield WAIT(0)
            yield WAIT(0)

        for seconds in (1, 2):
            world.add(sleeper(seconds), f"sleeps {seconds}")
        world.add(busy(), "busy")
        world.at_end(lambda: order == [1, 2])

    plain, held_up = explore(sleepers), explore(sleepers, faults=["delay"])

    assert (bool(plain), bool(held_up), held_up.complete) == (True, False, True)
    assert "the program is held up" in str(held_up)


def test_equal_deadlines_fire_in_either_order():
    orders = set()

    def program(world):
        order = []

        def sleeper(name):
            yield WAIT(1)
            order.append(name)

        for name in "abc":
            world.add(sleeper(name))
        world.at_end(lambda: orders.add("".join(order)) or True)

    explore(program)

    assert orders == {"".join(order) for order in permutations("abc")}


def test_a_fiber_that_data_wakes_may_run_before_one_that_was_ready_already():
    orders = set()

    def program(world):
        order = []
        ours, theirs = world.socketpair()

        def reader():
            yield RECV(theirs)
            order.append("reader")

        def sender():
            ours.send(b"x")
            order.append("sender")
            yield WAIT(0)

        def bystander():
            order.append("bystander")
            yield WAIT(0)

        world.add(reader())
        world.add(sender())
        world.add(bystander())
        world.at_end(lambda: orders.add(tuple(order)) or True)

    explore(program)

    every = permutations(["reader", "sender", "bystander"])
    assert orders == {order for order in every if order.index("sender") < order.index("reader")}


def test_clients_that_arrive_at_one_moment_are_accepted_in_any_order():
    orders = set()

    def program(world):
        order, socks = [], []

        def handle(sock):
            yield RECV(sock)

        def accepted(sock, address):
            order.append(address)
            return handle(sock)

        def clients():
            for _ in range(3):
                socks.append(world.connect(address, latency=1))
            yield WAIT(3)
            for sock in socks:
                sock.close()

        address = world.listen(accepted, 80)
        world.add(clients())
        world.at_end(lambda: orders.add(tuple(order)) or True)

    result = explore(program, at_most=3_000)

    assert len(orders) == 6
    assert result


# -- The package's own ------------------------------------------------------------------


@pytest.mark.parametrize("program", [started, joined_by_all, echo])
@pytest.mark.once
def test_join_and_sockets_hold_in_every_schedule(program):
    result = explore(program)

    assert re.fullmatch(r"holds in all [\d,]+ schedules", str(result))


WAITS = [each for count in range(4) for each in product([0, 1, None], repeat=count)]
"""What a child of the programs below waits for before it ends: three waits at most."""


@pytest.mark.parametrize("first", WAITS, ids=str)
def test_the_one_that_joins_is_never_the_only_one_left(first):
    def program(world, second):
        def child(waits):
            for seconds in waits:
                yield WAIT(seconds)

        def parent():
            for fiber in [start(child(waits), "child") for waits in (first, second)]:
                yield from join(fiber)

        world.add(parent(), "parent")

    results = [explore(with_(program, second=second)) for second in WAITS[:13]]

    # A deadlock that the contract names: a child asks for another fiber, and none is left to run.
    left = [each.failure.error.fibers for each in results if not each]
    assert all("child" in [fiber.name for fiber in fibers] for fibers in left)
    assert all(each.complete for each in results)


# -- A failure, its replay and its neighbour --------------------------------------------


def saved(trace, path):
    trace.save(path)
    return path.read_bytes()


def test_a_replay_is_the_same_byte_for_byte(tmp_path):
    program = with_(two_locks, ordered=False)
    failure = explore(program).failure

    once, again = (replay(program, failure.tape) for _ in range(2))

    texts = {saved(trace, tmp_path / "t.jsonl") for trace in (failure.trace, once, again)}
    assert len(texts) == 1


def test_a_replay_with_a_fault_needs_only_the_tape(tmp_path):
    program = with_(cancelled, guarded=False)
    failure = explore(program, faults=["cancel"]).failure

    again = replay(program, failure.tape)

    assert saved(again, tmp_path / "t") == saved(failure.trace, tmp_path / "t")


def test_the_shortest_failure_comes_first_and_says_its_switch():
    """Only if `last` runs before `first` does it fail: one switch."""

    def program(world):
        order = []

        def note(name):
            order.append(name)
            yield WAIT(0)

        for name in ("first", "middle", "last"):
            world.add(note(name), name)
        world.at_end(lambda: order.index("first") < order.index("last"))

    result = explore(program)

    assert result.failure.tape == "2"
    assert result.failure.switches == ("at step 1 'last' runs before 'first'",)
    assert "the shortest has 1 switch: at step 1 'last' runs before 'first'; Assert" in str(result)


def resumed(trace):
    return [event.fid for event in trace if event.ev == "resume"]


def test_the_nearest_that_passes_lacks_the_last_switch():
    result = explore(with_(check_then_act, again=True))
    assert result
    result = explore(lost_update)

    # Without a switch it fails; so the nearest one has one, as late as can be.
    assert resumed(result.failure.trace) == [1, 2, 3, 1, 2, 3, 1, 2, 3]
    assert result.passing is not None
    assert resumed(result.passing) != resumed(result.failure.trace)


def test_assert_holds_tells_the_sentence_and_the_tape():
    with pytest.raises(AssertionError, match=r"fails in 1,512 of 1,680 .*\nreplay\(program, '0'\)"):
        assert_holds(lost_update)
    assert_holds(atomic_update)


@pytest.mark.parametrize(
    ("choices", "faults", "text"),
    [
        ((), (), "0"),
        ((0, 2, 1), (), "0.2.1"),
        ((0, 0, 0, 0, 0, 1, 0, 0), (), "0x5.1"),
        ((1,), ("cancel", "reset"), "cancel+reset:1"),
    ],
)
def test_a_tape_is_short_text(choices, faults, text):
    read, asked = tapes.read(text)

    assert tapes.written(choices, faults) == text
    assert (tapes.written(read, asked), asked) == (text, faults)


@pytest.mark.parametrize(
    "text", ["", "a", "1.", "-1", "fire:1", "1..2", "0x0", ":1", "99999999999"]
)
def test_what_is_no_tape_is_refused(text):
    with pytest.raises(ValueError, match=r"a tape is numbers|a fault is one of"):
        tapes.read(text)


@pytest.mark.parametrize(
    ("program", "faults"),
    [
        (lost_update, ()),
        (with_(wake_up, kept=False), ()),
        (with_(dining, ordered=False), ()),
        (with_(time_out, caught=False), ["timeout"]),
        (with_(time_out, caught=False), ["delay", "reset"]),
        (with_(cancelled, guarded=False), ["cancel"]),
    ],
)
def test_both_traces_keep_the_laws_and_can_be_compared(program, faults):
    result = explore(program, faults=faults)
    check_story(result.failure.trace)
    check_story(result.passing)

    assert compare(result.failure.trace, result.passing).differences


def test_a_failure_of_the_only_schedule_can_be_replayed():
    def program(world):
        world.add(iter_once())
        world.at_end(lambda: False)

    failure = explore(program).failure

    assert list(replay(program, failure.tape)) == list(failure.trace)


@pytest.mark.parametrize("text", ["7", "0.0.0.0.0.0.0.0.0.0.0.0.1"])
def test_a_tape_of_another_program_is_refused(text):
    with pytest.raises(ValueError, match="it belongs to another program"):
        replay(lost_update, text)


def test_a_program_that_is_not_the_same_each_time_is_refused():
    calls = []

    def program(world):
        calls.append(None)
        for _ in range(3 if len(calls) == 1 else 1):
            world.add(iter_once())

    with pytest.raises(ValueError, match="not the same each time"):
        explore(program)


# -- What counts as a failure -----------------------------------------------------------


def test_an_exception_that_a_fiber_does_not_catch_is_a_failure():
    def program(world):
        def fails():
            yield WAIT(0)
            raise KeyError("lost")

        world.add(fails())

    assert repr(explore(program).failure.error) == "KeyError('lost')"


def test_a_check_that_raises_is_a_failure_and_one_that_returns_none_is_not():
    def program(world):
        world.add(iter_once())
        world.always(lambda: None)
        world.at_end(lambda: {}["nothing"])

    assert isinstance(explore(program).failure.error, KeyError)


def test_a_program_that_never_ends_is_a_failure():
    def program(world):
        def spin():
            while True:
                yield WAIT(0)

        world.add(spin())

    assert "has not ended after 10,000 steps" in str(explore(program))


def test_what_fibers_print_is_withheld(capsys):
    def program(world):
        def talks():
            print("hello")
            yield WAIT(0)

        world.add(talks())
        world.add(talks())

    result = explore(program)

    assert (result.complete, capsys.readouterr().out) == (True, "")


@pytest.mark.parametrize(
    ("program", "options", "message"),
    [
        (lost_update, {"at_most": 0}, r"at_most=\) is a number of schedules > 0"),
        (lost_update, {"faults": ["flood"]}, "a fault is one of cancel, timeout, delay, reset"),
        (lambda world: iter_once(), {}, "write def program"),
    ],
)
def test_a_mistake_says_what_was_expected(program, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        explore(program, **options)


# -- Beyond the exhaustive ---------------------------------------------------------------


def far_away(world):
    """Fails only if `b` runs all its ten steps before `a` has run at all."""
    a, b = [], []

    def steps(own, count):
        for _ in range(count):
            own.append(len(a))
            yield WAIT(0)

    world.add(steps(a, 6), "a")
    world.add(steps(b, 6), "b")
    world.at_end(lambda: b != [0] * 6)


def test_random_priorities_find_what_the_first_schedules_do_not():
    without, found = explore(far_away, at_most=20), explore(far_away, at_most=20, seed=1)

    assert (bool(without), bool(found), found.shortest) == (True, False, False)
    assert (found.sample.seed, found.sample.schedules) == (1, 20)
    assert found.sample.chance == 1 / (2 * 14**2)  # 2 fibers, 14 steps, depth 3
    assert "drawn at random (seed 1; each finds a bug of depth 3 with probability" in str(found)
    assert "the shortest found has 6 switches" in str(found)
    assert found.passing is not None


def test_the_same_seed_gives_the_same_result():
    one, other = (explore(far_away, at_most=20, seed=7) for _ in range(2))

    assert (str(one), one.sample) == (str(other), other.sample)


def test_random_priorities_hit_as_often_as_is_promised():
    sample = explore(far_away, at_most=300, seed=5).sample

    assert sample.failures / sample.schedules >= sample.chance


class Scripted:
    """In the place of random.Random: gives out what it was told."""

    def __init__(self, changes, priorities):
        self.changes, self.priorities = list(changes), list(priorities)

    def randrange(self, *_):
        return self.changes.pop(0)

    def random(self):
        return self.priorities.pop(0)


def steps_in_order(policy, counts):
    """Return the steps ("a", 0), ("a", 1), ... in the order in which `policy` runs them."""
    fibers, left, order = {name: SimpleNamespace(id=name) for name in counts}, dict(counts), []
    while ready := [fibers[name] for name, count in left.items() if count]:
        name = ready[policy(ready, len(ready))].id
        order.append((name, counts[name] - left[name]))
        left[name] -= 1
    return order


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("counts", [{"a": 2, "b": 2, "c": 1}, {"a": 3, "b": 2}], ids=str)
def test_random_priorities_find_every_bug_with_the_stated_probability(counts, depth):
    """A bug is any `depth` pairs of steps that must come in this order, if they can.

    All that can be drawn is tried, so these are probabilities and no estimates.
    """
    steps = [(name, number) for name in counts for number in range(counts[name])]
    pairs = [(one, other) for one, other in permutations(steps, 2) if one[0] != other[0]]

    def bugs_of(order):
        at = {step: place for place, step in enumerate(order)}
        return combinations([pair for pair in pairs if at[pair[0]] < at[pair[1]]], depth)

    drawn = list(product(range(1, len(steps) + 1), repeat=depth - 1))
    firsts = list(permutations(range(len(counts))))
    hits = Counter(
        bug
        for changes, first in product(drawn, firsts)
        for bug in bugs_of(
            steps_in_order(RandomPriorities(Scripted(changes, first), len(steps), depth), counts)
        )
    )
    possible = {
        bug
        for order in permutations(steps)
        if all(
            order.index((name, n)) < order.index((name, n + 1))
            for name, n in steps
            if (name, n + 1) in steps
        )
        for bug in bugs_of(order)
    }

    rarest = min(hits[bug] for bug in possible) / (len(drawn) * len(firsts))
    assert rarest >= RandomPriorities.chance(len(counts), len(steps), depth)


def test_nothing_is_promised_where_more_than_the_next_fiber_is_drawn():
    result = explore(far_away, at_most=20, seed=1, faults=["cancel"])

    assert result.sample.chance is None
    assert str(result).startswith("fails in 0 of the first 20 of more schedules, and in ")
    assert "drawn at random (seed 1); the shortest found has" in str(result)


def test_nothing_is_drawn_where_all_was_run():
    assert explore(atomic_update, seed=1).sample is None


# -- Progress and ^C ---------------------------------------------------------------------


def test_progress_is_told_now_and_then_and_at_the_end():
    told = []
    explore(lost_update, progress=lambda *numbers: told.append(numbers))

    assert [done for done, _ in told] == [256, 512, 768, 1024, 1280, 1536, 1680]
    assert told[-1] == (1680, 1512)


def test_an_interrupt_gives_what_was_found_so_far():
    def interrupt(done, failed):
        raise KeyboardInterrupt

    runs = []

    def program(world):
        runs.append(None)
        if len(runs) == 500:
            raise KeyboardInterrupt
        lost_update(world)

    result = explore(program)

    assert (result.schedules, result.complete, result.interrupted) == (499, False, True)
    assert "of the first 499 of more schedules" in str(result)
    assert isinstance(result.failure.error, AssertionError)


@pytest.mark.parametrize("program", [5, None, "text"])
def test_what_is_no_program_is_refused(program):
    for verb in (explore, assert_holds, partial(replay, tape="0")):
        with pytest.raises(
            TypeError, match=f"needs a function that builds a program, got {program!r}"
        ):
            verb(program)


def test_a_check_that_a_program_returns_is_refused_not_forgotten():
    def program(world):
        return lambda: False

    with pytest.raises(TypeError, match=r"returned <function .*: say what must hold"):
        explore(program)
