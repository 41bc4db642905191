"""Lesson 09, queues and tails: how late is late depends on who asks."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import percentile, recorded, simulate
from .figures import draw_loops
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "draw_loops", "percentile", "recorded", "simulate"]
