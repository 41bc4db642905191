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
from types import CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any

from ..recording.culprit_line import in_package
from .notes import Notes

_ASYNCIO = (os.path.dirname(asyncio.__file__) + os.sep, "uvloop/")  # that is how Cython names it
# The function of asyncio in which a task is suspended, and what it waits for.
_OPS = {
    "RECV": {
        *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_accept"),
        *("read", "readexactly", "readline", "readuntil", "_wait_for_data"),
    },
    "SEND": {"sock_sendall", "sock_sendto", "sock_connect", "drain", "_drain_helper"},
}
_OP_OF = {name: op for op, names in _OPS.items() for name in names}


class TaskNotes:
    """Notes what the tasks of a loop do; the loop says when a task is ready, begins and ends.

    running: the task that runs; caller: what runs while none does, such as a callback, which has
    a row of its own. hidden: for how many nanoseconds the data that asyncio receives just now had
    been there; None: that is not known.
    """

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self.caller: Hashable = None
        self.hidden: int | None = None
        self.running: Any = None
        self._again = False  # whether the running task is ready again at once

    def ready(self, task: Any) -> bool:
        """Note that the loop has put a step of `task` into its queue; whether it is recorded."""
        notes, running = self._notes, self.running
        known = notes.known.get(task)
        if known is None:
            if is_internal(task):
                return False
            by = self.caller if running is None else running
            code = getattr(task.get_coro(), "cr_code", None)
            name = _name_to_come() or name_of(task)
            notes.spawn(task, name, by, None if code is None else (code, -1))
            known = notes.known[task]
            if not known.waits:  # as for each task that is new
                return True
        waited = known.waits
        if task is running:
            self._again = True  # its yield is recorded first
        elif is_cancelled(task) or (running is not None and waited not in ("", "PARKED")):
            notes.wake(task, "cancel", self.caller if running is None else running)
        elif waited == "RECV":
            notes.wake(task, "io", None, None, self.hidden)
        elif waited == "SEND":
            notes.wake(task, "io")
        elif waited == "PARKED":
            notes.wake(task, "fiber", self.caller if running is None else running)
        elif waited:
            notes.wake(task, "timer")
        return True

    def enter(self, task: Any) -> None:
        """Note a task that was made before anything was recorded, with what it waits for now."""
        name, coroutine = name_of(task), task.get_coro()
        given = task.get_name()
        # Its own number: those that count from one are for the tasks that are made from now on.
        name = name if name == given else f"{name} ({given})"
        code = getattr(coroutine, "cr_code", None)
        src = None if code is None else (code, -1)
        self._notes.spawn(task, name, src=src, numbered=False)
        waited_for = task._fut_waiter
        if waited_for is not None and not waited_for.done():
            self._notes.resume(task)
            self._notes.wait(task, *where(coroutine))

    def begin(self, task: Any) -> None:
        """Note that a step of `task` begins, which is ready."""
        self._notes.resume(task)
        self.running = task

    def end(self) -> None:
        """Note that the step has ended, if one has begun."""
        task, self.running = self.running, None
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
                op, seconds, self._again = "WAIT", 0, False
            self._notes.wait(task, op, seconds, src)


def _name_to_come() -> str | None:
    """Return the name that a task which is being made is about to be given.

    Up to Python 3.12, asyncio names a task when it has asked the loop for its first step.
    """
    if sys.version_info >= (3, 13):
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_between(frame.f_code):
        name = frame.f_locals.get("name") if frame.f_code.co_name == "create_task" else None
        if name is not None:
            return str(name)
        frame = frame.f_back
    return None


# The task in Python is what a program has that can run a loop inside a step of another one.
TASKS = (asyncio.Task, asyncio.tasks._PyTask)  # type: ignore[attr-defined]


def name_of(task: Any) -> str:
    """Return the name that `task` was given, else that of its coroutine."""
    given: str = task.get_name()
    # asyncio's own numbers go on from one run to the next; 3.13 names an eager task "None".
    if re.fullmatch(r"Task-\d+|None", given):
        return getattr(task.get_coro(), "__name__", "task")
    return given


def task_of(callback: Any) -> Any:
    """Return the task whose step `callback` is, or None."""
    task = getattr(callback, "__self__", None)
    if not isinstance(task, TASKS):
        return None
    # What C code calls for a step has no name. A method may be another one, such as cancel.
    name = getattr(callback, "__name__", "step")
    return task if name == "wakeup" or name.endswith(("step", "wakeup")) else None


def context_of(handle: Any, task: Any) -> Any:
    """Return the context in which a step of `task` runs; None if it cannot be had.

    A handle of Python has it; for what a loop in C runs, a task tells it from Python 3.12 on.
    """
    context = getattr(handle, "_context", None)
    return context if context is not None else getattr(task, "get_context", lambda: None)()


def is_internal(task: Any) -> bool:
    """Whether `task` is one that asyncio has made for itself."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and is_asyncio(code) and code.co_name.startswith(("_", "shutdown_"))


def is_asyncio(code: CodeType) -> bool:
    """Whether `code` is part of asyncio, or of uvloop in its place."""
    return code.co_filename.startswith(_ASYNCIO)


def is_between(code: CodeType) -> bool:
    """Whether a frame stands between a program's line and the loop that is given something."""
    return is_asyncio(code) or in_package(code.co_filename)


def where(coroutine: Any) -> tuple[str, float | None, Any]:
    """Return what a suspended coroutine waits for: op, seconds, and its own innermost line.

    It goes as `frames_of` does. But to ask for a frame makes one, so it asks only where it must.
    """
    op, seconds, src = "WAIT", None, None
    while True:
        kind = type(coroutine)
        if kind is CoroutineType:
            code, inner = coroutine.cr_code, coroutine.cr_await
        elif kind is GeneratorType:
            code, inner = coroutine.gi_code, coroutine.gi_yieldfrom
        else:
            return op, seconds, src
        means = _MEANS.get(id(code), "?")
        if means == "?":
            means = _meaning_of(code)
        if means is None:
            frame = coroutine.cr_frame if kind is CoroutineType else coroutine.gi_frame
            if frame is None:
                return op, seconds, src
            seconds, src = None, (code, frame.f_lasti)
        elif means == "sleep":
            with suppress(AttributeError, TypeError, ValueError):
                seconds = max(0.0, float(coroutine.cr_frame.f_locals["delay"]))
        elif means:
            return means, seconds, src
        coroutine = inner


_MEANS: dict[int, str | None] = {}
"""What the codes mean that were met, by id: the hash of a code is made of all that is in it."""
_CODES: list[CodeType] = []  # they live on, so that an id stays theirs


def _meaning_of(code: CodeType) -> str | None:
    """Return what it means that a task is suspended in `code`.

    An op or "sleep"; "" for what else belongs to asyncio; None: it is the program's own.
    """
    means = None
    if is_asyncio(code):
        means = _OP_OF.get(code.co_name, "sleep" if code.co_name == "sleep" else "")
    _CODES.append(code)
    _MEANS[id(code)] = means
    return means


if sys.version_info >= (3, 11):

    def is_cancelled(task: Any) -> Any:
        """Return how often `task`, just woken, has been cancelled."""
        return task.cancelling()  # a task in C or in Python
else:

    def is_cancelled(task: Any) -> Any:
        """Return whether `task`, just woken, has been cancelled."""
        waited_for = task._fut_waiter  # a task cannot be asked there, but what it awaits can
        return waited_for is not None and waited_for.cancelled()
