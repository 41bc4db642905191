"""The scheduler: resume all that are ready, poll, expire deadlines; and round again.

That is one pass. It resumes each fiber that was ready when it began, once, first come, first
served; whoever becomes ready meanwhile is resumed in the next. So nobody runs twice before
somebody else has run once, and the poll cannot be starved.

A fiber is always in one of four places: the run queue, the parked (WAIT(None)), with the poller
and the alarms, or running. There is one way into waiting, `_park`, and one way out,
`_make_ready`.

What this module does not know: what a socket is (poller), how deadlines are kept (alarms), who
listens to the trace (reporter) and where prints go (output).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, TextIO

from .alarms import Alarms
from .errors import Deadlock, FiberCancelled, FiberTimeout, InvalidYield
from .fiber import Fiber, FiberGenerator, set_scheduler_of_thread
from .output import Output
from .poller import READABLE, WRITABLE, Clock, Poller, RealClock, RealPoller
from .reporter import Observer, Reporter
from .sockets import accept_all
from .waits import RECV, SEND, WAIT


class RunQueue(Protocol):
    """What the scheduler needs of a queue; a deque has it."""

    def append(self, fiber: Fiber, /) -> None:
        """Add a fiber that has become ready."""
        ...

    def popleft(self) -> Fiber:
        """Take out the fiber to be resumed next."""
        ...

    def __len__(self) -> int: ...


class Scheduler:
    """Runs fibers, one at a time, each until its next yield.

    timeout: seconds of inactivity after which a RECV or SEND raises FiberTimeout in its fiber;
    None: never. trace: called with each TraceEvent; a Trace records them. clock, poller: where
    time and readiness come from; None: the system's. run_queue: None: a deque, first come,
    first served. output: None leaves print alone, "withheld" keeps what a fiber prints until it
    ends, "direct" writes it at once; to `file` (None: sys.stdout). debug: report errors with
    their complete traceback.
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
        if trace is not None and not callable(trace):
            raise TypeError(f"trace= needs something to call with each event, got {trace!r}")
        self.running: Fiber | None = None
        self.timeout = WAIT(timeout).seconds if timeout != math.inf else None
        self._clock = clock or RealClock()
        self._poller = poller or RealPoller()
        self._queue: RunQueue = deque() if run_queue is None else run_queue
        self._output = Output(output, file, self._clock, debug)
        self._reporter = None if trace is None else Reporter(trace, self._clock)
        self._report: Reporter | None = None  # the reporter, while run() is under way
        self._alarms = Alarms()
        self._parked: dict[Fiber, None] = {}  # in the order in which they parked
        self._alive: dict[Fiber, None] = {}  # in the order of adding
        self._count = 0
        self._entered = self._stopping = False

    # -- Adding and running ---------------------------------------------------

    def add(self, generator: FiberGenerator, name: str | None = None) -> Fiber:
        """Make a fiber of `generator`, ready to run; before run() or in a running fiber.

        name: None: its function's name with the fiber's id.
        Raises TypeError for anything but a generator, ValueError for one that has ended.
        """
        if not isinstance(generator, Generator):
            called = ": did you call it?" if callable(generator) else ""
            raise TypeError(f"add() needs a generator, got {generator!r}{called}")
        if getattr(generator, "gi_frame", generator) is None:
            raise ValueError(f"add() needs a generator that has not ended yet, got {generator!r}")
        self._count += 1
        fiber = Fiber(self._count, generator, name, self)
        self._alive[fiber] = None
        if self._entered:
            self._admit(fiber)
        return fiber

    def listen(
        self,
        function: Callable[[Any, Any], FiberGenerator],
        port: int = 0,
        host: str = "localhost",
    ) -> tuple[str, int]:
        """Listen on this machine, and make a fiber of ``function(sock, address)`` for each client.

        port: 0 takes a free one. Returns (host, port) as it came to be.
        Raises OSError if the port is taken, ValueError if `host` is not this machine.
        """
        if not callable(function):
            raise TypeError(f"listen() needs a generator function, got {function!r}")
        listener = self._poller.listen((host, port))

        def welcome(sock: Any, address: Any) -> None:
            self.add(function(sock, address)).owned = sock

        self.add(
            accept_all(listener, welcome, self._output.write), f"accept-{self._count + 1}"
        ).owned = listener
        address: tuple[str, int] = listener.getsockname()[:2]
        return address

    def run(self) -> None:
        """Run until no fiber is left or stop() is called; then close whoever is still alive.

        Raises Deadlock if only parked fibers are left and nothing can wake them, and whatever
        is no Exception (KeyboardInterrupt, SystemExit) and comes up inside.
        """
        if self._entered:
            raise RuntimeError("this scheduler is running already")
        self._entered = True
        with ExitStack() as leaving:
            leaving.callback(self._reset)
            leaving.callback(self._poller.close)
            leaving.callback(set_scheduler_of_thread, set_scheduler_of_thread(self))
            # Twice, so that fibers are closed too if the opening fails half-way.
            leaving.callback(self._close_fibers)
            self._poller.open()
            self._output.attach(lambda: self.running)
            leaving.callback(self._output.detach)
            if self._reporter is not None:
                self._reporter.start()
                self._report = self._output.report = self._reporter
                leaving.push(self._tell_stop)
            leaving.callback(self._close_fibers)
            for fiber in list(self._alive):
                self._admit(fiber)
            while self._alive and not self._stopping:
                self.run_once()

    def stop(self) -> None:
        """End run() after the pass under way; from any thread, a fiber or a signal handler.

        Before run() it makes that return at once.
        """
        self._stopping = True
        self._poller.wake()

    # -- The pass -------------------------------------------------------------

    def run_once(self) -> None:
        """Make one pass."""
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
                wait = fiber.step()
            except BaseException as error:
                self._finish(fiber, error)
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
        deadline = self._alarms.next()
        if queue or self._stopping:
            timeout: int | None = 0
        elif deadline is not None:
            timeout = max(0, deadline - self._clock.now_ns())
        elif poller.waiting:
            timeout = None
        else:
            raise Deadlock.of(self._parked)
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
            assert isinstance(fiber, Fiber) and fiber.deadline is not None
            wait = fiber.wait
            if not isinstance(wait, WAIT):
                verb = "receive" if isinstance(wait, RECV) else "send"
                fiber.pending = FiberTimeout(
                    f"fiber {fiber.name!r} waited {self._limit(wait):g} s to {verb}, in vain"
                )
                self._poller.disarm(fiber)
            self._make_ready(fiber, 0, "timer", now - fiber.deadline)

    # -- One fiber ------------------------------------------------------------

    def _admit(self, fiber: Fiber) -> None:
        """Put a new fiber into the run queue."""
        by = self.running.id if self.running is not None else 0
        self._output.begin(fiber)
        if self._report is not None:
            self._report.spawn(fiber, by)
        self._make_ready(fiber, by, "spawn")

    def _park(self, fiber: Fiber, wait: Any) -> None:
        """Let `fiber` wait for what it has yielded: the only way into waiting."""
        kind = type(wait)
        at_once = ""  # why it need not wait, if so
        refused = False
        try:
            if fiber.pending is not None:
                at_once = "cancel"  # it has cancelled itself
            elif kind is RECV:
                self._poller.arm(fiber, wait.sock, READABLE)
            elif kind is SEND:
                at_once = "io" if self._poller.arm(fiber, wait.sock, WRITABLE) else ""
            elif kind is not WAIT:
                raise InvalidYield.of(fiber, wait)
            elif wait.seconds == 0:
                at_once = "yield"
        except Exception as error:
            fiber.pending, at_once, refused = error, "yield", True
        if self._report is not None:
            self._report.yielded(fiber, wait, refused)
        if at_once:
            self._make_ready(fiber, 0 if at_once == "io" else fiber.id, at_once)
            return
        fiber.wait = wait
        if kind is WAIT and wait.seconds is None:
            self._parked[fiber] = None
            return
        seconds = wait.seconds if kind is WAIT else self._limit(wait)
        if seconds is not None:
            self._alarms.set(fiber, self._clock.now_ns() + round(seconds * 1e9))

    def _limit(self, wait: RECV | SEND) -> float | None:
        """Return the seconds that `wait` may last, None for ever."""
        seconds = self.timeout if wait.timeout is None else wait.timeout
        return None if seconds == math.inf else seconds

    def _make_ready(self, fiber: Fiber, by: int, why: str, late: int | None = None) -> None:
        """Put `fiber` at the end of the run queue: the only way out of waiting."""
        fiber.wait = None
        fiber.looked = why == "fiber"
        if fiber.deadline is not None:
            self._alarms.clear(fiber)
        self._queue.append(fiber)
        if self._report is not None:
            self._report.wake(fiber, by, why, len(self._queue), late)

    def _wake_parked(self, runner: Fiber) -> None:
        """Make ready who had parked before `runner` ran, in the order in which they parked.

        Not if it had been woken from WAIT(None) itself and parks again: it only looked, and
        two fibers that look at each other would spin.
        """
        parked, self._parked = self._parked, {}
        if runner in parked:
            if runner.looked:
                self._parked = parked
                return
            del parked[runner]
            self._parked[runner] = None
        for fiber in parked:
            self._make_ready(fiber, runner.id, "fiber")

    def throw(self, fiber: Fiber, error: BaseException) -> None:
        """Throw `error` into `fiber` at its yield; use ``fiber.cancel()`` instead."""
        fiber.pending = error
        if fiber.wait is not None:
            self._take_out(fiber)
            self._make_ready(fiber, self.running.id if self.running else 0, "cancel")

    def _take_out(self, fiber: Fiber) -> None:
        """Take a waiting fiber out of where it waits."""
        if isinstance(fiber.wait, WAIT):
            self._parked.pop(fiber, None)
        else:
            self._poller.disarm(fiber)

    # -- Endings --------------------------------------------------------------

    def _finish(self, fiber: Fiber, error: BaseException) -> None:
        """Let `fiber` end with `error`, where StopIteration stands for a return."""
        result, how = None, "error"
        reason: BaseException | None = error
        if isinstance(error, StopIteration):
            result, how, reason = error.value, "return", None
        elif isinstance(error, (FiberCancelled, GeneratorExit)):
            how = "cancel"
        if reason is not None and reason.__traceback__ is not None:
            # The fiber's own frames only: ours would keep the scheduler alive with the error.
            reason.__traceback__ = _inside(reason.__traceback__)
        del self._alive[fiber]
        self._output.last_line(fiber)
        if self._report is not None:
            self._report.exit(fiber, how, reason)
        self._output.end(fiber, reason if how == "error" else None)
        if fiber.owned is not None:
            fiber.owned.close()
        fiber.end(result, reason)
        self._alarms.forget_old()
        if how == "error" and not isinstance(error, Exception):
            raise error

    def _close_fibers(self) -> None:
        """Close every fiber that is alive, whatever they raise meanwhile."""
        fatal: BaseException | None = None
        for fiber in self._alive:
            if fiber.wait is not None:
                self._take_out(fiber)
                self._make_ready(fiber, 0, "cancel")
        while self._alive:
            # One that was interrupted, or added in a finally, may be missing from the queue.
            fiber = self._queue.popleft() if len(self._queue) else next(iter(self._alive))
            try:
                self._close(fiber)
            except BaseException as error:
                fatal = fatal or error
        self.running = None
        if fatal is not None:
            raise fatal

    def _close(self, fiber: Fiber) -> None:
        """Have `fiber` run its finally blocks and end."""
        self.running = fiber
        if self._report is not None:
            self._report.resume(fiber, len(self._queue))
        try:
            fiber.close()
        except BaseException as error:
            self._finish(fiber, error)
        else:
            self._finish(fiber, GeneratorExit())

    def _tell_stop(self, kind: type[BaseException] | None, *_: object) -> None:
        """Tell the trace why run() leaves."""
        assert self._report is not None
        reason = "stopped" if self._stopping else "done"
        if kind is not None:
            reason = "deadlock" if kind is Deadlock else kind.__name__
        self._report.stop(reason)

    def _reset(self) -> None:
        """Be as before run()."""
        self._entered = self._stopping = False
        self._report = self._output.report = self.running = None


def _inside(trace: TracebackType) -> TracebackType | None:
    """Return `trace` without the frames of the scheduler at its head."""
    walk: TracebackType | None = trace
    while walk is not None and walk.tb_frame.f_globals.get("__name__", "").startswith(
        ("fiberlab.scheduler", "fiberlab.fiber")
    ):
        walk = walk.tb_next
    return walk
