"""How far a search is: a line on the terminal or in the notebook, or whatever a function does.

The rule kept here: nothing is shown unless it was asked for, and a line that was shown is erased.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

Progress = Callable[[int, int], Any]
"""Called with how many were run so far, and how many of them have failed."""

EVERY = 256
"""After so many a function is called again."""

PAUSE = 0.1
"""For so many seconds a line is left as it is."""


class Telling:
    """Tells nothing, until a subclass does."""

    def __call__(self, done: int, failed: int) -> None:
        """Tell how many were run so far, if it is time to."""

    def end(self, done: int, failed: int) -> None:
        """Tell the last numbers."""

    def close(self) -> None:
        """Leave nothing behind."""


def telling(progress: Progress | bool | None, noun: str, total: int | None = None) -> Telling:
    """Return what tells the progress: True: a line on stderr; a function; None or False: nothing.

    noun: what is counted, such as "schedules". total: how many there will be, if that is known.
    A line needs a terminal or a notebook.
    """
    if progress is None or progress is False:
        return Telling()
    if progress is True:
        return _Line(noun, total) if _is_watched(sys.stderr) else Telling()
    if not callable(progress):
        raise TypeError(f"progress= is True or a function of two numbers, got {progress!r}")
    return _Called(progress)


def _is_watched(stream: Any) -> bool:
    """Whether somebody sees a line change: on a terminal, or in a notebook."""
    if stream is None:
        return False
    return stream.isatty() or type(stream).__module__.startswith("ipykernel.")


class _Called(Telling):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told = 0

    def __call__(self, done: int, failed: int) -> None:
        if done // EVERY > self._told // EVERY:
            self.end(done, failed)

    def end(self, done: int, failed: int) -> None:
        if done > self._told:
            self._told = done
            self._progress(done, failed)


class _Line(Telling):
    def __init__(self, noun: str, total: int | None) -> None:
        self._noun = noun
        self._of = "" if total is None else f" of {total:,}"
        self._stream: Any = sys.stderr
        self._began = self._shown = monotonic()
        self._width = 0

    def __call__(self, done: int, failed: int) -> None:
        now = monotonic()
        if now - self._shown < PAUSE:
            return
        self._shown = now
        failing = f", {failed:,} of them failed" if failed else ""
        rate = done / (now - self._began)
        self._write(f"{done:,}{self._of} {self._noun}{failing}, {rate:,.0f} a second")

    def close(self) -> None:
        if self._width:
            self._write("")
            self._write("")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # a terminal that was closed
            self._stream.write("\r" + text.ljust(self._width))
            self._stream.flush()
        self._width = len(text)
