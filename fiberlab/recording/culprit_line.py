"""The culprit's line: which line of a stack is the user's own, and what it was calling.

The rule kept here: a fiber that is stuck inside a library is stuck at a line of its own. That is
the innermost line of the step that belongs neither to Python, nor to an installed package, nor
to this package. A fiber whose function is itself part of a package has no such line. Then the
outermost line is named, the one in the fiber's own function.

What this module does not know: threads, clocks, and what the answer is for.
"""

from __future__ import annotations

import builtins
import contextlib
import dis
import linecache
import os
import re
import sysconfig
import tokenize
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from types import CodeType, FrameType
from typing import NamedTuple

from ..trace.events import short_name


class Line(NamedTuple):
    """One line of a stack: the code, the offset of the instruction in it, and the line."""

    code: CodeType
    offset: int
    number: int


def stack_of(frame: FrameType) -> list[Line]:
    """Return the lines of the stack that ends at `frame`, the innermost first.

    Does nothing that could release the interpreter's lock. So the stack of another thread does
    not change while it is read.
    """
    lines = []
    innermost: FrameType | None = frame
    while innermost is not None:
        code = innermost.f_code
        # Some instructions belong to no line; Python then gives None.
        lines.append(Line(code, innermost.f_lasti, innermost.f_lineno or code.co_firstlineno))
        innermost = innermost.f_back
    return lines


def own_line(stack: Iterable[Line]) -> Line | None:
    """Return the user's own line of a stack.

    None if the scheduler is at work, between two fibers.
    """
    within: list[tuple[str, Line]] = []
    for line in stack:
        path = _real(line.code.co_filename)
        if path == _SCHEDULER or _is_a_loop(line.code):
            # A fiber is resumed by the scheduler itself, or with an error by fiber.py.
            while within and within[-1][0].startswith(_BETWEEN):
                within.pop()
            return within[-1][1] if within and within[-1][0] not in _MACHINERY else None
        if not in_library(path):
            return line
        within.append((path, line))
    return within[0][1] if within else None


def calls(line: Line) -> bool:
    """Whether a call is under way at `line`, or has just come back."""
    code, at = line.code.co_code, line.offset
    if at >= 2 and code[at] not in _CALLS:
        at -= 2
        while at >= 2 and code[at] == 0:  # an instruction's own cache, behind it
            at -= 2
    return at >= 0 and code[at] in _CALLS


def described(line: Line, entered: Line | None = None) -> tuple[str, str]:
    """Return (file:line, what is called there), the latter as the source has it.

    entered: the line of a library that was reached from it, if one was: where no call is written,
    as for an attribute or an iterator, it is named after the library's function.
    Since Python 3.11 the call is known apart from the rest of its line. Before, it is the whole
    line, without its comment. If there is no source it is what the instructions call, if that
    is known, else the function's name.
    """
    filename = line.code.co_filename
    whole = without_comment(linecache.getline(filename, line.number)).strip()
    call, name, at = _call(line), _name_called(line), line.code.co_code[line.offset]
    if entered is not None and name in _BUILTINS and at not in _AWAITS and not _imports(entered):
        source = f"{getattr(entered.code, 'co_qualname', entered.code.co_name)}()"
    elif name not in _BUILTINS and name.rpartition(".")[2] not in (call or whole):
        source = f"{name}(...)"  # there is no source, or it has changed since it was read
    elif at == _NEXT:
        # The lock is not handed over there: the iterator is in C, and waits.
        looped = _FOR.match(whole)
        source = f"next({looped[1] if looped else '...'})"
    else:
        # What a `with` enters may be no call in the source: a lock that is not free.
        source = whole if not call or ("(" not in call and _WITH.match(whole)) else call
    return f"{short_name(filename)}:{line.number}", source or line.code.co_name


def without_comment(row: str) -> str:
    """Return one row of a source without the comment at its end."""
    with contextlib.suppress(tokenize.TokenError, IndentationError):  # half a statement
        for token in tokenize.generate_tokens(iter([row.lstrip()]).__next__):
            if token.type == tokenize.COMMENT:
                return row.lstrip()[: token.start[1]]
    return row


