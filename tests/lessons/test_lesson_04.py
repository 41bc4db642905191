"""Lesson 04, readiness: what its question and its exercises make of an answer."""

from __future__ import annotations

import contextlib
import platform
import select
import selectors
import socket
import sys
import threading

import pytest
from misconceptions import Wrong

from fiberlab.lab import examine
from fiberlab.lab.lessons.l04_readiness import (
    EdgePoller,
    LevelPoller,
    draw_ready_sets,
    experiment,
    readable_numbers,
    slow_and_fast,
    try_pass,
    wait_until_writable,
)
from fiberlab.lab.lessons.l04_readiness.exercises import DATA, look_at_sockets
from fiberlab.lab.lessons.l04_readiness.experiment import (
    SIZE_BYTES,
    NarrowSocket,
    at_number,
    transfer,
)
from fiberlab.lab.lessons.l04_readiness.question import reported_first

# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "choice"),
    [(["ben"], "a"), (["ann"], "b"), (["cat"], "c"), (["ben", "ann", "cat"], "d")],
)
def test_whom_select_reported_first_follows_from_the_ready_sets(first, choice):
    assert reported_first([(0.0, 0.1, first), (0.1, 0.2, ["cat"])]) == choice


# -- What the lesson is made of --------------------------------------------------------


@pytest.mark.live
def test_a_client_left_alone_ends_when_the_server_leaves():
    before = threading.active_count()
    with slow_and_fast() as connections:
        names = list(connections)

    assert names == ["ben", "ann", "cat"]
    assert threading.active_count() == before
    assert {each.fileno() for each in connections.values()} == {-1}


def wakeups(make_poller):
    left, right = socket.socketpair()
    with left, right, make_poller(right) as poller:
        left.sendall(b"four")
        count = 0
        while poller.poll(0.05):
            count += 1
            right.recv(1)
        return count


@pytest.fixture(params=["epoll", "neither"])
def edges_of(request, monkeypatch):
    """Take away what this system has for edges, or leave it."""
    if request.param == "neither":
        monkeypatch.delattr(select, "epoll", raising=False)
        monkeypatch.delattr(select, "kqueue", raising=False)


@pytest.mark.live
def test_a_level_wakes_for_each_byte_that_is_left():
    assert wakeups(LevelPoller) == 4


@pytest.mark.live
@pytest.mark.usefixtures("edges_of")
def test_an_edge_wakes_once():
    assert wakeups(EdgePoller) == 1


@pytest.mark.live
@pytest.mark.usefixtures("edges_of")
def test_an_edge_wakes_again_when_more_arrives():
    left, right = socket.socketpair()
    with left, right, EdgePoller(right) as poller:
        left.sendall(b"one")
        first = poller.poll(5), poller.poll(0.01)
        left.sendall(b"two")

        assert (first, poller.poll(5), poller.poll(0.01)) == ((True, False), True, False)


@pytest.mark.live
@pytest.mark.parametrize("duplicates", [True, False])
def test_a_listener_can_have_a_high_number(duplicates, monkeypatch):
    if not duplicates:
        monkeypatch.setattr(experiment, "fcntl", None)
    with at_number(socket.create_server(("127.0.0.1", 0)), 1305) as listener:
        with socket.create_connection(listener.getsockname(), 5):
            numbers = readable_numbers(listener)
            listener.accept()[0].close()

        assert (numbers, listener.fileno()) == ([1305], 1305)
        assert numbers[0] is not listener.fileno()


@pytest.mark.skipif(platform.python_implementation() != "CPython", reason="others keep others")
def test_small_integers_end_where_the_lesson_says():
    last = 1024 if sys.version_info >= (3, 15) else 256

    assert [int(str(number)) is int(str(number)) for number in (205, last)] == [True, True]
    assert [int(str(number)) is int(str(number)) for number in (last + 1, 1305)] == [False, False]


@pytest.mark.live
@pytest.mark.posix
def test_a_number_above_the_limit_is_allowed_for_a_moment():
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        with at_number(socket.create_server(("127.0.0.1", 0)), 1305) as listener:
            number = listener.fileno()
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert (number, soft) == (1305, 256)


@pytest.mark.live
def test_a_narrow_socket_takes_a_part_and_has_room_again_when_the_other_end_has_read():
    with NarrowSocket() as sock:
        sent = sock.send(bytes(5000))
        with pytest.raises(BlockingIOError):
            while True:
                sock.send(bytes(5000))
        wait_until_writable(sock)
        again = sock.send(b"lo")

        assert 0 < sent < 5000
        assert again == 2
        assert sock.received().endswith(b"\0lo")


@pytest.mark.parametrize(("buffer_bytes", "sends"), [(4096, 45), (16_384, 34), (65_536, 1)])
def test_a_larger_buffer_needs_fewer_sends(buffer_bytes, sends):
    taken, received = transfer(buffer_bytes, latency_ms=10)

    assert len(taken) == sends
    assert taken[-1][1] == received[-1][1] == SIZE_BYTES
    assert taken[-1][0] < received[-1][0]


def test_the_last_report_of_each_client_is_hollow():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    draw_ready_sets(axes, [(0, 1, ["cat"]), (1, 2, ["cat"]), (2, 3, ["ann"])], ["ann", "cat"])

    assert [(*line.get_xdata(), line.get_fillstyle()) for line in axes.lines] == [
        ("full",),
        (3000, "none"),
        (1000, "full"),
        (2000, "none"),
    ]


# -- Exercise 1: the ready set ---------------------------------------------------------


