"""Tracebacks: in a notebook, an error of the lab's own is shown without the library's frames.

The rule kept here: a learner sees lines of a learner's own, and the sentence. Only what is raised
on purpose is shortened, a `raise` in this package; and ^C, wherever it strikes. A fault of the
package keeps all its frames, and so does every other error. This works in IPython only, by its
own means (``set_custom_exc``), and only if no other code has used them.

One error is not the lab's, and yet a slip at a lesson. A NameError is shown with what to write
instead, as for ``predict("l07-q1", b)``; or with the cell to run first, if one of its cells
defines the name.
"""

from __future__ import annotations

import ast
import dis
import linecache
import os
from types import TracebackType
from typing import Any

from ..recording.culprit_line import in_package
from .out_of_order import run_first

_RAISE = dis.opmap["RAISE_VARARGS"]
_WITH = ("contextlib.py",)  # between a `with serving(...)` and what it does
_IN_QUOTES = {"predict": 2, "reveal": 1, "check": 1, "examine": 1}
"""How many of its first arguments each of these takes in quotes."""


def shorten_in(shell: Any) -> None:
    """Let IPython's `shell` show the lab's own errors in short; None: there is no IPython."""
    if shell is not None and not shell.custom_exceptions:
        shell.set_custom_exc((Exception, KeyboardInterrupt), _show)


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, trace: Any, tb_offset: Any = None
) -> None:
    """Show an error as IPython does, in short if it is one of the lab's own."""
    error = in_short(error)
    raised = (type(error), error, error.__traceback__)
    shell.showtraceback(raised, tb_offset=tb_offset, running_compiled_code=True)


def in_short(error: BaseException) -> BaseException:
    """Return `error`, or what to show in its place, with the frames of a learner's own."""
    frames = _frames(error.__traceback__)
    if isinstance(error, NameError):
        if (slip := _slip(error, frames)) is not None:
            return NameError(slip).with_traceback(error.__traceback__)
        if (
            frames
            and not _is_library(frames[-1])
            and (cell := run_first(error.name or "")) is not None
        ):
            return NameError(f"{error}; {cell}").with_traceback(error.__traceback__)
    if frames and (_is_own(frames[-1]) or isinstance(error, KeyboardInterrupt)):
        _shorten(error)
    return error


def _shorten(error: BaseException) -> None:
    """Leave out the frames of this package, also of what the error was raised from."""
    frames = [each for each in _frames(error.__traceback__) if not _is_library(each)]
    trace = None
    for frame in reversed(frames):
        trace = TracebackType(trace, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    error.__traceback__ = trace
    cause = error.__cause__
    if cause is not None:
        _shorten(cause)
    if cause is None or cause.__traceback__ is None:
        error.__cause__ = None
        error.__suppress_context__ = True  # the library's own business


def _frames(trace: TracebackType | None) -> list[TracebackType]:
    frames = []
    while trace is not None:
        frames.append(trace)
        trace = trace.tb_next
    return frames


def _is_library(frame: TracebackType) -> bool:
    path = frame.tb_frame.f_code.co_filename
    return in_package(path) or os.path.basename(path) in _WITH


def _is_own(frame: TracebackType) -> bool:
    """Whether it is this package that raises there, on purpose."""
    code = frame.tb_frame.f_code
    return in_package(code.co_filename) and code.co_code[frame.tb_lasti] == _RAISE


# -- A letter without quotes -----------------------------------------------------


def _slip(error: NameError, frames: list[TracebackType]) -> str | None:
    """Return what to say of a name that should have stood in quotes; None if it is no such slip."""
    if not frames:
        return None
    last = frames[-1]
    source = "".join(linecache.getlines(last.tb_frame.f_code.co_filename))
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic
        return None
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            continue
        if not call.lineno <= last.tb_lineno <= (call.end_lineno or 0):
            continue
        for argument in call.args[: _IN_QUOTES.get(call.func.id, 0)]:
            names = [node.id for node in ast.walk(argument) if isinstance(node, ast.Name)]
            if error.name in names:
                text = ast.get_source_segment(source, argument) or error.name
                return f'{call.func.id}() takes text: put {text} in quotes, as in "{text}"'
    return None
