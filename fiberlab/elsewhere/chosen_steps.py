"""The queue of asyncio's loop that asks, at each step, what runs next.

The rule kept here: a pass of the loop is one step, and it may be

- the step of any task that is ready;
- any timer that is due, since asyncio promises no order of equal deadlines;
- what any socket has that is ready;
- the first callback of ``call_soon``, since asyncio promises to keep their order.

A few of asyncio's own callbacks run as soon as they can instead, without a question: those of
which no other step can see whether they have run (see `_is_hidden`).

This module does not know how time passes and what a socket is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from ..exploration.choices import Choices
from ..exploration.faults import Fault, happen_if_chosen, possible_resets
from .asyncio_tasks import TaskNotes, name_of, task_of

MOST_STEPS = 10_000
"""After so many steps a run counts as one that has no end."""

FAULTS = ("cancel", "delay", "reset")
"""Of the faults in exploration.tape those that can happen to an asyncio program."""


class Loop(Protocol):
    """What the queue needs of its loop."""

    network: Any

    def next_timer(self) -> int | None:
        """Return when the next timer is due, in ns; None: there is none."""
        ...


class Source:
    """What steps belong to: a task, a socket, a timer, or all callbacks of call_soon."""

    __slots__ = ("id", "name", "words")

    def __init__(self, number: int, name: str, words: str) -> None:
        self.id = number
        self.name = name
        self.words = words  # for a sentence


class _Step(NamedTuple):
    """One thing that is ready.

    task: whose step it is; None: that of none that the program has made. hidden: whether it is run
    without a question.
    """

    source: Source
    handle: asyncio.Handle
    task: asyncio.Task[Any] | None
    hidden: bool


class ChosenSteps:
    """In the place of a loop's queue of ready handles: it asks which of them is next.

    tasks: the source of each task of the program, in the order in which they were made.
    steps: how many were made, without the hidden ones. sources: how many there were. polled:
    whether what comes now was found by the selector, or is a timer. over: no more questions.
    """

    def __init__(
        self, choices: Choices, loop: Loop, faults: Sequence[str], notes: TaskNotes | None
    ) -> None:
        self.tasks: dict[asyncio.Task[Any], Source] = {}
        self.steps = self.sources = 0
        self.polled = self.over = False
        self._most = MOST_STEPS
        self._choices = choices
        self._loop = loop
        self._faults = faults
        self._notes = notes
        self._begun: set[Source] = set()
        self._ready: list[_Step] = []
        self._sockets: dict[asyncio.Handle, Source] = {}
        self._callbacks = self._new("a callback")

    # -- As asyncio uses it ---------------------------------------------------

    def append(self, handle: asyncio.Handle) -> None:
        """Take in what is ready."""
        callback: Any = handle._callback  # type: ignore[attr-defined]
        task = task_of(callback)
        hidden = _is_hidden(callback if task is None else task.get_coro(), handle)
        if hidden or (self.over and task not in self.tasks):
            task = None  # asyncio's own, or what ends the run
        source = self._source_of(handle, callback, task)
        self._ready.append(_Step(source, handle, task, hidden))
        if self._notes is not None and task is not None:
            self._notes.ready(task)

    def popleft(self) -> asyncio.Handle:
        """Take out what was chosen."""
        ready = self._ready
        live = [step for step in ready if not step.handle.cancelled()]
        if len(live) < len(ready):
            if not live:
                return ready.pop().handle  # asyncio wants one, and passes over it
            ready[:] = live
        step = next((step for step in self._heads() if step.hidden), None) or self._choose()
        ready.remove(step)
        if self._notes is not None and step.task is not None:
            self._notes.begin(step.task)
        return step.handle

    def __len__(self) -> int:
        # A pass is one step, so that what becomes ready may be the next to run.
        self.polled = False
        return 1 if self._ready else 0

    def __bool__(self) -> bool:
        return bool(self._ready)

    def clear(self) -> None:
        """Forget it all."""
        self._ready.clear()

    # -- For the loop ---------------------------------------------------------

    def holds(self, handle: asyncio.Handle) -> bool:
        """Whether `handle` is ready already."""
        return any(handle is step.handle for step in self._ready)

    def left(self) -> list[Source]:
        """Return the tasks that have not ended."""
        return [source for task, source in self.tasks.items() if not task.done()]

    def end(self) -> None:
        """Ask no more questions: what is left is run in order, to its end."""
        self.over = True
        self._most = self.steps + MOST_STEPS

    # -- Whose step it is -----------------------------------------------------

    def _new(self, name: str, words: str | None = None) -> Source:
        self.sources += 1
        return Source(self.sources, name, words or name)

    def _source_of(
        self, handle: asyncio.Handle, callback: Any, task: asyncio.Task[Any] | None
    ) -> Source:
        if task is not None:
            if task not in self.tasks:
                name = f"{name_of(task)}-{len(self.tasks) + 1}"
                self.tasks[task] = self._new(name, repr(name))
            return self.tasks[task]
        if not self.polled:
            return self._callbacks
        if isinstance(handle, asyncio.TimerHandle):
            return self._new(f"the timer of {_qualname(callback)}")
        if handle not in self._sockets:
            name = _qualname(callback).rpartition(".")[2]
            self._sockets[handle] = self._new(_ARRIVALS.get(name, name))
        return self._sockets[handle]

    # -- The questions --------------------------------------------------------

    def _heads(self) -> list[_Step]:
        """Return what may be next, in the order of coming: of the callbacks, the first only."""
        heads, seen = [], False
        for step in self._ready:
            if step.source is self._callbacks:
                if seen:
                    continue
                seen = True
            heads.append(step)
        return heads

    def _choose(self) -> _Step:
        if self.steps >= self._most:
            raise RuntimeError(f"the program has not ended after {MOST_STEPS:,} steps")
        self.steps += 1
        if self.over:
            return self._ready[0]
        if self._faults:
            self._maybe_a_fault()
        heads, choices = self._heads(), self._choices
        sources = [step.source for step in heads]
        place = 0
        if len(heads) == 1:
            choices.forced(sources)
        else:
            place = choices.choose(len(heads), sources)
            if place and choices.telling:
                choices.switches.append(
                    f"at step {self.steps} {sources[place].words} comes before {sources[0].words}"
                )
        if self._faults:
            self._begun.add(sources[place])
        return heads[place]

    # -- Faults ---------------------------------------------------------------

    def _maybe_a_fault(self) -> None:
        found = [fault for kind in self._faults for fault in _FAULTS[kind](self)]
        if happen_if_chosen(found, self._choices, self.steps):
            self._faults = ()

    def _cancels(self) -> Iterator[Fault]:
        _main, *others = self.tasks.items()
        for task, source in others:
            if source in self._begun and not task.done():
                yield f"{source.words} is cancelled", partial(_cancel, task)

    def _delays(self) -> Iterator[Fault]:
        network = self._loop.network
        moments = [self._loop.next_timer(), network.next_delivery()]
        later = [each for each in moments if each is not None and each > network.clock.now_ns()]
        if later:
            yield "the program is held up", lambda: network.clock.jump(min(later))

    def _resets(self) -> Iterator[Fault]:
        return possible_resets(self._loop.network)


_FAULTS: dict[str, Callable[[ChosenSteps], Iterator[Fault]]] = {
    "cancel": ChosenSteps._cancels,
    "delay": ChosenSteps._delays,
    "reset": ChosenSteps._resets,
}


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


# What asyncio calls when a socket is ready, and what that is in words.
_ARRIVALS = {
    "_accept_connection": "a client's arrival",
    "_read_ready": "the arrival of data",
    "_write_ready": "room to send",
}


def _is_hidden(callback: Any, handle: asyncio.Handle) -> bool:
    """Whether no other step can see when this runs; `callback` may be a task's coroutine.

    - What ends a sleep, a wait or the making of a transport belongs to the one task that waits
      there. To cancel that task raises CancelledError at the same await before and after.
    - A connection that was accepted is seen by nothing until its first callback is called. While
      a new transport does not read yet, its data only seems to be later.
    - What counts the tasks of a gather or a TaskGroup is seen by the task that waits for them
      all, unless one of them has failed. What looks after a stream's handler acts only if it fails.
    """
    name = _qualname(callback)
    if name in UNLESS_FAILED:
        future: Any = handle._args[0]
        # Not future.exception(): asyncio would think that the program has seen it.
        return not future.cancelled() and future._exception is None
    return name in HIDDEN


HIDDEN = {  # what of asyncio runs without a question, always ...
    "_set_result_unless_cancelled",
    "_release_waiter",
    "_wait.<locals>._on_completion",
    "_run_until_complete_cb",
    "_SelectorTransport._add_reader",
    "BaseSelectorEventLoop._accept_connection2",
    "StreamReaderProtocol.connection_made",
    "_discard_awaited_by",  # this and the next are for asyncio's tools
    "shield.<locals>._clear_awaited_by_callback",
}
UNLESS_FAILED = {  # ... and if the task that it is about has not failed
    "gather.<locals>._done_callback",
    "TaskGroup._on_task_done",
    "StreamReaderProtocol.connection_made.<locals>.callback",
}


def _qualname(callback: Any) -> str:
    """Return the name of a function that is to be called, with those of what it is in."""
    inner = getattr(callback, "func", callback)
    return getattr(inner, "__qualname__", type(inner).__name__)
