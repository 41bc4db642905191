"""The exercises of lesson 03, and what judges them: waits, and a client that says nothing."""

from __future__ import annotations

import math
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ...exercises import Exercise, Judgement
from ...mistakes import Form
from .experiment import waits_of

# -- Exercise 1: the serial bound ---------------------------------------------


def judge_last_wait(function: Callable[[list[float]], Any]) -> Judgement:
    """Judge a function that computes for how long the last client waits."""
    for services in ([100, 100, 100, 100], [500, 10, 30], [20, 70, 40, 300], [250]):
        seen, right = function(list(services)), sum(services[:-1])
        if seen != right and not _close(seen, right):
            return Judgement(
                False,
                f"{seen!r} for the service times {services}",
                f"{right}",
                _hint_on_last_wait(seen, services),
            )
    return Judgement(True, "the last client waits for all that came before it")


def _hint_on_last_wait(seen: Any, services: list[int]) -> str:
    if _close(seen, sum(services)):
        return "being served is not waiting: that is when the last client has its answer"
    if _close(seen, max(services[:-1], default=0)) or _close(seen, max(services)):
        return "one after the other: the times before it add up, the longest is only one of them"
    if _close(seen, services[-1] * (len(services) - 1)):
        return "the others need not take as long as the last one: add up their own times"
    return "add up the service times of those that are served before it"


def _close(seen: Any, right: float) -> bool:
    return isinstance(seen, (int, float)) and math.isclose(seen, right)


# -- Exercise 2: give up a silent client --------------------------------------

GIVE_UP = 0.1
PATIENCE = 1.5  # seconds after which the silent client of the judge leaves by itself
_STILL_OPEN = "the connection is still open: `with connection:` closes it, whatever happens"


def judge_patience(function: Callable[[socket.socket, float], Any]) -> Judgement:
    """Judge an echo that gives up a client that says nothing; see `PATIENCE`.

    function: called with a connection and the seconds of silence it may bear; returns "served"
    or "timed out".
    """
    with connected(PATIENCE) as (client, connection):
        seen: Any
        with _later(0.05, lambda: _say_and_leave(client)):
            try:
                seen = function(connection, PATIENCE)
            except Endless as error:
                seen = error
        echoed = client.recv(1024) if connection.fileno() == -1 else b""
        if (seen, echoed) != ("served", b"ann"):
            return _not_served(seen, connection, echoed)
    judgement = _judge_silence(function)
    return judgement if judgement is not None else _judge_reset(function)


def _not_served(seen: Any, connection: socket.socket, echoed: bytes) -> Judgement:
    if isinstance(seen, Endless):
        hint = "recv returns b'' when the client has left: the loop ends there"
    elif connection.fileno() != -1:
        hint = _STILL_OPEN
    elif seen == "timed out":
        hint = "settimeout(0) does not wait at all; give it the seconds"
    else:
        hint = "send back what comes until recv returns b'', then return 'served'"
    return Judgement(
        False,
        f"a client that sends b'ann' after 50 ms and leaves: {seen!r}; sent back: {echoed!r}",
        "'served', b'ann' sent back, and the connection closed",
        hint,
    )


def _judge_silence(function: Callable[[socket.socket, float], Any]) -> Judgement | None:
    with connected(PATIENCE) as (client, connection):
        left = threading.Event()

        def leave() -> None:
            left.set()
            client.shutdown(socket.SHUT_WR)

        seen: Any
        with _later(PATIENCE, leave):
            try:
                seen = function(connection, GIVE_UP)
            except TimeoutError as error:
                seen = error
        if seen == "timed out" and not left.is_set() and connection.fileno() == -1:
            return None
        until = "until it left" if left.is_set() else f"for {GIVE_UP} s"
        return Judgement(
            False,
            f"a client that says nothing {until}: {seen!r}",
            f"'timed out' after {GIVE_UP} s of silence, and the connection closed",
            _hint_on_silence(seen, left.is_set(), connection.fileno() == -1),
        )


