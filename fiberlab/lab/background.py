"""serving: a server in the background, for as long as a ``with`` lasts.

The rule kept here: when the ``with`` is left, whatever happened inside, the server has stopped
and its thread, descriptors and port are gone; what killed it is raised where it was asked for.
Nothing in its thread ever prints: what its fibers print is kept.
"""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..fiber import Handler
from ..recording.reporter import Observer
from ..scheduler import Scheduler
from ..trace.trace import Trace

STOP_SECONDS = 5.0
SETTLE_SECONDS = 0.2  # how long fibers may take to see that their clients have left


class Connections:
    """Notes the connections of a server as they are accepted, and knows when all have ended."""

    def __init__(self) -> None:
        self._generators: list[Any] = []

    def noting(self, function: Handler) -> Handler:
        """Return `function`, noting each call."""
        if not callable(function):
            return function  # listen() refuses it, in its own words

        def noted(sock: Any, address: Any) -> Any:
            self._generators.append(None)  # accepted, even if the call fails
            generator = self._generators[-1] = function(sock, address)
            return generator

        return noted

    @property
    def accepted(self) -> int:
        """How many connections there have been."""
        return len(self._generators)

    def all_ended(self) -> bool:
        """Whether the fiber of each connection has ended; from any thread."""
        return all(getattr(each, "gi_frame", None) is None for each in self._generators)


def look_until(true: Callable[[], bool], until: float, given_up: threading.Event) -> None:
    """Look every millisecond whether something is true of what another thread does.

    until: when to give up, as time.monotonic() tells it.
    """
    while not true() and time.monotonic() < until and not given_up.wait(0.001):
        pass


class Server:
    """A server that runs in a thread of its own; made by `serving`.

    address: (host, port) of the first function; addresses: of all. trace: what records it.
    scheduler: to look at; only its stop() may be called from outside. error: what killed it.
    """

    def __init__(self, functions: tuple[Handler, ...], trace: Observer, **options: Any) -> None:
        self.trace = trace
        self.error: BaseException | None = None
        self._file = io.StringIO()
        self._connections = Connections()
        self._ended = threading.Event()
        self.scheduler = Scheduler(trace=trace, output="withheld", file=self._file, **options)
        try:
            self.addresses = [
                self.scheduler.listen(self._connections.noting(each)) for each in functions
            ]
        except BaseException:
            # Stopped before it has begun, run() only closes what listens already.
            self.scheduler.stop()
            self.scheduler.run()
            raise
        self.address = self.addresses[0]
        self._thread = threading.Thread(
            target=self._run, name=f"fiberlab server {self.address[1]}", daemon=True
        )

    @property
    def output(self) -> str:
        """What its fibers have printed, a block for each one that has ended."""
        return self._file.getvalue()

    def start(self) -> None:
        """Begin to serve; it has been listening since it was made."""
        self._thread.start()

    def settle(self) -> None:
        """Let the fibers end whose clients have left, so that their stories are whole."""
        look_until(
            self._connections.all_ended, time.monotonic() + SETTLE_SECONDS, given_up=self._ended
        )

    def stop(self, within: float = STOP_SECONDS) -> None:
        """Stop, and wait for the end; raise what killed the server, if something did.

        within: seconds after which RuntimeError names the fiber that does not yield.
        """
        self.scheduler.stop()
        self._thread.join(within)
        if self._thread.is_alive():
            fiber = self.scheduler.running
            who = "it" if fiber is None else f"fiber {fiber.name!r}"
            raise RuntimeError(
                f"the server did not stop within {within:g} s: {who} has not yielded; "
                "its thread and its port stay until it does"
            )
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            self.scheduler.run()
        except BaseException as error:
            self.error = error
        finally:
            self._ended.set()

    def __repr__(self) -> str:
        state = "running" if self._thread.is_alive() else "stopped"
        return f"<Server at {self.address[0]} port {self.address[1]}, {state}>"


@contextlib.contextmanager
def serving(
    *functions: Handler,
    timeout: float | None = None,
    debug: bool = False,
    trace: Observer | None = None,
    within: float = STOP_SECONDS,
    **options: Any,
) -> Iterator[Server]:
    """Serve in the background: ``with serving(echo, timeout=5) as server:``.

    functions: each gets a port of its own on this machine; their fibers share one scheduler.
    timeout, debug, options: as for Scheduler. trace: None makes a Trace with processor times.
    within: seconds the server has to stop when the ``with`` is left; else RuntimeError.
    Raises what left the server's run(), also in place of an exception from inside.
    """
    if not functions:
        raise TypeError("serving() needs at least one generator function, such as serving(echo)")
    observer = Trace(stall_after=0.02, cpu=True) if trace is None else trace
    server = Server(functions, observer, timeout=timeout, debug=debug, **options)
    server.start()
    try:
        yield server
        server.settle()
    finally:
        server.stop(within)
