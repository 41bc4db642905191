"""Orders of independent steps count as one: the same ends as in all schedules, in fewer runs."""

from __future__ import annotations

import re
from collections import deque
from enum import Enum
from functools import partial
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiberlab import (
    RECV,
    SEND,
    WAIT,
    Deadlock,
    FiberCancelled,
    FiberTimeout,
    assert_holds,
    explore,
    join,
    replay,
    start,
)
from fiberlab.exploration import search
from fiberlab.exploration.world import run

pytestmark = pytest.mark.once

# -- The same as brute force --------------------------------------------------------------

OPERATIONS = [
    "turn",
    "sleep",
    "park",
    "read a",
    "add a",
    "add b",
    "append",
    "send",
    "receive",
    "receive in time",
    "start",
    "start and join",
    "cancel the first",
    "look at the first",
    "burn",
    "what time",
]


def program_of(fibers, world, states):
    """Build fibers of operations; note in `states` how to read what they have done."""
    a, b = world.cell(0), world.cell(0)
    listed = world.cell([])
    ours, theirs = world.socketpair()
    seen = tuple(world.cell(()) for _ in fibers)
    first = []

    def child(cell):
        cell.value += 1
        yield WAIT(0)
        return cell.value

    def body(number, operations, clock, parent):
        note = seen[number]
        for operation in operations:
            try:
                match operation.split():
                    case ["turn"]:
                        yield WAIT(0)
                    case ["sleep"]:
                        yield WAIT(1)
                    case ["park"]:
                        yield WAIT(None)
                    case ["read", name]:
                        note.value += ((a if name == "a" else b).value,)
                        yield WAIT(0)
                    case ["add", name]:
                        (a if name == "a" else b).value += 1
                    case ["append"]:
                        listed.value.append(number)
                    case ["send"]:
                        yield SEND(ours)
                        note.value += (ours.send(b"%d" % number),)
                    case ["receive"]:
                        yield RECV(theirs)
                        note.value += (theirs.recv(1),)
                    case ["receive", "in", "time"]:
                        yield RECV(theirs, timeout=1)
                        note.value += (theirs.recv(1),)
                    case ["start"]:
                        note.value += (start(child(a)).id,)
                    case ["start", "and", "join"]:
                        note.value += ((yield from join(start(child(b)))),)
                    case ["cancel", "the", "first"]:
                        parent and parent.cancel()
                    case ["look", "at", "the", "first"]:
                        note.value += (parent and parent.state.value,)
                    case ["burn"]:
                        clock.burn(1)
                    case ["what", "time"]:
                        note.value += (clock.now(),)
            except (FiberTimeout, FiberCancelled) as error:
                note.value += (type(error).__name__,)

    for number, operations in enumerate(fibers):
        parent = first[0] if first else None
        first.append(
            world.add(body(number, tuple(operations), world.clock, parent), f"fiber {number}")
        )

    def state():
        assert ours.fileno() > 0  # it must live on: else the end of the stream comes some day
        return [cell.value for cell in (a, b, *seen)], list(listed.value), left_in(theirs)

    states.append(state)


def left_in(sock):
    try:
        return sock.recv(10)
    except OSError:
        return None


def ends_of(fibers, *, reduce):
    """Return how the schedules end, each end once, and how many schedules there were."""
    ends = set()

    def play(choices, faults, trace):
        states = []
        played = run(lambda world: program_of(fibers, world, states), choices, faults, trace)
        names = sorted(f.name for f in getattr(played.error, "fibers", ()))
        ends.add((repr(states[0]()), type(played.error).__name__, repr(names)))
        return played

    result = search.search(play, None, 200, (), None, reduce=reduce)
    return ends, result


def assert_same_ends(fibers):
    everything, brute = ends_of(fibers, reduce=False)
    if not brute.complete:
        return
    found, reduced = ends_of(fibers, reduce=True)

    assert reduced.complete
    assert found == everything
    assert bool(reduced) == bool(brute)
    assert reduced.schedules <= brute.schedules


@pytest.mark.parametrize("first", OPERATIONS)
def test_the_ends_of_each_two_operations_are_those_of_brute_force(first):
    for second in OPERATIONS:
        assert_same_ends([[first], [second]])


@settings(max_examples=15)
@given(st.lists(st.lists(st.sampled_from(OPERATIONS), max_size=3), min_size=2, max_size=3))
def test_the_ends_of_larger_programs_are_those_of_brute_force(fibers):
    assert_same_ends(fibers)