_WITH = re.compile(r"with\b")
_FOR = re.compile(r"for\b.+?\bin\b\s*(.+?)\s*:")

# -- Which lines are the user's own -------------------------------------------

_LIBRARIES = tuple(
    {
        os.path.realpath(sysconfig.get_path(name)) + os.sep
        for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
)
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep
_SCHEDULER = _PACKAGE + "scheduler.py"
# What stands between a loop and what it runs.
_BETWEEN = (
    _PACKAGE + "fiber.py",
    _PACKAGE + "elsewhere" + os.sep,
    os.path.realpath(os.path.join(os.path.dirname(os.__file__), "asyncio", "events.py")),
)
# The functions of asyncio, of trio and of our recorder that begin a step. uvloop has no such
# function in Python: there it is the recorder's.
_LOOPS = {
    ("_run_once", "base_events.py"),
    ("unrolled_run", "_run.py"),
    ("run", "asyncio_hooks.py"),
}
# What the scheduler calls between two steps; all else that it calls belongs to a fiber.
_MACHINERY = {
    _PACKAGE + os.path.join(*parts)
    for parts in (("recording", "reporter.py"), ("output.py",), ("io", "poller.py"), ("alarms.py",))
}


def in_package(filename: str) -> bool:
    """Whether a code's file belongs to this package, by whatever path it was imported."""
    return _real(filename).startswith(_PACKAGE)


@lru_cache(maxsize=1000)
def is_own(filename: str) -> bool:
    """Whether a code's file is the user's own."""
    return not in_library(_real(filename))


def _is_a_loop(code: CodeType) -> bool:
    """Whether `code` is where another library's loop begins what runs in it."""
    return (code.co_name, os.path.basename(code.co_filename)) in _LOOPS


def in_library(path: str) -> bool:
    """Whether a file, by its real path, belongs to Python, an installed package or this one."""
    if path.startswith(("<frozen", *_LIBRARIES, _PACKAGE)):
        return True
    return _INSTALLED.search(path) is not None


def _real(filename: str) -> str:
    return filename if filename.startswith("<") else os.path.realpath(filename)


# -- What it was calling -------------------------------------------------------

# In Python 3.11 a call that was made often is under way in the instruction before, PRECALL.
_CALLS = {number for name, number in dis.opmap.items() if name.startswith(("CALL", "PRECALL"))}
_NEXT = dis.opmap["FOR_ITER"]
_AWAITS = {dis.opmap.get("SEND"), dis.opmap.get("YIELD_FROM")}
_BUILTINS = {"", *dir(builtins)}


def _imports(line: Line) -> bool:
    return line.code.co_filename.startswith("<frozen importlib")


def _call(line: Line) -> str:
    """Return the source of the call that is under way, on one line; "" if it is not known."""
    positions = getattr(line.code, "co_positions", None)
    if positions is None:
        return ""
    here = next(islice(positions(), line.offset // 2, None), (None,) * 4)
    first, last, start, end = here
    if first != line.number or last is None or start is None or end is None:
        return ""
    filename = line.code.co_filename
    rows = [linecache.getline(filename, number).encode() for number in range(first, last + 1)]
    rows[-1] = rows[-1][:end]  # columns count bytes
    rows[0] = rows[0][start:]
    return " ".join(b" ".join(rows).decode(errors="replace").split())


def _name_called(line: Line) -> str:
    """Return the dotted name of what the instructions call there; "" if it is not known."""
    if not hasattr(line.code, "co_positions") or not calls(line):
        return ""
    begins = {at: place[::2] for at, place in enumerate(line.code.co_positions())}  # line, column
    here = begins[line.offset // 2]
    # What is called stands where the call begins.
    return ".".join(
        each.argval
        for each in dis.get_instructions(line.code)
        if each.offset <= line.offset and begins[each.offset // 2] == here
        if each.opname.startswith("LOAD") and each.opname != "LOAD_CONST"
        if isinstance(each.argval, str)
    )
