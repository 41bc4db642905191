"""The crowd: clients in threads, who connect in turn, begin together and leave nothing behind.

The rule kept here: clients are plain blocking sockets, one thread each, that print nothing and
outlive nothing. Every wait has an end.

What this module does not know: fibers and schedulers. A server is an address.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

Client: TypeAlias = bytes | Callable[[socket.socket], Any]
"""Bytes to send again and again, or a function of a connected socket."""


class Record(NamedTuple):
    """One request; times in seconds since the clients began, `start` when it was due.

    client, request: 1 and up. bytes: how many came back. error: what went wrong, or None.
    A client that is a function is one request, and its bytes are not counted.
    """

    client: int
    request: int
    start: float
    end: float
    bytes: int
    error: str | None = None

    @property
    def latency(self) -> float:
        """Seconds from the moment the request was due to its answer."""
        return self.end - self.start


def plans_of(clients: int | Sequence[Client], request: bytes) -> list[Client]:
    """Return what each client does; TypeError if that cannot be done.

    request: what each of a number of clients sends.
    """
    if isinstance(clients, int):
        return [request] * clients
    if isinstance(clients, (bytes, str)) or not isinstance(clients, Sequence):
        raise TypeError(f"clients is a number or a list with one entry for each, got {clients!r}")
    for each in clients:
        if not (callable(each) or (isinstance(each, bytes) and each)):
            raise TypeError(
                f"a client is bytes to send or a function of a connected socket, got {each!r}"
            )
    return list(clients)


class Crowd:
    """The clients: they connect in turn, begin together, and leave nothing behind."""

    def __init__(
        self,
        address: tuple[str, int],
        plans: list[Client],
        requests: int,
        rate: float | None,
        timeout: float,
    ) -> None:
        self.connected = 0  # how many are
        self.answers: list[Any] = [None] * len(plans)
        self._address, self._plans, self._timeout = address, plans, timeout
        self._requests, self._rate = requests, rate
        self._records: list[Record] = []
        self._errors: dict[int, Exception] = {}
        self._late: set[int] = set()  # who had not ended in time
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.leaving = threading.Event()
        self._begun = threading.Event()
        self._zero = 0.0

    # -- From outside ---------------------------------------------------------

    def connect(self) -> None:
        """Connect one after the other; the system's queue keeps their order."""
        for number in range(1, len(self._plans) + 1):
            if self.leaving.is_set():
                break
            try:
                sock = socket.create_connection(self._address, self._timeout)
            except OSError as error:
                self._fail(number, 1, time.monotonic(), error)
                break
            self._sockets.append(sock)
            self.connected = number
        if self.leaving.is_set():
            self.abandon()  # those too that were not there yet the first time

    def begin(self) -> None:
        """Let every client that is connected begin, all at the same moment."""
        for number, sock in enumerate(self._sockets, 1):
            thread = threading.Thread(
                target=self._run, args=(number, sock), name=f"fiberlab client {number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()
        self._zero = time.monotonic()
        self._begun.set()

    def wait(self, seconds: float) -> None:
        """Wait until all are done or `seconds` have passed, and note who is late."""
        until = time.monotonic() + seconds
        for number, thread in enumerate(self._threads, 1):
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self._late.add(number)

    def abandon(self) -> None:
        """Tear every client out of its wait."""
        self.leaving.set()
        self._begun.set()
        for sock in self._sockets:
            with contextlib.suppress(OSError):  # closed already
                sock.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def ended_on_leaving(self) -> Iterator[None]:
        """End all threads and close all sockets when this is left."""
        try:
            yield
        finally:
            self.abandon()
            self.wait(1.0)
            for sock in self._sockets:
                sock.close()

    def sorted_records(self) -> list[Record]:
        """Return the records by client and request."""
        return sorted(self._records)

    def failure(self) -> tuple[int, str, Exception | None] | None:
        """Return the first client that failed, what it has to say, and its error; else None.

        A client that did not end in time has no error of its own.
        """
        numbers = [*self._errors, *self._late]
        if not numbers:
            return None
        number = min(numbers)
        error = None if number in self._late else self._errors[number]
        what = "had not ended in time" if error is None else one_line(error)
        return number, f"client {number} of {len(self._plans)}: {what}", error

    # -- In a client's thread -------------------------------------------------

    def _run(self, number: int, sock: socket.socket) -> None:
        plan = self._plans[number - 1]
        self._begun.wait()
        with sock:
            if callable(plan):
                self._call(number, sock, plan)
            else:
                self._ask(number, sock, plan)

    def _call(self, number: int, sock: socket.socket, function: Callable[..., Any]) -> None:
        start = time.monotonic()
        try:
            self.answers[number - 1] = function(sock)
        except Exception as error:
            self._fail(number, 1, start, error)
        else:
            self._note(number, 1, start, 0)

    def _ask(self, number: int, sock: socket.socket, request: bytes) -> None:
        received = b""
        for count in range(1, self._requests + 1):
            start = time.monotonic()
            try:
                if self._rate is not None:
                    turn = (count - 1) * len(self._plans) + number - 1
                    start = self._zero + turn / self._rate
                    # On the event, so that an abandoned client does not sleep on.
                    if self.leaving.wait(max(0.0, start - time.monotonic())):
                        raise TimeoutError("abandoned before its request was due")
                received += (answer := _exchange(sock, request))
            except Exception as error:
                self._fail(number, count, start, error)
                break
            self._note(number, count, start, len(answer))
        self.answers[number - 1] = received

    def _note(self, client: int, request: int, start: float, size: int) -> None:
        end = time.monotonic() - self._zero
        self._records.append(Record(client, request, start - self._zero, end, size))

    def _fail(self, client: int, request: int, start: float, error: Exception) -> None:
        self._errors[client] = error
        zero = self._zero or start
        end = time.monotonic() - zero
        self._records.append(Record(client, request, start - zero, end, 0, one_line(error)))


def _exchange(sock: socket.socket, request: bytes) -> bytes:
    """Send `request` and receive as many bytes; ConnectionError if the server ends before."""
    sock.sendall(request)
    answer = b""
    while len(answer) < len(request):
        data = sock.recv(len(request) - len(answer))
        if not data:
            raise ConnectionError(
                f"the server closed after {len(answer)} of {len(request)} bytes of an answer"
            )
        answer += data
    return answer


def one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
