"""Helpers that are called without `yield from` are found in the source, and nothing else is."""

from __future__ import annotations

import functools

import pytest

import fiberlab
from fiberlab import RECV, SEND, recv_until, send_all, start
from fiberlab.lab.forgotten import forgotten_helpers


def reply(sock, data):
    yield SEND(sock)
    sock.sendall(data)


async def told(sock):
    await RECV(sock)


def both(sock, data):
    reply(sock, data)
    yield RECV(sock)


def line_of(function, below: int) -> str:
    return f"test_lab_forgotten.py:{function.__code__.co_firstlineno + below}"


def dropping(sock, address):
    yield RECV(sock)
    reply(sock, b"x")


def keeping(sock, address):
    line = recv_until(sock, b"\n")  # noqa: F841
    yield SEND(sock)
    sock.sendall(b"line")


def of_a_module(sock, address):
    yield RECV(sock)
    fiberlab.send_all(sock, b"x")


def of_a_coroutine(sock, address):
    yield RECV(sock)
    told(sock)


def without_a_yield(sock, address):
    send_all(sock, b"x")


@pytest.mark.parametrize(
    ("function", "below", "call", "remedy"),
    [
        (dropping, 2, "reply", "reply(sock, b'x')"),
        (keeping, 1, "recv_until", "recv_until(sock, b'\\n')"),
        (of_a_module, 2, "fiberlab.send_all", "fiberlab.send_all(sock, b'x')"),
        (of_a_coroutine, 2, "told", "told(sock)"),
        (without_a_yield, 1, "send_all", "send_all(sock, b'x')"),
    ],
)
def test_a_helper_whose_generator_is_dropped_is_named_with_its_line(function, below, call, remedy):
    assert forgotten_helpers(function) == [
        f"{function.__name__} calls {call}(...) at {line_of(function, below)} and drops what it "
        f"makes: write `yield from {remedy}`"
    ]


def test_it_is_found_in_a_helper_of_the_handler():
    def outer(sock, address):
        yield from both(sock, b"x")

    [sentence] = forgotten_helpers(outer)
    assert sentence.startswith(f"both calls reply(...) at {line_of(both, 1)} and drops")


def test_it_is_found_in_a_closure():
    def helper():
        yield RECV(3)

    def outer(sock, address):
        yield RECV(sock)
        helper()

    assert len(forgotten_helpers(outer)) == 1


def right(sock, address):
    line = yield from recv_until(sock, b"\n")
    start(reply(sock, line))
    later = reply(sock, line)
    yield from later
    for _ in reply(sock, line):
        yield RECV(sock)
    list(reply(sock, line))
    print(line)

    def unused():
        reply(sock, line)

    return reply(sock, line)


@pytest.mark.parametrize(
    "function",
    [
        right,
        functools.partial(dropping, None),
        len,
        None,
        eval("lambda sock, address: reply(sock, b'')"),
        type("Handler", (), {"__call__": lambda self, sock, address: reply(sock, b"")})(),
    ],
)
def test_where_nothing_is_certain_nothing_is_said(function):
    assert forgotten_helpers(function) == []
