"""Lesson 03, one blocking server: its clients are served one after the other."""

from __future__ import annotations

from .exercises import EXERCISES
from .experiment import visit
from .figures import draw_connection, draw_schedule, draw_visits
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "draw_connection", "draw_schedule", "draw_visits", "visit"]
