"""What a task of asyncio does, told in our events.

The rule kept here: asyncio is only looked at. The function of asyncio in which a task is suspended
shows what the task waits for.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Hashable
from contextlib import suppress
from types import CodeType, CoroutineType, GeneratorType
from typing import Any

from .notes import Notes

_ASYNCIO = os.path.dirname(asyncio.__file__) + os.sep
# The function of asyncio in which a task is suspended, and what it waits for.
_OPS = {
    "RECV": {"sock_recv", "sock_recv_into", "sock_recvfrom", "sock_accept", "_wait_for_data"},
    "SEND": {"sock_sendall", "sock_sendto", "sock_connect", "drain", "_drain_helper"},
}
_OP_OF = {name: op for op, names in _OPS.items() for name in names}


class TaskNotes:
    """Notes what the tasks of a loop do; the loop says when a task is ready, begins and ends.

    caller: what runs while no task does, such as a callback; it has its own row.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.caller: Hashable = None
        self._running: Any = None
        self._again = False  # whether the running task is ready again at once

    def ready(self, task: Any) -> None:
        """Note that the loop has put a step of `task` into its queue."""
        notes, running = self._notes, self._running
        waited = notes.waits_for(task)
        if waited == "RECV" and running is None and not is_cancelled(task):
            notes.wake(task, "io")  # by far the commonest
            return
        by = self.caller if running is None else running
        if not notes.knows(task):
            code = getattr(task.get_coro(), "cr_code", None)
            notes.spawn(task, name_of(task), by, None if code is None else (code, -1))
        elif task is running:
            self._again = True  # its yield is recorded first
        elif is_cancelled(task) or (running and waited != "PARKED"):
            notes.wake(task, "cancel", by)
        elif waited == "PARKED":
            notes.wake(task, "fiber", by)
        elif waited is not None:
            notes.wake(task, "timer" if waited == "SLEEP" else "io")

    def begin(self, task: Any) -> None:
        """Note that a step of `task` begins."""
        notes = self._notes
        if notes.waits_for(task) is not None or not notes.knows(task):
            self.ready(task)  # it was made, or woken, while its loop was not watched
        self._notes.resume(task)
        self._running, self._again = task, False

    def end(self) -> None:
        """Note that the step has ended, if one has begun."""
        task, self._running = self._running, None
        if task is None:
            return
        if task.done():
            # Not task.exception(): asyncio would think that the program has seen it.
            error = None if task.cancelled() else task._exception
            # These end the program, and are no mistake of the task's.
            leaves = task.cancelled() or isinstance(error, (SystemExit, KeyboardInterrupt))
            how = "cancel" if leaves else "error" if error else "return"
            self._notes.end(task, how, None if leaves else error)
        else:
            op, seconds, src = where(task.get_coro())
            if self._again:
                op, seconds = "WAIT", 0
            self._notes.wait(task, op, seconds, src)


def name_of(task: Any) -> str:
    """Return the name that `task` was given, else that of its coroutine."""
    given: str = task.get_name()
    # asyncio's own numbers go on from one run to the next.
    if re.fullmatch(r"Task-\d+", given):
        return getattr(task.get_coro(), "__name__", "task")
    return given


def task_of(callback: Any) -> Any:
    """Return the task whose step `callback` is, or None."""
    task = getattr(callback, "__self__", None)
    if task is None or not isinstance(task, asyncio.Task):
        return None
    kind = type(callback)
    if kind not in _IS_STEP:
        # The C code's own types are steps. A method may be another one, such as a task's cancel.
        _IS_STEP[kind] = None if hasattr(callback, "__name__") else True
    if _IS_STEP[kind]:
        return task
    return task if callback.__name__.endswith(("step", "wakeup")) else None


_IS_STEP: dict[type, bool | None] = {}
"""The types of callbacks that were met: whether all of a type are steps; None: it depends."""


def is_internal(task: Any) -> bool:
    """Whether `task` is one that asyncio has made for itself."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and is_asyncio(code) and code.co_name.startswith(("_", "shutdown_"))


def is_asyncio(code: CodeType) -> bool:
    """Whether `code` is part of asyncio."""
    return code.co_filename.startswith(_ASYNCIO)


def where(coroutine: Any) -> tuple[str, float | None, Any]:
    """Return what a suspended coroutine waits for: op, seconds, and its own innermost line."""
    op, seconds, src = "WAIT", None, None
    while True:  # as `frames_of` goes, which would cost more than all the rest
        kind = type(coroutine)
        if kind is CoroutineType:
            frame, inner = coroutine.cr_frame, coroutine.cr_await
        elif kind is GeneratorType:
            frame, inner = coroutine.gi_frame, coroutine.gi_yieldfrom
        else:
            return op, seconds, src
        if frame is None:
            return op, seconds, src
        code = frame.f_code
        means = _MEANS.get(code) or _meaning_of(code)
        if means == "own":
            op, seconds, src = "WAIT", None, (code, frame.f_lasti)
        elif means == "sleep":
            with suppress(TypeError, ValueError):
                seconds = max(0.0, float(frame.f_locals["delay"]))
        elif means != "asyncio":
            op = means
        coroutine = inner


_MEANS: dict[CodeType, str] = {}


def _meaning_of(code: CodeType) -> str:
    """Return what it means that a task is suspended in `code`: an op, "sleep" or whose it is."""
    name = code.co_name
    means = "own"
    if is_asyncio(code):
        means = _OP_OF.get(name, "sleep" if name == "sleep" else "asyncio")
    _MEANS[code] = means
    return means


def is_cancelled(task: Any) -> bool:
    """Whether `task`, just woken, has been cancelled."""
    if sys.version_info >= (3, 11):
        return task.cancelling() > 0  # type: ignore[no-any-return]
    waited_for = task._fut_waiter  # a task cannot be asked there, but what it awaits can
    return waited_for is not None and waited_for.cancelled()
