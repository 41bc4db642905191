"""Every schedule of an asyncio program, which runs unmodified.

    async def main():
        ...

    result = explore(main)               # main is called afresh for each schedule
    print(result)                        # holds in all 1,680 schedules

A schedule begins and ends as ``asyncio.run(main())`` does. It fails if an exception leaves main,
if nothing can ever wake what is left (Deadlock), or if it has no end. Once main has ended, what it
has left is cancelled without further questions.

How the search goes is in exploration.search; what is chosen, in chosen_steps.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..errors import Deadlock
from ..exploration.choices import Choices
from ..exploration.progress import Progress
from ..exploration.result import Result
from ..exploration.search import raise_failure, retold, search
from ..exploration.world import Played
from ..simulation import Trouble
from ..trace.trace import Trace
from .chosen_loop import ChosenLoop
from .chosen_steps import FAULTS

Main = Callable[[], Coroutine[Any, Any, Any]]


def explore(
    main: Main,
    *,
    seed: int | None = None,
    at_most: int | None = None,
    faults: Sequence[str] = (),
    progress: Progress | bool | None = None,
    executor: Executor | None = None,
    trouble: Trouble | None = None,
) -> Result:
    """Run ``async def main()`` in every schedule, those with the fewest switches first.

    The options are those of fiberlab.explore; of its faults, "cancel" is for every task but
    main's, "delay" holds the program up until the next timer or delivery, "reset" breaks a
    connection. trouble: what goes wrong with connections and the clock, from a seed, in all
    schedules alike. Raises RuntimeError if the program needs a thread, a process or a real socket.
    """
    play = partial(_play, main, trouble=trouble)
    return search(play, seed, at_most, _checked(faults), progress, executor)


def replay(main: Main, tape: str, *, trouble: Trouble | None = None) -> Trace:
    """Run one schedule of ``async def main()`` and return its trace, the same each time.

    trouble: as it was for explore. Raises ValueError for a tape that is none, or does not fit the
    program.
    """
    return retold(partial(_play, main, trouble=trouble), tape)


def assert_holds(main: Main, **options: Any) -> None:
    """Raise AssertionError if a schedule of ``async def main()`` fails; see fiberlab.assert_holds.

    options: those of `explore`.
    """
    raise_failure(explore(main, **options), "main")


def _checked(faults: Sequence[str]) -> Sequence[str]:
    for name in (faults,) if isinstance(faults, str) else faults:
        if name not in FAULTS:
            raise ValueError(f"a fault of asyncio is one of {', '.join(FAULTS)}; got {name!r}")
    return faults


def _play(
    main: Main,
    choices: Choices,
    faults: Sequence[str] = (),
    trace: Trace | None = None,
    *,
    trouble: Trouble | None = None,
) -> Played:
    """Run one schedule."""
    with _no_loop_running():
        loop = ChosenLoop(choices, faults, trace, trouble)
        try:
            error = _run(loop, _coroutine_of(main))
        finally:
            loop.close()
    if loop.refused is not None:
        raise RuntimeError(loop.refused)
    return Played(error, loop.queue.steps, loop.queue.sources)


def _coroutine_of(main: Main) -> Coroutine[Any, Any, Any]:
    if not callable(main):
        if inspect.iscoroutine(main):
            main.close()
        raise TypeError(
            f"explore() needs the function of an async def, got {main!r}: it is called once for "
            "each schedule, so write explore(main), not explore(main())"
        )
    coroutine = main()
    if not inspect.iscoroutine(coroutine):
        raise TypeError(f"explore() needs the function of an async def; {main!r} is none")
    return coroutine


def _run(loop: ChosenLoop, coroutine: Coroutine[Any, Any, Any]) -> BaseException | None:
    """Do what asyncio.run does; return what it would raise, or a Deadlock where it would hang."""
    failed = None
    try:
        loop.run_until_complete(coroutine)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        failed = error
    finally:
        loop.queue.end()
        coroutine.close()
    try:
        loop.run_until_complete(_end(loop))
        loop.run_until_complete(loop.shutdown_asyncgens())
    except (Deadlock, RuntimeError) as error:
        failed = failed or error
    if loop.tasks is not None and loop.notes is not None:
        loop.tasks.end()
        loop.notes.stop(_reason(failed))
    return failed


def _reason(failed: BaseException | None) -> str:
    if isinstance(failed, Deadlock):
        return "deadlock"
    return "done" if failed is None else type(failed).__name__


async def _end(loop: ChosenLoop) -> None:
    """Cancel the tasks that are left, wait until they have ended, and abort connections."""
    left = sorted(asyncio.all_tasks() - {asyncio.current_task()}, key=hash)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for transport in loop.transports():
        transport.abort()
    await asyncio.sleep(0)


@contextmanager
def _no_loop_running() -> Iterator[None]:
    """Put a loop that runs in this thread aside, as one does in a notebook's cell."""
    outer = asyncio._get_running_loop()
    if outer is None:
        yield
        return
    # From Python 3.12 on the task that runs must be put aside too; before, each loop has its own.
    swap = getattr(asyncio.tasks, "_swap_current_task", None)
    task = None if swap is None else swap(outer, None)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)
        if swap is not None:
            swap(outer, task)
