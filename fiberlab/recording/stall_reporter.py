"""How a Scheduler tells a StallRecorder of its stalls.

The clock is read once for each step, where the scheduler takes the next fiber from its run queue,
and nothing is noted. When a step has taken too long, the scheduler reports all that it does until
the end of the next pass: which fibers were ready meanwhile, which had data or were late.

The rule kept here: how a fiber stood when a window begins is told by events that take no time.

This module does not know what is kept of it, and for how long.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ..alarms import nanoseconds
from ..errors import FiberCancelled
from ..io.clock import Clock, RealClock
from ..io.descriptors import number_of
from ..trace.events import EV, FID, Row, T
from ..waits import WAIT
from .reporter import MOVES, Reporter, header, ignore, suspended_at
from .stall_recorder import (
    LONGEST_WINDOW,
    MOST_IN_WINDOW,
    StallRecorder,
    Window,
    make_window,
    nothing,
    window_under_way,
)
from .watchdog import Watchdog


class StallReporter(Reporter):
    """Tells stalls from other steps, and reports to a StallRecorder what happens around them."""

    def __init__(self, recorder: StallRecorder, clock: Clock) -> None:
        super().__init__(ignore, clock)
        self._tell = self._take_rows
        self._recorder = recorder
        self._scheduler: Any = None
        self._turns: Any = None
        self._run_ready: Callable[[], None] = nothing
        self._passes = self._taken_in_all = 0
        self._notable = 0.0  # seconds from which the length of a pass is of interest
        # Of the window that is open:
        self._open = False
        self._more = 0  # how many passes it will have still
        self._from = 0  # when its stall began
        # What fibers waited for during the stall, by id; so it is asked how old their data was.
        self._waits: dict[int, Any] = {}
        self._before: list[Row] = []  # how they stood when it began
        self._noted: list[Row] = []  # what happened since
        self._noting = False  # whether what is reported belongs to it
        self._fibers: dict[int, tuple[str, Any]] = {}
        self._taken: Any = None  # the fiber that a blind pass has resumed last
        self._late = False  # whether the last pass was so long that the stalls are to be written

    # -- The run --------------------------------------------------------------

    def begin(self, scheduler: Any) -> Reporter | None:
        """run() was entered; return what the scheduler reports to for now: nothing."""
        self._recorder.begin(header(self._clock.name, "stalls"), self._window_under_way)
        self._scheduler, self._stopped = scheduler, False
        self._begun = self._rows.begun = self._now()
        kind = _Turns if type(scheduler._queue) is deque else _TurnsOf
        self._turns = scheduler._queue = kind(scheduler._queue, self, self._clock)
        self._run_ready, scheduler.run_ready = scheduler.run_ready, self._run_pass
        self._recorder.count = lambda: (self._passes, self._taken_in_all)
        if self._clock.name == RealClock.name:
            self._watchdog = Watchdog(self._running, self._recorder.limit)
            self._watchdog.start()
            self._long = self._watchdog.stall_after
        return None

    def _run_pass(self) -> None:
        """Stand before the scheduler's `run_ready`: look at the clock around it, and count."""
        turns, dog = self._turns, self._watchdog
        if self._open or self._late:
            self._go_on()
        if dog is not None and dog.asleep:
            dog.awaken()
        self._passes += 1
        self._taken_in_all += len(turns)
        clock = turns.clock
        turns.began = began = clock()
        turns.due = began + self._recorder.limit
        self._run_ready()
        ended = clock()
        if ended > turns.due:
            self.overdue(ended)
        turns.due = math.inf
        if turns.take is not turns.first_in:
            self._end_taken()
        if ended - began > self._notable:
            self._notable = self._passed(ended - began)

    def overdue(self, moment: float) -> None:
        """It is later than `due`: since a step has taken too long, or many together."""
        turns, limit = self._turns, self._recorder.limit
        if moment - turns.began > limit:
            self._stalled(turns.fiber, turns.began, moment)
        turns.due = moment + limit

    def stop(self, raised: type[BaseException] | None, stopped: bool) -> None:
        """run() is left; a stall that was under way, as a hung step that ^C ended, is kept too."""
        turns, now = self._turns, self._clock.now()
        if turns is None:  # the recorder has refused this run
            return
        if now > turns.due:  # ^C came while a step was under way
            self.overdue(now)
        turns.due = math.inf
        if self._open:
            self._close()
        if self._late:
            self._go_on()
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None
        self._scheduler.__dict__.pop("run_ready", None)
        if not self._stopped:
            self._stopped = True
            reason = "stopped" if stopped else "done"
            reason = reason if raised is None else raised.__name__
            self._recorder.end((self._t(), "stop", 0, reason, 0), broken=raised is not None)

    def last_events(self, fibers: Any) -> dict[int, str]:
        """run() is being left: what closing does is no stall, and is not reported."""
        self._noting = False
        return {fiber.id: "yield" for fiber in fibers}

    def end_poll(self) -> None:
        """No poll has to be ended: see `last_events`."""

    def _running(self) -> int | None:
        """Return when the step under way began, for the watchdog; None between two steps."""
        if self._step_began is not None:
            return self._step_began
        turns = self._turns
        return None if turns.due == math.inf else round(turns.began * 1e9)

    def _window_under_way(self) -> Window | None:
        """Return what is known of a stall that goes on; from any thread."""
        turns = self._turns
        fiber, began = turns.fiber, round(turns.began * 1e9)
        late = self._clock.now() - turns.began > self._recorder.limit
        if turns.due == math.inf or fiber is None or not late:
            return None
        seen = self._watchdog.sightings() if self._watchdog is not None else ()
        return window_under_way(fiber.id, _named(fiber), began, self._begun, seen)

    # -- A window -------------------------------------------------------------

    def _stalled(self, fiber: Any, began: float, ended: float) -> None:
        """A step of `fiber` has taken too long: count it, and let the window have one pass more."""
        self._recorder.count_stall(ended - began)
        self._more = 1
        if self._open or fiber is None:
            return
        self._open, self._turns.take = True, self._take
        self._from = round(began * 1e9) - self._begun
        self._before, self._noted, self._fibers, self._last = [], [], {}, {}
        alive = self._scheduler._alive.values()
        self._waits = {each.id: each.wait for each in alive if each.wait is not None}
        self._waits.pop(fiber.id, None)
        self._noting, self._scheduler._report = True, self
        self._tell_stall(fiber, round(began * 1e9), round(ended * 1e9))

    def _tell_stall(self, fiber: Any, began: int, ended: int) -> None:
        """Record the step that opens a window, as if it had been reported."""
        self._stood(fiber)
        self._note((self._from, "wake", fiber.id, 0, None, None, None, None))
        self._note((self._from, "resume", fiber.id, None, None))
        dog = self._watchdog
        for seen, src, func in dog.seen_between(began, ended) if dog is not None else ():
            self._note((seen - self._begun, "stall", fiber.id, src, func, seen - began))
        t = ended - self._begun
        if fiber.generator is not None:
            self._let_go(fiber, t)
        else:
            self._step_began = None
            cancelled = isinstance(fiber.error, (FiberCancelled, GeneratorExit))
            how = "return" if fiber.error is None else "cancel" if cancelled else "error"
            super().exit(fiber, how)

    def _let_go(self, fiber: Any, t: int) -> None:
        """Record that a step is over, and that what its fiber does now is not known."""
        src = suspended_at(fiber.generator)
        self._note((t, "yield", fiber.id, "unknown", None, None, src, None))

    def _take(self) -> Any:
        """Take the next fiber in a blind pass: it was ready during the stall, and is resumed."""
        self._end_taken()
        turns = self._turns
        self._taken = fiber = turns.first_in()
        self.resume(fiber, len(turns))
        return fiber

    def _end_taken(self) -> None:
        """Record the end of a step in a blind pass, if the scheduler has not reported it."""
        fiber, self._taken = self._taken, None
        if fiber is not None and self._last[fiber.id][EV] == "resume":
            now = self._now()
            self._end_of_step(fiber, now)
            self._let_go(fiber, now - self._begun)

    def _go_on(self) -> None:
        """A pass begins: it belongs to the window, or the window is closed and may be written."""
        age = self._now() - self._begun - self._from
        if self._open and self._more and age < LONGEST_WINDOW and len(self._noted) < MOST_IN_WINDOW:
            self._turns.take = self._turns.first_in
            self._more -= 1
            return
        if self._open:
            self._close()
        if self._late:
            self._late = False
            self._recorder.write_if_late(self._clock.now())

    def _passed(self, took: float) -> float:
        """A pass is over that took long; return how long one must be to be told again."""
        recorder, late = self._recorder, self._recorder.write_after or math.inf
        recorder.longest_pass = max(recorder.longest_pass, took)
        self._late = self._late or took > late
        return min(recorder.longest_pass, late)

    def _close(self) -> None:
        """Keep the window; what its fibers do afterwards is not known."""
        self._open, self._turns.take = False, self._turns.first_in
        self._scheduler._report, self._noting = None, False
        self._step_began, self._taken = None, None
        self._recorder.keep(make_window(self._before, self._noted, self._fibers))

    def resume(self, fiber: Any, q: int) -> None:
        """`fiber` is about to run; if its wake is not in the window, it was ready before."""
        last = self._last.get(fiber.id)
        if last is None:
            self._stood(fiber)
        if last is None or last[EV] == "yield":
            since = self._from if last is None else last[T]
            self._note((since, "wake", fiber.id, 0, None, None, None, None))
        self._fibers[fiber.id] = _named(fiber)
        super().resume(fiber, q)

    def wake(
        self, fibers: Sequence[Any], by: int, why: str, q: int, late: int | None = None
    ) -> None:
        """`fibers` were appended to the run queue; tell first how they stood during the stall."""
        for fiber in fibers:
            wait = self._waits.get(fiber.id)
            if wait is not None and fiber.id not in self._last:
                on_socket = wait.__class__ is not WAIT
                fileno = number_of(wait._sock) if on_socket else None
                duration = None if on_socket else nanoseconds(wait._seconds)
                src = suspended_at(fiber.generator)
                self._stood(fiber, wait.__class__.__name__, fileno, duration, src)
        super().wake(fibers, by, why, q, late)

    def _stood(self, fiber: Any, op: str = "unknown", *fields: Any) -> None:
        """Record for what `fiber` waited when the stall began, as far as that is known."""
        self._fibers[fiber.id] = _named(fiber)
        fileno, duration, src = fields or (None, None, None)
        self._before += [
            (self._from, "wake", fiber.id, 0, None, None, None, None),
            (self._from, "resume", fiber.id, None, None),
            (self._from, "yield", fiber.id, op, fileno, duration, src, None),
        ]

    def _take_rows(self) -> None:
        """Note what was reported, if a window is open."""
        for row in self._rows.take():
            if self._noting:
                self._note(row)

    def _note(self, row: Row) -> None:
        """Record an event of the window."""
        if row[EV] in MOVES:
            self._last[row[FID]] = row
        self._noted.append(row)


