"""asyncio, recorded as fiberlab's events: its tasks and callbacks are the fibers of the trace.

    trace = Trace(cpu=True)
    run(main(), trace)             # in place of asyncio.run(main())
    print(diagnose(trace))

    with watching(trace): ...      # the loops that run inside the block, or the one that runs it
    trace = await record(main())   # in a notebook, where a loop runs already
    watched = watch()              # the notebook's own loop, until watched.stop()

    print(explore(main))           # main in every schedule, in simulated time: asyncio_schedules

The rule kept here: a loop is watched, and not changed. ``call_soon`` with a task's step is a wake;
the call of that step is a resume and a yield; the selector's ``select`` is the poll. The function
of asyncio in which a task is suspended shows what the task waits for. A callback has a row of its
own, named after its function, or after its protocol if a transport calls it.

What it does not show one by one is asyncio's own work: it ends a sleep, receives for a stream or
accepts. Where that takes long, and whatever else happens between two steps, is a step of
the row "callbacks".
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import sys
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from contextvars import ContextVar
from threading import Lock, get_ident
from types import MethodType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..recording.data_age import waited_ns
from ..recording.reporter import Observer
from ..recording.stall_recorder import StallRecorder
from ..recording.watchdog import Sighting
from ..trace.events import place
from ..trace.trace import Trace
from .asyncio_callbacks import (
    Called,
    Place,
    called_by,
    called_by_protocol,
    code_of,
    in_words,
    is_of_asyncio,
    protocol_of,
    socket_of,
)
from .asyncio_hooks import LoopHooks, ProcessHooks, warn_of_failure
from .asyncio_requests import Requests
from .asyncio_schedules import assert_holds, explore, replay
from .asyncio_tasks import TaskNotes, context_of, is_asyncio, is_between, is_internal, task_of
from .notes import Notes

if TYPE_CHECKING:
    from .asyncio_stalls import StallWatch

__all__ = ["assert_holds", "explore", "record", "replay", "run", "watch", "watching"]

T = TypeVar("T")


def run(
    main: Coroutine[Any, Any, T],
    observer: Observer | StallRecorder,
    *,
    request: ContextVar[Any] | None = None,
) -> T:
    """Run a coroutine as ``asyncio.run`` does, and record what its loop does for `observer`.

    request: a context variable whose value names the request that a task is at work for; `bill`
    then has a bill for each.
    Raises RuntimeError if an event loop runs in this thread already, as in a notebook's cell:
    there ``await record(main)`` does the same.
    """
    if asyncio._get_running_loop() is not None:
        main.close()
        raise RuntimeError(
            "run() cannot be called while a loop runs: use `await record(main())`, "
            "or give it a thread of its own"
        )
    try:
        with watching(observer, request=request):
            return asyncio.run(main)
    finally:
        if asyncio.iscoroutine(main):
            main.close()  # it has ended, unless the trace was refused


@overload
async def record(
    main: Coroutine[Any, Any, Any],
    trace: Trace | None = None,
    *,
    request: ContextVar[Any] | None = None,
) -> Trace: ...


@overload
async def record(main: Coroutine[Any, Any, Any], trace: StallRecorder) -> StallRecorder: ...


async def record(
    main: Coroutine[Any, Any, Any], trace: Any = None, *, request: ContextVar[Any] | None = None
) -> Any:
    """Await `main`, and return the trace of what the running loop did meanwhile.

    trace: a Trace or a StallRecorder; None: a new ``Trace(cpu=True)``. The loop's other tasks are
    in it too, for they compete with `main`. request: see `run`. Raises what `main` raises.
    """
    trace = Trace(cpu=True) if trace is None else trace
    with watching(trace, enter=False, request=request):
        await asyncio.create_task(main)
    return trace


def watch(
    trace: Trace | StallRecorder | None = None, *, request: ContextVar[Any] | None = None
) -> watching:
    """Record what the loop of this thread does from now on, until ``stop()`` of what is returned.

    trace: a Trace or a StallRecorder; None: a new ``Trace(cpu=True)``, which ``stop()`` returns.
    request: see `run`.
    """
    return watching(Trace(cpu=True) if trace is None else trace, request=request).start()


class watching:  # noqa: N801 - it reads as `with watching(trace)`, as for gevent and threads
    """Records for `observer` what loops of asyncio do inside a ``with`` block.

    The loops are those that begin to run in this thread inside the block, one after the other, and
    the one that runs already. It can also decorate a function, also an ``async def``; its first
    call is recorded. A trace holds one run: a second one raises ValueError.
    any_thread: loops of all threads, one at a time. enter: whether the tasks that a loop
    which runs already has are recorded from the beginning; False: from their next step on.
    request: see `run`; ValueError with a StallRecorder, which keeps no requests.
    """

    def __init__(
        self,
        observer: Observer | StallRecorder,
        *,
        any_thread: bool = False,
        enter: bool = True,
        request: ContextVar[Any] | None = None,
    ) -> None:
        if request is not None and isinstance(observer, StallRecorder):
            raise ValueError("request= needs a Trace: a StallRecorder keeps no requests")
        self.observer, self._request = observer, request
        self._any_thread, self._enter = any_thread, enter
        self._watch: LoopWatch | StallWatch | None = None

    def start(self) -> watching:
        """Begin; in place of the ``with``."""
        thread = None if self._any_thread else get_ident()
        if isinstance(self.observer, StallRecorder):
            from .asyncio_stalls import StallWatch

            self._watch = StallWatch(self.observer, thread)
        else:
            self._watch = LoopWatch(self.observer, thread, request=self._request)
        self._watch.begin_here(enter=self._enter)
        return self

    def stop(self, reason: str = "done") -> Any:
        """End, put everything back, and return the observer."""
        if self._watch is not None:
            self._watch.stop(reason)
            self._watch = None
        return self.observer

    @property
    def unseen(self) -> list[str]:
        """What could not be seen, each in a sentence."""
        return [] if self._watch is None else self._watch.unseen()

    def __enter__(self) -> watching:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_rest: Any) -> None:
        self.stop("done" if kind is None else kind.__name__)

    def __call__(self, function: Any = None, *more: Any) -> Any:
        """Decorate a function: record what loops do during its call."""
        made = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        if more or made or not callable(function):
            raise TypeError(
                "@watching(trace) decorates a function or an async def, "
                f"and needs its trace; got {', '.join(map(repr, (function, *more)))}"
            )
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def watched(*args: Any, **options: Any) -> Any:
                with self:
                    return await function(*args, **options)

        else:

            @functools.wraps(function)
            def watched(*args: Any, **options: Any) -> Any:
                with self:
                    return function(*args, **options)

        return watched


class LoopWatch:
    """What is known of the loops of one thread while they are watched."""

    def __init__(
        self,
        observer: Observer,
        thread: int | None,
        notes: Notes | None = None,
        request: ContextVar[Any] | None = None,
    ) -> None:
        self._notes = Notes(observer, "asyncio") if notes is None else notes
        self._tasks = TaskNotes(self._notes)
        self._requests = None if request is None else Requests(self._notes, request)
        self._context: Any = None  # that of the step that runs
        self._thread, self._any_thread = thread, thread is None
        self._process = os.getpid()
        self._measured = False
        self.loop: Any = None
        self._hooks: LoopHooks | None = None  # those of that loop
        self._watched: dict[Any, LoopHooks] = {}
        self._steps: dict[Any, Any] = {}  # the task whose step a handle is, until it runs
        self._hidden = isinstance(observer, Trace) and observer.hidden
        self._stepping = False
        self._within = False  # whether the step that runs had begun before
        self._called: tuple[Called, Any] | None = None  # the callback that runs, and its handle
        self._of_transports: set[Any] = set()  # the functions of transports that were met
        self._kinds: dict[Any, Called | None] = {}  # what each code and each protocol is
        self._places: weakref.WeakKeyDictionary[Any, Place] = weakref.WeakKeyDictionary()
        self._beginning = Lock()
        self._others: set[int] = set()  # the loops of other threads
        self._over = self._failed = False
        self._in_c: set[str] = set()
        self._process_hooks = ProcessHooks(self, self)

    def begin_here(self, *, enter: bool) -> None:
        """Watch the loop that runs already, if there is one; enter its tasks, if that is asked."""
        loop = asyncio._get_running_loop()
        if loop is None:
            return
        try:
            self.loop_began(loop)
            if enter and self.loop is loop:
                self._enter()
        except Exception as error:
            self.failed(error)

    def _enter(self) -> None:
        """Record the tasks that are there already, and that one of them runs."""
        current = asyncio.current_task()
        tasks = asyncio.all_tasks() - {current}
        for task in sorted(tasks, key=lambda each: (len(each.get_name()), each.get_name())):
            if not is_internal(task):
                self._tasks.enter(task)
        if current is not None:
            self._tasks.enter(current)
            self._tasks.begin(current)
            self._stepping = self._within = True

    def stop(self, reason: str) -> None:
        """Record nothing from now on."""
        if self._over:
            return
        try:
            self.finish()  # it may end in the middle of a step
            if self.loop is not None and reason == "done":
                reason = "left"  # the loop runs on, and its tasks with it
            self.take_out()
            for called in {each for each in self._kinds.values() if each is not None}:
                if self._notes.knows(called.key):
                    self._notes.leave(called.key)
            self._notes.stop(reason)
        except Exception as error:
            self.failed(error)

    def take_out(self) -> None:
        """Put everything back."""
        self._over = True
        self._process_hooks.remove()
        for hooks in self._watched.values():
            hooks.remove()
        self._watched.clear()
        self.loop = self._hooks = None

    def unseen(self) -> list[str]:
        """Return a sentence for each thing that could not be seen."""
        told = [
            f"{name} runs its transports, timers and polls in C: what a protocol does there, and "
            "when it polled, was not seen; its tasks, and callbacks given to it, were"
            for name in sorted(self._in_c)
        ]
        if self._others:
            were = "1 loop was" if len(self._others) == 1 else f"{len(self._others)} loops were"
            told.append(f"{were} not recorded: another thread ran a loop at that time")
        return told

    # -- What the hooks call ------------------------------------------------------------

    def loop_began(self, loop: Any) -> None:
        """A loop begins to run in this thread: watch it, if this thread is the one."""
        if self._over:
            return  # another has replaced our hooks since, and calls them still
        with self._beginning:
            self._begin_loop(loop, get_ident())

    def _begin_loop(self, loop: Any, thread: int) -> None:
        if self._thread is None or (self._any_thread and self.loop is None):
            self._measured = self._measured and thread == self._thread
            self._thread = thread
        if thread != self._thread or os.getpid() != self._process:
            self._others.add(id(loop))
            return
        if self.loop is not None:
            return
        if not self._measured:
            self._measured = True
            self._notes.watch("callbacks", self._seen_in_c)
        for each in [each for each in self._watched if each.is_closed()]:
            self._watched.pop(each).remove()
        if loop not in self._watched:
            self._watched[loop] = LoopHooks(self, loop)
        self.loop, self._hooks = loop, self._watched[loop]
        if self._hooks.polls and not self._stepping:
            self._notes.work()
        if not self._hooks.in_python:
            self._in_c.add(type(loop).__module__)

    def loop_ended(self) -> None:
        """The loop of this thread runs no more."""
        if self.loop is not None and get_ident() == self._thread:
            self.loop = self._hooks = None
            if not self._stepping:
                self._notes.rest()

    def given(self, handle: Any) -> None:
        """Note a wake if it is a task's step that is to be called; else where a function in C was
        given to the loop, since it has no line of its own.
        """
        callback = handle._callback
        task = task_of(callback)
        if task is not None:
            if get_ident() == self._thread:
                new = task not in self._notes.known
                if not self._tasks.ready(task):
                    return
                self._steps[handle] = task
                if new and self._requests is not None and self._tasks.running is not None:
                    self._requests.made(task)
        elif code_of(callback) is None and not is_of_asyncio(callback):
            frame = sys._getframe(2)
            while frame.f_back is not None and is_between(frame.f_code):
                frame = frame.f_back
            self._places[handle] = (frame.f_code, frame.f_lasti)

    def begin(self, handle: Any) -> bool:
        """Record that the step of a task or a callback begins."""
        if self._stepping and not self._has_ended():
            return False  # a loop inside a step of another one is part of that step
        task = self._steps.pop(handle, None)
        if task is not None:
            self._tasks.begin(task)
            self._stepping = True
        else:
            self._stepping = self._begin_other(handle)
        if self._requests is not None and (task := self._tasks.running) is not None:
            self._context = context_of(handle, task)
            self._requests.look(task, self._context)
        return self._stepping

    def _begin_other(self, handle: Any) -> bool:
        """Begin a callback, or the step of a task that was given while its loop was not watched."""
        callback = handle._callback
        if self._hidden:
            sock = socket_of(handle)
            self._tasks.hidden = None if sock is None else waited_ns(sock, 0)
        if type(callback) is MethodType and callback.__func__ in self._of_transports:
            transport: Any = callback.__self__
            called = self._called_by_protocol(transport.get_protocol())
        elif (task := task_of(callback)) is not None:
            return self.begin_task(task)
        else:
            called = self._called_by(callback, handle)
        if called is None:
            return False
        self._begin_callback(called, handle)
        return True

    def begin_task(self, task: Any) -> bool:
        """Begin a step of `task` of which no wake was recorded; whether it is one to record."""
        known = self._notes.known.get(task)
        if (known is not None and known.waits == "") or self._tasks.ready(task):
            self._tasks.begin(task)
            return True
        return False

    def finish(self) -> None:
        """Record the end of the step that runs, if one does."""
        if self._stepping:
            self.end()

    def _has_ended(self) -> bool:
        """End the step in which the recording began, as the loop does something else now.

        Returns whether it was that: nobody tells when such a step ends.
        """
        if self._within:
            self.end()
        return not self._stepping

    def end(self) -> None:
        """Record that the step of a task or of a callback has ended."""
        if self._over:
            return
        self._stepping = self._within = False
        if self._called is None:
            if self._requests is not None and (task := self._tasks.running) is not None:
                self._requests.end(task, self._context)
                self._context = None
            self._tasks.end()
        else:
            called, _ = self._called
            self._called = self._tasks.caller = None
            self._notes.wait(called.key, "WAIT")
        # Where it cannot be seen what the loop does after a step, that counts as rest.
        if self._hooks is not None and not self._hooks.polls:
            self._notes.rest()

    def poll(self, timeout: float | None) -> bool:
        """Record that the loop begins to poll, unless it is one inside a step."""
        if self._stepping and not self._has_ended():
            return False
        self._notes.poll(timeout)
        return True

    def polled(self, found: int) -> None:
        """Record that it has polled."""
        self._notes.polled(found)

    def failed(self, error: BaseException) -> None:
        """The recorder itself has failed: record nothing from now on, and say so once.

        ^C that came while it recorded is the program's: it is raised again. But what was being
        recorded is not whole, so nothing more is.
        """
        first, self._failed = not self._failed, True
        if first:
            self.take_out()
            with suppress(Exception):
                self._notes.stop(type(error).__name__)
            self._notes.measure_no_more()
        if not isinstance(error, Exception):
            raise error
        if first:
            warn_of_failure(error, "its trace ends here")

    # -- Callbacks ------------------------------------------------------------------------

    def _called_by(self, callback: Any, handle: Any) -> Called | None:
        code = code_of(callback)
        if code is None:
            return called_by(callback, self._places.get(handle))
        if is_asyncio(code):
            protocol = protocol_of(callback)
            if protocol is None:
                return None
            self._of_transports.add(getattr(callback, "__func__", callback))
            return self._called_by_protocol(protocol)
        if id(code) not in self._kinds:
            self._kinds[id(code)] = called_by(callback, None)
        return self._kinds[id(code)]

    def _called_by_protocol(self, protocol: Any) -> Called | None:
        kind = type(protocol)
        if kind not in self._kinds:
            self._kinds[kind] = called_by_protocol(protocol)
        return self._kinds[kind]

    def _begin_callback(self, called: Called, handle: Any) -> None:
        notes = self._notes
        if notes.knows(called.key):
            timer = isinstance(handle, asyncio.TimerHandle)
            notes.wake(called.key, "timer" if timer else "fiber")
        else:
            notes.spawn(called.key, called.title, src=called.src, numbered=False)
            self._kinds[called.key] = called
        self._called = called, handle
        self._tasks.caller = called.key
        notes.resume(called.key)

    def _seen_in_c(self) -> Sighting | None:
        """Return what is seen of a callback in C; the watchdog asks."""
        running = self._called
        if running is None:
            return None
        called, handle = running
        src = place(called.src)
        if src is None:
            return None
        return Sighting(0, src, in_words(handle._callback, handle._args or ()))
