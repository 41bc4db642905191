"""Clients for a server: `load` against one that runs, `record` with one of its own.

The rule kept here: clients connect one after the other, so that they are accepted in their
order, and begin together; the whole is over by its `deadline` (see ``crowd``).

With `rate` requests are due at times fixed beforehand (an open loop), and a latency counts from
the moment its request was due: a client that is kept waiting cannot hide the requests it ought
to have sent meanwhile (Gil Tene's "coordinated omission").
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..fiber import Handler
from ..scheduler import Scheduler
from ..trace.events import EV, EXIT, FID, SPAWN, place
from ..trace.trace import Trace, rows_of
from .arguments import positive
from .background import Connections, look_until
from .crowd import Client, Crowd, Record, address_of, plans_of
from .limits import Limit
from .standing import ACCEPTING, Moment, Standing

__all__ = ["ClientError", "Record", "Recording", "load", "record"]

REQUEST = b"hello\n"
SETTLE_SECONDS = 1.0  # how long fibers may take to end after the last client has left
STILL_SECONDS = 1.0  # how long nothing must have happened before it is called a standstill
LOOK_SECONDS = 0.1  # between two looks whether something has happened


class ClientError(RuntimeError):
    """A client failed; the message says which one, where, and what the server knows of it.

    records: what all clients recorded. trace: the recording, if `record` made one.
    """

    records: tuple[Record, ...] = ()
    trace: Recording | None = None


class Recording(Trace):
    """What `record` returns: a trace, and what the clients saw of the same run.

    records: one for each request. answers: for each client the bytes that it received, or what
    its function returned. output: what fibers printed, a block for each.
    """

    def __init__(self, *, stall_after: float | None = 0.02, cpu: bool = True) -> None:
        super().__init__(stall_after=stall_after, cpu=cpu)
        self.records: tuple[Record, ...] = ()
        self.answers: list[Any] = []
        self.output = ""


def load(
    address: tuple[str, int],
    clients: int | Sequence[Client] = 8,
    requests: int = 20,
    request: bytes = REQUEST,
    *,
    rate: float | None = None,
    timeout: float = 5.0,
    deadline: float = 60.0,
    strict: bool = True,
) -> list[Record]:
    """Let clients talk to the server at `address`; return a Record for each request, in order.

    clients: how many, each sending `request` `requests` times and waiting each time for as many
    bytes; or a list as for `record`. rate: requests a second, of all clients together: they are
    sent when they are due. timeout, deadline: seconds for one socket operation, and for all.
    strict: raise ClientError if a client fails; else its last Record tells the error.
    """
    if not isinstance(request, bytes) or not request:
        raise TypeError(f"request is the bytes that a client sends, at least one, got {request!r}")
    deadline = positive("deadline", deadline)
    plans = plans_of(clients, request)
    crowd = Crowd(address_of(address), plans, requests, rate, timeout)
    with crowd.ended_on_leaving():
        crowd.connect()
        crowd.begin()
        crowd.wait(deadline)
    if strict:
        _raise_failure(crowd)
    return crowd.sorted_records()


def record(
    function: Handler,
    clients: int | Sequence[Client],
    requests: int = 1,
    rate: float | None = None,
    *,
    deadline: float = 10.0,
    strict: bool = True,
    stall_after: float | None = 0.02,
    **options: Any,
) -> Recording:
    """Serve `function` to some clients until all are done, and return the trace of it.

    clients: how many; or a list with one entry for each, bytes that it sends `requests` times,
    waiting each time for as many bytes, or a function that is called with a connected socket.
    Client number k is accepted as the k-th; when all are, they begin together. rate: as in `load`.
    deadline: seconds after which it is stopped; a fiber that does not yield is interrupted then.
    A standstill is ended at once: clients wait for an answer, and fibers for the clients.
    strict: raise ClientError if a client fails, or a fiber had to be interrupted.
    options: as for Scheduler. What fibers print is in the trace, and in its `output`.
    The scheduler runs in the calling thread, so that an interrupt reaches it.
    """
    deadline = positive("deadline", deadline)
    if "trace" in options:
        raise TypeError("record() makes the trace and returns it; trace= is no option of it")
    # A client waits a little longer, so that the deadline is reported, and not its time-out.
    plans, patience = plans_of(clients, REQUEST), deadline + SETTLE_SECONDS
    crowd = Crowd(None, plans, requests, rate, patience)
    trace = Recording(stall_after=positive("stall_after", stall_after, never=True))
    file = options.setdefault("file", io.StringIO())
    options.setdefault("output", "withheld")
    scheduler = Scheduler(trace=trace, **options)
    connections = Connections()
    crowd.address = scheduler.listen(connections.noting(function))
    director = _Director(crowd, connections, scheduler, trace, deadline)
    with crowd.ended_on_leaving():
        director.start()
        try:
            with Limit(deadline + SETTLE_SECONDS) as limit:
                scheduler.run()
        finally:
            crowd.abandon()
            director.join()
    trace.records, trace.answers = tuple(crowd.sorted_records()), crowd.answers
    trace.output = file.getvalue() if isinstance(file, io.StringIO) else ""
    if director.error is not None:
        raise director.error
    if strict:
        held = None if limit.reached is None else str(limit.reached)
        standing = None if director.moment is None else Standing(director.moment)
        _raise_failure(crowd, _Clues(trace, connections, standing, held))
    return trace


class _Director(threading.Thread):
    """Lets the clients connect, begin and end, and the fibers after them; then stops the server.

    Made in the thread in which the scheduler runs.

    moment: the run when the time was over, or when nothing went on; else None.
    error: what went wrong with the director itself.
    """

    def __init__(
        self,
        crowd: Crowd,
        connections: Connections,
        scheduler: Scheduler,
        trace: Recording,
        deadline: float,
    ) -> None:
        super().__init__(name="fiberlab record", daemon=True)
        self.moment: Moment | None = None
        self.error: BaseException | None = None
        self._crowd, self._connections, self._trace = crowd, connections, trace
        self._scheduler, self._until = scheduler, time.monotonic() + deadline
        self._thread = threading.get_ident()  # the scheduler's

    def run(self) -> None:
        """Direct; in a thread of its own, which prints nothing."""
        try:
            self._direct()
        except BaseException as error:
            self.error = error
        finally:
            self._scheduler.stop()

    def _direct(self) -> None:
        crowd, connections = self._crowd, self._connections
        crowd.connect()
        look_until(lambda: connections.accepted >= crowd.connected, self._until, crowd.leaving)
        crowd.begin()
        if not self._all_done():
            self.moment = self._look()
            crowd.wait(0)
            return
        # Their sockets are closed; the fibers that served them need a pass or two to see it.
        settled = min(self._until, time.monotonic() + SETTLE_SECONDS)
        look_until(connections.all_ended, settled, crowd.leaving)

    def _all_done(self) -> bool:
        """Wait for the clients; False if their time is over, or if nothing will ever go on."""
        seen, still = 0, time.monotonic()
        while (left := self._until - time.monotonic()) > 0:
            if self._crowd.all_done(min(left, LOOK_SECONDS)) or self._crowd.leaving.is_set():
                return True
            # The poller looks after closed sockets twice a second: that moves nothing.
            _, first, rows = self._trace.rows_since(seen)
            seen = first + len(rows)
            if any(row[FID] for row in rows):
                still = time.monotonic()
            elif time.monotonic() - still > STILL_SECONDS and self._stands_still():
                return False
        return False

    def _stands_still(self) -> bool:
        if not self._crowd.all_wait():
            return False
        return Standing(self._look()).is_still(self._connections.filenos())

    def _look(self) -> Moment:
        return Moment.of(self._trace, self._connections.generators, self._thread)


class _Clues(NamedTuple):
    """What is known of the server when a client has failed.

    standing: where the fibers stood. held: what is to be said of a fiber that was interrupted.
    """

    trace: Recording
    connections: Connections
    standing: Standing | None
    held: str | None

    def of(self, client: int, error: BaseException | None) -> str | None:
        """Return what the trace or the output tell of an error that a client met."""
        own, other = self._failures(client, isinstance(error, ConnectionError))
        found = [self.held] if self.held else [own] if own else [self._stood(client), other]
        clues = filter(None, [*found, *self.connections.forgotten()])
        return "; ".join(clues) or self._error_line()

    def _failures(self, client: int, closed: bool) -> tuple[str | None, str | None]:
        """Return how the client's own fiber failed, and how the first of all did.

        closed: the connection has ended early. If no fiber failed, that its own had ended says why.
        """
        rows = rows_of(self.trace)
        names = {row[FID]: row[SPAWN.NAME] for row in rows if row[EV] == "spawn"}
        served = [row[FID] for row in rows if row[EV] == "spawn" and row[SPAWN.BY] == ACCEPTING]
        ends = (row for row in rows if row[EV] == "exit" and row[EXIT.HOW] == "error")
        failed = {
            row[FID]: f"fiber {names[row[FID]]!r} ended with {row[EXIT.ERR]}"
            + (f" at {src}" if (src := place(row[EXIT.SRC])) else "")
            for row in ends
        }
        own = next(iter(served[client - 1 : client]), 0)
        other = next(iter(failed.values()), None)
        if other is None and closed and any(row[FID] == own for row in rows if row[EV] == "exit"):
            other = f"fiber {names[own]!r} had ended, without an error"
        return failed.get(own), other

    def _stood(self, client: int) -> str | None:
        if self.standing is None:
            return None
        own = [self.standing.describe(each) for each in self.standing.served[client - 1 : client]]
        others = [each for each in self.standing.spinning() if each not in own]
        return "; ".join([*filter(None, own), *others[:2]]) or None

    def _error_line(self) -> str | None:
        lines = self.trace.output.splitlines()
        return next((line for line in lines if line.startswith("error:")), None)


def _raise_failure(crowd: Crowd, clues: _Clues | None = None) -> None:
    """Raise ClientError if a client failed, with what the server knows of it."""
    failed = crowd.failure()
    refused = None if clues is None else clues.connections.refused_told()
    if failed is None and (refused or (clues and clues.held)):
        failed = 0, "all clients ended in time", None
    if failed is None:
        return
    number, sentence, error = failed
    clue = None if clues is None else clues.of(number, error)
    message = sentence if clue is None else f"{sentence}; the server: {clue}"
    failure = ClientError(refused or message)
    failure.records = tuple(crowd.sorted_records())
    failure.trace = None if clues is None else clues.trace
    raise failure from error
