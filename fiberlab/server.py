"""spawn: a server in one call, as the FIBER module's documentation describes it.

The rule kept here: only ^C, SIGHUP or SIGTERM ends the server, and it leaves nothing behind. Their
handlers are put back as they were. A signal that was ignored when the server began stays ignored,
so ``nohup`` works.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from .fiber import FiberGenerator
from .recording.reporter import Observer, OwnReporter
from .recording.stall_recorder import StallRecorder
from .scheduler import Scheduler


def spawn(
    function: Callable[[Any, Any], FiberGenerator],
    port: int,
    timeout: float | None = None,
    debug: bool = False,
    *,
    host: str = "localhost",
    trace: Observer | OwnReporter | None = None,
) -> None:
    """Serve on this machine: make a fiber of ``function(sock, address)`` for every connection.

    port: 0 takes a free one; the address is printed to sys.stdout. timeout: seconds of inactivity
    after which a fiber gets FiberTimeout; None: never. debug: what a fiber prints is written at
    once, and errors with their traceback; otherwise output is withheld until the fiber ends.
    Runs until ^C, SIGHUP or SIGTERM, then closes everything and returns. If `trace` is a
    StallRecorder, SIGUSR1 lets it write what it holds.
    Raises OSError if the port is taken, ValueError if `host` is not this machine.
    """
    output = "direct" if debug else "withheld"
    scheduler = Scheduler(timeout, trace, output=output, file=sys.stdout, debug=debug)
    # Handlers first: a program that reads the address may send a signal at once.
    with _interrupts(trace), contextlib.suppress(KeyboardInterrupt):
        try:
            bound = scheduler.listen(function, port, host)
            print(f"listening on {bound[0]} port {bound[1]}; ^C ends it", flush=True)
        except BaseException:
            scheduler.stop()  # then run() only closes the sockets that listen already
            scheduler.run()
            raise
        scheduler.run()


@contextlib.contextmanager
def _interrupts(trace: object) -> Iterator[None]:
    """Let ^C, SIGHUP and SIGTERM raise KeyboardInterrupt, if this is the main thread.

    And let SIGUSR1 write what a StallRecorder holds, where there is such a signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    try:
        for name in ("SIGINT", "SIGHUP", "SIGTERM"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.getsignal(number)
                signal.signal(number, signal.default_int_handler)
        if isinstance(trace, StallRecorder) and hasattr(signal, "SIGUSR1"):
            write = trace.write
            before[signal.SIGUSR1] = signal.getsignal(signal.SIGUSR1)
            signal.signal(signal.SIGUSR1, lambda *_: write())
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
