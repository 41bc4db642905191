"""Clients that visit a blocking server of lesson 03, and the picture of who waited.

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
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEADLINE = 5.0
"""Seconds after which an accept, and a client's send or recv, gives up."""

WAITING: dict[str, Any] = {"color": "#E69F00", "height": 0.55, "label": "waits to be accepted"}
SILENT: dict[str, Any] = {
    "facecolor": "#8CCBF0",
    "edgecolor": "black",
    "hatch": "///",
    "height": 0.35,
    "label": "accepted; says nothing",
}
SERVED: dict[str, Any] = {"color": "#1B4F8A", "height": 0.8, "label": "is served"}


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
    """A listening socket that notes when it accepted whom; port 0 of this machine."""

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
        listener.close()  # whoever was not accepted sees the end now
        for client in clients:
            client.end()
    return Visits(tuple(each.told(listener, start) for each in clients), cpu)


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

    def told(self, listener: Listener, start: float) -> Visit:
        """Return the visit, its moments counted from `start`."""
        told, accepted = self.visit, listener.accepted.get(self._address)
        told.accepted = None if accepted is None else accepted - start
        told.sent = None if told.sent is None else told.sent - start
        told.answered = None if told.answered is None else told.answered - start
        return told

    def _run(self) -> None:
        request, told = self.visit.name.encode(), self.visit
        try:
            self._begun.wait()
            if not self._left.wait(self._silent):
                self._sock.sendall(request)
                told.sent = time.perf_counter()
                while len(told.answer) < len(request) and (data := self._sock.recv(1024)):
                    told.answer += data
                if told.answer == request:
                    told.answered = time.perf_counter()
        except OSError as error:
            told.error = type(error).__name__
        finally:
            self._sock.close()


class Endless(BaseException):
    """Raised out of a recv that has told too often that the client has left.

    No Exception: a loop that goes on after b"" often goes on after any exception.
    """


class _Counted(socket.socket):
    """A connection that tells only so many times that the client has left."""

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


def draw_visits(ax: Axes, visits: Visits) -> None:
    """Draw a row for each client: how long it waited, said nothing, and was served."""
    for row, each in enumerate(visits):
        if each.accepted is None or each.sent is None or each.answered is None:
            continue
        heard = max(each.accepted, each.sent)
        _bar(ax, row, 0, each.accepted, WAITING)
        _bar(ax, row, each.accepted, heard, SILENT)
        _bar(ax, row, heard, each.answered, SERVED)
    _rows(ax, [each.name for each in visits])


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


def draw_schedule(ax: Axes, services_ms: Sequence[float], threads: int = 1) -> None:
    """Draw the computed schedule of clients that come at once, in milliseconds."""
    waits = waits_of(services_ms, threads)
    for row, (wait, service) in enumerate(zip(waits, services_ms, strict=True)):
        if wait:
            ax.barh(row, wait, **WAITING)
        ax.barh(row, service, left=wait, **SERVED)
    _rows(ax, [f"client {n}" for n in range(1, len(services_ms) + 1)])
    end = max(map(sum, zip(waits, services_ms, strict=True)))
    throughput = 1000 * len(services_ms) / end
    ax.set_title(f"last answer after {end:g} ms; {throughput:.1f} answers a second", size=13)


def _bar(ax: Axes, row: int, start: float, end: float, style: Mapping[str, Any]) -> None:
    if end - start > 0.005:  # shorter ones would only be a line
        ax.barh(row, (end - start) * 1000, left=start * 1000, **style)


def _rows(ax: Axes, names: Sequence[str]) -> None:
    """Label the rows of `ax`, the first on top, and say what the bars mean."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(left=0)
    ax.set_xlabel("ms", size=13)
    ax.tick_params(labelsize=13)
    handles, labels = ax.get_legend_handles_labels()
    told: dict[str, Any] = dict(zip(labels, handles, strict=True))
    order = [each["label"] for each in (WAITING, SILENT, SERVED) if each["label"] in told]
    ax.figure.legend(
        [told[label] for label in order], order, loc="outside upper center", ncols=3, fontsize=13
    )
