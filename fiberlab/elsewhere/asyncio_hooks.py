"""The hooks: where the loops of asyncio are watched, and how all is put back.

The rule kept here: a function is replaced by one that calls it, and put back. Public names are
used where there are any. These are private, and were tried with Python 3.10 to 3.14:

    Handle._run               every callback of a loop, and each step of a task, is run by it
    Handle._callback, _args   what it runs
    Handle._loop              the loop that runs it
    loop._selector            what the loop polls; its `select` is public
    Task._exception           how a task ended, without telling asyncio that somebody asked
    Task._fut_waiter          what a task awaits (Python 3.10 only)

``asyncio._set_running_loop`` is what each kind of loop calls when it begins and ends to run; it is
meant for loops, and listed among asyncio's public names. A loop in C, such as uvloop's, has no
Handle of Python and no selector. There only what is given to its public methods is seen.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from collections.abc import Callable
from typing import Any, Protocol


class Watcher(Protocol):
    """What the hooks call."""

    def loop_began(self, loop: Any) -> None:
        """`loop` begins to run in this thread."""

    def loop_ended(self) -> None:
        """The loop of this thread runs no more."""

    def ready(self, callback: Any) -> bool:
        """A loop that is watched was given `callback`, to be called soon; whether it is known."""

    def given(self, handle: Any, callback: Any) -> None:
        """A loop that is watched has made `handle` for `callback`."""

    def run_callback(self, callback: Any, handle: Any, run: Callable[..., Any], *args: Any) -> Any:
        """A loop that is watched runs `callback`, by ``run(*args)``."""

    def select(self, select: Callable[[Any], list[Any]], timeout: float | None) -> list[Any]:
        """A loop that is watched polls by `select`."""


class _Replaced:
    """One attribute that was replaced."""

    def __init__(self, owner: Any, name: str, value: Any) -> None:
        self._owner, self._name, self._value = owner, name, value
        self._own = name in vars(owner)
        self._before = getattr(owner, name)
        setattr(owner, name, value)

    def put_back(self) -> None:
        """Put back what was there, unless another has replaced it since: then that goes on."""
        if vars(self._owner).get(self._name) is not self._value:
            return
        if self._own:
            setattr(self._owner, self._name, self._before)
        else:
            delattr(self._owner, self._name)


class ProcessHooks:
    """Tells `watcher` which loops begin to run, and what those run that `watched` holds."""

    def __init__(self, watcher: Watcher, watched: dict[Any, LoopHooks]) -> None:
        self._watcher, self._watched = watcher, watched
        begin = self._set_running_loop(events._set_running_loop)
        self._replaced = [
            _Replaced(events, "_set_running_loop", begin),
            _Replaced(asyncio, "_set_running_loop", begin),
            _Replaced(events.Handle, "_run", self._run(events.Handle._run)),
        ]
        uvloop = sys.modules.get("uvloop")
        if uvloop is not None:  # it has taken the function above already
            run = self._run_forever(uvloop.Loop.run_forever)
            self._replaced.append(_Replaced(uvloop.Loop, "run_forever", run))

    def remove(self) -> None:
        """Put everything back."""
        for each in self._replaced[::-1]:
            each.put_back()

    def _set_running_loop(self, before: Any) -> Any:
        def set_running_loop(loop: Any) -> None:
            before(loop)
            if loop is None:
                self._watcher.loop_ended()
            else:
                self._watcher.loop_began(loop)

        return set_running_loop

    def _run(self, before: Any) -> Any:
        watcher, watched = self._watcher, self._watched

        def run(handle: Any) -> None:
            if handle._loop in watched:
                watcher.run_callback(handle._callback, handle, before, handle)
            else:
                before(handle)

        return run

    def _run_forever(self, before: Any) -> Any:
        def run_forever(loop: Any) -> None:
            self._watcher.loop_began(loop)
            try:
                before(loop)
            finally:
                self._watcher.loop_ended()

        return run_forever


class LoopHooks:
    """Tells `watcher` what is given to one loop, and when it polls."""

    def __init__(self, watcher: Watcher, loop: Any) -> None:
        self._watcher = watcher
        self.in_python = isinstance(loop, asyncio.BaseEventLoop)
        """Whether the loop runs what it was given by Handle._run."""
        self._replaced = [
            _Replaced(loop, name, self._giving(getattr(loop, name), at, soon=at == 0))
            for name, at in _GIVEN.items()
            if name in _IN_PYTHON or not self.in_python
        ]
        selector = getattr(loop, "_selector", None)
        self.polls = selector is not None
        """Whether it can be seen when the loop polls."""
        if selector is not None:
            self._replaced.append(_Replaced(selector, "select", self._select(selector.select)))

    def remove(self) -> None:
        """Put everything back."""
        for each in self._replaced[::-1]:
            each.put_back()

    def _giving(self, before: Any, at: int, soon: bool) -> Any:
        """Replace a method of a loop whose argument number `at` is a callback."""
        watcher, in_python = self._watcher, self.in_python

        def give(*args: Any, **options: Any) -> Any:
            if len(args) <= at:
                return before(*args, **options)
            callback = args[at]
            if soon and watcher.ready(callback) and in_python:
                return before(*args, **options)
            if not in_python:
                args = (*args[:at], _Wrapped(watcher, callback), *args[at + 1 :])
            handle = before(*args, **options)
            watcher.given(handle, callback)
            return handle

        return give

    def _select(self, before: Any) -> Any:
        def select(timeout: float | None = None) -> Any:
            return self._watcher.select(before, timeout)

        return select


# The methods of a loop that are given a callback, and which argument that is.
_GIVEN = {
    "call_soon": 0,
    "call_soon_threadsafe": 0,
    "call_at": 1,
    "call_later": 1,
    "add_reader": 1,
    "add_writer": 1,
    "add_signal_handler": 1,
}
_IN_PYTHON = {"call_soon", "call_soon_threadsafe", "call_at"}


class _Wrapped:
    """A callback in a loop in C."""

    def __init__(self, watcher: Watcher, callback: Any) -> None:
        self._watcher, self.callback = watcher, callback
        self._args: tuple[Any, ...] = ()

    def __call__(self, *args: Any) -> Any:
        self._args = args  # as a Handle has them
        return self._watcher.run_callback(self.callback, self, self.callback, *args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.callback, name)
