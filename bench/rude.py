"""Rude clients: what each does to a server of lines, as a fiber.

Each is a generator function of a connected socket, a source of chance, and the patience of the
server in seconds. Those in WELL_FORMED must be answered rightly all the same; the others may be
cut off at any moment.
"""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Generator
from typing import Any

from fiberlab import RECV, WAIT, recv_exactly, send_all

from .client import WrongBytes
from .lines import LONGEST_LINE, TIMED_OUT, flood

Steps = Generator[Any, None, None]
Rude = Callable[[Any, random.Random, float], Steps]


def _text(dice: random.Random, longest: int) -> bytes:
    return bytes(dice.choices(b"abcdefghijklmnopqrstuvwxyz 0123456789", k=dice.randrange(longest)))


def _expect(sock: Any, expected: bytes, *, last: bool = False) -> Steps:
    """Receive `expected`, and then, if it is the last, the end of file."""
    got = yield from recv_exactly(sock, len(expected))
    if got != expected:
        raise WrongBytes(f"expected {expected[:40]!r}, got {got[:40]!r}")
    if last:
        yield RECV(sock)
        if more := sock.recv(100):
            raise WrongBytes(f"expected the end after {expected[:40]!r}, got {more!r}")


# -- Who may be cut off --------------------------------------------------------


def reset(sock: Any, dice: random.Random, _patience: float) -> Steps:
    """Reset: before a word, in a line, before the answer, or in the middle of it."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    said = dice.choice([b"", b"echo half a li", b"echo whole\n", b"flood 2000\n"])
    yield from send_all(sock, said)
    if said.startswith(b"flood"):
        size = dice.randrange(500_000)
        yield from _expect(sock, flood(size))
    elif dice.random() < 0.5:
        yield WAIT(0.01)


def leave_early(sock: Any, dice: random.Random, _patience: float) -> Steps:
    """Close without waiting for an answer, or without a word."""
    yield from send_all(sock, dice.choice([b"", b"echo ha", b"echo you\n" * 50, b"flood 3000\n"]))


def never_read(sock: Any, dice: random.Random, patience: float) -> Steps:
    """Ask for much and read nothing, for longer than the server waits."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    yield from send_all(sock, b"flood 8000\n" + b"echo more\n" * dice.randrange(100))
    yield WAIT(patience * 1.5)


def send_garbage(sock: Any, dice: random.Random, _patience: float) -> Steps:
    """Send noise, with or without ends of lines, and read perhaps a little."""
    noise = dice.randbytes(dice.randrange(1, 200_000))
    if dice.random() < 0.5:
        noise = noise.replace(b"\n", b"\r")
    yield from send_all(sock, noise)
    if dice.random() < 0.5 and len(noise) > LONGEST_LINE * 2:
        yield RECV(sock)
        sock.recv(100)


# -- Who must be answered ------------------------------------------------------


def close_half(sock: Any, dice: random.Random, _patience: float) -> Steps:
    """Ask some times, end one's own direction, perhaps within a line, and read all answers."""
    texts = [_text(dice, 300) for _ in range(dice.randrange(20))]
    asked = b"".join(b"echo %b\n" % text for text in texts)
    yield from send_all(sock, asked + dice.choice([b"", b"echo ha", b"x"]))
    sock.shutdown(socket.SHUT_WR)
    yield from _expect(sock, b"".join(text + b"\n" for text in texts), last=True)


def dribble(sock: Any, dice: random.Random, patience: float) -> Steps:
    """Send a line byte by byte, slowly, and read the answer the same way."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    text = _text(dice, 40)
    for byte in b"echo %b\n" % text:
        yield from send_all(sock, bytes([byte]))
        yield WAIT(dice.uniform(0.0001, patience / 50))
    for byte in text + b"\n":
        yield from _expect(sock, bytes([byte]))


def start_late(sock: Any, dice: random.Random, patience: float) -> Steps:
    """Say nothing for a while: within the timeout one is served, after it told so."""
    if dice.random() < 0.5:
        yield WAIT(patience * 0.3)
        yield from send_all(sock, b"echo late\n")
        yield from _expect(sock, b"late\n")
    else:
        yield from send_all(sock, dice.choice([b"", b"echo never fini"]))
        yield from _expect(sock, TIMED_OUT, last=True)


def crash(sock: Any, _dice: random.Random, _patience: float) -> Steps:
    """Make the server's fiber fail, and see the connection closed."""
    yield from send_all(sock, b"crash\n")
    yield from _expect(sock, b"", last=True)


WELL_FORMED: list[Rude] = [close_half, dribble, start_late, crash]
ALL: list[Rude] = [reset, leave_early, never_read, send_garbage, *WELL_FORMED]
