"""Clients that visit a blocking server of lesson 03, and how long each would have to wait.

The rule kept here: the server runs in the calling thread, where an interrupt reaches it; each
client has a thread of its own, which never prints, and gives up at a deadline. When `visit`
returns, threads, sockets and port are gone.
"""

from __future__ import annotations

import heapq
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEADLINE = 5.0
"""Seconds after which an accept, and a client's send or recv, gives up."""


@dataclass
class Visit:
    """What one client saw; the moments are seconds since all began, None if it never came so far.

    accepted: when the server took the connection. sent: when its request was. answered: when the
    answer had come. error: the name of what it ran into.
    """

    name: str
    accepted: float | None = None
    sent: float | None = None
    answered: float | None = None
    answer: bytes = b""
    error: str | None = None


@dataclass(frozen=True)
class Visits:
    """All visits of one run, in the order in which the clients had connected.

    cpu: seconds for which a processor worked for the server's thread.
    """

    visits: tuple[Visit, ...]
    cpu: float

    def __iter__(self) -> Iterator[Visit]:
        return iter(self.visits)

    @property
    def total(self) -> float:
        """Seconds until the last answer; ValueError if there was none."""
        return max(each.answered for each in self.visits if each.answered is not None)


class Listener(socket.socket):
    """A listening socket that notes when it accepted each client; port 0 of this machine."""

    def __init__(self, timeout: float) -> None:
        super().__init__(socket.AF_INET, socket.SOCK_STREAM)
        self.accepted: dict[Any, float] = {}  # by the client's address
        self.settimeout(timeout)
        self.bind(("127.0.0.1", 0))
        self.listen(64)

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection and the client's address, as every listener does."""
        connection, address = super().accept()
        self.accepted[address] = time.perf_counter()
        return connection, address


def visit(
    serve: Callable[[Any, int], object],
    names: Sequence[str],
    *,
    silent: Mapping[str, float] | None = None,
    deadline: float = DEADLINE,
) -> Visits:
    """Let clients visit a server at the same time, and return what each of them saw.

    serve: called in this thread, with a listener and the number of clients.
    names: of the clients. They connect one after the other, in this order, and begin together:
    each sends its name, waits for as many bytes, and leaves.
    silent: by name, for how many seconds a client says nothing before it sends.
    deadline: seconds after which an accept, a send or a recv gives up.
    Raises whatever `serve` raises, once all clients have gone.
    """
    silent = silent or {}
    begun = threading.Event()
    clients: list[_Client] = []
    listener = Listener(deadline)
    try:
        for name in names:
            address = listener.getsockname()
            clients.append(_Client(name, address, silent.get(name, 0), begun, deadline))
        for client in clients:
            client.start()
        start, worked = time.perf_counter(), time.thread_time()
        begun.set()
        serve(listener, len(clients))
        cpu = time.thread_time() - worked
    except BaseException:
        for client in clients:
            client.leave()
        raise
    finally:
        listener.close()  # a client that was not accepted sees the end now
        for client in clients:
            client.end()
    return Visits(tuple(each.measured(listener, start) for each in clients), cpu)


class _Client:
    """A client with a thread of its own; connected as soon as it is made."""

    def __init__(
        self, name: str, address: Any, silent: float, begun: threading.Event, deadline: float
    ) -> None:
        self.visit = Visit(name)
        self._silent, self._begun = silent, begun
        self._left = threading.Event()
        self._sock = socket.create_connection(address, deadline)
        self._address = self._sock.getsockname()
        self._thread = threading.Thread(target=self._run, name=f"client {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def leave(self) -> None:
        """Say nothing more; from another thread."""
        self._left.set()
        self._begun.set()

    def end(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()
        self._sock.close()

    def measured(self, listener: Listener, start: float) -> Visit:
        """Return the visit, its moments counted from `start`."""
        visit, accepted = self.visit, listener.accepted.get(self._address)
        visit.accepted = None if accepted is None else accepted - start
        visit.sent = None if visit.sent is None else visit.sent - start
        visit.answered = None if visit.answered is None else visit.answered - start
        return visit

    def _run(self) -> None:
        request, visit = self.visit.name.encode(), self.visit
        try:
            self._begun.wait()
            if not self._left.wait(self._silent):
                self._sock.sendall(request)
                visit.sent = time.perf_counter()
                while len(visit.answer) < len(request) and (data := self._sock.recv(1024)):
                    visit.answer += data
                if visit.answer == request:
                    visit.answered = time.perf_counter()
        except OSError as error:
            visit.error = type(error).__name__
        finally:
            self._sock.close()


def waits_of(services: Sequence[float], threads: int = 1) -> list[float]:
    """Return how long each client waits until a thread is free, if all come at once.

    services: for how long each keeps a thread busy, in the order of the clients; any unit.
    """
    free = [0.0] * threads  # a heap: when each thread is free again
    waits = []
    for service in services:
        waits.append(heapq.heappop(free))
        heapq.heappush(free, waits[-1] + service)
    return waits