@pytest.mark.live
def test_the_sockets_of_exercise_1_are_as_the_lesson_says():
    assert look_at_sockets() == ({"ann", "cat", "door"}, {"ann", "ben", "cat"})


@pytest.mark.live
def test_the_right_sets_pass_in_any_order_and_form():
    assert examine("l04-e1", (["door", "cat", "ann"], {"ben", "ann", "cat"})).passed


READABLE = ["ann", "cat", "door"]

# -- Exercise 2: send it all -----------------------------------------------------------


def waiting_first(sock, data):
    while data:
        wait_until_writable(sock)
        data = data[sock.send(data) :]


def trying_first(sock, data):
    sent = 0
    while sent < len(data):
        try:
            sent += sock.send(data[sent:])
        except BlockingIOError:
            wait_until_writable(sock)


def sending_once(sock, data):
    sock.send(data)


def sending_again(sock, data):
    sent = 0
    while sent < len(data):
        wait_until_writable(sock)
        sent += sock.send(data)


def sending_all(sock, data):
    sock.sendall(data)


def spinning(sock, data):
    while data:
        with contextlib.suppress(BlockingIOError):
            data = data[sock.send(data) :]


def not_catching(sock, data):
    while data:
        data = data[sock.send(data) :]


def skipping(sock, data):
    for start in range(0, len(data), 5):
        try:
            sock.send(data[start : start + 5])
        except BlockingIOError:
            wait_until_writable(sock)


def by_select(sock, data):
    while data:
        select.select([], [sock], [])
        data = data[sock.send(data) :]


def by_a_selector(sock, data):
    view = memoryview(data)
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_WRITE)
        while view:
            selector.select()
            view = view[sock.send(view) :]


def by_bytes(sock, data):
    for byte in range(len(data)):
        select.select([], [sock.fileno()], [])
        sock.send(data[byte : byte + 1])


def making_it_block(sock, data):
    sock.setblocking(True)
    sock.sendall(data)


@pytest.mark.live
@pytest.mark.parametrize(
    "function", [waiting_first, trying_first, by_select, by_a_selector, by_bytes]
)
def test_a_loop_that_goes_on_behind_what_was_taken_passes(function):
    judgement = examine("l04-e2", function)

    assert str(judgement) == f"passed: all {len(DATA)} bytes, once and in order, in pieces"


# -- Exercise 3: the comparison --------------------------------------------------------


def passing(is_listener):
    """Return a pass that finds the listener by `is_listener(number, listener)`."""

    def one_pass(listener, connections):
        for number in readable_numbers(listener, *connections.values()):
            if is_listener(number, listener):
                connection, _ = listener.accept()
                connections[connection.fileno()] = connection
            else:
                connections[number].recv(1024)

    return one_pass


mended = passing(lambda number, listener: number == listener.fileno())
identical = passing(lambda number, listener: number is listener.fileno())
high = passing(lambda number, listener: number > 1024 or number is listener.fileno())


def forgiving(listener, connections):
    for number in readable_numbers(listener, *connections.values()):
        if number is listener.fileno():
            connection, _ = listener.accept()
            connections[connection.fileno()] = connection
        elif number in connections:
            connections[number].recv(1024)


def accepting_only(listener, connections):
    for number in readable_numbers(listener):
        if number == listener.fileno():
            connection, _ = listener.accept()
            connections[connection.fileno()] = connection


def looking_only(listener, connections):
    readable_numbers(listener, *connections.values())


@pytest.mark.live
def test_a_comparison_by_value_passes():
    assert examine("l04-e3", mended).passed


@pytest.mark.live
@pytest.mark.parametrize(
    ("number", "told"), [(205, "1 client accepted"), (1305, "crash, KeyError: 1305")]
)
def test_a_comparison_by_identity_crashes_at_a_high_number(number, told):
    assert try_pass(identical, number) == told


WRONG = (
    Wrong("l04-e1", (["ann"], []), "cat has left: recv will not block"),
    Wrong("l04-e1", (["ann", "cat"], []), "a listener is readable"),
    Wrong("l04-e1", (["ann", "ben", "cat", "door"], []), "ben is silent"),
    Wrong("l04-e1", (READABLE, ["cat"]), "says nothing of the room towards her"),
    Wrong("l04-e1", (READABLE, ["ann", "cat"]), "nearly always writable"),
    Wrong("l04-e1", (READABLE, ["ann", "ben"]), "a send to cat will not block"),
    Wrong("l04-e1", (READABLE, ["ann", "ben", "cat", "dan"]), "towards dan is full"),
    Wrong("l04-e1", ([*READABLE, "eve"], []), "the names are ann, ben"),
    Wrong("l04-e2", sending_once, "the rest is still yours"),
    Wrong("l04-e2", sending_again, "must not be sent again"),
    Wrong("l04-e2", sending_all, "sendall gives up in the middle"),
    Wrong("l04-e2", spinning, "full until the other end reads"),
    Wrong("l04-e2", not_catching, "raises BlockingIOError: catch it"),
    Wrong("l04-e2", skipping, "missing in the middle"),
    Wrong("l04-e2", making_it_block, "leave it non-blocking"),
    Wrong("l04-e3", identical, "`is` asks whether two names are of one object"),
    Wrong("l04-e3", forgiving, "no client is served either"),
    Wrong("l04-e3", high, "a connection may have a high number too"),
    Wrong("l04-e3", accepting_only, "a connection may have a high number too"),
    Wrong("l04-e3", looking_only, "accept, and keep the connection"),
)
