"""The crowd: clients in threads that connect in turn, begin together and leave nothing behind.

The rule kept here: clients are plain blocking sockets, one thread each, that print nothing and
outlive nothing. Every wait has an end.

What this module does not know: fibers and schedulers. A server is an address.
"""

from __future__ import annotations

import contextlib
import numbers
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from ..errors import one_line
from .arguments import MOST_A_SECOND, MOST_SECONDS, positive, whole

MOST_CLIENTS = 10_000  # each takes a thread and two descriptors

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
    """Return what each client does; TypeError or ValueError if that cannot be done.

    request: what each of a number of clients sends.
    """
    if isinstance(clients, numbers.Integral) and not isinstance(clients, bool):
        count = whole("clients", clients)
    elif isinstance(clients, Sequence) and not isinstance(clients, (bytes, bytearray, str)):
        count = whole("the length of clients", len(clients))
    else:
        raise TypeError(f"clients is a number or a list with one entry for each, got {clients!r}")
    if count > MOST_CLIENTS:
        raise ValueError(f"clients can be {MOST_CLIENTS:,} at most, got {count:,}")
    plans = list(clients) if isinstance(clients, Sequence) else [request] * count
    for each in plans:
        if not (callable(each) or (isinstance(each, bytes) and each)):
            raise TypeError(
                f"a client is bytes to send or a function of a connected socket, got {each!r}"
            )
    return plans


def address_of(address: Any) -> tuple[str, int]:
    """Return the address of a server, if it is one."""
    match address:
        case (str(host), int(port)) if not isinstance(port, bool):
            if not 0 < port < 65536:
                raise ValueError(f"a port is a number from 1 to 65535, got {port!r}")
            return host, port
    raise TypeError(f"an address is (host, port), as server.address is, got {address!r}")


class ClientSocket(socket.socket):
    """A client's socket, which tells whether its client waits for the server just now."""

    waiting = False

    def recv(self, *args: Any) -> bytes:
        """Receive, as any socket does."""
        self.waiting = True
        try:
            return super().recv(*args)
        finally:
            self.waiting = False

    def recv_into(self, *args: Any) -> int:
        """Receive into a buffer, as a file made of the socket does."""
        self.waiting = True
        try:
            return super().recv_into(*args)
        finally:
            self.waiting = False

    def sendall(self, *args: Any) -> None:
        """Send all, as any socket does."""
        self.waiting = True
        try:
            super().sendall(*args)
        finally:
            self.waiting = False


class Crowd:
    """The clients: they connect in turn, begin together, and leave nothing behind.

    address: of the server; None as long as it is not known. The rest is as for `load`, and
    refused if it makes no sense.
    """

    def __init__(
        self,
        address: tuple[str, int] | None,
        plans: list[Client],
        requests: int,
        rate: float | None,
        timeout: float,
    ) -> None:
        self.address = address
        self._requests = whole("requests", requests)
        self._rate = positive("rate", rate, MOST_A_SECOND, never=True)
        self._timeout = positive("timeout", timeout)
        self.connected = 0  # how many are
        self.answers: list[Any] = [None] * len(plans)
        self._plans = plans
        self._records: list[Record] = []
        self._errors: dict[int, BaseException] = {}
        self._late: set[int] = set()  # those that had not ended in time
        self._sockets: list[ClientSocket] = []
        self._threads: list[threading.Thread] = []
        self.leaving = threading.Event()
        self._begun = threading.Event()
        self._zero = 0.0

    # -- From outside ---------------------------------------------------------

    def connect(self) -> None:
        """Connect one after the other; the system's queue keeps their order."""
        assert self.address is not None
        for number in range(1, len(self._plans) + 1):
            if self.leaving.is_set():
                break
            try:
                plain = socket.create_connection(self.address, self._timeout)
                sock = ClientSocket(fileno=plain.detach())
                self._sockets.append(sock)
                sock.settimeout(self._timeout)
            except OSError as error:
                self._fail(number, 1, time.monotonic(), error)
                break
            self.connected = number
        if self.leaving.is_set():
            self.abandon()  # those too that were not there yet the first time

    def begin(self) -> None:
        """Let every client that is connected begin, all at the same moment."""
        for number, sock in enumerate(self._sockets, 1):
            thread = threading.Thread(
                target=self._run, args=(number, sock), name=f"fiberlab client {number}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:  # the system has no thread left
                self._fail(number, 1, time.monotonic(), error)
                break
            self._threads.append(thread)
        self._zero = time.monotonic()
        self._begun.set()

    def wait(self, seconds: float) -> None:
        """Wait until all are done or `seconds` have passed, and note those that are late."""
        self.all_done(seconds)
        for number, thread in enumerate(self._threads, 1):
            if thread.is_alive():
                self._late.add(number)

    def all_done(self, within: float) -> bool:
        """Return whether all are done; wait for that up to `within` seconds."""
        until = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def all_wait(self) -> bool:
        """Whether each client that has not ended waits for the server, to receive or to send."""
        pairs = zip(self._threads, self._sockets, strict=False)
        return all(sock.waiting or not thread.is_alive() for thread, sock in pairs)

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

    def failure(self) -> tuple[int, str, BaseException | None] | None:
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

    def _run(self, number: int, sock: ClientSocket) -> None:
        plan = self._plans[number - 1]
        self._begun.wait()
        with sock:
            if callable(plan):
                self._call(number, sock, plan)
            else:
                self._ask(number, sock, plan)

    def _call(self, number: int, sock: ClientSocket, function: Callable[..., Any]) -> None:
        start = time.monotonic()
        # Of any class: a client that exits, or that fails an assertion, has not succeeded.
        try:
            answer = function(sock)
            if isinstance(answer, (Generator, Coroutine)):
                answer.close()
                raise TypeError(
                    f"a client is a plain function, and this one made {answer!r}, which never runs"
                )
        except BaseException as error:
            self._fail(number, 1, start, error)
        else:
            self.answers[number - 1] = answer
            self._note(number, 1, start, 0)

    def _ask(self, number: int, sock: ClientSocket, request: bytes) -> None:
        received = b""
        for count in range(1, self._requests + 1):
            start = time.monotonic()
            try:
                if self._rate is not None:
                    turn = (count - 1) * len(self._plans) + number - 1
                    start = self._zero + turn / self._rate
                    self._until(start)
                received += (answer := _exchange(sock, request))
            except BaseException as error:
                self._fail(number, count, start, error)
                break
            self._note(number, count, start, len(answer))
        self.answers[number - 1] = received

    def _until(self, due: float) -> None:
        """Wait until a request is due; TimeoutError if the client is abandoned before."""
        # On the event, so that an abandoned client does not sleep on.
        if self.leaving.wait(min(MOST_SECONDS, max(0.0, due - time.monotonic()))):
            raise TimeoutError("abandoned before its request was due")

    def _note(self, client: int, request: int, start: float, size: int) -> None:
        end = time.monotonic() - self._zero
        self._records.append(Record(client, request, start - self._zero, end, size))

    def _fail(self, client: int, request: int, start: float, error: BaseException) -> None:
        self._errors[client] = error
        zero = self._zero or start
        end = time.monotonic() - zero
        self._records.append(Record(client, request, start - zero, end, 0, one_line(error)))


def _exchange(sock: ClientSocket, request: bytes) -> bytes:
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
