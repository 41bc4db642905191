"""RECV, SEND and WAIT are plain values, checked where they are written."""

from __future__ import annotations

import ast
import copy
import inspect
import math
import pickle
import socket
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from fiberlab import waits
from fiberlab.waits import RECV, SEND, WAIT


class Numbered:
    """The least that RECV and SEND need."""

    def __init__(self, number=7):
        self.number = number

    def fileno(self):
        return self.number

    def __repr__(self):
        return f"Numbered({self.number})"


SOCK = Numbered()


def test_any_object_with_fileno_will_do():
    wait = RECV(SOCK)

    assert (wait.sock, wait.timeout) == (SOCK, None)


def test_timeout_may_be_left_out_zero_a_number_or_never():
    timeouts = [SEND(SOCK, timeout=seconds).timeout for seconds in (None, 0, 2.5, math.inf)]

    assert timeouts == [None, 0, 2.5, math.inf]


def test_wait_without_a_number_is_wait_none():
    assert WAIT() == WAIT(None) == WAIT(seconds=None)


def test_wait_none_and_wait_zero_are_two_things():
    assert WAIT(None) != WAIT(0)


@pytest.mark.parametrize("seconds", [0, 0.0, 1, 0.5, Fraction(1, 4), 1e9])
def test_wait_keeps_any_number_from_zero(seconds):
    assert WAIT(seconds).seconds == seconds


@pytest.mark.parametrize("number", [Fraction(1, 2), np.float16(0.5), np.float64(0.5)])
def test_every_kind_of_real_number_becomes_a_plain_one(number):
    waits = [WAIT(number), RECV(SOCK, timeout=number), SEND(SOCK, timeout=number)]

    assert list(map(repr, waits)) == list(
        map(repr, [WAIT(0.5), RECV(SOCK, timeout=0.5), SEND(SOCK, timeout=0.5)])
    )


@pytest.mark.parametrize("kind", [RECV, SEND, WAIT])
def test_a_wait_cannot_be_subclassed(kind):
    with pytest.raises(TypeError, match=f"{kind.__name__} cannot be subclassed"):
        type("Nap", (kind,), {})


def test_waits_compare_by_value():
    same = [RECV(SOCK, 1) == RECV(SOCK, timeout=1), SEND(SOCK) == SEND(SOCK), WAIT(1) == WAIT(1.0)]
    other = [RECV(SOCK) == SEND(SOCK), RECV(SOCK) == RECV(SOCK, timeout=1), WAIT(1) == WAIT(2)]
    strange = [WAIT(1) == 1, RECV(SOCK) == SOCK, WAIT() == None]  # noqa: E711

    assert (same, other, strange) == ([True] * 3, [False] * 3, [False] * 3)


def test_waits_on_different_sockets_differ():
    assert RECV(SOCK) != RECV(Numbered())


def test_equal_waits_have_one_hash():
    waits = {RECV(SOCK), RECV(SOCK), SEND(SOCK), WAIT(1), WAIT(1.0), WAIT(), WAIT(None)}

    assert len(waits) == 4


@pytest.mark.parametrize(
    ("wait", "text"),
    [
        (RECV(SOCK), "RECV(Numbered(7))"),
        (SEND(SOCK, timeout=1.5), "SEND(Numbered(7), timeout=1.5)"),
        (RECV(SOCK, timeout=math.inf), "RECV(Numbered(7), timeout=inf)"),
        (WAIT(2), "WAIT(2)"),
        (WAIT(), "WAIT(None)"),
    ],
)
def test_waits_have_a_plain_repr(wait, text):
    assert repr(wait) == text


@pytest.mark.parametrize("name", ["sock", "timeout", "seconds", "anything"])
@pytest.mark.parametrize("wait", [RECV(SOCK), SEND(SOCK), WAIT(1)])
def test_waits_cannot_be_changed(wait, name):
    with pytest.raises(AttributeError):
        setattr(wait, name, 5)


def test_waits_read_no_clock_and_know_no_scheduler():
    tree = ast.parse(inspect.getsource(waits))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}

    assert imported == {
        "__future__", "collections.abc", "typing", "math", "numbers", "socket"
    }  # fmt: skip


