"""The hooks: where the loops of asyncio are watched, and how all is put back.

The rule kept here: a function is replaced by one that calls it, and put back. Public names are
used where there are any. These are private, and were tried with Python 3.10 to 3.14:

    Handle._run               every callback of a loop, and each step of a task, is run by it
    Handle._callback, _args   what it runs
    Handle._context           in which context, for the requests of tasks
    Handle._loop              the loop that runs it
    loop._call_soon           what is to be called soon goes through it, whoever gives it
    loop._selector            what the loop polls; its `select` is public
    loop._ready               the queue of what is to be run; a StallRecorder's looks at the clock
    loop._scheduled           its timers, for how late they are
    Task._exception           how a task ended, without telling asyncio that somebody asked
    Task._fut_waiter          what a task awaits, of one that was made before
    tasks._PyTask             the task in Python, which some programs use in place of the one in C

``asyncio._set_running_loop`` is what each kind of loop calls when it begins and ends to run; it is
meant for loops, and listed among asyncio's public names. A loop in C, such as uvloop's, has no
Handle of Python and no selector. There only what is given to its public methods is seen.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from asyncio import events
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol


class LoopWatcher(Protocol):
    """What the hooks call. They let no error of it reach the loop, but tell it of that."""

    def loop_began(self, loop: Any) -> None:
        """`loop` begins to run in this thread."""

    def loop_ended(self) -> None:
        """The loop of this thread runs no more."""

    def failed(self, error: BaseException) -> None:
        """One of these functions has raised `error`; raises it again if it is ^C."""


class Watcher(LoopWatcher, Protocol):
    """The same, where each step is watched too."""

    loop: Any
    """The loop that is watched and runs now, or None."""

    def given(self, handle: Any) -> None:
        """A loop that is watched has made `handle` for a callback that it was given."""

    def begin(self, handle: Any) -> bool:
        """A loop that is watched calls the `_callback` of `handle`; whether that is a step."""

    def end(self) -> None:
        """The step that has begun is over."""

    def poll(self, timeout: float | None) -> bool:
        """A loop that is watched begins to poll; whether that is its own poll."""

    def polled(self, found: int) -> None:
        """The poll that has begun is over."""


def warn_of_failure(error: BaseException, end: str) -> None:
    """Warn that the recorder has raised `error` and was taken out; `end`: what ends with it."""
    with suppress(RuntimeWarning):  # a filter may make an error of it
        warnings.warn(
            f"fiberlab's recorder raised {error!r} and was taken out; the program goes on, "
            f"and {end}",
            RuntimeWarning,
            stacklevel=3,
        )


class Replaced:
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
    """Tells `watcher` which loops begin to run, and `steps` what its loop runs; None: no one."""

    def __init__(self, watcher: LoopWatcher, steps: Watcher | None) -> None:
        self._watcher = watcher
        begin = self._set_running_loop(events._set_running_loop)
        self._replaced = [
            Replaced(events, "_set_running_loop", begin),
            Replaced(asyncio, "_set_running_loop", begin),
        ]
        if steps is not None:
            run = _watched(steps, events.Handle._run)
            self._replaced.append(Replaced(events.Handle, "_run", run))
        uvloop = sys.modules.get("uvloop")
        if uvloop is not None:  # it has taken the function above already
            forever = self._run_forever(uvloop.Loop.run_forever)
            self._replaced.append(Replaced(uvloop.Loop, "run_forever", forever))

    def remove(self) -> None:
        """Put everything back."""
        for each in self._replaced[::-1]:
            each.put_back()

    def _set_running_loop(self, before: Any) -> Any:
        def set_running_loop(loop: Any) -> None:
            before(loop)
            self._tell(loop)

        return set_running_loop

    def _tell(self, loop: Any) -> None:
        watcher = self._watcher
        _safely(watcher, watcher.loop_ended) if loop is None else _safely(
            watcher, watcher.loop_began, loop
        )

    def _run_forever(self, before: Any) -> Any:
        def run_forever(loop: Any) -> None:
            self._tell(loop)
            try:
                before(loop)
            finally:
                self._tell(None)

        return run_forever


def _watched(watcher: Watcher, before: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return what calls a handle as `before` does, and tells when its step begins and ends."""

    def run(handle: Any) -> Any:
        step = None
        if handle._loop is watcher.loop:
            try:
                step = watcher.begin(handle)
            except Exception as error:
                watcher.failed(error)
            except BaseException as error:
                before(handle)  # the loop has taken it out of its queue: it must not be lost
                watcher.failed(error)
        if not step:
            return before(handle)
        try:
            return before(handle)
        finally:
            try:
                watcher.end()
            except BaseException as error:
                watcher.failed(error)

    return run


