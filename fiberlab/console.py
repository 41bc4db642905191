"""The console: how each command line of the package writes, and how it fails.

The rule kept here: what went wrong is one line on stderr, with what and where, and exit code 2,
whatever stdout and stderr are: closed, full, or of a codec that knows few characters. ^C is exit
code 130. A reader that has left, as `head` does, is no mistake: exit code 1, in silence.

This module knows no command.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from .errors import AttachError, MissingExtra, TraceError
from .trace.events import printable
from .trace.file import check_writable, descriptor_of

_OF_A_FILE = {errno.ENOSPC, errno.EBADF, errno.EIO, errno.EFBIG, errno.EINVAL}
_OF_A_PORT = {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES}


class UserError(Exception):
    """What the user can mend; its message is the one line that is shown."""


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line; the usage is a screen away."""

    def error(self, message: str) -> NoReturn:
        """Say it, and end the program with code 2."""
        _complain(self.prog, f"{message}; see {self.prog} --help")
        raise SystemExit(2)

    def _print_message(self, message: str, file: Any = None) -> None:
        (file or sys.stdout).write(message)  # argparse would keep a full disk for itself


def run(program: str, work: Callable[[], None]) -> int:
    """Do `work`, which may print; return the exit code, after one line that says what went wrong.

    program: what the line begins with.
    """
    stdout = sys.stdout
    if stdout is None:
        return _complain(program, "stdout is closed; there is nothing to write to")
    with _any_character():
        try:
            try:
                work()
            finally:
                if not stdout.closed:  # by a program that was run
                    stdout.flush()
        except (UserError, TraceError, AttachError, MissingExtra) as error:
            return _complain(program, str(error))
        except BrokenPipeError as error:
            if error.filename is None or descriptor_of(error.filename) == 1:
                _give_up(sys.stdout)
                return 1
            return _complain(program, f"{error.filename}: {error.strerror}")
        except OSError as error:
            where = error.filename
            if where is None and error.errno in _OF_A_FILE:  # what is written elsewhere has a name
                where = "stdout"
                _give_up(sys.stdout)
            said = error.strerror or str(error)
            return _complain(program, said if where is None else f"{where}: {said}")
        except MemoryError:
            return _complain(program, "there is not enough memory for this")
        except KeyboardInterrupt:
            return 130
    return 0


def _complain(program: str, sentence: str) -> int:
    line = f"{program}: {printable(' '.join(sentence.split()))}\n"
    if sys.stderr is not None:  # print() would take stdout instead
        try:
            sys.stderr.write(line)
            sys.stderr.flush()
        except OSError:
            _give_up(sys.stderr)
    return 2


def _give_up(stream: Any) -> None:
    """Let the flush at exit go nowhere: it would fail again, and be reported again."""
    with contextlib.suppress(OSError, ValueError):  # a stream in memory has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextlib.contextmanager
def _any_character() -> Iterator[None]:
    """Let stdout and stderr write out what their codec does not know: µs as \\xb5s."""
    wrappers = [each for each in (sys.stdout, sys.stderr) if isinstance(each, io.TextIOWrapper)]
    before = [each.errors for each in wrappers]
    for each in wrappers:
        each.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for each, errors in zip(wrappers, before, strict=True):
            with contextlib.suppress(OSError, ValueError):  # it writes what is left, if it can
                each.reconfigure(errors=errors)


# -- What arguments mean ---------------------------------------------------------------


def port(text: str) -> int:
    """Read the number of a port."""
    return whole(text, 0, 65535)


def whole(text: str, least: int, most: int) -> int:
    """Read a whole number that is neither less than `least` nor more than `most`."""
    if text.isdecimal() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"a whole number from {least} to {most} is needed, got {text!r}"
    )


def seconds(text: str) -> float:
    """Read a length of time."""
    return _above_zero(text, "seconds > 0 are needed")


def above_zero(text: str) -> float:
    """Read a number that is more than 0."""
    return _above_zero(text, "a number > 0 is needed")


def _above_zero(text: str, needed: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{needed}, got {text!r}")
    return number


@contextlib.contextmanager
def listening_at(number: int) -> Iterator[None]:
    """Tell of a port that cannot be had with its number."""
    try:
        yield
    except OSError as error:
        if error.errno not in _OF_A_PORT:
            raise
        raise UserError(f"port {number}: {os.strerror(error.errno)}") from None


# -- Files -----------------------------------------------------------------------------


def writable(path: Path, *others: Path) -> Path:
    """Return `path` if it can be written; raise UserError now rather than after the work is done.

    others: files that must not be overwritten, since they are read, or written too.
    """
    for other in others:
        if _is_same(path, other):
            raise UserError(f"{path}: is the same file as {other}, which would be overwritten")
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder")
    try:
        check_writable(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written here ({error.strerror})") from None
    return path


def _is_same(path: Path, other: Path) -> bool:
    """Whether two names are one file, through whatever links."""
    if os.path.exists(path) and os.path.exists(other):
        return os.path.isfile(path) and os.path.samefile(path, other)
    return os.path.realpath(path) == os.path.realpath(other)
