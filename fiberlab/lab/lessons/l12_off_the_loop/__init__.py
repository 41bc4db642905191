"""Lesson 12, off the loop: threads and processes beside a scheduler."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import Gate, chat, count_for, in_process, running
from .figures import draw_turns
from .question import QUESTIONS

__all__ = [
    "EXERCISES",
    "QUESTIONS",
    "Gate",
    "chat",
    "count_for",
    "draw_turns",
    "in_process",
    "running",
]
