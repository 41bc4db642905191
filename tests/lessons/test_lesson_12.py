"""Lesson 12, off the loop: what its question and its exercises make of an answer."""

from __future__ import annotations

import threading

import pytest
from misconceptions import Wrong

from fiberlab import RECV, SEND, WAIT, in_thread, join, start
from fiberlab.lab import examine
from fiberlab.lab.lessons.l12_off_the_loop import count_for, in_process
from fiberlab.lab.lessons.l12_off_the_loop.question import what_the_others_see

# -- The question ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "choice"), [(0.00006, "a"), (0.0001, "b"), (0.005, "c"), (0.35, "d")]
)
def test_what_the_others_see_follows_from_the_latencies(beside, choice):
    latencies = {"sleep": [0.00004, 0.00006], "count": [beside / 2, 3 * beside / 2]}

    assert what_the_others_see(latencies) == choice


# -- Another process -------------------------------------------------------------------


@pytest.mark.live
def test_a_process_returns_what_the_function_returns():
    assert in_process(count_for, 0.001) > 0


@pytest.mark.live
def test_a_process_that_fails_says_why():
    with pytest.raises(RuntimeError, match="TypeError"):
        in_process(count_for, "long")


def test_a_function_of_a_notebook_is_refused():
    def here():
        return 7

    here.__module__ = "__main__"
    with pytest.raises(TypeError, match="another process cannot import it"):
        in_process(here)


# -- Exercise 1: off the loop ----------------------------------------------------------


def resolving(sock, address, look_up):
    yield RECV(sock)
    name = sock.recv(1024).decode()
    found = yield from in_thread(look_up, name)
    yield SEND(sock)
    sock.send(found.encode())


def blocking(sock, address, look_up):
    yield RECV(sock)
    found = look_up(sock.recv(1024).decode())
    yield SEND(sock)
    sock.send(found.encode())


def calling_too_early(sock, address, look_up):
    yield RECV(sock)
    found = yield from in_thread(look_up(sock.recv(1024).decode()))
    yield SEND(sock)
    sock.send(found.encode())


def yielding_the_generator(sock, address, look_up):
    yield RECV(sock)
    found = yield in_thread(look_up, sock.recv(1024).decode())
    yield SEND(sock)
    sock.send(found.encode())


def joining_a_thread(sock, address, look_up):
    yield RECV(sock)
    name, found = sock.recv(1024).decode(), []
    thread = threading.Thread(target=lambda: found.append(look_up(name)))
    thread.start()
    thread.join()
    yield SEND(sock)
    sock.send(found[0].encode())


def sending_the_name(sock, address, look_up):
    yield RECV(sock)
    name = sock.recv(1024)
    yield from in_thread(look_up, name.decode())
    yield SEND(sock)
    sock.send(name)


@pytest.mark.live
def test_a_look_up_off_the_loop_passes():
    assert examine("l12-e1", resolving).passed


# -- Exercise 2: all at once -----------------------------------------------------------


def all_at_once(names, look_up):
    fibers = [start(in_thread(look_up, name)) for name in names]
    addresses = []
    for fiber in fibers:
        addresses.append((yield from join(fiber)))
    return addresses


def one_by_one(names, look_up):
    addresses = []
    for name in names:
        addresses.append((yield from in_thread(look_up, name)))
    return addresses


def joining_at_once(names, look_up):
    addresses = []
    for name in names:
        addresses.append((yield from join(start(in_thread(look_up, name)))))
    return addresses


def in_order_of_ending(names, look_up):
    addresses = []

    def one(name):
        addresses.append((yield from in_thread(look_up, name)))

    for fiber in [start(one(name)) for name in names]:
        yield from join(fiber)
    return addresses


def returning_fibers(names, look_up):
    fibers = [start(in_thread(look_up, name)) for name in names]
    for fiber in fibers:
        yield from join(fiber)
    return fibers


def on_the_loop(names, look_up):
    def one(name):
        yield WAIT(0)
        return look_up(name)

    addresses = []
    for fiber in [start(one(name)) for name in names]:
        addresses.append((yield from join(fiber)))
    return addresses


@pytest.mark.live
def test_look_ups_that_overlap_pass():
    assert examine("l12-e2", all_at_once).passed


# -- Exercise 3: a router --------------------------------------------------------------


class Router:
    def __init__(self, screen, running):
        self.screen, self.running, self.logs = screen, running, {}

    def write(self, text):
        fiber = self.running()
        if fiber is None:
            self.screen.write(text)
        else:
            self.logs[fiber] = self.logs.get(fiber, "") + text


class LogsOnly(Router):
    def write(self, text):
        fiber = self.running()
        self.logs[fiber] = self.logs.get(fiber, "") + text


class Both(Router):
    def write(self, text):
        super().write(text)
        if self.running() is not None:
            self.screen.write(text)


class FirstFiberOnly(Router):
    first = None

    def write(self, text):
        self.first = self.first or self.running()
        if self.running() is None:
            self.screen.write(text)
        else:
            self.logs[self.first] = self.logs.get(self.first, "") + text


class WholeLines(Router):
    def write(self, text):
        if self.running() is None:
            self.screen.write(text)
        else:
            super().write(text + "\n")


class Overwriting(Router):
    def write(self, text):
        if self.running() is None:
            self.screen.write(text)
        else:
            self.logs[self.running()] = text


@pytest.mark.live
def test_a_router_that_asks_each_time_passes():
    assert examine("l12-e3", Router).passed


WRONG = (
    Wrong("l12-e1", blocking, "the function and its argument, not a call of it"),
    Wrong("l12-e1", calling_too_early, "the function and its argument, not a call of it"),
    Wrong("l12-e1", yielding_the_generator, "`yield from` runs it"),
    Wrong("l12-e1", joining_a_thread, "in_thread waits by RECV"),
    Wrong("l12-e1", sending_the_name, "in_thread returns what look_up returned"),
    Wrong("l12-e2", one_by_one, "start() a fiber for each name first"),
    Wrong("l12-e2", joining_at_once, "start() a fiber for each name first"),
    Wrong("l12-e2", in_order_of_ending, "in the order of the names"),
    Wrong("l12-e2", returning_fibers, "join(fiber) returns what the fiber has returned"),
    Wrong("l12-e2", on_the_loop, "the function and its argument, not a call of it"),
    Wrong("l12-e3", LogsOnly, "pass that on to the screen"),
    Wrong("l12-e3", Both, "to its log, and nowhere else"),
    Wrong("l12-e3", FirstFiberOnly, "ask running() at each write"),
    Wrong("l12-e3", WholeLines, "print() writes in pieces"),
    Wrong("l12-e3", Overwriting, "print() writes in pieces"),
)
