"""What is recorded around one stall of asyncio's loop: all that it does, until the window ends.

The rule kept here: how a task stood when the window began is told when it is first met in it.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import weakref
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import Any

from ..recording.reporter import ignore
from ..trace.events import EV, FID, WAKE, Row, T
from .asyncio_ import LoopWatch
from .asyncio_callbacks import called_by, called_by_protocol, protocol_of
from .asyncio_queue import TimedQueue, of_loop
from .asyncio_tasks import TASKS, is_internal, name_of, task_of, where
from .notes import Known, Notes

_BETWEEN = "callbacks"  # the row of what the loop itself does, as in a full trace


class Numbers:
    """The ids of a run: each task has its own, and so has each name of anything else."""

    def __init__(self) -> None:
        self._tasks: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._names: dict[Any, int] = {}
        self._last = 0

    def of(self, key: Any) -> int:
        """Return the id of a task or of a name; a new one, if it has none."""
        known: Any = self._tasks if isinstance(key, TASKS) else self._names
        number: int = known.get(key, 0)
        if not number:
            number = known[key] = self._last = self._last + 1
        return number


class LoopWindow:
    """A recording of all that a loop does, from the beginning of a step that was too long.

    run_began, began: when the run and the step did, time.perf_counter_ns().
    """

    def __init__(self, loop: Any, run_began: int, began: int, numbers: Numbers) -> None:
        self.notes = _WindowNotes(loop, run_began, began, numbers)
        self.watch = LoopWatch(ignore, get_ident(), self.notes)

    def tell_stall(self, queue: TimedQueue, began: int, ended: int) -> None:
        """Record the step that took too long, and what became ready before it and during it."""
        notes, watch = self.notes, self.watch
        ready, frame = list(queue), sys._getframe()
        # Of this turn there are so many left; they were ready when it began.
        left = (of_loop(frame, "ntodo") or 0) - (of_loop(frame, "i") or 0)
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
        if isinstance(ran, TASKS):
            return self.watch.begin_task(ran)
        return ran is not None and ran._callback is not None and self.watch.begin(ran)


class _WindowNotes(Notes):
    """The notes of one window: a task that is met in it may have been there long before."""

    def __init__(self, loop: Any, run_began: int, opened: int, numbers: Numbers) -> None:
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
        if not isinstance(key, TASKS):
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
        number = self._numbers.of(key if isinstance(key, TASKS) else name)
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
        if why == "timer" and isinstance(key, TASKS):
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


def named(ran: Any) -> tuple[str, Any, Any]:
    """Return the name, the first line and the key of what a handle runs, or of a task."""
    task = ran if isinstance(ran, TASKS) else task_of(ran._callback)
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
