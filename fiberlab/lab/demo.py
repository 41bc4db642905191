"""The demo's server and clients: an echo with the mistake that is to be found.

The rule kept here: nothing tells where the mistake is. The trace has to find it.
"""

from __future__ import annotations

import time
from typing import Any

from ..fiber import FiberGenerator
from ..waits import RECV, SEND
from .crowd import Client


def echo(sock: Any, address: Any) -> FiberGenerator:
    """Echo, and block for a while when asked for a nap."""
    while True:
        yield RECV(sock)
        data = sock.recv(1024)
        if not data:
            return
        if data == b"nap\n":
            time.sleep(0.2)
        yield SEND(sock)
        sock.send(data)


def clients(number: int) -> list[Client]:
    """Return what each of `number` clients does; one in the middle asks for a nap."""
    doings: list[Client] = [_talk] * number
    doings[number // 2] = _ask_for_a_nap
    return doings


def _talk(sock: Any, nap_at: int | None = None) -> None:
    for count in range(12):
        line = b"nap\n" if count == nap_at else b"hello\n"
        sock.sendall(line)
        if sock.recv(1024) != line:
            raise ConnectionError("the echo is not what was sent")
        time.sleep(0.01)


def _ask_for_a_nap(sock: Any) -> None:
    _talk(sock, nap_at=5)
