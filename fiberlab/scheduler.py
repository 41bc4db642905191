"""The scheduler: resume all that are ready, poll, expire deadlines; and round again.

That is one pass. It resumes each fiber that was ready when it began, once, first come,
first served. One that becomes ready meanwhile is resumed in the next pass, so the poll
is never starved.

A fiber is running, in the run queue, parked (WAIT(None)), or known to poller and alarms.
Only `_park` lets a fiber wait. While run() goes on, only `_make_ready` ends a wait.

What this module does not know: what a socket is (io), how deadlines are kept (alarms),
what is recorded (recording), where prints go (output), what ^C may break (endings).
"""

from __future__ import annotations

from typing import Any, TextIO

from .alarms import Alarms, Time, deadline_of, nanoseconds
from .endings import enter, finish, leaving
from .errors import Deadlock, FiberTimeout, InvalidYield
from .fiber import Fiber, FiberGenerator, Handler, RunQueue, make_queue
from .io import HERE, READABLE, WRITABLE, Address, Clock, Poller, clock_and_poller
from .output import Output
from .recording.reporter import Observer, OwnReporter, Reporter
from .sockets import listen_at
from .waits import RECV, SEND, WAIT, check_seconds


class Scheduler:
    """Runs fibers, one at a time, each until its next yield.

    timeout: seconds of inactivity until a RECV or SEND raises FiberTimeout; None: never.
    trace: called with each TraceEvent. clock, poller: both real (None) or both simulated.
    run_queue: None is a deque. output: None leaves print alone, "withheld" writes prints
    when their fiber ends, "direct" at once; to `file`, or sys.stdout. debug: tracebacks.
    """

    def __init__(
        self,
        timeout: float | None = None,
        trace: Observer | OwnReporter | None = None,
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
        self._reporter = None if trace is None else Reporter.of(trace, self._clock)
        self._report: Reporter | None = None  # the reporter, while run() is under way
        self._parked: dict[Fiber, None] = {}  # in the order in which they parked
        self._alive: dict[int, Fiber] = {}  # by id, in the order of adding
        self._generators: set[FiberGenerator] = set()  # of those alive
        self._alarms = Alarms(self._alive)
        self._count, self._entered, self._stopping = 0, False, False

    def run_once(self) -> None:
        """Make one pass; run() does, again and again."""
        self.run_ready()
        self.poll()
        self.expire()

    def run_ready(self) -> None:
        """Resume each fiber that is ready now, once, in the order of the run queue."""
        queue, report = self._queue, self._report
        if report is not None:
            report.begin_pass(len(queue))
        # Only those ready now: two fibers yielding WAIT(0) would starve the poll.
        for _ in range(len(queue)):
            self.running = fiber = queue.popleft()
            if report is not None:
                report.resume(fiber, len(queue))
            try:
                if fiber.pending is None:
                    wait = fiber._context.run(next, fiber.generator)
                else:
                    wait = fiber._throw()
            except BaseException as error:
                fiber.error = error
                finish(self, fiber)
            else:
                # No call for WAIT(0): a call would be most of what a switch costs.
                if wait.__class__ is WAIT and wait._seconds == 0 and report is None:
                    fiber._looked = False
                    queue.append(fiber)
                else:
                    self._park(fiber, wait)
            if self._parked:
                self._wake_parked(fiber)
        self.running = None

    def poll(self) -> None:
        """Ask the poller which fibers can go on; wait for it only if none is ready."""
        poller, queue, report = self._poller, self._queue, self._report
        if not self._alive or (queue and not poller.waiting):
            return
        timeout: Time = 0
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
        if ready:
            self._make_ready(ready, 0, "io")

    def expire(self) -> None:
        """End sleeps that are over; throw FiberTimeout where data came too late."""
        if self._alarms.live:
            now = self._clock.now_ns()
            while (fiber := self._alarms.due(now)) is not None:
                late: Time = now - deadline_of(fiber._alarm)
                if fiber.wait.__class__ is not WAIT:
                    fiber.pending = FiberTimeout.of(fiber)
                    if self._poller.disarm(fiber):  # what came before that `now` wins
                        fiber.pending = late = None
                self._make_ready([fiber], 0, "io" if late is None else "timer", late)

    def _park(self, fiber: Fiber, wait: Any) -> None:
        """Let `fiber` wait for what it has yielded, unless it can go on at once."""
        kind = wait.__class__
        try:
            if fiber.pending is not None:  # it has cancelled itself
                return self._go_on(fiber, wait, "cancel")
            elif kind is RECV:
                self._poller.arm(fiber, wait._sock, READABLE)
            elif kind is SEND:
                if self._poller.arm(fiber, wait._sock, WRITABLE):
                    return self._go_on(fiber, wait, "io")
            elif kind is not WAIT:
                raise InvalidYield.of(fiber, wait)
            elif wait._seconds is None:
                self._parked[fiber] = None
            elif wait._seconds == 0:
                return self._go_on(fiber, wait, "yield")
        except Exception as error:
            fiber.pending = error.with_traceback(None)  # the line is the fiber's
            return self._go_on(fiber, None, "yield")
        if self._report is not None:
            self._report.yielded(fiber, wait)
        fiber.wait = wait
        on_socket = kind is not WAIT
        seconds = wait._timeout if on_socket else wait._seconds
        limit = self._patience if seconds is None and on_socket else nanoseconds(seconds)
        if limit is not None:
            self._alarms.set(fiber, self._clock.now_ns() + limit)

    def _go_on(self, fiber: Fiber, wait: Any, why: str) -> None:
        """Put `fiber` back into the run queue: it does not wait for what it yielded."""
        fiber._looked = False
        self._queue.append(fiber)
        if self._report is not None:
            self._report.yielded(fiber, wait, why, len(self._queue))

    def _make_ready(self, woken: list[Any], by: int, why: str, late: Time = None) -> None:
        """Put fibers at the end of the run queue; their waits, if any, are over."""
        queue = self._queue
        for fiber in woken:
            fiber.wait = None
            fiber._looked = why == "fiber"
            if fiber._alarm is not None:
                self._alarms.clear(fiber)
            queue.append(fiber)
        if self._report is not None:
            self._report.wake(woken, by, why, len(queue), late)

    def _wake_parked(self, runner: Fiber) -> None:
        """Make ready the fibers that had parked before `runner` ran, in that order.

        Not if it was woken from WAIT(None) and parks again: two such fibers would spin.
        """
        parks = runner in self._parked
        if parks and runner._looked:
            return
        parked, self._parked = self._parked, {runner: None} if parks else {}
        woken = [fiber for fiber in parked if fiber is not runner]
        if woken:
            self._make_ready(woken, runner.id, "fiber")

    def add(self, generator: FiberGenerator, name: str | None = None) -> Fiber:
        """Make a fiber of `generator`, ready to run; before run() or in a running fiber.

        name: None: its function's, with the id. TypeError for anything but a generator.
        """
        fiber = Fiber(self._count + 1, generator, name, self)
        self._count += 1
        self._alive[fiber.id] = fiber
        self._generators.add(generator)
        if self._entered:
            self._admit(fiber)
        return fiber

    def listen(self, function: Handler, port: int = 0, host: str = HERE) -> Address:
        """Listen here, and make a fiber of ``function(sock, address)`` for each client.

        port: 0 takes a free one. Returns (host, port). OSError if the port is taken.
        """
        listener, accepting = listen_at((host, port), function, self)
        self.add(accepting, f"accept-{self._count + 1}")._owned = listener
        return listener.getsockname()[:2]  # type: ignore[no-any-return]

    def run(self) -> None:
        """Run until no fiber is left or stop() is called; then close those still alive.

        Raises Deadlock if nothing can wake them, and passes on ^C and SystemExit.
        """
        with leaving(self), leaving(self):  # twice: ^C may strike in the inner one
            enter(self)
            while True:  # a test up there would leave CPython 3.11 without its fast paths
                if self._stopping or not self._alive:
                    break
                self.run_once()

    def stop(self) -> None:
        """End run() after this pass; from any thread, fiber or signal handler."""
        self._stopping = True
        self._poller.wake()

    def _admit(self, fiber: Fiber) -> None:
        """Put a new fiber into the run queue."""
        self._output.begin(fiber)
        by = 0 if self.running is None else self.running.id
        if self._report is not None:
            self._report.spawn(fiber, by)
        self._make_ready([fiber], by, "spawn")

    def _throw(self, fiber: Fiber, error: BaseException) -> None:
        """Throw `error` into `fiber` at its yield; if it waits, its wait is over."""
        if self._report is not None:
            self._report.refuse_while_telling("cancel a fiber")
        fiber.pending = error
        if fiber.wait is not None:
            if fiber.wait.__class__ is not WAIT:
                self._poller.disarm(fiber)
            self._parked.pop(fiber, None)
            self._make_ready([fiber], self.running.id if self.running else 0, "cancel")
