"""Lesson 03, one blocking server: what its question and its exercises make of an answer."""

from __future__ import annotations

import heapq
import threading

import pytest
from misconceptions import Wrong

from fiberlab.lab import examine
from fiberlab.lab.lessons.l03_one_blocking_server import draw_schedule, draw_visits, visit
from fiberlab.lab.lessons.l03_one_blocking_server.experiment import Visit, Visits, waits_of
from fiberlab.lab.lessons.l03_one_blocking_server.question import when_answered

NAMES = ["ann", "ben", "cat"]


def served(*answered: float | None) -> Visits:
    return Visits(tuple(Visit("ann", 0, 0, seconds) for seconds in answered), cpu=0)


# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered", "choice"),
    [
        ((0.1, 0.11, 0.1, 0.12), "a"),
        ((0.4, 0.41, 0.4, 0.42), "b"),
        ((0.1, 0.2, 0.3, 0.4), "c"),
        ((0.3, 0.4, 0.5, 0.6), "c"),
        ((0.1, None, None, None), "d"),
    ],
)
def test_when_answered_follows_from_the_visits(answered, choice):
    assert when_answered(served(*answered)) == choice


# -- Visits ----------------------------------------------------------------------------


def serve(listener, clients):
    for _ in range(clients):
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1024):
                connection.sendall(data)


@pytest.mark.live
def test_visitors_are_accepted_and_answered_in_the_order_of_their_names():
    visits = list(visit(serve, NAMES))

    assert [each.answer for each in visits] == [b"ann", b"ben", b"cat"]
    assert sorted(visits, key=lambda each: each.accepted) == visits
    assert sorted(visits, key=lambda each: each.answered) == visits


@pytest.mark.live
def test_a_silent_visitor_is_accepted_before_it_speaks():
    [ann, ben, _] = visit(serve, NAMES, silent={"ann": 0.5})

    assert ann.accepted < 0.5 <= ann.sent <= ann.answered <= ben.answered


@pytest.mark.live
def test_a_visitor_that_is_not_accepted_sees_the_end():
    visits = visit(lambda listener, clients: None, NAMES)

    assert {each.answered for each in visits} == {None}
    assert {each.accepted for each in visits} == {None}


@pytest.mark.live
def test_a_server_that_raises_leaves_no_thread_behind():
    def broken(listener, clients):
        raise LookupError("broken")

    before = threading.active_count()
    with pytest.raises(LookupError, match="broken"):
        visit(broken, NAMES, silent={"ann": 60})

    assert threading.active_count() == before


@pytest.mark.live
def test_a_server_that_waits_for_too_many_gives_up_at_the_deadline():
    with pytest.raises(TimeoutError):
        visit(lambda listener, clients: serve(listener, clients + 1), NAMES, deadline=0.2)


def bars(ax):
    return [
        (label, [(bar.get_x(), bar.get_width()) for bar in container])
        for container, label in zip(
            ax.containers, (each.get_label() for each in ax.containers), strict=True
        )
    ]


def test_a_visit_is_drawn_as_waiting_silence_and_service(axes):
    draw_visits(axes, Visits((Visit("ann", 0.1, 0.3, 0.6),), cpu=0))

    assert bars(axes) == [
        ("waits to be accepted", [(0, 100)]),
        ("accepted; says nothing", [(100, pytest.approx(200))]),
        ("is served", [(300, pytest.approx(300))]),
    ]


def test_the_schedule_of_two_threads_is_drawn(axes):
    draw_schedule(axes, [300, 100, 100], threads=2)

    assert [where for _, where in bars(axes)] == [[(0, 300)], [(0, 100)], [(0, 100)], [(100, 100)]]
    assert axes.get_title() == "last answer after 300 ms; 10.0 answers a second"


@pytest.fixture
def axes():
    from matplotlib.figure import Figure

    return Figure().subplots()


@pytest.mark.parametrize(
    ("threads", "waits"),
    [(1, [0, 300, 400, 500]), (2, [0, 0, 100, 200]), (4, [0, 0, 0, 0])],
)
def test_a_client_waits_for_the_first_thread_that_is_free(threads, waits):
    assert waits_of([300, 100, 100, 100], threads) == waits


# -- Exercise 1: the serial bound ------------------------------------------------------


