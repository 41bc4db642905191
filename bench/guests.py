"""Well-behaved clients, beside the rude ones: threads with blocking sockets, every byte checked.

The rule kept here: nothing of fiberlab carries them, so what they check cannot be wrong twice.
"""

from __future__ import annotations

import random
import socket
import threading
from typing import Any

from .client import WrongBytes
from .lines import flood

QUESTIONS = 20
"""How often a guest asks in one visit."""


class Guest(threading.Thread):
    """Visits the server again and again until `leaving` is set; `failure` says what went wrong."""

    def __init__(self, address: tuple[str, int], seed: int, leaving: threading.Event) -> None:
        super().__init__(name=f"guest {seed}", daemon=True)
        self._address = address
        self._source = (f"127.0.0.{2 + seed % 200}", 0)
        self._dice = random.Random(seed)
        self._leaving = leaving
        self.visits = self.answers = self.size_bytes = 0
        self.failure: str | None = None

    def run(self) -> None:
        """Visit until told to leave, or until something is wrong."""
        try:
            while not self._leaving.is_set():
                self._visit()
        except Exception as error:
            self.failure = f"{self.name}, visit {self.visits}: {type(error).__name__}: {error}"

    def _visit(self) -> None:
        self.visits += 1
        with socket.create_connection(self._address, 30, self._source) as sock:
            for _ in range(self._dice.randrange(1, QUESTIONS)):
                self._ask(sock)
                if self._leaving.wait(self._dice.uniform(0, 0.02)):
                    break
            sock.shutdown(socket.SHUT_WR)
            if more := sock.recv(100):
                raise WrongBytes(f"expected the end, got {more!r}")

    def _ask(self, sock: Any) -> None:
        """Ask one question, whole, in two pieces, or ten at once; compare the answer."""
        dice = self._dice
        if dice.random() < 0.2:
            kib = dice.randrange(300)
            asked, expected = b"flood %d\n" % kib, flood(kib * 1024)
        else:
            text = dice.randbytes(dice.randrange(1000)).replace(b"\n", b" ")
            many = dice.choice([1, 1, 10])
            asked, expected = (b"echo %b\n" % text) * many, (text + b"\n") * many
        cut = dice.choice([0, dice.randrange(len(asked))])
        sock.sendall(asked[:cut])
        sock.sendall(asked[cut:])
        self._compare(sock, expected)

    def _compare(self, sock: Any, expected: bytes) -> None:
        got = bytearray()
        while len(got) < len(expected):
            data = sock.recv(65536)
            if not data:
                raise WrongBytes(f"the server closed after {len(got)} of {len(expected)} bytes")
            got += data
        if got != expected:
            raise WrongBytes(f"{len(expected)} bytes beginning {expected[:40]!r} came differently")
        self.answers += 1
        self.size_bytes += len(got)