def test_the_ends_of_clients_of_a_listener_are_those_of_brute_force():
    """Two clients; each one's handler notes which of them has come."""

    def ends(*, reduce):
        found = set()

        def program(world):
            came = world.cell(())

            def handle(sock, _):
                yield RECV(sock)
                came.value += (sock.recv(1),)

            def client(name):
                sock = world.connect(address)
                yield WAIT(0)
                sock.send(name)
                sock.close()

            address = world.listen(handle, 80)
            world.add(client(b"a"))
            world.add(client(b"b"))
            world.at_end(lambda: found.add(came.value) or True)

        result = explore(program, reduce=reduce, at_most=1_500)
        return found, result

    everything, brute = ends(reduce=False)
    found, reduced = ends(reduce=True)

    assert reduced.complete
    assert (bool(reduced), bool(brute)) == (True, True)
    assert found == everything == {(b"a", b"b"), (b"b", b"a")}


# -- How many are run -----------------------------------------------------------------------


def counting(world, cells_of_fibers, steps):
    """Each fiber adds to its cell, `steps` times."""
    cells = {number: world.cell(0) for number in cells_of_fibers}

    def add(cell):
        for _ in range(steps):
            cell.value += 1
            yield WAIT(0)

    for number in cells_of_fibers:
        world.add(add(cells[number]))
    world.at_end(lambda: sum(cell.value for cell in cells.values()) == len(cells_of_fibers) * steps)


def lost_update(world):
    box = world.cell(0)

    def increment():
        yield WAIT(0)
        value = box.value
        yield WAIT(0)
        box.value = value + 1

    for name in "abc":
        world.add(increment(), name)
    world.at_end(lambda: box.value == 3)


def pairs(world, count):
    """So many connections, with a fiber at either end."""

    def send(sock):
        yield SEND(sock)
        sock.send(b"x")

    def receive(sock):
        yield RECV(sock)
        sock.recv(1)

    for _ in range(count):
        ours, theirs = world.socketpair()
        world.add(send(ours))
        world.add(receive(theirs))


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        (partial(counting, cells_of_fibers="abcd", steps=2), "holds in its only schedule"),
        (partial(counting, cells_of_fibers="aab", steps=1), "holds in all 2 schedules"),
        (partial(counting, cells_of_fibers="aabb", steps=1), "holds in all 4 schedules"),
        (lost_update, "fails in 30 of 36 schedules; the shortest has no switch: .*"),
        (partial(pairs, count=1), "holds in all 3 schedules"),
        (partial(pairs, count=3), "holds in all 27 schedules"),
    ],
)
def test_one_schedule_of_each_class_is_run(program, sentence):
    result = explore(program, reduce=True)

    same = "; orders of independent steps count as one"
    assert re.fullmatch(sentence + same, str(result))
    assert (result.complete, result.reduced) == (True, True)


def test_a_check_that_always_holds_is_looked_at_in_every_order_of_what_it_reads():
    """The two cells are written by different fibers, and the check reads both."""

    def program(world):
        one, other = world.cell(0), world.cell(0)

        def write(cell):
            yield WAIT(0)
            cell.value = 1

        world.add(write(one))
        world.add(write(other))
        world.always(lambda: one.value >= other.value)

    assert not explore(program, reduce=True)
    assert not explore(program)


def test_a_failure_is_replayed_from_its_tape():
    """Fails only if `last` runs before `first`, whatever the others do."""

    def program(world):
        order = world.cell(())

        def note(name):
            order.value += (name,)
            yield WAIT(0)

        for name in ("first", "middle", "last"):
            world.add(note(name), name)
        world.at_end(lambda: order.value.index("first") < order.value.index("last"))

    result = explore(program, reduce=True)

    assert (result.failure.tape, result.shortest) == ("2", False)
    assert "the shortest found has 1 switch: at step 1 'last' runs before 'first'" in str(result)
    assert list(replay(program, result.failure.tape)) == list(result.failure.trace)
    assert result.passing is not None


def test_a_search_that_was_cut_short_says_so():
    result = explore(lost_update, reduce=True, at_most=20)

    assert (result.schedules <= 20, result.complete) == (True, False)
    assert f"of the first {result.schedules} of more schedules" in str(result)


def test_beyond_it_schedules_are_drawn():
    assert explore(lost_update, reduce=True, at_most=5, seed=1).sample.schedules == 5


def test_a_deadlock_is_found():
    def program(world):
        locks = world.cell(False), world.cell(False)

        def both(one, other):
            for lock in (one, other):
                while lock.value:
                    yield WAIT(None)
                lock.value = True
                yield WAIT(0)
            one.value = other.value = False

        world.add(both(*locks))
        world.add(both(*reversed(locks)))

    assert isinstance(explore(program, reduce=True).failure.error, Deadlock)


# -- What cannot be known is refused ---------------------------------------------------------

BOX = [0]
COUNT = 0


class Lock:
    def __init__(self, held):
        self.held = held

    def take(self):
        self.held = True


