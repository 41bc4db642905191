"""The stalls of asyncio: how its loops tell a StallRecorder of them.

    recorder = StallRecorder(path="stalls.fiber.jsonl")
    run(main(), recorder)          # or `with watching(recorder)`, `await record(main(), recorder)`

The clock is read where the loop polls, and where it takes the next callback or step of a task from
its queue; nothing is noted. When one has taken too long, all that the loop does is recorded for two
polls more: in the first, asyncio receives and ends sleeps; after the second, the tasks go on.

The rule kept here: how a task stood when a window begins is told when it is first met in it. When
a task became ready in the middle of a stall is known as exactly as the watchdog has looked.

This module does not know what is kept of it, and for how long.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from types import FrameType
from typing import Any

from ..recording.reporter import header, ignore
from ..recording.stall_recorder import (
    LONGEST_WINDOW,
    MOST_IN_WINDOW,
    StallRecorder,
    Window,
    make_window,
    window_under_way,
)
from ..recording.watchdog import Watchdog
from ..trace.events import EV, FID, WAKE, Row, T
from .asyncio_ import LoopWatch
from .asyncio_callbacks import called_by, called_by_protocol, protocol_of
from .asyncio_hooks import ProcessHooks, Replaced, warn_of_failure
from .asyncio_tasks import is_internal, name_of, task_of, where
from .notes import Known, Notes

_POLLS = 2
"""A window ends at the poll after so many: asyncio needs two to go on with a task."""

# Globals are found faster than attributes of a module or a class.
_clock, _first_in = time.perf_counter, deque.popleft

_BETWEEN = "callbacks"  # the row of what the loop itself does, as in a full trace


class StallWatch:
    """Watches the loops of one thread for steps that take too long; as `LoopWatch`, but for these.

    thread: its number; None: the loops of all threads, one at a time.
    Raises ValueError if the recorder holds a run already.
    """

    def __init__(self, recorder: StallRecorder, thread: int | None) -> None:
        self._recorder, self._thread, self._process = recorder, thread, os.getpid()
        self._any_thread, self._beginning = thread is None, Lock()
        self._others: set[int] = set()  # the loops of other threads
        self._begun = time.perf_counter_ns()
        recorder.begin(header("perf_counter", "asyncio"), self._under_way)
        recorder.count = lambda: (self._polls, self._steps)
        self._polls = self._steps = 0
        self._loop: Any = None  # the loop that runs now
        self._queue = _Queue([], self)  # what it takes its steps from
        self._select: Replaced | None = None
        self._unseen: set[str] = set()
        self._watchdog: Watchdog | None = None
        self._numbers = _Numbers()
        self._window: _Window | None = None
        self._more = 0  # how many polls the window will have still
        self._notable = 0.0  # seconds from which the time between two polls is of interest
        self._late = False  # whether the last was so long that the stalls are to be written
        self._over = False
        self._process_hooks = ProcessHooks(self, None)

    def begin_here(self, *, enter: bool) -> None:
        """Watch the loop that runs already, if there is one; `enter` makes no difference."""
        loop = asyncio._get_running_loop()
        if loop is not None:
            self._safely(self.loop_began, loop)
        if self._loop is not None:  # in the middle of a step
            self._queue.held = self._queue.began, asyncio.current_task()
            self._queue.due = self._queue.began + self._recorder.limit

    def unseen(self) -> list[str]:
        """Return a sentence for each thing that could not be seen."""
        told = [
            f"{name} keeps its queue in C: its stalls were not recorded"
            for name in sorted(self._unseen)
        ]
        if self._others:
            told.append(f"loops of other threads at that time: {len(self._others)}")
        return told

    def stop(self, reason: str) -> None:
        """Record nothing from now on; keep the window that is open, and put everything back."""
        if self._over:
            return
        if reason == "done" and self._loop is not None:
            reason = "left"  # the loop runs on, and its tasks with it
        self._safely(self._leave)
        self._take_out()
        broken = reason not in ("done", "left")
        now = time.perf_counter_ns() - self._begun
        self._recorder.end((now, "stop", 0, reason, 0), broken=broken)

    def _take_out(self) -> None:
        """Put everything back."""
        self._over = True
        self._process_hooks.remove()
        if self._window is not None:
            self._window.watch.take_out()
            self._window = None
        self._let_go()
        self._stop_watchdog()

    def _stop_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.stop()
            self._watchdog = None

    # -- What the hooks call ------------------------------------------------------------

    def loop_began(self, loop: Any) -> None:
        """A loop begins to run in this thread: watch it, if this thread is the one."""
        if self._over or os.getpid() != self._process:
            return
        with self._beginning:
            if self._any_thread and self._loop is None and self._thread != get_ident():
                self._stop_watchdog()
                self._thread = get_ident()
            if self._thread != get_ident():
                self._others.add(id(loop))
            elif self._loop is None:
                self._begin_loop(loop)

    def _begin_loop(self, loop: Any) -> None:
        ready, selector = getattr(loop, "_ready", None), getattr(loop, "_selector", None)
        if type(ready) is not deque or selector is None:
            self._unseen.add(type(loop).__module__)
            return
        self._loop = loop
        self._queue = _Queue(ready, self)
        loop._ready = self._queue
        self._select = Replaced(selector, "select", self._selecting(selector.select))
        if self._watchdog is None:
            self._watchdog = Watchdog(self._running, self._recorder.limit)
            self._watchdog.start()

    def loop_ended(self) -> None:
        """The loop of this thread runs no more."""
        if self._loop is not None and get_ident() == self._thread:
            self._leave()
            self._let_go()

    def _leave(self) -> None:
        """Nothing more will come of the loop: look at its last step, and end the window."""
        queue, window = self._queue, self._window
        if (now := time.perf_counter()) > queue.due:
            self.overdue(now)
        queue.due = math.inf
        if window is not None:
            window.watch.finish()
        self._close()
        self._write_if_late()

    def _let_go(self) -> None:
        """Put back what was replaced in the loop."""
        loop, queue = self._loop, self._queue
        self._loop, queue.due = None, math.inf
        if self._select is not None:
            self._select.put_back()
            self._select = None
        if loop is not None and loop._ready is queue:
            # The new one first: another thread may give the loop something meanwhile.
            loop._ready = deque()
            loop._ready.extendleft(reversed(list(queue)))
            queue.clear()

    def failed(self, error: BaseException) -> None:
        """The recorder itself has failed: record nothing from now on, and say so once.

        ^C is the program's, and is raised again.
        """
        if not isinstance(error, Exception):
            raise error
        if self._over:
            return
        self._take_out()
        now = time.perf_counter_ns() - self._begun
        self._recorder.end((now, "stop", 0, type(error).__name__, 0), broken=False)
        warn_of_failure(error, "no stall is recorded from here on")

    def _safely(self, function: Callable[..., Any], *args: Any) -> None:
        """Call a function of this object; let no error of it reach the loop."""
        try:
            function(*args)
        except Exception as error:
            self.failed(error)

    def _selecting(self, before: Any) -> Any:
        """Return what polls as `before` does, and looks at the clock around it."""
        queue, clock = self._queue, time.perf_counter

        def select(timeout: float | None = None) -> Any:
            moment = clock()
            late = moment > queue.due or moment - queue.polled > self._notable
            if late or self._window is not None:
                self._safely(self._end_turn, moment, timeout)
            queue.due = math.inf
            found = before(timeout) if self._window is None else self._look(before, timeout)
            if self._over:
                return found
            self._polls += 1
            queue.due = -math.inf  # so that `overdue` is told of the first step
            queue.polled = queue.began = clock()
            dog = self._watchdog
            if dog is not None and dog.asleep:
                dog.awaken()
            return found

        return select

    def overdue(self, moment: float) -> None:
        """It is later than `due`: a step has taken too long, or many together, or a turn begins."""
        queue, limit = self._queue, self._recorder.limit
        if queue.due < 0:
            queue.held = None
            self._steps += len(queue)  # what is there when a turn begins is run in it
        if moment - queue.began > limit:
            self._safely(self._stalled, moment)
        queue.due = moment + limit

    # -- Windows ------------------------------------------------------------------------

    def _end_turn(self, moment: float, timeout: float | None) -> None:
        """The loop is about to poll, and there is more to do than to look at the clock."""
        queue, recorder = self._queue, self._recorder
        if moment > queue.due:
            self.overdue(moment)
        took, late = moment - queue.polled, recorder.write_after or math.inf
        if queue.due < math.inf and took > self._notable:
            recorder.longest_pass = max(recorder.longest_pass, took)
            self._late = self._late or took > late
            self._notable = min(recorder.longest_pass, late)
        if self._window is not None:
            age = time.perf_counter_ns() - self._window.notes.opened
            long = age > LONGEST_WINDOW or len(self._window.notes.noted) > MOST_IN_WINDOW
            if not self._more or long:
                self._close()
            else:
                self._more -= 1
                self._window.notes.tell_poll(timeout)
        if self._window is None:
            self._write_if_late()

    def _look(self, before: Any, timeout: float | None) -> Any:
        """Poll without waiting while a window is open; it ends if there is nothing more to tell."""
        found = before(0)
        if self._window is not None:
            self._window.notes.tell_polled(len(found))
        if not found and timeout != 0:
            self._safely(self._close)
            self._safely(self._write_if_late)
        return found  # if there is nothing, the loop asks again, and knows for how long

    def _write_if_late(self) -> None:
        if self._late:
            self._late = False
            self._recorder.write_if_late(time.perf_counter())

    def _stalled(self, moment: float) -> None:
        """The step that has just ended took too long: count it, and record what follows."""
        queue, dog = self._queue, self._watchdog
        self._recorder.count_stall(moment - queue.began)
        self._more = _POLLS
        began, ended = round(queue.began * 1e9), round(moment * 1e9)
        seen = dog.seen_between(began, ended) if dog is not None else []
        window = self._window
        if window is None:
            window = self._window = _Window(self._loop, self._begun, began, self._numbers)
            window.watch.begin_here(enter=False)
            window.tell_stall(queue, began, ended)
        queue.held = None
        number = window.notes.step_since(began, ended)
        for each in seen:
            row = (each.seen - self._begun, "stall", number, each.src, each.func, each.seen - began)
            window.notes.noted.append(row)

    def _close(self) -> None:
        """Keep the window, unless its recorder has failed."""
        window, self._window = self._window, None
        if window is None:
            return
        window.watch.take_out()
        notes = window.notes
        if not notes.failed:
            self._recorder.keep(make_window(notes.before, notes.noted, notes.fibers))

    # -- The watchdog's thread, and others ----------------------------------------------

    def _running(self) -> int | None:
        """Return when the step under way began; note how long the queue is meanwhile."""
        queue = self._queue
        began = queue.began
        if queue.due == math.inf:
            return None
        queue.look(began, self._recorder.limit, self._thread or 0)
        return round(began * 1e9)

    def _under_way(self) -> Window | None:
        """Return what is known of a stall that goes on; from any thread."""
        queue, dog = self._queue, self._watchdog
        began = queue.began
        late = time.perf_counter() - began > self._recorder.limit
        if queue.due == math.inf or not late:
            return None
        frame = sys._current_frames().get(self._thread or 0)
        name, src, key = _named(queue.ran(began, frame))
        number = self._numbers.of(key)
        seen = dog.sightings() if dog is not None else ()
        return window_under_way(number, (name, src), round(began * 1e9), self._begun, seen)


class _Queue(deque[Any]):
    """A loop's queue that looks at the clock whenever a handle is taken from it.

    began: when the last was taken. due: when it is time to ask whether a step is a stall; math.inf
    while the loop polls, less than 0 when it has polled. polled: when it has. held: (began, handle)
    of a step that is a stall already, or the task in whose step the watching began.
    What stands in `popleft` is all that a step costs, so it is as short as it can be.
    """

    __slots__ = ("_grown", "_since", "began", "due", "held", "polled", "watch")

    def __init__(self, handles: Any, watch: StallWatch) -> None:
        super().__init__(handles)
        self.watch = watch
        self.held: tuple[float, Any] | None = None
        self.began = self.polled = time.perf_counter()
        self.due = math.inf
        self._since, self._grown = 0.0, list[tuple[int, int]]()

    def popleft(self) -> Any:
        moment = _clock()
        if moment > self.due:
            self.watch.overdue(moment)
        self.began = moment
        return _first_in(self)

    def ran(self, began: float, frame: FrameType | None) -> Any:
        """Return the handle, or the task, of the step that `began` then; None: the loop's own.

        frame: the innermost of the loop's thread. Nothing is noted for a step, so it is read there.
        """
        held = self.held
        if held is not None and held[0] == began:
            return held[1]
        return _of_loop(frame, "handle")

    def look(self, began: float, limit: float, thread: int) -> None:
        """Note how many handles there are in the step that `began` then, and whose it is if long.

        The watchdog's thread does so: when the loop asks for the last step of a turn, it is gone.
        """
        if began != self._since:
            self._since, self._grown = began, []
        if not self._grown or self._grown[-1][1] != len(self):
            self._grown.append((time.perf_counter_ns(), len(self)))
        known = self.held is not None and self.held[0] == began
        if not known and time.perf_counter() - began > limit:
            ran = self.ran(began, sys._current_frames().get(thread))
            if self.began == began:
                self.held = began, ran

    def ready_since(self, place: int, ended: int) -> int:
        """Return since when, at the latest, the handle at `place` was ready during a step."""
        if self._since != self.began:
            return ended
        return next((at for at, length in self._grown if place < length), ended)


def _of_loop(frame: FrameType | None, name: str) -> Any:
    """Return a variable of asyncio's function that runs one turn of a loop; None if it has none."""
    while frame is not None and frame.f_code.co_name != "_run_once":
        frame = frame.f_back
    return None if frame is None else frame.f_locals.get(name)