def _safely(watcher: LoopWatcher, function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of `watcher`; return None if that has failed."""
    try:
        return function(*args)
    except BaseException as error:
        return watcher.failed(error)


class LoopHooks:
    """Tells `watcher` what is given to one loop, and when it polls."""

    def __init__(self, watcher: Watcher, loop: Any) -> None:
        self._watcher, self._loop = watcher, loop
        self.in_python = isinstance(loop, asyncio.BaseEventLoop)
        """Whether the loop runs what it was given by Handle._run."""
        if self.in_python:
            replaced = {
                "_call_soon": self._call_soon(loop._call_soon),
                "call_at": self._giving(loop.call_at, 1),
            }
        else:
            replaced = {name: self._giving(getattr(loop, name), at) for name, at in _GIVEN.items()}
        self._replaced = [Replaced(loop, *each) for each in replaced.items()]
        selector = getattr(loop, "_selector", None)
        self.polls = selector is not None
        """Whether it can be seen when the loop polls."""
        if selector is not None:
            self._replaced.append(Replaced(selector, "select", self._select(selector.select)))

    def remove(self) -> None:
        """Put everything back."""
        for each in self._replaced[::-1]:
            each.put_back()

    def _call_soon(self, before: Any) -> Any:
        """Replace the function of a loop in Python by which all is put into its queue."""
        watcher = self._watcher

        def call_soon(callback: Any, args: Any, context: Any) -> Any:
            handle = before(callback, args, context)
            try:
                watcher.given(handle)
            except BaseException as error:
                watcher.failed(error)
            return handle

        return call_soon

    def _giving(self, before: Any, at: int) -> Any:
        """Replace a method of a loop whose argument number `at` is a callback."""
        watcher, loop, in_python = self._watcher, self._loop, self.in_python

        def give(*args: Any, **options: Any) -> Any:
            if len(args) <= at:
                return before(*args, **options)
            if in_python:
                handle = before(*args, **options)
                _safely(watcher, watcher.given, handle)
                return handle
            wrapped = _Wrapped(watcher, loop, args[at])
            _safely(watcher, watcher.given, wrapped)
            return before(*args[:at], wrapped, *args[at + 1 :], **options)

        return give

    def _select(self, before: Any) -> Any:
        watcher = self._watcher

        def select(timeout: float | None = None) -> Any:
            polls = False
            try:
                polls = watcher.poll(timeout)
            except BaseException as error:
                watcher.failed(error)
            found = before(timeout)
            try:
                if polls:
                    watcher.polled(len(found))
            except BaseException as error:
                watcher.failed(error)
            return found

        return select


# The methods of a loop in C that are given a callback, and which argument that is.
_GIVEN = {
    "call_soon": 0,
    "call_soon_threadsafe": 0,
    "call_at": 1,
    "call_later": 1,
    "add_reader": 1,
    "add_writer": 1,
    "add_signal_handler": 1,
}


class _Wrapped:
    """A callback in a loop in C, which has no Handle: this has what is asked of one."""

    def __init__(self, watcher: Watcher, loop: Any, callback: Any) -> None:
        self._loop, self._callback = loop, callback
        self._args: tuple[Any, ...] = ()
        self._run = _watched(watcher, _Wrapped._call)

    def __call__(self, *args: Any) -> Any:
        self._args = args
        return self._run(self)

    def _call(self) -> Any:
        return self._callback(*self._args)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._callback, name)
