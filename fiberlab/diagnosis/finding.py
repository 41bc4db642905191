"""Findings: what a rule of the diagnosis yields, and the words that sentences share.

The rule kept here: a finding is a sentence together with the numbers and spans it was made of.
Names in it come from programs and their clients, and are made harmless here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from ..spans.spans import Span
from ..trace.events import printable
from .evidence import Victim


@dataclass(frozen=True)
class Finding:
    """One finding; its `str` is the sentence.

    kind: what sort of finding it is. fiber, name, src: the fiber and the line it is about, if
    there is one. cost: nanoseconds it took from others. spans: where it can be seen. numbers:
    what the sentence says, in nanoseconds and counts. certainty: certain, likely or unclear.
    severity: error, warning, or note, for what follows from another finding.
    blames: whether the program is at fault, and not the machine.
    """

    kind: str
    text: str
    fiber: int = 0
    name: str = ""
    src: str | None = None
    cost: int = 0
    victims: tuple[Victim, ...] = ()
    spans: tuple[Span, ...] = ()
    numbers: dict[str, float] = field(default_factory=dict, hash=False)
    certainty: str = "certain"
    severity: str = "warning"
    blames: bool = True

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<p><b>{escape(self.kind)}</b> ({self.certainty}): {escape(self.text)}</p>"


class Diagnosis(tuple[Finding, ...]):
    """What `diagnose` found, worst first; its `str` is one line for each."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        return "".join(each._repr_html_() for each in self) or "<p>Nothing was found.</p>"


def shown(text: object, most: int = 40) -> str:
    """Return a name as a sentence shows it: on one line, harmless on a terminal, not too long."""
    line = printable(str(text)[: most + 1]).replace("\t", " ")
    return line if len(line) <= most else line[: most - 3] + "..."


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return names as they stand in a sentence: ``a, b, c and 4 more``."""
    parts = [shown(name, 30) for name in names[:most]]
    if len(names) > most:
        parts.append(f"{len(names) - most} more")
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]])) if parts else ""


def counted(number: int, noun: str) -> str:
    """Return ``1 step``, ``2 steps``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def more(number: int, noun: str) -> str:
    """Return ``1 more step``, ``2 more steps``."""
    return f"1 more {noun}" if number == 1 else f"{number:,} more {noun}s"
