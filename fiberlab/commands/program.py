"""Program: run a Python program as ``python`` does, in this process, unchanged.

The rule kept here: the program finds what it would find without us: its arguments, its path, its
name ``__main__``. How it ended is told as Python tells it: its exit code, and its traceback
without a line of ours.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

from ..console import UserError
from ..recording.culprit_line import in_package

Interrupt = Callable[[], bool]
"""Whether the program was interrupted because its time was over."""


def run_program(
    command: Sequence[str],
    *,
    module: bool,
    seconds: float | None = None,
    on_sigusr1: Callable[[], Any] | None = None,
) -> int:
    """Run a program, and return its exit code.

    command: the path of a script, or of a folder with a ``__main__.py``, and its arguments; if
    `module`, the name of a module, as after ``python -m``. seconds: after so long it is
    interrupted as by ^C, and that it was is no error; None: it runs until it ends.
    on_sigusr1: called on that signal, where there is one, unless the program has its own handler.
    Raises UserError if there is no such program.
    """
    name, *arguments = command
    over = _interrupting(seconds)
    try:
        with _signals_leave(), _calling(on_sigusr1):
            _run(name, arguments, module)
    except SystemExit as leaving:
        return _code_of(leaving)
    except KeyboardInterrupt as error:
        if over():
            return 0
        return _uncaught(error, 130)
    except UserError:
        raise
    except BaseException as error:
        return _uncaught(error, 1)
    finally:
        over()
    return 0


def _run(name: str, arguments: list[str], module: bool) -> None:
    before = sys.argv[:], sys.path[:]
    try:
        if module:
            sys.path.insert(0, os.getcwd())
            sys.argv = [name, *arguments]
            _check_module(name)
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            if not os.path.exists(name):
                raise UserError(f"{name}: there is no such file; a module is run with -m")
            folder = Path(name).resolve()
            sys.path.insert(0, str(folder if folder.is_dir() else folder.parent))
            sys.argv = [name, *arguments]
            runpy.run_path(name, run_name="__main__")
    finally:
        sys.argv, sys.path[:] = before


def _check_module(name: str) -> None:
    import importlib.util

    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise UserError(f"there is no module named {name!r} here or installed")
    if found.submodule_search_locations is not None and not name.endswith(".__main__"):
        try:
            _check_module(f"{name}.__main__")
        except UserError:
            raise UserError(
                f"{name!r} is a package without __main__.py: it cannot be run"
            ) from None


def _interrupting(seconds: float | None) -> Interrupt:
    """Interrupt this process after `seconds`; what is returned ends the waiting, and says if so."""
    fired = threading.Event()

    def interrupt() -> None:
        fired.set()
        if os.name == "posix":
            os.kill(os.getpid(), signal.SIGINT)  # a real signal wakes a loop that polls
        else:
            signal.raise_signal(signal.SIGINT)

    timer = threading.Timer(seconds or 0, interrupt)
    timer.daemon = True
    if seconds is not None:
        timer.start()

    def over() -> bool:
        timer.cancel()
        return fired.is_set()

    return over


@contextlib.contextmanager
def _signals_leave() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as an exit, so that what was recorded is told."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    usual = [each for each in numbers if signal.getsignal(each) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        usual = []
    for each in usual:
        signal.signal(each, leave)
    try:
        yield
    finally:
        for each in usual:
            signal.signal(each, signal.SIG_DFL)


@contextlib.contextmanager
def before_exit(tell: Callable[[], Any]) -> Iterator[None]:
    """Call `tell` if ``os._exit``, which unwinds nothing, ends this process inside the block."""
    exit_now, process = os._exit, os.getpid()

    def leave(status: int) -> NoReturn:
        os._exit = exit_now
        try:
            if os.getpid() == process:  # not a child that was forked
                tell()
        finally:
            exit_now(status)

    os._exit = leave
    try:
        yield
    finally:
        os._exit = exit_now


@contextlib.contextmanager
def _calling(on_sigusr1: Callable[[], Any] | None) -> Iterator[None]:
    """Let SIGUSR1 call a function, where there is such a signal."""
    number = getattr(signal, "SIGUSR1", None)
    main = threading.current_thread() is threading.main_thread()
    if on_sigusr1 is None or number is None or not main:
        yield
        return
    before = signal.signal(number, lambda *_: on_sigusr1())
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL if before is None else before)


def _code_of(leaving: SystemExit) -> int:
    """Return the exit code that Python makes of ``sys.exit(...)``."""
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code
    sys.stderr.write(f"{leaving.code}\n")
    return 1


def _uncaught(error: BaseException, code: int) -> int:
    """Tell of an error as Python does, without our own lines at its beginning."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
    return code


def _is_ours(trace: TracebackType) -> bool:
    filename = trace.tb_frame.f_code.co_filename
    return in_package(filename) or "runpy" in filename
