"""Lesson 10, between two yields: what is safe there, and what is not across one."""

from __future__ import annotations

from .exercises import EXERCISES, price
from .experiment import Counter, overlapping, updates
from .figures import draw_updates
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "Counter", "draw_updates", "overlapping", "price", "updates"]