def sharing_a_list(world):
    box = [0]

    def add():
        box[0] += 1
        yield WAIT(0)

    return add()


def sharing_a_global(world):
    def add():
        BOX[0] += 1
        yield WAIT(0)

    return add()


def assigning_a_global(world):
    def add():
        global COUNT
        COUNT += 1
        yield WAIT(0)

    return add()


def assigning_a_variable(world):
    count = 0

    def add():
        nonlocal count
        count += 1
        yield WAIT(0)

    return add()


def given_a_dictionary(world):
    def add(box):
        box["a"] = 1
        yield WAIT(0)

    return add({})


def through_a_function(world):
    box = deque()

    def put():
        box.append(1)

    def add():
        put()
        yield WAIT(0)

    return add()


def through_a_method_that_is_built_in(world):
    put = [].append

    def add():
        put(1)
        yield WAIT(0)

    return add()


def through_a_default(world):
    def add(box=[]):  # noqa: B006
        box.append(1)
        yield WAIT(0)

    return add()


def through_an_object(world):
    lock = Lock(False)

    def take():
        lock.take()
        yield WAIT(0)

    return take()


def by_an_attribute(world):
    lock = Lock(False)

    def take():
        lock.held = True
        yield WAIT(0)

    return take()


class Shared:
    count = 0

    @staticmethod
    def add():
        Shared.count += 1


class SharesAList:
    box: list = []  # noqa: RUF012


def through_a_class(world):
    def add():
        Shared.add()
        yield WAIT(0)

    return add()


def through_a_class_s_list(world):
    thing = SharesAList()

    def add():
        thing.box.append(1)
        yield WAIT(0)

    return add()


def through_an_inner_generator(world):
    box = [0]

    def inner():
        box[0] += 1
        yield WAIT(0)

    def outer(generator):
        yield from generator

    return outer(inner())


def through_an_inner_function_s_variable(world):
    count = 0

    def add():
        def more():
            nonlocal count
            count += 1

        more()
        yield WAIT(0)

    return add()


@pytest.mark.parametrize(
    ("made", "what"),
    [
        (sharing_a_list, "'box' is a list"),
        (sharing_a_global, "'BOX' is a list"),
        (assigning_a_global, "'COUNT' is assigned"),
        (assigning_a_variable, "'count' is assigned"),
        (given_a_dictionary, "'box' is a dict"),
        (through_a_function, "'box' is a deque"),
        (through_a_method_that_is_built_in, "'put' is a list"),
        (through_a_default, "'box' is a list"),
        (through_an_object, "'lock.held' is assigned"),
        (by_an_attribute, "'lock.held' is assigned"),
        (through_a_class, "'Shared.count' is assigned"),
        (through_a_class_s_list, "'SharesAList.box' is a list"),
        (through_an_inner_generator, "'box' is a list"),
        (through_an_inner_function_s_variable, "'count' is assigned"),
    ],
)
def test_what_fibers_may_share_unseen_is_refused(made, what):
    with pytest.raises(
        ValueError,
        match=re.escape(what) + r": make it a constant, such as a tuple, or a cell = world\.cell",
    ):
        explore(lambda world: world.add(made(world)) and None, reduce=True)


def test_what_a_check_may_share_unseen_is_refused():
    def program(world):
        box = [0]
        world.always(lambda: box[0] == 0)

    with pytest.raises(ValueError, match="'box' is a list"):
        explore(program, reduce=True)


def test_constants_cells_functions_and_objects_of_cells_may_be_shared():
    class Counter:
        def __init__(self, world):
            self.count, self.by = world.cell(0), 1

        def add(self):
            self.count.value += self.by

    class Kind(Enum):
        ONE = 1

    class Named(NamedTuple):
        kind: Kind

    def program(world):
        counter, names, ours = Counter(world), ("a", "b"), world.socketpair()[0]

        def add(name, *, turns=2):
            for _ in range(turns):
                counter.add()
                yield WAIT(0)
            assert name in names
            assert Named(Kind.ONE).kind is Kind.ONE
            assert ours.fileno() > 0

        world.add(add("a"))
        world.add(add("b"))
        world.at_end(lambda: counter.count.value == 4)

    assert_holds(program, reduce=True)


@pytest.mark.parametrize("option", [{"faults": ["cancel"]}, {"executor": object()}])
def test_with_faults_or_an_executor_it_is_refused(option):
    with pytest.raises(ValueError, match=r"reduce=True\) is without faults= and without executor="):
        explore(lost_update, reduce=True, **option)


def test_a_cell_without_reduction_is_just_a_value():
    result = explore(lost_update)

    assert (result.schedules, result.failures, result.reduced) == (1680, 1512, False)
