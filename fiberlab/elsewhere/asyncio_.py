"""asyncio, recorded as fiberlab's events: each of its tasks is a fiber of the trace.

    trace = Trace()
    run(main(), trace)         # in place of asyncio.run(main())
    plot_timeline(trace)

The rule kept here: the loop is watched at three places, and not changed. ``call_soon`` with a
task's step is a wake; the call of that step is a resume and a yield; the selector's ``select`` is
the poll. The function of asyncio in which a task is suspended shows what the task waits for.

What it does not show: callbacks that belong to no task, such as those that receive for a stream,
and asyncio's internal tasks, such as accepting. They run between the poll and the next task.
"""

from __future__ import annotations

import asyncio
import functools
import os
import selectors
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import CodeType
from typing import Any, TypeVar

from ..coroutines import frames_of
from ..recording.reporter import Observer
from .notes import Notes

T = TypeVar("T")

_ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep
# The function of asyncio in which a task is suspended, and what it waits for.
_OPS = {
    "RECV": {"sock_recv", "sock_recv_into", "sock_recvfrom", "sock_accept", "_wait_for_data"},
    "SEND": {"sock_sendall", "sock_sendto", "sock_connect", "drain", "_drain_helper"},
}
_OP_OF = {name: op for op, names in _OPS.items() for name in names}


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


def _is_cancelled(task: Any) -> bool:
    """Whether `task`, just woken, has been cancelled."""
    if sys.version_info >= (3, 11):
        return task.cancelling() > 0  # type: ignore[no-any-return]
    waited_for = task._fut_waiter  # a task cannot be asked there, but what it awaits can
    return waited_for is not None and waited_for.cancelled()


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
        self._watched = True
        self._running_task: Any = None
        self._again = False  # whether the running task is ready again at once
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
        task = _task_of(callback) if self._watched else None
        if task is not None:
            self._note_wake(task)
            callback = functools.partial(self._step, task, callback)
        return super().call_soon(callback, *args, context=context)

    def _note_wake(self, task: Any) -> None:
        notes, running = self._notes, self._running_task
        waited = notes.waits_for(task)
        if not notes.knows(task):
            code = getattr(task.get_coro(), "cr_code", None)
            name = getattr(task.get_coro(), "__name__", "task")
            notes.spawn(task, name, running, None if code is None else (code, -1))
        elif task is running:
            self._again = True  # its yield is recorded first
        elif _is_cancelled(task) or (running and waited != "PARKED"):
            notes.wake(task, "cancel", running)
        elif waited == "PARKED":
            notes.wake(task, "fiber", running)
        else:
            notes.wake(task, "timer" if waited == "SLEEP" else "io")

    def _step(self, task: Any, step: Callable[..., Any], *args: Any) -> None:
        self._notes.resume(task)
        self._running_task, self._again = task, False
        try:
            step(*args)
        finally:
            self._running_task = None
            if task.done():
                # Not task.exception(): asyncio would think that the program has seen it.
                error = None if task.cancelled() else task._exception
                how = "cancel" if task.cancelled() else "error" if error else "return"
                self._notes.end(task, how, error)
            else:
                self._note_wait(task)

    def _note_wait(self, task: Any) -> None:
        op, seconds, src = _where(task.get_coro())
        if self._again:
            op, seconds = "WAIT", 0
        self._notes.wait(task, op, seconds, src)


class _WatchedSelector(selectors.DefaultSelector):
    def __init__(self, loop: WatchedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        return self._loop.select(super().select, timeout)


def _task_of(callback: Any) -> Any:
    """Return the task whose step `callback` is, or None."""
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return None
    # The C code's steps have no name; a task's cancel is a method of it too.
    name = getattr(callback, "__name__", "step")
    return task if name.endswith(("step", "wakeup")) and not _is_internal(task) else None


def _is_internal(task: Any) -> bool:
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and _is_asyncio(code) and code.co_name.startswith("_")


def _is_asyncio(code: CodeType) -> bool:
    return code.co_filename.startswith(_ASYNCIO)


def _where(coroutine: Any) -> tuple[str, float | None, Any]:
    """Return what a suspended coroutine waits for: op, seconds, and its own innermost line."""
    op, seconds, src = "WAIT", None, None
    for frame in frames_of(coroutine):
        name = frame.f_code.co_name
        if not _is_asyncio(frame.f_code):
            op, seconds, src = "WAIT", None, (frame.f_code, frame.f_lasti)
        elif name in _OP_OF:
            op = _OP_OF[name]
        elif name == "sleep":
            with suppress(TypeError, ValueError):
                seconds = max(0.0, float(frame.f_locals["delay"]))
    return op, seconds, src
