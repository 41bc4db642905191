"""Lesson 17, your own server: a stall of an asyncio program, found, cured, and kept away."""

from __future__ import annotations

from ...shared.own_thread import in_own_thread
from .exercises import EXERCISES
from .figures import draw_requests
from .question import QUESTIONS

__all__ = ["EXERCISES", "QUESTIONS", "draw_requests", "in_own_thread"]
