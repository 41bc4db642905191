"""The stalls of asyncio: how its loops tell a StallRecorder of them.

    recorder = StallRecorder(path="stalls.fiber.jsonl")
    run(main(), recorder)          # or `with watching(recorder)`, `await record(main(), recorder)`

The clock is read where the loop polls, and where it takes the next callback or step of a task from
its queue; nothing is noted. When one has taken too long, all that the loop does is recorded for two
polls more: in the first, asyncio receives and ends sleeps; after the second, the tasks go on.

The rule kept here: between two stalls nothing is paid but a look at the clock for each step. When
a task became ready in the middle of a stall is known as exactly as the watchdog has looked.

This module does not know what is kept of it, and for how long.
"""

from __future__ import annotations

import asyncio
import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from threading import Lock, get_ident
from typing import Any

from ..recording.reporter import header
from ..recording.stall_recorder import (
    LONGEST_WINDOW,
    MOST_IN_WINDOW,
    StallRecorder,
    Window,
    make_window,
    window_under_way,
)
from ..recording.watchdog import Watchdog
from .asyncio_hooks import ProcessHooks, Replaced, warn_of_failure
from .asyncio_queue import TimedQueue
from .asyncio_windows import LoopWindow, Numbers, named

_POLLS = 2
"""A window ends at the poll after so many: asyncio needs two to go on with a task."""


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
        self._queue = TimedQueue([], self)  # what it takes its steps from
        self._select: Replaced | None = None
        self._unseen: set[str] = set()
        self._watchdog: Watchdog | None = None
        self._numbers = Numbers()
        self._window: LoopWindow | None = None
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
        self._queue = loop._ready = TimedQueue(ready, self)
        ready.clear()  # a loop that is in the midst of it would run twice what is there
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
            loop._ready = queue.handed_to = deque()
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
            window = self._window = LoopWindow(self._loop, self._begun, began, self._numbers)
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
        name, src, key = named(queue.ran(began, frame))
        number = self._numbers.of(key)
        seen = dog.sightings() if dog is not None else ()
        return window_under_way(number, (name, src), round(began * 1e9), self._begun, seen)