def sum_of_those_before(services):
    return sum(services[:-1])


def sum_of_all(services):
    return sum(services)


def longest(services):
    return max(services)


def as_long_as_its_own(services):
    return (len(services) - 1) * services[-1]


def text(services):
    return f"{sum(services[:-1])} ms"


def test_the_sum_of_those_before_passes():
    assert examine("l03-e1", sum_of_those_before).passed


# -- Exercise 2: give up a silent client -----------------------------------------------


def patient(connection, seconds):
    connection.settimeout(seconds)
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except TimeoutError:
            return "timed out"
    return "served"


def without_timeout(connection, seconds):
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except TimeoutError:
            return "timed out"
    return "served"


def not_catching(connection, seconds):
    connection.settimeout(seconds)
    with connection:
        while data := connection.recv(1024):
            connection.sendall(data)
    return "served"


def catching_all(connection, seconds):
    connection.settimeout(seconds)
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except Exception:
            return "timed out"
    return "served"


def not_waiting(connection, seconds):
    connection.settimeout(0)
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except BlockingIOError:
            return "timed out"
    return "served"


def leaving_it_open(connection, seconds):
    connection.settimeout(seconds)
    try:
        while data := connection.recv(1024):
            connection.sendall(data)
    except TimeoutError:
        return "timed out"
    connection.close()
    return "served"


def never_closing(connection, seconds):
    connection.settimeout(seconds)
    try:
        while data := connection.recv(1024):
            connection.sendall(data)
    except TimeoutError:
        return "timed out"
    return "served"


def never_ending(connection, seconds):
    connection.settimeout(seconds)
    with connection:
        try:
            while True:
                connection.sendall(connection.recv(1024))
        except TimeoutError:
            return "timed out"


def saying_served(connection, seconds):
    connection.settimeout(seconds)
    with connection:
        try:
            while data := connection.recv(1024):
                connection.sendall(data)
        except TimeoutError:
            pass
    return "served"


def swallowing(connection, seconds):
    connection.settimeout(seconds)
    with connection:
        while data := connection.recv(1024):
            pass
        connection.sendall(data)
    return "served"


@pytest.mark.live
def test_an_echo_with_a_timeout_passes():
    assert examine("l03-e2", patient).passed


# -- Exercise 3: more threads than one -------------------------------------------------


def first_free(services, threads):
    free, waited = [0] * threads, []
    for service in services:
        waited.append(heapq.heappop(free))
        heapq.heappush(free, waited[-1] + service)
    return waited


def single(services, threads):
    return [sum(services[:n]) for n in range(len(services))]


def divided(services, threads):
    return [sum(services[:n]) / threads for n in range(len(services))]


def dealt(services, threads):
    free, waited = [0] * threads, []
    for n, service in enumerate(services):
        waited.append(free[n % threads])
        free[n % threads] += service
    return waited


def sorted_by_length(services, threads):
    return first_free(sorted(services), threads)


def test_waiting_for_the_first_free_thread_passes():
    assert examine("l03-e3", first_free).passed


WRONG = (
    Wrong("l03-e1", sum_of_all, "being served is not waiting"),
    Wrong("l03-e1", longest, "the times before it add up"),
    Wrong("l03-e1", as_long_as_its_own, "add up their own times"),
    Wrong("l03-e1", text, "add up the service times"),
    Wrong("l03-e2", without_timeout, "recv waits for ever unless"),
    Wrong("l03-e2", not_catching, "catch TimeoutError around the recv"),
    Wrong("l03-e2", catching_all, "catch TimeoutError and nothing else"),
    Wrong("l03-e2", not_waiting, "settimeout(0) does not wait at all"),
    Wrong("l03-e2", leaving_it_open, "the connection is still open"),
    Wrong("l03-e2", never_closing, "the connection is still open"),
    Wrong("l03-e2", never_ending, "recv returns b'' when the client has left"),
    Wrong("l03-e2", saying_served, "return 'timed out' where you catch"),
    Wrong("l03-e2", swallowing, "send back what comes"),
    Wrong("l03-e3", single, "the wait for a single thread"),
    Wrong("l03-e3", divided, "each serves one at a time"),
    Wrong("l03-e3", dealt, "not dealt out like cards"),
    Wrong("l03-e3", sorted_by_length, "the next client takes the smallest"),
)
