"""Lesson 02, a scheduler in 15 lines: generators take turns from a queue."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import noted
from .figures import draw_schedule, draw_toy, draw_two_kinds
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "draw_schedule", "draw_toy", "draw_two_kinds", "noted"]