@pytest.mark.parametrize("wait", [RECV(SOCK, timeout=3), SEND(SOCK), WAIT(1), WAIT()])
def test_waits_can_be_copied(wait):
    assert copy.copy(wait) == wait


@pytest.mark.parametrize("wait", [WAIT(1), WAIT(0), WAIT()])
def test_waits_can_be_pickled(wait):
    assert pickle.loads(pickle.dumps(wait)) == wait


def test_waits_match_as_patterns():
    def tell(wait):
        match wait:
            case RECV(sock=sock, timeout=timeout):
                return "recv", sock, timeout
            case SEND(sock=sock):
                return "send", sock
            case WAIT(seconds=None):
                return "parked"
            case WAIT(seconds=seconds):
                return "sleep", seconds

    told = [tell(RECV(SOCK, timeout=1)), tell(SEND(SOCK)), tell(WAIT()), tell(WAIT(3))]

    assert told == [("recv", SOCK, 1), ("send", SOCK), "parked", ("sleep", 3)]


@pytest.mark.parametrize("kind", [RECV, SEND])
@pytest.mark.parametrize("sock", [7, None, "sock", Numbered, socket.socket, Numbered.fileno])
def test_what_has_no_fileno_is_refused_where_it_is_written(kind, sock):
    with pytest.raises(TypeError, match=rf"{kind.__name__}\(sock\) needs a socket.* fileno\(\)"):
        kind(sock)


def test_an_object_whose_fileno_is_no_function_is_refused():
    odd = Numbered()
    odd.fileno = 7

    with pytest.raises(TypeError, match="needs a socket"):
        RECV(odd)


@pytest.mark.parametrize("kind", [RECV, SEND])
@pytest.mark.parametrize("timeout", ["1", True, False, 1j, Decimal(1), [1]])
def test_a_timeout_that_is_no_number_is_refused(kind, timeout):
    with pytest.raises(TypeError, match=r"timeout=.* needs a number of seconds"):
        kind(SOCK, timeout=timeout)


@pytest.mark.parametrize("kind", [RECV, SEND])
@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf])
def test_a_timeout_that_is_negative_or_nan_is_refused(kind, timeout):
    with pytest.raises(ValueError, match="cannot be negative or nan"):
        kind(SOCK, timeout=timeout)


def test_a_real_socket_gets_no_less_checking_of_its_timeout(pair):
    with pytest.raises(ValueError, match="cannot be negative"):
        RECV(pair[0], timeout=-1)


@pytest.mark.parametrize(
    "seconds", ["1", True, False, 1j, 0j, Decimal(0), Decimal(1), [], object()]
)
def test_wait_for_what_is_no_number_is_refused(seconds):
    with pytest.raises(TypeError, match=r"WAIT\(seconds\) needs a number of seconds or None"):
        WAIT(seconds)


@pytest.mark.parametrize("seconds", [-1, -1e-9, math.nan, -math.inf])
def test_wait_for_a_negative_time_is_refused(seconds):
    with pytest.raises(ValueError, match="cannot be negative or nan"):
        WAIT(seconds)


def test_wait_for_ever_is_refused():
    with pytest.raises(ValueError, match="must end some day, got inf"):
        WAIT(math.inf)


@pytest.mark.parametrize("make", [WAIT, lambda number: RECV(SOCK, timeout=number)])
def test_a_number_beyond_all_floats_is_refused(make):
    with pytest.raises(ValueError):
        make(10**400)


@pytest.mark.parametrize("make", [RECV, SEND, lambda: WAIT(1, 2), lambda: RECV(SOCK, 1, 2)])
def test_a_wrong_number_of_arguments_is_refused(make):
    with pytest.raises(TypeError):
        make()


@pytest.mark.parametrize("wait", [RECV(SOCK), SEND(SOCK, timeout=1), WAIT(2), WAIT()])
def test_a_wait_that_is_awaited_is_yielded_once(wait):
    async def waits():
        return await wait

    coroutine = waits()
    yielded = coroutine.send(None)
    with pytest.raises(StopIteration) as returned:
        coroutine.send(None)

    assert (yielded, returned.value.value) == (wait, None)
