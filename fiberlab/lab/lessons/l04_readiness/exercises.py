"""The exercises of lesson 04, and what judges them: ready sets, sending it all, a comparison."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any

from ...exercises import Exercise, Judgement
from ...mistakes import Form
from .experiment import NarrowSocket, Pass, Spinning, at_number, listening, try_pass

# -- Exercise 1: the ready set ------------------------------------------------


def look_at_sockets() -> tuple[set[str], set[str]]:
    """Make the sockets of exercise 1, and return the names of the readable and the writable."""
    with contextlib.ExitStack() as stack:
        pairs = {name: socket.socketpair() for name in ("ann", "ben", "cat", "dan")}
        for pair in pairs.values():
            for end in pair:
                stack.enter_context(end)
        door = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.enter_context(socket.create_connection(door.getsockname(), 5))
        ours = {name: pair[0] for name, pair in pairs.items()}
        pairs["ann"][1].sendall(b"hello")
        pairs["cat"][1].close()
        _fill(ours["dan"])
        readable, _, _ = select.select([*ours.values(), door], [], [], 1)
        _, writable, _ = select.select([], [*ours.values()], [], 1)
        names = {sock: name for name, sock in (*ours.items(), ("door", door))}
        return {names[sock] for sock in readable}, {names[sock] for sock in writable}


def _fill(sock: socket.socket) -> None:
    sock.setblocking(False)
    for size in (65_536, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(size))


def judge_ready_sets(answer: Any) -> Judgement:
    """Judge (readable, writable), two collections of names, by what select says of the sockets."""
    right = look_at_sockets()
    for what, given, expected in zip(("readable", "writable"), answer, right, strict=True):
        seen = {given} if isinstance(given, str) else set(given)
        if seen != expected:
            hint = _hint_on_set(what, seen, expected)
            return Judgement(False, f"{what}: {_listed(seen)}", f"{len(expected)} names", hint)
    sets = " - ".join(f"{what}: {_listed(each)}" for what, each in zip(_KINDS, right, strict=True))
    return Judgement(True, sets)


_KINDS = ("readable", "writable")
_HINTS = {
    ("readable", "ann"): "ann's word lies in the receive buffer",
    ("readable", "ben"): "ben is silent: a recv from him would block",
    ("readable", "cat"): "cat has left: recv will not block, it returns b''",
    ("readable", "dan"): "dan has sent nothing: a recv from him would block",
    ("readable", "door"): "a listener is readable when accept will not block",
    ("writable", "ann"): "what ann has sent says nothing of the room towards her",
    ("writable", "ben"): "there is room towards ben: nearly every socket is nearly always writable",
    ("writable", "cat"): "a send to cat will not block: it fails at once, and that is no waiting",
    ("writable", "dan"): "the buffer towards dan is full: a send would block",
}


def _hint_on_set(what: str, seen: set[str], expected: set[str]) -> str:
    for name in sorted(seen ^ expected):
        if (what, name) in _HINTS:
            return _HINTS[what, name]
    return "the names are ann, ben, cat, dan and, for readable only, door"


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(map(str, names))) or "none"


# -- Exercise 2: send it all --------------------------------------------------

DATA = bytes(range(97, 123)) * 400


def judge_sending(function: Callable[[Any, bytes], object]) -> Judgement:
    """Judge a loop that sends all through a socket which takes a few bytes at a time."""
    expected = f"all {len(DATA)} bytes, once and in order"
    with NarrowSocket() as sock:
        try:
            function(sock, DATA)
        except Spinning:
            hint = "the buffer is full until the other end reads: wait_until_writable(sock) first"
            return Judgement(False, "100 sends in a row were refused", expected, hint)
        except BlockingIOError:
            hint = (
                "sendall gives up in the middle when it would block, and does not say how far "
                "it came"
                if sock.tried_all
                else "a full buffer raises BlockingIOError: catch it, or wait until there is room"
            )
            return Judgement(False, "BlockingIOError left your function", expected, hint)
        blocking = sock.fileno() >= 0 and sock.getblocking()
        received = sock.received()
    if blocking:
        hint = "in a server all other clients would wait, too: leave it non-blocking, and poll"
        return Judgement(False, "the socket was made to block", expected, hint)
    if received == DATA:
        return Judgement(True, f"{expected}, in pieces")
    seen = f"{len(received)} bytes were received"
    if DATA.startswith(received):
        hint = "send returns how many bytes the kernel took; the rest is still yours to send"
    elif len(received) >= len(DATA):
        hint = "what was taken must not be sent again: go on behind it, with data[sent:]"
    else:
        hint = "some bytes are missing in the middle: a refused send has taken nothing"
    return Judgement(False, seen, expected, hint)


# -- Exercise 3: compare numbers ----------------------------------------------


def judge_pass(one_pass: Pass) -> Judgement:
    """Judge a pass that accepts at the listener and receives from connections, at any number."""
    for number in (205, 1305):
        judgement = _judge_accepting(one_pass, number)
        if judgement is not None:
            return judgement
    return _judge_receiving(one_pass)


def _judge_accepting(one_pass: Pass, number: int) -> Judgement | None:
    outcome = try_pass(one_pass, number)
    if outcome == "1 client accepted":
        return None
    if number < 256:
        hint = "if the number is the listener's: accept, and keep the connection by its number"
    elif outcome.startswith("crash"):
        hint = "`is` asks whether two names are of one object; to compare values there is =="
    else:
        hint = "no crash any more, but no client is served either: the comparison is still wrong"
    expected = "1 client accepted, as with a low number"
    return Judgement(False, f"a listener at number {number}: {outcome}", expected, hint)


def _judge_receiving(one_pass: Pass) -> Judgement:
    with listening(1305) as (listener, client), at_number(listener.accept()[0], 1306) as connection:
        connection.setblocking(False)
        client.sendall(b"hello")
        seen, expected = "", "hello received from the connection at number 1306"
        try:
            one_pass(listener, {1306: connection})
        except KeyError as error:
            seen = f"KeyError: {error}"
        except BlockingIOError:
            seen = "accept was called, though no client had connected"
        with contextlib.suppress(BlockingIOError):
            if connection.recv(1024):
                seen = seen or "hello still lies there"
        hint = "a connection may have a high number too; only one number is the listener's"
        return Judgement(not seen, seen or expected, expected, hint)


EXERCISES = (
    Exercise(
        "l04-e1",
        "Which sockets are readable, and which writable?",
        judge_ready_sets,
        Form("values", "readable, writable", "two lists of names"),
    ),
    Exercise(
        "l04-e2", "Send all through a narrow socket.", judge_sending, Form("function", "sock, data")
    ),
    Exercise(
        "l04-e3",
        "Mend the comparison of descriptor numbers.",
        judge_pass,
        Form("function", "listener, connections"),
    ),
)
