"""Program: run a Python program as ``python`` does, in this process, unchanged.

The rule kept here: the program finds what it would find without us: its arguments, its path, its
name ``__main__``. How it ended is told as Python tells it: its exit code, and its traceback
without a line of ours.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourcelessFileLoader
from types import FrameType, ModuleType, TracebackType
from typing import Any, NoReturn
from zipfile import is_zipfile

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
        with _signals_leave(), _calling(on_sigusr1), _put_back():
            before = threading.enumerate()
            code, error = _end_of(lambda: _run(name, arguments, module), over)
            if not isinstance(error, (KeyboardInterrupt, _Terminated)):
                later, error = _end_of(lambda: _join_threads(before), over)
                code = later or code
            if (isinstance(error, _Terminated) or over()) and _threads_left(before):
                _leave_them(code)
    finally:
        over()
    return code


def _end_of(work: Callable[[], None], over: Interrupt) -> tuple[int, BaseException | None]:
    """Do `work`; return the exit code that it ends with, and what it raised."""
    try:
        work()
    except SystemExit as leaving:
        return _code_of(leaving), leaving
    except KeyboardInterrupt as error:
        return (0 if over() else _uncaught(error, 130)), error
    except UserError:
        raise
    except BaseException as error:
        return _uncaught(error, 1), error
    return 0, None


def _run(name: str, arguments: list[str], module: bool) -> None:
    """Run it as the module ``__main__``, which stays that: threads go on when its code has ended.

    (runpy would take it away by then. It would also tell a script a relative name, which is wrong
    once the script changes directory.)
    """
    sys.argv = [name, *arguments]
    if module:
        sys.path.insert(0, os.getcwd())
        spec = _find_module(name)
        sys.argv[0] = spec.origin or name
        return _run_module(spec)
    if not os.path.exists(name):
        raise UserError(f"{name}: there is no such file; a module is run with -m")
    place = os.path.join(os.getcwd(), name)
    if os.path.isdir(place) or (os.path.isfile(place) and is_zipfile(place)):
        sys.path.insert(0, place)
        found = PathFinder.find_spec("__main__", [place])
        if found is None:
            raise UserError(f"{name}: is a folder without __main__.py: it cannot be run")
        return _run_module(found)
    sys.path.insert(0, os.path.dirname(os.path.realpath(place)))
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = place
    exec(_code_in(place), vars(main))


def _code_in(place: str) -> Any:
    if place.endswith(".pyc"):
        return SourcelessFileLoader("__main__", place).get_code("__main__")
    with io.open_code(place) as file:
        return compile(file.read(), place, "exec", dont_inherit=True)


def _run_module(spec: ModuleSpec) -> None:
    code = getattr(spec.loader, "get_code", lambda _name: None)(spec.name)
    if code is None:
        raise UserError(f"{spec.name!r} has no code of Python's: it cannot be run")
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__spec__, main.__loader__, main.__package__ = spec, spec.loader, spec.parent
    main.__file__ = spec.origin
    exec(code, vars(main))


def _join_threads(before: list[threading.Thread]) -> None:
    """Wait for the threads that the program has left, as Python does: a loop may run in them."""
    while left := _threads_left(before):
        left[0].join()


def _threads_left(before: list[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that Python would wait for, but for those that were there `before`."""
    # Python tells these to end, and only then waits for them.
    pool = getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", ())
    return [
        thread
        for thread in threading.enumerate()
        if not (thread.daemon or thread in before or thread in pool)
    ]


def _leave_them(code: int) -> NoReturn:
    """End this process, threads and all, as the signal or the end of the time would have it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # what the program has put there
            stream.flush()
    os._exit(code)


@contextlib.contextmanager
def _put_back() -> Iterator[None]:
    """Put back at the end what the program finds changed: its arguments, path and ``__main__``."""
    main, argv, path, places = sys.modules["__main__"], sys.argv, sys.path, sys.path[:]
    try:
        yield
    finally:
        sys.modules["__main__"], sys.argv, sys.path = main, argv, path
        sys.path[:] = places


def _find_module(name: str) -> ModuleSpec:
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise UserError(f"there is no module named {name!r} here or installed")
    if found.submodule_search_locations is None or name.endswith(".__main__"):
        return found
    try:
        return _find_module(f"{name}.__main__")
    except UserError:
        raise UserError(f"{name!r} is a package without __main__.py: it cannot be run") from None


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


class _Terminated(SystemExit):
    """Raised by a signal that ends the program."""


@contextlib.contextmanager
def _signals_leave() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as an exit, so that what was recorded is told."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise _Terminated(128 + number)

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
    _write(f"{leaving.code}\n")
    return 1


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)


def _uncaught(error: BaseException, code: int) -> int:
    """Tell of an error as Python does, and return its exit code, or the one the hook asks for."""
    error = _without_our_lines(error)
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as leaving:
        return _code_of(leaving)
    except BaseException as wrong:
        wrong.__context__ = None  # it is told below
        for said, each in (("Error in sys.excepthook", wrong), ("\nOriginal exception was", error)):
            _write(f"{said}:\n")
            sys.__excepthook__(type(each), _without_our_lines(each), each.__traceback__)
    return code


def _without_our_lines(error: BaseException) -> BaseException:
    trace = error.__traceback__
    while trace is not None and _is_ours(trace):
        trace = trace.tb_next
    return error.with_traceback(trace)


def _is_ours(trace: TracebackType) -> bool:
    filename = trace.tb_frame.f_code.co_filename
    return in_package(filename)
