"""The reporter: one method for each kind of event, between the scheduler and its observer.

The rule kept here: an event is recorded at the moment that its kind stands for, and recording
never changes what the scheduler does. An observer that raises is removed, with one warning, and
the scheduler goes on.

What comes at each step and each poll is written as a record of a few cells (see `trace.dense`).
A Trace keeps the records. Any other callable gets the TraceEvents made of them, at once. Without
an observer the scheduler has no reporter at all: then each place that would report costs one
test for None.
"""

from __future__ import annotations

import math
import platform
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable

from ..alarms import nanoseconds
from ..errors import Deadlock
from ..io.clock import Clock, RealClock
from ..trace.dense import POLL, POLLED, STEP, WAKE, DenseRows
from ..trace.events import EV, FID, SCHEMA, Row, TraceEvent
from ..trace.line import plain
from ..trace.trace import Trace, UnderWay
from ..waits import RECV, SEND, WAIT
from .culprit_line import is_own
from .data_age import waited_ns
from .watchdog import Watchdog

_PAUSE = WAIT(0)
MOVES = {"spawn", "wake", "resume", "yield", "exit"}
"""The kinds of event that change where a fiber is."""

Observer = Callable[[TraceEvent], Any]


@runtime_checkable
class OwnReporter(Protocol):
    """An observer that is told by a reporter of its own, as a StallRecorder is."""

    def make_reporter(self, clock: Clock) -> Reporter:
        """Return that reporter."""
        ...


def refuse_unless_observer(observer: object) -> None:
    """Raise TypeError for what cannot be called with each event; a class only makes an object."""
    if not callable(observer) or isinstance(observer, type):
        hint = f": did you mean {observer.__name__}()?" if isinstance(observer, type) else ""
        raise TypeError(
            f"trace= needs something to call with each event, or a Trace(), got {observer!r}{hint}"
        )


