"""Lesson 00, the map: what becomes of a generator until it is a picture."""

from __future__ import annotations

from ...exercises import Exercise
from .figures import draw_line
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "draw_line"]

EXERCISES: tuple[Exercise, ...] = ()
