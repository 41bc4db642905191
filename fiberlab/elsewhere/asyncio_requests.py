"""The requests of asyncio: a task is at work for the one that a context variable names.

The rule kept here: a request begins with the step in which its task sets the variable, or with the
first step of a task that was given a context with a value. It ends with the task, with the step in
which the variable is reset, or where another value takes its place. A task made inside a task of a
request inherits the value: it belongs to that request, and begins none of its own.

What this module does not know: what a request consists of.
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import Any

from .notes import Notes


class Requests:
    """Notes where the requests of tasks begin and end, by the value of `variable` in their context.

    A value is looked at when a step begins and ends. None: no request.
    """

    def __init__(self, notes: Notes, variable: ContextVar[Any]) -> None:
        if not isinstance(variable, ContextVar):
            raise TypeError(f"request= needs a ContextVar, got {variable!r}")
        self._notes, self._variable = notes, variable
        self._inherited: dict[Any, Any] = {}  # the value that a task was made with, inside another
        self._open: dict[Any, tuple[Any, int]] = {}  # the value and the number of a task's request
        self._count = 0

    def made(self, task: Any) -> None:
        """The task that runs now has made `task`, which inherits what is not given to it anew."""
        if (value := self._variable.get(None)) is not None:
            self._inherited[task] = value

    def look(self, task: Any, context: Context | None) -> None:
        """Look at the value in the middle of a step of `task`, which has begun or is to end."""
        value = None if context is None else context.get(self._variable)
        inherited = value == self._inherited.get(task)
        now, (before, number) = None if inherited else value, self._open.get(task, (None, 0))
        if now == before:
            return
        if before is not None:
            del self._open[task]
            self._notes.mark(task, str(before), "e", number, from_step=now is not None)
        if now is not None:
            self._count += 1
            self._open[task] = now, self._count
            self._notes.mark(task, str(now), "b", self._count, from_step=True)

    def end(self, task: Any, context: Context | None) -> None:
        """The step of `task` is to end; with it the request, if the task has ended."""
        self.look(task, context)
        if task.done():
            self._inherited.pop(task, None)
            if (last := self._open.pop(task, None)) is not None:
                self._notes.mark(task, str(last[0]), "e", last[1])
