"""Stalls: the looks into a step that does not end, and the line that held the step.

The rule kept here: `Spans.held_at` is the only answer to which line held a step. So a sentence,
a table, a label and a fact never disagree. The line is the one that was seen (`line_seen`). If
there was no look, the answer is the two lines between which the step ran.

This module does not know what is made of a stall.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Sequence
from typing import NamedTuple


class Stall(NamedTuple):
    """A look into a step that does not end; `step`: the index of that step among the spans."""

    time: int
    fiber: int
    src: str | None
    func: str | None
    ran: int
    step: int


class HeldAt(NamedTuple):
    """Where a step spent its time: from the line `first` to the line `last`.

    Both are the same if the step was seen there (`seen`), and None where the trace does not say.
    """

    first: str | None
    last: str | None
    seen: bool

    @property
    def line(self) -> str | None:
        """The line, if it is one; None if it is a stretch or is not known."""
        return self.first if self.first == self.last else None

    @property
    def text(self) -> str | None:
        """How it reads, ``a.py:3`` or ``a.py:3 to a.py:9``; None if it is not known."""
        return self.first if self.first == self.last else f"{self.first} to {self.last}"


def line_seen(looks: Sequence[Stall]) -> str | None:
    """Return the line of the first of `looks` that found a call, else of the last; None if none."""
    found = (look.src for look in looks if called(look.func) is not None)
    return next(found, looks[-1].src if looks else None)


_CALL = re.compile(r"([A-Za-z_][\w.]*)\s*(?:\[[^\]]*\]\s*)*\(")  # also of a table: hooks[0]()
_WITH = re.compile(r"with\s+([A-Za-z_][\w.]*)\s*(?::|,|as\b)")  # a lock, which no call names
_MAY_BLOCK = {"input", "open", "print", "exec", "eval", "next"}
_HARMLESS = (set(dir(builtins)) - _MAY_BLOCK) | set(keyword.kwlist)
BLOCKING = {
    "sleep", "input", "run", "call", "check_call", "check_output", "communicate", "wait", "system",
    "urlopen", "urlretrieve", "request", "getresponse", "create_connection", "connect",
    "getaddrinfo", "gethostbyname", "acquire", "result", "fsync", "flock", "select", "sendall",
    "waitpid",
}  # fmt: skip


def called(func: str | None) -> str | None:
    """Return the dotted name of what a line was calling, by a stall's `func`; None if nothing."""
    names: list[str] = [name for name in _CALL.findall(func or "") if name not in _HARMLESS]
    blocking = [name for name in names if last_part(name) in BLOCKING]
    lock = _WITH.match(func or "")
    if not names and lock is not None:
        return f"{lock[1]}.acquire"
    return next(iter(blocking or names), None)


def last_part(name: str) -> str:
    """Return what a dotted name ends in: ``sleep`` for ``time.sleep``."""
    return name.rpartition(".")[2]
