"""asyncio, recorded as fiberlab's events: each of its tasks is a fiber of the trace.

    trace = Trace()
    run(main(), trace)         # in place of asyncio.run(main())
    plot_timeline(trace)

    print(explore(main))       # main in every schedule, in simulated time: asyncio_schedules

The rule kept here: the loop is watched at three places, and not changed. ``call_soon`` with a
task's step is a wake; the call of that step is a resume and a yield; the selector's ``select`` is
the poll. The function of asyncio in which a task is suspended shows what the task waits for.

What it does not show: callbacks that belong to no task, such as those that receive for a stream,
and asyncio's internal tasks, such as accepting. They run between the poll and the next task.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ..recording.reporter import Observer
from .asyncio_schedules import assert_holds, explore, replay
from .asyncio_tasks import TaskNotes, is_internal, task_of
from .notes import Notes

__all__ = ["WatchedLoop", "assert_holds", "explore", "replay", "run"]

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T], observer: Observer) -> T:
    """Run a coroutine as ``asyncio.run`` does, and record what its tasks do for `observer`.

    Raises RuntimeError if an event loop runs in this thread already, as in a notebook's cell:
    there it needs a thread of its own.
    """
    if asyncio._get_running_loop() is not None:
        main.close()
        raise RuntimeError("run() cannot be called while a loop runs; give it a thread of its own")
    notes = Notes(observer, "asyncio")
    loop = WatchedLoop(notes)
    try:
        try:
            return loop.run_until_complete(main)
        finally:
            main.close()
            _cancel_all(loop)
            raised = sys.exc_info()[0]
            loop.unwatch("done" if raised is None else raised.__name__)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


class WatchedLoop(asyncio.SelectorEventLoop):
    """asyncio's event loop; it records in `notes` what it does."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._tasks = TaskNotes(notes)
        self._watched = True
        super().__init__(_WatchedSelector(self))

    def unwatch(self, reason: str) -> None:
        """Record that the run is over, and nothing from now on."""
        self._watched = False
        self._notes.stop(reason)

    def select(self, select: Callable[[Any], list[Any]], timeout: float | None) -> list[Any]:
        """Note the poll that the selector makes."""
        if not self._watched:
            return select(timeout)
        self._notes.poll(timeout)
        found = select(timeout)
        self._notes.polled(len(found))
        return found

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Any = None
    ) -> Any:
        """Note a wake if it is a task's step that is to be called, and watch the step."""
        task = task_of(callback) if self._watched else None
        if task is not None and not is_internal(task):
            self._tasks.ready(task)
            callback = functools.partial(self._step, task, callback)
        return super().call_soon(callback, *args, context=context)

    def _step(self, task: Any, step: Callable[..., Any], *args: Any) -> None:
        self._tasks.begin(task)
        try:
            step(*args)
        finally:
            self._tasks.end()


class _WatchedSelector(selectors.DefaultSelector):
    def __init__(self, loop: WatchedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        return self._loop.select(super().select, timeout)
