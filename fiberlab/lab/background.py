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
import weakref
from collections.abc import Callable, Generator, Iterator
from typing import Any

from ..errors import one_line
from ..fiber import Handler
from ..recording.reporter import Observer, OwnReporter
from ..scheduler import Scheduler
from ..trace.trace import Trace
from .arguments import positive
from .forgotten import forgotten_helpers
from .limits import line_of_thread

STOP_SECONDS = 5.0
SETTLE_SECONDS = 0.2  # how long fibers may take to see that their clients have left


class Connections:
    """Notes the connections of a server as they are accepted, and knows when all have ended.

    generators: what the handlers have made; None where that failed.
    """

    def __init__(self) -> None:
        self.generators: list[Any] = []
        self._functions: list[Any] = []
        self._sockets: list[weakref.ref[Any]] = []
        self._refused: str | None = None

    def noting(self, function: Handler) -> Handler:
        """Return `function`, noting each call."""
        if not callable(function):
            return function  # listen() refuses it, in its own words
        self._functions.append(function)

        def noted(sock: Any, address: Any) -> Any:
            self.generators.append(None)  # accepted, even if the call fails
            self._sockets.append(weakref.ref(sock))
            try:
                made = function(sock, address)
            except Exception as error:
                self._refuse(function, f"raised {one_line(error)}")
                raise
            if not isinstance(made, Generator):
                self._refuse(function, f"returned {made!r}")
            self.generators[-1] = made
            return made

        return noted

    def filenos(self) -> set[int]:
        """Return the numbers of the connections that are open."""
        sockets = (each() for each in self._sockets)
        return {sock.fileno() for sock in sockets if sock is not None} - {-1}

    def refused_told(self) -> str | None:
        """Return what is to be said of a handler that has made no fiber, if one has not."""
        return self._refused and "; ".join([self._refused, *self.forgotten()])

    def forgotten(self) -> list[str]:
        """Return what is to be said of helpers that the handlers call without ``yield from``."""
        return [each for function in self._functions for each in forgotten_helpers(function)]

    def _refuse(self, function: Handler, what: str) -> None:
        name = getattr(function, "__name__", repr(function))
        self._refused = (
            f"{name}(sock, address) made no fiber: it {what}; "
            "a handler takes these two and has a `yield` in it"
        )

    @property
    def accepted(self) -> int:
        """How many connections there have been."""
        return len(self.generators)

    def all_ended(self) -> bool:
        """Whether the fiber of each connection has ended; from any thread."""
        return all(getattr(each, "gi_frame", None) is None for each in self.generators)


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
    live_url: the address of the page that shows it live, None if that was not asked for.
    """

    def __init__(
        self, functions: tuple[Handler, ...], trace: Observer | OwnReporter, **options: Any
    ) -> None:
        self.trace = trace
        self.live_url: str | None = None
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
        """Wait until the fibers of clients that have left end, so that their stories are whole."""
        look_until(
            self._connections.all_ended, time.monotonic() + SETTLE_SECONDS, given_up=self._ended
        )

    def stop(self, within: float = STOP_SECONDS) -> None:
        """Stop, and wait for the end; raise what killed the server, if something did.

        within: seconds after which RuntimeError names the fiber that does not yield.
        """
        within = positive("within", within)
        self.scheduler.stop()
        self._thread.join(within)
        if self._thread.is_alive():
            fiber = self.scheduler.running
            name = "it" if fiber is None else f"fiber {fiber.name!r}"
            line = line_of_thread(self._thread.ident)
            at = "" if line is None else f" at {line}"
            raise RuntimeError(
                f"the server did not stop within {within:g} s: {name} has not yielded{at}; "
                "its thread and its port stay until it does"
            )
        if self.error is not None:
            raise self.error
        if (refused := self._connections.refused_told()) is not None:
            raise TypeError(refused)

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
    trace: Observer | OwnReporter | None = None,
    within: float = STOP_SECONDS,
    live: bool = False,
    **options: Any,
) -> Iterator[Server]:
    """Serve in the background: ``with serving(echo, timeout=5) as server:``.

    functions: each gets a port of its own on this machine; their fibers share one scheduler.
    timeout, debug, options: as for Scheduler. trace: None makes a Trace with processor times.
    within: seconds the server has to stop when the ``with`` is left; else RuntimeError.
    live: serve a page beside it that shows what it does while it does it; see `Server.live_url`.
    Raises what left the server's run(), also in place of an exception from inside; and TypeError
    if a function has made no fiber for a connection.
    """
    if not functions:
        raise TypeError("serving() needs at least one generator function, such as serving(echo)")
    positive("within", within)
    observer = Trace(stall_after=0.02, cpu=True) if trace is None else trace
    if live and not isinstance(observer, Trace):
        raise TypeError(f"serving(live=True) shows a Trace, got trace={observer!r}")
    server = Server(functions, observer, timeout=timeout, debug=debug, **options)
    server.start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop, within)
        if live:
            server.live_url = stack.enter_context(_live_page(observer)).url
        yield server
        server.settle()


def _live_page(trace: Any) -> Any:
    from ..viewer.live import LivePage  # it reads modules that only a page needs

    return LivePage(trace)
