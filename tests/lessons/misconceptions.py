"""What a lesson's tests say of wrong answers: a list of `Wrong`, which test_course.py holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def _nothing() -> tuple[Any, ...]:
    return ()


@dataclass(frozen=True)
class Wrong:
    """A plausible answer that must fail, with a hint that contains `hint`.

    given: makes what else `check` is given; called when the answer is tried.
    """

    exercise: str
    answer: Any
    hint: str
    given: Callable[[], tuple[Any, ...]] = _nothing

    def __str__(self) -> str:
        name = getattr(self.answer, "__name__", None) or repr(self.answer)
        return f"{self.exercise}-{name}"[:60]
