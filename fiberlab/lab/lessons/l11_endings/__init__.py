"""Lesson 11, endings: five ways for a fiber to end, and what each leaves behind."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import after, endings, is_open, left_behind, simulated
from .figures import draw_endings, draw_family
from .question import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "after",
    "draw_endings",
    "draw_family",
    "endings",
    "is_open",
    "left_behind",
    "simulated",
]