class _Numbers:
    """The ids of a run: each task has its own, and so has each name of anything else."""

    def __init__(self) -> None:
        self._tasks: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._names: dict[Any, int] = {}
        self._last = 0

    def of(self, key: Any) -> int:
        """Return the id of a task or of a name; a new one, if it has none."""
        known: Any = self._tasks if isinstance(key, asyncio.Task) else self._names
        number: int = known.get(key, 0)
        if not number:
            number = known[key] = self._last = self._last + 1
        return number


class _Window:
    """A recording of all that a loop does, from the beginning of a step that was too long.

    run_began, began: when the run and the step did, time.perf_counter_ns().
    """

    def __init__(self, loop: Any, run_began: int, began: int, numbers: _Numbers) -> None:
        self.notes = _WindowNotes(loop, run_began, began, numbers)
        self.watch = LoopWatch(ignore, get_ident(), self.notes)

    def tell_stall(self, queue: _Queue, began: int, ended: int) -> None:
        """Record the step that took too long, and what became ready before it and during it."""
        notes, watch = self.notes, self.watch
        ready, frame = list(queue), sys._getframe()
        # Of this turn there are so many left; they were ready when it began.
        left = (_of_loop(frame, "ntodo") or 0) - (_of_loop(frame, "i") or 0)
        with notes.at(began, before=True):
            begun = self._begin(queue.ran(queue.began, frame))
            for handle in ready[:left]:
                self._given(handle)
        for place, handle in enumerate(ready[left:], left):
            with notes.at(queue.ready_since(place, ended)):
                self._given(handle)
        if begun:
            with notes.at(ended):
                watch.end()

    def _given(self, handle: Any) -> None:
        """Record that a task is ready, if `handle` is a task's."""
        if task_of(handle._callback) is not None:
            self.watch.given(handle)

    def _begin(self, ran: Any) -> bool:
        """Begin the step of a handle, or of a task if that is all that is known of it."""
        if isinstance(ran, asyncio.Task):
            return self.watch.begin_task(ran)
        return ran is not None and ran._callback is not None and self.watch.begin(ran)


