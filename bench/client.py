"""The clients: many connections in one loop, each of which asks, waits for the answer, asks again.

The rule kept here: every byte that comes back is compared with what must come back. Each
connection of an echo sends its own bytes, so that an answer on the wrong one is noticed.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SIZE_BYTES = 64
"""The length of an echo."""

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
BODY = b"Hello, fiber!"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(BODY)
) + BODY


class WrongBytes(Exception):
    """What came back is not what had to come back."""


@dataclass(slots=True)
class Asker:
    """One connection: what it sends, what must come back, and what has come back so far."""

    sock: socket.socket
    message: bytes
    expected: bytes
    got: bytearray = field(default_factory=bytearray)

    def receive(self) -> bool:
        """Take what has come; return whether the answer is complete, and right."""
        data = self.sock.recv(65536)
        if data == self.expected and not self.got:
            return True
        self.got += data
        if not data or not self.expected.startswith(self.got):
            raise WrongBytes(f"expected {self.expected!r}, got {bytes(self.got)!r}")
        if len(self.got) < len(self.expected):
            return False
        self.got.clear()
        return True


def connect(address: tuple[str, int], count: int, *, http: bool = False) -> list[Asker]:
    """Open `count` connections to `address`."""
    askers = []
    for number in range(count):
        sock = socket.create_connection(address, timeout=60)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message = REQUEST if http else b"%016d" % number * (SIZE_BYTES // 16)
        askers.append(Asker(sock, message, RESPONSE if http else message))
    return askers


def close(askers: Iterable[Asker]) -> None:
    """Close the connections."""
    for asker in askers:
        asker.sock.close()


def ask(askers: Sequence[Asker], count: int) -> None:
    """Ask `count` times together, each connection again as soon as it has been answered.

    Raises WrongBytes, or TimeoutError if nothing is answered for a minute.
    """
    events = select.epoll()
    by_number = {asker.sock.fileno(): asker for asker in askers}
    for number in by_number:
        events.register(number, select.EPOLLIN)
    with events:
        asking = list(askers[:count])
        left, unanswered = count - len(asking), len(asking)
        for asker in asking:
            asker.sock.send(asker.message)
        while unanswered:
            found = events.poll(60)
            if not found:
                raise TimeoutError(f"{unanswered} questions were not answered within 60 s")
            answered = [by_number[number] for number, _ in found]
            answered = [asker for asker in answered if asker.receive()]
            # Received first, all of them, then sent: the server is given batches.
            for asker in answered[:left]:
                asker.sock.send(asker.message)
            unanswered -= max(0, len(answered) - left)
            left = max(0, left - len(answered))


def warm_up(address: tuple[str, int], *, http: bool = False) -> None:
    """Let a server answer once and see a close, so that nothing is done for the first time."""
    askers = connect(address, 1, http=http)
    ask(askers, 3)
    close(askers)
