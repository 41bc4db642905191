"""Lesson 01, paused functions: a generator stops at each yield, and goes on from there."""

from __future__ import annotations

from .exercises import EXERCISES
from .figures import draw_talk
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "draw_talk"]
