"""Elsewhere: other schedulers, recorded as fiberlab's events, so that the same pictures show them.

notes.py              Notes: write a trace by hand, from any scheduler
suspended.py          what something suspended waits for, read off its frames
asyncio_.py           record what an asyncio program does
asyncio_hooks.py      where its loops are watched
asyncio_tasks.py      what a task of asyncio does, told in our events
asyncio_callbacks.py  what a callback of asyncio is, and which row shows it
asyncio_stalls.py     record only its steps that take too long, for a StallRecorder;
                      asyncio_queue.py looks at the clock, asyncio_windows.py records each stall
asyncio_requests.py   which request its tasks are at work for, by a context variable
asyncio_schedules.py  run an asyncio program in every schedule
chosen_loop.py        for that: asyncio's loop in simulated time, ...
chosen_steps.py       ... and its queue, which asks what runs next
trio_.py              record a trio program, through its instruments
gevent_.py            the same for gevent and for bare greenlets, through their trace function
threads.py            sample the threads of this process, and record each as a fiber
attach.py             put the recorder into a process that runs already, and take it out again;
                      injected.py is the script that lets it in, attached.py records there

For asyncio the names that one needs are here: ``elsewhere.run``, ``watching``, and for notebooks
``record`` and ``watch``. They are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asyncio_ import record, run, watch, watching

__all__ = ["record", "run", "watch", "watching"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fiberlab.elsewhere' has no attribute {name!r}")
    from . import asyncio_

    return getattr(asyncio_, name)
