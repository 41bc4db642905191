"""The scheduler: resume all that are ready, poll, expire deadlines; and round again.

That is one pass. It resumes each fiber that was ready when it began, once, first come, first
served; whoever becomes ready meanwhile is resumed in the next, so the poll cannot be starved.

A fiber is running, in the run queue, parked (WAIT(None)), or with the poller and the alarms.
There is one way into waiting, `_park`, and one way out, `_make_ready`.

What this module does not know: what a socket is (poller), how deadlines are kept (alarms), who
listens to the trace (reporter) and where prints go (output).
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any, TextIO

from .alarms import Alarms, deadline_of, nanoseconds
from .errors import Deadlock, FiberTimeout, InvalidYield
from .fiber import Fiber, FiberGenerator, Handler, RunQueue, make_queue, set_scheduler_of_thread
from .io import READABLE, WRITABLE, Clock, Poller, clock_and_poller
from .output import Output
from .recording.reporter import Observer, Reporter
from .sockets import accept_all
from .waits import RECV, SEND, WAIT, check_seconds


class Scheduler:
    """Runs fibers, one at a time, each until its next yield.

    timeout: seconds of inactivity until a RECV or SEND raises FiberTimeout; None: never. trace:
    called with each TraceEvent. clock, poller: both real (None) or both simulated. run_queue:
    None is a deque. output: None leaves print alone, "withheld" keeps it until the fiber ends,
    "direct" writes it at once; to `file` (None: sys.stdout). debug: with complete tracebacks.
    """

    def __init__(
        self,
        timeout: float | None = None,
        trace: Observer | None = None,
        *,
        clock: Clock | None = None,
        poller: Poller | None = None,
        run_queue: RunQueue | None = None,
        output: str | None = None,
        file: TextIO | None = None,
        debug: bool = False,
    ) -> None:
        check_seconds("Scheduler(timeout=)", timeout)
        self.running: Fiber | None = None
        self._patience = nanoseconds(timeout)
        self._clock, self._poller = clock_and_poller(clock, poller)
        self._queue = make_queue(run_queue)
        self._output = Output(output, file, self._clock, debug)
        self._reporter = None if trace is None else Reporter(trace, self._clock)
        self._report: Reporter | None = None  # the reporter, while run() is under way
        self._parked: dict[Fiber, None] = {}  # in the order in which they parked
        self._alive: dict[int, Fiber] = {}  # by id, in the order of adding
        self._alarms = Alarms(self._alive)
        self._count, self._entered, self._stopping = 0, False, False

    def add(self, generator: FiberGenerator, name: str | None = None) -> Fiber:
        """Make a fiber of `generator`, ready to run; before run() or in a running fiber.

        name: None: its function's, with the id. Raises TypeError unless it gets a generator.
        """
        fiber = Fiber(self._count + 1, generator, name, self)
        self._count += 1
        self._alive[fiber.id] = fiber
        if self._entered:
            self._admit(fiber)
        return fiber

    def listen(self, function: Handler, port: int = 0, host: str = "localhost") -> tuple[str, int]:
        """Listen on this machine, and make a fiber of ``function(sock, address)`` for each client.

        port: 0 takes a free one. Returns (host, port) as it came to be. Raises OSError if the
        port is taken, ValueError if `host` is not this machine.
        """
        if not callable(function):
            raise TypeError(f"listen() needs a generator function, got {function!r}")
        listener = self._poller.listen((host, port))
        accepting = accept_all(listener, function, self.add, self._output.say)
        self.add(accepting, f"accept-{self._count + 1}").owned = listener
        return listener.getsockname()[:2]  # type: ignore[no-any-return]

    def run(self) -> None:
        """Run until no fiber is left or stop() is called; then close whoever is still alive.

        Raises Deadlock if nothing can wake those left; passes on KeyboardInterrupt, SystemExit.
        """
        if self._entered:
            raise RuntimeError("this scheduler is running already")
        with ExitStack() as again, ExitStack() as leaving:
            for stack in (again, leaving):  # both, since ^C may strike while one undoes
                for undo in (self._reset, self._poller.close, self._close_fibers):
                    stack.callback(undo)
            self._entered = True
            leaving.enter_context(set_scheduler_of_thread(self))
            self._poller.open()
            self._output.catch(lambda: self.running, again, leaving)
            if (reporter := self._reporter) is not None:
                reporter.start()
                self._report = self._output.report = reporter
                leaving.push(lambda kind, *_: reporter.stop(kind, self._stopping))
            leaving.callback(self._close_fibers)
            for fiber in list(self._alive.values()):
                self._admit(fiber)
            while self._alive and not self._stopping:
                self.run_once()

    def stop(self) -> None:
        """End run() after this pass, or at its start; from any thread, fiber or signal handler."""
        self._stopping = True
        self._poller.wake()

    def run_once(self) -> None:
        """Make one pass; run() does, again and again."""
        self.run_ready()
        self.poll()
        self.expire()

    def run_ready(self) -> None:
        """Resume each fiber that is ready now, once, in the order of the run queue."""
        queue, report = self._queue, self._report
        if report is not None:
            report.turn()
        # Only those ready now: two fibers yielding WAIT(0) would starve the poll.
        for _ in range(len(queue)):
            self.running = fiber = queue.popleft()
            if report is not None:
                report.resume(fiber, len(queue))
            try:
                wait = next(fiber.generator) if fiber.pending is None else fiber.throw_pending()
            except BaseException as error:
                fiber.error = error
                self._finish(fiber)
            else:
                # WAIT(0) is kept out of calls: it is most of what a switch costs.
                if wait.__class__ is WAIT and wait._seconds == 0 and report is None:
                    fiber.looked = False
                    queue.append(fiber)
                else:
                    self._park(fiber, wait)
            if self._parked:
                self._wake_parked(fiber)
        self.running = None

    def poll(self) -> None:
        """Ask the poller who can go on; wait for it only if nobody is ready."""
        poller, queue, report = self._poller, self._queue, self._report
        if not self._alive or (queue and not poller.waiting):
            return
        timeout: int | None = 0
        if not queue and not self._stopping:
            if (deadline := self._alarms.next()) is not None:
                timeout = max(0, deadline - self._clock.now_ns())
            elif poller.waiting:
                timeout = None
            else:
                raise Deadlock.of(self._parked or self._alive.values())
        if report is not None:
            report.poll(timeout, len(queue), poller.waiting, self._alarms.live)
        ready = poller.poll(timeout)
        if report is not None:
            report.polled(len(ready))
        for fiber in ready:
            self._make_ready(fiber, 0, "io")

    def expire(self) -> None:
        """Make ready who slept long enough, and throw FiberTimeout at who waited too long."""
        if not self._alarms.live:
            return
        now = self._clock.now_ns()
        while (fiber := self._alarms.due(now)) is not None:
            if fiber.wait.__class__ is not WAIT:
                fiber.pending = FiberTimeout.of(fiber)
                self._poller.disarm(fiber)
            self._make_ready(fiber, 0, "timer", now - deadline_of(fiber.entry))

    def _admit(self, fiber: Fiber) -> None:
        """Put a new fiber into the run queue."""
        self._output.begin(fiber)
        by = 0 if self.running is None else self.running.id
        if self._report is not None:
            self._report.spawn(fiber, by)
        self._make_ready(fiber, by, "spawn")

    def _park(self, fiber: Fiber, wait: Any) -> None:
        """Let `fiber` wait for what it has yielded: the only way into waiting."""
        kind = wait.__class__
        at_once = ""  # why it need not wait, if so
        try:
            if fiber.pending is not None:
                at_once = "cancel"  # it has cancelled itself
            elif kind is RECV:
                self._poller.arm(fiber, wait._sock, READABLE)
            elif kind is SEND:
                if self._poller.arm(fiber, wait._sock, WRITABLE):
                    if self._report is None:
                        # Kept out of calls: there is nearly always room, and nothing to undo.
                        fiber.looked = False
                        self._queue.append(fiber)
                        return
                    at_once = "io"
            elif kind is not WAIT:
                raise InvalidYield.of(fiber, wait)
            elif wait._seconds is None:
                self._parked[fiber] = None
            elif wait._seconds == 0:
                at_once = "yield"
        except Exception as error:
            fiber.pending, at_once, wait = error, "yield", None
        if self._report is not None:
            self._report.yielded(fiber, wait)
        if at_once:
            self._make_ready(fiber, 0 if at_once == "io" else fiber.id, at_once)
            return
        fiber.wait = wait
        seconds = wait._seconds if kind is WAIT else wait._timeout
        limit = self._patience if seconds is None and kind is not WAIT else nanoseconds(seconds)
        if limit is not None:
            self._alarms.set(fiber, self._clock.now_ns() + limit)

    def _make_ready(self, fiber: Fiber, by: int, why: str, late: int | None = None) -> None:
        """Put `fiber` at the end of the run queue: the only way out of waiting."""
        fiber.wait = None
        fiber.looked = why == "fiber"
        if fiber.entry is not None:
            self._alarms.clear(fiber)
        self._queue.append(fiber)
        if self._report is not None:
            self._report.wake(fiber, by, why, len(self._queue), late)

    def _wake_parked(self, runner: Fiber) -> None:
        """Make ready who had parked before `runner` ran, in the order in which they parked.

        Not if it was woken from WAIT(None) and parks again: two that only look would spin.
        """
        parks = runner in self._parked
        if parks and runner.looked:
            return
        parked, self._parked = self._parked, {runner: None} if parks else {}
        for fiber in parked:
            if fiber is not runner:
                self._make_ready(fiber, runner.id, "fiber")

    def throw(self, fiber: Fiber, error: BaseException) -> None:
        """Throw `error` into `fiber` at its yield; use ``fiber.cancel()`` instead."""
        if self._report is not None:
            self._report.refuse_while_telling("cancel a fiber")
        fiber.pending = error
        if fiber.wait is not None:
            if fiber.wait.__class__ is not WAIT:
                self._poller.disarm(fiber)
            self._parked.pop(fiber, None)
            self._make_ready(fiber, self.running.id if self.running else 0, "cancel")

    def _finish(self, fiber: Fiber) -> None:
        """Tell how `fiber` ended; after a ^C in here `_close_fibers` does the rest."""
        how = fiber.end()
        self._output.last_line(fiber)
        if self._report is not None and not fiber.told:
            self._report.exit(fiber, how)
        self._output.end(fiber, how)
        fiber.let_go()  # last: who sees the socket closed finds what was printed
        del self._alive[fiber.id]
        self._alarms.forget_old()
        if isinstance(fiber.error, (KeyboardInterrupt, SystemExit)):
            raise fiber.error

    def _close_fibers(self) -> None:
        """Close every fiber that is alive, in the order of adding, whatever they raise."""
        fatal = self.running = None
        failures: dict[Fiber, int] = {}
        for fiber in self._alive.values():
            self.throw(fiber, GeneratorExit())
        while self._alive:
            self.running = fiber = next(iter(self._alive.values()))
            with suppress(Exception):  # a run queue that a student has broken
                self._queue.popleft()
            try:
                if not fiber.ended and fiber not in failures and self._report is not None:
                    self._report.resume(fiber, len(self._alive) - 1)
                fiber.close()
                self._finish(fiber)
            except BaseException as error:
                fatal = fatal or error
                failures[fiber] = failures.get(fiber, 0) + 1
                if isinstance(error, Exception) or failures[fiber] > 3:  # not ^C: it goes on so
                    self._alive.pop(fiber.id, None)
        self.running = None
        if fatal is not None:
            raise fatal

    def _reset(self) -> None:
        """Be as before run()."""
        self._parked, self._alarms = {}, Alarms(self._alive)  # ^C may have left its trace anywhere
        self._entered = self._stopping = False
        self._report = self._output.report = self.running = None