class _WindowNotes(Notes):
    """The notes of one window: a task that is met in it may have been there long before."""

    def __init__(self, loop: Any, run_began: int, opened: int, numbers: _Numbers) -> None:
        super().__init__(ignore, "asyncio")
        self._begun, self.opened, self._numbers, self._loop = run_began, opened, numbers, loop
        self.before: list[Row] = []
        self.noted: list[Row] = []
        self.fibers: dict[int, tuple[str, Any]] = {}
        self.failed = self._were_ready = False
        self._rows, self._append = self.noted, self.noted.append
        now = loop.time()
        self._whens: dict[Any, float] = {
            timer._args[0]: timer._when
            for timer in loop._scheduled
            if timer._args and timer._when <= now and isinstance(timer._args[0], asyncio.Future)
        }

    @contextmanager
    def at(self, moment: int, *, before: bool = False) -> Iterator[None]:
        """Note things of another moment; before: they were ready then, nobody knows why."""
        now, self._now = self._now, lambda: moment
        self._were_ready = before
        try:
            yield
        finally:
            self._now, self._were_ready = now, False

    def spawn(
        self,
        key: Hashable,
        name: str,
        by: Hashable = None,
        src: Any = None,
        *,
        numbered: bool = True,
    ) -> None:
        """`key` is met in this window; if it was there before, tell first how it stood."""
        if not isinstance(key, asyncio.Task):
            self._meet(key, name, src)
            self.wake(key, "" if self._were_ready else "fiber")
            return
        name, src = _named_task(key)
        stood = not self._were_ready and not _is_new(key)
        self._meet(key, name, src)
        if not stood:
            self.wake(key, "" if self._were_ready else "spawn", by)
            return
        rows, self._rows, self._append = self._rows, self.before, self.before.append
        with self.at(self.opened):
            self.wake(key, "")
            self.resume(key)
            self.wait(key, *where(key.get_coro()))
        self._rows, self._append = rows, rows.append

    def _meet(self, key: Hashable, name: str, src: Any) -> None:
        """Give `key` its id; that it was spawned is told in the trace, once for all windows."""
        number = self._numbers.of(key if isinstance(key, asyncio.Task) else name)
        self.known[key] = Known(number)
        self.fibers[number] = name, src

    def wake(
        self,
        key: Hashable,
        why: str,
        by: Hashable = None,
        at: int | None = None,
        hidden: int | None = None,
    ) -> None:
        """As for all notes; a timer's wake also tells how late it was. why: "": not known."""
        super().wake(key, why, by, at, hidden)
        due = None
        if why == "timer" and isinstance(key, asyncio.Task):
            task: Any = key
            due = self._whens.get(task._fut_waiter)
        if why == "" or due is not None:
            late = None if due is None else round(1e9 * max(0.0, self._loop.time() - due))
            row = self._rows.pop()
            self._append((*row[: WAKE.WHY], why or None, row[WAKE.Q], late, row[WAKE.HIDDEN]))

    def stop(self, reason: str = "done") -> None:
        """The window's own recorder has failed."""
        self.failed, self._append = True, ignore

    # A poll is told by what opens and closes windows, for that happens at a poll.

    def poll(self, seconds: float | None) -> None:
        """See `tell_poll`."""

    def polled(self, ready: int | None) -> None:
        """See `tell_polled`."""

    def tell_poll(self, seconds: float | None) -> None:
        """The loop begins to poll."""
        super().poll(seconds)

    def tell_polled(self, ready: int) -> None:
        """The poll is over."""
        super().polled(ready)

    def step_since(self, began: int, ended: int) -> int:
        """Return the id of what ran between two moments; it is asyncio itself if nothing else."""
        for row in reversed(self.noted):
            if row[EV] == "resume":
                if row[T] >= began - self._begun:
                    return row[FID]  # type: ignore[no-any-return]
                break
        with self.at(began):
            if self.knows(_BETWEEN):
                self.wake(_BETWEEN, "fiber")
            else:
                self.spawn(_BETWEEN, _BETWEEN)
            self.resume(_BETWEEN)
        with self.at(ended):
            self.wait(_BETWEEN, "WAIT")
        return self.known[_BETWEEN].id


def _named(ran: Any) -> tuple[str, Any, Any]:
    """Return the name, the first line and the key of what a handle runs, or of a task."""
    task = ran if isinstance(ran, asyncio.Task) else task_of(ran._callback)
    if task is not None and not is_internal(task):
        return *_named_task(task), task
    called, callback = None, getattr(ran, "_callback", None)
    if task is None and callback is not None:
        protocol = protocol_of(callback)
        called = called_by(callback, None) if protocol is None else called_by_protocol(protocol)
    if called is None:
        return _BETWEEN, None, _BETWEEN
    return called.title, called.src, called.title


def _named_task(task: Any) -> tuple[str, Any]:
    """Return a task's name, with asyncio's own number if it has no other, and its first line."""
    name, given = name_of(task), task.get_name()
    code = getattr(task.get_coro(), "cr_code", None)
    return name if name == given else f"{name} ({given})", None if code is None else (code, -1)


def _is_new(task: Any) -> bool:
    """Whether a task has not made its first step."""
    coroutine = task.get_coro()
    return (
        inspect.iscoroutine(coroutine)
        and inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    )
