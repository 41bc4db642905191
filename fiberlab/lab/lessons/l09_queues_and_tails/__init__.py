"""Lesson 09, queues and tails: how many answers are late depends on how the client asks."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import percentile, recorded, simulate
from .figures import draw_loops
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "draw_loops", "percentile", "recorded", "simulate"]