class _Turns(deque[Any]):
    """A run queue that looks at the clock whenever a fiber is taken from it.

    began: when the step under way began, or the pass. fiber: whose step it is. due: when it is time
    to ask whether a step is a stall, math.inf between two passes. first_in: takes the next fiber;
    take: the same, or in a blind pass what also reports it.
    What stands in `popleft` is all that a step costs, so it is as short as it can be.
    """

    __slots__ = ("began", "clock", "due", "fiber", "first_in", "overdue", "queue", "take")

    def __init__(self, queue: Any, reporter: StallReporter, clock: Clock) -> None:
        super().__init__()
        self.queue, self.clock, self.overdue = queue, clock.now, reporter.overdue
        self.began, self.due, self.fiber = 0.0, math.inf, None
        self.first_in = self.take = super().popleft

    def popleft(self) -> Any:
        clock, take = self.clock, self.take
        moment = clock()
        if moment > self.due:
            self.overdue(moment)
            take = self.take
        self.began = moment
        self.fiber = fiber = take()
        return fiber


class _TurnsOf(_Turns):
    """The same before a run queue of the user's own, which decides whose turn it is."""

    __slots__ = ()

    def __init__(self, queue: Any, reporter: StallReporter, clock: Clock) -> None:
        super().__init__(queue, reporter, clock)
        self.first_in = self.take = queue.popleft

    def append(self, fiber: Any) -> None:
        self.queue.append(fiber)

    def __len__(self) -> int:
        return len(self.queue)


def _named(fiber: Any) -> tuple[str, Any]:
    """Return a fiber's name, and its first line as rows hold it."""
    code = getattr(fiber.generator, "gi_code", None)
    return fiber.name, None if code is None else (code, -1)