def _hint_on_silence(seen: Any, left: bool, closed: bool) -> str:
    if left:
        return "recv waits for ever unless connection.settimeout(seconds) was called before"
    if isinstance(seen, TimeoutError):
        return "the exception is the sign: catch TimeoutError around the recv"
    return "return 'timed out' where you catch TimeoutError" if closed else _STILL_OPEN


def _judge_reset(function: Callable[[socket.socket, float], Any]) -> Judgement:
    with connected(PATIENCE) as (client, connection):
        # Linger for 0 seconds: the close breaks the connection instead of ending it.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        try:
            seen = repr(function(connection, PATIENCE))
        except ConnectionError:
            return Judgement(True, "a silent client was given up; a broken connection is an error")
    return Judgement(
        False,
        f"a client whose connection broke: {seen}",
        "ConnectionResetError, as recv raised it: that client was not silent",
        "catch TimeoutError and nothing else",
    )


class Endless(BaseException):
    """Raised out of a recv that has returned b"" too often: the client has left.

    No Exception: a loop that goes on after b"" often goes on after any exception.
    """


class _Counted(socket.socket):
    """A connection: once its client has left, recv returns b"" only so many times."""

    ends = 0

    def recv(self, *given: Any) -> bytes:
        data = super().recv(*given)
        self.ends += not data
        if self.ends > 100:
            raise Endless(f"recv has returned b'' {self.ends} times")
        return data


@contextmanager
def connected(timeout: float) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield a client's and a server's end of a connection; both are closed afterwards.

    timeout: seconds after which the client's end gives up; the server's blocks for ever, but for
    a loop that does not see the end: it gets Endless.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), timeout) as client,
        _Counted(fileno=listener.accept()[0].detach()) as connection,
    ):
        yield client, connection


@contextmanager
def _later(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call `act` in a thread, `seconds` from now, unless the ``with`` is left before."""
    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _say_and_leave(client: socket.socket) -> None:
    client.sendall(b"ann")
    client.shutdown(socket.SHUT_WR)


# -- Exercise 3: more threads than one ----------------------------------------


def judge_waits(function: Callable[[list[float], int], Any]) -> Judgement:
    """Judge a function that computes how long each client waits for one of some threads."""
    cases: list[tuple[list[float], int]] = [
        ([100, 100, 100, 100], 4),
        ([100, 200, 300, 100], 1),
        ([300, 100, 100, 100], 2),
        ([50, 400, 20, 20, 90, 10], 3),
    ]
    for services, threads in cases:
        seen, right = list(function(list(services), threads)), waits_of(services, threads)
        if not _all_close(seen, right):
            return Judgement(
                False,
                f"{seen} for the service times {services} and threads={threads}",
                f"{[round(each) for each in right]}",
                _hint_on_waits(seen, services, threads),
            )
    return Judgement(True, "each client waits for the first thread that is free")


def _hint_on_waits(seen: list[Any], services: list[float], threads: int) -> str:
    before = [sum(services[:n]) for n in range(len(services))]
    dealt = [sum(services[n % threads : n : threads]) for n in range(len(services))]
    if _all_close(seen, before):
        return "that is the wait for a single thread"
    if _all_close(seen, [each / threads for each in before]):
        return "two threads do not serve one client twice as fast: each serves one at a time"
    if _all_close(seen, dealt):
        return "clients are not dealt out like cards: whichever thread is free takes the next"
    return "keep the moments at which each thread will be free; the next client takes the smallest"


def _all_close(seen: list[Any], right: Sequence[float]) -> bool:
    return len(seen) == len(right) and all(map(_close, seen, right))


EXERCISES = (
    Exercise(
        "l03-e1",
        "For how long does the last client wait?",
        judge_last_wait,
        Form("function", "services", "a number of milliseconds"),
    ),
    Exercise(
        "l03-e2",
        "Give up a client that says nothing.",
        judge_patience,
        Form("function", "connection, seconds", "'served' or 'timed out'"),
    ),
    Exercise(
        "l03-e3",
        "How long does each wait, if there are several threads?",
        judge_waits,
        Form("function", "services, threads", "a list of numbers, one for each client"),
    ),
)