class Reporter:
    """Reports to an observer what the scheduler does; one method for each kind of event."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        refuse_unless_observer(observer)
        self._observer = observer
        self._now = clock.now_ns
        self._clock = clock
        self.telling = False  # whether the observer is being called just now
        self._trace = observer if isinstance(observer, Trace) else None
        # Of a Trace all that is recorded, else what the observer was not told yet.
        self._rows = DenseRows(self._now)
        self._tell: Callable[[], None] | None = self._call_observer
        self._untold: deque[Row] = deque()
        self._begun = 0  # the clock when run() was entered
        self._step_began: int | None = None
        self._long: float = math.inf  # nanoseconds after which the watchdog looks into a step
        self._cpu_began = 0
        self._cpu_clock: int | None = None  # that of the loop's thread, for other threads
        self._cpu = self._trace is not None and self._trace.cpu
        self._watchdog: Watchdog | None = None
        # If `hidden` is asked for: what each fiber waits for, by id, until its wake.
        asked = self._trace is not None and self._trace.hidden
        self._waits: dict[int, Any] | None = {} if asked else None
        self._asking = 0  # nanoseconds spent on asking sockets
        self._marks = 0
        self._stopped = True  # whether there is no run, or its `stop` was recorded
        self._last: dict[int, Row] = {}  # for `last_events`, if the observer is not a Trace
        if self._trace is not None and clock.name == RealClock.name:
            self._trace.under_way = self.under_way

    @staticmethod
    def of(observer: Observer | OwnReporter, clock: Clock) -> Reporter:
        """Return a reporter to `observer`, which may bring its own."""
        if isinstance(observer, OwnReporter):
            return observer.make_reporter(clock)
        return Reporter(observer, clock)

    # -- The run --------------------------------------------------------------

    def begin(self, _scheduler: Any) -> Reporter | None:
        """run() was entered; return what the scheduler reports to."""
        self.start()
        return self

    def start(self) -> None:
        """run() was entered."""
        if self._trace is not None:
            if len(self._trace):
                raise ValueError("this trace already holds a run; give each run its own Trace()")
            if type(self._trace).__call__ is Trace.__call__:
                self._rows = DenseRows(self._now, self._trace.limit, self._trace.seconds)
                self._trace.rows, self._tell = self._rows, None
        # The watchdog knows one clock only.
        watched = self._clock.name == RealClock.name
        if watched and self._trace is not None and self._trace.stall_after is not None:
            self._watchdog = Watchdog(self._running, self._trace.stall_after)
            self._watchdog.start()
            self._long = self._watchdog.stall_after
        self._begun = self._rows.begun = self._now()
        self._stopped = False
        if self._cpu and hasattr(time, "pthread_getcpuclockid"):
            # Now, by the thread itself: of one that has ended it must not be asked.
            self._cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        self._record(header(self._clock.name, "fiberlab"))

    def stop(self, raised: type[BaseException] | None, stopped: bool) -> None:
        """run() is left: an exception was `raised`, it was `stopped`, or all is done.

        A second call does what ^C kept the first one from doing.
        """
        reason = "stopped" if stopped else "done"
        if raised is not None:
            reason = "deadlock" if raised is Deadlock else raised.__name__
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        if self._trace is not None:
            self._trace.under_way = None
        # Without its beginning a trace would be none: ^C came before that.
        if self._stopped or (self._trace is not None and not len(self._trace)):
            return
        ended, dropped = self._t(), 0
        if self._trace is not None:
            self._trace.trim(slack=0)
            dropped = self._trace.dropped
            if self._clock.name != "simulated":
                self._trace.cost = self._estimated_cost(len(self._trace) + dropped)
        self._stopped = True  # right before the call, since ^C comes between calls
        self._record((ended, "stop", 0, reason, dropped))

    def begin_pass(self, ready: int) -> None:
        """A pass begins, with so many fibers in the run queue."""
        if self._watchdog is not None and self._watchdog.asleep:
            self._watchdog.awaken()
        if self._tell is None:
            self._rows.begin_pass(ready)

    # -- A fiber --------------------------------------------------------------

    def spawn(self, fiber: Any, by: int) -> None:
        """`fiber` was added, by the fiber of id `by`; it is not in the queue yet."""
        code = getattr(fiber.generator, "gi_code", None)
        src = None if code is None else (code, -1)
        self._record((self._t(), "spawn", fiber.id, fiber.name, by, src))

    def wake(
        self, fibers: Sequence[Any], by: int, why: str, q: int, late: int | None = None
    ) -> None:
        """`fibers` were appended to the run queue, one after the other; it now holds `q`."""
        rows, clock = self._rows, self._now
        if rows.began is not None:
            rows.add_resume()
        if self._waits is not None:
            self._wake_each(fibers, by, why, q, late)
        else:
            ids = [fiber.id for fiber in fibers]
            rows.cells += WAKE, clock(), by, why, q, late, len(ids), *ids
        if self._tell is not None:
            self._tell()

    def resume(self, fiber: Any, q: int) -> None:
        """`fiber` was taken from the run queue, which still holds `q`, and is about to run."""
        if self._cpu:
            self._cpu_began = time.thread_time_ns()
        rows, clock = self._rows, self._now
        rows.fiber, rows.q = fiber.id, q
        self._step_began = rows.began = clock()
        if self._tell is not None:
            rows.add_resume()
            self._tell()

    def yielded(self, fiber: Any, wait: Any, why: str | None = None, q: int = 0) -> None:
        """`fiber` has yielded `wait`; None if its wait was refused with an error.

        why: it need not wait, so it is in the run queue again, which holds `q`; None: it waits.
        """
        rows, clock = self._rows, self._now
        kind = wait.__class__
        number = code = offset = None
        if kind is RECV or kind is SEND:
            op = "RECV" if kind is RECV else "SEND"
            try:
                number = wait._sock.fileno()
            except Exception:
                number = -1  # as number_of() has it, whose call is spared here
            if self._waits is not None and why is None:
                self._waits[fiber.id] = wait
        elif kind is WAIT:
            op, number = "WAIT", nanoseconds(wait._seconds)
        else:
            op = "invalid"
        now = clock()  # after fileno(), which may be the program's, and print
        cpu = time.thread_time_ns() - self._cpu_began if self._cpu else None
        if now - (self._step_began or now) >= self._long:
            self._tell_stalls(fiber, now)
        try:  # as suspended_at()
            generator = fiber.generator
            while (inner := generator.gi_yieldfrom) is not None and hasattr(inner, "gi_yieldfrom"):
                generator = inner
            frame = generator.gi_frame
            code, offset = frame.f_code, frame.f_lasti
        except AttributeError:
            pass  # an object that has only the methods of a generator
        # Taken first: if ^C comes now, the trace lacks a step, which does no harm.
        began, rows.began, self._step_began = rows.began, None, None
        rows.cells += (
            STEP, began, rows.q, now, fiber.id, op, number, code, offset, cpu, why, q,
        )  # fmt: skip
        if self._tell is not None:
            self._tell()

    def exit(self, fiber: Any, how: str) -> None:
        """`fiber` has ended; `how` is return, error or cancel."""
        error = fiber.error
        err = src = None
        if error is not None:
            src = raised_at(error)
            if how == "error":
                err = f"{type(error).__name__}: {_text(error)}"
        now = self._now()  # after the error's __str__(), which is the program's, and may print
        cpu = self._end_of_step(fiber, now)
        self._record((now - self._begun, "exit", fiber.id, how, err, src, cpu))

    def output(self, fiber: Any, text: str, stream: str) -> None:
        """`fiber` has printed the line `text` to `stream`."""
        self._record((self._t(), "output", fiber.id, text, stream))

    def mark(self, fiber: Any, name: str, phase: str, number: int, args: Any = None) -> None:
        """`fiber` has come to the begin (b), the end (e) or a point (i) of something named."""
        values = {key: plain(value) for key, value in args.items()} if args else None
        text = str(name)  # which may print: before the time is taken
        self._record((self._t(), "mark", fiber.id, text, phase, number, values))

    def number_of_mark(self) -> int:
        """Return a number that the begin and the end of a mark share, and no other."""
        self._marks += 1
        return self._marks

    # -- The poller -----------------------------------------------------------

    def poll(self, timeout: int | None, q: int, nfd: int, ntimer: int) -> None:
        """The poller is about to be asked; `nfd` fibers wait on sockets, `ntimer` for a time."""
        rows, clock = self._rows, self._now
        rows.cells += POLL, clock(), timeout, q, nfd, ntimer
        rows.polls += 1
        if self._tell is not None:
            self._tell()

    def polled(self, n: int) -> None:
        """The poller has answered: `n` fibers can go on."""
        clock = self._now
        self._rows.cells += POLLED, clock(), n
        if self._tell is not None:
            self._tell()

    def under_way(self) -> UnderWay:
        """Tell what is not recorded yet, as `Trace.under_way` promises; from any thread."""
        step, began, dog = self._rows.fiber, self._step_began, self._watchdog
        if self._stopped or began is None or dog is None:
            return UnderWay(0 if self._stopped else self._now() - self._begun, [], None)
        stalls: list[Row] = [
            (each.seen - self._begun, "stall", step, each.src, each.func, each.seen - began)
            for each in dog.sightings()
            if each.seen >= began
        ]
        cpu = self._cpu_so_far() if self._cpu else None
        if began != self._step_began:  # another step has begun meanwhile
            stalls, cpu = [], None
        return UnderWay(self._now() - self._begun, stalls, cpu)

    def _cpu_so_far(self) -> int | None:
        """Return the processor time of the step that runs, if another thread can ask for it."""
        if self._cpu_clock is None:
            return None
        try:
            return time.clock_gettime_ns(self._cpu_clock) - self._cpu_began
        except OSError:  # the loop's thread has ended meanwhile
            return None

    # -- What was recorded, for `endings` --------------------------------------

    def last_events(self, fibers: Iterable[Any]) -> dict[int, str]:
        """Return for each fiber's id its last event that was recorded; "" if there is none.

        Only events that move a fiber count: spawn, wake, resume, yield and exit.
        """
        wanted, found = {fiber.id for fiber in fibers}, {}
        for row in self._newest_first():
            if row[FID] in wanted and row[EV] in MOVES:
                found[row[FID]] = row[EV]
                wanted.discard(row[FID])
                if not wanted:
                    break
        return found | dict.fromkeys(wanted, "")

    def end_poll(self) -> None:
        """Record the end of a poll that was begun, if it is missing."""
        polls = (row[EV] for row in self._newest_first() if row[EV] in ("poll", "polled"))
        if next(polls, "") == "poll":
            self.polled(0)

    def _newest_first(self) -> Iterable[Row]:
        """Return what was recorded, the newest first; of what was told, the last of each fiber."""
        return chain(reversed(self._rows), reversed(self._untold), self._last.values())

    # -- How it is recorded ---------------------------------------------------

    def refuse_while_telling(self, deed: str) -> None:
        """Raise RuntimeError if the observer is running: it must not do `deed`."""
        if self.telling:
            raise RuntimeError(
                f"the trace's observer cannot {deed}: it is called in the middle of a pass"
            )

    def _t(self) -> int:
        return self._now() - self._begun

    def _hidden(self, wait: Any, why: str) -> int | None:
        """Return for how long data had been there for a fiber that waited, if that is known."""
        if wait.__class__ is not RECV or why != "io":
            return None
        began = time.perf_counter_ns()
        waited = waited_ns(wait._sock, self._now())
        self._asking += time.perf_counter_ns() - began
        return waited

    def _estimated_cost(self, events: int) -> int:
        """Estimate how long it took to record `events` events, by recording some once more.

        These rows are dropped. The best of many tries counts, since a busy machine makes a try
        longer. Left out are the watchdog, and the slower paths of a scheduler that reports.
        """
        stand_in = SimpleNamespace(id=0, generator=(_ for _ in ()))
        kept = self._rows, self._tell
        self._rows, self._tell = DenseRows(self._now), None
        try:
            best = min(self._time_of_a_step(stand_in) for _ in range(50))
        finally:
            self._rows, self._tell = kept
        return events * best // 3 + self._asking

    def _time_of_a_step(self, stand_in: Any) -> int:
        """Record the three events of a step, and return how long that took."""
        began = time.perf_counter_ns()
        self.resume(stand_in, 0)
        self.yielded(stand_in, _PAUSE, "yield", 0)
        return time.perf_counter_ns() - began

    def _running(self) -> int | None:
        """Return when the running step began, for the watchdog; None between two steps."""
        return self._step_began

    def _end_of_step(self, fiber: Any, now: int) -> int | None:
        """Record what the watchdog saw in the step that has ended; return its processor time."""
        cpu = time.thread_time_ns() - self._cpu_began if self._cpu else None
        if self._step_began is not None and now - self._step_began >= self._long:
            self._tell_stalls(fiber, now)
        self._step_began = None
        return cpu

    def _tell_stalls(self, fiber: Any, ended: int) -> None:
        """Record what the watchdog saw in a long step of `fiber`."""
        began = self._step_began
        if self._watchdog is not None and began is not None:
            for seen, src, func in self._watchdog.seen_between(began, ended):
                self._record((seen - self._begun, "stall", fiber.id, src, func, seen - began))

    def _wake_each(
        self, fibers: Sequence[Any], by: int, why: str, q: int, late: int | None
    ) -> None:
        """Record the wake of each, with the age of what it waited for."""
        place = q - len(fibers)
        for fiber in fibers:
            place += 1
            hidden = self._hidden(self._waits.pop(fiber.id, None), why) if self._waits else None
            self._rows.append((self._t(), "wake", fiber.id, by, why, place, late, hidden))

    def _record(self, row: Row) -> None:
        """Record an event."""
        self._rows.append(row)
        if self._tell is not None:
            self._tell()

    def _call_observer(self) -> None:
        """Call the observer with each event that it was not told yet.

        What it makes the scheduler do meanwhile is told after that.
        """
        untold = self._untold
        untold += self._rows.take()
        while untold and not self.telling:
            row = untold.popleft()
            if row[EV] in MOVES or row[EV] in ("poll", "polled"):
                self._last[row[FID]] = row
            self.telling = True
            try:
                self._observer(TraceEvent.from_row(row))
            except Exception as error:
                self._tell = self._rows.cells.clear
                untold.clear()
                warn_of_removal(self._observer, error, "the scheduler")
            finally:
                self.telling = False


def header(clock: str, source: str) -> Row:
    """Return the event that a trace begins with; clock: its name, source: what has recorded it."""
    real = clock != "simulated"
    wall = time.strftime("%Y-%m-%dT%H:%M:%S%z") if real else None
    python = platform.python_version() if real else None
    return (0, "start", 0, SCHEMA, clock, "ns", python, wall, source)


def warn_of_removal(observer: Observer, error: Exception, what: str) -> None:
    """Warn that an observer has raised, and that `what` goes on without it."""
    warnings.warn(
        f"the trace's observer {observer!r} raised {error!r} and was removed; "
        f"{what} goes on without it",
        RuntimeWarning,
        stacklevel=3,
    )


def ignore(_row: Row) -> None:
    """Take the place of an observer that was removed."""


def suspended_at(generator: Any) -> Any:
    """Return where the innermost generator is suspended, as `trace.place` reads it."""
    try:
        inner = generator.gi_yieldfrom
        while inner is not None and hasattr(inner, "gi_yieldfrom"):
            generator, inner = inner, inner.gi_yieldfrom
        frame = generator.gi_frame
    except AttributeError:
        return None  # an object that has only the methods of a generator
    return (frame.f_code, frame.f_lasti)


def raised_at(error: BaseException) -> Any:
    """Return the place where `error` was raised, as rows hold it; None if it was not raised.

    If a library has raised it, that is the user's own line from which the library was called.
    """
    innermost = own = None
    trace = error.__traceback__ or getattr(error.__cause__, "__traceback__", None)
    while trace is not None:
        innermost = (trace.tb_frame.f_code, trace.tb_lasti)
        own = innermost if is_own(innermost[0].co_filename) else own
        trace = trace.tb_next
    return own or innermost


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its message cannot be printed"
