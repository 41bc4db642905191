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
from typing import Any

from ..fiber import Handler
from ..scheduler import Scheduler
from ..trace.trace import Trace
from .background import Connections, look_until
from .crowd import Client, Crowd, Record, plans_of

__all__ = ["ClientError", "Record", "Recording", "load", "record"]

REQUEST = b"hello\n"
_ACCEPTING = 1  # the fiber that accepts clients; it is added first
SETTLE_SECONDS = 1.0  # how long fibers may take to end after the last client has left


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
    crowd = Crowd(address, plans_of(clients, request), requests, rate, timeout)
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
    deadline: seconds after which it is stopped. strict: raise ClientError if a client fails.
    options: as for Scheduler. What fibers print is in the trace, and in its `output`.
    The scheduler runs in the calling thread, so that an interrupt reaches it.
    """
    plans = plans_of(clients, REQUEST)
    trace = Recording(stall_after=stall_after)
    file = options.setdefault("file", io.StringIO())
    options.setdefault("output", "withheld")
    scheduler = Scheduler(trace=trace, **options)
    connections = Connections()
    address = scheduler.listen(connections.noting(function))
    crowd = Crowd(address, plans, requests, rate, deadline)
    given = (crowd, connections, scheduler, deadline)
    director = threading.Thread(target=_direct, args=given, name="fiberlab record", daemon=True)
    with crowd.ended_on_leaving():
        director.start()
        try:
            scheduler.run()
        finally:
            crowd.abandon()
            director.join()
    trace.records, trace.answers = tuple(crowd.sorted_records()), crowd.answers
    trace.output = file.getvalue() if isinstance(file, io.StringIO) else ""
    if strict:
        _raise_failure(crowd, trace)
    return trace


def _direct(crowd: Crowd, connections: Connections, scheduler: Scheduler, deadline: float) -> None:
    """Let the clients connect, begin and end, and the fibers after them; then stop."""
    until = time.monotonic() + deadline
    try:
        crowd.connect()
        look_until(lambda: connections.accepted >= crowd.connected, until, crowd.leaving)
        crowd.begin()
        crowd.wait(until - time.monotonic())
        # Their sockets are closed; the fibers that served them need a pass or two to see it.
        settled = min(until, time.monotonic() + SETTLE_SECONDS)
        look_until(connections.all_ended, settled, crowd.leaving)
    finally:
        scheduler.stop()


def _raise_failure(crowd: Crowd, trace: Recording | None = None) -> None:
    """Raise ClientError if a client failed, with what the server knows of it."""
    failed = crowd.failure()
    if failed is None:
        return
    number, sentence, error = failed
    clue = None if trace is None else _clue(trace, number)
    failure = ClientError(sentence if clue is None else f"{sentence}; the server: {clue}")
    failure.records, failure.trace = tuple(crowd.sorted_records()), trace
    raise failure from error


def _clue(trace: Recording, client: int) -> str | None:
    """Return what the trace or the output tell of an error that a client met."""
    spawned = [event for event in trace if event.ev == "spawn"]
    names = {event.fid: event.name for event in spawned}
    served = [event.fid for event in spawned if event.by == _ACCEPTING]
    failed = {event.fid: event for event in trace if event.ev == "exit" and event.how == "error"}
    for fiber in (*served[client - 1 : client], *failed):
        if (end := failed.get(fiber)) is not None:
            return f"fiber {names[fiber]!r} ended with {end.err} at {end.src}"
    return next((line for line in trace.output.splitlines() if line.startswith("error:")), None)
