"""A server of lines in a process of its own, that tells what it holds.

`python -m bench.lines TIMEOUT` writes its address as one line of JSON. For each word on its
standard input it writes one more: ``account`` at once, ``settle`` when no connection is open.
At the end of its input it stops the scheduler, and tells what is left after run().

The protocol: ``echo TEXT``, ``flood KIB`` (that much of a pattern), ``crash`` (the fiber fails).
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from typing import Any

from fiberlab import RECV, WAIT, FiberTimeout, Scheduler, recv_until, send_all

from .account import Account, take_account
from .machine import allow_many_files
from .processes import ROOT

LONGEST_LINE = 8192
LONGEST_RUN = 600
"""Seconds after which the process ends whatever happens."""

OWN_WATCHES = 2
"""What the poller knows while nobody is served: the listener and standard input."""

# No power of two: a piece that was left out or sent twice never fits.
PATTERN = b"".join(b"%d," % number for number in range(12_000))[:65521]
UNKNOWN, TIMED_OUT, TOO_LONG = b"error: unknown\n", b"error: timed out\n", b"error: too long\n"

Steps = Generator[Any, None, None]


def flood(size: int) -> bytes:
    """Return the first `size` bytes of the pattern, over and over."""
    return (PATTERN * (size // len(PATTERN) + 1))[:size]


class _Counted(io.TextIOBase):
    """A file that keeps nothing but how many lines were written."""

    lines = 0

    def write(self, text: str) -> int:
        self.lines += text.count("\n")
        return len(text)


class LineServer:
    """The handler, and what is counted while it serves."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.errors = _Counted()
        self.scheduler = Scheduler(timeout, file=self.errors)  # type: ignore[arg-type]
        self.open = self.peak = self.served = 0
        self.endings: Counter[str] = Counter()

    def serve(self, sock: Any, _address: Any) -> Steps:
        """Answer lines until the client ends, however it does that."""
        self.open += 1
        self.served += 1
        self.peak = max(self.peak, self.open)
        try:
            yield from self._converse(sock)
        except BaseException as error:
            self.endings[type(error).__name__] += 1
            raise
        finally:
            self.open -= 1

    def _converse(self, sock: Any) -> Steps:
        try:
            while True:
                line = yield from recv_until(sock, b"\n", LONGEST_LINE)
                yield from answer(sock, line[:-1])
        except EOFError:
            self.endings["end of file"] += 1
        except ValueError:
            self.endings["line too long"] += 1
            yield from send_all(sock, TOO_LONG)
        except FiberTimeout:
            self.endings["timed out"] += 1
            yield from send_all(sock, TIMED_OUT)

    def obey(self) -> Steps:
        """Answer the words on standard input; its end ends the server."""
        while True:
            yield RECV(sys.stdin, timeout=math.inf)
            words = os.read(0, 1024).decode().split()
            if not words:
                return self.scheduler.stop()
            for word in words:
                if word == "settle":
                    yield from self._settle()
                self.tell()

    def _settle(self) -> Steps:
        """Wait until nobody is served, at most three timeouts, and the poller has noticed."""
        for _ in range(math.ceil(self.timeout * 30)):
            if not self.open:
                break
            yield WAIT(0.1)
        for _ in range(20):  # twice as long as the poller takes to forget what was closed
            if take_account().watches <= OWN_WATCHES:
                break
            yield WAIT(0.1)

    def tell(self) -> None:
        """Write what the server holds, and what it has done."""
        told = {name: getattr(self, name) for name in ("open", "peak", "served", "endings")}
        told |= {"lines": self.errors.lines, "account": take_account()}
        print(json.dumps(told), flush=True)


def answer(sock: Any, line: bytes) -> Steps:
    """Do what one line asks for."""
    word, _, rest = line.partition(b" ")
    if word == b"echo":
        yield from send_all(sock, rest + b"\n")
    elif word == b"flood" and rest.isdigit():
        left = min(int(rest), 65536) * 1024
        while left:
            piece = PATTERN[:left]
            yield from send_all(sock, piece)
            left -= len(piece)
    elif word == b"crash":
        raise RuntimeError("a client asked for it")
    else:
        yield from send_all(sock, UNKNOWN)


# -- Seen from the other process -----------------------------------------------


class Served:
    """A LineServer in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.address: tuple[str, int] = tuple(self._hear())

    def ask(self, word: str) -> dict[str, Any]:
        """Send one word, and return what the server tells, its account among it."""
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._told()

    def end(self) -> dict[str, Any]:
        """Let the server stop, and return what was left after run()."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._told()

    def _told(self) -> dict[str, Any]:
        told: dict[str, Any] = self._hear()
        return told | {"account": Account(*told["account"])}

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server has ended with code {self._process.wait(10)}")
        return json.loads(line)


@contextlib.contextmanager
def line_server(timeout: float) -> Iterator[Served]:
    """Start a LineServer in a process of its own; end it when left."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.lines", str(timeout)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Served(process)
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def main(timeout: str) -> None:
    """Serve until the end of standard input."""
    signal.alarm(LONGEST_RUN)
    allow_many_files()
    server = LineServer(float(timeout))
    print(json.dumps(server.scheduler.listen(server.serve)), flush=True)
    server.scheduler.add(server.obey())
    server.scheduler.run()
    server.tell()


if __name__ == "__main__":
    main(*sys.argv[1:])
